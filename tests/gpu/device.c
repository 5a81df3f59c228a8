/* device.c: see device.h. The driver's types are written out: cuda.h is not needed to build. */
#include "gpu/device.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct device_driver {
    int (*init)(unsigned), (*count)(int *), (*get)(int *, int);
    int (*retain)(void **, int), (*release)(int);
    int (*push)(void *), (*pop)(void **), (*current)(void **), (*set_current)(void *);
    int (*alloc)(uint64_t *, size_t), (*free)(uint64_t);
    int (*upload)(uint64_t, const void *, size_t), (*download)(void *, uint64_t, size_t);
    int (*stream_new)(void **, unsigned), (*stream_wait)(void *), (*stream_free)(void *);
};

static bool device_find(struct device *device) {
    const struct {
        const char *name;
        size_t place;
    } functions[] = {
#define FUNCTION(FIELD, NAME) {NAME, offsetof(struct device_driver, FIELD)}
        FUNCTION(init, "cuInit"),
        FUNCTION(count, "cuDeviceGetCount"),
        FUNCTION(get, "cuDeviceGet"),
        FUNCTION(retain, "cuDevicePrimaryCtxRetain"),
        FUNCTION(release, "cuDevicePrimaryCtxRelease_v2"),
        FUNCTION(push, "cuCtxPushCurrent_v2"),
        FUNCTION(pop, "cuCtxPopCurrent_v2"),
        FUNCTION(current, "cuCtxGetCurrent"),
        FUNCTION(set_current, "cuCtxSetCurrent"),
        FUNCTION(alloc, "cuMemAlloc_v2"),
        FUNCTION(free, "cuMemFree_v2"),
        FUNCTION(upload, "cuMemcpyHtoD_v2"),
        FUNCTION(download, "cuMemcpyDtoH_v2"),
        FUNCTION(stream_new, "cuStreamCreate"),
        FUNCTION(stream_wait, "cuStreamSynchronize"),
        FUNCTION(stream_free, "cuStreamDestroy_v2"),
#undef FUNCTION
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *address = dlsym(device->library, functions[i].name);
        if (!address) return false;
        *(void **)((char *)device->driver + functions[i].place) = address;
    }
    return true;
}

const char *device_open(struct device *device, int ordinal) {
    *device = (struct device){.ordinal = ordinal};
    if (!(device->library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL))) return "no libcuda.so.1";
    device->driver = calloc(1, sizeof *device->driver);
    if (!device->driver) abort();
    const char *why = NULL;
    int count = 0;
    if (!device_find(device))
        why = "libcuda.so.1 lacks a function";
    else if (device->driver->init(0) || device->driver->count(&count) || count == 0)
        why = "no device";
    else if (ordinal >= count)
        why = "no such device";
    else if (device->driver->get(&device->handle, ordinal) || device->driver->retain(&device->context, device->handle))
        why = "the device cannot be used";
    device->is_shim = dlsym(device->library, "shim_fail_at") != NULL;
    if (!why) return NULL;
    free(device->driver);
    device->driver = NULL;
    return why;
}

void device_close(struct device *device) {
    if (!device->driver) return;
    device->driver->release(device->handle);
    free(device->driver);
    device->driver = NULL;
    dlclose(device->library);
}

static void device_check(int result, const char *what) {
    if (result) fail_msg("%s: the driver says %d", what, result);
}

int device_count(const struct device *device) {
    int count = 0;
    device_check(device->driver->count(&count), "cuDeviceGetCount");
    return count;
}

static void device_enter(struct device *device) {
    device_check(device->driver->push(device->context), "cuCtxPushCurrent");
}

static void device_leave(struct device *device, int result, const char *what) {
    void *context;
    device->driver->pop(&context);
    device_check(result, what);
}

uint64_t device_alloc(struct device *device, size_t size) {
    uint64_t address = 0;
    if (size == 0) return 0;
    device_enter(device);
    device_leave(device, device->driver->alloc(&address, size), "cuMemAlloc");
    return address;
}

void device_free(struct device *device, uint64_t address) {
    if (!address) return;
    device_enter(device);
    device_leave(device, device->driver->free(address), "cuMemFree");
}

void device_upload(struct device *device, uint64_t to, const void *from, size_t size) {
    if (size == 0) return;
    device_enter(device);
    device_leave(device, device->driver->upload(to, from, size), "cuMemcpyHtoD");
}

void device_download(struct device *device, void *to, uint64_t from, size_t size) {
    if (size == 0) return;
    device_enter(device);
    device_leave(device, device->driver->download(to, from, size), "cuMemcpyDtoH");
}

void *device_stream_new(struct device *device) {
    enum { NON_BLOCKING = 1 };
    void *stream = NULL;
    device_enter(device);
    device_leave(device, device->driver->stream_new(&stream, NON_BLOCKING), "cuStreamCreate");
    return stream;
}

void device_stream_free(struct device *device, void *stream) {
    device_enter(device);
    device_leave(device, device->driver->stream_free(stream), "cuStreamDestroy");
}

void device_stream_wait(struct device *device, void *stream) {
    device_enter(device);
    device_leave(device, device->driver->stream_wait(stream), "cuStreamSynchronize");
}

void device_make_current(struct device *device, bool on) {
    device_check(device->driver->set_current(on ? device->context : NULL), "cuCtxSetCurrent");
}

void *device_current(struct device *device) {
    void *context = NULL;
    device_check(device->driver->current(&context), "cuCtxGetCurrent");
    return context;
}

DLTensor device_tensor(struct device *device, const DLTensor *host, const void *storage, size_t storage_bytes,
                       uint64_t *address) {
    DLTensor tensor = *host;
    *address = device_alloc(device, storage_bytes ? storage_bytes : 1);
    device_upload(device, *address, storage, storage_bytes);
    tensor.device = (DLDevice){kDLCUDA, device->ordinal};
    tensor.data = (void *)(uintptr_t)(*address + (uint64_t)((const char *)host->data - (const char *)storage));
    return tensor;
}

void *device_fetch(struct device *device, const DLTensor *tensor, DLTensor *host) {
    size_t size = tensor->dtype.bits / 8u;
    for (int d = 0; d < tensor->ndim; d++) size *= (size_t)tensor->shape[d];
    void *data = malloc(size + !size);
    if (!data) abort();
    device_download(device, data, (uint64_t)(uintptr_t)tensor->data + tensor->byte_offset, size);
    *host = *tensor;
    host->device = (DLDevice){kDLCPU, 0};
    host->data = data;
    host->byte_offset = 0;
    host->strides = NULL;
    return data;
}
