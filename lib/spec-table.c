/* SPDX-License-Identifier: Apache-2.0 */

/* Every field of every known type, in the order of the reference. A field that does not work yet
 * stands here with `.later`: it is refused by name, and never taken for a typing error. */

#include "limit.h"
#include "spec-table.h"

#define END_OF_FIELDS \
        { \
                NULL \
        }

#define COMMON_KIND_AND_NAME(kind_fallback) \
        { "kind", SPEC_KIND, .type = "type", .fallback = kind_fallback }, \
        { \
                "name", SPEC_NAME, .required = true \
        }

#define COMMON_NAMESPACE \
        { \
                "namespace", SPEC_NAME, .fallback = "`default`", \
                                        .note = "the namespace must exist" \
        }

#define COMMON_LABELS \
        { "labels", SPEC_LABELS, \
                .note = "selectable; keys up to 63 characters, optionally with " \
                        "a `prefix/`; values are text" }, \
        { \
                "annotations", SPEC_ANNOTATIONS, \
                                .note = "text for people and programs, 64 KiB in all" \
        }

/* --- pod: network, volumes ------------------------------------------------------------------- */

static const SpecField nic_fields[] = {
        { "name", SPEC_OTHER, .later = true, .type = "name" },
        { "mode", SPEC_WORD, .later = true, .words = "macvlan|bridge|routed" },
        { "parent", SPEC_OTHER, .later = true, .type = "`auto` or an interface" },
        { "network", SPEC_OTHER, .later = true, .type = "name of a network" },
        { "ip", SPEC_OTHER, .later = true, .type = "`a.b.c.d/n`, IPv6, `{ipam: CIDR}`, or a list" },
        { "gateway", SPEC_OTHER, .later = true, .type = "address" },
        { "mac", SPEC_OTHER, .later = true, .type = "address" },
        { "mtu", SPEC_COUNT, .later = true },
        { "routes", SPEC_OTHER, .later = true, .type = "list" },
        END_OF_FIELDS,
};

static const SpecField network_fields[] = {
        { "nics", SPEC_OBJECT, .list = true, .later = true, .fields = nic_fields },
        { "dns", SPEC_STRING, .list = true, .later = true },
        { "search", SPEC_STRING, .list = true, .later = true },
        END_OF_FIELDS,
};

static const SpecField port_fields[] = {
        { "host", SPEC_COUNT, .later = true },
        { "container", SPEC_COUNT, .later = true },
        { "protocol", SPEC_WORD, .later = true, .words = "tcp|udp", .fallback = "`tcp`" },
        { "address", SPEC_STRING, .later = true, .fallback = "`127.0.0.1`" },
        END_OF_FIELDS,
};

static const SpecField tmpfs_fields[] = {
        { "size", SPEC_SIZE, .later = true },
        END_OF_FIELDS,
};

static const SpecField source_fields[] = {
        { "host", SPEC_PATH, .privileged = "*", .note = "a directory of the host" },
        { "tmpfs", SPEC_OBJECT, .later = true, .fields = tmpfs_fields },
        { "secret", SPEC_NAME,
                        .note = "a secret of the pod's namespace: a file for each of its keys, "
                                "in memory alone, always read-only; its values are those of the "
                                "container's start, unless `live`" },
        { "config", SPEC_NAME, .note = "the same of a config" },
        { "items", SPEC_ITEMS, .beside = "secret|config",
                        .note = "other places for the values of some keys; a key that is not "
                                "named here has its own name" },
        { "mode", SPEC_FILE_MODE, .beside = "secret|config", .fallback = "`0400`",
                        .note = "of the files, which belong to the container's user" },
        { "live", SPEC_BOOL, .beside = "secret|config", .fallback = "`false`",
                        .note = "write changed values into the files of the running container, "
                                "all of a volume in one step: what stands there are links into "
                                "its directory `..data`, which is another one then" },
        END_OF_FIELDS,
};

static const SpecField volume_fields[] = {
        { "name", SPEC_NAME, .required = true,
                        .note = "unique in the pod; a managed volume is "
                                "shared by the pods of the namespace that name it" },
        { "source", SPEC_OBJECT, .one_of = true, .words = "managed", .fields = source_fields,
                        .fallback = "`managed`",
                        .note = "`managed`: allocated by tank, and kept when the "
                                "pod is removed" },
        { "idmap", SPEC_WORD, .words = "auto|off|required", .fallback = "`auto`",
                        .note = "show the files with the container's ids: `auto` where the file "
                                "system "
                                "can, `required` fails where it cannot" },
        { "size", SPEC_SIZE, .later = true },
        END_OF_FIELDS,
};

