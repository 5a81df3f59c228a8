/* watch.c: the words through which kernels tell the host and each other: for each work a watch and counters on the
 * device, and room in pinned memory that the watch is fetched to. Made for several works at once, so that a further
 * work costs next to nothing. */
#include "runtime/cuda/internal.h"

enum { COUNTER_BYTES = 4 * PTX_MAX_COUNTERS, WATCH_BYTES = WATCHES * WATCH_STEP };
_Static_assert(sizeof(struct ptx_watch) <= WATCH_STEP, "a watch fits in its place");
_Static_assert(WATCHES < 32, "a bit for each place");

static void page_free(struct cuda_device *device, struct watches *page) {
    if (!device_dead(device)) {
        if (page->fetched) device->driver.cuMemFreeHost(page->fetched);
        if (page->block) device->driver.cuMemFree(page->block);
    }
    mem_free(&device->heap, page, sizeof *page);
}

/* On the stream for cancelling, where nothing waits: the host does not wait for what other streams do. */
static bool page_furnish(struct cuda_device *device, struct watches *page, struct cuda_failure *failure) {
    const char *doing = "preparing calls";
    void *pinned;
    if (!DEVICE_CALL(device, doing, failure, cuMemHostAlloc, &pinned, WATCH_BYTES, 0)) return false;
    page->fetched = pinned;
    for (int i = 0; i < WATCHES; i++) *(struct ptx_watch *)(page->fetched + i * WATCH_STEP) = device->words->clean;
    if (!DEVICE_CALL(device, doing, failure, cuMemAlloc, &page->block, WATCH_BYTES + WATCHES * COUNTER_BYTES)) {
        page->block = 0;
        return false;
    }
    page->counters = page->block + WATCH_BYTES;
    return DEVICE_CALL(device, doing, failure, cuMemcpyHtoDAsync, page->block, page->fetched, WATCH_BYTES,
                       device->control) &&
           DEVICE_CALL(device, doing, failure, cuMemsetD8Async, page->counters, 0, WATCHES * COUNTER_BYTES,
                       device->control) &&
           DEVICE_CALL(device, doing, failure, cuStreamSynchronize, device->control);
}

static struct watches *page_create(struct cuda_device *device, struct cuda_failure *failure) {
    struct watches *page = mem_zalloc(&device->heap, 1, sizeof *page);
    if (!page) {
        device_no_host_memory(failure);
        return NULL;
    }
    if (page_furnish(device, page, failure)) return page;
    page_free(device, page);
    return NULL;
}

/* Under the lock. */
static bool find_place(struct cuda_work *work) {
    for (struct watches *page = work->device->watches; page; page = page->next)
        for (int i = 0; i < WATCHES; i++) {
            if (page->taken >> i & 1) continue;
            page->taken |= 1u << i;
            work->page = page;
            work->place = i;
            return true;
        }
    return false;
}

bool watch_take(struct cuda_work *work, struct cuda_failure *failure) {
    struct cuda_device *device = work->device;
    pthread_mutex_lock(&device->lock);
    bool found = find_place(work);
    pthread_mutex_unlock(&device->lock);
    if (!found) {
        struct watches *page = page_create(device, failure);
        if (!page) return false;
        page->taken = 1;
        work->page = page;
        work->place = 0;
        pthread_mutex_lock(&device->lock);
        page->next = device->watches;
        device->watches = page;
        pthread_mutex_unlock(&device->lock);
    }
    work->watch = work->page->block + (CUdeviceptr)work->place * WATCH_STEP;
    work->counters = work->page->counters + (CUdeviceptr)work->place * COUNTER_BYTES;
    work->fetched = (struct ptx_watch *)(work->page->fetched + work->place * WATCH_STEP);
    return true;
}

void watch_give(struct cuda_work *work, bool clean) {
    struct cuda_device *device = work->device;
    if (!work->page || !clean || device_dead(device)) return;
    pthread_mutex_lock(&device->lock);
    work->page->taken &= ~(1u << work->place);
    pthread_mutex_unlock(&device->lock);
}

void watch_free_all(struct cuda_device *device) {
    while (device->watches) {
        struct watches *page = device->watches;
        device->watches = page->next;
        page_free(device, page);
    }
}
