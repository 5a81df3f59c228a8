/* loops.cu: much arithmetic an element. */
#include "common.cuh"
#include "kernels.h"

/* x: [columns], y: [rows]. A warp has a tile of 8 by 4 pixels: neighbours leave the loop together. */
template <typename T>
static __global__ void __launch_bounds__(128)
    escape(const T *__restrict__ cx, const T *__restrict__ cy, int *__restrict__ out, int rows, int columns) {
    int column = blockIdx.x * 8 + threadIdx.x, row = blockIdx.y * 16 + threadIdx.y;
    if (column >= columns || row >= rows) return;
    T u = cx[column], v = cy[row], x = 0, y = 0, xx = 0, yy = 0;
    int n = 0;
    while (n < 200 && xx + yy <= T(4)) {
        y = T(2) * x * y + v;
        x = xx - yy + u;
        xx = x * x;
        yy = y * y;
        n++;
    }
    out[(long long)row * columns + column] = n;
}

template <typename T> static int mandelbrot(const gpu_arguments *g, void *stream) {
    dim3 grid((unsigned)((g->columns + 7) / 8), (unsigned)((g->rows + 15) / 16)), block(8, 16);
    escape<T><<<grid, block, 0, (cudaStream_t)stream>>>((const T *)g->x, (const T *)g->y, (int *)g->out, (int)g->rows,
                                                        (int)g->columns);
    return launched();
}

int kernel_mandelbrot_f32(const gpu_arguments *g, void *stream) {
    return mandelbrot<float>(g, stream);
}
int kernel_mandelbrot_f64(const gpu_arguments *g, void *stream) {
    return mandelbrot<double>(g, stream);
}

/* The light curve's spectrum. x: n frequencies; y: times (double), z: values (float), `columns` of each. The curve is
 * read through shared memory, a frequency is a thread, sine and cosine come from one call. */
enum { SPECTRAL_THREADS = 128 };

static __global__ void __launch_bounds__(SPECTRAL_THREADS)
    spectrum(const double *__restrict__ w, const double *__restrict__ t, const float *__restrict__ y,
             double *__restrict__ out, long long n, int samples) {
    __shared__ double times[SPECTRAL_THREADS], values[SPECTRAL_THREADS];
    long long i = (long long)blockIdx.x * SPECTRAL_THREADS + threadIdx.x;
    double own = i < n ? w[i] : 0, c = 0, s = 0;
    for (int from = 0; from < samples; from += SPECTRAL_THREADS) {
        int k = from + (int)threadIdx.x, count = min(SPECTRAL_THREADS, samples - from);
        __syncthreads();
        if (k < samples) {
            times[threadIdx.x] = t[k];
            values[threadIdx.x] = (double)y[k];
        }
        __syncthreads();
        for (int j = 0; j < count; j++) {
            double value = values[j], sine, cosine;
            if (isnan(value)) continue; /* the same for the whole block */
            sincos(own * times[j], &sine, &cosine);
            c += value * cosine;
            s += value * sine;
        }
    }
    if (i < n) out[i] = c * c + s * s;
}

int kernel_spectral_f64(const gpu_arguments *g, void *stream) {
    unsigned blocks = (unsigned)((g->n + SPECTRAL_THREADS - 1) / SPECTRAL_THREADS);
    spectrum<<<blocks, SPECTRAL_THREADS, 0, (cudaStream_t)stream>>>(
        (const double *)g->x, (const double *)g->y, (const float *)g->z, (double *)g->out, g->n, (int)g->columns);
    return launched();
}
