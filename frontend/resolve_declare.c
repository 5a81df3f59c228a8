/* resolve_declare.c: the first pass. Functions, the variables of every scope, element types as written, and the forms
 * of statements that this version does not have, each reported once and then left alone.
 */
#include "frontend/resolve_state.h"

#include <string.h>

/* --- types -------------------------------------------------------------------------------------------------------- */

enum dtype resolve_dtype(struct resolver *r, const char *name, struct span span) {
    static const char names[] = "bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64";
    if (!name) return TY_NONE;
    enum dtype type = dtype_from_name(name);
    if (type == TY_F16 || strcmp(name, "c64") == 0 || strcmp(name, "c128") == 0) {
        resolve_report(r, DIAG_UNSUPPORTED, span, "the type `%s` is not available in this version", name);
        return TY_NONE;
    }
    if (type == TY_NONE) {
        const char *hint = resolve_hint(r, name, names);
        if (!*hint) hint = arena_printf(r->arena, "; element types are %s", names);
        resolve_report(r, DIAG_NAME, span, "unknown type `%s`%s", name, hint);
    }
    return type;
}

static void declare_type(struct resolver *r, const struct ast_type *type) {
    if (!type) return;
    resolve_dtype(r, type->element, type->element_span);
    if (type->n_dims > TYPE_MAX_RANK)
        resolve_report(r, DIAG_SHAPE, type->span, "%d dimensions: expected at most %d", type->n_dims, TYPE_MAX_RANK);
}

/* --- expressions -------------------------------------------------------------------------------------------------- */

static void declare_call_roles(struct resolver *r, const struct ast_expr *call) {
    const struct ast_expr *callee = call->call.callee;
    bool unavailable = false;
    if (callee->kind == AST_NAME) {
        const struct resolve_symbol *symbol = resolve_symbol(r, callee->name);
        r->roles[callee->id] = ROLE_CALLEE;
        if (symbol->builtin.kind == NAME_BUILTIN && !symbol->function) {
            unavailable = builtin_info[symbol->builtin.index].group == BUILTIN_UNAVAILABLE;
            if (symbol->builtin.index == BUILTIN_load) r->has_load = true;
        }
    } else { /* reported by resolve_call, whatever it is made of */
        memset(r->roles + callee->first_id, ROLE_SKIP, callee->id - callee->first_id + 1);
    }
    for (int i = 0; i < call->call.n_arguments; i++) {
        const struct ast_argument *argument = &call->call.arguments[i];
        if (argument->value->kind != AST_NAME) continue;
        if (argument->keyword && strcmp(argument->keyword, "dtype") == 0) r->roles[argument->value->id] = ROLE_DTYPE;
        if (unavailable) r->roles[argument->value->id] = ROLE_QUIET;
    }
}

static bool declare_index_notation(struct resolver *r, struct span span) {
    resolve_report(r, DIAG_UNSUPPORTED, span, "index notation (`:=`, `name[k](...)`) is not available in this version");
    return true;
}

