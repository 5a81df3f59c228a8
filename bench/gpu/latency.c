/* latency.c: the host's time for a launch on device tensors, and the time of a first compile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu.h"

enum { LAUNCHES = 200, PENDING = 50, COMPILES = 15 };

static void row(const char *what, double value, const char *unit, double target, int *met, int *missed) {
    bool good = value <= target;
    printf("%-52s %9.3f %s  target <= %g %s %s\n", what, value, unit, target, unit, good ? "met" : "MISSED");
    *(good ? met : missed) += 1;
    fflush(stdout);
}

static jit_context *context_with(const char *folder) {
    jit_options options = {.struct_size = sizeof options, .device = "cuda:0", .cache_folder = folder};
    jit_error error = {0};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) fprintf(stderr, "%s\n", error.message);
    return context;
}

/* Three small ones, on the device: x, y and out. */
static void tensors(const struct gpu_data *d, int64_t *shape, DLTensor t[3]) {
    const uint64_t data[3] = {d->x, d->y, d->out};
    shape[0] = d->n < 1024 ? d->n : 1024;
    for (int i = 0; i < 3; i++)
        t[i] = (DLTensor){.data = (void *)(uintptr_t)data[i],
                          .device = {kDLCUDA, 0},
                          .ndim = 1,
                          .dtype = jit_dl_type(JIT_F32),
                          .shape = shape};
}

/* Calls that return when their work is on the stream, timed one by one. */
static bool launches(struct gpu_data *d, int *met, int *missed) {
    jit_context *context = context_with("");
    jit_error error = {0};
    jit_function *f = context ? jit_compile(context, "param x: f32[n]; param y: f32[n]; 2*x + y", &error) : NULL;
    int64_t shape[1];
    DLTensor t[3];
    tensors(d, shape, t);
    const DLTensor *in[] = {&t[0], &t[1]};
    DLTensor *out[] = {&t[2]};
    static double seconds[LAUNCHES];
    jit_pending *pending[PENDING];
    bool ok = f != NULL;
    /* In the first round Weft makes what it keeps for so many calls at once. */
    for (int warm = 0; ok && warm < 2; warm++)
        for (int done = 0; ok && done < LAUNCHES; done += PENDING) { /* the queue stays short */
            int n = 0;
            for (; ok && n < PENDING; n++) {
                pending[n] = NULL;
                jit_call_options options = {
                    .struct_size = sizeof options, .stream = driver_stream(), .pending = &pending[n]};
                double start = gpu_now();
                ok = jit_call_with(f, in, 2, out, 1, &options, &error) == JIT_OK;
                seconds[done + n] = gpu_now() - start;
            }
            driver_wait();
            for (int i = 0; i < n; i++) ok &= jit_wait(pending[i], &error) == JIT_OK;
        }
    if (ok)
        row("launch on device tensors, host time", 1e6 * gpu_median(seconds, LAUNCHES), "us", 8, met, missed);
    else
        fprintf(stderr, "launch: %s\n", error.message);
    jit_function_free(f);
    jit_context_free(context);
    return ok;
}

/* A number in it makes it another program each time. */
struct line {
    const char *what, *before, *after;
    int rank; /* of the result */
};

/* From the text to the kernel on the stream, for COMPILES one-line expressions; a first, other one loads what is loaded
 * once. */
static bool compiles(struct gpu_data *d, const char *folder, const struct line *line, double *median) {
    jit_context *context = context_with(folder);
    double seconds[COMPILES];
    bool ok = context != NULL;
    for (int i = -1; ok && i < COMPILES; i++) {
        char text[100];
        snprintf(text, sizeof text, "param x: f32[n]; %s%d.25%s", line->before, i + 2, line->after);
        DLTensor t[3];
        int64_t shape[1];
        tensors(d, shape, t);
        t[2].ndim = line->rank;
        const DLTensor *in[] = {&t[0]};
        DLTensor *out[] = {&t[2]};
        jit_error error = {0};
        jit_pending *pending = NULL;
        jit_call_options options = {.struct_size = sizeof options, .stream = driver_stream(), .pending = &pending};
        double start = gpu_now();
        jit_function *f = jit_compile(context, text, &error);
        ok = f && jit_call_with(f, in, 1, out, 1, &options, &error) == JIT_OK;
        if (i >= 0) seconds[i] = gpu_now() - start;
        if (ok) ok = jit_wait(pending, &error) == JIT_OK;
        if (!ok) fprintf(stderr, "compile: %s\n", error.message);
        jit_function_free(f);
    }
    if (ok) *median = gpu_median(seconds, COMPILES);
    jit_context_free(context);
    return ok;
}

void latency_run(struct gpu_data *d, int *met, int *missed, int *failed) {
    char folder[] = "/tmp/weft-bench-XXXXXX";
    static const struct line lines[] = {{"elementwise", "x*", " + sqrt(x)", 1}, {"a sum", "sum(x*", ")", 0}};
    if (!launches(d, met, missed)) ++*failed;
    if (!mkdtemp(folder)) {
        perror(folder);
        ++*failed;
        return;
    }
    for (int i = 0; i < 2; i++) {
        char what[100];
        double cold, warm;
        if (!compiles(d, folder, &lines[i], &cold) || !compiles(d, folder, &lines[i], &warm)) {
            ++*failed;
            break;
        }
        snprintf(what, sizeof what, "a line to its first launch, %s, by NVRTC", lines[i].what);
        row(what, 1e3 * cold, "ms", 150, met, missed);
        snprintf(what, sizeof what, "a line to its first launch, %s, from disk", lines[i].what);
        row(what, 1e3 * warm, "ms", 5, met, missed);
    }
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) fprintf(stderr, "%s was not removed\n", folder);
}
