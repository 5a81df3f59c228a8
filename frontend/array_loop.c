/* array_loop.c: for, while, break, continue.
 *
 *     scope S {                        left by `break`, and when the loop ends
 *       loop {
 *         condition; if it fails: leave S
 *         scope B { body }             left by `continue`; only there if the body has one
 *         next position (for)
 *       }
 *     }
 *
 * Variables that an iteration takes over from the one before, or that are read after the loop, live in slots, written
 * before the loop, at the end of the body, at `continue` and at `break`.
 */
#include "frontend/array.h"

#include <string.h>

static bool has_continue(const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) {
        const struct ast_stmt *stmt = block->items[i];
        if (stmt->kind == AST_CONTINUE) return true;
        if (stmt->kind != AST_IF) continue; /* of an inner loop it is not ours */
        for (int k = 0; k < stmt->branch.n_branches; k++)
            if (has_continue(&stmt->branch.bodies[k])) return true;
        if (has_continue(&stmt->branch.otherwise)) return true;
    }
    return false;
}

/* --- which variables the loop carries ------------------------------------------------------------------------------
 */

static int find(const struct array_loop *loop, int variable) {
    int low = 0, high = loop->n_variables;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (loop->variables[middle] < variable)
            low = middle + 1;
        else
            high = middle;
    }
    return low < loop->n_variables && loop->variables[low] == variable ? low : -1;
}

/* Up to which offset of an iteration a read would see the value of the iteration before: the end of the first statement
 * of the body that assigns the variable whatever happens, or of the loop. */
static void find_exposed(struct array *a, struct array_loop *loop, uint32_t *until) {
    const struct ast_stmt *stmt = loop->stmt;
    const struct ast_block *body = &stmt->loop.body;
    for (int k = 0; k < loop->n_variables; k++) until[k] = stmt->span.offset + stmt->span.length;
    for (int i = body->count - 1; i >= 0; i--) { /* the first one is found last */
        const struct ast_stmt *s = body->items[i];
        if (s->kind != AST_ASSIGN || s->assign.op != AST_OP_NONE) continue;
        for (int t = 0; t < s->assign.n_targets; t++) {
            if (s->assign.targets[t]->kind != AST_NAME) continue;
            int k = find(loop, resolve_variable(a->scope->names, s->assign.targets[t]->name));
            if (k >= 0) until[k] = s->span.offset + s->span.length;
        }
    }
    if (stmt->kind == AST_FOR) { /* its index is set before all else */
        int k = find(loop, resolve_variable(a->scope->names, stmt->loop.name));
        if (k >= 0) until[k] = stmt->span.offset;
    }
}

static void loop_variables(struct array *a, struct array_loop *loop) {
    int n = loop->n_variables = array_assigned(a, loop->stmt, &loop->variables);
    loop->carried = ARENA_ARRAY(a->arena, bool, n);
    loop->missing = ARENA_ARRAY(a->arena, bool, n);
    loop->unset = ARENA_ARRAY(a->arena, bool, n);
    loop->phis = ARENA_ARRAY(a->arena, struct array_phi, n);
    uint32_t *until = ARENA_ARRAY(a->arena, uint32_t, n);
    find_exposed(a, loop, until);
    for (int k = 0; k < n; k++) {
        int variable = loop->variables[k];
        loop->phis[k].slot = -1;
        loop->missing[k] = !a->scope->variables[variable].set;
        loop->carried[k] = array_read_in(a->scope->uses, variable, loop->stmt->span.offset, until[k]) ||
                           array_live_after(a, variable, loop->stmt);
    }
}

/* Puts the first values into slots; afterwards the variables stand for the slots. */
static void enter(struct array *a, struct array_loop *loop) {
    for (int k = 0; k < loop->n_variables; k++) {
        struct array_variable *variable = &a->scope->variables[loop->variables[k]];
        if (!loop->carried[k] || loop->missing[k] || variable->value.kind != VALUE_NUMBER) continue;
        struct graph_node *node = array_node(a, &variable->value);
        if (!node) continue;
        array_phi_add(a, &loop->phis[k], &variable->value);
        array_sink_slot(a, loop->phis[k].slot, node, loop->stmt->span);
    }
}

