/* Names: errors against goldens (resolve/), inputs and outputs of programs, meanings of names, built-ins, hostile text.
 */
#include <time.h>

#include "frontend/resolve.h"
#include "golden.h"
#include "ir/ops.h"
#include "support/failing.h"

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

static const struct frontend_options allowed = {.file = "test.weft", .files = {.allowed = true, .print_allowed = true}};

static struct frontend_program *fixture_analyse(struct fixture *fixture, const char *text, size_t length) {
    diag_init(&fixture->diags, &fixture->arena, "test.weft", text, length);
    return frontend_analyse(&fixture->arena, text, length, &allowed, &fixture->diags);
}

static const char *fixture_errors(struct fixture *fixture) {
    struct strbuf out;
    strbuf_init(&out, &fixture->arena);
    diag_render(&fixture->diags, &out);
    return strbuf_text(&out);
}

/* --- goldens ------------------------------------------------------------------------------------------------------ */

static void make_errors(struct arena *arena, const char *name, const char *source, size_t length, struct strbuf *out) {
    struct diag_list diags;
    diag_init(&diags, arena, name, source, length);
    assert_null(frontend_analyse(arena, source, length, &allowed, &diags));
    assert_true(diags.count > 0);
    diag_render(&diags, out);
}

static void test_goldens(void **state) {
    (void)state;
    golden_check(WEFT_TEST_DIR "/resolve", ".txt", 20, make_errors);
}

/* --- inputs and outputs ------------------------------------------------------------------------------------------- */

static void describe_input(struct strbuf *out, const struct frontend_input *input) {
    strbuf_printf(out, "%s", input->name);
    if (input->type != TY_NONE || input->rank >= 0) {
        strbuf_printf(out, ":%s", input->type == TY_NONE ? "any" : dtype_name(input->type));
        if (input->rank != 0) strbuf_printf(out, "/%d", input->rank);
    }
    if (!input->typed) strbuf_puts(out, "?");
    if (input->weak != STRONG) strbuf_puts(out, input->weak == WEAK_INT ? " weak int" : " weak float");
    if (!input->has_default) return;
    if (dtype_is_float(input->type))
        strbuf_printf(out, "=%.17g", input->default_value.f);
    else
        strbuf_printf(out, "=%lld", (long long)input->default_value.i);
}

/* "x:f64/1 k weak int=3 -> y, _ effects" */
static const char *describe(struct fixture *fixture, const char *text) {
    struct frontend_program *program = fixture_analyse(fixture, text, strlen(text));
    struct strbuf out;
    if (!program) fail_msg("%s\n%s", text, fixture_errors(fixture));
    strbuf_init(&out, &fixture->arena);
    for (int i = 0; i < program->n_inputs; i++) {
        describe_input(&out, &program->inputs[i]);
        strbuf_puts(&out, i + 1 < program->n_inputs ? ", " : " ");
    }
    strbuf_puts(&out, "->");
    for (int i = 0; i < program->n_outputs; i++)
        strbuf_printf(&out, "%s%s", i ? ", " : " ", program->output_names[i] ? program->output_names[i] : "_");
    if (program->typed) strbuf_puts(&out, " typed");
    if (program->has_effects) strbuf_puts(&out, " effects");
    if (program->resolve->entry) strbuf_printf(&out, " entry %s", program->resolve->entry->name);
    return strbuf_text(&out);
}

