/* Programs whose kernels run row by row as one kernel on a GPU: softmax, layer norm and their like, from and to memory
 * of every kind. The CPU's bits must come out (of elementary functions a real GPU's are its own), and the one kernel
 * must have run; or, where rows are few or too long for it, the kernels one after the other.
 *
 *     test_rows_cuda [--fake [TEST]]
 */
#include "gpu/rows_fixture.h"

enum { MOST = 20 };

/* Launches on the GPU since jit_profile: of kernels that take all in one, and of others. */
static void count_launches(const jit_function *function, long *rows, long *others) {
    jit_profile_row row;
    *rows = *others = 0;
    for (int i = 0; jit_profile_get(function, i, &row); i++) {
        const size_t length = strlen(row.kernel);
        if (strstr(row.kernel, "the GPU")) continue;
        const bool is_rows = length > 5 && !strcmp(row.kernel + length - 5, "_rows");
        assert_true(row.seconds >= 0 && row.bytes > 0 && (row.gpu || !is_rows));
        if (row.gpu) *(is_rows ? rows : others) += (long)row.launches;
    }
}

enum path {
    ROWS,     /* one kernel does it all */
    ROWS_TOO, /* and others are launched, too */
    APART,    /* one after the other */
    ANY,
};

static void expect_path(const char *source, const char *how, const jit_function *function, enum path path) {
    long rows, others;
    count_launches(function, &rows, &others);
    if (path != ANY && ((rows > 0) != (path != APART) || (others > 0) != (path != ROWS)))
        fail_msg("%s\n%s: %ld launches of rows, %ld of others", source, how, rows, others);
}

/* In all ways that a call can have its arrays: inputs on the device, results there, results of the caller's, which may
 * have gaps between them, on a stream of the caller's and waited for later. */
enum { FROM_DEVICE = 1, CALLERS = 2, TO_DEVICE = 4, SPREAD = 8, LATER = 16, WAYS = 32 };

struct output {
    DLTensor tensor, *out;
    DLManagedTensor *made;
    int64_t stride[4];
    uint64_t room;
    char *host;
};

static void output_new(struct output *output, const DLTensor *wanted, unsigned way) {
    const size_t size = 2 * rows_bytes(wanted);
    int64_t step = way & SPREAD ? 2 : 1;
    *output = (struct output){.tensor = *wanted, .host = malloc(size + 1)};
    memset(output->host, 0xAB, size);
    for (int d = wanted->ndim - 1; d >= 0; d--)
        output->stride[d] = step, step *= wanted->shape[d] ? wanted->shape[d] : 1;
    output->tensor.strides = output->stride;
    output->tensor.data = output->host;
    output->out = &output->tensor;
    if (!(way & CALLERS) || !(way & TO_DEVICE)) return;
    output->room = device_alloc(&device, size + 8);
    output->tensor.data = (void *)(uintptr_t)output->room;
    output->tensor.device = (DLDevice){kDLCUDA, device.ordinal};
}

static void output_check(struct output *output, const char *source, const char *how, const DLTensor *wanted,
                         unsigned way) {
    const size_t size = rows_bytes(wanted), width = wanted->dtype.bits / 8u;
    DLTensor here;
    char *fetched = NULL;
    const char *data = output->host;
    if (way & CALLERS) {
        if (output->room) device_download(&device, output->host, output->room, 2 * size);
        for (size_t k = 0; way & SPREAD && k < size / width; k++)
            memmove(output->host + k * width, output->host + 2 * k * width, width);
    } else {
        data = output->made->dl_tensor.data;
        if (way & FROM_DEVICE) data = fetched = device_fetch(&device, &output->made->dl_tensor, &here);
    }
    rows_expect(source, how, wanted, data);
    free(fetched);
    if (output->made) output->made->deleter(output->made);
    device_free(&device, output->room);
    free(output->host);
}

