/* SPDX-License-Identifier: Apache-2.0 */

/* The launch record, parsed; see shim-launch.h and docs/protocol.md section 2.3. The reconciler
 * made it from a validated document; it is checked again here because everything that follows runs
 * as root and believes it. */

#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "fd.h"
#include "names.h"
#include "quantity.h"
#include "record.h"
#include "shim-launch.h"
#include "strv.h"

typedef struct Parser {
        Record record;
        const char *attached;
        size_t attached_size;
        char *error; /* LAUNCH_ERROR_MAX bytes */
} Parser;

static int refuse(Parser *p, int r, const char *format, ...) PRINTF_LIKE(3, 4);
static int refuse(Parser *p, int r, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(p->error, LAUNCH_ERROR_MAX, format, ap);
        va_end(ap);
        return r;
}

typedef bool (*StringCheck)(const char *s);

/* An absent optional key leaves *@ret as it is. */
static int get_string(Parser *p, const char *key, bool required, StringCheck check, char **ret)
{
        const char *v = record_get(&p->record, key);

        if (!v)
                return required ? refuse(p, -EINVAL, "launch record: %s is missing", key) : 0;
        if (check && !check(v))
                return refuse(p, -EINVAL, "launch record: %s: not a legal value: %.100s", key, v);
        return free_and_strdup(ret, v);
}

static int get_u64(Parser *p, const char *key, uint64_t max, uint64_t *ret)
{
        uint64_t v;
        int r;

        r = record_get_u64(&p->record, key, &v);
        if (r == -ENOENT)
                return 0;
        if (r < 0 || v > max)
                return refuse(p, -EINVAL, "launch record: %s: not a number in range: %.40s", key,
                                record_get(&p->record, key));
        *ret = v;
        return 0;
}

/* One of two words; absent: @words[0]. */
static int get_choice(Parser *p, const char *key, const char *const words[static 2], bool *ret)
{
        const char *v = record_get(&p->record, key);

        if (!v || streq(v, words[0]))
                *ret = false;
        else if (streq(v, words[1]))
                *ret = true;
        else
                return refuse(p, -EINVAL, "launch record: %s: neither %s nor %s: %.40s", key,
                                words[0], words[1], v);
        return 0;
}

static int get_list(Parser *p, const char *key, size_t max, char ***ret)
{
        int r;

        r = record_get_strv(&p->record, key, ret);
        if (r < 0)
                return r;
        if (strv_length(*ret) > max)
                return refuse(p, -E2BIG, "launch record: %s: more than %zu", key, max);
        return 0;
}

static int parse_mount_options(Parser *p, const char *options, LaunchMount *m)
{
        CLEANUP_FREE char *copy = strdup(options);
        char *word, *state = NULL;

        if (!copy)
                return -ENOMEM;
        for (word = strtok_r(copy, ",", &state); word; word = strtok_r(NULL, ",", &state)) {
                if (streq(word, "ro"))
                        m->read_only = true;
                else if (streq(word, "rw"))
                        m->read_only = false;
                else if (streq(word, "live"))
                        m->live = true;
                else if (streq(word, "idmap=auto"))
                        m->idmap = IDMAP_AUTO;
                else if (streq(word, "idmap=off"))
                        m->idmap = IDMAP_OFF;
                else if (streq(word, "idmap=required"))
                        m->idmap = IDMAP_REQUIRED;
                else
                        return refuse(p, -EINVAL, "launch record: mount.options: unknown: %.60s",
                                        word);
        }
        return 0;
}

/* A directory of the host, or "secret:VOLUME" and "config:VOLUME". */
static int parse_mount_source(Parser *p, const char *source, LaunchMount *m)
{
        const char *secret = startswith(source, "secret:");
        const char *volume = secret ? secret : startswith(source, "config:");

        if (!volume) {
                if (!path_is_absolute_normal(source))
                        return refuse(p, -EINVAL,
                                        "launch record: mount.source: neither an absolute, normal "
                                        "path nor secret: or config: and a volume: %.80s",
                                        source);
                return free_and_strdup(&m->source, source);
        }
        if (!name_is_valid(volume))
                return refuse(p, -EINVAL, "launch record: mount.source: not a volume: %.80s",
                                source);
        m->secret = secret;
        return free_and_strdup(&m->values, volume);
}

static bool is_relative_normal(const char *s)
{
        char path[LIMIT_ITEM_PATH_MAX + 2];

        if (!*s || strlen(s) > LIMIT_ITEM_PATH_MAX)
                return false;
        (void) snprintf(path, sizeof(path), "/%s", s);
        /* Names in front that begin so are those of shim-values.c. */
        return path_is_absolute_normal(path) && !startswith(s, "..");
}

