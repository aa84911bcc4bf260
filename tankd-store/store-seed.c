/* SPDX-License-Identifier: Apache-2.0 */

/* A file of JSON lines, before anybody is served: blocking is fine here. */

#include <stdio.h>

#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "store-internal.h"

typedef struct Seed {
        const char *path;
        unsigned created, present, skipped;
} Seed;

typedef struct SeedLine {
        Seed *seed;
        unsigned number;
} SeedLine;

/* What is wrong with a line is told with a piece of it, and that may be a secret's value. */
static void skip(Seed *seed, unsigned number, const char *text, const sd_bus_error *e)
{
        bool tell = !text || !strstr(text, "secret");

        log_warning("%s:%u: %s, passing over it", seed->path, number,
                        tell ? e->message
                             : "it is about a secret, so what is wrong with it is not logged: "
                               "\"tankctl validate\" tells");
        seed->skipped++;
}

static void on_answer(const StoreOutcome *outcome, const sd_bus_error *error, void *userdata)
{
        SeedLine *line = userdata;

        if (sd_bus_error_has_name(error, TANK_ERROR_ALREADY_EXISTS))
                line->seed->present++;
        else if (error)
                skip(line->seed, line->number, NULL, error); /* of the disk, or of what stands */
        else
                line->seed->created++;
        free(line);
}

/* Whether the line went its way; false: too much waits, once more. */
static bool seed_line(Store *s, Seed *seed, unsigned number, const char *text, size_t size)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        SeedLine *line;
        StoreWrite w = {
                .by = geteuid(), .privileged = true, .secrets = true, .answered = on_answer
        };
        const StoreOperation o = { .verb = STORE_CREATE, .document = text, .document_size = size };
        size_t at;
        bool again;
        int r;

        line = malloc(sizeof(*line));
        if (!line) {
                log_oom();
                seed->skipped++;
                return true;
        }
        *line = (SeedLine){ seed, number };
        w.userdata = line;
        r = store_write(s, &o, 1, &w, &at, &e);
        if (r >= 0)
                return true;
        free(line);
        again = sd_bus_error_has_name(&e, TANK_ERROR_BUSY);
        if (sd_bus_error_has_name(&e, TANK_ERROR_ALREADY_EXISTS))
                seed->present++;
        else if (!again)
                skip(seed, number, text, &e);
        sd_bus_error_free(&e);
        return !again;
}

static bool is_blank(const char *s)
{
        return s[strspn(s, " \t\r\n")] == 0;
}

int store_seed(Store *s, const char *path)
{
        CLEANUP(fclosep) FILE *f = NULL;
        CLEANUP_FREE char *text = NULL;
        Seed seed = { .path = path };
        size_t allocated = 0;
        ssize_t n;

        f = fopen(path, "re");
        if (!f)
                return log_error_errno(-errno, "cannot read the seed file %s", path);
        for (unsigned number = 1; (n = getline(&text, &allocated, f)) >= 0; number++) {
                if (n > 0 && text[n - 1] == '\n')
                        text[--n] = 0;
                if (is_blank(text) && strlen(text) == (size_t) n)
                        continue;
                if (!seed_line(s, &seed, number, text, (size_t) n)) {
                        store_flush(s);
                        (void) seed_line(s, &seed, number, text, (size_t) n);
                }
        }
        if (ferror(f))
                return log_error_errno(-errno, "cannot read the seed file %s to its end", path);
        store_flush(s);
        log_info("%s: %u created, %u already there, %u passed over", path, seed.created,
                        seed.present, seed.skipped);
        return 0;
}
