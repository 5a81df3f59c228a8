/* test_driver_launches.c: runtime/cuda on the fake driver: launches, waiting, cancelling, measuring. */
#include <pthread.h>

#include "gpu/driver_fixture.h"
#include "runtime/cuda/internal.h"

/* --- launches ----------------------------------------------------------------------------------------------------- */

static void test_parameters(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    check_everything(work, &everything_kernel, 0);
    check_everything(work, &everything_kernel, 1);
    check_everything(work, &indirect_kernel, 2);
    check_everything(work, &indirect_kernel, 3);
    /* More partial results than before: the room grows, in stream order. */
    struct ptx_grid larger = grid_four;
    larger.partial_bytes = 1 * MiB;
    double out[5];
    struct cuda_buffer *buffer = cuda_take(work, sizeof out, &failure);
    struct cuda_module *module = cuda_module_get(device, &everything_kernel, false, NULL, &failure);
    for (int i = 0; i < 3; i++) {
        int64_t order = -1;
        uint64_t values[8] = {buffer->address, fixture_bits_f32(1)};
        WORKS(cuda_launch(work, module, &everything_kernel, i ? &larger : &grid_four, values, &order, &failure));
        assert_int_equal(order, 4 + i);
        larger.partial_bytes *= 2;
    }
    WORKS(cuda_copy_to_host(work, out, buffer->address, sizeof out, &failure));
    WORKS(cuda_wait(work, NULL, &failure));
    assert_true(out[0] == 10 && out[1] == 6);
    cuda_release(buffer);
    cuda_work_end(work);
    work = fixture_begin(device, NULL);
    check_everything(work, &everything_kernel, 0); /* counted anew */
    cuda_work_end(work);
    cuda_device_close(device);
}

/* What a call on device tensors asks of the driver: the context, the launch, the context. */
static void test_lean(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *buffer = cuda_take(work, 800, &failure);
    struct cuda_module *module = cuda_module_get(device, &add_kernel, false, NULL, &failure);
    uint64_t values[4] = {buffer->address, buffer->address, fixture_bits(1), 100};
    WORKS(cuda_launch(work, module, &add_kernel, &grid_one, values, NULL, &failure));
    WORKS(cuda_wait(work, NULL, &failure));
    cuda_work_end(work);
    long calls = FAKE(shim_calls)(NULL);
    long requests = failing.blocks;
    failing.fail_at = 1; /* and no memory of the host */
    work = cuda_work_begin(device, NULL, &failure);
    WORKS(work);
    WORKS(cuda_launch(work, module, &add_kernel, &grid_one, values, NULL, &failure));
    assert_int_equal(FAKE(shim_calls)(NULL) - calls, 3);
    WORKS(cuda_wait(work, NULL, &failure));
    calls = FAKE(shim_calls)(NULL);
    cuda_work_end(work);
    assert_int_equal(FAKE(shim_calls)(NULL) - calls, 0);
    assert_int_equal(failing.fail_at, 1);
    failing.fail_at = 0;
    assert_int_equal(failing.blocks, requests);
    cuda_release(buffer);
    cuda_device_close(device);
}

static void test_fault(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct ptx_watch watch;
    for (int round = 0; round < 2; round++) {
        assert_false(cuda_work_fault(work, &watch));
        const int64_t positions[] = {-1, 40, 30, -1}; /* of several launches the first one counts */
        for (int i = 0; i < 4; i++)
            WORKS(fixture_launch(work, &fault_kernel, &grid_four, (uint64_t[]){0, 0, (uint64_t)positions[i], 0}));
        WORKS(cuda_wait(work, NULL, &failure));
        assert_true(cuda_work_fault(work, &watch));
        assert_int_equal(watch.order, 1 + 5 * round);
        assert_int_equal(watch.position, 40);
        assert_int_equal(watch.index, 17);
        assert_int_equal(watch.size, 5);
        assert_int_equal(watch.site, 3);
        assert_false(cuda_work_fault(work, &watch));               /* forgotten */
        check_everything(work, &everything_kernel, 4 + 5 * round); /* watch and counters are clean */
    }
    /* A fault that nobody asks for is not the next call's. */
    WORKS(fixture_launch(work, &fault_kernel, &grid_one, (uint64_t[]){0, 0, 3, 0}));
    cuda_work_end(work);
    work = fixture_begin(device, NULL);
    assert_false(cuda_work_fault(work, &watch));
    check_everything(work, &everything_kernel, 0);
    assert_false(cuda_work_fault(work, &watch));
    cuda_work_end(work);
    cuda_device_close(device);
}

