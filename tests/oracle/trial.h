/* trial.h: random programs and fixed ones on large arrays, as the tests on the CPU and on GPUs run them. */
#ifndef ORACLE_TRIAL_H
#define ORACLE_TRIAL_H

#include "oracle/oracle.h"

/* The random program of this seed. If results differ, the smallest program found that still fails is shown on stderr.
 * `show`: the program and the verdict, too. */
enum oracle_verdict trial_run(struct oracle *oracle, uint64_t seed, bool show);

/* The programs, with `param x: f64[n]` of 300,007 elements and `param y: f32[:, :]` of 331 x 1013 before each. Fails
 * the test if the verdict is another. */
void trial_check_large(struct oracle *oracle, const char *const *sources, int n, enum oracle_verdict expected);

/* Large enough that two threads share the work, of sizes that end in the middle of everything. */
extern const char *const trial_large[];
extern const int trial_large_count;
/* What fails at run time. */
extern const char *const trial_failures[];
extern const int trial_failures_count;

#endif
