/* math.c: the elementary functions of kernels: those that a test has set, else the C library's. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>

#include "shim.h"

/* What the C library lacks, or does with a global variable. */
static double sinpi_of(double x) {
    double r = remainder(x, 2);
    return fabs(r) <= 0.5 ? sin(M_PI * r) : sin(M_PI * (copysign(1, r) - r));
}
static double cospi_of(double x) {
    double r = fabs(remainder(x, 2));
    return r == 0.5 ? 0 : r <= 0.25 ? cos(M_PI * r) : r <= 0.75 ? sin(M_PI * (0.5 - r)) : -cos(M_PI * (1 - r));
}
static double rsqrt_of(double x) {
    return 1 / sqrt(x);
}
static double lgamma_of(double x) {
    int sign;
    return lgamma_r(x, &sign);
}
static float lgammaf_of(float x) {
    int sign;
    return lgammaf_r(x, &sign);
}
#define sinpi(x)   sinpi_of(x)
#define cospi(x)   cospi_of(x)
#define rsqrt(x)   rsqrt_of(x)
#define lgamma(x)  lgamma_of(x)
#define sinpif(x)  (float)sinpi_of(x)
#define cospif(x)  (float)cospi_of(x)
#define rsqrtf(x)  (float)rsqrt_of(x)
#define lgammaf(x) lgammaf_of(x)

#define ARGUMENTS_1               (x)
#define ARGUMENTS_2               (x, y)
#define CALL(function, arguments) function arguments

static double libm_f64(int function, double x, double y) {
    switch (function) {
#define SHIM_FUNCTION(name, n)                                                                                         \
    case SHIM_##name:                                                                                                  \
        return CALL(name, ARGUMENTS_##n);
#include "functions.def"
#undef SHIM_FUNCTION
    }
    abort();
}

static float libm_f32(int function, float x, float y) {
    switch (function) {
#define SHIM_FUNCTION(name, n)                                                                                         \
    case SHIM_##name:                                                                                                  \
        return CALL(name##f, ARGUMENTS_##n);
#include "functions.def"
#undef SHIM_FUNCTION
    }
    abort();
}

double shim_math_f64(int function, double x, double y) {
    const struct shim_math *math = &shim_settings.math;
    return math->f64 ? math->f64(math->host, function, x, y) : libm_f64(function, x, y);
}

float shim_math_f32(int function, float x, float y) {
    const struct shim_math *math = &shim_settings.math;
    return math->f32 ? math->f32(math->host, function, x, y) : libm_f32(function, x, y);
}
