/* SPDX-License-Identifier: Apache-2.0 */

/* Pod records: what is written is read back, what is damaged is refused, and the hashes and names
 * that are made for a launch. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "document.h"
#include "reconcile-launch.h"
#include "reconcile-entry.h"
#include "reconcile-record.h"

#define UID  "0123456789abcdef0123456789abcdef"
#define RUN  "fedcba9876543210fedcba9876543210"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static PodEntry *make_pod(void)
{
        PodEntry *p;
        ContainerEntry *a, *b;

        assert_int_equal(pod_entry_new(&p), 0);
        (void) snprintf(p->uid, sizeof(p->uid), UID);
        p->namespace = strdup("default");
        p->name = strdup("web");
        p->generation = 7;
        p->declared = true;
        p->sandbox = SANDBOX_READY;
        (void) snprintf(p->sandbox_hash, sizeof(p->sandbox_hash), HASH);
        p->id_base = 0x20010000;
        p->id_count = 65536;
        assert_int_equal(pod_add_container(p, "app", &a), 0);
        assert_int_equal(pod_add_container(p, "side-car", &b), 0);
        (void) snprintf(a->run, sizeof(a->run), RUN);
        (void) snprintf(a->launch_hash, sizeof(a->launch_hash), HASH);
        a->generation = 6;
        a->restarts = 3;
        a->failures = 2;
        a->creates_sandbox = a->init = true;
        (void) snprintf(a->hosts_hash, sizeof(a->hosts_hash), HASH);
        a->run_over = a->ended = a->stopped = a->finished = a->restart_wanted = true;
        a->ended_boot_usec = 12345;
        a->restart_boot_usec = 23456;
        a->used = calloc(2, sizeof(UsedObject));
        assert_non_null(a->used);
        a->used[0] = (UsedObject){ VALUE_SECRET, strdup("db"), 42, 0, false, "" };
        a->used[1] = (UsedObject){ VALUE_CONFIG, strdup("web-1"), UINT64_MAX, 43, false,
                "0123456789abcdef0123456789abcdef" };
        a->n_used = 2;
        a->update.refusals = 4;
        a->update.boot_usec = 34567;
        a->update.refusal = strdup("limits: no");
        assert_non_null(a->update.refusal);
        a->message = strdup("setup failed in exec: /no: No such file or directory");
        assert_non_null(a->message);
        a->limits = (Limits){ .memory = 1, .pids = 2, .cpu_quota = 3, .cpu_period = 4 };
        for (int i = 0; i < 7; i++)
                container_add_result(a, &(RunResult){ .kind = RESULT_EXITED,
                                                        .code = i,
                                                        .at_usec = 1000 + (uint64_t) i });
        container_add_result(a, &(RunResult){ .kind = RESULT_SETUP_FAILED,
                                                .code = 2,
                                                .stage = "root file system",
                                                .at_usec = 9 });
        return p;
}

static void test_round_trip(void **state)
{
        CLEANUP(pod_entry_freep) PodEntry *p = make_pod(), *q = NULL;
        char boot[ID128_SIZE];
        ContainerEntry *a, *b;
        RecordWriter w, v;

        assert_int_equal(pod_record_format(p, RUN, &w), 0);
        assert_int_equal(pod_entry_new(&q), 0);
        assert_int_equal(pod_record_parse(w.data, w.size, q, boot), 0);
        assert_string_equal(boot, RUN);
        assert_string_equal(q->uid, UID);
        assert_string_equal(q->namespace, "default");
        assert_string_equal(q->name, "web");
        assert_int_equal(q->generation, 7);
        assert_true(q->declared);
        assert_int_equal(q->sandbox, SANDBOX_READY);
        assert_int_equal(q->id_base, 0x20010000);
        assert_int_equal(q->id_count, 65536);
        assert_int_equal(q->n_containers, 2);
        a = pod_container(q, "app");
        b = pod_container(q, "side-car");
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(a->n_results, LIMIT_RESULTS);
        assert_int_equal(a->results[0].code, 3); /* the oldest went */
        assert_int_equal(a->results[4].kind, RESULT_SETUP_FAILED);
        assert_string_equal(a->results[4].stage, "root file system");
        assert_int_equal(a->failures, 2);
        assert_true(a->finished && a->restart_wanted && a->stopped && a->ended && a->run_over);
        assert_int_equal(a->limits.cpu_period, 4);
        assert_int_equal(a->update.refusals, 4);
        assert_int_equal(a->update.boot_usec, 34567);
        assert_int_equal(a->n_used, 2);
        assert_int_equal(a->used[0].source, VALUE_SECRET);
        assert_string_equal(a->used[1].name, "web-1");
        assert_int_equal(a->used[1].revision, UINT64_MAX);
        assert_int_equal(a->used[0].live_revision, 0);
        assert_int_equal(a->used[1].live_revision, 43);
        assert_string_equal(a->used[0].digest, "");
        assert_string_equal(a->used[1].digest, "0123456789abcdef0123456789abcdef");
        /* Nobody knows what it missed. */
        assert_true(a->used[0].unchecked && a->used[1].unchecked);
        assert_int_equal(b->n_used, 0);
        assert_string_equal(a->update.refusal, "limits: no");
        assert_null(b->update.refusal);
        assert_string_equal(a->message, "setup failed in exec: /no: No such file or directory");
        assert_null(b->message);
        assert_true(a->init && !b->init);
        assert_string_equal(a->hosts_hash, HASH);
        assert_string_equal(b->run, "");
        assert_false(b->ended);
        /* Everything: the same record comes out again. */
        assert_int_equal(pod_record_format(q, RUN, &v), 0);
        assert_int_equal(w.size, v.size);
        assert_memory_equal(w.data, v.data, w.size);
        record_done(&w);
        record_done(&v);
}

