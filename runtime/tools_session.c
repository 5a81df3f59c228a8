/* tools_session.c: variables and functions that stay from one text to the next. */
#include <string.h>
#include <time.h>

#include "frontend/parser.h"
#include "runtime/tools_session.h"
#include "runtime/tools_text.h"

struct jit_session {
    jit_context *context;
    struct session_table table;
};

/* --- items and tables --------------------------------------------------------------------------------------------- */

static void item_release(struct mem *mem, struct session_item *item) {
    if (!item || --item->references) return;
    if (item->value) item->value->deleter(item->value);
    if (item->text) mem_free(mem, item->text, strlen(item->text) + 1);
    mem_free(mem, item->name, strlen(item->name) + 1);
    mem_free(mem, item, sizeof *item);
}

static void table_free(struct mem *mem, struct session_table *table) {
    for (int i = 0; i < table->count; i++) item_release(mem, table->items[i]);
    mem_free(mem, table->items, sizeof *table->items * (size_t)table->capacity);
    *table = (struct session_table){0};
}

static bool table_copy(struct mem *mem, const struct session_table *from, struct session_table *to) {
    *to = (struct session_table){.count = from->count, .capacity = from->count};
    if (!(to->items = mem_alloc(mem, sizeof *to->items * (size_t)to->capacity))) return false;
    for (int i = 0; i < from->count; i++) {
        to->items[i] = from->items[i];
        to->items[i]->references++;
    }
    return true;
}

static int table_index(const struct session_table *table, const char *name) {
    for (int i = 0; i < table->count; i++)
        if (strcmp(table->items[i]->name, name) == 0) return i;
    return -1;
}

const struct session_item *session_find(const struct session_table *table, const char *name) {
    int i = table_index(table, name);
    return i < 0 ? NULL : table->items[i];
}

/* Gives the name a value (taken over, even after false) or a function's text. */
static bool table_set(struct mem *mem, struct session_table *table, const char *name, DLManagedTensor *value,
                      enum weakness weak, const char *text, size_t length) {
    struct session_item *item = mem_zalloc(mem, 1, sizeof *item);
    if (!item) {
        if (value) value->deleter(value);
        return false;
    }
    item->references = 1;
    item->value = value;
    item->weak = weak;
    item->name = mem_strndup(mem, name, strlen(name));
    if (text) item->text = mem_strndup(mem, text, length);
    if (!item->name || (text && !item->text)) goto fail;
    int i = table_index(table, name);
    if (i >= 0) {
        item_release(mem, table->items[i]);
        table->items[i] = item;
        return true;
    }
    if (table->count == table->capacity) {
        int wider = table->capacity * 2 + 8;
        struct session_item **items =
            mem_resize(mem, table->items, sizeof *items * (size_t)table->capacity, sizeof *items * (size_t)wider);
        if (!items) goto fail;
        table->items = items;
        table->capacity = wider;
    }
    table->items[table->count++] = item;
    return true;
fail:
    if (!item->name) { /* item_release wants one */
        if (value) value->deleter(value);
        if (item->text) mem_free(mem, item->text, length + 1);
        mem_free(mem, item, sizeof *item);
    } else {
        item_release(mem, item);
    }
    return false;
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

jit_session *jit_session_new(jit_context *context, jit_error *error) {
    if (!context) {
        error_set(error, JIT_ARGUMENT, "the context is NULL");
        return NULL;
    }
    jit_session *session = mem_zalloc(&context->mem, 1, sizeof *session);
    if (!session) {
        error_set(error, JIT_MEMORY, "out of memory");
        return NULL;
    }
    context_retain(context);
    session->context = context;
    return session;
}

void jit_session_free(jit_session *session) {
    if (!session) return;
    jit_context *context = session->context;
    table_free(&context->mem, &session->table);
    mem_free(&context->mem, session, sizeof *session);
    context_release(context);
}

const char *jit_session_variable(jit_session *session, int index, const DLTensor **value) {
    if (!session || index < 0) return NULL;
    for (int i = 0; i < session->table.count; i++) {
        const struct session_item *item = session->table.items[i];
        if (item->text || index-- > 0) continue;
        if (value) *value = &item->value->dl_tensor;
        return item->name;
    }
    return NULL;
}

static bool is_name(const char *name) {
    if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_')) return false;
    for (; *name; name++)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_' ||
              (*name >= '0' && *name <= '9')))
            return false;
    return true;
}

