#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

/* --- programs ----------------------------------------------------------------------------------------------------- */

enum { SOFTMAX_COLUMNS = 1024 };

#define ARRAY(name, type) "param " name ": " type "[n]\n"
#define TRIAD(type)       ARRAY("x", type) ARRAY("y", type) "param a: " type "\nparam b: " type "\na*x + b*y"
#define POLY(type)                                                                                                     \
    ARRAY("x", type)                                                                                                   \
    "(((((((0.1*x + 0.2)*x + 0.3)*x + 0.4)*x + 0.5)*x + 0.6)*x + 0.7)*x + 0.8)*x + 0.9"
#define THREE(type) ARRAY("x", type) "exp(-x*x)*sin(3*x) + log1p(abs(x))"
#define BLACK(type)                                                                                                    \
    ARRAY("x", type)                                                                                                   \
    ARRAY("y", type)                                                                                                   \
    ARRAY("z", type)                                                                                                   \
    "param a: " type "\nparam b: " type "\n"                                                                           \
    "fn cdf(d) = 0.5*(1 + erf(d * 0.70710678118654752))\n"                                                             \
    "root = b*sqrt(z)\n"                                                                                               \
    "d1 = (log(x/y) + (a + 0.5*b*b)*z)/root\n"                                                                         \
    "x*cdf(d1) - y*exp(-a*z)*cdf(d1 - root)"
#define SUM(type)     ARRAY("x", type) "sum(x)"
#define DOT(type)     ARRAY("x", type) ARRAY("y", type) "dot(x, y)"
#define MOMENTS(type) ARRAY("x", type) "return mean(x), var(x)"
#define MANDELBROT(type, letter)                                                                                       \
    "param cx" letter ": " type "[w]; param cy" letter ": " type "[h]\n"                                               \
    "ufunc escape(cx: " type ", cy: " type ") -> i32 {\n"                                                              \
    "    x = " type "(0); y = " type "(0); n = i32(0)\n"                                                               \
    "    while n < 200 and x*x + y*y <= 4 {\n"                                                                         \
    "        x, y = x*x - y*y + cx, 2*x*y + cy\n"                                                                      \
    "        n += 1\n"                                                                                                 \
    "    }\n"                                                                                                          \
    "    return n\n"                                                                                                   \
    "}\n"                                                                                                              \
    "escape(cx" letter "[None, :], cy" letter "[:, None])"

static const char softmax[] = "param s: f32[h, w]\n"
                              "e = exp(s - max(s, axis=1, keepdims=true))\n"
                              "e/sum(e, axis=1, keepdims=true)";

static const char spectral[] = "param w: f64[m]; param t: f64[n]; param q: f32[n]\n"
                               "ufunc spectral(w, t: [n], y: [n]) {\n"
                               "    c = f64(0); s = f64(0)\n"
                               "    for i in 0:n {\n"
                               "        if not isnan(y[i]) { c += y[i]*cos(w*t[i]); s += y[i]*sin(w*t[i]) }\n"
                               "    }\n"
                               "    return c*c + s*s\n"
                               "}\n"
                               "spectral(w, t, q)";

/* --- what the host expects ---------------------------------------------------------------------------------------- */

