/* fuse.c: the driver of fusion. For every straight-line stretch: choose groups, give stored nodes slots, build the
 * kernels, and order everything into actions.
 *
 * Order. Effects (print, save, assert, load) cut a stretch into epochs. Within an epoch: sizes, then checks in program
 * order, then kernels by stage (but those that go row by row together, see fuse_rows.c), then the effect. So a check
 * fails before any kernel that relies on it, and nothing after a failed assert is computed. Arrays that a stretch
 * assigns to slots it also reads are moved there at its end.
 */
#include <stdlib.h>
#include <string.h>

#include "ir/fuse_internal.h"

enum { DEFAULT_KERNEL_VALUES = 20000 };

/* --- actions ------------------------------------------------------------------------------------------------------ */

static struct plan_action *add_action(struct plan *plan, struct plan_step *step, enum action_kind kind) {
    struct plan_action *action = ARENA_NEW(plan->arena, struct plan_action);
    action->kind = kind;
    ARENA_PUSH(plan->arena, step->actions, step->n_actions, step->actions_capacity) = action;
    return action;
}

/* --- sizes -------------------------------------------------------------------------------------------------------- */

/* The sizes that something needs, by id, as marks; turned into runs of ids. */
struct size_set {
    unsigned char *needed;
    int count;
};

static void need_size(struct size_set *set, const struct size *size) {
    /* Operands have smaller ids: marks are spread downwards in one sweep by spread_sizes. */
    if (size->op != SIZE_CONST) set->needed[size->id] = 1;
}

static void need_map(struct size_set *set, const struct view_map *map) {
    for (int d = 0; d < map->source_rank; d++) {
        need_size(set, map->axis[d].offset);
        for (int t = 0; t < map->axis[d].n_terms; t++) need_size(set, map->axis[d].terms[t].coef);
    }
}

static void need_launch(struct size_set *set, const struct plan_launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    for (int i = 0; i < kernel->n_par + kernel->n_red; i++) need_size(set, launch->extents[i]);
    for (int i = 0; i < kernel->n_sizes; i++) need_size(set, launch->sizes[i]);
    for (int i = 0; i < kernel->n_operands; i++) {
        const struct launch_operand *operand = &launch->operands[i];
        if (kernel->operands[i].kind == OPERAND_WRITE) continue;
        need_map(set, &operand->map);
        for (int d = 0; d < operand->whole_rank; d++) need_size(set, operand->whole_size[d]);
    }
}

static void add_size_actions(struct fuse *fuse, struct plan_step *step, struct size_set *set) {
    struct size_table *table = &fuse->plan->sizes;
    for (int id = set->count - 1; id >= 0; id--) {
        if (!set->needed[id]) continue;
        const struct size *size = table->items[id];
        if (size->a) set->needed[size->a->id] = 1;
        if (size->b) set->needed[size->b->id] = 1;
    }
    for (int id = 0; id < set->count;) {
        if (!set->needed[id]) {
            id++;
            continue;
        }
        int first = id;
        while (id < set->count && set->needed[id]) set->needed[id++] = 0; /* the marks are used again */
        struct plan_action *action = add_action(fuse->plan, step, ACTION_SIZES);
        action->first = first, action->count = id - first;
    }
}

/* --- slots -------------------------------------------------------------------------------------------------------- */

/* Stored nodes get slots: the variable's own where nothing reads its old value, else a temporary. */
static void give_slots(struct fuse *fuse) {
    struct graph *graph = fuse->graph;
    unsigned char *read = ARENA_ARRAY(fuse->arena, unsigned char, fuse->plan->n_slots + 1); /* by slot */
    for (int i = 0; i < graph->n_nodes; i++)
        if (fuse->nodes[i].live && graph->nodes[i]->op == OP_input) read[graph->nodes[i]->imm.i] = 1;
    for (int i = 0; i < graph->n_sinks; i++) {
        struct graph_sink *sink = graph->sinks[i];
        if (sink->kind != SINK_SLOT) continue;
        struct fuse_node *info = &fuse->nodes[sink->nodes[0]->id];
        if (info->has_slot || !info->stored || read[sink->slot]) continue;
        info->has_slot = true, info->slot = sink->slot;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        struct fuse_node *info = &fuse->nodes[i];
        if (!info->live || !info->stored || info->has_slot) continue;
        info->has_slot = true;
        info->slot = plan_add_slot(fuse->plan, NULL, graph->nodes[i]->type, graph->nodes[i]->rank);
    }
}

