/* SPDX-License-Identifier: Apache-2.0 */

/* Several clients ask a real store for random things, watchers follow it, and meanwhile it is
 * killed, stopped and continued, and left without room on its disk. All of it is recorded, and then
 * checked against a sequential store (history.h). At the end the recording is damaged in every way
 * that a broken store would damage it, and each has to be seen.
 *
 *      test-history [--seed N] [--ops N] [--full]
 *
 * $TANK_HISTORY_OPS stands for --ops where no options can be given.
 * A seed gives the same calls and faults; what overlaps with what is the machine's. */

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../bus/private-bus.h"
#include "bus-names.h"
#include "clock.h"
#include "history-run.h"

#ifdef __SANITIZE_ADDRESS__
#define OPS 20000U /* as a store with sanitizers takes longer for each */
#else
#define OPS 100000U
#endif
#define OPS_FULL   1000000U
#define STUCK_USEC (120 * USEC_PER_SEC)

static PrivateBus private_bus;
static Run run;
static Recording recording;

void must_be(bool condition, const char *text, const char *file, int line)
{
        if (condition)
                return;
        (void) printf("Bail out! %s:%d: not so: %s (errno %d)\n", file, line, text, errno);
        (void) fflush(stdout);
        store_kill(&run, SIGKILL);
        if (run.dir)
                (void) umount2(run.dir, MNT_DETACH);
        private_bus_done(&private_bus);
        exit(1);
}

/* xorshift64*: the same everywhere. */
uint32_t draw(uint64_t *random, uint32_t below)
{
        *random ^= *random >> 12;
        *random ^= *random << 25;
        *random ^= *random >> 27;
        return (uint32_t) ((*random * UINT64_C(2685821657736338717)) >> 33) % below;
}

static uint64_t random_begin(uint32_t seed, uint32_t who)
{
        return seed * UINT64_C(2654435761) + who * UINT64_C(40503) + 88172645463325252;
}

/* ---- the name ---- */

static void everybody_goes_on(Run *u)
{
        for (unsigned i = 0; i < N_CLIENTS; i++)
                client_go_on(&u->clients[i]);
        for (unsigned i = 0; i < N_STREAMS; i++)
                if (u->watchers[i].again)
                        watcher_look(&u->watchers[i]);
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *name, *before, *after;
        Run *u = userdata;

        must(sd_bus_message_read(m, "sss", &name, &before, &after) >= 0);
        if (streq(name, TANK_STORE_NAME))
                u->served = !isempty(after);
        return 0;
}

static void connect_all(Run *u)
{
        static const struct {
                const char *name;
                int type, color;
        } streams[N_STREAMS] = { { "all", -1, -1 }, { "slow", -1, -1 }, { "widgets", 0, -1 },
                { "blue gadgets", 1, 1 } };

        must(sd_event_new(&u->event) >= 0);
        must(sd_bus_open_system(&u->bus) >= 0);
        must(sd_bus_attach_event(u->bus, u->event, SD_EVENT_PRIORITY_NORMAL) >= 0);
        must(sd_bus_match_signal(u->bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                             "org.freedesktop.DBus", "NameOwnerChanged", on_owner, u) >= 0);
        for (unsigned i = 0; i < N_CLIENTS; i++) {
                u->clients[i] = (Client){
                        .run = u, .index = i, .random = random_begin(u->seed, 1 + i)
                };
                client_connect(&u->clients[i]);
        }
        for (unsigned i = 0; i < N_STREAMS; i++) {
                Stream *s = &u->r->streams[i];

                *s = (Stream){ .name = streams[i].name,
                        .type = streams[i].type,
                        .color = streams[i].color,
                        .from = 1,
                        .to = 1 };
                u->watchers[i] = (Watcher){ .run = u,
                        .index = i,
                        .stream = s,
                        .slow = i == 1,
                        .random = random_begin(u->seed, 100 + i) };
                watcher_connect(&u->watchers[i]);
        }
}

static void disconnect_all(Run *u)
{
        for (unsigned i = 0; i < N_CLIENTS; i++)
                client_drop(&u->clients[i]);
        for (unsigned i = 0; i < N_STREAMS; i++)
                watcher_drop(&u->watchers[i]);
        u->bus = sd_bus_close_unref(u->bus);
        u->event = sd_event_unref(u->event);
}

