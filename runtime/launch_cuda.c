/* launch_cuda.c: a bound kernel on a GPU: the compiled variant for the layout met, its parameters, its shape. */
#include <string.h>

#include "ir/rows.h"
#include "runtime/gpu_variant.h"

enum {
    FLAG_ALIGNED = 1,
    FLAG_SINGLE_ROW = 2,
    FLAG_ALIASED = 4,
    FLAG_SHORT_ROWS = 8,
    RUN_VECTORS = 16, /* virtual vectors in a run: see ir/kernel.h */
    FEW_VALUES = 192,
};

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

int64_t launch_cuda_key(struct launch *launch) {
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
            stride = dimension < 0 ? 0
                     : launch->extents[dimension] == 0
                         ? dtype_size(kernel->operands[k].type) /* not even one is there */
                         : launch->operands[k].stride[dimension];
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

void launch_cuda_describe(const struct launch *launch, enum ptx_access *access, struct ptx_variant *variant) {
    const jit_context *context = launch->run->context;
    int n = launch->kernel->n_operands;
    unsigned flags = launch->key[n];
    for (int k = 0; k < n; k++) access[k] = (enum ptx_access)launch->key[k];
    *variant = (struct ptx_variant){.access = access,
                                    .aligned = flags & FLAG_ALIGNED,
                                    .single_row = flags & FLAG_SINGLE_ROW,
                                    .aliased = flags & FLAG_ALIASED,
                                    .short_rows = flags & FLAG_SHORT_ROWS,
                                    .fast = context->fp == FP_FAST,
                                    .ulp = context->ulp};
}

void launch_stage(const struct plan_rows *rows, int number, struct arena *arena, const struct ptx_variant *variant,
                  struct ptx_stage *out) {
    const struct plan_launch *launch = rows->launches[number];
    const int n = launch->kernel->n_operands;
    int *scratch = ARENA_ARRAY(arena, int, n + 1);
    bool *exchanged = ARENA_ARRAY(arena, bool, n + 1);
    for (int k = 0; k < n; k++) {
        const int slot = launch->operands[k].slot;
        scratch[k] = rows_scratch_number(rows, slot);
        exchanged[k] = launch->kernel->operands[k].kind == OPERAND_READ && rows_written_before(rows, number, slot);
    }
    *out = (struct ptx_stage){launch->kernel, variant, scratch, exchanged};
}

static bool emit(void *host, struct arena *arena, struct ptx_kernel *kernel, struct strbuf *why) {
    const struct launch *launch = host;
    struct ptx_variant variant;
    launch_cuda_describe(launch, ARENA_ARRAY(arena, enum ptx_access, launch->kernel->n_operands + 1), &variant);
    return ptx_emit(arena, (struct ir_kernel *)launch->kernel, &variant, kernel, why);
}

/* --- launching ---------------------------------------------------------------------------------------------------- */

uint64_t launch_cuda_value(const struct launch *launch, const struct ptx_parameter *parameter) {
    const struct kernel_operand *operands = launch->kernel->operands;
    int a = parameter->a, b = parameter->b;
    uint64_t value = 0;
    switch (parameter->kind) {
    case PTX_PARAM_DATA: return (uint64_t)(uintptr_t)launch->arguments[a].data;
    case PTX_PARAM_VALUE: memcpy(&value, launch->arguments[a].data, (size_t)dtype_size(operands[a].type)); return value;
    case PTX_PARAM_STRIDE: return (uint64_t)(launch->operands[a].stride[b] / dtype_size(operands[a].type));
    case PTX_PARAM_SIZE: return (uint64_t)launch->operands[a].size[b];
    case PTX_PARAM_EXTENT: return (uint64_t)launch->extents[a];
    case PTX_PARAM_NUMBER: return (uint64_t)launch->sizes[a];
    case PTX_PARAM_WATCH:
    case PTX_PARAM_ORDER:
    case PTX_PARAM_GRID:
    case PTX_PARAM_PARTIALS:
    case PTX_PARAM_COUNTERS: break;
    }
    return 0;
}

static bool start(struct launch *launch, const struct gpu_variant *variant, int64_t head, uint64_t *values) {
    struct run *run = launch->run;
    struct gpu_run *gpu = run->gpu;
    for (int i = 0; i < variant->kernel.n_parameters; i++)
        values[i] = launch_cuda_value(launch, &variant->kernel.parameters[i]);
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
    int64_t head = launch_cuda_key(launch);
    struct gpu_recipe recipe = {.run = run,
                                .state = launch->state,
                                .build = launch->build,
                                .span = launch->span,
                                .name = launch->kernel->name,
                                .key = launch->key,
                                .key_length = launch->kernel->n_operands + 1,
                                .emit = emit,
                                .host = launch};
    const struct gpu_variant *variant = gpu_variant_get(&recipe);
    if (!variant) return false;
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
