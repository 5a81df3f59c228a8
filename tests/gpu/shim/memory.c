/* memory.c: see shim.h. Device memory is the host's: under AddressSanitizer kernels are watched byte by byte; otherwise
 * there are guards around every allocation, looked at after every kernel. */
#include <stdint.h>

#include "shim.h"

enum { ALIGNMENT = 256, GUARD = SHIM_ASAN ? 0 : 256, GUARD_BYTE = 0xE7, FRESH_BYTE = 0xFB };

static struct shim_memory *memories;
static unsigned long long ids;

struct CUmemPoolHandle_st {
    struct shim_object object;
    int device;
    uint64_t value[CU_MEMPOOL_ATTR_LAST + 1];
};

struct shim_memory *shim_find_memory(const void *address, size_t size) {
    const char *at = address;
    for (struct shim_memory *m = memories; m; m = m->next)
        if (!m->freed && at >= m->base && (size_t)(at - m->base) <= m->size &&
            size <= m->size - (size_t)(at - m->base) && (size || at < m->base + m->size))
            return m;
    return NULL;
}

static bool check_guard(const struct shim_memory *m) {
    if (m->kind != MEMORY_DEVICE) return true;
    const unsigned char *before = (unsigned char *)m->base - GUARD, *after = (unsigned char *)m->base + m->size;
    for (int i = 0; i < GUARD; i++) {
        if (before[i] != GUARD_BYTE) {
            shim_say("written %d bytes before an allocation of %zu bytes", GUARD - i, m->size);
            return false;
        }
        if (after[i] != GUARD_BYTE) {
            shim_say("written %d bytes behind an allocation of %zu bytes", i, m->size);
            return false;
        }
    }
    return true;
}

bool shim_check_guards(void) {
    for (struct shim_memory *m = memories; m; m = m->next)
        if (!check_guard(m)) return false;
    return true;
}

void shim_free_memory(struct shim_memory *memory) {
    struct shim_memory **link = &memories;
    while (*link != memory) link = &(*link)->next;
    *link = memory->next;
    check_guard(memory);
    if (memory->kind == MEMORY_DEVICE || memory->kind == MEMORY_MANAGED)
        shim_gpu[memory->context->device].used -= memory->size;
    if (memory->kind != MEMORY_REGISTERED) free(memory->base - (memory->kind == MEMORY_DEVICE ? GUARD : 0));
    free(memory);
}

void shim_free_memory_of(CUcontext context) {
    for (struct shim_memory *m = memories, *next; m; m = next) {
        next = m->next;
        if (m->context == context) shim_free_memory(m);
    }
}

void shim_count_memory(struct shim_live *live) {
    for (struct shim_memory *m = memories; m; m = m->next) {
        if (m->freed) continue;
        if (m->kind == MEMORY_DEVICE || m->kind == MEMORY_MANAGED) {
            live->allocations++;
            live->bytes += m->size;
        } else {
            live->pinned++;
            live->pinned_bytes += m->size;
        }
    }
}

static struct shim_memory *take(enum shim_memory_kind kind, size_t size, void *registered) {
    CUcontext context = shim_current();
    struct shim_gpu *gpu = &shim_gpu[context->device];
    bool on_device = kind == MEMORY_DEVICE || kind == MEMORY_MANAGED;
    if (on_device && size > gpu->memory - gpu->used) {
        /* What is about to be freed counts as free: the driver waits for it. */
        size_t coming = 0;
        for (struct shim_memory *m = memories; m; m = m->next)
            if (m->freed && m->context->device == context->device) coming += m->size;
        if (size > gpu->memory - gpu->used + coming) return NULL;
        if (shim_finish_context(context)) return NULL;
        if (size > gpu->memory - gpu->used) return NULL;
    }
    struct shim_memory *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    int guard = kind == MEMORY_DEVICE ? GUARD : 0;
    void *block = registered;
    if (!registered && posix_memalign(&block, ALIGNMENT, size + 2 * (size_t)guard)) {
        free(m);
        return NULL;
    }
    *m = (struct shim_memory){
        .next = memories, .kind = kind, .base = (char *)block + guard, .size = size, .context = context, .id = ++ids};
    if (guard) {
        memset(block, GUARD_BYTE, (size_t)guard);
        memset(m->base + size, GUARD_BYTE, (size_t)guard);
    }
    if (!registered) memset(m->base, FRESH_BYTE, size);
    if (on_device) gpu->used += size;
    memories = m;
    return m;
}