static const struct {
    const char *source, *expected;
} programs[] = {
    {"1 + 2", "-> _ typed"},
    {"x", "x? -> x"},
    {"b - a * b", "b?, a? -> _"},
    {"y = x; x = x - 1; return y, x", "x? -> y, x"},
    {"a += b; a", "a?, b? -> a"},
    {"x = 1; x + y", "y? -> _"},
    {"s = 0; for i in 0:n { s += x[i] }; s", "n?, x? -> s"},
    {"pi * e + x", "x? -> _"},
    {"gamma = x - 1; e = gamma / 2; e", "x? -> e"},
    {"mean = mean(x); x - mean", "x? -> _"},
    {"fn f(v) = v * k; f(x) + w", "k?, x?, w? -> _"},
    {"k = 2; fn f(v) = v * k; f(x)", "x? -> _"},
    {"fn f(v) = v * k; k = 2; f(x)", "x? -> _"},
    {"fn f(v) { k = v; return k }; f(x)", "x? -> _"},
    {"if c { t = 1 } else { t = 2 }; t", "c? -> t"},
    {"zeros(3, dtype=f32)", "-> _ typed"},
    {"y = load(\"x.npy\"); y", "-> y typed effects"},
    {"param x: f64[n]; x / n", "x:f64/1 -> _ typed"},
    {"param x: [n]; x", "x:any/1? -> x"},
    {"param x: f32[:, 3]; x", "x:f32/2 -> x typed"},
    {"param k: u8; k", "k:u8 -> k typed"},
    {"param k = 3.0; k", "k:f64 weak float=3 -> k typed"},
    {"param k = 3; k", "k:i64 weak int=3 -> k typed"},
    {"param k = -1; k", "k:i64 weak int=-1 -> k typed"},
    {"param k = 1 / 4; k", "k:f64 weak float=0.25 -> k typed"},
    {"param k = 2*pi; k", "k:f64 weak float=6.2831853071795862 -> k typed"},
    {"param k = inf; k", "k:f64 weak float=inf -> k typed"},
    {"param k = true; k", "k:bool=1 -> k typed"},
    {"param k: bool = false; k", "k:bool=0 -> k typed"},
    {"param k: f32 = 1.5; k", "k:f32=1.5 -> k typed"},
    {"param k: f64 = 2; k", "k:f64=2 -> k typed"},
    {"param k: i8 = -128; k", "k:i8=-128 -> k typed"},
    {"param k: u64 = 0xffffffffffffffff; k", "k:u64=-1 -> k typed"},
    {"x + 1\nparam x: f64", "x:f64 -> _ typed"},
    {"param x: f64[n]; x = x / n; n = 3; x", "x:f64/1 -> x typed"},
    {"return x - 1, sum(i), x > 1", "x?, i? -> _, _, _"},
    {"y = x / 2; return y, y", "x? -> y, y"},
    {"a, b = x, 2", "x? -> a, b"},
    {"a = x; a += 1", "x? -> a"},
    {"x, y", "x?, y? -> x, y"},
    {"fn g(v) { return v - 1, v / 2 }; return g(x)", "x? -> _, _"},
    {"fn g(v) { return v - 1, v / 2 }; g(x)", "x? -> _, _"},
    {"param m: f64[h, w]; m.shape", "m:f64/2 -> _, _ typed"},
    {"x.shape[0]", "x? -> _"},
    {"if x > 0 { return x }; y = 2; return y", "x? -> _"},
    {"if x > 0 { return x, 1 } else { return x, 2 }", "x? -> x, _"},
    {"if x > 0 { return x }; x + 1", "x? -> _"},
    {"s = 0; for i in 0:3 { s += i }", "-> typed"},
    {"print(x)", "x? -> effects"},
    {"y = x + 1; save(\"y.npy\", y)", "x? -> effects"},
    {"assert x > 0; x", "x? -> x effects"},
    {"fn show(v) { print(v) }; show(x)", "x? -> effects"},
    {"x + 1\nfn f(v) = v", "x? -> _"},
    {"fn first(v) = v; fn last(v, w: f64, z: [n]) = v / 8", "v?, w:f64, z:any/1? -> _ entry last"},
    {"fn f(a: f64[n], b: f32) -> (f64[n], f64) { return a, b }", "a:f64/1, b:f32 -> a, b typed entry f"},
    {"ufunc tri(a: f64, b, t: f32[n]) { return a*b - t[0] }", "a?, b?, t:f32/1 -> _ entry tri"},
    {"fn f(a) { if a > 0 { return a, 1 }; return a, 2 }", "a? -> a, _ entry f"},
    {"while true { if x > 0 { return x } }", "x? -> x"},
    {"return x\ny = nowhere", "x?, nowhere? -> x"},
};

