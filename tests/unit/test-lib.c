/* SPDX-License-Identifier: Apache-2.0 */

/* The base of lib/: records, files beneath descriptors, messages with descriptors, clocks,
 * tables. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "digest.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "paths.h"
#include "pidref.h"
#include "record.h"
#include "state.h"
#include "strv.h"

static char *test_dir;
static int test_fd = -EBADF;

static int dir_setup(void **state)
{
        char template[] = "/tmp/tank-test-lib.XXXXXX";

        test_dir = strdup(mkdtemp(template));
        test_fd = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return test_fd < 0 ? -1 : 0;
}

static int dir_teardown(void **state)
{
        int r = remove_tree_at(AT_FDCWD, test_dir);

        free(test_dir);
        test_fd = safe_close(test_fd);
        return r;
}

static void record_round_trip(void **state)
{
        CLEANUP_STRV char **values = NULL;
        RecordWriter w;
        Record r;
        uint64_t n;

        record_start(&w, 1);
        record_put(&w, "argv", "a=b");
        record_put(&w, "argv", "");
        record_put_u64(&w, "n", UINT64_MAX);
        record_put(&w, "argvx", "other");
        assert_int_equal(record_finish(&w), 0);
        assert_int_equal(record_parse(w.data, w.size, 1, &r), 0);
        assert_string_equal(record_get(&r, "argv"), "a=b");
        assert_null(record_get(&r, "arg"));
        assert_int_equal(record_get_u64(&r, "n", &n), 0);
        assert_true(n == UINT64_MAX);
        assert_int_equal(record_get_u64(&r, "argv", &n), -EBADMSG);
        assert_int_equal(record_get_u64(&r, "absent", &n), -ENOENT);
        assert_int_equal(record_get_strv(&r, "argv", &values), 0);
        assert_int_equal(strv_length(values), 2);
        assert_string_equal(values[1], "");
        record_done(&w);
}

static void record_attachment(void **state)
{
        static const char bytes[] = "a\0\0v=1\0b";
        const char *attached;
        RecordWriter w;
        size_t size;
        Record r;

        record_start(&w, 1);
        record_put(&w, "empty", "");
        assert_int_equal(record_parse_attached(w.data, w.size, 1, &r, &attached, &size), 0);
        assert_true(!attached && size == 0 && r.size == w.size);
        record_attach(&w, bytes, 3);
        record_attach(&w, NULL, 0);
        record_attach(&w, bytes + 3, sizeof(bytes) - 3);
        assert_int_equal(record_finish(&w), 0);
        /* Whoever knows of no such bytes does not read past them. */
        assert_int_equal(record_parse(w.data, w.size, 1, &r), -EBADMSG);
        assert_int_equal(record_parse_attached(w.data, w.size, 1, &r, &attached, &size), 0);
        assert_string_equal(record_get(&r, "empty"), "");
        assert_int_equal(size, sizeof(bytes));
        assert_memory_equal(attached, bytes, sizeof(bytes));
        record_done(&w);

        record_start(&w, 1);
        record_attach(&w, "", 0);
        assert_int_equal(record_parse_attached(w.data, w.size, 1, &r, &attached, &size), 0);
        assert_true(attached && size == 0);
        record_done(&w);
        assert_int_equal(record_parse_attached("\0\0a", 4, 1, &r, &attached, &size), -EBADMSG);
        assert_int_equal(record_parse_attached("", 0, 1, &r, &attached, &size), -EBADMSG);
}

