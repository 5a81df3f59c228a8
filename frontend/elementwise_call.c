/* elementwise_call.c: functions that are rows of ops.def, typed by their rule. */
#include "frontend/elementwise_parts.h"

#include <math.h>

static const char *call_name(const struct emitter *emit, enum op op) {
    return arena_printf(emit->arena, "`%s`", op == OP_select ? "where" : op_info[op].name);
}

static struct value call_error(const struct emitter *emit, enum op op, const struct value *x, const char *wants,
                               struct span span) {
    diag_add(emit->diags, DIAG_TYPE, x->span, "%s wants %s, and `%s` is %s", call_name(emit, op), wants,
             ast_text(emit->arena, emit->ast, x->span), value_type_text(emit->arena, x));
    return value_error(span);
}

/* A function of the promoted type. */
static struct value promoted(const struct emitter *emit, enum op op, struct type t, int n, const struct value *args,
                             struct span span) {
    return elementwise_make(emit, op, t.dtype, t.dtype, t.weak, n, args, span);
}

/* Integers and bools go to f64. */
static struct type to_float(struct type t) {
    if (dtype_is_float(t.dtype)) return t;
    return (struct type){TY_F64, t.weak ? WEAK_FLOAT : STRONG, t.rank};
}

/* a - b*trunc(a/b) of integers, by the floored remainder: where the signs differ, one b less. */
static struct value fmod_ints(const struct emitter *emit, struct type t, const struct value *args, struct span span) {
    if (t.dtype == TY_BOOL) t.dtype = TY_I8;
    struct value rest = promoted(emit, OP_mod, t, 2, args, span);
    if (rest.kind == VALUE_ERROR || dtype_is_unsigned(t.dtype)) return rest;
    void *host = emit->host, *zero = emit->constant_int(host, t.dtype, 0);
    void *a = value_as(emit, &args[0], t.dtype), *b = value_as(emit, &args[1], t.dtype), *m = emit->handle(host, &rest);
    void *a_negative = emit->op(host, OP_lt, TY_BOOL, 2, (void *[]){a, zero}, span);
    void *b_negative = emit->op(host, OP_lt, TY_BOOL, 2, (void *[]){b, zero}, span);
    void *differ = emit->op(host, OP_ne, TY_BOOL, 2, (void *[]){a_negative, b_negative}, span);
    void *rests = emit->op(host, OP_ne, TY_BOOL, 2, (void *[]){m, zero}, span);
    void *less = emit->op(host, OP_sub, t.dtype, 2, (void *[]){m, b}, span);
    void *wrong = emit->op(host, OP_and, TY_BOOL, 2, (void *[]){differ, rests}, span);
    void *h = emit->op(host, OP_select, t.dtype, 3, (void *[]){wrong, less, m}, span);
    return emit->wrap(host, h, t, span);
}

static struct value call_ldexp(const struct emitter *emit, const struct value *args, struct span span) {
    const struct value *exponent = &args[1];
    if (!dtype_is_int(exponent->type.dtype)) return call_error(emit, OP_ldexp, exponent, "an integer exponent", span);
    struct type t = to_float(args[0].type);
    void *host = emit->host, *h[2] = {value_as(emit, &args[0], t.dtype), NULL};
    enum dtype from = exponent->type.dtype;
    if (exponent->is_const || dtype_converts_safely(from, TY_I32)) {
        h[1] = value_as(emit, exponent, TY_I32);
    } else {
        /* Wider exponents must not wrap: past ±10,000 every result is 0 or infinite. */
        void *limits[2] = {value_as(emit, exponent, from), emit->constant_int(host, from, 10000)};
        h[1] = emit->op(host, OP_min, from, 2, limits, span);
        if (dtype_is_signed(from)) {
            void *low[2] = {h[1], emit->constant_int(host, from, -10000)};
            h[1] = emit->op(host, OP_max, from, 2, low, span);
        }
        h[1] = emit->convert(host, h[1], TY_I32, span);
    }
    if (!h[0] || !h[1]) return value_error(span);
    struct type both = {t.dtype, exponent->type.weak ? t.weak : STRONG,
                        t.rank > exponent->type.rank ? t.rank : exponent->type.rank};
    return emit->wrap(host, emit->op(host, OP_ldexp, t.dtype, 2, h, span), both, span);
}

static struct value call_where(const struct emitter *emit, const struct value *args, struct span span) {
    if (args[0].type.dtype != TY_BOOL) return call_error(emit, OP_select, &args[0], "a bool first", span);
    struct type t = type_promote(args[1].type, args[2].type);
    t.weak = STRONG; /* the condition is strong */
    if (args[0].type.rank > t.rank) t.rank = args[0].type.rank;
    void *h[3] = {value_as(emit, &args[0], TY_BOOL), value_as(emit, &args[1], t.dtype),
                  value_as(emit, &args[2], t.dtype)};
    if (!h[0] || !h[1] || !h[2]) return value_error(span);
    return emit->wrap(emit->host, emit->op(emit->host, OP_select, t.dtype, 3, h, span), t, span);
}

