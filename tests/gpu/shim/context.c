/* context.c: initialisation, devices, contexts, texts of errors; see shim.h. */
#include <dlfcn.h>

#include "shim.h"

/* --- initialisation, errors --------------------------------------------------------------------------------------- */

SHIM_API cuInit(unsigned flags) {
    ENTER(NEED_NOTHING);
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (!shim_gpus) return CUDA_ERROR_NO_DEVICE;
    if (shim_settings.lost) return shim_settings.lost;
    shim_initialised = true;
    return CUDA_SUCCESS;
}

SHIM_API cuDriverGetVersion(int *version) {
    ENTER(NEED_NOTHING);
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = shim_settings.driver_version;
    return CUDA_SUCCESS;
}

static const struct {
    CUresult error;
    const char *name, *text;
} error_texts[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA_ERROR_DEVICE_UNAVAILABLE",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {CUDA_ERROR_ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
     "part or all of the requested memory range is already mapped"},
    {CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
     "pointer does not correspond to a registered memory region"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static CUresult error_text(CUresult error, const char **text, bool name) {
    if (!text) return CUDA_ERROR_INVALID_VALUE;
    *text = NULL;
    for (size_t i = 0; i < sizeof error_texts / sizeof *error_texts; i++)
        if (error_texts[i].error == error) *text = name ? error_texts[i].name : error_texts[i].text;
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

SHIM_API cuGetErrorString(CUresult error, const char **text) {
    return error_text(error, text, false);
}
SHIM_API cuGetErrorName(CUresult error, const char **text) {
    return error_text(error, text, true);
}

SHIM_API cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    (void)version, (void)flags;
    ENTER(NEED_NOTHING);
    if (!symbol || !function) return CUDA_ERROR_INVALID_VALUE;
    Dl_info info;
    *function = NULL;
    if (!dladdr((void *)cuGetProcAddress_v2, &info)) return CUDA_ERROR_UNKNOWN;
    void *self = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    static const char *const suffixes[] = {"_v2", ""};
    for (int i = 0; self && !*function && i < 2; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s%s", symbol, suffixes[i]);
        *function = dlsym(self, name);
    }
    if (self) dlclose(self);
    if (status) *status = *function ? 0 : 1; /* CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND */
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

SHIM_API cuDeviceGetCount(int *count) {
    ENTER(NEED_INIT);
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = shim_gpus;
    return CUDA_SUCCESS;
}

SHIM_API cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER(NEED_INIT);
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || ordinal >= shim_gpus) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

static bool no_device(CUdevice device) {
    return device < 0 || device >= shim_gpus;
}

SHIM_API cuDeviceGetName(char *name, int length, CUdevice device) {
    ENTER(NEED_INIT);
    if (!name || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)length, "Host shim");
    return CUDA_SUCCESS;
}

SHIM_API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    ENTER(NEED_INIT);
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = shim_gpu[device].memory;
    return CUDA_SUCCESS;
}

static int attribute_of(int attribute, const struct shim_gpu *gpu) {
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 49152;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return 101376;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return 102400;
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY: return 65536;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: return 65536;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: return 1000000;
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP: return 1;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return gpu->multiprocessors;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY: return 1;
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS: return 1;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: return 1000000;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: return 64;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: return 1 << 20;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: return gpu->arch / 10 == 7 ? 1024 : 2048;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: return 1;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: return 1;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return gpu->arch / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return gpu->arch % 10;
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY: return 1;
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED: return 1;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR: return 16;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: return 1;
    default: return 0;
    }
}

SHIM_API cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
    ENTER(NEED_INIT);
    if (!value || attribute <= 0 || attribute > CU_DEVICE_ATTRIBUTE_LAST) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *value = shim_settings.attribute_given[attribute] ? shim_settings.attribute[attribute]
                                                      : attribute_of(attribute, &shim_gpu[device]);
    return CUDA_SUCCESS;
}

SHIM_API cuDeviceGetUuid_v2(char uuid[16], CUdevice device) {
    ENTER(NEED_INIT);
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    memset(uuid, 0x5a, 15);
    uuid[15] = (char)device;
    return CUDA_SUCCESS;
}

