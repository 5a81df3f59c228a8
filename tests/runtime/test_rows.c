/* Launches that go row by row on the CPU: the bits of one launch after the other, whatever the chunks, the threads and
 * the layouts; cancelling, no memory, outputs over inputs, several callers, profiles. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weft/tools.h>

#include "runtime/runtime.h"
#include "support/check.h"

#define SOFTMAX(type)                                                                                                  \
    "param x: " type "[r, c]\n"                                                                                        \
    "e = exp(x - max(x, axis=1, keepdims=true))\n"                                                                     \
    "e / sum(e, axis=1, keepdims=true)"

static const char layer_norm[] = "param x: f32[r, c]; param g: f32[c]; param b: f32[c]\n"
                                 "m = mean(x, axis=1, keepdims=true)\n"
                                 "(x - m) / sqrt(var(x, axis=1, keepdims=true) + f32(1e-5)) * g + b";

/* Sum of exponentials: no array of them is kept. */
static const char log_sum[] = "param x: f32[r, c]\n"
                              "m = max(x, axis=1)\n"
                              "m + log(sum(exp(x - m[:, None]), axis=1))";

enum { MOST_OUTPUTS = 4 };

/* --- contexts ----------------------------------------------------------------------------------------------------- */

/* Chunks of rows that fit this many bytes; 0: one launch after the other. */
static jit_context *context_of(int threads, int64_t core_cache) {
    jit_error error = {0};
    jit_context *context = jit_context_create(&(jit_options){.threads = threads}, &error);
    if (!context) fail_msg("%s", error.message);
    context->core_cache = core_cache;
    if (!core_cache) context->last_level_cache = 1;
    return context;
}

static jit_function *compile(jit_context *context, const char *source) {
    jit_error error = {0};
    jit_function *f = jit_compile(context, source, &error);
    if (!f) fail_msg("%s\n%s", source, error.message);
    return f;
}

