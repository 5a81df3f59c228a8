/* emit_parameters.c: the parameters of the function, which come to be when their name is asked for, and addresses made
 * of them. */
#include "codegen/ptx/emit.h"

#include <string.h>

static const char *cu_parameter(struct cu *c, enum ptx_parameter_kind kind, int a, int b, const char *name) {
    for (int i = 0; i < c->n_parameters; i++) {
        const struct ptx_parameter *p = &c->parameters[i];
        if (p->kind == kind && p->a == a && p->b == b) return c->parameter_names[i];
    }
    int names = c->n_parameters, capacity = c->parameter_capacity;
    ARENA_PUSH(c->arena, c->parameter_names, names, capacity) = name;
    ARENA_PUSH(c->arena, c->parameters, c->n_parameters, c->parameter_capacity) =
        (struct ptx_parameter){kind, a, b, c->rows ? c->rows->stage : 0};
    return name;
}

bool cu_is_scratch(const struct cu *c, int operand) {
    return c->rows && c->rows->scratch[operand] >= 0;
}

bool cu_is_touched(const struct cu *c, int operand) {
    return c->body.reads[operand] || c->body.stores[operand] || c->epilogue.reads[operand] ||
           c->epilogue.stores[operand];
}

const char *cu_data(struct cu *c, int operand) {
    if (cu_is_scratch(c, operand)) return cu_text(c, "at%d", operand);
    static const char *const roles[] = {[OPERAND_READ] = "in", [OPERAND_WHOLE] = "whole", [OPERAND_WRITE] = "out"};
    return cu_parameter(c, PTX_PARAM_DATA, operand, 0,
                        cu_text(c, "%s%d", roles[c->kernel->operands[operand].kind], operand));
}

const char *cu_value(struct cu *c, int operand) {
    const bool truth = c->kernel->operands[operand].type == TY_BOOL;
    return cu_parameter(c, PTX_PARAM_VALUE, operand, 0, cu_text(c, truth ? "given%d" : "x%d", operand));
}

const char *cu_extent(struct cu *c, int loop) {
    if (c->variant->single_row && loop != c->vector_loop) return "1LL";
    return cu_parameter(c, PTX_PARAM_EXTENT, loop, 0, cu_text(c, "n%d", loop));
}

const char *cu_size(struct cu *c, int operand, int dim) {
    return cu_parameter(c, PTX_PARAM_SIZE, operand, dim, cu_text(c, "size%d_%d", operand, dim));
}

const char *cu_number(struct cu *c, int64_t number) {
    return cu_parameter(c, PTX_PARAM_NUMBER, (int)number, 0, cu_text(c, "number%d", (int)number));
}

const char *cu_watch(struct cu *c) {
    return cu_parameter(c, PTX_PARAM_WATCH, 0, 0, "watch");
}

const char *cu_order(struct cu *c) {
    return cu_parameter(c, PTX_PARAM_ORDER, 0, 0, "order");
}

const char *cu_partials(struct cu *c) {
    return cu_parameter(c, PTX_PARAM_PARTIALS, 0, 0, "partials");
}

const char *cu_counters(struct cu *c) {
    return cu_parameter(c, PTX_PARAM_COUNTERS, 0, 0, "counters");
}

const char *cu_grid(struct cu *c, int number, const char *name) {
    return cu_parameter(c, PTX_PARAM_GRID, number + (c->rows ? c->rows->grid : 0), 0, name);
}

/* What is written begins where the row's part does; what is read may be a part of that. */
void cu_define_scratch(struct cu *c, const char *row) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_is_scratch(c, k) || !cu_is_touched(c, k)) continue;
        const struct kernel_operand *operand = &c->kernel->operands[k];
        const bool read = operand->kind == OPERAND_READ;
        const char *type = cu_text(c, "%s%s *", read ? "const " : "", cu_memory_type(operand->type)), *offset = "";
        if (read) offset = cu_text(c, " + %s", cu_parameter(c, PTX_PARAM_DATA, k, 0, cu_text(c, "offset%d", k)));
        cu_line(c, "%sconst at%d = (%s)(kept%d + (%s - first) * bytes%d%s);", type, k, type, c->rows->scratch[k], row,
                c->rows->scratch[k], offset);
    }
}

/* --- strides ------------------------------------------------------------------------------------------------------ */