/* --- one stretch -------------------------------------------------------------------------------------------------- */

static int compare_groups(const void *pa, const void *pb) {
    const struct fuse_group *a = *(struct fuse_group *const *)pa, *b = *(struct fuse_group *const *)pb;
    if (a->epoch != b->epoch) return a->epoch < b->epoch ? -1 : 1;
    if (a->stage != b->stage) return a->stage < b->stage ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

static void add_share(struct fuse *fuse, struct plan_step *step, int slot, int source) {
    struct plan_action *action = add_action(fuse->plan, step, ACTION_SHARE);
    action->slot = slot, action->source = source;
}

static void add_reshape(struct fuse *fuse, struct plan_step *step, const struct graph_node *node) {
    struct plan_action *action = add_action(fuse->plan, step, ACTION_SHARE);
    action->slot = fuse->nodes[node->id].slot;
    action->source = fuse->nodes[node->args[0]->id].slot;
    action->rank = node->rank;
    for (int d = 0; d < node->rank; d++) action->shape[d] = node->shape[d];
}

/* How far the epochs have come: groups and sinks are in the order of their epochs. */
struct progress {
    int group, sink;
    struct size_set set;
    struct fuse_chains *chains;
};

static void add_epoch(struct fuse *fuse, struct plan_step *step, int epoch, struct progress *progress) {
    struct graph *graph = fuse->graph;
    struct size_set *set = &progress->set;
    int first = progress->group, end = first, first_sink = progress->sink, end_sink = first_sink;
    while (end < fuse->n_groups && fuse->groups[end]->epoch == epoch) end++;
    while (end_sink < graph->n_sinks && fuse->sink_epoch[end_sink] == epoch) end_sink++;
    progress->group = end, progress->sink = end_sink;

    for (int i = first_sink; i < end_sink; i++) {
        struct graph_sink *sink = graph->sinks[i];
        if (sink->kind != SINK_CHECK) continue;
        need_size(set, sink->check->a);
        need_size(set, sink->check->b);
        for (int k = 0; k < sink->check->n_sizes; k++) need_size(set, sink->check->sizes[k]);
    }
    for (int i = first; i < end; i++) {
        struct fuse_group *group = fuse->groups[i];
        if (group->kind != FUSE_SHARE)
            need_launch(set, group->launch);
        else
            for (int d = 0; d < group->roots[0]->rank; d++) need_size(set, group->roots[0]->shape[d]);
    }
    add_size_actions(fuse, step, set);

    for (int i = first_sink; i < end_sink; i++)
        if (graph->sinks[i]->kind == SINK_CHECK) add_action(fuse->plan, step, ACTION_CHECK)->sink = graph->sinks[i];
    fuse_rows(progress->chains, &fuse->groups[first], end - first);
    for (int i = first; i < end; i++) {
        struct fuse_group *group = fuse->groups[i];
        if (group->rows) {
            struct plan_action *action = add_action(fuse->plan, step, ACTION_ROWS);
            action->rows = group->rows;
            action->count = group->rows->n_launches; /* add_frees adds its own */
        }
        if (group->kind == FUSE_SHARE)
            add_reshape(fuse, step, group->roots[0]);
        else
            add_action(fuse->plan, step, ACTION_KERNEL)->launch = group->launch;
    }
    for (int i = first_sink; i < end_sink; i++) {
        struct graph_sink *sink = graph->sinks[i];
        if (sink->kind == SINK_CHECK || sink->kind == SINK_SLOT) continue;
        struct plan_action *action = add_action(fuse->plan, step, ACTION_EFFECT);
        action->sink = sink;
        action->effect_slots = ARENA_ARRAY(fuse->plan->arena, int, sink->n_nodes + 1);
        for (int k = 0; k < sink->n_nodes; k++) action->effect_slots[k] = fuse->nodes[sink->nodes[k]->id].slot;
    }
}

/* Variables whose value was computed elsewhere, or whose old value was still read. If one such move reads a slot that
 * another overwrites (a, b = b, a), all go through temporaries. */
static void add_moves(struct fuse *fuse, struct plan_step *step) {
    struct graph *graph = fuse->graph;
    bool tangled = false;
    for (int i = 0; i < graph->n_sinks; i++) {
        struct graph_sink *a = graph->sinks[i];
        if (a->kind != SINK_SLOT || fuse->nodes[a->nodes[0]->id].slot == a->slot) continue;
        for (int k = 0; k < graph->n_sinks && !tangled; k++) {
            struct graph_sink *b = graph->sinks[k];
            if (b->kind == SINK_SLOT && k != i && fuse->nodes[b->nodes[0]->id].slot == a->slot) tangled = true;
        }
    }
    int *temporaries = ARENA_ARRAY(fuse->arena, int, graph->n_sinks + 1);
    for (int pass = tangled ? 0 : 1; pass < 2; pass++)
        for (int i = 0; i < graph->n_sinks; i++) {
            struct graph_sink *sink = graph->sinks[i];
            if (sink->kind != SINK_SLOT) continue;
            struct graph_node *node = sink->nodes[0];
            int source = fuse->nodes[node->id].slot;
            if (source == sink->slot) continue;
            if (pass == 0) {
                temporaries[i] = plan_add_slot(fuse->plan, NULL, node->type, node->rank);
                add_share(fuse, step, temporaries[i], source);
            } else {
                add_share(fuse, step, sink->slot, tangled ? temporaries[i] : source);
            }
        }
}

/* Slots that an action reads or writes. */
static void touched_slots(const struct plan_action *action, void (*touch)(void *host, int slot), void *host) {
    switch (action->kind) {
    case ACTION_KERNEL:
        for (int i = 0; i < action->launch->kernel->n_operands; i++) touch(host, action->launch->operands[i].slot);
        break;
    case ACTION_SHARE:
        touch(host, action->slot);
        touch(host, action->source);
        break;
    case ACTION_EFFECT:
        for (int i = 0; i < action->sink->n_nodes; i++) touch(host, action->effect_slots[i]);
        break;
    default: break;
    }
}

struct last_use {
    int first_temporary, count;
    int *first, *last; /* by slot - first_temporary: number of the first and last action that touches it, or -1 and 0 */
    int action;
};

static void note_use(void *host, int slot) {
    struct last_use *use = host;
    if (slot < use->first_temporary) return;
    int temporary = slot - use->first_temporary;
    if (use->first[temporary] < 0) use->first[temporary] = use->action;
    use->last[temporary] = use->action;
}

/* Temporaries go as soon as nothing needs them: large ones come back from the pool still in cache. Those that begin and
 * end in one run of rows are its scratch. */
static void add_frees(struct fuse *fuse, struct plan_step *step, int first_temporary) {
    struct arena *arena = fuse->plan->arena;
    struct last_use use = {.first_temporary = first_temporary, .count = fuse->plan->n_slots - first_temporary};
    if (use.count == 0) return;
    use.first = ARENA_ARRAY(fuse->arena, int, use.count), use.last = ARENA_ARRAY(fuse->arena, int, use.count);
    for (int t = 0; t < use.count; t++) use.first[t] = -1;
    int n = step->n_actions;
    struct plan_action **old = step->actions;
    for (int i = 0; i < n; i++) {
        use.action = i;
        touched_slots(old[i], note_use, &use);
    }
    /* Chains of temporaries by their last action. */
    int *head = ARENA_ARRAY(fuse->arena, int, n + 1), *next = ARENA_ARRAY(fuse->arena, int, use.count);
    for (int i = 0; i < n; i++) head[i] = -1;
    for (int t = use.count - 1; t >= 0; t--) next[t] = head[use.last[t]], head[use.last[t]] = t;
    step->actions = NULL;
    step->n_actions = step->actions_capacity = 0;
    struct plan_action *rows = NULL; /* that the action belongs to */
    int rows_at = 0, rows_end = 0, scratch_capacity = 0;
    for (int i = 0; i < n; i++) {
        if (rows && i > rows_end) rows = NULL;
        if (old[i]->kind == ACTION_ROWS)
            rows = old[i], rows_at = i, rows_end = i + rows->rows->n_launches, scratch_capacity = 0;
        ARENA_PUSH(arena, step->actions, step->n_actions, step->actions_capacity) = old[i];
        for (int t = head[i]; t >= 0; t = next[t]) {
            add_action(fuse->plan, step, ACTION_FREE)->slot = first_temporary + t;
            if (!rows) continue;
            rows->count++;
            if (use.first[t] > rows_at)
                ARENA_PUSH(arena, rows->rows->scratch, rows->rows->n_scratch, scratch_capacity) = first_temporary + t;
        }
    }
}

static void fuse_graph(struct plan *plan, struct plan_step *step, const struct fuse_limits *limits,
                       struct fuse_chains **chains) {
    struct fuse fuse = {.arena = plan->arena, .plan = plan, .graph = step->graph};
    fuse.kernel_values = limits && limits->kernel_values ? limits->kernel_values : DEFAULT_KERNEL_VALUES;
    fuse.nodes = ARENA_ARRAY(fuse.arena, struct fuse_node, step->graph->n_nodes + 1);
    fuse.sink_epoch = ARENA_ARRAY(fuse.arena, int, step->graph->n_sinks + 1);
    int first_temporary = plan->n_slots;
    fuse_choose(&fuse);
    give_slots(&fuse);
    if (fuse.n_groups > 1) qsort(fuse.groups, (size_t)fuse.n_groups, sizeof *fuse.groups, compare_groups);
    for (int i = 0; i < fuse.n_groups; i++)
        if (fuse.groups[i]->kind != FUSE_SHARE && fuse.groups[i]->n_roots) fuse_build(&fuse, fuse.groups[i]);
    int kept = 0;
    for (int i = 0; i < fuse.n_groups; i++)
        if (fuse.groups[i]->n_roots) fuse.groups[kept++] = fuse.groups[i];
    fuse.n_groups = kept;
    fuse_chains_begin(chains, &fuse);
    struct progress progress = {
        .set = {ARENA_ARRAY(fuse.arena, unsigned char, plan->sizes.count + 1), plan->sizes.count}, .chains = *chains};
    for (int epoch = 0; epoch < fuse.n_epochs; epoch++) add_epoch(&fuse, step, epoch, &progress);
    add_moves(&fuse, step);
    add_frees(&fuse, step, first_temporary);
}

static void fuse_block(struct plan *plan, struct plan_block *block, const struct fuse_limits *limits,
                       struct fuse_chains **chains) {
    for (int i = 0; i < block->n_steps; i++) {
        struct plan_step *step = block->steps[i];
        if (step->kind == STEP_GRAPH) fuse_graph(plan, step, limits, chains);
        fuse_block(plan, &step->block, limits, chains);
        fuse_block(plan, &step->other, limits, chains);
    }
}

void fuse_plan(struct plan *plan, const struct fuse_limits *limits) {
    struct fuse_chains *chains = NULL;
    fuse_block(plan, &plan->body, limits, &chains);
}
