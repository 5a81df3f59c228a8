/* abi.h: what a compiled kernel (shim_cuda.h, C++) and the device it runs on (libcuda.so.1, C) know of each other.
 *
 * A "cubin" is a shared object with one exported symbol, `shim_module`. */
#ifndef SHIM_ABI_H
#define SHIM_ABI_H

enum { SHIM_ABI = 4 };

enum shim_function {
#define SHIM_FUNCTION(name, arity) SHIM_##name,
#include "functions.def"
#undef SHIM_FUNCTION
    SHIM_FUNCTIONS
};

/* What threads of a block do together. */
enum shim_meeting {
    SHIM_BARRIER, /* of the block; the operand is the line it stands on. Results: */
    SHIM_BARRIER_COUNT,
    SHIM_BARRIER_AND,
    SHIM_BARRIER_OR,
    SHIM_WARP, /* from here on of the warp's lanes in `mask` */
    SHIM_SHUFFLE,
    SHIM_SHUFFLE_UP,
    SHIM_SHUFFLE_DOWN,
    SHIM_SHUFFLE_XOR,
    SHIM_BALLOT,
    SHIM_ANY,
    SHIM_ALL,
    SHIM_MATCH,
};

struct shim_host { /* the device's side, for kernels */
    unsigned long long (*meet)(int meeting, unsigned mask, unsigned long long value, int operand, int width);
    unsigned (*active_mask)(void);
    void (*pause)(void);            /* lets other threads of the block run */
    void (*fail)(const char *what); /* ends the launch; does not return */
    double (*f64)(int function, double x, double y);
    float (*f32)(int function, float x, float y);
};

struct shim_dim {
    unsigned x, y, z;
};

struct shim_kernel {
    const char *name;
    void (*call)(void *const *parameters); /* runs one thread */
    const unsigned *sizes;                 /* [n] bytes of each parameter */
    unsigned n, max_threads;               /* max_threads: of __launch_bounds__; 0: none given */
};

struct shim_module {
    int abi, arch;
    unsigned n_kernels;
    const struct shim_kernel *kernels;
    const struct shim_host **host;
    struct shim_dim *thread, *block, *block_size, *grid; /* threadIdx, blockIdx, blockDim, gridDim */
    char *shared, *shared_end;                           /* __shared__ variables, and little else */
    char **dynamic;                                      /* dynamic shared memory of a launch */
};

#endif
