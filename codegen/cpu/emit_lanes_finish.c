/* emit_lanes_finish.c: from the states of a row's blocks to its result: adjacent pairs are combined, a tree whose shape
 * only the number of blocks decides, and the epilogue runs once. */
#include "codegen/cpu/emit_lanes.h"

size_t lanes_state_bytes(const struct lanes_work *work) {
    size_t parts = 0;
    for (int i = 0; i < work->n; i++) {
        enum dtype types[REDUCE_PARTS];
        parts +=
            (size_t)emit_reduce_parts(work->reductions[i].reduction, work->reductions[i].operand, STAGE_STATE, types);
    }
    return 8 * parts;
}

/* Moves states between registers and a block's place in `partials`: 8 bytes a part. */
void lanes_state(struct emit *e, struct lanes_work *work, LLVMValueRef at, LLVMValueRef *states, bool store) {
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

LLVMValueRef lanes_state_at(struct emit *e, struct lanes_work *work, LLVMValueRef partials, LLVMValueRef block) {
    LLVMValueRef bytes = emit_i64(e, (int64_t)lanes_state_bytes(work));
    return emit_offset_bytes(e, partials, LLVMBuildMul(e->builder, block, bytes, ""));
}

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

void lanes_emit_finish(struct emit *e, struct lanes_work *work, const char *name) {
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
