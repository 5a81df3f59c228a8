/* scalar_call.c: calls inside a ufunc, and what can be done with whole arrays there: measuring, indexing to one
 * element, passing on.
 */
#include "frontend/scalar_parts.h"

#include <string.h>

/* --- whole arrays ------------------------------------------------------------------------------------------------- */

static struct value shape_of(struct scalar *s, int whole, struct span span) {
    struct value v = {.kind = VALUE_TUPLE, .span = span, .n_items = s->whole[whole].rank};
    v.items = ARENA_ARRAY(s->arena, struct value, v.n_items);
    for (int d = 0; d < v.n_items; d++) v.items[d] = scalar_weak_int(scalar_length(s, whole, d), span);
    return v;
}

struct value scalar_attribute(struct scalar *s, const struct ast_expr *expr, const struct value *base) {
    const char *name = expr->attribute.name;
    if (base->kind == VALUE_ERROR) return *base;
    bool array = base->kind == VALUE_WHOLE;
    if (strcmp(name, "dtype") == 0 && (array || (base->kind == VALUE_NUMBER && !base->type.weak)))
        return (struct value){.kind = VALUE_DTYPE, .type = {base->type.dtype, STRONG, 0}, .span = expr->span};
    if (array && strcmp(name, "shape") == 0) return shape_of(s, base->whole, expr->span);
    const char *text = ast_text(s->arena, s->ast, expr->attribute.base->span);
    if (strcmp(name, "shape") == 0 || strcmp(name, "dtype") == 0 || (array && strcmp(name, "T") == 0))
        diag_add(s->emit.diags, DIAG_TYPE, expr->span, "`.%s` is not available for `%s`, which is %s inside `%s`", name,
                 text, array ? "a whole array" : value_type_text(s->arena, base), s->function->name);
    else
        diag_add(s->emit.diags, DIAG_NAME, expr->attribute.name_span,
                 "`%s` has no `.%s`; there are `.shape` and `.dtype`", text, name);
    return value_error(expr->span);
}

/* True if a subscript is written as a negative number: only such a one counts from the end. */
static bool is_literal_negative(const struct ast_expr *expr) {
    return expr->kind == AST_UNARY && expr->op == AST_SUB && expr->unary.operand->kind == AST_INT;
}

static bool is_integer(const struct value *v) {
    return v->kind == VALUE_NUMBER && dtype_is_int(v->type.dtype);
}

/* Subscript d as an i64; NULL after a message. */
static struct ir_value *subscript(struct scalar *s, const struct ast_expr *expr, int whole, int d) {
    struct value v = scalar_expr(s, expr);
    if (v.kind == VALUE_ERROR) return NULL;
    if (!is_integer(&v)) {
        diag_add(s->emit.diags, DIAG_TYPE, expr->span, "a subscript is an integer, and `%s` is %s",
                 ast_text(s->arena, s->ast, expr->span), value_type_text(s->arena, &v));
        return NULL;
    }
    struct ir_value *h = value_as(&s->emit, &v, TY_I64);
    if (!h || !is_literal_negative(expr)) return h;
    struct ir_value *args[2] = {scalar_length(s, whole, d), h};
    return scalar_op(s, OP_add, TY_I64, 2, args, expr->span);
}

static struct value tuple_item(struct scalar *s, const struct ast_expr *expr, const struct value *base) {
    const struct ast_subscript *sub = &expr->index.subscripts[0];
    if (expr->index.n_subscripts == 1 && sub->kind == AST_SUB_EXPR) {
        struct value v = scalar_expr(s, sub->expr);
        if (v.kind == VALUE_ERROR) return v;
        if (is_integer(&v) && v.is_const) {
            uint64_t n = (uint64_t)base->n_items;
            if (!v.negative && v.magnitude < n) return base->items[v.magnitude];
            if (v.negative && v.magnitude <= n) return base->items[n - v.magnitude];
            diag_add(s->emit.diags, DIAG_INDEX, sub->span, "`%s` has %d items, and `%s` is outside",
                     ast_text(s->arena, s->ast, expr->index.base->span), base->n_items,
                     ast_text(s->arena, s->ast, sub->span));
            return value_error(expr->span);
        }
    }
    diag_add(s->emit.diags, DIAG_TYPE, sub->span, "an item of `%s` is chosen by one constant integer",
             ast_text(s->arena, s->ast, expr->index.base->span));
    return value_error(expr->span);
}

