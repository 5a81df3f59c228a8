/* array_index.c: subscripts and slices become views. Slices are clamped as NumPy's are, by arithmetic of sizes;
 * subscripts are checked.
 */
#include "frontend/array.h"

#include <string.h>

/* A bound or step of a slice that was not written is NULL. */
struct slice {
    const struct size *start, *stop;
    int64_t step;              /* if `steps` is NULL */
    const struct size *steps;  /* a step known only when the program runs: positive */
    const struct size *offset; /* of the first element */
    const struct size *count;
};

struct indexing {
    struct array *a;
    const struct ast_expr *expr;
    const struct value *base;
    struct array_shape source, shape; /* shape: of the result, so far */
    struct view_map map;
    int dim; /* next of the source */
};

static const struct size *constant(struct array *a, int64_t value) {
    return array_const(a, value);
}

static bool is_const(const struct size *s) {
    return s->op == SIZE_CONST;
}

static const struct size *add(struct array *a, const struct size *x, const struct size *y) {
    return array_arith(a, SIZE_ADD, x, y);
}

static const struct size *sub(struct array *a, const struct size *x, const struct size *y) {
    return array_arith(a, SIZE_SUB, x, y);
}

static const struct size *clamp(struct array *a, const struct size *x, const struct size *low,
                                const struct size *high) {
    return array_arith(a, SIZE_SMALLER, array_arith(a, SIZE_LARGER, x, low), high);
}

/* A bound as NumPy understands it: from the end if negative, then clamped to [low, high]. */
static const struct size *bound(struct array *a, const struct size *b, const struct size *n, const struct size *low,
                                const struct size *high) {
    if (is_const(b) && b->value < 0) return array_arith(a, SIZE_LARGER, add(a, n, b), low); /* below n anyway */
    if (is_const(b) && is_const(low) && b->value >= low->value) return array_arith(a, SIZE_SMALLER, b, high);
    return clamp(a, is_const(b) ? b : array_arith(a, SIZE_WRAP, b, n), low, high);
}

static const struct size *divided_up(struct array *a, const struct size *length, const struct slice *s, int64_t step) {
    if (s->steps) return array_arith(a, SIZE_DIV, add(a, length, sub(a, s->steps, constant(a, 1))), s->steps);
    if (step == 1) return length;
    return array_arith(a, SIZE_DIV, add(a, length, constant(a, step - 1)), constant(a, step));
}

static void slice_forwards(struct array *a, struct slice *s, const struct size *n) {
    const struct size *zero = constant(a, 0), *length;
    bool plain_start = !s->start || (is_const(s->start) && s->start->value >= 0);
    int64_t start = s->start && plain_start ? s->start->value : 0;
    bool from_end = !s->stop || (is_const(s->stop) && s->stop->value < 0);
    if (plain_start && from_end) {
        /* x[a:] and x[a:-b]: n - a - b, written so that x[1:] and x[:-1] have the same size. */
        length = sub(a, n, constant(a, start));
        if (s->stop) length = add(a, length, s->stop);
        length = start == 0 && !s->stop ? n : array_arith(a, SIZE_LARGER, length, zero);
        s->offset = constant(a, start);
    } else if (plain_start && is_const(s->stop)) {
        int64_t room = s->stop->value > start ? s->stop->value - start : 0;
        length = start == 0 ? array_arith(a, SIZE_SMALLER, constant(a, room), n)
                            : clamp(a, sub(a, n, constant(a, start)), zero, constant(a, room));
        s->offset = constant(a, start);
    } else if (!s->stop && is_const(s->start)) { /* x[-a:] */
        length = array_arith(a, SIZE_SMALLER, constant(a, -s->start->value), n);
        s->offset = sub(a, n, length);
    } else {
        s->offset = s->start ? bound(a, s->start, n, zero, n) : zero;
        const struct size *stop = s->stop ? bound(a, s->stop, n, zero, n) : n;
        length = array_arith(a, SIZE_LARGER, sub(a, stop, s->offset), zero);
    }
    s->count = divided_up(a, length, s, s->step);
}

static void slice_backwards(struct array *a, struct slice *s, const struct size *n) {
    const struct size *before = constant(a, -1), *last = sub(a, n, constant(a, 1));
    s->offset = s->start ? bound(a, s->start, n, before, last) : last;
    const struct size *stop = s->stop ? bound(a, s->stop, n, before, last) : before;
    const struct size *length = sub(a, s->offset, stop);
    if (s->start || s->stop) length = array_arith(a, SIZE_LARGER, length, constant(a, 0));
    s->count = divided_up(a, length, s, -s->step);
}

