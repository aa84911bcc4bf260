/* SPDX-License-Identifier: Apache-2.0 */

/* bus-bench [SECONDS [FLOOD]]: how long one client waits for its answers while another floods the
 * store. Prints rows of bench/run's table: p50 and p99 of three calls in sequence, to the bus
 * itself, to tankd-reconcile (which the flood is not for) and to tankd-store. The first two tell
 * what the flood costs by keeping the bus and the processors busy; the third may be no worse than
 * that plus what it is when all is quiet, twice. Exits with 3 when it is. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"

#define DOCUMENTS   200U
#define SAMPLES_MAX 200000U
#define EXIT_MISSED 3
#define NOBODY      65534

static double seconds_per_part = 2;

static double now_sec(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what, int r, const sd_bus_error *e)
{
        (void) fprintf(stderr, "bus-bench: %s: %s\n", what,
                        e && e->message ? e->message : strerror(-r));
        exit(EXIT_FAILURE);
}

/* ---- calls --------------------------------------------------------------------------------- */

typedef struct Call {
        const char *name, *path, *interface, *member, *type;
        const char *words[3];
} Call;

static const Call call_bus = {
        .name = "org.freedesktop.DBus",
        .path = "/org/freedesktop/DBus",
        .interface = "org.freedesktop.DBus",
        .member = "GetId",
        .type = "",
};
static const Call call_reconcile = {
        .name = TANK_RECONCILE_NAME,
        .path = TANK_RECONCILE_PATH,
        .interface = TANK_RECONCILE_INTERFACE,
        .member = "GetStatus",
        .type = "ss",
        .words = { "default", "nothing" },
};
static const Call call_get = {
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = TANK_STORE_INTERFACE,
        .member = "Get",
        .type = "sss",
        .words = { "benchmark", "default", "b1" },
};
static const Call call_list = {
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = TANK_STORE_INTERFACE,
        .member = "List",
        .type = "ssa{sv}",
        .words = { "benchmark", "default" },
};
static const Call call_properties = {
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = "org.freedesktop.DBus.Properties",
        .member = "GetAll",
        .type = "s",
        .words = { TANK_STORE_INTERFACE },
};

static sd_bus_message *new_call(sd_bus *bus, const Call *c)
{
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, c->name, c->path, c->interface, c->member);
        for (size_t i = 0; r >= 0 && c->type[i] == 's'; i++)
                r = sd_bus_message_append_basic(m, 's', c->words[i]);
        if (r >= 0 && strchr(c->type, 'a'))
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                fail("message", r, NULL);
        return m;
}

/* ---- who floods ---------------------------------------------------------------------------- */

typedef struct Flood {
        const char *what;
        const Call *call;
        unsigned in_flight; /* 0: nobody answers, nobody waits */
        bool stranger;      /* the bus refuses it */
} Flood;

static unsigned under_way;

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        under_way--;
        return 0;
}

static _Noreturn void flood(const Flood *f)
{
        sd_bus *bus = NULL;
        int r;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (f->stranger && (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                                           setresuid(NOBODY, NOBODY, NOBODY) < 0))
                fail("become nobody", -errno, NULL);
        r = sd_bus_open_system(&bus);
        if (r < 0)
                fail("open the bus", r, NULL);
        for (;;) {
                while (f->in_flight == 0 || under_way < f->in_flight) {
                        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = new_call(bus, f->call);

                        if (f->in_flight > 0) {
                                r = sd_bus_call_async(bus, NULL, m, on_answer, NULL, 0);
                                under_way++;
                        } else {
                                r = sd_bus_message_set_expect_reply(m, false);
                                if (r >= 0)
                                        r = sd_bus_send(bus, m, NULL);
                                if (r >= 0)
                                        r = sd_bus_flush(bus);
                        }
                        if (r < 0)
                                fail("flood", r, NULL);
                }
                while ((r = sd_bus_process(bus, NULL)) > 0 && under_way >= f->in_flight)
                        ;
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        fail("flood", r, NULL);
        }
}

