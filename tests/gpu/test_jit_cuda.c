/* Calls on a GPU: arrays that lie in every way in host and device memory, results wherever they are wanted, control
 * flow that looks at values, failures inside kernels, asynchronous calls. What the CPU computes is what must come out.
 *
 *     test_jit_cuda [--fake [TEST]]
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <unistd.h>

#include <weft/tools.h>

#include "gpu/fixture.h"
#include "gpu/shim/control.h"

static jit_context *cpu, *gpu;

static int setup(void **state) {
    (void)state;
    cpu = fixture_context(NULL);
    gpu = fixture_context("cuda:0");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jit_context_free(cpu);
    jit_context_free(gpu);
    return 0;
}

/* --- the same from everywhere ------------------------------------------------------------------------------------- */

enum { MOST = 6 };

/* An input: a tensor in host memory, and the block that it lies in. */
struct input {
    DLTensor tensor;
    const void *block;
    size_t size;
};
#define INPUT(array, ...) ((struct input){__VA_ARGS__, (array), sizeof(array)})

static size_t bytes_of(const DLTensor *t) {
    size_t size = t->dtype.bits / 8u;
    for (int d = 0; d < t->ndim; d++) size *= (size_t)t->shape[d];
    return size;
}

static void expect_same(const char *source, const char *how, const DLTensor *wanted, const DLTensor *got,
                        const void *data) {
    if (wanted->ndim != got->ndim || wanted->dtype.code != got->dtype.code || wanted->dtype.bits != got->dtype.bits)
        fail_msg("%s\n%s: another type or rank", source, how);
    for (int d = 0; d < wanted->ndim; d++)
        if (wanted->shape[d] != got->shape[d])
            fail_msg("%s\n%s: size %lld in dimension %d, expected %lld", source, how, (long long)got->shape[d], d,
                     (long long)wanted->shape[d]);
    if (memcmp(wanted->data, data, bytes_of(wanted)) == 0) return;
    DLTensor here = *wanted;
    here.data = (void *)data;
    char *expected = jit_format(wanted), *found = jit_format(&here);
    fail_msg("%s\n%s: expected\n%s\nfound\n%s", source, how, expected, found);
}

/* Bit `i` of `there`: input i is in device memory. */
static void check_place(const char *source, const struct input *inputs, int n, unsigned there, jit_context *context,
                        DLManagedTensor *const *wanted, int n_out) {
    const DLTensor *in[MOST];
    DLTensor moved[MOST];
    uint64_t blocks[MOST] = {0};
    char how[80];
    jit_error error = {0};
    snprintf(how, sizeof how, "inputs %x on the device, %s context", there, context == gpu ? "GPU" : "CPU");
    for (int i = 0; i < n; i++) {
        in[i] = &inputs[i].tensor;
        if (!(there >> i & 1)) continue;
        moved[i] = device_tensor(&device, &inputs[i].tensor, inputs[i].block, inputs[i].size, &blocks[i]);
        in[i] = &moved[i];
    }
    jit_function *function = fixture_compile(context, source);
    DLManagedTensor *made[MOST];
    /* Twice: the second call meets what the first has compiled. */
    for (int round = 0; round < 2; round++) {
        if (jit_call_alloc(function, in, n, made, n_out, NULL, &error))
            fail_msg("%s\n%s: %s", source, how, error.message);
        for (int i = 0; i < n_out; i++) {
            DLTensor here;
            assert_int_equal(made[i]->dl_tensor.device.device_type, there ? kDLCUDA : kDLCPU);
            void *data = there ? device_fetch(&device, &made[i]->dl_tensor, &here) : made[i]->dl_tensor.data;
            expect_same(source, how, &wanted[i]->dl_tensor, &made[i]->dl_tensor, data);
            if (there) free(data);
            made[i]->deleter(made[i]);
        }
    }
    /* Into the caller's memory: here, there, and in pieces. */
    for (int way = 0; way < 4; way++) {
        DLTensor results[MOST], *out[MOST];
        uint64_t rooms[MOST] = {0};
        char *hosts[MOST];
        int64_t strides[MOST][8];
        bool on_device = way & 1, spread = way & 2;
        for (int i = 0; i < n_out; i++) {
            results[i] = wanted[i]->dl_tensor;
            size_t size = 2 * bytes_of(&results[i]);
            hosts[i] = calloc(1, size + 1);
            out[i] = &results[i];
            results[i].data = hosts[i];
            if (on_device) {
                rooms[i] = device_alloc(&device, size + 8);
                results[i].data = (void *)(uintptr_t)rooms[i];
                results[i].device = (DLDevice){kDLCUDA, device.ordinal};
            }
            int64_t step = spread ? 2 : 1;
            for (int d = results[i].ndim - 1; d >= 0; d--) strides[i][d] = step, step *= results[i].shape[d];
            results[i].strides = strides[i];
        }
        if (jit_call(function, in, n, out, n_out, &error))
            fail_msg("%s\n%s, way %d: %s", source, how, way, error.message);
        for (int i = 0; i < n_out; i++) {
            size_t size = bytes_of(&results[i]), width = results[i].dtype.bits / 8u;
            if (on_device) device_download(&device, hosts[i], rooms[i], 2 * size);
            for (size_t k = 0; spread && k < size / width; k++)
                memmove(hosts[i] + k * width, hosts[i] + 2 * k * width, width);
            expect_same(source, how, &wanted[i]->dl_tensor, &results[i], hosts[i]);
            free(hosts[i]);
            device_free(&device, rooms[i]);
        }
    }
    jit_function_free(function);
    for (int i = 0; i < n; i++) device_free(&device, blocks[i]);
}