struct value scalar_index(struct scalar *s, const struct ast_expr *expr, const struct value *base) {
    const char *text = ast_text(s->arena, s->ast, expr->index.base->span);
    if (base->kind == VALUE_ERROR) return *base;
    if (base->kind == VALUE_TUPLE) return tuple_item(s, expr, base);
    if (base->kind != VALUE_WHOLE) {
        const char *advice = "";
        if (base->kind == VALUE_NUMBER)
            advice = arena_printf(s->arena, "; declare a parameter with brackets to get the whole array: `%s: [n]`",
                                  expr->index.base->kind == AST_NAME ? text : "t");
        diag_add(s->emit.diags, DIAG_TYPE, expr->span, "`%s` is %s inside `%s` and cannot be indexed%s", text,
                 value_type_text(s->arena, base), s->function->name, advice);
        return value_error(expr->span);
    }
    int rank = base->type.rank;
    struct ir_value *at[TYPE_MAX_RANK];
    bool good = true;
    for (int d = 0; d < expr->index.n_subscripts; d++) {
        const struct ast_subscript *sub = &expr->index.subscripts[d];
        if (sub->kind != AST_SUB_EXPR) {
            diag_add(s->emit.diags, DIAG_TYPE, sub->span,
                     "inside `%s` an array is indexed to one element; `%s` would give an array", s->function->name,
                     ast_text(s->arena, s->ast, expr->span));
            return value_error(expr->span);
        }
        if (d >= rank) continue;
        at[d] = subscript(s, sub->expr, base->whole, d);
        if (!at[d]) good = false;
    }
    if (expr->index.n_subscripts != rank) {
        diag_add(s->emit.diags, DIAG_TYPE, expr->span,
                 "`%s` has %d dimension%s and is indexed to one element here, by %d subscript%s, not %d", text, rank,
                 rank == 1 ? "" : "s", rank, rank == 1 ? "" : "s", expr->index.n_subscripts);
        return value_error(expr->span);
    }
    if (!good) return value_error(expr->span);
    struct ir_value *h = scalar_load(s, base->whole, at, expr->span);
    return scalar_wrap(h, (struct type){base->type.dtype, STRONG, 0}, expr->span);
}

/* --- calls of the program's functions ----------------------------------------------------------------------------- */

/* Sizes that the callee's signature says are equal, and that are not so by the caller's: a load outside the array stops
 * the computation where they differ. */
static void require_equal(struct scalar *s, struct ir_value *have, struct ir_value *want, int whole, struct span span) {
    if (have == want) return;
    struct ir_value *cond = scalar_op(s, OP_ne, TY_BOOL, 2, (struct ir_value *[]){have, want}, span);
    struct ir_value *outside[TYPE_MAX_RANK];
    struct scalar_if branch;
    scalar_if_begin(s, &branch, cond, span);
    for (int d = 0; d < TYPE_MAX_RANK; d++) outside[d] = s->emit.constant_int(s, TY_I64, -1);
    scalar_load(s, whole, outside, span);
    scalar_if_turn(s, &branch);
    scalar_if_end(s, &branch, 0, NULL, NULL, NULL);
}

/* The size that a name has in the caller's own signature stands for every dimension declared with that name. */
static struct ir_value *named_length(struct scalar *s, int whole, int dim) {
    const struct ast_type *type = s->whole[whole].declared;
    if (type && dim < type->n_dims && type->dims[dim].kind == AST_DIM_NAME) {
        int slot = resolve_variable(s->scope, type->dims[dim].name);
        if (slot >= 0 && s->env[slot] && s->env[slot]->scalar && s->env[slot]->scalar->op == OP_len)
            return s->env[slot]->scalar;
    }
    return scalar_length(s, whole, dim);
}

static void check_sizes(struct scalar *s, const struct ast_function *callee, const struct value *args) {
    int n_dims = 0;
    for (int i = 0; i < callee->n_parameters; i++) n_dims += TYPE_MAX_RANK;
    struct {
        const char *name;
        struct ir_value *length;
    } *seen = arena_array(s->arena, (size_t)n_dims, sizeof *seen);
    int n_seen = 0;
    for (int i = 0; i < callee->n_parameters; i++) {
        const struct ast_type *type = callee->parameters[i].type;
        if (!type || args[i].kind != VALUE_WHOLE) continue;
        for (int d = 0; d < type->n_dims && d < TYPE_MAX_RANK; d++) {
            struct ir_value *length = named_length(s, args[i].whole, d);
            if (type->dims[d].kind == AST_DIM_INTEGER)
                require_equal(s, length, s->emit.constant_int(s, TY_I64, type->dims[d].size), args[i].whole,
                              args[i].span);
            if (type->dims[d].kind != AST_DIM_NAME) continue;
            int k = 0;
            while (k < n_seen && seen[k].name != type->dims[d].name) k++;
            if (k < n_seen) {
                require_equal(s, length, seen[k].length, args[i].whole, args[i].span);
            } else {
                seen[n_seen].name = type->dims[d].name;
                seen[n_seen++].length = length;
            }
        }
    }
}

