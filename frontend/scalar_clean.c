/* scalar_clean.c: what a body does not need is dropped: products that became an fma, values of branches not read later,
 * variables that a loop carries for nothing. Loads stay, because they may fail; loops stay, because they may not end.
 */
#include "frontend/scalar_parts.h"

struct cleaner {
    struct arena *arena;
    bool *live;              /* by id */
    struct ir_value **owner; /* by id: the if or loop whose region holds the value; NULL: the body */
    bool **kept;             /* by id of an if or loop: which results are read */
    int **number;            /* likewise: their new numbers */
    struct ir_value **work;
    int n_work, capacity;
};

static void mark(struct cleaner *c, struct ir_value *v) {
    if (c->live[v->id]) return;
    c->live[v->id] = true;
    ARENA_PUSH(c->arena, c->work, c->n_work, c->capacity) = v;
}

static int result_count(const struct ir_value *v) {
    return v->op == OP_loop ? v->n_args : v->regions[0]->n_results;
}

static void survey(struct cleaner *c, struct ir_region *region, struct ir_value *owner) {
    for (int i = 0; i < region->n_params; i++) c->owner[region->params[i]->id] = owner;
    for (int i = 0; i < region->n_values; i++) {
        struct ir_value *v = region->values[i];
        c->owner[v->id] = owner;
        if (v->op == OP_if || v->op == OP_loop) {
            c->kept[v->id] = ARENA_ARRAY(c->arena, bool, result_count(v));
            survey(c, v->regions[0], v);
            survey(c, v->regions[1], v);
        }
        if (v->op == OP_load || v->op == OP_loop || v->op == OP_store) mark(c, v);
    }
}

/* Result k of an if, or carried value k of a loop, is read. */
static void keep(struct cleaner *c, struct ir_value *control, int k) {
    if (c->kept[control->id][k]) return;
    c->kept[control->id][k] = true;
    mark(c, control);
    mark(c, control->regions[1]->results[k]);
    mark(c, control->op == OP_loop ? control->args[k] : control->regions[0]->results[k]);
}

static void trace(struct cleaner *c, struct ir_value *v) {
    struct ir_value *owner = c->owner[v->id];
    if (owner) mark(c, owner);
    if (v->op == OP_param && owner) {
        keep(c, owner, (int)v->imm.i);
    } else if (v->op == OP_result) {
        keep(c, v->args[0], (int)v->imm.i);
    } else if (v->op == OP_loop) {
        mark(c, v->regions[0]->results[0]);
    } else {
        for (int i = 0; i < v->n_args; i++) mark(c, v->args[i]);
    }
}

/* Keeps the items of a list whose flag is set. */
static int squeeze(struct ir_value **items, int n, const bool *kept) {
    int out = 0;
    for (int i = 0; i < n; i++)
        if (kept[i]) items[out++] = items[i];
    return out;
}

static void squeeze_params(struct ir_region *region, const bool *kept) {
    region->n_params = squeeze(region->params, region->n_params, kept);
    for (int i = 0; i < region->n_params; i++) region->params[i]->imm.i = i;
}

static void sweep(struct cleaner *c, struct ir_region *region) {
    int out = 0;
    for (int i = 0; i < region->n_values; i++) {
        struct ir_value *v = region->values[i];
        if (!c->live[v->id]) continue;
        region->values[out++] = v;
        if (v->op == OP_result) v->imm.i = c->number[v->args[0]->id][v->imm.i];
        if (v->op != OP_if && v->op != OP_loop) continue;
        int n = result_count(v);
        const bool *kept = c->kept[v->id];
        c->number[v->id] = ARENA_ARRAY(c->arena, int, n);
        for (int k = 0, next = 0; k < n; k++) c->number[v->id][k] = kept[k] ? next++ : -1;
        v->regions[1]->n_results = squeeze(v->regions[1]->results, n, kept);
        if (v->op == OP_if) {
            v->regions[0]->n_results = squeeze(v->regions[0]->results, n, kept);
        } else {
            v->n_args = squeeze(v->args, n, kept);
            squeeze_params(v->regions[0], kept);
            squeeze_params(v->regions[1], kept);
        }
        sweep(c, v->regions[0]);
        sweep(c, v->regions[1]);
    }
    region->n_values = out;
}

void scalar_clean(struct arena *arena, struct ir_region *body) {
    size_t n = (size_t)body_number(body);
    struct cleaner c = {.arena = arena};
    c.live = arena_array(arena, n, sizeof *c.live);
    c.owner = arena_array(arena, n, sizeof *c.owner);
    c.kept = arena_array(arena, n, sizeof *c.kept);
    c.number = arena_array(arena, n, sizeof *c.number);
    survey(&c, body, NULL);
    for (int i = 0; i < body->n_results; i++) mark(&c, body->results[i]);
    while (c.n_work > 0) trace(&c, c.work[--c.n_work]);
    sweep(&c, body);
}
