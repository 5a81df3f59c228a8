/* collect.c: see collect.h. */
#include "gpu/ptxas/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/corpus.h"
#include "oracle/random.h"
#include "runtime/tools_emit.h"

static void *must(void *p) {
    if (p) return p;
    fputs("out of memory\n", stderr);
    exit(1);
}

void collect_begin(struct collection *all, jit_context *context) {
    *all = (struct collection){.context = context};
}

void collect_end(struct collection *all) {
    for (int i = 0; i < all->n; i++) {
        free(all->items[i]->text);
        free(all->items[i]);
    }
    free(all->items);
}

/* --- one kernel --------------------------------------------------------------------------------------------------- */

/* Some operands are read for nothing: the result does not depend on them. */
static bool is_used(const struct ptx_kernel *kernel, int operand) {
    for (int i = 0; i < kernel->n_parameters; i++)
        if (kernel->parameters[i].kind == PTX_PARAM_DATA && kernel->parameters[i].a == operand) return true;
    return false;
}

static bool region_calls(const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (op_info[value->op].lower == LOWER_CALL) return true;
        for (int r = 0; r < 2; r++)
            if (value->regions[r] && region_calls(value->regions[r])) return true;
    }
    return false;
}

/* Whether an elementary function of CUDA's is called. */
static bool calls_library(const struct ir_kernel *kernel) {
    return region_calls(&kernel->body) || region_calls(&kernel->epilogue);
}

