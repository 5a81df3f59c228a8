/* The definition of every operation's value: integers that wrap, floats at their edges, conversions that saturate. */
#include <float.h>
#include <math.h>

#include "fixture.h"
#include "ir/eval.h"

static int64_t ints(enum op op, enum dtype type, int64_t a, int64_t b) {
    union scalar args[3] = {{.i = a}, {.i = b}, {.i = 1}};
    return eval_scalar(op, type, TY_NONE, args, NULL).i;
}

static double floats(enum op op, double a, double b) {
    union scalar args[3] = {{.f64 = a}, {.f64 = b}, {.f64 = 1}};
    return eval_scalar(op, TY_F64, TY_NONE, args, NULL).f64;
}

static float singles(enum op op, float a, float b) {
    union scalar args[3] = {{.f32 = a}, {.f32 = b}, {.f32 = 1}};
    return eval_scalar(op, TY_F32, TY_NONE, args, NULL).f32;
}

static bool is_negative_zero(double x) {
    return x == 0 && signbit(x);
}
static bool is_positive_zero(double x) {
    return x == 0 && !signbit(x);
}

static void integers_wrap(void **state) {
    (void)state;
    assert_int_equal(ints(OP_add, TY_I8, 127, 1), -128);
    assert_int_equal(ints(OP_sub, TY_U8, 3, 5), 254);
    assert_int_equal(ints(OP_mul, TY_I32, 65536, 65536), 0);
    assert_int_equal(ints(OP_add, TY_I64, INT64_MAX, 1), INT64_MIN);
    assert_int_equal(ints(OP_neg, TY_I16, -32768, 0), -32768);
    assert_int_equal(ints(OP_neg, TY_U16, 1, 0), 65535);
    assert_int_equal(ints(OP_abs, TY_I8, -128, 0), -128);
    assert_int_equal(ints(OP_sign, TY_I8, -5, 0), -1);
    assert_int_equal(ints(OP_sign, TY_U8, 200, 0), 1);
    assert_int_equal(ints(OP_fma, TY_U8, 16, 16), 1);
    assert_int_equal(ints(OP_invert, TY_U8, 1, 0), 254);
    assert_int_equal(ints(OP_invert, TY_BOOL, 1, 0), 0);
    assert_int_equal(ints(OP_not, TY_BOOL, 0, 0), 1);
    assert_int_equal(ints(OP_min, TY_U64, -1, 1), 1);
    assert_int_equal(ints(OP_min, TY_I64, -1, 1), -1);
    assert_int_equal(ints(OP_lt, TY_U64, -1, 1), 0);
    assert_int_equal(ints(OP_ge, TY_I8, -1, -1), 1);
}

static void division_floors(void **state) {
    (void)state;
    for (int a = -9; a <= 9; a++) {
        for (int b = -4; b <= 4; b++) {
            int quotient = (int)ints(OP_floordiv, TY_I32, a, b), rest = (int)ints(OP_mod, TY_I32, a, b);
            if (b == 0)
                assert_true(quotient == 0 && rest == 0);
            else
                assert_true(quotient == (int)floor((double)a / b) && rest == a - b * quotient);
        }
    }
    assert_int_equal(ints(OP_floordiv, TY_I64, INT64_MIN, -1), INT64_MIN);
    assert_int_equal(ints(OP_mod, TY_I64, INT64_MIN, -1), 0);
    assert_int_equal(ints(OP_floordiv, TY_I8, -128, -1), -128);
    assert_int_equal(ints(OP_floordiv, TY_U8, 250, 7), 35);
    /* as NumPy 2 prints them */
    assert_true(floats(OP_floordiv, 7, 2) == 3 && floats(OP_mod, 7, 2) == 1);
    assert_true(floats(OP_floordiv, -7, 2) == -4 && floats(OP_mod, -7, 2) == 1);
    assert_true(floats(OP_mod, 7, -2) == -1 && is_negative_zero(floats(OP_mod, 6, -2)));
    assert_true(floats(OP_floordiv, 1, 0.1) == 9 && floats(OP_mod, 1, 0.1) == 0.09999999999999995);
    assert_true(isinf(floats(OP_floordiv, 1, 0)) && isnan(floats(OP_mod, 1, 0)) && isnan(floats(OP_floordiv, 0, 0)));
    assert_true(floats(OP_floordiv, -1, INFINITY) == -1 && isinf(floats(OP_mod, -1, INFINITY)));
    assert_true(is_negative_zero(floats(OP_floordiv, -0.0, 1)) && isnan(floats(OP_floordiv, INFINITY, 1)));
    assert_true(singles(OP_mod, -1e-10f, 1) == 1 && singles(OP_floordiv, 7, -2) == -4);
}