static void test_programs(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        const char *found = describe(&fixture, programs[i].source);
        if (strcmp(found, programs[i].expected) != 0) {
            print_error("%s\n  expected %s\n  found    %s\n", programs[i].source, programs[i].expected, found);
            wrong++;
        }
        fixture_free(&fixture);
    }
    assert_int_equal(wrong, 0);
}

static void test_light_curve(void **state) {
    (void)state;
    struct fixture fixture;
    size_t length;
    fixture_init(&fixture);
    const char *text = golden_read(&fixture.arena, WEFT_TEST_DIR "/ast/light_curve.weft", &length);
    assert_non_null(text);
    assert_string_equal(describe(&fixture, text), "k:f64 weak float=3 -> typed effects");
    fixture_free(&fixture);
}

/* --- meanings ----------------------------------------------------------------------------------------------------- */

static const char *describe_names(struct fixture *fixture, const char *text) {
    static const char *const kinds[] = {"unknown", "input",    "variable", "global", "constant",
                                        "dtype",   "function", "builtin",  "op",     "size"};
    struct frontend_program *program = fixture_analyse(fixture, text, strlen(text));
    struct strbuf out;
    if (!program) fail_msg("%s\n%s", text, fixture_errors(fixture));
    strbuf_init(&out, &fixture->arena);
    for (uint32_t id = 0; id < program->ast->n_exprs; id++) {
        const struct ast_expr *expr = program->ast->exprs[id];
        if (expr->kind != AST_NAME) continue;
        struct resolve_name name = program->resolve->names[id];
        const char *what = name.kind == NAME_BUILTIN ? builtin_info[name.index].name
                           : name.kind == NAME_OP    ? op_info[name.index].name
                                                     : NULL;
        strbuf_printf(&out, out.length ? " %s=%s" : "%s=%s", expr->name, kinds[name.kind]);
        if (what)
            strbuf_printf(&out, ":%s", what);
        else
            strbuf_printf(&out, "%d", name.index);
    }
    return strbuf_text(&out);
}

static const struct {
    const char *source, *expected;
} meanings[] = {
    {"x + y * x", "x=input0 y=input1 x=input0"},
    {"y = x; x = y; x", "y=variable1 x=variable0 x=variable0 y=variable1 x=variable0"},
    {"pi + e + nan + inf", "pi=constant0 e=constant1 nan=constant2 inf=constant3"},
    {"e = 2 * e; e", "e=variable0 e=constant1 e=variable0"},
    {"f32(x) + zeros(2, dtype=i8)", "f32=dtype11 x=input0 zeros=builtin:zeros i8=dtype2"},
    {"amin(x) + minimum(x, x) + min(x, x)",
     "amin=builtin:min x=input0 minimum=op:min x=input0 x=input0 min=builtin:min x=input0 x=input0"},
    {"arcsin(x) + absolute(x) + where(x, x, x)",
     "arcsin=op:asin x=input0 absolute=op:abs x=input0 where=op:select x=input0 x=input0 x=input0"},
    {"param x: f64[n]; param k = 1; x / n + k", "x=input0 n=size2 k=input1"},
    {"param x: f64[n]; fn f(v) = v + n * x[0]; w = 1; f(w)",
     "v=variable0 n=global1 x=global0 w=variable2 f=function0 w=variable2"},
    {"fn f(a, t: [n]) { s = a + n; for i in 0:n { s += t[i] }; return s }",
     "s=variable3 a=variable0 n=size2 n=size2 s=variable3 t=variable1 i=variable4 s=variable3"},
    {"fn f(t: [n]) { m = n; n = 2; return m + n }", "m=variable2 n=variable1 n=variable1 m=variable2 n=variable1"},
    {"fn exp(v) = v; exp(x)", "v=variable0 exp=function0 x=input0"},
    {"fn f(v) { sum = sum(v); return sum }; f(x)",
     "sum=variable1 sum=builtin:sum v=variable0 sum=variable1 f=function0 x=input0"},
    {"a, b = 1, 2; a, b = b, a; b",
     "a=variable0 b=variable1 a=variable0 b=variable1 b=variable1 a=variable0 b=variable1"},
};

