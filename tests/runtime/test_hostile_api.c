/* The public API used wrongly, unluckily or in bulk: NULLs, absurd tensors, overlaps, lifetimes, threads, fork. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "runtime/hostile.h"

/* --- NULLs, counts, sizes ----------------------------------------------------------------------------------------- */

static void test_nulls(void **state) {
    (void)state;
    jit_error error = {0};
    double v = 0, w = 0;
    DLManagedTensor *made[1] = {(void *)&v};
    jit_function *f = compile("param x: f64; x + 1");
    const DLTensor *in[] = {jit_scalar_f64(&v)}, *no_in[] = {NULL};
    DLTensor *out[] = {jit_scalar_f64(&w)}, *no_out[] = {NULL};

    assert_null(jit_compile(NULL, "1", &error));
    expect(JIT_ARGUMENT, error.code, &error, "context");
    assert_null(jit_compile(context, NULL, &error));
    assert_null(jit_compile(NULL, NULL, NULL));
    assert_null(jit_compile_text(context, NULL, 5, NULL, &error));
    assert_null(jit_compile(context, "1 +", NULL));
    assert_null(jit_formula(context, "a", NULL, &error));
    assert_null(jit_formula(NULL, NULL, NULL, NULL));
    assert_null(jit_formula(context, NULL, &(jit_formula_spec){.struct_size = sizeof(jit_formula_spec)}, &error));
    assert_null(jit_formula(context, "a", &(jit_formula_spec){.n_inputs = 1}, &error));
    assert_null(jit_formula(context, "a",
                            &(jit_formula_spec){.n_inputs = -1, .inputs = &(jit_formula_input){"a", JIT_F64, 0, 0, 0}},
                            &error));
    assert_null(jit_formula(context, "a",
                            &(jit_formula_spec){.n_inputs = 1, .inputs = &(jit_formula_input){NULL, JIT_F64, 0, 0, 0}},
                            &error));
    assert_null(jit_formula(
        context, "a", &(jit_formula_spec){.n_inputs = 1, .inputs = &(jit_formula_input){"a", 99, 0, 0, 0}}, &error));
    assert_null(jit_formula(context, "a",
                            &(jit_formula_spec){.n_inputs = 1, .inputs = &(jit_formula_input){"a", JIT_F64, 9, 0, 0}},
                            &error));
    assert_null(jit_formula(context, "a",
                            &(jit_formula_spec){.n_inputs = 1, .inputs = &(jit_formula_input){"a", JIT_F64, -1, 0, 0}},
                            &error));
    assert_null(jit_formula(
        context, "a", &(jit_formula_spec){.n_inputs = 1, .inputs = &(jit_formula_input){"a b(", JIT_F64, 0, 0, 0}},
        &error));
    assert_null(jit_formula(context, "a",
                            &(jit_formula_spec){.n_inputs = 1, .inputs = &(jit_formula_input){"", JIT_F64, 0, 0, 0}},
                            &error));
    assert_null(jit_scalar_function(NULL, "f64(f64)", &error));
    assert_null(jit_scalar_function(f, NULL, &error));
    assert_null(jit_scalar_function(f, "", &error));
    assert_null(jit_scalar_function(f, "f64(f64,f64,f64,f64,f64,f64,f64,f64,f64,f64,f64", NULL));
    assert_null(jit_scalar_function(f, "f64(((((((", &error));

    expect(JIT_ARGUMENT, jit_call(NULL, in, 1, out, 1, &error), &error, "function");
    expect(JIT_ARGUMENT, jit_call(f, NULL, 1, out, 1, &error), &error, "inputs");
    expect(JIT_ARGUMENT, jit_call(f, in, 1, NULL, 1, &error), &error, "outputs");
    expect(JIT_ARGUMENT, jit_call(f, no_in, 1, out, 1, &error), &error, "input 0");
    expect(JIT_ARGUMENT, jit_call(f, in, 1, no_out, 1, &error), &error, "output 0");
    expect(JIT_ARGUMENT, jit_call_alloc(f, in, 1, NULL, 1, NULL, &error), &error, "outputs");
    expect(JIT_ARGUMENT, jit_call_alloc(f, no_in, 1, made, 1, NULL, &error), &error, "inputs");
    assert_null(made[0]);
    assert_int_equal(jit_call(NULL, NULL, 0, NULL, 0, NULL), JIT_ARGUMENT);
    static const int counts[] = {-1, 0, 2, 1000000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        expect(JIT_ARGUMENT, jit_call(f, in, counts[i], out, 1, &error), &error, "input count");
        expect(JIT_ARGUMENT, jit_call(f, in, 1, out, counts[i], &error), &error, "output count");
        assert_null(jit_input_name(f, counts[i] ? counts[i] : 7));
        assert_null(jit_output_name(f, counts[i] ? counts[i] : 7));
        assert_int_equal(jit_input_type(f, counts[i] ? counts[i] : 7, NULL, NULL), JIT_ARGUMENT);
        assert_int_equal(jit_output_shape(f, in, 1, counts[i] ? counts[i] : 7, NULL, NULL, NULL, &error), JIT_ARGUMENT);
    }
    assert_int_equal(jit_output_shape(NULL, in, 1, 0, NULL, NULL, NULL, &error), JIT_ARGUMENT);
    assert_int_equal(jit_output_shape(f, NULL, 1, 0, NULL, NULL, NULL, &error), JIT_ARGUMENT);
    assert_int_equal(jit_output_shape(f, no_in, 1, 0, NULL, NULL, NULL, NULL), JIT_ARGUMENT);
    assert_int_equal(jit_output_shape(f, in, 1, 0, NULL, NULL, NULL, NULL), JIT_OK);
    assert_int_equal(jit_input_count(NULL), 0);
    assert_int_equal(jit_output_count(NULL), 0);
    assert_null(jit_input_name(NULL, 0));
    assert_int_equal(jit_input_index(f, NULL), -1);
    assert_int_equal(jit_input_index(NULL, "x"), -1);
    assert_int_equal(jit_output_index(NULL, ""), -1);
    assert_int_equal(jit_input_optional(NULL, 0), 0);
    assert_int_equal(jit_input_type(NULL, 0, NULL, NULL), JIT_ARGUMENT);
    assert_int_equal(jit_input_type(f, 0, NULL, NULL), JIT_OK);
    assert_int_equal(jit_type_of(NULL), 0);
    assert_non_null(jit_status_name((jit_status)-5));
    assert_non_null(jit_status_name((jit_status)1000));
    (void)jit_type_name((jit_dtype)1000);
    (void)jit_type_name((jit_dtype)-1);
    (void)jit_dl_type((jit_dtype)1000);
    jit_function_free(NULL);
    jit_context_free(NULL);
    assert_int_equal(jit_call(f, in, 1, out, 1, NULL), JIT_OK);
    assert_true(w == 1);
    jit_function_free(f);
}

