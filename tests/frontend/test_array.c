/* The array side: programs and what they compute by the reference evaluator, plans against goldens (plan/), errors
 * against goldens (array/).
 */
#include "array_run.h"
#include "support/failing.h"

struct program {
    const char *source, *outcome;
};

static void check_programs(const struct program *programs, size_t n) {
    int wrong = 0;
    for (size_t p = 0; p < n; p++) {
        struct array_run run;
        array_start(&run, programs[p].source, strlen(programs[p].source), "test.weft");
        const char *outcome = array_outcome(&run);
        if (strcmp(outcome, programs[p].outcome) != 0) {
            print_error("%s\n  gives    %s\n  expected %s\n", programs[p].source, outcome, programs[p].outcome);
            wrong++;
        }
        array_stop(&run);
    }
    assert_int_equal(wrong, 0);
}

#define CHECK(...)                                                                                                     \
    do {                                                                                                               \
        static const struct program programs[] = {__VA_ARGS__};                                                        \
        (void)state;                                                                                                   \
        check_programs(programs, sizeof programs / sizeof *programs);                                                  \
    } while (0)

static void test_expressions(void **state) {
    CHECK({"x + 1", "f64[4] 2 3 4 5"}, {"sum(x)", "f64 10"}, {"f * 2.5", "f32[3] 3.75 5 10"}, {"u + 1", "u8[3] 2 3 0"},
          {"m + w", "f64[2, 3] 11 22 33 14 25 36"}, {"m + row", "f64[2, 3] 8 10 12 11 13 15"},
          {"m[:, :1] + w", "f64[2, 3] 11 21 31 14 24 34"}, {"1 < x < 4", "bool[4] false true true false"},
          {"x / len(x)", "f64[4] 0.25 0.5 0.75 1"}, {"f / len(f)", "f32[3] 0.5 0.666666687 1.33333337"},
          {"x.shape[0] * 2", "i64 8"}, {"h, w = m.shape\nw - h", "i64 1"}, {"zeros(2, dtype=m.dtype)", "f64[2] 0 0"},
          {"min(x, y, 2.5)", "f64[4] 0.5 -1 2 2.5"}, {"min(len(x), 3)", "i64 3"}, {"not yes or no", "bool false"},
          {"3 if yes else 4", "i64 3"}, {"f * (3 if yes else 4)", "f32[3] 4.5 6 12"}, {"-len(x)", "i64 -4"},
          {"len(x) * 6364136223846793005", "i64 7009800821677620404"}, {"x.T[0]", "f64 1"},
          {"m.T", "f64[3, 2] 1 4 2 5 3 6"}, {"z + 1", "f64[0]"}, {"x", "f64[4] 1 2 3 4"}, {"i", "i64 5"},
          {"2.5", "f64 2.5"}, {"true", "bool true"}, {"param x: f64[n]\nx.shape", "i64 4"});
}

static void test_indexing(void **state) {
    CHECK({"x[-1]", "f64 4"}, {"x[i - 5]", "f64 1"}, {"x[j]", "f64 2"}, {"x[argmax(y)]", "f64 4"},
          {"m[1, ::-1]", "f64[3] 6 5 4"}, {"m[:, None, 1]", "f64[2, 1] 2 5"}, {"m[..., -1]", "f64[2] 3 6"},
          {"m[None][0, 0]", "f64[3] 1 2 3"}, {"x[1:] + x[:-1]", "f64[3] 3 5 7"}, {"x[k:]", "f64[2] 3 4"},
          {"x[:k - 5]", "f64[1] 1"}, {"x[-2:]", "f64[2] 3 4"}, {"x[1:100]", "f64[3] 2 3 4"}, {"x[100:]", "f64[0]"},
          {"x[-100:2]", "f64[2] 1 2"}, {"x[::2]", "f64[2] 1 3"}, {"x[::-2]", "f64[2] 4 2"}, {"x[2:0:-1]", "f64[2] 3 2"},
          {"x[::k]", "f64[2] 1 3"}, {"x[-1:-4:-2]", "f64[2] 4 2"}, {"x[3:1]", "f64[0]"},
          {"x[::-1][1:]", "f64[3] 3 2 1"}, {"z[::-1]", "f64[0]"}, {"[1, 2, 3][1]", "i64 2"},
          {"x[0] if i > 9 else y[i - 5]", "f64 0.5"},
          {"x[i]", "failed: subscript {0} is out of range for dimension 0 of `x`, whose size is {1}"},
          {"x[i] if i < len(x) else 0", "f64 0"}, {"i < len(x) and x[i] > 0", "bool false"},
          {"i >= len(x) or x[i] > 0", "bool true"}, {"yes and x > 2", "bool[4] false false true true"},
          {"m if no else m * 2", "f64[2, 3] 2 4 6 8 10 12"}, {"x if yes else x[1:]", "f64[4] 1 2 3 4"},
          {"u if yes else f", "f32[3] 1 2 255"});
}

