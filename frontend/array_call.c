/* array_call.c: calls: arguments, constants among them, and inlined functions. */
#include "frontend/array.h"

#include <string.h>

enum { MAX_DEPTH = 64 }; /* of inlined calls */

/* --- constant arguments ------------------------------------------------------------------------------------------- */

const struct ast_expr *array_keyword(const struct array_call *call, const char *keyword) {
    const struct ast_expr *e = call->expr;
    for (int i = e->call.n_positional; i < e->call.n_arguments; i++)
        if (strcmp(e->call.arguments[i].keyword, keyword) == 0) return e->call.arguments[i].value;
    return NULL;
}

bool array_constant_int(struct array *a, const struct value *v, int64_t *value) {
    (void)a;
    if (v->kind != VALUE_NUMBER || v->type.rank != 0 || !dtype_is_int(v->type.dtype)) return false;
    if (v->is_const) {
        if (!dtype_holds_int(TY_I64, v->negative, v->magnitude)) return false;
        *value = (int64_t)(v->negative ? -v->magnitude : v->magnitude);
        return true;
    }
    if (v->size && v->size->op == SIZE_CONST)
        *value = v->size->value;
    else if (v->node && v->node->op == OP_const)
        *value = v->node->imm.i;
    else
        return false;
    return true;
}

bool array_constant_bool(struct array *a, const struct value *v, bool *value) {
    (void)a;
    if (v->kind != VALUE_NUMBER || v->type.dtype != TY_BOOL || !v->node || v->node->op != OP_const) return false;
    *value = v->node->imm.i != 0;
    return true;
}

/* --- functions of the program ---------------------------------------------------------------------------------------
 */

/* The values of the results, held against the declared types. */
static struct value take_results(struct array *a, struct array_scope *scope, struct span span) {
    const struct ast_function *function = scope->function;
    int n = scope->n_results;
    struct value *values = ARENA_ARRAY(a->arena, struct value, n);
    if (!array_results(a, scope, values, span)) {
        if (scope->names->n_results <= 0) return (struct value){.kind = VALUE_NONE, .span = span};
        return array_error(a, DIAG_TYPE, function->name_span, "`%s` can end without a `return`", function->name);
    }
    if (function->n_results && function->n_results != n)
        return array_error(a, DIAG_TYPE, function->name_span, "`%s` declares %d results and returns %d", function->name,
                           function->n_results, n);
    for (int i = 0; i < n; i++) {
        const char *name = n == 1 ? arena_printf(a->arena, "the result of `%s`", function->name)
                                  : arena_printf(a->arena, "result %d of `%s`", i, function->name);
        if (i < function->n_results) values[i] = array_declared(a, scope, function->results[i], &values[i], name, span);
        values[i].span = span;
        values[i].product = false;
    }
    return n == 1 ? values[0] : array_tuple(a, n, values, span);
}

static void bind_parameters(struct array *a, struct array_scope *scope, const struct value *arguments) {
    const struct ast_function *function = scope->function;
    for (int i = 0; i < function->n_parameters; i++) {
        const struct ast_parameter *parameter = &function->parameters[i];
        struct value v = arguments[i];
        v.product = false;
        if (parameter->type)
            v = array_declared(a, scope, parameter->type, &v,
                               arena_printf(a->arena, "`%s` of `%s`", parameter->name, function->name), v.span);
        int variable = resolve_variable(scope->names, parameter->name);
        if (variable >= 0) array_assign(a, variable, v, v.span);
    }
}

struct value array_inline(struct array *a, const struct ast_function *function, uint32_t call_id, int n,
                          const struct value *arguments, struct span span) {
    if (n != function->n_parameters) return value_error(span);
    for (int i = 0; i < n; i++)
        if (arguments[i].kind == VALUE_ERROR) return value_error(span);
    if (a->elab->depth >= MAX_DEPTH)
        return array_error(a, DIAG_LIMIT, span, "functions call each other more than %d deep here", MAX_DEPTH);
    a->work += function->end_id - function->first_id + 1;
    const struct resolve_scope *names = &a->resolve->functions[function->index];
    struct array_context *context = array_context_get(a, a->scope->context, call_id, names,
                                                      names->n_results > 0 ? names->n_results : 0, n, arguments);
    struct array_scope *scope = array_scope_new(a, function, context), *caller = a->scope;
    scope->straight = function->value || !array_returns_early(&function->body);

    struct plan_block *block = a->block;
    int facts = a->n_facts;
    a->scope = scope;
    a->elab->depth++;
    bind_parameters(a, scope, arguments);
    if (!scope->straight) {
        struct plan_step *step = array_step(a, STEP_SCOPE, span);
        scope->scope = step->scope = a->plan->n_scopes++;
        a->block = &step->block;
    }
    if (function->value) {
        struct value v = array_expr(a, function->value);
        array_return(a, 1, &v, function->value->span);
    } else {
        array_block(a, &function->body);
    }
    bool open_end = !a->unreachable && names->n_results > 0 && scope->returned;
    a->unreachable = false;
    if (!scope->straight) {
        array_end_stretch(a);
        a->block = block;
        a->n_facts = facts; /* what was checked after a return is not known here */
    }
    struct value result;
    if (open_end) {
        result = array_error(a, DIAG_TYPE, function->name_span, "`%s` can end without a `return`", function->name);
    } else {
        result = take_results(a, scope, span);
    }
    a->elab->depth--;
    a->conditional -= scope->left_early;
    a->scope = caller;
    return result;
}

