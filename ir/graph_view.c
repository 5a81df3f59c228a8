/* graph_view.c: views, broadcasts and reshapes. */
#include "ir/graph_internal.h"

/* Terms of one source subscript while it is put together: at most one for each dimension of the viewing node. */
struct axis_sum {
    const struct size *offset;
    const struct size *coef[TYPE_MAX_RANK];
};

static void axis_start(struct axis_sum *sum, const struct size *offset) {
    *sum = (struct axis_sum){.offset = offset};
}

static void axis_add(struct size_table *sizes, struct axis_sum *sum, int dim, const struct size *coef) {
    sum->coef[dim] = sum->coef[dim] ? size_binary(sizes, SIZE_ADD, sum->coef[dim], coef) : coef;
}

/* Terms in order of dimension, without those that add nothing: a factor 0, or a dimension of one element. */
static void axis_finish(struct arena *arena, const struct axis_sum *sum, int rank, const struct size *const *shape,
                        struct view_axis *axis) {
    *axis = (struct view_axis){.offset = sum->offset};
    axis->terms = ARENA_ARRAY(arena, struct view_term, rank);
    for (int dim = 0; dim < rank; dim++) {
        if (!sum->coef[dim] || size_is_const(sum->coef[dim], 0) || size_is_const(shape[dim], 1)) continue;
        axis->terms[axis->n_terms++] = (struct view_term){dim, sum->coef[dim]};
    }
}

/* Source subscript `outer` + ... of a view of a view: inner subscript d with each of its dimensions replaced. */
static void compose_axis(struct size_table *sizes, const struct view_axis *inner, const struct view_map *outer,
                         struct axis_sum *sum) {
    axis_start(sum, inner->offset);
    for (int t = 0; t < inner->n_terms; t++) {
        const struct size *scale = inner->terms[t].coef;
        const struct view_axis *replacement = &outer->axis[inner->terms[t].dim];
        sum->offset =
            size_binary(sizes, SIZE_ADD, sum->offset, size_binary(sizes, SIZE_MUL, scale, replacement->offset));
        for (int u = 0; u < replacement->n_terms; u++)
            axis_add(sizes, sum, replacement->terms[u].dim,
                     size_binary(sizes, SIZE_MUL, scale, replacement->terms[u].coef));
    }
}

static bool same_shape(int rank, const struct size *const *a, const struct size *const *b) {
    for (int d = 0; d < rank; d++)
        if (a[d] != b[d]) return false;
    return true;
}

static bool is_identity(const struct graph_node *view) {
    const struct graph_node *x = view->args[0];
    if (x->rank != view->rank || !same_shape(x->rank, x->shape, view->shape)) return false;
    for (int d = 0; d < x->rank; d++) {
        const struct view_axis *axis = &view->map->axis[d];
        if (!size_is_const(axis->offset, 0)) return false;
        if (size_is_const(x->shape[d], 1) && axis->n_terms == 0) continue;
        if (axis->n_terms != 1 || axis->terms[0].dim != d || !size_is_const(axis->terms[0].coef, 1)) return false;
    }
    return true;
}

struct graph_node *graph_view(struct graph *graph, struct graph_node *x, int rank, const struct size *const *shape,
                              const struct view_map *map, struct span span) {
    struct view_map composed = {0};
    const struct view_map *inner = x->op == OP_view ? x->map : NULL;
    composed.source_rank = inner ? inner->source_rank : map->source_rank;
    for (int d = 0; d < composed.source_rank; d++) {
        struct axis_sum sum;
        if (inner) {
            compose_axis(graph->sizes, &inner->axis[d], map, &sum);
        } else {
            axis_start(&sum, map->axis[d].offset);
            for (int t = 0; t < map->axis[d].n_terms; t++)
                axis_add(graph->sizes, &sum, map->axis[d].terms[t].dim, map->axis[d].terms[t].coef);
        }
        axis_finish(graph->arena, &sum, rank, shape, &composed.axis[d]);
    }
    struct graph_node *source = inner ? x->args[0] : x;
    struct graph_node view = {
        .op = OP_view, .type = x->type, .rank = rank, .n_args = 1, .args = &source, .map = &composed, .span = span};
    for (int d = 0; d < rank; d++) view.shape[d] = shape[d];
    if (is_identity(&view)) return source;
    return graph_number(graph, &view);
}

struct graph_node *graph_broadcast(struct graph *graph, struct graph_node *x, int rank, const struct size *const *shape,
                                   struct span span) {
    if (x->rank == rank && same_shape(rank, x->shape, shape)) return x;
    struct view_map map = {.source_rank = x->rank};
    struct view_term terms[TYPE_MAX_RANK];
    for (int d = 0; d < x->rank; d++) {
        int dim = d + rank - x->rank;
        bool equal = x->shape[d] == shape[dim];
        terms[d] = (struct view_term){dim, equal ? size_const(graph->sizes, 1) : size_not1(graph->sizes, x->shape[d])};
        map.axis[d] = (struct view_axis){size_const(graph->sizes, 0), 1, &terms[d]};
    }
    return graph_view(graph, x, rank, shape, &map, span);
}

/* If the shapes differ in dimensions of size 1 only, the reshape is a view. */
static bool view_for_reshape(struct graph *graph, const struct graph_node *x, int rank, const struct size *const *shape,
                             struct view_map *map, struct view_term *terms) {
    map->source_rank = x->rank;
    int dim = 0;
    for (int d = 0; d < x->rank; d++) {
        map->axis[d] = (struct view_axis){.offset = size_const(graph->sizes, 0)};
        if (size_is_const(x->shape[d], 1)) continue;
        while (dim < rank && size_is_const(shape[dim], 1)) dim++;
        if (dim == rank || shape[dim] != x->shape[d]) return false;
        terms[d] = (struct view_term){dim++, size_const(graph->sizes, 1)};
        map->axis[d].n_terms = 1;
        map->axis[d].terms = &terms[d];
    }
    while (dim < rank && size_is_const(shape[dim], 1)) dim++;
    return dim == rank;
}

struct graph_node *graph_reshape(struct graph *graph, struct graph_node *x, int rank, const struct size *const *shape,
                                 struct span span) {
    struct view_map map = {0};
    struct view_term terms[TYPE_MAX_RANK];
    if (x->op == OP_reshape) x = x->args[0];
    if (x->rank == rank && same_shape(rank, x->shape, shape)) return x;
    if (view_for_reshape(graph, x, rank, shape, &map, terms)) return graph_view(graph, x, rank, shape, &map, span);
    struct graph_node reshape = {
        .op = OP_reshape, .type = x->type, .rank = rank, .n_args = 1, .args = &x, .span = span};
    for (int d = 0; d < rank; d++) reshape.shape[d] = shape[d];
    return graph_number(graph, &reshape);
}
