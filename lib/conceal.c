/* SPDX-License-Identifier: Apache-2.0 */
#include "conceal.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int process_conceal(void)
{
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

void program_conceal(void)
{
#ifndef __SANITIZE_ADDRESS__
        (void) process_conceal();
#endif
}

/* The kernel is asked, and not the capabilities, which may be those over a container alone: whether
 * it locks one page more than the limit. None of them is ever touched. */
static bool may_lock_all(void)
{
        size_t page = (size_t) sysconf(_SC_PAGESIZE), size;
        struct rlimit limit;
        bool may;
        void *p;

        if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
                return false;
        if (limit.rlim_cur == RLIM_INFINITY)
                return true;
        if (limit.rlim_cur > SIZE_MAX / 2)
                return false; /* so much cannot be asked for */
        size = (size_t) limit.rlim_cur + page;
        p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
                return false;
        may = mlock2(p, size, MLOCK_ONFAULT) >= 0;
        (void) munmap(p, size);
        return may;
}

int process_lock_memory(void)
{
        if (!may_lock_all())
                return -EPERM;
        return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

int locked_file_take(LockedFile *f, int fd)
{
        struct stat st;
        void *p;

        locked_file_done(f);
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size == 0)
                return 0;
        /* Private, which a file that is sealed against writing can be on any kernel: nothing is
         * written, so the pages are those of the file. */
        p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *f = (LockedFile){ p, (size_t) st.st_size };
        if (mlock(f->address, f->size) >= 0) /* reads them in, too */
                return 0;
        locked_file_done(f);
        return -EPERM;
}

void locked_file_done(LockedFile *f)
{
        if (f->address)
                (void) munmap(f->address, f->size);
        *f = (LockedFile){};
}
