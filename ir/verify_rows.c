/* verify_rows.c: what rows must keep to (struct plan_rows), of which rows.h has the part about single launches. */
#include "ir/rows.h"
#include "ir/verify_internal.h"

/* How often each slot is touched: by everything in the plan, and by the rows at hand. */
struct touches {
    int n_slots;
    int *plan, *rows;
};

static void touch(struct touches *touches, int *counts, int slot, int by) {
    if (slot >= 0 && slot < touches->n_slots) counts[slot] += by;
}

static void touch_action(struct touches *touches, int *counts, const struct plan_action *action, int by) {
    switch (action->kind) {
    case ACTION_KERNEL:
        for (int i = 0; i < action->launch->kernel->n_operands; i++)
            touch(touches, counts, action->launch->operands[i].slot, by);
        break;
    case ACTION_SHARE:
        touch(touches, counts, action->slot, by);
        touch(touches, counts, action->source, by);
        break;
    case ACTION_EFFECT:
        for (int i = 0; i < action->sink->n_nodes; i++) touch(touches, counts, action->effect_slots[i], by);
        if (action->sink->kind == SINK_LOAD) touch(touches, counts, action->sink->slot, by);
        break;
    case ACTION_FREE: touch(touches, counts, action->slot, by); break;
    case ACTION_SIZES:
    case ACTION_CHECK:
    case ACTION_ROWS: break;
    }
}

static void touch_block(struct touches *touches, const struct plan_block *block) {
    for (int i = 0; i < block->n_steps; i++) {
        const struct plan_step *step = block->steps[i];
        for (int k = 0; k < step->n_actions; k++) touch_action(touches, touches->plan, step->actions[k], 1);
        if (step->kind == STEP_IF) touch(touches, touches->plan, step->condition, 1);
        if (step->kind == STEP_COPY) {
            touch(touches, touches->plan, step->slot, 1);
            touch(touches, touches->plan, step->source, 1);
        }
        touch_block(touches, &step->block);
        touch_block(touches, &step->other);
    }
}

/* --- one run of rows ---------------------------------------------------------------------------------------------- */

struct rows_check {
    const struct plan *plan;
    const struct plan_rows *rows;
    struct strbuf *why;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct rows_check *check, const char *format, ...) {
    va_list args;
    strbuf_printf(check->why, "rows %d: ", check->rows->index);
    va_start(args, format);
    strbuf_vprintf(check->why, format, args);
    va_end(args);
    return false;
}

/* The launches are the kernels among the actions that follow, and there is nothing else but frees. */
static bool check_actions(struct rows_check *check, const struct plan_step *step, int at) {
    const struct plan_rows *rows = check->rows;
    int count = step->actions[at]->count, kernels = 0;
    if (count < 0 || count > step->n_actions - at - 1) return fail(check, "%d actions are more than follow", count);
    for (int i = at + 1; i <= at + count; i++) {
        const struct plan_action *action = step->actions[i];
        if (action->kind == ACTION_FREE) continue;
        if (action->kind != ACTION_KERNEL) return fail(check, "action %d is no kernel and frees nothing", i);
        if (kernels == rows->n_launches || rows->launches[kernels] != action->launch)
            return fail(check, "action %d runs another kernel", i);
        kernels++;
    }
    return kernels == rows->n_launches || fail(check, "has %d kernels of %d", kernels, rows->n_launches);
}

static bool writes(const struct plan_launch *launch, int slot) {
    for (int i = 0; i < launch->kernel->n_operands; i++)
        if (launch->kernel->operands[i].kind == OPERAND_WRITE && launch->operands[i].slot == slot) return true;
    return false;
}

static bool touches_slot(const struct plan_launch *launch, int slot) {
    for (int i = 0; i < launch->kernel->n_operands; i++)
        if (launch->operands[i].slot == slot) return true;
    return false;
}

/* What a launch has to do with those before it. */
static bool check_member(struct rows_check *check, int number, bool *shares) {
    const struct plan_rows *rows = check->rows;
    const struct plan_launch *launch = rows->launches[number];
    const struct ir_kernel *kernel = launch->kernel;
    const struct size *const *sizes = rows->launches[0]->extents;
    const char *wrong = rows_wrong_kernel(kernel);
    if (!wrong) wrong = rows_wrong_launch(launch, rows->outer, sizes);
    if (wrong) return fail(check, "%s %s", kernel->name, wrong);
    for (int i = 0; i < kernel->n_operands; i++) {
        int slot = launch->operands[i].slot;
        if (slot < 0) continue;
        for (int k = 0; k < number; k++) {
            if (!touches_slot(rows->launches[k], slot)) continue;
            *shares = true;
            if (kernel->operands[i].kind == OPERAND_WRITE)
                return fail(check, "%s writes slot %d that %s touches", kernel->name, slot,
                            rows->launches[k]->kernel->name);
            if (!writes(rows->launches[k], slot)) continue;
            wrong = rows_wrong_read(launch, i, rows->outer, sizes);
            if (wrong) return fail(check, "%s %s: slot %d", kernel->name, wrong, slot);
        }
    }
    return true;
}

