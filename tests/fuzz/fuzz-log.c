/* SPDX-License-Identifier: Apache-2.0 */

/* Log files, which a crash or a full disk may have left in any state: the decoder on the bytes, and
 * tankctl's reader on files of them. The first byte chooses what is asked for; 0xff separates the
 * files. */

#include <sys/mman.h>
#include <unistd.h>

#include "ctl-log-merge.h"
#include "fd.h"
#include "fuzz.h"
#include "log-format.h"

static const char *const files[] = { "a.log", "a.log.1", "b.log", "b.log.1" };

static void check_decoder(const char *data, size_t size)
{
        LogRecord record, again;
        char stamp[RFC3339_SIZE], header[LOG_HEADER_MAX];
        size_t end, n;

        if (log_find_last_record(data, size, &record, &end) < 0)
                return;
        CHECK(end > 0 && end <= size && data[end - 1] == '\n');
        CHECK(record.data >= data && record.data + record.size == data + end - 1);
        CHECK(record.size <= LIMIT_LOG_RECORD_MAX && record.seq > 0);

        /* Written again, its header is read as the same. */
        (void) format_rfc3339(record.usec, stamp);
        n = log_format_header(header, stamp, record.stream, record.partial, record.seq);
        CHECK(n <= sizeof(header) && header[n - 1] == ' ');
        CHECK(log_parse_record(header, n, &again) == 0);
        CHECK(again.usec == record.usec && again.seq == record.seq && again.size == 0);
        CHECK(again.stream == record.stream && again.partial == record.partial);
}

static void write_files(int directory, const uint8_t *data, size_t size)
{
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                CLEANUP_CLOSE int fd = -EBADF;
                const uint8_t *part;
                size_t n = fuzz_part(&data, &size, 0xff, &part);

                if (n == 0)
                        continue;
                fd = openat(directory, files[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                CHECK(fd >= 0);
                CHECK(write_full(fd, part, n) == 0);
        }
}

/* What is read goes where nobody sees it: standard error is the fuzzer's own. */
static void read_files(int directory, const LogSelection *selection)
{
        CLEANUP(log_merge_freep) LogMerge *merge = NULL;
        char *const containers[] = { (char *) "a", (char *) "b", NULL };
        static int null = -EBADF;
        int out, err;

        if (null < 0)
                null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        CHECK(null >= 0 && out >= 0 && err >= 0);
        (void) fflush(stdout);
        CHECK(log_merge_new(directory, containers, selection, &merge) == 0);
        CHECK(dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0);
        (void) log_merge_print(merge);
        (void) log_merge_follow(merge);
        (void) fflush(stderr);
        CHECK(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
        (void) safe_close(out);
        (void) safe_close(err);
}

static void remove_directory(char **path)
{
        (void) remove_tree_at(AT_FDCWD, *path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char name[] = "/dev/shm/fuzz-log-XXXXXX";
        CLEANUP(remove_directory) char *path = mkdtemp(name);
        CLEANUP_CLOSE int directory = -EBADF;
        LogSelection selection = { 0 };

        check_decoder((const char *) data, size);
        if (size == 0)
                return 0;
        selection.tail = data[0] & 7;
        selection.timestamps = data[0] & 8;
        selection.prefix = data[0] & 32;
        selection.since_usec = data[0] & 16 ? UINT64_C(1700000000000000) : 0;
        CHECK(path);
        directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(directory >= 0);
        write_files(directory, data + 1, size - 1);
        read_files(directory, &selection);
        return 0;
}
