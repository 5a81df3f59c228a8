/* Reductions against the reference evaluator's order, to the bit: every kind and type, lengths around every boundary,
 * several instruction sets and splits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/eval/eval_internal.h"
#include "maker.h"

static struct maker maker;
enum { MOST = 3 * 4096 + 300 };
static _Alignas(64) char data[8 * MOST];
static _Alignas(64) unsigned char flags[MOST];
static bool flag_values[MOST];
static union scalar values[MOST], column[MOST];

static uint64_t seed = 88172645463325252u;
static uint64_t next_random(void) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

/* Numbers of many magnitudes, so that another order of additions shows; now and then one of the grid (and NaN if
 * `special`). */
static void fill(enum dtype type, int64_t n, bool special) {
    union scalar grid[64];
    int n_grid = maker_grid(type, grid, 64);
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = next_random();
        double x = ldexp((double)(int64_t)r, -63 + (int)(r % 12));
        union scalar v = {.u = r >> 3};
        if (type == TY_F32) v = (union scalar){.f32 = (float)x};
        if (type == TY_F64) v.f64 = x;
        if (type == TY_BOOL) v.u = r >> 60 & 1;
        if (special && r % 97 == 0) v = grid[r / 97 % (unsigned)n_grid];
        maker_put(type, data, i, v);
        values[i] = maker_get(type, data, i);
        flags[i] = flag_values[i] = r >> 40 & 7;
        flags[i] = flag_values[i] = flags[i] != 0;
    }
}

static bool has_meaning(enum reduce_op op, enum dtype type) {
    if (op == REDUCE_VAR) return dtype_is_float(type);
    if (op == REDUCE_ANY || op == REDUCE_ALL) return type == TY_BOOL;
    if (op == REDUCE_SUM || op == REDUCE_PROD)
        return type == TY_F32 || type == TY_F64 || type == TY_I64 || type == TY_U64;
    return type != TY_BOOL;
}

static void check(const char *what, enum reduce_op op, enum dtype type, int64_t n, union scalar got, union scalar want,
                  enum dtype result) {
    if (!maker_same(result, got, want))
        fail_msg("%s %s %s of %d: want %.17g (%lld) got %.17g (%lld)", what, reduce_names[op], dtype_name(type), (int)n,
                 result == TY_F32 ? want.f32 : want.f64, (long long)want.i, result == TY_F32 ? got.f32 : got.f64,
                 (long long)got.i);
}

/* One row reduced by LANES. */
static void lanes_once(struct cpu_engine *engine, const char *isa, enum reduce_op op, enum dtype type, int64_t n,
                       int pieces, int64_t step) {
    struct making m;
    int64_t extents[] = {n}, stride = step * dtype_size(type), ones = step;
    union scalar result = {.u = 0};
    making_begin(&m, &maker, KERNEL_LANES, 0, 1, extents);
    struct ir_value *x = making_read(&m, type, data, &stride);
    struct ir_value *counts = op == REDUCE_VAR ? making_read(&m, TY_BOOL, flags, &ones) : NULL;
    making_store(&m, making_reduce(&m, op, x, counts), &result);
    making_run(&m, engine, pieces);
    enum dtype to = m.reductions[0].type;
    static union scalar picked[MOST];
    static bool picked_flags[MOST];
    for (int64_t i = 0; i < n; i++) picked[i] = values[i * step], picked_flags[i] = flag_values[i * step];
    union scalar want = eval_reduce(&maker.arena, op, type, n, picked, picked_flags, false);
    check(isa, op, type, n, maker_get(to, &result, 0), want, to);
}

static const enum dtype types[] = {TY_F64, TY_F32, TY_I64, TY_U64, TY_BOOL, TY_I32, TY_U8, TY_I16};

