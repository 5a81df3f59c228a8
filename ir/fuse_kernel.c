/* fuse_kernel.c: one group of nodes becomes one kernel: the nodes' expressions are inlined down to stored arrays,
 * through the views between them.
 *
 * A node is lowered "under a map": the affine map from the kernel's loop dimensions to the node's subscripts. Equal
 * maps are one pointer, so (node, map) is the key under which a value is computed once. Works with an explicit stack:
 * expressions may be thousands of operations deep. */
#include <string.h>

#include "ir/fuse_internal.h"

struct memo {
    const struct graph_node *node;
    const struct view_map *map;
    struct ir_value *value;
};

/* Calls that share function, arguments and map yield several results at once. */
struct inlined_call {
    const struct graph_node *node;
    const struct view_map *map;
    struct ir_value **results;
};

struct frame {
    struct graph_node *node;
    const struct view_map *map;
    bool entered;
};

struct build {
    struct fuse *fuse;
    struct fuse_group *group;
    struct arena *arena;
    struct size_table *sizes;
    struct ir_kernel *kernel;
    struct plan_launch *launch;
    struct ir_region *region;      /* being filled: body or epilogue */
    const struct graph_node *root; /* lowered although it is stored */
    bool in_epilogue;
    struct memo *memo; /* open addressing */
    int n_memo, memo_capacity;
    const struct view_map **maps;
    int n_maps, maps_capacity;
    struct inlined_call *calls;
    int n_calls, calls_capacity;
    struct frame *stack;
    int depth, stack_capacity;
    int operands_capacity, launch_capacity, sizes_capacity;
    const struct view_map *scalar_map; /* of rank-0 nodes */
};

/* --- maps --------------------------------------------------------------------------------------------------------- */

static const struct view_map *intern_map(struct build *b, const struct view_map *map) {
    for (int i = b->n_maps - 1; i >= 0; i--)
        if (view_map_equal(b->maps[i], map)) return b->maps[i];
    struct view_map *copy = ARENA_NEW(b->arena, struct view_map);
    *copy = *map;
    ARENA_PUSH(b->arena, b->maps, b->n_maps, b->maps_capacity) = copy;
    return copy;
}

/* Adds coef * (loop dimension dim) to an axis. */
static void add_term(struct build *b, struct view_axis *axis, int dim, const struct size *coef) {
    if (size_is_const(coef, 0)) return;
    for (int t = 0; t < axis->n_terms; t++)
        if (axis->terms[t].dim == dim) {
            axis->terms[t].coef = size_binary(b->sizes, SIZE_ADD, axis->terms[t].coef, coef);
            return;
        }
    struct view_term *terms = ARENA_ARRAY(b->arena, struct view_term, axis->n_terms + 1);
    if (axis->n_terms) memcpy(terms, axis->terms, sizeof *terms * (size_t)axis->n_terms);
    terms[axis->n_terms++] = (struct view_term){dim, coef};
    axis->terms = terms;
}

/* loops -> view's subscripts (outer), then view's subscripts -> source's (inner). */
static const struct view_map *compose(struct build *b, const struct view_map *outer, const struct view_map *inner) {
    struct view_map map = {.source_rank = inner->source_rank};
    for (int d = 0; d < inner->source_rank; d++) {
        map.axis[d].offset = inner->axis[d].offset;
        for (int t = 0; t < inner->axis[d].n_terms; t++) {
            const struct view_term *term = &inner->axis[d].terms[t];
            const struct view_axis *through = &outer->axis[term->dim];
            const struct size *shift = size_binary(b->sizes, SIZE_MUL, term->coef, through->offset);
            map.axis[d].offset = size_binary(b->sizes, SIZE_ADD, map.axis[d].offset, shift);
            for (int u = 0; u < through->n_terms; u++)
                add_term(b, &map.axis[d], through->terms[u].dim,
                         size_binary(b->sizes, SIZE_MUL, term->coef, through->terms[u].coef));
        }
    }
    return intern_map(b, &map);
}

/* Subscript d is loop dimension dims[d]. */
static const struct view_map *loops_map(struct build *b, int rank, const int *dims) {
    struct view_map map = {.source_rank = rank};
    for (int d = 0; d < rank; d++) {
        map.axis[d].offset = size_const(b->sizes, 0);
        add_term(b, &map.axis[d], dims[d], size_const(b->sizes, 1));
    }
    return intern_map(b, &map);
}

