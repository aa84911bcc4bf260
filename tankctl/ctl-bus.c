/* SPDX-License-Identifier: Apache-2.0 */

/* Calls to the store and to the reconciler. */

#include <stdarg.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-agent.h"
#include "ctl-bus.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"

int ctl_bus_open(sd_bus **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = bus_open_client(ret, &e);

        return r < 0 ? ctl_bus_failure(NULL, &e, r) : 0;
}

static bool is_absence(const char *name)
{
        return streq(name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               streq(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
               startswith(name, "org.freedesktop.DBus.Error.Spawn.");
}

/* What sd-bus itself answers an asynchronous call with when its time is over differs only in the
 * text from what the bus says of a peer that went away. */
static bool is_timeout(const sd_bus_error *e)
{
        return streq(e->name, SD_BUS_ERROR_TIMEOUT) ||
               (streq(e->name, SD_BUS_ERROR_NO_REPLY) &&
                               streq_ptr(e->message, "Method call timed out"));
}

void ctl_bus_translate(sd_bus_error *e, const char *destination)
{
        CLEANUP_BUS_ERROR sd_bus_error old = *e;
        const char *program = streq(destination, TANK_STORE_NAME)       ? "tankd-store"
                              : streq(destination, TANK_RECONCILE_NAME) ? "tankd-reconcile"
                                                                        : "the container's shim";

        *e = SD_BUS_ERROR_NULL;
        if (!old.name)
                return;
        if (is_absence(old.name))
                (void) tank_error_set(e, TANK_ERROR_UNAVAILABLE,
                                "%s is not on the bus; is it running?", program);
        else if (is_timeout(&old))
                (void) tank_error_set(e, TANK_ERROR_TIMED_OUT, "%s does not answer", program);
        else if (streq(old.name, SD_BUS_ERROR_NO_REPLY) ||
                        streq(old.name, SD_BUS_ERROR_DISCONNECTED))
                (void) tank_error_set(e, TANK_ERROR_UNAVAILABLE,
                                "%s went away before it answered; try again", program);
        else if (streq(old.name, SD_BUS_ERROR_ACCESS_DENIED)) /* by the bus and its policy */
                (void) tank_error_set(e, TANK_ERROR_ACCESS_DENIED,
                                "the bus lets only root and members of group tank call %s",
                                program);
        else {
                *e = old;
                old = SD_BUS_ERROR_NULL;
        }
}

int ctl_bus_failure(const char *what, const sd_bus_error *e, int r)
{
        CLEANUP_FREE char *why = ctl_sentence(e && e->message ? e->message : errno_words(r));

        if (what)
                ctl_error("%s: %s", what, strempty(why));
        else
                ctl_error("%s", strempty(why));
        if (e && e->name)
                return tank_error_to_exit_code(e->name);
        /* An errno is this side's own: nobody said that a thing is not there. */
        return r == -ETIMEDOUT ? EXIT_CODE_TIMED_OUT : EXIT_CODE_FAILED;
}

const CtlPeer ctl_store = {
        .program = "tankd-store",
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = TANK_STORE_INTERFACE,
};

const CtlPeer ctl_store_admin = {
        .program = "tankd-store",
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = TANK_STORE_ADMIN_INTERFACE,
};

const CtlPeer ctl_secrets = {
        .program = "tankd-store",
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = TANK_STORE_SECRETS_INTERFACE,
};

const CtlPeer ctl_reconcile = {
        .program = "tankd-reconcile",
        .name = TANK_RECONCILE_NAME,
        .path = TANK_RECONCILE_PATH,
        .interface = TANK_RECONCILE_INTERFACE,
};

int ctl_bus_new_call(sd_bus *bus, const CtlPeer *peer, const char *method, sd_bus_message **ret)
{
        return sd_bus_message_new_method_call(
                        bus, ret, peer->name, peer->path, peer->interface, method);
}

static int failed_call(int r, const CtlPeer *peer, sd_bus_error *reterr)
{
        if (!sd_bus_error_is_set(reterr))
                (void) sd_bus_error_set_errno(reterr, r);
        ctl_bus_translate(reterr, peer->name);
        return r;
}

int ctl_bus_call(sd_bus *bus, sd_bus_message *m, const CtlPeer *peer, sd_bus_message **ret,
                sd_bus_error *reterr)
{
        int r = agent_call(bus, m, ret, reterr);

        return r < 0 ? failed_call(r, peer, reterr) : r;
}

int ctl_bus_property(sd_bus *bus, const CtlPeer *peer, const char *property, char type, void *ret,
                sd_bus_error *reterr)
{
        int r;

        if (type == 's')
                r = sd_bus_get_property_string(bus, peer->name, peer->path, peer->interface,
                                property, reterr, ret);
        else
                r = sd_bus_get_property_trivial(bus, peer->name, peer->path, peer->interface,
                                property, reterr, type, ret);
        return r < 0 ? failed_call(r, peer, reterr) : 0;
}

int ctl_bus_bad_answer(int r, const CtlPeer *peer, sd_bus_error *reterr)
{
        if (sd_bus_error_is_set(reterr))
                return r;
        return tank_error_set_errno(
                        reterr, r, "%s gave an answer that cannot be read", peer->program);
}

int ctl_bus_read_pages(sd_bus *bus, const CtlPages *p, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *next = "";

        do {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                sd_bus_message *page = NULL;
                int r;

                r = ctl_bus_new_call(bus, p->peer, p->method, &m);
                if (r >= 0)
                        r = p->ask(m, next, userdata);
                if (r < 0)
                        return r;
                r = ctl_bus_call(bus, m, p->peer, &page, reterr);
                if (r < 0)
                        return r;
                sd_bus_message_unref(reply); /* @next pointed into it */
                reply = page;
                r = p->read(reply, userdata, &next, reterr);
                if (r < 0)
                        return ctl_bus_bad_answer(r, p->peer, reterr);
        } while (!isempty(next));
        return 0;
}

static int parse_json(const char *text, json_t **ret, sd_bus_error *reterr)
{
        json_error_t e;
        json_t *o = json_loads(text, 0, &e);

        /* Not document_parse(): with its meta a document may be larger than one may be. */
        if (!json_is_object(o)) {
                json_decref(o);
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "an answer is not JSON");
        }
        *ret = o;
        return 0;
}

/* ---- the store ----------------------------------------------------------------------------- */

/* Sends @m, whose answer is a document. */
static int read_document(sd_bus *bus, sd_bus_message *m, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *text;
        int r;

        r = ctl_bus_call(bus, m, &ctl_store, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "s", &text);
        if (r >= 0)
                r = parse_json(text, ret, reterr);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_store, reterr) : 0;
}

