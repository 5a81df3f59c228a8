/* Large maps from host memory to host memory, slab by slab: the same results as on the CPU, in whatever way the arrays
 * lie, with a part of the device memory; what is no such map is run as a whole. The sizes from which on this is done
 * are made small here.
 *
 *     test_slabs [--fake [TEST]]
 */
#include <pthread.h>
#include <unistd.h>

#include <weft/tools.h>

#include "gpu/fixture.h"
#include "gpu/shim/control.h"
#include "runtime/runtime.h"

enum { FROM = 16 << 10, SLAB = 4 << 10, MOST = 4 };

static jit_context *slab_context(size_t memory) {
    jit_error error = {0};
    jit_options options = {
        .struct_size = sizeof options, .device = "cuda:0", .cache_folder = "", .max_device_memory = memory};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) fail_msg("%s", error.message);
    context->slabs_from = FROM, context->slab_bytes = SLAB;
    return context;
}

static int setup(void **state) {
    (void)state;
    cpu = fixture_context(NULL);
    gpu = slab_context(0);
    return 0;
}

/* How often the program's kernels were launched since jit_profile. */
static long launches(jit_function *function) {
    jit_profile_row row;
    long sum = 0;
    for (int i = 0; jit_profile_get(function, i, &row); i++)
        if (!strstr(row.kernel, "the GPU")) sum += (long)row.launches;
    return sum;
}

/* Calls into results of the caller's and of Weft's. `slabs`: 1: in several launches a kernel; 0: in one; -1: either.
 * Returns the number of launches of the last call. */
static long check(jit_context *context, const char *source, const DLTensor *const *in, int n_in, int slabs) {
    jit_error error = {0};
    DLManagedTensor *wanted[MOST], *made[MOST];
    jit_function *here = fixture_compile(cpu, source), *there = fixture_compile(context, source);
    int n = jit_output_count(here);
    long count = 0;
    assert_true(n <= MOST);
    if (jit_call_alloc(here, in, n_in, wanted, n, NULL, &error)) fail_msg("%s\n%s", source, error.message);
    for (int way = 0; way < 4; way++) {
        DLTensor results[MOST], *out[MOST];
        jit_pending *pending = NULL;
        jit_call_options options = {.struct_size = sizeof options, .pending = way & 1 ? &pending : NULL};
        for (int i = 0; i < n; i++) {
            size_t size = wanted[i]->dl_tensor.dtype.bits / 8u;
            for (int d = 0; d < wanted[i]->dl_tensor.ndim; d++) size *= (size_t)wanted[i]->dl_tensor.shape[d];
            results[i] = wanted[i]->dl_tensor, out[i] = &results[i];
            results[i].data = malloc(size + 1);
            memset(results[i].data, 0xAB, size);
        }
        jit_profile(there, 0);
        jit_profile(there, 1);
        long before = launches(there);
        jit_status status = way < 2 ? jit_call_with(there, in, n_in, out, n, &options, &error)
                                    : jit_call_alloc(there, in, n_in, made, n, &options, &error);
        if (status == JIT_OK) status = jit_wait(pending, &error);
        if (status) fail_msg("%s\nway %d: %s", source, way, error.message);
        count = launches(there) - before;
        if (slabs >= 0 && (count > there->entries->plan->n_launches) != slabs)
            fail_msg("%s\nway %d: %ld launches of %d kernels", source, way, count, there->entries->plan->n_launches);
        for (int i = 0; i < n; i++) {
            const DLTensor *got = way < 2 ? out[i] : &made[i]->dl_tensor;
            size_t size = got->dtype.bits / 8u, bytes = size;
            for (int d = 0; d < got->ndim; d++) {
                assert_int_equal(got->shape[d], wanted[i]->dl_tensor.shape[d]);
                bytes *= (size_t)got->shape[d];
            }
            for (size_t at = 0; at < bytes; at += size)
                if (memcmp((char *)got->data + at, (char *)wanted[i]->dl_tensor.data + at, size))
                    fail_msg("%s\nway %d, output %d: wrong from element %zu of %zu on", source, way, i, at / size,
                             bytes / size);
            if (way >= 2) made[i]->deleter(made[i]);
            free(results[i].data);
        }
    }
    for (int i = 0; i < n; i++) wanted[i]->deleter(wanted[i]);
    jit_function_free(here), jit_function_free(there);
    return count;
}

