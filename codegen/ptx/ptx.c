/* ptx.c: a kernel's CUDA C put together: prelude, comment, parameters, body. See ptx.h. */
#include "codegen/ptx/ptx.h"

#include <string.h>

#include "codegen/ptx/emit.h"

/* --- can it be done? ---------------------------------------------------------------------------------------------- */

static bool check_region(const struct ir_region *region, int ulp, struct strbuf *why) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        const struct op_info *info = &op_info[value->op];
        if (value->type == TY_F16) {
            strbuf_puts(why, "f16 is not computed with on GPUs");
            return false;
        }
        if (ulp == 1 && info->lower == LOWER_CALL && value->type == TY_F64 && info->ulp[MATH_CUDA].f64 > 1) {
            strbuf_printf(why, "CUDA's %s of f64 has an error of up to %g ULP: --ulp=1 cannot be met", info->name,
                          (double)info->ulp[MATH_CUDA].f64);
            return false;
        }
        for (int r = 0; r < 2; r++)
            if (value->regions[r] && !check_region(value->regions[r], ulp, why)) return false;
    }
    return true;
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

static int rank_of(enum ptx_parameter_kind kind) {
    static const int ranks[] = {
        [PTX_PARAM_DATA] = 0,     [PTX_PARAM_VALUE] = 0,  [PTX_PARAM_EXTENT] = 1, [PTX_PARAM_STRIDE] = 2,
        [PTX_PARAM_SIZE] = 3,     [PTX_PARAM_NUMBER] = 4, [PTX_PARAM_GRID] = 5,   [PTX_PARAM_PARTIALS] = 6,
        [PTX_PARAM_COUNTERS] = 7, [PTX_PARAM_WATCH] = 8,  [PTX_PARAM_ORDER] = 9};
    return ranks[kind];
}

static bool comes_before(const struct ptx_parameter *p, const struct ptx_parameter *q) {
    if (rank_of(p->kind) != rank_of(q->kind)) return rank_of(p->kind) < rank_of(q->kind);
    return p->a != q->a ? p->a < q->a : p->b < q->b;
}

/* "const float *__restrict__ " and the like: what stands before the name. */
static const char *parameter_type(struct cu *c, const struct ptx_parameter *p) {
    switch (p->kind) {
    case PTX_PARAM_DATA: {
        const struct kernel_operand *operand = &c->kernel->operands[p->a];
        const bool written = operand->kind == OPERAND_WRITE;
        if (cu_is_scratch(c, p->a)) return "const long long ";
        /* Of several stages, one may read what another wrote. */
        const bool shared = c->rows ? written || c->rows->exchanged[p->a] : c->variant->aliased;
        return cu_text(c, "%s%s *%s", written ? "" : "const ", cu_memory_type(operand->type),
                       shared ? "" : "__restrict__ ");
    }
    case PTX_PARAM_VALUE: return cu_text(c, "const %s ", cu_memory_type(c->kernel->operands[p->a].type));
    case PTX_PARAM_WATCH: return "weft_watch *";
    case PTX_PARAM_PARTIALS: return "char *";
    case PTX_PARAM_COUNTERS: return "unsigned int *";
    default: return "const long long ";
    }
}

void cu_sort_parameters(struct cu *c) {
    for (int i = 1; i < c->n_parameters; i++) {
        const struct ptx_parameter p = c->parameters[i];
        const char *name = c->parameter_names[i];
        int at = i;
        for (; at > 0 && comes_before(&p, &c->parameters[at - 1]); at--) {
            c->parameters[at] = c->parameters[at - 1];
            c->parameter_names[at] = c->parameter_names[at - 1];
        }
        c->parameters[at] = p;
        c->parameter_names[at] = name;
    }
    c->parameter_types = ARENA_ARRAY(c->arena, const char *, c->n_parameters + 1);
    for (int i = 0; i < c->n_parameters; i++) c->parameter_types[i] = parameter_type(c, &c->parameters[i]);
}

void cu_add_parameters(struct cu *c, struct cu_list *list) {
    for (int i = 0; i < c->n_parameters; i++)
        cu_list_add(list, cu_text(c, "%s%s", c->parameter_types[i], c->parameter_names[i]));
}

void cu_add_head(const struct cu_list *parameters, struct strbuf *out) {
    strbuf_printf(out, "(\n    %s)\n{\n", strbuf_text(&parameters->text));
}

