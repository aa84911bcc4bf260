/* SPDX-License-Identifier: Apache-2.0 */
#include "store-keyring.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base64.h"
#include "data.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "names.h"

#define TEXT_MAX 4096U /* of all keys */

typedef enum Source {
        SOURCE_MEMORY,
        SOURCE_FILE,
        SOURCE_CREDENTIAL,
        SOURCE_STDIN,
} Source;

struct Keyring {
        Source source;
        char *path; /* of the file or the credential */
        SealKey keys[KEYRING_MAX];
        size_t n;
};

Keyring *keyring_free(Keyring *k)
{
        if (!k)
                return NULL;
        for (size_t i = 0; i < k->n; i++)
                plain_free(&k->keys[i].secret);
        free(k->path);
        free(k);
        return NULL;
}

const SealKey *keyring_active(const Keyring *k)
{
        return k->n > 0 ? &k->keys[0] : NULL;
}

size_t keyring_count(const Keyring *k)
{
        return k->n;
}

const SealKey *keyring_get(const Keyring *k, size_t i)
{
        assert(i < k->n);
        return &k->keys[i];
}

const SealKey *keyring_find(const Keyring *k, const unsigned char id[static SEAL_KEY_ID_SIZE])
{
        for (size_t i = 0; i < k->n; i++)
                if (memcmp(k->keys[i].id, id, SEAL_KEY_ID_SIZE) == 0)
                        return &k->keys[i];
        return NULL;
}

const char *keyring_format_id(const unsigned char id[static SEAL_KEY_ID_SIZE],
                char buf[static KEYRING_ID_TEXT_SIZE])
{
        for (size_t i = 0; i < SEAL_KEY_ID_SIZE; i++)
                (void) snprintf(buf + 2 * i, 3, "%02x", id[i]);
        return buf;
}

/* ---- reading ---- */

static const char *source_name(const Keyring *k)
{
        return k->path ? k->path : "standard input";
}

static int take_line(Keyring *k, const char *line, size_t n, unsigned number)
{
        CLEANUP(plain_free) Plain secret = {};
        size_t size;
        char *data;
        int r;

        r = base64_decode(line, n, &data, &size);
        if (r >= 0 && size != SEAL_KEY_SIZE) {
                log_error("%s:%u: a key is %u bytes, this one is %zu: make one with 'head -c 32 "
                          "/dev/urandom | base64'",
                                source_name(k), number, SEAL_KEY_SIZE, size);
                data_free(data, size);
                return -EINVAL;
        }
        if (r == -EINVAL)
                log_error("%s:%u: not base64: a key is a line of 32 bytes as base64",
                                source_name(k), number);
        if (r < 0)
                return r;
        r = plain_alloc(SEAL_KEY_SIZE, &secret);
        if (r >= 0)
                memcpy(secret.data, data, SEAL_KEY_SIZE);
        data_free(data, size);
        if (r < 0)
                return r;
        if (k->n == KEYRING_MAX) {
                log_error("%s: more than %u keys: remove those that nothing is sealed with",
                                source_name(k), KEYRING_MAX);
                return -E2BIG;
        }
        seal_key_init(&k->keys[k->n], &secret);
        if (keyring_find(k, k->keys[k->n].id))
                plain_free(&k->keys[k->n].secret); /* the same once more */
        else
                k->n++;
        return 0;
}

static int take_text(Keyring *k, const char *text, size_t size)
{
        const char *p = text, *end = text + size;
        unsigned number = 1;
        int r;

        for (; p < end; number++) {
                const char *lf = memchr(p, '\n', (size_t) (end - p));
                size_t n = (size_t) ((lf ? lf : end) - p);

                if (n > strspn(p, " \t\r")) {
                        r = take_line(k, p, n, number);
                        if (r < 0)
                                return r;
                }
                p += n + 1;
        }
        if (k->n > 0)
                return 0;
        log_error("%s holds no key: a key is a line of 32 bytes as base64", source_name(k));
        return -EINVAL;
}

static int take_fd(Keyring *k, int fd)
{
        size_t size;
        char *text;
        int r;

        r = read_fd_bounded(fd, TEXT_MAX, &text, &size);
        if (r < 0)
                return log_error_errno(r, "cannot read the keys in %s", source_name(k));
        r = take_text(k, text, size);
        data_free(text, size);
        return r;
}

