/* emit_lanes.c: reductions along the operand's last dimension. The order is the language's (design, ir/kernel.h):
 * whatever the width of the code, element i of a block belongs to lane i mod `lanes`, and only the shape of the tree
 * above is fixed.
 *
 * Missing elements count as the identity, and an accumulator joined with an identity is itself, so whole vectors that
 * are missing are simply left out.
 */
#include "codegen/cpu/emit.h"

#include <string.h>

enum { LANES_RUN = 16, LANES_RUNS = 4, LANES_SMALL = 24, LANES_TWICE = 64 };
enum { LANES_UNROLLED = 8 }; /* native vectors of a simple state that are joined without loops */

/* How far ahead of its reads a pass over memory asks for lines, in bytes; measured: more is worse. Two passes over a
 * block need the whole next one by then, and a little more to begin it with. */
enum { LANES_AHEAD = 1536, LANES_AHEAD_TWICE = 2048, LANES_LINE = 64 };

struct lanes_reduction {
    const struct kernel_reduction *reduction;
    enum dtype operand;
    int n_parts;
    enum dtype types[REDUCE_PARTS];
    LLVMValueRef slots[REDUCE_PARTS]; /* memory: the lanes of each run */
    /* VAR */
    bool all;              /* every element counts */
    int sum;               /* a reduction that has the sum already; -1: none */
    int again;             /* the operand that the second pass reads again; -1: from memory of our own: */
    LLVMValueRef x, flags; /* the block's elements and whether they count; NULL if `all` */
};

struct lanes_work {
    struct emit_facts *facts;
    struct emit_value *values, *tail_values; /* of vectors of `width` and `tail_width` lanes */
    int width, tail_width;
    struct lanes_reduction *reductions;
    int n;
    int lanes;
    LLVMValueRef n_elements, row_position;
    LLVMValueRef digits[KERNEL_MAX_LOOPS]; /* memory: each lane's indices, where lanes may lie in different rows */
    bool across;
    bool ahead; /* so little is computed that memory sets the pace: ask it early */
    int passes; /* over each block: 2 for variances */
};

static bool lanes_is_var(const struct lanes_reduction *r) {
    return r->reduction->op == REDUCE_VAR;
}

static LLVMValueRef lanes_at(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element) {
    return LLVMBuildGEP2(e->builder, emit_memory_element(e, type), base, &element, 1, "");
}

static LLVMValueRef lanes_load(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element, int n) {
    return emit_load_elements(e, type, lanes_at(e, type, base, element), n, NULL, (unsigned)dtype_size(type));
}

static void lanes_store(struct emit *e, enum dtype type, LLVMValueRef value, LLVMValueRef base, LLVMValueRef element) {
    emit_store_elements(e, type, value, lanes_at(e, type, base, element), NULL, (unsigned)dtype_size(type), false);
}

