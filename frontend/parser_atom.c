/* parser_atom.c: literals and names, and what can follow them: calls, subscripts, attributes. */
#include "frontend/parser_state.h"

enum { ATOM_KEYWORDS = 64 }; /* keyword arguments of one call: each is compared with all before it */

static struct ast_expr *atom_leaf(struct parser *parser, enum ast_expr_kind kind) {
    struct ast_expr *expr = parser_new(parser, kind, parser_span(parser->token));
    return parser_done(parser, expr, parser_next_id(parser), 0);
}

struct ast_expr *parser_text(struct parser *parser) {
    struct ast_expr *expr = atom_leaf(parser, AST_STRING);
    lexer_string(parser->arena, parser->text, parser->token, parser->diags, &expr->string.text, &expr->string.length);
    parser_advance(parser);
    return expr;
}

/* Stands where an expression should be; its statement is dropped. */
static struct ast_expr *atom_missing(struct parser *parser) {
    struct ast_expr *expr = atom_leaf(parser, AST_NAME);
    expr->name = "";
    enum token_kind before = parser->previous.kind;
    bool after_operator = before >= TK_PLUS && before <= TK_BAR_EQ;
    bool line_end = parser_is(parser, TK_NEWLINE);
    switch (parser->token.kind) {
    case TK_NONE:
        parser_fail(parser, parser_span(parser->token), "`None` is no value; it stands in subscripts, for a new axis");
        return expr;
    case TK_ELLIPSIS:
        parser_fail(parser, parser_span(parser->token), "`...` is no value; it stands in subscripts");
        return expr;
    case TK_STRING:
        parser_fail(parser, parser_span(parser->token), "a string can only be an argument of a call, alone");
        return expr;
    case TK_FN:
        parser_fail(parser, parser_span(parser->token),
                    "a function has a name and a statement of its own: fn name(x) = …");
        return expr;
    default: break;
    }
    if (after_operator) {
        const char *what = arena_printf(parser->arena, "an %s after %s", before <= TK_OR ? "operand" : "expression",
                                        lexer_describe(parser->arena, parser->text, parser->previous));
        parser_expected_hint(parser, what, line_end ? "; a line goes on only while a `(` or `[` is open" : "");
    } else {
        parser_expected(parser, "an expression");
    }
    return expr;
}

/* Comma-separated expressions up to the closing bracket, a last comma allowed. */
static struct ast_expr **atom_items(struct parser *parser, enum token_kind end, int *count) {
    struct ast_expr **items = NULL;
    int capacity = 0;
    while (!parser_is(parser, end)) {
        ARENA_PUSH(parser->arena, items, *count, capacity) = parser_expr(parser);
        if (!parser_accept(parser, TK_COMMA)) break;
    }
    return items;
}

static struct ast_expr *atom_parenthesised(struct parser *parser) {
    struct span start = parser_span(parser->token);
    uint32_t first = parser_next_id(parser);
    parser_enter(parser, start);
    int opened = parser_open(parser);
    struct ast_expr *expr = parser_expr(parser);
    if (parser_is(parser, TK_COMMA)) {
        struct ast_expr **items = NULL, **rest;
        int count = 0, capacity = 0, n_rest = 0;
        ARENA_PUSH(parser->arena, items, count, capacity) = expr;
        parser_advance(parser);
        rest = atom_items(parser, TK_RPAREN, &n_rest);
        for (int i = 0; i < n_rest; i++) ARENA_PUSH(parser->arena, items, count, capacity) = rest[i];
        expr = parser_tuple(parser, items, count, start, first);
    }
    parser_close(parser, TK_RPAREN, expr->kind == AST_TUPLE ? "`,` or `)`" : "`)`", opened);
    parser_leave(parser);
    expr->span = parser_since(parser, start);
    return expr;
}

static struct ast_expr *atom_array(struct parser *parser) {
    struct span start = parser_span(parser->token);
    uint32_t first = parser_next_id(parser);
    parser_enter(parser, start);
    int opened = parser_open(parser), count = 0;
    struct ast_expr **items = atom_items(parser, TK_RBRACKET, &count);
    bool comprehension = parser_is(parser, TK_FOR);
    if (comprehension) {
        parser_expected_hint(parser, "`,` or `]`",
                             "; an array is defined by its indices, as in `c[i] := … for i in 0:n`");
    }
    parser_close(parser, TK_RBRACKET, "`,` or `]`", opened);
    parser_leave(parser);
    struct ast_expr *expr = parser_new(parser, AST_ARRAY, parser_since(parser, start));
    uint32_t height = 0;
    for (int i = 0; i < count; i++) height = parser_max(height, items[i]->height);
    expr->list.items = items;
    expr->list.count = count;
    return parser_done(parser, expr, first, height);
}

