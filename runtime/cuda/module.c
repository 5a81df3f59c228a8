/* module.c: kernels as loaded machine code: kept by source in memory, found in the disk cache, or compiled. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/cuda/internal.h"

struct cuda_module {
    struct cuda_module *next; /* of the bucket */
    CUmodule module;
    CUfunction function;
    int shared;         /* cuda_module_shared */
    int users;          /* under the device's lock, as the next one */
    uint64_t idle_from; /* when the last of them left, by device->idle_clock */
    uint64_t hash;
    bool fast;
    size_t name_size, source_size; /* with their NULs */
    char text[];                   /* name, source */
};

CUfunction module_function(const struct cuda_module *module) {
    return module->function;
}

int cuda_module_shared(const struct cuda_module *module) {
    return module->shared;
}

static size_t module_bytes(const struct cuda_module *module) {
    return sizeof *module + module->name_size + module->source_size;
}

/* --- the ones that are loaded ------------------------------------------------------------------------------------- */

/* Under the lock. */
static struct cuda_module *find(struct cuda_device *device, const struct ptx_kernel *kernel, bool fast, uint64_t hash) {
    for (struct cuda_module *at = device->modules[hash % MODULE_BUCKETS]; at; at = at->next)
        if (at->hash == hash && at->fast == fast && strcmp(at->text, kernel->name) == 0 &&
            strcmp(at->text + at->name_size, kernel->source) == 0)
            return at;
    return NULL;
}

/* Under the lock. */
static struct cuda_module *use(struct cuda_device *device, struct cuda_module *module) {
    if (module && module->users++ == 0) device->idle_modules--;
    return module;
}

static void unload(struct cuda_device *device, struct cuda_module *module) {
    if (module->module && !device_dead(device) && device_enter(device, NULL)) {
        device->driver.cuModuleUnload(module->module);
        device_leave(device);
    }
    mem_free(&device->heap, module, module_bytes(module));
}

/* Takes the module that has been idle longest out of the device's. Under the lock. */
static struct cuda_module *take_oldest(struct cuda_device *device) {
    struct cuda_module **oldest = NULL;
    for (int i = 0; i < MODULE_BUCKETS; i++)
        for (struct cuda_module **at = &device->modules[i]; *at; at = &(*at)->next)
            if (!(*at)->users && (!oldest || (*at)->idle_from < (*oldest)->idle_from)) oldest = at;
    struct cuda_module *module = *oldest;
    *oldest = module->next;
    device->idle_modules--;
    return module;
}

void cuda_module_release(struct cuda_device *device, struct cuda_module *module) {
    struct cuda_module *old = NULL;
    if (!module || device_forked(device)) return; /* in a child the lock may be held for ever */
    pthread_mutex_lock(&device->lock);
    if (--module->users == 0) {
        module->idle_from = ++device->idle_clock;
        if (++device->idle_modules > device->most_idle_modules) old = take_oldest(device);
    }
    pthread_mutex_unlock(&device->lock);
    if (old) unload(device, old);
}

void module_free_all(struct cuda_device *device) {
    for (int i = 0; i < MODULE_BUCKETS; i++) {
        while (device->modules[i]) {
            struct cuda_module *module = device->modules[i];
            device->modules[i] = module->next;
            unload(device, module);
        }
    }
}

/* --- making one --------------------------------------------------------------------------------------------------- */

struct making {
    struct cuda_device *device;
    const struct ptx_kernel *kernel;
    bool fast;
    enum ptx_format format;
    struct cuda_build *build;
    struct cuda_failure *failure;
    struct cuda_module *module;
    struct arena arena;
    struct strbuf key;
    bool done; /* else `failure` says why */
};

enum loading { LOADED, REFUSED, FAILED };

