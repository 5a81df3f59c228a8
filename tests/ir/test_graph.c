/* Graphs: value numbering, folding, views that compose, and that all of it stays linear. */
#include <math.h>

#include "fixture.h"

static struct graph_node *input(struct fixture *f, int slot, enum dtype type, int rank) {
    const struct size *shape[TYPE_MAX_RANK];
    for (int d = 0; d < rank; d++) shape[d] = size_dim(&f->sizes, slot, d, false);
    return graph_input(f->graph, slot, type, rank, shape);
}

static struct graph_node *binary(struct fixture *f, enum op op, enum dtype type, struct graph_node *a,
                                 struct graph_node *b) {
    return graph_op(f->graph, op, type, 2, (struct graph_node *[]){a, b}, nowhere);
}

static struct graph_node *unary(struct fixture *f, enum op op, enum dtype type, struct graph_node *a) {
    return graph_op(f->graph, op, type, 1, &a, nowhere);
}

static struct graph_node *real(struct fixture *f, double value) {
    return graph_const_float(f->graph, TY_F64, value);
}

static void prints(struct fixture *f, const char *expected) {
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    if (!verify_graph(f->graph, &why)) fail_msg("%s", strbuf_text(&why));
    graph_print(f->graph, &f->text);
    assert_string_equal(strbuf_text(&f->text), expected);
}

static void equal_nodes_are_one(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F64, 1), *y = input(f, 1, TY_F64, 1);
    assert_ptr_equal(x, input(f, 0, TY_F64, 1));
    assert_ptr_not_equal(x, y);
    assert_ptr_equal(binary(f, OP_sub, TY_F64, x, x), binary(f, OP_sub, TY_F64, x, x));
    assert_ptr_not_equal(binary(f, OP_sub, TY_F64, x, real(f, 1)), binary(f, OP_sub, TY_F64, x, real(f, 2)));
    assert_ptr_not_equal(real(f, 0.0), real(f, -0.0));
    assert_ptr_equal(real(f, NAN), real(f, -NAN));
    assert_ptr_equal(unary(f, OP_square, TY_F64, x), binary(f, OP_mul, TY_F64, x, x));
    struct graph_node *sum = graph_reduce(f->graph, REDUCE_SUM, TY_F64, 1, 1, &x, nowhere);
    assert_ptr_equal(sum, graph_reduce(f->graph, REDUCE_SUM, TY_F64, 1, 1, &x, nowhere));
    assert_ptr_not_equal(sum, graph_reduce(f->graph, REDUCE_PROD, TY_F64, 1, 1, &x, nowhere));
}

static void arithmetic_folds_elementary_functions_do_not(void **state) {
    struct fixture *f = *state;
    assert_ptr_equal(binary(f, OP_add, TY_F64, real(f, 1), real(f, 2)), real(f, 3));
    assert_ptr_equal(binary(f, OP_lt, TY_BOOL, real(f, 1), real(f, 2)), graph_const_int(f->graph, TY_BOOL, 1));
    assert_ptr_equal(graph_convert(f->graph, real(f, 300), TY_U8, nowhere), graph_const_int(f->graph, TY_U8, 255));
    assert_ptr_equal(graph_convert(f->graph, graph_const_int(f->graph, TY_I64, 300), TY_U8, nowhere),
                     graph_const_int(f->graph, TY_U8, 44));
    struct graph_node *third =
        binary(f, OP_div, TY_F32, graph_const_float(f->graph, TY_F32, 1), graph_const_float(f->graph, TY_F32, 3));
    assert_true(third->imm.f == (double)(1.0f / 3));
    struct graph_node *i2 = graph_const_int(f->graph, TY_I32, 2), *i5 = graph_const_int(f->graph, TY_I32, 5);
    assert_int_equal(binary(f, OP_pow, TY_I32, i2, i5)->imm.i, 32);
    assert_int_equal(binary(f, OP_pow, TY_F64, real(f, 2), real(f, 5))->op, OP_pow);
    assert_int_equal(unary(f, OP_exp, TY_F64, real(f, 0))->op, OP_exp);
    assert_int_equal(graph_const_int(f->graph, TY_I8, 200)->imm.i, -56);
    assert_int_equal(graph_size(f->graph, size_const(&f->sizes, 3))->op, OP_const);
    /* no algebra: x + 0 is not x when x is -0 */
    struct graph_node *x = input(f, 0, TY_F64, 1);
    assert_int_equal(binary(f, OP_add, TY_F64, x, real(f, 0))->op, OP_add);
}