static void check_way(jit_function *function, const char *source, const struct input *inputs, int n,
                      DLManagedTensor *const *wanted, int n_out, unsigned way, enum path path) {
    const DLTensor *in[MOST];
    DLTensor moved[MOST], *out[MOST];
    DLManagedTensor *made[MOST] = {0};
    uint64_t blocks[MOST] = {0};
    struct output outputs[MOST];
    char how[100];
    snprintf(how, sizeof how, "%ld x %ld, %s%s%s%s%s", (long)inputs[0].shape[0], (long)inputs[0].shape[1],
             way & FROM_DEVICE ? "from the device" : "from the host", way & CALLERS ? ", into the caller's" : "",
             way & TO_DEVICE ? " on the device" : "", way & SPREAD ? ", spread" : "", way & LATER ? ", later" : "");
    for (int i = 0; i < n; i++) {
        in[i] = &inputs[i].tensor;
        if (!(way & FROM_DEVICE)) continue;
        moved[i] = device_tensor(&device, in[i], inputs[i].block, inputs[i].size, &blocks[i]);
        in[i] = &moved[i];
    }
    for (int i = 0; i < n_out; i++) output_new(&outputs[i], &wanted[i]->dl_tensor, way), out[i] = outputs[i].out;
    jit_pending *pending = NULL;
    jit_call_options options = {.struct_size = sizeof options};
    if (way & LATER) options.pending = &pending, options.stream = device_stream_new(&device);
    jit_error error = {0};
    jit_profile(function, 0);
    jit_profile(function, 1);
    jit_status status = way & CALLERS ? jit_call_with(function, in, n, out, n_out, &options, &error)
                                      : jit_call_alloc(function, in, n, made, n_out, &options, &error);
    if (status == JIT_OK) status = jit_wait(pending, &error);
    if (status) fail_msg("%s\n%s: %s", source, how, error.message);
    expect_path(source, how, function, path);
    for (int i = 0; i < n_out; i++) {
        outputs[i].made = made[i];
        output_check(&outputs[i], source, how, &wanted[i]->dl_tensor, way);
    }
    if (options.stream) device_stream_free(&device, options.stream);
    for (int i = 0; i < n; i++) device_free(&device, blocks[i]);
}

/* `ways`: bit w: way w; 0: three of them. */
static void check_in(jit_context *context, const char *source, const struct input *inputs, int n, enum path path,
                     unsigned ways) {
    const DLTensor *in[MOST];
    DLManagedTensor *wanted[MOST];
    jit_error error = {0};
    jit_function *here = fixture_compile(cpu, source), *there = fixture_compile(context, source);
    const int n_out = jit_output_count(here);
    assert_true(n <= MOST && n_out <= MOST);
    for (int i = 0; i < n; i++) in[i] = &inputs[i].tensor;
    if (jit_call_alloc(here, in, n, wanted, n_out, NULL, &error)) fail_msg("%s\n%s", source, error.message);
    if (!ways) ways = 1u | 1u << (FROM_DEVICE | LATER) | 1u << (FROM_DEVICE | CALLERS | TO_DEVICE);
    for (unsigned way = 0; way < WAYS; way++)
        if (ways >> way & 1) check_way(there, source, inputs, n, wanted, n_out, way, path);
    for (int i = 0; i < n_out; i++) wanted[i]->deleter(wanted[i]);
    jit_function_free(here), jit_function_free(there);
}

static void check(const char *source, const struct input *inputs, int n, enum path path) {
    check_in(gpu, source, inputs, n, path, 0);
}

/* A program of a dense matrix. */
static void check_matrix(const char *source, int type, int64_t rows, int64_t columns, enum path path) {
    struct input x;
    input_new(&x, type, 2, (int64_t[]){rows, columns}, NULL, 0);
    check(source, &x, 1, path);
    input_free(&x);
}

/* --- programs and sizes ------------------------------------------------------------------------------------------- */

