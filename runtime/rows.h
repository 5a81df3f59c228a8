/* rows.h: the launches of a plan_rows (ir/plan.h) done together, some rows by all of them, then the next rows.
 *
 * rows.c binds them; rows_cpu.c and rows_cuda.c run them, or find that one after the other they are faster.
 */
#ifndef RUNTIME_ROWS_H
#define RUNTIME_ROWS_H

#include "runtime/launch.h"

struct rows_run {
    struct run *run;
    const struct plan_rows *rows;
    struct launch_state *state; /* variants on GPUs, profile */
    int64_t count;              /* rows */
    int64_t elements;           /* of one row in the launch that has most */
    int64_t scratch_bytes;      /* of one row of all scratch slots */
    int64_t bytes;              /* of one row of all operands, each array once, scratch slots among them */
    int64_t shared;             /* of what every row reads, whole. Before operands are bound these are bounds */
    double moved; /* bytes to and from memory by all rows, each array once, without scratch: for profiles */
    struct launch launches[PLAN_MAX_ROWS];
    struct launch_room rooms[PLAN_MAX_ROWS];
};

/* *done: the launches ran; false: they are to be launched one by one. False after an error. */
bool rows_run(struct run *run, const struct plan_rows *rows, bool *done);

/* Bound and merged; on a GPU with the outer dimensions apart. As rows_run. */
bool rows_cpu(struct rows_run *rows, bool *done);
bool rows_cuda(struct rows_run *rows, bool *done);
/* The first level of a core's cache holds all of it anyway. */
bool rows_cpu_is_small(const struct run *run, const struct plan_rows *rows);
/* Begun and measured, nothing is bound yet: whether the other may say *done. */
bool rows_cpu_suit(const struct rows_run *rows);
bool rows_cuda_suit(const struct rows_run *rows);

#endif
