/* format.h: values as text, as NumPy 2 prints them with its default options.
 *
 * Arrays: eight digits after the point at most and no more than are needed, columns aligned, lines of up to 75
 * characters, arrays of more than 1000 elements abridged to three at each end of an axis. Scalars (rank 0): all digits
 * that are needed to read the value back, True and False.
 *
 * The text goes to `out`, without a line end; memory runs out as strbuf.h says. `data` is the element [0, …, 0];
 * strides are in bytes, may be anything, and NULL means C order; elements need not be aligned. False, with nothing
 * written, for the types that have no values yet: TY_F16 and TY_NONE.
 */
#ifndef RUNTIME_FORMAT_H
#define RUNTIME_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "ir/type.h"

bool format_scalar(struct strbuf *out, enum dtype dtype, const void *value);
bool format_array(struct strbuf *out, enum dtype dtype, const void *data, int rank, const int64_t *shape,
                  const int64_t *strides);

#endif
