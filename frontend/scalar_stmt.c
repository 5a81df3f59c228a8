/* scalar_stmt.c: statements inside a ufunc: assignments, branches, return, and what an exit leaves undone. */
#include "frontend/scalar_parts.h"

#include <string.h>

/* --- variables ---------------------------------------------------------------------------------------------------- */

void scalar_put(struct scalar *s, int slot, struct value value) {
    struct value *kept = ARENA_NEW(s->arena, struct value);
    *kept = value;
    kept->product = false;
    struct scalar_change change = {.slot = slot, .before = s->env[slot]};
    ARENA_PUSH(s->arena, s->journal, s->n_journal, s->journal_capacity) = change;
    s->env[slot] = kept;
}

/* The first value of a variable in this pass decides how its type goes on. */
static void first_value(struct scalar_join *join, const struct value *value, bool joins) {
    join->known = true;
    join->joins = joins || value->type.weak;
    join->type = value->type;
    join->type.rank = 0;
    if (join->joins && join->hinted) join->type = elementwise_join(join->type, join->hint);
}

/* True if a value of this type may be stored in a variable of type `to`. */
static bool converts(const struct value *value, enum dtype to) {
    if (value->type.weak == WEAK_FLOAT) return dtype_is_float(to);
    if (value->type.weak == WEAK_INT) return to != TY_BOOL;
    return dtype_converts_safely(value->type.dtype, to);
}

struct value scalar_as_type(struct scalar *s, const struct value *value, struct type type) {
    if (value->is_const && type.weak == value->type.weak) return *value;
    if (value->is_const && type.weak == WEAK_FLOAT) {
        double real = value->negative ? -(double)value->magnitude : (double)value->magnitude;
        return value_real(real, value->span);
    }
    struct ir_value *h = value_as(&s->emit, value, type.dtype);
    return h ? scalar_wrap(h, type, value->span) : value_error(value->span);
}

static bool is_number(struct scalar *s, const char *name, const struct value *value) {
    if (value->kind == VALUE_NUMBER) return true;
    if (value->kind == VALUE_ERROR) return false;
    if (value->kind == VALUE_WHOLE)
        diag_add(s->emit.diags, DIAG_TYPE, value->span,
                 "`%s` would be an array, and inside `%s` every variable is one element; index `%s`", name,
                 s->function->name, ast_text(s->arena, s->ast, value->span));
    else
        diag_add(s->emit.diags, DIAG_TYPE, value->span,
                 "`%s` would be %s, and inside `%s` every variable is one element", name,
                 value_type_text(s->arena, value), s->function->name);
    return false;
}

void scalar_assign(struct scalar *s, int slot, const char *name, const struct value *value) {
    struct scalar_join *join = &s->joins[slot];
    if (s->env[slot] && s->env[slot]->kind == VALUE_WHOLE) {
        diag_add(s->emit.diags, DIAG_TYPE, value->span, "`%s` is a whole array inside `%s` and cannot be assigned",
                 name, s->function->name);
        return;
    }
    if (!is_number(s, name, value)) {
        scalar_put(s, slot, value_error(value->span));
        return;
    }
    bool is_result = slot >= s->slot_results;
    if (!join->known) {
        first_value(join, value, is_result);
    } else if (join->joins) {
        struct type type = elementwise_join(join->type, value->type);
        if (type.dtype != join->type.dtype || type.weak != join->type.weak) {
            join->type = type;
            s->changed = true;
        }
    } else if (!converts(value, join->type.dtype)) {
        const char *have = dtype_name(join->type.dtype), *text = ast_text(s->arena, s->ast, value->span);
        diag_add(s->emit.diags, DIAG_TYPE, value->span,
                 "`%s` is %s, and `%s` is %s, which does not convert to it safely; write `%s(…)`", name, have, text,
                 value_type_text(s->arena, value), have);
        scalar_put(s, slot, value_error(value->span));
        return;
    }
    scalar_put(s, slot, scalar_as_type(s, value, join->type));
}

struct ir_value *scalar_slot_as(struct scalar *s, int slot, enum dtype type) {
    const struct value *v = s->env[slot];
    struct ir_value *h = v && v->kind == VALUE_NUMBER ? value_as(&s->emit, v, type) : NULL;
    return h ? h : scalar_zero(s, type);
}

static void put_flag(struct scalar *s, int slot, bool value) {
    scalar_put(s, slot, scalar_wrap(scalar_bool(s, value), (struct type){TY_BOOL, STRONG, 0}, (struct span){0, 0}));
}

/* --- assignment --------------------------------------------------------------------------------------------------- */

static void assign_target(struct scalar *s, const struct ast_expr *target, const struct value *value) {
    if (target->kind != AST_NAME) {
        diag_add(s->emit.diags, DIAG_TYPE, target->span,
                 "`%s` stores into an array, which `%s` cannot do; return the value",
                 ast_text(s->arena, s->ast, target->span), s->function->name);
        return;
    }
    int slot = resolve_variable(s->scope, target->name);
    if (slot >= 0) scalar_assign(s, slot, target->name, value);
}

