/* strbuf.h: text that grows, in an arena. */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stdarg.h>

#include "base/arena.h"

struct strbuf {
    struct arena *arena;
    char *text; /* always NUL-terminated once anything was added; NULL before */
    size_t length, capacity;
};

void strbuf_init(struct strbuf *buffer, struct arena *arena);
void strbuf_add(struct strbuf *buffer, const char *text, size_t length);
void strbuf_puts(struct strbuf *buffer, const char *text);
void strbuf_putc(struct strbuf *buffer, char c);
void strbuf_printf(struct strbuf *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *buffer, const char *format, va_list args);
/* The text so far, never NULL. */
const char *strbuf_text(const struct strbuf *buffer);

#endif
