/* fake.h: for tests of the fake device itself: all its functions, opened as Weft opens the libraries, and a kernel's
 * way from its text to a launch.
 */
#ifndef TESTS_GPU_FAKE_H
#define TESTS_GPU_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gpu/shim/control.h"
#include "gpu/shim/cu.h"

#define DRIVER(F)                                                                                                      \
    F(cuInit, (unsigned))                                                                                              \
    F(cuDeviceGetCount, (int *))                                                                                       \
    F(cuDeviceGet, (CUdevice *, int))                                                                                  \
    F(cuDeviceGetAttribute, (int *, int, CUdevice))                                                                    \
    F(cuDevicePrimaryCtxRetain, (CUcontext *, CUdevice))                                                               \
    F(cuDevicePrimaryCtxRelease_v2, (CUdevice))                                                                        \
    F(cuCtxPushCurrent_v2, (CUcontext))                                                                                \
    F(cuCtxPopCurrent_v2, (CUcontext *))                                                                               \
    F(cuCtxSynchronize, (void))                                                                                        \
    F(cuMemAlloc_v2, (CUdeviceptr *, size_t))                                                                          \
    F(cuMemFree_v2, (CUdeviceptr))                                                                                     \
    F(cuMemAllocAsync, (CUdeviceptr *, size_t, CUstream))                                                              \
    F(cuMemFreeAsync, (CUdeviceptr, CUstream))                                                                         \
    F(cuMemGetInfo_v2, (size_t *, size_t *))                                                                           \
    F(cuMemAllocHost_v2, (void **, size_t))                                                                            \
    F(cuMemFreeHost, (void *))                                                                                         \
    F(cuMemcpyHtoD_v2, (CUdeviceptr, const void *, size_t))                                                            \
    F(cuMemcpyDtoH_v2, (void *, CUdeviceptr, size_t))                                                                  \
    F(cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void *, size_t, CUstream))                                             \
    F(cuMemcpyDtoHAsync_v2, (void *, CUdeviceptr, size_t, CUstream))                                                   \
    F(cuMemsetD32Async, (CUdeviceptr, unsigned, size_t, CUstream))                                                     \
    F(cuStreamCreate, (CUstream *, unsigned))                                                                          \
    F(cuStreamDestroy_v2, (CUstream))                                                                                  \
    F(cuStreamSynchronize, (CUstream))                                                                                 \
    F(cuStreamQuery, (CUstream))                                                                                       \
    F(cuStreamWaitEvent, (CUstream, CUevent, unsigned))                                                                \
    F(cuEventCreate, (CUevent *, unsigned))                                                                            \
    F(cuEventDestroy_v2, (CUevent))                                                                                    \
    F(cuEventRecord, (CUevent, CUstream))                                                                              \
    F(cuEventQuery, (CUevent))                                                                                         \
    F(cuEventSynchronize, (CUevent))                                                                                   \
    F(cuEventElapsedTime_v2, (float *, CUevent, CUevent))                                                              \
    F(cuModuleLoadData, (CUmodule *, const void *))                                                                    \
    F(cuModuleUnload, (CUmodule))                                                                                      \
    F(cuModuleGetFunction, (CUfunction *, CUmodule, const char *))                                                     \
    F(cuFuncGetAttribute, (int *, int, CUfunction))                                                                    \
    F(cuFuncSetAttribute, (CUfunction, int, int))                                                                      \
    F(cuLaunchKernel,                                                                                                  \
      (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **))  \
    F(cuPointerGetAttribute, (void *, int, CUdeviceptr))

typedef struct program *nvrtcProgram;
#define NVRTC(F)                                                                                                       \
    F(nvrtcCreateProgram, (nvrtcProgram *, const char *, const char *, int, const char *const *, const char *const *)) \
    F(nvrtcCompileProgram, (nvrtcProgram, int, const char *const *))                                                   \
    F(nvrtcGetProgramLogSize, (nvrtcProgram, size_t *))                                                                \
    F(nvrtcGetProgramLog, (nvrtcProgram, char *))                                                                      \
    F(nvrtcGetCUBINSize, (nvrtcProgram, size_t *))                                                                     \
    F(nvrtcGetCUBIN, (nvrtcProgram, char *))                                                                           \
    F(nvrtcGetPTXSize, (nvrtcProgram, size_t *))                                                                       \
    F(nvrtcGetPTX, (nvrtcProgram, char *))                                                                             \
    F(nvrtcDestroyProgram, (nvrtcProgram *))

struct fake {
#define POINTER(name, parameters) int(*name) parameters;
    DRIVER(POINTER)
    NVRTC(POINTER)
#undef POINTER
#define POINTER(type, name, parameters) type(*name) parameters;
    SHIM_CONTROL_FUNCTIONS(POINTER)
    SHIM_NVRTC_FUNCTIONS(POINTER)
#undef POINTER
};

/* Set by fake_set_up, a test group's setup. */
extern struct fake fake;
/* The device's primary context, current between a test's fake_open, which resets the fake device, and its fake_close,
 * which fails if something is left. */
extern CUcontext context;

#define FAKE_TEST(test) cmocka_unit_test_setup_teardown(test, fake_open, fake_close)
#define OK(call)        assert_int_equal(fake.call, CUDA_SUCCESS)

int fake_set_up(void **state);
int fake_open(void **state);
int fake_close(void **state);

/* The module of a source text, which `option` says the architecture of. NULL, and *log, malloc'ed, if it does not
 * compile; that fails the test where log is NULL. */
CUmodule fake_compile(const char *source, const char *option, char **log);

struct kernel {
    CUmodule module;
    CUfunction function;
};

/* The kernel `k` of a text. */
struct kernel fake_kernel_of(const char *source);
/* One dimension of blocks of one dimension of threads. */
int fake_launch(CUfunction function, unsigned blocks, unsigned threads, CUstream stream, void **parameters);

#endif
