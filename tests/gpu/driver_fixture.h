/* driver_fixture.h: what the tests of runtime/cuda share: the fake driver and its controls, kernels written by hand,
 * and the frame of a program. They need the fake libcuda.so.1 and NVRTC of tests/gpu/shim in LD_LIBRARY_PATH. */
#ifndef TESTS_GPU_DRIVER_FIXTURE_H
#define TESTS_GPU_DRIVER_FIXTURE_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu/shim/control.h"
#include "runtime/cuda/driver.h"
#include "support/check.h"
#include "support/failing.h"

/* A control of the fake driver. */
#define FAKE(name) ((__typeof__(name) *)fixture_control(#name))
static inline void *fixture_control(const char *name) {
    static void *library;
    if (!library) library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    void *address = library ? dlsym(library, name) : NULL;
    if (!address) fail_msg("the fake driver has no %s", name);
    return address;
}

/* Whether there is the fake driver. */
static inline bool fixture_is_fake(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return library && dlsym(library, "shim_reset");
}

extern struct failing failing;
extern struct mem memory;
extern struct cuda_failure failure;
extern struct driver host;    /* what the host program does with the driver itself */
extern const char *program;   /* argv[0] */
extern char cache_folder[64]; /* where kernels stay for the whole program: the compiler behind the fake one is slow */
static const size_t MiB = 1 << 20;

/* The whole of a program's main. `first` runs before anything is set up: a status to exit with, or -1 to go on; NULL.
 */
int fixture_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests,
                 int (*first)(int argc, char **argv));
#define FIXTURE_MAIN(argc, argv, tests, first) fixture_main(argc, argv, tests, sizeof(tests) / sizeof *(tests), first)
/* A test on the fake device, after which nothing may be left on it. */
#define DRIVER_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_reset, fixture_check)
int fixture_reset(void **state);
int fixture_check(void **state);

/* The primary context in the hands of the host, for its own memory and streams. */
void host_enter(void);
void host_leave(void);

static inline struct cuda_device *fixture_try_open(size_t limit) {
    struct cuda_options options = {.mem = &memory, .cache_folder = cache_folder, .memory_limit = limit};
    return cuda_device_open(&options, &failure);
}

static inline struct cuda_device *fixture_open(size_t limit) {
    struct cuda_device *device = fixture_try_open(limit);
    if (!device) fail_msg("%s", failure.text);
    return device;
}

static inline struct cuda_work *fixture_begin(struct cuda_device *device, void *stream) {
    struct cuda_work *work = cuda_work_begin(device, stream, &failure);
    if (!work) fail_msg("%s", failure.text);
    return work;
}

