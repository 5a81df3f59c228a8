/* scalar.c: instances of ufuncs. A body is walked as often as it takes for the types of its weak variables to settle;
 * the last walk counts, with its messages.
 */
#include "frontend/scalar_parts.h"

#include <string.h>

struct ufunc_made {
    struct ufunc_argument *arguments;
    int n_arguments;
    struct ufunc_instance *instance; /* NULL: failed, with `errors` */
    struct diag_list errors;
    struct ufunc_made *next;
};

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static bool refuse(struct elab *elab, const struct ast_function *function, const struct ast_parameter *parameter,
                   struct span span, const char *why) {
    diag_add(elab->diags, DIAG_TYPE, span, "`%s` takes `%s` %s", function->name, parameter->name, why);
    return false;
}

static const char *argument_text(struct arena *arena, const struct ufunc_argument *argument) {
    struct value v = {.kind = argument->whole ? VALUE_WHOLE : VALUE_NUMBER, .type = argument->type};
    if (!argument->whole) v.type.rank = 0;
    return value_type_text(arena, &v);
}

/* One argument against its declaration; `argument` becomes what the body sees. False after a message. */
static bool accept(struct elab *elab, const struct ast_function *function, int i, struct ufunc_argument *argument,
                   struct span span) {
    const struct ast_parameter *parameter = &function->parameters[i];
    const struct ast_type *type = parameter->type;
    const char *have = argument_text(elab->arena, argument);
    if (!argument->whole) argument->type.rank = 0;
    if (!type) {
        if (argument->whole && function->is_ufunc)
            return refuse(elab, function, parameter, span,
                          "as one element; declare it with brackets (`[n]`) to pass a whole array");
        return true;
    }
    enum dtype dtype = type->element ? dtype_from_name(type->element) : TY_NONE;
    if (type->element && (dtype == TY_NONE || dtype == TY_F16))
        return refuse(elab, function, parameter, type->element_span,
                      arena_printf(elab->arena, "as `%s`, which is no type of this version", type->element));
    if (type->is_array) {
        if (!argument->whole)
            return refuse(elab, function, parameter, span, arena_printf(elab->arena, "whole, and gets %s", have));
        if (argument->type.rank != type->n_dims)
            return refuse(elab, function, parameter, span,
                          arena_printf(elab->arena, "with %d dimension%s, and gets %s", type->n_dims,
                                       type->n_dims == 1 ? "" : "s", have));
        if (dtype != TY_NONE && dtype != argument->type.dtype)
            return refuse(elab, function, parameter, span,
                          arena_printf(elab->arena, "as an array of %s, and gets %s", dtype_name(dtype), have));
        return true;
    }
    bool fits = !argument->whole;
    if (argument->type.weak == WEAK_FLOAT)
        fits = fits && dtype_is_float(dtype);
    else if (argument->type.weak == WEAK_INT)
        fits = fits && dtype != TY_BOOL;
    else
        fits = fits && dtype_converts_safely(argument->type.dtype, dtype);
    if (!fits)
        return refuse(elab, function, parameter, span,
                      arena_printf(elab->arena, "as %s, and gets %s, which does not convert to it safely",
                                   dtype_name(dtype), have));
    /* The caller converts; a constant that does not fit is reported there. */
    argument->type = (struct type){dtype, STRONG, 0};
    argument->is_const = false;
    return true;
}

static bool same_argument(const struct ufunc_argument *a, const struct ufunc_argument *b) {
    if (a->whole != b->whole || a->type.dtype != b->type.dtype || a->type.weak != b->type.weak ||
        a->type.rank != b->type.rank || a->is_const != b->is_const)
        return false;
    if (!a->is_const) return true;
    if (a->type.weak == WEAK_INT)
        return a->constant.negative == b->constant.negative && a->constant.magnitude == b->constant.magnitude;
    return memcmp(&a->constant.real, &b->constant.real, sizeof a->constant.real) == 0;
}

/* --- one walk ----------------------------------------------------------------------------------------------------- */

