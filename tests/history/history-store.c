/* SPDX-License-Identifier: Apache-2.0 */

/* The store's process, its file system, and what it says when all is over. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "history-run.h"
#include "quantity.h"

#define TIMEOUT_USEC (60 * USEC_PER_SEC)
#define SPARE        (256 * 1024) /* bytes that are left free on a disk that is to become full */

/* ---- the file system ---- */

static void set_room(Run *u, uint64_t bytes, unsigned long flags)
{
        char options[64];

        (void) snprintf(options, sizeof(options), "mode=0700,size=%" PRIu64, bytes);
        must(mount("tmpfs", u->dir, "tmpfs", flags, options) >= 0);
}

void store_prepare(Run *u)
{
        set_room(u, u->room, 0);
}

void store_fill_disk(Run *u)
{
        struct statvfs s;

        must(statvfs(u->dir, &s) >= 0);
        set_room(u, (uint64_t) (s.f_blocks - s.f_bfree) * s.f_frsize + SPARE, MS_REMOUNT);
}

void store_make_room(Run *u)
{
        set_room(u, u->room, MS_REMOUNT);
}

/* ---- the process ---- */

void store_start(Run *u)
{
        const char *build = getenv("TANK_BUILD_DIR");
        char program[512], data[512], run[512];

        (void) snprintf(program, sizeof(program), "%s/tankd-store/tankd-store",
                        build ? build : ".");
        (void) snprintf(data, sizeof(data), "%s/data", u->dir);
        (void) snprintf(run, sizeof(run), "%s.run", u->dir);
        u->r->life++;
        u->store = fork();
        must(u->store >= 0);
        if (u->store > 0)
                return;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setenv("TANK_LOG_LEVEL", "crit", 0);
        (void) execl(program, program, "--data-dir", data, "--run-dir", run, NULL);
        _exit(127);
}

void store_signal(Run *u, int sig)
{
        must(kill(u->store, sig) >= 0);
}

void store_kill(Run *u, int sig)
{
        if (u->store <= 0)
                return;
        (void) kill(u->store, sig);
        (void) waitpid(u->store, NULL, 0);
        u->store = 0;
}

void store_check_alive(Run *u)
{
        must(waitpid(u->store, NULL, WNOHANG) == 0); /* it must not end by itself */
}

void store_wait_served(Run *u)
{
        uint64_t until = now_boottime_usec() + TIMEOUT_USEC;

        while (!u->served) {
                store_check_alive(u);
                must(now_boottime_usec() < until);
                must(sd_event_run(u->event, 100 * USEC_PER_MSEC) >= 0);
        }
}

/* ---- reading all of it ---- */

static void add_row(Log *l, size_t *allocated, Row row)
{
        if (l->n_rows == *allocated) {
                *allocated = MAX(2 * *allocated, (size_t) 4096);
                must((l->rows = reallocarray(l->rows, *allocated, sizeof(Row))) != NULL);
        }
        l->rows[l->n_rows++] = row;
}

static bool read_log_page(Log *l, size_t *allocated, sd_bus_message *m)
{
        const char *operation, *type, *namespace, *name, *document;
        uint64_t revision, uid;
        Item item;
        int more;

        must(sd_bus_message_enter_container(m, 'a', "(tsssss)") >= 0);
        while (sd_bus_message_read(m, "(tsssss)", &revision, &operation, &type, &namespace, &name,
                               &document) > 0) {
                if (revision == 1) /* of the store itself: the namespaces that always are */
                        continue;
                must(document_read(document, &item, &uid));
                must(item.key == key_find(type, namespace, name));
                add_row(l, allocated,
                                (Row){ .revision = (uint32_t) revision,
                                                .change = streq(operation, "created")
                                                                          ? CHANGE_CREATED
                                                          : streq(operation, "updated")
                                                                          ? CHANGE_UPDATED
                                                                          : CHANGE_DELETED,
                                                .key = item.key,
                                                .tag = item.tag,
                                                .generation = item.generation,
                                                .document_revision = item.revision,
                                                .uid = uid });
        }
        must(sd_bus_message_exit_container(m) >= 0);
        must(sd_bus_message_read(m, "bt", &more, &revision) >= 0);
        l->n = (uint32_t) revision;
        return more;
}

static void read_log(Run *u, sd_bus *bus)
{
        size_t allocated = 0;
        bool more = true;

        while (more) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

                must(sd_bus_call_method(bus, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE,
                                     "GetChanges", NULL, &reply, "sta{sv}", u->database_id,
                                     (uint64_t) u->r->log.n, 1, "documents", "b", true) >= 0);
                more = read_log_page(&u->r->log, &allocated, reply);
        }
}

static uint32_t read_tag(sd_bus_message *m)
{
        const void *value;
        char text[16] = "";
        uint64_t tag = 0;
        size_t size;

        must(sd_bus_message_read_array(m, 'y', &value, &size) >= 0 && size < sizeof(text));
        memcpy(text, value, size);
        must(size == 0 || parse_u64(text, &tag) >= 0);
        return (uint32_t) tag;
}

