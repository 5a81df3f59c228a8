/* emit.c: lines of CUDA C, spellings of types and constants. */
#include "codegen/ptx/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- lines -------------------------------------------------------------------------------------------------------- */

static void cu_start(struct cu *c, int indent, const char *format, va_list args) {
    /* Preprocessor lines stand where the code stands, too. */
    strbuf_printf(&c->text, "%*s", 4 * indent, "");
    strbuf_vprintf(&c->text, format, args);
}

void cu_line(struct cu *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    cu_start(c, c->indent, format, args);
    va_end(args);
    strbuf_putc(&c->text, '\n');
}

void cu_open(struct cu *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    cu_start(c, c->indent++, format, args);
    va_end(args);
    strbuf_puts(&c->text, " {\n");
}

void cu_close(struct cu *c, const char *after) {
    c->indent--;
    cu_line(c, "}%s", after);
}

void cu_middle(struct cu *c, const char *text) {
    c->indent--;
    cu_line(c, "%s", text);
    c->indent++;
}

const char *cu_text(struct cu *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(c->arena, format, args);
    va_end(args);
    return text;
}

struct cu_list cu_list_begin(struct cu *c, int column, int indent) {
    struct cu_list list = {.column = column, .indent = indent};
    strbuf_init(&list.text, c->arena);
    return list;
}

void cu_list_add(struct cu_list *list, const char *item) {
    enum { LINE = 120 };
    const int length = (int)strlen(item) + 2;
    if (list->text.length) strbuf_puts(&list->text, ",");
    if (list->text.length && list->column + length > LINE) {
        strbuf_printf(&list->text, "\n%*s", list->indent, "");
        list->column = list->indent;
    } else if (list->text.length) {
        strbuf_puts(&list->text, " ");
    }
    strbuf_puts(&list->text, item);
    list->column += length;
}

/* --- types and constants ------------------------------------------------------------------------------------------ */

const char *cu_type(enum dtype type) {
    static const char *const names[TY_COUNT] = {
        [TY_BOOL] = "bool",
        [TY_I8] = "signed char",
        [TY_I16] = "short",
        [TY_I32] = "int",
        [TY_I64] = "long long",
        [TY_U8] = "unsigned char",
        [TY_U16] = "unsigned short",
        [TY_U32] = "unsigned int",
        [TY_U64] = "unsigned long long",
        [TY_F32] = "float",
        [TY_F64] = "double",
    };
    return names[type] ? names[type] : "void";
}

const char *cu_memory_type(enum dtype type) {
    return type == TY_BOOL ? "unsigned char" : cu_type(type);
}

/* The text is the C locale's whatever the host has set. */
static const char *cu_with_point(char *text) {
    for (char *at = text; *at; at++)
        if (*at == ',') *at = '.';
    return text;
}

/* Decimal where that is exact and short, else hexadecimal with the decimal beside it. */
static const char *cu_float(struct cu *c, double value, bool f32) {
    const char *type = f32 ? "float" : "double", *suffix = f32 ? "f" : "";
    char text[64];
    if (isnan(value)) return cu_text(c, "weft_nan<%s>()", type);
    if (isinf(value)) return cu_text(c, value < 0 ? "(-weft_inf<%s>())" : "weft_inf<%s>()", type);
    const char *before = signbit(value) ? "(-" : "", *after = signbit(value) ? ")" : "";
    double size = fabs(value);
    if (size < 1e6 && size * 1024 == floor(size * 1024)) {
        snprintf(text, sizeof text, "%.10f", size);
        cu_with_point(text);
        char *end = text + strlen(text);
        while (end[-1] == '0' && end[-2] != '.') *--end = 0;
        return cu_text(c, "%s%s%s%s", before, text, suffix, after);
    }
    char near[64];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(near, sizeof near, "%.*g", digits, size);
        if (f32 ? (float)atof(near) == (float)size : atof(near) == size) break;
    }
    snprintf(text, sizeof text, "%a", size);
    return cu_text(c, "%s%s%s /* %s */%s", before, cu_with_point(text), suffix, cu_with_point(near), after);
}

const char *cu_constant(struct cu *c, enum dtype type, uint64_t bits) {
    const int64_t i = (int64_t)bits;
    switch (type) {
    case TY_BOOL: return bits ? "true" : "false";
    case TY_I32: return i == INT32_MIN ? "(-2147483647 - 1)" : cu_text(c, i < 0 ? "(%lld)" : "%lld", (long long)i);
    case TY_I64:
        return i == INT64_MIN ? "(-9223372036854775807LL - 1)"
                              : cu_text(c, i < 0 ? "(%lldLL)" : "%lldLL", (long long)i);
    case TY_U32: return cu_text(c, "%lluu", (unsigned long long)bits);
    case TY_U64: return cu_text(c, "%lluULL", (unsigned long long)bits);
    case TY_F32:
    case TY_F64: {
        double value;
        memcpy(&value, &bits, sizeof value);
        return cu_float(c, value, type == TY_F32);
    }
    default:
        return dtype_is_signed(type) ? cu_text(c, "(%s)%lld", cu_type(type), (long long)i)
                                     : cu_text(c, "(%s)%llu", cu_type(type), (unsigned long long)bits);
    }
}
