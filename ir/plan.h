/* plan.h: a whole program for one signature: a tree of steps. Control flow is steps; each straight-line stretch is a
 * graph, which fuse_plan (ir/fuse.h) cuts into kernels and orders into actions.
 *
 * Slots hold arrays: inputs, program variables that steps carry, stored intermediates, outputs. Arrays are immutable
 * and reference counted, so assigning one slot to another shares; a slot that a step fills always holds a C-contiguous
 * array (inputs may have any strides). Owner: the arena the plan was built in.
 */
#ifndef IR_PLAN_H
#define IR_PLAN_H

#include "ir/graph.h"
#include "ir/kernel.h"

struct plan_slot {
    const char *name; /* source name, or NULL for a temporary */
    enum dtype type;
    int rank;
    int input; /* number of the program input it is, or -1 */
};

struct plan_literal {
    enum dtype type;
    int rank;
    int64_t shape[TYPE_MAX_RANK];
    const void *data; /* C order, in the arena */
};

enum action_kind {
    ACTION_SIZES, /* evaluate sizes[first .. first+count) of the plan's size table (those whose leaves are now known) */
    ACTION_CHECK, /* sink->check */
    ACTION_KERNEL, /* allocate the output slots, run */
    ACTION_SHARE,  /* slot `slot` becomes the array of slot `source`, or of a literal; reshaped to `shape` if given */
    ACTION_EFFECT, /* sink: print, save, assert, load; node values come from effect_slots */
    ACTION_FREE,   /* drop slot `slot` */
    ACTION_ROWS,   /* the next `count` actions, kernels and frees, may be done row by row: see plan_rows */
};

/* Where a kernel operand comes from. READ: subscript d of the slot's array is map.axis[d] over the kernel's loop
 * dimensions. */
struct launch_operand {
    int slot;            /* >= 0: a slot; -1 - n: literal n */
    struct view_map map; /* OPERAND_READ and OPERAND_WHOLE (there over the whole operand's own subscripts) */
    int whole_rank;
    const struct size *whole_size[TYPE_MAX_RANK]; /* OPERAND_WHOLE */
};

struct plan_launch {
    struct ir_kernel *kernel;
    const struct size *extents[KERNEL_MAX_LOOPS];
    struct launch_operand *operands; /* [kernel->n_operands] */
    const struct size **sizes;       /* [kernel->n_sizes] */
    int index;                       /* dense over the plan: the runtime keeps compiled variants by it */
    struct span span;
};

/* Launches, in order, of which each row depends on nothing but the same row of those before it. A row is an index into
 * the first `outer` loop dimensions, the same of every launch, which all are parallel. So the launches may be done one
 * after the other, or some rows by all of them, then the next rows: what one leaves for the next is still in cache, and
 * `scratch` needs no memory but for the rows at hand. The bits are the same.
 *
 *   rows k0_k3_rows [s0.d0] scratch 3, 4 {                k0_max, k1_map, k2_sum, k3_map: softmax of each row
 *
 * Members are MAP kernels, and LANES kernels whose parallel dimensions are exactly the outer ones. None has OP_load or
 * OP_loop in its body or its epilogue, so nothing fails half way. What a member reads of a slot that an earlier one
 * wrote is at the same row: its subscripts of the slot's row dimensions are those of the loop. */
enum { PLAN_MAX_ROWS = 8 }; /* launches in one plan_rows */
struct plan_rows {
    const char *name; /* "k0_k3_rows": of the first and the last kernel; unique in the plan */
    int outer;
    int n_launches; /* at least 2 */
    struct plan_launch *launches[PLAN_MAX_ROWS];
    int n_scratch;
    int *scratch; /* slots that nothing but these launches touches */
    int index;    /* dense over the plan: the runtime keeps compiled variants by it */
    struct span span;
};

struct plan_action {
    enum action_kind kind;
    int first, count; /* ACTION_SIZES: ids; evaluated in id order. ACTION_ROWS: count */
    struct graph_sink *sink;
    struct plan_launch *launch;
    struct plan_rows *rows;
    int slot, source; /* ACTION_SHARE: source as launch_operand.slot; ACTION_FREE */
    int rank;         /* ACTION_SHARE that reshapes: of `shape`, the new sizes */
    const struct size *shape[TYPE_MAX_RANK];
    int *effect_slots; /* ACTION_EFFECT: slot of each of sink->nodes */
};

enum step_kind {
    STEP_GRAPH, /* a straight-line stretch */
    STEP_IF,    /* slot `condition` (rank-0 bool): block, else other */
    STEP_LOOP,  /* block, for ever (left by STEP_LEAVE); polls cancellation and the iteration limit */
    STEP_SCOPE, /* block; STEP_LEAVE of its id continues after it */
    STEP_LEAVE, /* leaves the enclosing scope `scope` */
    STEP_COPY,  /* slot `slot` becomes the array of slot `source` (shared) */
};

struct plan_block {
    struct plan_step **steps;
    int n_steps, capacity;
};

struct plan_step {
    enum step_kind kind;
    struct span span;
    struct graph *graph;          /* STEP_GRAPH */
    struct plan_action **actions; /* STEP_GRAPH, made by fuse_plan */
    int n_actions, actions_capacity;
    int condition;
    struct plan_block block, other;
    int scope;
    int slot, source;
};

struct plan {
    struct arena *arena;
    struct size_table sizes;
    struct plan_slot *slots;
    int n_slots, slots_capacity;
    struct plan_literal *literals;
    int n_literals, literals_capacity;
    int n_inputs;
    int *input_slots; /* [n_inputs] */
    int n_outputs;
    int *output_slots;         /* [n_outputs]; the slots' arrays when the program ends */
    const char **output_names; /* name where the output is a plain variable, else NULL */
    struct plan_block body;
    int n_scopes;
    struct plan_launch **launches; /* by index; made by fuse_plan */
    int n_launches, launches_capacity;
    struct plan_rows **rows; /* by index; made by fuse_plan */
    int n_rows, rows_capacity;
    bool has_effects;
    int ulp; /* 4 or 1 */
    enum fp_mode fp;
};

struct plan *plan_new(struct arena *arena);
int plan_add_slot(struct plan *plan, const char *name, enum dtype type, int rank);
int plan_add_literal(struct plan *plan, enum dtype type, int rank, const int64_t *shape, const void *data);
struct plan_step *plan_add_step(struct plan *plan, struct plan_block *block, enum step_kind kind, struct span span);

/* Readable forms: of the graphs (`weft emit --stage=ir`), of the kernels, and of the steps with their actions. */
void plan_print_graphs(const struct plan *plan, struct strbuf *out);
void plan_print_kernels(const struct plan *plan, struct strbuf *out);
void plan_print(const struct plan *plan, struct strbuf *out);

#endif
