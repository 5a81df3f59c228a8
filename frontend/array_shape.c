/* array_shape.c: reshape transpose flip broadcast_to squeeze. */
#include "frontend/array.h"

#include <string.h>

static struct view_axis axis_of(struct array *a, int dim, const struct size *offset, int64_t step) {
    struct view_term *term = ARENA_NEW(a->arena, struct view_term);
    *term = (struct view_term){dim, array_const(a, step)};
    return (struct view_axis){offset, 1, term};
}

static struct value view(struct array *a, const struct value *x, const struct array_shape *shape,
                         const struct view_map *map, struct span span) {
    struct graph_node *node = array_node(a, x);
    if (!node) return value_error(span);
    struct value v = array_wrap(a, node_view(a, node, shape, map, span), span);
    v.type.weak = x->type.weak;
    return v;
}

/* Result dimension d is dimension from[d] of x. */
static struct value permute(struct array *a, const struct value *x, const int *from, struct span span) {
    struct array_shape source = array_value_shape(x), shape = {.rank = source.rank};
    struct view_map map = {.source_rank = source.rank};
    for (int d = 0; d < source.rank; d++) {
        shape.dim[d] = source.dim[from[d]];
        map.axis[from[d]] = axis_of(a, d, array_const(a, 0), 1);
    }
    return view(a, x, &shape, &map, span);
}

struct value array_transpose(struct array *a, const struct value *x, struct span span) {
    int from[TYPE_MAX_RANK];
    for (int d = 0; d < x->type.rank; d++) from[d] = x->type.rank - 1 - d;
    return permute(a, x, from, span);
}

static struct value transpose(struct array *a, const struct array_call *call) {
    const struct value *x = &call->arguments[0];
    if (call->n == 1) return array_transpose(a, x, call->span);
    if (call->n - 1 != x->type.rank)
        return array_error(a, DIAG_SHAPE, call->span, "`transpose` was given %d dimensions, and `%s` has %d",
                           call->n - 1, array_quote(a, x->span), x->type.rank);
    int from[TYPE_MAX_RANK];
    unsigned seen = 0;
    for (int i = 1; i < call->n; i++) {
        int64_t d;
        const struct value *v = &call->arguments[i];
        if (v->kind == VALUE_ERROR) return value_error(call->span);
        if (!array_constant_int(a, v, &d))
            return array_error(a, DIAG_TYPE, v->span, "the dimensions of `transpose` must be constant integers");
        if (d < 0) d += x->type.rank;
        if (d < 0 || d >= x->type.rank || seen >> d & 1)
            return array_error(a, DIAG_SHAPE, v->span, "the dimensions of `transpose` must be 0 to %d, each once",
                               x->type.rank - 1);
        seen |= 1u << d;
        from[i - 1] = (int)d;
    }
    return permute(a, x, from, call->span);
}

static struct value flip(struct array *a, const struct array_call *call) {
    const struct value *x = &call->arguments[0];
    const struct ast_expr *axis = array_keyword(call, "axis");
    unsigned axes = ~0u;
    if (axis && !array_axes(a, axis, x, &axes)) return value_error(call->span);
    struct array_shape shape = array_value_shape(x);
    struct view_map map = {.source_rank = shape.rank};
    for (int d = 0; d < shape.rank; d++) {
        bool flipped = axes >> d & 1;
        const struct size *last = array_arith(a, SIZE_SUB, shape.dim[d], array_const(a, 1));
        map.axis[d] = axis_of(a, d, flipped ? last : array_const(a, 0), flipped ? -1 : 1);
    }
    return view(a, x, &shape, &map, call->span);
}

/* --- sizes as arguments ---------------------------------------------------------------------------------------------
 */

static bool add_dim(struct array *a, const struct array_call *call, const struct value *v, struct array_shape *shape) {
    if (shape->rank == TYPE_MAX_RANK) {
        diag_add(a->diags, DIAG_LIMIT, call->span, "an array has at most rank %d", TYPE_MAX_RANK);
        return false;
    }
    const struct size *size = array_size(a, v, "a size");
    if (!size) return false;
    shape->dim[shape->rank++] = size;
    return true;
}

bool array_dims(struct array *a, const struct array_call *call, int first, struct array_shape *shape) {
    shape->rank = 0;
    for (int i = first; i < call->n; i++) {
        const struct value *v = &call->arguments[i];
        int n = v->kind == VALUE_TUPLE ? v->n_items : 1; /* zeros(x.shape) is zeros(h, w) */
        for (int k = 0; k < n; k++)
            if (!add_dim(a, call, v->kind == VALUE_TUPLE ? &v->items[k] : v, shape)) return false;
    }
    return true;
}

/* "`m` [3, n]" and what it cannot become */
struct no_fit {
    const char *what;
    const struct value *x;
    const struct array_shape *from, *to;
};

static void describe_no_fit(struct array *a, struct array_message *message, void *host) {
    const struct no_fit *fit = host;
    strbuf_printf(&message->text, "`%s` ", array_quote(a, fit->x->span));
    array_message_shape(a, message, fit->from);
    strbuf_printf(&message->text, " cannot be %s to ", fit->what);
    array_message_shape(a, message, fit->to);
}

