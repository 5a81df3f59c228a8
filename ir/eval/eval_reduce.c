/* eval_reduce.c: reductions of a list of operands, in the order that the language promises:
 *
 *   lanes     blocks of 64 * L elements, L = 64 for f32, 32 otherwise. Element i of a block belongs to lane i % L and
 * to run i / (16 * L). A lane's run is a chain; its four runs combine as (r0 + r1) + (r2 + r3); the lanes by halves,
 *             lane i with lane i + half; the blocks by adjacent pairs, an odd one passing up.
 *   columns   chains of 64 elements, which combine by adjacent pairs, an odd one passing up.
 *
 * A chain begins with the identity, and missing elements are the identity. */
#include <math.h>

#include "ir/eval/eval_internal.h"

enum { CHAIN_VECTORS = 16, RUNS = 4, COLUMN_RUN = 64, MOST_LANES = 64 };

/* --- folds: of x[0 .. n) with identity and operation -------------------------------------------------------------- */

struct fold {
    enum op op;
    enum dtype type;
    union scalar identity;
};

static union scalar combine(const struct fold *fold, union scalar a, union scalar b) {
    return eval_scalar(fold->op, fold->type, fold->type, (union scalar[]){a, b, {0}}, NULL);
}

static union scalar pairwise(const struct fold *fold, union scalar *parts, int64_t n) {
    for (; n > 1; n = (n + 1) / 2)
        for (int64_t i = 0; i < n; i += 2) parts[i / 2] = i + 1 < n ? combine(fold, parts[i], parts[i + 1]) : parts[i];
    return n ? parts[0] : fold->identity;
}

static int lanes_of(enum dtype type) {
    return type == TY_F32 ? 64 : 32;
}

static union scalar fold_block(const struct fold *fold, int lanes, const union scalar *x, int64_t n) {
    union scalar lane[MOST_LANES];
    for (int l = 0; l < lanes; l++) {
        union scalar run[RUNS];
        for (int r = 0; r < RUNS; r++) {
            run[r] = fold->identity;
            for (int v = 0; v < CHAIN_VECTORS; v++) {
                int64_t i = (int64_t)(r * CHAIN_VECTORS + v) * lanes + l;
                run[r] = combine(fold, run[r], i < n ? x[i] : fold->identity);
            }
        }
        lane[l] = combine(fold, combine(fold, run[0], run[1]), combine(fold, run[2], run[3]));
    }
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] = combine(fold, lane[l], lane[l + half]);
    return lane[0];
}

static union scalar fold_column_run(const struct fold *fold, const union scalar *x, int64_t n) {
    union scalar total = fold->identity;
    for (int64_t i = 0; i < n; i++) total = combine(fold, total, x[i]);
    return total;
}

/* How many elements make one part of the tree. */
static int64_t part_size(enum dtype type, bool columns) {
    return columns ? COLUMN_RUN : (int64_t)RUNS * CHAIN_VECTORS * lanes_of(type);
}

static union scalar fold_part(const struct fold *fold, bool columns, const union scalar *x, int64_t n) {
    return columns ? fold_column_run(fold, x, n) : fold_block(fold, lanes_of(fold->type), x, n);
}

static union scalar fold_all(struct arena *arena, const struct fold *fold, bool columns, const union scalar *x,
                             int64_t n) {
    int64_t size = part_size(fold->type, columns), parts = (n + size - 1) / size;
    union scalar *part = ARENA_ARRAY(arena, union scalar, parts + 1);
    for (int64_t p = 0; p < parts; p++)
        part[p] = fold_part(fold, columns, x + p * size, n - p * size < size ? n - p * size : size);
    return pairwise(fold, part, parts);
}

static union scalar number(enum dtype type, double f, int64_t i) {
    if (type == TY_F32) return (union scalar){.f32 = (float)f};
    if (type == TY_F64) return (union scalar){.f64 = f};
    return (union scalar){.i = i};
}

/* --- positions ---------------------------------------------------------------------------------------------------- */

static bool is_nan(enum dtype type, union scalar x) {
    return type == TY_F32 ? isnan(x.f32) : type == TY_F64 ? isnan(x.f64) : false;
}

static union scalar find(enum dtype type, bool largest, bool skip_nan, int64_t n, const union scalar *x) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
        if (is_nan(type, x[i])) {
            if (skip_nan) continue;
            return (union scalar){.i = i};
        }
        union scalar pair[3] = {x[i], best < 0 ? x[i] : x[best]};
        if (best < 0 || eval_scalar(largest ? OP_gt : OP_lt, type, type, pair, NULL).i) best = i;
    }
    return (union scalar){.i = best};
}

/* --- variance ----------------------------------------------------------------------------------------------------- */

