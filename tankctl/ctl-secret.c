/* SPDX-License-Identifier: Apache-2.0 */

/* secret: values in, and one value out. What goes in is the bytes of a file or of the command line,
 * what comes out is the same bytes: nothing is expanded, decoded, stripped or added. list and
 * delete are get and delete of that type. */

#include <stdio.h>
#include <unistd.h>

#include "conceal.h"
#include "ctl-bus.h"
#include "ctl-reference.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "data.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "names.h"
#include "strv.h"

typedef struct Value {
        char *key;
        char *data;
        size_t size;
} Value;

typedef struct Values {
        Value *items;
        size_t n;
} Values;

static void values_done(Values *v)
{
        for (size_t i = 0; i < v->n; i++) {
                free(v->items[i].key);
                data_free(v->items[i].data, v->items[i].size);
        }
        free(v->items);
}

/* A name, or a reference. 0 or the exit code. */
static int parse_name(const Arguments *a, const char *word, Reference *ret)
{
        int r;

        if (reference_is_meant(word)) {
                r = reference_argument(a, word, ret);
                if (r == 0 && !streq(ret->type, "secret"))
                        r = ctl_usage_error(
                                        "\"%s\" names a %s, and no secret", WORD(word), ret->type);
                return r;
        }
        if (!name_is_valid(word))
                return ctl_usage_error("\"%s\" is no name: a-z, 0-9, and - between; at most 63",
                                WORD(word));
        (void) snprintf(ret->name, sizeof(ret->name), "%s", word);
        (void) snprintf(ret->namespace, sizeof(ret->namespace), "%s", arguments_namespace(a));
        return 0;
}

/* The same, of a secret as a whole. */
static int parse_whole(const Arguments *a, const char *word, Reference *ret)
{
        int r = parse_name(a, word, ret);

        if (r == 0 && ret->key)
                r = ctl_usage_error("\"%s\" names a key, and here all of the secret is meant: "
                                    "leave out the key",
                                WORD(word));
        return r;
}

/* ---- what goes in -------------------------------------------------------------------------- */

/* Takes @data, also when it refuses. */
static int add_value(Values *v, const char *key, size_t key_size, char *data, size_t size)
{
        Value *x = &v->items[v->n];
        int r = 0;

        *x = (Value){ strndup(key, key_size), data, size };
        if (!x->key)
                r = ctl_oom();
        else if (!data_key_is_valid(x->key))
                r = ctl_usage_error("\"%s\" is no valid key: use 1 to %u of A-Z, a-z, 0-9, '-', "
                                    "'_' and '.', but neither '.' alone nor '..' in front",
                                WORD(x->key), LIMIT_DATA_KEY_MAX);
        for (size_t i = 0; r == 0 && i < v->n; i++)
                if (streq(v->items[i].key, x->key))
                        r = ctl_usage_error("the key \"%s\" is given twice", WORD(x->key));
        v->n++;
        return r;
}

static int add_literal(Values *v, const char *word)
{
        const char *equals = strchr(word, '=');
        char *data;

        if (!equals)
                return ctl_usage_error("--from-literal: expected KEY=VALUE"); /* may be a value */
        data = strdup(equals + 1);
        if (!data)
                return ctl_oom();
        return add_value(v, word, (size_t) (equals - word), data, strlen(equals + 1));
}

/* KEY=FILE, or FILE, whose last part is the key; "-" is standard input. */
static int add_file(Values *v, const char *word)
{
        const char *equals = strchr(word, '='), *path = equals ? equals + 1 : word;
        const char *slash = strrchr(path, '/'), *key = slash ? slash + 1 : path;
        CLEANUP_CLOSE int opened = -EBADF;
        size_t size;
        char *data;
        int r, fd = STDIN_FILENO;

        if (!streq(path, "-"))
                fd = opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        else if (!equals)
                return ctl_usage_error("--from-file -: give the key: KEY=-");
        r = fd < 0 ? -errno : read_fd_bounded(fd, LIMIT_DATA_MAX, &data, &size);
        if (r == -EFBIG) {
                ctl_error("%s: has more than %u bytes, which is what a secret can hold", WORD(path),
                                LIMIT_DATA_MAX);
                return EXIT_CODE_FAILED;
        }
        if (r < 0)
                return ctl_file_failure(path, r);
        return equals ? add_value(v, word, (size_t) (equals - word), data, size)
                      : add_value(v, key, strlen(key), data, size);
}

static int read_values(const Arguments *a, Values *ret)
{
        size_t n = strv_length(a->from_files) + strv_length(a->from_literals);
        int r = 0;

        ret->items = calloc(n + 1, sizeof(*ret->items));
        if (!ret->items)
                return ctl_oom();
        for (size_t i = 0; r == 0 && a->from_files && a->from_files[i]; i++)
                r = add_file(ret, a->from_files[i]);
        for (size_t i = 0; r == 0 && a->from_literals && a->from_literals[i]; i++)
                r = add_literal(ret, a->from_literals[i]);
        return r;
}

