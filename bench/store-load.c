/* SPDX-License-Identifier: Apache-2.0 */

/* store-load SECONDS | fill | drain | start PROGRAM
 *
 * The store's reads, its transactions and its watch, over the bus: what bench/store-bench leaves
 * out; and how long PROGRAM, a tankd-store, takes from its start until it serves the 100,000
 * objects of fill. Prints rows of bench/run's table. The objects are those of store-bench: they
 * look like pods, and nobody runs them. */

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "measure.h"

#define OBJECTS    10000U
#define MANY       100000U
#define GOAL_START 300.0 /* ms */
#define IN_ONE     1000U /* operations of a transaction */
#define WRITES     1000U /* whose way to the watchers is timed */
#define WATCHERS   32U
#define PAUSE_USEC 2000U /* between two of them: latency is wanted, not load */

static double seconds_per_part;

static _Noreturn void fail(const char *what, int r, const sd_bus_error *e)
{
        (void) fprintf(stderr, "store-load: %s: %s\n", what,
                        e && e->message ? e->message : strerror(-r));
        exit(EXIT_FAILURE);
}

static int new_call(sd_bus *bus, const char *method, sd_bus_message **ret)
{
        return sd_bus_message_new_method_call(
                        bus, ret, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE, method);
}

static void document(unsigned name, uint64_t stamp, char ret[static 512])
{
        (void) snprintf(ret, 512,
                        "{\"kind\":\"benchmark\",\"name\":\"b%u\",\"annotations\":{\"n\":\"%"
                        "020llu\"},"
                        "\"containers\":[{\"name\":\"main\",\"image\":{\"rootfs\":\"/srv/rootfs\"},"
                        "\"command\":[\"redis-server\"],\"args\":[\"--dir\",\"/data\"],"
                        "\"env\":{\"LOG_LEVEL\":\"debug\"},\"limits\":{\"memory\":268435456}}]}",
                        name, (unsigned long long) stamp);
}

static sd_bus_message *call(sd_bus *bus, sd_bus_message *m, const char *what)
{
        sd_bus_message *reply = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = sd_bus_call(bus, m, 0, &e, &reply);

        sd_bus_message_unref(m);
        if (r < 0)
                fail(what, r, &e);
        return reply;
}

/* ---- transactions, reads ------------------------------------------------------------------- */

/* One transaction over objects @first and behind. @verb: apply or delete. */
static void transaction(sd_bus *bus, const char *verb, unsigned first, uint64_t stamp)
{
        sd_bus_message *m = NULL;
        char name[16], text[512];
        int r;

        r = new_call(bus, "Transaction", &m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sa{sv})");
        for (unsigned i = first; r >= 0 && i < first + IN_ONE; i++) {
                document(i, stamp, text);
                (void) snprintf(name, sizeof(name), "b%u", i);
                r = strcmp(verb, "apply") == 0
                                    ? sd_bus_message_append(
                                                      m, "(sa{sv})", verb, 1, "document", "s", text)
                                    : sd_bus_message_append(m, "(sa{sv})", verb, 3, "type", "s",
                                                      "benchmark", "namespace", "s", "default",
                                                      "name", "s", name);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                fail("Transaction", r, NULL);
        sd_bus_message_unref(call(bus, m, "Transaction"));
}

static void measure_transactions(sd_bus *bus)
{
        double begun = now_sec();
        unsigned n = 0;

        do
                transaction(bus, "apply", n++ * IN_ONE % OBJECTS, now_nsec());
        while (n < OBJECTS / IN_ONE || now_sec() - begun < seconds_per_part);
        print_row("transactions of 1,000 applies: objects per second",
                        (double) n * IN_ONE / (now_sec() - begun), "");
}

static void measure_gets(sd_bus *bus)
{
        double begun = now_sec();
        unsigned n = 0;

        for (; now_sec() - begun < seconds_per_part; n++) {
                sd_bus_message *m = NULL;
                char name[16];
                int r;

                (void) snprintf(name, sizeof(name), "b%u", n * 7919 % OBJECTS);
                r = new_call(bus, "Get", &m);
                if (r >= 0)
                        r = sd_bus_message_append(m, "sss", "benchmark", "default", name);
                if (r < 0)
                        fail("Get", r, NULL);
                sd_bus_message_unref(call(bus, m, "Get"));
        }
        print_row("get, one client in sequence: per second", n / (now_sec() - begun), "");
}

static unsigned list(sd_bus *bus)
{
        char *token = strdup("");
        unsigned n = 0;

        do {
                sd_bus_message *m = NULL, *reply;
                const char *text, *next;
                int r;

                r = new_call(bus, "List", &m);
                if (r >= 0)
                        r = *token ? sd_bus_message_append(m, "ssa{sv}", "benchmark", "default", 1,
                                                     "continue", "s", token)
                                   : sd_bus_message_append(m, "ssa{sv}", "benchmark", "default", 0);
                if (r < 0)
                        fail("List", r, NULL);
                reply = call(bus, m, "List");
                r = sd_bus_message_enter_container(reply, 'a', "s");
                while (r >= 0 && (r = sd_bus_message_read(reply, "s", &text)) > 0)
                        n++;
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r >= 0)
                        r = sd_bus_message_read(reply, "s", &next);
                if (r < 0)
                        fail("List", r, NULL);
                free(token);
                token = strdup(next);
                sd_bus_message_unref(reply);
        } while (token && *token);
        free(token);
        return n;
}

