/* SPDX-License-Identifier: Apache-2.0 */
#include "store-conceal.h"

#include <jansson.h>
#include <malloc.h>
#include <sys/resource.h>

#include "conceal.h"
#include "log.h"

/* ---- jansson's memory ----
 *
 * A document is a hundred small pieces, taken and given back with each write: more than the C
 * library keeps at hand of each size. They are kept here instead, overwritten as they are, by their
 * size; a piece knows its own. */

#define PIECE_SMALLEST 24U /* what the C library gives at least, and in steps of how much */
#define PIECE_STEP     16U
#define PIECE_SIZES    12U  /* up to 200 bytes: values, members, small maps, short texts */
#ifdef __SANITIZE_ADDRESS__ /* sees what is used after it was freed only when it is */
#define PIECES_KEPT 0U
#else
#define PIECES_KEPT 128U /* of each size */
#endif

typedef struct Piece Piece;
struct Piece {
        Piece *next;
};

static _Thread_local struct {
        Piece *first;
        unsigned n;
} kept[PIECE_SIZES];

static void *take_piece(size_t size)
{
        size_t i = size <= PIECE_SMALLEST ? 0
                                          : (size - PIECE_SMALLEST + PIECE_STEP - 1) / PIECE_STEP;
        Piece *p;

        if (i >= PIECE_SIZES)
                return malloc(size);
        p = kept[i].first;
        if (!p)
                return malloc(PIECE_SMALLEST + i * PIECE_STEP);
        kept[i].first = p->next;
        kept[i].n--;
        return p;
}

/* All that the allocator gave, which is no less than what was asked for. */
static void give_piece(void *data)
{
        Piece *p = data;
        size_t size, i;

        if (!p)
                return;
        size = malloc_usable_size(p);
        explicit_bzero(p, size);
        i = (size - PIECE_SMALLEST) / PIECE_STEP; /* never more than fits; below: past the end */
        if (i >= PIECE_SIZES || kept[i].n == PIECES_KEPT) {
                free(p);
                return;
        }
        p->next = kept[i].first;
        kept[i].first = p;
        kept[i].n++;
}

/* ---- the process ---- */

void conceal_process(void)
{
        const struct rlimit none = {};
        struct rlimit core;
        int r;

        json_set_alloc_funcs(take_piece, give_piece);
        r = process_conceal();
        if (r < 0)
                (void) log_warning_errno(r, "cannot forbid core dumps, ignoring");
        /* For whoever makes it dumpable again, a debugger for one. */
        if (setrlimit(RLIMIT_CORE, &none) < 0 &&
                        (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur > 0))
                (void) log_debug_errno(-errno, "cannot lower the limit of core dumps");
        r = process_lock_memory();
        if (r < 0 && r != -EPERM)
                (void) log_warning_errno(r, "cannot keep memory out of swap, ignoring");
}