/* --- container ------------------------------------------------------------------------------- */

static const SpecField image_fields[] = {
        { "rootfs", SPEC_PATH, .required = true, .privileged = "*",
                        .note = "a directory of the host that holds a root file system; it is "
                                "never "
                                "written to" },
        END_OF_FIELDS,
};

static const SpecField env_value_fields[] = {
        { "secret", SPEC_REFERENCE,
                        .note = "the value of a key of a secret of the pod's namespace, as it is" },
        { "config", SPEC_REFERENCE, .note = "the same of a config" },
        END_OF_FIELDS,
};

static const SpecField env_from_fields[] = {
        { "secret", SPEC_NAME,
                        .note = "all values of a secret of the pod's namespace; each key must be a "
                                "name of a variable" },
        { "config", SPEC_NAME, .note = "the same of a config" },
        { "prefix", SPEC_VARIABLE_PREFIX, .beside = "secret|config",
                        .note = "put before each key" },
        END_OF_FIELDS,
};

static const SpecField mount_fields[] = {
        { "volume", SPEC_NAME, .required = true, .note = "one of the pod's volumes" },
        { "path", SPEC_MOUNT_POINT, .required = true,
                        .note = "where it appears; unique in the container" },
        { "read_only", SPEC_BOOL, .fallback = "`false`" },
        { "subpath", SPEC_PATH, .later = true, .type = "relative path" },
        END_OF_FIELDS,
};

static const SpecField cpu_fields[] = {
        { "quota", SPEC_DURATION, .required = true, .min = 1000, .max = UINT64_C(1000000000000),
                        .note = "CPU time in each period" },
        { "period", SPEC_DURATION, .min = 1000, .max = 1000000, .fallback = "100ms" },
        END_OF_FIELDS,
};

static const SpecField limits_fields[] = {
        { "memory", SPEC_SIZE, .min = LIMIT_MEMORY_MIN, .note = "at least 1 MiB" },
        { "memory_high", SPEC_SIZE, .later = true },
        { "swap", SPEC_SIZE, .later = true },
        { "cpu", SPEC_CPU, .fields = cpu_fields, .note = "`0.5` is half of one CPU" },
        { "cpu_weight", SPEC_COUNT, .later = true },
        { "cpuset", SPEC_STRING, .later = true },
        { "pids", SPEC_COUNT, .min = 1, .max = 4194304, .note = "processes and threads" },
        { "io_weight", SPEC_COUNT, .later = true },
        { "io", SPEC_OTHER, .later = true, .type = "list" },
        END_OF_FIELDS,
};

static const SpecField stop_fields[] = {
        { "signal", SPEC_SIGNAL, .fallback = "`SIGTERM`" },
        { "grace", SPEC_DURATION, .max = LIMIT_DURATION_MAX, .fallback = "the pod's `grace`",
                        .note = "then the container is killed" },
        END_OF_FIELDS,
};

static const SpecField probe_http_fields[] = {
        { "port", SPEC_COUNT, .later = true },
        { "path", SPEC_STRING, .later = true },
        { "host", SPEC_STRING, .later = true },
        { "scheme", SPEC_WORD, .later = true, .words = "http|https" },
        END_OF_FIELDS,
};

static const SpecField probe_tcp_fields[] = {
        { "port", SPEC_COUNT, .later = true },
        END_OF_FIELDS,
};

static const SpecField probe_fields[] = {
        { "exec", SPEC_STRING, .list = true, .later = true },
        { "http", SPEC_OBJECT, .later = true, .fields = probe_http_fields },
        { "tcp", SPEC_OBJECT, .later = true, .fields = probe_tcp_fields },
        { "interval", SPEC_DURATION, .later = true, .fallback = "10s" },
        { "timeout", SPEC_DURATION, .later = true, .fallback = "1s" },
        { "initial_delay", SPEC_DURATION, .later = true, .fallback = "0s" },
        { "failures", SPEC_COUNT, .later = true, .fallback = "3" },
        { "successes", SPEC_COUNT, .later = true, .fallback = "1" },
        END_OF_FIELDS,
};

static const SpecField health_fields[] = {
        { "startup", SPEC_OBJECT, .later = true, .fields = probe_fields, .section = "probe" },
        { "ready", SPEC_OBJECT, .later = true, .fields = probe_fields, .section = "probe" },
        { "live", SPEC_OBJECT, .later = true, .fields = probe_fields, .section = "probe" },
        END_OF_FIELDS,
};

