/* random_expr.c: expressions. */
#include <string.h>

#include "oracle/random_gen.h"

const struct shape shape_scalar = {0, {0}};

uint64_t gen_bits(struct gen *g) {
    uint64_t z = g->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

int gen_below(struct gen *g, int n) {
    return (int)(gen_bits(g) % (uint64_t)n);
}
bool gen_chance(struct gen *g, int percent) {
    return gen_below(g, 100) < percent;
}

enum dtype gen_type(struct gen *g) {
    static const enum dtype types[] = {TY_F64, TY_F64, TY_F64, TY_F32, TY_F32, TY_F32, TY_I64, TY_I64, TY_I32,
                                       TY_I32, TY_I16, TY_I8,  TY_U8,  TY_U16, TY_U32, TY_U64, TY_BOOL};
    return GEN_PICK(g, types);
}

bool shape_same(const struct shape *a, const struct shape *b) {
    return a->rank == b->rank && memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank) == 0;
}

bool shape_fits(const struct shape *a, const struct shape *to) {
    if (a->rank > to->rank) return false;
    for (int d = 0; d < a->rank; d++) {
        int64_t wanted = to->dim[to->rank - a->rank + d];
        if (a->dim[d] != wanted && a->dim[d] != 1) return false;
    }
    return true;
}

struct shape shape_join(const struct shape *a, const struct shape *b) {
    if (a->rank < b->rank) return shape_join(b, a);
    struct shape joined = *a;
    for (int d = 0; d < b->rank; d++) {
        int64_t *dim = &joined.dim[a->rank - b->rank + d];
        if (*dim == 1) *dim = b->dim[d];
    }
    return joined;
}

int64_t shape_count(const struct shape *shape) {
    int64_t n = 1;
    for (int d = 0; d < shape->rank; d++) n *= shape->dim[d];
    return n;
}

/* --- literals ----------------------------------------------------------------------------------------------------- */

static const char *int_text(struct gen *g, enum dtype type) {
    int bits = 8 * dtype_size(type);
    bool is_signed = dtype_is_signed(type);
    switch (gen_below(g, 8)) {
    case 0: return "0";
    case 1: return is_signed ? "-1" : "1";
    case 2: /* the largest */ return gen_text(g, "%llu", (unsigned long long)(UINT64_MAX >> (64 - bits + is_signed)));
    case 3: /* the smallest */ return is_signed ? gen_text(g, "-%llu", 1ULL << (bits - 1)) : "0";
    default: return gen_text(g, "%d", gen_below(g, is_signed ? 21 : 12) - (is_signed ? 9 : 0));
    }
}

static const char *float_text(struct gen *g, enum dtype type) {
    static const char *const plain[] = {"0.0", "-0.0",  "1.0",  "-1.0", "0.5",       "2.0",  "-2.5",
                                        "0.1", "3.0",   "1e-3", "7.25", "1e10",      "-1e5", "100.0",
                                        "1.5", "-0.75", "2.0",  "1e-7", "0.3333333", "pi"};
    static const char *const odd64[] = {
        "nan", "inf", "-inf", "1e-310", "1e300", "-5e-324", "1.7976931348623157e308", "4503599627370497.5"};
    static const char *const odd32[] = {"nan", "inf", "-inf", "1e-40", "3e38", "-1e-45", "16777217.0", "8388608.5"};
    if (gen_chance(g, 85)) return GEN_PICK(g, plain);
    return type == TY_F32 ? GEN_PICK(g, odd32) : GEN_PICK(g, odd64);
}

const char *gen_literal(struct gen *g, enum dtype type) {
    if (type == TY_BOOL) return gen_chance(g, 50) ? "true" : "false";
    return gen_text(g, "%s(%s)", dtype_name(type), dtype_is_float(type) ? float_text(g, type) : int_text(g, type));
}

