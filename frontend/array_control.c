/* array_control.c: if, and values that depend on a condition. Where branches meet, a variable that differs between them
 * gets a slot that each branch fills.
 */
#include "frontend/array.h"

#include <string.h>

/* One branch, left open until it is known what the others give. */
struct branch {
    struct plan_block *block;
    struct graph *graph; /* its open stretch, or NULL */
    bool unreachable;
    struct value *values; /* of the variables assigned in any branch */
    bool *set;
};

struct merge {
    struct array *a;
    struct plan_block *outside;
    int facts;
    int n_variables, *variables;
    struct value *values; /* before the branches */
    bool *set;
    struct branch *branches;
    int n_branches, capacity;
};

static void save(struct array_scope *scope, int n, const int *variables, struct value *values, bool *set) {
    for (int i = 0; i < n; i++) {
        values[i] = scope->variables[variables[i]].value;
        set[i] = scope->variables[variables[i]].set;
    }
}

static void restore(struct array_scope *scope, int n, const int *variables, const struct value *values,
                    const bool *set) {
    for (int i = 0; i < n; i++) {
        scope->variables[variables[i]].value = values[i];
        scope->variables[variables[i]].set = set[i];
    }
}

static void merge_start(struct merge *merge, struct array *a, const struct ast_stmt *stmt) {
    *merge = (struct merge){.a = a, .facts = a->n_facts};
    if (stmt) merge->n_variables = array_assigned(a, stmt, &merge->variables);
    merge->values = ARENA_ARRAY(a->arena, struct value, merge->n_variables);
    merge->set = ARENA_ARRAY(a->arena, bool, merge->n_variables);
    save(a->scope, merge->n_variables, merge->variables, merge->values, merge->set);
    merge->outside = a->block;
}

/* What follows goes to a branch of its own. */
static void branch_start(struct merge *merge, struct plan_block *block) {
    struct array *a = merge->a;
    array_end_stretch(a);
    a->block = block;
    a->scope->control++;
    a->conditional++;
}

static void branch_end(struct merge *merge) {
    struct array *a = merge->a;
    int n = merge->n_variables;
    struct branch branch = {a->block, a->graph, a->unreachable, ARENA_ARRAY(a->arena, struct value, n),
                            ARENA_ARRAY(a->arena, bool, n)};
    save(a->scope, n, merge->variables, branch.values, branch.set);
    ARENA_PUSH(a->arena, merge->branches, merge->n_branches, merge->capacity) = branch;
    restore(a->scope, n, merge->variables, merge->values, merge->set);
    a->scope->control--;
    a->conditional--;
    a->unreachable = false;
    a->graph = NULL; /* suspended */
    a->block = merge->outside;
    a->n_facts = merge->facts;
}

static void branch_resume(struct merge *merge, int i) {
    array_end_stretch(merge->a);
    merge->a->block = merge->branches[i].block;
    merge->a->graph = merge->branches[i].graph;
    merge->a->n_facts = merge->facts;
}

static void branch_close(struct merge *merge) {
    array_end_stretch(merge->a);
    merge->a->block = merge->outside;
    merge->a->n_facts = merge->facts;
}

static bool same_value(const struct value *x, const struct value *y) {
    if (x->kind != y->kind) return false;
    if (x->kind == VALUE_DTYPE) return x->type.dtype == y->type.dtype;
    if (x->kind == VALUE_TUPLE) {
        if (x->n_items != y->n_items) return false;
        for (int i = 0; i < x->n_items; i++)
            if (!same_value(&x->items[i], &y->items[i])) return false;
        return true;
    }
    if (x->kind != VALUE_NUMBER) return true;
    if (x->is_const != y->is_const || x->type.dtype != y->type.dtype || x->type.weak != y->type.weak) return false;
    if (!x->is_const) return x->node == y->node && x->size == y->size;
    if (x->type.weak == WEAK_INT) return x->negative == y->negative && x->magnitude == y->magnitude;
    return memcmp(&x->real, &y->real, sizeof x->real) == 0;
}

/* --- one variable after the branches ------------------------------------------------------------------------------ */

