/* elementwise_parts.h: what value.c and the files elementwise*.c share; for nobody else.
 *
 *   elementwise.c          operators, logic, conversions, joins
 *   elementwise_compare.c  comparisons, exact between integers of any types
 *   elementwise_call.c     rows of ops.def called by name
 *   elementwise_fold.c     arithmetic of weak constants
 */
#ifndef FRONTEND_ELEMENTWISE_PARTS_H
#define FRONTEND_ELEMENTWISE_PARTS_H

#include "frontend/value.h"

/* A weak integer constant from sign and magnitude. */
struct value value_magnitude(bool negative, uint64_t magnitude, struct span span);
/* A weak constant as a double. */
double value_const_real(const struct value *v);

/* True if all are numbers. Otherwise the first that is neither a number nor an error is reported; `what` names the
 * operation, with its quotes: "`+`". */
bool elementwise_numbers(const struct emitter *emit, const char *what, int n, const struct value *args);

/* The operands' promoted type. */
struct type elementwise_promote(int n, const struct value *args);

/* Makes an operation: operands as `operand`, the result is `dtype`, of the operands' rank; weak if `weak`. */
struct value elementwise_make(const struct emitter *emit, enum op op, enum dtype operand, enum dtype dtype,
                              enum weakness weak, int n, const struct value *args, struct span span);

struct value elementwise_compare(const struct emitter *emit, enum ast_op op, const struct value *a,
                                 const struct value *b, struct span span);

/* A bool known now, for every element of `like`. */
struct value elementwise_decided(const struct emitter *emit, bool value, int n, const struct value *like,
                                 struct span span);

/* Weak constants. True if the operation was done (or its error reported): then *result is set; false if it has to be
 * done at run time, because only elementary functions could do it, or for floats that a rounding rule decides. */
bool elementwise_fold_unary(const struct emitter *emit, enum ast_op op, const struct value *x, struct span span,
                            struct value *result);
bool elementwise_fold_binary(const struct emitter *emit, enum ast_op op, const struct value *a, const struct value *b,
                             struct span span, struct value *result);
bool elementwise_fold_call(const struct emitter *emit, enum op op, int n, const struct value *args, struct span span,
                           struct value *result);
/* -1, 0 or 1, exactly; 2 if one is NaN. */
int elementwise_fold_order(const struct value *a, const struct value *b);

#endif
