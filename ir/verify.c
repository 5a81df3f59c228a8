/* verify.c: what graphs and plans must keep to. */
#include "ir/verify.h"

#include "ir/verify_internal.h"

/* --- graphs ------------------------------------------------------------------------------------------------------- */

struct graph_check {
    const struct graph *graph;
    const struct plan *plan; /* NULL: slots and literals are not looked up */
    struct strbuf *why;
};

__attribute__((format(printf, 3, 4))) static bool fail(struct graph_check *check, const struct graph_node *node,
                                                       const char *format, ...) {
    va_list args;
    strbuf_puts(check->why, "graph: ");
    if (node) strbuf_printf(check->why, "%%%d (%s) ", node->id, op_info[node->op].name);
    va_start(args, format);
    strbuf_vprintf(check->why, format, args);
    va_end(args);
    return false;
}

/* True if `size` is a node of the graph's own table. */
static bool owns_size(const struct graph_check *check, const struct size *size) {
    const struct size_table *table = check->graph->sizes;
    return size && size->id >= 0 && size->id < table->count && table->items[size->id] == size;
}

static bool has_node(const struct graph_check *check, const struct graph_node *node, int before) {
    return node && node->id >= 0 && node->id < before && check->graph->nodes[node->id] == node;
}

static bool same_shape(const struct graph_node *a, const struct graph_node *b) {
    if (a->rank != b->rank) return false;
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return true;
}

static bool check_rank(struct graph_check *check, const struct graph_node *node, int n_args) {
    if (node->n_args != n_args) return fail(check, node, "has %d operands", node->n_args);
    return true;
}

/* Operands of the node's shape or rank 0. */
static bool check_shapes(struct graph_check *check, const struct graph_node *node) {
    bool carried = node->rank == 0 || node->op == OP_call;
    for (int i = 0; i < node->n_args; i++) {
        if (node->args[i]->rank == 0) continue;
        if (!same_shape(node, node->args[i])) return fail(check, node, "has operand %d of another shape", i);
        carried = true;
    }
    return carried || fail(check, node, "has a shape that no operand has");
}

static bool check_view(struct graph_check *check, const struct graph_node *node) {
    if (!check_rank(check, node, 1)) return false;
    if (!node->map || node->map->source_rank != node->args[0]->rank)
        return fail(check, node, "maps another rank than its operand's");
    if (node->type != node->args[0]->type) return fail(check, node, "has another type than its operand");
    for (int d = 0; d < node->map->source_rank; d++) {
        const struct view_axis *axis = &node->map->axis[d];
        if (!owns_size(check, axis->offset)) return fail(check, node, "has a foreign size");
        for (int t = 0; t < axis->n_terms; t++) {
            if (axis->terms[t].dim < 0 || axis->terms[t].dim >= node->rank)
                return fail(check, node, "uses dimension %d", axis->terms[t].dim);
            if (!owns_size(check, axis->terms[t].coef)) return fail(check, node, "has a foreign size");
        }
    }
    return true;
}

static bool check_reduce(struct graph_check *check, const struct graph_node *node) {
    if (node->reduce >= REDUCE_COUNT_) return fail(check, node, "is no reduction");
    if (!check_rank(check, node, verify_reduction_args(node->reduce))) return false;
    const struct graph_node *x = node->args[0];
    /* `counts` of var may be one scalar for all. */
    if (node->n_args > 1 && node->args[1]->rank > 0 && !same_shape(x, node->args[1]))
        return fail(check, node, "has operands of different shapes");
    const char *wrong =
        verify_reduction(node->reduce, node->type, x->type, node->n_args > 1 ? node->args[1]->type : TY_NONE);
    if (wrong) return fail(check, node, "%s", wrong);
    if (node->axes >> x->rank) return fail(check, node, "reduces a dimension that is not there");
    int rank = 0;
    for (int d = 0; d < x->rank; d++) {
        if (node->axes >> d & 1) continue;
        if (rank >= node->rank || node->shape[rank] != x->shape[d])
            return fail(check, node, "has another shape than what it keeps");
        rank++;
    }
    return rank == node->rank || fail(check, node, "has another rank than what it keeps");
}

