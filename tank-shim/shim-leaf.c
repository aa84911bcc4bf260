/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-leaf.h. */

#include <unistd.h>

#include "fd.h"
#include "pidref.h"
#include "quantity.h"
#include "shim-leaf.h"

#define PROCS_MAX  (1024U * 1024U) /* bytes of a list: beyond 100,000 processes */
#define SIGNAL_MAX 1024            /* each costs a look at the list */

static bool lists(const char *procs, pid_t pid)
{
        uint64_t n;

        for (const char *line = procs; line; line = strchr(line, '\n')) {
                char word[24];
                size_t size;

                line += *line == '\n';
                size = strcspn(line, "\n");
                if (size == 0 || size >= sizeof(word))
                        continue;
                memcpy(word, line, size);
                word[size] = '\0';
                if (parse_u64(word, &n) >= 0 && n == (uint64_t) pid)
                        return true;
        }
        return false;
}

static int read_procs(int dir_fd, char **ret)
{
        return read_file_at(dir_fd, "cgroup.procs", PROCS_MAX, ret, NULL);
}

/* The number may have become another process's between the list and the pidfd. If it is in a second
 * list, too, the process that the pidfd is of either is that one or is dead. */
static int signal_one(int dir_fd, pid_t pid, int signo)
{
        CLEANUP(pidref_done) PidRef process = PIDREF_NULL;
        CLEANUP_FREE char *procs = NULL;
        int r;

        r = pidref_set_pid(&process, pid);
        if (r >= 0)
                r = read_procs(dir_fd, &procs);
        if (r < 0)
                return r;
        return lists(procs, pid) ? pidref_kill(&process, signo) : -ESRCH;
}

int leaf_signal(int dir_fd, int signo)
{
        CLEANUP_FREE char *procs = NULL;
        char *state = NULL;
        int r, n = 0;

        r = read_procs(dir_fd, &procs);
        if (r < 0)
                return r;
        for (char *l = strtok_r(procs, "\n", &state); l && n < SIGNAL_MAX;
                        l = strtok_r(NULL, "\n", &state)) {
                uint64_t pid;

                if (parse_u64(l, &pid) < 0 || pid == 0 || pid > INT32_MAX)
                        continue;
                r = signal_one(dir_fd, (pid_t) pid, signo);
                if (r >= 0)
                        n++;
                else if (r != -ESRCH)
                        return r;
        }
        return n;
}

int leaf_count(int dir_fd)
{
        CLEANUP_FREE char *procs = NULL;
        int r, n = 0;

        r = read_procs(dir_fd, &procs);
        if (r < 0)
                return r;
        for (const char *c = procs; *c; c++)
                n += *c == '\n';
        return n;
}

int leaf_open_events(int dir_fd)
{
        int fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int leaf_read_events(int events_fd)
{
        char buf[256];
        ssize_t n;

        /* The kernel keeps signalling until this very descriptor has been read from the start. */
        n = pread(events_fd, buf, sizeof(buf) - 1, 0);
        if (n < 0)
                return errno == ENODEV ? 1 : -errno; /* removed */
        buf[n] = '\0';
        return strstr(buf, "populated 0") != NULL;
}
