/* array_create.c: zeros ones full arange linspace eye: made of constants and positions, so nothing is stored. */
#include "frontend/array.h"

#include <math.h>

static bool check_sizes(struct array *a, const struct array_call *call, const struct array_shape *shape) {
    for (int d = 0; d < shape->rank; d++)
        if (!array_check_text(a, CHECK_AT_LEAST, shape->dim[d], array_const(a, 0), DIAG_VALUE, call->span,
                              arena_printf(a->arena, "`%s` cannot make an array of size \1", call->name)))
            return false;
    return true;
}

/* dtype=, or `otherwise`. TY_NONE: reported. */
static enum dtype dtype_of(struct array *a, const struct array_call *call, enum dtype otherwise) {
    const struct ast_expr *e = array_keyword(call, "dtype");
    if (!e) return otherwise;
    struct value v = array_expr(a, e);
    if (v.kind == VALUE_DTYPE) return v.type.dtype;
    if (v.kind != VALUE_ERROR)
        diag_add(a->diags, DIAG_TYPE, e->span, "`dtype` must be an element type like f64, and `%s` is %s",
                 array_quote(a, e->span), value_type_text(a->arena, &v));
    return TY_NONE;
}

static struct value filled(struct array *a, const struct array_call *call, int first, const struct value *v,
                           enum dtype dtype) {
    struct array_shape shape;
    struct value converted = elementwise_convert(&a->emit, dtype, v, call->span);
    if (converted.kind == VALUE_ERROR || !array_dims(a, call, first, &shape) || !check_sizes(a, call, &shape))
        return value_error(call->span);
    return array_wrap(a, node_broadcast(a, array_node(a, &converted), &shape, call->span), call->span);
}

static struct value full(struct array *a, const struct array_call *call) {
    const struct value *v = &call->arguments[0];
    if (!array_is_number(a, v, "`full`")) return value_error(call->span);
    if (v->type.rank > 0)
        return array_error(a, DIAG_SHAPE, v->span, "`full` repeats a scalar, and `%s` is an array; see broadcast_to",
                           array_quote(a, v->span));
    enum dtype dtype = dtype_of(a, call, v->type.dtype);
    if (dtype == TY_NONE) return value_error(call->span);
    return filled(a, call, 1, v, dtype);
}

static struct graph_node *positions(struct array *a, const struct array_shape *shape, int dim) {
    return graph_index(array_graph(a), shape->rank, shape->dim, dim);
}

/* --- arange ---------------------------------------------------------------------------------------------------------
 */

/* How many of a, a + step, … lie before b: ceil((b - a) / step), by floored division for a step of either sign. */
static const struct size *count_integers(struct array *a, const struct size *from, const struct size *to,
                                         const struct size *step) {
    const struct size *zero = array_const(a, 0), *length;
    if (size_is_const(step, 1))
        length = array_arith(a, SIZE_SUB, to, from);
    else
        length = array_arith(a, SIZE_SUB, zero, array_arith(a, SIZE_DIV, array_arith(a, SIZE_SUB, from, to), step));
    return array_arith(a, SIZE_LARGER, length, zero);
}

static struct value arange_integers(struct array *a, const struct array_call *call, enum dtype dtype) {
    const struct size *part[3] = {array_const(a, 0), NULL, array_const(a, 1)};
    for (int i = 0; i < call->n; i++)
        if (!(part[call->n == 1 ? 1 : i] = array_size(a, &call->arguments[i], "an argument of `arange`")))
            return value_error(call->span);
    if (!array_check_text(a, CHECK_AT_LEAST, array_arith(a, SIZE_MUL, part[2], part[2]), array_const(a, 1), DIAG_VALUE,
                          call->span, "the step of `arange` is 0"))
        return value_error(call->span);
    struct array_shape shape = {.rank = 1, .dim = {count_integers(a, part[0], part[1], part[2])}};
    struct graph_node *x = positions(a, &shape, 0);
    if (!size_is_const(part[2], 1)) x = node_op(a, OP_mul, TY_I64, x, node_size(a, part[2]), NULL, call->span);
    if (!size_is_const(part[0], 0)) x = node_op(a, OP_add, TY_I64, x, node_size(a, part[0]), NULL, call->span);
    return array_wrap(a, node_convert(a, x, dtype, call->span), call->span);
}

/* An f64 scalar. */
static struct value as_f64(struct array *a, const struct value *v) {
    struct value x = array_as(a, v, (struct type){TY_F64, STRONG, 0});
    x.is_const = false;
    return x;
}

