#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "support/check.h"
#include "support/failing.h"

/* One text, some errors in it, and what is shown. */
struct shown {
    const char *source;
    size_t length; /* 0: strlen */
    struct span spans[4];
    int count;
    const char *expected; /* NULL: the caller looks for itself */
    struct arena *arena;
    const char *rendered;
};

static void work_show(void *argument) {
    struct shown *shown = argument;
    struct diag_list list;
    size_t length = shown->length ? shown->length : strlen(shown->source);
    /* A copy of exactly this size, so that the sanitizers see a step past the end. */
    char *source = arena_alloc(shown->arena, length);
    memcpy(source, shown->source, length);
    diag_init(&list, shown->arena, "t.weft", source, length);
    for (int i = 0; i < shown->count; i++) diag_add(&list, DIAG_SYNTAX, shown->spans[i], "error %d", i);
    struct strbuf out;
    strbuf_init(&out, shown->arena);
    diag_render(&list, &out);
    shown->rendered = strbuf_text(&out);
    if (shown->expected) assert_string_equal(shown->rendered, shown->expected);
}

static void show(struct shown shown) {
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    shown.arena = &arena;
    assert_true(arena_try(&arena, work_show, &shown));
    arena_free(&arena);
}
#define SHOW(text, shows, ...)                                                                                         \
    show((struct shown){.source = (text),                                                                              \
                        .length = sizeof(text) - 1,                                                                    \
                        .spans = {__VA_ARGS__},                                                                        \
                        .count = sizeof((struct span[]){__VA_ARGS__}) / sizeof(struct span),                           \
                        .expected = (shows)})

static void carets(void **state) {
    (void)state;
    SHOW("m = 1\na + sum(b * c, axis=0)\n",
         "t.weft:2:9: error: error 0\n"
         "  a + sum(b * c, axis=0)\n"
         "          ^~~~~\n",
         {14, 5});
    SHOW("x", "t.weft:1:1: error: error 0\n  x\n  ^\n", {0, 1});
    SHOW("a b", "t.weft:1:3: error: error 0\n  a b\n    ^\n", {2, 0});      /* an empty span is a caret */
    SHOW("f(", "t.weft:1:3: error: error 0\n  f(\n    ^\n", {2, 0});        /* just past the end */
    SHOW("f(", "t.weft:1:3: error: error 0\n  f(\n    ^\n", {900, 5});      /* and far past it */
    SHOW("ab\ncd\nef", "t.weft:1:2: error: error 0\n  ab\n   ^\n", {1, 6}); /* drawn to the line's end */
    SHOW("ab\r\ncd", "t.weft:1:1: error: error 0\n  ab\n  ^~\n", {0, 4});   /* no carriage return shown */
    SHOW("a\n\nb", "t.weft:2:1: error: error 0\n", {2, 1});                 /* an empty line */
    SHOW("abc", "t.weft: error: error 0\n", {0, 0});                        /* no place to point at */
    SHOW("ab", "t.weft:1:1: error: error 0\n  ab\n  ^~\n", {0, UINT32_MAX});
}

static void order(void **state) {
    (void)state;
    SHOW("abc\nde",
         "t.weft:1:2: error: error 1\n  abc\n   ^\n"
         "t.weft:1:3: error: error 2\n  abc\n    ^\n"
         "t.weft:1:3: error: error 3\n  abc\n    ^\n"
         "t.weft:2:1: error: error 0\n  de\n  ^~\n",
         {4, 2}, {1, 1}, {2, 1}, {2, 2});
}

