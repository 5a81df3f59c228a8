/* Control flow under masks, checked loads, places in the iteration space, cancellation. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "maker.h"

static struct maker maker;

#define FOR_EACH_ENGINE(engine)                                                                                        \
    for (int isa_ = 0; isa_ < MAKER_ISAS; isa_++)                                                                      \
        for (struct cpu_engine *engine = maker.engines[isa_]; engine; engine = NULL)

static struct ir_value *constant(struct ir_region *at, double x) {
    return body_const_float(&maker.arena, at, TY_F64, x);
}
static struct ir_value *integer(struct ir_region *at, int64_t x) {
    return body_const_int(&maker.arena, at, TY_I64, x);
}

static struct ir_value *op2(struct making *m, struct ir_region *at, enum op op, enum dtype type, struct ir_value *a,
                            struct ir_value *b) {
    return making_op(m, at, op, type, a, b, NULL);
}

static struct ir_value *make_if(struct making *m, struct ir_region *at, struct ir_value *condition,
                                struct ir_region *yes, struct ir_region *no) {
    struct ir_value *value = making_op(m, at, OP_if, TY_NONE, condition, NULL, NULL);
    value->regions[0] = yes;
    value->regions[1] = no;
    return value;
}

static struct ir_value *make_loop(struct ir_region *at, int n, struct ir_value **initial, struct ir_region *test,
                                  struct ir_region *step) {
    struct ir_value *loop = body_op(&maker.arena, at, OP_loop, TY_NONE, n, initial, (struct span){0});
    loop->regions[0] = test;
    loop->regions[1] = step;
    return loop;
}

/* Mandelbrot's escape count: while (n < limit and |z|^2 <= 4). */
static struct ir_value *escape(struct making *m, struct ir_value *cr, struct ir_value *ci, int64_t limit) {
    enum dtype types[] = {TY_F64, TY_F64, TY_I64};
    struct ir_region *test = body_region(&maker.arena, 3, types), *step = body_region(&maker.arena, 3, types);
    struct ir_value **p = test->params;
    struct ir_value *size = op2(m, test, OP_add, TY_F64, op2(m, test, OP_mul, TY_F64, p[0], p[0]),
                                op2(m, test, OP_mul, TY_F64, p[1], p[1]));
    struct ir_value *go = op2(m, test, OP_and, TY_BOOL, op2(m, test, OP_lt, TY_BOOL, p[2], integer(test, limit)),
                              op2(m, test, OP_le, TY_BOOL, size, constant(test, 4)));
    body_set_results(&maker.arena, test, 1, &go);
    p = step->params;
    struct ir_value *real = op2(m, step, OP_add, TY_F64,
                                op2(m, step, OP_sub, TY_F64, op2(m, step, OP_mul, TY_F64, p[0], p[0]),
                                    op2(m, step, OP_mul, TY_F64, p[1], p[1])),
                                cr);
    struct ir_value *twice = op2(m, step, OP_mul, TY_F64, constant(step, 2), op2(m, step, OP_mul, TY_F64, p[0], p[1]));
    struct ir_value *next[] = {real, op2(m, step, OP_add, TY_F64, twice, ci),
                               op2(m, step, OP_add, TY_I64, p[2], integer(step, 1))};
    body_set_results(&maker.arena, step, 3, next);
    struct ir_value *initial[] = {constant(m->body, 0), constant(m->body, 0), integer(m->body, 0)};
    return making_result(m, m->body, make_loop(m->body, 3, initial, test, step), 2, TY_I64);
}

static int64_t escape_plain(double cr, double ci, int64_t limit) {
    double zr = 0, zi = 0;
    int64_t n = 0;
    while (n < limit && zr * zr + zi * zi <= 4) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * (zr * zi) + ci;
        zr = t;
        n++;
    }
    return n;
}