static void test_struct_sizes(void **state) {
    (void)state;
    jit_error error = {0};
    jit_function *f = compile("1.5");
    DLManagedTensor *made[1];
    static const size_t sizes[] = {1, sizeof(void *), sizeof(jit_call_options) - 1, sizeof(jit_call_options) + 1,
                                   SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        jit_call_options options = {.struct_size = sizes[i]};
        expect(JIT_ARGUMENT, jit_call_alloc(f, NULL, 0, made, 1, &options, &error), &error, "call options");
        assert_null(jit_formula(context, "1", &(jit_formula_spec){.struct_size = sizes[i]}, &error));
        assert_int_equal(error.code, JIT_ARGUMENT);
        assert_null(jit_context_create(&(jit_options){.struct_size = sizes[i]}, &error));
        assert_int_equal(error.code, JIT_ARGUMENT);
    }
    int stream;
    expect(JIT_ARGUMENT, jit_call_alloc(f, NULL, 0, made, 1, &(jit_call_options){.stream = &stream}, &error), &error,
           "stream");
    static const jit_options wrong[] = {
        {.device = "gpu"}, {.device = ""},  {.threads = -1}, {.ulp = 3},          {.ulp = -4},
        {.fp = ""},        {.fp = "quick"}, {.isa = "x"},    {.max_nesting = -1}, {.max_loop_iterations = -1},
        {.max_graph = -1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        jit_options options = wrong[i];
        options.struct_size = sizeof options;
        jit_context *c = jit_context_create(&options, &error);
        if (c) fail_msg("wrong options %zu were taken", i);
        check_error(error.code, &error, "options");
        assert_null(jit_context_new(&options));
    }
    jit_function_free(f);
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

static void test_absurd_tensors(void **state) {
    (void)state;
    static const struct {
        const char *what;
        int ndim;
        int64_t shape[9], strides[9];
        bool has_strides;
    } absurd[] = {
        {"rank -1", -1, {0}, {0}, false},
        {"rank INT_MIN", INT32_MIN, {0}, {0}, false},
        {"rank 9", 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {0}, false},
        {"rank INT_MAX", INT32_MAX, {0}, {0}, false},
        {"size -1", 1, {-1}, {0}, false},
        {"size INT64_MIN", 1, {INT64_MIN}, {1}, true},
        {"size INT64_MAX", 1, {INT64_MAX}, {0}, false},
        {"sizes' product", 3, {1LL << 40, 1LL << 40, 1LL << 40}, {0}, false},
        {"bytes", 1, {INT64_MAX / 8 + 1}, {0}, false},
        {"the last byte", 1, {INT64_MAX / 8}, {0}, false},
        {"stride INT64_MIN", 1, {2}, {INT64_MIN}, true},
        {"stride INT64_MAX", 1, {2}, {INT64_MAX}, true},
        {"stride INT64_MAX/8", 1, {3}, {INT64_MAX / 8}, true},
        {"stride -INT64_MAX/8", 1, {2}, {-(INT64_MAX / 8)}, true},
        {"strides that add up", 3, {2, 2, 2}, {INT64_MAX / 16, INT64_MAX / 16, INT64_MAX / 16}, true},
        {"strides that go below 0", 2, {2, 2}, {INT64_MIN / 16, INT64_MIN / 16}, true},
        {"negative among zeros", 3, {0, -3, 0}, {1, 1, 1}, true},
    };
    double data[4] = {1, 2, 3, 4}, w[4];
    for (int typed = 0; typed < 2; typed++) {
        jit_function *f = compile(typed ? "param x: f64[n]; x + 1" : "x + 1");
        for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
            int64_t shape[9], strides[9];
            memcpy(shape, absurd[i].shape, sizeof shape), memcpy(strides, absurd[i].strides, sizeof strides);
            DLTensor t = {.data = data,
                          .device = {kDLCPU, 0},
                          .ndim = absurd[i].ndim,
                          .dtype = jit_dl_type(JIT_F64),
                          .shape = shape,
                          .strides = absurd[i].has_strides ? strides : NULL};
            DLManagedTensor *made[1];
            jit_error error = {0};
            int64_t room[8];
            check_error(jit_call_alloc(f, (const DLTensor *[]){&t}, 1, made, 1, NULL, &error), &error, absurd[i].what);
            jit_status refused = error.code,
                       shape_status = jit_output_shape(f, (const DLTensor *[]){&t}, 1, 0, NULL, NULL, room, &error);
            if (shape_status != refused && !(refused == JIT_MEMORY && shape_status == JIT_OK))
                fail_msg("%s", absurd[i].what);
            check_error(
                jit_call(f, (const DLTensor *[]){jit_array(data, JIT_F64, 4)}, 1, (DLTensor *[]){&t}, 1, &error),
                &error, absurd[i].what);
        }
        jit_error error = {0};
        DLManagedTensor *made[1];
        DLTensor t = *jit_array(data, JIT_F64, 2);
        const DLTensor *in[] = {&t};
        t.data = NULL;
        expect(JIT_ARGUMENT, jit_call_alloc(f, in, 1, made, 1, NULL, &error), &error, "no data");
        for (int off = 1; off < 8; off++) {
            t.data = data, t.byte_offset = (uint64_t)off;
            expect(JIT_ARGUMENT, jit_call_alloc(f, in, 1, made, 1, NULL, &error), &error, "unaligned");
            t.data = (char *)data + off, t.byte_offset = 0;
            expect(JIT_ARGUMENT, jit_call_alloc(f, in, 1, made, 1, NULL, &error), &error, "unaligned");
        }
        t.data = data, t.shape = NULL;
        expect(JIT_ARGUMENT, jit_call_alloc(f, in, 1, made, 1, NULL, &error), &error, "no shape");
        t = *jit_array(data, JIT_F64, 2);
        t.device.device_type = kDLMetal;
        expect(JIT_UNSUPPORTED, jit_call_alloc(f, in, 1, made, 1, NULL, &error), &error, "device");
        t.device.device_type = kDLCPU;
        for (int code = 0; code < 256; code++) {
            for (int bits = 0; bits < 256; bits += bits < 8 ? 1 : 8) {
                t.dtype = (DLDataType){.code = (uint8_t)code, .bits = (uint8_t)bits, .lanes = (uint16_t)(bits % 3)};
                if (jit_type_of(&t)) continue;
                expect(JIT_TYPE, jit_call_alloc(f, in, 1, made, 1, NULL, &error), &error, "type");
            }
        }
        /* Nothing wrong with these: no elements and no data; a stride that is never taken. */
        static const int64_t any[] = {INT64_MAX / 8, 7, INT64_MIN / 8};
        for (int i = 0; i < 3; i++) {
            int64_t strides[1] = {any[i]};
            for (int n = 0; n < 2; n++) {
                t = *jit_array(n ? data : NULL, JIT_F64, n);
                t.strides = strides;
                if (jit_call(f, in, 1, (DLTensor *[]){jit_array(n ? w : NULL, JIT_F64, n)}, 1, &error))
                    fail_msg("%s", error.message);
                if (n) assert_true(w[0] == 2);
            }
        }
        jit_function_free(f);
    }
}

/* Bytes other than 0 and 1 in a bool array are no reason to read outside anything. */
static void test_wild_bools(void **state) {
    (void)state;
    uint8_t b[40];
    double x[40];
    for (int i = 0; i < 40; i++) b[i] = (uint8_t)(i * 37 + 2), x[i] = i;
    static const char *const programs[] = {
        "x[b]",  "x[i64(b)]",        "sum(b)",  "where(b, x, 0)", "count(b)",  "sum(x, by=i64(b), groups=2)",
        "not b", "bincount(i64(b))", "sort(b)", "x[argmax(b)]",   "cumsum(b)", "b // b"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        char source[200];
        jit_error error = {0};
        DLManagedTensor *made[1];
        snprintf(source, sizeof source, "param x: f64[n]; param b: bool[n]; %s", programs[i]);
        jit_function *f = jit_compile(context, source, &error);
        if (!f) {
            check_error(error.code, &error, source);
            continue;
        }
        jit_status status = jit_call_alloc(
            f, (const DLTensor *[]){jit_array(x, JIT_F64, 40), jit_array(b, JIT_BOOL, 40)}, 2, made, 1, NULL, &error);
        if (status)
            check_error(status, &error, source);
        else
            made[0]->deleter(made[0]);
        jit_function_free(f);
    }
}

enum { POOL = 64, SIDE = 6 };

/* One layout of a vector of SIDE elements in a pool: where it begins and its stride. */
static DLTensor vector(double *pool, int begin, int64_t *stride, int64_t *shape) {
    DLTensor t = *jit_array(pool + begin, JIT_F64, 0);
    shape[0] = SIDE;
    t.shape = shape;
    t.strides = stride;
    return t;
}

/* Outputs that share memory with inputs, in every offset and direction: the result is as if they did not. */
static void test_outputs_over_inputs(void **state) {
    (void)state;
    static const char *const programs[] = {
        "return x + y, x * y",
        "return x, y",
        "return y, x",
        "return x[::-1], y",
        "return x + 1, x",
        "return x, x + 1",
        "return x[::-1] + y, y[::-1]",
        "return x - mean(x), x - y",
        "a = x; a[1:] = y[:-1]; return a, x",
        "return x + sum(y), y + sum(x)",
        "for i in 0:3 { x, y = y, x + 1 }\nreturn x, y",
        "q[i] := x[len(x) - 1 - i]\nreturn q, q",
        "ufunc f(i, t: [n]) = t[i]\nreturn f(len(x) - 1 - arange(len(x)), x), f(arange(len(y)), y)",
    };
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++) {
        char source[300];
        snprintf(source, sizeof source, "param x: f64[n]; param y: f64[n]\n%s", programs[p]);
        jit_function *f = compile_available(source);
        if (!f) continue;
        double pool[POOL], expected[2][SIDE];
        int64_t shape[4][1], strides[4][1] = {{1}, {1}, {1}, {1}};
        for (int layout = 0; layout < 8 * 3 * 3; layout++) {
            /* x at 16; y over it or beside it; outputs wherever they do not meet each other. */
            int y_begin = 16 + (layout % 3) * 3, out_stride = (layout / 3) % 3 - 1, from = 10 + layout / 9 * 2;
            strides[2][0] = out_stride ? out_stride : 2;
            strides[3][0] = 1;
            for (int i = 0; i < POOL; i++) pool[i] = i + 0.25;
            DLTensor x = vector(pool, 16, strides[0], shape[0]), y = vector(pool, y_begin, strides[1], shape[1]);
            DLTensor a = vector(pool, from + (out_stride < 0 ? SIDE - 1 : 0), strides[2], shape[2]);
            int after = from + (out_stride ? SIDE : 2 * SIDE - 1);
            DLTensor b = vector(pool, layout % 2 || from < SIDE ? after : from - SIDE, strides[3], shape[3]);
            const DLTensor *in[] = {&x, &y};
            jit_error error = {0};
            DLManagedTensor *made[2];
            if (jit_call_alloc(f, in, 2, made, 2, NULL, &error)) fail_msg("%s\n%s", source, error.message);
            for (int k = 0; k < 2; k++) {
                memcpy(expected[k], made[k]->dl_tensor.data, sizeof expected[k]);
                made[k]->deleter(made[k]);
            }
            for (int i = 0; i < POOL; i++) assert_true(pool[i] == i + 0.25); /* inputs are never written */
            if (jit_call(f, in, 2, (DLTensor *[]){&a, &b}, 2, &error)) fail_msg("%s\n%s", source, error.message);
            for (int i = 0; i < SIDE; i++) {
                double got_a = ((double *)a.data)[i * strides[2][0]], got_b = ((double *)b.data)[i * strides[3][0]];
                if (got_a != expected[0][i] || got_b != expected[1][i])
                    fail_msg("%s\nlayout %d, element %d: %g %g, expected %g %g", source, layout, i, got_a, got_b,
                             expected[0][i], expected[1][i]);
            }
        }
        jit_function_free(f);
    }
}

