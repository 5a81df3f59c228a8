/* module.c: see shim.h. A module is a shared object, written to a file that is gone as soon as it is opened; under
 * AddressSanitizer when it is unloaded, so that reports can name lines. */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <math.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

#if SHIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct CUfunc_st {
    CUmodule module;
    const struct shim_kernel *kernel;
    int dynamic; /* bytes of dynamic shared memory that it may have */
};

struct CUmod_st {
    struct shim_object object;
    void *handle;
    const struct shim_module *module;
    struct CUfunc_st *functions; /* [module->n_kernels] */
    char path[500];
};

/* The size of a shared object in memory: its section headers are its end. 0: it is none, or one for another machine. */
static size_t image_size(const void *image) {
    const ElfW(Ehdr) *head = image;
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_type != ET_DYN || !head->e_shoff) return 0;
    return head->e_shoff + (size_t)head->e_shnum * head->e_shentsize;
}

static void remove_file(const char *path) {
    if (!getenv("SHIM_KEEP")) unlink(path);
}

/* *path: where it lies if it is to be removed later. */
static void *open_image(const void *image, size_t size, char path[500]) {
    const char *folder = getenv("TMPDIR");
    snprintf(path, 500, "%s/weft-shim-XXXXXX", folder && *folder ? folder : "/tmp");
    int file = mkstemp(path);
    if (file < 0) return NULL;
    void *handle = NULL;
    if (write(file, image, size) == (ssize_t)size) {
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!handle) shim_say("%s", dlerror());
    }
    close(file);
    if (!SHIM_ASAN || !handle) {
        remove_file(path);
        path[0] = 0;
    }
    return handle;
}

enum { SHARED_BYTES = 49152, SHARED_BYTES_OPTIN = 101376 }; /* of a thread block: without asking, and at most */

static int static_bytes(const struct shim_module *module) {
    return (int)(module->shared_end - module->shared);
}

static bool runs_on(int image, int device) {
    return image / 10 == device / 10 && image <= device;
}

static CUresult load(CUmodule *out, const void *image) {
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    int arch = shim_gpu[shim_current()->device].arch;
    size_t size;
    void *compiled = NULL;
    if (!memcmp(image, ELFMAG, SELFMAG)) {
        size = image_size(image);
    } else { /* "PTX" is the CUDA C (nvrtc.c) */
        int target = 0;
        if (sscanf(image, "// PTX of the fake NVRTC for compute_%d", &target) != 1) return CUDA_ERROR_INVALID_IMAGE;
        if (target > arch) return CUDA_ERROR_INVALID_PTX;
        if (!(compiled = shim_compile(image, "ptx", arch, &size, NULL))) return CUDA_ERROR_INVALID_PTX;
    }
    char path[500];
    void *handle = size ? open_image(compiled ? compiled : image, size, path) : NULL;
    free(compiled);
    if (!handle) return CUDA_ERROR_INVALID_IMAGE;
    const struct shim_module *module = dlsym(handle, "shim_module");
    CUresult result = !module || module->abi != SHIM_ABI ? CUDA_ERROR_INVALID_IMAGE
                      : !runs_on(module->arch, arch)     ? CUDA_ERROR_NO_BINARY_FOR_GPU
                                                         : CUDA_SUCCESS;
    CUmodule made = result ? NULL : calloc(1, sizeof *made);
    if (!made) {
        dlclose(handle);
        if (path[0]) remove_file(path);
        return result ? result : CUDA_ERROR_OUT_OF_MEMORY;
    }
    shim_add_object(made, KIND_MODULE, shim_current());
    made->handle = handle;
    memcpy(made->path, path, sizeof path);
    made->module = module;
    made->functions = calloc(module->n_kernels + 1, sizeof *made->functions);
    for (unsigned i = 0; made->functions && i < module->n_kernels; i++)
        made->functions[i] = (struct CUfunc_st){made, &module->kernels[i], SHARED_BYTES - static_bytes(module)};
    *out = made;
    return CUDA_SUCCESS;
}

#if SHIM_ASAN
/* After a report. */
static void died(void) {
    for (struct shim_object *o = shim_first_object(); o; o = o->next)
        if (o->kind == KIND_MODULE && ((CUmodule)o)->path[0]) remove_file(((CUmodule)o)->path);
    if (shim_running_kernel()) fprintf(stderr, "fake CUDA: kernel %s was running\n", shim_running_kernel());
}
__attribute__((constructor)) static void expect_death(void) {
    __sanitizer_set_death_callback(died);
}
#endif

static void unload(CUmodule module) {
    shim_remove_object(module);
    dlclose(module->handle);
    if (module->path[0]) remove_file(module->path);
    free(module->functions);
    free(module);
}

void shim_free_modules_of(CUcontext context) {
    for (struct shim_object *o = shim_first_object(), *next; o; o = next) {
        next = o->next;
        if (o->kind == KIND_MODULE && o->context == context) unload((CUmodule)o);
    }
}

SHIM_API cuModuleLoadData(CUmodule *module, const void *image) {
    ENTER(NEED_CONTEXT);
    return load(module, image);
}

SHIM_API cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, int *options, void **values) {
    ENTER(NEED_CONTEXT);
    if (n && (!options || !values)) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) { /* logs are empty */
        if ((options[i] == 3 || options[i] == 5) && values[i]) *(char *)values[i] = 0;
        if (options[i] == 4 || options[i] == 6) values[i] = NULL;
    }
    return load(module, image);
}

SHIM_API cuModuleUnload(CUmodule module) {
    ENTER(NEED_CONTEXT | RELEASES);
    if (!shim_is_object(module, KIND_MODULE)) return CUDA_ERROR_INVALID_HANDLE;
    shim_finish_context(module->object.context);
    shim_wait_idle();
    unload(module);
    RELEASED(CUDA_SUCCESS);
}