static int parse(const char *text, size_t size)
{
        CLEANUP(pod_entry_freep) PodEntry *q = NULL;
        char boot[ID128_SIZE];

        assert_int_equal(pod_entry_new(&q), 0);
        return pod_record_parse(text, size, q, boot);
}
#define PARSE(s) parse(s, sizeof(s))

#define HEAD "v=1\0pod_uid=" UID "\0namespace=n\0pod=p"

static void test_refused(void **state)
{
        assert_int_equal(PARSE(HEAD), 0);
        assert_int_equal(PARSE(HEAD "\0something=new\0container=c\0something=new"), 0);
        assert_int_equal(PARSE(HEAD "\0container=c\0hosts_hash=xyz"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=secret db 1 0"), 0);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=vault db 1 2"), 0);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=secret db"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=secret db 1"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=secret db x 1"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=secret db 1 x"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0used=secret ../db 1 1"), -EBADMSG);
        assert_int_equal(PARSE("v=2\0pod_uid=" UID "\0namespace=n\0pod=p"), -EPROTONOSUPPORT);
        assert_int_equal(parse(HEAD, sizeof(HEAD) - 1), -EBADMSG);
        assert_int_equal(parse("", 0), -EBADMSG);
        assert_int_equal(PARSE("v=1"), -EBADMSG);
        assert_int_equal(PARSE("v=1\0pod_uid=" UID "\0namespace=../x\0pod=p"), -EBADMSG);
        assert_int_equal(PARSE("v=1\0pod_uid=" UID "\0namespace=n\0pod=p/q"), -EBADMSG);
        assert_int_equal(PARSE("v=1\0pod_uid=/etc\0namespace=n\0pod=p"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0id_base=4294967296"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0sandbox_hash=xyz"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=.."), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0container=c"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0run=../../x"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0restarts=-1"), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0result=exploded 1 2 "), -EBADMSG);
        assert_int_equal(PARSE(HEAD "\0container=c\0result=exited"), -EBADMSG);
}

/* A record of before there were init containers and extra hosts: nobody is one, and nothing is in
 * force. */
static void test_older(void **state)
{
        static const char text[] = HEAD "\0declared=1\0sandbox_ready=1\0container=c\0run=" RUN
                                        "\0launch_hash=" HASH "\0generation=3\0sandbox=create"
                                        "\0restarts=2\0result=exited 3 99 ";
        CLEANUP(pod_entry_freep) PodEntry *p = NULL;
        char boot[ID128_SIZE];
        ContainerEntry *c;

        assert_int_equal(pod_entry_new(&p), 0);
        assert_int_equal(pod_record_parse(text, sizeof(text), p, boot), 0);
        c = pod_container(p, "c");
        assert_non_null(c);
        assert_false(c->init);
        assert_false(container_is_init(c));
        assert_string_equal(c->hosts_hash, "");
        assert_int_equal(c->restarts, 2);
        assert_int_equal(p->sandbox, SANDBOX_READY);
        assert_ptr_equal(pod_first_container(p), c);
}

/* Any cut and any flipped bit: refused or read, never more than that. */
static void test_damaged(void **state)
{
        CLEANUP(pod_entry_freep) PodEntry *p = make_pod();
        CLEANUP_FREE char *copy = NULL;
        RecordWriter w;

        assert_int_equal(pod_record_format(p, RUN, &w), 0);
        copy = malloc(w.size);
        assert_non_null(copy);
        for (size_t n = 0; n < w.size; n++)
                (void) parse(w.data, n);
        for (size_t i = 0; i < w.size * 8; i++) {
                memcpy(copy, w.data, w.size);
                copy[i / 8] = (char) (copy[i / 8] ^ (1 << (i % 8)));
                (void) parse(copy, w.size);
        }
        record_done(&w);
}

/* ---- hashes ---- */

static Desired *desire(const char *json)
{
        CLEANUP_JSON json_t *doc = NULL;
        CLEANUP_FREE char *sentence = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        Desired *d = NULL;
        Reason reason;

        assert_int_equal(document_parse(json, strlen(json), &doc, &error), 0);
        if (desired_new(doc, 1, &d, &reason, &sentence) < 0)
                fail_msg("%s: %s", json, sentence);
        return d;
}

#define POD_JSON(pod, container) \
        "{\"kind\":\"pod\",\"name\":\"p\"," pod "\"volumes\":[{\"name\":\"v\"},{\"name\":\"w\"}]," \
        "\"containers\":[{\"name\":\"a\",\"image\":{\"rootfs\":\"/" \
        "srv\"},\"command\":[\"x\"]" container "}]}"

#define VALUES_JSON(pod, source) \
        "{\"kind\":\"pod\",\"name\":\"p\"," pod "\"volumes\":[{\"name\":\"v\",\"source\":" source \
        "}],\"containers\":[{\"name\":\"a\",\"image\":{\"rootfs\":\"/srv\"}," \
        "\"command\":[\"x\"],\"mounts\":[{\"volume\":\"v\",\"path\":\"/v\"}]}]}"

#define INIT_JSON "{\"name\":\"i\",\"image\":{\"rootfs\":\"/srv\"},\"command\":[\"x\"]}"

/* Of the last container, which is no init container. */
static void compare(const char *one, const char *other, bool equal)
{
        CLEANUP(desired_freep) Desired *a = desire(one), *b = desire(other);

        if (streq(a->launch_hashes[a->pod->n_init], b->launch_hashes[b->pod->n_init]) != equal)
                fail_msg("%s and %s: %s", one, other, equal ? "not equal" : "equal");
}

static void test_hashes(void **state)
{
        static const char *const same[] = {
                POD_JSON("\"labels\":{\"a\":\"b\"},", ""),
                POD_JSON("\"annotations\":{\"a\":\"b\"},", ""),
                POD_JSON("\"restart\":\"never\",", ""),
                POD_JSON("\"backoff\":{\"base\":\"1s\"},\"grace\":\"3s\",", ""),
                POD_JSON("\"network\":\"none\",\"security\":{\"userns\":\"auto\"},", ""),
                POD_JSON("\"hostname\":\"p\",", ""),
                POD_JSON("\"extra_hosts\":{\"db\":\"10.0.0.1\"},", ""),
                POD_JSON("\"init_containers\":[" INIT_JSON "],", ""),
                POD_JSON("", ",\"limits\":{\"memory\":1048576}"),
                POD_JSON("", ",\"stop\":{\"signal\":\"SIGINT\",\"grace\":\"1s\"}"),
                POD_JSON("", ",\"tty\":false,\"init\":\"tank\",\"args\":[],\"env\":{}"),
                POD_JSON("", ",\"working_dir\":\"/\",\"mounts\":[]"),
                POD_JSON("\"update_on\":[\"secret\",\"config\"],", ",\"env_from\":[]"),
        };
        static const char *const different[] = {
                POD_JSON("\"network\":\"host\",", ""),
                POD_JSON("\"security\":{\"userns\":\"host\"},", ""),
                POD_JSON("\"hostname\":\"q\",", ""),
                POD_JSON("", ",\"args\":[\"y\"]"),
                POD_JSON("", ",\"env\":{\"A\":\"b\"}"),
                POD_JSON("", ",\"env\":{\"A\":{\"secret\":\"b/c\"}}"),
                POD_JSON("", ",\"env_from\":[{\"config\":\"b\"}]"),
                POD_JSON("", ",\"user\":\"7\""),
                POD_JSON("", ",\"tty\":true"),
                POD_JSON("", ",\"mounts\":[{\"volume\":\"v\",\"path\":\"/v\"}]"),
                POD_JSON("", ",\"log\":{\"max_size\":1000000}"),
        };
        static const char *const volumes[] = {
                VALUES_JSON("", "{\"secret\":\"x\"}"),
                VALUES_JSON("\"update_on\":[\"secret\"],", "{\"secret\":\"x\",\"mode\":\"0400\"}"),
                VALUES_JSON("", "{\"secret\":\"x\",\"items\":{}}"),
                VALUES_JSON("", "{\"secret\":\"x\",\"mode\":\"0440\"}"),
                VALUES_JSON("", "{\"secret\":\"x\",\"items\":{\"a\":\"b\"}}"),
                VALUES_JSON("", "{\"config\":\"x\"}"),
        };
        const char *plain = POD_JSON("", "");

        for (size_t i = 0; i < ARRAY_SIZE(same); i++)
                compare(plain, same[i], true);
        for (size_t i = 0; i < ARRAY_SIZE(different); i++)
                compare(plain, different[i], false);
        for (size_t i = 1; i < ARRAY_SIZE(volumes); i++)
                compare(volumes[0], volumes[i], i < 3);
        /* Only the volumes that a container mounts count. */
        compare(POD_JSON("", ",\"mounts\":[{\"volume\":\"v\",\"path\":\"/v\"}]"),
                        POD_JSON("", ",\"mounts\":[{\"volume\":\"w\",\"path\":\"/v\"}]"), false);
        compare(POD_JSON("", ",\"mounts\":[{\"volume\":\"v\",\"path\":\"/v\"}]"),
                        POD_JSON("", ",\"mounts\":[{\"volume\":\"v\",\"path\":\"/v\","
                                     "\"read_only\":false}]"),
                        true);
}

static void test_hashes_of_pods(void **state)
{
        CLEANUP(desired_freep) Desired *plain = desire(POD_JSON("", ""));
        CLEANUP(desired_freep) Desired *named = desire(POD_JSON("\"hostname\":\"q\",", ""));
        CLEANUP(desired_freep) Desired *own = desire(POD_JSON("\"hostname\":\"p\",", ""));
        CLEANUP(desired_freep)
        Desired *hosts = desire(POD_JSON("\"extra_hosts\":{\"db\":\"10.0.0.1\"},", ""));
        CLEANUP(desired_freep) Desired *none = desire(POD_JSON("\"extra_hosts\":{},", ""));
        CLEANUP(desired_freep)
        Desired *init = desire(POD_JSON("\"init_containers\":[" INIT_JSON "],", ""));
        CLEANUP(desired_freep)
        Desired *later = desire("{\"kind\":\"pod\",\"name\":\"p\","
                                "\"containers\":[" INIT_JSON "]}");

        assert_string_equal(plain->sandbox_hash, own->sandbox_hash);
        assert_string_not_equal(plain->sandbox_hash, named->sandbox_hash);
        assert_string_equal(plain->sandbox_hash, hosts->sandbox_hash);
        assert_string_equal(plain->hosts_hash, "");
        assert_string_equal(none->hosts_hash, "");
        assert_int_equal(strlen(hosts->hosts_hash), SHA256_HEX_SIZE - 1);
        assert_string_equal(plain->sandbox_hash, init->sandbox_hash);
        assert_int_equal(init->pod->n_init, 1);
        assert_int_equal(init->pod->n_containers, 2);
        /* The same declaration in the other list is another thing. */
        assert_string_not_equal(init->launch_hashes[0], later->launch_hashes[0]);
}

static void test_refused_documents(void **state)
{
        static const struct {
                const char *json;
                Reason reason;
        } documents[] = {
                { "{\"kind\":\"pod\",\"name\":\"p\"}", REASON_INVALID },
                { POD_JSON("\"nonsense\":1,", ""), REASON_INVALID },
                { POD_JSON("\"depends_on\":[{\"pod\":\"q\",\"condition\":\"ready\"}],", ""),
                                REASON_UNSUPPORTED },
                { "{\"kind\":\"namespace\",\"name\":\"n\"}", REASON_INVALID },
        };

        for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
                CLEANUP_JSON json_t *doc = NULL;
                CLEANUP_FREE char *sentence = NULL;
                sd_bus_error error = SD_BUS_ERROR_NULL;
                Desired *d;
                Reason reason;

                assert_int_equal(document_parse(documents[i].json, strlen(documents[i].json), &doc,
                                                 &error),
                                0);
                assert_int_equal(desired_new(doc, 1, &d, &reason, &sentence), -EINVAL);
                assert_int_equal(reason, documents[i].reason);
                assert_true(strlen(sentence) > 5);
        }
}

static void node_name(const char *ns, const char *pod, const char *container, const char *expected)
{
        CLEANUP_FREE char *name = NULL;

        assert_int_equal(launch_node_name(ns, pod, container, &name), 0);
        assert_string_equal(name, expected);
}

static void test_node_names(void **state)
{
        char a[64], b[64];
        CLEANUP_FREE char *one = NULL, *other = NULL;

        node_name("default", "web", "app", "default-web-app");
        node_name("a-b", "c", "d", "a--b-c-d");
        node_name("a", "b-c", "d", "a-b--c-d");
        node_name("a", "b--c", "d", "a-b----c-d");
        memset(a, '-', 63);
        a[0] = a[62] = 'a';
        a[63] = '\0';
        memcpy(b, a, 64);
        b[0] = 'b';
        assert_int_equal(launch_node_name(a, a, a, &one), 0);
        assert_int_equal(launch_node_name(a, a, b, &other), 0);
        assert_int_equal(strlen(one), 33);
        assert_string_not_equal(one, other);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_older),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_hashes),
                cmocka_unit_test(test_hashes_of_pods),
                cmocka_unit_test(test_refused_documents),
                cmocka_unit_test(test_node_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
