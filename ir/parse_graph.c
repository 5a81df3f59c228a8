/* parse_graph.c: reads array graphs, the form in ir/print_graph.c. Nodes are taken as they are written: nothing
 * simplifies. */
#include "ir/graph_internal.h"
#include "ir/parse_internal.h"
#include "ir/print_internal.h"

enum { PARSE_MAX_SLOTS = 1000000 };

struct node_list {
    struct graph_node **items;
    int count, capacity;
};

struct graph_parse {
    struct parser parser; /* first: the worker gets a pointer to it */
    struct graph *graph;
};

/* Functions of the graph being read, by number. */
struct function_list {
    struct ir_function **items;
    int count, capacity;
};

static void parse_nodes(struct parser *parser, struct node_list *list) {
    if (parser->token.kind != TOKEN_VALUE) return;
    do {
        struct graph_node *node = parse_value(parser);
        ARENA_PUSH(parser->arena, list->items, list->count, list->capacity) = node;
    } while (parse_accept(parser, ","));
}

static void parse_function(struct parser *parser, struct function_list *list) {
    struct ir_function *function = ARENA_NEW(parser->arena, struct ir_function);
    int capacity = 0;
    parse_new_scope(parser); /* a body numbers its own values */
    if (parse_index(parser, PARSE_MAX_SLOTS) != list->count) parse_error(parser, "expected function %d", list->count);
    function->name = parse_string(parser);
    parse_expect(parser, "{");
    while (parse_accept(parser, "whole")) {
        enum dtype type = parse_type(parser);
        parse_expect(parser, "rank");
        int rank = parse_index(parser, TYPE_MAX_RANK);
        int number = function->n_whole;
        ARENA_PUSH(parser->arena, function->whole, function->n_whole, capacity).type = type;
        function->whole[number].rank = rank;
    }
    parse_expect(parser, "body");
    parse_region(parser, &function->body);
    parse_expect(parser, "}");
    ARENA_PUSH(parser->arena, list->items, list->count, list->capacity) = function;
}

/* "i0*(2)" */
static struct view_term parse_term(struct parser *parser) {
    struct token token = parser->token;
    if (token.kind != TOKEN_WORD || token.length != 2 || token.text[0] != 'i' || token.text[1] < '0' ||
        token.text[1] >= '0' + TYPE_MAX_RANK)
        parse_error(parser, "expected an index such as i0");
    parse_next(parser);
    struct view_term term = {token.text[1] - '0', size_const(parser->sizes, 1)};
    if (!parse_accept(parser, "*")) return term;
    parse_expect(parser, "(");
    term.coef = parse_size(parser);
    parse_expect(parser, ")");
    return term;
}

static struct view_map *parse_map(struct parser *parser) {
    struct view_map *map = ARENA_NEW(parser->arena, struct view_map);
    while (parse_accept(parser, "[")) {
        if (map->source_rank == TYPE_MAX_RANK) parse_error(parser, "too many subscripts");
        struct view_axis *axis = &map->axis[map->source_rank++];
        int capacity = 0;
        axis->offset = parse_size(parser);
        if (parse_accept(parser, ";")) {
            do ARENA_PUSH(parser->arena, axis->terms, axis->n_terms, capacity) = parse_term(parser);
            while (parse_accept(parser, ","));
        }
        parse_expect(parser, "]");
    }
    return map;
}

static void parse_node_type(struct parser *parser, struct graph_node *node) {
    node->type = parse_type(parser);
    if (!parse_accept(parser, "[")) return;
    do {
        if (node->rank == TYPE_MAX_RANK) parse_error(parser, "too many dimensions");
        node->shape[node->rank++] = parse_size(parser);
    } while (parse_accept(parser, ","));
    parse_expect(parser, "]");
}

/* The operands of a node, as far as the operation's name says how to read them. */
static void parse_operands(struct parser *parser, struct graph_node *node, const struct function_list *functions) {
    struct node_list args = {0}, whole = {0};
    switch (node->op) {
    case OP_size: node->imm.size = parse_size(parser); return;
    case OP_index: node->imm.i = parse_index(parser, TYPE_MAX_RANK - 1); return;
    case OP_input:
    case OP_literal: node->imm.i = parse_index(parser, PARSE_MAX_SLOTS); return;
    case OP_reduce:
        node->reduce = reduce_from_name(parse_word(parser));
        if (node->reduce == REDUCE_COUNT_) parse_error(parser, "unknown reduction");
        parse_nodes(parser, &args);
        parse_expect(parser, "axes");
        if (parser->token.kind == TOKEN_NUMBER) {
            do node->axes |= 1u << parse_index(parser, TYPE_MAX_RANK - 1);
            while (parse_accept(parser, ","));
        }
        break;
    case OP_call: {
        int number = parse_index(parser, PARSE_MAX_SLOTS);
        if (number >= functions->count) parse_error(parser, "function %d is not defined", number);
        node->function = functions->items[number];
        parse_expect(parser, "result");
        node->imm.i = parse_index(parser, PARSE_MAX_SLOTS);
        parse_nodes(parser, &args);
        if (parse_accept(parser, "whole")) parse_nodes(parser, &whole);
        break;
    }
    default: parse_nodes(parser, &args);
    }
    if (node->op == OP_view) node->map = parse_map(parser);
    node->n_args = args.count;
    node->args = args.items;
    node->n_whole = whole.count;
    node->whole = whole.items;
}

