/* scalar_emit.c: making scalar operations, each once, and the ifs around them. */
#include "frontend/scalar_parts.h"

#include <string.h>

enum { MEMO_BUCKETS = 1024 };

struct scalar_entry {
    enum op op;
    enum dtype type;
    int64_t imm;
    int n_args;
    struct ir_value *const *args;
    struct ir_value *value;
    int next; /* in its bucket: index + 1 */
};

/* --- value numbering ---------------------------------------------------------------------------------------------- */

static unsigned memo_hash(const struct scalar_entry *key) {
    uint64_t h = (uint64_t)key->op * 31 + (uint64_t)key->type;
    h = (h ^ (uint64_t)key->imm) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < key->n_args; i++) h = (h ^ ((uintptr_t)key->args[i] >> 4)) * 0x9e3779b97f4a7c15u;
    return (unsigned)(h >> 40) % MEMO_BUCKETS;
}

static struct ir_value *memo_find(const struct scalar_memo *memo, const struct scalar_entry *key) {
    for (int at = memo->buckets[memo_hash(key)]; at; at = memo->entries[at - 1].next) {
        const struct scalar_entry *entry = &memo->entries[at - 1];
        if (entry->op == key->op && entry->type == key->type && entry->imm == key->imm &&
            entry->n_args == key->n_args &&
            (key->n_args == 0 || memcmp(entry->args, key->args, (size_t)key->n_args * sizeof *key->args) == 0))
            return entry->value;
    }
    return NULL;
}

static void memo_add(struct arena *arena, struct scalar_memo *memo, struct scalar_entry key, struct ir_value *value) {
    int *bucket = &memo->buckets[memo_hash(&key)];
    struct ir_value **args = ARENA_ARRAY(arena, struct ir_value *, key.n_args);
    if (key.n_args) memcpy(args, key.args, (size_t)key.n_args * sizeof *args);
    key.args = args;
    key.value = value;
    key.next = *bucket;
    ARENA_PUSH(arena, memo->entries, memo->count, memo->capacity) = key;
    *bucket = memo->count;
}

void scalar_memo_forget(struct scalar *s, int mark) {
    struct scalar_memo *memo = &s->memo;
    for (; memo->count > mark; memo->count--) {
        struct scalar_entry *entry = &memo->entries[memo->count - 1];
        memo->buckets[memo_hash(entry)] = entry->next;
    }
}

/* --- operations --------------------------------------------------------------------------------------------------- */

bool scalar_spend(struct scalar *s, int n, struct span span) {
    struct ufunc_cache *cache = s->elab->ufuncs;
    int limit = s->elab->program->options->limits.graph_nodes;
    if (limit <= 0) limit = 200000;
    if (!cache->out_of_values && n <= limit - cache->n_values) {
        cache->n_values += n;
        return true;
    }
    if (!cache->out_of_values)
        diag_add(s->emit.diags, DIAG_LIMIT, span, "the functions called here make more than %d operations", limit);
    cache->out_of_values = true;
    return false;
}

bool scalar_known(const struct ir_value *h, bool *value) {
    if (h->op != OP_const || h->type != TY_BOOL) return false;
    *value = h->imm.i != 0;
    return true;
}

static struct ir_value *constant(struct scalar *s, enum dtype type, int64_t integer, double real) {
    struct scalar_entry key = {.op = OP_const, .type = type, .imm = integer};
    if (dtype_is_float(type)) memcpy(&key.imm, &real, sizeof real);
    struct ir_value *h = memo_find(&s->constants, &key);
    if (h) return h;
    h = dtype_is_float(type) ? body_const_float(s->arena, s->pool, type, real)
                             : body_const_int(s->arena, s->pool, type, integer);
    memo_add(s->arena, &s->constants, key, h);
    return h;
}

struct ir_value *scalar_bool(struct scalar *s, bool value) {
    return constant(s, TY_BOOL, value, 0);
}

