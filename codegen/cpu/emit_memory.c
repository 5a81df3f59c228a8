/* emit_memory.c: reads along the loops, checked loads, stores. */
#include "codegen/cpu/emit.h"

#include "codegen/cpu/support.h"

LLVMValueRef emit_count_mask(struct emit *e, LLVMValueRef count, int n) {
    if (count == e->count && e->count_mask && n == e->count_lanes) return e->count_mask;
    LLVMTypeRef element = n > 16 ? e->i8 : e->i32; /* the shortest constant that compares in few instructions */
    LLVMValueRef limit = emit_splat_to(e, LLVMBuildTrunc(e->builder, count, element, ""), n);
    return LLVMBuildICmp(e->builder, LLVMIntULT, emit_iota(e, element, n), limit, "");
}

/* Some of the lanes through memory of our own: without mask registers a masked access may become a branch a lane. */
static LLVMValueRef emit_byte_count(struct emit *e, enum dtype type, LLVMValueRef count) {
    return LLVMBuildMul(e->builder, count, emit_i64(e, dtype_size(type)), "");
}

static LLVMValueRef emit_is_whole(struct emit *e, LLVMValueRef count, int n) {
    return LLVMBuildICmp(e->builder, LLVMIntEQ, count, emit_i64(e, n), "");
}

/* Past the cache where the address allows it. Rows begin with as many elements as align the first output; others, and
 * data that no whole number of elements aligns, take the ordinary store. */
static void emit_store_nontemporal(struct emit *e, LLVMValueRef value, LLVMValueRef pointer, unsigned alignment) {
    unsigned wanted = (unsigned)e->engine->vector_bytes;
    LLVMBasicBlockRef past = emit_block(e, "past"), usual = emit_block(e, "usual"), after = emit_block(e, "stored");
    LLVMValueRef low = LLVMBuildPtrToInt(e->builder, pointer, e->i64, "");
    low = LLVMBuildAnd(e->builder, low, emit_i64(e, wanted - 1), "");
    emit_branch_unlikely(e, LLVMBuildICmp(e->builder, LLVMIntNE, low, emit_i64(e, 0), ""), usual, past);
    emit_at(e, usual);
    LLVMSetAlignment(LLVMBuildStore(e->builder, value, pointer), alignment);
    emit_go(e, after);
    emit_at(e, past);
    LLVMValueRef store = LLVMBuildStore(e->builder, value, pointer);
    LLVMSetAlignment(store, wanted);
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, 0));
    LLVMMetadataRef node = LLVMMDNodeInContext2(e->context, &one, 1);
    LLVMSetMetadata(store, LLVMGetMDKindIDInContext(e->context, "nontemporal", 11),
                    LLVMMetadataAsValue(e->context, node));
    emit_go(e, after);
    emit_at(e, after);
}

static bool emit_has_masks(struct emit *e) {
    return e->engine->isa == ISA_AVX512;
}

LLVMValueRef emit_load_elements(struct emit *e, enum dtype type, LLVMValueRef pointer, int n, LLVMValueRef count,
                                unsigned alignment) {
    LLVMTypeRef memory = emit_vector_of(emit_memory_element(e, type), n);
    LLVMValueRef value;
    if (!count || n == 1) {
        value = LLVMBuildLoad2(e->builder, memory, pointer, "");
        LLVMSetAlignment(value, alignment);
    } else if (emit_has_masks(e)) {
        value = llvm_compat_masked_load(e->builder, memory, pointer, emit_count_mask(e, count, n), alignment);
    } else {
        LLVMValueRef room = emit_alloca(e, memory, 1, 64), from = room;
        LLVMBasicBlockRef before = emit_here(e), copy = emit_block(e, "copy"), load = emit_block(e, "load");
        if (e->often_whole)
            emit_branch(e, emit_is_whole(e, count, n), load, copy);
        else
            emit_go(e, copy);
        emit_at(e, copy);
        LLVMBuildStore(e->builder, LLVMConstNull(memory), room);
        LLVMValueRef args[] = {room, pointer, emit_byte_count(e, type, count)};
        emit_support(e, "memcpy", e->ptr, args, 3);
        emit_go(e, load);
        emit_at(e, load);
        if (e->often_whole) {
            from = emit_phi(e, e->ptr);
            emit_phi_add(from, pointer, before);
            emit_phi_add(from, room, copy);
        }
        value = LLVMBuildLoad2(e->builder, memory, from, "");
        LLVMSetAlignment(value, alignment);
    }
    return type == TY_BOOL ? LLVMBuildICmp(e->builder, LLVMIntNE, value, LLVMConstNull(memory), "") : value;
}

