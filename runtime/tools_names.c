/* tools_names.c: what the front end knows, for shells. */
#include <string.h>

#include "frontend/parser.h"
#include "runtime/runtime.h"

const char *jit_name(int index, const char **doc) {
    const char *unused;
    return index < 0 ? NULL : frontend_name(index, doc ? doc : &unused);
}

int jit_incomplete(const char *source) {
    return source && parser_wants_more(source, strlen(source));
}
