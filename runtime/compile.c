/* compile.c: from text to a jit_function, and what can be asked of one. */
#include <string.h>

#include "runtime/npy.h"
#include "runtime/runtime.h"

/* --- files at compile time ---------------------------------------------------------------------------------------- */

static bool load_header(void *host, const char *path, enum dtype *type, int *rank, int64_t *shape, struct strbuf *why) {
    (void)host;
    struct npy_header header;
    struct npy_error error;
    if (!npy_read_header(path, &header, &error)) {
        strbuf_puts(why, error.text);
        return false;
    }
    *type = header.dtype;
    *rank = header.rank;
    for (int d = 0; d < header.rank; d++) shape[d] = header.shape[d];
    return true;
}

/* --- compiling ---------------------------------------------------------------------------------------------------- */

struct compile_job {
    jit_function *function;
    const char *text, *file;
    size_t length, hidden;
    const jit_formula_spec *spec;
    struct diag_list diags;
};

static const struct frontend_formula *copy_spec(struct compile_job *job) {
    struct arena *arena = &job->function->arena;
    const jit_formula_spec *spec = job->spec;
    struct frontend_formula *formula = ARENA_NEW(arena, struct frontend_formula);
    struct frontend_formula_input *inputs = ARENA_ARRAY(arena, struct frontend_formula_input, spec->n_inputs + 1);
    for (int i = 0; i < spec->n_inputs; i++) {
        const jit_formula_input *from = &spec->inputs[i];
        inputs[i] = (struct frontend_formula_input){arena_strdup(arena, from->name), (enum dtype)from->type, from->rank,
                                                    from->has_nodata, from->nodata};
    }
    *formula = (struct frontend_formula){.inputs = inputs,
                                         .n_inputs = spec->n_inputs,
                                         .result_type = (enum dtype)spec->result,
                                         .has_nodata = spec->has_nodata,
                                         .nodata = spec->nodata,
                                         .elementwise = spec->flags & JIT_ELEMENTWISE};
    return formula;
}

static void compile(void *argument) {
    struct compile_job *job = argument;
    jit_function *function = job->function;
    jit_context *context = function->context;
    const jit_options *limits = &context->options;
    function->source = arena_strndup(&function->arena, job->text, job->length);
    function->source_length = job->length;
    function->hidden = job->hidden;
    function->file = arena_strdup(&function->arena, job->file);
    function->options = (struct frontend_options){
        .file = function->file,
        .limits = {.source_bytes = limits->max_source,
                   .nesting = limits->max_nesting,
                   .graph_nodes = limits->max_graph},
        .files = {.load_header = load_header,
                  .allowed = limits->allow_files && !job->spec,
                  .print_allowed = limits->print && !job->spec},
        .fp = context->fp,
        .ulp = context->ulp,
    };
    diag_init(&job->diags, &function->arena, function->file, function->source, function->source_length);
    job->diags.hidden = function->hidden;
    if (job->spec)
        function->program = frontend_analyse_formula(&function->arena, function->source, job->length, copy_spec(job),
                                                     &function->options, &job->diags);
    else
        function->program =
            frontend_analyse(&function->arena, function->source, job->length, &function->options, &job->diags);
}

static void destroy(jit_function *function) {
    jit_context *context = function->context;
    if (function->program) entry_free_all(function);
    pthread_mutex_destroy(&function->build);
    arena_free(&function->arena);
    mem_free(&context->mem, function, sizeof *function);
    context_release(context);
}

/* A program whose inputs are all typed is type-checked now, and its kernels are compiled for contiguous arrays. */
static bool build_typed(jit_function *function, jit_error *error) {
    const struct frontend_program *program = function->program;
    size_t bytes = sizeof(struct frontend_binding) * (size_t)(program->n_inputs + 1);
    struct frontend_binding *bindings = mem_zalloc(&function->context->mem, 1, bytes);
    if (!bindings) {
        error_set(error, JIT_MEMORY, "out of memory while compiling");
        return false;
    }
    for (int i = 0; i < program->n_inputs; i++)
        bindings[i] = (struct frontend_binding){.type = program->inputs[i].type, .rank = program->inputs[i].rank};
    jit_error refused = {0};
    struct plan_entry *entry = entry_get(function, bindings, &refused);
    bool guessed = entry != NULL; /* that no dimension is 1 */
    if (!entry && refused.code == JIT_SHAPE) {
        /* A size of 1 may be what makes the program right. It is wrong for certain if it is so without the guess. */
        for (int i = 0; i < program->n_inputs; i++) bindings[i].any_size = true;
        entry = entry_get(function, bindings, &refused);
    }
    mem_free(&function->context->mem, bindings, bytes);
    if (!entry && error) *error = refused;
    if (!entry) return false;
    if (!guessed) return true;
    if (program->has_effects) return true; /* sizes come from files; and who runs a pipeline runs it at once */
    return entry_prepare_device(function, entry, error) == JIT_OK;
}