static struct ast_expr *atom_primary(struct parser *parser) {
    struct ast_expr *expr;
    switch (parser->token.kind) {
    case TK_INT:
        expr = atom_leaf(parser, AST_INT);
        lexer_int(parser->text, parser->token, parser->diags, &expr->integer);
        break;
    case TK_FLOAT:
        expr = atom_leaf(parser, AST_FLOAT);
        lexer_float(parser->arena, parser->text, parser->token, parser->diags, &expr->real);
        break;
    case TK_TRUE:
    case TK_FALSE:
        expr = atom_leaf(parser, AST_BOOL);
        expr->boolean = parser_is(parser, TK_TRUE);
        break;
    case TK_NAME:
        expr = atom_leaf(parser, AST_NAME);
        expr->name = parser_name(parser, parser->token);
        break;
    case TK_LPAREN: return atom_parenthesised(parser);
    case TK_LBRACKET: return atom_array(parser);
    default: return atom_missing(parser);
    }
    parser_advance(parser);
    return expr;
}

struct ast_index_range *parser_ranges(struct parser *parser, bool required, int *count) {
    struct ast_index_range *ranges = NULL;
    int capacity = 0;
    do {
        struct ast_index_range range = {.name_span = parser_span(parser->token)};
        struct token name = parser->token;
        if (!parser_expect(parser, TK_NAME, "the name of an index")) break;
        range.name = parser_name(parser, name);
        if (parser_is(parser, TK_IN) || required) {
            parser_expect(parser, TK_IN, "`in` and a range a:b");
            range.start = parser_expr(parser);
            parser_expect(parser, TK_COLON, "`:` and the end of the range");
            range.stop = parser_expr(parser);
            if (parser_is(parser, TK_COLON))
                parser_fail(parser, parser_span(parser->token), "the range of an index has no step: expected a:b");
        }
        range.span = parser_since(parser, range.name_span);
        ARENA_PUSH(parser->arena, ranges, *count, capacity) = range;
    } while (parser_accept(parser, TK_COMMA));
    return ranges;
}

static struct ast_argument atom_argument(struct parser *parser, const struct ast_expr *call) {
    struct ast_argument argument = {0};
    if (parser_is(parser, TK_NAME) && parser_peek(parser, 1) == TK_ASSIGN) {
        argument.keyword = parser_name(parser, parser->token);
        argument.keyword_span = parser_span(parser->token);
        int n_keywords = call->call.n_arguments - call->call.n_positional;
        if (n_keywords >= ATOM_KEYWORDS) {
            parser_fail(parser, argument.keyword_span, "a call with more than %d keyword arguments", ATOM_KEYWORDS);
        }
        for (int i = call->call.n_positional; i < call->call.n_arguments; i++) {
            if (call->call.arguments[i].keyword != argument.keyword) continue;
            parser_report(parser, argument.keyword_span, "`%s` is given twice", argument.keyword);
        }
        parser_advance(parser);
        parser_advance(parser);
    } else if (call->call.n_arguments > call->call.n_positional) {
        parser_expected_hint(parser, "a keyword argument (name=value)", "; positional arguments come first");
    }
    bool alone =
        parser_is(parser, TK_STRING) && (parser_peek(parser, 1) == TK_COMMA || parser_peek(parser, 1) == TK_RPAREN);
    argument.value = alone ? parser_text(parser) : parser_expr(parser);
    return argument;
}

/* name[k](…) is a reduction over k: `name` is there, and then the brackets say so. */
static bool atom_is_reduction(const struct parser *parser, const struct ast_expr *base) {
    if (base->kind != AST_NAME || parser->panic) return false;
    const struct token_list *tokens = &parser->tokens;
    uint32_t match = parser->token.match;
    return match > 0 && match + 1 < (uint32_t)tokens->count && tokens->items[match + 1].kind == TK_LPAREN;
}

