/* vecmath.c: which function computes which elementary operation. Chosen once, when an engine is made. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* lgamma_r */
#endif
#include "codegen/cpu/engine.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* glibc's names: _ZGV, the set's letter, N (not masked), lanes, a v an argument, _name. */
static void *vecmath_libmvec(const struct cpu_engine *engine, const struct op_info *info, bool wide, char *symbol,
                             size_t size, int *lanes) {
    static const char letters[] = {'e', 'd', 'b'};
    if (engine->isa > ISA_SSE2 || !engine->libraries[0]) return NULL;
    *lanes = engine->vector_bytes / (wide ? 8 : 4);
    snprintf(symbol, size, "_ZGV%cN%d%s_%s%s", letters[engine->isa], *lanes, info->arity == 2 ? "vv" : "v", info->vec,
             wide ? "" : "f");
    return dlsym(engine->libraries[0], symbol);
}

/* SLEEF's: Sleef_expd8_u10; the short names choose the processor's best code by themselves. */
static void *vecmath_sleef(const struct cpu_engine *engine, const struct op_info *info, bool wide, char *symbol,
                           size_t size, int *lanes) {
    if (engine->isa > ISA_SSE2 || !engine->libraries[1] || !info->sleef) return NULL;
    *lanes = engine->vector_bytes / (wide ? 8 : 4);
    snprintf(symbol, size, "Sleef_%s%c%d_%s", info->vec, wide ? 'd' : 'f', *lanes, info->sleef);
    return dlsym(engine->libraries[1], symbol);
}

static void *vecmath_libm(const struct op_info *info, bool wide, char *symbol, size_t size) {
    snprintf(symbol, size, "weft_libm_%s%s", info->vec, wide ? "" : "f");
    if (info->arity == 2) return wide ? (void *)info->eval2 : (void *)info->eval2f;
    return wide ? (void *)info->eval1 : (void *)info->eval1f;
}

/* The 1 ULP mode where SLEEF 3.5.1 is wrong. exp, pow and log1p are, at the far end of the range: libm's are as
 * accurate. The hyperbolic functions overflow too early, and the gamma functions are off near their zeros and poles:
 * libm's next wider type, rounded, serves for them. */

#define VECMATH_WIDE(NAME)                                                                                             \
    static double vecmath_wide_##NAME(double x) {                                                                      \
        return (double)NAME##l(x);                                                                                     \
    }                                                                                                                  \
    static float vecmath_wide_##NAME##f(float x) {                                                                     \
        return (float)NAME(x);                                                                                         \
    }
VECMATH_WIDE(sinh)
VECMATH_WIDE(cosh)
VECMATH_WIDE(asinh)
VECMATH_WIDE(acosh)
VECMATH_WIDE(tgamma)
static double vecmath_wide_lgamma(double x) {
    int sign;
    return (double)lgammal_r(x, &sign);
}
static float vecmath_wide_lgammaf(float x) {
    int sign;
    return (float)lgamma_r(x, &sign);
}