static bool check_call(struct graph_check *check, const struct graph_node *node) {
    const struct ir_function *f = node->function;
    if (!f) return fail(check, node, "has no function");
    if (f->body.n_params != node->n_args || f->n_whole != node->n_whole)
        return fail(check, node, "has another number of arguments than `%s`", f->name);
    for (int i = 0; i < node->n_args; i++)
        if (node->args[i]->type != f->body.params[i]->type)
            return fail(check, node, "has argument %d of another type", i);
    for (int i = 0; i < node->n_whole; i++) {
        if (!has_node(check, node->whole[i], node->id))
            return fail(check, node, "has a whole array that does not precede it");
        if (node->whole[i]->type != f->whole[i].type || node->whole[i]->rank != f->whole[i].rank)
            return fail(check, node, "has whole array %d of another type or rank", i);
    }
    if (node->imm.i < 0 || node->imm.i >= f->body.n_results) return fail(check, node, "has no such result");
    if (f->body.results[node->imm.i]->type != node->type) return fail(check, node, "has another type than its result");
    return check_shapes(check, node);
}

static bool check_structure(struct graph_check *check, const struct graph_node *node) {
    const struct plan *plan = check->plan;
    const char *wrong;
    switch (node->op) {
    case OP_const:
        wrong = verify_const(node->type, node->imm.u);
        if (wrong) return fail(check, node, "%s", wrong);
        return node->rank == 0 || fail(check, node, "has a shape");
    case OP_size:
        if (node->rank != 0 || node->type != TY_I64) return fail(check, node, "is no i64 scalar");
        return owns_size(check, node->imm.size) || fail(check, node, "has a foreign size");
    case OP_index:
        if (node->type != TY_I64) return fail(check, node, "is no i64");
        return (node->imm.i >= 0 && node->imm.i < node->rank) || fail(check, node, "has no such dimension");
    case OP_input:
        if (!plan) return true;
        if (node->imm.i < 0 || node->imm.i >= plan->n_slots) return fail(check, node, "has no such slot");
        return (plan->slots[node->imm.i].type == node->type && plan->slots[node->imm.i].rank == node->rank) ||
               fail(check, node, "has another type or rank than its slot");
    case OP_literal:
        if (!plan) return true;
        if (node->imm.i < 0 || node->imm.i >= plan->n_literals) return fail(check, node, "has no such literal");
        return (plan->literals[node->imm.i].type == node->type && plan->literals[node->imm.i].rank == node->rank) ||
               fail(check, node, "has another type or rank than its literal");
    case OP_view: return check_view(check, node);
    case OP_reshape:
        if (!check_rank(check, node, 1)) return false;
        return node->type == node->args[0]->type || fail(check, node, "has another type than its operand");
    case OP_reduce: return check_reduce(check, node);
    case OP_call: return check_call(check, node);
    default: return fail(check, node, "cannot stand in a graph");
    }
}

static bool check_node(struct graph_check *check, const struct graph_node *node, int position) {
    if (!node || node->id != position) return fail(check, NULL, "node %d has another number", position);
    if ((int)node->op < 0 || node->op >= OP_COUNT) {
        strbuf_printf(check->why, "graph: %%%d is no operation", position);
        return false;
    }
    if (node->type == TY_NONE || node->rank < 0 || node->rank > TYPE_MAX_RANK)
        return fail(check, node, "has no type or rank");
    for (int d = 0; d < node->rank; d++)
        if (!owns_size(check, node->shape[d])) return fail(check, node, "has a foreign size");
    for (int i = 0; i < node->n_args; i++)
        if (!has_node(check, node->args[i], position))
            return fail(check, node, "has an operand that does not precede it");
    if (op_info[node->op].flags & OPF_STRUCTURE) return check_structure(check, node);
    enum dtype types[3];
    for (int i = 0; i < node->n_args && i < 3; i++) types[i] = node->args[i]->type;
    const char *wrong = verify_op(node->op, node->type, node->n_args, types);
    if (wrong) return fail(check, node, "%s", wrong);
    return check_shapes(check, node);
}

