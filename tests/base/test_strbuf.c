#include <string.h>

#include "base/strbuf.h"
#include "support/check.h"
#include "support/failing.h"

static void work_pieces(void *argument) {
    struct strbuf *buffer = argument;
    assert_string_equal(strbuf_text(buffer), "");
    strbuf_add(buffer, NULL, 0);
    assert_string_equal(strbuf_text(buffer), "");
    strbuf_puts(buffer, "for ");
    strbuf_putc(buffer, 'i');
    strbuf_printf(buffer, " in %d:%s", 0, "n");
    strbuf_add(buffer, "\0{}", 3);
}

static void pieces_join(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    struct strbuf buffer;
    arena_init(&arena, &mem);
    strbuf_init(&buffer, &arena);
    assert_true(arena_try(&arena, work_pieces, &buffer));
    assert_int_equal(buffer.length, 15);
    assert_memory_equal(strbuf_text(&buffer), "for i in 0:n\0{}", 16); /* NUL after it */
    arena_free(&arena);
}

static void work_long(void *argument) {
    struct strbuf *buffer = argument;
    for (int i = 0; i < 3000; i++) {
        strbuf_printf(buffer, "%05d,", i);
        assert_int_equal(buffer->length, 6 * (i + 1));
        assert_int_equal(buffer->text[buffer->length], 0);
    }
    strbuf_printf(buffer, "%20000s|", "end"); /* one piece larger than all before */
}

static void long_text(void **state) {
    (void)state;
    struct failing failing;
    struct mem mem;
    int failures = 0;
    for (long at = 1;; at++) {
        failing_init(&failing, &mem);
        failing.fail_at = at;
        struct arena arena;
        struct strbuf buffer;
        arena_init(&arena, &mem);
        strbuf_init(&buffer, &arena);
        bool done = arena_try(&arena, work_long, &buffer);
        assert_int_equal(done, !failing.failed);
        if (done) {
            assert_int_equal(buffer.length, 18000 + 20001);
            assert_int_equal(strlen(buffer.text), buffer.length);
            assert_memory_equal(buffer.text + 6 * 1234, "01234,01235,", 12);
            assert_string_equal(buffer.text + buffer.length - 5, " end|");
        }
        arena_free(&arena);
        assert_int_equal(failing.blocks, 0);
        if (done) break;
        failures++;
    }
    assert_true(failures >= 3);
}

static void work_endless(void *argument) {
    strbuf_add(argument, "x", PTRDIFF_MAX);
}

static void impossible_lengths_fail(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    struct strbuf buffer;
    arena_init(&arena, &mem);
    strbuf_init(&buffer, &arena);
    assert_false(arena_try(&arena, work_endless, &buffer));
    assert_int_equal(mem.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_join),
        cmocka_unit_test(long_text),
        cmocka_unit_test(impossible_lengths_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
