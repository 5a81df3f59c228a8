/* resolve_inputs.c: what the program takes: its params with their defaults; the parameters of the last function, in a
 * source of definitions only; or its free names.
 */
#include <string.h>

#include "frontend/elementwise_parts.h"
#include "frontend/resolve_state.h"

/* An input without a type. */
static struct frontend_input inputs_any(const char *name, struct span span) {
    return (struct frontend_input){.name = name, .span = span, .rank = -1};
}

/* What a declared type says. False if it has no brackets: a scalar. */
static void inputs_declared(struct frontend_input *input, const struct ast_type *type) {
    input->type = type->element ? dtype_from_name(type->element) : TY_NONE;
    input->rank = type->is_array ? type->n_dims : 0;
    input->typed = input->type != TY_NONE;
}

/* --- defaults ----------------------------------------------------------------------------------------------------- */

struct inputs_fold {
    struct resolver *r;
    struct emitter emit; /* folding makes no operations: only what it reports with */
    struct value *values;
    uint32_t first;
};

static struct value fold_constant(enum resolve_constant constant, struct span span) {
    switch (constant) {
    case CONSTANT_PI: return value_real(3.14159265358979323846, span);
    case CONSTANT_E: return value_real(2.71828182845904523536, span);
    case CONSTANT_NAN: return value_real(__builtin_nan(""), span);
    case CONSTANT_INF: return value_real(__builtin_inf(), span);
    }
    return value_error(span);
}

/* False if the expression is nothing that is known before the program runs. */
static bool fold_expr(struct inputs_fold *fold, const struct ast_expr *expr) {
    struct value *out = &fold->values[expr->id - fold->first];
    switch (expr->kind) {
    case AST_INT: *out = value_magnitude(false, expr->integer, expr->span); return true;
    case AST_FLOAT: *out = value_real(expr->real, expr->span); return true;
    case AST_NAME: {
        const struct resolve_symbol *symbol = resolve_symbol(fold->r, expr->name);
        if (symbol->builtin.kind != NAME_CONSTANT || symbol->function) return false;
        *out = fold_constant((enum resolve_constant)symbol->builtin.index, expr->span);
        fold->r->resolve->names[expr->id] = symbol->builtin;
        return true;
    }
    case AST_UNARY: {
        const struct value *x = &fold->values[expr->unary.operand->id - fold->first];
        return elementwise_fold_unary(&fold->emit, expr->op, x, expr->span, out);
    }
    case AST_BINARY: {
        const struct value *a = &fold->values[expr->binary.left->id - fold->first];
        const struct value *b = &fold->values[expr->binary.right->id - fold->first];
        if (expr->op == AST_MATMUL) return false;
        return elementwise_fold_binary(&fold->emit, expr->op, a, b, expr->span, out);
    }
    default: return false;
    }
}

/* The value of a default. False after reporting that it has none. */
static bool inputs_fold(struct resolver *r, const struct ast_expr *root, struct value *result) {
    struct inputs_fold fold = {.r = r, .first = root->first_id};
    fold.emit = (struct emitter){.arena = r->arena, .diags = r->diags, .ast = r->ast, .fp = r->program->options->fp};
    fold.values = ARENA_ARRAY(r->arena, struct value, root->id - root->first_id + 1);
    for (uint32_t id = root->first_id; id <= root->id; id++) {
        const struct ast_expr *expr = r->ast->exprs[id];
        if (!fold_expr(&fold, expr)) {
            resolve_report(r, DIAG_VALUE, root->span,
                           "a default is a number, true or false, or arithmetic of numbers and constants");
            return false;
        }
        const struct value *value = &fold.values[id - fold.first];
        if (value->kind == VALUE_ERROR) return false;
    }
    *result = fold.values[root->id - root->first_id];
    return true;
}

static void inputs_misfit(struct resolver *r, const struct frontend_input *input, const struct ast_expr *value) {
    resolve_report(r, DIAG_TYPE, value->span, "the default `%s` is no value of type %s",
                   ast_text(r->arena, r->ast, value->span), dtype_name(input->type));
}

static void inputs_bool_default(struct resolver *r, struct frontend_input *input, const struct ast_expr *value) {
    if (input->type != TY_NONE && input->type != TY_BOOL) {
        inputs_misfit(r, input, value);
        return;
    }
    input->type = TY_BOOL;
    input->default_value.i = value->boolean;
}