/* The number of elements is a value like any other here; a constant is folded by the graph. */
static struct value arange_floats(struct array *a, const struct array_call *call, enum dtype dtype) {
    struct value from = value_real(0, call->span), to = call->arguments[call->n == 1 ? 0 : 1],
                 step = value_real(1, call->span);
    struct span span = call->span;
    if (call->n > 1) from = call->arguments[0];
    if (call->n > 2) step = call->arguments[2];
    struct value x = as_f64(a, &from), y = as_f64(a, &to), s = as_f64(a, &step);
    if (x.kind == VALUE_ERROR || y.kind == VALUE_ERROR || s.kind == VALUE_ERROR) return value_error(span);
    struct graph_node *length = node_op(a, OP_sub, TY_F64, y.node, x.node, NULL, span);
    length = node_op(a, OP_div, TY_F64, length, s.node, NULL, span);
    length = node_convert(a, node_op(a, OP_ceil, TY_F64, length, NULL, NULL, span), TY_I64, span);
    length = node_op(a, OP_max, TY_I64, length, node_int(a, TY_I64, 0), NULL, span);
    struct value count = array_wrap(a, length, span);
    struct array_shape shape = {.rank = 1};
    if (!(shape.dim[0] = array_size(a, &count, "the length of `arange`"))) return value_error(span);
    if (!array_check_text(a, CHECK_AT_LEAST, array_const(a, INT64_MAX - 1), shape.dim[0], DIAG_VALUE, span,
                          "the step of `arange` is 0, or its length is infinite"))
        return value_error(span);
    struct graph_node *i = node_convert(a, positions(a, &shape, 0), TY_F64, span);
    struct graph_node *r = node_op(a, OP_mul, TY_F64, i, s.node, NULL, span);
    r = node_op(a, OP_add, TY_F64, r, x.node, NULL, span);
    return array_wrap(a, node_convert(a, r, dtype, span), span);
}

static bool all_scalars(struct array *a, const struct array_call *call) {
    for (int i = 0; i < call->n; i++) {
        const struct value *v = &call->arguments[i];
        if (!array_is_number(a, v, arena_printf(a->arena, "`%s`", call->name))) return false;
        if (v->type.rank == 0) continue;
        diag_add(a->diags, DIAG_SHAPE, v->span, "`%s` wants scalars, and `%s` is an array", call->name,
                 array_quote(a, v->span));
        return false;
    }
    return true;
}

static struct value arange(struct array *a, const struct array_call *call) {
    if (!all_scalars(a, call)) return value_error(call->span);
    bool floats = false;
    for (int i = 0; i < call->n; i++) floats |= dtype_is_float(call->arguments[i].type.dtype);
    enum dtype dtype = dtype_of(a, call, floats ? TY_F64 : TY_I64);
    if (dtype == TY_NONE) return value_error(call->span);
    return floats ? arange_floats(a, call, dtype) : arange_integers(a, call, dtype);
}

/* --- linspace, eye --------------------------------------------------------------------------------------------------
 */

/* NumPy's: i*step + a with step = (b - a)/(n - 1), and the last element exactly b. */
static struct value linspace(struct array *a, const struct array_call *call) {
    struct span span = call->span;
    if (!all_scalars(a, call)) return value_error(span);
    enum dtype dtype = dtype_of(a, call, TY_F64);
    struct array_shape shape = {.rank = 1};
    if (dtype == TY_NONE || !(shape.dim[0] = array_size(a, &call->arguments[2], "the number of points")))
        return value_error(span);
    if (!check_sizes(a, call, &shape)) return value_error(span);
    struct value from = as_f64(a, &call->arguments[0]), to = as_f64(a, &call->arguments[1]);
    if (from.kind == VALUE_ERROR || to.kind == VALUE_ERROR) return value_error(span);
    const struct size *one = array_const(a, 1);
    /* The last of a single point is never reached: that one is a. */
    const struct size *last = array_arith(a, SIZE_LARGER, array_arith(a, SIZE_SUB, shape.dim[0], one), one);
    struct graph_node *gaps = node_convert(a, node_size(a, last), TY_F64, span);
    struct graph_node *step =
        node_op(a, OP_div, TY_F64, node_op(a, OP_sub, TY_F64, to.node, from.node, NULL, span), gaps, NULL, span);
    struct graph_node *i = positions(a, &shape, 0);
    struct graph_node *x = node_op(a, OP_mul, TY_F64, node_convert(a, i, TY_F64, span), step, NULL, span);
    x = node_op(a, OP_add, TY_F64, x, from.node, NULL, span);
    struct graph_node *ends = node_op(a, OP_eq, TY_BOOL, i, node_size(a, last), NULL, span);
    x = node_op(a, OP_select, TY_F64, ends, to.node, x, span);
    return array_wrap(a, node_convert(a, x, dtype, span), span);
}

static struct value eye(struct array *a, const struct array_call *call) {
    enum dtype dtype = dtype_of(a, call, TY_F64);
    const struct size *n = array_size(a, &call->arguments[0], "the size of `eye`");
    if (dtype == TY_NONE || !n) return value_error(call->span);
    struct array_shape shape = {.rank = 2, .dim = {n, n}};
    if (!check_sizes(a, call, &shape)) return value_error(call->span);
    struct graph_node *same =
        node_op(a, OP_eq, TY_BOOL, positions(a, &shape, 0), positions(a, &shape, 1), NULL, call->span);
    return array_wrap(a, node_convert(a, same, dtype, call->span), call->span);
}

struct value array_creation(struct array *a, enum builtin builtin, const struct array_call *call) {
    struct value fill;
    enum dtype dtype;
    switch (builtin) {
    case BUILTIN_zeros:
    case BUILTIN_ones:
        fill = value_int(builtin == BUILTIN_ones, call->span);
        dtype = dtype_of(a, call, TY_F64);
        return dtype == TY_NONE ? value_error(call->span) : filled(a, call, 0, &fill, dtype);
    case BUILTIN_full: return full(a, call);
    case BUILTIN_arange: return arange(a, call);
    case BUILTIN_linspace: return linspace(a, call);
    default: return eye(a, call);
    }
}