/* What a variance can do without: flags that are all true, a sum that is there already, a copy of what can be read. */
static void lanes_simplify(struct emit *e, struct lanes_work *work, struct lanes_reduction *r) {
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

static void lanes_prepare(struct emit *e, struct lanes_work *work) {
    const struct ir_kernel *kernel = e->kernel;
    const int64_t block = LANES_RUN * LANES_RUNS * (int64_t)work->lanes;
    work->n = kernel->n_reductions;
    work->reductions = ARENA_ARRAY(e->arena, struct lanes_reduction, work->n);
    for (int i = 0; i < work->n; i++) {
        struct lanes_reduction *r = &work->reductions[i];
        r->reduction = &kernel->reductions[i];
        r->operand = emit_reduce_operand(kernel, i);
        r->n_parts = emit_reduce_parts(r->reduction, r->operand, STAGE_LANES, r->types);
        if (lanes_is_var(r)) {
            lanes_simplify(e, work, r);
            work->passes = 2;
        }
        for (int p = 0; p < r->n_parts || (p == 0 && lanes_is_var(r)); p++)
            r->slots[p] = emit_alloca(e, emit_memory_element(e, r->types[p]), (int64_t)LANES_RUNS * work->lanes, 64);
        if (!lanes_is_var(r)) continue;
        if (r->again < 0) r->x = emit_alloca(e, emit_element(e, r->operand), block, 64);
        if (!r->all) r->flags = emit_alloca(e, e->i8, block, 64);
    }
}

/* --- indices of lanes in several rows
 * -------------------------------------------------------------------------------------- */

static void lanes_digits_begin(struct emit *e, struct lanes_work *work, LLVMValueRef position) {
    const struct ir_kernel *kernel = e->kernel;
    LLVMValueRef index[KERNEL_MAX_LOOPS], at = emit_splat_to(e, position, e->width);
    at = LLVMBuildAdd(e->builder, at, emit_iota(e, e->i64, e->width), "");
    emit_decode(e, at, kernel->n_par, kernel->n_red, index);
    for (int j = kernel->n_par; j < kernel->n_par + kernel->n_red; j++) {
        work->digits[j] = emit_alloca(e, emit_vector_of(e->i64, e->width), 1, 64);
        LLVMBuildStore(e->builder, index[j], work->digits[j]);
    }
}

/* A step of `width` elements written in the extents' mixed radix: added digit by digit, with carries. */
static void lanes_digits_advance(struct emit *e, struct lanes_work *work) {
    const struct ir_kernel *kernel = e->kernel;
    LLVMValueRef step[KERNEL_MAX_LOOPS], carry = NULL;
    LLVMBasicBlockRef here = emit_here(e);
    emit_at(e, e->hoist);
    emit_decode(e, emit_i64(e, e->width), kernel->n_par, kernel->n_red, step);
    emit_at(e, here);
    for (int j = kernel->n_par + kernel->n_red - 1; j >= kernel->n_par; j--) {
        LLVMValueRef digit = LLVMBuildAdd(e->builder, e->lane_index[j], emit_splat_to(e, step[j], e->width), "");
        if (carry) digit = LLVMBuildAdd(e->builder, digit, carry, "");
        if (j > kernel->n_par) {
            LLVMValueRef extent = emit_splat_to(e, emit_extent(e, j), e->width);
            LLVMValueRef over = LLVMBuildICmp(e->builder, LLVMIntSGE, digit, extent, "");
            digit = emit_select(e, over, LLVMBuildSub(e->builder, digit, extent, ""), digit);
            carry = LLVMBuildZExt(e->builder, over, LLVMTypeOf(digit), "");
        }
        LLVMBuildStore(e->builder, digit, work->digits[j]);
    }
}

/* --- one vector
 * ---------------------------------------------------------------------------------------------------------------- */

/* Where the vector at flattened reduced position p lies. */
static void lanes_place(struct emit *e, struct lanes_work *work, LLVMValueRef p, LLVMValueRef count) {
    const struct ir_kernel *kernel = e->kernel;
    const int last = kernel->n_par + kernel->n_red - 1;
    e->position = LLVMBuildAdd(e->builder, work->row_position, p, "");
    e->count = count;
    e->count_mask = NULL;
    e->mask = e->chunk_mask = count && e->width > 1 ? emit_count_mask(e, count, e->width) : NULL;
    if (e->engine->isa == ISA_AVX512) e->count_mask = e->mask, e->count_lanes = e->width;
    e->offset = p;
    if (!work->across) {
        for (int j = kernel->n_par; j < last; j++) e->index[j] = emit_i64(e, 0);
        e->index[last] = p;
        return;
    }
    for (int j = kernel->n_par; j <= last; j++)
        e->lane_index[j] = LLVMBuildLoad2(e->builder, emit_vector_of(e->i64, e->width), work->digits[j], "");
    LLVMValueRef end = LLVMBuildAdd(e->builder, emit_lane(e, e->lane_index[last], 0), emit_i64(e, e->width), "");
    e->in_row = LLVMBuildICmp(e->builder, LLVMIntSLE, end, emit_extent(e, last), "");
}

/* Asks for what is read by the vector that comes `blocks` and `bytes` after the one at position p. Beyond the end of an
 * array it does nothing. Lines come to the second-level cache: the first one is full of the block. */
static void lanes_prefetch(struct emit *e, struct lanes_work *work, LLVMValueRef p, int blocks, int64_t bytes) {
    for (int k = 0; k < e->kernel->n_operands && work->ahead; k++) {
        const struct kernel_operand *operand = &e->kernel->operands[k];
        if (operand->kind != OPERAND_READ || e->variant->access[k] != ACCESS_UNIT) continue;
        const int64_t vector = (int64_t)e->width * dtype_size(operand->type);
        const int64_t ahead = (int64_t)blocks * LANES_RUN * LANES_RUNS * work->lanes * dtype_size(operand->type);
        LLVMValueRef at = lanes_at(e, operand->type, e->operands[k].row, p);
        for (int64_t line = 0; line < vector; line += LANES_LINE) {
            LLVMValueRef place = emit_offset_bytes(e, at, emit_i64(e, ahead + bytes + line));
            LLVMValueRef args[] = {place, emit_int(e->i32, 0), emit_int(e->i32, 2), emit_int(e->i32, 1)};
            llvm_compat_intrinsic(e->builder, "llvm.prefetch", &e->ptr, 1, args, 4);
        }
    }
}

/* The body at block position `at` (p = start + at) into `states` (part p of reduction i at [i * REDUCE_PARTS + p]). */
static void lanes_vector(struct emit *e, struct lanes_work *work, LLVMValueRef start, LLVMValueRef at,
                         LLVMValueRef count, LLVMValueRef *states) {
    LLVMValueRef p = LLVMBuildAdd(e->builder, start, at, "");
    if (!count) lanes_prefetch(e, work, p, work->passes - 1, work->passes > 1 ? LANES_AHEAD_TWICE : LANES_AHEAD);
    /* arg*: positions are those of virtual vectors; a lane's own number among all `lanes` is added when lanes close. */
    LLVMValueRef place = LLVMBuildAnd(e->builder, at, emit_i64(e, -(int64_t)work->lanes), "");
    place = LLVMBuildAdd(e->builder, start, place, "");
    lanes_place(e, work, p, count);
    emit_region_begin(e, work->facts, e->width == work->width ? &work->values : &work->tail_values, true);
    emit_region(e, &e->kernel->body);
    for (int i = 0; i < work->n; i++) {
        struct lanes_reduction *r = &work->reductions[i];
        struct ir_value *const *operands = &e->kernel->body.results[r->reduction->first_arg];
        LLVMValueRef x = emit_use_lanes(e, operands[0]), flag = NULL;
        if (r->x) lanes_store(e, r->operand, x, r->x, at);
        if (r->flags) {
            flag = emit_use_lanes(e, operands[1]);
            if (e->mask) flag = LLVMBuildAnd(e->builder, flag, e->mask, "");
            lanes_store(e, TY_BOOL, flag, r->flags, at);
        }
        if (r->n_parts)
            emit_reduce_step(e, r->reduction, r->operand, &states[i * REDUCE_PARTS], x, flag, place, e->mask);
    }
    if (work->across) lanes_digits_advance(e, work);
    e->mask = e->chunk_mask = e->count = e->count_mask = NULL;
}

static void lanes_states_load(struct emit *e, struct lanes_work *work, LLVMValueRef element, LLVMValueRef *states) {
    for (int i = 0; i < work->n; i++)
        for (int p = 0; p < work->reductions[i].n_parts; p++)
            states[i * REDUCE_PARTS + p] =
                lanes_load(e, work->reductions[i].types[p], work->reductions[i].slots[p], element, e->width);
}

static void lanes_states_store(struct emit *e, struct lanes_work *work, LLVMValueRef element, LLVMValueRef *states) {
    for (int i = 0; i < work->n; i++)
        for (int p = 0; p < work->reductions[i].n_parts; p++)
            lanes_store(e, work->reductions[i].types[p], states[i * REDUCE_PARTS + p], work->reductions[i].slots[p],
                        element);
}

/* Where a vector's accumulators are in memory: run `run`, lane `at` mod lanes. */
static LLVMValueRef lanes_slot(struct emit *e, struct lanes_work *work, LLVMValueRef run, LLVMValueRef at) {
    LLVMValueRef lane = LLVMBuildAnd(e->builder, at, emit_i64(e, work->lanes - 1), "");
    return LLVMBuildAdd(e->builder, LLVMBuildMul(e->builder, run, emit_i64(e, work->lanes), ""), lane, "");
}

/* Whole vectors with the accumulators in registers: the code is as wide as the lanes. */
static void lanes_run_registers(struct emit *e, struct lanes_work *work, LLVMValueRef start, LLVMValueRef from,
                                LLVMValueRef to, LLVMValueRef *states) {
    LLVMBasicBlockRef before = emit_here(e), body = emit_block(e, "vector"), after = emit_block(e, "endvectors");
    LLVMValueRef next[EMIT_MAX_STATES], phi[EMIT_MAX_STATES];
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSLT, from, to, ""), body, after);
    emit_at(e, body);
    LLVMValueRef at = emit_phi(e, e->i64);
    emit_phi_add(at, from, before);
    for (int i = 0; i < work->n; i++)
        for (int p = i * REDUCE_PARTS; p < i * REDUCE_PARTS + work->reductions[i].n_parts; p++) {
            next[p] = phi[p] = emit_phi(e, LLVMTypeOf(states[p]));
            emit_phi_add(phi[p], states[p], before);
        }
    lanes_vector(e, work, start, at, NULL, next);
    LLVMValueRef following = emit_next(e, at, emit_i64(e, e->width));
    LLVMBasicBlockRef back = emit_here(e);
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSLT, following, to, ""), body, after);
    emit_phi_add(at, following, back);
    emit_at(e, after);
    for (int i = 0; i < work->n; i++)
        for (int p = i * REDUCE_PARTS; p < i * REDUCE_PARTS + work->reductions[i].n_parts; p++) {
            emit_phi_add(phi[p], next[p], back);
            LLVMValueRef result = emit_phi(e, LLVMTypeOf(states[p]));
            emit_phi_add(result, states[p], before);
            emit_phi_add(result, next[p], back);
            states[p] = result;
        }
}

