/* resolve.h: what names mean, before any types: inputs and outputs, which built-in or function a call means, what a
 * function reads from the top level, whether a name may be read unset. One pass per program; the tables are read-only
 * afterwards.
 */
#ifndef FRONTEND_RESOLVE_H
#define FRONTEND_RESOLVE_H

#include "frontend/frontend.h"

enum name_kind {
    NAME_UNKNOWN,  /* an error was reported */
    NAME_INPUT,    /* index: number of the input (until the program assigns to that name: then a variable that starts as
                      the input) */
    NAME_VARIABLE, /* a variable of the enclosing function or of the top level; index: dense within it */
    NAME_GLOBAL,   /* inside a function: a top-level variable or input; index: that variable's number at top level */
    NAME_CONSTANT, /* pi e nan inf: index is enum resolve_constant */
    NAME_DTYPE,    /* f64 ...: index is the dtype; as a callee: a conversion */
    NAME_FUNCTION, /* index into ast->functions */
    NAME_BUILTIN,  /* index into the table of builtins.def */
    NAME_OP,       /* a row of ops.def: index is enum op */
    NAME_SIZE,     /* a symbolic size of the enclosing function's signature or of params; index: variable number as
                      NAME_VARIABLE. One that its scope assigns to is a NAME_VARIABLE that starts as the size. Read in a
                      function, a size of the top level's params is NAME_GLOBAL */
};

enum resolve_constant { CONSTANT_PI, CONSTANT_E, CONSTANT_NAN, CONSTANT_INF };

struct resolve_name {
    enum name_kind kind;
    int index;
};

/* A scope: the top level (function == NULL) or one function. Its variables are, in this order: the inputs or
 * parameters, so that an input's number is its variable's number, too; the symbolic sizes of their types; all assigned
 * names and loop indices. A source of definitions only (resolve->entry) has no variables at top level. */
struct resolve_scope {
    const struct ast_function *function;
    const char **variables;
    int n_variables, capacity;
    int n_sizes; /* variables[first_size ... first_size + n_sizes) */
    int first_size;
    int *slots, n_slots; /* resolve_variable's: a hash table of numbers + 1, 0 where free */
    int *reads; /* functions: top-level variables read, directly or through the functions it calls; each once */
    int n_reads, reads_capacity;
    int *calls; /* functions called, for recursion; indices into ast->functions */
    int n_calls, calls_capacity;
    int n_results; /* of a function: values returned; 0: none; -1: only known with the types (`return x.shape`) */
};

struct resolve {
    struct resolve_name *names; /* by expression id: meaning of AST_NAME expressions (callees and targets, too) */
    struct resolve_scope top;
    struct resolve_scope *functions; /* by ast_function.index */
    /* Loop indices by name: resolve_variable gives their number. */
    const struct ast_function *entry; /* source of definitions only: the last function is the program; else NULL */
    /* Where the outputs come from when the program runs to its end; both NULL if only `return` gives outputs, or none.
     * A formula has `result` only. */
    const struct ast_expr *result;      /* of an AST_EXPR, the expression; NULL for an AST_ASSIGN */
    const struct ast_stmt *result_stmt; /* the last statement but definitions and params: AST_EXPR, or an AST_ASSIGN
                                           whose targets are the outputs */
};

/* Number of a variable in a scope, -1 if it is none. `name` is interned in the program. */
int resolve_variable(const struct resolve_scope *scope, const char *name);

/* Fills program->inputs, outputs, typed, has_effects, resolve; with program->formula set, of ast->expression alone,
 * whose inputs are the formula's. Adds names to the program's table, so the tree is not const yet. Reports unknown
 * names with suggestions, wrong arity of program functions and ops.def rows, recursion, duplicate definitions and
 * parameters, unset reads, `return` that disagrees in count, effects and stores inside a ufunc, built-ins that are
 * known but not available ("... is not available in this version"). False if it reported anything. */
bool resolve_program(struct frontend_program *program, struct ast_program *ast, struct arena *arena,
                     struct diag_list *diags);

/* Built-in functions that are no row of ops.def (reductions, shape, creation, effects). */
enum builtin_group {
    BUILTIN_REDUCE, /* min, max of several arguments (elementwise) and dot, too */
    BUILTIN_CREATE,
    BUILTIN_SHAPE,
    BUILTIN_EFFECT,
    BUILTIN_OTHER,       /* len */
    BUILTIN_UNAVAILABLE, /* known to the language, not in this version: any use is an error that says so */
};
enum builtin {
#define BUILTIN(name, ...) BUILTIN_##name,
#include "frontend/builtins.def"
#undef BUILTIN
    BUILTIN_COUNT
};
struct builtin_info {
    const char *name;
    const char *alias; /* NumPy's names, space separated */
    enum builtin_group group;
    int min_args, max_args; /* positional; max -1: any number */
    const char *keywords;   /* allowed keywords, space separated, or NULL */
    const char *signature;  /* "sum(x, axis=, keepdims=)" */
    const char *doc;        /* one line */
};
extern const struct builtin_info builtin_info[BUILTIN_COUNT];
/* The built-in of this name or alias, or BUILTIN_COUNT. `min` and `max` are built-ins here, not rows of ops.def. */
enum builtin builtin_from_name(const char *name);

#endif
