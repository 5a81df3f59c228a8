/* copy.c: copies between host and device. Pageable memory goes through pinned slots that are used in turn, so that the
 * copy of one piece overlaps the transfer of the one before; pinned memory goes directly. */
#include <string.h>

#include "runtime/cuda/internal.h"

enum { SLOT_ALIGNMENT = 64 };

/* --- rings of pinned slots ---------------------------------------------------------------------------------------- */

bool ring_make(struct cuda_device *device, struct ring *ring, size_t slot_size, struct cuda_failure *failure) {
    void *base;
    if (ring->base) return true;
    for (int i = 0; i < SLOTS; i++) {
        if (ring->end[i]) continue; /* made before the memory could not be had */
        if (!DEVICE_CALL(device, "preparing copies", failure, cuEventCreate, &ring->end[i],
                         CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)) {
            ring->end[i] = NULL;
            return false;
        }
    }
    if (!DEVICE_CALL(device, "taking pinned host memory for copies", failure, cuMemHostAlloc, &base, slot_size * SLOTS,
                     0))
        return false;
    ring->base = base;
    ring->slot_size = slot_size;
    return true;
}

void ring_free(struct cuda_device *device, struct ring *ring) {
    for (int i = 0; i < SLOTS; i++)
        if (ring->end[i]) device->driver.cuEventDestroy(ring->end[i]);
    if (ring->base) device->driver.cuMemFreeHost(ring->base);
}

void ring_reset(struct ring *ring) {
    ring->current = 0;
    ring->used = 0;
    for (int i = 0; i < SLOTS; i++) ring->closed[i] = false;
}

/* Nothing more goes into the current slot. */
static bool ring_close(struct cuda_work *work, struct ring *ring, struct cuda_failure *failure) {
    if (ring->used == 0 || ring->closed[ring->current]) return true;
    if (!DEVICE_CALL(work->device, "copying", failure, cuEventRecord, ring->end[ring->current], ring->stream))
        return false;
    ring->closed[ring->current] = true;
    return true;
}

/* --- deliveries --------------------------------------------------------------------------------------------------- */

static void deliver_first(struct cuda_work *work) {
    struct delivery *delivery = &work->deliveries[work->first_delivery];
    memcpy(delivery->to, delivery->from, delivery->size);
    work->first_delivery = (work->first_delivery + 1) % DELIVERIES;
    work->n_deliveries--;
}

/* The slot's copies are done, and with them all that was put on the stream before. */
static void deliver_slot(struct cuda_work *work, const struct ring *ring, int slot) {
    int last = -1;
    for (int i = 0; i < work->n_deliveries; i++) {
        const struct delivery *delivery = &work->deliveries[(work->first_delivery + i) % DELIVERIES];
        if (delivery->ring == ring && delivery->slot == slot) last = i;
    }
    for (int i = 0; i <= last; i++) deliver_first(work);
}

bool copy_deliver_closed(struct cuda_work *work, struct cuda_failure *failure) {
    while (work->n_deliveries) {
        const struct delivery *first = &work->deliveries[work->first_delivery];
        const struct ring *ring = first->ring;
        int slot = first->slot;
        if (!ring->closed[slot]) break;
        if (!work_wait_event(work, ring->end[slot], failure)) return false;
        deliver_slot(work, ring, slot);
    }
    return true;
}

void copy_deliver_all(struct cuda_work *work) {
    while (work->n_deliveries) deliver_first(work);
}

/* Room for `size` bytes, at most a slot, and the slot's number. Waits until a slot is free. NULL with `failure`. */
static char *ring_place(struct cuda_work *work, struct ring *ring, size_t size, struct cuda_failure *failure) {
    if (ring->closed[ring->current] || ring->slot_size - ring->used < size) {
        if (!ring_close(work, ring, failure)) return NULL;
        int next = (ring->current + 1) % SLOTS;
        if (ring->closed[next]) {
            if (!work_wait_event(work, ring->end[next], failure)) return NULL;
            deliver_slot(work, ring, next);
            ring->closed[next] = false;
        }
        ring->current = next;
        ring->used = 0;
    }
    char *place = ring->base + (size_t)ring->current * ring->slot_size + ring->used;
    size_t taken = (size + SLOT_ALIGNMENT - 1) / SLOT_ALIGNMENT * SLOT_ALIGNMENT;
    ring->used = taken < ring->slot_size - ring->used ? ring->used + taken : ring->slot_size;
    return place;
}

/* --- to the device ------------------------------------------------------------------------------------------------ */

/* All of [address, address + size) is pinned host memory. */
static bool is_pinned(struct cuda_device *device, const void *address, size_t size) {
    const struct driver *driver = &device->driver;
    CUdeviceptr at = (uintptr_t)address, start = 0;
    unsigned type = 0;
    uint64_t managed = 0;
    size_t length = 0;
    return driver->cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, at) == CUDA_SUCCESS &&
           type == CU_MEMORYTYPE_HOST &&
           driver->cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, at) == CUDA_SUCCESS && !managed &&
           driver->cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, at) == CUDA_SUCCESS &&
           driver->cuPointerGetAttribute(&length, CU_POINTER_ATTRIBUTE_RANGE_SIZE, at) == CUDA_SUCCESS && start <= at &&
           at - start <= length && size <= length - (at - start);
}

/* `before` is done before what is put on `after` from now on. */
static bool wait_between(struct cuda_work *work, CUstream before, CUstream after, struct cuda_failure *failure) {
    return DEVICE_CALL(work->device, "ordering copies", failure, cuEventRecord, work->order, before) &&
           DEVICE_CALL(work->device, "ordering copies", failure, cuStreamWaitEvent, after, work->order, 0);
}

