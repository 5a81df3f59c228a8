/* random_ufunc.c: ufuncs: scalar code with loops, branches, early returns and whole arrays. */
#include <string.h>

#include "oracle/random_gen.h"

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* An array expression of this rank, short enough to be passed whole. */
static struct piece whole_argument(struct gen *g, enum dtype type, int rank) {
    for (int i = 0; i < g->n_variables; i++)
        if (g->variables[i].type == type && g->variables[i].shape.rank == rank &&
            shape_count(&g->variables[i].shape) > 0)
            return g->variables[i];
    return (struct piece){
        gen_text(g, rank == 1 ? "full(%s, 5)" : "full(%s, 3, 2)", gen_literal(g, type)), type, {rank, {0}}};
}

const char *gen_call_text(struct gen *g, const struct ufunc *ufunc, const struct shape *to, struct shape *shape) {
    const char *text = "";
    *shape = shape_scalar;
    for (int i = 0; i < ufunc->n_params; i++) {
        struct piece argument = gen_expr(g, ufunc->params[i], to);
        *shape = shape_join(shape, &argument.shape);
        text = gen_text(g, "%s%s%s", text, i ? ", " : "", argument.text);
    }
    if (ufunc->whole_rank) {
        if (g->scalar) return NULL;
        text = gen_text(g, "%s, %s", text, whole_argument(g, ufunc->whole_type, ufunc->whole_rank).text);
    }
    return gen_text(g, "%s(%s)", ufunc->name, text);
}