/* The program's results are the CPU's, wherever its inputs are. */
static void check(const char *source, const struct input *inputs, int n) {
    const DLTensor *in[MOST];
    DLManagedTensor *wanted[MOST];
    jit_error error = {0};
    for (int i = 0; i < n; i++) in[i] = &inputs[i].tensor;
    jit_function *function = fixture_compile(cpu, source);
    int n_out = jit_output_count(function);
    assert_true(n_out <= MOST);
    if (jit_call_alloc(function, in, n, wanted, n_out, NULL, &error)) fail_msg("%s\n%s", source, error.message);
    unsigned all = (1u << n) - 1;
    check_place(source, inputs, n, 0, gpu, wanted, n_out);
    for (unsigned there = 1; there <= all; there += there + 1 < all ? all / 3 + 1 : 1) {
        check_place(source, inputs, n, there, cpu, wanted, n_out);
        if (there == all) check_place(source, inputs, n, there, gpu, wanted, n_out);
    }
    for (int i = 0; i < n_out; i++) wanted[i]->deleter(wanted[i]);
    jit_function_free(function);
}

static DLTensor view(const void *data, jit_dtype type, int rank, int64_t *shape, int64_t *strides) {
    return (DLTensor){.data = (void *)data,
                      .device = {kDLCPU, 0},
                      .ndim = rank,
                      .dtype = jit_inline_type((int)type),
                      .shape = shape,
                      .strides = strides};
}

static void test_layouts(void **state) {
    (void)state;
    static float x[4096], y[4096];
    static double z[600];
    for (int i = 0; i < 4096; i++) x[i] = (float)i * 0.25f - 100, y[i] = (float)(i * 7 % 1001) + 0.5f;
    for (int i = 0; i < 600; i++) z[i] = i * 1.5;
    static const char map[] =
        "param a: f32[:, :]\nparam b: f32[:, :]\nparam c: f64[:]\nreturn a*2 + b, a*c, b - a.T[0, 0]";
    static const char reduced[] = "param a: f32[:, :]\nparam b: f32[:, :]\nparam c: f64[:]\nreturn sum(a*b), sum(a, "
                                  "axis=0), max(b, axis=1), mean(c)";
    static const struct {
        int64_t shape[2], stride[2], first;
    } layouts[] = {
        {{20, 30}, {30, 1}, 0},     /* dense */
        {{20, 30}, {30, 1}, 1},     /* one element off, */
        {{20, 30}, {30, 1}, 3},     /* three */
        {{20, 30}, {32, 1}, 0},     /* rows with gaps */
        {{20, 30}, {1, 20}, 5},     /* transposed */
        {{20, 30}, {-30, -1}, 640}, /* reversed */
        {{20, 30}, {64, -2}, 70},   /* neither */
        {{20, 30}, {1, 1}, 9},      /* windows */
        {{20, 30}, {0, 1}, 2},      /* broadcast */
        {{20, 30}, {0, 0}, 7},      {{1, 30}, {1, 100}, 0},
    };
    enum { N = sizeof layouts / sizeof *layouts };
    int64_t n30[] = {30}, back[] = {-3};
    for (int i = 0; i < N; i++) {
        int other = (i * 3 + 1) % N;
        int64_t shapes[2][2], strides[2][2];
        for (int d = 0; d < 2; d++) {
            shapes[0][d] = layouts[i].shape[d], strides[0][d] = layouts[i].stride[d];
            shapes[1][d] = layouts[other].shape[d], strides[1][d] = layouts[other].stride[d];
        }
        struct input inputs[] = {INPUT(x, view(x + layouts[i].first, JIT_F32, 2, shapes[0], strides[0])),
                                 INPUT(y, view(y + layouts[other].first, JIT_F32, 2, shapes[1], strides[1])),
                                 INPUT(z, view(z + 100, JIT_F64, 1, n30, back))};
        if (shapes[0][0] != shapes[1][0]) shapes[1][0] = shapes[0][0] = 1;
        check(map, inputs, 3);
        if (i % 3 == 0) check(reduced, inputs, 3);
    }
}

