/* call.h: one jit_call: the caller's tensors as they were looked at (call.c), and how results reach them: on the CPU
 * (output.c) and from a GPU (gpu_call.c). */
#ifndef RUNTIME_CALL_H
#define RUNTIME_CALL_H

#include "runtime/runtime.h"

/* A tensor of the caller, looked at once. */
struct bound {
    enum dtype type;
    bool contiguous;               /* C order */
    bool on_gpu;                   /* the addresses are of the call's GPU */
    bool empty;                    /* no elements */
    char *data;                    /* of element [0, ..., 0] */
    const char *begin, *end;       /* the bytes it occupies */
    int64_t stride[TYPE_MAX_RANK]; /* bytes */
};

struct call {
    jit_function *function;
    const DLTensor *const *in;
    int n_in;
    int device;                  /* the GPU it runs on; -1: the CPU */
    bool gpu_inputs;             /* an input is in a GPU's memory */
    struct {                     /* the first tensor there: what device the others must be on */
        const char *what, *name; /* NULL: the context's device it is */
        int number;
    } named;
    struct frontend_binding *bindings;
    struct bound *bound; /* [n_in]; unset where in[i] is NULL */
    jit_error *error;
    jit_status status;
};

struct results {
    DLTensor *const *out;       /* jit_call: the caller's; else NULL */
    DLManagedTensor **allocate; /* jit_call_alloc */
    int n;
};

/* Sets the call's status to an error about input or output `number`. Returns false. */
bool call_refuse(struct call *call, jit_status status, const char *what, int number, const char *name,
                 const char *problem);
/* What every tensor that we touch must be. Fills `bound`. */
bool call_bind_tensor(struct call *call, const DLTensor *tensor, const char *what, int number, const char *name,
                      struct bound *bound);

/* The outputs that jit_call was given: type, rank, no overlaps. */
bool output_bind(struct call *call, const struct plan *plan, const struct results *results, struct bound *bound);
/* True if the run may write the result at once into this output. *aliased: it is an input's memory, element by element.
 */
bool output_may_be_direct(const struct call *call, const struct plan_entry *entry, const DLTensor *out,
                          const struct bound *bound, int number, bool *aliased);
/* The slot's array is the caller's output, in host memory: written there at once (run.direct). */
bool output_is_written(const struct run *run, int slot);
/* False, with an error, if the result's sizes are not the output's. */
bool output_has_shape(struct call *call, const struct run *run, int number, const DLTensor *out);
/* An array of the run whose first element is at `first`, or at that address of the call's GPU: true if another output
 * than those that were written at once (`direct`) is going to be copied over it. */
bool output_will_overwrite(const struct run *run, const struct results *results, const struct bound *bound,
                           bool direct(const struct run *run, int slot), int slot, const char *first,
                           const int64_t *stride);
/* Results in host memory that are memory of the caller move away if an output is going to be copied over them. */
bool output_step_aside(struct call *call, struct run *run, const struct results *results, const struct bound *bound);
/* Gives a slot's array in host memory to the caller: its buffer if nobody else has it, else a copy. NULL: no memory. */
DLManagedTensor *output_hand_over(struct run *run, int number);
void output_delete(struct results *results);
/* All results to the caller: a run on the CPU. */
jit_status output_deliver(struct call *call, struct run *run, struct results *results, const struct bound *bound);

static inline bool output_overlap(const struct bound *a, const struct bound *b) {
    return a->begin < b->end && b->begin < a->end;
}

/* A run on a GPU, with its bound inputs in the slots, from there to delivered results or to a jit_pending. The slots
 * are left empty. */
jit_status gpu_call(struct call *call, struct run *run, struct results *results, const struct bound *bound,
                    const jit_call_options *options);

#endif
