/* SPDX-License-Identifier: Apache-2.0 */

/* kv watch: what a store holds, that this is all, and every change from then on.
 *
 * The list and the changes are of what is durable, so that together they are exact: the changes
 * behind the revision of the list are those that it does not show. Its later pages may be newer
 * than that; what they show already is not told again. Changed only wakes. When there is nothing to
 * go on from (the changes are compacted, the database is another one), that is told, and it begins
 * anew with a list. */

#include <inttypes.h>
#include <stdio.h>

#include "base64.h"
#include "ctl-follow.h"
#include "ctl-json.h"
#include "ctl-kv.h"
#include "ctl-table.h"
#include "document.h"
#include "error.h"

typedef struct KvWatch {
        Follow follow;
        const char *store;
        Table *table; /* NULL: JSON lines */
        char *database_id;
        uint64_t revision; /* read up to here */
        json_t *ahead;     /* keys that the list showed newer than its revision: their revisions */
        bool listed, more;
} KvWatch;

static void kv_watch_done(KvWatch *w)
{
        follow_done(&w->follow);
        table_free(w->table);
        free(w->database_id);
        json_decref(w->ahead);
}

/* ---- showing ------------------------------------------------------------------------------- */

typedef struct Change {
        uint64_t revision;
        const char *event;
        KvData key, old, new;
        int had_old, has_new;
} Change;

/* For people: the value that is, or why there is none. */
static int show_row(KvWatch *w, const Change *c)
{
        CLEANUP_JSON json_t *key = kv_json(c->key);
        CLEANUP_JSON json_t *value = c->has_new ? kv_json(c->new) : json_null();

        if (!key || !value)
                return -ENOMEM;
        table_addf(w->table, "%" PRIu64, c->revision);
        table_add(w->table, c->event, c->has_new ? COLOR_NONE : COLOR_BAD);
        if (json_is_string(key))
                table_add(w->table, json_string_value(key), COLOR_NONE);
        else
                table_addf(w->table, "(%zu bytes)", c->key.size);
        if (!c->has_new || json_is_string(value))
                table_add(w->table, strempty(json_string_value(value)), COLOR_NONE);
        else
                table_addf(w->table, "(%zu bytes)", c->new.size);
        return 0;
}

static int show_json(const Change *c)
{
        CLEANUP_JSON json_t *o = json_pack("{ss sI so so? so?}", "event", c->event, "revision",
                        (json_int_t) c->revision, "key", kv_json(c->key), "old",
                        c->had_old ? kv_json(c->old) : NULL, "new",
                        c->has_new ? kv_json(c->new) : NULL);

        return o ? json_print_line(stdout, o) : -ENOMEM;
}

static int show(KvWatch *w, const Change *c)
{
        return w->table ? show_row(w, c) : show_json(c);
}

/* A line about the whole. */
static int show_mark(KvWatch *w, const char *event)
{
        CLEANUP_JSON json_t *o = NULL;

        if (w->table) {
                table_addf(w->table, "%" PRIu64, w->revision);
                table_add(w->table, event, COLOR_PENDING);
                table_add(w->table, "", COLOR_NONE);
                table_add(w->table, "", COLOR_NONE);
                return 0;
        }
        o = json_pack("{ss sI}", "event", event, "revision", (json_int_t) w->revision);
        return o ? json_print_line(stdout, o) : -ENOMEM;
}

static int flush(KvWatch *w)
{
        if (w->table && table_print(w->table, stdout) < 0)
                return -ENOMEM;
        return fflush(stdout) != 0 ? -errno : 0;
}

/* ---- the list ------------------------------------------------------------------------------ */

static int note_ahead(KvWatch *w, KvData key, uint64_t revision)
{
        CLEANUP_FREE char *name = NULL;
        int r = base64_encode(key.data, key.size, &name);

        return r < 0 ? r
               : json_object_set_new(w->ahead, name, json_integer((json_int_t) revision)) < 0
                               ? -ENOMEM
                               : 0;
}

static int show_entry(const KvShown *e, void *userdata)
{
        KvWatch *w = userdata;
        const Change c = {
                .revision = e->revision,
                .event = "snapshot",
                .key = e->key,
                .has_new = true,
                .new = e->value,
        };
        int r = note_ahead(w, e->key, e->revision);

        return r < 0 ? r : show(w, &c);
}

/* The database first: when it is another one behind the list, the changes are refused. */
static int watch_list(KvWatch *w, sd_bus_error *reterr)
{
        KvListing l = {
                .store = w->store,
                .values = true,
                .durable = true,
                .each = show_entry,
                .userdata = w,
        };
        char *id = NULL;
        int r;

        r = ctl_bus_property(w->follow.bus, &ctl_store, "DatabaseId", 's', &id, reterr);
        if (r < 0)
                return r;
        free(w->database_id);
        w->database_id = id;
        json_decref(w->ahead);
        w->ahead = json_object();
        r = w->ahead ? kv_list(w->follow.bus, &l, reterr) : -ENOMEM;
        if (r < 0)
                return r;
        w->revision = l.revision;
        w->listed = true;
        r = show_mark(w, "ready");
        return r < 0 ? r : flush(w);
}

