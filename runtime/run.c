/* run.c: walks a plan's steps and actions for one call. */
#include <stdio.h>
#include <string.h>

#include "runtime/gpu.h"
#include "runtime/rows.h"

enum { NOT_LEAVING = -1, PROGRESS_EVERY = 64 };

/* --- slots -------------------------------------------------------------------------------------------------------- */

void run_drop(struct run *run, int number) {
    struct run_slot *slot = &run->slots[number];
    pool_release(slot->buffer);
    slot->buffer = NULL;
    slot->data = NULL;
    if (run->gpu) gpu_drop(&run->gpu->slots[number]);
}

static bool is_filled(const struct run *run, int slot) {
    return run->slots[slot].data || (run->gpu && run->gpu->slots[slot].there);
}

bool run_to_host(struct run *run, int slot) {
    return run->slots[slot].data || !run->gpu || run->preparing || gpu_to_host(run, slot);
}

int64_t run_contiguous(enum dtype type, int rank, const int64_t *shape, int64_t *stride) {
    int64_t step = dtype_size(type), count = 1;
    for (int d = rank - 1; d >= 0; d--) {
        stride[d] = step;
        if (shape[d] < 0 || __builtin_mul_overflow(count, shape[d], &count)) return -1;
        if (shape[d] > 0 && __builtin_mul_overflow(step, shape[d], &step)) return -1;
    }
    return count;
}

const char *run_shape_text(char *room, size_t size, int rank, const int64_t *shape) {
    size_t at = 0;
    at += (size_t)snprintf(room + at, size - at, "[");
    for (int d = 0; d < rank && at < size; d++)
        at += (size_t)snprintf(room + at, size - at, "%s%lld", d ? ", " : "", (long long)shape[d]);
    if (at < size) snprintf(room + at, size - at, "]");
    return room;
}

bool run_measure(struct run *run, enum dtype type, int rank, const int64_t *shape, struct span span, int64_t *stride,
                 int64_t *bytes) {
    int64_t count = run_contiguous(type, rank, shape, stride);
    if (count >= 0 && !__builtin_mul_overflow(count, dtype_size(type), bytes)) return true;
    char text[200];
    run->status = error_at(run->error, run->function, JIT_VALUE, span, "an array of shape %s is too large",
                           run_shape_text(text, sizeof text, rank, shape));
    return false;
}

bool run_allocate(struct run *run, int number, int rank, const int64_t *shape, struct span span) {
    struct run_slot *slot = &run->slots[number];
    int64_t bytes;
    run_drop(run, number);
    for (int d = 0; d < rank; d++) slot->shape[d] = shape[d];
    if (!run_measure(run, run->plan->slots[number].type, rank, shape, span, slot->stride, &bytes)) return false;
    const DLTensor *direct = run->direct ? run->direct[number] : NULL;
    if (direct && (rank == 0 || memcmp(direct->shape, shape, sizeof *shape * (size_t)rank) == 0)) {
        static char nothing[64]; /* of an empty array, whose data may be NULL */
        slot->data = direct->data ? (char *)direct->data + direct->byte_offset : nothing;
        return true;
    }
    if (run->preparing) {
        static char nowhere[64]; /* never read or written: preparing runs nothing */
        slot->data = nowhere;
        return true;
    }
    slot->buffer = pool_take(run->context->pool, (size_t)bytes);
    if (slot->buffer) {
        slot->data = slot->buffer->data;
        return true;
    }
    char limit[80] = "", text[200];
    if (pool_limit(run->context->pool))
        snprintf(limit, sizeof limit, " (%zu bytes are held, the limit is %zu)", pool_held(run->context->pool),
                 pool_limit(run->context->pool));
    run->status =
        error_at(run->error, run->function, JIT_MEMORY, span, "out of memory: %lld bytes for an array of shape %s%s",
                 (long long)bytes, run_shape_text(text, sizeof text, rank, shape), limit);
    return false;
}

/* n elements; the sizes are constants where the copying is. */
static inline void copy_elements(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n,
                                 size_t size) {
    for (int64_t i = 0; i < n; i++) memcpy(to + i * to_stride, from + i * from_stride, size);
}

static void copy_row(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n, int64_t size) {
    switch (size) {
    case 1: copy_elements(to, to_stride, from, from_stride, n, 1); break;
    case 2: copy_elements(to, to_stride, from, from_stride, n, 2); break;
    case 4: copy_elements(to, to_stride, from, from_stride, n, 4); break;
    default: copy_elements(to, to_stride, from, from_stride, n, 8); break;
    }
}

