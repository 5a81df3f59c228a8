/* device.h: device memory and streams for tests, through the driver's own functions: what a host with arrays on a GPU
 * has.
 *
 * The driver is opened as Weft opens it (libcuda.so.1), so with LD_LIBRARY_PATH set it is the fake one of
 * tests/gpu/shim. Everything fails the running test when the driver refuses. The current context of the thread is left
 * as it was.
 */
#ifndef TESTS_GPU_DEVICE_H
#define TESTS_GPU_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dlpack/dlpack.h>

struct device_driver;

struct device {
    void *library; /* for dlsym: the fake driver's controls */
    struct device_driver *driver;
    int ordinal, handle;
    void *context; /* the primary one */
    bool is_shim;
};

/* NULL: opened. Otherwise why not: "no libcuda.so.1", "no device". */
const char *device_open(struct device *device, int ordinal);
void device_close(struct device *device);
int device_count(const struct device *device);

/* 0 for a size of 0. Aligned to 256 bytes. */
uint64_t device_alloc(struct device *device, size_t size);
void device_free(struct device *device, uint64_t address);
void device_upload(struct device *device, uint64_t to, const void *from, size_t size);
void device_download(struct device *device, void *to, uint64_t from, size_t size);

void *device_stream_new(struct device *device);
void device_stream_free(struct device *device, void *stream);
void device_stream_wait(struct device *device, void *stream);

/* Makes the primary context current to this thread or none, and tells which is: the calls must not change it. */
void device_make_current(struct device *device, bool on);
void *device_current(struct device *device);

/* The tensor as it would be in device memory: its storage (from the lowest to the highest element) is copied there.
 * Free it with device_free(device, *storage). `shape` and `strides` are shared with `host`. */
DLTensor device_tensor(struct device *device, const DLTensor *host, const void *storage, size_t storage_bytes,
                       uint64_t *address);
/* A copy of a device tensor in C order, in host memory, as big as its elements (at least 1 byte); free() it. */
void *device_fetch(struct device *device, const DLTensor *tensor, DLTensor *host);

#endif
