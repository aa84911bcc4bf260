/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A recording of what several clients asked a store and what it answered, and whether that can
 * have been.
 *
 * Time is a counter: each call and each answer has a number of its own, in the order in which the
 * one process that makes all calls saw them; so of two calls one was over before the other began,
 * or they overlapped. What the store did is its change log, read when all is over; its revisions
 * put all effects into one order, and history-check finds for every call a place in it.
 *
 *      history-model   the sequential store: what a write would do at a revision
 *      history-log     what it did: the versions of each object, by revision
 *      history-check   the places of calls, writes that nobody asked for, the watchers
 *      history-spoil   damages a recording, to see that the check sees it
 *      history-client  random calls; history-answer: what came of them
 *      history-watch   those who follow the changes
 *      history-store   the store's process, and what happens to it */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"

/* ---- what there is ---- */

#define N_TYPES      2
#define N_SPACES     3 /* the first is "default", which always is */
#define N_NAMES      12
#define N_OBJECTS    (N_TYPES * N_SPACES * N_NAMES)
#define N_DOCUMENTS  (N_OBJECTS + N_SPACES - 1) /* the other namespaces are objects, too */
#define N_KEYS       (N_DOCUMENTS + 24)         /* and behind them keys of the key-value data */
#define N_COLORS     3
#define STEPS_MAX    8U
#define REVISION_MAX 0xffffffffU

typedef int Key; /* (type * N_SPACES + space) * N_NAMES + name; behind them the namespaces */

static inline bool key_is_space(Key k)
{
        return k >= N_OBJECTS && k < N_DOCUMENTS;
}

/* Of the key-value data: "apply" sets it, "delete" removes it. */
static inline bool key_is_pair(Key k)
{
        return k >= N_DOCUMENTS;
}

static inline int key_space(Key k)
{
        return key_is_space(k) ? k - N_OBJECTS + 1 : k / N_NAMES % N_SPACES;
}

static inline Key space_key(int space) /* -1: of "default", which nobody touches */
{
        return space == 0 ? -1 : N_OBJECTS + space - 1;
}

extern const char *const type_names[N_TYPES], *const space_names[N_SPACES];
const char *key_type(Key k);
const char *key_namespace(Key k);
const char *key_name(Key k, char buf[static 16]);
Key key_find(const char *type, const char *namespace, const char *name); /* -1: not one of ours */

/* ---- calls ---- */

typedef enum Verb {
        VERB_CREATE,
        VERB_APPLY,
        VERB_UPDATE,
        VERB_DELETE,
        VERB_ROLLBACK,
        VERB_CHECK,
        _VERB_MAX,
} Verb;
extern const char *const verb_names[_VERB_MAX];

typedef struct Step {
        Verb verb;
        Key key;
        uint32_t tag;      /* of a document: all of it follows from its tag */
        uint32_t revision; /* rollback: of the version */
        bool has_if;
        uint32_t if_revision;
} Step;

static inline int tag_color(uint32_t tag)
{
        return (int) (tag % N_COLORS);
}

typedef enum Change {
        CHANGE_UNCHANGED,
        CHANGE_ABSENT,
        CHANGE_CREATED,
        CHANGE_UPDATED,
        CHANGE_DELETED,
        _CHANGE_MAX,
} Change;
extern const char *const change_names[_CHANGE_MAX];

typedef struct StepAnswer {
        Change change;
        uint32_t revision, generation;
} StepAnswer;

typedef enum Refusal {
        REFUSAL_NONE,
        REFUSAL_NOT_FOUND,
        REFUSAL_ALREADY_EXISTS,
        REFUSAL_CONFLICT,
        REFUSAL_INVALID_ARGUMENT,
        REFUSAL_FAILED_PRECONDITION,
        REFUSAL_STATE, /* the store takes none, or no more: says nothing of the objects */
        _REFUSAL_MAX,
} Refusal;

typedef enum OpKind {
        OP_WRITE,
        OP_TRANSACTION,
        OP_GET,
        OP_LIST,
        OP_CHANGES, /* a watcher's page that was the last one: the store stood at its revision */
        OP_SIGNAL,  /* Changed told a revision: @invoked is when */
} OpKind;

typedef enum Result {
        RESULT_OPEN, /* no answer came: may have happened */
        RESULT_OK,
        RESULT_REFUSED, /* has not happened */
        RESULT_UNKNOWN, /* an answer came that leaves it open */
} Result;