void fuse_reshape_map(struct fuse *fuse, const struct graph_node *node, struct view_map *map) {
    struct size_table *sizes = &fuse->plan->sizes;
    memset(map, 0, sizeof *map);
    map->source_rank = node->args[0]->rank;
    if (map->source_rank == 0) return;
    map->axis[0].offset = size_const(sizes, 0);
    map->axis[0].terms = ARENA_ARRAY(fuse->arena, struct view_term, node->rank ? node->rank : 1);
    const struct size *stride = size_const(sizes, 1);
    for (int d = node->rank - 1; d >= 0; d--) {
        map->axis[0].terms[map->axis[0].n_terms++] = (struct view_term){d, stride};
        stride = size_binary(sizes, SIZE_MUL, stride, node->shape[d]);
    }
}

/* --- operands and parameters -------------------------------------------------------------------------------------- */

static int add_operand(struct build *b, struct kernel_operand operand, struct launch_operand where) {
    struct ir_kernel *kernel = b->kernel;
    int count = kernel->n_operands;
    ARENA_PUSH(b->arena, kernel->operands, kernel->n_operands, b->operands_capacity) = operand;
    ARENA_PUSH(b->arena, b->launch->operands, count, b->launch_capacity) = where;
    return kernel->n_operands - 1;
}

static int read_operand(struct build *b, int slot, enum dtype type, const struct view_map *map) {
    for (int i = 0; i < b->kernel->n_operands; i++)
        if (b->kernel->operands[i].kind == OPERAND_READ && b->launch->operands[i].slot == slot &&
            view_map_equal(&b->launch->operands[i].map, map))
            return i;
    unsigned uses = 0;
    for (int d = 0; d < map->source_rank; d++)
        for (int t = 0; t < map->axis[d].n_terms; t++) uses |= 1u << map->axis[d].terms[t].dim;
    return add_operand(b, (struct kernel_operand){.kind = OPERAND_READ, .type = type, .uses = uses},
                       (struct launch_operand){.slot = slot, .map = *map});
}

static int size_parameter(struct build *b, const struct size *size) {
    for (int i = 0; i < b->kernel->n_sizes; i++)
        if (b->launch->sizes[i] == size) return i;
    ARENA_PUSH(b->arena, b->launch->sizes, b->kernel->n_sizes, b->sizes_capacity) = size;
    return b->kernel->n_sizes - 1;
}

static struct ir_value *size_value(struct build *b, const struct size *size) {
    if (size->op == SIZE_CONST) return body_const_int(b->arena, b->region, TY_I64, size->value);
    return body_leaf(b->arena, b->region, OP_size, TY_I64, size_parameter(b, size));
}