/* A weak operand: takes the other's type. */
static const char *weak(struct gen *g, enum dtype type) {
    bool is_float = dtype_is_float(type);
    if (gen_chance(g, 15) && g->weak_int)
        return is_float && g->weak_float && gen_chance(g, 50) ? g->weak_float : g->weak_int;
    if (gen_chance(g, 15) && !g->scalar && g->n_variables) {
        const struct piece *v = &g->variables[gen_below(g, g->n_variables)];
        if (v->shape.rank == 1) return gen_text(g, "len(%s)", v->text);
        if (v->shape.rank > 1) return gen_text(g, "%s.shape[%d]", v->text, gen_below(g, v->shape.rank));
    }
    const char *text =
        dtype_is_float(type) && gen_chance(g, 70) ? float_text(g, type) : gen_text(g, "%d", gen_below(g, 7));
    return text[0] == '-' ? gen_text(g, "(%s)", text) : text;
}

/* --- leaves ------------------------------------------------------------------------------------------------------- */

static struct piece variable(struct gen *g, enum dtype type, const struct shape *to, bool any_type) {
    int start = g->n_variables ? gen_below(g, g->n_variables) : 0;
    for (int i = 0; i < g->n_variables; i++) {
        struct piece *v = &g->variables[(start + i) % g->n_variables];
        if ((any_type || v->type == type) && shape_fits(&v->shape, to)) return *v;
    }
    return (struct piece){0};
}

static struct piece element_of_whole(struct gen *g) {
    const char *at[2] = {"", ""};
    for (int d = 0; d < g->whole_rank; d++) {
        struct piece i = gen_leaf(g, GEN_PICK(g, ((enum dtype[]){TY_I64, TY_I32, TY_U8})), &shape_scalar);
        at[d] = gen_text(g, "i64(%s) %% %s.shape[%d]", i.text, g->whole, d);
    }
    const char *text =
        g->whole_rank == 1 ? gen_text(g, "%s[%s]", g->whole, at[0]) : gen_text(g, "%s[%s, %s]", g->whole, at[0], at[1]);
    return (struct piece){text, g->whole_type, shape_scalar};
}

