/* SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>
#include <stdio.h>

#include "shim-status.h"

static void copy_word(const Record *r, const char *key, char *to, size_t size)
{
        (void) snprintf(to, size, "%s", strempty(record_get(r, key)));
}

static uint64_t number(const Record *r, const char *key)
{
        uint64_t v;

        return record_get_u64(r, key, &v) < 0 ? 0 : v;
}

/* 0 also for what is no pid: a shortened number would be another process. */
static pid_t pid_of(const Record *r, const char *key)
{
        uint64_t v = number(r, key);

        return v <= INT_MAX ? (pid_t) v : 0;
}

int shim_status_parse(const Record *r, ShimStatus *ret)
{
        const char *state = record_get(r, "state"), *kind = record_get(r, "result.kind");
        ShimStatus s = {
                .started = number(r, "started") > 0,
                .privileged = !streq_ptr(record_get(r, "privileged"), "0"),
                .shim_pid = pid_of(r, "shim_pid"),
                .pid = pid_of(r, "pid"),
                .started_usec = number(r, "started_usec"),
                .started_boot_usec = number(r, "started_boot_usec"),
                .ended_boot_usec = number(r, "ended_boot_usec"),
                .generation = number(r, "generation"),
                .stop_grace_usec = number(r, "stop.grace_usec"),
        };

        s.state = state ? run_state_from_string(state) : _RUN_STATE_INVALID;
        if (s.state < 0)
                return -EBADMSG;
        if (s.state == RUN_EXITED && kind) {
                s.result.kind = result_kind_from_string(kind);
                if (s.result.kind < 0)
                        return -EBADMSG;
                s.result.code = (int) number(r, "result.code");
                s.result.at_usec = number(r, "ended_usec");
                copy_word(r, "result.stage", s.result.stage, sizeof(s.result.stage));
                copy_word(r, "result.message", s.result_message, sizeof(s.result_message));
        }
        copy_word(r, "pod_uid", s.pod_uid, sizeof(s.pod_uid));
        copy_word(r, "namespace", s.namespace, sizeof(s.namespace));
        copy_word(r, "pod", s.pod, sizeof(s.pod));
        copy_word(r, "container", s.container, sizeof(s.container));
        *ret = s;
        return 0;
}

void limits_put(RecordWriter *w, const Limits *l)
{
        if (l->memory > 0)
                record_put_u64(w, "limit.memory", l->memory);
        if (l->pids > 0)
                record_put_u64(w, "limit.pids", l->pids);
        if (l->cpu_quota > 0) {
                record_put_u64(w, "limit.cpu_quota", l->cpu_quota);
                record_put_u64(w, "limit.cpu_period", l->cpu_period);
        }
}
