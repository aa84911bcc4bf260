/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every bound of the suite stands here, and nowhere else. */

#define LIMIT_DOCUMENT_MAX         (1024U * 1024U) /* bytes of one document as JSON text */
#define LIMIT_DOCUMENT_DEPTH       64U             /* nesting, JSON and YAML */
#define LIMIT_YAML_FILE_MAX        (16U * 1024U * 1024U)
#define LIMIT_YAML_ALIAS_NODES     1000U
#define LIMIT_PAGE_BYTES           (256U * 1024U)
#define LIMIT_PAGE_ENTRIES         1000U
#define LIMIT_QUERIES              64U   /* lists and counts that take more than a slice of time */
#define LIMIT_QUERIES_EACH         8U    /* the same of one connection */
#define LIMIT_CHANGES_SCANNED      4096U /* rows of the change log that one answer looks at */
#define LIMIT_CHANGES_GONE_BYTES   (8U * 1024U * 1024U)  /* documents of deleted objects in it */
#define LIMIT_TRANSACTION_BYTES    (16U * 1024U * 1024U) /* of rows */
#define LIMIT_TRANSACTION_READ     (64U * 1024U * 1024U) /* of what stands, or stood */
#define LIMIT_TRANSACTION_OPS      10000U
#define LIMIT_TRANSACTION_SPACES   100U  /* namespaces deleted: each is searched for contents */
#define LIMIT_CHANGED_KEYS         32U   /* keys in one Changed signal, else none */
#define LIMIT_KV_KEY               1024U /* bytes of a key of the key-value data */
#define LIMIT_KV_VALUE             (1024U * 1024U)
#define LIMIT_KV_STORE_KEYS        20000U                /* of one store: cleared in one turn */
#define LIMIT_KV_STORE_BYTES       (16U * 1024U * 1024U) /* keys and values of one store */
#define LIMIT_KV_STORES            256U
#define LIMIT_KV_BYTES             (256U * 1024U * 1024U) /* keys and values of all stores */
#define LIMIT_KV_OPS_WAITING       100000U                /* changes on their way to disk */
#define LIMIT_KV_TTL               (UINT64_C(315360000) * 1000000U) /* µs: ten years */
#define LIMIT_KV_EXPIRE            1000U /* keys that expire in one turn */
#define LIMIT_ARGV_ENV_MAX         (2U * 1024U * 1024U)
#define LIMIT_LAUNCH_MAX           (16U * 1024U * 1024U) /* the sealed launch record of a run */
#define LIMIT_CHANNEL_MESSAGE      (64U * 1024U)   /* one message, shim channel and sessions */
#define LIMIT_RECORD_MAX           (1024U * 1024U) /* a record file under the run directory */
#define LIMIT_NAME_MAX             63U
#define LIMIT_HOSTNAME_MAX         64U  /* bytes of a UTS name: the kernel's */
#define LIMIT_DOMAIN_MAX           253U /* of a name in /etc/hosts */
#define LIMIT_EXTRA_HOSTS          128U /* of one pod */
#define LIMIT_LABEL_VALUE_MAX      256U
#define LIMIT_LABELS               64U   /* of one object */
#define LIMIT_SELECTOR_BYTES       4096U /* of one selector */
#define LIMIT_SELECTOR_TERMS       32U
#define LIMIT_SELECTOR_VALUES      256U
#define LIMIT_ANNOTATIONS_MAX      (64U * 1024U) /* bytes of all annotations of an object */
#define LIMIT_DATA_KEY_MAX         256U          /* bytes of a key of a secret or config */
#define LIMIT_DATA_KEYS            1024U         /* of one of them */
#define LIMIT_CONTAINERS           32U
#define LIMIT_INIT_CONTAINERS      32U
#define LIMIT_VOLUMES              64U
#define LIMIT_MOUNTS               64U
#define LIMIT_ENV_FROM             64U                  /* of one container */
#define LIMIT_VALUES_BYTES         (8U * 1024U * 1024U) /* of secrets and configs in one start */
#define LIMIT_VALUE_FILES          4096U                /* of them in all volumes of a container */
#define LIMIT_PATH_MAX             4095U                /* bytes of a declared path */
#define LIMIT_ITEM_PATH_MAX        1024U /* bytes of a path in a volume of a secret or config */
#define LIMIT_FILE_NAME_MAX        255U  /* bytes of one name: the kernel's */
#define LIMIT_MEMORY_MIN           (1024U * 1024U)                 /* less is a forgotten unit */
#define LIMIT_DURATION_MAX         (UINT64_C(31536000) * 1000000U) /* µs: a year */
#define LIMIT_LOG_RECORD_MAX       (16U * 1024U) /* bytes of payload in one log record */
#define LIMIT_LOG_SIZE_MIN         1024U         /* smallest limit of one log file */
#define LIMIT_LOG_FILES_MIN        2U
#define LIMIT_LOG_FILES_MAX        100U
#define LIMIT_SESSIONS             64U             /* exec sessions of one container */
#define LIMIT_ATTACHED             64U             /* clients of one container's terminal */
#define LIMIT_SESSIONS_ENDED       16U             /* whose result and output wait for somebody */
#define LIMIT_SESSION_CLIENTS      8U              /* of one session whose output is held */
#define LIMIT_SESSION_COMMAND      1024U           /* bytes of a command that a list tells */
#define LIMIT_HELD_OUTPUT          (64U * 1024U)   /* newest bytes of a stream kept for readers */
#define LIMIT_RESULTS              5U              /* results kept for each container */
#define LIMIT_EVENT_SEGMENT        (1024U * 1024U) /* bytes of one of the event log's two files */
#define LIMIT_EVENT_DETAIL         1024U           /* bytes of the sentence in a logged event */
#define LIMIT_PASSWD_FILE_MAX      (1024U * 1024U) /* /etc/passwd and /etc/group of a root */
#define LIMIT_GROUPS_MAX           256U            /* supplementary groups */
#define LIMIT_ID_MAX               65533U          /* highest uid and gid inside a userns */
#define LIMIT_HOST_ID_MAX          2147483647U     /* the same with userns host */
#define LIMIT_IDS_PER_POD          65536U
#define LIMIT_PODS                 10000U
#define LIMIT_PARALLEL_STARTS      16U
#define LIMIT_POLKIT_CHECKS        256U /* questions to polkit under way */
#define LIMIT_POLKIT_CHECKS_EACH   16U  /* the same, about connections of one user */
#define LIMIT_POLKIT_USEC          (UINT64_C(25) * 1000000U)  /* it may have to be started */
#define LIMIT_POLKIT_PEOPLE_USEC   (UINT64_C(120) * 1000000U) /* it asks for a password */
#define LIMIT_NAMESPACES_KNOWN     16U    /* names of namespaces remembered by the store */
#define LIMIT_CALLERS_CACHED       1024U  /* bus credentials remembered */
#define LIMIT_BUS_WAITING          16384U /* calls that were read and are not served yet */
#define LIMIT_BUS_WAITING_BYTES    (64U * 1024U * 1024U)
#define LIMIT_BUS_WAITING_EACH     4096U /* the same of one connection */
#define LIMIT_BUS_EACH_BYTES       (4U * 1024U * 1024U)
#define LIMIT_BUS_HELD             8192U /* calls of those who wait for polkit's word */
#define LIMIT_BUS_HELD_BYTES       (16U * 1024U * 1024U)
#define LIMIT_WRITES_WAITING       10000U /* transactions between the store's loop and its disk */
#define LIMIT_WRITES_WAITING_BYTES (48U * 1024U * 1024U)

