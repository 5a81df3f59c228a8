/* ulp_points.h: arguments worth trying: special values and their neighbours, places where functions have zeros, poles
 * and ends, and random numbers of several kinds. */
#ifndef ORACLE_ULP_POINTS_H
#define ORACLE_ULP_POINTS_H

#include <weft/jit.h>

#include "ir/ops.h"

struct ulp_points {
    int n;
    /* [0]: float, [1]: double; only the type asked for is filled in. y: for functions of two arguments. */
    void *x[2], *y[2];
};

void ulp_points_make(struct ulp_points *points, enum op op, enum dtype type);
void ulp_points_free(struct ulp_points *points);
/* The function's results at all points, as compiled in `context`: out[n], of `type`. Fails the test if there are none.
 */
void ulp_points_compute(const struct ulp_points *points, jit_context *context, enum op op, enum dtype type, void *out);
/* Entry i of an array of `type`. */
double ulp_points_value(const void *array, enum dtype type, int i);

#endif
