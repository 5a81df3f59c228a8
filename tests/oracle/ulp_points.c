/* ulp_points.c: see ulp_points.h. */
#include "oracle/ulp_points.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"

enum { RANDOM_POINTS = 1600, MOST = 4000 };

struct source {
    enum dtype type;
    uint64_t state;
    double list[MOST];
    int n;
};

static uint64_t bits(struct source *s) {
    uint64_t z = s->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static double unit(struct source *s) {
    return (double)(bits(s) >> 11) * 0x1p-53;
}
static double between(struct source *s, double a, double b) {
    return a + (b - a) * unit(s);
}

static void add(struct source *s, double x) {
    if (s->n < MOST) s->list[s->n++] = s->type == TY_F32 ? (double)(float)x : x;
}

static double next(const struct source *s, double x, double to) {
    return s->type == TY_F32 ? (double)nextafterf((float)x, (float)to) : nextafter(x, to);
}

/* x and what lies around it, with both signs. */
static void around(struct source *s, double x) {
    double up = x, down = x;
    add(s, x), add(s, -x);
    for (int i = 0; i < 2; i++) {
        up = next(s, up, INFINITY), down = next(s, down, -INFINITY);
        add(s, up), add(s, -up), add(s, down), add(s, -down);
    }
}

/* Any number but NaN: every exponent is as likely as every other. */
static double any(struct source *s) {
    int low = s->type == TY_F32 ? -149 : -1074, high = s->type == TY_F32 ? 128 : 1024;
    double x = ldexp(1 + unit(s), low + (int)(bits(s) % (unsigned)(high - low)));
    return bits(s) & 1 ? x : -x;
}

static void add_special(struct source *s) {
    bool f32 = s->type == TY_F32;
    const double largest = f32 ? (double)FLT_MAX : DBL_MAX, smallest = f32 ? (double)FLT_MIN : DBL_MIN;
    const double tiny = f32 ? 0x1p-149 : 0x1p-1074;
    add(s, 0.0), add(s, -0.0), add(s, INFINITY), add(s, -INFINITY), add(s, NAN);
    add(s, largest), add(s, -largest), add(s, next(s, largest, 0)), add(s, largest / 2);
    around(s, smallest);
    add(s, tiny), add(s, -tiny), add(s, 2 * tiny), add(s, -3 * tiny);
    static const double places[] = {0.5,
                                    1,
                                    1.5,
                                    2,
                                    2.5,
                                    3,
                                    4,
                                    5,
                                    10,
                                    20,
                                    100,
                                    M_PI,
                                    M_PI_2,
                                    M_PI_4,
                                    2 * M_PI,
                                    M_E,
                                    M_LN2,
                                    M_SQRT1_2,
                                    0x1p-12,
                                    0x1p-26,
                                    0x1p-27,
                                    0x1p-30,
                                    0x1p23,
                                    0x1p24,
                                    0x1p31,
                                    0x1p52,
                                    0x1p53,
                                    0x1p63,
                                    0.1,
                                    0.25,
                                    1e-3,
                                    1e-5,
                                    1e-10,
                                    88.0296919,
                                    88.7228394,
                                    103.972084,
                                    87.3365448, /* ends of expf, sinhf */
                                    708.3964185,
                                    709.782712893,
                                    710.4758600739,
                                    745.1332191,
                                    744.4400719,
                                    127,
                                    128,
                                    149,
                                    150,
                                    1023,
                                    1024,
                                    1074,
                                    1075,
                                    38.53183944,
                                    308.2547155,
                                    323.3062153,
                                    45.1544993,
                                    9.194549560546875,
                                    10.0546875,
                                    26.543258,
                                    27.2261, /* erfc underflows */
                                    34.04,
                                    35.04010009765625,
                                    170.5,
                                    171.62437695630272,
                                    184.5, /* tgamma */
                                    2.4570247382208,
                                    2.7476826467274,
                                    3.1435808883499,
                                    1.4616321449683623,
                                    0.4769362762};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) around(s, places[i]);
}

/* Places where the function itself is difficult. */
static double difficult(struct source *s, enum op op) {
    double near = ldexp(between(s, -1, 1), -(int)(bits(s) % 50));
    switch (op) {
    case OP_log:
    case OP_log2:
    case OP_log10:
    case OP_acosh: return 1 + fabs(near);
    case OP_pow: return 1 + near / 2;
    case OP_asin:
    case OP_acos:
    case OP_atanh: return bits(s) & 1 ? 1 - fabs(near) : fabs(near) - 1;
    case OP_sin:
    case OP_cos:
    case OP_tan: return floor(between(s, -2000, 2000)) * M_PI_2 + near / 64;
    case OP_sinpi:
    case OP_cospi: return floor(between(s, -200, 200)) / 2 + near / 4;
    case OP_log1p: return bits(s) & 1 ? -1 + fabs(near) : near;
    case OP_lgamma: return bits(s) & 1 ? floor(between(s, -20, 3)) + near : between(s, 0.5, 3);
    case OP_tgamma: return bits(s) & 1 ? floor(between(s, -180, 3)) + near : between(s, -180, 172);
    case OP_erfc: return between(s, -3, 28);
    case OP_erf: return between(s, -4, 4);
    case OP_exp:
    case OP_sigmoid:
    case OP_softplus:
    case OP_expm1:
    case OP_sinh:
    case OP_cosh: return s->type == TY_F32 ? between(s, -106, 92) : between(s, -750, 715);
    case OP_exp2: return s->type == TY_F32 ? between(s, -152, 130) : between(s, -1078, 1026);
    case OP_exp10: return s->type == TY_F32 ? between(s, -46, 39) : between(s, -325, 309);
    default: return near;
    }
}

