/* verify_types.c: the type rules of typed IR, as ir/ops.h states them. */
#include "ir/verify_internal.h"

static bool all_are(enum dtype type, int n, const enum dtype *args) {
    for (int i = 0; i < n; i++)
        if (args[i] != type) return false;
    return true;
}

const char *verify_op(enum op op, enum dtype type, int n_args, const enum dtype *args) {
    const struct op_info *info = &op_info[op];
    if (info->lower == LOWER_EXPAND) return "should have been expanded";
    if (n_args != info->arity) return "has the wrong number of operands";
    if (type == TY_NONE) return "has no type";
    for (int i = 0; i < n_args; i++)
        if (args[i] == TY_NONE) return "has an operand without a value";
    switch (op) {
    case OP_convert: return NULL;
    case OP_select:
        if (args[0] != TY_BOOL) return "chooses by a value that is no bool";
        return args[1] == type && args[2] == type ? NULL : "mixes types";
    case OP_ldexp:
        if (args[1] != TY_I32) return "has an exponent that is no i32";
        return dtype_is_float(type) && args[0] == type ? NULL : "is of floats only";
    case OP_pow: return all_are(type, n_args, args) && type != TY_BOOL ? NULL : "mixes types or is of bools";
    default: break;
    }
    switch (info->rule) {
    case RULE_COMPARE:
        if (type != TY_BOOL) return "does not give a bool";
        return args[0] == args[1] ? NULL : "compares different types";
    case RULE_CLASSIFY:
        if (type != TY_BOOL) return "does not give a bool";
        return dtype_is_float(args[0]) ? NULL : "is of floats only";
    case RULE_LOGIC: return type == TY_BOOL && all_are(TY_BOOL, n_args, args) ? NULL : "is of bools only";
    default: break;
    }
    if (!all_are(type, n_args, args)) return "mixes types";
    switch (info->rule) {
    case RULE_FLOAT:
    case RULE_DIVIDE:
    case RULE_ROUND: return dtype_is_float(type) ? NULL : "is of floats only";
    case RULE_BITS: return !dtype_is_float(type) ? NULL : "is of integers and bools only";
    case RULE_SHIFT: return dtype_is_int(type) ? NULL : "is of integers only";
    case RULE_ARITH: return type != TY_BOOL ? NULL : "is of numbers only";
    default: return NULL;
    }
}

int verify_reduction_args(enum reduce_op op) {
    return op == REDUCE_VAR ? 2 : 1;
}

const char *verify_reduction(enum reduce_op op, enum dtype type, enum dtype first, enum dtype second) {
    switch (op) {
    case REDUCE_SUM:
    case REDUCE_PROD: return type == first && type != TY_BOOL ? NULL : "accumulates another type than its operand's";
    case REDUCE_MIN:
    case REDUCE_MAX: return type == first ? NULL : "gives another type than its operand's";
    case REDUCE_FMIN:
    case REDUCE_FMAX: return type == first && dtype_is_float(type) ? NULL : "is of floats only";
    case REDUCE_ANY:
    case REDUCE_ALL: return type == TY_BOOL && first == TY_BOOL ? NULL : "is of bools only";
    case REDUCE_ARGMIN:
    case REDUCE_ARGMAX:
    case REDUCE_NANARGMIN:
    case REDUCE_NANARGMAX: return type == TY_I64 && first != TY_NONE ? NULL : "gives an i64";
    case REDUCE_VAR:
        if (second != TY_BOOL) return "needs a bool that says what counts";
        return type == TY_F64 && (first == TY_F32 || first == TY_F64) ? NULL : "is of f32 or f64 and gives f64";
    case REDUCE_COUNT_: break;
    }
    return "is none";
}

const char *verify_const(enum dtype type, uint64_t bits) {
    union {
        uint64_t u;
        int64_t i;
        double f;
    } imm = {.u = bits};
    if (type == TY_NONE || type == TY_F16) return "has no type that can be computed with";
    if (type == TY_F32 && imm.f == imm.f && (double)(float)imm.f != imm.f) return "is no f32";
    if (dtype_is_float(type)) return NULL;
    if (type == TY_BOOL) return bits <= 1 ? NULL : "is no bool";
    bool negative = dtype_is_signed(type) && imm.i < 0;
    return dtype_holds_int(type, negative, negative ? 0 - bits : bits) ? NULL : "does not fit its type";
}
