/* resolve_names.c: the meaning of every name, scope by scope, in the order of the text.
 *
 * A name that its scope assigns to is a variable of that scope. One exception makes `mean = mean(x)` work: before the
 * first assignment in the text, a name of the language still has its own meaning. In a loop there is no "before": what
 * the outermost loop assigns is a variable in all of it.
 */
#include <string.h>

#include "frontend/resolve_state.h"

static void names_seen(struct resolve_place *place, const char *name) {
    struct resolve_symbol *symbol = resolve_symbol(place->r, name);
    *(place->scanning ? &symbol->assigned : &symbol->seen) = place->epoch;
}

static void names_read_global(struct resolve_place *place, int number, struct span span) {
    struct resolve_scope *scope = place->scope;
    for (int i = 0; i < scope->n_reads; i++) /* at most RESOLVE_READS */
        if (scope->reads[i] == number) return;
    if (scope->n_reads == RESOLVE_READS) {
        resolve_report(place->r, DIAG_LIMIT, span, "`%s` reads more than %d names of the top level",
                       place->function->name, RESOLVE_READS);
        return;
    }
    ARENA_PUSH(place->r->arena, scope->reads, scope->n_reads, scope->reads_capacity) = number;
}

/* What `name` means here; NAME_UNKNOWN if nothing. */
static struct resolve_name names_find(struct resolve_place *place, const struct ast_expr *expr) {
    struct resolver *r = place->r;
    const struct resolve_symbol *symbol = resolve_symbol(r, expr->name);
    const struct resolve_scope *scope = place->scope;
    int number = resolve_variable(scope, expr->name);
    int n_given = place->function ? place->function->n_parameters : r->program->n_inputs;
    bool is_size = number >= scope->first_size && number < scope->first_size + scope->n_sizes;
    if (number >= 0) {
        bool given = number < n_given || is_size;
        if (!given && symbol->seen != place->epoch && symbol->builtin.kind != NAME_UNKNOWN && !symbol->function)
            return symbol->builtin;
        enum name_kind kind = symbol->assigned == place->epoch ? NAME_VARIABLE
                              : is_size                        ? NAME_SIZE
                              : place->function                ? NAME_VARIABLE
                                                               : NAME_INPUT;
        return (struct resolve_name){kind, number};
    }
    if (place->function && (number = resolve_variable(&r->resolve->top, expr->name)) >= 0) {
        names_read_global(place, number, expr->span);
        return (struct resolve_name){NAME_GLOBAL, number};
    }
    if (symbol->function) return (struct resolve_name){NAME_FUNCTION, symbol->function->index};
    return symbol->builtin;
}

static void names_misused(struct resolve_place *place, const struct ast_expr *expr) {
    struct resolver *r = place->r;
    resolve_report(r, DIAG_NAME, expr->span, "`%s` is a function, and only its calls have values: `%s(...)`%s",
                   expr->name, expr->name,
                   r->free_names && !resolve_symbol(r, expr->name)->function
                       ? arena_printf(r->arena, "; an input of this name needs a line `param %s: ...`", expr->name)
                       : "");
}

static void names_name(struct resolve_place *place, const struct ast_expr *expr, enum resolve_role role) {
    struct resolver *r = place->r;
    if (role == ROLE_SKIP) return;
    struct resolve_name meaning = names_find(place, expr);
    bool call = role == ROLE_CALLEE;
    switch (meaning.kind) {
    case NAME_UNKNOWN:
        if (role == ROLE_DTYPE)
            resolve_dtype(r, expr->name, expr->span);
        else
            resolve_unknown(r, place->scope, expr->name, expr->span, call);
        break;
    case NAME_DTYPE:
        if (meaning.index == TY_F16) {
            resolve_dtype(r, expr->name, expr->span);
            meaning = (struct resolve_name){NAME_UNKNOWN, 0};
        }
        break;
    case NAME_FUNCTION:
    case NAME_BUILTIN:
    case NAME_OP:
        if (role == ROLE_READ || role == ROLE_DTYPE) {
            names_misused(place, expr);
            meaning = (struct resolve_name){NAME_UNKNOWN, 0};
        }
        break;
    default: break;
    }
    r->resolve->names[expr->id] = meaning;
}

static void names_attribute(struct resolve_place *place, const struct ast_expr *expr) {
    static const char names[] = "shape T dtype";
    struct resolver *r = place->r;
    const char *name = expr->attribute.name;
    if (r->program->formula && r->program->formula->elementwise) {
        resolve_report(r, DIAG_UNSUPPORTED, expr->span,
                       "this formula is computed element by element: `.%s` is not available in it", name);
    } else if (!resolve_word_among(names, name)) {
        const char *hint = resolve_hint(r, name, names);
        resolve_report(r, DIAG_NAME, expr->attribute.name_span, "unknown attribute `%s`%s", name,
                       *hint ? hint : "; arrays have shape, T and dtype");
    }
}

static void names_elementwise(struct resolve_place *place, const struct ast_expr *expr, const char *what) {
    const struct frontend_formula *formula = place->r->program->formula;
    if (formula && formula->elementwise)
        resolve_report(place->r, DIAG_UNSUPPORTED, expr->span,
                       "this formula is computed element by element: %s are not available in it", what);
}

