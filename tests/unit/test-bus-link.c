/* SPDX-License-Identifier: Apache-2.0 */

/* A bus that takes connections and never says a word: nobody waits for it longer than for an
 * answer, and nobody's end waits for it at all. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus-util.h"
#include "error.h"
#include "fd.h"

#define TOO_LONG_SECONDS 40 /* sd-bus by itself: 90 */

static char directory[] = "/tmp/tank-test-bus-XXXXXX";
static int listener = -EBADF;

static int setup(void **state)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char value[128];

        assert_non_null(mkdtemp(directory));
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/bus", directory);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(listener >= 0);
        assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 8), 0);
        (void) snprintf(value, sizeof(value), "unix:path=%s", address.sun_path);
        (void) setenv("DBUS_SYSTEM_BUS_ADDRESS", value, 1);
        (void) setenv("SYSTEMD_BUS_TIMEOUT", "1s", 1);
        (void) alarm(TOO_LONG_SECONDS);
        return 0;
}

static int teardown(void **state)
{
        char path[64];

        listener = safe_close(listener);
        (void) snprintf(path, sizeof(path), "%s/bus", directory);
        (void) unlink(path);
        return rmdir(directory);
}

static int on_connected(sd_bus *bus, void *userdata)
{
        return 0;
}

static void on_disconnected(void *userdata)
{
}

static void test_client_is_told(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus *bus = NULL;

        assert_true(bus_open_client(&bus, &error) < 0);
        assert_true(sd_bus_error_has_name(&error, TANK_ERROR_TIMED_OUT));
        assert_null(bus);
}

static void test_end_does_not_wait(void **state)
{
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        BusLink *link = NULL;

        assert_true(sd_event_new(&event) >= 0);
        assert_true(bus_link_new(event, "test", on_connected, on_disconnected, NULL, &link) >= 0);
        assert_non_null(link);
        for (int i = 0; i < 3; i++)
                assert_true(sd_event_run(event, 100 * USEC_PER_MSEC) >= 0);
        assert_true(sd_event_exit(event, 7) >= 0);
        assert_int_equal(sd_event_loop(event), 7);
        assert_null(bus_link_free(link));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_client_is_told),
                cmocka_unit_test(test_end_does_not_wait),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
