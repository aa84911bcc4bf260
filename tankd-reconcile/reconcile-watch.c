/* SPDX-License-Identifier: Apache-2.0 */

/* The store client; see reconcile-watch.h.
 *
 *   absent ── name has an owner ──> probing ── position continues ──> following
 *                                     |  ^                             |  ^
 *                         otherwise   v  |  reads fail, another id     v  | list complete
 *                                   listing <──── Compacted ──────── reading
 *                                            (by way of probing)
 *
 * Each list is read right behind a probe, as the store's State says whether the list can be whole.
 * A store that is degraded may not list what it cannot read: after a list of such a one every
 * resync probes, and another list is read once the store is well. */

#include <stdio.h>

#include "bus-names.h"
#include "bus-util.h"
#include "error.h"
#include "log.h"
#include "reconcile-desired.h"
#include "reconcile-watch.h"

/* A stream of hints is read at most so often; a single one, and a slow sequence, at once. */
#define STREAM_WINDOW_USEC (20 * USEC_PER_MSEC)
#define STREAM_READS       8U

typedef enum WatchState {
        WATCH_ABSENT,    /* no bus, or nobody has the store's name */
        WATCH_PROBING,   /* asks for the store's position */
        WATCH_LISTING,   /* reads the list, page by page */
        WATCH_FOLLOWING, /* up to date as far as known */
        WATCH_READING,   /* reads changes */
} WatchState;

struct Watch {
        Manager *manager;
        sd_bus *bus;
        sd_bus_slot *match_changed, *match_owner, *call, *resync;
        sd_event_source *timer;
        WatchState state;
        char database_id[ID128_SIZE];
        uint64_t revision; /* read up to here */
        bool again;        /* a hint came while a read was under way */
        bool list_anew;    /* there is nothing to continue from: a list behind the next probe */
        bool degraded;     /* the store was, at the newest probe */
        uint64_t read;     /* number of the newest reading that has begun */
        uint64_t window_start;
        unsigned window_reads;
};

static int watch_probe(Watch *w);
static void watch_list(Watch *w);
static int watch_list_page(Watch *w, const char *token);
static int watch_read_changes(Watch *w);

/* ---- calls ---- */

/* Calls to the store never start it: whether it runs is for the service manager to say. */
static int watch_call_new(Watch *w, const char *interface, const char *member, sd_bus_message **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        w->bus, &m, TANK_STORE_NAME, TANK_STORE_PATH, interface, member);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                *ret = TAKE_PTR(m);
        return r;
}

static void watch_gone(Watch *w)
{
        w->call = sd_bus_slot_unref(w->call);
        w->state = WATCH_ABSENT;
        w->again = false;
        manager_store_gone(w->manager);
}

static bool is_absence(const sd_bus_error *e)
{
        return sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN,
                        SD_BUS_ERROR_NAME_HAS_NO_OWNER, SD_BUS_ERROR_NO_REPLY,
                        SD_BUS_ERROR_DISCONNECTED, SD_BUS_ERROR_TIMEOUT);
}

/* A call failed: the store is gone, or something is wrong that the next resync tries again. */
static void watch_failed(Watch *w, sd_bus_message *reply, const char *what)
{
        const sd_bus_error *e = sd_bus_message_get_error(reply);

        if (!is_absence(e))
                log_error("the store did not answer %s: %s: %s; trying again in 5 s", what, e->name,
                                strempty(e->message));
        watch_gone(w);
}

static void watch_check(Watch *w, int r, const char *what)
{
        if (r >= 0)
                return;
        log_error_errno(r, "cannot %s, trying again in 5 s", what);
        watch_gone(w);
}

/* ---- position ---- */

/* -ENOMEDIUM: there is a store, and it has no database that it could open. */