static void record_refuses(void **state)
{
        Record r;

        assert_int_equal(record_parse("", 0, 1, &r), -EBADMSG);
        assert_int_equal(record_parse("v=1", 3, 1, &r), -EBADMSG);     /* no NUL at the end */
        assert_int_equal(record_parse("v=1\0x", 6, 1, &r), -EBADMSG);  /* no '=' */
        assert_int_equal(record_parse("v=1\0=x", 7, 1, &r), -EBADMSG); /* no key */
        assert_int_equal(record_parse("x=1", 4, 1, &r), -EBADMSG);     /* version not first */
        assert_int_equal(record_parse("v=2", 4, 1, &r), -EPROTONOSUPPORT);
        assert_int_equal(record_parse("v=0", 4, 1, &r), -EPROTONOSUPPORT);
        assert_int_equal(record_parse("v=+1", 5, 1, &r), -EBADMSG);
        assert_int_equal(record_parse("v=1\0new=x", 10, 1, &r), 0); /* unknown: ignored */
}

static void atomic_write_and_bounded_read(void **state)
{
        CLEANUP_FREE char *text = NULL;
        CLEANUP_CLOSE int fd = -EBADF;
        size_t size;

        assert_int_equal(mkdir_p_open_at(test_fd, "atomic", 0700, &fd), 0);
        assert_int_equal(write_file_atomic_at(fd, "f", "one", 3, 0600, true), 0);
        assert_int_equal(write_file_atomic_at(fd, "f", "twoo", 4, 0600, false), 0);
        assert_int_equal(read_file_at(fd, "f", 4, &text, &size), 0);
        assert_int_equal(size, 4);
        assert_string_equal(text, "twoo");
        assert_int_equal(read_file_at(fd, "f", 3, &text, &size), -EFBIG);
        assert_int_equal(read_file_at(fd, "absent", 3, &text, &size), -ENOENT);
        assert_int_equal(unlinkat(fd, "f", 0), 0);
        /* no temporary name is left */
        assert_int_equal(unlinkat(test_fd, "atomic", AT_REMOVEDIR), 0);
}

