/* The public API of weft/jit.h: binding, layouts, overlap, allocation, errors, cancellation, formulas, shapes. */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/jit.h>

#include "support/check.h"

static jit_context *context;

static int setup(void **state) {
    (void)state;
    jit_error error = {0};
    context = jit_context_create(NULL, &error);
    if (!context) print_error("%s\n", error.message);
    return context ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    jit_context_free(context);
    return 0;
}

static jit_function *compile(const char *source) {
    jit_error error = {0};
    jit_function *f = jit_compile(context, source, &error);
    if (!f) fail_msg("%s\n%s", source, error.message);
    return f;
}

static void call(jit_function *f, const DLTensor *const in[], int n_in, DLTensor *out) {
    jit_error error = {0};
    if (jit_call(f, in, n_in, &out, 1, &error) != JIT_OK) fail_msg("%s", error.message);
}

/* Compiles, expects failure with this status and a message that holds `text`. */
static void refuse(const char *source, jit_status status, const char *text) {
    jit_error error = {0};
    jit_function *f = jit_compile(context, source, &error);
    if (f) fail_msg("compiled: %s", source);
    if (error.code != status)
        fail_msg("%s: status %s, expected %s: %s", source, jit_status_name(error.code), jit_status_name(status),
                 error.message);
    if (!strstr(error.message, text)) fail_msg("%s: the message lacks `%s`: %s", source, text, error.message);
}

static void test_elementwise(void **state) {
    (void)state;
    jit_function *f = compile("param x: f64[n]; param y: f64[n]; 2.0*x + y");
    assert_int_equal(jit_input_count(f), 2);
    assert_int_equal(jit_output_count(f), 1);
    assert_string_equal(jit_input_name(f, 1), "y");
    assert_int_equal(jit_input_index(f, "x"), 0);
    assert_int_equal(jit_input_index(f, "z"), -1);
    for (int n = 0; n < 70; n++) {
        double x[70], y[70], z[71];
        for (int i = 0; i < n; i++) x[i] = i * 0.5, y[i] = -i;
        z[n] = 12345;
        call(f, (const DLTensor *[]){jit_array(x, JIT_F64, n), jit_array(y, JIT_F64, n)}, 2, jit_array(z, JIT_F64, n));
        for (int i = 0; i < n; i++) assert_true(z[i] == 2 * x[i] + y[i]);
        assert_true(z[n] == 12345);
    }
    jit_function_free(f);
}

static void test_strides(void **state) {
    (void)state;
    jit_function *f = compile("a - b");
    float m[6 * 8], expected[6 * 4], out[6 * 4];
    for (int i = 0; i < 48; i++) m[i] = (float)(i * i);
    /* a: every second column; b: rows reversed, broadcast along columns. */
    DLTensor a = *jit_matrix(m, JIT_F32, 6, 4, 8), b = *jit_matrix(m + 40, JIT_F32, 6, 4, -8);
    int64_t a_strides[2] = {8, 2}, b_strides[2] = {-8, 0};
    a.strides = a_strides;
    b.strides = b_strides;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++) expected[i * 4 + j] = m[i * 8 + 2 * j] - m[40 - 8 * i];
    call(f, (const DLTensor *[]){&a, &b}, 2, jit_matrix(out, JIT_F32, 6, 4, 4));
    assert_memory_equal(out, expected, sizeof out);
    /* Into a strided output: the gaps stay. */
    float wide[6 * 9];
    for (int i = 0; i < 54; i++) wide[i] = -1;
    call(f, (const DLTensor *[]){&a, &b}, 2, jit_matrix(wide, JIT_F32, 6, 4, 9));
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 9; j++) assert_true(wide[i * 9 + j] == (j < 4 ? expected[i * 4 + j] : -1));
    jit_function_free(f);
}

