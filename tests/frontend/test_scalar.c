/* Bodies of ufuncs: variables, control, whole arrays, calls. Each source is made and run; what it should give is
 * computed here in C, or stands beside it. */
#include "frontend/body_run.h"

static struct run made(const char *source, int n, const struct run_arg *args) {
    struct run run = {.source = source, .n_args = n};
    for (int i = 0; i < n; i++) run.args[i] = args[i];
    body_good(&run);
    return run;
}

#define ARGS(...)                                                                                                      \
    (int)(sizeof((struct run_arg[]){__VA_ARGS__}) / sizeof(struct run_arg)), (struct run_arg[]) {                      \
        __VA_ARGS__                                                                                                    \
    }

static void expect(const char *source, int n, const struct run_arg *args, enum dtype type, double value) {
    struct run run = made(source, n, args);
    double found = run_number(&run, 0);
    if (run.bad_load) fail_msg("%s: a load left its array", source);
    if (run.types[0].dtype != type || (found != value && !(isnan(found) && isnan(value))))
        fail_msg("%s: %s %.17g, expected %s %.17g", source, dtype_name(run.types[0].dtype), found, dtype_name(type),
                 value);
    body_free(&run);
}

static void expect_error(const char *source, int n, const struct run_arg *args, const char *part) {
    struct run run = {.source = source, .n_args = n};
    for (int i = 0; i < n; i++) run.args[i] = args[i];
    body_run(&run);
    if (run.instance || !strstr(run.errors, part)) fail_msg("%s: expected `%s`, found `%s`", source, part, run.errors);
    body_free(&run);
}

static void variables(void **state) {
    (void)state;
    expect("ufunc f(x) { a = x; b = 2*a; a, b = b, a; return a - b }", ARGS(run_f64(3)), TY_F64, 3);
    expect("ufunc f(x) { x += 1; x *= 2; x -= 3; return x }", ARGS(run_int(TY_U8, 5)), TY_U8, 9);
    expect("ufunc f(x) { s = 0.0; s += x; return s }", ARGS(run_f32(0.1f)), TY_F32, (double)0.1f);
    expect("ufunc f(x) { s = f64(0); s += x; return s }", ARGS(run_f32(0.1f)), TY_F64, (double)0.1f);
    expect("ufunc f(x) { s = 0; t = s + 1; s = x; return t }", ARGS(run_f32(2)), TY_F32, 1);
    expect("ufunc f(x) { s = 0; s = 2.5; return s + x }", ARGS(run_f32(1)), TY_F32, 3.5);
    expect("ufunc f(x, k) { return x * k }", ARGS(run_f32(2), run_weak_real(0.1)), TY_F32, (double)(2 * 0.1f));
    expect("ufunc f(x: f64) { return x + 1 }", ARGS(run_f32(2)), TY_F64, 3);
    expect("ufunc f(x: f32, k) { return x + k }", ARGS(run_weak(2), run_weak(3)), TY_F32, 5);
    expect("ufunc f(x) -> (f64) { return x }", ARGS(run_f32(2)), TY_F64, 2);
    expect("ufunc f(x) -> (u8) { return 3 + 0*7 }", ARGS(run_f32(2)), TY_U8, 3);
    expect_error("ufunc f(x) { s = f32(0); s += x; return s }", ARGS(run_f64(1)),
                 "`s` is f32, and `s += x` is f64, which does not convert to it safely; write `f32(…)`");
    expect_error("ufunc f(x: f32) { return x }", ARGS(run_f64(1)), "`f` takes `x` as f32, and gets f64");
    expect_error("ufunc f(x) -> (i32) { return x }", ARGS(run_f64(1)),
                 "`x` is f64, which does not convert safely to i32");
    expect_error("ufunc f(x) -> (u8) { return 300 }", ARGS(run_f64(1)), "300 does not fit in u8");
    expect_error("ufunc f(x) { t = u8(1); t = 300; return t }", ARGS(run_f64(1)), "300 does not fit in u8");
    struct run run = made("ufunc f(x) { return x + 1, i32(x), x > 2 }", ARGS(run_f64(3)));
    assert_int_equal(run.n_results, 3);
    assert_true(run.results[0].f64 == 4 && run.results[1].i == 3 && run.results[2].i == 1);
    assert_int_equal(run.types[1].dtype, TY_I32);
    body_free(&run);
}

