/* SPDX-License-Identifier: Apache-2.0 */

/* Secrets in the store: what is stored and shown of them, what makes a version, who may, and what
 * becomes of records that were moved, put back, or sealed with a key that is lost. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>

#include "secret-fixture.h"
#include "store-db.h"
#include "store-history.h"

/* ---- writing ---- */

/* I1, I5, X30: no more versions than changes, and what is no value is kept and shown. */
static void test_life(void **state)
{
        Setup x;
        Outcome o;
        char error[128];

        setup_init(&x);
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"type\":\"login\",\"labels\":{\"a\":"
                    "\"b\"},\"annotations\":{\"n\":\"m\"},\"data\":{\"password\":\"" VALUE
                    "\",\"bin\":{\"base64\":\"AP8=\"}}}");
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer.changed, "created");
        check_value(&x, "db", 0, "password", VALUE);
        {
                CLEANUP_JSON json_t *doc = get(&x.f, "secret", "default", "db", error);
                const json_t *data = json_object_get(doc, "data");

                assert_non_null(doc);
                assert_string_equal(json_get_string(doc, "type"), "login");
                assert_int_equal(json_object_size(data), 2);
                assert_true(data_is_redacted(json_object_get(data, "password")));
                assert_true(data_is_redacted(json_object_get(data, "bin")));

                /* What get shows can be applied, and changes nothing. */
                CLEANUP_FREE char *text = json_dumps(doc, 0);
                o = set(&x, text);
                assert_string_equal(o.error, "");
                assert_string_equal(o.answer.changed, "unchanged");
        }
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"type\":\"login\",\"labels\":{\"a\":"
                    "\"b\"},\"annotations\":{\"n\":\"m\"},\"data\":{\"password\":{\"redacted\":"
                    "true},\"bin\":{\"base64\":\"AP8=\"}}}");
        assert_string_equal(o.answer.changed, "unchanged");
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"data\":{\"password\":{\"redacted\":"
                    "true},\"bin\":\"\"}}");
        assert_string_equal(o.answer.changed, "updated");
        assert_int_equal(o.answer.generation, 2);
        check_value(&x, "db", 0, "password", VALUE);
        check_value(&x, "db", 0, "bin", "");
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"data\":{\"new\":{\"redacted\":true}}}");
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        o = write_secret(&x, op_object(STORE_DELETE, "secret", "default", "db"));
        assert_string_equal(o.answer.changed, "deleted");
        check_refused(&x, "db", 0, TANK_ERROR_NOT_FOUND);
        setup_done(&x);
}

/* X27, X28: the bytes that came in. */
static void test_bytes(void **state)
{
        Setup x;

        setup_init(&x);
        (void) set_value(&x, "a", "password");
        check_value(&x, "a", 0, "k", "password");
        (void) set_value(&x, "b", "pa$$word${HOME}");
        check_value(&x, "b", 0, "k", "pa$$word${HOME}");
        (void) set_value(&x, "c", "");
        check_value(&x, "c", 0, "k", "");
        setup_done(&x);
}

/* As much as there may be, in a document that is a third larger for it. */
static void test_large(void **state)
{
        CLEANUP_FREE char *bytes = calloc(1, LIMIT_DATA_MAX), *text = NULL;
        CLEANUP_JSON json_t *doc =
                        json_pack("{s:s,s:s,s:{}}", "kind", "secret", "name", "l", "data");
        json_t *value;
        Outcome o;
        Revealed r;
        Setup x;

        setup_init(&x);
        assert_non_null(bytes);
        assert_int_equal(data_encode(bytes, LIMIT_DATA_MAX, &value), 0);
        assert_int_equal(json_object_set_new(json_object_get(doc, "data"), "k", value), 0);
        text = json_dumps(doc, 0);
        assert_true(strlen(text) > LIMIT_DOCUMENT_MAX);
        o = set(&x, text);
        assert_string_equal(o.error, "");
        r = reveal_at(&x, "l", 0);
        assert_true(json_equal(r.data, json_object_get(doc, "data")));
        json_decref(r.data);

        /* What is kept counts. */
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"l\",\"data\":{\"k\":{\"redacted\":true},"
                    "\"more\":\"x\"}}");
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        setup_done(&x);
}