/* How often launches went row by row since profiling began. */
static int64_t rows_counted(const jit_function *f, jit_profile_row *found) {
    jit_profile_row row;
    int64_t launches = 0;
    for (int i = 0; jit_profile_get(f, i, &row); i++)
        if (strstr(row.kernel, "_rows")) {
            launches += row.launches;
            if (found) *found = row;
        }
    return launches;
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

struct tensor {
    DLTensor dl;
    int64_t shape[4], stride[4];
    char *memory;
};

/* How a tensor lies: C order, rows apart, all dimensions backwards, columns first, one row for all. */
enum layout { PLAIN, APART, BACKWARDS, TURNED, ONE_ROW, LAYOUTS };

static void set_element(char *at, jit_dtype type, int64_t number) {
    double value = (double)((uint64_t)number * 2654435761u % 4001) / 500 - 4;
    switch (type) {
    case JIT_F32: *(float *)(void *)at = (float)value; break;
    case JIT_F64: *(double *)(void *)at = value; break;
    case JIT_I32: *(int32_t *)(void *)at = (int32_t)(value * 1000); break;
    default: *(uint8_t *)at = (uint8_t)(value * 30); break;
    }
}

static int64_t size_of(jit_dtype type) {
    return jit_dl_type(type).bits / 8;
}

static void tensor_make(struct tensor *t, jit_dtype type, int rank, const int64_t *shape, enum layout layout) {
    int64_t size = size_of(type), room = 1;
    memset(t, 0, sizeof *t);
    t->dl = (DLTensor){.device = {kDLCPU, 0}, .ndim = rank, .dtype = jit_dl_type(type), .shape = t->shape};
    memcpy(t->shape, shape, sizeof *shape * (size_t)rank);
    if (layout != PLAIN) t->dl.strides = t->stride;
    for (int d = rank - 1; d >= 0; d--) {
        t->stride[d] = room;
        room *= (shape[d] ? shape[d] : 1) + (layout == APART && d > 0 ? 3 : 0);
    }
    if (layout == TURNED) {
        room = 1;
        for (int d = 0; d < rank; d++) t->stride[d] = room, room *= shape[d] ? shape[d] : 1;
    }
    if (layout == ONE_ROW) t->stride[0] = 0;
    t->memory = malloc((size_t)(room * size));
    assert_non_null(t->memory);
    for (int64_t i = 0; i < room; i++) set_element(t->memory + i * size, type, i);
    t->dl.data = t->memory;
    for (int d = 0; layout == BACKWARDS && d < rank; d++) {
        if (shape[d] > 0) t->dl.data = (char *)t->dl.data + (shape[d] - 1) * t->stride[d] * size;
        t->stride[d] = -t->stride[d];
    }
}

/* --- results ------------------------------------------------------------------------------------------------------ */

struct results {
    int n;
    DLManagedTensor *out[MOST_OUTPUTS];
};

static void results_free(struct results *r) {
    for (int k = 0; k < r->n; k++) r->out[k]->deleter(r->out[k]);
}

static jit_status call(jit_function *f, struct tensor *in, int n, int threads, struct results *r, jit_error *error) {
    const DLTensor *inputs[4];
    for (int i = 0; i < n; i++) inputs[i] = &in[i].dl;
    r->n = jit_output_count(f);
    assert_true(r->n <= MOST_OUTPUTS);
    jit_call_options options = {.struct_size = sizeof options, .threads = threads};
    return jit_call_alloc(f, inputs, n, r->out, r->n, &options, error);
}

static void check_same(const struct results *a, const struct results *b, const char *what) {
    assert_int_equal(a->n, b->n);
    for (int k = 0; k < a->n; k++) {
        const DLTensor *x = &a->out[k]->dl_tensor, *y = &b->out[k]->dl_tensor;
        size_t bytes = x->dtype.bits / 8;
        assert_int_equal(x->ndim, y->ndim);
        for (int d = 0; d < x->ndim; d++) {
            assert_int_equal(x->shape[d], y->shape[d]);
            bytes *= (size_t)x->shape[d];
        }
        if (memcmp(x->data, y->data, bytes)) fail_msg("%s: output %d differs", what, k);
    }
}

/* --- the same bits ------------------------------------------------------------------------------------------------ */

struct program {
    const char *source;
    jit_dtype type;
    int rank, outer;
    int n_vectors;   /* inputs after the first: of the size of its last dimension */
    bool empty_rows; /* rows of no columns have values */
};

static const struct program programs[] = {
    {SOFTMAX("f32"), JIT_F32, 2, 1, 0, false},
    {SOFTMAX("f64"), JIT_F64, 2, 1, 0, false},
    {layer_norm, JIT_F32, 2, 1, 2, true},
    {log_sum, JIT_F32, 2, 1, 0, false},
    /* What is made on the way is wanted, too. */
    {"param x: f32[r, c]\ne = exp(x)\ns = sum(e, axis=1)\nreturn e / s[:, None], e, s, sum(e)", JIT_F32, 2, 1, 0, true},
    /* Scratch that is read backwards. */
    {"param x: f64[r, c]\ne = x - mean(x, axis=1, keepdims=true)\nm = sum(e*e, axis=1, keepdims=true)\n"
     "e[:, ::-1] / m + e",
     JIT_F64, 2, 1, 0, true},
    {"param x: i32[r, c]\nm = min(x, axis=1, keepdims=true)\ny = x - m\ns = sum(y, axis=1, keepdims=true)\ny * s",
     JIT_I32, 2, 1, 0, false},
    {"param x: u8[r, c]\na = argmax(x, axis=1)\nx == max(x, axis=1, keepdims=true) and (a > 3)[:, None]", JIT_U8, 2, 1,
     0, false},
    {"param x: f32[a, b, c]\nm = max(x, axis=2, keepdims=true)\ne = exp(x - m)\ne / sum(e, axis=2, keepdims=true)",
     JIT_F32, 3, 2, 0, false},
    {"param x: f64[a, b, c]\nm = mean(x, axis=(1, 2), keepdims=true)\n"
     "(x - m) / std(x, axis=(1, 2), keepdims=true)",
     JIT_F64, 3, 1, 0, true},
};

static const int64_t shapes[][3] = {
    /* of rank 2: the first two make one */
    {1, 1, 1}, {1, 3, 5}, {8, 8, 100}, {6, 43, 33}, {10, 100, 7}, {3, 4, 9000}, {0, 3, 5}, {5, 1, 0}, {2, 0, 4},
};

/* The first is one launch after the other. */
static const struct {
    int threads;
    int64_t core_cache;
} ways[] = {{1, 0}, {1, 1}, {1, 4096}, {1, 1 << 20}, {2, 65536}, {3, 4096}};
enum { WAYS = sizeof ways / sizeof *ways };

static void compare(const struct program *p, jit_function *const f[], const int64_t *shape, enum layout layout) {
    int64_t rows = shape[0] * (p->outer > 1 ? shape[1] : 1), elements = 1;
    for (int d = 0; d < p->rank; d++) elements *= shape[d];
    struct tensor in[3];
    tensor_make(&in[0], p->type, p->rank, shape, layout);
    for (int i = 1; i <= p->n_vectors; i++) tensor_make(&in[i], p->type, 1, &shape[p->rank - 1], PLAIN);
    struct results wanted = {0}, got;
    jit_error error[WAYS] = {{0}};
    jit_status status[WAYS];
    for (int w = 0; w < WAYS; w++) {
        char what[400];
        snprintf(what, sizeof what, "%s [%d, %d, %d] layout %d way %d", p->source, (int)shape[0], (int)shape[1],
                 p->rank > 2 ? (int)shape[2] : 1, (int)layout, w);
        jit_profile(f[w], 1);
        status[w] = call(f[w], in, 1 + p->n_vectors, 0, w ? &got : &wanted, &error[w]);
        if (status[w] != JIT_OK && (elements || p->empty_rows)) fail_msg("%s: %s", what, error[w].message);
        assert_int_equal(status[w], status[0]);
        if (status[0] != JIT_OK) {
            assert_string_equal(error[w].message, error[0].message);
            continue;
        }
        bool few = ways[w].threads > 1 && rows < 4 * ways[w].threads;
        bool large = elements * size_of(p->type) * 32 > ways[w].core_cache;
        if (w > 0 && (elements == 0 || (large && !few && rows != 1)) &&
            (rows_counted(f[w], NULL) > 0) != (elements > 0))
            fail_msg("%s: rows or not", what);
        if (w == 0) {
            assert_int_equal(rows_counted(f[0], NULL), 0);
            continue;
        }
        check_same(&wanted, &got, what);
        results_free(&got);
    }
    if (status[0] == JIT_OK) results_free(&wanted);
    for (int i = 0; i <= p->n_vectors; i++) free(in[i].memory);
}

static void test_bits(void **state) {
    (void)state;
    jit_context *contexts[WAYS];
    for (int w = 0; w < WAYS; w++) contexts[w] = context_of(ways[w].threads, ways[w].core_cache);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        const struct program *p = &programs[i];
        jit_function *f[WAYS];
        for (int w = 0; w < WAYS; w++) f[w] = compile(contexts[w], p->source);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            int64_t flat[2] = {shapes[s][0] * shapes[s][1], shapes[s][2]};
            const int64_t *shape = p->rank == 2 ? flat : shapes[s];
            compare(p, f, shape, (enum layout)((i + s) % LAYOUTS)); /* every layout, but not with every shape */
            if (s == 2) compare(p, f, shape, PLAIN);
        }
        for (int w = 0; w < WAYS; w++) jit_function_free(f[w]);
    }
    for (int w = 0; w < WAYS; w++) jit_context_free(contexts[w]);
}

