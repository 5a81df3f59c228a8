/* print_internal.h: pieces of the text forms that several printers share. */
#ifndef IR_PRINT_INTERNAL_H
#define IR_PRINT_INTERNAL_H

#include "ir/plan.h"

void print_indent(struct strbuf *out, int indent);
/* "text" with escapes. */
void print_string(struct strbuf *out, const char *text);
/* A constant of the type, from its 64 bits as kept in `imm`: shortest digits that read back. */
void print_const(struct strbuf *out, enum dtype type, uint64_t bits);
/* "label(%0: f64) { ... yield %3 }", each line indented. */
void print_region(struct strbuf *out, int indent, const char *label, const struct ir_region *region);
/* "f64[s0.d0, 3]"; nothing in brackets for rank 0. */
void print_shape(struct strbuf *out, enum dtype type, int rank, const struct size *const *shape);
/* "[0; i0] [s0.d0 - 1; i1*-1]": an axis of the source each. */
void print_map(struct strbuf *out, const struct view_map *map);
void print_graph_at(struct strbuf *out, int indent, const struct graph *graph);
void print_kernel_at(struct strbuf *out, int indent, const struct ir_kernel *kernel);
/* One sink, without its line end. */
void print_sink(struct strbuf *out, const struct graph_sink *sink);

extern const char *const print_kernel_kinds[], *const print_operand_kinds[], *const print_check_kinds[],
                                                                                 *const print_fp_modes[];

#endif