static CUresult take_device(enum shim_memory_kind kind, CUdeviceptr *out, size_t size) {
    if (!out || !size) return CUDA_ERROR_INVALID_VALUE;
    struct shim_memory *m = take(kind, size, NULL);
    if (!m) return shim_current()->dead ? shim_current()->dead : CUDA_ERROR_OUT_OF_MEMORY;
    *out = (CUdeviceptr)(uintptr_t)m->base;
    return CUDA_SUCCESS;
}

SHIM_API cuMemAlloc_v2(CUdeviceptr *out, size_t size) {
    ENTER(NEED_CONTEXT);
    return take_device(MEMORY_DEVICE, out, size);
}

SHIM_API cuMemAllocManaged(CUdeviceptr *out, size_t size, unsigned flags) {
    (void)flags;
    ENTER(NEED_CONTEXT);
    return take_device(MEMORY_MANAGED, out, size);
}

SHIM_API cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    ENTER(NEED_CONTEXT);
    if (!free_bytes || !total) return CUDA_ERROR_INVALID_VALUE;
    const struct shim_gpu *gpu = &shim_gpu[shim_current()->device];
    *free_bytes = gpu->memory - gpu->used;
    *total = gpu->memory;
    return CUDA_SUCCESS;
}

/* The allocation that begins at an address. */
static struct shim_memory *allocation_at(CUdeviceptr address, const char *function) {
    struct shim_memory *m = shim_find_memory((void *)(uintptr_t)address, 1);
    if (m && (char *)(uintptr_t)address == m->base && (m->kind == MEMORY_DEVICE || m->kind == MEMORY_MANAGED)) return m;
    shim_say("%s of what is no allocation: %#llx", function, address);
    return NULL;
}

SHIM_API cuMemFree_v2(CUdeviceptr address) {
    ENTER(NEED_CONTEXT | RELEASES);
    if (!address) RELEASED(CUDA_SUCCESS);
    struct shim_memory *m = allocation_at(address, "cuMemFree");
    if (!m) return CUDA_ERROR_INVALID_VALUE;
    m->freed = true; /* while the lock is not held */
    CUresult result = shim_finish_context(m->context);
    shim_wait_idle();
    shim_free_memory(m);
    RELEASED(result);
}

SHIM_API cuMemAllocAsync(CUdeviceptr *out, size_t size, CUstream stream) {
    ENTER(NEED_CONTEXT);
    if (!shim_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
    return take_device(MEMORY_DEVICE, out, size);
}

SHIM_API cuMemAllocFromPoolAsync(CUdeviceptr *out, size_t size, CUmemoryPool pool, CUstream stream) {
    ENTER(NEED_CONTEXT);
    if (!shim_is_object(pool, KIND_POOL) || !shim_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
    return take_device(MEMORY_DEVICE, out, size);
}

SHIM_API cuMemFreeAsync(CUdeviceptr address, CUstream handle) {
    ENTER(NEED_CONTEXT | RELEASES);
    if (!address) RELEASED(CUDA_SUCCESS);
    struct shim_memory *m = allocation_at(address, "cuMemFreeAsync");
    if (!m) return CUDA_ERROR_INVALID_VALUE;
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    m->freed = true;
    if (m->context->dead) {
        shim_wait_idle();
        shim_free_memory(m);
        RELEASED(CUDA_SUCCESS);
    }
    CUresult result = shim_queue(stream, &(struct shim_op){.kind = OP_FREE, .memory = m});
    if (result) m->freed = false;
    RELEASED(result);
}

/* --- pools
 * ----------------------------------------------------------------------------------------------------------------- */

static CUresult default_pool(CUmemoryPool *pool, CUdevice device) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    if (device < 0 || device >= shim_gpus) return CUDA_ERROR_INVALID_DEVICE;
    struct shim_gpu *gpu = &shim_gpu[device];
    if (!gpu->pool) {
        if (!(gpu->pool = calloc(1, sizeof *gpu->pool))) return CUDA_ERROR_OUT_OF_MEMORY;
        shim_add_object(gpu->pool, KIND_POOL, NULL);
        gpu->pool->device = device;
    }
    *pool = gpu->pool;
    return CUDA_SUCCESS;
}

SHIM_API cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device) {
    ENTER(NEED_INIT);
    return default_pool(pool, device);
}
SHIM_API cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device) {
    ENTER(NEED_INIT);
    return default_pool(pool, device);
}

