/* emit_integer.c: integers and bools. Everything wraps; nothing traps. */
#include "codegen/cpu/emit.h"

static LLVMValueRef emit_cmp(struct emit *e, LLVMIntPredicate predicate, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(e->builder, predicate, a, b, "");
}

/* Quotient rounded down, or the remainder with the divisor's sign. Division instructions trap on a zero divisor and on
 * the smallest number by -1, so both get 1 for a divisor: MIN / 1 is what MIN // -1 wraps to. */
static LLVMValueRef emit_divide(struct emit *e, enum dtype type, LLVMValueRef a, LLVMValueRef b, bool modulo) {
    LLVMTypeRef t = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(t), one = emit_int(t, 1), minus = emit_int(t, -1);
    LLVMValueRef by_zero = emit_cmp(e, LLVMIntEQ, b, zero), result;
    if (!dtype_is_signed(type)) {
        LLVMValueRef divisor = emit_select(e, by_zero, one, b);
        result = modulo ? LLVMBuildURem(e->builder, a, divisor, "") : LLVMBuildUDiv(e->builder, a, divisor, "");
        return emit_select(e, by_zero, zero, result);
    }
    int64_t smallest = (int64_t)((uint64_t)1 << (8 * dtype_size(type) - 1));
    LLVMValueRef wraps = LLVMBuildAnd(e->builder, emit_cmp(e, LLVMIntEQ, b, minus),
                                      emit_cmp(e, LLVMIntEQ, a, emit_int(t, smallest)), "");
    LLVMValueRef divisor = emit_select(e, LLVMBuildOr(e->builder, by_zero, wraps, ""), one, b);
    LLVMValueRef quotient = LLVMBuildSDiv(e->builder, a, divisor, "");
    LLVMValueRef rest = LLVMBuildSub(e->builder, a, LLVMBuildMul(e->builder, quotient, divisor, ""), "");
    LLVMValueRef differ = emit_cmp(e, LLVMIntSLT, LLVMBuildXor(e->builder, rest, divisor, ""), zero);
    LLVMValueRef adjust = LLVMBuildAnd(e->builder, differ, emit_cmp(e, LLVMIntNE, rest, zero), "");
    if (modulo)
        result = emit_select(e, adjust, LLVMBuildAdd(e->builder, rest, divisor, ""), rest);
    else
        result = emit_select(e, adjust, LLVMBuildAdd(e->builder, quotient, minus, ""), quotient);
    return emit_select(e, by_zero, zero, result);
}

/* Square and multiply, until no lane has a bit left. */
static LLVMValueRef emit_power(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef exponent) {
    LLVMTypeRef t = LLVMTypeOf(base);
    LLVMValueRef zero = LLVMConstNull(t), one = emit_int(t, 1), negative = NULL, start = exponent;
    if (dtype_is_signed(type)) {
        negative = emit_cmp(e, LLVMIntSLT, exponent, zero);
        start = emit_select(e, negative, zero, exponent);
    }
    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "power"), body = emit_block(e, "square"),
                      after = emit_block(e, "powered");
    emit_go(e, head);
    emit_at(e, head);
    LLVMValueRef result = emit_phi(e, t), square = emit_phi(e, t), left = emit_phi(e, t);
    emit_branch(e, emit_any(e, emit_cmp(e, LLVMIntNE, left, zero)), body, after);
    emit_at(e, body);
    LLVMValueRef odd = emit_cmp(e, LLVMIntNE, LLVMBuildAnd(e->builder, left, one, ""), zero);
    LLVMValueRef product = emit_select(e, odd, LLVMBuildMul(e->builder, result, square, ""), result);
    LLVMValueRef squared = LLVMBuildMul(e->builder, square, square, "");
    LLVMValueRef shifted = LLVMBuildLShr(e->builder, left, one, "");
    emit_go(e, head);
    emit_phi_add(result, one, before), emit_phi_add(result, product, body);
    emit_phi_add(square, base, before), emit_phi_add(square, squared, body);
    emit_phi_add(left, start, before), emit_phi_add(left, shifted, body);
    emit_at(e, after);
    if (!negative) return result;
    /* A negative exponent leaves 1/base: 0 but for 1 and -1. */
    LLVMValueRef minus = emit_int(t, -1);
    LLVMValueRef is_odd = emit_cmp(e, LLVMIntNE, LLVMBuildAnd(e->builder, exponent, one, ""), zero);
    LLVMValueRef of_minus = emit_select(e, is_odd, minus, one);
    LLVMValueRef inverse = emit_select(e, emit_cmp(e, LLVMIntEQ, base, minus), of_minus,
                                       emit_select(e, emit_cmp(e, LLVMIntEQ, base, one), one, zero));
    return emit_select(e, negative, inverse, result);
}

