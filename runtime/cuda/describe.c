/* describe.c: what a person is told about the GPUs of this machine. */
#include <stdio.h>
#include <string.h>

#include "runtime/cuda/internal.h"

enum { DESCRIBED_MOST = 16 };

struct description {
    struct mem *mem;
    char driver[400];
    char devices[DESCRIBED_MOST][240];
    int n_devices, count;
    int driver_major; /* 0: there is none */
    char compiler[1000];
};

static void describe_device(struct description *description, struct driver *driver, int ordinal) {
    CUdevice device;
    CUresult result;
    char name[128] = "", memory[40], error[200];
    char *line = description->devices[description->n_devices++];
    int major = 0, minor = 0, multiprocessors = 0;
    size_t bytes = 0;
    if ((result = driver->cuDeviceGet(&device, ordinal)) != CUDA_SUCCESS ||
        (result = driver->cuDeviceGetName(name, sizeof name, device)) != CUDA_SUCCESS ||
        (result = driver->cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)) !=
            CUDA_SUCCESS ||
        (result = driver->cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)) !=
            CUDA_SUCCESS ||
        (result = driver->cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device)) !=
            CUDA_SUCCESS ||
        (result = driver->cuDeviceTotalMem(&bytes, device)) != CUDA_SUCCESS) {
        snprintf(line, sizeof description->devices[0], "cuda:%d: %s", ordinal,
                 driver_error_text(driver, result, error, sizeof error));
        return;
    }
    name[sizeof name - 1] = '\0';
    snprintf(line, sizeof description->devices[0], "cuda:%d: %s, sm_%d%d, %d multiprocessors, %s, driver %d.%d",
             ordinal, name, major, minor, multiprocessors, memory_text((double)bytes, memory, sizeof memory),
             driver->version / 1000, driver->version % 1000 / 10);
}

static void describe_driver(struct description *description) {
    struct driver driver;
    struct cuda_failure failure;
    char error[200];
    if (!driver_open(&driver, &failure)) {
        snprintf(description->driver, sizeof description->driver, "%.390s", failure.text);
        return;
    }
    snprintf(description->driver, sizeof description->driver, "CUDA %d.%d", driver.version / 1000,
             driver.version % 1000 / 10);
    description->driver_major = driver.version / 1000;
    CUresult result = driver.cuDeviceGetCount(&description->count);
    if (result != CUDA_SUCCESS)
        snprintf(description->driver, sizeof description->driver, "cuDeviceGetCount: %s",
                 driver_error_text(&driver, result, error, sizeof error));
    for (int i = 0; i < description->count && i < DESCRIBED_MOST; i++) describe_device(description, &driver, i);
    driver_close(&driver);
}

struct describing {
    struct description *description;
    struct arena arena;
    struct ptx_compiler *compiler;
};

static void describe_compiler(void *argument) {
    struct describing *describing = argument;
    struct description *description = describing->description;
    struct strbuf text;
    int major, minor;
    strbuf_init(&text, &describing->arena);
    describing->compiler = ptx_compiler_open(description->mem, description->driver_major, &text);
    if (describing->compiler) {
        ptx_compiler_version(describing->compiler, &major, &minor);
        strbuf_printf(&text, "NVRTC %d.%d for ", major, minor);
        ptx_compiler_archs(describing->compiler, &text);
        strbuf_printf(&text, ", from %s", ptx_compiler_path(describing->compiler));
    }
    snprintf(description->compiler, sizeof description->compiler, "%s",
             text.length ? strbuf_text(&text) : "no host memory left");
}

void cuda_describe(struct strbuf *out) {
    /* Nothing is open any more when text is added to `out`, which may leave by longjmp. */
    struct description description = {.mem = out->arena->mem};
    struct describing describing = {.description = &description};
    describe_driver(&description);
    arena_init(&describing.arena, description.mem);
    if (!arena_try(&describing.arena, describe_compiler, &describing))
        snprintf(description.compiler, sizeof description.compiler, "no host memory left");
    if (describing.compiler) ptx_compiler_close(describing.compiler);
    arena_free(&describing.arena);

    strbuf_printf(out, "driver: %s\n", description.driver);
    strbuf_printf(out, "compiler: %s\n", description.compiler);
    for (int i = 0; i < description.n_devices; i++) strbuf_printf(out, "%s\n", description.devices[i]);
    if (description.count > description.n_devices)
        strbuf_printf(out, "and %d more\n", description.count - description.n_devices);
}
