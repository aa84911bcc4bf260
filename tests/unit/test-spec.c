/* SPDX-License-Identifier: Apache-2.0 */

/* The stored form of what is accepted, the model that programs get, the fields that need a right,
 * and that each field of the table which does not work yet is refused by its name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <signal.h>

#include "error.h"
#include "spec-table.h"
#include "spec-util.h"
#include "strv.h"

static const char everything[] =
                "{'restart': 'on-failure', 'name': 'web', 'kind': 'pod', 'namespace': 'prod',"
                " 'labels': {'app': 'web', 'example.org/tier': 'front'},"
                " 'annotations': {'note': 'two\\nlines'},"
                " 'backoff': {'base': '250ms', 'cap': '1m30s', 'reset': '1h'},"
                " 'grace': '5s', 'network': 'host', 'security': {'userns': 'auto'},"
                " 'volumes': [{'name': 'data'},"
                "  {'name': 'conf', 'source': {'host': '/etc//web/'}, 'idmap': 'off'},"
                "  {'name': 'more', 'source': 'managed', 'idmap': 'required'}],"
                " 'containers': [{'name': 'app', 'image': {'rootfs': '/srv/root'},"
                "   'command': ['redis-server'], 'args': ['--appendonly', 'yes'],"
                "   'env': {'PATH': '/bin', 'A': '', 'PA': 'x=y'}, 'working_dir': '/data/./x',"
                "   'user': 999, 'groups': ['wheel', 20], 'tty': true, 'init': 'none',"
                "   'mounts': [{'volume': 'data', 'path': '/data'},"
                "     {'volume': 'conf', 'path': '/etc/web/', 'read_only': true}],"
                "   'limits': {'memory': '256MiB', 'pids': 100, 'cpu': 0.5},"
                "   'stop': {'signal': 3, 'grace': '2s'},"
                "   'security': {'capabilities': {'add': ['NET_RAW'], 'drop': ['ALL']},"
                "     'seccomp': {'file': '/etc/profile.json'}, 'no_new_privileges': false},"
                "   'log': {'driver': 'file', 'max_size': '1MB', 'max_files': 2}},"
                "  {'name': 'side', 'image': {'rootfs': '/srv/side'}, 'args': ['/bin/side']}]}";

/* Keys sorted, integers only. */
static const char everything_stored[] =
                "{'annotations':{'note':'two\\nlines'},"
                "'backoff':{'base':250000,'cap':90000000,'reset':3600000000},"
                "'containers':[{'args':['--appendonly','yes'],'command':['redis-server'],"
                "'env':{'A':'','PA':'x=y','PATH':'/bin'},'groups':['wheel','20'],"
                "'image':{'rootfs':'/srv/root'},'init':'none',"
                "'limits':{'cpu':{'period':100000,'quota':50000},'memory':268435456,'pids':100},"
                "'log':{'driver':'file','max_files':2,'max_size':1000000},"
                "'mounts':[{'path':'/data','volume':'data'},"
                "{'path':'/etc/web','read_only':true,'volume':'conf'}],'name':'app',"
                "'security':{'capabilities':{'add':['CAP_NET_RAW'],'drop':['ALL']},"
                "'no_new_privileges':false,'seccomp':{'file':'/etc/profile.json'}},"
                "'stop':{'grace':2000000,'signal':'SIGQUIT'},'tty':true,'user':'999',"
                "'working_dir':'/data/x'},"
                "{'args':['/bin/side'],'image':{'rootfs':'/srv/side'},'name':'side'}],"
                "'grace':5000000,'kind':'pod','labels':{'app':'web','example.org/tier':'front'},"
                "'name':'web','namespace':'prod','network':'host','restart':'on-failure',"
                "'security':{'userns':'auto'},"
                "'volumes':[{'name':'data'},{'idmap':'off','name':'conf','source':{'host':'/etc/"
                "web'}},"
                "{'idmap':'required','name':'more','source':'managed'}]}";

static void assert_stored(const char *text, const char *wanted)
{
        CLEANUP_FREE char *stored = normal_form(text), *json = strdup(wanted);

        for (char *p = json; *p; p++)
                if (*p == '\'')
                        *p = '"';
        assert_string_equal(stored, json);
}