static void test_rights(void **state)
{
        static const char document[] = DB_JSON;
        StoreOperation refused[] = {
                op_document(STORE_CREATE, document),
                op_document(STORE_APPLY, document),
                op_document(STORE_UPDATE, document),
                op_object(STORE_DELETE, "secret", "default", "db"),
                op_object(STORE_ROLLBACK, "secret", "default", "db"),
        };
        Outcome o;
        Setup x;

        setup_init(&x);
        o = set(&x, DB_JSON);
        refused[4].revision = o.answer.revision;
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                o = run(&x.f, &refused[i], 1); /* privileged, and all the same */
                assert_string_equal(o.error, TANK_ERROR_ACCESS_DENIED);
        }
        setup_done(&x);
}

/* The transaction is one, its secrets are sealed, and one that fails leaves nothing. */
static void test_transaction(void **state)
{
        const StoreOperation ops[] = {
                op_document(STORE_APPLY,
                                "{\"kind\":\"secret\",\"name\":\"a\",\"data\":{\"k\":\"1\"}}"),
                op_document(STORE_APPLY,
                                "{\"kind\":\"config\",\"name\":\"a\",\"data\":{\"k\":\"2\"}}"),
                op_document(STORE_CREATE,
                                "{\"kind\":\"secret\",\"name\":\"b\",\"data\":{\"k\":\"3\"}}"),
        };
        StoreWrite w;
        Outcome o;
        Setup x;

        setup_init(&x);
        w = fixture_write(&o);
        w.secrets = true;
        begin_as(&x.f, &o, &w, ops, ARRAY_SIZE(ops));
        store_flush(x.f.store);
        assert_string_equal(o.error, "");
        check_value(&x, "a", 0, "k", "1");
        check_value(&x, "b", 0, "k", "3");
        begin_as(&x.f, &o, &w, ops, ARRAY_SIZE(ops));
        store_flush(x.f.store);
        assert_string_equal(o.error, TANK_ERROR_ALREADY_EXISTS);
        check_value(&x, "a", 0, "k", "1");
        setup_done(&x);
}

/* What is under way is built upon, sealed as it is. */
static void test_under_way(void **state)
{
        const StoreOperation first = op_document(STORE_APPLY, DB_JSON);
        const StoreOperation second = op_document(STORE_APPLY,
                        "{\"kind\":\"secret\",\"name\":\"db\",\"labels\":{\"x\":\"y\"},\"data\":{"
                        "\"password\":{\"redacted\":true}}}");
        Outcome one, two;
        StoreWrite w;
        Setup x;

        setup_init(&x);
        w = fixture_write(&one);
        w.secrets = true;
        begin_as(&x.f, &one, &w, &first, 1);
        w.userdata = &two;
        begin_as(&x.f, &two, &w, &second, 1);
        store_flush(x.f.store);
        assert_string_equal(two.answer.changed, "updated");
        check_value(&x, "db", 0, "password", VALUE);
        setup_done(&x);
}

static void test_rollback(void **state)
{
        StoreOperation back = op_object(STORE_ROLLBACK, "secret", "default", "r");
        Outcome first, o;
        Setup x;

        setup_init(&x);
        first = set_value(&x, "r", "one");
        o = set_value(&x, "r", "two");
        check_value(&x, "r", first.answer.revision, "k", "one");
        back.revision = first.answer.revision;
        o = write_secret(&x, back);
        assert_string_equal(o.answer.changed, "updated");
        assert_true(o.answer.revision > first.answer.revision);
        check_value(&x, "r", 0, "k", "one");
        o = write_secret(&x, back);
        assert_string_equal(o.answer.changed, "unchanged");

        (void) write_secret(&x, op_object(STORE_DELETE, "secret", "default", "r"));
        o = write_secret(&x, back);
        assert_string_equal(o.answer.changed, "created");
        reopen(&x);
        check_value(&x, "r", 0, "k", "one");
        check_value(&x, "r", first.answer.revision, "k", "one");
        setup_done(&x);
}

