/* eval_internal.h: what the files of the reference evaluator share.
 *
 *   eval_plan.c     slots, sizes, steps, what a stretch does with its values
 *   eval_graph.c    one node: a dense array from dense arrays
 *   eval_body.c     one element of a ufunc
 *   eval_reduce.c   one reduction: gathers each result's operands into a list, folds the list in the promised order
 */
#ifndef IR_EVAL_INTERNAL_H
#define IR_EVAL_INTERNAL_H

#include "ir/eval.h"

struct eval {
    struct arena *arena;
    const struct plan *plan;
    const struct eval_math *math;
    struct eval_array *slots; /* data NULL: not filled yet */
    int64_t *sizes;           /* values by size id, where sizes_at[id] == moment */
    int *sizes_at;
    int moment; /* counts the times that slots changed */
    struct eval_result *result;
    int leaving; /* scope that is being left; -1: none */
};

/* Reports the first failure; returns false. */
bool eval_fail(struct eval *e, enum diag_code code, struct span span, const char *text);
/* The value of a size with the slots as they are. */
int64_t eval_size(struct eval *e, const struct size *size);

union scalar eval_get(enum dtype type, const char *at);
void eval_put(enum dtype type, char *at, union scalar value);
/* A dense array, C order. False if the shape is impossible. */
bool eval_make(struct eval *e, enum dtype type, int rank, const int64_t *shape, struct span span,
               struct eval_array *out);
int64_t eval_count(const struct eval_array *array);
/* A dense copy of an array of any strides. */
bool eval_densify(struct eval *e, const struct eval_array *from, struct span span, struct eval_array *out);

/* Computes one node; `done` has the arrays of the nodes before it, by id. */
bool eval_node(struct eval *e, const struct graph_node *node, struct eval_array *done);

/* One call of a ufunc. `function`'s body must have been numbered; `whole` are dense. */
struct eval_frame;
struct eval_frame *eval_frame_new(struct eval *e, struct ir_function *function, const struct eval_array *whole);
bool eval_frame_run(struct eval_frame *frame, const union scalar *args);
union scalar eval_frame_result(const struct eval_frame *frame, int number);

/* Folds n operands of element type `type` in the order of docs/language.md, Sums. `flags`: REDUCE_VAR: which count.
 * `columns`: the order of reductions that keep the last dimension. */
union scalar eval_reduce(struct arena *arena, enum reduce_op op, enum dtype type, int64_t n, const union scalar *x,
                         const bool *flags, bool columns);

#endif