SHIM_API cuDeviceGetPCIBusId(char *text, int length, CUdevice device) {
    ENTER(NEED_INIT);
    if (!text || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(text, (size_t)length, "0000:%02X:00.0", device + 1);
    return CUDA_SUCCESS;
}

SHIM_API cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer) {
    ENTER(NEED_INIT);
    if (!can) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device) || no_device(peer)) return CUDA_ERROR_INVALID_DEVICE;
    *can = 0;
    return CUDA_SUCCESS;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static __thread struct {
    CUcontext stack[32];
    int depth;
} current;

CUcontext shim_current(void) {
    return current.depth ? current.stack[current.depth - 1] : NULL;
}

void shim_end_context(CUcontext context) {
    if (!context->dead) shim_finish_context(context);
    shim_wait_idle();
    shim_free_streams_of(context);
    shim_free_modules_of(context);
    shim_free_memory_of(context);
    shim_remove_object(context);
    free(context);
}

SHIM_API cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device) {
    ENTER(NEED_INIT);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    struct shim_gpu *gpu = &shim_gpu[device];
    if (!gpu->primary) {
        if (!(gpu->primary = calloc(1, sizeof *gpu->primary))) return CUDA_ERROR_OUT_OF_MEMORY;
        shim_add_object(gpu->primary, KIND_CONTEXT, NULL);
        gpu->primary->device = device;
        gpu->primary->null_stream = shim_new_stream(gpu->primary, 0, 0);
    }
    gpu->primary_references++;
    *out = gpu->primary;
    return CUDA_SUCCESS;
}

SHIM_API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    ENTER(NEED_INIT | RELEASES);
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    struct shim_gpu *gpu = &shim_gpu[device];
    if (!gpu->primary_references) return CUDA_ERROR_INVALID_CONTEXT;
    if (!--gpu->primary_references) {
        CUcontext context = gpu->primary;
        gpu->primary = NULL;
        shim_end_context(context);
    }
    RELEASED(CUDA_SUCCESS);
}

SHIM_API cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    ENTER(NEED_INIT);
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *flags = shim_gpu[device].primary_flags;
    *active = shim_gpu[device].primary != NULL;
    return CUDA_SUCCESS;
}

SHIM_API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
    ENTER(NEED_INIT);
    if (no_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    shim_gpu[device].primary_flags = flags;
    return CUDA_SUCCESS;
}

SHIM_API cuCtxPushCurrent_v2(CUcontext context) {
    ENTER(NEED_INIT);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!shim_is_object(context, KIND_CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (current.depth == (int)(sizeof current.stack / sizeof *current.stack)) {
        shim_say("cuCtxPushCurrent without cuCtxPopCurrent, %d times", current.depth);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    current.stack[current.depth++] = context;
    return CUDA_SUCCESS;
}

SHIM_API cuCtxPopCurrent_v2(CUcontext *context) {
    ENTER(NEED_INIT | RELEASES);
    if (!current.depth) return CUDA_ERROR_INVALID_CONTEXT;
    current.depth--;
    if (context) *context = current.stack[current.depth];
    RELEASED(CUDA_SUCCESS);
}

SHIM_API cuCtxSetCurrent(CUcontext context) {
    ENTER(NEED_INIT);
    if (context && !shim_is_object(context, KIND_CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (!current.depth) {
        if (context) current.stack[current.depth++] = context;
    } else if (context) {
        current.stack[current.depth - 1] = context;
    } else {
        current.depth--;
    }
    return CUDA_SUCCESS;
}

SHIM_API cuCtxGetCurrent(CUcontext *context) {
    ENTER(NEED_INIT);
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    *context = shim_current();
    return CUDA_SUCCESS;
}

SHIM_API cuCtxGetDevice(CUdevice *device) {
    ENTER(NEED_CONTEXT);
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = shim_current()->device;
    return CUDA_SUCCESS;
}

SHIM_API cuCtxGetApiVersion(CUcontext context, unsigned *version) {
    ENTER(NEED_INIT);
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    if (context && !shim_is_object(context, KIND_CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *version = 3020;
    return CUDA_SUCCESS;
}

SHIM_API cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    ENTER(NEED_CONTEXT);
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return CUDA_SUCCESS;
}

SHIM_API cuCtxSynchronize(void) {
    ENTER(NEED_CONTEXT);
    return shim_finish_context(shim_current());
}
