/* gpu.c: the GPUs of a context. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/gpu.h"

enum { KNOWN_FOR = 50000000 }; /* nanoseconds */

jit_status gpu_status(const struct cuda_failure *failure) {
    switch (failure->status) {
    case CUDA_OK: return JIT_OK;
    case CUDA_UNAVAILABLE:
    case CUDA_LOST: return JIT_DEVICE;
    case CUDA_NO_MEMORY: return JIT_MEMORY;
    case CUDA_CANCELLED: return JIT_CANCELLED;
    case CUDA_ARGUMENT: return JIT_ARGUMENT;
    case CUDA_COMPILE:
    case CUDA_FAILED: break;
    }
    return JIT_INTERNAL;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

enum { COPY_THREADS = 4, COPY_GRAIN = 256 << 10 };

struct host_copy {
    char *to;
    const char *from;
};

static void copy_part(void *argument, int64_t begin, int64_t end) {
    const struct host_copy *copy = argument;
    memcpy(copy->to + begin, copy->from + begin, (size_t)(end - begin));
}

/* One thread does not keep up with the bus. */
static void copy_host(int threads, void *to, const void *from, size_t size) {
    struct host_copy copy = {to, from};
    threads_run(threads < COPY_THREADS ? threads : COPY_THREADS, (int64_t)size, COPY_GRAIN, false, copy_part, &copy);
}

static jit_status open_one(jit_context *context, int ordinal, struct gpu **out, jit_error *error) {
    struct gpu *gpu = mem_zalloc(&context->mem, 1, sizeof *gpu);
    if (!gpu) return error_set(error, JIT_MEMORY, "out of memory");
    struct cuda_options options = {.mem = &context->mem,
                                   .ordinal = ordinal,
                                   .cache_folder = context->cache_folder,
                                   .cache_bytes = context->options.cache_bytes,
                                   .memory_limit = context->options.max_device_memory,
                                   .copy = copy_host};
    struct cuda_failure failure;
    gpu->device = cuda_device_open(&options, &failure);
    if (!gpu->device) {
        mem_free(&context->mem, gpu, sizeof *gpu);
        if (strstr(failure.text, "cuda:")) return error_set(error, gpu_status(&failure), "%s", failure.text);
        return error_set(error, gpu_status(&failure), "cuda:%d: %s", ordinal, failure.text);
    }
    gpu->generation = fork_generation();
    pthread_mutex_init(&gpu->build, NULL);
    arena_init(&gpu->arena, &context->mem);
    *out = gpu;
    return JIT_OK;
}

jit_status gpu_open(jit_context *context, int ordinal, struct gpu **out, jit_error *error) {
    if (ordinal < 0 || ordinal >= MOST_GPUS)
        return error_set(error, JIT_DEVICE, "cuda:%d: there is no such device", ordinal);
    struct gpu *gpu = atomic_load_explicit(&context->gpus[ordinal], memory_order_acquire);
    jit_status status = JIT_OK;
    if (!gpu) {
        fork_hold();
        pthread_mutex_lock(&context->opening);
        gpu = atomic_load_explicit(&context->gpus[ordinal], memory_order_relaxed);
        if (!gpu && (status = open_one(context, ordinal, &gpu, error)) == JIT_OK)
            atomic_store_explicit(&context->gpus[ordinal], gpu, memory_order_release);
        pthread_mutex_unlock(&context->opening);
        fork_allow();
    }
    if (status == JIT_OK && gpu->generation != fork_generation())
        return error_set(error, JIT_DEVICE, "cuda:%d was opened before fork(): a child process cannot use it", ordinal);
    *out = gpu;
    return status;
}

/* In a child, where the driver is of no use, what the parent's GPU held is left alone. */
void gpu_close_all(jit_context *context) {
    for (int i = 0; i < MOST_GPUS; i++) {
        struct gpu *gpu = atomic_load(&context->gpus[i]);
        if (!gpu) continue;
        for (int width = 0; width < COPY_WIDTHS; width++)
            for (int rank = 0; rank <= TYPE_MAX_RANK; rank++) {
                struct gpu_copier *copier = atomic_load(&gpu->copiers[width][rank]);
                if (copier) gpu_free_variants(context, &copier->state);
            }
        if (gpu->generation == fork_generation()) cuda_device_close(gpu->device);
        arena_free(&gpu->arena);
        pthread_mutex_destroy(&gpu->build);
        mem_free(&context->mem, gpu, sizeof *gpu);
        atomic_store(&context->gpus[i], NULL);
    }
}

/* --- pointers ----------------------------------------------------------------------------------------------------- */

void gpu_forget_pointers(struct gpu *gpu) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t elapsed = now.tv_sec * 1000000000LL + now.tv_nsec;
    if (elapsed - atomic_load_explicit(&gpu->known_since, memory_order_relaxed) < KNOWN_FOR) return;
    for (int i = 0; i < GPU_KNOWN; i++) atomic_store_explicit(&gpu->known[i], 0, memory_order_relaxed);
    atomic_store_explicit(&gpu->known_since, elapsed, memory_order_relaxed);
}