struct collected *collect_text(struct collection *all, const struct ptx_kernel *made, const struct ir_kernel *kernel,
                               const struct ptx_variant *variant, const char *origin) {
    uint64_t hash = 14695981039346656037u + (uint64_t)variant->fast;
    for (const char *c = made->source; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    struct collected **bucket = &all->bucket[hash % COLLECT_BUCKETS];
    all->texts++;
    for (struct collected *c = *bucket; c; c = c->next)
        if (c->hash == hash && c->fast == variant->fast && strcmp(c->text, made->source) == 0) return c;
    struct collected *c = must(calloc(1, sizeof *c));
    *c = (struct collected){.next = *bucket,
                            .text = must(strdup(made->source)),
                            .hash = hash,
                            .kind = kernel->kind,
                            .vector = made->vector,
                            .device_stack = made->device_stack,
                            .calls_library = calls_library(kernel),
                            .fast = variant->fast};
    *bucket = c;
    snprintf(c->origin, sizeof c->origin, "%s", origin);
    for (int k = 0; k < kernel->n_operands; k++) {
        const struct kernel_operand *operand = &kernel->operands[k];
        int *narrowest = operand->kind == OPERAND_READ ? &c->reads : operand->kind == OPERAND_WRITE ? &c->writes : NULL;
        if (!narrowest || variant->access[k] != PTX_UNIT || made->vector <= 1 || !is_used(made, k)) continue;
        int bytes = made->vector * dtype_size(operand->type);
        if (*narrowest == 0 || bytes < *narrowest) *narrowest = bytes;
    }
    if (all->n == all->capacity) {
        all->capacity = all->capacity * 2 + 256;
        all->items = must(realloc(all->items, sizeof *all->items * (size_t)all->capacity));
    }
    all->items[all->n++] = c;
    return c;
}

struct emitting {
    struct collection *all;
    struct arena arena;
    const struct plan_entry *entry;
    const struct plan_launch *launch;
    const struct plan_rows *rows;
    const struct kernel_variant *like;
    const char *origin;
};

static void emit_one(struct emitting *e, const struct ptx_variant *variant) {
    struct ir_kernel *kernel = e->launch->kernel;
    struct ptx_kernel made = {0};
    struct strbuf why;
    strbuf_init(&why, &e->arena);
    const char *name = kernel->name;
    kernel->name = COLLECT_NAME;
    bool ok = ptx_emit(&e->arena, kernel, variant, &made, &why);
    kernel->name = name;
    if (ok) {
        char origin[256];
        snprintf(origin, sizeof origin, "%s, %s", e->origin, name);
        collect_text(e->all, &made, kernel, variant, origin);
    } else {
        fprintf(stderr, "%s, %s: %s\n", e->origin, name, strbuf_text(&why));
        e->all->failures++;
    }
}

static void emit_all(void *argument) {
    struct emitting *e = argument;
    struct ptx_variant variant;
    emit_gpu_variant(e->entry, e->launch, e->like, &e->arena, &variant);
    emit_one(e, &variant);
    if (e->launch->kernel->kind != KERNEL_LANES) return;
    variant.short_rows = true;
    emit_one(e, &variant);
}

static void collect_launch(struct collection *all, const struct plan_entry *entry, const struct plan_launch *launch,
                           const struct kernel_variant *like, const char *origin) {
    struct emitting e = {.all = all, .entry = entry, .launch = launch, .like = like, .origin = origin};
    arena_init(&e.arena, &all->context->mem);
    all->kernels++;
    if (!arena_try(&e.arena, emit_all, &e)) must(NULL);
    arena_free(&e.arena);
}

/* Launches that run as one, row by row. Their names go, too. */
static void emit_rows(void *argument) {
    struct emitting *e = argument;
    const struct plan_rows *rows = e->rows;
    struct ptx_stage stages[PLAN_MAX_ROWS];
    const char *names[PLAN_MAX_ROWS];
    struct ptx_kernel made = {0};
    struct strbuf why;
    strbuf_init(&why, &e->arena);
    emit_gpu_stages(e->entry, rows, &e->arena, stages);
    for (int i = 0; i < rows->n_launches; i++) {
        names[i] = stages[i].kernel->name;
        stages[i].kernel->name = arena_printf(&e->arena, "stage_%d", i);
    }
    bool ok =
        ptx_emit_rows(&e->arena, COLLECT_NAME, rows->outer, rows->n_launches, stages, rows->n_scratch, &made, &why);
    for (int i = 0; i < rows->n_launches; i++) stages[i].kernel->name = names[i];
    if (ok) {
        char origin[256];
        snprintf(origin, sizeof origin, "%s, %s", e->origin, rows->name);
        struct collected *c = collect_text(e->all, &made, stages[0].kernel, stages[0].variant, origin);
        for (int i = 0; i < rows->n_launches; i++) c->calls_library |= calls_library(stages[i].kernel);
    } else {
        fprintf(stderr, "%s, %s: %s\n", e->origin, rows->name, strbuf_text(&why));
        e->all->failures++;
    }
}

static void collect_rows(struct collection *all, const struct plan_entry *entry, const struct plan_rows *rows,
                         const char *origin) {
    struct emitting e = {.all = all, .entry = entry, .rows = rows, .origin = origin};
    arena_init(&e.arena, &all->context->mem);
    all->kernels++;
    if (!arena_try(&e.arena, emit_rows, &e)) must(NULL);
    arena_free(&e.arena);
}

void collect_function(struct collection *all, jit_function *function, const char *origin) {
    all->programs++;
    for (struct plan_entry *entry = atomic_load(&function->entries); entry; entry = entry->next) {
        for (int i = 0; i < entry->plan->n_launches; i++) {
            const struct kernel_variant *v = atomic_load(&entry->launches[i].variants);
            if (!v) collect_launch(all, entry, entry->plan->launches[i], NULL, origin);
            for (; v; v = v->next) collect_launch(all, entry, entry->plan->launches[i], v, origin);
        }
        for (int i = 0; i < entry->plan->n_rows; i++) collect_rows(all, entry, entry->plan->rows[i], origin);
    }
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

enum how {
    RUN,    /* on the CPU, whatever comes of it */
    PREPARE /* as for contiguous arrays, without compiling anything for the CPU */
};

static void add_program(struct collection *all, enum how how, const char *source, const DLTensor *const given[],
                        const char *const names[], int n_given, const char *origin) {
    enum { MOST = 16 };
    jit_error error = {0};
    jit_function *function = jit_compile(all->context, source, &error);
    if (!function) return; /* it is no program */
    const DLTensor *in[MOST] = {0};
    DLManagedTensor *out[MOST] = {0};
    int n_in = jit_input_count(function), n_out = jit_output_count(function);
    for (int i = 0; i < n_in && i < MOST; i++)
        for (int k = 0; k < n_given; k++)
            if (strcmp(jit_input_name(function, i), names[k]) == 0) in[i] = given[k];
    struct plan_entry *entry;
    if (how == PREPARE && n_in <= MOST) call_entry(function, in, n_in, &entry, &error);
    if (how == RUN && n_in <= MOST && n_out <= MOST) jit_call_alloc(function, in, n_in, out, n_out, NULL, &error);
    for (int i = 0; i < MOST; i++)
        if (out[i]) out[i]->deleter(out[i]);
    collect_function(all, function, origin);
    jit_function_free(function);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void collect_corpus(struct collection *all, const char *path) {
    struct corpus_file *file = corpus_read(path);
    for (int i = 0; i < file->count; i++) {
        const struct corpus_case *k = &file->cases[i];
        const DLTensor *given[CORPUS_INPUTS];
        const char *names[CORPUS_INPUTS];
        char origin[128];
        snprintf(origin, sizeof origin, "%s: %s", base_name(path), k->name);
        for (int j = 0; j < k->n_input; j++) {
            given[j] = k->input[j].is_default ? NULL : &k->input[j].tensor;
            names[j] = k->input[j].name;
        }
        add_program(all, RUN, k->source, given, names, k->n_input, origin);
    }
    corpus_free(file);
}

/* `$x + $y` with names, or literals for what is weak. */
static void substitute(const struct corpus_promotion *row, char *out, size_t size) {
    size_t n = 0;
    for (const char *p = row->expression; *p && n + 8 < size; p++) {
        const char *text = (const char[]){*p, 0};
        if (*p == '$') {
            const char *type = row->operand[*++p == 'y'];
            text = !strcmp(type, "int") ? "2" : !strcmp(type, "float") ? "2.5" : *p == 'y' ? "y" : "x";
        }
        n += (size_t)snprintf(out + n, size - n, "%s", text);
    }
}

void collect_promotion(struct collection *all, const char *path) {
    int count;
    struct corpus_promotion *rows = corpus_read_promotion(path, &count);
    for (int i = 0; i < count; i++) {
        uint64_t data[2][5] = {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}};
        int64_t shape[1] = {5};
        DLTensor tensor[2] = {{0}};
        const DLTensor *const given[2] = {&tensor[0], &tensor[1]};
        static const char *const names[2] = {"x", "y"};
        for (int k = 0; k < 2; k++) {
            const char *type = rows[i].operand[k];
            if (!*type || !strcmp(type, "int") || !strcmp(type, "float")) continue;
            tensor[k] = (DLTensor){
                .data = data[k], .device = {kDLCPU, 0}, .ndim = 1, .dtype = corpus_type(type), .shape = shape};
        }
        char source[160], origin[128];
        substitute(&rows[i], source, sizeof source);
        snprintf(origin, sizeof origin, "promotion.txt: %s, %s %s", rows[i].expression, rows[i].operand[0],
                 rows[i].operand[1]);
        add_program(all, PREPARE, source, given, names, 2, origin);
    }
    free(rows);
}

void collect_random(struct collection *all, uint64_t seed) {
    struct mem mem = {0};
    struct arena arena;
    struct random_program program;
    arena_init(&arena, &mem);
    random_program_make(&arena, seed, &program);
    DLTensor tensors[ORACLE_INPUTS];
    int64_t strides[ORACLE_INPUTS][TYPE_MAX_RANK];
    const DLTensor *given[ORACLE_INPUTS];
    const char *names[ORACLE_INPUTS];
    for (int i = 0; i < program.n_inputs; i++) {
        const struct oracle_input *input = &program.inputs[i];
        for (int d = 0; d < input->rank; d++) strides[i][d] = input->stride[d] / dtype_size(input->type);
        tensors[i] = (DLTensor){.data = input->data,
                                .device = {kDLCPU, 0},
                                .ndim = input->rank,
                                .dtype = tensor_dl_type(input->type),
                                .shape = (int64_t *)input->shape,
                                .strides = strides[i]};
        given[i] = &tensors[i];
        names[i] = input->name;
    }
    char origin[64];
    snprintf(origin, sizeof origin, "random program %llu", (unsigned long long)seed);
    add_program(all, RUN, random_program_text(&arena, &program, NULL), given, names, program.n_inputs, origin);
    arena_free(&arena);
}

bool collect_file(struct collection *all, const char *path) {
    enum { ROOM = 1 << 20, MOST = 16 };
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return false;
    }
    char *text = must(calloc(1, ROOM));
    size_t length = fread(text, 1, ROOM - 1, file);
    fclose(file);
    jit_error error = {0};
    jit_function *function = jit_compile_text(all->context, text, length, base_name(path), &error);
    free(text);
    DLManagedTensor *out[MOST] = {0};
    const DLTensor *in[MOST] = {0}; /* defaults */
    bool ok = function && jit_call_alloc(function, in, jit_input_count(function), out, jit_output_count(function), NULL,
                                         &error) == JIT_OK;
    if (!ok) fprintf(stderr, "%s\n", error.message);
    for (int i = 0; i < MOST; i++)
        if (out[i]) out[i]->deleter(out[i]);
    if (ok) collect_function(all, function, base_name(path));
    jit_function_free(function);
    return ok;
}
