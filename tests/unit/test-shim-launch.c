/* SPDX-License-Identifier: Apache-2.0 */

/* The launch record and the capability sets: what is legal, what is refused and how it is named,
 * and that no bytes whatever make the parser do anything else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "record.h"
#include "shim-confine.h"
#include "shim-launch.h"
#include "strv.h"

#define ID "0123456789abcdef0123456789abcdef"

static const char *const base[][2] = {
        { "pod_uid", ID },
        { "run", ID },
        { "namespace", "default" },
        { "pod", "web" },
        { "container", "app" },
        { "generation", "7" },
        { "sandbox", "create" },
        { "userns", "auto" },
        { "id_base", "536870912" },
        { "id_count", "65536" },
        { "network", "none" },
        { "hostname", "web" },
        { "rootfs", "/srv/root" },
        { "scratch", "/var/lib/tank/containers/x" },
        { "argv", "redis-server" },
        { "argv", "--appendonly" },
        { "env", "A=b=c" },
        { "log.dir", "/var/log/tank/default/web" },
        { "log.name", "app.log" },
        { "cgroup.path", "/tank/x" },
        { "seccomp_cache", "/run/tank/seccomp" },
        { "libexec_dir", "/usr/libexec/tank" },
};

/* The base with @key replaced (NULL value: left out), and @extra behind. */
static int parse_with(const char *key, const char *value, const char *const *extra, Launch **ret,
                char error[static LAUNCH_ERROR_MAX])
{
        RecordWriter w;
        int r;

        record_start(&w, 1);
        for (size_t i = 0; i < ARRAY_SIZE(base); i++)
                if (!key || !streq(key, base[i][0]))
                        record_put(&w, base[i][0], base[i][1]);
        if (key && value)
                record_put(&w, key, value);
        for (; extra && *extra; extra += 2)
                record_put(&w, extra[0], extra[1]);
        assert_int_equal(record_finish(&w), 0);
        r = launch_parse(w.data, w.size, ret, error);
        record_done(&w);
        return r;
}

static void test_defaults(void **state)
{
        char error[LAUNCH_ERROR_MAX];
        Launch *l = NULL;

        assert_int_equal(parse_with(NULL, NULL, NULL, &l, error), 0);
        assert_string_equal(l->cwd, "/");
        assert_string_equal(l->user, "0");
        assert_string_equal(l->argv[1], "--appendonly");
        assert_string_equal(l->env[0], "A=b=c");
        assert_string_equal(l->cgroup_path, "tank/x"); /* beneath each mount */
        assert_true(l->sandbox_create && !l->userns_host && !l->network_host);
        assert_true(l->no_new_privileges && !l->privileged && !l->tty && !l->init_none);
        assert_int_equal(l->stop_signal, 15);
        assert_int_equal(l->limits.memory, 0);
        assert_int_equal(l->limits.cpu_period, 100000);
        launch_free(l);
}

