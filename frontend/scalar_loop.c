/* scalar_loop.c: while and for. A loop carries exactly the variables that are assigned inside it, and the flags that
 * its break and return need.
 */
#include "frontend/scalar_parts.h"

/* What leaves a block, not counting break and continue of loops inside it. */
struct exits {
    bool breaks, continues, returns;
};

static void find_exits(const struct ast_block *block, bool inner, struct exits *exits) {
    for (int i = 0; i < block->count; i++) {
        const struct ast_stmt *stmt = block->items[i];
        switch (stmt->kind) {
        case AST_BREAK: exits->breaks |= !inner; break;
        case AST_CONTINUE: exits->continues |= !inner; break;
        case AST_RETURN: exits->returns = true; break;
        case AST_WHILE:
        case AST_FOR: find_exits(&stmt->loop.body, true, exits); break;
        case AST_IF:
            for (int k = 0; k < stmt->branch.n_branches; k++) find_exits(&stmt->branch.bodies[k], inner, exits);
            find_exits(&stmt->branch.otherwise, inner, exits);
            break;
        default: break;
        }
    }
}

int scalar_loop_depth(const struct ast_block *block) {
    int depth = 0;
    for (int i = 0; i < block->count; i++) {
        const struct ast_stmt *stmt = block->items[i];
        int here = 0;
        if (stmt->kind == AST_WHILE || stmt->kind == AST_FOR) here = 1 + scalar_loop_depth(&stmt->loop.body);
        if (stmt->kind == AST_IF) {
            here = scalar_loop_depth(&stmt->branch.otherwise);
            for (int k = 0; k < stmt->branch.n_branches; k++) {
                int in_branch = scalar_loop_depth(&stmt->branch.bodies[k]);
                if (in_branch > here) here = in_branch;
            }
        }
        if (here > depth) depth = here;
    }
    return depth;
}

/* The loop being made. Carried: the counter of a `for` first, then the slots. */
struct loop {
    int level;
    struct exits exits;
    bool uses_stop;
    struct span span;
    int *slots, n_slots, capacity;
    struct type *types; /* by position in `slots` */
    int n_extra;        /* 1: a counter */
    struct ir_region *regions[2];
    struct ir_region *parent;
};

static void carry(struct scalar *s, struct loop *loop, int slot) {
    if (slot < 0 || s->stamps[slot] == s->stamp) return;
    s->stamps[slot] = s->stamp;
    if (s->env[slot] && s->env[slot]->kind == VALUE_WHOLE) return; /* reported where it is assigned */
    ARENA_PUSH(s->arena, loop->slots, loop->n_slots, loop->capacity) = slot;
}

static void carry_assigned(struct scalar *s, struct loop *loop, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) {
        const struct ast_stmt *stmt = block->items[i];
        switch (stmt->kind) {
        case AST_ASSIGN:
            for (int k = 0; k < stmt->assign.n_targets; k++)
                if (stmt->assign.targets[k]->kind == AST_NAME)
                    carry(s, loop, resolve_variable(s->scope, stmt->assign.targets[k]->name));
            break;
        case AST_FOR: carry(s, loop, resolve_variable(s->scope, stmt->loop.name)); /* fall through */
        case AST_WHILE: carry_assigned(s, loop, &stmt->loop.body); break;
        case AST_IF:
            for (int k = 0; k < stmt->branch.n_branches; k++) carry_assigned(s, loop, &stmt->branch.bodies[k]);
            carry_assigned(s, loop, &stmt->branch.otherwise);
            break;
        default: break;
        }
    }
}

static const struct type bool_type = {TY_BOOL, STRONG, 0};

/* The type in which a slot is carried; TY_NONE: unknown in this pass, so it is not, and there will be another pass. */
static struct type carried_type(const struct scalar *s, int slot) {
    if (slot >= s->n_variables && slot < s->slot_results) return bool_type;
    const struct scalar_join *join = &s->joins[slot];
    if (join->known) return join->type;
    return join->hinted ? join->hint : (struct type){TY_NONE, STRONG, 0};
}

