/* SPDX-License-Identifier: Apache-2.0 */

/* A wall clock that can be set, for one process that this is loaded into (LD_PRELOAD): what
 * $WALL_CLOCK_FILE holds, µs as a native int64_t, is added to CLOCK_REALTIME, and whoever wants to
 * set the clock writes there. Timers for a moment of that clock go off when it says so: the kernel,
 * which does not know of it, is told anew when the process looks at the clock next. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC  INT64_C(1000000000)
#define NSEC_PER_USEC INT64_C(1000)
#define TIMERS        16

#define REAL(name) ((typeof(&(name))) dlsym(RTLD_NEXT, #name))

typedef struct Timer {
        int fd; /* 0: none */
        struct itimerspec asked;
} Timer;

static const volatile int64_t *set_to; /* NULL: not at all */
static Timer timers[TIMERS];
static int64_t armed_with;

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("WALL_CLOCK_FILE");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *p;

        if (fd < 0)
                return;
        p = mmap(NULL, sizeof(*set_to), PROT_READ, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (p != MAP_FAILED)
                set_to = p;
}

static int64_t offset_nsec(void)
{
        return set_to ? *set_to * NSEC_PER_USEC : 0;
}

static struct timespec moved(struct timespec t, int64_t by)
{
        int64_t nsec = t.tv_sec * NSEC_PER_SEC + t.tv_nsec + by;

        nsec = nsec > 0 ? nsec : 1; /* 0 would disarm a timer */
        return (struct timespec){ .tv_sec = nsec / NSEC_PER_SEC, .tv_nsec = nsec % NSEC_PER_SEC };
}

static int arm(const Timer *t, struct itimerspec *old)
{
        struct itimerspec i = t->asked;

        if (i.it_value.tv_sec > 0 || i.it_value.tv_nsec > 0)
                i.it_value = moved(i.it_value, -offset_nsec());
        return REAL(timerfd_settime)(t->fd, TFD_TIMER_ABSTIME, &i, old);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
        int r = REAL(clock_gettime)(clock, ret);

        if (r < 0 || clock != CLOCK_REALTIME)
                return r;
        *ret = moved(*ret, offset_nsec());
        if (armed_with != offset_nsec()) {
                armed_with = offset_nsec();
                for (unsigned i = 0; i < TIMERS; i++)
                        if (timers[i].fd > 0)
                                (void) arm(&timers[i], NULL);
        }
        return 0;
}

int timerfd_create(clockid_t clock, int flags)
{
        int fd = REAL(timerfd_create)(clock, flags);

        for (unsigned i = 0; fd > 0 && clock == CLOCK_REALTIME && i < TIMERS; i++)
                if (timers[i].fd == 0) {
                        timers[i] = (Timer){ .fd = fd };
                        break;
                }
        return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
        for (unsigned i = 0; fd > 0 && (flags & TFD_TIMER_ABSTIME) && i < TIMERS; i++)
                if (timers[i].fd == fd) {
                        timers[i].asked = *new;
                        return arm(&timers[i], old);
                }
        return REAL(timerfd_settime)(fd, flags, new, old);
}