enum { ROOM = 200000 };
static double x[ROOM], y[ROOM];
static float f[ROOM];
static unsigned char u[ROOM];

static void fill(void) {
    for (int i = 0; i < ROOM; i++) {
        x[i] = i * 0.5 - 700, y[i] = (i * 37 % 1009) * 0.25;
        f[i] = (float)(i % 777), u[i] = (unsigned char)(i * 11);
    }
}

/* Sizes at which slabs begin, end, and are worth it. */
static void test_sizes(void **state) {
    (void)state;
    fill();
    static const int64_t sizes[] = {0,    1,    63,   64,   256,  511,  682,  683,   1023,
                                    1024, 1025, 2047, 2048, 2049, 4096, 4097, 10001, 30000};
    int whole = 0, cut = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t n[] = {sizes[i]};
        DLTensor a = fixture_view(x, JIT_F64, 1, n, NULL), b = fixture_view(y + 1, JIT_F64, 1, n, NULL),
                 c = fixture_view(f + 1, JIT_F32, 1, n, NULL), d = fixture_view(u + 3, JIT_U8, 1, n, NULL);
        long count =
            check(gpu, "param a: f64[n]\nparam b: f64[n]\na*2 + b", (const DLTensor *[]){&a, &b}, 2, n[0] >= 683);
        count > 1 ? cut++ : whole++;
        check(gpu, "param c: f32[n]\nparam d: u8[n]\nparam a: f64[n]\nreturn c + f32(d), a > 3, d | u8(1)",
              (const DLTensor *[]){&c, &d, &a}, 3, -1);
    }
    assert_true(whole > 5 && cut > 5);
}

/* Rows with gaps, transposed, reversed, broadcast, windows; some are cut, some go as a whole. */
static void test_layouts(void **state) {
    (void)state;
    fill();
    static const struct {
        int64_t shape[2], stride[2], first;
        int slabs;
    } layouts[] = {
        {{100, 70}, {70, 1}, 0, 1},      /* dense */
        {{100, 70}, {70, 1}, 3, 1},      /* a bit off */
        {{100, 70}, {75, 1}, 0, 1},      /* rows with gaps: packed */
        {{100, 70}, {150, 2}, 0, 1},     /* gaps in rows, too */
        {{100, 70}, {1, 100}, 0, 0},     /* transposed: as a whole */
        {{100, 70}, {-70, -1}, 7000, 1}, /* reversed */
        {{100, 70}, {-80, 1}, 9000, 1},  /* upside down */
        {{100, 70}, {0, 1}, 0, 0},       /* one row for all */
        {{100, 70}, {1, 0}, 0, 1},       /* one column */
        {{100, 70}, {1, 1}, 5, 1},       /* windows */
        {{7, 3000}, {3000, 1}, 0, 1},    /* a row a slab */
        {{3, 7000}, {7001, 1}, 0, 0},    /* too few rows */
        {{1, 7000}, {7000, 1}, 0, 1},    {{7000, 1}, {3, 1}, 0, 1}, {{41, 171}, {173, 1}, 1, 1},
    };
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        int64_t shape[2] = {layouts[i].shape[0], layouts[i].shape[1]},
                stride[2] = {layouts[i].stride[0], layouts[i].stride[1]}, row[] = {shape[1]};
        DLTensor a = fixture_view(x + layouts[i].first, JIT_F64, 2, shape, stride),
                 r = fixture_view(y, JIT_F64, 1, row, NULL), whole = fixture_view(f, JIT_F32, 2, shape, NULL),
                 k = fixture_view(y + 5, JIT_F64, 0, NULL, NULL);
        const DLTensor *in[] = {&a, &r, &whole, &k};
        static const char some[] = "param a: f64[h, w]\nparam r: f64[w]\nparam q: f32[:, :]\nparam k: f64\n";
        char source[400];
        /* Beside dense rows that are cut; and alone. */
        snprintf(source, sizeof source, "%sreturn a + r*k + q, a - k", some);
        check(gpu, source, in, 4, -1);
        check(gpu, "param a: f64[h, w]\na*2 + 1", in, 1, layouts[i].slabs);
        /* The result is transposed; the loops go along it. */
        check(gpu, "param a: f64[h, w]\na.T - 1", in, 1, -1);
    }
    int64_t cube[] = {9, 10, 200}, gaps[] = {5000, 220, 1}, swapped[] = {200, 1800, 1};
    for (int i = 0; i < 3; i++) {
        DLTensor a = fixture_view(x, JIT_F64, 3, cube,
                                  i == 0   ? NULL
                                  : i == 1 ? gaps
                                           : swapped),
                 b = fixture_view(y, JIT_F64, 3, cube, NULL);
        check(gpu, "param a: f64[:, :, :]\nparam b: f64[:, :, :]\nreturn a*b, a + b", (const DLTensor *[]){&a, &b}, 2,
              -1);
    }
}

