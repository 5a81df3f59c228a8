/* test_shim.c: the fake CUDA device itself. */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu/shim/control.h"
#include "gpu/shim/cu.h"

/* --- the libraries, opened as Weft does
 * ------------------------------------------------------------------------------- */

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

static struct {
#define POINTER(name, parameters) int(*name) parameters;
    DRIVER(POINTER)
    NVRTC(POINTER)
#undef POINTER
#define POINTER(type, name, parameters) type(*name) parameters;
    SHIM_CONTROL_FUNCTIONS(POINTER)
    SHIM_NVRTC_FUNCTIONS(POINTER)
#undef POINTER
} fake;

static void find(void *library, const char *name, void *to) {
    void *found = dlsym(library, name);
    if (!found) fail_msg("no %s", name);
    memcpy(to, &found, sizeof found);
}

#define OK(call) assert_int_equal(fake.call, CUDA_SUCCESS)

static CUcontext context;

static int set_up(void **state) {
    (void)state;
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *nvrtc = dlopen("libnvrtc.so.13", RTLD_NOW);
    if (!cuda || !nvrtc) fail_msg("%s", dlerror());
#define FIND(name, parameters) find(cuda, #name, &fake.name);
    DRIVER(FIND)
#undef FIND
#define FIND(name, parameters) find(nvrtc, #name, &fake.name);
    NVRTC(FIND)
#undef FIND
#define FIND(type, name, parameters) find(cuda, #name, &fake.name);
    SHIM_CONTROL_FUNCTIONS(FIND)
#undef FIND
#define FIND(type, name, parameters) find(nvrtc, #name, &fake.name);
    SHIM_NVRTC_FUNCTIONS(FIND)
#undef FIND
    return 0;
}

static int open_context(void **state) {
    (void)state;
    fake.shim_reset();
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxPushCurrent_v2(context));
    return 0;
}

static int close_context(void **state) {
    (void)state;
    fake.shim_lose_device(0);
    OK(cuCtxPopCurrent_v2(NULL));
    OK(cuDevicePrimaryCtxRelease_v2(0));
    assert_int_equal(fake.shim_objects(), 0);
    assert_int_equal(fake.shim_nvrtc_programs(), 0);
    return 0;
}

/* The module of a source text; *log, malloc'ed, if it does not compile. */
static CUmodule compile(const char *source, const char *option, char **log) {
    nvrtcProgram program;
    const char *options[] = {option, "--fmad=false"};
    OK(nvrtcCreateProgram(&program, source, "test.cu", 0, NULL, NULL));
    int result = fake.nvrtcCompileProgram(program, 2, options);
    size_t size;
    OK(nvrtcGetProgramLogSize(program, &size));
    char *text = malloc(size);
    OK(nvrtcGetProgramLog(program, text));
    if (result && !log) fail_msg("%s", text);
    if (log)
        *log = text;
    else
        free(text);
    CUmodule module = NULL;
    if (!result) {
        bool ptx = strstr(option, "compute_") != NULL;
        if (ptx)
            OK(nvrtcGetPTXSize(program, &size));
        else
            OK(nvrtcGetCUBINSize(program, &size));
        char *image = malloc(size);
        if (ptx)
            OK(nvrtcGetPTX(program, image));
        else
            OK(nvrtcGetCUBIN(program, image));
        OK(cuModuleLoadData(&module, image));
        free(image);
    }
    OK(nvrtcDestroyProgram(&program));
    return module;
}

struct kernel {
    CUmodule module;
    CUfunction function;
};

static struct kernel kernel_of(const char *source) {
    struct kernel kernel = {compile(source, "--gpu-architecture=sm_90", NULL), NULL};
    OK(cuModuleGetFunction(&kernel.function, kernel.module, "k"));
    return kernel;
}

static int launch(CUfunction function, unsigned blocks, unsigned threads, CUstream stream, void **parameters) {
    return fake.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, parameters, NULL);
}

/* --- kernels
 * ---------------------------------------------------------------------------------------------------------- */