/* ---- who waits ----------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
        double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

typedef struct Figures {
        double p50, p99; /* ms */
} Figures;

static Figures measure(sd_bus *bus, const Call *c)
{
        static double samples[SAMPLES_MAX];
        double start = now_sec();
        size_t n = 0;

        while (n < SAMPLES_MAX && (n < 100 || now_sec() - start < seconds_per_part)) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = new_call(bus, c), *reply = NULL;
                sd_bus_error e = SD_BUS_ERROR_NULL;
                double begin = now_sec();
                int r = sd_bus_call(bus, m, 60 * USEC_PER_SEC, &e, &reply);

                if (r < 0 && c != &call_reconcile) /* that there is no such pod is an answer */
                        fail(c->member, r, &e);
                sd_bus_error_free(&e);
                samples[n++] = (now_sec() - begin) * 1e3;
        }
        qsort(samples, n, sizeof(samples[0]), by_value);
        return (Figures){ .p50 = samples[n / 2], .p99 = samples[n * 99 / 100] };
}

static void print_row(const char *what, const Figures f[static 3])
{
        (void) printf("%-44s", what);
        for (size_t i = 0; i < 3; i++)
                (void) printf("  %7.2f /%8.2f", f[i].p50, f[i].p99);
        (void) printf("\n");
        (void) fflush(stdout);
}

static void fill(sd_bus *bus)
{
        for (unsigned i = 0; i < DOCUMENTS; i++) {
                sd_bus_error e = SD_BUS_ERROR_NULL;
                char document[512];
                int r;

                (void) snprintf(document, sizeof(document),
                                "{\"kind\":\"benchmark\",\"name\":\"b%u\",\"namespace\":"
                                "\"default\",\"text\":\"%0200u\"}",
                                i, i);
                r = sd_bus_call_method(bus, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE,
                                "Apply", &e, NULL, "sa{sv}", document, 0);
                if (r < 0)
                        fail("Apply", r, &e);
        }
}

int main(int argc, char **argv)
{
        static const Flood floods[] = {
                { "64 Get in flight", &call_get, 64, false },
                { "2000 Get in flight", &call_get, 2000, false },
                { "64 properties in flight", &call_properties, 64, false },
                { "16 List of 500 in flight", &call_list, 16, false },
                { "64 in flight by a user without rights", &call_get, 64, true },
        };
        static const Call *const calls[] = { &call_bus, &call_reconcile, &call_get };
        Figures quiet[3], f[3];
        bool missed = false;
        sd_bus *bus = NULL;
        int r;

        if (argc > 1)
                seconds_per_part = atof(argv[1]);
        r = sd_bus_open_system(&bus);
        if (r < 0)
                fail("open the bus", r, NULL);
        fill(bus);
        (void) printf("%-44s  %17s  %17s  %17s\n", "", "bus alone", "reconciler", "store");
        for (size_t i = 0; i < 3; i++)
                quiet[i] = measure(bus, calls[i]);
        print_row("quiet", quiet);
        for (size_t n = 0; n < ARRAY_SIZE(floods); n++) {
                pid_t pid;

                if (argc > 2 && n != (size_t) atoi(argv[2]))
                        continue;
                pid = fork();
                if (pid < 0)
                        fail("fork", -errno, NULL);
                if (pid == 0)
                        flood(&floods[n]);
                for (size_t i = 0; i < 3; i++)
                        f[i] = measure(bus, calls[i]);
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                print_row(floods[n].what, f);
                missed = missed || f[2].p99 > 2 * quiet[2].p99 + f[1].p99;
                /* what is still in the queue is not the next one's */
                (void) measure(bus, &call_get);
        }
        sd_bus_flush_close_unref(bus);
        return missed ? EXIT_MISSED : EXIT_SUCCESS;
}
