/* emit_reduce.c: accumulators: what they hold, how an element enters, how two become one. */
#include "codegen/cpu/emit.h"

#include <math.h>

#define NOTHING_YET INT64_MAX /* position of an arg* accumulator that has seen no candidate */

static bool is_arg(enum reduce_op op) {
    return op >= REDUCE_ARGMIN && op <= REDUCE_NANARGMAX;
}

bool emit_reduce_is_simple(const struct kernel_reduction *reduction) {
    return !is_arg(reduction->op);
}

static bool skips_nan(enum reduce_op op) {
    return op == REDUCE_NANARGMIN || op == REDUCE_NANARGMAX;
}

static bool wants_max(enum reduce_op op) {
    return op == REDUCE_MAX || op == REDUCE_FMAX || op == REDUCE_ARGMAX || op == REDUCE_NANARGMAX;
}

/* The lanes of a float maximum hold its negative: a minimum takes one instruction less than a maximum. */
static bool is_negated(const struct kernel_reduction *reduction, enum dtype operand) {
    return reduction->op == REDUCE_MAX && dtype_is_float(operand);
}

enum dtype emit_reduce_operand(const struct ir_kernel *kernel, int r) {
    return kernel->body.results[kernel->reductions[r].first_arg]->type;
}

int emit_reduce_parts(const struct kernel_reduction *reduction, enum dtype operand, enum reduce_stage stage,
                      enum dtype types[REDUCE_PARTS]) {
    types[0] = operand;
    if (reduction->op == REDUCE_VAR && stage != STAGE_SECOND) {
        if (stage == STAGE_STATE) {
            types[0] = types[1] = types[2] = TY_F64;
            return 3;
        }
        types[1] = TY_I32;
        return 2;
    }
    types[1] = TY_I64;
    return is_arg(reduction->op) ? 2 : 1;
}

/* The end of the type's range from which everything is better. */
static LLVMValueRef emit_range_end(LLVMTypeRef type, enum dtype operand, bool high) {
    if (dtype_is_float(operand)) return emit_real(type, high ? INFINITY : -INFINITY);
    if (operand == TY_BOOL) return emit_int(type, high);
    int width = 8 * dtype_size(operand);
    if (dtype_is_unsigned(operand)) return emit_int(type, high ? -1 : 0);
    uint64_t least = (uint64_t)1 << (width - 1);
    return emit_int(type, (int64_t)(high ? least - 1 : least));
}

void emit_reduce_identity(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                          enum reduce_stage stage, int n, LLVMValueRef *out) {
    enum dtype types[REDUCE_PARTS];
    int parts = emit_reduce_parts(reduction, operand, stage, types);
    for (int p = 0; p < parts; p++) out[p] = LLVMConstNull(emit_vector_of(emit_element(e, types[p]), n));
    LLVMTypeRef type = LLVMTypeOf(out[0]);
    bool is_float = dtype_is_float(operand);
    switch (reduction->op) {
    case REDUCE_VAR:
        if (stage == STAGE_STATE) return;
        out[0] = emit_real(type, -0.0);
        return;
    case REDUCE_SUM:
        if (is_float) out[0] = emit_real(type, -0.0);
        return;
    case REDUCE_PROD: out[0] = is_float ? emit_real(type, 1) : emit_int(type, 1); return;
    case REDUCE_ALL: out[0] = emit_int(type, 1); return;
    case REDUCE_ANY: return;
    case REDUCE_FMIN:
    case REDUCE_FMAX:
        if (is_float) {
            out[0] = emit_real(type, NAN);
            return;
        }
        break;
    default: break;
    }
    bool negated = stage == STAGE_LANES && is_negated(reduction, operand);
    out[0] = emit_range_end(type, operand, negated || !wants_max(reduction->op));
    if (is_arg(reduction->op)) out[1] = emit_int(LLVMTypeOf(out[1]), NOTHING_YET);
}

static LLVMValueRef emit_icmp_order(struct emit *e, enum dtype operand, bool greater, LLVMValueRef a, LLVMValueRef b) {
    LLVMIntPredicate predicate =
        dtype_is_signed(operand) ? (greater ? LLVMIntSGT : LLVMIntSLT) : (greater ? LLVMIntUGT : LLVMIntULT);
    return LLVMBuildICmp(e->builder, predicate, a, b, "");
}

/* x takes a's place whatever their positions. NaN beats numbers, unless NaNs are skipped. */
static LLVMValueRef emit_beats(struct emit *e, enum reduce_op op, enum dtype operand, LLVMValueRef x, LLVMValueRef a) {
    bool max = wants_max(op);
    if (!dtype_is_float(operand)) return emit_icmp_order(e, operand, max, x, a);
    if (skips_nan(op)) return LLVMBuildFCmp(e->builder, max ? LLVMRealOGT : LLVMRealOLT, x, a, "");
    LLVMValueRef better = LLVMBuildFCmp(e->builder, max ? LLVMRealUGT : LLVMRealULT, x, a, "");
    return LLVMBuildAnd(e->builder, better, LLVMBuildFCmp(e->builder, LLVMRealORD, a, a, ""), "");
}

