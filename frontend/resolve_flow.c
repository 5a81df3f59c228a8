/* resolve_flow.c: what may be unset where it is read, how many values are returned, what the outputs are.
 *
 * One walk per scope, in the order of the text. `set` says of each variable whether it is set on every way here;
 * `trail` lists the variables in the order in which they became set, so that leaving a branch or a loop undoes what it
 * did. A loop may run zero times, so nothing is set by it (`while true`, too: what a loop carries out of it needs a
 * value before it); after an if that is set which all its branches set that come to their end.
 */
#include <string.h>

#include "frontend/resolve_state.h"

/* What a call of this function was last found to need: valid while trail[place] still has this serial. */
struct flow_passed {
    int place;
    uint64_t serial;
};

struct flow {
    struct resolver *r;
    struct resolve_scope *scope;
    const struct ast_function *function; /* NULL: top level */
    bool *set, *ever;                    /* by variable: set on every way here; set somewhere above */
    int *place;                          /* by variable: where in the trail */
    int *count;                          /* by variable: branches of the current if that set it */
    int *trail;
    uint64_t *serials, serial;
    int n_trail;
    bool dead;                  /* nothing comes here: after return, break, continue */
    bool breaks;                /* the innermost loop has a `break` that can be reached */
    struct flow_passed *passed; /* top level: by function */
    bool returns;               /* a return was seen */
    int n_results;              /* of the first */
    const char **names;         /* of the results where they are plain variables */
};

/* --- the state ---------------------------------------------------------------------------------------------------- */

static void flow_set(struct flow *flow, int variable) {
    flow->ever[variable] = true;
    if (flow->dead || flow->set[variable]) return;
    flow->set[variable] = true;
    flow->place[variable] = flow->n_trail;
    flow->serials[flow->n_trail] = ++flow->serial;
    flow->trail[flow->n_trail++] = variable;
}

static void flow_undo(struct flow *flow, int mark) {
    while (flow->n_trail > mark) flow->set[flow->trail[--flow->n_trail]] = false;
}

static void flow_unset(struct flow *flow, int variable, struct span span) {
    struct resolver *r = flow->r;
    const char *name = flow->scope->variables[variable];
    const char *why = "";
    if (flow->function && !flow->ever[variable] && resolve_variable(&r->resolve->top, name) >= 0)
        why = arena_printf(r->arena, ": `%s` assigns to it, so it is local there", flow->function->name);
    if (flow->ever[variable])
        resolve_report(r, DIAG_NAME, span, "`%s` may be unset here: not every way to this place sets it", name);
    else
        resolve_report(r, DIAG_NAME, span, "`%s` is read before it is set%s", name, why);
    flow_set(flow, variable); /* one error is enough */
}

/* A function reads the top level where it is called. */
static void flow_call(struct flow *flow, const struct ast_expr *call, int index) {
    struct resolver *r = flow->r;
    const struct resolve_scope *callee = &r->resolve->functions[index];
    struct flow_passed *passed = &flow->passed[index];
    if (flow->dead || callee->n_reads == 0) return;
    if (passed->serial && passed->place < flow->n_trail && flow->serials[passed->place] == passed->serial) return;
    int last = -1;
    for (int i = 0; i < callee->n_reads; i++) {
        int variable = callee->reads[i];
        if (!flow->set[variable]) {
            resolve_report(r, DIAG_NAME, call->span, "`%s` reads `%s`, which %s when it is called here",
                           r->ast->functions[index]->name, flow->scope->variables[variable],
                           flow->ever[variable] ? "may be unset" : "is not yet set");
            flow_set(flow, variable);
        }
        if (flow->place[variable] > last) last = flow->place[variable];
    }
    *passed = (struct flow_passed){last, flow->serials[last]};
}

static void flow_expr(struct flow *flow, const struct ast_expr *root) {
    struct resolver *r = flow->r;
    if (!root) return;
    for (uint32_t id = root->first_id; id <= root->id; id++) {
        const struct ast_expr *expr = r->ast->exprs[id];
        if (r->roles[id] == ROLE_SKIP) continue;
        if (expr->kind == AST_NAME) {
            struct resolve_name meaning = r->resolve->names[id];
            if (meaning.kind == NAME_VARIABLE && !flow->dead && !flow->set[meaning.index])
                flow_unset(flow, meaning.index, expr->span);
        } else if (expr->kind == AST_CALL && !flow->function && expr->call.callee->kind == AST_NAME) {
            struct resolve_name meaning = r->resolve->names[expr->call.callee->id];
            if (meaning.kind == NAME_FUNCTION) flow_call(flow, expr, meaning.index);
        }
    }
}

