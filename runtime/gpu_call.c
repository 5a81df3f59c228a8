/* gpu_call.c: a call on a GPU: inputs that are there already, outputs to wherever they are, asynchronous calls. */
#include <stdio.h>
#include <string.h>

#include "runtime/call.h"
#include "runtime/gpu.h"

enum { FEW_BYTES = 6144 };

/* --- outputs ------------------------------------------------------------------------------------------------------ */

/* A new array in C order with a slot's elements. NULL after an error. */
static struct cuda_buffer *copy_slot(struct run *run, int number, int64_t *stride) {
    const struct plan_slot *info = &run->plan->slots[number];
    const int64_t *shape = run->slots[number].shape;
    struct span nowhere = {0, 0};
    const struct gpu_slot *source;
    if (!gpu_source(run, number, nowhere, &source)) return NULL;
    struct cuda_buffer *buffer = gpu_take(run, info->type, info->rank, shape, nowhere, stride);
    if (!buffer ||
        gpu_copy(run, info->type, info->rank, shape, buffer->address, stride, source->address, source->stride, nowhere))
        return buffer;
    cuda_release(buffer);
    return NULL;
}

static bool is_direct(const struct run *run, int slot) {
    const struct gpu_slot *there = &run->gpu->slots[slot];
    return there->there && !there->buffer && run->gpu->direct && there->address == run->gpu->direct[slot];
}

/* An output that is an input's memory moves away if an output is going to be copied over it. */
static bool step_aside(struct run *run, int number, const struct results *results, const struct bound *bound) {
    const struct plan *plan = run->plan;
    int slot = plan->output_slots[number];
    struct gpu_slot *there = &run->gpu->slots[slot];
    if (!there->there || there->buffer || is_direct(run, slot)) return true;
    const char *first = (const char *)(uintptr_t)there->address;
    if (!output_will_overwrite(run, results, bound, is_direct, slot, first, there->stride)) return true;
    int64_t stride[TYPE_MAX_RANK];
    struct cuda_buffer *buffer = copy_slot(run, slot, stride);
    if (!buffer) return false;
    there->buffer = buffer, there->address = buffer->address;
    memcpy(there->stride, stride, sizeof *stride * (size_t)plan->slots[slot].rank);
    return true;
}

/* A result on the GPU to an output in host memory. It is there after the wait. */
static bool send_home(struct run *run, int number, const struct bound *bound) {
    struct gpu_run *gpu = run->gpu;
    const struct plan_slot *info = &run->plan->slots[number];
    const int64_t *shape = run->slots[number].shape;
    const struct gpu_slot *there = &gpu->slots[number];
    int64_t stride[TYPE_MAX_RANK], bytes;
    if (bound->empty) return true;
    if (!run_measure(run, info->type, info->rank, shape, (struct span){0, 0}, stride, &bytes)) return false;
    uint64_t from = there->address;
    struct cuda_buffer *packed = NULL;
    if (!gpu_is_contiguous(info->type, info->rank, shape, there->stride)) {
        if (!(packed = copy_slot(run, number, stride))) return false;
        from = packed->address;
    }
    void *to = bound->data;
    struct gpu_scatter *scatter = NULL;
    if (!bound->contiguous) {
        struct buffer *buffer = gpu_take_host(run, bytes);
        if (buffer && !(scatter = mem_zalloc(&run->context->mem, 1, sizeof *scatter))) {
            pool_release(buffer);
            run->status = error_set(run->error, JIT_MEMORY, "out of memory");
        }
        if (!scatter) {
            cuda_release(packed);
            return false;
        }
        *scatter = (struct gpu_scatter){
            .next = gpu->scatter, .buffer = buffer, .type = info->type, .rank = info->rank, .to = bound->data};
        for (int d = 0; d < info->rank; d++) scatter->shape[d] = shape[d], scatter->stride[d] = bound->stride[d];
        gpu->scatter = scatter;
        to = buffer->data;
    }
    bool ok = cuda_copy_to_host(gpu->work, to, from, (size_t)bytes, &gpu->failure);
    if (!ok) gpu_fail(run, (struct span){0, 0}, &gpu->failure);
    cuda_release(packed);
    return ok;
}

