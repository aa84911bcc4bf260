/* SPDX-License-Identifier: Apache-2.0 */

/* Directories and the instance. */

#include <stdio.h>
#include <stdlib.h>

#include "paths.h"

/* ids of one instance: 1,024 pods of 65,536 */
#define ID_POOL_SIZE  UINT32_C(0x04000000)
#define ID_POOL_FIRST UINT32_C(0x20000000)
#define ID_POOL_COUNT 23U /* the last range ends below 2^31, where ids stop being safe as int */

static int from_environment(const char *variable, const char *fallback, char **ret)
{
        const char *e = secure_getenv(variable);

        if (!isempty(e) && *e != '/')
                return -EINVAL;
        *ret = strdup(isempty(e) ? fallback : e);
        return *ret ? 0 : -ENOMEM;
}

int paths_init(Paths *p)
{
        const char *instance = strempty(secure_getenv("TANK_INSTANCE"));
        Paths n = { 0 };
        int r;

        if (strlen(instance) > 16 || strspn(instance, "abcdefghijklmnopqrstuvwxyz0123456789") !=
                                                     strlen(instance))
                return -EINVAL;
        r = from_environment("TANK_STATE_DIR", TANK_STATE_DIR, &n.state_dir);
        if (r >= 0)
                r = from_environment("TANK_RUN_DIR", TANK_RUN_DIR, &n.run_dir);
        if (r >= 0)
                r = from_environment("TANK_LOG_DIR", TANK_LOG_DIR, &n.log_dir);
        if (r >= 0)
                r = from_environment("TANK_LIBEXEC_DIR", TANK_LIBEXEC_DIR, &n.libexec_dir);
        if (r >= 0)
                r = free_and_strdup(&n.instance, instance);
        if (r < 0) {
                paths_done(&n);
                return r;
        }
        *p = n;
        return 0;
}

void paths_done(Paths *p)
{
        free(p->state_dir);
        free(p->run_dir);
        free(p->log_dir);
        free(p->libexec_dir);
        free(p->instance);
        *p = (Paths){ 0 };
}

int paths_host_name(const Paths *p, char **ret)
{
        return asprintf(ret, "tank%s%s", isempty(p->instance) ? "" : "-", p->instance) < 0 ? -ENOMEM
                                                                                           : 0;
}

void paths_id_pool(const Paths *p, uid_t *ret_base, uint32_t *ret_size)
{
        uint32_t h = 2166136261U; /* FNV-1a: any spread will do */

        *ret_size = ID_POOL_SIZE;
        if (isempty(p->instance)) {
                *ret_base = ID_POOL_FIRST;
                return;
        }
        for (const char *c = p->instance; *c; c++)
                h = (h ^ (unsigned char) *c) * 16777619U;
        *ret_base = ID_POOL_FIRST + (1 + h % (ID_POOL_COUNT - 1)) * ID_POOL_SIZE;
}
