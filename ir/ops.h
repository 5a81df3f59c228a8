/* ops.h: the table of operations. One row of ops.def is one operation; everybody else reads op_info[op].
 *
 * Conventions of typed IR (graph nodes and kernel bodies alike), after the front end has inserted conversions:
 *   - arithmetic:   all operands and the result have the same element type;
 *   - comparisons:  both operands have the same type, the result is bool;
 *   - select:       (bool, T, T) -> T;   ldexp: (float, i32) -> float;   isnan isinf isfinite: float -> bool;
 *   - convert:      any -> any, the result's type says to what (bool(x) is x != 0; floats saturate, NaN gives 0);
 *   - popcount:     integer T -> T.
 * No operation has undefined behaviour: see eval_scalar in ir/eval.h, which is the definition of each one's value.
 */
#ifndef IR_OPS_H
#define IR_OPS_H

#include "ir/type.h"

/* How the result's type follows from the operands', before conversions are inserted. Read by the checker. */
enum op_rule {
    RULE_NONE,      /* not callable from source: structure, or made by the compiler only */
    RULE_ARITH,     /* promote; bool becomes i64 (+ - * // % ** neg abs sign square ...) */
    RULE_NUMBER,    /* promote, bool stays bool (min max where clip fmin fmax) */
    RULE_DIVIDE,    /* promote; integers and bool become f64 */
    RULE_FLOAT,     /* promote; integers and bool become f64 (sqrt exp ... atan2 hypot) */
    RULE_FLOAT_INT, /* ldexp: first as RULE_FLOAT, second converts to i32 */
    RULE_ROUND,     /* floor ceil trunc rint round: floats keep their type, integers and bool pass unchanged */
    RULE_BITS,      /* promote; integers and bool only (& | ^ ~) */
    RULE_SHIFT,     /* promote; integers only, bool becomes i64 (<< >> rotl rotr popcount) */
    RULE_COMPARE,   /* promote for the comparison, exactly for mixed integers; result bool */
    RULE_LOGIC,     /* bools only (and or not) */
    RULE_CLASSIFY,  /* isnan ...: any number, integers give constants; result bool */
    RULE_SELECT,    /* where(c, a, b): c bool, a and b promote */
};

/* What a back end does for an operation.
 * LOWER_INST: the emitter has a case of its own (a few machine instructions).
 * LOWER_CALL: a vector-math function by `vec`, for floats; where a library has none (ulp 0), eval1 ... eval2f lane by
 * lane: those addresses are thread-safe and set no global state. OP_pow of integers is computed in place, as
 * LOWER_INST. LOWER_EXPAND: other operations: graph_op and body_op replace it when it is made (see op_expand); IR never
 * holds one. LOWER_CUSTOM: structure, handled by name in every back end. */
enum op_lower { LOWER_CUSTOM, LOWER_INST, LOWER_CALL, LOWER_EXPAND };

enum op_flags {
    OPF_COMMUTES = 1,  /* f(a, b) == f(b, a) to the bit (NaN aside) */
    OPF_STRUCTURE = 2, /* constants, reads, control: no arithmetic */
    OPF_CHEAP = 4,     /* worth recomputing rather than storing an array */
    OPF_HIDDEN = 8,    /* not callable under `name` (an operator, a keyword): only under its aliases */
};

enum math_library { MATH_LIBM, MATH_LIBMVEC, MATH_SLEEF, MATH_CUDA, MATH_LIBRARIES };

/* Largest error in ULP, by element type; 0 where this library has no vector form of the function (MATH_LIBM, MATH_CUDA:
 * 0 means that every result is correctly rounded, as it is with LOWER_INST). MATH_CUDA counts from the correctly
 * rounded result, the others from the exact one. */
struct op_ulp {
    float f32, f64;
};

struct op_info {
    const char *name;   /* as printed in IR and, if `rule` is not RULE_NONE, callable from source under this name */
    const char *alias;  /* NumPy's other names, separated by spaces, or NULL */
    const char *symbol; /* operator spelling ("+"), or NULL */
    int arity;
    enum op_rule rule;
    unsigned flags;
    enum op_lower lower;
    const char *vec;   /* LOWER_CALL: the libm name ("exp"); vector names are derived from it (_ZGVeN8v_exp,
                          Sleef_expd8_u10...) */
    const char *sleef; /* LOWER_CALL: the end of SLEEF's name ("u10"), NULL where it has none */
    double (*eval1)(double), (*eval2)(double, double); /* LOWER_CALL: libm's, the evaluator's default */
    float (*eval1f)(float), (*eval2f)(float, float);
    struct op_ulp ulp[MATH_LIBRARIES]; /* bound by library: {libm}, {libmvec}, {SLEEF}, {CUDA} */
    const char *cuda; /* CUDA C template of a whole expression: $0 $1 $2 operands (names, constants or in parentheses),
                         $f "f" for f32, $t the result's type; weft_* are functions of the CUDA back end's prelude.
                         LOWER_INST and LOWER_CALL have one */
    const char *cuda_int; /* for integers and bools, where it is another one */
    const char *doc;      /* one line for :help and the language reference */
};

enum op {
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
};

extern const struct op_info op_info[OP_COUNT];

/* The operation callable from source as `name` (or under an alias), or OP_COUNT. */
enum op op_from_name(const char *name);
/* The operation that IR prints as `name`, or OP_COUNT. */
enum op op_from_ir_name(const char *name);

/* What op_expand makes values with: graphs and bodies each have one. Values are opaque. */
struct op_maker {
    void *host;
    void *(*op)(void *host, enum op op, enum dtype type, int n_args, void *const *args);
    void *(*number)(void *host, enum dtype type, double value); /* a constant; integers are small */
};
/* Makes what a LOWER_EXPAND operation of element type `type` stands for. */
void *op_expand(enum op op, enum dtype type, void *const *args, const struct op_maker *maker);

/* Reductions: the primitive ones, of which the front end makes the rest (mean = sum / n, norm = sqrt(sum(x*x))). */
enum reduce_op {
    REDUCE_SUM,  /* identity -0.0 for floats (so that a sum of -0.0 stays -0.0; an EMPTY sum is +0), 0 */
    REDUCE_PROD, /* identity 1 */
    REDUCE_MIN,  /* propagates NaN, -0 < +0; identity +inf or the type's largest */
    REDUCE_MAX,
    REDUCE_FMIN, /* ignores NaN; all NaN gives NaN; identity NaN */
    REDUCE_FMAX,
    REDUCE_ANY,    /* bool or; identity false */
    REDUCE_ALL,    /* bool and; identity true */
    REDUCE_ARGMIN, /* i64: position (flattened over the reduced axes) of the first minimum; first NaN wins */
    REDUCE_ARGMAX,
    REDUCE_NANARGMIN, /* NaN skipped; -1 if there is nothing else (the front end checks) */
    REDUCE_NANARGMAX,
    REDUCE_VAR, /* M2, the sum of squared deviations from the mean, f64; two operands: x (f32 or f64) and a bool
                   "counts" */
    REDUCE_COUNT_
};
extern const char *const reduce_names[REDUCE_COUNT_];
enum reduce_op reduce_from_name(const char *name); /* REDUCE_COUNT_ if none */

#endif
