/* test_driver_failures.c: runtime/cuda on the fake driver: every failure on the way, lost devices, fork(). */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gpu/driver_fixture.h"

/* --- failures ----------------------------------------------------------------------------------------------------- */

/* A bit of everything. False if something failed; what was given back is given back all the same. */
static bool scenario(void) {
    static double in[10000], out[10000], large[30000], large_out[30000];
    bool good = false;
    struct cuda_device *device = fixture_try_open(0);
    if (!device) return false;
    struct cuda_work *work = cuda_work_begin(device, NULL, &failure);
    struct cuda_buffer *a = NULL, *b = NULL, *c = NULL;
    volatile int flag = 0;
    struct ptx_watch watch;
    if (!work) goto done;
    cuda_profile(work, true);
    for (int i = 0; i < 10000; i++) in[i] = i;
    for (int i = 0; i < 30000; i++) large[i] = i;
    memset(out, 0, sizeof out), memset(large_out, 0, sizeof large_out);
    if (!(a = cuda_upload(work, in, sizeof in, false, &failure))) goto done;
    if (!(b = cuda_take(work, sizeof large, &failure))) goto done;
    if (!(c = cuda_upload(work, large, sizeof large, false, &failure))) goto done;
    if (!cuda_copy_to_device(work, b->address, large, sizeof large, &failure)) goto done;
    if (!fixture_add(work, a->address, a->address, 1, 10000)) goto done;
    if (!fixture_add(work, c->address, b->address, 1, 30000)) goto done;
    if (!fixture_launch(work, &indirect_kernel, &grid_four, (uint64_t[8]){b->address, fixture_bits_f32(1)})) goto done;
    if (!fixture_launch(work, &fault_kernel, &grid_four, (uint64_t[]){0, 0, 3, 0})) goto done;
    if (!cuda_copy_to_host(work, out, a->address, sizeof out, &failure)) goto done;
    if (!cuda_copy_to_host(work, large_out, c->address, sizeof large_out, &failure)) goto done;
    cuda_is_done(work);
    if (!cuda_wait(work, &flag, &failure)) goto done;
    good = true;
    for (int i = 0; i < 10000; i++)
        if (out[i] != in[i] + 1) fail_msg("out[%d] is %g", i, out[i]);
    for (int i = 0; i < 30000; i++)
        if (large_out[i] != large[i] + 1) fail_msg("large_out[%d] is %g", i, large_out[i]);
    assert_true(cuda_work_fault(work, &watch));
    flag = 1;
    if (!fixture_launch(work, &endless_kernel, &grid_one, (uint64_t[3]){0, 0, 300})) {
        good = false;
    } else if (!cuda_wait(work, &flag, &failure)) {
        good = failure.status == CUDA_CANCELLED;
    }
    struct rows rows = {0};
    cuda_profile_read(work, add_row, &rows);
done:
    cuda_release(a), cuda_release(b);
    flag = 1;
    if (work) cuda_wait(work, &flag, NULL); /* what the caller does after an error: nothing of ours goes on */
    cuda_work_end(work);
    cuda_device_close(device);
    cuda_release(c); /* outlives it */
    return good;
}

/* Every call of the driver, or every other one, answers an error once; then all goes well again. */
static void inject(int error, const char *what, long first, long step) {
    long at = first;
    for (;; at += step) {
        FAKE(shim_reset)();
        FAKE(shim_set_quiet)(true);
        FAKE(shim_set_memory)(0, 500 * MiB);
        failure = (struct cuda_failure){0};
        FAKE(shim_fail)(NULL, at, error);
        long before = FAKE(shim_calls)(NULL);
        bool good = scenario();
        bool reached = FAKE(shim_calls)(NULL) - before >= at;
        FAKE(shim_fail)(NULL, 0, 0);
        if (FAKE(shim_objects)() != 0 || failing.blocks)
            fail_msg("%s at call %ld: %ld objects of the driver and %ld blocks of the host are left (%s)", what, at,
                     FAKE(shim_objects)(), failing.blocks, failure.text);
        if (!good && !failure.text[0]) fail_msg("%s at call %ld: failed without a word", what, at);
        if (!reached) {
            assert_true(good);
            break;
        }
        if (at > 2000) fail_msg("no end");
    }
    assert_true(at > 100);
}

