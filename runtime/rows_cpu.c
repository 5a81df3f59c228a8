/* rows_cpu.c: rows on the CPU. Each thread takes as many rows as its cache holds through all launches, then the next
 * ones. Scratch arrays have one chunk of rows in a buffer of the thread's own.
 */
#include <string.h>

#include "ir/rows.h"
#include "runtime/launch_cpu.h"
#include "runtime/rows.h"

enum {
    FEW_ROWS = 4,      /* rows a thread: with less, some threads would have nothing to do while others work */
    SMALL = 256 << 10, /* bytes that one thread is done with before others are awake */
    ALIGNMENT = 64,    /* of what lies in a thread's buffer */
    FIRST_LEVEL = 32,  /* a core's first level is this part of what it has to itself, about */
    CACHE_SHARE = 4,   /* of a core's own cache for a chunk */
};

struct rows_stage {
    struct launch *launch;
    const struct kernel_code *code;
    int64_t inner;  /* MAP: positions of a row */
    int64_t blocks; /* LANES */
    int n_moving;   /* operands in scratch */
};

struct rows_work {
    struct cpu_task task;
    struct rows_run *rows;
    struct rows_stage stages[PLAN_MAX_ROWS];
    int n_stages;
    int64_t chunk; /* rows */
    /* A thread's buffer: moving operands, arguments of the stages that have such, block states, scratch arrays. */
    size_t arguments_at, partials_at, scratch_at, bytes;
};

/* An operand in scratch: its address is that of row 0, which the buffer has for the chunk's first row only. */
struct moving {
    struct kernel_argument *argument;
    int64_t row_bytes;
};

