/* SPDX-License-Identifier: Apache-2.0 */

/* Every way in which a document is refused: name, place and sentence of the error, as people read
 * them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "error.h"
#include "limit.h"
#include "names.h"
#include "spec-util.h"

#define INVALID       TANK_ERROR_INVALID_ARGUMENT
#define NOT_SUPPORTED TANK_ERROR_NOT_SUPPORTED
#define NAME_RULE     "use 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
#define DURATION_RULE "a duration such as 10s, 1m30s or 250ms"
#define SIZE_RULE     "a size such as 64MiB, or a number of bytes"
#define CPU_RULE      "a number of CPUs such as 0.5, or {quota, period}"
#define LATER         "is not supported yet; leave it out"

typedef struct Case {
        const char *document;
        const char *path, *message;
        const char *name; /* InvalidArgument when not given */
} Case;

static void expect_error(const json_t *doc, SpecFlags flags, const Case *t)
{
        SpecError error = { 0 };
        json_t *normal = NULL;
        int r;

        r = spec_normalize(doc, flags, &normal, &error);
        if (r >= 0)
                fail_msg("accepted: %s", t->document);
        assert_null(normal);
        if (!error.name || !streq(error.name, t->name ? t->name : INVALID) ||
                        !streq(error.path, t->path) || !streq(error.message, t->message))
                fail_msg("%s\n  gives %s\n  %s: %s\n  not\n  %s: %s", t->document, error.name,
                                error.path, error.message, t->path, t->message);
        assert_int_equal(r, tank_error_to_errno(error.name));
}

static void check_documents(const Case *cases, size_t n, SpecFlags flags)
{
        for (size_t i = 0; i < n; i++) {
                CLEANUP_JSON json_t *doc = document_from(cases[i].document);

                expect_error(doc, flags, &cases[i]);
        }
}

/* The cases' documents are further fields of a pod, or of its container. */
static void check_fields(const Case *cases, size_t n, bool of_container)
{
        for (size_t i = 0; i < n; i++) {
                const char *fields = cases[i].document;
                CLEANUP_FREE char *text =
                                pod_text(of_container ? "" : fields, of_container ? fields : "");
                CLEANUP_JSON json_t *doc = document_from(text);

                expect_error(doc, SPEC_DEFAULT, &cases[i]);
        }
}

static void test_documents(void **state)
{
        static const Case cases[] = {
                { "[]", "", "expected a map, found a list" },
                { "5", "", "expected a map, found the number 5" },
                { "{}", "name", "is required" },
                { "{'name': 'web'}", "containers", "is required" },
                { "{'name': 'web', 'containers': []}", "containers",
                                "needs at least 1, found an empty list" },
                { "{'name': 'web', 'containers': {}}", "containers",
                                "expected a list, found a map" },
                { "{'name': 'web', 'containers': ['app']}", "containers[0]",
                                "expected a map, found the text 'app'" },
                { "{'name': 'web', 'containers': [{'name': 'a'}]}", "containers[0].image",
                                "is required" },
                { "{'name': 'web', 'containers': [{'image': {'rootfs': '/x'}}]}",
                                "containers[0].name", "is required" },
                { "{'name': 'web', 'containers': [{'name': 'a', 'image': {'rootfs': '/x'}}]}",
                                "containers[0].command",
                                "command or args is required: a rootfs has no image configuration "
                                "that "
                                "could say what to run" },
                { "{'name': 'web', 'meta': {}}", "meta",
                                "made by tank and never declared: leave it out" },
                { "{'status': {}, 'name': 'web'}", "status",
                                "made by tank and never declared: leave it out" },
                { "{'kind': 'thing', 'name': 'a', 'status': 1}", "status",
                                "made by tank and never declared: leave it out" },
                { "{'nmae': 'web'}", "nmae", "unknown field 'nmae', did you mean 'name'?" },
                { "{'replicas': 3}", "replicas", "unknown field 'replicas'" },
                { "{'containers': [{'imge': {}}]}", "containers[0].imge",
                                "unknown field 'imge', did you mean 'image'?" },
                { "{'kind': 'pods'}", "kind", "no such type as 'pods', did you mean 'pod'?" },
                { "{'kind': 'Pod'}", "kind",
                                "'Pod' is no name of a type: use up to 62 of a-z, 0-9, '-' and "
                                "'_', "
                                "beginning with a letter" },
                { "{'kind': 1}", "kind",
                                "expected the name of a type, as text, found the number 1 (put it "
                                "in "
                                "quotes)" },
                { "{'kind': 'secret', 'name': 'a', 'data': {}}", "kind",
                                "objects of type 'secret' are not supported yet", NOT_SUPPORTED },
                { "{'kind': 'config'}", "kind", "objects of type 'config' are not supported yet",
                                NOT_SUPPORTED },
                { "{'kind': 'network'}", "kind", "objects of type 'network' are not supported yet",
                                NOT_SUPPORTED },
                { "{'kind': 'namespace', 'name': 'a', 'namespace': 'b'}", "namespace",
                                "unknown field 'namespace'" },
                { "{'kind': 'namespace', 'name': 'a', 'data': 'b'}", "data",
                                "unknown field 'data'" },
                { "{'kind': 'namespace', 'name': 'A'}", "name",
                                "'A' is no valid name: " NAME_RULE },
                { "{'kind': 'thing', 'labels': {}}", "name", "is required" },
                { "{'kind': 'thing', 'name': 'a', 'labels': []}", "labels",
                                "expected a map, found a list" },
        };

        check_documents(cases, ARRAY_SIZE(cases), SPEC_DEFAULT);
}

