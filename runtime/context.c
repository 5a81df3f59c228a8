/* context.c: options, and what all functions of a context share. */
#include <stdio.h>
#include <string.h>

#include "runtime/gpu.h"

enum {
    DEFAULT_KEEP = 256 << 20,
    DEFAULT_CACHE = 32 << 20,
    DEFAULT_CORE_CACHE = 256 << 10,
    SLABS_FROM = 32 << 20,
    SLAB_BYTES = 8 << 20,
    MAX_THREADS = 1024
};

const char *jit_version(void) {
    return JIT_VERSION;
}

void context_retain(jit_context *context) {
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
}

/* The context's own block is counted in its own mem: copied out before the last free. */
static void destroy(jit_context *context) {
    gpu_close_all(context);
    if (context->engine) {
        fork_hold();
        cpu_engine_free(context->engine);
        fork_allow();
    }
    pool_destroy(context->pool);
    if (context->cache_folder) mem_free(&context->mem, context->cache_folder, strlen(context->cache_folder) + 1);
    pthread_mutex_destroy(&context->opening);
    struct mem heap = {.resize = context->mem.resize, .host = context->mem.host};
    atomic_store(&heap.used, sizeof *context);
    mem_free(&heap, context, sizeof *context);
}

void context_release(jit_context *context) {
    if (context && atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) == 1) destroy(context);
}

void jit_context_free(jit_context *context) {
    context_release(context);
}

/* A number that the kernel tells of a cache, with its unit; -1: it tells none. */
static int64_t read_cache(int index, const char *what) {
    char path[80], unit = 0;
    long value = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, what);
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    int n = fscanf(file, "%ld%c", &value, &unit);
    fclose(file);
    return n < 1 || value < 0 ? -1 : (int64_t)value << (n < 2 ? 0 : unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
}

/* Bytes of the second-level cache and of the last-level cache that this thread's core shares: what the kernel says of
 * one instance. sysconf adds up the instances of the whole processor on some machines, which is ten times what a core
 * can use. */
static void find_caches(jit_context *context) {
    context->last_level_cache = context->core_cache = 0;
    for (int index = 0; index < 8; index++) {
        int64_t bytes = read_cache(index, "size");
        if (bytes < 0) break;
        if (bytes > context->last_level_cache) context->last_level_cache = bytes;
        if (read_cache(index, "level") == 2) context->core_cache = bytes;
    }
    if (!context->last_level_cache) context->last_level_cache = DEFAULT_CACHE;
    if (!context->core_cache) context->core_cache = DEFAULT_CORE_CACHE;
}

static bool check_options(const jit_options *options, jit_context *context, jit_error *error) {
    if (options->struct_size != 0 && options->struct_size != sizeof *options) {
        error_set(error, JIT_ARGUMENT, "jit_options.struct_size is %zu, expected sizeof(jit_options) = %zu",
                  options->struct_size, sizeof *options);
        return false;
    }
    context->device = -1;
    if (options->device && strcmp(options->device, "cpu") != 0 &&
        (context->device = cuda_parse_device(options->device)) < 0) {
        error_set(error, JIT_ARGUMENT, "unknown device \"%.80s\", expected \"cpu\", \"cuda\" or \"cuda:N\"",
                  options->device);
        return false;
    }
    if (options->ulp != 0 && options->ulp != 1 && options->ulp != 4) {
        error_set(error, JIT_ARGUMENT, "ulp is %d, expected 1 or 4", options->ulp);
        return false;
    }
    if (options->threads < 0 || options->threads > MAX_THREADS) {
        error_set(error, JIT_ARGUMENT, "threads is %d, expected 0 (all cores) to %d", options->threads, MAX_THREADS);
        return false;
    }
    context->fp = FP_CONTRACT;
    if (options->fp && strcmp(options->fp, "strict") == 0)
        context->fp = FP_STRICT;
    else if (options->fp && strcmp(options->fp, "fast") == 0)
        context->fp = FP_FAST;
    else if (options->fp && strcmp(options->fp, "contract") != 0) {
        error_set(error, JIT_ARGUMENT, "fp is \"%s\", expected \"contract\", \"strict\" or \"fast\"", options->fp);
        return false;
    }
    if (options->max_nesting < 0 || options->max_loop_iterations < 0 || options->max_graph < 0) {
        error_set(error, JIT_ARGUMENT, "a limit of jit_options is negative");
        return false;
    }
    context->ulp = options->ulp ? options->ulp : 4;
    context->threads = options->threads ? options->threads : threads_available();
    return true;
}

struct engine_job {
    jit_context *context;
    const char *isa;
    struct strbuf why;
};

static void start_engine(void *argument) {
    struct engine_job *job = argument;
    jit_context *context = job->context;
    struct cpu_engine_options options = {.ulp = context->ulp, .fast = context->fp == FP_FAST, .isa = job->isa};
    context->engine = cpu_engine_new(&context->mem, &options, &job->why);
}

static void make_engine(jit_context *context, const char *isa, jit_error *error) {
    struct mem mem = {0};
    struct arena arena;
    struct engine_job job = {.context = context, .isa = isa};
    arena_init(&arena, &mem);
    strbuf_init(&job.why, &arena);
    fork_hold();
    bool room = arena_try(&arena, start_engine, &job);
    fork_allow();
    if (!context->engine && room && *strbuf_text(&job.why))
        error_set(error, JIT_UNSUPPORTED, "%s", strbuf_text(&job.why));
    else if (!context->engine)
        error_set(error, JIT_MEMORY, "out of memory");
    arena_free(&arena);
}

/* False with an error; what was made is in the context. */
static bool start(jit_context *context, const jit_options *options, jit_error *error) {
    find_caches(context);
    context->slabs_from = SLABS_FROM, context->slab_bytes = SLAB_BYTES;
    context->pool = pool_create(&context->mem, options->max_memory, DEFAULT_KEEP);
    const char *folder = options->cache_folder;
    if (folder) context->cache_folder = mem_strndup(&context->mem, folder, strlen(folder));
    if (!context->pool || !fork_prepare() || (folder && !context->cache_folder)) {
        error_set(error, JIT_MEMORY, "out of memory");
        return false;
    }
    make_engine(context, options->isa, error);
    struct gpu *gpu;
    return context->engine && (context->device < 0 || gpu_open(context, context->device, &gpu, error) == JIT_OK);
}

jit_context *jit_context_create(const jit_options *given, jit_error *error) {
    jit_options options = {0};
    if (given) options = *given;
    struct mem heap = {0};
    jit_context *context = mem_zalloc(&heap, 1, sizeof *context);
    if (!context) {
        error_set(error, JIT_MEMORY, "out of memory");
        return NULL;
    }
    atomic_store(&context->references, 1);
    pthread_mutex_init(&context->opening, NULL);
    context->mem.limit = options.max_memory;
    context->options = options;
    /* The caller's strings need not outlive this call. */
    context->options.device = context->options.fp = context->options.isa = context->options.cache_folder = NULL;
    if (check_options(&options, context, error) && start(context, &options, error)) return context;
    destroy(context);
    return NULL;
}

jit_context *jit_context_new(const jit_options *options) {
    return jit_context_create(options, NULL);
}
