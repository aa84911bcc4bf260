/* SPDX-License-Identifier: Apache-2.0 */

/* history and rollback: the versions that the store keeps of a thing. */

#include <pwd.h>
#include <stdio.h>

#include "clock.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-diff.h"
#include "ctl-json.h"
#include "ctl-resource.h"
#include "ctl-secret-diff.h"
#include "ctl-source.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "ctl-wait.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "quantity.h"

/* @text: NULL gives 0. 0 or the exit code. */
static int parse_revision(const char *text, uint64_t *ret)
{
        *ret = 0;
        if (!text || (parse_u64(text, ret) >= 0 && *ret > 0))
                return 0;
        return ctl_usage_error("\"%s\" is no revision: \"tankctl history\" lists them", WORD(text));
}

/* ---- the list ------------------------------------------------------------------------------ */

typedef struct Reading {
        const Resource *resource;
        json_t *versions;
} Reading;

static int ask_versions(sd_bus_message *m, const char *token, void *userdata)
{
        const Resource *x = ((Reading *) userdata)->resource;
        int r;

        r = sd_bus_message_append(m, "sss", x->type, x->namespace, x->name);
        if (r < 0)
                return r;
        return isempty(token) ? sd_bus_message_append(m, "a{sv}", 0)
                              : sd_bus_message_append(m, "a{sv}", 1, "continue", "s", token);
}

