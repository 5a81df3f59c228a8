/* weft/jit.h: compile array expressions while your program runs.
 *
 *     jit_context *ctx = jit_context_new(NULL);
 *     jit_error err = {0};
 *     jit_function *f = jit_compile(ctx, "param x: f64[n]; param y: f64[n]; sqrt(sum((x - y)**2))", &err);
 *     double x[3] = {1, 2, 3}, y[3] = {3, 2, 1}, d;
 *     const DLTensor *in[] = {jit_array(x, JIT_F64, 3), jit_array(y, JIT_F64, 3)};
 *     DLTensor *out[] = {jit_scalar_f64(&d)};
 *     if (!f || jit_call(f, in, 2, out, 1, &err) != JIT_OK) fputs(err.message, stderr);
 *     jit_function_free(f);
 *     jit_context_free(ctx);
 *
 * The language is described in docs/language.md. Arrays are DLPack tensors: NumPy, PyTorch, JAX and CuPy hand theirs
 * over without a copy. The library never prints, exits or aborts, and keeps no global state but LLVM's own, the lock
 * that guards it across fork(), and what notices fork().
 *
 * Threads. A context and its functions may be used by any number of threads at once; a jit_error belongs to one thread.
 * After fork() the child may go on using what the parent made, but for GPUs: a call that needs one which the parent
 * opened ends with JIT_DEVICE.
 *
 * Lifetimes. A function keeps its context alive; results keep their memory alive. Every free accepts NULL.
 */
#ifndef WEFT_JIT_H
#define WEFT_JIT_H

#include <stddef.h>
#include <stdint.h>

#include <dlpack/dlpack.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(WEFT_BUILDING)
#define JIT_API __attribute__((visibility("default")))
#else
#define JIT_API
#endif

#define JIT_VERSION_MAJOR 0
#define JIT_VERSION_MINOR 1
#define JIT_VERSION_PATCH 0
#define JIT_VERSION       "0.1.0"

typedef struct jit_context jit_context;
typedef struct jit_function jit_function;

/* ---- Errors -------------------------------------------------------------------------------------------------------
 */

typedef enum jit_status {
    JIT_OK = 0,
    JIT_SYNTAX = 1,       /* the text is no program */
    JIT_NAME = 2,         /* an unknown or misused name */
    JIT_TYPE = 3,         /* element types and argument counts, of the program or of the arrays bound */
    JIT_SHAPE = 4,        /* ranks and sizes */
    JIT_INDEX = 5,        /* a subscript outside its array */
    JIT_VALUE = 6,        /* a value that is not allowed: an empty max, a negative size */
    JIT_LIMIT = 7,        /* a limit of jit_options was reached */
    JIT_MEMORY = 8,       /* an allocation failed */
    JIT_FILE = 9,         /* a file could not be read or written */
    JIT_ASSERT = 10,      /* an `assert` of the program failed */
    JIT_CANCELLED = 11,   /* the call's cancel flag was set */
    JIT_UNSUPPORTED = 12, /* known to the language, not available in this version or on this machine */
    JIT_ARGUMENT = 13,    /* the API was called wrongly: wrong counts, NULLs, unusable tensors */
    JIT_INTERNAL = 14,    /* a back end failed; the message says which and how */
    JIT_DEVICE = 15,      /* a GPU: none there, its driver or NVRTC missing, or it was lost; the message says which */
} jit_status;

/* What went wrong, filled in by any call that fails; owned by the caller, needs no freeing. Pass NULL if you don't
 * care. After a success it is left as it was. */
typedef struct jit_error {
    jit_status code;    /* of the first error */
    size_t offset;      /* its place in the source text, in bytes */
    size_t length;      /* 0: no place to point at */
    int line, column;   /* the same, from 1; columns count code points; 0: no place */
    int count;          /* number of errors found */
    char message[2048]; /* all of them, each with its source line and a caret; cut at a line's end if too long */
} jit_error;

/* "JIT_SHAPE" and so on. */
JIT_API const char *jit_status_name(jit_status status);

/* ---- Element types and tensors ------------------------------------------------------------------------------------
 */

