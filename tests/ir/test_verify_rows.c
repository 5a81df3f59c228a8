/* What the verifier says of rows that are wrong: right ones, made by fuse_plan, with one thing changed. */
#include "fixture.h"
#include "ir/fuse.h"
#include "ir/rows.h"

/* rows [s0.d0!] scratch 2, 3 { e = exp(x); s = sum(e, axis=1); e / s }, and another kernel that reads x. */
static const char softmax[] = "plan contract ulp 4 {"
                              "  slot 0 \"x\" f64 rank 2 input 0 slot 1 f64 rank 2 slot 2 f64 rank 1 output 1 output 2"
                              "  body { graph {"
                              "    %0 = input 0 : f64[s0.d0!, s0.d1!]"
                              "    %1 = exp %0 : f64[s0.d0!, s0.d1!]"
                              "    %2 = reduce sum %1 axes 1 : f64[s0.d0!]"
                              "    %3 = view %2 [0; i0] : f64[s0.d0!, s0.d1!]"
                              "    %4 = div %1, %3 : f64[s0.d0!, s0.d1!]"
                              "    %5 = reduce sum %0 axes 0 : f64[s0.d1!]"
                              "    slot 1 = %4"
                              "    slot 2 = %5"
                              "  } }"
                              "}";

struct wrong {
    struct fixture *f;
    struct plan *plan;
    struct plan_rows *rows;
    struct plan_step *step;
    int at; /* of the action */
};

static struct wrong start(struct fixture *f) {
    struct wrong w = {.f = f};
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    w.plan = parse_plan(&f->arena, softmax, &why);
    if (!w.plan) fail_msg("%s", strbuf_text(&why));
    fuse_plan(w.plan, NULL);
    if (!verify_plan(w.plan, &why)) fail_msg("%s", strbuf_text(&why));
    assert_int_equal(w.plan->n_rows, 1);
    w.rows = w.plan->rows[0];
    assert_int_equal(w.rows->n_launches, 3);
    assert_int_equal(w.rows->n_scratch, 2);
    w.step = w.plan->body.steps[0];
    while (w.step->actions[w.at]->kind != ACTION_ROWS) w.at++;
    return w;
}

static void refuse(struct wrong *w, const char *expected) {
    struct strbuf why;
    strbuf_init(&why, &w->f->arena);
    if (verify_plan(w->plan, &why)) fail_msg("accepted, not: %s", expected);
    assert_string_equal(strbuf_text(&why), expected);
    *w = start(w->f);
}

/* The operand of a member that is of that kind, counted from 0. */
static struct launch_operand *operand_of(const struct wrong *w, int member, enum operand_kind kind, int number) {
    const struct plan_launch *launch = w->rows->launches[member];
    int i = 0;
    while (launch->kernel->operands[i].kind != kind || number-- > 0) i++;
    return &launch->operands[i];
}

static void actions(void **state) {
    struct wrong w = start(*state);
    w.step->actions[w.at]->rows = NULL;
    refuse(&w, arena_printf(&w.f->arena, "plan: action %d has no rows", w.at));
    w.step->actions[w.at]->count = 100;
    refuse(&w, "rows 0: 100 actions are more than follow");
    w.step->actions[w.at]->count--;
    w.step->actions[w.at]->count--;
    w.step->actions[w.at]->count--;
    refuse(&w, "rows 0: has 2 kernels of 3");
    w.step->actions[w.at + 1]->kind = ACTION_SIZES;
    refuse(&w, arena_printf(&w.f->arena, "rows 0: action %d is no kernel and frees nothing", w.at + 1));
    w.rows->launches[0] = w.rows->launches[2];
    refuse(&w, arena_printf(&w.f->arena, "rows 0: action %d runs another kernel", w.at + 1));
    w.rows->n_launches = 1;
    refuse(&w, "rows 0: has 1 launches");
    w.rows->index = 1;
    refuse(&w, "rows 1: has another number");
    w.plan->n_rows = 2;
    refuse(&w, "plan: 1 of 2 rows are in its actions");
    w.rows->outer = 0;
    refuse(&w, "rows 0: has 0 outer dimensions");
}

