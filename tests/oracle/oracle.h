/* oracle.h: one program on one set of inputs: the reference evaluator against compiled code, bit for bit.
 *
 *     struct oracle oracle;
 *     if (oracle_open(&oracle, 4)) …           a context for every instruction set of this machine
 *     oracle_check(&oracle, source, inputs, n, why, sizeof why);
 *     oracle_close(&oracle);
 */
#ifndef ORACLE_ORACLE_H
#define ORACLE_ORACLE_H

#include "runtime/runtime.h"

enum { ORACLE_SETS = 3, ORACLE_OUTPUTS = 8, ORACLE_INPUTS = 10 };

struct oracle {
    jit_context *context[ORACLE_SETS];
    const char *isa[ORACLE_SETS];
    int n;
    int ulp;
    unsigned skip; /* bit i: instruction set i is left out for now */
};

struct oracle_input {
    char name[16];
    enum dtype type;
    int rank;
    int64_t shape[TYPE_MAX_RANK], stride[TYPE_MAX_RANK]; /* bytes */
    char *data;                                          /* the element at 0 ... 0 */
};

enum oracle_verdict {
    ORACLE_SAME,      /* equal results */
    ORACLE_FAILED,    /* both report the same run-time error */
    ORACLE_REJECTED,  /* the front end refuses the program: `why` says how */
    ORACLE_DIFFERENT, /* `why` says where */
};

/* Opens what this machine has. False, with a message, if that is nothing. */
bool oracle_open(struct oracle *oracle, int ulp);
void oracle_close(struct oracle *oracle);
enum oracle_verdict oracle_check(struct oracle *oracle, const char *source, const struct oracle_input *inputs, int n,
                                 char *why, size_t size);

#endif
