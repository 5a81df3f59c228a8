/* graph.c: making graph nodes: value numbering and the simplifications that change no bit. Views are in graph_view.c.
 */
#include "ir/graph.h"

#include <math.h>
#include <string.h>

#include "ir/eval.h"
#include "ir/graph_internal.h"

struct graph *graph_new(struct arena *arena, struct size_table *sizes) {
    struct graph *graph = ARENA_NEW(arena, struct graph);
    graph->arena = arena;
    graph->sizes = sizes;
    return graph;
}

/* --- value numbering ---------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t value) {
    h = (h ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

static uint64_t mix_pointer(uint64_t h, const void *p) {
    return mix(h, (uint64_t)(uintptr_t)p);
}

static uint64_t imm_bits(const struct graph_node *node) {
    return node->op == OP_size ? (uint64_t)(uintptr_t)node->imm.size : node->imm.u;
}

static uint64_t hash(const struct graph_node *node) {
    uint64_t h = mix(mix(UINT64_C(0x13198A2E03707344), node->op), node->type);
    h = mix(mix(h, (uint64_t)node->rank), imm_bits(node));
    for (int d = 0; d < node->rank; d++) h = mix_pointer(h, node->shape[d]);
    for (int i = 0; i < node->n_args; i++) h = mix_pointer(h, node->args[i]);
    for (int i = 0; i < node->n_whole; i++) h = mix_pointer(h, node->whole[i]);
    h = mix_pointer(mix(mix(h, node->reduce), node->axes), node->function);
    for (int d = 0; node->map && d < node->map->source_rank; d++) {
        h = mix_pointer(h, node->map->axis[d].offset);
        for (int t = 0; t < node->map->axis[d].n_terms; t++) {
            h = mix(h, (uint64_t)node->map->axis[d].terms[t].dim);
            h = mix_pointer(h, node->map->axis[d].terms[t].coef);
        }
    }
    return h;
}

bool view_map_equal(const struct view_map *a, const struct view_map *b) {
    if (!a || !b) return a == b;
    if (a->source_rank != b->source_rank) return false;
    for (int d = 0; d < a->source_rank; d++) {
        const struct view_axis *x = &a->axis[d], *y = &b->axis[d];
        if (x->offset != y->offset || x->n_terms != y->n_terms) return false;
        for (int t = 0; t < x->n_terms; t++)
            if (x->terms[t].dim != y->terms[t].dim || x->terms[t].coef != y->terms[t].coef) return false;
    }
    return true;
}

static bool same_pointers(int n, void *const *a, void *const *b) {
    return n == 0 || memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static bool same(const struct graph_node *a, const struct graph_node *b) {
    return a->op == b->op && a->type == b->type && a->rank == b->rank && imm_bits(a) == imm_bits(b) &&
           a->n_args == b->n_args && a->reduce == b->reduce && a->axes == b->axes && a->function == b->function &&
           a->n_whole == b->n_whole && same_pointers(a->rank, (void *const *)a->shape, (void *const *)b->shape) &&
           same_pointers(a->n_args, (void *const *)a->args, (void *const *)b->args) &&
           same_pointers(a->n_whole, (void *const *)a->whole, (void *const *)b->whole) &&
           view_map_equal(a->map, b->map);
}

static void rehash(struct graph *graph) {
    int n = graph->n_buckets ? graph->n_buckets * 2 : 64;
    graph->buckets = ARENA_ARRAY(graph->arena, int, n);
    graph->n_buckets = n;
    for (int i = 0; i < n; i++) graph->buckets[i] = -1;
    for (int id = 0; id < graph->n_nodes; id++) {
        int at = (int)(hash(graph->nodes[id]) & (uint64_t)(n - 1));
        while (graph->buckets[at] >= 0) at = (at + 1) & (n - 1);
        graph->buckets[at] = id;
    }
}

static struct graph_node **copy_nodes(struct arena *arena, int n, struct graph_node *const *nodes) {
    if (n == 0) return NULL;
    struct graph_node **copy = ARENA_ARRAY(arena, struct graph_node *, n);
    memcpy(copy, nodes, (size_t)n * sizeof *nodes);
    return copy;
}

static struct view_map *copy_map(struct arena *arena, const struct view_map *map) {
    struct view_map *copy = ARENA_NEW(arena, struct view_map);
    copy->source_rank = map->source_rank;
    for (int d = 0; d < map->source_rank; d++) {
        int n = map->axis[d].n_terms;
        copy->axis[d] = (struct view_axis){map->axis[d].offset, n, NULL};
        if (n == 0) continue;
        copy->axis[d].terms = ARENA_ARRAY(arena, struct view_term, n);
        memcpy(copy->axis[d].terms, map->axis[d].terms, (size_t)n * sizeof *copy->axis[d].terms);
    }
    return copy;
}

struct graph_node *graph_number(struct graph *graph, const struct graph_node *wanted) {
    if (2 * (graph->n_nodes + 1) > graph->n_buckets) rehash(graph);
    int mask = graph->n_buckets - 1, at = (int)(hash(wanted) & (uint64_t)mask);
    for (; graph->buckets[at] >= 0; at = (at + 1) & mask) {
        struct graph_node *found = graph->nodes[graph->buckets[at]];
        if (same(found, wanted)) return found;
    }
    struct graph_node *node = ARENA_NEW(graph->arena, struct graph_node);
    *node = *wanted;
    node->args = copy_nodes(graph->arena, wanted->n_args, wanted->args);
    node->whole = copy_nodes(graph->arena, wanted->n_whole, wanted->whole);
    if (wanted->map) node->map = copy_map(graph->arena, wanted->map);
    node->id = graph->n_nodes;
    graph->buckets[at] = node->id;
    ARENA_PUSH(graph->arena, graph->nodes, graph->n_nodes, graph->nodes_capacity) = node;
    return node;
}

/* --- leaves ------------------------------------------------------------------------------------------------------- */