static void test_scalars_and_literals(void **state) {
    (void)state;
    double x[33], k = 2.5;
    int64_t n = 4, i8[] = {5};
    unsigned char u[33];
    for (int i = 0; i < 33; i++) x[i] = i - 16, u[i] = (unsigned char)(i * 3);
    int64_t n33[] = {33};
    struct input inputs[] = {INPUT(x, view(x, JIT_F64, 1, n33, NULL)),
                             INPUT(u, view(u, JIT_U8, 1, n33, NULL)),
                             {view(&k, JIT_F64, 0, NULL, NULL), &k, sizeof k},
                             {view(&n, JIT_I64, 0, NULL, NULL), &n, sizeof n}};
    check("param x: f64[m]\nparam u: u8[m]\nparam k: f64\nparam n: i64\n"
          "t = [1.0, 10.0, 100.0]\nreturn x*k + f64(u) + n, t*k, k + n, (u + 1)[::-2], x[3]",
          inputs, 4);
    check("param x: f64[m]\nparam u: u8[m]\nparam k: f64\nparam n: i64\n"
          "ufunc pick(i: i64, t: [a], v: [b]) { return t[i] + v[2] }\n"
          "return pick(arange(len(x)) % 3, [1.0, 10.0, 100.0], x), zeros(0) + k, full(k, 3), x[0:0]",
          inputs, 4);
    struct input one[] = {{view(i8, JIT_I64, 1, (int64_t[]){1}, NULL), i8, sizeof i8}};
    check("param x: i64[m]\nreturn x + arange(5), x * 2, sum(x)", one, 1);
}

static void test_control(void **state) {
    (void)state;
    double x[50], tol = 1e-3;
    for (int i = 0; i < 50; i++) x[i] = (i * 37 % 50) * 0.1;
    int64_t n50[] = {50};
    struct input inputs[] = {INPUT(x, view(x, JIT_F64, 1, n50, NULL)),
                             {view(&tol, JIT_F64, 0, NULL, NULL), &tol, sizeof tol}};
    /* A value on the device decides; a counter that never leaves the host does. */
    check("param x: f64[n]\nparam tol: f64\nturns = 0\ny = x\n"
          "while max(abs(y)) > tol { y = y*0.5; turns += 1 }\nreturn y, turns",
          inputs, 2);
    check("param x: f64[n]\nparam tol: f64\ny = x\ns = f64(0)\n"
          "for i in 0:10 { y = y + i; s += sum(y)*tol; if i == 7 { break } }\nreturn y, s, y",
          inputs, 2);
    check(
        "param x: f64[n]\nparam tol: f64\nm = mean(x)\nif m > 2 { y = x - m } else { y = x + tol }\nreturn y, m > 2, x",
        inputs, 2);
    /* A size that a reduction finds. */
    check("param x: f64[n]\nparam tol: f64\nk = count(x > 2.0)\nreturn zeros(k) + tol, x[0:k], x[argmax(x)]", inputs,
          2);
    check("param x: f64[n]\nparam tol: f64\na = x\nb = x + tol\nfor i in 0:3 { a, b = b, a }\nreturn a, b, reshape(a, "
          "10, 5)",
          inputs, 2);
}

/* --- memory of the caller ----------------------------------------------------------------------------------------- */

