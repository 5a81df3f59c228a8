/* value.h: what an expression elaborates to, in arrays (fn and top level) and in scalars (ufunc) alike.
 *
 * Elaboration is one walk over the tree that types and lowers at once: each expression becomes a `struct value`. A
 * variable whose first value is weak needs the join of all values assigned to it before its uses can be lowered: the
 * walk of a function is repeated into a scratch graph or body until the joins no longer change (a lattice of height 3),
 * then done for good.
 *
 * The typing rules of elementwise operations are the same in both worlds, so elementwise.c works on handles through
 * `struct emitter`: array.c gives it graph nodes (already broadcast to one shape), scalar.c gives it body values.
 */
#ifndef FRONTEND_VALUE_H
#define FRONTEND_VALUE_H

#include "frontend/ast.h"
#include "ir/graph.h"

enum value_kind {
    VALUE_ERROR,  /* an error was reported: absorbs whatever touches it, silently */
    VALUE_NUMBER, /* an array or scalar, of `type` */
    VALUE_TUPLE,  /* x.shape, several results */
    VALUE_DTYPE,  /* f64, x.dtype: `type.dtype` */
    VALUE_STRING, /* only as an argument */
    VALUE_WHOLE,  /* in a ufunc: an array parameter passed whole: number `whole`, type and rank in `type` */
    VALUE_NONE,   /* result of an effect */
};

struct value {
    enum value_kind kind;
    struct type type;
    struct span span;
    /* A weak constant known now: literals, pi, and arithmetic of them. Then no handle is made until it meets a type. */
    bool is_const;
    bool negative; /* weak int constant: sign and magnitude, so that u64 literals fit; */
    uint64_t magnitude;
    double real; /* weak float constant */
    /* VALUE_NUMBER: one of these */
    const struct size *
        size; /* a weak integer known at run time (array world): sizes, loop indices. Also set for constants in range */
    struct graph_node *node; /* array world */
    struct ir_value *scalar; /* scalar world */
    bool product;            /* written as a `*` (parentheses don't matter) */
    struct value *factor[2]; /* product: its two operands, as they were before conversion, for contraction */
    int n_items;             /* VALUE_TUPLE */
    struct value *items;
    const char *text; /* VALUE_STRING */
    size_t text_length;
    int whole; /* VALUE_WHOLE */
};

/* How elementwise.c makes operations. `h` is a graph_node or an ir_value; broadcasting is done before. */
struct emitter {
    void *(*op)(void *host, enum op op, enum dtype type, int n, void *const *h, struct span span);
    void *(*convert)(void *host, void *h, enum dtype to, struct span span);
    void *(*constant_int)(void *host, enum dtype type, int64_t value); /* bits for u64 */
    void *(*constant_float)(void *host, enum dtype type, double value);
    void *(*handle)(void *host, const struct value *v); /* of a strong value, or of a weak run-time one as i64/f64 */
    struct value (*wrap)(void *host, void *h, struct type type, struct span span);
    void *host;
    struct arena *arena;
    struct diag_list *diags;
    const struct ast_program *ast; /* to quote operands */
    enum fp_mode fp;
};

struct value value_error(struct span span);
struct value value_int(int64_t value, struct span span);
struct value value_real(double value, struct span span);
/* "f32[3, n]"-like text of a type for messages: element type and rank, "weak int" as "int". */
const char *value_type_text(struct arena *arena, const struct value *v);

/* Handle of `v` as `dtype`: converts, or makes the constant; a weak integer constant that does not fit is an error at
 * v->span. */
void *value_as(const struct emitter *emit, const struct value *v, enum dtype dtype);

/* --- elementwise.c -----------------------------------------------------------------------------------------------
 * Operands may be weak or strong, constant or not; array operands must have been broadcast to one shape by the caller
 * (rank-0 ones may stay). Results carry the promoted type; two weak constants fold. Errors name types and quote
 * operands. */
struct value elementwise_unary(const struct emitter *emit, enum ast_op op, const struct value *x, struct span span);
struct value
elementwise_binary(const struct emitter *emit, enum ast_op op, const struct value *a, const struct value *b,
                   struct span span); /* + - * / // % ** & | ^ << >> and the six comparisons; contraction here */
struct value elementwise_logical(const struct emitter *emit, enum ast_op op, const struct value *a,
                                 const struct value *b, struct span span); /* and or: both sides evaluated */
/* A row of ops.def called by name (sqrt, where, min of two, clip, fma, ...). */
struct value elementwise_call(const struct emitter *emit, enum op op, int n, const struct value *args,
                              struct span span);
/* f32(x), i64(x) */
struct value elementwise_convert(const struct emitter *emit, enum dtype to, const struct value *x, struct span span);
/* The join of what is assigned to one weak variable: weak with strong gives strong; ranks must agree. */
struct type elementwise_join(struct type a, struct type b);

#endif