static void test_outputs_over_outputs(void **state) {
    (void)state;
    jit_function *f = compile("param x: f64[n]; return x + 1, x + 2");
    double x[8] = {0}, out[20];
    jit_error error = {0};
    for (int at = 0; at <= 12; at++) {
        jit_status status =
            jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 8)}, 1,
                     (DLTensor *[]){jit_array(out + 4, JIT_F64, 8), jit_array(out + at, JIT_F64, 8)}, 2, &error);
        if (at == 12)
            assert_int_equal(status, JIT_OK);
        else
            expect(JIT_ARGUMENT, status, &error, "overlapping outputs");
    }
    int64_t zero[1] = {0};
    DLTensor one = *jit_array(out, JIT_F64, 8);
    one.strides = zero;
    expect(JIT_ARGUMENT,
           jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 8)}, 1,
                    (DLTensor *[]){&one, jit_array(out + 10, JIT_F64, 8)}, 2, &error),
           &error, "stride 0");
    /* Wrong in every other way. */
    DLTensor *other[] = {jit_array(out, JIT_F32, 8), jit_array(out, JIT_F64, 7), jit_array(out, JIT_F64, 9),
                         jit_scalar_f64(out), jit_matrix(out, JIT_F64, 1, 8, 8)};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        check_error(jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 8)}, 1,
                             (DLTensor *[]){other[i], jit_array(out + 10, JIT_F64, 8)}, 2, &error),
                    &error, "wrong output");
    jit_function_free(f);
}