/* a op b for the reductions of one part. */
static LLVMValueRef emit_join(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                              bool negated, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef args[] = {a, b};
    switch (reduction->op) {
    case REDUCE_PROD: return emit_mul(e, a, b);
    case REDUCE_ANY: return LLVMBuildOr(e->builder, a, b, "");
    case REDUCE_ALL: return LLVMBuildAnd(e->builder, a, b, "");
    case REDUCE_MIN:
        return dtype_is_float(operand) ? emit_float_min(e, a, b) : emit_integer_operation(e, OP_min, operand, args);
    case REDUCE_MAX:
        if (!dtype_is_float(operand)) return emit_integer_operation(e, OP_max, operand, args);
        return negated ? emit_float_min(e, a, b) : emit_float_max(e, a, b);
    case REDUCE_FMIN:
    case REDUCE_FMAX: {
        bool max = reduction->op == REDUCE_FMAX;
        if (!dtype_is_float(operand)) return emit_integer_operation(e, max ? OP_max : OP_min, operand, args);
        return emit_float_fmin(e, max, a, b);
    }
    default: return emit_add(e, a, b);
    }
}

void emit_reduce_step(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand, LLVMValueRef *state,
                      LLVMValueRef x, LLVMValueRef flag, LLVMValueRef place, LLVMValueRef mask) {
    LLVMValueRef identity[REDUCE_PARTS];
    int n = emit_lanes_of(LLVMTypeOf(x));
    emit_reduce_identity(e, reduction, operand, STAGE_LANES, n, identity);
    if (is_arg(reduction->op)) {
        LLVMValueRef take = emit_beats(e, reduction->op, operand, x, state[0]);
        if (skips_nan(reduction->op)) {
            LLVMValueRef none = LLVMBuildICmp(e->builder, LLVMIntEQ, state[1], identity[1], "");
            if (dtype_is_float(operand))
                none = LLVMBuildAnd(e->builder, none, LLVMBuildFCmp(e->builder, LLVMRealORD, x, x, ""), "");
            take = LLVMBuildOr(e->builder, take, none, "");
        }
        if (mask) take = LLVMBuildAnd(e->builder, take, mask, "");
        state[0] = emit_select(e, take, x, state[0]);
        state[1] = emit_select(e, take, emit_splat_to(e, place, n), state[1]);
        return;
    }
    if (reduction->op == REDUCE_VAR) {
        LLVMValueRef counts = mask && flag ? LLVMBuildAnd(e->builder, flag, mask, "") : flag ? flag : mask;
        state[0] = emit_add(e, state[0], counts ? emit_select(e, counts, x, identity[0]) : x);
        if (flag) state[1] = emit_add(e, state[1], LLVMBuildZExt(e->builder, counts, LLVMTypeOf(state[1]), ""));
        return;
    }
    bool negated = is_negated(reduction, operand);
    if (negated) x = LLVMBuildFNeg(e->builder, x, "");
    if (mask) x = emit_select(e, mask, x, identity[0]);
    state[0] = emit_join(e, reduction, operand, negated, state[0], x);
}

/* Chan's formula, without fma. An empty side leaves the other as it is. */
static void emit_combine_moments(struct emit *e, LLVMValueRef *a, LLVMValueRef *const b) {
    LLVMBuilderRef builder = e->builder;
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a[0]));
    LLVMValueRef d = LLVMBuildFSub(builder, b[1], a[1], ""), n = LLVMBuildFAdd(builder, a[0], b[0], "");
    LLVMValueRef share = LLVMBuildFDiv(builder, b[0], n, "");
    LLVMValueRef mean = LLVMBuildFAdd(builder, a[1], LLVMBuildFMul(builder, d, share, ""), "");
    LLVMValueRef weight = LLVMBuildFDiv(builder, LLVMBuildFMul(builder, a[0], b[0], ""), n, "");
    LLVMValueRef between = LLVMBuildFMul(builder, LLVMBuildFMul(builder, d, d, ""), weight, "");
    LLVMValueRef m2 = LLVMBuildFAdd(builder, LLVMBuildFAdd(builder, a[2], b[2], ""), between, "");
    LLVMValueRef a_empty = LLVMBuildFCmp(builder, LLVMRealOEQ, a[0], zero, "");
    LLVMValueRef b_empty = LLVMBuildFCmp(builder, LLVMRealOEQ, b[0], zero, "");
    a[1] = emit_select(e, b_empty, a[1], emit_select(e, a_empty, b[1], mean));
    a[2] = emit_select(e, b_empty, a[2], emit_select(e, a_empty, b[2], m2));
    a[0] = n;
}