static void powers_of_integers(void **state) {
    (void)state;
    assert_int_equal(ints(OP_pow, TY_I64, 3, 5), 243);
    assert_int_equal(ints(OP_pow, TY_I64, 0, 0), 1);
    assert_int_equal(ints(OP_pow, TY_U8, 2, 8), 0);
    assert_int_equal(ints(OP_pow, TY_I8, 2, 7), -128);
    assert_int_equal(ints(OP_pow, TY_I32, 2, -1), 0);
    assert_int_equal(ints(OP_pow, TY_I32, 0, -1), 0);
    assert_int_equal(ints(OP_pow, TY_I32, 1, -3), 1);
    assert_int_equal(ints(OP_pow, TY_I32, -1, -3), -1);
    assert_int_equal(ints(OP_pow, TY_I32, -1, -4), 1);
    assert_int_equal(ints(OP_pow, TY_U64, 3, -1), 12297829382473034411u);
}

static void bits_stay_in_the_width(void **state) {
    (void)state;
    assert_int_equal(ints(OP_shl, TY_U8, 1, 7), 128);
    assert_int_equal(ints(OP_shl, TY_U8, 1, 9), 2);
    assert_int_equal(ints(OP_shl, TY_I8, 1, 7), -128);
    assert_int_equal(ints(OP_shr, TY_I8, -128, 7), -1);
    assert_int_equal(ints(OP_shr, TY_U8, 128, 7), 1);
    assert_int_equal(ints(OP_shr, TY_I64, INT64_MIN, -1), -1);
    assert_int_equal(ints(OP_rotl, TY_U8, 0x81, 1), 3);
    assert_int_equal(ints(OP_rotl, TY_U8, 0x81, 8), 0x81);
    assert_int_equal(ints(OP_rotr, TY_I8, 1, 1), -128);
    assert_int_equal(ints(OP_rotr, TY_I8, -128, 1), 0x40);
    assert_int_equal(ints(OP_rotr, TY_U64, 1, 64), 1);
    assert_int_equal(ints(OP_popcount, TY_I8, -1, 0), 8);
    assert_int_equal(ints(OP_popcount, TY_I64, -1, 0), 64);
}

static void floats_at_their_edges(void **state) {
    (void)state;
    assert_true(isnan(floats(OP_min, NAN, 1)) && isnan(floats(OP_max, 1, NAN)));
    assert_true(floats(OP_fmin, NAN, 1) == 1 && floats(OP_fmax, 1, NAN) == 1 && isnan(floats(OP_fmin, NAN, NAN)));
    for (int turn = 0; turn < 2; turn++) {
        double a = turn ? 0.0 : -0.0, b = -a;
        assert_true(is_negative_zero(floats(OP_min, a, b)) && is_positive_zero(floats(OP_max, a, b)));
        assert_true(is_negative_zero(floats(OP_fmin, a, b)) && is_positive_zero(floats(OP_fmax, a, b)));
        assert_true(is_negative_zero(singles(OP_min, (float)a, (float)b)) &&
                    is_positive_zero(singles(OP_max, (float)a, (float)b)));
    }
    assert_true(floats(OP_rint, 2.5, 0) == 2 && floats(OP_rint, 3.5, 0) == 4 &&
                is_negative_zero(floats(OP_rint, -0.25, 0)));
    assert_true(floats(OP_floor, -0.5, 0) == -1 && is_negative_zero(floats(OP_ceil, -0.5, 0)) &&
                floats(OP_trunc, -1.5, 0) == -1);
    assert_true(floats(OP_sign, -3, 0) == -1 && is_positive_zero(floats(OP_sign, -0.0, 0)) &&
                isnan(floats(OP_sign, NAN, 0)));
    assert_true(isnan(floats(OP_sqrt, -1, 0)) && is_negative_zero(floats(OP_sqrt, -0.0, 0)) &&
                singles(OP_sqrt, 2, 0) == sqrtf(2));
    assert_true(floats(OP_fma, 1 + DBL_EPSILON, 1 - DBL_EPSILON) == 2 - DBL_EPSILON * DBL_EPSILON);
    assert_true(singles(OP_fma, FLT_MAX, 2) == INFINITY && singles(OP_add, 16777216.0f, 1) == 16777216.0f);
    assert_true(singles(OP_div, 1, 3) == 1.0f / 3 && floats(OP_copysign, 3, -0.0) == -3);
    assert_true(floats(OP_fmod, -7, 3) == -1 && floats(OP_exp, 0, 0) == 1 && floats(OP_pow, 2, 0.5) == pow(2, 0.5));
    union scalar ldexp_args[2] = {{.f64 = 1.5}, {.i = -1074}};
    assert_true(eval_scalar(OP_ldexp, TY_F64, TY_NONE, ldexp_args, NULL).f64 == 0x2p-1074); /* ties to even, once */
    assert_int_equal(eval_scalar(OP_eq, TY_F64, TY_NONE, (union scalar[]){{.f64 = NAN}, {.f64 = NAN}}, NULL).i, 0);
    assert_int_equal(eval_scalar(OP_ne, TY_F32, TY_NONE, (union scalar[]){{.f32 = NAN}, {.f32 = NAN}}, NULL).i, 1);
    assert_int_equal(eval_scalar(OP_isfinite, TY_F32, TY_NONE, (union scalar[]){{.f32 = INFINITY}}, NULL).i, 0);
    assert_int_equal(eval_scalar(OP_select, TY_I8, TY_NONE, (union scalar[]){{.i = 0}, {.i = 5}, {.i = 6}}, NULL).i, 6);
}