/* ---- records that are not what they seem ---- */

/* G2 where it matters: a record opens only where it was sealed. */
static void test_moved_records(void **state)
{
        Outcome a, b, c;
        Setup x;
        Rows r;

        setup_init(&x);
        a = set_value(&x, "a", "of-a");
        b = set_value(&x, "b", "of-b");
        (void) set_value(&x, "c", "of-c");
        rows_open(&r, &x);
        /* Another object's record, of this and of an earlier version. */
        copy_row(&r, DB_OBJECTS, object_row("a"), DB_OBJECTS, object_row("b"));
        copy_row(&r, DB_HISTORY, history_row("a", a.answer.revision), DB_HISTORY,
                        history_row("b", b.answer.revision));
        rows_close(&r, &x);
        check_refused(&x, "b", 0, TANK_ERROR_AUTHENTICATION_FAILED);
        check_refused(&x, "b", b.answer.revision, TANK_ERROR_AUTHENTICATION_FAILED);
        check_value(&x, "a", 0, "k", "of-a");
        check_value(&x, "c", 0, "k", "of-c");

        /* Overwriting heals it. */
        b = set_value(&x, "b", "anew");
        assert_string_equal(b.error, "");
        check_value(&x, "b", 0, "k", "anew");
        check_value(&x, "a", 0, "k", "of-a");

        /* So does deleting, and neither touches the other one. */
        rows_open(&r, &x);
        copy_row(&r, DB_OBJECTS, object_row("a"), DB_OBJECTS, object_row("c"));
        rows_close(&r, &x);
        c = write_secret(&x, op_object(STORE_DELETE, "secret", "default", "c"));
        assert_string_equal(c.answer.changed, "deleted");
        check_refused(&x, "c", 0, TANK_ERROR_NOT_FOUND);
        check_value(&x, "a", 0, "k", "of-a");
        setup_done(&x);
}

static json_t *exported(Setup *x, const char *name, bool reveal)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *buffer = NULL, *text = NULL;
        StoreRecord record;
        ObjectKey key;
        json_t *doc;

        assert_int_equal(object_key_init(&key, "secret", "default", name), 0);
        assert_int_equal(store_lookup(x->f.store, &key, &record, &buffer), 0);
        assert_int_equal(
                        store_secret_export(x->f.store, NULL, &key, &record, reveal, &text, &e), 0);
        doc = json_loads(text, 0, NULL);
        assert_non_null(doc);
        return doc;
}

static void test_put_back_record(void **state)
{
        CLEANUP_JSON json_t *line = NULL;
        Outcome first, o;
        Setup x;
        Rows r;

        setup_init(&x);
        first = set_value(&x, "a", "old");
        o = set_value(&x, "a", "new");
        rows_open(&r, &x);
        copy_row(&r, DB_HISTORY, history_row("a", first.answer.revision), DB_OBJECTS,
                        object_row("a"));
        rows_close(&r, &x);
        check_refused(&x, "a", 0, TANK_ERROR_AUTHENTICATION_FAILED);
        check_value(&x, "a", o.answer.revision, "k", "new");
        line = exported(&x, "a", true); /* asked for open, told sealed */
        assert_true(json_is_true(json_object_get(
                        json_object_get(json_object_get(line, "data"), "k"), "redacted")));
        /* The same value once more is a change: what stands there was never set. */
        o = set_value(&x, "a", "old");
        assert_string_equal(o.answer.changed, "updated");
        check_value(&x, "a", 0, "k", "old");
        setup_done(&x);
}