struct ir_value *scalar_zero(struct scalar *s, enum dtype type) {
    return constant(s, type, 0, 0);
}

/* Logic of constants, which the flags of break, continue and return are full of. NULL: nothing to simplify. */
static struct ir_value *simpler(struct scalar *s, enum op op, struct ir_value *const *args, struct span span) {
    bool a = false, b = false;
    switch (op) {
    case OP_not:
        if (scalar_known(args[0], &a)) return scalar_bool(s, !a);
        return args[0]->op == OP_not ? args[0]->args[0] : NULL;
    case OP_and:
    case OP_or:
        if (scalar_known(args[0], &a)) return a == (op == OP_and) ? args[1] : args[0];
        if (scalar_known(args[1], &b)) return b == (op == OP_and) ? args[0] : args[1];
        return args[0] == args[1] ? args[0] : NULL;
    case OP_select:
        if (scalar_known(args[0], &a)) return args[a ? 1 : 2];
        if (args[1] == args[2]) return args[1];
        if (args[0]->op == OP_not)
            return scalar_op(s, OP_select, args[1]->type, 3, (struct ir_value *[]){args[0]->args[0], args[2], args[1]},
                             span);
        if (args[1]->type != TY_BOOL) return NULL;
        if (scalar_known(args[1], &a)) {
            struct ir_value *off = scalar_op(s, OP_not, TY_BOOL, 1, args, span);
            return a ? scalar_op(s, OP_or, TY_BOOL, 2, (struct ir_value *[]){args[0], args[2]}, span)
                     : scalar_op(s, OP_and, TY_BOOL, 2, (struct ir_value *[]){off, args[2]}, span);
        }
        if (scalar_known(args[2], &b)) {
            struct ir_value *off = scalar_op(s, OP_not, TY_BOOL, 1, args, span);
            return b ? scalar_op(s, OP_or, TY_BOOL, 2, (struct ir_value *[]){off, args[1]}, span)
                     : scalar_op(s, OP_and, TY_BOOL, 2, (struct ir_value *[]){args[0], args[1]}, span);
        }
        return NULL;
    default: return NULL;
    }
}

static struct ir_value *made(struct scalar *s, struct scalar_entry key, struct span span) {
    struct ir_value *h = memo_find(&s->memo, &key);
    if (h) return h;
    scalar_spend(s, 1, span);
    h = body_op(s->arena, s->region, key.op, key.type, key.n_args, key.args, span);
    if (key.op == OP_load) h->imm.i = key.imm;
    memo_add(s->arena, &s->memo, key, h);
    return h;
}

struct ir_value *scalar_op(struct scalar *s, enum op op, enum dtype type, int n, struct ir_value *const *args,
                           struct span span) {
    struct ir_value *h = simpler(s, op, args, span);
    if (h) return h;
    return made(s, (struct scalar_entry){.op = op, .type = type, .n_args = n, .args = args}, span);
}

struct ir_value *scalar_load(struct scalar *s, int whole, struct ir_value *const *subscripts, struct span span) {
    struct scalar_entry key = {
        .op = OP_load, .type = s->whole[whole].type, .imm = whole, .n_args = s->whole[whole].rank, .args = subscripts};
    return made(s, key, span);
}

struct ir_value *scalar_length(struct scalar *s, int whole, int dim) {
    struct ir_value **length = &s->whole[whole].lengths[dim];
    if (!*length) {
        *length = body_leaf(s->arena, s->pool, OP_len, TY_I64, whole);
        (*length)->dim = dim;
    }
    return *length;
}

struct value scalar_wrap(struct ir_value *h, struct type type, struct span span) {
    return (struct value){.kind = VALUE_NUMBER, .type = type, .span = span, .scalar = h};
}

struct value scalar_weak_int(struct ir_value *h, struct span span) {
    return scalar_wrap(h, (struct type){TY_I64, WEAK_INT, 0}, span);
}

