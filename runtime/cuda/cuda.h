/* cuda.h: GPUs through the CUDA driver, which is opened at run time (libcuda.so.1): devices, memory, streams, modules
 * and the disk cache of compiled kernels. The only room that sees the driver's interface. Knows nothing of plans.
 *
 *   cuda_device   one GPU as one jit_context uses it: the driver's functions, the device's primary CUDA context (so
 * pointers of CuPy, PyTorch and other hosts in the process are valid), NVRTC, modules loaded so far. Thread-safe.
 *   cuda_work     what one call uses: a stream (its own or the host's), two copy streams, pinned staging, the watch.
 * Taken from the device and given back; used by one thread at a time.
 *
 * The host's current CUDA context is never changed: every function here pushes the device's and pops it again. No
 * function but cuda_describe (for want of memory in its arena) leaves by longjmp. Failures are told by a struct
 * cuda_failure; after CUDA_LOST the device answers everything with CUDA_LOST.
 */
#ifndef RUNTIME_CUDA_CUDA_H
#define RUNTIME_CUDA_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "codegen/ptx/ptx.h"

enum cuda_status {
    CUDA_OK,
    CUDA_UNAVAILABLE, /* no driver, one that is too old, no such device, no NVRTC */
    CUDA_NO_MEMORY,   /* of the device (the text says how much was asked for and how much is free) or of the host */
    CUDA_COMPILE,     /* NVRTC refused what we generated: the text is its log */
    CUDA_LOST,        /* the device or its context died: a fault in somebody's kernel, a reset, a driver in trouble */
    CUDA_CANCELLED,
    CUDA_ARGUMENT, /* the host's stream is none that can be used */
    CUDA_FAILED,   /* anything else; the text names the driver's call and its error */
};

struct cuda_failure {
    enum cuda_status status;
    char text[1000];
};

/* --- devices ------------------------------------------------------------------------------------------------------ */

struct cuda_options {
    struct mem *mem;          /* for host memory; outlives the device */
    int ordinal;              /* "cuda:1" is 1 */
    const char *cache_folder; /* NULL: $XDG_CACHE_HOME/weft or $HOME/.cache/weft; "": no disk cache. Copied */
    size_t cache_bytes;       /* bound of the disk cache; 0: 256 MiB */
    size_t memory_limit;      /* bytes of device memory held at once; 0: no limit */
    /* Copies within host memory, of up to a few MiB at a time, by `threads` threads (cuda_set_threads). NULL: memcpy.
     */
    void (*copy)(int threads, void *to, const void *from, size_t size);
};

struct cuda_device;

/* NULL with `failure`. Opens driver and NVRTC, retains the primary context, makes one cuda_work. After fork() the child
 * can do no more with a device than close it: everything else answers CUDA_LOST, at once. */
struct cuda_device *cuda_device_open(const struct cuda_options *options, struct cuda_failure *failure);
/* No work may be out. Buffers may outlive it: they hold what they need. NULL is ignored. */
void cuda_device_close(struct cuda_device *device);
int cuda_device_ordinal(const struct cuda_device *device);
int cuda_device_arch(const struct cuda_device *device);         /* 90 for compute capability 9.0 */
const char *cuda_device_name(const struct cuda_device *device); /* "NVIDIA H200" */
const struct ptx_limits *cuda_device_limits(const struct cuda_device *device);
int cuda_device_shared(const struct cuda_device *device);  /* bytes that a thread block may have, static and dynamic */
size_t cuda_device_held(const struct cuda_device *device); /* bytes of device memory handed out now */

/* What `weft info` says about GPUs: a line for the driver ("driver: CUDA 13.0", or why there is none), one for NVRTC
 * ("compiler: NVRTC 13.0 for sm_75, sm_80, …"), one a device ("cuda:0: NVIDIA H200, sm_90, 132 multiprocessors, 139.8
 * GiB, driver 13.0"). Opens and closes everything itself. */
void cuda_describe(struct strbuf *out);

/* "cuda", "cuda:0", "cuda:1": the ordinal. -1: the text is no CUDA device. */
int cuda_parse_device(const char *text);

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Device memory, counted. */
struct cuda_buffer {
    uint64_t address; /* aligned to 256 bytes */
    size_t size;
    /* Private. */
    _Atomic uint32_t references;
    struct cuda_device *device;
    struct cuda_stream *stream; /* of the work that took it: see cuda_release; counted, and with it the device */
    uint32_t lending;           /* that use of a host's stream; 0: none */
};

struct cuda_work;

