/* SPDX-License-Identifier: Apache-2.0 */

/* Values of secrets and configs on their way from what the store gave to a launch record: which
 * variable counts, which file stands where, what is missing, and what cannot be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "data.h"
#include "document.h"
#include "limit.h"
#include "reconcile-digest.h"
#include "strv.h"

typedef struct Fixture {
        Pod *pod;
        Values *values;
} Fixture;

static void done(Fixture *f)
{
        values_free(f->values);
        pod_free(f->pod);
}

/* A pod whose container has these further fields, with 'single' quotes. */
static Fixture declare(const char *volumes, const char *container)
{
        CLEANUP_JSON json_t *doc = NULL, *normal = NULL;
        CLEANUP_FREE char *text = NULL;
        json_error_t json_error;
        SpecError error = {};
        Fixture f = {};

        assert_true(asprintf(&text,
                                    "{'kind':'pod','name':'p','volumes':[%s],'containers':[{"
                                    "'name':'a','image':{'rootfs':'/srv'},'command':['x']%s}]}",
                                    volumes, container) > 0);
        for (char *c = text; *c; c++)
                if (*c == '\'')
                        *c = '"';
        doc = json_loads(text, 0, &json_error);
        assert_non_null(doc);
        if (spec_normalize(doc, SPEC_DEFAULT, &normal, &error) < 0)
                fail_msg("%s: %s", error.path, error.message);
        assert_int_equal(pod_from_document(normal, &f.pod), 0);
        assert_true(values_are_needed(f.pod, &f.pod->containers[0]));
        assert_int_equal(values_new(f.pod, &f.pod->containers[0], false, &f.values), 0);
        return f;
}

static ValueObject *object(Fixture *f, ValueSource source, const char *name)
{
        for (size_t i = 0; i < f->values->n_objects; i++)
                if (f->values->objects[i].source == source &&
                                streq(f->values->objects[i].name, name))
                        return &f->values->objects[i];
        fail_msg("%s %s is not asked for", value_source_to_string(source), name);
        return NULL;
}

static void give(Fixture *f, ValueSource source, const char *name, const char *key,
                const void *bytes, size_t size)
{
        char *data = malloc(MAX(size, (size_t) 1));

        assert_non_null(data);
        memcpy(data, bytes, size);
        assert_int_equal(value_object_add(object(f, source, name), key, data, size), 0);
}

#define GIVE(f, source, name, key, text) give(f, source, name, key, text, strlen(text))

/* The variables, "A=b C=d", or the sentence that refuses them. */
static int environment(Fixture *f, char *ret, size_t size)
{
        CLEANUP_FREE char *sentence = NULL;
        CLEANUP_STRV char **env = NULL;
        RecordWriter w;
        Record record;
        size_t n = 0;
        int r;

        ret[0] = '\0';
        record_start(&w, 1);
        r = values_put_env(f->values, &f->pod->containers[0], &w, &sentence);
        assert_int_equal(record_finish(&w), 0);
        assert_int_equal(record_parse(w.data, w.size, 1, &record), 0);
        assert_int_equal(record_get_strv(&record, "env", &env), 0);
        if (r < 0)
                (void) snprintf(ret, size, "%s", strempty(sentence));
        else
                STRV_FOREACH(e, env)
                {
                        n += (size_t) snprintf(ret + n, size - n, "%s%s", n > 0 ? " " : "", *e);
                }
        record_done(&w);
        return r;
}

static void test_order(void **state)
{
        CLEANUP(done)
        Fixture f = declare("", ",'env':{'B':'literal','A':{'secret':'s/x'},'C':{'config':'c/y'}},"
                                "'env_from':[{'config':'c','prefix':'P_'},{'secret':'s'},"
                                "{'config':'c'}]");
        char text[512];

        assert_int_equal(f.values->n_objects, 2);
        GIVE(&f, VALUE_SECRET, "s", "x", "of the secret");
        GIVE(&f, VALUE_SECRET, "s", "B", "hidden");
        GIVE(&f, VALUE_SECRET, "s", "z", "first");
        GIVE(&f, VALUE_CONFIG, "c", "y", "");
        GIVE(&f, VALUE_CONFIG, "c", "z", "pa$$word${HOME}=");
        assert_int_equal(environment(&f, text, sizeof(text)), 0);
        assert_string_equal(text, "A=of the secret B=literal C= P_y= P_z=pa$$word${HOME}= "
                                  "x=of the secret y= z=pa$$word${HOME}=");
}

