/* eval_graph.c: the value of one node of the array graph, element by element. Every node becomes a dense array in C
 * order. */
#include <string.h>

#include "ir/eval/eval_internal.h"

/* --- elements and arrays ------------------------------------------------------------------------------------------ */

union scalar eval_get(enum dtype type, const char *at) {
    union scalar value = {.u = 0};
    switch (type) {
#define GET(TYPE, CTYPE, FIELD)                                                                                        \
    case TYPE: {                                                                                                       \
        CTYPE element;                                                                                                 \
        memcpy(&element, at, sizeof element);                                                                          \
        value.FIELD = element;                                                                                         \
        break;                                                                                                         \
    }
        GET(TY_BOOL, uint8_t, u)
        GET(TY_I8, int8_t, i)
        GET(TY_I16, int16_t, i)
        GET(TY_I32, int32_t, i)
        GET(TY_I64, int64_t, i)
        GET(TY_U8, uint8_t, u)
        GET(TY_U16, uint16_t, u)
        GET(TY_U32, uint32_t, u)
        GET(TY_U64, uint64_t, u)
        GET(TY_F32, float, f32)
        GET(TY_F64, double, f64)
#undef GET
    default: break;
    }
    return value;
}

void eval_put(enum dtype type, char *at, union scalar value) {
    if (type == TY_F64)
        memcpy(at, &value.f64, sizeof value.f64);
    else if (type == TY_F32)
        memcpy(at, &value.f32, sizeof value.f32);
    else if (dtype_size(type) == 1)
        memcpy(at, &(uint8_t){(uint8_t)value.u}, 1);
    else if (dtype_size(type) == 2)
        memcpy(at, &(uint16_t){(uint16_t)value.u}, 2);
    else if (dtype_size(type) == 4)
        memcpy(at, &(uint32_t){(uint32_t)value.u}, 4);
    else
        memcpy(at, &value.u, 8);
}

int64_t eval_count(const struct eval_array *array) {
    int64_t count = 1;
    for (int d = 0; d < array->rank; d++) count *= array->shape[d];
    return count;
}

bool eval_make(struct eval *e, enum dtype type, int rank, const int64_t *shape, struct span span,
               struct eval_array *out) {
    *out = (struct eval_array){.type = type, .rank = rank};
    int64_t bytes = dtype_size(type);
    bool possible = true, empty = false;
    for (int d = 0; d < rank; d++) possible = possible && shape[d] >= 0, empty = empty || shape[d] == 0;
    for (int d = rank - 1; d >= 0 && possible; d--) {
        out->shape[d] = shape[d];
        out->stride[d] = bytes;
        possible = empty || !__builtin_mul_overflow(bytes, shape[d], &bytes);
    }
    if (!possible || bytes > INT64_C(1) << 40) return eval_fail(e, DIAG_VALUE, span, "an array that cannot be made");
    out->data = arena_alloc(e->arena, empty ? 1 : (size_t)bytes);
    return true;
}

/* The subscripts of the next element in row-major order. */
static void advance(int rank, const int64_t *shape, int64_t *index) {
    for (int d = rank - 1; d >= 0; d--) {
        if (++index[d] < shape[d]) return;
        index[d] = 0;
    }
}

bool eval_densify(struct eval *e, const struct eval_array *from, struct span span, struct eval_array *out) {
    if (!eval_make(e, from->type, from->rank, from->shape, span, out)) return false;
    int64_t index[TYPE_MAX_RANK] = {0}, n = eval_count(out);
    size_t size = (size_t)dtype_size(from->type);
    for (int64_t i = 0; i < n; i++) {
        const char *at = from->data;
        for (int d = 0; d < from->rank; d++) at += index[d] * from->stride[d];
        memcpy(out->data + (size_t)i * size, at, size);
        advance(from->rank, from->shape, index);
    }
    return true;
}

static union scalar element(const struct eval_array *array, int64_t i) {
    return eval_get(array->type, array->data + i * dtype_size(array->type));
}

static void set_element(struct eval_array *array, int64_t i, union scalar value) {
    eval_put(array->type, array->data + i * dtype_size(array->type), value);
}

