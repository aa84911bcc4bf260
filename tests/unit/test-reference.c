/* SPDX-License-Identifier: Apache-2.0 */

/* References: what each spelling means, what is refused and where, and that whatever is legal comes
 * back as it was. Scenarios E1, E2, E4, X3, X4. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "error.h"
#include "names.h"
#include "reference.h"

#define TEN     "abcdefghij"
#define SIXTY3  TEN TEN TEN TEN TEN TEN "abc"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

typedef struct Case {
        const char *text;
        const char *type, *namespace, *name, *id, *key;
} Case;

static const Case accepted[] = {
        { "tank://secret/default/db", "secret", "default", "db", "", NULL },
        { "rune://secret/default/db-credentials", "secret", "default", "db-credentials", "", NULL },
        { "rune://configmap/default/app-config/value", "config", "default", "app-config", "",
                        "value" },
        { "tank://configmap/default/app/value", "configmap", "default", "app", "", "value" },
        { "rune://service/prod/id/svc-123", "service", "prod", "", "svc-123", NULL },
        { "rune://service/prod/id/svc-123/logs", "service", "prod", "", "svc-123", "logs" },
        { "tank://pod/prod/id/0123456789abcdef0123456789abcdef", "pod", "prod", "",
                        "0123456789abcdef0123456789abcdef", NULL },
        { "rune://type/ns/id", "type", "ns", "id", "", NULL },
        { "tank://type/ns/%69d/key", "type", "ns", "id", "", "key" },
        { "tank://type/id/id/id/id", "type", "id", "", "id", "id" },
        { "tank://sec%72et/de%66ault/d%62", "secret", "default", "db", "", NULL },
        { "tank://secret/ns/n/a%2Fb", "secret", "ns", "n", "", "a/b" },
        { "tank://secret/ns/n/a%252Fb", "secret", "ns", "n", "", "a%2Fb" },
        { "tank://secret/ns/n/100%25", "secret", "ns", "n", "", "100%" },
        { "tank://secret/ns/n/%3fx=1%23f", "secret", "ns", "n", "", "?x=1#f" },
        { "tank://secret/ns/n/..", "secret", "ns", "n", "", ".." },
        { "tank://secret/ns/n/a b", "secret", "ns", "n", "", "a b" },
        { "tank://secret/ns/n/a%0Ab", "secret", "ns", "n", "", "a\nb" },
        { "tank://secret/ns/n/\xc3\xa4", "secret", "ns", "n", "", "ä" },
        { "tank://secret/ns/n/%c3%a4", "secret", "ns", "n", "", "ä" },
        { "tank://secret/ns/n/k:v@w", "secret", "ns", "n", "", "k:v@w" },
        { "secret:db-credentials.default.rune", "secret", "default", "db-credentials", "", NULL },
        { "secret:db-credentials.prod.tank", "secret", "prod", "db-credentials", "", NULL },
        { "configmap:app.default.rune/value", "config", "default", "app", "", "value" },
        { "configmap:app.default.tank/value", "configmap", "default", "app", "", "value" },
        { "configmap:app", "configmap", "", "app", "", NULL },
        { "secret:db-credentials", "secret", "", "db-credentials", "", NULL },
        { "secret:db-credentials/username", "secret", "", "db-credentials", "", "username" },
        { "secret:db.prod.rune/p/q", "secret", "prod", "db", "", "p/q" },
        { "secret:db/p%2Fq%25", "secret", "", "db", "", "p/q%" },
        { "secret:db/x.prod.tank", "secret", "", "db", "", "x.prod.tank" },
        { "secret:db/?x=1#f", "secret", "", "db", "", "?x=1#f" },
        { "secret:id/key", "secret", "", "id", "", "key" },
        { "bogus:x", "bogus", "", "x", "", NULL },
        { "namespace:prod", "namespace", "", "prod", "", NULL },
        { "tank:web", "tank", "", "web", "", NULL },
        { "pod:" SIXTY3 "." SIXTY3 ".tank", "pod", SIXTY3, SIXTY3, "", NULL },
};

/* At which character, and a word of the sentence. */
static const struct {
        const char *text;
        size_t at;
        const char *why;
} refused[] = {
        { "rune:///missing", 8, "type is missing" },
        { "rune://", 8, "type is missing" },
        { "rune:/x", 6, "name is missing" },
        { ":no-type", 1, "type is missing" },
        { "secret:", 8, "name is missing" },
        { "secret:/k", 8, "name is missing" },
        { "rune://type/ns/id/", 19, "id is missing" },
        { "rune://secret/default", 22, "/NAMESPACE/NAME" },
        { "rune://secret/default/", 23, "name is missing" },
        { "rune://secret//db", 15, "namespace is missing" },
        { "rune://secret/ns/a%2Fb", 18, "no name" },
        { "rune://secret/ns/a%252Fb", 18, "no name" },
        { "rune://secret/ns/100%25", 18, "no name" },
        { "rune://secret/ns/100%", 21, "hexadecimal" },
        { "tank://secret/ns/n/100%4", 23, "hexadecimal" },
        { "tank://secret/ns/n/%zz", 20, "hexadecimal" },
        { "tank://secret/ns/n/a%00", 21, "%00" },
        { "tank://secret/ns/n/%ff", 20, "UTF-8" },
        { "tank://secret/ns/n/a\nb", 21, "control" },
        { "rune://secret/ns/n?x=1#f", 19, "query" },
        { "rune://secret/ns/n#f", 19, "fragment" },
        { "tank://secret/ns/n/k#f", 21, "%23" },
        { "rune://u@secret:80/ns/n", 8, "user" },
        { "rune://secret:80/ns/n", 8, "port" },
        { "rune://secret/ns/../x", 18, "no name" },
        { "RUNE://secret/ns/n", 1, "lower case" },
        { "http://secret/ns/n", 1, "scheme" },
        { "tank://secret/ns/n/k/l", 22, "too many" },
        { "tank://secret/ns/id/n/k/l", 25, "too many" },
        { "tank://secret/ns/n/", 20, "key is missing" },
        { "tank://secret/ns/id/n/", 23, "key is missing" },
        { "tank://secret/ns/A", 18, "no name" },
        { "tank://secret/n_s/a", 15, "no namespace" },
        { "tank://secret/ns/id/-", 21, "no id" },
        { "tank://Secret/ns/a", 8, "no type" },
        { "tank://secret/ns/" SIXTY3 "d", 18, "longer than 63" },
        { "secret:a.b.prod.rune", 8, "no name" },
        { "secret:prod.rune", 8, "NAME.NAMESPACE.rune" },
        { "secret:.rune", 8, "NAME.NAMESPACE.rune" },
        { "secret:.prod.rune", 8, "name is missing" },
        { "secret:a..rune", 10, "namespace is missing" },
        { "secret:db.prod.rune.", 8, "NAME.NAMESPACE.tank" },
        { "secret:db.prod.RUNE", 8, "NAME.NAMESPACE.tank" },
        { "secret:db.prod", 8, "NAME.NAMESPACE.tank" },
        { "secret:db/", 11, "key is missing" },
        { "a:b:c", 3, "no name" },
        { ":x", 1, "type is missing" },
        { "db", 1, "TYPE:NAME" },
        { "db.prod.rune", 1, "TYPE:NAME" },
        { "", 1, "TYPE:NAME" },
        { "/x", 1, "TYPE:NAME" },
        { "/x:y", 1, "TYPE:NAME" },
        { "tank://namespace/x/prod", 1, "outside of namespaces" },
        { "namespace:prod.x.tank", 1, "outside of namespaces" },
};