/* Vectors from `from` to `to` with the accumulators in memory; `masked`: the last may be partial. */
static void lanes_run_memory(struct emit *e, struct lanes_work *work, LLVMValueRef run, LLVMValueRef start,
                             LLVMValueRef from, LLVMValueRef to, bool masked) {
    LLVMValueRef states[EMIT_MAX_STATES], count = NULL;
    struct emit_loop loop = emit_loop_begin(e, from, to);
    LLVMValueRef slot = lanes_slot(e, work, run, loop.i);
    if (masked) {
        LLVMValueRef left = LLVMBuildSub(e->builder, to, loop.i, ""), width = emit_i64(e, e->width);
        count = emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSLT, left, width, ""), left, width);
    }
    lanes_states_load(e, work, slot, states);
    lanes_vector(e, work, start, loop.i, count, states);
    lanes_states_store(e, work, slot, states);
    emit_loop_end(e, &loop, e->width);
}

/* --- a block
 * --------------------------------------------------------------------------------------------------------------------
 */

static LLVMValueRef lanes_minimum(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, ""), a, b);
}

/* for each of the four runs: begin (block position) and end; the body of the loop follows. */
static struct emit_loop lanes_runs_begin(struct emit *e, struct lanes_work *work, LLVMValueRef length,
                                         LLVMValueRef *begin, LLVMValueRef *end) {
    LLVMValueRef size = emit_i64(e, (int64_t)LANES_RUN * work->lanes);
    struct emit_loop loop = emit_loop_begin(e, emit_i64(e, 0), emit_i64(e, LANES_RUNS));
    *begin = LLVMBuildMul(e->builder, loop.i, size, "");
    *end = lanes_minimum(e, LLVMBuildAdd(e->builder, *begin, size, ""), length);
    return loop;
}