static void measure_list(sd_bus *bus)
{
        double begun = now_sec();
        unsigned n = 0, seen = 0;

        for (; n == 0 || now_sec() - begun < seconds_per_part; n++)
                seen = list(bus);
        print_pair("list 10,000: ms, objects seen", (now_sec() - begun) * 1e3 / n, seen, "");
}

/* ---- watch --------------------------------------------------------------------------------- */

typedef struct Seen {
        uint32_t n;
        uint64_t nsec[WRITES];
} Seen;

typedef struct Watcher {
        sd_bus *bus;
        Seen *seen;
        char id[64];
        uint64_t revision;
} Watcher;

/* Everything behind the revision that was read last; the stamp in each is when it was sent. */
static void read_changes(Watcher *w)
{
        const char *operation, *type, *ns, *name, *text, *stamp;
        sd_bus_message *m = NULL, *reply;
        uint64_t revision;
        int r, more = 1;

        while (more) {
                r = new_call(w->bus, "GetChanges", &m);
                if (r >= 0)
                        r = sd_bus_message_append(m, "sta{sv}", w->id, w->revision, 2, "documents",
                                        "b", 1, "type", "s", "benchmark");
                if (r < 0)
                        fail("GetChanges", r, NULL);
                reply = call(w->bus, m, "GetChanges");
                r = sd_bus_message_enter_container(reply, 'a', "(tsssss)");
                while (r >= 0 && (r = sd_bus_message_read(reply, "(tsssss)", &revision, &operation,
                                                  &type, &ns, &name, &text)) > 0) {
                        stamp = strstr(text, "\"n\":\"");
                        if (stamp && w->seen->n < WRITES)
                                w->seen->nsec[w->seen->n++] =
                                                now_nsec() - strtoull(stamp + 5, NULL, 10);
                }
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r >= 0)
                        r = sd_bus_message_read(reply, "bt", &more, &w->revision);
                if (r < 0)
                        fail("GetChanges", r, NULL);
                sd_bus_message_unref(reply);
                m = NULL;
        }
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        *(bool *) userdata = true;
        return 0;
}

static _Noreturn void watch(Seen *seen, int ready)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Watcher w = { .seen = seen };
        bool changed = false;
        char *id = NULL;
        int r;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        r = bus_open_client(&w.bus, &e);
        if (r >= 0)
                r = sd_bus_match_signal(w.bus, NULL, TANK_STORE_NAME, TANK_STORE_PATH,
                                TANK_STORE_INTERFACE, "Changed", on_changed, &changed);
        if (r >= 0)
                r = sd_bus_get_property_string(w.bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                TANK_STORE_INTERFACE, "DatabaseId", &e, &id);
        if (r >= 0)
                r = sd_bus_get_property_trivial(w.bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                TANK_STORE_INTERFACE, "Revision", &e, 't', &w.revision);
        if (r < 0 || write(ready, "", 1) != 1)
                fail("watcher", r, &e);
        (void) snprintf(w.id, sizeof(w.id), "%s", id);
        while (seen->n < WRITES) {
                r = sd_bus_process(w.bus, NULL);
                if (r == 0 && changed) {
                        changed = false;
                        read_changes(&w);
                        continue;
                }
                if (r == 0)
                        r = sd_bus_wait(w.bus, UINT64_MAX);
                if (r < 0)
                        fail("watcher", r, NULL);
        }
        _exit(EXIT_SUCCESS);
}

