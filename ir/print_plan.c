/* print_plan.c: the text forms of plans. plan_print_graphs writes what ir/parse_plan.c reads back:
 *
 *     plan contract ulp 4 {
 *       slot 0 "x" f64 rank 1 input 0
 *       slot 1 f64 rank 0
 *       literal 0 i64[3] 1, 2, 3
 *       output 1 "y"
 *       body {
 *         graph { ... }
 *         scope 0 {
 *           loop {
 *             if 2 {
 *               leave 0
 *             } else {
 *               copy 1 = 3
 *             }
 *           }
 *         }
 *       }
 *     }
 */
#include <string.h>

#include "ir/print_internal.h"

const char *const print_fp_modes[] = {"contract", "strict", "fast", NULL};

/* The 64 bits of `imm` of an element in memory. */
static uint64_t element_bits(enum dtype type, const char *data) {
    union {
        int64_t i;
        uint64_t u;
        double f;
    } imm = {0};
    int8_t i8;
    int16_t i16;
    int32_t i32;
    float f32;
    switch (type) {
    case TY_I8: memcpy(&i8, data, sizeof i8); return imm.i = i8, imm.u;
    case TY_I16: memcpy(&i16, data, sizeof i16); return imm.i = i16, imm.u;
    case TY_I32: memcpy(&i32, data, sizeof i32); return imm.i = i32, imm.u;
    case TY_F32: memcpy(&f32, data, sizeof f32); return imm.f = f32, imm.u;
    default: memcpy(&imm, data, (size_t)dtype_size(type)); return imm.u; /* little-endian: the rest stays 0 */
    }
}

static void print_literal(struct strbuf *out, const struct plan_literal *literal) {
    int64_t count = 1;
    strbuf_puts(out, dtype_name(literal->type));
    for (int d = 0; d < literal->rank; d++) {
        strbuf_printf(out, "%s%lld", d ? ", " : "[", (long long)literal->shape[d]);
        count *= literal->shape[d];
    }
    if (literal->rank > 0) strbuf_putc(out, ']');
    for (int64_t i = 0; i < count; i++) {
        strbuf_puts(out, i ? ", " : " ");
        print_const(out, literal->type,
                    element_bits(literal->type, (const char *)literal->data + i * dtype_size(literal->type)));
    }
}

static void print_head(struct strbuf *out, const struct plan *plan) {
    strbuf_printf(out, "plan %s ulp %d%s {\n", print_fp_modes[plan->fp], plan->ulp,
                  plan->has_effects ? " effects" : "");
    for (int i = 0; i < plan->n_slots; i++) {
        const struct plan_slot *slot = &plan->slots[i];
        strbuf_printf(out, "  slot %d ", i);
        if (slot->name) {
            print_string(out, slot->name);
            strbuf_putc(out, ' ');
        }
        strbuf_printf(out, "%s rank %d", dtype_name(slot->type), slot->rank);
        if (slot->input >= 0) strbuf_printf(out, " input %d", slot->input);
        strbuf_putc(out, '\n');
    }
    for (int i = 0; i < plan->n_literals; i++) {
        strbuf_printf(out, "  literal %d ", i);
        print_literal(out, &plan->literals[i]);
        strbuf_putc(out, '\n');
    }
    for (int i = 0; i < plan->n_outputs; i++) {
        strbuf_printf(out, "  output %d", plan->output_slots[i]);
        if (plan->output_names && plan->output_names[i]) {
            strbuf_putc(out, ' ');
            print_string(out, plan->output_names[i]);
        }
        strbuf_putc(out, '\n');
    }
}

static void print_slot(struct strbuf *out, int slot) {
    if (slot >= 0)
        strbuf_printf(out, "slot %d", slot);
    else
        strbuf_printf(out, "literal %d", -1 - slot);
}

/* --- actions ------------------------------------------------------------------------------------------------------ */

static void print_launch(struct strbuf *out, int indent, const struct plan_launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    strbuf_puts(out, "run ");
    print_string(out, kernel->name);
    strbuf_puts(out, " over");
    for (int j = 0; j < kernel->n_par + kernel->n_red; j++) {
        strbuf_puts(out, j == 0 ? " [" : j == kernel->n_par ? "; " : ", ");
        size_print(launch->extents[j], out);
    }
    strbuf_puts(out, kernel->n_par + kernel->n_red > 0 ? "]" : " a single element");
    for (int i = 0; i < kernel->n_sizes; i++) {
        strbuf_puts(out, i ? ", " : " sizes ");
        size_print(launch->sizes[i], out);
    }
    strbuf_putc(out, '\n');
    for (int i = 0; i < kernel->n_operands; i++) {
        const struct launch_operand *operand = &launch->operands[i];
        print_indent(out, indent + 2);
        strbuf_printf(out, "operand %d %s ", i, print_operand_kinds[kernel->operands[i].kind]);
        print_slot(out, operand->slot);
        if (kernel->operands[i].kind != OPERAND_WRITE && operand->map.source_rank > 0) {
            strbuf_putc(out, ' ');
            print_map(out, &operand->map);
        }
        for (int d = 0; kernel->operands[i].kind == OPERAND_WHOLE && d < operand->whole_rank; d++) {
            strbuf_puts(out, d ? ", " : " of ");
            size_print(operand->whole_size[d], out);
        }
        strbuf_putc(out, '\n');
    }
}

