/* SPDX-License-Identifier: Apache-2.0 */

/* See reconcile-logs.h. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bus-access.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "names.h"
#include "reconcile-entry.h"
#include "reconcile-logs.h"
#include "reconcile-pods.h"
#include "strv.h"

#define CONTAINERS_MAX 256U /* of a pod that is gone: it may have had others at other times */

/* A directory hands its group on to what is made in it; not to what was there before. 1: it is
 * @group's; 0: another group's, as an administrator decided. */
static int give_directory(int fd, gid_t group)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_gid != 0)
                return st.st_gid == group;
        if (fchown(fd, (uid_t) -1, group) < 0 ||
                        fchmod(fd, (st.st_mode & ALLPERMS) | S_ISGID | S_IRGRP | S_IXGRP) < 0)
                return -errno;
        return 1;
}

static int give_file(int dir, const char *name, gid_t group)
{
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno; /* rotated away */
        if (!S_ISREG(st.st_mode) || st.st_gid != 0)
                return 0;
        return fchownat(dir, name, (uid_t) -1, group, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* What is in @dir: namespaces, pods, files. The first failure is returned, behind all others. */
static int give_contents(int dir, gid_t group, unsigned depth)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int result;

        result = opendir_beneath(dir, ".", &d);
        if (result < 0)
                return result;
        while ((e = readdir(d))) {
                CLEANUP_CLOSE int child = -EBADF;
                int r;

                if (e->d_name[0] == '.') /* neither a namespace, nor a pod, nor a log */
                        continue;
                if (depth == 0) {
                        r = give_file(dir, e->d_name, group);
                } else {
                        child = openat(dir, e->d_name,
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                        if (child < 0)
                                continue;
                        r = give_directory(child, group);
                        if (r > 0)
                                r = give_contents(child, group, depth - 1);
                }
                result = result < 0 ? result : r;
        }
        return result;
}

int manager_prepare_logs(Manager *m)
{
        CLEANUP_CLOSE int fd = -EBADF;
        gid_t group;
        int r;

        r = mkdir_p(m->paths.log_dir, 0750);
        if (r < 0)
                return log_error_errno(r, "cannot make %s", m->paths.log_dir);
        if (tank_group(&group) < 0)
                return 0; /* root alone calls us */
        fd = open(m->paths.log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return log_error_errno(-errno, "cannot open %s", m->paths.log_dir);
        r = give_directory(fd, group);
        if (r > 0)
                r = give_contents(fd, group, 2);
        if (r < 0)
                log_warning_errno(r,
                                "cannot give all of %s to group tank, whose members will not read "
                                "all logs, ignoring",
                                m->paths.log_dir);
        return 0;
}

/* A follower must have something to watch before the first line is written. */
static int open_log_directory(
                Manager *m, const char *namespace, const char *pod, bool known, int *ret_dir)
{
        CLEANUP_FREE char *path = NULL;

        if (asprintf(&path, "%s/%s/%s", m->paths.log_dir, namespace, pod) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (known) {
                int r = mkdir_p(path, 0750);

                if (r < 0)
                        return r;
        }
        *ret_dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return *ret_dir < 0 ? -errno : 0;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The containers that have a log in @dir. */
static int find_containers(int dir, char ***ret)
{
        CLEANUP_STRV char **found = NULL;
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(dir, ".", &d);
        if (r < 0)
                return r;
        while (r >= 0 && strv_length(found) < CONTAINERS_MAX && (e = readdir(d))) {
                size_t n = strlen(e->d_name);

                if (n <= 4 || !streq(e->d_name + n - 4, ".log"))
                        continue;
                r = strv_append_take(&found, strndup(e->d_name, n - 4));
        }
        if (r < 0)
                return r;
        if (found)
                qsort(found, strv_length(found), sizeof(char *), compare_strings);
        *ret = TAKE_PTR(found);
        return 0;
}

/* Those whose logs are meant: the one that is named, all of the pod, all that left one. */
static int list_containers(const PodEntry *p, const char *container, int dir, char ***ret)
{
        CLEANUP_STRV char **containers = NULL;
        int r = 0;

        if (*container)
                r = strv_append(&containers, container);
        else if (p)
                for (size_t i = 0; i < p->n_containers && r >= 0; i++)
                        r = strv_append(&containers, p->containers[i]->name);
        else
                return find_containers(dir, ret);
        if (r >= 0)
                *ret = TAKE_PTR(containers);
        return r;
}

/* @live: the container may write, so its current file is named before it is there. */
static int list_files(int dir, const char *container, bool live, char ***names)
{
        struct stat st;
        int r;

        for (unsigned i = LIMIT_LOG_FILES_MAX; i > 0; i--) {
                char name[LIMIT_NAME_MAX + sizeof(".log.100")];

                if (i == 1)
                        (void) snprintf(name, sizeof(name), "%.63s.log", container);
                else
                        (void) snprintf(name, sizeof(name), "%.63s.log.%u", container, i - 1);
                if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? i > 1 || !live
                                                                     : !S_ISREG(st.st_mode))
                        continue;
                r = strv_append(names, name);
                if (r < 0)
                        return r;
        }
        return 0;
}

int manager_open_logs(Manager *m, const char *namespace, const char *pod, const char *container,
                int *ret_dir, char ***ret_names, sd_bus_error *reterr)
{
        CLEANUP_STRV char **containers = NULL, **names = NULL;
        CLEANUP_CLOSE int dir = -EBADF;
        PodEntry *p;
        int r;

        /* They become path components. */
        if (!name_is_valid(namespace) || !name_is_valid(pod) ||
                        (*container && !name_is_valid(container)))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "namespace, pod and container must be legal names");
        p = manager_find_pod(m, namespace, pod);
        if (p && *container && !pod_container(p, container))
                p = NULL;
        r = open_log_directory(m, namespace, pod, p, &dir);
        if (r == -ENOENT)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "there is no pod %s in namespace %s, and no log of one%s%s", pod,
                                namespace, *container ? " with a container " : "", container);
        if (r < 0)
                return tank_error_set_errno(reterr, r, "cannot open %s/%s/%s", m->paths.log_dir,
                                namespace, pod);
        r = list_containers(p, container, dir, &containers);
        for (size_t i = 0; r >= 0 && containers && containers[i]; i++)
                r = list_files(dir, containers[i], p, &names);
        if (r < 0)
                return r;
        if (!names)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "there is no log of %s%s%spod %s/%s",
                                *container ? "container " : "", container, *container ? " of " : "",
                                namespace, pod);
        *ret_names = TAKE_PTR(names);
        *ret_dir = TAKE_FD(dir);
        return 0;
}
