/* body_run.h: the last function of a source text, made for given arguments and run: an interpreter of scalar bodies.
 *
 *     struct run run = {.source = "ufunc f(x) { return x + 1 }", .args = {run_f64(2)}, .n_args = 1};
 *     body_run(&run);
 *
 * Arguments that the source reads from the top level follow the declared ones.
 */
#ifndef FRONTEND_BODY_RUN_H
#define FRONTEND_BODY_RUN_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/elab.h"
#include "frontend/parser.h"
#include "frontend/resolve.h"
#include "ir/eval.h"
#include "ir/verify_internal.h"
#include "support/check.h"

enum { RUN_MAX_ARGS = 6, RUN_MAX_RESULTS = 4, RUN_MAX_STEPS = 2000000 };

struct run_arg {
    struct ufunc_argument type;
    union scalar scalar;
    double data[16]; /* of a whole array, converted to its type when read */
    int64_t shape[2];
};

struct run {
    const char *source;
    struct run_arg args[RUN_MAX_ARGS];
    int n_args;
    enum fp_mode fp;
    /* out */
    struct mem *mem; /* not inside: runs are copied */
    struct arena arena;
    const char *errors; /* "" if all is well: messages, a line each */
    const struct ufunc_instance *instance;
    int n_results;
    struct type types[RUN_MAX_RESULTS];
    union scalar results[RUN_MAX_RESULTS];
    bool bad_load; /* a load left its array */
    long steps;
    int counts[OP_COUNT]; /* operations in the body, as it was made */
    int carried;          /* values carried by all loops together */
};

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static inline struct run_arg run_f64(double value) {
    return (struct run_arg){.type = {.type = {TY_F64, STRONG, 0}}, .scalar = {.f64 = value}};
}
static inline struct run_arg run_f32(float value) {
    return (struct run_arg){.type = {.type = {TY_F32, STRONG, 0}}, .scalar = {.f32 = value}};
}
static inline struct run_arg run_int(enum dtype type, int64_t value) {
    return (struct run_arg){.type = {.type = {type, STRONG, 0}}, .scalar = {.i = value}};
}
/* Weak values: known when compiling, or not. */
static inline struct run_arg run_weak(int64_t value) {
    return (struct run_arg){
        .type = {.type = {TY_I64, WEAK_INT, 0}, .is_const = true, .constant = value_int(value, (struct span){0, 0})}};
}
static inline struct run_arg run_weak_real(double value) {
    return (struct run_arg){.type = {.type = {TY_F64, WEAK_FLOAT, 0},
                                     .is_const = true,
                                     .constant = value_real(value, (struct span){0, 0})}};
}
static inline struct run_arg run_index(int64_t value) {
    return (struct run_arg){.type = {.type = {TY_I64, WEAK_INT, 0}}, .scalar = {.i = value}};
}
/* A whole array of h x w elements 1, 2, 3 …; w 0: of rank 1. */
static inline struct run_arg run_whole(enum dtype type, int64_t h, int64_t w) {
    struct run_arg arg = {.type = {.whole = true, .type = {type, STRONG, w ? 2 : 1}}, .shape = {h, w}};
    for (int i = 0; i < 16; i++) arg.data[i] = i + 1;
    return arg;
}

/* --- the interpreter ---------------------------------------------------------------------------------------------- */

struct run_frame {
    struct run *run;
    const struct run_arg *wholes[RUN_MAX_ARGS];
    union scalar *values;    /* by id */
    union scalar **multiple; /* by id: results of an if or loop */
};

static inline union scalar run_converted(double value, enum dtype type) {
    if (type == TY_F64) return (union scalar){.f64 = value};
    if (type == TY_F32) return (union scalar){.f32 = (float)value};
    return (union scalar){.i = (int64_t)value};
}

static void run_region(struct run_frame *f, const struct ir_region *region);

static inline union scalar run_load(struct run_frame *f, const struct ir_value *v) {
    const struct run_arg *arg = f->wholes[v->imm.i];
    int64_t at = 0;
    for (int d = 0; d < v->n_args; d++) {
        int64_t i = f->values[v->args[d]->id].i;
        if (i < 0 || i >= arg->shape[d]) {
            f->run->bad_load = true;
            return (union scalar){0};
        }
        at = at * arg->shape[d] + i;
    }
    return run_converted(arg->data[at], v->type);
}

