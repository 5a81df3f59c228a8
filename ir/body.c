/* body.c: making and copying scalar SSA. */
#include "ir/body.h"

#include <string.h>

struct ir_region *body_region(struct arena *arena, int n_params, const enum dtype *param_types) {
    struct ir_region *region = ARENA_NEW(arena, struct ir_region);
    region->n_params = n_params;
    region->params = ARENA_ARRAY(arena, struct ir_value *, n_params);
    for (int i = 0; i < n_params; i++) {
        struct ir_value *param = ARENA_NEW(arena, struct ir_value);
        param->op = OP_param;
        param->type = param_types[i];
        param->imm.i = i;
        region->params[i] = param;
    }
    return region;
}

static void push(struct arena *arena, struct ir_region *at, struct ir_value *value) {
    ARENA_PUSH(arena, at->values, at->n_values, at->capacity) = value;
}

/* Where body_op puts the parts of an operation that expands. */
struct expansion {
    struct arena *arena;
    struct ir_region *at;
    struct span span;
};

static void *expansion_op(void *host, enum op op, enum dtype type, int n_args, void *const *args) {
    struct expansion *e = host;
    struct ir_value *typed[3];
    for (int i = 0; i < n_args; i++) typed[i] = args[i];
    return body_op(e->arena, e->at, op, type, n_args, typed, e->span);
}

static void *expansion_number(void *host, enum dtype type, double value) {
    struct expansion *e = host;
    return dtype_is_float(type) ? body_const_float(e->arena, e->at, type, value)
                                : body_const_int(e->arena, e->at, type, (int64_t)value);
}

struct ir_value *body_op(struct arena *arena, struct ir_region *at, enum op op, enum dtype type, int n_args,
                         struct ir_value *const *args, struct span span) {
    if (op_info[op].lower == LOWER_EXPAND) {
        void *untyped[3] = {0};
        for (int i = 0; i < n_args && i < 3; i++) untyped[i] = args[i];
        struct expansion e = {arena, at, span};
        return op_expand(op, type, untyped, &(struct op_maker){&e, expansion_op, expansion_number});
    }
    struct ir_value *value = ARENA_NEW(arena, struct ir_value);
    value->op = op;
    value->type = type;
    value->n_args = n_args;
    value->span = span;
    if (n_args > 0) {
        value->args = ARENA_ARRAY(arena, struct ir_value *, n_args);
        memcpy(value->args, args, (size_t)n_args * sizeof *args);
    }
    push(arena, at, value);
    return value;
}

struct ir_value *body_const_int(struct arena *arena, struct ir_region *at, enum dtype type, int64_t value) {
    if (dtype_is_float(type)) return body_const_float(arena, at, type, (double)value);
    struct ir_value *constant = body_op(arena, at, OP_const, type, 0, NULL, (struct span){0, 0});
    constant->imm.i = value;
    return constant;
}

struct ir_value *body_const_float(struct arena *arena, struct ir_region *at, enum dtype type, double value) {
    struct ir_value *constant = body_op(arena, at, OP_const, type, 0, NULL, (struct span){0, 0});
    constant->imm.f = type == TY_F32 ? (double)(float)value : value;
    return constant;
}

struct ir_value *body_leaf(struct arena *arena, struct ir_region *at, enum op op, enum dtype type, int64_t imm) {
    struct ir_value *leaf = body_op(arena, at, op, type, 0, NULL, (struct span){0, 0});
    leaf->imm.i = imm;
    return leaf;
}

void body_set_results(struct arena *arena, struct ir_region *region, int n, struct ir_value *const *results) {
    region->n_results = n;
    region->results = ARENA_ARRAY(arena, struct ir_value *, n);
    if (n > 0) memcpy(region->results, results, (size_t)n * sizeof *results);
}

/* --- inlining: a map from values of `from` to their copies, by id, so ids must be dense before it is used --------- */

struct inliner {
    struct arena *arena;
    struct ir_value **copies; /* by id of the original */
    const int *operand_map;
};

static struct ir_value *copied(const struct inliner *in, const struct ir_value *value) {
    return in->copies[value->id];
}

static struct ir_region *copy_region(struct inliner *in, const struct ir_region *from);

static struct ir_value *copy_value(struct inliner *in, const struct ir_value *from) {
    struct ir_value *value = ARENA_NEW(in->arena, struct ir_value);
    *value = *from;
    value->args = NULL;
    if (from->n_args > 0) {
        value->args = ARENA_ARRAY(in->arena, struct ir_value *, from->n_args);
        for (int i = 0; i < from->n_args; i++) value->args[i] = copied(in, from->args[i]);
    }
    if ((from->op == OP_load || from->op == OP_len) && in->operand_map) value->imm.i = in->operand_map[from->imm.i];
    for (int r = 0; r < 2; r++)
        if (from->regions[r]) value->regions[r] = copy_region(in, from->regions[r]);
    in->copies[from->id] = value;
    return value;
}

static void copy_values(struct inliner *in, struct ir_region *to, const struct ir_region *from) {
    for (int i = 0; i < from->n_values; i++) push(in->arena, to, copy_value(in, from->values[i]));
}

static struct ir_region *copy_region(struct inliner *in, const struct ir_region *from) {
    struct ir_region *region = ARENA_NEW(in->arena, struct ir_region);
    region->n_params = from->n_params;
    region->params = ARENA_ARRAY(in->arena, struct ir_value *, from->n_params);
    for (int i = 0; i < from->n_params; i++) region->params[i] = copy_value(in, from->params[i]);
    copy_values(in, region, from);
    region->n_results = from->n_results;
    region->results = ARENA_ARRAY(in->arena, struct ir_value *, from->n_results);
    for (int i = 0; i < from->n_results; i++) region->results[i] = copied(in, from->results[i]);
    return region;
}

void body_inline(struct arena *arena, struct ir_region *to, const struct ir_region *from, struct ir_value *const *args,
                 const int *operand_map, struct ir_value **results_out) {
    /* Numbering writes only ids, which are scratch; the region's meaning is untouched. */
    int count = body_number((struct ir_region *)from);
    struct inliner in = {arena, ARENA_ARRAY(arena, struct ir_value *, count), operand_map};
    for (int i = 0; i < from->n_params; i++) in.copies[from->params[i]->id] = args[i];
    copy_values(&in, to, from);
    for (int i = 0; i < from->n_results; i++) results_out[i] = copied(&in, from->results[i]);
}

int body_number_from(struct ir_region *region, int first) {
    int next = first;
    for (int i = 0; i < region->n_params; i++) region->params[i]->id = next++;
    for (int i = 0; i < region->n_values; i++) {
        struct ir_value *value = region->values[i];
        value->id = next++;
        for (int r = 0; r < 2; r++)
            if (value->regions[r]) next = body_number_from(value->regions[r], next);
    }
    return next;
}

int body_number(struct ir_region *region) {
    return body_number_from(region, 0);
}