static const char mean_of_rows[] =
    "param a: f64[n, m]\nparam b: f64[n, m]\nq = mean(b, axis=1, keepdims=true)\nreturn a - q";

/* What is read elsewhere, or at other positions, or not wanted on the host, goes as a whole. */
static void test_others(void **state) {
    (void)state;
    fill();
    int64_t n[] = {9000};
    DLTensor a = fixture_view(x, JIT_F64, 1, n, NULL), b = fixture_view(y, JIT_F64, 1, n, NULL);
    const DLTensor *in[] = {&a, &b}, *twice[] = {&a, &a};
    static const struct {
        const char *body;
        int slabs;
    } programs[] = {
        {"a*b", 1},
        {"a*a + b", 1},
        {"m = mean(b)\nreturn a - m", 1}, /* b for the mean, a in slabs */
        {"m = mean(a)\nreturn a - m + b", 1},
        {"m = mean(a)\nreturn a - m", 0},
        {"y = a*b\nreturn y, sum(y)", -1},
        {"y = a + b\nreturn y, y[::-1]", -1},
        {"return a[1:] - a[:-1]", -1},
        {"return a[1:]*b[1:]", 1},
        {"return a[::2]*b[1::2]", 1},
        {"return a + arange(len(a)), b*2", -1},
        {"y = a\nfor i in 0:3 { y = y*b }\nreturn y", -1},
        {"if a[0] < 0 { y = a + b } else { y = a - b }\nreturn y", -1},
        {"ufunc pick(i: i64, t: [m]) { return t[i] }\nreturn pick(i64(b) % 50, b), b + 1", -1},
        {"return a, a + b", -1},
        {"y = a + b\nreturn y, y", -1},
        {"y = a + b\nz = y\nreturn y, z, a*2", -1},
        {"return a < b, abs(a), a*0.5 + b", 1},
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        char source[400];
        snprintf(source, sizeof source, "param a: f64[n]\nparam b: f64[n]\n%s", programs[i].body);
        check(gpu, source, in, 2, programs[i].slabs);
        check(gpu, source, twice, 2, -1);
    }
    /* Slabs come before rows of several launches, unless what could be sent in slabs is the same for all rows. */
    int64_t shape[] = {300, 200}, row[] = {200};
    DLTensor wide = fixture_view(x, JIT_F64, 2, shape, NULL), other = fixture_view(y, JIT_F64, 2, shape, NULL),
             scale = fixture_view(y, JIT_F64, 1, row, NULL);
    check(gpu, mean_of_rows, (const DLTensor *[]){&wide, &other}, 2, 1);
    assert_int_equal(check(gpu,
                           "param a: f64[n, m]\nparam k: f64[m]\nm = mean(a, axis=1, keepdims=true)\n"
                           "(a - m)*k",
                           (const DLTensor *[]){&wide, &scale}, 2, 0),
                     1);
    assert_int_equal(
        check(gpu, "param a: f64[n, m]\na - mean(a, axis=1, keepdims=true)", (const DLTensor *[]){&wide}, 1, 0), 1);
    /* Into every other element, into an input, and to the device. */
    jit_function *function = fixture_compile(gpu, "param a: f64[n]\nparam b: f64[n]\na*2 + b");
    double *spread = malloc(sizeof *spread * 18000), *own = malloc(sizeof *own * 9001);
    int64_t two[] = {2};
    DLTensor out = fixture_view(spread, JIT_F64, 1, n, two);
    assert_int_equal(jit_call(function, in, 2, (DLTensor *[]){&out}, 1, NULL), JIT_OK);
    for (int i = 0; i < 9000; i++) assert_true(spread[2 * i] == x[i] * 2 + y[i]);
    for (int shift = 0; shift < 2; shift++) {
        memcpy(own, x, sizeof *own * 9001);
        DLTensor first = fixture_view(own, JIT_F64, 1, n, NULL), over = fixture_view(own + shift, JIT_F64, 1, n, NULL);
        assert_int_equal(jit_call(function, (const DLTensor *[]){&first, &b}, 2, (DLTensor *[]){&over}, 1, NULL),
                         JIT_OK);
        for (int i = 0; i < 9000; i++) assert_true(own[i + shift] == x[i] * 2 + y[i]);
    }
    struct array device_out;
    array_new(&device_out, x, 9000);
    assert_int_equal(jit_call(function, in, 2, (DLTensor *[]){&device_out.tensor}, 1, NULL), JIT_OK);
    array_get(&device_out, own);
    for (int i = 0; i < 9000; i++) assert_true(own[i] == x[i] * 2 + y[i]);
    /* One operand is on the device, the result here. */
    array_free(&device_out), array_new(&device_out, x, 9000);
    DLTensor here = fixture_view(own, JIT_F64, 1, n, NULL);
    assert_int_equal(
        jit_call(function, (const DLTensor *[]){&device_out.tensor, &b}, 2, (DLTensor *[]){&here}, 1, NULL), JIT_OK);
    for (int i = 0; i < 9000; i++) assert_true(own[i] == x[i] * 2 + y[i]);
    /* A wrong shape is refused, with everything as it was. */
    jit_error error = {0};
    n[0] = 8999;
    DLTensor small = fixture_view(own, JIT_F64, 1, n, NULL);
    int64_t full[] = {9000};
    a.shape = b.shape = full;
    fixture_expect(JIT_SHAPE, jit_call(function, in, 2, (DLTensor *[]){&small}, 1, &error), &error, "wrong shape");
    array_free(&device_out);
    jit_function_free(function);
    free(spread), free(own);
}

