/* support.h: C functions that compiled kernels call, all off the fast path. Known to the code by symbol name. */
#ifndef CODEGEN_CPU_SUPPORT_H
#define CODEGEN_CPU_SUPPORT_H

#include "ir/kernel.h"

/* Called when watch->stop or the cancel flag was seen set while `position` was at work: how many positions from there
 * on are still wanted. 0 or less: leave. Positions before the first known error stay wanted, so that the error that is
 * reported is the one at the smallest position, whatever the threads' timing. */
int64_t cpu_support_poll(struct kernel_watch *watch, int64_t position);

/* A subscript was out of range at `position`; the smallest position is kept (the first report, of equal ones). */
void cpu_support_report(struct kernel_watch *watch, int64_t position, int64_t operand_dim, int64_t site, int64_t index,
                        int64_t size);
/* The same for the lanes in `lanes` (bit i: lane i, at position + i * step), with their subscripts. */
void cpu_support_report_lanes(struct kernel_watch *watch, int64_t position, int64_t step, uint64_t lanes,
                              int64_t operand_dim, int64_t site, const int64_t *index, int64_t size);
/* operand_dim packs an operand's number and one of its subscripts. */
enum { CPU_SUPPORT_DIM_BITS = 4 };

/* Functions without a vector form: x[i] = f(x[i]), x[i] = f(x[i], y[i]). */
void cpu_support_map1(double (*f)(double), double *x, int64_t n);
void cpu_support_map2(double (*f)(double, double), double *x, const double *y, int64_t n);
void cpu_support_map1f(float (*f)(float), float *x, int64_t n);
void cpu_support_map2f(float (*f)(float, float), float *x, const float *y, int64_t n);

struct cpu_symbol {
    const char *name;
    void *address;
};
/* What the code may refer to besides vector math: the functions above, and what LLVM itself calls. Ends with a NULL
 * name. */
extern const struct cpu_symbol cpu_support_symbols[];

#endif
