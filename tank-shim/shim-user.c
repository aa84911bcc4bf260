/* SPDX-License-Identifier: Apache-2.0 */

/* Who a process runs as, from the container's own /etc/passwd and /etc/group.
 *
 * Both files come from an image and are not trusted: they are opened beneath the root (no symlink
 * leads out), must be regular files of bounded size (no FIFO to hang on), and a line that does not
 * parse is as if it were not there. Numbers are read exactly, so that no overflow, sign or trailing
 * text ever ends up as uid 0. Runs in the child, whose "/" is the container's root. */

#include <sys/stat.h>

#include "fd.h"
#include "limit.h"
#include "quantity.h"
#include "shim-user.h"
#include "strv.h"

static void file_done(IdentityFile *f)
{
        free(f->data);
}

/* A file that is missing is an empty one; anything that is not a bounded regular file is
 * refused. */
static int file_read(const char *path, IdentityFile *ret)
{
        CLEANUP_CLOSE int root = -EBADF, fd = -EBADF;
        struct stat st;

        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -errno;
        fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        return read_fd_bounded(fd, LIMIT_PASSWD_FILE_MAX, &ret->data, &ret->size);
}

/* One line "a:b:c…", cut in place into at most @max fields; the last one takes the rest. */
static size_t split_fields(char *line, char **fields, size_t max)
{
        size_t n = 0;

        while (n < max) {
                fields[n++] = line;
                line = n < max ? strchr(line, ':') : NULL;
                if (!line)
                        break;
                *line++ = 0;
        }
        return n;
}

/* The next line of @f as a private copy in @buf; too long ones are skipped. */
static bool next_line(const IdentityFile *f, size_t *pos, char *buf, size_t size)
{
        while (f->data && *pos < f->size) {
                const char *start = f->data + *pos;
                const char *end = memchr(start, '\n', f->size - *pos);
                size_t n = end ? (size_t) (end - start) : f->size - *pos;

                *pos += n + 1;
                if (n == 0 || n >= size || memchr(start, 0, n))
                        continue;
                memcpy(buf, start, n);
                buf[n] = 0;
                return true;
        }
        return false;
}

static bool parse_id(const char *s, uint32_t *ret)
{
        uint64_t v;

        /* (uid_t) -1 means "leave it" to the kernel. */
        if (parse_u64(s, &v) < 0 || v >= UINT32_MAX)
                return false;
        *ret = (uint32_t) v;
        return true;
}

typedef struct PasswdEntry {
        char name[64];
        uid_t uid;
        gid_t gid;
        char home[512];
} PasswdEntry;

/* By @name, or by @uid when @name is NULL. */
static bool find_passwd(const IdentityFile *f, const char *name, uid_t uid, PasswdEntry *ret)
{
        char line[2048];

        for (size_t pos = 0; next_line(f, &pos, line, sizeof(line));) {
                char *fields[7];
                uint32_t u, g;

                if (split_fields(line, fields, 7) < 6 || !parse_id(fields[2], &u) ||
                                !parse_id(fields[3], &g))
                        continue;
                if (name ? !streq(fields[0], name) : u != uid)
                        continue;
                if (strlen(fields[0]) >= sizeof(ret->name) ||
                                strlen(fields[5]) >= sizeof(ret->home))
                        continue;
                strcpy(ret->name, fields[0]);
                strcpy(ret->home, fields[5]);
                ret->uid = u;
                ret->gid = g;
                return true;
        }
        return false;
}

static bool list_has(char *list, const char *name)
{
        char *state = NULL;

        for (char *m = strtok_r(list, ",", &state); m; m = strtok_r(NULL, ",", &state)) {
                if (streq(m, name))
                        return true;
        }
        return false;
}

static int add_group(Identity *id, gid_t gid)
{
        for (size_t i = 0; i < id->n_groups; i++) {
                if (id->groups[i] == gid)
                        return 0;
        }
        if (id->n_groups >= LIMIT_GROUPS_MAX)
                return -E2BIG;
        if (!id->groups) {
                id->groups = calloc(LIMIT_GROUPS_MAX, sizeof(gid_t));
                if (!id->groups)
                        return -ENOMEM;
        }
        id->groups[id->n_groups++] = gid;
        return 0;
}

/* With @member every group that lists it; else the one called @name. 1: found any. */
static int find_groups(const IdentityFile *f, const char *member, const char *name, Identity *id)
{
        size_t size = 64 * 1024; /* a group may list thousands of members */
        CLEANUP_FREE char *line = malloc(size);
        int found = 0, r;

        if (!line)
                return -ENOMEM;
        for (size_t pos = 0; next_line(f, &pos, line, size);) {
                char *fields[4], nobody[] = "";
                size_t n = split_fields(line, fields, 4);
                uint32_t g;

                if (n < 3 || !parse_id(fields[2], &g))
                        continue;
                if (n == 3) /* without the list of members */
                        fields[3] = nobody;
                if (name ? !streq(fields[0], name) : !list_has(fields[3], member))
                        continue;
                r = add_group(id, g);
                if (r < 0)
                        return r;
                found = 1;
                if (name)
                        break;
        }
        return found;
}

