/* oracle.h: one program on one set of inputs: the reference evaluator against compiled code, bit for bit.
 *
 *     struct oracle oracle;
 *     if (oracle_open(&oracle, 4)) …           a context for every instruction set of this machine
 *     oracle_check(&oracle, source, inputs, n, why, sizeof why);
 *     oracle_close(&oracle);
 *
 * Or with a context on a GPU (oracle_open_device): each program from host tensors, from device tensors, and from device
 * tensors on a stream of the test's, waited for later. On the fake GPU the elementary functions are the CPU's, so
 * results are equal to the bit; on a real one programs that use them are not compared. Errors must be the CPU's, text
 * included.
 */
#ifndef ORACLE_ORACLE_H
#define ORACLE_ORACLE_H

#include "gpu/device.h"
#include "runtime/runtime.h"

enum { ORACLE_SETS = 3, ORACLE_OUTPUTS = 16, ORACLE_INPUTS = 10 };

struct oracle {
    jit_context *context[ORACLE_SETS];
    const char *isa[ORACLE_SETS];
    int n;
    int ulp;
    unsigned skip;         /* bit i: instruction set i is left out for now */
    struct device *device; /* not NULL: context[0] is on it */
    jit_context *host;     /* with a device: one on the CPU, to compare with */
};

struct oracle_input {
    char name[16];
    enum dtype type;
    int rank;
    int64_t shape[TYPE_MAX_RANK], stride[TYPE_MAX_RANK]; /* bytes */
    char *data;                                          /* the element at 0 ... 0 */
};

enum oracle_verdict {
    ORACLE_SAME,         /* equal results */
    ORACLE_FAILED,       /* both report the same run-time error */
    ORACLE_REJECTED,     /* the front end refuses the program: `why` says how */
    ORACLE_DIFFERENT,    /* `why` says where */
    ORACLE_NOT_COMPARED, /* elementary functions on a real GPU */
    ORACLE_VERDICTS,
};

/* Opens what this machine has. False, with a message, if that is nothing. */
bool oracle_open(struct oracle *oracle, int ulp);
/* `device` is open and stays the caller's. */
bool oracle_open_device(struct oracle *oracle, struct device *device);
void oracle_close(struct oracle *oracle);
enum oracle_verdict oracle_check(struct oracle *oracle, const char *source, const struct oracle_input *inputs, int n,
                                 char *why, size_t size);

#endif