static void test_overlap(void **state) {
    (void)state;
    jit_function *f = compile("param x: f64[n]; x[::-1] + x");
    double x[100], expected[100];
    for (int i = 0; i < 100; i++) x[i] = i * i;
    for (int i = 0; i < 100; i++) expected[i] = x[99 - i] + x[i];
    call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 100)}, 1, jit_array(x, JIT_F64, 100));
    assert_memory_equal(x, expected, sizeof x);
    jit_function_free(f);
    /* In place, at the same positions; and shifted by one element. */
    f = compile("param x: f64[n]; x * 2.0");
    for (int i = 0; i < 100; i++) x[i] = i;
    call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 100)}, 1, jit_array(x, JIT_F64, 100));
    for (int i = 0; i < 100; i++) assert_true(x[i] == 2 * i);
    for (int i = 0; i < 100; i++) x[i] = i;
    call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 99)}, 1, jit_array(x + 1, JIT_F64, 99));
    for (int i = 0; i < 99; i++) assert_true(x[i + 1] == 2 * i);
    jit_function_free(f);
}

static void test_alloc(void **state) {
    (void)state;
    jit_context *own = jit_context_new(NULL);
    jit_error error = {0};
    jit_function *f = jit_compile(own, "y = x * x; s = sum(y); return y, s, y", &error);
    if (!f) fail_msg("%s", error.message);
    float x[5] = {1, 2, 3, 4, 5};
    DLManagedTensor *out[3];
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F32, 5)}, 1, out, 3, NULL, &error),
                     JIT_OK);
    /* Results outlive function and context. */
    jit_function_free(f);
    jit_context_free(own);
    assert_int_equal(out[0]->dl_tensor.ndim, 1);
    assert_int_equal(out[0]->dl_tensor.shape[0], 5);
    assert_int_equal(jit_type_of(&out[1]->dl_tensor), JIT_F32);
    assert_true(*(float *)out[1]->dl_tensor.data == 55);
    for (int i = 0; i < 5; i++) assert_true(((float *)out[0]->dl_tensor.data)[i] == x[i] * x[i]);
    /* Two results that are one value are two arrays. */
    assert_ptr_not_equal(out[0]->dl_tensor.data, out[2]->dl_tensor.data);
    for (int i = 0; i < 3; i++) out[i]->deleter(out[i]);
}

static void test_defaults(void **state) {
    (void)state;
    jit_function *f = compile("param x: f32[n]; param k = 3.0; param m = 2; x * k + m");
    float x[3] = {1, 2, 3}, y[3];
    const DLTensor *in[3] = {jit_array(x, JIT_F32, 3), NULL, NULL};
    assert_true(jit_input_optional(f, 1));
    assert_false(jit_input_optional(f, 0));
    call(f, in, 3, jit_array(y, JIT_F32, 3));
    assert_true(y[0] == 5 && y[1] == 8 && y[2] == 11);
    double k = 10;
    int64_t m = -1;
    in[1] = jit_scalar_f64(&k);
    in[2] = jit_scalar_i64(&m);
    call(f, in, 3, jit_array(y, JIT_F32, 3));
    assert_true(y[0] == 9 && y[1] == 19 && y[2] == 29);
    jit_function_free(f);
}

