/* driver.h: the CUDA driver's interface as far as Weft uses it, and the door to libcuda.so.1.
 *
 * Declared here by hand, so that nothing of CUDA is needed to build. Handles, numbers and signatures are those of the
 * driver's binary interface since CUDA 11.2, the oldest with stream-ordered memory; it never changes one, it adds new
 * ones beside them (_v2, …). DRIVER_FUNCTIONS is the whole list: field, symbol, parameters.
 */
#ifndef RUNTIME_CUDA_DRIVER_H
#define RUNTIME_CUDA_DRIVER_H

#include "runtime/cuda/cuda.h"

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmemPoolHandle_st *CUmemoryPool;

enum { /* CUresult */
       CUDA_SUCCESS = 0,
       CUDA_ERROR_INVALID_VALUE = 1,
       CUDA_ERROR_OUT_OF_MEMORY = 2,
       CUDA_ERROR_NOT_INITIALIZED = 3,
       CUDA_ERROR_DEINITIALIZED = 4,
       CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
       CUDA_ERROR_NO_DEVICE = 100,
       CUDA_ERROR_INVALID_IMAGE = 200,
       CUDA_ERROR_INVALID_CONTEXT = 201,
       CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
       CUDA_ERROR_ECC_UNCORRECTABLE = 214,
       CUDA_ERROR_INVALID_PTX = 218,
       CUDA_ERROR_NVLINK_UNCORRECTABLE = 220,
       CUDA_ERROR_JIT_COMPILER_NOT_FOUND = 221,
       CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
       CUDA_ERROR_JIT_COMPILATION_DISABLED = 223,
       CUDA_ERROR_CONTAINED = 226,
       CUDA_ERROR_INVALID_SOURCE = 300,
       CUDA_ERROR_NOT_FOUND = 500,
       CUDA_ERROR_NOT_READY = 600,
       CUDA_ERROR_ILLEGAL_ADDRESS = 700,
       CUDA_ERROR_LAUNCH_TIMEOUT = 702,
       CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
       CUDA_ERROR_ASSERT = 710,
       CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
       CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
       CUDA_ERROR_MISALIGNED_ADDRESS = 716,
       CUDA_ERROR_INVALID_ADDRESS_SPACE = 717,
       CUDA_ERROR_INVALID_PC = 718,
       CUDA_ERROR_LAUNCH_FAILED = 719,
       CUDA_ERROR_TENSOR_MEMORY_LEAK = 721,
       CUDA_ERROR_MPS_CONNECTION_FAILED = 805,
       CUDA_ERROR_MPS_RPC_FAILURE = 806,
       CUDA_ERROR_MPS_CLIENT_TERMINATED = 810,
       CUDA_ERROR_EXTERNAL_DEVICE = 911,
       CUDA_ERROR_UNKNOWN = 999,
};

enum { /* CUdevice_attribute */
       CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
       CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
       CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
       CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
};

enum {                                          /* CUfunction_attribute */
       CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1, /* what it declares itself */
       CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
};

enum {                                             /* CUpointer_attribute, and what its type answers */
       CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,       /* unsigned */
       CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,        /* bool: 1 byte; given 8 to be sure */
       CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,    /* int */
       CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11, /* CUdeviceptr */
       CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12,       /* size_t */
       CU_MEMORYTYPE_HOST = 1,
       CU_MEMORYTYPE_DEVICE = 2,
};

enum {                        /* flags and the like */
       CU_STREAM_DEFAULT = 0, /* ordered with the legacy default stream */
       CU_STREAM_NON_BLOCKING = 1,
       CU_STREAM_CAPTURE_STATUS_NONE = 0,
       CU_EVENT_DEFAULT = 0, /* records the time */
       CU_EVENT_BLOCKING_SYNC = 1,
       CU_EVENT_DISABLE_TIMING = 2,
       CU_MEM_ALLOCATION_TYPE_PINNED = 1,
       CU_MEM_LOCATION_TYPE_DEVICE = 1,
       CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4, /* uint64_t */
       CU_JIT_ERROR_LOG_BUFFER = 5,
       CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
};

/* Handles that are no handles. */
#define CU_STREAM_LEGACY     ((CUstream)1)
#define CU_STREAM_PER_THREAD ((CUstream)2)

typedef struct CUmemPoolProps {
    int type, handles; /* CU_MEM_ALLOCATION_TYPE_PINNED; 0: not shared with other processes */
    int location_type, location;
    void *security;
    unsigned char reserved[64]; /* later versions put fields here; 0 is what was before */
} CUmemPoolProps;
_Static_assert(sizeof(CUmemPoolProps) == 88, "the driver's struct");

