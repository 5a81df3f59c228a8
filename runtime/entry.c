/* entry.c: plans by signature: found without a lock, built under the function's. */
#include <string.h>

#include "ir/fuse.h"
#include "ir/verify.h"
#include "runtime/gpu.h"

static bool same_bindings(const struct plan_entry *entry, const struct frontend_binding *bindings, int n) {
    for (int i = 0; i < n; i++)
        if (entry->bindings[i].type != bindings[i].type || entry->bindings[i].rank != bindings[i].rank ||
            entry->bindings[i].ones != bindings[i].ones || entry->bindings[i].any_size != bindings[i].any_size)
            return false;
    return true;
}

static struct plan_entry *find(jit_function *function, const struct frontend_binding *bindings) {
    int n = function->program->n_inputs;
    for (struct plan_entry *e = atomic_load_explicit(&function->entries, memory_order_acquire); e; e = e->next)
        if (same_bindings(e, bindings, n)) return e;
    return NULL;
}

/* --- what can be known of a plan before it runs ------------------------------------------------------------------- */

struct writers {
    int kernels, others; /* actions that fill the slot */
    bool in_loop;
};

static void count_writers(const struct plan_block *block, int slot, bool in_loop, struct writers *writers) {
    for (int i = 0; i < block->n_steps; i++) {
        const struct plan_step *step = block->steps[i];
        if (step->kind == STEP_COPY && step->slot == slot) writers->others++;
        for (int k = 0; k < step->n_actions; k++) {
            const struct plan_action *action = step->actions[k];
            if (action->kind == ACTION_SHARE && action->slot == slot) writers->others++;
            if (action->kind == ACTION_EFFECT && action->sink->kind == SINK_LOAD && action->sink->slot == slot)
                writers->others++;
            if (action->kind != ACTION_KERNEL) continue;
            const struct plan_launch *launch = action->launch;
            for (int j = 0; j < launch->kernel->n_operands; j++)
                if (launch->kernel->operands[j].kind == OPERAND_WRITE && launch->operands[j].slot == slot) {
                    writers->kernels++;
                    writers->in_loop |= in_loop;
                }
        }
        bool loop = in_loop || step->kind == STEP_LOOP;
        count_writers(&step->block, slot, loop, writers);
        count_writers(&step->other, slot, loop, writers);
    }
}

/* True if every read of the one kernel is at the position that is being written. */
static bool is_in_place(const struct plan *plan) {
    if (plan->body.n_steps != 1 || plan->body.steps[0]->kind != STEP_GRAPH || plan->n_launches != 1) return false;
    const struct plan_launch *launch = plan->launches[0];
    if (launch->kernel->kind != KERNEL_MAP) return false;
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        const struct launch_operand *operand = &launch->operands[k];
        if (launch->kernel->operands[k].kind == OPERAND_WRITE) continue;
        if (launch->kernel->operands[k].kind == OPERAND_WHOLE) return false;
        if (operand->map.source_rank == 0) return false; /* a scalar that is read again and again */
        if (operand->map.source_rank != launch->kernel->n_par) return false;
        for (int d = 0; d < operand->map.source_rank; d++) {
            const struct view_axis *axis = &operand->map.axis[d];
            if (!size_is_const(axis->offset, 0) || axis->n_terms != 1 || axis->terms[0].dim != d ||
                !size_is_const(axis->terms[0].coef, 1))
                return false;
        }
    }
    return true;
}

