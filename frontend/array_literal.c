/* array_literal.c: [1, 2, 3]. Constants become a literal of the plan; elements known only at run time, and rows that
 * are arrays, are chosen by position.
 */
#include "frontend/array.h"

#include <math.h>
#include <string.h>

enum {
    MAX_COMPUTED = 1024, /* elements known only at run time: each costs a choice for every element */
    DEFAULT_LITERAL_BYTES = 64 << 20,
};

/* A leaf that is a constant, without the weight of a struct value. */
struct leaf {
    struct type type; /* weak, or of a constant node */
    union {
        int64_t i; /* bits of a u64 */
        double f;
    };
    int computed; /* index into `computed`, or -1 */
};

struct literal {
    struct array *a;
    int rank; /* of the brackets */
    int64_t shape[TYPE_MAX_RANK];
    struct leaf *leaves;
    int n_leaves, capacity;
    struct value *computed;
    int n_computed, computed_capacity;
    struct type type;
    bool failed;
    int64_t most;
};

static void literal_error(struct literal *x, enum diag_code code, struct span span, const char *text) {
    if (!x->failed) diag_add(x->a->diags, code, span, "%s", text);
    x->failed = true;
}

static void add_leaf(struct literal *x, const struct ast_expr *e) {
    struct array *a = x->a;
    struct value v = array_expr(a, e);
    struct leaf leaf = {.type = v.type, .computed = -1};
    if (v.kind == VALUE_ERROR || !array_is_number(a, &v, "an array literal")) {
        x->failed = true;
        return;
    }
    if (x->n_leaves >= x->most / 8) {
        literal_error(x, DIAG_LIMIT, v.span, "the array literals are too large; load a file instead");
        return;
    }
    if (v.is_const && v.type.weak == WEAK_INT) {
        if (!v.negative && v.magnitude > INT64_MAX) leaf.type.dtype = TY_U64; /* noted: fits u64 and floats only */
        leaf.i = (int64_t)(v.negative ? -v.magnitude : v.magnitude);
    } else if (v.is_const) {
        leaf.f = v.real;
    } else if (v.node && v.node->op == OP_const && v.type.weak == STRONG) {
        if (dtype_is_float(v.type.dtype))
            leaf.f = v.node->imm.f;
        else
            leaf.i = v.node->imm.i;
    } else {
        leaf.computed = x->n_computed;
        ARENA_PUSH(a->arena, x->computed, x->n_computed, x->computed_capacity) = v;
    }
    struct type type = v.type;
    type.rank = 0;
    x->type = x->type.dtype == TY_NONE ? type : type_promote(x->type, type);
    ARENA_PUSH(a->arena, x->leaves, x->n_leaves, x->capacity) = leaf;
}

static void add_rows(struct literal *x, const struct ast_expr *e, int depth) {
    if (x->failed) return;
    if (depth == x->rank) {
        if (e->kind == AST_ARRAY)
            literal_error(x, DIAG_SHAPE, e->span,
                          "an array literal must be rectangular: this is a row, and others here are no rows");
        else
            add_leaf(x, e);
        return;
    }
    if (e->kind != AST_ARRAY) {
        literal_error(x, DIAG_SHAPE, e->span,
                      "an array literal must be rectangular: this is no row, and others here are");
    } else if (e->list.count != x->shape[depth]) {
        literal_error(
            x, DIAG_SHAPE, e->span,
            arena_printf(x->a->arena,
                         "an array literal must be rectangular: this row has %d element%s, the first has %lld",
                         e->list.count, e->list.count == 1 ? "" : "s", (long long)x->shape[depth]));
    } else {
        for (int i = 0; i < e->list.count; i++) add_rows(x, e->list.items[i], depth + 1);
    }
}

/* --- constants ---------------------------------------------------------------------------------------------------- */

static void store_leaf(struct literal *x, const struct leaf *leaf, enum dtype to, char *at, struct span span) {
    bool from_float = dtype_is_float(leaf->type.dtype), big = leaf->type.dtype == TY_U64;
    if (dtype_is_float(to)) {
        double f = from_float ? leaf->f : big ? (double)(uint64_t)leaf->i : (double)leaf->i;
        float narrow = from_float ? (float)leaf->f : big ? (float)(uint64_t)leaf->i : (float)leaf->i;
        if (to == TY_F32)
            memcpy(at, &narrow, sizeof narrow);
        else
            memcpy(at, &f, sizeof f);
        return;
    }
    bool negative = !big && leaf->i < 0;
    uint64_t magnitude = negative ? -(uint64_t)leaf->i : (uint64_t)leaf->i;
    if (!dtype_holds_int(to, negative, magnitude))
        literal_error(x, DIAG_TYPE, span,
                      arena_printf(x->a->arena, "%s%llu in this literal does not fit in %s, the type of its elements",
                                   negative ? "-" : "", (unsigned long long)magnitude, dtype_name(to)));
    memcpy(at, &leaf->i, (size_t)dtype_size(to)); /* little-endian: the low bytes */
}