static void launches(void **state) {
    struct wrong w = start(*state);
    w.rows->outer = 2;
    refuse(&w, "rows 0: k2_sum has fewer parallel dimensions than a row");
    w.rows->launches[1]->extents[0] = size_const(&w.plan->sizes, 5);
    refuse(&w, "rows 0: k2_sum has other rows");
    for (int i = 0; i < 3; i++) w.rows->launches[i]->extents[0] = size_const(&w.plan->sizes, 1);
    refuse(&w, "rows 0: is a single row");
    w.rows->launches[1]->kernel->kind = KERNEL_COLUMNS;
    refuse(&w, "rows 0: k2_sum reduces columns");
    operand_of(&w, 1, OPERAND_READ, 0)->slot = 4;
    operand_of(&w, 2, OPERAND_READ, 0)->slot = 0;
    operand_of(&w, 2, OPERAND_READ, 1)->slot = 0;
    operand_of(&w, 0, OPERAND_READ, 0)->slot = 2;
    operand_of(&w, 1, OPERAND_WRITE, 0)->slot = 5;
    refuse(&w, "rows 0: has kernels that share nothing");
    /* Without the sum. */
    w.rows->n_launches = 2;
    w.rows->launches[1] = w.rows->launches[2];
    w.step->actions[w.at + 2] = w.step->actions[w.at + 3];
    w.step->actions[w.at]->count = 2;
    refuse(&w, "rows 0: reduces nothing");
}

static void refuse_kernel(struct fixture *f, const char *text, const char *expected) {
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    struct ir_kernel *kernel = parse_kernel(&f->arena, text, &why);
    if (!kernel || !verify_kernel(kernel, &why)) fail_msg("%s: %s", text, strbuf_text(&why));
    const char *wrong = rows_wrong_kernel(kernel);
    if (expected)
        assert_string_equal(wrong, expected);
    else
        assert_null(wrong);
}

static void kernels(void **state) {
    struct fixture *f = *state;
#define MAP(body)                                                                                                      \
    "kernel \"k\" map par 2 red 0 sizes 0 uses_index diverges { operand 0 whole f64 rank 1 operand 1 read f64 rank 0 " \
    "uses 0 "                                                                                                          \
    "operand 2 write f64 rank 0 body { " body " yield } }"
    refuse_kernel(f, MAP("%0 = read 1 : f64 store 2, %0"), NULL);
    refuse_kernel(f, MAP("%0 = len 0, 0 : i64 %1 = convert %0 : f64 store 2, %1"), NULL);
    refuse_kernel(f, MAP("%0 = index 1 : i64 %1 = load 0 [%0] : f64 store 2, %1"), "has a load or a loop");
    refuse_kernel(f,
                  MAP("%0 = const true : bool %1 = index 1 : i64 %2 = if %0 { then { %3 = load 0 [%1] : f64 yield %3 } "
                      "else { %4 = read 1 : f64 yield %4 } } %5 = result %2, 0 : f64 store 2, %5"),
                  "has a load or a loop");
    refuse_kernel(f,
                  MAP("%0 = const true : bool %1 = loop %0 { while(%2: bool) { yield %2 } do(%3: bool) { yield %3 } }"),
                  "has a load or a loop");
#undef MAP
#define SUM(body, epilogue)                                                                                            \
    "kernel \"k\" lanes par 1 red 1 sizes 0 width 32 uses_index { operand 0 whole f64 rank 1 operand 1 read f64 rank " \
    "0 uses 1 "                                                                                                        \
    "operand 2 write f64 rank 0 body { " body " } reduce sum f64 of 0 epilogue(%8: f64) { " epilogue " yield } }"
    refuse_kernel(f, SUM("%0 = read 1 : f64 yield %0", "store 2, %8"), NULL);
    refuse_kernel(f, SUM("%0 = read 1 : f64 yield %0", "%9 = index 0 : i64 %10 = load 0 [%9] : f64 store 2, %10"),
                  "has a load or a loop in its epilogue");
#undef SUM
    refuse_kernel(f,
                  "kernel \"k\" lanes par 0 red 1 sizes 0 width 32 { operand 0 read f64 rank 0 uses 0 "
                  "operand 1 write f64 rank 0 uses 0 body { %0 = read 0 : f64 store 1, %0 yield %0 } "
                  "reduce sum f64 of 0 epilogue(%2: f64) { yield } }",
                  "stores while it reduces");
}