static void identities_vanish(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F64, 1), *y = input(f, 1, TY_BOOL, 1);
    assert_ptr_equal(graph_convert(f->graph, x, TY_F64, nowhere), x);
    assert_ptr_equal(unary(f, OP_not, TY_BOOL, unary(f, OP_not, TY_BOOL, y)), y);
    struct graph_node *yes = graph_const_int(f->graph, TY_BOOL, 1);
    struct graph_node *chosen =
        graph_op(f->graph, OP_select, TY_F64, 3, (struct graph_node *[]){yes, x, real(f, 2)}, nowhere);
    assert_ptr_equal(chosen, x);
    struct graph_node *no = graph_const_int(f->graph, TY_BOOL, 0);
    chosen = graph_op(f->graph, OP_select, TY_F64, 3, (struct graph_node *[]){no, x, real(f, 2)}, nowhere);
    assert_int_equal(chosen->rank, 1); /* the scalar, in the shape that was chosen from */
    assert_ptr_equal(chosen->args[0], real(f, 2));
}

static void broadcast_scalars_are_computed_once(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F64, 1), *a = input(f, 1, TY_F64, 0);
    struct graph_node *wide = graph_broadcast(f->graph, a, 1, x->shape, nowhere);
    assert_ptr_equal(binary(f, OP_mul, TY_F64, x, wide), binary(f, OP_mul, TY_F64, x, a));
    struct graph_node *sine = unary(f, OP_sin, TY_F64, wide);
    assert_int_equal(sine->op, OP_view);
    assert_ptr_equal(sine->args[0], unary(f, OP_sin, TY_F64, a));
    assert_ptr_equal(binary(f, OP_add, TY_F64, sine, x), binary(f, OP_add, TY_F64, unary(f, OP_sin, TY_F64, a), x));
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    assert_true(verify_graph(f->graph, &why));
}

/* x[start : start + length : step] of a vector */
static struct graph_node *slice(struct fixture *f, struct graph_node *x, int64_t start, const struct size *length,
                                int64_t step) {
    struct view_term term = {0, size_const(&f->sizes, step)};
    struct view_map map = {.source_rank = 1, .axis[0] = {size_const(&f->sizes, start), 1, &term}};
    return graph_view(f->graph, x, 1, &length, &map, nowhere);
}

static void views_compose(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F64, 1);
    const struct size *n = x->shape[0], *three = size_const(&f->sizes, 3);
    struct graph_node *y = slice(f, slice(f, x, 1, size_const(&f->sizes, 9), 2), 1, three, 3);
    assert_ptr_equal(y->args[0], x);
    assert_true(size_is_const(y->map->axis[0].offset, 3) && size_is_const(y->map->axis[0].terms[0].coef, 6));
    assert_ptr_equal(slice(f, x, 0, n, 1), x);
    assert_ptr_not_equal(slice(f, x, 0, three, 1), x);
    /* reversed twice */
    struct view_term back = {0, size_const(&f->sizes, -1)};
    struct view_map reverse = {.source_rank = 1,
                               .axis[0] = {size_binary(&f->sizes, SIZE_SUB, n, size_const(&f->sizes, 1)), 1, &back}};
    struct graph_node *r = graph_view(f->graph, x, 1, &n, &reverse, nowhere);
    assert_ptr_not_equal(r, x);
    /* a broadcast of a row, and the row back out of it */
    const struct size *shape[] = {size_const(&f->sizes, 5), n};
    struct graph_node *rows = graph_broadcast(f->graph, x, 2, shape, nowhere);
    struct view_term keep = {0, size_const(&f->sizes, 1)};
    struct view_map row = {
        .source_rank = 2, .axis[0] = {size_const(&f->sizes, 2)}, .axis[1] = {size_const(&f->sizes, 0), 1, &keep}};
    assert_ptr_equal(graph_view(f->graph, rows, 1, &n, &row, nowhere), x);
    /* sizes that may be 1 */
    struct graph_node *column = input(f, 2, TY_F64, 1);
    struct graph_node *maybe = graph_broadcast(f->graph, column, 2, shape, nowhere);
    assert_int_equal(maybe->map->axis[0].terms[0].coef->op, SIZE_NOT1);
}

