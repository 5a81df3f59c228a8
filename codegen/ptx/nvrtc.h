/* nvrtc.h: where NVRTC is looked for: for tests, which have it looked for elsewhere. Everything else is in ptx.h. */
#ifndef CODEGEN_PTX_NVRTC_H
#define CODEGEN_PTX_NVRTC_H

#include "codegen/ptx/ptx.h"

/* ptx_compiler_open with other places: the system's search if `system` is set, then lib64 and lib of the folders, in
 * order; NULL ends the list. */
struct ptx_compiler *nvrtc_open(struct mem *mem, int most_major, bool system, const char *const *folders,
                                struct strbuf *why);

#endif
