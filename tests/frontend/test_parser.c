/* Parser: whole programs against goldens (ast/, errors/), precedence pair by pair, spans, ids, limits. */
#include "frontend/parser.h"
#include "golden.h"

struct fixture {
    struct mem mem;
    struct arena arena;
    struct diag_list diags;
};

static void fixture_init(struct fixture *fixture) {
    fixture->mem = (struct mem){0};
    arena_init(&fixture->arena, &fixture->mem);
}

static void fixture_free(struct fixture *fixture) {
    arena_free(&fixture->arena);
    assert_int_equal(fixture->mem.used, 0);
}

static struct ast_program *fixture_parse(struct fixture *fixture, const char *text,
                                         const struct parser_limits *limits) {
    diag_init(&fixture->diags, &fixture->arena, "test.weft", text, strlen(text));
    return parser_parse(&fixture->arena, text, strlen(text), limits, &fixture->diags);
}

/* The dump of a source without errors. */
static const char *fixture_dump(struct fixture *fixture, const char *text) {
    struct ast_program *program = fixture_parse(fixture, text, NULL);
    struct strbuf out;
    strbuf_init(&out, &fixture->arena);
    diag_render(&fixture->diags, &out);
    if (fixture->diags.count) fail_msg("%s", strbuf_text(&out));
    ast_print(program, &out);
    return strbuf_text(&out);
}

static const char *fixture_errors(struct fixture *fixture) {
    struct strbuf out;
    strbuf_init(&out, &fixture->arena);
    diag_render(&fixture->diags, &out);
    return strbuf_text(&out);
}

/* --- goldens ------------------------------------------------------------------------------------------------------ */

static void make_ast(struct arena *arena, const char *name, const char *source, size_t length, struct strbuf *out) {
    struct diag_list diags;
    diag_init(&diags, arena, name, source, length);
    struct ast_program *program = parser_parse(arena, source, length, NULL, &diags);
    diag_render(&diags, out);
    ast_print(program, out);
    if (diags.count) print_error("%s: a program of this folder has errors\n%s", name, strbuf_text(out));
    assert_int_equal(diags.count, 0);
}

static void test_goldens(void **state) {
    (void)state;
    golden_check(WEFT_TEST_DIR "/ast", ".ast", 10, make_ast);
}

static void make_errors(struct arena *arena, const char *name, const char *source, size_t length, struct strbuf *out) {
    struct diag_list diags;
    diag_init(&diags, arena, name, source, length);
    parser_parse(arena, source, length, NULL, &diags);
    diag_render(&diags, out);
    if (diags.count == 0) print_error("%s: a program of this folder has no error\n", name);
    assert_true(diags.count > 0);
}

static void test_error_goldens(void **state) {
    (void)state;
    golden_check(WEFT_TEST_DIR "/errors", ".txt", 10, make_errors);
}

/* --- precedence --------------------------------------------------------------------------------------------------- */

/* The binary operators from loose to tight; operators of one number bind alike, to the left. */
static const struct {
    const char *text;
    int level;
} operators[] = {
    {"or", 1}, {"and", 2}, {"==", 4}, {"!=", 4},  {"<", 4},  {"<=", 4}, {">", 4},
    {">=", 4}, {"|", 5},   {"^", 6},  {"&", 7},   {"<<", 8}, {">>", 8}, {"+", 9},
    {"-", 9},  {"*", 10},  {"/", 10}, {"//", 10}, {"%", 10}, {"@", 10}, {"**", 12},
};
enum { N_OPERATORS = sizeof operators / sizeof *operators };

/* (op left right), or its form as a chain. */
static const char *form(struct fixture *fixture, int op, const char *left, const char *right) {
    if (operators[op].level == 4)
        return arena_printf(&fixture->arena, "(chain %s %s %s)", left, operators[op].text, right);
    return arena_printf(&fixture->arena, "(%s %s %s)", operators[op].text, left, right);
}

static void test_precedence_pairs(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (int i = 0; i < N_OPERATORS; i++) {
        for (int j = 0; j < N_OPERATORS; j++) {
            int first = operators[i].level, second = operators[j].level;
            const char *source = arena_printf(&fixture.arena, "a %s b %s c", operators[i].text, operators[j].text),
                       *expected;
            if (first == 4 && second == 4) {
                expected = arena_printf(&fixture.arena, "(chain a %s b %s c)", operators[i].text, operators[j].text);
            } else if (first > second || (first == second && first != 12)) {
                expected = form(&fixture, j, form(&fixture, i, "a", "b"), "c");
            } else {
                expected = form(&fixture, i, "a", form(&fixture, j, "b", "c"));
            }
            assert_string_equal(fixture_dump(&fixture, source), arena_printf(&fixture.arena, "%s\n", expected));
        }
    }
    fixture_free(&fixture);
}