/* --- lifetimes and threads ---------------------------------------------------------------------------------------- */

static void test_results_outlive_everything(void **state) {
    (void)state;
    jit_error error = {0};
    jit_context *c = jit_context_new(&(jit_options){.struct_size = sizeof(jit_options), .threads = 2});
    assert_non_null(c);
    jit_function *f = jit_compile(c, "param x: f64[n]; return x*2, x, x[1:], 7, [1.5, 2.5]", &error);
    if (!f) fail_msg("%s", error.message);
    double x[1000];
    for (int i = 0; i < 1000; i++) x[i] = i;
    DLManagedTensor *made[20][5];
    for (int i = 0; i < 20; i++)
        if (jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 1000)}, 1, made[i], 5, NULL, &error))
            fail_msg("%s", error.message);
    jit_context_free(c);
    jit_function_free(f);
    memset(x, 0, sizeof x); /* results hold copies */
    for (int i = 0; i < 20; i++) {
        assert_true(((double *)made[i][0]->dl_tensor.data)[999] == 1998);
        assert_true(((double *)made[i][1]->dl_tensor.data)[999] == 999);
        assert_true(((double *)made[i][2]->dl_tensor.data)[998] == 999);
        assert_true(((double *)made[i][4]->dl_tensor.data)[1] == 2.5);
        memset(made[i][0]->dl_tensor.data, 1, 8000); /* and may be written */
        for (int k = 0; k < 5; k++) made[i][k]->deleter(made[i][k]);
    }
}

