/* Random programs: compiled code against the reference evaluator, the same bits on every instruction set of this machine and at
 * one and two threads.
 *
 *     test_random                      a fixed list of seeds, most of them on one instruction set each
 *     WEFT_RANDOM=5000 test_random     so many programs, all on all
 *     WEFT_RANDOM_SEED=17 test_random  one program, shown
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle/random.h"
#include "support/check.h"

enum { PROGRAMS = 300, MOST_FAILURES = 5 };

struct trial {
    struct mem mem;
    struct arena arena;
    struct oracle *oracle;
    uint64_t seed;
    bool show;
    enum oracle_verdict verdict;
    char why[1024];
};

static enum oracle_verdict check(struct trial *t, const struct random_program *program, const bool *statements, const bool *outputs,
                                 char *why) {
    const char *text = random_program_text(&t->arena, program, statements, outputs);
    return oracle_check(t->oracle, text, program->inputs, program->n_inputs, why, sizeof t->why);
}

/* Leaves out what the program fails without. */
static void shrink(struct trial *t, const struct random_program *program) {
    bool statements[RANDOM_STATEMENTS] = {false}, outputs[ORACLE_OUTPUTS] = {false};
    char why[sizeof t->why];
    for (int i = 0, left = program->n_outputs; i < program->n_outputs && left > 1; i++) {
        outputs[i] = true;
        if (check(t, program, statements, outputs, why) == ORACLE_DIFFERENT) left--;
        else outputs[i] = false;
    }
    for (int round = 0; round < 2; round++)
        for (int i = program->n_statements - 1; i >= 0; i--) {
            if (statements[i]) continue;
            statements[i] = true;
            if (check(t, program, statements, outputs, why) != ORACLE_DIFFERENT) statements[i] = false;
        }
    check(t, program, statements, outputs, t->why);
    fprintf(stderr, "seed %llu: %s\n----\n%s----\n", (unsigned long long)t->seed, t->why,
            random_program_text(&t->arena, program, statements, outputs));
    for (int i = 0; i < program->n_inputs; i++) {
        const struct oracle_input *input = &program->inputs[i];
        fprintf(stderr, "%s: %s", input->name, dtype_name(input->type));
        for (int d = 0; d < input->rank; d++)
            fprintf(stderr, " %lld:%lld", (long long)input->shape[d], (long long)input->stride[d]);
        fprintf(stderr, "\n");
    }
}

static void try_program(void *argument) {
    struct trial *t = argument;
    struct random_program program;
    random_program_make(&t->arena, t->seed, &program);
    if (t->show) fprintf(stderr, "%s", random_program_text(&t->arena, &program, NULL, NULL));
    t->verdict = check(t, &program, NULL, NULL, t->why);
    if (t->verdict == ORACLE_DIFFERENT) shrink(t, &program);
    else if (t->show) fprintf(stderr, "verdict %d %s\n", t->verdict, t->why);
}

static enum oracle_verdict run_seed(struct oracle *oracle, uint64_t seed, bool show) {
    struct trial t = {.oracle = oracle, .seed = seed, .show = show};
    arena_init(&t.arena, &t.mem);
    assert_true(arena_try(&t.arena, try_program, &t));
    if (t.verdict == ORACLE_REJECTED && getenv("WEFT_RANDOM_REJECTED")) fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, t.why);
    arena_free(&t.arena);
    return t.verdict;
}

static void test_random_programs(void **state) {
    struct oracle *oracle = *state;
    const char *count = getenv("WEFT_RANDOM"), *seed = getenv("WEFT_RANDOM_SEED");
    int n = count ? atoi(count) : PROGRAMS, verdicts[4] = {0};
    oracle->skip = 0;
    if (seed) {
        assert_int_not_equal(run_seed(oracle, strtoull(seed, NULL, 10), true), ORACLE_DIFFERENT);
        return;
    }
    for (int i = 1; i <= n && verdicts[ORACLE_DIFFERENT] < MOST_FAILURES; i++) {
        oracle->skip = count || i % 8 == 0 ? 0 : ~(1u << i % oracle->n);
        verdicts[run_seed(oracle, (uint64_t)i, false)]++;
    }
    printf("%d programs: %d the same, %d failed alike, %d not accepted, %d different; on", n, verdicts[ORACLE_SAME],
           verdicts[ORACLE_FAILED], verdicts[ORACLE_REJECTED], verdicts[ORACLE_DIFFERENT]);
    for (int i = 0; i < oracle->n; i++) printf(" %s", oracle->isa[i]);
    printf("\n");
    assert_int_equal(verdicts[ORACLE_DIFFERENT], 0);
    assert_true(verdicts[ORACLE_SAME] * 10 >= n * 7); /* the generator and the front end agree on what a program is */
}

int main(void) {
    struct oracle oracle;
    oracle_open(&oracle, 4);
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_random_programs, &oracle)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    oracle_close(&oracle);
    return failed;
}