static void test_outputs_over_inputs(void **state) {
    (void)state;
    enum { N = 1000 };
    double x[N], y[N], room[2 * N], got[2 * N];
    for (int i = 0; i < N; i++) x[i] = i, y[i] = -i;
    struct array a, b, c;
    for (int offset = 0; offset <= 3; offset++) {
        /* In place, and shifted over the input. */
        array_new(&a, x, N);
        DLTensor in = a.tensor, out = a.tensor;
        int64_t n = N - 3;
        in.shape = out.shape = &n;
        in.data = (double *)in.data + 1;
        out.data = (double *)out.data + offset;
        jit_function *f = fixture_compile(cpu, "param x: f64[n]\nx*2 + 1");
        jit_error error = {0};
        if (jit_call(f, (const DLTensor *[]){&in}, 1, (DLTensor *[]){&out}, 1, &error)) fail_msg("%s", error.message);
        array_get(&a, got);
        for (int i = 0; i < N; i++)
            assert_true(got[i] == (i >= offset && i < offset + n ? x[i - offset + 1] * 2 + 1 : x[i]));
        jit_function_free(f);
        array_free(&a);
    }
    /* What comes in goes out, exchanged: nothing is overwritten before it was read. */
    jit_function *swap = fixture_compile(gpu, "param x: f64[n]\nparam y: f64[n]\nreturn y, x, x + y");
    for (int mixed = 0; mixed < 3; mixed++) {
        double host_x[N], host_y[N], sum[N];
        memcpy(host_x, x, sizeof x), memcpy(host_y, y, sizeof y);
        array_new(&a, x, N), array_new(&b, y, N), array_new(&c, x, N);
        DLTensor tx = mixed == 2 ? *jit_array(host_x, JIT_F64, N) : a.tensor;
        DLTensor ty = mixed >= 1 ? *jit_array(host_y, JIT_F64, N) : b.tensor;
        jit_error error = {0};
        if (jit_call(swap, (const DLTensor *[]){&tx, &ty}, 2, (DLTensor *[]){&tx, &ty, &c.tensor}, 3, &error))
            fail_msg("%s", error.message);
        mixed == 2 ? (void)memcpy(got, host_x, sizeof x) : array_get(&a, got);
        assert_memory_equal(got, y, sizeof y);
        mixed >= 1 ? (void)memcpy(got, host_y, sizeof y) : array_get(&b, got);
        assert_memory_equal(got, x, sizeof x);
        array_get(&c, sum);
        for (int i = 0; i < N; i++) assert_true(sum[i] == 0);
        array_free(&a), array_free(&b), array_free(&c);
    }
    jit_function_free(swap);
    /* An output of every other element: what lies between stays. */
    for (int i = 0; i < 2 * N; i++) room[i] = 7;
    array_new(&a, x, N), array_new(&b, room, 2 * N);
    int64_t two = 2, n = N;
    b.tensor.strides = &two, b.tensor.shape = &n;
    jit_function *f = fixture_compile(gpu, "param x: f64[n]\nx + 1");
    assert_int_equal(jit_call(f, (const DLTensor *[]){&a.tensor}, 1, (DLTensor *[]){&b.tensor}, 1, NULL), JIT_OK);
    device_download(&device, got, b.address, sizeof got);
    for (int i = 0; i < 2 * N; i++) assert_true(got[i] == (i % 2 ? 7 : i / 2 + 1));
    jit_function_free(f);
    array_free(&a), array_free(&b);
}

/* The results' shapes are known without a run; a wrong output is refused, whether here or there. */
static void test_shapes(void **state) {
    (void)state;
    double x[60] = {1}, y[60];
    struct array a, b;
    array_new(&a, x, 60), array_new(&b, x, 59);
    jit_function *f = fixture_compile(cpu, "param x: f64[n]\nx[::2] * 2");
    jit_dtype type;
    int rank;
    int64_t shape[8];
    jit_error error = {0};
    const DLTensor *in[] = {&a.tensor};
    assert_int_equal(jit_output_shape(f, in, 1, 0, &type, &rank, shape, &error), JIT_OK);
    assert_true(type == JIT_F64 && rank == 1 && shape[0] == 30);
    DLTensor *wrong[] = {&b.tensor, jit_array(y, JIT_F64, 60), jit_array(y, JIT_F32, 30)};
    for (int i = 0; i < 3; i++)
        fixture_expect(i == 2 ? JIT_TYPE : JIT_SHAPE, jit_call(f, in, 1, &wrong[i], 1, &error), &error, "wrong output");
    assert_int_equal(jit_call(f, in, 1, (DLTensor *[]){jit_array(y, JIT_F64, 30)}, 1, &error), JIT_OK);
    assert_true(y[0] == 2);
    jit_function_free(f);
    array_free(&a), array_free(&b);
}

