/* launch_cpu.c: a bound kernel on the CPU: the compiled variant for the layout met, threads, progress, cancelling. */
#include <string.h>

#include "runtime/launch_cpu.h"

enum {
    FLAG_NONTEMPORAL = 1,
    FLAG_SINGLE_ROW = 2,
    LONG_ROW = 1024,        /* bytes */
    STACK_PARTIALS = 16384, /* bytes of block states kept on the stack */
    PIECE = 1 << 20,        /* positions between two looks at the cancel flag */
    PROGRESS_SLICES = 100,
    PROGRESS_NANOSECONDS = 200000000, /* estimated work from which the host hears of progress */
    PARALLEL_NANOSECONDS =
        25000, /* work below this is done by the caller alone: a region costs 1 us warm, 20 us cold */
};

struct cpu_launch {
    struct cpu_task task;
    struct launch *launch;
    const struct kernel_code *code;
    struct kernel_call call;
    int64_t row, blocks; /* LANES: the row being worked on and its number of blocks */
    char *partials;
};

/* --- variants ----------------------------------------------------------------------------------------------------- */

/* Rows of a map whose ends, which share lines with their neighbours and so take the ordinary store, are few. */
static bool is_long(const struct launch *launch, int vector) {
    const struct ir_kernel *kernel = launch->kernel;
    for (int k = 0; kernel->kind == KERNEL_MAP && k < kernel->n_operands; k++)
        if (kernel->operands[k].kind == OPERAND_WRITE)
            return launch->extents[vector] >= LONG_ROW / dtype_size(kernel->operands[k].type);
    return false;
}

