/* The evaluator's reductions against sums written down by hand: each case can only come out right in the promised
 * order, because a large number swallows what is added to it too early. */
#include <math.h>
#include <string.h>

#include "ir/eval/eval_internal.h"
#include "support/check.h"

#define BIG   0x1p60 /* swallows 1 in f64 */
#define BIG_F 0x1p30f

enum { MOST = 3 * 4096 };

static struct mem mem;
static struct arena arena;
static union scalar list[MOST];
static bool flags[MOST];

static void clear(void) {
    memset(list, 0, sizeof list);
    for (int i = 0; i < MOST; i++) flags[i] = true;
}

static int set_up(void **state) {
    (void)state;
    arena_init(&arena, &mem);
    clear();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_free(&arena);
    return 0;
}

static double sum64(int64_t n, bool columns) {
    return eval_reduce(&arena, REDUCE_SUM, TY_F64, n, list, NULL, columns).f64;
}
static float sum32(int64_t n, bool columns) {
    return eval_reduce(&arena, REDUCE_SUM, TY_F32, n, list, NULL, columns).f32;
}

/* Elements 0, 32 and 64 share a lane: (BIG + 1) - BIG. Elements 0, 1 and 2 do not: lanes join by halves, 0 with 16 and
 * 2, 1 last. */
static void test_lanes(void **state) {
    (void)state;
    list[0].f64 = BIG, list[32].f64 = 1, list[64].f64 = -BIG;
    assert_true(sum64(65, false) == 0);
    clear();
    list[0].f64 = BIG, list[1].f64 = 1, list[2].f64 = -BIG;
    assert_true(sum64(3, false) == 1);
    clear();
    list[0].f64 = BIG, list[16].f64 = 1, list[2].f64 = -BIG; /* 0 with 16 before 0 with 2 */
    assert_true(sum64(17, false) == 0);
}

static void test_lanes_f32(void **state) {
    (void)state;
    list[0].f32 = BIG_F, list[64].f32 = 1, list[128].f32 = -BIG_F; /* one lane of 64 */
    assert_true(sum32(129, false) == 0);
    clear();
    list[0].f32 = BIG_F, list[32].f32 = 1, list[1].f32 = -BIG_F; /* the first halving joins 0 and 32 */
    assert_true(sum32(33, false) == 0);
    clear();
    list[0].f32 = BIG_F, list[1].f32 = 1, list[32].f32 = -BIG_F;
    assert_true(sum32(33, false) == 1);
}

/* Runs of 16 vectors: (r0 + r1) + (r2 + r3) in each lane. Element 32 * 16 * r begins run r of lane 0. */
static void test_runs(void **state) {
    (void)state;
    const int run = 32 * 16;
    list[0].f64 = BIG, list[run].f64 = -BIG, list[2 * run].f64 = 1;
    assert_true(sum64(2048, false) == 1);
    clear();
    list[0].f64 = BIG, list[2 * run].f64 = 1, list[3 * run].f64 = 1;
    list[run].f64 = 0;
    assert_true(sum64(2048, false) == BIG);
    clear(); /* (BIG + 0) + (1 + -BIG): the 1 is gone */
    list[0].f64 = BIG, list[2 * run].f64 = 1, list[3 * run].f64 = -BIG;
    assert_true(sum64(2048, false) == 0);
    clear(); /* a run is a chain: vectors 0 .. 15 of one lane, vector 16 is the next run */
    list[0].f64 = BIG, list[15 * 32].f64 = -BIG, list[run].f64 = 1;
    assert_true(sum64(2048, false) == 1);
}

/* Blocks of 2048: pairs first, an odd one passes up: (b0 + b1) + b2. */
static void test_blocks(void **state) {
    (void)state;
    list[0].f64 = BIG, list[2048].f64 = -BIG, list[4096].f64 = 1;
    assert_true(sum64(4097, false) == 1);
    clear();
    list[0].f64 = BIG, list[2048].f64 = 1, list[4096].f64 = -BIG;
    assert_true(sum64(4097, false) == 0);
    clear(); /* five: ((b0 + b1) + (b2 + b3)) + b4 */
    list[0].f64 = BIG, list[2 * 2048].f64 = 1, list[3 * 2048].f64 = -1, list[4 * 2048].f64 = -BIG;
    assert_true(sum64(5 * 2048, false) == 0);
    list[3 * 2048].f64 = -BIG, list[4 * 2048].f64 = 1;
    assert_true(sum64(5 * 2048, false) == 1);
    clear(); /* f32 blocks are twice as long */
    list[0].f32 = BIG_F, list[2048].f32 = 1, list[4096].f32 = -BIG_F;
    assert_true(sum32(4097, false) == 0);
}

