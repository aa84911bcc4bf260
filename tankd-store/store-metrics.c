/* SPDX-License-Identifier: Apache-2.0 */

/* See store-metrics.h. Times are counted in buckets by their upper bounds; what is printed is
 * cumulative, as OpenMetrics wants it. */

#include "store-metrics.h"

#include <inttypes.h>

#include "clock.h"

/* Of the names in metrics_walk(). */
#define NUMBER_NAME_SIZE 160U
#define SLOTS            (2 * METRICS_OPERATIONS)

/* From what a read from memory takes to what a client gives up at; in the spelling that OpenMetrics
 * calls canonical. */
static const struct {
        uint32_t usec;
        const char *seconds;
} bounds[] = {
        { 100, "0.0001" },
        { 250, "0.00025" },
        { 500, "0.0005" },
        { 1000, "0.001" },
        { 2500, "0.0025" },
        { 5000, "0.005" },
        { 10000, "0.01" },
        { 25000, "0.025" },
        { 50000, "0.05" },
        { 100000, "0.1" },
        { 250000, "0.25" },
        { 500000, "0.5" },
        { 1000000, "1.0" },
        { 2500000, "2.5" },
        { 10000000, "10.0" },
};
static_assert(ARRAY_SIZE(bounds) == METRICS_BOUNDS,
                "a bucket for each, and one for what is beyond");

struct MetricsOperation {
        const char *interface, *member;
        uint64_t errors, bytes_in, bytes_out;
        MetricsTimes time;
};

struct Metrics {
        MetricsCall current;
        bool failed; /* the current one */
        MetricsTimes sync;
        size_t n;
        MetricsOperation operations[METRICS_OPERATIONS];
        uint8_t slots[SLOTS]; /* by hash: 1 + index, 0 is empty */
};

int metrics_new(Metrics **ret)
{
        Metrics *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        *ret = m;
        return 0;
}

Metrics *metrics_free(Metrics *m)
{
        free(m);
        return NULL;
}

/* ---- counting ------------------------------------------------------------------------------ */

static void histogram_add(MetricsTimes *h, uint64_t usec)
{
        size_t i = 0;

        while (i < METRICS_BOUNDS && usec > bounds[i].usec)
                i++;
        h->buckets[i]++;
        h->usec += usec;
        h->n++;
}

/* Where it is, or the empty slot where it would be: half of them are empty at least. */
static uint8_t *find_slot(Metrics *m, const char *interface, const char *member)
{
        uint32_t h = 2166136261U;

        for (const char *p = interface; *p; p++)
                h = (h ^ (unsigned char) *p) * 16777619U;
        for (const char *p = member; *p; p++)
                h = (h ^ (unsigned char) *p) * 16777619U;
        for (;; h++) {
                uint8_t *slot = &m->slots[h % SLOTS];
                const MetricsOperation *o;

                if (!*slot)
                        return slot;
                o = &m->operations[*slot - 1];
                if (streq(o->member, member) && streq(o->interface, interface))
                        return slot;
        }
}

int metrics_add_operation(Metrics *m, const char *interface, const char *member)
{
        uint8_t *slot;

        static_assert(METRICS_OPERATIONS < UINT8_MAX, "a slot holds any index");
        if (m->n == METRICS_OPERATIONS)
                return -ENOSPC;
        slot = find_slot(m, interface, member);
        if (*slot)
                return 0;
        m->operations[m->n] = (MetricsOperation){ .interface = interface, .member = member };
        *slot = (uint8_t) ++m->n;
        return 0;
}

void metrics_begin(Metrics *m, const char *interface, const char *member, uint64_t since_usec)
{
        uint8_t slot = *find_slot(m, interface, member);

        m->failed = false;
        m->current = (MetricsCall){};
        if (slot)
                m->current = (MetricsCall){ &m->operations[slot - 1], since_usec };
}

void metrics_in(Metrics *m, size_t bytes)
{
        if (m->current.operation)
                m->current.operation->bytes_in += bytes;
}

