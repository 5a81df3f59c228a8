/* resolve.c: the passes in order. */
#include "frontend/resolve_state.h"

static int resolve_errors(const struct diag_list *diags) {
    return diags->count + diags->dropped;
}

static void resolve_formula(struct resolver *r) {
    struct frontend_program *program = r->program;
    const struct ast_expr *root = r->ast->expression;
    struct resolve_place place = {.r = r, .scope = &r->resolve->top, .epoch = ++r->epoch};
    resolve_formula_inputs(r);
    resolve_roles(r, root);
    resolve_expr(&place, root);
    if (root->kind == AST_TUPLE)
        resolve_report(r, DIAG_TYPE, root->span, "a formula gives one value, found %d", root->list.count);
    r->resolve->result = root;
    program->n_outputs = 1;
    program->output_names = ARENA_ARRAY(r->arena, const char *, 1);
}

bool resolve_program(struct frontend_program *program, struct ast_program *ast, struct arena *arena,
                     struct diag_list *diags) {
    int errors = resolve_errors(diags);
    struct resolver r = {.arena = arena, .diags = diags, .program = program, .ast = ast};
    r.resolve = ARENA_NEW(arena, struct resolve);
    r.resolve->names = ARENA_ARRAY(arena, struct resolve_name, ast->n_exprs);
    r.roles = ARENA_ARRAY(arena, unsigned char, ast->n_exprs);
    program->resolve = r.resolve;
    resolve_symbols_init(&r);
    if (program->formula) {
        resolve_formula(&r);
    } else {
        resolve_declare(&r);
        resolve_inputs(&r);
        resolve_names(&r);
        resolve_graph(&r);
        resolve_flow(&r);
    }
    return resolve_errors(diags) == errors;
}