static void test_making(void **state) {
    CHECK(
        {"[1, 2.5, 3]", "f64[3] 1 2.5 3"}, {"u + [1, 2, 3]", "u8[3] 2 4 2"},
        {"u + [1, 2, 300]", "error: 300 in `[1, 2, 300]` does not fit in u8"},
        {"u < [1, 2, 300]", "bool[3] false false true"}, {"[[1, 2], [3, i]]", "i64[2, 2] 1 2 3 5"},
        {"[s, 1]", "f64[2] 2.5 1"}, {"[x, y][1, 3]", "f64 8"},
        {"[x[:2], [7, 8]]", "error: an array literal must be rectangular: this is a row, and others here are no rows"},
        {"[]", "f64[0]"}, {"[true, false]", "bool[2] true false"}, {"arange(i)", "i64[5] 0 1 2 3 4"},
        {"arange(5, 0, -2)", "i64[3] 5 3 1"}, {"arange(0, 1, 0.25)", "f64[4] 0 0.25 0.5 0.75"},
        {"arange(0, s, 1)", "f64[3] 0 1 2"}, {"linspace(0, 1, 3)", "f64[3] 0 0.5 1"}, {"linspace(2, 5, 1)", "f64[1] 2"},
        {"eye(k)", "f64[2, 2] 1 0 0 1"}, {"full(j, k)", "i32[2] -3 -3"}, {"zeros(m.shape)", "f64[2, 3] 0 0 0 0 0 0"},
        {"reshape(m, -1)", "f64[6] 1 2 3 4 5 6"}, {"reshape(m, 3, k)[2]", "f64[2] 5 6"},
        {"transpose(m)[2, 1]", "f64 6"}, {"flip(m, axis=0)[0]", "f64[3] 4 5 6"},
        {"broadcast_to(w, 2, 3)[1]", "f64[3] 10 20 30"}, {"squeeze(row)", "f64[3] 7 8 9"},
        {"zeros(j)", "failed: `zeros` cannot make an array of size {0}"},
        {"reshape(m, 4)", "failed: `m` [{0}, {1}] cannot be reshaped to [4]"},
        {"arange(0, 1, 0)", "error: the step of `arange` is 0"});
}

static void test_reductions(void **state) {
    CHECK({"mean(f)", "f32 2.5"}, {"mean(u)", "f64 86"}, {"sum(u)", "u64 258"},
          {"var(x, ddof=1)", "f64 1.6666666666666667"}, {"std(x[:1])", "f64 0"}, {"sum(m, axis=-1)", "f64[2] 6 15"},
          {"sum(m, axis=0, keepdims=true)", "f64[1, 3] 5 7 9"}, {"max(m, axis=(0, 1))", "f64 6"},
          {"argmax(y)", "i64 3"}, {"count(y > 0)", "i64 3"}, {"any(y < 0)", "bool true"}, {"all(x)", "bool true"},
          {"norm([3, 4])", "f64 5"}, {"dot(x, y)", "f64 36.5"}, {"nansum(v)", "f64 9"}, {"nanmean(v)", "f64 3"},
          {"nanvar(v, ddof=1)", "f64 4"}, {"nanmax(v)", "f64 5"}, {"nanargmin(v)", "i64 2"},
          {"max(z)", "failed: `max` of an empty array has no value (`z` has {0} elements here)"}, {"sum(z)", "f64 0"},
          {"sum(s)", "f64 2.5"}, {"nanargmax(v * nan)", "failed: `nanargmax` found nothing but NaN in `v * nan`"},
          {"m - mean(m, axis=1, keepdims=true)", "f64[2, 3] -1 0 1 -1 0 1"});
}

