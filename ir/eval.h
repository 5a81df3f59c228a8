/* eval.h: the reference evaluator: plain loops over the array graph, before fusion. It defines what every operation and every
 * reduction order means; the tests hold the compiled code to it, bit for bit. Slow on purpose. eval_scalar is part of the library,
 * which folds constants with it; eval_plan (ir/eval/) is the tests' alone.
 */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/plan.h"

/* A scalar of any element type. */
union scalar {
    int64_t i; /* bool, signed */
    uint64_t u;
    double f64;
    float f32;
};

/* Elementary functions by operation; tests put lane 0 of the vector library in use here. NULL entries: op_info's libm. */
struct eval_math {
    double (*f1)(enum op op, double x, void *host), (*f2)(enum op op, double x, double y, void *host);
    float (*f1f)(enum op op, float x, void *host), (*f2f)(enum op op, float x, float y, void *host);
    void *host;
};

/* The value of one operation; `type` is that of the operands (for OP_convert: `from` -> `type`). */
union scalar eval_scalar(enum op op, enum dtype type, enum dtype from, const union scalar *args, const struct eval_math *math);

struct eval_array {
    enum dtype type;
    int rank;
    int64_t shape[TYPE_MAX_RANK];
    int64_t stride[TYPE_MAX_RANK]; /* bytes; as given for inputs, C order for results */
    char *data;
};

struct eval_result {
    bool ok;
    enum diag_code code; /* of the first failed check, assert or subscript */
    struct span span;
    const char *text;
    struct eval_array *outputs; /* [plan->n_outputs] */
    int n_printed; /* how often something was printed; what, is left out */
};

/* Runs the plan's graphs (fusion is ignored). Everything is allocated in `arena`. LOAD and SAVE are errors. */
struct eval_result *eval_plan(struct arena *arena, const struct plan *plan, const struct eval_array *inputs,
                              const struct eval_math *math);

#endif
