/* Accuracy of every elementary function on a GPU against MPFR, f32 and f64: within the bounds of ops.def, which count
 * from the correctly rounded result (half a unit more from the exact one). On the fake GPU the functions are libm's,
 * and so are the bounds.
 *
 *     WEFT_ULP=50 test_ulp_cuda     so many times as many random points
 */
#include "gpu/fixture.h"
#include "oracle/ulp_points.h"
#include "oracle/ulp_reference.h"

static jit_context *context;
static int failures;

static bool has_bound(enum op op) {
    const struct op_info *info = &op_info[op];
    return info->lower == LOWER_CALL || op == OP_sqrt || (info->lower == LOWER_EXPAND && info->ulp[MATH_CUDA].f64 > 0);
}

static double bound_of(enum op op, enum dtype type) {
    struct op_ulp ulp = op_info[op].ulp[device.is_shim ? MATH_LIBM : MATH_CUDA];
    double bound = (double)(type == TY_F64 ? ulp.f64 : ulp.f32);
    return bound > 0 && device.is_shim ? bound : bound + 0.5;
}

/* Around lgamma's zeros CUDA promises nothing. */
static bool has_promise(enum op op, enum dtype type, double x) {
    if (op != OP_lgamma || device.is_shim) return true;
    return type == TY_F64 ? x < -23.0001 || x > -2.2637 : x < -10.001 || x > -2.264;
}

static void sweep(enum op op, enum dtype type) {
    struct ulp_points points;
    int wide = type == TY_F64;
    double worst = -1, at[2] = {0};
    ulp_points_make(&points, op, type);
    void *got = malloc((size_t)points.n * sizeof(double));
    assert_non_null(got);
    ulp_points_compute(&points, context, op, type, got);
    struct ulp_reference *reference = ulp_reference_new(type);
    for (int i = 0; i < points.n; i++) {
        double x = ulp_points_value(points.x[wide], type, i),
               y = op_info[op].arity == 2 ? ulp_points_value(points.y[wide], type, i) : 0;
        if (!has_promise(op, type, x)) continue;
        ulp_reference_set(reference, op, x, y);
        double error = ulp_reference_error(reference, ulp_points_value(got, type, i));
        if (error <= worst) continue;
        worst = error;
        at[0] = x, at[1] = y;
    }
    ulp_reference_free(reference);
    ulp_points_free(&points);
    free(got);
    double bound = bound_of(op, type);
    printf("%-9s %s %9.3f of %g at %.17g %.17g%s\n", op_info[op].name, dtype_name(type), worst, bound, at[0], at[1],
           worst > bound ? "  TOO LARGE" : "");
    failures += worst > bound;
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

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    context = fixture_context("cuda:0");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sweeps)};
    status = cmocka_run_group_tests(tests, NULL, NULL);
    jit_context_free(context);
    device_close(&device);
    return status;
}
