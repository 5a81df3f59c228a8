#include "codegen/cpu/emit.h"

#include <stddef.h>
#include <string.h>

bool emit_is_vector(LLVMValueRef value) {
    return LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVectorTypeKind;
}

LLVMTypeRef emit_element(struct emit *e, enum dtype type) {
    switch (type) {
    case TY_BOOL: return e->i1;
    case TY_I8:
    case TY_U8: return e->i8;
    case TY_I16:
    case TY_U16: return e->i16;
    case TY_I32:
    case TY_U32: return e->i32;
    case TY_F32: return e->f32;
    case TY_F64: return e->f64;
    default: return e->i64;
    }
}

LLVMTypeRef emit_memory_element(struct emit *e, enum dtype type) {
    return type == TY_BOOL ? e->i8 : emit_element(e, type);
}

LLVMTypeRef emit_vector_of(LLVMTypeRef element, int n) {
    return n == 1 ? element : LLVMVectorType(element, (unsigned)n);
}

LLVMTypeRef emit_scalar_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

int emit_lanes_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

LLVMTypeRef emit_like(LLVMValueRef like, LLVMTypeRef element) {
    return emit_vector_of(element, emit_lanes_of(LLVMTypeOf(like)));
}

/* --- constants -------------------------------------------------------------------------------------------------------
 */

static LLVMValueRef emit_repeat(LLVMTypeRef type, LLVMValueRef scalar) {
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return scalar;
    LLVMValueRef lanes[64];
    unsigned n = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < n; i++) lanes[i] = scalar;
    return LLVMConstVector(lanes, n);
}

LLVMValueRef emit_int(LLVMTypeRef type, int64_t value) {
    return emit_repeat(type, LLVMConstInt(emit_scalar_of(type), (unsigned long long)value, true));
}

LLVMValueRef emit_real(LLVMTypeRef type, double value) {
    return emit_repeat(type, LLVMConstReal(emit_scalar_of(type), value));
}

LLVMValueRef emit_i64(struct emit *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

LLVMValueRef emit_iota(struct emit *e, LLVMTypeRef element, int n) {
    (void)e;
    LLVMValueRef lanes[64];
    for (int i = 0; i < n; i++) lanes[i] = LLVMConstInt(element, (unsigned long long)i, false);
    return n == 1 ? lanes[0] : LLVMConstVector(lanes, (unsigned)n);
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

static LLVMValueRef emit_shuffle(struct emit *e, LLVMValueRef a, LLVMValueRef b, const int *lanes, int n) {
    LLVMValueRef mask[64];
    for (int i = 0; i < n; i++) mask[i] = LLVMConstInt(e->i32, (unsigned long long)lanes[i], false);
    return LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

LLVMValueRef emit_splat_to(struct emit *e, LLVMValueRef value, int n) {
    if (n == 1 || emit_is_vector(value)) return value;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(value), (unsigned)n);
    if (LLVMIsAConstantInt(value) || LLVMIsAConstantFP(value)) return emit_repeat(type, value);
    LLVMValueRef one = LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), value, LLVMConstInt(e->i32, 0, 0), "");
    return LLVMBuildShuffleVector(e->builder, one, LLVMGetPoison(type),
                                  LLVMConstNull(LLVMVectorType(e->i32, (unsigned)n)), "");
}

LLVMValueRef emit_lane(struct emit *e, LLVMValueRef vector, int lane) {
    if (!emit_is_vector(vector)) return vector;
    return LLVMBuildExtractElement(e->builder, vector, LLVMConstInt(e->i32, (unsigned long long)lane, 0), "");
}

LLVMValueRef emit_slice(struct emit *e, LLVMValueRef vector, int first, int n) {
    if (!emit_is_vector(vector) || (first == 0 && n == emit_lanes_of(LLVMTypeOf(vector)))) return vector;
    if (n == 1) return emit_lane(e, vector, first);
    int lanes[64];
    for (int i = 0; i < n; i++) lanes[i] = first + i;
    return emit_shuffle(e, vector, LLVMGetPoison(LLVMTypeOf(vector)), lanes, n);
}

