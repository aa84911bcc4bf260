/* SPDX-License-Identifier: Apache-2.0 */

/* The files of reconcile-record.h. A record's `container` key opens a section: the keys behind it
 * belong to that container. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "quantity.h"
#include "reconcile-entry.h"
#include "reconcile-launch.h"
#include "reconcile-record.h"
#include "shim-client.h"

/* ---- writing ---- */

static void put_container(const ContainerEntry *c, RecordWriter *w)
{
        record_put(w, "container", c->name);
        record_put(w, "run", c->run);
        record_put_u64(w, "run_over", c->run_over);
        record_put(w, "launch_hash", c->launch_hash);
        record_put_u64(w, "generation", c->generation);
        record_put_u64(w, "init", c->init);
        record_put(w, "hosts_hash", c->hosts_hash);
        record_put(w, "sandbox", c->creates_sandbox ? "create" : "join");
        record_put_u64(w, "restarts", c->restarts);
        record_put_u64(w, "failures", c->failures);
        record_put_u64(w, "ended_boot_usec", c->ended_boot_usec);
        record_put_u64(w, "next_start_boot_usec", c->restart_boot_usec);
        record_put_u64(w, "ended", c->ended);
        record_put_u64(w, "stopped", c->stopped);
        record_put_u64(w, "finished", c->finished);
        record_put_u64(w, "restart_wanted", c->restart_wanted);
        record_put_u64(w, "update_refusals", c->update.refusals);
        record_put_u64(w, "next_update_boot_usec", c->update.boot_usec);
        record_put(w, "update_refusal", strempty(c->update.refusal));
        record_put(w, "message", strempty(c->message));
        for (size_t i = 0; i < c->n_used; i++)
                record_putf(w, "used", "%s %s %" PRIu64 " %" PRIu64 " %s",
                                value_source_to_string(c->used[i].source), c->used[i].name,
                                c->used[i].revision, c->used[i].live_revision, c->used[i].digest);
        limits_put(w, &c->limits);
        for (size_t i = 0; i < c->n_results; i++)
                record_putf(w, "result", "%s %d %" PRIu64 " %s",
                                result_kind_to_string(c->results[i].kind), c->results[i].code,
                                c->results[i].at_usec, c->results[i].stage);
}

static void put_pod(const PodEntry *p, RecordWriter *w)
{
        record_start(w, POD_RECORD_VERSION);
        record_put(w, "pod_uid", p->uid);
        record_put(w, "namespace", p->namespace);
        record_put(w, "pod", p->name);
        record_put_u64(w, "generation", p->generation);
}

int pod_record_format(const PodEntry *p, const char *boot, RecordWriter *ret)
{
        RecordWriter w;
        int r;

        put_pod(p, &w);
        record_put(&w, "boot_id", boot);
        record_put_u64(&w, "id_base", p->id_base);
        record_put_u64(&w, "id_count", p->id_count);
        record_put_u64(&w, "declared", p->declared);
        record_put_u64(&w, "sandbox_ready", p->sandbox == SANDBOX_READY);
        record_put(&w, "sandbox_hash", p->sandbox_hash);
        for (size_t i = 0; i < p->n_containers; i++)
                put_container(p->containers[i], &w);
        r = record_finish(&w);
        if (r < 0) {
                record_done(&w);
                return r;
        }
        *ret = w;
        return 0;
}

/* ---- reading ---- */

static bool parse_number(const char *value, uint64_t *ret)
{
        return parse_u64(value, ret) >= 0;
}

static bool parse_id(const char *value, char ret[static ID128_SIZE])
{
        if (*value && !id_is_valid(value))
                return false;
        memcpy(ret, value, strlen(value) + 1);
        return true;
}

static bool parse_hash(const char *value, char ret[static SHA256_HEX_SIZE])
{
        size_t n = strlen(value);

        if ((n != 0 && n != SHA256_HEX_SIZE - 1) || strspn(value, "0123456789abcdef") != n)
                return false;
        memcpy(ret, value, n + 1);
        return true;
}