/* `size` bytes, valid in work's stream at once and in other streams after it (cuMemAllocAsync from the device's pool).
 * Contents are unspecified. NULL with `failure`. */
struct cuda_buffer *cuda_take(struct cuda_work *work, size_t size, struct cuda_failure *failure);
/* The same, with a copy of host memory in it: cuda_take and cuda_copy_to_device in one. Large copies wait for no kernel
 * put before them, so they overlap; what is put on the work afterwards comes after the copy, the buffer's release
 * included. `staged`: `from` may be changed when it returns, also if it is pinned memory. */
struct cuda_buffer *cuda_upload(struct cuda_work *work, const void *from, size_t size, bool staged,
                                struct cuda_failure *failure);
void cuda_retain(struct cuda_buffer *buffer);
/* One reference less; the last one frees it, in stream order after all that was put on the work that took it, and after
 * what is on the legacy default stream. From any thread; also after that work was given back and the device closed.
 * What a host put on streams of its own must be done by then. NULL is ignored. */
void cuda_release(struct cuda_buffer *buffer);

/* Where a pointer of the caller's leads: the ordinal of its device, -1 if it is no device memory that the driver knows,
 * CUDA_POINTER_UNKNOWN if the device is lost. */
enum { CUDA_POINTER_UNKNOWN = -2 };
int cuda_pointer_device(struct cuda_device *device, uint64_t address);
/* False: it leads to memory of a GPU that is not managed, which the host cannot touch. */
bool cuda_host_can_reach(struct cuda_device *device, uint64_t address);

/* --- work: streams, copies, waiting ------------------------------------------------------------------------------- */

/* `host_stream`: a CUstream of the host, of the device's primary context, on which everything is to be put; it must
 * live until cuda_work_end; (void *)1, CU_STREAM_LEGACY, is the default stream. NULL: one of ours, which as all
 * ordinary streams comes after what is on the legacy default stream, and what is put on that later comes after it. NULL
 * with `failure`. */
struct cuda_work *cuda_work_begin(struct cuda_device *device, void *host_stream, struct cuda_failure *failure);
/* What was put on the streams should be done (cuda_wait) or doomed (CUDA_LOST); else it is waited for here, and nobody
 * hears of failures. NULL is ignored. */
void cuda_work_end(struct cuda_work *work);
struct cuda_device *cuda_work_device(struct cuda_work *work);
/* Copies of more than 8 MiB of pageable memory wait until a part of what was put on the work is done; so does, with a
 * flag, every 512th launch. When *cancel becomes nonzero meanwhile they end with CUDA_CANCELLED, as cuda_wait does,
 * which looks at this flag when it is given none. NULL: no flag. */
void cuda_set_cancel(struct cuda_work *work, const volatile int *cancel);

/* Most threads that copy within host memory for this work; until then 1. */
void cuda_set_threads(struct cuda_work *work, int threads);
/* The driver knows managed memory at the address. */
bool cuda_is_managed(struct cuda_device *device, uint64_t address);
/* All of it is pinned host memory: copies go directly. */
bool cuda_is_pinned(struct cuda_device *device, const void *address, size_t size);
/* Copies between host memory of any kind and device memory, `size` contiguous bytes, in stream order. Pageable memory
 * goes through pinned staging, in pieces, so that the copy of one piece overlaps the transfer of the one before; pinned
 * memory goes directly. to_device: when it returns, `from` may be changed, unless it is pinned memory, which must stay
 * as it is until cuda_wait. to_host: when it returns the bytes may still be under way; they are there after cuda_wait.
 * `to` must stay valid until then. */
bool cuda_copy_to_device(struct cuda_work *work, uint64_t to, const void *from, size_t size,
                         struct cuda_failure *failure);
bool cuda_copy_to_host(struct cuda_work *work, void *to, uint64_t from, size_t size, struct cuda_failure *failure);
bool cuda_copy_on_device(struct cuda_work *work, uint64_t to, uint64_t from, size_t size, struct cuda_failure *failure);

/* As cuda_copy_to_host, but what is put on the work afterwards need not come after it if it is large: it overlaps.
 * Until cuda_join or cuda_wait, `from` may be neither written to by that nor released. */
bool cuda_download(struct cuda_work *work, void *to, uint64_t from, size_t size, struct cuda_failure *failure);
/* What is put on the work from now on, releases included, comes after all its downloads. */
bool cuda_join(struct cuda_work *work, struct cuda_failure *failure);

