/* emit_float.c: floating-point operations that are no calls. NaN, infinities and signed zeros as eval_scalar has them.
 */
#include "codegen/cpu/emit.h"

#include <math.h>

static LLVMValueRef emit_fcmp(struct emit *e, LLVMRealPredicate predicate, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFCmp(e->builder, predicate, a, b, "");
}

static bool emit_is_f64(struct emit *e, LLVMValueRef x) {
    return emit_scalar_of(LLVMTypeOf(x)) == e->f64;
}

LLVMValueRef emit_bits_of(struct emit *e, LLVMValueRef x) {
    return LLVMBuildBitCast(e->builder, x, emit_like(x, emit_is_f64(e, x) ? e->i64 : e->i32), "");
}

static LLVMValueRef emit_from_bits(struct emit *e, LLVMValueRef bits, LLVMTypeRef type) {
    return LLVMBuildBitCast(e->builder, bits, type, "");
}

LLVMValueRef emit_isnan(struct emit *e, LLVMValueRef x) {
    return emit_fcmp(e, LLVMRealUNO, x, x);
}

static LLVMValueRef emit_abs(struct emit *e, LLVMValueRef x) {
    return emit_intrinsic(e, "llvm.fabs", LLVMTypeOf(x), x, NULL, NULL);
}

static LLVMValueRef emit_copysign(struct emit *e, LLVMValueRef x, LLVMValueRef sign) {
    return emit_intrinsic(e, "llvm.copysign", LLVMTypeOf(x), x, sign, NULL);
}

static LLVMValueRef emit_floor(struct emit *e, LLVMValueRef x) {
    return emit_intrinsic(e, "llvm.floor", LLVMTypeOf(x), x, NULL, NULL);
}

LLVMValueRef emit_sqrt(struct emit *e, LLVMValueRef x) {
    return emit_intrinsic(e, "llvm.sqrt", LLVMTypeOf(x), x, NULL, NULL);
}

/* The processor's minimum gives its second operand if either is NaN or both are zero. Of both orders, the bits or-ed
 * are a NaN if either was, -0 if either zero was negative, and the minimum otherwise: three instructions. */
LLVMValueRef emit_float_min(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef ab = emit_select(e, emit_fcmp(e, LLVMRealOLT, a, b), a, b);
    LLVMValueRef ba = emit_select(e, emit_fcmp(e, LLVMRealOLT, b, a), b, a);
    LLVMValueRef bits = LLVMBuildOr(e->builder, emit_bits_of(e, ab), emit_bits_of(e, ba), "");
    return emit_from_bits(e, bits, LLVMTypeOf(a));
}

LLVMValueRef emit_float_max(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef least = emit_float_min(e, LLVMBuildFNeg(e->builder, a, ""), LLVMBuildFNeg(e->builder, b, ""));
    return LLVMBuildFNeg(e->builder, least, "");
}

/* The same with NaN ignored: a NaN stands back for the other operand. */
LLVMValueRef emit_float_fmin(struct emit *e, bool max, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef x = emit_select(e, emit_isnan(e, a), b, a), y = emit_select(e, emit_isnan(e, b), a, b);
    return max ? emit_float_max(e, x, y) : emit_float_min(e, x, y);
}

/* 2^n for n within the type's normal exponents. */
static LLVMValueRef emit_power_of_two(struct emit *e, LLVMValueRef n, LLVMTypeRef type) {
    bool wide = emit_scalar_of(type) == e->f64;
    LLVMTypeRef bits = emit_like(n, wide ? e->i64 : e->i32);
    LLVMValueRef biased = LLVMBuildAdd(e->builder, n, emit_int(LLVMTypeOf(n), wide ? 1023 : 127), "");
    if (wide) biased = LLVMBuildZExt(e->builder, biased, bits, "");
    return emit_from_bits(e, LLVMBuildShl(e->builder, biased, emit_int(bits, wide ? 52 : 23), ""), type);
}

static LLVMValueRef emit_clamp(struct emit *e, LLVMValueRef n, int64_t low, int64_t high) {
    LLVMTypeRef t = LLVMTypeOf(n);
    n = emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSLT, n, emit_int(t, low), ""), emit_int(t, low), n);
    return emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSGT, n, emit_int(t, high), ""), emit_int(t, high), n);
}

/* x * 2^n rounded once. f32 has room in f64; f64 goes in up to three steps, none of which rounds but the last: steps
 * down stay 53 bits above the subnormals. */
