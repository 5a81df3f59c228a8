/* emit_columns.c: reductions that keep the operand's last dimension. Lanes run along it; a tile of neighbouring columns
 * keeps its accumulators in memory while the reduced positions go by in runs of 64, each from the identity. Finished
 * runs combine by adjacent pairs: run number k, in binary, says how many of the waiting results it joins (as a counter
 * carries). Waiting results are a stack, and a run accumulates right where it will wait. */
#include "codegen/cpu/emit.h"

#include <string.h>

enum { COLUMNS_RUN = 64, COLUMNS_TILE_BYTES = 16384, COLUMNS_TILE = 1024, COLUMNS_TILE_VAR = 128, COLUMNS_TWICE = 48 };

/* Rows that go by together: 8 if the body is tiny, 4 if it is small. */
enum {
    COLUMNS_GROUP = 8,
    COLUMNS_TINY = 6,
    COLUMNS_SMALL = 12,
    COLUMNS_FEW = 2,
    COLUMNS_LINE = 64,
    COLUMNS_FAR_BYTES = 16 << 20
};

struct columns_reduction {
    const struct kernel_reduction *reduction;
    enum dtype operand;
    int n_parts, n_state;
    enum dtype types[REDUCE_PARTS], state_types[REDUCE_PARTS];
    LLVMValueRef stack[REDUCE_PARTS];    /* memory: finished runs, a tile each */
    LLVMValueRef state[REDUCE_PARTS];    /* memory: the finished run: the stack's next tile */
    LLVMValueRef lanes[REDUCE_PARTS];    /* memory: the run's accumulators; `state` but for VAR */
    LLVMValueRef x, flags, mean, second; /* VAR: memory: the run's elements; its mean; its squared deviations */
};

struct columns_work {
    struct emit_facts *facts, *epilogue_facts;
    struct emit_value *values, *tail_values, *epilogue_values;
    int width;
    struct columns_reduction *reductions;
    int n;
    int64_t tile;
    LLVMValueRef n_reduced;
    LLVMValueRef r;       /* current reduced position */
    LLVMValueRef in_run;  /* its number in the run */
    LLVMValueRef columns; /* of the tile */
    int group;            /* so many rows go by together; 1: each on its own */
    LLVMValueRef from;    /* `group` > 1: the column of the tile that a single row begins at */
};

static LLVMValueRef columns_at(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element) {
    return LLVMBuildGEP2(e->builder, emit_memory_element(e, type), base, &element, 1, "");
}

static LLVMValueRef columns_load(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element) {
    return emit_load_elements(e, type, columns_at(e, type, base, element), e->width, NULL, (unsigned)dtype_size(type));
}

static void columns_store(struct emit *e, enum dtype type, LLVMValueRef value, LLVMValueRef base,
                          LLVMValueRef element) {
    emit_store_elements(e, type, value, columns_at(e, type, base, element), NULL, (unsigned)dtype_size(type), false);
}

/* As many tiles as there can be results of n runs at a time. */
static LLVMValueRef columns_stack(struct emit *e, LLVMTypeRef element, LLVMValueRef n_reduced, int64_t tile) {
    LLVMValueRef args[] = {LLVMBuildOr(e->builder, n_reduced, emit_i64(e, 1), ""), LLVMConstInt(e->i1, 0, 0)};
    LLVMValueRef zeros = llvm_compat_intrinsic(e->builder, "llvm.ctlz", &e->i64, 1, args, 2);
    LLVMValueRef levels = LLVMBuildSub(e->builder, emit_i64(e, 64 + 1), zeros, "");
    LLVMValueRef memory =
        LLVMBuildArrayAlloca(e->builder, element, LLVMBuildMul(e->builder, levels, emit_i64(e, tile), ""), "");
    LLVMSetAlignment(memory, 64);
    return memory;
}