/* Starts the loop's regions. `first` is the initial value of the counter, or NULL. */
static void loop_begin(struct scalar *s, struct loop *loop, const struct ast_stmt *stmt, struct ir_value *first,
                       struct ir_value ***initial) {
    *loop = (struct loop){.level = s->loop_level, .span = stmt->span, .n_extra = first != NULL, .parent = s->region};
    find_exits(&stmt->loop.body, false, &loop->exits);
    loop->uses_stop = loop->exits.breaks || loop->exits.returns;
    s->stamp++;
    carry_assigned(s, loop, &stmt->loop.body);
    if (stmt->kind == AST_FOR) carry(s, loop, resolve_variable(s->scope, stmt->loop.name));
    if (loop->uses_stop) {
        scalar_put(s, scalar_slot_stop(s, loop->level), scalar_wrap(scalar_bool(s, false), bool_type, stmt->span));
        carry(s, loop, scalar_slot_stop(s, loop->level));
    }
    if (loop->exits.returns) {
        carry(s, loop, s->slot_returned);
        for (int level = 0; level < loop->level; level++) {
            carry(s, loop, scalar_slot_stop(s, level));
            carry(s, loop, scalar_slot_skip(s, level));
        }
        int n = s->n_results > 0 ? s->n_results : s->scope->n_results;
        for (int i = 0; i < n && i < SCALAR_MAX_RESULTS; i++) carry(s, loop, s->slot_results + i);
    }
    int kept = 0;
    loop->types = ARENA_ARRAY(s->arena, struct type, loop->n_slots);
    for (int i = 0; i < loop->n_slots; i++) {
        struct type type = carried_type(s, loop->slots[i]);
        if (type.dtype == TY_NONE) continue;
        loop->types[kept] = type;
        loop->slots[kept++] = loop->slots[i];
    }
    loop->n_slots = kept;
    int n = loop->n_extra + loop->n_slots;
    enum dtype *types = ARENA_ARRAY(s->arena, enum dtype, n);
    *initial = ARENA_ARRAY(s->arena, struct ir_value *, n);
    for (int i = 0; i < n; i++) {
        types[i] = i < loop->n_extra ? first->type : loop->types[i - loop->n_extra].dtype;
        (*initial)[i] = i < loop->n_extra ? first : scalar_slot_as(s, loop->slots[i - loop->n_extra], types[i]);
    }
    for (int r = 0; r < 2; r++) loop->regions[r] = body_region(s->arena, n, types);
}

/* Enters region r: its parameters are the variables. */
static void region_enter(struct scalar *s, const struct loop *loop, int r) {
    s->region = loop->regions[r];
    for (int i = 0; i < loop->n_slots; i++)
        scalar_put(s, loop->slots[i], scalar_wrap(s->region->params[loop->n_extra + i], loop->types[i], loop->span));
}

static void region_leave(struct scalar *s, const struct loop *loop, int journal, int memo) {
    struct scalar_change *changes;
    scalar_take_changes(s, journal, &changes);
    scalar_memo_forget(s, memo);
    s->region = loop->parent;
}

/* The condition: `on`, made by the caller inside region 0, once the loop has not been stopped. */
static struct ir_value *unless_stopped(struct scalar *s, const struct loop *loop, const struct ast_expr *expr,
                                       struct ir_value *on) {
    struct ir_value *stop = loop->uses_stop ? s->env[scalar_slot_stop(s, loop->level)]->scalar : NULL;
    if (!stop) return expr ? scalar_condition(s, expr, "`while`") : on;
    struct ir_value *go = scalar_op(s, OP_not, TY_BOOL, 1, &stop, loop->span);
    if (!expr) return scalar_op(s, OP_and, TY_BOOL, 2, (struct ir_value *[]){on, go}, loop->span);
    struct scalar_if branch;
    scalar_if_begin(s, &branch, go, loop->span);
    struct ir_value *then = scalar_condition(s, expr, "`while`"), *otherwise = scalar_bool(s, false), *merged;
    bool good = then != NULL;
    if (!good) then = otherwise;
    scalar_if_turn(s, &branch);
    scalar_if_end(s, &branch, 1, &then, &otherwise, &merged);
    return good ? merged : NULL;
}

/* The body, in region 1; the counter's next value comes from the caller. */
static void loop_body(struct scalar *s, struct loop *loop, const struct ast_stmt *stmt, struct ir_value *next) {
    int guards = s->n_guards;
    struct value off = scalar_wrap(scalar_bool(s, false), bool_type, stmt->span);
    if (loop->uses_stop) scalar_put(s, scalar_slot_stop(s, loop->level), off);
    scalar_put(s, scalar_slot_skip(s, loop->level), off);
    s->loop_level++;
    s->n_guards = 0;
    scalar_block(s, &stmt->loop.body);
    s->n_guards = guards;
    s->loop_level--;
    int n = loop->n_extra + loop->n_slots;
    struct ir_value **results = ARENA_ARRAY(s->arena, struct ir_value *, n);
    if (next) results[0] = next;
    for (int i = 0; i < loop->n_slots; i++)
        results[loop->n_extra + i] = scalar_slot_as(s, loop->slots[i], loop->types[i].dtype);
    body_set_results(s->arena, loop->regions[1], n, results);
}

