/* SPDX-License-Identifier: Apache-2.0 */

/* Encryption, and where keys come from. G1 to G12. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base64.h"
#include "error.h"
#include "fd.h"
#include "store-keyring.h"

static const char text[] = "hello secret world";

typedef struct Sealed {
        Keyring *keyring;
        ObjectKey key;
        SealPlace place;
        Plain values;
        char *blob;
        size_t size;
} Sealed;

static Plain plain_of(const char *s)
{
        Plain p;

        assert_int_equal(plain_alloc(strlen(s), &p), 0);
        memcpy(p.data, s, p.size);
        return p;
}

static void sealed_init(Sealed *x)
{
        *x = (Sealed){};
        assert_int_equal(keyring_new_in_memory(&x->keyring), 0);
        assert_int_equal(object_key_init(&x->key, "secret", "prod", "db"), 0);
        x->place = (SealPlace){ &x->key, "0123456789abcdef0123456789abcdef", 7 };
        x->values = plain_of(text);
        assert_int_equal(seal_close(keyring_active(x->keyring), &x->place, &x->values, &x->blob,
                                         &x->size),
                        0);
}

static void sealed_done(Sealed *x)
{
        free(x->blob);
        plain_free(&x->values);
        keyring_free(x->keyring);
}

static int open_at(const Sealed *x, const SealPlace *place)
{
        CLEANUP(plain_free) Plain back = {};
        int r = seal_open(keyring_active(x->keyring), place, x->blob, x->size, &back);

        if (r >= 0)
                assert_true(plain_equal(&back, &x->values));
        return r;
}

/* G1, G4. */
static void test_round_trip(void **state)
{
        Sealed x, y = {};

        sealed_init(&x);
        assert_int_equal(x.size, SEAL_OVERHEAD + strlen(text));
        assert_null(memmem(x.blob, x.size, "hello", 5));
        assert_int_equal(open_at(&x, &x.place), 0);

        y = x;
        assert_int_equal(seal_close(keyring_active(x.keyring), &x.place, &x.values, &y.blob,
                                         &y.size),
                        0);
        assert_int_equal(y.size, x.size);
        assert_memory_not_equal(x.blob + 9, y.blob + 9, x.size - 9);
        assert_int_equal(open_at(&y, &y.place), 0);
        free(y.blob);
        sealed_done(&x);
}

/* G2: nowhere but where it was sealed. */
static void test_places(void **state)
{
        static const char other_uid[] = "1123456789abcdef0123456789abcdef";
        ObjectKey keys[3];
        SealPlace p;
        Sealed x;

        sealed_init(&x);
        assert_int_equal(object_key_init(&keys[0], "secret", "prod", "db2"), 0);
        assert_int_equal(object_key_init(&keys[1], "secret", "pro", "db"), 0);
        assert_int_equal(object_key_init(&keys[2], "config", "prod", "db"), 0);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                p = x.place;
                p.key = &keys[i];
                assert_int_equal(open_at(&x, &p), -EBADMSG);
        }
        p = x.place;
        p.uid = other_uid;
        assert_int_equal(open_at(&x, &p), -EBADMSG);
        p = x.place;
        p.revision = 8;
        assert_int_equal(open_at(&x, &p), -EBADMSG);
        sealed_done(&x);
}

/* G3: each bit counts, and each byte that is missing. */
static void test_flips(void **state)
{
        Sealed x;

        sealed_init(&x);
        for (size_t i = 0; i < x.size; i++) {
                x.blob[i] ^= 1;
                assert_true(open_at(&x, &x.place) < 0);
                x.blob[i] ^= 1;
        }
        for (size_t whole = x.size; x.size > 0; x.size--)
                if (x.size < whole)
                        assert_true(open_at(&x, &x.place) < 0);
        x.size = SEAL_OVERHEAD + strlen(text);
        x.blob[0] = 2;
        assert_int_equal(open_at(&x, &x.place), -EPROTONOSUPPORT);
        sealed_done(&x);
}