struct piece gen_ufunc_call(struct gen *g, const struct ufunc *ufunc, int result, enum dtype type,
                            const struct shape *to) {
    struct piece made = {.type = type};
    const char *text = gen_call_text(g, ufunc, to, &made.shape);
    if (!text) return (struct piece){0};
    made.text = ufunc->results[result] == type ? text : gen_text(g, "%s(%s)", dtype_name(type), text);
    return made;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

struct writer {
    struct gen *g;
    const char *text;
    int depth, statements;
    const struct ufunc *ufunc;
};

static const char *scalar_expr(struct gen *g, enum dtype type, int budget) {
    g->budget = g->simple ? budget / 2 : budget;
    return gen_expr(g, type, &shape_scalar).text;
}

static void write(struct writer *w, const char *line) {
    w->text = gen_text(w->g, "%s%*s%s\n", w->text, 4 * w->depth, "", line);
}

static void write_block(struct writer *w, int statements);

static void write_assignment(struct writer *w) {
    static const char *const float_ops[] = {"+=", "-=", "*=", "/="}, *const int_ops[] = {
                                                                         "+=", "-=",  "*=", "&=",  "|=",
                                                                         "^=", "//=", "%=", "<<=", ">>="};
    struct gen *g = w->g;
    int local = -1;
    for (int attempt = 0; attempt < 8 && local < 0; attempt++) {
        int i = gen_below(g, g->n_variables);
        if (g->variables[i].text[0] == 'v') local = i; /* loop counters and parameters stay */
    }
    if (local < 0) return;
    enum dtype type = g->variables[local].type;
    const char *name = g->variables[local].text;
    if (type == TY_BOOL || gen_chance(g, 50))
        write(w, gen_text(g, "%s = %s", name, scalar_expr(g, type, 5)));
    else
        write(w, gen_text(g, "%s %s %s", name, dtype_is_float(type) ? GEN_PICK(g, float_ops) : GEN_PICK(g, int_ops),
                          scalar_expr(g, type, 3)));
}

static void write_new_variable(struct writer *w) {
    struct gen *g = w->g;
    if (g->n_variables >= GEN_VARIABLES - 8) return;
    enum dtype type = gen_type(g);
    const char *name = gen_text(g, "v%d", g->names++);
    write(w, gen_text(g, "%s = %s", name, scalar_expr(g, type, 6)));
    g->variables[g->n_variables++] = (struct piece){name, type, shape_scalar};
}

static void write_inner(struct writer *w) {
    int known = w->g->n_variables; /* what is first set inside may not be set after */
    w->depth++;
    write_block(w, 1 + gen_below(w->g, 2));
    w->depth--;
    w->g->n_variables = known;
}

static void write_if(struct writer *w) {
    struct gen *g = w->g;
    write(w, gen_text(g, "if %s {", scalar_expr(g, TY_BOOL, 3)));
    write_inner(w);
    if (gen_chance(g, 30)) {
        write(w, gen_text(g, "} elif %s {", scalar_expr(g, TY_BOOL, 2)));
        write_inner(w);
    }
    if (gen_chance(g, 50)) {
        write(w, "} else {");
        write_inner(w);
    }
    write(w, "}");
}

static void write_loop(struct writer *w) {
    struct gen *g = w->g;
    bool was_simple = g->simple;
    int known = g->n_variables;
    if (g->n_variables >= GEN_VARIABLES - 8) return;
    g->loops++;
    g->simple = true;
    if (gen_chance(g, 60)) {
        const char *name = gen_text(g, "j%d", g->names++), *end = gen_text(g, "%d", 1 + gen_below(g, 6));
        if (g->whole && gen_chance(g, 50))
            end = gen_text(g, "min(len(%s), 6)", g->whole);
        else if (gen_chance(g, 30))
            end = gen_text(g, "i64(%s) %% 5", scalar_expr(g, TY_I32, 2));
        write(w, gen_text(g, "for %s in 0:%s {", name, end));
        g->variables[g->n_variables++] = (struct piece){gen_text(g, "i64(%s)", name), TY_I64, shape_scalar};
    } else {
        const char *name = gen_text(g, "k%d", g->names++);
        write(w, gen_text(g, "%s = i64(0)", name));
        write(w, gen_text(g, "while %s < %d and %s {", name, 2 + gen_below(g, 8), scalar_expr(g, TY_BOOL, 3)));
        w->depth++;
        write(w, gen_text(g, "%s += 1", name));
        w->depth--;
        g->variables[g->n_variables++] = (struct piece){name, TY_I64, shape_scalar};
    }
    write_inner(w);
    if (gen_chance(g, 40)) {
        w->depth++;
        write(w, gen_text(g, "if %s { %s }", scalar_expr(g, TY_BOOL, 2), gen_chance(g, 50) ? "break" : "continue"));
        write_assignment(w);
        w->depth--;
    }
    write(w, "}");
    g->loops--;
    g->n_variables = known;
    g->simple = was_simple;
}

static const char *returned(struct writer *w) {
    const char *text = scalar_expr(w->g, w->ufunc->results[0], 6);
    if (w->ufunc->n_results == 2) text = gen_text(w->g, "%s, %s", text, scalar_expr(w->g, w->ufunc->results[1], 4));
    return text;
}

static void write_block(struct writer *w, int statements) {
    struct gen *g = w->g;
    for (int i = 0; i < statements && w->statements-- > 0; i++) {
        int kind = gen_below(g, 10);
        if (kind < 3)
            write_new_variable(w);
        else if (kind == 3 && w->depth < 4)
            write_if(w);
        else if (kind == 4 && g->loops < 2)
            write_loop(w);
        else if (kind == 5 && w->depth > 0 && gen_chance(g, 40))
            write(w, gen_text(g, "if %s { return %s }", scalar_expr(g, TY_BOOL, 2), returned(w)));
        else
            write_assignment(w);
    }
}

const char *gen_ufunc(struct gen *g) {
    struct ufunc *ufunc = &g->ufuncs[g->n_ufuncs];
    struct gen outer = *g; /* other names are not seen inside */
    g->n_variables = 0;
    g->scalar = true;
    *ufunc = (struct ufunc){.name = gen_text(g, "f%d", g->n_ufuncs), .n_params = 1 + gen_below(g, 3), .n_results = 1};
    const char *params = "";
    for (int i = 0; i < ufunc->n_params; i++) {
        ufunc->params[i] = gen_type(g);
        const char *name = gen_text(g, "p%d", i);
        bool typed = gen_chance(g, 60);
        params = gen_text(g, "%s%s%s%s%s", params, i ? ", " : "", name, typed ? ": " : "",
                          typed ? dtype_name(ufunc->params[i]) : "");
        g->variables[g->n_variables++] = (struct piece){name, ufunc->params[i], shape_scalar};
    }
    if (gen_chance(g, 35)) {
        ufunc->whole_rank = 1 + gen_below(g, 2);
        ufunc->whole_type = g->whole_type = gen_chance(g, 60) ? TY_F64 : gen_type(g);
        g->whole = "t";
        g->whole_rank = ufunc->whole_rank;
        params = gen_text(g, "%s, t: %s%s", params, gen_chance(g, 50) ? dtype_name(ufunc->whole_type) : "",
                          ufunc->whole_rank == 1 ? "[n]" : "[n, m]");
    }
    ufunc->results[0] = gen_type(g);
    if (gen_chance(g, 15)) ufunc->n_results = 2, ufunc->results[1] = gen_type(g);
    struct writer w = {.g = g, .text = "", .statements = 12, .ufunc = ufunc, .depth = 1};
    write_new_variable(&w);
    write_block(&w, 2 + gen_below(g, 4));
    write(&w, gen_text(g, "return %s", returned(&w)));
    struct ufunc made = *ufunc;
    uint64_t state = g->state;
    int names = g->names;
    *g = outer;
    g->state = state, g->names = names;
    g->ufuncs[g->n_ufuncs++] = made;
    return gen_text(g, "ufunc %s(%s) {\n%s}", made.name, params, w.text);
}
