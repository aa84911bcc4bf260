/* SPDX-License-Identifier: Apache-2.0 */

#include "clock.h"
#include "ctl-bus.h"
#include "ctl-columns.h"
#include "ctl-complete.h"
#include "ctl-kv.h"
#include "ctl-wait.h"
#include "document.h"
#include "names.h"
#include "quantity.h"
#include "strv.h"

#define PATIENCE_USEC (2 * USEC_PER_SEC) /* somebody sits there and waits */
#define TOKEN_MAX     64

typedef struct Completion {
        FILE *f;
        const char *current; /* what is there of the word already */
        const Verb *verb;
        const Option *option; /* whose value @current is, NULL: none's */
        const char *namespace;
        const char *words[3]; /* the first ones behind the verb */
        size_t n_words;
        bool no_options; /* behind -- */
        bool command;    /* behind the word at which the verb's own line ends */
        sd_bus *bus;
} Completion;

/* ---- reading what is there ----------------------------------------------------------------- */

static void take_value(Completion *c, const Option *o, const char *value)
{
        if (streq(o->name, "namespace"))
                c->namespace = value;
}

/* One word before the last: an option, or one that counts. Sets c->option when the next word is the
 * value of this one. */
static void read_option(Completion *c, const char *word)
{
        const char *equals;
        const Option *o;

        if (word[1] == '-') {
                equals = strchrnul(word, '=');
                o = verb_option(c->verb, 0, word + 2, (size_t) (equals - word - 2));
                if (!o || !o->argument)
                        return;
                if (*equals)
                        take_value(c, o, equals + 1);
                else
                        c->option = o;
                return;
        }
        for (const char *letter = word + 1; *letter; letter++) {
                o = verb_option(c->verb, *letter, NULL, 0);
                if (!o || !o->argument)
                        continue;
                if (letter[1])
                        take_value(c, o, letter + 1);
                else
                        c->option = o;
                return;
        }
}

static void read_word(Completion *c, const char *word)
{
        if (c->option) {
                take_value(c, c->option, word);
                c->option = NULL;
        } else if (!c->no_options && streq(word, "--"))
                c->no_options = true;
        else if (!c->no_options && word[0] == '-' && word[1])
                read_option(c, word);
        else if (!c->verb)
                c->verb = verb_find(word);
        else {
                if (c->n_words < ARRAY_SIZE(c->words))
                        c->words[c->n_words] = word;
                c->n_words++;
                if (c->verb->flags & VERB_STOPS_AT_WORD)
                        c->no_options = c->command = true;
        }
}

/* ---- candidates ---------------------------------------------------------------------------- */

static void offer(const char *candidate, void *userdata)
{
        const Completion *c = userdata;

        if (startswith(candidate, c->current))
                fprintf(c->f, "%s\n", candidate);
}

static void offer_verbs(Completion *c)
{
        for (const Verb *v = ctl_verbs; v->name; v++)
                offer(v->name, c);
}

static void offer_options(Completion *c)
{
        const Option *o;

        for (size_t i = 0; (o = verb_option_at(c->verb, i)); i++) {
                char word[TOKEN_MAX];

                (void) snprintf(word, sizeof(word), "--%s", o->name);
                offer(word, c);
                if (!o->letter)
                        continue;
                (void) snprintf(word, sizeof(word), "-%c", o->letter);
                offer(word, c);
        }
}

static bool reach_bus(Completion *c)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

        if (!c->bus && bus_open_client(&c->bus, &e) >= 0)
                (void) sd_bus_set_method_call_timeout(c->bus, PATIENCE_USEC); /* else the default */
        return c->bus;
}

/* @prefix stands before each name. */
static void offer_names(Completion *c, const char *type, const char *prefix)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        const ListQuery q = {
                .type = type,
                .namespace = !type_is_global(type) ? c->namespace : "",
        };
        CLEANUP_JSON json_t *docs = NULL;
        json_t *doc;
        size_t i;

        if (!type_is_valid(type) || !reach_bus(c) || store_list(c->bus, &q, &docs, NULL, &e) < 0)
                return;
        json_array_foreach (docs, i, doc) {
                char word[2 * TOKEN_MAX + 2];

                (void) snprintf(word, sizeof(word), "%.*s%.*s", TOKEN_MAX, prefix, TOKEN_MAX,
                                strempty(json_get_string(doc, "name")));
                offer(word, c);
        }
}

