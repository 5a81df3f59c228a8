/* slabs.c: large maps from host memory to host memory, slab by slab. */
#include <string.h>

#include "runtime/gpu.h"
#include "runtime/launch.h"

enum {
    MOST_OPERANDS = 24,
    LEAST_SLABS = 4, /* fewer would overlap too little */
    ROUND_SLABS = 8, /* as many, if that makes them smaller than slab_bytes */
    UNIT = 64,       /* elements: slabs begin at a multiple along the innermost dimension, so vectors stay aligned */
    ALIGNMENT = 256,
};

/* --- what can be known of a plan before it runs ------------------------------------------------------------------- */

struct use {
    int launches, others; /* that read the slot; others: or fill it by sharing */
    const struct plan_launch *last;
};

static void use_launch(const struct plan_launch *launch, bool in_loop, struct use *uses) {
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        if (launch->kernel->operands[k].kind == OPERAND_WRITE || launch->operands[k].slot < 0) continue;
        struct use *use = &uses[launch->operands[k].slot];
        if (use->last != launch) use->launches++;
        if (in_loop) use->others++;
        use->last = launch;
    }
}

static void use_block(const struct plan_block *block, bool in_loop, struct use *uses) {
    for (int i = 0; i < block->n_steps; i++) {
        const struct plan_step *step = block->steps[i];
        if (step->kind == STEP_IF) uses[step->condition].others++;
        if (step->kind == STEP_COPY) uses[step->slot].others++;
        if (step->kind == STEP_COPY && step->source >= 0) uses[step->source].others++;
        for (int k = 0; k < step->n_actions; k++) {
            const struct plan_action *action = step->actions[k];
            if (action->kind == ACTION_KERNEL) use_launch(action->launch, in_loop, uses);
            if (action->kind == ACTION_SHARE) {
                uses[action->slot].others++;
                if (action->source >= 0) uses[action->source].others++;
            }
            if (action->kind != ACTION_EFFECT) continue;
            for (int j = 0; j < action->sink->n_nodes; j++)
                if (action->effect_slots[j] >= 0) uses[action->effect_slots[j]].others++;
        }
        use_block(&step->block, in_loop || step->kind == STEP_LOOP, uses);
        use_block(&step->other, in_loop, uses);
    }
}

/* Every position by itself, and none that could fail: a kernel that looks at its position, or into a whole array, would
 * have to be told where the slab begins. */
static bool is_sliceable(const struct plan_entry *entry, const struct plan_launch *launch, const struct use *uses) {
    const struct ir_kernel *kernel = launch->kernel;
    if (kernel->kind != KERNEL_MAP || kernel->uses_index || kernel->n_par < 1 || kernel->n_par > TYPE_MAX_RANK ||
        kernel->n_operands > MOST_OPERANDS)
        return false;
    for (int k = 0; k < kernel->n_operands; k++) {
        if (kernel->operands[k].kind == OPERAND_WHOLE) return false;
        int slot = launch->operands[k].slot;
        if (kernel->operands[k].kind == OPERAND_WRITE && (!entry->stays[slot] || uses[slot].launches)) return false;
    }
    return true;
}

void slabs_find(struct plan_entry *entry) {
    const struct plan *plan = entry->plan;
    struct use *uses = ARENA_ARRAY(&entry->arena, struct use, plan->n_slots + 1);
    entry->read_once = ARENA_ARRAY(&entry->arena, bool, plan->n_slots + 1);
    entry->stays = ARENA_ARRAY(&entry->arena, bool, plan->n_slots + 1);
    use_block(&plan->body, false, uses);
    for (int i = 0; i < plan->n_slots; i++) entry->read_once[i] = uses[i].launches == 1 && !uses[i].others;
    for (int i = 0; i < plan->n_outputs; i++)
        entry->stays[plan->output_slots[i]] = entry->outputs[i].direct && !uses[plan->output_slots[i]].others;
    for (int i = 0; i < plan->n_launches; i++)
        entry->launches[i].in_slabs = is_sliceable(entry, plan->launches[i], uses);
}

/* --- cutting ------------------------------------------------------------------------------------------------------ */