/* Where the whole vectors of `n` lanes from `begin` end. Runs beyond the end are empty. */
static LLVMValueRef lanes_whole(struct emit *e, LLVMValueRef begin, LLVMValueRef end, int n) {
    LLVMValueRef whole = LLVMBuildSub(e->builder, end, begin, "");
    whole = LLVMBuildAnd(e->builder, whole, emit_i64(e, -(int64_t)n), "");
    whole = LLVMBuildAdd(e->builder, begin, whole, "");
    return emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSGT, whole, begin, ""), whole, begin);
}

static void lanes_runs(struct emit *e, struct lanes_work *work, LLVMValueRef start, LLVMValueRef length) {
    LLVMValueRef begin, end, states[EMIT_MAX_STATES];
    bool twice = work->facts->operations <= LANES_TWICE && !work->facts->loops;
    bool registers = e->width == work->lanes;
    struct emit_loop run = lanes_runs_begin(e, work, length, &begin, &end);
    for (int i = 0; i < work->n; i++)
        emit_reduce_identity(e, work->reductions[i].reduction, work->reductions[i].operand, STAGE_LANES, work->lanes,
                             &states[i * REDUCE_PARTS]);
    LLVMValueRef whole = lanes_whole(e, begin, end, e->width);
    if (registers && twice) lanes_run_registers(e, work, start, begin, whole, states);
    LLVMValueRef slot = LLVMBuildMul(e->builder, run.i, emit_i64(e, work->lanes), "");
    lanes_states_store(e, work, slot, states);
    if (!(registers && twice) && (twice || e->width == 1)) lanes_run_memory(e, work, run.i, start, begin, whole, false);
    if (e->width > 1) {
        e->often_whole = !twice;
        if (twice) emit_set_width(e, work->tail_width);
        lanes_run_memory(e, work, run.i, start, twice ? whole : begin, end, true);
        if (twice) emit_set_width(e, work->width);
        e->often_whole = false;
    }
    emit_poll(e, LLVMBuildAdd(e->builder, work->row_position, start, ""), false);
    emit_loop_end(e, &run, 1);
}

