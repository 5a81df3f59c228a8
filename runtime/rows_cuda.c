/* rows_cuda.c: the launches of a plan_rows as one kernel on a GPU. */
#include <string.h>

#include "runtime/gpu_variant.h"
#include "runtime/rows.h"

enum { FEW_VALUES = 256 };

/* --- variants ----------------------------------------------------------------------------------------------------- */

static bool emit(void *host, struct arena *arena, struct ptx_kernel *kernel, struct strbuf *why) {
    const struct rows_run *all = host;
    const struct plan_rows *rows = all->rows;
    struct ptx_stage stages[PLAN_MAX_ROWS];
    for (int i = 0; i < rows->n_launches; i++) {
        const int n = rows->launches[i]->kernel->n_operands;
        struct ptx_variant *variant = ARENA_NEW(arena, struct ptx_variant);
        launch_cuda_describe(&all->launches[i], ARENA_ARRAY(arena, enum ptx_access, n + 1), variant);
        launch_stage(rows, i, arena, variant, &stages[i]);
    }
    return ptx_emit_rows(arena, rows->name, rows->outer, rows->n_launches, stages, rows->n_scratch, kernel, why);
}

/* --- launching ---------------------------------------------------------------------------------------------------- */

static bool start(struct rows_run *rows, const struct gpu_variant *variant, const struct ptx_grid *grid) {
    struct run *run = rows->run;
    struct gpu_run *gpu = run->gpu;
    const struct ptx_kernel *kernel = &variant->kernel;
    uint64_t few[FEW_VALUES], *values = few;
    size_t bytes = sizeof *values * (size_t)kernel->n_parameters;
    if (kernel->n_parameters > FEW_VALUES && !(values = mem_alloc(&run->context->mem, bytes))) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory");
        return false;
    }
    for (int i = 0; i < kernel->n_parameters; i++)
        values[i] = launch_cuda_value(&rows->launches[kernel->parameters[i].stage], &kernel->parameters[i]);
    if (gpu->profiling) {
        cuda_set_tag(gpu->work, run->plan->n_launches + rows->rows->index);
        atomic_store_explicit(&rows->state->on_device, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&rows->state->bytes, (int64_t)rows->moved, memory_order_relaxed);
        atomic_fetch_add_explicit(&rows->state->launches, 1, memory_order_relaxed);
    }
    int64_t order = 0;
    bool ok = cuda_launch(gpu->work, variant->module, kernel, grid, values, &order, &gpu->failure);
    if (values != few) mem_free(&run->context->mem, values, bytes);
    if (!ok) return gpu_fail(run, rows->rows->span, &gpu->failure);
    for (int i = 0; i < rows->rows->n_launches; i++)
        if (!gpu_send_early(&rows->launches[i])) return false;
    return !run->context->options.progress || gpu_hear(run, rows->rows->name);
}

/* So that the launches, when they come one by one, don't take memory twice. */
static void drop_outputs(const struct rows_run *rows) {
    for (int i = 0; i < rows->rows->n_launches; i++) {
        const struct launch *launch = &rows->launches[i];
        for (int k = 0; k < launch->kernel->n_operands; k++)
            if (launch->kernel->operands[k].kind == OPERAND_WRITE) run_drop(rows->run, launch->plan->operands[k].slot);
    }
}

bool rows_cuda(struct rows_run *rows, bool *done) {
    struct run *run = rows->run;
    unsigned char key[PLAN_MAX_ROWS * (LAUNCH_FEW + 1)]; /* rows_run takes no launches with more operands */
    int64_t heads[PLAN_MAX_ROWS];
    const int64_t *extents[PLAN_MAX_ROWS];
    int length = 0;
    for (int i = 0; i < rows->rows->n_launches; i++) {
        struct launch *launch = &rows->launches[i];
        const int own = launch->kernel->n_operands + 1;
        heads[i] = launch_cuda_key(launch);
        extents[i] = launch->extents;
        memcpy(key + length, launch->key, (size_t)own);
        length += own;
    }
    struct gpu_recipe recipe = {.run = run,
                                .state = rows->state,
                                .build = &run->function->build,
                                .span = rows->rows->span,
                                .name = rows->rows->name,
                                .key = key,
                                .key_length = length,
                                .emit = emit,
                                .host = rows};
    const struct gpu_variant *variant = gpu_variant_get(&recipe);
    *done = variant != NULL;
    if (!variant || run->preparing) return *done;
    struct ptx_grid grid;
    *done = ptx_shape_rows(&variant->kernel, extents, heads, cuda_module_shared(variant->module),
                           cuda_device_limits(run->gpu->gpu->device), &grid);
    if (*done) return start(rows, variant, &grid);
    drop_outputs(rows);
    return true;
}

/* --- deciding ----------------------------------------------------------------------------------------------------- */

bool rows_cuda_suit(const struct rows_run *rows) {
    const struct cuda_device *device = rows->run->gpu->gpu->device;
    for (int i = 0; i < rows->rows->n_launches; i++)
        if (slabs_suit(&rows->launches[i])) return false; /* copies beside kernels gain more */
    return ptx_rows_suit(rows->count, rows->elements, rows->scratch_bytes, cuda_device_shared(device),
                         cuda_device_limits(device));
}
