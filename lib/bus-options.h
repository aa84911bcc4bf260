/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The a{sv} of options that methods take: unknown ones are refused, never ignored. */

#include <systemd/sd-bus.h>

#include "macro.h"

/* Each text of a map, by its key; a negative return ends the reading. */
typedef struct BusOptionTexts {
        int (*each)(const char *key, const char *value, void *userdata);
        void *userdata;
} BusOptionTexts;

/* Borrowed from the message. */
typedef struct BusBytes {
        const void *data;
        size_t size;
} BusBytes;

typedef struct BusOption {
        const char *name;
        char type;   /* 't', 'u', 's', 'b'; 'm' for a{ss}, 'y' for ay */
        void *value; /* uint64_t, uint32_t, const char * (borrowed from the message), bool;
                      * BusOptionTexts; BusBytes */
        bool *given; /* may be NULL */
} BusOption;

/* Reads the a{sv} that is next in @m. InvalidArgument in @reterr. */
int bus_read_options(sd_bus_message *m, const BusOption *options, size_t n, sd_bus_error *reterr);
