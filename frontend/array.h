/* array.h: the array world: top-level code and fn bodies, typed and lowered in one walk. For array*.c and instantiate.c
 * only.
 *
 *   array.c          the program: walks until types settle, blocks, statements, assignment, return
 *   array_scope.c    variables: joins of weak ones, which reads follow, what a block assigns
 *   array_stretch.c  nodes, slots and sizes across stretches
 *   array_shapes.c   broadcasting, checks, shapes in messages
 *   array_input.c    inputs, declared types
 *   array_expr.c     expressions, but for these:
 *   array_literal.c, array_index.c, array_reduce.c, array_shape.c, array_create.c
 *   array_call.c     arguments, inlined fns; array_lift.c: ufuncs
 *   array_control.c  if and conditional values; array_loop.c: for, while, break, continue
 *   array_effects.c  print, assert, load, save
 *
 * Walks. A variable whose first value is weak has the join of all its values in its function, which is known only at
 * the end. So the first walk assumes what it has seen; if that turns out too low anywhere, the plan is thrown away and
 * the walk repeated with the joins found (`array_context`), until nothing changes. Most programs need one walk.
 *
 * Stretches. A node belongs to one graph; a value made in an earlier stretch is brought into the open one by
 * array_local, which stores it in a slot there and reads it here (what costs nothing is made anew instead). So hold
 * values, not nodes, across anything that may end the stretch: every evaluation of an expression, and array_size.
 *
 * Slots are written once, but for those that a loop carries: these change only at the end of an iteration, at `break`
 * and at `continue`. Values of different branches meet in a slot of their own. So a slot holds the same array wherever
 * a value that refers to it is in reach.
 *
 * Errors are reported where they are found; their value is VALUE_ERROR, which absorbs what it meets.
 */
#ifndef FRONTEND_ARRAY_H
#define FRONTEND_ARRAY_H

#include "frontend/elab.h"
#include "frontend/resolve.h"

/* Hash table from pairs to numbers. Zeroed: empty. */
struct array_map {
    struct array_map_entry {
        uintptr_t a, b;
        intptr_t value;
    } * items;
    int count, capacity;
};
intptr_t array_map_get(const struct array_map *map, uintptr_t a, uintptr_t b, intptr_t missing);
void array_map_put(struct arena *arena, struct array_map *map, uintptr_t a, uintptr_t b, intptr_t value);

struct array_shape {
    int rank;
    const struct size *dim[TYPE_MAX_RANK];
};

struct array_fact {
    const struct size *x, *y;
    enum check_kind kind;
};

/* What the walks learn of one inlined call, by its path; the root is the top level. */
struct array_context {
    int n_arguments;
    struct type *arguments; /* the joins hold for these */
    struct type *joins;     /* by variable; TY_NONE: none yet */
    struct type *results;   /* joins of the values returned */
};

/* Where the variables of a scope are read: offsets in the source, ascending; of variable v from first[v] to first[v+1].
 */
struct array_uses {
    int *first;
    uint32_t *offsets;
};

struct array_variable {
    struct value value;
    bool set;
    bool weak_first;  /* type is context->joins[...] */
    enum dtype dtype; /* strong variables: their type; TY_NONE before the first value */
    bool rebindable;  /* an undeclared input or a size, not assigned to yet: takes any value outside of control flow */
};

/* A value returned, or carried by a loop, or that branches agree on: its slot and what is known of it. */
struct array_phi {
    int slot; /* -1: none yet */
    struct type type;
    const struct size *shape[TYPE_MAX_RANK]; /* NULL: differs, read it from the slot */
};

struct array_loop {
    struct array_loop *outer;
    const struct ast_stmt *stmt;
    int n_variables; /* assigned in the loop */
    int *variables;  /* ascending */
    bool *carried;   /* needs a slot: read by a later iteration, or after the loop */
    bool *missing;   /* not set before the loop */
    bool *unset;     /* not set at some `break` */
    struct array_phi *phis;
    int scope, next_scope; /* what `break` and `continue` leave; next_scope -1: no continue in the body */
    bool breaks;           /* a `break` can be reached */
};

