/* fuse_choose.c: which nodes are stored, and which kernel computes each.
 *
 * Storing an array costs about 24 bytes of traffic an element (written, its line read, read again); at memory speed
 * that is the time of some ten vector operations or one elementary function. So cheap chains are computed again in
 * every kernel that wants them, dear ones are stored once. */
#include <limits.h>
#include <string.h>

#include "ir/fuse_internal.h"

enum {
    COST_OP = 1,
    COST_DIVIDE = 4,
    COST_CALL = 12,
    COST_UFUNC = 40,
    COST_LIMIT = 10,       /* dearer nodes that several kernels want are stored */
    COST_LIMIT_REPEAT = 3, /* dearer nodes that a broadcast would compute many times are stored */
    COST_MAX = 1 << 20,
    MAX_STORES = 8, /* of one map kernel: more write streams than that defeat the prefetcher */
    MAX_REDUCTIONS = 16,
};

bool fuse_is_elementwise(const struct graph_node *node) {
    switch (node->op) {
    case OP_const:
    case OP_size:
    case OP_index:
    case OP_input:
    case OP_literal:
    case OP_view:
    case OP_reshape:
    case OP_reduce:
    case OP_call: return false;
    default: return true;
    }
}

static int op_cost(const struct graph_node *node) {
    switch (node->op) {
    case OP_const:
    case OP_size:
    case OP_index:
    case OP_input:
    case OP_literal:
    case OP_view:
    case OP_reshape:
    case OP_reduce: return 0;
    case OP_call: return COST_UFUNC;
    case OP_div:
    case OP_floordiv:
    case OP_mod:
    case OP_sqrt: return COST_DIVIDE;
    default: return op_info[node->op].lower == LOWER_CALL ? COST_CALL : COST_OP;
    }
}

/* --- what is live, and when it is first needed ---------------------------------------------------------------------
 */

static bool ends_epoch(enum sink_kind kind) {
    return kind == SINK_PRINT || kind == SINK_SAVE || kind == SINK_ASSERT || kind == SINK_LOAD;
}

static void need(struct fuse *fuse, const struct graph_node *node, int epoch) {
    struct fuse_node *info = &fuse->nodes[node->id];
    info->live = true;
    info->uses++;
    if (epoch < info->epoch) info->epoch = epoch;
}

static void find_live(struct fuse *fuse) {
    struct graph *graph = fuse->graph;
    for (int i = 0; i < graph->n_nodes; i++) fuse->nodes[i].epoch = INT_MAX;
    int epoch = 0;
    for (int i = 0; i < graph->n_sinks; i++) {
        struct graph_sink *sink = graph->sinks[i];
        fuse->sink_epoch[i] = epoch;
        for (int k = 0; k < sink->n_nodes; k++) {
            need(fuse, sink->nodes[k], epoch);
            /* Effects read an input where it lies; a slot holds a copy of it. */
            if (sink->kind == SINK_SLOT || sink->nodes[k]->op != OP_input) fuse->nodes[sink->nodes[k]->id].sunk = true;
        }
        if (ends_epoch(sink->kind)) epoch++;
    }
    fuse->n_epochs = epoch + 1;
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        struct graph_node *node = graph->nodes[i];
        if (!fuse->nodes[i].live) continue;
        for (int k = 0; k < node->n_args; k++) need(fuse, node->args[k], fuse->nodes[i].epoch);
        for (int k = 0; k < node->n_whole; k++) need(fuse, node->whole[k], fuse->nodes[i].epoch);
    }
}

/* --- what is stored -------------------------------------------------------------------------------------------------
 */

static void estimate_costs(struct fuse *fuse) {
    for (int i = 0; i < fuse->graph->n_nodes; i++) {
        struct graph_node *node = fuse->graph->nodes[i];
        int cost = op_cost(node);
        if (node->op != OP_reduce)
            for (int k = 0; k < node->n_args; k++) {
                cost += fuse->nodes[node->args[k]->id].cost;
                if (cost > COST_MAX) cost = COST_MAX;
            }
        fuse->nodes[i].cost = cost;
    }
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    return hash * 0xff51afd7ed558ccdu;
}