static inline void run_results(struct run_frame *f, const struct ir_region *region, union scalar *out) {
    for (int i = 0; i < region->n_results; i++) out[i] = f->values[region->results[i]->id];
}

static inline void run_loop(struct run_frame *f, const struct ir_value *v) {
    union scalar *carried = f->multiple[v->id];
    for (int i = 0; i < v->n_args; i++) carried[i] = f->values[v->args[i]->id];
    while (!f->run->bad_load && f->run->steps < RUN_MAX_STEPS) {
        for (int i = 0; i < v->n_args; i++) f->values[v->regions[0]->params[i]->id] = carried[i];
        run_region(f, v->regions[0]);
        if (!f->values[v->regions[0]->results[0]->id].i) return;
        for (int i = 0; i < v->n_args; i++) f->values[v->regions[1]->params[i]->id] = carried[i];
        run_region(f, v->regions[1]);
        run_results(f, v->regions[1], carried);
    }
}

static inline union scalar run_value(struct run_frame *f, const struct ir_value *v) {
    const struct ir_region *taken;
    union scalar args[3];
    switch (v->op) {
    case OP_const:
        if (v->type == TY_F32) return (union scalar){.f32 = (float)v->imm.f};
        if (v->type == TY_F64) return (union scalar){.f64 = v->imm.f};
        return (union scalar){.i = v->imm.i};
    case OP_len: return (union scalar){.i = f->wholes[v->imm.i]->shape[v->dim]};
    case OP_load: return run_load(f, v);
    case OP_if:
        taken = v->regions[f->values[v->args[0]->id].i ? 0 : 1];
        run_region(f, taken);
        run_results(f, taken, f->multiple[v->id]);
        return (union scalar){0};
    case OP_loop: run_loop(f, v); return (union scalar){0};
    case OP_result: return f->multiple[v->args[0]->id][v->imm.i];
    default: break;
    }
    for (int i = 0; i < v->n_args; i++) args[i] = f->values[v->args[i]->id];
    /* Operations are named after their operands' type, conversions and select after the result's. */
    enum dtype of = v->args[0]->type, type = v->op == OP_convert || v->op == OP_select ? v->type : of;
    return eval_scalar(v->op, type, of, args, NULL);
}

static void run_region(struct run_frame *f, const struct ir_region *region) {
    for (int i = 0; i < region->n_values && !f->run->bad_load; i++) {
        f->run->steps++;
        f->values[region->values[i]->id] = run_value(f, region->values[i]);
    }
}

/* Counts what was made, and gives ifs and loops room for their results. */
static inline void run_survey(struct run_frame *f, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *v = region->values[i];
        f->run->counts[v->op]++;
        if (v->op == OP_loop) f->run->carried += v->n_args;
        for (int r = 0; r < 2; r++) {
            if (!v->regions[r]) continue;
            if (v->op == OP_loop) assert_int_equal(v->regions[r]->n_params, v->n_args);
            run_survey(f, v->regions[r]);
        }
        if (v->op == OP_loop) {
            assert_int_equal(v->regions[0]->n_results, 1);
            assert_int_equal(v->regions[1]->n_results, v->n_args);
        }
        if (v->op == OP_if) assert_int_equal(v->regions[0]->n_results, v->regions[1]->n_results);
        if (v->regions[0]) f->multiple[v->id] = ARENA_ARRAY(&f->run->arena, union scalar, v->regions[1]->n_results);
    }
}

