/* collect.h: the kernels of programs, as CUDA C, each text once.
 *
 * Programs are run on the CPU, so that every kernel is met in the layouts that its arrays really have; each layout is
 * then emitted for a GPU. Kernels that no run reaches are emitted for contiguous arrays, and so are those of the list
 * of result types, whose thousands of programs would take a minute to compile for the CPU.
 */
#ifndef TESTS_GPU_PTXAS_COLLECT_H
#define TESTS_GPU_PTXAS_COLLECT_H

#include "codegen/ptx/ptx.h"
#include "runtime/runtime.h"

/* What every kernel's function is called: stands for a name that differs. */
#define COLLECT_NAME "weft_kernel_without_name"

struct collected {
    struct collected *next; /* of the same hash */
    char *text;
    uint64_t hash;
    char origin[128]; /* "reductions.txt: sum_f32_3, k0_lanes" of the first that has this text */
    enum kernel_kind kind;
    int vector;        /* elements in one access; 1: no vectors */
    int reads, writes; /* bytes of the narrowest group of elements that is read, written at once; 0: there is none */
    bool device_stack, fast;
    bool calls_library; /* an elementary function of CUDA's */
};

enum { COLLECT_BUCKETS = 4096 };

struct collection {
    jit_context *context;
    struct collected **items;
    int n, capacity;
    struct collected *bucket[COLLECT_BUCKETS];
    int programs, kernels, texts; /* met; emitted, doubles included */
    int failures;                 /* kernels that could not be emitted */
};

void collect_begin(struct collection *all, jit_context *context);
void collect_end(struct collection *all);

/* One text, whose function is called COLLECT_NAME. */
struct collected *collect_text(struct collection *all, const struct ptx_kernel *made, const struct ir_kernel *kernel,
                               const struct ptx_variant *variant, const char *origin);
/* The kernels of a function, in all variants of its launches so far. `origin`: for messages. */
void collect_function(struct collection *all, jit_function *function, const char *origin);
/* A file of the corpus. */
void collect_corpus(struct collection *all, const char *path);
/* Its list of result types: every row is a program. */
void collect_promotion(struct collection *all, const char *path);
/* The random program of a seed. */
void collect_random(struct collection *all, uint64_t seed);
/* A program in a file, run in the current folder. False with a message. */
bool collect_file(struct collection *all, const char *path);

#endif
