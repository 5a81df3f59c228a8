/* Sizes: canonical forms, and that simplifying never changes a value. */
#include "fixture.h"

/* Sizes in the notation of size_print, through the parser of checks in graphs. */
static const struct size *read_size(struct fixture *f, const char *text) {
    struct strbuf source;
    strbuf_init(&source, &f->arena);
    strbuf_printf(&source, "graph { check 1 equal %s, 0 \"\" }", text);
    struct graph *graph = parse_graph(&f->arena, strbuf_text(&source), &f->text);
    if (!graph) fail_msg("%s: %s", text, strbuf_text(&f->text));
    return graph->sinks[0]->check->a;
}

static void forms(struct fixture *f, const char *text, const char *expected) {
    struct strbuf out;
    strbuf_init(&out, &f->arena);
    size_print(read_size(f, text), &out);
    if (strcmp(strbuf_text(&out), expected)) fail_msg("%s became %s, not %s", text, strbuf_text(&out), expected);
    size_print(read_size(f, expected), &f->text); /* and is stable */
    assert_string_equal(strbuf_text(&f->text), expected);
    strbuf_init(&f->text, &f->arena);
}

static void sums_have_one_form(void **state) {
    struct fixture *f = *state;
    forms(f, "1 + s0.d0", "s0.d0 + 1");
    forms(f, "s0.d0 + 1 - 1", "s0.d0");
    forms(f, "(s0.d0 + 3) - s0.d0", "3");
    forms(f, "(s0.d0 + 3) - (s1.d0 + 5)", "s0.d0 - s1.d0 - 2");
    forms(f, "s1.d0 + 2 + s0.d0 + 3", "s0.d0 + s1.d0 + 5");
    forms(f, "s1.d0 + (s0.d0 - s1.d0)", "s0.d0");
    forms(f, "5 - (s0.d0 - 2)", "7 - s0.d0");
    forms(f, "s0.d0 - s0.d0", "0");
    forms(f, "s0.d0 + -9223372036854775808", "s0.d0 + -9223372036854775808");
    forms(f, "9223372036854775807 + 1", "-9223372036854775808");
}

static void slices_have_one_length(void **state) {
    struct fixture *f = *state;
    /* x[1:]: n - min(1, n); x[:-1]: max(n - 1, 0) - 0 */
    forms(f, "max(s0.d0 - min(1, s0.d0), 0)", "max(s0.d0 - 1, 0)");
    forms(f, "max(max(s0.d0 - 1, 0) - 0, 0)", "max(s0.d0 - 1, 0)");
    forms(f, "max(max(s0.d0 - 2, 0) - min(s0.d0, 2), 0)", "max(s0.d0 - 4, 0)");
    forms(f, "max(max(s0.d0 - 1, 0) - 1, 0)", "max(s0.d0 - 2, 0)");
    forms(f, "max(s0.d0 - 1, 0) - min(max(s0.d0 - 1, 0), 2)", "max(s0.d0 - 3, 0)");
    forms(f, "s0.d0 - max(s0.d0 - 3, 0)", "min(s0.d0, 3)");
    forms(f, "max(min(s0.d0, 3), 0)", "min(s0.d0, 3)");
    forms(f, "min(s0.d0, max(s0.d0 - 1, 0))", "max(s0.d0 - 1, 0)");
    forms(f, "min(s0.d0, s0.d0 - 1)", "s0.d0 - 1");
    forms(f, "max(s0.d0, min(s0.d0, s1.d0))", "s0.d0");
    forms(f, "min(min(s0.d0, 5), 3)", "min(s0.d0, 3)");
}

static void the_other_operations_simplify(void **state) {
    struct fixture *f = *state;
    forms(f, "s0.d0*0", "0");
    forms(f, "1*s0.d0", "s0.d0");
    forms(f, "2*s0.d0*3", "s0.d0*6");
    forms(f, "s1.d0*s0.d0", "s0.d0*s1.d0");
    forms(f, "9223372036854775807*2", "9223372036854775807");
    forms(f, "s0.d0 // 1", "s0.d0");
    forms(f, "-7 // 2", "-4");
    forms(f, "-7 % 3", "2");
    forms(f, "7 // 0", "0");
    forms(f, "7 % 0", "0");
    forms(f, "wrap(3, s0.d0)", "3");
    forms(f, "wrap(-1, s0.d0)", "s0.d0 - 1");
    forms(f, "wrap(s2, s0.d0)", "wrap(s2, s0.d0)");
    forms(f, "bcast(s0.d0, s0.d0)", "s0.d0");
    forms(f, "bcast(1, s0.d0)", "s0.d0");
    forms(f, "bcast(s0.d0, 1)", "s0.d0");
    forms(f, "bcast(s0.d0, s1.d0!)", "s1.d0!");
    forms(f, "bcast(s1.d0, s0.d0)", "bcast(s0.d0, s1.d0)");
    forms(f, "bcast(bcast(s0.d0, s2.d0), bcast(s1.d0, s0.d0))", "bcast(bcast(s0.d0, s1.d0), s2.d0)");
    forms(f, "not1(s0.d0)", "not1(s0.d0)");
    forms(f, "not1(s0.d0!)", "1");
    forms(f, "not1(1)", "0");
    forms(f, "(s0.d0 + 1) // (s1.d0*2)*3", "((s0.d0 + 1) // (s1.d0*2))*3");
}

