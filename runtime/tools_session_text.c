/* tools_session_text.c: from a statement and a session to a program. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "frontend/parser.h"
#include "runtime/tools_session.h"

/* Names, each once. Interned or not: compared as text. */
struct name_set {
    const char **items;
    int count, capacity;
};

struct composer {
    struct arena *arena;
    const struct ast_program *ast;
    const struct session_table *table;
    struct name_set reads;    /* names of the session, and functions of the text, that the program mentions */
    int expanded;             /* of `reads`: those whose functions' bodies were looked at */
    struct name_set assigned; /* names that the statement gives a value, on some path at least */
};

static bool set_has(const struct name_set *set, const char *name) {
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->items[i], name) == 0) return true;
    return false;
}

static void set_add(struct arena *arena, struct name_set *set, const char *name) {
    if (!set_has(set, name)) ARENA_PUSH(arena, set->items, set->count, set->capacity) = name;
}

/* --- what a statement assigns ------------------------------------------------------------------------------------- */

static void assigned_block(struct arena *arena, const struct ast_block *block, struct name_set *set);

static void assigned_stmt(struct arena *arena, const struct ast_stmt *stmt, struct name_set *set) {
    switch (stmt->kind) {
    case AST_ASSIGN:
        for (int i = 0; i < stmt->assign.n_targets; i++) {
            const struct ast_expr *target = stmt->assign.targets[i];
            if (target->kind == AST_INDEX) target = target->index.base;
            if (target->kind == AST_NAME) set_add(arena, set, target->name);
        }
        break;
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) assigned_block(arena, &stmt->branch.bodies[i], set);
        assigned_block(arena, &stmt->branch.otherwise, set);
        break;
    case AST_FOR:
        set_add(arena, set, stmt->loop.name);
        assigned_block(arena, &stmt->loop.body, set);
        break;
    case AST_WHILE: assigned_block(arena, &stmt->loop.body, set); break;
    case AST_PARAM: set_add(arena, set, stmt->param.name); break;
    default: break;
    }
}

static void assigned_block(struct arena *arena, const struct ast_block *block, struct name_set *set) {
    for (int i = 0; i < block->count; i++) assigned_stmt(arena, block->items[i], set);
}

/* True if the name has a value after the statement whatever path was taken. */
static bool surely_assigned(const struct ast_stmt *stmt, const char *name);

static bool surely_assigned_block(const struct ast_block *block, const char *name) {
    for (int i = 0; i < block->count; i++)
        if (surely_assigned(block->items[i], name)) return true;
    return false;
}

static bool surely_assigned(const struct ast_stmt *stmt, const char *name) {
    switch (stmt->kind) {
    case AST_ASSIGN:
        for (int i = 0; i < stmt->assign.n_targets; i++) {
            const struct ast_expr *target = stmt->assign.targets[i];
            if (target->kind == AST_NAME && strcmp(target->name, name) == 0) return true;
        }
        return false;
    case AST_IF:
        if (!stmt->branch.has_else || !surely_assigned_block(&stmt->branch.otherwise, name)) return false;
        for (int i = 0; i < stmt->branch.n_branches; i++)
            if (!surely_assigned_block(&stmt->branch.bodies[i], name)) return false;
        return true;
    case AST_PARAM: return strcmp(stmt->param.name, name) == 0;
    default: return false;
    }
}

/* --- what it reads ------------------------------------------------------------------------------------------------ */

static void read_name(struct composer *c, const char *name);

static void read_exprs(struct composer *c, const struct ast_program *ast, uint32_t first, uint32_t end,
                       const struct name_set *local) {
    for (uint32_t id = first; id < end; id++) {
        const struct ast_expr *expr = ast->exprs[id];
        if (expr->kind == AST_NAME && !(local && set_has(local, expr->name))) read_name(c, expr->name);
    }
}

static void read_expr(struct composer *c, const struct ast_expr *expr) {
    if (expr) read_exprs(c, c->ast, expr->first_id, expr->id + 1, NULL);
}

static void read_function(struct composer *c, const struct ast_program *ast, const struct ast_function *function) {
    struct name_set local = {0};
    for (int i = 0; i < function->n_parameters; i++) set_add(c->arena, &local, function->parameters[i].name);
    assigned_block(c->arena, &function->body, &local);
    read_exprs(c, ast, function->first_id, function->end_id, &local);
}

