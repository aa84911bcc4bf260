/* SPDX-License-Identifier: Apache-2.0 */

/* store verify, compact and retention. */

#include <inttypes.h>
#include <stdio.h>

#include "ctl-bus.h"
#include "ctl-json.h"
#include "ctl-store.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "document.h"
#include "error.h"
#include "names.h"
#include "quantity.h"

static int call(sd_bus *bus, sd_bus_message *m, uint64_t timeout, sd_bus_message **ret,
                sd_bus_error *reterr)
{
        int r = sd_bus_call(bus, m, timeout, reterr, ret);

        if (r < 0)
                ctl_bus_translate(reterr, ctl_store_admin.name);
        return r;
}

/* ---- verify -------------------------------------------------------------------------------- */

int store_ask_problems(sd_bus *bus, uint64_t timeout, json_t **ret_problems, uint64_t *ret_rows,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_JSON json_t *problems = json_array();
        const char *problem;
        int r;

        if (!problems)
                return -ENOMEM;
        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, "Verify", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "a{sv}", 0)) < 0 ||
                        (r = call(bus, m, timeout, &reply, reterr)) < 0 ||
                        (r = sd_bus_message_enter_container(reply, 'a', "s")) < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "s", &problem)) > 0)
                if (json_array_append_new(problems, json_string(problem)) < 0)
                        return -ENOMEM;
        if (r < 0 || (r = sd_bus_message_exit_container(reply)) < 0 ||
                        (r = sd_bus_message_read(reply, "t", ret_rows)) < 0)
                return ctl_bus_bad_answer(r, &ctl_store_admin, reterr);
        *ret_problems = TAKE_PTR(problems);
        return 0;
}

int store_verify(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *problems = NULL;
        const json_t *problem;
        uint64_t rows;
        size_t i;
        int r;

        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = store_ask_problems(bus, UINT64_MAX, &problems, &rows, &e);
        if (r < 0)
                return ctl_bus_failure(NULL, &e, r);
        json_array_foreach (problems, i, problem) {
                print_neutral(stdout, json_string_value(problem));
                putchar('\n');
        }
        if (json_array_size(problems) > 0)
                return EXIT_CODE_FAILED;
        printf("%" PRIu64 " rows were read: nothing is wrong\n", rows);
        return 0;
}

/* ---- compact ------------------------------------------------------------------------------- */

int store_compact(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t revision = 0, compacted;
        int r;

        if (a->revision && parse_u64(a->revision, &revision) < 0)
                return ctl_usage_error("--revision: \"%s\" is no revision", WORD(a->revision));
        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, "Compact", &m)) < 0 ||
                        (r = a->revision ? sd_bus_message_append(
                                                           m, "a{sv}", 1, "revision", "t", revision)
                                         : sd_bus_message_append(m, "a{sv}", 0)) < 0 ||
                        (r = call(bus, m, UINT64_MAX, &reply, &e)) < 0 ||
                        (r = sd_bus_message_read(reply, "t", &compacted)) < 0)
                return ctl_bus_failure(NULL, &e, r);
        printf("the changes up to revision %" PRIu64 " are given up\n", compacted);
        return 0;
}

/* ---- retention ----------------------------------------------------------------------------- */

#define NO_RULE UINT64_MAX /* both: what holds for all others holds for the type again */

typedef struct Rule {
        uint64_t versions, age_usec;
} Rule;

static int read_rules(sd_bus *bus, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_JSON json_t *rules = json_array();
        uint64_t versions, age;
        const char *type;
        int r;

        if (!rules)
                return -ENOMEM;
        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, "GetRetention", &m)) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_store_admin, &reply, reterr)) < 0 ||
                        (r = sd_bus_message_enter_container(reply, 'a', "(stt)")) < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(stt)", &type, &versions, &age)) > 0)
                if (json_array_append_new(rules, json_pack("{s:s,s:I,s:I}", "type", type,
                                                                 "versions", (json_int_t) versions,
                                                                 "age", (json_int_t) age)) < 0)
                        return -ENOMEM;
        if (r < 0)
                return ctl_bus_bad_answer(r, &ctl_store_admin, reterr);
        *ret = TAKE_PTR(rules);
        return 0;
}

static int read_log_rule(sd_bus *bus, uint64_t ret[static 2], sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, "GetLogRetention", &m)) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_store_admin, &reply, reterr)) < 0)
                return r;
        r = sd_bus_message_read(reply, "tt", &ret[0], &ret[1]);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_store_admin, reterr) : 0;
}

static int print_rules(const json_t *rules, const uint64_t log[static 2])
{
        static const char *const titles[] = { "TYPE", "VERSIONS", "AGE", NULL };
        CLEANUP(table_freep) Table *t = NULL;
        char buf[FORMAT_EXACT_SIZE];
        const json_t *rule;
        size_t i;

        if (table_new(titles, &t) < 0)
                return ctl_oom();
        json_array_foreach (rules, i, rule) {
                int64_t versions = json_get_int(rule, "versions", 0);
                int64_t age = json_get_int(rule, "age", 0);
                const char *type = json_get_string(rule, "type");

                table_add(t, isempty(type) ? "(others)" : type, COLOR_NONE);
                if (versions > 0)
                        table_addf(t, "%" PRId64, versions);
                else
                        table_add(t, "all", COLOR_NONE);
                table_add(t, age > 0 ? format_duration_exact((uint64_t) age, buf) : "forever",
                                COLOR_NONE);
        }
        if (table_print(t, stdout) < 0)
                return ctl_oom();
        printf("\nThe change log holds ");
        if (log[0] > 0)
                printf("%" PRIu64 " changes", log[0]);
        if (log[0] > 0 && log[1] > 0)
                printf(" or ");
        if (log[1] > 0)
                printf("%s", format_size_exact(log[1], buf));
        puts(log[0] == 0 && log[1] == 0 ? "all changes." : ", whichever is less.");
        return 0;
}

