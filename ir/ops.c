/* ops.c: the table of ops.def, lookup by name, and what the expanding operations stand for. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* exp10, lgamma_r */
#endif
#include "ir/ops.h"

#include <math.h>
#include <string.h>

/* glibc's lgamma writes the global signgam; these don't. */
static double mathfns_lgamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

static float mathfns_lgammaf(float x) {
    int sign;
    return lgammaf_r(x, &sign);
}

const struct op_info op_info[OP_COUNT] = {
#define OP(id, ...) [OP_##id] = {.name = #id, __VA_ARGS__},
#include "ir/ops.def"
#undef OP
};

const char *const reduce_names[REDUCE_COUNT_] = {
    [REDUCE_SUM] = "sum",
    [REDUCE_PROD] = "prod",
    [REDUCE_MIN] = "min",
    [REDUCE_MAX] = "max",
    [REDUCE_FMIN] = "fmin",
    [REDUCE_FMAX] = "fmax",
    [REDUCE_ANY] = "any",
    [REDUCE_ALL] = "all",
    [REDUCE_ARGMIN] = "argmin",
    [REDUCE_ARGMAX] = "argmax",
    [REDUCE_NANARGMIN] = "nanargmin",
    [REDUCE_NANARGMAX] = "nanargmax",
    [REDUCE_VAR] = "var",
};

/* True if `word` is one of the space-separated `words`. */
static bool word_among(const char *words, const char *word) {
    size_t length = strlen(word);
    for (const char *at = words; at && length > 0 && (at = strstr(at, word)); at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) return true;
    return false;
}

enum op op_from_name(const char *name) {
    if (strchr(name, ' ')) return OP_COUNT;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        if (info->rule == RULE_NONE) continue;
        if (!(info->flags & OPF_HIDDEN) && strcmp(info->name, name) == 0) return (enum op)op;
        if (word_among(info->alias, name)) return (enum op)op;
    }
    return OP_COUNT;
}

enum op op_from_ir_name(const char *name) {
    for (int op = 0; op < OP_COUNT; op++)
        if (strcmp(op_info[op].name, name) == 0) return (enum op)op;
    return OP_COUNT;
}

enum reduce_op reduce_from_name(const char *name) {
    for (int op = 0; op < REDUCE_COUNT_; op++)
        if (strcmp(reduce_names[op], name) == 0) return (enum reduce_op)op;
    return REDUCE_COUNT_;
}

/* --- expansions --------------------------------------------------------------------------------------------------- */

static void *make(const struct op_maker *maker, enum op op, enum dtype type, void *a, void *b, void *c) {
    return maker->op(maker->host, op, type, op_info[op].arity, (void *[]){a, b, c});
}

static void *number(const struct op_maker *maker, enum dtype type, double value) {
    return maker->number(maker->host, type, value);
}

/* sin(pi*t) for |t| <= 1/2. pi*t is kept as p + e, and sin(p + e) is sin(p) + e*cos(p); three terms of the cosine are
 * plenty for a correction of one part in 2^53. */
static void *expand_sin_of_pi_times(enum dtype type, void *t, const struct op_maker *maker) {
    double high = type == TY_F32 ? (double)(float)M_PI : M_PI;
    double low = type == TY_F32 ? -8.742278012618954e-08 : 1.2246467991473532e-16;
    void *pi = number(maker, type, high);
    void *p = make(maker, OP_mul, type, t, pi, NULL);
    void *lost = make(maker, OP_fma, type, t, pi, make(maker, OP_neg, type, p, NULL, NULL));
    void *e = make(maker, OP_fma, type, t, number(maker, type, low), lost);
    void *p2 = make(maker, OP_mul, type, p, p, NULL);
    void *cosine = make(maker, OP_fma, type, p2, number(maker, type, 1.0 / 24), number(maker, type, -0.5));
    cosine = make(maker, OP_fma, type, p2, cosine, number(maker, type, 1));
    return make(maker, OP_fma, type, e, cosine, make(maker, OP_sin, type, p, NULL, NULL));
}

/* sinpi: x = n + r with |r| <= 1/2, exactly; sin(pi*x) = (-1)^n sin(pi*r).
 * cospi: cos(pi*x) = (-1)^n sin(pi*(1/2 - |r|)); 1/2 - |r| rounds only where the sine no longer minds.
 * A zero keeps the sign that C23 gives it: that of x for sinpi, + for cospi. */
static void *expand_sinpi_cospi(enum op op, enum dtype type, void *x, const struct op_maker *maker) {
    void *n = make(maker, OP_rint, type, x, NULL, NULL);
    void *t = make(maker, OP_sub, type, x, n, NULL);
    if (op == OP_cospi)
        t = make(maker, OP_sub, type, number(maker, type, 0.5), make(maker, OP_abs, type, t, NULL, NULL), NULL);
    void *value = expand_sin_of_pi_times(type, t, maker);
    void *half = make(maker, OP_mul, type, n, number(maker, type, 0.5), NULL);
    void *odd = make(maker, OP_ne, TY_BOOL, half, make(maker, OP_floor, type, half, NULL, NULL), NULL);
    value = make(maker, OP_select, type, odd, make(maker, OP_neg, type, value, NULL, NULL), value);
    void *zero = number(maker, type, 0);
    void *at_zero = op == OP_cospi ? zero : make(maker, OP_copysign, type, zero, x, NULL);
    return make(maker, OP_select, type, make(maker, OP_eq, TY_BOOL, t, zero, NULL), at_zero, value);
}

void *op_expand(enum op op, enum dtype type, void *const *args, const struct op_maker *maker) {
    void *x = args[0];
    switch (op) {
    case OP_square: return make(maker, OP_mul, type, x, x, NULL);
    case OP_clip: return make(maker, OP_min, type, make(maker, OP_max, type, x, args[1], NULL), args[2], NULL);
    case OP_round: return dtype_is_float(type) ? make(maker, OP_rint, type, x, NULL, NULL) : x;
    case OP_relu: return make(maker, OP_max, type, x, number(maker, type, 0), NULL);
    case OP_deg2rad:
    case OP_rad2deg: {
        double factor = op == OP_deg2rad ? M_PI / 180 : 180 / M_PI;
        if (type == TY_F32) factor = op == OP_deg2rad ? (float)M_PI / 180.0f : 180.0f / (float)M_PI;
        return make(maker, OP_mul, type, x, number(maker, type, factor), NULL);
    }
    case OP_sinpi:
    case OP_cospi: return expand_sinpi_cospi(op, type, x, maker);
    case OP_sigmoid: { /* e / (1 + e) for negative x: 1 + exp(-x) would overflow where the result is still subnormal */
        void *one = number(maker, type, 1);
        void *down = make(maker, OP_neg, type, make(maker, OP_abs, type, x, NULL, NULL), NULL, NULL);
        void *e = make(maker, OP_exp, type, down, NULL, NULL);
        void *negative = make(maker, OP_lt, TY_BOOL, x, number(maker, type, 0), NULL);
        void *top = make(maker, OP_select, type, negative, e, one);
        return make(maker, OP_div, type, top, make(maker, OP_add, type, one, e, NULL), NULL);
    }
    case OP_softplus: { /* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
        void *down = make(maker, OP_neg, type, make(maker, OP_abs, type, x, NULL, NULL), NULL, NULL);
        void *small = make(maker, OP_log1p, type, make(maker, OP_exp, type, down, NULL, NULL), NULL, NULL);
        return make(maker, OP_add, type, make(maker, OP_max, type, x, number(maker, type, 0), NULL), small, NULL);
    }
    default: return NULL;
    }
}
