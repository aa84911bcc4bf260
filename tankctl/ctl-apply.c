/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs that take declarations from files.
 *
 * Writes are pipelined: up to WINDOW are under way, so that many documents share the store's synced
 * commits; what is said about them keeps the order of the files. A document that is not a pod waits
 * for all before it and is waited for by all behind it, because those behind may live in the
 * namespace that it makes. */

#include <stdio.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-diff.h"
#include "ctl-json.h"
#include "ctl-source.h"
#include "ctl-verbs.h"
#include "ctl-wait.h"
#include "document.h"
#include "error.h"
#include "log.h"

#define WINDOW 64U

typedef struct Writer Writer;

typedef struct Write {
        const Declaration *declaration;
        Writer *writer;
        sd_bus_error error;
        char *outcome; /* "created", "updated", "unchanged" */
        uint64_t generation;
        bool done;
} Write;

struct Writer {
        sd_bus *bus;
        const char *method; /* Apply or Create */
        Write *writes;
        size_t n, n_sent, n_done, n_said;
        int exit_code;
};

/* ---- loading ------------------------------------------------------------------------------- */

static int load(const Arguments *a, LoadFlags flags, Declarations *ret)
{
        if (!a->files)
                return ctl_usage_error("which file? -f FILE, -f DIRECTORY or -f -");
        return declarations_load(a->files, a->namespace, flags, ret);
}

static const char *display_namespace(const Declaration *d, const char **ret_slash)
{
        *ret_slash = *d->namespace ? "/" : "";
        return d->namespace;
}

/* "pod/default/web", or "namespace/prod": the name of a thing in all that is said. */
static void print_identity(FILE *f, const Declaration *d)
{
        const char *slash, *namespace = display_namespace(d, &slash);

        fprintf(f, "%s/%s%s%s", d->type, namespace, slash, d->name);
}

static char *identity(const Declaration *d)
{
        const char *slash, *namespace = display_namespace(d, &slash);
        char *text;

        return asprintf(&text, "%s/%s%s%s", d->type, namespace, slash, d->name) < 0 ? NULL : text;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void writer_done(Writer *w)
{
        for (size_t i = 0; i < w->n; i++) {
                sd_bus_error_free(&w->writes[i].error);
                free(w->writes[i].outcome);
        }
        free(w->writes);
}

static bool is_seeding(const Writer *w)
{
        return streq(w->method, "Create");
}

static void say_failure(Writer *w, const Write *x)
{
        CLEANUP_FREE char *what = identity(x->declaration);
        int code;

        if (is_seeding(w) && !sd_bus_error_has_name(&x->error, TANK_ERROR_UNAVAILABLE)) {
                ctl_error("skipping %s (%s): %s", strempty(what), x->declaration->source,
                                strempty(x->error.message));
                return;
        }
        code = ctl_bus_failure(what, &x->error, -EIO);
        if (w->exit_code == 0)
                w->exit_code = code;
}

static void say(Writer *w, const Write *x)
{
        if (sd_bus_error_has_name(&x->error, TANK_ERROR_ALREADY_EXISTS) && is_seeding(w)) {
                print_identity(stdout, x->declaration);
                puts(" exists");
        } else if (sd_bus_error_is_set(&x->error))
                say_failure(w, x);
        else {
                print_identity(stdout, x->declaration);
                printf(" %s\n", x->outcome);
        }
}

static int read_answer(Write *x, sd_bus_message *m)
{
        const char *uid, *changed = "created";
        uint64_t revision;
        int r;

        r = sd_bus_message_read(m, "stt", &uid, &x->generation, &revision);
        if (r >= 0 && !is_seeding(x->writer))
                r = sd_bus_message_read(m, "s", &changed);
        return r < 0 ? r : free_and_strdup(&x->outcome, changed);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Write *x = userdata;
        int r = 0;

        if (sd_bus_message_is_method_error(m, NULL)) {
                (void) sd_bus_error_copy(&x->error, sd_bus_message_get_error(m));
                ctl_bus_translate(&x->error, TANK_STORE_NAME);
        } else
                r = read_answer(x, m);
        if (r < 0)
                (void) tank_error_set_errno(
                                &x->error, r, "tankd-store gave an answer that cannot be read");
        x->done = true;
        x->writer->n_done++;
        return 0;
}

static int send_write(Writer *w, Write *x)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP_FREE char *text = NULL;
        int r;

        r = document_format(x->declaration->document, &text);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(w->bus, &m, TANK_STORE_NAME, TANK_STORE_PATH,
                        TANK_STORE_INTERFACE, w->method);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", text);
        if (r < 0)
                return r;
        if (x->declaration->has_if_revision && !is_seeding(w))
                r = sd_bus_message_append(
                                m, "a{sv}", 1, "if-revision", "t", x->declaration->if_revision);
        else
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                return r;
        return sd_bus_call_async(w->bus, NULL, m, on_answer, x, 0);
}

