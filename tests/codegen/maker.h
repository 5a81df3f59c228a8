/* maker.h: kernels for the tests, made in a few lines, and how they are run. */
#ifndef TESTS_CODEGEN_MAKER_H
#define TESTS_CODEGEN_MAKER_H

#include "codegen/cpu/cpu.h"
#include "ir/eval.h"

enum { MAKER_OPERANDS = 8, MAKER_REDUCTIONS = 8, MAKER_ISAS = 4 };
extern const char *const maker_isas[MAKER_ISAS];

/* Engines of every instruction set that this machine has; NULL for the others. `ulp` 4. */
struct maker {
    struct mem mem;
    struct arena arena;
    struct strbuf why;
    struct cpu_engine *engines[MAKER_ISAS];
};
void maker_open(struct maker *maker);
void maker_close(struct maker *maker);

/* A kernel under construction, with its operands' places in memory. */
struct making {
    struct maker *maker;
    struct ir_kernel kernel;
    struct kernel_operand operands[MAKER_OPERANDS];
    struct kernel_reduction reductions[MAKER_REDUCTIONS];
    struct ir_region *body, *epilogue;
    struct kernel_argument arguments[MAKER_OPERANDS];
    int64_t strides[MAKER_OPERANDS][KERNEL_MAX_LOOPS], whole_sizes[MAKER_OPERANDS][TYPE_MAX_RANK];
    enum access_class access[MAKER_OPERANDS];
    int64_t extents[KERNEL_MAX_LOOPS], sizes[4];
    bool single_row, nontemporal;
    int cancel;
    struct kernel_watch watch;
};

void making_begin(struct making *m, struct maker *maker, enum kernel_kind kind, int n_par, int n_red,
                  const int64_t *extents);
/* The element of a new operand at each position; strides in bytes by loop dimension. */
struct ir_value *making_read(struct making *m, enum dtype type, const void *data, const int64_t *strides);
/* A new whole operand, C-contiguous; returns its number. */
int making_whole(struct making *m, enum dtype type, const void *data, int rank, const int64_t *sizes);
struct ir_value *making_op(struct making *m, struct ir_region *at, enum op op, enum dtype type, struct ir_value *a,
                           struct ir_value *b, struct ir_value *c);
struct ir_value *making_load(struct making *m, struct ir_region *at, int whole, struct ir_value *i, struct ir_value *j);
/* Stores to a new output operand, in the body or the epilogue. */
void making_store(struct making *m, struct ir_value *value, void *data);
/* Reduces; the value is the epilogue's parameter. `count`: VAR's second operand. */
struct ir_value *making_reduce(struct making *m, enum reduce_op op, struct ir_value *operand, struct ir_value *count);
struct ir_value *making_result(struct making *m, struct ir_region *at, struct ir_value *of, int k, enum dtype type);

/* Compiles and runs it whole, in `pieces` parts. Fails the test if it does not compile. */
void making_run(struct making *m, struct cpu_engine *engine, int pieces);
void making_compile(struct making *m, struct cpu_engine *engine, struct kernel_code *code);
void making_call(struct making *m, const struct kernel_code *code, int pieces);

/* Values at the edges of a type, and others. */
int maker_grid(enum dtype type, union scalar *out, int capacity);
void maker_put(enum dtype type, void *array, int64_t i, union scalar value);
union scalar maker_get(enum dtype type, const void *array, int64_t i);
/* Equal bits, any NaN equal to any other. */
bool maker_same(enum dtype type, union scalar a, union scalar b);
/* Elementary functions of an engine, for eval_scalar. */
struct eval_math maker_math(struct cpu_engine *engine);

#endif
