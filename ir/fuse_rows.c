/* fuse_rows.c: which launches go row by row (struct plan_rows), and the order of an epoch's groups that lets them.
 *
 * Groups come by stage. A launch that can begin rows opens a chain, which is held back; later ones that read what its
 * members wrote, or what they read, join it if they keep to its rows. Whatever else reads what a chain wrote lets it go
 * first; what doesn't, passes it. So a chain comes when it is needed, all members together. Chains that stayed alone
 * stand where they would have without.
 *
 *   by stage:  max(x) -> m,  sum(y) -> t,  exp(x - m) -> a,  y / t,  sum(a) -> s,  a / s
 *   here:      rows { sum(y), y / t },  rows { max(x), exp(x - m), sum(a), a / s }
 *
 * Nothing here looks through all chains: a slot knows the chain that writes it and one that reads it. */
#include <string.h>

#include "ir/fuse_internal.h"
#include "ir/rows.h"

struct chain {
    struct fuse_group *members[PLAN_MAX_ROWS];
    int n_members;
    int outer; /* dimensions of a row; at most, as long as there are only maps */
    bool reduces;
    bool closed;
    int awaited;        /* operands of groups to come that read what a member writes */
    struct chain *into; /* its members went there */
    int mark;           /* the last group that looked at it */
};

struct chain_slot {
    int epoch; /* the rest is of it */
    struct chain *writer, *reader;
    const struct view_map *read_map; /* by `reader` */
    int readers;                     /* operands of groups to come */
    bool wanted;                     /* for a reduction of rows, perhaps through other maps */
};

/* What the new order is made of: a group, or the place where a chain is let go. */
struct order_item {
    struct fuse_group *group;
    struct chain *chain; /* of the group: NULL if none */
};

struct fuse_chains {
    struct fuse *fuse;
    int epoch;
    struct chain_slot *slots; /* of the plan */
    int n_slots;              /* that there is room for */
    struct chain **open;      /* all of the epoch, the closed ones too */
    int n_open, open_capacity, n_closed;
    struct chain **grown; /* in this stage */
    int n_grown, grown_capacity;
    struct order_item *items;
    int n_items, items_capacity;
};

void fuse_chains_begin(struct fuse_chains **all, struct fuse *fuse) {
    if (!*all) *all = ARENA_NEW(fuse->arena, struct fuse_chains);
    struct fuse_chains *chains = *all;
    chains->fuse = fuse;
    if (fuse->plan->n_slots <= chains->n_slots) return;
    chains->n_slots = 2 * fuse->plan->n_slots; /* what was known of them is of epochs that are over */
    chains->slots = ARENA_ARRAY(fuse->arena, struct chain_slot, chains->n_slots);
}

static struct chain_slot *slot_at(struct fuse_chains *chains, int slot) {
    struct chain_slot *at = &chains->slots[slot];
    if (at->epoch != chains->epoch) *at = (struct chain_slot){.epoch = chains->epoch};
    return at;
}

/* The chain that a slot speaks of, if it is still held back. */
static struct chain *held(struct chain *chain) {
    while (chain && chain->into) chain = chain->into;
    return chain && !chain->closed ? chain : NULL;
}

static bool reads_slot(const struct plan_launch *launch, int operand) {
    return launch->kernel->operands[operand].kind != OPERAND_WRITE && launch->operands[operand].slot >= 0;
}

