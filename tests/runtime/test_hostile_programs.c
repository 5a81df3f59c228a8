/* Hostile programs and limits: little memory, cancelling, huge broadcasts, arithmetic that traps elsewhere, deep and
 * long texts. With HOSTILE_TIMES in the environment it prints how long each text took. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>

#include "runtime/hostile.h"

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void test_little_memory(void **state) {
    (void)state;
    static const size_t limits[] = {1, 100, 1000, 10000, 30000, 60000, 100000, 200000, 400000, 800000, 1600000};
    static const char *const sources[] = {
        "param x: f64[n]; sum(x*x)", "param x: f64[n]; y = x + 1; return y - sum(y), outer(y, y), y[::-1]",
        "param x: f64[n]; zeros(10**15)", "param x: f64[n]; ones(10**9, 10**9, 10**9)",
        "param x: f64[n]; for i in 0:100 { x = concat(x, x) }\nx"};
    double x[1000] = {0};
    bool worked = false;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        jit_error error = {0};
        jit_context *c = jit_context_create(
            &(jit_options){.struct_size = sizeof(jit_options), .max_memory = limits[i], .threads = 2}, &error);
        if (!c) {
            expect(JIT_MEMORY, error.code, &error, "context");
            continue;
        }
        for (size_t k = 0; k < sizeof sources / sizeof *sources; k++) {
            jit_function *f = jit_compile(c, sources[k], &error);
            if (!f) {
                check_error(error.code, &error, sources[k]);
                continue;
            }
            DLManagedTensor *made[3] = {0};
            int n = jit_output_count(f);
            jit_status status =
                jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 1000)}, 1, made, n, NULL, &error);
            if (status)
                check_error(status, &error, sources[k]);
            else
                assert_true(k < 2), worked = true;
            for (int o = 0; o < n; o++)
                if (made[o]) made[o]->deleter(made[o]);
            jit_function_free(f);
        }
        jit_context_free(c);
    }
    assert_true(worked);
}

static void test_cancelled_before(void **state) {
    (void)state;
    static const int set = 1;
    static const char *const sources[] = {"x + 1", "while len(x) > 0 { x = x + 1 }\nx",
                                          "ufunc f(x) { while true { x = x + 1 }\n return x }\nf(x)", "x"};
    double x[3] = {0};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        jit_error error = {0};
        DLManagedTensor *made[1];
        jit_function *f = compile(sources[i]);
        jit_call_options options = {.struct_size = sizeof options, .cancel = &set};
        expect(JIT_CANCELLED,
               jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 3)}, 1, made, 1, &options, &error), &error,
               sources[i]);
        assert_null(made[0]);
        jit_function_free(f);
    }
}

static volatile int cancel_soon;

static void *cancel_later(void *unused) {
    (void)unused;
    usleep(50000);
    cancel_soon = 1;
    return NULL;
}

/* Whatever does not end by itself ends when it is told to. */
static void test_cancelled_in_time(void **state) {
    (void)state;
    static const char *const sources[] = {
        "while len(x) > 0 { x = x + 1 }\nx",
        "ufunc f(x) { while true { x = x + 1 }\n return x }\nf(x)",
        "ufunc f(x) { while true { }\n return x }\nf(x)",
        "ufunc f(x) { for i in 0:10**18 { x = x*1.5 + i }\n return x }\nf(x)",
        "for i in 0:10**18 { x += 1 }\nx",
        "ufunc f(x) { s = f64(0); for i in 0:10**9 { for j in 0:10**9 { s += sin(x + i*j) } }\n return s }\nsum(f(x))",
        "x + sum(arange(10**7)[:, None] * arange(10**5)[None, :])",
        "x + sum(random(1, 10**7, 10**7))",
        "q[i] := sum[k in 0:10**15](sin(1.0*k + i)) for i in 0:3\nq",
        "q[i] := sin(1.0*i) + x[0] for i in 0:3*10**5\nc = f64(0); while len(x) > 0 { c += sum(exp(q)) }\nx + c",
    };
    double x[3] = {0};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        jit_error error = {0};
        DLManagedTensor *made[1];
        jit_function *f = compile_available(sources[i]);
        if (!f) continue;
        jit_call_options options = {.struct_size = sizeof options, .cancel = &cancel_soon};
        pthread_t thread;
        cancel_soon = 0;
        assert_int_equal(pthread_create(&thread, NULL, cancel_later, NULL), 0);
        double start = now();
        expect(JIT_CANCELLED,
               jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 3)}, 1, made, 1, &options, &error), &error,
               sources[i]);
        if (now() - start > 3 * SLOWNESS) fail_msg("%s\nwas cancelled only after %.1f s", sources[i], now() - start);
        pthread_join(thread, NULL);
        jit_function_free(f);
    }

    /* A first call that compiles thousands of kernels. */
    char *text = text_of("y = f64(0)\n", "y += sum(x * %d)\n", 10000, "y", 1);
    jit_error error = {0};
    DLManagedTensor *made[1];
    jit_function *f = compile(text);
    jit_call_options options = {.struct_size = sizeof options, .cancel = &cancel_soon};
    pthread_t thread;
    cancel_soon = 0;
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, NULL), 0);
    double start = now();
    expect(JIT_CANCELLED,
           jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 3)}, 1, made, 1, &options, &error), &error,
           "kernels");
    if (now() - start > 3 * SLOWNESS) fail_msg("compiling was cancelled only after %.1f s", now() - start);
    pthread_join(thread, NULL);
    jit_function_free(f);
    free(text);
}