static LLVMValueRef emit_extreme(struct emit *e, enum dtype type, bool max, LLVMValueRef a, LLVMValueRef b) {
    if (type == TY_BOOL) return max ? LLVMBuildOr(e->builder, a, b, "") : LLVMBuildAnd(e->builder, a, b, "");
    LLVMIntPredicate less = dtype_is_signed(type) ? LLVMIntSLT : LLVMIntULT;
    return emit_select(e, emit_cmp(e, less, max ? b : a, max ? a : b), a, b);
}

LLVMValueRef emit_integer_operation(struct emit *e, enum op op, enum dtype type, LLVMValueRef *args) {
    LLVMValueRef a = args[0], b = op_info[op].arity > 1 ? args[1] : NULL;
    LLVMTypeRef t = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(t);
    bool is_signed = dtype_is_signed(type);
    switch (op) {
    case OP_fma: return LLVMBuildAdd(e->builder, LLVMBuildMul(e->builder, a, b, ""), args[2], "");
    case OP_div:
    case OP_floordiv: return emit_divide(e, type, a, b, false);
    case OP_mod: return emit_divide(e, type, a, b, true);
    case OP_pow: return emit_power(e, type, a, b);
    case OP_neg: return LLVMBuildSub(e->builder, zero, a, "");
    case OP_abs:
        if (!is_signed) return a;
        return emit_select(e, emit_cmp(e, LLVMIntSLT, a, zero), LLVMBuildSub(e->builder, zero, a, ""), a);
    case OP_sign: {
        LLVMValueRef positive = LLVMBuildZExt(e->builder, emit_cmp(e, LLVMIntNE, a, zero), t, "");
        return is_signed ? emit_select(e, emit_cmp(e, LLVMIntSLT, a, zero), emit_int(t, -1), positive) : positive;
    }
    case OP_min:
    case OP_fmin: return emit_extreme(e, type, false, a, b);
    case OP_max:
    case OP_fmax: return emit_extreme(e, type, true, a, b);
    case OP_bitand:
    case OP_and: return LLVMBuildAnd(e->builder, a, b, "");
    case OP_bitor:
    case OP_or: return LLVMBuildOr(e->builder, a, b, "");
    case OP_bitxor: return LLVMBuildXor(e->builder, a, b, "");
    case OP_invert:
    case OP_not: return LLVMBuildNot(e->builder, a, "");
    case OP_shl:
    case OP_shr: {
        LLVMValueRef count = LLVMBuildAnd(e->builder, b, emit_int(t, 8 * dtype_size(type) - 1), "");
        if (op == OP_shl) return LLVMBuildShl(e->builder, a, count, "");
        return is_signed ? LLVMBuildAShr(e->builder, a, count, "") : LLVMBuildLShr(e->builder, a, count, "");
    }
    case OP_rotl: return emit_intrinsic(e, "llvm.fshl", t, a, a, b);
    case OP_rotr: return emit_intrinsic(e, "llvm.fshr", t, a, a, b);
    case OP_popcount: return emit_intrinsic(e, "llvm.ctpop", t, a, NULL, NULL);
    case OP_isnan:
    case OP_isinf: return LLVMConstNull(emit_like(a, e->i1));
    case OP_isfinite: return emit_int(emit_like(a, e->i1), 1);
    default: return a; /* floor ceil trunc rint */
    }
}