/* The function that the text itself defines under this name. */
static const struct ast_function *own_function(const struct composer *c, const char *name) {
    for (int i = 0; i < c->ast->n_functions; i++)
        if (strcmp(c->ast->functions[i]->name, name) == 0) return c->ast->functions[i];
    return NULL;
}

static void read_name(struct composer *c, const char *name) {
    if (own_function(c, name) || session_find(c->table, name)) set_add(c->arena, &c->reads, name);
}

/* A function brings in what its body mentions, and so on. A list, no recursion: chains may be long. */
static void read_through_functions(struct composer *c) {
    for (; c->expanded < c->reads.count; c->expanded++) {
        const char *name = c->reads.items[c->expanded];
        const struct ast_function *own = own_function(c, name);
        const struct session_item *item = session_find(c->table, name);
        if (own) read_function(c, c->ast, own);
        if (own || !item->text) continue;
        struct diag_list ignored; /* it was understood when it was defined */
        diag_init(&ignored, c->arena, "", item->text, strlen(item->text));
        const struct ast_program *ast = parser_parse(c->arena, item->text, strlen(item->text), NULL, &ignored);
        for (int k = 0; k < ast->n_functions; k++) read_function(c, ast, ast->functions[k]);
    }
}

static void read_block(struct composer *c, const struct ast_block *block);

static void read_stmt(struct composer *c, const struct ast_stmt *stmt) {
    switch (stmt->kind) {
    case AST_ASSIGN:
        read_expr(c, stmt->assign.value);
        for (int i = 0; i < stmt->assign.n_targets; i++)
            if (stmt->assign.op != AST_OP_NONE || (stmt->assign.targets[i]->kind == AST_INDEX && !stmt->assign.define))
                read_expr(c, stmt->assign.targets[i]);
        for (int i = 0; i < stmt->assign.n_ranges; i++) {
            read_expr(c, stmt->assign.ranges[i].start);
            read_expr(c, stmt->assign.ranges[i].stop);
        }
        break;
    case AST_EXPR:
    case AST_RETURN: read_expr(c, stmt->expr); break;
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) {
            read_expr(c, stmt->branch.conditions[i]);
            read_block(c, &stmt->branch.bodies[i]);
        }
        read_block(c, &stmt->branch.otherwise);
        break;
    case AST_WHILE:
        read_expr(c, stmt->loop.condition);
        read_block(c, &stmt->loop.body);
        break;
    case AST_FOR:
        read_expr(c, stmt->loop.start);
        read_expr(c, stmt->loop.stop);
        read_expr(c, stmt->loop.step);
        read_block(c, &stmt->loop.body);
        break;
    case AST_ASSERT: read_expr(c, stmt->assertion.condition); break;
    case AST_PARAM: read_expr(c, stmt->param.value); break;
    case AST_BREAK:
    case AST_CONTINUE: break;
    case AST_FUNCTION: read_function(c, c->ast, stmt->function); break;
    }
}

static void read_block(struct composer *c, const struct ast_block *block) {
    for (int i = 0; i < block->count; i++) read_stmt(c, block->items[i]);
}

/* --- weakness ----------------------------------------------------------------------------------------------------- */

static enum weakness weak_join(enum weakness a, enum weakness b) {
    return a == STRONG || b == STRONG ? STRONG : a == WEAK_FLOAT || b == WEAK_FLOAT ? WEAK_FLOAT : WEAK_INT;
}

/* Names assigned by the statement, with what is known of them so far; others are looked up in the session. */
struct weak_names {
    const char **names;
    enum weakness *weak;
    bool *known; /* false: not assigned yet in the walk; joins as nothing */
    int count;
};

static int weak_index(const struct weak_names *w, const char *name) {
    for (int i = 0; i < w->count; i++)
        if (strcmp(w->names[i], name) == 0) return i;
    return -1;
}

static enum weakness weak_name(const struct composer *c, const struct weak_names *w, const char *name) {
    int i = weak_index(w, name);
    if (i >= 0 && w->known[i]) return w->weak[i];
    const struct session_item *item = session_find(c->table, name);
    if (item) return item->weak;
    if (!strcmp(name, "pi") || !strcmp(name, "e") || !strcmp(name, "nan") || !strcmp(name, "inf")) return WEAK_FLOAT;
    return STRONG;
}