static void test_precedence_prefix(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    static const struct {
        const char *text;
        int level;
    } prefixes[] = {{"not", 3}, {"-", 11}, {"+", 11}, {"~", 11}};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < N_OPERATORS; j++) {
            const char *op = prefixes[i].text;
            const char *source = arena_printf(&fixture.arena, "%s a %s b", op, operators[j].text), *expected;
            if (prefixes[i].level > operators[j].level)
                expected = form(&fixture, j, arena_printf(&fixture.arena, "(%s a)", op), "b");
            else
                expected = arena_printf(&fixture.arena, "(%s %s)", op, form(&fixture, j, "a", "b"));
            assert_string_equal(fixture_dump(&fixture, source), arena_printf(&fixture.arena, "%s\n", expected));

            /* On the right every operator takes - + ~; only `and` and `or` take `not`. */
            source = arena_printf(&fixture.arena, "a %s %s b", operators[j].text, op);
            if (prefixes[i].level == 3 && operators[j].level > 2) {
                fixture_parse(&fixture, source, NULL);
                assert_int_equal(fixture.diags.count, 1);
                assert_non_null(strstr(fixture_errors(&fixture), "`not` binds less tightly than"));
                continue;
            }
            expected = form(&fixture, j, "a", arena_printf(&fixture.arena, "(%s b)", op));
            assert_string_equal(fixture_dump(&fixture, source), arena_printf(&fixture.arena, "%s\n", expected));
        }
    }
    fixture_free(&fixture);
}

/* --- facts about the tree ----------------------------------------------------------------------------------------- */

static void test_ids_are_post_order(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct ast_program *program = fixture_parse(&fixture,
                                                "fn f(x) = x + 1\ny = f(a, k=2)[1:2, None] if b else -c ** 3\nd[i] := "
                                                "sum[k in 0:3](x[i, k]) < 2 < 4, [1, (2, 3)].T",
                                                NULL);
    assert_int_equal(fixture.diags.count, 0);
    assert_int_equal(program->functions[0]->first_id, 0);
    assert_int_equal(program->functions[0]->end_id, 3);
    assert_int_equal(program->functions[0]->index, 0);
    for (uint32_t i = 0; i < program->n_exprs; i++) {
        const struct ast_expr *expr = program->exprs[i];
        assert_int_equal(expr->id, i);
        assert_true(expr->first_id <= i);
        assert_true(expr->span.length > 0);
        if (expr->kind == AST_BINARY) {
            assert_int_equal(expr->binary.right->id, i - 1);
            assert_int_equal(expr->binary.left->id, expr->binary.right->first_id - 1);
            assert_int_equal(expr->binary.left->first_id, expr->first_id);
        }
        if (expr->kind == AST_CONDITIONAL) {
            assert_int_equal(expr->conditional.otherwise->id, i - 1);
            assert_int_equal(expr->conditional.condition->id, expr->conditional.otherwise->first_id - 1);
            assert_int_equal(expr->conditional.then->first_id, expr->first_id);
        }
        if (expr->kind == AST_CALL) assert_int_equal(expr->call.callee->first_id, expr->first_id);
    }
    const struct ast_stmt *last = program->body.items[2];
    assert_true(last->assign.define);
    assert_int_equal(last->assign.value->id, program->n_exprs - 1);
    fixture_free(&fixture);
}

static void check_text(struct fixture *fixture, struct ast_program *program, struct span span, const char *expected) {
    assert_string_equal(ast_text(&fixture->arena, program, span), expected);
}