void run_copy(enum dtype type, int rank, const int64_t *shape, char *to, const int64_t *to_stride, const char *from,
              const int64_t *from_stride) {
    int64_t size = dtype_size(type), index[TYPE_MAX_RANK] = {0};
    for (int d = 0; d < rank; d++)
        if (shape[d] == 0) return;
    if (rank == 0) {
        memcpy(to, from, (size_t)size);
        return;
    }
    int last = rank - 1;
    bool rows = to_stride[last] == size && from_stride[last] == size;
    for (;;) {
        if (rows)
            memcpy(to, from, (size_t)(size * shape[last]));
        else
            copy_row(to, to_stride[last], from, from_stride[last], shape[last], size);
        int d = last - 1;
        for (; d >= 0; d--) {
            to += to_stride[d], from += from_stride[d];
            if (++index[d] < shape[d]) break;
            to -= to_stride[d] * shape[d], from -= from_stride[d] * shape[d];
            index[d] = 0;
        }
        if (d < 0) return;
    }
}

/* --- sizes and checks --------------------------------------------------------------------------------------------- */

static int64_t scalar_value(const struct run *run, int slot) {
    const char *data = run->slots[slot].data;
    if (!data || run->preparing) return 1;
    switch (run->plan->slots[slot].type) {
    case TY_BOOL:
    case TY_U8: return *(const uint8_t *)data;
    case TY_I8: return *(const int8_t *)data;
    case TY_I16: return *(const int16_t *)data;
    case TY_U16: return *(const uint16_t *)data;
    case TY_I32: return *(const int32_t *)data;
    case TY_U32: return *(const uint32_t *)data;
    case TY_U64: return *(const uint64_t *)data > INT64_MAX ? INT64_MAX : (int64_t) * (const uint64_t *)data;
    case TY_I64: return *(const int64_t *)data;
    default: return 0;
    }
}

static bool run_sizes(struct run *run, int first, int count) {
    const struct size *const *items = run->plan->sizes.items;
    for (int id = first; id < first + count; id++) {
        const struct size *size = items[id];
        int64_t leaf = 0;
        if (size->op == SIZE_CONST) continue;
        if (size->op == SIZE_DIM) {
            leaf = is_filled(run, size->slot) ? run->slots[size->slot].shape[size->dim] : 0;
        } else if (size->op == SIZE_SCALAR) {
            if (!run_to_host(run, size->slot)) return false;
            leaf = scalar_value(run, size->slot);
        }
        run->sizes[id] =
            size_apply(size, size->a ? run->sizes[size->a->id] : 0, size->b ? run->sizes[size->b->id] : 0, leaf);
    }
    return true;
}

/* The check's text with {a}, {b} and {N} replaced. */
static void check_text(const struct run *run, const struct plan_check *check, char *out, size_t room) {
    size_t at = 0;
    for (const char *p = check->text; *p && at + 1 < room; p++) {
        const char *close = *p == '{' ? strchr(p, '}') : NULL;
        const struct size *size = NULL;
        if (close && close == p + 2 && p[1] == 'a')
            size = check->a;
        else if (close && close == p + 2 && p[1] == 'b')
            size = check->b;
        else if (close && p[1] >= '0' && p[1] <= '9') {
            int number = 0;
            for (const char *q = p + 1; q < close && number < 1000; q++) number = number * 10 + (*q - '0');
            if (number < check->n_sizes) size = check->sizes[number];
        }
        if (!size) {
            out[at++] = *p;
            continue;
        }
        int n = snprintf(out + at, room - at, "%lld", (long long)run->sizes[size->id]);
        at = at + (size_t)n < room ? at + (size_t)n : room - 1;
        p = close;
    }
    out[at] = 0;
}

static bool run_check(struct run *run, const struct graph_sink *sink) {
    const struct plan_check *check = sink->check;
    int64_t a = run->sizes[check->a->id], b = run->sizes[check->b->id];
    bool ok = true;
    switch (check->kind) {
    case CHECK_EQUAL: ok = a == b; break;
    case CHECK_BCAST: ok = a == b || a == 1 || b == 1; break;
    case CHECK_INDEX: ok = 0 <= a && a < b; break;
    case CHECK_AT_LEAST: ok = a >= b; break;
    }
    if (ok || run->preparing) return true;
    char text[900];
    check_text(run, check, text, sizeof text);
    run->status = error_at(run->error, run->function, (jit_status)check->code, sink->span, "%s", text);
    return false;
}

/* --- actions ------------------------------------------------------------------------------------------------------ */

