/* ptx.h: kernels to CUDA C, and CUDA C to PTX or machine code (cubin) through NVRTC, which is opened at run time.
 *
 * Needs no GPU and no CUDA headers. What a kernel computes is the same to the bit as on the CPU: the same order of
 * additions (ir/kernel.h), contraction only where the body has an fma (NVRTC runs with --fmad=false, unless fp = fast);
 * elementary functions are CUDA's own.
 */
#ifndef CODEGEN_PTX_PTX_H
#define CODEGEN_PTX_PTX_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "ir/kernel.h"

/* --- kernel to CUDA C --------------------------------------------------------------------------------------------- */

/* How an operand is reached along the vector dimension (the last loop dimension; COLUMNS: the last parallel one). The
 * first three are the CPU's classes, by number. */
enum ptx_access {
    PTX_UNIFORM,  /* stride 0 */
    PTX_UNIT,     /* stride 1 element */
    PTX_STRIDED,  /* anything else */
    PTX_BY_VALUE, /* OPERAND_READ of a scalar that the host knows: the parameter is the value, there is no memory */
};

/* One way of compiling a kernel. */
struct ptx_variant {
    const enum ptx_access
        *access;  /* [n_operands], along the vector dimension; whole operands: of their last subscript */
    bool aligned; /* every PTX_UNIT loop operand can be reached in whole vectors: after the same number of head elements
                     its address is a multiple of ptx_kernel.vector elements, in every row (ptx_shape's `head`) */
    bool single_row; /* all loop extents but the vector dimension's are 1 (after merging) */
    bool aliased;    /* MAP: an output may be an input's memory: no __restrict__ */
    bool short_rows; /* LANES: a row is at most one run of 16 virtual vectors: 16 threads a row instead of 64 */
    bool fast;       /* fp = fast: compiled with --fmad=true */
    int ulp;         /* 4 or 1 */
};

/* What a parameter of the __global__ function holds. Every parameter takes 8 bytes at the call: pointers, long long, or
 * a value of an operand's type in its low bytes. Strides are in elements. */
enum ptx_parameter_kind {
    PTX_PARAM_DATA,     /* address of operand `a`: for loop operands the element at position 0 ... 0; of a scratch array
                           (ptx_stage) counted from 0, where it begins */
    PTX_PARAM_VALUE,    /* the value of operand `a` (PTX_BY_VALUE) */
    PTX_PARAM_STRIDE,   /* operand `a`, loop dimension (whole: subscript) `b` */
    PTX_PARAM_SIZE,     /* whole operand `a`, subscript `b` */
    PTX_PARAM_EXTENT,   /* loop dimension `a` */
    PTX_PARAM_NUMBER,   /* size parameter `a` of the kernel (OP_size) */
    PTX_PARAM_WATCH,    /* address of a struct ptx_watch */
    PTX_PARAM_ORDER,    /* number of this launch: smaller ones came first (ptx_watch.order) */
    PTX_PARAM_GRID,     /* ptx_grid.value[a] */
    PTX_PARAM_PARTIALS, /* address of ptx_grid.partial_bytes bytes, aligned to 32 */
    PTX_PARAM_COUNTERS, /* address of ptx_grid.n_counters 32-bit words that are 0, and are left 0 */
};

struct ptx_parameter {
    enum ptx_parameter_kind kind;
    int a, b;
    int stage; /* of ptx_kernel.stages: whose operand, loop dimension or size it is; 0 in a kernel of one */
};

/* What kernels tell the host, in device memory. The host sets all of it to 0, but `order` and `position` to INT64_MAX;
 * it may set `cancel` at any time. Of several failures that with the smallest (order, position) is kept. */
struct ptx_watch {
    int32_t cancel, lock;
    int64_t order, position; /* launch, and flattened parallel x reduced position, that failed; INT64_MAX: none */
    int64_t index, size;     /* the subscript and what it should have been below */
    int32_t site, operand, dim, unused; /* id of the OP_load (kernel_number), whole operand, subscript */
};

