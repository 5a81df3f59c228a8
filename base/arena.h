/* arena.h: memory that lives exactly as long as one piece of work (a parse, the build of one plan).
 *
 * Callers never see a failed allocation: when memory runs out, arena_alloc jumps to the handler that
 * arena_try set up, and everything in the arena is freed by whoever owns it. Code that holds handles
 * which are not memory (LLVM modules, file descriptors) wraps its own arena_try around the stretch,
 * releases them, and calls arena_fail to pass the failure on.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct arena {
    struct mem *mem;
    struct arena_block *blocks; /* newest first */
    char *at, *end;             /* free part of the newest block */
    size_t held;                /* bytes in all blocks */
    jmp_buf *on_failure;        /* where a failed allocation goes; set by arena_try */
};

/* Makes an empty arena; allocates nothing yet. */
void arena_init(struct arena *arena, struct mem *mem);
/* Frees every block; the arena is as after arena_init. */
void arena_free(struct arena *arena);

/* Runs work(argument). True if it returned, false if an allocation failed (or arena_fail was called) inside it.
 * Nests: the innermost handler gets the failure. */
bool arena_try(struct arena *arena, void (*work)(void *argument), void *argument);
/* Gives up as a failed allocation does. Never returns. */
_Noreturn void arena_fail(struct arena *arena);

/* Zeroed memory, aligned for any type, valid until arena_free. Never NULL: does not return on failure. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_array(struct arena *arena, size_t count, size_t size);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args);

/* Growable array: `items` is a typed pointer, `count` and `capacity` ints beside it. Makes room for one more.
 *     ARENA_PUSH(arena, list->items, list->count, list->capacity) = value; */
#define ARENA_PUSH(arena, items, count, capacity)                                                                      \
    (*((items) = arena_grow((arena), (items), (count), &(capacity), sizeof *(items)), &(items)[(count)++]))
void *arena_grow(struct arena *arena, void *items, int count, int *capacity, size_t item_size);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_array((arena), (size_t)(count), sizeof(type)))

#endif
