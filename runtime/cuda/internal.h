/* internal.h: what the files of this room share.
 *
 * Order on the device. Kernels, memory and small copies go on the work's main stream; large copies to the device on its
 * copy stream, and the main stream is made to wait for each of them by an event as soon as it is put there, so that
 * everything on the main stream always comes after everything that was asked for earlier. A copy into memory that may
 * be in use waits for the main stream first; one into memory that cuda_upload took on the copy stream does not, and
 * overlaps kernels.
 *
 * Contexts. A function that calls the driver is bracketed by device_enter and device_leave, which push and pop the
 * primary context.
 *
 * Loss and fork(). Once an error says that the context died, `lost` is set, and in a child of fork() the page `family`
 * reads 0: from then on device_enter refuses, nothing waits for a lock, and handles are forgotten rather than given
 * back (they died with the context; giving them back would touch what is not there). Only the retained primary context
 * is released, by the process that retained it.
 */
#ifndef RUNTIME_CUDA_INTERNAL_H
#define RUNTIME_CUDA_INTERNAL_H

#include <pthread.h>

#include "runtime/cuda/disk_cache.h"
#include "runtime/cuda/driver.h"

enum {
    SLOTS = 4,
    SMALL_COPY = 64 << 10, /* up to here copies go through `small`, on the main stream */
    SMALL_SLOT = 64 << 10,
    LARGE_SLOT = 2 << 20,
    DELIVERIES = 64,
    MODULE_BUCKETS = 1024,
    /* Launches on the way at once while there is a cancel flag. The driver's queue holds about a thousand; once it is
     * full cuLaunchKernel waits, and a thread that waits there does not see the flag. */
    QUEUED_MOST = 512,
    IDLE_MOST = 8, /* works kept; more are destroyed when they are given back: each may have 16 MiB of pinned memory */
    MINIMUM_ARCH = 75,
};

struct cuda_device {
    struct driver driver;
    struct mem heap; /* the host's functions, with a count of our own: buffers may outlive the host's struct */
    _Atomic uint32_t references; /* the owner's and one for each cuda_stream */
    volatile uint32_t *family;   /* in a page that fork() wipes: 1 in the process that opened the device */
    int ordinal, arch;
    CUdevice handle;
    char name[128];
    struct ptx_limits limits;
    size_t total_memory, memory_limit;
    _Atomic size_t held; /* bytes of device memory handed out: buffers, partial results, large parameter lists */
    CUcontext context;
    CUmemoryPool pool;
    CUstream control;           /* for telling kernels to stop: nothing else is on it, so nothing is waited for */
    struct device_words *words; /* pinned constants */

    struct ptx_compiler *compiler;
    int nvrtc_major, nvrtc_minor;
    int compile_arch; /* arch; a smaller one where NVRTC does not know the device: then the driver compiles from PTX */
    struct disk_cache *cache; /* NULL: none */

    _Atomic bool lost;
    char lost_text[500]; /* written before `lost` is set, as is the next */
    bool handles_gone;   /* the context is not just of no use, but no more */

    pthread_mutex_t lock; /* guards what follows, and the writing of lost_text */
    struct cuda_work *idle;
    int n_idle;
    struct cuda_module *modules[MODULE_BUCKETS];
};

struct device_words {
    struct ptx_watch clean;
    int32_t one;
};

/* A stream of ours that lives as long as something may be freed on it. Counted. */
struct cuda_stream {
    _Atomic uint32_t references;
    struct cuda_device *device;
    CUstream own;
    pthread_mutex_t lock; /* guards `host`; held while something is freed there */
    CUstream host;        /* the host's, while a work uses it; else NULL */
};

/* Pinned memory in slots that are used in turn. Copies of one ring all go on one stream. */
struct ring {
    char *base; /* NULL: not made yet */
    size_t slot_size;
    CUstream stream;
    int current;
    size_t used;        /* of the current slot */
    CUevent end[SLOTS]; /* what was put in the slot has been done; of a closed slot */
    bool closed[SLOTS];
};

/* Bytes under way to pageable memory: in pinned memory once the slot's copies are done. */
struct delivery {
    void *to;
    const char *from;
    size_t size;
    const struct ring *ring;
    int slot;
};

struct profile_row {
    int tag;
    double bytes;
    CUevent start, end;
};

struct cuda_work {
    struct cuda_device *device;
    struct cuda_work *next; /* idle */
    struct cuda_stream *stream;
    CUstream main, copy; /* main: the host's or stream->own */
    CUevent order;       /* for waits between the streams: recorded and waited for at once */
    CUevent end;         /* of all that was put on main: recorded by work_mark */
    const volatile int *cancel;
    bool busy;         /* something was put on the streams since the last successful wait */
    bool marked;       /* `end` stands behind all of it, and the watch is on its way if it is wanted */
    bool watch_wanted; /* a kernel that can fail was launched */
    bool broken;       /* not to be used again */
    bool fault_found;
    struct ptx_watch fault;
    int64_t order_number;
    int n_queued; /* launches since the last successful wait */

