/* runtime.h: the objects behind the public handles, and who owns what. Not for other rooms.
 *
 *   context   mem, pool, engine, options, GPUs        counted: the caller's hold and one per function
 *   function  source, program (arena), entries        the caller's; entries are only ever added
 *   entry     one signature's plan (own arena) and the compiled variants of its kernels
 *   run       one call: slots, sizes, the kernel watch; lives on the caller's stack and in one block beside it. On a
 *             GPU it has a gpu_run too (gpu.h)
 *
 * Entries and variants are published by an atomic store at the head of a list and never change afterwards, so calls
 * find them without a lock; building one takes the function's lock.
 */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>

#include <weft/tools.h>

#include "codegen/cpu/cpu.h"
#include "frontend/frontend.h"
#include "ir/plan.h"
#include "runtime/pool.h"

struct gpu;
struct gpu_run;
struct gpu_variant;

enum { MOST_GPUS = 64 };

struct jit_context {
    _Atomic int references;
    struct mem mem;
    struct pool *pool;
    struct cpu_engine *engine;
    jit_options options; /* strings are not kept */
    enum fp_mode fp;
    int ulp;
    int threads;
    int64_t last_level_cache, core_cache; /* bytes; core_cache: a core has it to itself */
    int64_t slabs_from,
        slab_bytes;     /* host memory to a GPU and back: slab by slab from so many bytes on; of each array */
    int device;         /* where programs run whose tensors are all in host memory: a GPU's ordinal; -1: the CPU */
    char *cache_folder; /* owned copy, or NULL */
    _Atomic(struct gpu *) gpus[MOST_GPUS]; /* by ordinal; NULL: not opened */
    pthread_mutex_t opening;               /* held while one is opened */
};

/* --- errors (error.c) --------------------------------------------------------------------------------------------- */

