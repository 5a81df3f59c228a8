/* random_array.c: views, reductions and made arrays. */
#include <string.h>

#include "oracle/random_gen.h"

static const struct piece nothing = {0};

/* An expression with dimensions, of some type. */
static struct piece some_array(struct gen *g, enum dtype type) {
    struct shape to = g->shapes[gen_below(g, g->n_shapes)];
    struct piece made = gen_expr(g, type, &to);
    return made.shape.rank > 0 ? made : nothing;
}

/* --- views -------------------------------------------------------------------------------------------------------- */

static int64_t slice_length(int64_t begin, int64_t end, int64_t step) {
    int64_t n = step > 0 ? (end - begin + step - 1) / step : (begin - end - step - 1) / -step;
    return n > 0 ? n : 0;
}

/* One subscript of a dimension of n elements; adds the dimension that it leaves. */
static const char *subscript(struct gen *g, int64_t n, struct shape *left) {
    int64_t *length = &left->dim[left->rank];
    int k = n > 0 ? gen_below(g, (int)(n < 1000 ? n : 1000)) : 0;
    int a = gen_below(g, 4);
    switch (gen_below(g, 9)) {
    case 0: *length = n, left->rank++; return ":";
    case 1: *length = n, left->rank++; return "::-1";
    case 2: *length = slice_length(0, n, 2), left->rank++; return "::2";
    case 3: *length = n > 2 ? n - 2 : 0, left->rank++; return "1:-1";
    case 4: /* a step backwards from the end */ *length = slice_length(n - 1, -1, -3), left->rank++; return "::-3";
    case 5:
        if (n <= k) break;
        return gen_chance(g, 50) ? gen_text(g, "%d", k) : gen_text(g, "%d", (int)(k - n));
    case 6: *length = n < k + 3 ? (n > k ? n - k : 0) : 3, left->rank++; return gen_text(g, "%d:%d", k, k + 3);
    case 7: {
        int64_t end = n < 50 ? n : 50;
        *length = slice_length(a, end, 3), left->rank++;
        return gen_text(g, "%d:50:3", a);
    }
    default: break;
    }
    *length = n, left->rank++;
    return ":";
}

static struct piece subscripted(struct gen *g, const struct piece *x) {
    struct shape left = {0};
    const char *text = "";
    int first = 0;
    if (gen_chance(g, 15)) { /* the last dimension only */
        left = x->shape;
        left.rank--;
        text = "..., ";
        first = x->shape.rank - 1;
    }
    for (int d = first; d < x->shape.rank; d++) {
        if (left.rank < 4 && gen_chance(g, 8)) {
            left.dim[left.rank++] = 1;
            text = gen_text(g, "%sNone, ", text);
        }
        if (d > first && gen_chance(g, 20)) { /* the rest stays */
            for (; d < x->shape.rank; d++) left.dim[left.rank++] = x->shape.dim[d];
            break;
        }
        text = gen_text(g, "%s%s, ", text, subscript(g, x->shape.dim[d], &left));
    }
    text = arena_strndup(g->arena, text, strlen(text) - 2);
    return (struct piece){gen_text(g, "%s[%s]", x->text, text), x->type, left};
}

static struct piece reshaped(struct gen *g, const struct piece *x) {
    int64_t n = shape_count(&x->shape);
    if (gen_chance(g, 40) || n == 0)
        return (struct piece){gen_text(g, "reshape(%s, %s)", x->text,
                                       n > 0 && gen_chance(g, 50) ? "-1" : gen_text(g, "%lld", (long long)n)),
                              x->type,
                              {1, {n}}};
    for (int64_t f = 2 + gen_below(g, 6); f <= n; f++)
        if (n % f == 0)
            return (struct piece){gen_text(g, "reshape(%s, %lld, %lld)", x->text, (long long)f, (long long)(n / f)),
                                  x->type,
                                  {2, {f, n / f}}};
    return *x;
}

static struct piece viewed(struct gen *g, const struct piece *x) {
    struct piece seen = *x;
    int axis = gen_below(g, x->shape.rank);
    switch (gen_below(g, 8)) {
    case 0:
        for (int d = 0; d < x->shape.rank; d++) seen.shape.dim[d] = x->shape.dim[x->shape.rank - 1 - d];
        seen.text = gen_text(g, gen_chance(g, 50) ? "%s.T" : "transpose(%s)", x->text);
        return seen;
    case 1:
        seen.text = gen_text(g, "flip(%s, axis=%d)", x->text, gen_chance(g, 50) ? axis : axis - x->shape.rank);
        return seen;
    case 2: return reshaped(g, x);
    case 3:
        if (x->shape.rank != 2) break;
        seen.shape = (struct shape){2, {x->shape.dim[1], x->shape.dim[0]}};
        seen.text = gen_text(g, "transpose(%s, 1, 0)", x->text);
        return seen;
    case 4: { /* a computed subscript */
        if (x->shape.rank != 1 || x->shape.dim[0] == 0) break;
        struct piece i = gen_leaf(g, TY_I64, &shape_scalar);
        return (struct piece){gen_text(g, "%s[%s %% %lld]", x->text, i.text, (long long)x->shape.dim[0]), x->type,
                              shape_scalar};
    }
    default: break;
    }
    return subscripted(g, x);
}

