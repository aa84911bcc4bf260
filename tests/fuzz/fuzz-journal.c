/* SPDX-License-Identifier: Apache-2.0 */

/* The reconciler's log of events, as a full disk or a dead machine may have left it: what can be
 * read is in order, and an event that is written now is there when it is opened again. 0xff
 * separates the older segment from the newer one. */

#include <unistd.h>

#include "fd.h"
#include "fuzz.h"
#include "names.h"
#include "reconcile-journal.h"

static void write_segment(int directory, const char *name, const uint8_t *data, size_t size)
{
        CLEANUP_CLOSE int fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        CHECK(fd >= 0);
        CHECK(write_full(fd, data, size) == 0);
}

typedef struct Seen {
        uint64_t last;
        bool found;
} Seen;

static int on_event(const JournalEvent *e, void *userdata)
{
        Seen *seen = userdata;

        CHECK(e->sequence == seen->last + 1);
        CHECK(utf8_is_valid(e->detail, strlen(e->detail)));
        seen->last = e->sequence;
        seen->found = streq(e->detail, "by the fuzzer");
        return 0;
}

/* Whether the last event is ours. */
static bool read_all(Journal *j)
{
        Seen seen = { 0 };
        uint64_t last, before;

        if (journal_last(j) == 0)
                return false;
        CHECK(journal_first(j) >= 1);
        seen.last = before = journal_first(j) - 1;
        while (journal_read(j, before, on_event, &seen, &last) >= 0 && last > before)
                before = last;
        CHECK(seen.last <= journal_last(j));
        return seen.found;
}

static void remove_directory(char **path)
{
        (void) remove_tree_at(AT_FDCWD, *path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char name[] = "/dev/shm/fuzz-journal-XXXXXX";
        CLEANUP(remove_directory) char *path = mkdtemp(name);
        CLEANUP(journal_freep) Journal *j = NULL, *again = NULL;
        CLEANUP_CLOSE int directory = -EBADF;
        JournalEvent e = {
                .namespace = "default",
                .pod = "web",
                .uid = "x",
                .container = "",
                .event = "applied",
                .detail = "by the fuzzer",
        };
        const uint8_t *old;
        size_t n;

        CHECK(path);
        directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(directory >= 0);
        n = fuzz_part(&data, &size, 0xff, &old);
        if (n > 0)
                write_segment(directory, "events.old", old, n);
        write_segment(directory, "events", data, size);

        if (journal_open(directory, &j) < 0)
                return 0;
        (void) read_all(j);
        if (journal_append(j, &e) < 0)
                return 0; /* the numbers are used up */
        CHECK(e.sequence == journal_last(j));
        CHECK(journal_open(directory, &again) == 0);
        CHECK(journal_last(again) == e.sequence);
        CHECK(read_all(again));
        return 0;
}
