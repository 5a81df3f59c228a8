/* fuse_internal.h: what the files of the fusion pass share. Not for other rooms.
 *
 *   fuse_choose.c   which nodes are stored, and which kernel (group) each belongs to
 *   fuse_kernel.c   one group -> one kernel and its launch
 *   fuse_rows.c     launches that go row by row, and the order that brings them together
 *   fuse.c          the driver: slots, order of actions, sizes, frees
 */
#ifndef IR_FUSE_INTERNAL_H
#define IR_FUSE_INTERNAL_H

#include "ir/fuse.h"

enum fuse_kind { FUSE_MAP, FUSE_REDUCE, FUSE_SHARE };

/* Float reductions of different types don't share a kernel (their virtual vectors differ); integers fit either. */
enum fuse_lanes { FUSE_LANES_ANY, FUSE_LANES_F32, FUSE_LANES_F64 };

/* Nodes computed by one kernel. Groups are ordered by (epoch, stage, number): a group reads only what earlier ones
 * stored. */
struct fuse_group {
    enum fuse_kind kind;
    int epoch, stage, number;
    /* The loop domain: the shape of the roots (FUSE_MAP), or of the reductions' operands with the reduced axes
     * (FUSE_REDUCE). */
    int rank;
    const struct size *const *shape;
    unsigned axes;
    enum fuse_lanes lanes;
    struct graph_node **roots; /* nodes that the kernel stores */
    int n_roots, roots_capacity;
    struct graph_node **reduces; /* FUSE_REDUCE */
    int n_reduces, reduces_capacity;
    struct graph_node **maps; /* FUSE_REDUCE: arrays that the pass over memory stores besides */
    int n_maps, maps_capacity;
    int weight;                 /* operations, estimated */
    struct plan_launch *launch; /* made by fuse_kernel */
    bool row_by_row;            /* fuse_rows: it can be a member of rows */
    struct plan_rows *rows;     /* of which it is the first; made by fuse_rows */
};

struct fuse_node {
    bool live;
    bool sunk;     /* a sink needs it in a slot */
    bool stored;   /* has a slot: written by its group, or shared */
    bool has_slot; /* `slot` is set */
    int slot;      /* as launch_operand.slot: negative for literals */
    bool repeated; /* read more often than it has elements, through a broadcast */
    int homes;     /* kernels that would inline it: 0, 1, or 2 for several */
    uint64_t home; /* key of the one */
    int epoch, stage;
    int uses;
    int cost;                /* of computing one element from what is stored for sure */
    int weight;              /* operations a kernel gets by inlining it */
    struct fuse_group *pass; /* a stored map: the reductions that read it, in whose pass it is computed; else NULL */
    struct fuse_group
        *epilogue; /* a reduction, or an elementwise node evaluated in a reduction's epilogue: its group */
};

struct fuse {
    struct arena *arena;
    struct plan *plan;
    struct graph *graph;
    struct fuse_node *nodes; /* by node id */
    int n_epochs;
    int *sink_epoch; /* by sink number */
    struct fuse_group **groups;
    int n_groups, groups_capacity;
    int kernel_values; /* limit of one kernel body */
};

/* Fills nodes and groups. */
void fuse_choose(struct fuse *fuse);

/* True if a reshape of this node is an affine view: its source has at most one dimension. */
static inline bool fuse_reshape_is_view(const struct graph_node *node) {
    return node->op == OP_reshape && node->args[0]->rank <= 1;
}
/* True if the input node's slot is filled by a step, and so is contiguous. */
static inline bool fuse_is_contiguous_input(const struct fuse *fuse, const struct graph_node *node) {
    return node->op == OP_input && fuse->plan->slots[node->imm.i].input < 0;
}
/* Elementwise operations of ops.def, as against leaves, views and structure. */
bool fuse_is_elementwise(const struct graph_node *node);

/* Builds group->launch. Every stored node that the group reads must have its slot. */
void fuse_build(struct fuse *fuse, struct fuse_group *group);

/* Brings the groups of one epoch, which stand in order, into another in which launches that go row by row follow each
 * other; sets `rows` of the first of each such run, and enters them in the plan. `scratch` is left empty: it depends on
 * what comes after. One fuse_chains serves the plan; it begins each stretch when every slot of that is there. */
struct fuse_chains;
void fuse_chains_begin(struct fuse_chains **chains, struct fuse *fuse);
void fuse_rows(struct fuse_chains *chains, struct fuse_group **groups, int n);

/* The map of a reshape that is a view (see above): row-major position as a subscript of the source. */
void fuse_reshape_map(struct fuse *fuse, const struct graph_node *node, struct view_map *map);

#endif
