/* emit_place.c: where in the iteration space the code stands: loops, rows of positions, vectors of a row. */
#include "codegen/cpu/emit.h"

#include <string.h>

static LLVMValueRef emit_less(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, "");
}

static LLVMValueRef emit_smaller(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return emit_select(e, emit_less(e, a, b), a, b);
}

LLVMValueRef emit_product_of_extents(struct emit *e, int first, int n) {
    LLVMValueRef product = emit_i64(e, 1);
    for (int j = first; j < first + n; j++)
        product = j == first ? emit_extent(e, j) : LLVMBuildMul(e->builder, product, emit_extent(e, j), "");
    return product;
}

void emit_decode(struct emit *e, LLVMValueRef position, int first, int n, LLVMValueRef *index) {
    int lanes = emit_lanes_of(LLVMTypeOf(position));
    for (int j = first + n - 1; j > first; j--) {
        LLVMValueRef extent = emit_splat_to(e, emit_extent(e, j), lanes);
        index[j] = LLVMBuildURem(e->builder, position, extent, "");
        position = LLVMBuildUDiv(e->builder, position, extent, "");
    }
    if (n > 0) index[first] = position;
}

LLVMValueRef emit_next(struct emit *e, LLVMValueRef i, LLVMValueRef step) {
    LLVMValueRef next = LLVMBuildAdd(e->builder, i, step, "");
    return LLVMBuildBitCast(e->builder, LLVMBuildBitCast(e->builder, next, e->f64, ""), e->i64, "");
}

struct emit_loop emit_loop_begin(struct emit *e, LLVMValueRef from, LLVMValueRef to) {
    struct emit_loop loop = {.head = emit_block(e, "loop"), .after = emit_block(e, "endloop")};
    LLVMBasicBlockRef before = emit_here(e), body = emit_block(e, "body");
    emit_go(e, loop.head);
    emit_at(e, loop.head);
    loop.i = emit_phi(e, e->i64);
    emit_phi_add(loop.i, from, before);
    emit_branch(e, emit_less(e, loop.i, to), body, loop.after);
    emit_at(e, body);
    return loop;
}

void emit_loop_end(struct emit *e, struct emit_loop *loop, int64_t step) {
    LLVMValueRef next = emit_next(e, loop->i, emit_i64(e, step));
    emit_phi_add(loop->i, next, emit_here(e));
    emit_go(e, loop->head);
    emit_at(e, loop->after);
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

void emit_rows(struct emit *e, LLVMValueRef begin, LLVMValueRef end,
               void (*row)(struct emit *e, LLVMValueRef n, void *host), void *host) {
    const int n_par = e->kernel->n_par, last = n_par - 1;
    LLVMBasicBlockRef some = emit_block(e, "some");
    emit_branch(e, emit_less(e, begin, end), some, e->leave);
    emit_at(e, some);
    e->position = e->par_position = begin;
    if (n_par <= 1 || e->variant->single_row) {
        for (int j = 0; j < last; j++) e->index[j] = emit_i64(e, 0);
        if (n_par > 0) e->index[last] = begin;
        row(e, LLVMBuildSub(e->builder, end, begin, ""), host);
        return;
    }
    LLVMValueRef first[KERNEL_MAX_LOOPS], index[KERNEL_MAX_LOOPS], next[KERNEL_MAX_LOOPS];
    emit_decode(e, begin, 0, n_par, first);
    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "row"), after = emit_block(e, "rows");
    emit_go(e, head);
    emit_at(e, head);
    LLVMValueRef position = emit_phi(e, e->i64);
    emit_phi_add(position, begin, before);
    for (int j = 0; j < n_par; j++) {
        index[j] = emit_phi(e, e->i64);
        emit_phi_add(index[j], first[j], before);
    }
    LLVMValueRef in_row = LLVMBuildSub(e->builder, emit_extent(e, last), index[last], "");
    LLVMValueRef n = emit_smaller(e, in_row, LLVMBuildSub(e->builder, end, position, ""));
    memcpy(e->index, index, (size_t)n_par * sizeof *index);
    e->position = e->par_position = position;
    row(e, n, host);

    LLVMValueRef following = emit_next(e, position, n), carry = emit_i64(e, 1);
    next[last] = emit_i64(e, 0);
    for (int j = last - 1; j >= 0; j--) {
        next[j] = LLVMBuildAdd(e->builder, index[j], carry, "");
        LLVMValueRef over = LLVMBuildICmp(e->builder, LLVMIntEQ, next[j], emit_extent(e, j), "");
        next[j] = emit_select(e, over, emit_i64(e, 0), next[j]);
        carry = LLVMBuildZExt(e->builder, over, e->i64, "");
    }
    emit_phi_add(position, following, emit_here(e));
    for (int j = 0; j < n_par; j++) emit_phi_add(index[j], next[j], emit_here(e));
    emit_branch(e, emit_less(e, following, end), head, after);
    emit_at(e, after);
}

