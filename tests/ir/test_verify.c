/* What the verifiers refuse, each with the line it gives. */
#include "fixture.h"

static void refuses_graph(struct fixture *f, const char *lines, const char *expected) {
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    struct graph *graph = parse_graph(&f->arena, arena_printf(&f->arena, "graph { %s }", lines), &why);
    if (!graph) fail_msg("%s: %s", lines, strbuf_text(&why));
    if (verify_graph(graph, &why)) fail_msg("accepted: %s", lines);
    assert_string_equal(strbuf_text(&why), expected);
}

static void graphs(void **state) {
    struct fixture *f = *state;
    refuses_graph(f, "%0 = const 1 : f64 %1 = const 1 : f32 %2 = add %0, %1 : f64", "graph: %2 (add) mixes types");
    refuses_graph(f, "%0 = const 1 : f64 %1 = add %0 : f64", "graph: %1 (add) has the wrong number of operands");
    refuses_graph(f, "%0 = const 1 : i32 %1 = exp %0 : i32", "graph: %1 (exp) is of floats only");
    refuses_graph(f, "%0 = const 1 : f64 %1 = bitand %0, %0 : f64", "graph: %1 (bitand) is of integers and bools only");
    refuses_graph(f, "%0 = const 1 : f64 %1 = lt %0, %0 : f64", "graph: %1 (lt) does not give a bool");
    refuses_graph(f, "%0 = const 1 : f64 %1 = select %0, %0, %0 : f64",
                  "graph: %1 (select) chooses by a value that is no bool");
    refuses_graph(f, "%0 = const 1 : f64 %1 = ldexp %0, %0 : f64", "graph: %1 (ldexp) has an exponent that is no i32");
    refuses_graph(f, "%0 = const true : bool %1 = add %0, %0 : bool", "graph: %1 (add) is of numbers only");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = input 1 : f64[4] %2 = add %0, %1 : f64[3]",
                  "graph: %2 (add) has operand 1 of another shape");
    refuses_graph(f, "%0 = const 1 : f64 %1 = neg %0 : f64[3]", "graph: %1 (neg) has a shape that no operand has");
    refuses_graph(f, "%0 = const 1 : f64[3]", "graph: %0 (const) has a shape");
    refuses_graph(f, "%0 = index 1 : i64[3]", "graph: %0 (index) has no such dimension");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = view %0 : f64[3]",
                  "graph: %1 (view) maps another rank than its operand's");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = view %0 [0; i1] : f64[3]", "graph: %1 (view) uses dimension 1");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = reduce sum %0 axes 1 : f64[3]",
                  "graph: %1 (reduce) reduces a dimension that is not there");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = reduce sum %0 axes 0 : f64[3]",
                  "graph: %1 (reduce) has another rank than what it keeps");
    refuses_graph(f, "%0 = input 0 : i32[3] %1 = reduce sum %0 axes 0 : i64",
                  "graph: %1 (reduce) accumulates another type than its operand's");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = reduce any %0 axes 0 : bool", "graph: %1 (reduce) is of bools only");
    refuses_graph(f, "%0 = input 0 : f64[3] %1 = reduce var %0 axes 0 : f64", "graph: %1 (reduce) has 1 operands");
    refuses_graph(f, "%0 = input 0 : f64[3] assert %0, \"x\"", "graph: sink 0 asserts no bool scalar");
    refuses_graph(f, "function 0 \"g\" { body(%0: f64) { yield %0 } } %0 = const 1 : f64 %1 = call 0 result 1 %0 : f64",
                  "graph: %1 (call) has no such result");
    refuses_graph(f, "function 0 \"g\" { body(%0: f64) { yield %0 } } %0 = const 1 : f32 %1 = call 0 result 0 %0 : f64",
                  "graph: %1 (call) has argument 0 of another type");
    refuses_graph(f, "function 0 \"g\" { body { %0 = read 0 : f64 yield %0 } } %0 = call 0 result 0 : f64",
                  "g: %0 (read) reads operand 0, no loop operand");
    refuses_graph(f,
                  "function 0 \"g\" { whole f64 rank 1 body(%0: i64) { %1 = load 0 [%0, %0] : f64 yield %1 } } %0 = "
                  "const 1 : i64 %1 = input 0 : f64[3] %2 = call 0 result 0 %0 whole %1 : f64",
                  "g: %1 (load) has 2 subscripts of 1");
}