static void test_programs(void **state) {
    (void)state;
    static const char *const bodies[] = {
        SOFTMAX,
        LOG_SOFTMAX,
        Z_SCORE,
        LONG_CHAIN,
        "return x / sqrt(sum(x * x, axis=1, keepdims=true))\n",
        "return x - mean(x, axis=1, keepdims=true)\n",
        /* What is left for the next kernel is wanted, too. */
        "e = exp(x - max(x, axis=1, keepdims=true))\ns = sum(e, axis=1)\nreturn e, s, e / s[:, None]\n",
        "t = max(x, axis=1)\nl = log(sum(exp(x - t[:, None]), axis=1)) + t\nreturn l, x - l[:, None]\n",
        /* It is read backwards, and a part of it. */
        "e = exp(x - max(x, axis=1, keepdims=true))\nreturn e[:, ::-1] / sum(e[:, 1:], axis=1, keepdims=true)\n",
        /* The position of one. */
        "e = exp(x - max(x, axis=1, keepdims=true))\nreturn e * f32(argmax(e, axis=1))[:, None], argmin(e, axis=1)\n",
        /* Several reductions at once; one of which several make use. */
        "mid = mean(x, axis=1, keepdims=true)\nlow = min(x, axis=1, keepdims=true)\n"
        "return (x - mid) / (max(x, axis=1, keepdims=true) - low + 1), mid - low\n",
    };
    char source[400];
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        for (int wide = 0; wide < 2; wide++) {
            if (SLOWNESS > 1 && (i & 1) == (unsigned)wide) continue;
            snprintf(source, sizeof source, "%s%s", wide ? F64 : F32, bodies[i]);
            check_matrix(source, wide ? JIT_F64 : JIT_F32, 70, 33 + 31 * wide, ROWS);
        }
    }
    /* A row for all, scalars that the host has, literals. */
    struct input in[4];
    input_new(&in[0], JIT_F32, 2, (int64_t[]){90, 40}, NULL, 0);
    input_new(&in[1], JIT_F32, 1, (int64_t[]){40}, NULL, 3);
    input_new(&in[2], JIT_F32, 1, (int64_t[]){40}, NULL, 0);
    input_new(&in[3], JIT_F32, 0, NULL, NULL, 5);
    check(F32 "param g: f32[m]\nparam b: f32[m]\n" LAYER_NORM, in, 3, ROWS);
    check(F32 "param g: f32[m]\nparam b: f32[m]\nparam k: f32\n"
              "e = exp((x - max(x, axis=1, keepdims=true)) * k)\nreturn e / sum(e * g, axis=1, keepdims=true) + b\n",
          in, 4, ROWS);
    for (int i = 0; i < 4; i++) input_free(&in[i]);
    check_matrix("param x: f32[n, 4]\ny = x * [1, 2, 0.5, -1]\nreturn y - sum(y, axis=1, keepdims=true)\n", JIT_F32, 90,
                 4, ROWS);
}

static void test_integers(void **state) {
    (void)state;
    check_matrix("param x: i32[n, m]\ny = x - min(x, axis=1, keepdims=true)\n"
                 "return y * i32(100) / (max(y, axis=1, keepdims=true) + i32(1))\n",
                 JIT_I32, 50, 70, ROWS);
    check_matrix("param x: i64[n, m]\ny = x * x\nreturn y - sum(y, axis=1, keepdims=true)\n", JIT_I64, 50, 70, ROWS);
    check_matrix("param x: u8[n, m]\nt = f32(x)\nreturn (t - mean(t, axis=1, keepdims=true)) > 0\n", JIT_U8, 50, 70,
                 ROWS);
}

/* From a row that one warp takes to such as need several rounds; more scratch than without asking, more than there is.
 */
static void test_sizes(void **state) {
    (void)state;
    static const int64_t columns[] = {1, 2, 3, 7, 64, 255, 257, 1000, 2049, 4100, 8000};
    for (size_t i = 0; i<sizeof columns / sizeof *columns; i += SLOWNESS> 1 ? 3 : 1) {
        check_matrix(F32 SOFTMAX, JIT_F32, 37, columns[i], ROWS);
        check_matrix(F64 Z_SCORE, JIT_F64, 5, columns[i], ROWS);
    }
    check_matrix(F32 SOFTMAX, JIT_F32, 2, 100, ROWS);
    check_matrix(F32 SOFTMAX, JIT_F32, 20000, 3, ROWS);
    if (!device.is_shim) check_matrix(F32 SOFTMAX, JIT_F32, 20000, 1000, ROWS);
    const int64_t enough = device.is_shim ? 3 : 140; /* rows of any length */
    check_matrix(F32 SOFTMAX, JIT_F32, enough, 14000, ROWS);
    check_matrix(F64 SOFTMAX, JIT_F64, enough, device.is_shim ? 15000 : 30000, device.is_shim ? ROWS : ANY);
}

/* One row, no rows, and rows without elements. */
static void test_no_rows(void **state) {
    (void)state;
    static const int64_t shapes[3][2] = {{1, 5000}, {0, 50}, {50, 0}};
    for (int i = 0; i < 3; i++) {
        struct input x;
        input_new(&x, JIT_F32, 2, shapes[i], NULL, 0);
        check(F32 "s = sum(x, axis=1, keepdims=true)\nreturn x - s, s + 1\n", &x, 1, i ? ANY : APART);
        input_free(&x);
    }
}