static void unusual_text(void **state) {
    (void)state;
    /* Columns are code points: é, ∑ and 😀 are one each. */
    SHOW("\xC3\xA9 = \xE2\x88\x91 + \xF0\x9F\x98\x80 + q",
         "t.weft:1:5: error: error 0\n"
         "  \xC3\xA9 = \xE2\x88\x91 + \xF0\x9F\x98\x80 + q\n"
         "      ^~~~~\n"
         "t.weft:1:13: error: error 1\n"
         "  \xC3\xA9 = \xE2\x88\x91 + \xF0\x9F\x98\x80 + q\n"
         "              ^\n",
         {5, 10}, {18, 1});
    /* A span that begins inside a character points at it. */
    SHOW("a\xE2\x88\x91z", "t.weft:1:2: error: error 0\n  a\xE2\x88\x91z\n   ^~\n", {2, 3});
    SHOW("\tx\t+ y", "t.weft:1:2: error: error 0\n   x + y\n   ^\n", {1, 1});
    SHOW("a\0b\x1b[31m", "t.weft:1:2: error: error 0\n  a?b?[31m\n   ^~~\n", {1, 3});
    /* Stray continuation, overlong, surrogate, too large, U+0085, cut short: a byte a column, shown as `?`. */
    SHOW("\x80|\xC0\xAF|\xED\xA0\x80|\xF4\x90\x80\x80|\xC2\x85|\xE2\x88",
         "t.weft:1:17: error: error 0\n  ?|\?\?|\?\?\?|\?\?\?\?|?|\?\?\n                  ^\n", {17, 1});
}

static void long_lines(void **state) {
    (void)state;
    static char text[100001];
    memset(text, 'x', 100000);
    for (int i = 0; i < 100000; i += 10) text[i] = (char)('0' + i / 10 % 10);

    char expected[1000];
    struct shown at_start = {.source = text, .spans = {{5, 3}}, .count = 1, .expected = expected};
    snprintf(expected, sizeof expected, "t.weft:1:6: error: error 0\n  %.160s...\n%7s^~~\n", text, "");
    show(at_start);

    struct shown middle = {.source = text, .spans = {{50000, 1}}, .count = 1, .expected = expected};
    snprintf(expected, sizeof expected, "t.weft:1:50001: error: error 0\n  ...%.160s...\n%65s^\n", text + 49940, "");
    show(middle);

    struct shown end = {.source = text, .spans = {{99999, 1}}, .count = 1, .expected = expected};
    snprintf(expected, sizeof expected, "t.weft:1:100000: error: error 0\n  ...%.160s\n%164s^\n", text + 99840, "");
    show(end);

    struct shown wide = {.source = text, .spans = {{50000, 40000}}, .count = 1, .expected = expected};
    char tildes[100];
    memset(tildes, '~', 99);
    tildes[99] = '\0';
    snprintf(expected, sizeof expected, "t.weft:1:50001: error: error 0\n  ...%.160s...\n%65s^%s\n", text + 49940, "",
             tildes);
    show(wide);
}

/* Random bytes and random spans: never a crash, and every error has its line. */
static void random_text(void **state) {
    (void)state;
    static const char pieces[] = "\n\r\t\0 a\x80\xC3\xA9\xE2\x88\x91\xF0\x9F";
    unsigned seed = 1;
    for (int round = 0; round < 3000; round++) {
        char text[400];
        size_t length = 0, wanted = 1 + (seed = seed * 1664525 + 1013904223) % 399;
        while (length < wanted) text[length++] = pieces[((seed = seed * 1664525 + 1013904223) >> 16) % sizeof pieces];
        struct shown shown = {.source = text, .length = length, .count = 4};
        for (int i = 0; i < 4; i++) {
            shown.spans[i].offset = ((seed = seed * 1664525 + 1013904223) >> 16) % 420;
            shown.spans[i].length = ((seed = seed * 1664525 + 1013904223) >> 16) % 420;
        }
        struct mem mem = {0};
        struct arena arena;
        arena_init(&arena, &mem);
        shown.arena = &arena;
        assert_true(arena_try(&arena, work_show, &shown));
        for (int i = 0; i < 4; i++) {
            char wanted_text[20];
            sprintf(wanted_text, "error: error %d\n", i);
            assert_non_null(strstr(shown.rendered, wanted_text));
        }
        for (const char *c = shown.rendered; *c; c++) assert_true((unsigned char)*c >= ' ' || *c == '\n');
        arena_free(&arena);
    }
}