static void branches(void **state) {
    (void)state;
    const char *sign = "ufunc f(x) { if x > 0 { s = 1 } elif x < 0 { s = -1 } else { s = 0 }\n return s*x }";
    expect(sign, ARGS(run_f32(2.5f)), TY_F32, 2.5);
    expect(sign, ARGS(run_f32(-2.5f)), TY_F32, 2.5);
    expect(sign, ARGS(run_f32(0)), TY_F32, 0);
    const char *early = "ufunc f(x) { if x < 0 { return nan }\n y = exp(x)\n if y > 10 { return 10.0 }\n return y }";
    expect(early, ARGS(run_f64(-1)), TY_F64, NAN);
    expect(early, ARGS(run_f64(5)), TY_F64, 10);
    expect(early, ARGS(run_f64(0)), TY_F64, 1);
    expect("ufunc f(x) { return 1.0 if x > 0 else -1.0 }", ARGS(run_f64(-3)), TY_F64, -1);
    expect("ufunc f(x) { return (1.0 if x > 0 else -1.0) * x }", ARGS(run_f32(-3)), TY_F32, 3);
    expect("ufunc f(x) { if 1 < 2 { return x } else { return x << 1 } }", ARGS(run_f64(3)), TY_F64, 3);
    expect("ufunc f(x) { if x > 1 { return i32(1) }\n return x }", ARGS(run_f32(0.5f)), TY_F64, 0.5);
    expect_error("ufunc f(x) { if x { return 1 }\n return 2 }", ARGS(run_f64(1)), "`if` wants a bool, and `x` is f64");
    expect_error("ufunc f(x) { if x > 0 { return 1 } }", ARGS(run_f64(1)), "may end without `return`");
    /* Cheap arms are chosen between, without a region; dear ones are guarded. */
    struct run run = made(sign, ARGS(run_f64(1)));
    assert_int_equal(run.counts[OP_if], 0);
    body_free(&run);
    run = made("ufunc f(x) { return exp(x) if x > 0 else log(-x) }", ARGS(run_f64(-1)));
    assert_int_equal(run.counts[OP_if], 1);
    assert_true(run_number(&run, 0) == 0);
    body_free(&run);
}

static void while_loops(void **state) {
    (void)state;
    const char *mandelbrot = "ufunc f(cr, ci) {\n"
                             "  zr = 0.0; zi = 0.0; n = 0\n"
                             "  while n < 50 and zr*zr + zi*zi <= 4 {\n"
                             "    zr, zi = zr*zr - zi*zi + cr, 2*zr*zi + ci\n"
                             "    n += 1\n"
                             "  }\n"
                             "  return n\n"
                             "}";
    double zr = 0, zi = 0;
    int n = 0;
    for (; n < 50 && fma(zr, zr, zi * zi) <= 4; n++) {
        double r = fma(zr, zr, -(zi * zi)) + -0.75;
        zi = fma(2 * zr, zi, 0.3);
        zr = r;
    }
    struct run run = made(mandelbrot, ARGS(run_f64(-0.75), run_f64(0.3)));
    assert_true(run_number(&run, 0) == n);
    assert_int_equal(run.types[0].dtype, TY_I64);
    assert_int_equal(run.types[0].weak, STRONG); /* it follows from strong arguments */
    /* No flags: three values carried, no ifs. */
    assert_int_equal(run.carried, 3);
    assert_int_equal(run.counts[OP_if], 0);
    body_free(&run);

    const char *collatz = "ufunc f(x) {\n n = 0\n while true {\n if x == 1 { break }\n"
                          " if x % 2 == 0 { x = x // 2; n += 1; continue }\n x = 3*x + 1; n += 1 }\n return n }";
    expect(collatz, ARGS(run_int(TY_I32, 27)), TY_I64, 111);
    expect(collatz, ARGS(run_int(TY_I32, 1)), TY_I64, 0);
    const char *forever = "ufunc f(x) { while true { x += 1\n if x > 10 { return 2*x } } }";
    expect(forever, ARGS(run_f64(3.5)), TY_F64, 21);
    expect("ufunc f(x) { while true { if x > 5 { return x }\n while true { x += 2\n if x > 3 { break } } } }",
           ARGS(run_f64(0)), TY_F64, 6);
    expect("ufunc f(x) { while x < 10 { t = x*2; x = t + 1 }\n return x }", ARGS(run_f64(1)), TY_F64, 15);
    expect("ufunc f(x) { while x < 3 { y = x; x += 1 }\n while x > 0 { y = 2*x; x -= y }\n return x }",
           ARGS(run_f64(1)), TY_F64, -3);
    expect_error("ufunc f(x) { while x { x -= 1 }\n return x }", ARGS(run_f64(1)), "`while` wants a bool");
    expect_error("ufunc f(x) { while true { x += 1 } }", ARGS(run_f64(1)), "return");
}