static bool is_barrier(const Write *x)
{
        return !streq(x->declaration->type, "pod");
}

static bool may_send(const Writer *w)
{
        if (w->n_sent == w->n || w->n_sent - w->n_done >= WINDOW)
                return false;
        if (w->n_sent == w->n_done)
                return true;
        return !is_barrier(&w->writes[w->n_sent]) && !is_barrier(&w->writes[w->n_sent - 1]);
}

/* Sends and says all of them. A negative errno: the connection failed. */
static int writer_run(Writer *w)
{
        while (w->n_said < w->n) {
                int r = 0;

                while (r >= 0 && may_send(w)) {
                        r = send_write(w, &w->writes[w->n_sent]);
                        w->n_sent++;
                }
                if (r >= 0)
                        r = sd_bus_process(w->bus, NULL);
                while (w->n_said < w->n && w->writes[w->n_said].done)
                        say(w, &w->writes[w->n_said++]);
                if (r == 0 && w->n_said < w->n)
                        r = sd_bus_wait(w->bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

static int write_all(sd_bus *bus, const char *method, const Declarations *d, Writer *ret)
{
        int r;

        *ret = (Writer){
                .bus = bus, .method = method, .n = d->n, .writes = calloc(d->n, sizeof(Write))
        };
        if (d->n > 0 && !ret->writes)
                return ctl_oom();
        for (size_t i = 0; i < d->n; i++)
                ret->writes[i] = (Write){ .declaration = &d->items[i], .writer = ret };
        r = writer_run(ret);
        if (r < 0)
                return ctl_bus_failure("the bus went away; not everything is stored", NULL, r);
        return ret->exit_code;
}

/* ---- apply --------------------------------------------------------------------------------- */

/* What stands in the store now, meta taken off; *ret is NULL when there is nothing. 0 or the exit
 * code. */
static int stored_form(sd_bus *bus, const Declaration *d, json_t **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *what = identity(d);
        json_t *doc = NULL;
        int r;

        r = store_get(bus, d->type, d->namespace, d->name, &doc, &e);
        if (r < 0 && !sd_bus_error_has_name(&e, TANK_ERROR_NOT_FOUND))
                return ctl_bus_failure(what, &e, r);
        if (doc)
                (void) json_object_del(doc, "meta");
        *ret = doc;
        return 0;
}

/* Prints what applying @d would do; *ret_changes counts the places. 0 or the exit code. */
static int print_changes(sd_bus *bus, const Declaration *d, bool dry_run, size_t *ret_changes)
{
        CLEANUP_JSON json_t *old = NULL, *old_people = NULL, *new_people = NULL;
        const char *word;
        int r;

        r = stored_form(bus, d, &old);
        if (r != 0)
                return r;
        word = !old ? "created" : json_equal(old, d->document) ? "unchanged" : "updated";
        if (dry_run || !streq(word, "unchanged")) {
                print_identity(stdout, d);
                printf(dry_run ? " %s (dry run)\n" : " would be %s\n", word);
        }
        if (streq(word, "unchanged"))
                return 0;
        if ((old && declaration_for_people(old, &old_people) < 0) ||
                        declaration_for_people(d->document, &new_people) < 0)
                return ctl_oom();
        r = diff_print(stdout, old_people, new_people);
        if (r < 0)
                return ctl_oom();
        *ret_changes += (size_t) r;
        return 0;
}

static int print_all_changes(
                const Arguments *a, const Declarations *d, bool dry_run, size_t *ret_changes)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        int r = ctl_bus_open(&bus);

        for (size_t i = 0; r == 0 && i < d->n; i++)
                r = print_changes(bus, &d->items[i], dry_run, ret_changes);
        return r;
}

/* A pod that is not started again whatever comes may be meant to end. */
static bool is_job(const Declaration *d)
{
        const char *restart = json_get_string(d->document, "restart");

        return restart && !streq(restart, restart_policy_to_string(RESTART_ALWAYS));
}

static int wait_for_all(Waiter *waiter, const Writer *w)
{
        int code = 0;

        (void) fflush(stdout); /* what is stored is known before the wait begins */
        for (size_t i = 0; i < w->n; i++) {
                const Write *x = &w->writes[i];
                bool eventful;
                int r;

                if (!streq(x->declaration->type, "pod") || sd_bus_error_is_set(&x->error))
                        continue;
                /* Of several, one's event may have come while another was waited for; and not
                 * every change starts something. */
                eventful = w->n == 1 && streq(x->outcome, "created");
                waiter->brief = is_job(x->declaration);
                r = waiter_wait(waiter, x->declaration->namespace, x->declaration->name,
                                CONDITION_APPLIED, x->generation, eventful);
                if (r == 0) {
                        print_identity(stdout, x->declaration);
                        printf(" %s\n", run_state_to_string(waiter->state));
                } else if (code == 0)
                        code = r;
        }
        return code;
}

int verb_apply(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        Waiter waiter = {};
        CLEANUP(writer_done) Writer w = {};
        uint64_t timeout;
        size_t changes = 0;
        int r, waited = 0;

        r = arguments_timeout(a, WAIT_TIMEOUT_USEC, &timeout);
        if (r == 0 && a->timeout && !a->wait)
                r = ctl_usage_error("--timeout is for --wait");
        if (r == 0 && a->wait && a->dry_run)
                r = ctl_usage_error("--wait and --dry-run exclude each other");
        if (r == 0)
                r = load(a, 0, &d);
        if (r != 0)
                return r;
        if (a->dry_run)
                return print_all_changes(a, &d, true, &changes);
        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        if (a->wait) {
                const Declaration *only = d.n == 1 && *d.items[0].namespace ? d.items : NULL;

                r = waiter_start(&waiter, bus, only ? only->namespace : NULL,
                                only ? only->name : NULL, timeout);
                if (r < 0)
                        return ctl_bus_failure("cannot subscribe to events", NULL, r);
        }
        r = write_all(bus, "Apply", &d, &w);
        if (a->wait)
                waited = wait_for_all(&waiter, &w);
        return r != 0 ? r : waited;
}

int verb_validate(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        int r = load(a, 0, &d);

        for (size_t i = 0; r == 0 && i < d.n; i++) {
                print_identity(stdout, &d.items[i]);
                puts(" valid");
        }
        return r;
}

int verb_diff(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        size_t changes = 0;
        int r = load(a, 0, &d);

        if (r == 0)
                r = print_all_changes(a, &d, false, &changes);
        if (r == 0 && changes > 0)
                return EXIT_CODE_FAILED;
        return r;
}

int verb_seed(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(writer_done) Writer w = {};
        int r;

        r = declarations_load(a->words, a->namespace, LOAD_SKIP_BAD, &d);
        if (r == 0 && d.n > 0)
                r = ctl_bus_open(&bus);
        if (r != 0 || d.n == 0)
                return r;
        return write_all(bus, "Create", &d, &w);
}

/* ---- delete -------------------------------------------------------------------------------- */

static int delete_one(sd_bus *bus, const Declaration *d)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        bool existed;
        int r;

        r = store_delete(bus, d->type, d->namespace, d->name, &existed, &e);
        if (r < 0) {
                CLEANUP_FREE char *what = identity(d);

                return ctl_bus_failure(what, &e, r);
        }
        print_identity(stdout, d);
        puts(existed ? " deleted" : " absent");
        return 0;
}

/* In the opposite order of applying: what lives in a namespace goes before it. */
static int delete_all(const Arguments *a, const Declarations *d)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        Waiter waiter = {};
        uint64_t timeout;
        int r, code = 0;

        r = arguments_timeout(a, WAIT_TIMEOUT_USEC, &timeout);
        if (r == 0 && a->timeout && !a->wait)
                r = ctl_usage_error("--timeout is for --wait");
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = a->wait ? waiter_start(&waiter, bus, NULL, NULL, timeout) : 0;
        if (r < 0)
                return ctl_bus_failure("cannot subscribe to events", NULL, r);
        for (size_t i = d->n; i > 0; i--) {
                r = delete_one(bus, &d->items[i - 1]);
                code = code != 0 ? code : r;
        }
        (void) fflush(stdout);
        for (size_t i = d->n; a->wait && code == 0 && i > 0; i--)
                if (streq(d->items[i - 1].type, "pod"))
                        code = waiter_wait(&waiter, d->items[i - 1].namespace, d->items[i - 1].name,
                                        CONDITION_DELETED, 0, false);
        return code;
}

static int declaration_from_words(const Arguments *a, Resource *r, Declarations *ret)
{
        int k = resource_parse(a, r);

        if (k != 0)
                return k;
        if (!r->name)
                return ctl_usage_error("delete which %s? delete %s NAME", r->type, r->type);
        ret->items = calloc(1, sizeof(Declaration));
        if (!ret->items)
                return ctl_oom();
        ret->n = 1;
        ret->items[0] = (Declaration){
                .type = r->type, .namespace = r->namespace, .name = r->name
        };
        return 0;
}

int verb_delete(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        CLEANUP(resource_done) Resource resource = {};
        int r;

        if (!a->files == !a->words)
                return ctl_usage_error("delete what? TYPE NAME, or -f FILE");
        if (a->files)
                r = load(a, LOAD_IDENTITY_ONLY, &d);
        else
                r = declaration_from_words(a, &resource, &d);
        return r != 0 ? r : delete_all(a, &d);
}
