/* What is no loop over a large array: compiling, calling, allocating results, waking threads, accuracy. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static const char triad[] = "param a: f64; param x: f64[n]; param b: f64; param z: f64[n]; a*x + b*z";

static void latency_row(const char *name, const char *unit, int threads, double weft, double reference, double ratio,
                        double target, bool target_is_ratio) {
    struct bench_row row = {.name = name,
                            .unit = unit,
                            .threads = threads,
                            .weft = weft,
                            .reference = reference,
                            .ratio = ratio,
                            .share = -1,
                            .target = target,
                            .target_is_ratio = target_is_ratio};
    bench_print(&row);
}

static jit_function *latency_compile(jit_context *context, const char *source) {
    jit_error error = {0};
    jit_function *f = context ? jit_compile(context, source, &error) : NULL;
    if (!f) fprintf(stderr, "Weft: %s\n", context ? error.message : "no context");
    return f;
}

static bool latency_ok(jit_status status, const jit_error *error) {
    if (status != JIT_OK) fprintf(stderr, "Weft: %s\n", error->message);
    return status == JIT_OK;
}

/* A result that Weft allocates against one that is used again. */
static void latency_fresh(jit_context *context, struct bench_data *d, int threads) {
    enum { ROUNDS = 9 };
    double fresh[ROUNDS], reused[ROUNDS], ratio[ROUNDS];
    struct bench_tensors room;
    const DLTensor *in[12];
    jit_error error = {0};
    jit_call_options options = {.struct_size = sizeof options, .threads = threads};
    jit_function *f = latency_compile(context, triad);
    double weft = -1, reference = -1, median = -1;
    if (f && bench_bind(f, d, &room, in)) {
        DLTensor *out[] = {jit_array(d->out, JIT_F64, d->n)};
        bool ok = latency_ok(jit_call_with(f, in, 4, out, 1, &options, &error), &error);
        for (int r = 0; ok && r < ROUNDS; r++) {
            DLManagedTensor *result[1] = {NULL};
            double start = bench_now();
            ok = latency_ok(jit_call_alloc(f, in, 4, result, 1, &options, &error), &error);
            double middle = bench_now();
            ok = ok && latency_ok(jit_call_with(f, in, 4, out, 1, &options, &error), &error);
            double end = bench_now();
            if (result[0]) result[0]->deleter(result[0]);
            fresh[r] = middle - start;
            reused[r] = end - middle;
            ratio[r] = fresh[r] / reused[r];
        }
        if (ok) {
            weft = bench_median(fresh, ROUNDS) * 1e3;
            reference = bench_median(reused, ROUNDS) * 1e3;
            median = bench_median(ratio, ROUNDS);
        }
    }
    jit_function_free(f);
    latency_row("fresh output (C: reused one)", "ms", threads, weft, reference, median, 1.6, true);
}

/* Text to first result. The constant differs each time, so nothing can come from a cache. */
static void latency_first_result(jit_context *context, struct bench_data *d, const char *name, const char *format,
                                 double target) {
    enum { ROUNDS = 41 };
    double took[ROUNDS], weft = -1;
    struct bench_tensors room;
    const DLTensor *in[12];
    jit_error error = {0};
    DLTensor *out[] = {jit_array(d->out, JIT_F64, d->n)};
    bool ok = true;
    for (int r = -1; ok && r < ROUNDS; r++) { /* the first one, which loads LLVM, isn't counted */
        char source[256];
        snprintf(source, sizeof source, format, 3 + 0.001 * (r + 2));
        double start = bench_now();
        jit_function *f = latency_compile(context, source);
        ok =
            f && bench_bind(f, d, &room, in) && latency_ok(jit_call(f, in, jit_input_count(f), out, 1, &error), &error);
        if (r >= 0) took[r] = bench_now() - start;
        jit_function_free(f);
    }
    if (ok) weft = bench_median(took, ROUNDS) * 1e3;
    latency_row(name, "ms", 0, weft, -1, -1, target, false);
}

