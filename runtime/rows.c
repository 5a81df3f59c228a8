/* rows.c: launches that go row by row, bound to the arrays of one run. The back ends take it from there. */
#include "runtime/rows.h"

static int64_t times(int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

static int64_t plus(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* --- how much memory a row takes ---------------------------------------------------------------------------------- */

static bool is_mentioned(const struct rows_run *rows, int launch, int operand) {
    int slot = rows->launches[launch].plan->operands[operand].slot;
    for (int i = 0; i <= launch; i++) {
        const struct launch *earlier = &rows->launches[i];
        int n = i < launch ? earlier->kernel->n_operands : operand;
        for (int k = 0; k < n; k++)
            if (earlier->plan->operands[k].slot == slot) return true;
    }
    return false;
}

/* Whether an operand moves along a loop dimension: for sure once it is bound, may be before. */
static bool moves(const struct launch *launch, int operand, int j, bool bound) {
    const struct kernel_operand *of = &launch->kernel->operands[operand];
    if (bound) return launch->operands[operand].stride[j] != 0;
    return of->kind == OPERAND_WRITE ? j < launch->kernel->n_par : of->uses >> j & 1;
}

/* Bytes of an operand, of one row; *own: it is not the same for all rows. */
static int64_t operand_bytes(const struct launch *launch, int outer, int operand, bool bound, bool *own) {
    const struct ir_kernel *kernel = launch->kernel;
    int64_t bytes = dtype_size(kernel->operands[operand].type);
    *own = false;
    for (int j = 0; j < outer; j++) *own |= moves(launch, operand, j, bound);
    for (int j = outer; j < kernel->n_par + kernel->n_red; j++)
        if (moves(launch, operand, j, bound)) bytes = times(bytes, launch->extents[j]);
    return bytes;
}

/* Each array counts where it is first met. Before operands are bound: at most so much. */
static void measure(struct rows_run *rows, bool bound) {
    rows->elements = rows->scratch_bytes = rows->bytes = rows->shared = 0;
    for (int i = 0; i < rows->rows->n_launches; i++) {
        const struct launch *launch = &rows->launches[i];
        int64_t elements = times(launch->positions / rows->count, launch->reduced);
        if (elements > rows->elements) rows->elements = elements;
        for (int k = 0; k < launch->kernel->n_operands; k++) {
            bool own;
            int64_t bytes = operand_bytes(launch, rows->rows->outer, k, bound, &own);
            if (is_mentioned(rows, i, k)) continue;
            int64_t *sum = own ? &rows->bytes : &rows->shared;
            *sum = plus(*sum, bytes);
            if (launch_is_scratch(launch, launch->plan->operands[k].slot))
                rows->scratch_bytes = plus(rows->scratch_bytes, bytes);
        }
    }
    rows->moved = (double)rows->count * (double)(rows->bytes - rows->scratch_bytes) + (double)rows->shared;
}

/* --- binding ------------------------------------------------------------------------------------------------------ */

static bool bind(struct rows_run *rows, bool on_gpu) {
    int n = rows->rows->n_launches;
    for (int i = 0; i < n; i++)
        if (!launch_bind_all(&rows->launches[i], on_gpu)) return false;
    measure(rows, true);
    for (int i = 0; i < n; i++) launch_merge(&rows->launches[i], on_gpu ? rows->rows->outer : 0);
    return true;
}

/* No rows, or nothing in them: nothing to gain. */
static bool is_empty(const struct rows_run *rows) {
    for (int i = 0; i < rows->rows->n_launches; i++)
        if (rows->launches[i].positions == 0 || rows->launches[i].reduced == 0) return true;
    return false;
}

/* A kernel that reads hundreds of arrays is busy with those, not with what it leaves to the next. */
static bool is_wide(const struct plan_rows *plan) {
    for (int i = 0; i < plan->n_launches; i++)
        if (plan->launches[i]->kernel->n_operands > LAUNCH_FEW) return true;
    return false;
}

/* Apart from rows_run, whose callers would else have the stack for it also where nothing is done. */
static __attribute__((noinline)) bool try_rows(struct run *run, const struct plan_rows *plan, bool *done) {
    struct rows_run rows; /* the arrays of its launches are filled as far as they are used */
    bool on_gpu = run->gpu;
    rows.run = run, rows.rows = plan, rows.state = &run->entry->rows[plan->index];
    bool ok = true;
    int begun = 0;
    for (; begun < plan->n_launches && ok; begun++)
        ok = launch_begin(&rows.launches[begun], &rows.rooms[begun], run, plan->launches[begun], plan);
    if (ok && !is_empty(&rows)) {
        rows.count = 1;
        for (int j = 0; j < plan->outer; j++) rows.count *= rows.launches[0].extents[j];
        measure(&rows, false);
        if (on_gpu ? rows_cuda_suit(&rows) : rows_cpu_suit(&rows))
            ok = bind(&rows, on_gpu) && (on_gpu ? rows_cuda(&rows, done) : rows_cpu(&rows, done));
    }
    for (int i = 0; i < begun; i++) launch_end(&rows.launches[i], &rows.rooms[i]);
    return ok;
}

bool rows_run(struct run *run, const struct plan_rows *plan, bool *done) {
    bool on_gpu = run->gpu;
    *done = false;
    if (run->preparing && !on_gpu) return true; /* the launches compile what is needed */
    if (is_wide(plan) || (!on_gpu && rows_cpu_is_small(run, plan))) return true;
    return try_rows(run, plan, done);
}