static void test_varying_loop(void **state) {
    (void)state;
    enum { H = 7, W = 53 };
    double x[W], y[H];
    int64_t out[H * W];
    for (int i = 0; i < W; i++) x[i] = -2 + 3.0 * i / W;
    for (int i = 0; i < H; i++) y[i] = -1 + 2.0 * i / H;
    FOR_EACH_ENGINE(engine) {
        struct making m;
        int64_t extents[] = {H, W}, along_x[] = {0, 8}, along_y[] = {8, 0};
        making_begin(&m, &maker, KERNEL_MAP, 2, 0, extents);
        struct ir_value *cr = making_read(&m, TY_F64, x, along_x), *ci = making_read(&m, TY_F64, y, along_y);
        making_store(&m, escape(&m, cr, ci, 100), out);
        making_run(&m, engine, 5);
        for (int i = 0; i < H * W; i++) assert_int_equal(out[i], escape_plain(x[i % W], y[i / W], 100));
    }
}

/* sum over i in 0:len(t) of t[i] where x > t[i], else 1: a uniform loop with a varying if, with loads inside. */
static void test_uniform_loop(void **state) {
    (void)state;
    enum { N = 41, M = 9 };
    double x[N], t[M], out[N];
    for (int i = 0; i < N; i++) x[i] = i * 0.3;
    for (int i = 0; i < M; i++) t[i] = 1.5 * i;
    FOR_EACH_ENGINE(engine) {
        struct making m;
        int64_t n = N, stride = 8, size = M;
        making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
        struct ir_value *v = making_read(&m, TY_F64, x, &stride);
        int whole = making_whole(&m, TY_F64, t, 1, &size);
        enum dtype types[] = {TY_I64, TY_F64};
        struct ir_region *test = body_region(&maker.arena, 2, types), *step = body_region(&maker.arena, 2, types);
        struct ir_value *length = body_leaf(&maker.arena, test, OP_len, TY_I64, whole);
        struct ir_value *go = op2(&m, test, OP_lt, TY_BOOL, test->params[0], length);
        body_set_results(&maker.arena, test, 1, &go);
        struct ir_value *at = making_load(&m, step, whole, step->params[0], NULL);
        struct ir_region *yes = body_region(&maker.arena, 0, NULL), *no = body_region(&maker.arena, 0, NULL);
        struct ir_value *again =
            making_op(&m, yes, OP_sqrt, TY_F64, making_load(&m, yes, whole, step->params[0], NULL), NULL, NULL);
        struct ir_value *one = constant(no, 1);
        body_set_results(&maker.arena, yes, 1, &again);
        body_set_results(&maker.arena, no, 1, &one);
        struct ir_value *choice = make_if(&m, step, op2(&m, step, OP_gt, TY_BOOL, v, at), yes, no);
        struct ir_value *next[] = {
            op2(&m, step, OP_add, TY_I64, step->params[0], integer(step, 1)),
            op2(&m, step, OP_add, TY_F64, step->params[1], making_result(&m, step, choice, 0, TY_F64))};
        body_set_results(&maker.arena, step, 2, next);
        struct ir_value *initial[] = {integer(m.body, 0), constant(m.body, 0)};
        making_store(&m, making_result(&m, m.body, make_loop(m.body, 2, initial, test, step), 1, TY_F64), out);
        making_run(&m, engine, 1);
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int k = 0; k < M; k++) sum += x[i] > t[k] ? sqrt(t[k]) : 1;
            assert_true(out[i] == sum);
        }
    }
}

