/* Every operation on every type against eval_scalar, at every instruction set, on pairs of awkward values; as vectors,
 * tails and uniform values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "maker.h"
#include "support/operations.h"

static const enum dtype all_types[] = {TY_BOOL, TY_I8,  TY_I16, TY_I32, TY_I64, TY_U8,
                                       TY_U16,  TY_U32, TY_U64, TY_F32, TY_F64};
enum { N_TYPES = sizeof all_types / sizeof *all_types, MOST = 3072 };

static struct maker maker;

static union scalar grid[3][64];
static _Alignas(64) char input[3][8 * MOST], output[8 * MOST + 64];

static void expect(enum op op, enum dtype type, enum dtype from, enum dtype result, const enum dtype *types, int arity,
                   int64_t n, const char *isa, struct cpu_engine *engine, bool uniform) {
    struct eval_math math = maker_math(engine);
    for (int64_t i = 0; i < n; i++) {
        union scalar args[3] = {{0}};
        for (int a = 0; a < arity; a++) args[a] = maker_get(types[a], input[a], uniform ? 0 : i);
        union scalar want = eval_scalar(op, type, from, args, &math), got = maker_get(result, output, i);
        if (!maker_same(result, want, got))
            fail_msg("%s %s%s %s element %d: args %g %g (%lld %lld) want %.17g (%lld) got %.17g (%lld)", isa,
                     op_info[op].name, uniform ? " uniform" : "", dtype_name(type), (int)i,
                     types[0] == TY_F32 ? args[0].f32 : args[0].f64, types[0] == TY_F32 ? args[1].f32 : args[1].f64,
                     (long long)args[0].i, (long long)args[1].i, result == TY_F32 ? want.f32 : want.f64,
                     (long long)want.i, result == TY_F32 ? got.f32 : got.f64, (long long)got.i);
    }
}

/* SSE2 and scalar code are made by LLVM from the same IR: some types stand for all. */
static bool is_sample(enum dtype type) {
    return type == TY_F64 || type == TY_F32 || type == TY_I64 || type == TY_U8 || type == TY_I32;
}

static void run_one(enum op op, enum dtype type, enum dtype from, enum dtype result, const enum dtype *types, int arity,
                    int64_t n) {
    for (int isa = 0; isa < MAKER_ISAS; isa++) {
        if (!maker.engines[isa] || (isa >= 2 && !(is_sample(type) && is_sample(from)))) continue;
        for (int uniform = 0; uniform < 2; uniform++) {
            /* Uniform values are scalar code, the same everywhere but for calls. */
            if (uniform && isa > 0 && op_info[op].lower != LOWER_CALL) continue;
            struct making m;
            struct ir_value *args[3] = {NULL, NULL, NULL};
            int64_t length = uniform ? 3 : n;
            making_begin(&m, &maker, KERNEL_MAP, 1, 0, &length);
            for (int a = 0; a < arity; a++) {
                int64_t stride = uniform ? 0 : dtype_size(types[a]);
                args[a] = making_read(&m, types[a], input[a], &stride);
            }
            making_store(&m, making_op(&m, m.body, op, result, args[0], args[1], args[2]), output);
            memset(output, 0x5a, sizeof output);
            making_run(&m, maker.engines[isa], 1);
            assert_int_equal(output[length * dtype_size(result)], 0x5a);
            expect(op, type, from, result, types, arity, length, maker_isas[isa], maker.engines[isa], uniform);
        }
    }
}

static void test_operations(void **state) {
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        if ((info->lower != LOWER_INST && info->lower != LOWER_CALL) || op == OP_convert) continue;
        for (int t = 0; t < N_TYPES; t++) {
            enum dtype type = all_types[t], types[3] = {type, type, type};
            if (!operation_takes((enum op)op, type)) continue;
            if (op == OP_select) types[0] = TY_BOOL;
            if (op == OP_ldexp) types[1] = TY_I32;
            int n[3] = {0}, total = 0;
            for (int a = 0; a < info->arity; a++) n[a] = maker_grid(types[a], grid[a], 64);
            for (int i = 0; i < n[0] && total < MOST - 70; i++)
                for (int j = 0; j < (info->arity > 1 ? n[1] : 1) && total < MOST - 70; j++) {
                    maker_put(types[0], input[0], total, grid[0][i]);
                    if (info->arity > 1) maker_put(types[1], input[1], total, grid[1][j]);
                    if (info->arity > 2) maker_put(types[2], input[2], total, grid[2][(7 * i + 3 * j) % n[2]]);
                    total++;
                }
            run_one((enum op)op, type, type, operation_gives((enum op)op, type), types, info->arity, total);
        }
    }
}

static void test_conversions(void **state) {
    (void)state;
    for (int f = 0; f < N_TYPES; f++)
        for (int t = 0; t < N_TYPES; t++) {
            int n = maker_grid(all_types[f], grid[0], 64);
            for (int i = 0; i < n; i++) maker_put(all_types[f], input[0], i, grid[0][i]);
            run_one(OP_convert, all_types[t], all_types[f], all_types[t], &all_types[f], 1, n);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations), cmocka_unit_test(test_conversions)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