/* Stores past the cache, of rows that begin anywhere in a line: the whole is larger than the last level. */
static void test_past_the_cache(void **state) {
    (void)state;
    jit_context *plain = context_of(1, 65536), *context = context_of(1, 65536);
    context->last_level_cache = 200000;
    jit_function *f = compile(plain, SOFTMAX("f32")), *g = compile(context, SOFTMAX("f32"));
    for (int64_t columns = 9000; columns < 9004; columns++) {
        struct tensor in;
        struct results wanted, got;
        jit_error error = {0};
        tensor_make(&in, JIT_F32, 2, (int64_t[]){13, columns}, PLAIN);
        jit_profile(g, 1);
        if (call(f, &in, 1, 1, &wanted, &error) != JIT_OK) fail_msg("%s", error.message);
        if (call(g, &in, 1, 1, &got, &error) != JIT_OK) fail_msg("%s", error.message);
        assert_int_equal(rows_counted(g, NULL), 1);
        check_same(&wanted, &got, "past the cache");
        results_free(&wanted);
        results_free(&got);
        free(in.memory);
    }
    jit_function_free(f);
    jit_function_free(g);
    jit_context_free(plain);
    jit_context_free(context);
}

/* --- which rows go together --------------------------------------------------------------------------------------- */

static int64_t counted_with(jit_function *f, int64_t rows, int64_t columns, int threads) {
    struct tensor in;
    struct results got;
    jit_error error = {0};
    tensor_make(&in, JIT_F32, 2, (int64_t[]){rows, columns}, PLAIN);
    jit_profile(f, 1);
    if (call(f, &in, 1, threads, &got, &error) != JIT_OK) fail_msg("%s", error.message);
    results_free(&got);
    free(in.memory);
    return rows_counted(f, NULL);
}