static void test_names(void **state)
{
        static const Case cases[] = {
                { "{'name': ''}", "name", "'' is no valid name: " NAME_RULE },
                { "{'name': '../x'}", "name", "'../x' is no valid name: " NAME_RULE },
                { "{'name': 'a/b'}", "name", "'a/b' is no valid name: " NAME_RULE },
                { "{'name': 'a\\u0007b'}", "name", "'a?b' is no valid name: " NAME_RULE },
                { "{'name': 12}", "name",
                                "expected a name, as text, found the number 12 (put it in "
                                "quotes)" },
                { "{'name': null}", "name",
                                "expected a name, as text, found nothing (leave the field out)" },
                { "{'name': 'x0123456789012345678901234567890123456789012345678901234567890123'}",
                                "name",
                                "'x01234567890123456789012345678901234567890123456…' is no valid "
                                "name: " NAME_RULE },
                { "{'name': 'a', 'namespace': 'B'}", "namespace",
                                "'B' is no valid name: " NAME_RULE },
                { "{'name': 'a', 'containers': [{'name': 'A'}]}", "containers[0].name",
                                "'A' is no valid name: " NAME_RULE },
        };

        check_documents(cases, ARRAY_SIZE(cases), SPEC_DEFAULT);
}

static void test_pod_fields(void **state)
{
        static const Case cases[] = {
                { ", 'labels': {'app': 1}", "labels.app",
                                "expected text, found the number 1 (put it in quotes)" },
                { ", 'labels': {'app': true}", "labels.app",
                                "expected text, found true (put it in quotes)" },
                { ", 'labels': {'a b': 'x'}", "labels.a b",
                                "'a b' is no valid key: use 1 to 63 of A-Z, a-z, 0-9, '-', '_' and "
                                "'.', "
                                "if need be behind a domain and '/'" },
                { ", 'labels': {'app': 'a\\nb'}", "labels.app",
                                "the value of a label is at most 256 bytes of printable text; "
                                "longer ones "
                                "go into annotations" },
                { ", 'annotations': {'': 'x'}", "annotations.",
                                "'' is no valid key: use 1 to 63 of A-Z, a-z, 0-9, '-', '_' and "
                                "'.', if "
                                "need be behind a domain and '/'" },
                { ", 'restart': 'sometimes'", "restart",
                                "expected always, on-failure or never, found 'sometimes'" },
                { ", 'restart': 'on_failure'", "restart",
                                "expected always, on-failure or never, found 'on_failure'" },
                { ", 'restart': true", "restart",
                                "expected always, on-failure or never, found true" },
                { ", 'backoff': '10s'", "backoff", "expected a map, found the text '10s'" },
                { ", 'backoff': {'bse': '1s'}", "backoff.bse",
                                "unknown field 'bse', did you mean 'base'?" },
                { ", 'backoff': {'base': '0s'}", "backoff.base", "must be at least 1ms" },
                { ", 'backoff': {'base': '400d'}", "backoff.base", "must be at most 365d" },
                { ", 'backoff': {'base': '10m'}", "backoff",
                                "base (10m) must not be longer than cap (5m unless declared)" },
                { ", 'backoff': {'cap': '1s'}", "backoff",
                                "base (10s) must not be longer than cap (1s)" },
                { ", 'grace': 'soon'", "grace", "expected " DURATION_RULE ", found 'soon'" },
                { ", 'grace': '10'", "grace", "expected " DURATION_RULE ", found '10'" },
                { ", 'grace': -1", "grace", "expected " DURATION_RULE ", found the number -1" },
                { ", 'grace': 1.5", "grace", "expected " DURATION_RULE ", found the number 1.5" },
                { ", 'grace': '99999999999999d'", "grace", "must be at most 365d" },
                { ", 'network': 'lan'", "network",
                                "networks other than none and host are not supported yet",
                                NOT_SUPPORTED },
                { ", 'network': {'nics': []}", "network.nics", LATER, NOT_SUPPORTED },
                { ", 'network': {'nisc': []}", "network.nisc",
                                "unknown field 'nisc', did you mean 'nics'?" },
                { ", 'network': {}", "network", "exactly one field is needed here" },
                { ", 'network': ''", "network", "expected none or host or a map, found ''" },
                { ", 'network': 5", "network", "expected none or host, found the number 5" },
                { ", 'security': {'userns': 'none'}", "security.userns",
                                "expected auto or host, found 'none'" },
        };

        check_fields(cases, ARRAY_SIZE(cases), false);
}

