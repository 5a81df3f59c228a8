#define _GNU_SOURCE /* MADV_HUGEPAGE */
#include "runtime/pool.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum {
    POOL_SMALLEST = 64,                       /* bytes in class 0 */
    POOL_STEPS = 4,                           /* classes a doubling: at most a fifth of a buffer is unused */
    POOL_SMALL_CLASSES = 16 * POOL_STEPS + 1, /* 64 B to 4 MiB */
    POOL_LARGE_CLASS = POOL_SMALL_CLASSES,    /* one list for all sizes, the newest first */
    POOL_LISTS,
    POOL_SPINS = 200, /* tries for a lock before the processor is offered to others, */
    POOL_YIELDS = 20, /* and how often that is done before going without the list */
};

/* Buffers that wait to be used again. A cache line of its own each: threads that work on different sizes don't meet. */
struct pool_list {
    _Alignas(POOL_ALIGNMENT) atomic_flag locked;
    struct buffer *first;
};

struct pool {
    struct pool_list lists[POOL_LISTS];
    struct mem mem;
    void *block; /* what this was allocated as; the pool itself is aligned */
    size_t limit;
    size_t keep_small, keep_large;
    _Atomic size_t references; /* the owner's, and one a buffer in use */
    _Atomic size_t held;
    _Atomic size_t kept_small, kept_large;
    atomic_bool closed; /* the owner is gone: nothing is kept any more */
};

enum { POOL_BLOCK = sizeof(struct pool) + POOL_ALIGNMENT };

static void *pool_align(void *p) {
    return (void *)(((uintptr_t)p + POOL_ALIGNMENT - 1) & ~(uintptr_t)(POOL_ALIGNMENT - 1));
}

/* Locks. The wait is bounded because the holder may be a thread that a fork left behind. */

static bool pool_lock(struct pool_list *list) {
    for (int yields = 0; yields <= POOL_YIELDS; yields++) {
        for (int spins = 0; spins < POOL_SPINS; spins++) {
            if (!atomic_flag_test_and_set_explicit(&list->locked, memory_order_acquire)) return true;
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        }
        sched_yield();
    }
    return false;
}

static void pool_unlock(struct pool_list *list) {
    atomic_flag_clear_explicit(&list->locked, memory_order_release);
}

/* Size classes: 64, 80, 96, 112, 128, 160, … bytes; from 256 on all are multiples of 64. */

static size_t pool_class_size(int size_class) {
    size_t base = (size_t)POOL_SMALLEST << size_class / POOL_STEPS;
    return base + base / POOL_STEPS * (size_t)(size_class % POOL_STEPS);
}

static int pool_class(size_t size) {
    if (size <= POOL_SMALLEST) return 0;
    if (size >= POOL_LARGE) return POOL_LARGE_CLASS;
    /* 2^top < size <= 2^(top+1); which quarter of the way does it fall into? */
    int top = (int)(8 * sizeof(size_t)) - 1 - __builtin_clzl(size - 1);
    size_t quarter = ((size_t)1 << top) / POOL_STEPS;
    return (top - 6) * POOL_STEPS + (int)((size - ((size_t)1 << top) + quarter - 1) / quarter);
}

/* Memory. */

