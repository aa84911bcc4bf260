/* SPDX-License-Identifier: Apache-2.0 */

/* Launch records, hashes, id ranges; see reconcile-launch.h. */

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus-names.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "reconcile-launch.h"
#include "reconcile-values.h"
#include "shim-client.h"
#include "strv.h"

/* ---- hashes ---- */

static void drop_if_string(json_t *o, const char *key, const char *fallback)
{
        const char *s = json_get_string(o, key);

        if (s && streq(s, fallback))
                (void) json_object_del(o, key);
}

static void drop_if_false(json_t *o, const char *key)
{
        if (json_is_false(json_object_get(o, key)))
                (void) json_object_del(o, key);
}

static void drop_if_empty(json_t *o, const char *key)
{
        const json_t *v = json_object_get(o, key);

        if ((json_is_array(v) && json_array_size(v) == 0) ||
                        (json_is_object(v) && json_object_size(v) == 0))
                (void) json_object_del(o, key);
}

static int sandbox_part(const json_t *document, json_t **ret)
{
        CLEANUP_JSON json_t *o = json_object();
        const char *userns = json_get_string(json_object_get(document, "security"), "userns");
        json_t *network = json_object_get(document, "network");
        json_t *hostname = json_object_get(document, "hostname");

        if (!o || (network && json_object_set(o, "network", network) < 0) ||
                        (hostname && json_object_set(o, "hostname", hostname) < 0) ||
                        (userns && json_object_set_new(o, "userns", json_string(userns)) < 0))
                return -ENOMEM;
        drop_if_string(o, "hostname", strempty(json_get_string(document, "name")));
        drop_if_string(o, "network", "none");
        drop_if_string(o, "userns", "auto");
        *ret = TAKE_PTR(o);
        return 0;
}

int sandbox_hash(const json_t *document, char ret[static SHA256_HEX_SIZE])
{
        CLEANUP_JSON json_t *o = NULL;
        int r = sandbox_part(document, &o);

        return r < 0 ? r : document_hash(o, ret);
}

static int drop_source_defaults(json_t *volume)
{
        CLEANUP_JSON json_t *source = json_copy(json_object_get(volume, "source"));

        if (!json_is_object(source))
                return 0;
        drop_if_string(source, "mode", "0400");
        drop_if_empty(source, "items");
        drop_if_false(source, "live");
        return json_object_set(volume, "source", source) < 0 ? -ENOMEM : 0;
}

