/* parser_state.h: what the parser's files share. Private to the parser.
 *
 * Errors never unwind by hand. The first one in a statement sets `panic`, and from then on the current token is TK_BAD:
 * every accept and expect fails, every loop ends, nothing is reported, until parser_statements drops the statement and
 * goes on behind it. So the functions here always return a node, and their callers need not ask.
 *
 *     parser.c        entry points, tokens, errors, nodes
 *     parser_stmt.c   statements and blocks
 *     parser_define.c param, fn, ufunc, types
 *     parser_expr.c   operators
 *     parser_atom.c   literals, calls, subscripts, index ranges
 */
#ifndef FRONTEND_PARSER_STATE_H
#define FRONTEND_PARSER_STATE_H

#include "frontend/lexer.h"
#include "frontend/parser.h"

struct parser {
    struct arena *arena;
    struct diag_list *diags;
    struct ast_program *program;
    const char *text;
    struct token_list tokens;
    int at;                /* place of the next token */
    struct token token;    /* that token; TK_BAD in panic */
    struct token previous; /* the one consumed last */
    bool panic;
    int bracket; /* place of the outermost ( or [ that is open in this statement; -1: none */
    int depth, nesting;
    uint32_t height;
    int loops, blocks; /* how many we are inside of */
    int n_exprs, exprs_capacity;
    int functions_capacity;
};

/* Tokens. */
bool parser_is(const struct parser *parser, enum token_kind kind);
enum token_kind parser_peek(const struct parser *parser, int ahead); /* 1: behind the current one */
void parser_advance(struct parser *parser);
bool parser_accept(struct parser *parser, enum token_kind kind);
/* Consumes it, or reports "expected `what`, found …". */
bool parser_expect(struct parser *parser, enum token_kind kind, const char *what);
/* Consume ( or [, and its partner. The number goes from one to the other. */
int parser_open(struct parser *parser);
void parser_close(struct parser *parser, enum token_kind kind, const char *what, int opened);
const char *parser_name(struct parser *parser, struct token token);
struct span parser_span(struct token token);
struct span parser_since(const struct parser *parser, struct span first); /* from there to the previous token */

/* Errors. parser_report goes on; the others start the panic. */
void parser_report(struct parser *parser, struct span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void parser_fail(struct parser *parser, struct span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "expected …, found …" at the current token. */
void parser_expected(struct parser *parser, const char *what);
void parser_expected_hint(struct parser *parser, const char *what, const char *hint);
const char *parser_found(struct parser *parser);

void parser_panic_quietly(struct parser *parser); /* the reason was reported before */

/* One level deeper; false after reporting that it is too deep. The level counts either way: always leave. */
bool parser_enter(struct parser *parser, struct span span);
void parser_leave(struct parser *parser);

/* Nodes: parser_new makes one, parser_done numbers it once its operands are there. first: the id that parser_next_id
 * gave before the first operand was parsed, or that operand's first_id; height: of the highest operand. */
struct ast_expr *parser_new(struct parser *parser, enum ast_expr_kind kind, struct span span);
struct ast_expr *parser_done(struct parser *parser, struct ast_expr *expr, uint32_t first, uint32_t height);
uint32_t parser_next_id(const struct parser *parser);
uint32_t parser_max(uint32_t a, uint32_t b);

/* Expressions. */
struct ast_expr *parser_expr(struct parser *parser);
struct ast_expr *parser_expr_list(struct parser *parser); /* a bare list is a tuple */
struct ast_expr *parser_tuple(struct parser *parser, struct ast_expr **items, int count, struct span span,
                              uint32_t first);
struct ast_expr *parser_postfix(struct parser *parser);
struct ast_expr *parser_text(struct parser *parser); /* the current token, a TK_STRING */
/* `i in a:b, j in c:d`; without `required`, the `in` part may be missing. Leaves the closing token alone. */
struct ast_index_range *parser_ranges(struct parser *parser, bool required, int *count);

/* Statements. */
void parser_statements(struct parser *parser, enum token_kind end, struct ast_block *block);
struct ast_block parser_block(struct parser *parser, const char *after);
void parser_param(struct parser *parser, struct ast_stmt *stmt);
void parser_function(struct parser *parser, struct ast_stmt *stmt);

#endif