static void test_stored_form(void **state)
{
        assert_stored(everything, everything_stored);
        /* Twice is as once. */
        assert_stored(everything_stored, everything_stored);
        /* Nothing but the type and the namespace is added. */
        assert_stored("{'name': 'a', 'containers': [{'name': 'b', 'image': {'rootfs': '/'},"
                      " 'command': ['c']}]}",
                        "{'containers':[{'command':['c'],'image':{'rootfs':'/'},'name':'b'}],"
                        "'kind':'pod','name':'a','namespace':'default'}");
}

static void test_values(void **state)
{
        static const struct {
                const char *given, *stored;
        } cases[] = {
                { "'limits': {'cpu': '0.5'}", "'limits':{'cpu':{'period':100000,'quota':50000}}" },
                { "'limits': {'cpu': 2}", "'limits':{'cpu':{'period':100000,'quota':200000}}" },
                { "'limits': {'cpu': 0.1}", "'limits':{'cpu':{'period':100000,'quota':10000}}" },
                { "'limits': {'cpu': {'quota': '50ms'}}",
                                "'limits':{'cpu':{'period':100000,'quota':50000}}" },
                { "'limits': {'cpu': {'quota': 5000, 'period': '10ms'}}",
                                "'limits':{'cpu':{'period':10000,'quota':5000}}" },
                { "'limits': {'memory': 67108864}", "'limits':{'memory':67108864}" },
                { "'limits': {'memory': '67108864'}", "'limits':{'memory':67108864}" },
                { "'limits': {}", "'limits':{}" },
                { "'stop': {'signal': 'RTMIN+3'}", "'stop':{'signal':'SIGRTMIN+3'}" },
                { "'stop': {'signal': 'KILL'}", "'stop':{'signal':'SIGKILL'}" },
                { "'stop': {'grace': '0s'}", "'stop':{'grace':0}" },
                { "'stop': {'grace': 1500}", "'stop':{'grace':1500}" },
                { "'user': '0'", "'user':'0'" },
                { "'user': '65533:65533'", "'user':'65533:65533'" },
                { "'user': 'www-data'", "'user':'www-data'" },
                { "'working_dir': '//'", "'working_dir':'/'" },
                { "'working_dir': '/a..b/...'", "'working_dir':'/a..b/...'" },
                { "'security': {'seccomp': 'unconfined'}", "'security':{'seccomp':'unconfined'}" },
                { "'env': {}", "'env':{}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char given[200], stored[200];
                CLEANUP_FREE char *text = NULL, *form = NULL;
                const char *found;

                (void) snprintf(given, sizeof(given), ", %s", cases[i].given);
                (void) snprintf(stored, sizeof(stored), "%s", cases[i].stored);
                for (char *p = stored; *p; p++)
                        if (*p == '\'')
                                *p = '"';
                text = pod_text("", given);
                form = normal_form(text);
                found = strstr(form, stored);
                if (!found)
                        fail_msg("%s gives %s", cases[i].given, form);
                free(text);
                text = TAKE_PTR(form);
                form = normal_form(text);
                assert_string_equal(form, text);
        }
        assert_stored("{'kind': 'namespace', 'name': 'prod', 'labels': {'a': 'b'}}",
                        "{'kind':'namespace','labels':{'a':'b'},'name':'prod'}");
}

/* Types that tank does not know are kept as they are, but for what all have in common. */
static void test_free_types(void **state)
{
        assert_stored("{'kind': 'scaling_operation', 'name': 'x', 'by': 1.5, 'of': [null, {}],"
                      " 'state': 'running', 'grace': '10s'}",
                        "{'by':1.5,'grace':'10s','kind':'scaling_operation','name':'x',"
                        "'namespace':'default','of':[null,{}],'state':'running'}");
        assert_stored("{'kind': 'service', 'name': 'x', 'namespace': 'prod'}",
                        "{'kind':'service','name':'x','namespace':'prod'}");
}

static void test_input_is_untouched(void **state)
{
        CLEANUP_JSON json_t *doc = document_from(everything), *copy = json_deep_copy(doc);
        CLEANUP_JSON json_t *normal = NULL;

        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, NULL), 0);
        assert_true(json_equal(doc, copy));
}

