/* SPDX-License-Identifier: Apache-2.0 */

/* See store-statistics.h. Nothing here walks over rows: each number is known already, or RocksDB
 * keeps it. */

#include "store-statistics.h"

#include "store-internal.h"
#include "store-quota.h"

enum { FIGURES = 10 };

static void take_figures(Store *s, MetricsFigure ret[static FIGURES])
{
        const MetricsFigure figures[FIGURES] = {
                { "revision", "Of the newest durable write.", store_revision(s) },
                { "compacted_revision", "Changes up to here are gone.",
                                store_compacted_revision(s) },
                { "degraded", "Whether writes are refused.", store_is_degraded(s) },
                { "queued_transactions", "Writes that are not on disk yet.",
                                commit_queued(s->commit) },
                { "change_log_rows", "Changes that can be read again.", s->log.rows },
                { "change_log_bytes", "What the rows of the change log say.", s->log.bytes },
                { "pending_compaction_bytes", "What RocksDB has to write anew in its files.",
                                db_number(s->db, DB_PENDING_COMPACTION_BYTES) },
                { "memtable_bytes", "Memory of writes that are in no table yet.",
                                db_number(s->db, DB_MEMTABLE_BYTES) },
                { "cache_bytes", "Memory of blocks that were read.",
                                db_number(s->db, DB_CACHE_BYTES) },
                { "table_bytes", "Size of all tables on disk.", db_number(s->db, DB_TABLE_BYTES) },
        };

        memcpy(ret, figures, sizeof(figures));
}

/* ---- one by one ---------------------------------------------------------------------------- */

typedef struct TypeNumber {
        MetricsNumber each;
        void *userdata;
} TypeNumber;

static int tell_type(const char *type, uint64_t n, void *userdata)
{
        const TypeNumber *t = userdata;
        char name[sizeof("objects.") + LIMIT_NAME_MAX];

        (void) snprintf(name, sizeof(name), "objects.%s", type);
        return t->each(name, n, t->userdata);
}

/* One of the numbers of namespaces that have a quota. */
typedef struct QuotaNumber {
        const char *name, *help;
        size_t offset; /* in QuotaUse */
} QuotaNumber;

static const QuotaNumber quota_numbers[] = {
        { "namespace_objects", "Objects in a namespace that has a quota.",
                        offsetof(QuotaUse, objects) },
        { "namespace_bytes", "What is stored of them.", offsetof(QuotaUse, bytes) },
        { "namespace_quota_objects", "How many may stand in it.", offsetof(QuotaUse, max_objects) },
        { "namespace_quota_bytes", "How much may be stored of them.",
                        offsetof(QuotaUse, max_bytes) },
};

/* QUOTA_NONE: there is no such bound. */
static int64_t quota_number(const QuotaUse *use, const QuotaNumber *n)
{
        return *(const int64_t *) ((const char *) use + n->offset);
}

static int tell_quota(const char *namespace, const QuotaUse *use, void *userdata)
{
        const TypeNumber *t = userdata;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(quota_numbers); i++) {
                int64_t value = quota_number(use, &quota_numbers[i]);
                char name[sizeof("namespace_quota_objects.") + LIMIT_NAME_MAX];

                if (value == QUOTA_NONE)
                        continue;
                (void) snprintf(name, sizeof(name), "%s.%s", quota_numbers[i].name, namespace);
                r = t->each(name, (uint64_t) value, t->userdata);
        }
        return r;
}

int store_walk_statistics(
                Store *s, const Metrics *m, const Census *c, MetricsNumber each, void *userdata)
{
        MetricsFigure figures[FIGURES];
        int r;

        r = metrics_walk(m, each, userdata);
        take_figures(s, figures);
        for (size_t i = 0; r >= 0 && i < FIGURES; i++)
                r = each(figures[i].name, figures[i].value, userdata);
        if (r >= 0)
                r = census_walk(c, tell_type, &(TypeNumber){ each, userdata });
        return r < 0 ? r : quotas_walk(s->quotas, tell_quota, &(TypeNumber){ each, userdata });
}

/* ---- as text ------------------------------------------------------------------------------- */

typedef struct TypePrinter {
        FILE *f;
        bool begun;
} TypePrinter;

static int print_type(const char *type, uint64_t n, void *userdata)
{
        TypePrinter *p = userdata;

        if (!p->begun)
                metrics_print_gauges(p->f, "objects", "Objects that stand, by type.");
        p->begun = true;
        metrics_print_gauge(p->f, "objects", "type", type, n);
        return 0;
}

typedef struct QuotaPrinter {
        FILE *f;
        const QuotaNumber *number;
        bool begun;
} QuotaPrinter;

static int print_quota(const char *namespace, const QuotaUse *use, void *userdata)
{
        QuotaPrinter *p = userdata;
        int64_t value = quota_number(use, p->number);

        if (value == QUOTA_NONE)
                return 0;
        if (!p->begun)
                metrics_print_gauges(p->f, p->number->name, p->number->help);
        p->begun = true;
        metrics_print_gauge(p->f, p->number->name, "namespace", namespace, (uint64_t) value);
        return 0;
}

static int print_quotas(Store *s, FILE *f)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(quota_numbers); i++) {
                QuotaPrinter p = { f, &quota_numbers[i], false };

                r = quotas_walk(s->quotas, print_quota, &p);
        }
        return r;
}

int store_print_metrics(Store *s, const Metrics *m, const Census *c, char **ret)
{
        CLEANUP_FREE char *text = NULL;
        MetricsFigure figures[FIGURES];
        size_t size;
        FILE *f;
        int r;

        f = open_memstream(&text, &size);
        if (!f)
                return -errno;
        take_figures(s, figures);
        if ((r = metrics_print(m, f)) >= 0 &&
                        (r = metrics_print_figures(f, figures, FIGURES)) >= 0 &&
                        (r = census_walk(c, print_type, &(TypePrinter){ .f = f })) >= 0 &&
                        (r = print_quotas(s, f)) >= 0)
                r = metrics_print_end(f);
        if (fclose(f) < 0 && r >= 0)
                r = -ENOMEM;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}
