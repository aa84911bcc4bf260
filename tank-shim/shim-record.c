/* SPDX-License-Identifier: Apache-2.0 */

/* The run's record; see shim-record.h. */

#include <unistd.h>

#include "fd.h"
#include "shim-record.h"
#include "shim.h"

#define CHANNEL_PROTOCOL 1U

static void fill_result(const Shim *s, RecordWriter *w)
{
        if (s->state != RUN_EXITED)
                return;
        record_put(w, "result.kind", result_kind_to_string(s->result.kind));
        record_putf(w, "result.code", "%d", s->result.code);
        record_put(w, "result.stage", s->result.stage);
        if (s->result_message[0])
                record_put(w, "result.message", s->result_message);
        record_put_u64(w, "ended_usec", s->ended_usec);
        record_put_u64(w, "ended_boot_usec", s->ended_boot_usec);
}

void shim_record_fill(const Shim *s, const char *type, RecordWriter *w)
{
        const Launch *l = s->launch;

        record_start(w, RUN_RECORD_VERSION);
        if (type) {
                record_put(w, "type", type);
                if (streq(type, "hello"))
                        record_put_u64(w, "protocol", CHANNEL_PROTOCOL);
        }
        record_put(w, "boot_id", s->boot_id);
        record_put(w, "pod_uid", l->pod_uid);
        record_put(w, "run", l->run);
        record_put(w, "namespace", l->namespace);
        record_put(w, "pod", l->pod);
        record_put(w, "container", l->container);
        record_put_u64(w, "generation", l->generation);
        record_put_u64(w, "shim_pid", (uint64_t) getpid());
        record_put(w, "started", s->started ? "1" : "0");
        record_put(w, "state", run_state_to_string(s->state));
        record_put_u64(w, "pid", (uint64_t) s->main.pid);
        record_put_u64(w, "started_usec", s->started_usec);
        record_put_u64(w, "started_boot_usec", s->started_boot_usec);
        /* Told before it exists, where it is known, so that it is found if this process dies in
         * between. */
        record_put(w, "cgroup",
                        s->cgroup    ? shim_cgroup_path(s->cgroup)
                        : s->started ? strempty(l->cgroup_path)
                                     : "");
        /* A scope's path is systemd's to tell, its name is known: by that it is stopped if this
         * process is gone when systemd gets to it. */
        if (s->started && l->cgroup_scope)
                record_put(w, "cgroup.scope", l->cgroup_scope);
        if (s->cgroup)
                record_put_strv(w, "cgroup.v1", shim_cgroup_mirrors(s->cgroup));
        record_put(w, "scratch", l->scratch);
        record_put(w, "bus_name", strempty(l->bus_name));
        record_put_u64(w, "stop.signal", (uint64_t) l->stop_signal);
        record_put_u64(w, "stop.grace_usec", l->stop_grace_usec);
        record_put(w, "privileged", l->privileged ? "1" : "0");
        record_put(w, "seccomp", l->seccomp);
        fill_result(s, w);
}

int shim_record_write(const Shim *s)
{
        CLEANUP(record_done) RecordWriter w;
        int r;

        shim_record_fill(s, NULL, &w);
        r = record_finish(&w);
        if (r < 0)
                return r;
        /* The run directory is on a tmpfs: there is nothing to sync, and the boot id tells it from
         * a leftover. */
        return write_file_atomic_at(s->run_dir, "record", w.data, w.size, 0600, false);
}
