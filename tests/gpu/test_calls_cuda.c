/* Calls on a GPU as hosts make them: asynchronous, cancelled, from many threads, with files, printing, sessions and
 * profiles, with little memory. What arrays and programs may be is in test_jit_cuda.c.
 *
 *     test_calls_cuda [--fake [TEST]]
 */
#define _GNU_SOURCE
#include <pthread.h>

#include <weft/tools.h>

#include "gpu/fixture.h"
#include "gpu/shim/control.h"

/* --- asynchronous calls ------------------------------------------------------------------------------------------- */

static void test_pending_results(void **state) {
    (void)state;
    enum { N = 3000 };
    static double x[N], y[N], spread[2 * N];
    for (int i = 0; i < N; i++) x[i] = i;
    struct array a, b;
    array_new(&a, x, N), array_new(&b, x, N);
    void *stream = device_stream_new(&device);
    jit_error error = {0};
    jit_pending *pending = NULL;
    jit_call_options options = {.struct_size = sizeof options, .pending = &pending, .stream = stream};
    jit_function *f = fixture_compile(cpu, "param x: f64[n]\nreturn x*2, x + 1, x - 1");
    int64_t two = 2, n = N;
    DLTensor *out[] = {&b.tensor, jit_array(y, JIT_F64, N), jit_array(spread, JIT_F64, N)};
    out[2]->strides = &two, out[2]->shape = &n;
    for (int round = 0; round < 3; round++) {
        options.stream = round == 1 ? NULL : stream;
        if (jit_call_with(f, (const DLTensor *[]){&a.tensor}, 1, out, 3, &options, &error))
            fail_msg("%s", error.message);
        assert_non_null(pending);
        while (round == 2 && !jit_is_done(pending)) usleep(100);
        assert_int_equal(jit_wait(pending, &error), JIT_OK);
        double got[N];
        array_get(&b, got);
        for (int i = 0; i < N; i++) assert_true(got[i] == 2 * i && y[i] == i + 1 && spread[2 * i] == i - 1);
        memset(y, 0, sizeof y), memset(spread, 0, sizeof spread);
    }
    /* Results that Weft allocates are there at once; others' work on the stream comes after them. */
    DLManagedTensor *made[3];
    options.stream = stream;
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){&a.tensor}, 1, made, 3, &options, &error), JIT_OK);
    jit_pending *first = pending;
    DLManagedTensor *again[3];
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){&made[0]->dl_tensor}, 1, again, 3, &options, &error),
                     JIT_OK);
    for (int i = 0; i < 3; i++) made[i]->deleter(made[i]); /* while they are being read */
    assert_int_equal(jit_wait(pending, &error), JIT_OK);
    assert_int_equal(jit_wait(first, &error), JIT_OK);
    DLTensor here;
    double *got = device_fetch(&device, &again[1]->dl_tensor, &here);
    for (int i = 0; i < N; i++) assert_true(got[i] == 2 * i + 1);
    free(got);
    for (int i = 0; i < 3; i++) again[i]->deleter(again[i]);
    jit_function_free(f);

    /* A failure is found by the wait, with what the CPU says. */
    f = fixture_compile(gpu, "param x: f64[n]\nufunc p(i: i64, t: [m]) { return t[i] }\nreturn p(i64(x) + 1, x)");
    assert_int_equal(
        jit_call_with(f, (const DLTensor *[]){&a.tensor}, 1, (DLTensor *[]){&b.tensor}, 1, &options, &error), JIT_OK);
    fixture_expect(JIT_INDEX, jit_wait(pending, &error), &error, "pending");
    assert_non_null(strstr(error.message, "subscript 3000"));
    assert_non_null(strstr(error.message, "element 2999"));
    jit_function_free(f);
    /* On the CPU a call is done when it returns. */
    options.stream = NULL;
    f = fixture_compile(cpu, "param x: f64[n]\nx*2");
    pending = (void *)1;
    assert_int_equal(jit_call_with(f, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, (DLTensor *[]){out[1]}, 1,
                                   &options, &error),
                     JIT_OK);
    assert_null(pending);
    assert_int_equal(jit_wait(pending, &error), JIT_OK);
    assert_int_equal(jit_is_done(pending), 1);
    options.stream = stream;
    fixture_expect(JIT_ARGUMENT,
                   jit_call_with(f, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, (DLTensor *[]){out[1]}, 1,
                                 &options, &error),
                   &error, "a stream on the CPU");
    jit_function_free(f);
    device_stream_free(&device, stream);
    array_free(&a), array_free(&b);
}

