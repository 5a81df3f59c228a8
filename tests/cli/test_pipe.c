/* The session on a pipe: statements in, values out. */
#include <string.h>

#include "cli/command.h"
#include <weft/tools.h>

static void test_values(void **state) {
    (void)state;
    expect(0, "3\n[0.  0.5 1. ]\n1.5\n", NULL, "1 + 2\nx = linspace(0, 1, 3)\nx\nsum(x)\n", "weft");
    expect(0, "1\n2\n", NULL, "a, b = 1, 2\na, b\n", "weft");
    expect(0, "", NULL, "", "weft");
    expect(0, "", NULL, "\n   \n# a comment\nx = 1 # another\n", "weft");
    expect(0, "4\n", NULL, "4", "weft"); /* no line end */
    expect(0, "4\n5\n", NULL, "4\r\n5\r\n", "weft");
    expect(0, "hello 3\n", NULL, "print(\"hello\", 1 + 2)\n", "weft");
    expect(0, "3\n", NULL, "x = 1; y = 2; x + y\n", "weft");
    expect(0, "1\n", NULL, "1\n:quit\n2\n", "weft");
}

static void test_variables(void **state) {
    (void)state;
    /* A name may change its type from one statement to the next. */
    expect(0, "5\n[1. 2.]\n", NULL, "x = 5\nx\nx = [1.0, 2.0]\nx\n", "weft");
    expect(0, "[1. 2.]\n[11. 12.]\n", NULL, "x = [1.0, 2.0]\ny = x\nx += 10\ny\nx\n", "weft");
    /* Weak scalars stay weak: a u8 array stays one. */
    expect(0, "u8[2]\nf32[1]\n", NULL, "k = 3\nb = u8([1, 2])\n:type b + k\nh = k/2\n:type f32([1]) * h\n", "weft");
    /* Also where its old value is used, in a tuple, too. */
    expect(0, "f32[2]\n1.75\n", NULL, "x = [1.5, 2]\nx = f32(x)\n:type x\nx = mean(x)\nx\n", "weft");
    expect(0, "2 [1 2]\n", NULL, "a, b = u8([1, 2]), 2\na, b = b, a\nprint(a, b)\n", "weft");
    expect(0, "u8[2]\n", NULL, "a, b = u8([1, 2]), 2\na, b = b, a\n:type a + b\n", "weft");
    expect(1, "[1. 2.]\n", "<stdin>:2:1: error: 2 names are assigned, but there are 3 values",
           "x = [1.0, 2]\nx, y = x, 1, 2\nx\n", "weft");
    /* Strong ones stay strong. */
    expect(0, "i64[2]\n", NULL, "k = i64(3)\nb = u8([1, 2])\n:type b + k\n", "weft");
    expect(0, "inf\n-inf\nnan\n-9223372036854775808\n", NULL,
           "a = inf\nb = -a\nc = nan\nd = -9223372036854775807 - 1\na\nb\nc\nd\n", "weft");
    expect(0, "i64[4]\n", NULL, "n = 0\nfor i in 0:4 { n += 1 }\n:type zeros(n, dtype=i64)\n", "weft");
    expect(0, "2.0\n", NULL, "param k = 2.0\nk\n", "weft");
    expect(0, "a  i64  3\nx  f64[2]\n", NULL, "a = 3\nx = [1.5, 2]\n:vars\n", "weft");
    /* Only what surely has a value stays. */
    expect(1, "1\n", "unknown", "c = true\nif c { q = 2 }\nif c { r = 1 } else { r = 2 }\nr\nq\n", "weft");
}

static void test_functions(void **state) {
    (void)state;
    expect(0, "[1 4 9]\n", NULL, "ufunc sq(x) {\n  return x*x\n}\nsq([1, 2, 3])\n", "weft");
    expect(0, "10\n30\n", NULL, "k = 10\nfn f(x) = x*k\nf(1)\nk = 30\nf(1)\n", "weft");
    expect(0, "2\n3\n", NULL, "fn f(x) = x + 1\nfn g(x) = f(x)\ng(1)\nfn f(x) = x + 2\ng(1)\n", "weft");
    expect(0, "5\n", NULL, "fn f(x) = x + 1; y = f(4); y\n", "weft");
    expect(0, "5\n", NULL, "y = f(4); fn f(x) = x + 1\ny\n", "weft");
    /* A function may use what gets its value after it. */
    expect(0, "12\n", NULL, "fn f(a) = a*k; x = 4; k = 3; y = f(x)\ny\n", "weft");
    expect(0, "12\n", NULL, "x = 4; k = 3; fn f(a) = g(a); fn g(a) = a*k\nf(x)\n", "weft");
    expect(1, "", "unknown name `k`", "fn f(a) = a*k\n", "weft");
    /* An error in one shows where it was called. */
    expect(1, "", "<stdin>:2: error: ", "fn f(a) = a & 1\nf(2.5)\n", "weft");
    expect(1, "", "<stdin>:2:15: error: ", "x = 1\nfn f(a) = a + zzz\n", "weft");
}

