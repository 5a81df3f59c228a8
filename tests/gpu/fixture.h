/* fixture.h: what the tests of calls on a GPU share: the device, contexts on it, checks.
 *
 * Every program here runs on a real GPU, or, with --fake, on the fake one of tests/gpu/shim, whose controls
 * (shim/control.h) are found in the fake libcuda.so.1. Without a GPU it exits with 77.
 */
#ifndef TESTS_GPU_FIXTURE_H
#define TESTS_GPU_FIXTURE_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft/jit.h>

#include "gpu/device.h"
#include "support/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOWNESS = 8 };
#else
enum { SLOWNESS = 1 };
#endif

static struct device device;

/* 0, or the exit status. The fake GPU becomes two. */
static inline int fixture_open(int argc, char **argv) {
    bool fake = argc > 1 && !strcmp(argv[1], "--fake");
    void *library = fake ? dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) : NULL;
    void (*set_devices)(int) = library ? (void (*)(int))dlsym(library, "shim_set_devices") : NULL;
    if (set_devices) set_devices(2);
    const char *why = device_open(&device, 0);
    if (why) {
        fprintf(stderr, "skipped: %s\n", why);
        return fake ? 1 : 77;
    }
    if (fake == device.is_shim) return 0;
    fprintf(stderr, fake ? "this is not the fake GPU: LD_LIBRARY_PATH?\n" : "skipped: this is the fake GPU\n");
    return fake ? 1 : 77;
}

/* A control of the fake driver. */
#define FAKE(name) ((__typeof__(name) *)fixture_control(#name))
static inline void *fixture_control(const char *name) {
    static void *library; /* held, also while no device is open */
    if (!library) library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    void *address = library ? dlsym(library, name) : NULL;
    if (!address) fail_msg("the fake driver has no %s", name);
    return address;
}

static inline double fixture_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A context; `where` NULL is the CPU. Kernels are not kept on disk. */
static inline jit_context *fixture_context(const char *where) {
    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options, .device = where, .cache_folder = ""};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) fail_msg("%s: %s", where ? where : "cpu", error.message);
    return context;
}

/* A test group's contexts, its setup and its teardown. */
static jit_context *cpu, *gpu;

static inline int fixture_setup(void **state) {
    (void)state;
    cpu = fixture_context(NULL);
    gpu = fixture_context("cuda:0");
    return 0;
}

static inline int fixture_teardown(void **state) {
    (void)state;
    jit_context_free(cpu);
    jit_context_free(gpu);
    return 0;
}

static inline jit_function *fixture_compile(jit_context *context, const char *source) {
    jit_error error = {0};
    jit_function *function = jit_compile(context, source, &error);
    if (!function) fail_msg("%s\n%s", source, error.message);
    return function;
}

/* An error is whole: a known status, the same as returned, and a message. */
static inline void fixture_error(jit_status status, const jit_error *error, const char *what) {
    if (status != error->code || status <= JIT_OK || status > JIT_DEVICE || !error->message[0] ||
        !memchr(error->message, 0, sizeof error->message))
        fail_msg("%s: status %d, error %d: %.300s", what, (int)status, (int)error->code, error->message);
}

static inline void fixture_expect(jit_status wanted, jit_status status, const jit_error *error, const char *what) {
    if (status == JIT_OK) fail_msg("%s: no error, expected %s", what, jit_status_name(wanted));
    fixture_error(status, error, what);
    if (status != wanted)
        fail_msg("%s: %s, expected %s: %s", what, jit_status_name(status), jit_status_name(wanted), error->message);
}

/* A tensor in host memory. */
static inline DLTensor fixture_view(const void *data, jit_dtype type, int rank, int64_t *shape, int64_t *strides) {
    return (DLTensor){.data = (void *)data,
                      .device = {kDLCPU, 0},
                      .ndim = rank,
                      .dtype = jit_inline_type((int)type),
                      .shape = shape,
                      .strides = strides};
}

/* A thread that sets a flag, an int, a little later. */
static inline void *fixture_set_soon(void *flag) {
    usleep(50000);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* An array of n f64 in device memory. */
struct array {
    uint64_t address;
    int64_t shape[1];
    DLTensor tensor;
};

static inline void array_new(struct array *array, const double *values, int64_t n) {
    array->address = device_alloc(&device, (size_t)n * sizeof *values);
    array->shape[0] = n;
    array->tensor = (DLTensor){.data = (void *)(uintptr_t)array->address,
                               .device = {kDLCUDA, device.ordinal},
                               .ndim = 1,
                               .dtype = jit_inline_type(JIT_F64),
                               .shape = array->shape};
    if (values) device_upload(&device, array->address, values, (size_t)n * sizeof *values);
}

static inline void array_get(const struct array *array, double *values) {
    device_download(&device, values, array->address, (size_t)array->shape[0] * sizeof *values);
}

static inline void array_free(struct array *array) {
    device_free(&device, array->address);
    array->address = 0;
}

#endif