static bool allowed_in_graphs(enum op op) {
    if (op == OP_COUNT || op_info[op].lower == LOWER_EXPAND) return false;
    return !(op_info[op].flags & OPF_STRUCTURE) || op == OP_const || op == OP_size || op == OP_index ||
           op == OP_input || op == OP_literal || op == OP_view || op == OP_reshape || op == OP_reduce || op == OP_call;
}

static void parse_node(struct parser *parser, struct graph *graph, const struct function_list *functions) {
    struct graph_node node = {0};
    struct token constant = {0};
    int id = parse_value_id(parser);
    parse_expect(parser, "=");
    struct token name_token = parser->token;
    const char *name = parse_word(parser);
    node.op = op_from_ir_name(name);
    if (!allowed_in_graphs(node.op)) {
        parser->token = name_token;
        parse_error(parser, "unknown operation `%s`", name);
    }
    if (node.op == OP_const) { /* its type, which says how to read it, comes behind it */
        constant = parser->token;
        while (!parse_is(parser, ":") && parser->token.kind != TOKEN_END) parse_next(parser);
    } else {
        parse_operands(parser, &node, functions);
    }
    parse_expect(parser, ":");
    parse_node_type(parser, &node);
    if (node.op == OP_const) {
        struct token token = parser->token;
        const char *at = parser->at;
        parser->token = constant;
        parser->at = constant.text + constant.length;
        node.imm.u = parse_const(parser, node.type);
        parse_expect(parser, ":");
        parser->token = token;
        parser->at = at;
    }
    parse_define(parser, id, graph_number(graph, &node));
}

/* --- sinks -------------------------------------------------------------------------------------------------------- */

static void set_node(struct parser *parser, struct graph_sink *sink) {
    sink->n_nodes = 1;
    sink->nodes = ARENA_ARRAY(parser->arena, struct graph_node *, 1);
    sink->nodes[0] = parse_value(parser);
}

static void parse_check(struct parser *parser, struct graph_sink *sink) {
    struct plan_check *check = ARENA_NEW(parser->arena, struct plan_check);
    int capacity = 0;
    sink->check = check;
    check->code = (enum diag_code)parse_index(parser, DIAG_INTERNAL);
    check->kind =
        (enum check_kind)parse_choice(parser, print_check_kinds, "`equal`, `broadcast`, `index` or `at_least`");
    check->a = parse_size(parser);
    parse_expect(parser, ",");
    check->b = parse_size(parser);
    check->text = parse_string(parser);
    while (parse_accept(parser, ","))
        ARENA_PUSH(parser->arena, check->sizes, check->n_sizes, capacity) = parse_size(parser);
}

static void parse_print(struct parser *parser, struct graph_sink *sink) {
    struct node_list nodes = {0};
    int capacity = 0;
    if (parser->token.kind != TOKEN_STRING && parser->token.kind != TOKEN_VALUE) return; /* a bare print */
    do {
        const char *text = NULL;
        if (parser->token.kind == TOKEN_STRING)
            text = parse_string(parser);
        else
            ARENA_PUSH(parser->arena, nodes.items, nodes.count, nodes.capacity) = parse_value(parser);
        ARENA_PUSH(parser->arena, sink->texts, sink->n_items, capacity) = text;
    } while (parse_accept(parser, ","));
    sink->nodes = nodes.items;
    sink->n_nodes = nodes.count;
}

static void parse_sink(struct parser *parser, struct graph *graph) {
    static const char *const words[] = {"slot",   "check", "print", "save",
                                        "assert", "load",  NULL}; /* in order of sink_kind */
    enum sink_kind kind = (enum sink_kind)parse_choice(parser, words, "a value or a sink");
    struct graph_sink *sink = graph_sink(graph, kind, (struct span){0, 0});
    switch (kind) {
    case SINK_SLOT:
        sink->slot = parse_index(parser, PARSE_MAX_SLOTS);
        parse_expect(parser, "=");
        set_node(parser, sink);
        break;
    case SINK_CHECK: parse_check(parser, sink); break;
    case SINK_PRINT: parse_print(parser, sink); break;
    case SINK_SAVE:
        sink->text = parse_string(parser);
        parse_expect(parser, ",");
        set_node(parser, sink);
        break;
    case SINK_ASSERT:
        set_node(parser, sink);
        parse_expect(parser, ",");
        sink->text = parse_string(parser);
        break;
    case SINK_LOAD:
        sink->slot = parse_index(parser, PARSE_MAX_SLOTS);
        parse_expect(parser, ",");
        sink->text = parse_string(parser);
        break;
    }
}

struct graph *parse_graph_body(struct parser *parser) {
    struct graph *graph = graph_new(parser->arena, parser->sizes);
    struct function_list functions = {0};
    parse_expect(parser, "{");
    while (parse_accept(parser, "function")) parse_function(parser, &functions);
    parse_new_scope(parser);
    while (!parse_accept(parser, "}")) {
        if (parser->token.kind == TOKEN_VALUE)
            parse_node(parser, graph, &functions);
        else
            parse_sink(parser, graph);
    }
    return graph;
}

static void parse_graph_text(struct parser *parser) {
    parser->sizes = ARENA_NEW(parser->arena, struct size_table);
    size_table_init(parser->sizes, parser->arena);
    parse_expect(parser, "graph");
    ((struct graph_parse *)parser)->graph = parse_graph_body(parser);
    parse_end(parser);
}

struct graph *parse_graph(struct arena *arena, const char *text, struct strbuf *why) {
    struct graph_parse parse;
    return parse_run(&parse.parser, arena, text, why, parse_graph_text) ? parse.graph : NULL;
}
