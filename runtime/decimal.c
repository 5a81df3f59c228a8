#include "runtime/decimal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As decimal_rounded, trailing zeros left. */
static struct decimal decimal_print(double value, int count) {
    struct decimal d = {.negative = signbit(value), .count = 0};
    char text[64];

    snprintf(text, sizeof text, "%.*e", count - 1, fabs(value));
    const char *at = text;
    for (; *at != 'e'; at++) /* whatever stands between the digits is a decimal point */
        if (*at >= '0' && *at <= '9') d.digits[d.count++] = *at;
    bool small = at[1] == '-';
    for (at += 2; *at; at++) d.exponent = d.exponent * 10 + (*at - '0');
    if (small) d.exponent = -d.exponent;
    return d;
}

static void decimal_strip(struct decimal *d) {
    while (d->count > 1 && d->digits[d->count - 1] == '0') d->count--;
}

static bool decimal_reads_as(const struct decimal *d, double value, bool single) {
    char text[64]; /* digits and an exponent: there is no decimal point that a locale could change */
    snprintf(text, sizeof text, "%.*se%d", d->count, d->digits, d->exponent - (d->count - 1));
    return (single ? (double)strtof(text, NULL) : strtod(text, NULL)) == fabs(value);
}

/* The next number of as many digits. */
static void decimal_increment(struct decimal *d) {
    int i = d->count - 1;
    while (i >= 0 && d->digits[i] == '9') d->digits[i--] = '0';
    if (i >= 0) {
        d->digits[i]++;
    } else {
        d->digits[0] = '1';
        d->exponent++;
    }
}

struct decimal decimal_shortest(double value, bool single) {
    /* Every number of so many digits is told from the others, so if any digits of that length or less read back, these
     * do, but for trailing zeros. Not so among the subnormals, which have fewer bits. */
    int count = single ? FLT_DIG : DBL_DIG;
    if (fabs(value) < (single ? FLT_MIN : DBL_MIN)) count = 1;

    /* Above a power of two numbers lie twice as far apart as below it, so the nearest digits can be outside on the near
     * side where the next ones up are inside. */
    int exponent;
    bool power = frexp(fabs(value), &exponent) == 0.5;

    for (;; count++) {
        struct decimal d = decimal_print(value, count);
        if (count < DECIMAL_MAX && !decimal_reads_as(&d, value, single)) {
            if (!power) continue;
            decimal_increment(&d);
            if (!decimal_reads_as(&d, value, single)) continue;
        }
        decimal_strip(&d);
        return d;
    }
}

struct decimal decimal_rounded(double value, int count) {
    struct decimal d = decimal_print(value, count);
    decimal_strip(&d);
    return d;
}