/* Sums with shuffles, shared memory, and the last block adding what the others left: the way reductions go. */
static const char sum_source[] =
    "// a comment that speaks of a __global__ function\n"
    "extern \"C\" __global__ void __launch_bounds__(128, 2)\n"
    "k(const double *__restrict__ x, double *out, double *partial, unsigned *counter, long long n) {\n"
    "    __shared__ double warps[4];\n"
    "    __shared__ bool last;\n"
    "    double s = 0;\n"
    "    for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += __ldg(x + "
    "i);\n"
    "    for (int d = 16; d; d /= 2) s += __shfl_down_sync(0xffffffffu, s, d);\n"
    "    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = s;\n"
    "    __syncthreads();\n"
    "    if (threadIdx.x == 0) {\n"
    "        partial[blockIdx.x] = warps[0] + warps[1] + warps[2] + warps[3];\n"
    "        __threadfence();\n"
    "        last = atomicAdd(counter, 1u) == gridDim.x - 1;\n"
    "    }\n"
    "    __syncthreads();\n"
    "    if (!last) return;\n"
    "    if (threadIdx.x == 0) {\n"
    "        double t = 0;\n"
    "        for (unsigned b = 0; b < gridDim.x; b++) t += partial[b];\n"
    "        *out = t;\n"
    "        *counter = 0;\n"
    "    }\n"
    "}\n";

static void test_sum(void **state) {
    (void)state;
    enum { N = 10007, BLOCKS = 7 };
    struct kernel kernel = kernel_of(sum_source);
    double *x = malloc(N * sizeof *x), sum = 0, expected = 0;
    for (int i = 0; i < N; i++) expected += x[i] = i % 100; /* exact in any order */
    CUdeviceptr device, out, counter;
    OK(cuMemAlloc_v2(&device, N * sizeof *x));
    OK(cuMemAlloc_v2(&out, (1 + BLOCKS) * sizeof *x));
    OK(cuMemAlloc_v2(&counter, 4));
    OK(cuMemcpyHtoD_v2(device, x, N * sizeof *x));
    OK(cuMemsetD32Async(counter, 0, 1, NULL));
    for (int round = 0; round < 4; round++) { /* all directions of blocks and threads */
        CUdeviceptr partial = out + sizeof *x;
        long long n = N;
        void *parameters[] = {&device, &out, &partial, &counter, &n};
        OK(cuMemsetD32Async(out, 0, 2, NULL));
        assert_int_equal(launch(kernel.function, BLOCKS, 128, NULL, parameters), 0);
        n = 0; /* the launch has its own copy */
        OK(cuMemcpyDtoH_v2(&sum, out, sizeof sum));
        assert_true(sum == expected);
    }
    OK(cuMemFree_v2(device));
    OK(cuMemFree_v2(out));
    OK(cuMemFree_v2(counter));
    OK(cuModuleUnload(kernel.module));
    free(x);
}

static void test_warp(void **state) {
    (void)state;
    struct kernel kernel = kernel_of("extern \"C\" __global__ void k(unsigned *out) {\n"
                                     "    unsigned i = threadIdx.x, lane = i % 32, *o = out + i * 8;\n"
                                     "    o[0] = __shfl_sync(~0u, i, 5);\n"
                                     "    o[1] = __shfl_up_sync(~0u, i, 3, 16);\n"
                                     "    o[2] = __shfl_down_sync(~0u, i, 3, 8);\n"
                                     "    o[3] = __shfl_xor_sync(~0u, i, 6);\n"
                                     "    o[4] = __ballot_sync(~0u, i % 3 == 0);\n"
                                     "    o[5] = __any_sync(~0u, i == 40) + 2 * __all_sync(~0u, i > 31);\n"
                                     "    o[6] = __syncthreads_count(i % 5 == 0);\n"
                                     "    if (lane < 4) o[7] = __shfl_sync(0xf, i * 2, lane ^ 1); else o[7] = 99;\n"
                                     "    __syncwarp();\n"
                                     "}\n");
    CUdeviceptr out;
    unsigned o[64][8];
    OK(cuMemAlloc_v2(&out, sizeof o));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(launch(kernel.function, 1, 64, NULL, (void *[]){&out}), 0);
        OK(cuMemcpyDtoH_v2(o, out, sizeof o));
        for (unsigned i = 0; i < 64; i++) {
            unsigned warp = i & 32, ballot = 0;
            for (unsigned l = 0; l < 32; l++) ballot |= (unsigned)((warp + l) % 3 == 0) << l;
            assert_int_equal(o[i][0], warp + 5);
            assert_int_equal(o[i][1], i % 16 < 3 ? i : i - 3);
            assert_int_equal(o[i][2], i % 8 + 3 >= 8 ? i : i + 3);
            assert_int_equal(o[i][3], i ^ 6);
            assert_int_equal(o[i][4], ballot);
            assert_int_equal(o[i][5], warp ? 3 : 0);
            assert_int_equal(o[i][6], 13);
            assert_int_equal(o[i][7], i % 32 < 4 ? (i ^ 1) * 2 : 99);
        }
    }
    OK(cuMemFree_v2(out));
    OK(cuModuleUnload(kernel.module));
}

