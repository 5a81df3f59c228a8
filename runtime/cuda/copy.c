/* copy.c: copies between host and device. Pageable memory goes through pinned slots that are used in turn, so that the
 * copy of one piece overlaps the transfer of the one before; pinned memory goes directly. */
#include <string.h>

#include "runtime/cuda/internal.h"

enum { SLOT_ALIGNMENT = 64 };

/* --- rings of pinned slots ---------------------------------------------------------------------------------------- */

/* Unless it is made already. */
static bool ring_make(struct cuda_device *device, struct ring *ring, size_t slot_size, struct cuda_failure *failure) {
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

void staging_destroy(struct cuda_device *device, struct ring *ring) {
    if (!ring) return;
    if (!device_dead(device) && device_enter(device, NULL)) {
        ring_free(device, ring);
        device_leave(device);
    }
    mem_free(&device->heap, ring, sizeof *ring);
}

static struct ring *staging_create(struct cuda_device *device, struct cuda_failure *failure) {
    struct ring *ring = mem_zalloc(&device->heap, 1, sizeof *ring);
    if (!ring) {
        device_no_host_memory(failure);
        return NULL;
    }
    if (ring_make(device, ring, LARGE_SLOT, failure)) return ring;
    ring_free(device, ring);
    mem_free(&device->heap, ring, sizeof *ring);
    return NULL;
}

/* *ring is there, of whoever had it last or new, and its copies go on `stream`. */
static bool staging_take(struct cuda_work *work, struct ring **ring, CUstream stream, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    if (!*ring) {
        pthread_mutex_lock(&device->lock);
        if ((*ring = device->staging)) {
            device->staging = (*ring)->next;
            device->n_staging--;
        }
        pthread_mutex_unlock(&device->lock);
    }
    if (!*ring && !(*ring = staging_create(device, failure))) return false;
    (*ring)->stream = stream;
    return true;
}

static void staging_give_one(struct cuda_device *device, struct ring **given) {
    struct ring *ring = *given;
    *given = NULL;
    if (!ring) return;
    ring_reset(ring);
    pthread_mutex_lock(&device->lock);
    bool keep = device->n_staging < STAGING_MOST;
    if (keep) {
        ring->next = device->staging;
        device->staging = ring;
        device->n_staging++;
    }
    pthread_mutex_unlock(&device->lock);
    if (!keep) staging_destroy(device, ring);
}

void staging_give(struct cuda_work *work) {
    staging_give_one(work->device, &work->down);
    staging_give_one(work->device, &work->up);
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

/* Pieces within host memory: large ones by several threads, if the device was told how. */
static void copy_piece(const struct cuda_work *work, void *to, const void *from, size_t size) {
    if (work->device->copy && size > SMALL_COPY && work->threads > 1)
        work->device->copy(work->threads, to, from, size);
    else
        memcpy(to, from, size);
}

static struct delivery *delivery_at(struct cuda_work *work, int i) {
    return &work->deliveries[(work->first_delivery + i) % DELIVERIES];
}

static void deliver(struct cuda_work *work, struct delivery *delivery) {
    copy_piece(work, delivery->to, delivery->from, delivery->size);
    delivery->size = 0;
}

/* The slot's copies are done. */
static void deliver_slot(struct cuda_work *work, const struct ring *ring, int slot) {
    for (int i = 0; i < work->n_deliveries; i++) {
        struct delivery *delivery = delivery_at(work, i);
        if (delivery->size && delivery->ring == ring && delivery->slot == slot) deliver(work, delivery);
    }
    while (work->n_deliveries && !delivery_at(work, 0)->size) {
        work->first_delivery = (work->first_delivery + 1) % DELIVERIES;
        work->n_deliveries--;
    }
}

bool copy_deliver_closed(struct cuda_work *work, struct cuda_failure *failure) {
    for (int i = 0; i < work->n_deliveries; i++) {
        const struct delivery *delivery = delivery_at(work, i);
        const struct ring *ring = delivery->ring;
        int slot = delivery->slot;
        if (!delivery->size || !ring->closed[slot]) continue;
        if (!work_wait_event(work, ring->end[slot], failure)) return false;
        deliver_slot(work, ring, slot);
        i = -1; /* those in front are gone */
    }
    return true;
}

void copy_deliver_all(struct cuda_work *work) {
    for (int i = 0; i < work->n_deliveries; i++) deliver(work, delivery_at(work, i));
    work->n_deliveries = 0;
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

bool copy_order(struct cuda_work *work, CUstream before, CUstream after, struct cuda_failure *failure) {
    return DEVICE_CALL(work->device, "ordering copies", failure, cuEventRecord, work->order, before) &&
           DEVICE_CALL(work->device, "ordering copies", failure, cuStreamWaitEvent, after, work->order, 0);
}

static bool prepare_stream(struct cuda_work *work, CUstream *stream, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    if (!work->order &&
        !DEVICE_CALL(device, "preparing copies", failure, cuEventCreate, &work->order, CU_EVENT_DISABLE_TIMING)) {
        work->order = NULL;
        return false;
    }
    if (!*stream && !DEVICE_CALL(device, "preparing copies", failure, cuStreamCreate, stream, CU_STREAM_NON_BLOCKING)) {
        *stream = NULL;
        return false;
    }
    return true;
}

bool copy_prepare(struct cuda_work *work, struct cuda_failure *failure) {
    return prepare_stream(work, &work->copy, failure);
}

bool copy_prepare_back(struct cuda_work *work, struct cuda_failure *failure) {
    return prepare_stream(work, &work->back, failure);
}

/* The ring for small copies both ways, on the main stream. */
static bool prepare_small(struct cuda_work *work, struct cuda_failure *failure) {
    work->small.stream = work->main;
    return ring_make(work->device, &work->small, SMALL_SLOT, failure);
}

static bool copy_small_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size,
                                 struct cuda_failure *failure) {
    if (!prepare_small(work, failure)) return false;
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
    if (!staging_take(work, &work->up, work->copy, failure)) return false;
    while (size > 0) {
        size_t piece = size < LARGE_SLOT ? size : LARGE_SLOT;
        char *place = ring_place(work, work->up, piece, failure);
        if (!place) return false;
        copy_piece(work, place, from, piece);
        if (!DEVICE_CALL(work->device, "copying to the GPU", failure, cuMemcpyHtoDAsync, to, place, piece,
                         work->copy) ||
            !ring_close(work, work->up, failure))
            return false;
        to += piece, from += piece, size -= piece;
    }
    return true;
}

bool copy_beside(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size, bool staged,
                 struct cuda_failure *failure) {
    work_touch(work);
    struct profile_row *row = profile_start(work, work->copy, CUDA_TAG_TO_DEVICE, (double)size);
    bool done =
        staged || !is_pinned(work->device, from, size)
            ? put_pieces(work, to, from, size, failure)
            : DEVICE_CALL(work->device, "copying to the GPU", failure, cuMemcpyHtoDAsync, to, from, size, work->copy);
    if (done) profile_end(work, work->copy, row);
    work_touch(work); /* a cancelled wait left it clean */
    if (copy_order(work, work->copy, work->main, done ? failure : NULL)) return done;
    /* The memory may be freed on the main stream next, so the copy has to be over. */
    if (!DEVICE_CALL(work->device, "ordering copies", NULL, cuStreamSynchronize, work->copy)) work->broken = true;
    return false;
}

bool copy_to_device(struct cuda_work *work, CUdeviceptr to, const void *from, size_t size, bool staged,
                    struct cuda_failure *failure) {
    if (size == 0) return true;
    if (size <= SMALL_COPY) return copy_small_to_device(work, to, from, size, failure);
    return copy_prepare(work, failure) && copy_order(work, work->main, work->copy, failure) &&
           copy_beside(work, to, from, size, staged, failure);
}

bool cuda_copy_to_device(struct cuda_work *work, uint64_t to, const void *from, size_t size,
                         struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = copy_to_device(work, to, from, size, false, failure);
    device_leave(work->device);
    return done;
}

/* --- to the host and on the device -------------------------------------------------------------------------------- */

/* To pinned memory. */
static bool fetch(struct cuda_work *work, void *to, CUdeviceptr from, size_t size, CUstream stream,
                  struct cuda_failure *failure) {
    work_touch(work);
    if (stream == work->back) work->back_open = true;
    return DEVICE_CALL(work->device, "copying from the GPU", failure, cuMemcpyDtoHAsync, to, from, size, stream);
}

/* One piece into a slot, to be delivered later. */
static bool get_piece(struct cuda_work *work, struct ring *ring, char *to, CUdeviceptr from, size_t size,
                      struct cuda_failure *failure) {
    if (work->n_deliveries == DELIVERIES && !work_wait_all(work, failure)) return false;
    char *place = ring_place(work, ring, size, failure);
    if (!place || !fetch(work, place, from, size, ring->stream, failure)) return false;
    int last = (work->first_delivery + work->n_deliveries++) % DELIVERIES;
    work->deliveries[last] =
        (struct delivery){.to = to, .from = place, .size = size, .ring = ring, .slot = ring->current};
    return true;
}

static bool get_pieces(struct cuda_work *work, char *to, CUdeviceptr from, size_t size, struct cuda_failure *failure) {
    if (!staging_take(work, &work->down, work->back, failure)) return false;
    while (size > 0) {
        size_t piece = size < LARGE_SLOT ? size : LARGE_SLOT;
        if (!get_piece(work, work->down, to, from, piece, failure) || !ring_close(work, work->down, failure))
            return false;
        to += piece, from += piece, size -= piece;
    }
    return true;
}

bool copy_back(struct cuda_work *work, void *to, CUdeviceptr from, size_t size, struct cuda_failure *failure) {
    struct profile_row *row = profile_start(work, work->back, CUDA_TAG_TO_HOST, (double)size);
    bool done = is_pinned(work->device, to, size) ? fetch(work, to, from, size, work->back, failure)
                                                  : get_pieces(work, to, from, size, failure);
    if (done) profile_end(work, work->back, row);
    return done;
}

bool copy_join(struct cuda_work *work, struct cuda_failure *failure) {
    if (!work->back_open) return true;
    bool joined = copy_order(work, work->back, work->main, failure);
    /* Memory that is read there may be freed on the main stream next, so the copies have to be over. */
    if (!joined && !DEVICE_CALL(work->device, "ordering copies", NULL, cuStreamSynchronize, work->back))
        work->broken = true;
    work->back_open = false;
    return joined;
}

static bool get_small(struct cuda_work *work, void *to, CUdeviceptr from, size_t size, struct cuda_failure *failure) {
    if (!prepare_small(work, failure)) return false;
    struct profile_row *row = profile_start(work, work->main, CUDA_TAG_TO_HOST, (double)size);
    bool done = get_piece(work, &work->small, to, from, size, failure);
    if (done) profile_end(work, work->main, row);
    return done;
}

static bool download(struct cuda_work *work, void *to, CUdeviceptr from, size_t size, bool join,
                     struct cuda_failure *failure) {
    if (size == 0) return true;
    if (!device_enter(work->device, failure)) return false;
    bool done = size <= SMALL_COPY
                    ? get_small(work, to, from, size, failure)
                    : copy_prepare_back(work, failure) && copy_order(work, work->main, work->back, failure) &&
                          copy_back(work, to, from, size, failure);
    if (join && !copy_join(work, done ? failure : NULL)) done = false;
    device_leave(work->device);
    return done;
}

bool cuda_copy_to_host(struct cuda_work *work, void *to, uint64_t from, size_t size, struct cuda_failure *failure) {
    return download(work, to, from, size, true, failure);
}

bool cuda_download(struct cuda_work *work, void *to, uint64_t from, size_t size, struct cuda_failure *failure) {
    return download(work, to, from, size, false, failure);
}

bool cuda_is_pinned(struct cuda_device *device, const void *address, size_t size) {
    if (!device_enter(device, NULL)) return false;
    bool pinned = is_pinned(device, address, size);
    device_leave(device);
    return pinned;
}

bool cuda_is_managed(struct cuda_device *device, uint64_t address) {
    uint64_t managed = 0;                         /* the driver writes a bool into it */
    if (!device_enter(device, NULL)) return true; /* the call will say why it cannot be */
    bool known =
        device->driver.cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address) == CUDA_SUCCESS;
    device_leave(device);
    return known && managed;
}

bool cuda_join(struct cuda_work *work, struct cuda_failure *failure) {
    if (!work->back_open) return true;
    if (!device_enter(work->device, failure)) return false;
    work_touch(work);
    bool joined = copy_join(work, failure);
    device_leave(work->device);
    return joined;
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
