/* ulp_reference.h: values of elementary functions to more digits than a float has, and how far a result is from them.
 */
#ifndef ORACLE_ULP_REFERENCE_H
#define ORACLE_ULP_REFERENCE_H

#include "ir/ops.h"

struct ulp_reference;

struct ulp_reference *ulp_reference_new(enum dtype type);
void ulp_reference_free(struct ulp_reference *reference);
/* The value of op(x) or op(x, y). */
void ulp_reference_set(struct ulp_reference *reference, enum op op, double x, double y);
/* |got - value| in units of the last place of `value` in the reference's type (of the largest number, past it; of the
 * smallest subnormal, below). An infinity counts as the power of two that follows the largest number. INFINITY where
 * NaN or a pole was wanted and something else came, or the other way round. */
double ulp_reference_error(const struct ulp_reference *reference, double got);

#endif
