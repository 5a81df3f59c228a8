/* lexer.h: text to tokens, with the layout rules applied.
 *
 * A line end becomes TK_NEWLINE only where it separates statements: not inside () and [], not twice in a row, not
 * between `}` and `else` or `elif`. Brackets in the token list always match; every opening one knows its closing one.
 *
 * What is wrong with the text is reported to the diag_list and leaves a TK_BAD in the list, so that the parser drops
 * the statement without a second complaint. Slips from other languages that have one meaning here (`&&`, `!`) are
 * reported and then lexed as what was meant.
 *
 * Tokens are 16 bytes and refer to the text by offset. They and the decoded literals live in the arena.
 */
#ifndef FRONTEND_LEXER_H
#define FRONTEND_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"

enum token_kind {
    TK_EOF,       /* end of the text; always the last token */
    TK_BAD,       /* something that was reported */
    TK_NEWLINE,   /* a line end that counts */
    TK_SEMICOLON, /* ; */

    TK_NAME,   /* x */
    TK_INT,    /* 1 100_000 0xff 0b11 */
    TK_FLOAT,  /* 1.5 1. .5 1e9 */
    TK_STRING, /* "…", with its quotes, escapes not yet looked at */

    TK_LPAREN,   /* ( */
    TK_RPAREN,   /* ) */
    TK_LBRACKET, /* [ */
    TK_RBRACKET, /* ] */
    TK_LBRACE,   /* { */
    TK_RBRACE,   /* } */
    TK_COMMA,    /* , */
    TK_COLON,    /* : */
    TK_DOT,      /* . */
    TK_ELLIPSIS, /* ... */
    TK_ARROW,    /* -> */

    TK_PLUS,       /* +  (from here to TK_GE in the order of enum ast_op) */
    TK_MINUS,      /* - */
    TK_STAR,       /* * */
    TK_SLASH,      /* / */
    TK_SLASHSLASH, /* // */
    TK_PERCENT,    /* % */
    TK_AT,         /* @ */
    TK_STARSTAR,   /* ** */
    TK_SHL,        /* << */
    TK_SHR,        /* >> */
    TK_AMP,        /* & */
    TK_CARET,      /* ^ */
    TK_BAR,        /* | */
    TK_TILDE,      /* ~ */
    TK_NOT,        /* not */
    TK_EQ,         /* == */
    TK_NE,         /* != */
    TK_LT,         /* < */
    TK_LE,         /* <= */
    TK_GT,         /* > */
    TK_GE,         /* >= */
    TK_AND,        /* and */
    TK_OR,         /* or */

    TK_ASSIGN,      /* = */
    TK_DEFINE,      /* := */
    TK_PLUS_EQ,     /* += */
    TK_MINUS_EQ,    /* -= */
    TK_STAR_EQ,     /* *= */
    TK_SLASH_EQ,    /* /= */
    TK_FLOORDIV_EQ, /* //= */
    TK_PERCENT_EQ,  /* %= */
    TK_POW_EQ,      /* **= */
    TK_SHL_EQ,      /* <<= */
    TK_SHR_EQ,      /* >>= */
    TK_AMP_EQ,      /* &= */
    TK_CARET_EQ,    /* ^= */
    TK_BAR_EQ,      /* |= */

    TK_TRUE, /* the keywords */
    TK_FALSE,
    TK_NONE,
    TK_IF,
    TK_ELIF,
    TK_ELSE,
    TK_WHILE,
    TK_FOR,
    TK_IN,
    TK_BREAK,
    TK_CONTINUE,
    TK_RETURN,
    TK_ASSERT,
    TK_PARAM,
    TK_FN,
    TK_UFUNC,
    TK_N_KINDS,
};

struct token {
    uint32_t kind; /* enum token_kind */
    uint32_t offset, length;
    uint32_t match; /* of an opening bracket: the place of its closing one in the list; 0 if a TK_BAD comes first */
};

struct token_list {
    struct token *items; /* ends in TK_EOF */
    int count, capacity;
};

/* All tokens of the text. text[length] must be readable and NUL; NULs before it are reported like any other bad byte.
 * At most `nesting` brackets may be open at once: beyond that a DIAG_LIMIT is reported and the list ends there. */
struct token_list lexer_run(struct arena *arena, const char *text, size_t length, int nesting, struct diag_list *diags);

/* Whether brackets are open at the end of the text. Needs no NUL at the end. */
bool lexer_is_open(const char *text, size_t length);

/* For messages: "`)`", "the name `x`", "the end of the line". In the arena or static. */
const char *lexer_describe(struct arena *arena, const char *text, struct token token);

/* The value of a TK_INT or TK_FLOAT. False after reporting that it is too large. */
bool lexer_int(const char *text, struct token token, struct diag_list *diags, uint64_t *value);
bool lexer_float(struct arena *arena, const char *text, struct token token, struct diag_list *diags, double *value);
/* The decoded text of a TK_STRING, NUL-terminated and without other NULs. False after reporting bad escapes. */
bool lexer_string(struct arena *arena, const char *text, struct token token, struct diag_list *diags,
                  const char **value, size_t *length);

/* Length (1 to 4) of the UTF-8 sequence at text, 0 if it is none. */
int lexer_utf8(const char *text, size_t length);

#endif
