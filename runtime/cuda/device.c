/* device.c: opening and closing a device, the bracket around the driver's calls, and what happens when it is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "runtime/cuda/internal.h"

enum { POOL_SHARE = 8 }; /* of the device's memory, what the pool keeps that nobody uses */

/* --- errors ------------------------------------------------------------------------------------------------------- */

bool device_no_host_memory(struct cuda_failure *failure) {
    return cuda_fail(failure, CUDA_NO_MEMORY, "no host memory left");
}

/* Refuses in the name of what happened before. */
static bool device_refuse(struct cuda_device *device, struct cuda_failure *failure) {
    if (device_forked(device))
        return cuda_fail(failure, CUDA_LOST,
                         "cuda:%d was opened before fork(): CUDA does not work in the child of a process that used it",
                         device->ordinal);
    return cuda_fail(failure, CUDA_LOST, "cuda:%d was lost: %s", device->ordinal, device->lost_text);
}

static void device_lose(struct cuda_device *device, CUresult result, const char *text) {
    if (device_forked(device)) return;
    pthread_mutex_lock(&device->lock);
    if (!atomic_load_explicit(&device->lost, memory_order_relaxed)) {
        snprintf(device->lost_text, sizeof device->lost_text, "%s", text);
        device->handles_gone = result == CUDA_ERROR_NOT_INITIALIZED || result == CUDA_ERROR_DEINITIALIZED ||
                               result == CUDA_ERROR_INVALID_CONTEXT || result == CUDA_ERROR_CONTEXT_IS_DESTROYED;
        atomic_store_explicit(&device->lost, true, memory_order_release);
    }
    pthread_mutex_unlock(&device->lock);
}

static bool device_fail(struct cuda_device *device, CUresult result, bool fatal, const char *call, const char *doing,
                        struct cuda_failure *failure) {
    char error[240], text[sizeof device->lost_text];
    snprintf(text, sizeof text, "%s: %s: %s", doing, call,
             driver_error_text(&device->driver, result, error, sizeof error));
    if (fatal) {
        device_lose(device, result, text);
        return device_refuse(device, failure);
    }
    if (result == CUDA_ERROR_OUT_OF_MEMORY) return cuda_fail(failure, CUDA_NO_MEMORY, "%s", text);
    return cuda_fail(failure, CUDA_FAILED, "%s", text);
}

bool device_check(struct cuda_device *device, CUresult result, const char *call, const char *doing,
                  struct cuda_failure *failure) {
    if (__builtin_expect(result == CUDA_SUCCESS, 1)) return true;
    return device_fail(device, result, driver_error_is_fatal(result), call, doing, failure);
}

bool device_alive(struct cuda_device *device, struct cuda_failure *failure) {
    return device_dead(device) ? device_refuse(device, failure) : true;
}

bool device_enter(struct cuda_device *device, struct cuda_failure *failure) {
    if (device_dead(device)) return device_refuse(device, failure);
    CUresult result = device->driver.cuCtxPushCurrent(device->context);
    if (__builtin_expect(result == CUDA_SUCCESS, 1)) return true;
    /* Whatever the reason: without its context nothing of the device can be used, or given back. */
    return device_fail(device, result, true, "cuCtxPushCurrent", "entering the GPU's context", failure);
}

void device_leave(struct cuda_device *device) {
    CUcontext popped;
    device->driver.cuCtxPopCurrent(&popped);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static _Atomic uint32_t forks;
static pthread_once_t counting_forks = PTHREAD_ONCE_INIT;

static void count_fork(void) {
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void count_forks(void) {
    pthread_atfork(NULL, NULL, count_fork); /* if it fails there is still family_page */
}

uint32_t device_forks(void) {
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* A page that reads 0 in every child, however it was made: how the child knows, without a system call. Where the system
 * wipes no pages (gVisor, Linux before 4.14) there is `forks`, which children made past the C library don't count.
 * NULL: no memory. */
static volatile uint32_t *family_page(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return NULL;
    madvise(page, size, MADV_WIPEONFORK);
    *(volatile uint32_t *)page = 1;
    return page;
}

static bool device_find(struct cuda_device *device, struct cuda_failure *failure) {
    struct driver *driver = &device->driver;
    int count, major, minor, pools;
    if (!DEVICE_CALL(device, "counting GPUs", failure, cuDeviceGetCount, &count)) return false;
    if (device->ordinal < 0 || device->ordinal >= count) {
        if (count == 0) return cuda_fail(failure, CUDA_UNAVAILABLE, "the NVIDIA driver finds no GPU");
        return cuda_fail(failure, CUDA_UNAVAILABLE, "there is no cuda:%d: this machine has %d GPU%s", device->ordinal,
                         count, count == 1 ? ", cuda:0" : "s");
    }
    if (!DEVICE_CALL(device, "finding the GPU", failure, cuDeviceGet, &device->handle, device->ordinal)) return false;
    struct {
        int attribute, *value;
    } wanted[] = {
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &minor},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &device->limits.multiprocessors},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, &device->limits.threads_per_multiprocessor},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &device->shared_per_block},
        {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, &pools},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!DEVICE_CALL(device, "looking at the GPU", failure, cuDeviceGetAttribute, wanted[i].value,
                         wanted[i].attribute, device->handle))
            return false;
    if (!DEVICE_CALL(device, "looking at the GPU", failure, cuDeviceTotalMem, &device->total_memory, device->handle))
        return false;
    if (driver->cuDeviceGetName(device->name, sizeof device->name, device->handle) != CUDA_SUCCESS)
        device->name[0] = '\0';
    device->name[sizeof device->name - 1] = '\0';
    device->arch = 10 * major + minor;
    if (device->arch < MINIMUM_ARCH)
        return cuda_fail(failure, CUDA_UNAVAILABLE, "cuda:%d (%s, sm_%d) is too old: sm_%d or newer is needed",
                         device->ordinal, device->name, device->arch, MINIMUM_ARCH);
    if (!pools)
        return cuda_fail(failure, CUDA_UNAVAILABLE,
                         "cuda:%d (%s) has no stream-ordered memory pools with this driver or in this virtual machine",
                         device->ordinal, device->name);
    return true;
}

