/* SPDX-License-Identifier: Apache-2.0 */

/* watch: the store's changes, from now or from a revision on.
 *
 * Changed only wakes; what is shown comes from GetChanges, since the last revision that was read:
 * no change is missing and none comes twice, whoever dies in between. Changes are those of one
 * database. When the store comes back with another one, or the changes are compacted, there is
 * nothing to go on from, and that is the end. */

#include <stdio.h>

#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-follow.h"
#include "ctl-json.h"
#include "ctl-resource.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "document.h"
#include "error.h"
#include "names.h"
#include "quantity.h"

typedef struct StoreWatch {
        Follow follow;
        const char *type, *namespace; /* NULL: every type; "" for every namespace */
        OutputFormat output;
        Table *table;
        char *database_id;
        uint64_t revision; /* read up to here */
        bool more;
} StoreWatch;

static void store_watch_done(StoreWatch *w)
{
        follow_done(&w->follow);
        table_free(w->table);
        free(w->database_id);
}

/* ---- showing ------------------------------------------------------------------------------- */

typedef struct Change {
        uint64_t revision;
        const char *operation, *type, *namespace, *name, *document;
} Change;

static int show_row(StoreWatch *w, const Change *c)
{
        bool gone = streq(c->operation, "deleted");

        table_addf(w->table, "%" PRIu64, c->revision);
        table_add(w->table, c->operation, gone ? COLOR_BAD : COLOR_NONE);
        table_add(w->table, c->type, COLOR_NONE);
        if (!*w->namespace)
                table_add(w->table, c->namespace, COLOR_NONE);
        table_add(w->table, c->name, COLOR_NONE);
        return 0;
}

static int show_json(const Change *c)
{
        CLEANUP_JSON json_t *o = json_pack("{sI ss ss ss ss so?}", "revision",
                        (json_int_t) c->revision, "operation", c->operation, "type", c->type,
                        "namespace", c->namespace, "name", c->name, "document",
                        isempty(c->document) ? NULL : json_loads(c->document, 0, NULL));

        return o ? json_print_line(stdout, o) : -ENOMEM;
}

static bool is_wanted(const StoreWatch *w, const Change *c)
{
        if (w->type && !streq(w->type, c->type))
                return false;
        return !*w->namespace || !*c->namespace || streq(w->namespace, c->namespace);
}

static int show(StoreWatch *w, const Change *c)
{
        if (!is_wanted(w, c))
                return 0;
        if (w->output == OUTPUT_JSON)
                return show_json(c);
        if (w->output == OUTPUT_NAME)
                return printf("%s/%s%s%s\n", c->type, *w->namespace ? "" : c->namespace,
                                       *w->namespace || !*c->namespace ? "" : "/", c->name) < 0
                                       ? -EIO
                                       : 0;
        return show_row(w, c);
}

/* ---- reading ------------------------------------------------------------------------------- */

static int read_page(StoreWatch *w, sd_bus_message *reply)
{
        uint64_t revision;
        Change c;
        int r, more;

        r = sd_bus_message_enter_container(reply, 'a', "(tsssss)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(tsssss)", &c.revision, &c.operation,
                                          &c.type, &c.namespace, &c.name, &c.document)) > 0) {
                r = show(w, &c);
                if (r >= 0)
                        w->revision = c.revision;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "bt", &more, &revision);
        if (r < 0)
                return r;
        w->more = more;
        if (!more)
                w->revision = MAX(w->revision, revision);
        return 0;
}

static int call_changes(StoreWatch *w, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        r = ctl_bus_new_call(w->follow.bus, &ctl_store, "GetChanges", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sta{sv}", w->database_id, w->revision, 1, "documents",
                                "b", w->output == OUTPUT_JSON);
        if (r < 0)
                return r;
        r = ctl_bus_call(w->follow.bus, m, &ctl_store, &reply, reterr);
        if (r < 0)
                return r;
        r = read_page(w, reply);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_store, reterr) : 0;
}

/* All that is new, to standard output. */
static int watch_read_all(StoreWatch *w, sd_bus_error *reterr)
{
        int r;

        do {
                uint64_t before = w->revision;

                r = call_changes(w, reterr);
                if (w->table && (r >= 0 || w->revision > before) &&
                                table_print(w->table, stdout) < 0)
                        return -ENOMEM;
                if (fflush(stdout) != 0)
                        return -errno;
        } while (r >= 0 && w->more);
        return r;
}

