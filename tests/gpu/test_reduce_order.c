/* test_reduce_order.c: reductions on the fake device: every bit as ir/eval's definition of the order of additions says,
 * at all sizes where the way through the kernel changes. */
#include "gpu/reduce_tested.h"

static const struct ptx_limits small_device = {1, 256}, medium_device = {4, 512}, large_device = {64, 2048};

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void over_rows(enum dtype type, enum body body, enum lie lie, bool short_rows, int values, int n_ops,
                      const enum reduce_op *ops, const int64_t *lengths, int n_lengths, int64_t rows) {
    struct tested t = tested_make(KERNEL_LANES, 1, 1, type, body, lie, short_rows, n_ops, ops);
    tested_compile(&t);
    const int v = type == TY_F32 ? 4 : 2;
    for (int i = 0; i < n_lengths; i++) {
        struct layout l = {
            .extents = {rows, lengths[i]}, .step = lie == STRIDED ? 2 : 1, .shift = lie == SHIFTED, .values = values};
        l.pad = lie == ALIGNED ? (v - lengths[i] % v) % v : 3;
        l.limits = i % 3 == 0 ? small_device : i % 3 == 1 ? large_device : medium_device;
        tested_check(&t, &l);
    }
    tested_free(&t);
}

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const int64_t f32_lengths[] = {0,
                                      1,
                                      2,
                                      15,
                                      16,
                                      63,
                                      64,
                                      65,
                                      1023,
                                      1024,
                                      1025,
                                      2047,
                                      2048,
                                      2049,
                                      3071,
                                      4095,
                                      4096,
                                      4097,
                                      8191,
                                      8193,
                                      3 * 4096 + 1,
                                      4 * 4096,
                                      4 * 4096 + 1,
                                      20 * 4096 - 7,
                                      28 * 4096 + 33,
                                      36 * 4096 + 4095};
static const int64_t f64_lengths[] = {0,
                                      1,
                                      2,
                                      15,
                                      31,
                                      32,
                                      33,
                                      511,
                                      512,
                                      513,
                                      1023,
                                      1025,
                                      1535,
                                      2047,
                                      2048,
                                      2049,
                                      4095,
                                      4097,
                                      3 * 2048 + 1,
                                      4 * 2048,
                                      4 * 2048 + 1,
                                      20 * 2048 - 7,
                                      28 * 2048 + 33,
                                      36 * 2048 + 2047};
static const int64_t short_lengths[] = {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 500, 512};

static void test_sum_f32(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_SUM};
    for (enum lie lie = ALIGNED; lie <= STRIDED; lie++)
        over_rows(TY_F32, BODY_X, lie, false, 0, 1, ops, f32_lengths, COUNT(f32_lengths), 1);
    over_rows(TY_F32, BODY_X, ALIGNED, false, 0, 1, ops, f32_lengths, COUNT(f32_lengths) - 2, 3);
    const int64_t many[] = {1, 4096, 4097, 3 * 4096};
    over_rows(TY_F32, BODY_X, SHIFTED, false, 2, 1, ops, many, COUNT(many), 37);
}

/* So many segments that more than a warp joins them. */
static void test_many_segments(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_SUM, REDUCE_VAR};
    const int64_t lengths[] = {0, 150 * 8192 + 5};
    over_rows(TY_F64, BODY_X, ALIGNED, false, 3, 2, ops, lengths, COUNT(lengths), 1);
}

static void test_short_rows(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_SUM, REDUCE_VAR, REDUCE_ARGMAX, REDUCE_MIN};
    for (enum lie lie = ALIGNED; lie <= STRIDED; lie++) {
        over_rows(TY_F32, BODY_X, lie, true, (int)lie % 2, 4, ops, short_lengths, COUNT(short_lengths), 37);
        over_rows(TY_F64, BODY_X, lie, true, 2, 4, ops, short_lengths, COUNT(short_lengths), 16);
    }
}

static void test_siblings(void **state) {
    (void)state;
    const enum reduce_op moments[] = {REDUCE_SUM, REDUCE_VAR},
                         all[] = {REDUCE_VAR, REDUCE_MIN, REDUCE_ARGMIN, REDUCE_NANARGMAX, REDUCE_FMAX};
    for (enum lie lie = ALIGNED; lie <= STRIDED; lie++) {
        over_rows(TY_F64, BODY_X, lie, false, 3, 2, moments, f64_lengths, COUNT(f64_lengths), 1);
        over_rows(TY_F32, BODY_X, lie, false, 0, 5, all, f32_lengths, COUNT(f32_lengths) - 3, 2);
    }
    over_rows(TY_F64, BODY_X, SHIFTED, false, 2, 5, all, f64_lengths, COUNT(f64_lengths) - 3, 2);
    over_rows(TY_F64, BODY_X, ALIGNED, false, 4, 5, all, f64_lengths, COUNT(f64_lengths) - 3, 1);
}

