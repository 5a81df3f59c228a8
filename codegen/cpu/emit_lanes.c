/* emit_lanes.c: reductions along the operand's last dimension. The order is the language's (docs/language.md, Sums;
 * ir/kernel.h): whatever the width of the code, element i of a block belongs to lane i mod `lanes`, and only the shape
 * of the tree above is fixed.
 *
 * Missing elements count as the identity, and an accumulator joined with an identity is itself, so whole vectors that
 * are missing are simply left out.
 */
#include "codegen/cpu/emit_lanes.h"

enum { LANES_SMALL = 24, LANES_TWICE = 64 };

/* How far ahead of its reads a pass over memory asks for lines, in bytes; measured: more is worse. Two passes over a
 * block need the whole next one by then, and a little more to begin it with. */
enum { LANES_AHEAD = 1536, LANES_AHEAD_TWICE = 2048, LANES_LINE = 64 };

bool lanes_is_var(const struct lanes_reduction *r) {
    return r->reduction->op == REDUCE_VAR;
}

LLVMValueRef lanes_at(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element) {
    return LLVMBuildGEP2(e->builder, emit_memory_element(e, type), base, &element, 1, "");
}

LLVMValueRef lanes_load(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element, int n) {
    return emit_load_elements(e, type, lanes_at(e, type, base, element), n, NULL, (unsigned)dtype_size(type));
}

void lanes_store(struct emit *e, enum dtype type, LLVMValueRef value, LLVMValueRef base, LLVMValueRef element) {
    emit_store_elements(e, type, value, lanes_at(e, type, base, element), NULL, (unsigned)dtype_size(type), false);
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

/* --- indices of lanes in several rows ----------------------------------------------------------------------------- */

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

/* --- one vector --------------------------------------------------------------------------------------------------- */

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
void lanes_prefetch(struct emit *e, struct lanes_work *work, LLVMValueRef p, int blocks, int64_t bytes) {
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
LLVMValueRef lanes_slot(struct emit *e, struct lanes_work *work, LLVMValueRef run, LLVMValueRef at) {
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

/* --- a block ------------------------------------------------------------------------------------------------------ */

LLVMValueRef lanes_minimum(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, ""), a, b);
}

/* for each run: begin (block position) and end; the body of the loop follows. */
struct emit_loop lanes_runs_begin(struct emit *e, struct lanes_work *work, LLVMValueRef length, LLVMValueRef *begin,
                                  LLVMValueRef *end) {
    LLVMValueRef size = emit_i64(e, (int64_t)LANES_RUN * work->lanes);
    LLVMValueRef runs = emit_select(e, work->alone, emit_i64(e, 1), emit_i64(e, LANES_RUNS));
    struct emit_loop loop = emit_loop_begin(e, emit_i64(e, 0), runs);
    *begin = LLVMBuildMul(e->builder, loop.i, size, "");
    *end = lanes_minimum(e, LLVMBuildAdd(e->builder, *begin, size, ""), length);
    return loop;
}

/* Where the whole vectors of `n` lanes from `begin` end. Runs beyond the end are empty. */
LLVMValueRef lanes_whole(struct emit *e, LLVMValueRef begin, LLVMValueRef end, int n) {
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

static void lanes_block(struct emit *e, struct lanes_work *work, LLVMValueRef block, LLVMValueRef partials) {
    const int64_t size = LANES_RUN * LANES_RUNS * (int64_t)work->lanes;
    LLVMValueRef states[EMIT_MAX_STATES];
    LLVMValueRef start = LLVMBuildMul(e->builder, block, emit_i64(e, size), "");
    LLVMValueRef length = lanes_minimum(e, LLVMBuildSub(e->builder, work->n_elements, start, ""), emit_i64(e, size));
    work->alone = LLVMBuildICmp(e->builder, LLVMIntSLE, length, emit_i64(e, LANES_RUN * (int64_t)work->lanes), "");
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
void lanes_row(struct emit *e, struct lanes_work *work, LLVMValueRef row) {
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