static void test_wide_broadcasts(void **state) {
    (void)state;
    /* 2**56 elements of a broadcast scalar as an input, and results that are impossible or small. */
    int64_t shape[8] = {128, 128, 128, 128, 128, 128, 128, 128}, zero[8] = {0}, huge[8];
    double one = 1, y;
    for (int d = 0; d < 8; d++) huge[d] = 1LL << 40;
    DLTensor t = {
        .data = &one, .device = {kDLCPU, 0}, .ndim = 8, .dtype = jit_dl_type(JIT_F64), .shape = shape, .strides = zero};
    static const char *const sources[] = {"x + 1", "x[..., None]", "x[0, 0, 0, 0, 0, 0, 0, 0]",
                                          "x[:1, :1, :1, :1, :1, :1, :1, :1] * 2", "x[:, 0, 0, 0, 0, 0, 0, 0] + 1"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        jit_error error = {0};
        jit_function *f = jit_compile(context, sources[i], &error);
        assert_non_null(f);
        for (int k = 0; k < 2; k++) {
            DLManagedTensor *made[1];
            t.shape = k ? huge : shape;
            jit_status status = jit_call_alloc(f, (const DLTensor *[]){&t}, 1, made, 1, NULL, &error);
            if (status)
                check_error(status, &error, sources[i]);
            else
                made[0]->deleter(made[0]);
            if (i >= 2 && k == 0) assert_int_equal(status, JIT_OK);
        }
        jit_function_free(f);
    }
    /* Rank 8 with 2 in each, against vectors: 256 sums. */
    int64_t two[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    double v[2] = {1, 2};
    t.shape = two;
    jit_function *f = compile("sum(x*y)");
    assert_int_equal(
        jit_call(f, (const DLTensor *[]){&t, jit_array(v, JIT_F64, 2)}, 2, (DLTensor *[]){jit_scalar_f64(&y)}, 1, NULL),
        JIT_OK);
    assert_true(y == 384);
    jit_function_free(f);
}

/* --- arithmetic that traps elsewhere ------------------------------------------------------------------------------ */

static void test_division(void **state) {
    (void)state;
    int64_t a[] = {INT64_MIN, INT64_MIN, INT64_MIN, 7, -7, 0, INT64_MAX, 7, -7}, b[] = {-1, 0, 1, 0, 0, 0, -1, -2, 2};
    int64_t q[] = {INT64_MIN, 0, INT64_MIN, 0, 0, 0, -INT64_MAX, -4, -4}, r[] = {0, 0, 0, 0, 0, 0, 0, -1, 1};
    enum { N = sizeof a / sizeof *a };
    jit_function *f = compile("param a: i64[n]; param b: i64[n]; return a // b, a % b");
    jit_function *g = compile("param a: i64; param b: i64; return a // b, a % b");
    jit_function *h = compile("param a: i32[n]; param b: i32[n]; return a // b, a % b");
    int64_t got[2][N];
    assert_int_equal(jit_call(f, (const DLTensor *[]){jit_array(a, JIT_I64, N), jit_array(b, JIT_I64, N)}, 2,
                              (DLTensor *[]){jit_array(got[0], JIT_I64, N), jit_array(got[1], JIT_I64, N)}, 2, NULL),
                     JIT_OK);
    for (int i = 0; i < N; i++) {
        int64_t one[2];
        assert_true(got[0][i] == q[i] && got[1][i] == r[i]);
        assert_int_equal(jit_call(g, (const DLTensor *[]){jit_scalar_i64(&a[i]), jit_scalar_i64(&b[i])}, 2,
                                  (DLTensor *[]){jit_scalar_i64(&one[0]), jit_scalar_i64(&one[1])}, 2, NULL),
                         JIT_OK);
        assert_true(one[0] == q[i] && one[1] == r[i]);
    }
    int32_t c[19], d[19], out[2][19];
    for (int i = 0; i < 19; i++) c[i] = i % 2 ? INT32_MIN : i, d[i] = i % 4 < 2 ? -1 : 0;
    assert_int_equal(jit_call(h, (const DLTensor *[]){jit_array(c, JIT_I32, 19), jit_array(d, JIT_I32, 19)}, 2,
                              (DLTensor *[]){jit_array(out[0], JIT_I32, 19), jit_array(out[1], JIT_I32, 19)}, 2, NULL),
                     JIT_OK);
    for (int i = 0; i < 19; i++) {
        int32_t want = d[i] == 0 ? 0 : c[i] == INT32_MIN ? INT32_MIN : -c[i];
        assert_true(out[0][i] == want && out[1][i] == 0);
    }
    jit_function_free(f), jit_function_free(g), jit_function_free(h);
    /* Constants, which the compiler may fold. */
    static const struct {
        const char *source;
        int64_t want;
    } folded[] = {
        {"i64(-9223372036854775807 - 1) // -1", INT64_MIN},
        {"i64(5) // 0", 0},
        {"i64(5) % 0", 0},
        {"i64(nan)", 0},
        {"i64(inf)", INT64_MAX},
        {"i64(-inf)", INT64_MIN},
        {"i64(1e300)", INT64_MAX},
        {"i64(u8(nan)) + i64(i8(-1e9))", -128},
        {"i64(1) << 64", 1},
        {"i64(1) << -1", INT64_MIN},
        {"i64(-9223372036854775807 - 1) * -1", INT64_MIN},
        {"-i64(-9223372036854775807 - 1)", INT64_MIN},
        {"abs(i64(-9223372036854775807 - 1))", INT64_MIN},
        {"i64(3) ** 100", (int64_t)0x1e51d64bb4b6cdd1 /* replaced below */},
        {"i64(9223372036854775807) + 1", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof folded / sizeof *folded; i++) {
        int64_t got_it = 12345, want = folded[i].want;
        if (strstr(folded[i].source, "**")) {
            uint64_t power = 1;
            for (int k = 0; k < 100; k++) power *= 3;
            want = (int64_t)power;
        }
        jit_error error = {0};
        jit_function *k = compile(folded[i].source);
        if (jit_call(k, NULL, 0, (DLTensor *[]){jit_scalar_i64(&got_it)}, 1, &error))
            fail_msg("%s: %s", folded[i].source, error.message);
        if (got_it != want) fail_msg("%s is %lld, expected %lld", folded[i].source, (long long)got_it, (long long)want);
        jit_function_free(k);
    }
    /* Floats to integers, in every lane. */
    double odd[] = {NAN, -NAN, INFINITY, -INFINITY, 1e300, -1e300, 1e19, -1e19, 255.9, 256, -0.9, 127.5, 0};
    enum { M = sizeof odd / sizeof *odd };
    uint8_t narrow[M];
    int64_t wide[M];
    jit_function *k = compile("param x: f64[n]; return u8(x), i64(x)");
    assert_int_equal(jit_call(k, (const DLTensor *[]){jit_array(odd, JIT_F64, M)}, 1,
                              (DLTensor *[]){jit_array(narrow, JIT_U8, M), jit_array(wide, JIT_I64, M)}, 2, NULL),
                     JIT_OK);
    static const uint8_t narrow_want[M] = {0, 0, 255, 0, 255, 0, 255, 0, 255, 255, 0, 127, 0};
    for (int i = 0; i < M; i++) assert_int_equal(narrow[i], narrow_want[i]);
    assert_true(wide[0] == 0 && wide[2] == INT64_MAX && wide[3] == INT64_MIN && wide[6] == INT64_MAX && wide[8] == 255);
    jit_function_free(k);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

/* Compiles and calls on an x of 4 elements where there is one: right or refused, soon. */
static void try_text(const char *what, char *text, bool must_work) {
    jit_error error = {0};
    double start = now(), x[4] = {1, 2, 3, 4};
    jit_function *f = jit_compile(context, text, &error);
    if (!f) {
        check_error(error.code, &error, what);
        if (must_work) fail_msg("%s: %.500s", what, error.message);
    } else {
        int n_in = jit_input_count(f), n_out = jit_output_count(f);
        const DLTensor **in = calloc((size_t)n_in + 1, sizeof *in), *t = jit_array(x, JIT_F64, 4);
        DLManagedTensor **made = calloc((size_t)n_out + 1, sizeof *made);
        assert_true(in && made);
        for (int i = 0; i < n_in; i++) in[i] = jit_input_optional(f, i) ? NULL : t;
        jit_status status = jit_call_alloc(f, in, n_in, made, n_out, NULL, &error);
        if (status) check_error(status, &error, what);
        if (status && must_work) fail_msg("%s: %.500s", what, error.message);
        for (int i = 0; i < n_out; i++) {
            if (made[i]) assert_int_equal(jit_output_shape(f, in, n_in, i, NULL, NULL, NULL, NULL), JIT_OK);
            if (made[i]) made[i]->deleter(made[i]);
        }
        free(in), free(made);
        jit_function_free(f);
    }
    double seconds = now() - start;
    if (getenv("HOSTILE_TIMES"))
        print_message("%-30s %6.2f s %s %.80s\n", what, seconds, jit_status_name(error.code), error.message);
    if (seconds > SOON * SLOWNESS) fail_msg("%s took %.1f s", what, seconds);
    free(text);
}

static void test_deep_texts(void **state) {
    (void)state;
    for (int deep = 0; deep < 2; deep++) { /* within the limit of nesting, and far beyond it */
        int n = deep ? 20000 : 200;
        try_text("parentheses", text_of("x + ", "(", n, "1)", 0), false);
        char *text = text_of("", "(", n, "", 0), *whole = text_of(text, "x", 1, ")", n);
        free(text);
        try_text("closed parentheses", whole, !deep);
        text = text_of("", "abs(", n, "", 0), whole = text_of(text, "x", 1, ")", n);
        free(text);
        try_text("calls", whole, !deep);
        text = text_of("", "[", n, "", 0), whole = text_of(text, "1", 1, "]", n);
        free(text);
        try_text("array literals", whole, false);
        text = text_of("", "(x if len(x) > %d else ", n, "", 0), whole = text_of(text, "x", 1, ")", n);
        free(text);
        try_text("conditionals", whole, false);
        text = text_of("y = x\n", "if len(x) > %d {\n", n, "", 0), whole = text_of(text, "y = x + 1", 1, "}\n", n);
        free(text);
        text = text_of(whole, "y", 1, "", 0);
        free(whole);
        try_text("if towers", text, false);
        text = text_of("y = x\n", "for i%d in 0:1 {\n", n, "", 0), whole = text_of(text, "y = y + 1", 1, "}\n", n);
        free(text);
        text = text_of(whole, "y", 1, "", 0);
        free(whole);
        try_text("loops", text, false);
        try_text("minuses", text_of("", "-", n, "x", 1), false);
        try_text("nots", text_of("", "not ", n, "(x > 1)", 1), false);
        try_text("powers", text_of("", "x**", n, "x", 1), false);
        try_text("sums", text_of("x", " + x", n, "", 0), !deep);
        try_text("elifs", text_of("y = x\nif false { y = x }", "\nelif len(x) == %d { y = x + 1 }", n, "\ny", 1),
                 false);
        try_text("wheres", text_of("", "where(x > %d, x, ", n, ")", 0), false);
        try_text("subscripts", text_of("x", "[::-1]", n, "", 0), false);
        try_text("functions", text_of("fn f0(a) = a\n", "fn g%d(a) = a + 1\n", n, "g5(x)", 1), true);
        try_text("a chain of functions", text_of("fn f0(a) = a\nfn f1(a) = f0(a)\n", "", 0, "f1(x)", 1), true);
    }
    /* Functions that call functions, each twice: 2**n calls. */
    char *text = malloc(20000), *p = text;
    assert_non_null(text);
    p += sprintf(p, "fn f0(a) = a + 1\n");
    for (int i = 1; i < 60; i++) p += sprintf(p, "fn f%d(a) = f%d(a) + f%d(a)*2\n", i, i - 1, i - 1);
    sprintf(p, "f59(x)");
    try_text("doubling functions", text, false);
    text = malloc(20000), p = text;
    assert_non_null(text);
    p += sprintf(p, "ufunc f0(a) = a + 1\n");
    for (int i = 1; i < 60; i++) p += sprintf(p, "ufunc f%d(a) = f%d(a) + f%d(a - 1)\n", i, i - 1, i - 1);
    sprintf(p, "f59(x)");
    try_text("doubling ufuncs", text, false);
    try_text("doubling sizes", text_of("y = x\n", "y = concat(y, y)[:4]\n", 40, "y", 1), false);
    try_text("Fibonacci sizes", text_of("a = x; b = x\n", "a, b = b, concat(a[:len(a)], b)\n", 18, "b", 1), false);
    try_text("chained sizes", text_of("y = x\n", "y = concat(y, y[1:])[:-1]\n", 10, "y", 1), false);
}

static void test_long_texts(void **state) {
    (void)state;
    int scale = SLOWNESS > 1 ? 10 : 1;
    try_text("100k comments", text_of("", "# text\n", 100000, "x", 1), true);
    try_text("20k statements", text_of("y = x\n", "y = y + 1\n", 20000 / scale, "y", 1), true);
    try_text("100k constants", text_of("", "a%d = %d\n", 100000 / scale, "x", 1), false);
    try_text("5000 dependent", text_of("a0 = x\n", "a%d = a%p * 1.5 + x\n", 5000 / scale, "a1", 1), false);
    try_text("100k stores", text_of("y = x\n", "y[0] = 1.5\n", 100000 / scale, "y", 1), false);
    try_text("2000 stores", text_of("y = x\n", "y[%d % 4] = y[1] + 1.5\n", 2000 / scale, "y", 1), false);
    try_text("100k elements", text_of("[", "%d.5, ", 100000 / scale, "1]", 1), true);
    try_text("100k wrong elements", text_of("[", "[%d], ", 100000 / scale, "1]", 1), false);
    try_text("1000 computed elements", text_of("[", "x[%d % 4], ", 1000 / scale, "1]", 1), false);
    try_text("5000 params", text_of("", "param p%d = %d\n", 5000, "p1 + p2", 1), false);
    try_text("900 params", text_of("", "param p%d = %d\n", 900, "p1 + p2", 1), true);
    try_text("5000 untyped inputs", text_of("x", " + p%d", 5000 / scale, "", 0), false);
    try_text("5000 parameters", text_of("fn f(a", ", p%d", 5000, ") = a\nf(x)", 1), false);
    try_text("2000 arguments", text_of("max(x", ", %d", 2000 / scale, ")", 1), false);
    try_text("1000 outputs", text_of("return x", ", x*%d", 999 / scale, "", 0), false);
    try_text("1000 same outputs", text_of("return x", ", x", 999, "", 0), false);
    try_text("1000 dimensions", text_of("zeros(1", ", 1", 1000, ")", 1), false);
    try_text("1000 Nones", text_of("x[None", ", None", 1000, "]", 1), false);
    try_text("a name of 1 MB", text_of("", "a", 1 << 20, " + 1", 1), true);
    try_text("two names of 1 MB", text_of("x = b; ", "a", 1 << 20, "(b)", 1), false);
    try_text("a string of 1 MB", text_of("assert true, \"", "a", 1 << 20, "\"\nx", 1), true);
    try_text("a number of 1 MB", text_of("x + 0.", "1", 1 << 20, "", 0), true);
    try_text("errors in 20k lines", text_of("", "unknown%d(y)\n", 20000 / scale, "", 0), false);
    try_text("2000 prints", text_of("", "print(x)\n", 2000, "x", 1), false);
    try_text("100 reductions", text_of("y = 0.0\n", "y += sum(x * %d)\n", 100, "y", 1), false);
    try_text("50 loops", text_of("y = 0\n", "for i in 0:1 { y += 1 }\n", 50, "y", 1), false);
    try_text("wide ufunc", text_of("ufunc f(x) {\n y = x\n", " y = y*x + %d\n", 5000 / scale, "return y }\nf(x)", 1),
             false);
    try_text("nothing", text_of("", "", 0, "", 0), false);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_memory),     cmocka_unit_test(test_cancelled_before),
        cmocka_unit_test(test_cancelled_in_time), cmocka_unit_test(test_wide_broadcasts),
        cmocka_unit_test(test_division),          cmocka_unit_test(test_deep_texts),
        cmocka_unit_test(test_long_texts),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
