/* array_reduce.c: reductions, made of the primitive ones and elementwise operations. */
#include "frontend/array.h"

#include <math.h>

struct reduction {
    struct array *a;
    const struct array_call *call;
    struct span span;
    struct value x;           /* the argument, strong */
    struct array_shape shape; /* its */
    unsigned axes;
    bool keepdims;
    int64_t ddof;
    const struct size *count; /* elements that one result is made of */
};

/* --- arguments ---------------------------------------------------------------------------------------------------- */

bool array_axes(struct array *a, const struct ast_expr *e, const struct value *x, unsigned *axes) {
    struct value v = array_expr(a, e);
    const struct value *items = v.kind == VALUE_TUPLE ? v.items : &v;
    int n = v.kind == VALUE_TUPLE ? v.n_items : 1;
    *axes = 0;
    for (int i = 0; i < n; i++) {
        int64_t axis;
        if (items[i].kind == VALUE_ERROR) return false;
        if (!array_constant_int(a, &items[i], &axis)) {
            diag_add(a->diags, DIAG_TYPE, e->span,
                     "`axis` must be a constant integer or a tuple of them, and `%s` is not",
                     array_quote(a, items[i].span));
            return false;
        }
        if (axis < -x->type.rank || axis >= x->type.rank) {
            diag_add(a->diags, DIAG_SHAPE, e->span, "axis %lld is out of range for `%s`, which has rank %d",
                     (long long)axis, array_quote(a, x->span), x->type.rank);
            return false;
        }
        unsigned bit = 1u << (axis < 0 ? axis + x->type.rank : axis);
        if (*axes & bit) {
            diag_add(a->diags, DIAG_SHAPE, e->span, "axis %lld is named twice", (long long)axis);
            return false;
        }
        *axes |= bit;
    }
    return true;
}

