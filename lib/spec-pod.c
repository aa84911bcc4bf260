/* SPDX-License-Identifier: Apache-2.0 */

/* From a normalized document to the structure that programs work with. This is where defaults are
 * applied: the stored document has none, so that a changed default changes no object. */

#include <stdio.h>

#include "document.h"
#include "quantity.h"
#include "spec-table.h"
#include "strv.h"

static const char *const network_mode_table[_NETWORK_MODE_MAX] = {
        [NETWORK_NONE] = "none",
        [NETWORK_HOST] = "host",
};
DEFINE_STRING_TABLE(NetworkMode, network_mode, network_mode_table)

static const char *const init_mode_table[_INIT_MODE_MAX] = {
        [INIT_TANK] = "tank",
        [INIT_NONE] = "none",
};
DEFINE_STRING_TABLE(InitMode, init_mode, init_mode_table)

static const char *const value_source_table[_VALUE_SOURCE_MAX] = {
        [VALUE_SECRET] = "secret",
        [VALUE_CONFIG] = "config",
};
DEFINE_STRING_TABLE(ValueSource, value_source, value_source_table)

/* An absent string leaves the default in place. */
static int take_string(const json_t *object, const char *key, char **ret)
{
        const char *s = json_get_string(object, key);

        return s ? free_and_strdup(ret, s) : 0;
}

static uint64_t take_u64(const json_t *object, const char *key, uint64_t fallback)
{
        return (uint64_t) json_get_int(object, key, (int64_t) fallback);
}

