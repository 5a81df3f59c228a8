/* fake_math.h: the fake GPU's elementary functions are lane 0 of the CPU's vector library, as the reference evaluator's
 * are. */
#ifndef TESTS_GPU_FAKE_MATH_H
#define TESTS_GPU_FAKE_MATH_H

#include "codegen/cpu/cpu.h"
#include "gpu/fixture.h"
#include "gpu/shim/control.h"

static enum op math_ops[64]; /* by the fake driver's number */

static inline double math_f64(void *host, int function, double x, double y) {
    return cpu_math_f64(host, math_ops[function], x, y);
}

static inline float math_f32(void *host, int function, float x, float y) {
    return cpu_math_f32(host, math_ops[function], x, y);
}

/* NULL: libm's again. On a real GPU nothing changes. */
static inline void math_from_cpu(struct device *on, struct cpu_engine *engine) {
    if (!on->is_shim) return;
    int n = FAKE(shim_math_count)();
    if (n > (int)(sizeof math_ops / sizeof *math_ops)) abort();
    for (int i = 0; i < n; i++) math_ops[i] = op_from_ir_name(FAKE(shim_math_name)(i));
    FAKE(shim_set_math)(engine ? &(struct shim_math){math_f64, math_f32, engine} : NULL);
}

#endif