static int check_file(const Keyring *k, int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return log_error_errno(-errno, "cannot look at the key file %s", k->path);
        if (!S_ISREG(st.st_mode)) {
                log_error("the key file %s is no regular file", k->path);
                return -EINVAL;
        }
        if (st.st_uid != 0 && st.st_uid != geteuid()) {
                log_error("the key file %s is owned by uid %u, who could change it: chown it to "
                          "uid %u",
                                k->path, (unsigned) st.st_uid, (unsigned) geteuid());
                return -EPERM;
        }
        if ((st.st_mode & 07177) != 0) {
                log_error("the key file %s has mode %04o, others may get at it: chmod it to 0600",
                                k->path, (unsigned) (st.st_mode & 07777));
                return -EPERM;
        }
        return 0;
}

/* ---- writing ---- */

static int add_random(Keyring *k)
{
        CLEANUP(plain_free) Plain secret = {};
        int r;

        r = plain_alloc(SEAL_KEY_SIZE, &secret);
        if (r < 0)
                return r;
        plain_random(&secret);
        seal_key_init(&k->keys[k->n++], &secret);
        return 0;
}

/* The first @n keys. */
static int write_file(const Keyring *k, size_t n)
{
        char text[KEYRING_MAX * 48];
        size_t size = 0;
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                char *line;

                r = base64_encode(k->keys[i].secret.data, SEAL_KEY_SIZE, &line);
                if (r < 0)
                        break;
                size += (size_t) snprintf(text + size, sizeof(text) - size, "%s\n", line);
                data_free(line, strlen(line));
        }
        if (r >= 0)
                r = write_file_atomic_at(AT_FDCWD, k->path, text, size, 0600, true);
        explicit_bzero(text, sizeof(text));
        return r;
}

static int make_file(Keyring *k, bool has_sealed)
{
        int r;

        if (has_sealed) {
                log_error("the key file %s is missing, and the database holds secrets that only "
                          "its key opens: bring it back; to give all of them up, make a new one: "
                          "(umask 077; head -c 32 /dev/urandom | base64 >%s)",
                                k->path, k->path);
                return -ENOKEY;
        }
        r = add_random(k);
        if (r < 0)
                return log_error_errno(r, "cannot make a key");
        r = write_file(k, k->n);
        if (r >= 0) {
                log_info("made the key file %s: keep a copy of it where the database's copies are "
                         "not",
                                k->path);
                return 0;
        }
        (void) log_warning_errno(r,
                        "cannot make the key file %s, going on without: no secret can be written",
                        k->path);
        plain_free(&k->keys[--k->n].secret);
        return 0;
}

/* ---- opening ---- */

static int open_file(Keyring *k, bool has_sealed)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        fd = open(k->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT)
                return make_file(k, has_sealed);
        if (fd < 0 && errno == ELOOP) {
                log_error("the key file %s is a symbolic link: name the file itself", k->path);
                return -ELOOP;
        }
        if (fd < 0)
                return log_error_errno(-errno, "cannot open the key file %s", k->path);
        r = check_file(k, fd);
        return r < 0 ? r : take_fd(k, fd);
}