static void columns_prepare(struct emit *e, struct columns_work *work) {
    const struct ir_kernel *kernel = e->kernel;
    LLVMValueRef runs = LLVMBuildLShr(e->builder, work->n_reduced, emit_i64(e, 6), "");
    work->n = kernel->n_reductions;
    work->reductions = ARENA_ARRAY(e->arena, struct columns_reduction, work->n);
    /* One plain reduction: rows as long as leave room in the first-level cache, for the prefetchers' sake. */
    work->tile = work->n == 1 ? COLUMNS_TILE_BYTES / dtype_size(emit_reduce_operand(kernel, 0)) : COLUMNS_TILE;
    if (work->tile > 2 * COLUMNS_TILE_BYTES / 8) work->tile = 2 * COLUMNS_TILE_BYTES / 8;
    for (int i = 0; i < work->n; i++)
        if (kernel->reductions[i].op == REDUCE_VAR || work->n > 4) work->tile = COLUMNS_TILE_VAR;
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        r->reduction = &kernel->reductions[i];
        r->operand = emit_reduce_operand(kernel, i);
        r->n_parts = emit_reduce_parts(r->reduction, r->operand, STAGE_LANES, r->types);
        r->n_state = emit_reduce_parts(r->reduction, r->operand, STAGE_STATE, r->state_types);
        for (int p = 0; p < r->n_state; p++)
            r->stack[p] = columns_stack(e, emit_memory_element(e, r->state_types[p]), runs, work->tile);
        if (r->reduction->op != REDUCE_VAR) continue;
        for (int p = 0; p < r->n_parts; p++)
            r->lanes[p] = emit_alloca(e, emit_memory_element(e, r->types[p]), work->tile, 64);
        r->x = emit_alloca(e, emit_element(e, r->operand), COLUMNS_RUN * work->tile, 64);
        r->flags = emit_alloca(e, e->i8, COLUMNS_RUN * work->tile, 64);
        r->mean = emit_alloca(e, emit_element(e, r->operand), work->tile, 64);
        r->second = emit_alloca(e, emit_element(e, r->operand), work->tile, 64);
    }
}

/* --- one row of the tile ------------------------------------------------------------------------------------------ */

static void columns_chunk(struct emit *e, void *host) {
    struct columns_work *work = host;
    LLVMValueRef at = work->from ? LLVMBuildAdd(e->builder, work->from, e->offset, "") : e->offset;
    emit_region_begin(e, work->facts, e->width == work->width ? &work->values : &work->tail_values, true);
    emit_region(e, &e->kernel->body);
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        struct ir_value *const *operands = &e->kernel->body.results[r->reduction->first_arg];
        LLVMValueRef x = emit_use_lanes(e, operands[0]), flag = NULL, state[REDUCE_PARTS];
        if (r->reduction->op == REDUCE_VAR) {
            flag = emit_use_lanes(e, operands[1]);
            LLVMValueRef row = LLVMBuildMul(e->builder, work->in_run, emit_i64(e, work->tile), "");
            LLVMValueRef element = LLVMBuildAdd(e->builder, row, at, "");
            columns_store(e, r->operand, x, r->x, element);
            columns_store(e, TY_BOOL, flag, r->flags, element);
        }
        for (int p = 0; p < r->n_parts; p++) state[p] = columns_load(e, r->types[p], r->lanes[p], at);
        /* Columns beyond the last have accumulators of their own: no mask is needed. */
        emit_reduce_step(e, r->reduction, r->operand, state, x, flag, work->r, NULL);
        for (int p = 0; p < r->n_parts; p++) columns_store(e, r->types[p], state[p], r->lanes[p], at);
    }
}

/* The body at reduced position work->r, for the tile's columns from work->from on. */
static void columns_row(struct emit *e, struct columns_work *work) {
    const struct ir_kernel *kernel = e->kernel;
    const int last = kernel->n_par - 1;
    LLVMValueRef index = last >= 0 ? e->index[last] : NULL, par_position = e->par_position, columns = work->columns;
    if (work->from) {
        e->index[last] = LLVMBuildAdd(e->builder, index, work->from, "");
        e->par_position = LLVMBuildAdd(e->builder, par_position, work->from, "");
        columns = LLVMBuildSub(e->builder, columns, work->from, "");
    }
    LLVMValueRef first_position = LLVMBuildMul(e->builder, e->par_position, work->n_reduced, "");
    emit_decode(e, work->r, kernel->n_par, kernel->n_red, e->index);
    e->position = LLVMBuildAdd(e->builder, first_position, work->r, "");
    emit_row_addresses(e);
    emit_region_begin(e, work->facts, &work->values, false);
    emit_region_begin(e, work->facts, &work->tail_values, false);
    /* Groups of rows have unmasked vectors already. */
    bool whole = work->group == 1 && work->facts->operations <= COLUMNS_TWICE && !work->facts->loops;
    emit_chunks(e, columns, NULL, whole, emit_tail_width(e, work->facts), columns_chunk, work);
    if (last >= 0) e->index[last] = index;
    e->par_position = par_position;
}

