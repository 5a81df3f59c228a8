/* Fusion, as text: tests/ir/fuse/NAME.ir is a plan of graphs; NAME.kernels is what fuse_plan makes of it, kernels and
 * actions. UPDATE_SNAPSHOTS=1 rewrites the expectations. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/fuse.h"
#include "ir/parse.h"
#include "ir/verify.h"
#include "support/check.h"
#include "support/file.h"

struct job {
    struct arena arena;
    const char *name;
    int wrong;
};

static void check_one(void *argument) {
    struct job *job = argument;
    struct arena *arena = &job->arena;
    char *source = file_read(arena, arena_printf(arena, "fuse/%s.ir", job->name));
    assert_non_null(source);
    struct strbuf why, out;
    strbuf_init(&why, arena);
    strbuf_init(&out, arena);
    struct plan *plan = parse_plan(arena, source, &why);
    if (!plan) fail_msg("%s: %s", job->name, strbuf_text(&why));
    if (!verify_plan(plan, &why)) fail_msg("%s: before: %s", job->name, strbuf_text(&why));
    fuse_plan(plan, NULL);
    if (!verify_plan(plan, &why)) fail_msg("%s: after: %s", job->name, strbuf_text(&why));
    plan_print_kernels(plan, &out);
    strbuf_puts(&out, "---\n");
    plan_print(plan, &out);
    const char *path = arena_printf(arena, "fuse/%s.kernels", job->name);
    if (getenv("UPDATE_SNAPSHOTS")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(strbuf_text(&out), file);
        fclose(file);
        return;
    }
    const char *expected = file_read(arena, path);
    if (expected && strcmp(expected, strbuf_text(&out)) == 0) return;
    print_error("%s: expected\n%s\nfound\n%s\n", path, expected ? expected : "(no file)", strbuf_text(&out));
    job->wrong++;
}

static void test_goldens(void **state) {
    (void)state;
    DIR *folder = opendir("fuse");
    assert_non_null(folder);
    int files = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".ir") != 0) continue;
        *dot = 0;
        struct mem mem = {0};
        struct job job = {.name = entry->d_name};
        arena_init(&job.arena, &mem);
        assert_true(arena_try(&job.arena, check_one, &job));
        arena_free(&job.arena);
        wrong += job.wrong;
        files++;
    }
    closedir(folder);
    assert_true(files >= 6);
    assert_int_equal(wrong, 0);
}

/* A chain longer than a kernel may be is cut into several, each within the limit. */
static void cut_chain(void *argument) {
    struct job *job = argument;
    struct arena *arena = &job->arena;
    struct plan *plan = plan_new(arena);
    int x = plan_add_slot(plan, "x", TY_F64, 1), y = plan_add_slot(plan, "y", TY_F64, 1);
    plan->slots[x].input = 0;
    plan->n_inputs = plan->n_outputs = 1;
    plan->input_slots = &x;
    plan->output_slots = &y;
    const char *name = "y";
    plan->output_names = &name;
    struct plan_step *step = plan_add_step(plan, &plan->body, STEP_GRAPH, (struct span){0, 0});
    step->graph = graph_new(arena, &plan->sizes);
    const struct size *shape[1] = {size_dim(&plan->sizes, x, 0, true)};
    struct graph_node *node = graph_input(step->graph, x, TY_F64, 1, shape);
    for (int i = 0; i < 5000; i++) {
        struct graph_node *args[2] = {node, graph_const_float(step->graph, TY_F64, i)};
        node = graph_op(step->graph, OP_add, TY_F64, 2, args, (struct span){0, 0});
    }
    struct graph_sink *sink = graph_sink(step->graph, SINK_SLOT, (struct span){0, 0});
    sink->slot = y;
    sink->nodes = &node;
    sink->n_nodes = 1;
    struct fuse_limits limits = {.kernel_values = 500};
    fuse_plan(plan, &limits);
    assert_true(plan->n_launches >= 10 && plan->n_launches <= 40);
    for (int i = 0; i < plan->n_launches; i++) assert_true(plan->launches[i]->kernel->body.n_values <= 1200);
}

static void test_cut(void **state) {
    (void)state;
    struct mem mem = {0};
    struct job job = {0};
    arena_init(&job.arena, &mem);
    assert_true(arena_try(&job.arena, cut_chain, &job));
    arena_free(&job.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
