/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-secret-diff.h. Values that were read stay in the message that brought them, which wipes
 * them when it goes; nothing here copies one but to decode what a file has. */

#include "ctl-secret-diff.h"

#include "conceal.h"
#include "ctl.h"
#include "ctl-diff.h"
#include "ctl-text.h"
#include "data.h"
#include "document.h"
#include "error.h"

/* ---- what was read ------------------------------------------------------------------------- */

typedef struct ReadValue {
        const void *data;
        size_t size;
} ReadValue;

typedef struct ReadValues {
        sd_bus_message *reply;
        json_t *index; /* key → which of the values; NULL: they could not be read */
        ReadValue *values;
        size_t n;
} ReadValues;

static void read_values_done(ReadValues *v)
{
        sd_bus_message_unref(v->reply);
        json_decref(v->index);
        free(v->values);
}

static int add_read(ReadValues *v, const char *key, const ReadValue *value)
{
        if ((v->n & (v->n - 1)) == 0) {
                ReadValue *grown =
                                reallocarray(v->values, v->n > 0 ? v->n * 2 : 1, sizeof(ReadValue));

                if (!grown)
                        return -ENOMEM;
                v->values = grown;
        }
        v->values[v->n] = *value;
        return json_object_set_new(v->index, key, json_integer((json_int_t) v->n++)) < 0 ? -ENOMEM
                                                                                         : 0;
}

static int parse_values(ReadValues *v)
{
        int r;

        v->index = json_object();
        if (!v->index)
                return -ENOMEM;
        r = sd_bus_message_enter_container(v->reply, 'a', "{say}");
        while (r >= 0 && (r = sd_bus_message_enter_container(v->reply, 'e', "say")) > 0) {
                ReadValue value;
                const char *key;

                if ((r = sd_bus_message_read(v->reply, "s", &key)) < 0 ||
                                (r = sd_bus_message_read_array(
                                                 v->reply, 'y', &value.data, &value.size)) < 0 ||
                                (r = add_read(v, key, &value)) < 0)
                        return r;
                r = sd_bus_message_exit_container(v->reply);
        }
        return r;
}

/* Nobody is asked for a password here: who looks at what changes need not be who reads secrets. */
static int read_values(sd_bus *bus, const char *namespace, const char *name, uint64_t revision,
                ReadValues *ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        program_conceal();
        r = ctl_bus_new_call(bus, &ctl_secrets, "Reveal", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", namespace, name);
        if (r >= 0)
                r = revision > 0 ? sd_bus_message_append(m, "a{sv}", 1, "revision", "t", revision)
                                 : sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                return r;
        r = sd_bus_call(bus, m, 0, reterr, &ret->reply);
        if (r < 0) {
                ctl_bus_translate(reterr, ctl_secrets.name);
                return r;
        }
        (void) sd_bus_message_sensitive(ret->reply); /* only fails on one being sent */
        r = parse_values(ret);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_secrets, reterr) : 0;
}

/* NULL: it is not known. */
static const ReadValue *find_value(const ReadValues *v, const char *key)
{
        const json_t *at = v->index ? json_object_get(v->index, key) : NULL;

        return at ? &v->values[json_integer_value(at)] : NULL;
}

/* ---- comparing ----------------------------------------------------------------------------- */

typedef struct Comparing {
        const SecretVersion *old, *new;
        ReadValues old_values, new_values;
} Comparing;

static void comparing_done(Comparing *c)
{
        read_values_done(&c->old_values);
        read_values_done(&c->new_values);
}

static const json_t *value_of(const SecretVersion *v, const char *key)
{
        return json_object_get(json_object_get(v->document, "data"), key);
}

/* Whether it takes values to tell what became of a key that stood. */
static bool takes_values(const Comparing *c, const char *key)
{
        const json_t *new = value_of(c->new, key);

        return new && !(c->new->given &&data_is_redacted(new));
}

static bool any_takes_values(const Comparing *c)
{
        const char *key;
        json_t *value;

        json_object_foreach (json_object_get(c->old->document, "data"), key, value)
                if (takes_values(c, key))
                        return true;
        return false;
}

