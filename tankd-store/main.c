/* SPDX-License-Identifier: Apache-2.0 */

/* tankd-store: options, signals, readiness, loop. */

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "bus-util.h"
#include "log.h"
#include "paths.h"
#include "store-backup.h"
#include "store-conceal.h"
#include "store-dbus.h"
#include "store-secret.h"
#include "store-verify.h"
#include "store.h"

/* Ready without a bus: whoever waits for us may be what starts the bus. */
#define BUS_PATIENCE_USEC (2 * USEC_PER_SEC)

typedef struct Options {
        const char *data_dir, *run_dir, *seed, *key_file, *restore;
        bool memory, key_stdin, verify;
} Options;

static int help(void)
{
        (void) printf("usage: tankd-store [OPTION…]\n"
                      "\n"
                      "Keeps what is declared: %s\n"
                      "\n"
                      "  --data-dir DIR  where the database is (default: $TANK_STATE_DIR/store or\n"
                      "                  " TANK_STATE_DIR "/store)\n"
                      "  --key-file FILE the keys of secrets (default: a credential, or "
                      "secrets.key\n"
                      "                  beside the database)\n"
                      "  --key-stdin     read the keys of secrets from standard input\n"
                      "  --memory        keep it in memory: no file is touched, and it is gone at "
                      "the\n"
                      "                  end\n"
                      "  --run-dir DIR   tank's run directory (default: $TANK_RUN_DIR "
                      "or " TANK_RUN_DIR ")\n"
                      "  --seed FILE     create what this file of JSON lines declares and is "
                      "missing\n"
                      "  --restore FILE  make a database out of a backup (-: standard input), in "
                      "an\n"
                      "                  empty data directory\n"
                      "  --verify        read everything that the database holds and tell what is "
                      "wrong\n"
                      "  --introspect    print the bus interface as XML\n"
                      "  --version       print the version\n"
                      "  --help          print this\n",
                        "org.tankd.Store1 on the system bus");
        return 0;
}

/* 1: go on, 0: done, negative: wrong usage (told). */
static int parse_options(int argc, char *argv[], Options *ret)
{
        enum {
                OPTION_DATA_DIR = 256,
                OPTION_KEY_FILE,
                OPTION_KEY_STDIN,
                OPTION_MEMORY,
                OPTION_RUN_DIR,
                OPTION_SEED,
                OPTION_RESTORE,
                OPTION_VERIFY,
                OPTION_INTROSPECT,
                OPTION_VERSION,
                OPTION_HELP
        };
        static const struct option longs[] = {
                { "data-dir", required_argument, NULL, OPTION_DATA_DIR },
                { "key-file", required_argument, NULL, OPTION_KEY_FILE },
                { "key-stdin", no_argument, NULL, OPTION_KEY_STDIN },
                { "memory", no_argument, NULL, OPTION_MEMORY },
                { "run-dir", required_argument, NULL, OPTION_RUN_DIR },
                { "seed", required_argument, NULL, OPTION_SEED },
                { "restore", required_argument, NULL, OPTION_RESTORE },
                { "verify", no_argument, NULL, OPTION_VERIFY },
                { "introspect", no_argument, NULL, OPTION_INTROSPECT },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "help", no_argument, NULL, OPTION_HELP },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
                switch (c) {
                case OPTION_DATA_DIR: ret->data_dir = optarg; break;
                case OPTION_KEY_FILE: ret->key_file = optarg; break;
                case OPTION_KEY_STDIN: ret->key_stdin = true; break;
                case OPTION_MEMORY: ret->memory = true; break;
                case OPTION_RUN_DIR: ret->run_dir = optarg; break;
                case OPTION_SEED: ret->seed = optarg; break;
                case OPTION_RESTORE: ret->restore = optarg; break;
                case OPTION_VERIFY: ret->verify = true; break;
                case OPTION_INTROSPECT: return store_bus_introspect();
                case OPTION_VERSION:
                        return printf("tankd-store %s\n", PACKAGE_VERSION) < 0 ? -EIO : 0;
                case OPTION_HELP: return help();
                default: return -EINVAL;
                }
        if (optind < argc) {
                log_error("'%s': no arguments are expected", argv[optind]);
                return -EINVAL;
        }
        if (ret->key_file && ret->key_stdin) {
                log_error("--key-file and --key-stdin: the keys come from one place");
                return -EINVAL;
        }
        if (ret->memory && (ret->data_dir || ret->run_dir)) {
                log_error("--memory needs no directory: leave --%s-dir out",
                                ret->data_dir ? "data" : "run");
                return -EINVAL;
        }
        if (ret->restore && ret->verify) {
                log_error("--restore verifies by itself: leave --verify out");
                return -EINVAL;
        }
        if ((ret->restore || ret->verify) && (ret->memory || ret->seed)) {
                log_error("--%s is about a database on disk, and serves nobody: leave --%s out",
                                ret->restore ? "restore" : "verify",
                                ret->memory ? "memory" : "seed");
                return -EINVAL;
        }
        return 1;
}

