/* test_driver_memory.c: runtime/cuda on the fake driver: device memory, and what calls keep for each other. */
#include <pthread.h>

#include "gpu/driver_fixture.h"
#include "runtime/cuda/internal.h"

/* --- memory ------------------------------------------------------------------------------------------------------- */

static void test_memory(void **state) {
    (void)state;
    FAKE(shim_set_memory)(0, 200 * MiB);
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *empty = cuda_take(work, 0, &failure), *a = cuda_take(work, 120 * MiB, &failure);
    WORKS(empty && a);
    assert_int_equal(empty->size, 0);
    assert_true(empty->address != 0);
    FAILS(cuda_take(work, 100 * MiB, &failure), CUDA_NO_MEMORY, "asked for 100.0 MiB with 120.0 MiB in use; ");
    assert_non_null(strstr(failure.text, " of 200.0 MiB are free (104857600 bytes asked, "));
    FAILS(cuda_take(work, SIZE_MAX - 5, &failure), CUDA_NO_MEMORY, "asked for");
    FAILS(cuda_take(work, SIZE_MAX, &failure), CUDA_NO_MEMORY, "asked for");
    cuda_retain(a);
    cuda_release(a);
    FAILS(cuda_take(work, 100 * MiB, &failure), CUDA_NO_MEMORY, "asked for");
    /* Freed, but not yet done with on the device: it is waited for and taken. */
    WORKS(fixture_add(work, a->address, a->address, 1, 1000));
    cuda_release(a);
    struct cuda_buffer *b = cuda_take(work, 100 * MiB, &failure);
    WORKS(b);
    assert_int_equal(cuda_device_held(device), 100 * MiB + 1);
    cuda_release(b), cuda_release(empty), cuda_release(NULL);
    assert_int_equal(cuda_device_held(device), 0);
    FAKE(shim_fail)("cuMemGetInfo", 1, CUDA_ERROR_INVALID_VALUE);
    FAILS(cuda_take(work, 300 * MiB, &failure), CUDA_NO_MEMORY, "asked for 300.0 MiB with 0 bytes in use");
    cuda_work_end(work);
    cuda_device_close(device);
}

