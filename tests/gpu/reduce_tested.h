/* reduce_tested.h: reduction kernels on the fake device against ir/eval's definition of the order of additions: a
 * kernel of a given form, arrays that lie as asked, one launch, and every bit of every result compared.
 */
#ifndef TESTS_GPU_REDUCE_TESTED_H
#define TESTS_GPU_REDUCE_TESTED_H

#include "gpu/kernel_device.h"

enum { MOST_OPS = 16, MOST_OPERANDS = 20 };

enum body { /* what is reduced of operand 0, called x */
            BODY_X,
            BODY_FLAGS,   /* x; variances: of those whose flag (operand 1, bool) is set */
            BODY_PRODUCT, /* x * operand 1, which is stored at every position, too */
            BODY_INDEX,   /* x plus the position along the last loop dimension */
            BODY_SCALED,  /* reduction i: of x * (i + 1), if the flag (operand 1, bool) is set */
};

struct tested {
    enum kernel_kind kind;
    int n_par, n_red;
    enum dtype type;
    enum body body;
    int n_ops;
    enum reduce_op ops[MOST_OPS];
    struct ir_kernel *kernel;
    struct ptx_kernel out;
    struct ptx_variant variant;
    enum ptx_access access[MOST_OPERANDS];
    CUmodule module;
    CUfunction function;
};

/* The same kernel as memory may lie: neighbours and aligned, neighbours, strided. */
enum lie { ALIGNED, SHIFTED, STRIDED };

struct layout {
    int64_t extents[4];
    int64_t step;  /* of x along the vector dimension, in elements; what else strides are made of */
    int64_t pad;   /* elements between rows */
    int64_t shift; /* of the first element from where memory is aligned */
    struct ptx_limits limits;
    int values; /* 0: of many magnitudes; 1: many equal; 2: with NaNs and zeros of both signs; 3: near 1; 4: -infinity
                 */
};

struct tested tested_make(enum kernel_kind kind, int n_par, int n_red, enum dtype type, enum body body, enum lie lie,
                          bool short_rows, int n_ops, const enum reduce_op *ops);
/* Compiles and loads it; the struct stays where it is from now on. */
void tested_compile(struct tested *t);
void tested_free(struct tested *t);
/* One launch on arrays of random values. */
void tested_check(const struct tested *t, const struct layout *l);

#endif