static const SpecField capabilities_fields[] = {
        { "add", SPEC_CAPABILITY, .list = true, .max_items = 64, .privileged = "*",
                        .note = "beside the default set" },
        { "drop", SPEC_CAPABILITY, .list = true, .max_items = 64,
                        .note = "`ALL` drops what is not added" },
        END_OF_FIELDS,
};

static const SpecField seccomp_fields[] = {
        { "file", SPEC_PATH, .required = true, .privileged = "*", .note = "a profile on the host" },
        END_OF_FIELDS,
};

static const SpecField container_security_fields[] = {
        { "capabilities", SPEC_OBJECT, .fields = capabilities_fields },
        { "seccomp", SPEC_OBJECT, .one_of = true, .words = "default|unconfined",
                        .fields = seccomp_fields, .privileged = "unconfined",
                        .fallback = "`default`" },
        { "no_new_privileges", SPEC_BOOL, .privileged = "false", .fallback = "`true`" },
        { "read_only_root", SPEC_BOOL, .later = true, .fallback = "`false`" },
        { "devices", SPEC_OTHER, .later = true, .privileged = "*", .type = "list" },
        { "sysctls", SPEC_OTHER, .later = true, .type = "map",
                        .note = "privileged outside the pod's namespaces" },
        { "apparmor", SPEC_STRING, .later = true, .privileged = "*" },
        { "selinux", SPEC_STRING, .later = true, .privileged = "*" },
        END_OF_FIELDS,
};

static const SpecField log_fields[] = {
        { "driver", SPEC_WORD, .words = "file", .later_words = "journald|both|none",
                        .fallback = "`file`" },
        { "max_size", SPEC_SIZE, .min = LIMIT_LOG_SIZE_MIN, .fallback = "`5MB`",
                        .note = "of one file, at least 1 KiB" },
        { "max_files", SPEC_COUNT, .min = LIMIT_LOG_FILES_MIN, .max = LIMIT_LOG_FILES_MAX,
                        .fallback = "`5`", .note = "2 to 100" },
        { "mode", SPEC_WORD, .later = true, .words = "drop|blocking", .fallback = "`drop`" },
        END_OF_FIELDS,
};

static const SpecField container_fields[] = {
        { "name", SPEC_NAME, .required = true, .note = "unique in the pod" },
        { "image", SPEC_OBJECT, .required = true, .one_of = true, .fields = image_fields,
                        .later_words = "*",
                        .instead = "image references are not supported yet; use {rootfs: /path}",
                        .type = "reference, or map" },
        { "pull", SPEC_WORD, .later = true, .words = "if-not-present|always|never",
                        .fallback = "`if-not-present`" },
        { "pull_secret", SPEC_NAME, .later = true },
        { "update", SPEC_WORD, .later = true, .words = "manual|on-new-image",
                        .fallback = "`manual`" },
        { "command", SPEC_STRING, .list = true,
                        .note = "the program and its first arguments; a bare name is searched for "
                                "in "
                                "`PATH`" },
        { "args", SPEC_STRING, .list = true, .note = "further arguments" },
        { "env", SPEC_ENVIRONMENT, .fields = env_value_fields, .type = "map of texts, or of maps",
                        .note = "goes before `env_from`" },
        { "env_from", SPEC_OBJECT, .list = true, .one_of = true, .max_items = LIMIT_ENV_FROM,
                        .fields = env_from_fields,
                        .note = "up to 64; of two that give the same variable, the later one "
                                "counts" },
        { "working_dir", SPEC_PATH, .fallback = "`/`" },
        { "user", SPEC_USER, .fallback = "`0:0`",
                        .note = "numbers up to 65533, but for `security.userns: host`" },
        { "groups", SPEC_GROUP, .list = true, .max_items = LIMIT_GROUPS_MAX,
                        .note = "supplementary groups" },
        { "tty", SPEC_BOOL, .fallback = "`false`",
                        .note = "a terminal as its input and output, for `tankctl attach`; all of "
                                "the output is in the log too" },
        { "init", SPEC_WORD, .words = "tank|none", .later_words = "systemd", .fallback = "`tank`",
                        .note = "`tank`: a small init of tank's is process 1 and "
                                "reaps; `none`: the workload is" },
        { "mounts", SPEC_OBJECT, .list = true, .max_items = LIMIT_MOUNTS, .fields = mount_fields },
        { "limits", SPEC_OBJECT, .fields = limits_fields,
                        .note = "a change is applied to the running container" },
        { "rlimits", SPEC_OTHER, .later = true, .type = "map" },
        { "oom_score_adj", SPEC_OTHER, .later = true, .type = "whole number" },
        { "shm_size", SPEC_SIZE, .later = true, .fallback = "`64MiB`" },
        { "tmpfs", SPEC_OTHER, .later = true, .type = "list" },
        { "stop", SPEC_OBJECT, .fields = stop_fields },
        { "health", SPEC_OBJECT, .later = true, .fields = health_fields },
        { "security", SPEC_OBJECT, .fields = container_security_fields },
        { "log", SPEC_OBJECT, .fields = log_fields },
        END_OF_FIELDS,
};