static jit_function *compile_source(jit_context *context, const char *text, size_t length, size_t hidden,
                                    const char *file, const jit_formula_spec *spec, jit_error *error) {
    if (!context || !text) {
        error_set(error, JIT_ARGUMENT, "%s is NULL", context ? "the source text" : "the context");
        return NULL;
    }
    jit_function *function = mem_zalloc(&context->mem, 1, sizeof *function);
    if (!function) {
        error_set(error, JIT_MEMORY, "out of memory while compiling");
        return NULL;
    }
    context_retain(context);
    function->context = context;
    arena_init(&function->arena, &context->mem);
    pthread_mutex_init(&function->build, NULL);
    struct compile_job job = {
        .function = function, .text = text, .length = length, .hidden = hidden, .file = file, .spec = spec};
    if (!arena_try(&function->arena, compile, &job))
        error_set(error, JIT_MEMORY, "out of memory while compiling");
    else if (job.diags.count || !function->program)
        error_from_diags(error, &job.diags);
    else if (!function->program->typed || build_typed(function, error))
        return function;
    destroy(function);
    return NULL;
}

jit_function *jit_compile(jit_context *context, const char *source, jit_error *error) {
    return compile_source(context, source, source ? strlen(source) : 0, 0, "<source>", NULL, error);
}

jit_function *jit_compile_text(jit_context *context, const char *source, size_t length, const char *file,
                               jit_error *error) {
    return compile_source(context, source, length, 0, file ? file : "<source>", NULL, error);
}

jit_function *compile_hidden(jit_context *context, const char *source, size_t length, size_t hidden, const char *file,
                             jit_error *error) {
    return compile_source(context, source, length, hidden, file, NULL, error);
}

static bool check_spec(const jit_formula_spec *spec, jit_error *error) {
    if (!spec || (spec->n_inputs > 0 && !spec->inputs) || spec->n_inputs < 0) {
        error_set(error, JIT_ARGUMENT, "the formula's spec or its inputs are missing");
        return false;
    }
    if (spec->struct_size != 0 && spec->struct_size != sizeof *spec) {
        error_set(error, JIT_ARGUMENT, "jit_formula_spec.struct_size is %zu, expected %zu", spec->struct_size,
                  sizeof *spec);
        return false;
    }
    if (spec->result < 0 || spec->result > JIT_F64 || spec->result == JIT_F16) {
        error_set(error, JIT_ARGUMENT, "the formula's result type is none that Weft computes with");
        return false;
    }
    for (int i = 0; i < spec->n_inputs; i++) {
        const jit_formula_input *input = &spec->inputs[i];
        if (!input->name || input->type < JIT_BOOL || input->type > JIT_F64 || input->type == JIT_F16 ||
            input->rank < 0 || input->rank > TYPE_MAX_RANK) {
            error_set(error, JIT_ARGUMENT, "input %d of the formula: name, type or rank is missing or wrong", i);
            return false;
        }
        for (int k = 0; k < i; k++)
            if (strcmp(spec->inputs[k].name, input->name) == 0) {
                error_set(error, JIT_ARGUMENT, "inputs %d and %d of the formula are both called `%s`", k, i,
                          input->name);
                return false;
            }
    }
    return true;
}

jit_function *jit_formula(jit_context *context, const char *text, const jit_formula_spec *spec, jit_error *error) {
    if (!check_spec(spec, error)) return NULL;
    return compile_source(context, text, text ? strlen(text) : 0, 0, "<formula>", spec, error);
}

void jit_function_free(jit_function *function) {
    if (function) destroy(function);
}

/* --- inputs and outputs ------------------------------------------------------------------------------------------- */

int jit_input_count(const jit_function *function) {
    return function ? function->program->n_inputs : 0;
}
int jit_output_count(const jit_function *function) {
    return function ? function->program->n_outputs : 0;
}

const char *jit_input_name(const jit_function *function, int input) {
    return function && input >= 0 && input < function->program->n_inputs ? function->program->inputs[input].name : NULL;
}

const char *jit_output_name(const jit_function *function, int output) {
    if (!function || output < 0 || output >= function->program->n_outputs) return NULL;
    const char *name = function->program->output_names[output];
    return name ? name : "";
}

int jit_input_index(const jit_function *function, const char *name) {
    for (int i = 0; name && i < jit_input_count(function); i++)
        if (strcmp(jit_input_name(function, i), name) == 0) return i;
    return -1;
}

int jit_output_index(const jit_function *function, const char *name) {
    for (int i = 0; name && *name && i < jit_output_count(function); i++)
        if (strcmp(jit_output_name(function, i), name) == 0) return i;
    return -1;
}

jit_status jit_input_type(const jit_function *function, int input, jit_dtype *type, int *rank) {
    if (!function || input < 0 || input >= function->program->n_inputs) return JIT_ARGUMENT;
    if (type) *type = (jit_dtype)function->program->inputs[input].type;
    if (rank) *rank = function->program->inputs[input].rank;
    return JIT_OK;
}

int jit_input_optional(const jit_function *function, int input) {
    return function && input >= 0 && input < function->program->n_inputs &&
           function->program->inputs[input].has_default;
}
