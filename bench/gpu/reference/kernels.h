/* kernels.h: the launch functions that table.cu lists. */
#ifndef GPU_KERNELS_H
#define GPU_KERNELS_H

#include "reference.h"

#define GPU_KERNEL(name) int kernel_##name(const gpu_arguments *g, void *stream);
#define GPU_KERNELS(X)                                                                                                 \
    X(copy_f32)                                                                                                        \
    X(read_f32)                                                                                                        \
    X(read_f64)                                                                                                        \
    X(triad_f32)                                                                                                       \
    X(triad_f64)                                                                                                       \
    X(poly8_f32)                                                                                                       \
    X(poly8_f64)                                                                                                       \
    X(three_f32)                                                                                                       \
    X(three_f64)                                                                                                       \
    X(black_scholes_f32)                                                                                               \
    X(black_scholes_f64)                                                                                               \
    X(sum_f32)                                                                                                         \
    X(sum_f64)                                                                                                         \
    X(dot_f32)                                                                                                         \
    X(dot_f64)                                                                                                         \
    X(mean_var_f32)                                                                                                    \
    X(mean_var_f64)                                                                                                    \
    X(cub_sum_f32)                                                                                                     \
    X(cub_sum_f64)                                                                                                     \
    X(axis0_f32)                                                                                                       \
    X(axis1_f32)                                                                                                       \
    X(softmax_f32)                                                                                                     \
    X(mandelbrot_f32)                                                                                                  \
    X(mandelbrot_f64)                                                                                                  \
    X(spectral_f64)
GPU_KERNELS(GPU_KERNEL)

#endif
