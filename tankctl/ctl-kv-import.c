/* SPDX-License-Identifier: Apache-2.0 */

/* kv import --from-pepr: the data of a PeprStore object, as kubectl prints it in JSON, into a store
 * for each capability.
 *
 * There the data of all capabilities is one map, its keys "<capability>-v2-<key>", of older ones
 * "<capability>-<key>". A name may be the beginning of another one (hello, hello-pepr), so it has
 * to be said which there are, and the longest that fits has the key; what fits none, or looks like
 * another capability's, is left out, and told.
 *
 * Each store is written in one call that succeeds as a whole or not at all, and that it was done is
 * kept in the store pepr-import: so it can be repeated, before and after it was done, and never
 * overwrites what was set since. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl-kv.h"
#include "ctl-text.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "strv.h"

#define DONE_STORE "pepr-import"

/* ---- the object ---------------------------------------------------------------------------- */

/* What of @key stands behind the capability's name; NULL: it is not its. *ret_old: as of before
 * version 2. */
static const char *key_of(const char *key, const char *capability, bool *ret_old)
{
        const char *rest = startswith(key, capability), *v2;

        if (!rest || *rest != '-')
                return NULL;
        v2 = startswith(rest + 1, "v2-");
        *ret_old = !v2;
        return v2 ? v2 : rest + 1;
}

/* The longest capability that fits. */
static const char *owner_of(const char *key, char *const *capabilities)
{
        const char *best = NULL;
        bool old;

        STRV_FOREACH(c, capabilities)
        if (key_of(key, *c, &old) && (!best || strlen(*c) > strlen(best)))
                best = *c;
        return best;
}

/* Says why one is left out; NULL: it is taken. */
static const char *left_out(const char *key, bool old, const char *rest)
{
        if (isempty(rest))
                return "its key is empty";
        if (strlen(rest) > LIMIT_KV_KEY)
                return "its key is too long";
        if (old && strstr(rest, "-v2-"))
                return "it looks like another capability's, which has to be named, too";
        return NULL;
}

/* What goes into the store of @capability: {key: value}. A key of version 2 goes before one of
 * before. 0 or the exit code. */
static int select_keys(const json_t *data, const char *capability, char *const *all, json_t **ret)
{
        CLEANUP_JSON json_t *chosen = json_object();
        const char *key;
        json_t *value;

        if (!chosen)
                return ctl_oom();
        for (int pass = 0; pass < 2; pass++) /* the old ones first: the others replace them */
                json_object_foreach ((json_t *) data, key, value) {
                        const char *owner = owner_of(key, all), *rest, *why;
                        bool old;

                        if (!owner || !streq(owner, capability))
                                continue;
                        rest = key_of(key, capability, &old);
                        if (old != (pass == 0))
                                continue;
                        why = left_out(key, old, rest);
                        if (why)
                                ctl_error("kv import: \"%s\" is left out: %s", WORD(key), why);
                        else if (json_object_set(chosen, rest, value) < 0)
                                return ctl_oom();
                }
        *ret = TAKE_PTR(chosen);
        return 0;
}

static int check_data(const json_t *data)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *) data, key, value)
                if (!json_is_string(value) || json_string_length(value) > LIMIT_KV_VALUE) {
                        ctl_error("kv import: data: \"%s\" is not text of at most %u MiB",
                                        WORD(key), LIMIT_KV_VALUE >> 20);
                        return EXIT_CODE_FAILED;
                }
        return 0;
}

static int read_object(const char *path, json_t **ret)
{
        CLEANUP_CLOSE int fd = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                                : open(path, O_RDONLY | O_CLOEXEC);
        CLEANUP_FREE char *text = NULL;
        CLEANUP_JSON json_t *o = NULL;
        json_error_t e;
        size_t size;
        int r;

        r = fd < 0 ? -errno : read_fd_bounded(fd, LIMIT_YAML_FILE_MAX, &text, &size);
        if (r < 0)
                return ctl_file_failure(path, r);
        o = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
        if (!o) {
                ctl_error("kv import: %s:%d:%d: not JSON: %s (\"kubectl get -o json\" makes it)",
                                WORD(path), e.line, e.column, e.text);
                return EXIT_CODE_FAILED;
        }
        if (!streq_ptr(json_get_string(o, "kind"), "PeprStore") ||
                        !json_is_object(json_object_get(o, "data"))) {
                ctl_error("kv import: %s is no object of the kind PeprStore with data", WORD(path));
                return EXIT_CODE_FAILED;
        }
        *ret = TAKE_PTR(o);
        return 0;
}

/* ---- one store ----------------------------------------------------------------------------- */

/* 1: there is one; 0: not; -errno. */
static int is_done(sd_bus *bus, const char *capability, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r, found;

        if ((r = ctl_bus_new_call(bus, &ctl_kv, "Get", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "s", DONE_STORE)) < 0 ||
                        (r = kv_append_bytes(m, (KvData){ capability, strlen(capability) })) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_kv, &reply, reterr)) < 0)
                return r;
        r = sd_bus_message_read(reply, "b", &found);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_kv, reterr) : found;
}