static void loop_end(struct scalar *s, struct loop *loop, struct ir_value *const *initial, int journal) {
    int n = loop->n_extra + loop->n_slots;
    /* What the body learned of slots whose types were unknown, or other, when the loop began. */
    for (int i = 0; i < loop->n_slots; i++) {
        struct type now = carried_type(s, loop->slots[i]);
        if (now.dtype != loop->types[i].dtype || now.weak != loop->types[i].weak) s->changed = true;
    }
    struct scalar_change *changes;
    int n_changes = scalar_take_changes(s, journal, &changes);
    s->stamp++;
    for (int i = 0; i < loop->n_slots; i++) s->stamps[loop->slots[i]] = s->stamp;
    for (int i = 0; i < n_changes; i++) {
        int slot = changes[i].slot;
        bool own_flag = slot >= scalar_slot_stop(s, loop->level) && slot < s->slot_results;
        if (s->stamps[slot] != s->stamp && !own_flag && carried_type(s, slot).dtype != TY_NONE) s->changed = true;
    }
    s->region = loop->parent;
    struct ir_value *node = body_op(s->arena, s->region, OP_loop, TY_NONE, n, initial, loop->span);
    node->regions[0] = loop->regions[0];
    node->regions[1] = loop->regions[1];
    for (int i = 0; i < loop->n_slots; i++) {
        struct ir_value *h = body_op(s->arena, s->region, OP_result, loop->types[i].dtype, 1, &node, loop->span);
        h->imm.i = loop->n_extra + i;
        bool failed = s->env[loop->slots[i]] && s->env[loop->slots[i]]->kind == VALUE_ERROR;
        scalar_put(s, loop->slots[i], failed ? value_error(loop->span) : scalar_wrap(h, loop->types[i], loop->span));
    }
}

void scalar_while(struct scalar *s, const struct ast_stmt *stmt) {
    struct loop loop;
    struct ir_value **initial;
    loop_begin(s, &loop, stmt, NULL, &initial);
    int journal = s->n_journal, memo = s->memo.count;
    region_enter(s, &loop, 0);
    struct ir_value *on = unless_stopped(s, &loop, stmt->loop.condition, NULL);
    if (!on) on = scalar_bool(s, false);
    body_set_results(s->arena, loop.regions[0], 1, &on);
    region_leave(s, &loop, journal, memo);
    region_enter(s, &loop, 1);
    loop_body(s, &loop, stmt, NULL);
    scalar_memo_forget(s, memo);
    loop_end(s, &loop, initial, journal);
    /* while true without break ends by return alone. */
    const struct ast_expr *condition = stmt->loop.condition;
    if (condition->kind == AST_BOOL && condition->boolean && loop.exits.returns && !loop.exits.breaks) {
        struct value on_value = scalar_wrap(scalar_bool(s, true), bool_type, stmt->span);
        scalar_put(s, s->slot_returned, on_value);
        for (int level = 0; level < s->loop_level; level++) scalar_put(s, scalar_slot_skip(s, level), on_value);
    }
}

/* --- for ---------------------------------------------------------------------------------------------------------- */

/* A bound as an i64; NULL after a message. */
static struct ir_value *bound(struct scalar *s, const struct ast_expr *expr, const char *what, struct value *value) {
    *value = scalar_expr(s, expr);
    if (value->kind == VALUE_ERROR) return NULL;
    if (value->kind == VALUE_NUMBER && dtype_is_int(value->type.dtype)) return value_as(&s->emit, value, TY_I64);
    diag_add(s->emit.diags, DIAG_TYPE, expr->span, "the %s of `for` is an integer, and `%s` is %s", what,
             ast_text(s->arena, s->ast, expr->span), value_type_text(s->arena, value));
    return NULL;
}

static struct ir_value *op2(struct scalar *s, enum op op, enum dtype type, struct ir_value *a, struct ir_value *b,
                            struct span span) {
    return scalar_op(s, op, type, 2, (struct ir_value *[]){a, b}, span);
}

static struct ir_value *as_u64(struct scalar *s, struct ir_value *x, struct span span) {
    return scalar_op(s, OP_convert, TY_U64, 1, &x, span);
}