static void unfinished_files_go(void **state)
{
        CLEANUP_CLOSE int fd = -EBADF, file = -EBADF;

        assert_int_equal(mkdir_p_open_at(test_fd, "unfinished", 0700, &fd), 0);
        assert_int_equal(remove_unfinished_at(fd), 0);
        assert_int_equal(write_file_atomic_at(fd, "f", "one", 3, 0600, true), 0);
        file = openat(fd, ".#f.01234567", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        assert_int_equal(remove_unfinished_at(fd), 0);
        assert_int_equal(faccessat(fd, ".#f.01234567", F_OK, 0), -1);
        assert_int_equal(unlinkat(fd, "f", 0), 0);
        assert_int_equal(unlinkat(test_fd, "unfinished", AT_REMOVEDIR), 0);
}

static void resolution_stays_beneath(void **state)
{
        CLEANUP_CLOSE int fd = -EBADF, sub = -EBADF;

        assert_int_equal(mkdir_p_open_at(test_fd, "a/b/c", 0700, &sub), 0);
        assert_int_equal(symlinkat("/etc", test_fd, "a/out"), 0);
        assert_int_equal(symlinkat("../../../../../..", test_fd, "a/up"), 0);
        /* IN_ROOT: the absolute link leads to a/… of ours, which has no etc */
        fd = open_in_root(test_fd, "a/out/passwd", O_RDONLY, 0);
        assert_int_equal(fd, -ENOENT);
        fd = open_in_root(test_fd, "a/up/a/b", O_RDONLY | O_DIRECTORY, 0);
        assert_true(fd >= 0);
        fd = safe_close(fd);
        fd = open_beneath(test_fd, "a/up", O_RDONLY, 0);
        assert_int_equal(fd, -ELOOP);
        fd = open_beneath(test_fd, "..", O_RDONLY, 0);
        assert_int_equal(fd, -EXDEV);
        /* and no component of a path of ours may be a link */
        assert_int_equal(mkdir_p_open_at(test_fd, "a/out/x", 0700, NULL), -ENOTDIR);
}

static void remove_tree_does_not_follow(void **state)
{
        CLEANUP_CLOSE int fd = -EBADF;
        struct stat st;

        assert_int_equal(mkdir_p_open_at(test_fd, "keep", 0700, NULL), 0);
        assert_int_equal(mkdir_p_open_at(test_fd, "tree/x/y", 0700, NULL), 0);
        assert_int_equal(symlinkat("../../keep", test_fd, "tree/x/link"), 0);
        assert_int_equal(remove_tree_at(test_fd, "tree"), 0);
        assert_int_equal(fstatat(test_fd, "tree", &st, 0), -1);
        assert_int_equal(fstatat(test_fd, "keep", &st, 0), 0);
        assert_int_equal(remove_tree_at(test_fd, "tree"), 0); /* missing is success */
}

/* Deeper than descriptors and stack would take it, level by level. */
static void remove_tree_is_not_stopped_by_depth(void **state)
{
        int fd;

        assert_int_equal(mkdirat(test_fd, "deep", 0700), 0);
        fd = openat(test_fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < 5000; i++) {
                int next;

                assert_int_equal(mkdirat(fd, "d", 0700), 0);
                next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                safe_close(fd);
                fd = next;
        }
        safe_close(fd);
        assert_int_equal(remove_tree_at(test_fd, "deep"), 0);
        assert_int_equal(faccessat(test_fd, "deep", F_OK, 0), -1);
}

static void packets_carry_descriptors(void **state)
{
        int pair[2], fds[2] = { test_fd, test_fd }, got[2];
        size_t n;
        char buf[8];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(packet_send(pair[0], "hello", 5, fds, 2), 0);
        assert_int_equal(packet_recv(pair[1], buf, sizeof(buf), got, 2, &n), 5);
        assert_int_equal(n, 2);
        assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
        (void) safe_close(got[0]);
        (void) safe_close(got[1]);
        /* more than asked for: refused whole, nothing leaks */
        assert_int_equal(packet_send(pair[0], "hello", 5, fds, 2), 0);
        assert_int_equal(packet_recv(pair[1], buf, sizeof(buf), got, 1, &n), -ETOOMANYREFS);
        assert_int_equal(packet_send(pair[0], "too long for it", 15, NULL, 0), 0);
        assert_int_equal(packet_recv(pair[1], buf, sizeof(buf), NULL, 0, NULL), -EMSGSIZE);
        assert_int_equal(packet_recv(pair[1], buf, sizeof(buf), NULL, 0, NULL), -EAGAIN);
        (void) safe_close(pair[0]);
        assert_int_equal(packet_recv(pair[1], buf, sizeof(buf), NULL, 0, NULL), 0);
        assert_int_equal(packet_send(pair[1], "x", 1, NULL, 0), -EPIPE); /* no SIGPIPE */
        (void) safe_close(pair[1]);
}

static void sealed_memory_is_sealed(void **state)
{
        CLEANUP_CLOSE int fd = -EBADF;

        assert_int_equal(memfd_sealed("test", "abc", 3, &fd), 0);
        assert_int_equal(write(fd, "x", 1), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(fd, 0), -1);
}

static void pidref_outlives_the_number(void **state)
{
        PidRef ref = PIDREF_NULL;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                (void) pause();
                _exit(0);
        }
        assert_int_equal(pidref_set_pid(&ref, pid), 0);
        assert_int_equal(pidref_wait(&ref, WNOHANG, &status), 0);
        assert_int_equal(pidref_kill(&ref, SIGKILL), 0);
        assert_int_equal(pidref_wait(&ref, 0, &status), 1);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(pidref_kill(&ref, SIGKILL), -ESRCH);
        pidref_done(&ref);
}

