/* array_input.c: inputs become slots, and declared types are held against what was given. */
#include "frontend/array.h"

#include <string.h>

enum dtype array_element(struct array *a, const struct ast_type *type) {
    enum dtype dtype = dtype_from_name(type->element);
    if (dtype == TY_NONE) {
        diag_add(a->diags, DIAG_TYPE, type->element_span, "`%s` is no element type", type->element);
    } else if (dtype == TY_F16) {
        diag_add(a->diags, DIAG_UNSUPPORTED, type->element_span, "f16 is not available in this version");
        return TY_NONE;
    }
    return dtype;
}

/* --- declared types ----------------------------------------------------------------------------------------------- */

static struct value wrong_type(struct array *a, const struct ast_type *type, const struct value *v, const char *name,
                               enum diag_code code, struct span span) {
    const char *is = value_type_text(a->arena, v);
    if (v->kind == VALUE_NUMBER && v->type.rank > 0) {
        struct array_shape shape = array_value_shape(v);
        is = arena_printf(a->arena, "%s%s", dtype_name(v->type.dtype), array_shape_text(a, &shape));
    }
    return array_error(a, code, span, "%s is declared as %s, and it is %s", name, array_quote(a, type->span), is);
}

bool array_takes(enum dtype dtype, const struct value *v) {
    if (v->type.weak == WEAK_FLOAT) return dtype_is_float(dtype);
    return v->type.weak == WEAK_INT && dtype != TY_BOOL;
}

static struct value declared_scalar(struct array *a, const struct ast_type *type, const struct value *v,
                                    const char *name, struct span span) {
    enum dtype dtype = array_element(a, type);
    if (dtype == TY_NONE) return value_error(span);
    if (v->type.rank > 0) return wrong_type(a, type, v, name, DIAG_SHAPE, span);
    if (!v->type.weak && !dtype_converts_safely(v->type.dtype, dtype))
        return wrong_type(a, type, v, name, DIAG_TYPE, span);
    if (v->type.weak && !array_takes(dtype, v) && (dtype == TY_BOOL || !v->is_const)) /* a constant has a better text */
        return wrong_type(a, type, v, name, DIAG_TYPE, span);
    return array_as(a, v, (struct type){dtype, STRONG, 0});
}

struct dim_text {
    const char *name, *symbol;
    int dim;
    const struct size *is, *declared;
};

static void describe_dim(struct array *a, struct array_message *message, void *host) {
    const struct dim_text *text = host;
    strbuf_printf(&message->text, "dimension %d of %s is ", text->dim, text->name);
    array_message_size(a, message, text->is);
    strbuf_puts(&message->text, text->symbol ? ", but " : " and is declared as ");
    if (text->symbol) strbuf_printf(&message->text, "`%s` is ", text->symbol);
    array_message_size(a, message, text->declared);
}

/* The size that dimension d has by its declaration; NULL after an error. */
static const struct size *declared_dim(struct array *a, struct array_scope *scope, const struct ast_dim *dim,
                                       const struct size *is, int d, const char *name, struct span span) {
    struct dim_text text = {name, NULL, d, is, NULL};
    if (dim->kind == AST_DIM_ANY) return is;
    if (dim->kind == AST_DIM_INTEGER) {
        text.declared = array_const(a, dim->size);
    } else {
        int variable = resolve_variable(scope->names, dim->name);
        if (variable < 0) return is;
        struct array_variable *v = &scope->variables[variable];
        if (!v->set) {
            struct value value = array_from_size(a, is, dim->span);
            struct type *join = &scope->context->joins[variable]; /* with what earlier walks saw assigned to the name */
            if (join->dtype == TY_NONE) *join = value.type;
            v->value = array_as(a, &value, *join);
            v->set = v->weak_first = v->rebindable = true;
            array_map_put(a->arena, &a->size_names, (uintptr_t)is, 0, (intptr_t)dim->name);
            return is;
        }
        text.symbol = dim->name;
        text.declared = array_size(a, &v->value, "a size");
        if (!text.declared) return NULL;
    }
    if (!array_check(a, CHECK_EQUAL, is, text.declared, DIAG_SHAPE, span, describe_dim, &text)) return NULL;
    return text.declared;
}

static struct value declared_array(struct array *a, struct array_scope *scope, const struct ast_type *type,
                                   const struct value *v, const char *name, struct span span) {
    enum dtype dtype = type->element ? array_element(a, type) : v->type.dtype;
    if (dtype == TY_NONE) return value_error(span);
    if (v->type.rank != type->n_dims) return wrong_type(a, type, v, name, DIAG_SHAPE, span);
    if (v->type.dtype != dtype && !array_takes(dtype, v)) return wrong_type(a, type, v, name, DIAG_TYPE, span);
    struct value result = type->element ? array_as(a, v, (struct type){dtype, STRONG, 0}) : *v;
    if (result.kind != VALUE_NUMBER) return result;
    struct array_shape shape = array_value_shape(&result);
    bool differs = false;
    for (int d = 0; d < shape.rank; d++) {
        const struct size *size = declared_dim(a, scope, &type->dims[d], shape.dim[d], d, name, span);
        if (!size) return value_error(span);
        differs |= size != shape.dim[d];
        shape.dim[d] = size;
    }
    if (differs && result.node->op == OP_input) /* with the declared sizes, equal ones are the same size */
        result.node = graph_input(array_graph(a), (int)result.node->imm.i, dtype, shape.rank, shape.dim);
    return result;
}

