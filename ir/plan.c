/* plan.c: making plans. */
#include "ir/plan.h"

#include <string.h>

struct plan *plan_new(struct arena *arena) {
    struct plan *plan = ARENA_NEW(arena, struct plan);
    plan->arena = arena;
    plan->ulp = 4;
    plan->fp = FP_CONTRACT;
    size_table_init(&plan->sizes, arena);
    return plan;
}

int plan_add_slot(struct plan *plan, const char *name, enum dtype type, int rank) {
    struct plan_slot slot = {name ? arena_strdup(plan->arena, name) : NULL, type, rank, -1};
    ARENA_PUSH(plan->arena, plan->slots, plan->n_slots, plan->slots_capacity) = slot;
    return plan->n_slots - 1;
}

int plan_add_literal(struct plan *plan, enum dtype type, int rank, const int64_t *shape, const void *data) {
    struct plan_literal literal = {.type = type, .rank = rank};
    size_t bytes = (size_t)dtype_size(type);
    for (int d = 0; d < rank; d++) {
        literal.shape[d] = shape[d];
        bytes *= (size_t)shape[d];
    }
    void *copy = arena_alloc(plan->arena, bytes);
    if (bytes > 0) memcpy(copy, data, bytes);
    literal.data = copy;
    ARENA_PUSH(plan->arena, plan->literals, plan->n_literals, plan->literals_capacity) = literal;
    return plan->n_literals - 1;
}

struct plan_step *plan_add_step(struct plan *plan, struct plan_block *block, enum step_kind kind, struct span span) {
    struct plan_step *step = ARENA_NEW(plan->arena, struct plan_step);
    step->kind = kind;
    step->span = span;
    if (kind == STEP_GRAPH) step->graph = graph_new(plan->arena, &plan->sizes);
    ARENA_PUSH(plan->arena, block->steps, block->n_steps, block->capacity) = step;
    return step;
}
