/* shim.h: what the files of the fake driver share.
 *
 *   driver.c   entry of every call (lock, counting, failing on purpose), objects, control.h
 *   context.c  initialisation, devices, contexts, texts of errors
 *   memory.c   allocations: device memory, pinned host memory, pools, what a pointer is
 *   stream.c   streams, events, the queues and the two threads that work them off
 *   copy.c     copies and memset
 *   module.c   modules, functions, launches
 *   block.c    a launch: the threads of a block as fibers
 *   compile.c  CUDA C to a shared object by g++ (also in the fake NVRTC)
 *
 * One lock guards everything; a kernel runs without it.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "control.h"
#include "cu.h"

#define EXPORT   __attribute__((visibility("default")))
#define SHIM_API EXPORT CUresult

/* --- entering ----------------------------------------------------------------------------------------------------- */

enum shim_need {
    NEED_NOTHING = 0,
    NEED_INIT = 1,    /* cuInit was called */
    NEED_CONTEXT = 3, /* a context is current, and alive */
    RELEASES = 4,     /* gives something back: is done even when it answers an error */
};

struct shim_entry {
    bool locked;
    CUresult answer; /* of a call that RELEASES, instead of its own */
};

CUresult shim_enter(struct shim_entry *entry, const char *function, int need);
void shim_leave(struct shim_entry *entry);
/* At the beginning of every function of the driver. The lock is held until it returns. */
#define ENTER(need)                                                                                                    \
    __attribute__((cleanup(shim_leave))) struct shim_entry entry = {0};                                                \
    do {                                                                                                               \
        CUresult entered = shim_enter(&entry, __func__, need);                                                         \
        if (entered) return entered;                                                                                   \
    } while (0)
/* How functions that RELEASE end. */
#define RELEASED(result) return entry.answer ? entry.answer : (result)

/* A line about a mistake, for stderr and shim_message. */
void shim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
double shim_now(void);
void shim_wait_change(void); /* lets the lock go until something changes */
void shim_signal_change(void);

/* --- objects ------------------------------------------------------------------------------------------------------ */

enum shim_kind { KIND_CONTEXT = 1, KIND_STREAM, KIND_EVENT, KIND_MODULE, KIND_POOL };

struct shim_object { /* the first member of everything that has a handle */
    enum shim_kind kind;
    struct shim_object *next, *previous;
    CUcontext context;
};
void shim_add_object(void *object, enum shim_kind kind, CUcontext context);
void shim_remove_object(void *object);
bool shim_is_object(const void *object, enum shim_kind kind);
struct shim_object *shim_first_object(void);

struct CUctx_st {
    struct shim_object object;
    int device;
    CUresult dead; /* what every call answers from now on */
    CUstream null_stream;
};

struct shim_gpu {
    int arch, multiprocessors;
    size_t memory, used;
    CUcontext primary;
    long primary_references;
    unsigned primary_flags;
    struct CUmemPoolHandle_st *pool;
};
extern struct shim_gpu shim_gpu[SHIM_MAX_DEVICES];
extern int shim_gpus;
extern bool shim_initialised; /* by cuInit */

/* The calling thread's current context, or NULL; never that after NEED_CONTEXT. */
CUcontext shim_current(void);
/* Ends a context: everything in it is gone. */
void shim_end_context(CUcontext context);

struct shim_settings {
    struct shim_math math;
    double patience, delay;
    bool lazy, quiet;
    int driver_version;
    CUresult lost;
    int attribute[CU_DEVICE_ATTRIBUTE_LAST + 1]; /* instead of the device's own, where */
    bool attribute_given[CU_DEVICE_ATTRIBUTE_LAST + 1];
};
extern struct shim_settings shim_settings;

/* --- memory ------------------------------------------------------------------------------------------------------- */

enum shim_memory_kind { MEMORY_DEVICE, MEMORY_PINNED, MEMORY_REGISTERED, MEMORY_MANAGED };

