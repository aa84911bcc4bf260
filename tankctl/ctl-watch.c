/* SPDX-License-Identifier: Apache-2.0 */

/* watch: what is declared, a mark when that is all, and then each change of it.
 *
 *      begin ──> listing ──> listed ──> following ──┐
 *        ^    page by page    "synced"    ^         │ GetChanges since the last revision
 *        │                                └─────────┤
 *        └───── "resync": gone, or damaged, <───────┘
 *               or another database
 *
 * Changed only wakes; what is shown comes from List at one revision and from GetChanges since then:
 * no change is missing and none comes twice, whoever dies in between. Where the store cannot go on
 * from there, that is a line of its own, and all is shown anew. With --since it begins at
 * following, and a place from which the store cannot go on is the end. */

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

typedef enum WatchStage {
        WATCH_BEGIN,
        WATCH_LISTING,
        WATCH_LISTED, /* told, but the store may be another one by now */
        WATCH_FOLLOWING,
} WatchStage;

typedef struct StoreWatch {
        Follow follow;
        const char *type, *namespace, *prefix, *labels; /* "": every one */
        OutputFormat output;
        Table *table; /* NULL: none */

        WatchStage stage;
        char *database_id;
        char *token;       /* of the page of the list that comes next */
        uint64_t revision; /* shown up to here */
        unsigned resyncs;  /* since it was up to date */
        bool exact;        /* begins at --since, and has shown nothing yet */
} StoreWatch;

static void store_watch_done(StoreWatch *w)
{
        follow_done(&w->follow);
        table_free(w->table);
        free(w->database_id);
        free(w->token);
}

/* ---- showing ------------------------------------------------------------------------------- */

typedef struct Event {
        const char *event;
        uint64_t revision;
        int index; /* among those of its revision that are shown; -1: it is not told as a change */
        const char *type, *namespace, *name;
        json_t *document; /* borrowed; NULL: none */
} Event;

static void add_row(StoreWatch *w, const Event *e, Color color)
{
        table_addf(w->table, "%" PRIu64, e->revision);
        table_add(w->table, e->event, color);
        table_add(w->table, strempty(e->type), COLOR_NONE);
        if (isempty(w->namespace))
                table_add(w->table, strempty(e->namespace), COLOR_NONE);
        table_add(w->table, e->name, COLOR_NONE);
}

static int show(StoreWatch *w, const Event *e)
{
        CLEANUP_JSON json_t *o = NULL;
        bool all = isempty(w->namespace);

        if (w->table) {
                add_row(w, e, streq(e->event, "deleted") ? COLOR_BAD : COLOR_NONE);
                return 0;
        }
        if (w->output == OUTPUT_NAME)
                return printf("%s/%s%s%s\n", e->type, all ? e->namespace : "",
                                       all && *e->namespace ? "/" : "", e->name) < 0
                                       ? -EIO
                                       : 0;
        o = json_pack("{ss sI so* ss ss ss sO?}", "event", e->event, "revision",
                        (json_int_t) e->revision, "index",
                        e->index >= 0 ? json_integer(e->index) : NULL, "type", e->type, "namespace",
                        e->namespace, "name", e->name, "document", e->document);
        return o ? json_print_line(stdout, o) : -ENOMEM;
}

/* What is no object's: that all that stands was shown; or, with a reason, that it begins anew. */
static int show_mark(StoreWatch *w, const char *event, const char *reason)
{
        CLEANUP_JSON json_t *o = NULL;

        if (w->table) {
                add_row(w,
                                &(const Event){ .event = event,
                                                .revision = w->revision,
                                                .name = reason ? reason : w->database_id },
                                COLOR_PENDING);
                return 0;
        }
        if (w->output == OUTPUT_NAME)
                return 0;
        o = json_pack("{ss sI ss ss*}", "event", event, "revision", (json_int_t) w->revision,
                        "database", strempty(w->database_id), "reason", reason);
        return o ? json_print_line(stdout, o) : -ENOMEM;
}

/* No titles above nothing but an error. */
static int watch_flush(StoreWatch *w, bool failed)
{
        if (w->table && !(failed && table_is_empty(w->table)) && table_print(w->table, stdout) < 0)
                return -ENOMEM;
        return fflush(stdout) != 0 ? -errno : 0;
}

/* ---- calls --------------------------------------------------------------------------------- */

static int append_option(sd_bus_message *m, const char *name, const char *value)
{
        return isempty(value) ? 0 : sd_bus_message_append(m, "{sv}", name, "s", value);
}

