/* ast.h: a program as the parser understood it, before names and types mean anything.
 *
 * Ownership. Every node, list and string lives in the arena given to parser_parse and dies with it; nothing is ever
 * freed alone. After parsing, the tree is read-only: the checker keeps what it learns in side tables indexed by
 * `ast_expr.id`, one table for each instance of a generic function, so that one tree serves many signatures.
 *
 * Names (`const char *name`) are NUL-terminated and interned: inside one program two names are equal if and only if
 * their pointers are. Names from elsewhere (built-ins, a host's inputs) are compared with strcmp, or interned once
 * with ast_name.
 *
 * Ids. Expressions are numbered 0 .. program->n_exprs-1 in post-order: an operand's id is smaller than the id of the
 * expression it belongs to, and the nodes of one subtree are consecutive (`first_id` .. `id`). program->exprs[id]
 * is the node. So a pass over expressions can be a plain loop over ids, without recursion. Targets of assignments
 * have ids too, smaller than those of the value.
 *
 * Depth. Brackets, blocks, prefix operators, `**` and `a if c else b` nest at most parser_limits.nesting deep. Only
 * the *first* operand of AST_BINARY, AST_LOGICAL, AST_CHAIN, AST_CALL, AST_INDEX and AST_ATTRIBUTE (a long sum:
 * `a + b + c + …`) can go deeper, up to parser_limits.height. A pass that recurses must loop along that edge, or
 * work by ids as above. `height` is the height of the subtree (a leaf has 1).
 *
 * Spans. A node's span covers all its text, enclosing parentheses included, so that the text of an operand can be
 * quoted in a message: ast_text(program, expr->span).
 *
 * Errors. The parser drops statements that it could not understand (after reporting them); what is in the tree is
 * complete: no pointer documented as set is NULL. Check a program only if the parser reported nothing.
 */
#ifndef FRONTEND_AST_H
#define FRONTEND_AST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/strbuf.h"

/* Operators, for AST_UNARY, AST_BINARY, AST_CHAIN, AST_LOGICAL and the compound forms of AST_ASSIGN.
 * `-` is one name for the unary and the binary one. */
enum ast_op {
    AST_OP_NONE = 0, /* no operator: plain `=` */
    AST_ADD,         /* +  (also unary) */
    AST_SUB,         /* -  (also unary) */
    AST_MUL,         /* * */
    AST_DIV,         /* / */
    AST_FLOORDIV,    /* // */
    AST_MOD,         /* % */
    AST_MATMUL,      /* @ */
    AST_POW,         /* ** */
    AST_SHL,         /* << */
    AST_SHR,         /* >> */
    AST_BITAND,      /* & */
    AST_BITXOR,      /* ^ */
    AST_BITOR,       /* | */
    AST_INVERT,      /* ~  (unary only) */
    AST_NOT,         /* not (unary only) */
    AST_EQ,          /* ==  (chains only, down to AST_GE) */
    AST_NE,          /* != */
    AST_LT,          /* < */
    AST_LE,          /* <= */
    AST_GT,          /* > */
    AST_GE,          /* >= */
    AST_AND,         /* and (AST_LOGICAL only) */
    AST_OR,          /* or */
    AST_N_OPS,
};

/* As written in the source: "+", "//", "not". "" for AST_OP_NONE. */
const char *ast_op_text(enum ast_op op);

enum ast_expr_kind {
    AST_INT,         /* 42  100_000  0xff  0b1010: .integer. Never negative: `-1` is AST_UNARY of 1 */
    AST_FLOAT,       /* 2.5  1e-3  1.: .real, finite */
    AST_BOOL,        /* true false: .boolean */
    AST_STRING,      /* "text": .string, escapes decoded. Only as an argument of a call and as the text of `assert` */
    AST_NAME,        /* x, and also nan inf pi e f64 …, which the checker knows: .name */
    AST_UNARY,       /* - + ~ not: op, .unary */
    AST_BINARY,      /* arithmetic, shifts, bits: op, op_span, .binary */
    AST_LOGICAL,     /* and or: op, op_span, .binary */
    AST_CHAIN,       /* one or several comparisons, a < b or a < x <= b: .chain. Each operand is evaluated once */
    AST_CONDITIONAL, /* a if c else b: .conditional */
    AST_CALL,        /* f(x, axis=0), sum[k](…): .call */
    AST_INDEX,       /* x[…]: .index */
    AST_ATTRIBUTE,   /* x.shape: .attribute */
    AST_ARRAY,       /* [1, 2, 3]; rows nest: .list. May be empty */
    AST_TUPLE,       /* (a, b), (a,), and the bare lists of `a, b = b, a` and `return a, b`: .list. Never empty */
};

