/* array_lift.c: calls of ufuncs: scalar parameters broadcast, arrays declared with brackets go whole. */
#include "frontend/array.h"

#include <string.h>

struct lift {
    struct array *a;
    const struct ast_function *function;
    struct span span;
    int n; /* arguments: the declared ones, then the top-level names that the function reads */
    struct value *values;
    struct ufunc_argument *arguments;
};

struct size_pair {
    const char *parameter, *symbol;
    int dim;
    const struct size *is, *expected;
};

static void describe_size(struct array *a, struct array_message *message, void *host) {
    const struct size_pair *pair = host;
    strbuf_printf(&message->text, "dimension %d of `%s` is ", pair->dim, pair->parameter);
    array_message_size(a, message, pair->is);
    if (pair->symbol)
        strbuf_printf(&message->text, ", but `%s` is ", pair->symbol);
    else
        strbuf_puts(&message->text, " and is declared as ");
    array_message_size(a, message, pair->expected);
}

/* The same name in brackets means the same size; a number means that size. */
static bool check_sizes(struct lift *lift) {
    struct array *a = lift->a;
    const struct ast_function *function = lift->function;
    const struct resolve_scope *names = &a->resolve->functions[function->index];
    const struct size **known = ARENA_ARRAY(a->arena, const struct size *, names->n_variables);
    for (int i = 0; i < function->n_parameters; i++) {
        const struct ast_type *type = function->parameters[i].type;
        if (!type || !type->is_array) continue;
        struct array_shape shape = array_value_shape(&lift->values[i]);
        for (int d = 0; d < type->n_dims && d < shape.rank; d++) {
            const struct ast_dim *dim = &type->dims[d];
            struct size_pair pair = {function->parameters[i].name, NULL, d, shape.dim[d], NULL};
            if (dim->kind == AST_DIM_ANY) continue;
            if (dim->kind == AST_DIM_INTEGER) {
                pair.expected = array_const(a, dim->size);
            } else {
                int variable = resolve_variable(names, dim->name);
                if (variable < 0) continue;
                if (!known[variable]) known[variable] = pair.is;
                pair.symbol = dim->name;
                pair.expected = known[variable];
            }
            if (!array_check(a, CHECK_EQUAL, pair.is, pair.expected, DIAG_SHAPE, lift->values[i].span, describe_size,
                             &pair))
                return false;
        }
    }
    return true;
}

static bool describe_argument(struct lift *lift, int i, bool whole) {
    struct array *a = lift->a;
    struct value *v = &lift->values[i];
    struct ufunc_argument *argument = &lift->arguments[i];
    if (v->kind != VALUE_NUMBER) {
        if (v->kind != VALUE_ERROR)
            diag_add(a->diags, DIAG_TYPE, v->span, "`%s` works on numbers, and `%s` is %s", lift->function->name,
                     array_quote(a, v->span), value_type_text(a->arena, v));
        return false;
    }
    v->product = false;
    argument->whole = whole && v->type.rank > 0;
    argument->type = v->type;
    if (argument->whole) {
        argument->type.weak = STRONG;
    } else {
        argument->type.rank = 0;
        argument->is_const = v->is_const;
        if (v->is_const) argument->constant = *v;
    }
    return true;
}

static bool gather(struct lift *lift, int n, const struct value *given) {
    struct array *a = lift->a;
    const struct resolve_scope *names = &a->resolve->functions[lift->function->index];
    lift->n = n + names->n_reads;
    lift->values = ARENA_ARRAY(a->arena, struct value, lift->n);
    lift->arguments = ARENA_ARRAY(a->arena, struct ufunc_argument, lift->n);
    for (int i = 0; i < n; i++) {
        const struct ast_type *type = lift->function->parameters[i].type;
        lift->values[i] = given[i];
        enum dtype dtype = type && type->is_array && type->element ? array_element(a, type) : TY_NONE;
        if (dtype != TY_NONE && given[i].kind == VALUE_NUMBER && given[i].type.rank > 0 &&
            array_takes(dtype, &given[i]))
            lift->values[i] = array_as(a, &given[i], (struct type){dtype, STRONG, 0});
        if (!describe_argument(lift, i, type && type->is_array)) return false;
    }
    for (int i = 0; i < names->n_reads; i++) {
        int variable = names->reads[i];
        if (!a->top->variables[variable].set) {
            diag_add(a->diags, DIAG_NAME, lift->span, "`%s` reads `%s`, which is not set yet", lift->function->name,
                     a->resolve->top.variables[variable]);
            return false;
        }
        lift->values[n + i] = array_read(a, a->top, variable, lift->span);
        if (!describe_argument(lift, n + i, true)) return false;
    }
    return true;
}

/* The scalar arguments, broadcast to one shape and converted; false: reported. */
static bool convert_scalars(struct lift *lift, const struct ufunc_instance *instance, int *n_args,
                            struct graph_node **args, struct array_shape *shape) {
    struct array *a = lift->a;
    struct value *scalars = ARENA_ARRAY(a->arena, struct value, lift->n);
    *n_args = 0;
    for (int i = 0; i < lift->n; i++)
        if (!lift->arguments[i].whole) scalars[(*n_args)++] = lift->values[i];
    if (!array_align(a, *n_args, scalars, lift->span)) return false;
    shape->rank = 0;
    for (int i = 0; i < *n_args; i++) {
        bool built_in = instance->constants && instance->constants[i];
        args[i] = built_in ? node_int(a, instance->param_types[i], 0)
                           : value_as(&a->emit, &scalars[i], instance->param_types[i]);
        if (!args[i]) return false;
        if (scalars[i].type.rank > 0) *shape = array_value_shape(&scalars[i]);
    }
    return true;
}

struct value array_lift(struct array *a, const struct ast_function *function, int n, const struct value *given,
                        struct span span) {
    struct lift lift = {.a = a, .function = function, .span = span};
    if (n != function->n_parameters || !gather(&lift, n, given)) return value_error(span);
    const struct ufunc_instance *instance = ufunc_instantiate(a->elab, function, lift.arguments, span);
    if (!instance || !check_sizes(&lift)) return value_error(span);
    a->closed_nodes += instance->n_values; /* inlined into the kernels that call it */

    int n_args = 0, n_whole = 0;
    struct array_shape shape;
    struct graph_node **args = ARENA_ARRAY(a->arena, struct graph_node *, lift.n),
                      **whole = ARENA_ARRAY(a->arena, struct graph_node *, lift.n);
    if (!convert_scalars(&lift, instance, &n_args, args, &shape)) return value_error(span);
    for (int i = 0; i < lift.n; i++)
        if (lift.arguments[i].whole && !(whole[n_whole++] = array_node(a, &lift.values[i]))) return value_error(span);

    struct value *results = ARENA_ARRAY(a->arena, struct value, instance->n_results);
    for (int i = 0; i < instance->n_results; i++) {
        struct graph_node *node = graph_call(array_graph(a), instance->function, i, instance->results[i].dtype,
                                             shape.rank, shape.dim, n_args, args, n_whole, whole, span);
        results[i] = array_wrap(a, node, span);
        results[i].type.weak = instance->results[i].weak;
    }
    return instance->n_results == 1 ? results[0] : array_tuple(a, instance->n_results, results, span);
}