/* DLPack's type codes; bool is code 6 with 8 bits, which older headers don't name. */
#define JIT_DL_BOOL_CODE 6
typedef enum jit_dtype {
    JIT_BOOL = 1,
    JIT_I8,
    JIT_I16,
    JIT_I32,
    JIT_I64,
    JIT_U8,
    JIT_U16,
    JIT_U32,
    JIT_U64,
    JIT_F16, /* may not be bound yet */
    JIT_F32,
    JIT_F64,
} jit_dtype;

JIT_API DLDataType jit_dl_type(jit_dtype type);
/* 0 if the tensor's type is none of ours. */
JIT_API jit_dtype jit_type_of(const DLTensor *tensor);
/* "f64". */
JIT_API const char *jit_type_name(jit_dtype type);

/* Tensors inline: each macro is a `DLTensor *` to a compound literal, valid to the end of the enclosing block. */
static inline DLDataType jit_inline_type(int type) {
    DLDataType t;
    t.code = (uint8_t)(type == JIT_BOOL ? JIT_DL_BOOL_CODE : type <= JIT_I64 ? 0 : type <= JIT_U64 ? 1 : 2);
    t.bits = (uint8_t)(type == JIT_BOOL || type == JIT_I8 || type == JIT_U8    ? 8
                       : type == JIT_I16 || type == JIT_U16 || type == JIT_F16 ? 16
                       : type == JIT_I32 || type == JIT_U32 || type == JIT_F32 ? 32
                                                                               : 64);
    t.lanes = 1;
    return t;
}
#ifndef __cplusplus
/* One dimension of n elements, contiguous. */
#define jit_array(ptr, type, n)                                                                                        \
    (&(DLTensor){.data = (void *)(ptr),                                                                                \
                 .device = {kDLCPU, 0},                                                                                \
                 .ndim = 1,                                                                                            \
                 .dtype = jit_inline_type(type),                                                                       \
                 .shape = (int64_t[]){(n)}})
/* h rows of w elements; row_stride elements from one row to the next. */
#define jit_matrix(ptr, type, h, w, row_stride)                                                                        \
    (&(DLTensor){.data = (void *)(ptr),                                                                                \
                 .device = {kDLCPU, 0},                                                                                \
                 .ndim = 2,                                                                                            \
                 .dtype = jit_inline_type(type),                                                                       \
                 .shape = (int64_t[]){(h), (w)},                                                                       \
                 .strides = (int64_t[]){(row_stride), 1}})
#define jit_scalar(ptr, type)                                                                                          \
    (&(DLTensor){.data = (void *)(ptr), .device = {kDLCPU, 0}, .ndim = 0, .dtype = jit_inline_type(type)})
#define jit_scalar_f64(ptr)  jit_scalar(ptr, JIT_F64)
#define jit_scalar_f32(ptr)  jit_scalar(ptr, JIT_F32)
#define jit_scalar_i64(ptr)  jit_scalar(ptr, JIT_I64)
#define jit_scalar_bool(ptr) jit_scalar(ptr, JIT_BOOL)
#endif

/* ---- Context ------------------------------------------------------------------------------------------------------
 */