static void inputs_default(struct resolver *r, struct frontend_input *input, const struct ast_stmt *stmt) {
    const struct ast_expr *expr = stmt->param.value;
    struct value value;
    if (stmt->param.type && stmt->param.type->is_array) {
        resolve_report(r, DIAG_VALUE, expr->span, "an array has no default: `%s` must be bound", input->name);
        return;
    }
    input->has_default = true;
    input->rank = 0;
    if (expr->kind == AST_BOOL) {
        inputs_bool_default(r, input, expr);
        input->typed = true;
        return;
    }
    if (!inputs_fold(r, expr, &value)) return;
    bool real = value.type.weak == WEAK_FLOAT;
    if (!stmt->param.type) {
        input->type = real ? TY_F64 : TY_I64;
        input->weak = real ? WEAK_FLOAT : WEAK_INT;
    }
    input->typed = true;
    if (input->type == TY_NONE) return; /* reported with the type */
    if (dtype_is_float(input->type)) {
        input->default_value.f = value_const_real(&value);
    } else if (real || !dtype_holds_int(input->type, value.negative, value.magnitude)) {
        inputs_misfit(r, input, expr);
    } else {
        input->default_value.i = (int64_t)(value.negative ? -value.magnitude : value.magnitude);
    }
}

/* --- params ------------------------------------------------------------------------------------------------------- */

static struct frontend_input *inputs_add(struct resolver *r, struct frontend_input input, int *capacity) {
    struct frontend_program *program = r->program;
    if (program->n_inputs == RESOLVE_INPUTS)
        resolve_report(r, DIAG_LIMIT, input.span, "the program has more than %d inputs", RESOLVE_INPUTS);
    ARENA_PUSH(r->arena, program->inputs, program->n_inputs, *capacity) = input;
    return &program->inputs[program->n_inputs - 1];
}

static void inputs_of_params(struct resolver *r) {
    struct resolve_scope *top = &r->resolve->top;
    const struct ast_block *body = &r->ast->body;
    int capacity = 0;
    for (int i = 0; i < body->count; i++) {
        const struct ast_stmt *stmt = body->items[i];
        if (stmt->kind != AST_PARAM) continue;
        if (resolve_variable(top, stmt->param.name) >= 0) {
            resolve_report(r, DIAG_NAME, stmt->param.name_span, "`%s` names two inputs", stmt->param.name);
            continue;
        }
        resolve_add_variable(r, top, stmt->param.name);
        struct frontend_input *input = inputs_add(r, inputs_any(stmt->param.name, stmt->param.name_span), &capacity);
        if (stmt->param.type) inputs_declared(input, stmt->param.type);
        if (stmt->param.value) inputs_default(r, input, stmt);
    }
    top->first_size = top->n_variables;
    for (int i = 0; i < body->count; i++) {
        const struct ast_stmt *stmt = body->items[i];
        const struct ast_type *type = stmt->kind == AST_PARAM ? stmt->param.type : NULL;
        for (int d = 0; type && d < type->n_dims; d++) {
            const struct ast_dim *dim = &type->dims[d];
            if (dim->kind != AST_DIM_NAME) continue;
            if (resolve_symbol(r, dim->name)->function)
                resolve_report(r, DIAG_NAME, dim->span,
                               "`%s` is a function of this program and cannot name a size, too", dim->name);
            if (resolve_add_variable(r, top, dim->name) < top->first_size)
                resolve_report(r, DIAG_NAME, dim->span, "`%s` is an input and cannot name a size, too", dim->name);
        }
    }
    top->n_sizes = top->n_variables - top->first_size;
}

/* --- the last function -------------------------------------------------------------------------------------------- */

static void inputs_of_entry(struct resolver *r) {
    const struct ast_function *entry = r->ast->functions[r->ast->n_functions - 1];
    int capacity = 0;
    r->resolve->entry = entry;
    for (int i = 0; i < entry->n_parameters; i++) {
        const struct ast_parameter *parameter = &entry->parameters[i];
        struct frontend_input *input = inputs_add(r, inputs_any(parameter->name, parameter->name_span), &capacity);
        /* A ufunc is lifted over its scalar parameters: arrays of any rank go there, of any type that converts safely.
         */
        if (parameter->type && (parameter->type->is_array || !entry->is_ufunc)) inputs_declared(input, parameter->type);
    }
}

/* --- free names --------------------------------------------------------------------------------------------------- */

struct free_walk {
    struct resolver *r;
    const struct resolve_scope *scope; /* of a function; NULL: top level */
    int capacity;
};

static void free_expr(struct free_walk *walk, const struct ast_expr *root) {
    struct resolver *r = walk->r;
    if (!root) return;
    for (uint32_t id = root->first_id; id <= root->id; id++) {
        const struct ast_expr *expr = r->ast->exprs[id];
        if (expr->kind != AST_NAME || (r->roles[id] != ROLE_READ && r->roles[id] != ROLE_QUIET)) continue;
        const struct resolve_symbol *symbol = resolve_symbol(r, expr->name);
        if (symbol->function || symbol->builtin.kind != NAME_UNKNOWN) continue;
        if (walk->scope ? symbol->top_assigned || resolve_variable(walk->scope, expr->name) >= 0
                        : symbol->seen_by_inputs)
            continue;
        if (resolve_variable(&r->resolve->top, expr->name) >= 0) continue;
        resolve_add_variable(r, &r->resolve->top, expr->name);
        inputs_add(r, inputs_any(expr->name, expr->span), &walk->capacity);
    }
}