void resolve_expr(struct resolve_place *place, const struct ast_expr *root) {
    struct resolver *r = place->r;
    if (!root) return;
    for (uint32_t id = root->first_id; id <= root->id; id++) {
        const struct ast_expr *expr = r->ast->exprs[id];
        enum resolve_role role = (enum resolve_role)r->roles[id];
        if (role == ROLE_SKIP) continue;
        switch (expr->kind) {
        case AST_NAME: names_name(place, expr, role); break;
        case AST_CALL: resolve_call(place, expr); break;
        case AST_ATTRIBUTE: names_attribute(place, expr); break;
        case AST_INDEX: names_elementwise(place, expr, "subscripts"); break;
        case AST_ARRAY: names_elementwise(place, expr, "array literals"); break;
        case AST_BINARY:
            if (expr->op == AST_MATMUL)
                resolve_report(r, DIAG_UNSUPPORTED, expr->op_span,
                               "matrix products (`@`) are not available in this version");
            break;
        default: break;
        }
    }
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static void names_see_block(struct resolve_place *place, const struct ast_block *block);

/* All that a statement assigns to is seen (or, scanning, known to be assigned) before any of it is read. */
static void names_see_all(struct resolve_place *place, const struct ast_stmt *stmt) {
    switch (stmt->kind) {
    case AST_ASSIGN:
        for (int i = 0; i < stmt->assign.n_targets; i++)
            if (stmt->assign.targets[i]->kind == AST_NAME) names_seen(place, stmt->assign.targets[i]->name);
        break;
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) names_see_block(place, &stmt->branch.bodies[i]);
        names_see_block(place, &stmt->branch.otherwise);
        break;
    case AST_FOR: names_seen(place, stmt->loop.name); /* fall through */
    case AST_WHILE: names_see_block(place, &stmt->loop.body); break;
    default: break;
    }
}

static void names_see_block(struct resolve_place *place, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) names_see_all(place, block->items[i]);
}

static void names_assign(struct resolve_place *place, const struct ast_stmt *stmt) {
    struct resolver *r = place->r;
    resolve_expr(place, stmt->assign.value);
    for (int i = 0; i < stmt->assign.n_targets; i++) {
        const struct ast_expr *target = stmt->assign.targets[i];
        if (target->kind == AST_INDEX) target = target->index.base;
        if (target->kind != AST_NAME) continue;
        names_seen(place, target->name);
        r->resolve->names[target->id] =
            (struct resolve_name){NAME_VARIABLE, resolve_variable(place->scope, target->name)};
    }
}

/* Asserts are effects, too, under a number of their own. */
static void names_assert(struct resolve_place *place, const struct ast_stmt *stmt) {
    struct resolver *r = place->r;
    r->program->has_effects = true;
    resolve_expr(place, stmt->assertion.condition);
    if (!place->function) return;
    if (place->function->is_ufunc)
        resolve_report(r, DIAG_TYPE, stmt->span,
                       "an assert inside a ufunc: check all elements where it is called, with `assert all(...)`");
    else if (r->functions[place->function->index].effect < 0)
        r->functions[place->function->index].effect = BUILTIN_COUNT;
}

static void names_block(struct resolve_place *place, const struct ast_block *block);

static void names_loop(struct resolve_place *place, const struct ast_stmt *stmt) {
    if (place->loops++ == 0) names_see_all(place, stmt);
    if (stmt->kind == AST_WHILE) {
        resolve_expr(place, stmt->loop.condition);
    } else {
        resolve_expr(place, stmt->loop.start);
        resolve_expr(place, stmt->loop.stop);
        resolve_expr(place, stmt->loop.step);
    }
    names_block(place, &stmt->loop.body);
    place->loops--;
}

static void names_stmt(struct resolve_place *place, const struct ast_stmt *stmt) {
    switch (stmt->kind) {
    case AST_ASSIGN: names_assign(place, stmt); break;
    case AST_EXPR:
    case AST_RETURN: resolve_expr(place, stmt->expr); break;
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) {
            resolve_expr(place, stmt->branch.conditions[i]);
            names_block(place, &stmt->branch.bodies[i]);
        }
        names_block(place, &stmt->branch.otherwise);
        break;
    case AST_WHILE:
    case AST_FOR: names_loop(place, stmt); break;
    case AST_ASSERT: names_assert(place, stmt); break;
    case AST_PARAM: /* a default is folded where inputs are made */
    case AST_FUNCTION:
    case AST_BREAK:
    case AST_CONTINUE: break;
    }
}

static void names_block(struct resolve_place *place, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) names_stmt(place, block->items[i]);
}

static void names_scan(struct resolve_place *place, const struct ast_block *block) {
    place->scanning = true;
    names_see_block(place, block);
    place->scanning = false;
}

void resolve_names(struct resolver *r) {
    for (int i = 0; i < r->ast->n_functions; i++) {
        const struct ast_function *function = r->ast->functions[i];
        struct resolve_place place = {r, &r->resolve->functions[i], function, ++r->epoch, 0, false};
        r->functions[i].effect = r->functions[i].whole = -1;
        names_scan(&place, &function->body);
        resolve_expr(&place, function->value);
        names_block(&place, &function->body);
    }
    struct resolve_place top = {r, &r->resolve->top, NULL, ++r->epoch, 0, false};
    names_scan(&top, &r->ast->body);
    names_block(&top, &r->ast->body);
}
