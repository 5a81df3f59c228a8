/* control.h: what tests can do with the fake CUDA device, beyond CUDA.
 *
 * The functions are exported by the fake libcuda.so.1; a test finds them by dlsym on that library (dlopen it first, or
 * link with nothing and use shim_open below). All are thread-safe unless it says otherwise.
 *
 * The device is lazy: what is put on a stream is not done before something needs it: a synchronisation, the third query
 * in vain, a synchronous copy, or a kernel that runs for longer than the device's patience (then everything queued may
 * run, as on a real device). Only what that synchronisation waits for is done, other streams stand still. The default
 * stream and those that are not CU_STREAM_NON_BLOCKING come after one another, as things were put there. Pageable
 * memory is copied as the real driver does it: to the device at once, to the host before the call returns. Blocks and
 * threads run in changing directions. Device memory comes filled with 0xFB.
 */
#ifndef SHIM_CONTROL_H
#define SHIM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this is compiled under AddressSanitizer: kernels are, too, then. */
#if defined(__SANITIZE_ADDRESS__)
#define SHIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHIM_ASAN 1
#endif
#endif
#ifndef SHIM_ASAN
#define SHIM_ASAN 0
#endif

/* Elementary functions. `function` is an index into shim_math_names: "exp", "pow", ... (the f32 ones have the same
 * index; y is 0 for those of one argument). NULL pointers: libm's. Called in the device's threads, one at a time. */
struct shim_math {
    double (*f64)(void *host, int function, double x, double y);
    float (*f32)(void *host, int function, float x, float y);
    void *host;
};

enum { SHIM_MAX_DEVICES = 4 };

struct shim_live {                                                       /* what there is of the driver's objects now */
    long allocations, pinned, streams, events, modules, pools, contexts; /* contexts: how often retained */
    size_t bytes, pinned_bytes;
};

#define SHIM_CONTROL_FUNCTIONS(F)                                                                                      \
    /* Back to how the library was loaded: settings, failures, counts; what is live stays. */                          \
    F(void, shim_reset, (void))                                                                                        \
    F(void, shim_set_math, (const struct shim_math *math))                                                             \
    F(int, shim_math_count, (void))                                                                                    \
    F(const char *, shim_math_name, (int function))                                                                    \
    /* The device(s). Before cuInit or between contexts. arch: 90 for compute capability 9.0 (default 90). */          \
    F(void, shim_set_devices, (int count))                                                                             \
    F(void, shim_set_arch, (int device, int arch))                                                                     \
    F(void, shim_set_memory, (int device, size_t bytes))                                                               \
    F(void, shim_set_multiprocessors, (int device, int count))                                                         \
    F(void, shim_set_driver_version, (int version)) /* 13000 */                                                        \
    /* Device attribute `attribute` answers `value` on all devices (e.g. 115, memory pools: 0). */                     \
    F(void, shim_set_attribute, (int attribute, int value))                                                            \
    /* Failures. `call`: "cuMemAllocAsync" (without _v2). The nth call from now (1: the next) answers `error` and does \
     * nothing; one that releases something does it all the same. call NULL: any call. nth 0: none. One at a time a    \
     * name. */                                                                                                        \
    F(void, shim_fail, (const char *call, long nth, int error))                                                        \
    F(void, shim_fail_at, (long nth))    /* shim_fail(NULL, nth, 999) */                                               \
    F(const char *, shim_failed, (void)) /* the call that shim_fail made fail last; "": none */                        \
    /* Every call answers `error` from now on (0: is well again; contexts made before stay dead). */                   \
    F(void, shim_lose_device, (int error))                                                                             \
    /* Calls of one function (NULL: of all) since the library was loaded or shim_reset. */                             \
    F(long, shim_calls, (const char *call))                                                                            \
    F(void, shim_get_live, (struct shim_live * live))                                                                  \
    F(long, shim_objects, (void)) /* the sum of all counts of struct shim_live */                                      \
    /* How long a kernel runs before everything queued on other streams may run, too: 0.005 s. */                      \
    F(void, shim_set_patience, (double seconds))                                                                       \
    /* Every kernel takes so much longer. */                                                                           \
    F(void, shim_set_delay, (double seconds))                                                                          \
    /* false: everything is done as soon as it is queued and what it waits for is done (also: SHIM_EAGER in the        \
     * environment). */                                                                                                \
    F(void, shim_set_lazy, (bool lazy))                                                                                \
    /* What is said on stderr about failing kernels is kept to oneself. */                                             \
    F(void, shim_set_quiet, (bool quiet))                                                                              \
    /* The last such line. Valid until the next. */                                                                    \
    F(const char *, shim_message, (void))

/* The same for the fake libnvrtc.so.13, of which these are exports. */
#define SHIM_NVRTC_FUNCTIONS(F)                                                                                        \
    F(void, shim_nvrtc_set_version, (int major, int minor)) /* 13, 0 */                                                \
    /* The newest architecture it knows, of 75 80 86 87 88 89 90 100 103 110 120 121. */                               \
    F(void, shim_nvrtc_set_newest, (int arch))                                                                         \
    F(long, shim_nvrtc_compilations, (void))                                                                           \
    F(long, shim_nvrtc_programs, (void))            /* created and not destroyed */                                    \
    F(const char *, shim_nvrtc_options, (void))     /* of the last compilation, with spaces between them */            \
    F(void, shim_nvrtc_fail, (long nth, int error)) /* the nth compilation from now answers `error` */

#define SHIM_DECLARE(type, name, parameters) type name parameters;
SHIM_CONTROL_FUNCTIONS(SHIM_DECLARE)
SHIM_NVRTC_FUNCTIONS(SHIM_DECLARE)
#undef SHIM_DECLARE

#endif