static void free_block(struct free_walk *walk, const struct ast_block *block);

static void free_function(struct free_walk *walk, const struct ast_function *function) {
    walk->scope = &walk->r->resolve->functions[function->index];
    free_expr(walk, function->value);
    free_block(walk, &function->body);
    walk->scope = NULL;
}

static void free_assign(struct free_walk *walk, const struct ast_stmt *stmt) {
    struct resolver *r = walk->r;
    if (stmt->assign.op != AST_OP_NONE && stmt->assign.targets[0]->kind == AST_NAME) { /* `a += b` reads a first */
        uint32_t id = stmt->assign.targets[0]->id;
        unsigned char role = r->roles[id];
        r->roles[id] = ROLE_READ;
        free_expr(walk, stmt->assign.targets[0]);
        r->roles[id] = role;
    }
    free_expr(walk, stmt->assign.value);
    for (int i = 0; !walk->scope && i < stmt->assign.n_targets; i++) {
        const struct ast_expr *target = stmt->assign.targets[i];
        if (target->kind == AST_INDEX) target = target->index.base;
        if (target->kind == AST_NAME) resolve_symbol(r, target->name)->seen_by_inputs = true;
    }
}

static void free_stmt(struct free_walk *walk, const struct ast_stmt *stmt) {
    switch (stmt->kind) {
    case AST_ASSIGN: free_assign(walk, stmt); break;
    case AST_EXPR:
    case AST_RETURN: free_expr(walk, stmt->expr); break;
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) {
            free_expr(walk, stmt->branch.conditions[i]);
            free_block(walk, &stmt->branch.bodies[i]);
        }
        free_block(walk, &stmt->branch.otherwise);
        break;
    case AST_WHILE:
        free_expr(walk, stmt->loop.condition);
        free_block(walk, &stmt->loop.body);
        break;
    case AST_FOR:
        free_expr(walk, stmt->loop.start);
        free_expr(walk, stmt->loop.stop);
        free_expr(walk, stmt->loop.step);
        if (!walk->scope) resolve_symbol(walk->r, stmt->loop.name)->seen_by_inputs = true;
        free_block(walk, &stmt->loop.body);
        break;
    case AST_ASSERT: free_expr(walk, stmt->assertion.condition); break;
    case AST_FUNCTION: free_function(walk, stmt->function); break;
    case AST_PARAM:
    case AST_BREAK:
    case AST_CONTINUE: break;
    }
}

static void free_block(struct free_walk *walk, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) free_stmt(walk, block->items[i]);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

void resolve_inputs(struct resolver *r) {
    struct resolve_scope *top = &r->resolve->top;
    if (r->has_param) {
        inputs_of_params(r);
    } else if (!r->other_statements && r->ast->n_functions > 0) {
        inputs_of_entry(r);
    } else if (!r->has_load) {
        struct free_walk walk = {.r = r};
        r->free_names = true;
        free_block(&walk, &r->ast->body);
        top->first_size = top->n_variables;
    }
    if (!r->other_statements && !r->resolve->entry)
        resolve_report(r, DIAG_VALUE, (struct span){0, 0}, "the program computes nothing: it %s",
                       r->has_param ? "has inputs, but no statement after them" : "is empty");
    for (int i = 0; i < r->n_top_assigned; i++) resolve_add_variable(r, top, r->top_assigned[i]);
    r->program->typed = true;
    for (int i = 0; i < r->program->n_inputs; i++) r->program->typed &= r->program->inputs[i].typed;
}

void resolve_formula_inputs(struct resolver *r) {
    const struct frontend_formula *formula = r->program->formula;
    struct resolve_scope *top = &r->resolve->top;
    int capacity = 0;
    r->program->typed = true;
    for (int i = 0; i < formula->n_inputs; i++) {
        const struct frontend_formula_input *given = &formula->inputs[i];
        const char *name = ast_name(r->arena, r->ast, given->name, strlen(given->name));
        if (resolve_variable(top, name) >= 0)
            resolve_report(r, DIAG_ARGUMENT, (struct span){0, 0}, "two inputs of the formula are named `%s`", name);
        resolve_add_variable(r, top, name);
        struct frontend_input *input = inputs_add(r, inputs_any(name, (struct span){0, 0}), &capacity);
        input->type = given->type;
        input->rank = given->rank;
        input->typed = given->type != TY_NONE && given->rank >= 0;
        r->program->typed &= input->typed;
    }
    top->first_size = top->n_variables;
}
