/* launch.c: one kernel of a plan on the arrays of one run: strides from the index maps, merging of dimensions, the
 * compiled variant for the layout met, threads. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/runtime.h"

enum {
    FLAG_NONTEMPORAL = 1,
    FLAG_SINGLE_ROW = 2,
    STACK_PARTIALS = 16384, /* bytes of block states kept on the stack */
    PIECE = 1 << 20,        /* positions between two looks at the cancel flag */
    PROGRESS_SLICES = 100,
    PROGRESS_NANOSECONDS = 200000000, /* estimated work from which the host hears of progress */
    PARALLEL_NANOSECONDS =
        25000, /* work below this is done by the caller alone: a region costs 1 us warm, 20 us cold */
};

struct operand_run {
    int64_t stride[KERNEL_MAX_LOOPS];
    int64_t size[TYPE_MAX_RANK];
};

struct launch {
    struct run *run;
    const struct plan_launch *plan;
    const struct ir_kernel *kernel;
    struct launch_state *state;
    struct kernel_argument *arguments;
    struct operand_run *operands;
    int64_t extents[KERNEL_MAX_LOOPS];
    int64_t positions, reduced; /* products of the parallel and the reduced extents */
    int64_t *sizes;
    double bytes; /* moved by the whole kernel, each operand counted once */
    double written;
    unsigned char *key;
    const struct kernel_code *code;
    struct kernel_watch watch;
    struct kernel_call call;
    int64_t row, blocks; /* LANES: the row being worked on and its number of blocks */
    char *partials;
    bool no_memory;      /* for partials */
    bool host_cancelled; /* the progress callback said so */
    double nanoseconds;  /* estimated, on one thread */
};