static struct value argument_value(struct scalar *s, int i, int *n_scalars, int *n_whole) {
    const struct ufunc_argument *argument = &s->arguments[i];
    struct span span = i < s->function->n_parameters ? s->function->parameters[i].name_span : s->function->name_span;
    if (argument->whole) {
        int whole = (*n_whole)++;
        s->whole[whole].type = argument->type.dtype;
        s->whole[whole].rank = argument->type.rank;
        s->whole[whole].declared = i < s->function->n_parameters ? s->function->parameters[i].type : NULL;
        return (struct value){.kind = VALUE_WHOLE,
                              .type = {argument->type.dtype, STRONG, argument->type.rank},
                              .span = span,
                              .whole = whole};
    }
    struct ir_value *param = s->top->params[(*n_scalars)++];
    if (argument->is_const) {
        struct value v = argument->constant;
        v.span = span;
        v.product = false;
        return v;
    }
    return scalar_wrap(param, argument->type, span);
}

static void bind_sizes(struct scalar *s, const struct ast_type *type, int whole) {
    for (int d = 0; type && d < type->n_dims; d++) {
        if (type->dims[d].kind != AST_DIM_NAME) continue;
        int slot = resolve_variable(s->scope, type->dims[d].name);
        if (slot < 0 || s->env[slot]) continue;
        struct value size = scalar_weak_int(scalar_length(s, whole, d), type->dims[d].span);
        scalar_assign(s, slot, type->dims[d].name, &size);
    }
}

static void bind(struct scalar *s) {
    int n_scalars = 0, n_whole = 0;
    memset(s->whole, 0, (size_t)s->n_whole * sizeof *s->whole);
    for (int i = 0; i < s->function->n_parameters; i++) {
        const struct ast_parameter *parameter = &s->function->parameters[i];
        struct value v = argument_value(s, i, &n_scalars, &n_whole);
        int slot = resolve_variable(s->scope, parameter->name);
        if (slot < 0) continue;
        if (v.kind == VALUE_WHOLE)
            scalar_put(s, slot, v);
        else
            scalar_assign(s, slot, parameter->name, &v);
    }
    for (int i = 0; i < s->scope->n_reads; i++)
        s->globals[i] = argument_value(s, s->function->n_parameters + i, &n_scalars, &n_whole);
    for (int i = 0; i < s->function->n_parameters; i++) {
        int slot = resolve_variable(s->scope, s->function->parameters[i].name);
        if (slot >= 0 && s->env[slot] && s->env[slot]->kind == VALUE_WHOLE)
            bind_sizes(s, s->function->parameters[i].type, s->env[slot]->whole);
    }
}

static void walk(struct scalar *s, int n_params, const enum dtype *param_types) {
    memset(s->env, 0, (size_t)s->n_slots * sizeof *s->env);
    for (int i = 0; i < s->n_slots; i++) {
        struct scalar_join *join = &s->joins[i];
        *join = (struct scalar_join){.hinted = join->known, .hint = join->type};
    }
    s->memo = s->constants = (struct scalar_memo){0};
    s->n_journal = 0;
    s->loop_level = s->n_guards = 0;
    s->changed = false;
    scalar_emit_start(s, n_params, param_types);
    bind(s);
    scalar_put(s, s->slot_returned,
               scalar_wrap(scalar_bool(s, false), (struct type){TY_BOOL, STRONG, 0}, s->function->name_span));
    if (s->function->value) {
        struct value v = scalar_expr(s, s->function->value);
        scalar_return(s, &v, s->function->value->span);
    } else {
        scalar_block(s, &s->function->body);
    }
    bool known, returned = false;
    known = scalar_known(s->env[s->slot_returned]->scalar, &returned);
    if (s->n_results == 0 || s->emit.diags->count > 0) return;
    if (s->n_results < 0)
        diag_add(s->emit.diags, DIAG_TYPE, s->function->name_span, "`%s` returns nothing", s->function->name);
    else if (!known || !returned)
        diag_add(s->emit.diags, DIAG_TYPE, s->function->name_span, "`%s` may end without `return`", s->function->name);
}