static void test_volumes(void **state)
{
        static const Case cases[] = {
                { ", 'volumes': {'data': {}}", "volumes", "expected a list, found a map" },
                { ", 'volumes': [{}]", "volumes[0].name", "is required" },
                { ", 'volumes': [{'name': 'a/b'}]", "volumes[0].name",
                                "'a/b' is no valid name: " NAME_RULE },
                { ", 'volumes': [{'name': 'a', 'source': 'managd'}]", "volumes[0].source",
                                "expected managed or a map, found 'managd'" },
                { ", 'volumes': [{'name': 'a', 'source': {}}]", "volumes[0].source",
                                "exactly one field is needed here" },
                { ", 'volumes': [{'name': 'a', 'source': {'host': 'etc'}}]",
                                "volumes[0].source.host",
                                "'etc' is no absolute path: it must begin with '/'" },
                { ", 'volumes': [{'name': 'a', 'source': {'host': '/a/../b'}}]",
                                "volumes[0].source.host", "a path must not contain '..'" },
                { ", 'volumes': [{'name': 'a', 'source': {'tmpfs': {}}}]",
                                "volumes[0].source.tmpfs", LATER, NOT_SUPPORTED },
                { ", 'volumes': [{'name': 'a', 'source': {'secret': 'x'}}]",
                                "volumes[0].source.secret", LATER, NOT_SUPPORTED },
                { ", 'volumes': [{'name': 'a', 'idmap': 'on'}]", "volumes[0].idmap",
                                "expected auto, off or required, found 'on'" },
                { ", 'volumes': [{'name': 'a'}, {'name': 'b'}, {'name': 'a'}]", "volumes[2].name",
                                "'a' is there twice, first in volumes[0]" },
        };

        check_fields(cases, ARRAY_SIZE(cases), false);
}

