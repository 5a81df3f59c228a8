/* array_stretch.c: the open stretch, values of earlier stretches in later ones, integers as sizes, and the emitter
 * through which elementwise.c makes nodes.
 */
#include "frontend/array.h"

#include <string.h>

/* --- tables ------------------------------------------------------------------------------------------------------- */

static uint64_t map_hash(uintptr_t a, uintptr_t b) {
    uint64_t h = ((uint64_t)a * 0x9e3779b97f4a7c15u) ^ ((uint64_t)b + 0x7f4a7c15u);
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

static struct array_map_entry *map_find(const struct array_map *map, uintptr_t a, uintptr_t b) {
    uint64_t mask = (uint64_t)map->capacity - 1, at = map_hash(a, b) & mask;
    while (map->items[at].a && (map->items[at].a != a || map->items[at].b != b)) at = (at + 1) & mask;
    return &map->items[at];
}

intptr_t array_map_get(const struct array_map *map, uintptr_t a, uintptr_t b, intptr_t missing) {
    if (!map->capacity) return missing;
    const struct array_map_entry *entry = map_find(map, a, b);
    return entry->a ? entry->value : missing;
}

void array_map_put(struct arena *arena, struct array_map *map, uintptr_t a, uintptr_t b, intptr_t value) {
    if (2 * (map->count + 1) > map->capacity) {
        struct array_map bigger = {.capacity = map->capacity ? 2 * map->capacity : 32, .count = map->count};
        bigger.items = ARENA_ARRAY(arena, struct array_map_entry, bigger.capacity);
        for (int i = 0; i < map->capacity; i++)
            if (map->items[i].a) *map_find(&bigger, map->items[i].a, map->items[i].b) = map->items[i];
        *map = bigger;
    }
    struct array_map_entry *entry = map_find(map, a, b);
    if (!entry->a) map->count++;
    *entry = (struct array_map_entry){a, b, value};
}

/* --- stretches ---------------------------------------------------------------------------------------------------- */

struct plan_step *array_step(struct array *a, enum step_kind kind, struct span span) {
    array_end_stretch(a);
    return plan_add_step(a->plan, a->block, kind, span);
}

struct graph *array_graph(struct array *a) {
    if (!a->graph) a->graph = plan_add_step(a->plan, a->block, STEP_GRAPH, (struct span){0, 0})->graph;
    return a->graph;
}

void array_end_stretch(struct array *a) {
    struct graph *graph = a->graph;
    if (!graph) return;
    for (int i = 0; i < graph->n_nodes; i++)
        array_map_put(a->arena, &a->origins, (uintptr_t)graph->nodes[i], 0, (intptr_t)graph);
    a->closed_nodes += graph->n_nodes;
    a->graph = NULL;
}

static bool is_local(const struct graph *graph, const struct graph_node *node) {
    return graph && node->id < graph->n_nodes && graph->nodes[node->id] == node;
}

/* Of a graph that is suspended while another branch is walked, the nodes are not in the table yet. */
static struct graph *origin_of(struct array *a, const struct graph_node *node) {
    if (is_local(a->graph, node)) return a->graph;
    return (struct graph *)array_map_get(&a->origins, (uintptr_t)node, 0, 0);
}

static bool is_leaf(const struct graph_node *node) {
    return node->op == OP_const || node->op == OP_size || node->op == OP_index || node->op == OP_literal ||
           node->op == OP_input;
}

void array_sink_slot(struct array *a, int slot, struct graph_node *node, struct span span) {
    node = array_local(a, node);
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_SLOT, span);
    sink->slot = slot;
    sink->n_nodes = 1;
    sink->nodes = ARENA_NEW(a->arena, struct graph_node *);
    sink->nodes[0] = node;
}

/* The slot that holds a node after its stretch, made at the first request. */
static int store_node(struct array *a, struct graph_node *node) {
    int slot = (int)array_map_get(&a->stored, (uintptr_t)node, 0, -1);
    if (slot >= 0) return slot;
    struct graph *origin = origin_of(a, node);
    slot = plan_add_slot(a->plan, NULL, node->type, node->rank);
    struct graph_sink *sink = graph_sink(origin, SINK_SLOT, node->span);
    sink->slot = slot;
    sink->n_nodes = 1;
    sink->nodes = ARENA_NEW(a->arena, struct graph_node *);
    sink->nodes[0] = node;
    array_map_put(a->arena, &a->stored, (uintptr_t)node, 0, slot);
    return slot;
}

