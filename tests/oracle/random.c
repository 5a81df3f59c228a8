/* random.c: whole programs. */
#include "oracle/random.h"

#include <string.h>

#include "oracle/random_gen.h"

struct maker {
    struct gen g;
    struct random_program *program;
};

static void add(struct maker *m, const char *statement) {
    m->program->statements[m->program->n_statements++] = statement;
}

static bool is_full(const struct maker *m) {
    return m->program->n_statements >= RANDOM_STATEMENTS - 4 || m->g.n_variables >= GEN_VARIABLES - 4;
}

static void define(struct maker *m, struct piece piece) {
    m->g.variables[m->g.n_variables++] = piece;
}

static const char *fresh(struct maker *m) {
    return gen_text(&m->g, "a%d", m->g.names++);
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static void put_element(struct gen *g, enum dtype type, char *at) {
    static const double plain[] = {0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.25, -7.5, 100.0, 1e-3, 12345.678};
    static const double odd[] = {0.0 / 0.0, 1.0 / 0.0, -1.0 / 0.0,   1e300,  -1e-310, 5e-324,
                                 1e-40,     3e38,      2147483648.5, 9.3e18, -1e19};
    uint64_t bits = gen_bits(g);
    if (type == TY_BOOL) {
        *at = bits & 1;
    } else if (dtype_is_float(type)) {
        double x = (double)(int64_t)gen_bits(g) * 0x1p-60; /* up to 8, all bits in use */
        if (gen_chance(g, 10))
            x = GEN_PICK(g, plain);
        else if (gen_chance(g, 4))
            x = GEN_PICK(g, odd);
        float single = (float)x;
        if (type == TY_F32)
            memcpy(at, &single, sizeof single);
        else
            memcpy(at, &x, sizeof x);
    } else {
        if (gen_chance(g, 50))
            bits = (uint64_t)(int64_t)(gen_below(g, 21) - 8);
        else if (gen_chance(g, 20))
            bits = (uint64_t)1 << (8 * dtype_size(type) - 1);
        else if (gen_chance(g, 20))
            bits = ((uint64_t)1 << (8 * dtype_size(type) - 1)) - 1;
        memcpy(at, &bits, (size_t)dtype_size(type));
    }
}

/* Lays an input out: dense, padded, in columns, reversed, broadcast. */
static void lay_out(struct gen *g, struct oracle_input *input) {
    int64_t size = dtype_size(input->type), extent = size, count = 1;
    int order[TYPE_MAX_RANK];
    for (int d = 0; d < input->rank; d++) order[d] = d, count *= input->shape[d];
    bool dense = gen_chance(g, 50);
    if (!dense && input->rank > 1 && gen_chance(g, 40))
        for (int d = 0; d < input->rank; d++) order[d] = input->rank - 1 - d;
    for (int k = input->rank - 1; k >= 0; k--) {
        int d = order[k];
        input->stride[d] = extent;
        if (!dense && gen_chance(g, 25)) input->stride[d] *= 2 + gen_below(g, 2);
        if (!dense && gen_chance(g, 10))
            input->stride[d] = 0;
        else
            extent = input->stride[d] * (input->shape[d] > 0 ? input->shape[d] : 1);
    }
    char *data = arena_alloc(g->arena, (size_t)extent + 8);
    for (int64_t at = 0; at + size <= extent; at += size) put_element(g, input->type, data + at);
    for (int d = 0; d < input->rank; d++) {
        if (dense || !gen_chance(g, 25) || input->shape[d] == 0) continue;
        data += input->stride[d] * (input->shape[d] - 1);
        input->stride[d] = -input->stride[d];
    }
    input->data = data;
}

static void make_input(struct maker *m, const struct shape *shape) {
    struct gen *g = &m->g;
    struct oracle_input *input = &m->program->inputs[m->program->n_inputs];
    *input = (struct oracle_input){.type = gen_type(g), .rank = shape->rank};
    const char *name = gen_text(g, "x%d", m->program->n_inputs++);
    memcpy(input->name, name, strlen(name) + 1);
    memcpy(input->shape, shape->dim, sizeof shape->dim);
    lay_out(g, input);
    const char *dims = "";
    for (int d = 0; d < shape->rank; d++) dims = gen_text(g, "%s%s", dims, d ? ", :" : ":");
    const char *type = dtype_name(input->type);
    add(m, shape->rank == 0    ? gen_text(g, "param %s: %s", name, type)
           : gen_chance(g, 70) ? gen_text(g, "param %s: [%s]", name, dims)
                               : gen_text(g, "param %s: %s[%s]", name, type, dims));
    define(m, (struct piece){name, input->type, *shape});
}

/* Scalars that stay weak: they take the type of what they meet. */
static void make_weak_inputs(struct maker *m) {
    struct gen *g = &m->g;
    for (int wide = 0; wide < 2; wide++) {
        struct oracle_input *input = &m->program->inputs[m->program->n_inputs++];
        *input = (struct oracle_input){.name = {'k', (char)('0' + wide)}, .type = wide ? TY_F64 : TY_I64};
        input->data = arena_alloc(g->arena, 8);
        if (wide)
            memcpy(input->data, &(double){gen_below(g, 40) * 0.375 - 5}, 8);
        else
            memcpy(input->data, &(int64_t){gen_below(g, 500) - 100}, 8);
        add(m, wide ? "param k1 = 2.5" : "param k0 = 3");
    }
    g->weak_int = "k0", g->weak_float = "k1";
}

/* Shapes that broadcast with each other: one, its last dimension, a column of it, and an unrelated one. */
static void make_shapes(struct maker *m) {
    struct gen *g = &m->g;
    static const int sizes[] = {1, 2, 3, 5, 7, 8, 16, 17, 31, 33, 64, 67, 100};
    struct shape base = {1 + gen_below(g, 4), {0}};
    int64_t room = gen_chance(g, 8) ? 40000 : 1500;
    for (int d = base.rank - 1; d >= 0; d--) {
        base.dim[d] = GEN_PICK(g, sizes);
        if (gen_chance(g, 20)) base.dim[d] = 1 + gen_below(g, (int)(room < 5000 ? room : 5000));
        if (base.dim[d] > room) base.dim[d] = room;
        room /= base.dim[d];
    }
    if (base.rank == 1 && room > 1) base.dim[0] *= room / (1 + gen_below(g, 3)) > 1 ? room / 2 + 1 : 1;
    if (gen_chance(g, 3)) base.dim[gen_below(g, base.rank)] = 0;
    g->shapes[g->n_shapes++] = shape_scalar;
    g->shapes[g->n_shapes++] = base;
    g->shapes[g->n_shapes++] = base;
    g->shapes[g->n_shapes++] = (struct shape){1, {base.dim[base.rank - 1]}};
    if (base.rank > 1) {
        struct shape column = base;
        column.dim[base.rank - 1] = 1;
        g->shapes[g->n_shapes++] = column;
    }
    g->shapes[g->n_shapes++] = (struct shape){1, {1 + gen_below(g, 200)}};
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static const struct shape *some_shape(struct gen *g) {
    return &g->shapes[gen_below(g, g->n_shapes)];
}

static void assign(struct maker *m) {
    struct gen *g = &m->g;
    g->budget = 2 + gen_below(g, 11);
    struct piece made = gen_expr(g, gen_type(g), some_shape(g));
    const char *name = fresh(m);
    add(m, gen_text(g, "%s = %s", name, made.text));
    define(m, (struct piece){name, made.type, made.shape});
}

/* x += …, which keeps type and shape. */
static void update(struct maker *m) {
    static const char *const float_ops[] = {"+=", "-=", "*=", "/="}, *const int_ops[] = {
                                                                         "+=", "-=", "*=", "//=", "%=", "&=", "<<="};
    struct gen *g = &m->g;
    const struct piece *v = &g->variables[gen_below(g, g->n_variables)];
    if (v->text[0] != 'a' || v->type == TY_BOOL) return;
    g->budget = 5;
    struct piece made = gen_expr(g, v->type, &v->shape);
    add(m, gen_text(g, "%s %s %s", v->text, dtype_is_float(v->type) ? GEN_PICK(g, float_ops) : GEN_PICK(g, int_ops),
                    made.text));
}

/* Which axes make a row of each: the last ones. */
static const char *row_axes(struct gen *g, int rank) {
    if (rank > 2 && gen_chance(g, 30)) return "(-2, -1)";
    return gen_chance(g, 70) ? "-1" : gen_text(g, "%d", rank - 1);
}

/* Rows normalised by what is reduced of them, again and again, as softmax does. What stands between is no variable, so
 * nothing else need see it. */
static void rows(struct maker *m) {
    static const enum dtype types[] = {TY_F32, TY_F32, TY_F64, TY_F64, TY_I32, TY_I64};
    static const char *const float_reductions[] = {"sum", "max", "mean", "min", "var", "std", "norm", "argmax"};
    static const char *const integer_reductions[] = {"sum", "max", "min", "argmin"};
    static const char *const calls[] = {"", "", "sqrt(1 + abs", "exp(-abs", "sin(", "log1p(abs"};
    static const char *const float_uses[] = {"-", "/", "*", "+"}, *const integer_uses[] = {"-", "//", "*", "%"};
    struct gen *g = &m->g;
    struct shape base = g->shapes[1];
    if (base.rank < 2) return;
    enum dtype type = GEN_PICK(g, types);
    bool is_float = dtype_is_float(type);
    g->budget = 4;
    const char *name = dtype_name(type), *x = fresh(m),
               *text = gen_text(g, "%s = %s", x, gen_exact(g, type, &base).text);
    for (int i = 1 + gen_below(g, 3); i > 0; i--) {
        const char *row = fresh(m), *next = fresh(m);
        const char *reduction = is_float ? GEN_PICK(g, float_reductions) : GEN_PICK(g, integer_reductions);
        const char *use = is_float ? GEN_PICK(g, float_uses) : GEN_PICK(g, integer_uses);
        const char *call = is_float ? GEN_PICK(g, calls) : "", *end = *call ? ")" : "";
        const char *of_row = is_float && gen_chance(g, 30) ? GEN_PICK(g, calls) : "", *row_end = *of_row ? ")" : "";
        bool plain = strncmp(reduction, "arg", 3) == 0; /* of one axis alone */
        /* Now and then another row, or the same one backwards. */
        const char *view = !gen_chance(g, 12) ? "" : gen_chance(g, 50) ? "[::-1]" : "[..., ::-1]";
        text = gen_text(g, "%s\n%s = %s(%s((%s(%s, axis=%s, keepdims=true)))%s)", text, row, name, of_row, reduction, x,
                        plain ? "-1" : row_axes(g, base.rank), row_end);
        text = gen_text(g, "%s\n%s = %s(%s(%s%s %s %s)%s)", text, next, name, call, x, view, use, row, end);
        if (gen_chance(g, 15)) define(m, (struct piece){x, type, base});
        x = next;
    }
    add(m, text);
    define(m, (struct piece){x, type, base});
}

static void check_condition(struct maker *m) {
    struct gen *g = &m->g;
    g->budget = 3;
    const char *condition = gen_expr(g, TY_BOOL, &shape_scalar).text;
    add(m, gen_text(g, gen_chance(g, 90) ? "assert %s or true, \"never\"" : "assert %s, \"perhaps\"", condition));
}

static void swap(struct maker *m) {
    struct gen *g = &m->g;
    g->budget = 8;
    struct piece a = gen_expr(g, gen_type(g), some_shape(g)), b = gen_expr(g, gen_type(g), some_shape(g));
    const char *x = fresh(m), *y = fresh(m);
    add(m, gen_text(g, "%s, %s = %s, %s; %s, %s = %s, %s", x, y, a.text, b.text, y, x, y, x));
    define(m, (struct piece){x, a.type, a.shape});
    define(m, (struct piece){y, b.type, b.shape});
}

static void branch(struct maker *m) {
    struct gen *g = &m->g;
    enum dtype type = gen_type(g);
    struct shape shape = *some_shape(g);
    g->budget = 4;
    const char *condition = gen_expr(g, TY_BOOL, &shape_scalar).text, *name = fresh(m);
    g->budget = 6;
    const char *a = gen_exact(g, type, &shape).text;
    g->budget = 6;
    const char *b = gen_exact(g, type, &shape).text;
    if (gen_chance(g, 50))
        add(m, gen_text(g, "if %s { %s = %s } else { %s = %s }", condition, name, a, name, b));
    else
        add(m, gen_text(g, "%s = %s\nif %s { %s = %s }", name, a, condition, name, b));
    define(m, (struct piece){name, type, shape});
}

static void loop(struct maker *m) {
    struct gen *g = &m->g;
    enum dtype type = gen_type(g);
    struct shape shape = *some_shape(g);
    g->budget = 4;
    const char *start = gen_exact(g, type, &shape).text, *name = fresh(m), *i = fresh(m);
    int known = g->n_variables;
    define(m, (struct piece){name, type, shape});
    bool counted = gen_chance(g, 70);
    const char *index = counted ? i : gen_text(g, "%s", i);
    define(m, (struct piece){gen_text(g, "i64(%s)", index), TY_I64, shape_scalar});
    g->budget = 7;
    const char *next = gen_exact(g, type, &shape).text, *leave = "";
    g->budget = 3;
    if (gen_chance(g, 40))
        leave = gen_text(g, "    if %s { %s }\n", gen_expr(g, TY_BOOL, &shape_scalar).text,
                         gen_chance(g, 60) ? "break" : "continue");
    g->n_variables = known;
    if (counted)
        add(m, gen_text(g, "%s = %s\nfor %s in 0:%d {\n%s    %s = %s\n}", name, start, i, 1 + gen_below(g, 4), leave,
                        name, next));
    else
        add(m, gen_text(g, "%s = %s; %s = i64(0)\nwhile %s < %d {\n    %s += 1\n%s    %s = %s\n}", name, start, i, i,
                        1 + gen_below(g, 4), i, leave, name, next));
    define(m, (struct piece){name, type, shape});
}

/* A fn of two variables, called with them. */
static void function(struct maker *m) {
    struct gen *g = &m->g;
    struct gen outer = *g;
    struct piece a = g->variables[gen_below(g, g->n_variables)], b = g->variables[gen_below(g, g->n_variables)];
    const char *name = gen_text(g, "g%d", g->names++);
    g->n_variables = 0;
    define(m, (struct piece){"u", a.type, a.shape});
    define(m, (struct piece){"w", b.type, b.shape});
    g->budget = 8;
    struct piece made = gen_expr(g, gen_type(g), &a.shape);
    if (gen_chance(g, 50)) {
        add(m, gen_text(g, "fn %s(u, w) = %s", name, made.text));
    } else {
        define(m, (struct piece){"z", made.type, made.shape});
        g->budget = 5;
        struct piece last = gen_expr(g, gen_type(g), &a.shape);
        add(m, gen_text(g, "fn %s(u, w) {\n    z = %s\n    return %s\n}", name, made.text, last.text));
        made = last;
    }
    uint64_t state = g->state;
    int names = g->names;
    *g = outer;
    g->state = state, g->names = names;
    const char *result = fresh(m);
    add(m, gen_text(g, "%s = %s(%s, %s)", result, name, a.text, b.text));
    define(m, (struct piece){result, made.type, made.shape});
}

static void call_ufunc(struct maker *m) {
    struct gen *g = &m->g;
    if (g->n_ufuncs == 0) return;
    const struct ufunc *ufunc = &g->ufuncs[gen_below(g, g->n_ufuncs)];
    g->budget = 6;
    struct shape shape;
    const char *text = gen_call_text(g, ufunc, some_shape(g), &shape), *names[2] = {fresh(m), fresh(m)};
    if (ufunc->n_results == 2)
        add(m, gen_text(g, "%s, %s = %s", names[0], names[1], text));
    else
        add(m, gen_text(g, "%s = %s", names[0], text));
    for (int i = 0; i < ufunc->n_results; i++) define(m, (struct piece){names[i], ufunc->results[i], shape});
}

void random_program_make(struct arena *arena, uint64_t seed, struct random_program *program) {
    struct maker m = {.g = {.arena = arena, .state = seed * UINT64_C(0x2545F4914F6CDD1D)}, .program = program};
    struct gen *g = &m.g;
    memset(program, 0, sizeof *program);
    make_shapes(&m);
    int inputs = 2 + gen_below(g, 4);
    for (int i = 0; i < inputs; i++) make_input(&m, some_shape(g));
    if (gen_chance(g, 30)) make_weak_inputs(&m);
    int first = program->n_statements;
    for (int i = gen_below(g, 3); i > 0; i--) add(&m, gen_ufunc(g));
    for (int i = 1 + gen_below(g, 6); i > 0 && !is_full(&m); i--) {
        switch (gen_below(g, 16)) {
        case 0: swap(&m); break;
        case 12: update(&m); break;
        case 13: check_condition(&m); break;
        case 1: branch(&m); break;
        case 2: loop(&m); break;
        case 14:
        case 15: rows(&m); break;
        case 3: function(&m); break;
        case 4:
        case 5:
        case 6: call_ufunc(&m); break;
        default: assign(&m); break;
        }
    }
    if (program->n_statements == first) assign(&m);
    for (int i = g->n_variables - 1; i >= inputs && program->n_outputs < RANDOM_OUTPUTS; i--)
        program->outputs[program->n_outputs++] = g->variables[i].text;
    if (program->n_outputs == 0) program->outputs[program->n_outputs++] = g->variables[0].text;
}

const char *random_program_text(struct arena *arena, const struct random_program *program, const bool *without) {
    struct strbuf text;
    strbuf_init(&text, arena);
    for (int i = 0; i < program->n_statements; i++) strbuf_printf(&text, "%s\n", program->statements[i]);
    const char *before = "return ";
    for (int i = 0; i < program->n_outputs; i++) {
        if (without && without[i]) continue;
        strbuf_printf(&text, "%s%s", before, program->outputs[i]);
        before = ", ";
    }
    strbuf_puts(&text, "\n");
    return strbuf_text(&text);
}
