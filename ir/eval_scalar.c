/* eval_scalar.c: the value of every operation on scalars. This is the definition; back ends agree with it to the bit.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>

#include "ir/eval.h"

/* --- integers: kept in 64 bits, sign- or zero-extended from the type's width -------------------------------------- */

static int width_of(enum dtype type) {
    return type == TY_BOOL ? 1 : 8 * dtype_size(type);
}

static union scalar int_result(enum dtype type, uint64_t bits) {
    union scalar r = {.u = bits};
    int unused = 64 - width_of(type);
    if (dtype_is_signed(type))
        r.i = (int64_t)(bits << unused) >> unused;
    else
        r.u = bits << unused >> unused;
    return r;
}

static union scalar truth(bool value) {
    return (union scalar){.i = value};
}

static bool int_less(enum dtype type, union scalar a, union scalar b) {
    return dtype_is_signed(type) ? a.i < b.i : a.u < b.u;
}

/* Quotient rounded down and the remainder that goes with it. */
static union scalar int_floordiv(enum dtype type, union scalar a, union scalar b, bool modulo) {
    if (b.u == 0) return truth(false);
    if (!dtype_is_signed(type)) return int_result(type, modulo ? a.u % b.u : a.u / b.u);
    if (b.i == -1) return int_result(type, modulo ? 0 : 0 - a.u);
    int64_t quotient = a.i / b.i, rest = a.i % b.i;
    if (rest != 0 && (rest < 0) != (b.i < 0)) {
        quotient--;
        rest += b.i;
    }
    return int_result(type, (uint64_t)(modulo ? rest : quotient));
}

static union scalar int_pow(enum dtype type, union scalar base, union scalar exponent) {
    if (dtype_is_signed(type) && exponent.i < 0) {
        if (base.i == 1) return base;
        if (base.i == -1) return int_result(type, exponent.u & 1 ? UINT64_MAX : 1);
        return truth(false);
    }
    uint64_t result = 1, square = base.u;
    for (uint64_t n = exponent.u; n; n >>= 1, square *= square)
        if (n & 1) result *= square;
    return int_result(type, result);
}

static union scalar eval_int(enum op op, enum dtype type, const union scalar *args) {
    union scalar a = args[0], b = op_info[op].arity > 1 ? args[1] : truth(false);
    bool is_signed = dtype_is_signed(type);
    int width = width_of(type), count = (int)(b.u & (uint64_t)(width - 1));
    uint64_t mask = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    switch (op) {
    case OP_add: return int_result(type, a.u + b.u);
    case OP_sub: return int_result(type, a.u - b.u);
    case OP_mul: return int_result(type, a.u * b.u);
    case OP_fma: return int_result(type, a.u * b.u + args[2].u);
    case OP_div: /* the front end divides floats; of integers this is floor division */
    case OP_floordiv: return int_floordiv(type, a, b, false);
    case OP_mod: return int_floordiv(type, a, b, true);
    case OP_pow: return int_pow(type, a, b);
    case OP_neg: return int_result(type, 0 - a.u);
    case OP_abs: return int_result(type, is_signed && a.i < 0 ? 0 - a.u : a.u);
    case OP_sign: return int_result(type, is_signed && a.i < 0 ? UINT64_MAX : a.u != 0);
    case OP_min:
    case OP_fmin: return int_less(type, b, a) ? b : a;
    case OP_max:
    case OP_fmax: return int_less(type, a, b) ? b : a;
    case OP_bitand:
    case OP_and: return int_result(type, a.u & b.u);
    case OP_bitor:
    case OP_or: return int_result(type, a.u | b.u);
    case OP_bitxor: return int_result(type, a.u ^ b.u);
    case OP_invert:
    case OP_not: return int_result(type, ~a.u);
    case OP_shl: return int_result(type, a.u << count);
    case OP_shr: return int_result(type, is_signed ? (uint64_t)(a.i >> count) : a.u >> count);
    case OP_rotl: return int_result(type, a.u << count | (a.u & mask) >> ((width - count) & (width - 1)));
    case OP_rotr: return int_result(type, (a.u & mask) >> count | a.u << ((width - count) & (width - 1)));
    case OP_popcount: return int_result(type, (uint64_t)__builtin_popcountll(a.u & mask));
    case OP_eq: return truth(a.u == b.u);
    case OP_ne: return truth(a.u != b.u);
    case OP_lt: return truth(int_less(type, a, b));
    case OP_le: return truth(!int_less(type, b, a));
    case OP_gt: return truth(int_less(type, b, a));
    case OP_ge: return truth(!int_less(type, a, b));
    case OP_isnan:
    case OP_isinf: return truth(false);
    case OP_isfinite: return truth(true);
    case OP_floor:
    case OP_ceil:
    case OP_trunc:
    case OP_rint: return a;
    default: return truth(false);
    }
}

