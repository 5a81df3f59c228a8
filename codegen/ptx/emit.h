/* emit.h: from a kernel to CUDA C. Private to this room.
 *
 * The text of a kernel is made of these names, the same everywhere; `k` is the number of an operand, `j` of a loop
 * dimension (its subscript, for whole operands), `d` of a subscript:
 *
 *   parameters of the function
 *     in<k> out<k> whole<k>       addresses of operands: const T *, T *, const T * (T as in memory)
 *     x<k>                        value of a PTX_BY_VALUE operand
 *     stride<k>_<j>  size<k>_<d>  in elements; long long
 *     n<j>  number<i>             loop extents, size parameters; long long
 *     watch  order  partials  counters, and what cu_grid calls them
 *     offset<k>                   operand k is scratch: bytes to its first element; long long
 *   inside
 *     at<k>    operand k is scratch: its first element of the row at hand
 *     i<j>     position in loop dimension j; long long
 *     x<k>     the element of read operand k at the current position, as in registers (bools are bool)
 *     y<k>     what is to be stored to output k, as in memory (bools are unsigned char)
 *     r<q>     result q of the body (operand of a reduction), as in registers
 *     at       flattened par x red position, for error messages; only if the body can fail or has loops
 *     v<id>    values of the body and the epilogue
 *     stop     bool: a load failed or the call was cancelled: this thread's loops end; only if cu->stops
 *
 * The body of a kernel is emitted once, as a lambda called `body` (cu_define_body), however often it is called; the
 * epilogue in place (cu_region), between declarations of its x<k> and y<k> and the stores.
 */
#ifndef CODEGEN_PTX_EMIT_H
#define CODEGEN_PTX_EMIT_H

#include "codegen/ptx/ptx.h"

/* What a region (with those inside it) does. */
struct cu_facts {
    bool *reads;  /* [n_operands]: reads the element of operand k */
    bool *stores; /* [n_operands]: stores to operand k */
    bool index[KERNEL_MAX_LOOPS];
    bool can_fail;  /* has OP_load */
    bool loops;     /* has OP_loop */
    bool branches;  /* has OP_if */
    int operations; /* values that cost something */
    int weight;     /* about how many instructions an evaluation takes (loops: one turn of each) */
    bool stack;     /* calls functions that keep arrays on the stack */
};

/* A kernel that is a stage of several: a function of its own, which is called for rows [first, end). Its scratch arrays
 * are in `kept<s>`, of which each row has `bytes<s>`. */
struct cu_rows {
    int outer;
    const int *scratch;    /* [n_operands]: number of the scratch array; -1: none */
    const bool *exchanged; /* [n_operands]: memory that an earlier stage writes */
    int stage, grid;       /* ptx_parameter.stage; first of its PTX_PARAM_GRID values */
};

struct cu {
    struct arena *arena;
    struct ir_kernel *kernel;
    const struct ptx_variant *variant;
    const struct cu_rows *rows; /* NULL: a kernel by itself */
    struct ptx_kernel *out;
    struct strbuf before; /* declarations before the function: complete lines */
    struct strbuf text;   /* the inside of the function */
    int indent;           /* of the next line, in levels of 4 spaces */
    int n_loops;          /* n_par + n_red */
    int vector_loop;      /* the vector dimension: last loop dimension, COLUMNS: last parallel one; -1: there is none */
    int moving; /* loop dimensions from this one on differ between calls of the body: i<j> are its arguments */
    struct cu_facts body, epilogue;
    bool held;          /* LANES: threads hold all elements of a block */
    bool stops;         /* there is a variable `stop`: body or epilogue can fail or have loops */
    const char **names; /* by value id: what stands for the value */
    bool *hoisted;      /* by id of a value of the body: the same for all calls of it, computed before it is defined */
    unsigned *result_used; /* by id of an if or loop: bit k: result k is read (bit 31: so is some k >= 31) */
    struct ptx_parameter *parameters;
    const char **parameter_names; /* beside `parameters` */
    const char **parameter_types; /* beside them; made by cu_sort_parameters */
    int n_parameters, parameter_capacity;
};

/* --- emit.c: text ------------------------------------------------------------------------------------------------- */