/* The body's constants and sizes before all else, and its results. */
static void close_body(struct scalar *s, struct ufunc_instance *instance) {
    struct ir_region *body = s->top;
    int n = s->pool->n_values + body->n_values;
    struct ir_value **values = ARENA_ARRAY(s->arena, struct ir_value *, n);
    if (s->pool->n_values) memcpy(values, s->pool->values, (size_t)s->pool->n_values * sizeof *values);
    if (body->n_values) memcpy(values + s->pool->n_values, body->values, (size_t)body->n_values * sizeof *values);

    /* What follows from a strong argument is strong, even where all that is returned are literals. */
    bool weak = true;
    for (int i = 0; i < s->function->n_parameters + s->scope->n_reads; i++)
        weak = weak && !s->arguments[i].whole && s->arguments[i].type.weak;
    struct ir_value **results = ARENA_ARRAY(s->arena, struct ir_value *, s->n_results);
    instance->n_results = s->n_results;
    instance->results = ARENA_ARRAY(s->arena, struct type, s->n_results);
    body->values = values;
    body->n_values = body->capacity = n;
    int n_pool = s->pool->n_values;
    for (int i = 0; i < s->n_results; i++) {
        instance->results[i] = s->joins[s->slot_results + i].type;
        if (!weak) instance->results[i].weak = STRONG;
        results[i] = scalar_slot_as(s, s->slot_results + i, instance->results[i].dtype);
    }
    /* Constants that the results have just asked for. */
    if (s->pool->n_values > n_pool) {
        int more = s->pool->n_values - n_pool;
        values = ARENA_ARRAY(s->arena, struct ir_value *, body->n_values + more);
        memcpy(values, s->pool->values + n_pool, (size_t)more * sizeof *values);
        if (body->n_values) memcpy(values + more, body->values, (size_t)body->n_values * sizeof *values);
        body->values = values;
        body->n_values = body->capacity = body->n_values + more;
    }
    body_set_results(s->arena, body, s->n_results, results);
    scalar_clean(s->arena, body);
}

static void report(struct diag_list *to, const struct diag_list *from) {
    for (int i = 0; i < from->count; i++)
        diag_add(to, from->items[i].code, from->items[i].span, "%s", from->items[i].text);
    to->dropped += from->dropped;
}