static int read_position(sd_bus_message *reply, char ret_id[static ID128_SIZE],
                uint64_t *ret_revision, bool *ret_degraded)
{
        const char *key, *id = NULL, *state = NULL;
        uint64_t revision = 0;
        bool have_revision = false;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &key);
                if (r < 0)
                        return r;
                if (streq(key, "DatabaseId"))
                        r = sd_bus_message_read(reply, "v", "s", &id);
                else if (streq(key, "State"))
                        r = sd_bus_message_read(reply, "v", "s", &state);
                else if (streq(key, "Revision")) {
                        r = sd_bus_message_read(reply, "v", "t", &revision);
                        have_revision = true;
                } else
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (streq_ptr(id, ""))
                return -ENOMEDIUM;
        if (!id || !id_is_valid(id) || !have_revision)
                return -EBADMSG;
        (void) snprintf(ret_id, ID128_SIZE, "%s", id);
        *ret_revision = revision;
        *ret_degraded = !streq_ptr(state, "ok");
        return 0;
}

static int on_position(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        StoreVerdict verdict;
        Watch *w = userdata;
        uint64_t revision;
        int r;

        w->call = sd_bus_slot_unref(w->call);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                watch_failed(w, reply, "for its position");
                return 0;
        }
        r = read_position(reply, w->database_id, &revision, &w->degraded);
        if (r == -ENOMEDIUM) { /* why, it says itself; here that is as if it were not there */
                watch_gone(w);
                return 0;
        }
        if (r < 0) {
                watch_check(w, r, "read the store's position");
                return 0;
        }
        verdict = manager_store_appeared(w->manager, w->database_id, revision);
        if (verdict == STORE_LIST || w->list_anew ||
                        (w->manager->list_is_partial && !w->degraded)) {
                watch_list(w);
                return 0;
        }
        w->revision = w->manager->revision;
        watch_check(w, watch_read_changes(w), "read the store's changes");
        return 0;
}

static int watch_probe(Watch *w)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        w->call = sd_bus_slot_unref(w->call);
        w->state = WATCH_PROBING;
        w->again = false;
        r = watch_call_new(w, "org.freedesktop.DBus.Properties", "GetAll", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", TANK_STORE_INTERFACE);
        if (r >= 0)
                r = sd_bus_call_async(w->bus, &w->call, m, on_position, w, 0);
        return r;
}

static void watch_list_anew(Watch *w)
{
        w->list_anew = true;
        watch_check(w, watch_probe(w), "ask the store for its position");
}

/* ---- lists ---- */

static int on_page(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        Watch *w = userdata;
        const char *document, *next;
        uint64_t revision;
        int r;

        w->call = sd_bus_slot_unref(w->call);
        if (sd_bus_message_is_method_error(reply, TANK_ERROR_COMPACTED)) {
                log_info("what the list's first page was read from is compacted: listing anew");
                watch_list_anew(w);
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL)) {
                watch_failed(w, reply, "List");
                return 0;
        }
        r = sd_bus_message_enter_container(reply, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(reply, "s", &document)) > 0)
                manager_list_document(w->manager, document);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "st", &next, &revision);
        if (r >= 0 && *next)
                r = watch_list_page(w, next);
        else if (r >= 0) {
                w->revision = revision; /* of all pages */
                manager_list_end(w->manager, revision, !w->degraded);
                /* What changed while they were read. */
                r = watch_read_changes(w);
        }
        watch_check(w, r, "list the store's pods");
        return 0;
}

static int watch_list_page(Watch *w, const char *token)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        w->state = WATCH_LISTING;
        r = watch_call_new(w, TANK_STORE_INTERFACE, "List", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", "pod", "");
        if (r >= 0)
                r = *token ? sd_bus_message_append(m, "a{sv}", 1, "continue", "s", token)
                           : sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_call_async(w->bus, &w->call, m, on_page, w, 0);
        return r;
}

static void watch_list(Watch *w)
{
        w->list_anew = false;
        manager_list_begin(w->manager);
        watch_check(w, watch_list_page(w, ""), "list the store's pods");
}

/* ---- changes ---- */

