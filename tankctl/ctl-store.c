/* SPDX-License-Identifier: Apache-2.0 */

/* `tankctl store WORD`: looking after the database. */

#include "ctl-store.h"

#include "ctl-text.h"
#include "ctl-verbs.h"
#include "error.h"
#include "strv.h"

/* What a word takes beside words. */
typedef enum Takes {
        TAKES_OUTPUT_FILE = 1 << 0,
        TAKES_FILES = 1 << 1,
        TAKES_DRY_RUN = 1 << 2,
        TAKES_REVEAL = 1 << 3,
        TAKES_TYPE = 1 << 4,
        TAKES_NAMESPACE = 1 << 5,
        TAKES_REVISION = 1 << 6,
        TAKES_RULES = 1 << 7,
        TAKES_JSON = 1 << 8,
        TAKES_YAML = 1 << 9,
} Takes;

typedef struct StoreWord {
        const char *name;
        size_t max_words; /* with itself */
        unsigned takes;
        int (*run)(const Arguments *a);
} StoreWord;

static const StoreWord store_words[] = {
        { "backup", 2, 0, store_backup },
        { "compact", 1, TAKES_REVISION, store_compact },
        { "export", 2, TAKES_REVEAL | TAKES_TYPE | TAKES_NAMESPACE | TAKES_JSON | TAKES_YAML,
                        store_export },
        { "import", 1, TAKES_FILES | TAKES_DRY_RUN, store_import },
        { "metrics", 1, TAKES_OUTPUT_FILE, store_metrics },
        { "restore", 2, 0, store_restore },
        { "retention", 2, TAKES_RULES | TAKES_JSON, store_retention },
        { "verify", 1, 0, store_verify },
};

/* The first option that @w does not take, NULL for none. */
static const char *misplaced(const StoreWord *w, const Arguments *a)
{
        const struct {
                bool given;
                Takes takes;
                const char *name;
        } options[] = {
                { a->output_file, TAKES_OUTPUT_FILE, "--output-file" },
                { a->files, TAKES_FILES, "-f" },
                { a->dry_run, TAKES_DRY_RUN, "--dry-run" },
                { a->reveal, TAKES_REVEAL, "--reveal" },
                { a->type, TAKES_TYPE, "--type" },
                { a->namespace, TAKES_NAMESPACE, "-n" },
                { a->revision, TAKES_REVISION, "--revision" },
                { a->versions, TAKES_RULES, "--versions" },
                { a->age, TAKES_RULES, "--age" },
                { a->log_rows, TAKES_RULES, "--log-rows" },
                { a->log_size, TAKES_RULES, "--log-size" },
                { a->output == OUTPUT_JSON, TAKES_JSON, "-o json" },
                { a->output == OUTPUT_YAML, TAKES_YAML, "-o yaml" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (options[i].given && !(w->takes & options[i].takes))
                        return options[i].name;
        return NULL;
}

int verb_store(const Arguments *a)
{
        for (size_t i = 0; i < ARRAY_SIZE(store_words); i++) {
                const StoreWord *w = &store_words[i];
                const char *wrong;

                if (!streq(a->words[0], w->name))
                        continue;
                if (strv_length(a->words) > w->max_words)
                        return ctl_usage_error("\"%s\" is one word too many for store %s",
                                        WORD(a->words[w->max_words]), w->name);
                wrong = misplaced(w, a);
                if (wrong)
                        return ctl_usage_error("store %s takes no %s", w->name, wrong);
                return w->run(a);
        }
        return ctl_usage_error("store %s? There are backup, compact, export, import, metrics, "
                               "restore, retention and verify",
                        WORD(a->words[0]));
}
