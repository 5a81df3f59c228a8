/* tools_emit_gpu.c: the stages "cuda" and "ptx": kernels as a GPU runs them where arrays are contiguous. Needs no GPU.
 */
#include <string.h>

#include "runtime/gpu_variant.h"
#include "runtime/tools_emit.h"

/* --- the variant for contiguous arrays ---------------------------------------------------------------------------- */

/* The access along dimension `dim` of an array in C order that is looked at through a map. */
static enum ptx_access access_through(const struct view_map *map, int dim) {
    enum ptx_access access = PTX_UNIFORM;
    for (int d = 0; d < map->source_rank; d++)
        for (int t = 0; t < map->axis[d].n_terms; t++) {
            if (map->axis[d].terms[t].dim != dim) continue;
            bool unit = d == map->source_rank - 1 && size_is_const(map->axis[d].terms[t].coef, 1);
            access = unit && access == PTX_UNIFORM ? PTX_UNIT : PTX_STRIDED;
        }
    return access;
}

static enum ptx_access contiguous_access(const struct plan_launch *launch, int number, int vector) {
    const struct ir_kernel *kernel = launch->kernel;
    const struct kernel_operand *operand = &kernel->operands[number];
    const struct launch_operand *where = &launch->operands[number];
    switch (operand->kind) {
    case OPERAND_WHOLE: return access_through(&where->map, operand->rank - 1);
    case OPERAND_READ: return vector < 0 ? PTX_UNIFORM : access_through(&where->map, vector);
    case OPERAND_WRITE: break;
    }
    /* Results of a reduction have no place along the dimension that is reduced. */
    bool moves = vector >= 0 && (kernel->kind != KERNEL_LANES || operand->uses);
    return moves ? PTX_UNIT : PTX_UNIFORM;
}

/* A scalar that the host has when it launches the kernel. */
static bool is_by_value(const struct plan_entry *entry, const struct plan_launch *launch, int number) {
    const struct launch_operand *where = &launch->operands[number];
    if (launch->kernel->operands[number].kind != OPERAND_READ || where->map.source_rank != 0) return false;
    return where->slot < 0 || entry->on_host[where->slot];
}

void emit_gpu_variant(const struct plan_entry *entry, const struct plan_launch *launch,
                      const struct kernel_variant *like, struct arena *arena, struct ptx_variant *out) {
    const struct ir_kernel *kernel = launch->kernel;
    int loops = kernel->n_par + kernel->n_red, vector = launch_vector_dimension(kernel);
    enum ptx_access *access = ARENA_ARRAY(arena, enum ptx_access, kernel->n_operands + 1);
    for (int k = 0; k < kernel->n_operands; k++) {
        access[k] = like ? (enum ptx_access)like->key[k] : contiguous_access(launch, k, vector);
        if (is_by_value(entry, launch, k)) access[k] = PTX_BY_VALUE;
    }
    *out = (struct ptx_variant){.access = access,
                                .fast = entry->plan->fp == FP_FAST,
                                .ulp = entry->plan->ulp,
                                .single_row = like ? like->key[kernel->n_operands] & KEY_SINGLE_ROW : loops <= 1};
    out->aligned = ptx_vector_of(kernel, access) > 1;
}

void emit_gpu_stages(const struct plan_entry *entry, const struct plan_rows *rows, struct arena *arena,
                     struct ptx_stage *stages) {
    for (int i = 0; i < rows->n_launches; i++) {
        struct ptx_variant *variant = ARENA_NEW(arena, struct ptx_variant);
        emit_gpu_variant(entry, rows->launches[i], NULL, arena, variant);
        variant->single_row = false;
        launch_stage(rows, i, arena, variant, &stages[i]);
    }
}

/* --- architectures ------------------------------------------------------------------------------------------------ */

enum { DEFAULT_ARCH = 80, OLDEST_ARCH = 75 };

struct opening {
    struct emit_gpu *job;
    struct arena arena;
    struct strbuf why;
};

static void open_compiler(void *argument) {
    struct opening *opening = argument;
    strbuf_init(&opening->why, &opening->arena);
    opening->job->compiler = ptx_compiler_open(&opening->job->function->context->mem, 0, &opening->why);
}

/* An architecture that was asked for must be one that NVRTC knows. Else one that the device runs will do, or the oldest
 * from sm_80 on. */
static void choose_arch(void *argument) {
    struct opening *opening = argument;
    struct emit_gpu *job = opening->job;
    int known = ptx_compiler_arch(job->compiler, job->arch);
    for (int arch = job->arch; !job->named && !known && arch < 1000; arch++)
        known = ptx_compiler_arch(job->compiler, arch);
    if (known == job->arch || (known && !job->named)) {
        job->arch = known;
        return;
    }
    int major, minor;
    ptx_compiler_version(job->compiler, &major, &minor);
    strbuf_printf(&opening->why, "NVRTC %d.%d does not know architecture sm_%d; it knows ", major, minor, job->arch);
    ptx_compiler_archs(job->compiler, &opening->why);
}

static bool open_for_ptx(struct emit_gpu *job) {
    struct opening opening = {.job = job};
    arena_init(&opening.arena, &job->function->context->mem);
    fork_hold(); /* NVRTC has locks of its own */
    bool ready = false, done = arena_try(&opening.arena, open_compiler, &opening);
    if (done && !job->compiler && opening.why.length)
        error_set(job->error, JIT_DEVICE, "stage \"ptx\": %s", strbuf_text(&opening.why));
    else if (!done || !job->compiler || !arena_try(&opening.arena, choose_arch, &opening))
        error_set(job->error, JIT_MEMORY, "out of memory");
    else if (opening.why.length)
        error_set(job->error, JIT_ARGUMENT, "%s", strbuf_text(&opening.why));
    else
        ready = true;
    fork_allow();
    arena_free(&opening.arena);
    if (!ready) emit_gpu_close(job);
    return ready;
}