/* Fills the slot of a variable in every branch; false: it cannot be merged (reported). */
static bool merge_into(struct merge *merge, int k, const char *name, struct array_phi *phi, struct span span) {
    struct array *a = merge->a;
    for (int i = 0; i < merge->n_branches; i++) {
        const struct branch *branch = &merge->branches[i];
        if (branch->unreachable) continue;
        const struct value *v = &branch->values[k];
        if (v->kind == VALUE_ERROR) return false;
        if (v->kind != VALUE_NUMBER) {
            diag_add(a->diags, DIAG_TYPE, span, "`%s` is %s and differs between the branches; only numbers can", name,
                     value_type_text(a->arena, v));
            return false;
        }
        branch_resume(merge, i);
        struct graph_node *node = array_node(a, v);
        merge->branches[i].graph = a->graph;
        bool fits = node && array_phi_add(a, phi, v);
        if (fits) array_sink_slot(a, phi->slot, node, span);
        a->graph = NULL;
        if (!node) return false;
        if (fits) continue;
        diag_add(a->diags, DIAG_SHAPE, span, "`%s` has rank %d after one branch and rank %d after another", name,
                 phi->type.rank, v->type.rank);
        return false;
    }
    return true;
}

/* Decides what variable k is after the branches. Its slot, if it needs one, is in *phi. */
static void merge_variable(struct merge *merge, int k, const struct ast_stmt *stmt, struct array_phi *phi) {
    struct array *a = merge->a;
    const struct branch *first = NULL;
    bool same = true, set = true;
    for (int i = 0; i < merge->n_branches; i++) {
        const struct branch *branch = &merge->branches[i];
        if (branch->unreachable) continue;
        set &= branch->set[k];
        if (!first)
            first = branch;
        else
            same &= same_value(&first->values[k], &branch->values[k]);
    }
    struct array_variable *variable = &a->scope->variables[merge->variables[k]];
    variable->set = first && set;
    if (!first || !set) return;
    variable->value = first->values[k];
    if (same) return;
    if (!array_live_after(a, merge->variables[k], stmt)) {
        variable->set = false;
        return;
    }
    if (!merge_into(merge, k, a->scope->names->variables[merge->variables[k]], phi, stmt->span)) {
        variable->value = value_error(stmt->span);
        phi->slot = -1;
    }
}

/* `scope`: what a branch leaves at its end, or -1. */
static void merge_finish(struct merge *merge, const struct ast_stmt *stmt, int scope) {
    struct array *a = merge->a;
    struct array_phi *phis = ARENA_ARRAY(a->arena, struct array_phi, merge->n_variables);
    bool reachable = false;
    a->graph = NULL;
    for (int k = 0; k < merge->n_variables; k++) {
        phis[k].slot = -1;
        merge_variable(merge, k, stmt, &phis[k]);
    }
    for (int i = 0; i < merge->n_branches; i++) {
        branch_resume(merge, i);
        reachable |= !merge->branches[i].unreachable;
        if (scope >= 0 && !merge->branches[i].unreachable) array_leave(a, scope, stmt->span);
        branch_close(merge);
    }
    a->block = merge->outside;
    a->unreachable = !reachable;
    if (!reachable) return;
    for (int k = 0; k < merge->n_variables; k++)
        if (phis[k].slot >= 0) a->scope->variables[merge->variables[k]].value = array_from_phi(a, &phis[k], stmt->span);
}

/* --- if -------------------------------------------------------------------------------------------------------------
 */

/* The step of a condition, in the current block; NULL after an error (both branches are walked all the same). */
static struct plan_step *condition_step(struct array *a, const struct value *condition, struct span span) {
    int slot = array_store(a, condition, false);
    struct plan_step *step = array_step(a, STEP_IF, span);
    step->condition = slot;
    return step;
}

/* if c {x} else {y} is one step. A chain of elifs is a scope that each branch leaves at its end, so that chains of any
 * length stay flat. */
void array_if(struct array *a, const struct ast_stmt *stmt) {
    struct merge merge;
    merge_start(&merge, a, stmt);
    bool chain = stmt->branch.n_branches > 1;
    int scope = -1;
    struct plan_block *outside = a->block;
    if (chain) {
        struct plan_step *step = array_step(a, STEP_SCOPE, stmt->span);
        scope = step->scope = a->plan->n_scopes++;
        a->block = &step->block;
    }
    struct plan_block *here = a->block, *otherwise = here;
    for (int i = 0; i < stmt->branch.n_branches; i++) {
        const struct ast_expr *e = stmt->branch.conditions[i];
        a->block = here;
        struct value condition = array_condition(a, e, "`if`");
        struct plan_step *step = condition_step(a, &condition, e->span);
        if (!chain) otherwise = &step->other;
        merge.outside = here;
        branch_start(&merge, &step->block);
        array_block(a, &stmt->branch.bodies[i]);
        branch_end(&merge);
    }
    a->block = here; /* what runs if no condition held; in a chain, after all the steps */
    branch_start(&merge, otherwise);
    array_block(a, &stmt->branch.otherwise);
    branch_end(&merge);
    merge.outside = outside;
    merge_finish(&merge, stmt, scope);
}