/* "rows k0_k3_rows [s0.d0] scratch 3, 4 {": the kernels and frees follow, and the brace. */
static void print_rows(struct strbuf *out, const struct plan_rows *rows) {
    strbuf_printf(out, "rows %s [", rows->name);
    for (int d = 0; d < rows->outer; d++) {
        if (d > 0) strbuf_puts(out, ", ");
        size_print(rows->launches[0]->extents[d], out);
    }
    strbuf_putc(out, ']');
    for (int i = 0; i < rows->n_scratch; i++) strbuf_printf(out, i ? ", %d" : " scratch %d", rows->scratch[i]);
    strbuf_puts(out, " {");
}

static void print_action(struct strbuf *out, int indent, const struct plan *plan, const struct plan_action *action) {
    print_indent(out, indent);
    switch (action->kind) {
    case ACTION_SIZES:
        strbuf_puts(out, "sizes");
        for (int i = 0; i < action->count; i++) {
            strbuf_puts(out, i ? ", " : " ");
            size_print(plan->sizes.items[action->first + i], out);
        }
        break;
    case ACTION_CHECK: print_sink(out, action->sink); break;
    case ACTION_KERNEL: print_launch(out, indent, action->launch); return;
    case ACTION_SHARE:
        strbuf_printf(out, "share %d = ", action->slot);
        print_slot(out, action->source);
        strbuf_putc(out, ' ');
        print_shape(out, plan->slots[action->slot].type, action->rank, action->shape);
        break;
    case ACTION_EFFECT:
        print_sink(out, action->sink);
        for (int i = 0; action->effect_slots && i < action->sink->n_nodes; i++)
            strbuf_printf(out, i ? ", %d" : " from slots %d", action->effect_slots[i]);
        break;
    case ACTION_FREE: strbuf_printf(out, "free %d", action->slot); break;
    case ACTION_ROWS: print_rows(out, action->rows); break;
    }
    strbuf_putc(out, '\n');
}

static void print_actions(struct strbuf *out, int indent, const struct plan *plan, const struct plan_step *step) {
    int rows_end = 0; /* of the open brace; 0: none */
    for (int i = 0; i < step->n_actions; i++) {
        const struct plan_action *action = step->actions[i];
        print_action(out, rows_end ? indent + 2 : indent, plan, action);
        if (action->kind == ACTION_ROWS) rows_end = i + action->count;
        if (rows_end == 0 || i < rows_end) continue;
        print_indent(out, indent);
        strbuf_puts(out, "}\n");
        rows_end = 0;
    }
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

enum detail { DETAIL_GRAPHS, DETAIL_ACTIONS };

static void print_block(struct strbuf *out, int indent, const struct plan *plan, const struct plan_block *block,
                        enum detail detail);

/* "{ ... }" behind what was printed of the line. */
static void print_braces(struct strbuf *out, int indent, const struct plan *plan, const struct plan_block *block,
                         enum detail detail) {
    strbuf_puts(out, " {\n");
    print_block(out, indent + 2, plan, block, detail);
    print_indent(out, indent);
    strbuf_putc(out, '}');
}

static void print_step(struct strbuf *out, int indent, const struct plan *plan, const struct plan_step *step,
                       enum detail detail) {
    if (step->kind == STEP_GRAPH) {
        if (detail == DETAIL_GRAPHS) print_graph_at(out, indent, step->graph);
        if (detail == DETAIL_ACTIONS) print_actions(out, indent, plan, step);
        return;
    }
    print_indent(out, indent);
    switch (step->kind) {
    case STEP_GRAPH: break;
    case STEP_IF:
        strbuf_printf(out, "if %d", step->condition);
        print_braces(out, indent, plan, &step->block, detail);
        if (step->other.n_steps > 0) {
            strbuf_puts(out, " else");
            print_braces(out, indent, plan, &step->other, detail);
        }
        break;
    case STEP_LOOP:
        strbuf_puts(out, "loop");
        print_braces(out, indent, plan, &step->block, detail);
        break;
    case STEP_SCOPE:
        strbuf_printf(out, "scope %d", step->scope);
        print_braces(out, indent, plan, &step->block, detail);
        break;
    case STEP_LEAVE: strbuf_printf(out, "leave %d", step->scope); break;
    case STEP_COPY: strbuf_printf(out, "copy %d = %d", step->slot, step->source); break;
    }
    strbuf_putc(out, '\n');
}

static void print_block(struct strbuf *out, int indent, const struct plan *plan, const struct plan_block *block,
                        enum detail detail) {
    for (int i = 0; i < block->n_steps; i++) print_step(out, indent, plan, block->steps[i], detail);
}

static void print_plan(struct strbuf *out, const struct plan *plan, enum detail detail) {
    print_head(out, plan);
    strbuf_puts(out, "  body");
    print_braces(out, 2, plan, &plan->body, detail);
    strbuf_puts(out, "\n}\n");
}

void plan_print_graphs(const struct plan *plan, struct strbuf *out) {
    print_plan(out, plan, DETAIL_GRAPHS);
}

void plan_print(const struct plan *plan, struct strbuf *out) {
    print_plan(out, plan, DETAIL_ACTIONS);
}

void plan_print_kernels(const struct plan *plan, struct strbuf *out) {
    for (int i = 0; i < plan->n_launches; i++) {
        if (i > 0) strbuf_putc(out, '\n');
        print_kernel_at(out, 0, plan->launches[i]->kernel);
    }
}
