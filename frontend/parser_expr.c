/* parser_expr.c: operators, by precedence climbing. */
#include "frontend/parser_state.h"

/* How tightly an operator binds. One table, read by the loop below; the order is the language's. */
enum precedence {
    PREC_NONE, /* no binary operator */
    PREC_OR,
    PREC_AND,
    PREC_NOT,
    PREC_COMPARE,
    PREC_BITOR,
    PREC_BITXOR,
    PREC_BITAND,
    PREC_SHIFT,
    PREC_ADD,
    PREC_MUL,
    PREC_UNARY,
    PREC_POW,
};

static const unsigned char precedences[TK_N_KINDS] = {
    [TK_OR] = PREC_OR,        [TK_AND] = PREC_AND,        [TK_EQ] = PREC_COMPARE,  [TK_NE] = PREC_COMPARE,
    [TK_LT] = PREC_COMPARE,   [TK_LE] = PREC_COMPARE,     [TK_GT] = PREC_COMPARE,  [TK_GE] = PREC_COMPARE,
    [TK_BAR] = PREC_BITOR,    [TK_CARET] = PREC_BITXOR,   [TK_AMP] = PREC_BITAND,  [TK_SHL] = PREC_SHIFT,
    [TK_SHR] = PREC_SHIFT,    [TK_PLUS] = PREC_ADD,       [TK_MINUS] = PREC_ADD,   [TK_STAR] = PREC_MUL,
    [TK_SLASH] = PREC_MUL,    [TK_SLASHSLASH] = PREC_MUL, [TK_PERCENT] = PREC_MUL, [TK_AT] = PREC_MUL,
    [TK_STARSTAR] = PREC_POW,
};

/* Tokens and enum ast_op list the operators in the same order. */
static enum ast_op parser_op(enum token_kind kind) {
    return (enum ast_op)(kind - TK_PLUS + AST_ADD);
}
_Static_assert(TK_OR - TK_PLUS + AST_ADD == AST_OR && TK_TILDE - TK_PLUS + AST_ADD == AST_INVERT &&
                   TK_EQ - TK_PLUS + AST_ADD == AST_EQ,
               "the operators of enum token_kind and enum ast_op have the same order");

static struct ast_expr *parser_binary(struct parser *parser, enum precedence least);

static struct ast_expr *parser_unary(struct parser *parser, enum precedence operand) {
    struct token op = parser->token;
    parser_enter(parser, parser_span(op));
    parser_advance(parser);
    struct ast_expr *expr = parser_new(parser, AST_UNARY, parser_span(op));
    expr->op = parser_op(op.kind);
    expr->op_span = parser_span(op);
    struct ast_expr *value = parser_binary(parser, operand);
    parser_leave(parser);
    expr->unary.operand = value;
    expr->span = span_join(expr->op_span, value->span);
    return parser_done(parser, expr, value->first_id, value->height);
}

/* a < b <= c … with `first` already parsed. */
static struct ast_expr *parser_chain(struct parser *parser, struct ast_expr *first) {
    struct ast_expr **operands = NULL;
    enum ast_op *ops = NULL;
    struct span *spans = NULL;
    int n = 0, n_ops = 0, n_spans = 0, capacity = 0, ops_capacity = 0, spans_capacity = 0;
    uint32_t height = first->height;
    ARENA_PUSH(parser->arena, operands, n, capacity) = first;
    while (precedences[parser->token.kind] == PREC_COMPARE) {
        ARENA_PUSH(parser->arena, ops, n_ops, ops_capacity) = parser_op(parser->token.kind);
        ARENA_PUSH(parser->arena, spans, n_spans, spans_capacity) = parser_span(parser->token);
        parser_advance(parser);
        struct ast_expr *operand = parser_binary(parser, PREC_BITOR);
        height = parser_max(height, operand->height);
        ARENA_PUSH(parser->arena, operands, n, capacity) = operand;
    }
    struct ast_expr *expr = parser_new(parser, AST_CHAIN, span_join(first->span, operands[n - 1]->span));
    expr->chain.operands = operands;
    expr->chain.ops = ops;
    expr->chain.op_spans = spans;
    expr->chain.n_operands = n;
    return parser_done(parser, expr, first->first_id, height);
}