struct slab_operand {
    enum { SLAB_HERE, SLAB_SENT, SLAB_SAME, SLAB_MADE } kind; /* here: on the GPU, or a value */
    int same;                                                 /* SLAB_SAME: sent as that operand */
    struct host_array view;                                   /* sent, made: in host memory, as the loops see it */
    char *first;                                              /* here: its first element */
    int64_t place;                                            /* sent, made: in a turn's memory */
};

struct slabs {
    struct launch *launch;
    int dim;                     /* that is cut */
    int64_t extent, unit, units; /* of it: whole, and in steps that slabs may begin at */
    int64_t count, most;         /* slabs; the extent of the largest */
    int64_t turn_bytes;
    uint64_t memory; /* on the GPU: of CUDA_TURNS turns */
    int64_t positions;
    double bytes;
    struct slab_operand operands[MOST_OPERANDS];
};

static int64_t slab_begin(const struct slabs *slabs, int64_t i) {
    if (i == slabs->count) return slabs->extent;
    int64_t step = slabs->units / slabs->count, more = slabs->units % slabs->count;
    return (i * step + (i < more ? i : more)) * slabs->unit;
}

/* The outputs are wanted in host memory, just as the launch writes them. */
static bool goes_home(const struct launch *launch) {
    const struct run *run = launch->run;
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        if (launch->kernel->operands[k].kind != OPERAND_WRITE) continue;
        const DLTensor *out = run->direct ? run->direct[launch->plan->operands[k].slot] : NULL;
        if (out ? memcmp(out->shape, launch->extents, sizeof *out->shape * (size_t)launch->kernel->n_par) != 0
                : !run->gpu->results_here)
            return false;
    }
    return true;
}

static bool may_send(const struct launch *launch, int number) {
    const struct run *run = launch->run;
    int slot = launch->plan->operands[number].slot;
    return launch->kernel->operands[number].kind == OPERAND_READ && launch->kernel->operands[number].uses &&
           slot >= 0 && run->entry->read_once[slot] && run->slots[slot].data && !run->gpu->slots[slot].there;
}

/* Strides and addresses, of the host's arrays for what is sent, and the merged loops. What is not sent is copied as a
 * whole. */
static bool bind(struct slabs *slabs, const int64_t *shape) {
    struct launch *launch = slabs->launch;
    const struct ir_kernel *kernel = launch->kernel;
    memcpy(launch->extents, shape, sizeof *shape * (size_t)kernel->n_par);
    launch->bytes = launch->written = 0;
    for (int k = 0; k < kernel->n_operands; k++) {
        if (slabs->operands[k].kind != SLAB_MADE) {
            if (!launch_bind(launch, k, slabs->operands[k].kind == SLAB_HERE)) return false;
            continue;
        }
        launch->arguments[k] = (struct kernel_argument){NULL, launch->operands[k].stride, launch->operands[k].size};
        launch->key[k] = 0;
        run_contiguous(kernel->operands[k].type, kernel->n_par, shape, launch->operands[k].stride);
        launch->written += (double)launch->positions * dtype_size(kernel->operands[k].type);
    }
    launch->bytes += launch->written;
    launch_merge(launch, 0);
    return true;
}

static struct host_array view_of(const struct launch *launch, int number) {
    const struct run_slot *slot = &launch->run->slots[launch->plan->operands[number].slot];
    struct host_array view = {.ours = slot->buffer || launch->run->n_files > 0,
                              .type = launch->kernel->operands[number].type,
                              .rank = launch->kernel->n_par,
                              .data = launch->arguments[number].data,
                              .shape = launch->extents};
    memcpy(view.stride, launch->operands[number].stride, sizeof *view.stride * (size_t)view.rank);
    return view;
}

/* No stride is longer than that of the dimension that is cut: slabs lie apart from each other. */
static bool is_outermost(const struct slabs *slabs, const struct host_array *view) {
    int64_t longest = view->stride[slabs->dim] < 0 ? -view->stride[slabs->dim] : view->stride[slabs->dim];
    for (int j = 0; j < view->rank; j++) {
        int64_t step = view->stride[j] < 0 ? -view->stride[j] : view->stride[j];
        if (view->shape[j] > 1 && step > longest) return false;
    }
    return longest > 0;
}