static double element(const struct gpu_data *d, const void *p, int64_t i) {
    return d->type == JIT_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static double expect_triad(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    return d->a * element(d, d->host_x, i) + d->b * element(d, d->host_y, i);
}

static double expect_poly(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double x = element(d, d->host_x, i), r = 0.1;
    for (int c = 2; c <= 9; c++) r = r * x + 0.1 * c;
    return r;
}

static double expect_three(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double x = element(d, d->host_x, i);
    return exp(-x * x) * sin(3 * x) + log1p(fabs(x));
}

static double expect_black(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double x = element(d, d->host_x, i), y = element(d, d->host_y, i), z = element(d, d->host_z, i);
    double root = d->b * sqrt(z), d1 = (log(x / y) + (d->a + 0.5 * d->b * d->b) * z) / root;
    return x * 0.5 * (1 + erf(d1 * M_SQRT1_2)) - y * exp(-d->a * z) * 0.5 * (1 + erf((d1 - root) * M_SQRT1_2));
}

/* Long double, a block at a time: near enough to the true sum for any tolerance here. */
static double host_sum(const struct gpu_data *d, bool product, double shift, bool squares) {
    long double all = 0;
    for (int64_t from = 0; from < d->n; from += 4096) {
        double block = 0;
        int64_t to = from + 4096 < d->n ? from + 4096 : d->n;
        for (int64_t i = from; i < to; i++) {
            double v = element(d, d->host_x, i) - shift;
            if (product) v *= element(d, d->host_y, i);
            block += squares ? v * v : v;
        }
        all += block;
    }
    return (double)all;
}

static double expect_sum(const struct gpu_data *d, int k, int64_t i) {
    (void)k, (void)i;
    return host_sum(d, false, 0, false);
}

static double expect_dot(const struct gpu_data *d, int k, int64_t i) {
    (void)k, (void)i;
    return host_sum(d, true, 0, false);
}

static double expect_moments(const struct gpu_data *d, int k, int64_t i) {
    (void)i;
    double mean = host_sum(d, false, 0, false) / (double)d->n;
    return k == 0 ? mean : host_sum(d, false, mean, true) / (double)d->n;
}

static double expect_axis0(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double sum = 0;
    for (int64_t r = 0; r < d->side; r++) sum += (double)d->host_m[r * d->side + i];
    return sum;
}

static double expect_axis1(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double sum = 0;
    for (int64_t c = 0; c < d->side; c++) sum += (double)d->host_m[i * d->side + c];
    return sum;
}

static double expect_softmax(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    const float *row = d->host_s + i / d->columns * d->columns;
    double top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < d->columns; c++) top = fmax(top, (double)row[c]);
    for (int64_t c = 0; c < d->columns; c++) sum += exp((double)row[c] - top);
    return exp((double)row[i % d->columns] - top) / sum;
}

/* Rounded as the program's text says: orbits near the set's edge depend on it. */
static double expect_mandelbrot(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double cx = d->host_cx[i % d->pixels], cy = d->host_cy[i / d->pixels], x = 0, y = 0;
    int n = 0;
    for (; n < 200 && fma(x, x, y * y) <= 4; n++) {
        double next = fma(x, x, -(y * y)) + cx;
        y = fma(2 * x, y, cy);
        x = next;
    }
    return n;
}

static double expect_mandelbrot_f32(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    float cx = d->host_cxf[i % d->pixels], cy = d->host_cyf[i / d->pixels], x = 0, y = 0;
    int n = 0;
    for (; n < 200 && fmaf(x, x, y * y) <= 4; n++) {
        float next = fmaf(x, x, -(y * y)) + cx;
        y = fmaf(2 * x, y, cy);
        x = next;
    }
    return n;
}