/* ---- changes ------------------------------------------------------------------------------- */

static bool is_shown(const KvWatch *w, const Change *c)
{
        CLEANUP_FREE char *name = NULL;

        if (json_object_size(w->ahead) == 0 || base64_encode(c->key.data, c->key.size, &name) < 0)
                return false;
        return (uint64_t) json_get_int(w->ahead, name, 0) >= c->revision;
}

static int read_change(KvWatch *w, sd_bus_message *m)
{
        Change c = {};
        int r;

        r = sd_bus_message_enter_container(m, 'r', "tsaybaybay");
        if (r <= 0)
                return r;
        if ((r = sd_bus_message_read(m, "ts", &c.revision, &c.event)) < 0 ||
                        (r = kv_read_bytes(m, &c.key)) < 0 ||
                        (r = sd_bus_message_read(m, "b", &c.had_old)) < 0 ||
                        (r = kv_read_bytes(m, &c.old)) < 0 ||
                        (r = sd_bus_message_read(m, "b", &c.has_new)) < 0 ||
                        (r = kv_read_bytes(m, &c.new)) < 0 ||
                        (r = sd_bus_message_exit_container(m)) < 0)
                return r;
        r = is_shown(w, &c) ? 0 : show(w, &c);
        return r < 0 ? r : 1;
}

static int read_page(KvWatch *w, sd_bus_message *reply)
{
        uint64_t revision;
        int r, more;

        r = sd_bus_message_enter_container(reply, 'a', "(tsaybaybay)");
        while (r >= 0 && (r = read_change(w, reply)) > 0)
                ;
        if (r < 0 || (r = sd_bus_message_exit_container(reply)) < 0 ||
                        (r = sd_bus_message_read(reply, "bt", &more, &revision)) < 0)
                return r;
        w->more = more;
        w->revision = revision;
        return 0;
}

static int watch_changes(KvWatch *w, sd_bus_error *reterr)
{
        int r;

        do {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

                if ((r = ctl_bus_new_call(w->follow.bus, &ctl_kv, "GetChanges", &m)) < 0 ||
                                (r = sd_bus_message_append(m, "ssta{sv}", w->database_id, w->store,
                                                 w->revision, 0)) < 0 ||
                                (r = ctl_bus_call(w->follow.bus, m, &ctl_kv, &reply, reterr)) < 0)
                        return r;
                r = read_page(w, reply);
                if (r < 0)
                        return ctl_bus_bad_answer(r, &ctl_kv, reterr);
                r = flush(w);
        } while (r >= 0 && w->more);
        return r;
}

/* Everything that is new, to standard output. */
static int watch_read(KvWatch *w, sd_bus_error *reterr)
{
        int r = w->listed ? watch_changes(w, reterr) : 0;

        if (w->listed && (sd_bus_error_has_name(reterr, TANK_ERROR_COMPACTED) ||
                                         sd_bus_error_has_name(
                                                         reterr, TANK_ERROR_FAILED_PRECONDITION))) {
                sd_bus_error_free(reterr);
                w->listed = false;
                r = show_mark(w, "resync");
        }
        if (r >= 0 && !w->listed) {
                r = watch_list(w, reterr);
                if (r >= 0)
                        r = watch_changes(w, reterr);
        }
        return r;
}

int kv_watch(const Arguments *a)
{
        static const char *const titles[] = { "REVISION", "EVENT", "KEY", "VALUE", NULL };
        CLEANUP(kv_watch_done) KvWatch w = { .store = a->words[1] };
        bool reached = true, begun = false;
        int r;

        if (a->output != OUTPUT_JSON && table_new(titles, &w.table) < 0)
                return ctl_oom();
        r = follow_start(&w.follow);
        if (r != 0)
                return r;
        r = follow_peer(&w.follow, &ctl_kv, "interface='org.tankd.Store1.KeyValue'");
        if (r < 0)
                return ctl_bus_failure("kv watch", NULL, r);
        do {
                CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

                r = w.follow.bus ? watch_read(&w, &e) : -ENOTCONN;
                reached = r >= 0;
                if (reached) {
                        follow_reached(&w.follow);
                        begun = true;
                } else if (r == -EPIPE && !sd_bus_error_is_set(&e))
                        return 0;
                else if (!begun || !follow_failed(&w.follow, r, &e))
                        return ctl_bus_failure("kv watch", &e, r);
        } while ((r = follow_sleep(&w.follow, reached)) > 0);
        return r < 0 ? ctl_bus_failure("kv watch", NULL, r) : 0;
}