static void assert_same(const char *text, const Reference *r, const Reference *wanted)
{
        if (!streq(r->type, wanted->type) || !streq(r->namespace, wanted->namespace) ||
                        !streq(r->name, wanted->name) || !streq(r->id, wanted->id) ||
                        !streq_ptr(r->key, wanted->key))
                fail_msg("'%s' is type '%s' namespace '%s' name '%s' id '%s' key '%s'", text,
                                r->type, r->namespace, r->name, r->id, r->key ? r->key : "(none)");
}

/* What is formatted is read back as the same, and formatted the same. */
static void assert_round_trip(const Reference *r)
{
        CLEANUP_FREE char *text = NULL, *again = NULL;
        CLEANUP(reference_done) Reference back = {};

        assert_int_equal(reference_format(r, &text), 0);
        assert_true(strlen(text) <= LIMIT_REFERENCE);
        if (reference_parse(text, &back, NULL) < 0)
                fail_msg("'%s' is refused", text);
        assert_same(text, &back, r);
        assert_int_equal(reference_format(&back, &again), 0);
        assert_string_equal(text, again);
}

static void what_is_accepted(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
                CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
                CLEANUP(reference_done) Reference r = {};
                const Case *c = &accepted[i];
                Reference wanted = { .key = (char *) c->key };

                (void) snprintf(wanted.type, sizeof(wanted.type), "%s", c->type);
                (void) snprintf(wanted.namespace, sizeof(wanted.namespace), "%s", c->namespace);
                (void) snprintf(wanted.name, sizeof(wanted.name), "%s", c->name);
                (void) snprintf(wanted.id, sizeof(wanted.id), "%s", c->id);
                if (reference_parse(c->text, &r, &e) < 0)
                        fail_msg("'%s' is refused: %s", c->text, e.message);
                assert_same(c->text, &r, &wanted);
                assert_round_trip(&r);
        }
}

static void what_is_refused(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
                Reference r = {};
                char at[64];

                if (reference_parse(refused[i].text, &r, &e) != -EINVAL)
                        fail_msg("'%s' is accepted", refused[i].text);
                assert_string_equal(e.name, TANK_ERROR_INVALID_ARGUMENT);
                (void) snprintf(at, sizeof(at), ": at character %zu: ", refused[i].at);
                if (!strstr(e.message, at) || !strstr(e.message, refused[i].why))
                        fail_msg("'%s' is refused with: %s", refused[i].text, e.message);
                assert_null(strchr(e.message, '\n'));
                assert_null(r.key);
        }
}

