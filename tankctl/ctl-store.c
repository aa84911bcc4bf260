/* SPDX-License-Identifier: Apache-2.0 */

/* `tankctl store WORD`: looking after the database. */

#include "ctl-store.h"

#include "ctl-text.h"
#include "ctl-verbs.h"
#include "error.h"
#include "strv.h"

typedef struct StoreWord {
        const char *name;
        size_t max_words; /* with itself */
        bool takes_output_file;
        int (*run)(const Arguments *a);
} StoreWord;

static const StoreWord store_words[] = {
        { "metrics", 1, true, store_metrics },
};

int verb_store(const Arguments *a)
{
        for (size_t i = 0; i < ARRAY_SIZE(store_words); i++) {
                const StoreWord *w = &store_words[i];

                if (!streq(a->words[0], w->name))
                        continue;
                if (strv_length(a->words) > w->max_words)
                        return ctl_usage_error("\"%s\" is one word too many for store %s",
                                        WORD(a->words[w->max_words]), w->name);
                if (a->output_file && !w->takes_output_file)
                        return ctl_usage_error("store %s takes no --output-file", w->name);
                return w->run(a);
        }
        return ctl_usage_error("store %s? There is metrics", WORD(a->words[0]));
}