static bool parse_result(const char *value, RunResult *ret)
{
        RunResult result = { 0 };
        char kind[32];
        int at = 0;

        if (sscanf(value, "%31s %d %" SCNu64 " %n", kind, &result.code, &result.at_usec, &at) < 3 ||
                        at == 0)
                return false;
        result.kind = result_kind_from_string(kind);
        if (result.kind < 0)
                return false;
        (void) snprintf(result.stage, sizeof(result.stage), "%s", value + at);
        *ret = result;
        return true;
}

/* "secret db 42 0 DIGEST"; the last may be missing. */
static int parse_used(ContainerEntry *c, const char *value)
{
        UsedObject *grown, used = { .unchecked = true };
        char type[16], name[LIMIT_NAME_MAX + 1], revision[24], live[24];

        if (sscanf(value, "%15s %63s %23s %23s %32s", type, name, revision, live, used.digest) <
                                        4 ||
                        !name_is_valid(name) || !parse_number(revision, &used.revision) ||
                        !parse_number(live, &used.live_revision))
                return -EBADMSG;
        used.source = value_source_from_string(type);
        if ((int) used.source < 0)
                return 0; /* a later minor version's */
        grown = reallocarray(c->used, c->n_used + 1, sizeof(UsedObject));
        if (!grown)
                return -ENOMEM;
        c->used = grown;
        used.name = strdup(name);
        if (!used.name)
                return -ENOMEM;
        c->used[c->n_used++] = used;
        return 0;
}

typedef struct NumberKey {
        const char *key;
        size_t offset;
        enum { KEY_U64, KEY_UINT, KEY_BOOL } type;
} NumberKey;

#define CONTAINER_KEY(k, member, t) \
        { \
                k, offsetof(ContainerEntry, member), t \
        }

static const NumberKey container_keys[] = {
        CONTAINER_KEY("generation", generation, KEY_U64),
        CONTAINER_KEY("restarts", restarts, KEY_UINT),
        CONTAINER_KEY("failures", failures, KEY_UINT),
        CONTAINER_KEY("ended_boot_usec", ended_boot_usec, KEY_U64),
        CONTAINER_KEY("next_start_boot_usec", restart_boot_usec, KEY_U64),
        CONTAINER_KEY("init", init, KEY_BOOL),
        CONTAINER_KEY("run_over", run_over, KEY_BOOL),
        CONTAINER_KEY("ended", ended, KEY_BOOL),
        CONTAINER_KEY("stopped", stopped, KEY_BOOL),
        CONTAINER_KEY("finished", finished, KEY_BOOL),
        CONTAINER_KEY("restart_wanted", restart_wanted, KEY_BOOL),
        CONTAINER_KEY("update_refusals", update.refusals, KEY_UINT),
        CONTAINER_KEY("next_update_boot_usec", update.boot_usec, KEY_U64),
        CONTAINER_KEY("limit.memory", limits.memory, KEY_U64),
        CONTAINER_KEY("limit.pids", limits.pids, KEY_U64),
        CONTAINER_KEY("limit.cpu_quota", limits.cpu_quota, KEY_U64),
        CONTAINER_KEY("limit.cpu_period", limits.cpu_period, KEY_U64),
};

/* 1: it was one of the numbers. */
static int parse_container_number(ContainerEntry *c, const char *key, const char *value)
{
        for (size_t i = 0; i < ARRAY_SIZE(container_keys); i++) {
                void *to = (char *) c + container_keys[i].offset;
                uint64_t n;

                if (!streq(container_keys[i].key, key))
                        continue;
                if (!parse_number(value, &n))
                        return -EBADMSG;
                switch (container_keys[i].type) {
                case KEY_U64: *(uint64_t *) to = n; break;
                case KEY_UINT: *(unsigned *) to = (unsigned) MIN(n, (uint64_t) UINT32_MAX); break;
                case KEY_BOOL: *(bool *) to = n > 0; break;
                }
                return 1;
        }
        return 0;
}