typedef struct Ready {
        sd_event_source *patience;
        bool told;
} Ready;

static void tell_ready(Ready *ready)
{
        if (!ready->told)
                (void) sd_notify(false, "READY=1\nSTATUS=Serving");
        ready->told = true;
        ready->patience = sd_event_source_disable_unref(ready->patience);
}

static void on_named(void *userdata)
{
        tell_ready(userdata);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
        log_warning("no system bus yet: serving once there is one");
        tell_ready(userdata);
        return 0;
}

static int make_directories(const Options *o, char **ret_data, char **ret_log)
{
        CLEANUP_FREE char *data = NULL, *log = NULL;
        Paths paths = {};
        int r;

        r = paths_init(&paths);
        if (r < 0)
                return log_error_errno(r, "TANK_STATE_DIR, TANK_RUN_DIR and TANK_LOG_DIR must be "
                                          "absolute paths");
        if ((o->data_dir ? asprintf(&data, "%s", o->data_dir)
                         : asprintf(&data, "%s/store", paths.state_dir)) < 0 ||
                        asprintf(&log, "%s/store", o->run_dir ? o->run_dir : paths.run_dir) < 0)
                r = log_oom();
        paths_done(&paths);
        if (r < 0)
                return r;
        *ret_data = TAKE_PTR(data);
        *ret_log = TAKE_PTR(log);
        return 0;
}

static int make_event(sd_event **ret)
{
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        sigset_t mask;
        int r;

        /* Before there are threads: none of them may take the signals. */
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        if ((r = sd_event_new(&event)) < 0 ||
                        (r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL)) < 0 ||
                        (r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL)) < 0 ||
                        (r = sd_event_set_watchdog(event, true)) < 0)
                return r;
        *ret = TAKE_PTR(event);
        return 0;
}

static int use_keys(Store *s, const Options *o, const char *data_dir)
{
        const KeyringOptions options = {
                .file = o->key_file,
                .from_stdin = o->key_stdin,
                .data_dir = o->memory ? NULL : data_dir,
        };
        Keyring *keyring;
        int r;

        /* Where that cannot be read there may be some: then no key is made. */
        r = store_has_secrets(s);
        r = keyring_open(&options, r != 0, &keyring);
        if (r >= 0)
                store_use_keyring(s, keyring);
        return r;
}

/* What is done to a database that nobody serves. 0, or 1 for what is wrong with it. */
static int run_alone(const Options *o)
{
        CLEANUP_FREE char *data_dir = NULL, *log_dir = NULL;
        int r = make_directories(o, &data_dir, &log_dir);

        if (r < 0)
                return r;
        return o->restore ? store_restore(o->restore, data_dir, log_dir)
                          : store_verify_directory(data_dir, log_dir);
}

static int run(const Options *o)
{
        CLEANUP_FREE char *data_dir = NULL, *log_dir = NULL;
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        StoreOptions where = {};
        CLEANUP(store_freep) Store *store = NULL;
        CLEANUP(store_bus_freep) StoreBus *bus = NULL;
        Ready ready = {};
        int r;

        r = o->memory ? 0 : make_directories(o, &data_dir, &log_dir);
        if (r < 0)
                return r;
        where.dir = data_dir;
        where.log_dir = log_dir;
        r = make_event(&event);
        if (r < 0)
                return log_error_errno(r, "cannot make the event loop");
        r = store_open(event, &where, &store);
        if (r >= 0)
                r = store_is_closed(store) ? 0 : use_keys(store, o, data_dir);
        if (r < 0)
                return r;
        if (o->seed && !store_is_closed(store)) {
                r = store_seed(store, o->seed);
                if (r < 0)
                        return r;
        }
        r = sd_event_add_time_relative(event, &ready.patience, CLOCK_MONOTONIC, BUS_PATIENCE_USEC,
                        0, on_patience, &ready);
        if (r >= 0)
                r = store_bus_new(event, store, on_named, &ready, &bus);
        if (r < 0)
                return log_error_errno(r, "cannot go to the bus");

        r = sd_event_loop(event);
        (void) sd_notify(false, "STOPPING=1");
        sd_event_source_disable_unref(ready.patience);
        /* Nothing is read any more: what was taken in is written and answered. */
        store_flush(store);
        return r;
}

int main(int argc, char *argv[])
{
        Options options = {};
        int r;

        log_setup("tankd-store");
        /* Three threads that seldom allocate at once do not need an arena each. */
        (void) mallopt(M_ARENA_MAX, 2);
        (void) umask(0077);
        conceal_process();
        /* Who gave us a pipe for a backup may go before it is full. */
        (void) signal(SIGPIPE, SIG_IGN);
        r = parse_options(argc, argv, &options);
        if (r == -EINVAL)
                return 2;
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        r = options.restore || options.verify ? run_alone(&options) : run(&options);
        if (r == -ENOKEY) /* the unit does not start us again behind that */
                return EX_CONFIG;
        return r < 0 ? EXIT_FAILURE : r;
}