static void reshapes_vanish_where_they_can(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F64, 2);
    const struct size *one = size_const(&f->sizes, 1), *h = x->shape[0], *w = x->shape[1];
    const struct size *flat = size_binary(&f->sizes, SIZE_MUL, h, w);
    struct graph_node *y = graph_reshape(f->graph, x, 1, &flat, nowhere);
    assert_int_equal(y->op, OP_reshape);
    assert_ptr_equal(graph_reshape(f->graph, y, 2, x->shape, nowhere), x);
    struct graph_node *z = graph_reshape(f->graph, x, 4, (const struct size *[]){one, h, one, w}, nowhere);
    assert_int_equal(z->op, OP_view);
    assert_ptr_equal(graph_reshape(f->graph, z, 2, x->shape, nowhere), x);
    assert_int_equal(graph_reshape(f->graph, x, 2, (const struct size *[]){w, h}, nowhere)->op, OP_reshape);
}

static void reductions_keep_the_rest(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F32, 3);
    graph_reduce(f->graph, REDUCE_MAX, TY_F32, 1 << 1, 1, &x, nowhere);
    struct graph_node *args[] = {x, graph_const_int(f->graph, TY_BOOL, 1)};
    graph_reduce(f->graph, REDUCE_VAR, TY_F64, 7, 2, args, nowhere);
    struct graph_node *scalar = input(f, 1, TY_F32, 0);
    graph_reduce(f->graph, REDUCE_ARGMAX, TY_I64, 0, 1, &scalar, nowhere);
    prints(f, "graph {\n"
              "  %0 = input 0 : f32[s0.d0, s0.d1, s0.d2]\n"
              "  %1 = reduce max %0 axes 1 : f32[s0.d0, s0.d2]\n"
              "  %2 = const true : bool\n"
              "  %3 = view %2 : bool[s0.d0, s0.d1, s0.d2]\n"
              "  %4 = reduce var %0, %3 axes 0, 1, 2 : f64\n"
              "  %5 = input 1 : f32\n"
              "  %6 = view %5 : f32[1]\n"
              "  %7 = reduce argmax %6 axes 0 : i64\n"
              "}\n");
}

static void large_graphs_are_built_in_linear_time(void **state) {
    struct fixture *f = *state;
    struct graph_node *x = input(f, 0, TY_F64, 1), *y = x;
    const struct size *n = x->shape[0];
    for (int i = 0; i < 10000; i++) {
        y = binary(f, i % 2 ? OP_mul : OP_add, TY_F64, y, real(f, i));
        if (i % 10 == 0)
            y = slice(f, y, 1,
                      n = size_binary(&f->sizes, SIZE_LARGER,
                                      size_binary(&f->sizes, SIZE_SUB, n, size_const(&f->sizes, 1)),
                                      size_const(&f->sizes, 0)),
                      1);
    }
    assert_in_range(f->graph->n_nodes, 20000, 22000);
    for (int i = 0; i < 10000; i++) y = slice(f, y, 1, n, 1);
    assert_int_not_equal(y->args[0]->op, OP_view);
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    assert_true(verify_graph(f->graph, &why));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(equal_nodes_are_one),
        FIXTURE_TEST(arithmetic_folds_elementary_functions_do_not),
        FIXTURE_TEST(identities_vanish),
        FIXTURE_TEST(broadcast_scalars_are_computed_once),
        FIXTURE_TEST(views_compose),
        FIXTURE_TEST(reshapes_vanish_where_they_can),
        FIXTURE_TEST(reductions_keep_the_rest),
        FIXTURE_TEST(large_graphs_are_built_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
