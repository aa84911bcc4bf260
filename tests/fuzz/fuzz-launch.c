/* SPDX-License-Identifier: Apache-2.0 */

/* The launch record, and the limits of an update, which are its keys. */

#include "fuzz.h"
#include "names.h"
#include "shim-launch.h"
#include "strv.h"

static void check_launch(const Launch *l)
{
        CHECK(l->pod_uid && l->run && l->namespace && l->pod && l->container);
        CHECK(name_is_valid(l->namespace) && name_is_valid(l->pod) && name_is_valid(l->container));
        CHECK(l->userns_host || (l->id_base > 0 && l->id_count > 0));
        CHECK(strv_length(l->argv) > 0 && l->cwd[0] == '/' && l->user);
        for (size_t i = 0; i < l->n_mounts; i++) {
                CHECK(!l->mounts[i].source != !l->mounts[i].values);
                CHECK(!l->mounts[i].source || path_is_absolute_normal(l->mounts[i].source));
                CHECK(!l->mounts[i].values || name_is_valid(l->mounts[i].values));
                CHECK(path_is_absolute_normal(l->mounts[i].target));
                CHECK(!streq(l->mounts[i].target, "/"));
        }
        for (size_t i = 0; i < l->n_files; i++) {
                const LaunchFile *f = &l->files[i];

                CHECK(name_is_valid(f->volume) && f->path[0] && f->path[0] != '/');
                CHECK(!strstr(f->path, "//") && (f->mode & ~(mode_t) 0777) == 0);
                CHECK(f->data >= l->values && f->size <= l->values_size);
                CHECK((size_t) (f->data - l->values) <= l->values_size - f->size);
        }
        CHECK(l->stop_signal >= 1 && l->stop_signal <= 64);
        CHECK(!strchr(l->log_name, '/') && l->log_name[0] && l->log_name[0] != '.');
        CHECK(!l->cgroup_scope != !l->cgroup_path);
        CHECK(!l->cgroup_path || l->cgroup_path[0] != '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP(launch_freep) Launch *l = NULL;
        char error[LAUNCH_ERROR_MAX];
        LaunchLimits limits;
        Record record;

        if (launch_parse(data, size, &l, error) < 0)
                CHECK(!l && error[0] && strnlen(error, sizeof(error)) < sizeof(error));
        else
                check_launch(l);
        if (record_parse(data, size, LAUNCH_VERSION, &record) >= 0 &&
                        launch_parse_limits(&record, &limits, error) >= 0)
                CHECK(limits.cpu_period <= 1000000 && limits.memory <= INT64_MAX);
        return 0;
}
