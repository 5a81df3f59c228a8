/* launch_cuda.c: a bound kernel on a GPU: the compiled variant for the layout met, its parameters, its shape. */
#include <string.h>

#include "runtime/gpu.h"

enum {
    FLAG_ALIGNED = 1,
    FLAG_SINGLE_ROW = 2,
    FLAG_ALIASED = 4,
    FLAG_SHORT_ROWS = 8,
    RUN_VECTORS = 16, /* virtual vectors in a run: design's order of reductions */
    FEW_VALUES = 192,
};

/* Compiled and loaded for one device. The key is a launch's: access classes and flags. */
struct gpu_variant {
    struct gpu_variant *next;
    const struct gpu *gpu;
    struct ptx_kernel kernel; /* without its source; the name is the ir_kernel's */
    struct cuda_module *module;
    int key_length;
    struct ptx_parameter parameters[]; /* [kernel.n_parameters], then the key */
};

static unsigned char *key_of(const struct gpu_variant *variant) {
    return (unsigned char *)(variant->parameters + variant->kernel.n_parameters);
}

static size_t size_of_variant(int n_parameters, int key_length) {
    return sizeof(struct gpu_variant) + sizeof(struct ptx_parameter) * (size_t)n_parameters + (size_t)key_length;
}

void gpu_free_variants(jit_context *context, struct launch_state *state) {
    struct gpu_variant *following;
    for (struct gpu_variant *v = atomic_load(&state->gpu_variants); v; v = following) {
        following = v->next;
        mem_free(&context->mem, v, size_of_variant(v->kernel.n_parameters, v->key_length));
    }
    atomic_store(&state->gpu_variants, NULL);
}

/* --- the key ------------------------------------------------------------------------------------------------------ */

/* Elements before the first one at which all vectors of all PTX_UNIT operands are aligned, in every row; -1: there is
 * none. */
static int64_t aligned_head(const struct launch *launch, int vector_dimension, int vector) {
    const struct ir_kernel *kernel = launch->kernel;
    int64_t head = -1;
    for (int k = 0; k < kernel->n_operands; k++) {
        if (kernel->operands[k].kind == OPERAND_WHOLE || launch->key[k] != PTX_UNIT) continue;
        int64_t size = dtype_size(kernel->operands[k].type), bytes = size * vector;
        int64_t own = (int64_t)(-(uint64_t)(uintptr_t)launch->arguments[k].data & (uint64_t)(bytes - 1)) / size;
        if (head >= 0 && own != head) return -1;
        head = own;
        for (int j = 0; j < kernel->n_par + kernel->n_red; j++)
            if (j != vector_dimension && launch->extents[j] > 1 && launch->operands[k].stride[j] & (bytes - 1))
                return -1;
    }
    return head;
}

/* Returns the head, 0 if the variant has no vectors. */
static int64_t make_key(struct launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    int dimension = launch_vector_dimension(kernel), n = kernel->n_operands;
    enum ptx_access few[64], *access = n <= 64 ? few : NULL;
    bool single = true;
    for (int k = 0; k < n; k++) {
        if (launch->key[k] == PTX_BY_VALUE) {
            if (access) access[k] = PTX_BY_VALUE;
            continue;
        }
        int64_t stride;
        if (kernel->operands[k].kind == OPERAND_WHOLE)
            stride = launch->operands[k].stride[kernel->operands[k].rank - 1];
        else
            stride = dimension >= 0 ? launch->operands[k].stride[dimension] : 0;
        enum ptx_access found = stride == 0                                      ? PTX_UNIFORM
                                : stride == dtype_size(kernel->operands[k].type) ? PTX_UNIT
                                                                                 : PTX_STRIDED;
        launch->key[k] = (unsigned char)found;
        if (access) access[k] = found;
    }
    for (int j = 0; j < kernel->n_par + kernel->n_red; j++)
        if (j != dimension && launch->extents[j] != 1) single = false;
    unsigned char flags = 0;
    if (single) flags |= FLAG_SINGLE_ROW;
    if (launch->run->gpu->aliased) flags |= FLAG_ALIASED;
    if (kernel->kind == KERNEL_LANES && launch->reduced <= (int64_t)RUN_VECTORS * kernel->lanes)
        flags |= FLAG_SHORT_ROWS;
    int64_t head = -1;
    int vector = access ? ptx_vector_of(kernel, access) : 1; /* hundreds of operands: not worth vectors */
    if (vector > 1) head = aligned_head(launch, dimension, vector);
    if (head > 0 && kernel->kind != KERNEL_MAP) head = -1;
    if (head >= 0) flags |= FLAG_ALIGNED;
    launch->key[n] = flags;
    return head >= 0 ? head : 0;
}

