/* SPDX-License-Identifier: Apache-2.0 */
#include "store-rules.h"

#include "document.h"
#include "error.h"
#include "limit.h"
#include "names.h"

/* As shipped: enough to look back upon and to go back to, and an end for the names of things that
 * come and go. */
static const Retention shipped = { 100, UINT64_C(90) * 24 * 60 * 60 * USEC_PER_SEC };
static const LogRetention shipped_log = { 100000, UINT64_C(64) * 1024 * 1024 };

#define AGE_MIN USEC_PER_SEC
#define AGE_MAX (UINT64_C(100) * 365 * 24 * 60 * 60 * USEC_PER_SEC)

/* A pair of whole numbers. */
static bool read_pair(const json_t *a, uint64_t *ret_first, uint64_t *ret_second)
{
        const json_t *x = json_array_get(a, 0), *y = json_array_get(a, 1);

        if (json_array_size(a) != 2 || !json_is_integer(x) || !json_is_integer(y) ||
                        json_integer_value(x) < 0 || json_integer_value(y) < 0)
                return false;
        *ret_first = (uint64_t) json_integer_value(x);
        *ret_second = (uint64_t) json_integer_value(y);
        return true;
}

static bool rules_are_valid(const json_t *own)
{
        const json_t *log = json_object_get(own, "log"), *types = json_object_get(own, "types"),
                     *rule;
        uint64_t x, y;
        const char *type;

        if (!json_is_object(own) || (log && !read_pair(log, &x, &y)) ||
                        (types && !json_is_object(types)))
                return false;
        json_object_foreach ((json_t *) types, type, rule)
                if (!read_pair(rule, &x, &y))
                        return false;
        return true;
}

int rules_load(Db *db, Rules *ret)
{
        CLEANUP_FREE char *text = NULL;
        CLEANUP_JSON json_t *own = NULL;
        size_t size;
        int r;

        r = db_get(db, NULL, DB_META, (DbKey){ META_RETENTION, strlen(META_RETENTION) }, &text,
                        &size);
        if (r < 0 && r != -ENOENT)
                return r;
        own = r < 0 ? json_object() : json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        if (r < 0 && !own)
                return -ENOMEM;
        if (!own || !rules_are_valid(own))
                return -EBADMSG;
        ret->own = TAKE_PTR(own);
        return 0;
}

int rules_keep_all(Rules *ret)
{
        json_t *own = json_pack("{s:[i,i],s:{s:[i,i]}}", "log", 0, 0, "types", "", 0, 0);

        if (!own)
                return -ENOMEM;
        ret->own = own;
        return 0;
}

void rules_done(Rules *r)
{
        json_decref(r->own);
        r->own = NULL;
}

Retention rules_of(const Rules *r, const char *type)
{
        const json_t *types = json_object_get(r->own, "types"), *own = json_object_get(types, type);
        Retention rule = shipped;

        if (!own)
                own = json_object_get(types, "");
        (void) read_pair(own, &rule.versions, &rule.age_usec); /* else as shipped */
        return rule;
}

LogRetention rules_of_log(const Rules *r)
{
        LogRetention rule = shipped_log;

        (void) read_pair(json_object_get(r->own, "log"), &rule.rows, &rule.bytes);
        return rule;
}

static int see_age(const char *type, const Retention *rule, void *userdata)
{
        uint64_t *least = userdata;

        if (rule->age_usec > 0 && (*least == 0 || rule->age_usec < *least))
                *least = rule->age_usec;
        return 0;
}

uint64_t rules_least_age(const Rules *r)
{
        uint64_t least = 0;

        (void) rules_list(r, see_age, &least); /* which cannot fail */
        return least;
}

static int compare_words(const void *a, const void *b)
{
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

int rules_list(const Rules *r, RuleSeen each, void *userdata)
{
        const char *words[LIMIT_RETENTION_RULES], *type;
        json_t *types = json_object_get(r->own, "types"), *own;
        Retention rule = rules_of(r, "");
        size_t n = 0;
        int k;

        k = each("", &rule, userdata);
        json_object_foreach (types, type, own)
                if (!isempty(type) && n < ARRAY_SIZE(words))
                        words[n++] = type;
        qsort(words, n, sizeof(*words), compare_words);
        for (size_t i = 0; i < n && k >= 0; i++) {
                rule = rules_of(r, words[i]);
                k = each(words[i], &rule, userdata);
        }
        return k;
}

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

static int finish(json_t *own, Rules *ret, char **ret_text, sd_bus_error *reterr)
{
        if (document_format(own, ret_text) < 0)
                return oom(reterr);
        ret->own = json_incref(own);
        return 0;
}

static int check_rule(const char *type, const Retention *rule, sd_bus_error *reterr)
{
        if (!isempty(type) && !type_is_valid(type))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "\"%.80s\" is no type: a-z first, then a-z, 0-9, '_' and '-'",
                                type);
        if (rule->versions == RETENTION_NONE && rule->age_usec == RETENTION_NONE)
                return 0;
        if (rule->versions > LIMIT_RETENTION_VERSIONS)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "versions: 1 to %u, or 0 for all", LIMIT_RETENTION_VERSIONS);
        if (rule->age_usec > 0 && (rule->age_usec < AGE_MIN || rule->age_usec > AGE_MAX))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "age: a second to a hundred years in microseconds, or 0 for ever");
        return 0;
}

int rules_with(const Rules *r, const char *type, const Retention *rule, Rules *ret, char **ret_text,
                sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *own = json_deep_copy(r->own);
        json_t *types;
        int k;

        k = check_rule(type, rule, reterr);
        if (k < 0)
                return k;
        types = json_object_get(own, "types");
        if (own && !types) {
                types = json_object();
                if (json_object_set_new(own, "types", types) < 0)
                        return oom(reterr);
        }
        if (!own)
                return oom(reterr);
        if (rule->versions == RETENTION_NONE && rule->age_usec == RETENTION_NONE)
                (void) json_object_del(types, type);
        else if (json_object_set_new(types, type,
                                 json_pack("[I,I]", (json_int_t) rule->versions,
                                                 (json_int_t) rule->age_usec)) < 0)
                return oom(reterr);
        if (json_object_size(types) > LIMIT_RETENTION_RULES)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "%u types have a rule of their own already: give one up first",
                                LIMIT_RETENTION_RULES);
        return finish(own, ret, ret_text, reterr);
}

int rules_with_log(const Rules *r, const LogRetention *rule, Rules *ret, char **ret_text,
                sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *own = json_deep_copy(r->own);

        if (rule->rows > INT64_MAX || rule->bytes > INT64_MAX)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "rows and bytes: whole numbers below 2^63, or 0 for no end");
        if (!own || json_object_set_new(own, "log",
                                    json_pack("[I,I]", (json_int_t) rule->rows,
                                                    (json_int_t) rule->bytes)) < 0)
                return oom(reterr);
        return finish(own, ret, ret_text, reterr);
}
