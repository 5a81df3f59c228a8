/* test_memory_cuda.c: calls on a GPU whose tensors share memory, are pinned, managed, or empty; streams that are none.
 */
#include <dlfcn.h>

#include <weft/tools.h>

#include "gpu/fixture.h"

enum { LARGE = 100000 };

static double *pin(int64_t n) {
    int (*allocate)(void **, size_t, unsigned) = dlsym(device.library, "cuMemHostAlloc");
    void *memory = NULL;
    assert_non_null(allocate);
    device_make_current(&device, true);
    assert_int_equal(allocate(&memory, (size_t)n * sizeof(double), 0), 0);
    device_make_current(&device, false);
    return memory;
}

static void unpin(double *memory) {
    int (*release)(void *) = dlsym(device.library, "cuMemFreeHost");
    device_make_current(&device, true);
    assert_int_equal(release(memory), 0);
    device_make_current(&device, false);
}

/* A pinned input is copied to the GPU while the host goes on; what the host itself puts into an output that is the
 * input's memory has to wait. */
static void test_output_in_a_pinned_input(void **state) {
    (void)state;
    jit_error error = {0};
    double *x = pin(LARGE), *twice = malloc(LARGE * sizeof *twice);
    assert_non_null(twice);
    for (int i = 0; i < LARGE; i++) x[i] = i;
    jit_function *function = fixture_compile(gpu, "param x: f64[n]\nreturn x * 2, [-1.0, -2.0, -3.0]");
    const DLTensor *in[] = {jit_array(x, JIT_F64, LARGE)};
    DLTensor *out[] = {jit_array(twice, JIT_F64, LARGE), jit_array(x + LARGE - 10, JIT_F64, 3)};
    if (jit_call(function, in, 1, out, 2, &error)) fail_msg("%s", error.message);
    for (int i = 0; i < LARGE; i++)
        if (twice[i] != 2.0 * i) fail_msg("element %d is %g", i, twice[i]);
    for (int i = 0; i < 3; i++) assert_true(x[LARGE - 10 + i] == -1.0 - i);
    jit_function_free(function);
    free(twice);
    unpin(x);
}

static void test_not_managed(void **state) {
    (void)state;
    jit_error error = {0};
    double host[4] = {1, 2, 3, 4}, result[4];
    jit_function *function = fixture_compile(gpu, "param x: f64[n]\nx * 2");
    DLTensor x = *jit_array(host, JIT_F64, 4);
    x.device = (DLDevice){kDLCUDAManaged, 0};
    const DLTensor *in[] = {&x};
    DLTensor *out[] = {jit_array(result, JIT_F64, 4)};
    assert_int_equal(jit_call(function, in, 1, out, 1, &error), JIT_ARGUMENT);
    assert_non_null(strstr(error.message, "managed memory, but the driver knows none"));
    x.device = (DLDevice){kDLCPU, 0};
    if (jit_call(function, in, 1, out, 1, &error)) fail_msg("%s", error.message);
    assert_true(result[3] == 8);
    jit_function_free(function);
}

/* No element, however the strides say that the first one is all there is. */
static void test_empty(void **state) {
    (void)state;
    static const struct {
        const char *source;
        double want;
    } cases[] = {
        {"param x: f64[n]\nsum(x)", 0}, {"param x: f64[n]\nsum(x * 2 + 1)", 0}, {"param x: f64[n]\nprod(x)", 1}};
    int64_t shape[] = {0}, strides[] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int on_device = 0; on_device < 2; on_device++) {
            jit_error error = {0};
            double result = -7;
            jit_function *function = fixture_compile(gpu, cases[i].source);
            DLTensor x = fixture_view(NULL, JIT_F64, 1, shape, strides);
            if (on_device) x.device = (DLDevice){kDLCUDA, device.ordinal};
            const DLTensor *in[] = {&x};
            DLTensor *out[] = {jit_scalar_f64(&result)};
            if (jit_call(function, in, 1, out, 1, &error)) fail_msg("%s: %s", cases[i].source, error.message);
            assert_true(result == cases[i].want);
            jit_function_free(function);
        }
}

/* One result in two outputs on the GPU: the copy is in the profile. */
static void test_copies_are_counted(void **state) {
    (void)state;
    jit_error error = {0};
    struct array x, y, z;
    array_new(&x, NULL, 1000), array_new(&y, NULL, 1000), array_new(&z, NULL, 1000);
    jit_function *function = fixture_compile(gpu, "param x: f64[n]\ny = x * 2\nreturn y, y");
    const DLTensor *in[] = {&x.tensor};
    DLTensor *out[] = {&y.tensor, &z.tensor};
    jit_profile(function, 1);
    if (jit_call(function, in, 1, out, 2, &error)) fail_msg("%s", error.message);
    double copied = 0;
    jit_profile_row row;
    for (int i = 0; jit_profile_get(function, i, &row); i++)
        if (!strcmp(row.kernel, "(on the GPU)")) copied += row.bytes;
    assert_true(copied >= 8000);
    jit_function_free(function);
    array_free(&x), array_free(&y), array_free(&z);
}

static void test_wrong_stream(void **state) {
    (void)state;
    jit_error error = {0};
    double x[2] = {1, 2}, y[2];
    jit_function *function = fixture_compile(gpu, "param x: f64[n]\nx + 1");
    const DLTensor *in[] = {jit_array(x, JIT_F64, 2)};
    DLTensor *out[] = {jit_array(y, JIT_F64, 2)};
    jit_call_options options = {.struct_size = sizeof options, .stream = (void *)2};
    assert_int_equal(jit_call_with(function, in, 1, out, 1, &options, &error), JIT_ARGUMENT);
    assert_non_null(strstr(error.message, "per-thread default stream"));
    if (jit_call(function, in, 1, out, 1, &error)) fail_msg("%s", error.message);
    jit_function_free(function);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_in_a_pinned_input),
        cmocka_unit_test(test_not_managed),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_copies_are_counted),
        cmocka_unit_test(test_wrong_stream),
    };
    status = cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
    device_close(&device);
    return status;
}