static bool read_keywords(struct reduction *r) {
    struct array *a = r->a;
    const struct ast_expr *axis = array_keyword(r->call, "axis"), *keep = array_keyword(r->call, "keepdims"),
                          *ddof = array_keyword(r->call, "ddof");
    r->axes = (1u << r->shape.rank) - 1;
    if (axis && !array_axes(a, axis, &r->x, &r->axes)) return false;
    if (keep) {
        struct value v = array_expr(a, keep);
        if (!array_constant_bool(a, &v, &r->keepdims)) {
            if (v.kind != VALUE_ERROR) diag_add(a->diags, DIAG_TYPE, keep->span, "`keepdims` must be true or false");
            return false;
        }
    }
    if (ddof) {
        struct value v = array_expr(a, ddof);
        if (!array_constant_int(a, &v, &r->ddof)) {
            if (v.kind != VALUE_ERROR) diag_add(a->diags, DIAG_TYPE, ddof->span, "`ddof` must be a constant integer");
            return false;
        }
    }
    r->count = array_count(a, &r->shape, r->axes);
    return true;
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static struct graph_node *reduce(struct reduction *r, enum reduce_op op, enum dtype type, struct graph_node *x,
                                 struct graph_node *y) {
    return node_reduce(r->a, op, type, r->axes, x, y, r->span);
}

static struct graph_node *binary(struct reduction *r, enum op op, enum dtype type, struct graph_node *x,
                                 struct graph_node *y) {
    return node_op(r->a, op, type, x, y, NULL, r->span);
}

static struct graph_node *convert(struct reduction *r, struct graph_node *x, enum dtype type) {
    return node_convert(r->a, x, type, r->span);
}

static struct graph_node *argument(struct reduction *r) {
    return array_node(r->a, &r->x);
}

static bool is_float(const struct reduction *r) {
    return dtype_is_float(r->x.type.dtype);
}

/* bool(x): x != 0, so NaN counts as true. */
static struct graph_node *truth(struct reduction *r) {
    return convert(r, argument(r), TY_BOOL);
}

static struct graph_node *is_nan(struct reduction *r) {
    return node_op(r->a, OP_isnan, TY_BOOL, argument(r), NULL, NULL, r->span);
}

/* x with its NaN replaced. */
static struct graph_node *without_nan(struct reduction *r, double instead) {
    if (!is_float(r)) return argument(r);
    return node_op(r->a, OP_select, r->x.type.dtype, is_nan(r), node_float(r->a, r->x.type.dtype, instead), argument(r),
                   r->span);
}

/* The type in which sums and products accumulate. */
static enum dtype accumulator(const struct reduction *r) {
    if (is_float(r)) return r->x.type.dtype;
    return dtype_is_unsigned(r->x.type.dtype) ? TY_U64 : TY_I64;
}

static enum dtype float_type(const struct reduction *r) {
    return is_float(r) ? r->x.type.dtype : TY_F64;
}

static struct graph_node *total(struct reduction *r, enum reduce_op op, struct graph_node *x, enum dtype type) {
    return reduce(r, op, type, convert(r, x, type), NULL);
}

/* How many values are no NaN, of `type`. */
static struct graph_node *count_numbers(struct reduction *r, enum dtype type) {
    if (!is_float(r)) return convert(r, node_size(r->a, r->count), type);
    struct graph_node *number = node_op(r->a, OP_not, TY_BOOL, is_nan(r), NULL, NULL, r->span);
    return convert(r, reduce(r, REDUCE_SUM, TY_I64, convert(r, number, TY_I64), NULL), type);
}

static bool needs_elements(struct reduction *r) {
    const char *text = arena_printf(r->a->arena, "`%s` of an empty array has no value (`%s` has \1 elements here)",
                                    r->call->name, array_quote(r->a, r->x.span));
    return array_check_text(r->a, CHECK_AT_LEAST, r->count, array_const(r->a, 1), DIAG_VALUE, r->span, text);
}

/* --- the reductions -------------------------------------------------------------------------------------------------
 */

static struct graph_node *mean(struct reduction *r, bool skip_nan) {
    enum dtype t = float_type(r);
    struct graph_node *sum = total(r, REDUCE_SUM, skip_nan ? without_nan(r, 0.0) : argument(r), t);
    struct graph_node *n = skip_nan ? count_numbers(r, t) : convert(r, node_size(r->a, r->count), t);
    return binary(r, OP_div, t, sum, n);
}

/* Computed in f64, rounded to f32 at the end where the argument is f32. */
static struct graph_node *variance(struct reduction *r, bool skip_nan, bool root) {
    struct array *a = r->a;
    enum dtype t = float_type(r);
    struct graph_node *counts =
        skip_nan && is_float(r) ? node_op(a, OP_not, TY_BOOL, is_nan(r), NULL, NULL, r->span) : node_int(a, TY_BOOL, 1);
    struct graph_node *m2 = reduce(r, REDUCE_VAR, TY_F64, convert(r, argument(r), t), counts);
    struct graph_node *n = skip_nan ? count_numbers(r, TY_F64) : convert(r, node_size(a, r->count), TY_F64);
    struct graph_node *free_values = binary(r, OP_sub, TY_F64, n, node_float(a, TY_F64, (double)r->ddof));
    struct graph_node *zero = node_float(a, TY_F64, 0.0), *result;
    if (skip_nan) { /* NumPy: too few values give nan */
        struct graph_node *enough = binary(r, OP_gt, TY_BOOL, free_values, zero);
        result = node_op(a, OP_select, TY_F64, enough, binary(r, OP_div, TY_F64, m2, free_values),
                         node_float(a, TY_F64, NAN), r->span);
    } else {
        result = binary(r, OP_div, TY_F64, m2, binary(r, OP_max, TY_F64, free_values, zero));
    }
    if (root) result = node_op(a, OP_sqrt, TY_F64, result, NULL, NULL, r->span);
    return convert(r, result, t);
}

static struct graph_node *extreme(struct reduction *r, enum reduce_op op) {
    return needs_elements(r) ? reduce(r, op, r->x.type.dtype, argument(r), NULL) : NULL;
}

static struct graph_node *position(struct reduction *r, enum reduce_op op) {
    if (!needs_elements(r)) return NULL;
    struct graph_node *x = argument(r);
    return reduce(r, op, TY_I64, x->type == TY_BOOL ? convert(r, x, TY_U8) : x, NULL);
}

/* A run of nothing but NaN has no smallest value to point at. */
static struct graph_node *number_position(struct reduction *r, bool smallest) {
    if (!is_float(r)) return position(r, smallest ? REDUCE_ARGMIN : REDUCE_ARGMAX);
    struct array *a = r->a;
    struct graph_node *at = position(r, smallest ? REDUCE_NANARGMIN : REDUCE_NANARGMAX);
    if (!at) return NULL;
    struct graph_node *found = binary(r, OP_ge, TY_BOOL, at, node_int(a, TY_I64, 0));
    if (found->rank > 0) found = node_reduce(a, REDUCE_ALL, TY_BOOL, (1u << found->rank) - 1, found, NULL, r->span);
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_ASSERT, r->span);
    sink->n_nodes = 1;
    sink->nodes = ARENA_NEW(a->arena, struct graph_node *);
    sink->nodes[0] = array_local(a, found);
    sink->text = arena_printf(a->arena, "`%s` found nothing but NaN in `%s`", r->call->name, array_quote(a, r->x.span));
    return at;
}

