/* npy_error.h: how the npy files word their errors: "cannot read 'x.npy': the reason". */
#ifndef RUNTIME_NPY_ERROR_H
#define RUNTIME_NPY_ERROR_H

#include "runtime/npy.h"

/* `doing` is "read" or "write". Both return false. */
bool npy_fail(struct npy_error *error, enum diag_code code, const char *doing, const char *path, const char *format,
              ...) __attribute__((format(printf, 5, 6)));
/* The reason is `step` (may be "") and the system's words for the error `number`. */
bool npy_fail_errno(struct npy_error *error, const char *doing, const char *path, const char *step, int number);

#endif
