/* SPDX-License-Identifier: Apache-2.0 */

/* The host's half of a root file system: the run's scratch directory, and detached copies of what
 * the container shall see of the host's files, idmapped so that the container's root owns what root
 * owns on disk. Nothing is ever attached in the host's mount namespace, so nothing can leak there.
 *
 * The scratch directory holds the writable layer (upper/, work/) and nothing else: making a file on
 * a disk takes longer than mounting, so all that is only mounted on or read is in a tmpfs that the
 * container's half makes. */

#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "shim-mount.h"
#include "shim-pins.h"
#include "shim-values.h"
#include "strv.h"

void trees_init(Trees *t)
{
        t->scratch = t->lower = t->shm = t->init = -EBADF;
        for (size_t i = 0; i < LIMIT_MOUNTS; i++)
                t->volumes[i] = -EBADF;
}

void trees_done(Trees *t)
{
        t->scratch = safe_close(t->scratch);
        t->lower = safe_close(t->lower);
        t->shm = safe_close(t->shm);
        t->init = safe_close(t->init);
        for (size_t i = 0; i < LIMIT_MOUNTS; i++)
                t->volumes[i] = safe_close(t->volumes[i]);
}

size_t trees_list(Trees *t, const Launch *launch, int *fds[static TREES_FDS_MAX])
{
        size_t n = 0;

        fds[n++] = &t->scratch;
        fds[n++] = &t->lower;
        fds[n++] = &t->shm;
        if (!launch->init_none)
                fds[n++] = &t->init;
        for (size_t i = 0; i < launch->n_mounts; i++)
                fds[n++] = &t->volumes[i];
        return n;
}

/* ---- scratch ---- */

static int read_host_file(const char *path, char **ret)
{
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, ETC_FILE_MAX, ret, &size);
        return r == -ENOENT ? 0 : r;
}

void etc_files_done(EtcFiles *e)
{
        free(e->hosts);
        free(e->hostname);
        free(e->resolv);
}

/* Whether somebody who declared @name (of @n bytes) said another address for it. */
static bool is_extra_host(const Launch *launch, const char *name, size_t n)
{
        STRV_FOREACH(h, launch->extra_hosts)
        {
                const char *extra = strchr(*h, ' ') + 1;

                if (strlen(extra) == n && strncmp(extra, name, n) == 0)
                        return true;
        }
        return false;
}

/* Beside localhost, which the host's file has already: the host name, and its first part. */
static void put_own_names(FILE *f, const Launch *launch, bool has_localhost)
{
        const char *name = launch->hostname;
        size_t whole = strlen(name), label = strcspn(name, ".");
        bool named = !is_extra_host(launch, name, whole);
        bool short_named = label < whole && !is_extra_host(launch, name, label);

        if (has_localhost && !named && !short_named)
                return;
        fprintf(f, "127.0.0.1%s", has_localhost ? "" : " localhost");
        if (named)
                fprintf(f, " %s", name);
        if (short_named)
                fprintf(f, " %.*s", (int) label, name);
        fputc('\n', f);
}

/* A pod on the host's network resolves as the host does; any other has nobody to ask. */
static int hosts_text(const Launch *launch, char **ret)
{
        CLEANUP_FREE char *host = NULL, *text = NULL;
        size_t size;
        FILE *f;
        int r = 0;

        if (launch->network_host)
                r = read_host_file("/etc/hosts", &host);
        if (r < 0)
                return r;
        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        if (host)
                fprintf(f, "%s\n", host);
        put_own_names(f, launch, host);
        if (!host)
                fputs("::1 localhost ip6-localhost\n", f);
        STRV_FOREACH(h, launch->extra_hosts)
        {
                fprintf(f, "%s\n", *h);
        }
        if (fclose(f) != 0)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}

static int rewrite(int fd, const char *text)
{
        int r;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        r = write_full(fd, text, strlen(text));
        return ftruncate(fd, (off_t) strlen(text)) < 0 && r >= 0 ? -errno : r;
}

/* In place, since it is a mount: cut to length last, so that nobody ever sees it empty. The space
 * is the file's own (see shim-rootfs.c), and what the container put behind that length goes with
 * the cut: then there is room. Again for whoever writes at the same time. */
int etc_hosts_rewrite(const Launch *launch, int fd)
{
        CLEANUP_FREE char *text = NULL;
        unsigned tries = 3;
        int r;

        r = hosts_text(launch, &text);
        if (r < 0)
                return r;
        do
                r = rewrite(fd, text);
        while (r == -ENOSPC && --tries > 0);
        return r;
}

int etc_files_make(const Launch *launch, EtcFiles *ret, SetupReport *reterr)
{
        CLEANUP(etc_files_done) EtcFiles e = { 0 };
        int r;

        r = hosts_text(launch, &e.hosts);
        if (r >= 0 && launch->network_host)
                r = read_host_file("/etc/resolv.conf", &e.resolv);
        if (r < 0)
                return setup_report_set(reterr, r, "etc", "the host's hosts and resolv.conf");
        if (asprintf(&e.hostname, "%s\n", launch->hostname) < 0)
                e.hostname = NULL;
        if (!e.resolv)
                e.resolv = strdup("");
        if (!e.hosts || !e.hostname || !e.resolv)
                return setup_report_set(reterr, -ENOMEM, "etc", "%s", "");
        *ret = e;
        e = (EtcFiles){ 0 };
        return 0;
}

