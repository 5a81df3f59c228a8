/* Calls on a GPU used unluckily or in bulk: contexts of others, results that outlive everything, streams, pending
 * calls, endless loops, threads, fork. Every call must end in a clean jit_error or a right result.
 *
 *     test_hostile_calls_cuda [--fake [TEST]]
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "gpu/hostile.h"
#include "gpu/shim/control.h"

/* --- results, streams, pending calls -------------------------------------------------------------------------------
 */

/* The calling thread's CUDA context is the host's business. */
static void test_current_context(void **state) {
    (void)state;
    for (int on = 0; on < 2; on++) {
        device_make_current(&device, on);
        void *before = device_current(&device);
        jit_context *c = fixture_context("cuda:0");
        hostile_still_works(c);
        jit_context_free(c);
        assert_ptr_equal(device_current(&device), before);
    }
    device_make_current(&device, false);
}

static void test_results_outlive_everything(void **state) {
    (void)state;
    jit_context *c = fixture_context("cuda:0");
    jit_function *function = fixture_compile(c, hostile_program);
    double x[N], y[N], map[N], sum;
    hostile_fill(x, y);
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
    assert_true(hostile_right(map, sum));
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
    jit_function *function = fixture_compile(gpu, hostile_program);
    jit_call_options options = {.struct_size = sizeof options, .stream = stream};
    bool is_right;
    for (int i = 0; i < 3; i++) {
        if (hostile_run(function, &options, &is_right, &error)) fail_msg("%s", error.message);
        assert_true(is_right);
    }
    device_stream_wait(&device, stream);
    jit_function_free(function);
    /* A stream is of no use to a call on the CPU. */
    function = fixture_compile(cpu, hostile_program);
    fixture_expect(JIT_ARGUMENT, hostile_run(function, &options, &is_right, &error), &error, "a stream on the CPU");
    jit_function_free(function);
    device_stream_free(&device, stream);
}

static void test_pending(void **state) {
    (void)state;
    enum { CALLS = 12 };
    jit_error error = {0};
    jit_function *function = fixture_compile(gpu, hostile_program);
    double x[N], y[N], map[CALLS][N] = {{0}}, sum[CALLS] = {0};
    hostile_fill(x, y);
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
        assert_true(hostile_right(map[i], sum[i]));
    }
    jit_function_free(function);

    /* What fails inside a kernel is told by jit_wait, if it was not by the call; no pending after an error. */
    function = fixture_compile(gpu, "param x: f64[n]\nufunc pick(v, t: [n]) = t[i64(v)]\nreturn pick(x + 1, x)");
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
    function = fixture_compile(cpu, hostile_program);
    bool is_right;
    later = (jit_pending *)&later;
    if (hostile_run(function, &options, &is_right, &error)) fail_msg("%s", error.message);
    assert_true(is_right);
    if (later) assert_true(jit_is_done(later));
    assert_int_equal(jit_wait(later, &error), JIT_OK);
    jit_function_free(function);
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
    hostile_fill(x, y);
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++)
        for (int later = 0; later < 2; later++) {
            volatile int flag = 0;
            jit_error error = {0};
            jit_function *function = fixture_compile(gpu, endless[i]);
            DLManagedTensor *made[1] = {0};
            jit_pending *pending = NULL;
            jit_call_options options = {
                .struct_size = sizeof options, .cancel = &flag, .pending = later ? &pending : NULL};
            pthread_t thread;
            double begun = fixture_now();
            assert_int_equal(pthread_create(&thread, NULL, fixture_set_soon, (void *)&flag), 0);
            jit_status status =
                jit_call_alloc(function, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, made, 1, &options, &error);
            if (status == JIT_OK) status = jit_wait(pending, &error);
            pthread_join(thread, NULL);
            fixture_expect(JIT_CANCELLED, status, &error, endless[i]);
            assert_true(fixture_now() - begun < 10 * SLOWNESS);
            if (made[0]) made[0]->deleter(made[0]);
            jit_function_free(function);
            hostile_still_works(gpu);
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
    hostile_fill(x, y);
    struct array given[3];
    for (int i = 0; i < 3; i++) array_new(&given[i], i == 0 ? x : y, N);
    void *stream = w->number % 2 ? device_stream_new(&device) : NULL;
    for (int call = 0; call < 15 && !w->wrong[0]; call++) {
        jit_function *function = w->function && call % 3 ? w->function
                                 : c                     ? jit_compile(c, hostile_program, &error)
                                                         : NULL;
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
        if (status || !hostile_right(map, sum))
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
    jit_function *function = fixture_compile(gpu, hostile_program);
    for (int i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].context = i % 4 == 3 ? NULL : gpu;
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
    jit_function *here = fixture_compile(gpu, hostile_program), *there = fixture_compile(cpu, hostile_program);
    bool is_right;
    assert_int_equal(hostile_run(here, NULL, &is_right, NULL), JIT_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20 * SLOWNESS);
        jit_error error = {0};
        if (hostile_run(there, NULL, &is_right, &error) || !is_right) _exit(1);
        jit_status status = hostile_run(here, NULL, &is_right, &error);
        if (status == JIT_OK && !is_right) _exit(2);
        if (status && (status != JIT_DEVICE || !error.message[0])) _exit(3);
        jit_options options = {.struct_size = sizeof options, .device = "cuda:0"};
        jit_context *again = jit_context_create(&options, &error);
        if (!again && error.code != JIT_DEVICE) _exit(4);
        jit_function_free(here);
        if (hostile_run(there, NULL, &is_right, &error) || !is_right) _exit(5);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status) fail_msg("the child ended with status %#x", (unsigned)status);
    assert_int_equal(hostile_run(here, NULL, &is_right, NULL), JIT_OK);
    assert_true(is_right);
    jit_function_free(here);
    jit_function_free(there);
}

/* Compiling, calling and freeing leaves nothing on the device. */
static void test_no_growth(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    long before = 0;
    for (int turn = 0; turn < 12; turn++) {
        jit_context *c = fixture_context("cuda:0");
        hostile_still_works(c);
        jit_context_free(c);
        if (turn == 1) before = FAKE(shim_objects)();
    }
    assert_int_equal(FAKE(shim_objects)(), before);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
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
    status = cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
    device_close(&device);
    return status;
}