static bool deliver(struct call *call, struct run *run, int number, const DLTensor *out, const struct bound *bound) {
    const struct plan *plan = run->plan;
    int slot_number = plan->output_slots[number];
    const struct plan_slot *info = &plan->slots[slot_number];
    const struct run_slot *slot = &run->slots[slot_number];
    if (!slot->data && !run->gpu->slots[slot_number].there) {
        call_refuse(call, JIT_INTERNAL, "output", number, plan->output_names[number], "was not computed");
        run->status = call->status;
        return false;
    }
    if (!output_has_shape(call, run, number, out)) {
        run->status = call->status;
        return false;
    }
    if (is_direct(run, slot_number) || output_is_written(run, slot_number)) return true;
    if (bound->on_gpu) {
        const struct gpu_slot *there;
        return gpu_source(run, slot_number, (struct span){0, 0}, &there) &&
               gpu_copy(run, info->type, info->rank, slot->shape, (uint64_t)(uintptr_t)bound->data, bound->stride,
                        there->address, there->stride, (struct span){0, 0});
    }
    if (!slot->data) return send_home(run, slot_number, bound);
    /* Pinned inputs may still be on their way to the GPU. */
    bool shared = false;
    for (int i = 0; i < call->n_in; i++)
        shared |= call->in[i] && !call->bound[i].on_gpu && output_overlap(bound, &call->bound[i]);
    if (shared && !gpu_settle(run)) return false;
    run_copy(info->type, info->rank, slot->shape, bound->data, bound->stride, slot->data, slot->stride);
    return true;
}

/* --- results that Weft allocates ---------------------------------------------------------------------------------- */

static DLManagedTensor *no_memory(struct run *run, int number) {
    run->status = error_set(run->error, JIT_MEMORY, "out of memory for output %d", number);
    return NULL;
}

static DLManagedTensor *hand_over_there(struct run *run, int device, int number) {
    int slot_number = run->plan->output_slots[number];
    struct run_slot *slot = &run->slots[slot_number];
    struct gpu_slot *there = &run->gpu->slots[slot_number];
    const struct plan_slot *info = &run->plan->slots[slot_number];
    const struct gpu_slot *found;
    if (!gpu_source(run, slot_number, (struct span){0, 0}, &found)) return NULL;
    bool whole = there->buffer && there->address == there->buffer->address &&
                 atomic_load(&there->buffer->references) == 1 &&
                 gpu_is_contiguous(info->type, info->rank, slot->shape, there->stride);
    struct cuda_buffer *buffer = there->buffer;
    int64_t stride[TYPE_MAX_RANK];
    if (!whole && !(buffer = copy_slot(run, slot_number, stride))) return NULL;
    DLManagedTensor *out = tensor_wrap_cuda(run->context, buffer, device, info->type, info->rank, slot->shape);
    if (whole && out) there->buffer = NULL, there->there = false; /* taken over */
    if (!whole && !out) cuda_release(buffer);
    return out ? out : no_memory(run, number);
}

/* Into host memory, from wherever the result is. */
static DLManagedTensor *hand_over_here(struct run *run, int number) {
    int slot_number = run->plan->output_slots[number];
    const struct run_slot *slot = &run->slots[slot_number];
    const struct plan_slot *info = &run->plan->slots[slot_number];
    DLManagedTensor *out;
    if (slot->data) return (out = output_hand_over(run, number)) ? out : no_memory(run, number);
    int64_t stride[TYPE_MAX_RANK], bytes;
    if (!run_measure(run, info->type, info->rank, slot->shape, (struct span){0, 0}, stride, &bytes)) return NULL;
    struct buffer *buffer = pool_take(run->context->pool, (size_t)bytes);
    out = buffer ? tensor_wrap(run->context, buffer, info->type, info->rank, slot->shape) : NULL;
    if (!out) {
        pool_release(buffer);
        return no_memory(run, number);
    }
    struct bound bound = {.data = buffer->data, .contiguous = true, .empty = bytes == 0};
    if (send_home(run, slot_number, &bound)) return out;
    out->deleter(out);
    return NULL;
}

