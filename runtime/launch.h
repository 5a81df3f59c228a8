/* launch.h: a kernel bound to the arrays of one run, on its way to a back end. launch.c binds and merges dimensions;
 * launch_cpu.c and launch_cuda.c find the compiled variant for the layout met, and run it.
 */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include "runtime/runtime.h"

struct operand_run {
    int64_t stride[KERNEL_MAX_LOOPS]; /* bytes */
    int64_t size[TYPE_MAX_RANK];
};

struct launch {
    struct run *run;
    const struct plan_launch *plan; /* NULL: a copy on a GPU, which is no part of the plan */
    const struct ir_kernel *kernel;
    struct launch_state *state;
    pthread_mutex_t *build; /* held while `state` gets a variant */
    struct span span;
    struct kernel_argument *arguments; /* addresses of the device it runs on */
    struct operand_run *operands;
    int64_t extents[KERNEL_MAX_LOOPS];
    int64_t positions, reduced; /* products of the parallel and the reduced extents */
    int64_t *sizes;
    double bytes; /* moved by the whole kernel, each operand counted once */
    double written;
    unsigned char *key; /* [n_operands] access classes, then flags */
};

/* Fills in an operand's address, strides and sizes; reading: copies the array to the GPU if it is not there yet;
 * writing: allocates it. Adds to the launch's bytes. */
bool launch_bind(struct launch *launch, int number, bool on_gpu);
/* Makes one dimension of neighbours that lie one after the other in every operand; what is left moves to the inner end,
 * the outer extents become 1. */
void launch_merge(struct launch *launch);
/* The dimension that vectors lie along; -1: none. */
int launch_vector_dimension(const struct ir_kernel *kernel);
int64_t launch_clock(void); /* nanoseconds */

bool launch_cpu(struct launch *launch);

#endif
