/* SPDX-License-Identifier: Apache-2.0 */

/* See store-statistics.h. Nothing here walks over rows: each number is known already, or RocksDB
 * keeps it. */

#include "store-statistics.h"

#include "store-internal.h"

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

int store_walk_statistics(
                Store *s, const Metrics *m, const Census *c, MetricsNumber each, void *userdata)
{
        MetricsFigure figures[FIGURES];
        int r;

        r = metrics_walk(m, each, userdata);
        take_figures(s, figures);
        for (size_t i = 0; r >= 0 && i < FIGURES; i++)
                r = each(figures[i].name, figures[i].value, userdata);
        return r < 0 ? r : census_walk(c, tell_type, &(TypeNumber){ each, userdata });
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
                        (r = census_walk(c, print_type, &(TypePrinter){ .f = f })) >= 0)
                r = metrics_print_end(f);
        if (fclose(f) < 0 && r >= 0)
                r = -ENOMEM;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}