static bool give_results(struct call *call, struct run *run, struct results *results, const struct bound *bound) {
    if (results->out) {
        if (!output_step_aside(call, run, results, bound)) {
            run->status = call->status;
            return false;
        }
        for (int i = 0; i < results->n; i++)
            if (!step_aside(run, i, results, bound)) return false;
        for (int i = 0; i < results->n; i++)
            if (!deliver(call, run, i, results->out[i], &bound[i])) return false;
        return true;
    }
    for (int i = 0; i < results->n; i++) {
        int slot = run->plan->output_slots[i];
        if (!run->slots[slot].data && !run->gpu->slots[slot].there) {
            run->status = error_set(run->error, JIT_INTERNAL, "output %d was not computed", i);
            return false;
        }
        results->allocate[i] = call->gpu_inputs ? hand_over_there(run, call->device, i) : hand_over_here(run, i);
        if (!results->allocate[i]) return false;
    }
    return true;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

/* The caller's pointers are what their tensors say: a wrong one would be a fault that kills the device for the process,
 * or the process. Managed memory may be called either. */
static bool check_pointer(struct call *call, const struct gpu_run *gpu, const DLTensor *tensor,
                          const struct bound *bound, const char *what, int number, const char *name) {
    char problem[200];
    if (bound->empty) return true;
    if (tensor->device.device_type == kDLCUDAManaged)
        return cuda_is_managed(gpu->gpu->device, (uint64_t)(uintptr_t)bound->data) ||
               call_refuse(call, JIT_ARGUMENT, what, number, name,
                           "the tensor is said to be in managed memory, but the driver knows none at its address");
    return gpu_check_pointer(gpu->gpu, (uint64_t)(uintptr_t)bound->data, bound->on_gpu, problem, sizeof problem) ||
           call_refuse(call, JIT_ARGUMENT, what, number, name, problem);
}

static bool check_pointers(struct call *call, struct run *run, const struct results *results,
                           const struct bound *bound) {
    gpu_forget_pointers(run->gpu->gpu);
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i] && !check_pointer(call, run->gpu, call->in[i], &call->bound[i], "input", i,
                                          call->function->program->inputs[i].name))
            return false;
    for (int i = 0; results->out && i < results->n; i++)
        if (!check_pointer(call, run->gpu, results->out[i], &bound[i], "output", i, run->plan->output_names[i]))
            return false;
    return true;
}

static void bind_inputs(const struct call *call, struct gpu_run *gpu, const struct plan *plan) {
    for (int i = 0; i < call->n_in; i++) {
        if (!call->in[i] || !call->bound[i].on_gpu) continue;
        struct gpu_slot *slot = &gpu->slots[plan->input_slots[i]];
        slot->there = true;
        slot->address = (uint64_t)(uintptr_t)call->bound[i].data;
        memcpy(slot->stride, call->bound[i].stride, sizeof slot->stride[0] * (size_t)call->in[i]->ndim);
    }
}

static void bind_outputs(const struct call *call, const struct plan_entry *entry, const struct results *results,
                         const struct bound *bound, struct gpu_run *gpu, uint64_t *direct, const int64_t **shapes) {
    memset(direct, 0, sizeof *direct * (size_t)entry->plan->n_slots);
    for (int i = 0; i < results->n; i++) {
        int slot = entry->plan->output_slots[i];
        bool aliased = false;
        if (!bound[i].on_gpu || !output_may_be_direct(call, entry, results->out[i], &bound[i], i, &aliased)) continue;
        direct[slot] = (uint64_t)(uintptr_t)bound[i].data;
        shapes[slot] = results->out[i]->shape;
        gpu->aliased |= aliased;
    }
    gpu->direct = direct;
    gpu->direct_shape = shapes;
}

/* --- asynchronous calls ------------------------------------------------------------------------------------------- */

struct jit_pending {
    jit_function *function;
    struct plan_entry *entry;
    struct gpu_run gpu; /* without slots: what they held is freed in stream order */
};

jit_status jit_wait(jit_pending *pending, jit_error *error) {
    if (!pending) return JIT_OK;
    jit_context *context = pending->function->context;
    jit_status status = gpu_finish(&pending->gpu, pending->function, pending->entry, JIT_OK, error);
    mem_free(&context->mem, pending, sizeof *pending);
    return status;
}

int jit_is_done(const jit_pending *pending) {
    return !pending || cuda_is_done(pending->gpu.work);
}

/* --- the call ----------------------------------------------------------------------------------------------------- */