void metrics_out(Metrics *m, size_t bytes)
{
        if (m->current.operation)
                m->current.operation->bytes_out += bytes;
}

void metrics_fail(Metrics *m)
{
        m->failed = true;
}

MetricsCall metrics_later(Metrics *m)
{
        MetricsCall call = m->current;

        m->current = (MetricsCall){};
        return call;
}

void metrics_now(Metrics *m, MetricsCall *call)
{
        m->current = *call;
        *call = (MetricsCall){};
}

void metrics_answered(MetricsCall *call, size_t bytes_out, bool failed)
{
        MetricsOperation *o = call->operation;
        uint64_t now;

        if (!o)
                return;
        now = now_boottime_usec();
        histogram_add(&o->time, now > call->since_usec ? now - call->since_usec : 0);
        o->bytes_out += bytes_out;
        o->errors += failed;
        *call = (MetricsCall){};
}

void metrics_end(Metrics *m, bool failed)
{
        metrics_answered(&m->current, 0, failed || m->failed);
}

void metrics_synced(Metrics *m, uint64_t usec)
{
        histogram_add(&m->sync, usec);
}

/* ---- one by one ---------------------------------------------------------------------------- */

static const char *short_name(const MetricsOperation *o)
{
        const char *dot = strrchr(o->interface, '.');

        return dot ? dot + 1 : o->interface;
}

void metrics_bounds(uint64_t ret[static METRICS_BOUNDS])
{
        for (size_t i = 0; i < METRICS_BOUNDS; i++)
                ret[i] = bounds[i].usec;
}

const MetricsTimes *metrics_syncs(const Metrics *m)
{
        return &m->sync;
}

int metrics_walk_operations(const Metrics *m, MetricsSeen each, void *userdata)
{
        char name[NUMBER_NAME_SIZE];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < m->n; i++) {
                const MetricsOperation *o = &m->operations[i];
                const MetricsTotals totals = { o->errors, o->bytes_in, o->bytes_out, &o->time };

                (void) snprintf(name, sizeof(name), "%s.%s", short_name(o), o->member);
                r = each(name, &totals, userdata);
        }
        return r;
}

