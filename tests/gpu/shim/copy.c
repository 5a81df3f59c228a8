/* copy.c: see shim.h. */
#include <stdint.h>

#include "shim.h"

enum place { ON_HOST = 1, ON_DEVICE = 2, ANYWHERE = 3 };

static bool on_device(const struct shim_memory *m) {
    return m && (m->kind == MEMORY_DEVICE || m->kind == MEMORY_MANAGED);
}

/* Whether `size` bytes at an address are where they should be. A device address that is no allocation's is an error at
 * once. */
static bool check(const void *at, size_t size, enum place place, const char *what) {
    struct shim_memory *m = shim_find_memory(at, size);
    if (place == ON_HOST && on_device(m)) {
        shim_say("%s: %p is device memory", what, at);
        return false;
    }
    if (place == ON_DEVICE && !m) {
        shim_say("%s: %zu bytes at %p are no device memory", what, size, at);
        return false;
    }
    return true;
}

static CUresult copy(void *to, enum place to_place, const void *from, enum place from_place, size_t size,
                     CUstream handle, bool wait, const char *what) {
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!size) return CUDA_SUCCESS;
    if (!to || !from) return CUDA_ERROR_INVALID_VALUE;
    if (!check(to, size, to_place, what) || !check(from, size, from_place, what)) return CUDA_ERROR_INVALID_VALUE;
    struct shim_op op = {.kind = OP_COPY, .to = to, .from = from, .size = size};
    if (!shim_find_memory(from, size)) { /* pageable: read now */
        if (!(op.staged = malloc(size))) return CUDA_ERROR_OUT_OF_MEMORY;
        memcpy(op.staged, from, size);
        op.from = op.staged;
    }
    CUresult result = shim_queue(stream, &op);
    if (result) {
        free(op.staged);
        return result;
    }
    return wait || !shim_find_memory(to, size) ? shim_finish(stream) : CUDA_SUCCESS;
}

#define P(address) ((void *)(uintptr_t)(address))

SHIM_API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t size) {
    ENTER(NEED_CONTEXT);
    return copy(P(to), ANYWHERE, P(from), ANYWHERE, size, NULL, true, "cuMemcpy");
}
SHIM_API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return copy(P(to), ANYWHERE, P(from), ANYWHERE, size, stream, false, "cuMemcpyAsync");
}
SHIM_API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) {
    ENTER(NEED_CONTEXT);
    return copy(P(to), ON_DEVICE, from, ON_HOST, size, NULL, true, "cuMemcpyHtoD");
}
SHIM_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return copy(P(to), ON_DEVICE, from, ON_HOST, size, stream, false, "cuMemcpyHtoDAsync");
}
SHIM_API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) {
    ENTER(NEED_CONTEXT);
    return copy(to, ON_HOST, P(from), ON_DEVICE, size, NULL, true, "cuMemcpyDtoH");
}
SHIM_API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return copy(to, ON_HOST, P(from), ON_DEVICE, size, stream, false, "cuMemcpyDtoHAsync");
}
SHIM_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size) {
    ENTER(NEED_CONTEXT);
    return copy(P(to), ON_DEVICE, P(from), ON_DEVICE, size, NULL, true, "cuMemcpyDtoD");
}
SHIM_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return copy(P(to), ON_DEVICE, P(from), ON_DEVICE, size, stream, false, "cuMemcpyDtoDAsync");
}
SHIM_API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t size,
                           CUstream stream) {
    ENTER(NEED_CONTEXT);
    if (!shim_is_object(to_context, KIND_CONTEXT) || !shim_is_object(from_context, KIND_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    return copy(P(to), ON_DEVICE, P(from), ON_DEVICE, size, stream, false, "cuMemcpyPeerAsync");
}

static CUresult set(CUdeviceptr to, unsigned value, unsigned unit, size_t n, CUstream handle, bool wait) {
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!n) return CUDA_SUCCESS;
    if (to % unit || n > SIZE_MAX / unit) return CUDA_ERROR_INVALID_VALUE;
    if (!check(P(to), n * unit, ON_DEVICE, "cuMemset")) return CUDA_ERROR_INVALID_VALUE;
    CUresult result =
        shim_queue(stream, &(struct shim_op){.kind = OP_SET, .to = P(to), .size = n, .unit = unit, .value = value});
    return result || !wait ? result : shim_finish(stream);
}

SHIM_API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n) {
    ENTER(NEED_CONTEXT);
    return set(to, value, 1, n, NULL, true);
}
SHIM_API cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t n) {
    ENTER(NEED_CONTEXT);
    return set(to, value, 2, n, NULL, true);
}
SHIM_API cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n) {
    ENTER(NEED_CONTEXT);
    return set(to, value, 4, n, NULL, true);
}
SHIM_API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return set(to, value, 1, n, stream, false);
}
SHIM_API cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t n, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return set(to, value, 2, n, stream, false);
}
SHIM_API cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return set(to, value, 4, n, stream, false);
}
