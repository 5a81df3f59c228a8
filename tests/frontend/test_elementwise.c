/* Typing, folding and contraction of operators and functions, each seen through `ufunc f(x, y, z) { return … }`. */
#include "frontend/body_run.h"
#include "frontend/elementwise_parts.h"

#include <stdio.h>

static struct run expression(const char *text, int n, const struct run_arg *args, enum fp_mode fp, char *buffer) {
    static const char *const heads[] = {"", "x", "x, y", "x, y, z"};
    snprintf(buffer, 512, "ufunc f(%s) { return %s }", heads[n], text);
    struct run run = {.source = buffer, .n_args = n, .fp = fp};
    for (int i = 0; i < n; i++) run.args[i] = args[i];
    return run;
}

/* The value must be exact; NaN equals NaN. */
static void expect(const char *text, struct run_arg x, struct run_arg y, enum dtype type, double value) {
    char buffer[512];
    struct run run = expression(text, 2, (struct run_arg[]){x, y}, FP_CONTRACT, buffer);
    body_good(&run);
    double found = run_number(&run, 0);
    if (run.types[0].dtype != type || (found != value && !(isnan(found) && isnan(value))))
        fail_msg("%s: %s %.17g, expected %s %.17g", text, dtype_name(run.types[0].dtype), found, dtype_name(type),
                 value);
    body_free(&run);
}

static void expect_error(const char *text, struct run_arg x, struct run_arg y, const char *part) {
    char buffer[512];
    struct run run = expression(text, 2, (struct run_arg[]){x, y}, FP_CONTRACT, buffer);
    body_run(&run);
    if (run.instance || !strstr(run.errors, part)) fail_msg("%s: expected `%s`, found `%s`", text, part, run.errors);
    body_free(&run);
}

#define I(type, value) run_int(TY_##type, value)
#define D(value)       run_f64(value)
#define F(value)       run_f32(value)
#define B(value)       run_int(TY_BOOL, value)

static void promotion(void **state) {
    (void)state;
    expect("x + y", I(I32, 3), F(0.5f), TY_F64, 3.5);
    expect("x + y", I(I64, 3), I(U64, 5), TY_F64, 8);
    expect("x + y", I(I8, 100), I(U8, 100), TY_I16, 200);
    expect("x + y", I(U8, 200), I(U8, 100), TY_U8, 44);
    expect("x * y", I(I16, 300), F(2), TY_F32, 600);
    expect("x / y", I(I32, 7), I(I32, 2), TY_F64, 3.5);
    expect("x / y", I(I8, 1), F(4), TY_F32, 0.25);
    expect("x // y", I(I32, -7), I(I32, 2), TY_I32, -4);
    expect("x % y", I(I32, -7), I(I32, 3), TY_I32, 2);
    expect("x // y", I(I32, 7), I(I32, 0), TY_I32, 0);
    expect("x + y", B(1), I(I8, 3), TY_I8, 4);
    expect("x < y", I(I32, 1), D(1.5), TY_BOOL, 1);
    expect("sqrt(x) + 0*y", I(I8, 9), D(0), TY_F64, 3);
    expect("atan2(x, 1) + 0*y", F(0), F(0), TY_F32, 0);
    expect("floor(x) + y", I(I16, 3), I(I16, 4), TY_I16, 7);
    expect("hypot(x, y)", I(I8, 3), I(I8, 4), TY_F64, 5);
    expect("min(x, y, 2)", I(U8, 9), I(U8, 7), TY_U8, 2);
    expect("max(x, y)", B(0), B(1), TY_BOOL, 1);
    expect("where(x, y, 0)", B(1), I(U8, 9), TY_U8, 9);
    expect("where(x, 1.5, y)", B(1), F(9), TY_F32, 1.5);
    expect("clip(x, 1, y)", I(I32, 50), I(I32, 20), TY_I32, 20);
    expect("popcount(x) + y", I(U32, 255), I(U32, 0), TY_U32, 8);
    expect("rotl(x, 3) + y", I(U8, 0x81), I(U8, 0), TY_U8, 0x0c);
    expect("isnan(x) | isfinite(y)", I(I32, 1), B(0), TY_BOOL, 1);
    expect("ldexp(x, y)", F(3), I(I64, -1), TY_F32, 1.5);
    expect("ldexp(x, y)", D(1), I(I64, (int64_t)1 << 40), TY_F64, INFINITY);
    expect("fmod(x, y)", I(I32, -7), I(I32, 3), TY_I32, -1);
    expect("fmod(x, y)", I(I32, 7), I(I32, -3), TY_I32, 1);
    expect("fma(x, y, 1)", F(2), F(3), TY_F32, 7);
    expect("x << y", I(U8, 1), I(U8, 9), TY_U8, 2);
    expect("relu(x) + y", F(-2), F(1), TY_F32, 1);
    expect("x ^ y", B(1), B(1), TY_BOOL, 0);
    expect("-x + y", I(U8, 1), I(U8, 0), TY_U8, 255);
    expect("~x + y", I(I8, 5), I(I8, 0), TY_I8, -6);
}

