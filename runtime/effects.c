/* effects.c: print, save, load and assert. */
#include <string.h>

#include "runtime/format.h"
#include "runtime/gpu.h"
#include "runtime/npy.h"

/* Data, shape and strides of what an effect uses: a slot or a literal. */
struct view {
    enum dtype type;
    int rank;
    const char *data;
    const int64_t *shape;
    int64_t stride[TYPE_MAX_RANK];
};

static struct view view_of(const struct run *run, int source) {
    struct view view = {0};
    if (source < 0) {
        const struct plan_literal *literal = &run->plan->literals[-1 - source];
        view.type = literal->type, view.rank = literal->rank, view.data = literal->data, view.shape = literal->shape;
        run_contiguous(literal->type, literal->rank, literal->shape, view.stride);
        return view;
    }
    const struct run_slot *slot = &run->slots[source];
    view.type = run->plan->slots[source].type, view.rank = run->plan->slots[source].rank;
    view.data = slot->data, view.shape = slot->shape;
    memcpy(view.stride, slot->stride, sizeof view.stride);
    return view;
}

struct print_job {
    const struct run *run;
    const struct plan_action *action;
    struct arena arena;
    struct strbuf out;
};

static void format_line(void *argument) {
    struct print_job *job = argument;
    const struct graph_sink *sink = job->action->sink;
    strbuf_init(&job->out, &job->arena);
    for (int i = 0, node = 0; i < sink->n_items; i++) {
        if (i) strbuf_putc(&job->out, ' ');
        if (sink->texts[i]) {
            strbuf_puts(&job->out, sink->texts[i]);
            continue;
        }
        struct view view = view_of(job->run, job->action->effect_slots[node++]);
        if (view.rank == 0)
            format_scalar(&job->out, view.type, view.data);
        else
            format_array(&job->out, view.type, view.data, view.rank, view.shape, view.stride);
    }
    strbuf_putc(&job->out, '\n');
}

static bool effect_print(struct run *run, const struct plan_action *action) {
    const jit_options *options = &run->context->options;
    struct print_job job = {.run = run, .action = action};
    arena_init(&job.arena, &run->context->mem);
    bool ok = arena_try(&job.arena, format_line, &job);
    if (ok)
        options->print(options->host, job.out.text, job.out.length);
    else
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while printing");
    arena_free(&job.arena);
    return ok;
}

static bool effect_save(struct run *run, const struct plan_action *action) {
    struct view view = view_of(run, action->effect_slots[0]);
    struct npy_error error;
    if (npy_write(action->sink->text, &run->context->mem, view.type, view.rank, view.shape, view.stride, view.data,
                  &error))
        return true;
    run->status = error_at(run->error, run->function, (jit_status)error.code, action->sink->span, "%s", error.text);
    return false;
}

static bool effect_assert(struct run *run, const struct plan_action *action) {
    if (*view_of(run, action->effect_slots[0]).data) return true;
    const char *text = action->sink->text;
    run->status = error_at(run->error, run->function, JIT_ASSERT, action->sink->span, "%s",
                           text && *text ? text : "the assertion does not hold");
    return false;
}

static bool effect_load(struct run *run, const struct plan_action *action) {
    const struct graph_sink *sink = action->sink;
    const struct plan_slot *slot = &run->plan->slots[sink->slot];
    DLManagedTensor *file;
    jit_error error = {0};
    jit_status status = jit_load(sink->text, &file, &error);
    if (status != JIT_OK) {
        run->status = error_at(run->error, run->function, status, sink->span, "%s", error.message);
        return false;
    }
    const DLTensor *tensor = &file->dl_tensor;
    if (tensor_dtype(tensor) != slot->type || tensor->ndim != slot->rank) {
        run->status =
            error_at(run->error, run->function, JIT_FILE, sink->span,
                     "%s: the file changed: it holds %s of rank %d now, %s of rank %d when this was compiled",
                     sink->text, dtype_name(tensor_dtype(tensor)), tensor->ndim, dtype_name(slot->type), slot->rank);
        file->deleter(file);
        return false;
    }
    /* A slot that a step fills is contiguous: other layouts (Fortran order) are copied. */
    int64_t stride[TYPE_MAX_RANK], contiguous[TYPE_MAX_RANK];
    tensor_strides(tensor, stride);
    run_contiguous(slot->type, slot->rank, tensor->shape, contiguous);
    bool plain = true;
    for (int d = 0; d < slot->rank; d++)
        if (stride[d] != contiguous[d] && tensor->shape[d] > 1) plain = false;
    const char *data = (const char *)tensor->data + tensor->byte_offset;
    if (!plain) {
        bool ok = run_allocate(run, sink->slot, slot->rank, tensor->shape, sink->span);
        if (ok) run_copy(slot->type, slot->rank, tensor->shape, run->slots[sink->slot].data, contiguous, data, stride);
        file->deleter(file);
        return ok;
    }
    size_t held = (size_t)run->n_files * sizeof *run->files;
    DLManagedTensor **files = mem_resize(&run->context->mem, run->files, held, held + sizeof *files);
    if (!files) {
        file->deleter(file);
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while loading %s", sink->text);
        return false;
    }
    run->files = files;
    files[run->n_files++] = file;
    run_drop(run, sink->slot);
    struct run_slot *fill = &run->slots[sink->slot];
    fill->data = (char *)data;
    for (int d = 0; d < slot->rank; d++) fill->shape[d] = tensor->shape[d], fill->stride[d] = contiguous[d];
    return true;
}

/* Ahead of any run (jit_emit) nothing is read: the array has a made-up size and the layout that loaded arrays have. */
static bool prepare_load(struct run *run, const struct graph_sink *sink) {
    static char nowhere[64];
    const struct plan_slot *info = &run->plan->slots[sink->slot];
    struct run_slot *slot = &run->slots[sink->slot];
    run_drop(run, sink->slot);
    slot->data = nowhere;
    for (int d = 0; d < info->rank; d++) slot->shape[d] = info->rank > 3 ? 10 : 1000;
    run_contiguous(info->type, info->rank, slot->shape, slot->stride);
    return true;
}

/* On a GPU: what comes before must have succeeded before anything is seen of it, and what is shown must be here. */
static bool come_to_host(struct run *run, const struct plan_action *action) {
    for (int i = 0; i < action->sink->n_nodes; i++)
        if (action->effect_slots[i] >= 0 && !run_to_host(run, action->effect_slots[i])) return false;
    return gpu_settle(run);
}

bool effect_run(struct run *run, const struct plan_action *action) {
    if (run->preparing) return action->sink->kind != SINK_LOAD || prepare_load(run, action->sink);
    if (run->gpu && !come_to_host(run, action)) return false;
    switch (action->sink->kind) {
    case SINK_PRINT: return effect_print(run, action);
    case SINK_SAVE: return effect_save(run, action);
    case SINK_ASSERT: return effect_assert(run, action);
    case SINK_LOAD: return effect_load(run, action);
    case SINK_SLOT:
    case SINK_CHECK: break; /* actions of their own */
    }
    return true;
}