static void lanes_parts_load(struct emit *e, struct lanes_reduction *r, int parts, const enum dtype *types,
                             LLVMValueRef at, int n, LLVMValueRef *out) {
    for (int p = 0; p < parts; p++) out[p] = lanes_load(e, types[p], r->slots[p], at, n);
}

static void lanes_parts_store(struct emit *e, struct lanes_reduction *r, int parts, const enum dtype *types,
                              LLVMValueRef at, LLVMValueRef *values) {
    for (int p = 0; p < parts; p++) lanes_store(e, types[p], values[p], r->slots[p], at);
}

/* ((r0+r1)+(r2+r3)) of the lanes `at` and following. */
static void lanes_join_runs(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, enum reduce_stage stage,
                            LLVMValueRef first, LLVMValueRef at, int n, LLVMValueRef *out) {
    LLVMValueRef runs[LANES_RUNS][REDUCE_PARTS];
    enum dtype types[REDUCE_PARTS];
    const int parts = emit_reduce_parts(r->reduction, r->operand, stage, types);
    for (int run = 0; run < LANES_RUNS; run++) {
        LLVMValueRef slot = LLVMBuildAdd(e->builder, at, emit_i64(e, (int64_t)run * work->lanes), "");
        lanes_parts_load(e, r, parts, types, slot, n, runs[run]);
        if (stage == STAGE_LANES) emit_reduce_close(e, r->reduction, r->operand, runs[run], first, at);
    }
    emit_reduce_combine(e, r->reduction, r->operand, stage, runs[0], runs[1]);
    emit_reduce_combine(e, r->reduction, r->operand, stage, runs[2], runs[3]);
    emit_reduce_combine(e, r->reduction, r->operand, stage, runs[0], runs[2]);
    memcpy(out, runs[0], (size_t)parts * sizeof *out);
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
static void lanes_join(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, enum reduce_stage stage,
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
static LLVMValueRef lanes_second_pass(struct emit *e, struct lanes_work *work, struct lanes_reduction *r,
                                      LLVMValueRef start, LLVMValueRef mean, LLVMValueRef length, bool ahead) {
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

static size_t lanes_state_bytes(const struct lanes_work *work) {
    size_t parts = 0;
    for (int i = 0; i < work->n; i++) {
        enum dtype types[REDUCE_PARTS];
        parts +=
            (size_t)emit_reduce_parts(work->reductions[i].reduction, work->reductions[i].operand, STAGE_STATE, types);
    }
    return 8 * parts;
}

/* Moves states between registers and a block's place in `partials`: 8 bytes a part. */
static void lanes_state(struct emit *e, struct lanes_work *work, LLVMValueRef at, LLVMValueRef *states, bool store) {
    int64_t offset = 0;
    for (int i = 0; i < work->n; i++) {
        enum dtype types[REDUCE_PARTS];
        int parts = emit_reduce_parts(work->reductions[i].reduction, work->reductions[i].operand, STAGE_STATE, types);
        for (int p = 0; p < parts; p++, offset += 8) {
            LLVMValueRef place = emit_offset_bytes(e, at, emit_i64(e, offset)), *state = &states[i * REDUCE_PARTS + p];
            if (store)
                emit_store_elements(e, types[p], *state, place, NULL, (unsigned)dtype_size(types[p]), false);
            else
                *state = emit_load_elements(e, types[p], place, 1, NULL, (unsigned)dtype_size(types[p]));
        }
    }
}

static LLVMValueRef lanes_state_at(struct emit *e, struct lanes_work *work, LLVMValueRef partials, LLVMValueRef block) {
    LLVMValueRef bytes = emit_i64(e, (int64_t)lanes_state_bytes(work));
    return emit_offset_bytes(e, partials, LLVMBuildMul(e->builder, block, bytes, ""));
}

static void lanes_block(struct emit *e, struct lanes_work *work, LLVMValueRef block, LLVMValueRef partials) {
    const int64_t size = LANES_RUN * LANES_RUNS * (int64_t)work->lanes;
    LLVMValueRef states[EMIT_MAX_STATES];
    LLVMValueRef start = LLVMBuildMul(e->builder, block, emit_i64(e, size), "");
    LLVMValueRef length = lanes_minimum(e, LLVMBuildSub(e->builder, work->n_elements, start, ""), emit_i64(e, size));
    lanes_runs(e, work, start, length);
    for (int i = 0; i < work->n; i++) {
        struct lanes_reduction *r = &work->reductions[i];
        /* The sum alone is what the second pass has, too. */
        if (r->n_parts)
            lanes_join(e, work, r, lanes_is_var(r) && r->all ? STAGE_SECOND : STAGE_LANES, start,
                       &states[i * REDUCE_PARTS]);
    }
    bool ahead = true;
    for (int i = 0; i < work->n; i++) {
        struct lanes_reduction *r = &work->reductions[i];
        LLVMValueRef *state = &states[i * REDUCE_PARTS];
        if (!lanes_is_var(r)) continue;
        if (r->sum >= 0) state[0] = states[r->sum * REDUCE_PARTS];
        if (r->all) state[1] = LLVMBuildTrunc(e->builder, length, e->i32, "");
        LLVMValueRef mean = emit_reduce_mean(e, r->operand, state), count = state[1];
        LLVMValueRef m2 = lanes_second_pass(e, work, r, start, mean, length, ahead);
        emit_reduce_moments(e, r->operand, count, mean, m2, state);
        ahead = false;
    }
    LLVMValueRef number = LLVMBuildSub(e->builder, block, emit_argument(e, 1), "");
    lanes_state(e, work, lanes_state_at(e, work, partials, number), states, true);
}

/* The row's place: indices of the parallel dimensions, number of reduced elements. */
static void lanes_row(struct emit *e, struct lanes_work *work, LLVMValueRef row) {
    const struct ir_kernel *kernel = e->kernel;
    if (kernel->n_par > 0) emit_decode(e, row, 0, kernel->n_par, e->index);
    work->n_elements = emit_product_of_extents(e, kernel->n_par, kernel->n_red);
    work->row_position = LLVMBuildMul(e->builder, row, work->n_elements, "");
    e->par_position = row;
    e->position = work->row_position;
    e->step = emit_i64(e, 1);
    e->offset = emit_i64(e, 0);
    emit_row_addresses(e);
}

static void lanes_emit_blocks(struct emit *e, struct lanes_work *work, const char *name) {
    emit_function_begin(e, name, 3, true);
    LLVMValueRef begin = emit_argument(e, 1), end = emit_argument(e, 2), partials = emit_argument(e, 3);
    LLVMBasicBlockRef some = emit_block(e, "some"), go = emit_block(e, "go");
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSLT, begin, end, ""), some, e->leave);
    emit_at(e, some);
    lanes_row(e, work, emit_argument(e, 0));
    lanes_prepare(e, work);
    if (work->across) {
        LLVMValueRef size = emit_i64(e, LANES_RUN * LANES_RUNS * (int64_t)work->lanes);
        lanes_digits_begin(e, work, LLVMBuildMul(e->builder, begin, size, ""));
        e->lane_index[e->kernel->n_par] = emit_i64(e, 0); /* tells readers which way to read */
    }
    e->hoist = emit_here(e);
    emit_region_begin(e, work->facts, &work->values, false);
    emit_region_begin(e, work->facts, &work->tail_values, false);
    emit_at(e, go);
    struct emit_loop loop = emit_loop_begin(e, begin, end);
    lanes_block(e, work, loop.i, partials);
    emit_loop_end(e, &loop, 1);
    emit_go(e, e->leave);
    emit_at(e, e->hoist);
    emit_go(e, go);
    emit_function_end(e);
}

/* --- finish
 * -----------------------------------------------------------------------------------------------------------------------
 */

/* while (n > 1): adjacent pairs in place, an odd one moves up. */
static void lanes_tree(struct emit *e, struct lanes_work *work, LLVMValueRef n_blocks, LLVMValueRef partials) {
    LLVMValueRef a[EMIT_MAX_STATES], b[EMIT_MAX_STATES], one = emit_i64(e, 1);
    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "level"), body = emit_block(e, "pairs"),
                      after = emit_block(e, "tree");
    emit_go(e, head);
    emit_at(e, head);
    LLVMValueRef n = emit_phi(e, e->i64);
    emit_phi_add(n, n_blocks, before);
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSGT, n, one, ""), body, after);
    emit_at(e, body);
    LLVMValueRef half = LLVMBuildLShr(e->builder, n, one, "");
    struct emit_loop pair = emit_loop_begin(e, emit_i64(e, 0), half);
    LLVMValueRef left = LLVMBuildShl(e->builder, pair.i, one, "");
    lanes_state(e, work, lanes_state_at(e, work, partials, left), a, false);
    lanes_state(e, work, lanes_state_at(e, work, partials, LLVMBuildAdd(e->builder, left, one, "")), b, false);
    for (int i = 0; i < work->n; i++)
        emit_reduce_combine(e, work->reductions[i].reduction, work->reductions[i].operand, STAGE_STATE,
                            &a[i * REDUCE_PARTS], &b[i * REDUCE_PARTS]);
    lanes_state(e, work, lanes_state_at(e, work, partials, pair.i), a, true);
    emit_loop_end(e, &pair, 1);
    LLVMBasicBlockRef odd = emit_block(e, "odd"), next = emit_block(e, "next");
    LLVMValueRef is_odd = LLVMBuildTrunc(e->builder, n, e->i1, "");
    emit_branch(e, is_odd, odd, next);
    emit_at(e, odd);
    LLVMValueRef last = LLVMBuildSub(e->builder, n, one, "");
    lanes_state(e, work, lanes_state_at(e, work, partials, last), a, false);
    lanes_state(e, work, lanes_state_at(e, work, partials, half), a, true);
    emit_go(e, next);
    emit_at(e, next);
    emit_phi_add(n, LLVMBuildLShr(e->builder, LLVMBuildAdd(e->builder, n, one, ""), one, ""), next);
    emit_go(e, head);
    emit_at(e, after);
}

