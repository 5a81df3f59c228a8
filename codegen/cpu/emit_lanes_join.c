/* emit_lanes_join.c: what comes after the lanes of a block: they are joined, and a variance passes over the block a
 * second time, now that it knows the mean. */
#include "codegen/cpu/emit_lanes.h"

#include <string.h>

enum { LANES_UNROLLED = 8 }; /* native vectors of a simple state that are joined without loops */

static void lanes_parts_load(struct emit *e, struct lanes_reduction *r, int parts, const enum dtype *types,
                             LLVMValueRef at, int n, LLVMValueRef *out) {
    for (int p = 0; p < parts; p++) out[p] = lanes_load(e, types[p], r->slots[p], at, n);
}

static void lanes_parts_store(struct emit *e, struct lanes_reduction *r, int parts, const enum dtype *types,
                              LLVMValueRef at, LLVMValueRef *values) {
    for (int p = 0; p < parts; p++) lanes_store(e, types[p], values[p], r->slots[p], at);
}

static void lanes_run_load(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, enum reduce_stage stage,
                           LLVMValueRef first, LLVMValueRef at, int run, int n, LLVMValueRef *out) {
    enum dtype types[REDUCE_PARTS];
    const int parts = emit_reduce_parts(r->reduction, r->operand, stage, types);
    LLVMValueRef slot = LLVMBuildAdd(e->builder, at, emit_i64(e, (int64_t)run * work->lanes), "");
    lanes_parts_load(e, r, parts, types, slot, n, out);
    if (stage == STAGE_LANES) emit_reduce_close(e, r->reduction, r->operand, out, first, at);
}

/* ((r0+r1)+(r2+r3)) of the lanes `at` and following; r0 if it is alone. */
static void lanes_join_runs(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, enum reduce_stage stage,
                            LLVMValueRef first, LLVMValueRef at, int n, LLVMValueRef *out) {
    LLVMValueRef runs[LANES_RUNS][REDUCE_PARTS];
    enum dtype types[REDUCE_PARTS];
    const int parts = emit_reduce_parts(r->reduction, r->operand, stage, types);
    lanes_run_load(e, work, r, stage, first, at, 0, n, runs[0]);
    memcpy(out, runs[0], (size_t)parts * sizeof *out);
    LLVMBasicBlockRef before = emit_here(e), several = emit_block(e, "several"), after = emit_block(e, "joined");
    emit_branch(e, work->alone, after, several);
    emit_at(e, several);
    for (int run = 1; run < LANES_RUNS; run++) lanes_run_load(e, work, r, stage, first, at, run, n, runs[run]);
    emit_reduce_combine(e, r->reduction, r->operand, stage, runs[0], runs[1]);
    emit_reduce_combine(e, r->reduction, r->operand, stage, runs[2], runs[3]);
    emit_reduce_combine(e, r->reduction, r->operand, stage, runs[0], runs[2]);
    LLVMBasicBlockRef back = emit_here(e);
    emit_go(e, after);
    emit_at(e, after);
    for (int p = 0; p < parts; p++) {
        LLVMValueRef alone = out[p];
        out[p] = emit_phi(e, LLVMTypeOf(alone));
        emit_phi_add(out[p], alone, before);
        emit_phi_add(out[p], runs[0][p], back);
    }
}

/* The same for all lanes, and halves of them down to n, in loops: for states so large that unrolled code takes long to
 * compile. */
static void lanes_join_loops(struct emit *e, struct lanes_work *work, struct lanes_reduction *r,
                             enum reduce_stage stage, LLVMValueRef first, int n, LLVMValueRef *out) {
    LLVMValueRef low[REDUCE_PARTS], high[REDUCE_PARTS], zero = emit_i64(e, 0);
    enum dtype types[REDUCE_PARTS];
    const int parts = emit_reduce_parts(r->reduction, r->operand, stage, types), lanes = work->lanes;
    struct emit_loop each = emit_loop_begin(e, zero, emit_i64(e, lanes));
    lanes_join_runs(e, work, r, stage, first, each.i, n, low);
    lanes_parts_store(e, r, parts, types, each.i, low);
    emit_loop_end(e, &each, n);

    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "half"), body = emit_block(e, "halve"),
                      after = emit_block(e, "halved");
    emit_go(e, head);
    emit_at(e, head);
    LLVMValueRef half = emit_phi(e, e->i64);
    emit_phi_add(half, emit_i64(e, lanes / 2), before);
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSGE, half, emit_i64(e, n), ""), body, after);
    emit_at(e, body);
    each = emit_loop_begin(e, zero, half);
    lanes_parts_load(e, r, parts, types, each.i, n, low);
    lanes_parts_load(e, r, parts, types, LLVMBuildAdd(e->builder, each.i, half, ""), n, high);
    emit_reduce_combine(e, r->reduction, r->operand, stage, low, high);
    lanes_parts_store(e, r, parts, types, each.i, low);
    emit_loop_end(e, &each, n);
    emit_phi_add(half, LLVMBuildLShr(e->builder, half, emit_i64(e, 1), ""), emit_here(e));
    emit_go(e, head);
    emit_at(e, after);
    lanes_parts_load(e, r, parts, types, zero, n, out);
}

