/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The table of fields. Everything that is said about a field is said here once; the validator, the
 * printer of the reference and the tests walk it. Internal to spec-*.c, and to their tests. */

#include "spec.h"

typedef enum SpecKind {
        SPEC_KIND,   /* the name of a type */
        SPEC_NAME,   /* a name */
        SPEC_STRING, /* any text */
        SPEC_WORD,   /* one of .words */
        SPEC_BOOL,
        SPEC_COUNT,       /* a whole number within .min and .max */
        SPEC_SIZE,        /* bytes, within .min and .max */
        SPEC_DURATION,    /* µs, within .min and .max */
        SPEC_CPU,         /* a number of CPUs or {quota, period}; stored as the latter */
        SPEC_PATH,        /* an absolute path */
        SPEC_MOUNT_POINT, /* one where a volume may be mounted */
        SPEC_SIGNAL,
        SPEC_USER,  /* name or uid[:gid] */
        SPEC_GROUP, /* name or gid */
        SPEC_CAPABILITY,
        SPEC_LABELS,
        SPEC_ANNOTATIONS,
        SPEC_ENVIRONMENT,
        SPEC_HOSTNAME,
        SPEC_HOSTS,           /* a map of names to addresses */
        SPEC_DATA,            /* a map of keys to text or one of .fields */
        SPEC_REFERENCE,       /* NAME/KEY, of a secret or config */
        SPEC_VARIABLE_PREFIX, /* what the names of variables begin with */
        SPEC_FILE_MODE,       /* octal digits; stored as four of them */
        SPEC_ITEMS,           /* a map of keys to relative paths */
        SPEC_OBJECT,          /* the fields of .fields; or, besides, one of .words */
        SPEC_OTHER,           /* a field that does not work yet and whose shape nobody checks */
} SpecKind;

typedef struct SpecField {
        const char *name;
        SpecKind kind;
        bool list; /* a list of such values, .min_items to .max_items of them */
        bool required;
        bool later;  /* known, refused with NotSupported */
        bool one_of; /* of an object: exactly one of its fields, not counting those with .beside */
        const char *beside; /* "a|b": belongs to these fields of an object that is one_of */
        size_t min_items, max_items;
        uint64_t min, max;              /* max 0: none */
        const struct SpecField *fields; /* ends with a field without a name */
        const char *words;              /* "a|b": accepted */
        const char *later_words; /* "c|d": known, refused with NotSupported; "*": any other word */
        const char *instead;     /* with "*": the sentence that refuses them */
        const char *privileged;  /* "a|b": these values need the right `privileged`; "*": any */
        const char *section;     /* .fields are described in the reference's section of that name */
        const char *type;        /* for people; kind and words tell it where this is NULL */
        const char *fallback;    /* the default, for people */
        const char *note;
} SpecField;

typedef struct SpecType {
        const char *name;
        const SpecField *fields;
        const char *about; /* for people */
        bool later;
        bool open; /* fields that are not in the table are kept as they are */
        bool no_namespace;
} SpecType;

/* Ends with a type without a name: the one for all others. */
extern const SpecType spec_types[];

const SpecType *spec_find_type(const char *name); /* never NULL */
const SpecField *spec_find_field(const SpecField *fields, const char *name);

/* Whether @word is one of "a|b|c". */
bool spec_word_in(const char *words, const char *word);

/* Backoff and the like: the one place where defaults have values. */
#define SPEC_BACKOFF_BASE_USEC  (10 * USEC_PER_SEC)
#define SPEC_BACKOFF_CAP_USEC   (300 * USEC_PER_SEC)
#define SPEC_BACKOFF_RESET_USEC (600 * USEC_PER_SEC)
#define SPEC_GRACE_USEC         (10 * USEC_PER_SEC)
#define SPEC_VALUE_FILE_MODE    0400U
#define SPEC_CPU_PERIOD_USEC    (100 * USEC_PER_MSEC)
#define SPEC_LOG_MAX_SIZE       UINT64_C(5000000)
#define SPEC_LOG_MAX_FILES      5U