static void refuses_kernel(struct fixture *f, const char *head, const char *lines, const char *expected) {
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    const char *text = arena_printf(
        &f->arena,
        "kernel \"k\" %s { operand 0 read f64 rank 1 uses 0 operand 1 whole f32 rank 1 operand 2 write f64 rank 1 %s }",
        head, lines);
    struct ir_kernel *kernel = parse_kernel(&f->arena, text, &why);
    if (!kernel) fail_msg("%s: %s", text, strbuf_text(&why));
    if (verify_kernel(kernel, &why)) fail_msg("accepted: %s", text);
    assert_string_equal(strbuf_text(&why), expected);
}

static void kernels(void **state) {
    struct fixture *f = *state;
    const char *map = "map par 1 red 0 sizes 1", *lanes = "lanes par 0 red 1 sizes 0 width 32";
    refuses_kernel(f, "map par 1 red 1 sizes 0", "body { yield }", "k: has 1 reduced dimensions");
    refuses_kernel(f, "columns par 0 red 1 sizes 0", "body { yield }", "k: keeps no dimension");
    refuses_kernel(f, "map par 0 red 0 sizes 0", "body { yield }",
                   "k: operand 0 uses a loop dimension that is not there");
    refuses_kernel(f, map, "body { %0 = read 1 : f32 yield }", "k: %0 (read) reads operand 1, no loop operand");
    refuses_kernel(f, map, "body { %0 = read 0 : f32 yield }", "k: %0 (read) has another type than its operand");
    refuses_kernel(f, map, "body { %0 = size 1 : i64 yield }", "k: %0 (size) has no such size");
    refuses_kernel(f, map, "body { %0 = index 0 : i64 yield }", "k: has an index but does not say so");
    refuses_kernel(f, map, "body { %0 = index 1 : i64 yield }", "k: %0 (index) has no such loop dimension");
    refuses_kernel(f, map, "body { %0 = const 0 : i32 %1 = load 1 [%0] : f32 yield }",
                   "k: %1 (load) has a subscript that is no i64");
    refuses_kernel(f, map, "body { %0 = len 1, 1 : i64 yield }", "k: %0 (len) asks for a dimension that is not there");
    refuses_kernel(f, map, "body { %0 = const 1 : f32 store 2, %0 yield }",
                   "k: %1 (store) has another type than its operand");
    refuses_kernel(f, map, "body { %0 = read 0 : f64 store 0, %0 yield }", "k: %1 (store) writes operand 0, no output");
    refuses_kernel(f, map,
                   "body { %0 = const true : bool %1 = if %0 { then { %2 = read 0 : f64 store 2, %2 yield } else { "
                   "yield } } yield }",
                   "k: %3 (store) stands inside an if or a loop");
    refuses_kernel(
        f, map,
        "body { %0 = const true : bool %1 = if %0 { then { %2 = read 0 : f64 yield %2 } else { yield } } yield }",
        "k: %1 (if) yields 1 or 0 values");
    refuses_kernel(f, map,
                   "body { %0 = const true : bool %1 = if %0 { then { %2 = read 0 : f64 yield } else { yield } } store "
                   "2, %2 yield }",
                   "k: %3 (store) uses a value that is not known here");
    refuses_kernel(
        f, map,
        "body { %0 = const true : bool %1 = loop %0 { while(%2: bool) { yield } do(%3: bool) { yield %3 } } yield }",
        "k: %1 (loop) needs one bool from its `while`");
    refuses_kernel(
        f, map, "body { %0 = const true : bool %1 = loop %0 { while { yield %0 } do(%3: bool) { yield %3 } } yield }",
        "k: %1 (loop) carries 1 values into 0 parameters");
    refuses_kernel(f, map, "body { %0 = read 0 : f64 %1 = result %0, 0 : f64 yield }",
                   "k: %1 (result) is of neither an if nor a loop");
    refuses_kernel(f, map, "body { %0 = read 0 : f64 yield %0 }", "k: a map yields nothing");
    refuses_kernel(f, lanes, "body { %0 = read 0 : f64 yield %0 }", "k: reduces nothing");
    refuses_kernel(f, lanes, "body { %0 = read 0 : f64 yield %0 } reduce sum f64 of 1 epilogue(%1: f64) { yield }",
                   "k: reduction 0 has no operand");
    refuses_kernel(f, lanes, "body { %0 = read 0 : f64 yield %0 } reduce sum f32 of 0 epilogue(%1: f32) { yield }",
                   "k: reduction 0 accumulates another type than its operand's");
    refuses_kernel(f, lanes, "body { %0 = read 0 : f64 yield %0 } reduce sum f64 of 0 epilogue(%1: f32) { yield }",
                   "k: the epilogue's parameter 0 has another type");
    refuses_kernel(f, lanes, "body { %0 = read 0 : f64 yield %0, %0 } reduce sum f64 of 0 epilogue(%1: f64) { yield }",
                   "k: the body yields values that nothing reduces");
    refuses_kernel(f, lanes,
                   "body { %0 = read 0 : f64 yield %0 } reduce sum f64 of 0 epilogue(%1: f64) { store 2, %0 yield }",
                   "k: %2 (store) uses a value that is not known here");
    refuses_kernel(f, lanes,
                   "body { %0 = read 0 : f64 store 2, %0 yield %0 } reduce sum f64 of 0 epilogue(%1: f64) { yield }",
                   "k: %1 (store) stores at other positions than its operand has");
    refuses_kernel(f, "lanes par 0 red 1 sizes 0 width 64",
                   "body { %0 = read 0 : f64 yield %0 } reduce sum f64 of 0 epilogue(%1: f64) { yield }",
                   "k: has 64 lanes for its floats");
}

