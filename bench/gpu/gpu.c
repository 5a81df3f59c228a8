/* Weft on a GPU against hand-written CUDA and against the memory's speed, in turns in one process. Each round measures
 * all of them, with CUDA events around a batch of launches; the table has medians of times and of the rounds' ratios.
 *
 * Usage: gpu [--rounds=N] [--reference=LIB.so] [--strict=LIB.so] [--peers=FILE] [FILTER…]
 * A FILTER keeps the rows whose names hold it; CUDA_VISIBLE_DEVICES chooses the device. --reference: the library of
 * reference/ as nvcc compiles it by default (it contracts a*b + c where it likes), --strict: the same with -fmad=false.
 * FILE has lines "workload|engine|milliseconds" of peers.py. Exit status 77: there is no GPU; 2: wrong arguments; 1: a
 * result is wrong or something failed.
 */
#define _GNU_SOURCE
#include "gpu.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ROUNDS = 101, MOST_BATCH = 100, MOST_PEERS = 512, SAMPLES = 1000 };

/* Medians of equal code differ by so much from run to run: "no slower" means up to this ratio. */
static const double NOISE = 1.02;

static int gpu_rounds = 15;
static const char **gpu_filters;
static int gpu_filter_count;
static int gpu_met, gpu_missed, gpu_failed;

static const char *const peer_names[] = {"cupy", "numba", "jax", "torch"};
enum { PEERS = sizeof peer_names / sizeof *peer_names };
static struct peer {
    char workload[40], engine[16];
    double ms;
} gpu_peers[MOST_PEERS];
static int gpu_peer_count;

double gpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double gpu_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, order);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static bool wanted(const char *name) {
    bool yes = gpu_filter_count == 0;
    for (int i = 0; i < gpu_filter_count; i++) yes |= strstr(name, gpu_filters[i]) != NULL;
    return yes;
}

/* --- what is measured --------------------------------------------------------------------------------------------- */

enum engine { WEFT, FLOOR, DRIVER, NVCC, STRICT, CUB, ENGINES };

/* One workload with everything that can run it. */
struct match {
    const struct gpu_workload *workload;
    struct gpu_data *data;
    jit_function *function;
    int n_in, n_out;
    DLTensor tensor_in[12], tensor_out[2];
    int64_t shape_in[12][2], shape_out[2][8];
    const DLTensor *in[12];
    DLTensor *out[2];
    struct gpu_arguments arguments;
    gpu_launch launch[ENGINES]; /* of all but WEFT and DRIVER */
    struct gpu_arguments floor; /* of FLOOR */
    size_t floor_bytes;         /* that FLOOR and DRIVER move: of a copy half are read, half written */
};

static bool can(const struct match *m, enum engine engine) {
    if (engine == WEFT) return m->function != NULL;
    if (engine == DRIVER) return m->workload->floor == FLOOR_COPY;
    return m->launch[engine] != NULL;
}

static const char *(*reference_error)(int);

/* Puts `times` runs on the stream. */
static void start(struct match *m, enum engine engine, int times, jit_pending **pending) {
    for (int i = 0; i < times; i++) {
        if (engine == WEFT) {
            jit_call_options options = {
                .struct_size = sizeof options, .stream = driver_stream(), .pending = &pending[i]};
            jit_error error = {0};
            if (jit_call_with(m->function, m->in, m->n_in, m->out, m->n_out, &options, &error) == JIT_OK) continue;
            fprintf(stderr, "%s: %s\n", m->workload->name, error.message);
            exit(1);
        }
        if (engine == DRIVER) {
            driver_copy(m->data->out, m->data->x, m->floor_bytes / 2);
            continue;
        }
        int failed = m->launch[engine](engine == FLOOR ? &m->floor : &m->arguments, driver_stream());
        if (!failed) continue;
        fprintf(stderr, "%s: the reference: %s\n", m->workload->name, reference_error(failed));
        exit(1);
    }
}

/* Device seconds of one run. */
static double measure(struct match *m, enum engine engine, int times) {
    jit_pending *pending[MOST_BATCH] = {NULL};
    driver_start();
    start(m, engine, times, pending);
    double seconds = driver_stop();
    for (int i = 0; engine == WEFT && i < times; i++) {
        jit_error error = {0};
        if (jit_wait(pending[i], &error) == JIT_OK) continue;
        fprintf(stderr, "%s: %s\n", m->workload->name, error.message);
        exit(1);
    }
    return seconds / times;
}

