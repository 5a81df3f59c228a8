#include "base/arena.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN ((size_t) _Alignof(max_align_t))

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

/* The first block; each later one is twice the newest, up to ARENA_BLOCK_MAX. Larger requests get a block of their own
 * size. With AddressSanitizer every request gets its own block, so that running past one is seen. */
#ifdef ARENA_ASAN
#define ARENA_BLOCK_MIN ((size_t)0)
#define ARENA_BLOCK_MAX ((size_t)0)
#else
#define ARENA_BLOCK_MIN ((size_t)4096)
#define ARENA_BLOCK_MAX ((size_t)1 << 20)
#endif

struct arena_block {
    struct arena_block *next; /* older */
    size_t size;              /* of the whole block, this header included */
    _Alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena, struct mem *mem) {
    *arena = (struct arena){.mem = mem};
}

void arena_free(struct arena *arena) {
    for (struct arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        mem_free(arena->mem, block, block->size);
    }
    arena->blocks = NULL;
    arena->at = arena->end = NULL;
    arena->held = 0;
}

bool arena_try(struct arena *arena, void (*work)(void *argument), void *argument) {
    jmp_buf *const outer = arena->on_failure;
    jmp_buf here;
    if (setjmp(here)) {
        arena->on_failure = outer;
        return false;
    }
    arena->on_failure = &here;
    work(argument);
    arena->on_failure = outer;
    return true;
}

void arena_fail(struct arena *arena) {
    /* Allocating outside arena_try is a mistake in the library itself: there is nowhere to go on. */
    if (!arena->on_failure) abort();
    longjmp(*arena->on_failure, 1);
}

static void arena_add_block(struct arena *arena, size_t size) {
    size_t wanted = arena->blocks ? 2 * arena->blocks->size : ARENA_BLOCK_MIN;
    if (wanted > ARENA_BLOCK_MAX) wanted = ARENA_BLOCK_MAX;
    if (size > PTRDIFF_MAX - sizeof(struct arena_block)) arena_fail(arena);
    if (wanted < size + sizeof(struct arena_block)) wanted = size + sizeof(struct arena_block);

    struct arena_block *block = mem_alloc(arena->mem, wanted);
    if (!block) arena_fail(arena);
    block->next = arena->blocks;
    block->size = wanted;
    arena->blocks = block;
    arena->held += wanted;
    arena->at = block->data;
    arena->end = (char *)block + wanted;
}

void *arena_alloc(struct arena *arena, size_t size) {
    if (size > PTRDIFF_MAX) arena_fail(arena);
    /* An empty object takes a unit too: pointers to different objects differ. */
    size_t rounded = size ? (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1) : ARENA_ALIGN;
#ifdef ARENA_ASAN
    rounded = size ? size : 1; /* the block is this request's alone: let it end where the object does */
    arena->at = arena->end = NULL;
#endif
    if ((size_t)(arena->end - arena->at) < rounded || !arena->at) arena_add_block(arena, rounded);
    void *object = arena->at;
    arena->at += rounded;
    memset(object, 0, size);
    return object;
}

void *arena_array(struct arena *arena, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) arena_fail(arena);
    return arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *text, size_t length) {
    if (length >= PTRDIFF_MAX) arena_fail(arena);
    char *copy = arena_alloc(arena, length + 1);
    if (length) memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) arena_fail(arena); /* longer than INT_MAX */
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

void *arena_grow(struct arena *arena, void *items, int count, int *capacity, size_t item_size) {
    if (count < *capacity) return items;
    if (*capacity > INT_MAX / 2) arena_fail(arena);
    int larger = *capacity ? 2 * *capacity : 8;
    void *moved = arena_array(arena, (size_t)larger, item_size);
    if (count) memcpy(moved, items, (size_t)count * item_size);
    *capacity = larger;
    return moved;
}
