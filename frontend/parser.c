/* parser.c: entry points, and the parser's tokens, errors and nodes. */
#include <stdarg.h>
#include <string.h>

#include "frontend/parser_state.h"

enum {
    PARSER_NESTING = 256,
    PARSER_NESTING_MOST = 1000, /* about 2 KiB of C stack a level */
    PARSER_HEIGHT = 20000,
    PARSER_SOURCE = 16 << 20,
    PARSER_SOURCE_MOST = 1 << 30,
};

bool parser_is(const struct parser *parser, enum token_kind kind) {
    return parser->token.kind == kind;
}

enum token_kind parser_peek(const struct parser *parser, int ahead) {
    if (parser->panic || parser->at + ahead >= parser->tokens.count) return TK_EOF;
    return parser->tokens.items[parser->at + ahead].kind;
}

void parser_advance(struct parser *parser) {
    if (parser->panic || parser->token.kind == TK_EOF) return;
    parser->previous = parser->token;
    parser->token = parser->tokens.items[++parser->at];
}

bool parser_accept(struct parser *parser, enum token_kind kind) {
    if (parser->token.kind != kind || parser->panic) return false;
    parser_advance(parser);
    return true;
}

bool parser_expect(struct parser *parser, enum token_kind kind, const char *what) {
    if (parser_accept(parser, kind)) return true;
    parser_expected(parser, what);
    return false;
}

int parser_open(struct parser *parser) {
    int before = parser->bracket;
    if (before < 0) parser->bracket = parser->at;
    parser_advance(parser);
    return before;
}

void parser_close(struct parser *parser, enum token_kind kind, const char *what, int opened) {
    if (parser_accept(parser, kind)) {
        parser->bracket = opened;
        return;
    }
    const char *hint = parser_is(parser, TK_ASSIGN) ? "; `=` assigns, `==` compares" : "";
    if (!parser->panic && parser->bracket >= 0 && !parser->diags->dropped) { /* as in the lexer: counts lines */
        struct token opening = parser->tokens.items[parser->bracket];
        if (memchr(parser->text + opening.offset, '\n', parser->token.offset - opening.offset)) {
            int line, column;
            diag_position(parser->text, parser->program->length, opening.offset, &line, &column);
            hint = arena_printf(parser->arena, "; the `%c` at %d:%d is still open", parser->text[opening.offset], line,
                                column);
        }
    }
    parser_expected_hint(parser, what, hint);
}

const char *parser_name(struct parser *parser, struct token token) {
    return ast_name(parser->arena, parser->program, parser->text + token.offset, token.length);
}

struct span parser_span(struct token token) {
    return (struct span){token.offset, token.length};
}

struct span parser_since(const struct parser *parser, struct span first) {
    uint32_t end = parser->previous.offset + parser->previous.length;
    return (struct span){first.offset, end > first.offset ? end - first.offset : first.length};
}

void parser_panic_quietly(struct parser *parser) {
    parser->panic = true;
    parser->token.kind = TK_BAD;
}

void parser_report(struct parser *parser, struct span span, const char *format, ...) {
    if (parser->panic) return;
    va_list args;
    va_start(args, format);
    diag_vadd(parser->diags, DIAG_SYNTAX, span, format, args);
    va_end(args);
}

/* What the lexer said of a token is enough: `!` is written `not`. */
static bool is_reported(const struct parser *parser, struct span span) {
    for (int i = 0; i < parser->diags->count; i++)
        if (parser->diags->items[i].span.offset == span.offset) return true;
    return false;
}

void parser_fail(struct parser *parser, struct span span, const char *format, ...) {
    if (parser->panic) return;
    va_list args;
    va_start(args, format);
    if (!is_reported(parser, span)) diag_vadd(parser->diags, DIAG_SYNTAX, span, format, args);
    va_end(args);
    parser_panic_quietly(parser);
}

const char *parser_found(struct parser *parser) {
    return lexer_describe(parser->arena, parser->text, parser->token);
}

void parser_expected_hint(struct parser *parser, const char *what, const char *hint) {
    if (parser->panic) return;
    if (parser_is(parser, TK_BAD)) { /* the lexer has reported it */
        parser_panic_quietly(parser);
        return;
    }
    struct span span = parser_span(parser->token);
    if (span.length == 0) span.length = 1; /* at the end of the text: {0, 0} would be no place at all */
    parser_fail(parser, span, "expected %s, found %s%s", what, parser_found(parser), hint);
}

