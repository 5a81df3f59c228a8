/* shape.c: jit_output_shape: what shapes follow from the inputs' alone. Walks the plan as a run does, with sizes in
 * place of arrays; a size that depends on data is unknown. */
#include <string.h>

#include "runtime/runtime.h"

enum { UNKNOWN = -1 };

struct shapes {
    const struct plan *plan;
    int64_t (*slots)[TYPE_MAX_RANK]; /* UNKNOWN where not known */
    int64_t *sizes;                  /* by id, where known */
    bool *known;
    struct arena *arena;
};

/* Operands come before users, so one look at each size decides whether it is known, however often it is used. */
static void walk_sizes(struct shapes *s, int first, int count) {
    for (int id = first; id < first + count; id++) {
        const struct size *size = s->plan->sizes.items[id];
        int64_t leaf = 0;
        if (size->op == SIZE_CONST) continue;
        if (size->op == SIZE_DIM) leaf = s->slots[size->slot][size->dim];
        s->known[id] = size->op != SIZE_SCALAR && leaf != UNKNOWN && (!size->a || s->known[size->a->id]) &&
                       (!size->b || s->known[size->b->id]);
        if (s->known[id])
            s->sizes[id] =
                size_apply(size, size->a ? s->sizes[size->a->id] : 0, size->b ? s->sizes[size->b->id] : 0, leaf);
    }
}

static int64_t known_value(const struct shapes *s, const struct size *size) {
    return s->known[size->id] ? s->sizes[size->id] : UNKNOWN;
}

static void walk_graph(struct shapes *s, const struct plan_step *step) {
    for (int i = 0; i < step->n_actions; i++) {
        const struct plan_action *action = step->actions[i];
        if (action->kind == ACTION_SIZES) walk_sizes(s, action->first, action->count);
        if (action->kind == ACTION_KERNEL) {
            const struct plan_launch *launch = action->launch;
            for (int k = 0; k < launch->kernel->n_operands; k++) {
                const struct kernel_operand *operand = &launch->kernel->operands[k];
                if (operand->kind != OPERAND_WRITE) continue;
                for (int d = 0; d < launch->kernel->n_par + (operand->uses ? launch->kernel->n_red : 0); d++)
                    s->slots[launch->operands[k].slot][d] = known_value(s, launch->extents[d]);
            }
        }
        if (action->kind == ACTION_SHARE) {
            const int64_t *from =
                action->source >= 0 ? s->slots[action->source] : s->plan->literals[-1 - action->source].shape;
            int64_t shape[TYPE_MAX_RANK];
            memcpy(shape, from, sizeof shape);
            for (int d = 0; d < action->rank; d++) shape[d] = known_value(s, action->shape[d]);
            memcpy(s->slots[action->slot], shape, sizeof shape);
        }
        if (action->kind == ACTION_EFFECT && action->sink->kind == SINK_LOAD)
            for (int d = 0; d < TYPE_MAX_RANK; d++) s->slots[action->sink->slot][d] = UNKNOWN;
    }
}

static void walk_block(struct shapes *s, const struct plan_block *block);

/* Either arm may run: sizes on which they differ are unknown. */
static void walk_if(struct shapes *s, const struct plan_step *step) {
    size_t bytes = sizeof *s->slots * (size_t)s->plan->n_slots;
    int64_t(*before)[TYPE_MAX_RANK] = arena_alloc(s->arena, bytes + 1),
    (*then)[TYPE_MAX_RANK] = arena_alloc(s->arena, bytes + 1);
    memcpy(before, s->slots, bytes);
    walk_block(s, &step->block);
    memcpy(then, s->slots, bytes);
    memcpy(s->slots, before, bytes);
    walk_block(s, &step->other);
    for (int i = 0; i < s->plan->n_slots; i++) {
        /* A slot that only one arm fills has that arm's shape: the other leaves the program or sets it nowhere. */
        for (int d = 0; d < TYPE_MAX_RANK; d++) {
            int64_t a = then[i][d], b = s->slots[i][d];
            if (a == b) continue;
            s->slots[i][d] = b == before[i][d] && b == UNKNOWN ? a : a == before[i][d] && a == UNKNOWN ? b : UNKNOWN;
        }
    }
}

static void walk_block(struct shapes *s, const struct plan_block *block) {
    for (int i = 0; i < block->n_steps; i++) {
        const struct plan_step *step = block->steps[i];
        switch (step->kind) {
        case STEP_GRAPH: walk_graph(s, step); break;
        case STEP_IF: walk_if(s, step); break;
        case STEP_LOOP: /* what a loop carries keeps its shape */
        case STEP_SCOPE: walk_block(s, &step->block); break;
        case STEP_LEAVE: break;
        case STEP_COPY: memcpy(s->slots[step->slot], s->slots[step->source], sizeof *s->slots); break;
        }
    }
}

struct shape_job {
    struct arena arena;
    const struct plan_entry *entry;
    const DLTensor *const *in;
    int output;
    int64_t shape[TYPE_MAX_RANK];
};

static void find_shape(void *argument) {
    struct shape_job *job = argument;
    const struct plan *plan = job->entry->plan;
    struct shapes s = {.plan = plan, .arena = &job->arena};
    s.slots = arena_alloc(&job->arena, sizeof *s.slots * (size_t)(plan->n_slots + 1));
    s.sizes = ARENA_ARRAY(&job->arena, int64_t, plan->sizes.count + 1);
    s.known = ARENA_ARRAY(&job->arena, bool, plan->sizes.count + 1);
    for (int id = 0; id < plan->sizes.count; id++) {
        s.sizes[id] = job->entry->initial_sizes[id];
        s.known[id] = plan->sizes.items[id]->op == SIZE_CONST;
    }
    for (int i = 0; i < plan->n_slots; i++)
        for (int d = 0; d < TYPE_MAX_RANK; d++) s.slots[i][d] = UNKNOWN;
    for (int i = 0; i < plan->n_inputs; i++)
        for (int d = 0; job->in[i] && d < job->in[i]->ndim; d++)
            s.slots[plan->input_slots[i]][d] = job->in[i]->shape[d];
    walk_block(&s, &plan->body);
    memcpy(job->shape, s.slots[plan->output_slots[job->output]], sizeof job->shape);
}

jit_status jit_output_shape(const jit_function *function, const DLTensor *const in[], int n_in, int output,
                            jit_dtype *type, int *rank, int64_t *shape, jit_error *error) {
    if (!function) return error_set(error, JIT_ARGUMENT, "the function is NULL");
    jit_function *f = (jit_function *)function;
    if (output < 0 || output >= f->program->n_outputs)
        return error_set(error, JIT_ARGUMENT, "output %d was asked for, the program has %d", output,
                         f->program->n_outputs);
    struct plan_entry *entry;
    jit_status status = call_entry(f, in, n_in, &entry, error);
    if (status != JIT_OK) return status;
    const struct plan_slot *slot = &entry->plan->slots[entry->plan->output_slots[output]];
    if (type) *type = (jit_dtype)slot->type;
    if (rank) *rank = slot->rank;
    if (!shape) return JIT_OK;
    struct shape_job job = {.entry = entry, .in = in, .output = output};
    arena_init(&job.arena, &f->context->mem);
    bool ok = arena_try(&job.arena, find_shape, &job);
    arena_free(&job.arena);
    if (!ok) return error_set(error, JIT_MEMORY, "out of memory");
    for (int d = 0; d < slot->rank; d++) shape[d] = job.shape[d];
    return JIT_OK;
}
