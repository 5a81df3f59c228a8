/* tools_emit.h: what the stages of tools_emit.c share. */
#ifndef RUNTIME_TOOLS_EMIT_H
#define RUNTIME_TOOLS_EMIT_H

#include "codegen/ptx/ptx.h"
#include "runtime/runtime.h"

/* The last byte of a CPU variant's key holds launch_cpu.c's flags. */
enum { KEY_NONTEMPORAL = 1, KEY_SINGLE_ROW = 2 };

/* How a GPU's version of a launch is compiled where its arrays are laid out as in the CPU's variant `like` and their
 * first elements are aligned. `like` NULL: as for contiguous arrays, as far as the index maps tell. access[] is in the
 * arena. */
void emit_gpu_variant(const struct plan_entry *entry, const struct plan_launch *launch,
                      const struct kernel_variant *like, struct arena *arena, struct ptx_variant *out);

/* The same for the launches of `rows` together: stages[] has room for each of them. */
void emit_gpu_stages(const struct plan_entry *entry, const struct plan_rows *rows, struct arena *arena,
                     struct ptx_stage *stages);

/* Texts for a GPU. */
struct emit_gpu {
    jit_function *function;
    struct plan_entry *entry;
    int arch;                      /* 90: sm_90 */
    bool named;                    /* the caller chose it */
    struct ptx_compiler *compiler; /* NULL: CUDA C is wanted; else PTX */
    jit_error *error;
    bool reported; /* `error` is set */
};

/* Fills in arch and, if `ptx`, compiler; function and error are given. `arch`: "sm_90"; NULL: the context's device,
 * else sm_80. False with an error. */
bool emit_gpu_open(struct emit_gpu *job, const char *arch, bool ptx);
void emit_gpu_close(struct emit_gpu *job);
/* Writes all kernels. False: out of memory, or job->reported. May leave by longjmp. */
bool emit_gpu_write(struct emit_gpu *job, struct strbuf *out);

#endif