static struct graph_node *norm(struct reduction *r) {
    enum dtype t = float_type(r);
    struct graph_node *x = convert(r, argument(r), t);
    return node_op(r->a, OP_sqrt, t, reduce(r, REDUCE_SUM, t, binary(r, OP_mul, t, x, x), NULL), NULL, NULL, r->span);
}

static struct graph_node *build(struct reduction *r, enum builtin builtin) {
    switch (builtin) {
    case BUILTIN_sum:
    case BUILTIN_dot: return total(r, REDUCE_SUM, argument(r), accumulator(r));
    case BUILTIN_prod: return total(r, REDUCE_PROD, argument(r), accumulator(r));
    case BUILTIN_nansum: return total(r, REDUCE_SUM, without_nan(r, 0.0), accumulator(r));
    case BUILTIN_nanprod: return total(r, REDUCE_PROD, without_nan(r, 1.0), accumulator(r));
    case BUILTIN_mean: return mean(r, false);
    case BUILTIN_nanmean: return mean(r, true);
    case BUILTIN_var: return variance(r, false, false);
    case BUILTIN_nanvar: return variance(r, true, false);
    case BUILTIN_std: return variance(r, false, true);
    case BUILTIN_nanstd: return variance(r, true, true);
    case BUILTIN_min: return extreme(r, REDUCE_MIN);
    case BUILTIN_max: return extreme(r, REDUCE_MAX);
    case BUILTIN_nanmin: return extreme(r, is_float(r) ? REDUCE_FMIN : REDUCE_MIN);
    case BUILTIN_nanmax: return extreme(r, is_float(r) ? REDUCE_FMAX : REDUCE_MAX);
    case BUILTIN_any: return reduce(r, REDUCE_ANY, TY_BOOL, truth(r), NULL);
    case BUILTIN_all: return reduce(r, REDUCE_ALL, TY_BOOL, truth(r), NULL);
    case BUILTIN_count: return total(r, REDUCE_SUM, truth(r), TY_I64);
    case BUILTIN_argmin: return position(r, REDUCE_ARGMIN);
    case BUILTIN_argmax: return position(r, REDUCE_ARGMAX);
    case BUILTIN_nanargmin: return number_position(r, true);
    case BUILTIN_nanargmax: return number_position(r, false);
    case BUILTIN_norm: return norm(r);
    default: return NULL;
    }
}

/* The reduced dimensions again, with size 1. */
static struct graph_node *keep_dims(struct reduction *r, struct graph_node *node) {
    struct array *a = r->a;
    struct array_shape shape = r->shape;
    struct view_map map = {.source_rank = node->rank};
    int kept = 0;
    for (int d = 0; d < shape.rank; d++) {
        if (r->axes >> d & 1) {
            shape.dim[d] = array_const(a, 1);
            continue;
        }
        struct view_term *term = ARENA_NEW(a->arena, struct view_term);
        *term = (struct view_term){d, array_const(a, 1)};
        map.axis[kept++] = (struct view_axis){array_const(a, 0), 1, term};
    }
    return node_view(a, node, &shape, &map, r->span);
}