/* The four runs' lanes, joined down to one value: ((r0+r1)+(r2+r3)), then halves. */
void lanes_join(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, enum reduce_stage stage,
                LLVMValueRef first, LLVMValueRef *out) {
    enum dtype types[REDUCE_PARTS];
    const int parts = emit_reduce_parts(r->reduction, r->operand, stage, types), bytes = dtype_size(types[0]);
    int n = e->engine->isa == ISA_SCALAR ? 1 : e->engine->vector_bytes / bytes;
    if (n > work->lanes) n = work->lanes;
    if (emit_reduce_is_simple(r->reduction) && work->lanes * bytes <= LANES_UNROLLED * e->engine->vector_bytes) {
        n = work->lanes;
        lanes_join_runs(e, work, r, stage, first, emit_i64(e, 0), n, out);
    } else {
        lanes_join_loops(e, work, r, stage, first, n, out);
    }
    for (n /= 2; n > 0; n /= 2) {
        LLVMValueRef high[REDUCE_PARTS];
        for (int p = 0; p < parts; p++) {
            high[p] = emit_slice(e, out[p], n, n);
            out[p] = emit_slice(e, out[p], 0, n);
        }
        emit_reduce_combine(e, r->reduction, r->operand, stage, out, high);
    }
}

/* --- variance ----------------------------------------------------------------------------------------------------- */

/* What a variance can do without: flags that are all true, a sum that is there already, a copy of what can be read. */
void lanes_simplify(struct emit *e, struct lanes_work *work, struct lanes_reduction *r) {
    struct ir_value *const *operands = &e->kernel->body.results[r->reduction->first_arg];
    const struct ir_value *x = operands[0], *counts = operands[1];
    r->all = counts->op == OP_const && counts->imm.i;
    r->sum = r->again = -1;
    for (int i = 0; i < work->n && r->all; i++) {
        const struct kernel_reduction *other = &e->kernel->reductions[i];
        if (other->op == REDUCE_SUM && e->kernel->body.results[other->first_arg] == x) r->sum = i;
    }
    if (x->op == OP_read && !work->across && work->facts->of[x->id].varying &&
        e->variant->access[x->imm.i] == ACCESS_UNIT)
        r->again = (int)x->imm.i;
    r->n_parts = r->sum >= 0 ? 0 : r->all ? 1 : 2;
}

/* VAR: `n` elements of the block at `at`, whose mean is known, into `sum`. `count`: NULL, or how many there are. */
static LLVMValueRef lanes_deviate(struct emit *e, struct lanes_reduction *r, LLVMValueRef start, LLVMValueRef at, int n,
                                  LLVMValueRef count, LLVMValueRef mean, LLVMValueRef sum) {
    LLVMValueRef counts = count ? emit_count_mask(e, count, n) : NULL, x;
    if (r->again >= 0) {
        LLVMValueRef p = LLVMBuildAdd(e->builder, start, at, "");
        x = emit_load_elements(e, r->operand, lanes_at(e, r->operand, e->operands[r->again].row, p), n, count,
                               (unsigned)dtype_size(r->operand));
    } else {
        x = lanes_load(e, r->operand, r->x, at, n);
    }
    if (r->flags) {
        LLVMValueRef flags = lanes_load(e, TY_BOOL, r->flags, at, n);
        counts = counts ? LLVMBuildAnd(e->builder, flags, counts, "") : flags;
    }
    return emit_reduce_deviation(e, sum, x, emit_splat_to(e, mean, n), counts);
}

/* VAR: squared deviations of the block's elements. Meanwhile the next block is on its way. */
LLVMValueRef lanes_second_pass(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, LLVMValueRef start,
                               LLVMValueRef mean, LLVMValueRef length, bool ahead) {
    const int n = work->lanes, few = work->tail_width;
    LLVMValueRef begin, end, m2, zero[REDUCE_PARTS];
    emit_reduce_identity(e, r->reduction, r->operand, STAGE_SECOND, n, zero);
    struct emit_loop run = lanes_runs_begin(e, work, length, &begin, &end);
    LLVMValueRef whole = lanes_whole(e, begin, end, n);
    LLVMBasicBlockRef before = emit_here(e), body = emit_block(e, "deviate"), after = emit_block(e, "deviated");
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSLT, begin, whole, ""), body, after);
    emit_at(e, body);
    LLVMValueRef at = emit_phi(e, e->i64), sum = emit_phi(e, LLVMTypeOf(zero[0]));
    emit_phi_add(at, begin, before);
    emit_phi_add(sum, zero[0], before);
    if (ahead) {
        const int width = e->width;
        e->width = n;
        lanes_prefetch(e, work, LLVMBuildAdd(e->builder, start, at, ""), 1, 0);
        e->width = width;
    }
    LLVMValueRef next = lanes_deviate(e, r, start, at, n, NULL, mean, sum);
    LLVMValueRef following = emit_next(e, at, emit_i64(e, n));
    emit_phi_add(at, following, emit_here(e));
    emit_phi_add(sum, next, emit_here(e));
    LLVMBasicBlockRef back = emit_here(e);
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSLT, following, whole, ""), body, after);
    emit_at(e, after);
    LLVMValueRef total = emit_phi(e, LLVMTypeOf(zero[0]));
    emit_phi_add(total, zero[0], before);
    emit_phi_add(total, next, back);
    lanes_store(e, r->operand, total, r->slots[0], LLVMBuildMul(e->builder, run.i, emit_i64(e, n), ""));

    struct emit_loop rest = emit_loop_begin(e, whole, end);
    LLVMValueRef slot = lanes_slot(e, work, run.i, rest.i);
    LLVMValueRef count = lanes_minimum(e, LLVMBuildSub(e->builder, end, rest.i, ""), emit_i64(e, few));
    sum = lanes_load(e, r->operand, r->slots[0], slot, few);
    lanes_store(e, r->operand, lanes_deviate(e, r, start, rest.i, few, count, mean, sum), r->slots[0], slot);
    emit_loop_end(e, &rest, few);
    emit_loop_end(e, &run, 1);
    lanes_join(e, work, r, STAGE_SECOND, NULL, &m2);
    return m2;
}
