/* Calls on a GPU used wrongly: device strings, tensors of the wrong memory, of another device, freed, overlapping.
 * Every call must end in a clean jit_error or a right result. What needs a driver that fails is in test_failing_cuda.c.
 *
 *     test_hostile_cuda [--fake [TEST]]
 */
#define _GNU_SOURCE
#include "gpu/hostile.h"
#include "gpu/shim/control.h"

/* --- device strings ----------------------------------------------------------------------------------------------- */

static void test_device_strings(void **state) {
    (void)state;
    static const struct {
        const char *text;
        jit_status status;
    } wrong[] = {
        {"", JIT_ARGUMENT},         {"gpu", JIT_ARGUMENT},      {"cuda:", JIT_ARGUMENT},    {"cuda:x", JIT_ARGUMENT},
        {"cuda:-1", JIT_ARGUMENT},  {"cuda:0 ", JIT_ARGUMENT},  {" cuda", JIT_ARGUMENT},    {"CUDA", JIT_ARGUMENT},
        {"cuda0", JIT_ARGUMENT},    {"cuda:0:1", JIT_ARGUMENT}, {"cuda:1e0", JIT_ARGUMENT}, {"cuda:+1", JIT_ARGUMENT},
        {"cuda:0x0", JIT_ARGUMENT}, {"cuda:900", JIT_DEVICE},   {"cpu:0", JIT_ARGUMENT},    {"cuda\n", JIT_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        jit_error error = {0};
        jit_options options = {.struct_size = sizeof options, .device = wrong[i].text};
        if (jit_context_create(&options, &error)) fail_msg("\"%s\" was taken", wrong[i].text);
        fixture_expect(wrong[i].status, error.code, &error, wrong[i].text);
    }
    /* Numbers beyond any int. */
    static const char *const huge[] = {"cuda:2147483648", "cuda:4294967296", "cuda:18446744073709551616",
                                       "cuda:99999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        jit_error error = {0};
        jit_options options = {.struct_size = sizeof options, .device = huge[i]};
        assert_null(jit_context_create(&options, &error));
        fixture_error(error.code, &error, huge[i]);
        assert_true(error.code == JIT_ARGUMENT || error.code == JIT_DEVICE);
    }
    char *endless = malloc(100001);
    assert_non_null(endless);
    memset(endless, '0', 100000);
    memcpy(endless, "cuda:", 5);
    endless[99999] = '7', endless[100000] = 0;
    jit_error error = {0};
    jit_context *c = jit_context_create(&(jit_options){.struct_size = sizeof(jit_options), .device = endless}, &error);
    if (!c) fixture_error(error.code, &error, "a long number");
    jit_context_free(c);
    free(endless);
    c = fixture_context("cuda"); /* is cuda:0 */
    hostile_still_works(c);
    jit_context_free(c);
}

/* --- tensors of the wrong memory ---------------------------------------------------------------------------------- */

static void test_wrong_devices(void **state) {
    (void)state;
    static const DLDevice wrong[] = {
        {kDLCUDA, 900},        {kDLCUDA, -1},
        {kDLCUDA, INT32_MAX},  {kDLCUDA, INT32_MIN},
        {kDLOpenCL, 0},        {kDLVulkan, 0},
        {kDLMetal, 0},         {kDLROCM, 0},
        {(DLDeviceType)0, 0},  {(DLDeviceType)-1, 0},
        {(DLDeviceType)16, 0}, {kDLExtDev, 0},
        {(DLDeviceType)77, 0}, {(DLDeviceType)INT32_MAX, 0},
    };
    double x[N], y[N], map[N], sum;
    hostile_fill(x, y);
    jit_function *function = fixture_compile(gpu, hostile_program);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int which = 0; which < 3; which++) {
            DLTensor t[4] = {*jit_array(x, JIT_F64, N), *jit_array(y, JIT_F64, N), *jit_array(map, JIT_F64, N),
                             *jit_scalar_f64(&sum)};
            jit_error error = {0};
            t[which].device = wrong[i];
            jit_status status =
                jit_call(function, (const DLTensor *[]){&t[0], &t[1]}, 2, (DLTensor *[]){&t[2], &t[3]}, 2, &error);
            if (status == JIT_OK) fail_msg("device {%d, %d} was taken", (int)wrong[i].device_type, wrong[i].device_id);
            fixture_error(status, &error, "device");
            assert_true(status == JIT_ARGUMENT || status == JIT_DEVICE || status == JIT_UNSUPPORTED);
        }
    bool is_right;
    assert_int_equal(hostile_run(function, NULL, &is_right, NULL), JIT_OK);
    assert_true(is_right);
    jit_function_free(function);
}