static int read_versions(
                sd_bus_message *reply, void *userdata, const char **ret_next, sd_bus_error *reterr)
{
        json_t *versions = ((Reading *) userdata)->versions;
        const char *operation, *uid;
        uint64_t revision, generation, at;
        uint32_t by;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(tssttu)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(tssttu)", &revision, &operation, &uid, &generation,
                                &at, &by)) > 0) {
                char text[RFC3339_SIZE];

                if (json_array_append_new(versions,
                                    json_pack("{s:I,s:s,s:s,s:I,s:s?,s:o}", "revision",
                                                    (json_int_t) revision, "operation", operation,
                                                    "uid", uid, "generation",
                                                    (json_int_t) generation, "at",
                                                    at > 0 ? format_rfc3339(at, text) : NULL, "by",
                                                    by == UINT32_MAX ? json_null()
                                                                     : json_integer(by))) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(reply);
        return r < 0 ? r : sd_bus_message_read(reply, "s", ret_next);
}

static const char *user_name(const json_t *by, char buf[static 16])
{
        const struct passwd *user;
        uid_t uid = (uid_t) json_integer_value(by);

        if (!json_is_integer(by))
                return NULL;
        user = getpwuid(uid);
        if (user)
                return user->pw_name;
        (void) snprintf(buf, 16, "%u", (unsigned) uid);
        return buf;
}

static int print_versions(const Arguments *a, const json_t *versions)
{
        static const char *const titles[] = { "REVISION", "OPERATION", "GENERATION", "AT", "BY",
                NULL };
        static const char *const wide[] = { "REVISION", "OPERATION", "GENERATION", "AT", "BY",
                "UID", NULL };
        CLEANUP(table_freep) Table *t = NULL;
        json_t *v;
        size_t i;

        if (table_new(a->output == OUTPUT_WIDE ? wide : titles, &t) < 0)
                return ctl_oom();
        json_array_foreach (versions, i, v) {
                const char *at = json_get_string(v, "at");
                char buf[16];

                table_addf(t, "%lld", (long long) json_get_int(v, "revision", 0));
                table_add(t, json_get_string(v, "operation"), COLOR_NONE);
                table_addf(t, "%lld", (long long) json_get_int(v, "generation", 0));
                if (at) /* nobody looks for microseconds here */
                        table_addf(t, "%.19sZ", at);
                else
                        table_add(t, "", COLOR_NONE);
                table_add(t, user_name(json_object_get(v, "by"), buf), COLOR_NONE);
                if (a->output == OUTPUT_WIDE)
                        table_add(t, json_get_string(v, "uid"), COLOR_NONE);
        }
        return table_print(t, stdout) < 0 ? ctl_oom() : 0;
}

static int list_versions(const Arguments *a, sd_bus *bus, const Resource *x)
{
        static const CtlPages pages = { &ctl_store, "History", ask_versions, read_versions };
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *versions = json_array();
        Reading reading = { x, versions };
        int r;

        if (!versions)
                return ctl_oom();
        r = ctl_bus_read_pages(bus, &pages, &reading, &e);
        if (r < 0)
                return resource_failure(x, &e, r);
        if (a->output != OUTPUT_JSON)
                return print_versions(a, versions);
        return json_print(stdout, versions) == -ENOMEM ? ctl_oom() : 0;
}

/* ---- one version, two versions ------------------------------------------------------------- */

/* @revision 0: what stands now. 0 or the exit code. */
static int read_version(sd_bus *bus, const Resource *x, uint64_t revision, json_t **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = revision > 0 ? store_get_version(bus, x->type, x->namespace, x->name, revision, ret, &e)
                         : store_get(bus, x->type, x->namespace, x->name, ret, &e);
        return r < 0 ? resource_failure(x, &e, r) : 0;
}

static int print_version(const Arguments *a, sd_bus *bus, const Resource *x, uint64_t revision)
{
        CLEANUP_JSON json_t *doc = NULL, *declared = NULL;
        int r;

        r = read_version(bus, x, revision, &doc);
        if (r != 0)
                return r;
        if (a->output == OUTPUT_JSON)
                return json_print(stdout, doc) == -ENOMEM ? ctl_oom() : 0;
        r = declaration_for_people(doc, &declared);
        if (r >= 0)
                r = yaml_print(stdout, declared, false);
        return r == -ENOMEM ? ctl_oom() : r < 0 ? EXIT_CODE_FAILED : 0;
}

/* Takes the values of a secret out of both, and what differs in them. 0 or the exit code. */
static int take_values_out(
                sd_bus *bus, const Resource *x, json_t **old, json_t **new, SecretDiff *ret)
{
        json_t **docs[] = { old, new };
        SecretVersion versions[2];
        int r;

        if (!streq(x->type, "secret"))
                return 0;
        for (size_t i = 0; i < 2; i++)
                versions[i] = (SecretVersion){
                        .document = *docs[i],
                        .revision = (uint64_t) json_get_int(
                                        json_object_get(*docs[i], "meta"), "revision", 0),
                };
        r = secret_diff_make(bus, x->namespace, x->name, &versions[0], &versions[1], ret);
        for (size_t i = 0; r == 0 && i < 2; i++) {
                json_t *bare = secret_without_values(*docs[i]);

                json_decref(*docs[i]);
                *docs[i] = bare;
                r = bare ? 0 : ctl_oom();
        }
        return r;
}

static int print_difference(sd_bus *bus, const Resource *x, uint64_t from, uint64_t to)
{
        CLEANUP_JSON json_t *old = NULL, *new = NULL, *old_people = NULL, *new_people = NULL;
        CLEANUP(secret_diff_done) SecretDiff values = {};
        int r;

        r = read_version(bus, x, from, &old);
        if (r == 0)
                r = read_version(bus, x, to, &new);
        if (r == 0)
                r = take_values_out(bus, x, &old, &new, &values);
        if (r != 0)
                return r;
        if (declaration_for_people(old, &old_people) < 0 ||
                        declaration_for_people(new, &new_people) < 0 ||
                        diff_print(stdout, old_people, new_people) < 0)
                return ctl_oom();
        secret_diff_print(stdout, &values);
        return 0;
}

/* With --diff a word behind what names the thing is the second revision. */
static int take_second_revision(const Arguments *a, char *names[static 3], uint64_t *ret_to)
{
        size_t n = 0, n_names = strchr(a->words[0], '/') ? 1 : 2;

        for (; n < n_names && a->words[n]; n++)
                names[n] = a->words[n];
        names[n] = NULL;
        *ret_to = 0;
        if (!a->words[n])
                return 0;
        if (a->words[n + 1])
                return ctl_usage_error("\"%s\" is one word too many", WORD(a->words[n + 1]));
        return parse_revision(a->words[n], ret_to);
}

int verb_history(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(resource_done) Resource x = {};
        uint64_t revision, from, to = 0;
        Arguments naming = *a;
        char *names[3];
        int r;

        if (a->revision && a->diff)
                return ctl_usage_error("--revision and --diff exclude each other");
        if (a->output == OUTPUT_YAML && !a->revision)
                return ctl_usage_error("-o yaml is for --revision");
        if (a->diff && a->output != OUTPUT_TABLE)
                return ctl_usage_error("--diff has no other output format");
        r = parse_revision(a->revision, &revision);
        if (r == 0)
                r = parse_revision(a->diff, &from);
        if (r == 0 && a->diff) {
                r = take_second_revision(a, names, &to);
                naming.words = names;
        }
        if (r == 0)
                r = resource_parse_named(&naming, "history", &x);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        if (revision > 0)
                return print_version(a, bus, &x, revision);
        return from > 0 ? print_difference(bus, &x, from, to) : list_versions(a, bus, &x);
}

/* ---- going back ---------------------------------------------------------------------------- */

static int roll_back(sd_bus *bus, const Resource *x, uint64_t to, const uint64_t *if_revision,
                uint64_t *ret_generation, char **ret_changed, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        const char *uid, *changed;
        uint64_t revision;
        int r;

        r = ctl_bus_new_call(bus, &ctl_store, "Rollback", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssst", x->type, x->namespace, x->name, to);
        if (r >= 0)
                r = if_revision ? sd_bus_message_append(
                                                  m, "a{sv}", 1, "if-revision", "t", *if_revision)
                                : sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = ctl_bus_call(bus, m, &ctl_store, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "stts", &uid, ret_generation, &revision, &changed);
        if (r >= 0)
                r = free_and_strdup(ret_changed, changed);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_store, reterr) : 0;
}

/* Waits for what was rolled back to: its document tells whether it may be meant to end. */
static int wait_for_pod(Waiter *waiter, const Resource *x, uint64_t generation, bool created)
{
        CLEANUP_JSON json_t *doc = NULL;
        int r;

        (void) fflush(stdout); /* what is stored is known before the wait begins */
        r = read_version(waiter->bus, x, 0, &doc);
        if (r == 0)
                r = waiter_wait_applied(waiter, doc, generation, created);
        return r;
}

static int roll_back_and_wait(const Arguments *a, const Resource *x, uint64_t to,
                const uint64_t *if_revision, uint64_t timeout)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *changed = NULL, *what = NULL;
        const Declaration d = { .type = x->type, .namespace = x->namespace, .name = x->name };
        uint64_t generation;
        Waiter waiter = {};
        int r;

        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = a->wait ? waiter_start(&waiter, bus, x->namespace, x->name, timeout) : 0;
        if (r < 0)
                return ctl_bus_failure("cannot subscribe to events", NULL, r);
        r = roll_back(bus, x, to, if_revision, &generation, &changed, &e);
        if (r < 0)
                return resource_failure(x, &e, r); /* which names the thing */
        what = declaration_identity(&d);
        printf("%s %s\n", strempty(what), changed);
        if (!a->wait)
                return 0;
        r = wait_for_pod(&waiter, x, generation, streq(changed, "created"));
        if (r == 0)
                printf("%s %s\n", strempty(what), run_state_to_string(waiter.state));
        return r;
}

int verb_rollback(const Arguments *a)
{
        CLEANUP(resource_done) Resource x = {};
        uint64_t to, if_revision = 0, timeout;
        int r;

        r = arguments_timeout(a, WAIT_TIMEOUT_USEC, &timeout);
        if (r == 0 && a->timeout && !a->wait)
                r = ctl_usage_error("--timeout is for --wait");
        if (r == 0 && !a->to)
                r = ctl_usage_error("rollback to which version? --to REVISION; \"tankctl history\" "
                                    "lists them");
        if (r == 0)
                r = parse_revision(a->to, &to);
        if (r == 0 && a->if_revision && parse_u64(a->if_revision, &if_revision) < 0)
                r = ctl_usage_error("--if-revision: \"%s\" is no revision", WORD(a->if_revision));
        if (r == 0)
                r = resource_parse_named(a, "rollback", &x);
        if (r == 0 && a->wait && !streq(x.type, "pod"))
                r = ctl_usage_error("--wait is for pods");
        return r != 0 ? r
                      : roll_back_and_wait(
                                        a, &x, to, a->if_revision ? &if_revision : NULL, timeout);
}