static void set_shape(struct graph_node *node, int rank, const struct size *const *shape) {
    node->rank = rank;
    for (int d = 0; d < rank; d++) node->shape[d] = shape[d];
}

struct graph_node *graph_const_int(struct graph *graph, enum dtype type, int64_t value) {
    if (dtype_is_float(type)) return graph_const_float(graph, type, (double)value);
    struct graph_node node = {.op = OP_const, .type = type};
    node.imm.u = eval_scalar(OP_convert, type, TY_I64, &(union scalar){.i = value}, NULL).u;
    return graph_number(graph, &node);
}

struct graph_node *graph_const_float(struct graph *graph, enum dtype type, double value) {
    struct graph_node node = {.op = OP_const, .type = type};
    if (isnan(value)) value = NAN; /* one NaN: its sign and payload mean nothing */
    node.imm.f = type == TY_F32 ? (double)(float)value : value;
    return graph_number(graph, &node);
}

struct graph_node *graph_size(struct graph *graph, const struct size *size) {
    if (size->op == SIZE_CONST) return graph_const_int(graph, TY_I64, size->value);
    struct graph_node node = {.op = OP_size, .type = TY_I64, .imm.size = size};
    return graph_number(graph, &node);
}

struct graph_node *graph_index(struct graph *graph, int rank, const struct size *const *shape, int dim) {
    struct graph_node node = {.op = OP_index, .type = TY_I64, .imm.i = dim};
    set_shape(&node, rank, shape);
    return graph_number(graph, &node);
}

struct graph_node *graph_input(struct graph *graph, int slot, enum dtype type, int rank,
                               const struct size *const *shape) {
    struct graph_node node = {.op = OP_input, .type = type, .imm.i = slot};
    set_shape(&node, rank, shape);
    return graph_number(graph, &node);
}

