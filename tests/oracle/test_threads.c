/* Many threads on one context: compiling the same and different programs, calling one function with different types,
 * shapes and layouts at once, cancelling. Run under ThreadSanitizer as well. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/jit.h>

#include "support/check.h"

enum { MOST_THREADS = 8, ROUNDS = 6, N = 40000 };

struct shared {
    jit_context *context;
    jit_function *function;
    _Atomic int failures;
    _Atomic int cancel;
    pthread_barrier_t start;
    void (*work)(struct shared *shared, int thread);
};

struct worker {
    pthread_t id;
    struct shared *shared;
    int number;
};

static void *enter(void *argument) {
    struct worker *worker = argument;
    pthread_barrier_wait(&worker->shared->start);
    worker->shared->work(worker->shared, worker->number);
    return NULL;
}

static void run(struct shared *shared, int threads, void (*work)(struct shared *shared, int thread)) {
    struct worker workers[MOST_THREADS];
    shared->work = work;
    pthread_barrier_init(&shared->start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){.shared = shared, .number = i};
        assert_int_equal(pthread_create(&workers[i].id, NULL, enter, &workers[i]), 0);
    }
    for (int i = 0; i < threads; i++) pthread_join(workers[i].id, NULL);
    pthread_barrier_destroy(&shared->start);
    assert_int_equal(shared->failures, 0);
}

/* cmocka's assertions are for the main thread. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: thread %d: %s: %s\n", __FILE__, __LINE__, thread, #condition, error.message);      \
            shared->failures++;                                                                                        \
        }                                                                                                              \
    } while (0)

static void check_sum(struct shared *shared, int thread, jit_function *function, double factor) {
    jit_error error = {0};
    double *x = malloc(N * sizeof *x), result[2] = {0};
    for (int i = 0; i < N; i++) x[i] = i % 7;
    const DLTensor *in[] = {jit_array(x, JIT_F64, N)};
    DLTensor *out[] = {jit_scalar_f64(&result[0]), jit_scalar_f64(&result[1])};
    double expected = 0;
    for (int i = 0; i < N; i++) expected += x[i] * factor;
    EXPECT(jit_call(function, in, 1, out, 2, &error) == JIT_OK);
    EXPECT(result[0] == expected && result[1] == 6 * factor); /* small integers: exact in any order */
    free(x);
}

static void compile_and_call(struct shared *shared, int thread) {
    for (int round = 0; round < ROUNDS; round++) {
        jit_error error = {0};
        char source[200];
        int factor = round % 2 ? 2 : 2 + thread; /* sometimes the same program, sometimes each its own */
        snprintf(source, sizeof source, "param x: f64[n]\ny = x * %d\nreturn sum(y), max(y)", factor);
        jit_function *function = jit_compile(shared->context, source, &error);
        EXPECT(function != NULL);
        if (!function) return;
        check_sum(shared, thread, function, factor);
        jit_function_free(function);
    }
}

static void test_compile(void **state) {
    (void)state;
    for (int threads = 2; threads <= MOST_THREADS; threads *= 4) {
        struct shared shared = {.context = jit_context_new(NULL)};
        assert_non_null(shared.context);
        run(&shared, threads, compile_and_call);
        jit_context_free(shared.context);
    }
}