static double expect_spectral(const struct gpu_data *d, int k, int64_t i) {
    (void)k;
    double c = 0, s = 0;
    for (int64_t j = 0; j < d->samples; j++) {
        if (isnan(d->host_q[j])) continue;
        c += (double)d->host_q[j] * cos(d->host_w[i] * d->host_t[j]);
        s += (double)d->host_q[j] * sin(d->host_w[i] * d->host_t[j]);
    }
    return c * c + s * s;
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static double size_of(const struct gpu_data *d) {
    return d->type == JIT_F32 ? 4 : 8;
}
static double bytes_1(const struct gpu_data *d) {
    return (double)d->n * size_of(d);
}
static double bytes_2(const struct gpu_data *d) {
    return 2 * (double)d->n * size_of(d);
}
static double bytes_3(const struct gpu_data *d) {
    return 3 * (double)d->n * size_of(d);
}
static double bytes_4(const struct gpu_data *d) {
    return 4 * (double)d->n * size_of(d);
}
static double bytes_matrix(const struct gpu_data *d) {
    return 4 * (double)d->side * (double)d->side;
}
static double bytes_softmax(const struct gpu_data *d) {
    return 8 * (double)d->rows * (double)d->columns;
}
static double bytes_pixels(const struct gpu_data *d) {
    return 4 * (double)d->pixels * (double)d->pixels;
}
static double bytes_spectral(const struct gpu_data *d) {
    return 16 * (double)d->freqs;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define UNIT                                                                                                           \
    {                                                                                                                  \
        {-3, 3}, {0.1, 3}, {                                                                                           \
            0.5, 2                                                                                                     \
        }                                                                                                              \
    }
#define MARKET                                                                                                         \
    {                                                                                                                  \
        {50, 150}, {60, 140}, {                                                                                        \
            0.1, 2                                                                                                     \
        }                                                                                                              \
    }

/* Sums that don't cancel: then results can be compared by their relative error. */
#define POSITIVE                                                                                                       \
    {                                                                                                                  \
        {0.5, 2}, {0.1, 3}, {                                                                                          \
            0.5, 2                                                                                                     \
        }                                                                                                              \
    }

const struct gpu_workload gpu_workloads[] = {
    {"triad f32", TRIAD("f32"), NULL, JIT_F32, UNIT, 1.7, 0.3, FLOOR_COPY, 0.92, 1e-6, 1, 0, expect_triad, bytes_3},
    {"triad f64", TRIAD("f64"), NULL, JIT_F64, UNIT, 1.7, 0.3, FLOOR_COPY, 0.92, 1e-14, 1, 0, expect_triad, bytes_3},
    {"poly8 f32", POLY("f32"), NULL, JIT_F32, UNIT, 0, 0, FLOOR_COPY, 0.92, 1e-5, 1, 0, expect_poly, bytes_2},
    {"poly8 f64", POLY("f64"), NULL, JIT_F64, UNIT, 0, 0, FLOOR_COPY, 0.92, 1e-13, 1, 0, expect_poly, bytes_2},
    {"three f32", THREE("f32"), NULL, JIT_F32, UNIT, 0, 0, FLOOR_COPY, 0.92, 1e-5, 1, 0, expect_three, bytes_2},
    {"three f64", THREE("f64"), NULL, JIT_F64, UNIT, 0, 0, FLOOR_NONE, 1, 1e-13, 1, 0, expect_three, bytes_2},
    {"black-scholes f32", BLACK("f32"), NULL, JIT_F32, MARKET, 0.03, 0.25, FLOOR_NONE, 1, 1e-4, 1, 0, expect_black,
     bytes_4},
    {"black-scholes f64", BLACK("f64"), NULL, JIT_F64, MARKET, 0.03, 0.25, FLOOR_NONE, 1, 1e-11, 1, 0, expect_black,
     bytes_4},
    {"sum f32", SUM("f32"), NULL, JIT_F32, POSITIVE, 0, 0, FLOOR_READ, 0.95, 1e-5, 1, 0, expect_sum, bytes_1},
    {"sum f64", SUM("f64"), NULL, JIT_F64, POSITIVE, 0, 0, FLOOR_READ, 0.95, 1e-12, 1, 0, expect_sum, bytes_1},
    {"dot f32", DOT("f32"), NULL, JIT_F32, POSITIVE, 0, 0, FLOOR_READ, 0.95, 1e-5, 1, 0, expect_dot, bytes_2},
    {"dot f64", DOT("f64"), NULL, JIT_F64, POSITIVE, 0, 0, FLOOR_READ, 0.95, 1e-12, 1, 0, expect_dot, bytes_2},
    {"mean+var f32", MOMENTS("f32"), "mean_var f32", JIT_F32, POSITIVE, 0, 0, FLOOR_READ, 0.95, 1e-4, 1, 0,
     expect_moments, bytes_1},
    {"mean+var f64", MOMENTS("f64"), "mean_var f64", JIT_F64, POSITIVE, 0, 0, FLOOR_READ, 0.95, 1e-10, 1, 0,
     expect_moments, bytes_1},
    {"axis 0 sum f32",
     "param m: f32[h, w]\nsum(m, axis=0)",
     "axis0 f32",
     0,
     {{0}},
     0,
     0,
     FLOOR_READ,
     0.85,
     1e-5,
     1,
     0,
     expect_axis0,
     bytes_matrix},
    {"axis 1 sum f32",
     "param m: f32[h, w]\nsum(m, axis=1)",
     "axis1 f32",
     0,
     {{0}},
     0,
     0,
     FLOOR_READ,
     0.85,
     1e-5,
     1,
     0,
     expect_axis1,
     bytes_matrix},
    {"softmax f32",
     softmax,
     NULL,
     0,
     {{0}},
     0,
     0,
     FLOOR_NONE,
     1,
     1e-5,
     1.0 / SOFTMAX_COLUMNS,
     0,
     expect_softmax,
     bytes_softmax},
    {"mandelbrot f32",
     MANDELBROT("f32", "f"),
     NULL,
     0,
     {{0}},
     0,
     0,
     FLOOR_NONE,
     1,
     0,
     1,
     0.01,
     expect_mandelbrot_f32,
     bytes_pixels},
    {"mandelbrot f64",
     MANDELBROT("f64", ""),
     NULL,
     0,
     {{0}},
     0,
     0,
     FLOOR_NONE,
     1,
     0,
     1,
     0.01,
     expect_mandelbrot,
     bytes_pixels},
    {"spectral f64", spectral, NULL, 0, {{0}}, 0, 0, FLOOR_NONE, 1, 1e-7, 1, 0, expect_spectral, bytes_spectral},
};
const int gpu_workload_count = sizeof gpu_workloads / sizeof *gpu_workloads;

/* --- data --------------------------------------------------------------------------------------------------------- */

static int64_t size_from(const char *variable, int64_t otherwise) {
    const char *text = getenv(variable);
    long long value = text ? atoll(text) : 0;
    return value > 0 ? value : otherwise;
}

static void *host_room(int64_t count, size_t size) {
    void *p = malloc((size_t)count * size);
    if (!p) {
        fprintf(stderr, "no memory for %lld elements\n", (long long)count);
        exit(1);
    }
    return p;
}

/* splitmix64: fast, and the same data every time. In [0, 1). */
static double noise(int64_t i, uint64_t seed) {
    uint64_t v = (uint64_t)i * 0x9E3779B97F4A7C15u + seed * 0xD1B54A32D192ED03u;
    v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
    v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
    return (double)((v ^ (v >> 31)) >> 11) * 0x1p-53;
}

static uint64_t on_device(const void *host, int64_t count, size_t size) {
    uint64_t p = driver_alloc((size_t)count * size);
    driver_to_device(p, host, (size_t)count * size);
    return p;
}

void gpu_data_make(struct gpu_data *d) {
    *d = (struct gpu_data){.n = size_from("GPU_N", 100000000),
                           .side = size_from("GPU_SIDE", 16384),
                           .rows = size_from("GPU_ROWS", 65536),
                           .columns = SOFTMAX_COLUMNS,
                           .pixels = size_from("GPU_PIXELS", 4096),
                           .freqs = size_from("GPU_FREQS", 100000),
                           .samples = size_from("GPU_SAMPLES", 3000)};
    d->host_x = host_room(d->n, 8);
    d->host_y = host_room(d->n, 8);
    d->host_z = host_room(d->n, 8);
    d->x = driver_alloc((size_t)d->n * 8);
    d->y = driver_alloc((size_t)d->n * 8);
    d->z = driver_alloc((size_t)d->n * 8);
    d->host_m = host_room(d->side * d->side, 4);
    for (int64_t i = 0; i < d->side * d->side; i++) d->host_m[i] = (float)noise(i, 11);
    d->host_s = host_room(d->rows * d->columns, 4);
    for (int64_t i = 0; i < d->rows * d->columns; i++) d->host_s[i] = (float)(8 * noise(i, 12) - 4);
    d->host_cx = host_room(d->pixels, 8);
    d->host_cy = host_room(d->pixels, 8);
    d->host_cxf = host_room(d->pixels, 4);
    d->host_cyf = host_room(d->pixels, 4);
    for (int64_t i = 0; i < d->pixels; i++) {
        d->host_cx[i] = -2 + 2.6 * (double)i / (double)d->pixels;
        d->host_cy[i] = -1.3 + 2.6 * (double)i / (double)d->pixels;
        d->host_cxf[i] = (float)d->host_cx[i];
        d->host_cyf[i] = (float)d->host_cy[i];
    }
    d->host_w = host_room(d->freqs, 8);
    for (int64_t i = 0; i < d->freqs; i++) d->host_w[i] = 2 * M_PI * (0.1 + 9.9 * (double)i / (double)d->freqs);
    d->host_t = host_room(d->samples, 8);
    d->host_q = host_room(d->samples, 4);
    for (int64_t i = 0; i < d->samples; i++) {
        d->host_t[i] = 60 * ((double)i + noise(i, 13)) / (double)d->samples;
        d->host_q[i] = i % 97 == 5 ? NAN : (float)(sin(8.6 * d->host_t[i]) + noise(i, 14) - 0.5);
    }
    d->m = on_device(d->host_m, d->side * d->side, 4);
    d->s = on_device(d->host_s, d->rows * d->columns, 4);
    d->cx = on_device(d->host_cx, d->pixels, 8);
    d->cy = on_device(d->host_cy, d->pixels, 8);
    d->cxf = on_device(d->host_cxf, d->pixels, 4);
    d->cyf = on_device(d->host_cyf, d->pixels, 4);
    d->w = on_device(d->host_w, d->freqs, 8);
    d->t = on_device(d->host_t, d->samples, 8);
    d->q = on_device(d->host_q, d->samples, 4);
    int64_t most = d->n * 8;
    if (d->rows * d->columns * 4 > most) most = d->rows * d->columns * 4;
    if (d->pixels * d->pixels * 4 > most) most = d->pixels * d->pixels * 4;
    if (d->side * 4 > most) most = d->side * 4;
    if (d->freqs * 8 > most) most = d->freqs * 8;
    d->out_bytes = (size_t)most;
    d->out = driver_alloc(d->out_bytes);
    d->out2 = driver_alloc(256);
}

void gpu_data_free(struct gpu_data *d) {
    void *host[] = {d->host_x,  d->host_y,  d->host_z,   d->host_m,   d->host_s, d->host_q,
                    d->host_cx, d->host_cy, d->host_cxf, d->host_cyf, d->host_w, d->host_t};
    uint64_t device[] = {d->x, d->y, d->z, d->m, d->s, d->q, d->cx, d->cy, d->cxf, d->cyf, d->w, d->t, d->out, d->out2};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) free(host[i]);
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) driver_free(device[i]);
}

