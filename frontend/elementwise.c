/* elementwise.c: operators on numbers: which types they take, what they give, and the fma that `a*b + c` becomes. */
#include "frontend/elementwise_parts.h"

#include <math.h>
#include <string.h>

/* --- operands ----------------------------------------------------------------------------------------------------- */

bool elementwise_numbers(const struct emitter *emit, const char *what, int n, const struct value *args) {
    bool all = true;
    for (int i = 0; i < n; i++) {
        if (args[i].kind == VALUE_NUMBER) continue;
        all = false;
        if (args[i].kind == VALUE_ERROR) continue;
        const char *text = ast_text(emit->arena, emit->ast, args[i].span);
        if (args[i].kind == VALUE_WHOLE)
            diag_add(emit->diags, DIAG_TYPE, args[i].span,
                     "%s wants numbers, and `%s` is a whole array (%s) here; index it to one element", what, text,
                     value_type_text(emit->arena, &args[i]));
        else
            diag_add(emit->diags, DIAG_TYPE, args[i].span, "%s wants numbers, and `%s` is %s", what, text,
                     value_type_text(emit->arena, &args[i]));
        break;
    }
    return all;
}

struct type elementwise_promote(int n, const struct value *args) {
    struct type type = args[0].type;
    for (int i = 1; i < n; i++) type = type_promote(type, args[i].type);
    return type;
}

struct value elementwise_make(const struct emitter *emit, enum op op, enum dtype operand, enum dtype dtype,
                              enum weakness weak, int n, const struct value *args, struct span span) {
    void *h[3];
    int rank = 0;
    for (int i = 0; i < n; i++) {
        h[i] = value_as(emit, &args[i], operand);
        if (!h[i]) return value_error(span);
        if (args[i].type.rank > rank) rank = args[i].type.rank;
    }
    return emit->wrap(emit->host, emit->op(emit->host, op, dtype, n, h, span), (struct type){dtype, weak, rank}, span);
}

/* The same number as `x`, seen anew: no product, and with another span. */
static struct value same_value(const struct value *x, struct span span) {
    struct value v = *x;
    v.span = span;
    v.product = false;
    return v;
}

static const char *operator_name(const struct emitter *emit, enum ast_op op) {
    return arena_printf(emit->arena, "`%s`", ast_op_text(op));
}

/* "`-` is not defined for `a` (bool) and `b` (bool); …" */
static struct value undefined(const struct emitter *emit, enum ast_op op, const struct value *a, const struct value *b,
                              const char *advice, struct span span) {
    struct arena *arena = emit->arena;
    if (b && strcmp(value_type_text(arena, a), value_type_text(arena, b)) != 0)
        diag_add(emit->diags, DIAG_TYPE, span, "`%s` is not defined for %s and %s (`%s` and `%s`)%s", ast_op_text(op),
                 value_type_text(arena, a), value_type_text(arena, b), ast_text(arena, emit->ast, a->span),
                 ast_text(arena, emit->ast, b->span), advice);
    else
        diag_add(emit->diags, DIAG_TYPE, span, "`%s` is not defined for %s (`%s`)%s", ast_op_text(op),
                 value_type_text(arena, a), ast_text(arena, emit->ast, a->span), advice);
    return value_error(span);
}

/* --- one operand -------------------------------------------------------------------------------------------------- */

struct value elementwise_unary(const struct emitter *emit, enum ast_op op, const struct value *x, struct span span) {
    struct value result;
    if (!elementwise_numbers(emit, operator_name(emit, op), 1, x)) return value_error(span);
    enum dtype t = x->type.dtype;
    if (op == AST_NOT) {
        if (t != TY_BOOL) return undefined(emit, op, x, NULL, "; it wants bool: compare with `== 0`", span);
        return elementwise_make(emit, OP_not, t, t, STRONG, 1, x, span);
    }
    if (op == AST_INVERT && dtype_is_float(t))
        return undefined(emit, op, x, NULL, "; it wants integers or bools", span);
    if (elementwise_fold_unary(emit, op, x, span, &result)) return result;
    if (op == AST_INVERT) return elementwise_make(emit, OP_invert, t, t, x->type.weak, 1, x, span);
    if (t == TY_BOOL)
        return undefined(emit, op, x, NULL, op == AST_SUB ? "; use `not` or `~`" : "; write i64(…)", span);
    if (op == AST_ADD) return same_value(x, span);
    return elementwise_make(emit, OP_neg, t, t, x->type.weak, 1, x, span);
}

/* --- contraction -------------------------------------------------------------------------------------------------- */

/* True if `v` was written as a product and has the type in which the sum is made. */
static bool is_product(const struct value *v, struct type sum) {
    return v->product && !v->is_const && v->factor[0] && dtype_is_float(sum.dtype) && v->type.dtype == sum.dtype;
}