/* ---- faults ---- */

/* Lets it go on for some time. */
static void go_on_for(Run *u, uint64_t usec)
{
        uint64_t until = now_boottime_usec() + usec;

        while (now_boottime_usec() < until)
                must(sd_event_run(u->event, 5 * USEC_PER_MSEC) >= 0);
}

static void restart(Run *u)
{
        store_kill(u, SIGKILL);
        while (u->served)
                must(sd_event_run(u->event, USEC_PER_SEC) >= 0);
        store_start(u);
        store_wait_served(u);
}

static void without_room(Run *u)
{
        store_fill_disk(u);
        go_on_for(u, (100 + draw(&u->random, 300)) * USEC_PER_MSEC);
        if (draw(&u->random, 2) == 0)
                restart(u); /* it starts on a full disk, too */
        go_on_for(u, 100 * USEC_PER_MSEC);
        store_make_room(u);
        u->faults.full++;
}

static void reconnect(Run *u)
{
        Client *c = &u->clients[draw(&u->random, N_CLIENTS)];
        Watcher *w = &u->watchers[draw(&u->random, N_STREAMS)];

        client_drop(c);
        client_connect(c);
        watcher_drop(w);
        watcher_connect(w);
        u->faults.reconnects++;
}

static void something_happens(Run *u)
{
        uint32_t dice = draw(&u->random, 20);

        if (u->faults.all++ % 16 == 7) /* in every run */
                without_room(u);
        else if (dice < 5)
                reconnect(u);
        else if (dice < 9) {
                store_signal(u, SIGSTOP);
                go_on_for(u, (5 + draw(&u->random, 60)) * USEC_PER_MSEC);
                /* Some never come back from it. */
                if (draw(&u->random, 3) == 0)
                        restart(u);
                else
                        store_signal(u, SIGCONT);
                u->faults.stops++;
        } else {
                restart(u);
                u->faults.kills++;
        }
        everybody_goes_on(u);
}

/* ---- the run ---- */

static void read_database_id(Run *u)
{
        must(sd_bus_get_property_string(u->bus, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE, "DatabaseId", NULL, &u->database_id) >= 0);
}

static void make_all_calls(Run *u)
{
        size_t interval = MAX(u->target / 80, (size_t) 200), next = interval, before = 0;
        uint64_t moved = now_boottime_usec();

        while (u->done < u->target) {
                must(sd_event_run(u->event, 100 * USEC_PER_MSEC) >= 0);
                store_check_alive(u);
                everybody_goes_on(u);
                if (u->done >= next) {
                        next += interval / 2 + draw(&u->random, (uint32_t) interval);
                        something_happens(u);
                }
                if (u->done != before)
                        moved = now_boottime_usec();
                before = u->done;
                must(now_boottime_usec() < moved + STUCK_USEC);
        }
}

static uint64_t newest_revision(Run *u)
{
        uint64_t revision;

        must(sd_bus_get_property_trivial(u->bus, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE, "Revision", NULL, 't', &revision) >= 0);
        return revision;
}

/* Once more nothing may be lost, and everybody who watches has to come to the end. */
static void come_to_the_end(Run *u)
{
        uint64_t until = now_boottime_usec() + STUCK_USEC, newest;

        restart(u);
        u->ending = true;
        newest = newest_revision(u);
        for (unsigned i = 0; i < N_STREAMS; i++)
                while (u->r->streams[i].to < newest) {
                        if (!u->watchers[i].asking)
                                watcher_look(&u->watchers[i]);
                        must(sd_event_run(u->event, 100 * USEC_PER_MSEC) >= 0);
                        must(now_boottime_usec() < until);
                }
}

static void record(Run *u)
{
        char dir[256];

        must(private_bus_init(&private_bus) >= 0);
        (void) snprintf(dir, sizeof(dir), "%s/store", private_bus.dir);
        must(mkdir(dir, 0700) >= 0);
        u->dir = dir;
        store_prepare(u);
        connect_all(u);
        store_start(u);
        store_wait_served(u);
        read_database_id(u);
        everybody_goes_on(u);
        make_all_calls(u);
        come_to_the_end(u);
        store_read_all(u);
        disconnect_all(u);
        store_kill(u, SIGTERM);
        must(umount2(dir, 0) >= 0);
        u->dir = NULL;
        private_bus_done(&private_bus);
}