bool emit_gpu_open(struct emit_gpu *job, const char *arch, bool ptx) {
    jit_context *context = job->function->context;
    job->named = arch != NULL;
    job->arch = DEFAULT_ARCH;
    if (arch) {
        job->arch = ptx_parse_arch(arch);
        if (job->arch >= OLDEST_ARCH) return !ptx || open_for_ptx(job);
        const char *what =
            job->arch ? "is too old: sm_75 and later are supported" : "is unknown: expected sm_75, sm_80, sm_90 ...";
        error_set(job->error, JIT_ARGUMENT, "architecture \"%.40s\" %s", arch, what);
        return false;
    }
    if (context->device >= 0) {
        struct gpu *gpu;
        if (gpu_open(context, context->device, &gpu, job->error) != JIT_OK) return false;
        job->arch = cuda_device_arch(gpu->device);
    }
    return !ptx || open_for_ptx(job);
}

void emit_gpu_close(struct emit_gpu *job) {
    ptx_compiler_close(job->compiler);
    job->compiler = NULL;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

struct kernel_job {
    struct emit_gpu *job;
    const struct plan_launch *launch; /* NULL: of `rows` */
    const struct plan_rows *rows;
    struct ptx_variant variant;
    struct ptx_kernel kernel;
    struct strbuf *out, why;
    const void *image;
    size_t size;
    bool emitted, ok;
};

static void make_kernel(void *argument) {
    struct kernel_job *at = argument;
    struct arena *arena = at->out->arena;
    const struct emit_gpu *job = at->job;
    if (at->launch) {
        at->emitted = ptx_emit(arena, at->launch->kernel, &at->variant, &at->kernel, &at->why);
    } else {
        const struct plan_rows *rows = at->rows;
        struct ptx_stage stages[PLAN_MAX_ROWS];
        emit_gpu_stages(job->entry, rows, arena, stages);
        at->variant.fast = stages[0].variant->fast;
        at->emitted = ptx_emit_rows(arena, rows->name, rows->outer, rows->n_launches, stages, rows->n_scratch,
                                    &at->kernel, &at->why);
    }
    at->ok = at->emitted;
    if (at->ok && job->compiler)
        at->ok = ptx_compile(job->compiler, at->kernel.source, at->kernel.name, job->arch, at->variant.fast,
                             PTX_FORMAT_TEXT, arena, &at->image, &at->size, &at->why);
}

/* Of the CPU's variants the one for contiguous arrays: with the fewest strides, then the one in a single row. */
static const struct kernel_variant *prepared_variant(const struct plan_entry *entry, const struct plan_launch *launch) {
    const struct kernel_variant *best = NULL;
    int n = launch->kernel->n_operands, least = 0;
    for (const struct kernel_variant *v = atomic_load(&entry->launches[launch->index].variants); v; v = v->next) {
        int cost = v->key[n] & KEY_SINGLE_ROW ? 0 : 1;
        for (int k = 0; k < n; k++) cost += v->key[k] == ACCESS_STRIDED ? 2 : 0;
        if (best && cost > least) continue;
        best = v;
        least = cost;
    }
    return best;
}

static bool write_kernel(struct kernel_job *at) {
    struct emit_gpu *job = at->job;
    jit_function *function = job->function;
    struct strbuf *out = at->out;
    strbuf_init(&at->why, out->arena);
    /* Emitting numbers the kernel's values. */
    fork_hold();
    pthread_mutex_lock(&function->build);
    bool done = arena_try(out->arena, make_kernel, at);
    pthread_mutex_unlock(&function->build);
    fork_allow();
    if (!done) arena_fail(out->arena);
    if (!at->ok) {
        error_at(job->error, function, at->emitted ? JIT_INTERNAL : JIT_UNSUPPORTED,
                 at->launch ? at->launch->span : at->rows->span, "kernel `%s` for a GPU: %s",
                 at->launch ? at->launch->kernel->name : at->rows->name, strbuf_text(&at->why));
        job->reported = true;
        return false;
    }
    strbuf_puts(out, job->compiler ? at->image : at->kernel.source);
    if (out->length && out->text[out->length - 1] != '\n') strbuf_putc(out, '\n');
    return true;
}

bool emit_gpu_write(struct emit_gpu *job, struct strbuf *out) {
    const struct plan *plan = job->entry->plan;
    for (int i = 0; i < plan->n_launches; i++) {
        const struct plan_launch *launch = plan->launches[i];
        struct kernel_job at = {.job = job, .launch = launch, .out = out};
        emit_gpu_variant(job->entry, launch, prepared_variant(job->entry, launch), out->arena, &at.variant);
        strbuf_printf(out, "%s// kernel %d of %d: %s, sm_%d\n", i ? "\n" : "", i + 1, plan->n_launches,
                      launch->kernel->name, job->arch);
        if (!write_kernel(&at)) return false;
    }
    for (int i = 0; i < plan->n_rows; i++) {
        const struct plan_rows *rows = plan->rows[i];
        struct kernel_job at = {.job = job, .rows = rows, .out = out};
        strbuf_printf(out, "\n// where there are rows enough, %s to %s as one: %s, sm_%d\n",
                      rows->launches[0]->kernel->name, rows->launches[rows->n_launches - 1]->kernel->name, rows->name,
                      job->arch);
        if (!write_kernel(&at)) return false;
    }
    if (!plan->n_launches) strbuf_puts(out, "// no kernels\n");
    return true;
}
