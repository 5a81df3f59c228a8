/* random.h: random programs, made from a seed.
 *
 * Types and shapes are followed while a program is made, so nearly all of them are accepted; sizes are known numbers
 * here and run-time values to Weft. Every statement begins a line, so that a failing program can be made smaller by
 * leaving lines out.
 */
#ifndef ORACLE_RANDOM_H
#define ORACLE_RANDOM_H

#include "oracle/oracle.h"

enum { RANDOM_STATEMENTS = 64, RANDOM_OUTPUTS = 8 };

struct random_program {
    int n_statements;
    const char *statements[RANDOM_STATEMENTS]; /* params first */
    int n_outputs;
    const char *outputs[RANDOM_OUTPUTS];
    int n_inputs;
    struct oracle_input inputs[ORACLE_INPUTS];
};

/* Everything, the inputs' elements included, lives in the arena. */
void random_program_make(struct arena *arena, uint64_t seed, struct random_program *program);
/* The source text, without the outputs for which `without` is set (NULL: with all). */
const char *random_program_text(struct arena *arena, const struct random_program *program, const bool *without);

#endif
