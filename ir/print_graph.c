/* print_graph.c: the text form of array graphs, which ir/parse_graph.c reads back.
 *
 *     graph {
 *       function 0 "half" {
 *         whole f64 rank 1
 *         body(%0: f64) {
 *           yield %0
 *         }
 *       }
 *       %0 = input 0 : f64[s0.d0]
 *       %1 = const 2 : f64
 *       %2 = view %0 [1; i0] : f64[max(s0.d0 - 1, 0)]         subscript 0 of the source is 1 + i0
 *       %3 = mul %2, %1 : f64[max(s0.d0 - 1, 0)]
 *       %4 = reduce sum %3 axes 0 : f64
 *       %5 = call 0 result 0 %3 whole %0 : f64[max(s0.d0 - 1, 0)]
 *       slot 1 = %4
 *       check 4 at_least s0.d0, 1 "`x` is empty"
 *     }
 */
#include "ir/print_internal.h"

const char *const print_check_kinds[] = {"equal", "broadcast", "index", "at_least", NULL};

void print_shape(struct strbuf *out, enum dtype type, int rank, const struct size *const *shape) {
    strbuf_puts(out, dtype_name(type));
    for (int d = 0; d < rank; d++) {
        strbuf_puts(out, d ? ", " : "[");
        size_print(shape[d], out);
    }
    if (rank > 0) strbuf_putc(out, ']');
}

void print_map(struct strbuf *out, const struct view_map *map) {
    for (int d = 0; d < map->source_rank; d++) {
        const struct view_axis *axis = &map->axis[d];
        strbuf_puts(out, d ? " [" : "[");
        size_print(axis->offset, out);
        for (int t = 0; t < axis->n_terms; t++) {
            strbuf_printf(out, "%s i%d", t ? "," : ";", axis->terms[t].dim);
            if (size_is_const(axis->terms[t].coef, 1)) continue;
            strbuf_puts(out, "*(");
            size_print(axis->terms[t].coef, out);
            strbuf_putc(out, ')');
        }
        strbuf_putc(out, ']');
    }
}

static void print_nodes(struct strbuf *out, int n, struct graph_node *const *nodes) {
    for (int i = 0; i < n; i++) strbuf_printf(out, "%s%%%d", i ? ", " : " ", nodes[i]->id);
}

/* Functions get numbers in order of first use. */
struct functions {
    struct arena *arena;
    const struct ir_function **items;
    int count, capacity;
};

static int function_number(const struct functions *functions, const struct ir_function *function) {
    int i = functions->count - 1; /* the latest is asked for most */
    while (i >= 0 && functions->items[i] != function) i--;
    return i;
}

static void print_function(struct strbuf *out, int indent, int number, const struct ir_function *function) {
    print_indent(out, indent);
    strbuf_printf(out, "function %d ", number);
    print_string(out, function->name);
    strbuf_puts(out, " {\n");
    for (int i = 0; i < function->n_whole; i++) {
        print_indent(out, indent + 2);
        strbuf_printf(out, "whole %s rank %d\n", dtype_name(function->whole[i].type), function->whole[i].rank);
    }
    body_number((struct ir_region *)&function->body); /* ids are scratch */
    print_region(out, indent + 2, "body", &function->body);
    print_indent(out, indent);
    strbuf_puts(out, "}\n");
}

static void print_node(struct strbuf *out, const struct graph_node *node, const struct functions *functions) {
    strbuf_printf(out, "%%%d = %s", node->id, op_info[node->op].name);
    switch (node->op) {
    case OP_const:
        strbuf_putc(out, ' ');
        print_const(out, node->type, node->imm.u);
        break;
    case OP_size:
        strbuf_putc(out, ' ');
        size_print(node->imm.size, out);
        break;
    case OP_index:
    case OP_input:
    case OP_literal: strbuf_printf(out, " %lld", (long long)node->imm.i); break;
    case OP_view:
        print_nodes(out, node->n_args, node->args);
        if (node->map->source_rank > 0) strbuf_putc(out, ' ');
        print_map(out, node->map);
        break;
    case OP_reduce:
        strbuf_printf(out, " %s", reduce_names[node->reduce]);
        print_nodes(out, node->n_args, node->args);
        strbuf_puts(out, " axes");
        for (int d = 0, first = 1; d < TYPE_MAX_RANK; d++) {
            if (!(node->axes >> d & 1)) continue;
            strbuf_printf(out, first ? " %d" : ", %d", d);
            first = 0;
        }
        break;
    case OP_call:
        strbuf_printf(out, " %d result %lld", function_number(functions, node->function), (long long)node->imm.i);
        print_nodes(out, node->n_args, node->args);
        if (node->n_whole > 0) strbuf_puts(out, " whole");
        print_nodes(out, node->n_whole, node->whole);
        break;
    default: print_nodes(out, node->n_args, node->args);
    }
    strbuf_puts(out, " : ");
    print_shape(out, node->type, node->rank, node->shape);
}

static void print_check(struct strbuf *out, const struct plan_check *check) {
    strbuf_printf(out, "check %d %s ", (int)check->code, print_check_kinds[check->kind]);
    size_print(check->a, out);
    strbuf_puts(out, ", ");
    size_print(check->b, out);
    strbuf_putc(out, ' ');
    print_string(out, check->text);
    for (int i = 0; i < check->n_sizes; i++) {
        strbuf_puts(out, ", ");
        size_print(check->sizes[i], out);
    }
}

void print_sink(struct strbuf *out, const struct graph_sink *sink) {
    switch (sink->kind) {
    case SINK_SLOT: strbuf_printf(out, "slot %d = %%%d", sink->slot, sink->nodes[0]->id); break;
    case SINK_CHECK: print_check(out, sink->check); break;
    case SINK_PRINT:
        strbuf_puts(out, "print");
        for (int i = 0, n = 0; i < sink->n_items; i++) {
            strbuf_puts(out, i ? ", " : " ");
            if (sink->texts[i])
                print_string(out, sink->texts[i]);
            else
                strbuf_printf(out, "%%%d", sink->nodes[n++]->id);
        }
        break;
    case SINK_SAVE:
        strbuf_puts(out, "save ");
        print_string(out, sink->text);
        strbuf_printf(out, ", %%%d", sink->nodes[0]->id);
        break;
    case SINK_ASSERT:
        strbuf_printf(out, "assert %%%d, ", sink->nodes[0]->id);
        print_string(out, sink->text ? sink->text : "");
        break;
    case SINK_LOAD:
        strbuf_printf(out, "load %d, ", sink->slot);
        print_string(out, sink->text);
        break;
    }
}

void print_graph_at(struct strbuf *out, int indent, const struct graph *graph) {
    struct functions functions = {.arena = out->arena};
    print_indent(out, indent);
    strbuf_puts(out, "graph {\n");
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct ir_function *function = graph->nodes[i]->function;
        if (!function || function_number(&functions, function) >= 0) continue;
        print_function(out, indent + 2, functions.count, function);
        ARENA_PUSH(functions.arena, functions.items, functions.count, functions.capacity) = function;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        print_indent(out, indent + 2);
        print_node(out, graph->nodes[i], &functions);
        strbuf_putc(out, '\n');
    }
    for (int i = 0; i < graph->n_sinks; i++) {
        print_indent(out, indent + 2);
        print_sink(out, graph->sinks[i]);
        strbuf_putc(out, '\n');
    }
    print_indent(out, indent);
    strbuf_puts(out, "}\n");
}

void graph_print(const struct graph *graph, struct strbuf *out) {
    print_graph_at(out, 0, graph);
}