static int64_t to_int(enum dtype to, double x) {
    return eval_scalar(OP_convert, to, TY_F64, &(union scalar){.f64 = x}, NULL).i;
}

static void conversions_saturate(void **state) {
    (void)state;
    assert_int_equal(to_int(TY_I8, 300), 127);
    assert_int_equal(to_int(TY_I8, -300), -128);
    assert_int_equal(to_int(TY_I8, -1.9), -1);
    assert_int_equal(to_int(TY_U8, -1), 0);
    assert_int_equal(to_int(TY_U8, 255.9), 255);
    assert_int_equal(to_int(TY_I64, NAN), 0);
    assert_int_equal(to_int(TY_I64, 1e300), INT64_MAX);
    assert_int_equal(to_int(TY_I64, -INFINITY), INT64_MIN);
    assert_int_equal(to_int(TY_U64, INFINITY), -1);
    assert_int_equal(to_int(TY_U64, 0x1p63), INT64_MIN);
    assert_int_equal(to_int(TY_BOOL, NAN), 1);
    assert_int_equal(to_int(TY_BOOL, 0.1), 1);
    assert_int_equal(to_int(TY_BOOL, -0.0), 0);
    assert_int_equal(eval_scalar(OP_convert, TY_U8, TY_I64, &(union scalar){.i = -1}, NULL).i, 255);
    assert_int_equal(eval_scalar(OP_convert, TY_I8, TY_U64, &(union scalar){.u = 200}, NULL).i, -56);
    assert_int_equal(eval_scalar(OP_convert, TY_I64, TY_U8, &(union scalar){.u = 200}, NULL).i, 200);
    /* rounded once: through f64 this would tie and give 2^53 + 2^30 */
    assert_true(
        eval_scalar(OP_convert, TY_F32, TY_I64, &(union scalar){.i = (1LL << 53) + (1LL << 29) + 1}, NULL).f32 ==
        0x1.000002p53f);
    assert_true(eval_scalar(OP_convert, TY_F64, TY_U64, &(union scalar){.u = UINT64_MAX}, NULL).f64 == 0x1p64);
    assert_true(eval_scalar(OP_convert, TY_F32, TY_F64, &(union scalar){.f64 = 1e40}, NULL).f32 == INFINITY);
    assert_true(eval_scalar(OP_convert, TY_F64, TY_F32, &(union scalar){.f32 = 0.1f}, NULL).f64 == (double)0.1f);
    assert_true(eval_scalar(OP_convert, TY_F32, TY_BOOL, &(union scalar){.i = 1}, NULL).f32 == 1);
}

static double twice(enum op op, double x, void *host) {
    *(enum op *)host = op;
    return 2 * x;
}

static void elementary_functions_can_be_replaced(void **state) {
    (void)state;
    enum op seen = OP_COUNT;
    struct eval_math math = {.f1 = twice, .host = &seen};
    assert_true(eval_scalar(OP_tanh, TY_F64, TY_NONE, &(union scalar){.f64 = 21}, &math).f64 == 42);
    assert_int_equal(seen, OP_tanh);
    assert_true(eval_scalar(OP_tanh, TY_F32, TY_NONE, &(union scalar){.f32 = 21}, &math).f32 == tanhf(21));
    assert_true(eval_scalar(OP_sqrt, TY_F64, TY_NONE, &(union scalar){.f64 = 4}, &math).f64 == 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(division_floors),
        cmocka_unit_test(powers_of_integers),
        cmocka_unit_test(bits_stay_in_the_width),
        cmocka_unit_test(floats_at_their_edges),
        cmocka_unit_test(conversions_saturate),
        cmocka_unit_test(elementary_functions_can_be_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