struct crowd {
    jit_context *context;
    atomic_int wrong;
};

static void *crowd_work(void *argument) {
    struct crowd *crowd = argument;
    for (int i = 0; i < 6; i++) {
        char source[100];
        double x[300], sum = 0;
        int scale = i % 3 + 1;
        snprintf(source, sizeof source, "param x: f64[n]; sum(x*%d)", scale);
        jit_function *f = jit_compile(crowd->context, source, NULL);
        DLManagedTensor *made[1] = {NULL};
        for (int k = 0; k < 300; k++) x[k] = k, sum += k * scale;
        if (!f || jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, 300)}, 1, made, 1, NULL, NULL) ||
            *(double *)made[0]->dl_tensor.data != sum)
            crowd->wrong++;
        jit_function_free(f);
        if (made[0]) made[0]->deleter(made[0]);
    }
    return NULL;
}

struct caller {
    jit_context *context;
    jit_function *function;
    atomic_int stop, wrong;
    atomic_long calls;
};

static void *call_on(void *argument) {
    struct caller *caller = argument;
    double x[2000], y[2000];
    for (int i = 0; i < 2000; i++) x[i] = i;
    do {
        if (jit_call(caller->function, (const DLTensor *[]){jit_array(x, JIT_F64, 2000)}, 1,
                     (DLTensor *[]){jit_array(y, JIT_F64, 2000)}, 1, NULL) ||
            y[1999] != 3999)
            caller->wrong++;
        caller->calls++;
    } while (!caller->stop);
    return NULL;
}

