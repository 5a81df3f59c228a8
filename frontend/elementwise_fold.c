/* elementwise_fold.c: arithmetic of weak constants. Integers are exact: results lie in the range of i64 or u64, or are
 * an error. Floats are doubles. Division and remainder floor.
 */
#include <math.h>

#include "frontend/elementwise_parts.h"

__extension__ typedef __int128 wide;

static wide wide_from(const struct value *v) {
    return v->negative ? -(wide)v->magnitude : (wide)v->magnitude;
}

static struct value wide_result(const struct emitter *emit, wide value, bool overflow, struct span span) {
    if (overflow || value > (wide)UINT64_MAX || value < (wide)INT64_MIN) {
        diag_add(emit->diags, DIAG_VALUE, span, "`%s` is out of the range of 64-bit integers",
                 ast_text(emit->arena, emit->ast, span));
        return value_error(span);
    }
    return value_magnitude(value < 0, (uint64_t)(value < 0 ? -value : value), span);
}

static wide floor_div(wide a, wide b) {
    wide quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/* By squaring; stops at the first step that leaves the range, so it ends soon whatever the exponent. */
static wide power(wide base, uint64_t exponent, bool *overflow) {
    if (base == 0 || base == 1) return exponent ? base : 1;
    if (base == -1) return exponent % 2 ? -1 : 1;
    wide result = 1;
    for (; exponent && !*overflow; exponent--) {
        *overflow = __builtin_mul_overflow(result, base, &result);
        if (result > (wide)UINT64_MAX || result < (wide)INT64_MIN) *overflow = true;
    }
    return result;
}

bool elementwise_fold_unary(const struct emitter *emit, enum ast_op op, const struct value *x, struct span span,
                            struct value *result) {
    if (!x->is_const) return false;
    if (op == AST_ADD) {
        *result = *x;
        result->span = span;
    } else if (op == AST_SUB) {
        *result =
            x->type.weak == WEAK_FLOAT ? value_real(-x->real, span) : wide_result(emit, -wide_from(x), false, span);
    } else if (op == AST_INVERT && x->type.weak == WEAK_INT) {
        *result = wide_result(emit, -wide_from(x) - 1, false, span);
    } else {
        return false;
    }
    return true;
}

static bool fold_ints(const struct emitter *emit, enum ast_op op, const struct value *a, const struct value *b,
                      struct span span, struct value *result) {
    wide x = wide_from(a), y = wide_from(b), z = 0;
    bool overflow = false;
    unsigned count = (unsigned)(y & 63); /* shift counts are modulo the width */
    switch (op) {
    case AST_ADD: z = x + y; break;
    case AST_SUB: z = x - y; break;
    case AST_MUL: overflow = __builtin_mul_overflow(x, y, &z); break;
    case AST_DIV: *result = value_real(value_const_real(a) / value_const_real(b), span); return true;
    case AST_FLOORDIV: z = y ? floor_div(x, y) : 0; break;
    case AST_MOD: z = y ? x - y * floor_div(x, y) : 0; break;
    case AST_POW:
        if (b->negative) return false;
        z = power(x, b->magnitude, &overflow);
        break;
    case AST_SHL: overflow = __builtin_mul_overflow(x, (wide)1 << count, &z); break;
    case AST_SHR: z = floor_div(x, (wide)1 << count); break;
    case AST_BITAND: z = x & y; break;
    case AST_BITXOR: z = x ^ y; break;
    case AST_BITOR: z = x | y; break;
    default: return false;
    }
    *result = wide_result(emit, z, overflow, span);
    return true;
}

bool elementwise_fold_binary(const struct emitter *emit, enum ast_op op, const struct value *a, const struct value *b,
                             struct span span, struct value *result) {
    if (!a->is_const || !b->is_const) return false;
    if (a->type.weak == WEAK_INT && b->type.weak == WEAK_INT) return fold_ints(emit, op, a, b, span, result);
    double x = value_const_real(a), y = value_const_real(b);
    switch (op) {
    case AST_ADD: *result = value_real(x + y, span); return true;
    case AST_SUB: *result = value_real(x - y, span); return true;
    case AST_MUL: *result = value_real(x * y, span); return true;
    case AST_DIV: *result = value_real(x / y, span); return true;
    case AST_POW:
        if (y != 2) return false;
        *result = value_real(x * x, span);
        return true;
    default: return false;
    }
}

int elementwise_fold_order(const struct value *a, const struct value *b) {
    if (a->type.weak == WEAK_INT && b->type.weak == WEAK_INT) {
        wide x = wide_from(a), y = wide_from(b);
        return x < y ? -1 : x > y;
    }
    double x = value_const_real(a), y = value_const_real(b);
    if (isnan(x) || isnan(y)) return 2;
    if (x != y) return x < y ? -1 : 1;
    /* Equal as doubles: an integer may have been rounded. A double of this size is an integer itself. */
    if (fabs(x) < 0x1p53 || fabs(x) > 0x1p65) return 0;
    wide i = a->type.weak == WEAK_INT ? wide_from(a) : (wide)x, j = b->type.weak == WEAK_INT ? wide_from(b) : (wide)y;
    return i < j ? -1 : i > j;
}

static bool fold_float(enum op op, const struct value *x, struct span span, struct value *result) {
    double real = value_const_real(x), value;
    switch (op) {
    case OP_sqrt: value = sqrt(real); break;
    case OP_abs: value = fabs(real); break;
    case OP_square: value = real * real; break;
    case OP_floor: value = floor(real); break;
    case OP_ceil: value = ceil(real); break;
    case OP_trunc: value = trunc(real); break;
    default: return false;
    }
    *result = value_real(value, span);
    return true;
}

bool elementwise_fold_call(const struct emitter *emit, enum op op, int n, const struct value *args, struct span span,
                           struct value *result) {
    for (int i = 0; i < n; i++)
        if (!args[i].is_const) return false;
    if (n == 2 && (op == OP_min || op == OP_max)) {
        int order = elementwise_fold_order(&args[0], &args[1]);
        /* Equal or unordered floats (-0 and 0, NaN) are left to the operation itself. */
        bool ints = args[0].type.weak == WEAK_INT && args[1].type.weak == WEAK_INT;
        if (!ints && (order == 2 || order == 0)) return false;
        *result = args[(order > 0) == (op == OP_min)];
        result->span = span;
        if (!ints) *result = value_real(value_const_real(result), span);
        return true;
    }
    if (n != 1) return false;
    if (args[0].type.weak == WEAK_FLOAT || op == OP_sqrt) return fold_float(op, &args[0], span, result);
    wide x = wide_from(&args[0]);
    switch (op) {
    case OP_abs: *result = wide_result(emit, x < 0 ? -x : x, false, span); return true;
    case OP_sign: *result = wide_result(emit, (x > 0) - (x < 0), false, span); return true;
    case OP_square: {
        wide product;
        bool overflow = __builtin_mul_overflow(x, x, &product);
        *result = wide_result(emit, product, overflow, span);
        return true;
    }
    case OP_floor:
    case OP_ceil:
    case OP_trunc:
    case OP_rint:
    case OP_round:
        *result = args[0];
        result->span = span;
        return true;
    default: return false;
    }
}
