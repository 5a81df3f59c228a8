/* gpu_run.c: the slots' arrays of a run on a GPU: taking memory, copies there and back, waiting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/gpu.h"

enum {
    NOWHERE = 4096,         /* address of what is never read or written: empty arrays, and all while preparing */
    HEAR_EVERY = 100000000, /* nanoseconds between two calls of the progress callback */
    SHORTEST_PAUSE = 20000, /* of a wait with such a callback */
    LONGEST_PAUSE = 2000000,
};

bool gpu_fail(struct run *run, struct span span, const struct cuda_failure *failure) {
    jit_status status = gpu_status(failure);
    if (status == JIT_CANCELLED)
        run->status = error_set(run->error, status, "cancelled");
    else if (span.length)
        run->status = error_at(run->error, run->function, status, span, "%s", failure->text);
    else
        run->status = error_set(run->error, status, "%s", failure->text);
    return false;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static bool hear(struct gpu_run *gpu, const jit_context *context, const char *what) {
    int64_t now = launch_clock();
    if (!gpu->heard) gpu->heard = now;
    if (now - gpu->heard < HEAR_EVERY) return true;
    gpu->heard = now;
    if (context->options.progress(context->options.host, 0, what)) gpu->host_cancelled = true;
    return !gpu->host_cancelled;
}

bool gpu_hear(struct run *run, const char *what) {
    if (hear(run->gpu, run->context, what)) return true;
    run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
    return false;
}

/* The host's progress callback is called now and then, which may cancel what is being waited for. */
static bool wait_for_all(struct gpu_run *gpu, const jit_context *context) {
    static const volatile int yes = 1;
    if (context->options.progress) {
        int64_t pause = SHORTEST_PAUSE;
        while (!gpu->host_cancelled && !(gpu->cancel && __atomic_load_n(gpu->cancel, __ATOMIC_RELAXED)) &&
               !cuda_is_done(gpu->work)) {
            nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
            if (pause < LONGEST_PAUSE) pause *= 2;
            hear(gpu, context, "GPU");
        }
    }
    return cuda_wait(gpu->work, gpu->host_cancelled ? &yes : gpu->cancel, &gpu->failure);
}

/* Of all launches since the last look, the failure that the CPU would have met first. JIT_OK: there is none. */
static jit_status find_fault(struct gpu_run *gpu, const jit_function *function, const struct plan *plan,
                             jit_error *error) {
    struct ptx_watch watch;
    int n = gpu->n_orders;
    gpu->n_orders = 0;
    if (!n || !cuda_work_fault(gpu->work, &watch)) return JIT_OK;
    struct subscript_fault fault = {watch.position, watch.index, watch.size, watch.site, watch.operand, watch.dim};
    for (int i = 0; i < n; i++)
        if (gpu->orders[i].order == watch.order)
            return launch_fault(function, plan, gpu->orders[i].launch, gpu->orders[i].several, &fault, error);
    return error_set(error, JIT_INTERNAL, "launch %lld failed, which nobody knows of", (long long)watch.order);
}

bool gpu_settle(struct run *run) {
    if (run->preparing) return true;
    struct gpu_run *gpu = run->gpu;
    if (!wait_for_all(gpu, run->context)) return gpu_fail(run, (struct span){0, 0}, &gpu->failure);
    run->status = find_fault(gpu, run->function, run->plan, run->error);
    return run->status == JIT_OK;
}

bool gpu_remember(struct run *run, int64_t order, const struct plan_launch *launch, bool several) {
    struct gpu_run *gpu = run->gpu;
    gpu->orders[gpu->n_orders++] = (struct gpu_order){order, launch, several};
    return gpu->n_orders < GPU_ORDERS || gpu_settle(run);
}

/* --- slots -------------------------------------------------------------------------------------------------------- */

void gpu_drop(struct gpu_slot *slot) {
    if (slot->there) cuda_release(slot->buffer);
    slot->there = false;
    slot->buffer = NULL;
}

void gpu_share(struct gpu_slot *to, const struct gpu_slot *from) {
    *to = *from;
    if (to->there && to->buffer) cuda_retain(to->buffer);
}

bool gpu_let_go(struct run *run) {
    struct gpu_run *gpu = run->gpu;
    if (!gpu->n_held) return true;
    bool joined = cuda_join(gpu->work, &gpu->failure);
    while (gpu->n_held) cuda_release(gpu->held[--gpu->n_held]);
    return joined || run->status != JIT_OK ? joined : gpu_fail(run, (struct span){0, 0}, &gpu->failure);
}

bool gpu_hold(struct run *run, struct cuda_buffer *buffer) {
    struct gpu_run *gpu = run->gpu;
    bool room = gpu->n_held < GPU_HELD || gpu_let_go(run);
    gpu->held[gpu->n_held++] = buffer;
    return room;
}

struct cuda_buffer *gpu_take(struct run *run, enum dtype type, int rank, const int64_t *shape, struct span span,
                             int64_t *stride) {
    struct gpu_run *gpu = run->gpu;
    int64_t bytes;
    if (!run_measure(run, type, rank, shape, span, stride, &bytes)) return NULL;
    struct cuda_buffer *buffer = cuda_take(gpu->work, bytes ? (size_t)bytes : 1, &gpu->failure);
    if (buffer) return buffer;
    if (gpu->failure.status == CUDA_NO_MEMORY) {
        char text[200];
        run->status = error_at(run->error, run->function, JIT_MEMORY, span, "%lld bytes for an array of shape %s: %s",
                               (long long)bytes, run_shape_text(text, sizeof text, rank, shape), gpu->failure.text);
    } else {
        gpu_fail(run, span, &gpu->failure);
    }
    return NULL;
}

bool gpu_allocate(struct run *run, int slot, int rank, const int64_t *shape, struct span span) {
    struct gpu_run *gpu = run->gpu;
    enum dtype type = run->plan->slots[slot].type;
    struct gpu_slot fresh = {.there = true};
    if (run->preparing) {
        int64_t bytes;
        if (!run_measure(run, type, rank, shape, span, fresh.stride, &bytes)) return false;
        fresh.address = NOWHERE;
    } else if (gpu->direct && gpu->direct[slot] &&
               memcmp(gpu->direct_shape[slot], shape, sizeof *shape * (size_t)rank) == 0) {
        run_contiguous(type, rank, shape, fresh.stride);
        fresh.address = gpu->direct[slot];
    } else {
        if (!(fresh.buffer = gpu_take(run, type, rank, shape, span, fresh.stride))) return false;
        fresh.address = fresh.buffer->address;
    }
    run_drop(run, slot);
    for (int d = 0; d < rank; d++) run->slots[slot].shape[d] = shape[d];
    gpu->slots[slot] = fresh;
    return true;
}

bool gpu_is_contiguous(enum dtype type, int rank, const int64_t *shape, const int64_t *stride) {
    int64_t step = dtype_size(type);
    bool contiguous = true;
    for (int d = rank - 1; d >= 0; d--) {
        if (shape[d] == 0) return true;
        if (shape[d] != 1 && stride[d] != step) contiguous = false;
        step *= shape[d];
    }
    return contiguous;
}

/* --- to the GPU --------------------------------------------------------------------------------------------------- */

static struct host_array host_array_of(const struct run *run, int source) {
    struct host_array array;
    if (source >= 0) {
        const struct run_slot *slot = &run->slots[source];
        array.type = run->plan->slots[source].type, array.rank = run->plan->slots[source].rank;
        array.data = slot->data, array.shape = slot->shape, array.ours = slot->buffer || run->n_files > 0;
        memcpy(array.stride, slot->stride, sizeof array.stride);
    } else {
        const struct plan_literal *literal = &run->plan->literals[-1 - source];
        array.type = literal->type, array.rank = literal->rank;
        array.data = literal->data, array.shape = literal->shape, array.ours = false;
        run_contiguous(array.type, array.rank, array.shape, array.stride);
    }
    return array;
}

static bool is_same(const struct run *run, int slot, const struct host_array *array) {
    const struct run_slot *other = &run->slots[slot];
    const struct plan_slot *info = &run->plan->slots[slot];
    size_t bytes = sizeof(int64_t) * (size_t)array->rank;
    return other->data == array->data && info->type == array->type && info->rank == array->rank &&
           memcmp(other->shape, array->shape, bytes) == 0 && memcmp(other->stride, array->stride, bytes) == 0;
}

static bool send(struct run *run, const struct host_array *array, struct span span, struct gpu_slot *slot) {
    struct gpu_run *gpu = run->gpu;
    struct parcel parcel;
    parcel_plan(array, &parcel);
    *slot = (struct gpu_slot){.there = true, .address = NOWHERE};
    memcpy(slot->stride, parcel.stride, sizeof slot->stride);
    if (run->preparing || parcel.empty) return true;
    slot->there = false;
    if (!parcel_pack(run, array, &parcel, span)) return false;
    slot->buffer =
        cuda_upload(gpu->work, parcel.from, (size_t)parcel.bytes, parcel.packed || array->ours, &gpu->failure);
    pool_release(parcel.packed);
    if (!slot->buffer) return gpu_fail(run, span, &gpu->failure);
    slot->there = true;
    slot->address = slot->buffer->address + (uint64_t)parcel.below;
    return true;
}

bool gpu_source(struct run *run, int source, struct span span, const struct gpu_slot **found) {
    struct gpu_run *gpu = run->gpu;
    int n_slots = run->plan->n_slots;
    struct gpu_slot *slot = &gpu->slots[source >= 0 ? source : n_slots + (-1 - source)];
    *found = slot;
    if (slot->there) return true;
    struct host_array array = host_array_of(run, source);
    for (int i = 0; i < n_slots && !slot->there; i++) /* the same array by another name */
        if (gpu->slots[i].there && is_same(run, i, &array)) gpu_share(slot, &gpu->slots[i]);
    if (slot->there) return true;
    if (!send(run, &array, span, slot)) return false;
    for (int i = 0; i < n_slots; i++)
        if (!gpu->slots[i].there && is_same(run, i, &array)) gpu_share(&gpu->slots[i], slot);
    return true;
}

/* --- and back ----------------------------------------------------------------------------------------------------- */

struct buffer *gpu_take_host(struct run *run, int64_t bytes) {
    struct buffer *buffer = pool_take(run->context->pool, (size_t)bytes);
    if (!buffer)
        run->status = error_set(run->error, JIT_MEMORY, "out of memory: %lld bytes to copy an array from the GPU",
                                (long long)bytes);
    return buffer;
}

bool gpu_to_host(struct run *run, int number) {
    struct gpu_run *gpu = run->gpu;
    struct gpu_slot *there = &gpu->slots[number];
    struct run_slot *slot = &run->slots[number];
    const struct plan_slot *info = &run->plan->slots[number];
    struct span nowhere = {0, 0};
    if (!there->there) return true; /* empty: never filled */
    int64_t stride[TYPE_MAX_RANK], packed_stride[TYPE_MAX_RANK], bytes;
    if (!run_measure(run, info->type, info->rank, slot->shape, nowhere, stride, &bytes)) return false;
    uint64_t from = there->address;
    struct cuda_buffer *packed = NULL;
    struct buffer *buffer = NULL;
    bool ok = false;
    if (!gpu_is_contiguous(info->type, info->rank, slot->shape, there->stride)) {
        if (!(packed = gpu_take(run, info->type, info->rank, slot->shape, nowhere, packed_stride))) goto out;
        from = packed->address;
        if (!gpu_copy(run, info->type, info->rank, slot->shape, from, packed_stride, there->address, there->stride,
                      nowhere))
            goto out;
    }
    if (!(buffer = gpu_take_host(run, bytes))) goto out;
    ok = bytes == 0 || cuda_copy_to_host(gpu->work, buffer->data, from, (size_t)bytes, &gpu->failure);
    if (!ok) gpu_fail(run, nowhere, &gpu->failure);
    ok = ok ? gpu_settle(run) : (wait_for_all(gpu, run->context), false);
out:
    cuda_release(packed);
    if (!ok) {
        pool_release(buffer);
        return false;
    }
    slot->buffer = buffer, slot->data = buffer->data;
    memcpy(slot->stride, stride, sizeof *stride * (size_t)info->rank);
    return true;
}

bool gpu_send_early(const struct launch *launch) {
    struct run *run = launch->run;
    struct gpu_run *gpu = run->gpu;
    if (!run->direct || run->preparing) return true;
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        if (launch->kernel->operands[k].kind != OPERAND_WRITE) continue;
        int number = launch->plan->operands[k].slot;
        const struct plan_slot *info = &run->plan->slots[number];
        const struct gpu_slot *there = &gpu->slots[number];
        struct run_slot *slot = &run->slots[number];
        const DLTensor *out = run->direct[number];
        if (!out || !info->rank || !run->entry->stays[number] || !there->there || !there->buffer ||
            memcmp(out->shape, slot->shape, sizeof *slot->shape * (size_t)info->rank) != 0)
            continue;
        size_t bytes = there->buffer->size;
        char *to = (char *)out->data + out->byte_offset;
        if ((int64_t)bytes < run->context->slab_bytes || !cuda_is_pinned(gpu->gpu->device, to, bytes)) continue;
        if (!cuda_download(gpu->work, to, there->address, bytes, &gpu->failure))
            return gpu_fail(run, launch->span, &gpu->failure);
        cuda_retain(there->buffer);
        if (!gpu_hold(run, there->buffer)) return false;
        slot->data = to; /* on its way, but nobody looks */
        memcpy(slot->stride, there->stride, sizeof *slot->stride * (size_t)info->rank);
    }
    return true;
}