static void bools(void **state) {
    (void)state;
    expect("x + y", B(1), B(1), TY_I64, 2);
    expect("x * y", B(1), B(1), TY_BOOL, 1);
    expect("x // y", B(1), B(1), TY_I8, 1);
    expect("x ** y", B(0), B(0), TY_I8, 1);
    expect("x / y", B(1), B(1), TY_F64, 1);
    expect("x + 1 - y", B(1), I(I64, 0), TY_I64, 2);
    expect("x < y", B(0), B(1), TY_BOOL, 1);
    expect("x == y", B(1), B(1), TY_BOOL, 1);
    expect("not x or y", B(1), B(0), TY_BOOL, 0);
    expect_error("x - y", B(1), B(1), "`-` is not defined for bool (`x`); use `^` or `!=`");
    expect_error("-x", B(1), B(1), "`-` is not defined for bool");
    expect_error("x and y", B(1), I(I32, 1), "`and` is not defined for i32 (`y`)");
    expect_error("not y", B(1), I(I32, 1), "`not` is not defined for i32");
    expect_error("where(y, 1, 2)", B(1), I(I32, 1), "`where` wants a bool first, and `y` is i32");
}

static void weak_scalars(void **state) {
    (void)state;
    expect("x * 2.5 + y", F(2), F(0), TY_F32, 5);
    expect("x + 1 + y", I(U8, 255), I(U8, 0), TY_U8, 0);
    expect("x * 1.5 + y", I(U8, 3), I(U8, 0), TY_F64, 4.5);
    expect("x + y", F(1), run_weak_real(0.1), TY_F32, (double)(1 + 0.1f));
    expect("x + y", I(U8, 1), run_index(258), TY_U8, 3); /* known only at run time: wraps */
    expect("x * y", F(3), run_index(2), TY_F32, 6);
    expect("(x + y) * 2", run_weak(3), run_weak(4), TY_I64, 14);
    expect("(1 / 4) * x + y", F(1), F(0), TY_F32, 0.25);
    expect("(2 + 3) // 2 * x + y", I(U8, 100), I(U8, 0), TY_U8, 200);
    expect("-7 // 2 + -7 % 3 + x*y", I(I64, 0), I(I64, 0), TY_I64, -4 + 2);
    expect("2**10 + x*y", I(I64, 0), I(I64, 0), TY_I64, 1024);
    expect("x + 18446744073709551615 + y", I(U64, 1), I(U64, 0), TY_U64, 0);
    expect("(1 << 63) + x + y", I(U64, 0), I(U64, 0), TY_U64, 0x1p63);
    expect("pi * x + y", F(1), F(0), TY_F32, (double)(float)M_PI);
    expect("sqrt(4) * x + y", F(1), F(0), TY_F32, 2);
    expect("min(3, 2.5) * x + y", F(1), F(0), TY_F32, 2.5);
    expect("i32(2.7) + x + y", I(U8, 1), I(U8, 0), TY_I32, 3);
    expect("u8(300) + x + y", I(U8, 0), I(U8, 0), TY_U8, 44);
    expect("u8(-3.5) + x + y", I(U8, 0), I(U8, 0), TY_U8, 0);
    expect("i8(1e9) + x + y", I(I8, 0), I(I8, 0), TY_I8, 127);
    expect("f32(16777217) + x + y", F(0), F(0), TY_F32, 16777216);
    expect("x / 3 / 7 + y", F(1), F(0), TY_F32, (double)(1.0f / 3 / 7));
    expect("x * exp(0) + y", F(3), F(0), TY_F32, 3);
    expect_error("x + 300", I(U8, 1), B(0), "300 does not fit in u8 (0 to 255)");
    expect_error("x + -1", I(U8, 1), B(0), "-1 does not fit in u8 (0 to 255)");
    expect_error("x + 100*3", I(U8, 1), B(0), "`100*3`, which is 300, does not fit in u8");
    expect_error("x + 2**63", I(I64, 1), B(0), "does not fit in i64 (-9223372036854775808 to 9223372036854775807)");
    expect_error("2**64 + x", I(I64, 1), B(0), "`2**64` is out of the range of 64-bit integers");
    expect_error("18446744073709551615 * 2 + x", I(I64, 1), B(0), "out of the range");
    expect_error("x * 1e39", F(1), B(0), "does not fit in f32");
}

