/* ulp_reference.c: see ulp_reference.h. */
#include "oracle/ulp_reference.h"

#include <math.h>
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRECISION = 180 };

struct ulp_reference {
    enum dtype type;
    mpfr_t value, x, y, t;
};

struct ulp_reference *ulp_reference_new(enum dtype type) {
    struct ulp_reference *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->type = type;
    mpfr_inits2(PRECISION, r->value, r->x, r->y, r->t, (mpfr_ptr)NULL);
    return r;
}

void ulp_reference_free(struct ulp_reference *r) {
    mpfr_clears(r->value, r->x, r->y, r->t, (mpfr_ptr)NULL);
    mpfr_free_cache();
    free(r);
}

/* log(1 + exp(x)), 1/(1 + exp(-x)) and x times a constant. */
static void set_composed(struct ulp_reference *r, enum op op) {
    switch (op) {
    case OP_softplus:
        if (mpfr_cmp_si(r->x, 1000) > 0) {
            mpfr_set(r->value, r->x, MPFR_RNDN);
            return;
        }
        mpfr_exp(r->t, r->x, MPFR_RNDN);
        mpfr_log1p(r->value, r->t, MPFR_RNDN);
        return;
    case OP_sigmoid:
        mpfr_neg(r->t, r->x, MPFR_RNDN);
        mpfr_exp(r->t, r->t, MPFR_RNDN);
        mpfr_add_ui(r->t, r->t, 1, MPFR_RNDN);
        mpfr_ui_div(r->value, 1, r->t, MPFR_RNDN);
        return;
    default:
        mpfr_const_pi(r->t, MPFR_RNDN);
        if (op == OP_deg2rad)
            mpfr_div_ui(r->t, r->t, 180, MPFR_RNDN);
        else
            mpfr_ui_div(r->t, 180, r->t, MPFR_RNDN);
        mpfr_mul(r->value, r->x, r->t, MPFR_RNDN);
    }
}

void ulp_reference_set(struct ulp_reference *r, enum op op, double x, double y) {
    int sign;
    mpfr_set_d(r->x, x, MPFR_RNDN);
    mpfr_set_d(r->y, y, MPFR_RNDN);
    switch (op) {
#define ONE(OP, FUNCTION)                                                                                              \
    case OP: FUNCTION(r->value, r->x, MPFR_RNDN); break;
        ONE(OP_sqrt, mpfr_sqrt)
        ONE(OP_cbrt, mpfr_cbrt)
        ONE(OP_exp, mpfr_exp)
        ONE(OP_exp2, mpfr_exp2)
        ONE(OP_exp10, mpfr_exp10)
        ONE(OP_expm1, mpfr_expm1)
        ONE(OP_log, mpfr_log)
        ONE(OP_log2, mpfr_log2)
        ONE(OP_log10, mpfr_log10)
        ONE(OP_log1p, mpfr_log1p)
        ONE(OP_sin, mpfr_sin)
        ONE(OP_cos, mpfr_cos)
        ONE(OP_tan, mpfr_tan)
        ONE(OP_asin, mpfr_asin)
        ONE(OP_acos, mpfr_acos)
        ONE(OP_atan, mpfr_atan)
        ONE(OP_sinh, mpfr_sinh)
        ONE(OP_cosh, mpfr_cosh)
        ONE(OP_tanh, mpfr_tanh)
        ONE(OP_asinh, mpfr_asinh)
        ONE(OP_acosh, mpfr_acosh)
        ONE(OP_atanh, mpfr_atanh)
        ONE(OP_sinpi, mpfr_sinpi)
        ONE(OP_cospi, mpfr_cospi)
        ONE(OP_erf, mpfr_erf)
        ONE(OP_erfc, mpfr_erfc)
        ONE(OP_tgamma, mpfr_gamma)
#undef ONE
    case OP_lgamma: mpfr_lgamma(r->value, &sign, r->x, MPFR_RNDN); break;
    case OP_pow: mpfr_pow(r->value, r->x, r->y, MPFR_RNDN); break;
    case OP_hypot: mpfr_hypot(r->value, r->x, r->y, MPFR_RNDN); break;
    case OP_atan2: mpfr_atan2(r->value, r->x, r->y, MPFR_RNDN); break;
    case OP_fmod: mpfr_fmod(r->value, r->x, r->y, MPFR_RNDN); break;
    case OP_softplus:
    case OP_sigmoid:
    case OP_deg2rad:
    case OP_rad2deg: set_composed(r, op); break;
    default: fprintf(stderr, "%s has a bound, but no reference\n", op_info[op].name); abort();
    }
}

double ulp_reference_error(const struct ulp_reference *r, double got) {
    int digits = r->type == TY_F64 ? 53 : 24, top = r->type == TY_F64 ? 1024 : 128,
        bottom = r->type == TY_F64 ? -1074 : -149;
    if (mpfr_nan_p(r->value) || isnan(got)) return mpfr_nan_p(r->value) && isnan(got) ? 0 : INFINITY;
    bool beyond =
        !mpfr_inf_p(r->value) && mpfr_regular_p(r->value) && mpfr_get_exp(r->value) > top; /* |value| >= 2^top */
    if (mpfr_inf_p(r->value) || beyond) {
        if (isinf(got)) return (got > 0) == (mpfr_sgn(r->value) > 0) ? 0 : INFINITY;
        if (mpfr_inf_p(r->value)) return INFINITY;
    }
    long unit = mpfr_regular_p(r->value) ? mpfr_get_exp(r->value) - digits : bottom;
    if (unit > top - digits) unit = top - digits;
    if (unit < bottom) unit = bottom;
    mpfr_t difference;
    mpfr_init2(difference, PRECISION);
    if (isinf(got))
        mpfr_set_si_2exp(difference, got > 0 ? 1 : -1, top, MPFR_RNDN);
    else
        mpfr_set_d(difference, got, MPFR_RNDN);
    mpfr_sub(difference, difference, r->value, MPFR_RNDN);
    mpfr_mul_2si(difference, difference, -unit, MPFR_RNDN);
    double error = fabs(mpfr_get_d(difference, MPFR_RNDU));
    mpfr_clear(difference);
    return error;
}