static struct value constant_literal(struct literal *x, struct span span) {
    struct array *a = x->a;
    enum dtype dtype = x->type.dtype;
    size_t size = (size_t)dtype_size(dtype);
    char *data = arena_alloc(a->arena, size * (size_t)x->n_leaves);
    for (int i = 0; i < x->n_leaves && !x->failed; i++)
        store_leaf(x, &x->leaves[i], dtype, data + size * (size_t)i, span);
    if (x->failed) return value_error(span);
    const struct size *shape[TYPE_MAX_RANK];
    for (int d = 0; d < x->rank; d++) shape[d] = array_const(a, x->shape[d]);
    int literal = plan_add_literal(a->plan, dtype, x->rank, x->shape, data);
    struct value v = array_wrap(a, graph_literal(array_graph(a), literal, dtype, x->rank, shape), span);
    v.type.weak = x->type.weak;
    return v;
}

/* --- elements known at run time -------------------------------------------------------------------------------------
 */

static struct value leaf_value(struct literal *x, const struct leaf *leaf, struct span span) {
    struct array *a = x->a;
    if (leaf->computed >= 0) return x->computed[leaf->computed];
    if (leaf->type.weak == WEAK_FLOAT) return value_real(leaf->f, span);
    if (leaf->type.weak == WEAK_INT) {
        struct value v = value_int(leaf->i, span);
        if (leaf->type.dtype == TY_U64) v.negative = false, v.magnitude = (uint64_t)leaf->i;
        return v;
    }
    return array_wrap(a,
                      dtype_is_float(leaf->type.dtype) ? node_float(a, leaf->type.dtype, leaf->f)
                                                       : node_int(a, leaf->type.dtype, leaf->i),
                      span);
}

/* Row-major position in the dimensions of the brackets, as an array of the result's shape. */
static struct graph_node *position(struct literal *x, const struct array_shape *shape) {
    struct array *a = x->a;
    struct graph_node *sum = NULL;
    int64_t stride = 1;
    for (int d = x->rank - 1; d >= 0; stride *= x->shape[d--]) {
        struct graph_node *index = graph_index(array_graph(a), shape->rank, shape->dim, d);
        if (stride != 1)
            index = node_op(a, OP_mul, TY_I64, index, node_int(a, TY_I64, stride), NULL, (struct span){0, 0});
        sum = sum ? node_op(a, OP_add, TY_I64, sum, index, NULL, (struct span){0, 0}) : index;
    }
    return sum;
}

static struct value computed_literal(struct literal *x, struct span span) {
    struct array *a = x->a;
    if (x->n_leaves > MAX_COMPUTED)
        return array_error(a, DIAG_LIMIT, span,
                           "an array literal with elements that are computed has at most %d of them", MAX_COMPUTED);
    struct value *values = ARENA_ARRAY(a->arena, struct value, x->n_leaves);
    int rank = -1;
    for (int i = 0; i < x->n_leaves; i++) {
        values[i] = leaf_value(x, &x->leaves[i], span);
        if (rank >= 0 && values[i].type.rank != rank)
            return array_error(
                a, DIAG_SHAPE, values[i].span,
                "an array literal must be rectangular: `%s` has rank %d, and another element has rank %d",
                array_quote(a, values[i].span), values[i].type.rank, rank);
        rank = values[i].type.rank;
    }
    if (rank + x->rank > TYPE_MAX_RANK)
        return array_error(a, DIAG_LIMIT, span, "an array has at most rank %d", TYPE_MAX_RANK);
    struct array_shape row = array_value_shape(&values[0]), shape = {.rank = x->rank + row.rank};
    for (int i = 1; i < x->n_leaves; i++) { /* rows have one shape: nothing broadcasts here */
        struct array_shape other = array_value_shape(&values[i]);
        for (int d = 0; d < rank; d++)
            if (!array_check_text(a, CHECK_EQUAL, other.dim[d], row.dim[d], DIAG_SHAPE, values[i].span,
                                  "an array literal must be rectangular: this row has size \1, the first has \2"))
                return value_error(span);
    }
    for (int d = 0; d < x->rank; d++) shape.dim[d] = array_const(a, x->shape[d]);
    for (int d = 0; d < row.rank; d++) shape.dim[x->rank + d] = row.dim[d];