static void powers(void **state) {
    (void)state;
    expect("x ** 2 + y", D(1.1), D(0), TY_F64, 1.1 * 1.1);
    expect("x ** 2.0 + y", F(1.1f), F(0), TY_F32, (double)(1.1f * 1.1f));
    expect("x ** 3 + y", I(I16, -3), I(I16, 0), TY_I16, -27);
    expect("x ** y", I(I32, 2), I(I32, -1), TY_I32, 0);
    expect("x ** 2.5 + y", I(I8, 4), D(0), TY_F64, 32);
    expect("2 ** x + y", I(U8, 7), I(U8, 0), TY_U8, 128);
    expect("2.0**-1 * x + y", D(3), D(0), TY_F64, 1.5);
    expect_error("x ** -1", I(I32, 2), B(0), "to a negative power");
    expect_error("2 ** -1", I(I32, 2), B(0), "to a negative power");
    char buffer[512];
    struct run half = expression("x ** 0.5", 1, (struct run_arg[]){D(4)}, FP_CONTRACT, buffer);
    body_good(&half);
    assert_int_equal(half.counts[OP_pow], 1);
    assert_int_equal(half.counts[OP_sqrt], 0);
    body_free(&half);
}

static void comparisons(void **state) {
    (void)state;
    static const char *const ops[] = {"<", "<=", ">", ">=", "==", "!="};
    static const uint64_t big[] = {UINT64_MAX, 1, (uint64_t)1 << 63, 5, 0};
    static const int64_t small[] = {-1, 1, INT64_MIN, INT64_MAX, 5, 0};
    for (int o = 0; o < 6; o++)
        for (size_t i = 0; i < sizeof big / sizeof *big; i++)
            for (size_t k = 0; k < sizeof small / sizeof *small; k++) {
                __extension__ __int128 a = big[i], b = small[k];
                bool holds[] = {a<b, a <= b, a> b, a >= b, a == b, a != b};
                bool turned[] = {b<a, b <= a, b> a, b >= a, a == b, a != b};
                char text[32];
                snprintf(text, sizeof text, "x %s y", ops[o]);
                expect(text, I(U64, (int64_t)big[i]), I(I64, small[k]), TY_BOOL, holds[o]);
                expect(text, I(I64, small[k]), I(U64, (int64_t)big[i]), TY_BOOL, turned[o]);
            }
    expect("x < y", I(I8, -1), I(U64, 0), TY_BOOL, 1);
    expect("x < 300 and y == 1", I(U8, 255), I(U8, 1), TY_BOOL, 1);
    expect("x > -1 and y == 1", I(U64, 0), I(U8, 1), TY_BOOL, 1);
    expect("-1 >= x or y == 0", I(U64, 0), I(U8, 1), TY_BOOL, 0);
    expect("x == 1000 or y == 0", I(I8, 1), I(I8, 1), TY_BOOL, 0);
    expect("x == y", I(U8, 2), run_index(258), TY_BOOL, 0); /* exactly, not wrapped */
    expect("0 < x <= y < 10", I(I32, 3), I(I64, 3), TY_BOOL, 1);
    expect("1 < 2 and x < y", D(1), D(NAN), TY_BOOL, 0);
    expect("x < 1e39 and y == 1", F(INFINITY), F(1), TY_BOOL, 0);
    expect("x < 1e39 and y == 1", F(3e38f), F(1), TY_BOOL, 1);
    expect("x == 0.1 and y == 1", F(0.1f), F(1), TY_BOOL, 1);
    expect("9007199254740993 > 9007199254740992.0 and x < y", D(0), D(1), TY_BOOL, 1);
}