/* --- several rows at once ----------------------------------------------------------------------------------------- */

static int columns_choose_group(struct emit *e, const struct emit_facts *facts) {
    const struct ir_kernel *kernel = e->kernel;
    for (int i = 0; i < kernel->n_reductions; i++)
        if (kernel->reductions[i].op == REDUCE_VAR) return 1;
    for (int i = 0; i < kernel->body.n_values; i++)
        if (kernel->body.values[i]->regions[0] || kernel->body.values[i]->op == OP_load) return 1;
    if (kernel->n_par == 0 || facts->calls || kernel->n_reductions > COLUMNS_FEW || facts->operations > COLUMNS_SMALL)
        return 1;
    return facts->operations <= COLUMNS_TINY && kernel->n_reductions == 1 ? COLUMNS_GROUP : COLUMNS_GROUP / 2;
}

/* What differs between the rows of a group. */
struct columns_place {
    LLVMValueRef r, position, index[KERNEL_MAX_LOOPS], *addresses;
    struct emit_value *values;
};

static void columns_place_row(struct emit *e, const struct columns_work *work, LLVMValueRef first_position,
                              LLVMValueRef r, struct columns_place *place) {
    const struct ir_kernel *kernel = e->kernel;
    emit_decode(e, r, kernel->n_par, kernel->n_red, e->index);
    emit_row_addresses(e);
    place->r = r;
    place->position = LLVMBuildAdd(e->builder, first_position, r, "");
    place->addresses = ARENA_ARRAY(e->arena, LLVMValueRef, kernel->n_operands + 1);
    for (int k = 0; k < kernel->n_operands; k++) place->addresses[k] = e->operands[k].row;
    memcpy(place->index, e->index, sizeof place->index);
    emit_region_begin(e, work->facts, &place->values, false);
}

/* The operands whose elements the lanes read side by side, another row each time. */
static bool columns_streams(struct emit *e, int k) {
    const struct kernel_operand *operand = &e->kernel->operands[k];
    const int outer = e->kernel->n_par + e->kernel->n_red - 1;
    return operand->kind == OPERAND_READ && e->variant->access[k] == ACCESS_UNIT && (operand->uses >> outer & 1);
}

/* i1: rows reach so far that they must come from memory; NULL: no operand can. */
static LLVMValueRef columns_is_far(struct emit *e, const struct columns_work *work) {
    const int outer = e->kernel->n_par + e->kernel->n_red - 1;
    LLVMValueRef far = NULL;
    for (int k = 0; k < e->kernel->n_operands && e->width > 1; k++) {
        if (!columns_streams(e, k)) continue;
        LLVMValueRef bytes = LLVMBuildMul(e->builder, emit_stride(e, k, outer), work->n_reduced, "");
        LLVMValueRef is = LLVMBuildICmp(e->builder, LLVMIntSGT, bytes, emit_i64(e, COLUMNS_FAR_BYTES), "");
        far = far ? LLVMBuildOr(e->builder, far, is, "") : is;
    }
    return far;
}

/* Asks for the next group's elements of the same columns, into the second-level cache: the machine's own prefetchers
 * lose the thread at the end of every row and page. Beyond the end of an array it does nothing. */
static void columns_prefetch(struct emit *e, const struct columns_work *work, const struct columns_place *places,
                             LLVMValueRef at) {
    const int outer = e->kernel->n_par + e->kernel->n_red - 1;
    for (int k = 0; k < e->kernel->n_operands; k++) {
        if (!columns_streams(e, k)) continue;
        const enum dtype type = e->kernel->operands[k].type;
        LLVMValueRef rows = LLVMBuildMul(e->builder, emit_stride(e, k, outer), emit_i64(e, work->group), "");
        for (int q = 0; q < work->group; q++) {
            LLVMValueRef first = emit_offset_bytes(e, columns_at(e, type, places[q].addresses[k], at), rows);
            for (int64_t line = 0; line < (int64_t)e->width * dtype_size(type); line += COLUMNS_LINE) {
                LLVMValueRef place = emit_offset_bytes(e, first, emit_i64(e, line));
                LLVMValueRef args[] = {place, emit_int(e->i32, 0), emit_int(e->i32, 2), emit_int(e->i32, 1)};
                llvm_compat_intrinsic(e->builder, "llvm.prefetch", &e->ptr, 1, args, 4);
            }
        }
    }
}