/* --- how many values ---------------------------------------------------------------------------------------------- */

/* Values of an expression; -1 if that shows only with the types. */
static int flow_values(struct flow *flow, const struct ast_expr *expr) {
    struct resolver *r = flow->r;
    if (!expr) return 0;
    switch (expr->kind) {
    case AST_TUPLE: return expr->list.count;
    case AST_ATTRIBUTE: {
        const struct ast_expr *base = expr->attribute.base;
        if (strcmp(expr->attribute.name, "shape") != 0) return 1;
        if (base->kind != AST_NAME || r->resolve->names[base->id].kind != NAME_INPUT) return -1;
        int rank = r->program->inputs[r->resolve->names[base->id].index].rank;
        return rank > 0 ? rank : -1;
    }
    case AST_CALL: {
        if (expr->call.callee->kind != AST_NAME) return 1;
        struct resolve_name callee = r->resolve->names[expr->call.callee->id];
        if (callee.kind == NAME_FUNCTION) return r->resolve->functions[callee.index].n_results;
        bool none = callee.kind == NAME_BUILTIN && (callee.index == BUILTIN_print || callee.index == BUILTIN_save);
        return none ? 0 : 1;
    }
    default: return 1;
    }
}

static const char *flow_plural(int n) {
    return n == 1 ? "" : "s";
}

static void flow_count_targets(struct flow *flow, const struct ast_stmt *stmt) {
    struct resolver *r = flow->r;
    const struct ast_expr *value = stmt->assign.value;
    int expected = stmt->assign.n_targets, found = flow_values(flow, value);
    if (r->roles[value->id] == ROLE_SKIP || found == expected || found < 0) return;
    /* A name or a choice may hold a shape: that shows only with the types. */
    if (found == 1 && (value->kind == AST_NAME || value->kind == AST_CONDITIONAL)) return;
    const char *text = ast_text(r->arena, r->ast, value->span);
    if (found == 0)
        resolve_report(r, DIAG_TYPE, value->span, "`%s` gives no value", text);
    else
        resolve_report(r, DIAG_TYPE, value->span, "%d name%s on the left, but `%s` gives %d value%s", expected,
                       flow_plural(expected), text, found, flow_plural(found));
}

/* The name of one result, if it is a variable's. */
static const char *flow_name(struct resolver *r, const struct ast_expr *expr) {
    if (expr->kind != AST_NAME) return NULL;
    enum name_kind kind = r->resolve->names[expr->id].kind;
    return kind == NAME_INPUT || kind == NAME_VARIABLE || kind == NAME_SIZE || kind == NAME_GLOBAL ? expr->name : NULL;
}

/* Another place where values leave the scope: all have to agree in count; names stay where they agree. `items` are the
 * values, one by one, if they are written so. */
static void flow_results(struct flow *flow, int count, struct ast_expr *const *items, struct span span) {
    struct resolver *r = flow->r;
    if (!flow->returns) {
        flow->returns = true;
        flow->n_results = count;
        flow->names = ARENA_ARRAY(r->arena, const char *, count > 0 ? count : 0);
        for (int i = 0; items && i < count; i++) flow->names[i] = flow_name(r, items[i]);
        return;
    }
    if (count >= 0 && flow->n_results >= 0 && count != flow->n_results) {
        resolve_report(r, DIAG_TYPE, span, "%d value%s here, but %d where %s returned before", count,
                       flow_plural(count), flow->n_results,
                       flow->function ? arena_printf(r->arena, "`%s`", flow->function->name) : "the program");
        return;
    }
    if (count < 0) flow->n_results = count;
    for (int i = 0; i < count && i < flow->n_results; i++)
        if (!items || flow->names[i] != flow_name(r, items[i])) flow->names[i] = NULL;
}