/* x*y for dot. */
static struct value product(struct array *a, const struct array_call *call) {
    struct value pair[2] = {call->arguments[0], call->arguments[1]};
    if (!array_is_number(a, &pair[0], "`dot`") || !array_is_number(a, &pair[1], "`dot`"))
        return value_error(call->span);
    if (pair[0].type.rank != 1 || pair[1].type.rank != 1) {
        bool matrix = pair[0].type.rank > 1 || pair[1].type.rank > 1;
        if (matrix)
            return array_error(
                a, DIAG_UNSUPPORTED, call->span,
                "`dot` of arrays of rank 2 and more, a matrix product, is not available in this version");
        const struct value *scalar = &pair[pair[0].type.rank == 0 ? 0 : 1];
        return array_error(a, DIAG_SHAPE, scalar->span, "`dot` wants two arrays of rank 1, and `%s` is a scalar",
                           array_quote(a, scalar->span));
    }
    struct array_shape shapes[2] = {array_value_shape(&pair[0]), array_value_shape(&pair[1])};
    if (!array_check_text(a, CHECK_EQUAL, shapes[0].dim[0], shapes[1].dim[0], DIAG_SHAPE, call->span,
                          arena_printf(a->arena,
                                       "`dot` wants two arrays of one size, and `%s` has \1 elements, `%s` has \2",
                                       array_quote(a, pair[0].span), array_quote(a, pair[1].span))))
        return value_error(call->span);
    pair[1].node = node_broadcast(a, pair[1].node, &shapes[0], call->span); /* equal sizes, by one name */
    return elementwise_binary(&a->emit, AST_MUL, &pair[0], &pair[1], call->span);
}

struct value array_reduction(struct array *a, enum builtin builtin, const struct array_call *call) {
    if ((builtin == BUILTIN_min || builtin == BUILTIN_max) && call->n > 1) {
        struct value *args = ARENA_ARRAY(a->arena, struct value, call->n);
        for (int i = 0; i < call->n; i++) {
            if (!array_is_number(a, &call->arguments[i], arena_printf(a->arena, "`%s`", call->name)))
                return value_error(call->span);
            args[i] = call->arguments[i];
        }
        if (array_keyword(call, "axis") || array_keyword(call, "keepdims"))
            return array_error(a, DIAG_TYPE, call->span, "`%s` of several values is elementwise and takes no axis",
                               call->name);
        if (!array_literals_fit(a, call->n, args) || !array_align(a, call->n, args, call->span))
            return value_error(call->span);
        struct value v =
            elementwise_call(&a->emit, builtin == BUILTIN_min ? OP_min : OP_max, call->n, args, call->span);
        bool sizes = v.kind == VALUE_NUMBER && !v.is_const && v.type.weak == WEAK_INT;
        for (int i = 0; i < call->n; i++) sizes &= args[i].is_const || args[i].size;
        for (int i = 0; sizes && i < call->n; i++) {
            const struct size *size = array_size(a, &args[i], "an argument");
            if (size)
                v.size = i ? array_arith(a, builtin == BUILTIN_min ? SIZE_SMALLER : SIZE_LARGER, v.size, size) : size;
        }
        return v;
    }
    struct reduction r = {.a = a, .call = call, .span = call->span};
    r.x = builtin == BUILTIN_dot ? product(a, call) : call->arguments[0];
    if (!array_is_number(a, &r.x, arena_printf(a->arena, "`%s`", call->name))) return value_error(call->span);
    if (r.x.is_const || !r.x.node) r.x = array_wrap(a, array_node(a, &r.x), r.x.span);
    if (r.x.kind == VALUE_ERROR) return r.x;
    r.shape = array_value_shape(&r.x);
    if (!read_keywords(&r)) return value_error(call->span);
    struct graph_node *node = build(&r, builtin);
    if (!node) return value_error(call->span);
    if (r.keepdims && r.shape.rank > 0 && r.axes) node = keep_dims(&r, node);
    return array_wrap(a, node, call->span);
}
