/* SPDX-License-Identifier: Apache-2.0 */

/* store-bench [SECONDS] [SUBSCRIBERS]: durable applies over the bus, in sequence and WINDOW at a
 * time, while subscribers listen to Changed, beside what they can at best be: one synced append of
 * as many bytes as a commit writes, in the store's own file system, and one round trip of the bus
 * to the store. Prints rows of bench/run's table, with the processor time that one apply in
 * sequence takes in each process. Exits with 3 when a goal was missed.
 *
 * Each write changes an annotation of one of OBJECTS documents that look like a pod's but are of a
 * kind that nobody runs, so that only the store and the bus are measured. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "measure.h"

#define WINDOW          64U
#define OBJECTS         1000U
#define SUBSCRIBERS_MAX 64
#define COMMIT_BYTES    1024 /* document, history row, change row: what the log gets for one */
#define GOAL_PERCENT    80.0
#define GOAL_PIPELINED  20000.0
#define LOOK_USEC       200000U /* how often an idle subscriber looks whether it is over */

static double seconds_per_part = 3;
static volatile sig_atomic_t enough; /* of the subscribers: told to stop */

static _Noreturn void fail(const char *what, int r, const sd_bus_error *e)
{
        (void) fprintf(stderr, "store-bench: %s: %s\n", what,
                        e && e->message ? e->message : strerror(-r));
        exit(EXIT_FAILURE);
}

/* ---- floors -------------------------------------------------------------------------------- */

static double floor_sync(void)
{
        static const char block[COMMIT_BYTES];
        const char *state = getenv("TANK_STATE_DIR");
        char path[4096];
        unsigned n = 0;
        double start;
        int fd;

        (void) snprintf(path, sizeof(path), "%s/store-bench.tmp", state ? state : "/var/lib/tank");
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0)
                fail(path, -errno, NULL);
        (void) unlink(path);
        start = now_sec();
        for (; now_sec() - start < seconds_per_part; n++)
                if (write(fd, block, sizeof(block)) != (ssize_t) sizeof(block) || fdatasync(fd) < 0)
                        fail(path, -errno, NULL);
        (void) close(fd);
        return n / (now_sec() - start);
}

static double floor_round_trip(sd_bus *bus)
{
        double start = now_sec();
        unsigned n = 0;

        for (; now_sec() - start < seconds_per_part; n++) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
                sd_bus_error e = SD_BUS_ERROR_NULL;
                int r = sd_bus_call_method(bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                "org.freedesktop.DBus.Peer", "Ping", &e, &reply, "");
                if (r < 0)
                        fail("Ping", r, &e);
        }
        return n / (now_sec() - start);
}

/* ---- applies ------------------------------------------------------------------------------- */

static int new_apply(sd_bus *bus, unsigned n, sd_bus_message **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        char document[1024];
        int r;

        (void) snprintf(document, sizeof(document),
                        "{\"kind\":\"benchmark\",\"name\":\"b%u\",\"namespace\":\"default\","
                        "\"annotations\":{\"n\":\"%u\"},\"containers\":[{\"name\":\"main\","
                        "\"image\":{\"rootfs\":\"/srv/rootfs\"},\"command\":[\"redis-server\"],"
                        "\"args\":[\"--dir\",\"/data\",\"--appendonly\",\"yes\"],"
                        "\"env\":{\"LOG_LEVEL\":\"debug\"},\"limits\":{\"memory\":268435456}}]}",
                        n % OBJECTS, n);
        r = sd_bus_message_new_method_call(
                        bus, &m, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE, "Apply");
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}", document, 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static double apply_in_sequence(sd_bus *bus)
{
        double start = now_sec();
        unsigned n = 0;

        for (; now_sec() - start < seconds_per_part; n++) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
                sd_bus_error e = SD_BUS_ERROR_NULL;
                int r = new_apply(bus, n, &m);
                if (r >= 0)
                        r = sd_bus_call(bus, m, 0, &e, &reply);
                if (r < 0)
                        fail("Apply", r, &e);
        }
        return n / (now_sec() - start);
}