static void make_key(struct launch *launch, bool past) {
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
    if (past && (single ? kernel->kind != KERNEL_COLUMNS : is_long(launch, vector))) flags |= FLAG_NONTEMPORAL;
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

const struct kernel_code *cpu_code(struct launch *launch, bool past) {
    make_key(launch, past);
    const struct kernel_variant *variant = find_variant(launch);
    if (!variant) variant = make_variant(launch);
    return variant ? &variant->code : NULL;
}

/* --- tasks -------------------------------------------------------------------------------------------------------- */

void cpu_task_begin(struct cpu_task *task, struct run *run, const char *name, bool diverges) {
    task->run = run, task->name = name, task->diverges = diverges, task->nanoseconds = 0;
    task->watch.cancel = run->cancel, task->watch.stop = 0, task->watch.error_position = INT64_MAX;
    task->no_memory = task->host_cancelled = false;
}

int cpu_task_threads(const struct cpu_task *task) {
    return task->nanoseconds < PARALLEL_NANOSECONDS ? 1 : task->run->threads;
}

bool cpu_task_halted(struct cpu_task *task, int64_t position) {
    if (!__atomic_load_n(&task->watch.stop, __ATOMIC_RELAXED)) return false;
    return __atomic_load_n(task->run->cancel, __ATOMIC_RELAXED) ||
           __atomic_load_n(&task->host_cancelled, __ATOMIC_RELAXED) ||
           __atomic_load_n(&task->no_memory, __ATOMIC_RELAXED) ||
           __atomic_load_n(&task->watch.error_position, __ATOMIC_RELAXED) <= position;
}

bool cpu_task_poll(struct cpu_task *task, int64_t position) {
    if (__atomic_load_n(task->run->cancel, __ATOMIC_RELAXED)) __atomic_store_n(&task->watch.stop, 1, __ATOMIC_RELAXED);
    return cpu_task_halted(task, position);
}

void cpu_task_out_of_memory(struct cpu_task *task) {
    __atomic_store_n(&task->no_memory, true, __ATOMIC_RELAXED);
    __atomic_store_n(&task->watch.stop, 1, __ATOMIC_RELAXED);
}

struct slice_job {
    void (*work)(void *argument, int64_t begin, int64_t end);
    void *argument;
    int64_t offset;
};

static void work_slice(void *argument, int64_t begin, int64_t end) {
    struct slice_job *job = argument;
    job->work(job->argument, job->offset + begin, job->offset + end);
}

void cpu_task_run(struct cpu_task *task, int threads, int64_t count, int64_t grain,
                  void (*work)(void *argument, int64_t begin, int64_t end), void *argument) {
    const jit_options *options = &task->run->context->options;
    if (!options->progress || task->nanoseconds < PROGRESS_NANOSECONDS) {
        threads_run(threads, count, grain, task->diverges, work, argument);
        return;
    }
    int64_t slice = count / PROGRESS_SLICES / grain * grain;
    if (slice < grain * threads) slice = grain * threads;
    struct slice_job job = {work, argument, 0};
    for (int64_t done = 0; done < count && !cpu_task_halted(task, 0); done += slice) {
        job.offset = done;
        threads_run(threads, count - done < slice ? count - done : slice, grain, task->diverges, work_slice, &job);
        double share = (double)(done + slice) / (double)count;
        if (options->progress(options->host, share < 1 ? share : 1, task->name)) task->host_cancelled = true;
        if (task->host_cancelled) __atomic_store_n(&task->watch.stop, 1, __ATOMIC_RELAXED);
    }
}

bool cpu_task_fail(const struct cpu_task *task, const char *memory) {
    struct run *run = task->run;
    if (!task->no_memory || task->host_cancelled || __atomic_load_n(run->cancel, __ATOMIC_RELAXED))
        run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
    else
        run->status = error_set(run->error, JIT_MEMORY, "out of memory: %s", memory);
    return false;
}

void cpu_count(struct launch_state *state, int64_t start, double bytes) {
    atomic_store_explicit(&state->on_device, false, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->nanoseconds, launch_clock() - start, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->bytes, (int64_t)bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&state->launches, 1, memory_order_relaxed);
}

double cpu_estimate(const struct launch *launch, const struct kernel_code *code, double bytes) {
    double each = 0.04 * code->operations + 1.0 * code->math_calls, moved = bytes / 40;
    double count = (double)launch->positions * (double)(launch->kernel->n_red ? launch->reduced : 1);
    if (launch->kernel->diverges) each = each * 32 + 32;
    return count * each > moved ? count * each : moved;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void work_blocks(void *argument, int64_t begin, int64_t end) {
    struct cpu_launch *cpu = argument;
    cpu->code->blocks(&cpu->call, cpu->row, begin, end, cpu->partials + begin * (int64_t)cpu->code->state_bytes);
}

/* Kernels without loops don't poll: pieces of a millisecond or so do. */
static void work_range(void *argument, int64_t begin, int64_t end) {
    struct cpu_launch *cpu = argument;
    while (begin < end && !cpu_task_poll(&cpu->task, begin)) {
        int64_t stop = end - begin > PIECE ? begin + PIECE : end;
        cpu->code->range(&cpu->call, begin, stop);
        begin = stop;
    }
}

static void work_rows(void *argument, int64_t begin, int64_t end) {
    struct cpu_launch *cpu = argument;
    struct mem *mem = &cpu->task.run->context->mem;
    size_t bytes = cpu_partial_bytes(cpu->code, cpu->blocks);
    _Alignas(64) char stack[STACK_PARTIALS];
    char *partials = stack;
    if (bytes > sizeof stack && !(partials = mem_alloc(mem, bytes))) {
        cpu_task_out_of_memory(&cpu->task);
        return;
    }
    for (int64_t row = begin; row < end && !cpu_task_halted(&cpu->task, row * cpu->launch->reduced); row++)
        cpu_row(cpu->code, &cpu->call, row, cpu->blocks, partials);
    if (partials != stack) mem_free(mem, partials, bytes);
}

static void run_lanes(struct cpu_launch *cpu, int threads) {
    const struct launch *launch = cpu->launch;
    struct mem *mem = &launch->run->context->mem;
    cpu->blocks = cpu_blocks(launch, cpu->code);
    if (threads <= 1 || launch->positions >= 4 * (int64_t)threads) {
        cpu_task_run(&cpu->task, threads, launch->positions, 1, work_rows, cpu);
        return;
    }
    size_t bytes = cpu_partial_bytes(cpu->code, cpu->blocks);
    if (!(cpu->partials = mem_alloc(mem, bytes))) {
        cpu_task_out_of_memory(&cpu->task);
        return;
    }
    for (cpu->row = 0; cpu->row < launch->positions && !cpu_task_halted(&cpu->task, cpu->row * launch->reduced);
         cpu->row++) {
        cpu_task_run(&cpu->task, threads, cpu->blocks, 8, work_blocks, cpu);
        if (!cpu->task.watch.stop) cpu->code->finish(&cpu->call, cpu->row, cpu->blocks, cpu->partials);
    }
    mem_free(mem, cpu->partials, bytes);
}

static void execute(struct cpu_launch *cpu) {
    const struct kernel_code *code = cpu->code;
    cpu->task.nanoseconds = cpu_estimate(cpu->launch, code, cpu->launch->bytes);
    int threads = cpu_task_threads(&cpu->task);
    if (cpu->launch->kernel->kind == KERNEL_LANES)
        run_lanes(cpu, threads);
    else
        cpu_task_run(&cpu->task, threads, cpu->launch->positions, code->block > 0 ? code->block : code->vector_width,
                     work_range, cpu);
}

/* --- what went wrong inside a kernel ------------------------------------------------------------------------------ */

/* A vector of positions failed together. Evaluated one by one they fail in the order of the language: the first is the
 * answer, whatever the vector width. */
static void refine_error(struct cpu_launch *cpu) {
    if (cpu->launch->kernel->kind != KERNEL_MAP) return;
    int64_t first = cpu->task.watch.error_position - cpu->task.watch.error_position % cpu->code->vector_width;
    int64_t begin = first > cpu->code->vector_width ? first - cpu->code->vector_width : 0;
    int64_t end = cpu->task.watch.error_position + 1;
    for (int64_t at = begin; at < end; at++) {
        struct kernel_watch watch = {.cancel = cpu->task.watch.cancel, .error_position = INT64_MAX};
        cpu->call.watch = &watch;
        cpu->code->range(&cpu->call, at, at + 1);
        cpu->call.watch = &cpu->task.watch;
        if (watch.error_position != INT64_MAX) {
            cpu->task.watch = watch;
            return;
        }
        if (watch.stop) return;
    }
}

static bool report(struct cpu_launch *cpu) {
    struct run *run = cpu->task.run;
    if (cpu->task.watch.error_position != INT64_MAX) {
        refine_error(cpu);
        const struct kernel_watch *watch = &cpu->task.watch;
        struct subscript_fault fault = {watch->error_position, watch->error_index,   watch->error_size,
                                        watch->error_site,     watch->error_operand, watch->error_dim};
        run->status =
            launch_fault(run->function, run->plan, cpu->launch->plan, cpu->launch->positions > 1, &fault, run->error);
        return false;
    }
    return cpu_task_fail(&cpu->task, "the partial results of a reduction");
}

/* Stores that bypass the cache win above the last level's size and lose below it. */
static bool is_past(const struct launch *launch) {
    return launch->bytes > (double)launch->run->context->last_level_cache && launch->written * 16 >= launch->bytes;
}

bool launch_cpu(struct launch *launch) {
    struct run *run = launch->run;
    const struct kernel_code *code = cpu_code(launch, is_past(launch));
    if (!code) return false;
    if (run->preparing || launch->positions == 0) return true;

    struct cpu_launch cpu;
    cpu.launch = launch, cpu.code = code;
    cpu_task_begin(&cpu.task, run, launch->kernel->name, launch->kernel->diverges);
    cpu.call = (struct kernel_call){launch->arguments, launch->extents, launch->sizes, &cpu.task.watch};
    bool profiling = atomic_load_explicit(&run->function->profiling, memory_order_relaxed);
    int64_t start = profiling ? launch_clock() : 0;
    execute(&cpu);
    if (profiling) cpu_count(launch->state, start, launch->bytes);
    return (!cpu.task.watch.stop && cpu.task.watch.error_position == INT64_MAX) || report(&cpu);
}
