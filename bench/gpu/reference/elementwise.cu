/* elementwise.cu: one pass over memory: every thread has UNROLL 16-byte loads of each input in flight. */
#include "common.cuh"
#include "kernels.h"

enum { THREADS = 256 };

template <int INPUTS, int UNROLL, typename T, typename F>
__global__ void __launch_bounds__(THREADS) map(const T *__restrict__ x, const T *__restrict__ y,
                                               const T *__restrict__ z, T *__restrict__ out, long long n, F f) {
    typedef pack<T> P;
    const P *px = (const P *)x, *py = (const P *)y, *pz = (const P *)z;
    long long vectors = n / P::N, first = (long long)blockIdx.x * THREADS * UNROLL + threadIdx.x;
    P vx[UNROLL], vy[UNROLL], vz[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
        long long i = first + u * THREADS;
        if (i >= vectors) continue;
        vx[u].vector = px[i].vector;
        if (INPUTS > 1) vy[u].vector = py[i].vector;
        if (INPUTS > 2) vz[u].vector = pz[i].vector;
    }
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
        long long i = first + u * THREADS;
        if (i >= vectors) continue;
        P result;
#pragma unroll
        for (int k = 0; k < P::N; k++)
            result.element[k] =
                f(vx[u].element[k], INPUTS > 1 ? vy[u].element[k] : T(0), INPUTS > 2 ? vz[u].element[k] : T(0));
        ((P *)out)[i].vector = result.vector;
    }
    long long rest = vectors * P::N + threadIdx.x;
    if (blockIdx.x == gridDim.x - 1 && rest < n)
        out[rest] = f(x[rest], INPUTS > 1 ? y[rest] : T(0), INPUTS > 2 ? z[rest] : T(0));
}

template <int INPUTS, typename T, typename F> static int run(const gpu_arguments *g, void *stream, F f) {
    constexpr int UNROLL = INPUTS == 1 ? 4 : 2;
    long long vectors = g->n / pack<T>::N, blocks = (vectors + THREADS * UNROLL - 1) / (THREADS * UNROLL);
    map<INPUTS, UNROLL, T><<<(unsigned)(blocks ? blocks : 1), THREADS, 0, (cudaStream_t)stream>>>(
        (const T *)g->x, (const T *)g->y, (const T *)g->z, (T *)g->out, g->n, f);
    return launched();
}

/* The ceiling of what reads as much as it writes, beside the driver's own copy. */
int kernel_copy_f32(const gpu_arguments *g, void *stream) {
    return run<1, float>(g, stream, [] __device__(float x, float, float) { return x; });
}

template <typename T> static int triad(const gpu_arguments *g, void *stream) {
    T a = (T)g->a, b = (T)g->b;
    return run<2, T>(g, stream, [a, b] __device__(T x, T y, T) { return a * x + b * y; });
}

template <typename T> static int poly8(const gpu_arguments *g, void *stream) {
    return run<1, T>(g, stream, [] __device__(T x, T, T) {
        return (((((((T(0.1) * x + T(0.2)) * x + T(0.3)) * x + T(0.4)) * x + T(0.5)) * x + T(0.6)) * x + T(0.7)) * x +
                T(0.8)) *
                   x +
               T(0.9);
    });
}

template <typename T> static int three(const gpu_arguments *g, void *stream) {
    return run<1, T>(g, stream, [] __device__(T x, T, T) { return exp(-x * x) * sin(T(3) * x) + log1p(fabs(x)); });
}

/* x: the price, y: the strike, z: the time; a: the rate, b: the volatility. */
template <typename T> static int black_scholes(const gpu_arguments *g, void *stream) {
    T rate = (T)g->a, volatility = (T)g->b;
    return run<3, T>(g, stream, [rate, volatility] __device__(T x, T y, T z) {
        const T root_half = T(0.70710678118654752);
        T root = volatility * sqrt(z);
        T d1 = (log(x / y) + (rate + T(0.5) * volatility * volatility) * z) / root;
        T n1 = T(0.5) * (T(1) + erf(d1 * root_half)), n2 = T(0.5) * (T(1) + erf((d1 - root) * root_half));
        return x * n1 - y * exp(-rate * z) * n2;
    });
}

#define BOTH(name)                                                                                                     \
    int kernel_##name##_f32(const gpu_arguments *g, void *stream) {                                                    \
        return name<float>(g, stream);                                                                                 \
    }                                                                                                                  \
    int kernel_##name##_f64(const gpu_arguments *g, void *stream) {                                                    \
        return name<double>(g, stream);                                                                                \
    }
BOTH(triad)
BOTH(poly8)
BOTH(three)
BOTH(black_scholes)