enum {
    PTX_INDIRECT_BYTES = 4000, /* parameters above this many bytes go through memory */
    PTX_GRID_VALUES = 56
};

/* An array of which a thread block keeps the rows at hand only: as stage `stage` writes them, elements of `size` bytes.
 */
struct ptx_scratch {
    int stage, size;
};

struct ptx_kernel {
    const char *name;   /* of the __global__ function: the kernel's */
    const char *source; /* complete CUDA C: needs no header, neither with NVRTC nor with nvcc */
    int n_parameters;
    struct ptx_parameter *parameters;
    bool indirect; /* the function has one parameter: the address of an array of n_parameters 8-byte values in device
                      memory */
    enum kernel_kind kind;
    int n_par, n_red;
    bool short_rows;
    int vector;         /* elements in one access of a PTX_UNIT operand; 1: no vectors */
    int unroll;         /* steps (MAP: vectors) that a thread has in flight */
    int threads;        /* of a thread block, a multiple of 32 (what __launch_bounds__ says) */
    int resident;       /* thread blocks that a multiprocessor has registers for, at least (its second number); 0: 1 */
    int lanes;          /* LANES */
    size_t state_bytes; /* LANES, COLUMNS: of one partial result, a multiple of 8 */
    bool can_fail;      /* has checked subscripts: uses the watch */
    bool polls;         /* has loops: uses the watch's cancel */
    bool device_stack;  /* calls functions of CUDA's math library that keep arrays on the stack: sin, cos, tan */
    /* Of ptx_emit_rows: */
    int n_stages;                    /* 0: a kernel of one */
    const struct ptx_kernel *stages; /* what ptx_shape_rows wants to know of each; no source, no parameters */
    int outer;
    int n_scratch;
    const struct ptx_scratch *scratch;
};

/* Writes the kernel as CUDA C. Everything is allocated in `arena`. False with one line in `why`: an operation cannot
 * meet variant->ulp. kernel_number(kernel) is called. */
bool ptx_emit(struct arena *arena, struct ir_kernel *kernel, const struct ptx_variant *variant, struct ptx_kernel *out,
              struct strbuf *why);

/* Elements per access for this kernel with these access classes, if all goes well: what `aligned` is about. 1: vectors
 * are of no use. All PTX_UNIT operands use the same number of elements: 16 bytes of the widest, less of the others (and
 * less where the body is long); LANES: lanes / 16 of each. */
int ptx_vector_of(const struct ir_kernel *kernel, const enum ptx_access *access);

/* --- several kernels in one, row by row: plan_rows of ir/plan.h --------------------------------------------------- */

struct ptx_stage {
    struct ir_kernel *kernel;
    const struct ptx_variant *variant; /* as for the kernel alone; the outer loop dimensions are merged with each other,
                                          the inner parallel ones with each other, never across */
    const int *scratch;    /* [n_operands]: number of the scratch array that it reads or writes, which counts as
                              aligned in row 0; -1: memory of its own */
    const bool *exchanged; /* [n_operands]: a READ of memory that an earlier stage writes */
};

/* Writes all stages as one kernel called `name`: a thread block takes a set of rows, and does one stage after the other
 * on it. As ptx_emit. */
bool ptx_emit_rows(struct arena *arena, const char *name, int outer, int n_stages, const struct ptx_stage *stages,
                   int n_scratch, struct ptx_kernel *out, struct strbuf *why);

/* --- the shape of a launch ---------------------------------------------------------------------------------------- */

struct ptx_limits { /* of the device */
    int multiprocessors, threads_per_multiprocessor;
};

struct ptx_grid {
    unsigned grid[3], block[3];
    int64_t value[PTX_GRID_VALUES]; /* of PTX_PARAM_GRID */
    size_t partial_bytes;
    int n_counters;   /* at most PTX_MAX_COUNTERS */
    int shared_bytes; /* dynamic shared memory of a thread block */
};
enum { PTX_MAX_COUNTERS = 16384 };

