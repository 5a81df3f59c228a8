/* scalar_expr.c: expressions inside a ufunc. Everything is one element; `and` and `or` and the arms of a conditional
 * are computed on both sides where that is cheap and cannot fail, and under the condition otherwise.
 */
#include "frontend/scalar_parts.h"

#include <math.h>
#include <string.h>

bool scalar_enter(struct scalar *s, struct span span) {
    struct ufunc_cache *cache = s->elab->ufuncs;
    if (cache->nesting >= SCALAR_MAX_NESTING) {
        diag_add(s->emit.diags, DIAG_LIMIT, span, "expressions, blocks and calls nest too deep here");
        return false;
    }
    cache->nesting++;
    return true;
}

void scalar_leave(struct scalar *s) {
    s->elab->ufuncs->nesting--;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static struct value constant_named(int index, struct span span) {
    switch ((enum resolve_constant)index) {
    case CONSTANT_PI: return value_real(M_PI, span);
    case CONSTANT_E: return value_real(M_E, span);
    case CONSTANT_NAN: return value_real(NAN, span);
    case CONSTANT_INF: break;
    }
    return value_real(INFINITY, span);
}

static struct value global_named(struct scalar *s, int index, const struct ast_expr *expr) {
    for (int i = 0; i < s->scope->n_reads; i++)
        if (s->scope->reads[i] == index) {
            struct value v = s->globals[i];
            v.span = expr->span;
            return v;
        }
    diag_add(s->emit.diags, DIAG_NAME, expr->span, "`%s` is not known inside `%s`", expr->name, s->function->name);
    return value_error(expr->span);
}

static struct value name_value(struct scalar *s, const struct ast_expr *expr) {
    struct resolve_name name = s->resolve->names[expr->id];
    struct value v;
    switch (name.kind) {
    case NAME_VARIABLE:
    case NAME_SIZE:
        if (!s->env[name.index]) {
            diag_add(s->emit.diags, DIAG_NAME, expr->span, "`%s` may not be set here", expr->name);
            return value_error(expr->span);
        }
        v = *s->env[name.index];
        v.span = expr->span;
        return v;
    case NAME_GLOBAL:
    case NAME_INPUT: return global_named(s, name.index, expr);
    case NAME_CONSTANT: return constant_named(name.index, expr->span);
    case NAME_DTYPE:
        return (struct value){.kind = VALUE_DTYPE, .type = {(enum dtype)name.index, STRONG, 0}, .span = expr->span};
    case NAME_FUNCTION:
    case NAME_BUILTIN:
    case NAME_OP:
        diag_add(s->emit.diags, DIAG_NAME, expr->span, "`%s` is a function; call it: `%s(…)`", expr->name, expr->name);
        break;
    case NAME_UNKNOWN: break;
    }
    return value_error(expr->span);
}

/* --- operators ---------------------------------------------------------------------------------------------------- */

struct ir_value *scalar_condition(struct scalar *s, const struct ast_expr *expr, const char *what) {
    struct value v = scalar_expr(s, expr);
    if (v.kind == VALUE_ERROR) return NULL;
    if (v.kind == VALUE_NUMBER && v.type.dtype == TY_BOOL) return v.scalar;
    const char *advice = v.kind == VALUE_NUMBER ? "; compare it, as with `!= 0`" : "";
    diag_add(s->emit.diags, DIAG_TYPE, expr->span, "%s wants a bool, and `%s` is %s%s", what,
             ast_text(s->arena, s->ast, expr->span), value_type_text(s->arena, &v), advice);
    return NULL;
}

/* `left and right`, the right side under the condition that it matters. */
static struct value logical(struct scalar *s, const struct ast_expr *expr, const struct value *left) {
    bool is_and = expr->op == AST_AND, known;
    if (left->kind != VALUE_NUMBER || left->type.dtype != TY_BOOL) {
        struct value right = scalar_expr(s, expr->binary.right);
        return elementwise_logical(&s->emit, expr->op, left, &right, expr->span);
    }
    if (scalar_known(left->scalar, &known) && known != is_and) return *left;
    struct ir_value *cond = left->scalar;
    if (!is_and) cond = scalar_op(s, OP_not, TY_BOOL, 1, &cond, expr->op_span);
    struct scalar_if branch;
    scalar_if_begin(s, &branch, cond, expr->span);
    struct value right = scalar_expr(s, expr->binary.right);
    struct value both = elementwise_logical(&s->emit, expr->op, left, &right, expr->span);
    bool good = both.kind == VALUE_NUMBER;
    struct ir_value *then = good ? right.scalar : scalar_bool(s, false), *otherwise = scalar_bool(s, !is_and), *merged;
    scalar_if_turn(s, &branch);
    scalar_if_end(s, &branch, 1, &then, &otherwise, &merged);
    return good ? scalar_wrap(merged, both.type, expr->span) : value_error(expr->span);
}

/* a < b < c: each operand once, all of them evaluated. */
static struct value chain(struct scalar *s, const struct ast_expr *expr, const struct value *first) {
    struct value left = *first, result = {0};
    for (int i = 0; i + 1 < expr->chain.n_operands; i++) {
        struct value right = scalar_expr(s, expr->chain.operands[i + 1]);
        struct span span = span_join(expr->chain.operands[i]->span, expr->chain.operands[i + 1]->span);
        if (expr->chain.n_operands == 2) span = expr->span;
        struct value holds = elementwise_binary(&s->emit, expr->chain.ops[i], &left, &right, span);
        result = i == 0 ? holds : elementwise_logical(&s->emit, AST_AND, &result, &holds, expr->span);
        left = right;
    }
    return result;
}

/* The type of `a if c else b`, or of any choice between two values; false after a message. */
static bool common_type(struct scalar *s, const struct value *a, const struct value *b, struct type *type) {
    const struct value *sides[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        if (sides[i]->kind == VALUE_ERROR) return false;
        if (sides[i]->kind == VALUE_NUMBER) continue;
        diag_add(s->emit.diags, DIAG_TYPE, sides[i]->span, "`if … else` chooses between numbers, and `%s` is %s",
                 ast_text(s->arena, s->ast, sides[i]->span), value_type_text(s->arena, sides[i]));
        return false;
    }
    *type = elementwise_join(a->type, b->type);
    return true;
}

static struct value conditional(struct scalar *s, const struct ast_expr *expr) {
    struct ir_value *cond = scalar_condition(s, expr->conditional.condition, "`if … else`");
    if (!cond) return value_error(expr->span);
    bool known;
    struct value v;
    struct type type;
    struct scalar_if branch;
    if (scalar_known(cond, &known)) { /* decided by a constant; the type is that of both sides all the same */
        v = scalar_expr(s, known ? expr->conditional.then : expr->conditional.otherwise);
        scalar_unused_begin(s, &branch, expr->span);
        struct value other = scalar_expr(s, known ? expr->conditional.otherwise : expr->conditional.then);
        scalar_unused_end(s, &branch);
        if (other.kind != VALUE_NUMBER) other = v;
        if (!common_type(s, &v, &other, &type)) return value_error(expr->span);
        v = scalar_as_type(s, &v, type);
        v.span = expr->span;
        v.product = false;
        return v;
    }
    scalar_if_begin(s, &branch, cond, expr->span);
    struct value a = scalar_expr(s, expr->conditional.then);
    scalar_if_turn(s, &branch);
    struct value b = scalar_expr(s, expr->conditional.otherwise);
    struct ir_value *sides[2] = {NULL, NULL}, *merged;
    bool good = common_type(s, &a, &b, &type);
    if (good) {
        sides[0] = scalar_side_as(s, &branch, 0, &a, type.dtype);
        sides[1] = scalar_side_as(s, &branch, 1, &b, type.dtype);
        good = sides[0] && sides[1];
    }
    if (!good) sides[0] = sides[1] = scalar_bool(s, false);
    scalar_if_end(s, &branch, 1, &sides[0], &sides[1], &merged);
    return good ? scalar_wrap(merged, type, expr->span) : value_error(expr->span);
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

/* The first operand of a kind of expression that can be as deep as the text is long; NULL for others. */
static const struct ast_expr *first_operand(const struct ast_expr *expr) {
    switch (expr->kind) {
    case AST_BINARY:
    case AST_LOGICAL: return expr->binary.left;
    case AST_CHAIN: return expr->chain.operands[0];
    case AST_INDEX: return expr->index.base;
    case AST_ATTRIBUTE: return expr->attribute.base;
    default: return NULL;
    }
}

static struct value leaf(struct scalar *s, const struct ast_expr *expr) {
    switch (expr->kind) {
    case AST_INT: {
        struct value v = value_int(0, expr->span);
        v.magnitude = expr->integer;
        return v;
    }
    case AST_FLOAT: return value_real(expr->real, expr->span);
    case AST_BOOL: return scalar_wrap(scalar_bool(s, expr->boolean), (struct type){TY_BOOL, STRONG, 0}, expr->span);
    case AST_NAME: return name_value(s, expr);
    case AST_UNARY: {
        struct value x = scalar_expr(s, expr->unary.operand);
        return elementwise_unary(&s->emit, expr->op, &x, expr->span);
    }
    case AST_CONDITIONAL: return conditional(s, expr);
    case AST_CALL: return scalar_call(s, expr);
    case AST_TUPLE: {
        struct value v = {.kind = VALUE_TUPLE, .span = expr->span, .n_items = expr->list.count};
        v.items = ARENA_ARRAY(s->arena, struct value, v.n_items);
        for (int i = 0; i < v.n_items; i++) v.items[i] = scalar_expr(s, expr->list.items[i]);
        return v;
    }
    case AST_ARRAY:
        diag_add(s->emit.diags, DIAG_TYPE, expr->span,
                 "an array cannot be made inside `%s`, where every value is one element; pass it in",
                 s->function->name);
        break;
    case AST_STRING: diag_add(s->emit.diags, DIAG_TYPE, expr->span, "a text is not a value here"); break;
    default: break;
    }
    return value_error(expr->span);
}

/* One step up the left edge: `expr`, whose first operand is `first`. */
static struct value step(struct scalar *s, const struct ast_expr *expr, const struct value *first) {
    struct value right;
    switch (expr->kind) {
    case AST_BINARY:
        right = scalar_expr(s, expr->binary.right);
        return elementwise_binary(&s->emit, expr->op, first, &right, expr->span);
    case AST_LOGICAL: return logical(s, expr, first);
    case AST_CHAIN: return chain(s, expr, first);
    case AST_INDEX: return scalar_index(s, expr, first);
    default: return scalar_attribute(s, expr, first);
    }
}

struct value scalar_expr(struct scalar *s, const struct ast_expr *expr) {
    if (!scalar_enter(s, expr->span)) return value_error(expr->span);
    int depth = 0;
    const struct ast_expr *at = expr, *first;
    for (; (first = first_operand(at)); at = first) depth++;
    const struct ast_expr **spine = depth > 1 ? ARENA_ARRAY(s->arena, const struct ast_expr *, depth) : &expr;
    at = expr;
    for (int i = 0; i < depth && depth > 1; i++, at = first_operand(at)) spine[i] = at;
    struct value v = leaf(s, depth ? first_operand(spine[depth - 1]) : expr);
    for (int i = depth - 1; i >= 0; i--) {
        /* A text that makes more than the limit of operations is not walked to its end. */
        if (s->elab->ufuncs->out_of_values) v = value_error(expr->span);
        v = step(s, spine[i], &v);
    }
    v.span = expr->span;
    scalar_leave(s);
    return v;
}
