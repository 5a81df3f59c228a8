/* lexer_layout.c: which line ends count, and which bracket belongs to which. */
#include <string.h>

#include "frontend/lexer_scan.h"

/* Giving up on an unclosed bracket starts again behind its line. Each time costs a pass over the rest of the text, so
 * after this many the rest is left as it is: as many errors as are shown. */
enum { LEXER_RESTARTS = 20 };

struct layout {
    struct lexer lexer;
    struct token_list tokens;
    uint32_t *open; /* places in the list of the opening brackets that are not closed yet */
    int n_open, nesting;
    int restarts;
    uint32_t line; /* where the current line begins */
    bool forgive;  /* a bracket of this line was reported; its partner is no second error */
};

static void layout_push(struct layout *layout, enum token_kind kind, size_t offset, size_t length) {
    struct token_list *tokens = &layout->tokens;
    ARENA_PUSH(layout->lexer.arena, tokens->items, tokens->count, tokens->capacity) =
        (struct token){kind, (uint32_t)offset, (uint32_t)length, 0};
}

static enum token_kind layout_last(const struct layout *layout) {
    return layout->tokens.count ? layout->tokens.items[layout->tokens.count - 1].kind : TK_NEWLINE;
}

static enum token_kind layout_top(const struct layout *layout) {
    return layout->n_open ? layout->tokens.items[layout->open[layout->n_open - 1]].kind : TK_EOF;
}

static char layout_char(const struct layout *layout, struct token token) {
    return (char)layout->lexer.text[token.offset];
}

/* Reports the outermost bracket that is open inside the innermost block (no block can begin or end before it is closed)
 * and goes on behind it: behind its line if that has ended, with the tokens since then read afresh. */
static void layout_give_up(struct layout *layout, const char *what) {
    struct token_list *tokens = &layout->tokens;
    int first = layout->n_open;
    while (first > 0 && tokens->items[layout->open[first - 1]].kind != TK_LBRACE) first--;
    uint32_t place = layout->open[first];
    struct token opening = tokens->items[place];
    struct span span = {opening.offset, opening.length};
    diag_add(layout->lexer.diags, DIAG_SYNTAX, span, "`%c` is not closed%s", layout_char(layout, opening), what);
    layout->n_open = first;
    layout->forgive = true;

    const unsigned char *from = layout->lexer.text + opening.offset;
    const unsigned char *line_end = memchr(from, '\n', (size_t)(layout->lexer.start - from));
    if (!line_end || layout->restarts++ >= LEXER_RESTARTS) {
        layout_push(layout, TK_BAD, (size_t)(layout->lexer.start - layout->lexer.text), 0);
        layout->lexer.at = layout->lexer.start;
        return;
    }
    size_t end = (size_t)(line_end - layout->lexer.text);
    while (tokens->count && tokens->items[tokens->count - 1].offset > end) tokens->count--;
    for (uint32_t i = place; i < (uint32_t)tokens->count; i++) {
        if (tokens->items[i].match >= (uint32_t)tokens->count) tokens->items[i].match = 0;
    }
    layout_push(layout, TK_BAD, end, 1);
    layout->lexer.at = line_end;
}

static void layout_open(struct layout *layout, enum token_kind kind) {
    size_t offset = (size_t)(layout->lexer.start - layout->lexer.text);
    if (layout->n_open == layout->nesting) {
        struct span span = {(uint32_t)offset, 1};
        diag_add(layout->lexer.diags, DIAG_LIMIT, span, "brackets nest deeper than %d", layout->nesting);
        layout_push(layout, TK_BAD, offset, 1);
        layout->lexer.at = layout->lexer.limit;
        layout->n_open = 0; /* what is open here is no error of its own */
        return;
    }
    layout->open[layout->n_open++] = (uint32_t)layout->tokens.count;
    layout_push(layout, kind, offset, 1);
}

/* The kinds of brackets are in pairs: the closing one follows its opening one. */
static void layout_close(struct layout *layout, enum token_kind kind) {
    size_t offset = (size_t)(layout->lexer.start - layout->lexer.text);
    enum token_kind top = layout_top(layout);
    if (top != TK_EOF && top + 1 == kind) {
        layout->tokens.items[layout->open[--layout->n_open]].match = (uint32_t)layout->tokens.count;
        layout_push(layout, kind, offset, 1);
        return;
    }
    struct span span = {(uint32_t)offset, 1};
    if (top == TK_EOF || top == TK_LBRACE) {
        if (!layout->forgive)
            diag_add(layout->lexer.diags, DIAG_SYNTAX, span, "`%c` closes nothing", *layout->lexer.start);
    } else {
        struct token opening = layout->tokens.items[layout->open[layout->n_open - 1]];
        if (!layout->forgive &&
            !layout->lexer.diags->dropped) { /* counting lines takes time: not for errors past the limit */
            int line, column;
            diag_position((const char *)layout->lexer.text, (size_t)(layout->lexer.limit - layout->lexer.text),
                          opening.offset, &line, &column);
            diag_add(layout->lexer.diags, DIAG_SYNTAX, span, "expected `%c` to close the `%c` at %d:%d, found `%c`",
                     top == TK_LPAREN ? ')' : ']', layout_char(layout, opening), line, column, *layout->lexer.start);
        }
        layout->n_open--;
    }
    layout->forgive = true;
    layout_push(layout, TK_BAD, offset, 1);
}

