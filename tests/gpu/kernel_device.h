/* kernel_device.h: kernels on the fake device by themselves, without Weft's runtime: the driver's functions, an arena
 * and the compiler. One program uses one device, from one thread.
 */
#ifndef TESTS_GPU_KERNEL_DEVICE_H
#define TESTS_GPU_KERNEL_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codegen/ptx/ptx.h"
#include "gpu/shim/cu.h"

#define DRIVER(F)                                                                                                      \
    F(cuInit, (unsigned))                                                                                              \
    F(cuDeviceGet, (CUdevice *, int))                                                                                  \
    F(cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice))                                                               \
    F(cuDevicePrimaryCtxRelease_v2, (CUdevice))                                                                        \
    F(cuCtxPushCurrent_v2, (CUcontext))                                                                                \
    F(cuCtxPopCurrent_v2, (CUcontext *))                                                                               \
    F(cuCtxSynchronize, (void))                                                                                        \
    F(cuMemAlloc_v2, (CUdeviceptr *, size_t))                                                                          \
    F(cuMemFree_v2, (CUdeviceptr))                                                                                     \
    F(cuMemcpyHtoD_v2, (CUdeviceptr, const void *, size_t))                                                            \
    F(cuMemcpyDtoH_v2, (void *, CUdeviceptr, size_t))                                                                  \
    F(cuModuleLoadData, (CUmodule *, const void *))                                                                    \
    F(cuModuleUnload, (CUmodule))                                                                                      \
    F(cuModuleGetFunction, (CUfunction *, CUmodule, const char *))                                                     \
    F(cuFuncSetAttribute, (CUfunction, int, int))                                                                      \
    F(cuLaunchKernel,                                                                                                  \
      (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **))

struct kernel_driver {
#define POINTER(name, parameters) int(*name) parameters;
    DRIVER(POINTER)
#undef POINTER
};

/* Set between kernel_device_open and kernel_device_close, which are a test group's setup and teardown. */
extern struct kernel_driver cu;
extern struct arena arena; /* fails the program when there is no memory */
extern struct ptx_compiler *compiler;

int kernel_device_open(void **state);
int kernel_device_close(void **state);
/* A test's teardown: empties the arena. */
int kernel_device_clear(void **state);

/* Fails the test unless the driver takes the call. */
void kernel_device_must(int result, const char *what);
#define MUST(call) kernel_device_must(cu.call, #call)

#endif
