/* SPDX-License-Identifier: Apache-2.0 */

/* sessions list: the reconciler tells which containers run, each one's shim which sessions it has.
 * The shims are asked together, WINDOW at a time: one that does not answer is told of, and holds up
 * no other. A container runs before its shim is on the bus: those that are not there are waited for
 * together, and asked when they come. A container that ends meanwhile has none. */

#include "bus-names.h"
#include "clock.h"
#include "ctl-bus.h"
#include "ctl-resource.h"
#include "ctl-json.h"
#include "ctl-sessions.h"
#include "ctl-shim.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "document.h"
#include "error.h"
#include "names.h"

#define ANSWER_USEC (5 * USEC_PER_SEC)
#define WINDOW      64U /* calls under way: the bus bounds them for each connection */

/* One container, and what its shim said. */
typedef struct Ask {
        Target target; /* its words are the status' */
        sd_bus_message *reply;
        sd_bus_error error;
        char *name;
        unsigned *under_way; /* NULL: it has answered */
        bool absent;         /* its name was not on the bus */
} Ask;

typedef struct Asks {
        Ask *first;
        size_t n, allocated;
        bool named;         /* the container was, so that it must be there */
        bool everywhere;    /* a namespace has to be told with a pod */
        unsigned under_way; /* calls */
        bool names_changed; /* since somebody was found absent */
} Asks;

static void asks_done(Asks *all)
{
        for (size_t i = 0; i < all->n; i++) {
                sd_bus_message_unref(all->first[i].reply);
                sd_bus_error_free(&all->first[i].error);
                free(all->first[i].name);
        }
        free(all->first);
}

/* ---- what a shim answers ------------------------------------------------------------------- */

static int set_string(json_t *o, const char *key, const char *value)
{
        CLEANUP_FREE char *repaired = strdup(value);

        if (!repaired)
                return -ENOMEM;
        utf8_repair(repaired);
        return json_object_set_new(o, key, json_string(repaired)) < 0 ? -ENOMEM : 0;
}

static int read_command(sd_bus_message *m, json_t *o)
{
        CLEANUP_JSON json_t *command = json_array();
        int r;

        r = sd_bus_message_enter_container(m, 'v', "aay");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "ay");
        while (r >= 0) {
                CLEANUP_FREE char *word = NULL;
                const void *bytes;
                size_t size;

                r = sd_bus_message_read_array(m, 'y', &bytes, &size);
                if (r <= 0)
                        break;
                word = strndup(size > 0 ? bytes : "", size);
                if (!word)
                        return -ENOMEM;
                utf8_repair(word);
                if (json_array_append_new(command, json_string(word)) < 0)
                        return -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        return json_object_set(o, "command", command) < 0 ? -ENOMEM : 0;
}

static int read_number(sd_bus_message *m, const char *type, const char *key, json_t *o)
{
        uint64_t t = 0;
        uint32_t u = 0;
        int r, i = 0;

        if (streq(type, "t"))
                r = sd_bus_message_read(m, "v", type, &t);
        else if (streq(type, "u"))
                r = sd_bus_message_read(m, "v", type, &u);
        else
                r = sd_bus_message_read(m, "v", type, &i);
        if (r < 0)
                return r;
        if (streq(type, "b"))
                r = json_object_set_new(o, key, json_boolean(i));
        else
                r = json_object_set_new(o, key, json_integer((json_int_t) (t + u) + i));
        return r < 0 ? -ENOMEM : 0;
}

/* What a later version adds in other types is not for this one. */
static int read_value(sd_bus_message *m, const char *key, json_t *o)
{
        const char *type, *s;
        int r;

        r = sd_bus_message_peek_type(m, NULL, &type);
        if (r < 0)
                return r;
        if (streq(type, "s")) {
                r = sd_bus_message_read(m, "v", "s", &s);
                return r < 0 ? r : set_string(o, key, s);
        }
        if (streq(type, "u") || streq(type, "t") || streq(type, "b") || streq(type, "i"))
                return read_number(m, type, key, o);
        if (streq(type, "aay") && streq(key, "command"))
                return read_command(m, o);
        return sd_bus_message_skip(m, "v");
}

static int read_dictionary(sd_bus_message *m, json_t *o)
{
        const char *key;
        int r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &key);
                if (r >= 0)
                        r = read_value(m, key, o);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

/* ---- as JSON ------------------------------------------------------------------------------- */

