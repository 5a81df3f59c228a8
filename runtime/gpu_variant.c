/* gpu_variant.c: see gpu_variant.h. */
#include "runtime/gpu_variant.h"

#include <string.h>

static const struct gpu_variant *find(const struct gpu_recipe *recipe) {
    const struct gpu *gpu = recipe->run->gpu->gpu;
    for (const struct gpu_variant *v = atomic_load_explicit(&recipe->state->gpu_variants, memory_order_acquire); v;
         v = v->next)
        if (v->gpu == gpu && memcmp(v->key, recipe->key, (size_t)recipe->key_length) == 0) return v;
    return NULL;
}

void gpu_free_variants(jit_context *context, struct launch_state *state) {
    struct gpu_variant *following;
    for (struct gpu_variant *v = atomic_load(&state->gpu_variants); v; v = following) {
        following = v->next;
        cuda_module_release(v->gpu->device, v->module);
        mem_free(&context->mem, v, v->size);
    }
    atomic_store(&state->gpu_variants, NULL);
}

/* --- making one --------------------------------------------------------------------------------------------------- */

struct emit_job {
    const struct gpu_recipe *recipe;
    struct arena arena;
    struct strbuf why;
    struct ptx_kernel kernel;
    bool ok;
};

static void emit(void *argument) {
    struct emit_job *job = argument;
    strbuf_init(&job->why, &job->arena);
    job->ok = job->recipe->emit(job->recipe->host, &job->arena, &job->kernel, &job->why);
}

/* The next `size` bytes of the room after a variant get a copy of `data`. */
static const void *keep(char **at, const void *data, size_t size) {
    char *copy = *at;
    if (size) memcpy(copy, data, size);
    *at += size;
    return copy;
}

/* A copy of what the runtime needs of the kernel. NULL: no memory. */
static struct gpu_variant *variant_of(const struct gpu_recipe *recipe, const struct ptx_kernel *kernel) {
    size_t parameters = sizeof *kernel->parameters * (size_t)kernel->n_parameters,
           stages = sizeof *kernel->stages * (size_t)kernel->n_stages,
           scratch = sizeof *kernel->scratch * (size_t)kernel->n_scratch, key = (size_t)recipe->key_length;
    size_t size = sizeof(struct gpu_variant) + stages + scratch + parameters + key;
    struct gpu_variant *variant = mem_zalloc(&recipe->run->context->mem, 1, size);
    if (!variant) return NULL;
    char *at = (char *)(variant + 1);
    variant->size = size;
    variant->kernel = *kernel;
    variant->kernel.name = recipe->name;
    variant->kernel.source = NULL;
    variant->kernel.stages = keep(&at, kernel->stages, stages);
    variant->kernel.scratch = keep(&at, kernel->scratch, scratch);
    variant->kernel.parameters = (struct ptx_parameter *)keep(&at, kernel->parameters, parameters);
    variant->key = keep(&at, recipe->key, key);
    return variant;
}

static struct gpu_variant *load(const struct gpu_recipe *recipe, const struct ptx_kernel *kernel) {
    struct run *run = recipe->run;
    struct gpu_run *gpu = run->gpu;
    struct cuda_module *module =
        cuda_module_get(gpu->gpu->device, kernel, run->context->fp == FP_FAST, NULL, &gpu->failure);
    if (!module) {
        if (gpu->failure.status == CUDA_COMPILE)
            run->status = error_set(run->error, JIT_INTERNAL, "compiling kernel `%s` for the GPU failed: %s",
                                    recipe->name, gpu->failure.text);
        else
            gpu_fail(run, recipe->span, &gpu->failure);
        return NULL;
    }
    struct gpu_variant *variant = variant_of(recipe, kernel);
    if (!variant) {
        cuda_module_release(gpu->gpu->device, module);
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
        return NULL;
    }
    variant->gpu = gpu->gpu;
    variant->module = module;
    return variant;
}

static const struct gpu_variant *make(const struct gpu_recipe *recipe) {
    struct run *run = recipe->run;
    struct emit_job job = {.recipe = recipe};
    arena_init(&job.arena, &run->context->mem);
    struct gpu_variant *variant = NULL;
    fork_hold();
    pthread_mutex_lock(recipe->build);
    const struct gpu_variant *found = find(recipe); /* another thread may have been first */
    if (found) goto out;
    if (!arena_try(&job.arena, emit, &job) || (!job.ok && !*strbuf_text(&job.why))) {
        run->status = error_set(run->error, JIT_MEMORY, "out of memory while compiling a kernel");
    } else if (!job.ok) {
        run->status = error_at(run->error, run->function, JIT_UNSUPPORTED, recipe->span, "%s", strbuf_text(&job.why));
    } else if ((variant = load(recipe, &job.kernel))) {
        variant->next = atomic_load_explicit(&recipe->state->gpu_variants, memory_order_relaxed);
        atomic_store_explicit(&recipe->state->gpu_variants, variant, memory_order_release);
    }
    found = variant;
out:
    pthread_mutex_unlock(recipe->build);
    fork_allow();
    arena_free(&job.arena);
    return found;
}

const struct gpu_variant *gpu_variant_get(const struct gpu_recipe *recipe) {
    const struct gpu_variant *found = find(recipe);
    return found ? found : make(recipe);
}