static void test_spans(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct ast_program *program = fixture_parse(
        &fixture, "x = (a +\n   b) * sum(c,  # why\n  axis=0)[1:2, None].T\nfn f(p: f64[n]) -> i8 { return p }", NULL);
    assert_int_equal(fixture.diags.count, 0);
    const struct ast_stmt *assign = program->body.items[0];
    const struct ast_expr *value = assign->assign.value;
    check_text(&fixture, program, assign->span, "x = (a + b) * sum(c, axis=0)[1:2, None].T");
    check_text(&fixture, program, value->span, "(a + b) * sum(c, axis=0)[1:2, None].T");
    check_text(&fixture, program, value->op_span, "*");
    check_text(&fixture, program, value->binary.left->span, "(a + b)");
    const struct ast_expr *index = value->binary.right->attribute.base;
    check_text(&fixture, program, value->binary.right->attribute.name_span, "T");
    check_text(&fixture, program, index->span, "sum(c, axis=0)[1:2, None]");
    check_text(&fixture, program, index->index.subscripts[0].span, "1:2");
    check_text(&fixture, program, index->index.subscripts[1].span, "None");
    check_text(&fixture, program, index->index.base->call.arguments[1].keyword_span, "axis");
    const struct ast_function *function = program->functions[0];
    check_text(&fixture, program, function->span, "fn f(p: f64[n]) -> i8 { return p }");
    check_text(&fixture, program, function->body.span, "{ return p }");
    check_text(&fixture, program, function->parameters[0].span, "p: f64[n]");
    check_text(&fixture, program, function->parameters[0].type->span, "f64[n]");
    check_text(&fixture, program, function->parameters[0].type->dims[0].span, "n");
    check_text(&fixture, program, function->results[0]->span, "i8");
    fixture_free(&fixture);
}

static void test_text_is_cut_between_characters(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct ast_program *program =
        fixture_parse(&fixture, "print(\"#  éééééééééééééééééééééééééééééééééééééééééééééééééé\")", NULL);
    const char *text = ast_text(&fixture.arena, program, program->body.items[0]->span);
    assert_int_equal(strlen(text), 59 + strlen("…"));
    assert_memory_equal(text, "print(\"# é", 11);
    assert_string_equal(text + 59 - 2, "é…");
    fixture_free(&fixture);
}

static void test_names_are_interned(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct ast_program *program = fixture_parse(&fixture, "abc + ab\nabc = abcd", NULL);
    const struct ast_expr *sum = program->body.items[0]->expr;
    const struct ast_stmt *assign = program->body.items[1];
    assert_ptr_equal(sum->binary.left->name, assign->assign.targets[0]->name);
    assert_ptr_not_equal(sum->binary.left->name, sum->binary.right->name);
    assert_ptr_equal(ast_name(&fixture.arena, program, "abcx", 3), sum->binary.left->name);
    const char *names[500]; /* through several growths of the table */
    for (int i = 0; i < 500; i++) {
        const char *name = arena_printf(&fixture.arena, "n%d", i);
        names[i] = ast_name(&fixture.arena, program, name, strlen(name));
    }
    for (int i = 0; i < 500; i++) {
        assert_ptr_equal(names[i], ast_name(&fixture.arena, program, names[i], strlen(names[i])));
        assert_string_equal(names[i], arena_printf(&fixture.arena, "n%d", i));
    }
    fixture_free(&fixture);
}

/* --- formulas ----------------------------------------------------------------------------------------------------- */

static const char *formula(struct fixture *fixture, const char *text) {
    diag_init(&fixture->diags, &fixture->arena, NULL, text, strlen(text));
    struct ast_program *program = parser_parse_expression(&fixture->arena, text, strlen(text), NULL, &fixture->diags);
    assert_int_equal(program->expression == NULL, fixture->diags.count > 0);
    assert_int_equal(program->body.count, 0);
    struct strbuf out;
    strbuf_init(&out, &fixture->arena);
    diag_render(&fixture->diags, &out);
    ast_print(program, &out);
    return strbuf_text(&out);
}

static void test_formulas(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    assert_string_equal(formula(&fixture, "(nir - red) / (nir + red)"), "(/ (- nir red) (+ nir red))\n");
    assert_string_equal(formula(&fixture, "\n\n  a +(\nb)\n\n"), "(+ a b)\n");
    assert_non_null(strstr(formula(&fixture, ""), "expected an expression, found the end of the text"));
    assert_non_null(strstr(formula(&fixture, "# nothing"), "expected an expression, found the end of the text"));
    assert_non_null(strstr(formula(&fixture, "a = 3"),
                           "1:3: error: expected the end of the formula, found `=`; a formula is one expression"));
    assert_non_null(strstr(formula(&fixture, "a; b"), "expected the end of the formula, found `;`"));
    assert_non_null(
        strstr(formula(&fixture, "a\nb"), "2:1: error: expected the end of the formula, found the name `b`"));
    assert_non_null(strstr(formula(&fixture, "a, b"), "expected the end of the formula, found `,`"));
    assert_non_null(strstr(formula(&fixture, "while true {}"), "expected an expression, found the keyword `while`"));
    assert_non_null(strstr(formula(&fixture, "(a"), "`(` is not closed"));
    assert_non_null(strstr(formula(&fixture, "a && b"), "`&&` is written `and`"));
    fixture_free(&fixture);
}