static void test_containers(void **state)
{
        static const Case cases[] = {
                { ", 'image': 'docker.io/library/redis:7'", "containers[0].image",
                                "image references are not supported yet; use {rootfs: /path}",
                                NOT_SUPPORTED },
                { ", 'image': ''", "containers[0].image", "expected a map, found ''" },
                { ", 'image': 7", "containers[0].image", "expected a map, found the number 7" },
                { ", 'image': {}", "containers[0].image.rootfs", "is required" },
                { ", 'image': {'rootfs': 'srv'}", "containers[0].image.rootfs",
                                "'srv' is no absolute path: it must begin with '/'" },
                { ", 'image': {'rootfs': null}", "containers[0].image.rootfs",
                                "expected an absolute path, as text, found nothing (leave the "
                                "field out)" },
                { ", 'command': 'redis-server'", "containers[0].command",
                                "expected a list, found the text 'redis-server'" },
                { ", 'command': ['a', 1]", "containers[0].command[1]",
                                "expected text, found the number 1 (put it in quotes)" },
                { ", 'command': []", "containers[0].command",
                                "command or args is required: a rootfs has no image configuration "
                                "that "
                                "could say what to run" },
                { ", 'command': ['']", "containers[0].command",
                                "the first word names the program and must not be empty" },
                { ", 'args': [true]", "containers[0].args[0]",
                                "expected text, found true (put it in quotes)" },
                { ", 'env': ['A=1']", "containers[0].env", "expected a map, found a list" },
                { ", 'env': {'PORT': 8080}", "containers[0].env.PORT",
                                "expected text, found the number 8080 (put it in quotes)" },
                { ", 'env': {'': 'x'}", "containers[0].env.",
                                "'' cannot name a variable: it must not be empty nor contain '='" },
                { ", 'env': {'A=B': 'x'}", "containers[0].env.A=B",
                                "'A=B' cannot name a variable: it must not be empty nor contain "
                                "'='" },
                { ", 'env': {'A': {'secret': 'db/password'}}", "containers[0].env.A.secret", LATER,
                                NOT_SUPPORTED },
                { ", 'env': {'A': {'vault': 'db'}}", "containers[0].env.A.vault",
                                "unknown field 'vault'" },
                { ", 'env': {'A': {}}", "containers[0].env.A", "exactly one field is needed here" },
                { ", 'working_dir': 'data'", "containers[0].working_dir",
                                "'data' is no absolute path: it must begin with '/'" },
                { ", 'working_dir': '/a/..'", "containers[0].working_dir",
                                "a path must not contain '..'" },
                { ", 'tty': 'yes'", "containers[0].tty",
                                "expected true or false, found the text 'yes'" },
                { ", 'init': 'systemd'", "containers[0].init",
                                "'systemd' is not supported yet; use tank or none", NOT_SUPPORTED },
                { ", 'init': 'tini'", "containers[0].init", "expected tank or none, found 'tini'" },
                { ", 'log': {'driver': 'journald'}", "containers[0].log.driver",
                                "'journald' is not supported yet; use file", NOT_SUPPORTED },
                { ", 'log': {'max_files': 1}", "containers[0].log.max_files",
                                "must be at least 2" },
                { ", 'log': {'max_files': 101}", "containers[0].log.max_files",
                                "must be at most 100" },
                { ", 'log': {'max_files': '5'}", "containers[0].log.max_files",
                                "expected a whole number, found the text '5'" },
                { ", 'log': {'max_size': 10}", "containers[0].log.max_size",
                                "must be at least 1024 bytes" },
                { ", 'stop': {'signal': 'SIGFOO'}", "containers[0].stop.signal",
                                "'SIGFOO' is no signal; write one like SIGTERM" },
                { ", 'stop': {'signal': 65}", "containers[0].stop.signal",
                                "65 is no signal: 1 to 64 are" },
                { ", 'stop': {'signal': []}", "containers[0].stop.signal",
                                "expected a signal such as SIGTERM, or its number, found a list" },
        };

        check_fields(cases, ARRAY_SIZE(cases), true);
}