/* Finds the operands that can be sent in slabs. Returns how many of those thought of cannot. */
static int sort_out(struct slabs *slabs) {
    struct launch *launch = slabs->launch;
    int n = launch->kernel->n_operands, refused = 0;
    for (int k = 0; k < n; k++) {
        struct slab_operand *operand = &slabs->operands[k];
        if (operand->kind != SLAB_SENT && operand->kind != SLAB_SAME) continue;
        operand->view = view_of(launch, k);
        operand->kind = SLAB_SENT;
        bool good = is_outermost(slabs, &operand->view);
        for (int j = 0; j < k && good; j++) {
            struct slab_operand *other = &slabs->operands[j];
            if (other->kind != SLAB_SENT) continue;
            if (other->view.data == operand->view.data && other->view.type == operand->view.type &&
                memcmp(other->view.stride, operand->view.stride, sizeof(int64_t) * (size_t)operand->view.rank) == 0) {
                operand->kind = SLAB_SAME, operand->same = j;
                break;
            }
            if (launch->plan->operands[j].slot == launch->plan->operands[k].slot) {
                good = false; /* two views of one array, which would be sent twice */
                other->kind = SLAB_HERE;
                refused++;
            }
        }
        if (good) continue;
        operand->kind = SLAB_HERE;
        refused++;
    }
    return refused;
}

