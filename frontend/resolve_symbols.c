/* resolve_symbols.c: scopes, what each name may mean, suggestions for unknown ones. */
#include "frontend/resolve_state.h"

#include <string.h>

/* Interned names are equal if their pointers are; the arena's alignment leaves the low bits empty. */
static size_t symbols_hash(const char *name) {
    uint64_t hash = (uint64_t)(uintptr_t)name * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 20);
}

void resolve_report(struct resolver *r, enum diag_code code, struct span span, const char *format, ...) {
    va_list args;
    va_start(args, format);
    diag_vadd(r->diags, code, span, format, args);
    va_end(args);
}

/* --- scopes ------------------------------------------------------------------------------------------------------- */

int resolve_variable(const struct resolve_scope *scope, const char *name) {
    if (!scope->n_slots) {
        for (int i = 0; i < scope->n_variables; i++)
            if (scope->variables[i] == name) return i;
        return -1;
    }
    for (size_t at = symbols_hash(name);; at++) {
        int number = scope->slots[at & (size_t)(scope->n_slots - 1)] - 1;
        if (number < 0 || scope->variables[number] == name) return number;
    }
}

static void scope_enter(struct resolve_scope *scope, int number) {
    size_t at = symbols_hash(scope->variables[number]);
    while (scope->slots[at & (size_t)(scope->n_slots - 1)]) at++;
    scope->slots[at & (size_t)(scope->n_slots - 1)] = number + 1;
}

int resolve_add_variable(struct resolver *r, struct resolve_scope *scope, const char *name) {
    enum { SEARCHED = 8 }; /* a small scope needs no table */
    int number = resolve_variable(scope, name);
    if (number >= 0) return number;
    number = scope->n_variables;
    ARENA_PUSH(r->arena, scope->variables, scope->n_variables, scope->capacity) = name;
    if (scope->n_variables <= SEARCHED) return number;
    if (2 * scope->n_variables > scope->n_slots) {
        scope->n_slots = scope->n_slots ? 2 * scope->n_slots : 8 * SEARCHED;
        scope->slots = ARENA_ARRAY(r->arena, int, scope->n_slots);
        for (int i = 0; i < number; i++) scope_enter(scope, i);
    }
    scope_enter(scope, number);
    return number;
}

/* --- symbols ------------------------------------------------------------------------------------------------------ */

static struct resolve_symbol **symbols_find(struct resolver *r, const char *name) {
    for (size_t at = symbols_hash(name);; at++) {
        struct resolve_symbol **slot = &r->symbols[at & (r->n_slots - 1)];
        if (!*slot || (*slot)->name == name) return slot;
    }
}

struct resolve_symbol *resolve_symbol(struct resolver *r, const char *name) {
    struct resolve_symbol **slot = symbols_find(r, name);
    if (*slot) return *slot;
    if (2 * (r->n_symbols + 1) > r->n_slots) {
        struct resolve_symbol **old = r->symbols;
        size_t n_old = r->n_slots;
        r->n_slots *= 2;
        r->symbols = arena_array(r->arena, r->n_slots, sizeof(struct resolve_symbol *));
        for (size_t i = 0; i < n_old; i++)
            if (old[i]) *symbols_find(r, old[i]->name) = old[i];
        slot = symbols_find(r, name);
    }
    r->n_symbols++;
    *slot = ARENA_NEW(r->arena, struct resolve_symbol);
    (*slot)->name = name;
    return *slot;
}

/* The first meaning given to a name stays: built-ins before operations (`min`). */
static void symbols_define(struct resolver *r, const char *text, size_t length, enum name_kind kind, int index) {
    struct resolve_symbol *symbol = resolve_symbol(r, ast_name(r->arena, r->ast, text, length));
    if (symbol->builtin.kind != NAME_UNKNOWN) return;
    symbol->builtin = (struct resolve_name){kind, index};
    ARENA_PUSH(r->arena, r->language, r->n_language, r->language_capacity) = symbol;
}