static int read_position(const struct resolve_scope *scope, int variable) {
    for (int i = 0; i < scope->n_reads; i++)
        if (scope->reads[i] == variable) return i;
    return -1;
}

static struct value call_function(struct scalar *s, const struct ast_expr *expr, const struct ast_function *callee) {
    const struct resolve_scope *scope = &s->resolve->functions[callee->index];
    int n = callee->n_parameters + scope->n_reads;
    struct value *args = ARENA_ARRAY(s->arena, struct value, n);
    struct ufunc_argument *types = ARENA_ARRAY(s->arena, struct ufunc_argument, n);
    bool good = true;
    if (expr->call.n_positional != callee->n_parameters || expr->call.n_arguments != expr->call.n_positional) {
        diag_add(s->emit.diags, DIAG_TYPE, expr->span, "`%s` takes %d arguments by position", callee->name,
                 callee->n_parameters);
        return value_error(expr->span);
    }
    for (int i = 0; i < n; i++) {
        if (i < callee->n_parameters) {
            args[i] = scalar_expr(s, expr->call.arguments[i].value);
        } else {
            int at = read_position(s->scope, scope->reads[i - callee->n_parameters]);
            args[i] = at >= 0 ? s->globals[at] : value_error(expr->span);
        }
        if (args[i].kind != VALUE_NUMBER && args[i].kind != VALUE_WHOLE) {
            if (args[i].kind != VALUE_ERROR)
                diag_add(s->emit.diags, DIAG_TYPE, args[i].span, "`%s` takes numbers and arrays, and `%s` is %s",
                         callee->name, ast_text(s->arena, s->ast, args[i].span), value_type_text(s->arena, &args[i]));
            good = false;
        }
        types[i] = (struct ufunc_argument){args[i].kind == VALUE_WHOLE, args[i].type, args[i].is_const, args[i]};
    }
    const struct ufunc_instance *instance = good ? ufunc_instantiate(s->elab, callee, types, expr->span) : NULL;
    if (!instance || !scalar_spend(s, instance->n_values, expr->span)) return value_error(expr->span);
    check_sizes(s, callee, args);

    struct ir_value **handles = ARENA_ARRAY(s->arena, struct ir_value *, n);
    int *wholes = ARENA_ARRAY(s->arena, int, n), n_handles = 0, n_wholes = 0;
    for (int i = 0; i < n; i++) {
        if (args[i].kind == VALUE_WHOLE) {
            wholes[n_wholes++] = args[i].whole;
            continue;
        }
        enum dtype type = instance->param_types[n_handles];
        /* The value of a weak constant is already in the instance. */
        bool inside = args[i].is_const && instance->constants[n_handles];
        struct ir_value *h = inside ? scalar_zero(s, type) : value_as(&s->emit, &args[i], type);
        if (!h) return value_error(expr->span);
        handles[n_handles++] = h;
    }
    struct ir_value **results = ARENA_ARRAY(s->arena, struct ir_value *, instance->n_results);
    body_inline(s->arena, s->region, &instance->function->body, handles, wholes, results);
    for (int i = 0; i < instance->n_results; i++) {
        /* Our constants stand before everything; one that came with the callee stands here. */
        struct ir_value *h = results[i];
        if (h->op == OP_const && dtype_is_float(h->type))
            results[i] = s->emit.constant_float(s, h->type, h->imm.f);
        else if (h->op == OP_const)
            results[i] = s->emit.constant_int(s, h->type, h->imm.i);
    }
    if (instance->n_results == 1) return scalar_wrap(results[0], instance->results[0], expr->span);
    struct value v = {.kind = VALUE_TUPLE, .span = expr->span, .n_items = instance->n_results};
    v.items = ARENA_ARRAY(s->arena, struct value, v.n_items);
    for (int i = 0; i < v.n_items; i++) v.items[i] = scalar_wrap(results[i], instance->results[i], expr->span);
    return v;
}

/* --- built-ins ---------------------------------------------------------------------------------------------------- */