static bool set_up(struct match *m, jit_context *context, const struct gpu_workload *w, struct gpu_data *d) {
    *m = (struct match){.workload = w, .data = d};
    jit_error error = {0};
    if (!(m->function = jit_compile(context, w->source, &error))) goto failed;
    m->n_in = jit_input_count(m->function);
    m->n_out = jit_output_count(m->function);
    for (int i = 0; i < m->n_in; i++) {
        if (!gpu_data_tensor(d, jit_input_name(m->function, i), &m->tensor_in[i], m->shape_in[i])) goto failed;
        m->in[i] = &m->tensor_in[i];
    }
    for (int k = 0; k < m->n_out; k++) {
        jit_dtype type;
        int rank;
        if (jit_output_shape(m->function, m->in, m->n_in, k, &type, &rank, m->shape_out[k], &error) != JIT_OK)
            goto failed;
        m->tensor_out[k] = (DLTensor){.data = (void *)(uintptr_t)(k ? d->out2 : d->out),
                                      .device = {kDLCUDA, 0},
                                      .ndim = rank,
                                      .dtype = jit_dl_type(type),
                                      .shape = m->shape_out[k]};
        m->out[k] = &m->tensor_out[k];
    }
    gpu_data_arguments(d, w, &m->arguments);
    /* As many bytes as the workload moves, if x has so many; else scaled in `report`. */
    size_t room = (w->floor == FLOOR_COPY ? 2 : 1) * (size_t)d->n * 8;
    m->floor_bytes = w->bytes(d) < (double)room ? (size_t)w->bytes(d) : room;
    bool wide = d->type == JIT_F64 && w->type; /* what FLOOR reads; what it copies are floats, half of the bytes */
    m->floor = (struct gpu_arguments){.x = m->arguments.x, .out = m->arguments.out};
    m->floor.n = (long long)m->floor_bytes / (w->floor == FLOOR_COPY || wide ? 8 : 4);
    return true;
failed:
    fprintf(stderr, "%s: Weft: %s\n", w->name,
            *error.message ? error.message : "an input is not in the benchmark's table");
    jit_function_free(m->function);
    gpu_failed++;
    return false;
}

static double element(jit_dtype type, const void *p) {
    switch (type) {
    case JIT_F32: return (double)*(const float *)p;
    case JIT_F64: return *(const double *)p;
    case JIT_I32: return *(const int32_t *)p;
    case JIT_I64: return (double)*(const int64_t *)p;
    default: return NAN;
    }
}