struct piece gen_view(struct gen *g, enum dtype type, const struct shape *to) {
    struct piece x = some_array(g, type);
    if (!x.text) return nothing;
    for (int attempt = 0; attempt < 6; attempt++) {
        struct piece seen = viewed(g, &x);
        if (seen.shape.rank > 0 && gen_chance(g, 30)) seen = viewed(g, &seen);
        if (shape_fits(&seen.shape, to)) return seen;
    }
    return nothing;
}

/* --- reductions --------------------------------------------------------------------------------------------------- */

/* What is left of `x` when reduced, and the keywords that say so. */
static const char *axes(struct gen *g, const struct shape *x, struct shape *left) {
    bool keep = gen_chance(g, 25);
    unsigned reduced = 0;
    const char *text = "";
    if (gen_chance(g, 40)) {
        reduced = (1u << x->rank) - 1;
    } else if (x->rank > 1 && gen_chance(g, 20)) {
        reduced = 3;
        text = ", axis=(0, 1)";
    } else {
        int axis = gen_below(g, x->rank);
        reduced = 1u << axis;
        text = gen_text(g, ", axis=%d", gen_chance(g, 70) ? axis : axis - x->rank);
    }
    *left = (struct shape){0};
    for (int d = 0; d < x->rank; d++)
        if (!(reduced >> d & 1))
            left->dim[left->rank++] = x->dim[d];
        else if (keep)
            left->dim[left->rank++] = 1;
    return keep ? gen_text(g, "%s, keepdims=true", text) : text;
}

static struct piece reduce(struct gen *g, const char *name, enum dtype operand, enum dtype type,
                           const struct shape *to) {
    struct piece x = some_array(g, operand);
    if (!x.text) return nothing;
    for (int attempt = 0; attempt < 4; attempt++) {
        struct shape left;
        const char *how = axes(g, &x.shape, &left);
        if (!shape_fits(&left, to)) continue;
        if (strcmp(name, "dot") == 0 && x.shape.rank != 1) name = "norm";
        if (strcmp(name, "dot") == 0)
            return (struct piece){gen_text(g, "%s(dot(%s, %s%s))", dtype_name(type), x.text, x.text, how), type, left};
        return (struct piece){gen_text(g, "%s(%s(%s%s))", dtype_name(type), name, x.text, how), type, left};
    }
    return nothing;
}

struct piece gen_reduction(struct gen *g, enum dtype type, const struct shape *to) {
    static const char *const floats[] = {"sum",    "sum",    "mean",   "min",    "max",    "var",
                                         "std",    "prod",   "norm",   "dot",    "nansum", "nanmean",
                                         "nanmin", "nanmax", "nanvar", "nanstd", "nanprod"};
    static const char *const integers[] = {"sum", "prod", "min", "max"};
    static const char *const places[] = {"argmin", "argmax", "count", "nanargmin", "nanargmax"};
    if (type == TY_BOOL)
        return reduce(g, gen_chance(g, 50) ? "any" : "all", gen_chance(g, 70) ? TY_BOOL : gen_type(g), type, to);
    if (dtype_is_float(type)) return reduce(g, GEN_PICK(g, floats), gen_chance(g, 80) ? type : gen_type(g), type, to);
    if (gen_chance(g, 40)) return reduce(g, GEN_PICK(g, places), gen_type(g), type, to);
    return reduce(g, GEN_PICK(g, integers), gen_chance(g, 60) ? type : gen_type(g), type, to);
}

/* --- made --------------------------------------------------------------------------------------------------------- */

struct piece gen_maker(struct gen *g, enum dtype type, const struct shape *to) {
    if (to->rank == 0) return nothing;
    long long n = (long long)to->dim[to->rank - 1];
    const char *name = dtype_name(type);
    struct piece made = {.type = type, .shape = {1, {n}}};
    switch (gen_below(g, 6)) {
    case 0: made.text = gen_text(g, "zeros(%lld, dtype=%s)", n, name); break;
    case 1: made.text = gen_text(g, "ones(%lld, dtype=%s)", n, name); break;
    case 2: made.text = gen_text(g, "full(%s, %lld)", gen_literal(g, type), n); break;
    case 3: made.text = gen_text(g, "%s(arange(%lld))", name, n); break;
    case 4: made.text = gen_text(g, "%s(linspace(%d, %d, %lld))", name, -gen_below(g, 5), gen_below(g, 30), n); break;
    default: {
        if (n == 0 || n > 12) return nothing;
        const char *items = "";
        for (int i = 0; i < n; i++) items = gen_text(g, "%s%s%s", items, i ? ", " : "", gen_literal(g, type));
        made.text = gen_text(g, "[%s]", items);
    }
    }
    return made;
}