/* A device with many multiprocessors: rows that are few and long are done one kernel after the other. So are those for
 * which the kernel, once it is made, turns out to need more shared memory than there is, and too much to be in the
 * cache for all multiprocessors. */
static void test_apart(void **state) {
    (void)state;
    device_close(&device);
    if (device.is_shim) FAKE(shim_set_multiprocessors)(0, 500);
    assert_null(device_open(&device, 0));
    jit_context *large = fixture_context("cuda:0");
    static const struct {
        const char *source;
        int type;
        int64_t shape[2];
        bool apart;
    } cases[] = {
        {F32 SOFTMAX, JIT_F32, {2, 20000}, true},    {F32 Z_SCORE, JIT_F32, {8, 9000}, true},
        {F32 SOFTMAX, JIT_F32, {8, 8000}, false},    {F64 LONG_CHAIN, JIT_F64, {4, 7000}, true},
        {F64 LONG_CHAIN, JIT_F64, {4, 1000}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct input x;
        input_new(&x, cases[i].type, 2, cases[i].shape, NULL, 0);
        enum path path = !cases[i].apart ? ROWS : i == 3 && !device.is_shim ? ANY : APART;
        check_in(large, cases[i].source, &x, 1, path, 0);
        input_free(&x);
    }
    jit_context_free(large);
    if (device.is_shim) FAKE(shim_set_multiprocessors)(0, 4);
}

/* --- arrays ------------------------------------------------------------------------------------------------------- */

static void test_ways(void **state) {
    (void)state;
    struct input x;
    input_new(&x, JIT_F32, 2, (int64_t[]){60, 72}, NULL, 0);
    check_in(gpu, F32 SOFTMAX, &x, 1, ROWS, 0xFFFFFFFF);
    check_in(gpu, F32 "e = exp(x - max(x, axis=1, keepdims=true))\nreturn e, e / sum(e, axis=1, keepdims=true)\n", &x,
             1, ROWS, 0xFFFFFFFF);
    input_free(&x);
}

static void test_layouts(void **state) {
    (void)state;
    static const struct {
        int64_t shape[2], stride[2], first;
    } layouts[] = {
        {{40, 68}, {68, 1}, 3},      /* off where vectors begin */
        {{40, 67}, {67, 1}, 0},      /* each row elsewhere */
        {{40, 68}, {80, 1}, 4},      /* gaps between rows */
        {{40, 68}, {150, 2}, 0},     /* and in them */
        {{40, 68}, {1, 40}, 0},      /* transposed */
        {{40, 68}, {-68, -1}, 2719}, /* from the end */
        {{40, 68}, {0, 1}, 0},       /* one row for all */
        {{40, 68}, {1, 0}, 0},       /* one element a row */
        {{40, 68}, {1, 1}, 0},       /* windows */
    };
    for (size_t i = 0; i<sizeof layouts / sizeof *layouts; i += SLOWNESS> 1 ? 2 : 1) {
        struct input in[3];
        input_new(&in[0], JIT_F32, 2, layouts[i].shape, layouts[i].stride, layouts[i].first);
        input_new(&in[1], JIT_F32, 1, &layouts[i].shape[1], (int64_t[]){2}, 0);
        input_new(&in[2], JIT_F32, 1, &layouts[i].shape[1], (int64_t[]){-1}, 67);
        check(F32 SOFTMAX, in, 1, ROWS);
        check(F32 "param g: f32[m]\nparam b: f32[m]\n" LAYER_NORM, in, 3, ROWS);
        for (int k = 0; k < 3; k++) input_free(&in[k]);
    }
    /* Views that the program makes. */
    check_matrix(F32 "y = x[1:, ::-2]\ne = exp(y - max(y, axis=1, keepdims=true))\n"
                     "return e / sum(e, axis=1, keepdims=true)\n",
                 JIT_F32, 41, 66, ROWS);
    check_matrix(F64 "y = x.T\nreturn y - mean(y, axis=1, keepdims=true)\n", JIT_F64, 30, 50, ROWS);
}

/* Rows that are given by two dimensions, which may lie one after the other or not. */
static void test_rank_3(void **state) {
    (void)state;
    static const char source[] = "param x: f32[a, b, m]\ne = exp(x - max(x, axis=2, keepdims=true))\n"
                                 "return e / sum(e, axis=2, keepdims=true)\n";
    static const int64_t strides[][3] = {{300, 30, 1}, {330, 30, 1}, {30, 180, 1}, {1, 6, 60}, {0, 30, 1}};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
        struct input x;
        input_new(&x, JIT_F32, 3, (int64_t[]){6, 10, 30}, strides[i], 0);
        check(source, &x, 1, ROWS);
        /* The positions are looked at. */
        check("param x: f32[a, b, m]\ni = f32(arange(a))[:, None, None]\nj = f32(arange(b))[None, :, None]\n"
              "y = x * (i + 1) - j\nreturn y - mean(y, axis=2, keepdims=true) * f32(arange(m))\n",
              &x, 1, ROWS);
        /* A row is a plane. */
        check("param x: f32[a, b, m]\nreturn x - mean(x, axis=(1, 2), keepdims=true)\n", &x, 1, ROWS);
        input_free(&x);
    }
}