/* --- variants ----------------------------------------------------------------------------------------------------- */

static const struct gpu_variant *find_variant(const struct launch *launch) {
    const struct gpu *gpu = launch->run->gpu->gpu;
    size_t length = (size_t)launch->kernel->n_operands + 1;
    for (const struct gpu_variant *v = atomic_load_explicit(&launch->state->gpu_variants, memory_order_acquire); v;
         v = v->next)
        if (v->gpu == gpu && memcmp(key_of(v), launch->key, length) == 0) return v;
    return NULL;
}

struct emit_job {
    struct launch *launch;
    struct arena arena;
    struct strbuf why;
    struct ptx_kernel kernel;
    bool ok;
};

static void emit_variant(void *argument) {
    struct emit_job *job = argument;
    const struct ir_kernel *kernel = job->launch->kernel;
    const jit_context *context = job->launch->run->context;
    int n = kernel->n_operands;
    unsigned flags = job->launch->key[n];
    enum ptx_access *access = ARENA_ARRAY(&job->arena, enum ptx_access, n + 1);
    for (int k = 0; k < n; k++) access[k] = (enum ptx_access)job->launch->key[k];
    struct ptx_variant variant = {.access = access,
                                  .aligned = flags & FLAG_ALIGNED,
                                  .single_row = flags & FLAG_SINGLE_ROW,
                                  .aliased = flags & FLAG_ALIASED,
                                  .short_rows = flags & FLAG_SHORT_ROWS,
                                  .fast = context->fp == FP_FAST,
                                  .ulp = context->ulp};
    strbuf_init(&job->why, &job->arena);
    job->ok = ptx_emit(&job->arena, (struct ir_kernel *)kernel, &variant, &job->kernel, &job->why);
}

static struct gpu_variant *load_variant(struct launch *launch, struct emit_job *job) {
    struct run *run = launch->run;
    jit_context *context = run->context;
    struct gpu_run *gpu = run->gpu;
    int length = launch->kernel->n_operands + 1;
    struct cuda_build built;
    struct cuda_module *module =
        cuda_module_get(gpu->gpu->device, &job->kernel, context->fp == FP_FAST, &built, &gpu->failure);
    if (!module) {
        if (gpu->failure.status == CUDA_COMPILE)
            run->status = error_set(run->error, JIT_INTERNAL, "compiling kernel `%s` for the GPU failed: %s",
                                    launch->kernel->name, gpu->failure.text);
        else
            gpu_fail(run, launch->span, &gpu->failure);
        return NULL;
    }
    struct gpu_variant *variant = mem_zalloc(&context->mem, 1, size_of_variant(job->kernel.n_parameters, length));
    if (!variant) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
        return NULL;
    }
    variant->gpu = gpu->gpu;
    variant->module = module;
    variant->kernel = job->kernel;
    variant->kernel.name = launch->kernel->name;
    variant->kernel.source = NULL;
    variant->kernel.parameters = variant->parameters;
    if (job->kernel.n_parameters)
        memcpy(variant->parameters, job->kernel.parameters,
               sizeof *variant->parameters * (size_t)job->kernel.n_parameters);
    variant->key_length = length;
    memcpy(key_of(variant), launch->key, (size_t)length);
    return variant;
}

