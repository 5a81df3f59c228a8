/* eval_body.c: one element of a ufunc: its scalar SSA, followed literally. */
#include "ir/eval/eval_internal.h"

struct eval_frame {
    struct eval *e;
    struct ir_function *function;
    const struct eval_array *whole;
    union scalar *values;   /* by id */
    union scalar **results; /* of ifs and loops, by id */
};

static void make_results(struct eval_frame *frame, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op != OP_if && value->op != OP_loop) continue;
        int n = value->op == OP_if ? value->regions[0]->n_results : value->n_args;
        frame->results[value->id] = ARENA_ARRAY(frame->e->arena, union scalar, n + 1);
        for (int r = 0; r < 2; r++) make_results(frame, value->regions[r]);
    }
}

struct eval_frame *eval_frame_new(struct eval *e, struct ir_function *function, const struct eval_array *whole) {
    struct eval_frame *frame = ARENA_NEW(e->arena, struct eval_frame);
    *frame = (struct eval_frame){.e = e, .function = function, .whole = whole};
    int n = body_number(&function->body);
    frame->values = ARENA_ARRAY(e->arena, union scalar, n + 1);
    frame->results = ARENA_ARRAY(e->arena, union scalar *, n + 1);
    make_results(frame, &function->body);
    return frame;
}

static bool run_region(struct eval_frame *frame, const struct ir_region *region, const union scalar *args);

static union scalar value_of(const struct eval_frame *frame, const struct ir_value *value) {
    return frame->values[value->id];
}

static bool run_if(struct eval_frame *frame, const struct ir_value *value) {
    const struct ir_region *taken = value->regions[value_of(frame, value->args[0]).i ? 0 : 1];
    if (!run_region(frame, taken, NULL)) return false;
    for (int i = 0; i < taken->n_results; i++) frame->results[value->id][i] = value_of(frame, taken->results[i]);
    return true;
}

static bool run_loop(struct eval_frame *frame, const struct ir_value *value) {
    union scalar *carried = frame->results[value->id];
    for (int i = 0; i < value->n_args; i++) carried[i] = value_of(frame, value->args[i]);
    for (;;) {
        if (!run_region(frame, value->regions[0], carried)) return false;
        if (!value_of(frame, value->regions[0]->results[0]).i) return true;
        if (!run_region(frame, value->regions[1], carried)) return false;
        for (int i = 0; i < value->n_args; i++) carried[i] = value_of(frame, value->regions[1]->results[i]);
    }
}

static bool run_load(struct eval_frame *frame, const struct ir_value *value) {
    const struct eval_array *array = &frame->whole[value->imm.i];
    const char *at = array->data;
    for (int d = 0; d < value->n_args; d++) {
        int64_t subscript = value_of(frame, value->args[d]).i;
        if (subscript < 0 || subscript >= array->shape[d])
            return eval_fail(frame->e, DIAG_INDEX, value->span, "a subscript is out of range");
        at += subscript * array->stride[d];
    }
    frame->values[value->id] = eval_get(array->type, at);
    return true;
}

static union scalar constant(const struct ir_value *value) {
    union scalar constant = {.i = value->imm.i};
    if (value->type == TY_F32) constant.f32 = (float)value->imm.f;
    if (value->type == TY_F64) constant.f64 = value->imm.f;
    return constant;
}

static bool run_value(struct eval_frame *frame, const struct ir_value *value) {
    union scalar args[3] = {{0}}, *result = &frame->values[value->id];
    switch (value->op) {
    case OP_if: return run_if(frame, value);
    case OP_loop: return run_loop(frame, value);
    case OP_load: return run_load(frame, value);
    case OP_const: *result = constant(value); return true;
    case OP_len: result->i = frame->whole[value->imm.i].shape[value->dim]; return true;
    case OP_result: *result = frame->results[value->args[0]->id][value->imm.i]; return true;
    case OP_size:
    case OP_index:
    case OP_read:
    case OP_store: return eval_fail(frame->e, DIAG_INTERNAL, value->span, "an operation of kernels in a ufunc");
    default: break;
    }
    for (int i = 0; i < value->n_args; i++) args[i] = value_of(frame, value->args[i]);
    enum dtype from = value->args[0]->type;
    bool by_result = value->op == OP_convert || value->op == OP_select;
    *result = eval_scalar(value->op, by_result ? value->type : from, from, args, frame->e->math);
    return true;
}

static bool run_region(struct eval_frame *frame, const struct ir_region *region, const union scalar *args) {
    for (int i = 0; i < region->n_params; i++) frame->values[region->params[i]->id] = args[i];
    for (int i = 0; i < region->n_values; i++)
        if (!run_value(frame, region->values[i])) return false;
    return true;
}

bool eval_frame_run(struct eval_frame *frame, const union scalar *args) {
    return run_region(frame, &frame->function->body, args);
}

union scalar eval_frame_result(const struct eval_frame *frame, int number) {
    return value_of(frame, frame->function->body.results[number]);
}