/* How often a loop of this step runs, in u64, where no difference overflows: 0 for a step of 0. */
static struct ir_value *trip_count(struct scalar *s, struct ir_value *start, struct ir_value *stop,
                                   struct ir_value *step, struct span span) {
    struct ir_value *zero = scalar_zero(s, TY_I64), *none = scalar_zero(s, TY_U64),
                    *one = s->emit.constant_int(s, TY_U64, 1);
    struct ir_value *up = op2(s, OP_gt, TY_BOOL, step, zero, span), *args[3];
    args[0] = up, args[1] = op2(s, OP_lt, TY_BOOL, start, stop, span),
    args[2] = op2(s, OP_gt, TY_BOOL, start, stop, span);
    struct ir_value *runs = scalar_op(s, OP_select, TY_BOOL, 3, args, span);
    runs = op2(s, OP_and, TY_BOOL, runs, op2(s, OP_ne, TY_BOOL, step, zero, span), span);
    struct ir_value *from = as_u64(s, start, span), *to = as_u64(s, stop, span), *by = as_u64(s, step, span);
    args[1] = op2(s, OP_sub, TY_U64, to, from, span), args[2] = op2(s, OP_sub, TY_U64, from, to, span);
    struct ir_value *distance = scalar_op(s, OP_select, TY_U64, 3, args, span);
    args[1] = by, args[2] = op2(s, OP_sub, TY_U64, none, by, span);
    struct ir_value *stride = scalar_op(s, OP_select, TY_U64, 3, args, span);
    struct ir_value *count = op2(s, OP_floordiv, TY_U64, op2(s, OP_sub, TY_U64, distance, one, span), stride, span);
    args[0] = runs, args[1] = op2(s, OP_add, TY_U64, count, one, span), args[2] = none;
    return scalar_op(s, OP_select, TY_U64, 3, args, span);
}

void scalar_for(struct scalar *s, const struct ast_stmt *stmt) {
    struct value a, b, c = value_int(1, stmt->span);
    struct span span = stmt->loop.name_span;
    struct ir_value *start = bound(s, stmt->loop.start, "start", &a), *stop = bound(s, stmt->loop.stop, "end", &b);
    struct ir_value *step = stmt->loop.step ? bound(s, stmt->loop.step, "step", &c) : NULL;
    if (stmt->loop.step && step && c.is_const && c.magnitude == 0) {
        diag_add(s->emit.diags, DIAG_VALUE, stmt->loop.step->span, "the step of `for` is 0");
        step = NULL;
    }
    if (!start || !stop || (stmt->loop.step && !step)) {
        /* Go on with something, for the errors in the body. */
        start = stop = scalar_zero(s, TY_I64);
        step = NULL;
        c = value_int(1, stmt->span);
    }
    bool by_one = c.is_const && c.magnitude == 1 && !c.negative;
    /* Steps of 1 count with the index itself; others count rounds, which cannot overflow. */
    struct ir_value *count = by_one ? stop : trip_count(s, start, stop, step, span);
    struct ir_value *first = by_one ? start : scalar_zero(s, TY_U64), **initial;
    struct loop loop;
    loop_begin(s, &loop, stmt, first, &initial);
    int journal = s->n_journal, memo = s->memo.count, slot = resolve_variable(s->scope, stmt->loop.name);
    region_enter(s, &loop, 0);
    struct ir_value *counter = loop.regions[0]->params[0];
    struct ir_value *on = op2(s, OP_lt, TY_BOOL, counter, count, span);
    on = unless_stopped(s, &loop, NULL, on);
    body_set_results(s->arena, loop.regions[0], 1, &on);
    region_leave(s, &loop, journal, memo);

    region_enter(s, &loop, 1);
    counter = loop.regions[1]->params[0];
    struct ir_value *index = counter;
    if (!by_one) {
        struct ir_value *rounds = scalar_op(s, OP_convert, TY_I64, 1, &counter, span);
        index = op2(s, OP_add, TY_I64, start, op2(s, OP_mul, TY_I64, rounds, step, span), span);
    }
    struct ir_value *one = s->emit.constant_int(s, counter->type, 1);
    struct ir_value *next = op2(s, OP_add, counter->type, counter, one, span);
    struct value value = scalar_weak_int(index, span);
    if (slot >= 0) scalar_assign(s, slot, stmt->loop.name, &value);
    loop_body(s, &loop, stmt, next);
    scalar_memo_forget(s, memo);
    loop_end(s, &loop, initial, journal);
}