bool resolve_roles(struct resolver *r, const struct ast_expr *root) {
    bool notation = false;
    if (!root) return false;
    for (uint32_t id = root->first_id; id <= root->id; id++) {
        const struct ast_expr *expr = r->ast->exprs[id];
        if (expr->kind != AST_CALL) continue;
        if (expr->call.n_indices > 0) {
            if (!notation) notation = declare_index_notation(r, expr->span);
        } else {
            declare_call_roles(r, expr);
        }
    }
    if (notation) memset(r->roles + root->first_id, ROLE_SKIP, root->id - root->first_id + 1);
    return notation;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

struct declare_place {
    struct resolver *r;
    struct resolve_scope *scope; /* of a function; NULL: top level */
};

static void declare_name(struct declare_place *place, const char *name, struct span span) {
    struct resolver *r = place->r;
    if (place->scope) {
        resolve_add_variable(r, place->scope, name);
        return;
    }
    struct resolve_symbol *symbol = resolve_symbol(r, name);
    if (symbol->top_assigned) return;
    symbol->top_assigned = true;
    if (symbol->function)
        resolve_report(r, DIAG_NAME, span, "`%s` is a function of this program; name the variable otherwise", name);
    ARENA_PUSH(r->arena, r->top_assigned, r->n_top_assigned, r->top_assigned_capacity) = name;
}

static void declare_assign(struct declare_place *place, const struct ast_stmt *stmt) {
    struct resolver *r = place->r;
    bool notation = resolve_roles(r, stmt->assign.value), store = false;
    if (!notation && (stmt->assign.define || stmt->assign.n_ranges > 0))
        notation = declare_index_notation(r, stmt->assign.define ? stmt->assign.op_span : stmt->assign.ranges[0].span);
    if (notation)
        memset(r->roles + stmt->assign.value->first_id, ROLE_SKIP,
               stmt->assign.value->id - stmt->assign.value->first_id + 1);
    int epoch = ++r->epoch;
    for (int i = 0; i < stmt->assign.n_targets; i++) {
        const struct ast_expr *target = stmt->assign.targets[i];
        memset(r->roles + target->first_id, ROLE_SKIP, target->id - target->first_id + 1);
        if (target->kind == AST_INDEX) {
            if (!notation && !store)
                resolve_report(r, DIAG_UNSUPPORTED, target->span,
                               "storing into subscripts is not available in this version");
            store = true;
            target = target->index.base;
        }
        if (target->kind != AST_NAME) continue;
        declare_name(place, target->name, target->span);
        struct resolve_symbol *symbol = resolve_symbol(r, target->name);
        if (symbol->target_of == epoch && !store && !notation)
            resolve_report(r, DIAG_NAME, target->span, "`%s` is assigned twice at once", target->name);
        symbol->target_of = epoch;
    }
}

static void declare_block(struct declare_place *place, const struct ast_block *block);

static void declare_stmt(struct declare_place *place, const struct ast_stmt *stmt) {
    struct resolver *r = place->r;
    if (stmt->kind != AST_FUNCTION && stmt->kind != AST_PARAM) r->other_statements |= !place->scope;
    switch (stmt->kind) {
    case AST_ASSIGN: declare_assign(place, stmt); break;
    case AST_EXPR:
    case AST_RETURN: resolve_roles(r, stmt->expr); break;
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) {
            resolve_roles(r, stmt->branch.conditions[i]);
            declare_block(place, &stmt->branch.bodies[i]);
        }
        declare_block(place, &stmt->branch.otherwise);
        break;
    case AST_WHILE:
        resolve_roles(r, stmt->loop.condition);
        declare_block(place, &stmt->loop.body);
        break;
    case AST_FOR:
        resolve_roles(r, stmt->loop.start);
        resolve_roles(r, stmt->loop.stop);
        resolve_roles(r, stmt->loop.step);
        declare_name(place, stmt->loop.name, stmt->loop.name_span);
        declare_block(place, &stmt->loop.body);
        break;
    case AST_ASSERT: resolve_roles(r, stmt->assertion.condition); break;
    case AST_PARAM:
        r->has_param = true;
        declare_type(r, stmt->param.type);
        resolve_roles(r, stmt->param.value);
        if (resolve_symbol(r, stmt->param.name)->function)
            resolve_report(r, DIAG_NAME, stmt->param.name_span,
                           "`%s` is a function of this program; name the input otherwise", stmt->param.name);
        break;
    case AST_BREAK:
    case AST_CONTINUE:
    case AST_FUNCTION: break;
    }
}

static void declare_block(struct declare_place *place, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) declare_stmt(place, block->items[i]);
}

static void declare_function(struct resolver *r, const struct ast_function *function) {
    struct resolve_scope *scope = &r->resolve->functions[function->index];
    scope->function = function;
    for (int i = 0; i < function->n_parameters; i++) resolve_add_variable(r, scope, function->parameters[i].name);
    for (int i = 0; i < function->n_parameters; i++) {
        const struct ast_type *type = function->parameters[i].type;
        declare_type(r, type);
        for (int d = 0; type && d < type->n_dims; d++) {
            if (type->dims[d].kind != AST_DIM_NAME) continue;
            int number = resolve_add_variable(r, scope, type->dims[d].name);
            if (number < function->n_parameters)
                resolve_report(r, DIAG_NAME, type->dims[d].span, "`%s` is a parameter and cannot name a size, too",
                               type->dims[d].name);
        }
    }
    for (int i = 0; i < function->n_results; i++) declare_type(r, function->results[i]);
    scope->first_size = function->n_parameters;
    scope->n_sizes = scope->n_variables - scope->first_size;
    struct declare_place place = {r, scope};
    resolve_roles(r, function->value);
    declare_block(&place, &function->body);
}

void resolve_declare(struct resolver *r) {
    struct ast_program *ast = r->ast;
    r->resolve->functions = ARENA_ARRAY(r->arena, struct resolve_scope, ast->n_functions);
    r->functions = ARENA_ARRAY(r->arena, struct resolve_function, ast->n_functions);
    for (int i = 0; i < ast->n_functions; i++) {
        const struct ast_function *function = ast->functions[i];
        struct resolve_symbol *symbol = resolve_symbol(r, function->name);
        if (symbol->function)
            resolve_report(r, DIAG_NAME, function->name_span, "`%s` is defined twice", function->name);
        else
            symbol->function = function;
    }
    for (int i = 0; i < ast->n_functions; i++) declare_function(r, ast->functions[i]);
    struct declare_place top = {r, NULL};
    declare_block(&top, &ast->body);
}