static jit_status run_here(struct call *call, struct run *run, struct results *results, const struct bound *bound,
                           const jit_call_options *options) {
    struct gpu_run *gpu = run->gpu;
    jit_context *context = run->context;
    jit_pending *pending = NULL;
    if (options && options->pending && !(pending = mem_alloc(&context->mem, sizeof *pending)))
        return error_set(call->error, JIT_MEMORY, "out of memory");
    gpu->work = cuda_work_begin(gpu->gpu->device, options ? options->stream : NULL, &gpu->failure);
    if (!gpu->work) {
        mem_free(&context->mem, pending, sizeof *pending);
        gpu_fail(run, (struct span){0, 0}, &gpu->failure);
        return run->status;
    }
    gpu->profiling = atomic_load_explicit(&run->function->profiling, memory_order_relaxed);
    cuda_profile(gpu->work, gpu->profiling);
    gpu->threads = run->threads;
    cuda_set_threads(gpu->work, gpu->threads);
    cuda_set_cancel(gpu->work, gpu->cancel);
    bool ok = run_plan(run) && give_results(call, run, results, bound);
    ok = gpu_let_go(run) && ok;
    for (int i = 0; i < run->plan->n_slots + run->plan->n_literals; i++) gpu_drop(&gpu->slots[i]);
    jit_status status;
    if (ok && pending) {
        cuda_is_done(gpu->work); /* what the host puts on its stream later is not waited for */
        *pending = (jit_pending){run->function, run->entry, *gpu};
        pending->gpu.slots = NULL, pending->gpu.direct = NULL, pending->gpu.direct_shape = NULL;
        *options->pending = pending;
        pending = NULL;
        status = JIT_OK;
    } else {
        status = gpu_finish(gpu, run->function, run->entry, ok ? JIT_OK : run->status, call->error);
    }
    mem_free(&context->mem, pending, sizeof *pending);
    if (status != JIT_OK && results->allocate) output_delete(results);
    /* Only now: bytes may have been on their way to these. */
    for (int i = 0; i < run->plan->n_slots; i++) run_drop(run, i);
    return status;
}

jit_status gpu_call(struct call *call, struct run *run, struct results *results, const struct bound *bound,
                    const jit_call_options *options) {
    const struct plan *plan = run->plan;
    jit_context *context = run->context;
    struct gpu_run gpu_run;
    struct gpu *gpu;
    jit_status status = gpu_open(context, call->device, &gpu, call->error);
    if (status != JIT_OK) return status;
    size_t n_slots = (size_t)plan->n_slots, n_there = n_slots + (size_t)plan->n_literals;
    size_t bytes = n_there * sizeof(struct gpu_slot) + n_slots * (sizeof(uint64_t) + sizeof(int64_t *));
    _Alignas(16) char few[FEW_BYTES];
    char *block = bytes <= sizeof few ? few : mem_alloc(&context->mem, bytes);
    if (!block) return error_set(call->error, JIT_MEMORY, "out of memory");
    struct gpu_slot *slots = (void *)block;
    for (size_t i = 0; i < n_there; i++) slots[i].there = false, slots[i].buffer = NULL;

    gpu_run.gpu = gpu, gpu_run.work = NULL, gpu_run.slots = slots;
    gpu_run.direct = NULL, gpu_run.direct_shape = NULL, gpu_run.aliased = false;
    gpu_run.cancel = options ? options->cancel : NULL;
    gpu_run.host_cancelled = false, gpu_run.heard = 0, gpu_run.profiling = false;
    gpu_run.n_orders = 0, gpu_run.scatter = NULL, gpu_run.n_held = 0;
    gpu_run.results_here = !results->out && !call->gpu_inputs;
    run->gpu = &gpu_run;
    bind_inputs(call, &gpu_run, plan);
    if (results->out) {
        uint64_t *direct = (void *)(block + n_there * sizeof(struct gpu_slot));
        bind_outputs(call, run->entry, results, bound, &gpu_run, direct, (void *)(direct + n_slots));
    }
    status = check_pointers(call, run, results, bound) ? run_here(call, run, results, bound, options) : call->status;
    if (block != few) mem_free(&context->mem, block, bytes);
    run->gpu = NULL;
    return status;
}
