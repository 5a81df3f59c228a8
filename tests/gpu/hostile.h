/* hostile.h: a program with two results, run from host memory, and whether they are right.
 */
#ifndef TESTS_GPU_HOSTILE_H
#define TESTS_GPU_HOSTILE_H

#include "gpu/fixture.h"

enum { N = 1000 };
static const char hostile_program[] = "param x: f64[n]\nparam y: f64[n]\nreturn x * 2 + y, sum(x * y)";

static inline void hostile_fill(double *x, double *y) {
    for (int i = 0; i < N; i++) x[i] = i, y[i] = 1000 - i;
}

static inline bool hostile_right(const double *map, double sum) {
    for (int i = 0; i < N; i++)
        if (map[i] != 1000 + i) return false;
    return sum == 166667000 - 500;
}

/* Runs hostile_program from host memory. */
static inline jit_status hostile_run(jit_function *function, const jit_call_options *options, bool *is_right,
                                     jit_error *error) {
    double x[N], y[N], map[N] = {0}, sum = 0;
    hostile_fill(x, y);
    jit_status status =
        jit_call_with(function, (const DLTensor *[]){jit_array(x, JIT_F64, N), jit_array(y, JIT_F64, N)}, 2,
                      (DLTensor *[]){jit_array(map, JIT_F64, N), jit_scalar_f64(&sum)}, 2, options, error);
    *is_right = status == JIT_OK && hostile_right(map, sum);
    return status;
}

static inline void hostile_still_works(jit_context *on) {
    jit_error error = {0};
    bool is_right;
    jit_function *function = fixture_compile(on, hostile_program);
    if (hostile_run(function, NULL, &is_right, &error)) fail_msg("%s", error.message);
    assert_true(is_right);
    jit_function_free(function);
}

#endif
