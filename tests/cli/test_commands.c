/* run, eval, emit, info: what goes where, exit statuses, and files that are written whole or not at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include <weft/tools.h>

/* x.npy: [1.5, 2.5, 4]; m.npy: i32 [[1, 2, 3], [4, 5, 6]] */
static void make_arrays(void) {
    double x[3] = {1.5, 2.5, 4};
    int32_t m[6] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(jit_save("x.npy", jit_array(x, JIT_F64, 3), NULL), JIT_OK);
    assert_int_equal(jit_save("m.npy", jit_matrix(m, JIT_I32, 2, 3, 3), NULL), JIT_OK);
}

static void test_usage(void **state) {
    (void)state;
    expect_part(0, "usage: weft", NULL, NULL, "weft --help");
    expect_part(0, "usage: weft run", NULL, NULL, "weft run --help");
    expect_part(0, "usage: weft eval", NULL, NULL, "weft eval -h");
    expect_part(0, "usage: weft emit", NULL, NULL, "weft emit --help");
    expect(0, "weft " JIT_VERSION "\n", NULL, NULL, "weft --version");
    expect(2, "", "did you mean `eval`?", NULL, "weft evla 1");
    expect(2, "", "unknown command 'frobnicate'", NULL, "weft frobnicate");
    expect(2, "", "weft run a.weft", NULL, "weft a.weft");
    expect(2, "", "expected an expression, found nothing", NULL, "weft eval");
    expect(2, "", "expected a file, found nothing", NULL, "weft run");
    expect(2, "", "did you mean `--threads`?", NULL, "weft eval --thread 2 1");
    expect(2, "", "--ulp: expected 1|4, found '3'", NULL, "weft eval --ulp 3 1");
    expect(2, "", "--fp: expected strict|contract|fast, found 'loose'", NULL, "weft eval --fp=loose 1");
    expect(2, "", "--threads: expected a number from 1 to 1024, found 'x'", NULL, "weft eval -j x 1");
    expect(2, "", "--profile takes no value", NULL, "weft eval --profile=1 1");
    expect(2, "", "expected FILE.npy, found nothing", NULL, "weft eval 1 -o");
    expect(2, "", "expected NAME=VALUE", NULL, "weft eval 'x' 3");
    expect(2, "", "--set: expected NAME=VALUE, found 'k'", NULL, "weft run a.weft --set k");
    expect(2, "", "--device: expected cpu|cuda|cuda:N, found 'tpu'", NULL, "weft eval --device tpu 1");
    static const char *const devices[] = {"cuda:", "cuda:x",     "cuda:1x", "cuda:-1",
                                          "cuda1", "cuda:12345", "cuda:0 ", "CUDA"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        expect(2, "", "--device: expected cpu|cuda|cuda:N", NULL, "weft run --device '%s' p.weft", devices[i]);
    file_write("p.weft", "print(1)\n");
    expect(1, "", "--each is not available in this version", NULL, "weft run p.weft --each 'x=*.npy'");
    expect(0, "1\n", NULL, NULL, "weft run p.weft --device=cpu -j2 --ulp=4 --fp contract");
}

static void test_eval(void **state) {
    (void)state;
    make_arrays();
    expect(0, "7\n", NULL, NULL, "weft eval '1 + 2*3'");
    expect(0, "0.30000000000000004\n", NULL, NULL, "weft eval '0.1 + 0.2'");
    expect(0, "[3. 5. 8.]\n", NULL, NULL, "weft eval 'x*2' x=x.npy");
    expect(0, "[[10 20 30]\n [40 50 60]]\n", NULL, NULL, "weft eval 'm*10' m=m.npy");
    expect(0, "8.0\n", NULL, NULL, "weft eval 'sum(x)' x=x.npy");
    expect(0, "5\n", NULL, NULL, "weft eval 'a + b' a=2 b=3");
    expect(0, "5.5\n", NULL, NULL, "weft eval 'a + b' a=2 b=3.5");
    expect(0, "-0.5\n", NULL, NULL, "weft eval '-x + 1' x=1.5");
    expect(0, "-2\n", NULL, NULL, "weft eval -- -x x=2");
    expect(0, "False\n", NULL, NULL, "weft eval 'not c' c=true");
    expect(0, "nan\n", NULL, NULL, "weft eval 'x + 1' x=nan");
    expect(0, "-inf\n", NULL, NULL, "weft eval 'x' x=-inf");
    expect(0, "6.0\n", NULL, NULL, "weft eval 'param k = 3.0; 2*k'");
    expect(0, "10.0\n", NULL, NULL, "weft eval 'param k = 3.0; 2*k' k=5");
    expect(0, "200\n", NULL, NULL, "weft eval 'param b: u8; b' b=200");
    expect(0, "1.5\n4.0\n", NULL, NULL, "weft eval 'min(x), max(x)' x=x.npy");
}

static void test_eval_wrong(void **state) {
    (void)state;
    make_arrays();
    expect(1, "", "<expr>:1:5: error: ", NULL, "weft eval '1 + )'");
    expect(1, "", "^", NULL, "weft eval '1 + )'");
    expect(1, "", "input `y` has no value", NULL, "weft eval 'x + y' x=1");
    expect(1, "", "no input `z`", NULL, "weft eval 'x + 1' x=1 z=2");
    expect(1, "", "did you mean `flux`?", NULL, "weft eval 'flux + 1' flx=2");
    expect(1, "", "was given twice", NULL, "weft eval 'x + 1' x=2 x=3");
    expect(1, "", "missing.npy", NULL, "weft eval 'x + 1' x=missing.npy");
    expect(1, "", "input `b`: expected u8, found 300", NULL, "weft eval 'param b: u8; b' b=300");
    expect(1, "", "input `b`: expected u8, found -1", NULL, "weft eval 'param b: u8; b' b=-1");
    expect(1, "", "input `b`: expected i64, found 2.5", NULL, "weft eval 'param b: i64; b' b=2.5");
    expect(1, "", "expected a .npy file with f64[:], found the number 2", NULL, "weft eval 'param b: f64[n]; b' b=2");
    expect(1, "", "add b=FILE.npy", NULL, "weft eval 'param b: f64[n]; b'");
    file_write("bad.npy", "this is no array");
    expect(1, "", "bad.npy", NULL, "weft eval 'x + 1' x=bad.npy");
    unlink("bad.npy");
    expect(1, "", "broadcast", NULL, "weft eval 'x + [1, 2]' x=x.npy");
}

static void test_output(void **state) {
    (void)state;
    make_arrays();
    int before = file_count();
    expect(0, "", NULL, NULL, "weft eval 'x + 1' x=x.npy -o y.npy");
    expect(0, "[2.5 3.5 5. ]\n", NULL, NULL, "weft eval y y=y.npy");
    assert_int_equal(file_count(), before + 1);
    unlink("y.npy");
    expect(1, "", "-o needs a program with one output, this one has 2", NULL, "weft eval 'x, x' x=x.npy -o y.npy");
    expect(1, "", "[3]", NULL, "weft eval 'x + [1, 2]' x=x.npy -o y.npy");
    expect(1, "", "nowhere/y.npy", NULL, "weft eval 'x' x=x.npy -o nowhere/y.npy");
    assert_int_equal(file_count(), before);
    /* The input may be replaced. */
    expect(0, "", NULL, NULL, "weft eval 'x*2' x=x.npy -o x.npy");
    expect(0, "[3. 5. 8.]\n", NULL, NULL, "weft eval x x=x.npy");
    assert_int_equal(file_count(), before);
    /* A disk that is full, as far as a test can have one. */
    if (access("/dev/full", W_OK) == 0) expect(1, "", "standard output", NULL, "weft eval 1 >/dev/full");
}

static void test_run(void **state) {
    (void)state;
    make_arrays();
    file_write("p.weft", "param k = 3.0\nx = load(\"x.npy\")\ny = x*k\nprint(\"sum\", sum(y))\nsave(\"y.npy\", y)\n");
    expect(0, "sum 24.0\n", NULL, NULL, "weft run p.weft");
    expect(0, "[ 4.5  7.5 12. ]\n", NULL, NULL, "weft eval y y=y.npy");
    expect(0, "sum 40.0\n", NULL, NULL, "weft run p.weft --set k=5");
    expect(0, "", NULL, NULL, "weft run --quiet p.weft --set k=5");
    file_write("q.weft", "param x: f64[n]\nx - mean(x)\n");
    expect(0, "", NULL, NULL, "weft run q.weft --set x=x.npy -o z.npy");
    expect_part(0, "[-1.1666", NULL, NULL, "weft eval z z=z.npy");
    expect(1, "", "--set x=FILE.npy", NULL, "weft run q.weft");
    expect(1, "", "none.weft", NULL, "weft run none.weft");
    expect(1, "", "cannot read '.': ", NULL, "weft run .");
    file_write("bad.weft", "x = 1\ny = x + \nprint(zzz)\n");
    expect(1, "", "bad.weft:2:", NULL, "weft run bad.weft");
    file_write("bad.weft", "x = load(\"none.npy\")\n");
    expect(1, "", "bad.weft:1:", NULL, "weft run bad.weft");
    /* What was printed before an error stays printed; what failed was not saved. */
    unlink("y.npy");
    file_write("late.weft",
               "x = load(\"x.npy\")\nprint(\"before\")\nassert sum(x) > 100, \"too small\"\nsave(\"y.npy\", x)\n");
    expect(1, "before\n", "late.weft:3:", NULL, "weft run late.weft");
    assert_non_null(strstr(outcome.err, "too small"));
    assert_false(file_exists("y.npy"));
}

static void test_profile(void **state) {
    (void)state;
    make_arrays();
    expect(0, "8.0\n", "GB/s", NULL, "weft eval 'sum(x)' x=x.npy --profile");
    /* The head and one row: a sum is one kernel. */
    int lines = 0;
    for (const char *c = outcome.err; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 2);
    assert_non_null(strstr(outcome.err, "100.0 %"));
}

static void test_emit(void **state) {
    (void)state;
    static const char *const stages[] = {"ast", "ir", "kernels", "plan", "llvm", "asm"};
    static const char *const parts[] = {"sqrt", "sqrt", "sqrt", "run \"k0_map\"", "define", ".text"};
    for (int i = 0; i < 6; i++)
        expect_part(0, parts[i], NULL, NULL, "weft emit --stage=%s -e 'sqrt(x) + 1' 'x:f64[n]'", stages[i]);
    file_write("q.weft", "param x: f32[n]\nx - mean(x)\n");
    expect_part(0, "f32", NULL, NULL, "weft emit --stage ir q.weft");
    expect(1, "", "the type of input `x` is not known", NULL, "weft emit --stage=ir -e 'x + 1'");
    expect(1, "", "the program has no input `y`", NULL, "weft emit --stage=ir -e 'x + 1' 'x:f64' 'y:f64'");
    expect(2, "", "did you mean `llvm`?", NULL, "weft emit --stage=lvm -e 1");
    expect(2, "", "unknown type 'f65'", NULL, "weft emit --stage=ir -e x 'x:f65'");
    expect(2, "", "expected an input's type", NULL, "weft emit --stage=ir -e x 'x:f64[n'");
    expect(2, "", "found neither", NULL, "weft emit --stage=ir");
    expect(2, "", "found both", NULL, "weft emit --stage=ir -e 1 q.weft");
    expect(2, "", "expected --stage", NULL, "weft emit -e 1");
    expect(1, "", "<expr>:1:", NULL, "weft emit --stage=ir -e '1 +'");
}

/* Code for GPUs, which needs none; PTX needs NVRTC. */
static void test_emit_gpu(void **state) {
    (void)state;
    expect_part(0, "// kernel 1 of 1: k0_map, sm_80\n", NULL, NULL,
                "weft emit --stage=cuda -e 'sqrt(x) + 1' 'x:f64[n]'");
    expect_part(0, "__global__", NULL, NULL, "weft emit --stage=cuda -e 'sqrt(x) + 1' 'x:f64[n]'");
    expect_part(0, "sm_90\n", NULL, NULL, "weft emit --stage=cuda --arch=sm_90 -e 'sqrt(x) + 1' 'x:f64[n]'");
    expect_part(0, "// kernel 2 of 2: ", NULL, NULL, "weft emit --stage=cuda -e 'x - mean(x)' 'x:f32[n]'");
    expect_part(0, "// where there are rows enough, k0_sum to k1_map as one: k0_k1_rows, sm_80\n", NULL, NULL,
                "weft emit --stage=cuda -e 'x/sum(x, axis=1, keepdims=true)' 'x:f64[n,m]'");
    expect(1, "", "\"sm_60\" is too old: sm_75 and later are supported", NULL,
           "weft emit --stage=cuda --arch=sm_60 -e 'x + 1' 'x:f64[n]'");
    expect(1, "", "\"gfx90a\" is unknown: expected sm_75", NULL,
           "weft emit --stage=ptx --arch gfx90a -e 'x + 1' 'x:f64[n]'");
    expect(2, "", "--arch goes with --stage=cuda and --stage=ptx, not with asm", NULL,
           "weft emit --stage=asm --arch=sm_90 -e 'x + 1' 'x:f64[n]'");
    expect(2, "", "did you mean `ptx`?", NULL, "weft emit --stage=pxt -e 1");
    command(NULL, "weft emit --stage=ptx --arch=sm_90 -e 'x + 1' 'x:f64[n]'");
    if (outcome.status == 1) { /* NVRTC is missing, and that is what it says */
        assert_non_null(strstr(outcome.err, "stage \"ptx\": NVRTC"));
        return;
    }
    assert_int_equal(outcome.status, 0);
    assert_non_null(strstr(outcome.out, ".target sm_90"));
    assert_non_null(strstr(outcome.out, ".entry k0_map"));
    expect(1, "", "does not know architecture sm_79; it knows sm_", NULL,
           "weft emit --stage=ptx --arch=sm_79 -e 'x + 1' 'x:f64[n]'");
}

/* Neither a driver's devices nor, where there is no driver, anything else is taken for a GPU; the processor serves on.
 */
static void test_no_gpu(void **state) {
    (void)state;
    file_write("p.weft", "print(1)\n");
    expect(1, "", "weft: error: cuda:0: ", NULL, "CUDA_VISIBLE_DEVICES=-1 weft eval --device cuda 1");
    expect(1, "", "weft: error: cuda:3: ", NULL, "CUDA_VISIBLE_DEVICES=-1 weft run p.weft --device=cuda:3");
    expect(1, "", "weft: error: cuda:0: ", "1 + 1\n", "CUDA_VISIBLE_DEVICES=-1 weft --device cuda:0");
    expect(0, "2\n", NULL, "1 + 1\n", "CUDA_VISIBLE_DEVICES=-1 weft --device cpu");
    expect_part(0, "GPU driver    ", NULL, NULL, "CUDA_VISIBLE_DEVICES=-1 weft info --device cuda");
    assert_non_null(strstr(outcome.out, "\nGPU compiler  "));
}

static void test_info(void **state) {
    (void)state;
    expect_part(0, "LLVM", NULL, NULL, "weft info");
    assert_non_null(strstr(outcome.out, JIT_VERSION));
    assert_non_null(strstr(outcome.out, "vector math"));
    expect(2, "", "expected no argument", NULL, "weft info now");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),  cmocka_unit_test(test_eval),     cmocka_unit_test(test_eval_wrong),
        cmocka_unit_test(test_output), cmocka_unit_test(test_run),      cmocka_unit_test(test_profile),
        cmocka_unit_test(test_emit),   cmocka_unit_test(test_emit_gpu), cmocka_unit_test(test_info),
        cmocka_unit_test(test_no_gpu),
    };
    return cmocka_run_group_tests(tests, command_setup, command_teardown);
}