struct graph_node *array_local(struct array *a, struct graph_node *node) {
    struct graph *graph = array_graph(a);
    if (is_local(graph, node)) return node;
    switch (node->op) {
    case OP_const:
        return dtype_is_float(node->type) ? graph_const_float(graph, node->type, node->imm.f)
                                          : graph_const_int(graph, node->type, node->imm.i);
    case OP_size: return graph_size(graph, node->imm.size);
    case OP_index: return graph_index(graph, node->rank, node->shape, (int)node->imm.i);
    case OP_literal: return graph_literal(graph, (int)node->imm.i, node->type, node->rank, node->shape);
    case OP_input: return graph_input(graph, (int)node->imm.i, node->type, node->rank, node->shape);
    case OP_view: /* seeing the same array in the same way is free; storing what is seen would copy it */
        if (!is_leaf(node->args[0])) break;
        return graph_view(graph, array_local(a, node->args[0]), node->rank, node->shape, node->map, node->span);
    default: break;
    }
    return graph_input(graph, store_node(a, node), node->type, node->rank, node->shape);
}

struct graph_node *array_node(struct array *a, const struct value *v) {
    if (v->kind != VALUE_NUMBER) return NULL;
    if (v->is_const) return value_as(&a->emit, v, v->type.dtype);
    if (v->node) return array_local(a, v->node);
    return graph_size(array_graph(a), v->size);
}