/* One row's part of the columns `at` and following: into `states`, as in emit_lanes.c. */
static void columns_group_step(struct emit *e, struct columns_work *work, struct columns_place *place, LLVMValueRef at,
                               LLVMValueRef *states) {
    const int last = e->kernel->n_par - 1;
    memcpy(e->index, place->index, sizeof place->index);
    e->index[last] = LLVMBuildAdd(e->builder, place->index[last], at, "");
    e->offset = at;
    e->position = LLVMBuildAdd(e->builder, place->position, LLVMBuildMul(e->builder, at, e->step, ""), "");
    for (int k = 0; k < e->kernel->n_operands; k++) e->operands[k].row = place->addresses[k];
    emit_region_begin(e, work->facts, &place->values, true);
    emit_region(e, &e->kernel->body);
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        LLVMValueRef x = emit_use_lanes(e, e->kernel->body.results[r->reduction->first_arg]);
        emit_reduce_step(e, r->reduction, r->operand, &states[i * REDUCE_PARTS], x, NULL, place->r, NULL);
    }
}

/* The reduced positions from `r`, one after the other for each column, but with a single load and store of its
 * accumulators. `whole`: columns of the tile in whole vectors; the others are left to columns_row. */
static void columns_group(struct emit *e, struct columns_work *work, LLVMValueRef r, LLVMValueRef whole) {
    const int last = e->kernel->n_par - 1;
    struct columns_place places[COLUMNS_GROUP] = {{0}};
    LLVMValueRef index = e->index[last], states[COLUMNS_FEW * REDUCE_PARTS];
    LLVMValueRef first_position = LLVMBuildMul(e->builder, e->par_position, work->n_reduced, "");
    for (int q = 0; q < work->group; q++)
        columns_place_row(e, work, first_position, LLVMBuildAdd(e->builder, r, emit_i64(e, q), ""), &places[q]);
    LLVMValueRef far = columns_is_far(e, work);
    e->hoist = emit_here(e);
    LLVMBasicBlockRef go = emit_block(e, "group");
    emit_at(e, go);
    struct emit_loop each = emit_loop_begin(e, emit_i64(e, 0), whole);
    if (far) {
        LLVMBasicBlockRef ask = emit_block(e, "ask"), asked = emit_block(e, "asked");
        emit_branch(e, far, ask, asked);
        emit_at(e, ask);
        columns_prefetch(e, work, places, each.i);
        emit_go(e, asked);
        emit_at(e, asked);
    }
    for (int i = 0; i < work->n; i++)
        for (int p = 0; p < work->reductions[i].n_parts; p++)
            states[i * REDUCE_PARTS + p] =
                columns_load(e, work->reductions[i].types[p], work->reductions[i].lanes[p], each.i);
    for (int q = 0; q < work->group; q++) columns_group_step(e, work, &places[q], each.i, states);
    for (int i = 0; i < work->n; i++)
        for (int p = 0; p < work->reductions[i].n_parts; p++)
            columns_store(e, work->reductions[i].types[p], states[i * REDUCE_PARTS + p], work->reductions[i].lanes[p],
                          each.i);
    emit_loop_end(e, &each, e->width);
    LLVMBasicBlockRef after = emit_here(e);
    emit_at(e, e->hoist);
    emit_go(e, go);
    emit_at(e, after);
    e->hoist = NULL;
    e->index[last] = index;
}