static int show_rules(const Arguments *a, sd_bus *bus)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *rules = NULL, *all = NULL;
        uint64_t log[2];
        int r;

        if ((r = read_rules(bus, &rules, &e)) < 0 || (r = read_log_rule(bus, log, &e)) < 0)
                return ctl_bus_failure(NULL, &e, r);
        if (a->output != OUTPUT_JSON)
                return print_rules(rules, log);
        all = json_pack("{s:O,s:{s:I,s:I}}", "types", rules, "log", "rows", (json_int_t) log[0],
                        "bytes", (json_int_t) log[1]);
        return !all || json_print(stdout, all) < 0 ? ctl_oom() : 0;
}

/* What holds for a type now: its own rule, else that of all others. */
static int find_rule(sd_bus *bus, const char *type, Rule *ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *rules = NULL;
        const json_t *rule;
        size_t i;
        int r = read_rules(bus, &rules, reterr);

        if (r < 0)
                return r;
        json_array_foreach (rules, i, rule) {
                const char *name = strempty(json_get_string(rule, "type"));

                if (!isempty(name) && !streq(name, type))
                        continue;
                ret->versions = (uint64_t) json_get_int(rule, "versions", 0);
                ret->age_usec = (uint64_t) json_get_int(rule, "age", 0);
        }
        return 0;
}

static int parse_rule(const Arguments *a, Rule *rule)
{
        bool versions_reset = streq_ptr(a->versions, "default");

        if (versions_reset || streq_ptr(a->age, "default")) {
                if ((a->versions && !versions_reset) || (a->age && !streq(a->age, "default")))
                        return ctl_usage_error("\"default\" is for --versions and --age at once");
                *rule = (Rule){ NO_RULE, NO_RULE };
                return 0;
        }
        if (streq_ptr(a->versions, "all"))
                rule->versions = 0;
        else if (a->versions &&
                        (parse_u64(a->versions, &rule->versions) < 0 || rule->versions == 0))
                return ctl_usage_error("--versions: a number, all, or default");
        if (streq_ptr(a->age, "forever"))
                rule->age_usec = 0;
        else if (a->age && (parse_duration(a->age, &rule->age_usec) < 0 || rule->age_usec == 0))
                return ctl_usage_error("--age: a duration like 30d, forever, or default");
        return 0;
}

static int set_rule(const Arguments *a, sd_bus *bus)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        const char *type = a->words[1] ? type_from_word(a->words[1]) : "";
        Rule rule = {};
        int r;

        if (!type)
                type = a->words[1];
        r = find_rule(bus, type, &rule, &e); /* what is not said stays */
        if (r < 0)
                return ctl_bus_failure(NULL, &e, r);
        r = parse_rule(a, &rule);
        if (r != 0)
                return r;
        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, "SetRetention", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "stt", type, rule.versions, rule.age_usec)) <
                                        0 ||
                        (r = ctl_bus_call(bus, m, &ctl_store_admin, &reply, &e)) < 0)
                return ctl_bus_failure(NULL, &e, r);
        return 0;
}

static int parse_log_rule(const Arguments *a, uint64_t rule[static 2])
{
        if (streq_ptr(a->log_rows, "all"))
                rule[0] = 0;
        else if (a->log_rows && (parse_u64(a->log_rows, &rule[0]) < 0 || rule[0] == 0))
                return ctl_usage_error("--log-rows: a number of changes, or all");
        if (streq_ptr(a->log_size, "all"))
                rule[1] = 0;
        else if (a->log_size && (parse_size(a->log_size, &rule[1]) < 0 || rule[1] == 0))
                return ctl_usage_error("--log-size: a size like 64MiB, or all");
        return 0;
}

static int set_log_rule(const Arguments *a, sd_bus *bus)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t rule[2];
        int r = read_log_rule(bus, rule, &e);

        if (r < 0)
                return ctl_bus_failure(NULL, &e, r);
        r = parse_log_rule(a, rule);
        if (r != 0)
                return r;
        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, "SetLogRetention", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "tt", rule[0], rule[1])) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_store_admin, &reply, &e)) < 0)
                return ctl_bus_failure(NULL, &e, r);
        return 0;
}

int store_retention(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        bool of_versions = a->versions || a->age, of_log = a->log_rows || a->log_size;
        uint64_t log_rule[2];
        Rule rule;
        int r;

        if (of_log && (of_versions || a->words[1]))
                return ctl_usage_error("--log-rows and --log-size are about the change log, which "
                                       "is of all types: set them by themselves");
        if (a->words[1] && !of_versions)
                return ctl_usage_error("what to keep of \"%s\"? --versions N, --age DURATION",
                                WORD(a->words[1]));
        if (a->words[1] && !type_is_valid(a->words[1]))
                return ctl_usage_error("\"%s\" is no type of resource", WORD(a->words[1]));
        r = parse_rule(a, &rule); /* what is wrong is said before anybody is asked */
        if (r == 0)
                r = parse_log_rule(a, log_rule);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        return of_versions ? set_rule(a, bus) : of_log ? set_log_rule(a, bus) : show_rules(a, bus);
}