/* --- vectors of a row --------------------------------------------------------------------------------------------- */

struct chunk_place {
    LLVMValueRef index, position;
    int dim; /* that the lanes run along; -1: none */
};

static void emit_chunk_at(struct emit *e, const struct chunk_place *place, LLVMValueRef i, LLVMValueRef count) {
    e->offset = i;
    e->count = count;
    e->count_mask = NULL;
    e->mask = e->chunk_mask = count && e->width > 1 ? emit_count_mask(e, count, e->width) : NULL;
    if (e->engine->isa == ISA_AVX512)
        e->count_mask = e->mask, e->count_lanes = e->width; /* others remake it near its use */
    if (place->dim >= 0) e->index[place->dim] = LLVMBuildAdd(e->builder, place->index, i, "");
    bool each = LLVMIsAConstantInt(e->step) && LLVMConstIntGetSExtValue(e->step) == 1;
    e->position = LLVMBuildAdd(e->builder, place->position, each ? i : LLVMBuildMul(e->builder, i, e->step, ""), "");
}

void emit_set_width(struct emit *e, int width) {
    if (width == e->width) return;
    e->width = width;
    for (int k = 0; k < e->kernel->n_operands; k++) e->operands[k].lanes = NULL; /* they were made for another width */
}

/* Bodies longer than this are kept from being seen as a loop: LLVM would hoist thousands of constants, in quadratic
 * time, only to spill them. A loop that is entered at two places is none to it. */
enum { PLACE_LONG = 512 };

/* One loop whose every vector is masked: for bodies too large to have twice. */
static void emit_chunks_masked(struct emit *e, const struct chunk_place *place, LLVMValueRef n,
                               void (*chunk)(struct emit *e, void *host), void *host) {
    LLVMBasicBlockRef head = emit_block(e, "chunk"), body = emit_block(e, "masked"), done = emit_block(e, "chunks");
    emit_at(e, head);
    LLVMValueRef i = emit_phi(e, e->i64);
    emit_branch(e, emit_less(e, i, n), body, done);
    emit_at(e, body);
    e->often_whole = true;
    emit_chunk_at(e, place, i, emit_smaller(e, LLVMBuildSub(e->builder, n, i, ""), emit_i64(e, e->width)));
    chunk(e, host);
    e->often_whole = false;
    LLVMValueRef next = emit_next(e, i, emit_i64(e, e->width)), second = NULL;
    LLVMBasicBlockRef poll = NULL;
    if (e->mode == EMIT_MAP && e->facts->operations > PLACE_LONG) {
        poll = emit_block(e, "poll");
        LLVMBasicBlockRef from = emit_here(e);
        emit_go(e, poll);
        emit_at(e, poll);
        second = emit_phi(e, e->i64);
        emit_phi_add(second, next, from);
        emit_phi_add(second, emit_i64(e, 0), e->hoist);
        next = second;
        e->position = LLVMBuildAdd(e->builder, place->position, LLVMBuildMul(e->builder, next, e->step, ""), "");
    }
    if (e->mode == EMIT_MAP && e->facts->loops)
        emit_poll(e, e->position, false); /* else the caller's pieces are short */
    emit_phi_add(i, next, emit_here(e));
    emit_go(e, head);
    emit_at(e, e->hoist);
    emit_phi_add(i, emit_i64(e, 0), e->hoist);
    if (poll)
        emit_branch(e, LLVMBuildTrunc(e->builder, n, e->i1, ""), poll, head);
    else
        emit_go(e, head);
    emit_at(e, done);
}

