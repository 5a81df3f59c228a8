/* graph_internal.h: value numbering, shared by the files that make graph nodes. */
#ifndef IR_GRAPH_INTERNAL_H
#define IR_GRAPH_INTERNAL_H

#include "ir/graph.h"

/* The node that looks like `wanted` (span aside), made if there is none yet. Everything `wanted` points to is copied
 * when the node is made, so it may lie on the stack. */
struct graph_node *graph_number(struct graph *graph, const struct graph_node *wanted);

#endif