static void test_lanes(void **state) {
    (void)state;
    for (int special = 0; special < 2; special++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            fill(types[t], MOST, special);
            int block = types[t] == TY_F32 ? 4096 : 2048;
            const int64_t lengths[] = {1,   5,   31,   32,   33,        64,    65,        511,
                                       512, 513, 1024, 1100, block - 1, block, block + 1, 3 * block + 77};
            for (int op = 0; op < REDUCE_COUNT_; op++) {
                if (!has_meaning((enum reduce_op)op, types[t])) continue;
                for (int isa = 0; isa < MAKER_ISAS; isa++) {
                    if (!maker.engines[isa]) continue;
                    if (isa > 0 && (special || types[t] >= TY_I8 ? isa != 1 : false)) continue;
                    struct making m;
                    int64_t one[] = {1}, stride = dtype_size(types[t]), byte = 1;
                    union scalar result = {.u = 0};
                    making_begin(&m, &maker, KERNEL_LANES, 0, 1, one);
                    struct ir_value *x = making_read(&m, types[t], data, &stride);
                    struct ir_value *counts = op == REDUCE_VAR ? making_read(&m, TY_BOOL, flags, &byte) : NULL;
                    making_store(&m, making_reduce(&m, (enum reduce_op)op, x, counts), &result);
                    struct kernel_code code;
                    making_compile(&m, maker.engines[isa], &code);
                    enum dtype to = m.reductions[0].type;
                    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                        m.extents[0] = lengths[l];
                        result.u = 0;
                        making_call(&m, &code, (int)l % 3 + 1);
                        union scalar want = eval_reduce(&maker.arena, (enum reduce_op)op, types[t], lengths[l], values,
                                                        flag_values, false);
                        check(maker_isas[isa], (enum reduce_op)op, types[t], lengths[l], maker_get(to, &result, 0),
                              want, to);
                    }
                    cpu_kernel_free(maker.engines[isa], &code);
                }
            }
        }
}

static void test_lanes_strided_and_empty(void **state) {
    (void)state;
    fill(TY_F64, MOST, false);
    lanes_once(maker.engines[1] ? maker.engines[1] : maker.engines[3], "strided", REDUCE_SUM, TY_F64, 3000, 2, 3);
    for (int isa = 0; isa < MAKER_ISAS; isa++) {
        if (!maker.engines[isa]) continue;
        lanes_once(maker.engines[isa], maker_isas[isa], REDUCE_SUM, TY_F64, 0, 1, 1);
        lanes_once(maker.engines[isa], maker_isas[isa], REDUCE_PROD, TY_F32, 0, 1, 1);
        lanes_once(maker.engines[isa], maker_isas[isa], REDUCE_VAR, TY_F64, 0, 1, 1);
        lanes_once(maker.engines[isa], maker_isas[isa], REDUCE_SUM, TY_F64, 2500, 2, 2);
    }
}

