/* test_driver.c: runtime/cuda on the fake driver: devices, modules, threads. */
#include <pthread.h>

#include "gpu/driver_fixture.h"
#include "runtime/cuda/internal.h"

/* --- devices ------------------------------------------------------------------------------------------------------ */

static void test_parse_device(void **state) {
    (void)state;
    const struct {
        const char *text;
        int ordinal;
    } cases[] = {{"cuda", 0},
                 {"cuda:0", 0},
                 {"cuda:1", 1},
                 {"cuda:15", 15},
                 {"cuda:", -1},
                 {"cuda:-1", -1},
                 {"cuda:1 ", -1},
                 {" cuda", -1},
                 {"CUDA", -1},
                 {"cud", -1},
                 {"", -1},
                 {"cpu", -1},
                 {"cuda1", -1},
                 {"cuda:x", -1},
                 {"cuda:1x", -1},
                 {"cuda::1", -1},
                 {"cuda:99999999999999999999", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cuda_parse_device(cases[i].text) != cases[i].ordinal) fail_msg("\"%s\"", cases[i].text);
}

static void test_open(void **state) {
    (void)state;
    FAKE(shim_set_arch)(0, 80);
    FAKE(shim_set_multiprocessors)(0, 7);
    struct cuda_device *device = fixture_open(0);
    assert_int_equal(cuda_device_ordinal(device), 0);
    assert_int_equal(cuda_device_arch(device), 80);
    assert_int_equal(cuda_device_limits(device)->multiprocessors, 7);
    assert_true(cuda_device_limits(device)->threads_per_multiprocessor >= 1024);
    assert_true(strlen(cuda_device_name(device)) > 0);
    assert_int_equal(cuda_device_held(device), 0);
    cuda_device_close(device);
    cuda_device_close(NULL);
}

/* Several devices at once, and one device opened twice: the primary context is shared, the rest is not. */
static void test_open_several(void **state) {
    (void)state;
    FAKE(shim_set_devices)(2);
    struct cuda_options second = {.mem = &memory, .ordinal = 1, .cache_folder = ""};
    struct cuda_device *a = fixture_open(0), *b = fixture_open(0), *c = cuda_device_open(&second, &failure);
    WORKS(c);
    struct shim_live live;
    FAKE(shim_get_live)(&live);
    assert_int_equal(live.contexts, 3); /* each retains its own */
    struct cuda_work *on_b = fixture_begin(b, NULL), *on_c = fixture_begin(c, NULL);
    struct cuda_buffer *x = cuda_take(on_b, 100, &failure), *y = cuda_take(on_c, 100, &failure);
    assert_int_equal(cuda_pointer_device(a, x->address), 0);
    assert_int_equal(cuda_pointer_device(a, y->address), 1);
    assert_int_equal(cuda_pointer_device(a, (uintptr_t)&live), -1);
    assert_int_equal(cuda_pointer_device(a, 0), -1);
    cuda_release(x), cuda_release(y);
    cuda_work_end(on_b), cuda_work_end(on_c);
    cuda_device_close(a), cuda_device_close(b), cuda_device_close(c);
}

static void test_unavailable(void **state) {
    (void)state;
    FAKE(shim_set_driver_version)(11010);
    FAILS(fixture_try_open(0), CUDA_UNAVAILABLE, "supports CUDA 11.1, and 11.2 or newer is needed");
    FAKE(shim_reset)();
    FAKE(shim_set_arch)(0, 70);
    FAILS(fixture_try_open(0), CUDA_UNAVAILABLE, "sm_70) is too old: sm_75");
    FAKE(shim_reset)();
    FAKE(shim_set_attribute)(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0);
    FAILS(fixture_try_open(0), CUDA_UNAVAILABLE, "memory pools");
    FAKE(shim_reset)();
    struct cuda_options options = {.mem = &memory, .ordinal = 1, .cache_folder = ""};
    FAILS(cuda_device_open(&options, &failure), CUDA_UNAVAILABLE, "there is no cuda:1: this machine has 1 GPU, cuda:0");
    FAKE(shim_set_devices)(3);
    options.ordinal = 3;
    FAILS(cuda_device_open(&options, &failure), CUDA_UNAVAILABLE, "there is no cuda:3: this machine has 3 GPUs");
    FAKE(shim_set_devices)(0);
    options.ordinal = 0;
    FAILS(cuda_device_open(&options, &failure), CUDA_UNAVAILABLE, "no GPU");
    FAKE(shim_reset)();
    /* A context that cannot be had is not one that was lost. */
    FAKE(shim_fail)("cuDevicePrimaryCtxRetain", 1, CUDA_ERROR_DEVICE_UNAVAILABLE);
    FAILS(fixture_try_open(0), CUDA_UNAVAILABLE, "cuDevicePrimaryCtxRetain: CUDA_ERROR_DEVICE_UNAVAILABLE");
    FAKE(shim_fail)("cuInit", 1, CUDA_ERROR_NO_DEVICE);
    FAILS(fixture_try_open(0), CUDA_UNAVAILABLE, "finds no GPU");
}

/* Without the libraries: another process, whose search path leads nowhere. */
static void test_no_libraries(void **state) {
    char command[400], output[4000] = "";
    (void)state;
    if (access("/usr/lib/x86_64-linux-gnu/libcuda.so.1", F_OK) == 0 || access("/usr/lib64/libcuda.so.1", F_OK) == 0 ||
        access("/usr/local/nvidia/lib64/libcuda.so.1", F_OK) == 0)
        skip(); /* a real driver is installed */
    snprintf(command, sizeof command, "LD_LIBRARY_PATH=/nowhere '%s' --describe", program);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    if (status != 0) fail_msg("status %d: %s", status, output);
    if (!strstr(output, "no NVIDIA driver")) fail_msg("%s", output);
}

static void test_describe(void **state) {
    struct arena arena;
    struct strbuf text;
    (void)state;
    FAKE(shim_set_devices)(2);
    FAKE(shim_set_arch)(1, 120);
    FAKE(shim_set_memory)(0, 3 * MiB * 512);
    arena_init(&arena, &memory);
    strbuf_init(&text, &arena);
    cuda_describe(&text);
    if (!strstr(strbuf_text(&text), "driver: CUDA 13.0\ncompiler: NVRTC 13.") ||
        !strstr(strbuf_text(&text), ", sm_90, ") ||
        !strstr(strbuf_text(&text), " multiprocessors, 1.5 GiB, driver 13.0\ncuda:1: ") ||
        !strstr(strbuf_text(&text), ", sm_120, "))
        fail_msg("%s", strbuf_text(&text));
    arena_free(&arena);
    /* No memory for it: by longjmp, with nothing left open. */
    arena_init(&arena, &memory);
    strbuf_init(&text, &arena);
    failing.fail_at = 1;
    cuda_describe(&text);
    failing.fail_at = 0;
    assert_non_null(strstr(strbuf_text(&text), "no host memory"));
    arena_free(&arena);
}

/* --- modules ------------------------------------------------------------------------------------------------------ */

static void test_modules(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct ptx_kernel kernel = add_kernel;
    char source[600], folder[80];
    struct cuda_build build;
    snprintf(source, sizeof source, "// a kernel of its own\n%s", add_kernel.source);
    kernel.source = source;
    struct cuda_module *first = cuda_module_get(device, &kernel, false, &build, &failure);
    WORKS(first);
    assert_true(!build.from_disk && !build.from_memory && build.seconds > 0);
    assert_ptr_equal(cuda_module_get(device, &kernel, false, &build, &failure), first);
    assert_true(build.from_memory);
    assert_true(cuda_module_get(device, &kernel, true, &build, &failure) != first);
    assert_true(!build.from_disk && !build.from_memory);
    cuda_device_close(device);

    device = fixture_open(0);
    WORKS(cuda_module_get(device, &kernel, true, &build, &failure));
    assert_true(build.from_disk);
    /* An image that the driver does not take is made anew. */
    FAKE(shim_fail)("cuModuleLoadDataEx", 1, CUDA_ERROR_INVALID_IMAGE);
    WORKS(cuda_module_get(device, &kernel, false, &build, &failure));
    assert_true(!build.from_disk && !build.from_memory);
    cuda_device_close(device);

    /* Another architecture is another image; without a folder everything is compiled. */
    FAKE(shim_set_arch)(0, 80);
    device = fixture_open(0);
    WORKS(cuda_module_get(device, &kernel, false, &build, &failure));
    assert_true(!build.from_disk);
    FAILS(cuda_module_get(device, &(struct ptx_kernel){.name = "nothing", .source = add_kernel.source}, false, &build,
                          &failure),
          CUDA_FAILED, "loading kernel nothing: cuModuleGetFunction: CUDA_ERROR_NOT_FOUND");
    cuda_device_close(device);

    snprintf(folder, sizeof folder, "%s/x/y", cache_folder);
    struct cuda_options options = {.mem = &memory, .cache_folder = folder, .cache_bytes = 1};
    device = cuda_device_open(&options, &failure);
    WORKS(cuda_module_get(device, &kernel, false, &build, &failure));
    cuda_device_close(device);
    device = cuda_device_open(&options, &failure);
    WORKS(cuda_module_get(device, &kernel, false, &build, &failure));
    assert_true(!build.from_disk);
    kernel.source = "extern \"C\" __global__ void add(double *out) {\n    out[0] = nonsense;\n}\n";
    FAILS(cuda_module_get(device, &kernel, false, &build, &failure), CUDA_COMPILE, "nonsense");
    cuda_device_close(device);
}

static int loaded_modules(void) {
    struct shim_live live;
    FAKE(shim_get_live)(&live);
    return (int)live.modules;
}

/* Of modules without users the last few stay loaded, however many there were. */
static void test_idle_modules(void **state) {
    (void)state;
    enum { KERNELS = 5, KEPT = 2 };
    struct cuda_device *device = fixture_open(0);
    struct cuda_module *modules[KERNELS];
    struct cuda_build build;
    char sources[KERNELS][600];
    struct ptx_kernel kernels[KERNELS];
    device->most_idle_modules = KEPT;
    for (int i = 0; i < KERNELS; i++) {
        kernels[i] = add_kernel;
        snprintf(sources[i], sizeof sources[i], "// number %d\n%s", i, add_kernel.source);
        kernels[i].source = sources[i];
        modules[i] = cuda_module_get(device, &kernels[i], false, NULL, &failure);
        WORKS(modules[i]);
    }
    assert_ptr_equal(cuda_module_get(device, &kernels[0], false, NULL, &failure), modules[0]);
    assert_int_equal(loaded_modules(), KERNELS);
    for (int i = 0; i < KERNELS; i++) cuda_module_release(device, modules[i]);
    assert_int_equal(loaded_modules(), KEPT + 1); /* one is used twice */
    cuda_module_release(device, modules[0]);
    cuda_module_release(device, NULL);
    assert_int_equal(loaded_modules(), KEPT);
    for (int i = KERNELS - 1; i >= 0; i--) { /* 0 and 4 were idle last */
        WORKS(cuda_module_get(device, &kernels[i], false, &build, &failure));
        assert_int_equal(build.from_memory, i == 0 || i == KERNELS - 1);
        assert_int_equal(build.from_disk, !build.from_memory);
    }
    assert_int_equal(loaded_modules(), KERNELS);
    cuda_device_close(device);
}

/* A device that NVRTC does not know yet runs what the driver makes of PTX. */
static void test_newer_device(void **state) {
    (void)state;
    FAKE(shim_set_arch)(0, 130);
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    struct cuda_build build;
    WORKS(cuda_module_get(device, &everything_kernel, false, &build, &failure));
    assert_false(build.from_disk);
    check_everything(work, &everything_kernel, 0);
    cuda_work_end(work);
    cuda_device_close(device);
    device = fixture_open(0);
    WORKS(cuda_module_get(device, &everything_kernel, false, &build, &failure));
    assert_true(build.from_disk);
    FAKE(shim_fail)("cuModuleLoadDataEx", 1, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    FAKE(shim_set_driver_version)(12040);
    cuda_device_close(device);
    device = fixture_open(0);
    FAILS(cuda_module_get(device, &fault_kernel, false, &build, &failure), CUDA_FAILED,
          "is newer than the driver (CUDA 12.4)");
    cuda_device_close(device);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

struct worker {
    struct cuda_device *device;
    pthread_t thread;
    int number;
    bool failed;
};

/* cmocka's checks belong to the main thread. */
static void *work_in_thread(void *argument) {
    struct worker *worker = argument;
    struct cuda_failure why;
    double in[1000], out[1000];
    worker->failed = true;
    for (int round = 0; round < 12; round++) {
        struct cuda_work *work = cuda_work_begin(worker->device, NULL, &why);
        struct cuda_module *module = work ? cuda_module_get(worker->device, &add_kernel, false, NULL, &why) : NULL;
        if (!module) return NULL;
        for (int i = 0; i < 1000; i++) in[i] = worker->number * i;
        struct cuda_buffer *a = cuda_upload(work, in, sizeof in, false, &why), *b = cuda_take(work, sizeof in, &why);
        if (!a || !b) return NULL;
        uint64_t values[4] = {b->address, a->address, fixture_bits(round), 1000};
        bool good = cuda_launch(work, module, &add_kernel, &grid_one, values, NULL, &why);
        cuda_release(a);
        good = good && cuda_copy_to_host(work, out, b->address, sizeof out, &why) && cuda_wait(work, NULL, &why);
        cuda_release(b);
        cuda_work_end(work);
        for (int i = 0; good && i < 1000; i++) good = out[i] == worker->number * i + round;
        if (!good) return NULL;
    }
    worker->failed = false;
    return NULL;
}

static void test_threads(void **state) {
    enum { THREADS = 6 };
    struct worker workers[THREADS];
    (void)state;
    struct mem heap = {0};
    struct cuda_options options = {.mem = &heap, .cache_folder = cache_folder};
    struct cuda_device *devices[2] = {cuda_device_open(&options, &failure), cuda_device_open(&options, &failure)};
    WORKS(devices[0] && devices[1]);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.device = devices[i % 2], .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_in_thread, &workers[i]), 0);
    }
    bool failed = false;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        failed |= workers[i].failed;
    }
    assert_false(failed);
    cuda_device_close(devices[0]);
    cuda_device_close(devices[1]);
}

static int describe(void) {
    struct mem heap = {0};
    struct arena arena;
    struct strbuf text;
    struct cuda_options options = {.mem = &heap, .cache_folder = ""};
    arena_init(&arena, &heap);
    strbuf_init(&text, &arena);
    cuda_describe(&text);
    fputs(strbuf_text(&text), stdout);
    arena_free(&arena);
    if (cuda_device_open(&options, &failure) || failure.status != CUDA_UNAVAILABLE) return 1;
    puts(failure.text);
    return heap.used != 0;
}

static int first(int argc, char **argv) {
    return argc > 1 && !strcmp(argv[1], "--describe") ? describe() : -1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_device), DRIVER_TEST(test_open),
        DRIVER_TEST(test_open_several),      DRIVER_TEST(test_unavailable),
        cmocka_unit_test(test_no_libraries), DRIVER_TEST(test_describe),
        DRIVER_TEST(test_modules),           DRIVER_TEST(test_idle_modules),
        DRIVER_TEST(test_newer_device),      DRIVER_TEST(test_threads),
    };
    return FIXTURE_MAIN(argc, argv, tests, first);
}