static LLVMValueRef emit_ldexp(struct emit *e, LLVMValueRef x, LLVMValueRef n) {
    LLVMTypeRef type = LLVMTypeOf(x), t = LLVMTypeOf(n);
    if (!emit_is_f64(e, x)) {
        LLVMTypeRef wide = emit_like(x, e->f64);
        LLVMValueRef factor = emit_power_of_two(e, emit_clamp(e, n, -600, 600), wide);
        LLVMValueRef y = LLVMBuildFMul(e->builder, LLVMBuildFPExt(e->builder, x, wide, ""), factor, "");
        return LLVMBuildFPTrunc(e->builder, y, type, "");
    }
    n = emit_clamp(e, n, -3000, 3000);
    for (int step = 0; step < 2; step++) {
        LLVMValueRef up = LLVMBuildICmp(e->builder, LLVMIntSGT, n, emit_int(t, 1023), "");
        LLVMValueRef down = LLVMBuildICmp(e->builder, LLVMIntSLT, n, emit_int(t, -1022), "");
        LLVMValueRef factor = emit_select(e, up, emit_real(type, 0x1p1023), emit_real(type, 1));
        factor = emit_select(e, down, emit_real(type, 0x1p-969), factor);
        LLVMValueRef taken = emit_select(e, up, emit_int(t, 1023), LLVMConstNull(t));
        taken = emit_select(e, down, emit_int(t, -969), taken);
        x = LLVMBuildFMul(e->builder, x, factor, "");
        n = LLVMBuildSub(e->builder, n, taken, "");
    }
    return LLVMBuildFMul(e->builder, x, emit_power_of_two(e, emit_clamp(e, n, -1022, 1023), type), "");
}

/* a - b*trunc(a/b), exactly: while the quotient fits the mantissa, its rounded value is at most one too large, and the
 * rest by one fma is exact. Other quotients, rare, go to libm. */
static LLVMValueRef emit_fmod(struct emit *e, enum dtype type, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef t = LLVMTypeOf(a);
    double limit = type == TY_F64 ? 0x1p53 : 0x1p24, infinity = INFINITY;
    LLVMValueRef size_a = emit_abs(e, a), size_b = emit_abs(e, b);
    LLVMValueRef quotient = LLVMBuildFDiv(e->builder, size_a, size_b, "");
    LLVMValueRef whole = emit_intrinsic(e, "llvm.trunc", t, quotient, NULL, NULL);
    LLVMValueRef rest = emit_intrinsic(e, "llvm.fma", t, LLVMBuildFNeg(e->builder, whole, ""), size_b, size_a);
    LLVMValueRef over = emit_fcmp(e, LLVMRealOLT, rest, LLVMConstNull(t));
    rest = emit_select(e, over, LLVMBuildFAdd(e->builder, rest, size_b, ""), rest);
    /* A finite number by an infinite one is itself. */
    LLVMValueRef small = emit_fcmp(e, LLVMRealOLT, size_a, size_b);
    rest = emit_select(e, small, size_a, rest);
    rest = emit_copysign(e, rest, a);

    LLVMValueRef large = emit_fcmp(e, LLVMRealOGE, quotient, emit_real(t, limit));
    LLVMValueRef finite = emit_fcmp(e, LLVMRealOLT, size_a, emit_real(t, infinity));
    LLVMValueRef divides = emit_fcmp(e, LLVMRealOGT, size_b, LLVMConstNull(t));
    LLVMValueRef hard = LLVMBuildAnd(e->builder, large, LLVMBuildAnd(e->builder, finite, divides, ""), "");
    LLVMBasicBlockRef slow = emit_block(e, "fmod"), after = emit_block(e, "endfmod");
    LLVMValueRef any = emit_any(e, hard);
    LLVMBasicBlockRef before = emit_here(e);
    emit_branch_unlikely(e, any, slow, after);
    emit_at(e, slow);
    LLVMValueRef args[] = {a, b};
    LLVMValueRef exact = emit_math(e, OP_fmod, type, args, 2);
    LLVMBasicBlockRef from = emit_here(e);
    emit_go(e, after);
    emit_at(e, after);
    LLVMValueRef phi = emit_phi(e, t);
    emit_phi_add(phi, rest, before);
    emit_phi_add(phi, exact, from);
    return phi;
}