static void reads(void **state) {
    struct wrong w = start(*state);
    struct view_axis *axis = &operand_of(&w, 2, OPERAND_READ, 0)->map.axis[0];
    axis->offset = size_const(&w.plan->sizes, 1);
    refuse(&w, "rows 0: k3_map reads another row than its own: slot 3");
    operand_of(&w, 2, OPERAND_READ, 0)->map.axis[0].n_terms = 0;
    refuse(&w, "rows 0: k3_map reads another row than its own: slot 3");
    operand_of(&w, 2, OPERAND_READ, 0)->map.axis[0].terms[0].coef = size_const(&w.plan->sizes, -1);
    refuse(&w, "rows 0: k3_map reads another row than its own: slot 3");
    operand_of(&w, 2, OPERAND_READ, 0)->map.axis[0].terms[0].dim = 1;
    refuse(&w, "rows 0: k3_map reads another row than its own: slot 3");
    operand_of(&w, 2, OPERAND_READ, 0)->map.axis[1].terms[0].dim = 0;
    refuse(&w, "rows 0: k3_map reads elsewhere in each row: slot 3");
    operand_of(&w, 2, OPERAND_READ, 0)->map.source_rank = 0;
    refuse(&w, "rows 0: k3_map reads what has no such rows: slot 3");
    w.rows->launches[2]->kernel->operands[0] = (struct kernel_operand){OPERAND_WHOLE, TY_F64, 2, 0};
    assert_string_equal(rows_wrong_read(w.rows->launches[2], 0, 1, w.rows->launches[0]->extents),
                        "reads the whole of what is made row by row");
    w = start(*state);
    operand_of(&w, 2, OPERAND_WRITE, 0)->slot = 0;
    refuse(&w, "rows 0: k3_map writes slot 0 that k1_map touches");
    operand_of(&w, 1, OPERAND_WRITE, 0)->slot = 3;
    refuse(&w, "rows 0: k2_sum writes slot 3 that k1_map touches");
}

static void scratch(void **state) {
    struct wrong w = start(*state);
    w.rows->scratch[0] = 100;
    refuse(&w, "rows 0: scratch 100 is no slot");
    w.rows->scratch[0] = 0;
    refuse(&w, "rows 0: scratch 0 is an input");
    w.rows->scratch[0] = 1;
    refuse(&w, "rows 0: scratch 1 is an output");
    w.rows->scratch[1] = w.rows->scratch[0];
    refuse(&w, arena_printf(&w.f->arena, "rows 0: scratch %d is there twice", start(*state).rows->scratch[0]));
    w.rows->scratch[0] = plan_add_slot(w.plan, NULL, TY_F64, 2);
    refuse(&w, "rows 0: scratch 5 is written by none");
    /* The free after the rows instead of among them. */
    w.step->actions[w.at]->count--;
    refuse(&w, arena_printf(&w.f->arena, "rows 0: scratch %d is used elsewhere", start(*state).rows->scratch[1]));
}

int main(void) {
    const struct CMUnitTest tests[] = {FIXTURE_TEST(actions), FIXTURE_TEST(launches), FIXTURE_TEST(kernels),
                                       FIXTURE_TEST(reads), FIXTURE_TEST(scratch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