/* --- going on after errors ---------------------------------------------------------------------------------------- */

static void test_the_rest_survives(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct ast_program *program = fixture_parse(&fixture,
                                                "a = 1\n"
                                                "b = = 2\n"
                                                "if a { c = 1; d = ) ; e = 3\n f + \n g = 4 }\n"
                                                "h = f(1; 2)\n"
                                                "fn broken(1) { i = 1 }\n"
                                                "j = sum(a\n"
                                                "k = 5\n",
                                                NULL);
    struct strbuf out;
    strbuf_init(&out, &fixture.arena);
    ast_print(program, &out);
    assert_string_equal(strbuf_text(&out),
                        "(= a 1)\n(if a\n  (then\n    (= c 1)\n    (= e 3)\n    (= g 4)))\n(= k 5)\n");
    assert_int_equal(fixture.diags.count, 6);
    assert_int_equal(program->n_functions, 0);
    fixture_free(&fixture);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static char *repeat(struct arena *arena, const char *before, const char *unit, int count, const char *after) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, before);
    for (int i = 0; i < count; i++) strbuf_puts(&out, unit);
    strbuf_puts(&out, after);
    return out.text;
}

static void check_limit(struct fixture *fixture, const char *text, const struct parser_limits *limits,
                        const char *expected) {
    fixture_parse(fixture, text, limits);
    assert_int_equal(fixture->diags.count, 1);
    assert_int_equal(fixture->diags.items[0].code, DIAG_LIMIT);
    assert_string_equal(fixture->diags.items[0].text, expected);
}

static void test_limits(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct arena *arena = &fixture.arena;
    struct parser_limits limits = {.source_bytes = 100, .nesting = 10, .height = 20};

    fixture_parse(&fixture, repeat(arena, "", " ", 100, ""), &limits);
    assert_int_equal(fixture.diags.count, 0);
    check_limit(&fixture, repeat(arena, "", " ", 101, ""), &limits, "the source has 101 bytes, expected at most 100");

    fixture_parse(&fixture, repeat(arena, "((((((((((", "a", 1, "))))))))))"), &limits);
    assert_int_equal(fixture.diags.count, 0);
    check_limit(&fixture, "(((((((((((a)))))))))))", &limits, "brackets nest deeper than 10");
    check_limit(&fixture, "[[[[[[[[[[[1]]]]]]]]]]]", &limits, "brackets nest deeper than 10");

    static const char *const nests[] = {"-", "not ", "a**", "a if b else ", "-(", "f(~"};
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
        fixture_parse(&fixture, repeat(arena, "", nests[i], 300, "a"), NULL);
        assert_true(fixture.diags.count >= 1);
        assert_int_equal(fixture.diags.items[fixture.diags.count - 1].code, DIAG_LIMIT);
    }
    fixture_parse(&fixture, repeat(arena, "", "-", 10, "a"), &limits);
    assert_int_equal(fixture.diags.count, 0);
    check_limit(&fixture, repeat(arena, "", "-", 11, "a"), &limits, "the program nests deeper than 10");
    fixture_parse(&fixture, repeat(arena, repeat(arena, "", "if a {", 10, ""), "}", 10, ""), &limits);
    assert_int_equal(fixture.diags.count, 0);

    fixture_parse(&fixture, repeat(arena, "", "a+", 19, "a"), &limits);
    assert_int_equal(fixture.diags.count, 0);
    check_limit(&fixture, repeat(arena, "", "a+", 20, "a"), &limits,
                "the expression has more than 20 operations in a row");
    check_limit(&fixture, repeat(arena, "a", "[0]", 20, ""), &limits,
                "the expression has more than 20 operations in a row");
    fixture_free(&fixture);
}

static void test_long_sum(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct ast_program *program = fixture_parse(&fixture, repeat(&fixture.arena, "", "a + ", 10000, "b"), NULL);
    assert_int_equal(fixture.diags.count, 0);
    assert_int_equal(program->n_exprs, 20001);
    assert_int_equal(program->body.items[0]->expr->height, 10001);
    struct strbuf out;
    strbuf_init(&out, &fixture.arena);
    ast_print(program, &out);
    assert_int_equal(out.length, 10000 * strlen("(+  a)") + strlen("b\n"));
    fixture_free(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_error_goldens),
        cmocka_unit_test(test_precedence_pairs),
        cmocka_unit_test(test_precedence_prefix),
        cmocka_unit_test(test_ids_are_post_order),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_text_is_cut_between_characters),
        cmocka_unit_test(test_names_are_interned),
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_the_rest_survives),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
