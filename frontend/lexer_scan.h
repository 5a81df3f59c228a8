/* lexer_scan.h: what lexer.re (characters to tokens) and lexer_layout.c (lines and brackets) share. Private to the
 * lexer. */
#ifndef FRONTEND_LEXER_SCAN_H
#define FRONTEND_LEXER_SCAN_H

#include "frontend/lexer.h"

struct lexer {
    struct arena *arena;
    struct diag_list *diags;
    const unsigned char *text, *limit; /* *limit is NUL */
    const unsigned char *at;           /* next byte to look at */
    const unsigned char *start;        /* of the token scanned last */
    bool cut;                          /* that token is a string without its closing quote */
};

/* The next token: sets `start` and moves `at` behind it. Every line end is a TK_NEWLINE. */
enum token_kind lexer_scan(struct lexer *lexer);

#endif