static void layout_newline(struct layout *layout) {
    enum token_kind top = layout_top(layout);
    if (top == TK_LPAREN || top == TK_LBRACKET) return;
    layout->forgive = false;
    if (layout_last(layout) != TK_NEWLINE)
        layout_push(layout, TK_NEWLINE, (size_t)(layout->lexer.start - layout->lexer.text), 1);
}

/* A string that is not closed has swallowed the rest of its line, and with it what would close this line's brackets. */
static void layout_forget_line(struct layout *layout) {
    while (layout_top(layout) == TK_LPAREN || layout_top(layout) == TK_LBRACKET) {
        if (layout->tokens.items[layout->open[layout->n_open - 1]].offset < layout->line) return;
        layout->n_open--;
    }
}

/* One token; false at the end of the text. */
static bool layout_step(struct layout *layout) {
    enum token_kind kind = lexer_scan(&layout->lexer), top = layout_top(layout);
    size_t offset = (size_t)(layout->lexer.start - layout->lexer.text);
    bool inside = top == TK_LPAREN || top == TK_LBRACKET;
    switch (kind) {
    case TK_EOF:
        if (inside) {
            layout_give_up(layout, "");
            return true;
        }
        layout_newline(layout);
        while (layout->n_open) {
            struct token *opening = &layout->tokens.items[layout->open[--layout->n_open]];
            struct span span = {opening->offset, 1};
            diag_add(layout->lexer.diags, DIAG_SYNTAX, span, "`{` is not closed");
            opening->match = (uint32_t)layout->tokens.count;
            layout_push(layout, TK_RBRACE, offset, 0);
        }
        layout_push(layout, TK_EOF, offset, 0);
        return false;
    case TK_NEWLINE:
        layout->line = (uint32_t)offset + 1;
        layout_newline(layout);
        return true;
    case TK_LPAREN:
    case TK_LBRACKET: layout_open(layout, kind); return true;
    case TK_LBRACE:
        if (inside)
            layout_give_up(layout, " before `{`");
        else
            layout_open(layout, kind);
        return true;
    case TK_RPAREN:
    case TK_RBRACKET: layout_close(layout, kind); return true;
    case TK_RBRACE:
        if (inside)
            layout_give_up(layout, " before `}`");
        else
            layout_close(layout, kind);
        return true;
    case TK_ELSE:
    case TK_ELIF: {
        struct token_list *tokens = &layout->tokens;
        if (tokens->count >= 2 && tokens->items[tokens->count - 1].kind == TK_NEWLINE &&
            tokens->items[tokens->count - 2].kind == TK_RBRACE)
            tokens->count--;
        break;
    }
    case TK_BAD:
        if (layout->lexer.cut) layout_forget_line(layout);
        break;
    default: break;
    }
    layout_push(layout, kind, offset, (size_t)(layout->lexer.at - layout->lexer.start));
    return true;
}

struct token_list lexer_run(struct arena *arena, const char *text, size_t length, int nesting,
                            struct diag_list *diags) {
    const unsigned char *bytes = (const unsigned char *)text;
    struct layout layout = {
        .lexer = {.arena = arena, .diags = diags, .text = bytes, .limit = bytes + length, .at = bytes, .start = bytes},
        .open = ARENA_ARRAY(arena, uint32_t, nesting + 1),
        .nesting = nesting,
    };
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) layout.lexer.at += 3; /* a byte-order mark */
    while (layout_step(&layout)) {
    }
    return layout.tokens;
}

bool lexer_is_open(const char *text, size_t length) {
    size_t depth = 0;
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '(':
        case '[':
        case '{': depth++; break;
        case ')':
        case ']':
        case '}': depth -= depth > 0; break;
        case '#':
            while (i + 1 < length && text[i + 1] != '\n') i++;
            break;
        case '"':
            for (i++; i < length && text[i] != '"' && text[i] != '\n'; i++) i += text[i] == '\\';
            break;
        default: break;
        }
    }
    return depth > 0;
}
