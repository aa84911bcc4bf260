/* SPDX-License-Identifier: Apache-2.0 */

/* doctor: what both daemons say of themselves, and the one remedy that needs a person; version. */

#include <stdio.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-store.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "document.h"
#include "error.h"
#include "log.h"

#define VERIFY_TIMEOUT_USEC (UINT64_C(120) * USEC_PER_SEC)

typedef struct Property {
        const char *name;
        char type; /* 's' or 't' */
} Property;

static void print_line(const char *label, const char *text)
{
        printf("  %-19s ", label);
        print_neutral(stdout, text);
        putchar('\n');
}

/* Prints the properties of one daemon; false: it does not answer, or its State is not "ok". */
static bool examine(sd_bus *bus, const char *program, const char *name, const char *path,
                const Property *properties)
{
        bool healthy = true;

        printf("%s\n", program);
        for (const Property *p = properties; p->name; p++) {
                CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
                CLEANUP_FREE char *text = NULL;
                char number[32];
                int r;

                if (p->type == 's')
                        r = sd_bus_get_property_string(bus, name, path, name, p->name, &e, &text);
                else {
                        uint64_t value = 0;

                        r = sd_bus_get_property_trivial(
                                        bus, name, path, name, p->name, &e, 't', &value);
                        (void) snprintf(number, sizeof(number), "%llu", (unsigned long long) value);
                }
                if (r < 0) {
                        ctl_bus_translate(&e, name);
                        print_line("not well:", e.message ? e.message : errno_words(r));
                        return false;
                }
                if (streq(p->name, "State") && !streq(text, "ok"))
                        healthy = false;
                if (!text || *text)
                        print_line(p->name, text ? text : number);
        }
        return healthy;
}

/* Prints what is wrong with the database; false: something is. Who may not ask is told so. */
static bool examine_database(sd_bus *bus)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *problems = NULL;
        const json_t *problem;
        char text[64];
        uint64_t rows;
        size_t i;

        if (store_ask_problems(bus, VERIFY_TIMEOUT_USEC, &problems, &rows, &e) < 0) {
                print_line("not verified:", e.message ? e.message : "the store does not answer");
                return true;
        }
        (void) snprintf(text, sizeof(text), "%llu rows, nothing is wrong",
                        (unsigned long long) rows);
        if (json_array_size(problems) == 0)
                print_line("verified:", text);
        json_array_foreach (problems, i, problem)
                print_line("problem:", json_string_value(problem));
        return json_array_size(problems) == 0;
}

static int accept_store(sd_bus *bus)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = reconcile_call(bus, "AcceptStore", &e, "");

        if (r < 0)
                return ctl_bus_failure("the store was not accepted", &e, r);
        puts("The store is accepted: what it says now is what is wanted.");
        return 0;
}

int verb_doctor(const Arguments *a)
{
        static const Property store[] = { { "State", 's' }, { "DegradedReason", 's' },
                { "Backend", 's' }, { "DatabaseId", 's' }, { "Revision", 't' },
                { "CompactedRevision", 't' }, {} };
        static const Property reconcile[] = { { "State", 's' }, { "HeldReason", 's' },
                { "DatabaseId", 's' }, { "StoreRevision", 't' }, {} };
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        bool store_healthy, reconcile_healthy;
        int r;

        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        if (a->accept_store)
                return accept_store(bus);
        store_healthy = examine(bus, "tankd-store", TANK_STORE_NAME, TANK_STORE_PATH, store);
        if (store_healthy)
                store_healthy = examine_database(bus);
        reconcile_healthy = examine(bus, "tankd-reconcile", TANK_RECONCILE_NAME,
                        TANK_RECONCILE_PATH, reconcile);
        return store_healthy && reconcile_healthy ? 0 : EXIT_CODE_FAILED;
}

int verb_version(const Arguments *a)
{
        puts("tankctl " PACKAGE_VERSION);
        return 0;
}
