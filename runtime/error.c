/* error.c: from collected errors to the caller's jit_error. */
#include <stdio.h>
#include <string.h>

#include "runtime/runtime.h"

const char *jit_status_name(jit_status status) {
    static const char *const names[] = {"JIT_OK",          "JIT_SYNTAX",   "JIT_NAME",     "JIT_TYPE",
                                        "JIT_SHAPE",       "JIT_INDEX",    "JIT_VALUE",    "JIT_LIMIT",
                                        "JIT_MEMORY",      "JIT_FILE",     "JIT_ASSERT",   "JIT_CANCELLED",
                                        "JIT_UNSUPPORTED", "JIT_ARGUMENT", "JIT_INTERNAL", "JIT_DEVICE"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "JIT_?";
}

/* Copies text into the message, cut at the end of a line if it is too long. */
static void set_message(jit_error *error, const char *text) {
    size_t length = strlen(text), room = sizeof error->message;
    while (length && text[length - 1] == '\n') length--;
    if (length >= room) {
        static const char more[] = "\n[...]";
        length = room - sizeof more;
        while (length && text[length] != '\n') length--;
        if (length == 0) { /* one enormous line */
            length = room - sizeof more;
            while (length && ((unsigned char)text[length] & 0xC0) == 0x80) length--;
        }
        memcpy(error->message, text, length);
        memcpy(error->message + length, more, sizeof more);
        return;
    }
    memcpy(error->message, text, length);
    error->message[length] = 0;
}

struct render_job {
    const struct diag_list *diags;
    struct arena arena;
    struct strbuf out;
};

static void render(void *argument) {
    struct render_job *job = argument;
    strbuf_init(&job->out, &job->arena);
    diag_render(job->diags, &job->out);
}

/* The list as the user should see it: positions in the user's own text, none for what lies before it. */
static struct diag_list without_hidden(const struct diag_list *diags, struct diag *items) {
    struct diag_list shown = *diags;
    if (!diags->hidden) return shown;
    shown.source += diags->hidden;
    shown.source_length -= diags->hidden;
    shown.hidden = 0;
    shown.items = items;
    for (int i = 0; i < diags->count; i++) {
        items[i] = diags->items[i];
        if (items[i].span.offset >= diags->hidden)
            items[i].span.offset -= (uint32_t)diags->hidden;
        else
            items[i].span = (struct span){0, 0};
    }
    return shown;
}

jit_status error_from_diags(jit_error *error, const struct diag_list *all) {
    struct diag items[DIAG_MOST];
    struct diag_list visible = without_hidden(all, items);
    const struct diag_list *diags = &visible;
    if (!diags->count) return error_set(error, JIT_INTERNAL, "an error was reported without a message");
    const struct diag *first = &diags->items[0];
    for (int i = 1; i < diags->count; i++)
        if (diags->items[i].span.offset < first->span.offset && diags->items[i].span.length) first = &diags->items[i];
    jit_status status = (jit_status)first->code;
    if (!error) return status;
    memset(error, 0, sizeof *error);
    error->code = status;
    error->offset = first->span.offset;
    error->length = first->span.length;
    error->count = diags->count + diags->dropped;
    if (first->span.length)
        diag_position(diags->source, diags->source_length, first->span.offset, &error->line, &error->column);
    struct mem mem = {0}; /* the message must come out even where the context's limit is reached */
    struct render_job job = {.diags = diags};
    arena_init(&job.arena, &mem);
    if (arena_try(&job.arena, render, &job))
        set_message(error, strbuf_text(&job.out));
    else
        set_message(error, first->text);
    arena_free(&job.arena);
    return status;
}

jit_status error_set(jit_error *error, jit_status status, const char *format, ...) {
    if (!error) return status;
    memset(error, 0, sizeof *error);
    error->code = status;
    error->count = 1;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

struct at_job {
    jit_error *error;
    const struct jit_function *function;
    jit_status status;
    struct span span;
    const char *text;
    struct arena arena;
};

static void report_at(void *argument) {
    struct at_job *job = argument;
    struct diag_list diags;
    diag_init(&diags, &job->arena, job->function->file, job->function->source, job->function->source_length);
    diags.hidden = job->function->hidden;
    diag_add(&diags, (enum diag_code)job->status, job->span, "%s", job->text);
    error_from_diags(job->error, &diags);
}

jit_status error_at(jit_error *error, const struct jit_function *function, jit_status status, struct span span,
                    const char *format, ...) {
    if (!error) return status;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct mem mem = {0};
    struct at_job job = {.error = error, .function = function, .status = status, .span = span, .text = text};
    arena_init(&job.arena, &mem);
    if (!arena_try(&job.arena, report_at, &job)) error_set(error, status, "%s", text);
    arena_free(&job.arena);
    return status;
}
