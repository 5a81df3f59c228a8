/* launch.c: one kernel of a plan on the arrays of one run: strides from the index maps, merging of dimensions. The back
 * ends take it from there. */
#include "runtime/launch.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ir/rows.h"
#include "runtime/gpu.h"

static int64_t size_value(const struct run *run, const struct size *size) {
    return run->sizes[size->id];
}

int64_t launch_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void host_source(const struct run *run, int slot, const char **data, const int64_t **stride,
                        int64_t *literal_stride) {
    if (slot >= 0) {
        *data = run->slots[slot].data;
        *stride = run->slots[slot].stride;
        return;
    }
    const struct plan_literal *literal = &run->plan->literals[-1 - slot];
    run_contiguous(literal->type, literal->rank, literal->shape, literal_stride);
    *data = literal->data;
    *stride = literal_stride;
}

/* True if a GPU gets an operand's value instead of its address: one element for all positions, which the host has and
 * keeps. Whether it does depends on the plan and on where the inputs are, so a loop meets the same variant each time.
 */
static bool is_by_value(const struct launch *launch, int number) {
    const struct run *run = launch->run;
    const struct kernel_operand *operand = &launch->kernel->operands[number];
    int slot = launch->plan->operands[number].slot;
    if (operand->kind != OPERAND_READ || operand->uses) return false;
    if (slot < 0) return true; /* literals are never empty where an element is read */
    if (!run->entry->on_host[slot] || !run->slots[slot].data) return false;
    for (int d = 0; d < run->plan->slots[slot].rank; d++)
        if (run->slots[slot].shape[d] == 0) return false;
    return true;
}

bool launch_is_scratch(const struct launch *launch, int slot) {
    return launch->rows && rows_scratch_number(launch->rows, slot) >= 0;
}

static bool read_source(struct launch *launch, int number, bool on_gpu, const char **data, const int64_t **stride,
                        int64_t *literal_stride) {
    struct run *run = launch->run;
    int slot = launch->plan->operands[number].slot;
    launch->key[number] = 0;
    if (launch_is_scratch(launch, slot)) {
        *data = NULL;
        *stride = run->slots[slot].stride;
        return true;
    }
    if (!on_gpu || is_by_value(launch, number)) {
        if (on_gpu) launch->key[number] = PTX_BY_VALUE;
        host_source(run, slot, data, stride, literal_stride);
        return true;
    }
    const struct gpu_slot *source;
    if (!gpu_source(run, slot, launch->span, &source)) return false;
    *data = (char *)(uintptr_t)source->address;
    *stride = source->stride;
    return true;
}

/* Bytes from one position to the next in each dimension that the map's terms name; returns the first element's address.
 */
static char *apply_map(const struct run *run, const struct view_map *map, const char *data, const int64_t *stride,
                       int64_t *out) {
    intptr_t at = (intptr_t)data;
    for (int d = 0; d < map->source_rank; d++) {
        const struct view_axis *axis = &map->axis[d];
        at += (intptr_t)(size_value(run, axis->offset) * stride[d]);
        for (int t = 0; t < axis->n_terms; t++)
            out[axis->terms[t].dim] += size_value(run, axis->terms[t].coef) * stride[d];
    }
    return (char *)at;
}

/* An output's array: allocated here. */
static bool bind_write(struct launch *launch, int number, bool on_gpu) {
    struct run *run = launch->run;
    const struct kernel_operand *operand = &launch->kernel->operands[number];
    launch->key[number] = 0;
    int slot = launch->plan->operands[number].slot, loops = launch->kernel->n_par + launch->kernel->n_red;
    int rank =
        operand->uses ? loops : launch->kernel->n_par; /* with `uses`: stored at every position of the reduction */
    if (launch_is_scratch(launch, slot)) {
        int64_t bytes;
        struct run_slot *scratch = &run->slots[slot];
        memcpy(scratch->shape, launch->extents, sizeof *scratch->shape * (size_t)rank);
        if (!run_measure(run, operand->type, rank, scratch->shape, launch->span, scratch->stride, &bytes)) return false;
        memcpy(launch->operands[number].stride, scratch->stride, sizeof *scratch->stride * (size_t)rank);
        launch->arguments[number].data = NULL;
        return true;
    }
    if (on_gpu ? !gpu_allocate(run, slot, rank, launch->extents, launch->span)
               : !run_allocate(run, slot, rank, launch->extents, launch->span))
        return false;
    const int64_t *stride = on_gpu ? run->gpu->slots[slot].stride : run->slots[slot].stride;
    launch->arguments[number].data = on_gpu ? (char *)(uintptr_t)run->gpu->slots[slot].address : run->slots[slot].data;
    for (int j = 0; j < rank; j++) launch->operands[number].stride[j] = stride[j];
    double bytes =
        (double)launch->positions * (operand->uses ? (double)launch->reduced : 1) * dtype_size(operand->type);
    launch->bytes += bytes;
    launch->written += bytes;
    return true;
}

