/* body.h: scalar SSA with structured control, the inside of kernels and of ufuncs.
 *
 * A region is a list of values in execution order. Control is structured: OP_if and OP_loop hold regions; there are no
 * jumps. A value may use any value that precedes it in its own region or in an enclosing one. Nothing has side effects
 * but OP_store; OP_load may fail (subscript out of range), which stops the kernel with an error.
 *
 *   op        operands            imm                    result
 *   const     -                   .i / .u / .f by type   the constant (bool in .i; f32 held as double in .f)
 *   size      -                   .i: number of size     i64, uniform: kernel->sizes[imm]
 *   index     -                   .i: loop dimension     i64: the position in that loop dimension
 *   read      -                   .i: operand            element of a loop operand at the current position
 *   load      i0 .. i(r-1) (i64)  .i: operand            element of a whole operand; subscripts checked against its
 * sizes; negative ones are out of range len       -                   .i: operand, .dim      i64, uniform: size of
 * dimension `dim` of a whole operand param     -                   .i: number             the region's parameter if
 * cond (bool)         -                      two regions, each yields n results; read them with OP_result loop initial
 * values      -                      regions[0] "while": params are the carried values, yields one bool; regions[1]
 * "do": same params, yields the next carried values result    the if or loop      .i: number             one result of
 * an if, one carried value of a loop after it ended store     value               .i: operand            writes an
 * output operand at the current position; no result others                                               see ops.def
 *
 * `loop` runs: while (regions[0](carried)) carried = regions[1](carried).
 * break, continue and early return have been turned into carried flags and ifs by the front end.
 */
#ifndef IR_BODY_H
#define IR_BODY_H

#include "base/arena.h"
#include "base/diag.h"
#include "ir/ops.h"

struct ir_value {
    enum op op;
    enum dtype type; /* TY_NONE for if, loop, store */
    int n_args;
    struct ir_value **args;
    union {
        int64_t i;
        uint64_t u;
        double f;
    } imm;
    int dim; /* OP_len */
    struct ir_region *regions[2];
    struct span span;
    int id; /* dense in its kernel or function after body_number; for side tables */
};

struct ir_region {
    struct ir_value **values;
    int n_values, capacity;
    struct ir_value **params; /* OP_param values; not listed in `values` */
    int n_params;
    struct ir_value **results; /* what the region yields */
    int n_results;
};

/* A ufunc of known types, as the front end hands it over: inlined into every kernel that calls it.
 * Parameters: scalars are body.params; whole arrays are OP_load / OP_len operands numbered 0..n_whole-1. */
struct ir_function {
    const char *name;
    struct ir_region body;
    int n_whole;
    struct {
        enum dtype type;
        int rank;
    } * whole;
};

/* --- making bodies ------------------------------------------------------------------------------------------------ */

struct ir_region *body_region(struct arena *arena, int n_params, const enum dtype *param_types);
/* Appends an operation; `args` is copied. A LOWER_EXPAND operation is replaced by what it stands for: the last of the
 * values appended is returned. Checks nothing: verify_kernel does. */
struct ir_value *body_op(struct arena *arena, struct ir_region *at, enum op op, enum dtype type, int n_args,
                         struct ir_value *const *args, struct span span);
struct ir_value *body_const_int(struct arena *arena, struct ir_region *at, enum dtype type, int64_t value);
struct ir_value *body_const_float(struct arena *arena, struct ir_region *at, enum dtype type, double value);
/* A leaf with imm.i: size, index, read, and (with args) load, store, result. */
struct ir_value *body_leaf(struct arena *arena, struct ir_region *at, enum op op, enum dtype type, int64_t imm);
void body_set_results(struct arena *arena, struct ir_region *region, int n, struct ir_value *const *results);

/* Copies `from`'s values to the end of `to`: its params become `args`, OP_load/OP_len operand k becomes operand_map[k]
 * (NULL: unchanged); results are written to results_out[from->n_results]. */
void body_inline(struct arena *arena, struct ir_region *to, const struct ir_region *from, struct ir_value *const *args,
                 const int *operand_map, struct ir_value **results_out);

/* Gives every value reachable from the region a dense id in execution order (a region's params, then its values);
 * returns how many. Ids are scratch: body_inline renumbers `from`. body_number_from starts at `first` and returns the
 * next free id. */
int body_number(struct ir_region *region);
int body_number_from(struct ir_region *region, int first);

#endif