static unsigned under_way;

static int on_applied(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        if (sd_bus_message_is_method_error(m, NULL))
                fail("Apply", -EIO, sd_bus_message_get_error(m));
        under_way--;
        return 0;
}

static double apply_pipelined(sd_bus *bus, unsigned window)
{
        double start = now_sec();
        unsigned n = OBJECTS; /* another annotation than the ones in sequence */
        bool more = true;

        while (more || under_way > 0) {
                more = now_sec() - start < seconds_per_part;
                while (more && under_way < window) {
                        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                        int r = new_apply(bus, n * 7 + window, &m);
                        if (r >= 0)
                                r = sd_bus_call_async(bus, NULL, m, on_applied, NULL, 0);
                        if (r < 0)
                                fail("Apply", r, NULL);
                        n++;
                        under_way++;
                }
                int r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0)
                        fail("the bus", r, NULL);
        }
        return (n - OBJECTS) / (now_sec() - start);
}

/* ---- where the time goes ---- */

static const char *const cpu_names[] = {
        TANK_STORE_NAME, "org.freedesktop.DBus", TANK_RECONCILE_NAME, NULL, /* ourselves */
};

typedef struct CpuTime {
        double at;
        double usec[ARRAY_SIZE(cpu_names)]; /* of each process so far; negative: not there */
} CpuTime;

static double process_cpu_usec(pid_t pid)
{
        unsigned long user = 0, kernel = 0;
        char path[64], text[1024], *p;
        FILE *f;

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        f = fopen(path, "re");
        if (!f)
                return -1;
        p = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
        (void) fclose(f);
        if (!p || sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                                  &kernel) != 2)
                return -1;
        return (double) (user + kernel) * 1e6 / (double) sysconf(_SC_CLK_TCK);
}

static void cpu_time_read(sd_bus *bus, CpuTime *ret)
{
        ret->at = now_sec();
        for (size_t i = 0; i < ARRAY_SIZE(cpu_names); i++) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
                uint32_t pid = (uint32_t) getpid();

                if (cpu_names[i] &&
                                (sd_bus_call_method(bus, "org.freedesktop.DBus",
                                                 "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                                 "GetConnectionUnixProcessID", NULL, &reply, "s",
                                                 cpu_names[i]) < 0 ||
                                                sd_bus_message_read(reply, "u", &pid) < 0))
                        ret->usec[i] = -1;
                else
                        ret->usec[i] = process_cpu_usec((pid_t) pid);
        }
}

static void print_cpu_time(const CpuTime *before, const CpuTime *after, double rate)
{
        static const char *const labels[] = { "tankd-store", "bus", "tankd-reconcile", "client" };
        double applies = rate * (after->at - before->at);

        print_row("one apply in sequence, µs", 1e6 / rate, "");
        for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
                char what[64];

                (void) snprintf(what, sizeof(what), "  processor time of it: %s", labels[i]);
                if (before->usec[i] >= 0 && after->usec[i] >= 0)
                        print_row(what, (after->usec[i] - before->usec[i]) / applies, "");
        }
}

/* ---- subscribers --------------------------------------------------------------------------- */

static void on_term(int signo)
{
        enough = signo;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        (*(unsigned *) userdata)++;
        return 0;
}