static void test_errors(void **state) {
    (void)state;
    refuse("x +", JIT_SYNTAX, "^");
    refuse("param x: f64[n]; x + yy", JIT_NAME, "yy");
    refuse("param x: f64[3]; param y: f64[4]; x + y", JIT_SHAPE, "broadcast");
    refuse("param x: f64[n]; sqr(x)", JIT_NAME, "sqrt");
    refuse("param b: bool[n]; b - b", JIT_TYPE, "bool");
    refuse("param x: f64[n]; sort(x)", JIT_UNSUPPORTED, "sort");
    refuse("save(\"/nonexistent/x.npy\", 1)", JIT_UNSUPPORTED, "save");
    jit_error error = {0};
    jit_function *f = compile("param x: f64[n]; param y: f64[n]; x + y");
    double x[3] = {0}, y[4] = {0}, z[3];
    DLTensor *out[1] = {jit_array(z, JIT_F64, 3)};
    const DLTensor *in[2] = {jit_array(x, JIT_F64, 3), jit_array(y, JIT_F64, 4)};
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_SHAPE);
    assert_non_null(strstr(error.message, "4"));
    assert_int_equal(jit_call(f, in, 1, out, 1, &error), JIT_ARGUMENT);
    assert_int_equal(jit_call(f, in, 2, out, 2, &error), JIT_ARGUMENT);
    in[1] = jit_array(x, JIT_F32, 3);
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_TYPE);
    in[1] = NULL;
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_ARGUMENT);
    in[1] = jit_array(x, JIT_F64, 3);
    out[0] = jit_array(z, JIT_F32, 3);
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_TYPE);
    out[0] = jit_array(z, JIT_F64, 2);
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_SHAPE);
    DLTensor elsewhere = *jit_array(x, JIT_F64, 3);
    elsewhere.device.device_type = kDLVulkan;
    in[1] = &elsewhere;
    out[0] = jit_array(z, JIT_F64, 3);
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_UNSUPPORTED);
    elsewhere.device = (DLDevice){kDLCUDA, 63}; /* no driver, or no such device */
    assert_int_equal(jit_call(f, in, 2, out, 1, &error), JIT_DEVICE);
    in[1] = jit_array(x, JIT_F64, 3);
    assert_int_equal(jit_call(f, in, 2, out, 1, NULL), JIT_OK);
    jit_function_free(f);

    /* The first bad subscript, whatever the vector width. */
    f = compile("ufunc g(i: i64, t: [n]) { return t[i] }\nparam i: i64[m]; param t: f64[n]; g(i, t)");
    int64_t index[40];
    for (int i = 0; i < 40; i++) index[i] = i % 3;
    index[17] = 3, index[9] = -1, index[30] = 77;
    double got[40];
    out[0] = jit_array(got, JIT_F64, 40);
    assert_int_equal(
        jit_call(f, (const DLTensor *[]){jit_array(index, JIT_I64, 40), jit_array(x, JIT_F64, 3)}, 2, out, 1, &error),
        JIT_INDEX);
    assert_non_null(strstr(error.message, "subscript -1"));
    assert_non_null(strstr(error.message, "element 9"));
    jit_function_free(f);

    jit_context *bad = jit_context_create(&(jit_options){.device = "tpu"}, &error);
    assert_null(bad);
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_null(jit_context_create(&(jit_options){.device = "cuda:first"}, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_non_null(strstr(error.message, "cuda:N"));
    assert_null(jit_context_create(&(jit_options){.device = "cuda:63"}, &error));
    assert_int_equal(error.code, JIT_DEVICE);
}

static void *cancel_soon(void *flag) {
    usleep(50000);
    __atomic_store_n((volatile int *)flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Kernels are compiled ahead for sizes that are made up; what is impossible with those is no error of the program's. */
static void test_success_sets_no_error(void **state) {
    jit_error error;
    memset(&error, 0x55, sizeof error);
    const jit_error before = error;
    (void)state;
    jit_function *function = jit_compile(context, "param x: f64[n]\nzeros(n - 2000)", &error);
    assert_non_null(function);
    assert_memory_equal(&error, &before, sizeof error);
    jit_function_free(function);
}

static void test_cancel(void **state) {
    (void)state;
    static const char *const endless[] = {
        "param x: f64[n]\nufunc f(x) { while true { x += 1.0 }\nreturn x }\nf(x)",
        "param x: f64[n]\ny = x\nk = 1.0\nwhile k > 0 { y = y + k }\ny",
        "param x: f64[n]\nufunc f(x) { s = x; while s == s { s = s * 0.5 + 1.0 }\nreturn s }\nsum(f(x))",
    };
    for (int i = 0; i < 3; i++) {
        jit_function *f = compile(endless[i]);
        double x[100], y[100];
        for (int k = 0; k < 100; k++) x[k] = k;
        volatile int cancel = 0;
        pthread_t thread;
        pthread_create(&thread, NULL, cancel_soon, (void *)&cancel);
        jit_call_options options = {.cancel = &cancel};
        jit_error error = {0};
        DLTensor *out[1] = {i < 2 ? jit_array(y, JIT_F64, 100) : jit_scalar_f64(y)};
        jit_status status =
            jit_call_with(f, (const DLTensor *[]){jit_array(x, JIT_F64, 100)}, 1, out, 1, &options, &error);
        if (status != JIT_CANCELLED) fail_msg("%s: %s", endless[i], error.message);
        pthread_join(thread, NULL);
        jit_function_free(f);
    }
}

/* Work without loops looks at the flag between pieces: one that is set before the call stops it at once, even in a long
 * kernel. */
static void test_cancel_map(void **state) {
    (void)state;
    jit_function *f = compile("param n: i64; y = arange(n) * 0.5; sum(exp(y)) + y[0]");
    volatile int cancel = 0;
    jit_call_options options = {.cancel = &cancel};
    jit_error error = {0};
    int64_t n = 200000000;
    double s;
    DLTensor *out[1] = {jit_scalar_f64(&s)};
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, (void *)&cancel);
    jit_status status = jit_call_with(f, (const DLTensor *[]){jit_scalar_i64(&n)}, 1, out, 1, &options, &error);
    pthread_join(thread, NULL);
    if (status != JIT_CANCELLED) fail_msg("%s: %s", jit_status_name(status), error.message);
    jit_function_free(f);
}

struct heard {
    int calls;
    double last;
    bool backwards;
    int stop_after;
};

static int hear(void *host, double share, const char *what) {
    struct heard *heard = host;
    (void)what;
    heard->calls++;
    if (share < heard->last) heard->backwards = true;
    heard->last = share;
    return heard->stop_after && heard->calls >= heard->stop_after;
}

/* Long work reports how far it is, and can be stopped from there. */
static void test_progress(void **state) {
    (void)state;
    struct heard heard = {0};
    jit_context *own = jit_context_new(&(jit_options){.progress = hear, .host = &heard});
    jit_error error = {0};
    jit_function *f = jit_compile(
        own, "param n: i64\nufunc f(x) { s = 0.0; for i in 0:300 { s += sin(x + i) }\nreturn s }\nf(arange(n) * 1.0)",
        &error);
    if (!f) fail_msg("%s", error.message);
    int64_t n = 3000000;
    DLManagedTensor *out[1];
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){jit_scalar_i64(&n)}, 1, out, 1, NULL, &error), JIT_OK);
    assert_true(heard.calls > 10 && heard.last == 1 && !heard.backwards);
    out[0]->deleter(out[0]);
    heard = (struct heard){.stop_after = 3};
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){jit_scalar_i64(&n)}, 1, out, 1, NULL, &error),
                     JIT_CANCELLED);
    assert_int_equal(heard.calls, 3);
    jit_function_free(f);
    jit_context_free(own);
}

