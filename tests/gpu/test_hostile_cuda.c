/* Calls on a GPU used wrongly, unluckily or in bulk: device strings, tensors of the wrong memory, endless loops,
 * pending calls, threads, streams, fork. Every call must end in a clean jit_error or a right result. What needs a
 * driver that fails is in test_failing_cuda.c.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "gpu/fixture.h"
#include "gpu/shim/control.h"

static jit_context *context; /* on the device */

static int setup(void **state) {
    (void)state;
    context = fixture_context("cuda:0");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jit_context_free(context);
    return 0;
}

enum { N = 1000 };
static const char two_results[] = "param x: f64[n]\nparam y: f64[n]\nreturn x * 2 + y, sum(x * y)";

static void fill(double *x, double *y) {
    for (int i = 0; i < N; i++) x[i] = i, y[i] = 1000 - i;
}

static bool right(const double *map, double sum) {
    for (int i = 0; i < N; i++)
        if (map[i] != 1000 + i) return false;
    return sum == 166667000 - 500;
}

/* Runs two_results from host memory. */
static jit_status run_host(jit_function *function, const jit_call_options *options, bool *is_right, jit_error *error) {
    double x[N], y[N], map[N] = {0}, sum = 0;
    fill(x, y);
    jit_status status =
        jit_call_with(function, (const DLTensor *[]){jit_array(x, JIT_F64, N), jit_array(y, JIT_F64, N)}, 2,
                      (DLTensor *[]){jit_array(map, JIT_F64, N), jit_scalar_f64(&sum)}, 2, options, error);
    *is_right = status == JIT_OK && right(map, sum);
    return status;
}

static void check_still_works(jit_context *on) {
    jit_error error = {0};
    bool is_right;
    jit_function *function = fixture_compile(on, two_results);
    if (run_host(function, NULL, &is_right, &error)) fail_msg("%s", error.message);
    assert_true(is_right);
    jit_function_free(function);
}

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
    check_still_works(c);
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
    fill(x, y);
    jit_function *function = fixture_compile(context, two_results);
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
    assert_int_equal(run_host(function, NULL, &is_right, NULL), JIT_OK);
    assert_true(is_right);
    jit_function_free(function);
}

/* What is said of a tensor's memory is looked up: a host pointer is not taken for the device's, nor the reverse. */
static void test_mislabelled_memory(void **state) {
    (void)state;
    double x[N], y[N], map[N], sum = 0;
    fill(x, y);
    struct array on_device;
    array_new(&on_device, x, N);
    jit_function *function = fixture_compile(context, two_results);
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
    assert_int_equal(run_host(function, NULL, &is_right, NULL), JIT_OK);
    assert_true(is_right);
    jit_function_free(function);
}

