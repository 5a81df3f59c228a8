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
    const struct plan_rows *rows;   /* it is done row by row together with others; NULL: alone */
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

enum { LAUNCH_FEW = 24 }; /* operands: kernels have no more, but for expressions that read hundreds of arrays */

/* Room for a launch's arrays. */
struct launch_room {
    struct kernel_argument arguments[LAUNCH_FEW];
    struct operand_run operands[LAUNCH_FEW];
    unsigned char keys[LAUNCH_FEW + 1];
    int64_t sizes[LAUNCH_FEW];
    void *block; /* more room, or NULL */
    size_t block_size;
};

/* A launch with its extents and sizes; nothing is bound yet. launch_end must follow. False after an error. */
bool launch_begin(struct launch *launch, struct launch_room *room, struct run *run, const struct plan_launch *plan,
                  const struct plan_rows *rows);
/* Binds all operands. Of `rows`, scratch slots get no memory: their addresses count from 0. */
bool launch_bind_all(struct launch *launch, bool on_gpu);
void launch_end(const struct launch *launch, struct launch_room *room);

/* Fills in an operand's address, strides and sizes; reading: copies the array to the GPU if it is not there yet;
 * writing: allocates it. Adds to the launch's bytes. */
bool launch_bind(struct launch *launch, int number, bool on_gpu);
/* An array of which only the rows at hand are kept. */
bool launch_is_scratch(const struct launch *launch, int slot);
/* Makes one dimension of neighbours that lie one after the other in every operand; what is left moves to the inner end,
 * the outer extents become 1. The first `outer` dimensions (0 for all but rows on a GPU) are merged among themselves.
 */
void launch_merge(struct launch *launch, int outer);
/* The dimension that vectors lie along; -1: none. */
int launch_vector_dimension(const struct ir_kernel *kernel);
int64_t launch_clock(void); /* nanoseconds */

bool launch_cpu(struct launch *launch);

#endif