/* --- waiting and cancelling --------------------------------------------------------------------------------------- */

struct setter {
    volatile int flag;
    pthread_t thread;
};

static void *set_flag(void *argument) {
    struct setter *setter = argument;
    usleep(30000);
    __atomic_store_n(&setter->flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void set_soon(struct setter *setter) {
    setter->flag = 0;
    assert_int_equal(pthread_create(&setter->thread, NULL, set_flag, setter), 0);
}

static void test_cancel(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    host_enter();
    CUstream stream;
    assert_int_equal(host.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), 0);
    char *large = malloc(30 * MiB);
    memset(large, 1, 30 * MiB);
    struct setter setter;
    for (int kind = 0; kind < 8; kind++) {
        struct cuda_work *work = fixture_begin(device, kind % 2 ? stream : NULL);
        struct cuda_buffer *buffer = cuda_take(work, 30 * MiB, &failure);
        WORKS(fixture_launch(work, &endless_kernel, &grid_one, (uint64_t[3]){0}));
        WORKS(fixture_launch(work, &endless_kernel, &grid_one, (uint64_t[3]){0})); /* one that has not started */
        set_soon(&setter);
        switch (kind / 2) {
        case 0: FAILS(cuda_wait(work, &setter.flag, &failure), CUDA_CANCELLED, "cancelled"); break;
        case 1:
            cuda_set_cancel(work, &setter.flag);
            FAILS(cuda_copy_to_host(work, large, buffer->address, 30 * MiB, &failure), CUDA_CANCELLED, "cancelled");
            break;
        case 2:
            cuda_set_cancel(work, &setter.flag);
            FAILS(cuda_copy_to_device(work, buffer->address, large, 30 * MiB, &failure), CUDA_CANCELLED, "cancelled");
            break;
        case 3:
            cuda_set_cancel(work, &setter.flag);
            assert_false(cuda_is_done(work));
            FAILS(cuda_wait(work, NULL, &failure), CUDA_CANCELLED, "cancelled");
            break;
        }
        pthread_join(setter.thread, NULL);
        cuda_set_cancel(work, NULL);
        if (kind % 3 == 0) { /* the same work goes on; else the next call gets it */
            check_everything(work, &everything_kernel, 2);
            random_sequence(work, 20000, 1, 20);
        }
        cuda_release(buffer);
        cuda_work_end(work);
        work = fixture_begin(device, NULL);
        check_everything(work, &everything_kernel, 0);
        cuda_work_end(work);
    }
    free(large);
    assert_int_equal(host.cuStreamDestroy(stream), 0);
    host_leave();
    assert_int_equal(cuda_device_held(device), 4 * 4); /* the partial results of the one work */
    cuda_device_close(device);
}

/* What tells kernels to stop has a queue of its own on the device: it must not come behind what waits for them. */
static void test_cancel_has_priority(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    int priority, least, greatest;
    host_enter();
    CUresult (*get)(CUstream, int *) = (CUresult(*)(CUstream, int *))fixture_control("cuStreamGetPriority");
    assert_int_equal(get(device->control, &priority), 0);
    assert_int_equal(host.cuCtxGetStreamPriorityRange(&least, &greatest), 0);
    assert_int_equal(priority, greatest);
    assert_true(priority < least);
    host_leave();
    cuda_device_close(device);
}

/* Launches behind a kernel that does not end: the flag is seen before the driver's queue is full. */
static void test_cancel_launches(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *buffer = cuda_take(work, 800, &failure);
    struct cuda_module *module = cuda_module_get(device, &add_kernel, false, NULL, &failure);
    struct setter setter;
    set_soon(&setter);
    cuda_set_cancel(work, &setter.flag);
    WORKS(fixture_launch(work, &endless_kernel, &grid_one, (uint64_t[3]){0}));
    int launches = 0;
    failure = (struct cuda_failure){0};
    for (;; launches++) {
        uint64_t values[4] = {buffer->address, buffer->address, 0, 100};
        if (!cuda_launch(work, module, &add_kernel, &grid_one, values, NULL, &failure)) break;
    }
    assert_int_equal(failure.status, CUDA_CANCELLED);
    assert_true(launches < 1000);
    pthread_join(setter.thread, NULL);
    cuda_set_cancel(work, NULL);
    check_everything(work, &everything_kernel, launches + 2);
    cuda_release(buffer);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* A flag that is set when all is done cancels nothing; one that is never set, neither. */
static void test_cancel_too_late(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    volatile int flag = 0;
    random_sequence(work, 100, 1, 20);
    struct cuda_buffer *buffer = cuda_take(work, 800, &failure);
    WORKS(cuda_wait(work, &flag, &failure));
    FAKE(shim_set_delay)(0.003); /* longer than is waited for awake */
    WORKS(fixture_add(work, buffer->address, buffer->address, 1, 100));
    WORKS(cuda_wait(work, &flag, &failure));
    WORKS(fixture_add(work, buffer->address, buffer->address, 1, 100));
    WORKS(cuda_wait(work, NULL, &failure));
    flag = 1;
    WORKS(cuda_wait(work, &flag, &failure));
    assert_true(cuda_is_done(work));
    cuda_release(buffer);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static void test_profile(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    char *data = calloc(1, 6 * MiB);
    for (int round = 0; round < 2; round++) {
        struct rows rows = {0};
        cuda_profile(work, true);
        struct cuda_buffer *a = cuda_upload(work, data, 6 * MiB, false, &failure),
                           *b = cuda_upload(work, data, 800, false, &failure);
        cuda_set_tag(work, 5);
        for (int i = 0; i < 80; i++) WORKS(fixture_add(work, b->address, b->address, 1, 100));
        cuda_set_tag(work, 6);
        WORKS(fixture_add(work, b->address, b->address, 1, 100));
        WORKS(cuda_copy_on_device(work, b->address, a->address, 100, &failure));
        WORKS(cuda_copy_to_host(work, data, a->address, 5 * MiB, &failure));
        cuda_profile(work, false);
        WORKS(fixture_add(work, b->address, b->address, 1, 100));
        WORKS(cuda_wait(work, NULL, &failure));
        cuda_profile_read(work, add_row, &rows);
        assert_int_equal(rows.n, 85);
        assert_true(rows.tags[0] == CUDA_TAG_TO_DEVICE && rows.bytes[0] == 6.0 * (double)MiB);
        assert_true(rows.tags[1] == CUDA_TAG_TO_DEVICE && rows.bytes[1] == 800);
        for (int i = 2; i < 82; i++) assert_true(rows.tags[i] == 5 && rows.bytes[i] == 0);
        assert_true(rows.tags[82] == 6);
        assert_true(rows.tags[83] == CUDA_TAG_ON_DEVICE && rows.bytes[83] == 100);
        assert_true(rows.tags[84] == CUDA_TAG_TO_HOST && rows.bytes[84] == 5.0 * (double)MiB);
        for (int i = 0; i < 85; i++) assert_true(rows.seconds[i] >= 0 && rows.seconds[i] < 10);
        assert_true(rows.seconds[0] > 0);
        rows.n = 0;
        cuda_profile_read(work, add_row, &rows);
        assert_int_equal(rows.n, 0);
        cuda_release(a), cuda_release(b);
    }
    free(data);
    cuda_work_end(work);
    cuda_device_close(device);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        DRIVER_TEST(test_parameters),
        DRIVER_TEST(test_lean),
        DRIVER_TEST(test_fault),
        DRIVER_TEST(test_cancel),
        DRIVER_TEST(test_cancel_has_priority),
        DRIVER_TEST(test_cancel_launches),
        DRIVER_TEST(test_cancel_too_late),
        DRIVER_TEST(test_profile),
    };
    return FIXTURE_MAIN(argc, argv, tests, NULL);
}