static void symbols_define_words(struct resolver *r, const char *words, enum name_kind kind, int index) {
    while (words && *words) {
        size_t length = strcspn(words, " ");
        symbols_define(r, words, length, kind, index);
        words += length + (words[length] == ' ');
    }
}

/* Every name of the language gets its symbol, so that no other name has to be compared with them. */
void resolve_symbols_init(struct resolver *r) {
    r->n_slots = 1024;
    r->symbols = arena_array(r->arena, r->n_slots, sizeof(struct resolve_symbol *));
    for (int i = CONSTANT_PI; i <= CONSTANT_INF; i++)
        symbols_define_words(r, resolve_constant_name(i), NAME_CONSTANT, i);
    for (int i = TY_BOOL; i < TY_COUNT; i++) symbols_define_words(r, dtype_name((enum dtype)i), NAME_DTYPE, i);
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        symbols_define_words(r, builtin_info[i].name, NAME_BUILTIN, i);
        symbols_define_words(r, builtin_info[i].alias, NAME_BUILTIN, i);
    }
    for (int i = 0; i < OP_COUNT; i++) {
        if (op_info[i].rule == RULE_NONE) continue;
        if (!(op_info[i].flags & OPF_HIDDEN)) symbols_define_words(r, op_info[i].name, NAME_OP, i);
        symbols_define_words(r, op_info[i].alias, NAME_OP, i);
    }
}

/* --- suggestions -------------------------------------------------------------------------------------------------- */

static void symbols_offer(struct diag_suggest *suggest, const struct resolve_scope *scope) {
    for (int i = 0; i < scope->n_variables; i++) diag_suggest_offer(suggest, scope->variables[i]);
}

/* Names that can stand where this one does: functions where it is called, everything else where it is read. */
static const char *symbols_suggest(struct resolver *r, const struct resolve_scope *scope, const char *name, bool call) {
    struct diag_suggest suggest;
    diag_suggest_init(&suggest, name, strlen(name));
    if (scope && !call) symbols_offer(&suggest, scope);
    if (!call && scope != &r->resolve->top) symbols_offer(&suggest, &r->resolve->top);
    for (int i = 0; i < r->ast->n_functions; i++) diag_suggest_offer(&suggest, r->ast->functions[i]->name);
    for (int i = 0; i < r->n_language; i++) {
        const struct resolve_symbol *symbol = r->language[i];
        if (call && symbol->builtin.kind == NAME_CONSTANT) continue;
        if (symbol->builtin.kind == NAME_BUILTIN && builtin_info[symbol->builtin.index].group == BUILTIN_UNAVAILABLE)
            continue;
        diag_suggest_offer(&suggest, symbol->name);
    }
    return diag_suggest_best(&suggest);
}

/* Past the errors that are kept, suggestions are not worth their time. */
static bool symbols_full(const struct resolver *r) {
    return r->diags->dropped > 0;
}

void resolve_unknown(struct resolver *r, const struct resolve_scope *scope, const char *name, struct span span,
                     bool call) {
    struct resolve_symbol *symbol = resolve_symbol(r, name);
    if (symbol->reported) return;
    symbol->reported = true;
    const char *best = symbols_full(r) ? NULL : symbols_suggest(r, scope, name, call);
    const char *what = call ? "function" : "name";
    if (best)
        resolve_report(r, DIAG_NAME, span, "unknown %s `%s`; did you mean `%s`?", what, name, best);
    else
        resolve_report(r, DIAG_NAME, span, "unknown %s `%s`", what, name);
}

const char *resolve_hint(struct resolver *r, const char *name, const char *words) {
    struct diag_suggest suggest;
    diag_suggest_init(&suggest, name, strlen(name));
    while (words && *words) {
        size_t length = strcspn(words, " ");
        diag_suggest_offer(&suggest, arena_strndup(r->arena, words, length));
        words += length + (words[length] == ' ');
    }
    const char *best = diag_suggest_best(&suggest);
    return best ? arena_printf(r->arena, "; did you mean `%s`?", best) : "";
}