/* False: reported. */
static bool slice_part(struct array *a, const struct ast_expr *e, const char *what, const struct size **size) {
    *size = NULL;
    if (!e) return true;
    struct value v = array_expr(a, e);
    *size = array_size(a, &v, what);
    if (*size && size_is_const(*size, INT64_MIN))
        *size = array_const(a, -INT64_MAX); /* as far out, and can be negated */
    return *size != NULL;
}

/* A step past the end takes one element however long it is: held to what arithmetic of sizes can take. */
#define MOST_STEP (INT64_C(1) << 40)

static const struct size *no_longer(struct array *a, const struct size *step, const struct size *n) {
    return array_arith(a, SIZE_SMALLER, step, array_arith(a, SIZE_LARGER, n, constant(a, 1)));
}

static bool take_slice(struct indexing *x, const struct ast_subscript *sub_script) {
    struct array *a = x->a;
    struct slice s = {.step = 1};
    const struct size *step, *n = x->source.dim[x->dim];
    if (!slice_part(a, sub_script->start, "a slice's start", &s.start) ||
        !slice_part(a, sub_script->stop, "a slice's end", &s.stop) ||
        !slice_part(a, sub_script->step, "a slice's step", &step))
        return false;
    if (step && is_const(step)) {
        s.step = step->value;
        if (s.step == 0) {
            diag_add(a->diags, DIAG_VALUE, sub_script->span, "the step of a slice is 0");
            return false;
        }
    } else if (step) {
        if (!array_check_text(a, CHECK_AT_LEAST, step, constant(a, 1), DIAG_VALUE, sub_script->span,
                              "a step that is known only at run time must be positive, and this one is \1"))
            return false;
        s.steps = no_longer(a, step, n);
    }
    if (s.step > MOST_STEP) s.steps = no_longer(a, step, n);
    if (s.step < -MOST_STEP) s.step = -MOST_STEP;
    if (s.step > 0)
        slice_forwards(a, &s, n);
    else
        slice_backwards(a, &s, n);
    struct view_term *term = ARENA_NEW(a->arena, struct view_term);
    *term = (struct view_term){x->shape.rank, s.steps ? s.steps : constant(a, s.step)};
    x->map.axis[x->dim++] = (struct view_axis){s.offset, 1, term};
    x->shape.dim[x->shape.rank++] = s.count;
    return true;
}

static void take_whole(struct indexing *x) {
    struct view_term *term = ARENA_NEW(x->a->arena, struct view_term);
    *term = (struct view_term){x->shape.rank, constant(x->a, 1)};
    x->map.axis[x->dim] = (struct view_axis){constant(x->a, 0), 1, term};
    x->shape.dim[x->shape.rank++] = x->source.dim[x->dim];
    x->dim++;
}

struct out_of_range {
    struct indexing *x;
    const struct size *subscript;
};

static void describe_range(struct array *a, struct array_message *message, void *host) {
    const struct out_of_range *out = host;
    strbuf_puts(&message->text, "subscript ");
    array_message_size(a, message, out->subscript);
    strbuf_printf(&message->text, " is out of range for dimension %d of `%s`, whose size is ", out->x->dim,
                  array_quote(a, out->x->base->span));
    array_message_size(a, message, out->x->source.dim[out->x->dim]);
}

static bool take_one(struct indexing *x, const struct ast_subscript *subscript) {
    struct array *a = x->a;
    struct value v = array_expr(a, subscript->expr);
    if (v.kind == VALUE_ERROR) return false;
    if (v.kind == VALUE_NUMBER && (v.type.rank > 0 || v.type.dtype == TY_BOOL) && !dtype_is_float(v.type.dtype)) {
        diag_add(a->diags, DIAG_UNSUPPORTED, v.span, "indexing by %s (`%s`) is not available in this version",
                 v.type.dtype == TY_BOOL ? "a mask" : "an array", array_quote(a, v.span));
        return false;
    }
    const struct size *subscript_size = array_size(a, &v, "a subscript"), *n = x->source.dim[x->dim];
    if (!subscript_size) return false;
    const struct size *at = is_const(subscript_size)
                                ? (subscript_size->value < 0 ? add(a, n, subscript_size) : subscript_size)
                                : array_arith(a, SIZE_WRAP, subscript_size, n);
    struct out_of_range out = {x, subscript_size};
    if (!array_check(a, CHECK_INDEX, at, n, DIAG_INDEX, subscript->span, describe_range, &out)) return false;
    x->map.axis[x->dim++] = (struct view_axis){at, 0, NULL};
    return true;
}