void emit_store_elements(struct emit *e, enum dtype type, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef count,
                         unsigned alignment, bool nontemporal) {
    int n = emit_lanes_of(LLVMTypeOf(value));
    if (type == TY_BOOL) value = LLVMBuildZExt(e->builder, value, emit_vector_of(e->i8, n), "");
    if (!count || n == 1) {
        if (nontemporal)
            emit_store_nontemporal(e, value, pointer, alignment);
        else
            LLVMSetAlignment(LLVMBuildStore(e->builder, value, pointer), alignment);
    } else if (emit_has_masks(e)) {
        llvm_compat_masked_store(e->builder, value, pointer, emit_count_mask(e, count, n), alignment);
    } else {
        LLVMBasicBlockRef whole = emit_block(e, "whole"), copy = emit_block(e, "copy"), after = emit_block(e, "stored");
        if (e->often_whole)
            emit_branch(e, emit_is_whole(e, count, n), whole, copy);
        else
            emit_go(e, copy);
        emit_at(e, copy);
        LLVMValueRef room = emit_alloca(e, LLVMTypeOf(value), 1, 64);
        LLVMBuildStore(e->builder, value, room);
        LLVMValueRef args[] = {pointer, room, emit_byte_count(e, type, count)};
        emit_support(e, "memcpy", e->ptr, args, 3);
        emit_go(e, after);
        emit_at(e, whole);
        LLVMSetAlignment(LLVMBuildStore(e->builder, value, pointer), alignment);
        emit_go(e, after);
        emit_at(e, after);
    }
}

