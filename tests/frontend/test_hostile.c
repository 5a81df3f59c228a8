/* Hostile texts: megabytes of one thing, bytes at random places, cuts, a small stack, memory that runs out. Whatever
 * the text is, the parser reports or accepts it, soon, and gives all memory back. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/parser.h"
#include "support/check.h"
#include "support/failing.h"

enum { MEGABYTE = 1 << 20 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { BULK = MEGABYTE / 8 }; /* every allocation is a block of its own there */
#else
enum { BULK = MEGABYTE };
#endif

static const char light_curve[] = "param k = 3.0   # a default\n"
                                  "t, flux = load(\"t.npy\"), load(\"fl\\u{e9}ux.npy\")\n"
                                  "clean = where(abs(flux - m) > k*s, nan, flux)\n"
                                  "ufunc spectral(w, t: [n], y: f64[n, 3]) -> (f64, i32) {\n"
                                  "    c = f64(0); s = -0x1f ** 2.5e-3\n"
                                  "    for i in 0:n:2 {\n"
                                  "        if not isnan(y[i]) { c += y[..., None, 1:2:3] } elif a < b <= c { break }\n"
                                  "        else { continue }\n"
                                  "    }\n"
                                  "    return c*c, s if c else [1, 2][0].T\n"
                                  "}\n"
                                  "fn g(x) = sum(x, axis=(0, 1))\n"
                                  "C[i, j] := sum[k, l in 0:3](A[i, k]) for i in 0:n, j in 1:m\n"
                                  "while true { assert x, \"text\" }\n";

struct outcome {
    int errors;
    uint32_t n_exprs;
    enum diag_code last;
};

static struct outcome parse(const char *text, size_t length) {
    struct mem mem = {0};
    struct arena arena;
    struct diag_list diags;
    struct strbuf out;
    arena_init(&arena, &mem);
    diag_init(&diags, &arena, "hostile", text, length);
    struct ast_program *program = parser_parse(&arena, text, length, NULL, &diags);
    strbuf_init(&out, &arena);
    diag_render(&diags, &out);
    ast_print(program, &out);
    struct outcome outcome = {diags.count, program->n_exprs,
                              diags.count ? diags.items[diags.count - 1].code : DIAG_NONE};
    arena_free(&arena);
    assert_int_equal(mem.used, 0);
    return outcome;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A megabyte of `unit`, over and over, after `start`. */
static struct outcome parse_many(const char *start, const char *unit, size_t unit_length) {
    size_t most = unit_length == 1 ? MEGABYTE : BULK;
    char *text = malloc(most);
    size_t at = strlen(start);
    assert_non_null(text);
    memcpy(text, start, at);
    while (at + unit_length <= most) {
        memcpy(text + at, unit, unit_length);
        at += unit_length;
    }
    double before = now();
    struct outcome outcome = parse(text, at);
    double seconds = now() - before;
    if (seconds > 5) fail_msg("a megabyte of `%.*s` took %.1f s", (int)unit_length, unit, seconds);
    free(text);
    return outcome;
}

static void test_megabytes(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "(",
        "[",
        "{",
        ")",
        "]",
        "}",
        "-",
        "not ",
        "~",
        "a**",
        "a if b else ",
        "f(",
        "x[",
        "if a {",
        "(\n",
        "[\n",
        "if a { (\n",
        "{}",
        "\"",
        "'",
        "\\",
        "!",
        "a.",
        "a,",
        "a b\n",
        "x = (\n",
        "1 +",
        "0x",
        "1e",
        "sum[k](",
        "fn f(",
        "fn f(a,",
        "a=",
        "f(a=1,",
        "for i in ",
        "else\n",
        "x[a:",
        "((a)",
        "(a, b\n",
        "\xff",
        "\xc3",
        "é",
        "\"\xff\"\n",
        "$",
        "f(a b)\n",
        "`",
        "a<",
        "a+",
        "a@a",
        "a ",
        "a<b ",
        "a[0]",
        "(1,)",
        "(]\n",
        "f(\na b)\n",
        "f(a\n\"\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse_many("", wrong[i], strlen(wrong[i])).errors == 0)
            fail_msg("a megabyte of `%s` was no error", wrong[i]);
    }
    assert_true(parse_many("a", "\0", 1).errors > 0);
    assert_true(parse_many("if a { b ", "}\n(\n", 4).errors > 0);
    assert_true(parse_many("fn f(a", ", a", 3).errors > 0);
    assert_int_equal(parse_many("", "(", 1).last, DIAG_LIMIT);
    assert_int_equal(parse_many("", "-", 1).last, DIAG_LIMIT);
    assert_int_equal(parse_many("", "if a {", 6).last, DIAG_LIMIT);
    assert_int_equal(parse_many("a", "+a", 2).last, DIAG_LIMIT);