/* A key that two nodes share if one kernel could compute both. */
static uint64_t home_of(const struct fuse *fuse, const struct graph_node *node) {
    const struct graph_node *domain = node->op == OP_reduce ? node->args[0] : node;
    uint64_t hash = mix(node->op == OP_reduce, (uint64_t)fuse->nodes[node->id].epoch);
    hash = mix(hash, node->op == OP_reduce ? node->axes : 0);
    for (int d = 0; d < domain->rank; d++) hash = mix(hash, (uint64_t)(uintptr_t)domain->shape[d]);
    return hash | 1;
}

static void inline_into(struct fuse_node *arg, uint64_t home, int homes) {
    if (homes > 1 || (arg->homes == 1 && arg->home != home))
        arg->homes = 2;
    else if (arg->homes == 0)
        arg->homes = 1, arg->home = home;
}

/* True if some dimension of the viewing shape does not move in the source: its elements are read again and again. */
static bool view_repeats(const struct graph_node *view) {
    unsigned moved = 0;
    for (int d = 0; d < view->map->source_rank; d++)
        for (int t = 0; t < view->map->axis[d].n_terms; t++) moved |= 1u << view->map->axis[d].terms[t].dim;
    for (int d = 0; d < view->rank; d++)
        if (!(moved >> d & 1) && !size_is_const(view->shape[d], 1)) return true;
    return false;
}

static bool wants_store(const struct graph_node *node, const struct fuse_node *info) {
    if (node->op == OP_const || node->op == OP_size || node->op == OP_index || node->op == OP_view) return false;
    if (node->op == OP_input || node->op == OP_literal) return false;
    if (node->op == OP_reduce) return false; /* decided with the groups */
    if (node->op == OP_reshape) return !fuse_reshape_is_view(node);
    if (node->rank == 0) return node->op == OP_call || info->cost > 8 * COST_CALL;
    if (info->homes > 1 && info->cost > COST_LIMIT) return true;
    if (info->repeated && info->cost > COST_LIMIT_REPEAT) return true;
    return false;
}

/* Users before operands. Needs costs; sets `stored` for all but reductions and epilogues. */
static void choose_stored(struct fuse *fuse) {
    struct graph *graph = fuse->graph;
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        struct graph_node *node = graph->nodes[i];
        struct fuse_node *info = &fuse->nodes[i];
        if (!info->live) continue;
        if (info->sunk || wants_store(node, info)) info->stored = true;
        bool own = info->stored || node->op == OP_reduce;
        uint64_t home = own ? home_of(fuse, node) : info->home;
        int homes = own ? 1 : info->homes;
        bool repeats = !own && info->repeated;
        if (node->op == OP_view && view_repeats(node)) repeats = true;
        for (int k = 0; k < node->n_args; k++) {
            struct fuse_node *arg = &fuse->nodes[node->args[k]->id];
            inline_into(arg, home, homes);
            if (repeats) arg->repeated = true;
        }
        /* A reshape that is no view needs its source contiguous; whole arrays are subscripted at will. */
        if (node->op == OP_reshape && !fuse_reshape_is_view(node) && node->args[0]->op != OP_literal &&
            !fuse_is_contiguous_input(fuse, node->args[0]))
            fuse->nodes[node->args[0]->id].stored = true;
        for (int k = 0; k < node->n_whole; k++) {
            struct graph_node *whole = node->whole[k];
            while (whole->op == OP_view) whole = whole->args[0];
            if (whole->op != OP_input && whole->op != OP_literal) fuse->nodes[whole->id].stored = true;
        }
    }
}

