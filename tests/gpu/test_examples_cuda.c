/* The examples on a GPU, run as processes: what they print and save is what the CPU makes of them.
 *
 * The fake GPU looks for the star's period among 300 frequencies, a real one among all 100,000, held against NumPy's
 * powers.
 */
#include <math.h>

#include <weft/tools.h>

#include "cli/command.h"
#include "gpu/fixture.h"

#define EXAMPLES WEFT_SOURCE_DIR "/examples"

static DLManagedTensor *load(const char *path, int64_t n) {
    DLManagedTensor *tensor;
    jit_error error = {0};
    if (jit_load(path, &tensor, &error) != JIT_OK) fail_msg("%s: %s", path, error.message);
    assert_int_equal(jit_type_of(&tensor->dl_tensor), JIT_F64);
    assert_int_equal(tensor->dl_tensor.ndim, 1);
    assert_int_equal(tensor->dl_tensor.shape[0], n);
    return tensor;
}

/* power.npy's every `step`th value within 1e-6 of the largest, as the CPU's test has it. */
static void compare_powers(const char *path, int64_t n, const char *expected_path, int64_t n_expected) {
    DLManagedTensor *power = load(path, n), *expected = load(expected_path, n_expected);
    const double *p = power->dl_tensor.data, *e = expected->dl_tensor.data;
    int64_t step = n / n_expected;
    double most = 0, worst = 0;
    for (int64_t i = 0; i < n_expected; i++) most = fmax(most, e[i]);
    for (int64_t i = 0; i < n_expected; i++) worst = fmax(worst, fabs(p[step * i] - e[i]));
    if (!(worst < 1e-6 * most)) fail_msg("off by %g of %g", worst, most);
    power->deleter(power);
    expected->deleter(expected);
}

static void test_light_curve(void **state) {
    (void)state;
    enum { ALL = 100000, FEW = 300, REFERENCE = 4000 };
    static char cpu[sizeof outcome.out];
    command(NULL, "cp %s/data/t.npy %s/data/flux.npy . && sed 's/100_000/%d/' %s/light_curve.weft >lc.weft", EXAMPLES,
            EXAMPLES, device.is_shim ? FEW : ALL, EXAMPLES);
    assert_int_equal(outcome.status, 0);
    command(NULL, "weft run lc.weft && mv power.npy cpu.npy");
    assert_int_equal(outcome.status, 0);
    snprintf(cpu, sizeof cpu, "%s", outcome.out);
    expect(0, cpu, NULL, NULL, "weft run lc.weft --device cuda");
    compare_powers("power.npy", device.is_shim ? FEW : ALL, "cpu.npy", device.is_shim ? FEW : ALL);
    if (!device.is_shim) compare_powers("power.npy", ALL, WEFT_SOURCE_DIR "/tests/examples/power.npy", REFERENCE);
    expect(0, cpu, NULL, NULL, "weft run lc.weft --device cuda:0 -j 1"); /* kernels from the disk cache */
}

static void test_gpu(void **state) {
    (void)state;
    expect(0, "mean 499.5, z[0] = -999, z[999] = 999\nthe result is on device 0 of type 2\n", NULL, NULL, "%s",
           EXAMPLE_GPU);
}

/* From the shell: the same text from the CPU and from the GPU. */
static void test_shell(void **state) {
    (void)state;
    static const char *const lines[] = {
        "weft eval 'x[::-1]*2 + sum(x)' x=t.npy",
        "weft eval 'where(x > mean(x), x, nan)' x=flux.npy",
        "weft eval 'argmax(x), x[argmax(x)]' x=flux.npy",
        "printf 'a = arange(10)\\nb = a*a\\nb\\nsum(b[::2])\\nb[11]\\nmean(b)\\n' | weft",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        static char out[sizeof outcome.out], err[sizeof outcome.err];
        command(NULL, "%s", lines[i]);
        int status = outcome.status;
        memcpy(out, outcome.out, sizeof out);
        memcpy(err, outcome.err, sizeof err);
        command(NULL, "%s --device cuda", lines[i]);
        if (outcome.status != status || strcmp(outcome.out, out) || strcmp(outcome.err, err))
            fail_msg("%s\nCPU (%d): %s%s\nGPU (%d): %s%s", lines[i], status, out, err, outcome.status, outcome.out,
                     outcome.err);
    }
    expect(1, "", "cuda:9", NULL, "weft eval 1+1 --device cuda:9");
    expect_part(0, "cuda:0", NULL, NULL, "weft info");
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_light_curve),
        cmocka_unit_test(test_gpu),
        cmocka_unit_test(test_shell),
    };
    status = cmocka_run_group_tests(tests, command_setup, command_teardown);
    device_close(&device);
    return status;
}