/* Of @pod, "POD/CONTAINER" or, with @alone, "CONTAINER". */
static void offer_containers(Completion *c, const char *pod, bool alone)
{
        static const char *const lists[] = { "containers", "init_containers" };
        CLEANUP_FREE char *name = strndup(pod, strcspn(pod, "/"));
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *doc = NULL;

        if (!name || !name_is_valid(name) || !reach_bus(c) ||
                        store_get(c->bus, "pod", c->namespace, name, &doc, &e) < 0)
                return;
        for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
                json_t *container;
                size_t i;

                json_array_foreach (json_object_get(doc, lists[l]), i, container) {
                        char word[2 * TOKEN_MAX + 2];

                        (void) snprintf(word, sizeof(word), "%s%s%.*s", alone ? "" : name,
                                        alone ? "" : "/", TOKEN_MAX,
                                        strempty(json_get_string(container, "name")));
                        offer(word, c);
                }
        }
}

static void offer_types(Completion *c)
{
        const char *slash = strchr(c->current, '/'), *type;
        char prefix[TOKEN_MAX];

        for (size_t i = 0; !slash && (type = type_known(i)); i++)
                offer(type, c);
        if (!slash || (size_t) (slash - c->current) + 2 > sizeof(prefix))
                return;
        (void) snprintf(prefix, sizeof(prefix), "%.*s", (int) (slash - c->current), c->current);
        type = type_from_word(prefix);
        (void) snprintf(prefix, sizeof(prefix), "%.*s", (int) (slash + 1 - c->current), c->current);
        if (type)
                offer_names(c, type, prefix);
}

static void offer_pods(Completion *c, bool containers)
{
        if (containers && strchr(c->current, '/'))
                offer_containers(c, c->current, false);
        else
                offer_names(c, "pod", "");
}

static void offer_signals(Completion *c)
{
        for (int signo = 1; signo <= 64; signo++) {
                char name[16];
                const char *word = signal_name(signo, name);

                if (startswith(word, "SIG"))
                        offer(word, c);
        }
}

/* The columns of the type that is asked for; in a list the last one is being written. */
static void offer_columns(Completion *c, bool list)
{
        const char *type = c->n_words > 0 ? type_from_word(c->words[0]) : "pod";
        const char *comma = list ? strrchr(c->current, ',') : NULL;
        size_t done = comma ? (size_t) (comma + 1 - c->current) : 0;
        CLEANUP_FREE char *titles = NULL;
        size_t size;
        FILE *f = open_memstream(&titles, &size);
        Completion all = { .f = f, .current = "" };

        if (!f)
                return;
        columns_list(type ? type : c->words[0], offer, &all);
        if (fclose(f) != 0)
                return;
        for (char *rest = titles, *title; (title = strsep(&rest, "\n")) && rest;) {
                CLEANUP_FREE char *word = NULL;

                if (asprintf(&word, "%.*s%s", (int) done, c->current, title) < 0)
                        word = NULL;
                if (word && strncasecmp(word, c->current, strlen(c->current)) == 0)
                        fprintf(c->f, "%s\n", word);
        }
}

static void offer_conditions(Completion *c)
{
        for (Condition i = 0; i < _CONDITION_MAX; i++)
                if (condition_from_string(condition_to_string(i)) ==
                                i) /* no second one of a word */
                        offer(condition_to_string(i), c);
}

static void offer_store(const char *store, uint64_t keys, uint64_t bytes, void *userdata)
{
        offer(store, userdata);
}

static void offer_stores(Completion *c)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

        if (reach_bus(c))
                (void) kv_each_store(c->bus, offer_store, c, &e); /* silent: there are none */
}