static void test_many_threads(void **state) {
    (void)state;
    struct crowd crowd = {.context = jit_context_new(NULL)};
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) assert_int_equal(pthread_create(&threads[i], NULL, crowd_work, &crowd), 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    assert_int_equal(crowd.wrong, 0);

    /* The context's own hold goes while functions are in use. */
    struct caller caller = {.function = jit_compile(crowd.context, "x*2 + 1", NULL)};
    assert_non_null(caller.function);
    for (int i = 0; i < 8; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_on, &caller), 0);
    jit_context_free(crowd.context);
    usleep(20000);
    caller.stop = 1;
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    assert_int_equal(caller.wrong, 0);
    jit_function_free(caller.function);
}

static void *compile_on(void *argument) {
    struct caller *caller = argument;
    do {
        jit_function *f = jit_compile(caller->context, "param x: f64[n]; x*3 - 1", NULL);
        if (!f) caller->wrong++;
        jit_function_free(f);
        caller->calls++;
    } while (!caller->stop);
    return NULL;
}

enum { WIDE = 300000 }; /* elements: enough for several threads */

/* What a child does with what its parent made, and on its own. Exit status 0 if all was right. */
static int live_on(const struct caller *caller, double *x) {
    double y[2000], sum = 0;
    if (jit_call(caller->function, (const DLTensor *[]){jit_array(x, JIT_F64, 2000)}, 1,
                 (DLTensor *[]){jit_array(y, JIT_F64, 2000)}, 1, NULL) ||
        y[1999] != 3999)
        return 1;
    jit_function *f = jit_compile(caller->context, "param x: f64[n]; sum(x)", NULL);
    if (!f) return 2;
    if (jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F64, WIDE)}, 1, (DLTensor *[]){jit_scalar_f64(&sum)}, 1,
                 NULL))
        return 3;
    jit_function_free(f);
    return sum == (double)WIDE * (WIDE - 1) / 2 ? 0 : 4;
}

