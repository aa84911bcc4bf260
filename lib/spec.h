/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people declare. One table of fields (spec-table.c) knows every field of every known type:
 * its type, default, whether it works yet, whether it is privileged; validation, canonical form,
 * docs/spec.md and tank-pod(5) are made from it.
 *
 * Validation and canonical form are one pass: spec_normalize() takes a document as people wrote it
 * (from YAML or JSON: quantities as strings or integers) and gives the stored form: declared fields
 * only, quantities as integers, paths without "//" and trailing "/", kind and namespace filled in.
 * Normalizing the stored form again changes nothing. `meta` and `status` are not part of it: the
 * caller strips them.
 *
 * Durations are integers (µs) in the stored form. Over the bus both forms are welcome: a string
 * ("10s"), or an integer in µs. A person who writes `grace: 10` however means seconds or
 * milliseconds, never microseconds: where documents of people come in, tankctl passes
 * SPEC_STRICT_ENTRY, which refuses a bare number, unless the document came out of the store and
 * says so by its meta.uid. spec_present() turns the stored form into one
 * that passes this, for `-o yaml`. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "macro.h"
#include "state.h"

/* Where and what: from tankctl "file:line:column: path: message", from the store
 * "path: message". The path is made of keys as they stand in the document and [indices]:
 * "containers[0].env.PATH". Of a missing field it is the path the field would have; its place is
 * that of the nearest part that is there. Valid UTF-8, without control characters. */
typedef struct SpecError {
        const char *name; /* TANK_ERROR_INVALID_ARGUMENT or TANK_ERROR_NOT_SUPPORTED or TOO_LARGE */
        char path[256];   /* "containers[0].limits.memory"; "" for the document */
        bool at_key;      /* the key itself is wrong (unknown field), not its value */
        char message[512]; /* one sentence with what to do, without the path */
} SpecError;

typedef enum SpecFlags {
        SPEC_DEFAULT = 0,
        SPEC_STRICT_ENTRY = 1 << 0, /* a bare number is no duration */
} SpecFlags;

/* 0, or -EINVAL, -EOPNOTSUPP, -EFBIG with @reterr filled in, or -ENOMEM without. */
int spec_normalize(const json_t *doc, SpecFlags flags, json_t **ret, SpecError *reterr);

/* The same, by default, with what is stored of it as text; NULL for a secret, whose values come out
 * of it before. @reterr not NULL. */
int spec_normalize_text(const json_t *doc, json_t **ret, char **ret_text, SpecError *reterr);

/* {kind, namespace, name} of a map, whatever else is in it: what it takes to delete. @reterr as
 * above, and not NULL. */
int spec_normalize_identity(const json_t *doc, json_t **ret, SpecError *reterr);

/* The stored form with durations as text ("1m30s", what a person would write) and sizes in the
 * largest unit that holds them exactly. spec_normalize() of it gives the stored form back. */
int spec_present(const json_t *doc, json_t **ret);

/* The path of the first privileged field the (normalized) document uses, or NULL. */
const char *spec_privileged_field(const json_t *doc, char buf[static 256]);

/* ---- the model of a pod, defaults applied; made from a normalized document ---- */

typedef enum NetworkMode {
        NETWORK_NONE,
        NETWORK_HOST,
        _NETWORK_MODE_MAX,
        _NETWORK_MODE_INVALID = -EINVAL,
} NetworkMode;
DECLARE_STRING_TABLE(NetworkMode, network_mode);

typedef enum InitMode {
        INIT_TANK, /* tank-init is PID 1 */
        INIT_NONE, /* the workload is PID 1 */
        _INIT_MODE_MAX,
        _INIT_MODE_INVALID = -EINVAL,
} InitMode;
DECLARE_STRING_TABLE(InitMode, init_mode);

/* Where values come from, beside the document: objects of the pod's namespace. */
typedef enum ValueSource {
        VALUE_SECRET,
        VALUE_CONFIG,
        _VALUE_SOURCE_MAX,
        _VALUE_SOURCE_INVALID = -EINVAL,
} ValueSource;
DECLARE_STRING_TABLE(ValueSource, value_source); /* the names of the types */

typedef struct VolumeItem {
        char *key, *path;
} VolumeItem;

typedef struct Volume {
        char *name;
        char *host_path;    /* NULL: managed, or: */
        char *object;       /* the name of a secret or config; NULL: neither */
        ValueSource source; /* which of both */
        VolumeItem *items;  /* keys with another path than their own name */
        size_t n_items;
        bool live;      /* its files follow the object */
        unsigned mode;  /* of its files */
        bool idmap_off; /* idmap: off */
        bool idmap_required;
} Volume;

typedef struct Mount {
        char *volume;
        char *path;
        bool read_only;
} Mount;

typedef struct EnvValue {
        char *variable;
        ValueSource source;
        char *object, *key;
} EnvValue;

typedef struct EnvFrom {
        ValueSource source;
        char *object, *prefix; /* prefix: never NULL */
} EnvFrom;

typedef struct Limits {  /* 0: no limit */
        uint64_t memory; /* bytes */
        uint64_t pids;
        uint64_t cpu_quota;  /* µs in each period */
        uint64_t cpu_period; /* µs, 100000 unless declared */
} Limits;

typedef struct Container {
        char *name;
        char *rootfs; /* absolute path; images are not supported yet */
        char **command, **args;
        char **env; /* "KEY=VALUE", sorted by key; beside those, variables from */
        EnvValue *env_values;
        EnvFrom *env_from; /* in declared order */
        size_t n_env_values, n_env_from;
        char *working_dir; /* NULL: "/" */
        char *user;        /* NULL: 0:0 */
        char **groups;     /* names or gids */
        bool tty;
        InitMode init;
        Mount *mounts;
        size_t n_mounts;
        Limits limits;
        int stop_signal;
        uint64_t stop_grace_usec;
        char **cap_add, **cap_drop; /* "CAP_CHOWN" or "ALL" */
        bool seccomp_unconfined;
        char *seccomp_file; /* absolute, or NULL */
        bool no_new_privileges;
        uint64_t log_max_size;
        unsigned log_max_files;
} Container;

typedef struct Pod {
        char *name, *namespace;
        RestartPolicy restart;
        uint64_t backoff_base_usec, backoff_cap_usec, backoff_reset_usec;
        NetworkMode network;
        bool userns_host;
        char *hostname;     /* the pod's name unless declared */
        char **extra_hosts; /* "ADDRESS NAME", sorted by name */
        bool update_on[_VALUE_SOURCE_MAX];
        Volume *volumes;
        size_t n_volumes;
        Container *containers; /* the first @n_init are init containers, in their order */
        size_t n_containers, n_init;
} Pod;

/* @doc must be normalized and of kind pod. -ENOMEM, -EINVAL. */
int pod_from_document(const json_t *doc, Pod **ret);
Pod *pod_free(Pod *p);
DEFINE_CLEANUP(Pod *, pod_freep, pod_free);
const Container *pod_find_container(const Pod *p, const char *name); /* of either list */
const Volume *pod_find_volume(const Pod *p, const char *name);
