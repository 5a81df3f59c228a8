/* size.c: the canonical form of sizes, and their values.
 *
 * Sums are kept as a list: positive terms in structural order, then negative ones, then the constant. The order is
 * structural and not by age, so that a printed plan reads back as the same plan.
 */
#include "ir/size.h"

#include <string.h>

enum {
    SUM_MAX_TERMS = 16, /* longer sums are kept as they are written */
    PRINT_BUDGET = 4000 /* nodes; shared subexpressions print in full at each use, which could take for ever */
};

void size_table_init(struct size_table *table, struct arena *arena) {
    *table = (struct size_table){.arena = arena};
}

/* --- hash-consing ------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t value) {
    h = (h ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

static uint64_t hash(const struct size *s) {
    uint64_t h = mix(UINT64_C(0x243F6A8885A308D3), s->op);
    h = mix(h, (uint64_t)s->value);
    h = mix(h, (uint64_t)s->slot << 32 ^ (uint64_t)s->dim);
    h = mix(h, s->a ? (uint64_t)s->a->id + 1 : 0);
    return mix(h, s->b ? (uint64_t)s->b->id + 1 : 0);
}

static bool same(const struct size *s, const struct size *t) {
    return s->op == t->op && s->value == t->value && s->slot == t->slot && s->dim == t->dim && s->a == t->a &&
           s->b == t->b;
}

static void rehash(struct size_table *table) {
    int n = table->n_buckets ? table->n_buckets * 2 : 64;
    table->buckets = ARENA_ARRAY(table->arena, int, n);
    table->n_buckets = n;
    for (int i = 0; i < n; i++) table->buckets[i] = -1;
    for (int id = 0; id < table->count; id++) {
        int at = (int)(hash(table->items[id]) & (uint64_t)(n - 1));
        while (table->buckets[at] >= 0) at = (at + 1) & (n - 1);
        table->buckets[at] = id;
    }
}

/* The one node that looks like `wanted`. */
static const struct size *intern(struct size_table *table, struct size wanted) {
    if (2 * (table->count + 1) > table->n_buckets) rehash(table);
    int mask = table->n_buckets - 1, at = (int)(hash(&wanted) & (uint64_t)mask);
    for (; table->buckets[at] >= 0; at = (at + 1) & mask) {
        const struct size *found = table->items[table->buckets[at]];
        if (same(found, &wanted)) return found;
    }
    struct size *made = ARENA_NEW(table->arena, struct size);
    *made = wanted;
    made->id = table->count;
    table->buckets[at] = made->id;
    ARENA_PUSH(table->arena, table->items, table->count, table->capacity) = made;
    return made;
}

static const struct size *node(struct size_table *table, enum size_op op, const struct size *a, const struct size *b) {
    return intern(table, (struct size){.op = op, .a = a, .b = b});
}

const struct size *size_const(struct size_table *table, int64_t value) {
    return intern(table, (struct size){.op = SIZE_CONST, .value = value});
}

const struct size *size_dim(struct size_table *table, int slot, int dim, bool not_one) {
    const struct size *s = intern(table, (struct size){.op = SIZE_DIM, .slot = slot, .dim = dim});
    if (not_one) ((struct size *)s)->not_one = true; /* learned later: what was made before stays right */
    return s;
}

const struct size *size_scalar(struct size_table *table, int slot) {
    return intern(table, (struct size){.op = SIZE_SCALAR, .slot = slot});
}

/* --- what is known of a size -------------------------------------------------------------------------------------- */

bool size_never_one(const struct size *s) {
    switch (s->op) {
    case SIZE_CONST: return s->value != 1;
    case SIZE_DIM: return s->not_one;
    case SIZE_MUL: return s->b->op == SIZE_CONST && (s->b->value > 1 || s->b->value < -1);
    case SIZE_LARGER: return s->b->op == SIZE_CONST && s->b->value > 1;
    default: return false;
    }
}