/* ---- create, set --------------------------------------------------------------------------- */

static int append_values(sd_bus_message *m, const Values *v)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{say}");
        for (size_t i = 0; r >= 0 && i < v->n; i++) {
                const Value *x = &v->items[i];

                if ((r = sd_bus_message_open_container(m, 'e', "say")) < 0 ||
                                (r = sd_bus_message_append(m, "s", x->key)) < 0 ||
                                (r = sd_bus_message_append_array(m, 'y', x->data, x->size)) < 0)
                        break;
                r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_set_options(sd_bus_message *m, const Arguments *a, bool create)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && a->type)
                r = sd_bus_message_append(m, "{sv}", "type", "s", a->type);
        if (r >= 0 && a->create_namespace)
                r = sd_bus_message_append(m, "{sv}", "create-namespace", "b", true);
        if (r >= 0 && create)
                r = sd_bus_message_append(m, "{sv}", "if-revision", "t", UINT64_C(0));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int send_values(sd_bus *bus, const Arguments *a, const Reference *x, const Values *v,
                bool create, char **ret_changed, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        const char *uid, *changed;
        uint64_t generation, revision;
        int r;

        if ((r = ctl_bus_new_call(bus, &ctl_secrets, "Set", &m)) < 0 ||
                        (r = sd_bus_message_sensitive(m)) < 0 ||
                        (r = sd_bus_message_append(m, "ss", x->namespace, x->name)) < 0 ||
                        (r = append_values(m, v)) < 0 || (r = append_set_options(m, a, create)) < 0)
                return r;
        r = ctl_bus_call(bus, m, &ctl_secrets, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "stts", &uid, &generation, &revision, &changed);
        if (r < 0)
                return ctl_bus_bad_answer(r, &ctl_secrets, reterr);
        *ret_changed = strdup(changed);
        return *ret_changed ? 0 : -ENOMEM;
}

static int say_set_failure(const Reference *x, bool create, const sd_bus_error *e, int r)
{
        CLEANUP_FREE char *what = NULL;

        if (asprintf(&what, "secret/%s/%s", x->namespace, x->name) < 0)
                return ctl_oom();
        if (create && sd_bus_error_has_name(e, TANK_ERROR_CONFLICT)) {
                ctl_error("%s: is there already: \"tankctl secret set\" replaces it", what);
                return EXIT_CODE_CONFLICT;
        }
        return ctl_bus_failure(what, e, r);
}

static int set_secret(const Arguments *a, bool create)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(values_done) Values values = {};
        CLEANUP(reference_done) Reference x = {};
        CLEANUP_FREE char *changed = NULL;
        int r;

        if (strv_length(a->words) != 2)
                return ctl_usage_error("which one? usage: tankctl secret %s NAME --from-file "
                                       "KEY=FILE --from-literal KEY=VALUE",
                                a->words[0]);
        r = parse_whole(a, a->words[1], &x);
        if (r == 0)
                r = read_values(a, &values);
        if (r == 0 && values.n == 0)
                r = ctl_usage_error("nothing to store: give --from-file KEY=FILE or "
                                    "--from-literal KEY=VALUE");
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = send_values(bus, a, &x, &values, create, &changed, &e);
        if (r < 0)
                return say_set_failure(&x, create, &e, r);
        (void) printf("secret/%s/%s %s\n", x.namespace, x.name, changed);
        return 0;
}

/* ---- get ----------------------------------------------------------------------------------- */

static int ask_reveal(sd_bus *bus, const Reference *x, sd_bus_message **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = ctl_bus_new_call(bus, &ctl_secrets, "Reveal", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssa{sv}", x->namespace, x->name, 0);
        return r < 0 ? r : ctl_bus_call(bus, m, &ctl_secrets, ret, reterr);
}

/* 1: written, 0: there is no such key. */
static int print_value(sd_bus_message *reply, const char *wanted)
{
        const void *data;
        const char *key;
        size_t size;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "{say}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'e', "say")) > 0) {
                if ((r = sd_bus_message_read(reply, "s", &key)) < 0 ||
                                (r = sd_bus_message_read_array(reply, 'y', &data, &size)) < 0 ||
                                (r = sd_bus_message_exit_container(reply)) < 0)
                        return r;
                if (!streq(key, wanted))
                        continue;
                r = write_full(STDOUT_FILENO, data, size);
                return r < 0 ? r : 1;
        }
        return r;
}