static int watch_failure(const StoreWatch *w, const sd_bus_error *e, int r)
{
        if (!sd_bus_error_has_name(e, TANK_ERROR_COMPACTED) &&
                        !sd_bus_error_has_name(e, TANK_ERROR_FAILED_PRECONDITION))
                return ctl_bus_failure("watch", e, r);
        ctl_error("watch: the changes behind revision %" PRIu64
                  " cannot be told: %s; list anew with \"tankctl get\", and watch from then on",
                        w->revision, e->message);
        return tank_error_to_exit_code(e->name);
}

static int watch_follow_store(StoreWatch *w)
{
        bool reached = true;
        int r;

        while ((r = follow_sleep(&w->follow, reached)) > 0) {
                CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

                r = w->follow.bus ? watch_read_all(w, &e) : -ENOTCONN;
                reached = r >= 0;
                if (reached)
                        follow_reached(&w->follow);
                else if (r == -EPIPE && !sd_bus_error_is_set(&e))
                        return 0;
                else if (!follow_failed(&w->follow, r, &e))
                        return watch_failure(w, &e, r);
        }
        return r < 0 ? ctl_bus_failure("watch", NULL, r) : 0;
}

/* ---- the verb ------------------------------------------------------------------------------ */

static int watch_make_table(StoreWatch *w)
{
        static const char *const all[] = { "REVISION", "OPERATION", "TYPE", "NAMESPACE", "NAME",
                NULL };
        static const char *const one[] = { "REVISION", "OPERATION", "TYPE", "NAME", NULL };

        if (table_new(*w->namespace ? one : all, &w->table) < 0)
                return ctl_oom();
        table_reserve(w->table, 2, strlen("namespace"));
        if (!*w->namespace)
                table_reserve(w->table, 3, strlen("NAMESPACE"));
        return 0;
}

/* Where to begin: the database, and the revision behind which changes are wanted. */
static int watch_position(StoreWatch *w, const char *since)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t newest;
        int r;

        r = ctl_bus_property(w->follow.bus, &ctl_store, "DatabaseId", 's', &w->database_id, &e);
        if (r >= 0)
                r = ctl_bus_property(w->follow.bus, &ctl_store, "Revision", 't', &newest, &e);
        if (r < 0)
                return ctl_bus_failure("watch", &e, r);
        if (!since)
                w->revision = newest;
        if (w->revision > newest) {
                ctl_error("watch: there is no revision %" PRIu64 " yet: the newest is %" PRIu64,
                                w->revision, newest);
                return EXIT_CODE_FAILED;
        }
        return 0;
}

int verb_watch(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(resource_done) Resource resource = {};
        CLEANUP(store_watch_done)
        StoreWatch w = { .namespace = a->all_namespaces ? "" : arguments_namespace(a),
                .output = a->output };
        int r = 0;

        if (a->words)
                r = resource_parse(a, &resource);
        if (r == 0 && resource.name)
                r = ctl_usage_error("watch takes a type and no name");
        if (r == 0 && a->since && parse_u64(a->since, &w.revision) < 0)
                r = ctl_usage_error("\"%s\" is no revision: a number, as meta.revision has it",
                                WORD(a->since));
        w.type = resource.type;
        if (r == 0 && w.output != OUTPUT_JSON && w.output != OUTPUT_NAME)
                r = watch_make_table(&w);
        if (r == 0)
                r = follow_start(&w.follow);
        if (r != 0)
                return r;
        r = follow_peer(&w.follow, &ctl_store, "member='Changed'");
        if (r < 0)
                return ctl_bus_failure("watch", NULL, r);
        r = resource.type ? resource_check_type(w.follow.bus, &resource, "watch") : 0;
        if (r == 0)
                r = watch_position(&w, a->since);
        if (r != 0)
                return r;
        r = a->since || a->no_follow ? watch_read_all(&w, &e) : 0;
        if (r < 0)
                return watch_failure(&w, &e, r);
        return a->no_follow ? 0 : watch_follow_store(&w);
}
