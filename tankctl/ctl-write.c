/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-write.h. The call is asynchronous though nothing else happens meanwhile: behind the
 * sentence of an error the store says which operation is at fault, and a blocking call would lose
 * it. */

#include <inttypes.h>
#include <stdio.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-agent.h"
#include "ctl-write.h"
#include "document.h"
#include "error.h"
#include "names.h"
#include "log.h"

typedef struct Writing {
        const Declarations *declarations;
        bool deletes;
        WriteFlags flags;
        size_t *order; /* the operations, as indices of declarations */
        WriteResult *results;

        bool done;
        int failure;
        sd_bus_error error;
        uint32_t at;       /* the operation at fault; UINT32_MAX: none of them in particular */
        bool has_revision; /* at which its object stands */
        uint64_t revision;
} Writing;

static void writing_done(Writing *w)
{
        free(w->order);
        free(w->results);
        sd_bus_error_free(&w->error);
}

/* ---- the call ------------------------------------------------------------------------------ */

static void put_in_order(Writing *w)
{
        size_t n = w->declarations->n, k = 0;

        for (unsigned pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < n; i++)
                        if (!type_is_global(w->declarations->items[i].type) == (pass == 1))
                                w->order[k++] = i;
        for (size_t i = 0; w->deletes && i < n / 2; i++) {
                size_t other = w->order[n - 1 - i];

                w->order[n - 1 - i] = w->order[i];
                w->order[i] = other;
        }
}

static int append_apply(sd_bus_message *m, const Declaration *d)
{
        CLEANUP_FREE char *text = NULL;
        int r = document_format(d->document, &text);

        if (r < 0)
                return r;
        if (d->has_if_revision)
                return sd_bus_message_append(m, "(sa{sv})", "apply", 2, "document", "s", text,
                                "if-revision", "t", d->if_revision);
        return sd_bus_message_append(m, "(sa{sv})", "apply", 1, "document", "s", text);
}

static int append_delete(sd_bus_message *m, const Declaration *d, bool cascade)
{
        if (cascade && streq(d->type, "namespace"))
                return sd_bus_message_append(m, "(sa{sv})", "delete", 4, "type", "s", d->type,
                                "namespace", "s", d->namespace, "name", "s", d->name, "cascade",
                                "b", true);
        return sd_bus_message_append(m, "(sa{sv})", "delete", 3, "type", "s", d->type, "namespace",
                        "s", d->namespace, "name", "s", d->name);
}