static void lanes_emit_finish(struct emit *e, struct lanes_work *work, const char *name) {
    const struct ir_region *epilogue = &e->kernel->epilogue;
    LLVMValueRef identity[EMIT_MAX_STATES], found[EMIT_MAX_STATES];
    struct emit_value *values = NULL;
    emit_function_begin(e, name, 2, true);
    if (e->kernel->n_par == 0) emit_function_once(e); /* a single row: called once a launch */
    e->mode = EMIT_SCALAR;
    e->width = 1;
    LLVMValueRef n_blocks = emit_argument(e, 1), partials = emit_argument(e, 2);
    lanes_row(e, work, emit_argument(e, 0));
    LLVMValueRef empty = LLVMBuildICmp(e->builder, LLVMIntEQ, work->n_elements, emit_i64(e, 0), "");
    lanes_tree(e, work, n_blocks, partials);

    LLVMBasicBlockRef before = emit_here(e), some = emit_block(e, "found"), store = emit_block(e, "store");
    for (int i = 0; i < work->n; i++)
        emit_reduce_identity(e, work->reductions[i].reduction, work->reductions[i].operand, STAGE_STATE, 1,
                             &identity[i * REDUCE_PARTS]);
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSGT, n_blocks, emit_i64(e, 0), ""), some, store);
    emit_at(e, some);
    lanes_state(e, work, partials, found, false);
    LLVMBasicBlockRef from = emit_here(e);
    emit_go(e, store);
    emit_at(e, store);
    for (int i = 0; i < work->n; i++) {
        enum dtype types[REDUCE_PARTS];
        int parts = emit_reduce_parts(work->reductions[i].reduction, work->reductions[i].operand, STAGE_STATE, types);
        for (int p = 0; p < parts; p++) {
            LLVMValueRef *state = &found[i * REDUCE_PARTS + p], phi = emit_phi(e, LLVMTypeOf(*state));
            emit_phi_add(phi, *state, from);
            emit_phi_add(phi, identity[i * REDUCE_PARTS + p], before);
            *state = phi;
        }
    }
    struct emit_facts *facts = emit_facts_of(e, epilogue, EMIT_SCALAR, false);
    emit_region_begin(e, facts, &values, false);
    for (int i = 0; i < epilogue->n_params && i < work->n; i++)
        values[epilogue->params[i]->id].value = emit_reduce_value(
            e, work->reductions[i].reduction, work->reductions[i].operand, &found[i * REDUCE_PARTS], empty);
    emit_region(e, epilogue);
    emit_go(e, e->leave);
    emit_function_end(e);
}