static double random_point(struct source *s, enum op op) {
    switch (bits(s) % 8) {
    case 0: return any(s);
    case 1: return between(s, -1, 1);
    case 2: return between(s, -10, 10);
    case 3: return between(s, -100, 100);
    case 4: return ldexp(between(s, -1, 1), -(int)(bits(s) % 60));
    case 5: return ldexp(between(s, -1, 1), (int)(bits(s) % 40));
    default: return difficult(s, op);
    }
}

static double random_second(struct source *s, enum op op, double x) {
    if (op == OP_pow) {
        switch (bits(s) % 6) {
        case 0: return floor(between(s, -30, 30));
        case 1: return between(s, -3, 3);
        case 2: return any(s);
        case 3: return floor(between(s, -10, 10)) / 2;
        default: { /* near the ends of the range */
            double range = s->type == TY_F32 ? 150 : 1075, power = log2(fabs(x));
            return power != 0 && isfinite(power) ? between(s, -range, range) / power : between(s, -20, 20);
        }
        }
    }
    switch (bits(s) % 4) {
    case 0: return any(s);
    case 1: return between(s, -10, 10);
    case 2: return x * ldexp(between(s, -1, 1), (int)(bits(s) % 40) - 20);
    default: return x * (1 + ldexp(between(s, -1, 1), -(int)(bits(s) % 40)));
    }
}

void ulp_points_make(struct ulp_points *points, enum op op, enum dtype type) {
    struct source *s = calloc(1, sizeof *s);
    const char *factor = getenv("WEFT_ULP");
    int extra = RANDOM_POINTS * (factor && atoi(factor) > 0 ? atoi(factor) : 1), wide = type == TY_F64;
    if (!s) abort();
    s->type = type;
    s->state = (uint64_t)op * 1000 + type;
    add_special(s);
    int special = s->n, pairs = op_info[op].arity == 2 ? 40 * 40 : 0, most = special + pairs + extra;
    double *x = calloc((size_t)most, sizeof *x), *y = calloc((size_t)most, sizeof *y);
    if (!x || !y) abort();
    int n = 0;
    if (pairs) {
        for (int i = 0; i < 40; i++)
            for (int k = 0; k < 40; k++, n++) x[n] = s->list[i * 7 % special], y[n] = s->list[k * 11 % special];
    } else {
        for (; n < special; n++) x[n] = s->list[n];
    }
    for (int i = 0; i < extra; i++, n++) {
        x[n] = random_point(s, op);
        y[n] = random_second(s, op, x[n]);
    }
    points->n = n;
    points->x[wide] = x, points->y[wide] = y;
    points->x[!wide] = points->y[!wide] = NULL;
    if (!wide) {
        float *fx = calloc((size_t)n, sizeof *fx), *fy = calloc((size_t)n, sizeof *fy);
        if (!fx || !fy) abort();
        for (int i = 0; i < n; i++) fx[i] = (float)x[i], fy[i] = (float)y[i];
        points->x[0] = fx, points->y[0] = fy;
        free(x), free(y);
    }
    free(s);
}

void ulp_points_free(struct ulp_points *points) {
    for (int wide = 0; wide < 2; wide++) free(points->x[wide]), free(points->y[wide]);
}

void ulp_points_compute(const struct ulp_points *points, jit_context *context, enum op op, enum dtype type, void *out) {
    char source[200];
    const char *t = dtype_name(type), *name = op_info[op].name;
    jit_error error = {0};
    bool two = op_info[op].arity == 2;
    snprintf(source, sizeof source, two ? "param x: %s[n]\nparam y: %s[n]\n%s(x, y)" : "param x: %s[n]\n%.0s%s(x)", t,
             t, name);
    jit_function *function = jit_compile(context, source, &error);
    if (!function) fail_msg("%s: %s", source, error.message);
    int dl = type == TY_F64 ? JIT_F64 : JIT_F32;
    const DLTensor *in[] = {jit_array(points->x[type == TY_F64], dl, points->n),
                            jit_array(points->y[type == TY_F64], dl, points->n)};
    DLTensor *results[] = {jit_array(out, dl, points->n)};
    if (jit_call(function, in, two ? 2 : 1, results, 1, &error) != JIT_OK) fail_msg("%s: %s", source, error.message);
    jit_function_free(function);
}

double ulp_points_value(const void *array, enum dtype type, int i) {
    return type == TY_F64 ? ((const double *)array)[i] : (double)((const float *)array)[i];
}