/* --- the emitter that elementwise.c sees -------------------------------------------------------------------------- */

static void *emit_op(void *host, enum op op, enum dtype type, int n, void *const *h, struct span span) {
    struct ir_value *args[TYPE_MAX_RANK] = {0};
    for (int i = 0; i < n; i++) args[i] = h[i];
    return scalar_op(host, op, type, n, args, span);
}

static void *emit_convert(void *host, void *h, enum dtype to, struct span span) {
    struct ir_value *x = h;
    return x->type == to ? x : scalar_op(host, OP_convert, to, 1, &x, span);
}

static void *emit_int(void *host, enum dtype type, int64_t value) {
    return constant(host, type, value, (double)value);
}

static void *emit_float(void *host, enum dtype type, double value) {
    return constant(host, type, 0, value);
}

static void *emit_handle(void *host, const struct value *v) {
    (void)host;
    return v->scalar;
}

static struct value emit_wrap(void *host, void *h, struct type type, struct span span) {
    (void)host;
    return scalar_wrap(h, type, span);
}

void scalar_emit_start(struct scalar *s, int n_params, const enum dtype *param_types) {
    s->emit = (struct emitter){.op = emit_op,
                               .convert = emit_convert,
                               .constant_int = emit_int,
                               .constant_float = emit_float,
                               .handle = emit_handle,
                               .wrap = emit_wrap,
                               .host = s,
                               .arena = s->arena,
                               .diags = s->elab->diags,
                               .ast = s->ast,
                               .fp = s->elab->program->options->fp};
    s->top = s->region = body_region(s->arena, n_params, param_types);
    s->pool = body_region(s->arena, 0, NULL);
    s->memo.buckets = ARENA_ARRAY(s->arena, int, MEMO_BUCKETS);
    s->constants.buckets = ARENA_ARRAY(s->arena, int, MEMO_BUCKETS);
}

/* --- branches ----------------------------------------------------------------------------------------------------- */

int scalar_take_changes(struct scalar *s, int mark, struct scalar_change **changes) {
    int n = 0;
    s->stamp++;
    *changes = ARENA_ARRAY(s->arena, struct scalar_change, s->n_journal - mark);
    for (int i = mark; i < s->n_journal; i++) {
        struct scalar_change change = s->journal[i]; /* the first one of a slot knows what was before */
        if (s->stamps[change.slot] == s->stamp) continue;
        s->stamps[change.slot] = s->stamp;
        change.value = s->env[change.slot];
        s->env[change.slot] = change.before;
        (*changes)[n++] = change;
    }
    s->n_journal = mark;
    return n;
}

void scalar_if_begin(struct scalar *s, struct scalar_if *branch, struct ir_value *condition, struct span span) {
    *branch = (struct scalar_if){
        .condition = condition, .parent = s->region, .journal = s->n_journal, .memo = s->memo.count, .span = span};
    branch->arms[0] = body_region(s->arena, 0, NULL);
    branch->arms[1] = body_region(s->arena, 0, NULL);
    s->region = branch->arms[0];
}

static void close_arm(struct scalar *s, struct scalar_if *branch, int arm) {
    branch->n_changes[arm] = scalar_take_changes(s, branch->journal, &branch->changes[arm]);
    scalar_memo_forget(s, branch->memo);
}

void scalar_if_turn(struct scalar *s, struct scalar_if *branch) {
    close_arm(s, branch, 0);
    s->region = branch->arms[1];
}

void scalar_unused_begin(struct scalar *s, struct scalar_if *branch, struct span span) {
    scalar_if_begin(s, branch, scalar_bool(s, false), span);
    branch->diags = s->emit.diags;
    branch->unused = s->unused;
    struct diag_list *ignored = ARENA_NEW(s->arena, struct diag_list);
    diag_init(ignored, s->arena, branch->diags->file, branch->diags->source, branch->diags->source_length);
    s->emit.diags = s->elab->diags = ignored;
    s->unused = true;
}

