/* tools_emit.c: stages of a compilation as text. */
#include <string.h>

#include "runtime/tools_emit.h"
#include "runtime/tools_text.h"

/* --- x:f64[n] ----------------------------------------------------------------------------------------------------- */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t");
}

/* Past a name, or NULL. */
static const char *skip_name(const char *at) {
    if (!is_letter(*at)) return NULL;
    while (is_letter(*at) || is_digit(*at)) at++;
    return at;
}

/* Past `[n, :, 3]`, counting dimensions; NULL if it is none. */
static const char *skip_dimensions(const char *at, int *rank) {
    for (at++;; at++) {
        at = skip_blanks(at);
        if (*at == ':')
            at++;
        else if (is_digit(*at))
            at += strspn(at, "0123456789");
        else if (!(at = skip_name(at)))
            return NULL;
        ++*rank;
        at = skip_blanks(at);
        if (*at == ']') return at + 1;
        if (*at != ',') return NULL;
    }
}

jit_status jit_parse_signature(const char *text, jit_signature *signature, char *name_room, jit_error *error) {
    enum { ROOM = 64 };
    if (!text || !signature || !name_room) return error_set(error, JIT_ARGUMENT, "a pointer is NULL");
    const char *name = skip_blanks(text), *end = skip_name(name), *at = end ? skip_blanks(end) : NULL;
    if (!end || *at != ':' || end - name >= ROOM) goto wrong;
    const char *type = skip_blanks(at + 1), *type_end = skip_name(type);
    if (!type_end) goto wrong;
    char type_name[ROOM] = "";
    if (type_end - type < ROOM) memcpy(type_name, type, (size_t)(type_end - type));
    enum dtype dtype = dtype_from_name(type_name);
    if (dtype == TY_NONE)
        return error_set(error, JIT_TYPE, "'%s': unknown type '%s', expected bool, i8 ... i64, u8 ... u64, f32 or f64",
                         text, type_name);
    if (dtype == TY_F16) return error_set(error, JIT_UNSUPPORTED, "'%s': f16 is not available in this version", text);
    int rank = 0;
    at = skip_blanks(type_end);
    if (*at == '[' && !(at = skip_dimensions(at, &rank))) goto wrong;
    if (*skip_blanks(at)) goto wrong;
    if (rank > TYPE_MAX_RANK)
        return error_set(error, JIT_SHAPE, "'%s': %d dimensions, at most %d are possible", text, rank, TYPE_MAX_RANK);
    memcpy(name_room, name, (size_t)(end - name));
    name_room[end - name] = 0;
    *signature = (jit_signature){name_room, (jit_dtype)dtype, rank};
    return JIT_OK;
wrong:
    return error_set(error, JIT_SYNTAX, "expected an input's type such as x:f64[n] or k:f32, found '%s'", text);
}

/* --- the plan for a signature ------------------------------------------------------------------------------------- */

/* Types of all inputs: as given, else as declared. False with an error. */
static bool bind_signature(const jit_function *function, const jit_signature *signature, int n,
                           struct frontend_binding *bindings, jit_error *error) {
    const struct frontend_program *program = function->program;
    for (int s = 0; s < n; s++)
        if (jit_input_index(function, signature[s].name) < 0) {
            error_set(error, JIT_NAME, "the program has no input `%s`", signature[s].name);
            return false;
        }
    for (int i = 0; i < program->n_inputs; i++) {
        const struct frontend_input *input = &program->inputs[i];
        const jit_signature *given = NULL;
        for (int s = 0; s < n; s++)
            if (strcmp(signature[s].name, input->name) == 0) given = &signature[s];
        if (given) {
            bindings[i] = (struct frontend_binding){.type = (enum dtype)given->type, .rank = given->rank};
        } else if (input->typed) {
            bindings[i] = (struct frontend_binding){.type = input->type, .rank = input->rank};
        } else {
            error_set(error, JIT_ARGUMENT, "the type of input `%s` is not known: give it, as in %s:f64[n]", input->name,
                      input->name);
            return false;
        }
    }
    return true;
}

