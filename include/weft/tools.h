/* weft/tools.h: what shells and inspectors need beyond weft/jit.h: stage dumps, formatting of values, .npy files, names
 * for completion, sessions that keep variables, profiles. The `weft` program uses these two headers and nothing else.
 */
#ifndef WEFT_TOOLS_H
#define WEFT_TOOLS_H

#include <weft/jit.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text owned by the caller: release with jit_text_free. */
JIT_API void jit_text_free(char *text);

/* ---- Stages --------------------------------------------------------------------------------------------------------
 */

/* What an input is, for compiling without data: "x:f64[n]" gives {"x", JIT_F64, 1}. */
typedef struct jit_signature {
    const char *name;
    jit_dtype type;
    int rank;
} jit_signature;

/* Parses "x:f64[:, :]" or "k:f32" into a signature; `name` points into `name_room` (64 bytes). */
JIT_API jit_status jit_parse_signature(const char *text, jit_signature *signature, char *name_room, jit_error *error);

/* Readable form of a stage: "ast", "ir", "kernels", "plan", "llvm", "asm", and for GPUs "cuda" (CUDA C) and "ptx".
 * Inputs whose types are not declared must be in `signature`. NULL on error; an unknown stage is JIT_ARGUMENT. */
JIT_API char *jit_emit(jit_function *function, const char *stage, const jit_signature *signature, int n_signature,
                       jit_error *error);
/* The same for a GPU architecture: "sm_90"; NULL: that of the context's GPU, or sm_80 if it has none. Stages for GPUs
 * show every kernel as it is for contiguous arrays, each a text that is complete in itself. No GPU is needed; "ptx"
 * needs NVRTC (JIT_DEVICE says what is missing). An architecture that is unknown or too old is JIT_ARGUMENT, and so is
 * one for another stage. */
JIT_API char *jit_emit_for(jit_function *function, const char *stage, const char *arch, const jit_signature *signature,
                           int n_signature, jit_error *error);

/* ---- Values --------------------------------------------------------------------------------------------------------
 */

/* As NumPy prints it: shortest digits that read back, long arrays abridged. No newline at the end. NULL if memory runs
 * out or the tensor is not in host memory. */
JIT_API char *jit_format(const DLTensor *value);
/* "f64[1000, 3]"; a scalar is "f64". */
JIT_API char *jit_format_type(const DLTensor *value);

/* ---- Files ---------------------------------------------------------------------------------------------------------
 */

/* Maps or reads a .npy file; release with (*out)->deleter(*out). Read-only: do not write through it. */
JIT_API jit_status jit_load(const char *path, DLManagedTensor **out, jit_error *error);
/* Writes a .npy file: to a temporary name, then renamed. */
JIT_API jit_status jit_save(const char *path, const DLTensor *value, jit_error *error);

/* ---- Names ---------------------------------------------------------------------------------------------------------
 */

/* Names the language knows (functions, constants, types, keywords), by index from 0; NULL past the last. `doc`: one
 * line. */
JIT_API const char *jit_name(int index, const char **doc);

/* ---- Sessions: a REPL's memory --------------------------------------------------------------------------------------
 */

typedef struct jit_session jit_session;

JIT_API jit_session *jit_session_new(jit_context *context, jit_error *error);
JIT_API void jit_session_free(jit_session *session);

typedef struct jit_result {
    DLManagedTensor *value[8]; /* values of an expression statement, owned by the caller; assignments give none */
    int n_values;
    double compile_seconds, run_seconds;
} jit_result;

/* Runs statements; variables they set and functions they define stay for the next call. After an error the session is
 * as before. The cancel flag may be NULL. */
JIT_API jit_status jit_session_run(jit_session *session, const char *source, const volatile int *cancel,
                                   jit_result *result, jit_error *error);
/* Stage dump of statements with the session's variables as inputs (see jit_emit); nothing is run or kept. */
JIT_API char *jit_session_emit(jit_session *session, const char *source, const char *stage, jit_error *error);
/* 1 if the text is a beginning only: an open bracket or brace. */
JIT_API int jit_incomplete(const char *source);
/* Variables by index from 0: name (NULL past the last) and value, owned by the session until the next run. */
JIT_API const char *jit_session_variable(jit_session *session, int index, const DLTensor **value);
/* Sets a variable to an array; ownership passes to the session (also on error). */
JIT_API jit_status jit_session_set(jit_session *session, const char *name, DLManagedTensor *value, jit_error *error);

/* ---- Profiles ------------------------------------------------------------------------------------------------------
 */

typedef struct jit_profile_row {
    const char *kernel; /* name as in jit_emit "kernels"; of several that ran row by row together, the name as in
                           "plan" ("k0_k3_rows"); or "(to the GPU)", "(from the GPU)", "(on the GPU)" for copies. Valid
                           as long as the function */
    int64_t launches;   /* or copies */
    double seconds;     /* of a GPU: by its own clock */
    double bytes;       /* read and written, each operand counted once (of rows: each array in memory once); copied */
    int gpu;            /* 1: kernel or copy ran on a GPU */
} jit_profile_row;

/* Starts (1) or stops (0) measuring the function's kernels; starting clears. Adds two clock reads a kernel, or two
 * events of the GPU's. Asynchronous calls are counted when jit_wait was called. */
JIT_API void jit_profile(jit_function *function, int on);
/* Rows by index from 0, kernels in the order of their plan and then copies, for each plan; 0 past the last. */
JIT_API int jit_profile_get(const jit_function *function, int index, jit_profile_row *row);

/* ---- Machine -------------------------------------------------------------------------------------------------------
 */

/* Versions, CPU features, vector-math library, devices: the text of `weft info`. */
JIT_API char *jit_info(jit_context *context);

#ifdef __cplusplus
}
#endif

#endif