static void test_meanings(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        assert_string_equal(describe_names(&fixture, meanings[i].source), meanings[i].expected);
        fixture_free(&fixture);
    }
}

static void test_reads(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const char *text =
        "param x: f64[n]\nk = 1; m = 2; unread = 3\n"
        "fn a(v) = b(v) + b(v) + k\nfn b(v) = v + m + k\nfn c(v) = a(v) + x[0] + n\nfn d(v) { return v, c(v) }\nd(1)";
    struct frontend_program *program = fixture_analyse(&fixture, text, strlen(text));
    assert_non_null(program);
    const struct resolve *resolve = program->resolve;
    const struct resolve_scope *c = &resolve->functions[2], *d = &resolve->functions[3];
    assert_int_equal(resolve->functions[0].n_calls, 1);
    assert_int_equal(resolve->functions[0].n_reads, 2);
    assert_int_equal(c->n_reads, 4);
    assert_int_equal(d->n_reads, 4);
    assert_int_equal(d->n_results, 2);
    int sum = 0;
    for (int i = 0; i < 4; i++) sum |= 1 << d->reads[i];
    assert_int_equal(sum, 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3); /* x n k m */
    assert_string_equal(resolve->top.variables[1], "n");
    assert_int_equal(resolve->top.first_size, 1);
    assert_int_equal(resolve->top.n_sizes, 1);
    fixture_free(&fixture);
}

static void test_result(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct frontend_program *program = fixture_analyse(&fixture, "a = x; a + 1", 12);
    assert_true(program && program->resolve->result && program->resolve->result_stmt->kind == AST_EXPR);
    program = fixture_analyse(&fixture, "a = x", 5);
    assert_true(program && !program->resolve->result && program->resolve->result_stmt->kind == AST_ASSIGN);
    program = fixture_analyse(&fixture, "return x", 8);
    assert_true(program && !program->resolve->result && !program->resolve->result_stmt);
    fixture_free(&fixture);
}

/* --- what the host allows ----------------------------------------------------------------------------------------- */

static void test_not_allowed(void **state) {
    (void)state;
    struct fixture fixture;
    struct frontend_options options = {.file = "host"};
    const char *text = "y = load(\"x.npy\")\nprint(y)\nsave(\"y.npy\", y)";
    fixture_init(&fixture);
    diag_init(&fixture.diags, &fixture.arena, "host", text, strlen(text));
    assert_null(frontend_analyse(&fixture.arena, text, strlen(text), &options, &fixture.diags));
    assert_string_equal(
        fixture_errors(&fixture),
        "host:1:5: error: `load` is not allowed here: the program that runs this source has to set allow_files\n"
        "  y = load(\"x.npy\")\n      ^~~~\n"
        "host:2:1: error: `print` is not allowed here: the program that runs this source gave no print callback\n"
        "  print(y)\n  ^~~~~\n"
        "host:3:1: error: `save` is not allowed here: the program that runs this source has to set allow_files\n"
        "  save(\"y.npy\", y)\n  ^~~~\n");
    fixture_free(&fixture);
}

/* --- formulas ----------------------------------------------------------------------------------------------------- */

static const struct frontend_formula_input bands[] = {{"red", TY_F32, 2, false, 0}, {"nir", TY_F32, 2, false, 0}};

static struct frontend_program *fixture_formula(struct fixture *fixture, const char *text, bool elementwise) {
    struct frontend_formula formula = {.inputs = bands, .n_inputs = 2, .elementwise = elementwise};
    diag_init(&fixture->diags, &fixture->arena, "formula", text, strlen(text));
    return frontend_analyse_formula(&fixture->arena, text, strlen(text), &formula, &allowed, &fixture->diags);
}

