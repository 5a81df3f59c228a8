/* scalar_parts.h: the state of one ufunc's elaboration, shared by the files scalar*.c; for nobody else.
 *
 *   scalar.c        instances: arguments, the cache, repeated passes until the types of weak variables are settled
 *   scalar_emit.c   values and regions: value numbering, constants, how an if is made and merged
 *   scalar_expr.c   expressions
 *   scalar_call.c   calls, and what can be done with whole arrays
 *   scalar_stmt.c   statements, assignment, branches
 *   scalar_loop.c   loops
 *   scalar_clean.c  removes what nothing uses
 *
 * Variables live in slots: resolve's variables first, then `returned`, then two flags for each level of loops, then the
 * results. `env` holds each slot's value at this point of the text. Assignments write a journal; a branch is walked,
 * its changes are taken from the journal and undone, and the changes of both sides are merged.
 *
 * break, continue and return set flags: `skip` of a loop says that the rest of this round is skipped, `stop` that there
 * is no further round, `returned` that the function has its results. Flags are often constants, and then cost nothing.
 */
#ifndef FRONTEND_SCALAR_PARTS_H
#define FRONTEND_SCALAR_PARTS_H

#include "frontend/elab.h"
#include "frontend/resolve.h"

enum {
    SCALAR_MAX_RESULTS = 64,
    SCALAR_MAX_PASSES = 12,
    SCALAR_MAX_CALLS = 64,       /* calls inside calls */
    SCALAR_MAX_NESTING = 1200,   /* expressions and blocks inside each other, over all calls: bounds the C stack */
    SCALAR_MAX_GUARDS = 32,      /* ifs made around the rest of a block, inside each other */
    SCALAR_CHEAP_OPERATIONS = 16 /* arms up to this size, of cheap operations only, are both computed */
};

/* What is known of the type of one variable. */
struct scalar_join {
    bool known; /* in this pass */
    bool joins; /* its first value was weak: takes the join of all its values; else it keeps its type */
    struct type type;
    bool hinted; /* `hint` is the type after the pass before */
    struct type hint;
};

/* Operations already made, found again by what they are. Entries of a closed region are dropped. */
struct scalar_memo {
    struct scalar_entry *entries;
    int count, capacity;
    int *buckets; /* index of the newest entry + 1 */
};

struct scalar_whole {
    enum dtype type;
    int rank;
    struct ir_value *lengths[TYPE_MAX_RANK]; /* made when first wanted */
    const struct ast_type *declared;         /* NULL for generic ones */
};

struct scalar_change {
    int slot;
    struct value *value, *before;
};

struct scalar {
    struct elab *elab;
    struct arena *arena;
    const struct ast_program *ast;
    const struct resolve *resolve;
    const struct ast_function *function;
    const struct resolve_scope *scope;
    const struct ufunc_argument *arguments;
    struct emitter emit;

    struct ir_region *top, *pool, *region; /* the body; constants and sizes, put before it; where operations go now */
    struct scalar_memo memo, constants;
    struct scalar_whole *whole;
    int n_whole;

    int n_variables, n_slots, n_results; /* n_results: -1 before the first return */
    int slot_returned, slot_flags, slot_results;
    struct value **env; /* by slot; NULL: not set */
    struct scalar_join *joins;
    struct scalar_change *journal;
    int n_journal, journal_capacity;
    unsigned *stamps, stamp; /* by slot, to visit each once */
    int *positions;          /* by slot, in the list being made */
    struct value *globals;   /* by position in scope->reads */
    int loop_level;          /* loops around this point */
    int n_guards;
    bool unused;  /* walking what constants rule out, for its types */
    bool changed; /* a type grew after it was used: the pass is repeated */
};

struct scalar_if {
    struct ir_value *condition;
    struct ir_region *parent, *arms[2];
    int journal, memo;
    struct scalar_change *changes[2];
    int n_changes[2];
    struct span span;
    struct diag_list *diags; /* while unused: where errors go that count */
    bool unused;             /* what s->unused was before */
};

/* scalar_emit.c */
void scalar_emit_start(struct scalar *s, int n_params, const enum dtype *param_types);
struct ir_value *scalar_op(struct scalar *s, enum op op, enum dtype type, int n, struct ir_value *const *args,
                           struct span span);
