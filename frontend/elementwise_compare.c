/* elementwise_compare.c: the six comparisons. Integers are compared exactly whatever their types: a constant outside a
 * type's range decides the comparison now, and i64 meets u64 through the sign.
 */
#include <math.h>

#include "frontend/elementwise_parts.h"

static enum op compare_op(enum ast_op op) {
    switch (op) {
    case AST_EQ: return OP_eq;
    case AST_NE: return OP_ne;
    case AST_LT: return OP_lt;
    case AST_LE: return OP_le;
    case AST_GT: return OP_gt;
    default: return OP_ge;
    }
}

/* b OP a for a OP b */
static enum op compare_swapped(enum op op) {
    switch (op) {
    case OP_lt: return OP_gt;
    case OP_le: return OP_ge;
    case OP_gt: return OP_lt;
    case OP_ge: return OP_le;
    default: return op;
    }
}

static bool compare_holds(enum op op, int order) {
    switch (op) {
    case OP_eq: return order == 0;
    case OP_ne: return order != 0;
    case OP_lt: return order == -1;
    case OP_le: return order == -1 || order == 0;
    case OP_gt: return order == 1;
    default: return order == 1 || order == 0;
    }
}

struct value elementwise_decided(const struct emitter *emit, bool value, int n, const struct value *like,
                                 struct span span) {
    struct type type = {TY_BOOL, STRONG, 0};
    for (int i = 0; i < n; i++) {
        if (like[i].type.rank == 0) continue;
        /* The answer has the operand's shape: x != x for integers and bools, which have no NaN. */
        void *h = emit->handle(emit->host, &like[i]), *both[2] = {h, h};
        type.rank = like[i].type.rank;
        h = emit->op(emit->host, value ? OP_eq : OP_ne, TY_BOOL, 2, both, span);
        return emit->wrap(emit->host, h, type, span);
    }
    return emit->wrap(emit->host, emit->constant_int(emit->host, TY_BOOL, value), type, span);
}

/* A signed integer against a u64: signed OP other. */
static void *compare_signed(const struct emitter *emit, enum op op, void *as_i64, void *as_u64, struct span span) {
    void *host = emit->host;
    void *zero = emit->constant_int(host, TY_I64, 0);
    bool if_negative = op == OP_lt || op == OP_le || op == OP_ne;
    void *sign_args[2] = {as_i64, zero};
    void *sign = emit->op(host, if_negative ? OP_lt : OP_ge, TY_BOOL, 2, sign_args, span);
    void *args[2] = {emit->convert(host, as_i64, TY_U64, span), as_u64};
    void *rest = emit->op(host, op, TY_BOOL, 2, args, span);
    void *both[2] = {sign, rest};
    return emit->op(host, if_negative ? OP_or : OP_and, TY_BOOL, 2, both, span);
}

/* The type in which two operands are compared; TY_NONE: i64 against u64. */
static enum dtype compare_type(const struct value *a, const struct value *b) {
    const struct value *sides[2] = {a, b};
    enum dtype types[2] = {a->type.dtype, b->type.dtype};
    for (int i = 0; i < 2; i++) {
        const struct value *v = sides[i], *other = sides[1 - i];
        if (!v->type.weak || other->type.weak) continue;
        if (v->type.weak == WEAK_FLOAT || dtype_is_float(other->type.dtype)) {
            types[i] = type_promote(v->type, other->type).dtype;
            /* A constant beyond f32 is compared in f64, where it is finite as written. */
            if (v->is_const && types[i] == TY_F32 && isfinite(value_const_real(v)) && isinf((float)value_const_real(v)))
                types[i] = TY_F64;
        } else if (v->is_const) {
            types[i] = other->type.dtype == TY_BOOL ? TY_I64 : other->type.dtype;
        }
    }
    enum dtype t = dtype_promote(types[0], types[1]);
    if (dtype_is_float(t) && !dtype_is_float(types[0]) && !dtype_is_float(types[1])) return TY_NONE;
    return t;
}

struct value elementwise_compare(const struct emitter *emit, enum ast_op ast_op, const struct value *a,
                                 const struct value *b, struct span span) {
    enum op op = compare_op(ast_op);
    struct value args[2] = {*a, *b};
    if (!elementwise_numbers(emit, arena_printf(emit->arena, "`%s`", ast_op_text(ast_op)), 2, args))
        return value_error(span);
    if (a->is_const && b->is_const)
        return elementwise_decided(emit, compare_holds(op, elementwise_fold_order(a, b)), 2, args, span);
    for (int i = 0; i < 2; i++) {
        const struct value *constant = &args[i], *other = &args[1 - i];
        enum dtype t = other->type.dtype == TY_BOOL ? TY_I64 : other->type.dtype;
        if (!constant->is_const || constant->type.weak != WEAK_INT || dtype_is_float(t)) continue;
        if (dtype_holds_int(t, constant->negative, constant->magnitude)) continue;
        int order = constant->negative ? -1 : 1; /* of the constant against every value of t */
        return elementwise_decided(emit, compare_holds(i == 0 ? op : compare_swapped(op), order), 1, other, span);
    }
    enum dtype t = compare_type(a, b);
    if (t == TY_BOOL && op != OP_eq && op != OP_ne) t = TY_U8;
    if (t != TY_NONE) return elementwise_make(emit, op, t, TY_BOOL, STRONG, 2, args, span);

    bool swap = args[0].type.dtype == TY_U64;
    void *as_i64 = value_as(emit, &args[swap], TY_I64), *as_u64 = value_as(emit, &args[!swap], TY_U64);
    if (!as_i64 || !as_u64) return value_error(span);
    void *h = compare_signed(emit, swap ? compare_swapped(op) : op, as_i64, as_u64, span);
    int rank = a->type.rank > b->type.rank ? a->type.rank : b->type.rank;
    return emit->wrap(emit->host, h, (struct type){TY_BOOL, STRONG, rank}, span);
}