/* Extremes that are the identity themselves, and ties. */
static void test_arg_edges(void **state) {
    (void)state;
    static const double rows[][5] = {{-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                     {NAN, -INFINITY, -INFINITY, NAN, -INFINITY},
                                     {NAN, NAN, NAN, NAN, NAN},
                                     {INFINITY, 1, INFINITY, 1, 0.0},
                                     {0.0, -0.0, 0.0, -0.0, -0.0}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int64_t n = 5; n < 5000; n += 1111) {
            for (int64_t i = 0; i < n; i++) {
                maker_put(TY_F64, data, i, (union scalar){.f64 = rows[r][i % 5]});
                values[i] = maker_get(TY_F64, data, i);
            }
            for (int op = REDUCE_ARGMIN; op <= REDUCE_NANARGMAX; op++)
                lanes_once(maker.engines[0] ? maker.engines[0] : maker.engines[3], "edges", (enum reduce_op)op, TY_F64,
                           n, 1, 1);
        }
}

/* Several reductions in one pass, over rows, with arithmetic before and after. */
static void test_rows(void **state) {
    (void)state;
    enum { ROWS = 3, N = 2500 };
    fill(TY_F64, ROWS * N, false);
    for (int isa = 0; isa < MAKER_ISAS; isa++) {
        if (!maker.engines[isa]) continue;
        struct making m;
        int64_t extents[] = {ROWS, N}, strides[] = {8 * N, 8};
        double out[ROWS], low[ROWS];
        making_begin(&m, &maker, KERNEL_LANES, 1, 1, extents);
        struct ir_value *x = making_read(&m, TY_F64, data, strides);
        struct ir_value *square = making_op(&m, m.body, OP_mul, TY_F64, x, x, NULL);
        struct ir_value *sum = making_reduce(&m, REDUCE_SUM, square, NULL);
        struct ir_value *least = making_reduce(&m, REDUCE_MIN, x, NULL);
        making_store(&m,
                     making_op(&m, m.epilogue, OP_exp, TY_F64,
                               making_op(&m, m.epilogue, OP_neg, TY_F64, sum, NULL, NULL), NULL, NULL),
                     out);
        making_store(&m, least, low);
        making_run(&m, maker.engines[isa], 2);
        for (int r = 0; r < ROWS; r++) {
            for (int i = 0; i < N; i++) column[i].f64 = values[r * N + i].f64 * values[r * N + i].f64;
            union scalar total = eval_reduce(&maker.arena, REDUCE_SUM, TY_F64, N, column, NULL, false);
            union scalar lowest = eval_reduce(&maker.arena, REDUCE_MIN, TY_F64, N, values + r * N, NULL, false);
            assert_true(out[r] == cpu_math_f64(maker.engines[isa], OP_exp, -total.f64, 0));
            assert_true(low[r] == lowest.f64);
        }
    }
}

/* Two reduced dimensions that don't merge: vectors go across rows of several lengths. */
static void test_across(void **state) {
    (void)state;
    fill(TY_F32, MOST, false);
    for (int isa = 0; isa < MAKER_ISAS; isa++)
        for (int64_t inner = 1; inner < 200; inner = inner * 3 + 4) {
            if (!maker.engines[isa]) continue;
            struct making m;
            int64_t outer = 40, pitch = inner + 3, extents[] = {2, outer, inner}, strides[] = {8, 4 * pitch, 4},
                    by_row[] = {0, 4, 0};
            float out[2];
            making_begin(&m, &maker, KERNEL_LANES, 1, 2, extents);
            struct ir_value *x = making_read(&m, TY_F32, data, strides), *w = making_read(&m, TY_F32, data, by_row);
            struct ir_value *j = body_leaf(&maker.arena, m.body, OP_index, TY_I64, 2);
            struct ir_value *jf = making_op(&m, m.body, OP_convert, TY_F32, j, NULL, NULL);
            m.kernel.uses_index = true;
            struct ir_value *term =
                making_op(&m, m.body, OP_add, TY_F32, making_op(&m, m.body, OP_mul, TY_F32, x, w, NULL), jf, NULL);
            making_store(&m, making_reduce(&m, REDUCE_SUM, term, NULL), out);
            making_run(&m, maker.engines[isa], 2);
            for (int r = 0; r < 2; r++) {
                for (int64_t i = 0; i < outer; i++)
                    for (int64_t k = 0; k < inner; k++)
                        column[i * inner + k].f32 = values[2 * r + i * pitch + k].f32 * values[i].f32 + (float)k;
                union scalar want = eval_reduce(&maker.arena, REDUCE_SUM, TY_F32, outer * inner, column, NULL, false);
                check(maker_isas[isa], REDUCE_SUM, TY_F32, outer * inner, (union scalar){.f32 = out[r]}, want, TY_F32);
            }
        }
}

static void columns_once(struct cpu_engine *engine, const char *isa, enum reduce_op op, enum dtype type, int64_t rows,
                         int64_t n, int pieces) {
    struct making m;
    int size = dtype_size(type);
    int64_t extents[] = {n, rows}, strides[] = {size, size * n}, bytes[] = {1, n};
    static char out[8 * 2000];
    making_begin(&m, &maker, KERNEL_COLUMNS, 1, 1, extents);
    m.single_row = true;
    struct ir_value *x = making_read(&m, type, data, strides);
    struct ir_value *counts = op == REDUCE_VAR ? making_read(&m, TY_BOOL, flags, bytes) : NULL;
    making_store(&m, making_reduce(&m, op, x, counts), out);
    making_run(&m, engine, pieces);
    enum dtype to = m.reductions[0].type;
    for (int64_t c = 0; c < n; c++) {
        static bool picked[MOST];
        for (int64_t r = 0; r < rows; r++) column[r] = values[r * n + c], picked[r] = flag_values[r * n + c];
        union scalar want = eval_reduce(&maker.arena, op, type, rows, column, picked, true);
        check(isa, op, type, rows, maker_get(to, out, c), want, to);
    }
}

static void test_columns(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        fill(types[t], MOST, t & 1);
        for (int op = 0; op < REDUCE_COUNT_; op++) {
            if (!has_meaning((enum reduce_op)op, types[t])) continue;
            for (int isa = 0; isa < MAKER_ISAS; isa++) {
                if (!maker.engines[isa] || (isa > 0 && t > 1)) continue;
                columns_once(maker.engines[isa], maker_isas[isa], (enum reduce_op)op, types[t], 450, 27, 3);
                columns_once(maker.engines[isa], maker_isas[isa], (enum reduce_op)op, types[t], 77, 161, 1);
            }
            columns_once(maker.engines[3], "scalar", (enum reduce_op)op, types[t], 64, 3, 1);
        }
        columns_once(maker.engines[3], "scalar", REDUCE_MAX, types[t] == TY_BOOL ? TY_I8 : types[t], 7, 1500, 2);
    }
    fill(TY_F64, MOST, false);
    columns_once(maker.engines[3], "empty", REDUCE_SUM, TY_F64, 0, 20, 1);
    columns_once(maker.engines[0] ? maker.engines[0] : maker.engines[3], "wide", REDUCE_SUM, TY_F64, 7, 1500, 2);
}