static void test_flags(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_VAR, REDUCE_SUM, REDUCE_FMIN};
    for (enum lie lie = ALIGNED; lie <= STRIDED; lie++) {
        over_rows(TY_F64, BODY_FLAGS, lie, false, 0, 3, ops, f64_lengths, COUNT(f64_lengths) - 3, 1);
        over_rows(TY_F32, BODY_FLAGS, lie, false, 3, 3, ops, f32_lengths, COUNT(f32_lengths) - 3, 1);
    }
    over_rows(TY_F32, BODY_FLAGS, ALIGNED, false, 1, 3, ops, f32_lengths, COUNT(f32_lengths) - 3,
              1); /* blocks where nothing counts */
}

static void test_integers(void **state) {
    (void)state;
    static const enum dtype types[] = {TY_I8, TY_U8, TY_I16, TY_U32, TY_I64, TY_U64};
    const enum reduce_op ops[] = {REDUCE_SUM,    REDUCE_PROD,      REDUCE_MIN, REDUCE_FMAX,
                                  REDUCE_ARGMIN, REDUCE_NANARGMAX, REDUCE_MAX};
    for (int i = 0; i < COUNT(types); i++)
        over_rows(types[i], BODY_X, (enum lie)(i % 3), false, i & 1, COUNT(ops), ops, f64_lengths + i % 2,
                  COUNT(f64_lengths) - 4, 2);
    const enum reduce_op logic[] = {REDUCE_ANY, REDUCE_ALL, REDUCE_MIN, REDUCE_ARGMAX};
    for (int values = 0; values < 2; values++)
        over_rows(TY_BOOL, BODY_X, ALIGNED, false, values, COUNT(logic), logic, f64_lengths, COUNT(f64_lengths) - 3, 1);
}

/* As many reductions as a kernel can have, with the largest states: they come together one after the other. */
static void test_many_reductions(void **state) {
    (void)state;
    static const int64_t lengths[] = {0, 1, 100, 4097, 9 * 4096 + 33};
    for (int which = 0; which < 2; which++) {
        enum reduce_op ops[MOST_OPS];
        for (int i = 0; i < MOST_OPS; i++) ops[i] = which ? REDUCE_ARGMAX : REDUCE_VAR;
        for (enum dtype type = which ? TY_F64 : TY_F32; type <= TY_F64; type++)
            over_rows(type, BODY_SCALED, ALIGNED, false, 3, MOST_OPS, ops, lengths, COUNT(lengths), 2);
        if (which) continue;
        struct tested t = tested_make(KERNEL_COLUMNS, 2, 1, TY_F64, BODY_SCALED, ALIGNED, false, MOST_OPS, ops);
        tested_compile(&t);
        for (int i = 0; i < 3; i++) {
            const struct layout l = {
                .extents = {1, 1 + 3 * i, 64 * 7 * i + 1}, .step = 1, .pad = 2, .limits = large_device};
            tested_check(&t, &l);
        }
        tested_free(&t);
    }
}

/* The body stores what it reduces: one loop dimension. */
static void test_stored_map(void **state) {
    (void)state;
    const enum reduce_op dot[] = {REDUCE_SUM}, var[] = {REDUCE_VAR, REDUCE_SUM};
    for (enum lie lie = ALIGNED; lie <= STRIDED; lie++)
        for (int both = 0; both < 2; both++) {
            struct tested t =
                tested_make(KERNEL_LANES, 0, 1, TY_F32, BODY_PRODUCT, lie, false, both + 1, both ? var : dot);
            tested_compile(&t);
            for (int i = 0; i < COUNT(f32_lengths); i++) {
                struct layout l = {
                    .extents = {f32_lengths[i]}, .step = lie == STRIDED ? 3 : 1, .shift = lie == SHIFTED};
                l.limits = i % 2 ? large_device : small_device;
                tested_check(&t, &l);
            }
            tested_free(&t);
        }
}

static void test_two_reduced(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_SUM, REDUCE_ARGMIN, REDUCE_VAR};
    for (int body = 0; body < 2; body++) {
        struct tested t = tested_make(KERNEL_LANES, 1, 2, TY_F32, body ? BODY_INDEX : BODY_X, body ? SHIFTED : ALIGNED,
                                      false, 3, ops);
        tested_compile(&t);
        static const int64_t extents[][2] = {{1, 1},    {3, 5},   {7, 64},    {64, 65},
                                             {5, 1000}, {90, 91}, {300, 311}, {0, 5}};
        for (int i = 0; i < COUNT(extents); i++) {
            struct layout l = {
                .extents = {2, extents[i][0], extents[i][1]}, .step = 1, .pad = 4, .limits = large_device};
            tested_check(&t, &l);
        }
        tested_free(&t);
    }
}