static bool check_sink(struct graph_check *check, const struct graph_sink *sink, int position) {
    const struct plan *plan = check->plan;
    static const char *const kinds[] = {"slot", "check", "print", "save", "assert", "load"};
    for (int i = 0; i < sink->n_nodes; i++)
        if (!has_node(check, sink->nodes[i], check->graph->n_nodes))
            return fail(check, NULL, "sink %d has a foreign node", position);
    int expected = sink->kind == SINK_CHECK || sink->kind == SINK_LOAD ? 0
                   : sink->kind == SINK_PRINT                          ? sink->n_nodes
                                                                       : 1;
    if (sink->n_nodes != expected)
        return fail(check, NULL, "sink %d (%s) has %d nodes", position, kinds[sink->kind], sink->n_nodes);
    switch (sink->kind) {
    case SINK_SLOT:
    case SINK_LOAD:
        if (sink->kind == SINK_LOAD && !sink->text) return fail(check, NULL, "sink %d loads no file", position);
        if (!plan) return true;
        if (sink->slot < 0 || sink->slot >= plan->n_slots)
            return fail(check, NULL, "sink %d has no slot %d", position, sink->slot);
        if (sink->kind == SINK_LOAD) return true;
        return (plan->slots[sink->slot].type == sink->nodes[0]->type &&
                plan->slots[sink->slot].rank == sink->nodes[0]->rank) ||
               fail(check, sink->nodes[0], "has another type or rank than slot %d", sink->slot);
    case SINK_CHECK:
        if (!sink->check || !sink->check->text) return fail(check, NULL, "sink %d has no check", position);
        if (!owns_size(check, sink->check->a) || !owns_size(check, sink->check->b))
            return fail(check, NULL, "sink %d has a foreign size", position);
        for (int i = 0; i < sink->check->n_sizes; i++)
            if (!owns_size(check, sink->check->sizes[i]))
                return fail(check, NULL, "sink %d has a foreign size", position);
        return true;
    case SINK_PRINT: {
        int nodes = 0;
        for (int i = 0; i < sink->n_items; i++) nodes += !sink->texts[i];
        return nodes == sink->n_nodes ||
               fail(check, NULL, "sink %d prints %d of %d nodes", position, nodes, sink->n_nodes);
    }
    case SINK_SAVE: return sink->text || fail(check, NULL, "sink %d saves to no file", position);
    case SINK_ASSERT:
        return (sink->nodes[0]->type == TY_BOOL && sink->nodes[0]->rank == 0) ||
               fail(check, NULL, "sink %d asserts no bool scalar", position);
    }
    return fail(check, NULL, "sink %d is none", position);
}

static bool check_graph(struct graph_check *check) {
    const struct graph *graph = check->graph;
    const struct ir_function *last = NULL; /* calls of one function mostly follow each other */
    for (int i = 0; i < graph->n_nodes; i++) {
        if (!check_node(check, graph->nodes[i], i)) return false;
        const struct ir_function *function = graph->nodes[i]->op == OP_call ? graph->nodes[i]->function : NULL;
        if (function && function != last && !verify_function(function, check->why)) return false;
        if (function) last = function;
    }
    for (int i = 0; i < graph->n_sinks; i++)
        if (!check_sink(check, graph->sinks[i], i)) return false;
    return true;
}

bool verify_graph(const struct graph *graph, struct strbuf *why) {
    struct graph_check check = {.graph = graph, .why = why};
    return check_graph(&check);
}

/* --- plans -------------------------------------------------------------------------------------------------------- */

struct plan_walk {
    const struct plan *plan;
    struct strbuf *why;
    int *scopes; /* ids of the enclosing scopes */
    int n_scopes, capacity;
};

__attribute__((format(printf, 2, 3))) static bool bad(struct plan_walk *walk, const char *format, ...) {
    va_list args;
    strbuf_puts(walk->why, "plan: ");
    va_start(args, format);
    strbuf_vprintf(walk->why, format, args);
    va_end(args);
    return false;
}

static const struct plan_slot *slot_of(const struct plan *plan, int slot) {
    return slot >= 0 && slot < plan->n_slots ? &plan->slots[slot] : NULL;
}

