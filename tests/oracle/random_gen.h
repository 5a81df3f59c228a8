/* random_gen.h: what the files of the program generator share.
 *
 *   random.c         programs: inputs, statements, control flow, outputs
 *   random_expr.c    expressions of a wanted element type that broadcast to a wanted shape
 *   random_array.c   parts of them that have shapes: views, reductions, makers
 *   random_ufunc.c   ufuncs: scalar statements
 */
#ifndef ORACLE_RANDOM_GEN_H
#define ORACLE_RANDOM_GEN_H

#include "oracle/random.h"

struct shape {
    int rank;
    int64_t dim[TYPE_MAX_RANK];
};

/* A piece of source text and what it is. */
struct piece {
    const char *text;
    enum dtype type;
    struct shape shape;
};

struct ufunc {
    const char *name;
    int n_params, n_results;
    enum dtype params[4], results[2];
    int whole_rank; /* 0: no whole-array parameter; it comes last */
    enum dtype whole_type;
};

enum { GEN_VARIABLES = 64, GEN_SHAPES = 8, GEN_UFUNCS = 8 };

struct gen {
    struct arena *arena;
    uint64_t state;
    struct piece variables[GEN_VARIABLES];
    int n_variables;
    struct shape shapes[GEN_SHAPES]; /* worth aiming at; [0] is rank 0 */
    int n_shapes;
    struct ufunc ufuncs[GEN_UFUNCS];
    int n_ufuncs;
    const char *weak_int, *weak_float; /* params with defaults, or NULL */
    int names;
    int budget;        /* operations that the current statement may still have */
    bool scalar;       /* inside a ufunc: no arrays */
    bool simple;       /* inside a loop of a ufunc: nothing that is run too often */
    int loops;         /* nesting of loops in a ufunc */
    const char *whole; /* in a ufunc: its whole-array parameter, or NULL */
    int whole_rank;
    enum dtype whole_type;
};

uint64_t gen_bits(struct gen *g);
int gen_below(struct gen *g, int n);
bool gen_chance(struct gen *g, int percent);
enum dtype gen_type(struct gen *g);
#define GEN_PICK(g, array) ((array)[gen_below((g), (int)(sizeof(array) / sizeof *(array)))])
#define gen_text(g, ...)   arena_printf((g)->arena, __VA_ARGS__)

bool shape_same(const struct shape *a, const struct shape *b);
/* True if `a` broadcasts to `to`. */
bool shape_fits(const struct shape *a, const struct shape *to);
/* The shape of two that both fit into one. */
struct shape shape_join(const struct shape *a, const struct shape *b);
int64_t shape_count(const struct shape *shape);
extern const struct shape shape_scalar;

/* A literal of this type: `i8(-128)`. */
const char *gen_literal(struct gen *g, enum dtype type);
/* An expression of exactly this type whose shape broadcasts to `to`; parenthesised if it is compound. */
struct piece gen_expr(struct gen *g, enum dtype type, const struct shape *to);
/* The same with exactly this shape. */
struct piece gen_exact(struct gen *g, enum dtype type, const struct shape *to);
struct piece gen_leaf(struct gen *g, enum dtype type, const struct shape *to);

/* Text NULL if it did not work out. */
struct piece gen_view(struct gen *g, enum dtype type, const struct shape *to);
struct piece gen_reduction(struct gen *g, enum dtype type, const struct shape *to);
struct piece gen_maker(struct gen *g, enum dtype type, const struct shape *to);
struct piece gen_ufunc_call(struct gen *g, const struct ufunc *ufunc, int result, enum dtype type,
                            const struct shape *to);
/* `name(args)` alone. */
const char *gen_call_text(struct gen *g, const struct ufunc *ufunc, const struct shape *to, struct shape *shape);

/* A definition; registers it. */
const char *gen_ufunc(struct gen *g);

#endif
