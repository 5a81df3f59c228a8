/* call.c: from the caller's tensors to a run and back. */
#include <stdio.h>
#include <string.h>

#include "runtime/call.h"

enum { FEW_BYTES = 8192, FEW_INPUTS = 16 };

static const volatile int never_cancelled = 0;

/* --- binding ------------------------------------------------------------------------------------------------------ */

bool call_refuse(struct call *call, jit_status status, const char *what, int number, const char *name,
                 const char *problem) {
    call->status = error_set(call->error, status, "%s %d%s%s%s: %s", what, number, name ? " `" : "", name ? name : "",
                             name ? "`" : "", problem);
    return false;
}

/* A tensor that is in no ordinary memory of the host. */
static bool bind_device(struct call *call, const DLTensor *t, const char *what, int number, const char *name,
                        struct bound *bound) {
    char text[200];
    int device = t->device.device_id;
    switch ((int)t->device.device_type) {
    case kDLCUDAHost: return true;
    case kDLCUDA:
    case kDLCUDAManaged: break;
    default:
        snprintf(text, sizeof text, "the tensor is on a device of DLPack's type %d, expected host memory or CUDA",
                 (int)t->device.device_type);
        return call_refuse(call, JIT_UNSUPPORTED, what, number, name, text);
    }
    bound->on_gpu = true;
    if (call->device < 0) {
        if (device < 0 || device >= MOST_GPUS) {
            snprintf(text, sizeof text, "the tensor is on cuda:%d: there is no such device", device);
            return call_refuse(call, JIT_ARGUMENT, what, number, name, text);
        }
        call->device = device;
        call->named.what = what, call->named.name = name, call->named.number = number;
    }
    if (device == call->device) return true;
    if (call->named.what)
        snprintf(text, sizeof text, "the tensor is on cuda:%d, but %s %d%s%.80s%s is on cuda:%d", device,
                 call->named.what, call->named.number, call->named.name ? " `" : "",
                 call->named.name ? call->named.name : "", call->named.name ? "`" : "", call->device);
    else
        snprintf(text, sizeof text, "the tensor is on cuda:%d, but the context's device is cuda:%d", device,
                 call->device);
    return call_refuse(call, JIT_ARGUMENT, what, number, name, text);
}

bool call_bind_tensor(struct call *call, const DLTensor *t, const char *what, int number, const char *name,
                      struct bound *bound) {
    char text[160];
    bound->on_gpu = false;
    if (t->device.device_type != kDLCPU && !bind_device(call, t, what, number, name, bound)) return false;
    enum dtype type = tensor_dtype(t);
    if (type == TY_NONE || type == TY_F16) {
        snprintf(text, sizeof text, "element type (DLPack code %d, %d bits, %d lanes) is not supported", t->dtype.code,
                 t->dtype.bits, t->dtype.lanes);
        return call_refuse(call, JIT_TYPE, what, number, name, text);
    }
    if (t->ndim < 0 || t->ndim > TYPE_MAX_RANK) {
        snprintf(text, sizeof text, "rank %d, expected 0 to %d", t->ndim, TYPE_MAX_RANK);
        return call_refuse(call, JIT_ARGUMENT, what, number, name, text);
    }
    if (t->ndim > 0 && !t->shape) return call_refuse(call, JIT_ARGUMENT, what, number, name, "shape is NULL");
    int64_t size = dtype_size(type), step = size, below = 0, above = 0, count = 1;
    bool contiguous = true;
    for (int d = t->ndim - 1; d >= 0; d--) {
        int64_t extent = t->shape[d], reach;
        if (extent < 0) {
            snprintf(text, sizeof text, "size %lld in dimension %d", (long long)extent, d);
            return call_refuse(call, JIT_ARGUMENT, what, number, name, text);
        }
        int64_t stride = step;
        if (t->strides && __builtin_mul_overflow(t->strides[d], size, &stride))
            return call_refuse(call, JIT_ARGUMENT, what, number, name, "a stride does not fit in 64 bits");
        if (stride != step && extent != 1) contiguous = false;
        bound->stride[d] = stride;
        count = count && extent ? 1 : 0;
        if (extent > 0 &&
            (__builtin_mul_overflow(step, extent, &step) || __builtin_mul_overflow(stride, extent - 1, &reach) ||
             __builtin_add_overflow(reach, reach < 0 ? below : above, reach < 0 ? &below : &above)))
            return call_refuse(call, JIT_ARGUMENT, what, number, name, "the sizes' product does not fit in 64 bits");
    }
    static _Alignas(64) char nothing[64]; /* of an empty array, whose data may be NULL */
    if (count > 0 && !t->data) return call_refuse(call, JIT_ARGUMENT, what, number, name, "data is NULL");
    bound->type = type;
    uintptr_t at = (uintptr_t)nothing, begin, end;
    if (t->data && __builtin_add_overflow((uintptr_t)t->data, t->byte_offset, &at))
        return call_refuse(call, JIT_ARGUMENT, what, number, name, "the byte offset leads out of the address space");
    if (at & (uintptr_t)(size - 1))
        return call_refuse(call, JIT_ARGUMENT, what, number, name, "data is not aligned to its element size");
    if (__builtin_add_overflow(at, count ? below : 0, &begin) || __builtin_add_overflow(at, count ? above : 0, &end) ||
        __builtin_add_overflow(end, count ? size : 0, &end))
        return call_refuse(call, JIT_ARGUMENT, what, number, name, "sizes and strides lead out of the address space");
    bound->contiguous = contiguous;
    bound->empty = !count;
    bound->data = (char *)at, bound->begin = (char *)begin, bound->end = (char *)end;
    return true;
}

