/* kernel.h: what the graph is cut into: one loop nest over scalar SSA, compiled as a unit by a back end.
 *
 * Loop dimensions: first n_par parallel ones (the shape of the results), then n_red reduced ones, each row-major.
 * Extents are run-time values. The body is evaluated once per position of par x red.
 *
 *   KERNEL_MAP      n_red == 0. The body stores to the outputs.
 *   KERNEL_LANES    reduces, and the last reduced dimension is the operand's last one. Order (docs/language.md, Sums):
 *                   along the flattened reduced positions: a virtual vector of `lanes` lanes, lane sums close after 16
 *                   vectors, four such runs combine pairwise ((r0+r1)+(r2+r3)) into a block, lanes combine by halves
 *                   (lane i with lane i + half), blocks by adjacent pairs, an odd one passing up.
 *   KERNEL_COLUMNS  reduces, but the last dimension of the operand is kept: per output element, sequential runs of 64
 *                   reduced positions (starting from the identity), then runs combine by adjacent pairs.
 * Missing elements count as the identity. The body's results are the operands of the reductions, in order; the epilogue
 * is evaluated once per parallel position: its params are the reductions' values, and it stores to the outputs.
 */
#ifndef IR_KERNEL_H
#define IR_KERNEL_H

#include "ir/body.h"
#include "ir/size.h"

enum kernel_kind { KERNEL_MAP, KERNEL_LANES, KERNEL_COLUMNS };

enum operand_kind {
    OPERAND_READ,  /* an element per position: address = data + sum(stride[j] * position[j]) */
    OPERAND_WHOLE, /* subscripted by the body (OP_load): has its own sizes and strides */
    OPERAND_WRITE, /* stored to, one element per parallel position; C-contiguous over the parallel dimensions. With
                      `uses` set (the one reduced dimension of a LANES kernel that has no other dimension): one per
                      position, stored by the body */
};

enum { KERNEL_MAX_LOOPS = 16 };

struct kernel_operand {
    enum operand_kind kind;
    enum dtype type;
    int rank;      /* OPERAND_WHOLE: number of subscripts */
    unsigned uses; /* OPERAND_READ: bit j set: the address may depend on loop dimension j (also after the runtime merged
                      dimensions); clear: stride[j] is 0 for sure */
};

struct kernel_reduction {
    enum reduce_op op;
    enum dtype type; /* of the value given to the epilogue: sum: accumulator type; argmin..: i64; var: f64 */
    int first_arg;   /* its operand(s): body.results[first_arg...]: 1, or 2 for REDUCE_VAR (x, counts).
                        Type of the operand: sum prod min max: `type`; any all: bool; arg*: any number */
};

struct ir_kernel {
    const char *name; /* "k0_map", unique in its plan */
    enum kernel_kind kind;
    int n_par, n_red;
    int n_operands;
    struct kernel_operand *operands;
    int n_sizes; /* i64 parameters that OP_size reads */
    struct ir_region body;
    int n_reductions;
    struct kernel_reduction *reductions;
    struct ir_region epilogue; /* KERNEL_LANES, KERNEL_COLUMNS */
    int lanes;       /* KERNEL_LANES: 64 if the float operands are f32, else 32; a block is 64 * lanes elements.
                        (Reductions of f32 and f64 are never siblings in one kernel; integers fit either.) */
    bool uses_index; /* the body has OP_index: loop dimensions must not be merged */
    bool diverges;   /* has loops or branches that may differ by element: schedule dynamically */
};

/* --- how compiled kernels are called: shared by back ends and runtime --------------------------------------------- */

struct kernel_argument {
    char *data;            /* OPERAND_READ/WRITE: the element at position 0...0 */
    const int64_t *stride; /* bytes; READ/WRITE: [n_par + n_red]; WHOLE: [rank] */
    const int64_t *size;   /* WHOLE: [rank] */
};

/* What all threads of one launch share. */
struct kernel_watch {
    const volatile int *cancel;   /* nonzero: stop soon; never NULL */
    int stop;                     /* set (relaxed atomic) by the first error or cancellation seen: loops end */
    int64_t error_position;       /* smallest flattened par*red position whose evaluation failed; INT64_MAX: none */
    int error_operand, error_dim; /* which whole operand and subscript */
    int error_site;               /* id of the OP_load (kernel-wide numbering: body, then epilogue) */
    int64_t error_index, error_size;
};

struct kernel_call {
    const struct kernel_argument *arguments; /* [n_operands] */
    const int64_t *extents;                  /* [n_par + n_red] */
    const int64_t *sizes;                    /* [n_sizes] */
    struct kernel_watch *watch;
};

/* Entry points of a compiled kernel. [begin, end) are flattened row-major positions over the parallel dimensions.
 * MAP and COLUMNS: `range`. LANES: blocks_of writes the states of blocks [begin, end) of one row (parallel position)
 * to partials (block b at partials + (b - begin) * state_bytes); finish combines n_blocks of them (in place), runs the
 * epilogue for that row and stores. Both reentrant; any split of the ranges gives the same bits.
 * A MAP whose body has no loop does not poll the watch: whoever calls it with long ranges polls between pieces. */
typedef void kernel_range_fn(const struct kernel_call *call, int64_t begin, int64_t end);
typedef void kernel_blocks_fn(const struct kernel_call *call, int64_t row, int64_t begin, int64_t end, void *partials);
typedef void kernel_finish_fn(const struct kernel_call *call, int64_t row, int64_t n_blocks, void *partials);

/* How the operands lie along the vector dimension (the last loop dimension; for COLUMNS the last parallel one).
 * A kernel is compiled once per combination met. */
enum access_class {
    ACCESS_UNIFORM, /* stride 0 */
    ACCESS_UNIT,    /* stride == element size */
    ACCESS_STRIDED, /* anything else */
};

struct kernel_code; /* a back end's compiled variant */

/* Numbers the values of the body, then of the epilogue, densely (as error_site counts them); returns how many there
 * are. */
int kernel_number(struct ir_kernel *kernel);

/* The text form, which parse_kernel reads (see ir/print.c for an example). Renumbers the kernel as kernel_number does.
 */
void kernel_print(const struct ir_kernel *kernel, struct strbuf *out);

#endif