static void flow_result_expr(struct flow *flow, struct ast_expr *expr, struct span span) {
    int count = flow_values(flow, expr);
    bool tuple = expr && expr->kind == AST_TUPLE;
    bool single = expr && !tuple && count == 1;
    int declared = flow->function ? flow->function->n_results : 0;
    if (declared > 0 && count >= 0 && count != declared)
        resolve_report(flow->r, DIAG_TYPE, span, "`%s` is declared with %d result%s, but returns %d",
                       flow->function->name, declared, flow_plural(declared), count);
    flow_results(flow, declared > 0 ? declared : count,
                 declared > 0 && count != declared ? NULL
                 : tuple                           ? expr->list.items
                 : single                          ? &expr
                                                   : NULL,
                 span);
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static void flow_block(struct flow *flow, const struct ast_block *block);

/* What every branch sets is set afterwards. */
static void flow_branch_end(struct flow *flow, int mark, int *n_live) {
    if (!flow->dead) {
        for (int i = mark; i < flow->n_trail; i++) flow->count[flow->trail[i]]++;
        (*n_live)++;
    }
    flow->dead = false;
}

static void flow_if(struct flow *flow, const struct ast_stmt *stmt) {
    int mark = flow->n_trail, n_live = 0, n_touched = 0, capacity = 0, *touched = NULL;
    bool dead = flow->dead;
    int n_bodies = stmt->branch.n_branches + stmt->branch.has_else;
    for (int i = 0; i < n_bodies; i++) {
        if (i < stmt->branch.n_branches) {
            flow->dead = dead;
            flow_expr(flow, stmt->branch.conditions[i]);
            if (i == 0) mark = flow->n_trail; /* an unset name was reported, and counts as set */
        }
        flow->dead = dead;
        flow_block(flow, i < stmt->branch.n_branches ? &stmt->branch.bodies[i] : &stmt->branch.otherwise);
        if (!dead) flow_branch_end(flow, mark, &n_live);
        for (int t = mark; t < flow->n_trail; t++)
            if (!dead) ARENA_PUSH(flow->r->arena, touched, n_touched, capacity) = flow->trail[t];
        flow_undo(flow, mark);
    }
    flow->dead = dead || (n_live == 0 && stmt->branch.has_else);
    for (int t = 0; t < n_touched; t++) {
        int variable = touched[t];
        if (stmt->branch.has_else && n_live > 0 && flow->count[variable] == n_live) flow_set(flow, variable);
        flow->count[variable] = 0;
    }
}

static void flow_loop(struct flow *flow, const struct ast_stmt *stmt) {
    bool endless = stmt->kind == AST_WHILE && stmt->loop.condition->kind == AST_BOOL && stmt->loop.condition->boolean;
    bool dead = flow->dead, breaks = flow->breaks;
    if (stmt->kind == AST_WHILE) {
        flow_expr(flow, stmt->loop.condition);
    } else {
        flow_expr(flow, stmt->loop.start);
        flow_expr(flow, stmt->loop.stop);
        flow_expr(flow, stmt->loop.step);
    }
    int mark = flow->n_trail;
    flow->breaks = false;
    if (stmt->kind == AST_FOR) flow_set(flow, resolve_variable(flow->scope, stmt->loop.name));
    flow_block(flow, &stmt->loop.body);
    flow_undo(flow, mark);
    flow->dead = dead || (endless && !flow->breaks);
    flow->breaks = breaks;
}

static void flow_assign(struct flow *flow, const struct ast_stmt *stmt) {
    const struct resolve_name *names = flow->r->resolve->names;
    bool compound = stmt->assign.op != AST_OP_NONE && stmt->assign.targets[0]->kind == AST_NAME;
    if (compound && !flow->dead) {
        const struct ast_expr *target = stmt->assign.targets[0];
        if (!flow->set[names[target->id].index]) flow_unset(flow, names[target->id].index, target->span);
    }
    flow_expr(flow, stmt->assign.value);
    flow_count_targets(flow, stmt);
    for (int i = 0; i < stmt->assign.n_targets; i++) {
        const struct ast_expr *target = stmt->assign.targets[i];
        if (target->kind == AST_INDEX) target = target->index.base; /* reported: no second error about it */
        if (target->kind == AST_NAME) flow_set(flow, names[target->id].index);
    }
}

static void flow_stmt(struct flow *flow, const struct ast_stmt *stmt) {
    switch (stmt->kind) {
    case AST_ASSIGN: flow_assign(flow, stmt); break;
    case AST_EXPR: flow_expr(flow, stmt->expr); break;
    case AST_IF: flow_if(flow, stmt); break;
    case AST_WHILE:
    case AST_FOR: flow_loop(flow, stmt); break;
    case AST_BREAK:
        flow->breaks |= !flow->dead;
        flow->dead = true;
        break;
    case AST_CONTINUE: flow->dead = true; break;
    case AST_RETURN:
        flow_expr(flow, stmt->expr);
        flow_result_expr(flow, stmt->expr, stmt->expr ? stmt->expr->span : stmt->span);
        flow->dead = true;
        break;
    case AST_ASSERT: flow_expr(flow, stmt->assertion.condition); break;
    case AST_PARAM:
    case AST_FUNCTION: break;
    }
}

static void flow_block(struct flow *flow, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) flow_stmt(flow, block->items[i]);
}

/* --- scopes ------------------------------------------------------------------------------------------------------- */

