/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Store1 as far as a reader of changes needs it, with the older ones compacted: the real
 * store keeps them all until it is told otherwise. */

#include <systemd/sd-event.h>

#include "bus-names.h"
#include "bus-util.h"
#include "error.h"

static int get_id(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "s", "0123456789abcdef0123456789abcdef");
}

static int get_revision(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "t", UINT64_C(50));
}

static int get_changes(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        uint64_t since;
        const char *id;
        int r = sd_bus_message_read(m, "st", &id, &since);

        if (r < 0)
                return r;
        if (since < 40)
                return tank_error_set(reterr, TANK_ERROR_COMPACTED, "changes up to 40 are gone");
        return sd_bus_reply_method_return(m, "a(tsssss)bt", 0, 0, UINT64_C(50));
}

static int list(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_reply_method_return(m, "asst", 1,
                        "{\"kind\":\"widget\",\"name\":\"left\",\"namespace\":\"default\","
                        "\"meta\":{\"revision\":44}}",
                        "", UINT64_C(50));
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("DatabaseId", "s", get_id, 0, 0),
        SD_BUS_PROPERTY("Revision", "t", get_revision, 0, 0),
        SD_BUS_METHOD("GetChanges", "sta{sv}", "a(tsssss)bt", get_changes,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("List", "ssa{sv}", "asst", list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int main(void)
{
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;

        if (sd_event_default(&event) < 0 || sd_bus_open_system(&bus) < 0 ||
                        sd_bus_attach_event(bus, event, 0) < 0 ||
                        sd_bus_add_object_vtable(bus, NULL, TANK_STORE_PATH, TANK_STORE_INTERFACE,
                                        vtable, NULL) < 0 ||
                        sd_bus_request_name(bus, TANK_STORE_NAME, 0) < 0)
                return 1;
        return sd_event_loop(event) < 0;
}