static void test_rewrap(void **state)
{
        unsigned char id[SEAL_KEY_ID_SIZE];
        CLEANUP(plain_free) Plain back = {};
        Keyring *other;
        SealPlace wrong;
        Sealed x;

        sealed_init(&x);
        wrong = x.place;
        wrong.revision++;
        assert_int_equal(keyring_new_in_memory(&other), 0);
        assert_int_equal(seal_rewrap(keyring_active(x.keyring), keyring_active(other), &wrong,
                                         x.blob, x.size),
                        -EBADMSG);
        assert_int_equal(open_at(&x, &x.place), 0);
        assert_int_equal(seal_rewrap(keyring_active(x.keyring), keyring_active(other), &x.place,
                                         x.blob, x.size),
                        0);
        assert_int_equal(open_at(&x, &x.place), -EBADMSG);
        assert_int_equal(seal_key_id(x.blob, x.size, id), 0);
        assert_memory_equal(id, keyring_active(other)->id, sizeof(id));
        assert_int_equal(seal_open(keyring_active(other), &x.place, x.blob, x.size, &back), 0);
        assert_true(plain_equal(&back, &x.values));
        keyring_free(other);
        sealed_done(&x);
}

/* An empty value is a value. */
static void test_empty(void **state)
{
        CLEANUP(plain_free) Plain nothing = plain_of(""), back = {};
        CLEANUP_FREE char *blob = NULL;
        size_t size;
        Sealed x;

        sealed_init(&x);
        assert_int_equal(
                        seal_close(keyring_active(x.keyring), &x.place, &nothing, &blob, &size), 0);
        assert_int_equal(seal_open(keyring_active(x.keyring), &x.place, blob, size, &back), 0);
        assert_int_equal(back.size, 0);
        sealed_done(&x);
}

/* ---- key files ---- */

typedef struct Files {
        char dir[32], path[64];
} Files;