typedef struct jit_options {
    size_t struct_size; /* sizeof(jit_options): lets later versions add fields */
    /* "cpu" (default), "cuda" or "cuda:1": where programs run whose tensors are all in host memory. JIT_DEVICE if there
     * is no such device. Calls with a tensor in a GPU's memory run there; a context for one GPU refuses tensors of
     * another, and none takes those of two. See docs/gpu.md */
    const char *device;
    int threads;     /* most threads of one call; 0: all cores */
    int ulp;         /* accuracy of elementary functions: 4 (default) or 1; see docs/language.md */
    const char *fp;  /* "contract" (default), "strict", "fast" */
    int allow_files; /* load and save may be used; 0: they are errors */
    /* Called by print() with one line of text, its newline included; NULL: print is an error. From one thread at a time
     * per call. */
    void (*print)(void *host, const char *text, size_t length);
    /* Called now and then during long calls with a share in [0, 1] and what is being done; nonzero result cancels. May
     * be NULL. */
    int (*progress)(void *host, double share, const char *what);
    void *host; /* passed to both */
    /* Limits; 0 takes the default. */
    size_t max_source;           /* bytes of source text: 16 MiB */
    int max_nesting;             /* brackets and blocks: 256 */
    size_t max_memory;           /* bytes of temporaries, results and compiled plans held at once: no limit */
    int64_t max_loop_iterations; /* of one program-level loop: no limit */
    int max_graph;               /* operations in one plan: 200000 */
    const char *isa;             /* testing: a narrower instruction set than the host's: "avx512", "avx2", "sse2" */
    const char *
        cache_folder; /* compiled GPU kernels are kept here; NULL: $XDG_CACHE_HOME/weft or ~/.cache/weft; "": nowhere */
    size_t cache_bytes;       /* the folder's bound: 256 MiB */
    size_t max_device_memory; /* bytes of a GPU's memory held at once: no limit */
} jit_options;

/* NULL options: the defaults. NULL if memory ran out or the options are wrong; jit_context_create says why. */
JIT_API jit_context *jit_context_new(const jit_options *options);
JIT_API jit_context *jit_context_create(const jit_options *options, jit_error *error);
/* Gives up the caller's hold; the context goes when its functions have gone. */
JIT_API void jit_context_free(jit_context *context);

/* ---- Compiling ----------------------------------------------------------------------------------------------------
 */

/* Compiles a program. Inputs are its `param`s, or, in a program with neither param nor load, its free names in order of
 * first appearance. A program whose inputs are all typed is compiled to machine code now (for contiguous arrays);
 * others, and other layouts, on their first call. NULL on error. The text is copied. */
JIT_API jit_function *jit_compile(jit_context *context, const char *source, jit_error *error);
/* The same for text that may hold NULs, with a name for messages ("clean.weft"; NULL: "<source>"). */
JIT_API jit_function *jit_compile_text(jit_context *context, const char *source, size_t length, const char *file,
                                       jit_error *error);

/* For formulas that a host's users type: one expression and nothing else, over exactly these inputs. */
typedef struct jit_formula_input {
    const char *name;
    jit_dtype type;
    int rank;
    int has_nodata;
    double nodata; /* NaN marks missing values by NaN */
} jit_formula_input;

enum { JIT_ELEMENTWISE = 1 }; /* reject reductions, indexing and whatever else evaluating tile by tile would change */

typedef struct jit_formula_spec {
    size_t struct_size;
    const jit_formula_input *inputs;
    int n_inputs;
    jit_dtype result; /* converted to; 0: the expression's own type */
    int has_nodata;   /* where a used input is nodata, the output is `nodata` */
    double nodata;
    unsigned flags; /* JIT_ELEMENTWISE */
} jit_formula_spec;

/* The spec and what it points to are copied. Positions in errors refer to `text`. No files, no printing. */
JIT_API jit_function *jit_formula(jit_context *context, const char *text, const jit_formula_spec *spec,
                                  jit_error *error);

/* Must not be in use by a call. */
JIT_API void jit_function_free(jit_function *function);

/* ---- Inputs and outputs --------------------------------------------------------------------------------------------
 */

JIT_API int jit_input_count(const jit_function *function);
JIT_API int jit_output_count(const jit_function *function);
/* Valid as long as the function. NULL if out of range; an output without a name is "". */
JIT_API const char *jit_input_name(const jit_function *function, int input);
JIT_API const char *jit_output_name(const jit_function *function, int output);
/* -1 if there is none of that name. */
JIT_API int jit_input_index(const jit_function *function, const char *name);
JIT_API int jit_output_index(const jit_function *function, const char *name);
/* Declared type and rank of an input; 0 and -1 where any will do. Status JIT_ARGUMENT if out of range. */
JIT_API jit_status jit_input_type(const jit_function *function, int input, jit_dtype *type, int *rank);
/* 1 if `in[input]` may be NULL: a param with a default. */
JIT_API int jit_input_optional(const jit_function *function, int input);

