/* test_driver_copies.c: runtime/cuda on the fake driver: copies, and the order of everything. */
#include "gpu/driver_fixture.h"

/* --- copies ------------------------------------------------------------------------------------------------------- */

static void fill(char *to, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; i++) to[i] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
}

static void test_copies(void **state) {
    (void)state;
    const size_t sizes[] = {0,       1,           7,       4096,        65535,    65536,        65537,
                            1 * MiB, 4 * MiB - 1, 4 * MiB, 4 * MiB + 1, 16 * MiB, 37 * MiB + 13};
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    char *from = malloc(38 * MiB), *to = malloc(38 * MiB + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        fill(from, size, (unsigned)i);
        memset(to, 0x55, size + 1);
        struct cuda_buffer *a = cuda_take(work, size, &failure), *b = cuda_upload(work, from, size, false, &failure);
        WORKS(a && b);
        assert_int_equal(a->size, size);
        assert_int_equal(a->address % 256, 0);
        WORKS(cuda_copy_to_device(work, a->address, from, size, &failure));
        WORKS(cuda_copy_on_device(work, b->address, a->address, size / 2, &failure));
        memset(from, 0xaa, size); /* it is no longer looked at */
        WORKS(cuda_copy_to_host(work, to, b->address, size, &failure));
        WORKS(cuda_wait(work, NULL, &failure));
        fill(from, size, (unsigned)i);
        if (memcmp(from, to, size) != 0 || to[size] != 0x55) fail_msg("%zu bytes", size);
        cuda_release(a), cuda_release(b);
    }
    assert_int_equal(cuda_device_held(device), 0);
    free(from), free(to);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* Pinned memory goes directly: no staging is made for it. Memory that is pinned in part does not. */
static void test_pinned(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    void *block;
    host_enter();
    assert_int_equal(host.cuMemHostAlloc(&block, 10 * MiB, 0), 0);
    char *pinned = block, *to = malloc(10 * MiB);
    fill(pinned, 10 * MiB, 1);
    long before = FAKE(shim_calls)("cuMemHostAlloc"), copies = FAKE(shim_calls)("cuMemcpyHtoDAsync");
    struct cuda_buffer *buffer = cuda_upload(work, pinned + 5, 9 * MiB, false, &failure);
    WORKS(buffer);
    assert_int_equal(FAKE(shim_calls)("cuMemcpyHtoDAsync") - copies, 1);
    copies = FAKE(shim_calls)("cuMemcpyDtoHAsync");
    WORKS(fixture_add(work, buffer->address, buffer->address, 0, 0));
    WORKS(cuda_copy_to_host(work, pinned, buffer->address, 9 * MiB, &failure));
    assert_int_equal(FAKE(shim_calls)("cuMemcpyDtoHAsync") - copies, 1);
    assert_int_equal(FAKE(shim_calls)("cuMemHostAlloc"), before);
    WORKS(cuda_wait(work, NULL, &failure));
    char *expected = malloc(10 * MiB);
    fill(expected, 10 * MiB, 1);
    assert_memory_equal(pinned, expected + 5, 9 * MiB);
    WORKS(cuda_copy_to_host(work, to, buffer->address, 9 * MiB, &failure));
    assert_int_equal(FAKE(shim_calls)("cuMemHostAlloc"), before + 1);
    WORKS(cuda_wait(work, NULL, &failure));
    assert_memory_equal(to, expected + 5, 9 * MiB);
    cuda_release(buffer);
    assert_int_equal(host.cuMemFreeHost(block), 0);
    host_leave();
    free(to), free(expected);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* Memory that is used for something else at once goes through staging, even if it is pinned. */
static void test_staged(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    void *block;
    host_enter();
    assert_int_equal(host.cuMemHostAlloc(&block, 5 * MiB, 0), 0);
    char *expected = malloc(5 * MiB), *to = malloc(5 * MiB);
    fill(expected, 5 * MiB, 3);
    for (int on_host = 0; on_host < 2; on_host++) {
        CUstream stream = NULL;
        if (on_host) assert_int_equal(host.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), 0);
        struct cuda_work *work = fixture_begin(device, stream);
        memcpy(block, expected, 5 * MiB);
        struct cuda_buffer *buffer = cuda_upload(work, block, 5 * MiB, true, &failure);
        WORKS(buffer);
        memset(block, 0, 5 * MiB);
        WORKS(cuda_copy_to_host(work, to, buffer->address, 5 * MiB, &failure));
        WORKS(cuda_wait(work, NULL, &failure));
        assert_memory_equal(to, expected, 5 * MiB);
        cuda_release(buffer);
        cuda_work_end(work);
        if (on_host) assert_int_equal(host.cuStreamDestroy(stream), 0);
    }
    free(expected), free(to);
    assert_int_equal(host.cuMemFreeHost(block), 0);
    host_leave();
    cuda_device_close(device);
}

/* Many small copies share slots; a slot is not used anew before what is in it has arrived. */
static void test_many_small_copies(void **state) {
    enum { N = 3000 };
    (void)state;
    static double values[N], back[N];
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *buffer = cuda_take(work, N * 256, &failure);
    for (int i = 0; i < N; i++) values[i] = i * 1.5;
    for (int i = 0; i < N; i++) {
        double value = values[i];
        WORKS(cuda_copy_to_device(work, buffer->address + 256 * (uint64_t)i, &value, 8, &failure));
        if (i >= 10)
            WORKS(cuda_copy_to_host(work, &back[i - 10], buffer->address + 256 * (uint64_t)(i - 10), 8, &failure));
    }
    WORKS(cuda_wait(work, NULL, &failure));
    assert_memory_equal(values, back, (N - 10) * sizeof *values);
    cuda_release(buffer);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* --- order -------------------------------------------------------------------------------------------------------- */

static void test_order(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    for (unsigned seed = 1; seed <= 6; seed++) random_sequence(work, 100, seed, 200);
    for (unsigned seed = 1; seed <= 4; seed++) random_sequence(work, 20000, seed, 60);
    FAKE(shim_set_lazy)(false);
    random_sequence(work, 20000, 9, 60);
    FAKE(shim_set_lazy)(true);
    random_sequence(work, 2500000, 10, 12);
    cuda_work_end(work);
    assert_int_equal(cuda_device_held(device), 0);
    cuda_device_close(device);
}

static void test_order_on_host_stream(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    host_enter();
    CUstream streams[3] = {NULL, NULL, CU_STREAM_LEGACY};
    assert_int_equal(host.cuStreamCreate(&streams[0], CU_STREAM_NON_BLOCKING), 0);
    assert_int_equal(host.cuStreamCreate(&streams[1], CU_STREAM_DEFAULT), 0);
    for (int i = 0; i < 3; i++) {
        struct cuda_work *work = fixture_begin(device, streams[i]);
        for (unsigned seed = 1; seed <= 3; seed++) random_sequence(work, seed == 1 ? 100 : 20000, seed, 60);

        /* What the host puts on its stream comes before and after what is ours. */
        double values[1000], back[1000], mine[1000];
        void *pinned;
        assert_int_equal(host.cuMemHostAlloc(&pinned, sizeof values, 0), 0);
        for (int j = 0; j < 1000; j++) values[j] = j;
        struct cuda_buffer *buffer = cuda_take(work, sizeof values, &failure);
        assert_int_equal(host.cuMemcpyHtoDAsync(buffer->address, values, sizeof values, streams[i]), 0);
        WORKS(fixture_add(work, buffer->address, buffer->address, 7, 1000));
        WORKS(cuda_copy_to_host(work, mine, buffer->address, sizeof mine, &failure));
        assert_int_equal(host.cuMemcpyDtoHAsync(pinned, buffer->address, sizeof back, streams[i]), 0);
        assert_int_equal(host.cuMemsetD8Async(buffer->address, 0, sizeof back, streams[i]), 0);
        while (!cuda_is_done(work)) usleep(100);
        WORKS(cuda_wait(work, NULL, &failure));
        assert_int_equal(host.cuStreamSynchronize(streams[i]), 0);
        memcpy(back, pinned, sizeof back);
        for (int j = 0; j < 1000; j++) assert_true(mine[j] == j + 7 && back[j] == j + 7);
        assert_int_equal(host.cuMemFreeHost(pinned), 0);

        /* The buffer outlives the work and the stream. */
        cuda_work_end(work);
        if (i < 2) assert_int_equal(host.cuStreamDestroy(streams[i]), 0);
        cuda_release(buffer);
    }
    host_leave();
    cuda_device_close(device);
}

static void test_wrong_streams(void **state) {
    (void)state;
    FAKE(shim_set_devices)(2);
    struct cuda_device *device = fixture_open(0);
    FAILS(cuda_work_begin(device, CU_STREAM_PER_THREAD, &failure), CUDA_ARGUMENT, "per-thread");
    CUcontext context;
    CUstream stream;
    assert_int_equal(host.cuDevicePrimaryCtxRetain(&context, 1), 0);
    assert_int_equal(host.cuCtxPushCurrent(context), 0);
    assert_int_equal(host.cuStreamCreate(&stream, 0), 0);
    FAILS(cuda_work_begin(device, stream, &failure), CUDA_ARGUMENT, "does not belong to the primary context of cuda:0");
    /* What is wrong with a stream of the host's says nothing of the device. */
    FAKE(shim_fail)("cuStreamGetCtx", 1, CUDA_ERROR_CONTEXT_IS_DESTROYED);
    FAILS(cuda_work_begin(device, stream, &failure), CUDA_ARGUMENT, "cuStreamGetCtx: CUDA_ERROR_CONTEXT_IS_DESTROYED");
    assert_int_equal(host.cuStreamDestroy(stream), 0);
    assert_int_equal(host.cuCtxPopCurrent(&context), 0);
    assert_int_equal(host.cuDevicePrimaryCtxRelease(1), 0);
    cuda_work_end(fixture_begin(device, NULL));
    cuda_work_end(NULL);
    cuda_device_close(device);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        DRIVER_TEST(test_copies),        DRIVER_TEST(test_pinned),
        DRIVER_TEST(test_staged),        DRIVER_TEST(test_many_small_copies),
        DRIVER_TEST(test_order),         DRIVER_TEST(test_order_on_host_stream),
        DRIVER_TEST(test_wrong_streams),
    };
    return FIXTURE_MAIN(argc, argv, tests, NULL);
}
