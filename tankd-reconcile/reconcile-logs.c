/* SPDX-License-Identifier: Apache-2.0 */

/* See reconcile-logs.h. */

#include <dirent.h>
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

int manager_prepare_logs(Manager *m)
{
        CLEANUP_CLOSE int fd = -EBADF;
        struct stat st;
        gid_t group;
        int r;

        r = mkdir_p(m->paths.log_dir, 0750);
        if (r < 0)
                return log_error_errno(r, "cannot make %s", m->paths.log_dir);
        if (tank_group(&group) < 0)
                return 0; /* root alone calls us */
        fd = open(m->paths.log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return log_error_errno(-errno, "cannot open %s", m->paths.log_dir);
        if (st.st_gid != 0)
                return 0; /* what an administrator or systemd-tmpfiles decided */
        if (fchown(fd, (uid_t) -1, group) < 0 ||
                        fchmod(fd, (st.st_mode & ALLPERMS) | S_ISGID | S_IRGRP | S_IXGRP) < 0)
                log_warning_errno(-errno,
                                "cannot give %s to group tank, whose members will not read "
                                "logs, ignoring",
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

/* The one container that has a log in @dir. */
static int find_only_container(int dir, char **ret)
{
        CLEANUP_FREE char *found = NULL;
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        struct dirent *e;
        DIR *d;

        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (e = readdir(d))) {
                size_t n = strlen(e->d_name);

                if (n <= 4 || !streq(e->d_name + n - 4, ".log"))
                        continue;
                if (found)
                        r = -ENOTUNIQ;
                else if (!(found = strndup(e->d_name, n - 4)))
                        r = -ENOMEM;
        }
        (void) closedir(d);
        if (r < 0)
                return r;
        if (!found)
                return -ENOENT;
        *ret = TAKE_PTR(found);
        return 0;
}

/* @live: the container may write, so its current file is named before it is there. */
static int list_files(int dir, const char *container, bool live, char ***ret)
{
        CLEANUP_STRV char **names = NULL;
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
                r = strv_append(&names, name);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(names);
        return 0;
}

int manager_open_logs(Manager *m, const char *namespace, const char *pod, const char *container,
                int *ret_dir, char ***ret_names, sd_bus_error *reterr)
{
        CLEANUP_FREE char *only = NULL;
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
        if (!*container && p && p->n_containers > 0)
                container = p->containers[0]->name;
        else if (!*container) {
                r = find_only_container(dir, &only);
                if (r == -ENOTUNIQ)
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "pod %s/%s is gone and has logs of several containers: "
                                        "name "
                                        "one",
                                        namespace, pod);
                if (r < 0)
                        return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                        "there is no log of pod %s/%s", namespace, pod);
                container = only;
        }
        r = list_files(dir, container, p, ret_names);
        if (r < 0)
                return r;
        if (!*ret_names && !p) {
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "there is no log of container %s of pod %s/%s", container,
                                namespace, pod);
        }
        *ret_dir = TAKE_FD(dir);
        return 0;
}