/* dispatch(i): as many whole vectors as there are from i, then one masked one; a masked head comes to dispatch
 * afterwards. */
static void emit_chunks_whole(struct emit *e, const struct chunk_place *place, LLVMValueRef n, LLVMValueRef head,
                              int tail_width, void (*chunk)(struct emit *e, void *host), void *host) {
    LLVMValueRef width = emit_i64(e, e->width);
    LLVMBasicBlockRef dispatch = emit_block(e, "dispatch"), whole = emit_block(e, "whole"),
                      done = emit_block(e, "chunks"), rest = e->width > 1 ? emit_block(e, "rest") : done, masked = NULL;
    emit_at(e, dispatch);
    LLVMValueRef start = emit_phi(e, e->i64);
    LLVMValueRef left = LLVMBuildSub(e->builder, n, start, "");
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSGE, left, width, ""), whole, rest);

    emit_at(e, whole);
    LLVMValueRef i = emit_phi(e, e->i64);
    emit_phi_add(i, start, dispatch);
    emit_chunk_at(e, place, i, NULL);
    chunk(e, host);
    /* Bodies without loops are done soon: who calls the kernel polls between pieces. A reduction polls between runs. */
    if (e->mode == EMIT_MAP && e->facts->loops) emit_poll(e, e->position, false);
    LLVMValueRef next = emit_next(e, i, width);
    LLVMValueRef more = LLVMBuildICmp(e->builder, LLVMIntSGE, LLVMBuildSub(e->builder, n, next, ""), width, "");
    emit_phi_add(i, next, emit_here(e));
    emit_phi_add(start, next, emit_here(e));
    emit_branch(e, more, whole, dispatch);

    LLVMValueRef from = NULL, count = NULL;
    if (e->width > 1) {
        masked = emit_block(e, "masked");
        emit_at(e, rest);
        LLVMValueRef part = tail_width < e->width ? emit_smaller(e, left, emit_i64(e, tail_width)) : left;
        emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSGT, left, emit_i64(e, 0), ""), masked, done);
        emit_at(e, masked);
        from = emit_phi(e, e->i64);
        count = emit_phi(e, e->i64);
        const int full = e->width;
        emit_set_width(e, tail_width);
        emit_phi_add(from, start, rest);
        emit_phi_add(count, part, rest);
        emit_chunk_at(e, place, from, count);
        chunk(e, host);
        emit_set_width(e, full);
        emit_phi_add(start, emit_next(e, from, count), emit_here(e));
        emit_go(e, dispatch);
    }
    emit_at(e, e->hoist);
    emit_phi_add(start, emit_i64(e, 0), e->hoist);
    if (head && masked) {
        LLVMValueRef first = emit_smaller(e, emit_smaller(e, head, n), emit_i64(e, tail_width));
        emit_phi_add(from, emit_i64(e, 0), e->hoist);
        emit_phi_add(count, first, e->hoist);
        emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSGT, first, emit_i64(e, 0), ""), masked, dispatch);
    } else {
        emit_go(e, dispatch);
    }
    emit_at(e, done);
}

void emit_chunks(struct emit *e, LLVMValueRef n, LLVMValueRef head, bool whole, int tail_width,
                 void (*chunk)(struct emit *e, void *host), void *host) {
    struct chunk_place place = {.position = e->position, .dim = e->kernel->n_par - 1};
    if (place.dim >= 0) place.index = e->index[place.dim];
    e->hoist = emit_here(e);
    if (whole || e->width == 1)
        emit_chunks_whole(e, &place, n, head, tail_width, chunk, host);
    else
        emit_chunks_masked(e, &place, n, chunk, host);
    e->hoist = NULL;
    e->count = e->count_mask = e->mask = e->chunk_mask = NULL;
    e->position = place.position;
    if (place.dim >= 0) e->index[place.dim] = place.index;
}
