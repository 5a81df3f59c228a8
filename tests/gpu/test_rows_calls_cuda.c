/* Calls of programs that run row by row on a GPU: compiled ahead, from several threads, not waited for, cancelled, with
 * too little memory, and with a driver of which each call fails.
 *
 *     test_rows_calls_cuda [--fake [TEST]]
 */
#include <pthread.h>

#include "gpu/rows_fixture.h"

enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, ILLEGAL_ADDRESS = 700 };

/* --- ahead of the first call -------------------------------------------------------------------------------------- */

static long compilations(void) {
    void *nvrtc = dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_LOCAL);
    long (*count)(void) = nvrtc ? (long (*)(void))dlsym(nvrtc, "shim_nvrtc_compilations") : NULL;
    assert_non_null(count);
    long n = count();
    dlclose(nvrtc);
    return n;
}

static void call_once(jit_function *function, int64_t rows, int64_t columns) {
    struct input x;
    DLManagedTensor *made;
    input_new(&x, JIT_F32, 2, (int64_t[]){rows, columns}, NULL, 0);
    assert_int_equal(jit_call_alloc(function, (const DLTensor *[]){&x.tensor}, 1, &made, 1, NULL, NULL), JIT_OK);
    made->deleter(made);
    input_free(&x);
}

/* One kernel is compiled when the program is, and it is the one that the call needs. For rows that it is not good for
 * no other variant of it is. */
static void test_prepared(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    device_close(&device);
    FAKE(shim_set_multiprocessors)(0, 500);
    assert_null(device_open(&device, 0));
    jit_context *context = fixture_context("cuda:0");
    long before = compilations();
    jit_function *f = fixture_compile(context, F32 SOFTMAX);
    assert_int_equal(compilations() - before, 1);
    call_once(f, 100, 1000);
    assert_int_equal(compilations() - before, 1);
    call_once(f, 2, 20000);
    assert_int_equal(compilations() - before, 1 + 4);
    jit_function_free(f);
    jit_context_free(context);
    FAKE(shim_set_multiprocessors)(0, 4);
}

/* --- many at once ------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 4 };

struct worker {
    pthread_t thread;
    jit_function *function;
    struct input x[ROUNDS];
    DLManagedTensor *wanted[ROUNDS];
    int wrong;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    for (int i = 0; i < ROUNDS; i++) {
        const DLTensor *in[] = {&worker->x[i].tensor};
        DLManagedTensor *made;
        if (jit_call_alloc(worker->function, in, 1, &made, 1, NULL, NULL)) {
            worker->wrong++;
            continue;
        }
        const DLTensor *wanted = &worker->wanted[i]->dl_tensor;
        if (!rows_same(wanted, wanted->data, made->dl_tensor.data) &&
            (device.is_shim || !rows_close(wanted, wanted->data, made->dl_tensor.data)))
            worker->wrong++;
        made->deleter(made);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    static struct worker workers[THREADS];
    jit_function *here = fixture_compile(cpu, F32 SOFTMAX), *there = fixture_compile(gpu, F32 SOFTMAX);
    for (int t = 0; t < THREADS; t++) {
        workers[t].function = there;
        for (int i = 0; i < ROUNDS; i++) {
            input_new(&workers[t].x[i], JIT_F32, 2, (int64_t[]){20 + 9 * t, 60 + i}, NULL, t);
            const DLTensor *in[] = {&workers[t].x[i].tensor};
            assert_int_equal(jit_call_alloc(here, in, 1, &workers[t].wanted[i], 1, NULL, NULL), JIT_OK);
        }
    }
    for (int t = 0; t < THREADS; t++) pthread_create(&workers[t].thread, NULL, work, &workers[t]);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
        assert_int_equal(workers[t].wrong, 0);
        for (int i = 0; i < ROUNDS; i++) {
            workers[t].wanted[i]->deleter(workers[t].wanted[i]);
            input_free(&workers[t].x[i]);
        }
    }
    jit_function_free(here), jit_function_free(there);
}

/* Calls that are put one after the other, each on the result of the one before, and waited for at the end. */
static void test_pending(void **state) {
    (void)state;
    enum { CALLS = 3 };
    struct input x;
    input_new(&x, JIT_F64, 2, (int64_t[]){40, 50}, NULL, 0);
    jit_function *here = fixture_compile(cpu, F64 SOFTMAX), *there = fixture_compile(gpu, F64 SOFTMAX);
    uint64_t block;
    DLTensor first = device_tensor(&device, &x.tensor, x.block, x.size, &block);
    DLManagedTensor *wanted[CALLS], *made[CALLS];
    jit_pending *pending[CALLS] = {0};
    void *stream = device_stream_new(&device);
    for (int i = 0; i < CALLS; i++) {
        jit_error error = {0};
        jit_call_options options = {.struct_size = sizeof options, .stream = stream, .pending = &pending[i]};
        const DLTensor *from[] = {i ? &wanted[i - 1]->dl_tensor : &x.tensor},
                       *there_from[] = {i ? &made[i - 1]->dl_tensor : &first};
        assert_int_equal(jit_call_alloc(here, from, 1, &wanted[i], 1, NULL, NULL), JIT_OK);
        if (jit_call_alloc(there, there_from, 1, &made[i], 1, &options, &error)) fail_msg("%s", error.message);
    }
    for (int i = 0; i < CALLS; i++) {
        DLTensor host;
        assert_int_equal(jit_wait(pending[i], NULL), JIT_OK);
        char *data = device_fetch(&device, &made[i]->dl_tensor, &host);
        rows_expect(F64 SOFTMAX, "pending", &wanted[i]->dl_tensor, data);
        free(data);
    }
    for (int i = 0; i < CALLS; i++) wanted[i]->deleter(wanted[i]), made[i]->deleter(made[i]);
    device_stream_free(&device, stream);
    device_free(&device, block);
    jit_function_free(here), jit_function_free(there);
    input_free(&x);
}