/* Three slabs of device memory are enough. */
static void test_memory(void **state) {
    (void)state;
    fill();
    int64_t n[] = {60000};
    DLTensor a = fixture_view(x, JIT_F64, 1, n, NULL), b = fixture_view(y, JIT_F64, 1, n, NULL);
    jit_context *other = slab_context(64 << 10);
    check(other, "param a: f64[n]\nparam b: f64[n]\na*2 + b", (const DLTensor *[]){&a, &b}, 2, 1);
    other->slabs_from = INT64_MAX;
    jit_error error = {0};
    DLManagedTensor *made[1];
    jit_function *function = fixture_compile(other, "param a: f64[n]\nparam b: f64[n]\na*2 + b");
    fixture_expect(JIT_MEMORY, jit_call_alloc(function, (const DLTensor *[]){&a, &b}, 2, made, 1, NULL, &error), &error,
                   "as a whole");
    other->slabs_from = FROM, other->slab_bytes = 1 << 20; /* even three slabs are too much */
    fixture_expect(JIT_MEMORY, jit_call_alloc(function, (const DLTensor *[]){&a, &b}, 2, made, 1, NULL, &error), &error,
                   "large slabs");
    jit_function_free(function);
    jit_context_free(other);
    /* Of kernels that could go row by row, too: b as a whole, a and the result in slabs. */
    int64_t shape[] = {300, 200};
    DLTensor wide = fixture_view(x, JIT_F64, 2, shape, NULL), means = fixture_view(y, JIT_F64, 2, shape, NULL);
    other = slab_context(600 << 10);
    check(other, mean_of_rows, (const DLTensor *[]){&wide, &means}, 2, 1);
    jit_context_free(other);
}