/* The language's rule: literals, constants, sizes, loop indices, and expressions of only these. */
static enum weakness weak_expr(const struct composer *c, const struct weak_names *w, const struct ast_expr *expr) {
    if (expr->height > 64) return STRONG; /* nobody writes a constant like that */
    switch (expr->kind) {
    case AST_INT: return WEAK_INT;
    case AST_FLOAT: return WEAK_FLOAT;
    case AST_NAME: return weak_name(c, w, expr->name);
    case AST_UNARY: return expr->op == AST_NOT ? STRONG : weak_expr(c, w, expr->unary.operand);
    case AST_BINARY: {
        enum weakness both = weak_join(weak_expr(c, w, expr->binary.left), weak_expr(c, w, expr->binary.right));
        return both != STRONG && expr->op == AST_DIV ? WEAK_FLOAT : both;
    }
    case AST_CONDITIONAL: /* of a run-time condition it is computed: the value is strong */ return STRONG;
    case AST_CALL: {
        if (expr->call.callee->kind != AST_NAME || session_find(c->table, expr->call.callee->name)) return STRONG;
        const char *name = expr->call.callee->name;
        if (own_function(c, name)) return STRONG;
        if (!strcmp(name, "len")) return WEAK_INT;
        enum op op = op_from_name(name);
        if (op == OP_COUNT || expr->call.n_arguments == 0) return STRONG;
        enum weakness all = WEAK_INT;
        for (int i = 0; i < expr->call.n_arguments; i++)
            all = weak_join(all, weak_expr(c, w, expr->call.arguments[i].value));
        bool to_float = op_info[op].rule == RULE_FLOAT || op_info[op].rule == RULE_DIVIDE;
        return all != STRONG && to_float ? WEAK_FLOAT : all;
    }
    case AST_INDEX: {
        const struct ast_expr *base = expr->index.base; /* x.shape[0] */
        return base->kind == AST_ATTRIBUTE && !strcmp(base->attribute.name, "shape") ? WEAK_INT : STRONG;
    }
    default: return STRONG;
    }
}

/* Joins what the statement assigns into w; true if something changed. */
static bool weak_block(const struct composer *c, struct weak_names *w, const struct ast_block *block);

static bool weak_set(struct weak_names *w, const char *name, enum weakness value) {
    int i = weak_index(w, name);
    if (i < 0) return false;
    enum weakness joined = w->known[i] ? weak_join(w->weak[i], value) : value;
    bool changed = !w->known[i] || joined != w->weak[i];
    w->known[i] = true;
    w->weak[i] = joined;
    return changed;
}

static bool weak_stmt(const struct composer *c, struct weak_names *w, const struct ast_stmt *stmt) {
    bool changed = false;
    switch (stmt->kind) {
    case AST_ASSIGN: {
        const struct ast_expr *value = stmt->assign.value;
        bool tuple = value->kind == AST_TUPLE && value->list.count == stmt->assign.n_targets;
        for (int i = 0; i < stmt->assign.n_targets; i++) {
            const struct ast_expr *target = stmt->assign.targets[i];
            if (target->kind != AST_NAME) continue;
            bool sizes = value->kind == AST_ATTRIBUTE && !strcmp(value->attribute.name, "shape");
            enum weakness weak = tuple                        ? weak_expr(c, w, value->list.items[i])
                                 : stmt->assign.n_targets > 1 ? (sizes ? WEAK_INT : STRONG)
                                                              : weak_expr(c, w, value);
            if (stmt->assign.op != AST_OP_NONE) weak = weak_join(weak, weak_name(c, w, target->name));
            if (weak != STRONG && stmt->assign.op == AST_DIV) weak = WEAK_FLOAT;
            changed |= weak_set(w, target->name, weak);
        }
        break;
    }
    case AST_IF:
        for (int i = 0; i < stmt->branch.n_branches; i++) changed |= weak_block(c, w, &stmt->branch.bodies[i]);
        changed |= weak_block(c, w, &stmt->branch.otherwise);
        break;
    case AST_FOR:
        changed |= weak_set(w, stmt->loop.name, WEAK_INT);
        changed |= weak_block(c, w, &stmt->loop.body);
        break;
    case AST_WHILE: changed |= weak_block(c, w, &stmt->loop.body); break;
    case AST_PARAM: {
        bool adapts = !stmt->param.type && stmt->param.value;
        changed |= weak_set(w, stmt->param.name, adapts ? weak_expr(c, w, stmt->param.value) : STRONG);
        break;
    }
    default: break;
    }
    return changed;
}

