/* The program with --device cuda, on the GPU at hand or on the fake one of tests/gpu/shim (--fake). */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "gpu/device.h"
#include <weft/tools.h>

/* x.npy: [1.5, 2.5, 4]; m.npy: 40,000 f32 in 200 rows */
static void make_arrays(void) {
    double x[3] = {1.5, 2.5, 4};
    static float m[40000];
    for (int i = 0; i < 40000; i++) m[i] = (float)(i % 1009) * 0.37f;
    assert_int_equal(jit_save("x.npy", jit_array(x, JIT_F64, 3), NULL), JIT_OK);
    assert_int_equal(jit_save("m.npy", jit_matrix(m, JIT_F32, 200, 200, 200), NULL), JIT_OK);
}

static void test_eval(void **state) {
    (void)state;
    make_arrays();
    expect(0, "[3. 5. 8.]\n", NULL, NULL, "weft eval 'x*2' x=x.npy --device cuda");
    expect(0, "8.0\n", NULL, NULL, "weft eval --device=cuda:0 'sum(x)' x=x.npy");
    expect(0, "1.5\n4.0\n", NULL, NULL, "weft eval --device cuda 'min(x), max(x)' x=x.npy");
    expect(0, "5.5\n", NULL, NULL, "weft eval --device cuda 'a + b' a=2 b=3.5");
    expect(0, "", NULL, NULL, "weft eval --device cuda 'x + 1' x=x.npy -o y.npy");
    expect(0, "[2.5 3.5 5. ]\n", NULL, NULL, "weft eval y y=y.npy");
    expect(1, "", "broadcast", NULL, "weft eval 'x + [1, 2]' x=x.npy --device cuda");
}

/* Arithmetic and reductions: the same files, byte for byte. */
static void test_same_bits(void **state) {
    (void)state;
    make_arrays();
    static const char *const programs[] = {"m*1.1 + 3",           "sum(m)",        "sum(m, axis=0)",
                                           "mean(m, axis=1)",     "var(m)",        "m.T - mean(m, axis=0)",
                                           "argmax(m*m, axis=1)", "m[::-2, 3:50]", "sqrt(sum(m**2))"};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        expect(0, "", NULL, NULL, "weft eval '%s' m=m.npy -o cpu.npy", programs[i]);
        expect(0, "", NULL, NULL, "weft eval '%s' m=m.npy --device cuda -o gpu.npy", programs[i]);
        expect(0, "", NULL, NULL, "cmp cpu.npy gpu.npy # %s", programs[i]);
    }
}

static void test_run(void **state) {
    (void)state;
    make_arrays();
    file_write("p.weft", "param k = 3.0\nx = load(\"x.npy\")\ny = x*k\nfor i in 0:3 { y = y + i }\n"
                         "print(\"sum\", sum(y))\nsave(\"y.npy\", y)\n");
    expect(0, "sum 33.0\n", NULL, NULL, "weft run p.weft --device cuda");
    expect(0, "[ 7.5 10.5 15. ]\n", NULL, NULL, "weft eval y y=y.npy");
    expect(0, "sum 49.0\n", NULL, NULL, "weft run p.weft --device cuda --set k=5");
    file_write("late.weft", "x = load(\"x.npy\")\nprint(\"before\")\nassert sum(x) > 100, \"too small\"\n");
    expect(1, "before\n", "late.weft:3:", NULL, "weft run late.weft --device cuda");
    file_write("bad.weft", "x = load(\"x.npy\")\nufunc f(i, t: [n]) { return t[i] }\nprint(f(i64([0, 5, 9]), x))\n");
    expect(1, "", "out of range", NULL, "weft run bad.weft --device cuda");
    assert_non_null(strstr(outcome.err, "bad.weft:2:"));
    expect(1, "", "cuda:77: there is no ", NULL, "weft run p.weft --device cuda:77");
}

static void test_profile(void **state) {
    (void)state;
    make_arrays();
    expect(0, "8.0\n", "k0_sum", NULL, "weft eval 'sum(x)' x=x.npy --profile --device cuda");
    assert_non_null(strstr(outcome.err, "\n(to the GPU) "));
    assert_non_null(strstr(outcome.err, "\n(from the GPU) "));
    assert_non_null(strstr(outcome.err, " %  GPU\n"));
    assert_null(strstr(outcome.err, " %  CPU\n"));
    /* The bytes of x, once. */
    long long launches = 0;
    double ms = -1, bytes = -1;
    const char *row = strstr(outcome.err, "\n(to the GPU) ");
    assert_int_equal(sscanf(row + strlen("\n(to the GPU) "), "%lld %lf ms %lf", &launches, &ms, &bytes), 3);
    assert_int_equal(launches, 1);
    assert_true(ms >= 0);
    assert_true(bytes == 24);
}

static void test_session(void **state) {
    (void)state;
    expect(0, "[0.  0.5 1. ]\n1.5\n1.25\n", NULL, "x = linspace(0, 1, 3)\nx\nsum(x)\nsum(x**2)\n",
           "weft --device cuda");
    expect(1, "5\n", "broadcast", "x = [1.0, 2]\nx + [1, 2, 3]\n2 + 3\n", "weft --device cuda");
    expect_part(0, "__global__", NULL, "x = [1.0, 2, 3]\n:cuda sqrt(x)\n", "weft --device cuda");
}

static void test_info(void **state) {
    (void)state;
    expect_part(0, "\nGPU driver    CUDA ", NULL, NULL, "weft info");
    assert_non_null(strstr(outcome.out, "\nGPU compiler  NVRTC "));
    assert_non_null(strstr(outcome.out, "\ncuda:0        "));
    assert_non_null(strstr(outcome.out, ", sm_"));
}

int main(int argc, char **argv) {
    struct device device;
    bool fake = argc > 1 && !strcmp(argv[1], "--fake");
    const char *why = device_open(&device, 0);
    if (why) {
        fprintf(stderr, "skipped: %s\n", why);
        return fake ? 1 : 77;
    }
    if (fake != device.is_shim) {
        fprintf(stderr, fake ? "this is not the fake GPU: LD_LIBRARY_PATH?\n" : "skipped: this is the fake GPU\n");
        return fake ? 1 : 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eval),    cmocka_unit_test(test_same_bits), cmocka_unit_test(test_run),
        cmocka_unit_test(test_profile), cmocka_unit_test(test_session),   cmocka_unit_test(test_info),
    };
    int failed = cmocka_run_group_tests(tests, command_setup, command_teardown);
    device_close(&device);
    return failed;
}
