/* decimal.h: the decimal digits of floating-point numbers.
 *
 * Slow and simple: digits come from the C library, and the shortest ones are found by reading them back. Whatever
 * locale the host has set, its decimal point plays no part.
 */
#ifndef RUNTIME_DECIMAL_H
#define RUNTIME_DECIMAL_H

#include <stdbool.h>

enum { DECIMAL_MAX = 17 }; /* digits that tell every f64 from its neighbours */

/* d.ddd × 10^exponent, without trailing zeros; 0 is the digit "0" with exponent 0. */
struct decimal {
    bool negative; /* -0.0 too */
    int count;
    int exponent;
    char digits[DECIMAL_MAX + 3];
};

/* The shortest digits that read back as the finite number `value`; of several such, the nearest. `single`: that read
 * back as f32 (`value` must be one). */
struct decimal decimal_shortest(double value, bool single);
/* The exact value rounded to `count` digits (1 to DECIMAL_MAX), halves to even. */
struct decimal decimal_rounded(double value, int count);

#endif
