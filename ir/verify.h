/* verify.h: the rules that graphs, bodies, kernels and plans keep, checked between stages in debug builds and tests. */
#ifndef IR_VERIFY_H
#define IR_VERIFY_H

#include "ir/plan.h"

/* Each returns true if all is well, else false with one line in `why` naming the offender. */
bool verify_graph(const struct graph *graph, struct strbuf *why);
bool verify_kernel(const struct ir_kernel *kernel, struct strbuf *why);
bool verify_plan(const struct plan *plan, struct strbuf *why);

#endif