LLVMValueRef emit_concat(struct emit *e, LLVMValueRef *parts, int n_parts) {
    int lanes[64];
    for (int i = 0; i < 64; i++) lanes[i] = i;
    for (; n_parts > 1; n_parts /= 2)
        for (int i = 0; i < n_parts / 2; i++)
            parts[i] =
                emit_shuffle(e, parts[2 * i], parts[2 * i + 1], lanes, 2 * emit_lanes_of(LLVMTypeOf(parts[2 * i])));
    return parts[0];
}

LLVMValueRef emit_intrinsic(struct emit *e, const char *name, LLVMTypeRef type, LLVMValueRef a, LLVMValueRef b,
                            LLVMValueRef c) {
    LLVMValueRef args[] = {a, b, c};
    return llvm_compat_intrinsic(e->builder, name, &type, 1, args, c ? 3 : b ? 2 : 1);
}

LLVMValueRef emit_select(struct emit *e, LLVMValueRef condition, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(e->builder, condition, a, b, "");
}

LLVMValueRef emit_any(struct emit *e, LLVMValueRef mask) {
    if (!emit_is_vector(mask)) return mask;
    LLVMTypeRef bits = LLVMIntTypeInContext(e->context, LLVMGetVectorSize(LLVMTypeOf(mask)));
    LLVMValueRef word = LLVMBuildBitCast(e->builder, mask, bits, "");
    return LLVMBuildICmp(e->builder, LLVMIntNE, word, LLVMConstInt(bits, 0, 0), "");
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

LLVMBasicBlockRef emit_block(struct emit *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->context, e->function, name);
}

LLVMBasicBlockRef emit_here(struct emit *e) {
    return LLVMGetInsertBlock(e->builder);
}

void emit_go(struct emit *e, LLVMBasicBlockRef to) {
    LLVMBuildBr(e->builder, to);
}

void emit_branch(struct emit *e, LLVMValueRef condition, LLVMBasicBlockRef yes, LLVMBasicBlockRef no) {
    LLVMBuildCondBr(e->builder, condition, yes, no);
}

void emit_branch_unlikely(struct emit *e, LLVMValueRef condition, LLVMBasicBlockRef rare, LLVMBasicBlockRef usual) {
    LLVMSetMetadata(LLVMBuildCondBr(e->builder, condition, rare, usual), e->prof_kind, e->unlikely);
}

void emit_at(struct emit *e, LLVMBasicBlockRef block) {
    LLVMPositionBuilderAtEnd(e->builder, block);
}

LLVMValueRef emit_phi(struct emit *e, LLVMTypeRef type) {
    return LLVMBuildPhi(e->builder, type, "");
}

void emit_phi_add(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from) {
    LLVMAddIncoming(phi, &value, &from, 1);
}

LLVMValueRef emit_alloca(struct emit *e, LLVMTypeRef type, int64_t n, unsigned alignment) {
    LLVMBasicBlockRef here = emit_here(e);
    LLVMValueRef first = LLVMGetFirstInstruction(e->entry);
    if (first)
        LLVMPositionBuilderBefore(e->builder, first);
    else
        emit_at(e, e->entry);
    LLVMValueRef memory = LLVMBuildAlloca(e->builder, LLVMArrayType2(type, (uint64_t)n), "");
    LLVMSetAlignment(memory, alignment);
    emit_at(e, here);
    return memory;
}

LLVMValueRef emit_offset_bytes(struct emit *e, LLVMValueRef pointer, LLVMValueRef bytes) {
    return LLVMBuildGEP2(e->builder, e->i8, pointer, &bytes, 1, "");
}

LLVMValueRef emit_load_field(struct emit *e, LLVMValueRef pointer, int64_t byte_offset, LLVMTypeRef type) {
    return LLVMBuildLoad2(e->builder, type, emit_offset_bytes(e, pointer, emit_i64(e, byte_offset)), "");
}

/* --- functions ---------------------------------------------------------------------------------------------------- */