/* A map stored in the pass of the reductions that read it, on arrays larger than the last-level cache (whose stores
 * bypass it): aligned and unaligned outputs, 1 and 2 threads. */
static void test_pass(void **state) {
    (void)state;
    jit_function *f =
        compile("param x: f64[n]; c = where(abs(x) > 2.0, nan, x*0.5); return c, nanmean(c), max(abs(c - 1.0))");
    enum { N = 3000001 };
    double *x = malloc((N + 8) * sizeof *x), *c = malloc((N + 8) * sizeof *c), means[4], most;
    for (int i = 0; i < N; i++) x[i] = (double)((i * 7919L) % 5003) / 1000 - 2.5;
    jit_error error = {0};
    for (int k = 0; k < 4; k++) {
        double *to = c + (k & 1);
        to[N] = 77;
        jit_call_options options = {.threads = 1 + k / 2};
        DLTensor *out[3] = {jit_array(to, JIT_F64, N), jit_scalar_f64(&means[k]), jit_scalar_f64(&most)};
        if (jit_call_with(f, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, out, 3, &options, &error) != JIT_OK)
            fail_msg("%s", error.message);
        double sum = 0;
        int64_t count = 0;
        for (int i = 0; i < N; i++) {
            if (fabs(x[i]) > 2) {
                assert_true(isnan(to[i]));
                continue;
            }
            assert_true(to[i] == x[i] * 0.5);
            sum += to[i], count++;
        }
        assert_true(to[N] == 77 && isnan(most));
        assert_true(fabs(means[k] - sum / (double)count) < 1e-12);
        assert_true(means[k] == means[0]);
    }
    jit_function_free(f);
    free(x);
    free(c);
}