/* Columns: chains of 64, then pairs. */
static void test_columns(void **state) {
    (void)state;
    list[0].f64 = BIG, list[1].f64 = 1, list[2].f64 = -BIG, list[3].f64 = 1;
    assert_true(sum64(4, true) == 1);
    clear();
    list[0].f64 = BIG, list[63].f64 = -BIG, list[64].f64 = 1;
    assert_true(sum64(65, true) == 1);
    clear();
    list[0].f64 = BIG, list[64].f64 = -BIG, list[128].f64 = 1;
    assert_true(sum64(129, true) == 1);
    clear(); /* (c0 + c1) + (c2 + c3) */
    list[0].f64 = BIG, list[128].f64 = 1, list[192].f64 = -BIG;
    assert_true(sum64(256, true) == 0);
}

static void test_empty_and_zeros(void **state) {
    (void)state;
    assert_false(signbit(sum64(0, false)));
    assert_false(signbit(sum64(0, true)));
    for (int i = 0; i < 100; i++) list[i].f64 = -0.0;
    assert_true(signbit(sum64(3, false)));
    assert_true(signbit(sum64(100, true)));
    assert_int_equal(eval_reduce(&arena, REDUCE_SUM, TY_I64, 0, list, NULL, false).i, 0);
    assert_true(eval_reduce(&arena, REDUCE_PROD, TY_F64, 0, list, NULL, false).f64 == 1);
    assert_int_equal(eval_reduce(&arena, REDUCE_ALL, TY_BOOL, 0, list, NULL, false).i, 1);
    assert_int_equal(eval_reduce(&arena, REDUCE_ANY, TY_BOOL, 0, list, NULL, false).i, 0);
    assert_int_equal(eval_reduce(&arena, REDUCE_MAX, TY_I8, 0, list, NULL, false).i, -128);
    assert_int_equal(eval_reduce(&arena, REDUCE_MIN, TY_U16, 0, list, NULL, false).u, 65535);
    assert_true(eval_reduce(&arena, REDUCE_MIN, TY_F32, 0, list, NULL, false).f32 == INFINITY);
    assert_true(isnan(eval_reduce(&arena, REDUCE_FMAX, TY_F64, 0, list, NULL, false).f64));
    assert_int_equal(eval_reduce(&arena, REDUCE_NANARGMAX, TY_F64, 0, list, NULL, false).i, -1);
}

static int64_t position(enum reduce_op op, int64_t n) {
    return eval_reduce(&arena, op, TY_F64, n, list, NULL, false).i;
}

static void test_positions(void **state) {
    (void)state;
    list[0].f64 = 1, list[1].f64 = 3, list[2].f64 = -2, list[3].f64 = 3, list[4].f64 = -2;
    assert_int_equal(position(REDUCE_ARGMAX, 5), 1);
    assert_int_equal(position(REDUCE_ARGMIN, 5), 2);
    list[3].f64 = NAN, list[4].f64 = NAN;
    assert_int_equal(position(REDUCE_ARGMAX, 5), 3);
    assert_int_equal(position(REDUCE_ARGMIN, 5), 3);
    assert_int_equal(position(REDUCE_NANARGMAX, 5), 1);
    list[0].f64 = NAN;
    assert_int_equal(position(REDUCE_NANARGMIN, 5), 2);
    assert_int_equal(position(REDUCE_NANARGMIN, 1), -1);
    assert_true(isnan(eval_reduce(&arena, REDUCE_MIN, TY_F64, 5, list, NULL, false).f64));
    assert_true(eval_reduce(&arena, REDUCE_FMIN, TY_F64, 5, list, NULL, false).f64 == -2);
}

static double m2(enum dtype type, int64_t n) {
    return eval_reduce(&arena, REDUCE_VAR, type, n, list, flags, false).f64;
}

/* One block: squared deviations from sum / count, in the operand's type; two blocks: Chan's formula in f64. */
static void test_variance(void **state) {
    (void)state;
    assert_true(m2(TY_F64, 0) == 0);
    list[0].f64 = 1, list[1].f64 = 2, list[2].f64 = 6;
    assert_true(m2(TY_F64, 3) == 14); /* mean 3: 4 + 1 + 9 */
    flags[2] = false;
    assert_true(m2(TY_F64, 3) == 0.5);
    flags[0] = flags[1] = false;
    assert_true(m2(TY_F64, 3) == 0);
    clear();
    list[0].f32 = 1, list[1].f32 = 0; /* mean of three in f32: 0x1.555556p-2 */
    float mean = 1.0f / 3, a = 1 - mean, b = mean;
    assert_true(m2(TY_F32, 3) == (double)(a * a + (b * b + b * b)));
    clear(); /* 2048 zeros, 1024 threes: between the blocks 9 * (2048 * 1024 / 3072) */
    for (int i = 2048; i < 3072; i++) list[i].f64 = 3;
    assert_true(m2(TY_F64, 3072) == 9.0 * (2048.0 * 1024.0 / 3072.0));
    for (int i = 0; i < 2048; i++) flags[i] = false; /* a block in which nothing counts leaves the other as it is */
    assert_true(m2(TY_F64, 3072) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lanes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lanes_f32, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_and_zeros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_positions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variance, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
