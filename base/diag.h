/* diag.h: errors that point.
 *
 * A span is a place in the source text; tokens, syntax nodes and IR values all carry one, so a shape error
 * found late still draws a caret:
 *
 *     clean.weft:4:9: error: `b` [3, 4] and `c` [3] do not broadcast
 *       a + sum(b * c, axis=0)
 *               ^~~~~
 *
 * Errors are collected, not thrown: a stage reports what it finds, goes on where it can, and its caller asks
 * diag_count afterwards.
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/strbuf.h"

struct span {
    uint32_t offset, length; /* bytes of the source; {0,0} with no place to point at */
};

/* The smallest span that holds both. */
struct span span_join(struct span a, struct span b);

/* What went wrong, as the public API reports it (the values match jit_status in weft/jit.h). */
enum diag_code {
    DIAG_NONE = 0,
    DIAG_SYNTAX = 1,    /* the text is no program */
    DIAG_NAME = 2,      /* an unknown or misused name */
    DIAG_TYPE = 3,      /* element types, argument counts, dtypes of bound arrays */
    DIAG_SHAPE = 4,     /* ranks and sizes, at compile or at run time */
    DIAG_INDEX = 5,     /* a subscript outside its array */
    DIAG_VALUE = 6,     /* a value that is not allowed (empty reduction, bad count) */
    DIAG_LIMIT = 7,     /* a limit of the options was reached */
    DIAG_MEMORY = 8,    /* an allocation failed */
    DIAG_FILE = 9,      /* a file could not be read or written */
    DIAG_ASSERT = 10,   /* an assert of the program */
    DIAG_CANCELLED = 11,
    DIAG_UNSUPPORTED = 12, /* known to the language, not available here */
    DIAG_ARGUMENT = 13, /* the host called the API wrongly */
    DIAG_INTERNAL = 14, /* a back end failed; says which and how */
};

struct diag {
    enum diag_code code;
    struct span span;
    const char *text; /* one line, no trailing period or newline, no "error:" */
};

enum { DIAG_MOST = 20 }; /* errors kept; a text with more of them is seldom a program */

struct diag_list {
    struct arena *arena;
    const char *file; /* name shown before the position: "clean.weft", "<expr>" */
    const char *source;
    size_t source_length;
    size_t hidden; /* bytes at the start of `source` that the user did not write: a session's prelude. The runtime hides them */
    struct diag *items;
    int count, capacity;
    int dropped; /* errors past DIAG_MOST, only counted */
};

void diag_init(struct diag_list *list, struct arena *arena, const char *file, const char *source, size_t length);
/* Adds an error; the text is copied. A second error at the same span with the same text is dropped. */
void diag_add(struct diag_list *list, enum diag_code code, struct span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void diag_vadd(struct diag_list *list, enum diag_code code, struct span span, const char *format, va_list args);

/* Line and column, from 1, of a byte offset; columns count code points. */
void diag_position(const char *source, size_t length, uint32_t offset, int *line, int *column);

/* All errors in order of position, each with its source line and caret, as in the example above. Lines over 160
 * columns are shown as a window around the caret; control bytes and invalid UTF-8 are shown as `?`, a tab as one
 * space. Spans that reach past the line's end draw to the line's end; an error without a place has no line. */
void diag_render(const struct diag_list *list, struct strbuf *out);

/* The candidate nearest to `name` by edit distance (Damerau, case counts half), or NULL if none is near enough to
 * suggest: distance at most a third of the length, at least 1; a name of one letter only in another case (or every
 * unknown `x` would be told of `e`), one over 64 bytes never. */
struct diag_suggest {
    const char *name;
    size_t length;
    const char *best;
    int best_distance; /* in half steps */
};
void diag_suggest_init(struct diag_suggest *suggest, const char *name, size_t length);
void diag_suggest_offer(struct diag_suggest *suggest, const char *candidate);
const char *diag_suggest_best(const struct diag_suggest *suggest);

#endif
