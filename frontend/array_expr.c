/* array_expr.c: expressions. Long left spines (`a + b + c + …`) are walked in a loop, all else recurses. */
#include "frontend/array.h"

#include <math.h>
#include <string.h>

bool array_is_number(struct array *a, const struct value *v, const char *what) {
    if (v->kind == VALUE_NUMBER) return true;
    if (v->kind != VALUE_ERROR)
        diag_add(a->diags, DIAG_TYPE, v->span, "%s wants a number or an array, and `%s` is %s", what,
                 array_quote(a, v->span), value_type_text(a->arena, v));
    return false;
}

struct value array_tuple(struct array *a, int n, const struct value *items, struct span span) {
    struct value *copy = ARENA_ARRAY(a->arena, struct value, n);
    if (n) memcpy(copy, items, (size_t)n * sizeof *items);
    return (struct value){.kind = VALUE_TUPLE, .span = span, .n_items = n, .items = copy};
}

/* --- leaves ------------------------------------------------------------------------------------------------------- */

static struct value name_value(struct array *a, const struct ast_expr *e) {
    const struct resolve_name *name = &a->resolve->names[e->id];
    struct value v;
    switch (name->kind) {
    case NAME_VARIABLE:
    case NAME_SIZE: return array_read(a, a->scope, name->index, e->span);
    case NAME_INPUT:
    case NAME_GLOBAL: {
        int variable = resolve_variable(&a->resolve->top, e->name);
        if (variable >= 0 && a->top->variables[variable].set) return array_read(a, a->top, variable, e->span);
        for (int k = 0; k < a->elab->program->n_inputs; k++) {
            if (strcmp(a->elab->program->inputs[k].name, e->name) != 0) continue;
            v = a->inputs[k];
            v.span = e->span;
            return v;
        }
        return array_error(a, DIAG_NAME, e->span, "`%s` is not set yet when this function is called", e->name);
    }
    case NAME_CONSTANT:
        switch ((enum resolve_constant)name->index) {
        case CONSTANT_PI: return value_real(M_PI, e->span);
        case CONSTANT_E: return value_real(M_E, e->span);
        case CONSTANT_NAN: return value_real(NAN, e->span);
        case CONSTANT_INF: return value_real(INFINITY, e->span);
        }
        break;
    case NAME_DTYPE:
        if (name->index == TY_F16)
            return array_error(a, DIAG_UNSUPPORTED, e->span, "f16 is not available in this version");
        return (struct value){.kind = VALUE_DTYPE, .span = e->span, .type = {(enum dtype)name->index, STRONG, 0}};
    case NAME_FUNCTION:
    case NAME_BUILTIN:
    case NAME_OP:
        return array_error(a, DIAG_TYPE, e->span, "`%s` is a function and no value: call it, `%s(…)`", e->name,
                           e->name);
    case NAME_UNKNOWN: break;
    }
    return value_error(e->span);
}

static struct value tuple_value(struct array *a, const struct ast_expr *e) {
    struct value *items = ARENA_ARRAY(a->arena, struct value, e->list.count);
    for (int i = 0; i < e->list.count; i++) {
        items[i] = array_expr(a, e->list.items[i]);
        if (items[i].kind != VALUE_STRING && items[i].kind != VALUE_NONE) continue;
        items[i] = array_error(a, DIAG_TYPE, items[i].span, "`%s` has no value", array_quote(a, items[i].span));
    }
    return (struct value){.kind = VALUE_TUPLE, .span = e->span, .n_items = e->list.count, .items = items};
}

static struct value unary_value(struct array *a, const struct ast_expr *e) {
    struct value x = array_expr(a, e->unary.operand);
    if (x.kind == VALUE_ERROR) return value_error(e->span);
    if (e->op == AST_SUB && x.size && !x.is_const && !x.node)
        return array_from_size(a, array_arith(a, SIZE_SUB, array_const(a, 0), x.size), e->span);
    struct value v = elementwise_unary(&a->emit, e->op, &x, e->span);
    v.span = e->span;
    return v;
}