static int parse_container_key(ContainerEntry *c, const char *key, const char *value)
{
        RunResult result;
        int r = parse_container_number(c, key, value);

        if (r != 0)
                return r;
        if (streq(key, "run"))
                return parse_id(value, c->run) ? 0 : -EBADMSG;
        if (streq(key, "launch_hash"))
                return parse_hash(value, c->launch_hash) ? 0 : -EBADMSG;
        if (streq(key, "hosts_hash"))
                return parse_hash(value, c->hosts_hash) ? 0 : -EBADMSG;
        if (streq(key, "update_refusal"))
                return isempty(value) ? 0 : free_and_strdup(&c->update.refusal, value);
        if (streq(key, "used"))
                return parse_used(c, value);
        if (streq(key, "message"))
                return isempty(value) ? 0 : free_and_strdup(&c->message, value);
        if (streq(key, "sandbox")) {
                c->creates_sandbox = streq(value, "create");
                return 0;
        }
        if (streq(key, "result")) {
                if (!parse_result(value, &result))
                        return -EBADMSG;
                container_add_result(c, &result);
        }
        return 0; /* a later minor version's */
}

static int parse_pod_key(PodEntry *p, const char *key, const char *value, char *boot)
{
        uint64_t n;

        if (streq(key, "pod_uid"))
                return parse_id(value, p->uid) && *value ? 0 : -EBADMSG;
        if (streq(key, "boot_id"))
                return parse_id(value, boot) ? 0 : -EBADMSG;
        if (streq(key, "namespace"))
                return name_is_valid(value) ? free_and_strdup(&p->namespace, value) : -EBADMSG;
        if (streq(key, "pod"))
                return name_is_valid(value) ? free_and_strdup(&p->name, value) : -EBADMSG;
        if (streq(key, "sandbox_hash"))
                return parse_hash(value, p->sandbox_hash) ? 0 : -EBADMSG;
        if (streq(key, "generation"))
                return parse_number(value, &p->generation) ? 0 : -EBADMSG;
        if (streq(key, "declared")) {
                p->declared = streq(value, "1");
                return 0;
        }
        if (streq(key, "sandbox_ready")) {
                p->sandbox = streq(value, "1") ? SANDBOX_READY : SANDBOX_NONE;
                return 0;
        }
        if (streq(key, "id_base") || streq(key, "id_count")) {
                if (!parse_number(value, &n) || n > UINT32_MAX)
                        return -EBADMSG;
                if (streq(key, "id_base"))
                        p->id_base = (uid_t) n;
                else
                        p->id_count = (uint32_t) n;
        }
        return 0;
}

int pod_record_parse(const void *data, size_t size, PodEntry *p, char ret_boot[static ID128_SIZE])
{
        const char *entry, *value;
        ContainerEntry *c = NULL;
        size_t pos = 0, key_len;
        Record record;
        int r;

        ret_boot[0] = '\0';
        r = record_parse(data, size, POD_RECORD_VERSION, &record);
        if (r < 0)
                return r;
        while (record_next(&record, &pos, &entry, &key_len, &value)) {
                char key[64];

                if (key_len >= sizeof(key))
                        continue;
                memcpy(key, entry, key_len);
                key[key_len] = '\0';
                if (streq(key, "container")) {
                        if (!name_is_valid(value) || pod_container(p, value))
                                return -EBADMSG;
                        r = pod_add_container(p, value, &c);
                } else if (c)
                        r = parse_container_key(c, key, value);
                else
                        r = parse_pod_key(p, key, value, ret_boot);
                if (r < 0)
                        return r;
        }
        return *p->uid && p->namespace && p->name ? 0 : -EBADMSG;
}

/* ---- the pod's directory ---- */