/* ---- Calling -------------------------------------------------------------------------------------------------------
 */

/* Runs the program on the caller's memory. in[i] is input i, any strides (NULL: C order), never written; NULL takes a
 * param's default. out[i] is output i: its type, rank and shape must be the result's. Outputs may overlap inputs (the
 * result is as if they did not), but not each other. After an error their contents are unspecified. */
JIT_API jit_status jit_call(const jit_function *function, const DLTensor *const in[], int n_in, DLTensor *const out[],
                            int n_out, jit_error *error);

typedef struct jit_call_options {
    size_t struct_size;
    const volatile int *cancel; /* set it nonzero from any thread or signal handler: the call ends with JIT_CANCELLED */
    int threads;                /* at most; 0: the context's */
    void *stream; /* GPU: a CUstream of yours: the call's work comes after what is on it, and what you put on it later
                     comes after the call's work. Host memory is outside this order: inputs there must be ready at the
                     call, outputs there are when it, or jit_wait, has returned. (void *)1 is CUDA's default stream;
                     (void *)2, the per-thread one, is an error. NULL: a stream of Weft's, which is ordered with the
                     default stream. An error where the call runs on the CPU */
    /* Not NULL: the call returns when its work is on the stream, as far as the program allows (it waits where it needs
     * a value to go on: a condition, a size, a print, and to copy more than a few MiB to host memory that is not
     * pinned). *pending receives what to give to jit_wait, once; NULL after an error, and on the CPU, where the call is
     * done when it returns. Until then the tensors must stay as they are, and the stream and the cancel flag must live.
     * Results of jit_call_alloc are there already and filled by then; they are the caller's even if jit_wait reports an
     * error. */
    struct jit_pending **pending;
} jit_call_options;

typedef struct jit_pending jit_pending;
/* Waits for the call's end and returns its status (a subscript out of range inside a kernel is found here). Frees
 * `pending`; NULL is JIT_OK. From any thread; before the function is freed. */
JIT_API jit_status jit_wait(jit_pending *pending, jit_error *error);
/* 1 if jit_wait would not block. */
JIT_API int jit_is_done(const jit_pending *pending);

JIT_API jit_status jit_call_with(const jit_function *function, const DLTensor *const in[], int n_in,
                                 DLTensor *const out[], int n_out, const jit_call_options *options, jit_error *error);

/* The same, with results allocated by Weft: out[i] becomes a tensor in C order, owned by the caller, to be released
 * with out[i]->deleter(out[i]), in any thread, also after the function and the context were freed. All NULL after an
 * error. They are in a GPU's memory if an input is, else in host memory. Before one on a GPU is released, what streams
 * of yours do with it must be done (on CUDA's default stream it need not be). */
JIT_API jit_status jit_call_alloc(const jit_function *function, const DLTensor *const in[], int n_in,
                                  DLManagedTensor *out[], int n_out, const jit_call_options *options, jit_error *error);

/* Type, rank and sizes that output `output` will have for these inputs; shape has room for 8. A size is -1 if known
 * only after the run. Any result pointer may be NULL. */
JIT_API jit_status jit_output_shape(const jit_function *function, const DLTensor *const in[], int n_in, int output,
                                    jit_dtype *type, int *rank, int64_t *shape, jit_error *error);

/* A plain C function pointer to a scalar function: the program is one `ufunc` whose parameters and single result are
 * typed scalars, such as `ufunc f(x: f64, y: f64) -> f64 { … }`. `signature` says what the pointer will be called as:
 * the result and parameter types, "f64(f64,f64)"; up to 8 parameters, all of one type with the result, f64 or f32. NULL
 * with JIT_TYPE if it does not match. Valid as long as the function. A subscript out of range cannot occur (no arrays);
 * an endless loop cannot be cancelled. */
typedef void jit_scalar_fn(void);
JIT_API jit_scalar_fn *jit_scalar_function(jit_function *function, const char *signature, jit_error *error);

/* ---- Library -------------------------------------------------------------------------------------------------------
 */

JIT_API const char *jit_version(void);

#ifdef __cplusplus
}
#endif

#endif