/* In a process of its own: listens until it is told to stop; exits 0 when it heard anything. */
static _Noreturn void subscribe(int ready)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        unsigned heard = 0;
        int r;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_term }, NULL);
        r = bus_open_client(&bus, &e);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, TANK_STORE_NAME, TANK_STORE_PATH,
                                TANK_STORE_INTERFACE, "Changed", on_changed, &heard);
        if (r < 0)
                fail("subscriber", r, &e);
        if (write(ready, "", 1) != 1)
                fail("subscriber", -errno, NULL);
        while (!enough) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, LOOK_USEC);
                if (r < 0 && r != -EINTR)
                        fail("subscriber", r, NULL);
        }
        _exit(heard > 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void start_subscribers(pid_t *pids, int n)
{
        int fds[2];
        char c;

        if (pipe(fds) < 0)
                fail("pipe", -errno, NULL);
        for (int i = 0; i < n; i++) {
                pids[i] = fork();
                if (pids[i] < 0)
                        fail("fork", -errno, NULL);
                if (pids[i] == 0)
                        subscribe(fds[1]);
        }
        (void) close(fds[1]);
        for (int i = 0; i < n; i++)
                if (read(fds[0], &c, 1) != 1)
                        fail("a subscriber ended", -EIO, NULL);
        (void) close(fds[0]);
}

static void stop_subscribers(const pid_t *pids, int n)
{
        for (int i = 0; i < n; i++) {
                int status;
                (void) kill(pids[i], SIGTERM);
                if (waitpid(pids[i], &status, 0) < 0 || status != 0)
                        (void) fprintf(stderr, "store-bench: subscriber %d heard nothing\n", i);
        }
}

static void remove_objects(sd_bus *bus)
{
        for (unsigned i = 0; i < OBJECTS; i++) {
                sd_bus_error e = SD_BUS_ERROR_NULL;
                char name[16];
                (void) snprintf(name, sizeof(name), "b%u", i);
                int r = sd_bus_call_method(bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                TANK_STORE_INTERFACE, "Delete", &e, NULL, "sssa{sv}", "benchmark",
                                "default", name, 0);
                if (r < 0)
                        fail("Delete", r, &e);
        }
}

int main(int argc, char **argv)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        double sync, trip, best, sequence, eight, pipelined;
        CpuTime before, after;
        int subscribers = 8, r;
        pid_t pids[SUBSCRIBERS_MAX];
        char text[128];

        if (argc > 1)
                seconds_per_part = atof(argv[1]);
        if (argc > 2)
                subscribers = atoi(argv[2]);
        if (argc > 3 || seconds_per_part <= 0 || subscribers < 0 || subscribers > SUBSCRIBERS_MAX) {
                (void) fputs("usage: store-bench [SECONDS] [SUBSCRIBERS]\n", stderr);
                return 2;
        }
        r = bus_open_client(&bus, &e);
        if (r < 0)
                fail("the bus", r, &e);
        sync = floor_sync();
        trip = floor_round_trip(bus);
        cpu_time_read(bus, &before);
        sequence = apply_in_sequence(bus);
        cpu_time_read(bus, &after);
        start_subscribers(pids, subscribers);
        eight = apply_pipelined(bus, 8);
        pipelined = apply_pipelined(bus, WINDOW);
        stop_subscribers(pids, subscribers);
        remove_objects(bus);

        best = 1 / (1 / sync + 1 / trip);
        (void) snprintf(text, sizeof(text), ">= %.0f (%.0f %% of the floor; it is %.0f %%)",
                        best * GOAL_PERCENT / 100, GOAL_PERCENT, sequence * 100 / best);
        print_row("one client in sequence", sequence, text);
        (void) snprintf(text, sizeof(text), ">= %.0f", GOAL_PIPELINED);
        char what[128];
        (void) snprintf(what, sizeof(what), "one client, 8 under way, %d subscribers", subscribers);
        print_row(what, eight, "");
        (void) snprintf(what, sizeof(what), "one client, %u under way, %d subscribers", WINDOW,
                        subscribers);
        print_row(what, pipelined, text);
        print_row("floor: one sync and one round trip", best, "");
        print_row("  a synced append of 1 KiB", sync, "");
        print_row("  a round trip to the store (Ping)", trip, "");
        print_cpu_time(&before, &after, sequence);
        return sequence < best * GOAL_PERCENT / 100 || pipelined < GOAL_PIPELINED ? EXIT_MISSED : 0;
}
