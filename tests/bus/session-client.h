/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A client of the sessions of one container, as tests want it: calls the shim over the bus, reads
 * the control socket and the streams, and fails the test on any breach of the protocol. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "shim-fixture.h"

/* The container that the sessions are in; the test's to make. */
extern ShimFixture fixture;

typedef struct Options {
        const char *const *env;
        const char *user, *working_dir;
        bool tty;
        uint16_t rows, cols;
        const char *disconnect, *stdio; /* held: the answer has no stdio */
        bool input;
} Options;

typedef struct Client {
        uint32_t number;
        int control, stdio[3]; /* with a terminal: [0] is its master */
        bool tty;
        pid_t pid; /* of `started` */
        /* of `exit` */
        char kind[16], stage[32];
        int code;
} Client;

typedef struct Bytes {
        char *data;
        size_t size;
} Bytes;

void bytes_done(Bytes *b);

void client_close(Client *c);

sd_bus *open_bus(void);
int call_exec(sd_bus *bus, const char *const *argv, const Options *o, Client *ret,
                sd_bus_error *reterr);
/* @o may be NULL. */
Client start(const char *const *argv, const Options *o);
/* A client of a session whose output is held: its stdio as if it had started it. */
int call_open(sd_bus *bus, uint32_t number, bool tty, bool input, Client *ret,
                sd_bus_error *reterr);
Client open_session(uint32_t number, bool tty, bool input);
void kill_session(uint32_t number, int signo);
/* A value that ListSessions tells of one, as text; "" when it does not; "gone" when there is no
 * such session. */
const char *session_value(uint32_t number, const char *key, char buf[static 256]);
/* Until it is @expected. */
void wait_session(uint32_t number, const char *key, const char *expected);

/* -EAGAIN when there is none yet, 0 at end of file, else 1. */
int read_control(Client *c);
void wait_started(Client *c);
/* From a terminal, until @word has come. */
void read_until(Client *c, Bytes *out, const char *word);
/* Until `exit`; reads no output. */
void wait_exit(Client *c);
/* Runs the session to its end: input in, output out, until `exit` and the end of every stream.
 * Closes it. */
void finish(Client *c, const Bytes *input, Bytes *out, Bytes *err);
/* Everything at once; the program's output as a string. */
Client run(const char *const *argv, const Options *o, Bytes *out);

#define SH(script) ((const char *const[]){ "sh", "-c", script, NULL })

void send_control(Client *c, const char *type, const char *key, unsigned v, const char *key2,
                unsigned v2);

void expect_output(const char *const *argv, const Options *o, const char *expected);
void expect_exit(const Client *c, const char *kind, int code);
void expect_refused(const char *const *argv, const Options *o, const char *name);

void wait_gone(pid_t pid);
uint32_t count_sessions(sd_bus *bus);
void wait_no_sessions(sd_bus *bus);