jit_status jit_session_set(jit_session *session, const char *name, DLManagedTensor *value, jit_error *error) {
    if (!session || !name || !value) {
        if (value) value->deleter(value);
        return error_set(error, JIT_ARGUMENT, "a pointer is NULL");
    }
    enum dtype type = tensor_dtype(&value->dl_tensor);
    bool usable =
        type != TY_NONE && type != TY_F16 && value->dl_tensor.ndim >= 0 && value->dl_tensor.ndim <= TYPE_MAX_RANK;
    bool here = tensor_is_here(&value->dl_tensor);
    if (usable && !here) {
        value->deleter(value);
        return error_set(error, JIT_ARGUMENT,
                         "`%.80s`: the tensor is in a device's memory; a session keeps its variables "
                         "in host memory",
                         name);
    }
    if (!usable || !is_name(name)) {
        value->deleter(value);
        return usable ? error_set(error, JIT_NAME, "`%.80s` is not a name", name)
                      : error_set(error, JIT_ARGUMENT, "`%.80s`: the tensor is none that Weft computes with", name);
    }
    if (!table_set(&session->context->mem, &session->table, name, value, STRONG, NULL, 0))
        return error_set(error, JIT_MEMORY, "out of memory");
    return JIT_OK;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

struct session_job {
    jit_session *session;
    const char *text;
    size_t length;
    struct arena arena;
    struct diag_list diags;
    const struct ast_program *ast;
    struct session_table table; /* as the statements so far have made it */
    struct session_unit *unit;
    int number; /* of the statement that `unit` is made for */
    const volatile int *cancel;
    jit_result *result;
    jit_error *error;
};

static void parse_text(void *argument) {
    struct session_job *job = argument;
    const jit_options *options = &job->session->context->options;
    struct parser_limits limits = {.source_bytes = options->max_source, .nesting = options->max_nesting};
    diag_init(&job->diags, &job->arena, "<stdin>", job->text, job->length);
    job->ast = parser_parse(&job->arena, job->text, job->length, &limits, &job->diags);
}

static void make_unit(void *argument) {
    struct session_job *job = argument;
    job->unit = session_unit(&job->arena, job->ast, job->number, &job->table);
}

static void make_whole(void *argument) {
    struct session_job *job = argument;
    job->unit = session_whole(&job->arena, job->ast, &job->table);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static jit_status out_of_memory(struct session_job *job) {
    return error_set(job->error, JIT_MEMORY, "out of memory");
}

/* Inputs that a statement has: the session's variables by name; a param of the user's takes its default. */
static jit_status bind_variables(struct session_job *job, const jit_function *function, const DLTensor **in) {
    for (int i = 0; i < jit_input_count(function); i++) {
        const char *name = jit_input_name(function, i);
        if (jit_input_optional(function, i)) continue;
        const struct session_item *item = session_find(&job->table, name);
        if (!item || item->text) {
            const struct frontend_input *input = &function->program->inputs[i];
            return error_at(job->error, function, JIT_NAME, input->span,
                            "`%s` has no value: a session has no inputs, assign it first", name);
        }
        in[i] = &item->value->dl_tensor;
    }
    return JIT_OK;
}

/* Moves results to where they belong. Whatever it does not take is left in `out`. */
static jit_status keep_results(struct session_job *job, const jit_function *function, DLManagedTensor **out,
                               int n_out) {
    const struct session_unit *unit = job->unit;
    jit_result *result = job->result;
    if (unit->gives_values) {
        int room = (int)(sizeof result->value / sizeof *result->value);
        if (n_out > room)
            return error_set(job->error, JIT_LIMIT, "a statement of %d values; a session shows %d at most", n_out,
                             room);
        for (int i = 0; i < result->n_values; i++) /* of an earlier statement of this text */
            if (result->value[i]) result->value[i]->deleter(result->value[i]);
        result->n_values = n_out;
        for (int i = 0; i < n_out; i++) {
            result->value[i] = out[i];
            out[i] = NULL;
        }
        return JIT_OK;
    }
    if (unit->rebinds && n_out != unit->n_names)
        return error_at(job->error, function, JIT_TYPE,
                        (struct span){(uint32_t)unit->hidden + unit->stmt->span.offset, unit->stmt->span.length},
                        "%d names are assigned, but there are %d values", unit->n_names, n_out);
    for (int i = 0; i < unit->n_names && i < n_out; i++) {
        DLManagedTensor *value = out[i];
        out[i] = NULL;
        /* A weak value is a scalar of its kind's type; anything else has become strong on its way. */
        enum dtype type = tensor_dtype(&value->dl_tensor);
        enum weakness weak = value->dl_tensor.ndim ? STRONG : unit->weak[i];
        if (weak != STRONG) weak = type == TY_I64 ? WEAK_INT : type == TY_F64 ? WEAK_FLOAT : STRONG;
        if (!table_set(&job->session->context->mem, &job->table, unit->names[i], value, weak, NULL, 0))
            return out_of_memory(job);
    }
    return JIT_OK;
}

static jit_status run_unit(struct session_job *job) {
    jit_context *context = job->session->context;
    if (!arena_try(&job->arena, make_unit, job)) return out_of_memory(job);
    const struct session_unit *unit = job->unit;
    double start = seconds_now();
    jit_function *function = compile_hidden(context, unit->source, unit->length, unit->hidden, "<stdin>", job->error);
    if (!function) return job->error->code;
    double compiled = seconds_now();
    int n_in = jit_input_count(function), n_out = jit_output_count(function);
    size_t in_bytes = sizeof(void *) * (size_t)(n_in + 1), out_bytes = sizeof(void *) * (size_t)(n_out + 1);
    const DLTensor **in = mem_zalloc(&context->mem, 1, in_bytes);
    DLManagedTensor **out = mem_zalloc(&context->mem, 1, out_bytes);
    jit_status status = in && out ? bind_variables(job, function, in) : out_of_memory(job);
    if (status == JIT_OK && unit->stmt) {
        jit_call_options call = {.struct_size = sizeof call, .cancel = job->cancel};
        status = jit_call_alloc(function, in, n_in, out, n_out, &call, job->error);
        if (status == JIT_OK) status = keep_results(job, function, out, n_out);
    }
    for (int i = 0; out && i < n_out; i++)
        if (out[i]) out[i]->deleter(out[i]);
    mem_free(&context->mem, in, in_bytes);
    mem_free(&context->mem, out, out_bytes);
    jit_function_free(function);
    job->result->compile_seconds += compiled - start;
    job->result->run_seconds += seconds_now() - compiled;
    return status;
}

static jit_status run_statements(struct session_job *job) {
    const struct ast_program *ast = job->ast;
    jit_status status = JIT_OK;
    for (int i = 0; i < ast->body.count && status == JIT_OK; i++) {
        if (ast->body.items[i]->kind == AST_FUNCTION) continue;
        job->number = i;
        status = run_unit(job);
    }
    if (status == JIT_OK && ast->n_functions) { /* those that no statement has needed were not looked at yet */
        job->number = -1;
        status = run_unit(job);
    }
    for (int i = 0; i < ast->n_functions && status == JIT_OK; i++) {
        const struct ast_function *f = ast->functions[i];
        if (!table_set(&job->session->context->mem, &job->table, f->name, NULL, STRONG, ast->text + f->span.offset,
                       f->span.length))
            status = out_of_memory(job);
    }
    return status;
}

jit_status jit_session_run(jit_session *session, const char *source, const volatile int *cancel, jit_result *result,
                           jit_error *error) {
    jit_error own_error;
    jit_result own_result;
    if (!error) error = &own_error;
    bool wants_values = result != NULL;
    if (!result) result = &own_result;
    *result = (jit_result){0};
    if (!session || !source)
        return error_set(error, JIT_ARGUMENT, "the %s is NULL", session ? "source text" : "session");
    struct mem *mem = &session->context->mem;
    struct session_job job = {.session = session,
                              .text = source,
                              .length = strlen(source),
                              .cancel = cancel,
                              .result = result,
                              .error = error};
    arena_init(&job.arena, mem);
    jit_status status = JIT_OK;
    if (!table_copy(mem, &session->table, &job.table)) {
        job.table = (struct session_table){0};
        status = out_of_memory(&job);
    } else if (!arena_try(&job.arena, parse_text, &job)) {
        status = out_of_memory(&job);
    } else if (job.diags.count) {
        status = error_from_diags(error, &job.diags);
    } else {
        status = run_statements(&job);
    }
    if (status == JIT_OK) {
        struct session_table before = session->table;
        session->table = job.table;
        job.table = before;
    }
    table_free(mem, &job.table);
    arena_free(&job.arena);
    if (status != JIT_OK || !wants_values) {
        for (int i = 0; i < result->n_values; i++)
            if (result->value[i]) result->value[i]->deleter(result->value[i]);
        *result = (jit_result){0};
    }
    return status;
}

static bool write_ast(void *argument, struct strbuf *out) {
    ast_print(argument, out);
    return true;
}

char *jit_session_emit(jit_session *session, const char *source, const char *stage, jit_error *error) {
    if (!session || !source || !stage) {
        error_set(error, JIT_ARGUMENT, "a pointer is NULL");
        return NULL;
    }
    struct session_job job = {
        .session = session, .text = source, .length = strlen(source), .table = session->table, .error = error};
    char *text = NULL;
    jit_function *function = NULL;
    arena_init(&job.arena, &session->context->mem);
    if (!arena_try(&job.arena, parse_text, &job)) {
        out_of_memory(&job);
    } else if (job.diags.count) {
        error_from_diags(error, &job.diags);
    } else if (strcmp(stage, "ast") == 0) {
        /* The user's text alone: the program as compiled has the session's variables before it. */
        text = tools_text_write(write_ast, (void *)job.ast);
        if (!text) out_of_memory(&job);
    } else if (!arena_try(&job.arena, make_whole, &job)) {
        out_of_memory(&job);
    } else {
        function =
            compile_hidden(session->context, job.unit->source, job.unit->length, job.unit->hidden, "<stdin>", error);
        if (function) text = jit_emit(function, stage, NULL, 0, error);
    }
    jit_function_free(function);
    arena_free(&job.arena);
    return text;
}
