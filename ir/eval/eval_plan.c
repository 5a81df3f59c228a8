/* eval_plan.c: runs the steps of a plan, one stretch at a time, without looking at fusion's actions.
 *
 * A stretch reads its slots as they were when it began; what it assigns to slots becomes visible at its end, at once.
 * Effects (print, assert) cut it into epochs; in each, checks come first, then values, then the effect. */
#include <string.h>

#include "ir/eval/eval_internal.h"

bool eval_fail(struct eval *e, enum diag_code code, struct span span, const char *text) {
    if (e->result->ok) {
        e->result->ok = false;
        e->result->code = code;
        e->result->span = span;
        e->result->text = text;
    }
    return false;
}

/* --- sizes ----------------------------------------------------------------------------------------------------------
 */

static int64_t slot_as_size(const struct eval *e, int slot) {
    const struct eval_array *array = &e->slots[slot];
    if (!array->data) return 0;
    union scalar value = eval_get(array->type, array->data);
    return array->type == TY_U64 && value.i < 0 ? INT64_MAX : value.i;
}

int64_t eval_size(struct eval *e, const struct size *size) {
    if (e->sizes_at[size->id] == e->moment) return e->sizes[size->id];
    int64_t leaf = 0, a = size->a ? eval_size(e, size->a) : 0, b = size->b ? eval_size(e, size->b) : 0;
    if (size->op == SIZE_DIM && e->slots[size->slot].data) leaf = e->slots[size->slot].shape[size->dim];
    if (size->op == SIZE_SCALAR) leaf = slot_as_size(e, size->slot);
    e->sizes_at[size->id] = e->moment;
    return e->sizes[size->id] = size_apply(size, a, b, leaf);
}

static bool run_check(struct eval *e, const struct graph_sink *sink) {
    const struct plan_check *check = sink->check;
    int64_t a = eval_size(e, check->a), b = eval_size(e, check->b);
    bool ok = true;
    switch (check->kind) {
    case CHECK_EQUAL: ok = a == b; break;
    case CHECK_BCAST: ok = a == b || a == 1 || b == 1; break;
    case CHECK_INDEX: ok = 0 <= a && a < b; break;
    case CHECK_AT_LEAST: ok = a >= b; break;
    }
    return ok || eval_fail(e, check->code, sink->span, check->text);
}

/* --- one stretch ----------------------------------------------------------------------------------------------------
 */

static bool ends_epoch(enum sink_kind kind) {
    return kind == SINK_PRINT || kind == SINK_SAVE || kind == SINK_ASSERT || kind == SINK_LOAD;
}

/* Computes the nodes that sinks[first .. last] need, in order, unless it was done before. */
static bool run_nodes(struct eval *e, const struct graph *graph, int first, int last, bool *known,
                      struct eval_array *arrays) {
    bool *needed = ARENA_ARRAY(e->arena, bool, graph->n_nodes + 1);
    for (int i = first; i <= last; i++)
        for (int k = 0; k < graph->sinks[i]->n_nodes; k++) needed[graph->sinks[i]->nodes[k]->id] = true;
    for (int id = graph->n_nodes - 1; id >= 0; id--) {
        const struct graph_node *node = graph->nodes[id];
        if (!needed[id] || known[id]) continue;
        for (int k = 0; k < node->n_args; k++) needed[node->args[k]->id] = true;
        for (int k = 0; k < node->n_whole; k++) needed[node->whole[k]->id] = true;
    }
    for (int id = 0; id < graph->n_nodes; id++) {
        if (!needed[id] || known[id]) continue;
        if (!eval_node(e, graph->nodes[id], arrays)) return false;
        known[id] = true;
    }
    return true;
}