/* Element i of an operand of an elementwise node: a scalar is the same everywhere. */
static union scalar operand(const struct eval_array *array, int64_t i) {
    return element(array, array->rank ? i : 0);
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static union scalar constant(const struct graph_node *node) {
    union scalar value = {.i = node->imm.i};
    if (node->type == TY_F32) value.f32 = (float)node->imm.f;
    if (node->type == TY_F64) value.f64 = node->imm.f;
    return value;
}

static bool eval_input(struct eval *e, const struct graph_node *node, struct eval_array *out) {
    const struct eval_array *slot = &e->slots[node->imm.i];
    bool same = slot->data && slot->type == node->type && slot->rank == node->rank;
    for (int d = 0; d < node->rank && same; d++) same = slot->shape[d] == eval_size(e, node->shape[d]);
    if (!same) return eval_fail(e, DIAG_INTERNAL, node->span, "a slot does not hold what the graph says");
    return eval_densify(e, slot, node->span, out);
}

static bool eval_view(struct eval *e, const struct graph_node *node, const struct eval_array *source,
                      struct eval_array *out) {
    const struct view_map *map = node->map;
    int64_t offset[TYPE_MAX_RANK], step[TYPE_MAX_RANK][TYPE_MAX_RANK] = {{0}}, index[TYPE_MAX_RANK] = {0};
    for (int s = 0; s < map->source_rank; s++) {
        offset[s] = eval_size(e, map->axis[s].offset);
        for (int t = 0; t < map->axis[s].n_terms; t++)
            step[s][map->axis[s].terms[t].dim] += eval_size(e, map->axis[s].terms[t].coef);
    }
    for (int64_t i = 0, n = eval_count(out); i < n; i++) {
        int64_t at = 0;
        for (int s = 0; s < map->source_rank; s++) {
            int64_t subscript = offset[s];
            for (int d = 0; d < node->rank; d++) subscript += step[s][d] * index[d];
            if (subscript < 0 || subscript >= source->shape[s])
                return eval_fail(e, DIAG_INTERNAL, node->span, "a view leaves its array");
            at = at * source->shape[s] + subscript;
        }
        set_element(out, i, element(source, at));
        advance(node->rank, out->shape, index);
    }
    return true;
}

static bool eval_call(struct eval *e, const struct graph_node *node, const struct eval_array *done,
                      struct eval_array *out) {
    struct eval_array *whole = ARENA_ARRAY(e->arena, struct eval_array, node->n_whole + 1);
    union scalar *args = ARENA_ARRAY(e->arena, union scalar, node->n_args + 1);
    for (int k = 0; k < node->n_whole; k++) whole[k] = done[node->whole[k]->id];
    struct eval_frame *frame = eval_frame_new(e, node->function, whole);
    for (int64_t i = 0, n = eval_count(out); i < n; i++) {
        for (int k = 0; k < node->n_args; k++) args[k] = operand(&done[node->args[k]->id], i);
        if (!eval_frame_run(frame, args)) return false;
        set_element(out, i, eval_frame_result(frame, (int)node->imm.i));
    }
    return true;
}

/* Gathers the operands of each result in row-major order of the reduced dimensions. */
static bool eval_reduction(struct eval *e, const struct graph_node *node, const struct eval_array *done,
                           struct eval_array *out) {
    const struct eval_array *x = &done[node->args[0]->id], *flag = node->n_args > 1 ? &done[node->args[1]->id] : NULL;
    int64_t results = eval_count(out), each = 1, index[TYPE_MAX_RANK] = {0};
    for (int d = 0; d < x->rank; d++) each *= node->axes >> d & 1 ? x->shape[d] : 1;
    int64_t total = eval_count(x);
    union scalar *list = ARENA_ARRAY(e->arena, union scalar, total + 1);
    bool *flags = flag ? ARENA_ARRAY(e->arena, bool, total + 1) : NULL;
    for (int64_t i = 0; i < total; i++) {
        int64_t row = 0, place = 0;
        for (int d = 0; d < x->rank; d++) {
            if (node->axes >> d & 1)
                place = place * x->shape[d] + index[d];
            else
                row = row * x->shape[d] + index[d];
        }
        list[row * each + place] = element(x, i);
        if (flag) flags[row * each + place] = operand(flag, i).i != 0;
        advance(x->rank, x->shape, index);
    }
    bool columns = x->rank > 0 && !(node->axes >> (x->rank - 1) & 1);
    for (int64_t r = 0; r < results; r++)
        set_element(out, r,
                    eval_reduce(e->arena, node->reduce, x->type, each, list + r * each, flags ? flags + r * each : NULL,
                                columns));
    return true;
}

static void eval_elementwise(struct eval *e, const struct graph_node *node, const struct eval_array *done,
                             struct eval_array *out) {
    enum dtype from = done[node->args[0]->id].type,
               type = node->op == OP_convert || node->op == OP_select ? node->type : from;
    for (int64_t i = 0, n = eval_count(out); i < n; i++) {
        union scalar args[3] = {{0}};
        for (int k = 0; k < node->n_args; k++) args[k] = operand(&done[node->args[k]->id], i);
        set_element(out, i, eval_scalar(node->op, type, from, args, e->math));
    }
}

bool eval_node(struct eval *e, const struct graph_node *node, struct eval_array *done) {
    struct eval_array *out = &done[node->id];
    int64_t shape[TYPE_MAX_RANK] = {0}, index[TYPE_MAX_RANK] = {0};
    for (int d = 0; d < node->rank; d++) shape[d] = eval_size(e, node->shape[d]);
    if (!eval_make(e, node->type, node->rank, shape, node->span, out)) return false;
    int64_t n = eval_count(out);
    switch (node->op) {
    case OP_const: set_element(out, 0, constant(node)); return true;
    case OP_size: set_element(out, 0, (union scalar){.i = eval_size(e, node->imm.size)}); return true;
    case OP_index:
        for (int64_t i = 0; i < n; i++, advance(node->rank, shape, index))
            set_element(out, i, (union scalar){.i = index[node->imm.i]});
        return true;
    case OP_input: return eval_input(e, node, out);
    case OP_literal:
        memcpy(out->data, e->plan->literals[node->imm.i].data, (size_t)(n * dtype_size(node->type)));
        return true;
    case OP_view: return eval_view(e, node, &done[node->args[0]->id], out);
    case OP_reshape:
        if (eval_count(&done[node->args[0]->id]) != n)
            return eval_fail(e, DIAG_INTERNAL, node->span, "a reshape changes the number of elements");
        memcpy(out->data, done[node->args[0]->id].data, (size_t)(n * dtype_size(node->type)));
        return true;
    case OP_reduce: return eval_reduction(e, node, done, out);
    case OP_call: return eval_call(e, node, done, out);
    default: eval_elementwise(e, node, done, out); return true;
    }
}
