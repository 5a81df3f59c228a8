/* runtime/cuda on the fake driver: devices, memory, copies, launches, waiting, and every failure on the way. Needs the
 * fake libcuda.so.1 and NVRTC of tests/gpu/shim in LD_LIBRARY_PATH. */
#include <pthread.h>
#include <sys/wait.h>

#include "gpu/driver_fixture.h"

static const size_t MiB = 1 << 20;
static struct driver host; /* what the host program does with the driver itself */
static const char *program;

static int open_fake(void **state) {
    (void)state;
    FAKE(shim_reset)();
    failing_init(&failing, &memory);
    failure = (struct cuda_failure){0};
    return 0;
}

/* Nothing of a test is left, on the device or the host, and no context is current. */
static int close_fake(void **state) {
    (void)state;
    FAKE(shim_fail)(NULL, 0, 0);
    FAKE(shim_lose_device)(0);
    struct shim_live live;
    FAKE(shim_get_live)(&live);
    CUcontext current = NULL;
    int (*get_current)(CUcontext *) = (int (*)(CUcontext *))fixture_control("cuCtxGetCurrent");
    get_current(&current);
    if (FAKE(shim_objects)() != 0 || current || failing.blocks || failing.wrong_sizes) {
        fprintf(stderr,
                "left: %ld allocations, %ld pinned, %ld streams, %ld events, %ld modules, %ld contexts; %scontext; %ld "
                "host blocks "
                "(%d wrong sizes)\n",
                live.allocations, live.pinned, live.streams, live.events, live.modules, live.contexts,
                current ? "a current " : "no ", failing.blocks, failing.wrong_sizes);
        return -1;
    }
    return 0;
}

/* The primary context in the hands of the host, for its own memory and streams. */
static void host_enter(void) {
    CUcontext context;
    assert_int_equal(host.cuDevicePrimaryCtxRetain(&context, 0), 0);
    assert_int_equal(host.cuCtxPushCurrent(context), 0);
}
static void host_leave(void) {
    CUcontext context;
    assert_int_equal(host.cuCtxPopCurrent(&context), 0);
    assert_int_equal(host.cuDevicePrimaryCtxRelease(0), 0);
}

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
        struct cuda_buffer *a = cuda_take(work, size, &failure), *b = cuda_upload(work, from, size, &failure);
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
    struct cuda_buffer *buffer = cuda_upload(work, pinned + 5, 9 * MiB, &failure);
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

enum { BUFFERS = 4, DOWNLOADS = 40 };

struct model { /* what the device should hold */
    struct cuda_buffer *buffer[BUFFERS];
    double *expected[BUFFERS];
    size_t n;
    double *seen[DOWNLOADS], *wanted[DOWNLOADS];
    int n_seen;
};

static unsigned random_next(unsigned *seed) {
    return (*seed = *seed * 1103515245u + 12345u) >> 16;
}

