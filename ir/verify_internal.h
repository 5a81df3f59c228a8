/* verify_internal.h: what the verifiers share: type rules, and the parts of a plan. */
#ifndef IR_VERIFY_INTERNAL_H
#define IR_VERIFY_INTERNAL_H

#include "ir/verify.h"

/* What is wrong with an operation of ops.def (no structure) of these operand types, or NULL. */
const char *verify_op(enum op op, enum dtype type, int n_args, const enum dtype *args);
/* What is wrong with a reduction's operand types, or NULL. `second` is TY_NONE where there is none. */
const char *verify_reduction(enum reduce_op op, enum dtype type, enum dtype first, enum dtype second);
int verify_reduction_args(enum reduce_op op);
/* What is wrong with the 64 bits of a constant of the type, or NULL. */
const char *verify_const(enum dtype type, uint64_t bits);
/* A ufunc: its body, its use of whole operands, and no stores, reads or sizes. */
bool verify_function(const struct ir_function *function, struct strbuf *why);
/* The rows of a plan whose kernels and slots are known to be right. */
bool verify_rows(const struct plan *plan, struct strbuf *why);

#endif