static bool same_bytes(const ReadValue *a, const ReadValue *b)
{
        return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* 1: both are the same; 0: they are not; -ENODATA: not known. */
static int same_value(const Comparing *c, const char *key)
{
        const ReadValue *old = find_value(&c->old_values, key);
        const ReadValue *new = find_value(&c->new_values, key);
        ReadValue given;
        char *decoded;
        int r;

        if (!old || (!c->new->given && !new))
                return -ENODATA;
        if (!c->new->given)
                return same_bytes(old, new);
        r = data_decode(value_of(c->new, key), &decoded, &given.size);
        if (r < 0)
                return r;
        given.data = decoded;
        r = same_bytes(old, &given);
        data_free(decoded, given.size);
        return r;
}

static int note(SecretDiff *d, const char *key, const char *what)
{
        d->n++;
        return json_object_set_new(d->keys, key, json_string(what)) < 0 ? -ENOMEM : 0;
}

static int compare_keys(const Comparing *c, SecretDiff *d)
{
        const char *key;
        json_t *value;
        int r = 0, same;

        json_object_foreach (json_object_get(c->old->document, "data"), key, value) {
                if (r < 0)
                        break;
                if (!value_of(c->new, key)) {
                        r = note(d, key, "removed");
                        continue;
                }
                same = takes_values(c, key) ? same_value(c, key) : 1;
                if (same == -ENOMEM)
                        return same;
                if (same == 0)
                        r = note(d, key, "changed");
                else if (same < 0) {
                        d->n_unknown++;
                        r = note(d, key, "not compared");
                }
        }
        json_object_foreach (json_object_get(c->new->document, "data"), key, value)
                if (r >= 0 && !value_of(c->old, key))
                        r = note(d, key, "added");
        return r;
}

static int compare(sd_bus *bus, const char *namespace, const char *name, Comparing *c,
                SecretDiff *d, sd_bus_error *ret_silence)
{
        int r = 0;

        if (any_takes_values(c))
                r = read_values(bus, namespace, name, c->old->revision, &c->old_values,
                                ret_silence);
        if (r >= 0 && c->old_values.index && !c->new->given)
                r = read_values(bus, namespace, name, c->new->revision, &c->new_values,
                                ret_silence);
        if (r == -ENOMEM)
                return r;
        return compare_keys(c, d);
}

int secret_diff_make(sd_bus *bus, const char *namespace, const char *name, const SecretVersion *old,
                const SecretVersion *new, SecretDiff *ret)
{
        CLEANUP_BUS_ERROR sd_bus_error silence = SD_BUS_ERROR_NULL;
        CLEANUP(comparing_done) Comparing c = { .old = old, .new = new };
        CLEANUP(secret_diff_done) SecretDiff d = { .keys = json_object() };

        if (!d.keys || compare(bus, namespace, name, &c, &d, &silence) < 0)
                return ctl_oom();
        if (d.n_unknown > 0)
                ctl_error("secret/%s/%s: values are not compared: %s", namespace, name,
                                silence.message ? silence.message : "they are not what was read");
        *ret = d;
        d = (SecretDiff){};
        return 0;
}

void secret_diff_print(FILE *f, const SecretDiff *d)
{
        const char *key;
        json_t *what;

        json_object_foreach (d->keys, key, what) {
                const char *word = strempty(json_string_value(what));
                char sign = streq(word, "added")     ? '+'
                            : streq(word, "removed") ? '-'
                            : streq(word, "changed") ? '~'
                                                     : '?';

                diff_print_word(f, sign, "data", key, word);
        }
}

void secret_diff_done(SecretDiff *d)
{
        json_decref(d->keys);
        *d = (SecretDiff){};
}

json_t *secret_without_values(const json_t *doc)
{
        CLEANUP_JSON json_t *copy = json_copy((json_t *) doc);

        if (copy && json_is_object(json_object_get(copy, "data")) &&
                        json_object_set_new(copy, "data", json_object()) < 0)
                return NULL;
        return TAKE_PTR(copy);
}
