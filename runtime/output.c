/* output.c: results in host memory to the caller: written at once, copied, or handed over. */
#include <stdio.h>
#include <string.h>

#include "runtime/call.h"

/* The same elements at the same addresses. */
static bool same_layout(const DLTensor *a, const struct bound *bound_a, const DLTensor *b,
                        const struct bound *bound_b) {
    if (bound_a->data != bound_b->data || a->ndim != b->ndim || dtype_size(bound_a->type) != dtype_size(bound_b->type))
        return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return bound_a->contiguous && bound_b->contiguous;
}

bool output_may_be_direct(const struct call *call, const struct plan_entry *entry, const DLTensor *out,
                          const struct bound *bound, int number, bool *aliased) {
    if (!entry->outputs[number].direct || !bound->contiguous) return false;
    for (int i = 0; i < call->n_in; i++) {
        if (!call->in[i] || !output_overlap(bound, &call->bound[i])) continue;
        if (!entry->in_place || bound->on_gpu != call->bound[i].on_gpu ||
            !same_layout(out, bound, call->in[i], &call->bound[i]))
            return false;
        *aliased = true;
    }
    return true;
}

bool output_bind(struct call *call, const struct plan *plan, const struct results *results, struct bound *bound) {
    char text[160];
    DLTensor *const *out = results->out;
    for (int i = 0; i < results->n; i++) {
        const char *name = plan->output_names[i];
        if (!out[i]) return call_refuse(call, JIT_ARGUMENT, "output", i, name, "NULL");
        if (!call_bind_tensor(call, out[i], "output", i, name, &bound[i])) return false;
        const struct plan_slot *slot = &plan->slots[plan->output_slots[i]];
        if (bound[i].type != slot->type) {
            snprintf(text, sizeof text, "the tensor's element type is %s, the result's is %s",
                     dtype_name(bound[i].type), dtype_name(slot->type));
            return call_refuse(call, JIT_TYPE, "output", i, name, text);
        }
        if (out[i]->ndim != slot->rank) {
            snprintf(text, sizeof text, "the tensor's rank is %d, the result's is %d", out[i]->ndim, slot->rank);
            return call_refuse(call, JIT_SHAPE, "output", i, name, text);
        }
        for (int d = 0; d < out[i]->ndim && !bound[i].contiguous; d++)
            if (bound[i].stride[d] == 0 && out[i]->shape[d] > 1)
                return call_refuse(call, JIT_ARGUMENT, "output", i, name,
                                   "several elements lie at one address (stride 0)");
        for (int k = 0; k < i; k++)
            if (output_overlap(&bound[i], &bound[k]))
                return call_refuse(call, JIT_ARGUMENT, "output", i, name, "overlaps an earlier output");
    }
    return true;
}

bool output_is_written(const struct run *run, int slot) {
    return run->direct && run->direct[slot] && run->slots[slot].data && !run->slots[slot].buffer;
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

bool output_will_overwrite(const struct run *run, const struct results *results, const struct bound *bound,
                           bool direct(const struct run *run, int slot), int slot, const char *first,
                           const int64_t *stride) {
    const struct plan *plan = run->plan;
    struct bound here = {.begin = first, .end = first + dtype_size(plan->slots[slot].type)};
    for (int d = 0; d < plan->slots[slot].rank; d++) {
        int64_t size = run->slots[slot].shape[d];
        if (size == 0) return false;
        int64_t reach = (size - 1) * stride[d];
        if (reach < 0)
            here.begin += reach;
        else
            here.end += reach;
    }
    for (int i = 0; i < results->n; i++)
        if (!direct(run, plan->output_slots[i]) && output_overlap(&here, &bound[i])) return true;
    return false;
}

/* An output that is an input's memory moves away if an output is going to be copied over it. */
static bool step_aside(struct call *call, struct run *run, int number, const struct results *results,
                       const struct bound *bound) {
    const struct plan *plan = run->plan;
    int slot_number = plan->output_slots[number];
    struct run_slot *slot = &run->slots[slot_number];
    const struct plan_slot *info = &plan->slots[slot_number];
    if (!slot->data || slot->buffer || output_is_written(run, slot_number)) return true;
    if (!output_will_overwrite(run, results, bound, output_is_written, slot_number, slot->data, slot->stride))
        return true;
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

bool output_step_aside(struct call *call, struct run *run, const struct results *results, const struct bound *bound) {
    for (int i = 0; i < results->n; i++)
        if (!step_aside(call, run, i, results, bound)) return false;
    return true;
}

bool output_has_shape(struct call *call, const struct run *run, int number, const DLTensor *out) {
    const struct plan *plan = run->plan;
    int slot = plan->output_slots[number];
    for (int d = 0; d < plan->slots[slot].rank; d++)
        if (out->shape[d] != run->slots[slot].shape[d]) {
            char text[160];
            snprintf(text, sizeof text, "size %lld in dimension %d, but the result's is %lld", (long long)out->shape[d],
                     d, (long long)run->slots[slot].shape[d]);
            return call_refuse(call, JIT_SHAPE, "output", number, plan->output_names[number], text);
        }
    return true;
}

static bool deliver(struct call *call, struct run *run, int number, DLTensor *out, const struct bound *bound) {
    const struct plan *plan = run->plan;
    int slot_number = plan->output_slots[number];
    const struct run_slot *slot = &run->slots[slot_number];
    if (!slot->data)
        return call_refuse(call, JIT_INTERNAL, "output", number, plan->output_names[number], "was not computed");
    if (!output_has_shape(call, run, number, out)) return false;
    if (output_is_written(run, slot_number)) return true;
    run_copy(plan->slots[slot_number].type, plan->slots[slot_number].rank, slot->shape, bound->data, bound->stride,
             slot->data, slot->stride);
    return true;
}

DLManagedTensor *output_hand_over(struct run *run, int number) {
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

void output_delete(struct results *results) {
    for (int i = 0; i < results->n; i++) {
        if (results->allocate[i]) results->allocate[i]->deleter(results->allocate[i]);
        results->allocate[i] = NULL;
    }
}

jit_status output_deliver(struct call *call, struct run *run, struct results *results, const struct bound *bound) {
    if (results->out) {
        if (!output_step_aside(call, run, results, bound)) return call->status;
        for (int i = 0; i < results->n; i++)
            if (!deliver(call, run, i, results->out[i], &bound[i])) return call->status;
        return JIT_OK;
    }
    for (int i = 0; i < results->n; i++) {
        if ((results->allocate[i] = output_hand_over(run, i))) continue;
        output_delete(results);
        return error_set(call->error, JIT_MEMORY, "out of memory for output %d", i);
    }
    return JIT_OK;
}