/* --- cancelling and progress -------------------------------------------------------------------------------------- */

static int cancel_third(void *host, double share, const char *what) {
    assert_true(share >= 0 && share <= 1 && what);
    return ++*(int *)host >= 3;
}

static void test_cancelled(void **state) {
    (void)state;
    double x[100] = {0}, y[100];
    static const char endless[] =
        "param x: f64[n]\nufunc spin(v: f64) { s = v\n while s < 1 { s = s*0.5 }\n return s }\nspin(x)";
    const DLTensor *in[] = {jit_array(x, JIT_F64, 100)};
    DLTensor *out[] = {jit_array(y, JIT_F64, 100)};
    jit_error error = {0};
    jit_function *f = fixture_compile(gpu, endless);
    for (int pending = 0; pending < 2; pending++) {
        volatile int cancel = 0;
        jit_pending *wait = NULL;
        jit_call_options options = {
            .struct_size = sizeof options, .cancel = &cancel, .pending = pending ? &wait : NULL};
        pthread_t thread;
        pthread_create(&thread, NULL, fixture_set_soon, (void *)&cancel);
        jit_status status = jit_call_with(f, in, 1, out, 1, &options, &error);
        if (pending) {
            assert_int_equal(status, JIT_OK);
            status = jit_wait(wait, &error);
        }
        fixture_expect(JIT_CANCELLED, status, &error, "cancel");
        pthread_join(thread, NULL);
    }
    jit_function_free(f);
    int heard = 0;
    jit_options options = {
        .struct_size = sizeof options, .device = "cuda", .progress = cancel_third, .host = &heard, .cache_folder = ""};
    jit_context *context = jit_context_create(&options, &error);
    assert_non_null(context);
    f = fixture_compile(context, endless);
    fixture_expect(JIT_CANCELLED, jit_call(f, in, 1, out, 1, &error), &error, "progress");
    assert_true(heard == 3);
    x[0] = 5;
    heard = -1000;
    for (int i = 0; i < 100; i++) x[i] = 2;
    assert_int_equal(jit_call(f, in, 1, out, 1, &error), JIT_OK);
    assert_true(y[99] == 2);
    jit_function_free(f);
    jit_context_free(context);
}

/* --- the rest of the API on a GPU --------------------------------------------------------------------------------- */

static char printed[4000];
static void keep_print(void *host, const char *text, size_t length) {
    (void)host;
    strncat(printed, text,
            length < sizeof printed - strlen(printed) - 1 ? length : sizeof printed - strlen(printed) - 1);
}