static int open_credential(Keyring *k)
{
        CLEANUP_CLOSE int fd = -EBADF;

        fd = open(k->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return log_error_errno(-errno, "cannot open the credential %s", k->path);
        return take_fd(k, fd);
}

/* Whether there is one. */
static int find_credential(char **ret)
{
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        CLEANUP_FREE char *path = NULL;

        if (isempty(directory))
                return 0;
        if (asprintf(&path, "%s/" KEYRING_CREDENTIAL, directory) < 0)
                return -ENOMEM;
        if (access(path, F_OK) < 0)
                return errno == ENOENT ? 0 : -errno;
        *ret = TAKE_PTR(path);
        return 1;
}

static int choose(Keyring *k, const KeyringOptions *o)
{
        int r;

        if (o->from_stdin) {
                k->source = SOURCE_STDIN;
                return 0;
        }
        k->source = SOURCE_FILE;
        if (o->file)
                return free_and_strdup(&k->path, o->file);
        r = find_credential(&k->path);
        if (r > 0)
                k->source = SOURCE_CREDENTIAL;
        if (r != 0)
                return r;
        if (o->data_dir)
                return asprintf(&k->path, "%s/" KEYRING_DEFAULT_FILE, o->data_dir) < 0 ? -ENOMEM
                                                                                       : 0;
        k->source = SOURCE_MEMORY;
        return 0;
}

/* What the machine lacks, and not the keys. */
static bool may_pass(int error)
{
        return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EIO;
}

int keyring_open(const KeyringOptions *o, bool has_sealed, Keyring **ret)
{
        CLEANUP(keyring_freep) Keyring *k = calloc(1, sizeof(*k));
        int r;

        if (!k)
                return log_oom();
        if (o->file && !path_is_absolute_normal(o->file)) {
                log_error("--key-file %s: must be an absolute path, without '..' and '//'",
                                o->file);
                return -ENOKEY;
        }
        r = seal_init();
        if (r < 0)
                return log_error_errno(r, "cannot start libsodium");
        r = choose(k, o);
        if (r < 0)
                return log_error_errno(r, "cannot tell where the keys for secrets are");
        switch (k->source) {
        case SOURCE_MEMORY: r = add_random(k); break;
        case SOURCE_FILE: r = open_file(k, has_sealed); break;
        case SOURCE_CREDENTIAL: r = open_credential(k); break;
        case SOURCE_STDIN: r = take_fd(k, STDIN_FILENO); break;
        }
        if (r < 0)
                return may_pass(r) ? r : -ENOKEY;
        *ret = TAKE_PTR(k);
        return 0;
}

int keyring_new_in_memory(Keyring **ret)
{
        CLEANUP(keyring_freep) Keyring *k = calloc(1, sizeof(*k));
        int r = k ? seal_init() : -ENOMEM;

        if (r >= 0)
                r = add_random(k);
        if (r >= 0)
                *ret = TAKE_PTR(k);
        return r;
}

/* ---- rotation ---- */

static int refuse_rotation(const Keyring *k, sd_bus_error *reterr)
{
        if (k->source == SOURCE_CREDENTIAL)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "the key comes from the credential " KEYRING_CREDENTIAL
                                ": put a new key on a line before the old one there, restart "
                                "tankd-store, rotate, then take the old one out");
        return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                        "the key comes from standard input: start tankd-store with a new key on a "
                        "line before the old one, rotate, then leave the old one out");
}

/* The newest key last: where the file has it depends on how the write ends. */
static void move_last_to_front(Keyring *k)
{
        SealKey last = k->keys[k->n - 1];

        memmove(k->keys + 1, k->keys, (k->n - 1) * sizeof(k->keys[0]));
        k->keys[0] = last;
}

static void drop_front(Keyring *k)
{
        plain_free(&k->keys[0].secret);
        memmove(k->keys, k->keys + 1, --k->n * sizeof(k->keys[0]));
}

int keyring_rotate_begin(Keyring *k, sd_bus_error *reterr)
{
        int r;

        if (k->source == SOURCE_CREDENTIAL || k->source == SOURCE_STDIN)
                return k->n > 1 ? 0 : refuse_rotation(k, reterr);
        if (k->n == KEYRING_MAX)
                return 1;
        r = add_random(k);
        if (r < 0)
                return tank_error_set_errno(reterr, r, "cannot make a key");
        move_last_to_front(k);
        r = k->source == SOURCE_FILE ? write_file(k, k->n) : 0;
        if (r >= 0)
                return 0;
        drop_front(k);
        return tank_error_set_errno(reterr, r,
                        "no new key was made, as the key file %s cannot be written", k->path);
}

int keyring_rotate_end(Keyring *k, sd_bus_error *reterr)
{
        int r;

        assert(k->n > 0);
        r = k->source == SOURCE_FILE ? write_file(k, 1) : 0;
        if (r < 0)
                return tank_error_set_errno(reterr, r,
                                "everything is sealed with the new key, but the old one cannot be "
                                "taken out of the key file %s: rotate once more",
                                k->path);
        while (k->n > 1)
                plain_free(&k->keys[--k->n].secret);
        return 0;
}