/* More parameters than a launch can pass: they go through memory. */
static void test_many_arrays(void **state) {
    (void)state;
    struct input in[MOST];
    char source[4000];
    int at = 0;
    for (int i = 0; i < MOST; i++) {
        input_new(&in[i], JIT_F32, 3, (int64_t[]){3, 4, 20}, (int64_t[]){200 + 7 * i, 45 + i, 2}, i);
        at += snprintf(source + at, sizeof source - (size_t)at, "param a%d: f32[n, m, k]\n", i);
    }
    at += snprintf(source + at, sizeof source - (size_t)at, "r = 0\n");
    for (int stage = 1; stage < 8; stage++) {
        at += snprintf(source + at, sizeof source - (size_t)at, "r = sum(a0");
        for (int i = 1; i < MOST; i++) at += snprintf(source + at, sizeof source - (size_t)at, "+a%d*%d", i, stage * i);
        at += snprintf(source + at, sizeof source - (size_t)at, "-r, axis=2, keepdims=true) * 0.1\n");
    }
    snprintf(source + at, sizeof source - (size_t)at, "return a0 - r\n");
    check(source, in, MOST, ROWS);
    for (int i = 0; i < MOST; i++) input_free(&in[i]);
}

/* In a loop, a branch, between other kernels; a variable that becomes its own softmax. */
static void test_control(void **state) {
    (void)state;
    check_matrix(F64 "for i in 0:3 {\ne = exp(x - max(x, axis=1, keepdims=true))\n"
                     "x = e / sum(e, axis=1, keepdims=true)\n}\nreturn x\n",
                 JIT_F64, 30, 50, ROWS_TOO);
    check_matrix(F64 "if x[0, 0] < 0 { y = x - mean(x, axis=1, keepdims=true) } else { y = x + 1 }\n"
                     "return y, sum(y, axis=0)\n",
                 JIT_F64, 30, 50, ROWS_TOO);
    check_matrix(F64 "y = exp(x - max(x, axis=1, keepdims=true))\nz = y / sum(y, axis=1, keepdims=true)\n"
                     "return sum(z, axis=0), mean(z), z[1:] - z[:-1]\n",
                 JIT_F64, 30, 50, ROWS_TOO);
}

/* NaN and infinity go the CPU's way. */
static void test_special_values(void **state) {
    (void)state;
    struct input x;
    input_new(&x, JIT_F32, 2, (int64_t[]){40, 50}, NULL, 0);
    float *values = (float *)(void *)x.block;
    values[3] = NAN, values[70] = INFINITY, values[130] = -INFINITY, values[131] = -0.0f;
    for (int i = 200; i < 250; i++) values[i] = -INFINITY;
    check(F32 SOFTMAX, &x, 1, ROWS);
    check(F32 LOG_SOFTMAX, &x, 1, ROWS);
    check(F32 "return x / max(x, axis=1, keepdims=true)\n", &x, 1, ROWS);
    input_free(&x);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs), cmocka_unit_test(test_integers),       cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_no_rows),  cmocka_unit_test(test_apart),          cmocka_unit_test(test_ways),
        cmocka_unit_test(test_layouts),  cmocka_unit_test(test_rank_3),         cmocka_unit_test(test_many_arrays),
        cmocka_unit_test(test_control),  cmocka_unit_test(test_special_values),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, rows_setup, rows_teardown);
    device_close(&device);
    return status;
}
