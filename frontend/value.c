/* value.c: making values, their types as text, and constants meeting a type. */
#include "frontend/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "frontend/elementwise_parts.h"

struct value value_error(struct span span) {
    return (struct value){.kind = VALUE_ERROR, .span = span};
}

struct value value_magnitude(bool negative, uint64_t magnitude, struct span span) {
    return (struct value){.kind = VALUE_NUMBER,
                          .type = {TY_I64, WEAK_INT, 0},
                          .span = span,
                          .is_const = true,
                          .negative = negative && magnitude,
                          .magnitude = magnitude};
}

struct value value_int(int64_t value, struct span span) {
    return value_magnitude(value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value, span);
}

struct value value_real(double value, struct span span) {
    return (struct value){
        .kind = VALUE_NUMBER, .type = {TY_F64, WEAK_FLOAT, 0}, .span = span, .is_const = true, .real = value};
}

double value_const_real(const struct value *v) {
    if (v->type.weak == WEAK_FLOAT) return v->real;
    return v->negative ? -(double)v->magnitude : (double)v->magnitude;
}

static const char *array_text(struct arena *arena, struct type type) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, dtype_name(type.dtype));
    for (int d = 0; d < type.rank; d++) strbuf_puts(&out, d ? ", :" : "[:");
    if (type.rank) strbuf_putc(&out, ']');
    return strbuf_text(&out);
}

const char *value_type_text(struct arena *arena, const struct value *v) {
    switch (v->kind) {
    case VALUE_NUMBER:
        if (v->type.weak == WEAK_INT) return "int";
        if (v->type.weak == WEAK_FLOAT) return "float";
        return array_text(arena, v->type);
    case VALUE_WHOLE: return array_text(arena, v->type);
    case VALUE_TUPLE: return arena_printf(arena, "a tuple of %d", v->n_items);
    case VALUE_DTYPE: return "a type";
    case VALUE_STRING: return "a text";
    case VALUE_NONE: return "nothing";
    case VALUE_ERROR: break;
    }
    return "an error";
}

/* "-3", "300", "2.5": a constant's value. */
static const char *const_text(struct arena *arena, const struct value *v) {
    if (v->type.weak == WEAK_INT)
        return arena_printf(arena, "%s%llu", v->negative ? "-" : "", (unsigned long long)v->magnitude);
    for (int digits = 15; digits < 17; digits++) { /* as few as read back */
        char *text = arena_printf(arena, "%.*g", digits, v->real);
        if (strtod(text, NULL) == v->real) return text;
    }
    return arena_printf(arena, "%.17g", v->real);
}

/* What a message calls a constant: its value, and where it was computed, the expression too. */
static const char *const_name(const struct emitter *emit, const struct value *v) {
    const char *value = const_text(emit->arena, v);
    if (!v->span.length || v->type.weak != WEAK_INT) return value;
    for (uint32_t i = 0; i < v->span.length; i++) {
        char c = emit->ast->text[v->span.offset + i];
        if (c != '-' && c != '_' && (c < '0' || c > '9'))
            return arena_printf(emit->arena, "`%s`, which is %s,", ast_text(emit->arena, emit->ast, v->span), value);
    }
    return value;
}

/* "0 to 255" */
static const char *range_text(struct arena *arena, enum dtype t) {
    if (t == TY_BOOL) return "false and true";
    if (t == TY_F32) return "up to 3.4e38";
    int bits = 8 * dtype_size(t);
    if (dtype_is_unsigned(t)) return arena_printf(arena, "0 to %llu", (unsigned long long)(UINT64_MAX >> (64 - bits)));
    unsigned long long top = (unsigned long long)(INT64_MAX >> (64 - bits));
    return arena_printf(arena, "-%llu to %llu", top + 1, top);
}

static void *constant_as(const struct emitter *emit, const struct value *v, enum dtype dtype) {
    bool fits = true;
    if (v->type.weak == WEAK_INT) {
        if (dtype == TY_F64) return emit->constant_float(emit->host, dtype, value_const_real(v));
        if (dtype_is_float(dtype)) {
            /* Straight to f32: through double it could round twice. */
            float real = (float)v->magnitude;
            return emit->constant_float(emit->host, dtype, v->negative ? -(double)real : (double)real);
        }
        fits = dtype_holds_int(dtype, v->negative, v->magnitude);
        if (fits) return emit->constant_int(emit->host, dtype, (int64_t)(v->negative ? -v->magnitude : v->magnitude));
    } else if (dtype_is_float(dtype)) {
        double real = dtype == TY_F64 ? v->real : (double)(float)v->real;
        if (!isinf(real) || isinf(v->real)) return emit->constant_float(emit->host, dtype, real);
        fits = false;
    } else {
        diag_add(emit->diags, DIAG_TYPE, v->span, "%s is a float and does not convert to %s by itself; write %s(…)",
                 const_name(emit, v), dtype_name(dtype), dtype_name(dtype));
    }
    if (!fits)
        diag_add(emit->diags, DIAG_TYPE, v->span, "%s does not fit in %s (%s)", const_name(emit, v), dtype_name(dtype),
                 range_text(emit->arena, dtype));
    return NULL;
}

void *value_as(const struct emitter *emit, const struct value *v, enum dtype dtype) {
    if (v->kind != VALUE_NUMBER || dtype == TY_NONE) return NULL;
    if (v->is_const) return constant_as(emit, v, dtype);
    void *h = emit->handle(emit->host, v);
    if (!h || v->type.dtype == dtype) return h;
    return emit->convert(emit->host, h, dtype, v->span);
}
