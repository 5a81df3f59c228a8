/* common.cuh: what the references share: 16-byte vectors, sums within a block. */
#ifndef GPU_COMMON_CUH
#define GPU_COMMON_CUH

#include <cuda_runtime.h>

#include "reference.h"

template <typename T> struct vector_of;
template <> struct vector_of<float> { using type = float4; };
template <> struct vector_of<double> { using type = double2; };

/* 16 bytes as elements. */
template <typename T> union pack {
    enum { N = 16 / sizeof(T) };
    typename vector_of<T>::type vector;
    T element[16 / sizeof(T)];
};

inline int multiprocessors() {
    static int count = 0;
    if (!count) {
        int device = 0;
        cudaGetDevice(&device);
        cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
    }
    return count > 0 ? count : 1;
}

inline int launched() {
    return (int)cudaGetLastError();
}

/* For thread 0 of a warp. */
template <typename T> __device__ T warp_sum(T v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_down_sync(0xffffffffu, v, step);
    return v;
}

/* For all threads of a warp. */
template <typename T> __device__ T warp_max(T v) {
    for (int step = 16; step > 0; step /= 2) v = max(v, __shfl_xor_sync(0xffffffffu, v, step));
    return v;
}

/* The sum over a warp, for all its threads. */
template <typename T> __device__ T warp_sum_all(T v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

/* The sum over a block of THREADS threads, for thread 0. */
template <int THREADS, typename T> __device__ T block_sum(T v) {
    __shared__ T warps[THREADS / 32];
    v = warp_sum(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) v = warp_sum(threadIdx.x < THREADS / 32 ? warps[threadIdx.x] : T(0));
    return v;
}

#endif