static void test_strict_entry(void **state)
{
        CLEANUP_JSON json_t *doc = document_from(everything), *strict = NULL, *other = NULL;

        assert_int_equal(spec_normalize(doc, SPEC_STRICT_ENTRY, &strict, NULL), 0);
        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &other, NULL), 0);
        assert_true(json_equal(strict, other));
}

static void test_present(void **state)
{
        CLEANUP_JSON json_t *doc = document_from(everything_stored), *shown = NULL, *again = NULL;
        CLEANUP_JSON json_t *free_type =
                        document_from("{'kind': 'thing', 'name': 'x', 'grace': 5000000}");
        CLEANUP_JSON json_t *free_shown = NULL;
        const json_t *limits;

        assert_int_equal(spec_present(doc, &shown), 0);
        assert_string_equal(json_get_string(shown, "grace"), "5s");
        limits = json_object_get(json_array_get(json_object_get(shown, "containers"), 0), "limits");
        assert_string_equal(json_get_string(limits, "memory"), "256MiB");
        assert_string_equal(json_get_string(json_object_get(limits, "cpu"), "quota"), "50ms");
        assert_int_equal(json_get_int(limits, "pids", 0), 100);

        assert_int_equal(spec_normalize(shown, SPEC_STRICT_ENTRY, &again, NULL), 0);
        assert_true(json_equal(again, doc));

        assert_int_equal(spec_present(free_type, &free_shown), 0);
        assert_true(json_equal(free_type, free_shown));
}

static void test_model(void **state)
{
        CLEANUP_JSON json_t *doc = document_from(everything_stored);
        CLEANUP(pod_freep) Pod *p = NULL;
        const Container *c;

        assert_int_equal(pod_from_document(doc, &p), 0);
        assert_string_equal(p->name, "web");
        assert_string_equal(p->namespace, "prod");
        assert_int_equal(p->restart, RESTART_ON_FAILURE);
        assert_int_equal(p->backoff_base_usec, 250000);
        assert_int_equal(p->backoff_cap_usec, 90 * USEC_PER_SEC);
        assert_int_equal(p->backoff_reset_usec, 3600 * USEC_PER_SEC);
        assert_int_equal(p->network, NETWORK_HOST);
        assert_false(p->userns_host);

        assert_int_equal(p->n_volumes, 3);
        assert_null(pod_find_volume(p, "data")->host_path);
        assert_false(pod_find_volume(p, "data")->idmap_off);
        assert_string_equal(pod_find_volume(p, "conf")->host_path, "/etc/web");
        assert_true(pod_find_volume(p, "conf")->idmap_off);
        assert_null(pod_find_volume(p, "more")->host_path);
        assert_true(pod_find_volume(p, "more")->idmap_required);
        assert_null(pod_find_volume(p, "none"));

        assert_int_equal(p->n_containers, 2);
        assert_null(pod_find_container(p, "none"));
        c = pod_find_container(p, "app");
        assert_ptr_equal(c, &p->containers[0]);
        assert_string_equal(c->rootfs, "/srv/root");
        assert_true(strv_equal(c->command, (char *[]){ (char *) "redis-server", NULL }));
        assert_true(strv_equal(
                        c->args, (char *[]){ (char *) "--appendonly", (char *) "yes", NULL }));
        assert_true(strv_equal(c->env, (char *[]){ (char *) "A=", (char *) "PA=x=y",
                                                       (char *) "PATH=/bin", NULL }));
        assert_string_equal(c->working_dir, "/data/x");
        assert_string_equal(c->user, "999");
        assert_true(strv_equal(c->groups, (char *[]){ (char *) "wheel", (char *) "20", NULL }));
        assert_true(c->tty);
        assert_int_equal(c->init, INIT_NONE);
        assert_int_equal(c->n_mounts, 2);
        assert_string_equal(c->mounts[1].volume, "conf");
        assert_string_equal(c->mounts[1].path, "/etc/web");
        assert_true(c->mounts[1].read_only);
        assert_false(c->mounts[0].read_only);
        assert_int_equal(c->limits.memory, 256 << 20);
        assert_int_equal(c->limits.pids, 100);
        assert_int_equal(c->limits.cpu_quota, 50000);
        assert_int_equal(c->limits.cpu_period, 100000);
        assert_int_equal(c->stop_signal, SIGQUIT);
        assert_int_equal(c->stop_grace_usec, 2 * USEC_PER_SEC);
        assert_true(strv_equal(c->cap_add, (char *[]){ (char *) "CAP_NET_RAW", NULL }));
        assert_true(strv_equal(c->cap_drop, (char *[]){ (char *) "ALL", NULL }));
        assert_false(c->seccomp_unconfined);
        assert_string_equal(c->seccomp_file, "/etc/profile.json");
        assert_false(c->no_new_privileges);
        assert_int_equal(c->log_max_size, 1000000);
        assert_int_equal(c->log_max_files, 2);
        /* The pod's grace is its containers' default. */
        assert_int_equal(p->containers[1].stop_grace_usec, 5 * USEC_PER_SEC);
}

