/* driver.c: opening libcuda.so.1, and its errors as text. */
#include "runtime/cuda/driver.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>

enum { OLDEST = 11020 }; /* CUDA 11.2: memory pools */

bool cuda_fail(struct cuda_failure *failure, enum cuda_status status, const char *format, ...) {
    if (!failure) return false;
    va_list args;
    va_start(args, format);
    failure->status = status;
    vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
    return false;
}

const char *driver_error_text(const struct driver *driver, CUresult result, char *buffer, size_t size) {
    const char *name = NULL, *text = NULL;
    if (driver->cuGetErrorName(result, &name) != CUDA_SUCCESS) name = NULL;
    if (driver->cuGetErrorString(result, &text) != CUDA_SUCCESS) text = NULL;
    if (name)
        snprintf(buffer, size, text ? "%s (%s)" : "%s", name, text);
    else
        snprintf(buffer, size, "error %d", result);
    return buffer;
}

bool driver_error_is_fatal(CUresult result) {
    switch (result) {
    case CUDA_ERROR_NOT_INITIALIZED: /* in a child of fork() */
    case CUDA_ERROR_DEINITIALIZED:   /* the process is ending */
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_INVALID_CONTEXT: /* somebody reset the device */
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
    case CUDA_ERROR_MPS_CONNECTION_FAILED:
    case CUDA_ERROR_MPS_RPC_FAILURE:
    case CUDA_ERROR_MPS_CLIENT_TERMINATED:
    case CUDA_ERROR_EXTERNAL_DEVICE:
    case CUDA_ERROR_UNKNOWN: return true;
    default: return false;
    }
}

/* The first symbol that is missing; NULL: all are there. */
static const char *driver_find(struct driver *driver) {
    const char *missing = NULL;
#define DRIVER_FIND(name, symbol, parameters)                                                                          \
    *(void **)&driver->name = dlsym(driver->library, symbol);                                                          \
    if (!driver->name && !missing) missing = symbol;
    DRIVER_FUNCTIONS(DRIVER_FIND)
#undef DRIVER_FIND
    return missing;
}

static bool driver_start(struct driver *driver, struct cuda_failure *failure) {
    char text[300];
    const char *missing = driver_find(driver);

    if (driver->cuDriverGetVersion && driver->cuDriverGetVersion(&driver->version) == CUDA_SUCCESS &&
        driver->version < OLDEST)
        return cuda_fail(failure, CUDA_UNAVAILABLE,
                         "the NVIDIA driver is too old: it supports CUDA %d.%d, and 11.2 or newer is needed",
                         driver->version / 1000, driver->version % 1000 / 10);
    if (missing)
        return cuda_fail(failure, CUDA_UNAVAILABLE,
                         "libcuda.so.1 has no %s: the NVIDIA driver is too old (CUDA 11.2 or newer is needed)",
                         missing);
    CUresult result = driver->cuInit(0);
    if (result == CUDA_ERROR_NO_DEVICE)
        return cuda_fail(failure, CUDA_UNAVAILABLE, "the NVIDIA driver finds no GPU: cuInit: %s",
                         driver_error_text(driver, result, text, sizeof text));
    if (result != CUDA_SUCCESS)
        return cuda_fail(failure, CUDA_UNAVAILABLE, "the NVIDIA driver does not start%s: cuInit: %s",
                         result == CUDA_ERROR_NOT_INITIALIZED
                             ? " (in a child made by fork(), a GPU that the parent used cannot be used)"
                             : "",
                         driver_error_text(driver, result, text, sizeof text));
    return true;
}

bool driver_open(struct driver *driver, struct cuda_failure *failure) {
    *driver = (struct driver){0};
    driver->library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!driver->library) {
        const char *why = dlerror();
        return cuda_fail(failure, CUDA_UNAVAILABLE, "no NVIDIA driver: %s",
                         why ? why : "libcuda.so.1 cannot be opened");
    }
    if (driver_start(driver, failure)) return true;
    driver_close(driver);
    return false;
}

void driver_close(struct driver *driver) {
    if (driver->library) dlclose(driver->library);
    driver->library = NULL;
}
