/* graph.h: the array graph of one straight-line stretch of a program: what is computed, not how.
 *
 * A node is an array (rank 0 to 8; a scalar is rank 0) of one element type. Nodes are in SSA and topological order.
 *   const     scalar constant (imm)
 *   size      rank 0, i64: value of a size expression (sizes and loop indices seen as numbers)
 *   index     an i64 array of the node's shape: its position along dimension imm.i (arange, linspace, eye are made of
 * it) input     the array in plan slot imm.i literal   constant array of plan literal imm.i ([1, 2, 3]) view args[0]
 * seen through an affine index map: slices, transposes, broadcasts, new axes, fixed subscripts reshape   args[0] with
 * other sizes, in row-major order of its elements (a copy only if it is no contiguous slot) reduce    args (1, or 2 for
 * REDUCE_VAR) reduced over `axes`; the reduced dimensions are dropped from the shape call      result imm.i of a ufunc:
 * args are its scalar parameters (all of the node's shape or rank 0), whole[] its whole-array parameters others
 * elementwise operations of ops.def Operands of elementwise nodes have exactly the node's shape or rank 0; all other
 * broadcasting is made explicit with views.
 */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include "ir/body.h"
#include "ir/size.h"

/* One addend of a source subscript: coef * (index of dimension `dim` of the viewing node). */
struct view_term {
    int dim;
    const struct size *coef;
};

/* Source subscript d is offset[d] + the sum of its terms. In bounds by construction: the front end clamps slices and
 * adds checks for subscripts. */
struct view_map {
    int source_rank;
    struct view_axis {
        const struct size *offset;
        int n_terms;
        struct view_term *terms;
    } axis[TYPE_MAX_RANK];
};

/* The same offsets and terms, in the same order; both may be NULL. */
bool view_map_equal(const struct view_map *a, const struct view_map *b);

struct graph_node {
    enum op op;
    enum dtype type;
    int rank;
    const struct size *shape[TYPE_MAX_RANK];
    int n_args;
    struct graph_node **args;
    union {
        int64_t i;
        uint64_t u;
        double f;
        const struct size *size; /* OP_size */
    } imm;
    struct view_map *map;  /* OP_view */
    enum reduce_op reduce; /* OP_reduce */
    unsigned axes;         /* OP_reduce: bit d set: dimension d of args[0] is reduced */
    struct ir_function
        *function; /* OP_call; the calls of one lift share function and args: compare both for equality */
    int n_whole;
    struct graph_node **whole; /* OP_call */
    struct span span;
    int id; /* position in the graph */
};

/* What a stretch does with its values, in program order. */
enum sink_kind {
    SINK_SLOT,   /* nodes[0] becomes the value of slot `slot` (a program variable, an output, or an operand of a later
                    step) */
    SINK_CHECK,  /* a run-time condition on sizes; see plan_check */
    SINK_PRINT,  /* print(nodes and texts interleaved) */
    SINK_SAVE,   /* save(text, nodes[0]) */
    SINK_ASSERT, /* nodes[0] is a rank-0 bool; `text` is the message */
    SINK_LOAD,   /* slot `slot` is read from file `text`; its dtype and rank were fixed when compiling and are checked
                    again */
};

enum check_kind {
    CHECK_EQUAL,    /* a == b */
    CHECK_BCAST,    /* a == b, or one of them is 1 */
    CHECK_INDEX,    /* 0 <= a < b */
    CHECK_AT_LEAST, /* a >= b */
};

struct plan_check {
    enum check_kind kind;
    const struct size *a, *b;
    enum diag_code code;
    /* Message with {a}, {b} and {N} (value of sizes[N]) replaced by values: "`x` [{0}] and `y` [{1}] do not broadcast".
     */
    const char *text;
    const struct size **sizes;
    int n_sizes;
};

struct graph_sink {
    enum sink_kind kind;
    struct span span;
    int slot;
    int n_nodes;
    struct graph_node **nodes;
    const char *text;   /* NUL-terminated; SINK_PRINT: see texts */
    const char **texts; /* SINK_PRINT: n_items entries; NULL where the next of `nodes` is printed */
    int n_items;
    struct plan_check *check;
};

struct graph {
    struct arena *arena;
    struct size_table *sizes; /* shared by the plan */
    struct graph_node **nodes;
    int n_nodes, nodes_capacity;
    struct graph_sink **sinks;
    int n_sinks, sinks_capacity;
    int *buckets; /* value numbering: hash of node ids */
    int n_buckets;
};

/* --- making graphs: each returns a node of `graph`, an existing one if the same was made before (value numbering).
 * The makers simplify as they go, where that changes no bit: constants fold (arithmetic only, never elementary
 * functions), LOWER_EXPAND operations expand, conversions to the same type, double negations of bools, choices known at
 * compile time and identity views vanish, views compose, and what is made of broadcast scalars alone is computed once
 * and then broadcast: a maker may return a node of lower rank than its arguments only through such a view, so ranks and
 * shapes are always kept. Contraction is not done here: the front end makes OP_fma where the language says so. */

enum fp_mode { FP_CONTRACT, FP_STRICT, FP_FAST };

struct graph *graph_new(struct arena *arena, struct size_table *sizes);
struct graph_node *graph_const_int(struct graph *graph, enum dtype type, int64_t value);
struct graph_node *graph_const_float(struct graph *graph, enum dtype type, double value);
struct graph_node *graph_size(struct graph *graph, const struct size *size);
struct graph_node *graph_index(struct graph *graph, int rank, const struct size *const *shape, int dim);
struct graph_node *graph_input(struct graph *graph, int slot, enum dtype type, int rank,
                               const struct size *const *shape);
struct graph_node *graph_literal(struct graph *graph, int literal, enum dtype type, int rank,
                                 const struct size *const *shape);
/* Elementwise: args have equal shapes or rank 0. `type` is the result's. */
struct graph_node *graph_op(struct graph *graph, enum op op, enum dtype type, int n_args,
                            struct graph_node *const *args, struct span span);
struct graph_node *graph_convert(struct graph *graph, struct graph_node *x, enum dtype type, struct span span);
/* Views of views are composed; an identity view is the source. `map` is copied. */
struct graph_node *graph_view(struct graph *graph, struct graph_node *x, int rank, const struct size *const *shape,
                              const struct view_map *map, struct span span);
/* Numpy broadcast of x to a shape (trailing dimensions aligned); dimensions that may be 1 get a SIZE_NOT1 factor. */
struct graph_node *graph_broadcast(struct graph *graph, struct graph_node *x, int rank, const struct size *const *shape,
                                   struct span span);
struct graph_node *graph_reshape(struct graph *graph, struct graph_node *x, int rank, const struct size *const *shape,
                                 struct span span);
struct graph_node *graph_reduce(struct graph *graph, enum reduce_op op, enum dtype type, unsigned axes, int n_args,
                                struct graph_node *const *args, struct span span);
struct graph_node *graph_call(struct graph *graph, struct ir_function *function, int result, enum dtype type, int rank,
                              const struct size *const *shape, int n_args, struct graph_node *const *args, int n_whole,
                              struct graph_node *const *whole, struct span span);
struct graph_sink *graph_sink(struct graph *graph, enum sink_kind kind, struct span span);

void graph_print(const struct graph *graph, struct strbuf *out);

#endif