static struct value reshape(struct array *a, const struct array_call *call) {
    const struct value *x = &call->arguments[0];
    struct array_shape from = array_value_shape(x), to;
    if (!array_dims(a, call, 1, &to)) return value_error(call->span);
    int open = -1;
    for (int d = 0; d < to.rank; d++) {
        if (!size_is_const(to.dim[d], -1)) {
            if (!array_check_text(a, CHECK_AT_LEAST, to.dim[d], array_const(a, 0), DIAG_VALUE, call->span,
                                  "a size must not be negative, and this one is \1"))
                return value_error(call->span);
            continue;
        }
        if (open >= 0) return array_error(a, DIAG_SHAPE, call->span, "only one size of `reshape` can be -1");
        open = d;
    }
    const struct size *total = array_count(a, &from, ~0u);
    if (open >= 0) {
        const struct size *others = array_count(a, &to, ~(1u << open));
        to.dim[open] = array_arith(a, SIZE_DIV, total, others);
    }
    struct no_fit fit = {"reshaped", x, &from, &to};
    if (!array_check(a, CHECK_EQUAL, array_count(a, &to, ~0u), total, DIAG_SHAPE, call->span, describe_no_fit, &fit))
        return value_error(call->span);
    struct graph_node *node = array_node(a, x);
    if (!node) return value_error(call->span);
    struct value v = array_wrap(a, graph_reshape(array_graph(a), node, to.rank, to.dim, call->span), call->span);
    v.type.weak = x->type.weak;
    return v;
}

static struct value broadcast_to(struct array *a, const struct array_call *call) {
    const struct value *x = &call->arguments[0];
    struct array_shape from = array_value_shape(x), to;
    if (!array_dims(a, call, 1, &to)) return value_error(call->span);
    struct no_fit fit = {"broadcast", x, &from, &to};
    if (from.rank > to.rank) {
        struct array_message message;
        array_message_init(a, &message, false);
        describe_no_fit(a, &message, &fit);
        return array_error(a, DIAG_SHAPE, call->span, "%s", strbuf_text(&message.text));
    }
    for (int d = 0; d < to.rank; d++) {
        if (!array_check_text(a, CHECK_AT_LEAST, to.dim[d], array_const(a, 0), DIAG_VALUE, call->span,
                              "a size must not be negative, and this one is \1"))
            return value_error(call->span);
        int k = d - (to.rank - from.rank);
        if (k < 0) continue;
        /* Its own size if that is not 1, else the new one: what must equal the new one. */
        const struct size *is =
            size_never_one(from.dim[k]) ? from.dim[k] : array_arith(a, SIZE_BCAST, from.dim[k], to.dim[d]);
        if (!array_check(a, CHECK_EQUAL, is, to.dim[d], DIAG_SHAPE, call->span, describe_no_fit, &fit))
            return value_error(call->span);
    }
    struct graph_node *node = array_node(a, x);
    if (!node) return value_error(call->span);
    struct value v = array_wrap(a, node_broadcast(a, node, &to, call->span), call->span);
    v.type.weak = x->type.weak;
    return v;
}

/* --- squeeze --------------------------------------------------------------------------------------------------------
 */

/* 1, 0, or -1: known only at run time. A slice of at most one element counts as one; that is checked. */
static int is_one(const struct size *s) {
    if (size_is_const(s, 1)) return 1;
    if (size_never_one(s) || s->op == SIZE_CONST) return 0;
    if (s->op == SIZE_SMALLER && (size_is_const(s->a, 1) || size_is_const(s->b, 1))) return 1;
    return -1;
}

static struct value squeeze(struct array *a, const struct array_call *call) {
    const struct value *x = &call->arguments[0];
    const struct ast_expr *axis = array_keyword(call, "axis");
    struct array_shape source = array_value_shape(x), shape = {.rank = 0};
    unsigned axes = 0;
    if (axis && !array_axes(a, axis, x, &axes)) return value_error(call->span);
    struct view_map map = {.source_rank = source.rank};
    for (int d = 0; d < source.rank; d++) {
        int one = is_one(source.dim[d]);
        if (!axis && one < 0)
            return array_error(
                a, DIAG_SHAPE, call->span,
                "whether dimension %d of `%s` is 1 is known only at run time: say which to drop with axis=", d,
                array_quote(a, x->span));
        if (axis ? !(axes >> d & 1) : !one) {
            map.axis[d] = axis_of(a, shape.rank, array_const(a, 0), 1);
            shape.dim[shape.rank++] = source.dim[d];
            continue;
        }
        const char *text = arena_printf(a->arena, "dimension %d of `%s` cannot be dropped: it is \1, not 1", d,
                                        array_quote(a, x->span));
        if (!array_check_text(a, CHECK_EQUAL, source.dim[d], array_const(a, 1), DIAG_SHAPE, call->span, text))
            return value_error(call->span);
        map.axis[d] = (struct view_axis){array_const(a, 0), 0, NULL};
    }
    return view(a, x, &shape, &map, call->span);
}

struct value array_shaping(struct array *a, enum builtin builtin, const struct array_call *call) {
    if (!array_is_number(a, &call->arguments[0], arena_printf(a->arena, "`%s`", call->name)))
        return value_error(call->span);
    switch (builtin) {
    case BUILTIN_reshape: return reshape(a, call);
    case BUILTIN_transpose: return transpose(a, call);
    case BUILTIN_flip: return flip(a, call);
    case BUILTIN_broadcast_to: return broadcast_to(a, call);
    default: return squeeze(a, call);
    }
}