static void test_errors(void **state) {
    (void)state;
    expect(1, "1\n3\n", "<stdin>:2:5: error: ", "1\n2 + zzz\n3\n", "weft");
    assert_non_null(strstr(outcome.err, "  2 + zzz\n      ^~~"));
    expect(1, "", "did you mean `flux`?", "flux = 3\nflx + 1\n", "weft");
    /* Lines and columns are those of the text, also behind other statements and inside of blocks. */
    expect(1, "", "<stdin>:1:12: error: ", "x = 1; y = zzz\n", "weft");
    expect(1, "", "<stdin>:4:13: error: ", "1\n2\nfor i in 0:3 {\n    x = i + zzz\n}\n", "weft >/dev/null");
    /* After an error the session is as it was. */
    expect(1, "1\n", "<stdin>:2:", "x = 1\nx = 2; y = zzz\nx\n", "weft");
    expect(1, "1\n", "no value", "param q: f64\n1\n", "weft");
    expect(1, "", "<stdin>:1:", "x = (1 + \n", "weft");
    expect(1, "7\n", "<stdin>:2: error: unknown command :tipe: did you mean `:type`?", "x = 7\n:tipe x\nx\n", "weft");
    expect(1, "", "[3]", "[1, 2, 3] + [1, 2]\n", "weft");
    expect(1, "", "holds", "assert 1 > 2, \"never holds\"\n", "weft");
}

static void test_blocks(void **state) {
    (void)state;
    expect(0, "45\n", NULL, "s = 0\nfor i in 0:10 {\n    s += i\n}\ns\n", "weft");
    expect(0, "1\n", NULL, "x = 3\nif x > 2 {\n y = 1\n}\nelse {\n y = 2\n}\ny\n", "weft");
    expect(0, "6\n", NULL, "sum([1,\n     2,\n     3])\n", "weft");
}

static void test_commands(void **state) {
    (void)state;
    expect(0, "f64[3]\ni64\n", NULL, "x = [1.0, 2, 3]\n:type x\n:type len(x)\n", "weft");
    expect_part(0, "compile", NULL, "x = [1.0, 2, 3]\n:time sum(x)\n", "weft");
    assert_true(!strncmp(outcome.out, "6.0\n", 4));
    expect_part(0, "sqrt", NULL, "x = [1.0, 2, 3]\n:ir sqrt(x)\n", "weft");
    expect_part(0, "define", NULL, "x = [1.0, 2, 3]\n:llvm sqrt(x)\n", "weft");
    expect_part(0, ".text", NULL, "x = [1.0, 2, 3]\n:asm sqrt(x)\n", "weft");
    expect_part(0, "sqrt(", NULL, "x = [1.0, 2, 3]\n:cuda sqrt(x)\n", "weft");
    expect_part(0, ":type", NULL, ":help\n", "weft");
    assert_non_null(strstr(outcome.out, "nanmean"));
    expect_part(0, "sqrt: ", NULL, ":help sqrt\n", "weft");
    expect(1, "", "did you mean `sqrt`?", ":help sqrtt\n", "weft");
    expect(1, "", "<stdin>:1: error: :type: expected EXPR", ":type\n", "weft");
    expect(1, "", "<stdin>:1:1: error: ", ":type zzz\n", "weft");
}

/* The whole language that a file may hold may come down the pipe. */
static void test_program(void **state) {
    (void)state;
    expect(0, "best 2.0\n", NULL,
           "param k = 3.0\n"
           "x = linspace(0, 4, 5)\n"
           "m, s = mean(x), std(x)\n"
           "ufunc near(a, t: [n]) {\n"
           "    c = f64(0)\n"
           "    for i in 0:n {\n"
           "        if t[i] > 1 { c += a*t[i] }\n"
           "    }\n"
           "    return -abs(c - 18)\n"
           "}\n"
           "p = near(x, x)\n"
           "print(\"best\", x[argmax(p)])\n",
           "weft");
}

/* Text of any kind ends in an error, soon, and what follows it is run. */
static void test_hostile(void **state) {
    (void)state;
    static const char *const inputs[] = {
        "head -c 1000000 /dev/zero | tr '\\0' '('",
        "yes '(' | head -100000",
        "echo '['; yes '[1, 2],' | head -50000",
        "head -c 10000 /dev/zero | tr '\\0' '{'",
        "head -c 1000000 /dev/zero | tr '\\0' '-'",
        "printf '\\377\\376 \\000 1 + 1'",
        "yes 'x = (]' | head -20",
        "head -c 300000 /dev/zero | tr '\\0' 'a'",
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        command(NULL, "{ %s; } | timeout 20 '%s'", inputs[i], WEFT_PROGRAM);
        if (outcome.status != 1) print_error("%s: status %d\n%s\n", inputs[i], outcome.status, outcome.err);
        assert_int_equal(outcome.status, 1);
        assert_string_equal(outcome.out, "");
        assert_non_null(strstr(outcome.err, "<stdin>:"));
    }
    expect(1, "7\n", "error", "x = (]\n3 +\n\"abc\n3 + 4\n", "weft");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_variables), cmocka_unit_test(test_functions),
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_blocks),    cmocka_unit_test(test_commands),
        cmocka_unit_test(test_program), cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, command_setup, command_teardown);
}