struct opening {
    struct cuda_device *device;
    struct arena arena;
    struct strbuf why;
};

static void open_compiler(void *argument) {
    struct opening *opening = argument;
    strbuf_init(&opening->why, &opening->arena);
    opening->device->compiler =
        ptx_compiler_open(&opening->device->heap, opening->device->driver.version / 1000, &opening->why);
}

static bool device_open_compiler(struct cuda_device *device, struct cuda_failure *failure) {
    struct opening opening = {.device = device};
    arena_init(&opening.arena, &device->heap);
    bool finished = arena_try(&opening.arena, open_compiler, &opening);
    if (!device->compiler) {
        if (finished && opening.why.length)
            cuda_fail(failure, CUDA_UNAVAILABLE, "%s", strbuf_text(&opening.why));
        else
            device_no_host_memory(failure);
    }
    arena_free(&opening.arena);
    if (!device->compiler) return false;
    ptx_compiler_version(device->compiler, &device->nvrtc_major, &device->nvrtc_minor);
    device->compile_arch = ptx_compiler_arch(device->compiler, device->arch);
    if (device->compile_arch == 0)
        return cuda_fail(failure, CUDA_UNAVAILABLE, "NVRTC %d.%d makes no code that cuda:%d (%s, sm_%d) can run",
                         device->nvrtc_major, device->nvrtc_minor, device->ordinal, device->name, device->arch);
    return true;
}

/* Inside the context: what all works share. */
static bool device_furnish(struct cuda_device *device, struct cuda_failure *failure) {
    CUmemPoolProps properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location_type = CU_MEM_LOCATION_TYPE_DEVICE,
                                 .location = device->ordinal};
    /* What is freed stays for the next call up to that much; when memory is short the pool is trimmed. */
    uint64_t keep = device->total_memory / POOL_SHARE;
    int least = 0, greatest = 0;
    const char *doing = "making a memory pool", *preparing = "preparing the GPU";
    void *words;
    if (!DEVICE_CALL(device, doing, failure, cuMemPoolCreate, &device->pool, &properties)) {
        device->pool = NULL;
        return false;
    }
    if (!DEVICE_CALL(device, doing, failure, cuMemPoolSetAttribute, device->pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                     &keep))
        return false;
    if (!DEVICE_CALL(device, preparing, failure, cuCtxGetStreamPriorityRange, &least, &greatest)) return false;
    if (!DEVICE_CALL(device, preparing, failure, cuStreamCreateWithPriority, &device->control, CU_STREAM_NON_BLOCKING,
                     greatest)) {
        device->control = NULL;
        return false;
    }
    if (!DEVICE_CALL(device, preparing, failure, cuStreamCreate, &device->afterwards, CU_STREAM_DEFAULT)) {
        device->afterwards = NULL;
        return false;
    }
    if (!DEVICE_CALL(device, preparing, failure, cuMemHostAlloc, &words, sizeof *device->words, 0)) return false;
    device->words = words;
    *device->words = (struct device_words){.clean = {.order = INT64_MAX, .position = INT64_MAX}, .one = 1};
    return true;
}

