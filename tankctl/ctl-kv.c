/* SPDX-License-Identifier: Apache-2.0 */

/* kv: key-value data, one call each. What follows the changes is in ctl-kv-watch.c. */

#include "ctl-kv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "ctl-json.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "names.h"
#include "quantity.h"
#include "strv.h"

/* ---- one call ------------------------------------------------------------------------------ */

typedef struct Call {
        const Arguments *a;
        sd_bus *bus;
        sd_bus_message *m, *reply;
        uint64_t timeout, ttl, if_revision;
} Call;

static void call_done(Call *c)
{
        sd_bus_message_unref(c->m);
        sd_bus_message_unref(c->reply);
        sd_bus_flush_close_unref(c->bus);
}

static int call_failure(const Call *c, const sd_bus_error *e, int r)
{
        char what[32];

        (void) snprintf(what, sizeof(what), "kv %s", c->a->words[0]);
        return ctl_bus_failure(what, e, r);
}

/* What stands in the options, before anything is sent. 0 or the exit code. */
static int call_start(Call *c, const Arguments *a, const char *method)
{
        int r;

        *c = (Call){ .a = a };
        r = arguments_timeout(a, USEC_INFINITY, &c->timeout);
        if (r != 0)
                return r;
        if (a->ttl && (parse_duration(a->ttl, &c->ttl) < 0 || c->ttl == 0))
                return ctl_usage_error(
                                "\"%s\" is no time to live: a duration like 1m30s", WORD(a->ttl));
        if (a->if_revision && parse_u64(a->if_revision, &c->if_revision) < 0)
                return ctl_usage_error("\"%s\" is no revision: a number, 0 for a key that must not "
                                       "be there",
                                WORD(a->if_revision));
        r = ctl_bus_open(&c->bus);
        if (r != 0)
                return r;
        /* The store says when the time is over; it shall have the chance to. */
        if (a->timeout && c->timeout < USEC_INFINITY - USEC_PER_SEC)
                (void) sd_bus_set_method_call_timeout(c->bus, c->timeout + 10 * USEC_PER_SEC);
        r = ctl_bus_new_call(c->bus, &ctl_kv, method, &c->m);
        return r < 0 ? call_failure(c, NULL, r) : 0;
}

static KvData word(const Arguments *a, size_t i)
{
        return (KvData){ a->words[i], strlen(a->words[i]) };
}

static int append_options(Call *c)
{
        const Arguments *a = c->a;
        int r;

        r = sd_bus_message_open_container(c->m, 'a', "{sv}");
        if (r >= 0 && a->ttl)
                r = sd_bus_message_append(c->m, "{sv}", "ttl", "t", c->ttl);
        if (r >= 0 && a->if_revision)
                r = sd_bus_message_append(c->m, "{sv}", "if-revision", "t", c->if_revision);
        if (r >= 0 && a->no_wait)
                r = sd_bus_message_append(c->m, "{sv}", "wait", "b", false);
        if (r >= 0 && a->timeout)
                r = sd_bus_message_append(c->m, "{sv}", "timeout", "t", c->timeout);
        return r < 0 ? r : sd_bus_message_close_container(c->m);
}

/* Sends what was appended (@r), and reads the answer. 0 or the exit code. */
static int call_send(Call *c, int r, const char *types, ...)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        va_list ap;

        if (r >= 0)
                r = ctl_bus_call(c->bus, c->m, &ctl_kv, &c->reply, &e);
        if (r < 0)
                return call_failure(c, &e, r);
        va_start(ap, types);
        r = sd_bus_message_readv(c->reply, types, ap);
        va_end(ap);
        if (r < 0)
                return call_failure(c, &e, ctl_bus_bad_answer(r, &ctl_kv, &e));
        return 0;
}

static int print_object(json_t *take)
{
        CLEANUP_JSON json_t *o = take;
        int r = o ? json_print_line(stdout, o) : -ENOMEM;

        return r == -ENOMEM ? ctl_oom() : r < 0 ? EXIT_CODE_FAILED : 0;
}

/* ---- get, set, rm, clear ------------------------------------------------------------------- */