/* Long expressions are cut where a kernel would grow past the limit. */
static void bound_weights(struct fuse *fuse) {
    for (int i = 0; i < fuse->graph->n_nodes; i++) {
        struct graph_node *node = fuse->graph->nodes[i];
        struct fuse_node *info = &fuse->nodes[i];
        if (!info->live) continue;
        long weight = 1, shared = 0;
        if (node->op == OP_call) weight = 50;
        for (int k = 0; k < node->n_args; k++) {
            const struct fuse_node *arg = &fuse->nodes[node->args[k]->id];
            if (arg->stored || node->args[k]->op == OP_reduce) continue;
            if (arg->uses == 1)
                weight += arg->weight;
            else if (arg->weight > shared)
                shared = arg->weight;
        }
        weight += shared;
        info->weight = weight > INT_MAX / 2 ? INT_MAX / 2 : (int)weight;
        if (info->weight > fuse->kernel_values && fuse_is_elementwise(node)) {
            info->stored = true;
        }
        if (info->stored) info->weight = 1;
    }
}

/* --- groups ----------------------------------------------------------------------------------------------------------
 */

static bool same_shape(int rank, const struct size *const *a, const struct size *const *b) {
    for (int d = 0; d < rank; d++)
        if (a[d] != b[d]) return false;
    return true;
}

static struct fuse_group *new_group(struct fuse *fuse, enum fuse_kind kind, int epoch, int stage) {
    struct fuse_group *group = ARENA_NEW(fuse->arena, struct fuse_group);
    group->kind = kind, group->epoch = epoch, group->stage = stage, group->number = fuse->n_groups;
    ARENA_PUSH(fuse->arena, fuse->groups, fuse->n_groups, fuse->groups_capacity) = group;
    return group;
}

static struct fuse_group *find_group(struct fuse *fuse, enum fuse_kind kind, int epoch, int stage, int rank,
                                     const struct size *const *shape, unsigned axes, enum fuse_lanes lanes,
                                     int weight) {
    /* Newest first; groups of one stage are few, and a long program's are found near the end. */
    for (int i = fuse->n_groups - 1, seen = 0; i >= 0 && seen < 64; i--, seen++) {
        struct fuse_group *group = fuse->groups[i];
        if (group->kind != kind || group->epoch != epoch || group->stage != stage || group->rank != rank ||
            group->axes != axes || !same_shape(rank, group->shape, shape))
            continue;
        if (group->lanes && lanes && group->lanes != lanes) continue;
        if (group->weight + weight > fuse->kernel_values) continue;
        if (kind == FUSE_MAP ? group->n_roots >= MAX_STORES : group->n_reduces >= MAX_REDUCTIONS) continue;
        return group;
    }
    struct fuse_group *group = new_group(fuse, kind, epoch, stage);
    group->rank = rank, group->shape = shape, group->axes = axes;
    return group;
}

static enum fuse_lanes lanes_of(enum dtype type) {
    return type == TY_F32 ? FUSE_LANES_F32 : type == TY_F64 ? FUSE_LANES_F64 : FUSE_LANES_ANY;
}

static int stage_of_args(const struct fuse *fuse, const struct graph_node *node) {
    int stage = 0;
    for (int k = 0; k < node->n_args; k++) {
        int s = fuse->nodes[node->args[k]->id].stage;
        if (s > stage) stage = s;
    }
    for (int k = 0; k < node->n_whole; k++) {
        int s = fuse->nodes[node->whole[k]->id].stage;
        if (s > stage) stage = s;
    }
    return stage;
}

static bool group_before(const struct fuse_group *a, const struct fuse_group *b) {
    if (a->epoch != b->epoch) return a->epoch < b->epoch;
    if (a->stage != b->stage) return a->stage < b->stage;
    return a->number < b->number;
}

/* The group in whose epilogue an elementwise node can be computed: that of its latest reduction, if all else that it
 * reads is there by then. NULL if none. */