/* --- on the GPU --------------------------------------------------------------------------------------------------- */

bool gpu_copy(struct run *run, enum dtype type, int rank, const int64_t *shape, uint64_t to, const int64_t *to_stride,
              uint64_t from, const int64_t *from_stride, struct span span) {
    struct gpu_run *gpu = run->gpu;
    int64_t size = dtype_size(type), count = 1;
    for (int d = 0; d < rank; d++) count *= shape[d];
    if (count == 0) return true;
    if (gpu_is_contiguous(type, rank, shape, to_stride) && gpu_is_contiguous(type, rank, shape, from_stride))
        return cuda_copy_on_device(gpu->work, to, from, (size_t)(count * size), &gpu->failure) ||
               gpu_fail(run, span, &gpu->failure);
    struct gpu_copier *copier = gpu_copier_get(gpu->gpu, size, rank);
    if (!copier) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory");
        return false;
    }
    struct kernel_argument arguments[2];
    struct operand_run operands[2];
    unsigned char key[3] = {0};
    struct launch launch = {.run = run,
                            .kernel = copier->kernel,
                            .state = &copier->state,
                            .build = &gpu->gpu->build,
                            .span = span,
                            .arguments = arguments,
                            .operands = operands,
                            .positions = count,
                            .reduced = 1,
                            .bytes = (double)(count * size),
                            .key = key};
    for (int d = 0; d < rank; d++) {
        launch.extents[d] = shape[d];
        operands[0].stride[d] = from_stride[d];
        operands[1].stride[d] = to_stride[d];
    }
    for (int k = 0; k < 2; k++)
        arguments[k] =
            (struct kernel_argument){(char *)(uintptr_t)(k ? to : from), operands[k].stride, operands[k].size};
    launch_merge(&launch, 0);
    return launch_cuda(&launch);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void count_row(void *host, int tag, double seconds, double bytes) {
    struct plan_entry *entry = host;
    const int launches = entry->plan->n_launches;
    struct launch_state *state = tag >= launches             ? &entry->rows[tag - launches]
                                 : tag >= 0                  ? &entry->launches[tag]
                                 : tag == CUDA_TAG_TO_DEVICE ? &entry->copies[COPIES_TO_DEVICE]
                                 : tag == CUDA_TAG_TO_HOST   ? &entry->copies[COPIES_TO_HOST]
                                                             : &entry->copies[COPIES_ON_DEVICE];
    atomic_fetch_add_explicit(&state->nanoseconds, (int64_t)(seconds * 1e9), memory_order_relaxed);
    if (tag >= 0 || tag == GPU_TAG_COPY) return; /* launch_cuda.c and rows_cuda.c counted the rest */
    atomic_store_explicit(&state->on_device, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->bytes, (int64_t)bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->launches, 1, memory_order_relaxed);
}

