/* emit_ops.c: operations that floats, integers and bools share, and conversions. */
#include "codegen/cpu/emit.h"

static bool is_float_value(LLVMValueRef x) {
    LLVMTypeKind kind = LLVMGetTypeKind(emit_scalar_of(LLVMTypeOf(x)));
    return kind == LLVMFloatTypeKind || kind == LLVMDoubleTypeKind;
}

static LLVMValueRef emit_fast(struct emit *e, LLVMValueRef x) {
    if (e->engine->options.fast && LLVMIsAInstruction(x) && LLVMCanValueUseFastMathFlags(x))
        LLVMSetFastMathFlags(x, LLVMFastMathAllowReassoc | LLVMFastMathAllowContract);
    return x;
}

LLVMValueRef emit_add(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return is_float_value(a) ? emit_fast(e, LLVMBuildFAdd(e->builder, a, b, "")) : LLVMBuildAdd(e->builder, a, b, "");
}

LLVMValueRef emit_mul(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return is_float_value(a) ? emit_fast(e, LLVMBuildFMul(e->builder, a, b, "")) : LLVMBuildMul(e->builder, a, b, "");
}

static LLVMValueRef emit_compare(struct emit *e, enum op op, enum dtype type, LLVMValueRef a, LLVMValueRef b) {
    static const LLVMRealPredicate real[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT,
                                             LLVMRealOLE, LLVMRealOGT, LLVMRealOGE};
    static const LLVMIntPredicate with_sign[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE};
    static const LLVMIntPredicate no_sign[] = {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE};
    int which = op == OP_eq ? 0 : op == OP_ne ? 1 : op == OP_lt ? 2 : op == OP_le ? 3 : op == OP_gt ? 4 : 5;
    if (dtype_is_float(type)) return LLVMBuildFCmp(e->builder, real[which], a, b, "");
    return LLVMBuildICmp(e->builder, dtype_is_signed(type) ? with_sign[which] : no_sign[which], a, b, "");
}

/* --- conversions -------------------------------------------------------------------------------------------------- */

/* Truncation of x that is known to lie strictly between -2^63 and 2^63 (2^64 if unsigned). Where there is no vector
 * instruction LLVM does it lane by lane. */
static LLVMValueRef emit_to_int(struct emit *e, LLVMValueRef x, LLVMTypeRef type, bool is_signed) {
    return is_signed ? LLVMBuildFPToSI(e->builder, x, type, "") : LLVMBuildFPToUI(e->builder, x, type, "");
}

static LLVMValueRef emit_float_to_int(struct emit *e, enum dtype from, enum dtype to, LLVMValueRef x) {
    bool is_signed = dtype_is_signed(to);
    int width = 8 * dtype_size(to);
    LLVMTypeRef type = emit_like(x, emit_element(e, to)), float_type = LLVMTypeOf(x);
    /* Bounds that both types hold: at or beyond them the result is the nearest end, at and within them conversion is
     * exact. */
    double below = is_signed ? -__builtin_ldexp(1, width - 1) : 0,
           above = __builtin_ldexp(1, is_signed ? width - 1 : width);
    uint64_t least = is_signed ? (uint64_t)1 << (width - 1) : 0;
    uint64_t most = is_signed ? least - 1 : width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    (void)from;
    LLVMValueRef inside =
        LLVMBuildAnd(e->builder, LLVMBuildFCmp(e->builder, LLVMRealOGT, x, emit_real(float_type, below), ""),
                     LLVMBuildFCmp(e->builder, LLVMRealOLT, x, emit_real(float_type, above), ""), "");
    LLVMValueRef safe = emit_select(e, inside, x, LLVMConstNull(float_type));
    LLVMValueRef number;
    if (width < 32) { /* through i32, which has an instruction */
        LLVMTypeRef wide = emit_like(x, e->i32);
        number = LLVMBuildTrunc(e->builder, emit_to_int(e, safe, wide, true), type, "");
    } else {
        number = emit_to_int(e, safe, type, is_signed);
    }
    LLVMValueRef high = LLVMBuildFCmp(e->builder, LLVMRealOGE, x, emit_real(float_type, above), "");
    number = emit_select(e, high, emit_int(type, (int64_t)most), number);
    if (!is_signed) return number;
    LLVMValueRef low = LLVMBuildFCmp(e->builder, LLVMRealOLE, x, emit_real(float_type, below), "");
    return emit_select(e, low, emit_int(type, (int64_t)least), number);
}

LLVMValueRef emit_convert(struct emit *e, enum dtype from, enum dtype to, LLVMValueRef x) {
    if (from == to) return x;
    LLVMTypeRef type = emit_like(x, emit_element(e, to));
    if (to == TY_BOOL) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
        return dtype_is_float(from) ? LLVMBuildFCmp(e->builder, LLVMRealUNE, x, zero, "")
                                    : LLVMBuildICmp(e->builder, LLVMIntNE, x, zero, "");
    }
    if (dtype_is_float(from)) {
        if (!dtype_is_float(to)) return emit_float_to_int(e, from, to, x);
        return to == TY_F64 ? LLVMBuildFPExt(e->builder, x, type, "") : LLVMBuildFPTrunc(e->builder, x, type, "");
    }
    if (dtype_is_float(to))
        return dtype_is_signed(from) ? LLVMBuildSIToFP(e->builder, x, type, "")
                                     : LLVMBuildUIToFP(e->builder, x, type, "");
    int have = from == TY_BOOL ? 0 : dtype_size(from), want = dtype_size(to);
    if (have == want) return x;
    if (have > want) return LLVMBuildTrunc(e->builder, x, type, "");
    return dtype_is_signed(from) ? LLVMBuildSExt(e->builder, x, type, "") : LLVMBuildZExt(e->builder, x, type, "");
}

/* --- all operations ----------------------------------------------------------------------------------------------- */

LLVMValueRef emit_operation(struct emit *e, const struct ir_value *value, LLVMValueRef *args) {
    enum dtype type = value->n_args ? value->args[0]->type : value->type;
    switch (value->op) {
    case OP_convert: return emit_convert(e, type, value->type, args[0]);
    case OP_select: return emit_select(e, args[0], args[1], args[2]);
    case OP_eq:
    case OP_ne:
    case OP_lt:
    case OP_le:
    case OP_gt:
    case OP_ge: return emit_compare(e, value->op, type, args[0], args[1]);
    case OP_add: return emit_add(e, args[0], args[1]);
    case OP_mul: return emit_mul(e, args[0], args[1]);
    case OP_sub:
        return dtype_is_float(type) ? emit_fast(e, LLVMBuildFSub(e->builder, args[0], args[1], ""))
                                    : LLVMBuildSub(e->builder, args[0], args[1], "");
    default: break;
    }
    if (!dtype_is_float(type)) return emit_integer_operation(e, value->op, type, args);
    if (op_info[value->op].lower == LOWER_CALL && value->op != OP_fmod)
        return emit_math(e, value->op, type, args, value->n_args);
    return emit_fast(e, emit_float_operation(e, value->op, type, args));
}
