/* parse_body.c: reads bodies and kernels, the form in ir/print.c. */
#include "ir/parse_internal.h"
#include "ir/print_internal.h"

#include <string.h>

enum { PARSE_MAX_OPERANDS = 100000 };

/* A list under construction. */
struct value_list {
    struct ir_value **items;
    int count, capacity;
};

static void parse_values(struct parser *parser, struct value_list *list) {
    if (parser->token.kind != TOKEN_VALUE) return;
    do {
        struct ir_value *value = parse_value(parser);
        ARENA_PUSH(parser->arena, list->items, list->count, list->capacity) = value;
    } while (parse_accept(parser, ","));
}

static struct ir_region *parse_labelled(struct parser *parser, const char *label) {
    struct ir_region *region = ARENA_NEW(parser->arena, struct ir_region);
    parse_expect(parser, label);
    parse_region(parser, region);
    return region;
}

static void parse_store(struct parser *parser, struct ir_region *region) {
    struct value_list args = {0};
    int operand = parse_index(parser, PARSE_MAX_OPERANDS);
    parse_expect(parser, ",");
    parse_values(parser, &args);
    struct ir_value *store =
        body_op(parser->arena, region, OP_store, TY_NONE, args.count, args.items, (struct span){0, 0});
    store->imm.i = operand;
}

/* "name operands : type" behind "%3 =". */
static void parse_assignment(struct parser *parser, struct ir_region *region) {
    static const char *const labels[2][2] = {{"then", "else"}, {"while", "do"}};
    struct value_list args = {0};
    struct token constant = {0};
    int id = parse_value_id(parser), dim = 0;
    int64_t imm = 0;
    parse_expect(parser, "=");
    struct token name_token = parser->token;
    const char *name = parse_word(parser);
    enum op op = op_from_ir_name(name);
    bool known = op != OP_COUNT && op_info[op].lower != LOWER_EXPAND;
    if (known && op_info[op].flags & OPF_STRUCTURE) known = op <= OP_result && op != OP_param;
    if (!known) {
        parser->token = name_token;
        parse_error(parser, "unknown operation `%s`", name);
    }
    switch (op) {
    case OP_const: /* its type, which says how to read it, comes behind it */
        constant = parser->token;
        while (!parse_is(parser, ":") && parser->token.kind != TOKEN_END) parse_next(parser);
        break;
    case OP_size:
    case OP_index:
    case OP_read: imm = parse_index(parser, PARSE_MAX_OPERANDS); break;
    case OP_load:
        imm = parse_index(parser, PARSE_MAX_OPERANDS);
        parse_expect(parser, "[");
        parse_values(parser, &args);
        parse_expect(parser, "]");
        break;
    case OP_len:
        imm = parse_index(parser, PARSE_MAX_OPERANDS);
        parse_expect(parser, ",");
        dim = parse_index(parser, TYPE_MAX_RANK - 1);
        break;
    case OP_result:
        ARENA_PUSH(parser->arena, args.items, args.count, args.capacity) = parse_value(parser);
        parse_expect(parser, ",");
        imm = parse_index(parser, PARSE_MAX_OPERANDS);
        break;
    default: parse_values(parser, &args);
    }
    struct ir_value *value;
    if (op == OP_if || op == OP_loop) {
        /* known to its own regions only after them: a use inside would be of a value not yet made */
        struct ir_region *regions[2];
        parse_expect(parser, "{");
        for (int r = 0; r < 2; r++) regions[r] = parse_labelled(parser, labels[op == OP_loop][r]);
        parse_expect(parser, "}");
        value = body_op(parser->arena, region, op, TY_NONE, args.count, args.items, (struct span){0, 0});
        memcpy(value->regions, regions, sizeof regions);
    } else {
        parse_expect(parser, ":");
        enum dtype type = parse_type(parser);
        value = body_op(parser->arena, region, op, type, args.count, args.items, (struct span){0, 0});
        value->imm.i = imm;
        value->dim = dim;
        if (op == OP_const) {
            struct parser behind = *parser;
            parser->token = constant;
            parser->at = constant.text + constant.length;
            value->imm.u = parse_const(parser, type);
            parse_expect(parser, ":");
            parser->token = behind.token;
            parser->at = behind.at;
        }
    }
    parse_define(parser, id, value);
}

