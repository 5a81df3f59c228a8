/* type.h: element types and NumPy 2's promotion (NEP 50) with weak scalars.
 *
 * A value's type is an element type and a rank; "weak" says that the value is a scalar made of literals, sizes and
 * loop indices only and takes the type of what it meets, as a Python scalar does.
 */
#ifndef IR_TYPE_H
#define IR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TYPE_MAX_RANK = 8 };

enum dtype {
    TY_NONE, /* no type yet, or an error was reported */
    TY_BOOL, /* one byte, 0 or 1 */
    TY_I8,
    TY_I16,
    TY_I32,
    TY_I64,
    TY_U8,
    TY_U16,
    TY_U32,
    TY_U64,
    TY_F16, /* known to the language, not yet computed with */
    TY_F32,
    TY_F64,
    TY_COUNT
};

/* A scalar kind that adapts. A weak bool does not exist: true and false are strong. */
enum weakness {
    STRONG,
    WEAK_INT,   /* i64 when it must be something */
    WEAK_FLOAT, /* f64 when it must be something */
};

struct type {
    enum dtype dtype;
    enum weakness weak; /* weak types have rank 0 and dtype TY_I64 or TY_F64 */
    int rank;
};

static inline bool dtype_is_float(enum dtype t) { return t == TY_F16 || t == TY_F32 || t == TY_F64; }
static inline bool dtype_is_signed(enum dtype t) { return t >= TY_I8 && t <= TY_I64; }
static inline bool dtype_is_unsigned(enum dtype t) { return t >= TY_U8 && t <= TY_U64; }
static inline bool dtype_is_int(enum dtype t) { return t >= TY_I8 && t <= TY_U64; } /* bool is no integer here */

/* Bytes of one element. */
int dtype_size(enum dtype t);
/* "f64", as the language writes it. */
const char *dtype_name(enum dtype t);
/* The type called `name`, or TY_NONE. */
enum dtype dtype_from_name(const char *name);

/* NumPy's promotion of two strong element types: i32+f32 is f64, i64+u64 is f64, bool joins anything. */
enum dtype dtype_promote(enum dtype a, enum dtype b);
/* Promotion with weak scalars; the result is weak only if both are. A weak int takes the other's integer or float
 * type (with bool: i64), a weak float takes the other's float type (with an integer or bool: f64). `rank` of the
 * result is the larger of the two. */
struct type type_promote(struct type a, struct type b);
/* True if every value of `from` is a value of `to` (NumPy's can_cast "safe"). */
bool dtype_converts_safely(enum dtype from, enum dtype to);
/* True if the integer `value` (negative if `negative`, magnitude `magnitude`) is a value of `t`, floats included. */
bool dtype_holds_int(enum dtype t, bool negative, uint64_t magnitude);

#endif
