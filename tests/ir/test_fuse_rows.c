/* Rows: which launches go together, as text. tests/ir/rows/NAME.ir is a plan of graphs; NAME.plan is its plan of
 * actions. UPDATE_SNAPSHOTS=1 rewrites the expectations. And that none of it takes more than linear time. */
#include <dirent.h>
#include <time.h>

#include "fixture.h"
#include "ir/fuse.h"
#include "support/file.h"

/* --- plans as text ------------------------------------------------------------------------------------------------ */

static struct plan *fused(struct fixture *f, const char *name, const char *text) {
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    struct plan *plan = parse_plan(&f->arena, text, &why);
    if (!plan || !verify_plan(plan, &why)) fail_msg("%s: before: %s", name, strbuf_text(&why));
    fuse_plan(plan, NULL);
    if (!verify_plan(plan, &why)) fail_msg("%s: after: %s", name, strbuf_text(&why));
    return plan;
}

static bool is_golden(struct fixture *f, const char *name) {
    const char *source = file_read(&f->arena, arena_printf(&f->arena, "rows/%s.ir", name));
    const char *path = arena_printf(&f->arena, "rows/%s.plan", name);
    assert_non_null(source);
    struct strbuf out;
    strbuf_init(&out, &f->arena);
    plan_print(fused(f, name, source), &out);
    if (getenv("UPDATE_SNAPSHOTS")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(strbuf_text(&out), file);
        fclose(file);
        return true;
    }
    const char *expected = file_read(&f->arena, path);
    if (expected && strcmp(expected, strbuf_text(&out)) == 0) return true;
    print_error("%s: expected\n%s\nfound\n%s\n", path, expected ? expected : "(no file)", strbuf_text(&out));
    return false;
}

static void goldens(void **state) {
    struct fixture *f = *state;
    DIR *folder = opendir("rows");
    assert_non_null(folder);
    int files = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".ir") != 0) continue;
        *dot = 0;
        wrong += !is_golden(f, entry->d_name);
        files++;
    }
    closedir(folder);
    assert_true(files >= 20);
    assert_int_equal(wrong, 0);
}

/* --- many --------------------------------------------------------------------------------------------------------- */

/* Softmax after softmax of each of `width` inputs, `depth` deep: width * depth * 3 kernels or so. */
static struct plan *make_many(struct arena *arena, int width, int depth) {
    struct plan *plan = plan_new(arena);
    struct plan_step *step = plan_add_step(plan, &plan->body, STEP_GRAPH, nowhere);
    struct graph *graph = step->graph;
    plan->n_inputs = plan->n_outputs = width;
    plan->input_slots = ARENA_ARRAY(arena, int, width), plan->output_slots = ARENA_ARRAY(arena, int, width);
    for (int i = 0; i < width; i++) {
        int x = plan_add_slot(plan, "x", TY_F64, 2), y = plan_add_slot(plan, "y", TY_F64, 2);
        plan->slots[x].input = i;
        plan->input_slots[i] = x, plan->output_slots[i] = y;
        const struct size *shape[2] = {size_dim(&plan->sizes, x, 0, true), size_dim(&plan->sizes, x, 1, true)};
        struct view_term row = {0, size_const(&plan->sizes, 1)};
        struct view_map map = {.source_rank = 1, .axis = {{size_const(&plan->sizes, 0), 1, &row}}};
        struct graph_node *node = graph_input(graph, x, TY_F64, 2, shape);
        for (int k = 0; k < depth; k++) {
            struct graph_node *exp = graph_op(graph, OP_exp, TY_F64, 1, &node, nowhere);
            struct graph_node *sum = graph_reduce(graph, REDUCE_SUM, TY_F64, 2, 1, &exp, nowhere);
            struct graph_node *args[2] = {exp, graph_view(graph, sum, 2, shape, &map, nowhere)};
            node = graph_op(graph, OP_div, TY_F64, 2, args, nowhere);
        }
        struct graph_sink *sink = graph_sink(graph, SINK_SLOT, nowhere);
        sink->slot = y, sink->n_nodes = 1;
        sink->nodes = ARENA_NEW(arena, struct graph_node *);
        sink->nodes[0] = node;
    }
    return plan;
}

/* Milliseconds of this thread. */
static double fuse_time(struct fixture *f, int width, int depth) {
    struct plan *plan = make_many(&f->arena, width, depth);
    struct timespec start, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    fuse_plan(plan, NULL);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    struct strbuf why;
    strbuf_init(&why, &f->arena);
    if (!verify_plan(plan, &why)) fail_msg("%s", strbuf_text(&why));
    int members = 0;
    for (int i = 0; i < plan->n_rows; i++) members += plan->rows[i]->n_launches;
    assert_true(members >= plan->n_launches - width); /* eight at a time, and at most one that is left over */
    assert_true(members >= 2 * width * depth);
    return (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) * 1e-6;
}

static void many_kernels_take_linear_time(void **state) {
    struct fixture *f = *state;
    fuse_time(f, 20, 20);
    double deep = fuse_time(f, 1, 300), deeper = fuse_time(f, 1, 4800);
    if (deeper > 16 * 4 * deep + 20) fail_msg("16 times the depth: %.2f ms instead of %.2f", deeper, deep);
    double wide = fuse_time(f, 100, 3), wider = fuse_time(f, 1600, 3);
    if (wider > 16 * 4 * wide + 20) fail_msg("16 times the width: %.2f ms instead of %.2f", wider, wide);
}

int main(void) {
    const struct CMUnitTest tests[] = {FIXTURE_TEST(goldens), FIXTURE_TEST(many_kernels_take_linear_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
