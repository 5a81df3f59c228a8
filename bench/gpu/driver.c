#include "driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef int result; /* CUresult: 0 is success */

/* CUDA's own names; _v2 is what its headers make of the plain ones. */
static struct {
    result (*init)(unsigned);
    result (*version)(int *);
    result (*device_count)(int *);
    result (*device_get)(int *, int);
    result (*device_name)(char *, int, int);
    result (*context_retain)(void **, int);
    result (*context_release)(int);
    result (*context_push)(void *);
    result (*context_pop)(void **);
    result (*alloc)(uint64_t *, size_t);
    result (*free)(uint64_t);
    result (*to_device)(uint64_t, const void *, size_t);
    result (*to_host)(void *, uint64_t, size_t);
    result (*copy)(uint64_t, uint64_t, size_t, void *);
    result (*stream_create)(void **, unsigned);
    result (*stream_destroy)(void *);
    result (*stream_wait)(void *);
    result (*event_create)(void **, unsigned);
    result (*event_record)(void *, void *);
    result (*event_wait)(void *);
    result (*event_time)(float *, void *, void *);
    result (*event_destroy)(void *);
    result (*error_string)(result, const char **);
} cu;

static const struct {
    const char *name;
    void *to;
} symbols[] = {
    {"cuInit", &cu.init},
    {"cuDriverGetVersion", &cu.version},
    {"cuDeviceGetCount", &cu.device_count},
    {"cuDeviceGet", &cu.device_get},
    {"cuDeviceGetName", &cu.device_name},
    {"cuDevicePrimaryCtxRetain", &cu.context_retain},
    {"cuDevicePrimaryCtxRelease_v2", &cu.context_release},
    {"cuCtxPushCurrent_v2", &cu.context_push},
    {"cuCtxPopCurrent_v2", &cu.context_pop},
    {"cuMemAlloc_v2", &cu.alloc},
    {"cuMemFree_v2", &cu.free},
    {"cuMemcpyHtoD_v2", &cu.to_device},
    {"cuMemcpyDtoH_v2", &cu.to_host},
    {"cuMemcpyDtoDAsync_v2", &cu.copy},
    {"cuStreamCreate", &cu.stream_create},
    {"cuStreamDestroy_v2", &cu.stream_destroy},
    {"cuStreamSynchronize", &cu.stream_wait},
    {"cuEventCreate", &cu.event_create},
    {"cuEventRecord", &cu.event_record},
    {"cuEventSynchronize", &cu.event_wait},
    {"cuEventElapsedTime", &cu.event_time},
    {"cuEventDestroy_v2", &cu.event_destroy},
    {"cuGetErrorString", &cu.error_string},
};

static void *library, *stream, *event[2];
static int device, version;
static char name[128];

static void check(result error, const char *what) {
    if (!error) return;
    const char *text = NULL;
    cu.error_string(error, &text);
    fprintf(stderr, "%s: %s (error %d)\n", what, text ? text : "unknown", error);
    exit(1);
}

bool driver_open(void) {
    int count = 0;
    void *context;
    if (!(library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL))) {
        fprintf(stderr, "no GPU: %s\n", dlerror());
        return false;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!(*(void **)symbols[i].to = dlsym(library, symbols[i].name))) {
            fprintf(stderr, "no GPU: libcuda.so.1 has no %s\n", symbols[i].name);
            return false;
        }
    result error = cu.init(0);
    if (!error) error = cu.device_count(&count);
    if (error || count == 0) {
        if (error)
            fprintf(stderr, "no GPU: the driver does not start (error %d)\n", error);
        else
            fprintf(stderr, "no GPU: the driver finds no devices\n");
        return false;
    }
    check(cu.version(&version), "cuDriverGetVersion");
    check(cu.device_get(&device, 0), "cuDeviceGet");
    check(cu.device_name(name, (int)sizeof name, device), "cuDeviceGetName");
    check(cu.context_retain(&context, device), "cuDevicePrimaryCtxRetain");
    check(cu.context_push(context), "cuCtxPushCurrent");
    check(cu.stream_create(&stream, 1), "cuStreamCreate"); /* 1: does not wait for the default stream */
    for (int i = 0; i < 2; i++) check(cu.event_create(&event[i], 0), "cuEventCreate");
    return true;
}

void driver_close(void) {
    for (int i = 0; i < 2; i++) check(cu.event_destroy(event[i]), "cuEventDestroy");
    check(cu.stream_destroy(stream), "cuStreamDestroy");
    void *context;
    check(cu.context_pop(&context), "cuCtxPopCurrent");
    check(cu.context_release(device), "cuDevicePrimaryCtxRelease");
    dlclose(library);
}

const char *driver_device_name(void) {
    return name;
}

int driver_version(void) {
    return version;
}

uint64_t driver_alloc(size_t bytes) {
    uint64_t address = 0;
    check(cu.alloc(&address, bytes), "cuMemAlloc");
    return address;
}

void driver_free(uint64_t address) {
    if (address) check(cu.free(address), "cuMemFree");
}

void driver_to_device(uint64_t to, const void *from, size_t bytes) {
    check(cu.to_device(to, from, bytes), "cuMemcpyHtoD");
    check(cu.stream_wait(NULL), "cuStreamSynchronize"); /* from pageable memory it may return early */
}

void driver_to_host(void *to, uint64_t from, size_t bytes) {
    check(cu.to_host(to, from, bytes), "cuMemcpyDtoH");
}

void driver_copy(uint64_t to, uint64_t from, size_t bytes) {
    check(cu.copy(to, from, bytes, stream), "cuMemcpyDtoDAsync");
}

void driver_wait(void) {
    check(cu.stream_wait(stream), "cuStreamSynchronize");
}

void *driver_stream(void) {
    return stream;
}

void driver_start(void) {
    check(cu.event_record(event[0], stream), "cuEventRecord");
}

double driver_stop(void) {
    float milliseconds = 0;
    check(cu.event_record(event[1], stream), "cuEventRecord");
    check(cu.event_wait(event[1]), "cuEventSynchronize");
    check(cu.event_time(&milliseconds, event[0], event[1]), "cuEventElapsedTime");
    return 1e-3 * (double)milliseconds;
}
