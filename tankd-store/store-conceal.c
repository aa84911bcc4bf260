/* SPDX-License-Identifier: Apache-2.0 */
#include "store-conceal.h"

#include <jansson.h>
#include <malloc.h>
#include <sys/resource.h>

#include "conceal.h"
#include "log.h"

/* What the allocator gave, which is no less than what was asked for. */
static void free_overwritten(void *p)
{
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

void conceal_process(void)
{
        const struct rlimit none = {};
        struct rlimit core;
        int r;

        json_set_alloc_funcs(malloc, free_overwritten);
        r = process_conceal();
        if (r < 0)
                (void) log_warning_errno(r, "cannot forbid core dumps, ignoring");
        /* For whoever makes it dumpable again, a debugger for one. */
        if (setrlimit(RLIMIT_CORE, &none) < 0 &&
                        (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur > 0))
                (void) log_debug_errno(-errno, "cannot lower the limit of core dumps");
        r = process_lock_memory();
        if (r < 0 && r != -EPERM)
                (void) log_warning_errno(r, "cannot keep memory out of swap, ignoring");
}