/* Count, mean and sum of squared deviations of one part, or of several. */
struct moments {
    double n, mean, m2;
};

static struct moments moments_join(struct moments a, struct moments b) {
    if (a.n == 0) return b;
    if (b.n == 0) return a;
    struct moments r = {.n = a.n + b.n};
    double d = b.mean - a.mean;
    r.mean = a.mean + d * (b.n / r.n);
    r.m2 = a.m2 + b.m2 + d * d * (a.n * b.n / r.n);
    return r;
}

static union scalar apply(enum op op, enum dtype type, union scalar a, union scalar b) {
    return eval_scalar(op, type, type, (union scalar[]){a, b, {0}}, NULL);
}

static double as_double(enum dtype type, union scalar x) {
    return type == TY_F32 ? (double)x.f32 : x.f64;
}

/* In the operand's own type: the elements that count, others replaced by the identity, are summed in the usual order;
 * so are the squares of what is left when the mean is taken off. `kept` is room for n elements. */
static struct moments moments_of(const struct fold *sum, bool columns, const union scalar *x, const bool *flags,
                                 int64_t n, union scalar *kept) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        kept[i] = flags[i] ? x[i] : sum->identity;
        count += flags[i];
    }
    if (count == 0) return (struct moments){0, 0, 0};
    union scalar mean = apply(OP_div, sum->type, fold_part(sum, columns, kept, n), number(sum->type, (double)count, 0));
    for (int64_t i = 0; i < n; i++) {
        union scalar d = apply(OP_sub, sum->type, x[i], mean);
        kept[i] = flags[i] ? apply(OP_mul, sum->type, d, d) : sum->identity;
    }
    union scalar m2 = fold_part(sum, columns, kept, n);
    return (struct moments){(double)count, as_double(sum->type, mean), as_double(sum->type, m2)};
}

static union scalar variance(struct arena *arena, enum dtype type, int64_t n, const union scalar *x, const bool *flags,
                             bool columns) {
    int64_t size = part_size(type, columns), parts = (n + size - 1) / size;
    struct moments *part = ARENA_ARRAY(arena, struct moments, parts + 1);
    union scalar *kept = ARENA_ARRAY(arena, union scalar, size);
    struct fold sum = {OP_add, type, number(type, -0.0, 0)};
    for (int64_t p = 0; p < parts; p++)
        part[p] =
            moments_of(&sum, columns, x + p * size, flags + p * size, n - p * size < size ? n - p * size : size, kept);
    for (; parts > 1; parts = (parts + 1) / 2)
        for (int64_t i = 0; i < parts; i += 2)
            part[i / 2] = i + 1 < parts ? moments_join(part[i], part[i + 1]) : part[i];
    return (union scalar){.f64 = part[0].m2};
}

union scalar eval_reduce(struct arena *arena, enum reduce_op op, enum dtype type, int64_t n, const union scalar *x,
                         const bool *flags, bool columns) {
    struct fold fold = {.type = type};
    int bits = type == TY_BOOL ? 1 : 8 * dtype_size(type);
    int64_t smallest = dtype_is_signed(type) ? (int64_t)(UINT64_MAX << (bits - 1)) : 0;
    int64_t largest = dtype_is_signed(type) ? ~smallest : (int64_t)(UINT64_MAX >> (64 - bits));
    switch (op) {
    case REDUCE_SUM:
        if (n == 0) return number(type, 0, 0);
        fold.op = OP_add, fold.identity = number(type, -0.0, 0);
        break;
    case REDUCE_PROD: fold.op = OP_mul, fold.identity = number(type, 1, 1); break;
    case REDUCE_MIN: fold.op = OP_min, fold.identity = number(type, INFINITY, largest); break;
    case REDUCE_MAX: fold.op = OP_max, fold.identity = number(type, -INFINITY, smallest); break;
    case REDUCE_FMIN: fold.op = OP_fmin, fold.identity = number(type, NAN, largest); break;
    case REDUCE_FMAX: fold.op = OP_fmax, fold.identity = number(type, NAN, smallest); break;
    case REDUCE_ANY: fold.op = OP_or, fold.identity = number(type, 0, 0); break;
    case REDUCE_ALL: fold.op = OP_and, fold.identity = number(type, 0, 1); break;
    case REDUCE_ARGMIN: return find(type, false, false, n, x);
    case REDUCE_ARGMAX: return find(type, true, false, n, x);
    case REDUCE_NANARGMIN: return find(type, false, true, n, x);
    case REDUCE_NANARGMAX: return find(type, true, true, n, x);
    case REDUCE_VAR: return variance(arena, type, n, x, flags, columns);
    case REDUCE_COUNT_: break;
    }
    return fold_all(arena, &fold, columns, x, n);
}