/* What is said of a tensor's memory is looked up: a host pointer is not taken for the device's, nor the reverse. */
static void test_mislabelled_memory(void **state) {
    (void)state;
    double x[N], y[N], map[N], sum = 0;
    hostile_fill(x, y);
    struct array on_device;
    array_new(&on_device, x, N);
    jit_function *function = fixture_compile(gpu, hostile_program);
    for (int output = 0; output < 2; output++) {
        DLTensor t[4] = {*jit_array(x, JIT_F64, N), *jit_array(y, JIT_F64, N), *jit_array(map, JIT_F64, N),
                         *jit_scalar_f64(&sum)};
        jit_error error = {0};
        t[2 * output].device = (DLDevice){kDLCUDA, 0}; /* but it is on the stack */
        jit_status status =
            jit_call(function, (const DLTensor *[]){&t[0], &t[1]}, 2, (DLTensor *[]){&t[2], &t[3]}, 2, &error);
        fixture_expect(JIT_ARGUMENT, status, &error, "host memory as the device's");
    }
    for (int output = 0; output < 2; output++) {
        DLTensor t[4] = {*jit_array(x, JIT_F64, N), *jit_array(y, JIT_F64, N), *jit_array(map, JIT_F64, N),
                         *jit_scalar_f64(&sum)};
        jit_error error = {0};
        t[2 * output] = on_device.tensor;
        t[2 * output].device = (DLDevice){kDLCPU, 0};
        jit_status status =
            jit_call(function, (const DLTensor *[]){&t[0], &t[1]}, 2, (DLTensor *[]){&t[2], &t[3]}, 2, &error);
        fixture_expect(JIT_ARGUMENT, status, &error, "device memory as the host's");
    }
    /* No memory at all. */
    for (int which = 0; which < 3; which++) {
        DLTensor t[4] = {*jit_array(x, JIT_F64, N), *jit_array(y, JIT_F64, N), *jit_array(map, JIT_F64, N),
                         *jit_scalar_f64(&sum)};
        jit_error error = {0};
        t[which].device = (DLDevice){kDLCUDA, 0};
        t[which].data = NULL;
        jit_status status =
            jit_call(function, (const DLTensor *[]){&t[0], &t[1]}, 2, (DLTensor *[]){&t[2], &t[3]}, 2, &error);
        fixture_expect(JIT_ARGUMENT, status, &error, "NULL");
    }
    /* An address in the middle of an element. */
    DLTensor odd[2] = {on_device.tensor, on_device.tensor};
    odd[0].data = (char *)odd[0].data + 3;
    odd[1].byte_offset = 5;
    for (int i = 0; i < 2; i++) {
        int64_t shape[1] = {N - 1};
        odd[i].shape = shape;
        jit_error error = {0};
        jit_status status = jit_call(function, (const DLTensor *[]){&odd[i], jit_array(y, JIT_F64, N - 1)}, 2,
                                     (DLTensor *[]){jit_array(map, JIT_F64, N - 1), jit_scalar_f64(&sum)}, 2, &error);
        if (status) fixture_expect(JIT_ARGUMENT, status, &error, "not aligned");
    }
    double now[N];
    array_get(&on_device, now);
    assert_memory_equal(now, x, sizeof x);
    array_free(&on_device);
    bool is_right;
    assert_int_equal(hostile_run(function, NULL, &is_right, NULL), JIT_OK);
    assert_true(is_right);
    jit_function_free(function);
}

/* Host and device tensors beside each other, whatever the context's own device: the call runs on the device. */
/* Memory that was the device's in the last call and is freed: addresses are not believed for long. */
static void test_freed_memory(void **state) {
    (void)state;
    double x[N], y[N], sum;
    hostile_fill(x, y);
    struct array a, b;
    array_new(&a, x, N), array_new(&b, y, N);
    jit_function *function = fixture_compile(gpu, "param x: f64[n]; param y: f64[n]; sum(x + y)");
    const DLTensor *in[] = {&a.tensor, &b.tensor};
    DLTensor *out[] = {jit_scalar_f64(&sum)};
    jit_error error = {0};
    if (jit_call(function, in, 2, out, 1, &error)) fail_msg("%s", error.message);
    array_free(&b);
    usleep(200000);
    fixture_expect(JIT_ARGUMENT, jit_call(function, in, 2, out, 1, &error), &error, "freed memory");
    if (!strstr(error.message, "knows no device memory")) fail_msg("%s", error.message);
    array_free(&a);
    jit_function_free(function);
}

