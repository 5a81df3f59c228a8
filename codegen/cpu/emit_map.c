/* emit_map.c: kernels without reductions. */
#include "codegen/cpu/emit.h"

struct map_work {
    struct emit_facts *facts;
    struct emit_value *values, *tail_values; /* of vectors of `width` and of fewer lanes */
    int width;
};

/* A body that is this long, or loops, is not worth having twice for the sake of unmasked vectors. */
enum { MAP_WHOLE_OPERATIONS = 64, MAP_WHOLE_CALLS = 6 };

static void map_chunk(struct emit *e, void *host) {
    struct map_work *work = host;
    emit_region_begin(e, work->facts, e->width == work->width ? &work->values : &work->tail_values, true);
    emit_region(e, &e->kernel->body);
}

/* How many elements to do before the first output is aligned for stores past the cache. */
static LLVMValueRef map_head(struct emit *e) {
    for (int k = 0; k < e->kernel->n_operands; k++) {
        if (e->kernel->operands[k].kind != OPERAND_WRITE) continue;
        LLVMValueRef address = LLVMBuildPtrToInt(e->builder, e->operands[k].row, e->i64, "");
        LLVMValueRef bytes = LLVMBuildAnd(e->builder, LLVMBuildNeg(e->builder, address, ""),
                                          emit_i64(e, e->engine->vector_bytes - 1), "");
        return LLVMBuildUDiv(e->builder, bytes, emit_i64(e, dtype_size(e->kernel->operands[k].type)), "");
    }
    return NULL;
}

static void map_row(struct emit *e, LLVMValueRef n, void *host) {
    struct map_work *work = host;
    emit_row_addresses(e);
    LLVMValueRef head = e->variant->nontemporal && e->width > 1 ? map_head(e) : NULL;
    bool whole =
        work->facts->operations <= MAP_WHOLE_OPERATIONS && work->facts->calls <= MAP_WHOLE_CALLS && !work->facts->loops;
    emit_region_begin(e, work->facts, &work->values, false);
    emit_region_begin(e, work->facts, &work->tail_values, false);
    emit_chunks(e, n, head, whole, emit_tail_width(e, work->facts), map_chunk, work);
}

void emit_map_kernel(struct emit *e, const char *name, struct emit_summary *summary) {
    struct map_work work = {.facts = emit_facts_of(e, &e->kernel->body, EMIT_MAP, false)};
    e->mode = EMIT_MAP;
    e->width = e->kernel->n_par == 0 ? 1 : emit_choose_width(e, work.facts);
    work.width = e->width;
    emit_function_begin(e, name, 2, false);
    e->step = emit_i64(e, 1);
    emit_rows(e, emit_argument(e, 0), emit_argument(e, 1), map_row, &work);
    emit_go(e, e->leave);
    emit_function_end(e);
    summary->width = e->width;
    summary->block = e->width;
    summary->calls = work.facts->calls;
    summary->operations = work.facts->operations;
}