    struct graph_node *at = position(x, &shape), *result = NULL;
    for (int i = x->n_leaves - 1; i >= 0; i--) {
        struct graph_node *element = value_as(&a->emit, &values[i], x->type.dtype);
        if (!element) return value_error(span);
        if (element->rank) element = node_broadcast(a, element, &shape, span);
        if (!result) {
            result = element;
            continue;
        }
        struct graph_node *here = node_op(a, OP_eq, TY_BOOL, at, node_int(a, TY_I64, i), NULL, span);
        result = node_op(a, OP_select, x->type.dtype, here, element, result, span);
    }
    struct value v = array_wrap(a, node_broadcast(a, result, &shape, span), span);
    v.type.weak = x->type.weak;
    return v;
}

struct value array_literal(struct array *a, const struct ast_expr *e) {
    struct literal x = {.a = a};
    int64_t limit = a->elab->program->options->limits.literal_bytes;
    x.most = limit > 0 ? limit : DEFAULT_LITERAL_BYTES;
    const struct ast_expr *row = e;
    for (; row->kind == AST_ARRAY && x.rank < TYPE_MAX_RANK; row = row->list.items[0]) {
        x.shape[x.rank++] = row->list.count;
        if (row->list.count == 0) break;
    }
    if (row->kind == AST_ARRAY && row->list.count)
        return array_error(a, DIAG_LIMIT, e->span, "an array has at most rank %d", TYPE_MAX_RANK);
    add_rows(&x, e, 0);
    if (x.failed) return value_error(e->span);
    if (x.n_leaves == 0) x.type = (struct type){TY_F64, WEAK_FLOAT, 0};
    return x.n_computed ? computed_literal(&x, e->span) : constant_literal(&x, e->span);
}

/* --- weak literals meeting a type ------------------------------------------------------------------------------------
 */

static const struct plan_literal *literal_of(struct array *a, const struct graph_node *node) {
    if (node && node->op == OP_view) node = node->args[0];
    return node && node->op == OP_literal ? &a->plan->literals[node->imm.i] : NULL;
}

static int64_t literal_count(const struct plan_literal *literal) {
    int64_t count = 1;
    for (int d = 0; d < literal->rank; d++) count *= literal->shape[d];
    return count;
}

static bool fits(struct array *a, const struct value *v, enum dtype dtype) {
    const struct plan_literal *literal = literal_of(a, v->node);
    int64_t count = literal ? literal_count(literal) : 0;
    for (int64_t i = 0; i < count; i++) {
        if (literal->type == TY_I64) {
            int64_t element = ((const int64_t *)literal->data)[i];
            uint64_t magnitude = element < 0 ? -(uint64_t)element : (uint64_t)element;
            if (dtype_is_float(dtype) || dtype_holds_int(dtype, element < 0, magnitude)) continue;
            diag_add(a->diags, DIAG_TYPE, v->span, "%lld in `%s` does not fit in %s", (long long)element,
                     array_quote(a, v->span), dtype_name(dtype));
            return false;
        }
        double element = ((const double *)literal->data)[i];
        if (dtype != TY_F32 || !isfinite(element) || isfinite((float)element)) continue;
        diag_add(a->diags, DIAG_TYPE, v->span, "%g in `%s` does not fit in f32", element, array_quote(a, v->span));
        return false;
    }
    return true;
}

bool array_literal_fits(struct array *a, const struct value *v, enum dtype dtype) {
    return v->type.rank == 0 || dtype == TY_BOOL || fits(a, v, dtype);
}

bool array_literals_fit(struct array *a, int n, const struct value *values) {
    struct type type = {TY_NONE, STRONG, 0};
    bool weak = false;
    for (int i = 0; i < n; i++) {
        if (values[i].kind != VALUE_NUMBER) return true;
        weak |= values[i].type.weak && values[i].type.rank > 0;
        type = i ? type_promote(type, values[i].type) : values[i].type;
    }
    if (!weak || type.weak || type.dtype == TY_BOOL) return true;
    for (int i = 0; i < n; i++)
        if (values[i].type.weak && values[i].type.rank > 0 && !fits(a, &values[i], type.dtype)) return false;
    return true;
}
