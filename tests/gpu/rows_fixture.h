/* rows_fixture.h: what the tests of programs share that run row by row: the contexts, the programs, inputs, and what
 * the same results are.
 */
#ifndef TESTS_GPU_ROWS_FIXTURE_H
#define TESTS_GPU_ROWS_FIXTURE_H

#include <math.h>

#include <weft/tools.h>

#include "gpu/fake_math.h"
#include "gpu/fixture.h"
#include "runtime/runtime.h"

static jit_context *cpu, *gpu;

static inline int rows_setup(void **state) {
    (void)state;
    cpu = fixture_context(NULL);
    gpu = fixture_context("cuda:0");
    math_from_cpu(&device, cpu->engine);
    return 0;
}

static inline int rows_teardown(void **state) {
    (void)state;
    math_from_cpu(&device, NULL);
    jit_context_free(cpu);
    jit_context_free(gpu);
    return 0;
}

/* --- programs -----------------------------------------------------------------------------------------------------
 *
 * Of a matrix x and, most of them, nothing else. */

#define F32 "param x: f32[n, m]\n"
#define F64 "param x: f64[n, m]\n"
#define SOFTMAX                                                                                                        \
    "e = exp(x - max(x, axis=1, keepdims=true))\n"                                                                     \
    "return e / sum(e, axis=1, keepdims=true)\n"
#define LOG_SOFTMAX                                                                                                    \
    "s = x - max(x, axis=1, keepdims=true)\n"                                                                          \
    "return s - log(sum(exp(s), axis=1, keepdims=true))\n"
#define Z_SCORE "return (x - mean(x, axis=1, keepdims=true)) / std(x, axis=1, keepdims=true)\n"
#define LAYER_NORM                                                                                                     \
    "c = x - mean(x, axis=1, keepdims=true)\n"                                                                         \
    "return c / sqrt(mean(c * c, axis=1, keepdims=true) + 1e-5) * g + b\n"
/* Three arrays of rows between eight kernels. */
#define LONG_CHAIN                                                                                                     \
    "e = exp(x - max(x, axis=1, keepdims=true))\n"                                                                     \
    "p = e / sum(e, axis=1, keepdims=true)\n"                                                                          \
    "c = p - mean(p * e, axis=1, keepdims=true)\n"                                                                     \
    "return c * e + p * sum(c * p, axis=1, keepdims=true)\n"

static inline double rows_number(int64_t i) {
    return (double)((i * 7919 + i / 13) % 2003) / 250 - 4;
}

static inline void rows_put(int type, void *data, int64_t i, double value) {
    switch (type) {
    case JIT_F32: ((float *)data)[i] = (float)value; break;
    case JIT_F64: ((double *)data)[i] = value; break;
    case JIT_I32: ((int32_t *)data)[i] = (int32_t)(value * 1000); break;
    case JIT_I64: ((int64_t *)data)[i] = (int64_t)(value * 1000); break;
    case JIT_U8: ((uint8_t *)data)[i] = (uint8_t)(value * 30 + 128); break;
    default: fail_msg("no values of type %d", type);
    }
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

/* A tensor in host memory, and the block that it lies in. */
struct input {
    DLTensor tensor;
    int64_t shape[4], stride[4];
    char *block;
    size_t size;
};

/* `stride` in elements; NULL: C order. `first`: number of the element at 0 ... 0 in the block. */
static inline void input_new(struct input *input, int type, int rank, const int64_t *shape, const int64_t *stride,
                             int64_t first) {
    int64_t low = 0, high = 0, step = 1;
    const size_t width = jit_inline_type(type).bits / 8u;
    for (int d = rank - 1; d >= 0; d--) {
        input->shape[d] = shape[d];
        input->stride[d] = stride ? stride[d] : step;
        step *= shape[d];
        int64_t reach = shape[d] ? (shape[d] - 1) * input->stride[d] : 0;
        reach < 0 ? (low += reach) : (high += reach);
    }
    assert_true(first + low >= 0);
    const int64_t n = first + high + 1;
    input->size = (size_t)n * width;
    input->block = malloc(input->size);
    for (int64_t i = 0; i < n; i++) rows_put(type, input->block, i, rows_number(i));
    input->tensor = (DLTensor){.data = input->block + (size_t)first * width,
                               .device = {kDLCPU, 0},
                               .ndim = rank,
                               .dtype = jit_inline_type(type),
                               .shape = input->shape,
                               .strides = input->stride};
}

static inline void input_free(struct input *input) {
    free(input->block);
}

static inline size_t rows_bytes(const DLTensor *t) {
    size_t size = t->dtype.bits / 8u;
    for (int d = 0; d < t->ndim; d++) size *= (size_t)t->shape[d];
    return size;
}

/* --- the same as on the CPU --------------------------------------------------------------------------------------- */

static inline double rows_double(const DLTensor *t, const char *data, size_t i) {
    return t->dtype.bits == 32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

/* A real GPU's exp is its own. */
static inline bool rows_close(const DLTensor *t, const char *a, const char *b) {
    const double most = t->dtype.bits == 32 ? 2e-5 : 1e-13;
    for (size_t i = 0; i < rows_bytes(t) / (t->dtype.bits / 8u); i++) {
        double x = rows_double(t, a, i), y = rows_double(t, b, i);
        if (!(isnan(x) && isnan(y)) && x != y && !(fabs(x - y) <= most * (1 + fabs(x)))) return false;
    }
    return true;
}

/* Bits, but for what a NaN carries. */
static inline bool rows_same(const DLTensor *t, const char *a, const char *b) {
    const size_t width = t->dtype.bits / 8u;
    for (size_t i = 0; i < rows_bytes(t) / width; i++)
        if (memcmp(a + i * width, b + i * width, width) != 0 &&
            (t->dtype.code != kDLFloat || !isnan(rows_double(t, a, i)) || !isnan(rows_double(t, b, i))))
            return false;
    return true;
}

static inline void rows_expect(const char *source, const char *how, const DLTensor *wanted, const char *data) {
    const bool inexact = !device.is_shim && (strstr(source, "exp(") || strstr(source, "log("));
    if (rows_same(wanted, wanted->data, data) || (inexact && rows_close(wanted, wanted->data, data))) return;
    DLTensor here = *wanted;
    here.data = (void *)data;
    char *expected = jit_format(wanted), *found = jit_format(&here);
    fail_msg("%s\n%s: expected\n%s\nfound\n%s", source, how, expected, found);
}

#endif
