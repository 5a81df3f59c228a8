/* frontend.h: text -> checked program -> plan. The one door of the front end.
 *
 *   frontend_analyse       parse, resolve names, arities and scopes: all that needs no types. Once per jit_compile.
 *   frontend_instantiate   types, shapes and lowering for one signature of inputs. Once per plan.
 *
 * A frontend_program is read-only after frontend_analyse and may be instantiated by several threads at once.
 * Errors go to the diag_list given; both return NULL if there were any.
 */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

#include "frontend/ast.h"
#include "ir/plan.h"

struct frontend_limits {
    size_t source_bytes;   /* 0: 16 MiB */
    int nesting;           /* 0: 256 */
    int graph_nodes;       /* most nodes in one plan; 0: 200000 */
    int64_t literal_bytes; /* most bytes of array literals and constants; 0: 64 MiB */
};

/* Reads the header of a file that the program loads. False with one line in `why`. */
struct frontend_files {
    bool (*load_header)(void *host, const char *path, enum dtype *type, int *rank, int64_t *shape, struct strbuf *why);
    void *host;
    bool allowed; /* else load and save are errors that say so */
    bool print_allowed;
};

struct frontend_options {
    const char *file; /* for messages: "clean.weft", "<expr>" */
    struct frontend_limits limits;
    struct frontend_files files;
    enum fp_mode fp;
    int ulp; /* 4 or 1 */
};

/* What the source says of one input. */
struct frontend_input {
    const char *name;
    struct span span;
    bool typed;       /* dtype and rank are both declared (or follow from a default) */
    enum dtype type;  /* TY_NONE: any */
    int rank;         /* -1: any */
    bool has_default; /* an untyped param with a default is a weak scalar, bound as i64 or f64 by its default */
    enum weakness weak;
    union {
        int64_t i;
        double f;
    } default_value; /* by `type`; bool defaults are strong */
};

struct frontend_program {
    const struct ast_program *ast;
    const struct frontend_options *options;
    struct frontend_input *inputs;
    int n_inputs;
    const char **output_names; /* NULL where an output has no name */
    int n_outputs;
    bool typed;                    /* every input is typed: can be instantiated without a call */
    bool has_effects;              /* print, save, load, assert */
    const struct resolve *resolve; /* frontend-internal tables */
    /* jit_formula only: */
    const struct frontend_formula *formula;
};

/* What a host that lets its users type formulas prescribes. */
struct frontend_formula_input {
    const char *name;
    enum dtype type;
    int rank;
    bool has_nodata;
    double nodata; /* NaN: NaN marks missing values */
};
struct frontend_formula {
    const struct frontend_formula_input *inputs;
    int n_inputs;
    enum dtype result_type; /* TY_NONE: the expression's own */
    bool has_nodata;        /* output where a used input is nodata */
    double nodata;
    bool elementwise; /* reject reductions, indexing and whatever else tiling would change */
};

struct frontend_program *frontend_analyse(struct arena *arena, const char *text, size_t length,
                                          const struct frontend_options *options, struct diag_list *diags);
/* One expression and nothing else; inputs are those of the formula, in its order. */
struct frontend_program *frontend_analyse_formula(struct arena *arena, const char *text, size_t length,
                                                  const struct frontend_formula *formula,
                                                  const struct frontend_options *options, struct diag_list *diags);

/* One bound input: element type, rank, and which dimensions have size 1 (bit d). For a typed program built ahead of any
 * call: no dimension is 1. */
struct frontend_binding {
    enum dtype type;
    int rank;
    unsigned ones;
    bool any_size; /* nothing is known of the sizes: 1 or not is decided at run time */
};

/* `bindings` has one entry per input; types that a declaration does not accept are errors (a given scalar type accepts
 * what converts safely; array element types must be equal). The plan lives in `arena`; it keeps pointers into the
 * program's AST text only through spans. */
struct plan *frontend_instantiate(const struct frontend_program *program, struct arena *arena,
                                  const struct frontend_binding *bindings, struct diag_list *diags);

/* Every name that source may use: built-in functions, constants, types, keywords; for completion and :help.
 * NULL when `index` is past the last. `doc` is one line. */
const char *frontend_name(int index, const char **doc);

#endif