/* What only a size of 1 makes right is no error of the compile; what nothing makes right is. */
static void test_ones(void **state) {
    (void)state;
    jit_function *f = compile("param x: f64[:, :]; broadcast_to(x, 2, 3)");
    double x[3] = {1, 2, 3}, y[6];
    call(f, (const DLTensor *[]){jit_matrix(x, JIT_F64, 1, 3, 3)}, 1, jit_matrix(y, JIT_F64, 2, 3, 3));
    assert_true(y[0] == 1 && y[3] == 1 && y[5] == 3);
    jit_error error = {0};
    DLTensor *out[1] = {jit_matrix(y, JIT_F64, 2, 3, 3)};
    assert_int_equal(jit_call(f, (const DLTensor *[]){jit_matrix(x, JIT_F64, 3, 1, 1)}, 1, out, 1, &error), JIT_SHAPE);
    jit_function_free(f);
    refuse("param x: f64[:, 4]; broadcast_to(x, 2, 3)", JIT_SHAPE, "broadcast");
}

static void test_shapes(void **state) {
    (void)state;
    jit_function *f = compile("y = x[1:, ::2]; return y, sum(y, axis=0), zeros(i64(sum(x)))");
    double x[4 * 7] = {1};
    const DLTensor *in[1] = {jit_matrix(x, JIT_F64, 4, 7, 7)};
    jit_dtype type;
    int rank;
    int64_t shape[8];
    assert_int_equal(jit_output_shape(f, in, 1, 0, &type, &rank, shape, NULL), JIT_OK);
    assert_int_equal(rank, 2);
    assert_int_equal(shape[0], 3);
    assert_int_equal(shape[1], 4);
    assert_int_equal(jit_output_shape(f, in, 1, 1, &type, &rank, shape, NULL), JIT_OK);
    assert_int_equal(rank, 1);
    assert_int_equal(shape[0], 4);
    assert_int_equal(jit_output_shape(f, in, 1, 2, &type, &rank, shape, NULL), JIT_OK);
    assert_int_equal(shape[0], -1);
    assert_int_equal(jit_output_shape(f, in, 1, 3, &type, &rank, shape, NULL), JIT_ARGUMENT);
    jit_function_free(f);
}

/* Sizes that use one another again and again are looked at once each. */
static void test_shapes_shared(void **state) {
    (void)state;
    char text[2000] = "param x: f64[n]\nk = len(x)\n";
    for (int i = 0; i < 60; i++) strcat(text, "k = k*k\n");
    strcat(text, "zeros(k)");
    jit_function *f = compile(text);
    jit_dtype type;
    int rank;
    int64_t shape[8];
    assert_int_equal(
        jit_output_shape(f, (const DLTensor *[]){jit_array(NULL, JIT_F64, 0)}, 1, 0, &type, &rank, shape, NULL),
        JIT_OK);
    assert_int_equal(shape[0], 0);
    jit_function_free(f);
}