jit_status gpu_finish(struct gpu_run *gpu, jit_function *function, struct plan_entry *entry, jit_status status,
                      jit_error *error) {
    jit_context *context = function->context;
    if (status == JIT_CANCELLED) gpu->host_cancelled = true; /* kernels are told, whoever wished it */
    bool done = wait_for_all(gpu, context);
    /* A kernel that failed before whatever stopped the host is what the CPU would have reported. */
    bool ours = status == JIT_OK || status == JIT_SHAPE || status == JIT_INDEX || status == JIT_VALUE ||
                status == JIT_LIMIT || status == JIT_ASSERT || status == JIT_FILE;
    if (done && ours) {
        jit_status fault = find_fault(gpu, function, entry->plan, error);
        if (fault != JIT_OK) status = fault;
    } else if (!done && status == JIT_OK) {
        status = gpu_status(&gpu->failure);
        error_set(error, status, "%s", status == JIT_CANCELLED ? "cancelled" : gpu->failure.text);
    }
    struct gpu_scatter *next;
    for (struct gpu_scatter *s = gpu->scatter; s; s = next) {
        next = s->next;
        int64_t stride[TYPE_MAX_RANK];
        run_contiguous(s->type, s->rank, s->shape, stride);
        if (status == JIT_OK)
            parcel_copy(gpu->threads, s->type, s->rank, s->shape, s->to, s->stride, s->buffer->data, stride);
        pool_release(s->buffer);
        mem_free(&context->mem, s, sizeof *s);
    }
    gpu->scatter = NULL;
    if (gpu->profiling && done) cuda_profile_read(gpu->work, count_row, entry);
    cuda_work_end(gpu->work);
    return status;
}