static void latency_process(const char *program) {
    enum { ROUNDS = 11 };
    double took[ROUNDS], weft = -1;
    char *argv[] = {(char *)"weft", (char *)"eval", (char *)"sum(sqrt(arange(1000)))", NULL};
    bool ok = program != NULL;
    for (int r = 0; ok && r < ROUNDS; r++) {
        pid_t child;
        int status = 1;
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        double start = bench_now();
        ok = posix_spawn(&child, program, &actions, NULL, argv, environ) == 0 && waitpid(child, &status, 0) == child &&
             status == 0;
        took[r] = bench_now() - start;
        posix_spawn_file_actions_destroy(&actions);
    }
    if (ok) weft = bench_median(took, ROUNDS) * 1e3;
    latency_row("weft eval, whole process", "ms", 0, weft, -1, -1, 80, false);
}

/* Nanoseconds of one jit_call of the triad on d->n elements, and of the bare loop. */
static bool latency_call(jit_context *context, struct bench_data *d, double *weft, double *bare) {
    enum { ROUNDS = 15, TIMES = 20000 };
    double call[ROUNDS], loop[ROUNDS];
    struct bench_tensors room;
    const DLTensor *in[12];
    jit_error error = {0};
    jit_function *f = latency_compile(context, triad);
    DLTensor *out[] = {jit_array(d->out, JIT_F64, d->n)};
    bool ok = f && bench_bind(f, d, &room, in) && latency_ok(jit_call(f, in, 4, out, 1, &error), &error);
    for (int r = 0; ok && r < ROUNDS; r++) {
        double start = bench_now();
        for (int i = 0; i < TIMES; i++) jit_call(f, in, 4, out, 1, NULL);
        double middle = bench_now();
        for (int i = 0; i < TIMES; i++) reference_triad(d, 1);
        call[r] = (middle - start) / TIMES * 1e9;
        loop[r] = (bench_now() - middle) / TIMES * 1e9;
    }
    if (ok) {
        *weft = bench_median(call, ROUNDS);
        *bare = bench_median(loop, ROUNDS);
    }
    jit_function_free(f);
    return ok;
}

static void latency_calls(jit_context *context, struct bench_data *d) {
    double weft = -1, bare = -1;
    d->n = 1;
    latency_call(context, d, &weft, &bare);
    latency_row("jit_call, one element", "ns", 1, weft, bare, -1, 200, false);
    d->n = 1000;
    weft = bare = -1;
    bool ok = latency_call(context, d, &weft, &bare);
    latency_row("jit_call over the loop, n=1000", "ns", 1, ok ? weft - bare : -1, bare, -1, 250, false);
}

/* The first call after 100 ms of idling over busy ones, on all threads. */
static void latency_idle(jit_context *context, struct bench_data *d, int threads) {
    enum { ROUNDS = 9 };
    double idle[ROUNDS], busy[ROUNDS], weft = -1, reference = -1;
    struct bench_tensors room;
    const DLTensor *in[12];
    jit_error error = {0};
    jit_call_options options = {.struct_size = sizeof options, .threads = threads};
    jit_function *f = latency_compile(context, triad);
    DLTensor *out[] = {jit_array(d->out, JIT_F64, d->n)};
    bool ok = f && bench_bind(f, d, &room, in);
    for (int r = 0; ok && r < ROUNDS; r++) {
        for (int i = 0; ok && i < 20; i++) {
            double start = bench_now();
            ok = latency_ok(jit_call_with(f, in, 4, out, 1, &options, &error), &error);
            busy[r] = bench_now() - start;
        }
        usleep(100000);
        double start = bench_now();
        ok = ok && latency_ok(jit_call_with(f, in, 4, out, 1, &options, &error), &error);
        idle[r] = bench_now() - start;
    }
    if (ok) {
        reference = bench_median(busy, ROUNDS) * 1e3;
        weft = bench_median(idle, ROUNDS) * 1e3 - reference;
    }
    jit_function_free(f);
    latency_row("after idling, over a busy call", "ms", threads, weft > 0 || !ok ? weft : 0, reference, -1, 0.5, false);
}

/* An expression of so many operations, compiled and run once, in seconds; < 0 if it failed. */
static double latency_long(jit_context *context, struct bench_data *d, int operations) {
    size_t size = (size_t)operations * 16 + 64, n = 0;
    char *source = malloc(size);
    struct bench_tensors room;
    const DLTensor *in[12];
    jit_error error = {0};
    DLTensor *out[] = {jit_array(d->out, JIT_F64, d->n)};
    if (!source) return -1;
    n += (size_t)snprintf(source, size, "param x: f64[n]; x");
    for (int i = 0; i < operations / 2; i++)
        n += (size_t)snprintf(source + n, size - n, " %c x/%d.5", "+-"[i % 2], i + 1);
    double start = bench_now();
    jit_function *f = latency_compile(context, source);
    bool ok = f && bench_bind(f, d, &room, in) && latency_ok(jit_call(f, in, 1, out, 1, &error), &error);
    double took = bench_now() - start;
    jit_function_free(f);
    free(source);
    return ok ? took : -1;
}