struct cuda_device *cuda_device_open(const struct cuda_options *options, struct cuda_failure *failure) {
    struct mem heap = {.resize = options->mem->resize, .host = options->mem->host};
    struct cuda_device *device = mem_zalloc(&heap, 1, sizeof *device);
    if (!device) {
        device_no_host_memory(failure);
        return NULL;
    }
    device->heap.resize = heap.resize;
    device->heap.host = heap.host;
    atomic_init(&device->references, 1);
    device->ordinal = options->ordinal;
    device->memory_limit = options->memory_limit;
    device->most_idle_modules = MODULES_IDLE;
    device->copy = options->copy;
    pthread_mutex_init(&device->lock, NULL);
    pthread_once(&counting_forks, count_forks);
    device->forks = device_forks();
    device->family = family_page();
    if (!device->family) {
        device_no_host_memory(failure);
        goto failed;
    }
    if (!driver_open(&device->driver, failure)) goto failed;
    if (!device_find(device, failure)) goto failed;
    if (!device_open_compiler(device, failure)) goto failed;
    if (!DEVICE_CALL(device, "opening the GPU's primary context", failure, cuDevicePrimaryCtxRetain, &device->context,
                     device->handle)) {
        device->context = NULL;
        goto failed;
    }
    if (!device_enter(device, failure)) goto failed;
    bool furnished = device_furnish(device, failure);
    device_leave(device);
    if (!furnished) goto failed;
    device->cache = disk_cache_open(&device->heap, options->cache_folder, options->cache_bytes);
    struct cuda_work *work = cuda_work_begin(device, NULL, failure);
    if (!work) goto failed;
    cuda_work_end(work); /* kept for the first call */
    return device;

failed:
    /* Nothing was lost: it could not be had. */
    if (failure && failure->status == CUDA_LOST && device->family && !device_forked(device))
        cuda_fail(failure, CUDA_UNAVAILABLE, "cuda:%d cannot be used: %s", device->ordinal, device->lost_text);
    else if (failure && failure->status == CUDA_FAILED)
        failure->status = CUDA_UNAVAILABLE;
    cuda_device_close(device);
    return NULL;
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

void device_retain(struct cuda_device *device) {
    atomic_fetch_add_explicit(&device->references, 1, memory_order_relaxed);
}

void device_release(struct cuda_device *device) {
    if (atomic_fetch_sub_explicit(&device->references, 1, memory_order_acq_rel) != 1) return;
    bool forked = device->family && device_forked(device);
    if (device->context && !forked) {
        if (!device_dead(device) && device_enter(device, NULL)) {
            if (device->words) device->driver.cuMemFreeHost(device->words);
            if (device->control) device->driver.cuStreamDestroy(device->control);
            if (device->afterwards) device->driver.cuStreamDestroy(device->afterwards);
            device_leave(device);
        }
        /* It is no part of the context, and goes when the last of its blocks is free. */
        if (device->pool && !device->handles_gone) device->driver.cuMemPoolDestroy(device->pool);
        device->driver.cuDevicePrimaryCtxRelease(device->handle);
    }
    if (!forked) {
        driver_close(&device->driver);
        pthread_mutex_destroy(&device->lock);
    }
    if (device->family) munmap((void *)device->family, (size_t)sysconf(_SC_PAGESIZE));
    struct mem heap = {.resize = device->heap.resize, .host = device->heap.host};
    heap.used = sizeof *device;
    mem_free(&heap, device, sizeof *device);
}

static void close_watches(struct cuda_device *device) {
    bool inside = device->watches && !device_dead(device) && device_enter(device, NULL);
    watch_free_all(device);
    if (inside) device_leave(device);
}

void cuda_device_close(struct cuda_device *device) {
    if (!device) return;
    while (device->idle) {
        struct cuda_work *work = device->idle;
        device->idle = work->next;
        work_destroy(work);
    }
    while (device->staging) {
        struct ring *ring = device->staging;
        device->staging = ring->next;
        staging_destroy(device, ring);
    }
    close_watches(device);
    module_free_all(device);
    if (device->compiler) ptx_compiler_close(device->compiler);
    device->compiler = NULL;
    disk_cache_close(device->cache);
    device->cache = NULL;
    device_release(device);
}

/* --- what it is --------------------------------------------------------------------------------------------------- */

int cuda_device_ordinal(const struct cuda_device *device) {
    return device->ordinal;
}
int cuda_device_arch(const struct cuda_device *device) {
    return device->arch;
}
int64_t device_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

const struct ptx_limits *cuda_device_limits(const struct cuda_device *device) {
    return &device->limits;
}
int cuda_device_shared(const struct cuda_device *device) {
    return device->shared_per_block;
}
const char *cuda_device_name(const struct cuda_device *device) {
    return device->name;
}
size_t cuda_device_held(const struct cuda_device *device) {
    return atomic_load_explicit(&device->held, memory_order_relaxed);
}

int cuda_parse_device(const char *text) {
    int ordinal = 0;
    if (strncmp(text, "cuda", 4) != 0) return -1;
    text += 4;
    if (!*text) return 0;
    if (*text++ != ':' || !*text) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || ordinal > 9999) return -1;
        ordinal = 10 * ordinal + (*text - '0');
    }
    return ordinal;
}