static int append_options(sd_bus_message *m, WriteFlags flags)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && (flags & WRITE_DRY_RUN))
                r = sd_bus_message_append(m, "{sv}", "dry-run", "b", true);
        if (r >= 0 && (flags & WRITE_CREATE_NAMESPACES))
                r = sd_bus_message_append(m, "{sv}", "create-namespace", "b", true);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int make_call(sd_bus *bus, const Writing *w, sd_bus_message **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        if ((r = ctl_bus_new_call(bus, &ctl_store, "Transaction", &m)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "(sa{sv})")) < 0)
                return r;
        for (size_t i = 0; i < w->declarations->n; i++) {
                const Declaration *d = &w->declarations->items[w->order[i]];

                r = w->deletes ? append_delete(m, d, w->flags & WRITE_CASCADE) : append_apply(m, d);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = append_options(m, w->flags);
        if (r >= 0)
                *ret = TAKE_PTR(m);
        return r;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static int read_error(Writing *w, sd_bus_message *m)
{
        const char *sentence;
        int r;

        r = sd_bus_error_copy(&w->error, sd_bus_message_get_error(m));
        ctl_bus_translate(&w->error, TANK_STORE_NAME);
        w->has_revision = sd_bus_message_has_signature(m, "sut");
        if (r == -ENOMEM || (!w->has_revision && !sd_bus_message_has_signature(m, "su")))
                return r == -ENOMEM ? r : 0;
        r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = sd_bus_message_read(m, "su", &sentence, &w->at);
        if (r >= 0 && w->has_revision)
                r = sd_bus_message_read(m, "t", &w->revision);
        if (r >= 0 && w->at >= w->declarations->n)
                r = -EBADMSG;
        if (r < 0)
                w->at = UINT32_MAX;
        return r;
}

static int read_results(Writing *w, sd_bus_message *m)
{
        const char *uid, *changed;
        uint64_t generation, revision;
        size_t i = 0;
        int r;

        if ((r = sd_bus_message_read(m, "t", &revision)) < 0 ||
                        (r = sd_bus_message_enter_container(m, 'a', "(stts)")) < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(stts)", &uid, &generation, &revision, &changed)) > 0) {
                WriteResult *result;

                if (i == w->declarations->n)
                        return -EBADMSG;
                result = &w->results[w->order[i++]];
                result->generation = generation;
                (void) snprintf(result->changed, sizeof(result->changed), "%s", changed);
        }
        return r < 0 ? r : i < w->declarations->n ? -EBADMSG : 0;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Writing *w = userdata;

        w->done = true;
        w->failure = sd_bus_message_is_method_error(m, NULL) ? read_error(w, m)
                                                             : read_results(w, m);
        return 0;
}

/* The sentence begins with which operation it is about: people know it by its name. */
static const char *without_index(const char *sentence, uint32_t at)
{
        char prefix[32];
        const char *rest;

        (void) snprintf(prefix, sizeof(prefix), "operations[%u]: ", at);
        rest = startswith(sentence, prefix);
        return rest ? rest : sentence;
}

/* The store tells what is so; what to do about it is another thing at a command line. NULL: as the
 * store says it. */
static char *say_conflict(const Writing *w, const Declaration *d)
{
        const char *of = isempty(d->namespace) ? "" : " -n ";
        char *text = NULL;
        int r;

        if (!w->has_revision || !d->has_if_revision ||
                        !sd_bus_error_has_name(&w->error, TANK_ERROR_CONFLICT))
                return NULL;
        if (w->revision == 0)
                r = asprintf(&text,
                                "is not there, and the document was made from revision %" PRIu64
                                ": leave meta out to create it anew",
                                d->if_revision);
        else if (d->if_revision == 0)
                r = asprintf(&text,
                                "stands at revision %" PRIu64
                                ", and meta.revision 0 means that it must not be there",
                                w->revision);
        else
                r = asprintf(&text,
                                "stands at revision %" PRIu64
                                ", and the document was made from %" PRIu64
                                ": see \"tankctl history %s %s%s%s --diff %" PRIu64 " %" PRIu64
                                "\", then get it again, or leave meta out to overwrite it",
                                w->revision, d->if_revision, d->type, d->name, of, d->namespace,
                                d->if_revision, w->revision);
        return r < 0 ? NULL : text;
}

static int say_failure(const Writing *w)
{
        CLEANUP_FREE char *what = NULL, *conflict = NULL, *told = NULL;
        const Declarations *d = w->declarations;
        const char *sentence = strempty(w->error.message);

        if (!sd_bus_error_is_set(&w->error))
                return ctl_bus_failure(
                                "tankd-store gave an answer that cannot be read", NULL, w->failure);
        if (w->at == UINT32_MAX && d->n > 1)
                return ctl_bus_failure(NULL, &w->error, -EIO);
        what = declaration_identity(&d->items[d->n > 1 ? w->order[w->at] : 0]);
        conflict = say_conflict(w, &d->items[d->n > 1 ? w->order[w->at] : 0]);
        told = ctl_sentence(without_index(sentence, w->at));
        sentence = conflict ? conflict : strempty(told);
        if (d->n == 1)
                ctl_error("%s: %s", strempty(what), sentence);
        else
                ctl_error("%s: %s; none of the %zu documents %s", strempty(what), sentence, d->n,
                                w->deletes ? "was deleted" : "was stored");
        return tank_error_to_exit_code(w->error.name);
}

/* Until there is an answer; a negative errno when there cannot be one. */
static int call_and_wait(sd_bus *bus, Writing *w, sd_bus_message *m, uint64_t usec)
{
        int r;

        w->done = false;
        r = sd_bus_call_async(bus, NULL, m, on_answer, w, usec);
        while (r >= 0 && !w->done) {
                r = sd_bus_process(bus, NULL);
                /* That the time for an answer is over was told to on_answer(), not here. */
                if (r == 0 && !w->done)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r == -EINTR)
                        r = 0;
        }
        return r;
}

static int call(sd_bus *bus, Writing *w, sd_bus_message *m)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *again = NULL;
        CLEANUP(agent_done) Agent agent = {};
        int r = call_and_wait(bus, w, m, 0);

        if (r < 0 || agent_prepare(&agent, bus, m, &w->error, &again) < 0 || !again)
                return r;
        sd_bus_error_free(&w->error);
        w->at = UINT32_MAX;
        return call_and_wait(bus, w, again, AGENT_CALL_USEC);
}

int write_together(sd_bus *bus, WriteVerb verb, const Declarations *d, WriteFlags flags,
                WriteResult **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(writing_done)
        Writing w = {
                .declarations = d,
                .deletes = verb == WRITE_DELETE,
                .flags = flags,
                .order = calloc(d->n, sizeof(size_t)),
                .results = calloc(d->n, sizeof(WriteResult)),
                .at = UINT32_MAX,
        };
        int r;

        if (!w.order || !w.results)
                return ctl_oom();
        put_in_order(&w);
        r = make_call(bus, &w, &m);
        if (r >= 0)
                r = call(bus, &w, m);
        if (r < 0)
                return ctl_bus_failure(
                                "the bus went away; whether it is stored is not known", NULL, r);
        if (w.failure < 0 || sd_bus_error_is_set(&w.error))
                return say_failure(&w);
        *ret = TAKE_PTR(w.results);
        return 0;
}
