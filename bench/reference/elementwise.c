#include "reference.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const struct bench_reference references[] = {
    {"triad", reference_triad},
    {"poly8", reference_poly8},
    {"three", reference_three},
    {"three_f32", reference_three_f32},
    {"black", reference_black_scholes},
    {"mandelbrot", reference_mandelbrot},
    {"sum", reference_sum},
    {"sum_f32", reference_sum_f32},
    {"dot", reference_dot},
    {"minmax", reference_minmax},
    {"argmax", reference_argmax},
    {"mean_var", reference_mean_var},
    {"distance", reference_distance},
    {"axis0", reference_axis0},
    {"axis1", reference_axis1},
    {"zscore", reference_zscore},
    {"clip3", reference_clip3},
    {"softmax", reference_softmax},
    {"log_softmax", reference_log_softmax},
    {"layer_norm", reference_layer_norm},
};

const struct bench_reference *reference_find(const char *name) {
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (!strcmp(references[i].name, name)) return &references[i];
    return NULL;
}

static void triad_range(const struct bench_data *d, int64_t from, int64_t to) {
    const double *restrict x = d->x, *restrict z = d->z, a = d->a, b = d->b;
    double *restrict out = d->out;
    for (int64_t i = from; i < to; i++) out[i] = a * x[i] + b * z[i];
}

/* Little work takes the bare loop: even a false `if` clause costs 0.3 µs, which would flatter us at n = 1,000. */
void reference_triad(struct bench_data *d, int threads) {
    if (threads == 1 || d->n < 32768) {
        triad_range(d, 0, d->n);
        return;
    }
#pragma omp parallel for num_threads(threads)
    for (int t = 0; t < threads; t++) triad_range(d, d->n * t / threads, d->n * (t + 1) / threads);
}

void reference_poly8(struct bench_data *d, int threads) {
    const double *restrict x = d->x;
    double *restrict out = d->out;
    int64_t n = d->n;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n; i++) {
        double v = x[i];
        out[i] = (((((((0.1 * v + 0.2) * v + 0.3) * v + 0.4) * v + 0.5) * v + 0.6) * v + 0.7) * v + 0.8) * v + 0.9;
    }
}

void reference_three(struct bench_data *d, int threads) {
    const double *restrict x = d->x;
    double *restrict out = d->out;
    int64_t n = d->n;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n; i++) out[i] = exp(-x[i] * x[i]) * sin(3 * x[i]) + log1p(fabs(x[i]));
}

void reference_three_f32(struct bench_data *d, int threads) {
    const float *restrict x = d->xf;
    float *restrict out = d->outf;
    int64_t n = d->n;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n; i++) out[i] = expf(-x[i] * x[i]) * sinf(3 * x[i]) + log1pf(fabsf(x[i]));
}

/* Price of a call: x the stock, y the strike, z the time; a the rate, b the volatility. */
void reference_black_scholes(struct bench_data *d, int threads) {
    const double *restrict s = d->x, *restrict k = d->y, *restrict t = d->z, r = d->a, v = d->b;
    double *restrict out = d->out;
    int64_t n = d->n;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n; i++) {
        double root = v * sqrt(t[i]);
        double d1 = (log(s[i] / k[i]) + (r + 0.5 * v * v) * t[i]) / root;
        double d2 = d1 - root;
        double n1 = 0.5 * (1 + erf(d1 * M_SQRT1_2)), n2 = 0.5 * (1 + erf(d2 * M_SQRT1_2));
        out[i] = s[i] * n1 - k[i] * exp(-r * t[i]) * n2;
    }
}

/* Scalar: the loop that auto-vectorizers give up on. Counts go to out's memory as 32-bit integers. */
void reference_mandelbrot(struct bench_data *d, int threads) {
    int32_t *out = (int32_t *)d->out;
    int64_t w = d->pixels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 8)
    for (int64_t row = 0; row < w; row++)
        for (int64_t col = 0; col < w; col++) {
            double cx = d->cx[col], cy = d->cy[row], x = 0, y = 0;
            int32_t n = 0;
            while (n < 200 && x * x + y * y <= 4) {
                double next = x * x - y * y + cx;
                y = 2 * x * y + cy;
                x = next;
                n++;
            }
            out[row * w + col] = n;
        }
}