static struct ast_expr *parser_right(struct parser *parser, struct ast_expr *left, enum precedence precedence) {
    struct token op = parser->token;
    parser_advance(parser);
    struct ast_expr *right;
    if (precedence == PREC_POW) { /* to the right, and its right side takes unary operators */
        parser_enter(parser, parser_span(op));
        right = parser_binary(parser, PREC_UNARY);
        parser_leave(parser);
    } else {
        right = parser_binary(parser, precedence + 1);
    }
    struct ast_expr *expr =
        parser_new(parser, precedence <= PREC_AND ? AST_LOGICAL : AST_BINARY, span_join(left->span, right->span));
    expr->op = parser_op(op.kind);
    expr->op_span = parser_span(op);
    expr->binary.left = left;
    expr->binary.right = right;
    return parser_done(parser, expr, left->first_id, parser_max(left->height, right->height));
}

/* An expression of operators that bind at least as tightly as `least`. */
static struct ast_expr *parser_binary(struct parser *parser, enum precedence least) {
    struct ast_expr *left;
    if (parser_is(parser, TK_NOT)) {
        if (least > PREC_NOT) {
            parser_fail(parser, parser_span(parser->token), "`not` binds less tightly than %s: write (not …)",
                        lexer_describe(parser->arena, parser->text, parser->previous));
        }
        left = parser_unary(parser, PREC_NOT);
    } else if (parser_is(parser, TK_MINUS) || parser_is(parser, TK_PLUS) || parser_is(parser, TK_TILDE)) {
        left = parser_unary(parser, PREC_UNARY);
    } else {
        left = parser_postfix(parser);
    }
    for (;;) {
        enum precedence precedence = precedences[parser->token.kind];
        if (precedence == PREC_NONE || precedence < least) return left;
        left = precedence == PREC_COMPARE ? parser_chain(parser, left) : parser_right(parser, left, precedence);
    }
}

struct ast_expr *parser_expr(struct parser *parser) {
    struct ast_expr *then = parser_binary(parser, PREC_OR);
    if (!parser_is(parser, TK_IF)) return then;
    parser_enter(parser, parser_span(parser->token));
    parser_advance(parser);
    struct ast_expr *condition = parser_binary(parser, PREC_OR);
    parser_expect(parser, TK_ELSE, "`else` (a choice is written `a if condition else b`)");
    struct ast_expr *otherwise = parser_expr(parser);
    parser_leave(parser);
    struct ast_expr *expr = parser_new(parser, AST_CONDITIONAL, span_join(then->span, otherwise->span));
    expr->conditional.then = then;
    expr->conditional.condition = condition;
    expr->conditional.otherwise = otherwise;
    uint32_t height = parser_max(then->height, parser_max(condition->height, otherwise->height));
    return parser_done(parser, expr, then->first_id, height);
}

struct ast_expr *parser_tuple(struct parser *parser, struct ast_expr **items, int count, struct span span,
                              uint32_t first) {
    struct ast_expr *expr = parser_new(parser, AST_TUPLE, span);
    uint32_t height = 0;
    for (int i = 0; i < count; i++) height = parser_max(height, items[i]->height);
    expr->list.items = items;
    expr->list.count = count;
    return parser_done(parser, expr, first, height);
}

struct ast_expr *parser_expr_list(struct parser *parser) {
    uint32_t first = parser_next_id(parser);
    struct ast_expr *expr = parser_expr(parser);
    if (!parser_is(parser, TK_COMMA)) return expr;
    struct ast_expr **items = NULL;
    int count = 0, capacity = 0;
    ARENA_PUSH(parser->arena, items, count, capacity) = expr;
    while (parser_accept(parser, TK_COMMA)) ARENA_PUSH(parser->arena, items, count, capacity) = parser_expr(parser);
    return parser_tuple(parser, items, count, span_join(items[0]->span, items[count - 1]->span), first);
}