bool cu_depends(const struct cu *c, int operand, int loop) {
    const struct kernel_operand *o = &c->kernel->operands[operand];
    const enum ptx_access access = c->variant->access[operand];
    if (o->kind == OPERAND_WHOLE || access == PTX_BY_VALUE) return false;
    if (c->variant->single_row && loop != c->vector_loop) return false;
    if (cu_is_scratch(c, operand) && loop < c->rows->outer) return false; /* at<k> does */
    if (o->kind == OPERAND_WRITE) return o->uses ? o->uses >> loop & 1 : loop < c->kernel->n_par;
    return (o->uses >> loop & 1) && !(loop == c->vector_loop && access == PTX_UNIFORM);
}

const char *cu_stride(struct cu *c, int operand, int dim) {
    const struct kernel_operand *o = &c->kernel->operands[operand];
    const enum ptx_access access = c->variant->access[operand];
    const bool whole = o->kind == OPERAND_WHOLE;
    if (!whole && !cu_depends(c, operand, dim)) return "0";
    if (dim == (whole ? o->rank - 1 : c->vector_loop)) {
        if (access == PTX_UNIT) return "1";
        if (access == PTX_UNIFORM) return "0";
    }
    return cu_parameter(c, PTX_PARAM_STRIDE, operand, dim, cu_text(c, "stride%d_%d", operand, dim));
}

bool cu_is_fixed(const struct cu *c, int operand) {
    for (int j = c->moving; j < c->n_loops; j++)
        if (cu_depends(c, operand, j)) return false;
    return true;
}

bool cu_moves(const struct cu *c, int operand) {
    if (c->body.stores[operand]) return true;
    return c->body.reads[operand] && c->variant->access[operand] != PTX_BY_VALUE && !cu_is_fixed(c, operand);
}

const char *cu_plus(struct cu *c, const char *base, const char *offset) {
    return strcmp(offset, "0") ? cu_text(c, "%s + %s", base, offset) : base;
}

const char *cu_offset(struct cu *c, int operand, int first, int end) {
    const char *offset = "0";
    for (int j = first; j < end; j++) {
        const char *stride = cu_stride(c, operand, j), *term;
        if (!strcmp(stride, "0")) continue;
        term = strcmp(stride, "1") ? cu_text(c, "i%d * %s", j, stride) : cu_text(c, "i%d", j);
        offset = strcmp(offset, "0") ? cu_text(c, "%s + %s", offset, term) : term;
    }
    return offset;
}

void cu_define_bases(struct cu *c, int end, const char *extra, const char **base) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k)) continue;
        const struct kernel_operand *operand = &c->kernel->operands[k];
        base[k] = cu_data(c, k);
        const char *offset = cu_offset(c, k, 0, end), *stride = extra ? cu_stride(c, k, end) : "0",
                   *address = cu_plus(c, base[k], offset);
        if (strcmp(stride, "0"))
            address = cu_plus(c, address, strcmp(stride, "1") ? cu_text(c, "%s * %s", extra, stride) : extra);
        if (address == base[k]) continue;
        base[k] = cu_text(c, "row%d", k);
        cu_line(c, "%s%s *const row%d = %s;", operand->kind == OPERAND_READ ? "const " : "",
                cu_memory_type(operand->type), k, address);
    }
}

const char *cu_extents(struct cu *c, int first, int n) {
    const char *product = NULL;
    for (int j = first; j < first + n; j++) {
        const char *extent = cu_extent(c, j);
        if (!strcmp(extent, "1LL")) continue;
        product = product ? cu_text(c, "%s * %s", product, extent) : extent;
    }
    return product ? product : "1LL";
}

void cu_decode(struct cu *c, const char *position, int first, int n) {
    const char *rest = position;
    if (c->variant->single_row) { /* only the vector dimension has several positions */
        for (int j = first; j < first + n; j++)
            cu_line(c, "const long long i%d = %s;", j, j == c->vector_loop ? position : "0");
        return;
    }
    for (int j = first + n - 1; j > first; j--) {
        const char *next = j > first + 1 ? cu_text(c, "rest%d", j) : cu_text(c, "i%d", first);
        cu_line(c, "const long long %s = %s / %s, i%d = %s - %s * %s;", next, rest, cu_extent(c, j), j, rest, next,
                cu_extent(c, j));
        rest = next;
    }
    if (n == 1) cu_line(c, "const long long i%d = %s;", first, position);
}