/* --- pod ------------------------------------------------------------------------------------- */

static const SpecField backoff_fields[] = {
        { "base", SPEC_DURATION, .min = USEC_PER_MSEC, .max = LIMIT_DURATION_MAX, .fallback = "10s",
                        .note = "before the first restart; doubled at each further "
                                "one, with up to 10 % added at random" },
        { "cap", SPEC_DURATION, .min = USEC_PER_MSEC, .max = LIMIT_DURATION_MAX, .fallback = "5m",
                        .note = "never longer" },
        { "reset", SPEC_DURATION, .max = LIMIT_DURATION_MAX, .fallback = "10m",
                        .note = "a run of this length starts the count anew" },
        END_OF_FIELDS,
};

static const SpecField depends_fields[] = {
        { "pod", SPEC_NAME, .later = true },
        { "condition", SPEC_WORD, .later = true, .words = "started|ready|exited" },
        END_OF_FIELDS,
};

static const SpecField pod_security_fields[] = {
        { "userns", SPEC_WORD, .words = "auto|host", .privileged = "host", .fallback = "`auto`",
                        .note = "one user namespace for the pod, with ids of its own" },
        END_OF_FIELDS,
};

static const SpecField pod_fields[] = {
        COMMON_KIND_AND_NAME("`pod`"),
        COMMON_NAMESPACE,
        COMMON_LABELS,
        { "state", SPEC_WORD, .later = true, .words = "running|stopped", .fallback = "`running`" },
        { "restart", SPEC_WORD, .words = "always|on-failure|never", .fallback = "`always`",
                        .note = "decided for each container by itself" },
        { "backoff", SPEC_OBJECT, .fields = backoff_fields },
        { "grace", SPEC_DURATION, .max = LIMIT_DURATION_MAX, .fallback = "10s",
                        .note = "the default of the containers' `stop.grace`" },
        { "hostname", SPEC_HOSTNAME, .fallback = "the pod's name",
                        .note = "of all containers of the pod, in `/etc/hosts` as well; a change "
                                "starts all of them anew" },
        { "extra_hosts", SPEC_HOSTS,
                        .note = "up to 128 further lines of `/etc/hosts`, by name; a change is "
                                "applied to the running containers" },
        { "network", SPEC_OBJECT, .words = "none|host", .later_words = "*",
                        .instead = "networks other than none and host are not supported yet; use "
                                   "one "
                                   "of them",
                        .fields = network_fields, .privileged = "host", .fallback = "`none`",
                        .type = "`none`, `host`, name of a network, or map" },
        { "ports", SPEC_OBJECT, .list = true, .later = true, .fields = port_fields },
        { "volumes", SPEC_OBJECT, .list = true, .max_items = LIMIT_VOLUMES,
                        .fields = volume_fields },
        { "init_containers", SPEC_OBJECT, .list = true, .max_items = LIMIT_INIT_CONTAINERS,
                        .fields = container_fields, .section = "container",
                        .note = "up to 32, one after the other: the next when the one before has "
                                "exited with 0, the others when all have" },
        { "containers", SPEC_OBJECT, .list = true, .required = true, .min_items = 1,
                        .max_items = LIMIT_CONTAINERS, .fields = container_fields,
                        .section = "container", .note = "1 to 32" },
        { "depends_on", SPEC_OBJECT, .list = true, .later = true, .fields = depends_fields },
        { "update_on", SPEC_WORD, .list = true, .max_items = 2, .words = "secret|config",
                        .note = "restart a container when a value that it uses of a secret or "
                                "config has changed (of all of its keys with `env_from` or a "
                                "volume); without, it takes the new values at its next start" },
        { "after_units", SPEC_STRING, .list = true, .later = true },
        { "security", SPEC_OBJECT, .fields = pod_security_fields },
        END_OF_FIELDS,
};

