/* internal.h: what the files of this room share.
 *
 * Order on the device. Kernels and small copies go on the work's main stream. Large copies to the device go on `copy`,
 * and the main stream is made to wait for each of them by an event as soon as it is put there, so that everything on
 * the main stream comes after every copy to the device that was asked for earlier. Large copies to the host go on
 * `back`, after which the main stream comes at copy_join. Memory is taken on the main stream, or by cuda_upload on
 * `copy`, and freed on the main stream. A copy into memory that may be in use waits for the main stream first; one into
 * memory that cuda_upload took does not, and overlaps kernels.
 *
 * Contexts. A function that calls the driver is bracketed by device_enter and device_leave, which push and pop the
 * primary context.
 *
 * Loss and fork(). Once an error says that the context died, `lost` is set, and in a child of fork() the page `family`
 * reads 0, or `forks` has changed: from then on device_enter refuses, nothing waits for a lock, and handles are
 * forgotten rather than given back (they died with the context; giving them back would touch what is not there). Only
 * the retained primary context is released, by the process that retained it.
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
    MODULES_IDLE = 256, /* kept loaded for whoever compiles the same program again */
    /* Launches on the way at once while there is a cancel flag. The driver's queue holds about a thousand; once it is
     * full cuLaunchKernel waits, and a thread that waits there does not see the flag. */
    QUEUED_MOST = 512,
    /* Kept for the next calls; what is more is destroyed when it is given back. A work is little by itself, a ring of
     * staging memory is 8 MiB of pinned memory, and partial results may be large. */
    IDLE_MOST = 128,
    STAGING_MOST = 8,
    WATCHES = 16,
    WATCH_STEP = 256,
    MINIMUM_ARCH = 75,
};

struct cuda_device {
    struct driver driver;
    struct mem heap; /* the host's functions, with a count of our own: buffers may outlive the host's struct */
    _Atomic uint32_t references; /* the owner's and one for each cuda_stream */
    volatile uint32_t *family;   /* in a page that fork() wipes: 1 in the process that opened the device */
    uint32_t forks;              /* of the process then: for systems that do not wipe */
    int ordinal, arch;
    CUdevice handle;
    char name[128];
    struct ptx_limits limits;
    int shared_per_block; /* bytes that a thread block may have, static and dynamic */
    size_t total_memory, memory_limit;
    _Atomic size_t held; /* bytes of device memory handed out: buffers, partial results, large parameter lists */
    CUcontext context;
    CUmemoryPool pool;
    void (*copy)(int threads, void *to, const void *from, size_t size); /* between pageable memory and staging */
    /* For telling kernels to stop: nothing that waits is ever put on it. Streams of one priority share the hardware's
     * queues, where it could come behind a copy that waits for the very kernel; so it has one of its own. */
    CUstream control;
    /* A blocking stream on which memory is freed that was taken on a host's stream which may be gone. */
    CUstream afterwards;
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
    struct ring *staging; /* idle ones */
    int n_staging;
    struct watches *watches;
    struct cuda_module *modules[MODULE_BUCKETS];
    int idle_modules, most_idle_modules; /* modules that nobody uses: those kept, MODULES_IDLE but in tests */
    uint64_t idle_clock;
};

struct device_words {
    struct ptx_watch clean;
    int32_t one;
};

/* Watches and counters of several works, clean while no work has them: of what kernels write to, only a failure or a
 * cancelled call leaves anything behind, and then it is cleaned at once. */
struct watches {
    struct watches *next;
    uint32_t taken;    /* bit i: place i is a work's; under device->lock */
    CUdeviceptr block; /* watch i at i * WATCH_STEP */
    CUdeviceptr counters;
    char *fetched; /* pinned; place i at i * WATCH_STEP */
};

/* Where a work's memory is taken and freed: lives as long as something may be freed there. Counted. */
struct cuda_stream {
    _Atomic uint32_t references;
    struct cuda_device *device;
    CUstream own;         /* ours; NULL: the work had none but hosts' streams so far */
    pthread_mutex_t lock; /* guards what follows; held while something is freed on `host` */
    CUstream host;        /* the host's, while a work uses it; else NULL */
    uint32_t lending;     /* which use of a host's stream this is; not 0 */
};

/* Pinned memory in slots that are used in turn. Copies of one ring all go on one stream. */
struct ring {
    struct ring *next; /* idle */
    char *base;        /* NULL: not made yet */
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
    size_t size; /* 0: delivered */
    const struct ring *ring;
    int slot;
};

/* Events of a turn (turns.c). */
struct turn {
    CUevent computed; /* on main, behind the launch */
    CUevent drained;  /* on `back`, behind the copies of what it computed */
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
    CUstream main; /* the host's or stream->own */
    CUstream copy; /* NULL until there is a large copy to the device, as is `order` */
    CUstream back; /* NULL until there is a large copy to the host */
    CUevent order; /* for waits between the streams: recorded and waited for at once */
    CUevent end;   /* of all that was put on main: recorded by work_mark */
    const volatile int *cancel;
    int threads;       /* for device->copy */
    bool busy;         /* something was put on the streams since the last successful wait */
    bool marked;       /* `end` stands behind all of it, and the watch is on its way if it is wanted */
    bool watch_wanted; /* a kernel that can fail was launched */
    bool back_open;    /* something is on `back` that main does not come after */
    bool broken;       /* not to be used again */
    bool fault_found;
    struct ptx_watch fault;
    int64_t order_number;
    int n_queued; /* launches since the last successful wait */

