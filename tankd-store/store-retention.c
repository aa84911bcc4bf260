/* SPDX-License-Identifier: Apache-2.0 */
#include "store-retention.h"

#include "error.h"
#include "store-compact.h"
#include "store-internal.h"
#include "store-upkeep.h"

typedef struct Setting {
        Store *store;
        Rules rules;
        RuleSet done;
        void *userdata;
} Setting;

const Rules *store_rules(const Store *s)
{
        return compactor_rules(s->compactor);
}

static void setting_free(Setting *x)
{
        x->store->setting = NULL;
        rules_done(&x->rules);
        free(x);
}

static void on_written(int error, void *userdata)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Setting *x = userdata;

        if (error < 0)
                (void) store_write_failed(x->store, error, &e);
        else
                compactor_use_rules(x->store->compactor, &x->rules);
        x->done(error < 0 ? &e : NULL, x->userdata);
        setting_free(x);
}

/* The rules are one row: who changes it next begins with what this one wrote. */
static int begin(Store *s, RuleSet done, void *userdata, Setting **ret, sd_bus_error *reterr)
{
        Setting *x = NULL; /* gcc does not see that begin() sets it */

        store_try_writable(s);
        if (s->setting)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "another rule is being set: try again in a moment");
        x = calloc(1, sizeof(*x));
        if (!x)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        *x = (Setting){ .store = s, .done = done, .userdata = userdata };
        s->setting = x;
        *ret = x;
        return 0;
}

/* @r: of making the rules. Takes @x, also when it fails. */
static int submit(Setting *x, int r, const char *text, sd_bus_error *reterr)
{
        CLEANUP(upkeep_freep) Upkeep *u = NULL;

        if (r >= 0 && (upkeep_new(&u) < 0 || upkeep_put_meta(u, META_RETENTION, text) < 0 ||
                                      upkeep_put_meta_u64(u, META_PRUNE_DUE, 0) < 0))
                r = tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        if (r >= 0)
                r = upkeep_submit(x->store, u, on_written, x, reterr);
        if (r < 0) {
                setting_free(x);
                return r;
        }
        (void) TAKE_PTR(u);
        return 0;
}

int store_set_retention(Store *s, const char *type, const Retention *rule, RuleSet done,
                void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        Setting *x = NULL; /* gcc does not see that begin() sets it */
        int r = begin(s, done, userdata, &x, reterr);

        if (r < 0)
                return r;
        r = rules_with(store_rules(s), type, rule, &x->rules, &text, reterr);
        return submit(x, r, text, reterr);
}

int store_set_log_retention(Store *s, const LogRetention *rule, RuleSet done, void *userdata,
                sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        Setting *x = NULL; /* gcc does not see that begin() sets it */
        int r = begin(s, done, userdata, &x, reterr);

        if (r < 0)
                return r;
        r = rules_with_log(store_rules(s), rule, &x->rules, &text, reterr);
        return submit(x, r, text, reterr);
}