static int shared_source(const struct fuse *fuse, const struct fuse_group *group) {
    return fuse->nodes[group->roots[0]->args[0]->id].slot;
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

static const struct size *const *row_sizes(const struct chain *chain) {
    return chain->members[0]->launch->extents;
}

static bool fits(struct fuse_chains *chains, struct chain *chain, const struct plan_launch *launch, int outer) {
    const struct size *const *sizes = row_sizes(chain);
    if (rows_wrong_launch(launch, outer, sizes)) return false;
    for (int i = 0; i < launch->kernel->n_operands; i++)
        if (reads_slot(launch, i) && held(slot_at(chains, launch->operands[i].slot)->writer) == chain &&
            rows_wrong_read(launch, i, outer, sizes))
            return false;
    return true;
}

/* The dimensions of a row with the group in the chain; 0 if it can't be. */
static int outer_with(struct fuse_chains *chains, struct chain *chain, const struct fuse_group *group) {
    const struct plan_launch *launch = group->launch;
    if (!group->row_by_row || chain->n_members == PLAN_MAX_ROWS) return 0;
    if (launch->kernel->kind == KERNEL_LANES) {
        int outer = launch->kernel->n_par;
        if (chain->reduces ? outer != chain->outer : outer > chain->outer) return 0;
        return fits(chains, chain, launch, outer) ? outer : 0;
    }
    for (int outer = chain->outer; outer >= (chain->reduces ? chain->outer : 1); outer--)
        if (fits(chains, chain, launch, outer)) return outer;
    return 0;
}

/* Two chains that a launch reads become one: they don't know of each other, so any order will do. */
static bool can_merge(struct fuse_chains *chains, const struct chain *into, struct chain *chain,
                      const struct fuse_group *group) {
    int outer = into->outer;
    if (into->n_members + chain->n_members >= PLAN_MAX_ROWS) return false;
    if (chain->reduces ? chain->outer != outer : chain->outer < outer) return false;
    for (int d = 0; d < outer; d++)
        if (row_sizes(into)[d] != row_sizes(chain)[d]) return false;
    return fits(chains, chain, group->launch, outer);
}

static void merge(struct fuse_chains *chains, struct chain *into, struct chain *chain) {
    for (int i = 0; i < chain->n_members; i++) into->members[into->n_members++] = chain->members[i];
    into->reduces |= chain->reduces;
    into->awaited += chain->awaited;
    chain->closed = true, chain->into = into;
    chains->n_closed++;
}

static bool moves_in_row(const struct view_map *map, int outer) {
    for (int d = 0; d < map->source_rank; d++)
        for (int t = 0; t < map->axis[d].n_terms; t++)
            if (map->axis[d].terms[t].dim >= outer) return true;
    return false;
}

/* A chain that the group can join because both read the same elements. */
static struct chain *find_neighbour(struct fuse_chains *chains, const struct fuse_group *group) {
    const struct plan_launch *launch = group->launch;
    for (int i = 0; group->row_by_row && i < launch->kernel->n_operands; i++) {
        if (!reads_slot(launch, i)) continue;
        const struct chain_slot *slot = slot_at(chains, launch->operands[i].slot);
        struct chain *chain = held(slot->reader);
        if (!chain || !view_map_equal(slot->read_map, &launch->operands[i].map)) continue;
        int outer = outer_with(chains, chain, group);
        if (outer && moves_in_row(slot->read_map, outer)) return chain;
    }
    return NULL;
}

/* --- holding back and letting go ---------------------------------------------------------------------------------- */

static void add_item(struct fuse_chains *chains, struct fuse_group *group, struct chain *chain) {
    ARENA_PUSH(chains->fuse->arena, chains->items, chains->n_items, chains->items_capacity) =
        (struct order_item){group, chain};
}

static void let_go(struct fuse_chains *chains, struct chain *chain) {
    chain->closed = true;
    chains->n_closed++;
    add_item(chains, NULL, chain);
}

static void append(struct fuse_chains *chains, struct chain *chain, struct fuse_group *group, int outer) {
    const struct plan_launch *launch = group->launch;
    chain->members[chain->n_members++] = group;
    chain->outer = outer;
    chain->reduces |= launch->kernel->kind == KERNEL_LANES;
    for (int i = 0; i < launch->kernel->n_operands; i++) {
        if (launch->operands[i].slot < 0) continue;
        struct chain_slot *slot = slot_at(chains, launch->operands[i].slot);
        if (launch->kernel->operands[i].kind == OPERAND_WRITE) {
            slot->writer = chain;
            chain->awaited += slot->readers;
        } else if (launch->kernel->operands[i].kind == OPERAND_READ) {
            slot->reader = chain, slot->read_map = &launch->operands[i].map;
        }
    }
    add_item(chains, group, chain);
    if (chain->n_members == PLAN_MAX_ROWS) let_go(chains, chain);
    ARENA_PUSH(chains->fuse->arena, chains->grown, chains->n_grown, chains->grown_capacity) = chain;
}

/* After a stage: what nothing more waits for needn't wait either. */
static void let_complete_go(struct fuse_chains *chains) {
    for (int i = 0; i < chains->n_grown; i++) {
        struct chain *chain = chains->grown[i];
        if (!chain->closed && chain->n_members > 1 && chain->awaited == 0) let_go(chains, chain);
    }
    chains->n_grown = 0;
}

/* Maps begin only what a reduction goes on with. */
static bool can_open(struct fuse_chains *chains, const struct fuse_group *group) {
    const struct plan_launch *launch = group->launch;
    if (!group->row_by_row) return false;
    if (launch->kernel->kind == KERNEL_LANES) return true;
    bool wanted = false;
    for (int i = 0; i < launch->kernel->n_operands; i++)
        if (launch->kernel->operands[i].kind == OPERAND_WRITE)
            wanted |= slot_at(chains, launch->operands[i].slot)->wanted;
    return wanted && launch->kernel->n_par > 1;
}

static void place(struct fuse_chains *chains, struct fuse_group *group, int mark) {
    const struct plan_launch *launch = group->launch;
    if (group->kind == FUSE_SHARE) {
        int source = shared_source(chains->fuse, group);
        struct chain *chain = source >= 0 ? held(slot_at(chains, source)->writer) : NULL;
        if (chain) let_go(chains, chain);
        add_item(chains, group, NULL);
        return;
    }
    struct chain **sources = ARENA_ARRAY(chains->fuse->arena, struct chain *, launch->kernel->n_operands + 1);
    int n_sources = 0;
    struct chain *into = NULL;
    for (int i = 0; i < launch->kernel->n_operands; i++) {
        if (!reads_slot(launch, i)) continue;
        struct chain_slot *slot = slot_at(chains, launch->operands[i].slot);
        struct chain *chain = held(slot->writer);
        slot->readers--;
        if (!chain) continue;
        chain->awaited--;
        if (chain->mark == mark) continue;
        chain->mark = mark;
        sources[n_sources++] = chain;
        if ((!into || (!into->reduces && chain->reduces)) && outer_with(chains, chain, group)) into = chain;
    }
    if (n_sources == 0) into = find_neighbour(chains, group);
    int outer = into ? outer_with(chains, into, group) : 0;
    if (into) into->outer = outer;
    for (int i = 0; i < n_sources; i++) {
        if (sources[i] == into) continue;
        if (into && can_merge(chains, into, sources[i], group))
            merge(chains, into, sources[i]);
        else
            let_go(chains, sources[i]);
    }
    if (!into && can_open(chains, group)) {
        into = ARENA_NEW(chains->fuse->arena, struct chain);
        outer = launch->kernel->n_par;
        ARENA_PUSH(chains->fuse->arena, chains->open, chains->n_open, chains->open_capacity) = into;
    }
    if (into)
        append(chains, into, group, outer);
    else
        add_item(chains, group, NULL);
}

/* --- one epoch ---------------------------------------------------------------------------------------------------- */

/* The parallel dimensions of a reduction are the first of its operands, and there is more than one row. */
static bool is_row_by_row(const struct fuse_group *group) {
    if (group->kind == FUSE_SHARE || rows_wrong_kernel(group->launch->kernel)) return false;
    const struct ir_kernel *kernel = group->launch->kernel;
    if (kernel->kind == KERNEL_LANES && group->axes != ((1u << group->rank) - 1) >> kernel->n_par << kernel->n_par)
        return false;
    int several = 0;
    for (int d = 0; d < kernel->n_par; d++) several += !size_is_const(group->launch->extents[d], 1);
    return several > 0;
}

/* Backwards: what reads comes before what writes. */
static void count_readers(struct fuse_chains *chains, struct fuse_group **groups, int n) {
    for (int g = n - 1; g >= 0; g--) {
        struct fuse_group *group = groups[g];
        group->row_by_row = is_row_by_row(group);
        if (group->kind == FUSE_SHARE) {
            int source = shared_source(chains->fuse, group);
            if (source >= 0) slot_at(chains, source)->readers++;
            continue;
        }
        const struct plan_launch *launch = group->launch;
        bool wanted = group->row_by_row && launch->kernel->kind == KERNEL_LANES;
        for (int i = 0; i < launch->kernel->n_operands; i++)
            if (group->row_by_row && launch->kernel->operands[i].kind == OPERAND_WRITE)
                wanted |= slot_at(chains, launch->operands[i].slot)->wanted;
        for (int i = 0; i < launch->kernel->n_operands; i++) {
            if (!reads_slot(launch, i)) continue;
            struct chain_slot *slot = slot_at(chains, launch->operands[i].slot);
            slot->readers++;
            slot->wanted |= wanted;
        }
    }
}

static bool is_rows(const struct chain *chain) {
    return chain->reduces && chain->n_members > 1;
}

static struct plan_rows *make_rows(struct plan *plan, const struct chain *chain) {
    struct plan_rows *rows = ARENA_NEW(plan->arena, struct plan_rows);
    rows->outer = chain->outer;
    rows->n_launches = chain->n_members;
    for (int i = 0; i < chain->n_members; i++) rows->launches[i] = chain->members[i]->launch;
    rows->index = plan->n_rows;
    rows->span = rows->launches[0]->span;
    const char *first = rows->launches[0]->kernel->name, *last = rows->launches[rows->n_launches - 1]->kernel->name;
    rows->name = arena_printf(plan->arena, "%.*s_%.*s_rows", (int)strcspn(first, "_"), first, (int)strcspn(last, "_"),
                              last); /* k0_k3_rows */
    ARENA_PUSH(plan->arena, plan->rows, plan->n_rows, plan->rows_capacity) = rows;
    return rows;
}

static void write_order(struct fuse_chains *chains, struct fuse_group **groups) {
    int n = 0;
    for (int i = 0; i < chains->n_items; i++) {
        struct fuse_group *group = chains->items[i].group;
        struct chain *chain = chains->items[i].chain;
        while (chain && chain->into) chain = chain->into;
        if (group && (!chain || !is_rows(chain))) groups[n++] = group;
        if (group || !is_rows(chain)) continue;
        chain->members[0]->rows = make_rows(chains->fuse->plan, chain);
        for (int k = 0; k < chain->n_members; k++) groups[n++] = chain->members[k];
    }
}

void fuse_rows(struct fuse_chains *chains, struct fuse_group **groups, int n) {
    chains->epoch++; /* from 1: slots that were never looked at have 0 */
    chains->n_open = chains->n_closed = chains->n_grown = chains->n_items = 0;
    count_readers(chains, groups, n);
    int mark = 0;
    for (int first = 0, end; first < n; first = end) {
        for (end = first; end < n && groups[end]->stage == groups[first]->stage;) end++;
        /* Those of one stage don't know of each other: what may go on with a chain comes before what ends it. */
        bool any = chains->n_open > chains->n_closed;
        for (int pass = any ? 0 : 1; pass < 2; pass++)
            for (int i = first; i < end; i++)
                if (!any || groups[i]->row_by_row == (pass == 0)) place(chains, groups[i], ++mark);
        let_complete_go(chains);
    }
    for (int i = 0; i < chains->n_open; i++)
        if (held(chains->open[i]) == chains->open[i]) let_go(chains, chains->open[i]);
    write_order(chains, groups);
}