static void test_model_of_init(void **state)
{
        CLEANUP_FREE char *text = pod_text(
                        ", 'hostname': 'web.example.org', 'extra_hosts': {'z': '10.0.0.1', "
                        "'a': 'FD00::0:1'}, 'grace': '3s', 'init_containers': ["
                        "{'name': 'one', 'image': {'rootfs': '/r'}, 'command': ['a']},"
                        "{'name': 'two', 'image': {'rootfs': '/r'}, 'command': ['b'],"
                        "'limits': {'pids': 5}}]",
                        "");
        CLEANUP_JSON json_t *doc = document_from(text), *normal = NULL, *again = NULL;
        CLEANUP(pod_freep) Pod *p = NULL;

        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, NULL), 0);
        assert_int_equal(spec_normalize(normal, SPEC_DEFAULT, &again, NULL), 0);
        assert_true(json_equal(normal, again));
        assert_int_equal(pod_from_document(normal, &p), 0);
        assert_string_equal(p->hostname, "web.example.org");
        assert_true(strv_equal(p->extra_hosts,
                        (char *[]){ (char *) "fd00::1 a", (char *) "10.0.0.1 z", NULL }));
        assert_int_equal(p->n_init, 2);
        assert_int_equal(p->n_containers, 3);
        assert_string_equal(p->containers[0].name, "one");
        assert_string_equal(p->containers[1].name, "two");
        assert_int_equal(p->containers[1].limits.pids, 5);
        assert_int_equal(p->containers[0].stop_grace_usec, 3 * USEC_PER_SEC);
        assert_ptr_equal(pod_find_container(p, "two"), &p->containers[1]);
}

static void test_defaults(void **state)
{
        CLEANUP_FREE char *text = pod_text(", 'volumes': [{'name': 'data'}]", "");
        CLEANUP_JSON json_t *doc = document_from(text), *normal = NULL;
        CLEANUP(pod_freep) Pod *p = NULL;
        const Container *c;

        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, NULL), 0);
        assert_int_equal(pod_from_document(normal, &p), 0);
        assert_string_equal(p->namespace, "default");
        assert_int_equal(p->restart, RESTART_ALWAYS);
        assert_int_equal(p->backoff_base_usec, 10 * USEC_PER_SEC);
        assert_int_equal(p->backoff_cap_usec, 300 * USEC_PER_SEC);
        assert_int_equal(p->backoff_reset_usec, 600 * USEC_PER_SEC);
        assert_int_equal(p->network, NETWORK_NONE);
        assert_string_equal(p->hostname, p->name);
        assert_null(p->extra_hosts);
        assert_int_equal(p->n_init, 0);
        assert_false(p->userns_host);
        assert_false(p->volumes[0].idmap_off);
        assert_false(p->volumes[0].idmap_required);
        c = &p->containers[0];
        assert_null(c->args);
        assert_null(c->env);
        assert_null(c->working_dir);
        assert_null(c->user);
        assert_null(c->groups);
        assert_false(c->tty);
        assert_int_equal(c->init, INIT_TANK);
        assert_int_equal(c->n_mounts, 0);
        assert_int_equal(c->limits.memory, 0);
        assert_int_equal(c->limits.pids, 0);
        assert_int_equal(c->limits.cpu_quota, 0);
        assert_int_equal(c->limits.cpu_period, 100000);
        assert_int_equal(c->stop_signal, SIGTERM);
        assert_int_equal(c->stop_grace_usec, 10 * USEC_PER_SEC);
        assert_null(c->cap_add);
        assert_null(c->cap_drop);
        assert_false(c->seccomp_unconfined);
        assert_null(c->seccomp_file);
        assert_true(c->no_new_privileges);
        assert_int_equal(c->log_max_size, 5000000);
        assert_int_equal(c->log_max_files, 5);
}