static bool weak_block(const struct composer *c, struct weak_names *w, const struct ast_block *block) {
    bool changed = false;
    for (int i = 0; i < block->count; i++) changed |= weak_stmt(c, w, block->items[i]);
    return changed;
}

/* --- composing ---------------------------------------------------------------------------------------------------- */

static void write_weak(struct strbuf *out, const struct session_item *item) {
    const void *data = item->value->dl_tensor.data;
    if (item->weak == WEAK_INT) {
        int64_t value;
        memcpy(&value, data, sizeof value);
        if (value == INT64_MIN)
            strbuf_printf(out, "%s = -%" PRId64 " - 1; ", item->name, INT64_MAX); /* its magnitude is no i64 */
        else
            strbuf_printf(out, "%s = %" PRId64 "; ", item->name, value);
        return;
    }
    double value;
    memcpy(&value, data, sizeof value);
    char digits[40];
    snprintf(digits, sizeof digits, "%.17g", value);
    bool plain = strspn(digits, "-0123456789") == strlen(digits);
    strbuf_printf(out, "%s = %s%s; ", item->name, digits[0] == '-' && value != value ? digits + 1 : digits,
                  plain ? ".0" : "");
}

static void write_typed(struct strbuf *out, const struct session_item *item) {
    const DLTensor *tensor = &item->value->dl_tensor;
    strbuf_printf(out, "param %s: %s", item->name, dtype_name(tensor_dtype(tensor)));
    for (int d = 0; d < tensor->ndim; d++) strbuf_puts(out, d ? ", :" : "[:");
    strbuf_puts(out, tensor->ndim ? "]; " : "; ");
}

/* Everything but the names in `without`, which the text gives a value before it reads them, and functions that it does
 * not need. */
static void write_prelude(const struct composer *c, const struct name_set *without, struct strbuf *out) {
    strbuf_puts(out, "param weft_session_ = 0; ");
    const struct session_table *table = c->table;
    for (int i = 0; i < table->count; i++) {
        const struct session_item *item = table->items[i];
        if (item->text || own_function(c, item->name) || set_has(without, item->name)) continue;
        if (item->weak)
            write_weak(out, item);
        else
            write_typed(out, item);
    }
    for (int i = 0; i < table->count; i++) {
        const struct session_item *item = table->items[i];
        if (!item->text || set_has(without, item->name) || !set_has(&c->reads, item->name)) continue;
        if (!own_function(c, item->name)) strbuf_printf(out, "\n%s", item->text);
    }
    strbuf_putc(out, '\n');
}

/* The user's text up to `end` with nothing left but statement `number`, from its byte `skip` on, and the definitions
 * before it that it needs (number -1: all), each at its place. */
static void write_blanked(const struct composer *c, int number, size_t skip, size_t end, struct strbuf *out) {
    const struct ast_program *ast = c->ast;
    char *text = ARENA_ARRAY(out->arena, char, end + 1);
    for (size_t at = 0; at < end; at++) text[at] = ast->text[at] == '\n' ? '\n' : ' ';
    for (int i = 0; i < ast->body.count; i++) {
        const struct ast_stmt *stmt = ast->body.items[i];
        size_t first = stmt->span.offset, past = first + stmt->span.length;
        bool needed = stmt->kind == AST_FUNCTION && (number < 0 || set_has(&c->reads, stmt->function->name));
        if (past > end || (i != number && !needed)) continue;
        if (i == number) first += skip;
        memcpy(text + first, ast->text + first, past - first);
        if (past < end && text[past] == ' ') text[past] = ';'; /* what separated it was blanked, too */
    }
    strbuf_add(out, text, end);
}

/* `x = f32(x)`: in a program x keeps its type; in a session the name is free to become something else. Such a statement
 * is compiled as its value alone. */
static bool is_rebinding(const struct composer *c, const struct ast_stmt *stmt) {
    if (stmt->kind != AST_ASSIGN || stmt->assign.op != AST_OP_NONE || stmt->assign.define || stmt->assign.n_ranges)
        return false;
    bool reads_target = false;
    for (int i = 0; i < stmt->assign.n_targets; i++) {
        if (stmt->assign.targets[i]->kind != AST_NAME) return false;
        reads_target |= set_has(&c->reads, stmt->assign.targets[i]->name);
    }
    return reads_target;
}

static struct session_unit *finish_unit(struct session_unit *unit, struct strbuf *source) {
    unit->source = (char *)strbuf_text(source);
    unit->length = source->length;
    return unit;
}