/* The declarations of the volumes that @mounts name, in that order. */
static int volumes_part(const json_t *document, const json_t *mounts, json_t **ret)
{
        CLEANUP_JSON json_t *list = json_array();
        const json_t *mount;
        json_t *volume;
        size_t i, j;
        int r;

        if (!list)
                return -ENOMEM;
        json_array_foreach (mounts, i, mount) {
                json_array_foreach (json_object_get(document, "volumes"), j, volume) {
                        json_t *copy;

                        if (!streq_ptr(json_get_string(volume, "name"),
                                            json_get_string(mount, "volume")))
                                continue;
                        copy = json_copy(volume);
                        if (!copy)
                                return -ENOMEM;
                        drop_if_string(copy, "idmap", "auto");
                        drop_if_string(copy, "source", "managed");
                        r = drop_source_defaults(copy);
                        if (r < 0) {
                                json_decref(copy);
                                return r;
                        }
                        if (json_array_append_new(list, copy) < 0)
                                return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(list);
        return 0;
}

static void drop_container_defaults(json_t *c)
{
        static const char *const lists[] = { "args", "env", "env_from", "groups", "mounts",
                "command" };
        json_t *mount;
        size_t i;

        (void) json_object_del(c, "limits");
        (void) json_object_del(c, "stop");
        drop_if_false(c, "tty");
        drop_if_string(c, "init", "tank");
        drop_if_string(c, "working_dir", "/");
        json_array_foreach (json_object_get(c, "mounts"), i, mount) {
                drop_if_false(mount, "read_only");
        }
        for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
                drop_if_empty(c, lists[l]);
}

static int hosts_hash(const json_t *document, char ret[static SHA256_HEX_SIZE])
{
        const json_t *hosts = json_object_get(document, "extra_hosts");

        if (json_object_size(hosts) > 0)
                return document_hash(hosts, ret);
        ret[0] = '\0';
        return 0;
}

int launch_hash(const json_t *document, const json_t *container, bool init,
                char ret[static SHA256_HEX_SIZE])
{
        CLEANUP_JSON json_t *all = json_object(), *copy = json_deep_copy(container);
        CLEANUP_JSON json_t *sandbox = NULL, *volumes = NULL;
        int r;

        if (!all || !copy)
                return -ENOMEM;
        r = sandbox_part(document, &sandbox);
        if (r >= 0)
                r = volumes_part(document, json_object_get(copy, "mounts"), &volumes);
        if (r < 0)
                return r;
        drop_container_defaults(copy);
        if (json_object_set(all, "container", copy) < 0 ||
                        json_object_set(all, "sandbox", sandbox) < 0 ||
                        json_object_set(all, "volumes", volumes) < 0 ||
                        (init && json_object_set_new(all, "init", json_true()) < 0))
                return -ENOMEM;
        return document_hash(all, ret);
}

/* ---- desired state from a document ---- */

static int refuse(Reason reason, char *sentence, Reason *reterr_reason, char **reterr_sentence)
{
        if (!sentence)
                return -ENOMEM;
        *reterr_reason = reason;
        *reterr_sentence = sentence;
        return -EINVAL;
}

static char *spec_sentence(const SpecError *e)
{
        char *s;

        return asprintf(&s, "%s%s%s", e->path, *e->path ? ": " : "", e->message) < 0 ? NULL : s;
}

/* In the order of the pod's containers: init containers first. */
static int desired_hash_containers(Desired *d, const json_t *normal)
{
        const json_t *inits = json_object_get(normal, "init_containers");
        const json_t *list = json_object_get(normal, "containers");
        size_t n_init = d->pod->n_init;
        int r = 0;

        d->launch_hashes = calloc(MAX(d->pod->n_containers, (size_t) 1), SHA256_HEX_SIZE);
        if (!d->launch_hashes)
                return -ENOMEM;
        for (size_t i = 0; i < d->pod->n_containers && r >= 0; i++)
                r = launch_hash(normal,
                                i < n_init ? json_array_get(inits, i)
                                           : json_array_get(list, i - n_init),
                                i < n_init, d->launch_hashes[i]);
        return r;
}

static int desired_fill(Desired *d, const json_t *normal)
{
        char field[256];
        int r;

        r = document_format(normal, &d->document);
        if (r >= 0)
                r = pod_from_document(normal, &d->pod);
        if (r >= 0)
                r = sandbox_hash(normal, d->sandbox_hash);
        if (r >= 0)
                r = hosts_hash(normal, d->hosts_hash);
        if (r < 0)
                return r;
        d->privileged = spec_privileged_field(normal, field) != NULL;
        return desired_hash_containers(d, normal);
}

int desired_new(json_t *document, uint64_t generation, Desired **ret, Reason *reterr_reason,
                char **reterr_sentence)
{
        CLEANUP(desired_freep) Desired *d = NULL;
        CLEANUP_JSON json_t *normal = NULL;
        SpecError spec_error = { 0 };
        int r;

        (void) json_object_del(document, "meta");
        (void) json_object_del(document, "status");
        r = spec_normalize(document, SPEC_DEFAULT, &normal, &spec_error);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(r == -EOPNOTSUPP ? REASON_UNSUPPORTED : REASON_INVALID,
                                spec_sentence(&spec_error), reterr_reason, reterr_sentence);
        d = calloc(1, sizeof(Desired));
        if (!d)
                return -ENOMEM;
        d->generation = generation;
        r = desired_fill(d, normal);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(REASON_INVALID, strdup("the document is no pod"), reterr_reason,
                                reterr_sentence);
        *ret = TAKE_PTR(d);
        return 0;
}

Desired *desired_free(Desired *d)
{
        if (!d)
                return NULL;
        free(d->document);
        pod_free(d->pod);
        free(d->launch_hashes);
        free(d);
        return NULL;
}

/* ---- id ranges ---- */

int id_ranges_init(Manager *m)
{
        uint32_t size;

        paths_id_pool(&m->paths, &m->id_pool_base, &size);
        m->n_id_ranges = size / LIMIT_IDS_PER_POD;
        m->id_ranges = calloc(MAX(m->n_id_ranges, 1U), sizeof(uint8_t));
        return m->id_ranges ? 0 : -ENOMEM;
}

/* The next free one, not the first: a range is not handed out again at once. */
int id_range_allot(PodEntry *p)
{
        Manager *m = p->manager;

        if (p->id_count > 0)
                return 0;
        for (uint32_t i = 0; i < m->n_id_ranges; i++) {
                uint32_t range = (m->next_id_range + i) % m->n_id_ranges;

                if (m->id_ranges[range])
                        continue;
                m->id_ranges[range] = 1;
                m->next_id_range = range + 1;
                p->id_base = m->id_pool_base + range * LIMIT_IDS_PER_POD;
                p->id_count = LIMIT_IDS_PER_POD;
                return 0;
        }
        return -EUSERS;
}

static uint8_t *id_range_of(PodEntry *p)
{
        Manager *m = p->manager;
        uint32_t range;

        if (p->id_count == 0 || p->id_base < m->id_pool_base)
                return NULL;
        range = (p->id_base - m->id_pool_base) / LIMIT_IDS_PER_POD;
        return range < m->n_id_ranges ? &m->id_ranges[range] : NULL;
}

void id_range_note(PodEntry *p)
{
        uint8_t *range = id_range_of(p);

        if (range)
                *range = 1;
}

void id_range_release(PodEntry *p)
{
        uint8_t *range = id_range_of(p);

        if (range)
                *range = 0;
        p->id_count = 0;
        p->id_base = 0;
}

/* ---- the launch record ---- */

static int fail(LaunchFailure *f, const char *stage, int r, const char *format, ...)
                PRINTF_LIKE(4, 5);
static int fail(LaunchFailure *f, const char *stage, int r, const char *format, ...)
{
        va_list ap;
        int n;

        f->result = (RunResult){
                .kind = RESULT_SETUP_FAILED, .code = -r, .at_usec = now_realtime_usec()
        };
        (void) snprintf(f->result.stage, sizeof(f->result.stage), "%s", stage);
        va_start(ap, format);
        n = vasprintf(&f->message, format, ap);
        va_end(ap);
        if (n < 0) {
                f->message = NULL;
                return -ENOMEM;
        }
        return r;
}

static void append_name(char **to, const char *name)
{
        for (; *name; name++) {
                if (*name == '-')
                        *(*to)++ = '-';
                *(*to)++ = *name;
        }
}

int launch_node_name(const char *namespace, const char *pod, const char *container, char **ret)
{
        size_t n = 2 * (strlen(namespace) + strlen(pod) + strlen(container)) + 3;
        CLEANUP_FREE char *s = malloc(MAX(n, (size_t) SHA256_HEX_SIZE + 1));
        char *end = s, hash[SHA256_HEX_SIZE];

        if (!s)
                return -ENOMEM;
        append_name(&end, namespace);
        *end++ = '-';
        append_name(&end, pod);
        *end++ = '-';
        append_name(&end, container);
        *end = '\0';
        /* Room for "tank-<instance>-", "-<run>" and ".scope" within 255. */
        if (end - s > 200) {
                sha256_hex(s, (size_t) (end - s), hash);
                s[0] = 'x';
                memcpy(s + 1, hash, 32);
                s[33] = '\0';
        }
        *ret = TAKE_PTR(s);
        return 0;
}

/* A scope has the run in its name, a directory has not: that is made by its shim alone and gone
 * with it, while systemd may make a scope long after whoever asked for it gave up. Then it must not
 * stand in the next run's place, and must be stopped without touching that. */
static int put_cgroup(Manager *m, ContainerEntry *c, const char *run, RecordWriter *w)
{
        CLEANUP_FREE char *node = NULL;
        int r = launch_node_name(c->pod->namespace, c->pod->name, c->name, &node);

        if (r < 0)
                return r;
        if (m->use_scopes)
                record_putf(w, "cgroup.scope", "%s-%s-%.16s.scope", m->host_name, node, run);
        else
                record_putf(w, "cgroup.path", "%s/%s", m->host_name, node);
        return 0;
}

/* A container's root is on disk the host's: a setuid program that it leaves in a volume must be out
 * of every other user's reach. */
static int open_volumes(Manager *m, int *ret_fd)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        r = mkdir_p_open_at(m->state_fd, "volumes", 0700, &fd);
        if (r < 0)
                return r;
        if (fchmod(fd, 0700) < 0) /* it may have been made by hand */
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int make_managed_volume(Manager *m, const PodEntry *p, const Volume *v, LaunchFailure *f)
{
        char path[2 * (LIMIT_NAME_MAX + 1)];
        CLEANUP_CLOSE int all = -EBADF;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s", p->namespace, v->name);
        r = open_volumes(m, &all);
        if (r >= 0)
                r = mkdir_p_open_at(all, path, 0755, NULL);
        if (r < 0)
                return fail(f, "volume", r,
                                "volume %s: cannot make %s/volumes/%s: %s: look at what is "
                                "in its place",
                                v->name, m->paths.state_dir, path, errno_words(r));
        return 0;
}

/* What is made of a secret or config is read-only, whatever was declared. */
static void put_mount(const Mount *mount, const Volume *v, RecordWriter *w)
{
        record_put(w, "mount.target", mount->path);
        if (v->object)
                record_put(w, "mount.options", v->live ? "ro,live" : "ro");
        else
                record_putf(w, "mount.options", "%s,idmap=%s", mount->read_only ? "ro" : "rw",
                                v->idmap_off        ? "off"
                                : v->idmap_required ? "required"
                                                    : "auto");
}

static int put_mounts(Manager *m, const PodEntry *p, const Container *spec, RecordWriter *w,
                LaunchFailure *f)
{
        int r;

        for (size_t i = 0; i < spec->n_mounts; i++) {
                const Mount *mount = &spec->mounts[i];
                const Volume *v = pod_find_volume(p->desired->pod, mount->volume);

                if (!v)
                        return fail(f, "volume", -ENOENT, "volume %s is not declared",
                                        mount->volume);
                if (v->host_path)
                        record_put(w, "mount.source", v->host_path);
                else if (v->object)
                        record_putf(w, "mount.source", "%s:%s", value_source_to_string(v->source),
                                        v->name);
                else {
                        r = make_managed_volume(m, p, v, f);
                        if (r < 0)
                                return r;
                        record_putf(w, "mount.source", "%s/volumes/%s/%s", m->paths.state_dir,
                                        p->namespace, v->name);
                }
                put_mount(mount, v, w);
        }
        return 0;
}

static void put_security(const PodEntry *p, const Container *spec, RecordWriter *w)
{
        record_put_strv(w, "cap_add", spec->cap_add);
        record_put_strv(w, "cap_drop", spec->cap_drop);
        if (spec->seccomp_file)
                record_putf(w, "seccomp", "file:%s", spec->seccomp_file);
        else
                record_put(w, "seccomp", spec->seccomp_unconfined ? "unconfined" : "default");
        record_put_u64(w, "no_new_privileges", spec->no_new_privileges);
        record_put_u64(w, "privileged", p->desired->privileged);
}

static int put_process(
                const Values *values, const Container *spec, RecordWriter *w, LaunchFailure *f)
{
        CLEANUP_FREE char *sentence = NULL;
        int r;

        if (strv_length(spec->command) + strv_length(spec->args) == 0)
                return fail(f, "command", -EINVAL, "there is nothing to execute: declare command");
        record_put_strv(w, "argv", spec->command);
        record_put_strv(w, "argv", spec->args);
        r = values_put_env(values, spec, w, &sentence);
        if (r < 0)
                return sentence ? fail(f, "env", r, "%s", sentence) : r;
        record_put(w, "cwd", spec->working_dir ? spec->working_dir : "/");
        record_put(w, "user", spec->user ? spec->user : "0");
        record_put_strv(w, "group", spec->groups);
        record_put_u64(w, "tty", spec->tty);
        record_put(w, "init", init_mode_to_string(spec->init));
        record_put_u64(w, "stop.signal", (uint64_t) spec->stop_signal);
        record_put_u64(w, "stop.grace_usec", spec->stop_grace_usec);
        return 0;
}

static int put_identity(ContainerEntry *c, const char *run, bool create_sandbox, RecordWriter *w,
                LaunchFailure *f)
{
        PodEntry *p = c->pod;
        const Pod *pod = p->desired->pod;
        int r;

        record_put(w, "pod_uid", p->uid);
        record_put(w, "run", run);
        record_put(w, "namespace", p->namespace);
        record_put(w, "pod", p->name);
        record_put(w, "container", c->name);
        record_put_u64(w, "generation", p->desired->generation);
        record_put(w, "sandbox", create_sandbox ? "create" : "join");
        record_put(w, "userns", pod->userns_host ? "host" : "auto");
        record_put(w, "network", network_mode_to_string(pod->network));
        record_put(w, "hostname", pod->hostname);
        record_put_strv(w, "extra_host", pod->extra_hosts);
        if (pod->userns_host)
                return 0;
        r = id_range_allot(p);
        if (r < 0)
                return fail(f, "ids", r, "all %u ranges of user ids are taken: stop another pod",
                                p->manager->n_id_ranges);
        record_put_u64(w, "id_base", p->id_base);
        record_put_u64(w, "id_count", p->id_count);
        return 0;
}

static void put_places(Manager *m, ContainerEntry *c, const Container *spec, const char *run,
                RecordWriter *w)
{
        record_put(w, "rootfs", spec->rootfs);
        record_putf(w, "scratch", "%s/containers/%s", m->paths.state_dir, run);
        record_putf(w, "log.dir", "%s/%s/%s", m->paths.log_dir, c->pod->namespace, c->pod->name);
        record_putf(w, "log.name", "%s.log", c->name);
        record_put_u64(w, "log.max_size", spec->log_max_size);
        record_put_u64(w, "log.max_files", spec->log_max_files);
        record_putf(w, "bus_name", "%s%.16s", TANK_SHIM_NAME_PREFIX, run);
        record_putf(w, "seccomp_cache", "%s/seccomp", m->paths.run_dir);
        record_put(w, "libexec_dir", m->paths.libexec_dir);
}

int launch_format(ContainerEntry *c, const Values *values, const char *run, bool create_sandbox,
                RecordWriter *ret, LaunchFailure *reterr)
{
        const Container *spec = pod_find_container(c->pod->desired->pod, c->name);
        CLEANUP_FREE char *sentence = NULL;
        Manager *m = c->pod->manager;
        RecordWriter w;
        int r;

        assert(spec);
        record_start(&w, 1);
        r = put_identity(c, run, create_sandbox, &w, reterr);
        if (r >= 0)
                r = put_process(values, spec, &w, reterr);
        if (r >= 0)
                r = put_mounts(m, c->pod, spec, &w, reterr);
        if (r >= 0) {
                put_security(c->pod, spec, &w);
                put_places(m, c, spec, run, &w);
                limits_put(&w, &spec->limits);
                r = put_cgroup(m, c, run, &w);
        }
        if (r >= 0)
                r = values_put_files(values, c->pod->desired->pod, spec, &w, &sentence);
        if (r < 0 && sentence)
                r = fail(reterr, "volume", r, "%s", sentence);
        if (r >= 0)
                r = record_finish(&w);
        if (r < 0) {
                if (w.data)
                        explicit_bzero(w.data, w.size);
                record_done(&w);
                return r;
        }
        *ret = w;
        return 0;
}
