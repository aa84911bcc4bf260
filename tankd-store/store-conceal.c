/* SPDX-License-Identifier: Apache-2.0 */
#include "store-conceal.h"

#include <jansson.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "log.h"

/* What the allocator gave, which is no less than what was asked for. */
static void free_overwritten(void *p)
{
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

/* Only with a limit of none: with any other, memory that is locked as it is touched would one day
 * make an allocation fail. */
static bool may_lock_all(void)
{
        struct rlimit limit;

        return getrlimit(RLIMIT_MEMLOCK, &limit) >= 0 && limit.rlim_cur == RLIM_INFINITY;
}

void conceal_process(void)
{
        const struct rlimit none = {};
        struct rlimit core;

        json_set_alloc_funcs(malloc, free_overwritten);
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                (void) log_warning_errno(-errno, "cannot forbid core dumps, ignoring");
        /* For a handler that is a pipe, which does not ask whether a process is dumpable. */
        if (setrlimit(RLIMIT_CORE, &none) < 0 &&
                        (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur > 0))
                (void) log_debug_errno(-errno, "cannot lower the limit of core dumps");
        if (may_lock_all() && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                (void) log_warning_errno(-errno, "cannot keep memory out of swap, ignoring");
}