static int read_changes(Watch *w, sd_bus_message *reply, bool *ret_more)
{
        const char *operation, *type, *namespace, *name, *document;
        uint64_t revision;
        int r, more;

        r = sd_bus_message_enter_container(reply, 'a', "(tsssss)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(tsssss)", &revision, &operation, &type,
                                          &namespace, &name, &document)) > 0) {
                manager_change(w->manager, revision, operation, type, namespace, name, document);
                w->revision = revision;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "bt", &more, &revision);
        if (r < 0)
                return r;
        /* Also when there is more, behind changes of which none was told. */
        w->revision = MAX(w->revision, revision);
        *ret_more = more;
        return 0;
}

static void watch_follow(Watch *w);

static int on_changes(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        Watch *w = userdata;
        bool more;
        int r;

        w->call = sd_bus_slot_unref(w->call);
        if (sd_bus_message_is_method_error(reply, TANK_ERROR_COMPACTED)) {
                log_info("the store's changes since revision %" PRIu64 " are compacted: reading a "
                         "list",
                                w->revision);
                watch_list_anew(w);
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, TANK_ERROR_FAILED_PRECONDITION)) {
                watch_check(w, watch_probe(w), "ask the store for its position");
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL)) {
                watch_failed(w, reply, "GetChanges");
                return 0;
        }
        r = read_changes(w, reply, &more);
        if (r >= 0 && more) {
                r = watch_read_changes(w);
                watch_check(w, r, "read the store's changes");
                return 0;
        }
        if (r < 0) {
                watch_check(w, r, "read the store's changes");
                return 0;
        }
        w->state = WATCH_FOLLOWING;
        manager_caught_up(w->manager, w->revision, w->read);
        if (w->again)
                watch_follow(w);
        return 0;
}

static int watch_read_changes(Watch *w)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        if (w->state != WATCH_READING)
                w->read++;
        w->state = WATCH_READING;
        w->again = false;
        r = watch_call_new(w, TANK_STORE_INTERFACE, "GetChanges", &m);
        if (r >= 0)
                r = sd_bus_message_append(
                                m, "sta{sv}", w->database_id, w->revision, 1, "documents", "b", 1);
        if (r >= 0)
                r = sd_bus_call_async(w->bus, &w->call, m, on_changes, w, 0);
        return r;
}

static int on_window_end(sd_event_source *source, uint64_t usec, void *userdata)
{
        Watch *w = userdata;

        if (w->state == WATCH_FOLLOWING && w->again)
                watch_check(w, watch_read_changes(w), "read the store's changes");
        return 0;
}