static void refuses_plan(struct fixture *f, const char *lines, const char *expected) {
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    const char *text =
        arena_printf(&f->arena, "plan fast ulp 4 { slot 0 f64 rank 1 input 0 slot 1 bool rank 0 %s }", lines);
    struct plan *plan = parse_plan(&f->arena, text, &why);
    if (!plan) fail_msg("%s: %s", text, strbuf_text(&why));
    if (verify_plan(plan, &why)) fail_msg("accepted: %s", text);
    assert_string_equal(strbuf_text(&why), expected);
}

static void plans(void **state) {
    struct fixture *f = *state;
    refuses_plan(f, "output 2 body { }", "plan: output 0 has no slot");
    refuses_plan(f, "body { if 0 { } }", "plan: an if depends on slot 0, no bool scalar");
    refuses_plan(f, "body { copy 1 = 0 }", "plan: copies slot 0 to 1 of another type or rank");
    refuses_plan(f, "body { leave 0 }", "plan: leaves scope 0 from outside");
    refuses_plan(f, "body { scope 0 { scope 0 { } } }", "plan: scope 0 stands in itself");
    refuses_plan(f, "body { graph { %0 = input 5 : f64 } }", "graph: %0 (input) has no such slot");
    refuses_plan(f, "body { graph { %0 = input 0 : f64 } }",
                 "graph: %0 (input) has another type or rank than its slot");
    refuses_plan(f, "body { graph { %0 = const 1 : f64 slot 1 = %0 } }",
                 "graph: %0 (const) has another type or rank than slot 1");
    refuses_plan(f, "body { graph { %0 = literal 0 : f64 } }", "graph: %0 (literal) has no such literal");
}

/* What only code can get wrong. */
static void foreign_parts(void **state) {
    struct fixture *f = *state;
    struct size_table other;
    size_table_init(&other, &f->arena);
    const struct size *foreign = size_dim(&other, 0, 0, false);
    graph_input(f->graph, 0, TY_F64, 1, &foreign);
    assert_false(verify_graph(f->graph, &f->text));
    assert_string_equal(strbuf_text(&f->text), "graph: %0 (input) has a foreign size");
    strbuf_init(&f->text, &f->arena);
    struct graph *graph = graph_new(&f->arena, &f->sizes);
    struct graph_node *x = graph_const_float(f->graph, TY_F64, 1), *y = graph_const_float(graph, TY_F64, 2);
    graph_const_float(graph, TY_F64, 3);
    graph_op(graph, OP_exp, TY_F64, 1, &x, nowhere);
    assert_false(verify_graph(graph, &f->text));
    assert_string_equal(strbuf_text(&f->text), "graph: %2 (exp) has an operand that does not precede it");
    (void)y;
}

int main(void) {
    const struct CMUnitTest tests[] = {FIXTURE_TEST(graphs), FIXTURE_TEST(kernels), FIXTURE_TEST(plans),
                                       FIXTURE_TEST(foreign_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