bool launch_bind(struct launch *launch, int number, bool on_gpu) {
    struct run *run = launch->run;
    const struct ir_kernel *kernel = launch->kernel;
    const struct kernel_operand *operand = &kernel->operands[number];
    const struct launch_operand *where = &launch->plan->operands[number];
    struct kernel_argument *argument = &launch->arguments[number];
    struct operand_run *room = &launch->operands[number];
    int loops = kernel->n_par + kernel->n_red;
    int strides = operand->kind == OPERAND_WHOLE ? operand->rank : loops;
    for (int j = 0; j < strides; j++) room->stride[j] = 0;
    argument->stride = room->stride;
    argument->size = room->size;
    if (operand->kind == OPERAND_WRITE) return bind_write(launch, number, on_gpu);
    const char *data;
    const int64_t *stride;
    int64_t literal_stride[TYPE_MAX_RANK];
    if (!read_source(launch, number, on_gpu, &data, &stride, literal_stride)) return false;
    argument->data = apply_map(run, &where->map, data, stride, room->stride);
    if (launch_is_scratch(launch, where->slot)) return true;
    double elements = 1;
    if (operand->kind == OPERAND_WHOLE) {
        for (int d = 0; d < operand->rank; d++) {
            room->size[d] = size_value(run, where->whole_size[d]);
            elements *= (double)room->size[d];
        }
    } else {
        for (int j = 0; j < loops; j++)
            if (room->stride[j] != 0) elements *= (double)launch->extents[j];
    }
    launch->bytes += elements * dtype_size(operand->type);
    return true;
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

/* Among dimensions [first, first + n). */
static void merge_dimensions(struct launch *launch, int first, int n) {
    const struct ir_kernel *kernel = launch->kernel;
    int keep[KERNEL_MAX_LOOPS], kept = 0; /* in order, outer to inner */
    int64_t extent[KERNEL_MAX_LOOPS];
    for (int j = first; j < first + n; j++) {
        if (launch->extents[j] == 1 && !(kept == 0 && j == first + n - 1)) continue;
        if (kept > 0) {
            bool flat = true;
            for (int k = 0; k < kernel->n_operands && flat; k++) {
                if (kernel->operands[k].kind == OPERAND_WHOLE) continue;
                const int64_t *stride = launch->operands[k].stride;
                flat = stride[keep[kept - 1]] == stride[j] * launch->extents[j];
            }
            if (flat) {
                extent[kept - 1] *= launch->extents[j];
                keep[kept - 1] = j;
                continue;
            }
        }
        extent[kept] = launch->extents[j];
        keep[kept++] = j;
    }
    if (kept == n) return;
    int shift = first + n - kept;
    for (int k = 0; k < kernel->n_operands; k++) {
        if (kernel->operands[k].kind == OPERAND_WHOLE) continue;
        int64_t *stride = launch->operands[k].stride, moved[KERNEL_MAX_LOOPS];
        for (int i = 0; i < kept; i++) moved[i] = stride[keep[i]];
        for (int j = first; j < shift; j++) stride[j] = 0;
        for (int i = 0; i < kept; i++) stride[shift + i] = moved[i];
    }
    for (int j = first; j < shift; j++) launch->extents[j] = 1;
    for (int i = 0; i < kept; i++) launch->extents[shift + i] = extent[i];
}

void launch_merge(struct launch *launch, int outer) {
    if (launch->kernel->uses_index) return;
    if (outer) merge_dimensions(launch, 0, outer);
    merge_dimensions(launch, outer, launch->kernel->n_par - outer);
    merge_dimensions(launch, launch->kernel->n_par, launch->kernel->n_red);
}

int launch_vector_dimension(const struct ir_kernel *kernel) {
    return kernel->kind == KERNEL_LANES ? kernel->n_par + kernel->n_red - 1 : kernel->n_par - 1;
}

/* --- what went wrong inside a kernel ------------------------------------------------------------------------------ */

static const struct ir_value *find_site(const struct ir_region *region, int site) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_load && value->id == site) return value;
        for (int r = 0; r < 2; r++) {
            const struct ir_value *found = value->regions[r] ? find_site(value->regions[r], site) : NULL;
            if (found) return found;
        }
    }
    return NULL;
}