static void test_inject_lost(void **state) {
    (void)state;
    inject(CUDA_ERROR_UNKNOWN, "lost", 1, 1);
}
static void test_inject_memory(void **state) {
    (void)state;
    inject(CUDA_ERROR_OUT_OF_MEMORY, "no memory", 1, 2);
}
static void test_inject_other(void **state) {
    (void)state;
    inject(CUDA_ERROR_INVALID_VALUE, "invalid value", 2, 2);
}

static void test_inject_host_memory(void **state) {
    (void)state;
    for (long at = 1;; at++) {
        failing.failed = 0;
        failing.fail_at = at;
        failure = (struct cuda_failure){0};
        bool good = scenario();
        failing.fail_at = 0;
        if (FAKE(shim_objects)() != 0 || failing.blocks || failing.wrong_sizes)
            fail_msg("request %ld: %ld objects, %ld blocks left", at, FAKE(shim_objects)(), failing.blocks);
        if (!good && failure.status != CUDA_NO_MEMORY)
            fail_msg("request %ld: status %d, %s", at, failure.status, failure.text);
        if (!failing.failed) {
            assert_true(good && at > 10);
            break;
        }
    }
}

static void test_lost(void **state) {
    const int errors[] = {CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_ECC_UNCORRECTABLE,
                          CUDA_ERROR_DEVICE_UNAVAILABLE};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct cuda_device *device = fixture_open(0);
        struct cuda_work *work = fixture_begin(device, NULL);
        double out[100] = {0};
        char *large = calloc(1, 6 * MiB);
        struct cuda_buffer *a = cuda_take(work, 6 * MiB, &failure);
        WORKS(fixture_add(work, a->address, a->address, 1, 100));
        WORKS(cuda_copy_to_host(work, out, a->address, sizeof out, &failure));
        struct cuda_module *module = cuda_module_get(device, &add_kernel, false, NULL, &failure);
        FAKE(shim_lose_device)(errors[i]);
        FAILS(cuda_wait(work, NULL, &failure), CUDA_LOST, "CUDA_ERROR_");
        char first[sizeof failure.text];
        strcpy(first, failure.text);
        /* From now on nobody asks the driver. */
        long calls = FAKE(shim_calls)(NULL);
        FAILS(cuda_wait(work, NULL, &failure), CUDA_LOST, "cuda:0 was lost: ");
        assert_string_equal(first, failure.text);
        FAILS(cuda_take(work, 100, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_upload(work, out, 100, false, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_copy_to_device(work, a->address, large, 6 * MiB, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_copy_to_host(work, large, a->address, 6 * MiB, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_copy_on_device(work, a->address, a->address, 8, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_launch(work, module, &add_kernel, &grid_one, (uint64_t[4]){0}, NULL, &failure), CUDA_LOST,
              "was lost");
        FAILS(cuda_module_get(device, &fault_kernel, false, NULL, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_work_begin(device, NULL, &failure), CUDA_LOST, "was lost");
        assert_int_equal(cuda_pointer_device(device, a->address), CUDA_POINTER_UNKNOWN);
        assert_true(cuda_is_done(work));
        cuda_release(a);
        cuda_work_end(work);
        assert_int_equal(FAKE(shim_calls)(NULL) - calls, 0);
        cuda_device_close(device);
        FAKE(shim_lose_device)(0);
        assert_int_equal(FAKE(shim_objects)(), 0);
        free(large);

        /* One that is opened anew works. */
        device = fixture_open(0);
        work = fixture_begin(device, NULL);
        random_sequence(work, 100, 1, 10);
        cuda_work_end(work);
        cuda_device_close(device);
    }
}

/* The context is no more, as when the host reset the device or the process is ending: handles are not given back. In
 * processes of their own, since the fake driver, where nothing was reset, still has them. */
static void test_destroyed(void **state) {
    const int errors[] = {CUDA_ERROR_CONTEXT_IS_DESTROYED, CUDA_ERROR_INVALID_CONTEXT, CUDA_ERROR_DEINITIALIZED};
    char command[300];
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        snprintf(command, sizeof command, "ASAN_OPTIONS=detect_leaks=0 '%s' --destroyed %d", program, errors[i]);
        assert_int_equal(system(command), 0);
    }
}

static int destroyed(int error) {
    failing_init(&failing, &memory);
    struct cuda_device *device = fixture_try_open(0);
    struct cuda_work *work = device ? cuda_work_begin(device, NULL, &failure) : NULL;
    struct cuda_buffer *buffer = work ? cuda_take(work, 100, &failure) : NULL;
    if (!buffer) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    FAKE(shim_lose_device)(error);
    if (cuda_copy_on_device(work, buffer->address, buffer->address, 8, &failure) || failure.status != CUDA_LOST)
        return 2;
    long calls = FAKE(shim_calls)(NULL);
    cuda_release(buffer);
    cuda_work_end(work);
    cuda_device_close(device);
    if (FAKE(shim_calls)(NULL) - calls != 1) return 3; /* the primary context, no other */
    return failing.blocks ? 4 : 0;
}

/* A kernel that dies takes the context with it. */
static void test_fatal_kernel(void **state) {
    (void)state;
    FAKE(shim_set_quiet)(true);
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *a = cuda_take(work, 80, &failure);
    double out[10];
    WORKS(fixture_launch(work, &deadly_kernel, &grid_one, (uint64_t[]){a->address}));
    cuda_copy_to_host(work, out, a->address, sizeof out, &failure);
    FAILS(cuda_wait(work, NULL, &failure), CUDA_LOST, "CUDA_ERROR_");
    FAILS(cuda_wait(work, NULL, &failure), CUDA_LOST, "cuda:0 was lost: waiting for the GPU: ");
    cuda_release(a);
    cuda_work_end(work);
    cuda_device_close(device);
}

/* --- fork() ------------------------------------------------------------------------------------------------------- */

static bool child_is_refused(struct cuda_device *device, struct cuda_work *work, struct cuda_buffer *buffer) {
    struct cuda_failure why;
    double value = 0;
    bool refused = !cuda_take(work, 8, &why) && why.status == CUDA_LOST && strstr(why.text, "fork()");
    refused = refused && !cuda_work_begin(device, NULL, &why) && why.status == CUDA_LOST;
    refused = refused && !cuda_wait(work, NULL, &why) && why.status == CUDA_LOST;
    refused = refused && !cuda_copy_to_host(work, &value, buffer->address, 8, &why);
    refused = refused && !cuda_module_get(device, &add_kernel, false, NULL, &why);
    cuda_release(buffer);
    cuda_work_end(work);
    cuda_device_close(device);
    struct cuda_options options = {.mem = &memory, .cache_folder = ""};
    refused =
        refused && !cuda_device_open(&options, &why) && why.status == CUDA_UNAVAILABLE && strstr(why.text, "fork()");
    return refused && failing.blocks == 0;
}

static bool no_wiping; /* as on systems that know no MADV_WIPEONFORK */
int madvise(void *address, size_t size, int advice) {
    if (!no_wiping || advice != MADV_WIPEONFORK) return (int)syscall(SYS_madvise, address, size, advice);
    errno = EINVAL;
    return -1;
}

static void fork_with_device(void) {
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_buffer *buffer = cuda_take(work, 800, &failure);
    double out[100];
    WORKS(fixture_add(work, buffer->address, buffer->address, 1, 100));
    WORKS(cuda_copy_to_host(work, out, buffer->address, sizeof out, &failure));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        _exit(child_is_refused(device, work, buffer) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    WORKS(cuda_wait(work, NULL, &failure)); /* the parent does not notice */
    random_sequence(work, 20000, 3, 20);
    cuda_release(buffer);
    cuda_work_end(work);
    cuda_device_close(device);
}

static void test_fork(void **state) {
    (void)state;
    fork_with_device();
    no_wiping = true;
    fork_with_device();
    no_wiping = false;
}

static int first(int argc, char **argv) {
    if (argc < 3 || strcmp(argv[1], "--destroyed") != 0) return -1;
    return fixture_is_fake() ? destroyed(atoi(argv[2])) : 77;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        DRIVER_TEST(test_inject_lost),        DRIVER_TEST(test_inject_memory), DRIVER_TEST(test_inject_other),
        DRIVER_TEST(test_inject_host_memory), DRIVER_TEST(test_lost),          DRIVER_TEST(test_destroyed),
        DRIVER_TEST(test_fatal_kernel),       DRIVER_TEST(test_fork),
    };
    return FIXTURE_MAIN(argc, argv, tests, first);
}
