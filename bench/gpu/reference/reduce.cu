/* reduce.cu: whole arrays to numbers. One launch: every block writes its partial sums, the last one to end joins them.
 */
#include <cub/device/device_reduce.cuh>

#include "common.cuh"
#include "kernels.h"

enum { THREADS = 512, UNROLL = 4, MOST_BLOCKS = 2048 };

__device__ double partials[2][MOST_BLOCKS];
__device__ unsigned arrived;

/* True in all threads of the block that comes last: it sees what the others wrote. */
static __device__ bool is_last() {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(&arrived, 1u) == gridDim.x - 1;
    __syncthreads();
    return last;
}

/* As many blocks as run at once: each then does the same share, and none is left for a second wave. */
template <typename K> static unsigned blocks_for(K kernel, long long n, int per_vector) {
    int resident = 0;
    if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, THREADS, 0) || resident < 1) resident = 1;
    long long needed = (n / per_vector + THREADS * UNROLL - 1) / (THREADS * UNROLL);
    long long most = (long long)resident * multiprocessors();
    if (most > MOST_BLOCKS) most = MOST_BLOCKS;
    return (unsigned)(needed < 1 ? 1 : needed < most ? needed : most);
}

/* Sum over f(x, y). INPUTS: 1 or 2. SUMS: S accumulates. */
template <int INPUTS, typename T, typename F>
__global__ void __launch_bounds__(THREADS)
    total(const T *__restrict__ x, const T *__restrict__ y, T *out, long long n, F f) {
    typedef pack<T> P;
    const P *px = (const P *)x, *py = (const P *)y;
    long long vectors = n / P::N, step = (long long)gridDim.x * THREADS;
    T sum[UNROLL] = {};
    long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    for (; i + (UNROLL - 1) * step < vectors; i += UNROLL * step) {
        P vx[UNROLL], vy[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            vx[u].vector = px[i + u * step].vector;
            if (INPUTS > 1) vy[u].vector = py[i + u * step].vector;
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
#pragma unroll
            for (int k = 0; k < P::N; k++) sum[u] += f(vx[u].element[k], INPUTS > 1 ? vy[u].element[k] : T(0));
    }
    for (; i < vectors; i += step) {
        P vx, vy;
        vx.vector = px[i].vector;
        if (INPUTS > 1) vy.vector = py[i].vector;
        for (int k = 0; k < P::N; k++) sum[0] += f(vx.element[k], INPUTS > 1 ? vy.element[k] : T(0));
    }
    long long rest = vectors * P::N + threadIdx.x;
    if (blockIdx.x == 0 && rest < n) sum[1] += f(x[rest], INPUTS > 1 ? y[rest] : T(0));

    T block = block_sum<THREADS>((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if (threadIdx.x == 0) partials[0][blockIdx.x] = (double)block;
    if (!is_last()) return;
    double all = 0;
    for (unsigned b = threadIdx.x; b < gridDim.x; b += THREADS) all += partials[0][b];
    all = block_sum<THREADS>(all);
    if (threadIdx.x == 0) {
        *out = (T)all;
        arrived = 0;
    }
}

template <int INPUTS, typename T, typename F> static int run(const gpu_arguments *g, void *stream, F f) {
    total<INPUTS, T><<<blocks_for(total<INPUTS, T, F>, g->n, pack<T>::N), THREADS, 0, (cudaStream_t)stream>>>(
        (const T *)g->x, (const T *)g->y, (T *)g->out, g->n, f);
    return launched();
}

template <typename T> static int sum(const gpu_arguments *g, void *stream) {
    return run<1, T>(g, stream, [] __device__(T x, T) { return x; });
}

template <typename T> static int dot(const gpu_arguments *g, void *stream) {
    return run<2, T>(g, stream, [] __device__(T x, T y) { return x * y; });
}

/* The ceiling of what reads only: every element is looked at, nothing is done with it. */
template <typename T>
__global__ void __launch_bounds__(THREADS) read_all(const uint4 *__restrict__ x, T *out, long long n) {
    long long step = (long long)gridDim.x * THREADS, i = (long long)blockIdx.x * THREADS + threadIdx.x;
    unsigned any = 0;
    for (; i + 3 * step < n; i += 4 * step) {
        uint4 a = x[i], b = x[i + step], c = x[i + 2 * step], d = x[i + 3 * step];
        any |= (a.x ^ a.y ^ a.z ^ a.w) & (b.x ^ b.y ^ b.z ^ b.w) & (c.x ^ c.y ^ c.z ^ c.w) & (d.x ^ d.y ^ d.z ^ d.w);
    }
    for (; i < n; i += step) any |= x[i].x ^ x[i].y ^ x[i].z ^ x[i].w;
    if (any == 0x9e3779b9u) *out = T(1); /* the loads must not be left out */
}

template <typename T> static int read(const gpu_arguments *g, void *stream) {
    read_all<T><<<blocks_for(read_all<T>, g->n, pack<T>::N), THREADS, 0, (cudaStream_t)stream>>>(
        (const uint4 *)g->x, (T *)g->out, g->n / pack<T>::N);
    return launched();
}

/* Mean and variance in one pass: sums of x - x[0] and of its square, in T within a run, in double across. */
template <typename T>
__global__ void __launch_bounds__(THREADS) moments(const T *__restrict__ x, T *mean, T *variance, long long n) {
    typedef pack<T> P;
    const P *px = (const P *)x;
    long long vectors = n / P::N, step = (long long)gridDim.x * THREADS;
    T shift = x[0];
    double sum = 0, squares = 0;
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < vectors; i += UNROLL * step) {
        P v[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (i + u * step < vectors) v[u].vector = px[i + u * step].vector;
        T s = 0, q = 0;
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            if (i + u * step >= vectors) continue;
#pragma unroll
            for (int k = 0; k < P::N; k++) {
                T d = v[u].element[k] - shift;
                s += d;
                q += d * d;
            }
        }
        sum += (double)s;
        squares += (double)q;
    }
    long long rest = vectors * P::N + threadIdx.x;
    if (blockIdx.x == 0 && rest < n) {
        double d = (double)(x[rest] - shift);
        sum += d;
        squares += d * d;
    }
    sum = block_sum<THREADS>(sum);
    squares = block_sum<THREADS>(squares);
    if (threadIdx.x == 0) {
        partials[0][blockIdx.x] = sum;
        partials[1][blockIdx.x] = squares;
    }
    if (!is_last()) return;
    sum = squares = 0;
    for (unsigned b = threadIdx.x; b < gridDim.x; b += THREADS) {
        sum += partials[0][b];
        squares += partials[1][b];
    }
    sum = block_sum<THREADS>(sum);
    squares = block_sum<THREADS>(squares);
    if (threadIdx.x == 0) {
        *mean = (T)((double)shift + sum / (double)n);
        *variance = (T)((squares - sum * sum / (double)n) / (double)n);
        arrived = 0;
    }
}

template <typename T> static int mean_var(const gpu_arguments *g, void *stream) {
    moments<T><<<blocks_for(moments<T>, g->n, pack<T>::N), THREADS, 0, (cudaStream_t)stream>>>(
        (const T *)g->x, (T *)g->out, (T *)g->out2, g->n);
    return launched();
}

/* NVIDIA's library, beside the hand-written sum. */
template <typename T> static int cub_sum(const gpu_arguments *g, void *stream) {
    static void *room;
    static size_t bytes;
    if (!room) {
        cudaError_t error = cub::DeviceReduce::Sum(nullptr, bytes, (const T *)g->x, (T *)g->out, g->n);
        if (!error) error = cudaMalloc(&room, bytes);
        if (error) return (int)error;
    }
    return (int)cub::DeviceReduce::Sum(room, bytes, (const T *)g->x, (T *)g->out, g->n, (cudaStream_t)stream);
}

#define BOTH(name)                                                                                                     \
    int kernel_##name##_f32(const gpu_arguments *g, void *stream) {                                                    \
        return name<float>(g, stream);                                                                                 \
    }                                                                                                                  \
    int kernel_##name##_f64(const gpu_arguments *g, void *stream) {                                                    \
        return name<double>(g, stream);                                                                                \
    }
BOTH(read)
BOTH(sum)
BOTH(dot)
BOTH(mean_var)
BOTH(cub_sum)