static struct value call_len(struct scalar *s, const struct ast_expr *expr) {
    struct value x = scalar_expr(s, expr->call.arguments[0].value);
    if (x.kind == VALUE_ERROR) return x;
    if (x.kind == VALUE_TUPLE) return value_int(x.n_items, expr->span);
    if (x.kind == VALUE_WHOLE && x.type.rank > 0) return scalar_weak_int(scalar_length(s, x.whole, 0), expr->span);
    diag_add(s->emit.diags, DIAG_TYPE, expr->span, "`len` wants an array, and `%s` is %s inside `%s`",
             ast_text(s->arena, s->ast, x.span), value_type_text(s->arena, &x), s->function->name);
    return value_error(expr->span);
}

static struct value call_op(struct scalar *s, const struct ast_expr *expr, enum op op) {
    int n = expr->call.n_positional;
    struct value *args = ARENA_ARRAY(s->arena, struct value, n);
    for (int i = 0; i < n; i++) args[i] = scalar_expr(s, expr->call.arguments[i].value);
    return elementwise_call(&s->emit, op, n, args, expr->span);
}

static struct value call_builtin(struct scalar *s, const struct ast_expr *expr, enum builtin builtin) {
    const struct builtin_info *info = &builtin_info[builtin];
    int n = expr->call.n_positional;
    if (expr->call.n_arguments == n) {
        if (builtin == BUILTIN_len && n == 1) return call_len(s, expr);
        if (builtin == BUILTIN_min && n > 1) return call_op(s, expr, OP_min);
        if (builtin == BUILTIN_max && n > 1) return call_op(s, expr, OP_max);
    }
    if (info->group == BUILTIN_REDUCE)
        diag_add(
            s->emit.diags, DIAG_TYPE, expr->span,
            "`%s` reduces an array, and inside `%s` every value is one element; write a loop, or reduce outside and "
            "pass the result in",
            info->name, s->function->name);
    else if (info->group == BUILTIN_EFFECT)
        diag_add(s->emit.diags, DIAG_TYPE, expr->span, "`%s` is an effect and cannot stand inside `%s`", info->name,
                 s->function->name);
    else if (info->group == BUILTIN_UNAVAILABLE)
        diag_add(s->emit.diags, DIAG_UNSUPPORTED, expr->span, "`%s` is not available in this version", info->name);
    else
        diag_add(s->emit.diags, DIAG_TYPE, expr->span,
                 "`%s` makes an array, and inside `%s` every value is one element", info->name, s->function->name);
    return value_error(expr->span);
}

static struct value call_named(struct scalar *s, const struct ast_expr *expr) {
    struct resolve_name name = s->resolve->names[expr->call.callee->id];
    const char *text = expr->call.callee->name;
    if (name.kind == NAME_FUNCTION) return call_function(s, expr, s->ast->functions[name.index]);
    if (name.kind == NAME_BUILTIN) return call_builtin(s, expr, (enum builtin)name.index);
    if (name.kind == NAME_UNKNOWN) return value_error(expr->span);
    if (name.kind != NAME_OP && name.kind != NAME_DTYPE) {
        diag_add(s->emit.diags, DIAG_NAME, expr->call.callee->span, "`%s` is no function", text);
        return value_error(expr->span);
    }
    if (expr->call.n_arguments != expr->call.n_positional) {
        diag_add(s->emit.diags, DIAG_TYPE, expr->call.arguments[expr->call.n_positional].keyword_span,
                 "`%s` takes no keyword `%s`", text, expr->call.arguments[expr->call.n_positional].keyword);
        return value_error(expr->span);
    }
    if (name.kind == NAME_OP) return call_op(s, expr, (enum op)name.index);
    if (expr->call.n_positional != 1) {
        diag_add(s->emit.diags, DIAG_TYPE, expr->span, "`%s` converts one value", text);
        return value_error(expr->span);
    }
    struct value x = scalar_expr(s, expr->call.arguments[0].value);
    return elementwise_convert(&s->emit, (enum dtype)name.index, &x, expr->span);
}

struct value scalar_call(struct scalar *s, const struct ast_expr *expr) {
    if (expr->call.n_indices) {
        diag_add(s->emit.diags, DIAG_UNSUPPORTED, expr->span, "index notation is not available in this version");
        return value_error(expr->span);
    }
    if (expr->call.callee->kind == AST_NAME) return call_named(s, expr);
    diag_add(s->emit.diags, DIAG_TYPE, expr->call.callee->span, "`%s` is no function",
             ast_text(s->arena, s->ast, expr->call.callee->span));
    return value_error(expr->span);
}
