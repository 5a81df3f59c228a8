/* test_shim_streams.c: the fake CUDA device itself: streams, events, time, several threads. */
#include <pthread.h>
#include <unistd.h>

#include "gpu/fake.h"

/* --- streams ------------------------------------------------------------------------------------------------------ */

static void test_lazy(void **state) {
    (void)state;
    struct kernel kernel = fake_kernel_of("extern \"C\" __global__ void k(const int *p, int *q) { *q = *p + 1; }");
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
        assert_int_equal(fake_launch(kernel.function, 1, 1, b, (void *[]){&p, &q}), 0);
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
    struct kernel kernel = fake_kernel_of("extern \"C\" __global__ void k(volatile int *stop, long long *rounds) {\n"
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
    assert_int_equal(fake_launch(kernel.function, 1, 1, work, (void *[]){&watch, &rounds}), 0);
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
                      !fake_launch(hand->function, 1, 32, stream, (void *[]){&p}) &&
                      !fake.cuMemcpyDtoHAsync_v2(&y, p, 4, stream) && !fake.cuMemFreeAsync(p, stream) &&
                      !fake.cuStreamSynchronize(stream) && y == i + 32;
    }
    if (fake.cuStreamDestroy_v2(stream) || fake.cuCtxPopCurrent_v2(NULL)) hand->right = false;
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct kernel kernel =
        fake_kernel_of("extern \"C\" __global__ void k(int *p) { __syncthreads(); atomicAdd(p, 1); }");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_lazy), FAKE_TEST(test_default_stream), FAKE_TEST(test_eager),
        FAKE_TEST(test_time), FAKE_TEST(test_cancel),         FAKE_TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, fake_set_up, NULL);
}
