/* Random programs: compiled code against the reference evaluator, the same bits on every instruction set of this
 * machine and at one and two threads.
 *
 *     test_random                      a fixed list of seeds, most of them on one instruction set each
 *     WEFT_RANDOM=5000 test_random     so many programs, all on all
 *     WEFT_RANDOM_SEED=17 test_random  one program, shown
 */
#include <stdio.h>
#include <stdlib.h>

#include "oracle/trial.h"
#include "support/check.h"

enum { PROGRAMS = 200, MOST_FAILURES = 5 };

/* [0]: 4 ULP; [1]: 1 ULP, if SLEEF is here. */
static struct oracle oracles[2];

static void test_random_programs(void **state) {
    (void)state;
    struct oracle *oracle = &oracles[0];
    const char *count = getenv("WEFT_RANDOM"), *seed = getenv("WEFT_RANDOM_SEED");
    int n = count ? atoi(count) : PROGRAMS, verdicts[ORACLE_VERDICTS] = {0};
    if (seed) {
        assert_int_not_equal(trial_run(oracle, strtoull(seed, NULL, 10), true), ORACLE_DIFFERENT);
        return;
    }
    for (int i = 1; i <= n && verdicts[ORACLE_DIFFERENT] < MOST_FAILURES; i++) {
        oracle = &oracles[oracles[1].n && i % 9 == 0];
        oracle->skip = count || i % 8 == 0 ? 0 : ~(1u << i % oracle->n);
        verdicts[trial_run(oracle, (uint64_t)i, false)]++;
    }
    printf("%d programs: %d the same, %d failed alike, %d not accepted, %d different; on", n, verdicts[ORACLE_SAME],
           verdicts[ORACLE_FAILED], verdicts[ORACLE_REJECTED], verdicts[ORACLE_DIFFERENT]);
    for (int i = 0; i < oracles[0].n; i++) printf(" %s", oracles[0].isa[i]);
    printf("%s\n", oracles[1].n ? ", some in the 1 ULP mode" : "");
    assert_int_equal(verdicts[ORACLE_DIFFERENT], 0);
    assert_true(verdicts[ORACLE_SAME] * 10 >= n * 7); /* the generator and the front end agree on what a program is */
}

static void test_large_arrays(void **state) {
    (void)state;
    trial_check_large(&oracles[0], trial_large, trial_large_count, ORACLE_SAME);
}

/* What fails at run time fails alike. */
static void test_failures(void **state) {
    (void)state;
    trial_check_large(&oracles[0], trial_failures, trial_failures_count, ORACLE_FAILED);
}

int main(void) {
    if (!oracle_open(&oracles[0], 4)) return 1;
    oracle_open(&oracles[1], 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_programs), cmocka_unit_test(test_large_arrays),
                                       cmocka_unit_test(test_failures)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 2; i++) oracle_close(&oracles[i]);
    return failed;
}
