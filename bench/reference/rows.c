#include "reference.h"

#include <math.h>

/* Each row is done to its end while it is in cache; its exponentials wait where its results go. */

void reference_softmax(struct bench_data *d, int threads) {
    const float *restrict r = d->r;
    float *restrict out = d->outf;
    int64_t rows = d->rows, columns = d->columns;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < rows; i++) {
        const float *restrict x = r + i * columns;
        float *restrict e = out + i * columns, most = x[0], sum = 0;
        for (int64_t j = 0; j < columns; j++) most = x[j] > most ? x[j] : most;
        for (int64_t j = 0; j < columns; j++) {
            e[j] = expf(x[j] - most);
            sum += e[j];
        }
        float scale = 1 / sum;
        for (int64_t j = 0; j < columns; j++) e[j] *= scale;
    }
}

void reference_log_softmax(struct bench_data *d, int threads) {
    const float *restrict r = d->r;
    float *restrict out = d->outf;
    int64_t rows = d->rows, columns = d->columns;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < rows; i++) {
        const float *restrict x = r + i * columns;
        float *restrict y = out + i * columns, most = x[0], sum = 0;
        for (int64_t j = 0; j < columns; j++) most = x[j] > most ? x[j] : most;
        for (int64_t j = 0; j < columns; j++) sum += expf(x[j] - most);
        float low = most + logf(sum);
        for (int64_t j = 0; j < columns; j++) y[j] = x[j] - low;
    }
}

/* Two passes for mean and variance: squares of what is far from 0 lose too much in f32 otherwise. */
void reference_layer_norm(struct bench_data *d, int threads) {
    const float *restrict r = d->r, *restrict gain = d->gain, *restrict bias = d->bias;
    float *restrict out = d->outf;
    int64_t rows = d->rows, columns = d->columns;
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < rows; i++) {
        const float *restrict x = r + i * columns;
        float *restrict y = out + i * columns, sum = 0, squares = 0;
        for (int64_t j = 0; j < columns; j++) sum += x[j];
        float mean = sum / (float)columns;
        for (int64_t j = 0; j < columns; j++) squares += (x[j] - mean) * (x[j] - mean);
        float scale = 1 / sqrtf(squares / (float)columns + 1e-5f);
        for (int64_t j = 0; j < columns; j++) y[j] = (x[j] - mean) * scale * gain[j] + bias[j];
    }
}