static bool bind_inputs(struct call *call) {
    const struct frontend_program *program = call->function->program;
    if (call->n_in != program->n_inputs) {
        call->status = error_set(call->error, JIT_ARGUMENT, "%d inputs were given, the program has %d", call->n_in,
                                 program->n_inputs);
        return false;
    }
    if (call->n_in > 0 && !call->in) {
        call->status = error_set(call->error, JIT_ARGUMENT, "the array of inputs is NULL");
        return false;
    }
    for (int i = 0; i < call->n_in; i++) {
        const DLTensor *t = call->in[i];
        const struct frontend_input *input = &program->inputs[i];
        struct frontend_binding *binding = &call->bindings[i];
        *binding = (struct frontend_binding){0};
        if (!t) {
            if (!input->has_default)
                return call_refuse(call, JIT_ARGUMENT, "input", i, input->name, "NULL, and it has no default");
            binding->type = input->type, binding->rank = 0;
            continue;
        }
        if (!call_bind_tensor(call, t, "input", i, input->name, &call->bound[i])) return false;
        call->gpu_inputs |= call->bound[i].on_gpu;
        binding->type = call->bound[i].type;
        binding->rank = t->ndim;
        for (int d = 0; d < t->ndim; d++)
            if (t->shape[d] == 1) binding->ones |= 1u << d;
    }
    return true;
}

/* --- the call ----------------------------------------------------------------------------------------------------- */

union weak_value {
    int64_t i;
    double f;
};

/* Data of input i: the caller's, or its default. */
static void bind_slot(struct run *run, const struct call *call, int i, union weak_value *room) {
    struct run_slot *slot = &run->slots[run->plan->input_slots[i]];
    const struct frontend_input *input = &call->function->program->inputs[i];
    const DLTensor *t = call->in[i];
    if (!t) {
        enum dtype type = input->type;
        if (type == TY_F32)
            *(float *)(void *)room = (float)input->default_value.f;
        else if (type == TY_F64)
            room->f = input->default_value.f;
        else
            room->i = input->default_value.i; /* little end first: the low bytes are the narrow integer */
        slot->data = (char *)room;
        return;
    }
    slot->data = call->bound[i].on_gpu ? NULL : call->bound[i].data;
    for (int d = 0; d < t->ndim; d++) slot->shape[d] = t->shape[d], slot->stride[d] = call->bound[i].stride[d];
}

static jit_status run_call(struct call *call, struct plan_entry *entry, struct results *results,
                           const jit_call_options *options) {
    const struct plan *plan = entry->plan;
    jit_context *context = call->function->context;
    size_t slots_bytes = sizeof(struct run_slot) * (size_t)plan->n_slots;
    size_t sizes_bytes = sizeof(int64_t) * (size_t)(plan->sizes.count + 1);
    size_t direct_bytes = sizeof(DLTensor *) * (size_t)plan->n_slots;
    size_t weak_bytes = sizeof(union weak_value) * (size_t)(plan->n_inputs + 1);
    size_t bound_bytes = sizeof(struct bound) * (size_t)results->n;
    size_t bytes = slots_bytes + sizes_bytes + direct_bytes + weak_bytes + bound_bytes;
    _Alignas(16) char few[FEW_BYTES];
    char *block = bytes <= sizeof few ? few : mem_alloc(&context->mem, bytes);
    if (!block) return error_set(call->error, JIT_MEMORY, "out of memory");
    const DLTensor **direct = (void *)(block + slots_bytes + sizes_bytes);
    union weak_value *weak = (void *)(block + slots_bytes + sizes_bytes + direct_bytes);
    struct bound *bound = (void *)(block + slots_bytes + sizes_bytes + direct_bytes + weak_bytes);
    jit_status status;
    if (results->out && !output_bind(call, plan, results, bound)) {
        status = call->status;
        goto out;
    }
    if (options && options->stream && call->device < 0) {
        status =
            error_set(call->error, JIT_ARGUMENT, "a stream was given, but the call runs on the CPU, which has none");
        goto out;
    }

    struct run run = {
        .function = call->function, .context = context, .entry = entry, .plan = plan, .error = call->error};
    run.slots = (void *)block;
    run.sizes = (void *)(block + slots_bytes);
    for (int i = 0; i < plan->n_slots; i++) run.slots[i].buffer = NULL, run.slots[i].data = NULL;
    memcpy(run.sizes, entry->initial_sizes, sizeof(int64_t) * (size_t)plan->sizes.count);
    run.cancel = options && options->cancel ? options->cancel : &never_cancelled;
    run.threads = context->threads;
    if (options && options->threads > 0 && options->threads < run.threads) run.threads = options->threads;
    for (int i = 0; i < plan->n_inputs; i++) bind_slot(&run, call, i, &weak[i]);
    if (results->out) {
        bool aliased;
        memset(direct, 0, direct_bytes);
        for (int i = 0; i < results->n; i++)
            if (!bound[i].on_gpu && output_may_be_direct(call, entry, results->out[i], &bound[i], i, &aliased))
                direct[plan->output_slots[i]] = results->out[i];
        run.direct = direct;
    }
    if (call->device >= 0) {
        status = gpu_call(call, &run, results, bound, options);
    } else {
        status = run_plan(&run) ? output_deliver(call, &run, results, bound) : run.status;
        for (int i = 0; i < plan->n_slots; i++)
            if (run.slots[i].buffer) run_drop(&run, i);
    }
    for (int i = 0; i < run.n_files; i++) run.files[i]->deleter(run.files[i]);
    mem_free(&context->mem, run.files, (size_t)run.n_files * sizeof *run.files);
out:
    if (block != few) mem_free(&context->mem, block, bytes);
    return status;
}

