/* print.c: the text form of bodies and kernels, which ir/parse_body.c reads back.
 *
 *     kernel "k0_lanes" lanes par 1 red 1 sizes 1 width 32 uses_index {
 *       operand 0 read f64 rank 2 uses 0, 1
 *       operand 1 write f64 rank 1
 *       body {
 *         %0 = read 0 : f64
 *         %1 = const 2.5 : f64
 *         %2 = mul %0, %1 : f64
 *         yield %2
 *       }
 *       reduce sum f64 of 0
 *       epilogue(%3: f64) {
 *         store 1, %3
 *         yield
 *       }
 *     }
 *
 * An if holds the regions `then` and `else`, a loop `while` and `do`. White space, line ends included, means nothing.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/print_internal.h"

const char *const print_kernel_kinds[] = {"map", "lanes", "columns", NULL};
const char *const print_operand_kinds[] = {"read", "whole", "write", NULL};

void print_indent(struct strbuf *out, int indent) {
    strbuf_printf(out, "%*s", indent, "");
}

void print_string(struct strbuf *out, const char *text) {
    strbuf_putc(out, '"');
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            strbuf_printf(out, "\\%c", *at);
        else if (*at == '\n')
            strbuf_puts(out, "\\n");
        else if (*at < 0x20 || *at == 0x7f)
            strbuf_printf(out, "\\x%02x", *at);
        else
            strbuf_putc(out, (char)*at);
    }
    strbuf_putc(out, '"');
}

static void print_float(struct strbuf *out, enum dtype type, double value) {
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (type == TY_F32 ? (float)back == (float)value : back == value) break;
    }
    if (isnan(value)) snprintf(text, sizeof text, "nan");
    for (char *at = text; *at; at++)
        if (*at == ',') *at = '.'; /* a host may have set a locale */
    strbuf_puts(out, text);
}

void print_const(struct strbuf *out, enum dtype type, uint64_t bits) {
    union {
        uint64_t u;
        double f;
    } imm = {.u = bits};
    if (dtype_is_float(type))
        print_float(out, type, imm.f);
    else if (type == TY_BOOL)
        strbuf_puts(out, bits ? "true" : "false");
    else if (dtype_is_signed(type))
        strbuf_printf(out, "%lld", (long long)(int64_t)bits);
    else
        strbuf_printf(out, "%llu", (unsigned long long)bits);
}

static void print_values(struct strbuf *out, int n, struct ir_value *const *values) {
    for (int i = 0; i < n; i++) strbuf_printf(out, "%s%%%d", i ? ", " : " ", values[i]->id);
}

static void print_value(struct strbuf *out, int indent, const struct ir_value *value) {
    static const char *const labels[2][2] = {{"then", "else"}, {"while", "do"}};
    print_indent(out, indent);
    if (value->op == OP_store) {
        strbuf_printf(out, "store %lld,", (long long)value->imm.i);
        print_values(out, value->n_args, value->args);
        strbuf_putc(out, '\n');
        return;
    }
    strbuf_printf(out, "%%%d = %s", value->id, op_info[value->op].name);
    switch (value->op) {
    case OP_const:
        strbuf_putc(out, ' ');
        print_const(out, value->type, value->imm.u);
        break;
    case OP_size:
    case OP_index:
    case OP_read: strbuf_printf(out, " %lld", (long long)value->imm.i); break;
    case OP_load:
        strbuf_printf(out, " %lld [", (long long)value->imm.i);
        print_values(out, value->n_args, value->args);
        strbuf_puts(out, " ]");
        break;
    case OP_len: strbuf_printf(out, " %lld, %d", (long long)value->imm.i, value->dim); break;
    case OP_result:
        print_values(out, value->n_args, value->args);
        strbuf_printf(out, ", %lld", (long long)value->imm.i);
        break;
    default: print_values(out, value->n_args, value->args);
    }
    if (value->op == OP_if || value->op == OP_loop) {
        strbuf_puts(out, " {\n");
        for (int r = 0; r < 2; r++) print_region(out, indent + 2, labels[value->op == OP_loop][r], value->regions[r]);
        print_indent(out, indent);
        strbuf_puts(out, "}\n");
        return;
    }
    strbuf_printf(out, " : %s\n", dtype_name(value->type));
}

void print_region(struct strbuf *out, int indent, const char *label, const struct ir_region *region) {
    print_indent(out, indent);
    strbuf_puts(out, label);
    for (int i = 0; i < region->n_params; i++)
        strbuf_printf(out, "%s%%%d: %s", i ? ", " : "(", region->params[i]->id, dtype_name(region->params[i]->type));
    strbuf_puts(out, region->n_params ? ") {\n" : " {\n");
    for (int i = 0; i < region->n_values; i++) print_value(out, indent + 2, region->values[i]);
    print_indent(out, indent + 2);
    strbuf_puts(out, "yield");
    print_values(out, region->n_results, region->results);
    strbuf_putc(out, '\n');
    print_indent(out, indent);
    strbuf_puts(out, "}\n");
}

int kernel_number(struct ir_kernel *kernel) {
    return body_number_from(&kernel->epilogue, body_number(&kernel->body));
}

void print_kernel_at(struct strbuf *out, int indent, const struct ir_kernel *kernel) {
    kernel_number((struct ir_kernel *)kernel); /* ids are scratch */
    print_indent(out, indent);
    strbuf_puts(out, "kernel ");
    print_string(out, kernel->name);
    strbuf_printf(out, " %s par %d red %d sizes %d", print_kernel_kinds[kernel->kind], kernel->n_par, kernel->n_red,
                  kernel->n_sizes);
    if (kernel->kind == KERNEL_LANES) strbuf_printf(out, " width %d", kernel->lanes);
    if (kernel->uses_index) strbuf_puts(out, " uses_index");
    if (kernel->diverges) strbuf_puts(out, " diverges");
    strbuf_puts(out, " {\n");
    for (int i = 0; i < kernel->n_operands; i++) {
        const struct kernel_operand *operand = &kernel->operands[i];
        print_indent(out, indent + 2);
        strbuf_printf(out, "operand %d %s %s rank %d", i, print_operand_kinds[operand->kind], dtype_name(operand->type),
                      operand->rank);
        const char *separator = " uses ";
        for (int j = 0; j < KERNEL_MAX_LOOPS; j++) {
            if (!(operand->uses >> j & 1)) continue;
            strbuf_printf(out, "%s%d", separator, j);
            separator = ", ";
        }
        strbuf_putc(out, '\n');
    }
    print_region(out, indent + 2, "body", &kernel->body);
    for (int i = 0; i < kernel->n_reductions; i++) {
        const struct kernel_reduction *r = &kernel->reductions[i];
        print_indent(out, indent + 2);
        strbuf_printf(out, "reduce %s %s of %d\n", reduce_names[r->op], dtype_name(r->type), r->first_arg);
    }
    if (kernel->kind != KERNEL_MAP) print_region(out, indent + 2, "epilogue", &kernel->epilogue);
    print_indent(out, indent);
    strbuf_puts(out, "}\n");
}

void kernel_print(const struct ir_kernel *kernel, struct strbuf *out) {
    print_kernel_at(out, 0, kernel);
}