static bool check_counts(struct indexing *x) {
    int taken = 0, ellipses = 0, added = 0, fixed = 0;
    for (int i = 0; i < x->expr->index.n_subscripts; i++) {
        const struct ast_subscript *s = &x->expr->index.subscripts[i];
        ellipses += s->kind == AST_SUB_ELLIPSIS;
        added += s->kind == AST_SUB_NONE;
        fixed += s->kind == AST_SUB_EXPR;
        taken += s->kind == AST_SUB_EXPR || s->kind == AST_SUB_SLICE;
    }
    struct array *a = x->a;
    if (ellipses > 1) {
        diag_add(a->diags, DIAG_INDEX, x->expr->span, "`...` can stand in a subscript only once");
    } else if (taken > x->source.rank) {
        if (x->source.rank == 0)
            diag_add(a->diags, DIAG_INDEX, x->expr->span, "`%s` is a scalar and has no elements",
                     array_quote(a, x->base->span));
        else
            diag_add(a->diags, DIAG_INDEX, x->expr->span, "%d subscripts for `%s`, which has rank %d", taken,
                     array_quote(a, x->base->span), x->source.rank);
    } else if (x->source.rank - fixed + added > TYPE_MAX_RANK) {
        diag_add(a->diags, DIAG_LIMIT, x->expr->span, "the result would have rank %d; %d is the most",
                 x->source.rank - fixed + added, TYPE_MAX_RANK);
    } else {
        return true;
    }
    return false;
}

/* x.shape[0]: the subscript is a constant. */
static struct value index_tuple(struct array *a, const struct ast_expr *e, const struct value *base) {
    const struct ast_subscript *s = &e->index.subscripts[0];
    int64_t at;
    if (e->index.n_subscripts != 1 || s->kind != AST_SUB_EXPR)
        return array_error(a, DIAG_INDEX, e->span, "a tuple takes one integer as its subscript");
    struct value v = array_expr(a, s->expr);
    if (v.kind == VALUE_ERROR) return value_error(e->span);
    if (!array_constant_int(a, &v, &at))
        return array_error(a, DIAG_INDEX, s->span, "a tuple's subscript must be a constant integer");
    if (at < -base->n_items || at >= base->n_items)
        return array_error(a, DIAG_INDEX, s->span, "subscript %lld is out of range for `%s`, which has %d items",
                           (long long)at, array_quote(a, base->span), base->n_items);
    struct value item = base->items[at < 0 ? at + base->n_items : at];
    item.span = e->span;
    return item;
}

struct value array_index(struct array *a, const struct ast_expr *e, const struct value *base) {
    if (base->kind == VALUE_ERROR) return value_error(e->span);
    if (base->kind == VALUE_TUPLE) return index_tuple(a, e, base);
    if (!array_is_number(a, base, "indexing")) return value_error(e->span);
    struct indexing x = {.a = a, .expr = e, .base = base, .source = array_value_shape(base)};
    x.map.source_rank = x.source.rank;
    if (!check_counts(&x)) return value_error(e->span);
    int n = e->index.n_subscripts, rest = x.source.rank;
    for (int i = 0; i < n; i++)
        rest -= e->index.subscripts[i].kind == AST_SUB_EXPR || e->index.subscripts[i].kind == AST_SUB_SLICE;
    bool good = true;
    for (int i = 0; i < n && good; i++) {
        const struct ast_subscript *s = &e->index.subscripts[i];
        switch (s->kind) {
        case AST_SUB_EXPR: good = take_one(&x, s); break;
        case AST_SUB_SLICE: good = take_slice(&x, s); break;
        case AST_SUB_NONE: x.shape.dim[x.shape.rank++] = constant(a, 1); break;
        case AST_SUB_ELLIPSIS:
            for (; rest > 0; rest--) take_whole(&x);
            break;
        }
    }
    if (!good) return value_error(e->span);
    while (x.dim < x.source.rank) take_whole(&x);
    struct graph_node *source = array_node(a, base);
    if (!source) return value_error(e->span);
    struct value v = array_wrap(a, node_view(a, source, &x.shape, &x.map, e->span), e->span);
    v.type.weak = base->type.weak;
    return v;
}
