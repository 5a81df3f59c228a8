/* cpu.h: kernels to machine code through the LLVM C API. The only room that sees LLVM's headers.
 *
 * An engine belongs to a jit_context and outlives all code made with it. Thread-safe: several compiles may run at once.
 */
#ifndef CODEGEN_CPU_CPU_H
#define CODEGEN_CPU_CPU_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "ir/kernel.h"

struct cpu_engine;

struct cpu_engine_options {
    int ulp;             /* 4: libmvec; 1: SLEEF (an error without it) */
    bool fast;           /* --fp=fast: LLVM may reassociate and contract */
    const char *isa;     /* NULL: the host's best; "sse2", "avx2", "avx512", "scalar": narrower, for tests. An error if the host lacks it */
};

/* NULL with one line in `why`: LLVM could not be initialised, the isa is not available, SLEEF is missing. Here and below an empty
 * `why` says that memory ran out. */
struct cpu_engine *cpu_engine_new(struct mem *mem, const struct cpu_engine_options *options, struct strbuf *why);
void cpu_engine_free(struct cpu_engine *engine);

/* A plain C function to be made beside a kernel: T f(T, T, ...). The kernel is a map without loops over scalar operands. */
enum { CPU_SCALAR_PARAMETERS = 8 };
struct cpu_scalar_entry {
    enum dtype type; /* of result and parameters: TY_F32 or TY_F64 */
    int n_parameters;
    const int *parameter_of; /* [n_operands]: the parameter an operand reads; -1: the operand is the result */
};

/* One way of compiling a kernel. */
struct cpu_variant {
    const enum access_class *access; /* [n_operands], along the vector dimension; for whole operands: their last subscript's stride */
    bool nontemporal;                /* MAP, LANES: the body's stores bypass the cache (the footprint is larger than the last level) */
    bool single_row;                 /* all loop extents but the vector dimension's are 1 (after merging): no outer loops are emitted */
    const struct cpu_scalar_entry *entry; /* NULL, or what kernel_code.entry shall be */
};

struct kernel_code {
    kernel_range_fn *range;   /* MAP, COLUMNS */
    kernel_blocks_fn *blocks; /* LANES */
    kernel_finish_fn *finish; /* LANES */
    size_t state_bytes;       /* LANES: per block; a multiple of 8 */
    int64_t block;            /* LANES: elements of a block. MAP, COLUMNS: a good multiple for splitting ranges */
    int vector_width;         /* elements per vector step */
    int math_calls;           /* number of vector-math calls in the body: a hint for how dear a position is */
    int operations;           /* values in the body */
    size_t code_bytes;
    void (*entry)(void);      /* the plain C function that was asked for, or NULL */
    struct cpu_module *module; /* owner of the machine code; freed by cpu_kernel_free */
};

/* Compiles. False with one line in `why`. The body was bounded beforehand; LLVM is not expected to fail. */
bool cpu_kernel_compile(struct cpu_engine *engine, const struct ir_kernel *kernel, const struct cpu_variant *variant,
                        struct kernel_code *code, struct strbuf *why);
void cpu_kernel_free(struct cpu_engine *engine, struct kernel_code *code);

/* Text for `weft emit`: LLVM IR or assembly of the variant. */
enum cpu_text { CPU_TEXT_LLVM, CPU_TEXT_ASM };
bool cpu_kernel_text(struct cpu_engine *engine, const struct ir_kernel *kernel, const struct cpu_variant *variant,
                     enum cpu_text what, struct strbuf *out, struct strbuf *why);

/* Lane 0 of the vector function in use for an elementary operation: what the JIT computes for one element. NULL entries where
 * the operation is no LOWER_CALL. For the tests' evaluator (struct eval_math). */
double cpu_math_f64(struct cpu_engine *engine, enum op op, double x, double y);
float cpu_math_f32(struct cpu_engine *engine, enum op op, float x, float y);
/* Which library serves the operation and its ULP bound from ops.def. */
enum math_library cpu_math_library(const struct cpu_engine *engine, enum op op, enum dtype type, float *ulp);

struct cpu_info {
    const char *llvm_version, *cpu, *isa; /* "avx512" */
    const char *features;                 /* short list for `weft info` */
    const char *vector_math;              /* "libmvec (glibc 2.36), 4 ULP" */
    int vector_bytes;                     /* 64, 32, 16 */
};
void cpu_engine_info(const struct cpu_engine *engine, struct cpu_info *info);

#endif