static int move_time(json_t *from, const char *key, json_t *to, const char *name)
{
        char buf[RFC3339_SIZE];
        int r;

        r = json_object_set_new(to, name,
                        json_string(format_rfc3339((uint64_t) json_get_int(from, key, 0), buf)));
        (void) json_object_del(from, key);
        return r < 0 ? -ENOMEM : 0;
}

/* Times and results in the form in which all of tank's JSON has them. */
static int shape(json_t *o, const Target *t)
{
        CLEANUP_JSON json_t *result = json_object();
        int r = 0;

        if (json_object_set_new(o, "namespace", json_string(t->namespace)) < 0 ||
                        json_object_set_new(o, "pod", json_string(t->pod)) < 0 ||
                        json_object_set_new(o, "container", json_string(t->container)) < 0)
                return -ENOMEM;
        r = move_time(o, "started-usec", o, "started_at");
        if (r < 0 || !json_object_get(o, "kind"))
                return r < 0 || json_object_set_new(o, "result", json_null()) >= 0 ? r : -ENOMEM;
        for (size_t i = 0; i < 3; i++) {
                static const char *const keys[] = { "kind", "code", "stage" };
                json_t *value = json_object_get(o, keys[i]);

                if (value && json_object_set(result, keys[i], value) < 0)
                        return -ENOMEM;
                (void) json_object_del(o, keys[i]);
        }
        r = move_time(o, "ended-usec", result, "at");
        return r < 0 || json_object_set(o, "result", result) >= 0 ? r : -ENOMEM;
}