int pod_record_save(PodEntry *p)
{
        CLEANUP_CLOSE int dir = -EBADF;
        Manager *m = p->manager;
        RecordWriter w;
        int r;

        r = mkdir_p_open_at(m->pods_fd, p->uid, 0700, &dir);
        if (r < 0)
                return r;
        p->on_disk = true;
        if (!p->document_saved && p->desired) {
                RecordWriter d;

                record_start(&d, POD_RECORD_VERSION);
                record_put_u64(&d, "generation", p->desired->generation);
                record_put(&d, "document", p->desired->document);
                r = record_finish(&d);
                if (r >= 0)
                        r = write_file_atomic_at(dir, "pod.document", d.data, d.size, 0600, false);
                record_done(&d);
                if (r < 0)
                        return r;
                p->document_saved = true;
        }
        r = pod_record_format(p, m->boot_id, &w);
        if (r < 0)
                return r;
        r = write_file_atomic_at(dir, "pod.record", w.data, w.size, 0600, false);
        record_done(&w);
        if (r >= 0)
                p->record_dirty = p->record_failed = false;
        return r;
}

int pod_document_load(PodEntry *p, char **ret, uint64_t *ret_generation)
{
        char path[ID128_SIZE + sizeof("/pod.document")];
        CLEANUP_FREE char *data = NULL;
        const char *document;
        char *copy;
        size_t size;
        Record record;
        int r;

        (void) snprintf(path, sizeof(path), "%s/pod.document", p->uid);
        r = read_file_at(p->manager->pods_fd, path, LIMIT_RECORD_MAX + 4096, &data, &size);
        if (r < 0)
                return r;
        r = record_parse(data, size, POD_RECORD_VERSION, &record);
        if (r >= 0)
                r = record_get_u64(&record, "generation", ret_generation);
        if (r < 0)
                return r;
        document = record_get(&record, "document");
        if (!document)
                return -EBADMSG;
        copy = strdup(document);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

/* ---- results ---- */

static int open_results(Manager *m, int *ret_fd)
{
        return mkdir_p_open_at(m->state_fd, "results", 0700, ret_fd);
}

/* That an init container did its work counts only as long as the sandbox that it did it in is
 * there: noted beside what ended for good, to be shown with it. */
static bool result_is_final(const ContainerEntry *c)
{
        return c->finished && !(c->init && run_result_is_success(&c->results[c->n_results - 1]));
}

int pod_results_save(PodEntry *p)
{
        CLEANUP_CLOSE int dir = -EBADF;
        size_t n = 0;
        RecordWriter w;
        int r;

        put_pod(p, &w);
        record_put(&w, "database_id", p->manager->database_id);
        for (size_t i = 0; i < p->n_containers; i++)
                if (p->containers[i]->finished && p->containers[i]->n_results > 0) {
                        put_container(p->containers[i], &w);
                        n += result_is_final(p->containers[i]);
                }
        r = record_finish(&w);
        if (r >= 0 && (n > 0 || p->has_results_file))
                r = open_results(p->manager, &dir);
        if (r >= 0 && n > 0) {
                r = write_file_atomic_at(dir, p->uid, w.data, w.size, 0600, true);
                if (r >= 0)
                        p->has_results_file = true;
        } else if (r >= 0 && p->has_results_file) {
                pod_results_remove(p);
                /* Came it back with a power cut, what runs from here on would count as over. */
                if (fsync(dir) < 0)
                        r = -errno;
        }
        record_done(&w);
        p->results_failed = r < 0;
        return r;
}

int pod_results_load(PodEntry *p)
{
        CLEANUP_FREE char *data = NULL;
        CLEANUP(pod_entry_freep) PodEntry *loaded = NULL;
        char boot[ID128_SIZE], path[ID128_SIZE + sizeof("results/")];
        size_t size;
        int r;

        /* Mostly there is none, and a start waits for this: one look. */
        (void) snprintf(path, sizeof(path), "results/%s", p->uid);
        r = read_file_at(p->manager->state_fd, path, LIMIT_RECORD_MAX, &data, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        r = pod_entry_new(&loaded);
        if (r < 0)
                return r;
        r = pod_record_parse(data, size, loaded, boot);
        if (r < 0)
                return r;
        p->has_results_file = true;
        for (size_t i = 0; i < loaded->n_containers; i++) {
                ContainerEntry *from = loaded->containers[i], *to;

                to = pod_container(p, from->name);
                if (!to || *to->run || from->n_results == 0)
                        continue; /* no longer declared, or it ran since */
                memcpy(to->run, from->run, sizeof(to->run));
                memcpy(to->launch_hash, from->launch_hash, sizeof(to->launch_hash));
                to->generation = from->generation;
                to->init = from->init;
                to->restarts = from->restarts;
                to->failures = from->failures;
                memcpy(to->results, from->results, sizeof(to->results));
                to->n_results = from->n_results;
                free(to->message);
                to->message = TAKE_PTR(from->message);
                to->run_over = true;
                to->ended = from->ended;
                to->stopped = from->stopped;
                to->finished = from->finished;
                container_show_end(to);
        }
        return 1;
}

void pod_results_remove(PodEntry *p)
{
        CLEANUP_CLOSE int dir = -EBADF;

        if (!p->has_results_file)
                return;
        if (open_results(p->manager, &dir) < 0 || (unlinkat(dir, p->uid, 0) < 0 && errno != ENOENT))
                log_warning("pod %s/%s: cannot remove %s/results/%s, ignoring: %s", p->namespace,
                                p->name, p->manager->paths.state_dir, p->uid, errno_words(errno));
        p->has_results_file = false;
}

/* Whether @name is the result of a pod of the database that is accepted now. */
static bool results_are_ours(Manager *m, int dir, const char *name)
{
        CLEANUP_FREE char *data = NULL;
        size_t size;
        Record record;

        return read_file_at(dir, name, LIMIT_RECORD_MAX, &data, &size) >= 0 &&
               record_parse(data, size, POD_RECORD_VERSION, &record) >= 0 &&
               streq(strempty(record_get(&record, "database_id")), m->database_id);
}

void manager_sweep_results(Manager *m)
{
        CLEANUP(closedirp) DIR *d = NULL;
        CLEANUP_CLOSE int fd = -EBADF;
        struct dirent *e;

        if (open_results(m, &fd) < 0)
                return;
        (void) remove_unfinished_at(fd); /* the next sweep tries again */
        if (opendir_beneath(fd, ".", &d) < 0)
                return;
        while ((e = readdir(d))) {
                bool known = false;

                if (!id_is_valid(e->d_name))
                        continue;
                for (size_t i = 0; i < m->n_pods && !known; i++)
                        known = streq(m->pods[i]->uid, e->d_name);
                if (!known && results_are_ours(m, fd, e->d_name))
                        (void) unlinkat(fd, e->d_name, 0); /* the next sweep tries again */
        }
}

/* ---- the position in the store ---- */

int manager_position_save(Manager *m)
{
        RecordWriter w;
        int r;

        record_start(&w, POD_RECORD_VERSION);
        record_put(&w, "boot_id", m->boot_id);
        record_put(&w, "database_id", m->database_id);
        record_put_u64(&w, "revision", m->revision);
        r = record_finish(&w);
        if (r >= 0)
                r = write_file_atomic_at(m->run_fd, "store-position", w.data, w.size, 0600, false);
        record_done(&w);
        if (r >= 0)
                m->position_dirty = false;
        return r;
}

int manager_position_load(Manager *m)
{
        CLEANUP_FREE char *data = NULL;
        const char *id;
        uint64_t revision;
        size_t size;
        Record record;
        int r;

        r = read_file_at(m->run_fd, "store-position", LIMIT_RECORD_MAX, &data, &size);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = record_parse(data, size, POD_RECORD_VERSION, &record);
        if (r < 0)
                return r;
        if (!streq(strempty(record_get(&record, "boot_id")), m->boot_id))
                return 0; /* nothing that it could protect survived the reboot */
        id = record_get(&record, "database_id");
        r = record_get_u64(&record, "revision", &revision);
        if (r < 0 || !id || !parse_id(id, m->database_id))
                return -EBADMSG;
        m->revision = revision;
        return 0;
}
