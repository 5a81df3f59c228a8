/* launch_cpu.h: what is common to kernels on the CPU that run alone (launch_cpu.c) and row by row (rows_cpu.c):
 * compiled variants, and work on several threads of which the host hears, and which it may stop.
 */
#ifndef RUNTIME_LAUNCH_CPU_H
#define RUNTIME_LAUNCH_CPU_H

#include "runtime/launch.h"

/* Work in progress. */
struct cpu_task {
    struct run *run;
    const char *name;   /* for the host's progress callback */
    bool diverges;      /* some parts take much longer than others: handed out in small pieces */
    double nanoseconds; /* estimated, on one thread */
    struct kernel_watch watch;
    bool no_memory;      /* of a thread, for what it keeps beside the arrays */
    bool host_cancelled; /* the progress callback said so */
};

void cpu_task_begin(struct cpu_task *task, struct run *run, const char *name, bool diverges);
/* Threads that the estimated work is worth. */
int cpu_task_threads(const struct cpu_task *task);
/* Work at this position is pointless: the call was cancelled, memory ran out, or an earlier position failed. What comes
 * before a failed position still runs: the first failure is the one to report. */
bool cpu_task_halted(struct cpu_task *task, int64_t position);
/* The same, and looks at the caller's cancel flag first: between pieces that do not poll. */
bool cpu_task_poll(struct cpu_task *task, int64_t position);
void cpu_task_out_of_memory(struct cpu_task *task);
/* threads_run over [0, count); work that takes long is cut into slices, after each of which the host hears how far it
 * is. */
void cpu_task_run(struct cpu_task *task, int threads, int64_t count, int64_t grain,
                  void (*work)(void *argument, int64_t begin, int64_t end), void *argument);
/* The run's error after a task that stopped before its end: cancelled, or no memory. (What failed at a position is
 * launch_cpu.c's to tell.) `memory`: what there was none for. Returns false. */
bool cpu_task_fail(const struct cpu_task *task, const char *memory);
/* Adds to the profile what began at `start`. */
void cpu_count(struct launch_state *state, int64_t start, double bytes);

/* The variant for the layout that the launch's operands have after merging, compiled if need be. `past`: stores may
 * bypass the cache, if the kernel's layout allows it. NULL after an error. */
const struct kernel_code *cpu_code(struct launch *launch, bool past);
/* A rough time in nanoseconds on one thread, to decide about threads: of a kernel that moves so many bytes. */
double cpu_estimate(const struct launch *launch, const struct kernel_code *code, double bytes);

/* Of a LANES kernel: blocks in a row, and bytes of their states. */
static inline int64_t cpu_blocks(const struct launch *launch, const struct kernel_code *code) {
    return launch->reduced / code->block + (launch->reduced % code->block != 0);
}

static inline size_t cpu_partial_bytes(const struct kernel_code *code, int64_t blocks) {
    return (size_t)blocks * code->state_bytes + 8;
}

static inline void cpu_row(const struct kernel_code *code, const struct kernel_call *call, int64_t row, int64_t blocks,
                           void *partials) {
    if (blocks) code->blocks(call, row, 0, blocks, partials);
    code->finish(call, row, blocks, partials);
}

#endif