static void for_loops(void **state) {
    (void)state;
    expect("ufunc f(x) { s = 0.0\n for i in 0:10 { s += i*x }\n return s }", ARGS(run_f32(1)), TY_F32, 45);
    expect("ufunc f(x) { s = 0\n for i in 10:0:-3 { s = 100*s + i }\n return s + x }", ARGS(run_int(TY_I64, 0)), TY_I64,
           10070401);
    expect("ufunc f(a, b, c) { s = 0\n for i in a:b:c { s = 10*s + i }\n return s }",
           ARGS(run_int(TY_I32, 1), run_int(TY_U8, 8), run_int(TY_I64, 3)), TY_I64, 147);
    expect("ufunc f(a, b, c) { s = 0\n for i in a:b:c { s += 1 }\n return s }",
           ARGS(run_int(TY_I64, INT64_MIN), run_int(TY_I64, INT64_MAX), run_int(TY_I64, INT64_MAX)), TY_I64, 3);
    expect("ufunc f(a, b, c) { s = 0\n for i in a:b:c { s += 1 }\n return s }",
           ARGS(run_int(TY_I64, 0), run_int(TY_I64, 5), run_int(TY_I64, 0)), TY_I64, 0);
    expect("ufunc f(x) { s = 0\n for i in 0:5 { s += i\n i = 100 }\n return s + x }", ARGS(run_int(TY_I64, 0)), TY_I64,
           10);
    expect("ufunc f(x) { s = 0\n for i in 0:9 {\n for j in 0:9 {\n if j > i { break }\n if j % 2 == 1 { continue }\n"
           " s += i*j } }\n return s + x }",
           ARGS(run_int(TY_I64, 0)), TY_I64, 2 * 2 + 3 * 2 + 4 * 6 + 5 * 6 + 6 * 12 + 7 * 12 + 8 * 20);
    expect("ufunc f(x) { for i in 0:100 { for j in 0:100 { if i*j == x { return 1000*i + j } } }\n return -1 }",
           ARGS(run_int(TY_I64, 77)), TY_I64, 1077);
    expect("ufunc f(x) { for i in 0:10 { for j in 0:10 { if i*j == x { return 1000*i + j } } }\n return -1 }",
           ARGS(run_int(TY_I64, 77)), TY_I64, -1);
    /* No break: the condition is the counter's alone, and nothing but counter and sum is carried. */
    struct run run =
        made("ufunc f(x) { s = f64(0)\n for i in 0:10 { t = x*i; if t > 3 { continue }\n s += t }\n return s }",
             ARGS(run_f64(1)));
    assert_true(run_number(&run, 0) == 6);
    assert_int_equal(run.carried, 2);
    body_free(&run);
    expect_error("ufunc f(x) { for i in 0:x { }\n return x }", ARGS(run_f64(1)),
                 "the end of `for` is an integer, and `x` is f64");
    expect_error("ufunc f(x) { for i in 0:3:0 { }\n return x }", ARGS(run_f64(1)), "the step of `for` is 0");
}