static size_t align(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* --- the layout of a thread's buffer ------------------------------------------------------------------------------ */

/* Bytes from one row to the next of a scratch array. */
static int64_t row_stride(const struct rows_run *rows, int number) {
    return rows->run->slots[rows->rows->scratch[number]].stride[rows->rows->outer - 1];
}

static void lay_out(struct rows_work *work) {
    const struct rows_run *rows = work->rows;
    size_t arguments = 0, moving = 0, partials = 0;
    for (int i = 0; i < work->n_stages; i++) {
        struct rows_stage *stage = &work->stages[i];
        const struct launch *launch = stage->launch;
        stage->n_moving = 0;
        for (int k = 0; k < launch->kernel->n_operands; k++)
            stage->n_moving += launch_is_scratch(launch, launch->plan->operands[k].slot);
        moving += (size_t)stage->n_moving;
        if (stage->n_moving) arguments += (size_t)launch->kernel->n_operands;
        if (launch->kernel->kind != KERNEL_LANES) continue;
        size_t bytes = cpu_partial_bytes(stage->code, stage->blocks);
        if (bytes > partials) partials = bytes;
    }
    work->arguments_at = align(moving * sizeof(struct moving));
    work->partials_at = work->arguments_at + align(arguments * sizeof(struct kernel_argument));
    work->scratch_at = work->partials_at + align(partials);
    work->bytes = work->scratch_at;
    for (int s = 0; s < rows->rows->n_scratch; s++) work->bytes += align((size_t)(work->chunk * row_stride(rows, s)));
}

static void shift(struct kernel_argument *argument, intptr_t bytes) {
    argument->data = (char *)((intptr_t)argument->data + bytes);
}

/* A thread's own arguments, for row 0 at the head of the scratch arrays. Returns how many of them move. */
static int place(const struct rows_work *work, char *buffer, struct kernel_call *calls) {
    const struct rows_run *rows = work->rows;
    struct moving *moving = (void *)buffer;
    struct kernel_argument *arguments = (void *)(buffer + work->arguments_at);
    int n_moving = 0;
    for (int i = 0; i < work->n_stages; i++) {
        const struct launch *launch = work->stages[i].launch;
        calls[i] = (struct kernel_call){launch->arguments, launch->extents, launch->sizes, NULL};
        if (!work->stages[i].n_moving) continue;
        int n = launch->kernel->n_operands;
        memcpy(arguments, launch->arguments, (size_t)n * sizeof *arguments);
        calls[i].arguments = arguments;
        for (int k = 0; k < n; k++) {
            int number = rows_scratch_number(rows->rows, launch->plan->operands[k].slot);
            if (number < 0) continue;
            char *at = buffer + work->scratch_at;
            for (int s = 0; s < number; s++) at += align((size_t)(work->chunk * row_stride(rows, s)));
            shift(&arguments[k], (intptr_t)at);
            moving[n_moving++] = (struct moving){&arguments[k], row_stride(rows, number)};
        }
        arguments += n;
    }
    return n_moving;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void run_stage(const struct rows_stage *stage, const struct kernel_call *call, int64_t first, int64_t n,
                      char *partials) {
    if (stage->launch->kernel->kind != KERNEL_LANES) {
        stage->code->range(call, first * stage->inner, (first + n) * stage->inner);
        return;
    }
    for (int64_t row = first; row < first + n; row++) cpu_row(stage->code, call, row, stage->blocks, partials);
}

static void work_rows(void *argument, int64_t begin, int64_t end) {
    struct rows_work *work = argument;
    struct buffer *buffer = pool_take(work->task.run->context->pool, work->bytes);
    if (!buffer) {
        cpu_task_out_of_memory(&work->task);
        return;
    }
    char *own = buffer->data;
    const struct moving *moving = (void *)own;
    struct kernel_call calls[PLAN_MAX_ROWS];
    int n_moving = place(work, own, calls);
    for (int i = 0; i < work->n_stages; i++) calls[i].watch = &work->task.watch;
    int64_t at = 0; /* the row that `calls` has at the head of scratch */
    for (int64_t first = begin; first < end; first += work->chunk) {
        int64_t n = end - first < work->chunk ? end - first : work->chunk;
        for (int m = 0; m < n_moving; m++) shift(moving[m].argument, (at - first) * moving[m].row_bytes);
        at = first;
        for (int i = 0; i < work->n_stages; i++) {
            if (cpu_task_poll(&work->task, 0)) goto out;
            run_stage(&work->stages[i], &calls[i], first, n, own + work->partials_at);
        }
    }
out:
    pool_release(buffer);
}

/* --- deciding ----------------------------------------------------------------------------------------------------- */

bool rows_cpu_is_small(const struct run *run, const struct plan_rows *plan) {
    double bytes = 0;
    for (int i = 0; i < plan->n_launches; i++) {
        const struct plan_launch *launch = plan->launches[i];
        double each = dtype_size(launch->kernel->operands[0].type);
        for (int j = 0; j < launch->kernel->n_par + launch->kernel->n_red; j++)
            each *= (double)run->sizes[launch->extents[j]->id];
        bytes += each;
    }
    return bytes < (double)run->context->core_cache / FIRST_LEVEL;
}

/* Not if rows are fewer than keep all threads busy, unless the work is not worth waking them; nor if they are so long
 * that they don't stay in cache. */
bool rows_cpu_suit(const struct rows_run *rows) {
    const struct run *run = rows->run;
    const jit_context *context = run->context;
    double total = rows->moved + (double)rows->count * (double)rows->scratch_bytes;
    bool few = run->threads > 1 && rows->count < FEW_ROWS * (int64_t)run->threads;
    if (few && total > SMALL) return false;
    return (double)rows->bytes * run->threads + (double)rows->shared <= 0.75 * (double)context->last_level_cache;
}

/* What a launch writes is for the caller or for later, not for the next launch. */
static bool writes_past(const struct rows_run *rows, int number) {
    const struct launch *launch = &rows->launches[number];
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        if (launch->kernel->operands[k].kind != OPERAND_WRITE) continue;
        int slot = launch->plan->operands[k].slot;
        if (launch_is_scratch(launch, slot)) return false;
        for (int i = number + 1; i < rows->rows->n_launches; i++)
            for (int o = 0; o < rows->launches[i].kernel->n_operands; o++)
                if (rows->launches[i].plan->operands[o].slot == slot) return false;
    }
    return rows->moved > (double)rows->run->context->last_level_cache && launch->written * 16 >= rows->moved;
}

/* As many as the cache holds, but no more than a thread gets: all buffers together are no larger than the arrays whose
 * place they take. */
static int64_t choose_chunk(const struct rows_run *rows, int threads) {
    int64_t room = rows->run->context->core_cache / CACHE_SHARE - rows->shared;
    int64_t most = rows->count / threads + (rows->count % threads != 0);
    int64_t chunk = rows->bytes > 0 ? room / rows->bytes : most;
    return chunk < 1 ? 1 : chunk > most ? most : chunk;
}

bool rows_cpu(struct rows_run *rows, bool *done) {
    struct run *run = rows->run;
    *done = false;
    struct rows_work work;
    bool diverges = false;
    double nanoseconds = 0;
    work.rows = rows, work.n_stages = rows->rows->n_launches;
    for (int i = 0; i < work.n_stages; i++) {
        struct rows_stage *stage = &work.stages[i];
        struct launch *launch = stage->launch = &rows->launches[i];
        if (!(stage->code = cpu_code(launch, writes_past(rows, i)))) return false;
        stage->inner = launch->positions / rows->count;
        stage->blocks = launch->kernel->kind == KERNEL_LANES ? cpu_blocks(launch, stage->code) : 0;
        diverges |= launch->kernel->diverges;
        nanoseconds += cpu_estimate(launch, stage->code, launch->bytes);
    }
    cpu_task_begin(&work.task, run, rows->rows->name, diverges);
    work.task.nanoseconds = nanoseconds;
    int threads = rows->count < FEW_ROWS * (int64_t)run->threads ? 1 : cpu_task_threads(&work.task);
    work.chunk = choose_chunk(rows, threads);
    lay_out(&work);
    bool profiling = atomic_load_explicit(&run->function->profiling, memory_order_relaxed);
    int64_t start = profiling ? launch_clock() : 0;
    cpu_task_run(&work.task, threads, rows->count, 1, work_rows, &work);
    if (profiling) cpu_count(rows->state, start, rows->moved);
    *done = !work.task.watch.stop;
    return *done || cpu_task_fail(&work.task, "rows of intermediate results");
}