int store_get(sd_bus *bus, const char *type, const char *namespace, const char *name, json_t **ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = ctl_bus_new_call(bus, &ctl_store, "Get", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", type, namespace, name);
        return r < 0 ? r : read_document(bus, m, ret, reterr);
}

int store_get_version(sd_bus *bus, const char *type, const char *namespace, const char *name,
                uint64_t revision, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = ctl_bus_new_call(bus, &ctl_store, "GetVersion", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssst", type, namespace, name, revision);
        return r < 0 ? r : read_document(bus, m, ret, reterr);
}

/* What a list is made of; a page's token is borrowed from its message. */
typedef struct Listing {
        const ListQuery *query; /* NULL: of the reconciler */
        const char *namespace;
        json_t *all;
        uint64_t revision;
        bool more; /* behind the limit */
} Listing;

static uint64_t listing_room(const Listing *l)
{
        return l->query && l->query->limit > 0 ? l->query->limit - json_array_size(l->all)
                                               : UINT64_MAX;
}

static int append_option(sd_bus_message *m, const char *name, const char *value)
{
        return isempty(value) ? 0 : sd_bus_message_append(m, "{sv}", name, "s", value);
}

static int append_selectors(sd_bus_message *m, const ListQuery *q)
{
        int r = append_option(m, "labels", q->labels);

        return r < 0 ? r : append_option(m, "fields", q->fields);
}

static int listing_ask(sd_bus_message *m, const char *token, void *userdata)
{
        const Listing *l = userdata;
        uint64_t room = listing_room(l);
        int r;

        if (l->query && (r = sd_bus_message_append(m, "s", strempty(l->query->type))) < 0)
                return r;
        if ((r = sd_bus_message_append(m, "s", strempty(l->namespace))) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (r = append_option(m, "continue", token)) < 0)
                return r;
        if (l->query && ((r = append_selectors(m, l->query)) < 0 ||
                                        (r = append_option(m, "sort", l->query->order)) < 0))
                return r;
        if (room <= LIMIT_PAGE_ENTRIES)
                r = sd_bus_message_append(m, "{sv}", "limit", "u", (uint32_t) room);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int listing_read(
                sd_bus *bus, const CtlPages *pages, Listing *l, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *all = json_array();
        int r;

        if (!all)
                return -ENOMEM;
        l->all = all;
        r = ctl_bus_read_pages(bus, pages, l, reterr);
        if (r >= 0)
                *ret = TAKE_PTR(all);
        return r;
}

static int store_read_page(
                sd_bus_message *reply, void *userdata, const char **ret_next, sd_bus_error *reterr)
{
        Listing *l = userdata;
        const char *text;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "s", &text)) > 0) {
                json_t *doc = NULL;

                r = parse_json(text, &doc, reterr);
                if (r < 0)
                        return r;
                if (json_array_append_new(l->all, doc) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "st", ret_next, &l->revision);
        if (r >= 0 && listing_room(l) == 0) {
                l->more = !isempty(*ret_next);
                *ret_next = "";
        }
        return r;
}

/* @revision: as it was then; NULL: as it is. */
static int count(sd_bus *bus, const ListQuery *q, const uint64_t *revision, uint64_t *ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        uint64_t then;
        int r;

        if ((r = ctl_bus_new_call(bus, &ctl_store, "Count", &m)) < 0 ||
                        (r = sd_bus_message_append(
                                         m, "ss", strempty(q->type), strempty(q->namespace))) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (r = append_selectors(m, q)) < 0)
                return r;
        if (revision)
                r = sd_bus_message_append(m, "{sv}", "revision", "t", *revision);
        if (r < 0 || (r = sd_bus_message_close_container(m)) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_store, &reply, reterr)) < 0)
                return r;
        r = sd_bus_message_read(reply, "tt", ret, &then);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_store, reterr) : 0;
}

