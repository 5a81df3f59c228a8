/* call.c: from the caller's tensors to a run and back. */
#include <stdio.h>
#include <string.h>

#include "runtime/runtime.h"

enum { FEW_BYTES = 8192, FEW_INPUTS = 16 };

static const volatile int never_cancelled = 0;

/* A tensor of the caller, looked at once. */
struct bound {
    enum dtype type;
    bool contiguous;               /* C order */
    char *data;                    /* of element [0, ..., 0] */
    const char *begin, *end;       /* the bytes it occupies */
    int64_t stride[TYPE_MAX_RANK]; /* bytes */
};

struct call {
    jit_function *function;
    const DLTensor *const *in;
    int n_in;
    struct frontend_binding *bindings;
    struct bound *bound; /* [n_in]; unset where in[i] is NULL */
    jit_error *error;
    jit_status status;
};

/* --- binding ------------------------------------------------------------------------------------------------------ */

static bool refuse(struct call *call, jit_status status, const char *what, int number, const char *name,
                   const char *problem) {
    call->status = error_set(call->error, status, "%s %d%s%s%s: %s", what, number, name ? " `" : "", name ? name : "",
                             name ? "`" : "", problem);
    return false;
}

/* What every tensor that we touch must be. Fills `bound`. */
static bool bind_tensor(struct call *call, const DLTensor *t, const char *what, int number, const char *name,
                        struct bound *bound) {
    char text[160];
    if (t->device.device_type != kDLCPU)
        return refuse(call, JIT_UNSUPPORTED, what, number, name,
                      "the tensor is not in CPU memory; other devices are not available in this version");
    enum dtype type = tensor_dtype(t);
    if (type == TY_NONE || type == TY_F16) {
        snprintf(text, sizeof text, "element type (DLPack code %d, %d bits, %d lanes) is not supported", t->dtype.code,
                 t->dtype.bits, t->dtype.lanes);
        return refuse(call, JIT_TYPE, what, number, name, text);
    }
    if (t->ndim < 0 || t->ndim > TYPE_MAX_RANK) {
        snprintf(text, sizeof text, "rank %d, expected 0 to %d", t->ndim, TYPE_MAX_RANK);
        return refuse(call, JIT_ARGUMENT, what, number, name, text);
    }
    if (t->ndim > 0 && !t->shape) return refuse(call, JIT_ARGUMENT, what, number, name, "shape is NULL");
    int64_t size = dtype_size(type), step = size, below = 0, above = 0, count = 1;
    bool contiguous = true;
    for (int d = t->ndim - 1; d >= 0; d--) {
        int64_t extent = t->shape[d], reach;
        if (extent < 0) {
            snprintf(text, sizeof text, "size %lld in dimension %d", (long long)extent, d);
            return refuse(call, JIT_ARGUMENT, what, number, name, text);
        }
        int64_t stride = step;
        if (t->strides && __builtin_mul_overflow(t->strides[d], size, &stride))
            return refuse(call, JIT_ARGUMENT, what, number, name, "a stride does not fit in 64 bits");
        if (stride != step && extent != 1) contiguous = false;
        bound->stride[d] = stride;
        count = count && extent ? 1 : 0;
        if (extent > 0 &&
            (__builtin_mul_overflow(step, extent, &step) || __builtin_mul_overflow(stride, extent - 1, &reach) ||
             __builtin_add_overflow(reach, reach < 0 ? below : above, reach < 0 ? &below : &above)))
            return refuse(call, JIT_ARGUMENT, what, number, name, "the sizes' product does not fit in 64 bits");
    }
    static _Alignas(64) char nothing[64]; /* of an empty array, whose data may be NULL */
    if (count > 0 && !t->data) return refuse(call, JIT_ARGUMENT, what, number, name, "data is NULL");
    bound->type = type;
    uintptr_t at = (uintptr_t)nothing, begin, end;
    if (t->data && __builtin_add_overflow((uintptr_t)t->data, t->byte_offset, &at))
        return refuse(call, JIT_ARGUMENT, what, number, name, "the byte offset leads out of the address space");
    if (at & (uintptr_t)(size - 1))
        return refuse(call, JIT_ARGUMENT, what, number, name, "data is not aligned to its element size");
    if (__builtin_add_overflow(at, count ? below : 0, &begin) || __builtin_add_overflow(at, count ? above : 0, &end) ||
        __builtin_add_overflow(end, count ? size : 0, &end))
        return refuse(call, JIT_ARGUMENT, what, number, name, "sizes and strides lead out of the address space");
    bound->contiguous = contiguous;
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
                return refuse(call, JIT_ARGUMENT, "input", i, input->name, "NULL, and it has no default");
            binding->type = input->type, binding->rank = 0;
            continue;
        }
        if (!bind_tensor(call, t, "input", i, input->name, &call->bound[i])) return false;
        binding->type = call->bound[i].type;
        binding->rank = t->ndim;
        for (int d = 0; d < t->ndim; d++)
            if (t->shape[d] == 1) binding->ones |= 1u << d;
    }
    return true;
}

