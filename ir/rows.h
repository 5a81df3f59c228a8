/* rows.h: the rules of struct plan_rows (ir/plan.h), which fusion goes by and the verifier checks. A row is given by
 * `outer`, the number of loop dimensions that make it up, and their sizes, which are compared as pointers: equal sizes
 * are interned. What is wrong is said in constant text that follows the name of what it is said of; NULL: nothing. */
#ifndef IR_ROWS_H
#define IR_ROWS_H

#include "ir/plan.h"

/* Number of a slot in rows->scratch; -1: it is none. */
int rows_scratch_number(const struct plan_rows *rows, int slot);
/* Whether a launch before number `launch` of the rows writes the slot. */
bool rows_written_before(const struct plan_rows *rows, int launch, int slot);

/* Of a kernel in any rows. Looks at every value of its body. */
const char *rows_wrong_kernel(const struct ir_kernel *kernel);
/* Of a launch of such a kernel in these rows, but for what it reads. */
const char *rows_wrong_launch(const struct plan_launch *launch, int outer, const struct size *const *sizes);
/* Of an operand that reads a slot which an earlier member wrote. */
const char *rows_wrong_read(const struct plan_launch *launch, int operand, int outer, const struct size *const *sizes);

#endif
