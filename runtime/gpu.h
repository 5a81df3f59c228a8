/* gpu.h: runs on a GPU, on top of runtime/cuda. Not for other rooms.
 *
 *   gpu       one GPU of a context (gpu.c): opened when a call first needs it, closed with the context
 *   gpu_run   one call on it (gpu_run.c): the work that everything is put on, and where the slots' arrays are
 *
 * A slot's array is in host memory (run_slot.data), on the GPU (gpu_slot.there), or in both. Kernels run on the GPU,
 * but for a few operations on scalars that the host has anyway (plan_entry.on_host); what they read is copied there
 * when they first need it, so that the copies for one kernel overlap with the kernel before. Nothing waits until the
 * host needs a value: a condition, a size, something to print. Then all that was launched is waited for and looked
 * through for failures, so that the error of a program is the one that the CPU would have met first.
 */
#ifndef RUNTIME_GPU_H
#define RUNTIME_GPU_H

#include "runtime/cuda/cuda.h"
#include "runtime/launch.h"
#include "runtime/runtime.h"

/* --- GPUs of a context (gpu.c) -------------------------------------------------------------------------------------
 */

enum { COPY_WIDTHS = 4, GPU_KNOWN = 64 };

/* A kernel that copies arrays of one element size and rank, made when first needed. */
struct gpu_copier {
    struct ir_kernel *kernel;
    struct launch_state state;
};

struct gpu {
    struct cuda_device *device;
    int generation; /* fork_generation() when it was opened: a child cannot use it */
    /* Addresses of the caller's that the driver knew as what their tensors said, by a hash: asking again at each call
     * costs more than it is worth. Bit 63: this device's memory. Forgotten now and then, since what was freed may have
     * become another device's. */
    _Atomic uint64_t known[GPU_KNOWN];
    _Atomic int64_t known_since;
    pthread_mutex_t build; /* of copiers and their variants */
    struct arena arena;    /* copiers */
    _Atomic(struct gpu_copier *) copiers[COPY_WIDTHS][TYPE_MAX_RANK + 1];
};

/* The GPU, opened if need be. */
jit_status gpu_open(jit_context *context, int ordinal, struct gpu **gpu, jit_error *error);
void gpu_close_all(jit_context *context);
/* What the driver said of pointers some time ago is asked anew. Before each call's. */
void gpu_forget_pointers(struct gpu *gpu);
/* False, with one line in `problem`: the caller's pointer is not memory of this GPU, or of the host, as its tensor
 * says. */
bool gpu_check_pointer(struct gpu *gpu, uint64_t address, bool on_gpu, char *problem, size_t size);
/* The copier for elements of `size` bytes; NULL: no memory. */
struct gpu_copier *gpu_copier_get(struct gpu *gpu, int64_t size, int rank);
/* Frees what launches compiled for GPUs. */
void gpu_free_variants(jit_context *context, struct launch_state *state);

/* --- runs (gpu_run.c) ----------------------------------------------------------------------------------------------
 */

struct gpu_slot {
    bool there;                    /* on the GPU; else the rest means nothing */
    struct cuda_buffer *buffer;    /* a reference; NULL: memory of the caller */
    uint64_t address;              /* of element [0, ..., 0] */
    int64_t stride[TYPE_MAX_RANK]; /* bytes; may differ from the host's: arrays travel packed */
};

/* An array in host memory: a slot's, a literal, or a part of one as a kernel's loops see it. */
struct host_array {
    bool ours; /* in memory that is used for something else before the call's end, and that a host may give us pinned */
    enum dtype type;
    int rank;
    const char *data;
    const int64_t *shape;
    int64_t stride[TYPE_MAX_RANK];
};

/* A launch that may fail, by its number. */
struct gpu_order {
    int64_t order;
    const struct plan_launch *launch;
    bool several; /* parallel positions */
};

/* Bytes on their way to an output in host memory that is not contiguous: spread out when they are there. */
struct gpu_scatter {
    struct gpu_scatter *next;
    struct buffer *buffer;
    enum dtype type;
    int rank;
    char *to;
    int64_t shape[TYPE_MAX_RANK], stride[TYPE_MAX_RANK];
};

enum { GPU_ORDERS = 64, GPU_HELD = 8, GPU_TAG_COPY = -4 };

struct gpu_run {
    struct gpu *gpu;
    struct cuda_work *work; /* NULL while preparing */
    struct gpu_slot *slots; /* [n_slots], then one a literal */
    /* [n_slots]: the caller's memory where an output may be written at once, 0 elsewhere; and its shape. */
    const uint64_t *direct;
    const int64_t *const *direct_shape;
    bool aliased;               /* such an output is an input's memory */
    bool results_here;          /* results are wanted in host memory that Weft allocates */
    const volatile int *cancel; /* NULL: the call has none */
    bool host_cancelled;        /* the progress callback said so */
    int64_t heard;              /* nanoseconds: when that was last called */
    bool profiling;
    int threads;  /* of the call, for copies within host memory */
    int n_orders; /* since the last look for failures */
    struct gpu_order orders[GPU_ORDERS];
    struct gpu_scatter *scatter;
    int n_held; /* what is being copied to the host beside the rest: released once that is waited for */
    struct cuda_buffer *held[GPU_HELD];
    struct cuda_failure failure;
};