static void test_formula(void **state) {
    (void)state;
    jit_formula_input inputs[] = {{"red", JIT_F32, 2, 1, -9999}, {"nir", JIT_F32, 2, 1, -9999}};
    jit_formula_spec spec = {
        .inputs = inputs, .n_inputs = 2, .result = JIT_F64, .has_nodata = 1, .nodata = -1, .flags = JIT_ELEMENTWISE};
    jit_error error = {0};
    jit_function *f = jit_formula(context, "(nir - red) / (nir + red)", &spec, &error);
    if (!f) fail_msg("%s", error.message);
    float red[4] = {1, -9999, 2, 3}, nir[4] = {3, 4, -9999, 3};
    double out[4];
    call(f, (const DLTensor *[]){jit_matrix(red, JIT_F32, 2, 2, 2), jit_matrix(nir, JIT_F32, 2, 2, 2)}, 2,
         jit_matrix(out, JIT_F64, 2, 2, 2));
    assert_true(out[0] == 0.5 && out[1] == -1 && out[2] == -1 && out[3] == 0);
    jit_function_free(f);
    /* Only inputs that are used count. */
    f = jit_formula(context, "nir * 2", &spec, &error);
    if (!f) fail_msg("%s", error.message);
    call(f, (const DLTensor *[]){jit_matrix(red, JIT_F32, 2, 2, 2), jit_matrix(nir, JIT_F32, 2, 2, 2)}, 2,
         jit_matrix(out, JIT_F64, 2, 2, 2));
    assert_true(out[0] == 6 && out[1] == 8 && out[2] == -1 && out[3] == 6);
    jit_function_free(f);
    static const char *const wrong[] = {"nri * 2",    "sum(nir)",        "nir[0]", "nir; red", "x = nir",
                                        "print(nir)", "load(\"x.npy\")", "",       "nir.T"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error = (jit_error){0};
        f = jit_formula(context, wrong[i], &spec, &error);
        if (f || error.code == JIT_OK || !error.message[0]) fail_msg("accepted: %s", wrong[i]);
    }
    f = jit_formula(context, "nri * 2", &spec, &error);
    assert_non_null(strstr(error.message, "`nir`"));
    assert_int_equal(error.offset, 0);
}

static void test_hostile(void **state) {
    (void)state;
    size_t n = 1 << 20;
    char *text = malloc(n + 1);
    memset(text, '(', n);
    text[n] = 0;
    jit_error error = {0};
    assert_null(jit_compile(context, text, &error));
    assert_true(error.message[0]);
    memset(text, 0, n);
    assert_null(jit_compile_text(context, text, n, NULL, &error));
    memset(text, 0xff, n);
    assert_null(jit_compile_text(context, text, n, NULL, &error));
    free(text);
    assert_null(jit_compile(context, NULL, &error));
    assert_null(jit_compile(NULL, "1", &error));
    jit_function_free(NULL);
    jit_context_free(NULL);
}