void emit_frame_begin(struct emit *e, const char *name, LLVMTypeRef type) {
    e->function = LLVMAddFunction(e->module, name, type);
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->context, nounwind, 0));
    /* Vectors that are spilled around calls: across cache lines they cost up to 1.7 times the time of a whole kernel.
     */
    unsigned aligned = LLVMGetEnumAttributeKindForName("alignstack", 10);
    if (e->engine->vector_bytes > 16)
        LLVMAddAttributeAtIndex(e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                LLVMCreateEnumAttribute(e->context, aligned, (uint64_t)e->engine->vector_bytes));
    e->entry = emit_block(e, "entry");
    e->leave = emit_block(e, "leave");
    memset(e->extents, 0, sizeof e->extents);
    memset(e->index, 0, sizeof e->index);
    memset(e->lane_index, 0, sizeof e->lane_index);
    memset(e->operands, 0, (size_t)e->kernel->n_operands * sizeof *e->operands);
    e->mask = e->chunk_mask = e->count = e->in_row = NULL;
    e->hoist = e->cancelled = NULL;
}

void emit_function_begin(struct emit *e, const char *name, int n_i64, bool with_pointer) {
    LLVMTypeRef parameters[8] = {e->ptr};
    for (int i = 0; i < n_i64; i++) parameters[1 + i] = e->i64;
    if (with_pointer) parameters[1 + n_i64] = e->ptr;
    emit_frame_begin(
        e, name,
        LLVMFunctionType(LLVMVoidTypeInContext(e->context), parameters, (unsigned)(1 + n_i64 + with_pointer), 0));
    emit_at(e, e->leave);
    LLVMBuildRetVoid(e->builder);
    emit_at(e, e->entry);
    LLVMValueRef call = LLVMGetParam(e->function, 0);
    e->arguments = emit_load_field(e, call, offsetof(struct kernel_call, arguments), e->ptr);
    e->extents_at = emit_load_field(e, call, offsetof(struct kernel_call, extents), e->ptr);
    e->sizes_at = emit_load_field(e, call, offsetof(struct kernel_call, sizes), e->ptr);
    e->watch = emit_load_field(e, call, offsetof(struct kernel_call, watch), e->ptr);
    e->cancel = emit_load_field(e, e->watch, offsetof(struct kernel_watch, cancel), e->ptr);
    emit_at(e, emit_block(e, "start"));
}

void emit_function_once(struct emit *e) {
    static const char *const names[] = {"optnone", "noinline"}; /* the former demands the latter */
    for (int i = 0; i < 2; i++)
        LLVMAddAttributeAtIndex(
            e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
            LLVMCreateEnumAttribute(e->context, LLVMGetEnumAttributeKindForName(names[i], strlen(names[i])), 0));
}