static void test_formulas(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool elementwise;
        const char *error; /* NULL: none */
    } formulas[] = {
        {"(nir - red) / (nir + red)", true, NULL},
        {"max(nir, red) + min(nir, red, 2) + clip(red, 0, 1)", true, NULL},
        {"where(isnan(red), nan, f32(nir))", true, NULL},
        {"pi", true, NULL},
        {"(nir - mean(nir)) / std(nir) + nir[0, 0]", false, NULL},
        {"nri + red", false, "unknown name `nri`; did you mean `nir`?"},
        {"blue", false, "unknown name `blue`"},
        {"(nir, red)", false, "a formula gives one value, found 2"},
        {"print(nir)", false, "`print` is not available in a formula"},
        {"load(\"x.npy\")", false, "`load` is not available in a formula"},
        {"sin(\"x\")", false, "takes no text"},
        {"median(red)", false, "not available in this version"},
        {"red @ nir", false, "not available in this version"},
        {"sum[k](red[k])", false, "index notation"},
        {"red = 1", false, "error"},
        {"fn f(x) = x", false, "error"},
        {"red\nnir", false, "error"},
        {"", false, "error"},
        {"mean(nir)", true, "element by element: `mean` is not available in it"},
        {"max(nir)", true, "element by element"},
        {"nir[0]", true, "element by element: subscripts"},
        {"nir.T", true, "element by element: `.T`"},
        {"len(nir)", true, "element by element: `len`"},
        {"nir + [1, 2]", true, "element by element: array literals"},
        {"zeros(2) + nir", true, "element by element: `zeros`"},
    };
    for (size_t i = 0; i < sizeof formulas / sizeof *formulas; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        struct frontend_program *program = fixture_formula(&fixture, formulas[i].text, formulas[i].elementwise);
        const char *errors = fixture_errors(&fixture);
        if (!!program != !formulas[i].error || (formulas[i].error && !strstr(errors, formulas[i].error)))
            fail_msg("%s: expected %s, found %s", formulas[i].text, formulas[i].error ? formulas[i].error : "no error",
                     errors);
        if (program) {
            assert_int_equal(program->n_inputs, 2);
            assert_int_equal(program->n_outputs, 1);
            assert_string_equal(program->inputs[1].name, "nir");
            assert_true(program->typed);
            assert_ptr_equal(program->resolve->result, program->ast->expression);
        }
        fixture_free(&fixture);
    }
}

static void test_formula_inputs_twice(void **state) {
    (void)state;
    struct fixture fixture;
    struct frontend_formula_input twice[] = {bands[0], bands[0]};
    struct frontend_formula formula = {.inputs = twice, .n_inputs = 2};
    fixture_init(&fixture);
    diag_init(&fixture.diags, &fixture.arena, "formula", "1", 1);
    assert_null(frontend_analyse_formula(&fixture.arena, "1", 1, &formula, &allowed, &fixture.diags));
    assert_int_equal(fixture.diags.items[0].code, DIAG_ARGUMENT);
    fixture_free(&fixture);
}

/* --- the table of built-ins --------------------------------------------------------------------------------------- */

static void test_builtins(void **state) {
    (void)state;
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        const struct builtin_info *info = &builtin_info[i];
        assert_true(info->doc && *info->doc && info->signature);
        assert_memory_equal(info->signature, info->name, strlen(info->name));
        assert_true(info->max_args == -1 || info->max_args >= info->min_args);
        assert_int_equal(builtin_from_name(info->name), i);
        enum op op = op_from_name(info->name);
        if (i != BUILTIN_min && i != BUILTIN_max) assert_int_equal(op, OP_COUNT);
        assert_int_equal(dtype_from_name(info->name), TY_NONE);
        /* Every keyword that is allowed is told of. */
        for (const char *at = info->keywords; at && *at;) {
            size_t length = strcspn(at, " ");
            char keyword[32];
            assert_true(length + 2 < sizeof keyword);
            memcpy(keyword, at, length);
            memcpy(keyword + length, "=", 2);
            if (!(i == BUILTIN_scan || info->group == BUILTIN_UNAVAILABLE))
                assert_non_null(strstr(info->signature, keyword));
            at += length + (at[length] == ' ');
        }
    }
    assert_int_equal(builtin_from_name("amax"), BUILTIN_max);
    assert_int_equal(builtin_from_name("concatenate"), BUILTIN_concat);
    assert_int_equal(builtin_from_name("axis keepdims"), BUILTIN_COUNT);
    assert_int_equal(builtin_from_name(""), BUILTIN_COUNT);
}