void emit_reduce_combine(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                         enum reduce_stage stage, LLVMValueRef *a, LLVMValueRef *const b) {
    if (is_arg(reduction->op)) {
        LLVMValueRef take = emit_beats(e, reduction->op, operand, b[0], a[0]), tie;
        if (dtype_is_float(operand)) {
            tie = LLVMBuildFCmp(e->builder, LLVMRealOEQ, b[0], a[0], "");
            if (!skips_nan(reduction->op)) {
                LLVMValueRef both = LLVMBuildAnd(e->builder, emit_isnan(e, a[0]), emit_isnan(e, b[0]), "");
                tie = LLVMBuildOr(e->builder, tie, both, "");
            }
        } else {
            tie = LLVMBuildICmp(e->builder, LLVMIntEQ, b[0], a[0], "");
        }
        LLVMValueRef sooner = LLVMBuildICmp(e->builder, LLVMIntSLT, b[1], a[1], "");
        take = LLVMBuildOr(e->builder, take, LLVMBuildAnd(e->builder, tie, sooner, ""), "");
        a[0] = emit_select(e, take, b[0], a[0]);
        a[1] = emit_select(e, take, b[1], a[1]);
        return;
    }
    if (reduction->op == REDUCE_VAR && stage == STAGE_STATE) {
        emit_combine_moments(e, a, b);
        return;
    }
    a[0] = emit_join(e, reduction, operand, false, a[0], b[0]);
    if (reduction->op == REDUCE_VAR && stage == STAGE_LANES) a[1] = emit_add(e, a[1], b[1]);
}

bool emit_reduce_closes(const struct kernel_reduction *reduction, enum dtype operand) {
    return reduction->op == REDUCE_VAR || is_arg(reduction->op) || is_negated(reduction, operand);
}

void emit_reduce_close(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                       LLVMValueRef *state, LLVMValueRef first, LLVMValueRef lane) {
    if (is_negated(reduction, operand)) state[0] = LLVMBuildFNeg(e->builder, state[0], "");
    if (!is_arg(reduction->op)) return;
    int n = emit_lanes_of(LLVMTypeOf(state[1]));
    LLVMTypeRef type = LLVMTypeOf(state[1]);
    LLVMValueRef none = LLVMBuildICmp(e->builder, LLVMIntEQ, state[1], emit_int(type, NOTHING_YET), "");
    LLVMValueRef place = state[1];
    if (lane) {
        place = LLVMBuildAdd(e->builder, place, emit_iota(e, e->i64, n), "");
        place = LLVMBuildAdd(e->builder, place, emit_splat_to(e, lane, n), "");
    }
    LLVMValueRef otherwise = skips_nan(reduction->op) ? emit_int(type, NOTHING_YET) : emit_splat_to(e, first, n);
    state[1] = emit_select(e, none, otherwise, place);
}

LLVMValueRef emit_reduce_mean(struct emit *e, enum dtype operand, LLVMValueRef *state) {
    LLVMValueRef count = emit_convert(e, TY_I32, operand, state[1]);
    return LLVMBuildFDiv(e->builder, state[0], count, "");
}

LLVMValueRef emit_reduce_deviation(struct emit *e, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef mean,
                                   LLVMValueRef counts) {
    LLVMValueRef d = LLVMBuildFSub(e->builder, x, mean, "");
    LLVMValueRef square = LLVMBuildFMul(e->builder, d, d, "");
    if (counts) square = emit_select(e, counts, square, emit_real(LLVMTypeOf(x), -0.0));
    return LLVMBuildFAdd(e->builder, sum, square, "");
}

void emit_reduce_moments(struct emit *e, enum dtype operand, LLVMValueRef count, LLVMValueRef mean, LLVMValueRef m2,
                         LLVMValueRef *state) {
    LLVMTypeRef type = emit_like(count, e->f64);
    LLVMValueRef none = LLVMBuildICmp(e->builder, LLVMIntEQ, count, LLVMConstNull(LLVMTypeOf(count)), "");
    state[0] = emit_convert(e, TY_I32, TY_F64, count);
    state[1] = emit_select(e, none, LLVMConstNull(type), emit_convert(e, operand, TY_F64, mean));
    state[2] = emit_select(e, none, LLVMConstNull(type), emit_convert(e, operand, TY_F64, m2));
}

LLVMValueRef emit_reduce_value(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                               LLVMValueRef *state, LLVMValueRef empty) {
    if (reduction->op == REDUCE_VAR) return state[2];
    if (is_arg(reduction->op)) {
        LLVMTypeRef type = LLVMTypeOf(state[1]);
        LLVMValueRef none = LLVMBuildICmp(e->builder, LLVMIntEQ, state[1], emit_int(type, NOTHING_YET), "");
        return emit_select(e, none, emit_int(type, -1), state[1]);
    }
    if (reduction->op == REDUCE_SUM && dtype_is_float(operand))
        return emit_select(e, empty, LLVMConstNull(LLVMTypeOf(state[0])), state[0]);
    return state[0];
}
