/* What the machine gives at best, measured in the same process as everything else. */
#include "reference.h"

#include <immintrin.h>
#include <omp.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stream_range(double *out, const double *x, const double *z, int64_t from, int64_t to) {
#ifdef __AVX512F__
    const __m512d a = _mm512_set1_pd(1.7);
    for (int64_t i = from; i + 8 <= to; i += 8)
        _mm512_stream_pd(out + i, _mm512_fmadd_pd(a, _mm512_loadu_pd(x + i), _mm512_loadu_pd(z + i)));
#else
    const __m128d a = _mm_set1_pd(1.7);
    for (int64_t i = from; i + 2 <= to; i += 2)
        _mm_stream_pd(out + i, _mm_add_pd(_mm_mul_pd(a, _mm_loadu_pd(x + i)), _mm_loadu_pd(z + i)));
#endif
    _mm_sfence();
}

double roofline_triad(struct bench_data *d, int threads) {
    double best = 1e9;
    for (int rep = 0; rep < 7; rep++) {
        double start = now();
#pragma omp parallel num_threads(threads)
        {
            int64_t t = omp_get_thread_num(), parts = d->n / 8;
            stream_range(d->out, d->x, d->z, parts * t / threads * 8, parts * (t + 1) / threads * 8);
        }
        double took = now() - start;
        best = took < best ? took : best;
    }
    return 24.0 * (double)d->n / best / 1e9;
}

double roofline_read(struct bench_data *d, int threads) {
    double best = 1e9;
    for (int rep = 0; rep < 7; rep++) {
        double start = now(), s = 0;
#pragma omp parallel num_threads(threads) reduction(+ : s)
        {
            /* Eight independent chains, more than the latency of an addition needs. */
            int64_t t = omp_get_thread_num(), parts = d->n / 64, to = parts * (t + 1) / threads * 64;
            double chain[64] = {0};
            for (int64_t i = parts * t / threads * 64; i < to; i += 64)
                for (int j = 0; j < 64; j++) chain[j] += d->x[i + j];
            for (int j = 0; j < 64; j++) s += chain[j];
        }
        double took = now() - start;
        d->result[3] = s;
        best = took < best ? took : best;
    }
    return 8.0 * (double)d->n / best / 1e9;
}

/* One vector fma (or its two halves), as wide as the machine has. */
#if defined(__AVX512F__)
typedef __m512d wide;
#define WIDE_SET(v)       _mm512_set1_pd(v)
#define WIDE_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#elif defined(__FMA__)
typedef __m256d wide;
#define WIDE_SET(v)       _mm256_set1_pd(v)
#define WIDE_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#else
typedef __m128d wide;
#define WIDE_SET(v)       _mm_set1_pd(v)
#define WIDE_FMA(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#endif

double roofline_fma(int threads) {
    enum { CHAINS = 12, STEPS = 500000, LANES = sizeof(wide) / sizeof(double) };
    double best = 1e9;
    volatile double keep = 0; /* or the loop would be dropped */
    for (int rep = 0; rep < 9; rep++) {
        double total = 0, start = now();
#pragma omp parallel num_threads(threads) reduction(+ : total)
        {
            wide c[CHAINS], a = WIDE_SET(0.999999), b = WIDE_SET(1e-7);
            for (int j = 0; j < CHAINS; j++) c[j] = WIDE_SET(j);
            for (int i = 0; i < STEPS; i++)
#pragma GCC unroll 12
                for (int j = 0; j < CHAINS; j++) c[j] = WIDE_FMA(c[j], a, b);
            for (int j = 0; j < CHAINS; j++) total += c[j][0] + c[j][LANES - 1];
        }
        double took = now() - start;
        keep += total;
        best = took < best ? took : best;
    }
    return 2.0 * LANES * CHAINS * STEPS * threads / best / 1e9;
}