static void test_functions(void **state) {
    CHECK({"fn g(a) = a + 1\ng(x)", "f64[4] 2 3 4 5"},
          {"fn g(a, b) { return b, a }\np, q = g(1, f)\nreturn p * q", "f32[3] 1.5 2 4"},
          {"fn g(a) {\n if a > 0 { return 1 }\n return 2.5\n}\ng(i)", "f64 1"},
          {"fn g(a) {\n if a > 0 { return 1 }\n return 2.5\n}\nf * g(i)", "f32[3] 1.5 2 4"},
          {"fn g(a) {\n for q in 0:10 { if q * q > a { return q } }\n return -1\n}\ng(i), g(1000)", "i64 3; i64 -1"},
          {"fn g(a: [n], b: [n]) = a * b / n\ng(x, y)", "f64[4] 0.125 -0.5 1.5 8"},
          {"fn g(a: f64[n]) -> f64[n] { return a * 2 }\nsum(g(x))", "f64 20"},
          {"fn g(a: [n], b: [n]) = a\ng(x, w)", "failed: dimension 0 of `b` of `g` is {0}, but `n` is {1}"},
          {"fn g(a) { s = 0.0\n for q in 0:len(a) { s += a[q] }\n return s\n}\ng(f), g(x)", "f32 7.5; f64 10"},
          {"a = 2\nfn g(b) = a * b\nc = g(1)\na = 5\nreturn c, g(1)", "i64 2; i64 5"},
          {"ufunc h(a, t: [n]) { r = f64(0)\n for q in 0:n { r += t[q] * a }\n return r\n}\nh(x, w)",
           "f64[4] 60 120 180 240"},
          {"a = 3.0\nufunc h(p) = p * a\nh(f)", "f32[3] 4.5 6 12"},
          {"ufunc h(p) -> (f64, bool) { return p * 2, p > 2 }\nr, q = h(x)\nreturn r, q",
           "f64[4] 2 4 6 8; bool[4] false false true true"},
          {"fn g(x) = x * 2", "f64[4] 2 4 6 8"}, {"ufunc h(x, s) = x * s", "f64[4] 2.5 5 7.5 10"});
}

static void test_control(void **state) {
    CHECK({"r = 0\nif i > 3 { r = 1 } elif i > 2 { r = 2 } else { r = 3 }\nr", "i64 1"},
          {"r = x\nif no { r = x * 2 }\nr", "f64[4] 1 2 3 4"},
          {"if yes { r = x[1:] } else { r = x }\nr + 0", "f64[3] 2 3 4"}, {"r = 1\nif yes { r = f[0] }\nr", "f32 1.5"},
          {"s = 0\nfor q in 0:5 { s += q }\ns", "i64 10"}, {"s = 0\nfor q in 5:0:-2 { s = s * 10 + q }\ns", "i64 531"},
          {"s = 0\nfor q in 0:i:k { s = s * 10 + q }\ns", "i64 24"},
          {"s = 0\nfor q in 0:10 { if q == 3 { continue }\n if q == 6 { break }\n s += q }\ns", "i64 12"},
          {"a, b = 0, 1\nwhile b < 50 { a, b = b, a + b }\nreturn a, b", "i64 34; i64 55"},
          {"t = x\nfor q in 0:3 { t = t * 2 - t[0] }\nt", "f64[4] 1 9 17 25"},
          {"q = 0\nwhile true { q += 1\n if q > i { break } }\nq", "i64 6"},
          {"s = 0.0\nfor q in 0:len(f) { s += f[q] }\ns", "f32 7.5"},
          {"s = f64(0)\nfor q in 0:len(f) { s += f[q] }\ns", "f64 7.5"},
          {"s = 0\nfor a in 0:3 { for b in 0:a { s += 10 * a + b } }\ns", "i64 51"},
          {"n = 27\nc = 0\nwhile n != 1 { n = n // 2 if n % 2 == 0 else 3 * n + 1\n c += 1 }\nc", "i64 111"},
          {"a = 1\nb = 2.5\nfor q in 0:3 { a, b = b, a }\nreturn a, b", "f64 2.5; f64 1"},
          {"for q in 0:4 { last = q }\n1", "i64 1"}, {"r = s\nwhile true { r = x[k]\n break }\nr", "f64 3"},
          {"t = zeros(3)\nfor q in 0:2 { t = x[q:q + 3] + t }\nt", "f64[3] 3 5 7"},
          {"t = x\nfor q in 0:2 { t = t[1:] }\nt", "failed: `t` is [{0}] before an iteration and [{1}] after it; a "
                                                   "variable that a loop carries keeps rank and shape"},
          {"t = x\nfor q in 0:2 { t = t[0] }\nt", "error: `t` has rank 1 before an iteration and rank 0 after it; a "
                                                  "variable that a loop carries keeps rank and shape"},
          {"if i > 3 { return 1 }\nreturn 2", "i64 1"},
          {"for q in 0:9 { if q * q > i { return q, x * q } }\nreturn 0, x", "i64 3; f64[4] 3 6 9 12"},
          {"f = f64(f) + 1\nf", "f64[3] 2.5 3 5"},
          {"a = f[0]\na = s\na", "error: `a` is f32 and cannot become f64: a variable keeps its type; convert with "
                                 "f32(…), or use another name"},
          {"print(\"a\", x, m.shape)\nassert i > 3, \"small\"\nx[0]", "f64 1 (1 printed)"},
          {"assert i > 9, \"small\"\n1", "failed: small"},
          {"r = i\nif i > 3 { q = x[0]\n if q > 5 { r = 1 } elif yes { r = 2 } }\nr", "i64 2"});
}