void gpu_data_prepare(struct gpu_data *d, const struct gpu_workload *w) {
    d->a = w->a;
    d->b = w->b;
    if (w->type == JIT_F32) { /* the host's expectation uses what the device gets */
        d->a = (double)(d->af = (float)w->a);
        d->b = (double)(d->bf = (float)w->b);
    }
    if (!w->type || (d->type == w->type && !memcmp(d->range, w->range, sizeof d->range))) return;
    void *host[3] = {d->host_x, d->host_y, d->host_z};
    uint64_t device[3] = {d->x, d->y, d->z};
    size_t size = w->type == JIT_F32 ? 4 : 8;
    for (int k = 0; k < 3; k++) {
        double low = w->range[k][0], span = w->range[k][1] - low;
        for (int64_t i = 0; i < d->n; i++) {
            double v = low + span * noise(i, (uint64_t)k + 1);
            if (size == 4)
                ((float *)host[k])[i] = (float)v;
            else
                ((double *)host[k])[i] = v;
        }
        driver_to_device(device[k], host[k], (size_t)d->n * size);
    }
    d->type = w->type;
    memcpy(d->range, w->range, sizeof d->range);
}

bool gpu_data_tensor(struct gpu_data *d, const char *name, DLTensor *tensor, int64_t *room) {
    const bool single = d->type == JIT_F32;
    const struct {
        const char *name;
        uint64_t device; /* 0: a scalar in host memory */
        void *scalar;
        jit_dtype type;
        int rank;
        int64_t shape[2];
    } table[] = {
        {"x", d->x, NULL, d->type, 1, {d->n, 0}},
        {"y", d->y, NULL, d->type, 1, {d->n, 0}},
        {"z", d->z, NULL, d->type, 1, {d->n, 0}},
        {"a", 0, single ? (void *)&d->af : (void *)&d->a, d->type, 0, {0, 0}},
        {"b", 0, single ? (void *)&d->bf : (void *)&d->b, d->type, 0, {0, 0}},
        {"m", d->m, NULL, JIT_F32, 2, {d->side, d->side}},
        {"s", d->s, NULL, JIT_F32, 2, {d->rows, d->columns}},
        {"cx", d->cx, NULL, JIT_F64, 1, {d->pixels, 0}},
        {"cy", d->cy, NULL, JIT_F64, 1, {d->pixels, 0}},
        {"cxf", d->cxf, NULL, JIT_F32, 1, {d->pixels, 0}},
        {"cyf", d->cyf, NULL, JIT_F32, 1, {d->pixels, 0}},
        {"w", d->w, NULL, JIT_F64, 1, {d->freqs, 0}},
        {"t", d->t, NULL, JIT_F64, 1, {d->samples, 0}},
        {"q", d->q, NULL, JIT_F32, 1, {d->samples, 0}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name)) continue;
        memcpy(room, table[i].shape, sizeof table[i].shape);
        *tensor = (DLTensor){.data = table[i].device ? (void *)(uintptr_t)table[i].device : table[i].scalar,
                             .device = {table[i].device ? kDLCUDA : kDLCPU, 0},
                             .ndim = table[i].rank,
                             .dtype = jit_dl_type(table[i].type),
                             .shape = room};
        return true;
    }
    return false;
}