static void work_many(void *argument) {
    struct arena *arena = argument;
    struct diag_list list;
    struct strbuf out;
    strbuf_init(&out, arena);
    diag_init(&list, arena, NULL, "abc", 3);
    diag_add(&list, DIAG_NAME, (struct span){1, 1}, "unknown name `%s`", "b\n\x01\xFF");
    diag_add(&list, DIAG_NAME, (struct span){1, 1}, "unknown name `%s`", "b\n\x01\xFF");
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].code, DIAG_NAME);
    assert_string_equal(list.items[0].text, "unknown name `b???`");
    diag_render(&list, &out);
    assert_string_equal(strbuf_text(&out), "1:2: error: unknown name `b???`\n  abc\n   ^\n");

    for (int i = 0; i < 50; i++) diag_add(&list, DIAG_TYPE, (struct span){2, 1}, "error %d", i);
    assert_int_equal(list.count, 20);
    assert_int_equal(list.dropped, 31);
    strbuf_init(&out, arena);
    diag_render(&list, &out);
    assert_non_null(strstr(strbuf_text(&out), "error 18\n"));
    assert_null(strstr(strbuf_text(&out), "error 19\n"));
    const char *last = "31 more errors\n";
    assert_string_equal(strbuf_text(&out) + out.length - strlen(last), last);
}

static void many_errors(void **state) {
    (void)state;
    struct failing failing;
    struct mem mem;
    bool done = false;
    for (long at = 1; !done; at++) {
        failing_init(&failing, &mem);
        failing.fail_at = at;
        struct arena arena;
        arena_init(&arena, &mem);
        done = arena_try(&arena, work_many, &arena);
        assert_int_equal(done, !failing.failed);
        arena_free(&arena);
        assert_int_equal(failing.blocks, 0);
    }
}

static void positions(void **state) {
    (void)state;
    const char *source = "ab\n\xC3\xA9z\n";
    const int expected[][2] = {{1, 1}, {1, 2}, {1, 3}, {2, 1}, {2, 1}, {2, 2}, {2, 3}, {3, 1}, {3, 1}};
    for (uint32_t offset = 0; offset < 9; offset++) { /* the last is past the end */
        int line, column;
        diag_position(source, 7, offset, &line, &column);
        assert_int_equal(line, expected[offset][0]);
        assert_int_equal(column, expected[offset][1]);
    }
    int line, column;
    diag_position("", 0, 0, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 1);
}

static void spans(void **state) {
    (void)state;
    struct span joined = span_join((struct span){4, 2}, (struct span){10, 3});
    assert_int_equal(joined.offset, 4);
    assert_int_equal(joined.length, 9);
    joined = span_join((struct span){4, 20}, (struct span){2, 3});
    assert_int_equal(joined.offset, 2);
    assert_int_equal(joined.length, 22);
    joined = span_join((struct span){0, 0}, (struct span){7, 3}); /* no place joins nothing */
    assert_int_equal(joined.offset, 7);
    assert_int_equal(joined.length, 3);
}

static const char *suggest(const char *name) {
    static const char *const known[] = {"sum",  "sqrt", "nanmean", "nanmedian", "linspace", "e",
                                        "flux", "Flux", "argmax",  "argmin",    "N",        "transpose"};
    struct diag_suggest suggest;
    diag_suggest_init(&suggest, name, strlen(name));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) diag_suggest_offer(&suggest, known[i]);
    return diag_suggest_best(&suggest);
}

static void suggestions(void **state) {
    (void)state;
    assert_string_equal(suggest("smu"), "sum");             /* swapped */
    assert_string_equal(suggest("sqr"), "sqrt");            /* missing */
    assert_string_equal(suggest("nanmeen"), "nanmean");     /* replaced */
    assert_string_equal(suggest("llinspacee"), "linspace"); /* two too many in ten */
    assert_string_equal(suggest("fluX"), "flux");           /* case counts half */
    assert_string_equal(suggest("FLux"), "Flux");           /* so the nearer of two wins */
    assert_string_equal(suggest("argmax_"), "argmax");
    assert_string_equal(suggest("n"), "N");
    assert_null(suggest("x")); /* not `e`: one letter for another is no likeness */
    assert_null(suggest("quux"));
    assert_null(suggest("abcdefgh"));
    assert_null(suggest(""));
    char longest[1000];
    memset(longest, 's', sizeof longest);
    struct diag_suggest endless;
    diag_suggest_init(&endless, longest, sizeof longest);
    diag_suggest_offer(&endless, "sum");
    assert_null(diag_suggest_best(&endless));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carets),     cmocka_unit_test(order),       cmocka_unit_test(unusual_text),
        cmocka_unit_test(long_lines), cmocka_unit_test(random_text), cmocka_unit_test(many_errors),
        cmocka_unit_test(positions),  cmocka_unit_test(spans),       cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
