#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "support/check.h"
#include "support/failing.h"

static void blocks_are_counted(void **state) {
    (void)state;
    struct mem mem = {0};
    char *a = mem_alloc(&mem, 100), *b = mem_zalloc(&mem, 10, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(mem.used, 180);
    for (int i = 0; i < 80; i++) assert_int_equal(b[i], 0);

    memset(a, 'x', 100);
    a = mem_resize(&mem, a, 100, 1000);
    assert_int_equal(mem.used, 1080);
    for (int i = 0; i < 100; i++) assert_int_equal(a[i], 'x');
    a = mem_resize(&mem, a, 1000, 10);
    assert_int_equal(mem.used, 90);
    assert_int_equal(a[9], 'x');

    mem_free(&mem, a, 10);
    mem_free(&mem, b, 80);
    mem_free(&mem, NULL, 5);
    assert_int_equal(mem.used, 0);
}

static void empty_blocks_are_blocks(void **state) {
    (void)state;
    struct failing failing;
    struct mem mem;
    failing_init(&failing, &mem);
    char *a = mem_alloc(&mem, 0), *b = mem_zalloc(&mem, 0, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    a = mem_resize(&mem, a, 0, 16);
    assert_non_null(a);
    a = mem_resize(&mem, a, 16, 0);
    assert_non_null(a);
    assert_int_equal(failing.blocks, 2);
    mem_free(&mem, a, 0);
    mem_free(&mem, b, 0);
    assert_int_equal(failing.blocks, 0);
    assert_int_equal(failing.wrong_sizes, 0);
    assert_int_equal(mem.used, 0);
}

static void the_limit_is_kept(void **state) {
    (void)state;
    struct mem mem = {.limit = 1000};
    char *a = mem_alloc(&mem, 600);
    assert_non_null(a);
    assert_null(mem_alloc(&mem, 401));
    char *b = mem_alloc(&mem, 400);
    assert_non_null(b);
    assert_null(mem_alloc(&mem, 0));
    assert_null(mem_resize(&mem, b, 400, 401));
    b = mem_resize(&mem, b, 400, 300); /* shrinking is always possible */
    assert_non_null(b);
    a = mem_resize(&mem, a, 600, 700);
    assert_non_null(a);
    assert_int_equal(mem.used, 1000);
    mem_free(&mem, a, 700);
    mem_free(&mem, b, 300);
    assert_int_equal(mem.used, 0);
}

static void impossible_sizes_are_refused(void **state) {
    (void)state;
    struct mem mem = {0};
    assert_null(mem_alloc(&mem, SIZE_MAX));
    assert_null(mem_alloc(&mem, (size_t)PTRDIFF_MAX + 1));
    assert_null(mem_zalloc(&mem, SIZE_MAX / 2, 3));
    assert_null(mem_zalloc(&mem, (size_t)1 << 33, (size_t)1 << 33));
    assert_null(mem_strndup(&mem, "", SIZE_MAX));
    char *a = mem_alloc(&mem, 8);
    assert_null(mem_resize(&mem, a, 8, SIZE_MAX));
    mem_free(&mem, a, 8);
    assert_int_equal(mem.used, 0);
}

static void a_failure_leaves_the_old_block(void **state) {
    (void)state;
    struct failing failing;
    struct mem mem;
    failing_init(&failing, &mem);
    char *a = mem_strndup(&mem, "abcdef", 3);
    assert_string_equal(a, "abc");
    failing.fail_at = 1;
    assert_null(mem_resize(&mem, a, 4, 4000));
    assert_string_equal(a, "abc");
    assert_int_equal(mem.used, 4);
    failing.fail_at = 1;
    assert_null(mem_alloc(&mem, 7));
    assert_int_equal(mem.used, 4);
    mem_free(&mem, a, 4);
    assert_int_equal(failing.blocks, 0);
    assert_int_equal(failing.wrong_sizes, 0);
    assert_int_equal(mem.used, 0);
}

/* Two threads that together want twice the limit: at no time may they hold more than it. */
struct contest {
    struct mem mem;
    _Atomic int refused, over;
};

static void *contest_run(void *argument) {
    struct contest *contest = argument;
    for (int round = 0; round < 2000; round++) {
        void *held[10];
        for (int i = 0; i < 10; i++) {
            held[i] = mem_alloc(&contest->mem, 100);
            if (!held[i]) contest->refused++;
            if (contest->mem.used > contest->mem.limit) contest->over++;
        }
        for (int i = 0; i < 10; i++) mem_free(&contest->mem, held[i], 100);
    }
    return NULL;
}

static void threads_share_a_limit(void **state) {
    (void)state;
    struct contest contest = {.mem = {.limit = 900}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, contest_run, &contest), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_true(contest.refused >= 2 * 2000); /* the tenth block of every round at least */
    assert_int_equal(contest.over, 0);
    assert_int_equal(contest.mem.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_counted),
        cmocka_unit_test(empty_blocks_are_blocks),
        cmocka_unit_test(the_limit_is_kept),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(a_failure_leaves_the_old_block),
        cmocka_unit_test(threads_share_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
