/* The examples, run as processes; the light curve against what NumPy makes of it (make_reference.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include <weft/tools.h>

#define EXAMPLES WEFT_SOURCE_DIR "/examples"

static void test_embed(void **state) {
    (void)state;
    expect(0, "sqrt(sum((x - y)**2)) = 5\n", NULL, NULL, "%s", EXAMPLE_EMBED);
    expect(0, "max(abs(x - y)) = 4\n", NULL, NULL, "%s 'max(abs(x - y))'", EXAMPLE_EMBED);
    expect(1, "", "<source>:2:", NULL, "%s 'sum(x) + zzz'", EXAMPLE_EMBED);
    /* It is what a reader sees first. */
    FILE *file = fopen(EXAMPLES "/embed.c", "r");
    assert_non_null(file);
    int lines = 0;
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    assert_true(lines < 60);
}

static void test_raster(void **state) {
    (void)state;
    /* A strip of 10 columns has no near infrared: 1000*700 - 10*700 pixels. */
    expect_part(0, "693000 of 700000 pixels have a value: -0.3333 to ", NULL, NULL, "%s", EXAMPLE_RASTER);
    /* A formula without that band has a value everywhere. */
    expect(0, "700000 of 700000 pixels have a value: 1.0000 to 1.0000, mean 1.0000\n", NULL, NULL, "%s 'red/red'",
           EXAMPLE_RASTER);
    expect_part(0, "693000 of 700000", NULL, NULL, "%s 'where(nir > red, 1, 0)'", EXAMPLE_RASTER);
    expect(1, "", "did you mean `nir`?", NULL, "%s 'nri + 1'", EXAMPLE_RASTER);
    expect(1, "", "^", NULL, "%s '(nir - red'", EXAMPLE_RASTER);
    expect(1, "", "mean", NULL, "%s 'nir - mean(nir)'", EXAMPLE_RASTER);
    expect(1, "", "error: ", NULL, "%s 'nir[0]'", EXAMPLE_RASTER);
    expect(1, "", "error: ", NULL, "%s 'print(nir)'", EXAMPLE_RASTER);
    expect(1, "", "error: ", NULL, "%s ''", EXAMPLE_RASTER);
}

static void test_threads(void **state) {
    (void)state;
    expect(0, "8 threads, 200 calls each, all right\n", NULL, NULL, "%s", EXAMPLE_THREADS);
}

static void test_gpu(void **state) {
    (void)state;
    /* A driver that is there shows no devices. */
    expect_part(77, "no GPU: ", NULL, NULL, "CUDA_VISIBLE_DEVICES=-1 %s", EXAMPLE_GPU);
}

static DLManagedTensor *load(const char *path, jit_dtype type, int64_t n) {
    DLManagedTensor *tensor;
    jit_error error = {0};
    if (jit_load(path, &tensor, &error) != JIT_OK) print_error("%s\n", error.message);
    assert_int_equal(error.code, JIT_OK);
    assert_int_equal(jit_type_of(&tensor->dl_tensor), type);
    assert_int_equal(tensor->dl_tensor.ndim, 1);
    assert_int_equal(tensor->dl_tensor.shape[0], n);
    return tensor;
}

/* Found by NumPy (make_reference.py): the best of 100,000 frequencies. */
static const double BEST = 1.364638646386464, STEP = 9.9 / 99999;

static void test_light_curve(void **state) {
    (void)state;
    command(NULL, "cp %s/data/t.npy %s/data/flux.npy .", EXAMPLES, EXAMPLES);
    assert_int_equal(outcome.status, 0);
    command(NULL, "weft run %s/light_curve.weft", EXAMPLES);
    if (outcome.status) print_error("%s\n", outcome.err);
    assert_int_equal(outcome.status, 0);
    assert_string_equal(outcome.err, "");
    double best;
    assert_int_equal(sscanf(outcome.out, "best frequency %lf", &best), 1);
    assert_true(fabs(best - BEST) < 1.5 * STEP);
    /* The star's period is 0.7321 days; 45 nights resolve a frequency to about 1/45. */
    assert_true(fabs(best - 1 / 0.7321) < 1.0 / 45);

    DLManagedTensor *power = load("power.npy", JIT_F64, 100000);
    DLManagedTensor *reference = load(WEFT_TEST_DIR "/power.npy", JIT_F64, 4000);
    const double *p = power->dl_tensor.data, *r = reference->dl_tensor.data;
    double most = 0, worst = 0;
    for (int i = 0; i < 4000; i++) most = fmax(most, r[i]);
    for (int i = 0; i < 4000; i++) worst = fmax(worst, fabs(p[25 * i] - r[i]));
    /* z is f32: seven digits, of which the sum of 3,000 terms loses less than one. */
    if (!(worst < 1e-6 * most)) print_error("off by %g of %g\n", worst, most);
    assert_true(worst < 1e-6 * most);
    power->deleter(power);
    reference->deleter(reference);
    assert_int_equal(file_count(), 3); /* t, flux, power: no temporary file is left */

    /* A param: with k = 100 nothing is clipped, and the outliers spoil the powers. */
    command(NULL, "weft run %s/light_curve.weft --set k=100 -j 1", EXAMPLES);
    assert_int_equal(outcome.status, 0);
    power = load("power.npy", JIT_F64, 100000);
    p = power->dl_tensor.data;
    double largest = 0;
    for (int i = 0; i < 100000; i++) largest = fmax(largest, p[i]);
    assert_true(largest < most / 2);
    power->deleter(power);
    unlink("power.npy");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed), cmocka_unit_test(test_raster),      cmocka_unit_test(test_threads),
        cmocka_unit_test(test_gpu),   cmocka_unit_test(test_light_curve),
    };
    return cmocka_run_group_tests(tests, command_setup, command_teardown);
}