static int read_sessions(sd_bus_message *m, const Target *t, json_t *all)
{
        int r;

        r = sd_bus_message_enter_container(m, 'a', "a{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'a', "{sv}")) > 0) {
                json_t *o = json_object();

                if (json_array_append_new(all, o) < 0)
                        return -ENOMEM;
                r = read_dictionary(m, o);
                if (r >= 0)
                        r = shape(o, t);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

/* ---- asking -------------------------------------------------------------------------------- */

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Ask *a = userdata;

        (*a->under_way)--;
        a->under_way = NULL;
        if (sd_bus_message_is_method_error(m, NULL)) {
                a->absent = ctl_shim_is_absent(sd_bus_message_get_error(m));
                return sd_bus_error_copy(&a->error, sd_bus_message_get_error(m));
        }
        a->reply = sd_bus_message_ref(m);
        return 0;
}

static int wait_until(sd_bus *bus, const Asks *all, unsigned under_way)
{
        while (all->under_way > under_way) {
                int r = sd_bus_process(bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

static int ask(sd_bus *bus, Asks *all, Ask *a)
{
        int r;

        sd_bus_error_free(&a->error);
        a->absent = false;
        r = ctl_shim_name(bus, &a->target, &a->name, &a->error);
        if (r < 0)
                return sd_bus_error_is_set(&a->error) ? 0 : r;
        r = ctl_shim_call_async(bus, a->name, "ListSessions", ANSWER_USEC, on_answer, a);
        if (r < 0)
                return r;
        a->under_way = &all->under_way;
        all->under_way++;
        return wait_until(bus, all, WINDOW - 1);
}

/* What is wrong with one is in its error; returned is only what concerns all. */
static int ask_each(sd_bus *bus, Asks *all, bool again)
{
        for (size_t i = 0; i < all->n; i++) {
                int r = !again || all->first[i].absent ? ask(bus, all, &all->first[i]) : 0;

                if (r < 0)
                        return r;
        }
        return wait_until(bus, all, 0);
}

static bool some_are_absent(const Asks *all)
{
        for (size_t i = 0; i < all->n; i++)
                if (all->first[i].absent)
                        return true;
        return false;
}

/* 1: a shim came or went; 0: it is @deadline. */
static int wait_for_names(sd_bus *bus, Asks *all, uint64_t deadline)
{
        uint64_t now;

        while ((now = now_boottime_usec()) < deadline && !all->names_changed) {
                int r = sd_bus_process(bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        all->names_changed = false;
        return now < deadline;
}

/* Those who are not on the bus have one and the same time to come there. */
static int ask_until_present(sd_bus *bus, Asks *all)
{
        uint64_t deadline;
        int r;

        r = ctl_shim_watch_names(bus, &all->names_changed);
        if (r >= 0)
                r = ask_each(bus, all, false);
        deadline = now_boottime_usec() + CTL_SHIM_NAME_USEC;
        while (r >= 0 && some_are_absent(all)) {
                r = wait_for_names(bus, all, deadline);
                if (r <= 0)
                        return r;
                r = ask_each(bus, all, true);
        }
        return r;
}

/* Why there is no answer, as the error of @a. */
static int explain_silence(sd_bus *bus, Ask *a)
{
        if (!a->absent) {
                ctl_bus_translate(&a->error, TANK_SHIM_INTERFACE);
                return -EIO; /* the error tells */
        }
        sd_bus_error_free(&a->error);
        if (ctl_shim_name(bus, &a->target, &a->name, &a->error) < 0)
                return -EIO; /* it has ended, and the error says that */
        return ctl_shim_set_absent(&a->error, a->name);
}

/* 0, or an exit code, after a sentence. */
static int take_answer(sd_bus *bus, const Asks *asks, Ask *a, json_t *all)
{
        CLEANUP_FREE char *what = NULL;
        const Target *t = &a->target;
        int r = 0;

        if (!a->reply)
                r = explain_silence(bus, a);
        if (r >= 0)
                r = read_sessions(a->reply, t, all);
        if (r >= 0)
                return 0;
        if (!asks->named && (sd_bus_error_has_name(&a->error, TANK_ERROR_NOT_RUNNING) ||
                                            sd_bus_error_has_name(&a->error, TANK_ERROR_NOT_FOUND)))
                return 0;
        if (asprintf(&what, "%s%s%s/%s", asks->everywhere ? t->namespace : "",
                            asks->everywhere ? "/" : "", t->pod, t->container) < 0) {
                what = NULL;
                return ctl_oom();
        }
        return ctl_bus_failure(what, &a->error, r);
}

/* The first failure is the exit code. */
static int ask_all(sd_bus *bus, Asks *all, json_t *sessions)
{
        int r, result = 0;

        r = ask_until_present(bus, all);
        if (r < 0)
                return ctl_bus_failure(NULL, NULL, r);
        for (size_t i = 0; i < all->n; i++) {
                r = take_answer(bus, all, &all->first[i], sessions);
                result = result ? result : r;
        }
        return result;
}

/* ---- which containers ---------------------------------------------------------------------- */

static int add_ask(Asks *all, const Target *t)
{
        if (all->n == all->allocated) {
                size_t n = MAX(2 * all->allocated, (size_t) 16);
                Ask *first = reallocarray(all->first, n, sizeof(*first));

                if (!first)
                        return -ENOMEM;
                all->first = first;
                all->allocated = n;
        }
        all->first[all->n++] = (Ask){ .target = *t, .error = SD_BUS_ERROR_NULL };
        return 0;
}

static int add_containers(Asks *all, const char *namespace, const char *pod, const json_t *list)
{
        const json_t *c;
        size_t i;

        json_array_foreach (list, i, c) {
                Target t = { .namespace = namespace,
                        .pod = (char *) pod,
                        .container = (char *) strempty(json_get_string(c, "name")) };
                int r;

                if (json_get_int(c, "pid", 0) == 0)
                        continue;
                r = add_ask(all, &t);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_pod(Asks *all, const char *namespace, const char *pod, const json_t *status)
{
        int r = add_containers(all, namespace, pod, json_object_get(status, "init_containers"));

        return r < 0 ? r
                     : add_containers(all, namespace, pod, json_object_get(status, "containers"));
}

static int add_all(sd_bus *bus, const char *namespace, Asks *all, json_t **ret_pods,
                sd_bus_error *reterr)
{
        const json_t *pod;
        size_t i;
        int r;

        r = reconcile_list_status(bus, namespace, ret_pods, reterr);
        if (r < 0)
                return r;
        json_array_foreach (*ret_pods, i, pod) {
                r = add_pod(all, strempty(json_get_string(pod, "namespace")),
                                strempty(json_get_string(pod, "name")),
                                json_object_get(pod, "status"));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_target(sd_bus *bus, const Target *t, Asks *all, PodStatus *ret, sd_bus_error *reterr)
{
        int r;

        if (*t->container) {
                all->named = true;
                return add_ask(all, t);
        }
        r = reconcile_get_status(bus, t->namespace, t->pod, ret, reterr);
        return r < 0 ? r : add_pod(all, t->namespace, t->pod, ret->status);
}

/* ---- for people ---------------------------------------------------------------------------- */

static void add_command(Table *t, const json_t *command)
{
        CLEANUP_FREE char *text = NULL;
        size_t size, i;
        FILE *f = open_memstream(&text, &size);
        const json_t *word;

        if (!f) {
                table_add(t, NULL, COLOR_NONE);
                return;
        }
        json_array_foreach (command, i, word)
                fprintf(f, "%s%s", i > 0 ? " " : "", json_string_value(word));
        (void) fclose(f);
        table_add(t, text, COLOR_NONE);
}

static void add_row(Table *t, const json_t *o, const Arguments *a)
{
        const json_t *result = json_object_get(o, "result");
        const char *state = strempty(json_get_string(o, "state"));
        char age[FORMAT_DURATION_SIZE];

        if (a->all_namespaces)
                table_add(t, json_get_string(o, "namespace"), COLOR_NONE);
        table_add(t, json_get_string(o, "pod"), COLOR_NONE);
        table_add(t, json_get_string(o, "container"), COLOR_NONE);
        table_addf(t, "%d", (int) json_get_int(o, "session", 0));
        table_add(t, state,
                        streq(state, "running") || streq(state, "attached") ? COLOR_GOOD
                        : streq(state, "ended")                             ? COLOR_NONE
                                                                            : COLOR_PENDING);
        if (json_is_object(result))
                table_addf(t, "%s %d", json_get_string(result, "kind"),
                                (int) json_get_int(result, "code", 0));
        else
                table_add(t, NULL, COLOR_NONE);
        table_add(t, age_since(json_get_string(o, "started_at"), age), COLOR_NONE);
        if (a->output == OUTPUT_WIDE) {
                table_addf(t, "%d", (int) json_get_int(o, "pid", 0));
                table_addf(t, "%d", (int) json_get_int(o, "processes", 0));
                table_addf(t, "%d", (int) json_get_int(o, "clients", 0));
                table_add(t, json_get_bool(o, "tty", false) ? "yes" : "no", COLOR_NONE);
                table_add(t, json_get_string(o, "stdio"), COLOR_NONE);
                table_add(t, json_get_string(o, "disconnect"), COLOR_NONE);
                table_add(t, json_get_string(o, "user"), COLOR_NONE);
        }
        if (json_get_string(o, "mode")) /* attached */
                table_addf(t, "(%s)", json_get_string(o, "mode"));
        else
                add_command(t, json_object_get(o, "command"));
}

static int print_sessions(const Arguments *a, const json_t *all)
{
        static const char *const wide[] = { "NAMESPACE", "POD", "CONTAINER", "SESSION", "STATE",
                "RESULT", "AGE", "PID", "PROCESSES", "CLIENTS", "TTY", "STDIO", "DISCONNECT",
                "USER", "COMMAND", NULL };
        static const char *const narrow[] = { "NAMESPACE", "POD", "CONTAINER", "SESSION", "STATE",
                "RESULT", "AGE", "COMMAND", NULL };
        const char *const *titles = a->output == OUTPUT_WIDE ? wide : narrow;
        CLEANUP(table_freep) Table *t = NULL;
        const json_t *o;
        size_t i;

        if (table_new(titles + !a->all_namespaces, &t) < 0)
                return ctl_oom();
        json_array_foreach (all, i, o)
                add_row(t, o, a);
        return table_print(t, stdout) < 0 ? ctl_oom() : 0;
}

int sessions_list(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *all = json_array(), *pods = NULL;
        CLEANUP(pod_status_done) PodStatus status = {};
        CLEANUP(target_done) Target t = {};
        CLEANUP(asks_done) Asks asks = { .everywhere = a->all_namespaces };
        const char *word = a->words ? a->words[1] : NULL;
        int r = 0, result;

        if (!word && a->container)
                return ctl_usage_error("-c %s: of which pod?", WORD(a->container));
        if (word && a->all_namespaces)
                return ctl_usage_error(
                                "\"%s\" and --all-namespaces exclude each other", WORD(word));
        if (word)
                r = target_parse(a, word, &t);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = word ? add_target(bus, &t, &asks, &status, &e)
                 : add_all(bus, a->all_namespaces ? "" : arguments_namespace(a), &asks, &pods, &e);
        if (r < 0)
                return ctl_bus_failure(word, &e, r);
        result = ask_all(bus, &asks, all);
        if (a->output == OUTPUT_JSON)
                r = json_print(stdout, all) < 0 ? ctl_oom() : 0;
        else
                r = print_sessions(a, all);
        return r != 0 ? r : result;
}