/* Handle of -v as `t`. */
static void *negated(const struct emitter *emit, const struct value *v, enum dtype t, struct span span) {
    if (v->is_const && (v->type.weak == WEAK_FLOAT || v->magnitude <= (uint64_t)1 << 53)) {
        struct value negative = value_real(-value_const_real(v), v->span); /* of 0: -0.0 */
        return value_as(emit, &negative, t);
    }
    void *h = value_as(emit, v, t);
    return h ? emit->op(emit->host, OP_neg, t, 1, &h, span) : NULL;
}

/* a*b + c, a*b - c, c + a*b, c - a*b: of two products the left one. False if there is none. */
static bool contract(const struct emitter *emit, bool subtract, const struct value *a, const struct value *b,
                     struct type sum, struct span span, struct value *result) {
    bool left = is_product(a, sum);
    if (emit->fp == FP_STRICT || (!left && !is_product(b, sum))) return false;
    const struct value *product = left ? a : b, *addend = left ? b : a;
    void *h[3];
    h[0] = !left && subtract ? negated(emit, product->factor[0], sum.dtype, span)
                             : value_as(emit, product->factor[0], sum.dtype);
    h[1] = value_as(emit, product->factor[1], sum.dtype);
    h[2] = left && subtract ? negated(emit, addend, sum.dtype, span) : value_as(emit, addend, sum.dtype);
    *result = value_error(span);
    if (h[0] && h[1] && h[2])
        *result = emit->wrap(emit->host, emit->op(emit->host, OP_fma, sum.dtype, 3, h, span), sum, span);
    return true;
}

/* --- two operands ------------------------------------------------------------------------------------------------- */

static struct value *kept(struct arena *arena, const struct value *v) {
    struct value *copy = ARENA_NEW(arena, struct value);
    *copy = *v;
    return copy;
}

static struct value multiply(const struct emitter *emit, const struct value *a, const struct value *b, struct type t,
                             struct span span) {
    struct value args[2] = {*a, *b};
    enum op op = t.dtype == TY_BOOL ? OP_and : OP_mul; /* NumPy's bool * bool is bool */
    struct value result = elementwise_make(emit, op, t.dtype, t.dtype, t.weak, 2, args, span);
    if (result.kind != VALUE_NUMBER || !dtype_is_float(t.dtype)) return result;
    result.product = true;
    result.factor[0] = kept(emit->arena, a);
    result.factor[1] = kept(emit->arena, b);
    return result;
}

static struct value raise_to(const struct emitter *emit, const struct value *a, const struct value *b, struct type t,
                             struct span span) {
    struct value args[2] = {*a, *b};
    if (b->is_const && b->type.weak == WEAK_INT && b->negative && !dtype_is_float(a->type.dtype)) {
        diag_add(emit->diags, DIAG_VALUE, span,
                 "`%s` raises an integer (%s) to a negative power, which is no integer; make the base a float",
                 ast_text(emit->arena, emit->ast, span), value_type_text(emit->arena, a));
        return value_error(span);
    }
    if (b->is_const && value_const_real(b) == 2) {
        args[1] = args[0];
        return elementwise_make(emit, OP_mul, t.dtype, t.dtype, t.weak, 2, args, span);
    }
    return elementwise_make(emit, OP_pow, t.dtype, t.dtype, t.weak, 2, args, span);
}

static bool is_bits(enum ast_op op) {
    return op == AST_BITAND || op == AST_BITOR || op == AST_BITXOR;
}

static enum op plain_op(enum ast_op op) {
    switch (op) {
    case AST_ADD: return OP_add;
    case AST_SUB: return OP_sub;
    case AST_DIV: return OP_div;
    case AST_FLOORDIV: return OP_floordiv;
    case AST_MOD: return OP_mod;
    case AST_SHL: return OP_shl;
    case AST_SHR: return OP_shr;
    case AST_BITAND: return OP_bitand;
    case AST_BITXOR: return OP_bitxor;
    default: return OP_bitor;
    }
}