struct array_scope {
    const struct resolve_scope *names;
    const struct ast_function *function; /* NULL: top level */
    struct array_context *context;
    const struct array_uses *uses;
    struct array_variable *variables;
    struct array_loop *loop; /* innermost */
    int control;             /* nesting of control flow in this scope */
    /* Results. Straight: `values`, set by the return at the end. Otherwise every return fills the slots and leaves the
     * scope. */
    bool straight, returned;
    bool left_early; /* a return inside control flow was passed: what follows may not run */
    int n_results;
    struct value *values;
    struct array_phi *phis;
    int scope;
};

struct array {
    struct elab *elab;
    struct arena *arena;
    struct plan *plan;
    struct diag_list *diags;
    const struct ast_program *ast;
    const struct resolve *resolve;
    struct emitter emit;
    const struct frontend_binding *bindings;
    struct value *inputs;

    struct plan_block *block;                    /* where steps go */
    struct graph *graph;                         /* the open stretch, or NULL */
    struct array_map origins, stored, facts_map; /* node -> graph; node -> slot; pair of sizes -> index in facts */
    struct array_fact *facts;                    /* conditions that were checked on every way to here */
    int n_facts, facts_capacity;
    struct array_map size_names; /* size -> its name in the source */
    bool unreachable;            /* after break, continue, return */
    int conditional;             /* > 0: what is walked may not run, so a size that cannot fit is an error only then */
    struct array_scope *scope, *top;

    struct array_map whole_logicals; /* (context, expression): an `and` or `or` of a scalar and an array */
    struct array_map contexts;       /* (context, call) -> array_context */
    const struct array_uses **uses;
    bool changed; /* a join turned out too low */
    int nesting;  /* of expressions and blocks being walked */
    int closed_nodes;
    int64_t work;     /* expressions in all the calls that were inlined */
    bool elementwise; /* a formula that must stay elementwise */
};

/* --- array.c ------------------------------------------------------------------------------------------------------ */

void array_block(struct array *a, const struct ast_block *block);
void array_return(struct array *a, int n, const struct value *values, struct span span);
/* The results of a scope whose body was walked. False if it ended without any. */
bool array_results(struct array *a, struct array_scope *scope, struct value *results, struct span span);
/* False once a limit of size was reached (reported once). Call it wherever work is done. */
bool array_budget(struct array *a, struct span span);
/* True if a return stands anywhere but last in the body. */
bool array_returns_early(const struct ast_block *body);
#define array_error(a, code, span, ...) (diag_add((a)->diags, code, span, __VA_ARGS__), value_error(span))
/* The text of a span, for messages. */
const char *array_quote(struct array *a, struct span span);

/* --- array_scope.c ------------------------------------------------------------------------------------------------ */

struct array_scope *array_scope_new(struct array *a, const struct ast_function *function,
                                    struct array_context *context);
struct array_context *array_context_get(struct array *a, struct array_context *parent, uint32_t call,
                                        const struct resolve_scope *names, int n_results, int n_arguments,
                                        const struct value *arguments);
const struct array_uses *array_uses_of(struct array *a, const struct ast_function *function);
/* True if the variable is read at an offset in [from, to). */
bool array_read_in(const struct array_uses *uses, int variable, uint32_t from, uint32_t to);
/* True if the value that the variable has after `stmt` may be read: later, or by a later iteration. */
bool array_live_after(struct array *a, int variable, const struct ast_stmt *stmt);
/* Variables assigned in the statement, ascending. */
int array_assigned(struct array *a, const struct ast_stmt *stmt, int **variables);
/* Gives the variable a value, converted to its type. */
void array_assign(struct array *a, int variable, struct value value, struct span span);
struct value array_read(struct array *a, struct array_scope *scope, int variable, struct span span);
/* The value as a join's type: a weak one may become strong, or a weak float. */
struct value array_as(struct array *a, const struct value *v, struct type type);

/* --- array_stretch.c ---------------------------------------------------------------------------------------------- */