#define DRIVER_FUNCTIONS(X)                                                                                            \
    X(cuInit, "cuInit", (unsigned flags))                                                                              \
    X(cuDriverGetVersion, "cuDriverGetVersion", (int *version))                                                        \
    X(cuGetErrorName, "cuGetErrorName", (CUresult error, const char **name))                                           \
    X(cuGetErrorString, "cuGetErrorString", (CUresult error, const char **text))                                       \
    X(cuDeviceGetCount, "cuDeviceGetCount", (int *count))                                                              \
    X(cuDeviceGet, "cuDeviceGet", (CUdevice * device, int ordinal))                                                    \
    X(cuDeviceGetName, "cuDeviceGetName", (char *name, int size, CUdevice device))                                     \
    X(cuDeviceTotalMem, "cuDeviceTotalMem_v2", (size_t * bytes, CUdevice device))                                      \
    X(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, CUdevice device))                      \
    X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device))                    \
    X(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (CUdevice device))                                    \
    X(cuCtxPushCurrent, "cuCtxPushCurrent_v2", (CUcontext context))                                                    \
    X(cuCtxPopCurrent, "cuCtxPopCurrent_v2", (CUcontext * context))                                                    \
    X(cuMemGetInfo, "cuMemGetInfo_v2", (size_t * free, size_t * total))                                                \
    X(cuCtxGetStreamPriorityRange, "cuCtxGetStreamPriorityRange", (int *least, int *greatest))                         \
    X(cuMemAlloc, "cuMemAlloc_v2", (CUdeviceptr * address, size_t size))                                               \
    X(cuMemFree, "cuMemFree_v2", (CUdeviceptr address))                                                                \
    X(cuMemPoolCreate, "cuMemPoolCreate", (CUmemoryPool * pool, const CUmemPoolProps *properties))                     \
    X(cuMemPoolDestroy, "cuMemPoolDestroy", (CUmemoryPool pool))                                                       \
    X(cuMemPoolTrimTo, "cuMemPoolTrimTo", (CUmemoryPool pool, size_t keep))                                            \
    X(cuMemPoolSetAttribute, "cuMemPoolSetAttribute", (CUmemoryPool pool, int attribute, void *value))                 \
    X(cuMemAllocFromPoolAsync, "cuMemAllocFromPoolAsync",                                                              \
      (CUdeviceptr * address, size_t size, CUmemoryPool pool, CUstream stream))                                        \
    X(cuMemFreeAsync, "cuMemFreeAsync", (CUdeviceptr address, CUstream stream))                                        \
    X(cuMemHostAlloc, "cuMemHostAlloc", (void **block, size_t size, unsigned flags))                                   \
    X(cuMemFreeHost, "cuMemFreeHost", (void *block))                                                                   \
    X(cuPointerGetAttribute, "cuPointerGetAttribute", (void *value, int attribute, CUdeviceptr address))               \
    X(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void *from, size_t size, CUstream stream))     \
    X(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t size, CUstream stream))           \
    X(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream))     \
    X(cuMemsetD8Async, "cuMemsetD8Async", (CUdeviceptr to, unsigned char byte, size_t size, CUstream stream))          \
    X(cuStreamCreate, "cuStreamCreate", (CUstream * stream, unsigned flags))                                           \
    X(cuStreamCreateWithPriority, "cuStreamCreateWithPriority", (CUstream * stream, unsigned flags, int priority))     \
    X(cuStreamDestroy, "cuStreamDestroy_v2", (CUstream stream))                                                        \
    X(cuStreamSynchronize, "cuStreamSynchronize", (CUstream stream))                                                   \
    X(cuStreamQuery, "cuStreamQuery", (CUstream stream))                                                               \
    X(cuStreamWaitEvent, "cuStreamWaitEvent", (CUstream stream, CUevent event, unsigned flags))                        \
    X(cuStreamGetCtx, "cuStreamGetCtx", (CUstream stream, CUcontext * context))                                        \
    X(cuStreamIsCapturing, "cuStreamIsCapturing", (CUstream stream, int *status))                                      \
    X(cuEventCreate, "cuEventCreate", (CUevent * event, unsigned flags))                                               \
    X(cuEventDestroy, "cuEventDestroy_v2", (CUevent event))                                                            \
    X(cuEventRecord, "cuEventRecord", (CUevent event, CUstream stream))                                                \
    X(cuEventQuery, "cuEventQuery", (CUevent event))                                                                   \
    X(cuEventSynchronize, "cuEventSynchronize", (CUevent event))                                                       \
    X(cuEventElapsedTime, "cuEventElapsedTime", (float *milliseconds, CUevent start, CUevent end))                     \
    X(cuModuleLoadDataEx, "cuModuleLoadDataEx",                                                                        \
      (CUmodule * module, const void *image, unsigned n_options, int *options, void **values))                         \
    X(cuModuleUnload, "cuModuleUnload", (CUmodule module))                                                             \
    X(cuModuleGetFunction, "cuModuleGetFunction", (CUfunction * function, CUmodule module, const char *name))          \
    X(cuFuncGetAttribute, "cuFuncGetAttribute", (int *value, int attribute, CUfunction function))                      \
    X(cuFuncSetAttribute, "cuFuncSetAttribute", (CUfunction function, int attribute, int value))                       \
    X(cuLaunchKernel, "cuLaunchKernel",                                                                                \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,     \
       unsigned block_z, unsigned shared_bytes, CUstream stream, void **parameters, void **extra))

struct driver {
    void *library;
    int version; /* 13000 for CUDA 13.0 */
#define DRIVER_FIELD(name, symbol, parameters) CUresult(*name) parameters;
    DRIVER_FUNCTIONS(DRIVER_FIELD)
#undef DRIVER_FIELD
};

/* Opens libcuda.so.1, finds every function, initializes the driver. False with `failure` (CUDA_UNAVAILABLE), and
 * nothing is open. */
bool driver_open(struct driver *driver, struct cuda_failure *failure);
/* Gives the handle back. The library stays in the process: threads and exit handlers of the driver may still run in it.
 */
void driver_close(struct driver *driver);

/* "CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)". Returns `buffer`. */
const char *driver_error_text(const struct driver *driver, CUresult result, char *buffer, size_t size);
/* The context is of no use after this error, whoever caused it. */
bool driver_error_is_fatal(CUresult result);

/* Fills in `failure` (may be NULL). Returns false. */
bool cuda_fail(struct cuda_failure *failure, enum cuda_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