/* Checks and binds the inputs, finds their plan and, if results are wanted, runs it. */
static jit_status with_entry(jit_function *f, const DLTensor *const in[], int n_in, struct results *results,
                             const jit_call_options *options, struct plan_entry **found, jit_error *error) {
    struct frontend_binding few[FEW_INPUTS];
    struct bound few_bound[FEW_INPUTS];
    struct call call = {.function = f,
                        .in = in,
                        .n_in = n_in,
                        .device = f->context->device,
                        .bindings = few,
                        .bound = few_bound,
                        .error = error};
    size_t n = (size_t)f->program->n_inputs, bytes = (sizeof *few_bound + sizeof *few) * (n + 1);
    if (n > FEW_INPUTS) {
        if (!(call.bound = mem_alloc(&f->context->mem, bytes))) return error_set(error, JIT_MEMORY, "out of memory");
        call.bindings = (void *)(call.bound + n);
    }
    jit_status status;
    struct plan_entry *entry = NULL;
    jit_error unseen; /* filled by a failure only: 2 KiB that a call need not clear */
    if (!bind_inputs(&call))
        status = call.status;
    else if (!(entry = entry_get(f, call.bindings, error ? error : &unseen)))
        status = error ? error->code : unseen.code;
    else if (results)
        status = run_call(&call, entry, results, options);
    else
        status = JIT_OK;
    if (found) *found = entry;
    if (call.bindings != few) mem_free(&f->context->mem, call.bound, bytes);
    return status;
}

jit_status call_entry(jit_function *function, const DLTensor *const in[], int n_in, struct plan_entry **entry,
                      jit_error *error) {
    return with_entry(function, in, n_in, NULL, NULL, entry, error);
}

static jit_status call_function(const jit_function *function, const DLTensor *const in[], int n_in,
                                struct results *results, const jit_call_options *options, jit_error *error) {
    if (options && options->struct_size != 0 && options->struct_size != sizeof *options)
        return error_set(error, JIT_ARGUMENT, "jit_call_options.struct_size is %zu, expected %zu", options->struct_size,
                         sizeof *options);
    if (options && options->pending) *options->pending = NULL;
    if (!function) return error_set(error, JIT_ARGUMENT, "the function is NULL");
    jit_function *f = (jit_function *)function; /* its caches grow; what it computes does not change */
    if (results->n != f->program->n_outputs)
        return error_set(error, JIT_ARGUMENT, "%d outputs were given, the program has %d", results->n,
                         f->program->n_outputs);
    if (results->n > 0 && !results->out && !results->allocate)
        return error_set(error, JIT_ARGUMENT, "the array of outputs is NULL");
    return with_entry(f, in, n_in, results, options, NULL, error);
}

jit_status jit_call_with(const jit_function *function, const DLTensor *const in[], int n_in, DLTensor *const out[],
                         int n_out, const jit_call_options *options, jit_error *error) {
    struct results results = {.out = out, .n = n_out};
    return call_function(function, in, n_in, &results, options, error);
}

jit_status jit_call(const jit_function *function, const DLTensor *const in[], int n_in, DLTensor *const out[],
                    int n_out, jit_error *error) {
    return jit_call_with(function, in, n_in, out, n_out, NULL, error);
}

jit_status jit_call_alloc(const jit_function *function, const DLTensor *const in[], int n_in, DLManagedTensor *out[],
                          int n_out, const jit_call_options *options, jit_error *error) {
    struct results results = {.allocate = out, .n = n_out};
    for (int i = 0; out && i < n_out; i++) out[i] = NULL;
    return call_function(function, in, n_in, &results, options, error);
}