static struct fuse_group *epilogue_of(const struct fuse *fuse, const struct graph_node *node) {
    const struct fuse_node *info = &fuse->nodes[node->id];
    if (!fuse_is_elementwise(node)) return NULL;
    if (node->rank > 0 && op_info[node->op].lower == LOWER_CALL) return NULL; /* epilogues are scalar code */
    struct fuse_group *group = NULL;
    for (int k = 0; k < node->n_args; k++) {
        const struct fuse_node *arg = &fuse->nodes[node->args[k]->id];
        if (!arg->epilogue || node->args[k]->rank != node->rank) continue;
        if (!group || group_before(group, arg->epilogue)) group = arg->epilogue;
    }
    if (!group || group->epoch != info->epoch) return NULL;
    for (int k = 0; k < node->n_args; k++) {
        const struct fuse_node *arg = &fuse->nodes[node->args[k]->id];
        if (arg->epilogue == group) continue;
        if (arg->epilogue) {
            if (!group_before(arg->epilogue, group) || arg->epilogue->stage >= group->stage) return NULL;
        } else if (arg->stage >= group->stage || (node->rank > 0 && !arg->stored && arg->cost > COST_LIMIT)) {
            return NULL;
        }
    }
    return group;
}

/* --- maps that are computed in the pass of the reductions that read them ------------------------------------------ */

enum { PASS_NODES = 256 }; /* looked at for one reduction; a larger expression gets a pass of its own */

struct pass {
    const struct fuse *fuse;
    const struct graph_node *domain;
    int stage; /* of the maps to take along */
    struct graph_node *maps[MAX_STORES];
    int n_maps, seen;
    const struct graph_node *stack[PASS_NODES];
};

/* Finds the stored maps of stage `stage` that the reduction's operands read position by position. False if something
 * else of that stage is read, or if there is too much to look at. */
static bool find_pass(struct pass *pass, const struct graph_node *reduce) {
    int depth = 0;
    for (int k = 0; k < reduce->n_args; k++) pass->stack[depth++] = reduce->args[k];
    while (depth > 0) {
        const struct graph_node *node = pass->stack[--depth];
        const struct fuse_node *info = &pass->fuse->nodes[node->id];
        if (++pass->seen > PASS_NODES) return false;
        if (info->stage < pass->stage) continue;
        bool same = node->rank == 1 && node->shape[0] == pass->domain->shape[0];
        if (!same || !fuse_is_elementwise(node) || info->epilogue) return false;
        if (info->stored) {
            int i = 0;
            while (i < pass->n_maps && pass->maps[i] != node) i++;
            if (i < pass->n_maps) continue;
            if (i == MAX_STORES) return false;
            pass->maps[pass->n_maps++] = (struct graph_node *)node;
            continue;
        }
        if (depth + node->n_args > PASS_NODES) return false;
        for (int k = 0; k < node->n_args; k++) pass->stack[depth++] = node->args[k];
    }
    return pass->n_maps > 0;
}

/* The group that reduces `node` in the pass that also stores the maps it reads; NULL if they need a pass before it.
 * Only for whole one-dimensional arrays: there a position of the reduction is a position of the map. */
static struct fuse_group *share_pass(struct fuse *fuse, struct graph_node *node, int stage, enum fuse_lanes lanes,
                                     int weight) {
    struct graph_node *x = node->args[0];
    struct fuse_node *info = &fuse->nodes[node->id];
    struct pass pass = {.fuse = fuse, .domain = x, .stage = stage};
    if (stage == 0 || x->rank != 1 || node->axes != 1 || !find_pass(&pass, node)) return NULL;
    struct fuse_group *group = NULL;
    for (int i = 0; i < pass.n_maps; i++) {
        const struct fuse_node *map = &fuse->nodes[pass.maps[i]->id];
        if (map->stage != stage || map->epoch != info->epoch) return NULL;
        if (map->pass && group && map->pass != group) return NULL;
        if (map->pass) group = map->pass;
    }
    if (group) {
        if ((group->lanes && lanes && group->lanes != lanes) || group->n_reduces >= MAX_REDUCTIONS ||
            group->weight + weight > fuse->kernel_values)
            return NULL;
    } else {
        group = new_group(fuse, FUSE_REDUCE, info->epoch, stage);
        group->rank = 1, group->shape = (const struct size *const *)x->shape, group->axes = 1;
    }
    for (int i = 0; i < pass.n_maps; i++) {
        struct fuse_node *map = &fuse->nodes[pass.maps[i]->id];
        if (map->pass) continue;
        map->pass = group;
        ARENA_PUSH(fuse->arena, group->maps, group->n_maps, group->maps_capacity) = pass.maps[i];
    }
    return group;
}