static struct value leaf_value(struct array *a, const struct ast_expr *e) {
    switch (e->kind) {
    case AST_INT: {
        struct value v = value_int(0, e->span);
        v.magnitude = e->integer;
        return v;
    }
    case AST_FLOAT: return value_real(e->real, e->span);
    case AST_BOOL: return array_wrap(a, node_int(a, TY_BOOL, e->boolean), e->span);
    case AST_STRING:
        return (struct value){
            .kind = VALUE_STRING, .span = e->span, .text = e->string.text, .text_length = e->string.length};
    case AST_NAME: return name_value(a, e);
    case AST_UNARY: return unary_value(a, e);
    case AST_CONDITIONAL: return array_conditional(a, e);
    case AST_CALL: return array_call(a, e);
    case AST_ARRAY:
        if (a->elementwise)
            return array_error(a, DIAG_TYPE, e->span,
                               "an array literal is not allowed here: this formula is elementwise");
        return array_literal(a, e);
    case AST_TUPLE: return tuple_value(a, e);
    default: return value_error(e->span);
    }
}

/* --- operators ---------------------------------------------------------------------------------------------------- */

static bool size_op_of(enum ast_op op, enum size_op *size_op) {
    switch (op) {
    case AST_ADD: *size_op = SIZE_ADD; return true;
    case AST_SUB: *size_op = SIZE_SUB; return true;
    case AST_MUL: *size_op = SIZE_MUL; return true;
    case AST_FLOORDIV: *size_op = SIZE_DIV; return true;
    case AST_MOD: *size_op = SIZE_MOD; return true;
    default: return false;
    }
}

/* The operand as a size, if it is a weak integer known without computing. */
static const struct size *weak_size(struct array *a, const struct value *v) {
    if (v->type.weak != WEAK_INT || v->type.rank != 0) return NULL;
    if (!v->is_const) return v->size;
    if (!dtype_holds_int(TY_I64, v->negative, v->magnitude)) return NULL;
    return array_const(a, (int64_t)(v->negative ? -v->magnitude : v->magnitude));
}

struct value array_binary(struct array *a, enum ast_op op, struct value left, struct value right, struct span span) {
    struct value pair[2] = {left, right};
    if (left.kind == VALUE_ERROR || right.kind == VALUE_ERROR) return value_error(span);
    enum size_op size_op;
    const struct size *size = NULL, *x, *y;
    if (!(left.is_const && right.is_const) && size_op_of(op, &size_op) && (x = weak_size(a, &left)) &&
        (y = weak_size(a, &right))) {
        size = array_arith(a, size_op, x, y);
        /* Sizes saturate where i64 wraps: a product is also kept as a number, and what is made of it. */
        if (op != AST_MUL && !left.node && !right.node) return array_from_size(a, size, span);
    }
    bool compares = op >= AST_EQ && op <= AST_GE;
    if (!compares && !array_literals_fit(a, 2, pair)) return value_error(span);
    if (left.kind == VALUE_NUMBER && right.kind == VALUE_NUMBER && !array_align(a, 2, pair, span))
        return value_error(span);
    struct value v = elementwise_binary(&a->emit, op, &pair[0], &pair[1], span);
    v.span = span;
    if (v.kind == VALUE_NUMBER && size) v.size = size;
    return v;
}

static struct value chain_value(struct array *a, const struct ast_expr *e, struct value left) {
    struct value result = value_error(e->span);
    bool failed = left.kind == VALUE_ERROR;
    for (int i = 1; i < e->chain.n_operands; i++) {
        struct value right = array_expr(a, e->chain.operands[i]);
        struct span span = span_join(left.span, right.span);
        struct value holds =
            array_binary(a, e->chain.ops[i - 1], left, right, e->chain.n_operands == 2 ? e->span : span);
        failed |= holds.kind == VALUE_ERROR;
        if (failed || i == 1) {
            result = holds;
        } else {
            struct value both[2] = {result, holds};
            if (!array_align(a, 2, both, e->span))
                failed = true;
            else
                result = elementwise_logical(&a->emit, AST_AND, &both[0], &both[1], e->span);
        }
        left = right;
    }
    if (failed) return value_error(e->span);
    result.span = e->span;
    return result;
}