static void bytes_and_lengths(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        char text[LIMIT_REFERENCE + 3], key[LIMIT_REFERENCE_KEY + 1];
        CLEANUP(reference_done) Reference r = {};

        assert_int_equal(reference_parse("secret:\xff", &r, &e), -EINVAL);
        assert_non_null(strstr(e.message, "UTF-8"));
        sd_bus_error_free(&e);

        /* A sentence that quotes a part of it is cut between characters. */
        assert_int_equal(reference_parse("x" HUNDRED "0123456789012345678ääääää", &r, &e), -EINVAL);
        assert_true(utf8_is_valid(e.message, strlen(e.message)));
        sd_bus_error_free(&e);

        memset(key, '/', sizeof(key) - 1);
        key[sizeof(key) - 1] = '\0';
        (void) snprintf(text, sizeof(text), "secret:db/%s", key);
        assert_int_equal(reference_parse(text, &r, &e), 0);
        assert_string_equal(r.key, key);
        assert_round_trip(&r);
        (void) snprintf(text, sizeof(text), "secret:db/%s/", key);
        reference_done(&r);
        assert_int_equal(reference_parse(text, &r, &e), -EINVAL);
        assert_non_null(strstr(e.message, "longer than 1024 bytes"));
        sd_bus_error_free(&e);

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(reference_parse(text, &r, &e), -EINVAL);
        assert_non_null(strstr(e.message, "at most 4096 bytes"));
}

/* ---- whatever is legal --------------------------------------------------------------------- */

static uint64_t seed;

static unsigned pick(unsigned n)
{
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
        return (unsigned) (seed >> 33) % n;
}

static void any_name(char ret[static LIMIT_NAME_MAX + 1])
{
        static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
        unsigned n = pick(8) == 0 ? LIMIT_NAME_MAX : 1 + pick(8);

        for (unsigned i = 0; i < n; i++)
                ret[i] = alphabet[pick(i == 0 || i == n - 1 ? 36 : 37)];
        ret[n] = '\0';
        if (pick(8) == 0)
                strcpy(ret, "id");
        assert_true(name_is_valid(ret));
}

static void any_type(char ret[static LIMIT_NAME_MAX + 1])
{
        static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
        unsigned n = pick(8) == 0 ? LIMIT_NAME_MAX - 1 : 1 + pick(8);

        for (unsigned i = 0; i < n; i++)
                ret[i] = alphabet[pick(i == 0 ? 26 : 38)];
        ret[n] = '\0';
        assert_true(type_is_valid(ret));
}

static char *any_key(void)
{
        static const char *const characters[] = { "a", "/", "%", " ", ".", "?", "#", "@", ":", "ä",
                "\n", "%2F", "\xf0\x9f\x90\x9f", "\x7f", "id", "..", ".tank", "\"", "\\", "\x01" };
        static char key[LIMIT_REFERENCE_KEY + 8];
        unsigned max = pick(4) == 0 ? LIMIT_REFERENCE_KEY : 1 + pick(12);
        size_t n = 0;

        for (;;) {
                const char *c = characters[pick(ARRAY_SIZE(characters))];

                if (n > 0 && n + strlen(c) > max)
                        break;
                memcpy(key + n, c, strlen(c));
                n += strlen(c);
        }
        key[n] = '\0';
        return key;
}

static void whatever_is_legal(void **state)
{
        seed = 20;
        for (unsigned i = 0; i < 20000; i++) {
                Reference r = { .key = pick(3) == 0 ? NULL : any_key() };

                any_type(r.type);
                if (type_is_global(r.type))
                        continue;
                any_name(r.name);
                if (pick(4) > 0)
                        any_name(r.namespace);
                if (r.namespace[0] && pick(3) == 0) {
                        memcpy(r.id, r.name, sizeof(r.id));
                        r.name[0] = '\0';
                }
                assert_round_trip(&r);
        }
}

static void words_that_name_a_type(void **state)
{
        assert_string_equal(type_from_word("instance"), "instance");
        assert_string_equal(type_from_word("inst"), "instance");
        assert_string_equal(type_from_word("service"), "service");
        assert_string_equal(type_from_word("svc"), "service");
        assert_null(type_from_word("x"));
        assert_null(type_from_word("invalid"));
        assert_true(reference_is_meant("secret:db"));
        assert_true(reference_is_meant("tank://pod/default/web"));
        assert_false(reference_is_meant("pod/default/web"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_accepted),
                cmocka_unit_test(what_is_refused),
                cmocka_unit_test(bytes_and_lengths),
                cmocka_unit_test(whatever_is_legal),
                cmocka_unit_test(words_that_name_a_type),
        };

        return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
