/* work.c: what one call uses: making it once, lending it out, waiting, telling kernels to stop. */
#include <stdio.h>
#include <time.h>

#include "runtime/cuda/internal.h"

enum {
    SPIN_NANOSECONDS = 50000, /* then the thread sleeps: waking it takes about that long */
    SHORTEST_NAP = 10000,
    LONGEST_NAP = 1000000,
    SCRATCH_KEPT = 64 << 10,
};

/* --- making and destroying ---------------------------------------------------------------------------------------- */

/* What is not done on the work's streams is let go on: only a broken work has such. */
void work_destroy(struct cuda_work *work) {
    struct cuda_device *device = work->device;
    if (!device_dead(device) && device_enter(device, NULL)) {
        const struct driver *driver = &device->driver;
        CUstream last = work->stream && work->stream->own ? work->stream->own : device->afterwards;
        profile_free(work);
        ring_free(device, &work->small);
        if (work->scratch) memory_give(device, last, work->scratch, work->scratch_size);
        if (work->parameters) memory_give(device, last, work->parameters, work->parameters_size);
        if (work->order) driver->cuEventDestroy(work->order);
        if (work->end) driver->cuEventDestroy(work->end);
        if (work->copy) driver->cuStreamDestroy(work->copy);
        if (work->back) driver->cuStreamDestroy(work->back);
        turns_free(work);
        device_leave(device);
    } else {
        atomic_fetch_sub(&device->held, work->scratch_size + work->parameters_size);
    }
    staging_destroy(device, work->up);
    staging_destroy(device, work->down);
    watch_give(work, !work->broken);
    mem_free(&device->heap, work->rows, (size_t)work->rows_capacity * sizeof *work->rows);
    if (work->stream) stream_release(work->stream);
    mem_free(&device->heap, work, sizeof *work);
}

/* Sets watch and counters as they have to be before kernels, and waits for it. Inside device_enter. */
static bool work_clean(struct cuda_work *work, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    const char *doing = "preparing kernels";
    bool done =
        DEVICE_CALL(device, doing, failure, cuMemcpyHtoDAsync, work->watch, &device->words->clean,
                    sizeof device->words->clean, work->main) &&
        DEVICE_CALL(device, doing, failure, cuMemsetD8Async, work->counters, 0, 4 * PTX_MAX_COUNTERS, work->main) &&
        DEVICE_CALL(device, doing, failure, cuEventRecord, work->end, work->main) &&
        DEVICE_CALL(device, doing, failure, cuEventSynchronize, work->end);
    if (!done) work->broken = true;
    return done;
}

/* Only what every call needs; the rest is made when a call first needs it, as its stream. Inside the context. */
static bool work_furnish(struct cuda_work *work, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    work->stream = stream_create(device, failure);
    if (!work->stream) return false;
    if (!DEVICE_CALL(device, "preparing a call", failure, cuEventCreate, &work->end,
                     CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)) {
        work->end = NULL;
        return false;
    }
    return watch_take(work, failure);
}

static struct cuda_work *work_create(struct cuda_device *device, struct cuda_failure *failure) {
    struct cuda_work *work = mem_zalloc(&device->heap, 1, sizeof *work);
    if (!work) {
        device_no_host_memory(failure);
        return NULL;
    }
    work->device = device;
    bool made = false;
    if (device_enter(device, failure)) {
        made = work_furnish(work, failure);
        device_leave(device);
    }
    if (made) return work;
    work_destroy(work);
    return NULL;
}

/* --- lending out -------------------------------------------------------------------------------------------------- */

/* What the driver says of a stream of the host's does not tell that the device is lost: a later call of ours would. */
static bool refuse_stream(struct cuda_device *device, const char *call, CUresult result, struct cuda_failure *failure) {
    char error[240];
    return cuda_fail(failure, CUDA_ARGUMENT, "the given stream cannot be used: %s: %s", call,
                     driver_error_text(&device->driver, result, error, sizeof error));
}

/* That everything may be put on the host's stream. Inside the context. */
static bool check_stream(struct cuda_device *device, CUstream stream, struct cuda_failure *failure) {
    CUcontext context = NULL;
    int capturing = CU_STREAM_CAPTURE_STATUS_NONE;
    if (stream == CU_STREAM_PER_THREAD)
        return cuda_fail(
            failure, CUDA_ARGUMENT,
            "the per-thread default stream (CU_STREAM_PER_THREAD) is another one in each thread: pass a stream "
            "of your own");
    CUresult result = device->driver.cuStreamGetCtx(stream, &context);
    if (result != CUDA_SUCCESS) return refuse_stream(device, "cuStreamGetCtx", result, failure);
    if (context != device->context)
        return cuda_fail(failure, CUDA_ARGUMENT, "the given stream does not belong to the primary context of cuda:%d",
                         device->ordinal);
    result = device->driver.cuStreamIsCapturing(stream, &capturing);
    if (result != CUDA_SUCCESS) return refuse_stream(device, "cuStreamIsCapturing", result, failure);
    if (capturing != CU_STREAM_CAPTURE_STATUS_NONE)
        return cuda_fail(failure, CUDA_ARGUMENT,
                         "the given stream is being captured into a graph: calls cannot be captured");
    return true;
}