static void files_init(Files *f)
{
        strcpy(f->dir, "/tmp/tank-test-keys-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        (void) snprintf(f->path, sizeof(f->path), "%s/key", f->dir);
        (void) unsetenv("CREDENTIALS_DIRECTORY");
}

static void files_done(Files *f)
{
        (void) unsetenv("CREDENTIALS_DIRECTORY");
        assert_int_equal(remove_tree_at(AT_FDCWD, f->dir), 0);
}

static void write_key(const Files *f, const char *content, mode_t mode)
{
        (void) unlink(f->path);
        assert_int_equal(write_file_atomic_at(
                                         AT_FDCWD, f->path, content, strlen(content), mode, false),
                        0);
        assert_int_equal(chmod(f->path, mode), 0);
}

/* The id of the active key. */
static int open_file(const Files *f, bool has_sealed, char ret_id[static KEYRING_ID_TEXT_SIZE])
{
        CLEANUP(keyring_freep) Keyring *k = NULL;
        const KeyringOptions o = { .file = f->path };
        int r = keyring_open(&o, has_sealed, &k);

        if (r >= 0)
                (void) keyring_format_id(keyring_active(k)->id, ret_id);
        return r;
}

/* G6, G8, X32: made once, durably, and never in place of one that is missed. */
static void test_file_is_made(void **state)
{
        char first[KEYRING_ID_TEXT_SIZE], again[KEYRING_ID_TEXT_SIZE];
        CLEANUP_FREE char *content = NULL, *data = NULL;
        struct stat st;
        size_t size, n;
        Files f;

        files_init(&f);
        assert_int_equal(open_file(&f, true, first), -ENOKEY);
        assert_int_equal(access(f.path, F_OK), -1);
        assert_int_equal(open_file(&f, false, first), 0);
        assert_int_equal(stat(f.path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(read_file_at(AT_FDCWD, f.path, 4096, &content, &size), 0);
        assert_int_equal(base64_decode(content, size, &data, &n), 0);
        assert_int_equal(n, 32);
        assert_int_equal(open_file(&f, true, again), 0);
        assert_string_equal(first, again);
        files_done(&f);
}

/* G5, G9, G10, X32. */
static void test_file_is_checked(void **state)
{
        static const char good[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        static const char *const bad[] = { "", "\n\n", "not-base64!\n",
                "AAECAwQFBgcICQoLDA0ODw==\n", /* 16 bytes */
                "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nnot-base64!\n",
                "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7P"
                "D0+"
                "Pw==\n" /* 64 */ };
        static const mode_t modes[] = { 0640, 0604, 0660, 0700, 0666 };
        char id[KEYRING_ID_TEXT_SIZE], link[96];
        Files f;

        files_init(&f);
        write_key(&f, good, 0600);
        assert_int_equal(open_file(&f, true, id), 0);
        write_key(&f, good, 0400);
        assert_int_equal(open_file(&f, true, id), 0);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                write_key(&f, bad[i], 0600);
                assert_int_equal(open_file(&f, false, id), -ENOKEY);
        }
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
                write_key(&f, good, modes[i]);
                assert_int_equal(open_file(&f, true, id), -ENOKEY);
        }
        write_key(&f, good, 0600);
        if (geteuid() == 0) {
                assert_int_equal(chown(f.path, 12345, 0), 0);
                assert_int_equal(open_file(&f, true, id), -ENOKEY);
                assert_int_equal(chown(f.path, 0, 0), 0);
        }
        (void) snprintf(link, sizeof(link), "%s/link", f.dir);
        assert_int_equal(symlink(f.path, link), 0);
        strcpy(f.path, link);
        assert_int_equal(open_file(&f, true, id), -ENOKEY);
        strcpy(f.path, f.dir);
        assert_int_equal(open_file(&f, true, id), -ENOKEY);
        strcpy(f.path, "key");
        assert_int_equal(open_file(&f, true, id), -ENOKEY);
        files_done(&f);
}

/* G7, G11, G12: the other sources, and which goes first. */
static void test_sources(void **state)
{
        static const char one[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        CLEANUP(keyring_freep) Keyring *k = NULL;
        char credential[64];
        KeyringOptions o = {};
        Files f;
        int stdin_copy = dup(STDIN_FILENO), in;

        files_init(&f);
        assert_int_equal(keyring_open(&o, false, &k), 0); /* in memory */
        assert_int_equal(keyring_count(k), 1);
        k = keyring_free(k);

        (void) snprintf(credential, sizeof(credential), "%s/" KEYRING_CREDENTIAL, f.dir);
        strcpy(f.path, credential);
        write_key(&f, one, 0440);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f.dir, true), 0);
        o.data_dir = "/nonexistent";
        assert_int_equal(keyring_open(&o, true, &k), 0);
        k = keyring_free(k);
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);

        in = open(f.path, O_RDONLY | O_CLOEXEC);
        assert_true(in >= 0 && dup2(in, STDIN_FILENO) >= 0);
        o.from_stdin = true;
        assert_int_equal(keyring_open(&o, true, &k), 0);
        k = keyring_free(k);
        assert_int_equal(keyring_open(&o, true, &k), -ENOKEY); /* nothing is left to read */
        assert_true(dup2(stdin_copy, STDIN_FILENO) >= 0);
        close(in);
        close(stdin_copy);
        files_done(&f);
}

/* No room for a key file is no reason not to serve what needs none. */
static void test_no_room(void **state)
{
        CLEANUP(keyring_freep) Keyring *k = NULL;
        KeyringOptions o = { .data_dir = "/proc/self" };

        (void) unsetenv("CREDENTIALS_DIRECTORY");
        assert_int_equal(keyring_open(&o, false, &k), 0);
        assert_int_equal(keyring_count(k), 0);
        assert_null(keyring_active(k));
}