/* --- columns ------------------------------------------------------------------------------------------------------ */

static const int64_t heights[] = {0,
                                  1,
                                  2,
                                  63,
                                  64,
                                  65,
                                  127,
                                  128,
                                  129,
                                  191,
                                  193,
                                  511,
                                  512,
                                  513,
                                  1023,
                                  1025,
                                  1537,
                                  2560 + 1,
                                  64 * 8 * 5 + 1,
                                  64 * 8 * 9 + 63};

static void over_columns(enum dtype type, enum body body, enum lie lie, int values, int n_ops,
                         const enum reduce_op *ops) {
    static const int64_t widths[] = {1, 2, 3, 4, 5, 31, 32, 33, 127, 128, 131, 300};
    struct tested t = tested_make(KERNEL_COLUMNS, 2, 1, type, body, lie, false, n_ops, ops);
    tested_compile(&t);
    const int v = type == TY_F64 ? 2 : 4;
    for (int i = 0; i < COUNT(heights); i++)
        for (int w = i % 7; w<COUNT(widths); w += heights[i]> 1000 ? 9 : 7) {
            struct layout l = {
                .extents = {i % 2 + 1, widths[w], heights[i]}, .step = lie == STRIDED ? 2 : 1, .shift = lie == SHIFTED};
            l.values = values;
            l.pad = lie == ALIGNED ? (v - widths[w] % v) % v : 1;
            l.limits = (i + w) % 3 == 0 ? small_device : (i + w) % 3 == 1 ? large_device : medium_device;
            tested_check(&t, &l);
        }
    tested_free(&t);
}

static void test_columns(void **state) {
    (void)state;
    const enum reduce_op sum[] = {REDUCE_SUM}, var[] = {REDUCE_VAR},
                         all[] = {REDUCE_SUM, REDUCE_VAR, REDUCE_ARGMAX, REDUCE_FMIN};
    for (enum lie lie = ALIGNED; lie <= STRIDED; lie++) over_columns(TY_F32, BODY_X, lie, 0, 1, sum);
    over_columns(TY_F64, BODY_X, ALIGNED, 0, 1, sum);
    over_columns(TY_F32, BODY_X, ALIGNED, 3, 1, var);
    over_columns(TY_F64, BODY_FLAGS, ALIGNED, 1, 1, var);
    over_columns(TY_F64, BODY_X, SHIFTED, 2, 4, all);
    over_columns(TY_F32, BODY_FLAGS, ALIGNED, 1, 4, all);
}

static void test_columns_of_integers(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_SUM, REDUCE_ARGMIN, REDUCE_MAX}, logic[] = {REDUCE_ANY, REDUCE_ALL};
    over_columns(TY_I64, BODY_X, ALIGNED, 1, 3, ops);
    over_columns(TY_I8, BODY_X, ALIGNED, 1, 3, ops);
    over_columns(TY_BOOL, BODY_X, ALIGNED, 1, 2, logic);
}

static void test_columns_of_planes(void **state) {
    (void)state;
    const enum reduce_op ops[] = {REDUCE_SUM, REDUCE_ARGMIN};
    struct tested t = tested_make(KERNEL_COLUMNS, 1, 2, TY_F32, BODY_INDEX, ALIGNED, false, 2, ops);
    tested_compile(&t);
    static const int64_t extents[][2] = {{1, 1}, {3, 5}, {7, 64}, {64, 65}, {5, 1000}};
    for (int i = 0; i < COUNT(extents); i++) {
        struct layout l = {.extents = {12, extents[i][0], extents[i][1]}, .step = 1, .limits = large_device};
        tested_check(&t, &l);
    }
    tested_free(&t);
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sum_f32, kernel_device_clear),
        cmocka_unit_test_teardown(test_many_segments, kernel_device_clear),
        cmocka_unit_test_teardown(test_short_rows, kernel_device_clear),
        cmocka_unit_test_teardown(test_siblings, kernel_device_clear),
        cmocka_unit_test_teardown(test_flags, kernel_device_clear),
        cmocka_unit_test_teardown(test_integers, kernel_device_clear),
        cmocka_unit_test_teardown(test_many_reductions, kernel_device_clear),
        cmocka_unit_test_teardown(test_stored_map, kernel_device_clear),
        cmocka_unit_test_teardown(test_two_reduced, kernel_device_clear),
        cmocka_unit_test_teardown(test_columns, kernel_device_clear),
        cmocka_unit_test_teardown(test_columns_of_integers, kernel_device_clear),
        cmocka_unit_test_teardown(test_columns_of_planes, kernel_device_clear),
    };
    return cmocka_run_group_tests(tests, kernel_device_open, kernel_device_close);
}