static struct value logical_value(struct array *a, const struct ast_expr *e, struct value left) {
    if (left.kind == VALUE_NUMBER && left.type.rank == 0 && left.type.dtype == TY_BOOL &&
        !array_is_simple(a, e->binary.right) &&
        !array_map_get(&a->whole_logicals, (uintptr_t)a->scope->context, e->id, false))
        return array_lazy_logical(a, e, &left);
    return array_whole_logical(a, e, left);
}

struct value array_whole_logical(struct array *a, const struct ast_expr *e, struct value left) {
    struct value both[2] = {left, array_expr(a, e->binary.right)};
    if (both[0].kind == VALUE_ERROR || both[1].kind == VALUE_ERROR) return value_error(e->span);
    if (both[0].kind == VALUE_NUMBER && both[1].kind == VALUE_NUMBER && !array_align(a, 2, both, e->span))
        return value_error(e->span);
    struct value v = elementwise_logical(&a->emit, e->op, &both[0], &both[1], e->span);
    v.span = e->span;
    return v;
}

static struct value attribute_value(struct array *a, const struct ast_expr *e, struct value base) {
    const char *name = e->attribute.name;
    bool shape = strcmp(name, "shape") == 0, transpose = strcmp(name, "T") == 0;
    if (base.kind == VALUE_ERROR) return value_error(e->span);
    if (!shape && !transpose && strcmp(name, "dtype") != 0)
        return array_error(a, DIAG_NAME, e->attribute.name_span, "arrays have .shape, .T and .dtype, and no .%s", name);
    if (!array_is_number(a, &base, arena_printf(a->arena, "`.%s`", name))) return value_error(e->span);
    if (a->elementwise && (shape || transpose))
        return array_error(a, DIAG_TYPE, e->span, "`.%s` is not allowed here: this formula is elementwise", name);
    if (transpose) return array_transpose(a, &base, e->span);
    if (!shape) return (struct value){.kind = VALUE_DTYPE, .span = e->span, .type = {base.type.dtype, STRONG, 0}};
    struct array_shape sizes = array_value_shape(&base);
    struct value items[TYPE_MAX_RANK];
    for (int d = 0; d < sizes.rank; d++) items[d] = array_from_size(a, sizes.dim[d], e->span);
    return array_tuple(a, sizes.rank, items, e->span);
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

/* The operand along which an expression may be very deep, or NULL. */
static const struct ast_expr *spine(const struct ast_expr *e) {
    switch (e->kind) {
    case AST_BINARY:
    case AST_LOGICAL: return e->binary.left;
    case AST_CHAIN: return e->chain.operands[0];
    case AST_INDEX: return e->index.base;
    case AST_ATTRIBUTE: return e->attribute.base;
    default: return NULL;
    }
}

static struct value apply(struct array *a, const struct ast_expr *e, struct value left) {
    switch (e->kind) {
    case AST_BINARY: return array_binary(a, e->op, left, array_expr(a, e->binary.right), e->span);
    case AST_LOGICAL: return logical_value(a, e, left);
    case AST_CHAIN: return chain_value(a, e, left);
    case AST_INDEX:
        if (a->elementwise)
            return array_error(a, DIAG_TYPE, e->span, "indexing is not allowed here: this formula is elementwise");
        return array_index(a, e, &left);
    default: return attribute_value(a, e, left);
    }
}

struct value array_expr(struct array *a, const struct ast_expr *e) {
    if (!array_budget(a, e->span)) return value_error(e->span);
    int depth = 0;
    for (const struct ast_expr *at = e; spine(at); at = spine(at)) depth++;
    if (depth == 0) {
        a->nesting++;
        struct value v = leaf_value(a, e);
        a->nesting--;
        return v;
    }
    const struct ast_expr *few[8], **path = depth <= 8 ? few : ARENA_ARRAY(a->arena, const struct ast_expr *, depth);
    for (int i = depth; i > 0; i--, e = spine(e)) path[i - 1] = e;
    a->nesting++;
    struct value v = leaf_value(a, e);
    for (int i = 0; i < depth; i++) {
        if (i && !array_budget(a, path[i]->span)) v = value_error(path[i]->span);
        v = apply(a, path[i], v);
    }
    a->nesting--;
    return v;
}

struct value array_condition(struct array *a, const struct ast_expr *e, const char *what) {
    struct value v = array_expr(a, e);
    if (v.kind == VALUE_ERROR || !array_is_number(a, &v, what)) return value_error(e->span);
    if (v.type.rank > 0) {
        struct array_shape shape = array_value_shape(&v);
        const char *advice = e->kind == AST_NAME || v.type.dtype != TY_BOOL
                                 ? ""
                                 : "; use any(…) or all(…), or where(…) for each element";
        if (strcmp(what, "`a if c else b`") == 0) advice = "; use where(c, a, b) to choose for each element";
        return array_error(a, DIAG_SHAPE, e->span, "%s needs a scalar bool, and `%s` is an array %s%s", what,
                           array_quote(a, e->span), array_shape_text(a, &shape), advice);
    }
    if (v.type.dtype != TY_BOOL)
        return array_error(a, DIAG_TYPE, e->span, "%s needs a bool, and `%s` is %s; compare with `!= 0`", what,
                           array_quote(a, e->span), value_type_text(a->arena, &v));
    return v;
}

/* --- what may be evaluated in vain ---------------------------------------------------------------------------------
 */

static bool is_simple_node(struct array *a, const struct ast_expr *e) {
    switch (e->kind) {
    case AST_CALL: {
        const struct ast_expr *callee = e->call.callee;
        if (callee->kind != AST_NAME || e->call.n_indices) return false;
        const struct resolve_name *name = &a->resolve->names[callee->id];
        return name->kind == NAME_OP || name->kind == NAME_DTYPE ||
               (name->kind == NAME_BUILTIN && name->index == BUILTIN_len);
    }
    case AST_INDEX: /* slices are clamped and cannot fail, a subscript can */
        for (int i = 0; i < e->index.n_subscripts; i++)
            if (e->index.subscripts[i].kind == AST_SUB_EXPR || e->index.subscripts[i].step) return false;
        return true;
    case AST_ARRAY:
    case AST_STRING: return false;
    default: return true;
    }
}

bool array_is_simple(struct array *a, const struct ast_expr *e) {
    for (uint32_t id = e->first_id; id <= e->id; id++)
        if (!is_simple_node(a, a->ast->exprs[id])) return false;
    return true;
}

bool array_is_cheap(struct array *a, const struct ast_expr *e) {
    for (uint32_t id = e->first_id; id <= e->id; id++) {
        const struct ast_expr *part = a->ast->exprs[id];
        if (!is_simple_node(a, part)) return false;
        if (part->kind != AST_NAME) continue;
        const struct resolve_name *name = &a->resolve->names[id];
        if (name->kind == NAME_OP || name->kind == NAME_DTYPE || name->kind == NAME_CONSTANT) continue;
        if (name->kind == NAME_BUILTIN) return false; /* len: what it measures is an array */
        if (name->kind == NAME_UNKNOWN || name->kind == NAME_FUNCTION) return false;
        struct value v = name_value(a, part);
        if (v.kind != VALUE_NUMBER || v.type.rank > 0) return false;
    }
    return true;
}