struct results {
    DLTensor *const *out;       /* jit_call: the caller's; else NULL */
    DLManagedTensor **allocate; /* jit_call_alloc */
    int n;
};

/* --- outputs ------------------------------------------------------------------------------------------------------ */

static bool overlap(const struct bound *a, const struct bound *b) {
    return a->begin < b->end && b->begin < a->end;
}

/* The same elements at the same addresses. */
static bool same_layout(const DLTensor *a, const struct bound *bound_a, const DLTensor *b,
                        const struct bound *bound_b) {
    if (bound_a->data != bound_b->data || a->ndim != b->ndim || dtype_size(bound_a->type) != dtype_size(bound_b->type))
        return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return bound_a->contiguous && bound_b->contiguous;
}

static bool may_write_at_once(const struct call *call, const struct plan_entry *entry, const DLTensor *out,
                              const struct bound *bound, int number) {
    if (!entry->outputs[number].direct || !bound->contiguous) return false;
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i] && overlap(bound, &call->bound[i]) &&
            !(entry->in_place && same_layout(out, bound, call->in[i], &call->bound[i])))
            return false;
    return true;
}

static bool bind_outputs(struct call *call, const struct plan *plan, DLTensor *const *out, int n_out,
                         struct bound *bound) {
    char text[160];
    for (int i = 0; i < n_out; i++) {
        const char *name = plan->output_names[i];
        if (!out[i]) return refuse(call, JIT_ARGUMENT, "output", i, name, "NULL");
        if (!bind_tensor(call, out[i], "output", i, name, &bound[i])) return false;
        const struct plan_slot *slot = &plan->slots[plan->output_slots[i]];
        if (bound[i].type != slot->type) {
            snprintf(text, sizeof text, "the tensor's element type is %s, the result's is %s",
                     dtype_name(bound[i].type), dtype_name(slot->type));
            return refuse(call, JIT_TYPE, "output", i, name, text);
        }
        if (out[i]->ndim != slot->rank) {
            snprintf(text, sizeof text, "the tensor's rank is %d, the result's is %d", out[i]->ndim, slot->rank);
            return refuse(call, JIT_SHAPE, "output", i, name, text);
        }
        for (int d = 0; d < out[i]->ndim && !bound[i].contiguous; d++)
            if (bound[i].stride[d] == 0 && out[i]->shape[d] > 1)
                return refuse(call, JIT_ARGUMENT, "output", i, name, "several elements lie at one address (stride 0)");
        for (int k = 0; k < i; k++)
            if (overlap(&bound[i], &bound[k]))
                return refuse(call, JIT_ARGUMENT, "output", i, name, "overlaps an earlier output");
    }
    return true;
}

static bool written_at_once(const struct run *run, int slot) {
    return run->direct[slot] && run->slots[slot].data && !run->slots[slot].buffer;
}

/* A copy in C order. NULL: no memory. */
static struct buffer *copy_slot(struct run *run, int number, int64_t *stride) {
    const struct run_slot *slot = &run->slots[number];
    const struct plan_slot *info = &run->plan->slots[number];
    int64_t count = run_contiguous(info->type, info->rank, slot->shape, stride), bytes;
    if (count < 0 || __builtin_mul_overflow(count, dtype_size(info->type), &bytes))
        return NULL; /* a broadcast too large for memory */
    struct buffer *buffer = pool_take(run->context->pool, (size_t)bytes);
    if (buffer) run_copy(info->type, info->rank, slot->shape, buffer->data, stride, slot->data, slot->stride);
    return buffer;
}

/* An output that is an input's memory moves away if an output is going to be copied over it. */
static bool step_aside(struct call *call, struct run *run, int number, const struct results *results,
                       const struct bound *bound) {
    const struct plan *plan = run->plan;
    int slot_number = plan->output_slots[number];
    struct run_slot *slot = &run->slots[slot_number];
    const struct plan_slot *info = &plan->slots[slot_number];
    if (!slot->data || slot->buffer || written_at_once(run, slot_number)) return true;
    struct bound here = {.begin = slot->data, .end = slot->data + dtype_size(info->type)};
    for (int d = 0; d < info->rank; d++) {
        if (slot->shape[d] == 0) return true;
        int64_t reach = (slot->shape[d] - 1) * slot->stride[d];
        if (reach < 0)
            here.begin += reach;
        else
            here.end += reach;
    }
    bool meets = false;
    for (int i = 0; i < results->n; i++)
        meets |= !written_at_once(run, plan->output_slots[i]) && overlap(&here, &bound[i]);
    if (!meets) return true;
    int64_t stride[TYPE_MAX_RANK];
    struct buffer *buffer = copy_slot(run, slot_number, stride);
    if (!buffer) {
        call->status = error_set(call->error, JIT_MEMORY, "out of memory for output %d", number);
        return false;
    }
    slot->buffer = buffer, slot->data = buffer->data;
    memcpy(slot->stride, stride, sizeof *stride * (size_t)info->rank);
    return true;
}