bool copy_small_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size,
                          struct cuda_failure *failure) {
    char *place = ring_place(work, &work->small, size, failure);
    if (!place) return false;
    memcpy(place, from, size);
    work_touch(work);
    struct profile_row *row = profile_start(work, work->main, CUDA_TAG_TO_DEVICE, (double)size);
    if (!DEVICE_CALL(work->device, "copying to the GPU", failure, cuMemcpyHtoDAsync, to, place, size, work->main))
        return false;
    profile_end(work, work->main, row);
    return true;
}

static bool put_pieces(struct cuda_work *work, CUdeviceptr to, const char *from, size_t size,
                       struct cuda_failure *failure) {
    if (!ring_make(work->device, &work->up, LARGE_SLOT, failure)) return false;
    while (size > 0) {
        size_t piece = size < LARGE_SLOT ? size : LARGE_SLOT;
        char *place = ring_place(work, &work->up, piece, failure);
        if (!place) return false;
        memcpy(place, from, piece);
        if (!DEVICE_CALL(work->device, "copying to the GPU", failure, cuMemcpyHtoDAsync, to, place, piece,
                         work->copy) ||
            !ring_close(work, &work->up, failure))
            return false;
        to += piece, from += piece, size -= piece;
    }
    return true;
}

bool copy_beside(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size, struct cuda_failure *failure) {
    work_touch(work);
    struct profile_row *row = profile_start(work, work->copy, CUDA_TAG_TO_DEVICE, (double)size);
    bool done = is_pinned(work->device, from, size) ? DEVICE_CALL(work->device, "copying to the GPU", failure,
                                                                  cuMemcpyHtoDAsync, to, from, size, work->copy)
                                                    : put_pieces(work, to, from, size, failure);
    if (done) profile_end(work, work->copy, row);
    work_touch(work); /* a cancelled wait left it clean */
    if (wait_between(work, work->copy, work->main, done ? failure : NULL)) return done;
    /* The memory may be freed on the main stream next, so the copy has to be over. */
    if (!DEVICE_CALL(work->device, "ordering copies", NULL, cuStreamSynchronize, work->copy)) work->broken = true;
    return false;
}

bool copy_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size,
                    struct cuda_failure *failure) {
    if (size == 0) return true;
    if (size <= SMALL_COPY) return copy_small_to_device(work, to, from, size, failure);
    return wait_between(work, work->main, work->copy, failure) && copy_beside(work, to, from, size, failure);
}

bool cuda_copy_to_device(struct cuda_work *work, uint64_t to, const void *from, size_t size,
                         struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = copy_to_device(work, to, from, size, failure);
    device_leave(work->device);
    return done;
}

/* --- to the host and on the device -------------------------------------------------------------------------------- */

/* One piece into a slot, to be delivered later. */
static bool get_piece(struct cuda_work *work, struct ring *ring, char *to, CUdeviceptr from, size_t size,
                      struct cuda_failure *failure) {
    if (work->n_deliveries == DELIVERIES && !work_wait_all(work, failure)) return false;
    char *place = ring_place(work, ring, size, failure);
    if (!place) return false;
    work_touch(work);
    if (!DEVICE_CALL(work->device, "copying from the GPU", failure, cuMemcpyDtoHAsync, place, from, size, work->main))
        return false;
    int last = (work->first_delivery + work->n_deliveries++) % DELIVERIES;
    work->deliveries[last] =
        (struct delivery){.to = to, .from = place, .size = size, .ring = ring, .slot = ring->current};
    return true;
}

static bool get_pieces(struct cuda_work *work, char *to, CUdeviceptr from, size_t size, struct cuda_failure *failure) {
    if (!ring_make(work->device, &work->down, LARGE_SLOT, failure)) return false;
    while (size > 0) {
        size_t piece = size < LARGE_SLOT ? size : LARGE_SLOT;
        if (!get_piece(work, &work->down, to, from, piece, failure) || !ring_close(work, &work->down, failure))
            return false;
        to += piece, from += piece, size -= piece;
    }
    return true;
}

static bool copy_to_host(struct cuda_work *work, void *to, CUdeviceptr from, size_t size,
                         struct cuda_failure *failure) {
    if (size <= SMALL_COPY) return get_piece(work, &work->small, to, from, size, failure);
    if (!is_pinned(work->device, to, size)) return get_pieces(work, to, from, size, failure);
    work_touch(work);
    return DEVICE_CALL(work->device, "copying from the GPU", failure, cuMemcpyDtoHAsync, to, from, size, work->main);
}

bool cuda_copy_to_host(struct cuda_work *work, void *to, uint64_t from, size_t size, struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = true;
    if (size > 0) {
        struct profile_row *row = profile_start(work, work->main, CUDA_TAG_TO_HOST, (double)size);
        done = copy_to_host(work, to, from, size, failure);
        if (done) profile_end(work, work->main, row);
    }
    device_leave(work->device);
    return done;
}

bool cuda_copy_on_device(struct cuda_work *work, uint64_t to, uint64_t from, size_t size,
                         struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = true;
    if (size > 0) {
        work_touch(work);
        struct profile_row *row = profile_start(work, work->main, CUDA_TAG_ON_DEVICE, (double)size);
        done = DEVICE_CALL(work->device, "copying on the GPU", failure, cuMemcpyDtoDAsync, to, from, size, work->main);
        if (done) profile_end(work, work->main, row);
    }
    device_leave(work->device);
    return done;
}