/* A run's rows, all columns of the tile. */
static void columns_rows(struct emit *e, struct columns_work *work, LLVMValueRef begin, LLVMValueRef end) {
    LLVMValueRef whole = NULL, groups_end = NULL, single = begin;
    if (work->group > 1) {
        whole = LLVMBuildAnd(e->builder, work->columns, emit_i64(e, -(int64_t)e->width), "");
        groups_end = LLVMBuildSub(e->builder, end, begin, "");
        groups_end = LLVMBuildAnd(e->builder, groups_end, emit_i64(e, -(int64_t)work->group), "");
        groups_end = LLVMBuildAdd(e->builder, begin, groups_end, "");
        LLVMValueRef none = LLVMBuildICmp(e->builder, LLVMIntEQ, whole, emit_i64(e, 0), "");
        groups_end = emit_select(e, none, begin, groups_end);
        struct emit_loop group = emit_loop_begin(e, begin, groups_end);
        columns_group(e, work, group.i, whole);
        emit_loop_end(e, &group, work->group);
        LLVMValueRef all = LLVMBuildICmp(e->builder, LLVMIntEQ, whole, work->columns, "");
        single = emit_select(e, all, groups_end, begin);
    }
    struct emit_loop row = emit_loop_begin(e, single, end);
    work->r = row.i;
    work->in_run = LLVMBuildSub(e->builder, row.i, begin, "");
    if (work->group > 1) {
        LLVMValueRef some = LLVMBuildICmp(e->builder, LLVMIntSLT, row.i, groups_end, "");
        work->from = emit_select(e, some, whole, emit_i64(e, 0));
    }
    columns_row(e, work);
    work->from = NULL;
    emit_loop_end(e, &row, 1);
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

/* A loop over the tile's vectors. */
static struct emit_loop columns_each(struct emit *e, struct columns_work *work) {
    return emit_loop_begin(e, emit_i64(e, 0), work->columns);
}

/* The run's place on the stack. */
static void columns_push(struct emit *e, struct columns_work *work, LLVMValueRef level) {
    LLVMValueRef first = LLVMBuildMul(e->builder, level, emit_i64(e, work->tile), "");
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        for (int p = 0; p < r->n_state; p++) r->state[p] = columns_at(e, r->state_types[p], r->stack[p], first);
        if (r->reduction->op != REDUCE_VAR) memcpy(r->lanes, r->state, sizeof r->lanes);
    }
}

static void columns_clear(struct emit *e, struct columns_work *work) {
    struct emit_loop each = columns_each(e, work);
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        LLVMValueRef identity[REDUCE_PARTS];
        emit_reduce_identity(e, r->reduction, r->operand, STAGE_LANES, e->width, identity);
        for (int p = 0; p < r->n_parts; p++) columns_store(e, r->types[p], identity[p], r->lanes[p], each.i);
    }
    emit_loop_end(e, &each, e->width);
}

/* VAR: mean of the run, then the sum of squared deviations from it, row by row. */
static void columns_second_pass(struct emit *e, struct columns_work *work, struct columns_reduction *r,
                                LLVMValueRef rows) {
    struct emit_loop each = columns_each(e, work);
    LLVMValueRef state[REDUCE_PARTS], zero[REDUCE_PARTS];
    emit_reduce_identity(e, r->reduction, r->operand, STAGE_SECOND, e->width, zero);
    for (int p = 0; p < r->n_parts; p++) state[p] = columns_load(e, r->types[p], r->lanes[p], each.i);
    columns_store(e, r->operand, emit_reduce_mean(e, r->operand, state), r->mean, each.i);
    columns_store(e, r->operand, zero[0], r->second, each.i);
    emit_loop_end(e, &each, e->width);

    struct emit_loop row = emit_loop_begin(e, emit_i64(e, 0), rows);
    LLVMValueRef first = LLVMBuildMul(e->builder, row.i, emit_i64(e, work->tile), "");
    each = columns_each(e, work);
    LLVMValueRef element = LLVMBuildAdd(e->builder, first, each.i, "");
    LLVMValueRef sum = columns_load(e, r->operand, r->second, each.i),
                 mean = columns_load(e, r->operand, r->mean, each.i);
    sum = emit_reduce_deviation(e, sum, columns_load(e, r->operand, r->x, element), mean,
                                columns_load(e, TY_BOOL, r->flags, element));
    columns_store(e, r->operand, sum, r->second, each.i);
    emit_loop_end(e, &each, e->width);
    emit_loop_end(e, &row, 1);
}

/* The run's accumulators become a state that combines. */
static void columns_close(struct emit *e, struct columns_work *work, LLVMValueRef first, LLVMValueRef rows) {
    bool any = false;
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        if (r->reduction->op == REDUCE_VAR) columns_second_pass(e, work, r, rows);
        any = any || emit_reduce_closes(r->reduction, r->operand);
    }
    if (!any) return;
    struct emit_loop each = columns_each(e, work);
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        LLVMValueRef state[REDUCE_PARTS];
        if (!emit_reduce_closes(r->reduction, r->operand)) continue;
        for (int p = 0; p < r->n_parts; p++) state[p] = columns_load(e, r->types[p], r->lanes[p], each.i);
        if (r->reduction->op == REDUCE_VAR)
            emit_reduce_moments(e, r->operand, state[1], columns_load(e, r->operand, r->mean, each.i),
                                columns_load(e, r->operand, r->second, each.i), state);
        else
            emit_reduce_close(e, r->reduction, r->operand, state, first, NULL);
        for (int p = 0; p < r->n_state; p++) columns_store(e, r->state_types[p], state[p], r->state[p], each.i);
    }
    emit_loop_end(e, &each, e->width);
}