/* --- floats: once for each type, so that f32 is computed in float ------------------------------------------------- */

/* Python's floor division and remainder, as NumPy computes them: exact remainder first, quotient snapped to an integer.
 */
#define DEFINE_FLOAT(T, f)                                                                                             \
    static T floordiv##f(T a, T b, T *rest) {                                                                          \
        T m = fmod##f(a, b);                                                                                           \
        *rest = m;                                                                                                     \
        if (b == 0) return a / b;                                                                                      \
        T q = (a - m) / b;                                                                                             \
        if (m != 0) {                                                                                                  \
            if ((b < 0) != (m < 0)) {                                                                                  \
                m += b;                                                                                                \
                q -= 1;                                                                                                \
            }                                                                                                          \
        } else {                                                                                                       \
            m = copysign##f(0, b);                                                                                     \
        }                                                                                                              \
        *rest = m;                                                                                                     \
        if (q == 0) return copysign##f(0, a / b);                                                                      \
        T whole = floor##f(q);                                                                                         \
        return q - whole > (T)0.5 ? whole + 1 : whole;                                                                 \
    }                                                                                                                  \
    static T smaller##f(T a, T b) {                                                                                    \
        if (a == b) return signbit(a) ? a : b;                                                                         \
        return a < b ? a : b;                                                                                          \
    }                                                                                                                  \
    static T larger##f(T a, T b) {                                                                                     \
        if (a == b) return signbit(a) ? b : a;                                                                         \
        return a > b ? a : b;                                                                                          \
    }                                                                                                                  \
    /* Operations whose result is of the operands' type, but for elementary functions. */                              \
    static T arithmetic##f(enum op op, T a, T b, T c) {                                                                \
        T rest;                                                                                                        \
        switch (op) {                                                                                                  \
        case OP_add: return a + b;                                                                                     \
        case OP_sub: return a - b;                                                                                     \
        case OP_mul: return a * b;                                                                                     \
        case OP_div: return a / b;                                                                                     \
        case OP_fma: return fma##f(a, b, c);                                                                           \
        case OP_floordiv: return floordiv##f(a, b, &rest);                                                             \
        case OP_mod: return floordiv##f(a, b, &rest), rest;                                                            \
        case OP_neg: return -a;                                                                                        \
        case OP_abs: return fabs##f(a);                                                                                \
        case OP_sign: return isnan(a) ? a : (T)(a > 0) - (T)(a < 0);                                                   \
        case OP_min: return isnan(a) || isnan(b) ? (T)NAN : smaller##f(a, b);                                          \
        case OP_max: return isnan(a) || isnan(b) ? (T)NAN : larger##f(a, b);                                           \
        case OP_fmin: return isnan(a) ? b : isnan(b) ? a : smaller##f(a, b);                                           \
        case OP_fmax: return isnan(a) ? b : isnan(b) ? a : larger##f(a, b);                                            \
        case OP_floor: return floor##f(a);                                                                             \
        case OP_ceil: return ceil##f(a);                                                                               \
        case OP_trunc: return trunc##f(a);                                                                             \
        case OP_rint: return roundeven##f(a);                                                                          \
        case OP_copysign: return copysign##f(a, b);                                                                    \
        case OP_sqrt: return sqrt##f(a);                                                                               \
        default: return (T)NAN;                                                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    static T elementary##f(enum op op, T a, T b, const struct eval_math *math) {                                       \
        const struct op_info *info = &op_info[op];                                                                     \
        if (info->arity == 1) return math && math->f1##f ? math->f1##f(op, a, math->host) : info->eval1##f(a);         \
        return math && math->f2##f ? math->f2##f(op, a, b, math->host) : info->eval2##f(a, b);                         \
    }                                                                                                                  \
    /* Comparisons and classification; false if `op` is neither. */                                                    \
    static bool test##f(enum op op, T a, T b, bool *value) {                                                           \
        switch (op) {                                                                                                  \
        case OP_eq: *value = a == b; return true;                                                                      \
        case OP_ne: *value = a != b; return true;                                                                      \
        case OP_lt: *value = a < b; return true;                                                                       \
        case OP_le: *value = a <= b; return true;                                                                      \
        case OP_gt: *value = a > b; return true;                                                                       \
        case OP_ge: *value = a >= b; return true;                                                                      \
        case OP_isnan: *value = isnan(a); return true;                                                                 \
        case OP_isinf: *value = isinf(a); return true;                                                                 \
        case OP_isfinite: *value = isfinite(a); return true;                                                           \
        default: return false;                                                                                         \
        }                                                                                                              \
    }