/* A tree as deep to the left as the parser allows, and much else that is large, in linear time and bounded stack. */
static void test_large(void **state) {
    (void)state;
    struct array_run run;
    struct mem mem = {0};
    struct arena arena;
    struct strbuf text;
    arena_init(&arena, &mem);
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "s");
    for (int n = 0; n < 10000; n++) strbuf_printf(&text, " + s*%d", n % 7);
    array_start(&run, text.text, text.length, "test.weft");
    assert_non_null(run.plan);
    array_stop(&run);

    /* Calls that double at each level stop at the limit. */
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "fn f0(a) = a + 1\n");
    for (int n = 1; n < 40; n++) strbuf_printf(&text, "fn f%d(a) = f%d(a) + f%d(a / 3)\n", n, n - 1, n - 1);
    strbuf_puts(&text, "f39(s)");
    array_start(&run, text.text, text.length, "test.weft");
    assert_null(run.plan);
    assert_int_equal(run.diags.items[0].code, DIAG_LIMIT);
    array_stop(&run);

    strbuf_init(&text, &arena);
    strbuf_puts(&text, "r = 0\nif i == 0 { r = 1 }");
    for (int n = 1; n < 2000; n++) strbuf_printf(&text, "\nelif i == %d { r = %d }", n, n * 2);
    strbuf_puts(&text, "\nr");
    array_start(&run, text.text, text.length, "test.weft");
    assert_string_equal(array_outcome(&run), "i64 10");
    array_stop(&run);
    arena_free(&arena);
}

/* Nested loops and branches, held against Python's results: see make_control.py. */
static void test_random_control(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    size_t length = 0;
    char *at = golden_read(&arena, WEFT_TEST_DIR "/control.txt", &length);
    assert_non_null(at);
    int cases = 0, wrong = 0;
    while (at && strncmp(at, "case ", 5) == 0) {
        struct strbuf source;
        strbuf_init(&source, &arena);
        const char *expected = arena_printf(&arena, "i64 %d", atoi(at + 5));
        for (at = strchr(at, '\n'); at && strncmp(at, "\n| ", 3) == 0; at = strchr(at + 1, '\n'))
            strbuf_add(&source, at + 3, strcspn(at + 3, "\n") + 1);
        if (at) at++;
        struct array_run run;
        array_start(&run, source.text, source.length, "test.weft");
        const char *outcome = array_outcome(&run);
        if (strcmp(outcome, expected) != 0) {
            print_error("%s\n  gives %s, expected %s\n", source.text, outcome, expected);
            wrong++;
        }
        array_stop(&run);
        cases++;
    }
    arena_free(&arena);
    assert_int_equal(cases, 60);
    assert_int_equal(wrong, 0);
}

/* Every allocation of a compile fails once. */
static void compile_failing(void *host) {
    static const char source[] = "fn g(a) {\n for q in 0:3 { if a[q] > 2 { return [q, a[q]] } }\n return [0, 1.5] }\n"
                                 "r = 0.0\nwhile r < s { r += mean(x[1:] * y[:-1] + r) + g(w)[0] }\nr";
    array_compile(host, source, sizeof source - 1, "test.weft");
}

static void test_memory(void **state) {
    (void)state;
    bool done = false;
    for (long n = 1; !done; n += 1 + n / 16) {
        struct failing failing;
        struct array_run run = {0};
        failing_init(&failing, &run.mem);
        failing.fail_at = n;
        arena_init(&run.arena, &run.mem);
        done = arena_try(&run.arena, compile_failing, &run);
        assert_int_equal(done, !failing.failed);
        if (done) assert_non_null(run.plan);
        arena_free(&run.arena);
        assert_int_equal(failing.blocks, 0);
        assert_int_equal(run.mem.used, 0);
    }
}

/* --- formulas ----------------------------------------------------------------------------------------------------- */