struct value elementwise_binary(const struct emitter *emit, enum ast_op op, const struct value *a,
                                const struct value *b, struct span span) {
    if (op >= AST_EQ && op <= AST_GE) return elementwise_compare(emit, op, a, b, span);
    struct value args[2] = {*a, *b}, result;
    if (!elementwise_numbers(emit, operator_name(emit, op), 2, args)) return value_error(span);
    struct type t = elementwise_promote(2, args);
    if (is_bits(op) || op == AST_SHL || op == AST_SHR) {
        bool floats = dtype_is_float(a->type.dtype) || dtype_is_float(b->type.dtype);
        if (floats)
            return undefined(emit, op, a, b, is_bits(op) ? "; it wants integers or bools" : "; it wants integers",
                             span);
        if (dtype_is_float(t.dtype))
            return undefined(emit, op, a, b, ", which have no common integer type; convert one of them", span);
    }
    if (elementwise_fold_binary(emit, op, a, b, span, &result)) return result;
    if (t.dtype == TY_BOOL && op == AST_SUB) return undefined(emit, op, a, b, "; use `^` or `!=`", span);
    if (t.dtype == TY_BOOL && op == AST_ADD)
        t.dtype = TY_I64; /* a departure from NumPy: counts, not `or` */
    else if (t.dtype == TY_BOOL && op != AST_MUL && !is_bits(op))
        t.dtype = TY_I8; /* as NumPy */

    switch (op) {
    case AST_MATMUL:
        diag_add(emit->diags, DIAG_UNSUPPORTED, span, "`@` is not available in this version");
        return value_error(span);
    case AST_ADD:
    case AST_SUB:
        if (contract(emit, op == AST_SUB, a, b, t, span, &result)) return result;
        break;
    case AST_MUL: return multiply(emit, a, b, t, span);
    case AST_POW: return raise_to(emit, a, b, t, span);
    case AST_DIV:
        if (!dtype_is_float(t.dtype)) t = (struct type){TY_F64, t.weak ? WEAK_FLOAT : STRONG, t.rank};
        break;
    default: break;
    }
    return elementwise_make(emit, plain_op(op), t.dtype, t.dtype, t.weak, 2, args, span);
}

struct value elementwise_logical(const struct emitter *emit, enum ast_op op, const struct value *a,
                                 const struct value *b, struct span span) {
    struct value args[2] = {*a, *b};
    if (!elementwise_numbers(emit, operator_name(emit, op), 2, args)) return value_error(span);
    for (int i = 0; i < 2; i++)
        if (args[i].type.dtype != TY_BOOL)
            return undefined(emit, op, &args[i], NULL,
                             "; it wants bools: compare with `!= 0`, or use `&` and `|` for bits", span);
    return elementwise_make(emit, op == AST_AND ? OP_and : OP_or, TY_BOOL, TY_BOOL, STRONG, 2, args, span);
}

/* --- conversions and joins ---------------------------------------------------------------------------------------- */

/* A float as an integer type: saturates, NaN gives 0. */
static int64_t saturated(double x, enum dtype to) {
    if (isnan(x)) return 0;
    int bits = 8 * dtype_size(to);
    if (dtype_is_unsigned(to)) {
        uint64_t top = UINT64_MAX >> (64 - bits);
        return x <= 0 ? 0 : x >= (double)top ? (int64_t)top : (int64_t)(uint64_t)x;
    }
    int64_t top = INT64_MAX >> (64 - bits);
    return x >= (double)top ? top : x <= -(double)top - 1 ? -top - 1 : (int64_t)x;
}

/* The low bits of an integer, as a conversion at run time keeps them. */
static int64_t wrapped(uint64_t bits, enum dtype to) {
    switch (to) {
    case TY_I8: return (int8_t)bits;
    case TY_I16: return (int16_t)bits;
    case TY_I32: return (int32_t)bits;
    case TY_U8: return (uint8_t)bits;
    case TY_U16: return (uint16_t)bits;
    case TY_U32: return (uint32_t)bits;
    default: return (int64_t)bits;
    }
}

struct value elementwise_convert(const struct emitter *emit, enum dtype to, const struct value *x, struct span span) {
    if (!elementwise_numbers(emit, arena_printf(emit->arena, "`%s`", dtype_name(to)), 1, x)) return value_error(span);
    if (to == TY_F16) {
        diag_add(emit->diags, DIAG_UNSUPPORTED, span, "f16 is not available in this version");
        return value_error(span);
    }
    struct type type = {to, STRONG, x->type.rank};
    void *h;
    if (!x->is_const) {
        h = value_as(emit, x, to);
    } else if (to == TY_BOOL) {
        h = emit->constant_int(emit->host, to, x->type.weak == WEAK_INT ? x->magnitude != 0 : x->real != 0);
    } else if (x->type.weak == WEAK_INT) {
        uint64_t bits = x->negative ? -x->magnitude : x->magnitude;
        h = dtype_is_float(to) ? value_as(emit, x, to) : emit->constant_int(emit->host, to, wrapped(bits, to));
    } else if (dtype_is_float(to)) {
        h = emit->constant_float(emit->host, to, to == TY_F32 ? (double)(float)x->real : x->real);
    } else {
        h = emit->constant_int(emit->host, to, saturated(x->real, to));
    }
    return h ? emit->wrap(emit->host, h, type, span) : value_error(span);
}

struct type elementwise_join(struct type a, struct type b) {
    if (a.dtype == TY_NONE) return b;
    if (b.dtype == TY_NONE) return a;
    if (a.rank != b.rank) return (struct type){TY_NONE, STRONG, a.rank};
    return type_promote(a, b);
}