static bool deliver(struct call *call, struct run *run, int number, DLTensor *out, const struct bound *bound) {
    const struct plan *plan = run->plan;
    int slot_number = plan->output_slots[number];
    const struct run_slot *slot = &run->slots[slot_number];
    int rank = plan->slots[slot_number].rank;
    if (!slot->data)
        return refuse(call, JIT_INTERNAL, "output", number, plan->output_names[number], "was not computed");
    for (int d = 0; d < rank; d++)
        if (out->shape[d] != slot->shape[d]) {
            char text[160];
            snprintf(text, sizeof text, "size %lld in dimension %d, but the result's is %lld", (long long)out->shape[d],
                     d, (long long)slot->shape[d]);
            return refuse(call, JIT_SHAPE, "output", number, plan->output_names[number], text);
        }
    if (written_at_once(run, slot_number)) return true;
    run_copy(plan->slots[slot_number].type, rank, slot->shape, bound->data, bound->stride, slot->data, slot->stride);
    return true;
}

/* Gives a slot's array to the caller: its buffer if nobody else has it, else a copy. */
static DLManagedTensor *hand_over(struct run *run, int number) {
    int slot_number = run->plan->output_slots[number];
    struct run_slot *slot = &run->slots[slot_number];
    const struct plan_slot *info = &run->plan->slots[slot_number];
    bool whole =
        slot->buffer && slot->data == (char *)slot->buffer->data && atomic_load(&slot->buffer->references) == 1;
    struct buffer *buffer = slot->buffer;
    if (!whole) {
        int64_t stride[TYPE_MAX_RANK];
        buffer = copy_slot(run, slot_number, stride);
        if (!buffer) return NULL;
    }
    DLManagedTensor *out = tensor_wrap(run->context, buffer, info->type, info->rank, slot->shape);
    if (whole && out) slot->buffer = NULL, slot->data = NULL; /* taken over */
    if (!whole && !out) pool_release(buffer);
    return out;
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
    slot->data = call->bound[i].data;
    for (int d = 0; d < t->ndim; d++) slot->shape[d] = t->shape[d], slot->stride[d] = call->bound[i].stride[d];
}

static jit_status finish(struct call *call, struct run *run, struct results *results, const struct bound *bound) {
    if (results->out) {
        for (int i = 0; i < results->n; i++)
            if (!step_aside(call, run, i, results, bound)) return call->status;
        for (int i = 0; i < results->n; i++)
            if (!deliver(call, run, i, results->out[i], &bound[i])) return call->status;
        return JIT_OK;
    }
    for (int i = 0; i < results->n; i++) {
        results->allocate[i] = hand_over(run, i);
        if (results->allocate[i]) continue;
        for (int k = 0; k < i; k++) {
            results->allocate[k]->deleter(results->allocate[k]);
            results->allocate[k] = NULL;
        }
        return error_set(call->error, JIT_MEMORY, "out of memory for output %d", i);
    }
    return JIT_OK;
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
    if (results->out && !bind_outputs(call, plan, results->out, results->n, bound)) {
        status = call->status;
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
        memset(direct, 0, direct_bytes);
        for (int i = 0; i < results->n; i++)
            if (may_write_at_once(call, entry, results->out[i], &bound[i], i))
                direct[plan->output_slots[i]] = results->out[i];
        run.direct = direct;
    }

    status = run_plan(&run) ? finish(call, &run, results, bound) : run.status;
    for (int i = 0; i < plan->n_slots; i++)
        if (run.slots[i].buffer) run_drop(&run.slots[i]);
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
    struct call call = {.function = f, .in = in, .n_in = n_in, .bindings = few, .bound = few_bound, .error = error};
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
    if (!function) return error_set(error, JIT_ARGUMENT, "the function is NULL");
    jit_function *f = (jit_function *)function; /* its caches grow; what it computes does not change */
    if (results->n != f->program->n_outputs)
        return error_set(error, JIT_ARGUMENT, "%d outputs were given, the program has %d", results->n,
                         f->program->n_outputs);
    if (results->n > 0 && !results->out && !results->allocate)
        return error_set(error, JIT_ARGUMENT, "the array of outputs is NULL");
    if (options && options->struct_size != 0 && options->struct_size != sizeof *options)
        return error_set(error, JIT_ARGUMENT, "jit_call_options.struct_size is %zu, expected %zu", options->struct_size,
                         sizeof *options);
    if (options && options->stream) return error_set(error, JIT_ARGUMENT, "a stream was given, but the CPU has none");
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