struct graph_node *graph_literal(struct graph *graph, int literal, enum dtype type, int rank,
                                 const struct size *const *shape) {
    struct graph_node node = {.op = OP_literal, .type = type, .imm.i = literal};
    set_shape(&node, rank, shape);
    return graph_number(graph, &node);
}

/* --- elementwise operations --------------------------------------------------------------------------------------- */

/* A constant node's value, and back. */
static union scalar const_value(const struct graph_node *node) {
    if (node->type == TY_F32) return (union scalar){.f32 = (float)node->imm.f};
    if (node->type == TY_F64) return (union scalar){.f64 = node->imm.f};
    return (union scalar){.u = node->imm.u};
}

static struct graph_node *make_const(struct graph *graph, enum dtype type, union scalar value) {
    if (type == TY_F32) return graph_const_float(graph, type, value.f32);
    if (type == TY_F64) return graph_const_float(graph, type, value.f64);
    return graph_const_int(graph, type, value.i);
}

/* The operation's value if it is known when compiling, else NULL. */
static struct graph_node *fold(struct graph *graph, enum op op, enum dtype type, int n_args,
                               struct graph_node *const *args) {
    const struct op_info *info = &op_info[op];
    if (n_args == 0 || n_args != info->arity || info->lower == LOWER_CUSTOM || type == TY_F16) return NULL;
    union scalar values[3];
    for (int i = 0; i < n_args; i++) {
        if (args[i]->op != OP_const || args[i]->type == TY_F16) return NULL;
        values[i] = const_value(args[i]);
    }
    enum dtype of = op == OP_select ? type : args[0]->type;
    if (info->lower == LOWER_CALL && dtype_is_float(of)) return NULL;
    if (op == OP_convert) return make_const(graph, type, eval_scalar(op, type, of, values, NULL));
    return make_const(graph, type, eval_scalar(op, of, TY_NONE, values, NULL));
}

/* Exact identities; NULL if none applies. */
static struct graph_node *identity(enum op op, enum dtype type, struct graph_node *const *args) {
    switch (op) {
    case OP_convert: return args[0]->type == type ? args[0] : NULL;
    case OP_not: return args[0]->op == OP_not ? args[0]->args[0] : NULL;
    case OP_select:
        if (args[1] == args[2]) return args[1];
        if (args[0]->op != OP_const) return NULL;
        return args[args[0]->imm.i ? 1 : 2];
    default: return NULL;
    }
}

/* What x is a broadcast of, if that is a scalar, else x. */
static struct graph_node *scalar_inside(struct graph_node *x) {
    return x->op == OP_view && x->args[0]->rank == 0 ? x->args[0] : x;
}

struct expansion {
    struct graph *graph;
    struct span span;
};

static void *expansion_op(void *host, enum op op, enum dtype type, int n_args, void *const *args) {
    struct expansion *e = host;
    struct graph_node *typed[3];
    for (int i = 0; i < n_args; i++) typed[i] = args[i];
    return graph_op(e->graph, op, type, n_args, typed, e->span);
}

static void *expansion_number(void *host, enum dtype type, double value) {
    struct expansion *e = host;
    return graph_const_float(e->graph, type, value);
}

static void *expansion_int(void *host, enum dtype type, double value) {
    struct expansion *e = host;
    return graph_const_int(e->graph, type, (int64_t)value);
}