/* --- a if c else b, and lazy `and` and `or` -------------------------------------------------------------------------
 */

/* The value of one of two branches; both were walked. */
static struct value merge_values(struct merge *merge, const struct value *x, const struct value *y, struct span span,
                                 const char *what) {
    struct array *a = merge->a;
    const struct value *values[2] = {x, y};
    struct array_phi phi = {.slot = -1};
    struct type type = {TY_NONE, STRONG, 0};
    bool good = x->kind == VALUE_NUMBER && y->kind == VALUE_NUMBER;
    for (int i = 0; i < 2; i++)
        if (values[i]->kind != VALUE_ERROR && !array_is_number(a, values[i], what)) good = false;
    if (good && x->type.rank != y->type.rank) {
        diag_add(a->diags, DIAG_SHAPE, span, "`%s` has rank %d and `%s` has rank %d; %s wants both of one rank",
                 array_quote(a, x->span), x->type.rank, array_quote(a, y->span), y->type.rank, what);
        good = false;
    }
    if (good) type = type_promote(x->type, y->type);
    for (int i = 0; i < 2; i++) {
        branch_resume(merge, i);
        if (good) {
            struct value v = array_as(a, values[i], type);
            struct graph_node *node = array_node(a, &v);
            good = node && array_phi_add(a, &phi, &v);
            if (good) array_sink_slot(a, phi.slot, node, span);
        }
        branch_close(merge);
    }
    return good ? array_from_phi(a, &phi, span) : value_error(span);
}

static struct value lazy_conditional(struct array *a, const struct ast_expr *e, const struct value *condition) {
    struct merge merge;
    merge_start(&merge, a, NULL);
    struct plan_step *step = condition_step(a, condition, e->span);
    branch_start(&merge, &step->block);
    struct value x = array_expr(a, e->conditional.then);
    branch_end(&merge);
    branch_start(&merge, &step->other);
    struct value y = array_expr(a, e->conditional.otherwise);
    branch_end(&merge);
    return merge_values(&merge, &x, &y, e->span, "`a if c else b`");
}

/* Scalars that cannot fail: both are computed, and one is taken. Else only one of them is evaluated. */
struct value array_conditional(struct array *a, const struct ast_expr *e) {
    struct value condition = array_condition(a, e->conditional.condition, "`a if c else b`");
    if (condition.kind == VALUE_ERROR) return condition;
    if (!array_is_cheap(a, e->conditional.then) || !array_is_cheap(a, e->conditional.otherwise))
        return lazy_conditional(a, e, &condition);
    struct value args[3] = {condition, array_expr(a, e->conditional.then), array_expr(a, e->conditional.otherwise)};
    for (int i = 1; i < 3; i++) {
        args[i].product = false;
        if (args[i].kind == VALUE_ERROR || !array_is_number(a, &args[i], "`a if c else b`"))
            return value_error(e->span);
    }
    struct type type = type_promote(args[1].type, args[2].type);
    struct value v = elementwise_call(&a->emit, OP_select, 3, args, e->span);
    if (v.kind == VALUE_NUMBER) v.type.weak = type.weak; /* to be one of two weak values does not make it strong */
    return v;
}

struct value array_lazy_logical(struct array *a, const struct ast_expr *e, const struct value *left) {
    struct merge merge;
    merge_start(&merge, a, NULL);
    bool is_and = e->op == AST_AND;
    struct plan_step *step = condition_step(a, left, e->span);
    branch_start(&merge, is_and ? &step->block : &step->other);
    struct value right = array_expr(a, e->binary.right);
    if (right.kind == VALUE_NUMBER && right.type.rank > 0) { /* not two scalars after all: nothing of this is kept */
        branch_end(&merge);
        a->block->n_steps--;
        array_map_put(a->arena, &a->whole_logicals, (uintptr_t)a->scope->context, e->id, true);
        return array_whole_logical(a, e, *left);
    }
    if (right.kind == VALUE_NUMBER && right.type.dtype != TY_BOOL)
        right = array_error(a, DIAG_TYPE, right.span, "`%s` of scalars wants a scalar bool, and `%s` is %s",
                            ast_op_text(e->op), array_quote(a, right.span), value_type_text(a->arena, &right));
    branch_end(&merge);
    branch_start(&merge, is_and ? &step->other : &step->block);
    struct value decided = array_wrap(a, node_int(a, TY_BOOL, !is_and), e->span);
    branch_end(&merge);
    return merge_values(&merge, &right, &decided, e->span, ast_op_text(e->op));
}