static void test_limit(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(10 * MiB);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *a = cuda_take(work, 6 * MiB, &failure);
    WORKS(a);
    FAILS(cuda_take(work, 5 * MiB, &failure), CUDA_NO_MEMORY,
          "asked for 5.0 MiB of GPU memory with 6.0 MiB in use; the limit is 10.0 MiB");
    struct cuda_buffer *b = cuda_take(work, 4 * MiB, &failure);
    WORKS(b);
    FAILS(cuda_upload(work, &b, 8, false, &failure), CUDA_NO_MEMORY, "the limit");
    cuda_release(a), cuda_release(b);
    WORKS(a = cuda_take(work, 10 * MiB, &failure));
    /* Partial results count. */
    FAILS(fixture_launch(work, &everything_kernel, &grid_four, (uint64_t[8]){a->address}), CUDA_NO_MEMORY, "the limit");
    cuda_release(a);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* Buffers live on after work and device; the last one takes the driver's things with it. */
static void test_buffers_outlive(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *a = cuda_take(work, 1000, &failure), *b = cuda_take(work, 1000, &failure);
    cuda_work_end(work);
    cuda_device_close(device);
    struct shim_live live;
    FAKE(shim_get_live)(&live);
    assert_int_equal(live.contexts, 1);
    assert_int_equal(live.modules, 0);
    cuda_retain(a);
    cuda_release(a);
    cuda_release(a);
    FAKE(shim_get_live)(&live);
    assert_int_equal(live.contexts, 1);
    assert_int_equal(live.streams, 3); /* the one it is freed on, and the device's two */
    cuda_release(b);
    FAKE(shim_get_live)(&live);
    assert_int_equal(live.contexts, 0);
}

static void *release_there(void *buffer) {
    cuda_release(buffer);
    return NULL;
}

static void test_release_elsewhere(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    pthread_t thread;
    double out[100];
    for (int i = 0; i < 20; i++) {
        struct cuda_buffer *a = cuda_take(work, sizeof out, &failure), *b = cuda_take(work, sizeof out, &failure);
        WORKS(cuda_copy_to_device(work, a->address, out, sizeof out, &failure));
        WORKS(fixture_add(work, b->address, a->address, i, 100));
        assert_int_equal(pthread_create(&thread, NULL, release_there, a), 0);
        WORKS(cuda_copy_to_host(work, out, b->address, sizeof out, &failure));
        pthread_join(thread, NULL);
        WORKS(cuda_wait(work, NULL, &failure));
        cuda_release(b);
    }
    cuda_work_end(work);
    cuda_device_close(device);
}

/* A free takes place in its stream's turn, and then there is more of this. */
static size_t room(void) {
    size_t free_bytes, total;
    assert_int_equal(host.cuMemGetInfo(&free_bytes, &total), 0);
    return free_bytes;
}

/* What was taken in an earlier use of a work is not freed on the stream of a later one, where it would not come after
 * what the host does with it on the default stream. */
static void test_release_after_lending(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    host_enter();
    CUstream streams[2];
    for (int i = 0; i < 2; i++) assert_int_equal(host.cuStreamCreate(&streams[i], CU_STREAM_NON_BLOCKING), 0);
    for (int kind = 0; kind < 3; kind++) { /* taken on ours, on another of the host's, on the same in another use */
        struct cuda_work *first = fixture_begin(device, kind ? streams[kind - 1] : NULL), *work = first;
        struct cuda_buffer *earlier = cuda_take(work, 800, &failure);
        WORKS(cuda_wait(work, NULL, &failure));
        cuda_work_end(work);
        CUdeviceptr copy;
        assert_int_equal(host.cuMemAlloc(&copy, 800), 0);
        assert_int_equal(host.cuMemcpyDtoDAsync(copy, earlier->address, 800, CU_STREAM_LEGACY), 0);
        work = fixture_begin(device, streams[1]);
        assert_ptr_equal(work, first);
        struct cuda_buffer *later = cuda_take(work, 800, &failure);
        WORKS(later);
        size_t before = room();
        cuda_release(earlier);
        assert_int_equal(host.cuStreamSynchronize(streams[1]), 0);
        if (room() != before) fail_msg("kind %d", kind); /* the default stream has not come to its copy */
        cuda_release(later);
        assert_int_equal(host.cuStreamSynchronize(streams[1]), 0);
        assert_true(room() > before);
        cuda_work_end(work);
        assert_int_equal(host.cuMemFree(copy), 0);
    }
    for (int i = 0; i < 2; i++) assert_int_equal(host.cuStreamDestroy(streams[i]), 0);
    host_leave();
    cuda_device_close(device);
}

/* The pool keeps a share of the device's memory, not all that was ever used. */
static void test_pool_keeps_a_share(void **state) {
    (void)state;
    FAKE(shim_set_memory)(0, 800 * MiB);
    struct cuda_device *device = fixture_open(0);
    uint64_t keep = 0;
    CUresult (*get)(CUmemoryPool, int, void *) =
        (CUresult(*)(CUmemoryPool, int, void *))fixture_control("cuMemPoolGetAttribute");
    assert_int_equal(get(device->pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), 0);
    assert_int_equal(keep, 100 * MiB);
    cuda_device_close(device);
}

/* --- works ------------------------------------------------------------------------------------------------------- */

/* Calls of the driver that make something, and take long. */
static long made(void) {
    const char *const calls[] = {
        "cuStreamCreate", "cuStreamCreateWithPriority", "cuEventCreate",          "cuMemHostAlloc",
        "cuMemAlloc",     "cuStreamSynchronize",        "cuMemAllocFromPoolAsync"};
    long sum = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) sum += FAKE(shim_calls)(calls[i]);
    return sum;
}

/* Many calls pending at once, twice: the second time nothing is made, and the first time little. */
static void test_many_pending(void **state) {
    enum { MANY = 100 };
    static struct cuda_work *works[MANY];
    double out = 0;
    (void)state;
    struct cuda_device *device = fixture_open(0);
    host_enter();
    CUstream stream;
    assert_int_equal(host.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), 0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *buffer = cuda_take(work, 800, &failure);
    double zero[100] = {0};
    WORKS(cuda_copy_to_device(work, buffer->address, zero, sizeof zero, &failure));
    WORKS(fixture_add(work, buffer->address, buffer->address, 1, 100));
    WORKS(cuda_wait(work, NULL, &failure));
    cuda_work_end(work);
    for (int round = 0; round < 4; round++) { /* the host's stream, then ours */
        long before = made(), streams = FAKE(shim_calls)("cuStreamCreate"), pinned = FAKE(shim_calls)("cuMemHostAlloc");
        for (int i = 0; i < MANY; i++) {
            works[i] = fixture_begin(device, round < 2 ? stream : NULL);
            WORKS(fixture_add(works[i], buffer->address, buffer->address, round < 2, 100));
        }
        for (int i = 0; i < MANY; i++) {
            WORKS(cuda_wait(works[i], NULL, &failure));
            cuda_work_end(works[i]);
        }
        if (round % 2 && made() != before) fail_msg("round %d made %ld things", round, made() - before);
        if (round == 0) {
            assert_int_equal(FAKE(shim_calls)("cuStreamCreate"), streams);
            assert_true(FAKE(shim_calls)("cuMemHostAlloc") - pinned <= MANY / 16 + 1);
        }
    }
    work = fixture_begin(device, NULL);
    WORKS(cuda_copy_to_host(work, &out, buffer->address, sizeof out, &failure));
    WORKS(cuda_wait(work, NULL, &failure));
    assert_true(out == 1 + 2 * MANY);
    cuda_work_end(work);
    cuda_release(buffer);
    assert_int_equal(host.cuStreamDestroy(stream), 0);
    host_leave();
    cuda_device_close(device);
}

