#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What a block of `size` bytes really takes: an empty block is one byte, so that it has an address of its own. */
static size_t mem_held(size_t size) {
    return size ? size : 1;
}

/* Counts `more` bytes as used, or refuses because of the limit. */
static bool mem_reserve(struct mem *mem, size_t more) {
    size_t used = atomic_load_explicit(&mem->used, memory_order_relaxed);
    do {
        if (more > SIZE_MAX - used || (mem->limit && used + more > mem->limit)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&mem->used, &used, used + more, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void mem_release(struct mem *mem, size_t less) {
    atomic_fetch_sub_explicit(&mem->used, less, memory_order_relaxed);
}

static void *mem_resize_host(struct mem *mem, void *p, size_t old_size, size_t new_size) {
    if (mem->resize) return mem->resize(mem->host, p, old_size, new_size);
    if (new_size) return realloc(p, new_size);
    free(p);
    return NULL;
}

void *mem_resize(struct mem *mem, void *p, size_t old_size, size_t new_size) {
    size_t old_held = p ? mem_held(old_size) : 0, new_held = mem_held(new_size);

    if (new_held > PTRDIFF_MAX) return NULL; /* no object may be larger; allocators differ in what they do then */
    if (new_held > old_held && !mem_reserve(mem, new_held - old_held)) return NULL;
    void *block = mem_resize_host(mem, p, old_held, new_held);
    if (block && new_held < old_held) mem_release(mem, old_held - new_held);
    if (!block && new_held > old_held) mem_release(mem, new_held - old_held);
    return block;
}

void *mem_alloc(struct mem *mem, size_t size) {
    return mem_resize(mem, NULL, 0, size);
}

void *mem_zalloc(struct mem *mem, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    void *block = mem_alloc(mem, total);
    if (block) memset(block, 0, total);
    return block;
}

void mem_free(struct mem *mem, void *p, size_t size) {
    if (!p) return;
    mem_resize_host(mem, p, mem_held(size), 0);
    mem_release(mem, mem_held(size));
}

char *mem_strndup(struct mem *mem, const char *text, size_t length) {
    if (length == SIZE_MAX) return NULL;
    char *copy = mem_alloc(mem, length + 1);
    if (!copy) return NULL;
    if (length) memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}
