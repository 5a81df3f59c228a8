/* array_run.h: a program on fixed inputs, by the reference evaluator, with its outputs as text. */
#ifndef FRONTEND_ARRAY_RUN_H
#define FRONTEND_ARRAY_RUN_H

#include <math.h>

#include "frontend/frontend.h"
#include "golden.h"
#include "ir/eval.h"
#include "ir/verify.h"

/* The names that test programs may use. */
struct array_input {
    const char *name;
    enum dtype type;
    int rank;
    int64_t shape[2];
    const void *data;
};
static const struct array_input array_inputs_known[] = {
    {"x", TY_F64, 1, {4}, (const double[]){1, 2, 3, 4}},
    {"y", TY_F64, 1, {4}, (const double[]){0.5, -1, 2, 8}},
    {"w", TY_F64, 1, {3}, (const double[]){10, 20, 30}},
    {"f", TY_F32, 1, {3}, (const float[]){1.5f, 2, 4}},
    {"u", TY_U8, 1, {3}, (const uint8_t[]){1, 2, 255}},
    {"m", TY_F64, 2, {2, 3}, (const double[]){1, 2, 3, 4, 5, 6}},
    {"row", TY_F64, 2, {1, 3}, (const double[]){7, 8, 9}},
    {"v", TY_F64, 1, {5}, (const double[]){5, NAN, 1, NAN, 3}},
    {"z", TY_F64, 1, {0}, (const double[]){0}},
    {"i", TY_I64, 0, {0}, (const int64_t[]){5}},
    {"t", TY_I64, 1, {4}, (const int64_t[]){3, -4, 7, 12}},
    {"k", TY_I64, 0, {0}, (const int64_t[]){2}},
    {"j", TY_I32, 0, {0}, (const int32_t[]){-3}},
    {"s", TY_F64, 0, {0}, (const double[]){2.5}},
    {"yes", TY_BOOL, 0, {0}, (const uint8_t[]){1}},
    {"no", TY_BOOL, 0, {0}, (const uint8_t[]){0}},
};

static inline const struct array_input *array_input_find(const char *name) {
    for (size_t n = 0; n < sizeof array_inputs_known / sizeof *array_inputs_known; n++)
        if (strcmp(array_inputs_known[n].name, name) == 0) return &array_inputs_known[n];
    return NULL;
}

static inline bool array_no_header(void *host, const char *path, enum dtype *type, int *rank, int64_t *shape,
                                   struct strbuf *why) {
    (void)host;
    if (strcmp(path, "known.npy") != 0) {
        strbuf_printf(why, "cannot open \"%s\"", path);
        return false;
    }
    *type = TY_F32;
    *rank = 2;
    shape[0] = 1;
    shape[1] = 7;
    return true;
}

static const struct frontend_options array_options = {
    .file = "test.weft", .ulp = 4, .files = {.allowed = true, .print_allowed = true, .load_header = array_no_header}};

struct array_run {
    struct mem mem;
    struct arena arena;
    struct diag_list diags;
    const struct frontend_program *program;
    struct plan *plan;
    struct eval_array inputs[8];
};

static inline void array_bind(struct array_run *run) {
    struct frontend_binding bindings[8] = {{0}};
    const struct frontend_program *program = run->program;
    assert_true(program->n_inputs <= 8);
    for (int n = 0; n < program->n_inputs; n++) {
        const struct array_input *input = array_input_find(program->inputs[n].name);
        struct array_input own = {.type = program->inputs[n].type, .data = &program->inputs[n].default_value};
        if (program->inputs[n].has_default) input = &own;
        if (!input) fail_msg("no input %s", program->inputs[n].name);
        bindings[n] = (struct frontend_binding){.type = input->type, .rank = input->rank};
        struct eval_array *array = &run->inputs[n];
        *array = (struct eval_array){.type = input->type, .rank = input->rank, .data = (char *)input->data};
        int64_t stride = dtype_size(input->type);
        for (int d = input->rank - 1; d >= 0; d--) {
            if (input->shape[d] == 1) bindings[n].ones |= 1u << d;
            array->shape[d] = input->shape[d];
            array->stride[d] = stride;
            stride *= input->shape[d];
        }
    }
    run->plan = frontend_instantiate(program, &run->arena, bindings, &run->diags);
}

/* Compiles; `run` was zeroed and its arena initialised. */
static inline void array_compile(struct array_run *run, const char *source, size_t length, const char *name) {
    diag_init(&run->diags, &run->arena, name, source, length);
    run->program = frontend_analyse(&run->arena, source, length, &array_options, &run->diags);
    if (run->program) array_bind(run);
}

static inline void array_start(struct array_run *run, const char *source, size_t length, const char *name) {
    *run = (struct array_run){0};
    arena_init(&run->arena, &run->mem);
    array_compile(run, source, length, name);
    assert_true((run->plan == NULL) == (run->diags.count > 0));
    if (!run->plan) return;
    struct strbuf why;
    strbuf_init(&why, &run->arena);
    if (!verify_plan(run->plan, &why)) fail_msg("%.*s\n%s", (int)length, source, strbuf_text(&why));
}

static inline void array_stop(struct array_run *run) {
    arena_free(&run->arena);
    assert_int_equal(run->mem.used, 0);
}

static inline void array_print_element(struct strbuf *out, enum dtype type, const char *at) {
    switch (type) {
    case TY_BOOL: strbuf_puts(out, *at ? "true" : "false"); break;
    case TY_I8: strbuf_printf(out, "%d", *(const int8_t *)at); break;
    case TY_U8: strbuf_printf(out, "%d", *(const uint8_t *)at); break;
    case TY_I32: strbuf_printf(out, "%d", *(const int32_t *)at); break;
    case TY_I64: strbuf_printf(out, "%lld", (long long)*(const int64_t *)at); break;
    case TY_U64: strbuf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case TY_F32: strbuf_printf(out, "%.9g", (double)*(const float *)at); break;
    case TY_F64: strbuf_printf(out, "%.17g", *(const double *)at); break;
    default: strbuf_puts(out, "?"); break;
    }
}

/* "f64[2] 1 2; i64 5 (1 printed)", or "error: …" of the compiler or of the run, with the sizes not filled in. */
static inline const char *array_outcome(struct array_run *run) {
    struct strbuf out;
    strbuf_init(&out, &run->arena);
    if (!run->plan) {
        for (int n = 0; n < run->diags.count; n++)
            strbuf_printf(&out, "%serror: %s", n ? "; " : "", run->diags.items[n].text);
        return strbuf_text(&out);
    }
    struct eval_result *result = eval_plan(&run->arena, run->plan, run->inputs, NULL);
    if (!result->ok) return arena_printf(&run->arena, "failed: %s", result->text);
    for (int n = 0; n < run->plan->n_outputs; n++) {
        const struct eval_array *array = &result->outputs[n];
        int64_t count = 1;
        strbuf_printf(&out, "%s%s", n ? "; " : "", dtype_name(array->type));
        for (int d = 0; d < array->rank; d++) {
            strbuf_printf(&out, "%s%lld%s", d ? ", " : "[", (long long)array->shape[d],
                          d == array->rank - 1 ? "]" : "");
            count *= array->shape[d];
        }
        for (int64_t e = 0; e < count; e++) {
            strbuf_putc(&out, ' ');
            array_print_element(&out, array->type, array->data + e * dtype_size(array->type));
        }
    }
    if (result->n_printed) strbuf_printf(&out, "%s(%d printed)", out.length ? " " : "", result->n_printed);
    return strbuf_text(&out);
}

#endif
