#include "base/strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

void strbuf_init(struct strbuf *buffer, struct arena *arena) {
    *buffer = (struct strbuf){.arena = arena};
}

/* Makes room for `more` bytes and the NUL after them. */
static void strbuf_reserve(struct strbuf *buffer, size_t more) {
    if (more >= PTRDIFF_MAX - buffer->length) arena_fail(buffer->arena);
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->capacity) return;

    size_t capacity = buffer->capacity < PTRDIFF_MAX / 2 ? 2 * buffer->capacity : needed;
    if (capacity < needed) capacity = needed;
    if (capacity < 64) capacity = 64;
    char *text = arena_alloc(buffer->arena, capacity);
    if (buffer->length) memcpy(text, buffer->text, buffer->length);
    buffer->text = text;
    buffer->capacity = capacity;
}

void strbuf_add(struct strbuf *buffer, const char *text, size_t length) {
    strbuf_reserve(buffer, length);
    if (length) memcpy(buffer->text + buffer->length, text, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

void strbuf_puts(struct strbuf *buffer, const char *text) {
    strbuf_add(buffer, text, strlen(text));
}

void strbuf_putc(struct strbuf *buffer, char c) {
    strbuf_add(buffer, &c, 1);
}

void strbuf_vprintf(struct strbuf *buffer, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) arena_fail(buffer->arena); /* longer than INT_MAX */
    strbuf_reserve(buffer, (size_t)length);
    vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, args);
    buffer->length += (size_t)length;
}

void strbuf_printf(struct strbuf *buffer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    strbuf_vprintf(buffer, format, args);
    va_end(args);
}

const char *strbuf_text(const struct strbuf *buffer) {
    return buffer->text ? buffer->text : "";
}