static void times(void **state)
{
        static const struct {
                const char *text;
                int error;
                uint64_t usec;
        } cases[] = {
                { "1970-01-01T00:00:00Z", 0, 0 },
                { "2024-02-29T12:00:01.5Z", 0, UINT64_C(1709208001500000) },
                { "2023-02-29T12:00:01Z", -EINVAL, 0 },
                { "2024-02-29T12:00:01.1234567Z", -EINVAL, 0 },
                { "2024-02-29T12:00:01+01:00", -EINVAL, 0 },
                { "2024-02-29 12:00:01Z", -EINVAL, 0 },
                { "2024-02-29T24:00:00Z", -EINVAL, 0 },
                { "", -EINVAL, 0 },
        };
        char buf[RFC3339_SIZE], id[ID128_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t usec = 0;

                assert_int_equal(parse_rfc3339(cases[i].text, &usec), cases[i].error);
                assert_true(usec == cases[i].usec);
        }
        assert_string_equal(format_rfc3339(UINT64_C(1709208001500000), buf),
                        "2024-02-29T12:00:01.500000Z");
        assert_int_equal(boot_id(id), 0);
        assert_int_equal(random_id(id), 0);
        assert_true(id_is_valid(id));
        assert_false(id_is_valid("0123"));
}

static void string_tables_round_trip(void **state)
{
#define ROUND_TRIP(type, prefix, max) \
        for (int i = 0; i < (max); i++) { \
                assert_non_null(prefix##_to_string((type) i)); \
                assert_int_equal(prefix##_from_string(prefix##_to_string((type) i)), i); \
        } \
        assert_int_equal((int) prefix##_from_string("no such word"), -EINVAL)

        ROUND_TRIP(RunState, run_state, _RUN_STATE_MAX);
        ROUND_TRIP(Reason, reason, _REASON_MAX);
        ROUND_TRIP(PodEvent, pod_event, _POD_EVENT_MAX);
        ROUND_TRIP(ResultKind, result_kind, _RESULT_KIND_MAX);
        ROUND_TRIP(RestartPolicy, restart_policy, _RESTART_POLICY_MAX);
}

static void errors_map_both_ways(void **state)
{
        static const char *const names[] = { TANK_ERROR_NOT_FOUND, TANK_ERROR_ALREADY_EXISTS,
                TANK_ERROR_CONFLICT, TANK_ERROR_INVALID_ARGUMENT, TANK_ERROR_NOT_SUPPORTED,
                TANK_ERROR_FAILED_PRECONDITION, TANK_ERROR_TOO_LARGE, TANK_ERROR_LIMIT_EXCEEDED,
                TANK_ERROR_COMPACTED, TANK_ERROR_NOT_RUNNING, TANK_ERROR_NOT_A_TTY, TANK_ERROR_BUSY,
                TANK_ERROR_ACCESS_DENIED, TANK_ERROR_AUTHENTICATION_FAILED, TANK_ERROR_UNAVAILABLE,
                TANK_ERROR_DEGRADED, TANK_ERROR_TIMED_OUT, TANK_ERROR_INTERNAL };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                assert_string_equal(tank_error_from_errno(tank_error_to_errno(names[i])), names[i]);
        assert_int_equal(tank_error_to_exit_code(TANK_ERROR_NOT_FOUND), 3);
        assert_int_equal(tank_error_to_exit_code(TANK_ERROR_CONFLICT), 4);
        assert_int_equal(tank_error_to_exit_code(TANK_ERROR_TIMED_OUT), 5);
        assert_int_equal(tank_error_to_exit_code(TANK_ERROR_ACCESS_DENIED), 1);
        assert_int_equal(tank_error_to_exit_code("org.example.Unknown"), 1);
}

static void documents(void **state)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "{\"b\":1,\"a\":[true]}", NULL },
                { "{\"a\":1,\"a\":2}", TANK_ERROR_INVALID_ARGUMENT },
                { "[]", TANK_ERROR_INVALID_ARGUMENT },
                { "{", TANK_ERROR_INVALID_ARGUMENT },
                { "{} x", TANK_ERROR_INVALID_ARGUMENT },
                { "{\"a\":\"\\u0000\"}", TANK_ERROR_INVALID_ARGUMENT },
                { "", TANK_ERROR_INVALID_ARGUMENT },
        };
        char deep[2 * LIMIT_DOCUMENT_DEPTH + 16] = "{\"a\":", hash[SHA256_HEX_SIZE];
        sd_bus_error e = SD_BUS_ERROR_NULL;
        json_t *doc;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *text = NULL;

                doc = NULL;
                (void) document_parse(cases[i].text, strlen(cases[i].text), &doc, &e);
                assert_int_equal(!!doc, !cases[i].error);
                if (doc) {
                        assert_int_equal(document_format(doc, &text), 0);
                        assert_string_equal(text, "{\"a\":[true],\"b\":1}");
                        assert_int_equal(document_hash(doc, hash), 0);
                } else {
                        assert_string_equal(e.name, cases[i].error);
                }
                sd_bus_error_free(&e);
                json_decref(doc);
        }
        for (size_t i = 0; i < LIMIT_DOCUMENT_DEPTH; i++)
                deep[5 + i] = '[';
        doc = NULL;
        assert_true(document_parse(deep, strlen(deep), &doc, &e) < 0);
        assert_non_null(strstr(e.message, "nested"));
        sd_bus_error_free(&e);
        sha256_hex("abc", 3, hash); /* the test vector of FIPS 180-4 */
        assert_string_equal(
                        hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void instances_have_their_own_ids(void **state)
{
        Paths p;
        uid_t installed, other;
        uint32_t size;

        assert_int_equal(unsetenv("TANK_INSTANCE"), 0);
        assert_int_equal(paths_init(&p), 0);
        paths_id_pool(&p, &installed, &size);
        paths_done(&p);
        assert_int_equal(setenv("TANK_INSTANCE", "abc123", 1), 0);
        assert_int_equal(paths_init(&p), 0);
        paths_id_pool(&p, &other, &size);
        assert_true(other >= installed + size && other + (uint64_t) size <= INT32_MAX);
        paths_done(&p);
        assert_int_equal(setenv("TANK_INSTANCE", "../x", 1), 0);
        assert_int_equal(paths_init(&p), -EINVAL);
        assert_int_equal(unsetenv("TANK_INSTANCE"), 0);
        assert_int_equal(setenv("TANK_RUN_DIR", "relative", 1), 0);
        assert_int_equal(paths_init(&p), -EINVAL);
        assert_int_equal(unsetenv("TANK_RUN_DIR"), 0);
}

static void test_document_find(void **state)
{
        static const struct {
                const char *text, *value; /* NULL: none */
                int error;
        } cases[] = {
                { "{\"labels\":{\"a\":\"b\"}}", "{\"a\":\"b\"}", 0 },
                { "{\"a\":1,\"labels\":{},\"z\":[]}", "{}", 0 },
                { "{\"a\":[{\"labels\":{\"x\":1}}],\"b\":{\"labels\":2},\"labels\":3}", "3", 0 },
                { "{\"a\":\"\\\"labels\\\":{}\",\"labels\":\"x,y}\"}", "\"x,y}\"", 0 },
                { "{\"a\":\"\\\\\",\"labels\":true}", "true", 0 }, { "{}", NULL, -ENOENT },
                { "{\"labels2\":1,\"label\":2,\"a\":{\"labels\":3}}", NULL, -ENOENT },
                { "", NULL, -EBADMSG }, { "{", NULL, -EBADMSG }, { "[]", NULL, -EBADMSG },
                { "{\"labels\"", NULL, -EBADMSG }, { "{\"labels\":", NULL, -EBADMSG },
                { "{\"labels\":{\"a\":1}", NULL, -EBADMSG }, { "{\"labels\":1]", NULL, -EBADMSG },
                { "{\"a\":\"labels", NULL, -EBADMSG }, { "{\"a\":\"\\", NULL, -EBADMSG },
                { "{\"a\":1,", NULL, -EBADMSG },
                { "{\"a\":1, \"labels\":1}", NULL, -EBADMSG }, /* not of document_format() */
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *value = NULL;
                size_t n = 0;

                if (document_find(cases[i].text, strlen(cases[i].text), "labels", &value, &n) !=
                                cases[i].error)
                        fail_msg("%s", cases[i].text);
                if (!cases[i].value)
                        continue;
                assert_int_equal(n, strlen(cases[i].value));
                assert_memory_equal(value, cases[i].value, n);
        }
}

/* Told without a parser where that is possible, else with one: the same answer. */
static void test_document_is_readable(void **state)
{
        static const struct {
                const char *text;
                bool readable;
        } cases[] = {
                { "{}", true },
                { "{\"a\":{},\"ab\":[],\"b\":[1,-2,0,{\"a\":\"\"},true,false,null]}", true },
                { "{\"a\":\"\\n\\\"\\\\\\/\",\"b\":\"\303\274\"}", true },
                { "{\"meta2\":1,\"x\":{\"meta\":1}}", true },
                /* not as document_format() writes it */
                { "{ \"b\": 1, \"a\": \"\\u00fc\" }", true },
                { "{\"a\":1.5e3,\"b\":1000000000000000000}", true },
                { "{\"\\n\":1}", true },
                /* that nobody can read */
                { "", false },
                { "[]", false },
                { "{}}", false },
                { "{\"a\":1}x}", false },
                { "{\"a\"}", false },
                { "{\"a\":}", false },
                { "{\"a\":1,}", false },
                { "{,\"a\":1}", false },
                { "{\"a\":1 1}", false },
                { "{\"a\":[1,]}", false },
                { "{\"a\":[1}", false },
                { "{\"a\":{\"b\":1]}", false },
                { "{\"a\":01}", false },
                { "{\"a\":-}", false },
                { "{\"a\":99999999999999999999}", false },
                { "{\"a\":1e999}", false },
                { "{\"a\":nul}", false },
                { "{\"a\":truee}", false },
                { "{a:1}", false },
                { "{\"a\":\"\n\"}", false },
                { "{\"a\":\"\\x\"}", false },
                { "{\"a\":\"\\\"}", false },
                { "{\"a\":\"\377\"}", false },
                { "{\"a\":\"\\u0000\"}", false },
                { "{\"a\":1,\"a\":2}", false },
                { "{\"b\":1,\"a\":1,\"b\":2}", false },
                { "{\"meta\":{}}", false },
                { "{ \"meta\": {}}", false },
        };
        char deep[2 * 400 + 16];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (document_is_readable(cases[i].text, strlen(cases[i].text), "meta") !=
                                cases[i].readable)
                        fail_msg("%s", cases[i].text);
        assert_false(document_is_readable("{\"a\":\"\0\"}", 9, "meta"));
        for (int n = 1; n <= 400; n++) { /* past what one pass looks at */
                int at = sprintf(deep, "{\"a\":");

                memset(deep + at, '[', (size_t) n);
                memset(deep + at + n, ']', (size_t) n);
                deep[at + 2 * n] = '}';
                assert_true(document_is_readable(deep, (size_t) at + 2 * (size_t) n + 1, "meta"));
                assert_false(document_is_readable(deep, (size_t) at + 2 * (size_t) n, "meta"));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_document_find),
                cmocka_unit_test(test_document_is_readable),
                cmocka_unit_test(record_round_trip),
                cmocka_unit_test(record_attachment),
                cmocka_unit_test(record_refuses),
                cmocka_unit_test(atomic_write_and_bounded_read),
                cmocka_unit_test(unfinished_files_go),
                cmocka_unit_test(resolution_stays_beneath),
                cmocka_unit_test(remove_tree_does_not_follow),
                cmocka_unit_test(remove_tree_is_not_stopped_by_depth),
                cmocka_unit_test(packets_carry_descriptors),
                cmocka_unit_test(sealed_memory_is_sealed),
                cmocka_unit_test(pidref_outlives_the_number),
                cmocka_unit_test(times),
                cmocka_unit_test(string_tables_round_trip),
                cmocka_unit_test(errors_map_both_ways),
                cmocka_unit_test(documents),
                cmocka_unit_test(instances_have_their_own_ids),
        };

        return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
