/* tools_format.c: values and texts for people. */
#include <string.h>

#include "runtime/format.h"
#include "runtime/runtime.h"
#include "runtime/tools_text.h"

char *tools_text_copy(const char *text) {
    struct mem heap = {0};
    return mem_strndup(&heap, text, strlen(text));
}

void jit_text_free(char *text) {
    if (!text) return;
    struct mem heap = {0};
    size_t size = strlen(text) + 1;
    atomic_store(&heap.used, size);
    mem_free(&heap, text, size);
}

struct write_job {
    bool (*write)(void *argument, struct strbuf *out);
    void *argument;
    struct arena arena;
    struct strbuf out;
    bool ok;
};

static void write_text(void *argument) {
    struct write_job *job = argument;
    strbuf_init(&job->out, &job->arena);
    job->ok = job->write(job->argument, &job->out);
}

char *tools_text_write(bool (*write)(void *argument, struct strbuf *out), void *argument) {
    struct mem heap = {0};
    struct write_job job = {.write = write, .argument = argument};
    arena_init(&job.arena, &heap);
    char *text = NULL;
    if (arena_try(&job.arena, write_text, &job) && job.ok) text = tools_text_copy(strbuf_text(&job.out));
    arena_free(&job.arena);
    return text;
}

static bool write_value(void *argument, struct strbuf *out) {
    const DLTensor *tensor = argument;
    int64_t stride[TYPE_MAX_RANK];
    enum dtype type = tensor_dtype(tensor);
    const char *data = (const char *)tensor->data + tensor->byte_offset;
    if (tensor->ndim == 0) return format_scalar(out, type, data);
    tensor_strides(tensor, stride);
    return format_array(out, type, data, tensor->ndim, tensor->shape, stride);
}

static bool usable(const DLTensor *tensor) {
    return tensor && tensor->ndim >= 0 && tensor->ndim <= TYPE_MAX_RANK && tensor_dtype(tensor) != TY_NONE;
}

char *jit_format(const DLTensor *value) {
    return usable(value) && tensor_is_here(value) ? tools_text_write(write_value, (void *)value) : NULL;
}

static bool write_type(void *argument, struct strbuf *out) {
    const DLTensor *tensor = argument;
    strbuf_puts(out, dtype_name(tensor_dtype(tensor)));
    for (int d = 0; d < tensor->ndim; d++) strbuf_printf(out, "%s%lld", d ? ", " : "[", (long long)tensor->shape[d]);
    if (tensor->ndim) strbuf_putc(out, ']');
    return true;
}

char *jit_format_type(const DLTensor *value) {
    return usable(value) ? tools_text_write(write_type, (void *)value) : NULL;
}