/* There is something to read: now, or, in a stream, at the end of the window. */
static void watch_follow(Watch *w)
{
        uint64_t now = now_boottime_usec();
        int r;

        w->again = true;
        if (w->state != WATCH_FOLLOWING)
                return; /* the reading under way is followed by another */
        if (now - w->window_start >= STREAM_WINDOW_USEC) {
                w->window_start = now;
                w->window_reads = 0;
        }
        if (w->window_reads++ < STREAM_READS) {
                watch_check(w, watch_read_changes(w), "read the store's changes");
                return;
        }
        r = sd_event_source_set_time(w->timer, w->window_start + STREAM_WINDOW_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
        watch_check(w, r, "arm the timer of the store's changes");
}

int watch_read(Watch *w, uint64_t *ret_read)
{
        if (!w->bus || w->state == WATCH_ABSENT)
                return -ENOTCONN;
        /* One that is under way may have begun before the caller's own write. */
        *ret_read = w->read + 1;
        if (w->state == WATCH_FOLLOWING)
                watch_check(w, watch_read_changes(w), "read the store's changes");
        else
                w->again = true;
        return w->state == WATCH_ABSENT ? -ENOTCONN : 0;
}

void watch_restart(Watch *w)
{
        if (w->bus && w->state != WATCH_ABSENT)
                watch_check(w, watch_probe(w), "ask the store for its position");
}

/* ---- hints ---- */

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Watch *w = userdata;
        const char *id;
        uint64_t revision;

        if (sd_bus_message_read(m, "st", &id, &revision) < 0 || w->state == WATCH_ABSENT)
                return 0;
        if (w->state == WATCH_PROBING || w->state == WATCH_LISTING)
                return 0; /* changes are read behind that anyway */
        if (!streq(id, w->database_id))
                watch_check(w, watch_probe(w), "ask the store for its position");
        else if (revision > w->revision)
                watch_follow(w);
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Watch *w = userdata;
        const char *name, *old, *new;

        if (!bus_message_is_from_bus(m) || sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
                return 0;
        if (*old)
                watch_gone(w);
        if (*new)
                watch_check(w, watch_probe(w), "ask the store for its position");
        return 0;
}

static int on_resync(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        Watch *w = userdata;
        uint64_t revision;

        w->resync = sd_bus_slot_unref(w->resync);
        if (w->state != WATCH_FOLLOWING)
                return 0;
        if (sd_bus_message_is_method_error(reply, NULL)) {
                watch_failed(w, reply, "for its revision");
                return 0;
        }
        if (sd_bus_message_read(reply, "v", "t", &revision) < 0)
                return 0;
        if (revision > w->revision)
                watch_follow(w);
        else if (revision < w->revision)
                watch_check(w, watch_probe(w), "ask the store for its position");
        return 0;
}

void watch_resync(Watch *w)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        if (!w->bus || w->resync)
                return;
        if (w->state == WATCH_ABSENT) {
                watch_check(w, watch_probe(w), "ask the store for its position");
                return;
        }
        if (w->state != WATCH_FOLLOWING)
                return;
        if (w->manager->list_is_partial) {
                watch_check(w, watch_probe(w), "ask the store for its position");
                return;
        }
        r = watch_call_new(w, "org.freedesktop.DBus.Properties", "Get", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", TANK_STORE_INTERFACE, "Revision");
        if (r >= 0)
                r = sd_bus_call_async(w->bus, &w->resync, m, on_resync, w, 0);
        watch_check(w, r, "ask the store for its revision");
}

/* ---- connections ---- */

int watch_connected(Watch *w, sd_bus *bus)
{
        int r;

        w->bus = bus;
        /* Asynchronous, and in order: what follows is answered after the matches are in place. */
        r = sd_bus_match_signal_async(bus, &w->match_changed, TANK_STORE_NAME, TANK_STORE_PATH,
                        TANK_STORE_INTERFACE, "Changed", on_changed, NULL, w);
        if (r >= 0)
                r = sd_bus_add_match_async(bus, &w->match_owner,
                                "type='signal',sender='org.freedesktop.DBus',"
                                "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                                "member='NameOwnerChanged',arg0='" TANK_STORE_NAME "'",
                                on_owner, NULL, w);
        if (r >= 0)
                r = watch_probe(w);
        return r;
}

void watch_disconnected(Watch *w)
{
        w->match_changed = sd_bus_slot_unref(w->match_changed);
        w->match_owner = sd_bus_slot_unref(w->match_owner);
        w->resync = sd_bus_slot_unref(w->resync);
        watch_gone(w);
        w->bus = NULL;
}

int watch_new(Manager *m, Watch **ret)
{
        CLEANUP(watch_freep) Watch *w = calloc(1, sizeof(Watch));
        int r;

        if (!w)
                return -ENOMEM;
        w->manager = m;
        r = sd_event_add_time(
                        m->event, &w->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_window_end, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

Watch *watch_free(Watch *w)
{
        if (!w)
                return NULL;
        sd_bus_slot_unref(w->match_changed);
        sd_bus_slot_unref(w->match_owner);
        sd_bus_slot_unref(w->call);
        sd_bus_slot_unref(w->resync);
        sd_event_source_disable_unref(w->timer);
        free(w);
        return NULL;
}
