/* driver_fixture.c: see driver_fixture.h. */
#include "gpu/driver_fixture.h"

struct failing failing;
struct mem memory;
struct cuda_failure failure;
struct driver host;
const char *program;
char cache_folder[64];

int fixture_reset(void **state) {
    (void)state;
    FAKE(shim_reset)();
    failing_init(&failing, &memory);
    failure = (struct cuda_failure){0};
    return 0;
}

/* Nothing of a test is left, on the device or the host, and no context is current. */
int fixture_check(void **state) {
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

void host_enter(void) {
    CUcontext context;
    assert_int_equal(host.cuDevicePrimaryCtxRetain(&context, 0), 0);
    assert_int_equal(host.cuCtxPushCurrent(context), 0);
}
void host_leave(void) {
    CUcontext context;
    assert_int_equal(host.cuCtxPopCurrent(&context), 0);
    assert_int_equal(host.cuDevicePrimaryCtxRelease(0), 0);
}

/* --- work for the device ------------------------------------------------------------------------------------------ */

void check_everything(struct cuda_work *work, const struct ptx_kernel *kernel, double order) {
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
void random_sequence(struct cuda_work *work, size_t n, unsigned seed, int steps) {
    struct model model = {.n = n};
    size_t bytes = n * sizeof(double);
    double *source = malloc(bytes);
    for (int i = 0; i < BUFFERS; i++) {
        model.expected[i] = malloc(bytes);
        for (size_t j = 0; j < n; j++) model.expected[i][j] = (double)j + i;
        model.buffer[i] = cuda_upload(work, model.expected[i], bytes, false, &failure);
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
            model.buffer[a] = cuda_upload(work, model.expected[a], bytes, false, &failure);
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

void add_row(void *argument, int tag, double seconds, double bytes) {
    struct rows *rows = argument;
    if (rows->n == 200) return;
    rows->tags[rows->n] = tag;
    rows->seconds[rows->n] = seconds;
    rows->bytes[rows->n++] = bytes;
}

/* --- the program -------------------------------------------------------------------------------------------------- */

int fixture_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests,
                 int (*first)(int argc, char **argv)) {
    program = argv[0];
    int status = first ? first(argc, argv) : -1;
    if (status >= 0) return status;
    if (!fixture_is_fake()) {
        fprintf(stderr, "skipped: needs the fake driver (LD_LIBRARY_PATH)\n");
        return 77;
    }
    strcpy(cache_folder, "/tmp/weft-driver-XXXXXX");
    if (!mkdtemp(cache_folder) || !driver_open(&host, &failure)) return 1;
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    int failed = _cmocka_run_group_tests(argv[0], tests, n_tests, NULL, NULL);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", cache_folder);
    if (system(command)) failed++;
    driver_close(&host);
    return failed;
}