/* base(…), or base[k](…). */
static struct ast_expr *atom_call(struct parser *parser, struct ast_expr *base) {
    struct ast_expr *expr = parser_new(parser, AST_CALL, base->span);
    expr->call.callee = base;
    uint32_t height = base->height;
    parser_enter(parser, parser_span(parser->token));
    if (parser_is(parser, TK_LBRACKET)) {
        int opened = parser_open(parser);
        expr->call.indices = parser_ranges(parser, false, &expr->call.n_indices);
        parser_close(parser, TK_RBRACKET, "`in`, `,` or `]` (name[k](…) reduces over k)", opened);
        for (int i = 0; i < expr->call.n_indices; i++) {
            const struct ast_index_range *range = &expr->call.indices[i];
            if (range->start) height = parser_max(height, parser_max(range->start->height, range->stop->height));
        }
    } else if (base->kind == AST_INT || base->kind == AST_FLOAT) {
        parser_fail(parser, base->span, "a number cannot be called; to multiply, write `*`");
    }
    int opened = parser_open(parser), capacity = 0;
    while (!parser_is(parser, TK_RPAREN)) {
        struct ast_argument argument = atom_argument(parser, expr);
        height = parser_max(height, argument.value->height);
        ARENA_PUSH(parser->arena, expr->call.arguments, expr->call.n_arguments, capacity) = argument;
        if (!argument.keyword) expr->call.n_positional++;
        if (!parser_accept(parser, TK_COMMA)) break;
    }
    parser_close(parser, TK_RPAREN, "`,` or `)`", opened);
    parser_leave(parser);
    expr->span = parser_since(parser, base->span);
    return parser_done(parser, expr, base->first_id, height);
}

static bool atom_slice_part_ends(const struct parser *parser) {
    return parser_is(parser, TK_COLON) || parser_is(parser, TK_COMMA) || parser_is(parser, TK_RBRACKET);
}

static struct ast_subscript atom_subscript(struct parser *parser, uint32_t *height) {
    struct span start = parser_span(parser->token);
    struct ast_subscript subscript = {.kind = AST_SUB_EXPR};
    if (parser_accept(parser, TK_NONE)) {
        subscript.kind = AST_SUB_NONE;
    } else if (parser_accept(parser, TK_ELLIPSIS)) {
        subscript.kind = AST_SUB_ELLIPSIS;
    } else {
        struct ast_expr *first = parser_is(parser, TK_COLON) ? NULL : parser_expr(parser);
        if (first) *height = parser_max(*height, first->height);
        if (parser_accept(parser, TK_COLON)) {
            subscript.kind = AST_SUB_SLICE;
            subscript.start = first;
            if (!atom_slice_part_ends(parser)) subscript.stop = parser_expr(parser);
            if (parser_accept(parser, TK_COLON) && !atom_slice_part_ends(parser)) subscript.step = parser_expr(parser);
            if (subscript.stop) *height = parser_max(*height, subscript.stop->height);
            if (subscript.step) *height = parser_max(*height, subscript.step->height);
        } else {
            subscript.expr = first;
        }
    }
    subscript.span = parser_since(parser, start);
    return subscript;
}

static struct ast_expr *atom_index(struct parser *parser, struct ast_expr *base) {
    struct ast_expr *expr = parser_new(parser, AST_INDEX, base->span);
    expr->index.base = base;
    uint32_t height = base->height;
    parser_enter(parser, parser_span(parser->token));
    int opened = parser_open(parser), capacity = 0;
    if (parser_is(parser, TK_RBRACKET)) parser_expected(parser, "a subscript");
    while (!parser_is(parser, TK_RBRACKET)) {
        struct ast_subscript subscript = atom_subscript(parser, &height);
        ARENA_PUSH(parser->arena, expr->index.subscripts, expr->index.n_subscripts, capacity) = subscript;
        if (!parser_accept(parser, TK_COMMA)) break;
    }
    if (parser_is(parser, TK_IN)) {
        parser_expected_hint(parser, "`,`, `:` or `]`", "; `in` stands in reductions, name[k in a:b](…)");
    }
    parser_close(parser, TK_RBRACKET, "`,`, `:` or `]`", opened);
    parser_leave(parser);
    expr->span = parser_since(parser, base->span);
    return parser_done(parser, expr, base->first_id, height);
}

static struct ast_expr *atom_attribute(struct parser *parser, struct ast_expr *base) {
    struct ast_expr *expr = parser_new(parser, AST_ATTRIBUTE, base->span);
    parser_advance(parser);
    struct token name = parser->token;
    if (parser_expect(parser, TK_NAME, "a name after `.`")) expr->attribute.name = parser_name(parser, name);
    expr->attribute.base = base;
    expr->attribute.name_span = parser_span(name);
    expr->span = parser_since(parser, base->span);
    return parser_done(parser, expr, base->first_id, base->height);
}

struct ast_expr *parser_postfix(struct parser *parser) {
    struct ast_expr *expr = atom_primary(parser);
    for (;;) {
        switch (parser->token.kind) {
        case TK_LPAREN: expr = atom_call(parser, expr); break;
        case TK_LBRACKET:
            expr = atom_is_reduction(parser, expr) ? atom_call(parser, expr) : atom_index(parser, expr);
            break;
        case TK_DOT: expr = atom_attribute(parser, expr); break;
        default: return expr;
        }
    }
}