static void test_refused(void **state)
{
        static const char *const cases[][2] = {
                { "pod_uid", NULL },
                { "run", "0123" },
                { "run", "../../../../etc" },
                { "namespace", "a/b" },
                { "pod", ".." },
                { "container", "App" },
                { "sandbox", "maybe" },
                { "userns", "none" },
                { "id_base", "0" }, /* the host's root */
                { "id_base", "-1" },
                { "id_base", "4294967295" },
                { "id_count", "0" },
                { "id_count", "65537" },
                { "network", "bridge" },
                { "hostname", NULL },
                { "hostname", "" },
                { "hostname", "a\nb" },
                { "hostname", "10.0.0.1" },
                { "extra_host", "" },
                { "extra_host", "10.0.0.1" },
                { "extra_host", "10.0.0.1 " },
                { "extra_host", " db" },
                { "extra_host", "10.0.0 db" },
                { "extra_host", "10.0.0.1  db" },
                { "extra_host", "10.0.0.1 db other" },
                { "extra_host", "10.0.0.1 db\n1.1.1.1 x" },
                { "extra_host", "1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7:8:9 db" },
                { "rootfs", "srv/root" },
                { "rootfs", "/srv/../etc" },
                { "scratch", NULL },
                { "scratch", "" },
                { "argv", NULL },
                { "cwd", "data" },
                { "tty", "yes" },
                { "init", "systemd" },
                { "stop.signal", "0" },
                { "stop.signal", "65" },
                { "limit.memory", "64MiB" },
                { "limit.pids", "99999999999999999999" },
                { "no_new_privileges", "2" },
                { "seccomp", "file:relative" },
                { "seccomp", "" },
                { "log.name", "../x" },
                { "log.name", "" },
                { "log.name", ".hidden" },
                { "log.max_files", "101" },
                { "cgroup.path", NULL },
                { "cgroup.scope", "tank-x.scope" }, /* and cgroup.path */
                { "libexec_dir", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char error[LAUNCH_ERROR_MAX] = "";
                Launch *l = NULL;
                int r = parse_with(cases[i][0], cases[i][1], NULL, &l, error);

                if (r >= 0 || l || !error[0])
                        fail_msg("%s=%s: %d %s", cases[i][0], strempty(cases[i][1]), r, error);
        }
}

static int parse_files(const char *const *keys, const char *bytes, size_t size, Launch **ret,
                char error[static LAUNCH_ERROR_MAX])
{
        RecordWriter w;
        int r;

        record_start(&w, 1);
        for (size_t i = 0; i < ARRAY_SIZE(base); i++)
                record_put(&w, base[i][0], base[i][1]);
        for (; *keys; keys += 2)
                record_put(&w, keys[0], keys[1]);
        if (bytes)
                record_attach(&w, bytes, size);
        assert_int_equal(record_finish(&w), 0);
        r = launch_parse(w.data, w.size, ret, error);
        record_done(&w);
        return r;
}

#define FILE_KEYS(volume, path, mode, size) \
        "file.volume", volume, "file.path", path, "file.mode", mode, "file.size", size
#define PARSE_FILES(bytes, n, ...) \
        parse_files((const char *const[]){ __VA_ARGS__, NULL }, bytes, n, &l, error)

static void test_files(void **state)
{
        char error[LAUNCH_ERROR_MAX];
        Launch *l = NULL;

        assert_int_equal(PARSE_FILES("\0b\0cd", 5, "mount.source", "secret:v", "mount.target", "/v",
                                         "mount.options", "ro,live",
                                         FILE_KEYS("v", "a/b", "0400", "3"),
                                         FILE_KEYS("v", "c", "644", "2"),
                                         FILE_KEYS("v", "e", "0", "0")),
                        0);
        assert_int_equal(l->n_files, 3);
        assert_string_equal(l->mounts[0].values, "v");
        assert_true(l->mounts[0].secret && l->mounts[0].read_only && !l->mounts[0].source);
        assert_int_equal(l->files[0].mode, 0400);
        assert_int_equal(l->files[1].mode, 0644);
        assert_memory_equal(l->files[0].data, "\0b\0", 3);
        assert_memory_equal(l->files[1].data, "cd", 2);
        assert_int_equal(l->files[2].size, 0);
        launch_forget_values(l);
        assert_true(!l->files && !l->values && l->n_files == 0);
        l = launch_free(l);

        assert_true(PARSE_FILES("ab", 2, FILE_KEYS("v", "a", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abcd", 4, FILE_KEYS("v", "a", "0400", "3")) < 0);
        assert_true(PARSE_FILES(NULL, 0, FILE_KEYS("v", "a", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, "a", "b") < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "../a", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a//b", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "/a", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a/", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("../v", "a", "0400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a", "r", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a", "", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a", "00400", "3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a", "0400", "-3")) < 0);
        assert_true(PARSE_FILES("abc", 3, FILE_KEYS("v", "a", "0400", "18446744073709551615")) < 0);
        assert_true(PARSE_FILES("abc", 3, "file.volume", "v", "file.path", "a") < 0);
        assert_true(PARSE_FILES(NULL, 0, "mount.source", "secret:", "mount.target", "/v",
                                    "mount.options", "ro") < 0);
        assert_true(PARSE_FILES(NULL, 0, "mount.source", "vault:v", "mount.target", "/v",
                                    "mount.options", "ro") < 0);
        assert_null(l);
}

static void test_mounts(void **state)
{
        static const char *const good[] = { "mount.source", "/a", "mount.target", "/data",
                "mount.options", "ro,idmap=off", "mount.source", "/b", "mount.target", "/c",
                "mount.options", "rw", NULL };
        static const char *const uneven[] = { "mount.source", "/a", "mount.target", "/data", NULL };
        static const char *const root[] = { "mount.source", "/a", "mount.target", "/",
                "mount.options", "rw", NULL };
        static const char *const dots[] = { "mount.source", "/a", "mount.target", "/x/../y",
                "mount.options", "rw", NULL };
        static const char *const word[] = { "mount.source", "/a", "mount.target", "/x",
                "mount.options", "rw,exec", NULL };
        static const char *const *const bad[] = { uneven, root, dots, word };
        char error[LAUNCH_ERROR_MAX];
        Launch *l = NULL;

        assert_int_equal(parse_with(NULL, NULL, good, &l, error), 0);
        assert_int_equal(l->n_mounts, 2);
        assert_true(l->mounts[0].read_only && l->mounts[0].idmap == IDMAP_OFF);
        assert_true(!l->mounts[1].read_only && l->mounts[1].idmap == IDMAP_AUTO);
        l = launch_free(l);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(parse_with(NULL, NULL, bad[i], &l, error), -EINVAL);
                assert_null(l);
        }
}

static void test_hosts(void **state)
{
        static const char *const extra[] = { "extra_host", "10.0.0.1 db", "extra_host",
                "fd00::1 v6.example.org", NULL };
        char error[LAUNCH_ERROR_MAX];
        char **hosts = NULL;
        Launch *l = NULL;
        RecordWriter w;
        Record record;

        assert_int_equal(parse_with(NULL, NULL, extra, &l, error), 0);
        assert_string_equal(l->extra_hosts[0], "10.0.0.1 db");
        assert_string_equal(l->extra_hosts[1], "fd00::1 v6.example.org");
        assert_null(l->extra_hosts[2]);
        launch_free(l);
        /* As in an update: up to so many, and of none nothing. */
        for (unsigned n = 0; n <= LIMIT_EXTRA_HOSTS + 1; n++) {
                record_start(&w, 1);
                for (unsigned i = 0; i < n; i++)
                        record_putf(&w, "extra_host", "10.0.0.1 h%u", i);
                assert_int_equal(record_finish(&w), 0);
                assert_int_equal(record_parse(w.data, w.size, 1, &record), 0);
                assert_int_equal(launch_parse_hosts(&record, &hosts, error),
                                n > LIMIT_EXTRA_HOSTS ? -E2BIG : 0);
                assert_int_equal(strv_length(hosts), n > LIMIT_EXTRA_HOSTS ? 0 : n);
                hosts = strv_free(hosts);
                record_done(&w);
        }
}

static void test_newer(void **state)
{
        char error[LAUNCH_ERROR_MAX];
        RecordWriter w;
        Launch *l = NULL;

        record_start(&w, LAUNCH_VERSION + 1);
        assert_int_equal(record_finish(&w), 0);
        assert_int_equal(launch_parse(w.data, w.size, &l, error), -EPROTONOSUPPORT);
        assert_non_null(strstr(error, "newer version"));
        record_done(&w);
}

/* Cut off and overwritten anywhere: an error or a launch, and nothing else. */
static void test_junk(void **state)
{
        char error[LAUNCH_ERROR_MAX], *copy;
        unsigned seed = 42;
        RecordWriter w;
        int r;

        record_start(&w, 1);
        for (size_t i = 0; i < ARRAY_SIZE(base); i++)
                record_put(&w, base[i][0], base[i][1]);
        assert_int_equal(record_finish(&w), 0);
        copy = malloc(w.size);
        assert_non_null(copy);
        for (unsigned i = 0; i < 20000; i++) {
                size_t size = i < w.size ? i : w.size;
                Launch *l = NULL;

                memcpy(copy, w.data, w.size);
                for (unsigned k = 0; i >= w.size && k < 1 + i % 4; k++) {
                        seed = seed * 1103515245U + 12345U;
                        copy[(seed >> 8) % w.size] = (char) (seed >> 24);
                }
                r = launch_parse(copy, size, &l, error);
                assert_true(r < 0 ? !l && error[0] : !!l);
                launch_free(l);
        }
        free(copy);
        record_done(&w);
}

static void test_capabilities(void **state)
{
        char *all[] = { (char *) "ALL", NULL };
        char *some[] = { (char *) "CAP_SYS_PTRACE", (char *) "CAP_CHOWN", NULL };
        char *unknown[] = { (char *) "CAP_EVERYTHING", NULL };
        uint64_t set = 0;

        assert_int_equal(capabilities_from_launch(NULL, NULL, &set), 0);
        assert_int_equal(set, 0x800405fb);
        assert_int_equal(__builtin_popcountll(set), 11);
        assert_int_equal(capabilities_from_launch(NULL, all, &set), 0);
        assert_int_equal(set, 0);
        /* "drop all, add these" in whatever order; a drop beats an add otherwise */
        assert_int_equal(capabilities_from_launch(some, all, &set), 0);
        assert_int_equal(set, UINT64_C(1) << 19 | 1);
        assert_int_equal(capabilities_from_launch(some, some, &set), 0);
        assert_int_equal(set, 0x800405fa);
        assert_int_equal(capabilities_from_launch(unknown, NULL, &set), -EINVAL);
        assert_int_equal(capabilities_from_launch(NULL, unknown, &set), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_mounts),
                cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_newer),
                cmocka_unit_test(test_junk),
                cmocka_unit_test(test_capabilities),
        };

        return cmocka_run_group_tests_name("shim-launch", tests, NULL, NULL);
}