struct graph_node *graph_op(struct graph *graph, enum op op, enum dtype type, int n_args,
                            struct graph_node *const *args, struct span span) {
    struct graph_node *seen[3], *widest = NULL;
    if (n_args > 3) n_args = 3; /* no elementwise operation has more */
    bool scalars = true;
    for (int i = 0; i < n_args; i++) {
        if (args[i]->rank > 0) widest = args[i];
        seen[i] = scalar_inside(args[i]);
        scalars &= seen[i]->rank == 0;
    }
    if (op_info[op].lower == LOWER_EXPAND) {
        struct expansion e = {graph, span};
        void *untyped[3] = {0};
        for (int i = 0; i < n_args; i++) untyped[i] = args[i];
        return op_expand(op, type, untyped,
                         &(struct op_maker){&e, expansion_op, dtype_is_float(type) ? expansion_number : expansion_int});
    }
    struct graph_node *node = fold(graph, op, type, n_args, seen);
    if (!node) node = identity(op, type, seen);
    if (!node) {
        struct graph_node wanted = {.op = op, .type = type, .n_args = n_args, .args = seen, .span = span};
        if (widest && !scalars) {
            /* one argument must carry the shape: any that is no broadcast scalar does */
            set_shape(&wanted, widest->rank, widest->shape);
        }
        node = graph_number(graph, &wanted);
    }
    /* An identity or scalar arguments may have lost the shape. */
    if (widest && node->rank < widest->rank) node = graph_broadcast(graph, node, widest->rank, widest->shape, span);
    return node;
}

struct graph_node *graph_convert(struct graph *graph, struct graph_node *x, enum dtype type, struct span span) {
    return graph_op(graph, OP_convert, type, 1, &x, span);
}

/* --- reductions, calls, sinks ------------------------------------------------------------------------------------- */

struct graph_node *graph_reduce(struct graph *graph, enum reduce_op op, enum dtype type, unsigned axes, int n_args,
                                struct graph_node *const *args, struct span span) {
    struct graph_node wanted = {
        .op = OP_reduce, .type = type, .n_args = n_args, .span = span, .reduce = op, .axes = axes};
    struct graph_node *same_rank[2];
    int rank = 0;
    for (int i = 0; i < n_args; i++)
        if (args[i]->rank > rank) rank = args[i]->rank;
    const struct graph_node *shaped = args[0]->rank == rank ? args[0] : args[n_args - 1];
    for (int i = 0; i < n_args && i < 2; i++) same_rank[i] = graph_broadcast(graph, args[i], rank, shaped->shape, span);
    wanted.args = same_rank;
    if (axes == 0 && rank < TYPE_MAX_RANK) { /* of single elements: over a new dimension of size 1 */
        const struct size *shape[TYPE_MAX_RANK];
        for (int d = 0; d < rank; d++) shape[d] = shaped->shape[d];
        shape[rank] = size_const(graph->sizes, 1);
        for (int i = 0; i < n_args && i < 2; i++)
            same_rank[i] = graph_reshape(graph, same_rank[i], rank + 1, shape, span);
        wanted.axes = 1u << rank++;
    }
    for (int d = 0; d < rank; d++)
        if (!(wanted.axes >> d & 1)) wanted.shape[wanted.rank++] = same_rank[0]->shape[d];
    return graph_number(graph, &wanted);
}

struct graph_node *graph_call(struct graph *graph, struct ir_function *function, int result, enum dtype type, int rank,
                              const struct size *const *shape, int n_args, struct graph_node *const *args, int n_whole,
                              struct graph_node *const *whole, struct span span) {
    struct graph_node **seen = ARENA_ARRAY(graph->arena, struct graph_node *, n_args);
    for (int i = 0; i < n_args; i++) seen[i] = scalar_inside(args[i]);
    struct graph_node wanted = {.op = OP_call,
                                .type = type,
                                .imm.i = result,
                                .function = function,
                                .n_args = n_args,
                                .args = seen,
                                .n_whole = n_whole,
                                .whole = (struct graph_node **)whole,
                                .span = span};
    set_shape(&wanted, rank, shape);
    return graph_number(graph, &wanted);
}

struct graph_sink *graph_sink(struct graph *graph, enum sink_kind kind, struct span span) {
    struct graph_sink *sink = ARENA_NEW(graph->arena, struct graph_sink);
    sink->kind = kind;
    sink->span = span;
    ARENA_PUSH(graph->arena, graph->sinks, graph->n_sinks, graph->sinks_capacity) = sink;
    return sink;
}