static void test_users(void **state)
{
        static const char rule[] = "expected a user: a name, uid or uid:gid, found ";
        static const char *const users[] = { "", "a:b", ":1", "1:", "1:b", "01", "1:01", "1 ", " 1",
                "-1", "1x", "a b", "a/b", "-a", "99999999999999999999999" };
        static const Case cases[] = {
                { ", 'user': '65534'", "containers[0].user",
                                "ids may be at most 65533 in a user namespace" },
                { ", 'user': '0:65534'", "containers[0].user",
                                "ids may be at most 65533 in a user namespace" },
                { ", 'user': 70000", "containers[0].user",
                                "ids may be at most 65533 in a user namespace" },
                { ", 'user': -1", "containers[0].user",
                                "expected a user: a name, uid or uid:gid, found the number -1" },
                { ", 'groups': 'wheel'", "containers[0].groups",
                                "expected a list, found the text 'wheel'" },
                { ", 'groups': ['1:2']", "containers[0].groups[0]",
                                "expected a group: a name or gid, found '1:2'" },
                { ", 'groups': [5, '65534']", "containers[0].groups[1]",
                                "ids may be at most 65533 in a user namespace" },
        };
        static const Case host = { ", 'security': {'userns': 'host'}", "containers[0].user",
                "ids may be at most 2147483647" };
        CLEANUP_FREE char *text = pod_text(host.document, ", 'user': '2147483648'");
        CLEANUP_JSON json_t *doc = document_from(text);

        check_fields(cases, ARRAY_SIZE(cases), true);
        expect_error(doc, SPEC_DEFAULT, &host);

        for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
                char field[128], message[128];
                Case c = { field, "containers[0].user", message };

                (void) snprintf(field, sizeof(field), ", 'user': '%s'", users[i]);
                (void) snprintf(message, sizeof(message), "%s'%s'", rule, users[i]);
                check_fields(&c, 1, true);
        }
}

static void test_limits(void **state)
{
        static const Case cases[] = {
                { ", 'limits': {'memory': '64 MiB'}", "containers[0].limits.memory",
                                "expected " SIZE_RULE ", found '64 MiB'" },
                { ", 'limits': {'memory': 0}", "containers[0].limits.memory",
                                "must be at least 1048576 bytes" },
                { ", 'limits': {'memory': 64.5}", "containers[0].limits.memory",
                                "expected " SIZE_RULE ", found the number 64.5" },
                { ", 'limits': {'memory': '99999999TiB'}", "containers[0].limits.memory",
                                "must be at most 9223372036854775807 bytes" },
                { ", 'limits': {'memory': '16777215TiB'}", "containers[0].limits.memory",
                                "must be at most 9223372036854775807 bytes" },
                { ", 'limits': {'pids': 0}", "containers[0].limits.pids", "must be at least 1" },
                { ", 'limits': {'pids': -5}", "containers[0].limits.pids",
                                "expected a whole number, found the number -5" },
                { ", 'limits': {'pids': '100'}", "containers[0].limits.pids",
                                "expected a whole number, found the text '100'" },
                { ", 'limits': {'cpu': 'half'}", "containers[0].limits.cpu",
                                "expected " CPU_RULE ", found 'half'" },
                { ", 'limits': {'cpu': 0}", "containers[0].limits.cpu",
                                "must be 0.01 to 10000000 CPUs" },
                { ", 'limits': {'cpu': -0.5}", "containers[0].limits.cpu",
                                "expected " CPU_RULE ", found the number -0.5" },
                { ", 'limits': {'cpu': 0.001}", "containers[0].limits.cpu",
                                "must be 0.01 to 10000000 CPUs" },
                { ", 'limits': {'cpu': {}}", "containers[0].limits.cpu.quota", "is required" },
                { ", 'limits': {'cpu': {'quota': '50ms', 'period': '2s'}}",
                                "containers[0].limits.cpu.period", "must be at most 1s" },
                { ", 'limits': {'cpu': {'quota': '50ms', 'perid': '2s'}}",
                                "containers[0].limits.cpu.perid",
                                "unknown field 'perid', did you mean 'period'?" },
                { ", 'limits': {'cpu': []}", "containers[0].limits.cpu",
                                "expected " CPU_RULE ", found a list" },
                { ", 'limits': {'disk': 1}", "containers[0].limits.disk", "unknown field 'disk'" },
        };

        check_fields(cases, ARRAY_SIZE(cases), true);
}