/* Gathers, two subscripts, all lengths up to three vectors. */
static void test_gather(void **state) {
    (void)state;
    enum { MOST = 70 };
    float table[6][5], out[MOST + 4];
    int64_t index[MOST];
    for (int i = 0; i < 30; i++) table[i / 5][i % 5] = (float)i;
    for (int i = 0; i < MOST; i++) index[i] = (i * 7) % 6;
    FOR_EACH_ENGINE(engine) {
        struct making m;
        int64_t n = 1, stride = 8, sizes[] = {6, 5};
        making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
        struct ir_value *i = making_read(&m, TY_I64, index, &stride);
        int whole = making_whole(&m, TY_F32, table, 2, sizes);
        struct ir_value *j = op2(&m, m.body, OP_mod, TY_I64, i, integer(m.body, 5));
        making_store(&m, making_load(&m, m.body, whole, i, j), out);
        struct kernel_code code;
        making_compile(&m, engine, &code);
        for (int length = 0; length <= MOST; length++) {
            m.extents[0] = length;
            for (int k = 0; k < MOST + 4; k++) out[k] = -1;
            making_call(&m, &code, 1);
            for (int k = 0; k < length; k++) assert_true(out[k] == table[index[k]][index[k] % 5]);
            assert_true(out[length] == -1);
        }
        assert_int_equal(m.watch.stop, 0);
        cpu_kernel_free(engine, &code);
    }
}

/* The smallest failing position is reported, on any number of pieces, in loops too. */
static void test_subscript_errors(void **state) {
    (void)state;
    enum { N = 300 };
    double table[10] = {0}, out[N];
    int64_t index[N];
    FOR_EACH_ENGINE(engine) {
        for (int bad = 0; bad < N; bad += 37)
            for (int later = 0; later < 2; later++) {
                struct making m;
                int64_t n = N, stride = 8, size = 10;
                for (int i = 0; i < N; i++) index[i] = i % 10;
                index[bad] = bad % 2 ? -1 : 10;
                if (later) index[N - 1] = 99, index[bad + 1] = 77;
                making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
                struct ir_value *i = making_read(&m, TY_I64, index, &stride);
                int whole = making_whole(&m, TY_F64, table, 1, &size);
                making_store(&m, making_load(&m, m.body, whole, i, NULL), out);
                making_run(&m, engine, 1 + later);
                assert_int_equal(m.watch.stop, 1);
                assert_int_equal(m.watch.error_position, bad);
                assert_int_equal(m.watch.error_index, bad % 2 ? -1 : 10);
                assert_int_equal(m.watch.error_size, 10);
                assert_int_equal(m.watch.error_operand, whole);
                assert_int_equal(m.watch.error_dim, 0);
            }
    }
}

/* An empty array has no element to read in place of one outside; a uniform subscript fails at the first position. */
static void test_empty_and_uniform_errors(void **state) {
    (void)state;
    double out[50];
    int64_t index[50] = {0};
    FOR_EACH_ENGINE(engine)
    for (int uniform = 0; uniform < 2; uniform++) {
        struct making m;
        int64_t n = 50, stride = uniform ? 0 : 8, size = 0;
        making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
        struct ir_value *i = making_read(&m, TY_I64, index, &stride);
        int whole = making_whole(&m, TY_F64, NULL, 1, &size);
        making_store(&m, making_load(&m, m.body, whole, i, NULL), out);
        making_run(&m, engine, 1);
        assert_int_equal(m.watch.error_position, 0);
        assert_int_equal(m.watch.error_size, 0);
    }
}

/* A loop that a failed lane would never leave: the others finish, then it ends. */
static void test_error_ends_loop(void **state) {
    (void)state;
    enum { N = 40 };
    int64_t table[4] = {1, 1, 1, 1}, start[N], out[N];
    FOR_EACH_ENGINE(engine) {
        struct making m;
        int64_t n = N, stride = 8, size = 4;
        for (int i = 0; i < N; i++) start[i] = i == 21 ? 7 : i % 4;
        making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
        struct ir_value *first = making_read(&m, TY_I64, start, &stride);
        int whole = making_whole(&m, TY_I64, table, 1, &size);
        enum dtype types[] = {TY_I64};
        struct ir_region *test = body_region(&maker.arena, 1, types), *step = body_region(&maker.arena, 1, types);
        struct ir_value *go = op2(&m, test, OP_ne, TY_BOOL, test->params[0], integer(test, 100));
        body_set_results(&maker.arena, test, 1, &go);
        /* 100 if the load worked; a failed lane goes round and round. */
        struct ir_value *loaded = making_load(&m, step, whole, step->params[0], NULL);
        struct ir_value *ok = op2(&m, step, OP_lt, TY_BOOL, step->params[0], integer(step, 4));
        struct ir_value *next = making_op(&m, step, OP_select, TY_I64, ok,
                                          op2(&m, step, OP_add, TY_I64, loaded, integer(step, 99)), step->params[0]);
        body_set_results(&maker.arena, step, 1, &next);
        making_store(&m, making_result(&m, m.body, make_loop(m.body, 1, &first, test, step), 0, TY_I64), out);
        making_run(&m, engine, 1);
        assert_int_equal(m.watch.error_position, 21);
        assert_int_equal(m.watch.error_index, 7);
    }
}

