/* parse_plan.c: reads plans, the form in ir/print_plan.c. */
#include <string.h>

#include "ir/parse_internal.h"
#include "ir/print_internal.h"

enum {
    PARSE_MAX_SLOTS = 1000000,
    PARSE_MAX_LITERAL = 1000000 /* elements */
};

struct plan_parse {
    struct parser parser; /* first: the worker gets a pointer to it */
    struct plan *plan;
};

/* Capacities of the lists of outputs. */
struct growth {
    int outputs, names;
};

static void parse_slot(struct parser *parser, struct plan *plan) {
    const char *name = NULL;
    if (parse_index(parser, PARSE_MAX_SLOTS) != plan->n_slots) parse_error(parser, "expected slot %d", plan->n_slots);
    if (parser->token.kind == TOKEN_STRING) name = parse_string(parser);
    enum dtype type = parse_type(parser);
    parse_expect(parser, "rank");
    int slot = plan_add_slot(plan, name, type, parse_index(parser, TYPE_MAX_RANK));
    if (!parse_accept(parser, "input")) return;
    plan->slots[slot].input = parse_index(parser, PARSE_MAX_SLOTS);
    if (plan->slots[slot].input >= plan->n_inputs) plan->n_inputs = plan->slots[slot].input + 1;
}

static void store_element(enum dtype type, char *to, uint64_t bits) {
    union {
        uint64_t u;
        double f;
    } imm = {.u = bits};
    float single = (float)imm.f;
    if (type == TY_F32)
        memcpy(to, &single, sizeof single);
    else
        memcpy(to, &imm, (size_t)dtype_size(type)); /* little-endian: the low bytes come first */
}

static void parse_literal(struct parser *parser, struct plan *plan) {
    int64_t shape[TYPE_MAX_RANK], count = 1;
    int rank = 0;
    if (parse_index(parser, PARSE_MAX_SLOTS) != plan->n_literals)
        parse_error(parser, "expected literal %d", plan->n_literals);
    enum dtype type = parse_type(parser);
    if (type == TY_F16) parse_error(parser, "no literal can be f16");
    if (parse_accept(parser, "[")) {
        do {
            if (rank == TYPE_MAX_RANK) parse_error(parser, "too many dimensions");
            shape[rank] = parse_int(parser, 0, PARSE_MAX_LITERAL);
            count *= shape[rank++];
            if (count > PARSE_MAX_LITERAL) parse_error(parser, "the literal is too large");
        } while (parse_accept(parser, ","));
        parse_expect(parser, "]");
    }
    int size = dtype_size(type);
    char *data = arena_array(parser->arena, (size_t)count, (size_t)size);
    for (int64_t i = 0; i < count; i++) {
        if (i > 0) parse_expect(parser, ",");
        store_element(type, data + i * size, parse_const(parser, type));
    }
    plan_add_literal(plan, type, rank, shape, data);
}

static void parse_output(struct parser *parser, struct plan *plan, struct growth *growth) {
    int names = plan->n_outputs, slot = parse_index(parser, PARSE_MAX_SLOTS);
    const char *name = parser->token.kind == TOKEN_STRING ? parse_string(parser) : NULL;
    ARENA_PUSH(parser->arena, plan->output_names, names, growth->names) = name;
    ARENA_PUSH(parser->arena, plan->output_slots, plan->n_outputs, growth->outputs) = slot;
}

static void parse_block(struct parser *parser, struct plan *plan, struct plan_block *block);

static void parse_step(struct parser *parser, struct plan *plan, struct plan_block *block) {
    static const char *const words[] = {"graph", "if",   "loop", "scope",
                                        "leave", "copy", NULL}; /* in order of step_kind */
    enum step_kind kind = (enum step_kind)parse_choice(parser, words, "a step");
    struct plan_step *step = plan_add_step(plan, block, kind, (struct span){0, 0});
    switch (kind) {
    case STEP_GRAPH: step->graph = parse_graph_body(parser); break;
    case STEP_IF:
        step->condition = parse_index(parser, PARSE_MAX_SLOTS);
        parse_block(parser, plan, &step->block);
        if (parse_accept(parser, "else")) parse_block(parser, plan, &step->other);
        break;
    case STEP_LOOP: parse_block(parser, plan, &step->block); break;
    case STEP_SCOPE:
        step->scope = parse_index(parser, PARSE_MAX_SLOTS);
        if (step->scope >= plan->n_scopes) plan->n_scopes = step->scope + 1;
        parse_block(parser, plan, &step->block);
        break;
    case STEP_LEAVE: step->scope = parse_index(parser, PARSE_MAX_SLOTS); break;
    case STEP_COPY:
        step->slot = parse_index(parser, PARSE_MAX_SLOTS);
        parse_expect(parser, "=");
        step->source = parse_index(parser, PARSE_MAX_SLOTS);
        break;
    }
}

static void parse_block(struct parser *parser, struct plan *plan, struct plan_block *block) {
    parse_enter(parser);
    parse_expect(parser, "{");
    while (!parse_accept(parser, "}")) parse_step(parser, plan, block);
    parse_leave(parser);
}

static void parse_plan_text(struct parser *parser) {
    struct plan *plan = plan_new(parser->arena);
    struct growth growth = {0};
    parser->sizes = &plan->sizes;
    parse_expect(parser, "plan");
    plan->fp = (enum fp_mode)parse_choice(parser, print_fp_modes, "`contract`, `strict` or `fast`");
    parse_expect(parser, "ulp");
    plan->ulp = (int)parse_int(parser, 1, 4);
    plan->has_effects = parse_accept(parser, "effects");
    parse_expect(parser, "{");
    while (parse_accept(parser, "slot")) parse_slot(parser, plan);
    while (parse_accept(parser, "literal")) parse_literal(parser, plan);
    while (parse_accept(parser, "output")) parse_output(parser, plan, &growth);
    if (plan->n_inputs > plan->n_slots) parse_error(parser, "an input has no slot");
    plan->input_slots = ARENA_ARRAY(parser->arena, int, plan->n_inputs);
    for (int i = 0; i < plan->n_inputs; i++) plan->input_slots[i] = -1;
    for (int i = 0; i < plan->n_slots; i++)
        if (plan->slots[i].input >= 0) plan->input_slots[plan->slots[i].input] = i;
    for (int i = 0; i < plan->n_inputs; i++)
        if (plan->input_slots[i] < 0) parse_error(parser, "input %d has no slot", i);
    parse_expect(parser, "body");
    parse_block(parser, plan, &plan->body);
    parse_expect(parser, "}");
    parse_end(parser);
    ((struct plan_parse *)parser)->plan = plan;
}

struct plan *parse_plan(struct arena *arena, const char *text, struct strbuf *why) {
    struct plan_parse parse;
    return parse_run(&parse.parser, arena, text, why, parse_plan_text) ? parse.plan : NULL;
}