static void test_mounts(void **state)
{
        static const Case cases[] = {
                { ", 'mounts': [{'volume': 'data'}]", "containers[0].mounts[0].path",
                                "is required" },
                { ", 'mounts': [{'path': '/data'}]", "containers[0].mounts[0].volume",
                                "is required" },
                { ", 'mounts': [{'volume': 'data', 'path': 'data'}]",
                                "containers[0].mounts[0].path",
                                "'data' is no absolute path: it must begin with '/'" },
                { ", 'mounts': [{'volume': 'data', 'path': '//'}]", "containers[0].mounts[0].path",
                                "a volume cannot be mounted over the root" },
                { ", 'mounts': [{'volume': 'data', 'path': '/proc/x'}]",
                                "containers[0].mounts[0].path",
                                "a volume cannot be mounted at '/proc/x': /proc is made by tank" },
                { ", 'mounts': [{'volume': 'data', 'path': '/dev/'}]",
                                "containers[0].mounts[0].path",
                                "a volume cannot be mounted at '/dev': /dev is made by tank" },
                { ", 'mounts': [{'volume': 'data', 'path': '/d', 'read_only': 'yes'}]",
                                "containers[0].mounts[0].read_only",
                                "expected true or false, found the text 'yes'" },
                { ", 'mounts': [{'volume': 'data', 'path': '/d', 'subpath': 'x'}]",
                                "containers[0].mounts[0].subpath", LATER, NOT_SUPPORTED },
                { ", 'mounts': [{'volume': 'dta', 'path': '/d'}]", "containers[0].mounts[0].volume",
                                "no volume 'dta' is declared under volumes, did you mean 'data'?" },
                { ", 'mounts': [{'volume': 'other', 'path': '/d'}]",
                                "containers[0].mounts[0].volume",
                                "no volume 'other' is declared under volumes" },
                { ", 'mounts': [{'volume': 'data', 'path': '/d'}, "
                  "{'volume': 'logs', 'path': '/d/./'}]",
                                "containers[0].mounts[1].path",
                                "'/d' is there twice, first in containers[0].mounts[0]" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *text =
                                pod_text(", 'volumes': [{'name': 'data'}, {'name': 'logs'}]",
                                                cases[i].document);
                CLEANUP_JSON json_t *doc = document_from(text);

                expect_error(doc, SPEC_DEFAULT, &cases[i]);
        }
}

static void test_security(void **state)
{
        static const Case cases[] = {
                { ", 'security': {'capabilities': {'add': ['net_raw']}}",
                                "containers[0].security.capabilities.add[0]",
                                "'net_raw' is no capability; write one like CAP_NET_RAW, or ALL" },
                { ", 'security': {'capabilities': ['CAP_NET_RAW']}",
                                "containers[0].security.capabilities",
                                "expected a map, found a list" },
                { ", 'security': {'capabilities': {'add': ['KILL'], 'drop': ['ALL', 'CAP_KILL']}}",
                                "containers[0].security.capabilities.drop[1]",
                                "CAP_KILL is both added and dropped" },
                { ", 'security': {'seccomp': 'off'}", "containers[0].security.seccomp",
                                "expected default or unconfined or a map, found 'off'" },
                { ", 'security': {'seccomp': {'file': 'profile.json'}}",
                                "containers[0].security.seccomp.file",
                                "'profile.json' is no absolute path: it must begin with '/'" },
                { ", 'security': {'no_new_privileges': 0}",
                                "containers[0].security.no_new_privileges",
                                "expected true or false, found the number 0" },
                { ", 'security': {'privileged': true}", "containers[0].security.privileged",
                                "unknown field 'privileged'" },
        };

        check_fields(cases, ARRAY_SIZE(cases), true);
}

static void test_order(void **state)
{
        static const char twice[] = "{'name': 'web', 'containers': ["
                                    "{'name': 'a', 'image': {'rootfs': '/x'}, 'args': ['x']}, "
                                    "{'name': 'b', 'image': {'rootfs': '/x'}, 'args': ['x']}, "
                                    "{'name': 'a', 'image': {'rootfs': '/x'}, 'args': ['x']}]}";
        static const Case cases[] = {
                /* In the order of the document… */
                { "{'restart': 'x', 'name': '/'}", "restart",
                                "expected always, on-failure or never, found 'x'" },
                { "{'name': '/', 'restart': 'x'}", "name", "'/' is no valid name: " NAME_RULE },
                /* …what is missing after what is wrong… */
                { "{'restart': 'x'}", "restart",
                                "expected always, on-failure or never, found 'x'" },
                /* …and what only two fields together can get wrong at the end. */
                { "{'name': 'web', 'backoff': {'base': '10m'}, 'containers': []}", "containers",
                                "needs at least 1, found an empty list" },
                { twice, "containers[2].name", "'a' is there twice, first in containers[0]" },
        };

        check_documents(cases, ARRAY_SIZE(cases), SPEC_DEFAULT);
}

static void test_strict_entry(void **state)
{
        static const Case cases[] = {
                { "{'name': 'web', 'grace': 10}", "grace",
                                "a duration needs a unit: write \"10s\" or \"10ms\"" },
                { "{'name': 'web', 'backoff': {'cap': 300}}", "backoff.cap",
                                "a duration needs a unit: write \"300s\" or \"300ms\"" },
                { "{'name': 'web', 'containers': [{'limits': {'cpu': {'quota': 50000}}}]}",
                                "containers[0].limits.cpu.quota",
                                "a duration needs a unit: write \"50000s\" or \"50000ms\"" },
        };

        check_documents(cases, ARRAY_SIZE(cases), SPEC_STRICT_ENTRY);
}

/* What is too much: built here, as it is too long to be written. */
static json_t *pod_with_list(const char *key, size_t n, const char *element)
{
        CLEANUP_FREE char *text = pod_text("", "");
        json_t *doc = document_from(text), *list = json_array();
        json_t *container = json_array_get(json_object_get(doc, "containers"), 0);

        for (size_t i = 0; i < n; i++)
                assert_int_equal(json_array_append_new(list, document_from(element)), 0);
        assert_int_equal(json_object_set_new(container, key, list), 0);
        return doc;
}

static void test_bounds(void **state)
{
        static const Case mounts = { "65 mounts", "containers[0].mounts",
                "has 65 entries, and may have at most 64" };
        static const Case argv = { "argv of more than 2 MiB", "containers[0]",
                "command, args and env have 2097156 bytes, and may have at most 2097152",
                TANK_ERROR_TOO_LARGE };
        static const Case document = { "a document of more than 1 MiB", "",
                "the document has 1200137 bytes, and may have at most 1048576",
                TANK_ERROR_TOO_LARGE };
        static const Case path = { "a long path", "containers[0].working_dir",
                "a path has at most 4095 bytes" };
        static const char element[] = "{'volume': 'a', 'path': '/a'}";
        char long_path[LIMIT_PATH_MAX + 2];
        json_t *doc;

        doc = pod_with_list("mounts", LIMIT_MOUNTS + 1, element);
        expect_error(doc, SPEC_DEFAULT, &mounts);
        json_decref(doc);

        /* "run" and its NUL are four bytes, each empty argument is one. */
        doc = pod_with_list("args", LIMIT_ARGV_ENV_MAX, "''");
        expect_error(doc, SPEC_DEFAULT, &argv);
        json_decref(doc);

        doc = pod_with_list("args", 400000, "''");
        expect_error(doc, SPEC_DEFAULT, &document);
        json_decref(doc);

        memset(long_path, 'a', sizeof(long_path));
        long_path[0] = '/';
        long_path[sizeof(long_path) - 1] = '\0';
        doc = pod_with_list("args", 0, "");
        json_object_set_new(json_array_get(json_object_get(doc, "containers"), 0), "working_dir",
                        json_string(long_path));
        expect_error(doc, SPEC_DEFAULT, &path);
        json_decref(doc);
}

static void test_too_many(void **state)
{
        static const Case containers = { "33 containers", "containers",
                "has 33 entries, and may have at most 32" };
        static const Case labels = { "65 labels", "labels",
                "has 65 entries, and may have at most 64" };
        static const Case annotations = { "annotations beyond 64 KiB", "annotations",
                "all annotations together have 65537 bytes, and may have at most 65536",
                TANK_ERROR_TOO_LARGE };
        CLEANUP_JSON json_t *doc = document_from("{'name': 'web'}");
        CLEANUP_FREE char *text = malloc(LIMIT_ANNOTATIONS_MAX + 1);
        json_t *list = json_array(), *map = json_object();

        for (size_t i = 0; i < LIMIT_CONTAINERS + 1; i++)
                json_array_append_new(list, json_object());
        json_object_set_new(doc, "containers", list);
        expect_error(doc, SPEC_DEFAULT, &containers);

        json_object_del(doc, "containers");
        for (size_t i = 0; i < LIMIT_LABELS + 1; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "k%zu", i);
                json_object_set_new(map, key, json_string("v"));
        }
        json_object_set_new(doc, "labels", map);
        expect_error(doc, SPEC_DEFAULT, &labels);

        json_object_del(doc, "labels");
        memset(text, 'a', LIMIT_ANNOTATIONS_MAX);
        text[LIMIT_ANNOTATIONS_MAX] = '\0';
        map = json_object();
        json_object_set_new(map, "k", json_string(text));
        json_object_set_new(doc, "annotations", map);
        expect_error(doc, SPEC_DEFAULT, &annotations);
}