/* A random sequence of copies and kernels leaves in memory what the same sequence, done one after the other, would. */
static void random_sequence(struct cuda_work *work, size_t n, unsigned seed, int steps) {
    struct model model = {.n = n};
    size_t bytes = n * sizeof(double);
    double *source = malloc(bytes);
    for (int i = 0; i < BUFFERS; i++) {
        model.expected[i] = malloc(bytes);
        for (size_t j = 0; j < n; j++) model.expected[i][j] = (double)j + i;
        model.buffer[i] = cuda_upload(work, model.expected[i], bytes, &failure);
        WORKS(model.buffer[i]);
    }
    for (int step = 0; step < steps && model.n_seen < DOWNLOADS; step++) {
        unsigned a = random_next(&seed) % BUFFERS, b = random_next(&seed) % BUFFERS;
        double value = random_next(&seed) % 100;
        switch (random_next(&seed) % 7) {
        case 0: /* overwritten from the host */
            for (size_t j = 0; j < n; j++) model.expected[a][j] = source[j] = value - (double)j;
            WORKS(cuda_copy_to_device(work, model.buffer[a]->address, source, bytes, &failure));
            memset(source, 0, bytes);
            break;
        case 1:
        case 2:
        case 3:
            WORKS(fixture_add(work, model.buffer[a]->address, model.buffer[b]->address, value, (int64_t)n));
            for (size_t j = 0; j < n; j++) model.expected[a][j] = model.expected[b][j] + value;
            break;
        case 4:
            WORKS(cuda_copy_on_device(work, model.buffer[a]->address, model.buffer[b]->address, bytes / 2, &failure));
            memmove(model.expected[a], model.expected[b], bytes / 2);
            break;
        case 5: {
            int k = model.n_seen++;
            model.seen[k] = malloc(bytes);
            model.wanted[k] = malloc(bytes);
            memcpy(model.wanted[k], model.expected[a], bytes);
            WORKS(cuda_copy_to_host(work, model.seen[k], model.buffer[a]->address, bytes, &failure));
            break;
        }
        case 6: /* replaced: freed while kernels still use it */
            cuda_release(model.buffer[a]);
            for (size_t j = 0; j < n; j++) model.expected[a][j] = value;
            model.buffer[a] = cuda_upload(work, model.expected[a], bytes, &failure);
            WORKS(model.buffer[a]);
            break;
        }
        if (random_next(&seed) % 32 == 0) WORKS(cuda_wait(work, NULL, &failure));
    }
    WORKS(cuda_wait(work, NULL, &failure));
    for (int k = 0; k < model.n_seen; k++) {
        if (memcmp(model.seen[k], model.wanted[k], bytes) != 0)
            fail_msg("download %d of %zu elements, seed %u", k, n, seed);
        free(model.seen[k]), free(model.wanted[k]);
    }
    for (int i = 0; i < BUFFERS; i++) {
        cuda_release(model.buffer[i]);
        free(model.expected[i]);
    }
    free(source);
}

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
    FAILS(cuda_work_begin(device, CU_STREAM_PER_THREAD, &failure), CUDA_FAILED, "per-thread");
    CUcontext context;
    CUstream stream;
    assert_int_equal(host.cuDevicePrimaryCtxRetain(&context, 1), 0);
    assert_int_equal(host.cuCtxPushCurrent(context), 0);
    assert_int_equal(host.cuStreamCreate(&stream, 0), 0);
    FAILS(cuda_work_begin(device, stream, &failure), CUDA_FAILED, "does not belong to the primary context of cuda:0");
    assert_int_equal(host.cuStreamDestroy(stream), 0);
    assert_int_equal(host.cuCtxPopCurrent(&context), 0);
    assert_int_equal(host.cuDevicePrimaryCtxRelease(1), 0);
    cuda_work_end(fixture_begin(device, NULL));
    cuda_work_end(NULL);
    cuda_device_close(device);
}

/* --- launches ----------------------------------------------------------------------------------------------------- */

static void check_everything(struct cuda_work *work, const struct ptx_kernel *kernel, double order) {
    double out[5] = {0};
    struct cuda_buffer *buffer = cuda_take(work, sizeof out, &failure);
    WORKS(fixture_launch(work, kernel, &grid_four, (uint64_t[8]){buffer->address, fixture_bits_f32(2.5f)}));
    WORKS(cuda_copy_to_host(work, out, buffer->address, sizeof out, &failure));
    WORKS(cuda_wait(work, NULL, &failure));
    const double wanted[5] = {25, order, 101, 100, 1};
    for (int i = 0; i < 5; i++)
        if (out[i] != wanted[i]) fail_msg("%s: out[%d] is %g, not %g", kernel->name, i, out[i], wanted[i]);
    cuda_release(buffer);
}

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
    FAILS(cuda_upload(work, &b, 8, &failure), CUDA_NO_MEMORY, "the limit");
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
    assert_int_equal(live.streams, 2); /* the one it is freed on, and the one for cancelling */
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
        struct cuda_buffer *a = cuda_upload(work, in, sizeof in, &why), *b = cuda_take(work, sizeof in, &why);
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