/* fork() while other threads are in a call or compile: the child goes on on its own. */
static void test_fork_while_busy(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer does not follow a fork of several threads */
#endif
    double *x = malloc(sizeof *x * WIDE);
    assert_non_null(x);
    for (int i = 0; i < WIDE; i++) x[i] = i;
    for (int compiling = 0; compiling < 2; compiling++) {
        struct caller caller = {.context =
                                    jit_context_new(&(jit_options){.struct_size = sizeof(jit_options), .threads = 2})};
        assert_non_null(caller.context);
        caller.function = jit_compile(caller.context, "x*2 + 1", NULL);
        assert_non_null(caller.function);
        assert_int_equal(live_on(&caller, x), 0); /* threads are started before the fork */
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, compiling ? compile_on : call_on, &caller), 0);
        while (caller.calls == 0) usleep(1000);
        int status = 0;
        for (int i = 0; i < 12 && status == 0; i++) {
            usleep((unsigned)(i * 331));
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                alarm(10 * SLOWNESS);
                _exit(live_on(&caller, x));
            }
            assert_int_equal(waitpid(child, &status, 0), child);
        }
        caller.stop = 1;
        pthread_join(thread, NULL);
        if (status)
            fail_msg("while the parent %s, a child ended with status %#x", compiling ? "compiled" : "called",
                     (unsigned)status);
        assert_int_equal(caller.wrong, 0);
        jit_function_free(caller.function);
        jit_context_free(caller.context);
    }
    free(x);
}

static void test_more_threads_than_cores(void **state) {
    (void)state;
    jit_context *c = jit_context_new(&(jit_options){.struct_size = sizeof(jit_options), .threads = 64});
    if (!c) return;
    jit_error error = {0};
    jit_function *f = jit_compile(c, "param x: f64[n]; return sum(x), x + 1, max(-x), x + sum(x)", &error);
    if (!f) fail_msg("%s", error.message);
    enum { MANY = 300000 };
    double *x = malloc(sizeof *x * MANY);
    assert_non_null(x);
    for (int i = 0; i < MANY; i++) x[i] = 1;
    static const int threads[] = {0, 1, 2, 63, 64, 1000000, -1};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        DLManagedTensor *made[4];
        jit_call_options options = {.struct_size = sizeof options, .threads = threads[t]};
        jit_status status =
            jit_call_alloc(f, (const DLTensor *[]){jit_array(x, JIT_F64, MANY)}, 1, made, 4, &options, &error);
        if (status && threads[t] < 0) {
            check_error(status, &error, "threads");
            continue;
        }
        if (status) fail_msg("%s", error.message);
        assert_true(*(double *)made[0]->dl_tensor.data == MANY);
        assert_true(((double *)made[3]->dl_tensor.data)[MANY - 1] == MANY + 1);
        for (int k = 0; k < 4; k++) made[k]->deleter(made[k]);
    }
    free(x);
    jit_function_free(f);
    jit_context_free(c);
}

static long resident_pages(void) {
    long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &total, &resident), 2);
    fclose(file);
    return resident;
}

/* Compiling, calling and freeing leaves nothing behind. */
static void test_no_growth(void **state) {
    (void)state;
    double x[3] = {1, 2, 3}, y;
    long before[2] = {0};
    for (int machine = 0; machine < 2; machine++) {
        int turns = machine ? 200 / (SLOWNESS > 1 ? 4 : 1) : 10000 / SLOWNESS;
        for (int i = 0; i < turns; i++) {
            char source[80];
            snprintf(source, sizeof source, machine ? "sum(x)*%d" : "m = nanmean(x); sum((x - m)**2)*%d", i % 7);
            jit_function *f = compile(source);
            if (machine)
                assert_int_equal(jit_call(f, (const DLTensor *[]){jit_array(x, JIT_F64, 3)}, 1,
                                          (DLTensor *[]){jit_scalar_f64(&y)}, 1, NULL),
                                 JIT_OK);
            jit_function_free(f);
            assert_null(jit_compile(context, "x = (1 + ", NULL));
            if (i == turns / 4) before[machine] = resident_pages();
        }
        long grown = resident_pages() - before[machine];
        if (SLOWNESS == 1 && grown * sysconf(_SC_PAGESIZE) > 8 << 20)
            fail_msg("%ld pages more after %d turns", grown, turns);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nulls),
        cmocka_unit_test(test_struct_sizes),
        cmocka_unit_test(test_absurd_tensors),
        cmocka_unit_test(test_wild_bools),
        cmocka_unit_test(test_outputs_over_inputs),
        cmocka_unit_test(test_outputs_over_outputs),
        cmocka_unit_test(test_results_outlive_everything),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_fork_while_busy),
        cmocka_unit_test(test_more_threads_than_cores),
        cmocka_unit_test(test_no_growth),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
