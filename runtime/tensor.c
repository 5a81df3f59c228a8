/* tensor.c: DLPack tensors as the runtime sees them. */
#include <string.h>

#include "runtime/gpu.h"

enum dtype tensor_dtype(const DLTensor *tensor) {
    DLDataType t = tensor->dtype;
    if (t.lanes != 1) return TY_NONE;
    switch (t.code) {
    case kDLInt:
        return t.bits == 8 ? TY_I8 : t.bits == 16 ? TY_I16 : t.bits == 32 ? TY_I32 : t.bits == 64 ? TY_I64 : TY_NONE;
    case kDLUInt:
        return t.bits == 8 ? TY_U8 : t.bits == 16 ? TY_U16 : t.bits == 32 ? TY_U32 : t.bits == 64 ? TY_U64 : TY_NONE;
    case kDLFloat: return t.bits == 16 ? TY_F16 : t.bits == 32 ? TY_F32 : t.bits == 64 ? TY_F64 : TY_NONE;
    case JIT_DL_BOOL_CODE: return t.bits == 8 ? TY_BOOL : TY_NONE;
    default: return TY_NONE;
    }
}

DLDataType tensor_dl_type(enum dtype type) {
    return jit_inline_type((int)type);
}

DLDataType jit_dl_type(jit_dtype type) {
    return jit_inline_type(type);
}
jit_dtype jit_type_of(const DLTensor *tensor) {
    return tensor ? (jit_dtype)tensor_dtype(tensor) : (jit_dtype)0;
}
const char *jit_type_name(jit_dtype type) {
    return dtype_name(type >= JIT_BOOL && type <= JIT_F64 ? (enum dtype)type : TY_NONE);
}

bool tensor_is_here(const DLTensor *tensor) {
    return tensor->device.device_type == kDLCPU || tensor->device.device_type == kDLCUDAHost;
}

void tensor_strides(const DLTensor *tensor, int64_t *stride) {
    int64_t size = dtype_size(tensor_dtype(tensor)), step = size;
    for (int d = tensor->ndim - 1; d >= 0; d--) {
        stride[d] = tensor->strides ? tensor->strides[d] * size : step;
        if (!tensor->strides && tensor->shape[d] > 0) step *= tensor->shape[d];
    }
}

/* What a result holds besides its tensor. The context is held too: its allocator frees this block. */
struct owner {
    DLManagedTensor managed;
    struct buffer *buffer; /* one of the two */
    struct cuda_buffer *cuda_buffer;
    jit_context *context;
    int64_t shape[TYPE_MAX_RANK], strides[TYPE_MAX_RANK];
};

static void release_owner(DLManagedTensor *managed) {
    struct owner *owner = managed->manager_ctx;
    jit_context *context = owner->context;
    pool_release(owner->buffer);
    cuda_release(owner->cuda_buffer);
    mem_free(&context->mem, owner, sizeof *owner);
    context_release(context);
}

static struct owner *make_owner(jit_context *context, enum dtype type, int rank, const int64_t *shape) {
    struct owner *owner = mem_zalloc(&context->mem, 1, sizeof *owner);
    if (!owner) return NULL;
    context_retain(context);
    owner->context = context;
    owner->managed.manager_ctx = owner;
    owner->managed.deleter = release_owner;
    DLTensor *tensor = &owner->managed.dl_tensor;
    tensor->device = (DLDevice){kDLCPU, 0};
    tensor->ndim = rank;
    tensor->dtype = tensor_dl_type(type);
    tensor->shape = owner->shape;
    tensor->strides = owner->strides;
    int64_t step = 1;
    for (int d = rank - 1; d >= 0; d--) {
        owner->shape[d] = shape[d];
        owner->strides[d] = step;
        step *= shape[d];
    }
    return owner;
}

DLManagedTensor *tensor_wrap(jit_context *context, struct buffer *buffer, enum dtype type, int rank,
                             const int64_t *shape) {
    struct owner *owner = make_owner(context, type, rank, shape);
    if (!owner) return NULL;
    owner->buffer = buffer;
    owner->managed.dl_tensor.data = buffer->data;
    return &owner->managed;
}

DLManagedTensor *tensor_wrap_cuda(jit_context *context, struct cuda_buffer *buffer, int device, enum dtype type,
                                  int rank, const int64_t *shape) {
    struct owner *owner = make_owner(context, type, rank, shape);
    if (!owner) return NULL;
    owner->cuda_buffer = buffer;
    owner->managed.dl_tensor.data = (void *)(uintptr_t)buffer->address;
    owner->managed.dl_tensor.device = (DLDevice){kDLCUDA, device};
    return &owner->managed;
}