struct shim_memory {
    struct shim_memory *next;
    enum shim_memory_kind kind;
    char *base;
    size_t size;
    CUcontext context;
    unsigned flags;
    unsigned long long id;
    bool freed; /* a free is queued */
};
/* The allocation that all of `size` bytes lie in; NULL: none. Those whose free is queued don't count. */
struct shim_memory *shim_find_memory(const void *address, size_t size);
void shim_free_memory(struct shim_memory *memory);
void shim_free_memory_of(CUcontext context);
/* Whether nothing was written beside an allocation. Says so if there was. */
bool shim_check_guards(void);
void shim_count_memory(struct shim_live *live);

/* --- streams ------------------------------------------------------------------------------------------------------ */

struct shim_mark { /* one record of an event */
    int references;
    bool done;
    CUstream stream;
    unsigned long long number;
    double time;
};

enum shim_op_kind { OP_KERNEL, OP_COPY, OP_SET, OP_RECORD, OP_WAIT, OP_FREE, OP_HOST };

struct shim_op {
    struct shim_op *next;
    enum shim_op_kind kind;
    unsigned long long number, serial; /* of its stream's operations, of all streams' */
    /* OP_COPY: `staged` owns the bytes of pageable memory, freed afterwards. OP_SET: `size` units of `unit` bytes. */
    void *to;
    const void *from;
    void *staged;
    size_t size;
    unsigned unit, value;
    struct shim_mark *mark;     /* OP_RECORD, OP_WAIT */
    struct shim_memory *memory; /* OP_FREE */
    void (*host)(void *);       /* OP_HOST */
    void *host_data;
    struct shim_launch *launch; /* OP_KERNEL */
};

struct CUstream_st {
    struct shim_object object;
    struct shim_op *head, *tail;
    unsigned long long queued, done,
        demanded;         /* numbers of operations: the last one put here, done, and needed by somebody */
    bool running, doomed; /* doomed: destroyed; goes when it is empty */
    unsigned long long running_serial;
    unsigned flags, queries;
    int priority;
};

struct CUevent_st {
    struct shim_object object;
    struct shim_mark *mark; /* the latest; NULL: never recorded */
    unsigned flags, queries;
};

CUstream shim_new_stream(CUcontext context, unsigned flags, int priority);
/* The stream behind a handle (NULL: the context's own); NULL: there is no such stream. */
CUstream shim_stream(CUstream handle);
/* Puts *op, copied, on the stream. */
CUresult shim_queue(CUstream stream, const struct shim_op *op);
/* Waits until all that is on the stream now is done; the context's error. */
CUresult shim_finish(CUstream stream);
CUresult shim_finish_context(CUcontext context);
/* Waits until no kernel runs. */
void shim_wait_idle(void);
/* Streams and events of a context that ends. */
void shim_free_streams_of(CUcontext context);

/* --- modules and launches ----------------------------------------------------------------------------------------- */

struct shim_launch {
    const struct shim_kernel *kernel;
    const struct shim_module *module;
    struct shim_dim grid, block;
    unsigned dynamic;  /* bytes of shared memory besides the kernel's own */
    void **parameters; /* [kernel->n], into the block behind this struct */
};
/* Runs it, without the lock. False: it failed (shim_say was told). */
bool shim_run_launch(const struct shim_launch *launch);
/* The name of the kernel that runs, or NULL. */
const char *shim_running_kernel(void);
void shim_free_modules_of(CUcontext context);
extern const struct shim_host shim_host_functions;
/* math.c: `function` is a SHIM_name; y is not looked at by functions of one argument. */
double shim_math_f64(int function, double x, double y);
float shim_math_f32(int function, float x, float y);

/* --- compiling
 * ---------------------------------------------------------------------------------------------------------------------
 */

/* A shared object of `source` for sm_<arch>. NULL: *log says why. Both are malloc'ed; *log may be NULL or "" after
 * success. `name`: for messages, as NVRTC writes them. Thread-safe. */
void *shim_compile(const char *source, const char *name, int arch, size_t *size, char **log);

#endif