static int64_t round_up(int64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Bytes that travel for the operand in slabs of `extent`. */
static int64_t bytes_of(const struct slabs *slabs, int number, int64_t extent) {
    const struct slab_operand *operand = &slabs->operands[number];
    const struct launch *launch = slabs->launch;
    if (operand->kind == SLAB_MADE) return extent * launch->operands[number].stride[slabs->dim];
    if (operand->kind != SLAB_SENT) return 0;
    int64_t shape[TYPE_MAX_RANK];
    memcpy(shape, launch->extents, sizeof *shape * (size_t)launch->kernel->n_par);
    shape[slabs->dim] = extent;
    struct host_array view = operand->view;
    struct parcel parcel;
    view.shape = shape;
    parcel_plan(&view, &parcel);
    return parcel.bytes;
}

/* How many slabs, and where they are put. False: not worth it. */
static bool cut(struct slabs *slabs) {
    const struct launch *launch = slabs->launch;
    const jit_context *context = launch->run->context;
    int n = launch->kernel->n_operands;
    int64_t largest = 0;
    double moved = 0;
    slabs->extent = launch->extents[slabs->dim];
    slabs->unit = slabs->dim == launch->kernel->n_par - 1 ? UNIT : 1;
    slabs->units = slabs->extent / slabs->unit;
    for (int k = 0; k < n; k++) {
        int64_t bytes = bytes_of(slabs, k, slabs->extent);
        if (bytes > largest) largest = bytes;
        moved += (double)bytes;
    }
    if (slabs->units < LEAST_SLABS || moved < (double)context->slabs_from) return false;
    int64_t wanted = largest / ROUND_SLABS < context->slab_bytes ? largest / ROUND_SLABS : context->slab_bytes;
    int64_t each = largest / slabs->units, step = each < wanted ? wanted / each : 1;
    /* With two or more at a time each slab has several rows, else each has one: one variant of the kernel does. */
    slabs->count = slabs->units / step;
    if (slabs->count < LEAST_SLABS) return false;
    slabs->most = (slabs->units + slabs->count - 1) / slabs->count * slabs->unit + slabs->extent % slabs->unit;
    for (int k = 0; k < n; k++) {
        slabs->operands[k].place = slabs->turn_bytes;
        slabs->turn_bytes += round_up(bytes_of(slabs, k, slabs->most));
    }
    return (double)slabs->turn_bytes * CUDA_TURNS < moved; /* else the slabs overlap too much, or are too few */
}

/* Binds the launch and decides. `shape`: the extents before merging. */
static bool plan(struct slabs *slabs, const int64_t *shape, bool *ok) {
    struct launch *launch = slabs->launch;
    int n = launch->kernel->n_operands, sent = 0;
    for (int k = 0; k < n; k++) {
        bool written = launch->kernel->operands[k].kind == OPERAND_WRITE;
        slabs->operands[k].kind = written ? SLAB_MADE : may_send(launch, k) ? SLAB_SENT : SLAB_HERE;
    }
    /* What is sent as a whole after all may lie otherwise on the GPU, so that other loops merge. */
    do {
        if (!(*ok = bind(slabs, shape))) return false;
        slabs->dim = 0;
        while (slabs->dim < launch->kernel->n_par - 1 && launch->extents[slabs->dim] == 1) slabs->dim++;
    } while (sort_out(slabs));
    for (int k = 0; k < n; k++) sent += slabs->operands[k].kind == SLAB_SENT;
    return sent > 0 && cut(slabs);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static uint64_t turn_address(const struct slabs *slabs, int64_t slab, int number) {
    return slabs->memory + (uint64_t)(slab % CUDA_TURNS * slabs->turn_bytes + slabs->operands[number].place);
}

static bool upload(struct slabs *slabs, int64_t slab, int number) {
    struct launch *launch = slabs->launch;
    struct run *run = launch->run;
    const struct slab_operand *operand = &slabs->operands[number];
    struct host_array part = operand->view;
    struct parcel parcel;
    part.shape = launch->extents; /* the slab's */
    part.data += slab_begin(slabs, slab) * part.stride[slabs->dim];
    parcel_plan(&part, &parcel);
    if (!parcel_pack(run, &part, &parcel, launch->span)) return false;
    uint64_t to = turn_address(slabs, slab, number);
    bool sent = cuda_turn_upload(run->gpu->work, to, parcel.from, (size_t)parcel.bytes, parcel.packed || part.ours,
                                 &run->gpu->failure);
    pool_release(parcel.packed);
    if (!sent) return gpu_fail(run, launch->span, &run->gpu->failure);
    launch->arguments[number].data = (char *)(uintptr_t)(to + (uint64_t)parcel.below);
    memcpy(launch->operands[number].stride, parcel.stride, sizeof *parcel.stride * (size_t)part.rank);
    return true;
}

static bool compute(struct slabs *slabs, int64_t slab) {
    struct launch *launch = slabs->launch;
    struct gpu_run *gpu = launch->run->gpu;
    int turn = (int)(slab % CUDA_TURNS);
    int64_t begin = slab_begin(slabs, slab), extent = slab_begin(slabs, slab + 1) - begin;
    if (!cuda_turn_begin(gpu->work, turn, slab >= CUDA_TURNS, &gpu->failure))
        return gpu_fail(launch->run, launch->span, &gpu->failure);
    launch->extents[slabs->dim] = extent;
    launch->positions = slabs->positions / slabs->extent * extent;
    launch->bytes = slabs->bytes * ((double)extent / (double)slabs->extent);
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        const struct slab_operand *operand = &slabs->operands[k];
        switch (operand->kind) {
        case SLAB_HERE:
            launch->arguments[k].data = operand->first + begin * launch->operands[k].stride[slabs->dim];
            break;
        case SLAB_SENT:
            if (!upload(slabs, slab, k)) return false;
            break;
        case SLAB_SAME:
            launch->arguments[k].data = launch->arguments[operand->same].data;
            memcpy(launch->operands[k].stride, launch->operands[operand->same].stride, sizeof launch->operands->stride);
            break;
        case SLAB_MADE: launch->arguments[k].data = (char *)(uintptr_t)turn_address(slabs, slab, k); break;
        }
    }
    if (!launch_cuda(launch)) return false;
    return cuda_turn_computed(gpu->work, turn, &gpu->failure) || gpu_fail(launch->run, launch->span, &gpu->failure);
}

static bool download(struct slabs *slabs, int64_t slab) {
    struct launch *launch = slabs->launch;
    struct gpu_run *gpu = launch->run->gpu;
    int64_t begin = slab_begin(slabs, slab), extent = slab_begin(slabs, slab + 1) - begin;
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        if (slabs->operands[k].kind != SLAB_MADE) continue;
        int64_t step = launch->operands[k].stride[slabs->dim];
        char *to = launch->run->slots[launch->plan->operands[k].slot].data + begin * step;
        if (!cuda_turn_download(gpu->work, (int)(slab % CUDA_TURNS), to, turn_address(slabs, slab, k),
                                (size_t)(extent * step), &gpu->failure))
            return gpu_fail(launch->run, launch->span, &gpu->failure);
    }
    return true;
}