static bool pool_reserve(struct pool *pool, size_t more) {
    size_t held = atomic_load_explicit(&pool->held, memory_order_relaxed);
    do {
        if (more > SIZE_MAX - held || (pool->limit && held + more > pool->limit)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool->held, &held, held + more, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* `size` bytes at a 2 MiB boundary, or NULL. */
static void *pool_map(size_t size) {
    size_t span;
    if (__builtin_add_overflow(size, POOL_HUGE_PAGE, &span)) return NULL;
    char *map = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return NULL;

    size_t before = -(uintptr_t)map & (POOL_HUGE_PAGE - 1);
    if (before) munmap(map, before);
    if (before < POOL_HUGE_PAGE) munmap(map + before + size, POOL_HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
    madvise(map + before, size, MADV_HUGEPAGE); /* a wish: a kernel without huge pages works too */
#endif
    return map + before;
}

/* Bytes to map for `size`: whole huge pages, unless clearing the last one would cost more than it saves. */
static size_t pool_map_size(size_t size) {
    size_t pages = (size + 65535) & ~(size_t)65535;
    size_t huge = (size + POOL_HUGE_PAGE - 1) & ~(size_t)(POOL_HUGE_PAGE - 1);
    return huge - size <= size / 8 ? huge : pages;
}

static struct buffer *pool_make_mapped(struct pool *pool, size_t size) {
    size_t mapped = pool_map_size(size);
    struct buffer *buffer = NULL;

    if (!pool_reserve(pool, mapped)) return NULL;
    void *data = pool_map(mapped);
    if (data) buffer = mem_alloc(&pool->mem, sizeof *buffer);
    if (!buffer) {
        if (data) munmap(data, mapped);
        atomic_fetch_sub_explicit(&pool->held, mapped, memory_order_relaxed);
        return NULL;
    }
    *buffer = (struct buffer){.data = data, .held = mapped, .capacity = mapped};
    return buffer;
}

/* Head and data in one block. */
static struct buffer *pool_make_small(struct pool *pool, size_t capacity) {
    size_t head = (sizeof(struct buffer) + POOL_ALIGNMENT - 1) / POOL_ALIGNMENT * POOL_ALIGNMENT;
    size_t held;

    if (__builtin_add_overflow(capacity, head + POOL_ALIGNMENT, &held) || !pool_reserve(pool, held)) return NULL;
    void *block = mem_alloc(&pool->mem, held);
    if (!block) {
        atomic_fetch_sub_explicit(&pool->held, held, memory_order_relaxed);
        return NULL;
    }
    struct buffer *buffer = pool_align(block);
    *buffer = (struct buffer){.data = (char *)buffer + head, .block = block, .held = held, .capacity = capacity};
    return buffer;
}

static struct buffer *pool_make(struct pool *pool, size_t size, int size_class) {
    if (size > PTRDIFF_MAX - POOL_HUGE_PAGE) return NULL;
    if (size_class != POOL_LARGE_CLASS) return pool_make_small(pool, pool_class_size(size_class));
    return pool->mem.resize ? pool_make_small(pool, size) : pool_make_mapped(pool, size);
}

static void pool_free_buffer(struct pool *pool, struct buffer *buffer) {
    size_t held = buffer->held;
    if (buffer->block) {
        mem_free(&pool->mem, buffer->block, held);
    } else {
        munmap(buffer->data, held);
        mem_free(&pool->mem, buffer, sizeof *buffer);
    }
    atomic_fetch_sub_explicit(&pool->held, held, memory_order_relaxed);
}

/* Free lists. */

static _Atomic size_t *pool_kept_in(struct pool *pool, int size_class) {
    return size_class == POOL_LARGE_CLASS ? &pool->kept_large : &pool->kept_small;
}

/* Takes a list's buffers and frees them outside its lock. */
static void pool_empty(struct pool *pool, int size_class) {
    struct pool_list *list = &pool->lists[size_class];
    if (!pool_lock(list)) return;
    struct buffer *buffer = list->first;
    list->first = NULL;
    pool_unlock(list);
    while (buffer) {
        struct buffer *next = buffer->next;
        atomic_fetch_sub_explicit(pool_kept_in(pool, size_class), buffer->held, memory_order_relaxed);
        pool_free_buffer(pool, buffer);
        buffer = next;
    }
}

void pool_trim(struct pool *pool) {
    for (int i = 0; i < POOL_LISTS; i++) pool_empty(pool, i);
}

/* Frees the large buffers that have waited longest until `more` bytes fit. */
static void pool_make_room(struct pool *pool, size_t more) {
    struct pool_list *list = &pool->lists[POOL_LARGE_CLASS];
    while (atomic_load_explicit(&pool->kept_large, memory_order_relaxed) > pool->keep_large - more) {
        if (!pool_lock(list)) return;
        struct buffer **at = &list->first;
        while (*at && (*at)->next) at = &(*at)->next;
        struct buffer *oldest = *at;
        *at = NULL;
        if (oldest) atomic_fetch_sub_explicit(&pool->kept_large, oldest->held, memory_order_relaxed);
        pool_unlock(list);
        if (!oldest) return; /* others are about to put theirs in: the bound may be passed by those */
        pool_free_buffer(pool, oldest);
    }
}

/* Keeps a buffer that nobody uses. False: it is to be freed. */
static bool pool_keep(struct pool *pool, struct buffer *buffer) {
    int size_class = buffer->size_class;
    struct pool_list *list = &pool->lists[size_class];

    if (size_class == POOL_LARGE_CLASS) {
        if (buffer->held > pool->keep_large) return false;
        pool_make_room(pool, buffer->held);
    } else {
        if (buffer->held > pool->keep_small) return false;
        /* Full of sizes that are out of use, perhaps: start afresh. That is rare enough to be cheap. */
        if (atomic_load_explicit(&pool->kept_small, memory_order_relaxed) > pool->keep_small - buffer->held)
            for (int i = 0; i < POOL_SMALL_CLASSES; i++) pool_empty(pool, i);
    }
    if (!pool_lock(list)) return false;
    /* Asked under the lock: pool_destroy closes first and then empties every list. */
    bool open = !atomic_load_explicit(&pool->closed, memory_order_relaxed);
    if (open) {
        buffer->next = list->first;
        list->first = buffer;
        atomic_fetch_add_explicit(pool_kept_in(pool, size_class), buffer->held, memory_order_relaxed);
    }
    pool_unlock(list);
    return open;
}

static struct buffer *pool_find(struct pool *pool, size_t size, int size_class) {
    struct pool_list *list = &pool->lists[size_class];
    struct buffer **best = NULL;

    if (!pool_lock(list)) return NULL;
    if (size_class != POOL_LARGE_CLASS) {
        if (list->first) best = &list->first;
    } else {
        size_t most = size + size / 4 + POOL_HUGE_PAGE;
        for (struct buffer **at = &list->first; *at; at = &(*at)->next)
            if ((*at)->capacity >= size && (*at)->capacity <= most && (!best || (*at)->capacity < (*best)->capacity))
                best = at;
    }
    struct buffer *found = best ? *best : NULL;
    if (found) {
        *best = found->next;
        atomic_fetch_sub_explicit(pool_kept_in(pool, size_class), found->held, memory_order_relaxed);
    }
    pool_unlock(list);
    return found;
}

/* The pool. */

struct pool *pool_create(const struct mem *mem, size_t limit, size_t keep) {
    struct mem own = {.resize = mem->resize, .host = mem->host};
    void *block = mem_alloc(&own, POOL_BLOCK);
    if (!block) return NULL;

    struct pool *pool = pool_align(block);
    memset(pool, 0, sizeof *pool);
    for (int i = 0; i < POOL_LISTS; i++) atomic_flag_clear(&pool->lists[i].locked);
    pool->mem.resize = mem->resize;
    pool->mem.host = mem->host;
    pool->block = block;
    pool->limit = limit;
    pool->keep_small = keep / 4;
    pool->keep_large = keep - keep / 4;
    atomic_init(&pool->references, 1);
    return pool;
}

static void pool_unreference(struct pool *pool) {
    if (atomic_fetch_sub_explicit(&pool->references, 1, memory_order_acq_rel) != 1) return;
    pool_trim(pool);
    struct mem own = {.resize = pool->mem.resize, .host = pool->mem.host, .used = POOL_BLOCK};
    mem_free(&own, pool->block, POOL_BLOCK);
}

void pool_destroy(struct pool *pool) {
    if (!pool) return;
    atomic_store_explicit(&pool->closed, true, memory_order_relaxed); /* the lists' locks order it */
    pool_trim(pool);
    pool_unreference(pool);
}

struct buffer *pool_take(struct pool *pool, size_t size) {
    int size_class = pool_class(size);
    struct buffer *buffer = pool_find(pool, size, size_class);

    if (!buffer) buffer = pool_make(pool, size, size_class);
    if (!buffer && pool_kept(pool)) {
        pool_trim(pool);
        buffer = pool_make(pool, size, size_class);
    }
    if (!buffer) return NULL;
    buffer->size = size;
    buffer->size_class = size_class;
    buffer->pool = pool;
    buffer->next = NULL;
    atomic_store_explicit(&buffer->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->references, 1, memory_order_relaxed);
    return buffer;
}

struct buffer *pool_retain(struct buffer *buffer) {
    atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

void pool_release(struct buffer *buffer) {
    if (!buffer || atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1) return;
    struct pool *pool = buffer->pool;
    if (!pool_keep(pool, buffer)) pool_free_buffer(pool, buffer);
    pool_unreference(pool);
}

size_t pool_held(const struct pool *pool) {
    return atomic_load_explicit(&pool->held, memory_order_relaxed);
}

size_t pool_kept(const struct pool *pool) {
    return atomic_load_explicit(&pool->kept_small, memory_order_relaxed) +
           atomic_load_explicit(&pool->kept_large, memory_order_relaxed);
}

size_t pool_limit(const struct pool *pool) {
    return pool->limit;
}