static void run_effects(const char *where, char *out) {
    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options,
                           .device = where,
                           .allow_files = 1,
                           .print = keep_print,
                           .max_loop_iterations = 100,
                           .cache_folder = ""};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) fail_msg("%s", error.message);
    static const char *const texts[] = {
        "x = linspace(0, 1, 20)\nsave(\"gpu_x.npy\", x*2)\nprint(\"sum\", sum(x), x[1::7])",
        "y = load(\"gpu_x.npy\")\nm = mean(y)\nprint(y - m, m, [1, 2])\nassert m > 0, \"m\"\nassert m > 5, \"small\"",
        "y = load(\"gpu_x.npy\")\nwhile sum(y) > 0 { y = y + 1 }",
    };
    printed[0] = 0;
    for (int i = 0; i < 3; i++) {
        jit_function *f = fixture_compile(context, texts[i]);
        if (jit_call(f, NULL, 0, NULL, 0, &error)) keep_print(NULL, error.message, strlen(error.message));
        jit_function_free(f);
    }
    /* A session keeps its variables on the host, whatever it computes on. */
    jit_session *session = jit_session_new(context, &error);
    jit_result result;
    if (jit_session_run(session, "a = arange(10)*2.5\nb = sum(a)\nfor i in 0:4 { a = a + b*i }", NULL, NULL, &error) ||
        jit_session_run(session, "a[3:6], b", NULL, &result, &error))
        fail_msg("%s", error.message);
    assert_int_equal(result.n_values, 2);
    for (int i = 0; i < 2; i++) {
        char *text = jit_format(&result.value[i]->dl_tensor);
        keep_print(NULL, text, strlen(text));
        jit_text_free(text);
        result.value[i]->deleter(result.value[i]);
    }
    jit_session_free(session);
    /* A formula of the host's user, and a function pointer. */
    float band[6] = {1, 2, -1, 4, 5, 6}, made[6];
    jit_formula_input input = {"r", JIT_F32, 1, 1, -1};
    jit_formula_spec spec = {.struct_size = sizeof spec,
                             .inputs = &input,
                             .n_inputs = 1,
                             .result = JIT_F32,
                             .has_nodata = 1,
                             .nodata = -9,
                             .flags = JIT_ELEMENTWISE};
    jit_function *f = jit_formula(context, "r*2 + 1", &spec, &error);
    if (!f || jit_call(f, (const DLTensor *[]){jit_array(band, JIT_F32, 6)}, 1,
                       (DLTensor *[]){jit_array(made, JIT_F32, 6)}, 1, &error))
        fail_msg("%s", error.message);
    for (int i = 0; i < 6; i++) assert_true(made[i] == (i == 2 ? -9 : band[i] * 2 + 1));
    jit_function_free(f);
    f = fixture_compile(context, "ufunc g(x: f64) -> f64 { return x*x + 1 }");
    double (*g)(double) = (double (*)(double))jit_scalar_function(f, "f64(f64)", &error);
    assert_true(g && g(3) == 10);
    jit_function_free(f);
    unlink("gpu_x.npy");
    strcpy(out, printed);
    jit_context_free(context);
}

static void test_effects(void **state) {
    (void)state;
    char here[sizeof printed], there[sizeof printed];
    char folder[] = "/tmp/weft_jit_cuda_XXXXXX", before[4096];
    assert_true(mkdtemp(folder) && getcwd(before, sizeof before) && chdir(folder) == 0);
    run_effects("cpu", here);
    run_effects("cuda", there);
    assert_string_equal(there, here);
    assert_non_null(strstr(here, "small"));
    assert_true(chdir(before) == 0 && rmdir(folder) == 0);
}

static void test_profile(void **state) {
    (void)state;
    enum { N = 100000 };
    static float x[N], y[N];
    jit_function *f = fixture_compile(gpu, "param x: f32[n]\nm = mean(x)\nx - m");
    jit_profile(f, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F32, N)}, 1,
                                  (DLTensor *[]){jit_array(y, JIT_F32, N)}, 1, NULL),
                         JIT_OK);
    jit_profile_row row;
    double copied = 0;
    int kernels = 0;
    for (int i = 0; jit_profile_get(f, i, &row); i++) {
        assert_true(row.launches == 3 && row.seconds >= 0 && row.bytes > 0);
        if (strstr(row.kernel, "the GPU"))
            copied += row.bytes;
        else
            kernels++;
    }
    assert_int_equal(kernels, 2);
    assert_true(copied == 3.0 * 2 * sizeof x);
    jit_function_free(f);
}