static void analyse(struct plan_entry *entry) {
    struct plan *plan = entry->plan;
    entry->launches = ARENA_ARRAY(&entry->arena, struct launch_state, plan->n_launches + 1);
    entry->rows = ARENA_ARRAY(&entry->arena, struct launch_state, plan->n_rows + 1);
    entry->outputs = ARENA_ARRAY(&entry->arena, struct output_info, plan->n_outputs + 1);
    entry->initial_sizes = ARENA_ARRAY(&entry->arena, int64_t, plan->sizes.count + 1);
    for (int id = 0; id < plan->sizes.count; id++)
        if (plan->sizes.items[id]->op == SIZE_CONST) entry->initial_sizes[id] = plan->sizes.items[id]->value;
    for (int i = 0; i < plan->n_outputs; i++) {
        struct writers writers = {0};
        count_writers(&plan->body, plan->output_slots[i], false, &writers);
        bool once = writers.kernels == 1 && writers.others == 0 && !writers.in_loop;
        for (int k = 0; k < plan->n_outputs; k++)
            if (k != i && plan->output_slots[k] == plan->output_slots[i]) once = false;
        entry->outputs[i].direct = once && plan->slots[plan->output_slots[i]].input < 0;
    }
    /* With one output only: of several, one could be written over an input that another has yet to read. */
    entry->in_place = plan->n_outputs == 1 && entry->outputs[0].direct && is_in_place(plan);
    places_find(entry);
    slabs_find(entry);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

struct build_job {
    jit_function *function;
    struct plan_entry *entry;
    struct diag_list diags;
    bool ok;
    const char *internal; /* a broken invariant, in debug builds */
};

static void build(void *argument) {
    struct build_job *job = argument;
    struct plan_entry *entry = job->entry;
    jit_function *function = job->function;
    diag_init(&job->diags, &entry->arena, function->file, function->source, function->source_length);
    job->diags.hidden = function->hidden;
    entry->plan = frontend_instantiate(function->program, &entry->arena, entry->bindings, &job->diags);
    if (!entry->plan || job->diags.count) return;
    fuse_plan(entry->plan, NULL);
#ifndef NDEBUG
    struct strbuf why;
    strbuf_init(&why, &entry->arena);
    if (!verify_plan(entry->plan, &why)) {
        job->internal = strbuf_text(&why);
        return;
    }
#endif
    analyse(entry);
    job->ok = true;
}

struct plan_entry *entry_get(jit_function *function, const struct frontend_binding *bindings, jit_error *error) {
    struct plan_entry *entry = find(function, bindings);
    if (entry) return entry;
    jit_context *context = function->context;
    int n = function->program->n_inputs;
    size_t size = sizeof *entry + sizeof *bindings * (size_t)n;
    fork_hold();
    pthread_mutex_lock(&function->build);
    entry = find(function, bindings);
    if (entry) goto out;
    if (!(entry = mem_zalloc(&context->mem, 1, size))) {
        error_set(error, JIT_MEMORY, "out of memory while compiling");
        goto out;
    }
    arena_init(&entry->arena, &context->mem);
    if (n) memcpy(entry->bindings, bindings, sizeof *bindings * (size_t)n);
    struct build_job job = {.function = function, .entry = entry};
    if (arena_try(&entry->arena, build, &job) && job.ok) {
        entry->next = atomic_load_explicit(&function->entries, memory_order_relaxed);
        atomic_store_explicit(&function->entries, entry, memory_order_release);
        goto out;
    }
    if (job.internal)
        error_set(error, JIT_INTERNAL, "the plan breaks its own rules: %s", job.internal);
    else if (job.diags.count)
        error_from_diags(error, &job.diags);
    else
        error_set(error, JIT_MEMORY, "out of memory while compiling");
    arena_free(&entry->arena);
    mem_free(&context->mem, entry, size);
    entry = NULL;
out:
    pthread_mutex_unlock(&function->build);
    fork_allow();
    return entry;
}

void entry_free_all(jit_function *function) {
    jit_context *context = function->context;
    struct plan_entry *next;
    fork_hold();
    for (struct plan_entry *e = atomic_load(&function->entries); e; e = next) {
        next = e->next;
        for (int i = 0; i < e->plan->n_launches; i++) {
            struct kernel_variant *following;
            for (struct kernel_variant *v = atomic_load(&e->launches[i].variants); v; v = following) {
                following = v->next;
                cpu_kernel_free(context->engine, &v->code);
                mem_free(&context->mem, v, sizeof *v + (size_t)v->key_length);
            }
            gpu_free_variants(context, &e->launches[i]);
        }
        for (int i = 0; i < e->plan->n_rows; i++) gpu_free_variants(context, &e->rows[i]);
        arena_free(&e->arena);
        mem_free(&context->mem, e, sizeof *e + sizeof *e->bindings * (size_t)function->program->n_inputs);
    }
    fork_allow();
    atomic_store(&function->entries, NULL);
}

/* --- ahead of the first call -------------------------------------------------------------------------------------- */

enum {
    PREPARED_EXTENT = 1000,
    MOST_PREPARED =
        100, /* kernels: a longer program compiles each when it gets there, which for most branches is never */
};

static jit_status prepare(jit_function *function, struct plan_entry *entry, struct gpu *gpu, jit_error *error) {
    const struct plan *plan = entry->plan;
    jit_context *context = function->context;
    if (plan->n_launches > MOST_PREPARED) return JIT_OK;
    static const int never = 0;
    size_t slots = sizeof(struct run_slot) * (size_t)(plan->n_slots + 1),
           sizes = sizeof(int64_t) * (size_t)(plan->sizes.count + 1),
           there = gpu ? sizeof(struct gpu_slot) * (size_t)(plan->n_slots + plan->n_literals + 1) : 0;
    char *block = mem_zalloc(&context->mem, 1, slots + sizes + there);
    if (!block) return error_set(error, JIT_MEMORY, "out of memory while compiling");
    struct gpu_run gpu_run; /* large: cleared only where it is used */
    jit_error unheard = {0};
    struct run run = {.function = function,
                      .context = context,
                      .entry = entry,
                      .plan = plan,
                      .cancel = &never,
                      .threads = 1,
                      .preparing = true,
                      .error = &unheard};
    run.slots = (void *)block;
    run.sizes = (void *)(block + slots);
    if (gpu) {
        gpu_run = (struct gpu_run){.gpu = gpu, .slots = (void *)(block + slots + sizes)};
        run.gpu = &gpu_run;
    }
    memcpy(run.sizes, entry->initial_sizes, sizeof(int64_t) * (size_t)plan->sizes.count);
    /* Sizes are made up; the layouts that follow from them are those of contiguous arrays. */
    static char nowhere[64];
    for (int i = 0; i < plan->n_inputs; i++) {
        struct run_slot *slot = &run.slots[plan->input_slots[i]];
        const struct plan_slot *info = &plan->slots[plan->input_slots[i]];
        slot->data = nowhere;
        for (int d = 0; d < info->rank; d++) slot->shape[d] = info->rank > 3 ? 10 : PREPARED_EXTENT;
        run_contiguous(info->type, info->rank, slot->shape, slot->stride);
    }
    bool ok = run_plan(&run);
    for (int i = 0; i < plan->n_slots; i++) run_drop(&run, i);
    mem_free(&context->mem, block, slots + sizes + there);
    /* Made-up sizes may be impossible ones for this program; whatever matters is found again by the call. */
    if (ok || run.status != JIT_INTERNAL) return JIT_OK;
    if (error) *error = unheard;
    return run.status;
}

jit_status entry_prepare(jit_function *function, struct plan_entry *entry, jit_error *error) {
    return prepare(function, entry, NULL, error);
}

jit_status entry_prepare_device(jit_function *function, struct plan_entry *entry, jit_error *error) {
    if (function->context->device < 0) return prepare(function, entry, NULL, error);
    struct gpu *gpu;
    jit_status status = gpu_open(function->context, function->context->device, &gpu, error);
    return status == JIT_OK ? prepare(function, entry, gpu, error) : status;
}
