/* scalar.c: a typed scalar ufunc as a plain C function pointer. */
#include <ctype.h>
#include <string.h>

#include "runtime/runtime.h"

/* "f64(f64,f64)": result and parameter types, blanks allowed. -1 if the text is none; else the number of parameters. */
static int parse_signature(const char *text, enum dtype *result, enum dtype *parameters) {
    int count = -1; /* the result comes first */
    for (const char *p = text;;) {
        while (isspace((unsigned char)*p)) p++;
        if (count == 0 && *p == ')') return p[1 + strspn(p + 1, " ")] ? -1 : 0;
        char name[8];
        size_t n = 0;
        while (isalnum((unsigned char)*p) && n + 1 < sizeof name) name[n++] = *p++;
        name[n] = 0;
        enum dtype type = dtype_from_name(name);
        if (type == TY_NONE || count == CPU_SCALAR_PARAMETERS) return -1;
        if (count < 0)
            *result = type;
        else
            parameters[count] = type;
        while (isspace((unsigned char)*p)) p++;
        char expected = count < 0 ? '(' : ',';
        count++;
        if (count > 0 && *p == ')') return p[1 + strspn(p + 1, " ")] ? -1 : count;
        if (*p++ != expected) return -1;
    }
}

/* The one kernel of a program that computes one scalar from scalars, or NULL. */
static const struct plan_launch *only_launch(const struct plan *plan) {
    if (plan->body.n_steps != 1 || plan->body.steps[0]->kind != STEP_GRAPH || plan->n_launches != 1 ||
        plan->n_outputs != 1)
        return NULL;
    const struct plan_launch *launch = plan->launches[0];
    if (launch->kernel->kind != KERNEL_MAP || launch->kernel->n_par != 0 || launch->kernel->n_sizes != 0) return NULL;
    for (int k = 0; k < launch->kernel->n_operands; k++) {
        int slot = launch->operands[k].slot;
        if (launch->kernel->operands[k].kind == OPERAND_WHOLE || slot < 0) return NULL;
        if (launch->kernel->operands[k].kind == OPERAND_WRITE ? slot != plan->output_slots[0]
                                                              : plan->slots[slot].input < 0)
            return NULL;
    }
    return launch;
}

struct scalar_job {
    jit_function *function;
    const struct ir_kernel *kernel;
    struct cpu_variant variant;
    struct arena arena;
    struct strbuf why;
    struct kernel_code code;
    bool ok;
};

static void compile_scalar(void *argument) {
    struct scalar_job *job = argument;
    strbuf_init(&job->why, &job->arena);
    job->variant.access = ARENA_ARRAY(&job->arena, enum access_class, job->kernel->n_operands + 1); /* all uniform */
    job->ok = cpu_kernel_compile(job->function->context->engine, job->kernel, &job->variant, &job->code, &job->why);
}

/* Keeps the code with the kernel's other variants, so that it lives as long as the function. The key is one that no
 * call makes. */
static bool keep(jit_function *function, struct launch_state *state, int key_length, const struct kernel_code *code) {
    struct kernel_variant *variant = mem_zalloc(&function->context->mem, 1, sizeof *variant + (size_t)key_length);
    if (!variant) return false;
    variant->code = *code;
    variant->key_length = key_length;
    memset(variant->key, 0xFF, (size_t)key_length);
    fork_hold();
    pthread_mutex_lock(&function->build);
    variant->next = atomic_load(&state->variants);
    atomic_store(&state->variants, variant);
    pthread_mutex_unlock(&function->build);
    fork_allow();
    return true;
}

jit_scalar_fn *jit_scalar_function(jit_function *function, const char *signature, jit_error *error) {
    enum dtype result = TY_NONE, parameters[CPU_SCALAR_PARAMETERS];
    int n = signature ? parse_signature(signature, &result, parameters) : -1;
    if (!function || n < 0) {
        error_set(error, JIT_ARGUMENT, "%s",
                  function ? "the signature is not of the form f64(f64,f64)" : "the function is NULL");
        return NULL;
    }
    bool same = n == function->program->n_inputs && (result == TY_F32 || result == TY_F64);
    struct frontend_binding bindings[CPU_SCALAR_PARAMETERS] = {0};
    for (int i = 0; i < n && same; i++) {
        bindings[i].type = parameters[i];
        same = parameters[i] == result && function->program->inputs[i].rank <= 0;
    }
    if (!same) {
        error_set(error, JIT_TYPE, "the program is not of type %s (all of f64 or all of f32, one for each input)",
                  signature);
        return NULL;
    }
    struct plan_entry *entry = entry_get(function, bindings, error);
    if (!entry) return NULL;
    const struct plan_launch *launch = only_launch(entry->plan);
    if (!launch || entry->plan->slots[entry->plan->output_slots[0]].type != result) {
        error_set(error, JIT_TYPE,
                  "only a program that is one ufunc of scalars with one result has a function pointer, and its type "
                  "must be %s",
                  signature);
        return NULL;
    }
    int parameter_of[CPU_SCALAR_PARAMETERS + 1 + CPU_SCALAR_PARAMETERS];
    if (launch->kernel->n_operands > (int)(sizeof parameter_of / sizeof *parameter_of)) {
        error_set(error, JIT_TYPE, "the program is not of type %s", signature);
        return NULL;
    }
    for (int k = 0; k < launch->kernel->n_operands; k++)
        parameter_of[k] =
            launch->kernel->operands[k].kind == OPERAND_WRITE ? -1 : entry->plan->slots[launch->operands[k].slot].input;
    struct cpu_scalar_entry scalar = {result, n, parameter_of};
    struct scalar_job job = {
        .function = function, .kernel = launch->kernel, .variant = {.single_row = true, .entry = &scalar}};
    arena_init(&job.arena, &function->context->mem);
    fork_hold();
    bool room = arena_try(&job.arena, compile_scalar, &job) && (job.ok || *strbuf_text(&job.why));
    fork_allow();
    if (!room)
        error_set(error, JIT_MEMORY, "out of memory while compiling");
    else if (!job.ok)
        error_set(error, JIT_INTERNAL, "compiling `%s` failed: %s", launch->kernel->name, strbuf_text(&job.why));
    arena_free(&job.arena);
    if (!room || !job.ok) return NULL;
    if (!keep(function, &entry->launches[launch->index], launch->kernel->n_operands + 1, &job.code)) {
        cpu_kernel_free(function->context->engine, &job.code);
        error_set(error, JIT_MEMORY, "out of memory while compiling");
        return NULL;
    }
    return (jit_scalar_fn *)job.code.entry;
}