static inline void run_instance(struct run *run) {
    struct run_frame f = {.run = run};
    struct ir_region *body = &run->instance->function->body;
    struct strbuf why;
    strbuf_init(&why, &run->arena);
    if (!verify_function(run->instance->function, &why)) fail_msg("%s\n%s", strbuf_text(&why), run->source);
    int n = body_number(body), n_whole = 0, n_scalar = 0;
    f.values = ARENA_ARRAY(&run->arena, union scalar, n);
    f.multiple = ARENA_ARRAY(&run->arena, union scalar *, n);
    for (int i = 0; i < run->n_args; i++) {
        const struct run_arg *arg = &run->args[i];
        if (arg->type.whole) {
            f.wholes[n_whole++] = arg;
            continue;
        }
        enum dtype to = run->instance->param_types[n_scalar], from = arg->type.type.dtype;
        union scalar value = arg->scalar;
        if (arg->type.is_const && arg->type.type.weak == WEAK_INT)
            value.u = arg->type.constant.negative ? -arg->type.constant.magnitude : arg->type.constant.magnitude;
        else if (arg->type.is_const)
            value.f64 = arg->type.constant.real;
        if (to != from) value = eval_scalar(OP_convert, to, from, &value, NULL);
        f.values[body->params[n_scalar++]->id] = value;
    }
    assert_int_equal(n_whole, run->instance->function->n_whole);
    assert_int_equal(n_scalar, body->n_params);
    run_survey(&f, body);
    run_region(&f, body);
    run->n_results = run->instance->n_results;
    for (int i = 0; i < run->n_results && i < RUN_MAX_RESULTS; i++) {
        run->types[i] = run->instance->results[i];
        run->results[i] = f.values[body->results[i]->id];
        assert_int_equal(body->results[i]->type, run->types[i].dtype);
    }
}

static void run_work(void *argument) {
    struct run *run = argument;
    struct diag_list *diags = ARENA_NEW(&run->arena, struct diag_list);
    size_t length = strlen(run->source);
    diag_init(diags, &run->arena, "t.weft", run->source, length);
    struct frontend_options *options = ARENA_NEW(&run->arena, struct frontend_options);
    options->file = "t.weft";
    options->fp = run->fp;
    struct frontend_program *program = ARENA_NEW(&run->arena, struct frontend_program);
    program->options = options;
    struct ast_program *ast = parser_parse(&run->arena, run->source, length, NULL, diags);
    program->ast = ast;
    if (diags->count == 0 && resolve_program(program, ast, &run->arena, diags)) {
        struct elab elab = {
            .arena = &run->arena, .program = program, .ast = ast, .resolve = program->resolve, .diags = diags};
        struct ufunc_argument *types = ARENA_ARRAY(&run->arena, struct ufunc_argument, RUN_MAX_ARGS);
        for (int i = 0; i < run->n_args; i++) types[i] = run->args[i].type;
        const struct ast_function *function = ast->functions[ast->n_functions - 1];
        run->instance = ufunc_instantiate(&elab, function, types, function->name_span);
        /* The same again is the same instance. */
        if (run->instance)
            assert_ptr_equal(run->instance, ufunc_instantiate(&elab, function, types, function->name_span));
    }
    struct strbuf text;
    strbuf_init(&text, &run->arena);
    for (int i = 0; i < diags->count; i++) strbuf_printf(&text, "%s\n", diags->items[i].text);
    run->errors = strbuf_text(&text);
    if (run->instance) run_instance(run);
}

static inline void body_run(struct run *run) {
    run->mem = calloc(1, sizeof *run->mem);
    assert_non_null(run->mem);
    arena_init(&run->arena, run->mem);
    assert_true(arena_try(&run->arena, run_work, run));
}

static inline void body_free(struct run *run) {
    arena_free(&run->arena);
    assert_int_equal(run->mem->used, 0);
    free(run->mem);
}

/* Runs and wants no error. */
static inline void body_good(struct run *run) {
    body_run(run);
    if (!run->instance || run->errors[0]) print_error("%s\n%s", run->source, run->errors);
    assert_true(run->instance && !run->errors[0]);
    assert_true(run->steps < RUN_MAX_STEPS);
}

/* A result as a number. */
static inline double run_number(const struct run *run, int i) {
    switch (run->types[i].dtype) {
    case TY_F64: return run->results[i].f64;
    case TY_F32: return (double)run->results[i].f32;
    case TY_U64: return (double)run->results[i].u;
    default: return (double)run->results[i].i;
    }
}

#endif
