/* elab.h: the state of one instantiation, shared by the files that elaborate (array*.c, scalar*.c, call.c).
 *
 * Array world (array*.c): top-level code and fn bodies; emits graph nodes into the current stretch and plan steps.
 * Scalar world (scalar*.c): ufunc bodies; emits an ir_function of known types.
 */
#ifndef FRONTEND_ELAB_H
#define FRONTEND_ELAB_H

#include "frontend/frontend.h"
#include "frontend/value.h"

struct elab {
    struct arena *arena;
    const struct frontend_program *program;
    const struct ast_program *ast;
    const struct resolve *resolve;
    struct plan *plan;
    struct diag_list *diags;
    int depth;                  /* of inlined calls, bounded */
    int n_nodes;                /* against limits.graph_nodes */
    bool out_of_budget;         /* the limit was reported once */
    struct ufunc_cache *ufuncs; /* scalar.c: instances by function and argument types */
};

/* The type of one argument of a ufunc, as the lift sees it. */
struct ufunc_argument {
    bool whole;       /* a parameter written with brackets */
    struct type type; /* scalar parameters: rank is ignored (lifted), weakness matters; whole: element type and rank */
    /* A weak constant argument keeps its value, so that weakness goes "through names and arguments". */
    bool is_const;
    struct value constant;
};

struct ufunc_instance {
    struct ir_function *function; /* body.params: the scalar parameters in order (weak constants too, as i64/f64) */
    enum dtype
        *param_types; /* of the scalar parameters, after conversion to declared types: the caller converts to these */
    const bool *constants; /* of the scalar parameters: the value of a weak constant is built in, what is passed is not
                              looked at */
    int n_results;
    struct type *results; /* dtype, rank 0; weak only if every argument is weak */
    int n_values;         /* operations of its body */
};

/* scalar.c: the instance of `function` for these argument types (one per parameter), made once. NULL after errors.
 * `call_span` is where the caller stands, for errors that concern the arguments. `self_chain` guards nothing: recursion
 * is found by resolve.c. Other top-level names that a ufunc reads are passed by the caller as extra trailing
 * parameters: resolve_function(...)->reads lists them; `arguments` has an entry for each, after the declared ones. */
const struct ufunc_instance *ufunc_instantiate(struct elab *elab, const struct ast_function *function,
                                               const struct ufunc_argument *arguments, struct span call_span);

/* array.c: runs the whole program for the bindings. */
void array_program(struct elab *elab, const struct frontend_binding *bindings);

#endif