/* Fills the outputs with a pattern, runs once, and compares samples with what the host computes. */
static bool is_right(struct match *m, enum engine engine, const char *who) {
    const struct gpu_workload *w = m->workload;
    char blank[4096];
    memset(blank, 0xee, sizeof blank);
    driver_to_device(m->data->out, blank, m->data->out_bytes < sizeof blank ? m->data->out_bytes : sizeof blank);
    driver_to_device(m->data->out2, blank, 256);
    measure(m, engine, 1);
    int wrong = 0, looked = 0;
    double got_shown = 0, want_shown = 0;
    for (int k = 0; k < m->n_out; k++) {
        int64_t size = 1;
        for (int r = 0; r < m->tensor_out[k].ndim; r++) size *= m->shape_out[k][r];
        int count = size < SAMPLES ? (int)size : SAMPLES;
        if (strstr(w->name, "axis") || strstr(w->name, "spectral")) count = count < 50 ? count : 50;
        jit_dtype type = jit_type_of(&m->tensor_out[k]);
        size_t bytes = m->tensor_out[k].dtype.bits / 8;
        for (int i = 0; i < count; i++) {
            int64_t at = count > 1 ? (size - 1) * i / (count - 1) : 0; /* the last one, too */
            char room[8];
            driver_to_host(room, (k ? m->data->out2 : m->data->out) + (uint64_t)at * bytes, bytes);
            double got = element(type, room), want = w->expect(m->data, k, at);
            looked++;
            if ((isnan(got) && isnan(want)) || fabs(got - want) <= w->tolerance * (w->scale + fabs(want))) continue;
            if (!wrong++) got_shown = got, want_shown = want;
        }
    }
    if (wrong <= w->wrong * looked) return true;
    fprintf(stderr, "%s: %s: %d of %d results are wrong: %.17g instead of %.17g\n", w->name, who, wrong, looked,
            got_shown, want_shown);
    gpu_failed++;
    return false;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static const char *cell(char room[16], double value, const char *format) {
    if (value < 0 || isnan(value))
        snprintf(room, 16, "-");
    else
        snprintf(room, 16, format, value);
    return room;
}

static double peer_time(const char *workload, const char *engine) {
    for (int i = 0; i < gpu_peer_count; i++)
        if (!strcmp(gpu_peers[i].workload, workload) && !strcmp(gpu_peers[i].engine, engine)) return gpu_peers[i].ms;
    return -1;
}

static void head(void) {
    printf("%-18s %9s %8s %9s %9s %9s %9s %9s %9s", "workload", "Weft ms", "GB/s", "of floor", "nvcc ms", "Weft/nvcc",
           "-fmad=no", "CUB ms", "Weft/CUB");
    for (int p = 0; p < PEERS; p++) printf(" %9s", peer_names[p]);
    printf("  target\n");
}

/* time[e] < 0: not measured; ratio[e]: Weft's time over e's. */
static void report(const struct match *m, const double *time, const double *ratio) {
    const struct gpu_workload *w = m->workload;
    double bytes = w->bytes(m->data), scale = bytes / (double)m->floor_bytes;
    double floor = ratio[FLOOR] > ratio[DRIVER] ? ratio[FLOOR] : ratio[DRIVER]; /* the faster one's */
    double share = floor > 0 ? scale / floor : -1, slowest = -1;
    char room[16];
    printf("%-18s %9s", w->name, cell(room, 1e3 * time[WEFT], "%.4f"));
    printf(" %8s", cell(room, bytes / time[WEFT] * 1e-9, "%.0f"));
    printf(" %9s", cell(room, 100 * share, "%.1f %%"));
    printf(" %9s", cell(room, time[NVCC] < 0 ? -1 : 1e3 * time[NVCC], "%.4f"));
    printf(" %9s", cell(room, ratio[NVCC], "%.3f"));
    printf(" %9s", cell(room, time[STRICT] < 0 ? -1 : 1e3 * time[STRICT], "%.4f"));
    printf(" %9s", cell(room, time[CUB] < 0 ? -1 : 1e3 * time[CUB], "%.4f"));
    printf(" %9s", cell(room, ratio[CUB], "%.3f"));
    for (int p = 0; p < PEERS; p++) {
        double ms = peer_time(w->name, peer_names[p]);
        printf(" %9s", cell(room, ms, "%.4f"));
        if (ms > 0 && 1e3 * time[WEFT] / ms > slowest) slowest = 1e3 * time[WEFT] / ms;
    }
    bool met, known = true;
    if (w->floor == FLOOR_NONE) {
        double worst = ratio[NVCC] > slowest ? ratio[NVCC] : slowest;
        known = worst > 0;
        met = worst <= w->target * NOISE;
        printf("  no slower than any (%.0f %%)", 100 * (NOISE - 1));
    } else {
        known = share > 0;
        met = share >= w->target;
        printf("  >= %2.0f %% of %-13s", 100 * w->target, w->floor == FLOOR_COPY ? "copying" : "reading");
    }
    printf(" %s\n", !known ? "not measured" : met ? "met" : "MISSED");
    *(known && met ? &gpu_met : &gpu_missed) += 1;
    fflush(stdout);
}

static void compete(jit_context *context, const struct gpu_workload *w, struct gpu_data *d, void *const libraries[2]) {
    struct match m;
    gpu_data_prepare(d, w);
    if (!set_up(&m, context, w, d)) return;
    for (int l = 0; l < 2; l++) {
        if (!libraries[l]) continue;
        gpu_launch (*find)(const char *) = (gpu_launch(*)(const char *))dlsym(libraries[l], "gpu_reference_find");
        m.launch[l ? STRICT : NVCC] = find ? find(w->reference ? w->reference : w->name) : NULL;
        if (l || !find) continue;
        char name[40];
        snprintf(name, sizeof name, "cub_%s", w->name);
        m.launch[CUB] = find(name);
        if (w->floor == FLOOR_READ) m.launch[FLOOR] = find(d->type == JIT_F64 && w->type ? "read f64" : "read f32");
        if (w->floor == FLOOR_COPY) m.launch[FLOOR] = find("copy f32");
    }
    static const char *const who[] = {"Weft", "the floor", "the driver", "nvcc", "nvcc -fmad=false", "CUB"};
    bool has[ENGINES];
    int times[ENGINES];
    for (int e = 0; e < ENGINES; e++) {
        has[e] = can(&m, e) && (e == FLOOR || e == DRIVER || is_right(&m, e, who[e]));
        if (!has[e]) continue;
        measure(&m, e, 1);
        double once = measure(&m, e, 1);
        times[e] = once < 5e-3 / MOST_BATCH ? MOST_BATCH : (int)(5e-3 / once) + 1;
        measure(&m, e, times[e]); /* Weft makes what it keeps for so many calls at once */
    }
    static double seconds[ENGINES][MOST_ROUNDS], ratios[ENGINES][MOST_ROUNDS];
    for (int r = 0; has[WEFT] && r < gpu_rounds; r++) {
        for (int k = 0; k < ENGINES; k++) {
            enum engine e = (enum engine)((r + k) % ENGINES); /* who goes first takes turns */
            if (!has[e]) continue;
            seconds[e][r] = measure(&m, e, times[e]);
        }
        for (int e = 0; e < ENGINES; e++)
            if (has[e]) ratios[e][r] = seconds[WEFT][r] / seconds[e][r];
    }
    if (has[WEFT]) {
        double time[ENGINES], ratio[ENGINES];
        for (int e = 0; e < ENGINES; e++) {
            time[e] = has[e] ? gpu_median(seconds[e], gpu_rounds) : -1;
            ratio[e] = has[e] ? gpu_median(ratios[e], gpu_rounds) : -1;
        }
        report(&m, time, ratio);
    }
    jit_function_free(m.function);
}

static void read_peers(const char *path) {
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f) return;
    while (fgets(line, sizeof line, f) && gpu_peer_count < MOST_PEERS) {
        struct peer *p = &gpu_peers[gpu_peer_count];
        if (sscanf(line, "%39[^|]|%15[^|]|%lf", p->workload, p->engine, &p->ms) == 3) gpu_peer_count++;
    }
    fclose(f);
}

