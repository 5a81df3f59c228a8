/* size.h: sizes as expressions. Shapes are known only when a program runs; what relates them is known when it is compiled.
 *
 * Nodes are hash-consed per plan and kept in a canonical form (constants folded, n + c with the constant last), so two
 * sizes that are written alike are the same pointer: equality of shapes is mostly decided at compile time, the rest is
 * a run-time check. All arithmetic is i64; multiplication saturates to INT64_MAX.
 */
#ifndef IR_SIZE_H
#define IR_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/strbuf.h"

enum size_op {
    SIZE_CONST,  /* value */
    SIZE_DIM,    /* size of dimension `dim` of slot `slot` */
    SIZE_SCALAR, /* value of the rank-0 integer or bool slot `slot` */
    SIZE_ADD,
    SIZE_SUB,
    SIZE_MUL,
    SIZE_DIV,   /* floor; b == 0 gives 0 */
    SIZE_MOD,   /* floor; b == 0 gives 0 */
    SIZE_SMALLER, /* min(a, b) */
    SIZE_LARGER,  /* max(a, b); the name SIZE_MAX is stdint.h's */
    SIZE_WRAP,  /* a < 0 ? a + b : a       a subscript counted from the end */
    SIZE_BCAST, /* a == 1 ? b : a          of two sizes that broadcast (a check beside it ensures that they do) */
    SIZE_NOT1,  /* a == 1 ? 0 : 1          factor that turns a dimension of size 1 into a broadcast */
};

struct size {
    enum size_op op;
    int64_t value;      /* SIZE_CONST */
    int slot, dim;      /* SIZE_DIM, SIZE_SCALAR */
    const struct size *a, *b;
    int id;             /* dense in its table, operands before users: the order in which the runtime evaluates them */
    bool not_one;       /* SIZE_DIM: the signature says that this dimension is not 1 */
};

struct size_table {
    struct arena *arena;
    const struct size **items; /* by id */
    int count, capacity;
    int *buckets; /* hash of ids */
    int n_buckets;
};

void size_table_init(struct size_table *table, struct arena *arena);
const struct size *size_const(struct size_table *table, int64_t value);
const struct size *size_dim(struct size_table *table, int slot, int dim, bool not_one);
const struct size *size_scalar(struct size_table *table, int slot);
const struct size *size_binary(struct size_table *table, enum size_op op, const struct size *a, const struct size *b);
const struct size *size_not1(struct size_table *table, const struct size *a);

static inline bool size_is_const(const struct size *s, int64_t value) {
    return s->op == SIZE_CONST && s->value == value;
}
/* True if the size can never be 1 (a constant other than 1, or a dimension so marked). */
bool size_never_one(const struct size *s);

/* Value of one node from its operands' values; `dim_or_scalar` is the value of SIZE_DIM and SIZE_SCALAR leaves. */
int64_t size_apply(const struct size *s, int64_t a, int64_t b, int64_t dim_or_scalar);

/* "s0.d1 - 2": readable, and parsed back by ir/parse.c. */
void size_print(const struct size *s, struct strbuf *out);

#endif