/* A slot's array on the GPU, copied there if need be. `source` as launch_operand.slot. */
bool gpu_source(struct run *run, int source, struct span span, const struct gpu_slot **found);
/* Gives the slot a new array there, in C order: the caller's output if it may be used. */
bool gpu_allocate(struct run *run, int slot, int rank, const int64_t *shape, struct span span);
/* Memory for an array in C order. NULL after an error. */
struct cuda_buffer *gpu_take(struct run *run, enum dtype type, int rank, const int64_t *shape, struct span span,
                             int64_t *stride);
void gpu_drop(struct gpu_slot *slot);
void gpu_share(struct gpu_slot *to, const struct gpu_slot *from);
/* Keeps a reference, which is taken over, until all downloads are done in stream order. */
bool gpu_hold(struct run *run, struct cuda_buffer *buffer);
/* What is put on the work from now on comes after all downloads; releases what was held for them. */
bool gpu_let_go(struct run *run);
/* Large outputs of a launch that belong in pinned memory of the caller set off at once, beside what comes later. */
bool gpu_send_early(const struct launch *launch);
/* Host memory for an array from the GPU. NULL after an error. */
struct buffer *gpu_take_host(struct run *run, int64_t bytes);
/* Copies a slot's array to host memory and waits for it: run_to_host. */
bool gpu_to_host(struct run *run, int slot);
/* Waits for all that was put on the work, then looks for failures of kernels. */
bool gpu_settle(struct run *run);
/* Remembers a launch whose kernel can fail; waits now and then so that there are never too many. */
bool gpu_remember(struct run *run, int64_t order, const struct plan_launch *launch, bool several);
/* Lets the host know that the run goes on; false if it cancelled. */
bool gpu_hear(struct run *run, const char *what);
/* Waits for the end of all work, completes the outputs, reports failures of kernels and gives back what the run held,
 * but for its slots. `status`: how the host's part of the call ended; returns how all of it did. */
jit_status gpu_finish(struct gpu_run *gpu, jit_function *function, struct plan_entry *entry, jit_status status,
                      jit_error *error);
/* Sets the run's status from what the driver said. Returns false. */
bool gpu_fail(struct run *run, struct span span, const struct cuda_failure *failure);
jit_status gpu_status(const struct cuda_failure *failure);

/* True: the array's strides are those of C order. */
bool gpu_is_contiguous(enum dtype type, int rank, const int64_t *shape, const int64_t *stride);
/* Copies on the GPU, strides in bytes, contiguous or not. */
bool gpu_copy(struct run *run, enum dtype type, int rank, const int64_t *shape, uint64_t to, const int64_t *to_stride,
              uint64_t from, const int64_t *from_stride, struct span span);

/* --- from host memory (parcel.c) -----------------------------------------------------------------------------------
 */

/* How an array travels. Elements that several positions share are sent once: dimensions of stride 0 have one, and
 * windows that overlap lie in one stretch without gaps, as do dense arrays in any order of dimensions and direction.
 * Anything else is packed: what lies in gaps is not ours to read. */
struct parcel {
    bool empty, is_packed;
    int64_t shape[TYPE_MAX_RANK];  /* 1 where the stride is 0 */
    int64_t stride[TYPE_MAX_RANK]; /* bytes, on the other side */
    int64_t below, bytes;          /* from the first byte sent to element [0, ..., 0], and in all */
    const char *from;              /* the first byte; unset before parcel_pack if is_packed */
    struct buffer *packed;         /* to be released when the bytes are sent; NULL: they are sent as they lie */
};

void parcel_plan(const struct host_array *array, struct parcel *parcel);
bool parcel_pack(struct run *run, const struct host_array *array, struct parcel *parcel, struct span span);
/* run_copy, by several threads if it is much. */
void parcel_copy(int threads, enum dtype type, int rank, const int64_t *shape, char *to, const int64_t *to_stride,
                 const char *from, const int64_t *from_stride);

/* --- slab by slab (slabs.c) ---------------------------------------------------------------------------------------
 *
 * A map from host memory to host memory whose arrays are large is cut along its outermost dimension: while one slab is
 * computed the next is on its way to the GPU and the one before on its way back. */

/* Finds the launches that this may be done with, and fills in entry->read_once and ->stays. */
void slabs_find(struct plan_entry *entry);
/* The outputs are in host memory, and the slots there, when the work is done. False: it is better run as a whole; the
 * extents are as they were, the operands have yet to be bound. Else *ok says how it went. */
bool slabs_launch(struct launch *launch, bool *ok);
/* Whether that is likely, as far as a launch tells of which nothing is bound yet. */
bool slabs_suit(const struct launch *launch);

/* --- kernels (launch_cuda.c) ---------------------------------------------------------------------------------------
 */

/* Operands whose key is PTX_BY_VALUE have their address in host memory. */
bool launch_cuda(struct launch *launch);

#endif