void scalar_unused_end(struct scalar *s, struct scalar_if *branch) {
    const struct diag_list *ignored = s->emit.diags;
    close_arm(s, branch, 0);
    s->region = branch->parent;
    s->emit.diags = s->elab->diags = branch->diags;
    s->unused = branch->unused;
    for (int i = 0; i < ignored->count; i++) /* limits are the whole program's */
        if (ignored->items[i].code == DIAG_LIMIT)
            diag_add(s->emit.diags, DIAG_LIMIT, ignored->items[i].span, "%s", ignored->items[i].text);
}

/* One value that the arms disagree on. */
struct merge {
    struct ir_value *sides[2]; /* NULL: not set on that side */
    struct ir_value *merged;
    int slot; /* -1: none */
    struct type type;
};

static bool is_dear(const struct ir_value *v) {
    if (v->op == OP_const || v->op == OP_len) return false;
    if (op_info[v->op].lower != LOWER_INST) return true;
    return v->op == OP_floordiv || v->op == OP_mod;
}

static bool is_cheap(const struct ir_region *a, const struct ir_region *b) {
    if (a->n_values + b->n_values > SCALAR_CHEAP_OPERATIONS) return false;
    for (int i = 0; i < a->n_values; i++)
        if (is_dear(a->values[i])) return false;
    for (int i = 0; i < b->n_values; i++)
        if (is_dear(b->values[i])) return false;
    return true;
}

static void append(struct scalar *s, struct ir_region *to, const struct ir_region *from) {
    for (int i = 0; i < from->n_values; i++)
        ARENA_PUSH(s->arena, to->values, to->n_values, to->capacity) = from->values[i];
}

static struct ir_value *select_merge(struct scalar *s, const struct scalar_if *branch, const struct merge *m) {
    if (!m->sides[0] || !m->sides[1]) return m->sides[0] ? m->sides[0] : m->sides[1];
    struct ir_value *args[3] = {branch->condition, m->sides[0], m->sides[1]};
    return scalar_op(s, OP_select, m->sides[0]->type, 3, args, branch->span);
}

/* Whether a value needs no region of the if to be computed. */
static bool outside(const struct merge *m) {
    for (int i = 0; i < 2; i++)
        if (m->sides[i] && m->sides[i]->op != OP_const) return false;
    return true;
}

static void finish(struct scalar *s, const struct scalar_if *branch, struct merge *merges, int n) {
    s->region = branch->parent;
    bool cheap = is_cheap(branch->arms[0], branch->arms[1]);
    if (cheap)
        for (int arm = 0; arm < 2; arm++) append(s, branch->parent, branch->arms[arm]);
    int n_yields = 0;
    struct ir_value **yields[2] = {ARENA_ARRAY(s->arena, struct ir_value *, n),
                                   ARENA_ARRAY(s->arena, struct ir_value *, n)};
    for (int i = 0; i < n; i++) {
        struct merge *m = &merges[i];
        if (cheap || outside(m) || m->sides[0] == m->sides[1]) continue;
        for (int arm = 0; arm < 2; arm++)
            yields[arm][n_yields] = m->sides[arm] ? m->sides[arm] : scalar_zero(s, m->sides[!arm]->type);
        n_yields++;
    }
    struct ir_value *node = NULL;
    if (!cheap) {
        node = body_op(s->arena, s->region, OP_if, TY_NONE, 1, &branch->condition, branch->span);
        for (int arm = 0; arm < 2; arm++) {
            node->regions[arm] = branch->arms[arm];
            body_set_results(s->arena, branch->arms[arm], n_yields, yields[arm]);
        }
    }
    for (int i = 0, k = 0; i < n; i++) {
        struct merge *m = &merges[i];
        if (cheap || outside(m) || m->sides[0] == m->sides[1]) {
            m->merged = select_merge(s, branch, m);
            continue;
        }
        m->merged = body_op(s->arena, s->region, OP_result, yields[0][k]->type, 1, &node, branch->span);
        m->merged->imm.i = k++;
    }
}