void parser_expected(struct parser *parser, const char *what) {
    parser_expected_hint(parser, what, "");
}

bool parser_enter(struct parser *parser, struct span span) {
    if (parser->depth++ < parser->nesting) return !parser->panic;
    if (!parser->panic) {
        diag_add(parser->diags, DIAG_LIMIT, span, "the program nests deeper than %d", parser->nesting);
        parser_panic_quietly(parser);
    }
    return false;
}

void parser_leave(struct parser *parser) {
    parser->depth--;
}

uint32_t parser_max(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

uint32_t parser_next_id(const struct parser *parser) {
    return (uint32_t)parser->n_exprs;
}

struct ast_expr *parser_new(struct parser *parser, enum ast_expr_kind kind, struct span span) {
    struct ast_expr *expr = ARENA_NEW(parser->arena, struct ast_expr);
    expr->kind = kind;
    expr->span = span;
    return expr;
}

struct ast_expr *parser_done(struct parser *parser, struct ast_expr *expr, uint32_t first, uint32_t height) {
    struct ast_program *program = parser->program;
    expr->id = (uint32_t)parser->n_exprs;
    expr->first_id = first;
    expr->height = height + 1;
    if (expr->height > parser->height && !parser->panic) {
        diag_add(parser->diags, DIAG_LIMIT, expr->span, "the expression has more than %u operations in a row",
                 parser->height);
        parser_panic_quietly(parser);
    }
    ARENA_PUSH(parser->arena, program->exprs, parser->n_exprs, parser->exprs_capacity) = expr;
    return expr;
}

/* Sets the parser up and reads the first token. */
static void parser_start(struct parser *parser, struct arena *arena, const char *text, size_t length,
                         const struct parser_limits *limits, struct diag_list *diags) {
    size_t most = limits && limits->source_bytes ? limits->source_bytes : PARSER_SOURCE;
    if (most > PARSER_SOURCE_MOST) most = PARSER_SOURCE_MOST;
    int nesting = limits && limits->nesting > 0 ? limits->nesting : PARSER_NESTING;
    if (nesting > PARSER_NESTING_MOST) nesting = PARSER_NESTING_MOST;
    if (length > most) {
        diag_add(diags, DIAG_LIMIT, (struct span){0, 0}, "the source has %zu bytes, expected at most %zu", length,
                 most);
        length = 0;
    }

    struct ast_program *program = ARENA_NEW(arena, struct ast_program);
    char *copy = arena_alloc(arena, length + 1);
    if (length) memcpy(copy, text, length);
    program->text = copy;
    program->length = length;
    program->body.span = (struct span){0, (uint32_t)length};
    *parser = (struct parser){
        .arena = arena,
        .diags = diags,
        .program = program,
        .text = copy,
        .tokens = lexer_run(arena, copy, length, nesting, diags),
        .bracket = -1,
        .nesting = nesting,
        .height = limits && limits->height > 0 ? (uint32_t)limits->height : PARSER_HEIGHT,
    };
    parser->token = parser->tokens.items[0];
}

struct ast_program *parser_parse(struct arena *arena, const char *text, size_t length,
                                 const struct parser_limits *limits, struct diag_list *diags) {
    struct parser parser;
    parser_start(&parser, arena, text, length, limits, diags);
    parser_statements(&parser, TK_EOF, &parser.program->body);
    parser.program->n_exprs = (uint32_t)parser.n_exprs;
    return parser.program;
}

struct ast_program *parser_parse_expression(struct arena *arena, const char *text, size_t length,
                                            const struct parser_limits *limits, struct diag_list *diags) {
    struct parser parser;
    int errors = diags->count + diags->dropped;
    parser_start(&parser, arena, text, length, limits, diags);
    while (parser_accept(&parser, TK_NEWLINE)) {
    }
    struct ast_expr *expr = parser_expr(&parser);
    while (parser_accept(&parser, TK_NEWLINE)) {
    }
    if (!parser_is(&parser, TK_EOF)) {
        bool assigns = parser_is(&parser, TK_ASSIGN) || parser_is(&parser, TK_DEFINE);
        parser_expected_hint(&parser, "the end of the formula",
                             assigns ? "; a formula is one expression and assigns nothing (`==` compares)" : "");
    }
    if (diags->count + diags->dropped == errors) parser.program->expression = expr;
    parser.program->n_exprs = (uint32_t)parser.n_exprs;
    return parser.program;
}

bool parser_wants_more(const char *text, size_t length) {
    return lexer_is_open(text, length);
}
