/* runtime.h: the objects behind the public handles, and who owns what. Not for other rooms.
 *
 *   context   mem, pool, engine, options              counted: the caller's hold and one per function
 *   function  source, program (arena), entries        the caller's; entries are only ever added
 *   entry     one signature's plan (own arena) and the compiled variants of its kernels
 *   run       one call: slots, sizes, the kernel watch; lives on the caller's stack and in one block beside it
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

struct jit_context {
    _Atomic int references;
    struct mem mem;
    struct pool *pool;
    struct cpu_engine *engine;
    jit_options options; /* strings are not kept */
    enum fp_mode fp;
    int ulp;
    int threads;
    int64_t last_level_cache; /* bytes */
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

/* --- functions (compile.c, entry.c) ------------------------------------------------------------------------------- */

/* One compiled way of running a kernel: the access classes of its operands, then a byte of flags. */
struct kernel_variant {
    struct kernel_variant *next;
    struct kernel_code code;
    int key_length;
    unsigned char key[];
};

struct launch_state {
    _Atomic(struct kernel_variant *) variants;
    /* Profile: written by runs when on; relaxed. */
    _Atomic int64_t launches, nanoseconds, bytes;
};

struct output_info {
    bool direct; /* one kernel, outside loops, fills it: it may write into the caller's memory */
};

struct plan_entry {
    struct plan_entry *next;
    struct arena arena;
    struct plan *plan;
    struct launch_state *launches; /* [plan->n_launches], in the arena */
    struct output_info *outputs;   /* [n_outputs] */
    int64_t *initial_sizes;        /* [plan->sizes.count]: constants filled in */
    bool in_place; /* one map kernel whose reads are all at the position it writes: outputs may be inputs */
    struct frontend_binding bindings[]; /* [n_inputs] */
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
/* Compiles the kernels that contiguous inputs will need. */
jit_status entry_prepare(jit_function *function, struct plan_entry *entry, jit_error *error);
void entry_free_all(jit_function *function);
void context_retain(jit_context *context);
void context_release(jit_context *context);

/* --- running (call.c, run.c, launch.c, effects.c) ----------------------------------------------------------------- */

struct run_slot {
    struct buffer *buffer; /* a reference; NULL: memory of the caller, of a literal, or of a file */
    char *data;            /* NULL: the slot is empty */
    int64_t shape[TYPE_MAX_RANK], stride[TYPE_MAX_RANK]; /* bytes */
};

struct run {
    jit_function *function;
    jit_context *context;
    struct plan_entry *entry;
    const struct plan *plan;
    struct run_slot *slots;
    int64_t *sizes;
    const volatile int *cancel;
    int threads;
    bool preparing; /* entry_prepare: nothing is run, only variants are made */
    /* Where an output may be written at once: by slot, NULL elsewhere. */
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
void run_drop(struct run_slot *slot);
/* Fills in C-order strides for shape. Returns the number of elements, or -1 if it is negative or too large. */
int64_t run_contiguous(enum dtype type, int rank, const int64_t *shape, int64_t *stride);
/* "[3, 4]", for messages. */
const char *run_shape_text(char *room, size_t size, int rank, const int64_t *shape);
/* Gives the slot an array of this shape, in C order: the caller's output if it may be used, else from the pool. */
bool run_allocate(struct run *run, int slot, int rank, const int64_t *shape, struct span span);
/* Copies an array of any strides to one of any strides. */
void run_copy(enum dtype type, int rank, const int64_t *shape, char *to, const int64_t *to_stride, const char *from,
              const int64_t *from_stride);

/* The entry for these inputs. */
jit_status call_entry(jit_function *function, const DLTensor *const in[], int n_in, struct plan_entry **entry,
                      jit_error *error);

bool launch_kernel(struct run *run, const struct plan_launch *launch);
bool effect_run(struct run *run, const struct plan_action *action);

/* --- fork (fork.c) ------------------------------------------------------------------------------------------------ */

/* Once before anything is held. False: no memory. */
bool fork_prepare(void);
/* Around everything that holds a function's `build` or is in LLVM: no fork() of another thread happens in between. Not
 * nested; nothing in between may leave by longjmp. */
void fork_hold(void);
void fork_allow(void);

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
/* A DLManagedTensor that holds one reference to `buffer` (taken over) with data at `data`, C order. NULL: no memory. */
DLManagedTensor *tensor_wrap(jit_context *context, struct buffer *buffer, enum dtype type, int rank,
                             const int64_t *shape);

#endif