struct pool_properties {
    int type, handles;
    struct {
        int type, id;
    } location;
    void *security;
    size_t max_size;
    unsigned short usage;
    unsigned char reserved[54];
};

SHIM_API cuMemPoolCreate(CUmemoryPool *out, const struct pool_properties *properties) {
    ENTER(NEED_INIT);
    if (!out || !properties || properties->type != 1 || properties->location.type != 1) return CUDA_ERROR_INVALID_VALUE;
    if (properties->location.id < 0 || properties->location.id >= shim_gpus) return CUDA_ERROR_INVALID_DEVICE;
    CUmemoryPool pool = calloc(1, sizeof *pool);
    if (!pool) return CUDA_ERROR_OUT_OF_MEMORY;
    shim_add_object(pool, KIND_POOL, NULL);
    pool->device = properties->location.id;
    *out = pool;
    return CUDA_SUCCESS;
}

SHIM_API cuMemPoolDestroy(CUmemoryPool pool) {
    ENTER(NEED_INIT | RELEASES);
    if (!shim_is_object(pool, KIND_POOL)) return CUDA_ERROR_INVALID_HANDLE;
    if (shim_gpu[pool->device].pool == pool) return CUDA_ERROR_INVALID_VALUE; /* the default pool stays */
    shim_remove_object(pool);
    free(pool);
    RELEASED(CUDA_SUCCESS);
}

