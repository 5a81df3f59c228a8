/* failing.h: an allocator that fails when told to, and that checks what it is told.
 *
 *     struct failing failing;
 *     struct mem mem;
 *     failing_init(&failing, &mem);
 *     failing.fail_at = 3;            the third allocation or growth from now fails (1 is the next; 0: none)
 *     …
 *     assert_int_equal(mem.used, 0);  and `failing.blocks` is 0 when everything was given back
 *
 * To test all places: count up fail_at until the work succeeds.
 */
#ifndef SUPPORT_FAILING_H
#define SUPPORT_FAILING_H

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

struct failing {
    long fail_at;    /* counted down by requests; the one that brings it to 0 fails */
    int fail_after;  /* set: every request after that one fails as well */
    int failed;      /* requests that were refused */
    long blocks;     /* blocks held now */
    size_t bytes;    /* bytes held now, as the callers gave them */
    int wrong_sizes; /* calls whose old_size was not the block's size */
};

/* The size stands before the block, so that old_size can be checked. */
union failing_header {
    size_t size;
    max_align_t align;
};

static inline void *failing_resize(void *host, void *p, size_t old_size, size_t new_size) {
    struct failing *failing = host;
    union failing_header *header = p ? (union failing_header *)p - 1 : NULL;

    if (header && header->size != old_size) failing->wrong_sizes++;
    if (!p && old_size) failing->wrong_sizes++;
    if (!new_size) {
        if (header) failing->blocks--, failing->bytes -= header->size;
        free(header);
        return NULL;
    }
    if (new_size > old_size) {
        int refuse = (failing->fail_at > 0 && --failing->fail_at == 0) || (failing->fail_after && failing->failed);
        if (refuse) {
            failing->failed++;
            return NULL;
        }
    }
    size_t before = header ? header->size : 0;
    union failing_header *moved =
        new_size <= SIZE_MAX - sizeof *header ? realloc(header, sizeof *header + new_size) : NULL;
    if (!moved) return NULL;
    if (!p) failing->blocks++;
    failing->bytes += new_size - before;
    moved->size = new_size;
    return moved + 1;
}

static inline void failing_init(struct failing *failing, struct mem *mem) {
    *failing = (struct failing){0};
    mem->resize = failing_resize;
    mem->host = failing;
    mem->limit = 0;
    atomic_init(&mem->used, 0);
}

#endif
