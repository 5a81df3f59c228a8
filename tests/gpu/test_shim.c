/* test_shim.c: the fake CUDA device itself: kernels, and what it can be made to do. Streams: test_shim_streams.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/fake.h"

/* --- kernels ------------------------------------------------------------------------------------------------------ */

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
    struct kernel kernel = fake_kernel_of(sum_source);
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
        assert_int_equal(fake_launch(kernel.function, BLOCKS, 128, NULL, parameters), 0);
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
    struct kernel kernel =
        fake_kernel_of("extern \"C\" __global__ void k(unsigned *out) {\n"
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
        assert_int_equal(fake_launch(kernel.function, 1, 64, NULL, (void *[]){&out}), 0);
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
        fake_kernel_of("extern \"C\" __global__ void k(double *o, float a) {\n"
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
        assert_int_equal(fake_launch(kernel.function, 1, 1, NULL, (void *[]){&out, &a}), 0);
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
    struct kernel kernel = fake_kernel_of(source);
    CUdeviceptr out;
    OK(cuMemAlloc_v2(&out, 256));
    fake.shim_set_quiet(true);
    assert_int_equal(fake_launch(kernel.function, 1, threads, NULL, (void *[]){&out}), 0);
    assert_int_equal(fake.cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
    if (!strstr(fake.shim_message(), message)) fail_msg("'%s' has no '%s'", fake.shim_message(), message);
    CUdeviceptr more;
    assert_int_equal(fake.cuMemAlloc_v2(&more, 256), CUDA_ERROR_LAUNCH_FAILED);
    assert_int_equal(fake.cuStreamSynchronize(NULL), CUDA_ERROR_LAUNCH_FAILED);
    OK(cuCtxPopCurrent_v2(NULL));
    OK(cuDevicePrimaryCtxRelease_v2(0));
    fake_open(NULL);
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
    struct kernel kernel = fake_kernel_of("extern \"C\" __global__ void __launch_bounds__(64) k(int *p) { *p = 5; }");
    CUdeviceptr out;
    OK(cuMemAlloc_v2(&out, 4));
    fake.shim_set_quiet(true);
    void *parameters[] = {&out};
    assert_int_equal(fake_launch(kernel.function, 1, 65, NULL, parameters), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(fake_launch(kernel.function, 0, 64, NULL, parameters), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(fake_launch(kernel.function, 1, 64, NULL, NULL), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(fake_launch(kernel.function, 1, 64, (CUstream)parameters, parameters), CUDA_ERROR_INVALID_HANDLE);
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

/* Shared memory that a launch asks for: each block has its own, filled with anything. */
static void test_dynamic_shared(void **state) {
    (void)state;
    enum { ALLOWED = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, BLOCKS = 3 };
    struct kernel kernel = fake_kernel_of("extern \"C\" __global__ void k(int *out, int n) {\n"
                                          "    extern __shared__ int4 room[];\n"
                                          "    int *all = (int *)room;\n"
                                          "    if (threadIdx.x == 0) out[2 * blockIdx.x + 1] = all[n - 1];\n"
                                          "    __syncthreads();\n"
                                          "    for (int i = threadIdx.x; i < n; i += blockDim.x) all[i] = i + 1;\n"
                                          "    __syncthreads();\n"
                                          "    if (threadIdx.x == 1) out[2 * blockIdx.x] = all[0] + all[n - 1];\n"
                                          "}\n");
    CUdeviceptr out;
    int o[BLOCKS][2], fixed, allowed, n;
    void *parameters[] = {&out, &n};
    OK(cuMemAlloc_v2(&out, sizeof o));
    OK(cuFuncGetAttribute(&fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel.function));
    OK(cuFuncGetAttribute(&allowed, ALLOWED, kernel.function));
    assert_int_equal(allowed, 49152 - fixed);
    fake.shim_set_quiet(true);
    static const int sizes[] = {16, 40000, 60000, 4};
    for (int i = 0; i < 4; i++) {
        const unsigned bytes = (unsigned)sizes[i];
        n = sizes[i] / 4;
        for (int asked = 0; asked < 2; asked++) {
            const int result =
                fake.cuLaunchKernel(kernel.function, BLOCKS, 1, 1, 32, 1, 1, bytes, NULL, parameters, NULL);
            assert_int_equal(result, sizes[i] > allowed ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS);
            if (!result) break;
            OK(cuFuncSetAttribute(kernel.function, ALLOWED, allowed = 60000));
        }
        OK(cuMemcpyDtoH_v2(o, out, sizeof o));
        for (int block = 0; block < BLOCKS; block++) {
            assert_int_equal(o[block][0], n + 1);
            assert_int_not_equal(o[block][1], n);
        }
    }
    assert_int_equal(fake.cuFuncSetAttribute(kernel.function, ALLOWED, 101377 - fixed), CUDA_ERROR_INVALID_VALUE);
    OK(cuFuncSetAttribute(kernel.function, ALLOWED, 101376 - fixed));
    if (!SHIM_ASAN) {
        n = 5;
        OK(cuLaunchKernel(kernel.function, 1, 1, 1, 32, 1, 1, 16, NULL, parameters, NULL));
        assert_int_equal(fake.cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
        assert_non_null(strstr(fake.shim_message(), "beside its 16 bytes of dynamic shared memory"));
        OK(cuCtxPopCurrent_v2(NULL));
        OK(cuDevicePrimaryCtxRelease_v2(0));
        fake_open(NULL);
        return;
    }
    OK(cuMemFree_v2(out));
    OK(cuModuleUnload(kernel.module));
}

static void test_compiling(void **state) {
    (void)state;
    char *log;
    assert_null(fake_compile("extern \"C\" __global__ void k(int *p) {\n  *p = nonsense;\n}\n",
                             "--gpu-architecture=sm_90", &log));
    assert_non_null(strstr(log, "test.cu(2): error: 'nonsense' was not declared"));
    free(log);
    assert_null(fake_compile("", "--gpu-architecture=sm_33", &log));
    assert_non_null(strstr(log, "sm_33"));
    free(log);
    assert_null(fake_compile("", "--no-such-option", &log));
    free(log);
    /* PTX is for this device and later ones. */
    CUmodule module = fake_compile("extern \"C\" __global__ void k(int *p) {}", "--gpu-architecture=compute_80", NULL);
    assert_string_equal(fake.shim_nvrtc_options(), "--gpu-architecture=compute_80 --fmad=false");
    CUfunction function;
    OK(cuModuleGetFunction(&function, module, "k"));
    OK(cuModuleUnload(module));
    assert_int_equal(fake.cuModuleLoadData(&module, "not an image, and long enough to look at"),
                     CUDA_ERROR_INVALID_IMAGE);
}

/* --- control ------------------------------------------------------------------------------------------------------ */

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
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_sum),      FAKE_TEST(test_warp),         FAKE_TEST(test_math),
        FAKE_TEST(test_faults),   FAKE_TEST(test_bad_launches), FAKE_TEST(test_compiling),
        FAKE_TEST(test_failures), FAKE_TEST(test_devices),      FAKE_TEST(test_dynamic_shared),
    };
    return cmocka_run_group_tests(tests, fake_set_up, NULL);
}
