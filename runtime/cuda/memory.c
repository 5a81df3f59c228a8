/* memory.c: device memory in stream order, counted buffers, and the streams that they are freed on. */
#include <stdio.h>

#include "runtime/cuda/internal.h"

const char *memory_text(double bytes, char *buffer, size_t size) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
    snprintf(buffer, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return buffer;
}

/* --- the streams that memory is freed on -------------------------------------------------------------------------- */

struct cuda_stream *stream_create(struct cuda_device *device, struct cuda_failure *failure) {
    struct cuda_stream *stream = mem_zalloc(&device->heap, 1, sizeof *stream);
    if (!stream) {
        device_no_host_memory(failure);
        return NULL;
    }
    atomic_init(&stream->references, 1);
    pthread_mutex_init(&stream->lock, NULL);
    stream->device = device;
    device_retain(device);
    return stream;
}

bool stream_furnish(struct cuda_stream *stream, struct cuda_failure *failure) {
    if (stream->own) return true;
    CUstream own;
    /* Not CU_STREAM_NON_BLOCKING: hosts that use the default stream get what they computed there, and may free there
     * what is ours. */
    if (!DEVICE_CALL(stream->device, "making a stream", failure, cuStreamCreate, &own, CU_STREAM_DEFAULT)) return false;
    stream->own = own;
    return true;
}

void stream_release(struct cuda_stream *stream) {
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1) return;
    struct cuda_device *device = stream->device;
    if (stream->own && !device_dead(device) && device_enter(device, NULL)) {
        device->driver.cuStreamDestroy(stream->own); /* what is still on it is done first */
        device_leave(device);
    }
    if (!device_forked(device)) pthread_mutex_destroy(&stream->lock);
    mem_free(&device->heap, stream, sizeof *stream);
    device_release(device);
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