static void test_names(void **state)
{
        static const struct {
                const char *from, *key;
                bool good;
        } cases[] = {
                { "{'secret':'s'}", "A_1", true },
                { "{'secret':'s'}", "_", true },
                { "{'secret':'s'}", "a", true },
                { "{'secret':'s'}", "bad-key", false },
                { "{'secret':'s'}", "tls.crt", false },
                { "{'secret':'s'}", "1A", false },
                { "{'secret':'s','prefix':'N'}", "1A", true },
                { "{'secret':'s','prefix':'N_'}", "bad-key", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *container = NULL;
                char text[512];
                Fixture f;

                assert_true(asprintf(&container, ",'env_from':[%s]", cases[i].from) > 0);
                f = declare("", container);
                GIVE(&f, VALUE_SECRET, "s", cases[i].key, "hidden");
                if (environment(&f, text, sizeof(text)) != (cases[i].good ? 0 : -EINVAL))
                        fail_msg("%s: %s", cases[i].key, text);
                if (!cases[i].good)
                        assert_true(strstr(text, cases[i].key) && !strstr(text, "hidden"));
                done(&f);
        }
}

static void test_bytes(void **state)
{
        CLEANUP(done) Fixture f = declare("", ",'env':{'A':{'config':'c/a'}}");
        CLEANUP(done) Fixture g = declare("", ",'env':{'A':{'config':'c/a'}}");
        CLEANUP_FREE char *large = calloc(1, LIMIT_ARGV_ENV_MAX);
        char text[512];

        assert_non_null(large);
        give(&f, VALUE_CONFIG, "c", "a", "a\0b", 3);
        assert_int_equal(environment(&f, text, sizeof(text)), -EINVAL);
        assert_non_null(strstr(text, "key a of config c holds a NUL byte"));
        memset(large, 'x', LIMIT_ARGV_ENV_MAX);
        give(&g, VALUE_CONFIG, "c", "a", large, LIMIT_ARGV_ENV_MAX);
        assert_int_equal(environment(&g, text, sizeof(text)), -E2BIG);
        assert_non_null(strstr(text, "use larger ones in volumes"));
}

static void test_missing(void **state)
{
        CLEANUP(done)
        Fixture f = declare("{'name':'v','source':{'config':'c','items':{'k':'f'}}},"
                            "{'name':'unused','source':{'secret':'other'}}",
                        ",'env':{'A':{'secret':'s/a'}},'mounts':[{'volume':'v','path':'/v'}]");
        const Container *c = &f.pod->containers[0];
        char *missing = NULL;

        assert_int_equal(f.values->n_objects, 2); /* nobody mounts the other one */
        assert_false(values_use(f.values, VALUE_SECRET, "other"));
        assert_true(values_use(f.values, VALUE_CONFIG, "c"));
        assert_false(values_use(f.values, VALUE_SECRET, "c"));
        assert_int_equal(values_find_missing(f.values, f.pod, c, &missing), 1);
        assert_string_equal(missing, "key a of secret s");
        free(missing);
        GIVE(&f, VALUE_SECRET, "s", "a", "");
        assert_int_equal(values_find_missing(f.values, f.pod, c, &missing), 1);
        assert_string_equal(missing, "key k of config c");
        free(missing);
        GIVE(&f, VALUE_CONFIG, "c", "k", "");
        assert_int_equal(values_find_missing(f.values, f.pod, c, &missing), 0);
}

static void test_live(void **state)
{
        CLEANUP(done)
        Fixture f = declare("{'name':'v','source':{'config':'c','live':true,'items':{'k':'f'}}},"
                            "{'name':'w','source':{'secret':'s'}}",
                        ",'env':{'A':{'secret':'t/a'}},'mounts':[{'volume':'v','path':'/v'},"
                        "{'volume':'w','path':'/w'}]");
        const Container *c = &f.pod->containers[0];
        CLEANUP(values_freep) Values *live = NULL;
        ContainerEntry entry = { .name = (char *) "a" };
        CLEANUP_FREE ValueFile *list = NULL;
        CLEANUP_FREE char *error = NULL;
        char *missing = NULL;
        size_t n = 0;

        for (size_t i = 0; i < f.values->n_objects; i++)
                f.values->objects[i].revision = 7;
        assert_int_equal(values_note_used(NULL, f.values, f.pod, &entry), 0);
        assert_int_equal(entry.n_used, 3);
        for (size_t i = 0; i < entry.n_used; i++)
                assert_int_equal(entry.used[i].live_revision, streq(entry.used[i].name, "c") * 7);
        container_forget_used(&entry);

        assert_int_equal(values_new(f.pod, c, true, &live), 0);
        assert_int_equal(live->n_objects, 1);
        assert_int_equal(values_find_missing(live, f.pod, c, &missing), 1);
        assert_string_equal(missing, "key k of config c");
        free(missing);
        done(&(Fixture){ .values = f.values });
        f.values = TAKE_PTR(live);
        GIVE(&f, VALUE_CONFIG, "c", "k", "new");
        assert_int_equal(values_find_missing(f.values, f.pod, c, &missing), 0);
        assert_int_equal(values_list_files(f.values, f.pod, c, &list, &n, &error), 0);
        assert_int_equal(n, 1);
        assert_string_equal(list[0].path, "f");
}

static void digest_of(const Manager *m, const char *container, const char *const *values,
                char ret[static VALUES_DIGEST_SIZE])
{
        CLEANUP(done) Fixture f = declare("{'name':'v','source':{'config':'c'}}", container);

        for (; values[0]; values += 2)
                GIVE(&f, VALUE_CONFIG, "c", values[0], values[1]);
        assert_int_equal(values_digest(m, f.pod, &f.pod->containers[0],
                                         object(&f, VALUE_CONFIG, "c"), ret),
                        0);
}

#define DIGEST(m, container, ...) \
        ({ \
                static char _text[VALUES_DIGEST_SIZE]; \
                digest_of(m, container, (const char *const[]){ __VA_ARGS__, NULL }, _text); \
                _text; \
        })

static void test_digest(void **state)
{
        static const char one[] = ",'env':{'A':{'config':'c/a'}}",
                          from[] = ",'env_from':[{'config':'c'}]",
                          volume[] = ",'mounts':[{'volume':'v','path':'/v'}]";
        Manager m = { .has_values_key = true, .values_key = { 1 } }, other = m, none = {};
        const char *first = DIGEST(&m, one, "a", "x", "b", "y");

        assert_int_equal(strlen(first), VALUES_DIGEST_SIZE - 1);
        /* What it does not use is no matter, what it uses is. */
        assert_string_equal(first, DIGEST(&m, one, "b", "z", "a", "x"));
        assert_string_equal(first, DIGEST(&m, one, "a", "x"));
        assert_string_not_equal(first, DIGEST(&m, one, "a", "", "b", "y"));
        for (size_t i = 0; i < 2; i++) {
                const char *how = i == 0 ? from : volume;
                const char *all = DIGEST(&m, how, "a", "x", "b", "y");

                assert_string_equal(all, DIGEST(&m, how, "b", "y", "a", "x"));
                assert_string_not_equal(all, DIGEST(&m, how, "a", "x", "b", "z"));
                assert_string_not_equal(all, DIGEST(&m, how, "a", "x"));
                assert_string_not_equal(all, DIGEST(&m, how, "a", "xb", "b", "y"));
                assert_string_not_equal(all, DIGEST(&m, how, "a", "x", "bb", "y"));
        }
        /* Who has another key can tell nothing. */
        other.values_key[31] = 1;
        assert_string_not_equal(first, DIGEST(&other, one, "a", "x"));
        assert_string_equal(DIGEST(&none, one, "a", "x"), "");
}

#define MOUNTED ",'mounts':[{'volume':'v','path':'/v'},{'volume':'v','path':'/w'}]"

static int files(Fixture *f, ValueFile **ret, size_t *ret_n, char *sentence, size_t size)
{
        CLEANUP_FREE char *error = NULL;
        int r = values_list_files(f->values, f->pod, &f->pod->containers[0], ret, ret_n, &error);

        (void) snprintf(sentence, size, "%s", strempty(error));
        return r;
}

static void test_files(void **state)
{
        CLEANUP(done)
        Fixture f = declare("{'name':'v','source':{'secret':'s','items':{'a':'x/a.txt'},"
                            "'mode':'440'}}",
                        MOUNTED);
        CLEANUP_FREE ValueFile *list = NULL;
        char sentence[512];
        size_t n = 0;

        GIVE(&f, VALUE_SECRET, "s", "b", "2");
        GIVE(&f, VALUE_SECRET, "s", "a", "1");
        assert_int_equal(files(&f, &list, &n, sentence, sizeof(sentence)), 0);
        assert_int_equal(n, 2); /* once, however often it is mounted */
        assert_string_equal(list[0].path, "b");
        assert_string_equal(list[1].path, "x/a.txt");
        assert_string_equal(list[1].value->key, "a");
        assert_string_equal(list[1].volume, "v");
        assert_int_equal(list[1].mode, 0440);
}

static void test_files_refused(void **state)
{
        static const struct {
                const char *source, *first, *second, *sentence;
        } cases[] = {
                { "{'config':'c','items':{'a':'b'}}", "a", "b", "the keys " },
                { "{'config':'c','items':{'a':'b/c'}}", "a", "b", "cannot both be there" },
                { "{'config':'c','items':{'a':'b.d/c'}}", "a", "b", NULL },
        };
        char key[LIMIT_DATA_KEY_MAX + 1] = "", sentence[512];
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *volume = NULL;
                CLEANUP_FREE ValueFile *list = NULL;
                Fixture f;
                int r;

                assert_true(asprintf(&volume, "{'name':'v','source':%s}", cases[i].source) > 0);
                f = declare(volume, MOUNTED);
                GIVE(&f, VALUE_CONFIG, "c", cases[i].first, "1");
                GIVE(&f, VALUE_CONFIG, "c", cases[i].second, "2");
                r = files(&f, &list, &n, sentence, sizeof(sentence));
                assert_int_equal(r, cases[i].sentence ? -EINVAL : 0);
                if (cases[i].sentence)
                        assert_non_null(strstr(sentence, cases[i].sentence));
                done(&f);
        }
        /* A key may be longer than the name of a file. */
        memset(key, 'k', LIMIT_DATA_KEY_MAX);
        for (int placed = 0; placed < 2; placed++) {
                CLEANUP_FREE char *volume = NULL;
                CLEANUP_FREE ValueFile *list = NULL;
                Fixture f;

                assert_true(asprintf(&volume,
                                            "{'name':'v','source':{'config':'c','items':{'%s':"
                                            "'short'}}}",
                                            placed ? key : "other") > 0);
                f = declare(volume, MOUNTED);
                GIVE(&f, VALUE_CONFIG, "c", key, "1");
                assert_int_equal(files(&f, &list, &n, sentence, sizeof(sentence)),
                                placed ? 0 : -EINVAL);
                done(&f);
        }
}

