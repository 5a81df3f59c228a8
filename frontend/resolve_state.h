/* resolve_state.h: what the files resolve*.c share; for nobody else.
 *
 *   resolve.c          the passes in order
 *   resolve_symbols.c  scopes, what each name may mean, suggestions
 *   resolve_declare.c  functions, assigned names, types; what this version cannot do at all
 *   resolve_inputs.c   params, defaults, free names
 *   resolve_names.c    the meaning of every name
 *   resolve_calls.c    arguments of calls
 *   resolve_graph.c    who calls whom: recursion, reads of the top level
 *   resolve_flow.c     names that may be unset, counts of results, outputs
 *
 * Statements nest at most as deep as the parser allows, so passes recurse over them; expressions are taken by id.
 */
#ifndef FRONTEND_RESOLVE_STATE_H
#define FRONTEND_RESOLVE_STATE_H

#include "frontend/resolve.h"
#include "ir/ops.h"

enum { RESOLVE_INPUTS = 1000, RESOLVE_READS = 250 }; /* most inputs of a program, most globals one function reads */

/* What a name stands for wherever it is written. */
struct resolve_symbol {
    const char *name;
    struct resolve_name builtin; /* NAME_UNKNOWN if it is no name of the language */
    const struct ast_function *function;
    bool top_assigned; /* the top level assigns to it, somewhere */
    bool seen_by_inputs;
    int assigned;  /* the last scope (its epoch) that assigns to it, somewhere */
    int seen;      /* the last scope (its epoch) whose walk has come past an assignment */
    int target_of; /* the last assignment (its epoch) that has it as a target */
    bool reported; /* as unknown */
};

/* How an expression is to be looked at; the default is to be read. */
enum resolve_role {
    ROLE_READ,
    ROLE_CALLEE,
    ROLE_DTYPE, /* the value of `dtype=` */
    ROLE_QUIET, /* an argument of something that is reported anyway: may be a function */
    ROLE_SKIP,  /* part of something that was reported */
};

/* What is kept about a function beyond its scope. */
struct resolve_function {
    uint32_t *sites; /* expression ids, beside scope->calls */
    int n_sites, sites_capacity;
    int effect; /* a builtin it has that is an effect (directly or through calls), or -1; asserts are BUILTIN_COUNT */
    int whole;  /* a builtin it has that works on whole arrays, likewise */
};

struct resolver {
    struct arena *arena;
    struct diag_list *diags;
    struct frontend_program *program;
    struct ast_program *ast;
    struct resolve *resolve;
    struct resolve_symbol **symbols; /* a hash table by the interned pointer */
    size_t n_slots, n_symbols;
    struct resolve_symbol **language; /* those of the language, in a fixed order */
    int n_language, language_capacity;
    unsigned char *roles; /* by expression id: enum resolve_role */
    struct resolve_function *functions;
    int *order; /* functions, callees first */
    int epoch;
    bool has_param, has_load, other_statements;
    bool free_names;           /* unknown names are inputs */
    const char **top_assigned; /* in order */
    int n_top_assigned, top_assigned_capacity;
};

/* Where a walk is. */
struct resolve_place {
    struct resolver *r;
    struct resolve_scope *scope;
    const struct ast_function *function; /* NULL: top level */
    int epoch;                           /* of this scope's walk */
    int loops;                           /* open ones */
    bool scanning;                       /* only noting what is assigned */
};

/* resolve_symbols.c */
void resolve_symbols_init(struct resolver *r);
struct resolve_symbol *resolve_symbol(struct resolver *r, const char *name);
/* The number of the variable, new if it has none. */
int resolve_add_variable(struct resolver *r, struct resolve_scope *scope, const char *name);
/* Reports an unknown name with a suggestion, each name once. */
void resolve_unknown(struct resolver *r, const struct resolve_scope *scope, const char *name, struct span span,
                     bool call);
/* "; did you mean `x`?" or "" among space-separated words. */
const char *resolve_hint(struct resolver *r, const char *name, const char *words);
void resolve_report(struct resolver *r, enum diag_code code, struct span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* resolve_declare.c */
void resolve_declare(struct resolver *r);
/* Roles of the expressions under `root`. True if index notation is among them, which was reported. */
bool resolve_roles(struct resolver *r, const struct ast_expr *root);
/* The element type as written; TY_NONE without one, or after reporting an unknown or unavailable one. */
enum dtype resolve_dtype(struct resolver *r, const char *name, struct span span);

/* resolve_inputs.c */
void resolve_inputs(struct resolver *r);
void resolve_formula_inputs(struct resolver *r);

/* resolve_names.c */
void resolve_names(struct resolver *r);
void resolve_expr(struct resolve_place *place, const struct ast_expr *root);

/* resolve_calls.c */
void resolve_call(struct resolve_place *place, const struct ast_expr *call);
const char *resolve_signature(struct resolver *r, const struct ast_function *function);

/* resolve_graph.c */
void resolve_graph(struct resolver *r);

/* resolve_flow.c */
void resolve_flow(struct resolver *r);

/* builtins.c */
bool resolve_word_among(const char *words, const char *word);
const char *resolve_constant_name(int index);

#endif