/* `extents` after merging; every product of extents fits in 63 bits; no parallel extent is 0 (there is nothing to
 * launch then; a reduced one may be). `head`: elements before the first aligned one (MAP with `aligned`), else 0. */
void ptx_shape(const struct ptx_kernel *kernel, const int64_t *extents, int64_t head, const struct ptx_limits *limits,
               struct ptx_grid *out);

/* The same for a kernel of ptx_emit_rows: extents and head of each stage. `shared`: bytes of dynamic shared memory that
 * a thread block of it may have. False: the rows are too few to keep the device busy, or too long for a thread block:
 * the stages' kernels one after the other are faster. */
bool ptx_shape_rows(const struct ptx_kernel *kernel, const int64_t *const *extents, const int64_t *heads, int shared,
                    const struct ptx_limits *limits, struct ptx_grid *out);
/* The same without the kernel, for whoever hasn't made it yet: `elements` of a row in the stage that has most,
 * `scratch` bytes of a row in all scratch arrays, `shared` no less than what it will be. False: ptx_shape_rows would
 * say so. */
bool ptx_rows_suit(int64_t rows, int64_t elements, int64_t scratch, int shared, const struct ptx_limits *limits);

/* --- CUDA C to PTX and machine code ------------------------------------------------------------------------------- */

struct ptx_compiler;

/* Opens NVRTC: libnvrtc.so.13, .12, .11.2, .so through the system's search, then in lib64 and lib of $CUDA_PATH,
 * $CUDA_HOME and /usr/local/cuda. `most_major`: the CUDA driver's major version, which does not take the code of a
 * newer NVRTC: one of those is opened only if there is no other; 0: any will do. NULL with one line in `why`: not
 * found, or too old (before 11.2, which has no cubin). Empty `why`: no memory. The library stays in the process after
 * ptx_compiler_close. */
struct ptx_compiler *ptx_compiler_open(struct mem *mem, int most_major, struct strbuf *why);
void ptx_compiler_close(struct ptx_compiler *compiler);
void ptx_compiler_version(const struct ptx_compiler *compiler, int *major, int *minor);
/* Where it was found. Valid as long as the process. */
const char *ptx_compiler_path(const struct ptx_compiler *compiler);
/* The largest architecture (90 for sm_90) that this NVRTC knows and whose code a device of `arch` can run; 0: none, the
 * device is too old. It is `arch` itself if NVRTC knows the device. Machine code runs on devices of its own generation
 * (the same arch / 10) only; for a device that is newer than NVRTC, PTX for this architecture does, which the driver
 * then compiles. */
int ptx_compiler_arch(const struct ptx_compiler *compiler, int arch);
/* "sm_75, sm_80, ...": what NVRTC knows, from sm_75 on. */
void ptx_compiler_archs(const struct ptx_compiler *compiler, struct strbuf *out);
/* 90 for "sm_90"; 0 if the text is no architecture. */
int ptx_parse_arch(const char *text);

enum ptx_format { PTX_FORMAT_TEXT, PTX_FORMAT_CUBIN };
/* The options NVRTC gets, as one line, but for those that don't change the code: part of what a cached image depends
 * on. */
void ptx_options_text(bool fast, int arch, enum ptx_format format, struct strbuf *out);
/* Compiles `source` (a text of one or several kernels; `name` for messages) for sm_<arch>. *image is in `arena`; PTX
 * text ends with a NUL, which *size counts. False with `why`: NVRTC's log with the generated line it complains of.
 * Thread-safe. Leaves by longjmp if `arena` has no memory, with nothing of NVRTC's left behind. */
bool ptx_compile(struct ptx_compiler *compiler, const char *source, const char *name, int arch, bool fast,
                 enum ptx_format format, struct arena *arena, const void **image, size_t *size, struct strbuf *why);

#endif