/* True if the value is at least 0 for sure. Looks a few nodes deep only. */
static bool never_negative(const struct size *s, int depth) {
    if (depth == 0) return false;
    switch (s->op) {
    case SIZE_CONST: return s->value >= 0;
    case SIZE_DIM:
    case SIZE_NOT1: return true;
    case SIZE_MUL:
    case SIZE_DIV:
    case SIZE_MOD:
    case SIZE_SMALLER:
    case SIZE_BCAST: return never_negative(s->a, depth - 1) && never_negative(s->b, depth - 1);
    case SIZE_LARGER: return never_negative(s->a, depth - 1) || never_negative(s->b, depth - 1);
    default: return false; /* sums may wrap, scalars are anything */
    }
}

static bool is_nonnegative(const struct size *s) {
    return never_negative(s, 8);
}

/* A total order by structure; 0 only for the same node. */
static int compare(const struct size *s, const struct size *t) {
    for (;;) {
        if (s == t) return 0;
        if (s->op != t->op) return s->op < t->op ? -1 : 1;
        if (s->value != t->value) return s->value < t->value ? -1 : 1;
        if (s->slot != t->slot) return s->slot < t->slot ? -1 : 1;
        if (s->dim != t->dim) return s->dim < t->dim ? -1 : 1;
        bool left = s->a != t->a;
        s = left ? s->a : s->b;
        t = left ? t->a : t->b;
    }
}

static int64_t wrap_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t wrap_neg(int64_t a) {
    return (int64_t)(0 - (uint64_t)a);
}