static int64_t size_value(const struct run *run, const struct size *size) {
    return run->sizes[size->id];
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void read_source(const struct run *run, int slot, const char **data, const int64_t **stride,
                        int64_t *literal_stride) {
    if (slot >= 0) {
        *data = run->slots[slot].data;
        *stride = run->slots[slot].stride;
        return;
    }
    const struct plan_literal *literal = &run->plan->literals[-1 - slot];
    run_contiguous(literal->type, literal->rank, literal->shape, literal_stride);
    *data = literal->data;
    *stride = literal_stride;
}

/* Bytes from one position to the next in each dimension that the map's terms name; returns the first element's address.
 */
static char *apply_map(const struct run *run, const struct launch_operand *operand, int64_t *out) {
    const char *data;
    const int64_t *stride;
    int64_t literal_stride[TYPE_MAX_RANK];
    read_source(run, operand->slot, &data, &stride, literal_stride);
    intptr_t at = (intptr_t)data;
    for (int d = 0; d < operand->map.source_rank; d++) {
        const struct view_axis *axis = &operand->map.axis[d];
        at += (intptr_t)(size_value(run, axis->offset) * stride[d]);
        for (int t = 0; t < axis->n_terms; t++)
            out[axis->terms[t].dim] += size_value(run, axis->terms[t].coef) * stride[d];
    }
    return (char *)at;
}

static bool bind_operand(struct launch *launch, int number) {
    struct run *run = launch->run;
    const struct ir_kernel *kernel = launch->kernel;
    const struct kernel_operand *operand = &kernel->operands[number];
    const struct launch_operand *where = &launch->plan->operands[number];
    struct kernel_argument *argument = &launch->arguments[number];
    struct operand_run *room = &launch->operands[number];
    int loops = kernel->n_par + kernel->n_red;
    int strides = operand->kind == OPERAND_WHOLE ? operand->rank : loops;
    for (int j = 0; j < strides; j++) room->stride[j] = 0;
    argument->stride = room->stride;
    argument->size = room->size;
    if (operand->kind == OPERAND_WRITE) {
        int rank = operand->uses ? loops : kernel->n_par; /* with `uses`: stored at every position of the reduction */
        if (!run_allocate(run, where->slot, rank, launch->extents, launch->plan->span)) return false;
        argument->data = run->slots[where->slot].data;
        for (int j = 0; j < rank; j++) room->stride[j] = run->slots[where->slot].stride[j];
        double bytes =
            (double)launch->positions * (operand->uses ? (double)launch->reduced : 1) * dtype_size(operand->type);
        launch->bytes += bytes;
        launch->written += bytes;
        return true;
    }
    argument->data = apply_map(run, where, room->stride);
    double elements = 1;
    if (operand->kind == OPERAND_WHOLE) {
        for (int d = 0; d < operand->rank; d++) {
            room->size[d] = size_value(run, where->whole_size[d]);
            elements *= (double)room->size[d];
        }
    } else {
        for (int j = 0; j < loops; j++)
            if (room->stride[j] != 0) elements *= (double)launch->extents[j];
    }
    launch->bytes += elements * dtype_size(operand->type);
    return true;
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

/* Makes one dimension of neighbours that lie one after the other in every operand, among dimensions [first, first + n);
 * what is left moves to the inner end, the outer extents become 1. */
static void merge_dimensions(struct launch *launch, int first, int n) {
    const struct ir_kernel *kernel = launch->kernel;
    int keep[KERNEL_MAX_LOOPS], kept = 0; /* in order, outer to inner */
    int64_t extent[KERNEL_MAX_LOOPS];
    for (int j = first; j < first + n; j++) {
        if (launch->extents[j] == 1 && !(kept == 0 && j == first + n - 1)) continue;
        if (kept > 0) {
            bool flat = true;
            for (int k = 0; k < kernel->n_operands && flat; k++) {
                if (kernel->operands[k].kind == OPERAND_WHOLE) continue;
                const int64_t *stride = launch->operands[k].stride;
                flat = stride[keep[kept - 1]] == stride[j] * launch->extents[j];
            }
            if (flat) {
                extent[kept - 1] *= launch->extents[j];
                keep[kept - 1] = j;
                continue;
            }
        }
        extent[kept] = launch->extents[j];
        keep[kept++] = j;
    }
    if (kept == n) return;
    int shift = first + n - kept;
    for (int k = 0; k < kernel->n_operands; k++) {
        if (kernel->operands[k].kind == OPERAND_WHOLE) continue;
        int64_t *stride = launch->operands[k].stride, moved[KERNEL_MAX_LOOPS];
        for (int i = 0; i < kept; i++) moved[i] = stride[keep[i]];
        for (int j = first; j < shift; j++) stride[j] = 0;
        for (int i = 0; i < kept; i++) stride[shift + i] = moved[i];
    }
    for (int j = first; j < shift; j++) launch->extents[j] = 1;
    for (int i = 0; i < kept; i++) launch->extents[shift + i] = extent[i];
}

/* --- variants ----------------------------------------------------------------------------------------------------- */

static int vector_dimension(const struct ir_kernel *kernel) {
    return kernel->kind == KERNEL_LANES ? kernel->n_par + kernel->n_red - 1 : kernel->n_par - 1;
}

static void make_key(struct launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    int vector = vector_dimension(kernel);
    for (int k = 0; k < kernel->n_operands; k++) {
        int64_t stride;
        if (kernel->operands[k].kind == OPERAND_WHOLE)
            stride = launch->operands[k].stride[kernel->operands[k].rank - 1];
        else
            stride = vector >= 0 ? launch->operands[k].stride[vector] : 0;
        launch->key[k] = stride == 0                                      ? ACCESS_UNIFORM
                         : stride == dtype_size(kernel->operands[k].type) ? ACCESS_UNIT
                                                                          : ACCESS_STRIDED;
    }
    unsigned char flags = 0;
    bool single = true;
    for (int j = 0; j < kernel->n_par + kernel->n_red; j++)
        if (j != vector && launch->extents[j] != 1) single = false;
    if (single) flags |= FLAG_SINGLE_ROW;
    /* Stores that bypass the cache win above the last level's size and lose below it. */
    if (kernel->kind != KERNEL_COLUMNS && single && launch->bytes > (double)launch->run->context->last_level_cache &&
        launch->written * 16 >= launch->bytes)
        flags |= FLAG_NONTEMPORAL;
    launch->key[kernel->n_operands] = flags;
}

static const struct kernel_variant *find_variant(struct launch *launch) {
    int length = launch->kernel->n_operands + 1;
    for (const struct kernel_variant *v = atomic_load_explicit(&launch->state->variants, memory_order_acquire); v;
         v = v->next)
        if (memcmp(v->key, launch->key, (size_t)length) == 0) return v;
    return NULL;
}

struct compile_job {
    struct launch *launch;
    struct arena arena;
    struct strbuf why;
    struct kernel_code code;
    bool ok;
};

static void compile_variant(void *argument) {
    struct compile_job *job = argument;
    const struct ir_kernel *kernel = job->launch->kernel;
    enum access_class *access = ARENA_ARRAY(&job->arena, enum access_class, kernel->n_operands + 1);
    for (int k = 0; k < kernel->n_operands; k++) access[k] = (enum access_class)job->launch->key[k];
    unsigned char flags = job->launch->key[kernel->n_operands];
    struct cpu_variant variant = {
        .access = access, .nontemporal = flags & FLAG_NONTEMPORAL, .single_row = flags & FLAG_SINGLE_ROW};
    strbuf_init(&job->why, &job->arena);
    job->ok = cpu_kernel_compile(job->launch->run->context->engine, kernel, &variant, &job->code, &job->why);
}

static const struct kernel_variant *make_variant(struct launch *launch) {
    struct run *run = launch->run;
    jit_context *context = run->context;
    int length = launch->kernel->n_operands + 1;
    struct compile_job job = {.launch = launch};
    arena_init(&job.arena, &context->mem);
    struct kernel_variant *variant = NULL;
    fork_hold();
    pthread_mutex_lock(&run->function->build);
    const struct kernel_variant *found = find_variant(launch); /* another thread may have been first */
    if (found) goto out;
    if (!arena_try(&job.arena, compile_variant, &job) || (!job.ok && !*strbuf_text(&job.why))) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
    } else if (!job.ok) {
        run->status = error_at(run->error, run->function, JIT_INTERNAL, launch->plan->span,
                               "compiling kernel `%s` failed: %s", launch->kernel->name, strbuf_text(&job.why));
    } else if (!(variant = mem_zalloc(&context->mem, 1, sizeof *variant + (size_t)length))) {
        cpu_kernel_free(context->engine, &job.code);
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
    } else {
        variant->code = job.code;
        variant->key_length = length;
        memcpy(variant->key, launch->key, (size_t)length);
        variant->next = atomic_load_explicit(&launch->state->variants, memory_order_relaxed);
        atomic_store_explicit(&launch->state->variants, variant, memory_order_release);
    }
    found = variant;
out:
    pthread_mutex_unlock(&run->function->build);
    fork_allow();
    arena_free(&job.arena);
    return found;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void work_blocks(void *argument, int64_t begin, int64_t end) {
    struct launch *launch = argument;
    launch->code->blocks(&launch->call, launch->row, begin, end,
                         launch->partials + begin * (int64_t)launch->code->state_bytes);
}

/* Work at this position is pointless: the call was cancelled, memory ran out, or an earlier position failed. What comes
 * before a failed position still runs: the first failure is the one to report. */
static bool halted(struct launch *launch, int64_t position) {
    if (!__atomic_load_n(&launch->watch.stop, __ATOMIC_RELAXED)) return false;
    return __atomic_load_n(launch->run->cancel, __ATOMIC_RELAXED) ||
           __atomic_load_n(&launch->host_cancelled, __ATOMIC_RELAXED) ||
           __atomic_load_n(&launch->no_memory, __ATOMIC_RELAXED) ||
           __atomic_load_n(&launch->watch.error_position, __ATOMIC_RELAXED) <= position;
}

/* Kernels without loops don't poll: pieces of a millisecond or so do. */
static void work_range(void *argument, int64_t begin, int64_t end) {
    struct launch *launch = argument;
    while (begin < end && !halted(launch, begin)) {
        if (__atomic_load_n(launch->run->cancel, __ATOMIC_RELAXED)) {
            __atomic_store_n(&launch->watch.stop, 1, __ATOMIC_RELAXED);
            return;
        }
        int64_t stop = end - begin > PIECE ? begin + PIECE : end;
        launch->code->range(&launch->call, begin, stop);
        begin = stop;
    }
}

static void row_with(struct launch *launch, int64_t row, char *partials) {
    if (launch->blocks) launch->code->blocks(&launch->call, row, 0, launch->blocks, partials);
    launch->code->finish(&launch->call, row, launch->blocks, partials);
}

static void work_rows(void *argument, int64_t begin, int64_t end) {
    struct launch *launch = argument;
    size_t bytes = (size_t)launch->blocks * launch->code->state_bytes + 8;
    _Alignas(64) char stack[STACK_PARTIALS];
    char *partials = stack;
    if (bytes > sizeof stack && !(partials = mem_alloc(&launch->run->context->mem, bytes))) {
        __atomic_store_n(&launch->no_memory, true, __ATOMIC_RELAXED);
        __atomic_store_n(&launch->watch.stop, 1, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t row = begin; row < end && !halted(launch, row * launch->reduced); row++)
        row_with(launch, row, partials);
    if (partials != stack) mem_free(&launch->run->context->mem, partials, bytes);
}

struct slice_job {
    struct launch *launch;
    void (*work)(void *argument, int64_t begin, int64_t end);
    int64_t offset;
};

static void work_slice(void *argument, int64_t begin, int64_t end) {
    struct slice_job *job = argument;
    job->work(job->launch, job->offset + begin, job->offset + end);
}

/* A rough time in nanoseconds on one thread, to decide about threads. */
static double estimate(const struct launch *launch) {
    const struct kernel_code *code = launch->code;
    double each = 0.04 * code->operations + 1.0 * code->math_calls, moved = launch->bytes / 40;
    double count = (double)launch->positions * (double)(launch->kernel->n_red ? launch->reduced : 1);
    if (launch->kernel->diverges) each = each * 32 + 32;
    return count * each > moved ? count * each : moved;
}

/* threads_run over [0, count); work that takes long is cut into slices, after each of which the host hears how far it
 * is. */
static void run_sliced(struct launch *launch, int threads, int64_t count, int64_t grain,
                       void (*work)(void *argument, int64_t begin, int64_t end)) {
    const jit_options *options = &launch->run->context->options;
    bool dynamic = launch->kernel->diverges;
    if (!options->progress || launch->nanoseconds < PROGRESS_NANOSECONDS) {
        threads_run(threads, count, grain, dynamic, work, launch);
        return;
    }
    int64_t slice = count / PROGRESS_SLICES / grain * grain;
    if (slice < grain * threads) slice = grain * threads;
    struct slice_job job = {launch, work, 0};
    for (int64_t done = 0; done < count && !halted(launch, 0); done += slice) {
        job.offset = done;
        threads_run(threads, count - done < slice ? count - done : slice, grain, dynamic, work_slice, &job);
        double share = (double)(done + slice) / (double)count;
        if (options->progress(options->host, share < 1 ? share : 1, launch->kernel->name))
            launch->host_cancelled = true;
        if (launch->host_cancelled) __atomic_store_n(&launch->watch.stop, 1, __ATOMIC_RELAXED);
    }
}

static bool run_lanes(struct launch *launch, int threads) {
    const struct kernel_code *code = launch->code;
    launch->blocks = launch->reduced / code->block + (launch->reduced % code->block != 0);
    if (threads <= 1 || launch->positions >= 4 * (int64_t)threads) {
        run_sliced(launch, threads, launch->positions, 1, work_rows);
        return true;
    }
    size_t bytes = (size_t)launch->blocks * code->state_bytes + 8;
    launch->partials = mem_alloc(&launch->run->context->mem, bytes);
    if (!launch->partials) return false;
    for (launch->row = 0; launch->row < launch->positions && !halted(launch, launch->row * launch->reduced);
         launch->row++) {
        run_sliced(launch, threads, launch->blocks, 8, work_blocks);
        if (!launch->watch.stop) code->finish(&launch->call, launch->row, launch->blocks, launch->partials);
    }
    mem_free(&launch->run->context->mem, launch->partials, bytes);
    return true;
}

static bool execute(struct launch *launch) {
    const struct kernel_code *code = launch->code;
    int threads = launch->run->threads;
    launch->nanoseconds = estimate(launch);
    if (launch->nanoseconds < PARALLEL_NANOSECONDS) threads = 1;
    if (launch->kernel->kind == KERNEL_LANES) return run_lanes(launch, threads);
    int64_t grain = code->block > 0 ? code->block : code->vector_width;
    run_sliced(launch, threads, launch->positions, grain, work_range);
    return true;
}

/* --- what went wrong inside a kernel ------------------------------------------------------------------------------ */

static const struct ir_value *find_site(const struct ir_region *region, int site) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_load && value->id == site) return value;
        for (int r = 0; r < 2; r++) {
            const struct ir_value *found = value->regions[r] ? find_site(value->regions[r], site) : NULL;
            if (found) return found;
        }
    }
    return NULL;
}