/* Pinned memory of the host's, which is copied from and to as it lies; pieces that go through staging in several. */
static void test_pinned(void **state) {
    (void)state;
    if (!device.is_shim) skip(); /* takes the driver's own functions */
    int (*take)(void **, size_t, unsigned) = (int (*)(void **, size_t, unsigned))fixture_control("cuMemHostAlloc");
    int (*give)(void *) = (int (*)(void *))fixture_control("cuMemFreeHost");
    fill();
    enum { N = 50000 };
    void *in_memory, *out_memory;
    device_make_current(&device, true);
    assert_int_equal(take(&in_memory, sizeof(double) * N, 0), 0);
    assert_int_equal(take(&out_memory, sizeof(double) * N, 0), 0);
    memcpy(in_memory, x, sizeof(double) * N);
    device_make_current(&device, false);
    int64_t n[] = {N};
    DLTensor a = fixture_view(in_memory, JIT_F64, 1, n, NULL), b = fixture_view(y, JIT_F64, 1, n, NULL),
             out = fixture_view(out_memory, JIT_F64, 1, n, NULL);
    jit_function *function = fixture_compile(gpu, "param a: f64[n]\nparam b: f64[n]\na*2 + b");
    double *got = out_memory;
    void *stream = device_stream_new(&device);
    for (int way = 0; way < 4; way++) {
        jit_pending *pending = NULL;
        jit_call_options options = {
            .struct_size = sizeof options, .pending = way & 1 ? &pending : NULL, .stream = way & 2 ? stream : NULL};
        memset(out_memory, 0, sizeof(double) * N);
        jit_error error = {0};
        if (jit_call_with(function, (const DLTensor *[]){&a, &b}, 2, (DLTensor *[]){&out}, 1, &options, &error) ||
            jit_wait(pending, &error))
            fail_msg("%s", error.message);
        for (int i = 0; i < N; i++) assert_true(got[i] == x[i] * 2 + y[i]);
    }
    /* In place. */
    assert_int_equal(jit_call(function, (const DLTensor *[]){&a, &b}, 2, (DLTensor *[]){&a}, 1, NULL), JIT_OK);
    got = in_memory;
    for (int i = 0; i < N; i++) assert_true(got[i] == x[i] * 2 + y[i]);
    jit_function_free(function);
    /* As wholes: results set off while other kernels run, which read them, too. */
    memcpy(in_memory, x, sizeof(double) * N);
    static const char program[] = "param a: f64[n]\nparam b: f64[n]\nm = a[5]\np = a[::-1] - m\nq = mean(p)\n"
                                  "r = b + q\ns = r[::-1] + p\nreturn p, q, s, r[0:4]";
    function = fixture_compile(gpu, program);
    double mean[2], *p = malloc(sizeof(double) * N), *p_here = malloc(sizeof(double) * N), few[2][4],
                    *s = malloc(sizeof(double) * N);
    jit_function *same = fixture_compile(cpu, program);
    DLTensor p_wanted = fixture_view(p_here, JIT_F64, 1, n, NULL), s_got = fixture_view(p, JIT_F64, 1, n, NULL),
             s_wanted = fixture_view(s, JIT_F64, 1, n, NULL);
    DLTensor *wanted[] = {&p_wanted, jit_scalar_f64(&mean[0]), &s_wanted, jit_array(few[0], JIT_F64, 4)};
    DLTensor *results[] = {&out, jit_scalar_f64(&mean[1]), &s_got, jit_array(few[1], JIT_F64, 4)};
    assert_int_equal(jit_call(same, (const DLTensor *[]){&a, &b}, 2, wanted, 4, NULL), JIT_OK);
    for (int way = 0; way < 2; way++) {
        jit_pending *pending = NULL;
        jit_call_options options = {.struct_size = sizeof options, .pending = way ? &pending : NULL, .stream = stream};
        memset(out_memory, 0, sizeof(double) * N);
        assert_int_equal(jit_call_with(function, (const DLTensor *[]){&a, &b}, 2, results, 4, &options, NULL), JIT_OK);
        assert_int_equal(jit_wait(pending, NULL), JIT_OK);
        assert_memory_equal(out_memory, p_here, sizeof(double) * N);
        assert_memory_equal(p, s, sizeof(double) * N);
        assert_memory_equal(few[1], few[0], sizeof few[0]);
        assert_true(mean[0] == mean[1]);
    }
    jit_function_free(same);
    free(p), free(p_here), free(s);
    device_stream_free(&device, stream);
    jit_function_free(function);
    device_make_current(&device, true);
    give(in_memory), give(out_memory);
    device_make_current(&device, false);
}