static void test_names_for_completion(void **state) {
    (void)state;
    const char *doc = NULL, *name;
    bool sqrt_seen = false, where_seen = false, param_seen = false, f64_seen = false, hidden = false;
    int n = 0;
    for (; (name = frontend_name(n, &doc)); n++) {
        assert_true(doc && *doc && !strchr(doc, '\n') && !strchr(name, ' '));
        sqrt_seen |= strcmp(name, "sqrt") == 0;
        where_seen |= strcmp(name, "where") == 0;
        param_seen |= strcmp(name, "param") == 0;
        f64_seen |= strcmp(name, "f64") == 0;
        hidden |= strcmp(name, "floordiv") == 0 || strcmp(name, "select") == 0;
        for (int before = 0; before < n; before++) assert_string_not_equal(frontend_name(before, &doc), name);
    }
    assert_true(n > 120 && sqrt_seen && where_seen && param_seen && f64_seen && !hidden);
    assert_null(frontend_name(-1, &doc));
    assert_null(frontend_name(n + 1000, &doc));
}

/* --- hostile text ------------------------------------------------------------------------------------------------- */

/* Analyses a generated text; false: it had errors. Takes seconds only if something is not linear. */
static bool analyse_generated(struct fixture *fixture, struct strbuf *text) {
    struct timespec start, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    bool fine = fixture_analyse(fixture, text->text, text->length) != NULL;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
    if (seconds > 5) fail_msg("%.1f s for %zu bytes: %.60s...", seconds, text->length, text->text);
    return fine;
}

enum { MANY = 10000 };

static void generate_variables(struct strbuf *text) {
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "v%d = %s%d\n", i, i ? "v" : "", i ? i - 1 : 1);
    strbuf_printf(text, "v%d\n", MANY - 1);
}

static void generate_branches(struct strbuf *text) {
    strbuf_puts(text, "param c: f64\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "if c > %d { v%d = 1 } else { v%d = 2 }\n", i, i, i);
    for (int i = 0; i < 100; i++) strbuf_puts(text, "if c > 0 {\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "w%d = v%d\n", i, i);
    for (int i = 0; i < 100; i++) strbuf_puts(text, "}\n");
    strbuf_puts(text, "v7");
}

static void generate_sum(struct strbuf *text) {
    strbuf_puts(text, "x");
    for (int i = 0; i < MANY; i++) strbuf_puts(text, " + x");
}

static void generate_call_chain(struct strbuf *text) {
    strbuf_puts(text, "fn f0(v) = v + k\n");
    for (int i = 1; i < MANY; i++) strbuf_printf(text, "fn f%d(v) = f%d(v)\n", i, i - 1);
    strbuf_puts(text, "k = 1\nif k > 0 {\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "y = f%d(1)\n", i);
    strbuf_puts(text, "}\n1");
}

static void generate_cycles(struct strbuf *text) {
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "fn f%d(v) = f%d(v) + f0(v)\n", i, (i + 1) % MANY);
    strbuf_puts(text, "f0(1)");
}

static void generate_unknown(struct strbuf *text) {
    strbuf_puts(text, "param x: f64\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "u%d(x) + w%d\n", i, i);
}

static void generate_free_names(struct strbuf *text) {
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "x%d\n", i);
}

static void generate_many_reads(struct strbuf *text) {
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "g%d = %d\n", i, i);
    for (int i = 0; i < MANY; i++)
        strbuf_printf(text, "fn f%d(v) = %s%d(v) + g%d\n", i, i ? "f" : "abs(v) + i", i ? i - 1 : 8, i);
    strbuf_puts(text, "1");
}

static void generate_targets(struct strbuf *text) {
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "%st%d", i ? ", " : "", i);
    strbuf_puts(text, " = 1, 2\n");
}