static const struct gpu_variant *make_variant(struct launch *launch) {
    struct run *run = launch->run;
    struct emit_job job = {.launch = launch};
    arena_init(&job.arena, &run->context->mem);
    struct gpu_variant *variant = NULL;
    fork_hold();
    pthread_mutex_lock(launch->build);
    const struct gpu_variant *found = find_variant(launch); /* another thread may have been first */
    if (found) goto out;
    if (!arena_try(&job.arena, emit_variant, &job) || (!job.ok && !*strbuf_text(&job.why))) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
    } else if (!job.ok) {
        run->status = error_at(run->error, run->function, JIT_UNSUPPORTED, launch->span, "%s", strbuf_text(&job.why));
    } else if ((variant = load_variant(launch, &job))) {
        variant->next = atomic_load_explicit(&launch->state->gpu_variants, memory_order_relaxed);
        atomic_store_explicit(&launch->state->gpu_variants, variant, memory_order_release);
    }
    found = variant;
out:
    pthread_mutex_unlock(launch->build);
    fork_allow();
    arena_free(&job.arena);
    return found;
}

/* --- launching ---------------------------------------------------------------------------------------------------- */

static void fill_values(const struct launch *launch, const struct ptx_kernel *kernel, uint64_t *values) {
    const struct kernel_operand *operands = launch->kernel->operands;
    for (int i = 0; i < kernel->n_parameters; i++) {
        int a = kernel->parameters[i].a, b = kernel->parameters[i].b;
        int64_t value = 0;
        switch (kernel->parameters[i].kind) {
        case PTX_PARAM_DATA: value = (int64_t)(uintptr_t)launch->arguments[a].data; break;
        case PTX_PARAM_VALUE: memcpy(&value, launch->arguments[a].data, (size_t)dtype_size(operands[a].type)); break;
        case PTX_PARAM_STRIDE: value = launch->operands[a].stride[b] / dtype_size(operands[a].type); break;
        case PTX_PARAM_SIZE: value = launch->operands[a].size[b]; break;
        case PTX_PARAM_EXTENT: value = launch->extents[a]; break;
        case PTX_PARAM_NUMBER: value = launch->sizes[a]; break;
        case PTX_PARAM_WATCH:
        case PTX_PARAM_ORDER:
        case PTX_PARAM_GRID:
        case PTX_PARAM_PARTIALS:
        case PTX_PARAM_COUNTERS: break; /* cuda_launch's */
        }
        values[i] = (uint64_t)value;
    }
}

static bool start(struct launch *launch, const struct gpu_variant *variant, int64_t head, uint64_t *values) {
    struct run *run = launch->run;
    struct gpu_run *gpu = run->gpu;
    fill_values(launch, &variant->kernel, values);
    struct ptx_grid grid;
    ptx_shape(&variant->kernel, launch->extents, head, cuda_device_limits(gpu->gpu->device), &grid);
    if (gpu->profiling) {
        struct launch_state *state = launch->state;
        cuda_set_tag(gpu->work, launch->plan ? launch->plan->index : GPU_TAG_COPY);
        if (!launch->plan) state = &run->entry->copies[COPIES_ON_DEVICE];
        atomic_store_explicit(&state->on_device, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->bytes, (int64_t)launch->bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->launches, 1, memory_order_relaxed);
    }
    int64_t order = 0;
    if (!cuda_launch(gpu->work, variant->module, &variant->kernel, &grid, values, &order, &gpu->failure))
        return gpu_fail(run, launch->span, &gpu->failure);
    if (variant->kernel.can_fail && !gpu_remember(run, order, launch->plan, launch->positions > 1)) return false;
    return !run->context->options.progress || gpu_hear(run, launch->kernel->name);
}

bool launch_cuda(struct launch *launch) {
    struct run *run = launch->run;
    if (launch->positions == 0 && !run->preparing) return true;
    int64_t head = make_key(launch);
    const struct gpu_variant *variant = find_variant(launch);
    if (!variant && !(variant = make_variant(launch))) return false;
    if (run->preparing) return true;
    uint64_t few[FEW_VALUES], *values = few;
    size_t bytes = sizeof *values * (size_t)variant->kernel.n_parameters;
    if (variant->kernel.n_parameters > FEW_VALUES && !(values = mem_alloc(&run->context->mem, bytes))) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory");
        return false;
    }
    bool ok = start(launch, variant, head, values);
    if (values != few) mem_free(&run->context->mem, values, bytes);
    return ok;
}