/* The image is of no use here, which is nobody's fault in a cache. */
static bool is_refusal(CUresult result) {
    return result == CUDA_ERROR_INVALID_IMAGE || result == CUDA_ERROR_NO_BINARY_FOR_GPU ||
           result == CUDA_ERROR_INVALID_PTX || result == CUDA_ERROR_UNSUPPORTED_PTX_VERSION ||
           result == CUDA_ERROR_INVALID_SOURCE || result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_NOT_FOUND;
}

static enum loading say_refused(struct making *making, CUresult result, const char *call, const char *log) {
    struct cuda_device *device = making->device;
    char error[240], version[160] = "";
    if (!is_refusal(result) && result != CUDA_ERROR_JIT_COMPILER_NOT_FOUND &&
        result != CUDA_ERROR_JIT_COMPILATION_DISABLED) {
        char doing[140];
        snprintf(doing, sizeof doing, "loading kernel %.80s", making->kernel->name);
        device_check(device, result, call, doing, making->failure);
        return FAILED;
    }
    if (device->nvrtc_major > device->driver.version / 1000 ||
        (making->format == PTX_FORMAT_TEXT &&
         10 * device->nvrtc_minor + 1000 * device->nvrtc_major > device->driver.version))
        snprintf(version, sizeof version, "; NVRTC %d.%d is newer than the driver (CUDA %d.%d), which may be why",
                 device->nvrtc_major, device->nvrtc_minor, device->driver.version / 1000,
                 device->driver.version % 1000 / 10);
    cuda_fail(making->failure, CUDA_FAILED, "loading kernel %.80s: %s: %s%s%s%.400s", making->kernel->name, call,
              driver_error_text(&device->driver, result, error, sizeof error), version, log[0] ? ": " : "", log);
    return REFUSED;
}

/* Lets the function have all the dynamic shared memory that there is: without asking it is 48 KiB. */
static CUresult allow_shared(struct making *making, const char **call) {
    const struct driver *driver = &making->device->driver;
    CUfunction function = making->module->function;
    int fixed;
    *call = "cuFuncGetAttribute";
    CUresult result = driver->cuFuncGetAttribute(&fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function);
    if (result != CUDA_SUCCESS) return result;
    int most = making->device->shared_per_block - fixed;
    making->module->shared = most > 0 ? most : 0;
    *call = "cuFuncSetAttribute";
    return driver->cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      making->module->shared);
}

static enum loading load(struct making *making, const void *image) {
    struct cuda_device *device = making->device;
    const struct driver *driver = &device->driver;
    char log[2000];
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
    const char *call = "cuModuleLoadDataEx";
    if (!device_enter(device, making->failure)) return FAILED;
    memset(log, 0, sizeof log);
    CUresult result = driver->cuModuleLoadDataEx(&making->module->module, image, 2, options, values);
    if (result == CUDA_SUCCESS) {
        call = "cuModuleGetFunction";
        result = driver->cuModuleGetFunction(&making->module->function, making->module->module, making->kernel->name);
        if (result == CUDA_SUCCESS && making->kernel->n_stages) result = allow_shared(making, &call);
        if (result != CUDA_SUCCESS) driver->cuModuleUnload(making->module->module);
    }
    device_leave(device);
    if (result == CUDA_SUCCESS) return LOADED;
    making->module->module = NULL;
    return say_refused(making, result, call, log);
}

static void compile_image(void *argument) {
    struct making *making = argument;
    struct cuda_device *device = making->device;
    const void *image;
    size_t size;
    struct strbuf why;
    strbuf_init(&why, &making->arena);
    if (!ptx_compile(device->compiler, making->kernel->source, making->kernel->name, device->compile_arch, making->fast,
                     making->format, &making->arena, &image, &size, &why)) {
        cuda_fail(making->failure, CUDA_COMPILE, "%s", strbuf_text(&why));
        return;
    }
    if (load(making, image) != LOADED) return;
    making->done = true;
    disk_cache_write(device->cache, making->key.text, making->key.length, image, size);
}