int store_count(sd_bus *bus, const ListQuery *q, uint64_t *ret, sd_bus_error *reterr)
{
        return count(bus, q, NULL, ret, reterr);
}

int store_list(sd_bus *bus, const ListQuery *q, json_t **ret, uint64_t *ret_more,
                sd_bus_error *reterr)
{
        static const CtlPages pages = { &ctl_store, "List", listing_ask, store_read_page };
        Listing l = { .query = q, .namespace = q->namespace };
        CLEANUP_JSON json_t *docs = NULL;
        uint64_t all = 0;
        int r;

        r = listing_read(bus, &pages, &l, &docs, reterr);
        if (r >= 0 && l.more && ret_more)
                r = count(bus, q, &l.revision, &all, reterr);
        if (r < 0)
                return r;
        if (ret_more)
                *ret_more = l.more ? all - json_array_size(docs) : 0;
        *ret = TAKE_PTR(docs);
        return 0;
}

/* ---- the reconciler ------------------------------------------------------------------------ */

void pod_status_done(PodStatus *s)
{
        free(s->uid);
        json_decref(s->status);
        *s = (PodStatus){};
}

int reconcile_get_status(sd_bus *bus, const char *namespace, const char *pod, PodStatus *ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(pod_status_done) PodStatus s = {};
        const char *uid, *text;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = ctl_bus_new_call(bus, &ctl_reconcile, "GetStatus", &m);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", namespace, pod);
        if (r < 0)
                return r;
        r = ctl_bus_call(bus, m, &ctl_reconcile, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "sts", &uid, &s.generation, &text);
        if (r >= 0)
                r = free_and_strdup(&s.uid, uid);
        if (r >= 0)
                r = parse_json(text, &s.status, reterr);
        if (r < 0)
                return ctl_bus_bad_answer(r, &ctl_reconcile, reterr);
        *ret = s;
        s = (PodStatus){};
        return 0;
}

static int reconcile_read_page(
                sd_bus_message *reply, void *userdata, const char **ret_next, sd_bus_error *reterr)
{
        json_t *all = ((Listing *) userdata)->all;
        const char *namespace, *name, *uid, *text;
        uint64_t generation;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sssts)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(sssts)", &namespace, &name, &uid, &generation,
                                &text)) > 0) {
                json_t *status = NULL;

                r = parse_json(text, &status, reterr);
                if (r < 0)
                        return r;
                if (json_array_append_new(all,
                                    json_pack("{s:s,s:s,s:s,s:I,s:o}", "namespace", namespace,
                                                    "name", name, "uid", uid, "generation",
                                                    (json_int_t) generation, "status", status)) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(reply);
        return r < 0 ? r : sd_bus_message_read(reply, "s", ret_next);
}

int reconcile_list_status(sd_bus *bus, const char *namespace, json_t **ret, sd_bus_error *reterr)
{
        static const CtlPages pages = { &ctl_reconcile, "ListStatus", listing_ask,
                reconcile_read_page };

        Listing l = { .namespace = namespace };

        return listing_read(bus, &pages, &l, ret, reterr);
}

int reconcile_call(sd_bus *bus, const char *method, sd_bus_error *reterr, const char *types, ...)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        va_list ap;
        int r;

        r = ctl_bus_new_call(bus, &ctl_reconcile, method, &m);
        if (r < 0)
                return r;
        va_start(ap, types);
        r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        return ctl_bus_call(bus, m, &ctl_reconcile, &reply, reterr);
}
