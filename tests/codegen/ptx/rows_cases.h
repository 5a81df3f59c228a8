/* rows_cases.h: the chains of kernels in rows/, which run row by row as one. A file:
 *
 *     # outer 1, scratch 2
 *     # unit uniform>0 unit!0 value; aligned
 *     kernel "k0_max" lanes ...
 *     # unit>1 ...
 *     kernel "k1_map" map ...
 *
 * access of each operand; `>`: it is a scratch array, of this number; `!`: it is an array that kernels exchange; then
 * what is set in struct ptx_variant; one_column: its extent
 * along the last dimension is 1. */
#ifndef TESTS_CODEGEN_PTX_ROWS_CASES_H
#define TESTS_CODEGEN_PTX_ROWS_CASES_H

#include "codegen/ptx/ptx.h"

enum { ROWS_STAGES_MOST = 8, ROWS_OPERANDS_MOST = 16, ROWS_FILES = 6 };

struct rows_case {
    const char *name; /* "softmax": the kernel is called "k_softmax" */
    int outer, n_stages, n_scratch;
    struct ptx_stage stages[ROWS_STAGES_MOST];
    struct ptx_variant variants[ROWS_STAGES_MOST];
    enum ptx_access access[ROWS_STAGES_MOST][ROWS_OPERANDS_MOST];
    int scratch[ROWS_STAGES_MOST][ROWS_OPERANDS_MOST];
    int exchange[ROWS_STAGES_MOST][ROWS_OPERANDS_MOST]; /* -1: none */
    bool one_column[ROWS_STAGES_MOST];
    bool exchanged[ROWS_STAGES_MOST][ROWS_OPERANDS_MOST];
};

extern const char *const rows_files[ROWS_FILES]; /* names of cases */

/* Fails the test if the file is not as it should be. The case must stay where it is. */
void rows_read(struct arena *arena, const char *name, struct rows_case *out);
/* Fails the test if there is no such kernel. */
struct ptx_kernel rows_emit(struct arena *arena, const struct rows_case *one);

#endif