static int cancel_first(void *host, double share, const char *what) {
    (void)share, (void)what;
    return ++*(int *)host > 0;
}

static void test_cancelled(void **state) {
    (void)state;
    float x[60 * 70] = {0}, y[60 * 70];
    int64_t shape[] = {60, 70};
    DLTensor a = *jit_array(x, JIT_F32, 60 * 70), b = *jit_array(y, JIT_F32, 60 * 70);
    a.ndim = b.ndim = 2, a.shape = b.shape = shape;
    const DLTensor *in[] = {&a};
    DLTensor *out[] = {&b};
    jit_error error = {0};
    volatile int cancel = 1;
    jit_call_options options = {.struct_size = sizeof options, .cancel = &cancel};
    jit_function *f = fixture_compile(gpu, F32 SOFTMAX);
    fixture_expect(JIT_CANCELLED, jit_call_with(f, in, 1, out, 1, &options, &error), &error, "before");
    cancel = 0;
    assert_int_equal(jit_call_with(f, in, 1, out, 1, &options, &error), JIT_OK);
    assert_true(y[0] == 1.0f / 70);
    jit_function_free(f);
    /* The host is asked while a program goes on. */
    int heard = 0;
    jit_options slow = {
        .struct_size = sizeof slow, .device = "cuda:0", .progress = cancel_first, .host = &heard, .cache_folder = ""};
    jit_context *context = jit_context_create(&slow, &error);
    assert_non_null(context);
    f = fixture_compile(context, F32 "while x[0, 0] == x[0, 0] { e = exp(x - max(x, axis=1, keepdims=true))\n"
                                     "x = e / sum(e, axis=1, keepdims=true) }\nreturn x\n");
    fixture_expect(JIT_CANCELLED, jit_call(f, in, 1, out, 1, &error), &error, "progress");
    assert_true(heard == 1);
    jit_function_free(f);
    jit_context_free(context);
}

/* --- what fails --------------------------------------------------------------------------------------------------- */

/* A softmax with scratch in device memory, and one with scratch in shared memory. */
static const char failing_source[] = F64 SOFTMAX;
static const int64_t failing_shapes[2][2] = {{2, 13000}, {30, 40}};

struct life {
    struct input x[2];
    DLTensor there[2];
    uint64_t block[2];
    DLManagedTensor *wanted[2];
};

static void life_upload(struct life *life) {
    for (int i = 0; i < 2; i++)
        life->there[i] = device_tensor(&device, &life->x[i].tensor, life->x[i].block, life->x[i].size, &life->block[i]);
}

static void life_new(struct life *life) {
    jit_function *f = fixture_compile(cpu, failing_source);
    for (int i = 0; i < 2; i++) {
        input_new(&life->x[i], JIT_F64, 2, failing_shapes[i], NULL, 0);
        const DLTensor *in[] = {&life->x[i].tensor};
        assert_int_equal(jit_call_alloc(f, in, 1, &life->wanted[i], 1, NULL, NULL), JIT_OK);
    }
    jit_function_free(f);
    life_upload(life);
}

static void life_free(struct life *life) {
    for (int i = 0; i < 2; i++) {
        life->wanted[i]->deleter(life->wanted[i]);
        device_free(&device, life->block[i]);
        input_free(&life->x[i]);
    }
}