/* A whole array of a call: some slot through views. */
static int whole_operand(struct build *b, const struct graph_node *node) {
    const struct graph_node *source = node;
    int identity[TYPE_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    const struct view_map *map = loops_map(b, node->rank, identity);
    while (source->op == OP_view && !b->fuse->nodes[source->id].has_slot) {
        map = compose(b, map, source->map);
        source = source->args[0];
    }
    int slot = b->fuse->nodes[source->id].slot;
    for (int i = 0; i < b->kernel->n_operands; i++)
        if (b->kernel->operands[i].kind == OPERAND_WHOLE && b->launch->operands[i].slot == slot &&
            b->kernel->operands[i].rank == node->rank && view_map_equal(&b->launch->operands[i].map, map))
            return i;
    struct launch_operand where = {.slot = slot, .map = *map, .whole_rank = node->rank};
    for (int d = 0; d < node->rank; d++) where.whole_size[d] = node->shape[d];
    return add_operand(b, (struct kernel_operand){.kind = OPERAND_WHOLE, .type = node->type, .rank = node->rank},
                       where);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static size_t memo_slot(const struct build *b, const struct graph_node *node, const struct view_map *map) {
    size_t hash = ((size_t)node->id * 0x9e3779b97f4a7c15u) ^ ((size_t)(uintptr_t)map >> 4) * 0xff51afd7ed558ccdu;
    size_t at = (hash >> 16) & (size_t)(b->memo_capacity - 1);
    while (b->memo[at].node && (b->memo[at].node != node || b->memo[at].map != map))
        at = (at + 1) & (size_t)(b->memo_capacity - 1);
    return at;
}

static struct ir_value *memo_get(const struct build *b, const struct graph_node *node, const struct view_map *map) {
    return b->memo[memo_slot(b, node, map)].value;
}

static void memo_put(struct build *b, const struct graph_node *node, const struct view_map *map,
                     struct ir_value *value) {
    if ((b->n_memo + 1) * 2 > b->memo_capacity) {
        struct memo *old = b->memo;
        int old_capacity = b->memo_capacity;
        b->memo_capacity *= 2;
        b->memo = ARENA_ARRAY(b->arena, struct memo, b->memo_capacity);
        for (int i = 0; i < old_capacity; i++)
            if (old[i].node) b->memo[memo_slot(b, old[i].node, old[i].map)] = old[i];
    }
    size_t at = memo_slot(b, node, map);
    if (!b->memo[at].node) b->n_memo++;
    b->memo[at] = (struct memo){node, map, value};
}

static void memo_reset(struct build *b) {
    b->memo_capacity = 256;
    b->memo = ARENA_ARRAY(b->arena, struct memo, b->memo_capacity);
    b->n_memo = 0;
    b->n_calls = 0;
}

static void push(struct build *b, struct graph_node *node, const struct view_map *map) {
    ARENA_PUSH(b->arena, b->stack, b->depth, b->stack_capacity) = (struct frame){node, map, false};
}

/* The map under which an operand of an elementwise node is read. */
static const struct view_map *arg_map(const struct build *b, const struct graph_node *arg, const struct view_map *map) {
    return arg->rank == 0 ? b->scalar_map : map;
}

static bool reads_slot(const struct build *b, const struct graph_node *node) {
    return b->fuse->nodes[node->id].has_slot && node != b->root;
}

/* Position along one dimension of a node, as a number. */
static struct ir_value *index_value(struct build *b, const struct view_axis *axis, struct span span) {
    struct ir_value *sum = NULL;
    for (int t = 0; t < axis->n_terms; t++) {
        struct ir_value *term = body_leaf(b->arena, b->region, OP_index, TY_I64, axis->terms[t].dim);
        if (!size_is_const(axis->terms[t].coef, 1)) {
            struct ir_value *args[2] = {term, size_value(b, axis->terms[t].coef)};
            term = body_op(b->arena, b->region, OP_mul, TY_I64, 2, args, span);
        }
        if (sum) {
            struct ir_value *args[2] = {sum, term};
            term = body_op(b->arena, b->region, OP_add, TY_I64, 2, args, span);
        }
        sum = term;
    }
    if (sum) b->kernel->uses_index = true;
    if (sum && size_is_const(axis->offset, 0)) return sum;
    struct ir_value *offset = size_value(b, axis->offset);
    if (!sum) return offset;
    struct ir_value *args[2] = {sum, offset};
    return body_op(b->arena, b->region, OP_add, TY_I64, 2, args, span);
}

static bool has_loop(const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_loop) return true;
        for (int r = 0; r < 2; r++)
            if (value->regions[r] && has_loop(value->regions[r])) return true;
    }
    return false;
}

static bool same_call(const struct graph_node *a, const struct graph_node *b) {
    if (a->function != b->function || a->n_args != b->n_args || a->n_whole != b->n_whole) return false;
    for (int i = 0; i < a->n_args; i++)
        if (a->args[i] != b->args[i]) return false;
    for (int i = 0; i < a->n_whole; i++)
        if (a->whole[i] != b->whole[i]) return false;
    return true;
}

static struct ir_value *call_value(struct build *b, struct graph_node *node, const struct view_map *map) {
    for (int i = 0; i < b->n_calls; i++)
        if (b->calls[i].map == map && same_call(b->calls[i].node, node)) return b->calls[i].results[node->imm.i];
    struct ir_value **args = ARENA_ARRAY(b->arena, struct ir_value *, node->n_args + 1);
    for (int i = 0; i < node->n_args; i++) args[i] = memo_get(b, node->args[i], arg_map(b, node->args[i], map));
    int *operands = ARENA_ARRAY(b->arena, int, node->n_whole + 1);
    for (int i = 0; i < node->n_whole; i++) operands[i] = whole_operand(b, node->whole[i]);
    struct inlined_call call = {node, map,
                                ARENA_ARRAY(b->arena, struct ir_value *, node->function->body.n_results + 1)};
    body_inline(b->arena, b->region, &node->function->body, args, operands, call.results);
    if (has_loop(&node->function->body)) b->kernel->diverges = true;
    ARENA_PUSH(b->arena, b->calls, b->n_calls, b->calls_capacity) = call;
    return call.results[node->imm.i];
}