/* With the newest version taken out of the history, too, there is nothing left beside it that would
 * tell; but for the change log, which who verifies reads. */
static void test_put_back_with_its_history(void **state)
{
        Outcome newest;
        StoreKey gone;
        Setup x;
        Rows r;

        setup_init(&x);
        const uint64_t old = set_value(&x, "a", "old").answer.revision;
        newest = set_value(&x, "a", "new");
        fixture_close(&x.f);
        assert_false(fixture_verify_finds(&x.f));
        assert_int_equal(fixture_open(&x.f), 0);
        rows_open(&r, &x);
        copy_row(&r, DB_HISTORY, history_row("a", old), DB_OBJECTS, object_row("a"));
        gone = history_row("a", newest.answer.revision);
        db_batch_delete(r.batch, r.db, DB_HISTORY, DB_KEY(&gone));
        rows_close(&r, &x);
        check_value(&x, "a", 0, "k", "old");
        fixture_close(&x.f);
        assert_true(fixture_verify_finds(&x.f));
        assert_int_equal(fixture_open(&x.f), 0);
        setup_done(&x);
}

/* A record under a lost key spoils itself alone: X31. */
static void test_lost_key(void **state)
{
        static const char key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        Outcome o;
        Setup x;
        char error[128];

        setup_init(&x);
        (void) set_value(&x, "a", "one");
        (void) set_value(&x, "b", "two");
        assert_int_equal(write_file_atomic_at(AT_FDCWD, x.key, key, strlen(key), 0600, false), 0);
        reopen(&x);
        check_refused(&x, "a", 0, TANK_ERROR_AUTHENTICATION_FAILED);
        o = set_value(&x, "c", "three");
        assert_string_equal(o.error, "");
        check_value(&x, "c", 0, "k", "three");
        json_decref(get(&x.f, "secret", "default", "a", error));
        assert_string_equal(error, "");
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"a\",\"data\":{\"k\":{\"redacted\":true}}}");
        assert_string_equal(o.error, TANK_ERROR_AUTHENTICATION_FAILED);
        o = set_value(&x, "a", "four");
        assert_string_equal(o.answer.changed, "updated");
        check_value(&x, "a", 0, "k", "four");
        o = write_secret(&x, op_object(STORE_DELETE, "secret", "default", "b"));
        assert_string_equal(o.answer.changed, "deleted");
        setup_done(&x);
}

static void test_without_key(void **state)
{
        Fixture f;
        Outcome o;
        StoreWrite w;
        const StoreOperation op = op_document(STORE_APPLY, DB_JSON);

        fixture_init(&f, NULL);
        assert_int_equal(fixture_open(&f), 0);
        w = fixture_write(&o);
        w.secrets = true;
        begin_as(&f, &o, &w, &op, 1);
        store_flush(f.store);
        assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
        fixture_done(&f);
}

/* ---- out and in ---- */

static Outcome import(Setup *x, json_t *line, const char *name)
{
        CLEANUP_JSON json_t *doc = json_deep_copy(line), *meta = NULL;
        StoreOperation o = { .verb = STORE_APPLY, .parsed = doc };

        meta = json_incref(json_object_get(doc, "meta"));
        assert_int_equal(json_object_del(doc, "meta"), 0);
        assert_int_equal(json_object_set_new(doc, "name", json_string(name)), 0);
        o.sealed = json_get_string(meta, "sealed");
        o.sealed_uid = json_get_string(meta, "uid");
        o.sealed_revision = (uint64_t) json_get_int(meta, "revision", 0);
        return write_secret(x, o);
}

