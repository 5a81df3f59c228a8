/* places.c: which scalars a run on a GPU keeps on the host. Loop counters and conditions on them would otherwise be
 * copied back, and waited for, at every turn. Decided once a plan, so that every turn of a loop meets the same
 * variants. */
#include "runtime/runtime.h"

struct places {
    struct plan_entry *entry;
    bool changed;
};

static void leave_host(struct places *places, int slot) {
    if (places->entry->on_host[slot]) places->changed = true;
    places->entry->on_host[slot] = false;
}

/* Slot `slot` becomes the array of `source`. */
static void follow(struct places *places, int slot, int source) {
    const struct plan_entry *entry = places->entry;
    if (entry->plan->slots[slot].rank > 0 || (source >= 0 && !entry->on_host[source])) leave_host(places, slot);
}

static bool is_scalar_kernel(const struct plan_entry *entry, const struct plan_launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    if (kernel->n_par + kernel->n_red > 0) return false;
    for (int k = 0; k < kernel->n_operands; k++) {
        int slot = launch->operands[k].slot;
        if (kernel->operands[k].kind == OPERAND_WHOLE) return false;
        if (kernel->operands[k].kind == OPERAND_READ && slot >= 0 && !entry->on_host[slot]) return false;
    }
    return true;
}

static void walk_launch(struct places *places, const struct plan_launch *launch) {
    struct launch_state *state = &places->entry->launches[launch->index];
    state->on_host = is_scalar_kernel(places->entry, launch);
    for (int k = 0; k < launch->kernel->n_operands && !state->on_host; k++)
        if (launch->kernel->operands[k].kind == OPERAND_WRITE) leave_host(places, launch->operands[k].slot);
}

static void walk_block(struct places *places, const struct plan_block *block) {
    for (int i = 0; i < block->n_steps; i++) {
        const struct plan_step *step = block->steps[i];
        if (step->kind == STEP_COPY) follow(places, step->slot, step->source);
        for (int k = 0; k < step->n_actions; k++) {
            const struct plan_action *action = step->actions[k];
            if (action->kind == ACTION_KERNEL) walk_launch(places, action->launch);
            if (action->kind == ACTION_SHARE) follow(places, action->slot, action->source);
            if (action->kind == ACTION_EFFECT && action->sink->kind == SINK_LOAD &&
                places->entry->plan->slots[action->sink->slot].rank > 0)
                leave_host(places, action->sink->slot);
        }
        walk_block(places, &step->block);
        walk_block(places, &step->other);
    }
}

void places_find(struct plan_entry *entry) {
    const struct plan *plan = entry->plan;
    entry->on_host = ARENA_ARRAY(&entry->arena, bool, plan->n_slots + 1);
    for (int i = 0; i < plan->n_slots; i++) entry->on_host[i] = plan->slots[i].rank == 0 || plan->slots[i].input >= 0;
    struct places places = {.entry = entry, .changed = true};
    while (places.changed) { /* slots only ever leave */
        places.changed = false;
        walk_block(&places, &plan->body);
    }
}