static void *vecmath_wide(enum op op, bool wide, char *symbol, size_t size) {
#define VECMATH_CASE(NAME)                                                                                             \
    case OP_##NAME:                                                                                                    \
        snprintf(symbol, size, "weft_wide_%s%s", #NAME, wide ? "" : "f");                                              \
        return wide ? (void *)vecmath_wide_##NAME : (void *)vecmath_wide_##NAME##f;
    switch (op) {
        VECMATH_CASE(sinh)
        VECMATH_CASE(cosh)
        VECMATH_CASE(asinh)
        VECMATH_CASE(acosh)
        VECMATH_CASE(tgamma)
        VECMATH_CASE(lgamma)
    default: return NULL;
    }
}

static bool vecmath_distrusted(enum op op, bool wide) {
    return op == OP_log1p || (wide && (op == OP_pow || op == OP_exp));
}

static void vecmath_choose(struct cpu_engine *engine, enum op op, bool wide) {
    const struct op_info *info = &op_info[op];
    struct math_function *function = &engine->math[op][wide];
    char *symbol = engine->symbols[op][wide];
    size_t size = sizeof engine->symbols[op][wide];
    enum math_library library = engine->options.ulp == 1 ? MATH_SLEEF : MATH_LIBMVEC;
    int lanes = 1;
    void *address = NULL;
    if (library == MATH_SLEEF && !vecmath_distrusted(op, wide)) {
        address = vecmath_wide(op, wide, symbol, size);
        if (!address) address = vecmath_sleef(engine, info, wide, symbol, size, &lanes);
    }
    if (library == MATH_LIBMVEC) address = vecmath_libmvec(engine, info, wide, symbol, size, &lanes);
    if (!address) {
        library = MATH_LIBM;
        lanes = 1;
        address = vecmath_libm(info, wide, symbol, size);
    }
    *function = (struct math_function){address, symbol, lanes, library};
}

bool vecmath_open(struct cpu_engine *engine, struct cpu_why *why) {
    bool x86 = engine->isa <= ISA_SSE2;
    if (x86) engine->libraries[0] = dlopen("libmvec.so.1", RTLD_NOW | RTLD_LOCAL);
    if (x86 && engine->options.ulp == 1) {
        engine->libraries[1] = dlopen("libsleef.so.3", RTLD_NOW | RTLD_LOCAL);
        if (!engine->libraries[1]) return cpu_why_set(why, "the 1 ULP mode needs SLEEF (libsleef.so.3): %s", dlerror());
    }
    engine->symbols = mem_zalloc(engine->mem, OP_COUNT, sizeof *engine->symbols);
    if (!engine->symbols) return cpu_why_memory(why);
    for (int op = 0; op < OP_COUNT; op++)
        if (op_info[op].lower == LOWER_CALL)
            for (int wide = 0; wide < 2; wide++) vecmath_choose(engine, (enum op)op, wide);
#ifdef __GLIBC__
    const char *libc = "glibc ", *version = gnu_get_libc_version();
#else
    const char *libc = "libc", *version = "";
#endif
    const char *name = engine->options.ulp == 1 && engine->libraries[1] ? "SLEEF"
                       : engine->libraries[0]                           ? "libmvec"
                                                                        : "libm";
    snprintf(engine->info_math, sizeof engine->info_math, "%s (%s%s), %d ULP", name, libc, version,
             engine->options.ulp == 1 ? 1 : 4);
    return true;
}

void vecmath_close(struct cpu_engine *engine) {
    for (int i = 0; i < 2; i++)
        if (engine->libraries[i]) dlclose(engine->libraries[i]);
    mem_free(engine->mem, engine->symbols, OP_COUNT * sizeof *engine->symbols);
}

enum math_library cpu_math_library(const struct cpu_engine *engine, enum op op, enum dtype type, float *ulp) {
    enum math_library library = engine->math[op][type == TY_F64].library;
    if (ulp) *ulp = type == TY_F64 ? op_info[op].ulp[library].f64 : op_info[op].ulp[library].f32;
    return library;
}

/* Vectors cross function boundaries in registers that only code built for them may name. */
#ifdef __x86_64__
#define VECMATH_LANE0(NAME, TYPE, BYTES, TARGET)                                                                       \
    typedef TYPE NAME##_v __attribute__((vector_size(BYTES)));                                                         \
    __attribute__((target(TARGET), noinline)) static TYPE NAME(void *f, bool two, TYPE x, TYPE y) {                    \
        NAME##_v a, b;                                                                                                 \
        for (int i = 0; i < (int)(BYTES / sizeof(TYPE)); i++) a[i] = x, b[i] = y;                                      \
        NAME##_v r = two ? ((NAME##_v(*)(NAME##_v, NAME##_v))f)(a, b) : ((NAME##_v(*)(NAME##_v))f)(a);                 \
        return r[0];                                                                                                   \
    }
VECMATH_LANE0(vecmath_d8, double, 64, "avx512f")
VECMATH_LANE0(vecmath_d4, double, 32, "avx2")
VECMATH_LANE0(vecmath_d2, double, 16, "sse2")
VECMATH_LANE0(vecmath_f16, float, 64, "avx512f")
VECMATH_LANE0(vecmath_f8, float, 32, "avx2")
VECMATH_LANE0(vecmath_f4, float, 16, "sse2")
#endif

double cpu_math_f64(struct cpu_engine *engine, enum op op, double x, double y) {
    const struct math_function *function = &engine->math[op][1];
    bool two = op_info[op].arity == 2;
#ifdef __x86_64__
    if (function->lanes == 8) return vecmath_d8(function->address, two, x, y);
    if (function->lanes == 4) return vecmath_d4(function->address, two, x, y);
    if (function->lanes == 2) return vecmath_d2(function->address, two, x, y);
#endif
    if (two) return ((double (*)(double, double))function->address)(x, y);
    return ((double (*)(double))function->address)(x);
}

float cpu_math_f32(struct cpu_engine *engine, enum op op, float x, float y) {
    const struct math_function *function = &engine->math[op][0];
    bool two = op_info[op].arity == 2;
#ifdef __x86_64__
    if (function->lanes == 16) return vecmath_f16(function->address, two, x, y);
    if (function->lanes == 8) return vecmath_f8(function->address, two, x, y);
    if (function->lanes == 4) return vecmath_f4(function->address, two, x, y);
#endif
    if (two) return ((float (*)(float, float))function->address)(x, y);
    return ((float (*)(float))function->address)(x);
}