int scratch_make(const Launch *launch, SetupReport *reterr)
{
        CLEANUP_CLOSE int dir_fd = -EBADF;
        struct stat st;
        int r;

        if (stat(launch->rootfs, &st) < 0)
                return setup_report_set(reterr, -errno, "rootfs", "%.180s", launch->rootfs);
        if (!S_ISDIR(st.st_mode))
                return setup_report_set(reterr, -ENOTDIR, "rootfs", "%.180s", launch->rootfs);
        r = mkdir_p_open_at(AT_FDCWD, launch->scratch, 0700, &dir_fd);
        if (r < 0)
                return setup_report_set(
                                reterr, r, "rootfs", "scratch directory %.150s", launch->scratch);
        /* The upper directory's attributes are those of the container's "/". */
        if (mkdirat(dir_fd, "work", 0700) < 0 || mkdirat(dir_fd, "upper", 0700) < 0 ||
                        fchownat(dir_fd, "upper", st.st_uid, st.st_gid, 0) < 0 ||
                        fchmodat(dir_fd, "upper", st.st_mode & 07777, 0) < 0)
                return setup_report_set(reterr, -errno, "rootfs", "writable layer in %.150s",
                                launch->scratch);
        return 0;
}

/* ---- trees ---- */

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
        char *to = s;

        while (*s) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
                        *to++ = (char) ((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
                        s += 4;
                } else {
                        *to++ = *s++;
                }
        }
        *to = 0;
}

/* EINVAL does not say which mount of a tree cannot be idmapped: find the first that refuses. */
static void name_refusing_mount(const char *source, int userns_fd, char *buf, size_t size)
{
        CLEANUP(fclosep) FILE *f = fopen("/proc/self/mountinfo", "re");
        CLEANUP_FREE char *line = NULL;
        size_t n = 0, prefix = strlen(source);

        (void) snprintf(buf, size, "%s", source);
        while (f && getline(&line, &n, f) >= 0) {
                char point[4096], type[64];
                int fd = -EBADF;

                if (sscanf(line, "%*s %*s %*s %*s %4095s %*[^-]- %63s", point, type) != 2)
                        continue;
                unescape(point);
                if (strncmp(point, source, prefix) != 0 ||
                                (point[prefix] != '/' && point[prefix] != 0))
                        continue;
                if (mount_detach(AT_FDCWD, point, false, 0, userns_fd, &fd) == -EINVAL) {
                        (void) snprintf(buf, size, "%.150s (%s)", point, type);
                        return;
                }
                (void) safe_close(fd);
        }
}

static int volume_make(const LaunchMount *m, int userns_fd, int *ret_fd, SetupReport *reterr)
{
        uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                              (m->read_only ? MOUNT_ATTR_RDONLY : 0);
        CLEANUP_CLOSE int source = -EBADF;
        char where[192];
        int r;

        source = open(m->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (source < 0)
                return setup_report_set(reterr, -errno, "volume", "%.180s", m->source);
        if (m->idmap == IDMAP_OFF)
                userns_fd = -EBADF;
        r = mount_detach(source, "", true, attributes, userns_fd, ret_fd);
        if (r == -EINVAL && userns_fd >= 0) {
                name_refusing_mount(m->source, userns_fd, where, sizeof(where));
                return setup_report_tell(reterr, r, "volume",
                                "the file system at %.150s cannot be idmapped; set idmap: off",
                                where);
        }
        if (r < 0)
                return setup_report_set(reterr, r, "volume", "%.180s", m->source);
        return 0;
}

/* Executed from a copy of its own mount, read-only for ever: /proc/1/exe in the container leads to
 * that mount, and opening it for writing gives EROFS whoever asks. */
static int init_make(const Launch *launch, int *ret_fd, SetupReport *reterr)
{
        CLEANUP_FREE char *path = NULL;
        int r;

        if (asprintf(&path, "%s/tank-init", launch->libexec_dir) < 0) {
                path = NULL;
                return setup_report_set(reterr, -ENOMEM, "init", "tank-init");
        }
        r = mount_detach(AT_FDCWD, path, false,
                        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, -EBADF, ret_fd);
        return r < 0 ? setup_report_set(reterr, r, "init", "%.180s", path) : 0;
}

static int refuse_layer(SetupReport *reterr, int r, const char *path)
{
        return r == -EINVAL ? setup_report_tell(reterr, r, "rootfs",
                                              "the file system at %.150s cannot be idmapped; put "
                                              "it "
                                              "on another one",
                                              path)
                            : setup_report_set(reterr, r, "rootfs", "%.150s", path);
}

int trees_make(const Launch *launch, int pod_dir, int userns_fd, Trees *ret, SetupReport *reterr)
{
        CLEANUP(trees_done) Trees t;
        int r;

        trees_init(&t);
        r = mount_detach(AT_FDCWD, launch->scratch, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                        userns_fd, &t.scratch);
        if (r < 0)
                return refuse_layer(reterr, r, launch->scratch);
        r = mount_detach(AT_FDCWD, launch->rootfs, false, MOUNT_ATTR_RDONLY, userns_fd, &t.lower);
        if (r < 0)
                return refuse_layer(reterr, r, launch->rootfs);
        r = pins_copy_shm(pod_dir, launch, &t.shm);
        if (r < 0)
                return setup_report_set(reterr, r, "devices", "the pod's /dev/shm");
        if (!launch->init_none) {
                r = init_make(launch, &t.init, reterr);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < launch->n_mounts; i++) {
                const LaunchMount *m = &launch->mounts[i];

                r = m->values ? values_make(launch, m, &t.volumes[i], reterr)
                              : volume_make(m, userns_fd, &t.volumes[i], reterr);
                if (r < 0)
                        return r;
        }
        *ret = t;
        trees_init(&t);
        return 0;
}