struct graph *array_graph(struct array *a); /* the open stretch; opens one */
void array_end_stretch(struct array *a);
struct graph_node *array_local(struct array *a, struct graph_node *node);
/* The value's node in the open stretch: weak ones as i64 or f64. NULL after an error. */
struct graph_node *array_node(struct array *a, const struct value *v);
/* A slot that holds the value when the open stretch has ended. -1 after an error. `exact`: one that nobody else writes.
 */
int array_store(struct array *a, const struct value *v, bool exact);
void array_sink_slot(struct array *a, int slot, struct graph_node *node, struct span span);
struct value array_wrap(struct array *a, struct graph_node *node, struct span span);
struct value array_from_phi(struct array *a, const struct array_phi *phi, struct span span);
struct value array_from_size(struct array *a, const struct size *size, struct span span);
/* An integer scalar as a size. One that is computed ends the stretch. NULL after an error; `what` begins the message:
 * "a subscript". */
const struct size *array_size(struct array *a, const struct value *v, const char *what);
void array_emitter(struct array *a);

struct graph_node *node_op(struct array *a, enum op op, enum dtype type, struct graph_node *x, struct graph_node *y,
                           struct graph_node *z, struct span span);
struct graph_node *node_convert(struct array *a, struct graph_node *x, enum dtype type, struct span span);
struct graph_node *node_float(struct array *a, enum dtype type, double value);
struct graph_node *node_int(struct array *a, enum dtype type, int64_t value);
struct graph_node *node_size(struct array *a, const struct size *size);
struct graph_node *node_view(struct array *a, struct graph_node *x, const struct array_shape *shape,
                             const struct view_map *map, struct span span);
struct graph_node *node_broadcast(struct array *a, struct graph_node *x, const struct array_shape *shape,
                                  struct span span);
struct graph_node *node_reduce(struct array *a, enum reduce_op op, enum dtype type, unsigned axes, struct graph_node *x,
                               struct graph_node *y, struct span span);
struct array_shape node_shape(const struct graph_node *node);

/* --- array_shapes.c ----------------------------------------------------------------------------------------------- */

const struct size *array_const(struct array *a, int64_t value);
const struct size *array_arith(struct array *a, enum size_op op, const struct size *x, const struct size *y);
/* A message with sizes in it: array_text_size adds a value known now, or {N} to be filled in. */
struct array_message {
    struct strbuf text;
    const struct size **sizes;
    int n_sizes, capacity;
    bool runtime; /* unknown sizes become {N}; otherwise their name, or ":" */
};
void array_message_init(struct array *a, struct array_message *message, bool runtime);
void array_message_size(struct array *a, struct array_message *message, const struct size *size);
void array_message_shape(struct array *a, struct array_message *message, const struct array_shape *shape);
/* "[3, n]" for a message made now. */
const char *array_shape_text(struct array *a, const struct array_shape *shape);
/* A condition of sizes: decided now (false: the message is reported), or a check in the stretch. The message is built
 * by `describe`, given {a} and {b} as sizes. */
bool array_check(struct array *a, enum check_kind kind, const struct size *x, const struct size *y, enum diag_code code,
                 struct span span, void (*describe)(struct array *a, struct array_message *message, void *host),
                 void *host);
/* The same with a plain text in which \\1 and \\2 (the characters) stand for the sizes. */
bool array_check_text(struct array *a, enum check_kind kind, const struct size *x, const struct size *y,
                      enum diag_code code, struct span span, const char *text);
/* Broadcasts the numbers to one shape; rank-0 ones stay. False if they don't (reported). */
bool array_align(struct array *a, int n, struct value *values, struct span span);
struct array_shape array_value_shape(const struct value *v);
/* Product of the dimensions in `axes`. */
const struct size *array_count(struct array *a, const struct array_shape *shape, unsigned axes);

/* --- array_input.c ------------------------------------------------------------------------------------------------ */

void array_inputs(struct array *a);
/* Checks a value against a declared type, converts it, defines symbolic sizes in the scope. `name` as in messages:
 * "`x`". */
struct value array_declared(struct array *a, struct array_scope *scope, const struct ast_type *type,
                            const struct value *v, const char *name, struct span span);