static struct ir_value *leaf_read(struct build *b, const struct graph_node *node, int slot,
                                  const struct view_map *map) {
    struct ir_value *value =
        body_leaf(b->arena, b->region, OP_read, node->type, read_operand(b, slot, node->type, map));
    value->span = node->span;
    return value;
}

/* Lowers a frame whose operands are done, or pushes what it waits for and returns NULL. */
static struct ir_value *lower_node(struct build *b, struct graph_node *node, const struct view_map *map, bool entered) {
    if (node->op != OP_const && reads_slot(b, node)) return leaf_read(b, node, b->fuse->nodes[node->id].slot, map);
    switch (node->op) {
    case OP_const:
        return dtype_is_float(node->type) ? body_const_float(b->arena, b->region, node->type, node->imm.f)
                                          : body_const_int(b->arena, b->region, node->type, node->imm.i);
    case OP_size: return size_value(b, node->imm.size);
    case OP_index: return index_value(b, &map->axis[node->imm.i], node->span);
    case OP_input: return leaf_read(b, node, (int)node->imm.i, map);
    case OP_literal: return leaf_read(b, node, -1 - (int)node->imm.i, map);
    case OP_view:
    case OP_reshape: {
        const struct view_map *inner = node->map;
        struct view_map reshape;
        if (node->op == OP_reshape) {
            fuse_reshape_map(b->fuse, node, &reshape);
            inner = &reshape;
        }
        const struct view_map *through = node->args[0]->rank == 0 ? b->scalar_map : compose(b, map, inner);
        if (!entered) {
            push(b, node->args[0], through);
            return NULL;
        }
        return memo_get(b, node->args[0], through);
    }
    default: break;
    }
    if (!entered) {
        for (int i = node->n_args - 1; i >= 0; i--) push(b, node->args[i], arg_map(b, node->args[i], map));
        return NULL;
    }
    if (node->op == OP_call) return call_value(b, node, map);
    struct ir_value *args[8];
    for (int i = 0; i < node->n_args; i++) args[i] = memo_get(b, node->args[i], arg_map(b, node->args[i], map));
    return body_op(b->arena, b->region, node->op, node->type, node->n_args, args, node->span);
}

static struct ir_value *lower(struct build *b, struct graph_node *root, const struct view_map *map) {
    int base = b->depth;
    push(b, root, arg_map(b, root, map));
    while (b->depth > base) {
        struct frame frame = b->stack[b->depth - 1];
        if (memo_get(b, frame.node, frame.map)) {
            b->depth--;
            continue;
        }
        b->stack[b->depth - 1].entered = true; /* before lower_node: pushing operands may move the stack */
        struct ir_value *value = lower_node(b, frame.node, frame.map, frame.entered);
        if (!value) continue;
        memo_put(b, frame.node, frame.map, value);
        b->depth--;
    }
    return memo_get(b, root, arg_map(b, root, map));
}

/* `uses`: the loop dimensions along which the output moves. */
static void store_root(struct build *b, struct graph_node *node, const struct view_map *map, unsigned uses) {
    b->root = node;
    struct ir_value *value = lower(b, node, map);
    b->root = NULL;
    int operand = add_operand(b, (struct kernel_operand){.kind = OPERAND_WRITE, .type = node->type, .uses = uses},
                              (struct launch_operand){.slot = b->fuse->nodes[node->id].slot});
    struct ir_value *store = body_op(b->arena, b->region, OP_store, TY_NONE, 1, &value, node->span);
    store->imm.i = operand;
}

/* --- kernels ------------------------------------------------------------------------------------------------------ */

static void build_map(struct build *b) {
    struct fuse_group *group = b->group;
    struct ir_kernel *kernel = b->kernel;
    kernel->kind = KERNEL_MAP;
    kernel->n_par = group->rank;
    int dims[TYPE_MAX_RANK];
    for (int d = 0; d < group->rank; d++) dims[d] = d, b->launch->extents[d] = group->shape[d];
    const struct view_map *map = loops_map(b, group->rank, dims);
    b->region = &kernel->body;
    memo_reset(b);
    for (int i = 0; i < group->n_roots; i++) store_root(b, group->roots[i], map, 0);
}