/* --- calls ----------------------------------------------------------------------------------------------------------
 */

static struct value call_operation(struct array *a, enum op op, const struct array_call *call) {
    const char *what = arena_printf(a->arena, "`%s`", call->name);
    for (int i = 0; i < call->n; i++)
        if (!array_is_number(a, &call->arguments[i], what)) return value_error(call->span);
    bool promotes = op_info[op].rule != RULE_COMPARE && op != OP_ldexp;
    int first = op == OP_select ? 1 : 0; /* the condition has a type of its own */
    if (promotes && !array_literals_fit(a, call->n - first, call->arguments + first)) return value_error(call->span);
    if (!array_align(a, call->n, call->arguments, call->span)) return value_error(call->span);
    struct value v = elementwise_call(&a->emit, op, call->n, call->arguments, call->span);
    v.span = call->span;
    v.product = false;
    return v;
}

static struct value call_len(struct array *a, const struct array_call *call) {
    const struct value *x = &call->arguments[0];
    if (x->kind == VALUE_ERROR) return value_error(call->span);
    if (x->kind == VALUE_TUPLE) return value_int(x->n_items, call->span);
    if (!array_is_number(a, x, "`len`")) return value_error(call->span);
    if (x->type.rank == 0)
        return array_error(a, DIAG_SHAPE, call->span, "`%s` is a scalar and has no length", array_quote(a, x->span));
    struct array_shape shape = array_value_shape(x);
    return array_from_size(a, shape.dim[0], call->span);
}

static struct value call_builtin(struct array *a, enum builtin builtin, const struct array_call *call) {
    const struct builtin_info *info = &builtin_info[builtin];
    if (info->group == BUILTIN_UNAVAILABLE)
        return array_error(a, DIAG_UNSUPPORTED, call->span, "`%s` is not available in this version", call->name);
    bool several = (builtin == BUILTIN_min || builtin == BUILTIN_max) && call->n > 1;
    if (a->elementwise && !several)
        return array_error(a, DIAG_TYPE, call->span, "`%s` is not allowed here: this formula is elementwise",
                           call->name);
    for (int i = 0; i < call->n; i++)
        if (call->arguments[i].kind == VALUE_ERROR) return value_error(call->span);
    switch (info->group) {
    case BUILTIN_REDUCE: return array_reduction(a, builtin, call);
    case BUILTIN_CREATE: return array_creation(a, builtin, call);
    case BUILTIN_SHAPE: return array_shaping(a, builtin, call);
    case BUILTIN_EFFECT: return array_effect(a, builtin, call);
    default: return call_len(a, call);
    }
}

struct value array_call(struct array *a, const struct ast_expr *e) {
    const struct ast_expr *callee = e->call.callee;
    if (e->call.n_indices)
        return array_error(a, DIAG_UNSUPPORTED, e->span, "index notation (`%s[…](…)`) is not available in this version",
                           array_quote(a, callee->span));
    if (callee->kind != AST_NAME)
        return array_error(a, DIAG_TYPE, callee->span, "only functions can be called, by name");
    const struct resolve_name *name = &a->resolve->names[callee->id];
    struct array_call call = {.expr = e, .name = callee->name, .n = e->call.n_positional, .span = e->span};
    call.arguments = ARENA_ARRAY(a->arena, struct value, call.n);
    for (int i = 0; i < call.n; i++) call.arguments[i] = array_expr(a, e->call.arguments[i].value);
    struct value v;
    switch (name->kind) {
    case NAME_OP: return call_operation(a, (enum op)name->index, &call);
    case NAME_BUILTIN: v = call_builtin(a, (enum builtin)name->index, &call); break;
    case NAME_DTYPE:
        if (call.n != 1 || call.arguments[0].kind == VALUE_ERROR) return value_error(e->span);
        v = elementwise_convert(&a->emit, (enum dtype)name->index, &call.arguments[0], e->span);
        break;
    case NAME_FUNCTION: {
        const struct ast_function *function = a->ast->functions[name->index];
        v = function->is_ufunc ? array_lift(a, function, call.n, call.arguments, e->span)
                               : array_inline(a, function, e->id, call.n, call.arguments, e->span);
        break;
    }
    case NAME_UNKNOWN: return value_error(e->span);
    default: return array_error(a, DIAG_TYPE, callee->span, "`%s` is a value and cannot be called", callee->name);
    }
    v.span = e->span;
    v.product = false;
    return v;
}