/* Fills `error` (may be NULL) from a list, rendered with carets; returns the first error's status. */
jit_status error_from_diags(jit_error *error, const struct diag_list *diags);
/* One error without a place. Returns `status`. */
jit_status error_set(jit_error *error, jit_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One error at a span of the function's source. */
jit_status error_at(jit_error *error, const struct jit_function *function, jit_status status, struct span span,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* --- functions (compile.c, entry.c, places.c)
 * ------------------------------------------------------------------------------- */

/* One compiled way of running a kernel: the access classes of its operands, then a byte of flags. */
struct kernel_variant {
    struct kernel_variant *next;
    struct kernel_code code;
    int key_length;
    unsigned char key[];
};

struct launch_state {
    _Atomic(struct kernel_variant *) variants;
    _Atomic(struct gpu_variant *) gpu_variants;
    bool in_slabs; /* a map of arrays that are read nowhere else to results: see slabs_find */
    bool on_host;  /* a few operations on scalars that the host has: done there, also when the program runs on a GPU */
    /* Profile: written by runs when on; relaxed. */
    _Atomic int64_t launches, nanoseconds, bytes;
    _Atomic bool on_device; /* the last measured launch was on a GPU */
};

/* What plan_entry.copies counts. */
enum { COPIES_TO_DEVICE, COPIES_TO_HOST, COPIES_ON_DEVICE, COPIES_KINDS };

struct output_info {
    bool direct; /* one kernel, outside loops, fills it: it may write into the caller's memory */
};

struct plan_entry {
    struct plan_entry *next;
    struct arena arena;
    struct plan *plan;
    struct launch_state *launches; /* [plan->n_launches], in the arena */
    struct launch_state *rows;     /* [plan->n_rows]: no CPU variants */
    struct output_info *outputs;   /* [n_outputs] */
    int64_t *initial_sizes;        /* [plan->sizes.count]: constants filled in */
    bool in_place; /* one map kernel whose reads are all at the position it writes: outputs may be inputs */
    /* By slot: a run on a GPU keeps it in host memory: scalar inputs, and what follows from them, literals and sizes by
     * a few scalar operations: loop counters, conditions on them, offsets. Also inputs that are never assigned. */
    bool *on_host;
    bool *read_once; /* by slot: one launch reads it, once, and nothing else does */
    bool *stays;     /* by slot: an output that is written once, and that nothing but kernels reads */
    struct launch_state copies[COPIES_KINDS]; /* profile of what runs on a GPU copied */
    struct frontend_binding bindings[];       /* [n_inputs] */
};

struct jit_function {
    jit_context *context;
    struct arena arena; /* source, program */
    struct frontend_options options;
    struct frontend_program *program;
    const char *file, *source;
    size_t source_length;
    size_t hidden; /* bytes of `source` before the user's text: a session's prelude; errors don't show or count them */
    _Atomic(struct plan_entry *) entries;
    pthread_mutex_t build; /* held while an entry or a variant is made */
    _Atomic int profiling;
};

/* jit_compile_text for a text whose first `hidden` bytes the user did not write. */
jit_function *compile_hidden(jit_context *context, const char *source, size_t length, size_t hidden, const char *file,
                             jit_error *error);
/* The entry for these bindings, built if need be. NULL after an error. */
struct plan_entry *entry_get(jit_function *function, const struct frontend_binding *bindings, jit_error *error);
/* Compiles the kernels that contiguous inputs will need, for the CPU. */
jit_status entry_prepare(jit_function *function, struct plan_entry *entry, jit_error *error);
/* The same for the context's device. */
jit_status entry_prepare_device(jit_function *function, struct plan_entry *entry, jit_error *error);
void entry_free_all(jit_function *function);
/* Fills in entry->on_host and the launches' (places.c). */
void places_find(struct plan_entry *entry);
void context_retain(jit_context *context);
void context_release(jit_context *context);

/* --- running (call.c, run.c, launch*.c, effects.c) ---------------------------------------------------------------- */

struct run_slot {
    struct buffer *buffer; /* a reference; NULL: memory of the caller, of a literal, or of a file */
    char *data;            /* in host memory; NULL: it is not there, so the slot is empty or on the GPU (gpu.h) */
    int64_t shape[TYPE_MAX_RANK], stride[TYPE_MAX_RANK]; /* bytes */
};

struct run {
    jit_function *function;
    jit_context *context;
    struct plan_entry *entry;
    const struct plan *plan;
    struct run_slot *slots;
    int64_t *sizes;
    struct gpu_run *gpu; /* NULL: on the CPU */
    const volatile int *cancel;
    int threads;
    bool preparing; /* entry_prepare: nothing is run, only variants are made */
    /* Where an output in host memory may be written at once: by slot, NULL elsewhere. */
    const DLTensor *const *direct; /* [n_slots], or NULL */
    jit_error *error;
    jit_status status;
    int leaving; /* scope that STEP_LEAVE is on its way out of; -1: none */
    /* Loaded files stay mapped to the end of the run: slots share their memory freely. */
    DLManagedTensor **files;
    int n_files;
};

/* Runs the plan; slots of inputs are filled. False with run->status and run->error set. */
bool run_plan(struct run *run);
/* Empties a slot. */
void run_drop(struct run *run, int slot);
/* Makes sure that a slot's array is in host memory (at slots[slot].data), and, on a GPU, that no kernel before it
 * failed. */
bool run_to_host(struct run *run, int slot);
/* Fills in C-order strides for shape. Returns the number of elements, or -1 if it is negative or too large. */
int64_t run_contiguous(enum dtype type, int rank, const int64_t *shape, int64_t *stride);
/* "[3, 4]", for messages. */
const char *run_shape_text(char *room, size_t size, int rank, const int64_t *shape);
/* Gives the slot an array of this shape in host memory, in C order: the caller's output if it may be used, else from
 * the pool. */
bool run_allocate(struct run *run, int slot, int rank, const int64_t *shape, struct span span);
/* Copies an array of any strides to one of any strides. */
void run_copy(enum dtype type, int rank, const int64_t *shape, char *to, const int64_t *to_stride, const char *from,
              const int64_t *from_stride);

/* An array's size in bytes and, in `stride`, its strides in C order; false, with an error, if it is too large for any
 * memory. */
bool run_measure(struct run *run, enum dtype type, int rank, const int64_t *shape, struct span span, int64_t *stride,
                 int64_t *bytes);

/* The entry for these inputs. */
jit_status call_entry(jit_function *function, const DLTensor *const in[], int n_in, struct plan_entry **entry,
                      jit_error *error);

bool launch_kernel(struct run *run, const struct plan_launch *launch);
bool effect_run(struct run *run, const struct plan_action *action);

/* A subscript that a kernel found out of range: of whole operand `operand` in the OP_load with id `site`. */
struct subscript_fault {
    int64_t position, index, size;
    int site, operand, dim;
};
/* The error of it. `several`: the kernel has more than one parallel position. */
jit_status launch_fault(const jit_function *function, const struct plan *plan, const struct plan_launch *launch,
                        bool several, const struct subscript_fault *fault, jit_error *error);

/* --- fork (fork.c) ------------------------------------------------------------------------------------------------ */

/* Once before anything is held. False: no memory. */
bool fork_prepare(void);
/* Around everything that holds a function's `build` or is in LLVM: no fork() of another thread happens in between. Not
 * nested; nothing in between may leave by longjmp. */
void fork_hold(void);
void fork_allow(void);
/* How many forks lie between the first process and this one. */
int fork_generation(void);

/* --- threads (threads.c) ------------------------------------------------------------------------------------------ */

/* Calls work(argument, begin, end) over [0, count) in pieces that are multiples of `grain` (the last may be shorter),
 * on up to `threads` threads; static: one even piece a thread; else small pieces handed out as threads get free. */
void threads_run(int threads, int64_t count, int64_t grain, bool dynamic,
                 void (*work)(void *argument, int64_t begin, int64_t end), void *argument);
/* Cores this process may use. */
int threads_available(void);

/* --- tensors (tensor.c) ------------------------------------------------------------------------------------------- */

enum dtype tensor_dtype(const DLTensor *tensor); /* TY_NONE if none of ours */
DLDataType tensor_dl_type(enum dtype type);
/* Strides in bytes; C order if the tensor gives none. */
void tensor_strides(const DLTensor *tensor, int64_t *stride);
/* In memory that the host reads: pinned or not. */
bool tensor_is_here(const DLTensor *tensor);
/* A DLManagedTensor that holds one reference to the buffer (taken over), C order. NULL: no memory. */
DLManagedTensor *tensor_wrap(jit_context *context, struct buffer *buffer, enum dtype type, int rank,
                             const int64_t *shape);
struct cuda_buffer;
DLManagedTensor *tensor_wrap_cuda(jit_context *context, struct cuda_buffer *buffer, int device, enum dtype type,
                                  int rank, const int64_t *shape);

#endif