/* Floor division and remainder as Python and NumPy have them: see ir/eval_scalar.c. */
static LLVMValueRef emit_floor_division(struct emit *e, enum dtype type, LLVMValueRef a, LLVMValueRef b, bool modulo) {
    LLVMTypeRef t = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(t), one = emit_real(t, 1);
    LLVMValueRef rest = emit_fmod(e, type, a, b);
    LLVMValueRef nonzero = emit_fcmp(e, LLVMRealUNE, rest, zero);
    LLVMValueRef differ =
        LLVMBuildXor(e->builder, emit_fcmp(e, LLVMRealOLT, b, zero), emit_fcmp(e, LLVMRealOLT, rest, zero), "");
    LLVMValueRef adjust = LLVMBuildAnd(e->builder, nonzero, differ, "");
    LLVMValueRef by_zero = emit_fcmp(e, LLVMRealOEQ, b, zero);
    if (modulo) {
        LLVMValueRef adjusted = emit_select(e, adjust, LLVMBuildFAdd(e->builder, rest, b, ""), rest);
        adjusted = emit_select(e, nonzero, adjusted, emit_copysign(e, zero, b));
        return emit_select(e, by_zero, rest, adjusted);
    }
    LLVMValueRef ratio = LLVMBuildFDiv(e->builder, a, b, "");
    LLVMValueRef quotient = LLVMBuildFDiv(e->builder, LLVMBuildFSub(e->builder, a, rest, ""), b, "");
    quotient = emit_select(e, adjust, LLVMBuildFSub(e->builder, quotient, one, ""), quotient);
    LLVMValueRef whole = emit_floor(e, quotient);
    LLVMValueRef more = emit_fcmp(e, LLVMRealOGT, LLVMBuildFSub(e->builder, quotient, whole, ""), emit_real(t, 0.5));
    whole = emit_select(e, more, LLVMBuildFAdd(e->builder, whole, one, ""), whole);
    LLVMValueRef is_zero = emit_fcmp(e, LLVMRealOEQ, quotient, zero);
    whole = emit_select(e, is_zero, emit_copysign(e, zero, ratio), whole);
    return emit_select(e, by_zero, ratio, whole);
}

LLVMValueRef emit_float_operation(struct emit *e, enum op op, enum dtype type, LLVMValueRef *args) {
    LLVMValueRef a = args[0], b = op_info[op].arity > 1 ? args[1] : NULL;
    LLVMTypeRef t = LLVMTypeOf(a);
    switch (op) {
    case OP_div: return LLVMBuildFDiv(e->builder, a, b, "");
    case OP_fma: return emit_intrinsic(e, "llvm.fma", t, a, b, args[2]);
    case OP_floordiv: return emit_floor_division(e, type, a, b, false);
    case OP_mod: return emit_floor_division(e, type, a, b, true);
    case OP_fmod: return emit_fmod(e, type, a, b);
    case OP_neg: return LLVMBuildFNeg(e->builder, a, "");
    case OP_abs: return emit_abs(e, a);
    case OP_sign: {
        LLVMValueRef zero = LLVMConstNull(t);
        LLVMValueRef below = emit_select(e, emit_fcmp(e, LLVMRealOLT, a, zero), emit_real(t, -1), zero);
        LLVMValueRef sign = emit_select(e, emit_fcmp(e, LLVMRealOGT, a, zero), emit_real(t, 1), below);
        return emit_select(e, emit_isnan(e, a), a, sign);
    }
    case OP_min: return emit_float_min(e, a, b);
    case OP_max: return emit_float_max(e, a, b);
    case OP_fmin: return emit_float_fmin(e, false, a, b);
    case OP_fmax: return emit_float_fmin(e, true, a, b);
    case OP_floor: return emit_floor(e, a);
    case OP_ceil: return emit_intrinsic(e, "llvm.ceil", t, a, NULL, NULL);
    case OP_trunc: return emit_intrinsic(e, "llvm.trunc", t, a, NULL, NULL);
    case OP_rint: return emit_intrinsic(e, "llvm.rint", t, a, NULL, NULL);
    case OP_copysign: return emit_copysign(e, a, b);
    case OP_ldexp: return emit_ldexp(e, a, b);
    case OP_sqrt: return emit_sqrt(e, a);
    case OP_isnan: return emit_isnan(e, a);
    case OP_isinf: return emit_fcmp(e, LLVMRealOEQ, emit_abs(e, a), emit_real(t, INFINITY));
    case OP_isfinite: return emit_fcmp(e, LLVMRealOLT, emit_abs(e, a), emit_real(t, INFINITY));
    default: return a;
    }
}