static void read_slots(struct array *a, struct array_loop *loop) {
    for (int k = 0; k < loop->n_variables; k++) {
        struct array_variable *variable = &a->scope->variables[loop->variables[k]];
        if (loop->phis[k].slot >= 0)
            variable->value = array_from_phi(a, &loop->phis[k], variable->value.span);
        else if (!loop->carried[k])
            variable->set = false;
    }
}

/* --- the end of an iteration ----------------------------------------------------------------------------------------
 */

struct changed_shape {
    const char *name;
    const struct array_shape *from, *to;
};

static void describe_change(struct array *a, struct array_message *message, void *host) {
    const struct changed_shape *change = host;
    strbuf_printf(&message->text, "`%s` is ", change->name);
    array_message_shape(a, message, change->from);
    strbuf_puts(&message->text, " before an iteration and ");
    array_message_shape(a, message, change->to);
    strbuf_puts(&message->text, " after it; a variable that a loop carries keeps rank and shape");
}

/* The value may go to the slot: it has its rank and shape. */
static bool keeps_shape(struct array *a, const struct array_loop *loop, int k, const struct value *v,
                        struct span span) {
    const struct array_phi *phi = &loop->phis[k];
    const char *name = a->scope->names->variables[loop->variables[k]];
    if (v->type.rank != phi->type.rank) {
        diag_add(a->diags, DIAG_SHAPE, span,
                 "`%s` has rank %d before an iteration and rank %d after it; a variable that a loop carries keeps rank "
                 "and shape",
                 name, phi->type.rank, v->type.rank);
        return false;
    }
    struct array_shape to = array_value_shape(v), from = to;
    struct changed_shape change = {name, &from, &to};
    for (int d = 0; d < to.rank; d++)
        from.dim[d] = phi->shape[d] ? phi->shape[d] : size_dim(&a->plan->sizes, phi->slot, d, false);
    for (int d = 0; d < to.rank; d++)
        if (!array_check(a, CHECK_EQUAL, to.dim[d], from.dim[d], DIAG_SHAPE, span, describe_change, &change))
            return false;
    return true;
}

static bool is_slot_itself(const struct value *v, int slot) {
    if (v->is_const) return false;
    if (v->node) return v->node->op == OP_input && v->node->imm.i == slot;
    return v->size && v->size->op == SIZE_SCALAR && v->size->slot == slot;
}

/* Writes the variables' values to their slots: all are read before any is written. `leaving`: with those that the loop
 * sets first, which have no slot before the first `break`. */
static void write_back(struct array *a, struct array_loop *loop, bool leaving, struct span span) {
    int *from = ARENA_ARRAY(a->arena, int, loop->n_variables);
    for (int k = 0; k < loop->n_variables; k++) {
        const struct array_variable *variable = &a->scope->variables[loop->variables[k]];
        struct array_phi *phi = &loop->phis[k];
        const struct value *v = &variable->value;
        from[k] = -1;
        if (leaving && !variable->set) loop->unset[k] = true;
        if (!loop->carried[k] || !variable->set || (loop->missing[k] && !leaving)) continue;
        if (v->kind != VALUE_NUMBER || (phi->slot < 0 && !loop->missing[k])) {
            if (v->kind != VALUE_ERROR)
                diag_add(a->diags, DIAG_TYPE, span, "`%s` is %s; a loop can carry numbers and arrays only",
                         a->scope->names->variables[loop->variables[k]], value_type_text(a->arena, v));
            continue;
        }
        if (phi->slot < 0) {
            if (!array_node(a, v)) continue;
            array_phi_add(a, phi, v);
            memset(phi->shape, 0, sizeof phi->shape); /* every `break` may give another */
        } else if (loop->missing[k] ? phi->type.rank != v->type.rank : !keeps_shape(a, loop, k, v, span)) {
            if (loop->missing[k])
                diag_add(a->diags, DIAG_SHAPE, span, "`%s` has rank %d here and rank %d at another `break`",
                         a->scope->names->variables[loop->variables[k]], v->type.rank, phi->type.rank);
            continue;
        }
        if (!is_slot_itself(v, phi->slot)) from[k] = array_store(a, v, true);
    }
    array_end_stretch(a);
    for (int k = 0; k < loop->n_variables; k++) {
        if (from[k] < 0) continue;
        struct plan_step *step = array_step(a, STEP_COPY, span);
        step->slot = loop->phis[k].slot;
        step->source = from[k];
    }
}

