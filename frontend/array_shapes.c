/* array_shapes.c: broadcasting, conditions of sizes, and shapes in messages. */
#include "frontend/array.h"

#include <string.h>

const struct size *array_const(struct array *a, int64_t value) {
    return size_const(&a->plan->sizes, value);
}

const struct size *array_arith(struct array *a, enum size_op op, const struct size *x, const struct size *y) {
    return size_binary(&a->plan->sizes, op, x, y);
}

struct array_shape array_value_shape(const struct value *v) {
    struct array_shape shape = {.rank = 0};
    return v->kind == VALUE_NUMBER && v->type.rank > 0 ? node_shape(v->node) : shape;
}

const struct size *array_count(struct array *a, const struct array_shape *shape, unsigned axes) {
    const struct size *count = array_const(a, 1);
    for (int d = 0; d < shape->rank; d++)
        if (axes >> d & 1) count = array_arith(a, SIZE_MUL, count, shape->dim[d]);
    return count;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

void array_message_init(struct array *a, struct array_message *message, bool runtime) {
    *message = (struct array_message){.runtime = runtime};
    strbuf_init(&message->text, a->arena);
}

void array_message_size(struct array *a, struct array_message *message, const struct size *size) {
    if (size->op == SIZE_CONST) {
        strbuf_printf(&message->text, "%lld", (long long)size->value);
    } else if (message->runtime) {
        strbuf_printf(&message->text, "{%d}", message->n_sizes);
        ARENA_PUSH(a->arena, message->sizes, message->n_sizes, message->capacity) = size;
    } else {
        const char *name = (const char *)array_map_get(&a->size_names, (uintptr_t)size, 0, 0);
        strbuf_puts(&message->text, name ? name : ":");
    }
}

void array_message_shape(struct array *a, struct array_message *message, const struct array_shape *shape) {
    strbuf_putc(&message->text, '[');
    for (int d = 0; d < shape->rank; d++) {
        if (d) strbuf_puts(&message->text, ", ");
        array_message_size(a, message, shape->dim[d]);
    }
    strbuf_putc(&message->text, ']');
}

const char *array_shape_text(struct array *a, const struct array_shape *shape) {
    struct array_message message;
    array_message_init(a, &message, false);
    array_message_shape(a, &message, shape);
    return strbuf_text(&message.text);
}

/* --- conditions --------------------------------------------------------------------------------------------------- */

enum verdict { HOLDS, FAILS, UNDECIDED };

static enum verdict decide(enum check_kind kind, const struct size *x, const struct size *y) {
    bool known = x->op == SIZE_CONST && y->op == SIZE_CONST;
    switch (kind) {
    case CHECK_BCAST:
        if (size_is_const(x, 1) || size_is_const(y, 1)) return HOLDS;
        if (known || x == y) return x == y ? HOLDS : FAILS;
        return UNDECIDED;
    case CHECK_EQUAL:
        if (known || x == y) return x == y ? HOLDS : FAILS;
        if ((size_is_const(x, 1) && size_never_one(y)) || (size_is_const(y, 1) && size_never_one(x))) return FAILS;
        return UNDECIDED;
    case CHECK_INDEX: return known ? (x->value >= 0 && x->value < y->value ? HOLDS : FAILS) : UNDECIDED;
    case CHECK_AT_LEAST: return known ? (x->value >= y->value ? HOLDS : FAILS) : UNDECIDED;
    }
    return UNDECIDED;
}

/* What was checked on every way to here is not checked again. A size's address leaves room for the kind in its last
 * bits. */
static uintptr_t fact_key(const struct size *y, enum check_kind kind) {
    return (uintptr_t)y + (uintptr_t)kind;
}

static bool is_known(struct array *a, enum check_kind kind, const struct size *x, const struct size *y) {
    int at = (int)array_map_get(&a->facts_map, (uintptr_t)x, fact_key(y, kind), -1);
    return at >= 0 && at < a->n_facts && a->facts[at].x == x && a->facts[at].y == y && a->facts[at].kind == kind;
}

static void learn_one(struct array *a, enum check_kind kind, const struct size *x, const struct size *y) {
    array_map_put(a->arena, &a->facts_map, (uintptr_t)x, fact_key(y, kind), a->n_facts);
    ARENA_PUSH(a->arena, a->facts, a->n_facts, a->facts_capacity) = (struct array_fact){x, y, kind};
}

static void learn(struct array *a, enum check_kind kind, const struct size *x, const struct size *y) {
    learn_one(a, kind, x, y);
    if (kind == CHECK_EQUAL || kind == CHECK_BCAST) learn_one(a, kind, y, x);
    if (kind == CHECK_EQUAL) {
        learn_one(a, CHECK_BCAST, x, y);
        learn_one(a, CHECK_BCAST, y, x);
    }
}

bool array_check(struct array *a, enum check_kind kind, const struct size *x, const struct size *y, enum diag_code code,
                 struct span span, void (*describe)(struct array *a, struct array_message *message, void *host),
                 void *host) {
    enum verdict verdict = decide(kind, x, y);
    if (verdict == HOLDS || is_known(a, kind, x, y)) return true;
    if (verdict == FAILS && a->conditional > 0) verdict = UNDECIDED; /* fails if it is reached */
    struct array_message message;
    array_message_init(a, &message, verdict == UNDECIDED);
    describe(a, &message, host);
    if (verdict == FAILS) {
        diag_add(a->diags, code, span, "%s", strbuf_text(&message.text));
        return false;
    }
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_CHECK, span);
    sink->check = ARENA_NEW(a->arena, struct plan_check);
    *sink->check = (struct plan_check){.kind = kind,
                                       .a = x,
                                       .b = y,
                                       .code = code,
                                       .text = strbuf_text(&message.text),
                                       .sizes = message.sizes,
                                       .n_sizes = message.n_sizes};
    learn(a, kind, x, y);
    return true;
}