/* The value of a size when every dimension and scalar of slot k is values[k]. */
static int64_t value_of(const struct size *s, const int64_t *values) {
    if (s->op == SIZE_CONST) return s->value;
    int64_t leaf = s->op == SIZE_DIM || s->op == SIZE_SCALAR ? values[s->slot] : 0;
    return size_apply(s, s->a ? value_of(s->a, values) : 0, s->b ? value_of(s->b, values) : 0, leaf);
}

static uint64_t random_state = 12345;

static int draw(int n) {
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int)((random_state >> 33) % (uint64_t)n);
}

/* A random size beside its value computed without simplification. Broadcasting is left out: it relies on a check. */
static const struct size *random_size(struct size_table *table, const int64_t *values, int depth, int64_t *value) {
    static const enum size_op ops[] = {SIZE_ADD,     SIZE_SUB,    SIZE_MUL,  SIZE_DIV, SIZE_MOD,
                                       SIZE_SMALLER, SIZE_LARGER, SIZE_WRAP, SIZE_ADD, SIZE_SUB,
                                       SIZE_SMALLER, SIZE_LARGER, SIZE_NOT1};
    int kind = depth == 0 ? draw(3) : 3;
    int slot = draw(3);
    if (kind == 0) return size_const(table, *value = draw(9) - 4);
    if (kind == 1) return *value = values[slot], size_dim(table, slot, 0, false);
    if (kind == 2) return *value = values[3 + slot], size_scalar(table, 3 + slot);
    enum size_op op = ops[draw(sizeof ops / sizeof *ops)];
    int64_t x, y = 0;
    const struct size *a = random_size(table, values, draw(depth), &x);
    if (op == SIZE_NOT1) return *value = x != 1, size_not1(table, a);
    const struct size *b = random_size(table, values, draw(depth), &y);
    *value = size_apply(&(struct size){.op = op}, x, y, 0);
    return size_binary(table, op, a, b);
}

static void simplifying_keeps_values(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < 20000; round++) {
        int64_t values[6];
        for (int i = 0; i < 6; i++) values[i] = i < 3 ? draw(8) : draw(13) - 6; /* dimensions are never negative */
        int64_t expected;
        const struct size *s = random_size(&f->sizes, values, 5, &expected);
        if (value_of(s, values) == expected) continue;
        size_print(s, &f->text);
        fail_msg("%s is %lld, not %lld", strbuf_text(&f->text), (long long)value_of(s, values), (long long)expected);
    }
    for (int id = 0; id < f->sizes.count; id++) { /* operands before users */
        const struct size *s = f->sizes.items[id];
        assert_int_equal(s->id, id);
        assert_true((!s->a || s->a->id < id) && (!s->b || s->b->id < id));
    }
}

static void broadcasts_keep_values(void **state) {
    struct fixture *f = *state;
    const struct size *leaves[] = {size_dim(&f->sizes, 0, 0, false), size_dim(&f->sizes, 1, 0, false),
                                   size_dim(&f->sizes, 2, 0, false), size_const(&f->sizes, 1)};
    for (int round = 0; round < 2000; round++) { /* sizes that do broadcast: each is 1 or n */
        int n = draw(5);
        int64_t values[3], expected = 1;
        for (int i = 0; i < 3; i++) values[i] = draw(2) ? n : 1;
        const struct size *s = leaves[3];
        for (int i = 0; i < 6; i++) {
            int leaf = draw(4);
            s = draw(2) ? size_binary(&f->sizes, SIZE_BCAST, s, leaves[leaf])
                        : size_binary(&f->sizes, SIZE_BCAST, leaves[leaf], s);
            if (leaf < 3 && values[leaf] != 1) expected = values[leaf];
        }
        assert_int_equal(value_of(s, values), expected);
    }
}

static void long_sums_stay_linear(void **state) {
    struct fixture *f = *state;
    const struct size *s = size_const(&f->sizes, 0);
    for (int i = 0; i < 20000; i++) s = size_binary(&f->sizes, SIZE_ADD, s, size_dim(&f->sizes, i, 0, false));
    assert_in_range(f->sizes.count, 20000, 400000);
    for (int i = 0; i < 70; i++) s = size_binary(&f->sizes, SIZE_MUL, s, s); /* prints cut short, not for ever */
    size_print(s, &f->text);
    assert_in_range(f->text.length, 1000, 400000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(sums_have_one_form),
        FIXTURE_TEST(slices_have_one_length),
        FIXTURE_TEST(the_other_operations_simplify),
        FIXTURE_TEST(simplifying_keeps_values),
        FIXTURE_TEST(broadcasts_keep_values),
        FIXTURE_TEST(long_sums_stay_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