void emit_lanes_kernel(struct emit *e, const char *blocks, const char *finish, struct emit_summary *summary) {
    struct lanes_work work = {.lanes = e->kernel->lanes, .passes = 1};
    work.facts = emit_facts_of(e, &e->kernel->body, EMIT_LANES, false);
    work.across = e->kernel->n_red > 1 && !e->variant->single_row;
    e->mode = EMIT_LANES;
    e->width = emit_choose_width(e, work.facts);
    /* A small body is as wide as the lanes: then accumulators stay in registers. */
    bool small = work.facts->operations <= LANES_SMALL && !work.facts->calls && !work.facts->loops &&
                 e->kernel->n_reductions <= 4;
    if (e->width > work.lanes || (small && e->width > 1)) e->width = work.lanes;
    work.ahead = small && !work.across && e->engine->isa != ISA_SCALAR;
    work.width = work.tail_width = e->width;
    if (!work.across) work.tail_width = emit_tail_width(e, work.facts);
    summary->width = e->width;
    summary->calls = work.facts->calls;
    summary->operations = work.facts->operations;
    summary->block = LANES_RUN * LANES_RUNS * (int64_t)work.lanes;
    lanes_emit_blocks(e, &work, blocks);
    summary->state_bytes = lanes_state_bytes(&work);
    lanes_emit_finish(e, &work, finish);
}