/* More works at once than are kept. */
static void test_many_works(void **state) {
    enum { MANY = 140, KEPT = 128 };
    static struct cuda_work *works[MANY];
    (void)state;
    struct cuda_device *device = fixture_open(0);
    for (int i = 0; i < MANY; i++) {
        works[i] = fixture_begin(device, NULL);
        if (i % 10 == 0) check_everything(works[i], &everything_kernel, 0);
    }
    for (int i = 0; i < MANY; i++) cuda_work_end(works[i]);
    long streams = FAKE(shim_calls)("cuStreamCreate");
    for (int i = 0; i < KEPT; i++) works[i] = fixture_begin(device, NULL);
    assert_int_equal(FAKE(shim_calls)("cuStreamCreate"), streams);
    for (int i = 0; i < KEPT; i++) cuda_work_end(works[i]);
    cuda_device_close(device);
}

/* Staging for large copies goes from call to call; what more of it many calls at once had is given back. */
static void test_staging(void **state) {
    enum { MANY = 12, RING = 8 };
    struct cuda_work *works[MANY];
    struct shim_live live;
    (void)state;
    struct cuda_device *device = fixture_open(0);
    char *bytes = malloc(MiB);
    for (int round = 0; round < 3; round++) {
        long pinned = FAKE(shim_calls)("cuMemHostAlloc");
        int n = round == 1 ? 4 : MANY;
        for (int i = 0; i < n; i++) {
            works[i] = fixture_begin(device, NULL);
            memset(bytes, i + 1, MiB);
            struct cuda_buffer *buffer = cuda_upload(works[i], bytes, MiB, false, &failure);
            WORKS(buffer);
            memset(bytes, 0, MiB);
            WORKS(cuda_copy_to_host(works[i], bytes, buffer->address, MiB, &failure));
            cuda_release(buffer);
            if (round < 2) continue; /* else one after the other, with the same staging */
            WORKS(cuda_wait(works[i], NULL, &failure));
            assert_true(bytes[0] == i + 1 && bytes[MiB - 1] == i + 1);
            cuda_work_end(works[i]);
        }
        for (int i = 0; round < 2 && i < n; i++) {
            WORKS(cuda_wait(works[i], NULL, &failure));
            cuda_work_end(works[i]);
        }
        if (round) assert_int_equal(FAKE(shim_calls)("cuMemHostAlloc"), pinned);
        FAKE(shim_get_live)(&live);
        assert_true(live.pinned_bytes >= 8 * RING * MiB && live.pinned_bytes <= 8 * RING * MiB + MiB);
    }
    free(bytes);
    cuda_device_close(device);
}

/* Room for partial results counts as held: many idle calls don't keep it. */
static void test_partial_results_of_idle_works(void **state) {
    enum { MANY = 20 };
    struct cuda_work *works[MANY];
    struct ptx_grid large = grid_four;
    (void)state;
    struct cuda_device *device = fixture_open(0);
    large.partial_bytes = MiB;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            works[i] = fixture_begin(device, NULL);
            struct cuda_buffer *out = cuda_take(works[i], 40, &failure);
            WORKS(fixture_launch(works[i], &everything_kernel, &large, (uint64_t[8]){out->address, 0}));
            cuda_release(out);
        }
        assert_int_equal(cuda_device_held(device), MANY * MiB);
        for (int i = 0; i < MANY; i++) {
            WORKS(cuda_wait(works[i], NULL, &failure));
            cuda_work_end(works[i]);
        }
        assert_int_equal(cuda_device_held(device), 8 * MiB);
    }
    cuda_device_close(device);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        DRIVER_TEST(test_memory),
        DRIVER_TEST(test_limit),
        DRIVER_TEST(test_buffers_outlive),
        DRIVER_TEST(test_release_elsewhere),
        DRIVER_TEST(test_release_after_lending),
        DRIVER_TEST(test_pool_keeps_a_share),
        DRIVER_TEST(test_many_pending),
        DRIVER_TEST(test_many_works),
        DRIVER_TEST(test_staging),
        DRIVER_TEST(test_partial_results_of_idle_works),
    };
    return FIXTURE_MAIN(argc, argv, tests, NULL);
}