/* --- failures inside kernels -------------------------------------------------------------------------------------- */

static int compare_errors(const char *source, const DLTensor *const *here, const DLTensor *const *there, int n) {
    jit_error errors[3] = {0};
    for (int way = 0; way < 3; way++) {
        jit_function *f = fixture_compile(way == 1 ? gpu : cpu, source);
        DLManagedTensor *made[MOST];
        jit_status status =
            jit_call_alloc(f, way == 2 ? there : here, n, made, jit_output_count(f), NULL, &errors[way]);
        if (status != errors[way].code || status == JIT_OK) fail_msg("%s\nway %d: status %d", source, way, status);
        jit_function_free(f);
        if (errors[way].code != errors[0].code || strcmp(errors[way].message, errors[0].message) != 0 ||
            errors[way].offset != errors[0].offset)
            fail_msg("%s\nCPU: %s\nway %d: %s", source, errors[0].message, way, errors[way].message);
    }
    return (int)errors[0].code;
}

static void test_faults(void **state) {
    (void)state;
    enum { N = 5000 };
    static int64_t index[N];
    static double table[100];
    for (int i = 0; i < N; i++) index[i] = i % 100;
    index[4711] = 100, index[3333] = -7, index[4000] = 1000;
    uint64_t blocks[2];
    DLTensor i_here = *jit_array(index, JIT_I64, N), t_here = *jit_array(table, JIT_F64, 100);
    DLTensor i_there = device_tensor(&device, &i_here, index, sizeof index, &blocks[0]);
    DLTensor t_there = device_tensor(&device, &t_here, table, sizeof table, &blocks[1]);
    const DLTensor *here[] = {&i_here, &t_here}, *there[] = {&i_there, &t_there};
    static const char begin[] = "param i: i64[n]\nparam t: f64[m]\nufunc pick(i: i64, t: [m]) { return t[i] }\n";
    static const char *const ends[] = {
        "pick(i, t) + 1",
        "sum(pick(i, t))",
        "a = pick(i % 100, t)\nb = pick(i, a)\nc = pick(i - 50, t)\nreturn a, c, b",
        "y = pick(i, t)\nassert sum(y) < 0, \"later\"\nreturn y",     /* the subscript comes first */
        "assert sum(t) > 0, \"earlier\"\ny = pick(i, t)\nreturn y",   /* and here second */
        "y = pick(i, t)\nk = i64(sum(y))\nreturn zeros(k - 1000000)", /* a size that follows from it */
        "y = pick(i, t)\nreturn y, t + arange(i[1] + 5)",             /* shapes that differ, later */
        "s = f64(0)\nfor k in 0:200 { s += sum(pick(i[0:33]*2 + k, t)) }\nreturn s",
    };
    int seen = 0;
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
        char source[600];
        snprintf(source, sizeof source, "%s%s", begin, ends[k]);
        seen |= 1 << compare_errors(source, here, there, 2);
    }
    assert_true(seen & 1 << JIT_INDEX && seen & 1 << JIT_ASSERT);
    /* The same call goes on with good values. */
    for (int i = 0; i < N; i++) index[i] = i % 100;
    struct input inputs[] = {INPUT(index, i_here), INPUT(table, t_here)};
    char source[600];
    snprintf(source, sizeof source, "%s%s", begin, ends[0]);
    check(source, inputs, 2);
    device_free(&device, blocks[0]), device_free(&device, blocks[1]);
}

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

static void *set_soon(void *flag) {
    usleep(50000);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELAXED);
    return NULL;
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
        pthread_create(&thread, NULL, set_soon, (void *)&cancel);
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
        cmocka_unit_test(test_layouts),         cmocka_unit_test(test_scalars_and_literals),
        cmocka_unit_test(test_control),         cmocka_unit_test(test_outputs_over_inputs),
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_faults),
        cmocka_unit_test(test_pending_results), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_effects),         cmocka_unit_test(test_profile),
        cmocka_unit_test(test_threads),         cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_little_memory),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, setup, teardown);
    device_close(&device);
    return status;
}