/* ---- the check ---- */

/* Some places excuse some damage, as a write that is lost excuses a refusal: one of a few has to
 * be seen. */
static const char *spoil_one(unsigned i, uint32_t seed, bool *ret_seen)
{
        const char *what = NULL;
        Findings f;

        *ret_seen = false;
        for (uint32_t k = 0; k < 3 && !*ret_seen; k++) {
                what = history_spoil(&recording, i, seed + 1000 * k);
                if (!what)
                        break;
                *ret_seen = !history_check(&recording, &f);
                history_mend(&recording);
                must(history_check(&recording, &f)); /* it is whole again */
        }
        return what;
}

static int spoil_all(uint32_t seed)
{
        unsigned missed = 0, n = 0;
        const char *what;
        bool seen;

        history_quiet = true;
        for (unsigned i = 0; (what = spoil_one(i, seed, &seen)); i++, n++)
                if (!seen) {
                        (void) printf("# not seen: %s\n", what);
                        missed++;
                }
        (void) printf("%sok 2 - %u ways to damage the recording, %u of them not seen\n",
                        missed > 0 ? "not " : "", n, missed);
        return missed > 0;
}

static int report(uint32_t seed, uint64_t usec)
{
        const Faults *x = &run.faults;
        Findings f = {};
        uint64_t begin;
        bool ok;

        begin = now_boottime_usec();
        ok = history_check(&recording, &f) && run.unexpected == 0;
        (void) printf("# %zu kills, %zu stops, %zu full disks, %zu reconnects in %.1f s; checked "
                      "in "
                      "%.1f s\n",
                        x->kills, x->stops, x->full, x->reconnects, (double) usec / 1e6,
                        (double) (now_boottime_usec() - begin) / 1e6);
        (void) printf("# %u revisions: %zu writes told, %zu not told; without effect %zu, refused "
                      "%zu, lost %zu (%zu calls accepted upon them); %zu reads, %zu lists, %zu "
                      "looks, %zu "
                      "signals\n",
                        recording.log.n, f.effective, f.open_happened, f.ineffective, f.refused,
                        f.open_lost, f.excused, f.reads, f.lists, f.changes, f.signals);
        for (unsigned i = 0; i < N_STREAMS; i++)
                (void) printf("# watcher %s: %zu changes\n", recording.streams[i].name,
                                recording.streams[i].n);
        (void) printf("# %zu changes of key-value data\n", run.n_pairs);
        (void) printf("%sok 1 - %zu calls, --seed %u\n", ok ? "" : "not ", run.made, seed);
        if (ok)
                return spoil_all(seed);
        (void) printf("not ok 2 - a recording that is wrong already is not damaged\n");
        return 1;
}

static int usage(const char *program)
{
        (void) fprintf(stderr, "Usage: %s [--seed N] [--ops N] [--full]\n", program);
        return 2;
}

int main(int argc, char **argv)
{
        static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                { "ops", required_argument, NULL, 'o' }, { "full", no_argument, NULL, 'f' }, {} };
        uint32_t seed = (uint32_t) now_realtime_usec();
        uint64_t begin = now_boottime_usec();
        int c, r;

        run.target = getenv("TANK_HISTORY_OPS") ? strtoul(getenv("TANK_HISTORY_OPS"), NULL, 10)
                                                : OPS;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                if (c == 's')
                        seed = (uint32_t) strtoul(optarg, NULL, 10);
                else if (c == 'o')
                        run.target = strtoul(optarg, NULL, 10);
                else if (c == 'f')
                        run.target = OPS_FULL;
                else
                        return usage(argv[0]);
        if (optind < argc || run.target == 0)
                return usage(argv[0]);
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                (void) printf("1..0 # SKIP needs a mount namespace of its own: be root\n");
                return 0;
        }
        (void) printf("1..2\n# --seed %u --ops %zu\n", seed, run.target);
        run.r = &recording;
        run.seed = seed;
        run.random = random_begin(seed, 0);
        run.room = UINT64_C(192) * 1024 * 1024 + run.target * 2048;
        record(&run);
        r = report(seed, now_boottime_usec() - begin);
        recording_done(&recording);
        free(run.database_id);
        return r;
}