SHIM_API cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value) {
    ENTER(NEED_INIT);
    if (!shim_is_object(pool, KIND_POOL)) return CUDA_ERROR_INVALID_HANDLE;
    if (!value || attribute < 1 || attribute > CU_MEMPOOL_ATTR_LAST) return CUDA_ERROR_INVALID_VALUE;
    if (attribute < CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        pool->value[attribute] = *(const unsigned *)value;
    else
        memcpy(&pool->value[attribute], value, sizeof(uint64_t));
    return CUDA_SUCCESS;
}

SHIM_API cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value) {
    ENTER(NEED_INIT);
    if (!shim_is_object(pool, KIND_POOL)) return CUDA_ERROR_INVALID_HANDLE;
    if (!value || attribute < 1 || attribute > CU_MEMPOOL_ATTR_LAST) return CUDA_ERROR_INVALID_VALUE;
    uint64_t bytes =
        attribute > CU_MEMPOOL_ATTR_RELEASE_THRESHOLD ? shim_gpu[pool->device].used : pool->value[attribute];
    if (attribute < CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        *(unsigned *)value = (unsigned)bytes;
    else
        memcpy(value, &bytes, sizeof bytes);
    return CUDA_SUCCESS;
}

SHIM_API cuMemPoolTrimTo(CUmemoryPool pool, size_t keep) {
    (void)keep;
    ENTER(NEED_INIT);
    return shim_is_object(pool, KIND_POOL) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* --- host memory
 * ------------------------------------------------------------------------------------------------------------- */

static CUresult take_host(void **out, size_t size, unsigned flags) {
    if (!out || !size) return CUDA_ERROR_INVALID_VALUE;
    struct shim_memory *m = take(MEMORY_PINNED, size, NULL);
    if (!m) return CUDA_ERROR_OUT_OF_MEMORY;
    m->flags = flags;
    *out = m->base;
    return CUDA_SUCCESS;
}

SHIM_API cuMemAllocHost_v2(void **out, size_t size) {
    ENTER(NEED_CONTEXT);
    return take_host(out, size, 0);
}
SHIM_API cuMemHostAlloc(void **out, size_t size, unsigned flags) {
    ENTER(NEED_CONTEXT);
    return take_host(out, size, flags);
}

static CUresult give_host(void *p, enum shim_memory_kind kind, CUresult otherwise) {
    struct shim_memory *m = shim_find_memory(p, 1);
    if (!m || m->kind != kind || p != m->base) return otherwise;
    m->freed = true;
    shim_finish_context(m->context);
    shim_wait_idle();
    shim_free_memory(m);
    return CUDA_SUCCESS;
}

SHIM_API cuMemFreeHost(void *p) {
    ENTER(NEED_CONTEXT | RELEASES);
    CUresult result = give_host(p, MEMORY_PINNED, CUDA_ERROR_INVALID_VALUE);
    RELEASED(result);
}

SHIM_API cuMemHostRegister_v2(void *p, size_t size, unsigned flags) {
    ENTER(NEED_CONTEXT);
    if (!p || !size) return CUDA_ERROR_INVALID_VALUE;
    for (struct shim_memory *m = memories; m; m = m->next)
        if ((char *)p < m->base + m->size && (char *)p + size > m->base)
            return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    struct shim_memory *m = take(MEMORY_REGISTERED, size, p);
    if (!m) return CUDA_ERROR_OUT_OF_MEMORY;
    m->flags = flags;
    return CUDA_SUCCESS;
}

SHIM_API cuMemHostUnregister(void *p) {
    ENTER(NEED_CONTEXT | RELEASES);
    CUresult result = give_host(p, MEMORY_REGISTERED, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    RELEASED(result);
}

SHIM_API cuMemHostGetDevicePointer_v2(CUdeviceptr *out, void *p, unsigned flags) {
    ENTER(NEED_CONTEXT);
    struct shim_memory *m = shim_find_memory(p, 1);
    if (!out || flags || !m || (m->kind != MEMORY_PINNED && m->kind != MEMORY_REGISTERED))
        return CUDA_ERROR_INVALID_VALUE;
    *out = (CUdeviceptr)(uintptr_t)p;
    return CUDA_SUCCESS;
}

SHIM_API cuMemHostGetFlags(unsigned *flags, void *p) {
    ENTER(NEED_CONTEXT);
    struct shim_memory *m = shim_find_memory(p, 1);
    if (!flags || !m || m->kind != MEMORY_PINNED) return CUDA_ERROR_INVALID_VALUE;
    *flags = m->flags;
    return CUDA_SUCCESS;
}

/* --- what a pointer is
 * --------------------------------------------------------------------------------------------------------- */

static CUresult pointer_attribute(void *data, int attribute, CUdeviceptr address) {
    struct shim_memory *m = shim_find_memory((void *)(uintptr_t)address, 1);
    if (!data) return CUDA_ERROR_INVALID_VALUE;
    if (!m) return CUDA_ERROR_INVALID_VALUE; /* unknown to the driver: pageable host memory, or nothing */
    bool host = m->kind == MEMORY_PINNED || m->kind == MEMORY_REGISTERED;
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)data = m->context; break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *(unsigned *)data = host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *(CUdeviceptr *)data = address; break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (m->kind == MEMORY_DEVICE) return CUDA_ERROR_INVALID_VALUE;
        *(void **)data = (void *)(uintptr_t)address;
        break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: *(unsigned long long *)data = m->id; break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned *)data = m->kind == MEMORY_MANAGED; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)data = m->context->device; break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *(CUdeviceptr *)data = (CUdeviceptr)(uintptr_t)m->base; break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *(size_t *)data = m->size; break;
    case CU_POINTER_ATTRIBUTE_MAPPED: *(unsigned char *)data = 1; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

SHIM_API cuPointerGetAttribute(void *data, int attribute, CUdeviceptr address) {
    ENTER(NEED_INIT);
    return pointer_attribute(data, attribute, address);
}

/* The plural never fails for unknown memory: it answers zeros, but for the ordinal, which is -2 (CU_DEVICE_INVALID). */
SHIM_API cuPointerGetAttributes(unsigned n, int *attributes, void **data, CUdeviceptr address) {
    ENTER(NEED_INIT);
    if (!n || !attributes || !data) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) {
        if (!data[i]) return CUDA_ERROR_INVALID_VALUE;
        if (!pointer_attribute(data[i], attributes[i], address)) continue;
        switch (attributes[i]) {
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned *)data[i] = 0; break;
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)data[i] = -2; break;
        case CU_POINTER_ATTRIBUTE_MAPPED: *(unsigned char *)data[i] = 0; break;
        case CU_POINTER_ATTRIBUTE_CONTEXT:
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE: memset(data[i], 0, 8); break;
        default: return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return CUDA_SUCCESS;
}

SHIM_API cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr address) {
    ENTER(NEED_CONTEXT);
    struct shim_memory *m = shim_find_memory((void *)(uintptr_t)address, 1);
    if (!m) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = (CUdeviceptr)(uintptr_t)m->base;
    if (size) *size = m->size;
    return CUDA_SUCCESS;
}
