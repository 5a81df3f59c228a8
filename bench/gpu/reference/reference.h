/* reference.h: the hand-written CUDA that Weft is measured against, as one shared library that nvcc builds.
 *
 * Plain C, so that the benchmark that opens the library needs no CUDA header. Every function puts its kernels on
 * `stream` (a CUstream, which is a cudaStream_t, too) and returns 0 or a cudaError_t.
 */
#ifndef GPU_REFERENCE_H
#define GPU_REFERENCE_H

#ifdef __cplusplus
extern "C" {
#endif

struct gpu_arguments {
    const void *x, *y, *z; /* device memory, aligned to 256 bytes; what a workload does not use is NULL */
    void *out, *out2;      /* device memory; the second of two results */
    double a, b;
    long long n;             /* elements of x, y and z, or */
    long long rows, columns; /* x is a matrix in C order */
};

typedef int (*gpu_launch)(const struct gpu_arguments *arguments, void *stream);

/* NULL if there is none of that name ("triad f32"). */
gpu_launch gpu_reference_find(const char *name);
const char *gpu_reference_error(int error);

#ifdef __cplusplus
}
#endif

#endif
