/* parser_define.c: inputs and functions, and the types that are written with them. */
#include "frontend/parser_state.h"

enum { DEFINE_PARAMETERS = 250 }; /* of one function: each name is compared with all before it */

static struct ast_dim define_dim(struct parser *parser) {
    struct ast_dim dim = {.span = parser_span(parser->token)};
    struct token token = parser->token;
    uint64_t size = 0;
    switch (token.kind) {
    case TK_NAME:
        dim.kind = AST_DIM_NAME;
        dim.name = parser_name(parser, token);
        break;
    case TK_INT:
        dim.kind = AST_DIM_INTEGER;
        if (lexer_int(parser->text, token, parser->diags, &size) && size > INT64_MAX)
            parser_report(parser, dim.span, "the size is too large: expected at most 9223372036854775807");
        dim.size = (int64_t)(size & INT64_MAX);
        break;
    case TK_COLON: dim.kind = AST_DIM_ANY; break;
    default: parser_expected(parser, "a size: a name, a number or `:`"); break;
    }
    parser_advance(parser);
    return dim;
}

/* f64, f32[h, w], [n], f64[:, 3] */
static struct ast_type *define_type(struct parser *parser) {
    struct ast_type *type = ARENA_NEW(parser->arena, struct ast_type);
    struct span start = parser_span(parser->token);
    if (!parser_is(parser, TK_NAME) && !parser_is(parser, TK_LBRACKET)) {
        parser_expected(parser, "a type, such as f64, f32[h, w] or [n]");
        return type;
    }
    if (parser_is(parser, TK_NAME)) {
        type->element = parser_name(parser, parser->token);
        type->element_span = start;
        parser_advance(parser);
    }
    if (parser_is(parser, TK_LBRACKET)) {
        int opened = parser_open(parser), capacity = 0;
        type->is_array = true;
        do ARENA_PUSH(parser->arena, type->dims, type->n_dims, capacity) = define_dim(parser);
        while (parser_accept(parser, TK_COMMA));
        parser_close(parser, TK_RBRACKET, "`,` or `]`", opened);
    }
    type->span = parser_since(parser, start);
    return type;
}

void parser_param(struct parser *parser, struct ast_stmt *stmt) {
    stmt->kind = AST_PARAM;
    parser_advance(parser);
    struct token name = parser->token;
    stmt->param.name_span = parser_span(name);
    if (parser_expect(parser, TK_NAME, "the name of an input")) stmt->param.name = parser_name(parser, name);
    if (parser_accept(parser, TK_COLON)) stmt->param.type = define_type(parser);
    if (parser_accept(parser, TK_ASSIGN)) stmt->param.value = parser_expr(parser);
    if (!stmt->param.type && !stmt->param.value) parser_expected(parser, "`:` and a type, or `=` and a default");
}

static void define_parameters(struct parser *parser, struct ast_function *function) {
    int capacity = 0;
    if (!parser_is(parser, TK_LPAREN)) {
        parser_expected(parser, "`(` and the parameters");
        return;
    }
    int opened = parser_open(parser);
    while (!parser_is(parser, TK_RPAREN)) {
        struct ast_parameter parameter = {.name_span = parser_span(parser->token)};
        struct token name = parser->token;
        if (!parser_expect(parser, TK_NAME, "the name of a parameter")) break;
        parameter.name = parser_name(parser, name);
        for (int i = 0; i < function->n_parameters; i++) {
            if (function->parameters[i].name != parameter.name) continue;
            parser_report(parser, parameter.name_span, "`%s` names two parameters", parameter.name);
        }
        if (function->n_parameters == DEFINE_PARAMETERS)
            parser_fail(parser, parameter.name_span, "a function with more than %d parameters", DEFINE_PARAMETERS);
        if (parser_accept(parser, TK_COLON)) parameter.type = define_type(parser);
        if (parser_is(parser, TK_ASSIGN))
            parser_expected_hint(parser, "`,` or `)`", "; parameters of functions have no defaults");
        parameter.span = parser_since(parser, parameter.name_span);
        ARENA_PUSH(parser->arena, function->parameters, function->n_parameters, capacity) = parameter;
        if (!parser_accept(parser, TK_COMMA)) break;
    }
    parser_close(parser, TK_RPAREN, "`,` or `)`", opened);
}

static void define_results(struct parser *parser, struct ast_function *function) {
    int capacity = 0;
    if (!parser_is(parser, TK_LPAREN)) {
        ARENA_PUSH(parser->arena, function->results, function->n_results, capacity) = define_type(parser);
        if (parser_is(parser, TK_COMMA))
            parser_expected_hint(parser, "`{` or `=`", "; several result types stand in parentheses");
        return;
    }
    int opened = parser_open(parser);
    do ARENA_PUSH(parser->arena, function->results, function->n_results, capacity) = define_type(parser);
    while (parser_accept(parser, TK_COMMA));
    parser_close(parser, TK_RPAREN, "`,` or `)`", opened);
}

void parser_function(struct parser *parser, struct ast_stmt *stmt) {
    struct ast_function *function = ARENA_NEW(parser->arena, struct ast_function);
    struct ast_program *program = parser->program;
    struct span start = parser_span(parser->token);
    stmt->kind = AST_FUNCTION;
    stmt->function = function;
    function->is_ufunc = parser_is(parser, TK_UFUNC);
    function->first_id = parser_next_id(parser);
    parser_advance(parser);
    struct token name = parser->token;
    function->name_span = parser_span(name);
    if (parser_is(parser, TK_LPAREN)) {
        parser_expected_hint(parser, "the name of a function", "; a function always has a name");
    } else if (parser_expect(parser, TK_NAME, "the name of a function")) {
        function->name = parser_name(parser, name);
    }
    define_parameters(parser, function);
    if (parser_accept(parser, TK_ARROW)) define_results(parser, function);

    int loops = parser->loops; /* a loop around a misplaced definition is none of its own */
    parser->loops = 0;
    if (parser_accept(parser, TK_ASSIGN)) {
        function->value = parser_expr(parser);
    } else {
        function->body = parser_block(parser, "the head of a function");
    }
    parser->loops = loops;
    function->span = parser_since(parser, start);
    function->end_id = parser_next_id(parser);
    if (parser->panic) return;
    function->index = program->n_functions;
    ARENA_PUSH(parser->arena, program->functions, program->n_functions, parser->functions_capacity) = function;
}