static struct value call_classify(const struct emitter *emit, enum op op, const struct value *x, struct span span) {
    if (x->is_const) {
        double real = value_const_real(x);
        bool holds = op == OP_isnan ? isnan(real) : op == OP_isinf ? isinf(real) : isfinite(real);
        return elementwise_decided(emit, holds, 0, NULL, span);
    }
    if (!dtype_is_float(x->type.dtype)) return elementwise_decided(emit, op == OP_isfinite, 1, x, span);
    return elementwise_make(emit, op, x->type.dtype, TY_BOOL, STRONG, 1, x, span);
}

/* Rules that keep the promoted type; bools go where NumPy sends them. */
static struct value call_arith(const struct emitter *emit, enum op op, struct type t, int n, const struct value *args,
                               struct span span) {
    if (t.dtype == TY_BOOL && op == OP_abs) {
        struct value same = args[0];
        same.span = span;
        return same;
    }
    if (t.dtype == TY_BOOL && op == OP_sign) return call_error(emit, op, &args[0], "a number", span);
    if (t.dtype == TY_BOOL) t.dtype = TY_I8;
    return promoted(emit, op, t, n, args, span);
}

/* The operator that a function is another name of. */
static enum ast_op as_operator(enum op op) {
    switch (op) {
    case OP_add: return AST_ADD;
    case OP_sub: return AST_SUB;
    case OP_mul: return AST_MUL;
    case OP_div: return AST_DIV;
    case OP_floordiv: return AST_FLOORDIV;
    case OP_mod: return AST_MOD;
    case OP_pow: return AST_POW;
    case OP_bitand: return AST_BITAND;
    case OP_bitor: return AST_BITOR;
    case OP_bitxor: return AST_BITXOR;
    case OP_shl: return AST_SHL;
    case OP_shr: return AST_SHR;
    case OP_eq: return AST_EQ;
    case OP_ne: return AST_NE;
    case OP_lt: return AST_LT;
    case OP_le: return AST_LE;
    case OP_gt: return AST_GT;
    case OP_ge: return AST_GE;
    case OP_and: return AST_AND;
    case OP_or: return AST_OR;
    case OP_neg: return AST_SUB;
    case OP_invert: return AST_INVERT;
    case OP_not: return AST_NOT;
    default: return AST_OP_NONE;
    }
}

static struct value call_operator(const struct emitter *emit, enum ast_op op, int n, const struct value *args,
                                  struct span span) {
    struct value result, plain[2] = {args[0], args[n - 1]};
    plain[0].product = plain[1].product = false;
    if (n == 1)
        result = elementwise_unary(emit, op, &plain[0], span);
    else if (op == AST_AND || op == AST_OR)
        result = elementwise_logical(emit, op, &plain[0], &plain[1], span);
    else
        result = elementwise_binary(emit, op, &plain[0], &plain[1], span);
    result.product = false; /* a call is no product */
    return result;
}

struct value elementwise_call(const struct emitter *emit, enum op op, int n, const struct value *args,
                              struct span span) {
    struct value result;
    bool chain = (op == OP_min || op == OP_max) && n > 2;
    if (!chain && n != op_info[op].arity) {
        diag_add(emit->diags, DIAG_TYPE, span, "%s takes %d argument%s, not %d", call_name(emit, op), op_info[op].arity,
                 op_info[op].arity == 1 ? "" : "s", n);
        return value_error(span);
    }
    if (!elementwise_numbers(emit, call_name(emit, op), n, args)) return value_error(span);
    if (chain) {
        result = elementwise_call(emit, op, 2, args, span);
        for (int i = 2; i < n; i++) result = elementwise_call(emit, op, 2, (struct value[]){result, args[i]}, span);
        return result;
    }
    enum ast_op operator= as_operator(op);
    if (operator!= AST_OP_NONE) return call_operator(emit, operator, n, args, span);
    if (elementwise_fold_call(emit, op, n, args, span, &result)) return result;
    struct type t = elementwise_promote(n, args);
    switch (op_info[op].rule) {
    case RULE_ARITH: return call_arith(emit, op, t, n, args, span);
    case RULE_NUMBER: return promoted(emit, op, t, n, args, span);
    case RULE_DIVIDE: return promoted(emit, op, to_float(t), n, args, span);
    case RULE_FLOAT:
        if (op == OP_fmod && !dtype_is_float(t.dtype)) return fmod_ints(emit, t, args, span);
        return promoted(emit, op, to_float(t), n, args, span);
    case RULE_FLOAT_INT: return call_ldexp(emit, args, span);
    case RULE_ROUND:
        if (dtype_is_float(t.dtype)) return promoted(emit, op, t, n, args, span);
        result = args[0];
        result.span = span;
        result.product = false;
        return result;
    case RULE_BITS:
    case RULE_SHIFT:
        for (int i = 0; i < n; i++)
            if (dtype_is_float(args[i].type.dtype)) return call_error(emit, op, &args[i], "integers", span);
        if (dtype_is_float(t.dtype)) return call_error(emit, op, &args[0], "integers of a common type", span);
        return call_arith(emit, op, t, n, args, span);
    case RULE_CLASSIFY: return call_classify(emit, op, &args[0], span);
    case RULE_SELECT: return call_where(emit, args, span);
    case RULE_COMPARE:
    case RULE_LOGIC:
    case RULE_NONE: break;
    }
    diag_add(emit->diags, DIAG_NAME, span, "%s cannot be called", call_name(emit, op));
    return value_error(span);
}