static int append_set(sd_bus_message *m, const char *key, const json_t *value)
{
        KvData k = { key, strlen(key) };
        KvData v = { json_string_value(value), json_string_length(value) };
        int r;

        if ((r = sd_bus_message_open_container(m, 'r', "sa{sv}")) < 0 ||
                        (r = sd_bus_message_append(m, "s", "set")) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (r = kv_append_bytes_option(m, "key", k)) < 0 ||
                        (r = kv_append_bytes_option(m, "value", v)) < 0 ||
                        (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* The first one that failed of itself. */
static int check_results(sd_bus_message *reply, sd_bus_error *reterr)
{
        const char *name, *sentence, *failed = NULL, *why = NULL;
        uint64_t revision;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sst)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sst)", &name, &sentence, &revision)) > 0)
                if (*name && (!failed || streq(failed, TANK_ERROR_FAILED_PRECONDITION))) {
                        failed = name;
                        why = sentence;
                }
        if (r < 0)
                return ctl_bus_bad_answer(r, &ctl_kv, reterr);
        return failed ? tank_error_set(reterr, failed, "%s", why) : 0;
}

/* All of @keys, or none of them. */
static int write_keys(sd_bus *bus, const char *store, json_t *keys, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *key;
        json_t *value;
        int r;

        if ((r = ctl_bus_new_call(bus, &ctl_kv, "Write", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "s", store)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "(sa{sv})")) < 0)
                return r;
        json_object_foreach (keys, key, value) {
                r = append_set(m, key, value);
                if (r < 0)
                        return r;
        }
        if ((r = sd_bus_message_close_container(m)) < 0 ||
                        (r = sd_bus_message_append(m, "a{sv}", 1, "atomic", "b", true)) < 0)
                return r;
        r = ctl_bus_call(bus, m, &ctl_kv, &reply, reterr);
        return r < 0 ? r : check_results(reply, reterr);
}

static int mark_done(sd_bus *bus, const char *capability, const json_t *object, size_t n,
                sd_bus_error *reterr)
{
        const json_t *metadata = json_object_get(object, "metadata");
        CLEANUP_JSON json_t *mark = json_pack("{ss? ss? sI}", "uid",
                        json_get_string(metadata, "uid"), "resourceVersion",
                        json_get_string(metadata, "resourceVersion"), "keys", (json_int_t) n);
        CLEANUP_JSON json_t *keys = json_object();
        CLEANUP_FREE char *text = NULL;
        int r = mark ? document_format(mark, &text) : -ENOMEM;

        if (r >= 0 && json_object_set_new(keys, capability, json_string(text)) < 0)
                r = -ENOMEM;
        return r < 0 ? r : write_keys(bus, DONE_STORE, keys, reterr);
}

static void say_keys(const char *store, json_t *keys)
{
        const char *key;
        json_t *value;

        json_object_foreach (keys, key, value) {
                printf("%s: would set \"", store);
                print_neutral(stdout, key);
                printf("\" (%zu bytes)\n", json_string_length(value));
        }
}

static int import_one(sd_bus *bus, const Arguments *a, const json_t *object, const char *capability)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *keys = NULL;
        size_t n;
        int r;

        r = is_done(bus, capability, &e);
        if (r < 0)
                return ctl_bus_failure("kv import", &e, r);
        if (r > 0) {
                printf("%s: imported already (the key \"%s\" of the store %s says so)\n",
                                capability, capability, DONE_STORE);
                return 0;
        }
        r = select_keys(json_object_get(object, "data"), capability, a->capabilities, &keys);
        if (r != 0)
                return r;
        n = json_object_size(keys);
        if (a->dry_run)
                say_keys(capability, keys);
        else if ((n > 0 && (r = write_keys(bus, capability, keys, &e)) < 0) ||
                        (r = mark_done(bus, capability, object, n, &e)) < 0)
                return ctl_bus_failure("kv import", &e, r);
        printf("%s: %zu keys%s\n", capability, n, a->dry_run ? ", nothing done" : " imported");
        return 0;
}

int kv_import(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_JSON json_t *object = NULL;
        int r;

        if (!a->from_pepr || !a->capabilities)
                return ctl_usage_error("usage: tankctl kv import --from-pepr FILE --capability "
                                       "NAME… [--dry-run]");
        STRV_FOREACH(c, a->capabilities)
        if (!name_is_valid(*c) || streq(*c, DONE_STORE))
                return ctl_usage_error("\"%s\" cannot be the name of a store", WORD(*c));
        if ((r = read_object(a->from_pepr, &object)) != 0 ||
                        (r = check_data(json_object_get(object, "data"))) != 0 ||
                        (r = ctl_bus_open(&bus)) != 0)
                return r;
        STRV_FOREACH(c, a->capabilities)
        {
                r = import_one(bus, a, object, *c);
                if (r != 0)
                        return r;
        }
        return 0;
}