/* Of many idle works only some keep much of the device's memory. */
static void work_slim(struct cuda_work *work) {
    struct cuda_device *device = work->device;
    if (work->scratch_size <= SCRATCH_KEPT) return;
    pthread_mutex_lock(&device->lock);
    bool many = device->n_idle >= STAGING_MOST;
    pthread_mutex_unlock(&device->lock);
    if (!many || !device_enter(device, NULL)) return;
    memory_give(device, work->stream->own ? work->stream->own : device->afterwards, work->scratch, work->scratch_size);
    work->scratch = 0;
    work->scratch_size = 0;
    device_leave(device);
}

static void work_keep(struct cuda_work *work) {
    struct cuda_device *device = work->device;
    bool keep = !work->broken && !device_dead(device);
    if (keep) {
        pthread_mutex_lock(&device->lock);
        keep = device->n_idle < IDLE_MOST;
        if (keep) {
            work->next = device->idle;
            device->idle = work;
            device->n_idle++;
        }
        pthread_mutex_unlock(&device->lock);
    }
    if (!keep) work_destroy(work);
}

/* Sets the main stream. */
static bool work_lend(struct cuda_work *work, CUstream host_stream, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    struct cuda_stream *stream = work->stream;
    if (!host_stream && stream->own) {
        work->main = stream->own;
        return true;
    }
    if (!device_enter(device, failure)) return false;
    bool good = host_stream ? check_stream(device, host_stream, failure) : stream_furnish(stream, failure);
    device_leave(device);
    if (!good) return false;
    work->main = host_stream ? host_stream : stream->own;
    if (!host_stream) return true;
    pthread_mutex_lock(&stream->lock);
    stream->host = host_stream;
    if (++stream->lending == 0) stream->lending = 1;
    pthread_mutex_unlock(&stream->lock);
    return true;
}

struct cuda_work *cuda_work_begin(struct cuda_device *device, void *host_stream, struct cuda_failure *failure) {
    if (!device_alive(device, failure)) return NULL;
    pthread_mutex_lock(&device->lock);
    struct cuda_work *work = device->idle;
    if (work) {
        device->idle = work->next;
        device->n_idle--;
    }
    pthread_mutex_unlock(&device->lock);
    if (!work) work = work_create(device, failure);
    if (!work) return NULL;

    work->next = NULL;
    if (!work_lend(work, host_stream, failure)) {
        work_keep(work);
        return NULL;
    }
    work->cancel = NULL;
    work->threads = 1;
    work->fault_found = false;
    work->order_number = 0;
    work->profiling = false;
    work->n_rows = 0;
    work->tag = 0;
    return work;
}

void cuda_work_end(struct cuda_work *work) {
    if (!work) return;
    struct cuda_device *device = work->device;
    work->cancel = NULL;
    work->n_deliveries = 0;
    if (work->busy && !device_dead(device) && !cuda_wait(work, NULL, NULL)) work->broken = true;
    if (work->stream->host && !device_forked(device)) {
        pthread_mutex_lock(&work->stream->lock);
        work->stream->host = NULL; /* all of ours on it is done: from here on things are freed on device->afterwards */
        pthread_mutex_unlock(&work->stream->lock);
    }
    if (!work->broken && !device_dead(device)) {
        staging_give(work);
        work_slim(work);
    }
    work_keep(work);
}

struct cuda_device *cuda_work_device(struct cuda_work *work) {
    return work->device;
}

void cuda_set_cancel(struct cuda_work *work, const volatile int *cancel) {
    work->cancel = cancel;
}

void cuda_set_threads(struct cuda_work *work, int threads) {
    work->threads = threads;
}