/* A vector of positions failed together. Evaluated one by one they fail in the order of the language: the first is the
 * answer, whatever the vector width. */
static void refine_error(struct launch *launch) {
    if (launch->kernel->kind != KERNEL_MAP) return;
    int64_t first = launch->watch.error_position - launch->watch.error_position % launch->code->vector_width;
    int64_t begin = first > launch->code->vector_width ? first - launch->code->vector_width : 0;
    int64_t end = launch->watch.error_position + 1;
    for (int64_t at = begin; at < end; at++) {
        struct kernel_watch watch = {.cancel = launch->watch.cancel, .error_position = INT64_MAX};
        launch->call.watch = &watch;
        launch->code->range(&launch->call, at, at + 1);
        launch->call.watch = &launch->watch;
        if (watch.error_position != INT64_MAX) {
            launch->watch = watch;
            return;
        }
        if (watch.stop) return;
    }
}

static bool report(struct launch *launch) {
    struct run *run = launch->run;
    if (launch->watch.error_position != INT64_MAX) {
        refine_error(launch);
        const struct kernel_watch *watch = &launch->watch;
        const struct ir_value *site = find_site(&launch->kernel->body, watch->error_site);
        if (!site) site = find_site(&launch->kernel->epilogue, watch->error_site);
        int slot = launch->plan->operands[watch->error_operand].slot;
        const char *name = slot >= 0 ? run->plan->slots[slot].name : NULL;
        char at[32] = "";
        if (launch->positions > 1) snprintf(at, sizeof at, ", at element %lld", (long long)watch->error_position);
        run->status = error_at(run->error, run->function, JIT_INDEX, site ? site->span : launch->plan->span,
                               "subscript %lld is out of range for dimension %d of %s%s%s, whose size is %lld%s",
                               (long long)watch->error_index, watch->error_dim, name ? "`" : "the array",
                               name ? name : "", name ? "`" : "", (long long)watch->error_size, at);
        return false;
    }
    if (__atomic_load_n(run->cancel, __ATOMIC_RELAXED) || launch->host_cancelled) {
        run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
        return false;
    }
    run->status = error_set(run->error, JIT_MEMORY, "out of memory: the partial results of a reduction");
    return false;
}

