/* fuse.h: array graph -> kernels -> ordered actions.
 *
 * Stores only what must be stored: slots, operands of reductions' consumers, whole arrays, dear values used twice.
 * Elementwise chains are inlined into their consumers through the views; maps go into the reductions that read them;
 * sibling reductions over the same positions become one kernel, and so do maps of the same shape. Requires a verified
 * plan without actions; fills every STEP_GRAPH's actions, plan->launches and plan->rows. Never changes a bit of any
 * result.
 */
#ifndef IR_FUSE_H
#define IR_FUSE_H

#include "ir/plan.h"

struct fuse_limits {
    int kernel_values; /* most operations in one kernel body, past which values are stored; 0: 20000 */
};

void fuse_plan(struct plan *plan, const struct fuse_limits *limits);

#endif