/* A long computation in pieces, of which three are under way at once: one is copied to the device, one is computed, one
 * is copied back. Piece i uses the device memory of turn i % CUDA_TURNS. In order, for each piece: cuda_turn_begin;
 * uploads into the turn's memory; the launch, then cuda_turn_computed; and, best after the launch of the piece that
 * follows, so that nothing waits for this one's, downloads from the turn's memory. That memory was taken on this work,
 * before cuda_turns_begin, and is held until cuda_join or cuda_wait. `staged` as for cuda_upload. */
enum { CUDA_TURNS = 3 };
bool cuda_turns_begin(struct cuda_work *work, struct cuda_failure *failure);
/* `again`: the turn was used since cuda_turns_begin. */
bool cuda_turn_begin(struct cuda_work *work, int turn, bool again, struct cuda_failure *failure);
bool cuda_turn_upload(struct cuda_work *work, uint64_t to, const void *from, size_t size, bool staged,
                      struct cuda_failure *failure);
bool cuda_turn_computed(struct cuda_work *work, int turn, struct cuda_failure *failure);
bool cuda_turn_download(struct cuda_work *work, int turn, void *to, uint64_t from, size_t size,
                        struct cuda_failure *failure);

/* Waits until all that was put on the work is done, copies to the host included; CUDA_CANCELLED if *cancel became
 * nonzero meanwhile (`cancel` may be NULL: then the flag of cuda_set_cancel): kernels were told and have ended, what
 * they wrote is unspecified. Without a flag the thread sleeps in the driver; with one, it looks at it between short
 * sleeps. */
bool cuda_wait(struct cuda_work *work, const volatile int *cancel, struct cuda_failure *failure);
/* True if cuda_wait would not block. On a host's stream the first of these two calls after something was put there
 * marks the end of what is waited for: call this one when all is put. */
bool cuda_is_done(struct cuda_work *work);

/* --- modules and launches ----------------------------------------------------------------------------------------- */

/* A compiled kernel, loaded. Owned by the device, which loads the same source once and counts its users; of those that
 * have none the last few hundred stay. */
struct cuda_module;

struct cuda_build {              /* how a module came to be, for jit_explain-like reports and tests */
    bool from_memory, from_disk; /* else compiled now */
    double seconds;
};

/* Finds the kernel's machine code in the device's memory, in the disk cache, or compiles it with NVRTC and stores it
 * there (a cache that cannot be written or read is no error: the kernel is compiled). `build` may be NULL. NULL with
 * `failure`. Thread-safe. */
struct cuda_module *cuda_module_get(struct cuda_device *device, const struct ptx_kernel *kernel, bool fast,
                                    struct cuda_build *build, struct cuda_failure *failure);
/* For each cuda_module_get, when no work that uses the module is under way. NULL is ignored. */
void cuda_module_release(struct cuda_device *device, struct cuda_module *module);
/* Bytes of dynamic shared memory that a thread block of the kernel may have: ptx_grid.shared_bytes. 0 for kernels of
 * one stage, which have none. */
int cuda_module_shared(const struct cuda_module *module);

/* Puts the kernel on the work's stream, after all that was put on the work so far. `values`: [n_parameters], as
 * ptx_parameter says, with those of PTX_PARAM_WATCH, ORDER, PARTIALS, COUNTERS and GRID filled in by this function
 * (ORDER: *order receives it). Returns before it runs. */
bool cuda_launch(struct cuda_work *work, struct cuda_module *module, const struct ptx_kernel *kernel,
                 const struct ptx_grid *grid, uint64_t *values, int64_t *order, struct cuda_failure *failure);

/* The first failure inside kernels of this work since cuda_work_begin, after cuda_wait said so: true and *watch if
 * there is one. Launches whose kernels can fail make cuda_wait fetch it. The work may go on afterwards: what failed is
 * forgotten. */
bool cuda_work_fault(struct cuda_work *work, struct ptx_watch *watch);

/* --- measuring ---------------------------------------------------------------------------------------------------- */

/* From here on the work records device time around every launch and copy. `tag` of a launch is what cuda_set_tag set
 * last. */
void cuda_profile(struct cuda_work *work, bool on);
void cuda_set_tag(struct cuda_work *work, int tag);
enum { CUDA_TAG_TO_DEVICE = -1, CUDA_TAG_TO_HOST = -2, CUDA_TAG_ON_DEVICE = -3 };
/* After cuda_wait: calls `row` for each recorded launch or copy, and forgets them. `bytes`: of copies; 0 for launches.
 */
void cuda_profile_read(struct cuda_work *work, void (*row)(void *host, int tag, double seconds, double bytes),
                       void *host);

#endif