static int64_t clock_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Loop extents from sizes; false if one is negative or the product does not fit. */
static bool bind_extents(struct launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    int loops = kernel->n_par + kernel->n_red;
    bool fits = true;
    launch->positions = launch->reduced = 1;
    for (int j = 0; j < loops; j++) {
        int64_t extent = launch->extents[j] = size_value(launch->run, launch->plan->extents[j]);
        int64_t *product = j < kernel->n_par ? &launch->positions : &launch->reduced;
        if (extent < 0 || __builtin_mul_overflow(*product, extent, product)) fits = false;
    }
    if (fits) return true;
    char text[200];
    launch->run->status =
        error_at(launch->run->error, launch->run->function, JIT_VALUE, launch->plan->span,
                 "an array of shape %s is too large", run_shape_text(text, sizeof text, loops, launch->extents));
    return false;
}

bool launch_kernel(struct run *run, const struct plan_launch *plan) {
    const struct ir_kernel *kernel = plan->kernel;
    int n = kernel->n_operands;
    struct launch launch = {.run = run, .plan = plan, .kernel = kernel, .state = &run->entry->launches[plan->index]};
    /* Kernels have tens of operands at most, but for expressions that read hundreds of arrays. */
    enum { FEW = 24 };
    struct kernel_argument few_arguments[FEW];
    struct operand_run few_operands[FEW];
    unsigned char few_keys[FEW + 1];
    int64_t few_sizes[FEW];
    void *block = NULL;
    size_t block_size = 0;
    launch.arguments = few_arguments, launch.operands = few_operands, launch.key = few_keys, launch.sizes = few_sizes;
    if (n > FEW || kernel->n_sizes > FEW) {
        block_size = (size_t)(n + 1) * (sizeof *launch.arguments + sizeof *launch.operands + 1) +
                     (size_t)(kernel->n_sizes + 1) * sizeof *launch.sizes;
        char *at = block = mem_alloc(&run->context->mem, block_size);
        if (!block) {
            run->status = error_set(run->error, JIT_MEMORY, "out of memory");
            return false;
        }
        launch.arguments = (void *)at, at += (size_t)(n + 1) * sizeof *launch.arguments;
        launch.operands = (void *)at, at += (size_t)(n + 1) * sizeof *launch.operands;
        launch.sizes = (void *)at, at += (size_t)(kernel->n_sizes + 1) * sizeof *launch.sizes;
        launch.key = (void *)at;
    }

    bool ok = bind_extents(&launch);
    for (int k = 0; k < n && ok; k++) ok = bind_operand(&launch, k);
    if (!ok) goto out;
    for (int k = 0; k < kernel->n_sizes; k++) launch.sizes[k] = size_value(run, plan->sizes[k]);
    for (int k = 0; k < n; k++)
        launch.arguments[k].stride = launch.operands[k].stride, launch.arguments[k].size = launch.operands[k].size;
    if (!kernel->uses_index) {
        merge_dimensions(&launch, 0, kernel->n_par);
        merge_dimensions(&launch, kernel->n_par, kernel->n_red);
    }
    make_key(&launch);
    const struct kernel_variant *variant = find_variant(&launch);
    if (!variant && !(variant = make_variant(&launch))) {
        ok = false;
        goto out;
    }
    if (run->preparing || launch.positions == 0) goto out;

    launch.code = &variant->code;
    launch.watch = (struct kernel_watch){.cancel = run->cancel, .error_position = INT64_MAX};
    launch.call = (struct kernel_call){launch.arguments, launch.extents, launch.sizes, &launch.watch};
    bool profiling = atomic_load_explicit(&run->function->profiling, memory_order_relaxed);
    int64_t start = profiling ? clock_nanoseconds() : 0;
    if (!execute(&launch)) launch.no_memory = true;
    if (profiling) {
        struct launch_state *state = launch.state;
        atomic_fetch_add_explicit(&state->nanoseconds, clock_nanoseconds() - start, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->bytes, (int64_t)launch.bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->launches, 1, memory_order_relaxed);
    }
    if (launch.watch.stop || launch.no_memory || launch.watch.error_position != INT64_MAX) ok = report(&launch);
out:
    if (block) mem_free(&run->context->mem, block, block_size);
    return ok;
}
