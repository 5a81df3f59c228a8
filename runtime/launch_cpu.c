/* launch_cpu.c: a bound kernel on the CPU: the compiled variant for the layout met, threads, progress, cancelling. */
#include <string.h>

#include "runtime/launch.h"

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

struct cpu_launch {
    struct launch *launch;
    struct run *run;
    const struct kernel_code *code;
    struct kernel_watch watch;
    struct kernel_call call;
    int64_t row, blocks; /* LANES: the row being worked on and its number of blocks */
    char *partials;
    bool no_memory;      /* for partials */
    bool host_cancelled; /* the progress callback said so */
    double nanoseconds;  /* estimated, on one thread */
};

/* --- variants ----------------------------------------------------------------------------------------------------- */

static void make_key(struct launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    int vector = launch_vector_dimension(kernel);
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
    pthread_mutex_lock(launch->build);
    const struct kernel_variant *found = find_variant(launch); /* another thread may have been first */
    if (found) goto out;
    if (!arena_try(&job.arena, compile_variant, &job) || (!job.ok && !*strbuf_text(&job.why))) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
    } else if (!job.ok) {
        run->status = error_at(run->error, run->function, JIT_INTERNAL, launch->span,
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
    pthread_mutex_unlock(launch->build);
    fork_allow();
    arena_free(&job.arena);
    return found;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void work_blocks(void *argument, int64_t begin, int64_t end) {
    struct cpu_launch *cpu = argument;
    cpu->code->blocks(&cpu->call, cpu->row, begin, end, cpu->partials + begin * (int64_t)cpu->code->state_bytes);
}

/* Work at this position is pointless: the call was cancelled, memory ran out, or an earlier position failed. What comes
 * before a failed position still runs: the first failure is the one to report. */
static bool halted(struct cpu_launch *cpu, int64_t position) {
    if (!__atomic_load_n(&cpu->watch.stop, __ATOMIC_RELAXED)) return false;
    return __atomic_load_n(cpu->run->cancel, __ATOMIC_RELAXED) ||
           __atomic_load_n(&cpu->host_cancelled, __ATOMIC_RELAXED) ||
           __atomic_load_n(&cpu->no_memory, __ATOMIC_RELAXED) ||
           __atomic_load_n(&cpu->watch.error_position, __ATOMIC_RELAXED) <= position;
}

/* Kernels without loops don't poll: pieces of a millisecond or so do. */
static void work_range(void *argument, int64_t begin, int64_t end) {
    struct cpu_launch *cpu = argument;
    while (begin < end && !halted(cpu, begin)) {
        if (__atomic_load_n(cpu->run->cancel, __ATOMIC_RELAXED)) {
            __atomic_store_n(&cpu->watch.stop, 1, __ATOMIC_RELAXED);
            return;
        }
        int64_t stop = end - begin > PIECE ? begin + PIECE : end;
        cpu->code->range(&cpu->call, begin, stop);
        begin = stop;
    }
}

static void row_with(struct cpu_launch *cpu, int64_t row, char *partials) {
    if (cpu->blocks) cpu->code->blocks(&cpu->call, row, 0, cpu->blocks, partials);
    cpu->code->finish(&cpu->call, row, cpu->blocks, partials);
}

static void work_rows(void *argument, int64_t begin, int64_t end) {
    struct cpu_launch *cpu = argument;
    size_t bytes = (size_t)cpu->blocks * cpu->code->state_bytes + 8;
    _Alignas(64) char stack[STACK_PARTIALS];
    char *partials = stack;
    if (bytes > sizeof stack && !(partials = mem_alloc(&cpu->run->context->mem, bytes))) {
        __atomic_store_n(&cpu->no_memory, true, __ATOMIC_RELAXED);
        __atomic_store_n(&cpu->watch.stop, 1, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t row = begin; row < end && !halted(cpu, row * cpu->launch->reduced); row++)
        row_with(cpu, row, partials);
    if (partials != stack) mem_free(&cpu->run->context->mem, partials, bytes);
}

struct slice_job {
    struct cpu_launch *cpu;
    void (*work)(void *argument, int64_t begin, int64_t end);
    int64_t offset;
};

static void work_slice(void *argument, int64_t begin, int64_t end) {
    struct slice_job *job = argument;
    job->work(job->cpu, job->offset + begin, job->offset + end);
}

/* A rough time in nanoseconds on one thread, to decide about threads. */
static double estimate(const struct cpu_launch *cpu) {
    const struct launch *launch = cpu->launch;
    const struct kernel_code *code = cpu->code;
    double each = 0.04 * code->operations + 1.0 * code->math_calls, moved = launch->bytes / 40;
    double count = (double)cpu->launch->positions * (double)(cpu->launch->kernel->n_red ? cpu->launch->reduced : 1);
    if (cpu->launch->kernel->diverges) each = each * 32 + 32;
    return count * each > moved ? count * each : moved;
}

/* threads_run over [0, count); work that takes long is cut into slices, after each of which the host hears how far it
 * is. */
static void run_sliced(struct cpu_launch *cpu, int threads, int64_t count, int64_t grain,
                       void (*work)(void *argument, int64_t begin, int64_t end)) {
    const jit_options *options = &cpu->run->context->options;
    bool dynamic = cpu->launch->kernel->diverges;
    if (!options->progress || cpu->nanoseconds < PROGRESS_NANOSECONDS) {
        threads_run(threads, count, grain, dynamic, work, cpu);
        return;
    }
    int64_t slice = count / PROGRESS_SLICES / grain * grain;
    if (slice < grain * threads) slice = grain * threads;
    struct slice_job job = {cpu, work, 0};
    for (int64_t done = 0; done < count && !halted(cpu, 0); done += slice) {
        job.offset = done;
        threads_run(threads, count - done < slice ? count - done : slice, grain, dynamic, work_slice, &job);
        double share = (double)(done + slice) / (double)count;
        if (options->progress(options->host, share < 1 ? share : 1, cpu->launch->kernel->name))
            cpu->host_cancelled = true;
        if (cpu->host_cancelled) __atomic_store_n(&cpu->watch.stop, 1, __ATOMIC_RELAXED);
    }
}

static bool run_lanes(struct cpu_launch *cpu, int threads) {
    const struct kernel_code *code = cpu->code;
    cpu->blocks = cpu->launch->reduced / code->block + (cpu->launch->reduced % code->block != 0);
    if (threads <= 1 || cpu->launch->positions >= 4 * (int64_t)threads) {
        run_sliced(cpu, threads, cpu->launch->positions, 1, work_rows);
        return true;
    }
    size_t bytes = (size_t)cpu->blocks * code->state_bytes + 8;
    cpu->partials = mem_alloc(&cpu->run->context->mem, bytes);
    if (!cpu->partials) return false;
    for (cpu->row = 0; cpu->row < cpu->launch->positions && !halted(cpu, cpu->row * cpu->launch->reduced); cpu->row++) {
        run_sliced(cpu, threads, cpu->blocks, 8, work_blocks);
        if (!cpu->watch.stop) code->finish(&cpu->call, cpu->row, cpu->blocks, cpu->partials);
    }
    mem_free(&cpu->run->context->mem, cpu->partials, bytes);
    return true;
}

static bool execute(struct cpu_launch *cpu) {
    const struct kernel_code *code = cpu->code;
    int threads = cpu->run->threads;
    cpu->nanoseconds = estimate(cpu);
    if (cpu->nanoseconds < PARALLEL_NANOSECONDS) threads = 1;
    if (cpu->launch->kernel->kind == KERNEL_LANES) return run_lanes(cpu, threads);
    int64_t grain = code->block > 0 ? code->block : code->vector_width;
    run_sliced(cpu, threads, cpu->launch->positions, grain, work_range);
    return true;
}

/* --- what went wrong inside a kernel ------------------------------------------------------------------------------ */

/* A vector of positions failed together. Evaluated one by one they fail in the order of the language: the first is the
 * answer, whatever the vector width. */
static void refine_error(struct cpu_launch *cpu) {
    if (cpu->launch->kernel->kind != KERNEL_MAP) return;
    int64_t first = cpu->watch.error_position - cpu->watch.error_position % cpu->code->vector_width;
    int64_t begin = first > cpu->code->vector_width ? first - cpu->code->vector_width : 0;
    int64_t end = cpu->watch.error_position + 1;
    for (int64_t at = begin; at < end; at++) {
        struct kernel_watch watch = {.cancel = cpu->watch.cancel, .error_position = INT64_MAX};
        cpu->call.watch = &watch;
        cpu->code->range(&cpu->call, at, at + 1);
        cpu->call.watch = &cpu->watch;
        if (watch.error_position != INT64_MAX) {
            cpu->watch = watch;
            return;
        }
        if (watch.stop) return;
    }
}

static bool report(struct cpu_launch *cpu) {
    struct run *run = cpu->run;
    if (cpu->watch.error_position != INT64_MAX) {
        refine_error(cpu);
        const struct kernel_watch *watch = &cpu->watch;
        struct subscript_fault fault = {watch->error_position, watch->error_index,   watch->error_size,
                                        watch->error_site,     watch->error_operand, watch->error_dim};
        run->status =
            launch_fault(run->function, run->plan, cpu->launch->plan, cpu->launch->positions > 1, &fault, run->error);
        return false;
    }
    if (__atomic_load_n(run->cancel, __ATOMIC_RELAXED) || cpu->host_cancelled) {
        run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
        return false;
    }
    run->status = error_set(run->error, JIT_MEMORY, "out of memory: the partial results of a reduction");
    return false;
}

bool launch_cpu(struct launch *launch) {
    struct run *run = launch->run;
    make_key(launch);
    const struct kernel_variant *variant = find_variant(launch);
    if (!variant && !(variant = make_variant(launch))) return false;
    if (run->preparing || launch->positions == 0) return true;

    struct cpu_launch cpu;
    cpu.launch = launch, cpu.run = run, cpu.code = &variant->code;
    cpu.watch.cancel = run->cancel, cpu.watch.stop = 0, cpu.watch.error_position = INT64_MAX;
    cpu.no_memory = cpu.host_cancelled = false;
    cpu.call = (struct kernel_call){launch->arguments, launch->extents, launch->sizes, &cpu.watch};
    bool profiling = atomic_load_explicit(&run->function->profiling, memory_order_relaxed);
    int64_t start = profiling ? launch_clock() : 0;
    if (!execute(&cpu)) cpu.no_memory = true;
    if (profiling) {
        struct launch_state *state = launch->state;
        atomic_store_explicit(&state->on_device, false, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->nanoseconds, launch_clock() - start, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->bytes, (int64_t)launch->bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&state->launches, 1, memory_order_relaxed);
    }
    return (!cpu.watch.stop && !cpu.no_memory && cpu.watch.error_position == INT64_MAX) || report(&cpu);
}