static void whole_arrays(void **state) {
    (void)state;
    const char *dot = "ufunc f(w, t: [n], y: [n]) {\n s = 0.0\n for i in 0:n { s += y[i]*w*t[i] }\n return s }";
    expect(dot, ARGS(run_f32(1), run_whole(TY_F32, 4, 0), run_whole(TY_F32, 4, 0)), TY_F32, 30);
    expect("ufunc f(x, m: f32[r, c]) { h, w = m.shape\n s = f64(0)\n for i in 0:h { for j in 0:w { s += m[i, j] } }\n"
           " return s + 100*r + 10*c + len(m) + m.shape[1] + x }",
           ARGS(run_f64(0), run_whole(TY_F32, 2, 3)), TY_F64, 21 + 230 + 2 + 3);
    expect("ufunc f(x, t: [n]) { return t[-1] + t[0] + x }", ARGS(run_f64(0), run_whole(TY_I32, 5, 0)), TY_F64, 6);
    struct run run = made("ufunc f(i, t: [n]) { return t[i] }", ARGS(run_int(TY_I64, -1), run_whole(TY_F64, 5, 0)));
    assert_true(run.bad_load); /* a computed one is outside */
    body_free(&run);
    /* The right side of `and` and the arms of a conditional are not reached where they do not count. */
    const char *search = "ufunc f(x, t: [n]) { i = 0\n while i < n and t[i] < x { i += 1 }\n return i }";
    expect(search, ARGS(run_f64(3), run_whole(TY_F64, 5, 0)), TY_I64, 2);
    expect(search, ARGS(run_f64(99), run_whole(TY_F64, 5, 0)), TY_I64, 5);
    const char *guarded = "ufunc f(i, t: [n]) { return t[i] if 0 <= i < n else 0 }";
    expect(guarded, ARGS(run_int(TY_I64, 9), run_whole(TY_F64, 5, 0)), TY_F64, 0);
    expect(guarded, ARGS(run_int(TY_I64, 1), run_whole(TY_F64, 5, 0)), TY_F64, 2);
    expect("ufunc f(x, t: [n]) { i = 0\n while t[i] < x { i += 1\n if i == n { break } }\n return i }",
           ARGS(run_f64(99), run_whole(TY_F64, 5, 0)), TY_I64, 5);
    /* Equal loads are made once. */
    run = made("ufunc f(w, t: [n]) { return cos(w*t[0]) + sin(w*t[0]) }", ARGS(run_f64(1), run_whole(TY_F64, 5, 0)));
    assert_int_equal(run.counts[OP_load], 1);
    body_free(&run);
    struct run_arg t = run_whole(TY_F64, 4, 0), m = run_whole(TY_F64, 2, 2);
    expect_error("ufunc f(x, t: [n]) { return t + x }", ARGS(run_f64(1), t),
                 "`+` wants numbers, and `t` is a whole array (f64[:]) here");
    expect_error("ufunc f(x, t: [n]) { return t[0:2] + x }", ARGS(run_f64(1), t), "indexed to one element");
    expect_error("ufunc f(x, t: [n]) { u = t; return x }", ARGS(run_f64(1), t), "`u` would be an array");
    expect_error("ufunc f(x, t: [n, m]) { return t[0] + x }", ARGS(run_f64(1), m), "`t` has 2 dimensions");
    expect_error("ufunc f(x, t: [n]) { return t[x] }", ARGS(run_f64(1), t),
                 "a subscript is an integer, and `x` is f64");
    expect_error("ufunc f(x) { return x[0] }", ARGS(run_f64(1)), "declare a parameter with brackets");
    expect_error("ufunc f(x, t: [n]) { return sum(t) }", ARGS(run_f64(1), t), "`sum` reduces an array");
    expect_error("ufunc f(x, t: [n, m]) { return x }", ARGS(run_f64(1), t), "with 2 dimensions, and gets f64[:]");
    expect_error("ufunc f(x, t: f32[n]) { return x }", ARGS(run_f64(1), t), "as an array of f32, and gets f64[:]");
}