static void measure_watch(sd_bus *bus, unsigned watchers)
{
        size_t size = watchers * sizeof(Seen);
        char what[96], text[512], c;
        pid_t pids[WATCHERS];
        uint64_t *all;
        size_t n = 0;
        Seen *seen;
        int ready[2];

        seen = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        all = malloc(watchers * WRITES * sizeof(*all));
        if (seen == MAP_FAILED || !all || pipe(ready) < 0)
                fail("memory", -errno, NULL);
        for (unsigned i = 0; i < watchers; i++) {
                pids[i] = fork();
                if (pids[i] < 0)
                        fail("fork", -errno, NULL);
                if (pids[i] == 0)
                        watch(&seen[i], ready[1]);
        }
        (void) close(ready[1]);
        for (unsigned i = 0; i < watchers; i++)
                if (read(ready[0], &c, 1) != 1)
                        fail("a watcher ended", -EIO, NULL);
        for (unsigned i = 0; i < WRITES; i++) {
                sd_bus_message *m = NULL;
                int r;

                document(i, now_nsec(), text);
                r = new_call(bus, "Apply", &m);
                if (r >= 0)
                        r = sd_bus_message_append(m, "sa{sv}", text, 0);
                if (r < 0)
                        fail("Apply", r, NULL);
                sd_bus_message_unref(call(bus, m, "Apply"));
                (void) usleep(PAUSE_USEC);
        }
        for (unsigned i = 0; i < watchers; i++) {
                int status;

                if (waitpid(pids[i], &status, 0) < 0 || status != 0)
                        fail("a watcher ended", -EIO, NULL);
                memcpy(all + n, seen[i].nsec, seen[i].n * sizeof(*all));
                n += seen[i].n;
        }
        (void) snprintf(what, sizeof(what),
                        "watch: apply sent to document seen, %u watcher%s, ms p50 / p99", watchers,
                        watchers == 1 ? "" : "s");
        print_latency(what, all, n, "");
        (void) close(ready[0]);
        (void) munmap(seen, size);
        free(all);
}

/* ---- start --------------------------------------------------------------------------------- */

static double pss_mib(pid_t pid)
{
        char path[64], line[256];
        unsigned long kib = 0;
        FILE *f;

        (void) snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f) && sscanf(line, "Pss: %lu kB", &kib) != 1)
                ;
        if (f)
                (void) fclose(f);
        return (double) kib / 1024;
}

/* The first moment at which it answers. */
static double wait_served(sd_bus *bus)
{
        for (;;) {
                sd_bus_error e = SD_BUS_ERROR_NULL;
                uint64_t revision;
                int r = sd_bus_get_property_trivial(bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                TANK_STORE_INTERFACE, "Revision", &e, 't', &revision);

                sd_bus_error_free(&e);
                if (r >= 0)
                        return now_sec();
                (void) usleep(500);
        }
}

static int measure_start(sd_bus *bus, const char *program)
{
        double begun = now_sec(), served, before, listed;
        int status;
        pid_t pid;

        pid = fork();
        if (pid < 0)
                fail("fork", -errno, NULL);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) execl(program, program, (char *) NULL);
                _exit(127);
        }
        served = (wait_served(bus) - begun) * 1e3;
        before = pss_mib(pid);
        (void) list(bus);
        listed = pss_mib(pid);
        print_row("100,000 objects, store killed before: start until served, ms", served, "<= 300");
        print_pair("  its memory then, and when all were listed, MiB (PSS)", before, listed, "");
        (void) kill(pid, SIGTERM);
        (void) waitpid(pid, &status, 0);
        return served > GOAL_START ? EXIT_MISSED : 0;
}

static void write_many(sd_bus *bus, const char *verb, unsigned n)
{
        for (unsigned i = 0; i < n; i += IN_ONE)
                transaction(bus, verb, i, i);
}

static void measure_all(sd_bus *bus)
{
        measure_transactions(bus);
        measure_gets(bus);
        measure_list(bus);
        measure_watch(bus, 1);
        measure_watch(bus, WATCHERS);
        write_many(bus, "delete", OBJECTS);
}

int main(int argc, char **argv)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        sd_bus *bus = NULL;
        int r;

        seconds_per_part = argc > 1 ? atof(argv[1]) : 0;
        r = bus_open_client(&bus, &e);
        if (r < 0)
                fail("the bus", r, &e);
        if (argc == 3 && strcmp(argv[1], "start") == 0)
                r = measure_start(bus, argv[2]);
        else if (argc == 2 && strcmp(argv[1], "fill") == 0)
                write_many(bus, "apply", MANY);
        else if (argc == 2 && strcmp(argv[1], "drain") == 0)
                write_many(bus, "delete", MANY);
        else if (argc == 2 && seconds_per_part > 0)
                measure_all(bus);
        else {
                (void) fputs("usage: store-load SECONDS | fill | drain | start PROGRAM\n", stderr);
                r = 2;
        }
        sd_bus_flush_close_unref(bus);
        return r > 0 ? r : 0;
}
