/* mem.h: the one door to the heap.
 *
 * Every allocation the library makes goes through a `struct mem`, so that a limit can be kept, a test can
 * fail the n-th allocation, and a host can later supply its own allocator. Thread-safe: `used` is atomic.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdatomic.h>
#include <stddef.h>

struct mem {
    /* Like realloc: p may be NULL, new_size 0 frees. NULL on failure, with the old block untouched. NULL here: malloc's. */
    void *(*resize)(void *host, void *p, size_t old_size, size_t new_size);
    void *host;          /* passed to `resize` */
    size_t limit;        /* bytes that may be held at once; 0 is no limit */
    _Atomic size_t used; /* bytes held now */
};

/* Uninitialised block of `size` bytes (size 0 gives a valid unique block), or NULL. */
void *mem_alloc(struct mem *mem, size_t size);
/* Zeroed, count*size checked for overflow. */
void *mem_zalloc(struct mem *mem, size_t count, size_t size);
/* Grow or shrink; on failure NULL and the old block stays valid. */
void *mem_resize(struct mem *mem, void *p, size_t old_size, size_t new_size);
/* Frees; p may be NULL. `size` is what it was allocated with. */
void mem_free(struct mem *mem, void *p, size_t size);
/* NUL-terminated copy of `length` bytes (length+1 bytes are held), or NULL. */
char *mem_strndup(struct mem *mem, const char *text, size_t length);

#endif
