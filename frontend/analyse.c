/* analyse.c: text -> a program whose names are resolved. */
#include "frontend/parser.h"
#include "frontend/resolve.h"

/* The program outlives the caller's options: it keeps a copy. */
static struct frontend_program *analyse_start(struct arena *arena, const struct frontend_options *options) {
    struct frontend_program *program = ARENA_NEW(arena, struct frontend_program);
    struct frontend_options *kept = ARENA_NEW(arena, struct frontend_options);
    *kept = *options;
    if (options->file) kept->file = arena_strdup(arena, options->file);
    program->options = kept;
    return program;
}

static struct parser_limits analyse_limits(const struct frontend_options *options) {
    return (struct parser_limits){.source_bytes = options->limits.source_bytes, .nesting = options->limits.nesting};
}

static int analyse_errors(const struct diag_list *diags) {
    return diags->count + diags->dropped;
}

struct frontend_program *frontend_analyse(struct arena *arena, const char *text, size_t length,
                                          const struct frontend_options *options, struct diag_list *diags) {
    struct frontend_program *program = analyse_start(arena, options);
    struct parser_limits limits = analyse_limits(options);
    int errors = analyse_errors(diags);
    struct ast_program *ast = parser_parse(arena, text, length, &limits, diags);
    program->ast = ast;
    if (analyse_errors(diags) != errors) return NULL;
    return resolve_program(program, ast, arena, diags) ? program : NULL;
}

static const struct frontend_formula *analyse_copy_formula(struct arena *arena,
                                                           const struct frontend_formula *formula) {
    struct frontend_formula *copy = ARENA_NEW(arena, struct frontend_formula);
    struct frontend_formula_input *inputs = ARENA_ARRAY(arena, struct frontend_formula_input, formula->n_inputs);
    *copy = *formula;
    for (int i = 0; i < formula->n_inputs; i++) {
        inputs[i] = formula->inputs[i];
        inputs[i].name = arena_strdup(arena, formula->inputs[i].name);
    }
    copy->inputs = inputs;
    return copy;
}

struct frontend_program *frontend_analyse_formula(struct arena *arena, const char *text, size_t length,
                                                  const struct frontend_formula *formula,
                                                  const struct frontend_options *options, struct diag_list *diags) {
    struct frontend_program *program = analyse_start(arena, options);
    struct parser_limits limits = analyse_limits(options);
    int errors = analyse_errors(diags);
    struct ast_program *ast = parser_parse_expression(arena, text, length, &limits, diags);
    program->ast = ast;
    program->formula = analyse_copy_formula(arena, formula);
    if (analyse_errors(diags) != errors || !ast->expression) return NULL;
    return resolve_program(program, ast, arena, diags) ? program : NULL;
}