static int call_list(StoreWatch *w, sd_bus_message **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        if ((r = ctl_bus_new_call(w->follow.bus, &ctl_store, "List", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "ss", w->type, w->namespace)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (r = append_option(m, "labels", w->labels)) < 0 ||
                        (r = append_option(m, "continue", w->token)) < 0 ||
                        (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return ctl_bus_call(w->follow.bus, m, &ctl_store, ret, reterr);
}

static int call_changes(StoreWatch *w, sd_bus_message **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        if ((r = ctl_bus_new_call(w->follow.bus, &ctl_store, "GetChanges", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "st", w->database_id, w->revision)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (r = append_option(m, "type", w->type)) < 0 ||
                        (r = append_option(m, "namespace", w->namespace)) < 0 ||
                        (r = append_option(m, "prefix", w->prefix)) < 0 ||
                        (r = append_option(m, "labels", w->labels)) < 0 ||
                        (r = sd_bus_message_append(m, "{sv}", "documents", "b",
                                         w->output == OUTPUT_JSON)) < 0 ||
                        (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return ctl_bus_call(w->follow.bus, m, &ctl_store, ret, reterr);
}

/* ---- pages --------------------------------------------------------------------------------- */

static int show_standing(StoreWatch *w, const char *text)
{
        CLEANUP_JSON json_t *doc = json_loads(text, 0, NULL);
        const char *name = json_get_string(doc, "name");

        if (!name)
                return -EBADMSG;
        if (!startswith(name, w->prefix))
                return 0;
        return show(w, &(const Event){
                                       .event = "created",
                                       .revision = (uint64_t) json_get_int(
                                                       json_object_get(doc, "meta"), "revision", 0),
                                       .index = -1,
                                       .type = strempty(json_get_string(doc, "kind")),
                                       .namespace = strempty(json_get_string(doc, "namespace")),
                                       .name = name,
                                       .document = doc,
                       });
}

static int read_list(StoreWatch *w, sd_bus_message *reply)
{
        const char *text, *next;
        uint64_t revision;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(reply, "s", &text)) > 0)
                r = show_standing(w, text);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "st", &next, &revision);
        if (r >= 0)
                r = free_and_strdup(&w->token, next);
        if (r < 0)
                return r;
        w->revision = revision;
        if (!*next)
                w->stage = WATCH_LISTED;
        return 1;
}

static int read_change(StoreWatch *w, sd_bus_message *reply, Event *e)
{
        CLEANUP_JSON json_t *doc = NULL;
        const char *document;
        uint64_t before = e->revision;
        int r;

        r = sd_bus_message_read(reply, "(tsssss)", &e->revision, &e->event, &e->type, &e->namespace,
                        &e->name, &document);
        if (r <= 0)
                return r;
        if (!isempty(document))
                doc = json_loads(document, 0, NULL);
        e->index = e->revision == before ? e->index + 1 : 0;
        e->document = doc;
        r = show(w, e);
        return r < 0 ? r : 1;
}

/* 1: there is more. */
static int read_changes(StoreWatch *w, sd_bus_message *reply)
{
        uint64_t revision;
        int r, more;
        Event e = {};

        if (w->stage == WATCH_LISTED && (r = show_mark(w, "synced", NULL)) < 0)
                return r;
        w->stage = WATCH_FOLLOWING;
        w->exact = false;
        r = sd_bus_message_enter_container(reply, 'a', "(tsssss)");
        while (r >= 0 && (r = read_change(w, reply, &e)) > 0)
                ;
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "bt", &more, &revision);
        if (r < 0)
                return r;
        w->revision = MAX(w->revision, revision);
        if (!more)
                w->resyncs = 0;
        return more;
}

/* ---- going on ------------------------------------------------------------------------------ */

/* One call. 1: and another one at once, 0: all is shown. */
static int watch_step(StoreWatch *w, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        char *id = NULL;
        int r;

        if (w->stage == WATCH_BEGIN) {
                r = ctl_bus_property(w->follow.bus, &ctl_store, "DatabaseId", 's', &id, reterr);
                if (r < 0)
                        return r;
                free(w->database_id);
                w->database_id = id;
                free(w->token);
                w->token = NULL;
                w->stage = WATCH_LISTING;
        }
        if (w->stage == WATCH_LISTING) {
                r = call_list(w, &reply, reterr);
                if (r >= 0)
                        r = read_list(w, reply);
        } else {
                r = call_changes(w, &reply, reterr);
                if (r >= 0)
                        r = read_changes(w, reply);
        }
        return r < 0 && reply ? ctl_bus_bad_answer(r, &ctl_store, reterr) : r;
}

/* 1: the store cannot go on from where we are, and what is shown begins anew. */
static int watch_resync(StoreWatch *w, sd_bus_error *e)
{
        int r;

        if (w->exact || (!sd_bus_error_has_name(e, TANK_ERROR_COMPACTED) &&
                                        !sd_bus_error_has_name(e, TANK_ERROR_FAILED_PRECONDITION)))
                return 0;
        if (w->output == OUTPUT_NAME)
                ctl_error("watch: all names are shown anew: %s", e->message);
        r = show_mark(w, "resync", e->message);
        if (r < 0)
                return r;
        sd_bus_error_free(e);
        w->stage = WATCH_BEGIN;
        w->resyncs++;
        return 1;
}

/* All that is new, to standard output. */
static int watch_read_all(StoreWatch *w, sd_bus_error *reterr)
{
        int r, k;

        do {
                r = watch_step(w, reterr);
                if (r < 0 && (k = watch_resync(w, reterr)) != 0)
                        r = k < 0 ? k : w->resyncs > 1 ? -EAGAIN : 1;
                k = watch_flush(w, r < 0);
                if (k < 0)
                        return k;
        } while (r > 0);
        return r;
}

static int watch_failure(const StoreWatch *w, const sd_bus_error *e, int r)
{
        if (!w->exact || (!sd_bus_error_has_name(e, TANK_ERROR_COMPACTED) &&
                                         !sd_bus_error_has_name(e, TANK_ERROR_FAILED_PRECONDITION)))
                return ctl_bus_failure("watch", e, r);
        ctl_error("watch: the changes behind revision %" PRIu64
                  " cannot be told: %s; without --since all is listed first",
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
                else if (r != -EAGAIN && !follow_failed(&w->follow, r, &e))
                        return watch_failure(w, &e, r);
        }
        return r < 0 ? ctl_bus_failure("watch", NULL, r) : 0;
}

/* ---- the verb ------------------------------------------------------------------------------ */

static int watch_make_table(StoreWatch *w)
{
        static const char *const all[] = { "REVISION", "EVENT", "TYPE", "NAMESPACE", "NAME", NULL };
        static const char *const one[] = { "REVISION", "EVENT", "TYPE", "NAME", NULL };

        if (table_new(*w->namespace ? one : all, &w->table) < 0)
                return ctl_oom();
        table_reserve(w->table, 1, strlen("deleted"));
        table_reserve(w->table, 2, strlen("namespace"));
        if (!*w->namespace)
                table_reserve(w->table, 3, strlen("NAMESPACE"));
        return 0;
}

/* With --since: the database, and whether there was such a revision. */
static int watch_position(StoreWatch *w)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t newest;
        int r;

        r = ctl_bus_property(w->follow.bus, &ctl_store, "DatabaseId", 's', &w->database_id, &e);
        if (r >= 0)
                r = ctl_bus_property(w->follow.bus, &ctl_store, "Revision", 't', &newest, &e);
        if (r < 0)
                return ctl_bus_failure("watch", &e, r);
        if (w->revision > newest) {
                ctl_error("watch: there is no revision %" PRIu64 " yet: the newest is %" PRIu64,
                                w->revision, newest);
                return EXIT_CODE_FAILED;
        }
        w->stage = WATCH_FOLLOWING;
        w->exact = true;
        return 0;
}

/* 0 or the exit code. */
static int watch_init(StoreWatch *w, const Arguments *a, const Resource *x)
{
        bool everywhere = a->all_namespaces || (x->type && type_is_global(x->type));

        w->type = strempty(x->type);
        w->namespace = everywhere ? "" : arguments_namespace(a);
        w->prefix = strempty(a->name_prefix);
        w->labels = strempty(a->selector);
        w->output = a->output;
        if (x->name)
                return ctl_usage_error("watch takes a type and no name");
        if (*w->prefix && !name_prefix_is_valid(w->prefix))
                return ctl_usage_error("no name begins with \"%s\"", WORD(w->prefix));
        if (a->since && parse_u64(a->since, &w->revision) < 0)
                return ctl_usage_error("\"%s\" is no revision: a number, as meta.revision has it",
                                WORD(a->since));
        return w->output == OUTPUT_JSON || w->output == OUTPUT_NAME ? 0 : watch_make_table(w);
}

int verb_watch(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(resource_done) Resource resource = {};
        CLEANUP(store_watch_done) StoreWatch w = {};
        int r = 0;

        if (a->words)
                r = resource_parse(a, &resource);
        if (r == 0)
                r = watch_init(&w, a, &resource);
        if (r == 0)
                r = follow_start(&w.follow);
        if (r != 0)
                return r;
        r = follow_peer(&w.follow, &ctl_store, "member='Changed'");
        if (r < 0)
                return ctl_bus_failure("watch", NULL, r);
        r = resource.type ? resource_check_type(w.follow.bus, &resource, "watch") : 0;
        if (r == 0 && a->since)
                r = watch_position(&w);
        if (r != 0)
                return r;
        r = watch_read_all(&w, &e);
        if (r < 0)
                return r == -EPIPE && !sd_bus_error_is_set(&e) ? 0 : watch_failure(&w, &e, r);
        return a->no_follow ? 0 : watch_follow_store(&w);
}