#define WORKS(call)                                                                                                    \
    do {                                                                                                               \
        if (!(call)) fail_msg("%s: %s", #call, failure.text);                                                          \
    } while (0)
/* The call fails with the status, and the text has the word. */
#define FAILS(call, wanted, word)                                                                                      \
    do {                                                                                                               \
        failure = (struct cuda_failure){0};                                                                            \
        if (call) fail_msg("%s did not fail", #call);                                                                  \
        if (failure.status != (wanted) || !strstr(failure.text, word))                                                 \
            fail_msg("%s: status %d, \"%s\"", #call, (int)failure.status, failure.text);                               \
    } while (0)

/* --- kernels ------------------------------------------------------------------------------------------------------ */

#define WATCH_TEXT                                                                                                     \
    "struct watch { int cancel, lock; long long order, position, index, size; int site, operand, dim, unused; };\n"

static struct ptx_parameter add_parameters[] = {
    {PTX_PARAM_DATA, 0, 0, 0}, {PTX_PARAM_DATA, 1, 0, 0}, {PTX_PARAM_VALUE, 2, 0, 0}, {PTX_PARAM_EXTENT, 0, 0, 0}};
/* out[i] = in[i] + value */
static const struct ptx_kernel add_kernel = {
    .name = "add",
    .source = "extern \"C\" __global__ void add(double *out, const double *in, double value, long long n) {\n"
              "    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long "
              "long)gridDim.x * blockDim.x)\n"
              "        out[i] = in[i] + value;\n"
              "}\n",
    .n_parameters = 4,
    .parameters = add_parameters,
    .threads = 32,
};

static struct ptx_parameter everything_parameters[] = {{PTX_PARAM_DATA, 0, 0, 0},     {PTX_PARAM_VALUE, 1, 0, 0},
                                                       {PTX_PARAM_WATCH, 0, 0, 0},    {PTX_PARAM_ORDER, 0, 0, 0},
                                                       {PTX_PARAM_GRID, 1, 0, 0},     {PTX_PARAM_GRID, 0, 0, 0},
                                                       {PTX_PARAM_PARTIALS, 0, 0, 0}, {PTX_PARAM_COUNTERS, 0, 0, 0}};
#define EVERYTHING_BODY                                                                                                \
    "    int last = 0;\n"                                                                                              \
    "    if (threadIdx.x == 0) {\n"                                                                                    \
    "        partials[blockIdx.x] = value * (blockIdx.x + 1);\n"                                                       \
    "        __threadfence();\n"                                                                                       \
    "        last = atomicAdd(&counters[3], 1u) == gridDim.x - 1;\n"                                                   \
    "    }\n"                                                                                                          \
    "    if (!last) return;\n"                                                                                         \
    "    counters[3] = 0;\n"                                                                                           \
    "    float sum = 0;\n"                                                                                             \
    "    for (unsigned i = 0; i < gridDim.x; i++) sum += partials[i];\n"                                               \
    "    out[0] = sum;\n"                                                                                              \
    "    out[1] = (double)order;\n"                                                                                    \
    "    out[2] = (double)one;\n"                                                                                      \
    "    out[3] = (double)zero;\n"                                                                                     \
    "    out[4] = watch->cancel == 0 && watch->lock == 0 && watch->order == 0x7fffffffffffffffLL && watch->index == "  \
    "0;\n"
/* A sum over blocks through partial results, by the last block to come; and what else a kernel is told. */
static const struct ptx_kernel everything_kernel = {
    .name = "everything",
    .source = WATCH_TEXT
    "extern \"C\" __global__ void everything(double *out, float value, struct watch *watch, long long order, long long "
    "one,\n"
    "                                      long long zero, float *partials, unsigned *counters) {\n" EVERYTHING_BODY
    "}\n",
    .n_parameters = 8,
    .parameters = everything_parameters,
    .threads = 32,
};
/* The same with parameters in memory. */
static const struct ptx_kernel indirect_kernel = {
    .name = "indirect",
    .source = WATCH_TEXT "extern \"C\" __global__ void indirect(const long long *values) {\n"
                         "    double *out = (double *)values[0];\n"
                         "    float value = *(const float *)&values[1];\n"
                         "    struct watch *watch = (struct watch *)values[2];\n"
                         "    long long order = values[3], one = values[4], zero = values[5];\n"
                         "    float *partials = (float *)values[6];\n"
                         "    unsigned *counters = (unsigned *)values[7];\n" EVERYTHING_BODY "}\n",
    .n_parameters = 8,
    .parameters = everything_parameters,
    .indirect = true,
    .threads = 32,
};

static struct ptx_parameter fault_parameters[] = {
    {PTX_PARAM_WATCH, 0, 0, 0}, {PTX_PARAM_ORDER, 0, 0, 0}, {PTX_PARAM_VALUE, 0, 0, 0}, {PTX_PARAM_COUNTERS, 0, 0, 0}};
/* Fails at `position`, if that is not negative, and leaves a counter behind. */
static const struct ptx_kernel fault_kernel = {
    .name = "fault",
    .source = WATCH_TEXT
    "extern \"C\" __global__ void fault(struct watch *watch, long long order, long long position, unsigned *counters) "
    "{\n"
    "    if (blockIdx.x || threadIdx.x || position < 0) return;\n"
    "    if (order > watch->order || (order == watch->order && position >= watch->position)) return;\n"
    "    watch->order = order; watch->position = position; watch->index = 17; watch->size = 5; watch->site = 3;\n"
    "    counters[3] = 9;\n"
    "}\n",
    .n_parameters = 4,
    .parameters = fault_parameters,
    .can_fail = true,
    .threads = 32,
};

static struct ptx_parameter endless_parameters[] = {
    {PTX_PARAM_WATCH, 0, 0, 0}, {PTX_PARAM_COUNTERS, 0, 0, 0}, {PTX_PARAM_VALUE, 0, 0, 0}};
/* Ends when it is cancelled, or after so many rounds if that is not 0. */
static const struct ptx_kernel endless_kernel = {
    .name = "endless",
    .source =
        WATCH_TEXT "extern \"C\" __global__ void endless(struct watch *watch, unsigned *counters, long long rounds) {\n"
                   "    counters[3] = 1;\n"
                   "    while (!*(volatile int *)&watch->cancel && --rounds != 0) __nanosleep(1000);\n"
                   "}\n",
    .n_parameters = 3,
    .parameters = endless_parameters,
    .polls = true,
    .threads = 32,
};

static struct ptx_parameter deadly_parameters[] = {{PTX_PARAM_DATA, 0, 0, 0}};
static const struct ptx_kernel deadly_kernel = {
    .name = "deadly",
    .source =
        "extern \"C\" __global__ void deadly(double *out) {\n    if (threadIdx.x == 5) __trap();\n    out[0] = 1;\n}\n",
    .n_parameters = 1,
    .parameters = deadly_parameters,
    .threads = 32,
};

static const struct ptx_grid grid_one = {.grid = {1, 1, 1}, .block = {32, 1, 1}};
static const struct ptx_grid grid_four = {
    .grid = {4, 1, 1}, .block = {32, 1, 1}, .value = {100, 101}, .partial_bytes = 4 * 4, .n_counters = 4};

static inline uint64_t fixture_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

static inline uint64_t fixture_bits_f32(float value) {
    uint64_t bits = 0xdeadbeef00000000u; /* what is above the value must not matter */
    memcpy(&bits, &value, 4);
    return bits;
}

static inline bool fixture_launch(struct cuda_work *work, const struct ptx_kernel *kernel, const struct ptx_grid *grid,
                                  uint64_t *values) {
    struct cuda_module *module = cuda_module_get(cuda_work_device(work), kernel, false, NULL, &failure);
    return module && cuda_launch(work, module, kernel, grid, values, NULL, &failure);
}

static inline bool fixture_add(struct cuda_work *work, uint64_t out, uint64_t in, double value, int64_t n) {
    return fixture_launch(work, &add_kernel, &grid_one, (uint64_t[]){out, in, fixture_bits(value), (uint64_t)n});
}

static inline double fixture_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A launch of a kernel that says what it was told; the wanted number of the launch. */
void check_everything(struct cuda_work *work, const struct ptx_kernel *kernel, double order);
/* A random sequence of copies and kernels leaves in memory what the same sequence, done one after the other, would. */
void random_sequence(struct cuda_work *work, size_t n, unsigned seed, int steps);

/* What cuda_profile_read tells. */
struct rows {
    int n, tags[200];
    double seconds[200], bytes[200];
};
void add_row(void *rows, int tag, double seconds, double bytes);

#endif