/* The stack's tiles `level` and the one above it become one. */
static void columns_join(struct emit *e, struct columns_work *work, LLVMValueRef level) {
    LLVMValueRef size = emit_i64(e, work->tile), first = LLVMBuildMul(e->builder, level, size, "");
    struct emit_loop each = columns_each(e, work);
    LLVMValueRef below = LLVMBuildAdd(e->builder, first, each.i, ""), above = LLVMBuildAdd(e->builder, below, size, "");
    for (int i = 0; i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        LLVMValueRef a[REDUCE_PARTS], b[REDUCE_PARTS];
        for (int p = 0; p < r->n_state; p++) {
            a[p] = columns_load(e, r->state_types[p], r->stack[p], below);
            b[p] = columns_load(e, r->state_types[p], r->stack[p], above);
        }
        emit_reduce_combine(e, r->reduction, r->operand, STAGE_STATE, a, b);
        for (int p = 0; p < r->n_state; p++) columns_store(e, r->state_types[p], a[p], r->stack[p], below);
    }
    emit_loop_end(e, &each, e->width);
}

/* Joins what the finished run `k` at `level` completes; after the last run, everything. `depth`: memory: how many
 * results are left. */
static void columns_carry(struct emit *e, struct columns_work *work, LLVMValueRef k, LLVMValueRef level,
                          LLVMValueRef is_last, LLVMValueRef depth) {
    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "carry"), join = emit_block(e, "join"),
                      done = emit_block(e, "carried");
    LLVMValueRef one = emit_i64(e, 1);
    emit_go(e, head);
    emit_at(e, head);
    LLVMValueRef bits = emit_phi(e, e->i64), top = emit_phi(e, e->i64);
    emit_phi_add(bits, k, before);
    emit_phi_add(top, level, before);
    LLVMValueRef some = LLVMBuildICmp(e->builder, LLVMIntSGT, top, emit_i64(e, 0), "");
    LLVMValueRef odd = LLVMBuildTrunc(e->builder, bits, e->i1, "");
    emit_branch(e, emit_select(e, is_last, some, odd), join, done);
    emit_at(e, join);
    LLVMValueRef below = LLVMBuildSub(e->builder, top, one, "");
    columns_join(e, work, below);
    emit_phi_add(bits, LLVMBuildLShr(e->builder, bits, one, ""), emit_here(e));
    emit_phi_add(top, below, emit_here(e));
    emit_go(e, head);
    emit_at(e, done);
    LLVMBuildStore(e->builder, LLVMBuildAdd(e->builder, top, one, ""), depth);
}

/* --- the epilogue ------------------------------------------------------------------------------------------------- */

static void columns_epilogue(struct emit *e, void *host) {
    struct columns_work *work = host;
    const struct ir_region *epilogue = &e->kernel->epilogue;
    LLVMValueRef empty = LLVMBuildICmp(e->builder, LLVMIntEQ, work->n_reduced, emit_i64(e, 0), "");
    emit_region_begin(e, work->epilogue_facts, &work->epilogue_values, true);
    for (int i = 0; i < epilogue->n_params && i < work->n; i++) {
        struct columns_reduction *r = &work->reductions[i];
        LLVMValueRef state[REDUCE_PARTS];
        for (int p = 0; p < r->n_state; p++) state[p] = columns_load(e, r->state_types[p], r->stack[p], e->offset);
        work->epilogue_values[epilogue->params[i]->id].value =
            emit_reduce_value(e, r->reduction, r->operand, state, emit_splat_to(e, empty, e->width));
    }
    emit_region(e, epilogue);
}

/* --- tiles -------------------------------------------------------------------------------------------------------- */

static LLVMValueRef columns_smaller(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return emit_select(e, LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, ""), a, b);
}