/* NAME KEY, or a reference with a key. */
static int parse_value_name(const Arguments *a, Reference *ret)
{
        size_t n = strv_length(a->words);
        int r = n > 1 ? parse_name(a, a->words[1], ret) : 0;

        if (r != 0)
                return r;
        if (n == 2 && ret->key)
                return 0;
        if (n == 3 && !ret->key)
                return free_and_strdup(&ret->key, a->words[2]) < 0 ? ctl_oom() : 0;
        return ctl_usage_error("which value? usage: tankctl secret get NAME KEY --reveal; "
                               "\"tankctl get secret NAME -o yaml\" shows the keys");
}

static int get_value(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(reference_done) Reference x = {};
        CLEANUP_FREE char *what = NULL;
        int r;

        r = parse_value_name(a, &x);
        if (r == 0 && !a->reveal)
                r = ctl_usage_error("a value is shown with --reveal only");
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        if (asprintf(&what, "secret/%s/%s", x.namespace, x.name) < 0)
                return ctl_oom();
        r = ask_reveal(bus, &x, &reply, &e);
        if (r >= 0) {
                (void) sd_bus_message_sensitive(reply); /* only fails on one being sent */
                r = print_value(reply, x.key);
        }
        if (r < 0)
                return ctl_bus_failure(what, &e, r);
        if (r > 0)
                return 0;
        ctl_error("%s: has no key \"%s\"", what, WORD(x.key));
        return EXIT_CODE_NOT_FOUND;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int rotate_key(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t rewrapped, failed;
        const char *id;
        int r;

        if (a->words[1])
                return ctl_usage_error("\"%s\" is one word too many", WORD(a->words[1]));
        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        /* It takes as long as there are versions. */
        if ((r = sd_bus_set_method_call_timeout(bus, UINT64_MAX)) < 0 ||
                        (r = ctl_bus_new_call(bus, &ctl_secrets, "RotateKey", &m)) < 0 ||
                        (r = sd_bus_message_append(m, "a{sv}", 0)) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_secrets, &reply, &e)) < 0)
                return ctl_bus_failure("rotate-key", &e, r);
        r = sd_bus_message_read(reply, "stt", &id, &rewrapped, &failed);
        if (r < 0) {
                r = ctl_bus_bad_answer(r, &ctl_secrets, &e);
                return ctl_bus_failure("rotate-key", &e, r);
        }
        (void) printf("key %s: %llu records sealed anew\n", id, (unsigned long long) rewrapped);
        if (failed == 0)
                return 0;
        ctl_error("%llu records cannot be opened with any key that is here: set those secrets "
                  "anew",
                        (unsigned long long) failed);
        return EXIT_CODE_FAILED;
}

/* As another verb does it, of the type secret; @x: of one of them. */
static int as_resource(const Arguments *a, Reference *x, int (*verb)(const Arguments *a))
{
        char type[] = "secret";
        char *words[] = { type, x ? x->name : NULL, NULL };
        Arguments other = *a;

        other.words = words;
        if (x)
                other.namespace = x->namespace;
        return verb(&other);
}

static int delete_secret(const Arguments *a)
{
        CLEANUP(reference_done) Reference x = {};
        int r;

        if (strv_length(a->words) != 2)
                return ctl_usage_error("which one? usage: tankctl secret delete NAME");
        r = parse_whole(a, a->words[1], &x);
        return r != 0 ? r : as_resource(a, &x, verb_delete);
}

/* What only some of the words take. */
static int check_options(const Arguments *a, const char *what)
{
        bool writes = streq(what, "create") || streq(what, "set"), lists = streq(what, "list");
        const char *option = NULL;

        if (!writes && (a->from_files || a->from_literals))
                option = a->from_files ? "--from-file" : "--from-literal";
        else if (!writes && a->type)
                option = "--type";
        else if (!writes && a->create_namespace)
                option = "--create-namespace";
        else if (!streq(what, "get") && a->reveal)
                option = "--reveal";
        else if (!lists && a->all_namespaces)
                option = "-A";
        else if (!lists && a->output != OUTPUT_TABLE)
                option = "-o";
        return option ? ctl_usage_error("secret %s takes no %s", WORD(what), option) : 0;
}

int verb_secret(const Arguments *a)
{
        const char *what = a->words[0];
        int r = check_options(a, what);

        if (r != 0)
                return r;
        program_conceal();
        if (streq(what, "create") || streq(what, "set"))
                return set_secret(a, streq(what, "create"));
        if (streq(what, "get"))
                return get_value(a);
        if (streq(what, "list") && a->words[1])
                return ctl_usage_error("\"%s\" is one word too many", WORD(a->words[1]));
        if (streq(what, "list"))
                return as_resource(a, NULL, verb_get);
        if (streq(what, "delete"))
                return delete_secret(a);
        if (streq(what, "rotate-key"))
                return rotate_key(a);
        return ctl_usage_error("\"%s\" is nothing to do with secrets: create, set, get, list, "
                               "delete or rotate-key",
                        WORD(what));
}