/* One function without types: every type, rank and layout makes a version of its own, by whoever comes first. */
static void call_shared(struct shared *shared, int thread) {
    jit_error error = {0};
    double f64[600], sum64 = 0;
    float f32[600], sum32 = 0;
    int64_t i64[600], sumi = 0;
    for (int i = 0; i < 600; i++) f64[i] = i % 5, f32[i] = (float)(i % 5), i64[i] = i % 5;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        switch ((round + thread) % 4) {
        case 0: {
            const DLTensor *in[] = {jit_array(f64, JIT_F64, 600)};
            DLTensor *out[] = {jit_scalar_f64(&sum64)};
            EXPECT(jit_call(shared->function, in, 1, out, 1, &error) == JIT_OK && sum64 == 1200);
            break;
        }
        case 1: {
            const DLTensor *in[] = {jit_array(f32, JIT_F32, 600)};
            DLTensor *out[] = {jit_scalar_f32(&sum32)};
            EXPECT(jit_call(shared->function, in, 1, out, 1, &error) == JIT_OK && sum32 == 1200);
            break;
        }
        case 2: {
            const DLTensor *in[] = {jit_array(i64, JIT_I64, 600)};
            DLTensor *out[] = {jit_scalar_i64(&sumi)};
            EXPECT(jit_call(shared->function, in, 1, out, 1, &error) == JIT_OK && sumi == 1200);
            break;
        }
        default: { /* every second element of 20 rows */
            DLTensor strided = {.data = f64,
                                .device = {kDLCPU, 0},
                                .ndim = 2,
                                .dtype = jit_dl_type(JIT_F64),
                                .shape = (int64_t[]){20, 15},
                                .strides = (int64_t[]){30, 2}};
            const DLTensor *in[] = {&strided};
            DLTensor *out[] = {jit_scalar_f64(&sum64)};
            EXPECT(jit_call(shared->function, in, 1, out, 1, &error) == JIT_OK && sum64 == 600);
            break;
        }
        }
    }
}

static void test_call(void **state) {
    (void)state;
    for (int threads = 2; threads <= MOST_THREADS; threads *= 4) {
        jit_error error = {0};
        struct shared shared = {.context = jit_context_new(NULL)};
        assert_non_null(shared.context);
        shared.function = jit_compile(shared.context, "x = x + 0\nsum(x)", &error);
        if (!shared.function) fail_msg("%s", error.message);
        run(&shared, threads, call_shared);
        jit_function_free(shared.function);
        jit_context_free(shared.context);
    }
}

/* Results outlive the function and the context, and may be released by any thread. */
static void make_results(struct shared *shared, int thread) {
    for (int round = 0; round < ROUNDS; round++) {
        jit_error error = {0};
        double x[100];
        for (int i = 0; i < 100; i++) x[i] = i + thread;
        const DLTensor *in[] = {jit_array(x, JIT_F64, 100)};
        DLManagedTensor *out[1] = {0};
        EXPECT(jit_call_alloc(shared->function, in, 1, out, 1, NULL, &error) == JIT_OK);
        if (!out[0]) return;
        const double *y = out[0]->dl_tensor.data;
        for (int i = 0; i < 100; i++) EXPECT(y[i] == 2.0 * (i + thread) + 1);
        out[0]->deleter(out[0]);
    }
}

static void test_results(void **state) {
    (void)state;
    jit_error error = {0};
    struct shared shared = {.context = jit_context_new(NULL)};
    shared.function = jit_compile(shared.context, "param x: f64[n]\n2*x + 1", &error);
    if (!shared.function) fail_msg("%s", error.message);
    jit_context_free(shared.context); /* the function keeps it */
    run(&shared, MOST_THREADS, make_results);
    jit_function_free(shared.function);
}

/* One thread waits in an endless ufunc, another sets its flag. */
static void cancelled(struct shared *shared, int thread) {
    jit_error error = {0};
    double x[64] = {0}, y[64];
    static volatile int flag;
    if (thread == 1) {
        while (!shared->cancel) {
        }
        __atomic_store_n((int *)&flag, 1, __ATOMIC_RELAXED);
        return;
    }
    const DLTensor *in[] = {jit_array(x, JIT_F64, 64)};
    DLTensor *out[] = {jit_array(y, JIT_F64, 64)};
    jit_call_options options = {.struct_size = sizeof options, .cancel = &flag};
    shared->cancel = 1;
    EXPECT(jit_call_with(shared->function, in, 1, out, 1, &options, &error) == JIT_CANCELLED);
}

static void test_cancel(void **state) {
    (void)state;
    jit_error error = {0};
    struct shared shared = {.context = jit_context_new(NULL)};
    shared.function =
        jit_compile(shared.context,
                    "param x: f64[n]\nufunc f(v) {\n    while v < 1 { v = v * 0.5 }\n    return v\n}\nf(x)", &error);
    if (!shared.function) fail_msg("%s", error.message);
    run(&shared, 2, cancelled);
    jit_function_free(shared.function);
    jit_context_free(shared.context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile),
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