static void build_reduce(struct build *b) {
    struct fuse_group *group = b->group;
    struct ir_kernel *kernel = b->kernel;
    bool columns = group->rank > 0 && !(group->axes >> (group->rank - 1) & 1);
    kernel->kind = columns ? KERNEL_COLUMNS : KERNEL_LANES;
    kernel->lanes = columns ? 0 : group->lanes == FUSE_LANES_F32 ? 64 : 32;
    int dims[TYPE_MAX_RANK];
    for (int d = 0; d < group->rank; d++)
        if (!(group->axes >> d & 1)) dims[d] = kernel->n_par++;
    for (int d = 0; d < group->rank; d++)
        if (group->axes >> d & 1) dims[d] = kernel->n_par + kernel->n_red++;
    for (int d = 0; d < group->rank; d++) b->launch->extents[dims[d]] = group->shape[d];

    const struct view_map *map = loops_map(b, group->rank, dims);
    b->region = &kernel->body;
    memo_reset(b);
    /* First, so that the reductions' operands find their values. */
    for (int i = 0; i < group->n_maps; i++) store_root(b, group->maps[i], map, 1u << kernel->n_par);
    kernel->n_reductions = group->n_reduces;
    kernel->reductions = ARENA_ARRAY(b->arena, struct kernel_reduction, group->n_reduces);
    struct ir_value **results = ARENA_ARRAY(b->arena, struct ir_value *, 2 * group->n_reduces);
    int n_results = 0;
    for (int i = 0; i < group->n_reduces; i++) {
        struct graph_node *node = group->reduces[i];
        kernel->reductions[i] = (struct kernel_reduction){node->reduce, node->type, n_results};
        for (int k = 0; k < node->n_args; k++) results[n_results++] = lower(b, node->args[k], map);
    }
    body_set_results(b->arena, b->region, n_results, results);

    enum dtype *types = ARENA_ARRAY(b->arena, enum dtype, group->n_reduces);
    for (int i = 0; i < group->n_reduces; i++) types[i] = group->reduces[i]->type;
    kernel->epilogue = *body_region(b->arena, group->n_reduces, types);
    b->region = &kernel->epilogue;
    b->in_epilogue = true;
    memo_reset(b);
    int identity[TYPE_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    const struct view_map *par = loops_map(b, kernel->n_par, identity);
    for (int i = 0; i < group->n_reduces; i++)
        memo_put(b, group->reduces[i], arg_map(b, group->reduces[i], par), kernel->epilogue.params[i]);
    for (int i = 0; i < group->n_roots; i++) store_root(b, group->roots[i], par, 0);
}

static const char *kernel_name(struct build *b, int index) {
    const struct fuse_group *group = b->group;
    struct strbuf name;
    strbuf_init(&name, b->arena);
    strbuf_printf(&name, "k%d", index);
    if (group->kind == FUSE_MAP) strbuf_puts(&name, "_map");
    for (int i = 0; i < group->n_reduces && i < 3; i++)
        strbuf_printf(&name, "_%s", reduce_names[group->reduces[i]->reduce]);
    return strbuf_text(&name);
}

/* The runtime merges dimensions of kernels that don't ask for positions: an operand that moves along one parallel (or
 * reduced) dimension may then move along any of them. */
static void widen_uses(struct ir_kernel *kernel) {
    unsigned par = (1u << kernel->n_par) - 1, red = ((1u << kernel->n_red) - 1) << kernel->n_par;
    if (kernel->uses_index) return;
    for (int i = 0; i < kernel->n_operands; i++) {
        unsigned uses = kernel->operands[i].uses;
        kernel->operands[i].uses = (uses & par ? par : 0) | (uses & red ? red : 0);
    }
}

void fuse_build(struct fuse *fuse, struct fuse_group *group) {
    struct build b = {.fuse = fuse, .group = group, .arena = fuse->plan->arena, .sizes = &fuse->plan->sizes};
    b.kernel = ARENA_NEW(b.arena, struct ir_kernel);
    b.launch = ARENA_NEW(b.arena, struct plan_launch);
    b.launch->kernel = b.kernel;
    struct view_map scalar = {.source_rank = 0};
    b.scalar_map = intern_map(&b, &scalar);
    if (group->kind == FUSE_MAP)
        build_map(&b);
    else
        build_reduce(&b);
    widen_uses(b.kernel);
    kernel_number(b.kernel);
    struct plan *plan = fuse->plan;
    b.launch->index = plan->n_launches;
    b.kernel->name = kernel_name(&b, plan->n_launches);
    b.launch->span = group->n_roots ? group->roots[0]->span : (struct span){0};
    ARENA_PUSH(plan->arena, plan->launches, plan->n_launches, plan->launches_capacity) = b.launch;
    group->launch = b.launch;
}