struct plain_text {
    const char *text;
    const struct size *x, *y;
};

static void describe_plain(struct array *a, struct array_message *message, void *host) {
    const struct plain_text *plain = host;
    for (const char *at = plain->text; *at; at++) {
        if (*at == '\1' || *at == '\2')
            array_message_size(a, message, *at == '\1' ? plain->x : plain->y);
        else
            strbuf_putc(&message->text, *at);
    }
}

bool array_check_text(struct array *a, enum check_kind kind, const struct size *x, const struct size *y,
                      enum diag_code code, struct span span, const char *text) {
    return array_check(a, kind, x, y, code, span, describe_plain, &(struct plain_text){text, x, y});
}

/* --- broadcasting ------------------------------------------------------------------------------------------------- */

struct mismatch {
    const struct value *x, *y;
};

static void describe_mismatch(struct array *a, struct array_message *message, void *host) {
    const struct mismatch *pair = host;
    const struct value *values[2] = {pair->x, pair->y};
    for (int i = 0; i < 2; i++) {
        struct array_shape shape = array_value_shape(values[i]);
        strbuf_printf(&message->text, "%s`%s` ", i ? " and " : "", array_quote(a, values[i]->span));
        array_message_shape(a, message, &shape);
    }
    strbuf_puts(&message->text, " do not broadcast");
}

/* The size that two broadcast to; NULL after an error. */
static const struct size *join_sizes(struct array *a, const struct size *x, const struct size *y, struct mismatch *pair,
                                     struct span span) {
    if (x == y) return x;
    bool never = size_never_one(x) && size_never_one(y);
    if (!array_check(a, never ? CHECK_EQUAL : CHECK_BCAST, x, y, DIAG_SHAPE, span, describe_mismatch, pair))
        return NULL;
    if (size_is_const(x, 1)) return y;
    if (size_is_const(y, 1)) return x;
    if (never) return y->op == SIZE_CONST ? y : x;
    if (size_never_one(x)) return x;
    if (size_never_one(y)) return y;
    return array_arith(a, SIZE_BCAST, x, y);
}

static bool same_shape(const struct array_shape *x, const struct array_shape *y) {
    return x->rank == y->rank && memcmp(x->dim, y->dim, (size_t)x->rank * sizeof *x->dim) == 0;
}

static void broadcast_value(struct array *a, struct value *v, const struct array_shape *shape) {
    struct array_shape own = array_value_shape(v);
    if (own.rank == 0 || same_shape(&own, shape)) return;
    v->node = node_broadcast(a, v->node, shape, v->span);
    v->type.rank = shape->rank;
}

bool array_align(struct array *a, int n, struct value *values, struct span span) {
    struct array_shape joint = {.rank = 0};
    const struct value *owner[TYPE_MAX_RANK]; /* whose size it is, counted from the last dimension */
    struct value *before = ARENA_ARRAY(a->arena, struct value, n);
    memcpy(before, values, (size_t)n * sizeof *values);
    for (int i = 0; i < n; i++) {
        struct array_shape shape = array_value_shape(&before[i]), wide = shape.rank > joint.rank ? shape : joint;
        int least = shape.rank < joint.rank ? shape.rank : joint.rank;
        for (int k = 0; k < least; k++) {
            const struct size *x = joint.dim[joint.rank - 1 - k], *y = shape.dim[shape.rank - 1 - k];
            struct mismatch pair = {owner[k], &before[i]};
            const struct size *both = join_sizes(a, x, y, &pair, span);
            if (!both) return false;
            wide.dim[wide.rank - 1 - k] = both;
            if (both != x) owner[k] = &before[i];
        }
        for (int k = joint.rank; k < shape.rank; k++) owner[k] = &before[i];
        joint = wide;
    }
    for (int i = 0; i < n; i++) {
        broadcast_value(a, &values[i], &joint);
        if (!values[i].product) continue;
        for (int k = 0; k < 2; k++) { /* an fma multiplies them again, in the sum's shape */
            if (!values[i].factor[k] || values[i].factor[k]->type.rank == 0) continue;
            struct value *factor = ARENA_NEW(a->arena, struct value);
            *factor = *values[i].factor[k];
            factor->product = false;
            broadcast_value(a, factor, &joint);
            values[i].factor[k] = factor;
        }
    }
    return true;
}