/* "name" or "uid[:gid]"; *@ret_name is set for those who have a line in the file. */
static int resolve_user(const char *user, const IdentityFile *passwd, Identity *id,
                bool *ret_gid_given, PasswdEntry *ret_entry, SetupReport *report)
{
        CLEANUP_FREE char *copy = strdup(user);
        char *colon;
        uint32_t uid = 0, gid = 0;
        bool found;

        if (!copy)
                return setup_report_set(report, -ENOMEM, "user", "%s", "");
        if (!*user)
                return setup_report_tell(report, -EINVAL, "user",
                                "the user is empty: give a name, uid or uid:gid");
        if (user[0] < '0' || user[0] > '9') {
                if (strchr(user, ':'))
                        return setup_report_tell(report, -EINVAL, "user",
                                        "user '%.60s' is neither a name nor uid[:gid]; a group "
                                        "behind ':' is given with a uid, both as numbers",
                                        user);
                if (!find_passwd(passwd, user, 0, ret_entry))
                        return setup_report_tell(report, -EINVAL, "user",
                                        "user '%.60s' is not in the container's /etc/passwd; add "
                                        "it there, or give the uid",
                                        user);
                found = true;
                uid = ret_entry->uid;
                *ret_gid_given = false;
        } else {
                colon = strchr(copy, ':');
                if (colon)
                        *colon++ = 0;
                if (!parse_id(copy, &uid) || (colon && !parse_id(colon, &gid)))
                        return setup_report_tell(report, -EINVAL, "user",
                                        "user '%.60s' is neither a name nor uid[:gid]", user);
                *ret_gid_given = colon;
                found = find_passwd(passwd, NULL, uid, ret_entry);
        }
        id->uid = uid;
        id->gid = *ret_gid_given ? gid : found ? ret_entry->gid : 0;
        if (!found)
                ret_entry->name[0] = 0;
        id->home = strdup(found && ret_entry->home[0] == '/' ? ret_entry->home : "/");
        if (!id->home)
                return setup_report_set(report, -ENOMEM, "user", "%s", "");
        return 0;
}

static int resolve_groups(
                char *const *groups, const IdentityFile *file, Identity *id, SetupReport *report)
{
        int r;

        STRV_FOREACH(g, groups)
        {
                uint32_t gid;

                if ((*g)[0] >= '0' && (*g)[0] <= '9') {
                        if (!parse_id(*g, &gid))
                                return setup_report_tell(report, -EINVAL, "user",
                                                "group '%.60s' is neither a name nor a number", *g);
                        r = add_group(id, gid);
                } else {
                        r = find_groups(file, NULL, *g, id);
                        if (r == 0)
                                return setup_report_tell(report, -EINVAL, "user",
                                                "group '%.60s' is not in the container's "
                                                "/etc/group; add it there, or give the gid",
                                                *g);
                }
                if (r < 0)
                        return setup_report_set(report, r, "user", "groups");
        }
        return 0;
}

int identity_find(const char *user, char *const *groups, const IdentityFile *passwd,
                const IdentityFile *group, Identity *ret, SetupReport *reterr)
{
        CLEANUP(identity_done) Identity id = { 0 };
        PasswdEntry entry = { 0 };
        bool gid_given = false;
        int r;

        r = resolve_user(user ?: "0", passwd, &id, &gid_given, &entry, reterr);
        if (r < 0)
                return r;
        /* The primary group is a supplementary one, too: a process cannot shed it with setgid(). */
        r = add_group(&id, id.gid);
        if (r >= 0 && !gid_given && entry.name[0])
                r = find_groups(group, entry.name, NULL, &id);
        if (r < 0)
                return setup_report_set(reterr, r, "user", "groups");
        r = resolve_groups(groups, group, &id, reterr);
        if (r < 0)
                return r;

        *ret = id;
        id = (Identity){ 0 };
        return 0;
}

int identity_resolve(const char *user, char *const *groups, Identity *ret, SetupReport *reterr)
{
        CLEANUP(file_done) IdentityFile passwd = { 0 }, group = { 0 };
        int r;

        r = file_read("/etc/passwd", &passwd);
        if (r == -EINVAL)
                return setup_report_tell(reterr, r, "user",
                                "the container's /etc/passwd is no regular file: replace it");
        if (r < 0)
                return setup_report_set(reterr, r, "user", "the container's /etc/passwd");
        r = file_read("/etc/group", &group);
        if (r == -EINVAL)
                return setup_report_tell(reterr, r, "user",
                                "the container's /etc/group is no regular file: replace it");
        if (r < 0)
                return setup_report_set(reterr, r, "user", "the container's /etc/group");
        return identity_find(user, groups, &passwd, &group, ret, reterr);
}

void identity_done(Identity *id)
{
        free(id->groups);
        free(id->home);
        *id = (Identity){ 0 };
}
