/* operations.h: which operands the operations of ir/ops.def take, once the front end has put in conversions. */
#ifndef SUPPORT_OPERATIONS_H
#define SUPPORT_OPERATIONS_H

#include "ir/ops.h"

/* Does the operation exist for operands of this type? (ldexp: the first; select: the other two.) */
static inline bool operation_takes(enum op op, enum dtype type) {
    bool is_float = dtype_is_float(type);
    switch (op_info[op].rule) {
    case RULE_ARITH: return type != TY_BOOL;
    case RULE_DIVIDE:
    case RULE_FLOAT:
    case RULE_FLOAT_INT: return is_float;
    case RULE_BITS: return !is_float;
    case RULE_SHIFT: return dtype_is_int(type);
    case RULE_LOGIC: return type == TY_BOOL;
    default: return true;
    }
}

static inline enum dtype operation_gives(enum op op, enum dtype type) {
    enum op_rule rule = op_info[op].rule;
    return rule == RULE_COMPARE || rule == RULE_CLASSIFY || rule == RULE_LOGIC ? TY_BOOL : type;
}

#endif