static void run_share(struct run *run, const struct plan_action *action) {
    struct run_slot fresh = {0};
    struct gpu_slot there = {0};
    const struct plan_slot *slot = &run->plan->slots[action->slot];
    if (action->source >= 0) {
        fresh = run->slots[action->source];
        if (fresh.buffer) pool_retain(fresh.buffer);
        if (run->gpu) gpu_share(&there, &run->gpu->slots[action->source]);
    } else {
        const struct plan_literal *literal = &run->plan->literals[-1 - action->source];
        fresh.data = (char *)literal->data;
        memcpy(fresh.shape, literal->shape, sizeof literal->shape);
        run_contiguous(literal->type, literal->rank, literal->shape, fresh.stride);
    }
    if (action->rank || (slot->rank == 0 && action->source >= 0 && run->plan->slots[action->source].rank > 0)) {
        for (int d = 0; d < action->rank; d++) fresh.shape[d] = run->sizes[action->shape[d]->id];
        run_contiguous(slot->type, slot->rank, fresh.shape, fresh.stride);
        memcpy(there.stride, fresh.stride, sizeof there.stride);
    }
    run_drop(run, action->slot);
    run->slots[action->slot] = fresh;
    if (run->gpu) run->gpu->slots[action->slot] = there;
}

static bool cancelled(struct run *run) {
    if (!__atomic_load_n(run->cancel, __ATOMIC_RELAXED)) return false;
    run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
    return true;
}

/* What is done row by row is not launched again, but for the arrays that go: returns the last action of it. */
static int pass_rows(struct run *run, const struct plan_step *step, int at) {
    int last = at + step->actions[at]->count;
    for (int i = at + 1; i <= last; i++)
        if (step->actions[i]->kind == ACTION_FREE) run_drop(run, step->actions[i]->slot);
    return last;
}

static bool run_graph(struct run *run, const struct plan_step *step) {
    for (int i = 0; i < step->n_actions; i++) {
        const struct plan_action *action = step->actions[i];
        switch (action->kind) {
        case ACTION_SIZES:
            if (!run_sizes(run, action->first, action->count)) return false;
            break;
        case ACTION_CHECK:
            if (!run_check(run, action->sink)) return false;
            break;
        case ACTION_KERNEL:
            if (!launch_kernel(run, action->launch)) return false;
            break;
        case ACTION_SHARE: run_share(run, action); break;
        case ACTION_EFFECT:
            if (!effect_run(run, action)) return false;
            break;
        case ACTION_FREE: run_drop(run, action->slot); break;
        case ACTION_ROWS: {
            bool done;
            if (!rows_run(run, action->rows, &done)) return false;
            if (done) i = pass_rows(run, step, i);
            break;
        }
        }
    }
    return true;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static bool run_block(struct run *run, const struct plan_block *block);

static bool run_loop(struct run *run, const struct plan_step *step) {
    int64_t limit = run->context->options.max_loop_iterations;
    for (int64_t turn = 0;; turn++) {
        if (cancelled(run)) return false;
        if (limit > 0 && turn > limit) {
            run->status = error_at(run->error, run->function, JIT_LIMIT, step->span,
                                   "the loop ran %lld times, the limit of this host", (long long)limit);
            return false;
        }
        if (run->context->options.progress && turn % PROGRESS_EVERY == PROGRESS_EVERY - 1 &&
            run->context->options.progress(run->context->options.host, 0, "loop")) {
            run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
            return false;
        }
        if (!run_block(run, &step->block)) return false;
        if (run->leaving != NOT_LEAVING || run->preparing) return true;
    }
}

static bool run_step(struct run *run, const struct plan_step *step) {
    switch (step->kind) {
    case STEP_GRAPH: return run_graph(run, step);
    case STEP_IF:
        if (run->preparing) return run_block(run, &step->block) && run_block(run, &step->other);
        if (!run_to_host(run, step->condition)) return false;
        return run_block(run, scalar_value(run, step->condition) ? &step->block : &step->other);
    case STEP_LOOP: return run_loop(run, step);
    case STEP_SCOPE:
        if (!run_block(run, &step->block)) return false;
        if (run->leaving == step->scope) run->leaving = NOT_LEAVING;
        return true;
    case STEP_LEAVE:
        if (!run->preparing) run->leaving = step->scope;
        return true;
    case STEP_COPY: {
        struct plan_action share = {.kind = ACTION_SHARE, .slot = step->slot, .source = step->source};
        run_share(run, &share);
        return true;
    }
    }
    return true;
}

static bool run_block(struct run *run, const struct plan_block *block) {
    for (int i = 0; i < block->n_steps; i++) {
        if (!run_step(run, block->steps[i])) return false;
        if (run->leaving != NOT_LEAVING) return true;
    }
    return true;
}

bool run_plan(struct run *run) {
    run->leaving = NOT_LEAVING;
    if (cancelled(run)) return false;
    return run_block(run, &run->plan->body);
}