    CUdeviceptr block; /* the watch, then the counters */
    CUdeviceptr watch, counters;
    CUdeviceptr scratch, parameters; /* grow-only */
    size_t scratch_size, parameters_size;
    struct ptx_watch *fetched; /* pinned */
    struct ring small, up, down;
    struct delivery deliveries[DELIVERIES]; /* in the order of the stream, from `first` on, around the end */
    int first_delivery, n_deliveries;

    bool profiling;
    int tag;
    struct profile_row *rows; /* [capacity]; their events are kept for the next time */
    int n_rows, rows_capacity, rows_made;
};

/* --- device.c ----------------------------------------------------------------------------------------------------- */

/* In a child of fork(). */
static inline bool device_forked(const struct cuda_device *device) {
    return *device->family == 0;
}
/* No handle of the device means anything any more. */
static inline bool device_dead(struct cuda_device *device) {
    return atomic_load_explicit(&device->lost, memory_order_acquire) || device_forked(device);
}
/* False with `failure` if the device is dead. */
bool device_alive(struct cuda_device *device, struct cuda_failure *failure);
/* Pushes the context. False with `failure`: then nothing was pushed. */
bool device_enter(struct cuda_device *device, struct cuda_failure *failure);
void device_leave(struct cuda_device *device);
/* True if result is success. Else fills in `failure` ("doing: call: error") and notes a loss. */
bool device_check(struct cuda_device *device, CUresult result, const char *call, const char *doing,
                  struct cuda_failure *failure);
#define DEVICE_CALL(device, doing, failure, call, ...)                                                                 \
    device_check((device), (device)->driver.call(__VA_ARGS__), #call, (doing), (failure))
void device_retain(struct cuda_device *device);
void device_release(struct cuda_device *device);
bool device_no_host_memory(struct cuda_failure *failure);

/* --- memory.c ----------------------------------------------------------------------------------------------------- */

struct cuda_stream *stream_create(struct cuda_device *device, struct cuda_failure *failure);
void stream_release(struct cuda_stream *stream);
/* Memory that belongs to no buffer; counted in device->held. Inside device_enter. */
bool memory_take(struct cuda_work *work, CUstream stream, size_t size, CUdeviceptr *address,
                 struct cuda_failure *failure);
void memory_give(struct cuda_device *device, CUstream stream, CUdeviceptr address, size_t size);
/* "12.5 GiB" */
const char *memory_text(double bytes, char *buffer, size_t size);

/* --- work.c ------------------------------------------------------------------------------------------------------- */

/* Gives back what the work holds; it is on no list. */
void work_destroy(struct cuda_work *work);
/* Something was put on the streams. */
static inline void work_touch(struct cuda_work *work) {
    work->busy = true;
    work->marked = false;
}
/* Sets watch and counters as they have to be before kernels, and waits for it. Inside device_enter. */
bool work_clean(struct cuda_work *work, struct cuda_failure *failure);
/* Waits for `event`, which is on one of the work's streams, cancellation included. Inside device_enter. */
bool work_wait_event(struct cuda_work *work, CUevent event, struct cuda_failure *failure);
/* Waits for all that was put. Inside device_enter. */
bool work_wait_all(struct cuda_work *work, struct cuda_failure *failure);

/* --- copy.c ------------------------------------------------------------------------------------------------------- */

/* Unless it is made already. Inside device_enter, as ring_free. */
bool ring_make(struct cuda_device *device, struct ring *ring, size_t slot_size, struct cuda_failure *failure);
void ring_free(struct cuda_device *device, struct ring *ring);
/* Everything on the ring's stream is done. */
void ring_reset(struct ring *ring);
/* Copies a little to the device through `small`, at once as far as `from` is concerned. Inside device_enter. */
bool copy_small_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size,
                          struct cuda_failure *failure);
/* The same for any size; inside device_enter. */
bool copy_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size,
                    struct cuda_failure *failure);
/* Copies into memory that nothing on the main stream uses yet: it waits for nothing there. Whatever it returns, the
 * main stream waits for what was put on the copy stream. Inside device_enter. */
bool copy_beside(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size, struct cuda_failure *failure);
/* Delivers what has arrived, in order, waiting for closed slots only. */
bool copy_deliver_closed(struct cuda_work *work, struct cuda_failure *failure);
/* The stream is done: all has arrived. */
void copy_deliver_all(struct cuda_work *work);

/* --- module.c ----------------------------------------------------------------------------------------------------- */

void module_free_all(struct cuda_device *device);
CUfunction module_function(const struct cuda_module *module);

/* --- profile.c ---------------------------------------------------------------------------------------------------- */

/* The row of what is put on `stream` next; NULL: not profiling, or no memory for it. Inside device_enter. */
struct profile_row *profile_start(struct cuda_work *work, CUstream stream, int tag, double bytes);
void profile_end(struct cuda_work *work, CUstream stream, struct profile_row *row);
void profile_free(struct cuda_work *work);

#endif
