#include <limits.h>
#include <string.h>

#include "base/arena.h"
#include "support/check.h"
#include "support/failing.h"

static void expect_success(struct arena *arena, void (*work)(void *)) {
    assert_true(arena_try(arena, work, arena));
}

static void work_objects(void *argument) {
    struct arena *arena = argument;
    unsigned char *objects[2000];
    for (size_t i = 0; i < 2000; i++) {
        objects[i] = arena_alloc(arena, i % 97);
        assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < i % 97; j++) assert_int_equal(objects[i][j], 0);
        memset(objects[i], (int)(i & 0xFF), i % 97);
        if (i) assert_ptr_not_equal(objects[i], objects[i - 1]);
    }
    for (size_t i = 0; i < 2000; i++) /* nobody wrote into another's */
        for (size_t j = 0; j < i % 97; j++) assert_int_equal(objects[i][j], i & 0xFF);
    unsigned char *large = arena_alloc(arena, 5u << 20);
    assert_int_equal(large[(5u << 20) - 1], 0);
    memset(large, 1, 5u << 20);
    assert_int_equal(((unsigned char *)arena_alloc(arena, 100))[99], 0);
}

static void objects_are_zeroed_and_apart(void **state) {
    (void)state;
    struct failing failing;
    struct mem mem;
    struct arena arena;
    failing_init(&failing, &mem);
    arena_init(&arena, &mem);
    assert_int_equal(failing.blocks, 0);
    for (int again = 0; again < 2; again++) {
        expect_success(&arena, work_objects);
        assert_int_equal(arena.held, mem.used);
        assert_true(arena.held > 5u << 20);
        arena_free(&arena);
        assert_int_equal(mem.used, 0);
        assert_int_equal(arena.held, 0);
        assert_int_equal(failing.blocks, 0);
    }
    assert_int_equal(failing.wrong_sizes, 0);
}

struct list {
    struct arena *arena;
    int *items;
    int count, capacity;
    char *text;
};

static void work_list(void *argument) {
    struct list *list = argument;
    list->items = NULL;
    list->count = list->capacity = 0;
    for (int i = 0; i < 3000; i++) ARENA_PUSH(list->arena, list->items, list->count, list->capacity) = i * i;
    char *word = arena_strndup(list->arena, "weftwarp", 4);
    list->text = arena_printf(list->arena, "%s %d %s", word, 42, arena_strdup(list->arena, ""));
}

static void lists_and_text(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    struct list list = {.arena = &arena};
    assert_true(arena_try(&arena, work_list, &list));
    assert_int_equal(list.count, 3000);
    for (int i = 0; i < 3000; i++) assert_int_equal(list.items[i], i * i);
    assert_string_equal(list.text, "weft 42 ");
    arena_free(&arena);
    assert_int_equal(mem.used, 0);
}

/* Every allocation of the list fails once; each time the failure arrives and nothing is left behind. */
static void every_failure_arrives(void **state) {
    (void)state;
    struct failing failing;
    struct mem mem;
    int failures = 0;
    for (long at = 1;; at++) {
        failing_init(&failing, &mem);
        failing.fail_at = at;
        struct arena arena;
        arena_init(&arena, &mem);
        struct list list = {.arena = &arena};
        bool done = arena_try(&arena, work_list, &list);
        assert_int_equal(done, !failing.failed);
        assert_null(arena.on_failure);
        arena_free(&arena);
        assert_int_equal(failing.blocks, 0);
        assert_int_equal(failing.wrong_sizes, 0);
        assert_int_equal(mem.used, 0);
        if (done) break;
        failures++;
    }
    assert_true(failures >= 3);
}

struct nest {
    struct arena *arena;
    int entered, left, inner_failed;
};

static void work_fail(void *argument) {
    struct nest *nest = argument;
    nest->entered++;
    arena_fail(nest->arena);
}

static void work_nested(void *argument) {
    struct nest *nest = argument;
    jmp_buf *mine = nest->arena->on_failure;
    if (!arena_try(nest->arena, work_fail, nest)) nest->inner_failed++;
    assert_ptr_equal(nest->arena->on_failure, mine);
    *(int *)arena_alloc(nest->arena, sizeof(int)) = 1; /* the arena is still good */
    nest->left++;
}

static void work_passing_on(void *argument) {
    struct nest *nest = argument;
    if (!arena_try(nest->arena, work_fail, nest)) arena_fail(nest->arena);
    nest->left++;
}

static void handlers_nest(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    struct nest nest = {.arena = &arena};
    assert_true(arena_try(&arena, work_nested, &nest));
    assert_int_equal(nest.inner_failed, 1);
    assert_int_equal(nest.left, 1);
    assert_false(arena_try(&arena, work_passing_on, &nest));
    assert_int_equal(nest.entered, 2);
    assert_int_equal(nest.left, 1);
    arena_free(&arena);
    assert_int_equal(mem.used, 0);
}

static void work_too_large(void *argument) {
    arena_alloc(argument, SIZE_MAX - 8);
}
static void work_too_many(void *argument) {
    arena_array(argument, SIZE_MAX / 4, 8);
}
static void work_long_list(void *argument) {
    int capacity = INT_MAX / 2 + 1;
    char item = 0;
    arena_grow(argument, &item, capacity, &capacity, 1);
}
static void work_over_limit(void *argument) {
    for (;;) arena_alloc(argument, 1000);
}

static void impossible_requests_fail(void **state) {
    (void)state;
    struct mem mem = {.limit = 100000};
    struct arena arena;
    arena_init(&arena, &mem);
    assert_false(arena_try(&arena, work_too_large, &arena));
    assert_false(arena_try(&arena, work_too_many, &arena));
    assert_false(arena_try(&arena, work_long_list, &arena));
    assert_int_equal(mem.used, 0);
    assert_false(arena_try(&arena, work_over_limit, &arena));
    assert_in_range(mem.used, 1, 100000);
    arena_free(&arena);
    assert_int_equal(mem.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_zeroed_and_apart), cmocka_unit_test(lists_and_text),
        cmocka_unit_test(every_failure_arrives),        cmocka_unit_test(handlers_nest),
        cmocka_unit_test(impossible_requests_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