static bool check_scratch(struct rows_check *check, const struct touches *touches) {
    const struct plan *plan = check->plan;
    const struct plan_rows *rows = check->rows;
    for (int i = 0; i < rows->n_scratch; i++) {
        int slot = rows->scratch[i];
        if (slot < 0 || slot >= plan->n_slots) return fail(check, "scratch %d is no slot", slot);
        if (plan->slots[slot].input >= 0) return fail(check, "scratch %d is an input", slot);
        for (int k = 0; k < plan->n_outputs; k++)
            if (plan->output_slots[k] == slot) return fail(check, "scratch %d is an output", slot);
        if (touches->rows[slot] != touches->plan[slot]) return fail(check, "scratch %d is used elsewhere", slot);
        int first = 0;
        while (first < rows->n_launches && !touches_slot(rows->launches[first], slot)) first++;
        if (first == rows->n_launches || !writes(rows->launches[first], slot))
            return fail(check, "scratch %d is written by none", slot);
        for (int k = 0; k < i; k++)
            if (rows->scratch[k] == slot) return fail(check, "scratch %d is there twice", slot);
    }
    return true;
}

static bool check_rows(struct rows_check *check, struct touches *touches, const struct plan_step *step, int at) {
    const struct plan_rows *rows = check->rows;
    if (rows->index < 0 || rows->index >= check->plan->n_rows || check->plan->rows[rows->index] != rows)
        return fail(check, "has another number");
    if (rows->n_launches < 2 || rows->n_launches > PLAN_MAX_ROWS)
        return fail(check, "has %d launches", rows->n_launches);
    if (rows->outer < 1 || rows->outer > TYPE_MAX_RANK) return fail(check, "has %d outer dimensions", rows->outer);
    if (!check_actions(check, step, at)) return false;
    bool reduces = false, shares = false, several = false;
    for (int i = 0; i < rows->n_launches; i++) {
        if (!check_member(check, i, &shares)) return false;
        reduces |= rows->launches[i]->kernel->kind == KERNEL_LANES;
    }
    if (!reduces) return fail(check, "reduces nothing");
    if (!shares) return fail(check, "has kernels that share nothing");
    for (int d = 0; d < rows->outer; d++) several |= !size_is_const(rows->launches[0]->extents[d], 1);
    if (!several) return fail(check, "is a single row");
    int count = step->actions[at]->count;
    for (int i = at + 1; i <= at + count; i++) touch_action(touches, touches->rows, step->actions[i], 1);
    bool ok = check_scratch(check, touches);
    for (int i = at + 1; i <= at + count; i++) touch_action(touches, touches->rows, step->actions[i], -1);
    return ok;
}

/* --- all of a plan ------------------------------------------------------------------------------------------------ */

static bool check_block(const struct plan *plan, struct touches *touches, const struct plan_block *block, int *seen,
                        struct strbuf *why) {
    for (int i = 0; i < block->n_steps; i++) {
        const struct plan_step *step = block->steps[i];
        for (int k = 0; k < step->n_actions; k++) {
            if (step->actions[k]->kind != ACTION_ROWS) continue;
            struct rows_check check = {plan, step->actions[k]->rows, why};
            if (!check_rows(&check, touches, step, k)) return false;
            ++*seen;
        }
        if (!check_block(plan, touches, &step->block, seen, why)) return false;
        if (!check_block(plan, touches, &step->other, seen, why)) return false;
    }
    return true;
}

bool verify_rows(const struct plan *plan, struct strbuf *why) {
    if (plan->n_rows == 0) return true;
    struct touches touches = {plan->n_slots, ARENA_ARRAY(why->arena, int, plan->n_slots),
                              ARENA_ARRAY(why->arena, int, plan->n_slots)};
    touch_block(&touches, &plan->body);
    int seen = 0;
    if (!check_block(plan, &touches, &plan->body, &seen, why)) return false;
    if (seen == plan->n_rows) return true;
    strbuf_printf(why, "plan: %d of %d rows are in its actions", seen, plan->n_rows);
    return false;
}
