/* Every allocation of ours fails once: in making a context, compiling and calling. Each failure is reported as
 * JIT_MEMORY, nothing leaks, and the same context and function work afterwards.
 *
 * All of Weft's memory comes from realloc (base/mem.c), which the linker replaces in this program; LLVM's does not pass
 * here. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/jit.h>

#include "support/check.h"

static long fail_at; /* counted down by requests; the one that brings it to 0 is refused. 0: none */
static bool fail_on; /* and so are all that follow */
static int refused;

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size) {
    if ((fail_at > 0 && --fail_at == 0) || (fail_on && refused)) {
        refused++;
        return NULL;
    }
    return __real_realloc(p, size);
}

static void arm(long n, bool on) {
    fail_at = n;
    fail_on = on;
    refused = 0;
}

/* What a program does with the library; `status` of the first thing that failed. */
struct session {
    jit_context *context;
    jit_function *function;
    jit_error error;
};

enum { N = 3000 };
static double input[N];
static float other[4];

/* Two kernels: compiling is most of the time, above all under AddressSanitizer. */
static const char *const source = "param x: f64[n]\n"
                                  "param y: [:]\n"
                                  "ufunc step(v, t: [m]) = v * t[0]\n"
                                  "return step(x - mean(x), y), max(x)";

static bool call(struct session *s, double *largest) {
    const DLTensor *in[] = {jit_array(input, JIT_F64, N), jit_array(other, JIT_F32, 4)};
    DLManagedTensor *out[2] = {0};
    if (jit_call_alloc(s->function, in, 2, out, 2, NULL, &s->error) != JIT_OK) {
        for (int i = 0; i < 2; i++) assert_null(out[i]);
        return false;
    }
    memcpy(largest, out[1]->dl_tensor.data, sizeof *largest);
    for (int i = 0; i < 2; i++) out[i]->deleter(out[i]);
    return true;
}

static bool run(struct session *s, double *largest) {
    if (!s->context) s->context = jit_context_create(NULL, &s->error);
    if (s->context && !s->function) s->function = jit_compile(s->context, source, &s->error);
    return s->function && call(s, largest);
}

/* Fails at every allocation in turn (every `step`th): that one alone, or with all that follow. */
static void fail_each(bool on, long step) {
    int stages[3] = {0};
    long n = 1;
    for (bool complete = false; !complete; n += step) {
        struct session s = {0};
        double largest = 0;
        arm(n, on);
        bool worked = run(&s, &largest);
        complete = refused == 0;
        arm(0, false);
        if (!worked) {
            assert_false(complete);
            if (s.error.code != JIT_MEMORY)
                fail_msg("allocation %ld: %s: %s", n, jit_status_name(s.error.code), s.error.message);
            assert_true(s.error.message[0] != '\0');
            stages[!s.context ? 0 : !s.function ? 1 : 2]++;
            s.error = (jit_error){0};
            /* What there is of it goes on. */
            if (!run(&s, &largest)) fail_msg("after allocation %ld failed: %s", n, s.error.message);
        }
        assert_true(largest == 55.5);
        jit_function_free(s.function);
        jit_context_free(s.context);
    }
    printf("%ld allocations or so: refusals stopped the context %d times, the compile %d, the call %d\n", n, stages[0],
           stages[1], stages[2]);
    assert_true(stages[0] + stages[1] > 2 && stages[2] > 0);
}

static void test_each_allocation(void **state) {
    (void)state;
    for (int i = 0; i < N; i++) input[i] = i % 97 - 40.5;
    for (int i = 0; i < 4; i++) other[i] = (float)i - 1.5f;
#ifdef __SANITIZE_ADDRESS__ /* arenas then ask for every piece by itself: some 800 requests instead of 50 */
    fail_each(false, 7);
    fail_each(true, 23);
#else
    fail_each(false, 1);
    fail_each(true, 2);
#endif
}

/* The error's own memory: a program with errors. */
static void test_rejected_program(void **state) {
    (void)state;
    jit_context *context = jit_context_new(NULL);
    assert_non_null(context);
    for (long n = 1;; n++) {
        jit_error error = {0};
        arm(n, n % 2);
        jit_function *function = jit_compile(context, "param x: f64[n]\ny = nosuch(x) + \n sum(z)", &error);
        bool complete = refused == 0;
        arm(0, false);
        assert_null(function);
        if (complete) {
            assert_int_not_equal(error.code, JIT_MEMORY);
            break;
        }
        assert_true(error.code == JIT_MEMORY || error.code == JIT_SYNTAX || error.code == JIT_NAME);
    }
    jit_context_free(context);
}

/* A limit on memory is a failed allocation, too. */
static void test_memory_limit(void **state) {
    (void)state;
    jit_options options = {.struct_size = sizeof options, .max_memory = 8u << 20};
    jit_context *context = jit_context_new(&options);
    assert_non_null(context);
    jit_error error = {0};
    jit_function *function = jit_compile(context, "param n: i64\nzeros(n) + 1", &error);
    assert_non_null(function);
    DLManagedTensor *out[1] = {0};
    int64_t n = 4 << 20;
    const DLTensor *in[] = {jit_scalar_i64(&n)};
    assert_int_equal(jit_call_alloc(function, in, 1, out, 1, NULL, &error), JIT_MEMORY);
    assert_null(out[0]);
    n = 1000;
    assert_int_equal(jit_call_alloc(function, in, 1, out, 1, NULL, &error), JIT_OK);
    assert_true(((double *)out[0]->dl_tensor.data)[999] == 1);
    out[0]->deleter(out[0]);
    jit_function_free(function);
    jit_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation),
        cmocka_unit_test(test_rejected_program),
        cmocka_unit_test(test_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