void emit_function_end(struct emit *e) {
    if (e->variant->nontemporal) { /* before anybody is told that the stores are done */
        LLVMPositionBuilderBefore(e->builder, LLVMGetBasicBlockTerminator(e->leave));
        if (e->engine->isa <= ISA_SCALAR)
            llvm_compat_intrinsic(e->builder, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
        else
            LLVMBuildFence(e->builder, LLVMAtomicOrderingSequentiallyConsistent, 0, "");
    }
    LLVMBasicBlockRef start = LLVMGetNextBasicBlock(e->leave);
    emit_at(e, e->entry);
    emit_go(e, start);
    LLVMMoveBasicBlockAfter(e->leave, LLVMGetLastBasicBlock(e->function));
}

LLVMValueRef emit_argument(struct emit *e, int i) {
    return LLVMGetParam(e->function, (unsigned)(i + 1));
}

/* --- launch data -------------------------------------------------------------------------------------------------- */

/* A field of operand k's argument: an element of the array at `member`, or the pointer itself if i < 0. */
static LLVMValueRef emit_argument_field(struct emit *e, int k, size_t member, int i, LLVMTypeRef type) {
    LLVMBasicBlockRef here = emit_here(e);
    emit_at(e, e->entry);
    int64_t at = (int64_t)((size_t)k * sizeof(struct kernel_argument) + member);
    LLVMValueRef value = emit_load_field(e, e->arguments, at, i < 0 ? type : e->ptr);
    if (i >= 0) value = emit_load_field(e, value, 8 * (int64_t)i, type);
    emit_at(e, here);
    return value;
}

LLVMValueRef emit_data(struct emit *e, int k) {
    struct emit_operand *operand = &e->operands[k];
    if (!operand->data) operand->data = emit_argument_field(e, k, offsetof(struct kernel_argument, data), -1, e->ptr);
    return operand->data;
}

LLVMValueRef emit_stride(struct emit *e, int k, int dim) {
    LLVMValueRef *stride = &e->operands[k].stride[dim];
    if (!*stride) *stride = emit_argument_field(e, k, offsetof(struct kernel_argument, stride), dim, e->i64);
    return *stride;
}

LLVMValueRef emit_size(struct emit *e, int k, int dim) {
    LLVMValueRef *size = &e->operands[k].size[dim];
    if (!*size) *size = emit_argument_field(e, k, offsetof(struct kernel_argument, size), dim, e->i64);
    return *size;
}

LLVMValueRef emit_extent(struct emit *e, int loop) {
    if (!e->extents[loop]) {
        LLVMBasicBlockRef here = emit_here(e);
        emit_at(e, e->entry);
        e->extents[loop] = emit_load_field(e, e->extents_at, 8 * (int64_t)loop, e->i64);
        emit_at(e, here);
    }
    return e->extents[loop];
}

LLVMValueRef emit_size_parameter(struct emit *e, int64_t number) {
    LLVMBasicBlockRef here = emit_here(e);
    emit_at(e, e->entry);
    LLVMValueRef value = emit_load_field(e, e->sizes_at, 8 * number, e->i64);
    emit_at(e, here);
    return value;
}

/* --- calls out ---------------------------------------------------------------------------------------------------- */

LLVMValueRef emit_support(struct emit *e, const char *name, LLVMTypeRef result, LLVMValueRef *args, int n_args) {
    LLVMTypeRef types[10];
    for (int i = 0; i < n_args; i++) types[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)n_args, 0);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (!function) function = LLVMAddFunction(e->module, name, type);
    return LLVMBuildCall2(e->builder, type, function, args, (unsigned)n_args, "");
}

void emit_cut(struct emit *e) {
    LLVMBasicBlockRef here = emit_here(e), go = emit_block(e, "on");
    if (!e->cancelled) {
        e->cancelled = emit_block(e, "cancelled");
        emit_at(e, e->cancelled);
        LLVMValueRef args[] = {e->watch, emit_i64(e, 0)};
        emit_support(e, "cpu_support_poll", e->i64, args, 2);
        emit_go(e, e->leave);
        emit_at(e, here);
    }
    LLVMValueRef cancel = LLVMBuildLoad2(e->builder, e->i32, e->cancel, "");
    LLVMSetVolatile(cancel, 1);
    emit_branch_unlikely(e, LLVMBuildICmp(e->builder, LLVMIntNE, cancel, emit_int(e->i32, 0), ""), e->cancelled, go);
    emit_at(e, go);
}

LLVMValueRef emit_poll(struct emit *e, LLVMValueRef position, bool wanted) {
    LLVMValueRef stop = emit_load_field(e, e->watch, offsetof(struct kernel_watch, stop), e->i32);
    LLVMSetVolatile(stop, 1);
    LLVMValueRef cancel = LLVMBuildLoad2(e->builder, e->i32, e->cancel, "");
    LLVMSetVolatile(cancel, 1);
    LLVMValueRef either = LLVMBuildOr(e->builder, stop, cancel, "");
    LLVMBasicBlockRef before = emit_here(e), slow = emit_block(e, "stop"), go = emit_block(e, "go");
    emit_branch_unlikely(e, LLVMBuildICmp(e->builder, LLVMIntNE, either, emit_int(e->i32, 0), ""), slow, go);

    emit_at(e, slow);
    LLVMValueRef args[] = {e->watch, position};
    LLVMValueRef left = emit_support(e, "cpu_support_poll", e->i64, args, 2);
    emit_branch(e, LLVMBuildICmp(e->builder, LLVMIntSLE, left, emit_i64(e, 0), ""), e->leave, go);
    emit_at(e, go);
    if (!wanted) return NULL;
    LLVMValueRef phi = emit_phi(e, e->i64);
    emit_phi_add(phi, emit_i64(e, INT64_MAX), before);
    emit_phi_add(phi, left, slow);
    return phi;
}