enum dtype array_element(struct array *a, const struct ast_type *type);
/* True if the value is a weak one that takes this type by itself. */
bool array_takes(enum dtype dtype, const struct value *v);

/* --- expressions -------------------------------------------------------------------------------------------------- */

struct value array_expr(struct array *a, const struct ast_expr *e);
struct value array_binary(struct array *a, enum ast_op op, struct value left, struct value right, struct span span);
/* A scalar bool, or an error that says what else. */
struct value array_condition(struct array *a, const struct ast_expr *e, const char *what);
bool array_is_number(struct array *a, const struct value *v, const char *what);
struct value array_literal(struct array *a, const struct ast_expr *e);
/* True if the elements of weak literals among the operands are values of the type that they take; else reported. */
bool array_literals_fit(struct array *a, int n, const struct value *values);
/* The same of one value and a type. */
bool array_literal_fits(struct array *a, const struct value *v, enum dtype dtype);
struct value array_index(struct array *a, const struct ast_expr *e, const struct value *base);
struct value array_conditional(struct array *a, const struct ast_expr *e);
/* `and` and `or`: of a scalar that decides whether the right side is evaluated, and element by element. */
struct value array_lazy_logical(struct array *a, const struct ast_expr *e, const struct value *left);
struct value array_whole_logical(struct array *a, const struct ast_expr *e, struct value left);
/* False if evaluating it may fail, has effects or costs much: then it must not be evaluated in vain. */
bool array_is_simple(struct array *a, const struct ast_expr *e);
/* Simple, and made of scalars only. */
bool array_is_cheap(struct array *a, const struct ast_expr *e);

/* --- calls -------------------------------------------------------------------------------------------------------- */

struct array_call {
    const struct ast_expr *expr;
    const char *name; /* as written */
    int n;            /* positional arguments */
    struct value *arguments;
    struct span span;
};
struct value array_call(struct array *a, const struct ast_expr *e);
const struct ast_expr *array_keyword(const struct array_call *call, const char *keyword);
bool array_constant_int(struct array *a, const struct value *v, int64_t *value);
bool array_constant_bool(struct array *a, const struct value *v, bool *value);
/* Fills axes[] with the axes named by an expression: an integer or a tuple. False: reported. */
bool array_axes(struct array *a, const struct ast_expr *e, const struct value *x, unsigned *axes);
struct value array_inline(struct array *a, const struct ast_function *function, uint32_t call_id, int n,
                          const struct value *arguments, struct span span);
struct value array_lift(struct array *a, const struct ast_function *function, int n, const struct value *arguments,
                        struct span span);
struct value array_tuple(struct array *a, int n, const struct value *items, struct span span);

struct value array_reduction(struct array *a, enum builtin builtin, const struct array_call *call);
struct value array_shaping(struct array *a, enum builtin builtin, const struct array_call *call);
struct value array_creation(struct array *a, enum builtin builtin, const struct array_call *call);
struct value array_effect(struct array *a, enum builtin builtin, const struct array_call *call);
struct value array_transpose(struct array *a, const struct value *x, struct span span);
/* Dimensions given as arguments first.. of a call; false: reported. */
bool array_dims(struct array *a, const struct array_call *call, int first, struct array_shape *shape);

/* --- control ------------------------------------------------------------------------------------------------------ */

void array_if(struct array *a, const struct ast_stmt *stmt);
void array_for_while(struct array *a, const struct ast_stmt *stmt);
void array_break(struct array *a, bool next);
void array_assert(struct array *a, const struct ast_stmt *stmt);
struct plan_step *array_step(struct array *a, enum step_kind kind, struct span span);
void array_leave(struct array *a, int scope, struct span span);
/* Notes a value that goes to a phi; makes the slot. False if rank or type forbid it (reported: `what` is the name). */
bool array_phi_add(struct array *a, struct array_phi *phi, const struct value *v);

/* --- formulas ----------------------------------------------------------------------------------------------------- */

struct value array_formula(struct array *a, const struct ast_expr *e, struct value v);

#endif