jit_status launch_fault(const jit_function *function, const struct plan *plan, const struct plan_launch *launch,
                        bool several, const struct subscript_fault *fault, jit_error *error) {
    const struct ir_value *site = find_site(&launch->kernel->body, fault->site);
    if (!site) site = find_site(&launch->kernel->epilogue, fault->site);
    int slot = launch->operands[fault->operand].slot;
    const char *name = slot >= 0 ? plan->slots[slot].name : NULL;
    char at[32] = "";
    if (several) snprintf(at, sizeof at, ", at element %lld", (long long)fault->position);
    return error_at(error, function, JIT_INDEX, site ? site->span : launch->span,
                    "subscript %lld is out of range for dimension %d of %s%s%s, whose size is %lld%s",
                    (long long)fault->index, fault->dim, name ? "`" : "the array", name ? name : "", name ? "`" : "",
                    (long long)fault->size, at);
}

/* --- launching ---------------------------------------------------------------------------------------------------- */

/* Loop extents from sizes; false if one is negative or the product does not fit. */
static bool bind_extents(struct launch *launch) {
    const struct ir_kernel *kernel = launch->kernel;
    int loops = kernel->n_par + kernel->n_red;
    bool fits = true;
    launch->positions = launch->reduced = 1;
    for (int j = 0; j < loops; j++) {
        int64_t extent = launch->extents[j] = size_value(launch->run, launch->plan->extents[j]);
        int64_t *product = j < kernel->n_par ? &launch->positions : &launch->reduced;
        if (extent < 0 || __builtin_mul_overflow(*product, extent, product)) fits = false;
    }
    if (fits) return true;
    char text[200];
    launch->run->status =
        error_at(launch->run->error, launch->run->function, JIT_VALUE, launch->span,
                 "an array of shape %s is too large", run_shape_text(text, sizeof text, loops, launch->extents));
    return false;
}

/* True if a kernel of a run on a GPU is done by the host: see plan_entry.on_host. A scalar input may be in the GPU's
 * memory. */
static bool is_on_host(const struct run *run, const struct plan_launch *plan) {
    if (!run->entry->launches[plan->index].on_host) return false;
    for (int k = 0; k < plan->kernel->n_operands; k++)
        if (plan->kernel->operands[k].kind == OPERAND_READ && plan->operands[k].slot >= 0 &&
            !run->slots[plan->operands[k].slot].data)
            return false;
    return true;
}

bool launch_begin(struct launch *launch, struct launch_room *room, struct run *run, const struct plan_launch *plan,
                  const struct plan_rows *rows) {
    const struct ir_kernel *kernel = plan->kernel;
    int n = kernel->n_operands;
    launch->run = run, launch->plan = plan, launch->rows = rows, launch->kernel = kernel;
    launch->state = &run->entry->launches[plan->index];
    launch->build = &run->function->build;
    launch->span = plan->span;
    launch->bytes = launch->written = 0;
    room->block = NULL;
    launch->arguments = room->arguments, launch->operands = room->operands;
    launch->key = room->keys, launch->sizes = room->sizes;
    if (n > LAUNCH_FEW || kernel->n_sizes > LAUNCH_FEW) {
        room->block_size = (size_t)(n + 1) * (sizeof *launch->arguments + sizeof *launch->operands + 1) +
                           (size_t)(kernel->n_sizes + 1) * sizeof *launch->sizes;
        char *at = room->block = mem_alloc(&run->context->mem, room->block_size);
        if (!at) {
            run->status = error_set(run->error, JIT_MEMORY, "out of memory");
            return false;
        }
        launch->arguments = (void *)at, at += (size_t)(n + 1) * sizeof *launch->arguments;
        launch->operands = (void *)at, at += (size_t)(n + 1) * sizeof *launch->operands;
        launch->sizes = (void *)at, at += (size_t)(kernel->n_sizes + 1) * sizeof *launch->sizes;
        launch->key = (void *)at;
    }
    for (int k = 0; k < kernel->n_sizes; k++) launch->sizes[k] = size_value(run, plan->sizes[k]);
    return bind_extents(launch);
}

bool launch_bind_all(struct launch *launch, bool on_gpu) {
    bool ok = true;
    for (int k = 0; k < launch->kernel->n_operands && ok; k++) ok = launch_bind(launch, k, on_gpu);
    return ok;
}

void launch_end(const struct launch *launch, struct launch_room *room) {
    if (room->block) mem_free(&launch->run->context->mem, room->block, room->block_size);
}

bool launch_kernel(struct run *run, const struct plan_launch *plan) {
    struct launch launch; /* its arrays are filled as far as they are used */
    struct launch_room room;
    bool on_gpu = run->gpu && !is_on_host(run, plan);
    bool ok = launch_begin(&launch, &room, run, plan, NULL);
    bool done = ok && on_gpu && launch.state->in_slabs && slabs_launch(&launch, &ok);
    if (ok && !done) ok = launch_bind_all(&launch, on_gpu);
    if (ok && !done) {
        launch_merge(&launch, 0);
        ok = on_gpu ? launch_cuda(&launch) && gpu_send_early(&launch) : launch_cpu(&launch);
    }
    launch_end(&launch, &room);
    return ok;
}
