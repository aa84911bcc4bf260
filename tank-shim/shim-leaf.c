/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-leaf.h. */

#include <unistd.h>

#include "fd.h"
#include "pidref.h"
#include "quantity.h"
#include "shim-leaf.h"

#define PROCS_MAX  (1024U * 1024U) /* bytes of a list: beyond 100,000 processes */
#define SIGNAL_MAX 1024U           /* a descriptor for each */

/* Processes that were listed, held by their pidfds; in the order of their numbers once sorted. */
typedef struct Listed {
        PidRef process;
        bool confirmed;
} Listed;

typedef struct Listing {
        Listed *items;
        size_t n;
} Listing;

static void listing_done(Listing *l)
{
        for (size_t i = 0; i < l->n; i++)
                pidref_done(&l->items[i].process);
        free(l->items);
}

static int by_pid(const void *a, const void *b)
{
        pid_t x = ((const Listed *) a)->process.pid, y = ((const Listed *) b)->process.pid;

        return (x > y) - (x < y);
}

/* The next number of the list, 0 behind the last one. A process of another PID namespace is listed
 * as 0, and skipped. */
static pid_t next_pid(char **state)
{
        uint64_t pid;

        for (char *line; (line = strsep(state, "\n"));)
                if (parse_u64(line, &pid) >= 0 && pid > 0 && pid <= INT32_MAX)
                        return (pid_t) pid;
        return 0;
}

/* Those that are gone already are left out. */
static int hold_listed(int procs_fd, Listing *l)
{
        CLEANUP_FREE char *procs = NULL;
        char *state;
        int r;

        r = read_fd_bounded(procs_fd, PROCS_MAX, &procs, NULL);
        if (r < 0)
                return r;
        l->items = calloc(SIGNAL_MAX, sizeof(Listed));
        if (!l->items)
                return -ENOMEM;
        state = procs;
        for (pid_t pid; l->n < SIGNAL_MAX && (pid = next_pid(&state)) > 0;) {
                r = pidref_set_pid(&l->items[l->n].process, pid);
                if (r == -ESRCH)
                        continue;
                /* Out of descriptors: those that are held get it, as with too many processes. */
                if (r < 0 && l->n > 0)
                        break;
                if (r < 0)
                        return r;
                l->n++;
        }
        qsort(l->items, l->n, sizeof(Listed), by_pid);
        return 0;
}

/* A number may have become another process's between the list and the pidfd. If it is in a second
 * list, too, the process that the pidfd is of either is that one or is dead. */
static int confirm_listed(int procs_fd, Listing *l)
{
        CLEANUP_FREE char *procs = NULL;
        char *state;
        int r;

        if (lseek(procs_fd, 0, SEEK_SET) < 0)
                return -errno;
        r = read_fd_bounded(procs_fd, PROCS_MAX, &procs, NULL);
        if (r < 0)
                return r;
        state = procs;
        for (pid_t pid; (pid = next_pid(&state)) > 0;) {
                Listed key = { .process.pid = pid };
                Listed *found = bsearch(&key, l->items, l->n, sizeof(Listed), by_pid);

                if (found)
                        found->confirmed = true;
        }
        return 0;
}

int leaf_signal(int dir_fd, int signo)
{
        CLEANUP_CLOSE int procs_fd = -EBADF; /* one for both, there may be no other left */
        CLEANUP(listing_done) Listing l = {};
        int r, n = 0;

        procs_fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (procs_fd < 0)
                return -errno;
        r = hold_listed(procs_fd, &l);
        if (r >= 0 && l.n > 0)
                r = confirm_listed(procs_fd, &l);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l.n; i++) {
                if (!l.items[i].confirmed)
                        continue;
                r = pidref_kill(&l.items[i].process, signo);
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

        r = read_file_at(dir_fd, "cgroup.procs", PROCS_MAX, &procs, NULL);
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