static const char *run_formula(struct array_run *run, const char *text, const struct frontend_formula *formula,
                               const struct eval_array *inputs) {
    struct frontend_binding bindings[2] = {{0}};
    *run = (struct array_run){0};
    arena_init(&run->arena, &run->mem);
    diag_init(&run->diags, &run->arena, "formula", text, strlen(text));
    run->program = frontend_analyse_formula(&run->arena, text, strlen(text), formula, &array_options, &run->diags);
    for (int n = 0; n < formula->n_inputs; n++) {
        bindings[n] = (struct frontend_binding){.type = formula->inputs[n].type, .rank = formula->inputs[n].rank};
        run->inputs[n] = inputs[n];
    }
    if (run->program) run->plan = frontend_instantiate(run->program, &run->arena, bindings, &run->diags);
    return array_outcome(run);
}

static void test_formulas(void **state) {
    (void)state;
    static const float a[] = {1, -9, 3}, b[] = {4, 5, NAN};
    const struct eval_array inputs[2] = {{.type = TY_F32, .rank = 1, .shape = {3}, .stride = {4}, .data = (char *)a},
                                         {.type = TY_F32, .rank = 1, .shape = {3}, .stride = {4}, .data = (char *)b}};
    const struct frontend_formula_input specs[2] = {{"a", TY_F32, 1, true, -9}, {"b", TY_F32, 1, true, NAN}};
    struct frontend_formula formula = {
        .inputs = specs, .n_inputs = 2, .result_type = TY_F64, .has_nodata = true, .nodata = -1, .elementwise = true};
    static const struct program formulas[] = {
        {"a + b", "f64[3] 5 -1 -1"}, {"a * 2", "f64[3] 2 -1 6"}, {"b > 4", "f64[3] 0 1 -1"}, {"2.5", "f64 2.5"}};
    struct array_run run;
    for (size_t n = 0; n < sizeof formulas / sizeof *formulas; n++) {
        assert_string_equal(run_formula(&run, formulas[n].source, &formula, inputs), formulas[n].outcome);
        array_stop(&run);
    }
    static const char *const refused[] = {"sum(a)",     "a[0]",          "zeros(3) + a", "a.T",
                                          "len(a) * a", "a + [1, 2, 3]", "flip(a)"};
    for (size_t n = 0; n < sizeof refused / sizeof *refused; n++) {
        run_formula(&run, refused[n], &formula, inputs);
        assert_null(run.plan);
        assert_int_equal(run.diags.count, 1);
        array_stop(&run);
    }
    formula.elementwise = false;
    formula.result_type = TY_NONE;
    assert_string_equal(run_formula(&run, "sum(a)", &formula, inputs), "f32 -1");
    array_stop(&run);
    assert_string_equal(run_formula(&run, "b - max(b[:2])", &formula, inputs), "f32[3] -1 0 -1");
    array_stop(&run);
    formula.result_type = TY_U8;
    run_formula(&run, "a", &formula, inputs);
    assert_null(run.plan);
    array_stop(&run);
}

/* --- goldens ------------------------------------------------------------------------------------------------------ */

static void make_plan(struct arena *arena, const char *name, const char *source, size_t length, struct strbuf *out) {
    (void)arena;
    struct array_run run;
    array_start(&run, source, length, name);
    if (!run.plan) {
        struct strbuf errors;
        strbuf_init(&errors, &run.arena);
        diag_render(&run.diags, &errors);
        fail_msg("%s", strbuf_text(&errors));
    }
    plan_print_graphs(run.plan, out);
    array_stop(&run);
}

static void make_errors(struct arena *arena, const char *name, const char *source, size_t length, struct strbuf *out) {
    (void)arena;
    struct array_run run;
    array_start(&run, source, length, name);
    assert_null(run.plan);
    diag_render(&run.diags, out);
    array_stop(&run);
}

static void test_plans(void **state) {
    (void)state;
    golden_check(WEFT_TEST_DIR "/plan", ".txt", 8, make_plan);
}

static void test_errors(void **state) {
    (void)state;
    golden_check(WEFT_TEST_DIR "/array", ".txt", 8, make_errors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions),    cmocka_unit_test(test_indexing),  cmocka_unit_test(test_making),
        cmocka_unit_test(test_reductions),     cmocka_unit_test(test_functions), cmocka_unit_test(test_control),
        cmocka_unit_test(test_random_control), cmocka_unit_test(test_memory),    cmocka_unit_test(test_large),
        cmocka_unit_test(test_formulas),       cmocka_unit_test(test_plans),     cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("frontend/array", tests, NULL, NULL);
}