/* --- many at once ------------------------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    jit_function *function;
    int number, wrong;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    enum { N = 500 };
    double x[N], y[N], s;
    for (int round = 0; round < 5; round++) {
        int n = N - round * (worker->number + 1);
        for (int i = 0; i < n; i++) x[i] = i + worker->number;
        jit_error error;
        if (jit_call(worker->function, (const DLTensor *[]){jit_array(x, JIT_F64, n)}, 1,
                     (DLTensor *[]){jit_array(y, JIT_F64, n), jit_scalar_f64(&s)}, 2, &error)) {
            worker->wrong++;
            continue;
        }
        double sum = 0;
        for (int i = 0; i < n; i++) sum += x[i] * 3, worker->wrong += y[i] != x[i] * 3;
        worker->wrong += s != sum;
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct worker workers[4];
    jit_function *f = fixture_compile(gpu, "param x: f64[n]\ny = x*3\nreturn y, sum(y)");
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.function = f, .number = i};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    jit_function_free(f);
}

/* A context for the CPU does not open the driver; nothing is left when those of a GPU are gone. */
static void test_nothing_left(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    double x[64] = {1}, y[64];
    jit_context_free(gpu);
    jit_context_free(cpu);
    long before = FAKE(shim_objects)(), calls = FAKE(shim_calls)(NULL);
    cpu = fixture_context(NULL);
    jit_function *f = fixture_compile(cpu, "param x: f64[n]\nx*3");
    const DLTensor *in[] = {jit_array(x, JIT_F64, 64)};
    assert_int_equal(jit_call(f, in, 1, (DLTensor *[]){jit_array(y, JIT_F64, 64)}, 1, NULL), JIT_OK);
    jit_function_free(f);
    assert_true(FAKE(shim_calls)(NULL) == calls);
    gpu = fixture_context("cuda");
    f = fixture_compile(gpu, "param x: f64[n]\ny = x*3\nreturn y + sum(y), y");
    DLManagedTensor *made[2];
    assert_int_equal(jit_call_alloc(f, in, 1, made, 2, NULL, NULL), JIT_OK);
    jit_function_free(f);
    jit_context_free(gpu);
    for (int i = 0; i < 2; i++) made[i]->deleter(made[i]);
    assert_int_equal(FAKE(shim_objects)(), before);
    gpu = fixture_context("cuda");
}

/* With ever more host memory: a right result or JIT_MEMORY, and nothing left behind. */
static void test_little_memory(void **state) {
    (void)state;
    static double x[5000], y[5000], spread[5000];
    int64_t shape[] = {50, 100}, across[] = {1, 50}, half = 2500, two = 2;
    DLTensor a = *jit_array(x, JIT_F64, 5000), room = *jit_array(spread, JIT_F64, 2500);
    a.ndim = 2, a.shape = shape, a.strides = across, room.shape = &half, room.strides = &two;
    const DLTensor *in[] = {&a, jit_array(y, JIT_F64, 5000)};
    long before = device.is_shim ? FAKE(shim_objects)() : 0;
    int good = 0, bad = 0;
    for (size_t limit = 20000; limit < 3000000; limit += limit / 10) {
        jit_error error = {0};
        jit_options options = {
            .struct_size = sizeof options, .device = "cuda", .cache_folder = "", .max_memory = limit};
        jit_context *context = jit_context_create(&options, &error);
        jit_function *f = context ? jit_compile(context,
                                                "param x: f64[h, w]\nparam y: f64[n]\n"
                                                "s = sum(x, axis=0)\nreturn y[::2]*2 + s[0], s, mean(y)",
                                                &error)
                                  : NULL;
        for (int pending = 0; f && pending < 2; pending++) {
            jit_pending *wait = NULL;
            jit_call_options call = {.struct_size = sizeof call, .pending = pending ? &wait : NULL};
            double sums[100], mean;
            DLTensor *out[] = {&room, jit_array(sums, JIT_F64, 100), jit_scalar_f64(&mean)};
            DLManagedTensor *made[3];
            jit_status status = jit_call_with(f, in, 2, out, 3, &call, &error);
            if (status == JIT_OK) status = jit_wait(wait, &error);
            if (status == JIT_OK) status = jit_call_alloc(f, in, 2, made, 3, NULL, &error);
            for (int i = 0; status == JIT_OK && i < 3; i++) made[i]->deleter(made[i]);
            status == JIT_OK ? good++ : bad++;
            if (status) fixture_expect(JIT_MEMORY, status, &error, "a call");
        }
        if (!f) fixture_expect(JIT_MEMORY, error.code, &error, "a context or a function"), bad++;
        jit_function_free(f);
        jit_context_free(context);
        if (device.is_shim) assert_int_equal(FAKE(shim_objects)(), before);
    }
    assert_true(good > 5 && bad > 5);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pending_results), cmocka_unit_test(test_cancelled), cmocka_unit_test(test_effects),
        cmocka_unit_test(test_profile),         cmocka_unit_test(test_threads),   cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_little_memory),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
    device_close(&device);
    return status;
}