typedef struct Item { /* of a list, or what a Get found */
        Key key;
        uint32_t revision, generation, tag; /* revision 0: nothing is there */
} Item;

typedef struct Op {
        OpKind kind;
        uint8_t client;
        Result result;
        Refusal refusal;
        uint8_t refused_step;
        bool has_refused_revision;
        bool accepted;              /* key-value data: answered, or read, before it is durable */
        uint8_t n;                  /* steps; 1 of a single write */
        uint32_t refused_revision;  /* what a Conflict or AlreadyExists told */
        uint32_t invoked, answered; /* 0: never */
        uint32_t life;     /* of the store, when it was invoked: how often it was started */
        uint32_t revision; /* as answered: of the transaction, the list, the changes */
        Step *steps;
        StepAnswer *answers;
        int list_type, list_space, list_color; /* -1: all of them */
        uint32_t list_at;                      /* as of a revision; 0: as it is */
        Item *items;
        uint32_t n_items;
        uint32_t effect; /* found by the check: the revision that it made; 0: none */
} Op;

/* ---- what the store did ---- */

typedef struct Row { /* of the change log */
        uint32_t revision;
        Change change;
        Key key;
        uint32_t tag, generation;
        uint32_t document_revision; /* of the document that came with it */
        uint64_t uid;               /* half of it */
        uint32_t place;             /* while it is sorted */
        uint32_t old_tag;           /* of key-value data alone, which has none of these three */
} Row;

typedef struct Version {
        uint32_t revision, tag, generation;
        uint64_t uid;
        bool gone;
} Version;

typedef struct Log {
        Row *rows;
        size_t n_rows;
        uint32_t n; /* the newest revision */

        /* made by log_build() */
        uint32_t *first; /* of each revision from 0 to n + 1: its first row */
        Version *versions[N_KEYS];
        size_t n_versions[N_KEYS];
        uint32_t *counts[N_SPACES]; /* by revision: how many objects stand there */
} Log;

/* ---- watchers ---- */

typedef struct Watched {
        uint32_t revision;
        Change change;
        Key key;
        uint32_t tag;
        bool ends_page;
} Watched;

typedef struct Stream {
        const char *name;
        int type, color;   /* -1: all */
        uint32_t from, to; /* everything behind the one up to the other has been told */
        Watched *rows;
        size_t n, allocated;
} Stream;

#define N_STREAMS 4

typedef struct Recording {
        Op *ops;
        size_t n, allocated;
        uint32_t now;  /* the number of the newest event */
        uint32_t life; /* of the store: how often it was started */
        Log log;
        Item standing[N_KEYS]; /* read with Get at the very end */
        Stream streams[N_STREAMS];
} Recording;

/* The index of the new one: memory moves. */
size_t recording_add(Recording *r, OpKind kind, unsigned client);
void recording_done(Recording *r);

/* ---- checking; each says on standard error what is wrong, and returns false ---- */

bool log_build(Log *l);
void log_done(Log *l);
/* What stood there at a revision; NULL: nothing. */
const Version *log_find(const Log *l, uint32_t revision, Key key);
/* The version that a revision made of it, a deletion included; NULL: none. */
const Version *log_version(const Log *l, uint32_t revision, Key key);

typedef struct Outcome {
        Refusal refusal;
        unsigned refused_step;
        uint32_t refused_revision; /* where the object stands */
        struct {
                Change change;
                uint32_t tag, generation;
                uint32_t revision; /* where it stood, and stays; of no meaning to an effect */
        } steps[STEPS_MAX];
        unsigned n_effects;
} Outcome;

/* What the write would do, were it the first one behind @revision. */
void model_run(const Log *l, uint32_t revision, const Op *op, Outcome *ret);

typedef struct Findings {
        size_t effective, ineffective, refused, open_happened, open_lost, reads, lists, changes,
                        signals;
        size_t excused; /* accepted calls that found a write which was lost */
} Findings;

bool history_check(Recording *r, Findings *ret);
/* Whether a write was under way that @op may have found, and was lost. */
bool history_excuses(const Recording *r, const Op *op);
PRINTF_LIKE(1, 2) bool history_wrong(const char *format, ...); /* false */
extern bool history_quiet;

/* Damages the recording in the @i-th way and says which; NULL: there is no such way. It is to be
 * undone with history_mend(). */
const char *history_spoil(Recording *r, unsigned i, uint32_t seed);
void history_mend(Recording *r);