static void *cancel_later(void *argument) {
    struct timespec wait = {.tv_nsec = 2000000};
    nanosleep(&wait, NULL);
    __atomic_store_n((int *)argument, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void test_cancel(void **state) {
    (void)state;
    FOR_EACH_ENGINE(engine)
    for (int varying = 0; varying < 2; varying++) {
        struct making m;
        int64_t n = 30, stride = varying ? 8 : 0;
        double x[30] = {0}, out[30];
        making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
        struct ir_value *start = making_read(&m, TY_F64, x, &stride);
        enum dtype types[] = {TY_F64};
        struct ir_region *test = body_region(&maker.arena, 1, types), *step = body_region(&maker.arena, 1, types);
        struct ir_value *go = op2(&m, test, OP_ge, TY_BOOL, test->params[0], constant(test, 0));
        struct ir_value *next = op2(&m, step, OP_mul, TY_F64, step->params[0], constant(step, 1));
        body_set_results(&maker.arena, test, 1, &go);
        body_set_results(&maker.arena, step, 1, &next);
        making_store(&m, making_result(&m, m.body, make_loop(m.body, 1, &start, test, step), 0, TY_F64), out);
        pthread_t thread;
        pthread_create(&thread, NULL, cancel_later, &m.cancel);
        making_run(&m, engine, 1);
        pthread_join(thread, NULL);
        assert_int_equal(m.watch.stop, 1);
        assert_true(m.watch.error_position == INT64_MAX);
    }
}

/* Strides of every sign, three dimensions, ranges that begin and end anywhere, index values, past-the-cache stores. */
static void test_places(void **state) {
    (void)state;
    enum { A = 3, B = 4, C = 37 };
    static float in[A * B * C * 2];
    static _Alignas(64) double out[A * B * C + 8];
    for (int i = 0; i < A * B * C * 2; i++) in[i] = (float)(i * i % 1001);
    FOR_EACH_ENGINE(engine)
    for (int how = 0; how < 8; how++) {
        struct making m;
        int64_t extents[] = {A, B, C}, flipped[] = {-4 * B * C * 2, 4 * C * 2, how & 1 ? -8 : 4}, across[] = {0, 8, 0};
        double by_b[B] = {1, 2, 3, 4}, *to = out + (how >> 1 & 1);
        making_begin(&m, &maker, KERNEL_MAP, 3, 0, extents);
        m.nontemporal = how >> 2;
        float *corner = in + (A - 1) * B * C * 2 + (how & 1 ? 2 * (C - 1) : 0);
        struct ir_value *x = making_read(&m, TY_F32, corner, flipped), *y = making_read(&m, TY_F64, by_b, across);
        struct ir_value *i = body_leaf(&maker.arena, m.body, OP_index, TY_I64, 0),
                        *k = body_leaf(&maker.arena, m.body, OP_index, TY_I64, 2);
        struct ir_value *ik =
            op2(&m, m.body, OP_add, TY_I64, op2(&m, m.body, OP_mul, TY_I64, i, integer(m.body, 100)), k);
        struct ir_value *sum =
            op2(&m, m.body, OP_add, TY_F64, making_op(&m, m.body, OP_convert, TY_F64, x, NULL, NULL),
                op2(&m, m.body, OP_mul, TY_F64, y, making_op(&m, m.body, OP_convert, TY_F64, ik, NULL, NULL)));
        m.kernel.uses_index = true;
        making_store(&m, sum, to);
        for (int n = 0; n < A * B * C + 8; n++) out[n] = -1;
        making_run(&m, engine, 7);
        for (int p = 0; p < A * B * C; p++) {
            int a = p / (B * C), b = p / C % B, c = p % C;
            double want = corner[-a * B * C * 2 + b * C * 2 + c * (how & 1 ? -2 : 1)] + by_b[b] * (a * 100 + c);
            if (to[p] != want) fail_msg("%s how %d position %d: want %g got %g", maker_isas[isa_], how, p, want, to[p]);
        }
        assert_true(to[A * B * C] == -1);
    }
}

/* Bools as bytes, bool outputs, a kernel without dimensions. */
static void test_scalars_and_bools(void **state) {
    (void)state;
    FOR_EACH_ENGINE(engine) {
        struct making m;
        int64_t none[] = {0};
        double x = 2, y = 0;
        unsigned char flag = 1, big = 7;
        making_begin(&m, &maker, KERNEL_MAP, 0, 0, none);
        struct ir_value *v = making_read(&m, TY_F64, &x, none), *b = making_read(&m, TY_BOOL, &flag, none);
        making_store(&m, making_op(&m, m.body, OP_exp, TY_F64, v, NULL, NULL), &y);
        making_store(&m, making_op(&m, m.body, OP_not, TY_BOOL, b, NULL, NULL), &big);
        making_run(&m, engine, 1);
        assert_true(y == cpu_math_f64(engine, OP_exp, 2, 0));
        assert_int_equal(big, 0);
    }
}

/* The plain C function beside a kernel, with a loop and an elementary function inside. */
static void test_entry(void **state) {
    (void)state;
    FOR_EACH_ENGINE(engine) {
        struct making m;
        int64_t none[] = {0};
        double a = 0, b = 0, out = 0;
        making_begin(&m, &maker, KERNEL_MAP, 0, 0, none);
        struct ir_value *x = making_read(&m, TY_F64, &a, none), *y = making_read(&m, TY_F64, &b, none);
        enum dtype types[] = {TY_F64};
        struct ir_region *test = body_region(&maker.arena, 1, types), *step = body_region(&maker.arena, 1, types);
        struct ir_value *go = op2(&m, test, OP_lt, TY_BOOL, test->params[0], constant(test, 100));
        struct ir_value *next = op2(&m, step, OP_add, TY_F64, step->params[0], y);
        body_set_results(&maker.arena, test, 1, &go);
        body_set_results(&maker.arena, step, 1, &next);
        struct ir_value *far = making_result(&m, m.body, make_loop(m.body, 1, &x, test, step), 0, TY_F64);
        making_store(&m, making_op(&m, m.body, OP_log, TY_F64, far, NULL, NULL), &out);
        m.kernel.body = *m.body;
        body_number(&m.kernel.body);
        const int parameter_of[] = {0, 1, -1};
        struct cpu_scalar_entry entry = {.type = TY_F64, .n_parameters = 2, .parameter_of = parameter_of};
        struct cpu_variant variant = {.access = m.access, .single_row = true, .entry = &entry};
        struct kernel_code code;
        assert_true(cpu_kernel_compile(engine, &m.kernel, &variant, &code, &maker.why));
        double (*f)(double, double) = (double (*)(double, double))code.entry;
        assert_true(f(3, 7) == cpu_math_f64(engine, OP_log, 101, 0));
        assert_true(f(200, 7) == cpu_math_f64(engine, OP_log, 200, 0));
        cpu_kernel_free(engine, &code);
    }
}

/* SLEEF's functions, its untrusted ones replaced, and the options that an engine refuses. */
static void test_engines(void **state) {
    (void)state;
    struct cpu_engine_options options = {.ulp = 4, .isa = "sse9"};
    assert_null(cpu_engine_new(&maker.mem, &options, &maker.why));
    assert_non_null(strstr(strbuf_text(&maker.why), "sse9"));
    options = (struct cpu_engine_options){.ulp = 1};
    struct cpu_engine *engine = cpu_engine_new(&maker.mem, &options, &maker.why);
    if (!engine) skip(); /* no SLEEF on this machine */
    double x[40], out[40], logs[40];
    for (int i = 0; i < 40; i++) x[i] = i == 39 ? 1.7e308 : i * 0.37;
    struct making m;
    int64_t n = 40, stride = 8;
    making_begin(&m, &maker, KERNEL_MAP, 1, 0, &n);
    struct ir_value *v = making_read(&m, TY_F64, x, &stride);
    making_store(&m, making_op(&m, m.body, OP_sin, TY_F64, v, NULL, NULL), out);
    making_store(&m, making_op(&m, m.body, OP_log1p, TY_F64, v, NULL, NULL), logs);
    making_run(&m, engine, 1);
    for (int i = 0; i < 40; i++) {
        assert_true(out[i] == cpu_math_f64(engine, OP_sin, x[i], 0));
        assert_true(fabs(out[i] - sin(x[i])) <= 2.3e-16);
        assert_true(fabs(logs[i] - log1p(x[i])) <= 2.3e-16 * logs[i]);
    }
    float ulp;
    if (cpu_math_library(engine, OP_sin, TY_F64, &ulp) == MATH_SLEEF) assert_true(ulp == 1);
    cpu_engine_free(engine);
}

static void *compile_some(void *argument) {
    struct making *m = argument;
    for (int i = 0; i < 6; i++) {
        struct cpu_variant variant = {.access = m->access, .single_row = true};
        struct kernel_code code;
        if (!cpu_kernel_compile(m->maker->engines[MAKER_ISAS - 1], &m->kernel, &variant, &code, &m->maker->why))
            return NULL;
        struct kernel_call call = {m->arguments, m->extents, m->sizes, &m->watch};
        code.range(&call, 0, m->extents[0]);
        cpu_kernel_free(m->maker->engines[MAKER_ISAS - 1], &code);
    }
    return argument;
}

/* Several threads compile, run and free at once. */
static void test_concurrent_compiles(void **state) {
    (void)state;
    struct making m[3];
    double x[10], out[3][10];
    pthread_t threads[3];
    for (int i = 0; i < 10; i++) x[i] = i;
    for (int t = 0; t < 3; t++) {
        int64_t n = 10, stride = 8;
        making_begin(&m[t], &maker, KERNEL_MAP, 1, 0, &n);
        struct ir_value *v = making_read(&m[t], TY_F64, x, &stride);
        making_store(&m[t], op2(&m[t], m[t].body, OP_mul, TY_F64, v, constant(m[t].body, t + 1)), out[t]);
        m[t].kernel.body = *m[t].body;
        body_number(&m[t].kernel.body);
    }
    for (int t = 0; t < 3; t++) pthread_create(&threads[t], NULL, compile_some, &m[t]);
    for (int t = 0; t < 3; t++) {
        void *result;
        pthread_join(threads[t], &result);
        assert_ptr_equal(result, &m[t]);
        for (int i = 0; i < 10; i++) assert_true(out[t][i] == i * (t + 1.0));
    }
}

static int setup(void **state) {
    (void)state;
    maker_open(&maker);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    maker_close(&maker);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varying_loop),
        cmocka_unit_test(test_uniform_loop),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_subscript_errors),
        cmocka_unit_test(test_empty_and_uniform_errors),
        cmocka_unit_test(test_error_ends_loop),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_scalars_and_bools),
        cmocka_unit_test(test_entry),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_concurrent_compiles),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
