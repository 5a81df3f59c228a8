/* array_formula.c: the value of a host's formula: nodata where a used input is nodata, and in the type that is wanted.
 */
#include "frontend/array.h"

#include <math.h>

/* Where input k is nodata; kind VALUE_NONE if it never is. */
static struct value is_missing(struct array *a, int k, struct span span) {
    double nodata = a->elab->program->formula->inputs[k].nodata;
    struct value none = {.kind = VALUE_NONE}, *x = &a->inputs[k], constant;
    enum dtype dtype = x->type.dtype;
    if (isnan(nodata)) {
        if (!dtype_is_float(dtype)) return none;
        return elementwise_call(&a->emit, OP_isnan, 1, x, span);
    }
    if (dtype_is_float(dtype)) {
        constant = value_real(dtype == TY_F32 ? (double)(float)nodata : nodata, span);
    } else { /* a value that the type does not have is never found */
        if (nodata != floor(nodata) || fabs(nodata) > 0x1p63) return none;
        uint64_t magnitude = (uint64_t)fabs(nodata);
        if (!dtype_holds_int(dtype, nodata < 0, magnitude)) return none;
        constant = value_int(0, span);
        constant.negative = nodata < 0;
        constant.magnitude = magnitude;
    }
    if (dtype == TY_BOOL) {
        constant.negative = false;
        return elementwise_binary(&a->emit, AST_EQ, x, &constant, span);
    }
    return elementwise_binary(&a->emit, AST_EQ, x, &constant, span);
}

static void mark_used(struct array *a, const struct ast_expr *e, bool *used) {
    for (uint32_t id = e->first_id; id <= e->id; id++) {
        const struct resolve_name *name = &a->resolve->names[id];
        if (a->ast->exprs[id]->kind == AST_NAME && name->kind == NAME_INPUT) used[name->index] = true;
    }
}

static struct value nodata_value(struct array *a, enum dtype dtype, struct span span) {
    double nodata = a->elab->program->formula->nodata;
    struct value v = value_real(nodata, span);
    if (!dtype_is_float(dtype) && (nodata != floor(nodata) || fabs(nodata) > 0x1p63 ||
                                   !dtype_holds_int(dtype, nodata < 0, (uint64_t)fabs(nodata))))
        return array_error(a, DIAG_ARGUMENT, span, "the formula's nodata value %g is no value of its result type %s",
                           nodata, dtype_name(dtype));
    return elementwise_convert(&a->emit, dtype, &v, span);
}

struct value array_formula(struct array *a, const struct ast_expr *e, struct value v) {
    const struct frontend_formula *formula = a->elab->program->formula;
    bool *used = ARENA_ARRAY(a->arena, bool, formula->n_inputs);
    struct value mask = {.kind = VALUE_NONE};
    if (v.kind == VALUE_ERROR || !array_is_number(a, &v, "the formula")) return value_error(e->span);
    v.product = false;
    if (formula->result_type != TY_NONE)
        v = elementwise_convert(&a->emit, formula->result_type, &v, e->span);
    else
        v = array_as(a, &v, (struct type){v.type.dtype, STRONG, 0});
    if (v.kind == VALUE_ERROR) return v;

    mark_used(a, e, used);
    for (int k = 0; k < formula->n_inputs; k++) {
        if (!used[k] || !formula->inputs[k].has_nodata || a->inputs[k].kind == VALUE_ERROR) continue;
        struct value missing = is_missing(a, k, e->span);
        if (missing.kind == VALUE_ERROR) return missing;
        if (missing.kind == VALUE_NONE) continue;
        if (missing.type.rank > v.type.rank) { /* the formula reduces: one missing value makes the result missing */
            unsigned axes = (1u << missing.type.rank) - 1;
            missing = array_wrap(a, node_reduce(a, REDUCE_ANY, TY_BOOL, axes, missing.node, NULL, e->span), e->span);
        }
        if (mask.kind == VALUE_NUMBER) {
            struct value pair[2] = {mask, missing};
            if (!array_align(a, 2, pair, e->span)) return value_error(e->span);
            mask = elementwise_logical(&a->emit, AST_OR, &pair[0], &pair[1], e->span);
        } else {
            mask = missing;
        }
    }
    if (mask.kind != VALUE_NUMBER) return v;
    if (!formula->has_nodata)
        return array_error(a, DIAG_ARGUMENT, e->span,
                           "inputs of this formula have nodata values, and its result has none");
    struct value args[3] = {mask, nodata_value(a, v.type.dtype, e->span), v};
    if (args[1].kind == VALUE_ERROR || !array_align(a, 3, args, e->span)) return value_error(e->span);
    return elementwise_call(&a->emit, OP_select, 3, args, e->span);
}