static double f64_of(void *host, int function, double x, double y) {
    ++*(int *)host;
    return strcmp(fake.shim_math_name(function), "pow") ? x + 1000 : x + y;
}
static float f32_of(void *host, int function, float x, float y) {
    (void)function;
    ++*(int *)host;
    return x * 2 + y;
}

static void test_math(void **state) {
    (void)state;
    struct kernel kernel =
        kernel_of("extern \"C\" __global__ void k(double *o, float a) {\n"
                  "    o[0] = exp(1.0); o[1] = expf(a); o[2] = pow(2.0, 3.0); o[3] = fmaf(a, a, -1.f);\n"
                  "    o[4] = __float2int_rz(3e9f); o[5] = rint(2.5); o[6] = sqrtf(a); o[7] = sinpi(0.5);\n"
                  "}\n");
    CUdeviceptr out;
    double o[8];
    float a = 1.0001f;
    OK(cuMemAlloc_v2(&out, sizeof o));
    for (int injected = 0; injected < 2; injected++) {
        int calls = 0;
        fake.shim_set_math(injected ? &(struct shim_math){f64_of, f32_of, &calls} : NULL);
        assert_int_equal(launch(kernel.function, 1, 1, NULL, (void *[]){&out, &a}), 0);
        OK(cuMemcpyDtoH_v2(o, out, sizeof o));
        assert_true(o[0] == (injected ? 1001 : exp(1.0)) && o[1] == (injected ? a * 2 : expf(a)));
        assert_true(o[2] == (injected ? 5 : 8) && o[7] == (injected ? 1000.5 : 1));
        assert_true(o[3] == fmaf(a, a, -1) && o[4] == 2147483647 && o[5] == 2 && o[6] == sqrtf(a));
        assert_int_equal(calls, injected ? 4 : 0);
    }
    OK(cuMemFree_v2(out));
    OK(cuModuleUnload(kernel.module));
}