void parse_region(struct parser *parser, struct ir_region *region) {
    int capacity = 0;
    struct value_list results = {0};
    parse_enter(parser);
    if (parse_accept(parser, "(")) {
        do {
            struct ir_value *param = ARENA_NEW(parser->arena, struct ir_value);
            param->op = OP_param;
            param->imm.i = region->n_params;
            int id = parse_value_id(parser);
            parse_expect(parser, ":");
            param->type = parse_type(parser);
            parse_define(parser, id, param);
            ARENA_PUSH(parser->arena, region->params, region->n_params, capacity) = param;
        } while (parse_accept(parser, ","));
        parse_expect(parser, ")");
    }
    parse_expect(parser, "{");
    while (!parse_accept(parser, "yield")) {
        if (parse_accept(parser, "store"))
            parse_store(parser, region);
        else
            parse_assignment(parser, region);
    }
    parse_values(parser, &results);
    body_set_results(parser->arena, region, results.count, results.items);
    parse_expect(parser, "}");
    parse_leave(parser);
}

/* --- kernels ------------------------------------------------------------------------------------------------------ */

struct kernel_parse {
    struct parser parser; /* first: the worker gets a pointer to it */
    struct ir_kernel *kernel;
};

static void parse_operand(struct parser *parser, struct ir_kernel *kernel, int *capacity) {
    struct kernel_operand operand = {0};
    int number = parse_index(parser, PARSE_MAX_OPERANDS);
    if (number != kernel->n_operands) parse_error(parser, "expected operand %d", kernel->n_operands);
    operand.kind = (enum operand_kind)parse_choice(parser, print_operand_kinds, "`read`, `whole` or `write`");
    operand.type = parse_type(parser);
    parse_expect(parser, "rank");
    operand.rank = parse_index(parser, KERNEL_MAX_LOOPS);
    if (parse_accept(parser, "uses")) {
        do operand.uses |= 1u << parse_index(parser, KERNEL_MAX_LOOPS - 1);
        while (parse_accept(parser, ","));
    }
    ARENA_PUSH(parser->arena, kernel->operands, kernel->n_operands, *capacity) = operand;
}

static void parse_reduction(struct parser *parser, struct ir_kernel *kernel, int *capacity) {
    struct kernel_reduction reduction = {.op = reduce_from_name(parse_word(parser))};
    if (reduction.op == REDUCE_COUNT_) parse_error(parser, "unknown reduction");
    reduction.type = parse_type(parser);
    parse_expect(parser, "of");
    reduction.first_arg = parse_index(parser, PARSE_MAX_OPERANDS);
    ARENA_PUSH(parser->arena, kernel->reductions, kernel->n_reductions, *capacity) = reduction;
}

static void parse_kernel_text(struct parser *parser) {
    struct ir_kernel *kernel = ARENA_NEW(parser->arena, struct ir_kernel);
    int operands = 0, reductions = 0;
    parse_expect(parser, "kernel");
    kernel->name = parse_string(parser);
    kernel->kind = (enum kernel_kind)parse_choice(parser, print_kernel_kinds, "`map`, `lanes` or `columns`");
    parse_expect(parser, "par");
    kernel->n_par = parse_index(parser, KERNEL_MAX_LOOPS);
    parse_expect(parser, "red");
    kernel->n_red = parse_index(parser, KERNEL_MAX_LOOPS);
    parse_expect(parser, "sizes");
    kernel->n_sizes = parse_index(parser, PARSE_MAX_OPERANDS);
    if (parse_accept(parser, "width")) kernel->lanes = parse_index(parser, 64);
    kernel->uses_index = parse_accept(parser, "uses_index");
    kernel->diverges = parse_accept(parser, "diverges");
    parse_expect(parser, "{");
    while (parse_accept(parser, "operand")) parse_operand(parser, kernel, &operands);
    parse_expect(parser, "body");
    parse_region(parser, &kernel->body);
    while (parse_accept(parser, "reduce")) parse_reduction(parser, kernel, &reductions);
    if (parse_accept(parser, "epilogue")) parse_region(parser, &kernel->epilogue);
    parse_expect(parser, "}");
    parse_end(parser);
    ((struct kernel_parse *)parser)->kernel = kernel;
}

struct ir_kernel *parse_kernel(struct arena *arena, const char *text, struct strbuf *why) {
    struct kernel_parse parse;
    return parse_run(&parse.parser, arena, text, why, parse_kernel_text) ? parse.kernel : NULL;
}
