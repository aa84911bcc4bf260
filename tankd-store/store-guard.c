/* SPDX-License-Identifier: Apache-2.0 */
#include "store-guard.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "quantity.h"
#include "store-db.h"

#define WITNESS_NAME    "witness"
#define WITNESS_VERSION 1
/* "tank-witness 1 <32 hex> <20 digits> <16 hex>\n": within one sector, so that it tears nowhere
 * but on disks that tear sectors; the last field tells even that. */
#define WITNESS_SIZE 86

#define BALLAST_NAME "ballast"
/* As much as the log that may have to be replayed, twice: 32 MiB, and of a small disk an eighth. */
#define BALLAST_LOGS 2U
/* An open makes about a dozen files before it removes those that they replace. */
#define BALLAST_FILES 16U

struct Guard {
        int dir_fd;
        int witness_fd;
        uint64_t ballast; /* its size, by that of the disk when it was opened */
        char id[ID128_SIZE];
        bool complained;
};

int guard_open(const char *dir, Guard **ret)
{
        struct statvfs s;
        Guard *g;
        int fd;

        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstatvfs(fd, &s) < 0) {
                safe_close(fd);
                return -errno;
        }
        g = calloc(1, sizeof(*g));
        if (!g) {
                safe_close(fd);
                return -ENOMEM;
        }
        g->dir_fd = fd;
        g->witness_fd = -EBADF;
        g->ballast = BALLAST_LOGS * db_log_max((uint64_t) s.f_blocks * s.f_frsize);
        *ret = g;
        return 0;
}

Guard *guard_free(Guard *g)
{
        if (!g)
                return NULL;
        safe_close(g->witness_fd);
        safe_close(g->dir_fd);
        free(g);
        return NULL;
}

/* FNV-1a: against torn and damaged lines, not against people. */
static uint64_t sum(const char *data, size_t size)
{
        uint64_t h = UINT64_C(14695981039346656037);

        for (size_t i = 0; i < size; i++)
                h = (h ^ (unsigned char) data[i]) * UINT64_C(1099511628211);
        return h;
}

static void format_witness(char buf[static WITNESS_SIZE + 1], const char *id, uint64_t revision)
{
        int n;

        n = snprintf(buf, WITNESS_SIZE + 1, "tank-witness %d %s %020" PRIu64 " ", WITNESS_VERSION,
                        id, revision);
        assert(n == WITNESS_SIZE - 17);
        n = snprintf(buf + n, 18, "%016" PRIx64 "\n", sum(buf, (size_t) n));
        assert(n == 17);
}

int guard_read_witness(Guard *g, char ret_id[static ID128_SIZE], uint64_t *ret_revision)
{
        CLEANUP_FREE char *text = NULL;
        char id[ID128_SIZE], digits[21], again[WITNESS_SIZE + 1];
        unsigned version;
        uint64_t revision;
        size_t size;
        int r;

        r = read_file_at(g->dir_fd, WITNESS_NAME, 4096, &text, &size);
        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        if (sscanf(text, "tank-witness %3u %32s %20s", &version, id, digits) < 1)
                return -EBADMSG;
        if (version > WITNESS_VERSION)
                return -EPROTONOSUPPORT;
        if (size != WITNESS_SIZE ||
                        sscanf(text, "tank-witness %3u %32s %20s", &version, id, digits) != 3 ||
                        !id_is_valid(id) || parse_u64(digits, &revision) < 0)
                return -EBADMSG;
        format_witness(again, id, revision);
        if (memcmp(again, text, WITNESS_SIZE) != 0)
                return -EBADMSG;
        memcpy(ret_id, id, sizeof(id));
        *ret_revision = revision;
        return 0;
}

static bool is_witness_of(Guard *g, const char *id)
{
        char is[ID128_SIZE];
        uint64_t revision;

        return guard_read_witness(g, is, &revision) >= 0 && streq(is, id);
}

bool guard_has_witness(const Guard *g)
{
        return g->witness_fd >= 0;
}

int guard_start_witness(Guard *g, const char *id, uint64_t revision)
{
        char line[WITNESS_SIZE + 1];
        int r, fd;

        (void) remove_unfinished_at(g->dir_fd); /* the next start tries again */
        format_witness(line, id, revision);
        r = write_file_atomic_at(g->dir_fd, WITNESS_NAME, line, WITNESS_SIZE, 0600, true);
        if (r == -ENOSPC && is_witness_of(g, id))
                r = 0;
        if (r < 0)
                return r;
        fd = openat(g->dir_fd, WITNESS_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        safe_close(g->witness_fd);
        g->witness_fd = fd;
        memcpy(g->id, id, ID128_SIZE);
        guard_note(g, revision); /* where it is the one that was there */
        return 0;
}

void guard_note(Guard *g, uint64_t revision)
{
        char line[WITNESS_SIZE + 1];

        if (g->witness_fd < 0)
                return;
        format_witness(line, g->id, revision);
        if (pwrite(g->witness_fd, line, WITNESS_SIZE, 0) == WITNESS_SIZE || g->complained)
                return;
        /* The write itself is durable; only its witness is missing. */
        g->complained = true;
        log_warning_errno(-errno, "cannot write the witness of the database, ignoring");
}

void guard_sync(Guard *g)
{
        if (g->witness_fd >= 0 && fdatasync(g->witness_fd) < 0)
                (void) log_warning_errno(-errno, "cannot sync the witness, ignoring");
}

/* The files after the first are empty: each sets a name and an inode aside. */
static const char *ballast_name(unsigned i, char buf[static 16])
{
        if (i == 0)
                return BALLAST_NAME;
        (void) snprintf(buf, 16, BALLAST_NAME ".%u", i);
        return buf;
}

static int take_ballast(Guard *g)
{
        char buf[16];

        for (unsigned i = 0; i < BALLAST_FILES; i++) {
                CLEANUP_CLOSE int fd = openat(g->dir_fd, ballast_name(i, buf),
                                O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

                if (fd < 0)
                        return -errno;
                /* Unlike posix_fallocate() never writes the bytes out where the file system cannot
                 * reserve: then there is no ballast. Reserving again what is reserved does
                 * nothing. */
                if (i == 0 && fallocate(fd, 0, 0, (off_t) g->ballast) < 0)
                        return -errno;
        }
        return 0;
}

int guard_take_ballast(Guard *g)
{
        int r = take_ballast(g);

        if (r < 0)
                guard_drop_ballast(g);
        return r;
}

void guard_drop_ballast(Guard *g)
{
        char buf[16];

        for (unsigned i = 0; i < BALLAST_FILES; i++)
                if (unlinkat(g->dir_fd, ballast_name(i, buf), 0) < 0 && errno != ENOENT)
                        (void) log_warning_errno(-errno, "cannot give up the ballast, ignoring");
}

/* Of bytes and of files; some file systems do not count the latter. */
static bool has_free(const Guard *g, unsigned ballasts)
{
        struct statvfs s;

        return fstatvfs(g->dir_fd, &s) >= 0 &&
               (uint64_t) s.f_bavail * s.f_frsize >= ballasts * g->ballast &&
               (s.f_files == 0 || s.f_favail >= ballasts * BALLAST_FILES);
}

bool guard_has_room(const Guard *g)
{
        return has_free(g, 2);
}

bool guard_has_room_to_open(const Guard *g)
{
        return has_free(g, 1);
}

bool guard_may_write(const Guard *g)
{
        /* Asked by doing it: file systems that gave up by themselves do not all say so. */
        CLEANUP_CLOSE int fd = openat(g->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        return fd >= 0 || errno != EROFS;
}