static void wrong_types(void **state) {
    (void)state;
    expect_error("x << y", D(1), I(I32, 1), "`<<` is not defined for f64 and i32 (`x` and `y`); it wants integers");
    expect_error("x & y", F(1), F(1), "`&` is not defined for f32 (`x`); it wants integers or bools");
    expect_error("x | y", I(I64, 1), I(U64, 1), "no common integer type");
    expect_error("~x", D(1), B(1), "`~` is not defined for f64");
    expect_error("x @ y", D(1), D(1), "not available in this version");
    expect_error("popcount(x)", D(1), B(1), "`popcount` wants integers, and `x` is f64");
    expect_error("ldexp(x, y)", D(1), D(1), "an integer exponent");
    expect_error("f16(x)", D(1), B(1), "f16");
    expect_error("x + f32", D(1), B(1), "`+` wants numbers, and `f32` is a type");
}

/* How many fma a text makes, and its value. */
static void expect_fma(const char *text, enum fp_mode fp, int n_fma, double value) {
    char buffer[512];
    struct run run = expression(text, 3, (struct run_arg[]){D(0.1), D(0.7), D(-0.07)}, fp, buffer);
    body_good(&run);
    if (run.counts[OP_fma] != n_fma || run_number(&run, 0) != value)
        fail_msg("%s: %d fma, %.17g; expected %d, %.17g", text, run.counts[OP_fma], run_number(&run, 0), n_fma, value);
    body_free(&run);
}

static void contraction(void **state) {
    (void)state;
    double x = 0.1, y = 0.7, z = -0.07;
    expect_fma("x*y + z", FP_CONTRACT, 1, fma(x, y, z));
    expect_fma("z + x*y", FP_CONTRACT, 1, fma(x, y, z));
    expect_fma("((x*y)) - z", FP_CONTRACT, 1, fma(x, y, -z));
    expect_fma("z - x*y", FP_CONTRACT, 1, fma(-x, y, z));
    expect_fma("x*y + y*z", FP_CONTRACT, 1, fma(x, y, y * z));
    expect_fma("x*y - y*z", FP_CONTRACT, 1, fma(x, y, -(y * z)));
    expect_fma("x*y*z + x", FP_CONTRACT, 1, fma(x * y, z, x));
    expect_fma("x*y + z + y*z", FP_CONTRACT, 2, fma(y, z, fma(x, y, z)));
    expect_fma("3*x + y*0 + z", FP_CONTRACT, 1, fma(3, x, y * 0) + z);
    expect_fma("2*3 + x*y*0 + z", FP_CONTRACT, 1, fma(x * y, 0, 6) + z);
    expect_fma("x*y + z", FP_STRICT, 0, x * y + z);
    expect_fma("-(x*y) + z", FP_CONTRACT, 0, -(x * y) + z);
    expect_fma("x**2 + y + z", FP_CONTRACT, 0, x * x + y + z);
    expect_fma("square(x) + y + z", FP_CONTRACT, 0, x * x + y + z);
    expect_fma("multiply(x, y) + z", FP_CONTRACT, 0, x * y + z);
    expect_fma("(x*y if x < y else z) + z", FP_CONTRACT, 0, x * y + z);
    expect_fma("i32(x)*i32(y) + z", FP_CONTRACT, 0, z);
    expect_fma("f32(x)*f32(y) + z", FP_CONTRACT, 0, (double)((float)x * (float)y) + z);
    expect_fma("i32(3)*x + z + 0*y", FP_CONTRACT, 2, fma(0, y, fma(3, x, z)));
}

static void joins(void **state) {
    (void)state;
    struct type weak_int = {TY_I64, WEAK_INT, 0}, weak_float = {TY_F64, WEAK_FLOAT, 0}, f32 = {TY_F32, STRONG, 0},
                i32 = {TY_I32, STRONG, 0}, none = {TY_NONE, STRONG, 0}, matrix = {TY_F32, STRONG, 2};
    assert_int_equal(elementwise_join(weak_float, f32).dtype, TY_F32);
    assert_int_equal(elementwise_join(weak_int, weak_float).weak, WEAK_FLOAT);
    assert_int_equal(elementwise_join(weak_float, i32).dtype, TY_F64);
    assert_int_equal(elementwise_join(weak_float, i32).weak, STRONG);
    assert_int_equal(elementwise_join(none, i32).dtype, TY_I32);
    assert_int_equal(elementwise_join(matrix, f32).dtype, TY_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promotion),   cmocka_unit_test(bools),       cmocka_unit_test(weak_scalars),
        cmocka_unit_test(powers),      cmocka_unit_test(comparisons), cmocka_unit_test(wrong_types),
        cmocka_unit_test(contraction), cmocka_unit_test(joins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
