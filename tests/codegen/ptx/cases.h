/* cases.h: the kernels in kernels/. The first line of a file says how it is compiled:
 *
 *     # unit value strided uniform; aligned single_row
 *     kernel "k0_map" map par 1 ...
 *
 * access of each operand, then what is set in struct ptx_variant (aligned single_row aliased short_rows; ulp1). */
#ifndef TESTS_CODEGEN_PTX_CASES_H
#define TESTS_CODEGEN_PTX_CASES_H

#include "codegen/ptx/ptx.h"
#include "support/check.h"
#include "support/operations.h"

struct ptx_case {
    const char *name; /* "triad" */
    struct ir_kernel *kernel;
    struct ptx_variant variant;
};

struct cases {
    struct mem mem;
    struct arena arena;
    struct strbuf why;
    struct ptx_case *items; /* by name */
    int n, capacity;
};

/* For cmocka's group setup and teardown: *state is a struct cases. */
int cases_open(void **state);
int cases_close(void **state);

/* The kernel's CUDA C; fails the test if there is none. */
struct ptx_kernel cases_emit(struct cases *cases, const struct ptx_case *one);
/* The part after the prelude. */
const char *cases_own_text(const struct ptx_kernel *kernel);

/* Kernels made in tests: how each operation is called. Does the operation exist for this type? */
bool cases_op_exists(enum op op, enum dtype type);
enum dtype cases_op_argument(enum op op, enum dtype type, int argument);

/* A kernel of one operation on arrays of a type, elementwise along one dimension; all its operands are `cases_unit`. */
struct ir_kernel *cases_operation(struct arena *arena, const char *name, enum op op, enum dtype type);
extern const enum ptx_access cases_unit[4];

/* All operations of a type in one kernel, elementwise along one dimension. */
enum { CASES_ARGUMENTS = 5, CASES_OUTPUTS = 100 };

struct cases_result {
    enum op op;
    enum dtype type;  /* of the result */
    int arguments[3]; /* operands */
};

struct cases_all {
    enum dtype type;
    struct ptx_kernel kernel;
    struct cases_result results[CASES_OUTPUTS];
    int n_results;
    enum dtype operand_types[CASES_ARGUMENTS]; /* x, y, z, i32, bool */
    struct kernel_operand operands[CASES_ARGUMENTS + CASES_OUTPUTS];
    enum ptx_access access[CASES_ARGUMENTS + CASES_OUTPUTS];
};
struct cases_all *cases_all_operations(struct cases *cases, enum dtype type);

#endif