/* By the word that stands in a usage or behind an option. */
static void offer_kind(Completion *c, const char *kind)
{
        if (startswith(kind, "FILE") || startswith(kind, "DIR"))
                fprintf(c->f, "%s\n", COMPLETE_FILES);
        else if (startswith(kind, "POD"))
                offer_pods(c, strstr(kind, "/CONTAINER"));
        else if (streq(kind, "TYPE"))
                offer_types(c);
        else if (streq(kind, "VERB"))
                offer_verbs(c);
        else if (streq(kind, "NAMESPACE"))
                offer_names(c, "namespace", "");
        else if (streq(kind, "SIGNAL"))
                offer_signals(c);
        else if (streq(kind, "COLUMN") || streq(kind, "COLUMNS"))
                offer_columns(c, streq(kind, "COLUMNS"));
        else if (streq(kind, "STORE"))
                offer_stores(c);
        else if (streq(kind, "STATE"))
                offer_conditions(c);
        else if (streq(kind, "FORMAT")) {
                for (OutputFormat o = 0; o < _OUTPUT_FORMAT_MAX; o++)
                        if (!c->verb || (c->verb->outputs & OUTPUT_BIT(o)))
                                offer(output_to_string(o), c);
        } else if (strchr(kind, '|')) {
                char words[TOKEN_MAX], *rest = words, *word;

                (void) snprintf(words, sizeof(words), "%s", kind);
                while ((word = strsep(&rest, "|")))
                        offer(word, c);
        }
}

static void offer_value(Completion *c, const Option *o)
{
        /* A placeholder may leave open of what it is the name. */
        if (streq(o->name, "container") && c->n_words > 0)
                offer_containers(c, c->words[0], true);
        else
                offer_kind(c, o->argument);
}

/* The @n-th word of a usage, without its brackets; false: there is none. Options, and what they
 * take, do not count; the last word stands for all further ones when there are dots behind it. */
static bool usage_word(const Verb *v, size_t n, char ret[static TOKEN_MAX])
{
        CLEANUP_FREE char *copy = strdup(v->usage);
        bool skip = false;
        char *rest = copy, *word;

        while (copy && (word = strsep(&rest, " ")) && !streq(word, "|")) {
                char *dots = strstr(word, "…");
                size_t length;

                word += *word == '[';
                if (*word == '-') {
                        const Option *o = word[1] ? verb_option(v, word[1], NULL, 0) : NULL;

                        skip = !strchr(word, '=') && (!o || o->argument) && word[1] != ']' &&
                               !streq(word, "--]");
                        continue;
                }
                if (skip || startswith(word, "OPTIONS")) {
                        skip = false;
                        continue;
                }
                if (n > 0 && !dots) {
                        n--;
                        continue;
                }
                length = dots ? (size_t) (dots - word) : strlen(word);
                while (length > 0 && word[length - 1] == ']' && !memchr(word, '[', length))
                        length--;
                (void) snprintf(ret, TOKEN_MAX, "%.*s", (int) length, word);
                return true;
        }
        return false;
}

static void offer_word(Completion *c)
{
        char kind[TOKEN_MAX];

        if (!usage_word(c->verb, c->n_words, kind))
                return;
        if (!startswith(kind, "NAME"))
                offer_kind(c, kind);
        else if (c->n_words > 0 && !strchr(c->words[0], '/')) {
                const char *type = type_from_word(c->words[0]);

                offer_names(c, type ? type : c->words[0], "");
        }
}

static void offer_all(Completion *c)
{
        if (c->option)
                offer_value(c, c->option);
        else if (!c->no_options && startswith(c->current, "--") && strchr(c->current, '=')) {
                const char *equals = strchr(c->current, '=');
                const Option *o = verb_option(
                                c->verb, 0, c->current + 2, (size_t) (equals - c->current - 2));

                c->current = equals + 1; /* a shell takes it for a word of its own */
                if (o && o->argument)
                        offer_value(c, o);
        } else if (!c->no_options && *c->current == '-')
                offer_options(c);
        else if (!c->verb)
                offer_verbs(c);
        else
                offer_word(c);
}

void complete_words(FILE *f, char *const *words)
{
        Completion c = { .f = f, .current = "", .namespace = "default" };
        size_t n = strv_length((char **) words);

        for (size_t i = 0; i + 1 < n; i++)
                read_word(&c, words[i]);
        if (n > 0)
                c.current = words[n - 1];
        if (!name_is_valid(c.namespace))
                c.namespace = "default";
        offer_all(&c);
        sd_bus_flush_close_unref(c.bus);
}