SHIM_API cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    ENTER(NEED_CONTEXT);
    if (!function || !name) return CUDA_ERROR_INVALID_VALUE;
    if (!shim_is_object(module, KIND_MODULE)) return CUDA_ERROR_INVALID_HANDLE;
    for (unsigned i = 0; i < module->module->n_kernels; i++)
        if (!strcmp(module->functions[i].kernel->name, name)) {
            *function = &module->functions[i];
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_NOT_FOUND;
}

static bool is_function(CUfunction function) {
    for (struct shim_object *o = shim_first_object(); o; o = o->next) {
        CUmodule module = (CUmodule)o;
        if (o->kind == KIND_MODULE && function >= module->functions &&
            function < module->functions + module->module->n_kernels)
            return true;
    }
    return false;
}

static unsigned max_threads(CUfunction function) {
    return function->kernel->max_threads ? function->kernel->max_threads : 1024;
}

SHIM_API cuFuncGetAttribute(int *value, int attribute, CUfunction function) {
    ENTER(NEED_CONTEXT);
    if (!value || attribute < 0 || attribute > CU_FUNC_ATTRIBUTE_LAST) return CUDA_ERROR_INVALID_VALUE;
    if (!is_function(function)) return CUDA_ERROR_INVALID_HANDLE;
    const struct shim_module *module = function->module->module;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = (int)max_threads(function); break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = static_bytes(module); break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = function->dynamic; break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 32; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = module->arch; break;
    default: *value = 0; break;
    }
    return CUDA_SUCCESS;
}

SHIM_API cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    ENTER(NEED_CONTEXT);
    if (attribute < 0 || attribute > CU_FUNC_ATTRIBUTE_LAST) return CUDA_ERROR_INVALID_VALUE;
    if (!is_function(function)) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value < 0 || value > SHARED_BYTES_OPTIN - static_bytes(function->module->module))
            return CUDA_ERROR_INVALID_VALUE;
        function->dynamic = value;
    }
    return CUDA_SUCCESS;
}

SHIM_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int block_size, size_t shared) {
    (void)shared;
    ENTER(NEED_CONTEXT);
    if (!blocks || block_size <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (!is_function(function)) return CUDA_ERROR_INVALID_HANDLE;
    *blocks = block_size > 1024 ? 0 : 2048 / block_size > 16 ? 16 : 2048 / block_size;
    return CUDA_SUCCESS;
}

SHIM_API cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, CUstream handle, void **parameters,
                        void **extra) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream || !is_function(function)) return CUDA_ERROR_INVALID_HANDLE;
    if (function->module->object.context != stream->object.context) return CUDA_ERROR_INVALID_HANDLE;
    const struct shim_kernel *kernel = function->kernel;
    if (!grid_x || !grid_y || !grid_z || grid_x > 0x7fffffff || grid_y > 65535 || grid_z > 65535 || !block_x ||
        !block_y || !block_z || block_x > 1024 || block_y > 1024 || block_z > 64) {
        shim_say("%s: grid %u x %u x %u of blocks %u x %u x %u", kernel->name, grid_x, grid_y, grid_z, block_x, block_y,
                 block_z);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if ((size_t)block_x * block_y * block_z > max_threads(function)) {
        shim_say("%s: block of %u x %u x %u threads, compiled for at most %u", kernel->name, block_x, block_y, block_z,
                 max_threads(function));
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (shared > (unsigned)(function->dynamic > 0 ? function->dynamic : 0)) {
        shim_say("%s: %u bytes of dynamic shared memory, of which it may have %d", kernel->name, shared,
                 function->dynamic);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (extra || (kernel->n && !parameters)) {
        shim_say("%s: launched without parameters", kernel->name);
        return CUDA_ERROR_INVALID_VALUE;
    }
    size_t bytes = 0, room = 0;
    for (unsigned i = 0; i < kernel->n; i++) {
        if (!parameters[i]) {
            shim_say("%s: parameter %u of %u is missing", kernel->name, i, kernel->n);
            return CUDA_ERROR_INVALID_VALUE;
        }
        size_t alignment = kernel->sizes[i] >= 8 ? 8 : kernel->sizes[i];
        bytes = (bytes + alignment - 1) / alignment * alignment + kernel->sizes[i];
        room += (kernel->sizes[i] + 15) / 16 * 16;
    }
    if (bytes > 4096) {
        shim_say("%s: %zu bytes of parameters", kernel->name, bytes);
        return CUDA_ERROR_INVALID_VALUE;
    }
    size_t pointers = (sizeof(struct shim_launch) + kernel->n * sizeof(void *) + 15) / 16 * 16;
    struct shim_launch *launch = malloc(pointers + room);
    if (!launch) return CUDA_ERROR_OUT_OF_MEMORY;
    *launch = (struct shim_launch){.kernel = kernel,
                                   .module = function->module->module,
                                   .grid = {grid_x, grid_y, grid_z},
                                   .block = {block_x, block_y, block_z},
                                   .dynamic = shared,
                                   .parameters = (void **)(launch + 1)};
    char *at = (char *)launch + pointers;
    for (unsigned i = 0; i < kernel->n; i++) {
        launch->parameters[i] = memcpy(at, parameters[i], kernel->sizes[i]);
        at += (kernel->sizes[i] + 15) / 16 * 16;
    }
    CUresult result = shim_queue(stream, &(struct shim_op){.kind = OP_KERNEL, .launch = launch});
    if (result) free(launch);
    return result;
}