    struct watches *page; /* where the next three are */
    int place;
    CUdeviceptr watch, counters;
    struct ptx_watch *fetched;       /* pinned */
    CUdeviceptr scratch, parameters; /* grow-only */
    size_t scratch_size, parameters_size;
    struct ring small;
    struct ring *up, *down;                 /* staging, from the first large copy to the end of the call; else NULL */
    struct turn turns[CUDA_TURNS];          /* NULL until cuda_turns_begin */
    struct delivery deliveries[DELIVERIES]; /* in the order of putting, from `first` on, around the end */
    int first_delivery, n_deliveries;

    bool profiling;
    int tag;
    struct profile_row *rows; /* [capacity]; their events are kept for the next time */
    int n_rows, rows_capacity, rows_made;
};

/* --- device.c ----------------------------------------------------------------------------------------------------- */

int64_t device_clock(void); /* nanoseconds */
/* How many times fork() made this process from the one that loaded the library, as far as is known. */
uint32_t device_forks(void);
/* In a child of fork(). */
static inline bool device_forked(const struct cuda_device *device) {
    return *device->family == 0 || device_forks() != device->forks;
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
/* Makes stream->own unless it is there. Inside device_enter. */
bool stream_furnish(struct cuda_stream *stream, struct cuda_failure *failure);
void stream_release(struct cuda_stream *stream);
/* Memory that belongs to no buffer; counted in device->held. Inside device_enter. */
bool memory_take(struct cuda_work *work, CUstream stream, size_t size, CUdeviceptr *address,
                 struct cuda_failure *failure);
void memory_give(struct cuda_device *device, CUstream stream, CUdeviceptr address, size_t size);
/* "12.5 GiB" */
const char *memory_text(double bytes, char *buffer, size_t size);

/* --- watch.c ------------------------------------------------------------------------------------------------------ */

/* Gives the work its watch and counters, which are clean. Inside device_enter. */
bool watch_take(struct cuda_work *work, struct cuda_failure *failure);
/* `clean`: they are as they were. Else nobody gets them any more. */
void watch_give(struct cuda_work *work, bool clean);
/* Inside device_enter, or with the device dead. */
void watch_free_all(struct cuda_device *device);

/* --- work.c ------------------------------------------------------------------------------------------------------- */

/* Gives back what the work holds; it is on no list. */
void work_destroy(struct cuda_work *work);
/* Something was put on the streams. */
static inline void work_touch(struct cuda_work *work) {
    work->busy = true;
    work->marked = false;
}
/* Waits for `event`, which is on one of the work's streams, cancellation included. Inside device_enter. */
bool work_wait_event(struct cuda_work *work, CUevent event, struct cuda_failure *failure);
/* Waits for all that was put. Inside device_enter. */
bool work_wait_all(struct cuda_work *work, struct cuda_failure *failure);

/* --- copy.c ------------------------------------------------------------------------------------------------------- */

/* Gives back what it is made of. Inside device_enter. */
void ring_free(struct cuda_device *device, struct ring *ring);
/* Everything on the ring's stream is done. */
void ring_reset(struct ring *ring);
/* Gives the work's staging to the device, for others; the work's streams are done. Not inside device_enter. */
void staging_give(struct cuda_work *work);
/* Destroys a ring made for staging, or, with the device dead, forgets it. NULL is ignored. */
void staging_destroy(struct cuda_device *device, struct ring *ring);
/* Copies to the device, at once as far as pageable memory is concerned; `staged`: also if `from` is pinned. Inside
 * device_enter. */
bool copy_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size, bool staged,
                    struct cuda_failure *failure);
/* The copy stream is there from now on. Inside device_enter. */
bool copy_prepare(struct cuda_work *work, struct cuda_failure *failure);
/* Copies into memory that nothing on the main stream uses yet: it waits for nothing there. Whatever it returns, the
 * main stream waits for what was put on the copy stream. After copy_prepare, inside device_enter. */
bool copy_beside(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size, bool staged,
                 struct cuda_failure *failure);
/* Delivers what has arrived, in order, waiting for closed slots only. */
bool copy_deliver_closed(struct cuda_work *work, struct cuda_failure *failure);
/* The stream is done: all has arrived. */
void copy_deliver_all(struct cuda_work *work);

/* `before` is done before what is put on `after` from now on. Inside device_enter. */
bool copy_order(struct cuda_work *work, CUstream before, CUstream after, struct cuda_failure *failure);
/* The `back` stream is there from now on. Inside device_enter. */
bool copy_prepare_back(struct cuda_work *work, struct cuda_failure *failure);
/* Copies to the host on `back`, which comes after what is needed. After copy_prepare_back, inside device_enter. */
bool copy_back(struct cuda_work *work, void *to, CUdeviceptr from, size_t size, struct cuda_failure *failure);
/* Main comes after all that is on `back`; if it returns false, too, unless the work is broken. Inside device_enter. */
bool copy_join(struct cuda_work *work, struct cuda_failure *failure);

/* --- turns.c ------------------------------------------------------------------------------------------------------ */

/* Inside device_enter. */
void turns_free(struct cuda_work *work);

/* --- module.c ----------------------------------------------------------------------------------------------------- */

void module_free_all(struct cuda_device *device);
CUfunction module_function(const struct cuda_module *module);

/* --- profile.c ---------------------------------------------------------------------------------------------------- */

/* The row of what is put on `stream` next; NULL: not profiling, or no memory for it. Inside device_enter. */
struct profile_row *profile_start(struct cuda_work *work, CUstream stream, int tag, double bytes);
void profile_end(struct cuda_work *work, CUstream stream, struct profile_row *row);
void profile_free(struct cuda_work *work);

#endif