static bool check_block(struct plan_walk *walk, const struct plan_block *block);

static bool check_actions(struct plan_walk *walk, const struct plan_step *step) {
    for (int i = 0; i < step->n_actions; i++) {
        const struct plan_action *action = step->actions[i];
        if (action->kind == ACTION_KERNEL && !verify_kernel(action->launch->kernel, walk->why)) return false;
        if (action->kind == ACTION_SIZES &&
            (action->first < 0 || action->count < 0 || action->first + action->count > walk->plan->sizes.count))
            return bad(walk, "action %d has sizes that are not there", i);
        if ((action->kind == ACTION_SHARE || action->kind == ACTION_FREE) && !slot_of(walk->plan, action->slot))
            return bad(walk, "action %d has no slot %d", i, action->slot);
        if (action->kind == ACTION_ROWS && !action->rows) return bad(walk, "action %d has no rows", i);
    }
    return true;
}

static bool check_step(struct plan_walk *walk, const struct plan_step *step) {
    const struct plan *plan = walk->plan;
    switch (step->kind) {
    case STEP_GRAPH: {
        struct graph_check check = {.graph = step->graph, .plan = plan, .why = walk->why};
        if (!step->graph || step->graph->sizes != &plan->sizes) return bad(walk, "a graph has sizes of its own");
        return check_graph(&check) && check_actions(walk, step);
    }
    case STEP_IF: {
        const struct plan_slot *slot = slot_of(plan, step->condition);
        if (!slot || slot->type != TY_BOOL || slot->rank != 0)
            return bad(walk, "an if depends on slot %d, no bool scalar", step->condition);
        return check_block(walk, &step->block) && check_block(walk, &step->other);
    }
    case STEP_LOOP: return check_block(walk, &step->block);
    case STEP_SCOPE: {
        if (step->scope < 0 || step->scope >= plan->n_scopes) return bad(walk, "scope %d is not there", step->scope);
        for (int i = 0; i < walk->n_scopes; i++)
            if (walk->scopes[i] == step->scope) return bad(walk, "scope %d stands in itself", step->scope);
        ARENA_PUSH(walk->why->arena, walk->scopes, walk->n_scopes, walk->capacity) = step->scope;
        bool ok = check_block(walk, &step->block);
        walk->n_scopes--;
        return ok;
    }
    case STEP_LEAVE:
        for (int i = 0; i < walk->n_scopes; i++)
            if (walk->scopes[i] == step->scope) return true;
        return bad(walk, "leaves scope %d from outside", step->scope);
    case STEP_COPY: {
        const struct plan_slot *to = slot_of(plan, step->slot), *from = slot_of(plan, step->source);
        if (!to || !from) return bad(walk, "copies slot %d to %d", step->source, step->slot);
        return (to->type == from->type && to->rank == from->rank) ||
               bad(walk, "copies slot %d to %d of another type or rank", step->source, step->slot);
    }
    }
    return bad(walk, "a step is none");
}

static bool check_block(struct plan_walk *walk, const struct plan_block *block) {
    for (int i = 0; i < block->n_steps; i++)
        if (!check_step(walk, block->steps[i])) return false;
    return true;
}

bool verify_plan(const struct plan *plan, struct strbuf *why) {
    struct plan_walk walk = {.plan = plan, .why = why};
    for (int i = 0; i < plan->n_slots; i++) {
        const struct plan_slot *slot = &plan->slots[i];
        if (slot->type == TY_NONE || slot->rank < 0 || slot->rank > TYPE_MAX_RANK)
            return bad(&walk, "slot %d has no type or rank", i);
        if (slot->input >= plan->n_inputs) return bad(&walk, "slot %d is no input", i);
    }
    for (int i = 0; i < plan->n_inputs; i++) {
        const struct plan_slot *slot = slot_of(plan, plan->input_slots[i]);
        if (!slot || slot->input != i) return bad(&walk, "input %d has no slot", i);
    }
    for (int i = 0; i < plan->n_outputs; i++)
        if (!slot_of(plan, plan->output_slots[i])) return bad(&walk, "output %d has no slot", i);
    return check_block(&walk, &plan->body) && verify_rows(plan, why);
}