/* The same names out of an array in memory. */
static void add_indirect_parameters(const struct cu *c, struct strbuf *out) {
    strbuf_puts(out, "(const unsigned long long *__restrict__ arguments)\n{\n");
    for (int i = 0; i < c->n_parameters; i++) {
        const char *type = c->parameter_types[i];
        const bool pointer = strchr(type, '*') != NULL, constant = !strncmp(type, "const ", 6);
        if (pointer)
            strbuf_printf(out, "    %sconst %s = (%s)arguments[%d];\n", type, c->parameter_names[i], type, i);
        else
            strbuf_printf(out, "    %s%s = *(const %s*)(arguments + %d);\n", type, c->parameter_names[i],
                          type + (constant ? 6 : 0), i);
    }
    strbuf_putc(out, '\n');
}

/* --- the comment on top ------------------------------------------------------------------------------------------- */

static const char *access_text(enum ptx_access access) {
    static const char *const texts[] = {
        [PTX_UNIFORM] = "uniform", [PTX_UNIT] = "unit stride", [PTX_STRIDED] = "strided"};
    return texts[access];
}

static void add_operand(struct cu *c, int k, struct strbuf *out) {
    const struct kernel_operand *operand = &c->kernel->operands[k];
    const enum ptx_access access = c->variant->access[k];
    const char *type = dtype_name(operand->type);
    if (access == PTX_BY_VALUE) {
        strbuf_printf(out, " *     x%-6d %-4s by value\n", k, type);
        return;
    }
    if (cu_is_scratch(c, k)) {
        strbuf_printf(out, " *     at%-5d %-4s %s: scratch %d; %s\n", k, type,
                      operand->kind == OPERAND_READ ? "read" : "written", c->rows->scratch[k], access_text(access));
        return;
    }
    switch (operand->kind) {
    case OPERAND_WHOLE:
        strbuf_printf(out, " *     whole%-2d %-4s whole, rank %d, %s\n", k, type, operand->rank, access_text(access));
        return;
    case OPERAND_WRITE: strbuf_printf(out, " *     out%-4d %-4s written", k, type); break;
    case OPERAND_READ: strbuf_printf(out, " *     in%-5d %-4s read", k, type); break;
    }
    const char *before = ": by ";
    for (int j = 0; j < c->n_loops; j++) {
        if (!cu_depends(c, k, j)) continue;
        strbuf_printf(out, "%si%d", before, j);
        before = ", ";
    }
    if (c->vector_loop >= 0) strbuf_printf(out, "; %s", access_text(access));
    strbuf_putc(out, '\n');
}

void cu_add_comment(struct cu *c, struct strbuf *out) {
    static const char *const kinds[] = {"elementwise", "reduction along the last dimension",
                                        "reduction along outer dimensions"};
    const struct ir_kernel *kernel = c->kernel;
    strbuf_printf(out, "/* %s: %s;", kernel->name, kinds[kernel->kind]);
    if (!c->n_loops) strbuf_puts(out, " a scalar");
    for (int j = 0; j < c->n_loops; j++)
        strbuf_printf(out, "%s n%d%s", j ? " x" : "", j, j >= kernel->n_par ? " (reduced)" : "");
    if (c->variant->single_row && c->n_loops > 1) strbuf_puts(out, ", one row");
    if (c->out->vector > 1) strbuf_printf(out, "; vectors of %d", c->out->vector);
    if (c->out->unroll > 1) strbuf_printf(out, "; %d at a time", c->out->unroll);
    strbuf_puts(out, "\n *\n");
    for (int k = 0; k < kernel->n_operands; k++) add_operand(c, k, out);
    for (int i = 0; i < kernel->n_reductions; i++)
        strbuf_printf(out, " *     reduction %d: %s, %s\n", i, reduce_names[kernel->reductions[i].op],
                      dtype_name(kernel->reductions[i].type));
    strbuf_puts(out, " */\n");
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void mark_results(struct cu *c, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_result) c->result_used[value->args[0]->id] |= 1u << (value->imm.i < 31 ? value->imm.i : 31);
        for (int r = 0; r < 2; r++)
            if (value->regions[r]) mark_results(c, value->regions[r]);
    }
}