static void columns_tile(struct emit *e, struct columns_work *work, LLVMValueRef depth) {
    LLVMValueRef run_size = emit_i64(e, COLUMNS_RUN), zero = emit_i64(e, 0), one = emit_i64(e, 1);
    LLVMValueRef first_position = LLVMBuildMul(e->builder, e->par_position, work->n_reduced, "");
    LLVMValueRef runs = LLVMBuildAdd(e->builder, work->n_reduced, emit_i64(e, COLUMNS_RUN - 1), "");
    runs = LLVMBuildLShr(e->builder, runs, emit_i64(e, 6), "");
    /* Nothing to reduce: one empty run gives the identity. */
    runs = emit_select(e, LLVMBuildICmp(e->builder, LLVMIntEQ, runs, zero, ""), one, runs);
    LLVMBuildStore(e->builder, zero, depth);

    struct emit_loop run = emit_loop_begin(e, zero, runs);
    LLVMValueRef begin = LLVMBuildMul(e->builder, run.i, run_size, "");
    LLVMValueRef end = columns_smaller(e, LLVMBuildAdd(e->builder, begin, run_size, ""), work->n_reduced);
    LLVMValueRef level = LLVMBuildLoad2(e->builder, e->i64, depth, "");
    columns_push(e, work, level);
    columns_clear(e, work);
    e->step = work->n_reduced;
    columns_rows(e, work, begin, end);
    emit_poll(e, first_position, false);
    columns_close(e, work, begin, LLVMBuildSub(e->builder, end, begin, ""));
    LLVMValueRef is_last = LLVMBuildICmp(e->builder, LLVMIntEQ, LLVMBuildAdd(e->builder, run.i, one, ""), runs, "");
    columns_carry(e, work, run.i, level, is_last, depth);
    emit_loop_end(e, &run, 1);

    for (int j = e->kernel->n_par; j < e->kernel->n_par + e->kernel->n_red; j++) e->index[j] = NULL;
    e->position = first_position;
    emit_row_addresses(e);
    emit_region_begin(e, work->epilogue_facts, &work->epilogue_values, false);
    emit_chunks(e, work->columns, NULL, false, e->width, columns_epilogue, work);
}

static void columns_range(struct emit *e, LLVMValueRef n, void *host) {
    struct columns_work *work = host;
    const int last = e->kernel->n_par - 1;
    LLVMValueRef depth = emit_alloca(e, e->i64, 1, 8);
    LLVMValueRef index = last >= 0 ? e->index[last] : NULL, position = e->par_position;
    struct emit_loop tile = emit_loop_begin(e, emit_i64(e, 0), n);
    work->columns = columns_smaller(e, LLVMBuildSub(e->builder, n, tile.i, ""), emit_i64(e, work->tile));
    if (last >= 0) e->index[last] = LLVMBuildAdd(e->builder, index, tile.i, "");
    e->par_position = LLVMBuildAdd(e->builder, position, tile.i, "");
    columns_tile(e, work, depth);
    emit_loop_end(e, &tile, work->tile);
    if (last >= 0) e->index[last] = index;
    e->par_position = position;
}

void emit_columns_kernel(struct emit *e, const char *name, struct emit_summary *summary) {
    struct columns_work work = {.facts = emit_facts_of(e, &e->kernel->body, EMIT_COLUMNS, false)};
    work.epilogue_facts = emit_facts_of(e, &e->kernel->epilogue, EMIT_COLUMNS, true);
    e->mode = EMIT_COLUMNS;
    struct emit_facts widest = *work.facts;
    if (work.epilogue_facts->widest > widest.widest) widest.widest = work.epilogue_facts->widest;
    e->width = emit_choose_width(e, &widest);
    work.width = e->width;
    work.group = columns_choose_group(e, work.facts);
    emit_function_begin(e, name, 2, false);
    work.n_reduced = emit_product_of_extents(e, e->kernel->n_par, e->kernel->n_red);
    columns_prepare(e, &work);
    e->step = work.n_reduced;
    emit_rows(e, emit_argument(e, 0), emit_argument(e, 1), columns_range, &work);
    emit_go(e, e->leave);
    emit_function_end(e);
    summary->width = e->width;
    summary->block = COLUMNS_TILE;
    summary->calls = work.facts->calls + work.epilogue_facts->calls;
    summary->operations = work.facts->operations + work.epilogue_facts->operations;
}