static struct plan_entry *entry_for(jit_function *function, const jit_signature *signature, int n, jit_error *error) {
    struct mem *mem = &function->context->mem;
    size_t bytes = sizeof(struct frontend_binding) * (size_t)(function->program->n_inputs + 1);
    struct frontend_binding *bindings = mem_zalloc(mem, 1, bytes);
    struct plan_entry *entry = NULL;
    if (!bindings)
        error_set(error, JIT_MEMORY, "out of memory");
    else if (bind_signature(function, signature, n, bindings, error))
        entry = entry_get(function, bindings, error);
    mem_free(mem, bindings, bytes);
    return entry;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

enum stage {
    STAGE_AST,
    STAGE_IR,
    STAGE_KERNELS,
    STAGE_PLAN,
    STAGE_LLVM,
    STAGE_ASM,
    STAGE_CUDA,
    STAGE_PTX,
    STAGE_COUNT
};
static const char *const stage_names[] = {"ast", "ir", "kernels", "plan", "llvm", "asm", "cuda", "ptx"};

struct emit_job {
    jit_function *function;
    struct plan_entry *entry;
    enum stage stage;
    jit_error *error;
    bool reported;
    struct emit_gpu gpu;
};

static bool write_code(struct emit_job *job, struct strbuf *out) {
    const struct plan *plan = job->entry->plan;
    enum cpu_text what = job->stage == STAGE_LLVM ? CPU_TEXT_LLVM : CPU_TEXT_ASM;
    const char *comment = job->stage == STAGE_LLVM ? ";" : "#";
    struct strbuf why;
    strbuf_init(&why, out->arena);
    for (int i = 0; i < plan->n_launches; i++) {
        const struct ir_kernel *kernel = plan->launches[i]->kernel;
        for (const struct kernel_variant *v = atomic_load(&job->entry->launches[i].variants); v; v = v->next) {
            enum access_class *access = ARENA_ARRAY(out->arena, enum access_class, kernel->n_operands + 1);
            strbuf_printf(out, "%s %s:", comment, kernel->name);
            for (int k = 0; k < kernel->n_operands; k++) {
                static const char *const names[] = {
                    [ACCESS_UNIFORM] = "uniform", [ACCESS_UNIT] = "unit", [ACCESS_STRIDED] = "strided"};
                access[k] = (enum access_class)v->key[k];
                strbuf_printf(out, " %s", names[access[k]]);
            }
            unsigned flags = v->key[kernel->n_operands];
            strbuf_printf(out, "%s%s, %d lanes\n", flags & KEY_SINGLE_ROW ? ", one row" : "",
                          flags & KEY_NONTEMPORAL ? ", stores past the cache" : "", v->code.vector_width);
            struct cpu_variant variant = {
                .access = access, .nontemporal = flags & KEY_NONTEMPORAL, .single_row = flags & KEY_SINGLE_ROW};
            if (!cpu_kernel_text(job->function->context->engine, kernel, &variant, what, out, &why)) {
                if (!*strbuf_text(&why)) return false; /* reported as out of memory */
                error_set(job->error, JIT_INTERNAL, "showing kernel `%s` failed: %s", kernel->name, strbuf_text(&why));
                job->reported = true;
                return false;
            }
        }
    }
    return true;
}

static bool write_stage(void *argument, struct strbuf *out) {
    struct emit_job *job = argument;
    switch (job->stage) {
    case STAGE_AST: ast_print(job->function->program->ast, out); return true;
    case STAGE_IR: plan_print_graphs(job->entry->plan, out); return true;
    case STAGE_KERNELS: plan_print_kernels(job->entry->plan, out); return true;
    case STAGE_PLAN: plan_print(job->entry->plan, out); return true;
    case STAGE_CUDA:
    case STAGE_PTX:
        if (emit_gpu_write(&job->gpu, out)) return true;
        job->reported = job->gpu.reported;
        return false;
    default: return write_code(job, out);
    }
}

char *jit_emit_for(jit_function *function, const char *stage, const char *arch, const jit_signature *signature,
                   int n_signature, jit_error *error) {
    if (!function || !stage || (n_signature > 0 && !signature)) {
        error_set(error, JIT_ARGUMENT, "a pointer is NULL");
        return NULL;
    }
    int number = 0;
    while (number < STAGE_COUNT && strcmp(stage_names[number], stage) != 0) number++;
    if (number == STAGE_COUNT) {
        error_set(error, JIT_ARGUMENT, "unknown stage \"%s\", expected ast, ir, kernels, plan, llvm, asm, cuda or ptx",
                  stage);
        return NULL;
    }
    bool gpu = number == STAGE_CUDA || number == STAGE_PTX;
    if (arch && !gpu) {
        error_set(error, JIT_ARGUMENT, "stage \"%s\" is not made for an architecture, only \"cuda\" and \"ptx\" are",
                  stage);
        return NULL;
    }
    struct emit_job job = {.function = function,
                           .stage = (enum stage)number,
                           .error = error,
                           .gpu = {.function = function, .error = error}};
    if (number != STAGE_AST) {
        if (!(job.entry = entry_for(function, signature, n_signature, error))) return NULL;
        if (number >= STAGE_LLVM && entry_prepare(function, job.entry, error) != JIT_OK) return NULL;
    }
    job.gpu.entry = job.entry;
    if (gpu && !emit_gpu_open(&job.gpu, arch, number == STAGE_PTX)) return NULL;
    char *text = tools_text_write(write_stage, &job);
    emit_gpu_close(&job.gpu);
    if (!text && !job.reported) error_set(error, JIT_MEMORY, "out of memory");
    return text;
}

char *jit_emit(jit_function *function, const char *stage, const jit_signature *signature, int n_signature,
               jit_error *error) {
    return jit_emit_for(function, stage, NULL, signature, n_signature, error);
}