#define LIMIT_REFERENCE     4096U /* bytes of a reference, as text */
#define LIMIT_REFERENCE_KEY 1024U /* bytes of the key in it, decoded */

/* Secrets and configs. */
#define LIMIT_DATA_KEY_MAX       256U /* bytes of a key */
#define LIMIT_DATA_KEYS          1024U
#define LIMIT_DATA_MAX           (1024U * 1024U)      /* bytes of all values */
#define LIMIT_DATA_DOCUMENT_MAX  (3U * 1024U * 1024U) /* a secret with its values, as JSON */
#define LIMIT_JOBS               8U     /* backups, verifications and the like at once */
#define LIMIT_QUOTAS             10000U /* namespaces that have one */
#define LIMIT_RETENTION_RULES    256U   /* types with a rule of their own */
#define LIMIT_RETENTION_VERSIONS 10000U /* of one object, by a rule */
#define LIMIT_VERIFY_PROBLEMS    100U   /* told one by one */
#define LIMIT_IMPORT_BYTES       (64U * 1024U * 1024U)
#define LIMIT_DUMP_KEY           (64U * 1024U)         /* bytes of a key in a backup */
#define LIMIT_DUMP_VALUE         (64U * 1024U * 1024U) /* and of a value */
#define LIMIT_STREAM_PACE        (64U * 1024U) /* bytes through a caller's socket, at least, */
#define LIMIT_STREAM_USEC        (UINT64_C(60) * 1000000U) /* in this time */