    static const char *const right[] = {" ",
                                        "\n",
                                        ";",
                                        "a\n",
                                        "#",
                                        "#(\n",
                                        "a = 1\n",
                                        "if a { b } else { c }\n",
                                        "f(a, b=1)\n",
                                        "fn f(a) = b\n",
                                        "x[1:2, None]\n"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_int_equal(parse_many("", right[i], strlen(right[i])).errors, 0);
    assert_int_equal(parse_many("a", "a", 1).errors, 0);
    assert_int_equal(parse_many("x = 1", "1", 1).errors, 1);  /* one integer, too large */
    assert_int_equal(parse_many("x = .1", "1", 1).errors, 0); /* one float of a million digits */
    assert_int_equal(parse_many("a", ",a", 2).errors, 0);
    assert_int_equal(parse_many("if a {}", "elif a {}", 9).errors, 0);
    assert_int_equal(parse_many("a < b", " < b", 4).errors, 0);
}

static void test_every_cut(void **state) {
    (void)state;
    assert_int_equal(parse(light_curve, sizeof light_curve - 1).errors, 0);
    for (size_t length = 0; length < sizeof light_curve; length++) {
        char *exact = malloc(length + 1); /* so that a sanitizer sees a byte read too far */
        assert_non_null(exact);
        memcpy(exact, light_curve, length);
        char *cut = realloc(exact, length ? length : 1);
        parse(cut, length);
        parse(cut, length - length / 3);
        free(cut);
    }
}

static void test_every_byte_at_every_place(void **state) {
    (void)state;
    static const unsigned char bytes[] = {0,   '\n', '"', '#', '(', ')', '[',  ']',  '{', '}',
                                          '=', ':',  ',', '.', '!', '5', 0x80, 0xc3, 0xff};
    char text[sizeof light_curve];
    memcpy(text, light_curve, sizeof text);
    for (size_t at = 0; at < sizeof light_curve - 1; at++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            text[at] = (char)bytes[i];
            parse(text, sizeof light_curve - 1);
        }
        text[at] = light_curve[at];
    }
}

/* Deepest nests within the limits, in a thread with a stack such as small systems give. */
static void *nest(void *unused) {
    (void)unused;
    static const char *const units[] = {"(",
                                        "[",
                                        "a or b and c < d | e ^ f & g << h + i * -(",
                                        "f(a, b=",
                                        "x[a:",
                                        "-",
                                        "a**",
                                        "a if b else ",
                                        "if a {",
                                        "sum[k in a:"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char text[20000] = "";
        size_t at = 0, length = strlen(units[i]);
        for (int n = 0; n < 250; n++, at += length) memcpy(text + at, units[i], length);
        parse(text, at);
    }
    return NULL;
}

static void test_small_stack(void **state) {
    (void)state;
    pthread_attr_t attributes;
    pthread_t thread;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
    size_t stack = 8 << 20; /* sanitizers and unoptimised clang need several times as much */
#else
    size_t stack = 512 << 10;
#endif
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, stack), 0);
    assert_int_equal(pthread_create(&thread, &attributes, nest, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
}

struct work {
    struct arena *arena;
    const char *text;
    int errors;
};

static void work_parse(void *argument) {
    struct work *work = argument;
    struct diag_list diags;
    struct strbuf out;
    diag_init(&diags, work->arena, "memory", work->text, strlen(work->text));
    struct ast_program *program = parser_parse(work->arena, work->text, strlen(work->text), NULL, &diags);
    strbuf_init(&out, work->arena);
    ast_print(program, &out);
    work->errors = diags.count;
}

static void test_memory_runs_out(void **state) {
    (void)state;
    static const char *const texts[] = {light_curve, "a = = 1\nb = (\nf(\"\\q\"\n"};
    for (int i = 0; i < 2; i++) {
        bool done = false;
        for (long place = 1; !done; place++) {
            struct failing failing;
            struct mem mem;
            struct arena arena;
            failing_init(&failing, &mem);
            arena_init(&arena, &mem);
            failing.fail_at = place;
            struct work work = {&arena, texts[i], -1};
            done = arena_try(&arena, work_parse, &work);
            assert_int_equal(failing.failed, done ? 0 : 1);
            if (done)
                assert_int_equal(work.errors > 0, i == 1);
            else
                assert_int_equal(work.errors, -1);
            arena_free(&arena);
            assert_int_equal(mem.used, 0);
            assert_int_equal(failing.blocks, 0);
            assert_true(place < 100000);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_megabytes),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_small_stack),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
