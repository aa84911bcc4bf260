/* SPDX-License-Identifier: Apache-2.0 */

/* tankd-reconcile: options, signals, loop. Ending it ends no container. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "conceal.h"
#include "log.h"
#include "reconcile-dbus.h"
#include "reconcile.h"

static int help(void)
{
        (void) printf("usage: tankd-reconcile [OPTION…]\n"
                      "\n"
                      "Makes this machine what tankd-store says. Serves %s.\n"
                      "\n"
                      "  --introspect  print the bus interfaces as XML\n"
                      "  --version     print the version\n"
                      "  --help        print this\n"
                      "\n"
                      "Environment: TANK_STATE_DIR, TANK_RUN_DIR, TANK_LOG_DIR, "
                      "TANK_LIBEXEC_DIR,\n"
                      "TANK_INSTANCE, TANK_LOG_LEVEL, DBUS_SYSTEM_BUS_ADDRESS\n",
                        "org.tankd.Reconcile1 on the system bus");
        return 0;
}

/* 1: go on, 0: done, negative: wrong usage (told). */
static int parse_options(int argc, char *argv[])
{
        enum { OPTION_INTROSPECT = 256, OPTION_VERSION, OPTION_HELP };
        static const struct option longs[] = {
                { "introspect", no_argument, NULL, OPTION_INTROSPECT },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "help", no_argument, NULL, OPTION_HELP },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
                switch (c) {
                case OPTION_INTROSPECT: return manager_print_introspection();
                case OPTION_VERSION:
                        return printf("tankd-reconcile %s\n", PACKAGE_VERSION) < 0 ? -EIO : 0;
                case OPTION_HELP: return help();
                default: return -EINVAL;
                }
        if (optind < argc) {
                log_error("'%s': no arguments are expected", argv[optind]);
                return -EINVAL;
        }
        return 1;
}

/* What has no fallback anywhere in the suite. */
static int check_kernel(void)
{
        bool missing;

        missing = (syscall(SYS_pidfd_open, -1, 0) < 0 && errno == ENOSYS) ||
                  (syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno == ENOSYS) ||
                  (syscall(SYS_mount_setattr, -1, NULL, 0, NULL, 0) < 0 && errno == ENOSYS);
        if (!missing)
                return 0;
        log_error("this kernel has not all of pidfd_open, openat2 and mount_setattr, or an outer "
                  "sandbox hides them: tank needs Linux 6.1 or later");
        return -ENOSYS;
}

/* Two descriptors for each run; what runs inside gets its own limits. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning_errno(-errno, "cannot raise the limit of open files, ignoring");
}

static int make_event(sd_event **ret)
{
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        r = sd_event_new(&event);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r >= 0)
                *ret = TAKE_PTR(event);
        return r;
}

static int run(void)
{
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        CLEANUP(manager_freep) Manager *manager = NULL;
        int r;

        r = check_kernel();
        if (r < 0)
                return r;
        raise_descriptor_limit();
        r = make_event(&event);
        if (r < 0)
                return log_error_errno(r, "cannot make the event loop");
        r = manager_new(event, &manager);
        if (r >= 0)
                r = manager_start(manager);
        if (r < 0)
                return r;
        r = sd_event_loop(event);
        (void) sd_notify(false, "STOPPING=1");
        return r;
}

int main(int argc, char *argv[])
{
        int r;

        log_setup("tankd-reconcile");
        (void) umask(0022);
        /* Secrets pass through it. */
        program_conceal();
        (void) process_lock_memory();
        r = parse_options(argc, argv);
        if (r == -EINVAL)
                return 2;
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        return run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
