/* array_scope.c: variables: their types, where they are read, and what statements assign. */
#include "frontend/array.h"

#include <stdlib.h>
#include <string.h>

struct array_scope *array_scope_new(struct array *a, const struct ast_function *function,
                                    struct array_context *context) {
    struct array_scope *scope = ARENA_NEW(a->arena, struct array_scope);
    scope->function = function;
    scope->names = function ? &a->resolve->functions[function->index] : &a->resolve->top;
    scope->context = context;
    scope->uses = array_uses_of(a, function);
    scope->variables = ARENA_ARRAY(a->arena, struct array_variable, scope->names->n_variables);
    scope->straight = true;
    scope->scope = -1;
    return scope;
}

static bool same_arguments(const struct array_context *context, int n, const struct value *arguments) {
    if (context->n_arguments != n) return false;
    for (int i = 0; i < n; i++) {
        const struct type *x = &context->arguments[i], *y = &arguments[i].type;
        if (x->dtype != y->dtype || x->weak != y->weak || x->rank != y->rank) return false;
    }
    return true;
}

struct array_context *array_context_get(struct array *a, struct array_context *parent, uint32_t call,
                                        const struct resolve_scope *names, int n_results, int n_arguments,
                                        const struct value *arguments) {
    uintptr_t key = (uintptr_t)(parent ? (void *)parent : (void *)a);
    struct array_context *context = (struct array_context *)array_map_get(&a->contexts, key, call, 0);
    if (context && same_arguments(context, n_arguments, arguments)) return context;
    if (!context) {
        context = ARENA_NEW(a->arena, struct array_context);
        array_map_put(a->arena, &a->contexts, key, call, (intptr_t)context);
    }
    context->n_arguments = n_arguments;
    context->arguments = ARENA_ARRAY(a->arena, struct type, n_arguments);
    for (int i = 0; i < n_arguments; i++) context->arguments[i] = arguments[i].type;
    context->joins = ARENA_ARRAY(a->arena, struct type, names->n_variables);
    context->results = ARENA_ARRAY(a->arena, struct type, n_results);
    return context;
}

/* --- reads -------------------------------------------------------------------------------------------------------- */

struct use {
    int variable;
    uint32_t offset;
};

struct use_list {
    struct use *items;
    int count, capacity;
};

/* Names that a statement only writes are no reads. */
static void mark_targets(const struct ast_block *block, bool *target, uint32_t first) {
    for (int i = 0; i < block->count; i++) {
        const struct ast_stmt *stmt = block->items[i];
        switch (stmt->kind) {
        case AST_ASSIGN:
            for (int k = 0; k < stmt->assign.n_targets && stmt->assign.op == AST_OP_NONE; k++)
                if (stmt->assign.targets[k]->kind == AST_NAME) target[stmt->assign.targets[k]->id - first] = true;
            break;
        case AST_IF:
            for (int k = 0; k < stmt->branch.n_branches; k++) mark_targets(&stmt->branch.bodies[k], target, first);
            mark_targets(&stmt->branch.otherwise, target, first);
            break;
        case AST_WHILE:
        case AST_FOR: mark_targets(&stmt->loop.body, target, first); break;
        default: break;
        }
    }
}

static void add_use(struct array *a, struct use_list *uses, int variable, uint32_t offset) {
    if (variable < 0) return;
    ARENA_PUSH(a->arena, uses->items, uses->count, uses->capacity) = (struct use){variable, offset};
}

static void add_reads(struct array *a, struct use_list *uses, const struct resolve_scope *scope,
                      const struct ast_expr *e) {
    const struct resolve_name *name = &a->resolve->names[e->id];
    switch (name->kind) {
    case NAME_VARIABLE:
    case NAME_SIZE: add_use(a, uses, name->index, e->span.offset); break;
    case NAME_INPUT: add_use(a, uses, resolve_variable(scope, e->name), e->span.offset); break;
    case NAME_FUNCTION:
        if (scope->function) break; /* what it reads of the top level is nobody's variable here */
        const struct resolve_scope *callee = &a->resolve->functions[name->index];
        for (int i = 0; i < callee->n_reads; i++) add_use(a, uses, callee->reads[i], e->span.offset);
        break;
    default: break;
    }
}