int array_store(struct array *a, const struct value *v, bool exact) {
    struct graph_node *node = array_node(a, v);
    if (!node) return -1;
    if (!exact && node->op == OP_input) return (int)node->imm.i;
    if (!exact) return store_node(a, node);
    int slot = plan_add_slot(a->plan, NULL, node->type, node->rank);
    array_sink_slot(a, slot, node, v->span);
    return slot;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

struct value array_wrap(struct array *a, struct graph_node *node, struct span span) {
    (void)a;
    if (!node) return value_error(span);
    return (struct value){.kind = VALUE_NUMBER, .type = {node->type, STRONG, node->rank}, .span = span, .node = node};
}

struct value array_from_size(struct array *a, const struct size *size, struct span span) {
    struct value v = size->op == SIZE_CONST
                         ? value_int(size->value, span)
                         : (struct value){.kind = VALUE_NUMBER, .type = {TY_I64, WEAK_INT, 0}, .span = span};
    v.size = size;
    (void)a;
    return v;
}

struct value array_from_phi(struct array *a, const struct array_phi *phi, struct span span) {
    if (phi->type.weak == WEAK_INT && phi->type.rank == 0)
        return array_from_size(a, size_scalar(&a->plan->sizes, phi->slot), span);
    const struct size *shape[TYPE_MAX_RANK];
    for (int d = 0; d < phi->type.rank; d++)
        shape[d] = phi->shape[d] ? phi->shape[d] : size_dim(&a->plan->sizes, phi->slot, d, false);
    struct value v =
        array_wrap(a, graph_input(array_graph(a), phi->slot, phi->type.dtype, phi->type.rank, shape), span);
    v.type.weak = phi->type.weak;
    return v;
}

/* --- integers as sizes -------------------------------------------------------------------------------------------- */

const struct size *array_size(struct array *a, const struct value *v, const char *what) {
    struct size_table *sizes = &a->plan->sizes;
    if (v->kind == VALUE_ERROR) return NULL;
    if (v->kind != VALUE_NUMBER || v->type.rank != 0 || !dtype_is_int(v->type.dtype)) {
        const char *text = v->kind == VALUE_NUMBER && v->type.rank > 0 ? "an array" : value_type_text(a->arena, v);
        diag_add(a->diags, DIAG_TYPE, v->span, "%s must be an integer, and `%s` is %s", what, array_quote(a, v->span),
                 text);
        return NULL;
    }
    if (v->is_const) {
        if (!dtype_holds_int(TY_I64, v->negative, v->magnitude)) {
            diag_add(a->diags, DIAG_VALUE, v->span, "%s of %s%llu is out of range", what, v->negative ? "-" : "",
                     (unsigned long long)v->magnitude);
            return NULL;
        }
        return size_const(sizes, (int64_t)(v->negative ? -v->magnitude : v->magnitude));
    }
    if (v->size) return v->size;
    struct graph_node *node = array_local(a, v->node);
    if (node->type == TY_U64) { /* past the range of i64 nothing is in bounds: the largest says so as well */
        struct graph_node *top = node_int(a, TY_U64, INT64_MAX);
        node = node_convert(a, node_op(a, OP_min, TY_U64, node, top, NULL, v->span), TY_I64, v->span);
    }
    if (node->op == OP_const) return size_const(sizes, node->imm.i);
    if (node->op == OP_size) return node->imm.size;
    if (node->op == OP_input) return size_scalar(sizes, (int)node->imm.i);
    int slot = store_node(a, node);
    array_end_stretch(a);
    return size_scalar(sizes, slot);
}

/* --- making nodes of values of any stretch -------------------------------------------------------------------------
 */

struct graph_node *node_op(struct array *a, enum op op, enum dtype type, struct graph_node *x, struct graph_node *y,
                           struct graph_node *z, struct span span) {
    struct graph_node *args[3] = {x, y, z};
    int n = 0;
    for (; n < 3 && args[n]; n++) args[n] = array_local(a, args[n]);
    return graph_op(array_graph(a), op, type, n, args, span);
}

struct graph_node *node_convert(struct array *a, struct graph_node *x, enum dtype type, struct span span) {
    return graph_convert(array_graph(a), array_local(a, x), type, span);
}

struct graph_node *node_float(struct array *a, enum dtype type, double value) {
    return graph_const_float(array_graph(a), type, value);
}

struct graph_node *node_int(struct array *a, enum dtype type, int64_t value) {
    return graph_const_int(array_graph(a), type, value);
}

struct graph_node *node_size(struct array *a, const struct size *size) {
    return graph_size(array_graph(a), size);
}

struct graph_node *node_view(struct array *a, struct graph_node *x, const struct array_shape *shape,
                             const struct view_map *map, struct span span) {
    return graph_view(array_graph(a), array_local(a, x), shape->rank, shape->dim, map, span);
}

struct graph_node *node_broadcast(struct array *a, struct graph_node *x, const struct array_shape *shape,
                                  struct span span) {
    return graph_broadcast(array_graph(a), array_local(a, x), shape->rank, shape->dim, span);
}

struct graph_node *node_reduce(struct array *a, enum reduce_op op, enum dtype type, unsigned axes, struct graph_node *x,
                               struct graph_node *y, struct span span) {
    struct graph_node *args[2] = {array_local(a, x), y ? array_local(a, y) : NULL};
    return graph_reduce(array_graph(a), op, type, axes, y ? 2 : 1, args, span);
}

struct array_shape node_shape(const struct graph_node *node) {
    struct array_shape shape = {.rank = node->rank};
    memcpy(shape.dim, node->shape, sizeof shape.dim);
    return shape;
}

/* --- the emitter -------------------------------------------------------------------------------------------------- */

static void *emit_op(void *host, enum op op, enum dtype type, int n, void *const *h, struct span span) {
    for (int i = 0; i < n; i++)
        if (!h[i]) return NULL;
    return node_op(host, op, type, h[0], n > 1 ? h[1] : NULL, n > 2 ? h[2] : NULL, span);
}

static void *emit_convert(void *host, void *h, enum dtype to, struct span span) {
    return h ? node_convert(host, h, to, span) : NULL;
}

static void *emit_int(void *host, enum dtype type, int64_t value) {
    return node_int(host, type, value);
}
static void *emit_float(void *host, enum dtype type, double value) {
    return node_float(host, type, value);
}
static void *emit_handle(void *host, const struct value *v) {
    return array_node(host, v);
}

static struct value emit_wrap(void *host, void *h, struct type type, struct span span) {
    struct value v = array_wrap(host, h, span);
    v.type.weak = v.kind == VALUE_NUMBER ? type.weak : STRONG;
    return v;
}

void array_emitter(struct array *a) {
    a->emit = (struct emitter){.op = emit_op,
                               .convert = emit_convert,
                               .constant_int = emit_int,
                               .constant_float = emit_float,
                               .handle = emit_handle,
                               .wrap = emit_wrap,
                               .host = a,
                               .arena = a->arena,
                               .diags = a->diags,
                               .ast = a->ast,
                               .fp = a->elab->program->options->fp};
}
