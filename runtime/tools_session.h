/* tools_session.h: a session's memory, and how a statement becomes a program of its own.
 *
 * Every statement of a session is compiled as a program: a prelude that declares what the session holds, then the
 * user's text with its other statements blanked out (so that lines and columns stay what they are), then a `return` of
 * what the statement assigned:
 *
 *     param weft_session_ = 0; k = 3; param x: f64[:]; ufunc sq(v) { return v*v }      <- the prelude, hidden bytes
 *     y = sq(x)*k                                                                      <- the user's text
 *     return y
 *
 * Arrays and strong scalars are typed inputs; weak scalars are written out, so they stay weak; functions are kept as
 * text. The prelude holds a param in any case, so an unknown name is an error, never an input.
 */
#ifndef RUNTIME_TOOLS_SESSION_H
#define RUNTIME_TOOLS_SESSION_H

#include "frontend/frontend.h"
#include "runtime/runtime.h"

/* A name of the session: a variable, or a function. Shared by the tables before and after a statement. */
struct session_item {
    int references;
    char *name;
    char *text;             /* of a function's definition; NULL: a variable */
    DLManagedTensor *value; /* of a variable */
    enum weakness weak;     /* `value` is then an i64 or f64 scalar */
};

struct session_table {
    struct session_item **items;
    int count, capacity;
};

const struct session_item *session_find(const struct session_table *table, const char *name);

/* What one statement needs and does. In the arena. */
struct session_unit {
    const struct ast_stmt *stmt; /* NULL: the text has only definitions */
    bool gives_values;           /* its outputs are the value to show */
    bool rebinds;        /* an assignment that is compiled without its targets: their number is yet to be checked */
    const char **names;  /* else: its outputs, in order: variables to keep */
    enum weakness *weak; /* and whether they stay weak */
    int n_names;
    char *source; /* the program */
    size_t length, hidden;
};

/* The program for statement `number` of ast->body (-1: for its definitions alone). `table` is the session before it. */
struct session_unit *session_unit(struct arena *arena, const struct ast_program *ast, int number,
                                  const struct session_table *table);

/* The whole text after a prelude, to look at its stages. */
struct session_unit *session_whole(struct arena *arena, const struct ast_program *ast,
                                   const struct session_table *table);

#endif
