/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The launch record (docs/protocol.md section 2.3), parsed and checked. Everything that this run is
 * and needs stands in it: nothing is looked up elsewhere, now or later, since the document may be
 * gone. Strings are owned; absent ones are NULL unless a default is named. */

#include <sys/types.h>

#include "limit.h"
#include "macro.h"
#include "record.h"

#define LAUNCH_VERSION 1U

typedef enum IdmapMode {
        IDMAP_AUTO,
        IDMAP_OFF,
        IDMAP_REQUIRED,
        _IDMAP_MODE_MAX,
        _IDMAP_MODE_INVALID = -EINVAL,
} IdmapMode;

/* One value of a secret or config, as a file of a volume. */
typedef struct LaunchFile {
        char *volume; /* its name */
        char *path;   /* in it: relative, normal */
        mode_t mode;
        const char *data; /* in Launch.values */
        size_t size;
} LaunchFile;

typedef struct LaunchMount {
        char *source; /* directory of the host; NULL: */
        char *values; /* name of a volume that consists of files of the launch */
        bool secret;  /* its files are those of a secret */
        bool live;    /* they may be replaced */
        char *target; /* absolute, normal */
        bool read_only;
        IdmapMode idmap;
} LaunchMount;

typedef struct LaunchLimits { /* 0: no limit */
        uint64_t memory, pids, cpu_quota, cpu_period;
} LaunchLimits;

typedef struct Launch {
        char *pod_uid, *run;
        char *namespace, *pod, *container;
        uint64_t generation;
        bool sandbox_create; /* else join */
        bool userns_host, network_host;
        uid_t id_base;
        uint32_t id_count;
        char *hostname, *rootfs, *scratch;
        char **extra_hosts; /* lines of /etc/hosts, "ADDRESS NAME" */
        char **argv, **env;
        char *cwd;  /* "/" unless given */
        char *user; /* "0" unless given */
        char **groups;
        bool tty, init_none;
        LaunchMount *mounts;
        size_t n_mounts;
        LaunchFile *files; /* until launch_forget_values() */
        size_t n_files;
        char *values;
        size_t values_size;
        LaunchLimits limits;
        char **cap_add, **cap_drop;
        char *seccomp_file; /* a filter of the operator's */
        bool seccomp_unconfined;
        char *seccomp; /* as given, for the run's record */
        bool no_new_privileges, privileged;
        int stop_signal;
        uint64_t stop_grace_usec;
        char *log_dir, *log_name;
        uint64_t log_max_size;
        unsigned log_max_files;
        char *cgroup_scope, *cgroup_path; /* exactly one */
        char *bus_name;
        char *seccomp_cache, *libexec_dir;
} Launch;

/* Reads the whole of @fd (bounded). On failure *@reterr is a sentence naming the key (static or
 * allocated by the caller's choice: fixed buffer). */
#define LAUNCH_ERROR_MAX 256
int launch_read(int fd, Launch **ret, char reterr[static LAUNCH_ERROR_MAX]);
int launch_parse(const void *data, size_t size, Launch **ret, char reterr[static LAUNCH_ERROR_MAX]);
/* The `limit.*` keys alone, of an update message. */
int launch_parse_limits(
                const Record *record, LaunchLimits *ret, char reterr[static LAUNCH_ERROR_MAX]);
/* The `extra_host` keys of one. */
int launch_parse_hosts(const Record *record, char ***ret, char reterr[static LAUNCH_ERROR_MAX]);
/* What is to stand in live volumes: files alone. */
int launch_read_values(int fd, Launch **ret, char reterr[static LAUNCH_ERROR_MAX]);
int launch_parse_values(
                const void *data, size_t size, Launch **ret, char reterr[static LAUNCH_ERROR_MAX]);
/* When the volumes are filled: the files are not needed again, and may be secrets. */
void launch_forget_values(Launch *l);
Launch *launch_free(Launch *l);
DEFINE_CLEANUP(Launch *, launch_freep, launch_free);