/* Counts `size` bytes as held, or says that the limit does not allow it. */
static bool reserve(struct cuda_device *device, size_t size, struct cuda_failure *failure) {
    size_t held = atomic_load_explicit(&device->held, memory_order_relaxed);
    do {
        if (size > SIZE_MAX - held || (device->memory_limit && held + size > device->memory_limit)) {
            char asked[40], have[40], limit[40];
            return cuda_fail(failure, CUDA_NO_MEMORY, "asked for %s of GPU memory with %s in use; the limit is %s",
                             memory_text((double)size, asked, sizeof asked),
                             memory_text((double)held, have, sizeof have),
                             memory_text((double)device->memory_limit, limit, sizeof limit));
        }
    } while (!atomic_compare_exchange_weak_explicit(&device->held, &held, held + size, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void unreserve(struct cuda_device *device, size_t size) {
    atomic_fetch_sub_explicit(&device->held, size, memory_order_relaxed);
}

static bool say_no_memory(struct cuda_device *device, size_t size, struct cuda_failure *failure) {
    char asked[40], have[40], room[40], whole[40];
    size_t free_bytes = 0, total = 0;
    size_t held = atomic_load_explicit(&device->held, memory_order_relaxed) - size;
    memory_text((double)size, asked, sizeof asked);
    memory_text((double)held, have, sizeof have);
    if (device->driver.cuMemGetInfo(&free_bytes, &total) != CUDA_SUCCESS)
        return cuda_fail(failure, CUDA_NO_MEMORY, "out of GPU memory on cuda:%d: asked for %s with %s in use",
                         device->ordinal, asked, have);
    return cuda_fail(
        failure, CUDA_NO_MEMORY,
        "out of GPU memory on cuda:%d: asked for %s with %s in use; %s of %s are free (%llu bytes asked, %llu free)",
        device->ordinal, asked, have, memory_text((double)free_bytes, room, sizeof room),
        memory_text((double)total, whole, sizeof whole), (unsigned long long)size, (unsigned long long)free_bytes);
}

bool memory_take(struct cuda_work *work, CUstream stream, size_t size, CUdeviceptr *address,
                 struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    if (!reserve(device, size, failure)) return false;
    CUresult result = device->driver.cuMemAllocFromPoolAsync(address, size, device->pool, stream);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        /* What was freed counts until the end of its stream was seen; then the pool can give it back and take it anew.
         */
        if (!work_wait_all(work, failure)) {
            unreserve(device, size);
            return false;
        }
        device->driver.cuMemPoolTrimTo(device->pool, 0);
        result = device->driver.cuMemAllocFromPoolAsync(address, size, device->pool, stream);
    }
    if (result == CUDA_SUCCESS) {
        work_touch(work);
        return true;
    }
    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        say_no_memory(device, size, failure);
    else
        device_check(device, result, "cuMemAllocFromPoolAsync", "taking GPU memory", failure);
    unreserve(device, size);
    return false;
}

void memory_give(struct cuda_device *device, CUstream stream, CUdeviceptr address, size_t size) {
    DEVICE_CALL(device, "giving back GPU memory", NULL, cuMemFreeAsync, address, stream); /* notes a loss */
    unreserve(device, size);
}

static struct cuda_buffer *take(struct cuda_work *work, CUstream on, size_t size, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    struct cuda_buffer *buffer = mem_alloc(&device->heap, sizeof *buffer);
    CUdeviceptr address;
    if (!buffer) {
        device_no_host_memory(failure);
        return NULL;
    }
    size_t held = size ? size : 1; /* the driver has no empty blocks */
    if (!memory_take(work, on, held, &address, failure)) {
        mem_free(&device->heap, buffer, sizeof *buffer);
        return NULL;
    }
    buffer->address = address;
    buffer->size = size;
    atomic_init(&buffer->references, 1);
    buffer->device = device;
    buffer->stream = work->stream;
    buffer->lending = work->main == work->stream->own ? 0 : work->stream->lending;
    atomic_fetch_add_explicit(&work->stream->references, 1, memory_order_relaxed);
    return buffer;
}

struct cuda_buffer *cuda_take(struct cuda_work *work, size_t size, struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return NULL;
    struct cuda_buffer *buffer = take(work, work->main, size, failure);
    device_leave(work->device);
    return buffer;
}

struct cuda_buffer *cuda_upload(struct cuda_work *work, const void *from, size_t size, bool staged,
                                struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return NULL;
    /* On the host's stream the copy has to come after what is there: then both go the ordinary way. */
    bool beside = size > SMALL_COPY && work->main == work->stream->own;
    struct cuda_buffer *buffer =
        !beside || copy_prepare(work, failure) ? take(work, beside ? work->copy : work->main, size, failure) : NULL;
    bool copied = buffer && (beside ? copy_beside(work, buffer->address, from, size, staged, failure)
                                    : copy_to_device(work, buffer->address, from, size, staged, failure));
    device_leave(work->device);
    if (buffer && !copied) {
        cuda_release(buffer);
        return NULL;
    }
    return buffer;
}

/* --- giving back -------------------------------------------------------------------------------------------------- */

void cuda_retain(struct cuda_buffer *buffer) {
    atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
}

void cuda_release(struct cuda_buffer *buffer) {
    if (!buffer || atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1) return;
    struct cuda_device *device = buffer->device;
    struct cuda_stream *stream = buffer->stream;
    size_t held = buffer->size ? buffer->size : 1;
    if (device_dead(device) || !device_enter(device, NULL)) {
        unreserve(device, held); /* it died with its context */
    } else {
        /* What was put on a host's stream that is no longer lent is done. The lock keeps one that is in use until the
         * free is on it. */
        pthread_mutex_lock(&stream->lock);
        bool lent = stream->host && buffer->lending == stream->lending;
        memory_give(device,
                    !buffer->lending ? stream->own
                    : lent           ? stream->host
                                     : device->afterwards,
                    buffer->address, held);
        pthread_mutex_unlock(&stream->lock);
        device_leave(device);
    }
    mem_free(&device->heap, buffer, sizeof *buffer);
    stream_release(stream);
}

/* --- other people's memory ---------------------------------------------------------------------------------------- */

int cuda_pointer_device(struct cuda_device *device, uint64_t address) {
    unsigned type = 0;
    int ordinal = -1;
    if (!device_enter(device, NULL)) return CUDA_POINTER_UNKNOWN;
    CUresult result = device->driver.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address);
    if (result == CUDA_SUCCESS && type == CU_MEMORYTYPE_DEVICE)
        result = device->driver.cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address);
    if (result != CUDA_SUCCESS) ordinal = -1;
    if (driver_error_is_fatal(result)) {
        device_check(device, result, "cuPointerGetAttribute", "looking at a pointer", NULL);
        ordinal = CUDA_POINTER_UNKNOWN;
    }
    device_leave(device);
    return ordinal;
}

bool cuda_host_can_reach(struct cuda_device *device, uint64_t address) {
    unsigned type = 0;
    uint64_t managed = 0;
    if (!device_enter(device, NULL)) return true;
    bool on_device =
        device->driver.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address) == CUDA_SUCCESS &&
        type == CU_MEMORYTYPE_DEVICE &&
        device->driver.cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address) == CUDA_SUCCESS &&
        !managed;
    device_leave(device);
    return !on_device;
}