static void generate_same_branches(struct strbuf *text) {
    strbuf_puts(text, "param c: f64\nif c > 0 { v = 1 }\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(text, "elif c > %d { v = %d }\n", i, i);
    strbuf_puts(text, "else { v = 3 }\nv");
}

static void test_large(void **state) {
    (void)state;
    static const struct {
        void (*generate)(struct strbuf *);
        bool fine;
    } cases[] = {{generate_variables, true},    {generate_branches, true},    {generate_sum, true},
                 {generate_call_chain, true},   {generate_cycles, false},     {generate_unknown, false},
                 {generate_free_names, false},  {generate_many_reads, false}, {generate_targets, false},
                 {generate_same_branches, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture fixture;
        struct strbuf text;
        fixture_init(&fixture);
        strbuf_init(&text, &fixture.arena);
        cases[i].generate(&text);
        bool fine = analyse_generated(&fixture, &text);
        if (fine != cases[i].fine) fail_msg("case %zu: %s", i, fixture_errors(&fixture));
        fixture_free(&fixture);
    }
}

/* Every prefix of a program, and the program with each token taken out: errors or none, but no crash. */
static void test_mutilated(void **state) {
    (void)state;
    static const char text[] =
        "param k = 3.0\nt, flux = load(\"t.npy\"), load(\"flux.npy\")\n"
        "m, s = nanmean(flux), nanstd(flux)\nclean = where(abs(flux - m) > k*s, nan, flux)\n"
        "ufunc spectral(w, t: [n], y: f64[n]) -> f64 {\n    c = f64(0); s = f64(0)\n"
        "    for i in 0:n { if not isnan(y[i]) { c += y[i]*cos(w*t[i]) } else { continue } }\n"
        "    while true { break }\n    return c*c + s*s\n}\n"
        "p = spectral(2*pi*clean, t, clean)\nassert all(p > 0), \"x\"\na, b = p.shape, [1, 2]\n"
        "sum[i](p[i]); p[0] = 1; q[i] := p[i] for i in 0:3\nprint(p)\nreturn p if k > 1 else p.T, b\n";
    for (size_t length = 0; length < sizeof text; length++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture_analyse(&fixture, text, length);
        fixture_free(&fixture);
    }
    for (size_t at = 0; at < sizeof text - 1;) {
        size_t length = 1 + strcspn(text + at + 1, " \n(){}[],;=");
        char cut[sizeof text];
        struct fixture fixture;
        memcpy(cut, text, at);
        memcpy(cut + at, text + at + length, sizeof text - at - length);
        fixture_init(&fixture);
        fixture_analyse(&fixture, cut, strlen(cut));
        fixture_free(&fixture);
        at += length;
    }
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct failing_work {
    struct arena *arena;
    const char *text;
    bool done;
};

static void failing_analyse(void *argument) {
    struct failing_work *work = argument;
    struct diag_list diags;
    diag_init(&diags, work->arena, "test.weft", work->text, strlen(work->text));
    frontend_analyse(work->arena, work->text, strlen(work->text), &allowed, &diags);
    work->done = true;
}

/* Each allocation fails once; the work ends, and nothing is lost. */
static void test_failed_allocations(void **state) {
    (void)state;
    static const char text[] = "param k = 2*pi\nparam x: f64[n]\nfn f(v: [m]) { s = 0; for i in 0:m { if v[i] > k { s "
                               "+= 1 } }; return s, m }\n"
                               "a, b = f(x)\nclen(x) + a + sum(x, axs=0)\nprint(f(1, 2), unknown)\n";
    for (long at = 1;; at++) {
        struct failing failing;
        struct mem mem;
        struct arena arena;
        failing_init(&failing, &mem);
        failing.fail_at = at;
        arena_init(&arena, &mem);
        struct failing_work work = {&arena, text, false};
        bool through = arena_try(&arena, failing_analyse, &work);
        assert_int_equal(through, work.done);
        assert_int_equal(through, failing.failed == 0);
        arena_free(&arena);
        assert_int_equal(failing.blocks, 0);
        assert_int_equal(mem.used, 0);
        if (through) {
            assert_true(at > 1);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_light_curve),
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_not_allowed),
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_formula_inputs_twice),
        cmocka_unit_test(test_builtins),
        cmocka_unit_test(test_names_for_completion),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_mutilated),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
