/* ulp_points.h: arguments worth trying: special values and their neighbours, places where functions have zeros, poles
 * and ends, and random numbers of several kinds. */
#ifndef ORACLE_ULP_POINTS_H
#define ORACLE_ULP_POINTS_H

#include "ir/ops.h"

struct ulp_points {
    int n;
    /* [0]: float, [1]: double; only the type asked for is filled in. y: for functions of two arguments. */
    void *x[2], *y[2];
};

void ulp_points_make(struct ulp_points *points, enum op op, enum dtype type);
void ulp_points_free(struct ulp_points *points);

#endif