struct piece gen_leaf(struct gen *g, enum dtype type, const struct shape *to) {
    struct piece v = {0};
    if (g->whole && g->whole_type == type && g->budget-- > 0 && gen_chance(g, 40)) return element_of_whole(g);
    if (gen_chance(g, 90)) v = variable(g, type, to, false);
    if (!v.text && gen_chance(g, 70)) {
        v = variable(g, type, to, true);
        if (v.text && v.type != type) v.text = gen_text(g, "%s(%s)", dtype_name(type), v.text), v.type = type;
    }
    if (!v.text) v = (struct piece){gen_literal(g, type), type, shape_scalar};
    return v;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static struct piece joined(const char *text, enum dtype type, const struct piece *a, const struct piece *b) {
    return (struct piece){text, type, shape_join(&a->shape, &b->shape)};
}

static struct piece boolean(struct gen *g, const struct shape *to) {
    enum dtype type = gen_type(g);
    struct piece a, b;
    switch (gen_below(g, 6)) {
    case 0: {
        static const char *const ops[] = {"and", "or", "&", "|", "^", "==", "!="};
        a = gen_expr(g, TY_BOOL, to), b = gen_expr(g, TY_BOOL, to);
        return joined(gen_text(g, "(%s %s %s)", a.text, GEN_PICK(g, ops), b.text), TY_BOOL, &a, &b);
    }
    case 1:
        a = gen_expr(g, TY_BOOL, to);
        a.text = gen_text(g, gen_chance(g, 50) ? "(not %s)" : "(~%s)", a.text);
        return a;
    case 2: {
        static const char *const tests[] = {"isnan", "isfinite", "isinf", "bool"};
        a = gen_expr(g, gen_chance(g, 50) ? TY_F64 : TY_F32, to);
        return (struct piece){gen_text(g, "%s(%s)", GEN_PICK(g, tests), a.text), TY_BOOL, a.shape};
    }
    default: {
        static const char *const ops[] = {"<", "<=", ">", ">=", "==", "!="};
        if (type == TY_BOOL) type = TY_I32;
        enum dtype other =
            dtype_is_int(type) && gen_chance(g, 30) ? GEN_PICK(g, ((enum dtype[]){TY_I64, TY_U64, TY_I8})) : type;
        a = gen_expr(g, type, to), b = gen_expr(g, other, to);
        if (gen_chance(g, 20)) { /* a chain */
            struct piece c = gen_expr(g, type, to), ab = joined("", type, &a, &b);
            return joined(gen_text(g, "(%s %s %s %s %s)", a.text, GEN_PICK(g, ops), b.text, GEN_PICK(g, ops), c.text),
                          TY_BOOL, &ab, &c);
        }
        if (gen_chance(g, 30)) b = (struct piece){weak(g, type), type, shape_scalar};
        return joined(gen_text(g, "(%s %s %s)", a.text, GEN_PICK(g, ops), b.text), TY_BOOL, &a, &b);
    }
    }
}

static struct piece integer(struct gen *g, enum dtype type, const struct shape *to) {
    static const char *const infix[] = {"+", "-", "*", "//", "%", "&", "|", "^", "<<", ">>", "+", "-", "*", "**"};
    static const char *const named[] = {"min", "max", "fmin", "fmax", "rotl", "rotr", "mod"};
    static const char *const prefix[] = {"abs", "sign", "square", "popcount", "relu", "floor", "round"};
    struct piece a = gen_expr(g, type, to), b;
    switch (gen_below(g, 8)) {
    case 0: a.text = gen_text(g, "%s(%s)", GEN_PICK(g, prefix), a.text); return a;
    case 1: a.text = gen_text(g, gen_chance(g, 50) ? "(-%s)" : "(~%s)", a.text); return a;
    case 2:
        b = gen_expr(g, type, to);
        return joined(gen_text(g, "%s(%s, %s)", GEN_PICK(g, named), a.text, b.text), type, &a, &b);
    case 3: a.text = gen_text(g, "(%s %s %s)", a.text, GEN_PICK(g, infix), weak(g, type)); return a;
    default:
        b = gen_expr(g, type, to);
        return joined(gen_text(g, "(%s %s %s)", a.text, GEN_PICK(g, infix), b.text), type, &a, &b);
    }
}

static struct piece floating(struct gen *g, enum dtype type, const struct shape *to) {
    static const char *const infix[] = {"+", "-", "*", "/", "+", "-", "*", "+", "*", "//", "%"};
    static const char *const named[] = {"min", "max", "fmin", "fmax", "copysign", "hypot", "atan2", "pow", "fmod"};
    static const char *const exact[] = {"abs",   "sign", "square", "sqrt", "floor",   "ceil",
                                        "trunc", "rint", "round",  "relu", "deg2rad", "sqrt"};
    static const char *const dear[] = {"exp",     "log",      "sin",   "cos",   "tan",    "exp2",
                                       "log1p",   "expm1",    "tanh",  "atan",  "cbrt",   "erf",
                                       "sigmoid", "softplus", "sinpi", "cospi", "lgamma", "asinh"};
    struct piece a = gen_expr(g, type, to), b, c;
    switch (gen_below(g, 12)) {
    case 0:
    case 1: a.text = gen_text(g, "%s(%s)", GEN_PICK(g, exact), a.text); return a;
    case 2:
        if (gen_chance(g, 50))
            a.text = gen_text(g, "%s(%s)", GEN_PICK(g, dear), a.text);
        else
            a.text = gen_text(g, "(-%s)", a.text);
        return a;
    case 3:
        b = gen_expr(g, type, to);
        return joined(gen_text(g, "%s(%s, %s)", GEN_PICK(g, named), a.text, b.text), type, &a, &b);
    case 4:
        if (gen_chance(g, 50))
            a.text = gen_text(g, "(%s %s %s)", a.text, GEN_PICK(g, infix), weak(g, type));
        else
            a.text = gen_text(g, "(%s**%d)", a.text, 2 + gen_below(g, 2));
        return a;
    case 5: { /* a product and a sum: contracted */
        b = gen_expr(g, type, to), c = gen_expr(g, type, to);
        struct piece ab = joined("", type, &a, &b);
        const char *form[3] = {"(", "*", " + "}, *end = ")";
        if (gen_chance(g, 30))
            form[0] = "fma(", form[1] = form[2] = ", ";
        else if (gen_chance(g, 40))
            form[2] = " - ";
        return joined(gen_text(g, "%s%s%s%s%s%s%s", form[0], a.text, form[1], b.text, form[2], c.text, end), type, &ab,
                      &c);
    }
    case 6: {
        struct piece ab;
        b = gen_expr(g, type, to), c = gen_expr(g, type, to);
        ab = joined("", type, &a, &b);
        return joined(gen_text(g, "(%s - %s*%s)", a.text, b.text, c.text), type, &ab, &c);
    }
    default:
        b = gen_expr(g, type, to);
        return joined(gen_text(g, "(%s %s %s)", a.text, GEN_PICK(g, infix), b.text), type, &a, &b);
    }
}

static struct piece choice(struct gen *g, enum dtype type, const struct shape *to) {
    struct piece c, a, b, ab;
    switch (gen_below(g, 4)) {
    case 0:
        if (type == TY_BOOL) break;
        c = gen_expr(g, type, to), a = gen_expr(g, type, to), b = gen_expr(g, type, to);
        ab = joined("", type, &a, &b);
        return joined(gen_text(g, "clip(%s, %s, %s)", c.text, a.text, b.text), type, &ab, &c);
    case 1:
        c = gen_expr(g, TY_BOOL, &shape_scalar), a = gen_expr(g, type, to);
        b = gen_exact(g, type, &a.shape);
        return joined(gen_text(g, "(%s if %s else %s)", a.text, c.text, b.text), type, &a, &b);
    default: break;
    }
    c = gen_expr(g, TY_BOOL, to), a = gen_expr(g, type, to), b = gen_expr(g, type, to);
    ab = joined("", type, &a, &b);
    return joined(gen_text(g, "where(%s, %s, %s)", c.text, a.text, b.text), type, &ab, &c);
}

static struct piece converted(struct gen *g, enum dtype type, const struct shape *to) {
    struct piece a = gen_expr(g, gen_type(g), to);
    return (struct piece){gen_text(g, "%s(%s)", dtype_name(type), a.text), type, a.shape};
}

struct piece gen_expr(struct gen *g, enum dtype type, const struct shape *to) {
    struct piece made = {0};
    if (g->budget <= 0 || gen_chance(g, 22)) return gen_leaf(g, type, to);
    g->budget--;
    switch (gen_below(g, 12)) {
    case 0: return choice(g, type, to);
    case 1: return converted(g, type, to);
    case 2:
        if (g->n_ufuncs) {
            int which = gen_below(g, g->n_ufuncs);
            if (g->ufuncs[which].n_results == 1 && !(g->simple && g->scalar))
                made = gen_ufunc_call(g, &g->ufuncs[which], 0, type, to);
        }
        break;
    case 3:
    case 4:
        if (!g->scalar) made = gen_reduction(g, type, to);
        break;
    case 5:
        if (!g->scalar) made = gen_view(g, type, to);
        break;
    case 6:
        if (!g->scalar && gen_chance(g, 40)) made = gen_maker(g, type, to);
        break;
    default: break;
    }
    if (made.text) return made;
    if (type == TY_BOOL) return boolean(g, to);
    return dtype_is_float(type) ? floating(g, type, to) : integer(g, type, to);
}

struct piece gen_exact(struct gen *g, enum dtype type, const struct shape *to) {
    struct piece made = gen_expr(g, type, to);
    if (shape_same(&made.shape, to)) return made;
    const char *dims = "";
    bool ones = false;
    for (int d = 0; d < to->rank; d++) {
        dims = gen_text(g, "%s, %lld", dims, (long long)to->dim[d]);
        ones = ones || to->dim[d] == 1;
    }
    /* A size that is only known to be 1 when it is bound may not be broadcast to a literal 1. */
    if (ones)
        return (struct piece){gen_text(g, "where(full(true%s), %s, %s(0))", dims, made.text, dtype_name(type)), type,
                              *to};
    return (struct piece){gen_text(g, "broadcast_to(%s%s)", made.text, dims), type, *to};
}
