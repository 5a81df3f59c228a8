/* pool.h: memory for temporaries and outputs, handed out again instead of given back.
 *
 * First touch is what makes a fresh array slow (a page fault each 4 KiB), so released buffers are kept, up to a bound,
 * and the next array of about that size gets one whose pages are there already. Buffers from 4 MiB up are mapped at
 * 2 MiB boundaries and ask for huge pages, which makes even a fresh one several times cheaper to touch.
 *
 * Everything may be called from any thread at any time. Buffers are counted; the last release puts one back. They may
 * outlive the pool's owner: pool_destroy gives up the owner's share, and the pool itself goes with the last buffer.
 *
 * The limit counts every byte the pool holds, kept ones included; before it refuses, it lets go of the kept ones.
 *
 * After fork() the child may use the pool and its buffers (they are copies). Locks are never waited for: a thread that
 * does not get one soon, because another thread of the parent held it when the child was made, allocates and frees
 * without the free list. What that list held at the time is lost to the child, no more.
 */
#ifndef RUNTIME_POOL_H
#define RUNTIME_POOL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum {
    POOL_ALIGNMENT = 64,      /* of every buffer: a cache line, and the widest vector */
    POOL_LARGE = 4 << 20,     /* from here on buffers are mapped, with huge pages */
    POOL_HUGE_PAGE = 2 << 20, /* and aligned to this */
};

struct buffer {
    void *data;  /* aligned to POOL_ALIGNMENT; whatever was there before, not zeros; never NULL */
    size_t size; /* as asked for; there may be more, but it is not yours */

    /* Private. */
    _Atomic uint32_t references;
    int32_t size_class;
    struct pool *pool;
    struct buffer *next; /* in a free list */
    void *block;         /* from mem_alloc; NULL if mapped */
    size_t held;         /* bytes this counts for: of the block or of the mapping */
    size_t capacity;     /* bytes at data */
};

struct pool;

/* A pool that may hold `limit` bytes (0: no limit), of which it keeps at most `keep` while nobody uses them. The
 * allocator's functions are copied out of `mem`, not its limit and count: the pool may outlive it. With an allocator
 * of the host, all memory comes from there, and large buffers are aligned to POOL_ALIGNMENT only. NULL: no memory. */
struct pool *pool_create(const struct mem *mem, size_t limit, size_t keep);
/* Gives up the owner's share. Kept buffers are freed now, those in use when they are released. NULL is ignored. */
void pool_destroy(struct pool *pool);

/* A buffer of `size` bytes with one reference (size 0 is allowed), or NULL: the limit or the memory is reached. */
struct buffer *pool_take(struct pool *pool, size_t size);
/* One more reference; returns the buffer. */
struct buffer *pool_retain(struct buffer *buffer);
/* One reference less. NULL is ignored. */
void pool_release(struct buffer *buffer);

/* Frees what is kept. */
void pool_trim(struct pool *pool);
/* Bytes held now, in use or kept, and the part of it that is kept. For messages and tests: other threads go on. */
size_t pool_held(const struct pool *pool);
size_t pool_kept(const struct pool *pool);
size_t pool_limit(const struct pool *pool);

#endif