static int parse_file(Parser *p, const char *volume, const char *path, const char *mode,
                const char *size, LaunchFile *f)
{
        size_t digits = strlen(mode);
        uint64_t n;
        int r;

        if (!name_is_valid(volume) || !is_relative_normal(path) || digits == 0 || digits > 4 ||
                        strspn(mode, "01234567") != digits || parse_u64(size, &n) < 0 ||
                        n > LIMIT_VALUES_BYTES)
                return refuse(p, -EINVAL, "launch record: file.*: not a legal file: %.60s/%.80s",
                                volume, path);
        f->mode = (mode_t) strtoul(mode, NULL, 8) & 0777;
        f->size = (size_t) n;
        r = free_and_strdup(&f->volume, volume);
        return r < 0 ? r : free_and_strdup(&f->path, path);
}

/* The bytes behind the record are those of the files, one after the other. */
static int take_values(Parser *p, Launch *l)
{
        size_t at = 0;

        for (size_t i = 0; i < l->n_files; i++) {
                if (l->files[i].size > p->attached_size - at)
                        return refuse(p, -EINVAL, "launch record: the bytes of a file are missing");
                at += l->files[i].size;
        }
        if (at != p->attached_size)
                return refuse(p, -EINVAL, "launch record: bytes that are no file's");
        l->values = malloc(MAX(at, (size_t) 1));
        if (!l->values)
                return -ENOMEM;
        l->values_size = at;
        if (at > 0)
                memcpy(l->values, p->attached, at);
        at = 0;
        for (size_t i = 0; i < l->n_files; i++) {
                l->files[i].data = l->values + at;
                at += l->files[i].size;
        }
        return 0;
}

static int parse_files(Parser *p, Launch *l)
{
        CLEANUP_STRV char **volumes = NULL, **paths = NULL, **modes = NULL, **sizes = NULL;
        size_t n;
        int r;

        r = get_list(p, "file.volume", LIMIT_VALUE_FILES, &volumes);
        if (r >= 0)
                r = get_list(p, "file.path", LIMIT_VALUE_FILES, &paths);
        if (r >= 0)
                r = get_list(p, "file.mode", LIMIT_VALUE_FILES, &modes);
        if (r >= 0)
                r = get_list(p, "file.size", LIMIT_VALUE_FILES, &sizes);
        if (r < 0)
                return r;
        n = strv_length(volumes);
        if (strv_length(paths) != n || strv_length(modes) != n || strv_length(sizes) != n)
                return refuse(p, -EINVAL, "launch record: file.*: lists of different length");
        l->files = calloc(MAX(n, (size_t) 1), sizeof(LaunchFile));
        if (!l->files)
                return -ENOMEM;
        for (size_t i = 0; i < n && r >= 0; i++)
                r = parse_file(p, volumes[i], paths[i], modes[i], sizes[i],
                                &l->files[l->n_files++]);
        return r < 0 ? r : take_values(p, l);
}