static int walk_operation(const MetricsOperation *o, MetricsNumber each, void *userdata)
{
        const struct {
                const char *name;
                uint64_t value;
        } numbers[] = {
                { "calls", o->time.n },
                { "errors", o->errors },
                { "usec", o->time.usec },
                { "bytes_in", o->bytes_in },
                { "bytes_out", o->bytes_out },
        };
        char name[NUMBER_NAME_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                int r;

                (void) snprintf(name, sizeof(name), "%s.%s.%s", short_name(o), o->member,
                                numbers[i].name);
                r = each(name, numbers[i].value, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

int metrics_walk(const Metrics *m, MetricsNumber each, void *userdata)
{
        int r;

        for (size_t i = 0; i < m->n; i++) {
                r = walk_operation(&m->operations[i], each, userdata);
                if (r < 0)
                        return r;
        }
        r = each("syncs", m->sync.n, userdata);
        return r < 0 ? r : each("sync_usec", m->sync.usec, userdata);
}

/* ---- as text ------------------------------------------------------------------------------- */

static void print_family(
                FILE *f, const char *name, const char *type, const char *unit, const char *help)
{
        (void) fprintf(f, "# TYPE tank_store_%s %s\n", name, type);
        if (unit)
                (void) fprintf(f, "# UNIT tank_store_%s %s\n", name, unit);
        (void) fprintf(f, "# HELP tank_store_%s %s\n", name, help);
}

/* Seconds, without a locale's comma. */
static void print_seconds(FILE *f, uint64_t usec)
{
        (void) fprintf(f, "%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC, usec % USEC_PER_SEC);
}

/* @labels: "a=\"b\"", or "" */
static void print_histogram(FILE *f, const char *name, const char *labels, const MetricsTimes *h)
{
        const char *comma = *labels ? "," : "";
        uint64_t n = 0;

        for (size_t i = 0; i < METRICS_BOUNDS; i++) {
                n += h->buckets[i];
                (void) fprintf(f, "tank_store_%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels,
                                comma, bounds[i].seconds, n);
        }
        (void) fprintf(f, "tank_store_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels,
                        comma, h->n);
        (void) fprintf(f, "tank_store_%s_count%s%s%s %" PRIu64 "\n", name, *labels ? "{" : "",
                        labels, *labels ? "}" : "", h->n);
        (void) fprintf(f, "tank_store_%s_sum%s%s%s ", name, *labels ? "{" : "", labels,
                        *labels ? "}" : "");
        print_seconds(f, h->usec);
        (void) fputc('\n', f);
}

static const char *labels_of(const MetricsOperation *o, char buf[static NUMBER_NAME_SIZE])
{
        (void) snprintf(buf, NUMBER_NAME_SIZE, "interface=\"%s\",method=\"%s\"", o->interface,
                        o->member);
        return buf;
}

/* A counter that every operation has: @offset is where. */
static void print_counters(const Metrics *m, FILE *f, const char *name, const char *unit,
                size_t offset, const char *help)
{
        char labels[NUMBER_NAME_SIZE];

        print_family(f, name, "counter", unit, help);
        for (size_t i = 0; i < m->n; i++) {
                const MetricsOperation *o = &m->operations[i];
                uint64_t value = *(const uint64_t *) ((const char *) o + offset);

                (void) fprintf(f, "tank_store_%s_total{%s} %" PRIu64 "\n", name,
                                labels_of(o, labels), value);
        }
}

static int print_result(FILE *f)
{
        return ferror(f) ? -EIO : 0;
}

int metrics_print(const Metrics *m, FILE *f)
{
        char labels[NUMBER_NAME_SIZE];

        print_counters(m, f, "calls", NULL, offsetof(MetricsOperation, time.n),
                        "Method calls that were answered.");
        print_counters(m, f, "call_errors", NULL, offsetof(MetricsOperation, errors),
                        "Method calls that were answered with an error.");
        print_counters(m, f, "received_bytes", "bytes", offsetof(MetricsOperation, bytes_in),
                        "Documents and values that came in.");
        print_counters(m, f, "sent_bytes", "bytes", offsetof(MetricsOperation, bytes_out),
                        "Documents and values that went out.");
        print_family(f, "call_duration_seconds", "histogram", "seconds",
                        "From the arrival of a call to its answer; of a write, on disk.");
        for (size_t i = 0; i < m->n; i++)
                print_histogram(f, "call_duration_seconds", labels_of(&m->operations[i], labels),
                                &m->operations[i].time);
        print_family(f, "sync_duration_seconds", "histogram", "seconds",
                        "Writing and syncing one batch of transactions.");
        print_histogram(f, "sync_duration_seconds", "", &m->sync);
        return print_result(f);
}

static bool is_bytes(const char *name)
{
        size_t n = strlen(name);

        return n > 6 && streq(name + n - 6, "_bytes");
}

int metrics_print_figures(FILE *f, const MetricsFigure *figures, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const MetricsFigure *g = &figures[i];

                print_family(f, g->name, "gauge", is_bytes(g->name) ? "bytes" : NULL, g->help);
                (void) fprintf(f, "tank_store_%s %" PRIu64 "\n", g->name, g->value);
        }
        return print_result(f);
}

void metrics_print_gauges(FILE *f, const char *name, const char *help)
{
        print_family(f, name, "gauge", is_bytes(name) ? "bytes" : NULL, help);
}

void metrics_print_gauge(
                FILE *f, const char *name, const char *label, const char *word, uint64_t value)
{
        (void) fprintf(f, "tank_store_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, word, value);
}

int metrics_print_end(FILE *f)
{
        (void) fputs("# EOF\n", f);
        return fflush(f) < 0 ? -errno : print_result(f);
}
