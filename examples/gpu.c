/* gpu.c: arrays that this program has in a GPU's memory, computed on where they are.
 *
 * The program needs no CUDA header and no CUDA library to be built: it opens the driver when it runs, as Weft does. A
 * program that uses CUDA anyway takes its own cudaMalloc or cuMemAlloc instead. Without a GPU it says so and ends with
 * status 77.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include <weft/jit.h>

enum { N = 1000000 };

/* Functions of the CUDA driver; 0 is success. */
static int (*gpu_alloc)(uint64_t *address, size_t bytes);
static int (*gpu_free)(uint64_t address);
static int (*gpu_to_device)(uint64_t to, const void *from, size_t bytes);
static int (*gpu_to_host)(void *to, uint64_t from, size_t bytes);

/* Opens the driver and makes the first GPU's primary context this thread's: the one that CUDA's runtime, PyTorch and
 * CuPy use. */
static const char *gpu_open(void) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *context;
    if (!cuda) return "libcuda.so.1 was not found";
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(cuda, "cuInit");
    int (*retain)(void **, int) = (int (*)(void **, int))dlsym(cuda, "cuDevicePrimaryCtxRetain");
    int (*push)(void *) = (int (*)(void *))dlsym(cuda, "cuCtxPushCurrent_v2");
    gpu_alloc = (int (*)(uint64_t *, size_t))dlsym(cuda, "cuMemAlloc_v2");
    gpu_free = (int (*)(uint64_t))dlsym(cuda, "cuMemFree_v2");
    gpu_to_device = (int (*)(uint64_t, const void *, size_t))dlsym(cuda, "cuMemcpyHtoD_v2");
    gpu_to_host = (int (*)(void *, uint64_t, size_t))dlsym(cuda, "cuMemcpyDtoH_v2");
    if (!init || !retain || !push || !gpu_alloc || !gpu_free || !gpu_to_device || !gpu_to_host)
        return "libcuda.so.1 is not CUDA's driver";
    if (init(0)) return "the driver does not start, or has no device";
    return retain(&context, 0) || push(context) ? "the first device cannot be used" : NULL;
}

/* One dimension of N f32 on the GPU. */
static DLTensor on_gpu(uint64_t address, int64_t *shape) {
    return (DLTensor){.data = (void *)(uintptr_t)address,
                      .device = {kDLCUDA, 0},
                      .ndim = 1,
                      .dtype = jit_dl_type(JIT_F32),
                      .shape = shape};
}

int main(void) {
    const char *why = gpu_open();
    if (why) {
        printf("no GPU: %s\n", why);
        return 77;
    }
    static float x[N], z[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i % 1000);
    uint64_t px = 0, pz = 0;
    if (gpu_alloc(&px, sizeof x) || gpu_alloc(&pz, sizeof z) || gpu_to_device(px, x, sizeof x)) {
        printf("no memory on the GPU\n");
        return 1;
    }

    /* Nothing special: a call runs where its arrays are. The scalar comes from and goes to the host. */
    jit_error error = {0};
    jit_context *context = jit_context_new(NULL);
    jit_function *function =
        jit_compile(context, "param x: f32[n]; param k: f32\nm = mean(x)\nreturn k*(x - m), m", &error);
    int64_t shape[1] = {N};
    DLTensor tx = on_gpu(px, shape), tz = on_gpu(pz, shape);
    float k = 2, mean = 0;
    const DLTensor *in[] = {&tx, jit_scalar_f32(&k)};
    DLTensor *out[] = {&tz, jit_scalar_f32(&mean)};

    /* The call returns when its kernels are on their way; jit_wait waits for them. */
    jit_pending *pending = NULL;
    jit_call_options options = {.struct_size = sizeof options, .pending = &pending};
    jit_status status = function ? jit_call_with(function, in, 2, out, 2, &options, &error) : error.code;
    if (status == JIT_OK) status = jit_wait(pending, &error);
    if (status == JIT_OK && gpu_to_host(z, pz, sizeof z) == 0)
        printf("mean %g, z[0] = %g, z[999] = %g\n", (double)mean, (double)z[0], (double)z[999]);

    /* Results that Weft allocates are where the inputs are: on the GPU. */
    DLManagedTensor *result[2] = {NULL, NULL};
    if (status == JIT_OK) status = jit_call_alloc(function, in, 2, result, 2, NULL, &error);
    if (status == JIT_OK)
        printf("the result is on device %d of type %d\n", result[0]->dl_tensor.device.device_id,
               (int)result[0]->dl_tensor.device.device_type);
    else
        printf("%s\n", error.message);
    for (int i = 0; i < 2; i++)
        if (result[i]) result[i]->deleter(result[i]);
    jit_function_free(function);
    jit_context_free(context);
    gpu_free(px);
    gpu_free(pz);
    return status == JIT_OK ? 0 : 1;
}