/* After an error the sizes that the type would have named are errors too, which say nothing more. */
static void spoil_sizes(struct array_scope *scope, const struct ast_type *type, struct span span) {
    for (int d = 0; d < type->n_dims; d++) {
        int variable = type->dims[d].kind == AST_DIM_NAME ? resolve_variable(scope->names, type->dims[d].name) : -1;
        if (variable < 0 || scope->variables[variable].set) continue;
        scope->variables[variable].set = true;
        scope->variables[variable].value = value_error(span);
    }
}

struct value array_declared(struct array *a, struct array_scope *scope, const struct ast_type *type,
                            const struct value *v, const char *name, struct span span) {
    struct value result = *v;
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_ERROR)
        result = wrong_type(a, type, v, name, DIAG_TYPE, span);
    else if (v->kind == VALUE_NUMBER)
        result =
            type->is_array ? declared_array(a, scope, type, v, name, span) : declared_scalar(a, type, v, name, span);
    if (result.kind == VALUE_ERROR) spoil_sizes(scope, type, span);
    return result;
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static const struct ast_stmt *find_param(const struct array *a, const char *name) {
    const struct ast_block *body = &a->ast->body;
    for (int i = 0; i < body->count; i++)
        if (body->items[i]->kind == AST_PARAM && strcmp(body->items[i]->param.name, name) == 0) return body->items[i];
    return NULL;
}

static struct value make_input(struct array *a, int k, const struct frontend_input *input) {
    const struct frontend_binding *binding = &a->bindings[k];
    int slot = plan_add_slot(a->plan, input->name, binding->type, binding->rank);
    a->plan->slots[slot].input = k;
    a->plan->input_slots[k] = slot;
    if (binding->type <= TY_NONE || binding->type >= TY_COUNT || binding->rank < 0 || binding->rank > TYPE_MAX_RANK)
        return array_error(a, DIAG_ARGUMENT, input->span, "`%s` is bound to no array of up to %d dimensions",
                           input->name, TYPE_MAX_RANK);
    if (binding->type == TY_F16)
        return array_error(a, DIAG_UNSUPPORTED, input->span, "`%s` is f16, which is not available in this version",
                           input->name);
    const struct size *shape[TYPE_MAX_RANK];
    for (int d = 0; d < binding->rank; d++) {
        bool one = binding->ones >> d & 1;
        shape[d] = one ? array_const(a, 1) : size_dim(&a->plan->sizes, slot, d, !binding->any_size);
    }
    return array_wrap(a, graph_input(array_graph(a), slot, binding->type, binding->rank, shape), input->span);
}

/* A scalar that stays weak, passed as f64 or i64 by its default. */
static struct value weak_input(struct array *a, const struct frontend_input *input, struct value v) {
    enum dtype dtype = input->weak == WEAK_INT ? TY_I64 : TY_F64;
    if (v.type.rank != 0 || v.type.dtype != dtype)
        return array_error(a, v.type.rank ? DIAG_SHAPE : DIAG_TYPE, input->span,
                           "`%s` is a scalar %s by its default, and it is bound to %s", input->name, dtype_name(dtype),
                           value_type_text(a->arena, &v));
    v.type.weak = input->weak;
    if (input->weak == WEAK_INT) v.size = size_scalar(&a->plan->sizes, (int)v.node->imm.i);
    return v;
}

static struct value check_input(struct array *a, int k, const struct frontend_input *input, struct value v) {
    const struct frontend_formula *formula = a->elab->program->formula;
    if (v.kind != VALUE_NUMBER) return v;
    if (formula) {
        if (v.type.dtype == formula->inputs[k].type && v.type.rank == formula->inputs[k].rank) return v;
        return array_error(a, v.type.dtype == formula->inputs[k].type ? DIAG_SHAPE : DIAG_TYPE, input->span,
                           "`%s` is %s of rank %d by the formula's inputs, and it is bound to %s of rank %d",
                           input->name, dtype_name(formula->inputs[k].type), formula->inputs[k].rank,
                           dtype_name(v.type.dtype), v.type.rank);
    }
    if (input->has_default && input->weak != STRONG) return weak_input(a, input, v);
    const struct ast_stmt *param = find_param(a, input->name);
    if (param && param->param.type)
        return array_declared(a, a->top, param->param.type, &v, arena_printf(a->arena, "`%s`", input->name),
                              input->span);
    if (input->typed && !a->resolve->entry && (v.type.rank != input->rank || v.type.dtype != input->type))
        return array_error(a, v.type.rank != input->rank ? DIAG_SHAPE : DIAG_TYPE, input->span,
                           "`%s` is %s of rank %d by its default, and it is bound to %s", input->name,
                           dtype_name(input->type), input->rank, value_type_text(a->arena, &v));
    return v;
}

void array_inputs(struct array *a) {
    const struct frontend_program *program = a->elab->program;
    struct plan *plan = a->plan;
    plan->n_inputs = program->n_inputs;
    plan->input_slots = ARENA_ARRAY(a->arena, int, program->n_inputs);
    a->inputs = ARENA_ARRAY(a->arena, struct value, program->n_inputs);
    for (int k = 0; k < program->n_inputs; k++) a->inputs[k] = make_input(a, k, &program->inputs[k]);
    for (int k = 0; k < program->n_inputs; k++) {
        const struct frontend_input *input = &program->inputs[k];
        a->inputs[k] = check_input(a, k, input, a->inputs[k]);
        int variable = -1; /* a name that the program assigns to, too: it starts as the input */
        for (int i = 0; i < a->top->names->n_variables && variable < 0 && !a->resolve->entry; i++)
            if (strcmp(a->top->names->variables[i], input->name) == 0) variable = i;
        if (variable < 0) continue;
        array_assign(a, variable, a->inputs[k], input->span);
        a->top->variables[variable].rebindable = !find_param(a, input->name);
    }
}