bool cuda_work_fault(struct cuda_work *work, struct ptx_watch *watch) {
    if (!work->fault_found) return false;
    *watch = work->fault;
    work->fault_found = false;
    return true;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void nap(long long elapsed) {
    long long length = elapsed / 16;
    if (length < SHORTEST_NAP) length = SHORTEST_NAP;
    if (length > LONGEST_NAP) length = LONGEST_NAP;
    nanosleep(&(struct timespec){.tv_nsec = (long)length}, NULL);
}

/* Everything on the streams is done. */
static void work_settle(struct cuda_work *work) {
    ring_reset(&work->small);
    if (work->up) ring_reset(work->up);
    if (work->down) ring_reset(work->down);
    work->busy = work->marked = work->watch_wanted = work->back_open = false;
    work->n_queued = 0;
}

/* Tells the kernels to stop, waits until they and all copies have ended. Returns false. */
static bool work_cancel(struct cuda_work *work, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    const char *doing = "cancelling";
    bool ended =
        DEVICE_CALL(device, doing, failure, cuMemcpyHtoDAsync, work->watch + offsetof(struct ptx_watch, cancel),
                    &device->words->one, sizeof device->words->one, device->control) &&
        DEVICE_CALL(device, doing, failure, cuStreamSynchronize,
                    device->control) && /* it must not come after work_clean */
        DEVICE_CALL(device, doing, failure, cuEventRecord, work->end, work->main) &&
        DEVICE_CALL(device, doing, failure, cuEventSynchronize, work->end) &&
        (!work->copy || DEVICE_CALL(device, doing, failure, cuStreamSynchronize, work->copy)) &&
        (!work->back || DEVICE_CALL(device, doing, failure, cuStreamSynchronize, work->back)) &&
        work_clean(work, failure);
    work->n_deliveries = 0;
    if (!ended) {
        work->broken = true;
        return false;
    }
    work_settle(work);
    return cuda_fail(failure, CUDA_CANCELLED, "cancelled");
}

/* `event`, or the end of stream->own if it is NULL. */
bool work_wait_event(struct cuda_work *work, CUevent event, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    const struct driver *driver = &device->driver;
    const char *doing = "waiting for the GPU";
    for (long long start = 0;;) {
        CUresult result = event ? driver->cuEventQuery(event) : driver->cuStreamQuery(work->main);
        if (result != CUDA_ERROR_NOT_READY)
            return device_check(device, result, event ? "cuEventQuery" : "cuStreamQuery", doing, failure);
        if (work->cancel && __atomic_load_n(work->cancel, __ATOMIC_RELAXED)) return work_cancel(work, failure);
        long long now = device_clock();
        if (!start) start = now;
        if (now - start < SPIN_NANOSECONDS) continue;
        if (work->cancel) {
            nap(now - start);
        } else {
            if (!event && !DEVICE_CALL(device, doing, failure, cuEventRecord, work->end, work->main)) return false;
            return DEVICE_CALL(device, doing, failure, cuEventSynchronize, event ? event : work->end);
        }
    }
}

/* Sends for the watch if a kernel may have written to it, and, on a stream of the host's, marks the end of what is
 * ours. */
static bool work_mark(struct cuda_work *work, struct cuda_failure *failure) {
    if (work->marked) return true;
    if (!copy_join(work, failure)) return false;
    if (work->watch_wanted && !DEVICE_CALL(work->device, "asking kernels how they ended", failure, cuMemcpyDtoHAsync,
                                           work->fetched, work->watch, sizeof *work->fetched, work->main))
        return false;
    if (work->main != work->stream->own &&
        !DEVICE_CALL(work->device, "waiting for the GPU", failure, cuEventRecord, work->end, work->main))
        return false;
    work->marked = true;
    return true;
}

bool work_wait_all(struct cuda_work *work, struct cuda_failure *failure) {
    if (!work->busy) return true;
    if (!work_mark(work, failure) || !copy_deliver_closed(work, failure) ||
        !work_wait_event(work, work->main == work->stream->own ? NULL : work->end, failure))
        return false;
    copy_deliver_all(work);
    bool failed = work->watch_wanted && work->fetched->order != INT64_MAX;
    work_settle(work);
    if (!failed) return true;
    if (!work->fault_found) work->fault = *work->fetched;
    work->fault_found = true;
    return work_clean(work, failure);
}

bool cuda_wait(struct cuda_work *work, const volatile int *cancel, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    const volatile int *before = work->cancel;
    if (!device_enter(device, failure)) {
        work->n_deliveries = 0;
        return false;
    }
    if (cancel) work->cancel = cancel;
    bool done = work_wait_all(work, failure);
    if (!done) work->n_deliveries = 0; /* the caller's memory may go now */
    work->cancel = before;
    device_leave(device);
    return done;
}

bool cuda_is_done(struct cuda_work *work) {
    struct cuda_device *device = work->device;
    if (!work->busy || !device_enter(device, NULL)) return true;
    CUresult result = CUDA_SUCCESS;
    if (work_mark(work, NULL))
        result = work->main == work->stream->own ? device->driver.cuStreamQuery(work->main)
                                                 : device->driver.cuEventQuery(work->end);
    device_leave(device);
    return result != CUDA_ERROR_NOT_READY; /* an error is told by cuda_wait */
}
