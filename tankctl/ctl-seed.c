/* SPDX-License-Identifier: Apache-2.0 */

/* seed: declares what is not there yet, document by document: a bad one is told and passed over.
 *
 * Writes are pipelined: up to WINDOW are under way, so that many documents share the store's synced
 * commits; what is said about them keeps the order of the files. A document that is not a pod waits
 * for all before it and is waited for by all behind it, because those behind may live in the
 * namespace that it makes. */

#include <stdio.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-source.h"
#include "ctl-verbs.h"
#include "document.h"
#include "error.h"
#include "log.h"

#define WINDOW 64U

typedef struct Writer Writer;

typedef struct Write {
        const Declaration *declaration;
        Writer *writer;
        sd_bus_error error;
        bool done;
} Write;

struct Writer {
        sd_bus *bus;
        Write *writes;
        size_t n, n_sent, n_done, n_said;
        int exit_code;
};

static void writer_done(Writer *w)
{
        for (size_t i = 0; i < w->n; i++)
                sd_bus_error_free(&w->writes[i].error);
        free(w->writes);
}

static void say(Writer *w, const Write *x)
{
        CLEANUP_FREE char *what = declaration_identity(x->declaration);
        CLEANUP_FREE char *why = ctl_sentence(strempty(x->error.message));

        if (!sd_bus_error_is_set(&x->error))
                printf("%s created\n", strempty(what));
        else if (sd_bus_error_has_name(&x->error, TANK_ERROR_ALREADY_EXISTS))
                printf("%s exists\n", strempty(what));
        else if (sd_bus_error_has_name(&x->error, TANK_ERROR_UNAVAILABLE)) {
                int code = ctl_bus_failure(what, &x->error, -EIO);

                if (w->exit_code == 0)
                        w->exit_code = code;
        } else
                ctl_error("skipping %s (%s): %s", strempty(what), x->declaration->source,
                                strempty(why));
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Write *x = userdata;

        if (sd_bus_message_is_method_error(m, NULL)) {
                (void) sd_bus_error_copy(&x->error, sd_bus_message_get_error(m));
                ctl_bus_translate(&x->error, TANK_STORE_NAME);
        }
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
        if (r >= 0)
                r = ctl_bus_new_call(w->bus, &ctl_store, "Create", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}", text, 0);
        return r < 0 ? r : sd_bus_call_async(w->bus, NULL, m, on_answer, x, 0);
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

static int write_all(Writer *w, const Declarations *d)
{
        int r;

        w->n = d->n;
        w->writes = calloc(d->n, sizeof(Write));
        if (!w->writes) {
                w->n = 0;
                return ctl_oom();
        }
        for (size_t i = 0; i < d->n; i++)
                w->writes[i] = (Write){ .declaration = &d->items[i], .writer = w };
        r = writer_run(w);
        if (r < 0)
                return ctl_bus_failure("the bus went away; not everything is stored", NULL, r);
        return w->exit_code;
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
        w.bus = bus;
        return write_all(&w, &d);
}