/* One argument of a call. Positional ones come first; a keyword appears once. */
struct ast_argument {
    const char *keyword;      /* NULL: positional */
    struct span keyword_span; /* of the keyword's name */
    struct ast_expr *value;
};

enum ast_subscript_kind {
    AST_SUB_EXPR,     /* x[i]: .expr */
    AST_SUB_SLICE,    /* x[start:stop:step]: each may be NULL; x[:] has none */
    AST_SUB_NONE,     /* x[None]: a new axis */
    AST_SUB_ELLIPSIS, /* x[...]: as many `:` as are missing. The parser does not check that there is only one */
};

struct ast_subscript {
    enum ast_subscript_kind kind;
    struct span span;
    struct ast_expr *expr;
    struct ast_expr *start, *stop, *step;
};

/* An index of index notation, in `sum[k, j in 0:w](…)` or in the suffix `for i in a:b, j in c:d`. */
struct ast_index_range {
    const char *name;
    struct span name_span, span;
    struct ast_expr *start, *stop; /* both NULL: the range follows from the subscripts */
};

struct ast_expr {
    enum ast_expr_kind kind;
    enum ast_op op;
    struct span span;
    struct span op_span;   /* of the operator, for AST_UNARY, AST_BINARY and AST_LOGICAL */
    uint32_t id, first_id; /* see the head of the file */
    uint32_t height;
    union {
        uint64_t integer;
        double real;
        bool boolean;
        struct {
            const char *text; /* NUL-terminated, holds no other NUL */
            size_t length;
        } string;
        const char *name;
        struct {
            struct ast_expr *operand;
        } unary;
        struct {
            struct ast_expr *left, *right;
        } binary;
        struct {
            struct ast_expr **operands; /* n_operands >= 2 */
            enum ast_op *ops;           /* ops[i] stands between operands i and i+1 */
            struct span *op_spans;
            int n_operands;
        } chain;
        struct {
            struct ast_expr *condition, *then,
                *otherwise; /* ids in the order of the text: then, condition, otherwise */
        } conditional;
        struct {
            struct ast_expr *callee; /* any expression; AST_NAME in every program that makes sense */
            struct ast_argument *arguments;
            int n_arguments, n_positional;
            struct ast_index_range *indices; /* sum[k](…): the reduction indices; the callee is then an AST_NAME */
            int n_indices;                   /* 0: an ordinary call */
        } call;
        struct {
            struct ast_expr *base;
            struct ast_subscript *subscripts; /* at least one */
            int n_subscripts;
        } index;
        struct {
            struct ast_expr *base;
            const char *name; /* "shape", "T", "dtype": not checked */
            struct span name_span;
        } attribute;
        struct {
            struct ast_expr **items;
            int count;
        } list;
    };
};

/* A type as written: f64, f32[h, w], [n], f64[:, :], [n, 3]. */
enum ast_dim_kind {
    AST_DIM_NAME,    /* n: a symbolic size */
    AST_DIM_INTEGER, /* 3 */
    AST_DIM_ANY,     /* : */
};

struct ast_dim {
    enum ast_dim_kind kind;
    struct span span;
    const char *name;
    int64_t size; /* 0 .. INT64_MAX */
};

struct ast_type {
    struct span span;
    const char *element; /* "f64": any name, not checked; NULL: any element type (only with brackets) */
    struct span element_span;
    bool is_array; /* brackets were written: passed whole. Otherwise a scalar */
    struct ast_dim *dims;
    int n_dims; /* at least 1 if is_array, else 0 */
};

struct ast_parameter {
    const char *name;
    struct span name_span, span;
    struct ast_type *type; /* NULL: generic */
};

struct ast_block {
    struct ast_stmt **items;
    int count;
    struct span span; /* with its braces */
};