static bool read_pairs_page(Log *l, size_t *allocated, sd_bus_message *m, uint64_t *ret_revision)
{
        const char *operation;
        const void *name;
        uint64_t revision;
        int had, has, more;
        char text[16];
        size_t size;

        must(sd_bus_message_enter_container(m, 'a', "(tsaybaybay)") >= 0);
        while (sd_bus_message_enter_container(m, 'r', "tsaybaybay") > 0) {
                Row row = {};

                must(sd_bus_message_read(m, "ts", &revision, &operation) >= 0);
                must(sd_bus_message_read_array(m, 'y', &name, &size) >= 0 && size < sizeof(text));
                memcpy(text, name, size);
                text[size] = 0;
                must(sd_bus_message_read(m, "b", &had) >= 0);
                row.old_tag = read_tag(m);
                must(sd_bus_message_read(m, "b", &has) >= 0);
                row.tag = read_tag(m);
                must(sd_bus_message_exit_container(m) >= 0);
                row.revision = (uint32_t) revision;
                row.key = key_find("key", "", text);
                row.change = !has ? CHANGE_DELETED : had ? CHANGE_UPDATED : CHANGE_CREATED;
                must(row.key >= 0 && streq(operation, has ? "set" : "removed"));
                if (!has)
                        row.tag = row.old_tag;
                add_row(l, allocated, row);
        }
        must(sd_bus_message_exit_container(m) >= 0);
        must(sd_bus_message_read(m, "bt", &more, ret_revision) >= 0);
        return more;
}

static int by_revision(const void *a, const void *b)
{
        const Row *x = a, *y = b;

        if (x->revision != y->revision)
                return x->revision < y->revision ? -1 : 1;
        return x->place < y->place ? -1 : 1;
}

/* Of the same revisions, in a log of their own: what has one kind of change has no other. */
static void read_pairs(Run *u, sd_bus *bus)
{
        Log *l = &u->r->log, pairs = {};
        size_t allocated = 0;
        uint64_t revision = 1;
        bool more = true;

        while (more) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

                must(sd_bus_call_method(bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                     TANK_STORE_INTERFACE ".KeyValue", "GetChanges", NULL, &reply,
                                     "ssta{sv}", u->database_id, PAIRS_STORE, revision, 0) >= 0);
                more = read_pairs_page(&pairs, &allocated, reply, &revision);
        }
        must(revision == l->n);
        must((l->rows = reallocarray(l->rows, l->n_rows + pairs.n_rows + 1, sizeof(Row))) != NULL);
        if (pairs.n_rows > 0)
                memcpy(l->rows + l->n_rows, pairs.rows, pairs.n_rows * sizeof(Row));
        for (size_t i = 0; i < pairs.n_rows; i++) /* each has a revision of its own */
                must(i == 0 || pairs.rows[i].revision > pairs.rows[i - 1].revision);
        l->n_rows += pairs.n_rows;
        u->n_pairs = pairs.n_rows;
        free(pairs.rows);
        /* The rows of one transaction stay in their order. */
        for (size_t i = 0; i < l->n_rows; i++)
                l->rows[i].place = (uint32_t) i;
        qsort(l->rows, l->n_rows, sizeof(Row), by_revision);
}

static void read_standing_pair(Run *u, sd_bus *bus, Key key)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        uint64_t revision;
        char name[16];
        int found;

        u->r->standing[key] = (Item){ .key = key };
        must(sd_bus_message_new_method_call(bus, &m, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE ".KeyValue", "Get") >= 0);
        must(sd_bus_message_append(m, "s", PAIRS_STORE) >= 0);
        must(sd_bus_message_append_array(
                             m, 'y', key_name(key, name), strlen(key_name(key, name))) >= 0);
        must(sd_bus_call(bus, m, 0, NULL, &reply) >= 0);
        must(sd_bus_message_read(reply, "b", &found) >= 0);
        u->r->standing[key].tag = read_tag(reply);
        must(sd_bus_message_read(reply, "t", &revision) >= 0);
        u->r->standing[key].revision = found ? (uint32_t) revision : 0;
}

static void read_standing(Run *u, sd_bus *bus, Key key)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        char name[16];
        const char *text;
        uint64_t uid;

        u->r->standing[key] = (Item){ .key = key };
        if (sd_bus_call_method(bus, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE, "Get",
                            &e, &reply, "sss", key_type(key), key_namespace(key),
                            key_name(key, name)) < 0) {
                must(sd_bus_error_has_name(&e, "org.tankd.Error.NotFound"));
                return;
        }
        must(sd_bus_message_read(reply, "s", &text) >= 0);
        must(document_read(text, &u->r->standing[key], &uid));
}

void store_read_all(Run *u)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;

        must(sd_bus_open_system(&bus) >= 0);
        read_log(u, bus);
        read_pairs(u, bus);
        for (Key k = 0; k < N_DOCUMENTS; k++)
                read_standing(u, bus, k);
        for (Key k = N_DOCUMENTS; k < N_KEYS; k++)
                read_standing_pair(u, bus, k);
}