/* Operands before users: stages, reductions' groups, epilogues. */
static void choose_groups(struct fuse *fuse) {
    struct graph *graph = fuse->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        struct graph_node *node = graph->nodes[i];
        struct fuse_node *info = &fuse->nodes[i];
        if (!info->live) continue;
        int stage = stage_of_args(fuse, node);
        if (node->op == OP_reduce) {
            struct graph_node *x = node->args[0];
            enum fuse_lanes lanes = lanes_of(x->type);
            int weight = fuse->nodes[x->id].weight;
            struct fuse_group *group = share_pass(fuse, node, stage, lanes, weight);
            if (!group)
                group = find_group(fuse, FUSE_REDUCE, info->epoch, stage + 1, x->rank,
                                   (const struct size *const *)x->shape, node->axes, lanes, weight);
            if (lanes) group->lanes = lanes;
            group->weight += weight;
            ARENA_PUSH(fuse->arena, group->reduces, group->n_reduces, group->reduces_capacity) = node;
            info->epilogue = group;
            info->stage = group->stage;
            continue;
        }
        info->epilogue = epilogue_of(fuse, node);
        if (info->epilogue)
            info->stage = info->epilogue->stage;
        else
            info->stage = stage + (info->stored ? 1 : 0);
    }
    /* What leaves a reduction's kernel is stored. */
    for (int i = 0; i < graph->n_nodes; i++) {
        struct graph_node *node = graph->nodes[i];
        if (!fuse->nodes[i].live) continue;
        for (int k = 0; k < node->n_args; k++) {
            struct fuse_node *arg = &fuse->nodes[node->args[k]->id];
            if (arg->epilogue && (node->op == OP_reduce || arg->epilogue != fuse->nodes[i].epilogue))
                arg->stored = true;
        }
        for (int k = 0; k < node->n_whole; k++)
            if (fuse->nodes[node->whole[k]->id].epilogue) fuse->nodes[node->whole[k]->id].stored = true;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        struct graph_node *node = graph->nodes[i];
        struct fuse_node *info = &fuse->nodes[i];
        if (!info->live || !info->stored || info->has_slot || info->pass) continue;
        struct fuse_group *group = info->epilogue;
        if (!group && node->op == OP_reshape && !fuse_reshape_is_view(node))
            group = new_group(fuse, FUSE_SHARE, info->epoch, info->stage);
        if (!group)
            group = find_group(fuse, FUSE_MAP, info->epoch, info->stage, node->rank,
                               (const struct size *const *)node->shape, 0, FUSE_LANES_ANY, info->weight);
        group->weight += info->weight;
        ARENA_PUSH(fuse->arena, group->roots, group->n_roots, group->roots_capacity) = node;
    }
}

/* A constant that a slot or an effect wants needs no kernel: it is a literal. */
static int constant_slot(struct fuse *fuse, const struct graph_node *node) {
    float single = (float)node->imm.f;
    /* Little-endian: the low bytes of an integer are the narrow one. */
    const void *data = node->type == TY_F32 ? (const void *)&single : (const void *)&node->imm;
    return -1 - plan_add_literal(fuse->plan, node->type, 0, NULL, data);
}

void fuse_choose(struct fuse *fuse) {
    struct graph *graph = fuse->graph;
    find_live(fuse);
    estimate_costs(fuse);
    choose_stored(fuse);
    bound_weights(fuse);
    /* Arrays that already lie in a slot need no kernel. */
    for (int i = 0; i < graph->n_nodes; i++) {
        struct graph_node *node = graph->nodes[i];
        struct fuse_node *info = &fuse->nodes[i];
        if (node->op == OP_literal)
            info->has_slot = true, info->slot = -1 - (int)node->imm.i;
        else if (node->op == OP_const && info->stored)
            info->has_slot = true, info->slot = constant_slot(fuse, node);
        else if (node->op == OP_input && (fuse_is_contiguous_input(fuse, node) || !info->stored))
            info->has_slot = true, info->slot = (int)node->imm.i;
    }
    choose_groups(fuse);
}
