#include "codegen/cpu/support.h"

#include <math.h>
#include <string.h>

/* The error fields of a watch are several words that belong together. They are guarded by `stop`: 0 nothing yet, 1 set,
 * STOP_BUSY while someone writes; writers are rare and hold it for a few instructions. */
enum { STOP_SET = 1, STOP_BUSY = 2 };

int64_t cpu_support_poll(struct kernel_watch *watch, int64_t position) {
    if (__atomic_load_n(watch->cancel, __ATOMIC_RELAXED)) {
        int none = 0;
        __atomic_compare_exchange_n(&watch->stop, &none, STOP_SET, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        return 0;
    }
    /* Stopped without an error: whoever set the flag wants everyone to leave. */
    int64_t first = __atomic_load_n(&watch->error_position, __ATOMIC_RELAXED);
    if (first == INT64_MAX) return __atomic_load_n(&watch->stop, __ATOMIC_RELAXED) == STOP_SET ? 0 : INT64_MAX;
    return first - position;
}

void cpu_support_report(struct kernel_watch *watch, int64_t position, int64_t operand_dim, int64_t site, int64_t index,
                        int64_t size) {
    int seen = __atomic_load_n(&watch->stop, __ATOMIC_RELAXED);
    for (;;) {
        if (seen == STOP_BUSY) {
            seen = __atomic_load_n(&watch->stop, __ATOMIC_RELAXED);
            continue;
        }
        if (__atomic_compare_exchange_n(&watch->stop, &seen, STOP_BUSY, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            break;
    }
    if (position < watch->error_position) {
        watch->error_operand = (int)(operand_dim >> CPU_SUPPORT_DIM_BITS);
        watch->error_dim = (int)(operand_dim & ((1 << CPU_SUPPORT_DIM_BITS) - 1));
        watch->error_site = (int)site;
        watch->error_index = index;
        watch->error_size = size;
        __atomic_store_n(&watch->error_position, position, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&watch->stop, STOP_SET, __ATOMIC_RELEASE);
}

void cpu_support_report_lanes(struct kernel_watch *watch, int64_t position, int64_t step, uint64_t lanes,
                              int64_t operand_dim, int64_t site, const int64_t *index, int64_t size) {
    if (!lanes) return;
    int first = __builtin_ctzll(lanes);
    cpu_support_report(watch, position + first * step, operand_dim, site, index[first], size);
}

void cpu_support_map1(double (*f)(double), double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = f(x[i]);
}

void cpu_support_map2(double (*f)(double, double), double *x, const double *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = f(x[i], y[i]);
}

void cpu_support_map1f(float (*f)(float), float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = f(x[i]);
}

void cpu_support_map2f(float (*f)(float, float), float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = f(x[i], y[i]);
}

/* LLVM calls these by name where the instruction set has no such instruction (SSE2: no rounding, no fma). */
const struct cpu_symbol cpu_support_symbols[] = {
    {"cpu_support_poll", (void *)cpu_support_poll},
    {"cpu_support_report", (void *)cpu_support_report},
    {"cpu_support_report_lanes", (void *)cpu_support_report_lanes},
    {"cpu_support_map1", (void *)cpu_support_map1},
    {"cpu_support_map2", (void *)cpu_support_map2},
    {"cpu_support_map1f", (void *)cpu_support_map1f},
    {"cpu_support_map2f", (void *)cpu_support_map2f},
    {"fma", (void *)(double (*)(double, double, double))fma},
    {"fmaf", (void *)(float (*)(float, float, float))fmaf},
    {"floor", (void *)(double (*)(double))floor},
    {"floorf", (void *)(float (*)(float))floorf},
    {"ceil", (void *)(double (*)(double))ceil},
    {"ceilf", (void *)(float (*)(float))ceilf},
    {"trunc", (void *)(double (*)(double))trunc},
    {"truncf", (void *)(float (*)(float))truncf},
    {"rint", (void *)(double (*)(double))rint},
    {"rintf", (void *)(float (*)(float))rintf},
    {"memcpy", (void *)memcpy},
    {"memmove", (void *)memmove},
    {"memset", (void *)memset},
    {NULL, NULL},
};
