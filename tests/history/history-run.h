/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A run: clients and watchers on connections of their own, in one loop, and a store that is killed,
 * stopped and left without room under them. Failures of the test itself end the process. */

#include <jansson.h>

#include "history.h"

#define N_CLIENTS 8
#define IN_FLIGHT 6 /* calls of each client */

#define PAIRS_STORE "history" /* where the keys are */

typedef struct Run Run;

static inline bool op_is_of_pair(const Op *op)
{
        return (op->kind == OP_GET && key_is_pair(op->items->key)) ||
               (op->kind == OP_WRITE && key_is_pair(op->steps->key));
}

typedef struct Client {
        Run *run;
        unsigned index;
        sd_bus *bus;
        unsigned in_flight;
        unsigned generation; /* of the connection: answers to an earlier one came too late */
        uint64_t random;
} Client;

typedef struct Watcher {
        Run *run;
        unsigned index;
        sd_bus *bus;
        Stream *stream;
        bool asking, again;
        size_t op; /* the call under way */
        bool slow; /* looks only now and then */
        uint64_t look_usec;
        unsigned generation;
        uint64_t random;
} Watcher;

typedef struct Faults {
        size_t all, kills, stops, full, reconnects;
} Faults;

struct Run {
        Recording *r;
        sd_event *event;
        uint32_t seed;
        uint64_t random; /* for faults */
        size_t target;   /* calls to make */
        size_t made, done;
        bool ending;

        sd_bus *bus; /* sees the name come and go */
        bool served;
        pid_t store;
        char *database_id;
        const char *dir; /* a file system of its own, of so many bytes */
        uint64_t room;

        Client clients[N_CLIENTS];
        Watcher watchers[N_STREAMS];
        struct {
                uint32_t revision, tag;
        } known[N_KEYS]; /* what a client heard of it last */
        uint32_t tags;
        Faults faults;
        size_t n_pairs;    /* changes of key-value data */
        size_t unexpected; /* errors that no call should give */
};

#define must(condition) must_be(condition, #condition, __FILE__, __LINE__)
void must_be(bool condition, const char *text, const char *file, int line);

uint32_t draw(uint64_t *random, uint32_t below);

/* history-document.c */
char *document_of(Key key, uint32_t tag);
/* What a document of the store's says of itself. false: it is none of ours. */
bool document_read(const char *text, Item *ret, uint64_t *ret_uid);

/* history-client.c */
void client_connect(Client *c);
void client_drop(Client *c); /* without waiting for its answers */
void client_go_on(Client *c);
/* history-answer.c */
bool never_arrived(const sd_bus_error *e);   /* the call: nothing happened */
bool nobody_answered(const sd_bus_error *e); /* it may have */
/* The token of the page that is to be asked for next, or "". */
const char *answer_read(Run *u, Op *op, sd_bus_message *m);

/* history-watch.c */
void watcher_connect(Watcher *w);
void watcher_drop(Watcher *w);
void watcher_look(Watcher *w);

/* history-store.c */
void store_prepare(Run *u); /* its directory */
void store_start(Run *u);
void store_kill(Run *u, int sig); /* and sees it gone */
void store_signal(Run *u, int sig);
void store_fill_disk(Run *u);
void store_make_room(Run *u);
void store_wait_served(Run *u);
void store_check_alive(Run *u); /* unless it was killed */
void store_read_all(Run *u);    /* the log, and what stands, by a connection of its own */