static int print_got(const Call *c, KvData value, uint64_t revision, uint64_t expires)
{
        if (c->a->output == OUTPUT_JSON)
                return print_object(json_pack("{so so sI so}", "key", kv_json(word(c->a, 2)),
                                "value", kv_json(value), "revision", (json_int_t) revision,
                                "expires", ctl_json_time(expires)));
        if (value.size > 0 && fwrite(value.data, 1, value.size, stdout) != value.size)
                return EXIT_CODE_FAILED;
        return fflush(stdout) != 0 ? EXIT_CODE_FAILED : 0;
}

static int kv_get(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(call_done) Call c;
        uint64_t revision, expires;
        KvData value;
        int r, found;

        r = call_start(&c, a, "Get");
        if (r != 0)
                return r;
        r = sd_bus_message_append(c.m, "s", a->words[1]);
        if (r >= 0)
                r = kv_append_bytes(c.m, word(a, 2));
        r = call_send(&c, r, "b", &found);
        if (r != 0)
                return r;
        if ((r = kv_read_bytes(c.reply, &value)) < 0 ||
                        (r = sd_bus_message_read(c.reply, "tt", &revision, &expires)) < 0)
                return call_failure(&c, &e, ctl_bus_bad_answer(r, &ctl_kv, &e));
        if (found)
                return print_got(&c, value, revision, expires);
        ctl_error("kv get: the store '%s' has no key \"%s\"", WORD(a->words[1]), WORD(a->words[2]));
        return EXIT_CODE_NOT_FOUND;
}

/* All of a file, "-" for standard input, as it is. 0 or the exit code. */
static int read_value(const char *path, char **ret, size_t *ret_size)
{
        CLEANUP_CLOSE int fd = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                                : open(path, O_RDONLY | O_CLOEXEC);
        int r;

        r = fd < 0 ? -errno : read_fd_bounded(fd, LIMIT_KV_VALUE, ret, ret_size);
        if (r >= 0)
                return 0;
        if (r != -EFBIG)
                return ctl_file_failure(path, r);
        ctl_error("kv set: \"%s\" is longer than a value may be: %u MiB", WORD(path),
                        LIMIT_KV_VALUE >> 20);
        return EXIT_CODE_FAILED;
}

static int kv_set(const Arguments *a)
{
        const char *argument = a->words[3];
        CLEANUP_FREE char *buffer = NULL;
        CLEANUP(call_done) Call c = {};
        uint64_t revision;
        KvData value;
        int r;

        if (!argument == !a->from_file)
                return ctl_usage_error("kv set: the value is either VALUE, \"-\" for standard "
                                       "input, or --from-file FILE");
        if (a->from_file || streq(argument, "-")) {
                r = read_value(a->from_file ? a->from_file : "-", &buffer, &value.size);
                if (r != 0)
                        return r;
                value.data = buffer;
        } else
                value = word(a, 3);
        r = call_start(&c, a, "Set");
        if (r != 0)
                return r;
        if ((r = sd_bus_message_append(c.m, "s", a->words[1])) >= 0 &&
                        (r = kv_append_bytes(c.m, word(a, 2))) >= 0 &&
                        (r = kv_append_bytes(c.m, value)) >= 0)
                r = append_options(&c);
        r = call_send(&c, r, "t", &revision);
        if (r != 0 || a->output != OUTPUT_JSON)
                return r;
        return print_object(json_pack("{sI}", "revision", (json_int_t) revision));
}

static int kv_rm(const Arguments *a)
{
        CLEANUP(call_done) Call c;
        uint64_t revision;
        int r, existed;

        r = call_start(&c, a, "Remove");
        if (r != 0)
                return r;
        if ((r = sd_bus_message_append(c.m, "s", a->words[1])) >= 0 &&
                        (r = kv_append_bytes(c.m, word(a, 2))) >= 0)
                r = append_options(&c);
        r = call_send(&c, r, "bt", &existed, &revision);
        if (r != 0 || a->output != OUTPUT_JSON)
                return r;
        return print_object(json_pack(
                        "{sb sI}", "existed", existed, "revision", (json_int_t) revision));
}

static int kv_clear(const Arguments *a)
{
        CLEANUP(call_done) Call c;
        uint64_t removed, revision;
        int r;

        r = call_start(&c, a, "Clear");
        if (r != 0)
                return r;
        r = sd_bus_message_append(c.m, "s", a->words[1]);
        if (r >= 0)
                r = append_options(&c);
        r = call_send(&c, r, "tt", &removed, &revision);
        if (r != 0 || a->output != OUTPUT_JSON)
                return r;
        return print_object(json_pack("{sI sI}", "removed", (json_int_t) removed, "revision",
                        (json_int_t) revision));
}

