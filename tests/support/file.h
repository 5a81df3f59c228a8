/* file.h: a text file, whole. */
#ifndef SUPPORT_FILE_H
#define SUPPORT_FILE_H

#include <stdio.h>

#include "base/strbuf.h"

/* NULL: there is none. In the arena. */
static inline char *file_read(struct arena *arena, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    struct strbuf text;
    strbuf_init(&text, arena);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) strbuf_add(&text, chunk, n);
    fclose(file);
    return arena_strdup(arena, strbuf_text(&text));
}

#endif
