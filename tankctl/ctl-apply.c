/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs that take declarations from files: all that a command line names is one transaction of
 * the store, so that it is declared together or not at all. */

#include <stdio.h>

#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-diff.h"
#include "ctl-json.h"
#include "ctl-resource.h"
#include "ctl-secret-diff.h"
#include "ctl-source.h"
#include "ctl-verbs.h"
#include "ctl-wait.h"
#include "ctl-write.h"
#include "document.h"
#include "error.h"

/* ---- loading ------------------------------------------------------------------------------- */

static int load(const Arguments *a, LoadFlags flags, Declarations *ret)
{
        if (!a->files)
                return ctl_usage_error("which file? -f FILE, -f DIRECTORY or -f -");
        return declarations_load(a->files, a->namespace, flags, ret);
}

/* ---- apply --------------------------------------------------------------------------------- */

/* What stands in the store now, meta taken off; *ret is NULL when there is nothing. 0 or the exit
 * code. */
static int stored_form(sd_bus *bus, const Declaration *d, json_t **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *what = declaration_identity(d);
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

/* What applying a declaration would do. */
typedef struct Effect {
        json_t *old, *new; /* but for the values of a secret */
        SecretDiff secret;
        const char *word;
} Effect;

static void effect_done(Effect *e)
{
        json_decref(e->old);
        json_decref(e->new);
        secret_diff_done(&e->secret);
}

/* Of a secret the values are compared by themselves, and are nowhere from then on. */
static int take_values_out(sd_bus *bus, const Declaration *d, Effect *e)
{
        const SecretVersion old = { .document = e->old };
        const SecretVersion new = { .document = e->new, .given = true };
        json_t *bare;
        int r;

        r = secret_diff_make(bus, d->namespace, d->name, &old, &new, &e->secret);
        if (r != 0)
                return r;
        bare = secret_without_values(e->new);
        json_decref(e->new);
        e->new = bare;
        if (e->old) {
                bare = secret_without_values(e->old);
                json_decref(e->old);
                e->old = bare;
        }
        return e->new &&bare ? 0 : ctl_oom();
}

/* @told: what the store says that it would do; NULL: it was not asked. 0 or the exit code. */
static int effect_find(sd_bus *bus, const Declaration *d, const WriteResult *told, Effect *e)
{
        bool same;
        int r;

        e->new = json_incref(d->document);
        r = stored_form(bus, d, &e->old);
        if (r == 0 && streq(d->type, "secret"))
                r = take_values_out(bus, d, e);
        if (r != 0)
                return r;
        same = e->old && json_equal(e->old, e->new);
        if (told)
                e->word = told->changed;
        else if (!e->old)
                e->word = "created";
        else if (same && e->secret.n == 0)
                e->word = "unchanged";
        else if (same && e->secret.n == e->secret.n_unknown)
                e->word = "updated, if a value differs";
        else
                e->word = "updated";
        return 0;
}

/* Prints what applying @d would do; *ret_changes counts the places. 0 or the exit code. */
static int print_changes(
                sd_bus *bus, const Declaration *d, const WriteResult *told, size_t *ret_changes)
{
        CLEANUP_JSON json_t *old_people = NULL, *new_people = NULL;
        CLEANUP(effect_done) Effect e = {};
        int r;

        r = effect_find(bus, d, told, &e);
        if (r != 0)
                return r;
        if (told || !streq(e.word, "unchanged")) {
                declaration_print_identity(stdout, d);
                printf(told ? " %s (dry run)\n" : " would be %s\n", e.word);
        }
        if (streq(e.word, "unchanged"))
                return 0;
        if ((e.old && declaration_for_people(e.old, &old_people) < 0) ||
                        declaration_for_people(e.new, &new_people) < 0)
                return ctl_oom();
        r = diff_print(stdout, old_people, new_people);
        if (r < 0)
                return ctl_oom();
        secret_diff_print(stdout, &e.secret);
        *ret_changes += (size_t) r + e.secret.n;
        return 0;
}

/* @told: for each, or NULL. */
static int print_all_changes(
                sd_bus *bus, const Declarations *d, const WriteResult *told, size_t *ret_changes)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < d->n; i++)
                r = print_changes(bus, &d->items[i], told ? &told[i] : NULL, ret_changes);
        return r;
}

static int wait_for_all(Waiter *waiter, const Declarations *d, const WriteResult *results)
{
        int code = 0;

        (void) fflush(stdout); /* what is stored is known before the wait begins */
        for (size_t i = 0; i < d->n; i++) {
                const Declaration *x = &d->items[i];
                bool eventful;
                int r;

                if (!streq(x->type, "pod"))
                        continue;
                /* Of several, one's event may have come while another was waited for; and not
                 * every change starts something. */
                eventful = d->n == 1 && streq(results[i].changed, "created");
                r = waiter_wait_applied(waiter, x->document, results[i].generation, eventful);
                if (r == 0) {
                        declaration_print_identity(stdout, x);
                        printf(" %s\n", run_state_to_string(waiter->state));
                } else if (code == 0)
                        code = r;
        }
        return code;
}

static WriteFlags apply_flags(const Arguments *a)
{
        return (a->dry_run ? WRITE_DRY_RUN : 0) |
               (a->create_namespace ? WRITE_CREATE_NAMESPACES : 0);
}

static int dry_run(sd_bus *bus, const Arguments *a, const Declarations *d)
{
        CLEANUP_FREE WriteResult *results = NULL;
        size_t changes = 0;
        int r;

        r = write_together(bus, WRITE_APPLY, d, apply_flags(a), &results);
        return r != 0 ? r : print_all_changes(bus, d, results, &changes);
}