/* ---- list, stores -------------------------------------------------------------------------- */

typedef struct Listing {
        OutputFormat output;
        Table *table;
        json_t *all;
} Listing;

static void listing_done(Listing *l)
{
        table_free(l->table);
        json_decref(l->all);
}

/* For people; what is no text is told as that. */
static int add_text(Table *t, KvData bytes)
{
        CLEANUP_FREE char *text = strndup(bytes.size > 0 ? bytes.data : "", bytes.size);

        if (!text)
                return -ENOMEM;
        if (strlen(text) == bytes.size)
                table_add(t, text, COLOR_NONE);
        else
                table_addf(t, "(%zu bytes)", bytes.size);
        return 0;
}

static int show_entry(const KvShown *e, void *userdata)
{
        char at[RFC3339_SIZE];
        Listing *l = userdata;
        int r;

        if (l->output == OUTPUT_NAME)
                return printf("%.*s\n", (int) e->key.size, (const char *) e->key.data) < 0 ? -EIO
                                                                                           : 0;
        if (l->all)
                return json_array_append_new(l->all,
                                       json_pack("{so so sI so}", "key", kv_json(e->key), "value",
                                                       kv_json(e->value), "revision",
                                                       (json_int_t) e->revision, "expires",
                                                       ctl_json_time(e->expires_usec))) < 0
                                       ? -ENOMEM
                                       : 0;
        r = add_text(l->table, e->key);
        table_addf(l->table, "%" PRIu64, e->revision);
        table_add(l->table, e->expires_usec ? format_rfc3339(e->expires_usec, at) : "", COLOR_NONE);
        if (r >= 0)
                r = add_text(l->table, e->value);
        return r;
}

static int show_listing(const Listing *l)
{
        int r = l->all ? json_print(stdout, l->all) : l->table ? table_print(l->table, stdout) : 0;

        if (r == -ENOMEM)
                return ctl_oom();
        return r < 0 || fflush(stdout) != 0 ? EXIT_CODE_FAILED : 0;
}

static int listing_init(Listing *l, const Arguments *a, const char *const *titles)
{
        *l = (Listing){ .output = a->output };
        if (a->output == OUTPUT_JSON)
                l->all = json_array();
        if (a->output == OUTPUT_JSON ? !l->all
                                     : a->output != OUTPUT_NAME && table_new(titles, &l->table) < 0)
                return ctl_oom();
        return 0;
}

static int kv_list_keys(const Arguments *a)
{
        static const char *const titles[] = { "KEY", "REVISION", "EXPIRES", "VALUE", NULL };
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(listing_done) Listing l = {};
        KvListing q = {
                .store = a->words[1],
                .prefix = a->key_prefix,
                .values = a->output != OUTPUT_NAME,
                .each = show_entry,
                .userdata = &l,
        };
        int r;

        if ((r = listing_init(&l, a, titles)) != 0 || (r = ctl_bus_open(&bus)) != 0)
                return r;
        r = kv_list(bus, &q, &e);
        if (r < 0)
                return ctl_bus_failure("kv list", &e, r);
        r = show_listing(&l);
        return r == 0 && q.n_unreadable > 0 ? EXIT_CODE_FAILED : r;
}

static void show_store(const char *store, uint64_t keys, uint64_t bytes, void *userdata)
{
        Listing *l = userdata;

        if (l->all)
                (void) json_array_append_new(l->all,
                                json_pack("{ss sI sI}", "store", store, "keys", (json_int_t) keys,
                                                "bytes", (json_int_t) bytes));
        else if (!l->table)
                printf("%s\n", store);
        else {
                table_add(l->table, store, COLOR_NONE);
                table_addf(l->table, "%" PRIu64, keys);
                table_addf(l->table, "%" PRIu64, bytes);
        }
}

static int kv_stores(const Arguments *a)
{
        static const char *const titles[] = { "STORE", "KEYS", "BYTES", NULL };
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(listing_done) Listing l = {};
        int r;

        if ((r = listing_init(&l, a, titles)) != 0 || (r = ctl_bus_open(&bus)) != 0)
                return r;
        r = kv_each_store(bus, show_store, &l, &e);
        return r < 0 ? ctl_bus_failure("kv stores", &e, r) : show_listing(&l);
}

