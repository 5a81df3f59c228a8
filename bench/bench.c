/* Weft against C, in turns in one process: each round times both, the table has the medians of times and of ratios.
 *
 * Usage: bench [--threads=N] [--rounds=N] [--peers=FILE] [--weft=PROGRAM] [FILTER…]
 * A FILTER keeps the rows whose names hold it. FILE has lines "workload|threads|engine|milliseconds" of other engines
 * (numexpr_numba.py). --weft is the command-line program, for its start-up time.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ROUNDS = 64, MOST_PEERS = 256, HUGE_PAGE = 2 << 20, SIDE = 4096, PIXELS = 1024 };

static const char **bench_filters;
static int bench_filter_count;
static double bench_ceiling[65][3]; /* by threads: triad, read, fma */
static double bench_own_sum[65];    /* Weft's sum of 1e7 f64, ms, by threads */
static int bench_met, bench_missed;

static struct peer {
    char workload[40], engine[16];
    int threads;
    double ms;
} bench_peers[MOST_PEERS];
static int bench_peer_count;

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int bench_order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, bench_order);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static size_t bench_round(size_t bytes) {
    return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

void *bench_pages(size_t bytes) {
    size_t size = bench_round(bytes);
    char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    char *start = (char *)(((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (start > p) munmap(p, (size_t)(start - p));
    if (start + size < p + size + HUGE_PAGE) munmap(start + size, (size_t)(p + size + HUGE_PAGE - (start + size)));
    madvise(start, size, MADV_HUGEPAGE);
    memset(start, 0, size);
    return start;
}

void bench_release(void *p, size_t bytes) {
    if (p) munmap(p, bench_round(bytes));
}

/* splitmix64: fast, and the same data every time. */
static void bench_fill(double *p, int64_t n, const double range[2], uint64_t seed) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = (uint64_t)i * 0x9E3779B97F4A7C15u + seed * 0xD1B54A32D192ED03u;
        v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
        v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
        p[i] = range[0] + (range[1] - range[0]) * (double)((v ^ (v >> 31)) >> 11) * 0x1p-53;
    }
}

/* Room for results, of at least so many bytes. */
static void bench_room(struct bench_data *d, size_t bytes) {
    static size_t have;
    if (bytes <= have) return;
    bench_release(d->out, have);
    d->out = bench_pages(bytes);
    d->outf = (float *)d->out;
    have = bytes;
}

static void bench_prepare_rows(struct bench_data *d, const struct bench_workload *w) {
    int64_t rows = w->n / w->columns;
    bench_room(d, (size_t)w->n * sizeof(float));
    if (d->rows == rows && d->columns == w->columns) return;
    bench_release(d->r, (size_t)(d->rows * d->columns) * sizeof(float));
    bench_release(d->gain, (size_t)d->columns * sizeof(float));
    bench_release(d->bias, (size_t)d->columns * sizeof(float));
    d->rows = rows, d->columns = w->columns;
    d->r = bench_pages((size_t)w->n * sizeof(float));
    d->gain = bench_pages((size_t)w->columns * sizeof(float));
    d->bias = bench_pages((size_t)w->columns * sizeof(float));
    for (int64_t i = 0; i < w->n; i++) d->r[i] = (float)((i * 7919) % 10007) * 1e-3f - 5;
    for (int64_t j = 0; j < w->columns; j++) d->gain[j] = 1 + (float)(j % 7) * 0.1f, d->bias[j] = (float)(j % 5) - 2;
}

void bench_prepare(struct bench_data *d, const struct bench_workload *w) {
    static double have[3][2];
    if (w->columns) {
        bench_prepare_rows(d, w);
        return;
    }
    size_t pixels = PIXELS * PIXELS * sizeof(double), bytes = (size_t)w->n * 8, was = (size_t)d->n * 8;
    bool fresh = d->n != w->n;
    bench_room(d, bytes > pixels ? bytes : pixels);
    if (fresh) {
        bench_release(d->x, was);
        bench_release(d->y, was);
        bench_release(d->z, was);
        bench_release(d->xf, was / 2);
        d->x = bench_pages(bytes);
        d->y = bench_pages(bytes);
        d->z = bench_pages(bytes);
        d->xf = bench_pages(bytes / 2);
        d->n = w->n;
    }
    double *array[3] = {d->x, d->y, d->z};
    for (int k = 0; k < 3; k++)
        if (fresh || memcmp(have[k], w->range[k], sizeof have[k])) {
            bench_fill(array[k], w->n, w->range[k], (uint64_t)k + 1);
            memcpy(have[k], w->range[k], sizeof have[k]);
            for (int64_t i = 0; k == 0 && i < w->n; i++) d->xf[i] = (float)d->x[i];
        }
    d->a = w->a;
    d->b = w->b;
    if (!d->m) {
        d->side = SIDE;
        d->pixels = PIXELS;
        d->m = bench_pages((size_t)SIDE * SIDE * sizeof(float));
        for (int64_t i = 0; i < (int64_t)SIDE * SIDE; i++) d->m[i] = (float)((i * 7919) % 1009) * 1e-3f;
        d->cx = bench_pages(PIXELS * sizeof(double));
        d->cy = bench_pages(PIXELS * sizeof(double));
        for (int i = 0; i < PIXELS; i++) {
            d->cx[i] = -2 + 2.6 * i / PIXELS;
            d->cy[i] = -1.3 + 2.6 * i / PIXELS;
        }
    }
}

bool bench_bind(const jit_function *f, struct bench_data *d, struct bench_tensors *room, const DLTensor **in) {
    const struct {
        const char *name;
        void *data;
        int rank;
        int64_t shape[2];
        jit_dtype type;
    } table[] = {
        {"x", d->x, 1, {d->n, 0}, JIT_F64},
        {"y", d->y, 1, {d->n, 0}, JIT_F64},
        {"z", d->z, 1, {d->n, 0}, JIT_F64},
        {"xf", d->xf, 1, {d->n, 0}, JIT_F32},
        {"a", &d->a, 0, {0, 0}, JIT_F64},
        {"b", &d->b, 0, {0, 0}, JIT_F64},
        {"m", d->m, 2, {d->side, d->side}, JIT_F32},
        {"cx", d->cx, 1, {d->pixels, 0}, JIT_F64},
        {"cy", d->cy, 1, {d->pixels, 0}, JIT_F64},
        {"r", d->r, 2, {d->rows, d->columns}, JIT_F32},
        {"gain", d->gain, 1, {d->columns, 0}, JIT_F32},
        {"bias", d->bias, 1, {d->columns, 0}, JIT_F32},
    };
    for (int i = 0; i < jit_input_count(f); i++) {
        size_t k = 0;
        while (k < sizeof table / sizeof *table && strcmp(table[k].name, jit_input_name(f, i))) k++;
        if (k == sizeof table / sizeof *table || i >= 12) return false;
        memcpy(room->shape[i], table[k].shape, sizeof room->shape[i]);
        room->tensor[i] = (DLTensor){.data = table[k].data,
                                     .device = {kDLCPU, 0},
                                     .ndim = table[k].rank,
                                     .dtype = jit_dl_type(table[k].type),
                                     .shape = room->shape[i]};
        in[i] = &room->tensor[i];
    }
    return true;
}

bool bench_wanted(const char *name) {
    bool wanted = bench_filter_count == 0;
    for (int i = 0; i < bench_filter_count; i++) wanted |= strstr(name, bench_filters[i]) != NULL;
    return wanted;
}

static void bench_cell(char *room, size_t size, double value, const char *format) {
    if (value < 0)
        snprintf(room, size, "-");
    else
        snprintf(room, size, format, value);
}

static const char *bench_peer(const char *workload, int threads, const char *engine, char *room, size_t size) {
    double ms = -1;
    for (int i = 0; i < bench_peer_count; i++) {
        const struct peer *p = &bench_peers[i];
        if (p->threads == threads && !strcmp(p->workload, workload) && !strcmp(p->engine, engine)) ms = p->ms;
    }
    bench_cell(room, size, ms, "%.4g");
    return room;
}

void bench_print(const struct bench_row *row) {
    char thr[8] = "", cell[6][24], target[32] = "", ratio_of[24] = "";
    const char *verdict = "";
    if (row->threads) snprintf(thr, sizeof thr, "%d", row->threads);
    if (row->target > 0) {
        double value = row->target_is_ratio ? row->ratio : row->weft;
        bool met = value >= 0 && value <= row->target;
        verdict = value < 0 ? "not run" : met ? "met" : "MISSED";
        if (row->target_is_ratio)
            snprintf(target, sizeof target, "ratio <= %g", row->target);
        else
            snprintf(target, sizeof target, "<= %g %s", row->target, row->unit);
        *(met ? &bench_met : &bench_missed) += 1;
    }
    bench_cell(cell[0], sizeof cell[0], row->weft, "%.4g");
    bench_cell(cell[1], sizeof cell[1], row->reference, "%.4g");
    bench_cell(ratio_of, sizeof ratio_of, row->ratio, "%.3f");
    bench_cell(cell[2], sizeof cell[2], row->share < 0 ? -1 : 100 * row->share, "%.0f%%");
    printf("%-32s %3s %5s %10s %10s %10s %10s %8s %6s  %-14s %s\n", row->name, thr, row->unit, cell[0], cell[1],
           bench_peer(row->name, row->threads, "numexpr", cell[3], sizeof cell[3]),
           bench_peer(row->name, row->threads, "numba", cell[4], sizeof cell[4]), ratio_of, cell[2], target, verdict);
    fflush(stdout);
}

static double bench_element(const DLTensor *t, int64_t i) {
    switch (jit_type_of(t)) {
    case JIT_F32: return (double)((const float *)t->data)[i];
    case JIT_F64: return ((const double *)t->data)[i];
    case JIT_I32: return ((const int32_t *)t->data)[i];
    case JIT_I64: return (double)((const int64_t *)t->data)[i];
    default: return NAN;
    }
}

static bool bench_agree(double a, double b, double tolerance) {
    return (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance * (1 + fabs(a));
}

/* Weft's outputs, in out's memory, against what the reference left there before. */
static bool bench_check(const struct bench_workload *w, DLTensor *const out[], int n_out, const double *kept,
                        int kept_count, const struct bench_data *d) {
    int scalars = 0;
    double tolerance = strstr(w->source, "f32") ? 1e-3 : 1e-8;
    for (int k = 0; k < n_out; k++) {
        if (out[k]->ndim == 0) {
            double got = bench_element(out[k], 0), want = d->result[scalars++];
            if (bench_agree(got, want, tolerance)) continue;
            fprintf(stderr, "%s: result %d is %.17g, the reference's %.17g\n", w->name, k, got, want);
            return false;
        }
        int64_t size = 1;
        for (int r = 0; r < out[k]->ndim; r++) size *= out[k]->shape[r];
        int wrong = 0;
        for (int i = 0; i < kept_count; i++)
            wrong += !bench_agree(bench_element(out[k], size * i / kept_count), kept[i], tolerance);
        /* A Mandelbrot orbit on the boundary may leave a step sooner or later with other roundings. */
        if (wrong > (strcmp(w->reference, "mandelbrot") ? 0 : kept_count / 50)) {
            fprintf(stderr, "%s: %d of %d elements differ from the reference's\n", w->name, wrong, kept_count);
            return false;
        }
    }
    return true;
}

struct weft_call {
    jit_function *f;
    struct bench_tensors room;
    const DLTensor *in[12];
    int n_in, n_out;
    DLTensor tensor[4], *out[4];
    int64_t shape[4][8];
    double scalar[4];
    jit_call_options options;
};

static void bench_run_weft(struct weft_call *c, int times) {
    jit_error error = {0};
    for (int i = 0; i < times; i++)
        if (jit_call_with(c->f, c->in, c->n_in, c->out, c->n_out, &c->options, &error) != JIT_OK) {
            fprintf(stderr, "%s\n", error.message);
            exit(1);
        }
}

/* Compiles and binds; false with a message if Weft cannot. */
static bool bench_setup(struct weft_call *c, jit_context *context, const struct bench_workload *w, struct bench_data *d,
                        int threads) {
    jit_error error = {0};
    memset(c, 0, sizeof *c);
    c->options = (jit_call_options){.struct_size = sizeof c->options, .threads = threads};
    if (!context || !(c->f = jit_compile(context, w->source, &error))) goto failed;
    c->n_in = jit_input_count(c->f);
    c->n_out = jit_output_count(c->f);
    if (c->n_out > 4 || !bench_bind(c->f, d, &c->room, c->in)) goto failed;
    for (int k = 0; k < c->n_out; k++) {
        jit_dtype type;
        int rank;
        if (jit_output_shape(c->f, c->in, c->n_in, k, &type, &rank, c->shape[k], &error) != JIT_OK) goto failed;
        c->tensor[k] = (DLTensor){.data = rank ? (void *)d->out : (void *)&c->scalar[k],
                                  .device = {kDLCPU, 0},
                                  .ndim = rank,
                                  .dtype = jit_dl_type(type),
                                  .shape = c->shape[k]};
        c->out[k] = &c->tensor[k];
    }
    return true;
failed:
    fprintf(stderr, "%s: Weft: %s\n", w->name, context ? error.message : "no context");
    jit_function_free(c->f);
    c->f = NULL;
    return false;
}

static void bench_workload(jit_context *context, const struct bench_workload *w, struct bench_data *d, int threads,
                           int rounds) {
    const struct bench_reference *ref = w->reference ? reference_find(w->reference) : NULL;
    struct weft_call call;
    double weft[MOST_ROUNDS], c[MOST_ROUNDS], ratio[MOST_ROUNDS], kept[1000];
    int times = w->bytes > 0 && w->bytes * (double)w->n < 16e6 ? (int)(20000000 / (w->n + 10000)) : 1, kept_count = 0;
    bench_prepare(d, w);
    bool has_weft = bench_setup(&call, context, w, d, threads);
    if (ref) ref->run(d, threads);
    if (has_weft && call.tensor[0].ndim && ref) { /* the first output only is an array */
        int64_t size = 1;
        for (int r = 0; r < call.tensor[0].ndim; r++) size *= call.shape[0][r];
        kept_count = size < 1000 ? (int)size : 1000;
        for (int i = 0; i < kept_count; i++) kept[i] = bench_element(&call.tensor[0], size * i / kept_count);
    }
    if (has_weft) bench_run_weft(&call, 1);
    if (has_weft && ref && !bench_check(w, call.out, call.n_out, kept, kept_count, d)) has_weft = false;
    for (int r = 0; r < rounds; r++) {
        for (int half = 0; half < 2; half++) {
            double start = bench_now();
            if ((half == 0) == (r % 2 == 0)) { /* who goes first takes turns */
                if (has_weft) bench_run_weft(&call, times);
                weft[r] = (bench_now() - start) / times;
            } else {
                for (int i = 0; ref && i < times; i++) ref->run(d, threads);
                c[r] = (bench_now() - start) / times;
            }
        }
        ratio[r] = weft[r] / c[r];
    }
    struct bench_row row = {.name = w->name,
                            .unit = "ms",
                            .threads = threads,
                            .weft = -1,
                            .reference = -1,
                            .ratio = -1,
                            .share = -1,
                            .target = w->target,
                            .target_is_ratio = true};
    if (has_weft) row.weft = bench_median(weft, rounds) * 1e3;
    if (ref) row.reference = bench_median(c, rounds) * 1e3;
    if (has_weft && ref) row.ratio = bench_median(ratio, rounds);
    double bytes = w->bytes * (double)w->n, flops = w->flops * (double)w->n;
    if (row.weft > 0 && bytes >= 40e6) { /* larger than the caches */
        double memory = bytes / bench_ceiling[threads][w->writes ? 0 : 1],
               arithmetic = flops / bench_ceiling[threads][2];
        row.share = (memory > arithmetic ? memory : arithmetic) / 1e6 / row.weft;
    }
    if (!strcmp(w->name, "sum")) bench_own_sum[threads] = row.weft;
    if (!ref && bench_own_sum[threads] > 0 && row.weft > 0) { /* the statistics together, against our own sum */
        row.reference = bench_own_sum[threads];
        row.ratio = row.weft / row.reference;
        row.target = 1.15;
    }
    bench_print(&row);
    jit_function_free(call.f);
}

static void bench_read_peers(const char *path) {
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f) return;
    while (fgets(line, sizeof line, f) && bench_peer_count < MOST_PEERS) {
        struct peer *p = &bench_peers[bench_peer_count];
        if (sscanf(line, "%39[^|]|%d|%15[^|]|%lf", p->workload, &p->threads, p->engine, &p->ms) == 4)
            bench_peer_count++;
    }
    fclose(f);
}

int main(int argc, char **argv) {
    int most = (int)sysconf(_SC_NPROCESSORS_ONLN), rounds = 9;
    const char *program = NULL;
    struct bench_data data = {0};
    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options};
    if (most > 2) most = 2; /* the figures to reach are for one thread and two */
    bench_filters = calloc((size_t)argc, sizeof *bench_filters);
    if (!bench_filters) return 1;
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--threads=", 10))
            most = atoi(argv[i] + 10);
        else if (!strncmp(argv[i], "--rounds=", 9))
            rounds = atoi(argv[i] + 9);
        else if (!strncmp(argv[i], "--peers=", 8))
            bench_read_peers(argv[i] + 8);
        else if (!strncmp(argv[i], "--weft=", 7))
            program = argv[i] + 7;
        else
            bench_filters[bench_filter_count++] = argv[i];
    }
    if (most < 1 || most > 64 || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: bench [--threads=1..64] [--rounds=1..%d] [--peers=FILE] [--weft=PROGRAM] [FILTER...]\n",
                MOST_ROUNDS);
        return 2;
    }
    jit_context *context = jit_context_create(&options, &error);
    if (!context) fprintf(stderr, "Weft: %s\n", error.message);

    bench_prepare(&data, &(struct bench_workload){.n = 10000000, .range = {{-3, 3}, {0.1, 3}, {0.5, 2}}});
    for (int t = 1; t <= most; t++) {
        bench_ceiling[t][0] = roofline_triad(&data, t);
        bench_ceiling[t][1] = roofline_read(&data, t);
        bench_ceiling[t][2] = roofline_fma(t);
        printf("ceilings, %d thread%s: triad %.1f GB/s (non-temporal stores), read %.1f GB/s, fma f64 %.0f GFLOP/s\n",
               t, t == 1 ? "" : "s", bench_ceiling[t][0], bench_ceiling[t][1], bench_ceiling[t][2]);
    }
    printf("\n%-32s %3s %5s %10s %10s %10s %10s %8s %6s  %-14s %s\n", "workload", "thr", "unit", "Weft", "C", "NumExpr",
           "Numba", "Weft/C", "roof", "target", "");
    for (int t = 1; t <= most; t++)
        for (int i = 0; i < bench_workload_count; i++)
            if (bench_wanted(bench_workloads[i].name)) bench_workload(context, &bench_workloads[i], &data, t, rounds);
    latency_run(context, &data, most, program);
    printf("\ntargets met %d, missed or not run %d\n", bench_met, bench_missed);
    jit_context_free(context);
    free(bench_filters);
    return 0;
}
