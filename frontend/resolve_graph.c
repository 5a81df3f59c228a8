/* resolve_graph.c: who calls whom. Puts functions in an order with callees first, finds recursion, and carries up what
 * a function reads of the top level, its effects and its whole-array operations.
 */
#include "frontend/resolve_state.h"

struct graph_walk {
    struct resolver *r;
    unsigned char *state; /* by function */
    int *stack, *next;    /* the functions being visited, and by function the next of their calls */
    int depth, n_ordered;
    int *mark; /* by top-level variable: 1 + the function whose reads have it */
};

enum { GRAPH_NEW, GRAPH_OPEN, GRAPH_DONE };

/* The call from the innermost open function leads back to `to`, which is open, too. */
static void graph_cycle(struct graph_walk *walk, int to, uint32_t site) {
    enum { SHOWN = 6 };
    struct resolver *r = walk->r;
    struct strbuf path;
    int start = walk->depth - 1;
    if (r->diags->dropped > 0) to = walk->stack[start]; /* only counted: the way is not worth its time */
    while (walk->stack[start] != to) start--;
    strbuf_init(&path, r->arena);
    int length = walk->depth - start;
    for (int i = 0; i < length; i++) {
        if (i == SHOWN && length > SHOWN + 1) {
            strbuf_puts(&path, "... calls ");
            i = length - 1;
        }
        strbuf_printf(&path, "`%s` calls ", r->ast->functions[walk->stack[start + i]]->name);
    }
    const char *name = r->ast->functions[to]->name;
    if (length == 1)
        resolve_report(r, DIAG_TYPE, r->ast->exprs[site]->span, "recursion is not possible: `%s` calls itself", name);
    else
        resolve_report(r, DIAG_TYPE, r->ast->exprs[site]->span, "recursion is not possible: %s`%s`", strbuf_text(&path),
                       name);
}

static void graph_visit(struct graph_walk *walk, int root) {
    struct resolver *r = walk->r;
    if (walk->state[root] != GRAPH_NEW) return;
    walk->stack[walk->depth++] = root;
    walk->state[root] = GRAPH_OPEN;
    while (walk->depth > 0) {
        int at = walk->stack[walk->depth - 1];
        const struct resolve_scope *scope = &r->resolve->functions[at];
        if (walk->next[at] == scope->n_calls) {
            walk->state[at] = GRAPH_DONE;
            r->order[walk->n_ordered++] = at;
            walk->depth--;
            continue;
        }
        int call = walk->next[at]++;
        int to = scope->calls[call];
        if (walk->state[to] == GRAPH_OPEN) {
            graph_cycle(walk, to, r->functions[at].sites[call]);
        } else if (walk->state[to] == GRAPH_NEW) {
            walk->state[to] = GRAPH_OPEN;
            walk->stack[walk->depth++] = to;
        }
    }
}

static const char *graph_builtin(int builtin) {
    return builtin == BUILTIN_COUNT ? "assert" : builtin_info[builtin].name;
}

/* A ufunc calls what no ufunc could do. */
static void graph_check_ufunc(struct resolver *r, const struct ast_function *caller, int callee, uint32_t site) {
    const struct resolve_function *called = &r->functions[callee];
    const struct ast_function *function = r->ast->functions[callee];
    if (!caller->is_ufunc || function->is_ufunc) return;
    struct span span = r->ast->exprs[site]->span;
    if (called->effect >= 0)
        resolve_report(r, DIAG_TYPE, span, "a ufunc has no effects, but `%s` uses `%s`", function->name,
                       graph_builtin(called->effect));
    else if (called->whole >= 0)
        resolve_report(r, DIAG_TYPE, span, "a ufunc sees one element, but `%s` uses `%s`, which works on whole arrays",
                       function->name, graph_builtin(called->whole));
}

static void graph_carry_up(struct graph_walk *walk, int index) {
    struct resolver *r = walk->r;
    struct resolve_scope *scope = &r->resolve->functions[index];
    const struct ast_function *function = r->ast->functions[index];
    for (int i = 0; i < scope->n_reads; i++) walk->mark[scope->reads[i]] = index + 1;
    for (int call = 0; call < scope->n_calls; call++) {
        const struct resolve_scope *callee = &r->resolve->functions[scope->calls[call]];
        struct resolve_function *mine = &r->functions[index], *theirs = &r->functions[scope->calls[call]];
        if (mine->effect < 0) mine->effect = theirs->effect;
        if (mine->whole < 0 && !callee->function->is_ufunc) mine->whole = theirs->whole;
        graph_check_ufunc(r, function, scope->calls[call], mine->sites[call]);
        for (int i = 0; i < callee->n_reads; i++) {
            int number = callee->reads[i];
            if (walk->mark[number] == index + 1) continue;
            walk->mark[number] = index + 1;
            if (scope->n_reads == RESOLVE_READS) {
                resolve_report(r, DIAG_LIMIT, function->name_span, "`%s` reads more than %d names of the top level",
                               function->name, RESOLVE_READS);
                return;
            }
            ARENA_PUSH(r->arena, scope->reads, scope->n_reads, scope->reads_capacity) = number;
        }
    }
}

/* Each function is called once in the list; the checks of single calls are done. */
static void graph_call_once(struct graph_walk *walk, int index, int *seen) {
    struct resolve_scope *scope = &walk->r->resolve->functions[index];
    struct resolve_function *function = &walk->r->functions[index];
    int kept = 0;
    for (int i = 0; i < scope->n_calls; i++) {
        if (seen[scope->calls[i]] == index + 1) continue;
        seen[scope->calls[i]] = index + 1;
        scope->calls[kept] = scope->calls[i];
        function->sites[kept++] = function->sites[i];
    }
    scope->n_calls = function->n_sites = kept;
}

void resolve_graph(struct resolver *r) {
    int n = r->ast->n_functions;
    struct graph_walk walk = {.r = r};
    int *seen = ARENA_ARRAY(r->arena, int, n);
    walk.state = ARENA_ARRAY(r->arena, unsigned char, n);
    walk.stack = ARENA_ARRAY(r->arena, int, n);
    walk.next = ARENA_ARRAY(r->arena, int, n);
    walk.mark = ARENA_ARRAY(r->arena, int, r->resolve->top.n_variables);
    r->order = ARENA_ARRAY(r->arena, int, n);
    for (int i = 0; i < n; i++) graph_call_once(&walk, i, seen);
    for (int i = 0; i < n; i++) graph_visit(&walk, i);
    for (int i = 0; i < n; i++) graph_carry_up(&walk, r->order[i]);
}