/* What a launch must not do: it fails, the context is dead, and a new one works. */
static void check_fault(const char *source, unsigned threads, const char *message) {
    struct kernel kernel = kernel_of(source);
    CUdeviceptr out;
    OK(cuMemAlloc_v2(&out, 256));
    fake.shim_set_quiet(true);
    assert_int_equal(launch(kernel.function, 1, threads, NULL, (void *[]){&out}), 0);
    assert_int_equal(fake.cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
    if (!strstr(fake.shim_message(), message)) fail_msg("'%s' has no '%s'", fake.shim_message(), message);
    CUdeviceptr more;
    assert_int_equal(fake.cuMemAlloc_v2(&more, 256), CUDA_ERROR_LAUNCH_FAILED);
    assert_int_equal(fake.cuStreamSynchronize(NULL), CUDA_ERROR_LAUNCH_FAILED);
    OK(cuCtxPopCurrent_v2(NULL));
    OK(cuDevicePrimaryCtxRelease_v2(0));
    open_context(NULL);
    test_warp(NULL);
}

static void test_faults(void **state) {
    (void)state;
    check_fault("extern \"C\" __global__ void k(int *p) { if (threadIdx.x < 40) __syncthreads(); p[0] = 1; }", 64,
                "24 of 64 threads ended");
    check_fault("extern \"C\" __global__ void k(int *p) {\n"
                "  if (threadIdx.x & 1) __syncthreads(); else {\n    __syncthreads(); } }",
                32, "different barriers, lines 2 and 3");
    check_fault("extern \"C\" __global__ void k(int *p) { if (threadIdx.x != 7) p[0] = __shfl_sync(~0u, 1, 0); }", 32,
                "lanes 0x80 don't come");
    check_fault("extern \"C\" __global__ void k(int *p) { if (threadIdx.x < 8) p[0] = __shfl_sync(0xff, 1, 9); }", 32,
                "lane 9, which is not in the mask 0xff");
    check_fault("extern \"C\" __global__ void k(int *p) { if (threadIdx.x) __syncwarp(1); }", 32, "does not have it");
    check_fault("extern \"C\" __global__ void k(int *p) { __ldg((const int4 *)(p + 1)); }", 1, "misaligned");
    if (!SHIM_ASAN) check_fault("extern \"C\" __global__ void k(int *p) { p[64] = 1; }", 1, "written 0 bytes behind");
}

static void test_bad_launches(void **state) {
    (void)state;
    struct kernel kernel = kernel_of("extern \"C\" __global__ void __launch_bounds__(64) k(int *p) { *p = 5; }");
    CUdeviceptr out;
    OK(cuMemAlloc_v2(&out, 4));
    fake.shim_set_quiet(true);
    void *parameters[] = {&out};
    assert_int_equal(launch(kernel.function, 1, 65, NULL, parameters), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(kernel.function, 0, 64, NULL, parameters), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(kernel.function, 1, 64, NULL, NULL), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(launch(kernel.function, 1, 64, (CUstream)parameters, parameters), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(fake.cuMemcpyHtoD_v2(out, parameters, 5), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(fake.cuMemFree_v2(out + 1), CUDA_ERROR_INVALID_VALUE);
    CUfunction function;
    assert_int_equal(fake.cuModuleGetFunction(&function, kernel.module, "other"), CUDA_ERROR_NOT_FOUND);
    OK(cuCtxSynchronize());
    OK(cuMemFree_v2(out));
    OK(cuModuleUnload(kernel.module));
    /* Without a context. */
    OK(cuCtxPopCurrent_v2(NULL));
    assert_int_equal(fake.cuMemAlloc_v2(&out, 4), CUDA_ERROR_INVALID_CONTEXT);
    assert_int_equal(fake.cuCtxPopCurrent_v2(NULL), CUDA_ERROR_INVALID_CONTEXT);
    OK(cuCtxPushCurrent_v2(context));
}

static void test_compiling(void **state) {
    (void)state;
    char *log;
    assert_null(
        compile("extern \"C\" __global__ void k(int *p) {\n  *p = nonsense;\n}\n", "--gpu-architecture=sm_90", &log));
    assert_non_null(strstr(log, "test.cu(2): error: 'nonsense' was not declared"));
    free(log);
    assert_null(compile("", "--gpu-architecture=sm_33", &log));
    assert_non_null(strstr(log, "sm_33"));
    free(log);
    assert_null(compile("", "--no-such-option", &log));
    free(log);
    /* PTX is for this device and later ones. */
    CUmodule module = compile("extern \"C\" __global__ void k(int *p) {}", "--gpu-architecture=compute_80", NULL);
    assert_string_equal(fake.shim_nvrtc_options(), "--gpu-architecture=compute_80 --fmad=false");
    CUfunction function;
    OK(cuModuleGetFunction(&function, module, "k"));
    OK(cuModuleUnload(module));
    assert_int_equal(fake.cuModuleLoadData(&module, "not an image, and long enough to look at"),
                     CUDA_ERROR_INVALID_IMAGE);
}

/* --- streams
 * ---------------------------------------------------------------------------------------------------------- */

static void test_lazy(void **state) {
    (void)state;
    struct kernel kernel = kernel_of("extern \"C\" __global__ void k(const int *p, int *q) { *q = *p + 1; }");
    CUstream a, b;
    CUevent event;
    CUdeviceptr p, q;
    int *host;
    OK(cuStreamCreate(&a, 1));
    OK(cuStreamCreate(&b, 1));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    OK(cuMemAllocHost_v2((void **)&host, 8));
    OK(cuMemAllocAsync(&p, 4, a));
    OK(cuMemAllocAsync(&q, 4, a));
    for (int waits = 0; waits < 2; waits++) {
        host[0] = 1, host[1] = -1;
        OK(cuMemcpyHtoDAsync_v2(p, host, 4, a));
        host[0] = 41; /* too early: the copy has not been made */
        OK(cuEventRecord(event, a));
        if (waits) OK(cuStreamWaitEvent(b, event, 0));
        assert_int_equal(launch(kernel.function, 1, 1, b, (void *[]){&p, &q}), 0);
        OK(cuMemcpyDtoHAsync_v2(host + 1, q, 4, b));
        assert_int_equal(host[1], -1);
        assert_int_equal(fake.cuStreamQuery(b), CUDA_ERROR_NOT_READY);
        OK(cuStreamSynchronize(b));
        assert_int_equal(host[1], waits ? 42 : (int)0xFBFBFBFB + 1);
        assert_int_equal(fake.cuStreamQuery(b), CUDA_SUCCESS);
        assert_int_equal(fake.cuEventQuery(event), waits ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY);
        OK(cuMemFreeAsync(p, a));
        OK(cuMemAllocAsync(&p, 4, a));
    }
    /* Pageable memory may be changed at once; asking often enough is a reason to work. */
    int value = 6;
    OK(cuMemcpyHtoDAsync_v2(p, &value, 4, a));
    value = 7;
    OK(cuEventRecord(event, a));
    int asked = 0;
    while (fake.cuEventQuery(event) == CUDA_ERROR_NOT_READY && ++asked < 10000) usleep(100);
    assert_in_range(asked, 2, 9999);
    OK(cuMemcpyDtoHAsync_v2(&value, p, 4, a));
    assert_int_equal(value, 6);
    OK(cuMemFreeAsync(p, a));
    OK(cuMemFreeAsync(q, a));
    OK(cuMemFreeHost(host));
    OK(cuEventDestroy_v2(event));
    OK(cuStreamDestroy_v2(a));
    OK(cuStreamDestroy_v2(b));
    OK(cuModuleUnload(kernel.module));
}

/* The default stream and ordinary ones come after one another; one that is CU_STREAM_NON_BLOCKING stands apart. */
static void test_default_stream(void **state) {
    (void)state;
    CUstream ordinary, apart;
    CUdeviceptr p;
    unsigned *host;
    OK(cuStreamCreate(&ordinary, 0));
    OK(cuStreamCreate(&apart, 1));
    OK(cuMemAllocHost_v2((void **)&host, 16));
    OK(cuMemAlloc_v2(&p, 4));
    for (int i = 0; i < 4; i++) host[i] = 10 + (unsigned)i;
    OK(cuMemcpyHtoDAsync_v2(p, host, 4, (CUstream)1));
    OK(cuMemcpyDtoHAsync_v2(host + 2, p, 4, apart));
    OK(cuStreamSynchronize(apart));
    assert_int_equal(host[2], 0xFBFBFBFB);
    OK(cuMemcpyDtoHAsync_v2(host + 2, p, 4, ordinary));
    OK(cuStreamSynchronize(ordinary));
    assert_int_equal(host[2], 10);
    OK(cuMemcpyHtoDAsync_v2(p, host + 1, 4, ordinary));
    OK(cuMemcpyDtoHAsync_v2(host + 2, p, 4, NULL));
    OK(cuMemcpyHtoDAsync_v2(p, host + 3, 4, ordinary)); /* after what is on the default stream */
    OK(cuStreamSynchronize(ordinary));
    assert_int_equal(host[2], 11);
    OK(cuMemFree_v2(p));
    OK(cuMemFreeHost(host));
    OK(cuStreamDestroy_v2(ordinary));
    OK(cuStreamDestroy_v2(apart));
}

/* A device that does not wait to be asked. */
static void test_eager(void **state) {
    (void)state;
    CUstream stream;
    CUdeviceptr p;
    int *host;
    fake.shim_set_lazy(false);
    OK(cuStreamCreate(&stream, 1));
    OK(cuMemAllocHost_v2((void **)&host, 4));
    OK(cuMemAlloc_v2(&p, 4));
    *host = 0;
    OK(cuMemsetD32Async(p, 9, 1, stream));
    OK(cuMemcpyDtoHAsync_v2(host, p, 4, stream));
    for (int i = 0; i < 5000 && __atomic_load_n(host, __ATOMIC_ACQUIRE) != 9; i++) usleep(1000);
    assert_int_equal(*host, 9);
    OK(cuMemFree_v2(p));
    OK(cuMemFreeHost(host));
    OK(cuStreamDestroy_v2(stream));
}

static void test_time(void **state) {
    (void)state;
    CUevent start, end;
    float milliseconds = -1;
    CUdeviceptr p;
    OK(cuEventCreate(&start, 0));
    OK(cuEventCreate(&end, 0));
    OK(cuMemAlloc_v2(&p, 1 << 20));
    OK(cuEventRecord(start, NULL));
    OK(cuMemsetD32Async(p, 1, 1 << 18, NULL));
    OK(cuEventRecord(end, NULL));
    assert_int_equal(fake.cuEventElapsedTime_v2(&milliseconds, start, end), CUDA_ERROR_NOT_READY);
    OK(cuEventSynchronize(end));
    OK(cuEventElapsedTime_v2(&milliseconds, start, end));
    assert_true(milliseconds > 0 && milliseconds < 10000);
    OK(cuMemFree_v2(p));
    OK(cuEventDestroy_v2(start));
    OK(cuEventDestroy_v2(end));
}

/* A kernel that runs until it is told to stop, by a memset on another stream that nobody waits for. */
static void test_cancel(void **state) {
    (void)state;
    struct kernel kernel = kernel_of("extern \"C\" __global__ void k(volatile int *stop, long long *rounds) {\n"
                                     "    long long n = 0;\n"
                                     "    while (!*stop) n++;\n"
                                     "    *rounds = n;\n"
                                     "}\n");
    CUstream work, tell;
    CUdeviceptr watch;
    OK(cuStreamCreate(&work, 1));
    OK(cuStreamCreate(&tell, 1));
    OK(cuMemAlloc_v2(&watch, 16));
    OK(cuMemsetD32Async(watch, 0, 4, work));
    CUdeviceptr rounds = watch + 8;
    assert_int_equal(launch(kernel.function, 1, 1, work, (void *[]){&watch, &rounds}), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(fake.cuStreamQuery(work), CUDA_ERROR_NOT_READY);
        usleep(1000);
    }
    OK(cuMemsetD32Async(watch, 1, 1, tell));
    OK(cuStreamSynchronize(work));
    long long n = 0;
    OK(cuMemcpyDtoH_v2(&n, rounds, 8));
    assert_true(n > 0);
    OK(cuMemFree_v2(watch));
    OK(cuStreamDestroy_v2(work));
    OK(cuStreamDestroy_v2(tell));
    OK(cuModuleUnload(kernel.module));
}

struct hand {
    pthread_t thread;
    CUfunction function;
    bool right;
};

static void *use_stream(void *arg) {
    struct hand *hand = arg;
    CUstream stream;
    CUdeviceptr p;
    hand->right = !fake.cuCtxPushCurrent_v2(context) && !fake.cuStreamCreate(&stream, 1);
    for (int i = 0; i < 20 && hand->right; i++) {
        int x = i, y = -1;
        hand->right = !fake.cuMemAllocAsync(&p, 4, stream) && !fake.cuMemcpyHtoDAsync_v2(p, &x, 4, stream) &&
                      !launch(hand->function, 1, 32, stream, (void *[]){&p}) &&
                      !fake.cuMemcpyDtoHAsync_v2(&y, p, 4, stream) && !fake.cuMemFreeAsync(p, stream) &&
                      !fake.cuStreamSynchronize(stream) && y == i + 32;
    }
    if (fake.cuStreamDestroy_v2(stream) || fake.cuCtxPopCurrent_v2(NULL)) hand->right = false;
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct kernel kernel = kernel_of("extern \"C\" __global__ void k(int *p) { __syncthreads(); atomicAdd(p, 1); }");
    struct hand hands[4];
    for (int i = 0; i < 4; i++) {
        hands[i].function = kernel.function;
        assert_int_equal(pthread_create(&hands[i].thread, NULL, use_stream, &hands[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(hands[i].thread, NULL);
        assert_true(hands[i].right);
    }
    OK(cuModuleUnload(kernel.module));
}

/* --- control
 * ---------------------------------------------------------------------------------------------------------- */

static void test_failures(void **state) {
    (void)state;
    CUdeviceptr p, q;
    fake.shim_fail("cuMemAlloc", 2, CUDA_ERROR_UNKNOWN);
    OK(cuMemAlloc_v2(&p, 100));
    assert_int_equal(fake.cuMemAlloc_v2(&q, 100), CUDA_ERROR_UNKNOWN);
    OK(cuMemAlloc_v2(&q, 100));
    assert_int_equal(fake.shim_calls("cuMemAlloc"), 3);
    struct shim_live live;
    fake.shim_get_live(&live);
    assert_int_equal(live.allocations, 2);
    assert_int_equal(live.bytes, 200);
    fake.shim_fail_at(1);
    assert_int_equal(fake.cuMemFree_v2(p), CUDA_ERROR_UNKNOWN); /* and it is freed */
    fake.shim_get_live(&live);
    assert_int_equal(live.allocations, 1);
    int type = 0;
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, q + 50));
    assert_int_equal(type, CU_MEMORYTYPE_DEVICE);
    assert_int_equal(fake.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)(uintptr_t)&type),
                     CUDA_ERROR_INVALID_VALUE);
    OK(cuMemFree_v2(q));

    fake.shim_set_memory(0, 1000);
    size_t available, total;
    OK(cuMemAllocAsync(&p, 600, NULL));
    OK(cuMemGetInfo_v2(&available, &total));
    assert_true(available == 400 && total == 1000);
    assert_int_equal(fake.cuMemAllocAsync(&q, 600, NULL), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemFreeAsync(p, NULL));
    OK(cuMemAllocAsync(&q, 600, NULL)); /* waits for the other's end */
    OK(cuMemFree_v2(q));

    fake.shim_lose_device(46);
    assert_int_equal(fake.cuMemAlloc_v2(&p, 4), 46);
    assert_int_equal(fake.cuCtxSynchronize(), 46);
}

static void test_devices(void **state) {
    (void)state;
    int n = -1, major = 0;
    fake.shim_set_devices(2);
    fake.shim_set_arch(1, 75);
    OK(cuDeviceGetCount(&n));
    assert_int_equal(n, 2);
    OK(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 1));
    assert_int_equal(major, 7);
    CUcontext other;
    OK(cuDevicePrimaryCtxRetain(&other, 1));
    OK(cuCtxPushCurrent_v2(other));
    nvrtcProgram program;
    OK(nvrtcCreateProgram(&program, "", "test.cu", 0, NULL, NULL));
    OK(nvrtcCompileProgram(program, 1, (const char *[]){"--gpu-architecture=sm_80"}));
    size_t size;
    OK(nvrtcGetCUBINSize(program, &size));
    char *image = malloc(size);
    OK(nvrtcGetCUBIN(program, image));
    CUmodule module;
    assert_int_equal(fake.cuModuleLoadData(&module, image), CUDA_ERROR_NO_BINARY_FOR_GPU);
    free(image);
    OK(nvrtcDestroyProgram(&program));
    OK(cuCtxPopCurrent_v2(NULL));
    OK(cuDevicePrimaryCtxRelease_v2(1));
    fake.shim_set_devices(0);
    assert_int_equal(fake.cuInit(0), CUDA_ERROR_NO_DEVICE);
    fake.shim_set_devices(1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_context, close_context)
    const struct CMUnitTest tests[] = {
        TEST(test_sum),          TEST(test_warp),      TEST(test_math),   TEST(test_faults),
        TEST(test_bad_launches), TEST(test_compiling), TEST(test_lazy),   TEST(test_default_stream),
        TEST(test_eager),        TEST(test_time),      TEST(test_cancel), TEST(test_threads),
        TEST(test_failures),     TEST(test_devices),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
