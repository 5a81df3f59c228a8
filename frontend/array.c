/* array.c: runs a program for the bindings of its inputs: walks until types settle, blocks, statements, results. */
#include "frontend/array.h"

#include <string.h>

enum {
    MAX_WALKS = 60,         /* each raises a join; only programs made for it need more than three */
    DEFAULT_NODES = 200000, /* limits.graph_nodes */
    WORK_PER_NODE = 4,      /* expressions in inlined calls, for calls that multiply without making nodes */
    MAX_NESTING = 800,      /* of expressions and blocks on the C stack, inlined ones included */
};

const char *array_quote(struct array *a, struct span span) {
    return ast_text(a->arena, a->ast, span);
}

bool array_budget(struct array *a, struct span span) {
    struct elab *elab = a->elab;
    if (elab->out_of_budget) return false;
    int limit = elab->program->options->limits.graph_nodes;
    if (limit <= 0) limit = DEFAULT_NODES;
    elab->n_nodes = a->closed_nodes + (a->graph ? a->graph->n_nodes : 0);
    if (elab->n_nodes <= limit && a->work <= (int64_t)limit * WORK_PER_NODE && a->nesting < MAX_NESTING) return true;
    elab->out_of_budget = true;
    if (a->nesting >= MAX_NESTING)
        diag_add(a->diags, DIAG_LIMIT, span, "the program is nested too deeply here, functions called included");
    else
        diag_add(a->diags, DIAG_LIMIT, span,
                 "the program is too large: functions inlined, it has more than %d operations", limit);
    return false;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static bool block_returns(const struct ast_block *block, bool nested) {
    for (int i = 0; i < block->count; i++) {
        const struct ast_stmt *stmt = block->items[i];
        if (stmt->kind == AST_RETURN && nested) return true;
        if (stmt->kind == AST_IF) {
            for (int k = 0; k < stmt->branch.n_branches; k++)
                if (block_returns(&stmt->branch.bodies[k], true)) return true;
            if (block_returns(&stmt->branch.otherwise, true)) return true;
        } else if (stmt->kind == AST_WHILE || stmt->kind == AST_FOR) {
            if (block_returns(&stmt->loop.body, true)) return true;
        }
    }
    return false;
}

bool array_returns_early(const struct ast_block *body) {
    return block_returns(body, false);
}

/* One of several returns: fills the slot of result k. */
static void fill_result(struct array *a, int k, const struct value *value, struct span span) {
    struct array_scope *scope = a->scope;
    struct type *join = &scope->context->results[k];
    if (value->kind == VALUE_ERROR) return;
    if (value->kind != VALUE_NUMBER) {
        diag_add(a->diags, DIAG_TYPE, value->span, "`%s` is %s; a `return` inside of control flow returns numbers only",
                 array_quote(a, value->span), value_type_text(a->arena, value));
        return;
    }
    struct type type = value->type, before = *join;
    type.rank = before.rank = 0;
    struct type joined = before.dtype == TY_NONE ? type : elementwise_join(before, type);
    if (before.dtype != TY_NONE && (joined.dtype != before.dtype || joined.weak != before.weak)) a->changed = true;
    *join = joined;
    struct value converted = array_as(a, value, joined);
    struct graph_node *node = array_node(a, &converted);
    if (!node) return;
    if (!array_phi_add(a, &scope->phis[k], &converted)) {
        diag_add(a->diags, DIAG_SHAPE, value->span,
                 "`%s` has rank %d, but an earlier `return` gives a result of rank %d in its place",
                 array_quote(a, value->span), converted.type.rank, scope->phis[k].type.rank);
        return;
    }
    array_sink_slot(a, scope->phis[k].slot, node, span);
}

void array_return(struct array *a, int n, const struct value *values, struct span span) {
    struct array_scope *scope = a->scope;
    int expected = scope->function ? scope->names->n_results : a->elab->program->n_outputs;
    bool flat = expected != 1 || !scope->function; /* a program's results are no tuples */
    if (n == 1 && flat && values[0].kind == VALUE_TUPLE) {
        n = values[0].n_items;
        values = values[0].items;
    }
    bool error = n == 1 && values[0].kind == VALUE_ERROR;
    if (expected < 0 && scope->straight) expected = n; /* x.shape has as many items as x dimensions */
    if (expected < 0) {
        diag_add(a->diags, DIAG_TYPE, span,
                 "how many values this returns has to be seen from the text: write `x.shape[0]`");
        expected = 1;
        n = 0;
        error = true;
    }
    if (n != expected && !error)
        diag_add(a->diags, DIAG_TYPE, span, "this returns %d value%s, and elsewhere it is %d", n, n == 1 ? "" : "s",
                 expected);
    if (scope->straight) {
        scope->n_results = expected;
        scope->values = ARENA_ARRAY(a->arena, struct value, expected);
        for (int i = 0; i < expected; i++) scope->values[i] = i < n ? values[i] : value_error(span);
    } else {
        if (!scope->phis) {
            scope->n_results = expected;
            scope->phis = ARENA_ARRAY(a->arena, struct array_phi, expected);
            for (int i = 0; i < expected; i++) scope->phis[i].slot = -1;
        }
        for (int i = 0; i < n && i < expected; i++) fill_result(a, i, &values[i], span);
        array_leave(a, scope->scope, span);
        if (scope->control > 0 && !scope->left_early) a->conditional++;
        scope->left_early |= scope->control > 0;
    }
    scope->returned = true;
    a->unreachable = true;
}

bool array_results(struct array *a, struct array_scope *scope, struct value *results, struct span span) {
    if (!scope->returned) return false;
    for (int i = 0; i < scope->n_results; i++) {
        if (scope->straight)
            results[i] = scope->values[i];
        else
            results[i] = scope->phis[i].slot < 0 ? value_error(span) : array_from_phi(a, &scope->phis[i], span);
        results[i].product = false;
    }
    return true;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static struct value unsupported(struct array *a, struct span span, const char *what) {
    return array_error(a, DIAG_UNSUPPORTED, span, "%s is not available in this version", what);
}

static void assign_target(struct array *a, const struct ast_expr *target, struct value value, struct span span) {
    int variable = resolve_variable(a->scope->names, target->name);
    if (variable >= 0) array_assign(a, variable, value, span);
}

static void assign_several(struct array *a, const struct ast_stmt *stmt) {
    int n = stmt->assign.n_targets;
    struct value value = array_expr(a, stmt->assign.value);
    bool tuple = value.kind == VALUE_TUPLE;
    if (value.kind != VALUE_ERROR && (!tuple || value.n_items != n)) {
        diag_add(a->diags, DIAG_TYPE, stmt->assign.value->span, "%d names are assigned to, and `%s` is %s", n,
                 array_quote(a, stmt->assign.value->span),
                 tuple || value.kind != VALUE_NUMBER ? value_type_text(a->arena, &value) : "one value");
        tuple = false;
    }
    for (int i = 0; i < n; i++)
        assign_target(a, stmt->assign.targets[i], tuple ? value.items[i] : value_error(value.span), stmt->span);
}

static void run_assign(struct array *a, const struct ast_stmt *stmt) {
    if (stmt->assign.define || stmt->assign.n_ranges) {
        unsupported(a, stmt->span, "index notation (`:=`, `for i in a:b` after a value)");
        return;
    }
    for (int i = 0; i < stmt->assign.n_targets; i++) {
        if (stmt->assign.targets[i]->kind == AST_NAME) continue;
        unsupported(a, stmt->assign.targets[i]->span, "storing into a part of an array");
        return;
    }
    const struct ast_expr *target = stmt->assign.targets[0];
    if (stmt->assign.n_targets > 1) {
        assign_several(a, stmt);
    } else if (stmt->assign.op == AST_OP_NONE) {
        assign_target(a, target, array_expr(a, stmt->assign.value), stmt->span);
    } else {
        struct value left = array_expr(a, target), right = array_expr(a, stmt->assign.value);
        assign_target(a, target, array_binary(a, stmt->assign.op, left, right, stmt->span), stmt->span);
    }
}

static void run_return(struct array *a, const struct ast_stmt *stmt) {
    const struct ast_expr *e = stmt->expr;
    if (!e) {
        array_return(a, 0, NULL, stmt->span);
        return;
    }
    struct value value = array_expr(a, e);
    if (e->kind == AST_TUPLE && value.kind == VALUE_TUPLE)
        array_return(a, value.n_items, value.items, stmt->span);
    else
        array_return(a, 1, &value, stmt->span);
}

/* The last statement, whose value is the program's. */
static void run_result(struct array *a, const struct ast_stmt *stmt) {
    if (stmt->kind == AST_EXPR) {
        run_return(a, stmt);
        return;
    }
    run_assign(a, stmt);
    int n = stmt->assign.n_targets;
    struct value *values = ARENA_ARRAY(a->arena, struct value, n);
    for (int i = 0; i < n; i++) {
        const struct ast_expr *target = stmt->assign.targets[i];
        int variable = target->kind == AST_NAME ? resolve_variable(a->scope->names, target->name) : -1;
        values[i] = variable >= 0 ? array_read(a, a->scope, variable, target->span) : value_error(target->span);
    }
    array_return(a, n, values, stmt->span);
}

static void run_stmt(struct array *a, const struct ast_stmt *stmt) {
    if (a->scope == a->top && stmt == a->resolve->result_stmt) {
        run_result(a, stmt);
        return;
    }
    switch (stmt->kind) {
    case AST_ASSIGN: run_assign(a, stmt); break;
    case AST_EXPR: array_expr(a, stmt->expr); break;
    case AST_IF: array_if(a, stmt); break;
    case AST_WHILE:
    case AST_FOR: array_for_while(a, stmt); break;
    case AST_BREAK: array_break(a, false); break;
    case AST_CONTINUE: array_break(a, true); break;
    case AST_RETURN: run_return(a, stmt); break;
    case AST_ASSERT: array_assert(a, stmt); break;
    case AST_PARAM:
    case AST_FUNCTION: break;
    }
}

void array_block(struct array *a, const struct ast_block *block) {
    a->nesting++;
    for (int i = 0; i < block->count && !a->unreachable; i++)
        if (array_budget(a, block->items[i]->span)) run_stmt(a, block->items[i]);
    a->nesting--;
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

static void run_entry(struct array *a, const struct ast_function *entry) {
    int n = a->elab->program->n_inputs;
    struct value value = entry->is_ufunc ? array_lift(a, entry, n, a->inputs, entry->name_span)
                                         : array_inline(a, entry, UINT32_MAX, n, a->inputs, entry->name_span);
    array_return(a, 1, &value, entry->name_span);
}

static void set_outputs(struct array *a, struct span span) {
    const struct frontend_program *program = a->elab->program;
    struct plan *plan = a->plan;
    plan->n_outputs = program->n_outputs;
    plan->output_slots = ARENA_ARRAY(a->arena, int, program->n_outputs);
    plan->output_names = program->output_names;
    if (!program->n_outputs) return;
    if (!a->top->returned || (!a->top->straight && !a->unreachable)) {
        diag_add(a->diags, DIAG_TYPE, span,
                 "the program may end without a `return`, which gives its results elsewhere");
        return;
    }
    for (int i = 0; i < program->n_outputs; i++) {
        if (a->top->straight) {
            struct value *v = &a->top->values[i];
            if (v->kind != VALUE_NUMBER && v->kind != VALUE_ERROR)
                diag_add(a->diags, DIAG_TYPE, v->span, "an output must be a number or an array, and `%s` is %s",
                         array_quote(a, v->span), value_type_text(a->arena, v));
            plan->output_slots[i] = array_store(a, v, true);
        } else {
            plan->output_slots[i] = a->top->phis[i].slot;
        }
        if (plan->output_slots[i] >= 0) plan->slots[plan->output_slots[i]].name = program->output_names[i];
    }
}

static void run_program(struct array *a) {
    const struct ast_program *ast = a->ast;
    struct span end = {(uint32_t)ast->length, 0};
    array_inputs(a);
    if (!a->top->straight) {
        struct plan_step *step = array_step(a, STEP_SCOPE, (struct span){0, 0});
        a->top->scope = step->scope = a->plan->n_scopes++;
        a->block = &step->block;
    }
    if (ast->expression) {
        struct value value = array_expr(a, ast->expression);
        if (a->elab->program->formula) value = array_formula(a, ast->expression, value);
        array_return(a, 1, &value, ast->expression->span);
    } else if (a->resolve->entry) {
        run_entry(a, a->resolve->entry);
    } else {
        array_block(a, &ast->body);
    }
    set_outputs(a, end);
    array_end_stretch(a);
}

/* Everything that one walk makes, empty. */
static void start_walk(struct array *a) {
    struct plan *plan = a->plan;
    struct array fresh = {.elab = a->elab,
                          .arena = a->arena,
                          .plan = plan,
                          .diags = a->diags,
                          .ast = a->ast,
                          .resolve = a->resolve,
                          .bindings = a->bindings,
                          .contexts = a->contexts,
                          .uses = a->uses,
                          .work = a->work,
                          .elementwise = a->elementwise,
                          .block = &plan->body};
    *a = fresh;
    array_emitter(a);
    a->elab->ufuncs = NULL; /* so that errors in them are reported again */
    plan->n_slots = plan->n_literals = plan->n_scopes = 0;
    plan->body = (struct plan_block){0};
    size_table_init(&plan->sizes, a->arena);
    struct array_context *root = array_context_get(a, NULL, 0, &a->resolve->top, a->elab->program->n_outputs, 0, NULL);
    a->scope = a->top = array_scope_new(a, NULL, root);
    a->top->straight = a->ast->expression || !array_returns_early(&a->ast->body);
}

void array_program(struct elab *elab, const struct frontend_binding *bindings) {
    const struct frontend_program *program = elab->program;
    struct array a = {.elab = elab,
                      .arena = elab->arena,
                      .plan = elab->plan,
                      .diags = elab->diags,
                      .ast = elab->ast,
                      .resolve = elab->resolve,
                      .bindings = bindings,
                      .elementwise = program->formula && program->formula->elementwise};
    /* The context of the top level is found by the address of this struct. */
    int count = elab->diags->count, dropped = elab->diags->dropped;
    for (int walk = 0;; walk++) {
        start_walk(&a);
        run_program(&a);
        if (!a.changed || elab->out_of_budget) return;
        elab->diags->count = count;
        elab->diags->dropped = dropped;
        if (walk == MAX_WALKS) break;
    }
    diag_add(elab->diags, DIAG_LIMIT, (struct span){0, 0},
             "the types of the program's variables depend on each other too deeply");
}