static void calls(void **state) {
    (void)state;
    expect("ufunc g(a) { return a*a }\nufunc f(x) { return g(x) + g(x + 1) }", ARGS(run_f64(2)), TY_F64, 13);
    expect("fn g(a, k) = a*k\nufunc f(x) { return g(x, 0.5) }", ARGS(run_f32(3)), TY_F32, 1.5);
    expect("ufunc g(a) { return a + 1, a - 1 }\nufunc f(x) { p, q = g(x)\n return p*q }", ARGS(run_f64(3)), TY_F64, 8);
    expect("ufunc g(i, t: [n]) { if i < 0 { return t[0] }\n return t[i % n] }\n"
           "ufunc f(x, t: [n]) { s = 0.0\n for i in -1:6 { s += g(i, t) }\n return s + x }",
           ARGS(run_f64(0), run_whole(TY_F64, 4, 0)), TY_F64, 1 + 1 + 2 + 3 + 4 + 1 + 2);
    /* Weak arguments give weak results. */
    expect("ufunc g(k) { return 2*k }\nufunc f(x) { return x * g(0.5) }", ARGS(run_f32(3)), TY_F32, 3);
    expect("ufunc g(k) { return 0.5 if k > 0 else 2.0 }\nufunc f(x) { return x * g(x) }", ARGS(run_f32(3)), TY_F64,
           1.5);
    /* A product through a call is none. */
    struct run run = made("ufunc g(a, b) { return a*b }\nufunc f(x) { return g(x, x) + x }", ARGS(run_f64(0.1)));
    assert_int_equal(run.counts[OP_fma], 0);
    body_free(&run);
    /* One signature, one size: two arrays of other sizes stop. */
    const char *two =
        "ufunc g(x, a: [n], b: [n]) { return a[0] + b[0] + x }\nufunc f(x, a: [n], b: [m]) { return g(x, a, b) }";
    run = made(two, ARGS(run_f64(0), run_whole(TY_F64, 4, 0), run_whole(TY_F64, 3, 0)));
    assert_true(run.bad_load);
    body_free(&run);
    expect(two, ARGS(run_f64(0), run_whole(TY_F64, 4, 0), run_whole(TY_F64, 4, 0)), TY_F64, 2);
    /* Top-level names, directly and through a call: they follow the arguments. */
    expect("t = [1.0, 2.0, 3.0]\nk = 2\nufunc g(i) { return t[i]*k }\nufunc f(x) { return g(1) + x }",
           ARGS(run_f64(0), run_whole(TY_F64, 3, 0), run_weak(2)), TY_F64, 4);
    expect_error("ufunc g(a: i32) { return a }\nufunc f(x) { return g(x) }", ARGS(run_f64(1)),
                 "`g` takes `a` as i32, and gets f64");
    expect_error("ufunc g(a) { return a << 1 }\nufunc f(x) { return g(x) + g(x) }", ARGS(run_f64(1)),
                 "`<<` is not defined");
}

/* The program at the head of the language's description: one frequency of a spectrum. */
static void spectral(void **state) {
    (void)state;
    const char *source = "ufunc spectral(w, t: [n], y: [n]) {\n"
                         "    c = f64(0); s = f64(0)\n"
                         "    for i in 0:n {\n"
                         "        if not isnan(y[i]) { c += y[i]*cos(w*t[i]); s += y[i]*sin(w*t[i]) }\n"
                         "    }\n"
                         "    return c*c + s*s\n"
                         "}";
    struct run_arg t = run_whole(TY_F64, 6, 0), y = run_whole(TY_F32, 6, 0);
    y.data[2] = NAN;
    struct run run = made(source, ARGS(run_f64(0.7), t, y));
    double c = 0, s = 0;
    for (int i = 0; i < 6; i++) {
        if (isnan(y.data[i])) continue;
        c = fma(y.data[i], cos(0.7 * t.data[i]), c);
        s = fma(y.data[i], sin(0.7 * t.data[i]), s);
    }
    assert_true(run_number(&run, 0) == fma(c, c, s * s));
    assert_int_equal(run.types[0].dtype, TY_F64);
    /* c, s and the counter; the loads of y[i] and t[i]; the guard. */
    assert_int_equal(run.carried, 3);
    assert_int_equal(run.counts[OP_load], 2);
    assert_int_equal(run.counts[OP_if], 1);
    assert_int_equal(run.counts[OP_fma], 3);
    body_free(&run);
}