static struct flow flow_start(struct resolver *r, struct resolve_scope *scope, int n_given) {
    struct flow flow = {.r = r, .scope = scope, .function = scope->function};
    int n = scope->n_variables;
    flow.set = ARENA_ARRAY(r->arena, bool, n);
    flow.ever = ARENA_ARRAY(r->arena, bool, n);
    flow.place = ARENA_ARRAY(r->arena, int, n);
    flow.count = ARENA_ARRAY(r->arena, int, n);
    flow.trail = ARENA_ARRAY(r->arena, int, n);
    flow.serials = ARENA_ARRAY(r->arena, uint64_t, n);
    for (int i = 0; i < n_given; i++) flow_set(&flow, i);
    for (int i = scope->first_size; i < scope->first_size + scope->n_sizes; i++) flow_set(&flow, i);
    return flow;
}

static void flow_function(struct resolver *r, const struct ast_function *function) {
    struct resolve_scope *scope = &r->resolve->functions[function->index];
    struct flow flow = flow_start(r, scope, function->n_parameters);
    if (function->value) {
        flow_expr(&flow, function->value);
        flow_result_expr(&flow, function->value, function->value->span);
        if (flow.n_results == 0)
            resolve_report(r, DIAG_TYPE, function->value->span, "`%s` gives no value",
                           ast_text(r->arena, r->ast, function->value->span));
    } else {
        flow_block(&flow, &function->body);
        bool wanted = function->is_ufunc || function->n_results > 0 || (flow.returns && flow.n_results != 0);
        if (wanted && !flow.dead)
            resolve_report(r, DIAG_TYPE, function->name_span,
                           flow.returns ? "`%s` may end without `return`"
                                        : "`%s` has no `return`, but has to give a value",
                           function->name);
        else if (function->is_ufunc && flow.returns && flow.n_results == 0)
            resolve_report(r, DIAG_TYPE, function->name_span, "`%s` is a ufunc and has to return a value",
                           function->name);
    }
    scope->n_results = function->n_results > 0 ? function->n_results : flow.n_results;
    if (function == r->resolve->entry) {
        r->program->n_outputs = scope->n_results;
        r->program->output_names = flow.names;
    }
}

/* The program runs to its end: its last statement gives the outputs. */
static void flow_last(struct flow *flow) {
    struct resolver *r = flow->r;
    struct resolve *resolve = r->resolve;
    const struct ast_block *body = &r->ast->body;
    const struct ast_stmt *last = NULL;
    for (int i = body->count; i-- > 0 && !last;)
        if (body->items[i]->kind != AST_FUNCTION && body->items[i]->kind != AST_PARAM) last = body->items[i];
    bool gives = last && (last->kind == AST_ASSIGN || (last->kind == AST_EXPR && flow_values(flow, last->expr) != 0));
    if (!gives) {
        if (flow->returns && flow->n_results != 0)
            resolve_report(r, DIAG_TYPE, last ? last->span : (struct span){0, 0},
                           "the program may end here, without the `return` that gives its outputs");
        return;
    }
    resolve->result_stmt = last;
    if (last->kind == AST_EXPR) {
        resolve->result = last->expr;
        flow_result_expr(flow, last->expr, last->expr->span);
    } else {
        flow_results(flow, last->assign.n_targets, last->assign.targets, last->span);
    }
}

static void flow_top(struct resolver *r) {
    struct flow flow = flow_start(r, &r->resolve->top, r->program->n_inputs);
    flow.passed = ARENA_ARRAY(r->arena, struct flow_passed, r->ast->n_functions);
    flow_block(&flow, &r->ast->body);
    if (!flow.dead) flow_last(&flow);
    r->program->n_outputs = flow.n_results;
    r->program->output_names = flow.names;
    const struct ast_block *body = &r->ast->body;
    if (flow.returns && flow.n_results == 0 && !r->program->has_effects)
        resolve_report(r, DIAG_TYPE, body->items[body->count - 1]->span,
                       "the program has no effect and returns nothing: write `return` with a value");
}

void resolve_flow(struct resolver *r) {
    /* Only in a recursion, which was reported, is one of these read before it is known. */
    for (int i = 0; i < r->ast->n_functions; i++) r->resolve->functions[i].n_results = -1;
    for (int i = 0; i < r->ast->n_functions; i++) flow_function(r, r->ast->functions[r->order[i]]);
    if (!r->resolve->entry) flow_top(r);
    if (r->program->n_outputs >= 0 || r->diags->count > 0) return;
    const struct ast_expr *result = r->resolve->result;
    resolve_report(
        r, DIAG_TYPE, result ? result->span : (struct span){0, 0},
        "how many outputs this gives is not known before the arrays are: write `x.shape[0]`, or give the input a type");
    r->program->n_outputs = 0;
}