struct session_unit *session_unit(struct arena *arena, const struct ast_program *ast, int number,
                                  const struct session_table *table) {
    struct composer c = {.arena = arena, .ast = ast, .table = table};
    struct session_unit *unit = ARENA_NEW(arena, struct session_unit);
    const struct ast_stmt *stmt = unit->stmt = number >= 0 ? ast->body.items[number] : NULL;
    size_t end = stmt ? stmt->span.offset + (size_t)stmt->span.length : ast->length;

    if (stmt) read_stmt(&c, stmt);
    for (int i = 0; !stmt && i < ast->n_functions; i++) read_function(&c, ast, ast->functions[i]);
    read_through_functions(&c);
    if (stmt) assigned_stmt(arena, stmt, &c.assigned);
    unit->gives_values = stmt && (stmt->kind == AST_EXPR || stmt->kind == AST_RETURN);
    unit->rebinds = stmt && is_rebinding(&c, stmt);

    /* What is given a new value without being read may change its type: it is left out of the prelude. */
    struct name_set without = {0};
    struct weak_names w = {.names = ARENA_ARRAY(arena, const char *, c.assigned.count + 1),
                           .weak = ARENA_ARRAY(arena, enum weakness, c.assigned.count + 1),
                           .known = ARENA_ARRAY(arena, bool, c.assigned.count + 1)};
    for (int i = 0; i < c.assigned.count; i++) {
        const char *name = c.assigned.items[i];
        bool sure = surely_assigned(stmt, name);
        const struct session_item *item = session_find(table, name);
        if (sure && !unit->rebinds && !set_has(&c.reads, name)) set_add(arena, &without, name);
        if (sure || (item && !item->text)) {
            w.names[w.count] = name;
            w.known[w.count] = !unit->rebinds && !set_has(&without, name) && item;
            w.weak[w.count++] = item ? item->weak : STRONG;
        } else {
            set_add(arena, &without, name);
        }
    }
    if (stmt)
        while (weak_stmt(&c, &w, stmt)) continue;
    unit->names = w.names;
    unit->weak = w.weak;
    unit->n_names = w.count;

    struct strbuf source;
    strbuf_init(&source, arena);
    write_prelude(&c, &without, &source);
    /* Definitions that follow the statement: it may call them. They cannot stand after its value. */
    for (int i = number + 1; stmt && i < ast->body.count; i++) {
        const struct span span = ast->body.items[i]->span;
        if (ast->body.items[i]->kind != AST_FUNCTION || !set_has(&c.reads, ast->body.items[i]->function->name))
            continue;
        strbuf_add(&source, ast->text + span.offset, span.length);
        strbuf_putc(&source, '\n');
    }
    unit->hidden = source.length;
    size_t skip = unit->rebinds ? stmt->assign.value->span.offset - stmt->span.offset : 0;
    write_blanked(&c, number, skip, end, &source);
    if (!unit->gives_values && !unit->rebinds) {
        for (int i = 0; i < unit->n_names; i++) strbuf_printf(&source, "%s%s", i ? ", " : "\nreturn ", unit->names[i]);
        if (!unit->n_names) strbuf_puts(&source, "\nweft_session_"); /* a program has an output, or an effect */
    }
    return finish_unit(unit, &source);
}

struct session_unit *session_whole(struct arena *arena, const struct ast_program *ast,
                                   const struct session_table *table) {
    struct composer c = {.arena = arena, .ast = ast, .table = table};
    struct session_unit *unit = ARENA_NEW(arena, struct session_unit);
    struct name_set without = {0};
    for (int i = 0; i < ast->n_functions; i++) read_function(&c, ast, ast->functions[i]);
    for (int i = 0; i < ast->body.count; i++) {
        const struct ast_stmt *stmt = ast->body.items[i];
        struct name_set assigned = {0};
        read_stmt(&c, stmt);
        read_through_functions(&c);
        assigned_stmt(arena, stmt, &assigned);
        for (int k = 0; k < assigned.count; k++)
            if (surely_assigned(stmt, assigned.items[k]) && !set_has(&c.reads, assigned.items[k]))
                set_add(arena, &without, assigned.items[k]);
    }
    struct strbuf source;
    strbuf_init(&source, arena);
    write_prelude(&c, &without, &source);
    unit->hidden = source.length;
    strbuf_add(&source, ast->text, ast->length);
    return finish_unit(unit, &source);
}