/* --- the other types ------------------------------------------------------------------------- */

static const SpecField quota_fields[] = {
        { "objects", SPEC_COUNT, .type = "number", .note = "of every type, 0 for none" },
        { "size", SPEC_SIZE,
                        .note = "of the documents as they are stored, and of the sealed values of "
                                "secrets" },
        END_OF_FIELDS,
};

static const SpecField namespace_fields[] = {
        COMMON_KIND_AND_NAME("must be given"),
        COMMON_LABELS,
        { "quota", SPEC_OBJECT, .fields = quota_fields,
                        .note = "how much may stand in it at most: what would be more is refused; "
                                "what stands there already stays, also when the quota is lowered "
                                "below it" },
        END_OF_FIELDS,
};

#define BASE64_FIELD \
        { \
                "base64", SPEC_STRING, .type = "base64", \
                                       .note = "for bytes that are no text; white space in it " \
                                               "does not count" \
        }
#define DATA_NOTE \
        "keys are 1 to 256 of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`, neither `.` nor beginning " \
        "with `..`: names of files; values are text, taken as it is, or a map; 1 MiB of values " \
        "and 1024 keys"

static const SpecField secret_value_fields[] = {
        BASE64_FIELD,
        { "redacted", SPEC_BOOL, .type = "`true`",
                        .note = "how a value is shown; applied, it keeps the value that stands" },
        END_OF_FIELDS,
};

static const SpecField config_value_fields[] = {
        BASE64_FIELD,
        END_OF_FIELDS,
};

static const SpecField secret_fields[] = {
        COMMON_KIND_AND_NAME("must be given"),
        COMMON_NAMESPACE,
        COMMON_LABELS,
        { "type", SPEC_STRING,
                        .note = "what it is for; up to 256 bytes of printable text, in "
                                "clear" },
        { "data", SPEC_DATA, .required = true, .fields = secret_value_fields, .note = DATA_NOTE },
        END_OF_FIELDS,
};

static const SpecField config_fields[] = {
        COMMON_KIND_AND_NAME("must be given"),
        COMMON_NAMESPACE,
        COMMON_LABELS,
        { "data", SPEC_DATA, .required = true, .fields = config_value_fields, .note = DATA_NOTE },
        END_OF_FIELDS,
};

static const SpecField network_object_fields[] = {
        COMMON_KIND_AND_NAME("must be given"),
        COMMON_NAMESPACE,
        COMMON_LABELS,
        { "mode", SPEC_WORD, .later = true, .words = "macvlan|bridge|routed" },
        { "subnets", SPEC_OTHER, .later = true, .type = "list" },
        { "pools", SPEC_OTHER, .later = true, .type = "list" },
        { "reservations", SPEC_OTHER, .later = true, .type = "map" },
        { "gateway", SPEC_STRING, .later = true },
        { "domain", SPEC_STRING, .later = true },
        { "isolated", SPEC_BOOL, .later = true },
        END_OF_FIELDS,
};

static const SpecField free_fields[] = {
        COMMON_KIND_AND_NAME("must be given"),
        COMMON_NAMESPACE,
        COMMON_LABELS,
        END_OF_FIELDS,
};

const SpecType spec_types[] = {
        { "pod", pod_fields },
        { "namespace", namespace_fields,
                        .about = "A name that objects live in. `default` and `system` are always "
                                 "there.",
                        .no_namespace = true },
        { "secret", secret_fields,
                        .about = "Values that the store encrypts and nobody is shown unasked. Any "
                                 "write needs the right `org.tankd.secrets`." },
        { "config", config_fields, .about = "Values for pods, in clear." },
        { "network", network_object_fields, .later = true },
        { NULL, free_fields, .open = true },
};

const SpecType *spec_find_type(const char *name)
{
        const SpecType *t = spec_types;

        while (t->name && !streq(t->name, name))
                t++;
        return t;
}

const SpecField *spec_find_field(const SpecField *fields, const char *name)
{
        for (const SpecField *f = fields; f->name; f++)
                if (streq(f->name, name))
                        return f;
        return NULL;
}

bool spec_word_in(const char *words, const char *word)
{
        size_t n = strlen(word);

        if (!words || n == 0)
                return false;
        while (*words) {
                size_t k = strcspn(words, "|");

                if (k == n && strncmp(words, word, n) == 0)
                        return true;
                words += k;
                if (*words)
                        words++;
        }
        return false;
}