static void *open_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    const char *(*error)(int) = (const char *(*)(int))dlsym(library, "gpu_reference_error");
    if (error) reference_error = error;
    return library;
}

int main(int argc, char **argv) {
    void *libraries[2] = {NULL, NULL};
    gpu_filters = calloc((size_t)argc + 1, sizeof *gpu_filters);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!strncmp(a, "--rounds=", 9))
            gpu_rounds = atoi(a + 9);
        else if (!strncmp(a, "--reference=", 12))
            libraries[0] = open_library(a + 12);
        else if (!strncmp(a, "--strict=", 9))
            libraries[1] = open_library(a + 9);
        else if (!strncmp(a, "--peers=", 8))
            read_peers(a + 8);
        else if (a[0] != '-')
            gpu_filters[gpu_filter_count++] = a;
        else {
            fprintf(stderr, "unknown option %s\n", a);
            return 2;
        }
    }
    if (gpu_rounds < 1 || gpu_rounds > MOST_ROUNDS) {
        fprintf(stderr, "expected 1 to %d rounds\n", MOST_ROUNDS);
        return 2;
    }
    bool rows = false;
    for (int i = 0; i < gpu_workload_count; i++) rows |= wanted(gpu_workloads[i].name);
    if (!rows && !wanted("latency")) {
        fprintf(stderr, "no workload has such a name; they are:");
        for (int i = 0; i < gpu_workload_count; i++) fprintf(stderr, " %s,", gpu_workloads[i].name);
        fprintf(stderr, " latency\n");
        return 2;
    }
    if (!driver_open()) return 77;

    jit_options options = {.struct_size = sizeof options, .device = "cuda:0"};
    jit_error error = {0};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    static struct gpu_data data;
    gpu_data_make(&data);
    printf("%s, driver for CUDA %d.%d, Weft %s; n = %lld, %d rounds\n\n", driver_device_name(), driver_version() / 1000,
           driver_version() % 1000 / 10, jit_version(), (long long)data.n, gpu_rounds);
    if (rows) head();
    for (int i = 0; i < gpu_workload_count; i++)
        if (wanted(gpu_workloads[i].name)) compete(context, &gpu_workloads[i], &data, libraries);
    jit_context_free(context);
    if (wanted("latency")) {
        putchar('\n');
        latency_run(&data, &gpu_met, &gpu_missed, &gpu_failed);
    }
    printf("\ntargets met %d, missed or not measured %d\n", gpu_met, gpu_missed);
    gpu_data_free(&data);
    driver_close();
    free(gpu_filters);
    return gpu_failed ? 1 : 0;
}