/* More works at once than are kept. */
static void test_many_works(void **state) {
    enum { MANY = 12 };
    struct cuda_work *works[MANY];
    (void)state;
    struct cuda_device *device = fixture_open(0);
    for (int i = 0; i < MANY; i++) {
        works[i] = fixture_begin(device, NULL);
        check_everything(works[i], &everything_kernel, 0);
    }
    for (int i = 0; i < MANY; i++) cuda_work_end(works[i]);
    long made = FAKE(shim_calls)("cuStreamCreate");
    for (int i = 0; i < 8; i++) works[i] = fixture_begin(device, NULL);
    assert_int_equal(FAKE(shim_calls)("cuStreamCreate"), made);
    for (int i = 0; i < 8; i++) cuda_work_end(works[i]);
    cuda_device_close(device);
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

struct rows {
    int n, tags[200];
    double seconds[200], bytes[200];
};

static void add_row(void *argument, int tag, double seconds, double bytes) {
    struct rows *rows = argument;
    if (rows->n == 200) return;
    rows->tags[rows->n] = tag;
    rows->seconds[rows->n] = seconds;
    rows->bytes[rows->n++] = bytes;
}

static void test_profile(void **state) {
    (void)state;
    struct cuda_device *device = fixture_open(0);
    struct cuda_work *work = fixture_begin(device, NULL);
    char *data = calloc(1, 6 * MiB);
    for (int round = 0; round < 2; round++) {
        struct rows rows = {0};
        cuda_profile(work, true);
        struct cuda_buffer *a = cuda_upload(work, data, 6 * MiB, &failure), *b = cuda_upload(work, data, 800, &failure);
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
    if (!(a = cuda_upload(work, in, sizeof in, &failure))) goto done;
    if (!(b = cuda_take(work, sizeof large, &failure))) goto done;
    if (!(c = cuda_upload(work, large, sizeof large, &failure))) goto done;
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
        FAILS(cuda_upload(work, out, 100, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_copy_to_device(work, a->address, large, 6 * MiB, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_copy_to_host(work, large, a->address, 6 * MiB, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_copy_on_device(work, a->address, a->address, 8, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_launch(work, module, &add_kernel, &grid_one, (uint64_t[4]){0}, NULL, &failure), CUDA_LOST,
              "was lost");
        FAILS(cuda_module_get(device, &fault_kernel, false, NULL, &failure), CUDA_LOST, "was lost");
        FAILS(cuda_work_begin(device, NULL, &failure), CUDA_LOST, "was lost");
        assert_int_equal(cuda_pointer_device(device, a->address), -1);
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

static void test_fork(void **state) {
    (void)state;
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

/* --- */

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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
#define DRIVER_TEST(name) cmocka_unit_test_setup_teardown(name, open_fake, close_fake)
        cmocka_unit_test(test_parse_device),
        cmocka_unit_test(test_no_libraries),
        DRIVER_TEST(test_open),
        DRIVER_TEST(test_open_several),
        DRIVER_TEST(test_unavailable),
        DRIVER_TEST(test_describe),
        DRIVER_TEST(test_copies),
        DRIVER_TEST(test_pinned),
        DRIVER_TEST(test_many_small_copies),
        DRIVER_TEST(test_order),
        DRIVER_TEST(test_order_on_host_stream),
        DRIVER_TEST(test_wrong_streams),
        DRIVER_TEST(test_parameters),
        DRIVER_TEST(test_lean),
        DRIVER_TEST(test_fault),
        DRIVER_TEST(test_cancel),
        DRIVER_TEST(test_cancel_launches),
        DRIVER_TEST(test_cancel_too_late),
        DRIVER_TEST(test_memory),
        DRIVER_TEST(test_limit),
        DRIVER_TEST(test_buffers_outlive),
        DRIVER_TEST(test_release_elsewhere),
        DRIVER_TEST(test_modules),
        DRIVER_TEST(test_newer_device),
        DRIVER_TEST(test_threads),
        DRIVER_TEST(test_many_works),
        DRIVER_TEST(test_profile),
        DRIVER_TEST(test_inject_lost),
        DRIVER_TEST(test_inject_memory),
        DRIVER_TEST(test_inject_other),
        DRIVER_TEST(test_inject_host_memory),
        DRIVER_TEST(test_lost),
        DRIVER_TEST(test_destroyed),
        DRIVER_TEST(test_fatal_kernel),
        DRIVER_TEST(test_fork),
    };
    program = argv[0];
    if (argc > 1 && !strcmp(argv[1], "--describe")) return describe();
    if (!fixture_is_fake()) {
        fprintf(stderr, "skipped: needs the fake driver (LD_LIBRARY_PATH)\n");
        return 77;
    }
    if (argc > 1 && !strcmp(argv[1], "--destroyed")) return destroyed(argc > 2 ? atoi(argv[2]) : 0);
    strcpy(cache_folder, "/tmp/weft-driver-XXXXXX");
    if (!mkdtemp(cache_folder) || !driver_open(&host, &failure)) return 1;
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", cache_folder);
    if (system(command)) failed++;
    driver_close(&host);
    return failed;
}