struct ir_value *scalar_side_as(struct scalar *s, const struct scalar_if *branch, int arm, const struct value *value,
                                enum dtype type) {
    /* What the arms made is found only from inside them. */
    struct ir_region *region = s->region;
    scalar_memo_forget(s, branch->memo);
    s->region = branch->arms[arm];
    struct ir_value *h = value_as(&s->emit, value, type);
    scalar_memo_forget(s, branch->memo);
    s->region = region;
    return h;
}

/* A changed slot: both sides as one type. The side's conversion, if any, is made in its arm. */
static bool merge_slot(struct scalar *s, const struct scalar_if *branch, int slot, struct value *const sides[2],
                       struct merge *m) {
    const struct value *some = sides[0] ? sides[0] : sides[1];
    *m = (struct merge){.slot = slot, .type = some->type};
    for (int i = 0; i < 2; i++) {
        if (!sides[i]) continue;
        if (sides[i]->kind != VALUE_NUMBER) return false;
        m->type = type_promote(m->type, sides[i]->type);
    }
    for (int i = 0; i < 2; i++) {
        if (!sides[i]) continue;
        m->sides[i] = scalar_side_as(s, branch, i, sides[i], m->type.dtype);
        if (!m->sides[i]) return false;
    }
    return true;
}

static bool same_constant(const struct value *a, const struct value *b) {
    if (!a || !b || !a->is_const || !b->is_const || a->type.weak != b->type.weak) return false;
    if (a->type.weak == WEAK_INT) return a->negative == b->negative && a->magnitude == b->magnitude;
    return memcmp(&a->real, &b->real, sizeof a->real) == 0;
}

void scalar_if_end(struct scalar *s, struct scalar_if *branch, int n, struct ir_value *const *then,
                   struct ir_value *const *otherwise, struct ir_value **merged) {
    close_arm(s, branch, 1);
    int n_merges = n, limit = n + branch->n_changes[0] + branch->n_changes[1];
    struct merge *merges = ARENA_ARRAY(s->arena, struct merge, limit);
    for (int i = 0; i < n; i++) merges[i] = (struct merge){.sides = {then[i], otherwise[i]}, .slot = -1};

    /* Both sides of every changed slot: what was before, where a side left it alone. */
    struct value **at[2] = {ARENA_ARRAY(s->arena, struct value *, limit), ARENA_ARRAY(s->arena, struct value *, limit)};
    int *slots = ARENA_ARRAY(s->arena, int, limit), n_slots = 0;
    s->stamp++;
    for (int arm = 0; arm < 2; arm++)
        for (int i = 0; i < branch->n_changes[arm]; i++) {
            const struct scalar_change *change = &branch->changes[arm][i];
            if (s->stamps[change->slot] != s->stamp) {
                s->stamps[change->slot] = s->stamp;
                s->positions[change->slot] = n_slots;
                slots[n_slots] = change->slot;
                at[0][n_slots] = at[1][n_slots] = change->before;
                n_slots++;
            }
            at[arm][s->positions[change->slot]] = change->value;
        }
    for (int i = 0; i < n_slots; i++) {
        struct value *sides[2] = {at[0][i], at[1][i]};
        if (sides[0] == sides[1] || same_constant(sides[0], sides[1])) {
            scalar_put(s, slots[i], *sides[0]);
            continue;
        }
        if (!merge_slot(s, branch, slots[i], sides, &merges[n_merges]))
            scalar_put(s, slots[i], value_error(branch->span));
        else
            n_merges++;
    }
    finish(s, branch, merges, n_merges);
    for (int i = 0; i < n; i++) merged[i] = merges[i].merged;
    for (int i = n; i < n_merges; i++)
        scalar_put(s, merges[i].slot, scalar_wrap(merges[i].merged, merges[i].type, branch->span));
}