static void test_scalar_function(void **state) {
    (void)state;
    jit_error error = {0};
    jit_function *f = compile("ufunc f(x: f64, y: f64) -> f64 { s = 0.0; for i in 0:3 { s += x*y }\nreturn sqrt(s) }");
    double (*p)(double, double) = (double (*)(double, double))jit_scalar_function(f, "f64(f64, f64)", &error);
    if (!p) fail_msg("%s", error.message);
    assert_true(p(3, 4) == 6);
    assert_null(jit_scalar_function(f, "f64(f64)", &error));
    assert_int_equal(error.code, JIT_TYPE);
    assert_null(jit_scalar_function(f, "f64 f64", &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    double x = 3, y = 4, z;
    call(f, (const DLTensor *[]){jit_scalar_f64(&x), jit_scalar_f64(&y)}, 2, jit_scalar_f64(&z));
    assert_true(z == 6);
    jit_function_free(f);
    f = compile("ufunc g(b: f32, a: f32) -> f32 { return a if a > b else b - a }");
    float (*q)(float, float) = (float (*)(float, float))jit_scalar_function(f, "f32(f32,f32)", &error);
    if (!q) fail_msg("%s", error.message);
    assert_true(q(1, 2) == 2 && q(5, 2) == 3);
    jit_function_free(f);
    f = compile("param x: f64[n]; x + 1.0");
    assert_null(jit_scalar_function(f, "f64(f64)", &error));
    assert_int_equal(error.code, JIT_TYPE);
    jit_function_free(f);
}

/* A long expression: linear time, no deep recursion. */
static void test_long(void **state) {
    (void)state;
    enum { TERMS = 3000 };
    char *text = malloc(TERMS * 16 + 100), *at = text;
    at += sprintf(at, "param x: f64[n]; x");
    for (int i = 0; i < TERMS; i++) at += sprintf(at, " + %d.5", i % 10);
    jit_function *f = compile(text);
    double x[10], y[10];
    for (int i = 0; i < 10; i++) x[i] = i;
    call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 10)}, 1, jit_array(y, JIT_F64, 10));
    for (int i = 0; i < 10; i++) {
        double sum = i;
        for (int k = 0; k < TERMS; k++) sum += k % 10 + 0.5;
        assert_true(y[i] == sum);
    }
    jit_function_free(f);
    free(text);
}

static void test_limits(void **state) {
    (void)state;
    jit_error error = {0};
    jit_context *small = jit_context_create(&(jit_options){.max_memory = 4 << 20}, &error);
    assert_non_null(small);
    jit_function *f =
        jit_compile(small, "param n: i64; sum(cumbersome(n))\nfn cumbersome(n) = zeros(n) + exp(arange(n))", &error);
    jit_function_free(f);
    f = jit_compile(small, "param x: f64[n]; x + 1.0", &error);
    if (!f) fail_msg("%s", error.message);
    double *x = calloc(1 << 20, sizeof *x);
    DLManagedTensor *out[1];
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 1 << 20)}, 1, out, 1, NULL, &error),
                     JIT_MEMORY);
    assert_null(out[0]);
    assert_int_equal(jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 1000)}, 1, out, 1, NULL, &error),
                     JIT_OK);
    out[0]->deleter(out[0]);
    jit_function_free(f);
    jit_context_free(small);
    free(x);
    small = jit_context_create(&(jit_options){.max_loop_iterations = 100}, &error);
    f = jit_compile(small, "param k = 0; while k >= 0 { k += 1 }\nk", &error);
    if (!f) fail_msg("%s", error.message);
    int64_t k;
    DLTensor *result[1] = {jit_scalar_i64(&k)};
    const DLTensor *none[1] = {NULL};
    assert_int_equal(jit_call(f, none, 1, result, 1, &error), JIT_LIMIT);
    jit_function_free(f);
    jit_context_free(small);
}

static void test_fork(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer does not follow a fork of several threads */
#endif
    jit_function *f = compile("param x: f64[n]; sum(exp(x))");
    enum { N = 1 << 20 };
    double *x = calloc(N, sizeof *x), s = 0;
    call(f, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, jit_scalar_f64(&s));
    assert_true(s == N);
    pid_t child = fork();
    if (child == 0) {
        double again = 0;
        DLTensor *out[1] = {jit_scalar_f64(&again)};
        alarm(20);
        jit_status status = jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, out, 1, NULL);
        jit_function *g = jit_compile(context, "param x: f64[n]; sum(x)", NULL);
        _exit(status == JIT_OK && again == N && g ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    jit_function_free(f);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_strides),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_success_sets_no_error),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_map),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_ones),
        cmocka_unit_test(test_pass),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_shapes_shared),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_scalar_function),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
