/* reference.h: the C that Weft is measured against, plain loops as an engineer would write them by hand, compiled with
 *
 *     gcc -O3 -march=native -mprefer-vector-width=512 -ffast-math -fopenmp
 *
 * which vectorizes exp, sin, log1p, erf, … with libmvec by itself. Linked with LLVM's libomp in place of libgomp, so
 * that both sides share one thread pool.
 */
#ifndef BENCH_REFERENCE_H
#define BENCH_REFERENCE_H

#include <stdint.h>

/* What every workload reads and writes. f64 arrays of n elements, their f32 twins, a matrix, two axes of the complex
 * plane, a matrix whose rows count. */
struct bench_data {
    int64_t n;
    double *x, *y, *z, *out;
    float *xf, *outf; /* outf is out's memory */
    double a, b;
    float *m; /* side x side, f32 */
    int64_t side;
    double *cx, *cy; /* `pixels` each */
    int64_t pixels;
    float *r, *gain, *bias; /* rows x columns; a row of each */
    int64_t rows, columns;
    double result[4]; /* scalars that a reference computes */
};

struct bench_reference {
    const char *name;
    void (*run)(struct bench_data *d, int threads);
};

/* NULL if there is none of that name. */
const struct bench_reference *reference_find(const char *name);

/* Elementwise: elementwise.c */
void reference_triad(struct bench_data *d, int threads);
void reference_poly8(struct bench_data *d, int threads);
void reference_three(struct bench_data *d, int threads);
void reference_three_f32(struct bench_data *d, int threads);
void reference_black_scholes(struct bench_data *d, int threads);
void reference_mandelbrot(struct bench_data *d, int threads);

/* Reductions: reduce.c */
void reference_sum(struct bench_data *d, int threads);
void reference_sum_f32(struct bench_data *d, int threads);
void reference_dot(struct bench_data *d, int threads);
void reference_minmax(struct bench_data *d, int threads);
void reference_argmax(struct bench_data *d, int threads);
void reference_mean_var(struct bench_data *d, int threads);
void reference_distance(struct bench_data *d, int threads);
void reference_axis0(struct bench_data *d, int threads);
void reference_axis1(struct bench_data *d, int threads);
void reference_zscore(struct bench_data *d, int threads);
void reference_clip3(struct bench_data *d, int threads);

/* Rows of a matrix: rows.c */
void reference_softmax(struct bench_data *d, int threads);
void reference_log_softmax(struct bench_data *d, int threads);
void reference_layer_norm(struct bench_data *d, int threads);

/* The machine's ceilings, measured now: GB/s of compulsory bytes, GFLOP/s. roofline.c */
double roofline_triad(struct bench_data *d, int threads); /* non-temporal stores */
double roofline_read(struct bench_data *d, int threads);
double roofline_fma(int threads);

#endif
