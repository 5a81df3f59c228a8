/* Accuracy of every elementary function, as compiled, against MPFR: f32 and f64, 4 ULP and 1 ULP mode. The largest
 * error of each must be within its bound of ops.def.
 *
 *     WEFT_ULP=50 test_ulp     so many times as many random points
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle/ulp_points.h"
#include "oracle/ulp_reference.h"
#include "runtime/runtime.h"
#include "support/check.h"

/* SLEEF's results are the same at every width, libmvec's are not. */
static const struct mode {
    const char *name;
    int ulp;
    const char *isa;
} modes[] = {{"ulp=4", 4, NULL}, {"ulp=1", 1, NULL}, {"ulp=4 avx2", 4, "avx2"}, {"ulp=4 sse2", 4, "sse2"}};
enum { ULP_MODES = sizeof modes / sizeof *modes };

struct row {
    float error[ULP_MODES][2]; /* by mode and type: largest, -1: not measured */
    double at[ULP_MODES][2][2];
};

static jit_context *contexts[ULP_MODES]; /* NULL where this machine has not what it takes */
static struct row rows[OP_COUNT];
static int failures;

/* True if the table gives the operation a bound. */
static bool has_bound(enum op op) {
    const struct op_info *info = &op_info[op];
    if (info->lower == LOWER_CALL || op == OP_sqrt) return true;
    return info->lower == LOWER_EXPAND && info->ulp[MATH_LIBM].f64 > 0;
}

/* The bound in force. Composed operations follow the library of what they are composed of. */
static float bound_of(jit_context *context, enum op op, enum dtype type, const char **library) {
    static const char *const names[MATH_LIBRARIES] = {"libm", "libmvec", "SLEEF", "CUDA"};
    float bound = 0;
    enum op lead = op_info[op].lower == LOWER_EXPAND ? OP_exp : op;
    enum math_library used = cpu_math_library(context->engine, lead, type, &bound);
    if (op_info[op].lower != LOWER_CALL) bound = type == TY_F64 ? op_info[op].ulp[used].f64 : op_info[op].ulp[used].f32;
    *library = names[used];
    return bound > 0 ? bound : 0.5f;
}

static void sweep(enum op op, enum dtype type) {
    struct ulp_points points;
    int wide = type == TY_F64;
    ulp_points_make(&points, op, type);
    void *got[ULP_MODES] = {0};
    struct row *row = &rows[op];
    for (int mode = 0; mode < ULP_MODES; mode++) {
        row->error[mode][wide] = -1;
        if (!contexts[mode]) continue;
        got[mode] = malloc((size_t)points.n * sizeof(double));
        assert_non_null(got[mode]);
        ulp_points_compute(&points, contexts[mode], op, type, got[mode]);
    }
    struct ulp_reference *reference = ulp_reference_new(type);
    for (int i = 0; i < points.n; i++) {
        double x = ulp_points_value(points.x[wide], type, i), y = ulp_points_value(points.y[wide], type, i);
        ulp_reference_set(reference, op, x, y);
        for (int mode = 0; mode < ULP_MODES; mode++) {
            if (!got[mode]) continue;
            double error = ulp_reference_error(reference, ulp_points_value(got[mode], type, i));
            if (error <= (double)row->error[mode][wide]) continue;
            row->error[mode][wide] = (float)error;
            row->at[mode][wide][0] = x, row->at[mode][wide][1] = y;
        }
    }
    ulp_reference_free(reference);
    ulp_points_free(&points);
    for (int mode = 0; mode < ULP_MODES; mode++) {
        free(got[mode]);
        if (!contexts[mode]) continue;
        const char *library;
        float bound = bound_of(contexts[mode], op, type, &library);
        bool bad = row->error[mode][wide] > bound;
        if (op_info[op].arity == 2)
            printf("%-9s %s %-10s %-7s %9.3f of %g at (%.17g, %.17g)%s\n", op_info[op].name, dtype_name(type),
                   modes[mode].name, library, (double)row->error[mode][wide], (double)bound, row->at[mode][wide][0],
                   row->at[mode][wide][1], bad ? "  TOO LARGE" : "");
        else
            printf("%-9s %s %-10s %-7s %9.3f of %g at %.17g%s\n", op_info[op].name, dtype_name(type), modes[mode].name,
                   library, (double)row->error[mode][wide], (double)bound, row->at[mode][wide][0],
                   bad ? "  TOO LARGE" : "");
        failures += bad;
    }
}

static void test_sweeps(void **state) {
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        if (!has_bound((enum op)op)) continue;
        sweep((enum op)op, TY_F32);
        sweep((enum op)op, TY_F64);
    }
    if (failures) fail_msg("%d errors are above the bounds of ops.def", failures);
}

/* The measure itself. */
static void test_measure(void **state) {
    (void)state;
    struct ulp_reference *r = ulp_reference_new(TY_F64);
    ulp_reference_set(r, OP_exp, 0, 0);
    assert_true(ulp_reference_error(r, 1) == 0);
    assert_true(ulp_reference_error(r, nextafter(1, 2)) == 1);
    assert_true(ulp_reference_error(r, NAN) == INFINITY);
    ulp_reference_set(r, OP_exp, 1000, 0); /* overflows */
    assert_true(ulp_reference_error(r, INFINITY) == 0);
    assert_true(ulp_reference_error(r, 1e300) > 1e6);
    ulp_reference_set(r, OP_exp, -1000, 0); /* underflows */
    assert_true(ulp_reference_error(r, 0) < 1e-9);
    assert_true(ulp_reference_error(r, 5e-324) > 0.99 && ulp_reference_error(r, 5e-324) <= 1);
    ulp_reference_set(r, OP_log, -1, 0);
    assert_true(ulp_reference_error(r, NAN) == 0);
    assert_true(ulp_reference_error(r, 0) == INFINITY);
    ulp_reference_set(r, OP_log, 0, 0);
    assert_true(ulp_reference_error(r, -INFINITY) == 0);
    assert_true(ulp_reference_error(r, INFINITY) == INFINITY);
    ulp_reference_set(r, OP_tgamma, 171, 0);
    assert_true(ulp_reference_error(r, 7.257415615307999e306) < 1);
    ulp_reference_free(r);
    r = ulp_reference_new(TY_F32);
    ulp_reference_set(r, OP_sin, 1, 0);
    double sine = 0x1.aed548p-1; /* sinf(1) */
    assert_true(ulp_reference_error(r, sine) <= 0.5);
    assert_true(ulp_reference_error(r, sine + 0x1p-23) > 1);
    ulp_reference_free(r);
}

int main(void) {
    for (int mode = 0; mode < ULP_MODES; mode++) {
        jit_error error = {0};
        jit_options options = {.struct_size = sizeof options, .ulp = modes[mode].ulp, .isa = modes[mode].isa};
        contexts[mode] = jit_context_create(&options, &error);
        if (!contexts[mode]) printf("%s is not measured: %s\n", modes[mode].name, error.message);
    }
    if (!contexts[0]) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measure), cmocka_unit_test(test_sweeps)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int mode = 0; mode < ULP_MODES; mode++) jit_context_free(contexts[mode]);
    return failed;
}