static void assign(struct scalar *s, const struct ast_stmt *stmt) {
    int n = stmt->assign.n_targets;
    if (stmt->assign.define || stmt->assign.n_ranges) {
        diag_add(s->emit.diags, DIAG_UNSUPPORTED, stmt->span, "index notation is not available in this version");
        return;
    }
    if (stmt->assign.op != AST_OP_NONE) {
        const struct ast_expr *target = stmt->assign.targets[0];
        struct value old = value_error(target->span), value;
        if (target->kind == AST_NAME) old = scalar_expr(s, target);
        value = scalar_expr(s, stmt->assign.value);
        old.product = false;
        if (target->kind == AST_NAME) value = elementwise_binary(&s->emit, stmt->assign.op, &old, &value, stmt->span);
        assign_target(s, target, &value);
        return;
    }
    struct value value = scalar_expr(s, stmt->assign.value);
    if (n == 1) {
        assign_target(s, stmt->assign.targets[0], &value);
        return;
    }
    if (value.kind != VALUE_TUPLE || value.n_items != n) {
        if (value.kind != VALUE_ERROR)
            diag_add(s->emit.diags, DIAG_TYPE, stmt->span, "%d names are assigned, and `%s` is %s", n,
                     ast_text(s->arena, s->ast, stmt->assign.value->span), value_type_text(s->arena, &value));
        value = value_error(value.span);
    }
    for (int i = 0; i < n; i++)
        assign_target(s, stmt->assign.targets[i], value.kind == VALUE_TUPLE ? &value.items[i] : &value);
}

/* --- return ------------------------------------------------------------------------------------------------------- */

/* Result `i` as its declared type. */
static struct value declared_result(struct scalar *s, int i, const struct value *value) {
    const struct ast_type *declared = s->function->results[i];
    enum dtype dtype = declared->element ? dtype_from_name(declared->element) : TY_NONE;
    if (declared->is_array || dtype == TY_NONE || dtype == TY_F16) {
        diag_add(s->emit.diags, DIAG_TYPE, declared->span,
                 "`%s` gives one element: a result's type is one of bool, i8 … f64", s->function->name);
        return value_error(value->span);
    }
    if (!converts(value, dtype)) {
        diag_add(s->emit.diags, DIAG_TYPE, value->span,
                 "`%s` is %s, which does not convert safely to %s, the declared result of `%s`; write `%s(…)`",
                 ast_text(s->arena, s->ast, value->span), value_type_text(s->arena, value), dtype_name(dtype),
                 s->function->name, dtype_name(dtype));
        return value_error(value->span);
    }
    struct ir_value *h = value_as(&s->emit, value, dtype);
    return h ? scalar_wrap(h, (struct type){dtype, STRONG, 0}, value->span) : value_error(value->span);
}

void scalar_return(struct scalar *s, const struct value *value, struct span span) {
    int n = value->kind == VALUE_TUPLE ? value->n_items : 1;
    const struct value *items = value->kind == VALUE_TUPLE ? value->items : value;
    int expected = s->function->n_results ? s->function->n_results : s->n_results;
    if (n > SCALAR_MAX_RESULTS) {
        diag_add(s->emit.diags, DIAG_LIMIT, span, "more than %d results", SCALAR_MAX_RESULTS);
        n = SCALAR_MAX_RESULTS;
    }
    if (value->kind != VALUE_ERROR && expected >= 0 && n != expected) {
        diag_add(s->emit.diags, DIAG_TYPE, span, "`%s` returns %d value%s here and %d elsewhere", s->function->name, n,
                 n == 1 ? "" : "s", expected);
        if (n > expected) n = expected;
    } else if (value->kind != VALUE_ERROR) {
        s->n_results = n;
    }
    for (int i = 0; i < n; i++) {
        struct value item = items[i];
        const char *name = arena_printf(s->arena, "result %d of %s", i + 1, s->function->name);
        if (is_number(s, name, &item) && s->function->n_results) item = declared_result(s, i, &item);
        if (item.kind == VALUE_NUMBER)
            scalar_assign(s, s->slot_results + i, name, &item);
        else
            scalar_put(s, s->slot_results + i, value_error(item.span));
    }
    put_flag(s, s->slot_returned, true);
    for (int level = 0; level < s->loop_level; level++) {
        put_flag(s, scalar_slot_stop(s, level), true);
        put_flag(s, scalar_slot_skip(s, level), true);
    }
}

/* The flag that says whether the rest of a block is left out. */
static int leaving_slot(const struct scalar *s) {
    return s->loop_level ? scalar_slot_skip(s, s->loop_level - 1) : s->slot_returned;
}

/* --- branches ----------------------------------------------------------------------------------------------------- */