/* An export is ciphertext that is imported where the key is, as what it was and nothing else. */
static void test_export(void **state)
{
        CLEANUP_JSON json_t *line = NULL, *open = NULL, *lost = NULL;
        static const char key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        CLEANUP_FREE char *text = NULL;
        Outcome o;
        Setup x;

        setup_init(&x);
        (void) set(&x, DB_JSON);
        line = exported(&x, "db", false);
        open = exported(&x, "db", true);
        text = json_dumps(line, 0);
        assert_null(strstr(text, VALUE));
        assert_string_equal(json_get_string(json_object_get(open, "data"), "password"), VALUE);

        o = import(&x, line, "db");
        assert_string_equal(o.answer.changed, "unchanged");
        (void) set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"data\":{\"password\":\"x\"}}");
        o = import(&x, line, "other");
        assert_string_equal(o.error, TANK_ERROR_AUTHENTICATION_FAILED);
        o = import(&x, line, "db");
        assert_string_equal(o.answer.changed, "updated");
        check_value(&x, "db", 0, "password", VALUE);
        (void) write_secret(&x, op_object(STORE_DELETE, "secret", "default", "db"));
        o = import(&x, line, "db");
        assert_string_equal(o.answer.changed, "created");
        check_value(&x, "db", 0, "password", VALUE);

        assert_int_equal(write_file_atomic_at(AT_FDCWD, x.key, key, strlen(key), 0600, false), 0);
        reopen(&x);
        o = import(&x, line, "db");
        assert_string_equal(o.error, TANK_ERROR_AUTHENTICATION_FAILED);
        lost = exported(&x, "db", true);
        assert_true(data_is_redacted(json_object_get(json_object_get(lost, "data"), "password")));
        setup_done(&x);
}

/* ---- where a value may be found ---- */

static bool file_has(int dir_fd, const char *name, const char *needle)
{
        CLEANUP_FREE char *text = NULL;
        size_t size;

        if (read_file_at(dir_fd, name, 256U << 20, &text, &size) < 0)
                return false;
        return memmem(text, size, needle, strlen(needle));
}

static bool tree_has(const char *path, const char *needle)
{
        CLEANUP(closedirp) DIR *d = opendir(path);
        struct dirent *e;
        bool found = false;

        while (d && !found && (e = readdir(d))) {
                CLEANUP_FREE char *below = NULL;

                if (e->d_name[0] == '.' && (!e->d_name[1] || streq(e->d_name, "..")))
                        continue;
                assert_true(asprintf(&below, "%s/%s", path, e->d_name) > 0);
                found = e->d_type == DT_DIR ? tree_has(below, needle)
                                            : file_has(AT_FDCWD, below, needle);
        }
        return found;
}

/* X26: in no file of the database or beside it; what is no value is. */
static void test_nothing_in_clear(void **state)
{
        StoreOperation back = op_object(STORE_ROLLBACK, "secret", "default", "db");
        Outcome o;
        Setup x;

        setup_init(&x);
        o = set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"labels\":{\"app\":\"marked-label\"},"
                    "\"data\":{\"password\":\"" VALUE "\"}}");
        back.revision = o.answer.revision;
        (void) set(&x, "{\"kind\":\"secret\",\"name\":\"db\",\"data\":{\"password\":\"x" VALUE
                       "\"}}");
        (void) write_secret(&x, back);
        (void) write_secret(&x, op_object(STORE_DELETE, "secret", "default", "db"));
        assert_true(tree_has(x.f.data, "marked-label"));
        assert_false(tree_has(x.f.data, VALUE));
        assert_false(tree_has(x.f.logs, VALUE));
        reopen(&x);
        assert_false(tree_has(x.f.dir, VALUE));
        setup_done(&x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_life),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_large),
                cmocka_unit_test(test_rights),
                cmocka_unit_test(test_transaction),
                cmocka_unit_test(test_under_way),
                cmocka_unit_test(test_rollback),
                cmocka_unit_test(test_moved_records),
                cmocka_unit_test(test_put_back_record),
                cmocka_unit_test(test_put_back_with_its_history),
                cmocka_unit_test(test_lost_key),
                cmocka_unit_test(test_without_key),
                cmocka_unit_test(test_export),
                cmocka_unit_test(test_nothing_in_clear),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}