int verb_apply(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_FREE WriteResult *results = NULL;
        Waiter waiter = {};
        uint64_t timeout;
        int r;

        r = arguments_timeout(a, WAIT_TIMEOUT_USEC, &timeout);
        if (r == 0 && a->timeout && !a->wait)
                r = ctl_usage_error("--timeout is for --wait");
        if (r == 0 && a->wait && a->dry_run)
                r = ctl_usage_error("--wait and --dry-run exclude each other");
        if (r == 0)
                r = load(a, 0, &d);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        if (a->dry_run)
                return dry_run(bus, a, &d);
        if (a->wait) {
                const Declaration *only = d.n == 1 && *d.items[0].namespace ? d.items : NULL;

                r = waiter_start(&waiter, bus, only ? only->namespace : NULL,
                                only ? only->name : NULL, timeout);
                if (r < 0)
                        return ctl_bus_failure("cannot subscribe to events", NULL, r);
        }
        r = write_together(bus, WRITE_APPLY, &d, apply_flags(a), &results);
        if (r != 0)
                return r;
        for (size_t i = 0; i < d.n; i++) {
                declaration_print_identity(stdout, &d.items[i]);
                printf(" %s\n", results[i].changed);
        }
        return a->wait ? wait_for_all(&waiter, &d, results) : 0;
}

int verb_validate(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        int r = load(a, 0, &d);

        for (size_t i = 0; r == 0 && i < d.n; i++) {
                declaration_print_identity(stdout, &d.items[i]);
                puts(" valid");
        }
        return r;
}

int verb_diff(const Arguments *a)
{
        CLEANUP(declarations_done) Declarations d = {};
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        size_t changes = 0;
        int r = load(a, 0, &d);

        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r == 0)
                r = print_all_changes(bus, &d, NULL, &changes);
        if (r == 0 && changes > 0)
                return EXIT_CODE_FAILED;
        return r;
}

/* ---- delete -------------------------------------------------------------------------------- */

static int check_cascade(const Declarations *d)
{
        for (size_t i = 0; i < d->n; i++)
                if (streq(d->items[i].type, "namespace"))
                        return 0;
        return ctl_usage_error("--cascade is for namespaces: none is deleted here");
}

/* The pods that go with the namespaces of @d, to be waited for. */
static int pods_within(sd_bus *bus, const Declarations *d, json_t **ret)
{
        CLEANUP_JSON json_t *all = json_array();

        if (!all)
                return ctl_oom();
        for (size_t i = 0; i < d->n; i++) {
                const ListQuery q = { .type = "pod", .namespace = d->items[i].name };
                CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
                CLEANUP_JSON json_t *pods = NULL;
                int r;

                if (!streq(d->items[i].type, "namespace"))
                        continue;
                r = store_list(bus, &q, &pods, NULL, &e);
                if (r < 0)
                        return ctl_bus_failure("cannot list the pods", &e, r);
                if (json_array_extend(all, pods) < 0)
                        return ctl_oom();
        }
        *ret = TAKE_PTR(all);
        return 0;
}

/* What is waited for when @d is deleted. */
static int wait_until_gone(Waiter *w, const Declarations *d, const json_t *within)
{
        const json_t *pod;
        size_t k;
        int r = 0;

        (void) fflush(stdout);
        for (size_t i = d->n; r == 0 && i > 0; i--)
                if (streq(d->items[i - 1].type, "pod"))
                        r = waiter_wait(w, d->items[i - 1].namespace, d->items[i - 1].name,
                                        CONDITION_DELETED, 0, false);
        json_array_foreach (within, k, pod) {
                if (r == 0)
                        r = waiter_wait(w, strempty(json_get_string(pod, "namespace")),
                                        strempty(json_get_string(pod, "name")), CONDITION_DELETED,
                                        0, false);
        }
        return r;
}

/* In the opposite order of applying. @named: what the words of the command line name, NULL with
 * files: those were checked as apply checks them. */
static int delete_all(const Arguments *a, const Resource *named, const Declarations *d)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_FREE WriteResult *results = NULL;
        CLEANUP_JSON json_t *within = NULL;
        Waiter waiter = {};
        uint64_t timeout;
        int r;

        r = arguments_timeout(a, WAIT_TIMEOUT_USEC, &timeout);
        if (r == 0 && a->timeout && !a->wait)
                r = ctl_usage_error("--timeout is for --wait");
        if (r == 0 && a->cascade)
                r = check_cascade(d);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r == 0 && named)
                r = resource_check_type(bus, named, "delete");
        if (r == 0 && a->wait && a->cascade)
                r = pods_within(bus, d, &within);
        if (r != 0)
                return r;
        r = a->wait ? waiter_start(&waiter, bus, NULL, NULL, timeout) : 0;
        if (r < 0)
                return ctl_bus_failure("cannot subscribe to events", NULL, r);
        r = write_together(bus, WRITE_DELETE, d, a->cascade ? WRITE_CASCADE : 0, &results);
        for (size_t i = d->n; r == 0 && i > 0; i--) {
                declaration_print_identity(stdout, &d->items[i - 1]);
                printf(" %s\n", results[i - 1].changed);
        }
        return a->wait && r == 0 ? wait_until_gone(&waiter, d, within) : r;
}

static int declaration_from_words(const Arguments *a, Resource *r, Declarations *ret)
{
        int k = resource_parse_named(a, "delete", r);

        if (k != 0)
                return k;
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
        return r != 0 ? r : delete_all(a, a->files ? NULL : &resource, &d);
}