static void test_mixed_memory(void **state) {
    (void)state;
    double x[N], y[N], map[N], sum;
    hostile_fill(x, y);
    for (int where = 0; where < 2; where++) {
        jit_context *c = fixture_context(where ? "cuda:0" : NULL);
        jit_function *function = fixture_compile(c, hostile_program);
        for (int mask = 0; mask < 8; mask++) {
            struct array given[3];
            double nothing[N] = {0};
            DLTensor host[3] = {*jit_array(x, JIT_F64, N), *jit_array(y, JIT_F64, N), *jit_array(map, JIT_F64, N)},
                     *t[3];
            for (int i = 0; i < 3; i++) {
                array_new(&given[i], i == 0 ? x : i == 1 ? y : nothing, N);
                t[i] = mask >> i & 1 ? &given[i].tensor : &host[i];
            }
            memset(map, 0, sizeof map);
            sum = 0;
            jit_error error = {0};
            jit_status status = jit_call(function, (const DLTensor *[]){t[0], t[1]}, 2,
                                         (DLTensor *[]){t[2], jit_scalar_f64(&sum)}, 2, &error);
            if (status) fail_msg("%d, %d: %s", where, mask, error.message);
            if (mask & 4) array_get(&given[2], map);
            if (!hostile_right(map, sum)) fail_msg("context %d, tensors %d: wrong result", where, mask);
            for (int i = 0; i < 3; i++) array_free(&given[i]);
        }
        jit_function_free(function);
        jit_context_free(c);
    }
}

static void test_two_devices(void **state) {
    (void)state;
    struct device second;
    if (device_count(&device) < 2 || device_open(&second, 1)) skip();
    double x[N], y[N], map[N], sum = 0;
    hostile_fill(x, y);
    uint64_t address[2];
    DLTensor a = device_tensor(&device, jit_array(x, JIT_F64, N), x, sizeof x, &address[0]);
    DLTensor b = device_tensor(&second, jit_array(y, JIT_F64, N), y, sizeof y, &address[1]);
    DLTensor *out[] = {jit_array(map, JIT_F64, N), jit_scalar_f64(&sum)};
    jit_error error = {0};
    jit_function *function = fixture_compile(gpu, hostile_program);
    jit_status status = jit_call(function, (const DLTensor *[]){&a, &b}, 2, out, 2, &error);
    fixture_expect(JIT_ARGUMENT, status, &error, "tensors on two devices");
    assert_non_null(strstr(error.message, "cuda:0"));
    assert_non_null(strstr(error.message, "cuda:1"));
    DLTensor wrong = b;
    wrong.device.device_id = 0; /* its memory is cuda:1's */
    status = jit_call(function, (const DLTensor *[]){&a, &wrong}, 2, out, 2, &error);
    fixture_expect(JIT_ARGUMENT, status, &error, "another device's memory");
    /* All on the other one: a context of the CPU runs it there, one of a GPU refuses. */
    const DLTensor *in[] = {&b, jit_array(x, JIT_F64, N)};
    fixture_expect(JIT_ARGUMENT, jit_call(function, in, 2, out, 2, &error), &error,
                   "another device than the context's");
    jit_function *sub = fixture_compile(cpu, "param x: f64[n]\nparam y: f64[n]\nreturn x - y, sum(x)");
    if (jit_call(sub, in, 2, out, 2, &error)) fail_msg("%s", error.message);
    assert_true(map[10] == 980 && sum == 500500);
    const DLTensor *first[] = {&a, jit_array(y, JIT_F64, N)}; /* and the next call on the first one */
    if (jit_call(sub, first, 2, out, 2, &error)) fail_msg("%s", error.message);
    assert_true(map[10] == -980 && sum == 499500);
    jit_function_free(sub);
    jit_function_free(function);
    device_free(&device, address[0]);
    device_free(&second, address[1]);
    device_close(&second);
}

/* The result is as if outputs and inputs did not overlap. */
static void test_overlap(void **state) {
    (void)state;
    jit_function *function = fixture_compile(gpu, "param x: f64[n]\nreturn x[::-1] + x");
    for (int shift = -3; shift <= 3; shift++) {
        double x[N + 8];
        for (int i = 0; i < N + 8; i++) x[i] = i * i;
        struct array all;
        array_new(&all, x, N + 8);
        int64_t shape[1] = {N};
        DLTensor in = all.tensor, out = all.tensor;
        in.shape = out.shape = shape;
        in.byte_offset = 4 * sizeof *x;
        out.byte_offset = (size_t)(4 + shift) * sizeof *x;
        jit_error error = {0};
        if (jit_call(function, (const DLTensor *[]){&in}, 1, (DLTensor *[]){&out}, 1, &error))
            fail_msg("%s", error.message);
        double got[N + 8];
        array_get(&all, got);
        for (int i = 0; i < N; i++)
            if (got[4 + shift + i] != x[4 + N - 1 - i] + x[4 + i]) fail_msg("shift %d: [%d]", shift, i);
        for (int i = 0; i < N + 8; i++)
            if ((i < 4 + shift || i >= 4 + shift + N) && got[i] != x[i])
                fail_msg("shift %d: [%d] was written", shift, i);
        array_free(&all);
    }
    jit_function_free(function);
}
int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_strings),
        cmocka_unit_test(test_wrong_devices),
        cmocka_unit_test(test_mislabelled_memory),
        cmocka_unit_test(test_freed_memory),
        cmocka_unit_test(test_mixed_memory),
        cmocka_unit_test(test_two_devices),
        cmocka_unit_test(test_overlap),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
    device_close(&device);
    return status;
}