/* The worst error of sum(f32) over three kinds of data, as a share of the sum of magnitudes; < 0 if bits differ between
 * thread counts or vector widths. */
static double latency_accuracy(struct bench_data *d) {
    static const char *const widths[] = {NULL, "avx2", "sse2"};
    double worst = 0;
    for (int kind = 0; kind < 3; kind++) {
        double exact = 0, lost = 0, magnitude = 0;
        float first = 0;
        for (int64_t i = 0; i < d->n; i++) {
            float v = kind == 0 ? (float)d->x[i]
                      : kind == 1
                          ? 0.1f
                          : (i < d->n / 2 ? 1e6f : -1e6f) + (float)d->x[i]; /* all large ones, then their negatives */
            d->xf[i] = v;
            magnitude += fabs((double)v);
            double y = (double)v - lost, t = exact + y; /* Kahan */
            lost = (t - exact) - y;
            exact = t;
        }
        for (int k = 0; k < 6; k++) {
            jit_options options = {.struct_size = sizeof options, .threads = 1 + k % 2, .isa = widths[k / 2]};
            jit_error error = {0};
            jit_context *context = jit_context_create(&options, &error);
            jit_function *f = latency_compile(context, "param xf: f32[n]; sum(xf)");
            float s = 0;
            const DLTensor *in[] = {jit_array(d->xf, JIT_F32, d->n)};
            DLTensor *out[] = {jit_scalar_f32(&s)};
            bool ok = f && latency_ok(jit_call(f, in, 1, out, 1, &error), &error);
            jit_function_free(f);
            jit_context_free(context);
            if (!ok) return -1;
            if (k == 0) first = s;
            if (memcmp(&first, &s, sizeof s)) {
                fprintf(stderr, "sum f32: %.9g with %s and %d threads, %.9g before\n", (double)s,
                        widths[k / 2] ? widths[k / 2] : "the widest", 1 + k % 2, (double)first);
                return -1;
            }
            double off = fabs((double)s - exact) / magnitude;
            worst = off > worst ? off : worst;
        }
    }
    return worst;
}

void latency_run(jit_context *context, struct bench_data *d, int threads, const char *weft_program) {
    static const double ranges[3][2] = {{-3, 3}, {0.1, 3}, {0.5, 2}};
    struct bench_workload w = {.n = 10000000, .a = 1.7, .b = 0.3};
    memcpy(w.range, ranges, sizeof ranges);
    bench_prepare(d, &w);
    if (bench_wanted("fresh"))
        for (int t = 1; t <= threads; t++) latency_fresh(context, d, t);
    if (bench_wanted("accuracy")) {
        double worst = latency_accuracy(d);
        latency_row("accuracy of sum f32, 1e7", "rel", 0, worst, -1, -1, 1e-6, false);
    }
    int64_t n = d->n;
    d->n = 1000;
    if (bench_wanted("first result")) {
        latency_first_result(context, d, "first result, three functions",
                             "param x: f64[n]; exp(-x*x)*sin(%.3f*x) + log1p(abs(x))", 5);
        latency_first_result(context, d, "first result, triad",
                             "param x: f64[n]; param b: f64; param z: f64[n]; %.3f*x + b*z", 2.5);
    }
    if (bench_wanted("weft eval")) latency_process(weft_program);
    if (bench_wanted("jit_call")) latency_calls(context, d);
    if (bench_wanted("idling") && threads > 1) {
        d->n = 1000000;
        latency_idle(context, d, threads);
    }
    d->n = 1000;
    if (bench_wanted("operations")) {
        double half = latency_long(context, d, 5000), whole = latency_long(context, d, 10000);
        latency_row("10,000 operations (C: 5,000)", "s", 0, whole, half, half > 0 && whole > 0 ? whole / half : -1, 2,
                    false);
    }
    d->n = n; /* the memory is still that long */
}
