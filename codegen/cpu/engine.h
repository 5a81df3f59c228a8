/* engine.h: what a cpu_engine holds. Private to this room. */
#ifndef CODEGEN_CPU_ENGINE_H
#define CODEGEN_CPU_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "codegen/cpu/cpu.h"
#include "codegen/cpu/llvm_compat.h"

/* An error under construction. Of fixed size: it is written while LLVM's handles are held, when nothing may jump away.
 */
struct cpu_why {
    char text[512];
};
/* Always false, so that a failing function can end with it. */
bool cpu_why_set(struct cpu_why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes LLVM's message and disposes of it; false too. */
bool cpu_why_memory(struct cpu_why *why); /* memory ran out: an empty text */
bool cpu_why_error(struct cpu_why *why, const char *doing, LLVMErrorRef error);

enum cpu_isa { ISA_AVX512, ISA_AVX2, ISA_SSE2, ISA_SCALAR, ISA_OTHER };

/* A function that computes an elementary operation on `lanes` elements at once: by the vector calling convention if
 * lanes > 1, C's otherwise. */
struct math_function {
    void *address;
    const char *symbol; /* what the code calls it; unique in the process */
    int lanes;
    enum math_library library;
};

/* A target machine belongs to one compile at a time; idle ones wait here for the next. */
enum { ENGINE_MACHINES = 8 };

struct cpu_engine {
    struct mem *mem;
    struct cpu_engine_options options;
    enum cpu_isa isa;
    int vector_bytes;              /* of a native register; 8 for the scalar set */
    char *triple, *cpu, *features; /* LLVM's strings */
    int level;                     /* LLVMCodeGenOptLevel */
    LLVMTargetRef target;
    pthread_mutex_t lock; /* guards `idle` and everything of `jit` */
    LLVMTargetMachineRef idle[ENGINE_MACHINES];
    int n_idle;
    LLVMOrcLLJITRef jit;
    atomic_uint serial;                     /* makes symbol names unique */
    struct math_function math[OP_COUNT][2]; /* [op][0: f32, 1: f64] */
    char (*symbols)[2][40];                 /* names in `math` */
    void *libraries[2];                     /* dlopen handles: libmvec, SLEEF */
    char info_features[96], info_math[64];
};

/* Takes an idle target machine or makes one; NULL with `why`. */
LLVMTargetMachineRef engine_take_machine(struct cpu_engine *engine, struct cpu_why *why);
void engine_give_machine(struct cpu_engine *engine, LLVMTargetMachineRef machine);

/* Fills engine->math; false with `why` if the wanted library is missing. */
bool vecmath_open(struct cpu_engine *engine, struct cpu_why *why);
void vecmath_close(struct cpu_engine *engine);

/* Defines, once, the symbols that code refers to. */
bool module_define_symbols(struct cpu_engine *engine, struct cpu_why *why);

/* Machine code in memory. `object` is consumed. Looks up `n` symbols; false with `why`, nothing held then. */
struct cpu_module *module_load(struct cpu_engine *engine, LLVMMemoryBufferRef object, int n, const char *const *names,
                               void **addresses, struct cpu_why *why);
void module_free(struct cpu_engine *engine, struct cpu_module *module);

#endif