/* The file has both keys before anything is sealed with the new one, and one at the end. */
static void test_rotation_of_a_file(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(keyring_freep) Keyring *k = NULL, *reader = NULL;
        unsigned char old[SEAL_KEY_ID_SIZE];
        KeyringOptions o = {};
        Files f;

        files_init(&f);
        o.file = f.path;
        assert_int_equal(keyring_open(&o, false, &k), 0);
        memcpy(old, keyring_active(k)->id, sizeof(old));
        assert_int_equal(keyring_rotate_begin(k, &e), 0);
        assert_int_equal(keyring_count(k), 2);
        assert_memory_not_equal(keyring_active(k)->id, old, sizeof(old));
        assert_non_null(keyring_find(k, old));

        assert_int_equal(keyring_open(&o, true, &reader), 0);
        assert_int_equal(keyring_count(reader), 2);
        assert_memory_equal(keyring_active(reader)->id, keyring_active(k)->id, sizeof(old));
        reader = keyring_free(reader);

        assert_int_equal(keyring_rotate_end(k, &e), 0);
        assert_null(keyring_find(k, old));
        assert_int_equal(keyring_open(&o, true, &reader), 0);
        assert_int_equal(keyring_count(reader), 1);
        assert_memory_equal(keyring_active(reader)->id, keyring_active(k)->id, sizeof(old));
        files_done(&f);
}

/* Each begin makes a key, until the file is full; then what is there has to be ended first. */
static void test_rotations_that_are_cut(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        unsigned char last[SEAL_KEY_ID_SIZE];
        KeyringOptions o = {};
        Files f;

        files_init(&f);
        o.file = f.path;
        for (size_t n = 1; n <= KEYRING_MAX; n++) {
                CLEANUP(keyring_freep) Keyring *k = NULL;

                assert_int_equal(keyring_open(&o, n > 1, &k), 0);
                assert_int_equal(keyring_count(k), n);
                if (n > 1)
                        assert_memory_equal(keyring_active(k)->id, last, sizeof(last));
                memcpy(last, keyring_active(k)->id, sizeof(last));
                assert_int_equal(keyring_rotate_begin(k, &e), n == KEYRING_MAX);
                assert_int_equal(keyring_count(k), MIN(n + 1, (size_t) KEYRING_MAX));
                assert_true((memcmp(keyring_active(k)->id, last, sizeof(last)) == 0) ==
                                (n == KEYRING_MAX));
                memcpy(last, keyring_active(k)->id, sizeof(last));
                if (n < KEYRING_MAX)
                        continue;
                assert_int_equal(keyring_rotate_end(k, &e), 0);
                assert_int_equal(keyring_rotate_begin(k, &e), 0);
                assert_int_equal(keyring_count(k), 2);
                assert_memory_not_equal(keyring_active(k)->id, last, sizeof(last));
        }
        files_done(&f);
}

static void test_rotation_of_a_credential(void **state)
{
        static const char one[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        static const char two[] = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
                                  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(keyring_freep) Keyring *k = NULL;
        KeyringOptions o = {};
        Files f;

        files_init(&f);
        (void) snprintf(f.path, sizeof(f.path), "%s/" KEYRING_CREDENTIAL, f.dir);
        write_key(&f, one, 0400);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f.dir, true), 0);
        assert_int_equal(keyring_open(&o, true, &k), 0);
        assert_true(keyring_rotate_begin(k, &e) < 0);
        assert_string_equal(e.name, TANK_ERROR_FAILED_PRECONDITION);
        k = keyring_free(k);

        write_key(&f, two, 0400);
        assert_int_equal(keyring_open(&o, true, &k), 0);
        sd_bus_error_free(&e);
        assert_int_equal(keyring_rotate_begin(k, &e), 0);
        assert_int_equal(keyring_rotate_end(k, &e), 0);
        assert_int_equal(keyring_count(k), 1);
        files_done(&f);
}

static int set_up(void **state)
{
        return seal_init();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_flips),
                cmocka_unit_test(test_rewrap),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_file_is_made),
                cmocka_unit_test(test_file_is_checked),
                cmocka_unit_test(test_sources),
                cmocka_unit_test(test_no_room),
                cmocka_unit_test(test_rotation_of_a_file),
                cmocka_unit_test(test_rotations_that_are_cut),
                cmocka_unit_test(test_rotation_of_a_credential),
        };

        return cmocka_run_group_tests(tests, set_up, NULL);
}