/* ---- the verb ------------------------------------------------------------------------------ */

enum {
        TAKES_TTL = 1 << 0,
        TAKES_IF_REVISION = 1 << 1,
        TAKES_WAIT = 1 << 2, /* --no-wait, --timeout */
        TAKES_PREFIX = 1 << 3,
        TAKES_FILE = 1 << 4,
        TAKES_IMPORT = 1 << 5,
        TAKES_JSON = 1 << 6,
        TAKES_NAME = 1 << 7,
};

typedef struct KvWord {
        const char *name, *usage;
        size_t min_words, max_words; /* with itself */
        unsigned takes;
        int (*run)(const Arguments *a);
} KvWord;

/* An option that is given and means nothing here; NULL: none. */
static const char *misplaced(const KvWord *w, const Arguments *a)
{
        const struct {
                bool given;
                unsigned needs;
                const char *option;
        } options[] = {
                { a->ttl, TAKES_TTL, "--ttl" },
                { a->if_revision, TAKES_IF_REVISION, "--if-revision" },
                { a->no_wait, TAKES_WAIT, "--no-wait" },
                { a->timeout, TAKES_WAIT, "--timeout" },
                { a->key_prefix, TAKES_PREFIX, "--prefix" },
                { a->from_file, TAKES_FILE, "--from-file" },
                { a->from_pepr, TAKES_IMPORT, "--from-pepr" },
                { a->capabilities, TAKES_IMPORT, "--capability" },
                { a->dry_run, TAKES_IMPORT, "--dry-run" },
                { a->output == OUTPUT_JSON, TAKES_JSON, "-o json" },
                { a->output == OUTPUT_NAME, TAKES_NAME, "-o name" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (options[i].given && !(w->takes & options[i].needs))
                        return options[i].option;
        return NULL;
}

/* STORE and KEY, wherever they stand. 0 or the exit code. */
static int check_words(const Arguments *a, size_t n)
{
        size_t length = n > 2 ? strlen(a->words[2]) : 1;

        if (n > 1 && !name_is_valid(a->words[1]))
                return ctl_usage_error("\"%s\" is no name of a store: a-z, 0-9, and - between; at "
                                       "most 63",
                                WORD(a->words[1]));
        if (length == 0 || length > LIMIT_KV_KEY)
                return ctl_usage_error("\"%s\" is no key: it has 1 to %u bytes", WORD(a->words[2]),
                                LIMIT_KV_KEY);
        return 0;
}

int verb_kv(const Arguments *a)
{
        static const KvWord words[] = {
                { "get", "STORE KEY", 3, 3, TAKES_JSON, kv_get },
                { "set", "STORE KEY [VALUE]", 3, 4,
                                TAKES_TTL | TAKES_IF_REVISION | TAKES_WAIT | TAKES_FILE |
                                                TAKES_JSON,
                                kv_set },
                { "rm", "STORE KEY", 3, 3, TAKES_IF_REVISION | TAKES_WAIT | TAKES_JSON, kv_rm },
                { "list", "STORE", 2, 2, TAKES_PREFIX | TAKES_JSON | TAKES_NAME, kv_list_keys },
                { "clear", "STORE", 2, 2, TAKES_WAIT | TAKES_JSON, kv_clear },
                { "watch", "STORE", 2, 2, TAKES_JSON, kv_watch },
                { "stores", "", 1, 1, TAKES_JSON | TAKES_NAME, kv_stores },
                { "import", "--from-pepr FILE --capability NAME", 1, 1, TAKES_IMPORT, kv_import },
        };
        size_t n = strv_length(a->words);
        int r;

        for (size_t i = 0; n > 0 && i < ARRAY_SIZE(words); i++) {
                const KvWord *w = &words[i];
                const char *wrong;

                if (!streq(a->words[0], w->name))
                        continue;
                if (n < w->min_words || n > w->max_words)
                        return ctl_usage_error("usage: tankctl kv %s%s%s", w->name,
                                        *w->usage ? " " : "", w->usage);
                wrong = misplaced(w, a);
                r = wrong ? ctl_usage_error("kv %s takes no %s", w->name, wrong)
                          : check_words(a, n);
                return r != 0 ? r : w->run(a);
        }
        return ctl_usage_error("kv %s? There are get, set, rm, list, clear, watch, stores and "
                               "import",
                        n > 0 ? WORD(a->words[0]) : "what");
}