static int compare_uses(const void *x, const void *y) {
    const struct use *p = x, *q = y;
    if (p->variable != q->variable) return p->variable < q->variable ? -1 : 1;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

static const struct array_uses *make_uses(struct array *a, const struct ast_function *function) {
    const struct ast_program *ast = a->ast;
    const struct resolve_scope *scope = function ? &a->resolve->functions[function->index] : &a->resolve->top;
    uint32_t first = function ? function->first_id : 0, end = function ? function->end_id : ast->n_exprs;
    bool *target = ARENA_ARRAY(a->arena, bool, end - first);
    mark_targets(function ? &function->body : &ast->body, target, first);

    struct use_list list = {0};
    int inner = 0; /* at top level, the bodies of functions are skipped */
    for (uint32_t id = first; id < end; id++) {
        while (!function && inner < ast->n_functions && id >= ast->functions[inner]->end_id) inner++;
        if (!function && inner < ast->n_functions && id >= ast->functions[inner]->first_id) continue;
        const struct ast_expr *e = ast->exprs[id];
        if (e->kind == AST_NAME && !target[id - first]) add_reads(a, &list, scope, e);
    }
    const struct ast_stmt *last = function ? NULL : a->resolve->result_stmt;
    for (int i = 0; last && last->kind == AST_ASSIGN && i < last->assign.n_targets; i++)
        if (last->assign.targets[i]->kind == AST_NAME)
            add_use(a, &list, resolve_variable(scope, last->assign.targets[i]->name), UINT32_MAX - 1);
    if (list.count) qsort(list.items, (size_t)list.count, sizeof *list.items, compare_uses);

    struct array_uses *uses = ARENA_NEW(a->arena, struct array_uses);
    uses->first = ARENA_ARRAY(a->arena, int, scope->n_variables + 1);
    uses->offsets = ARENA_ARRAY(a->arena, uint32_t, list.count);
    for (int i = 0; i < list.count; i++) {
        uses->offsets[i] = list.items[i].offset;
        uses->first[list.items[i].variable + 1] = i + 1;
    }
    for (int v = 0; v < scope->n_variables; v++)
        if (uses->first[v + 1] < uses->first[v]) uses->first[v + 1] = uses->first[v];
    return uses;
}

const struct array_uses *array_uses_of(struct array *a, const struct ast_function *function) {
    int at = function ? function->index + 1 : 0;
    if (!a->uses) a->uses = ARENA_ARRAY(a->arena, const struct array_uses *, a->ast->n_functions + 1);
    if (!a->uses[at]) a->uses[at] = make_uses(a, function);
    return a->uses[at];
}

bool array_read_in(const struct array_uses *uses, int variable, uint32_t from, uint32_t to) {
    int low = uses->first[variable], high = uses->first[variable + 1], end = high;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (uses->offsets[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && uses->offsets[low] < to;
}

static int find_variable(const struct array_loop *loop, int variable) {
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

bool array_live_after(struct array *a, int variable, const struct ast_stmt *stmt) {
    const struct array_scope *scope = a->scope;
    uint32_t after = stmt->span.offset + stmt->span.length;
    if (!scope->loop) return array_read_in(scope->uses, variable, after, UINT32_MAX);
    const struct span *loop = &scope->loop->stmt->span;
    if (array_read_in(scope->uses, variable, after, loop->offset + loop->length)) return true;
    int at = find_variable(scope->loop, variable);
    return at >= 0 && scope->loop->carried[at];
}

/* --- assignments -------------------------------------------------------------------------------------------------- */

struct name_list {
    int *items;
    int count, capacity;
};

static void collect_name(struct array *a, struct name_list *list, const char *name) {
    int variable = resolve_variable(a->scope->names, name);
    if (variable >= 0) ARENA_PUSH(a->arena, list->items, list->count, list->capacity) = variable;
}

static void collect(struct array *a, struct name_list *list, const struct ast_stmt *stmt);

static void collect_block(struct array *a, struct name_list *list, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) collect(a, list, block->items[i]);
}

static void collect(struct array *a, struct name_list *list, const struct ast_stmt *stmt) {
    switch (stmt->kind) {
    case AST_ASSIGN:
        for (int k = 0; k < stmt->assign.n_targets; k++)
            if (stmt->assign.targets[k]->kind == AST_NAME) collect_name(a, list, stmt->assign.targets[k]->name);
        break;
    case AST_IF:
        for (int k = 0; k < stmt->branch.n_branches; k++) collect_block(a, list, &stmt->branch.bodies[k]);
        collect_block(a, list, &stmt->branch.otherwise);
        break;
    case AST_FOR: collect_name(a, list, stmt->loop.name); /* fall through */
    case AST_WHILE: collect_block(a, list, &stmt->loop.body); break;
    default: break;
    }
}

static int compare_ints(const void *x, const void *y) {
    int p = *(const int *)x, q = *(const int *)y;
    return p < q ? -1 : p > q;
}

int array_assigned(struct array *a, const struct ast_stmt *stmt, int **variables) {
    struct name_list list = {0};
    collect(a, &list, stmt);
    if (list.count) qsort(list.items, (size_t)list.count, sizeof *list.items, compare_ints);
    int n = 0;
    for (int i = 0; i < list.count; i++)
        if (i == 0 || list.items[i] != list.items[i - 1]) list.items[n++] = list.items[i];
    *variables = list.items;
    return n;
}

/* --- types -------------------------------------------------------------------------------------------------------- */

struct value array_as(struct array *a, const struct value *v, struct type type) {
    struct value result = *v;
    result.product = false;
    if (v->kind != VALUE_NUMBER) return result;
    if (v->type.dtype == type.dtype && v->type.weak == type.weak) return result;
    if (type.weak == WEAK_FLOAT && v->is_const)
        return value_real(v->negative ? -(double)v->magnitude : (double)v->magnitude, v->span);
    if (v->type.weak && !type.weak && !array_literal_fits(a, v, type.dtype)) return value_error(v->span);
    result = array_wrap(a, value_as(&a->emit, v, type.dtype), v->span);
    if (result.kind == VALUE_NUMBER) result.type.weak = type.weak;
    return result;
}

static struct type join_types(struct type x, struct type y) {
    x.rank = y.rank = 0;
    return x.dtype == TY_NONE ? y : elementwise_join(x, y);
}

static bool same_type(struct type x, struct type y) {
    return x.dtype == y.dtype && x.weak == y.weak;
}

/* The type of a variable whose first value is weak, with one more value. */
static struct type join_variable(struct array *a, struct type *known, struct type type) {
    struct type join = join_types(*known, type);
    if (known->dtype != TY_NONE && !same_type(join, *known)) a->changed = true;
    return *known = join;
}

void array_assign(struct array *a, int variable, struct value value, struct span span) {
    struct array_scope *scope = a->scope;
    struct array_variable *v = &scope->variables[variable];
    const char *name = scope->names->variables[variable];
    if (value.kind == VALUE_STRING || value.kind == VALUE_NONE) {
        diag_add(a->diags, DIAG_TYPE, value.span,
                 value.kind == VALUE_STRING ? "a text can only be an argument"
                                            : "`%s` has no value that `%s` could have",
                 array_quote(a, value.span), name);
        value = value_error(span);
    }
    value.product = false;
    if (v->rebindable && scope->control == 0) { /* the name is used for something new */
        v->dtype = TY_NONE;
        v->weak_first = false;
    }
    v->rebindable = false;
    v->set = true;
    if (value.kind == VALUE_NUMBER) {
        if (v->dtype == TY_NONE && !v->weak_first) {
            v->weak_first = value.type.weak != STRONG;
            if (!v->weak_first) v->dtype = value.type.dtype;
        }
        if (v->weak_first) {
            value = array_as(a, &value, join_variable(a, &scope->context->joins[variable], value.type));
        } else if (value.type.weak ? array_takes(v->dtype, &value)
                                   : dtype_converts_safely(value.type.dtype, v->dtype)) {
            value = array_as(a, &value, (struct type){v->dtype, STRONG, 0});
        } else {
            diag_add(
                a->diags, DIAG_TYPE, span,
                "`%s` is %s and cannot become %s: a variable keeps its type; convert with %s(…), or use another name",
                name, dtype_name(v->dtype), dtype_name(value.type.dtype), dtype_name(v->dtype));
            value = value_error(span);
        }
    }
    v->value = value;
}

struct value array_read(struct array *a, struct array_scope *scope, int variable, struct span span) {
    const struct array_variable *v = &scope->variables[variable];
    if (!v->set) return array_error(a, DIAG_NAME, span, "`%s` may not be set here", scope->names->variables[variable]);
    struct value value = v->value;
    value.span = span;
    return value;
}

bool array_phi_add(struct array *a, struct array_phi *phi, const struct value *v) {
    struct array_shape shape = array_value_shape(v);
    if (phi->slot < 0) {
        phi->type = v->type;
        phi->slot = plan_add_slot(a->plan, NULL, v->type.dtype, v->type.rank);
        memcpy(phi->shape, shape.dim, sizeof phi->shape);
        return true;
    }
    if (phi->type.rank != v->type.rank) return false;
    for (int d = 0; d < shape.rank; d++)
        if (phi->shape[d] != shape.dim[d]) phi->shape[d] = NULL;
    return true;
}
