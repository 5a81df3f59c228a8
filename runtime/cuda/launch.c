/* launch.c: putting a kernel on the stream. The host's time here is what a call on device tensors costs: nothing is
 * allocated, hashed or waited for unless a kernel needs more room than any before it. */
#include <stdio.h>

#include "runtime/cuda/internal.h"

/* At least `size` bytes at *address, in stream order; what was there before may be lost. */
static bool grow(struct cuda_work *work, CUdeviceptr *address, size_t *held, size_t size,
                 struct cuda_failure *failure) {
    CUdeviceptr larger;
    if (size <= *held) return true;
    if (*address) memory_give(work->device, work->main, *address, *held);
    *address = 0;
    *held = 0;
    if (!memory_take(work, work->main, size, &larger, failure)) return false;
    *address = larger;
    *held = size;
    return true;
}

static void fill(struct cuda_work *work, const struct ptx_kernel *kernel, const struct ptx_grid *grid, uint64_t *values,
                 int64_t order) {
    for (int i = 0; i < kernel->n_parameters; i++) {
        switch (kernel->parameters[i].kind) {
        case PTX_PARAM_WATCH: values[i] = work->watch; break;
        case PTX_PARAM_ORDER: values[i] = (uint64_t)order; break;
        case PTX_PARAM_GRID: values[i] = (uint64_t)grid->value[kernel->parameters[i].a]; break;
        case PTX_PARAM_PARTIALS: values[i] = work->scratch; break;
        case PTX_PARAM_COUNTERS: values[i] = work->counters; break;
        default: break;
        }
    }
}

static bool start(struct cuda_work *work, CUfunction function, const struct ptx_kernel *kernel,
                  const struct ptx_grid *grid, void **parameters, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    work_touch(work);
    work->watch_wanted |= kernel->can_fail;
    struct profile_row *row = profile_start(work, work->main, work->tag, 0);
    CUresult result = device->driver.cuLaunchKernel(function, grid->grid[0], grid->grid[1], grid->grid[2],
                                                    grid->block[0], grid->block[1], grid->block[2],
                                                    (unsigned)grid->shared_bytes, work->main, parameters, NULL);
    if (result == CUDA_SUCCESS) {
        profile_end(work, work->main, row);
        return true;
    }
    char doing[200];
    snprintf(doing, sizeof doing, "starting kernel %.80s, grid %u x %u x %u, block %u x %u x %u", kernel->name,
             grid->grid[0], grid->grid[1], grid->grid[2], grid->block[0], grid->block[1], grid->block[2]);
    return device_check(device, result, "cuLaunchKernel", doing, failure);
}

static bool launch(struct cuda_work *work, struct cuda_module *module, const struct ptx_kernel *kernel,
                   const struct ptx_grid *grid, uint64_t *values, int64_t order, struct cuda_failure *failure) {
    void *parameters[PTX_INDIRECT_BYTES / 8 + 1];
    CUfunction function = module_function(module);
    if (work->cancel && work->n_queued >= QUEUED_MOST && !work_wait_all(work, failure)) return false;
    work->n_queued++;
    if (!grow(work, &work->scratch, &work->scratch_size, grid->partial_bytes, failure)) return false;
    fill(work, kernel, grid, values, order);
    if (kernel->indirect) {
        size_t size = (size_t)kernel->n_parameters * sizeof *values;
        if (!grow(work, &work->parameters, &work->parameters_size, size, failure) ||
            !copy_to_device(work, work->parameters, values, size, true, failure))
            return false;
        parameters[0] = &work->parameters;
        return start(work, function, kernel, grid, parameters, failure);
    }
    if ((size_t)kernel->n_parameters > sizeof parameters / sizeof *parameters)
        return cuda_fail(failure, CUDA_FAILED, "kernel %s has %d parameters and takes them directly", kernel->name,
                         kernel->n_parameters);
    for (int i = 0; i < kernel->n_parameters; i++) parameters[i] = &values[i];
    return start(work, function, kernel, grid, parameters, failure);
}

bool cuda_launch(struct cuda_work *work, struct cuda_module *module, const struct ptx_kernel *kernel,
                 const struct ptx_grid *grid, uint64_t *values, int64_t *order, struct cuda_failure *failure) {
    int64_t number = work->order_number++;
    if (order) *order = number;
    if (!device_enter(work->device, failure)) return false;
    bool done = launch(work, module, kernel, grid, values, number, failure);
    device_leave(work->device);
    return done;
}