/* What is no pod in the stored form is refused, not half understood. */
static void test_model_refuses(void **state)
{
        static const char *const texts[] = {
                "{}",
                "{'kind': 'namespace', 'name': 'a'}",
                "{'kind': 'pod', 'name': 'a', 'namespace': 'b'}",
                "{'kind': 'pod', 'name': 'a', 'namespace': 'b', 'containers': [{'name': 'c'}]}",
                "{'kind': 'pod', 'name': 'a', 'namespace': 'b', 'restart': 'x', 'containers':"
                " [{'name': 'c', 'image': {'rootfs': '/'}}]}",
                "{'kind': 'pod', 'name': 'a', 'namespace': 'b', 'containers':"
                " [{'name': 'c', 'image': {'rootfs': '/'}, 'args': [1]}]}",
                "{'kind': 'pod', 'name': 'a', 'namespace': 'b', 'containers':"
                " [{'name': 'c', 'image': {'rootfs': '/'}, 'stop': {'signal': 'x'}}]}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                CLEANUP_JSON json_t *doc = document_from(texts[i]);
                CLEANUP(pod_freep) Pod *p = NULL;

                assert_int_equal(pod_from_document(doc, &p), -EINVAL);
                assert_null(p);
        }
}

static void test_privileged(void **state)
{
        static const struct {
                const char *pod, *container, *path;
        } cases[] = {
                { "", "", "containers[0].image.rootfs" },
                { ", 'network': 'none'", "", "containers[0].image.rootfs" },
                { ", 'network': 'host'", "", "network" },
                { ", 'volumes': [{'name': 'a'}, {'name': 'b', 'source': 'managed'}]", "",
                                "containers[0].image.rootfs" },
                { ", 'volumes': [{'name': 'a'}, {'name': 'b', 'source': {'host': '/x'}}]", "",
                                "volumes[1].source.host" },
        };
        /* Without a rootfs, which is privileged by itself. */
        static const struct {
                const char *document, *path;
        } stored[] = {
                { "{'kind': 'pod', 'containers': [{'name': 'a'}]}", NULL },
                { "{'kind': 'pod', 'security': {'userns': 'auto'}}", NULL },
                { "{'kind': 'pod', 'security': {'userns': 'host'}}", "security.userns" },
                { "{'kind': 'pod', 'containers': [{}, {'security': {'capabilities':"
                  " {'drop': ['ALL'], 'add': []}}}]}",
                                NULL },
                { "{'kind': 'pod', 'containers': [{}, {'security': {'capabilities':"
                  " {'drop': ['ALL'], 'add': ['CAP_CHOWN']}}}]}",
                                "containers[1].security.capabilities.add" },
                { "{'kind': 'pod', 'containers': [{'security': {'seccomp': 'default'}}]}", NULL },
                { "{'kind': 'pod', 'containers': [{'security': {'seccomp': 'unconfined'}}]}",
                                "containers[0].security.seccomp" },
                { "{'kind': 'pod', 'containers': [{'security': {'seccomp': {'file': '/x'}}}]}",
                                "containers[0].security.seccomp.file" },
                { "{'kind': 'pod', 'containers': [{'security': {'no_new_privileges': true}}]}",
                                NULL },
                { "{'kind': 'pod', 'containers': [{'security': {'no_new_privileges': false}}]}",
                                "containers[0].security.no_new_privileges" },
                { "{'kind': 'thing', 'network': 'host'}", NULL },
        };
        char path[256];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *text = pod_text(cases[i].pod, cases[i].container);
                CLEANUP_FREE char *form = normal_form(text);
                CLEANUP_JSON json_t *doc = document_from(form);

                assert_string_equal(spec_privileged_field(doc, path), cases[i].path);
        }
        for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
                CLEANUP_JSON json_t *doc = document_from(stored[i].document);
                const char *found = spec_privileged_field(doc, path);

                if (!streq_ptr(found, stored[i].path))
                        fail_msg("%s: %s", stored[i].document, found ? found : "(none)");
        }
}

/* --- the table itself ------------------------------------------------------------------------ */

/* Puts @value into @doc at @steps, making the maps and lists on the way: the shortest document
 * that uses a field. */
