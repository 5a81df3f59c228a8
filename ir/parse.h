/* parse.h: reads the text forms of ir/print*.c back; print -> parse -> print is identical. Used by tests and golden files. */
#ifndef IR_PARSE_H
#define IR_PARSE_H

#include "ir/plan.h"

/* NULL with an error in `why` ("line 3: unknown operation `foo`") if the text is none. */
struct ir_kernel *parse_kernel(struct arena *arena, const char *text, struct strbuf *why);
struct graph *parse_graph(struct arena *arena, const char *text, struct strbuf *why);
/* The text of plan_print_graphs: slots, literals, steps and graphs, as before fuse_plan. */
struct plan *parse_plan(struct arena *arena, const char *text, struct strbuf *why);

#endif
