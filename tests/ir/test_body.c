/* Bodies: making them, and copying one into another. */
#include "fixture.h"
#include "ir/print_internal.h"

static const char *region_text(struct fixture *f, struct ir_region *region) {
    struct strbuf out;
    strbuf_init(&out, &f->arena);
    body_number(region);
    print_region(&out, 0, "body", region);
    return strbuf_text(&out);
}

static void inlining_renames_everything(void **state) {
    struct fixture *f = *state;
    /* the loop of text: while n < p: n += t[n], with its parameter p, result n and a whole array 0 */
    static const char source[] =
        "graph { function 0 \"f\" { whole i64 rank 1 body(%0: i64) {"
        "%1 = const 1 : i64 "
        "%2 = loop %1 { while(%3: i64) { %4 = lt %3, %0 : bool yield %4 }"
        "               do(%5: i64) { %6 = load 0 [%5] : i64 %7 = add %5, %6 : i64 yield %7 } } "
        "%8 = result %2, 0 : i64 %9 = len 0, 0 : i64 yield %8, %0, %9 } }"
        "%0 = const 5 : i64 %1 = input 0 : i64[3] %2 = call 0 result 0 %0 whole %1 : i64 }";
    struct graph *graph = parse_graph(&f->arena, source, &f->text);
    if (!graph || !verify_graph(graph, &f->text)) fail_msg("%s", strbuf_text(&f->text));
    const struct ir_function *function = graph->nodes[2]->function;

    struct ir_region *to = body_region(&f->arena, 1, (enum dtype[]){TY_I64});
    struct ir_value *results[6];
    int map[] = {7};
    body_inline(&f->arena, to, &function->body, to->params, map, results);
    body_inline(&f->arena, to, &function->body, &results[0], NULL, &results[3]);
    body_set_results(&f->arena, to, 1, &results[3]);
    assert_string_equal(region_text(f, to), "body(%0: i64) {\n"
                                            "  %1 = const 1 : i64\n"
                                            "  %2 = loop %1 {\n"
                                            "    while(%3: i64) {\n"
                                            "      %4 = lt %3, %0 : bool\n"
                                            "      yield %4\n"
                                            "    }\n"
                                            "    do(%5: i64) {\n"
                                            "      %6 = load 7 [ %5 ] : i64\n"
                                            "      %7 = add %5, %6 : i64\n"
                                            "      yield %7\n"
                                            "    }\n"
                                            "  }\n"
                                            "  %8 = result %2, 0 : i64\n"
                                            "  %9 = len 7, 0 : i64\n"
                                            "  %10 = const 1 : i64\n"
                                            "  %11 = loop %10 {\n"
                                            "    while(%12: i64) {\n"
                                            "      %13 = lt %12, %8 : bool\n"
                                            "      yield %13\n"
                                            "    }\n"
                                            "    do(%14: i64) {\n"
                                            "      %15 = load 0 [ %14 ] : i64\n"
                                            "      %16 = add %14, %15 : i64\n"
                                            "      yield %16\n"
                                            "    }\n"
                                            "  }\n"
                                            "  %17 = result %11, 0 : i64\n"
                                            "  %18 = len 0, 0 : i64\n"
                                            "  yield %17\n"
                                            "}\n");
}

static void expanding_operations_never_stay(void **state) {
    struct fixture *f = *state;
    struct ir_region *region = body_region(&f->arena, 3, (enum dtype[]){TY_F32, TY_F32, TY_F32});
    for (int op = 0; op < OP_COUNT; op++) {
        if (op_info[op].lower != LOWER_EXPAND) continue;
        struct ir_value *value =
            body_op(&f->arena, region, (enum op)op, TY_F32, op_info[op].arity, region->params, nowhere);
        assert_int_equal(value->type, TY_F32);
    }
    struct ir_value *ints = body_const_int(&f->arena, region, TY_I8, -3);
    struct ir_value *relu = body_op(&f->arena, region, OP_relu, TY_I8, 1, &ints, nowhere);
    assert_int_equal(relu->op, OP_max);
    for (int i = 0; i < region->n_values; i++) assert_true(op_info[region->values[i]->op].lower != LOWER_EXPAND);
    struct ir_function function = {.name = "f", .body = *region};
    struct graph_node *x = graph_const_float(f->graph, TY_F32, 1), *args[] = {x, x, x};
    body_set_results(&f->arena, &function.body, 1, &region->params[0]);
    graph_call(f->graph, &function, 0, TY_F32, 0, NULL, 3, args, 0, NULL, nowhere);
    if (!verify_graph(f->graph, &f->text)) fail_msg("%s", strbuf_text(&f->text));
}

static void constants_are_of_their_type(void **state) {
    struct fixture *f = *state;
    struct ir_region *region = body_region(&f->arena, 0, NULL);
    assert_true(body_const_float(&f->arena, region, TY_F32, 0.1)->imm.f == (double)0.1f);
    assert_true(body_const_int(&f->arena, region, TY_F64, 3)->imm.f == 3.0);
    assert_int_equal(body_const_int(&f->arena, region, TY_I8, -3)->imm.i, -3);
    assert_int_equal(body_leaf(&f->arena, region, OP_size, TY_I64, 4)->imm.i, 4);
    assert_int_equal(body_number(region), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {FIXTURE_TEST(inlining_renames_everything),
                                       FIXTURE_TEST(expanding_operations_never_stay),
                                       FIXTURE_TEST(constants_are_of_their_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