/* Host and device tensors beside each other, whatever the context's own device: the call runs on the device. */
/* Memory that was the device's in the last call and is freed: addresses are not believed for long. */
static void test_freed_memory(void **state) {
    (void)state;
    double x[N], y[N], sum;
    fill(x, y);
    struct array a, b;
    array_new(&a, x, N), array_new(&b, y, N);
    jit_function *function = fixture_compile(context, "param x: f64[n]; param y: f64[n]; sum(x + y)");
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
    fill(x, y);
    for (int where = 0; where < 2; where++) {
        jit_context *c = fixture_context(where ? "cuda:0" : NULL);
        jit_function *function = fixture_compile(c, two_results);
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
            if (!right(map, sum)) fail_msg("context %d, tensors %d: wrong result", where, mask);
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
    fill(x, y);
    uint64_t address[2];
    DLTensor a = device_tensor(&device, jit_array(x, JIT_F64, N), x, sizeof x, &address[0]);
    DLTensor b = device_tensor(&second, jit_array(y, JIT_F64, N), y, sizeof y, &address[1]);
    DLTensor *out[] = {jit_array(map, JIT_F64, N), jit_scalar_f64(&sum)};
    jit_error error = {0};
    jit_function *function = fixture_compile(context, two_results);
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
    jit_context *cpu = fixture_context(NULL);
    jit_function *sub = fixture_compile(cpu, "param x: f64[n]\nparam y: f64[n]\nreturn x - y, sum(x)");
    if (jit_call(sub, in, 2, out, 2, &error)) fail_msg("%s", error.message);
    assert_true(map[10] == 980 && sum == 500500);
    const DLTensor *first[] = {&a, jit_array(y, JIT_F64, N)}; /* and the next call on the first one */
    if (jit_call(sub, first, 2, out, 2, &error)) fail_msg("%s", error.message);
    assert_true(map[10] == -980 && sum == 499500);
    jit_function_free(sub);
    jit_context_free(cpu);
    jit_function_free(function);
    device_free(&device, address[0]);
    device_free(&second, address[1]);
    device_close(&second);
}

/* The result is as if outputs and inputs did not overlap. */
static void test_overlap(void **state) {
    (void)state;
    jit_function *function = fixture_compile(context, "param x: f64[n]\nreturn x[::-1] + x");
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

/* --- results, streams, pending calls -------------------------------------------------------------------------------
 */

/* The calling thread's CUDA context is the host's business. */
static void test_current_context(void **state) {
    (void)state;
    for (int on = 0; on < 2; on++) {
        device_make_current(&device, on);
        void *before = device_current(&device);
        jit_context *c = fixture_context("cuda:0");
        check_still_works(c);
        jit_context_free(c);
        assert_ptr_equal(device_current(&device), before);
    }
    device_make_current(&device, false);
}

static void test_results_outlive_everything(void **state) {
    (void)state;
    jit_context *c = fixture_context("cuda:0");
    jit_function *function = fixture_compile(c, two_results);
    double x[N], y[N], map[N], sum;
    fill(x, y);
    struct array given[2];
    array_new(&given[0], x, N);
    array_new(&given[1], y, N);
    DLManagedTensor *made[2];
    jit_error error = {0};
    jit_status status =
        jit_call_alloc(function, (const DLTensor *[]){&given[0].tensor, &given[1].tensor}, 2, made, 2, NULL, &error);
    if (status) fail_msg("%s", error.message);
    jit_function_free(function);
    jit_context_free(c);
    assert_int_equal(made[0]->dl_tensor.device.device_type, kDLCUDA);
    assert_int_equal(made[0]->dl_tensor.device.device_id, 0);
    DLTensor host[2];
    void *copies[2];
    for (int i = 0; i < 2; i++) {
        host[i] = made[i]->dl_tensor;
        copies[i] = host[i].device.device_type == kDLCUDA ? device_fetch(&device, &made[i]->dl_tensor, &host[i]) : NULL;
    }
    memcpy(map, host[0].data, sizeof map);
    memcpy(&sum, host[1].data, sizeof sum);
    assert_true(right(map, sum));
    for (int i = 0; i < 2; i++) {
        made[i]->deleter(made[i]);
        free(copies[i]);
        array_free(&given[i]);
    }
}

static void test_streams(void **state) {
    (void)state;
    void *stream = device_stream_new(&device);
    jit_error error = {0};
    jit_function *function = fixture_compile(context, two_results);
    jit_call_options options = {.struct_size = sizeof options, .stream = stream};
    bool is_right;
    for (int i = 0; i < 3; i++) {
        if (run_host(function, &options, &is_right, &error)) fail_msg("%s", error.message);
        assert_true(is_right);
    }
    device_stream_wait(&device, stream);
    jit_function_free(function);
    /* A stream is of no use to a call on the CPU. */
    jit_context *cpu = fixture_context(NULL);
    function = fixture_compile(cpu, two_results);
    fixture_expect(JIT_ARGUMENT, run_host(function, &options, &is_right, &error), &error, "a stream on the CPU");
    jit_function_free(function);
    jit_context_free(cpu);
    device_stream_free(&device, stream);
}

static void test_pending(void **state) {
    (void)state;
    enum { CALLS = 12 };
    jit_error error = {0};
    jit_function *function = fixture_compile(context, two_results);
    double x[N], y[N], map[CALLS][N] = {{0}}, sum[CALLS] = {0};
    fill(x, y);
    jit_pending *pending[CALLS];
    assert_int_equal(jit_wait(NULL, &error), JIT_OK);
    for (int i = 0; i < CALLS; i++) {
        jit_call_options options = {.struct_size = sizeof options, .pending = &pending[i]};
        pending[i] = NULL;
        if (jit_call_with(function, (const DLTensor *[]){jit_array(x, JIT_F64, N), jit_array(y, JIT_F64, N)}, 2,
                          (DLTensor *[]){jit_array(map[i], JIT_F64, N), jit_scalar_f64(&sum[i])}, 2, &options, &error))
            fail_msg("%s", error.message);
        assert_non_null(pending[i]);
    }
    for (double end = fixture_now() + 10 * SLOWNESS; !jit_is_done(pending[3]) && fixture_now() < end;) usleep(1000);
    assert_true(jit_is_done(pending[3]));
    for (int i = CALLS - 1; i >= 0; i--) { /* in any order */
        if (jit_wait(pending[i], &error)) fail_msg("%s", error.message);
        assert_true(right(map[i], sum[i]));
    }
    jit_function_free(function);

    /* What fails inside a kernel is told by jit_wait, if it was not by the call; no pending after an error. */
    function = fixture_compile(context, "param x: f64[n]\nufunc pick(v, t: [n]) = t[i64(v)]\nreturn pick(x + 1, x)");
    jit_pending *later = (jit_pending *)&later;
    jit_call_options options = {.struct_size = sizeof options, .pending = &later};
    jit_status status = jit_call_with(function, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1,
                                      (DLTensor *[]){jit_array(map[0], JIT_F64, N)}, 1, &options, &error);
    if (status == JIT_OK)
        status = jit_wait(later, &error);
    else
        assert_null(later);
    fixture_expect(JIT_INDEX, status, &error, "a subscript");
    assert_non_null(strstr(error.message, "1000"));
    /* An error before anything runs. */
    later = (jit_pending *)&later;
    assert_int_not_equal(jit_call_with(function, NULL, 0, NULL, 0, &options, &error), JIT_OK);
    assert_null(later);
    jit_function_free(function);

    /* On the CPU the call is done when it returns; there is something to wait for all the same, or nothing. */
    jit_context *cpu = fixture_context(NULL);
    function = fixture_compile(cpu, two_results);
    bool is_right;
    later = (jit_pending *)&later;
    if (run_host(function, &options, &is_right, &error)) fail_msg("%s", error.message);
    assert_true(is_right);
    if (later) assert_true(jit_is_done(later));
    assert_int_equal(jit_wait(later, &error), JIT_OK);
    jit_function_free(function);
    jit_context_free(cpu);
}

static void *cancel_soon(void *flag) {
    usleep(100000);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* A loop without end ends when it is told to; the context goes on. */
static void test_cancel(void **state) {
    (void)state;
    static const char *const endless[] = {
        "param x: f64[n]\nufunc spin(v) {\n    k = v\n    while k > -1.0 { k = k * 0.5 + 1.0 }\n    return "
        "k\n}\nreturn spin(x)",
        "param x: f64[n]\nufunc spin(v) {\n    k = v\n    while k > -1.0 { k = k * 0.5 + 1.0 }\n    return "
        "k\n}\nreturn sum(spin(x))",
        "param x: f64[n]\ns = x\nwhile s[0] > -1 { s = s * 0.5 }\ns",
    };
    double x[N], y[N];
    fill(x, y);
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++)
        for (int later = 0; later < 2; later++) {
            volatile int flag = 0;
            jit_error error = {0};
            jit_function *function = fixture_compile(context, endless[i]);
            DLManagedTensor *made[1] = {0};
            jit_pending *pending = NULL;
            jit_call_options options = {
                .struct_size = sizeof options, .cancel = &flag, .pending = later ? &pending : NULL};
            pthread_t thread;
            double begun = fixture_now();
            assert_int_equal(pthread_create(&thread, NULL, cancel_soon, (void *)&flag), 0);
            jit_status status =
                jit_call_alloc(function, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, made, 1, &options, &error);
            if (status == JIT_OK) status = jit_wait(pending, &error);
            pthread_join(thread, NULL);
            fixture_expect(JIT_CANCELLED, status, &error, endless[i]);
            assert_true(fixture_now() - begun < 10 * SLOWNESS);
            if (made[0]) made[0]->deleter(made[0]);
            jit_function_free(function);
            check_still_works(context);
        }
}

/* --- bulk ----------------------------------------------------------------------------------------------------------
 */

struct worker {
    pthread_t thread;
    int number;
    jit_context *context; /* shared; NULL: its own */
    jit_function *function;
    char wrong[300];
};

static void *work(void *argument) {
    struct worker *w = argument;
    jit_context *c = w->context ? w->context
                                : jit_context_new(&(jit_options){
                                      .struct_size = sizeof(jit_options), .device = "cuda:0", .cache_folder = ""});
    jit_error error = {0};
    double x[N], y[N];
    fill(x, y);
    struct array given[3];
    for (int i = 0; i < 3; i++) array_new(&given[i], i == 0 ? x : y, N);
    void *stream = w->number % 2 ? device_stream_new(&device) : NULL;
    for (int call = 0; call < 15 && !w->wrong[0]; call++) {
        jit_function *function = w->function && call % 3 ? w->function : c ? jit_compile(c, two_results, &error) : NULL;
        double map[N] = {0}, sum = 0;
        jit_pending *pending = NULL;
        jit_call_options options = {
            .struct_size = sizeof options, .stream = stream, .pending = call % 2 ? &pending : NULL};
        bool on_device = (call + w->number) % 2;
        const DLTensor *in[] = {on_device ? &given[0].tensor : jit_array(x, JIT_F64, N),
                                on_device ? &given[1].tensor : jit_array(y, JIT_F64, N)};
        DLTensor *out[] = {on_device ? &given[2].tensor : jit_array(map, JIT_F64, N), jit_scalar_f64(&sum)};
        jit_status status = function ? jit_call_with(function, in, 2, out, 2, &options, &error) : error.code;
        if (status == JIT_OK) status = jit_wait(pending, &error);
        if (status == JIT_OK && on_device) array_get(&given[2], map);
        if (status || !right(map, sum))
            snprintf(w->wrong, sizeof w->wrong, "thread %d, call %d: %.200s", w->number, call,
                     status ? error.message : "wrong result");
        if (function != w->function) jit_function_free(function);
    }
    if (stream) device_stream_free(&device, stream);
    for (int i = 0; i < 3; i++) array_free(&given[i]);
    if (!w->context) jit_context_free(c);
    return NULL;
}

static void test_many_threads(void **state) {
    (void)state;
    enum { THREADS = 8 };
    struct worker workers[THREADS] = {{0}};
    jit_function *function = fixture_compile(context, two_results);
    for (int i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].context = i % 4 == 3 ? NULL : context;
        workers[i].function = i % 4 == 3 ? NULL : function;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        if (workers[i].wrong[0]) fail_msg("%s", workers[i].wrong);
    jit_function_free(function);
}

/* CUDA does not survive a fork: the child gets errors on the GPU and right results on the CPU; the parent goes on. */
static void test_fork(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer does not follow a fork of several threads */
#endif
    jit_context *cpu = fixture_context(NULL);
    jit_function *here = fixture_compile(context, two_results), *there = fixture_compile(cpu, two_results);
    bool is_right;
    assert_int_equal(run_host(here, NULL, &is_right, NULL), JIT_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20 * SLOWNESS);
        jit_error error = {0};
        if (run_host(there, NULL, &is_right, &error) || !is_right) _exit(1);
        jit_status status = run_host(here, NULL, &is_right, &error);
        if (status == JIT_OK && !is_right) _exit(2);
        if (status && (status != JIT_DEVICE || !error.message[0])) _exit(3);
        jit_options options = {.struct_size = sizeof options, .device = "cuda:0"};
        jit_context *again = jit_context_create(&options, &error);
        if (!again && error.code != JIT_DEVICE) _exit(4);
        jit_function_free(here);
        if (run_host(there, NULL, &is_right, &error) || !is_right) _exit(5);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status) fail_msg("the child ended with status %#x", (unsigned)status);
    assert_int_equal(run_host(here, NULL, &is_right, NULL), JIT_OK);
    assert_true(is_right);
    jit_function_free(here);
    jit_function_free(there);
    jit_context_free(cpu);
}

/* Compiling, calling and freeing leaves nothing on the device. */
static void test_no_growth(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    long before = 0;
    for (int turn = 0; turn < 12; turn++) {
        jit_context *c = fixture_context("cuda:0");
        check_still_works(c);
        jit_context_free(c);
        if (turn == 1) before = FAKE(shim_objects)();
    }
    assert_int_equal(FAKE(shim_objects)(), before);
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
        cmocka_unit_test(test_current_context),
        cmocka_unit_test(test_results_outlive_everything),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_no_growth),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, setup, teardown);
    device_close(&device);
    return status;
}