DEFINE_FLOAT(double, )
DEFINE_FLOAT(float, f)
#undef DEFINE_FLOAT

static union scalar eval_f64(enum op op, const union scalar *args, const struct eval_math *math) {
    int arity = op_info[op].arity;
    double a = args[0].f64, b = arity > 1 && op != OP_ldexp ? args[1].f64 : 0, c = arity > 2 ? args[2].f64 : 0;
    bool value;
    if (op == OP_ldexp) return (union scalar){.f64 = ldexp(a, (int)args[1].i)};
    if (op_info[op].lower == LOWER_CALL) return (union scalar){.f64 = elementary(op, a, b, math)};
    if (test(op, a, b, &value)) return truth(value);
    return (union scalar){.f64 = arithmetic(op, a, b, c)};
}

static union scalar eval_f32(enum op op, const union scalar *args, const struct eval_math *math) {
    int arity = op_info[op].arity;
    float a = args[0].f32, b = arity > 1 && op != OP_ldexp ? args[1].f32 : 0, c = arity > 2 ? args[2].f32 : 0;
    bool value;
    if (op == OP_ldexp) return (union scalar){.f32 = ldexpf(a, (int)args[1].i)};
    if (op_info[op].lower == LOWER_CALL) return (union scalar){.f32 = elementaryf(op, a, b, math)};
    if (testf(op, a, b, &value)) return truth(value);
    return (union scalar){.f32 = arithmeticf(op, a, b, c)};
}

/* --- conversions -------------------------------------------------------------------------------------------------- */

/* Saturating: NaN gives 0. f32 values are exact in double. */
static union scalar int_from_float(enum dtype to, double x) {
    if (isnan(x)) return truth(false);
    int width = width_of(to);
    if (dtype_is_unsigned(to)) {
        if (x <= 0) return truth(false);
        if (x >= ldexp(1, width)) return int_result(to, UINT64_MAX);
        return int_result(to, (uint64_t)x);
    }
    if (x <= -ldexp(1, width - 1)) return int_result(to, (uint64_t)1 << (width - 1));
    if (x >= ldexp(1, width - 1)) return int_result(to, ((uint64_t)1 << (width - 1)) - 1);
    return int_result(to, (uint64_t)(int64_t)x);
}

static union scalar convert(enum dtype from, enum dtype to, union scalar x) {
    if (from == to) return x;
    if (dtype_is_float(from)) {
        double value = from == TY_F32 ? (double)x.f32 : x.f64;
        if (to == TY_BOOL) return truth(value != 0);
        if (to == TY_F32) return (union scalar){.f32 = (float)value};
        if (to == TY_F64) return (union scalar){.f64 = value};
        return int_from_float(to, value);
    }
    if (to == TY_BOOL) return truth(x.u != 0);
    if (to == TY_F32) return (union scalar){.f32 = dtype_is_signed(from) ? (float)x.i : (float)x.u};
    if (to == TY_F64) return (union scalar){.f64 = dtype_is_signed(from) ? (double)x.i : (double)x.u};
    return int_result(to, x.u);
}

union scalar eval_scalar(enum op op, enum dtype type, enum dtype from, const union scalar *args,
                         const struct eval_math *math) {
    if (op == OP_convert) return convert(from, type, args[0]);
    if (op == OP_select) return args[0].i ? args[1] : args[2];
    if (type == TY_F64) return eval_f64(op, args, math);
    if (type == TY_F32) return eval_f32(op, args, math);
    return eval_int(op, type, args);
}