static json_t *document_with(const SpecField *const *steps, size_t n, json_t *value)
{
        for (size_t i = n; i > 0; i--) {
                json_t *object = json_object();

                if (steps[i - 1]->list) {
                        json_t *list = json_array();

                        assert_int_equal(json_array_append_new(list, value), 0);
                        value = list;
                }
                /* The values of `env` have names of their own. */
                if (steps[i - 1]->kind == SPEC_ENVIRONMENT && i < n) {
                        json_t *map = json_object();

                        assert_int_equal(json_object_set_new(map, "A", value), 0);
                        value = map;
                }
                assert_int_equal(json_object_set_new(object, steps[i - 1]->name, value), 0);
                value = object;
        }
        return value;
}

typedef struct TableCount {
        size_t fields, later;
} TableCount;

static void check_later(const SpecField *const *steps, size_t n, const char *path)
{
        CLEANUP_JSON json_t *doc = document_with(steps, n, json_true()), *normal = NULL;
        SpecError error = { 0 };

        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, &error), -EOPNOTSUPP);
        assert_string_equal(error.name, TANK_ERROR_NOT_SUPPORTED);
        assert_string_equal(error.path, path);
        assert_non_null(strstr(error.message, "not supported yet"));
}

static void walk(const SpecField *fields, const SpecField **steps, size_t n, const char *prefix,
                TableCount *count)
{
        for (const SpecField *f = fields; f->name; f++) {
                char path[256];

                assert_true(n < 8);
                steps[n] = f;
                (void) snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", f->name);
                count->fields++;

                /* Each name once. */
                for (const SpecField *other = fields; other < f; other++)
                        assert_string_not_equal(other->name, f->name);
                if (f->later) {
                        count->later++;
                        check_later(steps, n + 1, path);
                        continue; /* what is within it is never reached */
                }
                assert_int_not_equal(f->kind, SPEC_OTHER);
                if (f->kind == SPEC_WORD)
                        assert_non_null(f->words);
                if (f->fields) {
                        size_t used = strlen(path);

                        (void) snprintf(path + used, sizeof(path) - used, "%s%s",
                                        f->list ? "[0]" : "",
                                        f->kind == SPEC_ENVIRONMENT ? ".A" : "");
                        walk(f->fields, steps, n + 1, path, count);
                }
        }
}

static void test_later_fields(void **state)
{
        const SpecField *steps[8];
        TableCount count = { 0 };

        walk(spec_find_type("pod")->fields, steps, 0, "", &count);
        /* The walk saw the table. */
        assert_true(count.fields > 90);
        assert_true(count.later > 40);
}

static void test_later_types(void **state)
{
        size_t later = 0;

        for (const SpecType *t = spec_types; t->name; t++) {
                CLEANUP_JSON json_t *doc = json_pack("{s:s, s:s}", "kind", t->name, "name", "a");
                CLEANUP_JSON json_t *normal = NULL;
                SpecError error = { 0 };

                if (!t->later)
                        continue;
                later++;
                assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, &error), -EOPNOTSUPP);
                assert_string_equal(error.path, "kind");
        }
        assert_int_equal(later, 1);
}

static void test_words(void **state)
{
        assert_true(spec_word_in("a|bc", "a"));
        assert_true(spec_word_in("a|bc", "bc"));
        assert_false(spec_word_in("a|bc", "b"));
        assert_false(spec_word_in("a|bc", "c"));
        assert_false(spec_word_in("a|bc", ""));
        assert_false(spec_word_in("a|bc", "a|bc"));
        assert_false(spec_word_in(NULL, "a"));
        assert_int_equal(network_mode_from_string("host"), NETWORK_HOST);
        assert_int_equal(network_mode_from_string("x"), -EINVAL);
        assert_string_equal(init_mode_to_string(INIT_NONE), "none");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stored_form),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_free_types),
                cmocka_unit_test(test_input_is_untouched),
                cmocka_unit_test(test_strict_entry),
                cmocka_unit_test(test_present),
                cmocka_unit_test(test_model),
                cmocka_unit_test(test_model_of_init),
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_model_refuses),
                cmocka_unit_test(test_privileged),
                cmocka_unit_test(test_later_fields),
                cmocka_unit_test(test_later_types),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