static void test_choice(void **state) {
    (void)state;
    jit_context *context = context_of(2, 1 << 20);
    context->last_level_cache = 4 << 20;
    jit_function *f = compile(context, SOFTMAX("f32"));
    assert_int_equal(counted_with(f, 1000, 1000, 2), 1);
    assert_int_equal(counted_with(f, 7, 100000, 2), 0); /* too few for two threads */
    assert_int_equal(counted_with(f, 7, 100000, 1), 1);
    assert_int_equal(counted_with(f, 4, 300000, 1), 0); /* longer than the cache */
    assert_int_equal(counted_with(f, 8, 200000, 2), 0); /* one thread's would fit */
    assert_int_equal(counted_with(f, 8, 200000, 1), 1);
    assert_int_equal(counted_with(f, 2, 10000, 2), 1); /* few, but nothing to wake a thread for */
    assert_int_equal(counted_with(f, 20, 100, 2), 0);  /* so little that it stays in cache anyway */
    jit_function_free(f);
    jit_context_free(context);
}

/* --- profile ------------------------------------------------------------------------------------------------------ */

static void test_profile(void **state) {
    (void)state;
    jit_context *context = context_of(1, 1 << 20);
    jit_function *f = compile(context, layer_norm);
    struct tensor in[3];
    struct results got;
    jit_error error = {0};
    tensor_make(&in[0], JIT_F32, 2, (int64_t[]){300, 200}, PLAIN);
    for (int i = 1; i < 3; i++) tensor_make(&in[i], JIT_F32, 1, (int64_t[]){200}, PLAIN);
    jit_profile(f, 1);
    for (int i = 0; i < 3; i++) {
        if (call(f, in, 3, 0, &got, &error) != JIT_OK) fail_msg("%s", error.message);
        results_free(&got);
    }
    jit_profile_row row;
    assert_true(jit_profile_get(f, 0, &row));
    assert_int_equal(row.launches, 3);
    assert_true(strstr(row.kernel, "_rows") != NULL);
    assert_true(row.seconds > 0);
    assert_int_equal(row.gpu, 0);
    /* The matrix once in and once out, the vectors once; what is kept of a row on the way is no traffic. */
    assert_true(row.bytes == 3.0 * 4 * (2 * 300 * 200 + 2 * 200));
    assert_false(jit_profile_get(f, 1, &row)); /* no launch of its own */
    jit_profile(f, 1);
    assert_false(jit_profile_get(f, 0, &row));
    for (int i = 0; i < 3; i++) free(in[i].memory);
    jit_function_free(f);
    jit_context_free(context);
}

/* --- outputs over inputs ------------------------------------------------------------------------------------------ */