/* Texts that ask for much: an answer or an error, in little time and stack. */
static void limits(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    struct strbuf text;
    arena_init(&arena, &mem);
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "ufunc f(x) { return x");
    for (int i = 0; i < 10000; i++) strbuf_puts(&text, " + x");
    strbuf_puts(&text, " }");
    struct run run = {.source = strbuf_text(&text), .args = {run_f64(1)}, .n_args = 1};
    body_good(&run);
    assert_true(run_number(&run, 0) == 10001);
    body_free(&run);

    /* Many early returns, one after the other. */
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "ufunc f(x) {\n");
    for (int i = 0; i < 300; i++) strbuf_printf(&text, "if x == %d { return %d }\n", i, 1000 - i);
    strbuf_puts(&text, "return 0 }");
    for (int i = 0; i <= 300; i += 100) {
        run = (struct run){.source = strbuf_text(&text), .args = {run_int(TY_I64, i)}, .n_args = 1};
        body_good(&run);
        assert_true(run_number(&run, 0) == (i < 300 ? 1000 - i : 0));
        body_free(&run);
    }

    /* Functions that double with each level. */
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "ufunc f0(x) { return sin(x) }\n");
    for (int i = 1; i <= 40; i++)
        strbuf_printf(&text, "ufunc f%d(x) { return f%d(x) + f%d(x + 1) }\n", i, i - 1, i - 1);
    run = (struct run){.source = strbuf_text(&text), .args = {run_f64(1)}, .n_args = 1};
    body_run(&run);
    assert_null(run.instance);
    assert_non_null(strstr(run.errors, "operations"));
    body_free(&run);

    /* Calls inside brackets inside calls: an error before the stack ends. */
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "ufunc f0(x) { return x }\n");
    for (int i = 1; i <= 60; i++) {
        strbuf_printf(&text, "ufunc f%d(x) { return ", i);
        for (int k = 0; k < 100; k++) strbuf_puts(&text, "-(");
        strbuf_printf(&text, "f%d(x)", i - 1);
        for (int k = 0; k < 100; k++) strbuf_puts(&text, ")");
        strbuf_puts(&text, " }\n");
    }
    run = (struct run){.source = strbuf_text(&text), .args = {run_f64(1)}, .n_args = 1};
    body_run(&run);
    assert_non_null(strstr(run.errors, "too deep"));
    body_free(&run);

    /* Loops in loops. */
    strbuf_init(&text, &arena);
    strbuf_puts(&text, "ufunc f(x) {\n");
    for (int i = 0; i < 100; i++) strbuf_printf(&text, "for i%d in 0:1 {\n", i);
    strbuf_puts(&text, "x += 1\n");
    for (int i = 0; i < 100; i++) strbuf_puts(&text, "}\n");
    strbuf_puts(&text, "return x }");
    run = (struct run){.source = strbuf_text(&text), .args = {run_f64(1)}, .n_args = 1};
    body_good(&run);
    assert_true(run_number(&run, 0) == 2);
    body_free(&run);
    arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables), cmocka_unit_test(branches),     cmocka_unit_test(while_loops),
        cmocka_unit_test(for_loops), cmocka_unit_test(whole_arrays), cmocka_unit_test(calls),
        cmocka_unit_test(limits),    cmocka_unit_test(spectral),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