void array_leave(struct array *a, int scope, struct span span) {
    array_step(a, STEP_LEAVE, span)->scope = scope;
}

void array_break(struct array *a, bool next) {
    struct array_loop *loop = a->scope->loop;
    if (!loop) return; /* the parser lets none stand outside of a loop */
    write_back(a, loop, !next, loop->stmt->span);
    array_leave(a, next ? loop->next_scope : loop->scope, loop->stmt->span);
    if (!next) loop->breaks = true;
    a->unreachable = true;
}

/* --- for ---------------------------------------------------------------------------------------------------------- */

/* The positions of a for loop: start + k*step for k below count. */
struct range {
    const struct size *start, *step, *count;
    int slot; /* k */
};

static bool range_part(struct array *a, const struct ast_expr *e, const char *what, const struct size **size) {
    struct value v = array_expr(a, e);
    *size = array_size(a, &v, what);
    return *size != NULL;
}

static bool make_range(struct array *a, const struct ast_stmt *stmt, struct range *range) {
    const struct size *stop, *length, *zero = array_const(a, 0);
    range->start = zero;
    range->step = array_const(a, 1);
    if (stmt->loop.start && !range_part(a, stmt->loop.start, "the start of `for`", &range->start)) return false;
    if (!range_part(a, stmt->loop.stop, "the end of `for`", &stop)) return false;
    if (stmt->loop.step && !range_part(a, stmt->loop.step, "the step of `for`", &range->step)) return false;
    const struct size *square = array_arith(a, SIZE_MUL, range->step, range->step);
    if (!array_check_text(a, CHECK_AT_LEAST, square, array_const(a, 1), DIAG_VALUE, stmt->span,
                          "the step of `for` is 0"))
        return false;
    /* ceil((stop - start) / step), by floored division whatever the sign of the step */
    if (size_is_const(range->step, 1))
        length = array_arith(a, SIZE_SUB, stop, range->start);
    else
        length = array_arith(a, SIZE_SUB, zero,
                             array_arith(a, SIZE_DIV, array_arith(a, SIZE_SUB, range->start, stop), range->step));
    range->count = array_arith(a, SIZE_LARGER, length, zero);
    return true;
}

static void start_range(struct array *a, const struct ast_stmt *stmt, struct range *range) {
    range->slot = plan_add_slot(a->plan, NULL, TY_I64, 0);
    array_sink_slot(a, range->slot, node_int(a, TY_I64, 0), stmt->span);
}

static struct value range_goes_on(struct array *a, const struct ast_stmt *stmt, const struct range *range) {
    const struct size *k = size_scalar(&a->plan->sizes, range->slot);
    return array_wrap(a, node_op(a, OP_lt, TY_BOOL, node_size(a, k), node_size(a, range->count), NULL, stmt->span),
                      stmt->span);
}

static void set_index(struct array *a, const struct ast_stmt *stmt, const struct range *range) {
    const struct size *k = size_scalar(&a->plan->sizes, range->slot);
    const struct size *at = array_arith(a, SIZE_ADD, range->start, array_arith(a, SIZE_MUL, k, range->step));
    int variable = resolve_variable(a->scope->names, stmt->loop.name);
    if (variable >= 0) array_assign(a, variable, array_from_size(a, at, stmt->loop.name_span), stmt->loop.name_span);
}

