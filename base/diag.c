#include "base/diag.h"

#include <string.h>

enum {
    DIAG_WIDEST = 160,      /* columns of a source line that are shown */
    DIAG_BEFORE = 60,       /* columns left of the caret in a window */
    DIAG_SUGGEST_NAME = 64, /* longer names get no suggestion */
};

struct span span_join(struct span a, struct span b) {
    if (!a.offset && !a.length) return b;
    if (!b.offset && !b.length) return a;
    uint32_t from = a.offset < b.offset ? a.offset : b.offset;
    uint64_t a_end = (uint64_t)a.offset + a.length, b_end = (uint64_t)b.offset + b.length;
    uint64_t length = (a_end > b_end ? a_end : b_end) - from;
    return (struct span){from, length > UINT32_MAX ? UINT32_MAX : (uint32_t)length};
}

/* Length of the code point at `text`, or 0 if the bytes there are no valid UTF-8 (overlong forms, surrogates and values
 * past U+10FFFF are not). */
static size_t diag_utf8(const char *text, size_t length) {
    const unsigned char *s = (const unsigned char *)text;
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    if (!n || n > length) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0)) return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90)) return 0;
    return n;
}

/* How far the next column reaches: one code point, or one byte that is part of none. */
static size_t diag_step(const char *text, size_t length) {
    size_t n = diag_utf8(text, length);
    return n ? n : 1;
}

/* Adds the column at `text` as it is shown: a terminal must not see control bytes, nor half a character. */
static size_t diag_show(struct strbuf *out, const char *text, size_t length) {
    size_t n = diag_utf8(text, length);
    unsigned char c = (unsigned char)text[0];
    bool c1 = n == 2 && c == 0xC2 && (unsigned char)text[1] < 0xA0; /* U+0080 to U+009F are control characters too */
    if (n == 1 && c == '\t')
        strbuf_putc(out, ' ');
    else if (!n || c < 0x20 || c == 0x7F || c1)
        strbuf_putc(out, '?');
    else
        strbuf_add(out, text, n);
    return n ? n : 1;
}

void diag_init(struct diag_list *list, struct arena *arena, const char *file, const char *source, size_t length) {
    *list = (struct diag_list){.arena = arena, .file = file, .source = source, .source_length = length};
}

void diag_vadd(struct diag_list *list, enum diag_code code, struct span span, const char *format, va_list args) {
    if (list->count == DIAG_MOST) { /* before formatting: a long text of nothing but errors takes no memory */
        list->dropped++;
        return;
    }
    const char *raw = arena_vprintf(list->arena, format, args);
    struct strbuf clean;
    strbuf_init(&clean, list->arena);
    for (size_t at = 0, length = strlen(raw); at < length;) at += diag_show(&clean, raw + at, length - at);
    const char *text = strbuf_text(&clean);

    for (int i = 0; i < list->count; i++) {
        const struct diag *other = &list->items[i];
        if (other->span.offset == span.offset && other->span.length == span.length && !strcmp(other->text, text))
            return;
    }
    ARENA_PUSH(list->arena, list->items, list->count, list->capacity) = (struct diag){code, span, text};
}

void diag_add(struct diag_list *list, enum diag_code code, struct span span, const char *format, ...) {
    va_list args;
    va_start(args, format);
    diag_vadd(list, code, span, format, args);
    va_end(args);
}

/* Start of the line that holds `offset`, and its number. */
static size_t diag_line(const char *source, size_t offset, int *line) {
    size_t start = 0;
    *line = 1;
    for (const char *newline; start < offset && (newline = memchr(source + start, '\n', offset - start)); ++*line)
        start = (size_t)(newline - source) + 1;
    return start;
}

/* Columns that end at or before `offset`: a byte inside a character belongs to that character's column. */
static size_t diag_columns(const char *text, size_t length, size_t offset) {
    size_t columns = 0;
    for (size_t at = 0, step; at < length && at + (step = diag_step(text + at, length - at)) <= offset; at += step)
        columns++;
    return columns;
}

void diag_position(const char *source, size_t length, uint32_t offset, int *line, int *column) {
    size_t at = offset < length ? offset : length;
    size_t start = diag_line(source, at, line);
    *column = (int)diag_columns(source + start, length - start, at - start) + 1;
}