/* Rows that go by together, with values of their own for each: two reductions over two reduced dimensions of a term
 * with a factor and an index that only the row knows. */
static void test_columns_groups(void **state) {
    (void)state;
    enum { COLUMNS = 83, OUTER = 9, INNER = 13 };
    fill(TY_F32, MOST, false);
    for (int isa = 0; isa < MAKER_ISAS; isa++) {
        if (!maker.engines[isa]) continue;
        struct making m;
        int64_t extents[] = {COLUMNS, OUTER, INNER}, strides[] = {4, 4 * COLUMNS * (INNER + 1), 4 * COLUMNS},
                by_row[] = {0, 4 * INNER, 4};
        float sum[COLUMNS];
        int64_t best[COLUMNS];
        making_begin(&m, &maker, KERNEL_COLUMNS, 1, 2, extents);
        struct ir_value *x = making_read(&m, TY_F32, data, strides), *w = making_read(&m, TY_F32, data, by_row);
        struct ir_value *j = body_leaf(&maker.arena, m.body, OP_index, TY_I64, 2);
        struct ir_value *jf = making_op(&m, m.body, OP_convert, TY_F32, j, NULL, NULL);
        m.kernel.uses_index = true;
        struct ir_value *term =
            making_op(&m, m.body, OP_add, TY_F32, making_op(&m, m.body, OP_mul, TY_F32, x, w, NULL), jf, NULL);
        struct ir_value *total = making_reduce(&m, REDUCE_SUM, term, NULL);
        struct ir_value *largest = making_reduce(&m, REDUCE_ARGMAX, term, NULL);
        making_store(&m, total, sum);
        making_store(&m, largest, best);
        making_run(&m, maker.engines[isa], 1);
        for (int c = 0; c < COLUMNS; c++) {
            for (int r = 0; r < OUTER * INNER; r++) {
                float product = values[(r / INNER * (INNER + 1) + r % INNER) * COLUMNS + c].f32 * values[r].f32;
                column[r].f32 = product + (float)(r % INNER);
            }
            int64_t n = OUTER * INNER;
            union scalar want = eval_reduce(&maker.arena, REDUCE_SUM, TY_F32, n, column, NULL, true);
            check(maker_isas[isa], REDUCE_SUM, TY_F32, n, (union scalar){.f32 = sum[c]}, want, TY_F32);
            want = eval_reduce(&maker.arena, REDUCE_ARGMAX, TY_F32, n, column, NULL, true);
            check(maker_isas[isa], REDUCE_ARGMAX, TY_F32, n, (union scalar){.i = best[c]}, want, TY_I64);
        }
    }
}

static int setup(void **state) {
    (void)state;
    maker_open(&maker);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    maker_close(&maker);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes),          cmocka_unit_test(test_lanes_strided_and_empty),
        cmocka_unit_test(test_arg_edges),      cmocka_unit_test(test_rows),
        cmocka_unit_test(test_across),         cmocka_unit_test(test_columns),
        cmocka_unit_test(test_columns_groups),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