static void test_overlap(void **state) {
    (void)state;
    enum { ROWS = 50, COLUMNS = 70, ALL = ROWS * COLUMNS };
    jit_context *context = context_of(2, 4096);
    jit_function *f = compile(context, SOFTMAX("f32"));
    for (int shift = -COLUMNS - 3; shift <= COLUMNS + 3; shift += COLUMNS + 3) {
        struct tensor in;
        struct results wanted;
        jit_error error = {0};
        tensor_make(&in, JIT_F32, 2, (int64_t[]){ROWS, COLUMNS}, PLAIN);
        if (call(f, &in, 1, 0, &wanted, &error) != JIT_OK) fail_msg("%s", error.message);
        float *room = calloc(3 * ALL, sizeof *room);
        assert_non_null(room);
        memcpy(room + ALL, in.memory, ALL * sizeof *room);
        in.dl.data = room + ALL;
        DLTensor out = in.dl, *outs[] = {&out};
        const DLTensor *ins[] = {&in.dl};
        out.data = room + ALL + shift;
        if (jit_call(f, ins, 1, outs, 1, &error) != JIT_OK) fail_msg("%s", error.message);
        assert_memory_equal(out.data, wanted.out[0]->dl_tensor.data, ALL * sizeof *room);
        results_free(&wanted);
        free(room);
        free(in.memory);
    }
    jit_function_free(f);
    jit_context_free(context);
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static void nap(double seconds) {
    struct timespec time = {0, (long)(seconds * 1e9)};
    nanosleep(&time, NULL);
}

struct canceller {
    double after;
    volatile int cancel;
};

static void *cancel_later(void *host) {
    struct canceller *canceller = host;
    nap(canceller->after);
    __atomic_store_n(&canceller->cancel, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* A matrix of which there is one row. */
static void tall_make(struct tensor *t, int64_t rows, int64_t columns) {
    int64_t shape[2] = {rows, columns};
    tensor_make(t, JIT_F32, 1, &shape[1], PLAIN);
    t->dl.ndim = 2, t->dl.strides = t->stride;
    t->shape[0] = rows, t->shape[1] = columns, t->stride[0] = 0, t->stride[1] = 1;
}

static void test_cancel(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        jit_context *context = context_of(threads, 1 << 20);
        jit_function *f = compile(context, log_sum);
        struct tensor in;
        struct results got;
        tall_make(&in, 300000, 1000);
        const DLTensor *ins[] = {&in.dl};
        jit_profile(f, 1);
        jit_status status = JIT_OK;
        for (int tries = 0; tries < 20 && status == JIT_OK; tries++) {
            struct canceller canceller = {.after = 0.002};
            pthread_t thread;
            jit_error error = {0};
            jit_call_options options = {.struct_size = sizeof options, .cancel = &canceller.cancel};
            assert_int_equal(pthread_create(&thread, NULL, cancel_later, &canceller), 0);
            got.n = 1;
            status = jit_call_alloc(f, ins, 1, got.out, 1, &options, &error);
            pthread_join(thread, NULL);
            if (status == JIT_OK)
                results_free(&got);
            else
                assert_string_equal(error.message, "cancelled");
        }
        assert_int_equal(status, JIT_CANCELLED);
        assert_true(rows_counted(f, NULL) > 0);
        free(in.memory);
        jit_function_free(f);
        assert_int_equal(pool_held(context->pool), pool_kept(context->pool));
        jit_context_free(context);
    }
}

struct hearer {
    int heard, stop_at;
    double share;
    char what[64];
};

static int hear(void *host, double share, const char *what) {
    struct hearer *hearer = host;
    assert_true(share >= hearer->share && share <= 1);
    hearer->share = share;
    snprintf(hearer->what, sizeof hearer->what, "%s", what);
    return ++hearer->heard == hearer->stop_at;
}

static void test_progress(void **state) {
    (void)state;
    for (int stop_at = 0; stop_at <= 3; stop_at += 3) {
        struct hearer hearer = {.stop_at = stop_at};
        jit_error error = {0};
        jit_context *context =
            jit_context_create(&(jit_options){.threads = 2, .progress = hear, .host = &hearer}, &error);
        if (!context) fail_msg("%s", error.message);
        jit_function *f = compile(context, log_sum);
        struct tensor in;
        struct results got;
        tall_make(&in, 200000, 1100);
        jit_status status = call(f, &in, 1, 2, &got, &error);
        assert_int_equal(status, stop_at ? JIT_CANCELLED : JIT_OK);
        assert_true(strstr(hearer.what, "_rows") != NULL);
        if (status == JIT_OK) {
            assert_true(hearer.heard >= 50 && hearer.share == 1);
            results_free(&got);
        } else {
            assert_int_equal(hearer.heard, stop_at);
        }
        free(in.memory);
        jit_function_free(f);
        jit_context_free(context);
    }
}

/* --- no memory ---------------------------------------------------------------------------------------------------- */

/* A limit between what the results take and what they take with a thread's buffer; then enough. */
static void test_no_memory(void **state) {
    (void)state;
    bool failed = false, worked = false;
    for (size_t limit = 1 << 20; limit <= 40 << 20 && !worked; limit += limit / 8) {
        jit_error error = {0};
        jit_context *context = jit_context_create(&(jit_options){.threads = 2, .max_memory = limit}, &error);
        if (!context) continue;
        context->core_cache = 64 << 20, context->last_level_cache = 256 << 20; /* large buffers: two of 1.2 MB */
        jit_function *f = jit_compile(context, SOFTMAX("f32"), &error);
        struct tensor in;
        struct results got;
        tensor_make(&in, JIT_F32, 2, (int64_t[]){600, 1000}, PLAIN);
        for (int turn = 0; f && turn < 2; turn++) {
            jit_status status = call(f, &in, 1, 2, &got, &error);
            if (status == JIT_OK) {
                worked = true;
                results_free(&got);
                continue;
            }
            assert_int_equal(status, JIT_MEMORY);
            failed |= strstr(error.message, "rows of intermediate results") != NULL;
        }
        free(in.memory);
        jit_function_free(f);
        assert_int_equal(pool_held(context->pool), pool_kept(context->pool));
        jit_context_free(context);
    }
    assert_true(failed && worked);
}

/* A chain whose arrays in between would never fit: only the rows at hand are kept. */
static void test_scratch_is_small(void **state) {
    (void)state;
    jit_error error = {0};
    jit_context *context = jit_context_create(&(jit_options){.threads = 1, .max_memory = 16 << 20}, &error);
    if (!context) fail_msg("%s", error.message);
    jit_function *f = compile(context, "param x: f32[r, c]\ne = exp(x - max(x, axis=1, keepdims=true))\n"
                                       "sum(e * e[:, ::-1] / sum(e, axis=1, keepdims=true), axis=1)");
    struct tensor in;
    struct results got;
    tall_make(&in, 20000, 1000);
    if (call(f, &in, 1, 1, &got, &error) != JIT_OK) fail_msg("%s", error.message);
    const float *sums = got.out[0]->dl_tensor.data;
    for (int i = 0; i < 20000; i++) assert_true(sums[i] == sums[0]);
    results_free(&got);
    free(in.memory);
    jit_function_free(f);
    jit_context_free(context);
}

/* However large the cache, the buffers of all threads together (16.4 MB) are no larger than the array of exponentials;
 * with as much for each thread, two would not fit beside the result. */
static void test_scratch_of_many_threads(void **state) {
    (void)state;
    enum { THREADS = 16, ROWS = 4096, COLUMNS = 1000 };
    jit_error error = {0};
    jit_context *context = jit_context_create(&(jit_options){.threads = THREADS, .max_memory = 44 << 20}, &error);
    if (!context) fail_msg("%s", error.message);
    context->core_cache = 512 << 20, context->last_level_cache = INT64_MAX;
    /* So much work that they all take part. */
    jit_function *f = compile(context, "param x: f32[r, c]\ne = exp(sin(exp(sin(exp(cos(exp(sin(x))))))))\n"
                                       "e / sum(e, axis=1, keepdims=true)");
    struct tensor in;
    struct results got;
    tall_make(&in, ROWS, COLUMNS);
    jit_profile(f, 1);
    for (int turn = 0; turn < 3; turn++) {
        if (call(f, &in, 1, THREADS, &got, &error) != JIT_OK) fail_msg("%s", error.message);
        const float *rows = got.out[0]->dl_tensor.data;
        for (int i = 1; i < ROWS; i++) assert_memory_equal(rows + i * COLUMNS, rows, sizeof *rows * COLUMNS);
        results_free(&got);
    }
    assert_int_equal(rows_counted(f, NULL), 3);
    free(in.memory);
    jit_function_free(f);
    jit_context_free(context);
}

/* --- several callers ---------------------------------------------------------------------------------------------- */

struct caller {
    jit_function *f;
    const struct results *wanted;
    int64_t columns;
    bool ok;
};

static void *call_often(void *host) {
    struct caller *caller = host;
    caller->ok = true;
    for (int turn = 0; turn < 10 && caller->ok; turn++) {
        struct tensor in;
        struct results got;
        jit_error error = {0};
        tensor_make(&in, JIT_F32, 2, (int64_t[]){200, caller->columns}, PLAIN);
        caller->ok = call(caller->f, &in, 1, 1 + turn % 2, &got, &error) == JIT_OK;
        if (caller->ok) {
            caller->ok = !memcmp(got.out[0]->dl_tensor.data, caller->wanted->out[0]->dl_tensor.data,
                                 sizeof(float) * 200 * (size_t)caller->columns);
            results_free(&got);
        }
        free(in.memory);
    }
    return NULL;
}

static void test_several_callers(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    jit_context *plain = context_of(1, 0), *context = context_of(2, 65536);
    jit_function *f = compile(context, SOFTMAX("f32")), *g = compile(plain, SOFTMAX("f32"));
    struct caller callers[CALLERS];
    struct results wanted[CALLERS];
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        struct tensor in;
        jit_error error = {0};
        int64_t columns = 300 + 150 * i;
        tensor_make(&in, JIT_F32, 2, (int64_t[]){200, columns}, PLAIN);
        if (call(g, &in, 1, 1, &wanted[i], &error) != JIT_OK) fail_msg("%s", error.message);
        free(in.memory);
        callers[i] = (struct caller){f, &wanted[i], columns, false};
    }
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(callers[i].ok);
        results_free(&wanted[i]);
    }
    jit_function_free(f);
    jit_function_free(g);
    jit_context_free(context);
    jit_context_free(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_past_the_cache),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_scratch_is_small),
        cmocka_unit_test(test_scratch_of_many_threads),
        cmocka_unit_test(test_several_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