static struct ufunc_instance *make(struct elab *elab, const struct ast_function *function,
                                   const struct ufunc_argument *arguments) {
    const struct resolve_scope *scope = &elab->resolve->functions[function->index];
    int n_arguments = function->n_parameters + scope->n_reads, n_params = 0;
    struct scalar s = {.elab = elab,
                       .arena = elab->arena,
                       .ast = elab->ast,
                       .resolve = elab->resolve,
                       .function = function,
                       .scope = scope,
                       .arguments = arguments,
                       .n_results = -1};
    struct ufunc_instance *instance = ARENA_NEW(elab->arena, struct ufunc_instance);
    bool *constants = ARENA_ARRAY(elab->arena, bool, n_arguments);
    instance->constants = constants;
    instance->param_types = ARENA_ARRAY(elab->arena, enum dtype, n_arguments);
    for (int i = 0; i < n_arguments; i++) {
        if (arguments[i].whole) {
            s.n_whole++;
            continue;
        }
        constants[n_params] = arguments[i].is_const;
        instance->param_types[n_params++] = arguments[i].type.dtype;
    }
    s.n_variables = scope->n_variables;
    s.slot_returned = s.n_variables;
    s.slot_flags = s.slot_returned + 1;
    s.slot_results = s.slot_flags + 2 * scalar_loop_depth(&function->body);
    s.n_slots = s.slot_results + SCALAR_MAX_RESULTS;
    s.env = ARENA_ARRAY(s.arena, struct value *, s.n_slots);
    s.joins = ARENA_ARRAY(s.arena, struct scalar_join, s.n_slots);
    s.stamps = ARENA_ARRAY(s.arena, unsigned, s.n_slots);
    s.positions = ARENA_ARRAY(s.arena, int, s.n_slots);
    s.whole = ARENA_ARRAY(s.arena, struct scalar_whole, s.n_whole);
    s.globals = ARENA_ARRAY(s.arena, struct value, scope->n_reads);

    struct diag_list *outer = elab->diags, errors;
    for (int pass = 0; pass == 0 || s.changed; pass++) {
        diag_init(&errors, s.arena, outer->file, outer->source, outer->source_length);
        if (pass == SCALAR_MAX_PASSES) {
            diag_add(&errors, DIAG_TYPE, function->name_span,
                     "the types of the variables of `%s` do not settle; write one type", function->name);
            break;
        }
        elab->diags = &errors;
        walk(&s, n_params, instance->param_types);
        elab->diags = outer;
        if (elab->ufuncs->out_of_values) break;
    }
    report(outer, &errors);
    if (errors.count > 0 || elab->ufuncs->out_of_values) return NULL;

    diag_init(&errors, s.arena, outer->file, outer->source, outer->source_length);
    s.emit.diags = &errors;
    close_body(&s, instance);
    report(outer, &errors);
    if (errors.count > 0) return NULL;
    struct ir_function *made = ARENA_NEW(s.arena, struct ir_function);
    made->name = function->name;
    made->body = *s.top;
    made->n_whole = s.n_whole;
    made->whole = arena_array(s.arena, (size_t)s.n_whole, sizeof *made->whole);
    for (int i = 0; i < s.n_whole; i++) {
        made->whole[i].type = s.whole[i].type;
        made->whole[i].rank = s.whole[i].rank;
    }
    instance->n_values = body_number(&made->body);
    instance->function = made;
    return instance;
}

/* --- the cache ---------------------------------------------------------------------------------------------------- */

const struct ufunc_instance *ufunc_instantiate(struct elab *elab, const struct ast_function *function,
                                               const struct ufunc_argument *arguments, struct span call_span) {
    if (!elab->ufuncs) {
        elab->ufuncs = ARENA_NEW(elab->arena, struct ufunc_cache);
        elab->ufuncs->made = ARENA_ARRAY(elab->arena, struct ufunc_made *, elab->ast->n_functions);
    }
    int n = function->n_parameters + elab->resolve->functions[function->index].n_reads;
    struct ufunc_argument *seen = ARENA_ARRAY(elab->arena, struct ufunc_argument, n);
    for (int i = 0; i < n; i++) {
        seen[i] = arguments[i];
        if (!seen[i].whole) seen[i].type.rank = 0;
        if (!seen[i].type.weak) seen[i].is_const = false;
        if (i < function->n_parameters && !accept(elab, function, i, &seen[i], call_span)) return NULL;
    }
    struct ufunc_made **list = &elab->ufuncs->made[function->index];
    for (struct ufunc_made *made = *list; made; made = made->next) {
        bool same = true;
        for (int i = 0; i < n && same; i++) same = same_argument(&made->arguments[i], &seen[i]);
        if (!same) continue;
        report(elab->diags, &made->errors);
        return made->instance;
    }
    if (elab->depth >= SCALAR_MAX_CALLS) {
        diag_add(elab->diags, DIAG_LIMIT, call_span, "calls nest more than %d deep", SCALAR_MAX_CALLS);
        return NULL;
    }
    struct ufunc_made *made = ARENA_NEW(elab->arena, struct ufunc_made);
    struct diag_list *outer = elab->diags;
    diag_init(&made->errors, elab->arena, outer->file, outer->source, outer->source_length);
    elab->depth++;
    elab->diags = &made->errors;
    made->instance = make(elab, function, seen);
    elab->diags = outer;
    elab->depth--;
    report(outer, &made->errors);
    made->arguments = seen;
    made->n_arguments = n;
    made->next = *list;
    *list = made;
    return made->instance;
}
