#include "runtime/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/decimal.h"

/* NumPy's defaults (numpy.set_printoptions). */
enum {
    FORMAT_PRECISION = 8,
    FORMAT_THRESHOLD = 1000,
    FORMAT_EDGE = 3,
    FORMAT_LINE = 75,
};

enum { FORMAT_WORD = 64 }; /* longer than any element: 24 characters, and padding to as many */

/* How the elements of one array are written: chosen from those that are shown. */
struct format {
    enum dtype dtype;
    int rank;
    const int64_t *shape;
    int64_t strides[TYPE_MAX_RANK];
    bool abridged;
    int width; /* of bools and integers */

    /* Floating-point numbers. */
    bool any_finite, any_other, any_minus_inf;
    double largest, smallest; /* magnitudes, of those that are neither 0 nor infinite; 0 if there are none */
    bool scientific;
    int left, right;   /* characters before and after the point, at most */
    int digits;        /* after the point, scientific */
    int exponent_size; /* digits of the exponent */
};

static int64_t format_signed(enum dtype dtype, const void *p) {
    switch (dtype) {
    case TY_I8: return *(const int8_t *)p;
    case TY_I16: {
        int16_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    case TY_I32: {
        int32_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    default: {
        int64_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    }
}

static uint64_t format_unsigned(enum dtype dtype, const void *p) {
    switch (dtype) {
    case TY_U8: return *(const uint8_t *)p;
    case TY_U16: {
        uint16_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    case TY_U32: {
        uint32_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    default: {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    }
}

static double format_double(enum dtype dtype, const void *p) {
    float f;
    double d;
    if (dtype == TY_F64) {
        memcpy(&d, p, sizeof d);
        return d;
    }
    memcpy(&f, p, sizeof f);
    return f;
}

/* Bools and integers; returns the length. */
static int format_plain(char *word, enum dtype dtype, const void *p) {
    if (dtype == TY_BOOL) return sprintf(word, *(const uint8_t *)p ? "True" : "False");
    if (dtype_is_signed(dtype)) return sprintf(word, "%lld", (long long)format_signed(dtype, p));
    return sprintf(word, "%llu", (unsigned long long)format_unsigned(dtype, p));
}

/* The digits before and after the point, without sign; returns the end. */
static char *format_integer_part(char *at, const struct decimal *d) {
    if (d->exponent < 0) *at++ = '0';
    for (int i = 0; i <= d->exponent; i++) *at++ = i < d->count ? d->digits[i] : '0';
    return at;
}

static char *format_fraction(char *at, const struct decimal *d) {
    for (int i = -1; i > d->exponent; i--) *at++ = '0';
    for (int i = d->exponent < 0 ? 0 : d->exponent + 1; i < d->count; i++) *at++ = d->digits[i];
    return at;
}

static int format_exponent_size(int exponent) {
    return exponent <= -100 || exponent >= 100 ? 3 : 2;
}

static struct decimal format_digits(const struct format *format, double value) {
    struct decimal d = decimal_shortest(value, format->dtype == TY_F32);
    if (format->scientific && d.count > 1 + FORMAT_PRECISION) return decimal_rounded(value, 1 + FORMAT_PRECISION);
    /* Positional numbers are below 1e8 and not below 1e-4: 5 to 16 digits are left. */
    if (!format->scientific && d.count - 1 - d.exponent > FORMAT_PRECISION)
        return decimal_rounded(value, d.exponent + 1 + FORMAT_PRECISION);
    return d;
}

/* The elements that are shown, in order: visit(format, p) for each. */
static void format_visit(struct format *format, const char *p, int axis, void (*visit)(struct format *, const void *)) {
    if (axis == format->rank) {
        visit(format, p);
        return;
    }
    int64_t count = format->shape[axis];
    for (int64_t i = 0; i < count; i++) {
        if (format->abridged && count > 2 * FORMAT_EDGE && i == FORMAT_EDGE) i = count - FORMAT_EDGE;
        format_visit(format, p + i * format->strides[axis], axis + 1, visit);
    }
}

static void format_measure_plain(struct format *format, const void *p) {
    char word[FORMAT_WORD];
    int width = format->dtype == TY_BOOL ? 5 : format_plain(word, format->dtype, p);
    if (width > format->width) format->width = width;
}

static void format_measure_range(struct format *format, const void *p) {
    double value = format_double(format->dtype, p), magnitude = fabs(value);
    if (!isfinite(value)) {
        format->any_other = true;
        format->any_minus_inf |= value < 0;
        return;
    }
    format->any_finite = true;
    if (magnitude == 0) return;
    if (magnitude > format->largest) format->largest = magnitude;
    if (format->smallest == 0 || magnitude < format->smallest) format->smallest = magnitude;
}

static void format_measure_float(struct format *format, const void *p) {
    double value = format_double(format->dtype, p);
    char word[FORMAT_WORD];
    if (!isfinite(value)) return;
    struct decimal d = format_digits(format, value);
    int left = d.negative + (format->scientific ? 1 : (int)(format_integer_part(word, &d) - word));
    if (left > format->left) format->left = left;
    if (format->scientific) {
        if (d.count - 1 > format->digits) format->digits = d.count - 1;
        if (format_exponent_size(d.exponent) > format->exponent_size)
            format->exponent_size = format_exponent_size(d.exponent);
    } else {
        int right = (int)(format_fraction(word, &d) - word);
        if (right > format->right) format->right = right;
    }
}

static void format_choose_float(struct format *format, const void *data) {
    format_visit(format, data, 0, format_measure_range);
    if (format->largest > 0) {
        /* f32 goes scientific where its six sure digits end, and NumPy compares and divides as f32. */
        bool single = format->dtype == TY_F32;
        double most = single ? 1e6 : 1e8, least = single ? 0.0001f : 0.0001;
        double ratio = format->largest / format->smallest;
        if (single) ratio = (float)ratio;
        format->scientific = format->largest >= most || format->smallest < least || ratio > 1000;
    }
    if (format->any_finite) format_visit(format, data, 0, format_measure_float);
    if (format->scientific) format->right = 1 + 1 + format->exponent_size + format->digits;
    if (format->any_other) {
        int left = 3 + format->any_minus_inf - (format->right + 1);
        if (left > format->left) format->left = left;
    }
}

/* One float as it stands in its column; returns the length. */
static int format_float(const struct format *format, char *word, double value) {
    if (!isfinite(value)) {
        const char *name = isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
        return sprintf(word, "%*s", format->left + format->right + 1, name);
    }
    struct decimal d = format_digits(format, value);
    char body[FORMAT_WORD], *at = body;
    if (d.negative) *at++ = '-';
    if (format->scientific) {
        /* Where the column has more digits than this number needs, NumPy goes on with those of its exact value. */
        if (d.count < 1 + format->digits) d = decimal_rounded(value, 1 + format->digits);
        *at++ = d.digits[0];
    } else {
        at = format_integer_part(at, &d);
    }
    int n = sprintf(word, "%*.*s.", format->left, (int)(at - body), body);
    if (format->scientific) {
        for (int i = 1; i <= format->digits; i++) word[n++] = i < d.count ? d.digits[i] : '0';
        return n + sprintf(word + n, "e%c%0*d", d.exponent < 0 ? '-' : '+', format->exponent_size,
                           d.exponent < 0 ? -d.exponent : d.exponent);
    }
    at = format_fraction(body, &d);
    return n + sprintf(word + n, "%-*.*s", format->right, (int)(at - body), body);
}

static int format_element(const struct format *format, char *word, const void *p) {
    if (dtype_is_float(format->dtype)) return format_float(format, word, format_double(format->dtype, p));
    char text[FORMAT_WORD];
    format_plain(text, format->dtype, p);
    return sprintf(word, "%*s", format->width, text);
}

static void format_strip_spaces(struct strbuf *out) {
    while (out->length && out->text[out->length - 1] == ' ') out->text[--out->length] = '\0';
}

/* Adds a word to the row that is being written and breaks the line before it if it would be too long. `column` is
 * where the line stands. */
static void format_add_word(struct strbuf *out, const char *word, int length, int indent, int width, int *column) {
    if (*column + length > width && *column > indent) {
        format_strip_spaces(out);
        strbuf_printf(out, "\n%*s", indent, "");
        *column = indent;
    }
    strbuf_add(out, word, (size_t)length);
    *column += length;
}

/* The innermost axis. */
static void format_row(struct strbuf *out, const struct format *format, const char *p) {
    int axis = format->rank - 1, indent = format->rank, column = indent;
    int width = FORMAT_LINE - format->rank; /* room for the brackets that may close after it */
    int64_t count = format->shape[axis];
    char word[FORMAT_WORD];

    for (int64_t i = 0; i < count; i++) {
        if (i) {
            strbuf_putc(out, ' ');
            column++;
        }
        if (format->abridged && count > 2 * FORMAT_EDGE && i == FORMAT_EDGE) {
            format_add_word(out, "...", 3, indent, width, &column);
            strbuf_putc(out, ' ');
            column++;
            i = count - FORMAT_EDGE;
        }
        int length = format_element(format, word, p + i * format->strides[axis]);
        format_add_word(out, word, length, indent, width, &column);
    }
}

static void format_line_ends(struct strbuf *out, int count, int indent) {
    while (count--) strbuf_putc(out, '\n');
    strbuf_printf(out, "%*s", indent, "");
}

static void format_nested(struct strbuf *out, const struct format *format, const char *p, int axis) {
    strbuf_putc(out, '[');
    if (axis == format->rank - 1) {
        format_row(out, format, p);
    } else {
        int64_t count = format->shape[axis];
        int ends = format->rank - 1 - axis; /* a blank line between matrices, two between stacks of them, … */
        for (int64_t i = 0; i < count; i++) {
            if (i) format_line_ends(out, ends, axis + 1);
            if (format->abridged && count > 2 * FORMAT_EDGE && i == FORMAT_EDGE) {
                strbuf_puts(out, "...");
                format_line_ends(out, ends, axis + 1);
                i = count - FORMAT_EDGE;
            }
            format_nested(out, format, p + i * format->strides[axis], axis + 1);
        }
    }
    strbuf_putc(out, ']');
}

static bool format_known(enum dtype dtype) {
    return dtype > TY_NONE && dtype < TY_COUNT && dtype != TY_F16;
}

bool format_scalar(struct strbuf *out, enum dtype dtype, const void *value) {
    char word[FORMAT_WORD];

    if (!format_known(dtype)) return false;
    if (!dtype_is_float(dtype)) {
        strbuf_add(out, word, (size_t)format_plain(word, dtype, value));
        return true;
    }
    double x = format_double(dtype, value), magnitude = fabs(x);
    if (!isfinite(x)) {
        strbuf_puts(out, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return true;
    }
    struct decimal d = decimal_shortest(x, dtype == TY_F32);
    char *at = word;
    if (d.negative) *at++ = '-';
    if (magnitude == 0 || (magnitude >= 1e-4 && magnitude < (dtype == TY_F32 ? 1e6 : 1e16))) {
        at = format_integer_part(at, &d);
        *at++ = '.';
        char *fraction = at;
        at = format_fraction(at, &d);
        if (at == fraction) *at++ = '0';
    } else {
        *at++ = d.digits[0];
        if (d.count > 1) *at++ = '.';
        for (int i = 1; i < d.count; i++) *at++ = d.digits[i];
        at += sprintf(at, "e%c%02d", d.exponent < 0 ? '-' : '+', d.exponent < 0 ? -d.exponent : d.exponent);
    }
    strbuf_add(out, word, (size_t)(at - word));
    return true;
}

bool format_array(struct strbuf *out, enum dtype dtype, const void *data, int rank, const int64_t *shape,
                  const int64_t *strides) {
    struct format format = {.dtype = dtype, .rank = rank, .shape = shape};
    int64_t count = 1, stride = dtype_size(dtype);
    bool empty = false;

    if (!format_known(dtype)) return false;
    if (rank == 0) return format_scalar(out, dtype, data);
    for (int i = 0; i < rank; i++) empty |= shape[i] == 0;
    if (empty) {
        strbuf_puts(out, "[]");
        return true;
    }
    for (int i = rank - 1; i >= 0; i--) {
        format.strides[i] = strides ? strides[i] : stride;
        if (!strides) stride *= shape[i]; /* a broadcast shape may be larger than memory */
        if (count <= FORMAT_THRESHOLD) count = shape[i] > FORMAT_THRESHOLD ? shape[i] : count * shape[i];
    }
    format.abridged = count > FORMAT_THRESHOLD;

    if (dtype_is_float(dtype))
        format_choose_float(&format, data);
    else
        format_visit(&format, data, 0, format_measure_plain);
    format_nested(out, &format, data, 0);
    return true;
}