/* From host memory, and from device memory waited for later. Returns the first error. */
static jit_status life_run(struct life *life, jit_function *function) {
    jit_error error = {0};
    for (int way = 0; way < 4; way++) {
        const int i = way & 1;
        const DLTensor *in[] = {way & 2 ? &life->there[i] : &life->x[i].tensor};
        DLManagedTensor *made = NULL;
        jit_pending *pending = NULL;
        jit_call_options options = {.struct_size = sizeof options, .pending = way & 2 ? &pending : NULL};
        jit_status status = jit_call_alloc(function, in, 1, &made, 1, &options, &error);
        assert_true(status == JIT_OK || (!made && !pending));
        if (status == JIT_OK) status = jit_wait(pending, &error);
        if (status) fixture_error(status, &error, "a call");
        if (status == JIT_OK && !(way & 2))
            rows_expect(failing_source, "while something fails", &life->wanted[i]->dl_tensor, made->dl_tensor.data);
        if (made) made->deleter(made);
        if (status) return status;
    }
    return JIT_OK;
}

static jit_status life_whole(struct life *life, size_t memory, size_t device_memory, jit_context **context,
                             jit_function **function) {
    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options,
                           .device = "cuda:0",
                           .cache_folder = "",
                           .max_memory = memory,
                           .max_device_memory = device_memory};
    *function = NULL;
    *context = jit_context_create(&options, &error);
    if (*context) *function = jit_compile(*context, failing_source, &error);
    if (*function) return life_run(life, *function);
    fixture_error(error.code, &error, "context or function");
    return error.code;
}

/* Each call of the driver fails once. The context goes on, but for errors that are the end of it. */
static void fail_each(int code, bool may_lose) {
    struct life life;
    jit_context *context;
    jit_function *function;
    life_new(&life);
    assert_int_equal(life_whole(&life, 0, 0, &context, &function), JIT_OK);
    jit_function_free(function);
    jit_context_free(context);
    const int step = SLOWNESS > 1 ? 3 : 1;
    long before = FAKE(shim_objects)(), n = 1, noticed = 0;
    for (;; n += step) {
        long calls = FAKE(shim_calls)(NULL);
        FAKE(shim_fail)(NULL, n, code);
        jit_status status = life_whole(&life, 0, 0, &context, &function);
        calls = FAKE(shim_calls)(NULL) - calls;
        FAKE(shim_fail)(NULL, 0, 0);
        if (calls < n) {
            assert_int_equal(status, JIT_OK);
            break;
        }
        noticed += status != JIT_OK;
        const char *call = FAKE(shim_failed)();
        const bool may_end = may_lose || !strncmp(call, "cuCtxPushCurrent", 16);
        jit_status next = function ? life_run(&life, function) : JIT_OK;
        jit_function_free(function);
        jit_context_free(context);
        if (next && (next != JIT_DEVICE || !may_end))
            fail_msg("error %d of call %ld, %s; the next one: status %d", code, n, call, (int)next);
        if (next || (!function && may_end)) {
            device_close(&device);
            assert_int_equal(FAKE(shim_objects)(), 0);
            assert_null(device_open(&device, 0));
            life_upload(&life);
            before = FAKE(shim_objects)();
        } else if (FAKE(shim_objects)() != before) {
            fail_msg("error %d of call %ld, %s: %ld objects more", code, n, call, FAKE(shim_objects)() - before);
        }
    }
    jit_function_free(function);
    jit_context_free(context);
    assert_true(n > 30 && noticed > 10);
    life_free(&life);
}

static void test_each_call_fails(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    jit_context_free(gpu); /* so that a lost device goes when the test gives it up */
    fail_each(INVALID_VALUE, false);
    fail_each(OUT_OF_MEMORY, false);
    if (SLOWNESS == 1) fail_each(ILLEGAL_ADDRESS, true);
    gpu = fixture_context("cuda:0");
}

/* With ever more memory of the host's and of the device's: a right result, or that there was too little. */
static void test_little_memory(void **state) {
    (void)state;
    struct life life;
    life_new(&life);
    for (int of_device = 0; of_device < 2; of_device++) {
        int good = 0, bad = 0;
        for (size_t limit = 10000; good < 2; limit += limit / (SLOWNESS > 1 ? 4 : 10)) {
            jit_context *context;
            jit_function *function;
            long before = device.is_shim ? FAKE(shim_objects)() : 0;
            jit_status status = life_whole(&life, of_device ? 0 : limit, of_device ? limit : 0, &context, &function);
            jit_function_free(function);
            jit_context_free(context);
            assert_true(status == JIT_OK || status == JIT_MEMORY);
            status == JIT_OK ? good++ : bad++;
            if (device.is_shim) assert_int_equal(FAKE(shim_objects)(), before);
            assert_true(limit < (size_t)1 << 30);
        }
        assert_true(bad > 5);
    }
    life_free(&life);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepared),  cmocka_unit_test(test_threads),       cmocka_unit_test(test_pending),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_little_memory), cmocka_unit_test(test_each_call_fails),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, rows_setup, rows_teardown);
    device_close(&device);
    return status;
}