struct ir_value *scalar_load(struct scalar *s, int whole, struct ir_value *const *subscripts, struct span span);
struct ir_value *scalar_length(struct scalar *s, int whole, int dim);
struct ir_value *scalar_bool(struct scalar *s, bool value);
struct ir_value *scalar_zero(struct scalar *s, enum dtype type);
/* True if `h` is a bool constant; says which. */
bool scalar_known(const struct ir_value *h, bool *value);
struct value scalar_wrap(struct ir_value *h, struct type type, struct span span);
struct value scalar_weak_int(struct ir_value *h, struct span span);
/* Counts operations against the limit of the plan; false, after a message, when it is reached. */
bool scalar_spend(struct scalar *s, int n, struct span span);
void scalar_memo_forget(struct scalar *s, int mark);

/* if: begin, the then-arm's operations, turn, the else-arm's, end. `then` and `otherwise` are n further values that the
 * arms made (NULL on one side: never read); their merged values come back in `merged`. */
void scalar_if_begin(struct scalar *s, struct scalar_if *branch, struct ir_value *condition, struct span span);
void scalar_if_turn(struct scalar *s, struct scalar_if *branch);
void scalar_if_end(struct scalar *s, struct scalar_if *branch, int n, struct ir_value *const *then,
                   struct ir_value *const *otherwise, struct ir_value **merged);
/* Around what constants rule out: it has no effect but on the types that variables have, and its errors don't count. */
void scalar_unused_begin(struct scalar *s, struct scalar_if *branch, struct span span);
void scalar_unused_end(struct scalar *s, struct scalar_if *branch);
/* The handle of a value of one arm as `type`, the conversion made at that arm's end; the arm is walked already. */
struct ir_value *scalar_side_as(struct scalar *s, const struct scalar_if *branch, int arm, const struct value *value,
                                enum dtype type);
/* The slots changed since `mark`, each once, with their values; undone. */
int scalar_take_changes(struct scalar *s, int mark, struct scalar_change **changes);

/* scalar_expr.c */
struct value scalar_expr(struct scalar *s, const struct ast_expr *expr);
/* A bool, or NULL after a message; `what` names what wants it. */
struct ir_value *scalar_condition(struct scalar *s, const struct ast_expr *expr, const char *what);
/* Deeper by one; false, after a message, when it is too deep. Each true is matched by scalar_leave. */
bool scalar_enter(struct scalar *s, struct span span);
void scalar_leave(struct scalar *s);

/* scalar_call.c */
struct value scalar_call(struct scalar *s, const struct ast_expr *expr);
struct value scalar_index(struct scalar *s, const struct ast_expr *expr, const struct value *base);
struct value scalar_attribute(struct scalar *s, const struct ast_expr *expr, const struct value *base);

/* scalar_stmt.c */
void scalar_block(struct scalar *s, const struct ast_block *block);
/* Stores a value of any type without a check: flags and carried values. */
void scalar_put(struct scalar *s, int slot, struct value value);
/* `value` as `type`, constants kept as such while the type is weak. */
struct value scalar_as_type(struct scalar *s, const struct value *value, struct type type);
/* Assigns by the rules of variables; `name` is for messages. */
void scalar_assign(struct scalar *s, int slot, const char *name, const struct value *value);
void scalar_return(struct scalar *s, const struct value *value, struct span span);
static inline int scalar_slot_stop(const struct scalar *s, int level) {
    return s->slot_flags + 2 * level;
}
static inline int scalar_slot_skip(const struct scalar *s, int level) {
    return s->slot_flags + 2 * level + 1;
}
/* The handle of a slot as `type`; the zero of the type if it is not set. */
struct ir_value *scalar_slot_as(struct scalar *s, int slot, enum dtype type);

/* scalar_loop.c */
void scalar_while(struct scalar *s, const struct ast_stmt *stmt);
void scalar_for(struct scalar *s, const struct ast_stmt *stmt);
/* How deep loops nest in a block. */
int scalar_loop_depth(const struct ast_block *block);

/* scalar_clean.c: drops operations, results and carried values that nothing needs. Loads and loops stay: a load may
 * fail, a loop may not end. */
void scalar_clean(struct arena *arena, struct ir_region *body);

/* scalar.c: state of all instances of one plan */
struct ufunc_cache {
    struct ufunc_made **made; /* by function: a list */
    int nesting;
    int n_values; /* operations in all instances */
    bool out_of_values;
};

#endif
