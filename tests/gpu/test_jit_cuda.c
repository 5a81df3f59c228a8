/* Calls on a GPU: arrays that lie in every way in host and device memory, results wherever they are wanted, control
 * flow that looks at values, failures inside kernels. What the CPU computes is what must come out.
 *
 *     test_jit_cuda [--fake [TEST]]
 */
#include <weft/tools.h>

#include "gpu/fixture.h"

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
        struct input inputs[] = {INPUT(x, fixture_view(x + layouts[i].first, JIT_F32, 2, shapes[0], strides[0])),
                                 INPUT(y, fixture_view(y + layouts[other].first, JIT_F32, 2, shapes[1], strides[1])),
                                 INPUT(z, fixture_view(z + 100, JIT_F64, 1, n30, back))};
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
    struct input inputs[] = {INPUT(x, fixture_view(x, JIT_F64, 1, n33, NULL)),
                             INPUT(u, fixture_view(u, JIT_U8, 1, n33, NULL)),
                             {fixture_view(&k, JIT_F64, 0, NULL, NULL), &k, sizeof k},
                             {fixture_view(&n, JIT_I64, 0, NULL, NULL), &n, sizeof n}};
    check("param x: f64[m]\nparam u: u8[m]\nparam k: f64\nparam n: i64\n"
          "t = [1.0, 10.0, 100.0]\nreturn x*k + f64(u) + n, t*k, k + n, (u + 1)[::-2], x[3]",
          inputs, 4);
    check("param x: f64[m]\nparam u: u8[m]\nparam k: f64\nparam n: i64\n"
          "ufunc pick(i: i64, t: [a], v: [b]) { return t[i] + v[2] }\n"
          "return pick(arange(len(x)) % 3, [1.0, 10.0, 100.0], x), zeros(0) + k, full(k, 3), x[0:0]",
          inputs, 4);
    struct input one[] = {{fixture_view(i8, JIT_I64, 1, (int64_t[]){1}, NULL), i8, sizeof i8}};
    check("param x: i64[m]\nreturn x + arange(5), x * 2, sum(x)", one, 1);
}

static void test_control(void **state) {
    (void)state;
    double x[50], tol = 1e-3;
    for (int i = 0; i < 50; i++) x[i] = (i * 37 % 50) * 0.1;
    int64_t n50[] = {50};
    struct input inputs[] = {INPUT(x, fixture_view(x, JIT_F64, 1, n50, NULL)),
                             {fixture_view(&tol, JIT_F64, 0, NULL, NULL), &tol, sizeof tol}};
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

/* Subscripts inside reductions along an axis: of several that are out of range the one that the CPU finds. */
static void test_faults_in_columns(void **state) {
    (void)state;
    enum { N = 12000 };
    static int64_t index[N];
    static double table[100];
    static const int64_t shapes[][2] = {{50, 240}, {240, 50}, {4000, 3}, {3, 4000}, {12000, 1}, {1, 12000}};
    static const int wrong[][3] = {
        {0, 0, 0}, {N - 1, N - 1, N - 1}, {5003, 9001, 7}, {11000, 245, 2900}, {129, 64, 8191}};
    static const char *const results[] = {
        "sum(pick(i, t), axis=0)",
        "max(pick(i, t) * 2, axis=0)",
        "var(pick(i, t), axis=0)",
        "argmin(pick(i, t), axis=0)",
        "sum(pick(i, t), axis=1)",
        "pick(100 + sum(i % 3, axis=0), t)", /* when the column is done */
        "y = pick(i, t)\nreturn sum(y, axis=0), sum(y + pick(i // 2, t), axis=0)",
    };
    for (int k = 0; k < 100; k++) table[k] = k * 0.5;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t r = 0; r < sizeof results / sizeof *results; r++) {
            const size_t w = (s + r) % (sizeof wrong / sizeof *wrong);
            for (int k = 0; k < N; k++) index[k] = k % 100;
            for (int k = 0; k < 3; k++) index[wrong[w][k]] = 100 + k;
            int64_t shape[] = {shapes[s][0], shapes[s][1]};
            uint64_t blocks[2];
            DLTensor i_here = fixture_view(index, JIT_I64, 2, shape, NULL), t_here = *jit_array(table, JIT_F64, 100);
            DLTensor i_there = device_tensor(&device, &i_here, index, sizeof index, &blocks[0]);
            DLTensor t_there = device_tensor(&device, &t_here, table, sizeof table, &blocks[1]);
            char source[300];
            snprintf(source, sizeof source,
                     "param i: i64[h, w]\nparam t: f64[m]\nufunc pick(i: i64, t: [m]) { return t[i] }\n%s", results[r]);
            int code = compare_errors(source, (const DLTensor *[]){&i_here, &t_here},
                                      (const DLTensor *[]){&i_there, &t_there}, 2);
            assert_int_equal(code, JIT_INDEX);
            device_free(&device, blocks[0]), device_free(&device, blocks[1]);
        }
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_scalars_and_literals),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_outputs_over_inputs),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_faults_in_columns),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
    device_close(&device);
    return status;
}