static void branch_from(struct scalar *s, const struct ast_stmt *stmt, int i) {
    if (i == stmt->branch.n_branches) {
        scalar_block(s, &stmt->branch.otherwise);
        return;
    }
    bool known;
    struct ir_value *cond = scalar_condition(s, stmt->branch.conditions[i], i ? "`elif`" : "`if`");
    if (!scalar_enter(s, stmt->span)) return;
    struct scalar_if branch;
    if (cond &&
        scalar_known(cond, &known)) { /* decided by a constant; the types are those of both sides all the same */
        if (known) scalar_block(s, &stmt->branch.bodies[i]);
        scalar_unused_begin(s, &branch, stmt->span);
        put_flag(s, leaving_slot(s), false);
        if (known)
            branch_from(s, stmt, i + 1);
        else
            scalar_block(s, &stmt->branch.bodies[i]);
        scalar_unused_end(s, &branch);
        if (!known) branch_from(s, stmt, i + 1);
        scalar_leave(s);
        return;
    }
    scalar_if_begin(s, &branch, cond ? cond : scalar_bool(s, false), stmt->branch.conditions[i]->span);
    scalar_block(s, &stmt->branch.bodies[i]);
    scalar_if_turn(s, &branch);
    branch_from(s, stmt, i + 1);
    scalar_if_end(s, &branch, 0, NULL, NULL, NULL);
    scalar_leave(s);
}

static void statement(struct scalar *s, const struct ast_stmt *stmt) {
    struct value v;
    switch (stmt->kind) {
    case AST_ASSIGN: assign(s, stmt); break;
    case AST_EXPR: scalar_expr(s, stmt->expr); break;
    case AST_IF: branch_from(s, stmt, 0); break;
    case AST_WHILE: scalar_while(s, stmt); break;
    case AST_FOR: scalar_for(s, stmt); break;
    case AST_BREAK:
        put_flag(s, scalar_slot_stop(s, s->loop_level - 1), true);
        put_flag(s, scalar_slot_skip(s, s->loop_level - 1), true);
        break;
    case AST_CONTINUE: put_flag(s, scalar_slot_skip(s, s->loop_level - 1), true); break;
    case AST_RETURN:
        if (stmt->expr) {
            v = scalar_expr(s, stmt->expr);
        } else {
            diag_add(s->emit.diags, DIAG_TYPE, stmt->span, "`%s` has to return a value", s->function->name);
            v = value_error(stmt->span);
        }
        scalar_return(s, &v, stmt->span);
        break;
    case AST_ASSERT:
        diag_add(s->emit.diags, DIAG_TYPE, stmt->span, "`assert` is an effect and cannot stand inside `%s`",
                 s->function->name);
        break;
    case AST_PARAM:
    case AST_FUNCTION: break; /* top level only: the parser sees to it */
    }
}

static void statements(struct scalar *s, const struct ast_block *block, int i);

/* What stands after a `return`, `break` or `continue` that is always reached: only its types count. */
static void ruled_out(struct scalar *s, const struct ast_block *block, int i) {
    struct scalar_if branch;
    scalar_unused_begin(s, &branch, block->items[i]->span);
    put_flag(s, leaving_slot(s), false);
    statements(s, block, i);
    scalar_unused_end(s, &branch);
}

/* Statements from `i` on, until one of them may have left the block in some lanes; then the rest is made under a guard,
 * nested while that is shallow, then one guard after the other. */
static void statements(struct scalar *s, const struct ast_block *block, int i) {
    int slot = leaving_slot(s);
    for (; i < block->count; i++) {
        const struct value *flag = s->env[slot];
        bool known = true, left = false;
        if (flag && flag->kind == VALUE_NUMBER) known = scalar_known(flag->scalar, &left);
        if (s->elab->ufuncs->out_of_values) return;
        if (known && left) {
            if (!s->unused) ruled_out(s, block, i);
            return;
        }
        if (known) {
            statement(s, block->items[i]);
            continue;
        }
        struct scalar_if guard;
        struct ir_value *on = scalar_op(s, OP_not, TY_BOOL, 1, &flag->scalar, block->items[i]->span);
        bool nested = s->n_guards < SCALAR_MAX_GUARDS && scalar_enter(s, block->items[i]->span);
        scalar_if_begin(s, &guard, on, block->items[i]->span);
        put_flag(s, slot, false);
        if (nested) {
            s->n_guards++;
            statements(s, block, i);
            s->n_guards--;
            scalar_leave(s);
        } else {
            /* Up to the next statement that may leave. */
            for (bool more = true; more && i < block->count; i++) {
                statement(s, block->items[i]);
                more = scalar_known(s->env[slot]->scalar, &left) && !left && i + 1 < block->count;
                if (!more) break;
            }
        }
        scalar_if_turn(s, &guard);
        put_flag(s, slot, true);
        scalar_if_end(s, &guard, 0, NULL, NULL, NULL);
        if (nested) return;
    }
}

void scalar_block(struct scalar *s, const struct ast_block *block) {
    if (!scalar_enter(s, block->span)) return;
    statements(s, block, 0);
    scalar_leave(s);
}
