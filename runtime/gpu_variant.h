/* gpu_variant.h: kernels compiled and loaded for GPUs, kept by the layout that they were compiled for. Found without a
 * lock, made under the function's.
 */
#ifndef RUNTIME_GPU_VARIANT_H
#define RUNTIME_GPU_VARIANT_H

#include "runtime/gpu.h"

/* Compiled and loaded for one device. */
struct gpu_variant {
    struct gpu_variant *next;
    const struct gpu *gpu;
    struct cuda_module *module;
    struct ptx_kernel kernel; /* without its source; what else it points to follows this struct */
    size_t size;              /* of all of it */
    const unsigned char *key;
};

/* What a variant is found by, and made of. */
struct gpu_recipe {
    struct run *run;
    struct launch_state *state;
    pthread_mutex_t *build; /* held while one is made */
    struct span span;
    const char *name; /* of the kernel: lives as long as the state */
    const unsigned char *key;
    int key_length;
    /* Writes the kernel's CUDA C; false with one line in `why`: it cannot be done. May leave by longjmp for want of
     * memory. */
    bool (*emit)(void *host, struct arena *arena, struct ptx_kernel *kernel, struct strbuf *why);
    void *host;
};

/* NULL after an error. */
const struct gpu_variant *gpu_variant_get(const struct gpu_recipe *recipe);

/* --- for one launch (launch_cuda.c) ------------------------------------------------------------------------------- */

/* Completes launch->key: access classes, then flags. Returns the elements before the first aligned vector; 0 if the
 * variant has no vectors. */
int64_t launch_cuda_key(struct launch *launch);
/* What the key says. `access` has room for [n_operands]. */
void launch_cuda_describe(const struct launch *launch, enum ptx_access *access, struct ptx_variant *variant);
/* A launch, by its number, as a stage of its rows' kernel, which keeps `variant`. */
void launch_stage(const struct plan_rows *rows, int number, struct arena *arena, const struct ptx_variant *variant,
                  struct ptx_stage *out);
/* The value of a parameter that is of the launch's operands, extents or sizes; 0 for those that cuda_launch fills in.
 */
uint64_t launch_cuda_value(const struct launch *launch, const struct ptx_parameter *parameter);

#endif
