/* SPDX-License-Identifier: Apache-2.0 */

/* What must hold for any document: a rich one is changed in one place at a time, every place by
 * every one of a set of values. What is refused has a name, a place and a sentence; what is
 * accepted is stable, survives being shown to people, and makes a pod. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "error.h"
#include "names.h"
#include "spec-util.h"

static const char rich[] =
                "{'kind': 'pod', 'name': 'web', 'namespace': 'prod', 'restart': 'never',"
                " 'labels': {'app': 'web'}, 'annotations': {'note': 'text'},"
                " 'backoff': {'base': '250ms', 'cap': '1m30s', 'reset': '1h'},"
                " 'grace': '5s', 'network': 'host', 'security': {'userns': 'auto'},"
                " 'volumes': [{'name': 'data', 'source': 'managed', 'idmap': 'off'},"
                "  {'name': 'conf', 'source': {'host': '/etc/web'}}],"
                " 'containers': [{'name': 'app', 'image': {'rootfs': '/srv/root'},"
                "   'command': ['redis-server'], 'args': ['x'], 'env': {'PATH': '/bin'},"
                "   'working_dir': '/data', 'user': 'www', 'groups': ['wheel'], 'tty': true,"
                "   'init': 'none', 'mounts': [{'volume': 'data', 'path': '/data', 'read_only': "
                "true}],"
                "   'limits': {'memory': '256MiB', 'pids': 100, 'cpu': {'quota': '5ms', 'period': "
                "'9ms'}},"
                "   'stop': {'signal': 'TERM', 'grace': '2s'},"
                "   'security': {'capabilities': {'add': ['NET_RAW'], 'drop': ['ALL']},"
                "     'seccomp': {'file': '/p'}, 'no_new_privileges': false},"
                "   'log': {'driver': 'file', 'max_size': '1MB', 'max_files': 2}}]}";

static const char *const values[] = { "null", "true", "false", "0", "-1", "1", "3",
        "9223372036854775807", "-9223372036854775808", "0.5", "-0.5", "1e300", "''", "'a'", "'A'",
        "'0'", "'1'", "'10s'", "'64MiB'", "'host'", "'none'", "'default'", "'/'", "'/a/../b'",
        "'/x//y/'", "'ALL'", "'\\u001b[2J'", "'\\ud83d\\ude00'", "[]", "['a']", "[[]]", "[{}]",
        "[null]", "{}", "{'a': 'b'}", "{'': {}}", "{'host': '/x'}", "{'file': '/x'}",
        "{'secret': 'a'}" };

static size_t accepted, refused;

static void check_text(const char *s)
{
        assert_true(utf8_is_valid(s, strlen(s)));
        for (; *s; s++)
                assert_true((unsigned char) *s >= 0x20 && *s != 0x7f);
}

static void check_refused(int r, const SpecError *e)
{
        refused++;
        assert_int_not_equal(r, -ENOMEM);
        assert_non_null(e->name);
        assert_int_equal(r, tank_error_to_errno(e->name));
        assert_true(e->message[0]);
        check_text(e->path);
        check_text(e->message);
}

static void check_accepted(const json_t *normal)
{
        CLEANUP_JSON json_t *again = NULL, *shown = NULL, *back = NULL;
        CLEANUP(pod_freep) Pod *pod = NULL;
        char path[256];

        accepted++;
        assert_int_equal(spec_normalize(normal, SPEC_DEFAULT, &again, NULL), 0);
        assert_true(json_equal(again, normal));
        assert_int_equal(spec_present(normal, &shown), 0);
        assert_int_equal(spec_normalize(shown, SPEC_STRICT_ENTRY, &back, NULL), 0);
        assert_true(json_equal(back, normal));
        (void) spec_privileged_field(normal, path);
        if (streq(json_get_string(normal, "kind"), "pod"))
                assert_int_equal(pod_from_document(normal, &pod), 0);
}

static void check_document(const json_t *doc)
{
        CLEANUP_JSON json_t *normal = NULL;
        SpecError error = { 0 };
        int r;

        r = spec_normalize(doc, SPEC_DEFAULT, &normal, &error);
        if (r < 0)
                check_refused(r, &error);
        else
                check_accepted(normal);
}

static void mutate(json_t *root, json_t *node);

static void mutate_member(json_t *root, json_t *object, const char *key)
{
        CLEANUP_JSON json_t *old = json_incref(json_object_get(object, key));
        char other[64];

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                json_object_set_new(object, key, document_from(values[i]));
                check_document(root);
        }
        json_object_del(object, key);
        check_document(root);

        (void) snprintf(other, sizeof(other), "%s\x1b\u00fc", key);
        json_object_set(object, other, old);
        check_document(root);
        json_object_del(object, other);

        json_object_set(object, key, old);
        mutate(root, old);
}

static void mutate(json_t *root, json_t *node)
{
        if (json_is_array(node))
                for (size_t i = 0; i < json_array_size(node); i++) {
                        CLEANUP_JSON json_t *old = json_incref(json_array_get(node, i));

                        for (size_t j = 0; j < ARRAY_SIZE(values); j++) {
                                json_array_set_new(node, i, document_from(values[j]));
                                check_document(root);
                        }
                        json_array_set(node, i, old);
                        json_array_append(node, old);
                        check_document(root);
                        json_array_remove(node, json_array_size(node) - 1);
                        mutate(root, old);
                }
        if (json_is_object(node)) {
                char *keys[64];
                size_t n = 0;
                const char *key;
                json_t *value;

                json_object_foreach (node, key, value) {
                        assert_true(n < ARRAY_SIZE(keys));
                        keys[n++] = strdup(key);
                }
                for (size_t i = 0; i < n; i++) {
                        mutate_member(root, node, keys[i]);
                        free(keys[i]);
                }
        }
}

static void test_mutations(void **state)
{
        CLEANUP_JSON json_t *doc = document_from(rich), *before = json_deep_copy(doc);

        check_document(doc);
        assert_int_equal(accepted, 1);
        mutate(doc, doc);
        assert_true(json_equal(doc, before));
        /* Both ways were taken, often. */
        assert_true(accepted > 100);
        assert_true(refused > 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mutations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