static void next_position(struct array *a, const struct ast_stmt *stmt, const struct range *range) {
    const struct size *k = size_scalar(&a->plan->sizes, range->slot);
    struct value next = array_wrap(
        a, node_op(a, OP_add, TY_I64, node_size(a, k), node_int(a, TY_I64, 1), NULL, stmt->span), stmt->span);
    int from = array_store(a, &next, true);
    struct plan_step *step = array_step(a, STEP_COPY, stmt->span);
    step->slot = range->slot;
    step->source = from;
}

/* --- the loop -------------------------------------------------------------------------------------------------------
 */

static void walk_body(struct array *a, struct array_loop *loop, const struct range *range) {
    const struct ast_stmt *stmt = loop->stmt;
    struct plan_block *around = a->block;
    loop->next_scope = -1;
    if (has_continue(&stmt->loop.body)) {
        struct plan_step *step = array_step(a, STEP_SCOPE, stmt->span);
        loop->next_scope = step->scope = a->plan->n_scopes++;
        a->block = &step->block;
    }
    if (stmt->kind == AST_FOR) set_index(a, stmt, range);
    array_block(a, &stmt->loop.body);
    if (!a->unreachable) write_back(a, loop, false, stmt->span);
    array_end_stretch(a);
    a->block = around;
    a->unreachable = false;
    if (stmt->kind == AST_FOR) next_position(a, stmt, range);
}

/* What the variables are after the loop. */
static void leave(struct array *a, struct array_loop *loop, bool endless) {
    for (int k = 0; k < loop->n_variables; k++) {
        struct array_variable *variable = &a->scope->variables[loop->variables[k]];
        bool set = loop->missing[k] ? endless && loop->breaks && !loop->unset[k] : loop->phis[k].slot >= 0;
        if (set && loop->carried[k] && loop->phis[k].slot >= 0) {
            variable->value = array_from_phi(a, &loop->phis[k], loop->stmt->span);
            variable->set = true;
        } else if (loop->carried[k] && !loop->missing[k]) {
            variable->value = value_error(loop->stmt->span); /* reported */
        } else {
            variable->set = false;
        }
    }
    a->unreachable = endless && !loop->breaks;
}

void array_for_while(struct array *a, const struct ast_stmt *stmt) {
    struct array_loop loop = {.outer = a->scope->loop, .stmt = stmt};
    struct range range = {.slot = -1};
    if (stmt->kind == AST_FOR && !make_range(a, stmt, &range)) { /* the body is still looked at, once */
        range.start = range.count = array_const(a, 0);
        range.step = array_const(a, 1);
    }
    loop_variables(a, &loop);
    enter(a, &loop);
    if (stmt->kind == AST_FOR) start_range(a, stmt, &range);

    struct plan_block *outside = a->block;
    int facts = a->n_facts;
    struct plan_step *scope = array_step(a, STEP_SCOPE, stmt->span);
    loop.scope = scope->scope = a->plan->n_scopes++;
    a->block = &scope->block;
    struct plan_step *forever = array_step(a, STEP_LOOP, stmt->span);
    a->block = &forever->block;
    a->scope->loop = &loop;
    a->scope->control++;
    a->conditional++;
    read_slots(a, &loop);

    const struct ast_expr *e = stmt->kind == AST_WHILE ? stmt->loop.condition : NULL;
    bool endless = e && e->kind == AST_BOOL && e->boolean;
    if (!endless) {
        struct value condition = e ? array_condition(a, e, "`while`") : range_goes_on(a, stmt, &range);
        int slot = array_store(a, &condition, false);
        struct plan_step *step = array_step(a, STEP_IF, e ? e->span : stmt->span);
        step->condition = slot;
        plan_add_step(a->plan, &step->other, STEP_LEAVE, stmt->span)->scope = loop.scope;
    }
    walk_body(a, &loop, &range);
    array_end_stretch(a);
    a->scope->control--;
    a->conditional--;
    a->scope->loop = loop.outer;
    a->block = outside;
    a->n_facts = facts;
    leave(a, &loop, endless);
}