/* Downloads follow the launch of the next slab, so that the host never waits for what it has just put. */
static bool run_slabs(struct slabs *slabs) {
    struct launch *launch = slabs->launch;
    struct run *run = launch->run;
    for (int k = 0; k < launch->kernel->n_operands; k++) slabs->operands[k].first = launch->arguments[k].data;
    for (int64_t i = 0; i <= slabs->count; i++) {
        if (__atomic_load_n(run->cancel, __ATOMIC_RELAXED)) {
            run->status = error_set(run->error, JIT_CANCELLED, "cancelled");
            return false;
        }
        if (i < slabs->count && !compute(slabs, i)) return false;
        if (i > 0 && !download(slabs, i - 1)) return false;
    }
    return true;
}

/* Memory on the host for the outputs, and on the GPU for the turns. */
static bool take(struct slabs *slabs, const int64_t *shape) {
    struct launch *launch = slabs->launch;
    struct run *run = launch->run;
    struct gpu_run *gpu = run->gpu;
    for (int k = 0; k < launch->kernel->n_operands; k++)
        if (slabs->operands[k].kind == SLAB_MADE &&
            !run_allocate(run, launch->plan->operands[k].slot, launch->kernel->n_par, shape, launch->span))
            return false;
    struct cuda_buffer *buffer = cuda_take(gpu->work, (size_t)slabs->turn_bytes * CUDA_TURNS, &gpu->failure);
    if (!buffer) return gpu_fail(run, launch->span, &gpu->failure);
    slabs->memory = buffer->address;
    return gpu_hold(run, buffer) &&
           (cuda_turns_begin(gpu->work, &gpu->failure) || gpu_fail(run, launch->span, &gpu->failure));
}

/* False for sure, before anything is looked at more closely: not worth it, or not wanted in host memory. */
static bool may_suit(const struct launch *launch) {
    const struct run *run = launch->run;
    return !run->preparing && launch->positions > 0 &&
           (double)launch->positions * launch->kernel->n_operands * 8 >= (double)run->context->slabs_from &&
           goes_home(launch);
}

/* Bit j: the array that is read depends on loop dimension j. */
static unsigned dimensions_of(const struct view_map *map) {
    unsigned dimensions = 0;
    for (int d = 0; d < map->source_rank; d++)
        for (int t = 0; t < map->axis[d].n_terms; t++) dimensions |= 1u << map->axis[d].terms[t].dim;
    return dimensions;
}

bool slabs_suit(const struct launch *launch) {
    if (!launch->state->in_slabs || !may_suit(launch)) return false;
    const struct ir_kernel *kernel = launch->kernel;
    bool sends = false;
    double moved = 0;
    int dim = 0;
    while (dim < kernel->n_par - 1 && launch->extents[dim] == 1) dim++;
    for (int k = 0; k < kernel->n_operands; k++) {
        bool written = kernel->operands[k].kind == OPERAND_WRITE;
        unsigned dimensions = written ? ~0u : dimensions_of(&launch->plan->operands[k].map);
        if (!written && !(may_send(launch, k) && dimensions >> dim & 1)) continue;
        double bytes = (double)dtype_size(kernel->operands[k].type);
        for (int j = 0; j < kernel->n_par; j++)
            if (dimensions >> j & 1) bytes *= (double)launch->extents[j];
        sends |= !written;
        moved += bytes;
    }
    return sends && moved >= (double)launch->run->context->slabs_from;
}

bool slabs_launch(struct launch *launch, bool *ok) {
    if (!may_suit(launch)) return false;
    int64_t shape[KERNEL_MAX_LOOPS];
    memcpy(shape, launch->extents, sizeof shape);
    struct slabs slabs = {.launch = launch, .positions = launch->positions};
    if (plan(&slabs, shape, ok)) {
        slabs.bytes = launch->bytes;
        *ok = take(&slabs, shape) && run_slabs(&slabs);
        return true;
    }
    memcpy(launch->extents, shape, sizeof shape);
    launch->bytes = launch->written = 0;
    return !*ok;
}