/* `fn` or `ufunc`. */
struct ast_function {
    const char *name;
    struct span name_span, span; /* span: the whole definition */
    bool is_ufunc;
    struct ast_parameter *parameters; /* names differ */
    int n_parameters;
    struct ast_type **results; /* what follows `->` */
    int n_results;             /* 0: nothing was written */
    struct ast_expr *value;    /* fn f(x) = value; then the body is empty. NULL: a block */
    struct ast_block body;
    uint32_t first_id, end_id; /* the expressions inside have ids first_id <= id < end_id */
    int index;                 /* program->functions[index] is this one */
};

enum ast_stmt_kind {
    AST_ASSIGN,   /* a = …; a, x[i] = …; a += …; C[i, j] := …: .assign */
    AST_EXPR,     /* an expression alone, for its value or its effect; a bare list is an AST_TUPLE: .expr */
    AST_IF,       /* if / elif / else: .branch */
    AST_WHILE,    /* .loop: condition, body */
    AST_FOR,      /* for i in start:stop:step: .loop: name, start, stop, step, body */
    AST_BREAK,    /* only inside a loop (the parser checks) */
    AST_CONTINUE, /* likewise */
    AST_RETURN,   /* .expr, a tuple for several; NULL for a bare `return` */
    AST_ASSERT,   /* .assertion */
    AST_PARAM,    /* param x: f32[n]; param k = 3.0: .param. Top level only (the parser checks) */
    AST_FUNCTION, /* fn, ufunc: .function. Top level only (the parser checks) */
};

struct ast_stmt {
    enum ast_stmt_kind kind;
    struct span span;
    union {
        struct {
            struct ast_expr **targets; /* AST_NAME, or AST_INDEX of an AST_NAME; names written twice are not checked */
            int n_targets;             /* 1 unless op is AST_OP_NONE and not `define` */
            enum ast_op op;            /* AST_OP_NONE: `=` or `:=`; AST_ADD: `+=`; … */
            struct span op_span;
            bool define;                    /* `:=`: the one target is AST_INDEX, its subscripts are all names */
            struct ast_expr *value;         /* several values: an AST_TUPLE */
            struct ast_index_range *ranges; /* `for i in a:b, …` after the value: index notation */
            int n_ranges;
        } assign;
        struct ast_expr *expr;
        struct {
            struct ast_expr **conditions; /* if, elif, elif, …: n_branches of them */
            struct ast_block *bodies;
            int n_branches; /* at least 1 */
            bool has_else;
            struct ast_block otherwise; /* empty without `else` */
        } branch;
        struct {
            struct ast_expr *condition; /* AST_WHILE */
            const char *name;           /* AST_FOR, down to step */
            struct span name_span;
            struct ast_expr *start, *stop, *step; /* step: NULL if not written */
            struct ast_block body;
        } loop;
        struct {
            struct ast_expr *condition;
            struct ast_expr *text; /* AST_STRING, or NULL */
        } assertion;
        struct {
            const char *name;
            struct span name_span;
            struct ast_type *type;  /* NULL: not written; then there is a default */
            struct ast_expr *value; /* NULL: must be bound */
        } param;
        struct ast_function *function;
    };
};

struct ast_names; /* the table of interned names */

struct ast_program {
    const char *text; /* the source, copied into the arena and NUL-terminated (it may hold NULs itself) */
    size_t length;
    struct ast_block body;           /* the top-level statements in order, definitions included */
    struct ast_expr *expression;     /* parser_parse_expression: the one expression; then the body is empty */
    struct ast_function **functions; /* every definition, in order; names written twice are not checked */
    int n_functions;
    struct ast_expr **exprs; /* by id. Nodes of statements that were dropped are here too, without meaning */
    uint32_t n_exprs;
    struct ast_names *names;
};

/* The interned form of a name: equal pointers for equal text inside this program. Adds it if it is new. */
const char *ast_name(struct arena *arena, struct ast_program *program, const char *text, size_t length);

/* The source text of a span, copied into the arena, for quoting in messages: line ends and runs of blanks become one
 * space, and text over 60 bytes is cut with "…". */
const char *ast_text(struct arena *arena, const struct ast_program *program, struct span span);

/* The tree as s-expressions, a statement a line, blocks indented by two: what `weft emit --stage=ast` shows. */
void ast_print(const struct ast_program *program, struct strbuf *out);

#endif