static int take_strv(const json_t *object, const char *key, char ***ret)
{
        const json_t *list = json_object_get(object, key);

        for (size_t i = 0; i < json_array_size(list); i++) {
                const char *s = json_string_value(json_array_get(list, i));
                int r;

                if (!s)
                        return -EINVAL;
                r = strv_append(ret, s);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_variables(const void *a, const void *b)
{
        const char *const *x = a, *const *y = b;
        size_t n = strcspn(*x, "="), m = strcspn(*y, "=");
        int r = memcmp(*x, *y, MIN(n, m));

        return r != 0 ? r : (n > m) - (n < m);
}

/* The field of @o that names an object, and what stands there; NULL: none does. */
static const char *find_source(const json_t *o, ValueSource *ret)
{
        for (ValueSource s = 0; s < _VALUE_SOURCE_MAX; s++) {
                const char *value = json_get_string(o, value_source_to_string(s));

                if (!value)
                        continue;
                *ret = s;
                return value;
        }
        return NULL;
}

/* {secret: NAME/KEY} */
static int take_env_value(const char *variable, const json_t *reference, EnvValue *ret)
{
        const char *s = find_source(reference, &ret->source), *slash = s ? strchr(s, '/') : NULL;

        if (!slash)
                return -EINVAL;
        ret->variable = strdup(variable);
        ret->object = strndup(s, (size_t) (slash - s));
        ret->key = strdup(slash + 1);
        return ret->variable && ret->object && ret->key ? 0 : -ENOMEM;
}

static int take_env(const json_t *container, Container *ret)
{
        json_t *env = json_object_get(container, "env"), *value;
        const char *key;
        int r;

        ret->env_values = calloc(MAX(json_object_size(env), (size_t) 1), sizeof(EnvValue));
        if (!ret->env_values)
                return -ENOMEM;
        json_object_foreach (env, key, value) {
                char *variable;

                if (!json_is_string(value)) {
                        r = take_env_value(key, value, &ret->env_values[ret->n_env_values++]);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (asprintf(&variable, "%s=%s", key, json_string_value(value)) < 0)
                        return -ENOMEM;
                r = strv_append_take(&ret->env, variable);
                if (r < 0)
                        return r;
        }
        if (ret->env)
                qsort(ret->env, strv_length(ret->env), sizeof(char *), compare_variables);
        return 0;
}

static int take_env_from(const json_t *container, Container *ret)
{
        const json_t *list = json_object_get(container, "env_from");
        size_t n = json_array_size(list);

        if (n == 0)
                return 0;
        ret->env_from = calloc(n, sizeof(EnvFrom));
        if (!ret->env_from)
                return -ENOMEM;
        while (ret->n_env_from < n) {
                const json_t *j = json_array_get(list, ret->n_env_from);
                EnvFrom *f = &ret->env_from[ret->n_env_from++];
                const char *object = find_source(j, &f->source);

                if (!object)
                        return -EINVAL;
                f->object = strdup(object);
                f->prefix = strdup(strempty(json_get_string(j, "prefix")));
                if (!f->object || !f->prefix)
                        return -ENOMEM;
        }
        return 0;
}

static int take_mounts(const json_t *container, Container *ret)
{
        const json_t *list = json_object_get(container, "mounts");
        size_t n = json_array_size(list);

        if (n == 0)
                return 0;
        ret->mounts = calloc(n, sizeof(Mount));
        if (!ret->mounts)
                return -ENOMEM;
        for (; ret->n_mounts < n; ret->n_mounts++) {
                const json_t *j = json_array_get(list, ret->n_mounts);
                Mount *m = &ret->mounts[ret->n_mounts];

                m->read_only = json_get_bool(j, "read_only", false);
                m->volume = strdup(strempty(json_get_string(j, "volume")));
                m->path = strdup(strempty(json_get_string(j, "path")));
                if (!m->volume || !m->path) {
                        ret->n_mounts++; /* half-built, to be freed */
                        return -ENOMEM;
                }
        }
        return 0;
}

static void take_limits(const json_t *container, Limits *ret)
{
        const json_t *limits = json_object_get(container, "limits");
        const json_t *cpu = json_object_get(limits, "cpu");

        *ret = (Limits){
                .memory = take_u64(limits, "memory", 0),
                .pids = take_u64(limits, "pids", 0),
                .cpu_quota = take_u64(cpu, "quota", 0),
                .cpu_period = take_u64(cpu, "period", SPEC_CPU_PERIOD_USEC),
        };
}

static int take_security(const json_t *container, Container *ret)
{
        const json_t *security = json_object_get(container, "security");
        const json_t *capabilities = json_object_get(security, "capabilities");
        const json_t *seccomp = json_object_get(security, "seccomp");
        int r;

        ret->no_new_privileges = json_get_bool(security, "no_new_privileges", true);
        ret->seccomp_unconfined = streq_ptr(json_string_value(seccomp), "unconfined");
        r = take_string(seccomp, "file", &ret->seccomp_file);
        if (r < 0)
                return r;
        r = take_strv(capabilities, "add", &ret->cap_add);
        if (r < 0)
                return r;
        return take_strv(capabilities, "drop", &ret->cap_drop);
}

static int take_stop(const json_t *container, uint64_t pod_grace, Container *ret)
{
        const json_t *stop = json_object_get(container, "stop");
        const char *name = json_get_string(stop, "signal");

        ret->stop_grace_usec = take_u64(stop, "grace", pod_grace);
        ret->stop_signal = parse_signal(name ? name : "SIGTERM");
        return ret->stop_signal < 0 ? -EINVAL : 0;
}

static int take_container(const json_t *j, uint64_t pod_grace, Container *ret)
{
        const json_t *log = json_object_get(j, "log");
        const char *init = json_get_string(j, "init");
        int r;

        if ((r = take_string(j, "name", &ret->name)) < 0 ||
                        (r = take_string(json_object_get(j, "image"), "rootfs", &ret->rootfs)) <
                                        0 ||
                        (r = take_strv(j, "command", &ret->command)) < 0 ||
                        (r = take_strv(j, "args", &ret->args)) < 0 || (r = take_env(j, ret)) < 0 ||
                        (r = take_env_from(j, ret)) < 0 ||
                        (r = take_string(j, "working_dir", &ret->working_dir)) < 0 ||
                        (r = take_string(j, "user", &ret->user)) < 0 ||
                        (r = take_strv(j, "groups", &ret->groups)) < 0 ||
                        (r = take_mounts(j, ret)) < 0 || (r = take_security(j, ret)) < 0 ||
                        (r = take_stop(j, pod_grace, ret)) < 0)
                return r;
        if (!ret->name || !ret->rootfs)
                return -EINVAL;

        ret->tty = json_get_bool(j, "tty", false);
        ret->init = init ? init_mode_from_string(init) : INIT_TANK;
        if ((int) ret->init < 0)
                return -EINVAL;
        take_limits(j, &ret->limits);
        ret->log_max_size = take_u64(log, "max_size", SPEC_LOG_MAX_SIZE);
        ret->log_max_files = (unsigned) take_u64(log, "max_files", SPEC_LOG_MAX_FILES);
        return 0;
}

static int take_containers(const json_t *doc, Pod *p)
{
        const json_t *inits = json_object_get(doc, "init_containers");
        const json_t *list = json_object_get(doc, "containers");
        uint64_t grace = take_u64(doc, "grace", SPEC_GRACE_USEC);
        size_t n;

        if (json_array_size(list) == 0)
                return -EINVAL;
        p->n_init = json_array_size(inits);
        n = p->n_init + json_array_size(list);
        p->containers = calloc(n, sizeof(Container));
        if (!p->containers)
                return -ENOMEM;
        while (p->n_containers < n) {
                size_t i = p->n_containers++;
                int r;

                r = take_container(i < p->n_init ? json_array_get(inits, i)
                                                 : json_array_get(list, i - p->n_init),
                                grace, &p->containers[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_hosts(const void *a, const void *b)
{
        const char *const *x = a, *const *y = b;

        return strcmp(strchr(*x, ' '), strchr(*y, ' '));
}

static int take_hosts(const json_t *doc, Pod *p)
{
        json_t *hosts = json_object_get(doc, "extra_hosts"), *address;
        const char *name;
        int r;

        r = take_string(doc, "hostname", &p->hostname);
        if (r >= 0 && !p->hostname)
                r = take_string(doc, "name", &p->hostname);
        if (r < 0)
                return r;
        json_object_foreach (hosts, name, address) {
                char *line;

                if (!json_is_string(address))
                        return -EINVAL;
                if (asprintf(&line, "%s %s", json_string_value(address), name) < 0)
                        return -ENOMEM;
                r = strv_append_take(&p->extra_hosts, line);
                if (r < 0)
                        return r;
        }
        if (p->extra_hosts)
                qsort(p->extra_hosts, strv_length(p->extra_hosts), sizeof(char *), compare_hosts);
        return 0;
}

static int take_items(const json_t *source, Volume *v)
{
        json_t *items = json_object_get(source, "items"), *path;
        const char *key;

        if (json_object_size(items) == 0)
                return 0;
        v->items = calloc(json_object_size(items), sizeof(VolumeItem));
        if (!v->items)
                return -ENOMEM;
        json_object_foreach (items, key, path) {
                VolumeItem *item = &v->items[v->n_items++];

                item->key = strdup(key);
                item->path = strdup(strempty(json_string_value(path)));
                if (!item->key || !item->path)
                        return -ENOMEM;
        }
        return 0;
}

static int take_source(const json_t *source, Volume *v)
{
        const char *object = find_source(source, &v->source);
        const char *mode = json_get_string(source, "mode");

        if (!object)
                return take_string(source, "host", &v->host_path);
        v->mode = mode ? (unsigned) strtoul(mode, NULL, 8) : SPEC_VALUE_FILE_MODE;
        v->live = json_get_bool(source, "live", false);
        v->object = strdup(object);
        return v->object ? take_items(source, v) : -ENOMEM;
}

static int take_update_on(const json_t *doc, Pod *p)
{
        const json_t *list = json_object_get(doc, "update_on");

        for (size_t i = 0; i < json_array_size(list); i++) {
                ValueSource s = value_source_from_string(
                                strempty(json_string_value(json_array_get(list, i))));

                if ((int) s < 0)
                        return -EINVAL;
                p->update_on[s] = true;
        }
        return 0;
}

static int take_volumes(const json_t *doc, Pod *p)
{
        const json_t *list = json_object_get(doc, "volumes");
        size_t n = json_array_size(list);

        if (n == 0)
                return 0;
        p->volumes = calloc(n, sizeof(Volume));
        if (!p->volumes)
                return -ENOMEM;
        while (p->n_volumes < n) {
                const json_t *j = json_array_get(list, p->n_volumes);
                Volume *v = &p->volumes[p->n_volumes++];
                const char *idmap = json_get_string(j, "idmap");
                int r;

                v->idmap_off = streq_ptr(idmap, "off");
                v->idmap_required = streq_ptr(idmap, "required");
                r = take_string(j, "name", &v->name);
                if (r < 0)
                        return r;
                if (!v->name)
                        return -EINVAL;
                r = take_source(json_object_get(j, "source"), v);
                if (r < 0)
                        return r;
        }
        return 0;
}

int pod_from_document(const json_t *doc, Pod **ret)
{
        const json_t *backoff = json_object_get(doc, "backoff");
        const char *restart = json_get_string(doc, "restart");
        const char *network = json_get_string(doc, "network");
        CLEANUP(pod_freep) Pod *p = NULL;
        int r;

        if (!streq_ptr(json_get_string(doc, "kind"), "pod"))
                return -EINVAL;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (Pod){
                .restart = restart ? restart_policy_from_string(restart) : RESTART_ALWAYS,
                .backoff_base_usec = take_u64(backoff, "base", SPEC_BACKOFF_BASE_USEC),
                .backoff_cap_usec = take_u64(backoff, "cap", SPEC_BACKOFF_CAP_USEC),
                .backoff_reset_usec = take_u64(backoff, "reset", SPEC_BACKOFF_RESET_USEC),
                .network = network ? network_mode_from_string(network) : NETWORK_NONE,
                .userns_host = streq_ptr("host",
                                json_get_string(json_object_get(doc, "security"), "userns")),
        };
        if ((int) p->restart < 0 || (int) p->network < 0)
                return -EINVAL;
        if ((r = take_string(doc, "name", &p->name)) < 0 ||
                        (r = take_string(doc, "namespace", &p->namespace)) < 0 ||
                        (r = take_hosts(doc, p)) < 0 || (r = take_volumes(doc, p)) < 0 ||
                        (r = take_update_on(doc, p)) < 0 || (r = take_containers(doc, p)) < 0)
                return r;
        if (!p->name || !p->namespace)
                return -EINVAL;
        *ret = TAKE_PTR(p);
        return 0;
}

static void container_done(Container *c)
{
        for (size_t i = 0; i < c->n_mounts; i++) {
                free(c->mounts[i].volume);
                free(c->mounts[i].path);
        }
        free(c->mounts);
        free(c->name);
        free(c->rootfs);
        strv_free(c->command);
        strv_free(c->args);
        strv_free(c->env);
        for (size_t i = 0; i < c->n_env_values; i++) {
                free(c->env_values[i].variable);
                free(c->env_values[i].object);
                free(c->env_values[i].key);
        }
        free(c->env_values);
        for (size_t i = 0; i < c->n_env_from; i++) {
                free(c->env_from[i].object);
                free(c->env_from[i].prefix);
        }
        free(c->env_from);
        free(c->working_dir);
        free(c->user);
        strv_free(c->groups);
        strv_free(c->cap_add);
        strv_free(c->cap_drop);
        free(c->seccomp_file);
}

static void volume_done(Volume *v)
{
        for (size_t i = 0; i < v->n_items; i++) {
                free(v->items[i].key);
                free(v->items[i].path);
        }
        free(v->items);
        free(v->object);
        free(v->host_path);
        free(v->name);
}

Pod *pod_free(Pod *p)
{
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_containers; i++)
                container_done(&p->containers[i]);
        for (size_t i = 0; i < p->n_volumes; i++)
                volume_done(&p->volumes[i]);
        free(p->containers);
        free(p->volumes);
        free(p->hostname);
        strv_free(p->extra_hosts);
        free(p->name);
        free(p->namespace);
        free(p);
        return NULL;
}

const Container *pod_find_container(const Pod *p, const char *name)
{
        for (size_t i = 0; i < p->n_containers; i++)
                if (streq(p->containers[i].name, name))
                        return &p->containers[i];
        return NULL;
}

const Volume *pod_find_volume(const Pod *p, const char *name)
{
        for (size_t i = 0; i < p->n_volumes; i++)
                if (streq(p->volumes[i].name, name))
                        return &p->volumes[i];
        return NULL;
}