static LLVMValueRef emit_gather(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef bytes) {
    LLVMTypeRef memory = emit_like(bytes, emit_memory_element(e, type));
    LLVMValueRef pointers = emit_offset_bytes(e, base, bytes), value;
    unsigned alignment = (unsigned)dtype_size(type);
    if (emit_is_vector(bytes)) {
        value = llvm_compat_gather(e->builder, memory, pointers, alignment);
    } else {
        value = LLVMBuildLoad2(e->builder, memory, pointers, "");
        LLVMSetAlignment(value, alignment);
    }
    return type == TY_BOOL ? LLVMBuildICmp(e->builder, LLVMIntNE, value, LLVMConstNull(memory), "") : value;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static bool emit_uses(struct emit *e, int k, int loop) {
    return e->kernel->operands[k].uses >> loop & 1;
}

/* The dimension that the lanes run along. */
static int emit_vector_dim(struct emit *e) {
    return e->mode == EMIT_LANES ? e->kernel->n_par + e->kernel->n_red - 1 : e->kernel->n_par - 1;
}

void emit_row_addresses(struct emit *e) {
    const int loops = e->kernel->n_par + e->kernel->n_red;
    for (int k = 0; k < e->kernel->n_operands; k++) {
        if (e->kernel->operands[k].kind == OPERAND_WRITE) {
            LLVMTypeRef type = emit_memory_element(e, e->kernel->operands[k].type);
            e->operands[k].row = LLVMBuildGEP2(e->builder, type, emit_data(e, k), &e->par_position, 1, "");
        }
        if (e->kernel->operands[k].kind != OPERAND_READ) continue;
        LLVMValueRef at = NULL;
        for (int j = 0; j < loops; j++) {
            if (!emit_uses(e, k, j) || !e->index[j]) continue;
            LLVMValueRef bytes = LLVMBuildMul(e->builder, e->index[j], emit_stride(e, k, j), "");
            at = at ? LLVMBuildAdd(e->builder, at, bytes, "") : bytes;
        }
        LLVMValueRef data = emit_data(e, k);
        e->operands[k].row = at ? emit_offset_bytes(e, data, at) : data;
        e->operands[k].lanes = NULL;
    }
}

/* Byte offsets of the lanes of a strided operand from lane 0; hoisted. */
static LLVMValueRef emit_lane_offsets(struct emit *e, int k, LLVMValueRef stride) {
    if (!e->operands[k].lanes) {
        LLVMBasicBlockRef here = emit_here(e);
        if (e->hoist) emit_at(e, e->hoist);
        LLVMValueRef offsets =
            LLVMBuildMul(e->builder, emit_iota(e, e->i64, e->width), emit_splat_to(e, stride, e->width), "");
        if (!e->hoist) return offsets;
        e->operands[k].lanes = offsets;
        emit_at(e, here);
    }
    return e->operands[k].lanes;
}

static LLVMValueRef emit_only(struct emit *e, LLVMValueRef mask, LLVMValueRef offsets) {
    return mask ? emit_select(e, mask, offsets, LLVMConstNull(LLVMTypeOf(offsets))) : offsets;
}

/* Element of lane 0 and its neighbours along the vector dimension. */
static LLVMValueRef emit_read_along(struct emit *e, int k, enum dtype type) {
    enum access_class access = e->variant->access[k];
    LLVMValueRef row = e->operands[k].row;
    if (access == ACCESS_UNIT) {
        LLVMValueRef at = LLVMBuildGEP2(e->builder, emit_memory_element(e, type), row, &e->offset, 1, "");
        return emit_load_elements(e, type, at, e->width, e->count, (unsigned)dtype_size(type));
    }
    LLVMValueRef stride = emit_stride(e, k, emit_vector_dim(e));
    LLVMValueRef first = emit_offset_bytes(e, row, LLVMBuildMul(e->builder, e->offset, stride, ""));
    LLVMValueRef lanes = emit_lane_offsets(e, k, stride);
    return emit_gather(e, type, first, emit_only(e, e->count ? emit_count_mask(e, e->count, e->width) : NULL, lanes));
}

/* LANES over several dimensions: lanes may lie in different rows. Inside one row the fast way, else by each lane's
 * indices. */
static LLVMValueRef emit_read_across(struct emit *e, int k, enum dtype type) {
    const struct ir_kernel *kernel = e->kernel;
    LLVMTypeRef vector = emit_vector_of(e->i64, e->width);
    LLVMValueRef offsets = LLVMConstNull(vector);
    for (int j = kernel->n_par; j < kernel->n_par + kernel->n_red; j++) {
        if (!emit_uses(e, k, j)) continue;
        LLVMValueRef stride = emit_splat_to(e, emit_stride(e, k, j), e->width);
        offsets = LLVMBuildAdd(e->builder, offsets, LLVMBuildMul(e->builder, e->lane_index[j], stride, ""), "");
    }
    LLVMValueRef row = e->operands[k].row;
    if (e->width == 1) return emit_gather(e, type, row, offsets);
    LLVMValueRef safe = emit_only(e, e->count ? emit_count_mask(e, e->count, e->width) : NULL, offsets);
    if (e->variant->access[k] != ACCESS_UNIT || e->count) return emit_gather(e, type, row, safe);

    LLVMBasicBlockRef near = emit_block(e, "near"), far = emit_block(e, "far"), after = emit_block(e, "read");
    emit_branch(e, e->in_row, near, far);
    emit_at(e, near);
    LLVMValueRef at = emit_offset_bytes(e, row, emit_lane(e, offsets, 0));
    LLVMTypeRef memory = emit_vector_of(emit_memory_element(e, type), e->width);
    LLVMValueRef whole = LLVMBuildLoad2(e->builder, memory, at, "");
    LLVMSetAlignment(whole, (unsigned)dtype_size(type));
    emit_go(e, after);
    emit_at(e, far);
    LLVMValueRef pieces =
        llvm_compat_gather(e->builder, memory, emit_offset_bytes(e, row, safe), (unsigned)dtype_size(type));
    LLVMBasicBlockRef far_end = emit_here(e);
    emit_go(e, after);
    emit_at(e, after);
    LLVMValueRef value = emit_phi(e, memory);
    emit_phi_add(value, whole, near);
    emit_phi_add(value, pieces, far_end);
    return type == TY_BOOL ? LLVMBuildICmp(e->builder, LLVMIntNE, value, LLVMConstNull(memory), "") : value;
}

LLVMValueRef emit_read(struct emit *e, const struct ir_value *value) {
    int k = (int)value->imm.i;
    enum dtype type = e->kernel->operands[k].type;
    if (!emit_is_varying(e, value)) {
        LLVMValueRef at = e->operands[k].row;
        /* Uniform for its stride of 0; scalar code stands at the row's first element. */
        return emit_load_elements(e, type, at, 1, NULL, (unsigned)dtype_size(type));
    }
    if (e->mode == EMIT_LANES && e->lane_index[e->kernel->n_par]) return emit_read_across(e, k, type);
    return emit_read_along(e, k, type);
}

/* --- checked loads ------------------------------------------------------------------------------------------------ */

/* `data`, or something readable if the array has no elements. */
static LLVMValueRef emit_safe_base(struct emit *e, int k) {
    struct emit_operand *operand = &e->operands[k];
    if (operand->safe) return operand->safe;
    LLVMValueRef data = emit_data(e, k), empty = NULL;
    for (int d = 0; d < e->kernel->operands[k].rank; d++) {
        LLVMValueRef size = emit_size(e, k, d);
        LLVMBasicBlockRef here = emit_here(e);
        emit_at(e, e->entry);
        LLVMValueRef none = LLVMBuildICmp(e->builder, LLVMIntEQ, size, emit_i64(e, 0), "");
        empty = empty ? LLVMBuildOr(e->builder, empty, none, "") : none;
        emit_at(e, here);
    }
    if (!empty) return operand->safe = data;
    LLVMValueRef zeros = emit_alloca(e, e->i64, 1, 8);
    LLVMBasicBlockRef here = emit_here(e);
    emit_at(e, e->entry);
    LLVMBuildStore(e->builder, emit_i64(e, 0), zeros);
    operand->safe = emit_select(e, empty, zeros, data);
    emit_at(e, here);
    return operand->safe;
}

/* Bytes from the base for subscript d: the last dimension is often contiguous, a fact worth a multiplication. */
static LLVMValueRef emit_subscript_bytes(struct emit *e, int k, int d, LLVMValueRef index) {
    const struct kernel_operand *operand = &e->kernel->operands[k];
    LLVMValueRef stride = d == operand->rank - 1 && e->variant->access[k] == ACCESS_UNIT
                              ? emit_i64(e, dtype_size(operand->type))
                              : emit_stride(e, k, d);
    return LLVMBuildMul(e->builder, index, emit_splat_to(e, stride, emit_lanes_of(LLVMTypeOf(index))), "");
}

static LLVMValueRef emit_first_active_position(struct emit *e) {
    if (!e->mask || e->width == 1) return e->position;
    LLVMTypeRef bits = LLVMIntTypeInContext(e->context, (unsigned)e->width);
    LLVMValueRef word = LLVMBuildBitCast(e->builder, e->mask, bits, "");
    LLVMValueRef none = LLVMConstInt(e->i1, 0, 0);
    LLVMTypeRef types[] = {bits};
    LLVMValueRef args[] = {word, none};
    LLVMValueRef first = llvm_compat_intrinsic(e->builder, "llvm.cttz", types, 1, args, 2);
    if (e->width < 64) first = LLVMBuildZExt(e->builder, first, e->i64, "");
    return LLVMBuildAdd(e->builder, e->position, LLVMBuildMul(e->builder, first, e->step, ""), "");
}

static LLVMValueRef emit_load_uniform(struct emit *e, const struct ir_value *value, int k, enum dtype type) {
    LLVMValueRef bytes = NULL;
    for (int d = 0; d < value->n_args; d++) {
        LLVMValueRef index = emit_use(e, value->args[d]), size = emit_size(e, k, d);
        LLVMBasicBlockRef bad = emit_block(e, "outside"), good = emit_block(e, "inside");
        emit_branch_unlikely(e, LLVMBuildICmp(e->builder, LLVMIntUGE, index, size, ""), bad, good);
        emit_at(e, bad);
        LLVMValueRef args[] = {e->watch,
                               emit_first_active_position(e),
                               emit_i64(e, ((int64_t)k << CPU_SUPPORT_DIM_BITS) | d),
                               emit_i64(e, value->id),
                               index,
                               size};
        emit_support(e, "cpu_support_report", LLVMVoidTypeInContext(e->context), args, 6);
        emit_go(e, e->leave); /* all lanes at work failed, and everything before them is done */
        emit_at(e, good);
        LLVMValueRef at = emit_subscript_bytes(e, k, d, index);
        bytes = bytes ? LLVMBuildAdd(e->builder, bytes, at, "") : at;
    }
    LLVMValueRef base = emit_data(e, k);
    return emit_load_elements(e, type, bytes ? emit_offset_bytes(e, base, bytes) : base, 1, NULL,
                              (unsigned)dtype_size(type));
}

/* Tells of every lane at work whose subscript d is outside. */
static void emit_report_lanes(struct emit *e, const struct ir_value *value, int k, int d, LLVMValueRef index,
                              LLVMValueRef bad) {
    LLVMValueRef room = emit_alloca(e, LLVMTypeOf(index), 1, 64), bits = bad;
    LLVMBuildStore(e->builder, index, room);
    if (e->width > 1)
        bits = LLVMBuildBitCast(e->builder, bad, LLVMIntTypeInContext(e->context, (unsigned)e->width), "");
    if (e->width < 64) bits = LLVMBuildZExt(e->builder, bits, e->i64, "");
    LLVMValueRef args[] = {e->watch,
                           e->position,
                           e->step,
                           bits,
                           emit_i64(e, ((int64_t)k << CPU_SUPPORT_DIM_BITS) | d),
                           emit_i64(e, value->id),
                           room,
                           emit_size(e, k, d)};
    emit_support(e, "cpu_support_report_lanes", LLVMVoidTypeInContext(e->context), args, 8);
}

LLVMValueRef emit_load_checked(struct emit *e, const struct ir_value *value) {
    int k = (int)value->imm.i;
    enum dtype type = e->kernel->operands[k].type;
    if (!emit_is_varying(e, value)) return emit_load_uniform(e, value, k, type);

    LLVMValueRef ok = e->mask, bytes = NULL, index[TYPE_MAX_RANK], outside[TYPE_MAX_RANK], any = NULL;
    for (int d = 0; d < value->n_args; d++) {
        index[d] = emit_use_lanes(e, value->args[d]);
        LLVMValueRef size = emit_splat_to(e, emit_size(e, k, d), e->width);
        outside[d] = LLVMBuildICmp(e->builder, LLVMIntUGE, index[d], size, "");
        if (e->mask) outside[d] = LLVMBuildAnd(e->builder, outside[d], e->mask, "");
        any = any ? LLVMBuildOr(e->builder, any, outside[d], "") : outside[d];
        LLVMValueRef inside = LLVMBuildICmp(e->builder, LLVMIntULT, index[d], size, "");
        ok = ok ? LLVMBuildAnd(e->builder, ok, inside, "") : inside;
        LLVMValueRef at = emit_subscript_bytes(e, k, d, index[d]);
        bytes = bytes ? LLVMBuildAdd(e->builder, bytes, at, "") : at;
    }
    bytes = emit_only(e, ok, bytes); /* before the branch: masks fare badly across blocks */
    LLVMValueRef base = emit_safe_base(e, k);
    LLVMBasicBlockRef bad = emit_block(e, "outside"), go = emit_block(e, "inside");
    emit_branch_unlikely(e, emit_any(e, any), bad, go);
    emit_at(e, bad);
    for (int d = 0; d < value->n_args; d++) emit_report_lanes(e, value, k, d, index[d], outside[d]);
    emit_go(e, go);
    emit_at(e, go);
    return emit_gather(e, type, base, bytes);
}

/* --- stores ------------------------------------------------------------------------------------------------------- */

/* Outputs are C-contiguous over the parallel positions: row points to the element at the row's first position. */
void emit_store(struct emit *e, const struct ir_value *value) {
    int k = (int)value->imm.i;
    enum dtype type = e->kernel->operands[k].type;
    LLVMValueRef at = LLVMBuildGEP2(e->builder, emit_memory_element(e, type), e->operands[k].row, &e->offset, 1, "");
    if (e->mode == EMIT_SCALAR) {
        emit_store_elements(e, type, emit_use(e, value->args[0]), at, NULL, (unsigned)dtype_size(type), false);
        return;
    }
    LLVMValueRef lanes = emit_use_lanes(e, value->args[0]);
    unsigned alignment = (unsigned)dtype_size(type);
    if (e->mask && e->mask != e->chunk_mask) { /* in one arm of an if: the other lanes keep what they have */
        LLVMValueRef old = emit_load_elements(e, type, at, e->width, e->count, alignment);
        lanes = emit_select(e, e->mask, lanes, old);
    }
    e->stored = true;
    bool past = e->variant->nontemporal && !e->count && e->kernel->kind != KERNEL_COLUMNS && e->width > 1;
    emit_store_elements(e, type, lanes, at, e->count, alignment, past);
}