static int parse_mounts(Parser *p, Launch *l)
{
        CLEANUP_STRV char **sources = NULL, **targets = NULL, **options = NULL;
        size_t n;
        int r;

        r = get_list(p, "mount.source", LIMIT_MOUNTS, &sources);
        if (r >= 0)
                r = get_list(p, "mount.target", LIMIT_MOUNTS, &targets);
        if (r >= 0)
                r = get_list(p, "mount.options", LIMIT_MOUNTS, &options);
        if (r < 0)
                return r;
        n = strv_length(sources);
        if (strv_length(targets) != n || strv_length(options) != n)
                return refuse(p, -EINVAL, "launch record: mount.*: lists of different length");
        if (n == 0)
                return 0;

        l->mounts = calloc(n, sizeof(LaunchMount));
        if (!l->mounts)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                LaunchMount *m = &l->mounts[l->n_mounts++]; /* zeroed: launch_free() may see it */

                if (!path_is_absolute_normal(targets[i]) || streq(targets[i], "/"))
                        return refuse(p, -EINVAL,
                                        "launch record: mount.target: not an absolute, normal "
                                        "path: %.80s",
                                        targets[i]);
                r = parse_mount_options(p, options[i], m);
                if (r >= 0)
                        r = parse_mount_source(p, sources[i], m);
                if (r >= 0)
                        r = free_and_strdup(&m->target, targets[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_identity(Parser *p, Launch *l)
{
        int r;

        r = get_string(p, "pod_uid", true, id_is_valid, &l->pod_uid);
        if (r >= 0)
                r = get_string(p, "run", true, id_is_valid, &l->run);
        if (r >= 0)
                r = get_string(p, "namespace", true, name_is_valid, &l->namespace);
        if (r >= 0)
                r = get_string(p, "pod", true, name_is_valid, &l->pod);
        if (r >= 0)
                r = get_string(p, "container", true, name_is_valid, &l->container);
        if (r >= 0)
                r = get_u64(p, "generation", UINT64_MAX, &l->generation);
        if (r >= 0)
                r = get_string(p, "bus_name", false, NULL, &l->bus_name);
        return r;
}

static bool is_hostname(const char *s)
{
        return host_name_is_valid(s, LIMIT_HOSTNAME_MAX);
}

static bool is_host_line(const char *s)
{
        char address[ADDRESS_TEXT_SIZE], normal[ADDRESS_TEXT_SIZE];
        size_t n = strcspn(s, " ");

        if (!s[n] || n >= sizeof(address))
                return false;
        memcpy(address, s, n);
        address[n] = '\0';
        return address_normalize(address, normal) >= 0 &&
               host_name_is_valid(s + n + 1, LIMIT_DOMAIN_MAX);
}

static int parse_hosts(Parser *p, char ***ret)
{
        CLEANUP_STRV char **hosts = NULL;
        int r = get_list(p, "extra_host", LIMIT_EXTRA_HOSTS, &hosts);

        if (r < 0)
                return r;
        STRV_FOREACH(h, hosts)
        {
                if (!is_host_line(*h))
                        return refuse(p, -EINVAL,
                                        "launch record: extra_host: not an address and a name: "
                                        "%.100s",
                                        *h);
        }
        *ret = TAKE_PTR(hosts);
        return 0;
}

int launch_parse_hosts(const Record *record, char ***ret, char reterr[static LAUNCH_ERROR_MAX])
{
        Parser p = { .record = *record, .error = reterr };

        reterr[0] = 0;
        return parse_hosts(&p, ret);
}

static int parse_sandbox(Parser *p, Launch *l)
{
        uint64_t base = 0, count = 0;
        int r;

        r = get_choice(p, "sandbox", (const char *const[]){ "join", "create" }, &l->sandbox_create);
        if (r >= 0)
                r = get_choice(p, "userns", (const char *const[]){ "auto", "host" },
                                &l->userns_host);
        if (r >= 0)
                r = get_choice(p, "network", (const char *const[]){ "none", "host" },
                                &l->network_host);
        if (r >= 0)
                r = get_u64(p, "id_base", UINT32_MAX - LIMIT_IDS_PER_POD, &base);
        if (r >= 0)
                r = get_u64(p, "id_count", LIMIT_IDS_PER_POD, &count);
        if (r < 0)
                return r;
        /* Base 0 would back the container's root by the host's. */
        if (!l->userns_host && (base == 0 || count == 0))
                return refuse(p, -EINVAL,
                                "launch record: id_base and id_count are needed unless "
                                "userns=host");
        l->id_base = (uid_t) base;
        l->id_count = (uint32_t) count;
        r = get_string(p, "hostname", true, is_hostname, &l->hostname);
        if (r >= 0)
                r = parse_hosts(p, &l->extra_hosts);
        if (r >= 0)
                r = get_string(p, "rootfs", true, path_is_absolute_normal, &l->rootfs);
        if (r >= 0)
                r = get_string(p, "scratch", true, path_is_absolute_normal, &l->scratch);
        if (r >= 0)
                r = get_string(p, "libexec_dir", true, path_is_absolute_normal, &l->libexec_dir);
        return r;
}

static int parse_process(Parser *p, Launch *l)
{
        int r;

        l->cwd = strdup("/");
        l->user = strdup("0");
        if (!l->cwd || !l->user)
                return -ENOMEM;
        r = get_list(p, "argv", LIMIT_ARGV_ENV_MAX, &l->argv);
        if (r >= 0 && strv_length(l->argv) == 0)
                r = refuse(p, -EINVAL, "launch record: argv is missing");
        if (r >= 0)
                r = get_list(p, "env", LIMIT_ARGV_ENV_MAX, &l->env);
        if (r >= 0)
                r = get_string(p, "cwd", false, NULL, &l->cwd);
        if (r >= 0 && l->cwd[0] != '/')
                r = refuse(p, -EINVAL, "launch record: cwd: not absolute: %.100s", l->cwd);
        if (r >= 0)
                r = get_string(p, "user", false, NULL, &l->user);
        if (r >= 0)
                r = get_list(p, "group", LIMIT_GROUPS_MAX, &l->groups);
        if (r >= 0)
                r = get_choice(p, "tty", (const char *const[]){ "0", "1" }, &l->tty);
        if (r >= 0)
                r = get_choice(p, "init", (const char *const[]){ "tank", "none" }, &l->init_none);
        return r;
}

static int parse_security(Parser *p, Launch *l)
{
        const char *file;
        bool no_nnp = false;
        int r;

        r = get_list(p, "cap_add", 64, &l->cap_add);
        if (r >= 0)
                r = get_list(p, "cap_drop", 64, &l->cap_drop);
        if (r >= 0)
                r = get_choice(p, "no_new_privileges", (const char *const[]){ "1", "0" }, &no_nnp);
        if (r >= 0)
                r = get_choice(p, "privileged", (const char *const[]){ "0", "1" }, &l->privileged);
        if (r >= 0)
                r = get_string(p, "seccomp_cache", true, path_is_absolute_normal,
                                &l->seccomp_cache);
        if (r < 0)
                return r;
        l->no_new_privileges = !no_nnp;

        l->seccomp = strdup(record_get(&p->record, "seccomp") ?: "default");
        if (!l->seccomp)
                return -ENOMEM;
        file = startswith(l->seccomp, "file:");
        if (file && path_is_absolute_normal(file))
                return free_and_strdup(&l->seccomp_file, file);
        l->seccomp_unconfined = streq(l->seccomp, "unconfined");
        if (!l->seccomp_unconfined && !streq(l->seccomp, "default"))
                return refuse(p, -EINVAL,
                                "launch record: seccomp: not default, unconfined or "
                                "file:<absolute path>: %.80s",
                                l->seccomp);
        return 0;
}

static int parse_limits(Parser *p, LaunchLimits *ret)
{
        LaunchLimits l = { .cpu_period = 100000 };
        int r;

        r = get_u64(p, "limit.memory", INT64_MAX, &l.memory);
        if (r >= 0)
                r = get_u64(p, "limit.pids", INT32_MAX, &l.pids);
        if (r >= 0)
                r = get_u64(p, "limit.cpu_quota", INT64_MAX, &l.cpu_quota);
        if (r >= 0)
                r = get_u64(p, "limit.cpu_period", USEC_PER_SEC, &l.cpu_period);
        if (r >= 0)
                *ret = l;
        return r;
}

int launch_parse_limits(
                const Record *record, LaunchLimits *ret, char reterr[static LAUNCH_ERROR_MAX])
{
        Parser p = { .record = *record, .error = reterr };

        reterr[0] = 0;
        return parse_limits(&p, ret);
}

static int parse_resources(Parser *p, Launch *l)
{
        uint64_t signo = 15, files = LIMIT_LOG_FILES_MIN;
        int r;

        l->stop_grace_usec = 10 * USEC_PER_SEC;
        r = parse_limits(p, &l->limits);
        if (r >= 0)
                r = get_u64(p, "stop.signal", 64, &signo);
        if (r >= 0)
                r = get_u64(p, "stop.grace_usec", USEC_INFINITY, &l->stop_grace_usec);
        if (r >= 0)
                r = get_string(p, "log.dir", true, path_is_absolute_normal, &l->log_dir);
        if (r >= 0)
                r = get_string(p, "log.name", true, NULL, &l->log_name);
        l->log_max_size = UINT64_C(5) * 1000 * 1000;
        if (r >= 0)
                r = get_u64(p, "log.max_size", INT64_MAX, &l->log_max_size);
        if (r >= 0)
                r = get_u64(p, "log.max_files", LIMIT_LOG_FILES_MAX, &files);
        if (r >= 0)
                r = get_string(p, "cgroup.scope", false, NULL, &l->cgroup_scope);
        if (r >= 0)
                r = get_string(p, "cgroup.path", false, NULL, &l->cgroup_path);
        if (r < 0)
                return r;
        l->stop_signal = (int) signo;
        l->log_max_files = (unsigned) files;
        if (l->stop_signal < 1)
                return refuse(p, -EINVAL, "launch record: stop.signal: not 1-64");
        if (strchr(l->log_name, '/') || l->log_name[0] == '.' || l->log_name[0] == 0)
                return refuse(p, -EINVAL, "launch record: log.name: not a plain file name");
        if (!!l->cgroup_scope == !!l->cgroup_path)
                return refuse(p, -EINVAL,
                                "launch record: exactly one of cgroup.scope and "
                                "cgroup.path is needed");
        /* Beneath each hierarchy's mount in any case. */
        if (l->cgroup_path)
                memmove(l->cgroup_path, l->cgroup_path + strspn(l->cgroup_path, "/"),
                                strlen(l->cgroup_path + strspn(l->cgroup_path, "/")) + 1);
        return 0;
}

typedef int (*ParsePart)(Parser *p, Launch *l);

static int parse_parts(const void *data, size_t size, const ParsePart *parts, size_t n_parts,
                Launch **ret, char reterr[static LAUNCH_ERROR_MAX])
{
        CLEANUP(launch_freep) Launch *l = NULL;
        Parser p = { .error = reterr };
        int r;

        reterr[0] = 0;
        r = record_parse_attached(
                        data, size, LAUNCH_VERSION, &p.record, &p.attached, &p.attached_size);
        if (r == -EPROTONOSUPPORT)
                return refuse(&p, r, "launch record: written by a newer version of tank");
        if (r < 0)
                return refuse(&p, r, "launch record: malformed");

        l = calloc(1, sizeof(Launch));
        if (!l)
                return -ENOMEM;
        for (size_t i = 0; i < n_parts; i++) {
                r = parts[i](&p, l);
                if (r < 0) {
                        if (!reterr[0])
                                (void) refuse(&p, r, "launch record: cannot be read");
                        return r;
                }
        }
        *ret = TAKE_PTR(l);
        return 0;
}

int launch_parse(const void *data, size_t size, Launch **ret, char reterr[static LAUNCH_ERROR_MAX])
{
        static const ParsePart parts[] = {
                parse_identity,
                parse_sandbox,
                parse_process,
                parse_mounts,
                parse_files,
                parse_security,
                parse_resources,
        };

        return parse_parts(data, size, parts, ARRAY_SIZE(parts), ret, reterr);
}

int launch_parse_values(
                const void *data, size_t size, Launch **ret, char reterr[static LAUNCH_ERROR_MAX])
{
        return parse_parts(data, size, (const ParsePart[]){ parse_files }, 1, ret, reterr);
}

static int read_with(int (*parse)(const void *, size_t, Launch **, char *), int fd, Launch **ret,
                char reterr[static LAUNCH_ERROR_MAX])
{
        CLEANUP_FREE char *data = NULL;
        size_t size;
        int r;

        r = read_fd_bounded(fd, LIMIT_LAUNCH_MAX, &data, &size);
        if (r < 0) {
                (void) snprintf(reterr, LAUNCH_ERROR_MAX, "launch record: cannot be read");
                return r;
        }
        r = parse(data, size, ret, reterr);
        explicit_bzero(data, size); /* environment and files may hold secrets */
        return r;
}

int launch_read(int fd, Launch **ret, char reterr[static LAUNCH_ERROR_MAX])
{
        return read_with(launch_parse, fd, ret, reterr);
}

int launch_read_values(int fd, Launch **ret, char reterr[static LAUNCH_ERROR_MAX])
{
        return read_with(launch_parse_values, fd, ret, reterr);
}

void launch_forget_values(Launch *l)
{
        for (size_t i = 0; i < l->n_files; i++) {
                free(l->files[i].volume);
                free(l->files[i].path);
        }
        free(l->files);
        if (l->values)
                explicit_bzero(l->values, l->values_size);
        free(l->values);
        l->files = NULL;
        l->values = NULL;
        l->n_files = l->values_size = 0;
}

Launch *launch_free(Launch *l)
{
        if (!l)
                return NULL;
        launch_forget_values(l);
        free(l->pod_uid);
        free(l->run);
        free(l->namespace);
        free(l->pod);
        free(l->container);
        free(l->hostname);
        strv_free(l->extra_hosts);
        free(l->rootfs);
        free(l->scratch);
        strv_free(l->argv);
        strv_free(l->env);
        free(l->cwd);
        free(l->user);
        strv_free(l->groups);
        for (size_t i = 0; i < l->n_mounts; i++) {
                free(l->mounts[i].source);
                free(l->mounts[i].target);
                free(l->mounts[i].values);
        }
        free(l->mounts);
        strv_free(l->cap_add);
        strv_free(l->cap_drop);
        free(l->seccomp_file);
        free(l->seccomp);
        free(l->log_dir);
        free(l->log_name);
        free(l->cgroup_scope);
        free(l->cgroup_path);
        free(l->bus_name);
        free(l->seccomp_cache);
        free(l->libexec_dir);
        free(l);
        return NULL;
}