/* Slabs larger than what the staging memory holds. */
static void test_large(void **state) {
    (void)state;
    enum { N = 3 << 20 };
    double *a = malloc(sizeof *a * N), *b = malloc(sizeof *b * N);
    float *c = malloc(sizeof *c * N);
    assert_true(a && b && c);
    for (int i = 0; i < N; i++) a[i] = i, c[i] = (float)(i % 1000);
    jit_context *other = slab_context(0);
    other->slabs_from = 32 << 20, other->slab_bytes = 8 << 20;
    jit_function *function = fixture_compile(other, "param a: f64[n]\nparam c: f32[n]\nreturn a*2 + c, c > 500");
    unsigned char *d = malloc(N);
    jit_error error = {0};
    for (int pending = 0; pending < 2; pending++) {
        jit_pending *wait = NULL;
        jit_call_options options = {.struct_size = sizeof options, .pending = pending ? &wait : NULL};
        memset(b, 0, sizeof *b * N), memset(d, 7, N);
        if (jit_call_with(function, (const DLTensor *[]){jit_array(a, JIT_F64, N), jit_array(c, JIT_F32, N)}, 2,
                          (DLTensor *[]){jit_array(b, JIT_F64, N), jit_array(d, JIT_BOOL, N)}, 2, &options, &error) ||
            jit_wait(wait, &error))
            fail_msg("%s", error.message);
        for (int i = 0; i < N; i++) assert_true(b[i] == a[i] * 2 + c[i] && d[i] == (c[i] > 500));
    }
    jit_function_free(function);
    jit_context_free(other);
    free(a), free(b), free(c), free(d);
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

static void test_cancelled(void **state) {
    (void)state;
    enum { N = 5000 };
    static double a[N], b[N];
    for (int i = 0; i < N; i++) a[i] = i < 3000 ? 2 : 0;
    jit_function *function = fixture_compile(
        gpu, "param a: f64[n]\nufunc spin(v: f64) { s = v\n while s < 1 { s = s*0.5 }\n return s }\nspin(a)");
    const DLTensor *in[] = {jit_array(a, JIT_F64, N)};
    DLTensor *out[] = {jit_array(b, JIT_F64, N)};
    for (int pending = 0; pending < 2; pending++) {
        volatile int cancel = 0;
        jit_error error = {0};
        jit_pending *wait = NULL;
        jit_call_options options = {
            .struct_size = sizeof options, .cancel = &cancel, .pending = pending ? &wait : NULL};
        pthread_t thread;
        pthread_create(&thread, NULL, fixture_set_soon, (void *)&cancel);
        jit_status status = jit_call_with(function, in, 1, out, 1, &options, &error);
        if (status == JIT_OK) status = jit_wait(wait, &error);
        fixture_expect(JIT_CANCELLED, status, &error, "cancel");
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < N; i++) a[i] = i + 1;
    assert_int_equal(jit_call(function, in, 1, out, 1, NULL), JIT_OK);
    for (int i = 0; i < N; i++) assert_true(b[i] == i + 1);
    jit_function_free(function);
}

/* Each call of the driver in turn fails, in two ways: an error or a right result, nothing left behind, and the next
 * call is well. */
static void test_each_call_fails(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    enum { N = 700 };
    static double a[N], b[N], c[N];
    for (int i = 0; i < N; i++) a[i] = i, b[i] = i % 7;
    const DLTensor *in[] = {jit_array(a, JIT_F64, N), jit_array(b, JIT_F64, N)};
    DLTensor *out[] = {jit_array(c, JIT_F64, N)};
    jit_function *function = fixture_compile(gpu, "param a: f64[n]\nparam b: f64[n]\na*2 + b");
    static const int codes[] = {1, 2};
    int failed = 0;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        for (long n = 1;; n += SLOWNESS == 1 ? 1 + (long)i : 5) {
            jit_error error = {0};
            long calls = FAKE(shim_calls)(NULL), good = 0;
            jit_status status = JIT_OK;
            FAKE(shim_fail)(NULL, n, codes[i]);
            status = jit_call(function, in, 2, out, 1, &error);
            FAKE(shim_fail)(NULL, 0, 0);
            calls = FAKE(shim_calls)(NULL) - calls;
            if (status) fixture_error(status, &error, FAKE(shim_failed)()), failed++;
            for (int k = 0; k < N && !status; k++) good += c[k] == a[k] * 2 + b[k];
            if (!status && good != N) fail_msg("call %ld, %s: a wrong result", n, FAKE(shim_failed)());
            if (calls < n) break;
            if (status == JIT_DEVICE) { /* entering the context failed: it is lost */
                jit_function_free(function);
                jit_context_free(gpu);
                gpu = slab_context(0);
                function = fixture_compile(gpu, "param a: f64[n]\nparam b: f64[n]\na*2 + b");
            }
            memset(c, 0, sizeof c);
            if (jit_call(function, in, 2, out, 1, &error))
                fail_msg("after call %ld, %s: %s", n, FAKE(shim_failed)(), error.message);
            for (int k = 0; k < N; k++) assert_true(c[k] == a[k] * 2 + b[k]);
        }
    assert_true(failed > 50);
    jit_function_free(function);
}

/* Copies of contexts in turn leave nothing. */
static void test_nothing_left(void **state) {
    (void)state;
    if (!device.is_shim) skip();
    fill();
    int64_t n[] = {20000};
    DLTensor a = fixture_view(x, JIT_F64, 1, n, NULL);
    long before = FAKE(shim_objects)();
    jit_context *other = slab_context(0);
    check(other, "param a: f64[n]\na*2 + 1", (const DLTensor *[]){&a}, 1, 1);
    jit_context_free(other);
    assert_int_equal(FAKE(shim_objects)(), before);
}

/* Bytes are what the whole moves, however it is cut. */
static void test_profile(void **state) {
    (void)state;
    fill();
    int64_t n[] = {20000};
    DLTensor a = fixture_view(x, JIT_F64, 1, n, NULL), b = fixture_view(f, JIT_F32, 1, n, NULL);
    double *c = malloc(sizeof *c * 20000);
    jit_function *function = fixture_compile(gpu, "param a: f64[n]\nparam b: f32[n]\na*2 + b");
    jit_profile(function, 1);
    assert_int_equal(
        jit_call(function, (const DLTensor *[]){&a, &b}, 2, (DLTensor *[]){jit_array(c, JIT_F64, 20000)}, 1, NULL),
        JIT_OK);
    jit_profile_row row;
    double to = 0, from = 0, kernel = 0;
    long count = 0;
    for (int i = 0; jit_profile_get(function, i, &row); i++) {
        if (strstr(row.kernel, "to the GPU"))
            to = row.bytes;
        else if (strstr(row.kernel, "from the GPU"))
            from = row.bytes;
        else
            kernel = row.bytes, count = (long)row.launches;
    }
    assert_true(to == 12.0 * 20000 && from == 8.0 * 20000);
    assert_true(kernel > 20.0 * 20000 - 100 && kernel <= 20.0 * 20000 && count > 4);
    jit_function_free(function);
    free(c);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_layouts),         cmocka_unit_test(test_others),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_pinned),          cmocka_unit_test(test_large),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_each_call_fails), cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_profile),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, setup, fixture_teardown);
    device_close(&device);
    return status;
}