/* One line of the function, indented, with a line end. */
void cu_line(struct cu *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The line with " {" after it; what follows is indented one level more, until cu_close: "}" and `after` ("", ";", ...).
 */
void cu_open(struct cu *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cu_close(struct cu *c, const char *after);
/* "} else {" and the like: one level less for this line only. */
void cu_middle(struct cu *c, const char *text);
/* A string in the arena. */
const char *cu_text(struct cu *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Items with commas between them, broken into lines. */
struct cu_list {
    struct strbuf text;
    int column; /* where the text's last line ends */
    int indent; /* of the lines after the first */
};
/* `column`: what stands before it on its line. */
struct cu_list cu_list_begin(struct cu *c, int column, int indent);
void cu_list_add(struct cu_list *list, const char *item);

/* "float", "bool"; as kept in memory "unsigned char" for bool. */
const char *cu_type(enum dtype type);
const char *cu_memory_type(enum dtype type);
/* A constant of the type, exact: "2.5f", "-0x1.8p-3", "weft_inf<float>()". `u`: the bits of imm (floats: of the
 * double). */
const char *cu_constant(struct cu *c, enum dtype type, uint64_t bits);

/* --- ptx.c: what kernels and stages have in common ---------------------------------------------------------------- */

/* Whether the kernel can be had as the variant wants it; else one line in `why`. */
bool cu_check(const struct ir_kernel *kernel, const struct ptx_variant *variant, struct strbuf *why);
/* Fills in all but what is given: arena, kernel, variant, rows, out. */
void cu_begin(struct cu *c);
/* Writes the text. */
void cu_emit(struct cu *c);
/* In an order of their own; makes their types. */
void cu_sort_parameters(struct cu *c);
/* "const float *in0, const long long n0, " and so on. */
void cu_add_parameters(struct cu *c, struct cu_list *list);
/* "(", the parameters, ")", "{". */
void cu_add_head(const struct cu_list *parameters, struct strbuf *out);
/* The kernel and its operands, as a comment. */
void cu_add_comment(struct cu *c, struct strbuf *out);
/* The function `name` is complete but for its head: makes out's parameters and source. `before` stands before it. */
void cu_finish(struct cu *c, const char *before);

/* --- emit_parameters.c: parameters come to be when their name is asked for ---------------------------------------- */

const char *cu_data(struct cu *c, int operand); /* in0, out0, whole0; at0 of scratch; PTX_BY_VALUE has none */
bool cu_is_scratch(const struct cu *c, int operand);
/* Body or epilogue reads or stores its elements. */
bool cu_is_touched(const struct cu *c, int operand);
/* at<k> of the operands that are scratch, in row `row` (a name). */
void cu_define_scratch(struct cu *c, const char *row);
/* PTX_BY_VALUE: x0; of bool given0, of which cu_define_values makes x0. */
const char *cu_value(struct cu *c, int operand);
/* Stride along a loop dimension (subscript of a whole operand): "0" and "1" where that is known, else stride0_1. */
const char *cu_stride(struct cu *c, int operand, int dim);
const char *cu_size(struct cu *c, int operand, int dim);         /* size0_1 */
const char *cu_extent(struct cu *c, int loop);                   /* n0 */
const char *cu_number(struct cu *c, int64_t number);             /* number0 */
const char *cu_watch(struct cu *c);                              /* watch */
const char *cu_order(struct cu *c);                              /* order */
const char *cu_partials(struct cu *c);                           /* partials: char * */
const char *cu_counters(struct cu *c);                           /* counters: unsigned * */
const char *cu_grid(struct cu *c, int number, const char *name); /* ptx_grid.value[number]; long long */
/* Does the operand's address depend on loop dimension j? (Exactly the dimensions that cu_stride is not "0" for.) */
bool cu_depends(const struct cu *c, int operand, int loop);
/* The same element for all calls of the body between which only dimensions from `moving` on change. */
bool cu_is_fixed(const struct cu *c, int operand);
/* Does every call of the body have an element of the operand of its own: one that it reads, or stores? */
bool cu_moves(const struct cu *c, int operand);
/* "i0 * stride2_0 + i1 * stride2_1": offset of a loop operand for dimensions [first, end), in elements; "0" if there is
 * none. */
const char *cu_offset(struct cu *c, int operand, int first, int end);
/* `base + offset` without a "+ 0". */
const char *cu_plus(struct cu *c, const char *base, const char *offset);
/* base[k] of what moves: row<k>, which it defines, or the parameter: the element at i0 ... i<end - 1>; `extra` (NULL:
 * nothing): that many further on along `end`. */
void cu_define_bases(struct cu *c, int end, const char *extra, const char **base);

/* --- emit_region.c ------------------------------------------------------------------------------------------------ */

/* Defines x<k> (const, in registers) for the read operands that `facts` reads and that are fixed (`fixed`) or not: the
 * elements at i0 ... i<n_loops - 1> over dimensions [0, end). PTX_BY_VALUE operands are left out: see cu_define_values.
 */
void cu_define_reads(struct cu *c, const struct cu_facts *facts, bool fixed, int end);
/* Once, at the top of the function: bools passed by value become x<k>; `stop` if there is one, and what reports faults.
 */
void cu_define_values(struct cu *c);
/* i<first> ... i<first + n - 1> of a flattened position (an expression without side effects): const long long. */
void cu_decode(struct cu *c, const char *position, int first, int n);
/* "n0 * n1": of [first, first + n), "1LL" if there is none. */
const char *cu_extents(struct cu *c, int first, int n);

/* Writes a region's values in place. If it can fail or has loops there must be a variable `at` where it stands. Its
 * parameters' names must be in c->names (by id) already; afterwards those of its results are:
 * c->names[region->results[q]->id]. */
void cu_region(struct cu *c, const struct ir_region *region);

/* Writes what is the same for all calls of the body, then `auto body = [&](...) { ... };`. Its parameters, in this
 * order, those that it needs only:
 *     const long long at                 the body can fail or has loops
 *     const long long i<j>               j >= cu->moving and the body uses the position along j
 *     const T x<k>                       read operands that the body reads and that are not fixed
 *     T &y<k>                            outputs that the body stores to
 *     T &r<q>                            results of the body
 * All else is taken from where it stands (i<j> below `moving`, fixed x<k>, parameters, stop). */
void cu_define_body(struct cu *c);
/* A call of it: expressions for the above; entries that are not needed are not looked at and may be NULL, and so may
 * the arrays. */
struct cu_call {
    const char *at;
    const char *const *index; /* [n_loops] */
    const char *const *x;     /* [n_operands] */
    const char *const *y;     /* [n_operands] */
    const char *const *r;     /* [body.n_results] */
};
void cu_call_body(struct cu *c, const struct cu_call *call);

/* --- one for each kind: write c->text (and c->before), set out->threads, vector, unroll, lanes, state_bytes ------- */

/* What ptx_grid.value[] holds for MAP; ACROSS, the logarithm, for stages alone. */
enum { MAP_HEAD, MAP_ACROSS };

void cu_emit_map(struct cu *c);
void cu_emit_lanes(struct cu *c);
void cu_emit_columns(struct cu *c);

/* What it holds for several stages: rows, rows of a set, bytes of a thread block's piece of device memory (0: its
 * scratch is in shared memory); from ROWS_STAGES on ROWS_EACH values for each stage, numbered as for its kind. */
enum { ROWS_COUNT, ROWS_SET, ROWS_APART, ROWS_STAGES, ROWS_EACH = 6 };
enum { ROWS_ALIGNMENT = 32 }; /* bytes: of scratch arrays; the largest weft_vec's */

/* Threads side by side in a row of `groups` groups, a power of two and at most `threads`, if rows share thread blocks.
 */
int cu_map_across(const struct ptx_kernel *kernel, int64_t groups, int threads);

/* What ptx_shape does for MAP, and for LANES and COLUMNS. */
void cu_shape_map(const struct ptx_kernel *kernel, const int64_t *extents, int64_t head,
                  const struct ptx_limits *limits, struct ptx_grid *out);
void cu_shape_reduce(const struct ptx_kernel *kernel, const int64_t *extents, const struct ptx_limits *limits,
                     struct ptx_grid *out);

/* What ptx_vector_of says of LANES and COLUMNS (REDUCE's choice; 1 if no vectors are of use). */
int cu_vector_reduce(const struct ir_kernel *kernel, const enum ptx_access *access);

/* Arithmetic of shapes. */
static inline int64_t cu_ceil(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}
static inline int64_t cu_smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
/* Of extents [first, end). */
static inline int64_t cu_product(const int64_t *extents, int first, int end) {
    int64_t product = 1;
    for (int j = first; j < end; j++) product *= extents[j];
    return product;
}

/* --- emit_prelude.c ----------------------------------------------------------------------------------------------- */

/* The pieces of the prelude (codegen/ptx/prelude) that `text` mentions by name, with the pieces that those mention. A
 * piece begins with a line "// piece: weft_add weft_sub" that lists what it defines; other text mentions it by such a
 * name. */
void cu_prelude(struct arena *arena, const char *text, struct strbuf *out);

/* --- emit_facts.c ------------------------------------------------------------------------------------------------- */

void cu_facts_of(struct cu *c, const struct ir_region *region, struct cu_facts *facts);
/* Finds out what is the same for all calls of the body and takes it out of the body's weight. */
void cu_find_hoisted(struct cu *c);
/* As cu_facts_of, but for `reads` and `stores`, which are NULL. */
void cu_facts_without_operands(const struct ir_region *region, struct cu_facts *facts);

#endif