bool gpu_check_pointer(struct gpu *gpu, uint64_t address, bool on_gpu, char *problem, size_t size) {
    uint64_t entry = address | (uint64_t)on_gpu << 63; /* no address of a process has that bit */
    _Atomic uint64_t *known = &gpu->known[(address >> 6) * 0x9E3779B97F4A7C15u >> 58];
    if (atomic_load_explicit(known, memory_order_relaxed) == entry) return true;
    int ordinal = cuda_device_ordinal(gpu->device);
    if (on_gpu) {
        int found = cuda_pointer_device(gpu->device, address);
        if (found == CUDA_POINTER_UNKNOWN) return true; /* the call will say why */
        if (found < 0)
            snprintf(problem, size,
                     "the tensor is said to be on cuda:%d, but the driver knows no device memory at its address",
                     ordinal);
        else if (found != ordinal)
            snprintf(problem, size, "the tensor is said to be on cuda:%d, but its memory is on cuda:%d", ordinal,
                     found);
        if (found != ordinal) return false;
    } else if (!cuda_host_can_reach(gpu->device, address)) {
        snprintf(problem, size, "the tensor is said to be in host memory, but its memory is a GPU's");
        return false;
    }
    atomic_store_explicit(known, entry, memory_order_relaxed);
    return true;
}

/* --- copying ------------------------------------------------------------------------------------------------------ */

struct copier_job {
    struct arena *arena;
    enum dtype type;
    int rank;
    struct gpu_copier *copier;
};

static void make_copier(void *argument) {
    struct copier_job *job = argument;
    struct arena *arena = job->arena;
    struct gpu_copier *copier = ARENA_NEW(arena, struct gpu_copier);
    struct ir_kernel *kernel = copier->kernel = ARENA_NEW(arena, struct ir_kernel);
    kernel->name = arena_printf(arena, "copy_%s_rank%d", dtype_name(job->type), job->rank);
    kernel->kind = KERNEL_MAP;
    kernel->n_par = job->rank;
    kernel->n_operands = 2;
    kernel->operands = ARENA_ARRAY(arena, struct kernel_operand, 2);
    kernel->operands[0] = (struct kernel_operand){OPERAND_READ, job->type, 0, (1u << job->rank) - 1};
    kernel->operands[1] = (struct kernel_operand){OPERAND_WRITE, job->type, 0, 0};
    struct ir_value *value = body_leaf(arena, &kernel->body, OP_read, job->type, 0);
    struct ir_value *store = body_op(arena, &kernel->body, OP_store, TY_NONE, 1, &value, (struct span){0, 0});
    store->imm.i = 1;
    job->copier = copier;
}

struct gpu_copier *gpu_copier_get(struct gpu *gpu, int64_t size, int rank) {
    static const enum dtype types[COPY_WIDTHS] = {TY_U8, TY_U16, TY_U32, TY_U64};
    int width = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    _Atomic(struct gpu_copier *) *place = &gpu->copiers[width][rank];
    struct gpu_copier *copier = atomic_load_explicit(place, memory_order_acquire);
    if (copier) return copier;
    fork_hold();
    pthread_mutex_lock(&gpu->build);
    if (!(copier = atomic_load_explicit(place, memory_order_relaxed))) {
        struct copier_job job = {.arena = &gpu->arena, .type = types[width], .rank = rank};
        if (arena_try(&gpu->arena, make_copier, &job)) {
            copier = job.copier;
            atomic_store_explicit(place, copier, memory_order_release);
        }
    }
    pthread_mutex_unlock(&gpu->build);
    fork_allow();
    return copier;
}
