/* SPDX-License-Identifier: Apache-2.0 */

/* See member.h. The bus tells a user's groups by its name and not by its process, so it takes an
 * entry in both files to be a member. */

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "fd.h"
#include "member.h"

#define TANK_GROUP "tank"
#define FILE_MAX   (1024U * 1024U)
#define SYSTEM_ID  999U /* the highest id of those that are neither people's nor well known */

static int free_id(unsigned *ret)
{
        for (unsigned id = SYSTEM_ID; id >= 100; id--)
                if (!getpwuid(id) && !getgrgid(id)) {
                        *ret = id;
                        return 0;
                }
        return -ENOSPC;
}

static size_t line_length(const char *line)
{
        size_t n = strcspn(line, "\n");

        return n + (line[n] == '\n');
}

/* The file's lines, with the member in tank's. */
static int print_group(FILE *f, const char *text, unsigned gid)
{
        bool found = false;

        for (size_t n; *text; text += n) {
                n = line_length(text);
                if (strncmp(text, TANK_GROUP ":", strlen(TANK_GROUP ":")) != 0) {
                        (void) fwrite(text, 1, n, f);
                        continue;
                }
                size_t end = strcspn(text, "\n");
                (void) fprintf(f, "%.*s%s%s\n", (int) end, text, text[end - 1] == ':' ? "" : ",",
                                MEMBER_USER);
                found = true;
        }
        if (!found)
                (void) fprintf(f, "%s:x:%u:%s\n", TANK_GROUP, gid, MEMBER_USER);
        return ferror(f) ? -ENOMEM : 0;
}

static int print_passwd(FILE *f, const char *text, unsigned uid)
{
        (void) fputs(text, f);
        (void) fprintf(f, "%s:x:%u:65534::/nonexistent:/usr/sbin/nologin\n", MEMBER_USER, uid);
        return ferror(f) ? -ENOMEM : 0;
}

static int copy_with(int dir_fd, const char *name, int (*print)(FILE *, const char *, unsigned),
                unsigned id)
{
        CLEANUP_FREE char *path = NULL, *text = NULL, *changed = NULL;
        size_t size;
        FILE *f;
        int r;

        if (asprintf(&path, "/etc/%s", name) < 0)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, FILE_MAX, &text, &size);
        if (r < 0)
                return r;
        f = open_memstream(&changed, &size);
        if (!f)
                return -ENOMEM;
        if (text[0] && text[strlen(text) - 1] != '\n')
                r = -EBADMSG; /* a line of ours would be part of the last one */
        else
                r = print(f, text, id);
        if (fclose(f) != 0 && r >= 0)
                r = -ENOMEM;
        return r < 0 ? r : write_file_atomic_at(dir_fd, name, changed, size, 0644, false);
}

static int lay_over(const char *dir, const char *name)
{
        CLEANUP_FREE char *from = NULL, *to = NULL;

        if (asprintf(&from, "%s/%s", dir, name) < 0 || asprintf(&to, "/etc/%s", name) < 0)
                return -ENOMEM;
        return mount(from, to, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int member_provide(const char *dir)
{
        CLEANUP_CLOSE int dir_fd = -EBADF;
        unsigned id;
        int r;

        if (getpwnam(MEMBER_USER))
                return 0;
        r = free_id(&id);
        if (r < 0)
                return r;
        r = mkdir_p(dir, 0755);
        if (r < 0)
                return r;
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        r = copy_with(dir_fd, "group", print_group, id);
        if (r >= 0)
                r = copy_with(dir_fd, "passwd", print_passwd, id);
        if (r < 0)
                return r;
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return -errno;
        r = lay_over(dir, "group");
        return r < 0 ? r : lay_over(dir, "passwd");
}
