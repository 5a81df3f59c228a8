/* tools_text.h: texts that the tools hand to their callers: outside of any context, as jit_text_free knows none. */
#ifndef RUNTIME_TOOLS_TEXT_H
#define RUNTIME_TOOLS_TEXT_H

#include "base/strbuf.h"

/* A copy for jit_text_free; NULL if memory runs out. */
char *tools_text_copy(const char *text);

/* Runs write(argument, out) and copies what it wrote. NULL if memory runs out, or if `write` says false. */
char *tools_text_write(bool (*write)(void *argument, struct strbuf *out), void *argument);

#endif
