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
 *   inside
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

struct cu {
    struct arena *arena;
    struct ir_kernel *kernel;
    const struct ptx_variant *variant;
    struct ptx_kernel *out;
    struct strbuf before; /* declarations before the function: complete lines */
    struct strbuf text;   /* the inside of the function */
    int indent;           /* of the next line, in levels of 4 spaces */
    int n_loops;          /* n_par + n_red */
    int vector_loop;      /* the vector dimension: last loop dimension, COLUMNS: last parallel one; -1: there is none */
    int moving; /* loop dimensions from this one on differ between calls of the body: i<j> are its arguments */
    struct cu_facts body, epilogue;
    bool stops;         /* there is a variable `stop`: body or epilogue can fail or have loops */
    const char **names; /* by value id: what stands for the value */
    bool *hoisted;      /* by id of a value of the body: the same for all calls of it, computed before it is defined */
    unsigned *result_used; /* by id of an if or loop: bit k: result k is read (bit 31: so is some k >= 31) */
    struct ptx_parameter *parameters;
    const char **parameter_names; /* beside `parameters` */
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
void cu_blank(struct cu *c);
/* A string in the arena. */
const char *cu_text(struct cu *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "float", "bool"; as kept in memory "unsigned char" for bool. */
const char *cu_type(enum dtype type);
const char *cu_memory_type(enum dtype type);
/* A constant of the type, exact: "2.5f", "-0x1.8p-3", "weft_inf<float>()". `u`: the bits of imm (floats: of the
 * double). */
const char *cu_constant(struct cu *c, enum dtype type, uint64_t bits);

/* --- emit_parameters.c: parameters come to be when their name is asked for ---------------------------------------- */

const char *cu_data(struct cu *c, int operand); /* in0, out0, whole0; PTX_BY_VALUE has none */
const char *cu_value(struct cu *c,
                     int operand); /* PTX_BY_VALUE: x0; of bool given0, of which cu_define_values makes x0 */
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
/* "i0 * stride2_0 + i1 * stride2_1": offset of a loop operand for dimensions [first, end), in elements; "0" if there is
 * none. */
const char *cu_offset(struct cu *c, int operand, int first, int end);
/* `base + offset` without a "+ 0". */
const char *cu_plus(struct cu *c, const char *base, const char *offset);

/* --- emit_region.c ------------------------------------------------------------------------------------------------ */

/* The element at `address` (an expression of type T const *, T as in memory) as it is in registers. */
const char *cu_load(struct cu *c, int operand, const char *address);
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
 * order, those that it needs only: const long long at                 if cu->stops and the body can fail or has loops
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

void cu_emit_map(struct cu *c);
void cu_emit_lanes(struct cu *c);
void cu_emit_columns(struct cu *c);

/* What ptx_shape does for MAP, and for LANES and COLUMNS. */
void cu_shape_map(const struct ptx_kernel *kernel, const int64_t *extents, int64_t head,
                  const struct ptx_limits *limits, struct ptx_grid *out);
void cu_shape_reduce(const struct ptx_kernel *kernel, const int64_t *extents, const struct ptx_limits *limits,
                     struct ptx_grid *out);

/* What ptx_vector_of says of LANES and COLUMNS (REDUCE's choice; 1 if no vectors are of use). */
int cu_vector_reduce(const struct ir_kernel *kernel, const enum ptx_access *access);

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