void cu_begin(struct cu *c) {
    const struct ir_kernel *kernel = c->kernel;
    const int n_values = kernel_number(c->kernel);
    c->names = ARENA_ARRAY(c->arena, const char *, n_values + 1);
    c->hoisted = ARENA_ARRAY(c->arena, bool, n_values + 1);
    c->result_used = ARENA_ARRAY(c->arena, unsigned, n_values + 1);
    mark_results(c, &kernel->body);
    mark_results(c, &kernel->epilogue);
    strbuf_init(&c->before, c->arena);
    strbuf_init(&c->text, c->arena);
    c->indent = 1;
    c->n_loops = kernel->n_par + kernel->n_red;
    c->vector_loop = kernel->kind == KERNEL_LANES ? c->n_loops - 1 : kernel->n_par - 1;
    c->moving = kernel->kind == KERNEL_LANES ? kernel->n_par : c->vector_loop;
    if (c->moving < 0) c->moving = 0;
    if (c->rows && kernel->n_par == c->rows->outer) c->moving = kernel->n_par; /* MAP: an element a row */
    cu_facts_of(c, &kernel->body, &c->body);
    cu_facts_of(c, &kernel->epilogue, &c->epilogue);
    cu_find_hoisted(c);
    c->stops = c->body.can_fail || c->body.loops || c->epilogue.can_fail || c->epilogue.loops;
    *c->out = (struct ptx_kernel){.name = kernel->name,
                                  .kind = kernel->kind,
                                  .n_par = kernel->n_par,
                                  .n_red = kernel->n_red,
                                  .short_rows = c->variant->short_rows,
                                  .vector = 1,
                                  .unroll = 1,
                                  .can_fail = c->body.can_fail || c->epilogue.can_fail,
                                  .polls = c->body.loops || c->epilogue.loops,
                                  .device_stack = c->body.stack || c->epilogue.stack};
}

void cu_finish(struct cu *c, const char *before) {
    struct ptx_kernel *out = c->out;
    out->n_parameters = c->n_parameters;
    out->parameters = c->parameters;
    out->indirect = (size_t)c->n_parameters * 8 > PTX_INDIRECT_BYTES;

    struct strbuf source, kernel;
    strbuf_init(&kernel, c->arena);
    strbuf_puts(&kernel, before);
    /* One block a multiprocessor is enough to ask for: without it ptxas would rather spill than have fewer at a time.
     */
    const char *resident = cu_text(c, "%d", out->resident > 0 ? out->resident : 1);
    if (c->held && out->resident == 2) resident = "weft_held_resident";
    strbuf_printf(&kernel, "extern \"C\" __global__ void __launch_bounds__(%d, %s) %s", out->threads, resident,
                  out->name);
    if (out->indirect) {
        add_indirect_parameters(c, &kernel);
    } else {
        struct cu_list parameters = cu_list_begin(c, 4, 4);
        cu_add_parameters(c, &parameters);
        cu_add_head(&parameters, &kernel);
    }
    strbuf_puts(&kernel, strbuf_text(&c->text));
    strbuf_puts(&kernel, "}\n");
    strbuf_init(&source, c->arena);
    cu_prelude(c->arena, strbuf_text(&kernel), &source);
    strbuf_puts(&source, strbuf_text(&kernel));
    out->source = strbuf_text(&source);
}

bool cu_check(const struct ir_kernel *kernel, const struct ptx_variant *variant, struct strbuf *why) {
    return check_region(&kernel->body, variant->ulp, why) && check_region(&kernel->epilogue, variant->ulp, why);
}

void cu_emit(struct cu *c) {
    switch (c->kernel->kind) {
    case KERNEL_MAP: cu_emit_map(c); break;
    case KERNEL_LANES: cu_emit_lanes(c); break;
    case KERNEL_COLUMNS: cu_emit_columns(c); break;
    }
}

bool ptx_emit(struct arena *arena, struct ir_kernel *kernel, const struct ptx_variant *variant, struct ptx_kernel *out,
              struct strbuf *why) {
    if (!cu_check(kernel, variant, why)) return false;
    struct cu c = {.arena = arena, .kernel = kernel, .variant = variant, .out = out};
    cu_begin(&c);
    cu_emit(&c);
    cu_sort_parameters(&c);
    cu_add_comment(&c, &c.before);
    cu_finish(&c, strbuf_text(&c.before));
    return true;
}

void ptx_shape(const struct ptx_kernel *kernel, const int64_t *extents, int64_t head, const struct ptx_limits *limits,
               struct ptx_grid *out) {
    if (kernel->kind == KERNEL_MAP)
        cu_shape_map(kernel, extents, head, limits, out);
    else
        cu_shape_reduce(kernel, extents, limits, out);
}