static bool run_effect(struct eval *e, const struct graph_sink *sink, const struct eval_array *arrays) {
    switch (sink->kind) {
    case SINK_PRINT: e->result->n_printed++; return true;
    case SINK_ASSERT:
        return eval_get(TY_BOOL, arrays[sink->nodes[0]->id].data).i ||
               eval_fail(e, DIAG_ASSERT, sink->span, sink->text);
    case SINK_LOAD:
    case SINK_SAVE: return eval_fail(e, DIAG_UNSUPPORTED, sink->span, "the evaluator has no files");
    default: return true;
    }
}

static bool run_graph(struct eval *e, const struct graph *graph) {
    bool *known = ARENA_ARRAY(e->arena, bool, graph->n_nodes + 1);
    struct eval_array *arrays = ARENA_ARRAY(e->arena, struct eval_array, graph->n_nodes + 1);
    for (int first = 0; first < graph->n_sinks;) {
        int last = first;
        while (last + 1 < graph->n_sinks && !ends_epoch(graph->sinks[last]->kind)) last++;
        for (int i = first; i <= last; i++)
            if (graph->sinks[i]->kind == SINK_CHECK && !run_check(e, graph->sinks[i])) return false;
        if (!run_nodes(e, graph, first, last, known, arrays)) return false;
        for (int i = first; i <= last; i++)
            if (!run_effect(e, graph->sinks[i], arrays)) return false;
        first = last + 1;
    }
    for (int i = 0; i < graph->n_sinks; i++)
        if (graph->sinks[i]->kind == SINK_SLOT) e->slots[graph->sinks[i]->slot] = arrays[graph->sinks[i]->nodes[0]->id];
    e->moment++;
    return true;
}

/* --- steps -----------------------------------------------------------------------------------------------------------
 */

static bool run_block(struct eval *e, const struct plan_block *block);

static bool run_step(struct eval *e, const struct plan_step *step) {
    switch (step->kind) {
    case STEP_GRAPH: return run_graph(e, step->graph);
    case STEP_IF: return run_block(e, slot_as_size(e, step->condition) ? &step->block : &step->other);
    case STEP_LOOP:
        while (e->leaving < 0)
            if (!run_block(e, &step->block)) return false;
        return true;
    case STEP_SCOPE:
        if (!run_block(e, &step->block)) return false;
        if (e->leaving == step->scope) e->leaving = -1;
        return true;
    case STEP_LEAVE: e->leaving = step->scope; return true;
    case STEP_COPY:
        e->slots[step->slot] = e->slots[step->source];
        e->moment++;
        return true;
    }
    return true;
}

static bool run_block(struct eval *e, const struct plan_block *block) {
    for (int i = 0; i < block->n_steps && e->leaving < 0; i++)
        if (!run_step(e, block->steps[i])) return false;
    return true;
}

struct eval_result *eval_plan(struct arena *arena, const struct plan *plan, const struct eval_array *inputs,
                              const struct eval_math *math) {
    struct eval_result *result = ARENA_NEW(arena, struct eval_result);
    result->ok = true;
    result->outputs = ARENA_ARRAY(arena, struct eval_array, plan->n_outputs + 1);
    struct eval e = {.arena = arena, .plan = plan, .math = math, .result = result, .moment = 1, .leaving = -1};
    e.slots = ARENA_ARRAY(arena, struct eval_array, plan->n_slots + 1);
    e.sizes = ARENA_ARRAY(arena, int64_t, plan->sizes.count + 1);
    e.sizes_at = ARENA_ARRAY(arena, int, plan->sizes.count + 1);
    for (int i = 0; i < plan->n_inputs; i++) e.slots[plan->input_slots[i]] = inputs[i];
    if (!run_block(&e, &plan->body)) return result;
    for (int i = 0; i < plan->n_outputs; i++) {
        const struct eval_array *slot = &e.slots[plan->output_slots[i]];
        if (!slot->data)
            eval_fail(&e, DIAG_INTERNAL, (struct span){0, 0}, "an output was never set");
        else
            eval_densify(&e, slot, (struct span){0, 0}, &result->outputs[i]);
    }
    return result;
}