/* The source line at `span` and, below it, the caret. Nothing for an empty line: there is nothing to see. */
static void diag_render_line(const struct diag_list *list, struct span span, struct strbuf *out) {
    size_t offset = span.offset < list->source_length ? span.offset : list->source_length;
    int number;
    size_t start = diag_line(list->source, offset, &number);
    const char *text = list->source + start;
    const char *newline = start < list->source_length ? memchr(text, '\n', list->source_length - start) : NULL;
    size_t length = newline ? (size_t)(newline - text) : list->source_length - start;
    if (length && text[length - 1] == '\r') length--;
    if (!length) return;

    /* All in columns from here on: the caret, the tildes' end, the line's end. */
    size_t at = offset - start < length ? offset - start : length;
    size_t span_end = (size_t)span.length < length - at ? at + span.length : length;
    size_t caret = diag_columns(text, length, at), width = diag_columns(text, length, length);
    size_t end = caret + 1;
    for (size_t byte = at, column = caret; byte < span_end; byte += diag_step(text + byte, length - byte))
        end = ++column;

    size_t from = 0, to = width;
    if (width > DIAG_WIDEST) {
        from = caret > DIAG_BEFORE ? caret - DIAG_BEFORE : 0;
        if (from > width - DIAG_WIDEST) from = width - DIAG_WIDEST;
        to = from + DIAG_WIDEST;
    }
    if (end > to) end = to > caret ? to : caret + 1; /* a caret just past the line's end stays */

    strbuf_puts(out, from ? "  ..." : "  ");
    for (size_t byte = 0, column = 0; byte < length && column < to; column++) {
        if (column < from)
            byte += diag_step(text + byte, length - byte);
        else
            byte += diag_show(out, text + byte, length - byte);
    }
    strbuf_puts(out, to < width ? "...\n" : "\n");
    strbuf_puts(out, from ? "     " : "  ");
    for (size_t column = from; column < end; column++)
        strbuf_putc(out, column < caret ? ' ' : column == caret ? '^' : '~');
    strbuf_putc(out, '\n');
}

void diag_render(const struct diag_list *list, struct strbuf *out) {
    int order[DIAG_MOST];
    for (int i = 0; i < list->count; i++) {
        int at = i; /* insertion keeps errors of one place in the order they were reported */
        for (; at && list->items[order[at - 1]].span.offset > list->items[i].span.offset; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (int i = 0; i < list->count; i++) {
        const struct diag *diag = &list->items[order[i]];
        bool placed = diag->span.offset || diag->span.length;
        if (list->file) strbuf_printf(out, "%s:", list->file);
        if (placed) {
            int line, column;
            diag_position(list->source, list->source_length, diag->span.offset, &line, &column);
            strbuf_printf(out, "%d:%d:", line, column);
        }
        strbuf_printf(out, "%serror: %s\n", list->file || placed ? " " : "", diag->text);
        if (placed) diag_render_line(list, diag->span, out);
    }
    if (list->dropped) strbuf_printf(out, "%d more error%s\n", list->dropped, list->dropped == 1 ? "" : "s");
}

/* Distances are in half steps, so that a difference in case can count half. */
enum { DIAG_STEP = 2, DIAG_STEP_CASE = 1 };

static unsigned char diag_lower(unsigned char c) {
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static int diag_min(int a, int b) {
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
static int diag_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    int rows[3][DIAG_SUGGEST_NAME + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++) last[j] = (int)j * DIAG_STEP;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (int)i * DIAG_STEP;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned char x = (unsigned char)a[i - 1], y = (unsigned char)b[j - 1];
            int replace = x == y ? 0 : diag_lower(x) == diag_lower(y) ? DIAG_STEP_CASE : DIAG_STEP;
            row[j] = diag_min(last[j - 1] + replace, diag_min(last[j], row[j - 1]) + DIAG_STEP);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = diag_min(row[j], before[j - 2] + DIAG_STEP);
        }
        int *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_length];
}

void diag_suggest_init(struct diag_suggest *suggest, const char *name, size_t length) {
    *suggest = (struct diag_suggest){.name = name, .length = length};
}

void diag_suggest_offer(struct diag_suggest *suggest, const char *candidate) {
    size_t length = strlen(candidate), name_length = suggest->length;
    if (!name_length || name_length > DIAG_SUGGEST_NAME || length > DIAG_SUGGEST_NAME) return;
    /* One letter for another is no likeness: without this, every unknown `x` would be told of `e`. */
    int limit = name_length == 1 ? DIAG_STEP_CASE : name_length < 3 ? DIAG_STEP : (int)(name_length / 3) * DIAG_STEP;
    size_t apart = length > name_length ? length - name_length : name_length - length;
    if ((int)apart * DIAG_STEP > limit) return;
    int distance = diag_distance(suggest->name, name_length, candidate, length);
    if (distance > limit || (suggest->best && distance >= suggest->best_distance)) return;
    suggest->best = candidate;
    suggest->best_distance = distance;
}

const char *diag_suggest_best(const struct diag_suggest *suggest) {
    return suggest->best;
}
