/* Random programs on a GPU: the same bits as the reference evaluator's, from host tensors, from device tensors and on a
 * stream of the caller's; errors as on the CPU, text included. On the fake GPU elementary functions are those of the
 * CPU's vector library.
 *
 *     test_random_cuda --fake                   a fixed list of seeds
 *     WEFT_RANDOM=500 test_random_cuda          so many programs
 *     WEFT_RANDOM_SEED=17 test_random_cuda      one program, shown
 */
#include <stdlib.h>

#include "gpu/fake_math.h"
#include "gpu/fixture.h"
#include "oracle/trial.h"

enum { PROGRAMS = SLOWNESS > 1 ? 12 : 40, MOST_FAILURES = 5 };

static struct oracle oracle;

static void test_random_programs(void **state) {
    (void)state;
    const char *count = getenv("WEFT_RANDOM"), *seed = getenv("WEFT_RANDOM_SEED");
    int n = count ? atoi(count) : PROGRAMS, verdicts[ORACLE_VERDICTS] = {0};
    if (seed) {
        assert_int_not_equal(trial_run(&oracle, strtoull(seed, NULL, 10), true), ORACLE_DIFFERENT);
        return;
    }
    const char *from = getenv("WEFT_RANDOM_FROM");
    int first = from ? atoi(from) : 1;
    for (int i = first; i < first + n && verdicts[ORACLE_DIFFERENT] < MOST_FAILURES; i++)
        verdicts[trial_run(&oracle, (uint64_t)i, false)]++;
    printf("%d programs: %d the same, %d failed alike, %d not accepted, %d not compared, %d different\n", n,
           verdicts[ORACLE_SAME], verdicts[ORACLE_FAILED], verdicts[ORACLE_REJECTED], verdicts[ORACLE_NOT_COMPARED],
           verdicts[ORACLE_DIFFERENT]);
    assert_int_equal(verdicts[ORACLE_DIFFERENT], 0);
    assert_true((verdicts[ORACLE_SAME] + verdicts[ORACLE_NOT_COMPARED]) * 10 >= n * 7);
}

static void test_large_arrays(void **state) {
    (void)state;
    trial_check_large(&oracle, trial_large, trial_large_count, ORACLE_SAME);
}

/* What fails at run time fails alike. */
static void test_failures(void **state) {
    (void)state;
    trial_check_large(&oracle, trial_failures, trial_failures_count, ORACLE_FAILED);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    if (!oracle_open_device(&oracle, &device)) return 1;
    math_from_cpu(&device, oracle.host->engine);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_programs), cmocka_unit_test(test_large_arrays),
                                       cmocka_unit_test(test_failures)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    math_from_cpu(&device, NULL);
    oracle_close(&oracle);
    device_close(&device);
    return failed;
}