/* Whatever a document contains: the error is valid UTF-8 without control characters, and fits. */
static void test_hostile_text(void **state)
{
        static const char *const pieces[] = { "\u00e9", "\u20ac", "\U0001F600", "\x1b[31m", "\n" };

        for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
                CLEANUP_JSON json_t *doc = json_object(), *env = json_object(), *normal = NULL;
                char key[2000] = "=";
                SpecError error = { 0 };

                for (size_t n = i; n + 8 < sizeof(key); n = strlen(key))
                        strcat(key, pieces[i]);
                json_object_set_new(doc, key, json_null());
                assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, &error), -EINVAL);
                assert_true(error.at_key);
                assert_true(utf8_is_valid(error.path, strlen(error.path)));
                assert_true(utf8_is_valid(error.message, strlen(error.message)));
                for (const char *p = error.message; *p; p++)
                        assert_true((unsigned char) *p >= 0x20);
                for (const char *p = error.path; *p; p++)
                        assert_true((unsigned char) *p >= 0x20);
        }
}

static void test_place(void **state)
{
        CLEANUP_JSON json_t *key = document_from("{'imge': 1}"),
                            *value = document_from("{'name': 1}");
        json_t *normal = NULL;
        SpecError error;

        assert_int_equal(spec_normalize(key, SPEC_DEFAULT, &normal, &error), -EINVAL);
        assert_true(error.at_key);
        assert_int_equal(spec_normalize(value, SPEC_DEFAULT, &normal, &error), -EINVAL);
        assert_false(error.at_key);
        assert_int_equal(spec_normalize(value, SPEC_DEFAULT, &normal, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_documents),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_pod_fields),
                cmocka_unit_test(test_volumes),
                cmocka_unit_test(test_containers),
                cmocka_unit_test(test_users),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_mounts),
                cmocka_unit_test(test_security),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_strict_entry),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_hostile_text),
                cmocka_unit_test(test_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