/* s as base + constant; a plain constant has no base. */
static const struct size *split(const struct size *s, int64_t *constant) {
    *constant = 0;
    if (s->op == SIZE_CONST) {
        *constant = s->value;
        return NULL;
    }
    if (s->op == SIZE_ADD && s->b->op == SIZE_CONST) {
        *constant = s->b->value;
        return s->a;
    }
    return s;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

struct sum {
    const struct size *plus[SUM_MAX_TERMS], *minus[SUM_MAX_TERMS];
    int n_plus, n_minus;
    int64_t constant;
    bool full; /* too many terms */
};

static void sum_add(struct sum *sum, const struct size *s, bool negative) {
    for (;;) { /* down the spine; right sides of canonical sums are no sums */
        if (s->op == SIZE_CONST) {
            sum->constant = wrap_add(sum->constant, negative ? wrap_neg(s->value) : s->value);
            return;
        }
        const struct size *term = s, *rest = NULL;
        bool term_negative = negative;
        if (s->op == SIZE_ADD || s->op == SIZE_SUB) {
            term = s->b;
            term_negative = negative ^ (s->op == SIZE_SUB);
            rest = s->a;
        }
        if (term->op == SIZE_CONST) {
            sum->constant = wrap_add(sum->constant, term_negative ? wrap_neg(term->value) : term->value);
        } else {
            const struct size **against = term_negative ? sum->plus : sum->minus;
            int *n_against = term_negative ? &sum->n_plus : &sum->n_minus, i = 0;
            while (i < *n_against && against[i] != term) i++;
            const struct size **with = term_negative ? sum->minus : sum->plus;
            int *n_with = term_negative ? &sum->n_minus : &sum->n_plus;
            if (i < *n_against) {
                against[i] = against[--*n_against];
            } else if (*n_with < SUM_MAX_TERMS) {
                with[(*n_with)++] = term;
            } else {
                sum->full = true;
                return;
            }
        }
        if (!rest) return;
        s = rest;
    }
}

static void sort_terms(const struct size **terms, int n) {
    for (int i = 1; i < n; i++) {
        const struct size *term = terms[i];
        int at = i;
        for (; at > 0 && compare(terms[at - 1], term) > 0; at--) terms[at] = terms[at - 1];
        terms[at] = term;
    }
}

static const struct size *sum_build(struct size_table *table, struct sum *sum) {
    sort_terms(sum->plus, sum->n_plus);
    sort_terms(sum->minus, sum->n_minus);
    const struct size *s = NULL;
    for (int i = 0; i < sum->n_plus; i++) s = s ? node(table, SIZE_ADD, s, sum->plus[i]) : sum->plus[i];
    bool constant_used = !s;
    if (!s) s = size_const(table, sum->constant);
    for (int i = 0; i < sum->n_minus; i++) s = node(table, SIZE_SUB, s, sum->minus[i]);
    if (constant_used || sum->constant == 0) return s;
    return node(table, SIZE_ADD, s, size_const(table, sum->constant));
}

static const struct size *make_sum(struct size_table *table, bool subtract, const struct size *a,
                                   const struct size *b) {
    if (subtract) {
        int64_t c, d;
        /* a - min(a, c) = max(a - c, 0); a - max(a + c, 0) = min(a, -c): lengths of slices from one end */
        if (b->op == SIZE_SMALLER && b->a == a && b->b->op == SIZE_CONST) {
            const struct size *less = size_binary(table, SIZE_SUB, a, b->b);
            return size_binary(table, SIZE_LARGER, less, size_const(table, 0));
        }
        if (b->op == SIZE_LARGER && size_is_const(b->b, 0)) {
            const struct size *base_a = split(a, &c), *base_b = split(b->a, &d);
            if (base_a && base_a == base_b)
                return size_binary(table, SIZE_SMALLER, a, size_const(table, wrap_add(c, wrap_neg(d))));
        }
    }
    struct sum sum = {0};
    sum_add(&sum, a, false);
    sum_add(&sum, b, subtract);
    if (sum.full || sum.n_plus + sum.n_minus > SUM_MAX_TERMS) return node(table, subtract ? SIZE_SUB : SIZE_ADD, a, b);
    return sum_build(table, &sum);
}

/* --- the other operations ------------------------------------------------------------------------------------------
 */

static const struct size *make_product(struct size_table *table, const struct size *a, const struct size *b) {
    if (a->op == SIZE_CONST || (b->op != SIZE_CONST && compare(a, b) > 0)) {
        const struct size *t = a;
        a = b;
        b = t;
    }
    if (size_is_const(b, 0)) return b;
    if (size_is_const(b, 1)) return a;
    if (b->op == SIZE_CONST && b->value > 0 && a->op == SIZE_MUL && a->b->op == SIZE_CONST && a->b->value > 0) {
        int64_t product;
        if (!__builtin_mul_overflow(a->b->value, b->value, &product))
            return node(table, SIZE_MUL, a->a, size_const(table, product));
    }
    return node(table, SIZE_MUL, a, b);
}

/* max(max(n - 2, 0) - min(n, 2), 0) = max(n - 4, 0) for n >= 0: the length of x[2:-2]. NULL if `difference` is none
 * such. */
static const struct size *slice_length(struct size_table *table, const struct size *difference) {
    if (difference->op != SIZE_SUB) return NULL;
    const struct size *stop = difference->a, *start = difference->b;
    if (stop->op != SIZE_LARGER || !size_is_const(stop->b, 0)) return NULL;
    if (start->op != SIZE_SMALLER || start->b->op != SIZE_CONST || start->b->value < 0 || !is_nonnegative(start->a))
        return NULL;
    int64_t down;
    if (split(stop->a, &down) != start->a || down > 0) return NULL;
    return size_binary(table, SIZE_SUB, stop->a, start->b);
}

static const struct size *make_extreme(struct size_table *table, bool maximum, const struct size *a,
                                       const struct size *b) {
    enum size_op op = maximum ? SIZE_LARGER : SIZE_SMALLER, other = maximum ? SIZE_SMALLER : SIZE_LARGER;
    if (a == b) return a;
    if (a->op == SIZE_CONST || (b->op != SIZE_CONST && compare(a, b) > 0)) {
        const struct size *t = a;
        a = b;
        b = t;
    }
    int64_t ca, cb;
    const struct size *base_a = split(a, &ca), *base_b = split(b, &cb);
    if (base_a && base_a == base_b) return (ca > cb) == maximum ? a : b;
    /* min(n, max(n - c, 0)) and the like: the stop of a slice clamped again */
    for (int turn = 0; turn < 2; turn++) {
        const struct size *x = turn ? b : a, *y = turn ? a : b;
        if (y->op == other && (y->a == x || y->b == x)) return x; /* max(x, min(x, y)) = x */
        if (y->op == op && (y->a == x || y->b == x)) return y;    /* max(x, max(x, y)) */
        int64_t cx, cy;
        if (!maximum && y->op == SIZE_LARGER && size_is_const(y->b, 0) && is_nonnegative(x)) {
            const struct size *base_x = split(x, &cx);
            if (base_x && base_x == split(y->a, &cy) && cy <= cx) return y;
        }
    }
    if (b->op == SIZE_CONST) {
        int64_t c = b->value;
        if (is_nonnegative(a) && (maximum ? c <= 0 : c < 0)) return maximum ? a : b;
        if (!maximum && c == 0 && is_nonnegative(a)) return b;
        if (a->op == op && a->b->op == SIZE_CONST)
            return (a->b->value > c) == maximum ? a : size_binary(table, op, a->a, b);
        if (a->op == SIZE_ADD && a->b->op == SIZE_CONST && a->a->op == op && a->a->b->op == SIZE_CONST) {
            /* max(max(y, k) + d, c) = max(y + d, max(k + d, c)) */
            int64_t d = a->b->value, inner = wrap_add(a->a->b->value, d);
            const struct size *moved = size_binary(table, SIZE_ADD, a->a->a, a->b);
            return size_binary(table, op, moved, size_const(table, (inner > c) == maximum ? inner : c));
        }
        if (maximum && c == 0) {
            const struct size *length = slice_length(table, a);
            if (length) return size_binary(table, SIZE_LARGER, length, b);
        }
    }
    return node(table, op, a, b);
}

/* Sizes that broadcast together, as a sorted set: any order of broadcasting gives the same node. */
static const struct size *make_broadcast(struct size_table *table, const struct size *a, const struct size *b) {
    const struct size *leaves[SUM_MAX_TERMS];
    int n = 0;
    for (int side = 0; side < 2; side++) {
        const struct size *s = side ? b : a;
        while (s) {
            const struct size *leaf = s->op == SIZE_BCAST ? s->b : s;
            s = s->op == SIZE_BCAST ? s->a : NULL;
            if (size_never_one(leaf)) return leaf; /* the others are 1 or equal to it */
            bool known = size_is_const(leaf, 1);
            for (int i = 0; i < n && !known; i++) known = leaves[i] == leaf;
            if (known) continue;
            if (n == SUM_MAX_TERMS) return node(table, SIZE_BCAST, a, b);
            leaves[n++] = leaf;
        }
    }
    if (n == 0) return size_const(table, 1);
    sort_terms(leaves, n);
    const struct size *s = leaves[0];
    for (int i = 1; i < n; i++) s = node(table, SIZE_BCAST, s, leaves[i]);
    return s;
}

const struct size *size_binary(struct size_table *table, enum size_op op, const struct size *a, const struct size *b) {
    if (a->op == SIZE_CONST && b->op == SIZE_CONST) {
        struct size s = {.op = op, .a = a, .b = b};
        return size_const(table, size_apply(&s, a->value, b->value, 0));
    }
    switch (op) {
    case SIZE_ADD: return make_sum(table, false, a, b);
    case SIZE_SUB: return make_sum(table, true, a, b);
    case SIZE_MUL: return make_product(table, a, b);
    case SIZE_DIV:
        if (size_is_const(b, 1)) return a;
        if (size_is_const(b, 0) || size_is_const(a, 0)) return size_const(table, 0);
        return node(table, op, a, b);
    case SIZE_MOD:
        if (size_is_const(b, 1) || size_is_const(b, 0) || size_is_const(a, 0) || a == b) return size_const(table, 0);
        return node(table, op, a, b);
    case SIZE_SMALLER: return make_extreme(table, false, a, b);
    case SIZE_LARGER: return make_extreme(table, true, a, b);
    case SIZE_WRAP:
        if (is_nonnegative(a)) return a;
        if (a->op == SIZE_CONST) return size_binary(table, SIZE_ADD, b, a);
        return node(table, op, a, b);
    case SIZE_BCAST: return make_broadcast(table, a, b);
    case SIZE_NOT1:
    case SIZE_CONST:
    case SIZE_DIM:
    case SIZE_SCALAR: break;
    }
    return size_not1(table, a);
}

const struct size *size_not1(struct size_table *table, const struct size *a) {
    if (size_never_one(a)) return size_const(table, 1);
    if (a->op == SIZE_CONST) return size_const(table, 0);
    return node(table, SIZE_NOT1, a, NULL);
}

/* --- values --------------------------------------------------------------------------------------------------------
 */

static int64_t multiply(int64_t a, int64_t b) {
    int64_t product;
    if (!__builtin_mul_overflow(a, b, &product)) return product;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static int64_t floor_mod(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static int64_t floor_div(int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return wrap_neg(a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t size_apply(const struct size *s, int64_t a, int64_t b, int64_t dim_or_scalar) {
    switch (s->op) {
    case SIZE_CONST: return s->value;
    case SIZE_DIM:
    case SIZE_SCALAR: return dim_or_scalar;
    case SIZE_ADD: return wrap_add(a, b);
    case SIZE_SUB: return wrap_add(a, wrap_neg(b));
    case SIZE_MUL: return multiply(a, b);
    case SIZE_DIV: return floor_div(a, b);
    case SIZE_MOD: return floor_mod(a, b);
    case SIZE_SMALLER: return a < b ? a : b;
    case SIZE_LARGER: return a > b ? a : b;
    case SIZE_WRAP: return a < 0 ? wrap_add(a, b) : a;
    case SIZE_BCAST: return a == 1 ? b : a;
    case SIZE_NOT1: return a != 1;
    }
    return 0;
}

/* --- text -----------------------------------------------------------------------------------------------------------
 */

/* Precedence: 0 a whole expression, 1 the right side of + and -, 2 a factor. */
static void print(const struct size *s, struct strbuf *out, int level, int *budget) {
    if (--*budget < 0) {
        strbuf_puts(out, "...");
        return;
    }
    static const char *const words[] = {
        [SIZE_ADD] = " + ",      [SIZE_SUB] = " - ",      [SIZE_MUL] = "*",       [SIZE_DIV] = " // ",
        [SIZE_MOD] = " % ",      [SIZE_SMALLER] = "min(", [SIZE_LARGER] = "max(", [SIZE_WRAP] = "wrap(",
        [SIZE_BCAST] = "bcast(", [SIZE_NOT1] = "not1("};
    switch (s->op) {
    case SIZE_CONST: strbuf_printf(out, "%lld", (long long)s->value); return;
    case SIZE_DIM: strbuf_printf(out, "s%d.d%d%s", s->slot, s->dim, s->not_one ? "!" : ""); return;
    case SIZE_SCALAR: strbuf_printf(out, "s%d", s->slot); return;
    case SIZE_ADD:
    case SIZE_SUB:
        if (level > 0) strbuf_putc(out, '(');
        print(s->a, out, 0, budget);
        if (s->op == SIZE_ADD && s->b->op == SIZE_CONST && s->b->value < 0 && s->b->value != INT64_MIN) {
            strbuf_printf(out, " - %lld", -(long long)s->b->value);
        } else {
            strbuf_puts(out, words[s->op]);
            print(s->b, out, 1, budget);
        }
        if (level > 0) strbuf_putc(out, ')');
        return;
    case SIZE_MUL:
    case SIZE_DIV:
    case SIZE_MOD:
        if (level > 1) strbuf_putc(out, '(');
        print(s->a, out, 2, budget);
        strbuf_puts(out, words[s->op]);
        print(s->b, out, 2, budget);
        if (level > 1) strbuf_putc(out, ')');
        return;
    case SIZE_SMALLER:
    case SIZE_LARGER:
    case SIZE_WRAP:
    case SIZE_BCAST:
    case SIZE_NOT1:
        strbuf_puts(out, words[s->op]);
        print(s->a, out, 0, budget);
        if (s->b) {
            strbuf_puts(out, ", ");
            print(s->b, out, 0, budget);
        }
        strbuf_putc(out, ')');
        return;
    }
}

void size_print(const struct size *s, struct strbuf *out) {
    int budget = PRINT_BUDGET;
    print(s, out, 0, &budget);
}