static void write_key(void *argument) {
    struct making *making = argument;
    struct cuda_device *device = making->device;
    strbuf_init(&making->key, &making->arena);
    strbuf_printf(&making->key, "NVRTC %d.%d, sm_%d, for sm_%d, %s\n", device->nvrtc_major, device->nvrtc_minor,
                  device->compile_arch, device->arch, making->kernel->name);
    ptx_options_text(making->fast, device->compile_arch, making->format, &making->key);
    strbuf_printf(&making->key, "\n%s", making->kernel->source);
}

static void load_from_disk(struct making *making) {
    struct cuda_device *device = making->device;
    size_t size;
    char *image = disk_cache_read(device->cache, making->key.text, making->key.length, &size);
    if (!image) return;
    enum loading loading = load(making, image);
    making->done = loading == LOADED;
    making->build->from_disk = loading == LOADED;
    if (loading == REFUSED) disk_cache_remove(device->cache, making->key.text, making->key.length);
    mem_free(&device->heap, image, size + 1);
}

/* making->module becomes whole, or false with `failure`. */
static bool make(struct making *making) {
    struct cuda_device *device = making->device;
    arena_init(&making->arena, &device->heap);
    bool enough = arena_try(&making->arena, write_key, making);
    if (enough) load_from_disk(making);
    if (enough && !making->done && device_alive(device, making->failure))
        enough = arena_try(&making->arena, compile_image, making);
    if (!enough) device_no_host_memory(making->failure);
    arena_free(&making->arena);
    return enough && making->done;
}

static struct cuda_module *module_new(struct cuda_device *device, const struct ptx_kernel *kernel, bool fast,
                                      uint64_t hash) {
    size_t name_size = strlen(kernel->name) + 1, source_size = strlen(kernel->source) + 1;
    struct cuda_module *module = mem_alloc(&device->heap, sizeof *module + name_size + source_size);
    if (!module) return NULL;
    *module = (struct cuda_module){.hash = hash, .fast = fast, .name_size = name_size, .source_size = source_size};
    memcpy(module->text, kernel->name, name_size);
    memcpy(module->text + name_size, kernel->source, source_size);
    return module;
}

struct cuda_module *cuda_module_get(struct cuda_device *device, const struct ptx_kernel *kernel, bool fast,
                                    struct cuda_build *build, struct cuda_failure *failure) {
    int64_t start = device_clock();
    struct cuda_build unwanted;
    struct cuda_failure unheard;
    if (!build) build = &unwanted;
    if (!failure) failure = &unheard;
    *build = (struct cuda_build){0};
    if (!device_alive(device, failure)) return NULL;
    uint64_t hash = disk_cache_hash(kernel->source, strlen(kernel->source), fast);
    pthread_mutex_lock(&device->lock);
    struct cuda_module *found = use(device, find(device, kernel, fast, hash));
    pthread_mutex_unlock(&device->lock);
    build->from_memory = found != NULL;
    if (found) {
        build->seconds = 1e-9 * (double)(device_clock() - start);
        return found;
    }

    struct cuda_module *module = module_new(device, kernel, fast, hash);
    if (!module) {
        device_no_host_memory(failure);
        return NULL;
    }
    struct making making = {
        .device = device,
        .kernel = kernel,
        .fast = fast,
        .format = device->compile_arch / 10 == device->arch / 10 ? PTX_FORMAT_CUBIN : PTX_FORMAT_TEXT,
        .build = build,
        .failure = failure,
        .module = module,
    };
    if (!make(&making)) {
        unload(device, module);
        return NULL;
    }
    /* Another thread may have made the same one meanwhile: the first is kept. */
    pthread_mutex_lock(&device->lock);
    found = use(device, find(device, kernel, fast, hash));
    if (!found) {
        module->users = 1;
        module->next = device->modules[hash % MODULE_BUCKETS];
        device->modules[hash % MODULE_BUCKETS] = module;
    }
    pthread_mutex_unlock(&device->lock);
    if (found) unload(device, module);
    build->seconds = 1e-9 * (double)(device_clock() - start);
    return found ? found : module;
}
