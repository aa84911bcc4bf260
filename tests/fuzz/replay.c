/* SPDX-License-Identifier: Apache-2.0 */

/* Drives a fuzzer without libFuzzer: over the files that are named, or over all of its corpus. What
 * an input breaks ends the program; standard error has its name then. */

#include <dirent.h>
#include <unistd.h>

#include "fd.h"
#include "fuzz.h"

#define INPUT_MAX (20U * 1024U * 1024U)

static void replay(const char *path)
{
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        CLEANUP_FREE char *data = NULL;
        uint8_t *exact;
        size_t size;

        CHECK(fd >= 0);
        CHECK(read_fd_bounded(fd, INPUT_MAX, &data, &size) >= 0);
        /* Without the NUL that is behind it: reading it is a mistake that is to be seen. */
        exact = malloc(MAX(size, (size_t) 1));
        CHECK(exact);
        if (size > 0)
                memcpy(exact, data, size);
        (void) LLVMFuzzerTestOneInput(exact, size);
        free(exact);
}

static int is_input(const struct dirent *e)
{
        return e->d_name[0] != '.';
}

static size_t replay_corpus(const char *name)
{
        const char *top = getenv("TANK_SOURCE_DIR");
        CLEANUP_FREE char *directory = NULL;
        struct dirent **entries;
        int n;

        CHECK(asprintf(&directory, "%s/tests/fuzz/corpus/%s", top ? top : ".", name) > 0);
        n = scandir(directory, &entries, is_input, alphasort);
        if (n < 0)
                fprintf(stderr, "%s: %s\n", directory, strerror(errno));
        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
                CLEANUP_FREE char *path = NULL;

                CHECK(asprintf(&path, "%s/%s", directory, entries[i]->d_name) > 0);
                fprintf(stderr, "# %s\n", entries[i]->d_name);
                replay(path);
                free(entries[i]);
        }
        free(entries);
        return (size_t) n;
}

int main(int argc, char **argv)
{
        const char *name = strrchr(argv[0], '/');

        name = name ? name + 1 : argv[0];
        name = startswith(name, "fuzz-") ? startswith(name, "fuzz-") : name;
        if (argc > 1) {
                for (int i = 1; i < argc; i++) {
                        fprintf(stderr, "%s\n", argv[i]);
                        replay(argv[i]);
                }
                return EXIT_SUCCESS;
        }
        printf("1..1\nok 1 - %zu inputs of tests/fuzz/corpus/%s\n", replay_corpus(name), name);
        return EXIT_SUCCESS;
}