void gpu_data_arguments(struct gpu_data *d, const struct gpu_workload *w, struct gpu_arguments *g) {
    *g = (struct gpu_arguments){.x = (void *)(uintptr_t)d->x,
                                .y = (void *)(uintptr_t)d->y,
                                .z = (void *)(uintptr_t)d->z,
                                .out = (void *)(uintptr_t)d->out,
                                .out2 = (void *)(uintptr_t)d->out2,
                                .a = d->a,
                                .b = d->b,
                                .n = d->n};
    if (!strncmp(w->name, "axis", 4)) {
        g->x = (void *)(uintptr_t)d->m;
        g->rows = g->columns = d->side;
    } else if (!strncmp(w->name, "softmax", 7)) {
        g->x = (void *)(uintptr_t)d->s;
        g->rows = d->rows;
        g->columns = d->columns;
    } else if (!strncmp(w->name, "mandelbrot", 10)) {
        bool single = strstr(w->name, "f32") != NULL;
        g->x = (void *)(uintptr_t)(single ? d->cxf : d->cx);
        g->y = (void *)(uintptr_t)(single ? d->cyf : d->cy);
        g->rows = g->columns = d->pixels;
    } else if (!strncmp(w->name, "spectral", 8)) {
        g->x = (void *)(uintptr_t)d->w;
        g->y = (void *)(uintptr_t)d->t;
        g->z = (void *)(uintptr_t)d->q;
        g->n = d->freqs;
        g->columns = d->samples;
    }
}
