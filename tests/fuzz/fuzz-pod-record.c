/* SPDX-License-Identifier: Apache-2.0 */

/* The reconciler's record of a pod: what it accepts it writes again, and reads as the same. */

#include "fuzz.h"
#include "reconcile-entry.h"
#include "reconcile-record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP(pod_entry_freep) PodEntry *p = NULL, *again = NULL;
        CLEANUP(record_done) RecordWriter first = { 0 }, second = { 0 };
        char boot[ID128_SIZE] = "";

        CHECK(pod_entry_new(&p) == 0 && pod_entry_new(&again) == 0);
        if (pod_record_parse(data, size, p, boot) < 0)
                return 0;
        CHECK(strnlen(boot, sizeof(boot)) < sizeof(boot));
        CHECK(pod_record_format(p, boot, &first) == 0);
        CHECK(pod_record_parse(first.data, first.size, again, boot) == 0);
        CHECK(pod_record_format(again, boot, &second) == 0);
        CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
        return 0;
}