static void test_bounds(void **state)
{
        CLEANUP(done) Fixture f = declare("{'name':'v','source':{'config':'c'}}", MOUNTED);
        CLEANUP(done) Fixture g = declare("{'name':'v','source':{'config':'c'}}", MOUNTED);
        CLEANUP_FREE ValueFile *list = NULL;
        CLEANUP_FREE char *large = calloc(1, LIMIT_VALUES_BYTES);
        char sentence[512], key[16];
        size_t n = 0;

        assert_non_null(large);
        give(&f, VALUE_CONFIG, "c", "a", large, LIMIT_VALUES_BYTES);
        assert_int_equal(files(&f, &list, &n, sentence, sizeof(sentence)), 0);
        list = (free(list), NULL);
        GIVE(&f, VALUE_CONFIG, "c", "b", "x");
        assert_int_equal(files(&f, &list, &n, sentence, sizeof(sentence)), -E2BIG);
        for (unsigned i = 0; i <= LIMIT_VALUE_FILES; i++) {
                (void) snprintf(key, sizeof(key), "k%u", i);
                GIVE(&g, VALUE_CONFIG, "c", key, "");
        }
        assert_int_equal(files(&g, &list, &n, sentence, sizeof(sentence)), -E2BIG);
        assert_null(list);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_live),
                cmocka_unit_test(test_digest),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_files_refused),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
