/* CUDA C of the kernels in kernels/, against the texts in cuda/ (UPDATE_SNAPSHOTS=1 writes them); parameters, grids,
 * refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "rows_cases.h"
#include "support/file.h"

static const struct span nowhere = {0, 0};

/* The first line in which they differ. */
static void explain_difference(const char *name, const char *want, const char *got) {
    for (int line = 1;; line++) {
        const size_t length = strcspn(want, "\n"), other = strcspn(got, "\n");
        if (length != other || memcmp(want, got, length) != 0 || !want[length] || !got[length])
            fail_msg("cuda/%s.cu, line %d:\n  expected %.*s\n  got      %.*s\n(UPDATE_SNAPSHOTS=1 rewrites the file)",
                     name, line, (int)length, want, (int)other, got);
        want += length + 1;
        got += length + 1;
    }
}

static void compare(struct cases *cases, const char *name, const struct ptx_kernel *kernel) {
    const char *update = getenv("UPDATE_SNAPSHOTS"), *text = cases_own_text(kernel);
    const char *path = arena_printf(&cases->arena, "%s/cuda/%s.cu", WEFT_TEST_DIR, name);
    if (update && *update) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
        return;
    }
    const char *want = file_read(&cases->arena, path);
    if (!want) fail_msg("no %s (UPDATE_SNAPSHOTS=1 writes it)", path);
    if (strcmp(want, text) != 0) explain_difference(name, want, text);
}

static void kernels_look_as_they_should(void **state) {
    struct cases *cases = *state;
    for (int i = 0; i < cases->n; i++) {
        const struct ptx_kernel kernel = cases_emit(cases, &cases->items[i]);
        compare(cases, cases->items[i].name, &kernel);
    }
}

static void rows_look_as_they_should(void **state) {
    struct cases *cases = *state;
    for (int i = 0; i < ROWS_FILES; i++) {
        static struct rows_case one;
        rows_read(&cases->arena, rows_files[i], &one);
        const struct ptx_kernel kernel = rows_emit(&cases->arena, &one);
        compare(cases, arena_printf(&cases->arena, "rows_%s", one.name), &kernel);
    }
}

static bool line_has(const char *line, const char *what) {
    const char *at = strstr(line, what), *end = strchr(line, '\n');
    return at && at < end;
}

/* All threads come to every barrier, as often as the others: it stands in a loop whose bounds are the same for all, and
 * in nothing else; nobody leaves before. (Reductions have barriers in them.) */
static void barriers_are_reached_by_all(void **state) {
    struct cases *cases = *state;
    static const char body[] = "        "; /* of a loop in a function */
    for (int i = 0; i < ROWS_FILES; i++) {
        static struct rows_case one;
        rows_read(&cases->arena, rows_files[i], &one);
        const struct ptx_kernel kernel = rows_emit(&cases->arena, &one);
        int barriers = 0, reductions = 0, kept = 0;
        for (int s = 0; s < one.n_stages; s++) kept += one.stages[s].kernel->kind == KERNEL_LANES;
        const char *loop = "\n";
        for (const char *line = cases_own_text(&kernel); *line; line = strchr(line, '\n') + 1) {
            const bool barrier = line_has(line, "__syncthreads"), reduces = line_has(line, "work.template reduce");
            assert_false(line_has(line, "return"));
            if (!strncmp(line, "    for (", 9)) loop = line;
            if (!strncmp(line, "    if (", 8) || !strncmp(line, "    while (", 11) || *line == '}') loop = "\n";
            if (!barrier && !reduces) continue;
            assert_true(!strncmp(line, body, 8) && line[8] != ' ');
            assert_true(line_has(loop, barrier ? "for (long long first = blockIdx.x * set_rows; first < rows; first += "
                                                 "gridDim.x * set_rows) {"
                                               : "for (long long next = first; next < end; next += work.at_once()) {"));
            barriers += barrier;
            reductions += reduces;
        }
        assert_int_equal(barriers, one.n_stages); /* the last one: before the next set's first stage */
        assert_int_equal(reductions, kept);
    }
}

/* Every parameter is told of once, and the function has as many. */
static void parameters_are_listed(void **state) {
    struct cases *cases = *state;
    for (int i = 0; i < cases->n + ROWS_FILES; i++) {
        static struct rows_case one;
        if (i >= cases->n) rows_read(&cases->arena, rows_files[i - cases->n], &one);
        const struct ptx_kernel kernel =
            i < cases->n ? cases_emit(cases, &cases->items[i]) : rows_emit(&cases->arena, &one);
        if (i < cases->n) assert_string_equal(kernel.name, cases->items[i].kernel->name);
        bool watch = false;
        for (int p = 0; p < kernel.n_parameters; p++) {
            for (int q = 0; q < p; q++)
                assert_memory_not_equal(&kernel.parameters[p], &kernel.parameters[q], sizeof *kernel.parameters);
            watch |= kernel.parameters[p].kind == PTX_PARAM_WATCH;
        }
        assert_int_equal(watch, kernel.can_fail || kernel.polls);
        const char *at = strstr(kernel.source, arena_printf(&cases->arena, " %s(", kernel.name)),
                   *end = strchr(at, '{');
        int commas = 0;
        for (; at < end; at++) commas += *at == ',';
        assert_int_equal(commas + 1, kernel.indirect ? 1 : kernel.n_parameters);
        assert_int_equal(kernel.threads % 32, 0);
    }
}

static void every_operation_has_a_spelling(void **state) {
    struct cases *cases = *state;
    int n = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const enum op_lower lower = op_info[op].lower;
        assert_int_equal(op_info[op].cuda != NULL, lower == LOWER_INST || lower == LOWER_CALL);
        for (int type = 0; type < TY_COUNT; type++) {
            if (!cases_op_exists((enum op)op, (enum dtype)type)) continue;
            struct ir_kernel *kernel = cases_operation(&cases->arena, "k0_map", (enum op)op, (enum dtype)type);
            struct ptx_variant variant = {.access = cases_unit, .aligned = true, .single_row = true, .ulp = 4};
            struct ptx_kernel out;
            assert_true(ptx_emit(&cases->arena, kernel, &variant, &out, &cases->why));
            assert_null(strchr(out.source, '$'));
            /* Each function of the prelude that is used is there. */
            for (const char *at = out.source; (at = strstr(at, "weft_")); at += 5) {
                char name[60];
                assert_int_equal(sscanf(at, "%50[a-z_0-9]", name), 1);
                const char *first = strstr(out.source, name);
                if (first == at) assert_true(at < cases_own_text(&out));
            }
            n++;
        }
    }
    assert_in_range(n, 300, 2000);
}

static void accuracy_is_kept_or_refused(void **state) {
    struct cases *cases = *state;
    for (int op = 0; op < OP_COUNT; op++) {
        if (op_info[op].lower != LOWER_CALL) continue;
        const struct op_ulp bound = op_info[op].ulp[MATH_CUDA];
        struct ptx_variant variant = {.access = cases_unit, .aligned = true, .single_row = true, .ulp = 1};
        struct ptx_kernel out;
        struct strbuf why;
        strbuf_init(&why, &cases->arena);
        const bool done = ptx_emit(&cases->arena, cases_operation(&cases->arena, "k0_map", (enum op)op, TY_F64),
                                   &variant, &out, &why);
        assert_int_equal(done, bound.f64 <= 1);
        if (!done) assert_non_null(strstr(strbuf_text(&why), op_info[op].name));
        assert_true(ptx_emit(&cases->arena, cases_operation(&cases->arena, "k0_map", (enum op)op, TY_F32), &variant,
                             &out, &why));
        assert_int_equal(strstr(cases_own_text(&out), "(float)") != NULL, bound.f32 > 1);
    }
}

static void many_parameters_go_through_memory(void **state) {
    struct cases *cases = *state;
    enum { MANY = 600 };
    struct arena *arena = &cases->arena;
    struct ir_kernel kernel = {.name = "k0_map", .kind = KERNEL_MAP, .n_par = 1, .n_operands = MANY + 1};
    kernel.operands = ARENA_ARRAY(arena, struct kernel_operand, MANY + 1);
    enum ptx_access *access = ARENA_ARRAY(arena, enum ptx_access, MANY + 1);
    struct ir_region *body = body_region(arena, 0, NULL);
    struct ir_value *sum = NULL;
    for (int k = 0; k < MANY; k++) {
        kernel.operands[k] = (struct kernel_operand){.kind = OPERAND_READ, .type = k % 2 ? TY_F64 : TY_F32, .uses = 1};
        access[k] = k % 3 ? PTX_UNIT : PTX_BY_VALUE;
        struct ir_value *x = body_leaf(arena, body, OP_read, kernel.operands[k].type, k);
        if (x->type == TY_F32) x = body_op(arena, body, OP_convert, TY_F64, 1, &x, nowhere);
        struct ir_value *args[] = {sum, x};
        sum = sum ? body_op(arena, body, OP_add, TY_F64, 2, args, nowhere) : x;
    }
    kernel.operands[MANY] = (struct kernel_operand){.kind = OPERAND_WRITE, .type = TY_F64};
    access[MANY] = PTX_UNIT;
    body_op(arena, body, OP_store, TY_NONE, 1, &sum, nowhere)->imm.i = MANY;
    kernel.body = *body;
    struct ptx_variant variant = {.access = access, .single_row = true, .ulp = 4};
    struct ptx_kernel out;
    assert_true(ptx_emit(arena, &kernel, &variant, &out, &cases->why));
    assert_true(out.indirect);
    assert_int_equal(out.n_parameters, MANY + 2);
    const char *text = cases_own_text(&out);
    assert_non_null(strstr(text, "k0_map(const unsigned long long *__restrict__ arguments)\n"));
    assert_non_null(strstr(text, "    const float x0 = *(const float *)(arguments + 0);\n"));
    assert_non_null(
        strstr(text, "    const double *__restrict__ const in1 = (const double *__restrict__ )arguments[1];\n"));
}

/* The same of stages: one array for all, which each finds its own in. */
static void so_do_those_of_stages(void **state) {
    struct cases *cases = *state;
    enum { MANY = 150, STAGES = 4 };
    struct arena *arena = &cases->arena;
    struct ir_kernel kernels[STAGES];
    struct kernel_operand operands[MANY + 1];
    enum ptx_access access[MANY + 1];
    int scratch[MANY + 1];
    bool exchanged[MANY + 1] = {0};
    struct ir_region *body = body_region(arena, 0, NULL);
    struct ir_value *sum = NULL;
    for (int k = 0; k <= MANY; k++) {
        operands[k] =
            (struct kernel_operand){.kind = k < MANY ? OPERAND_READ : OPERAND_WRITE, .type = TY_F32, .uses = 3};
        access[k] = PTX_UNIT;
        scratch[k] = -1;
        if (k == MANY) break;
        struct ir_value *args[] = {sum, body_leaf(arena, body, OP_read, TY_F32, k)};
        sum = sum ? body_op(arena, body, OP_add, TY_F32, 2, args, nowhere) : args[1];
    }
    operands[MANY].uses = 0;
    body_op(arena, body, OP_store, TY_NONE, 1, &sum, nowhere)->imm.i = MANY;
    struct ptx_variant variant = {.access = access, .ulp = 4};
    struct ptx_stage stages[STAGES];
    for (int i = 0; i < STAGES; i++) {
        kernels[i] = (struct ir_kernel){.name = arena_printf(arena, "k%d_map", i),
                                        .kind = KERNEL_MAP,
                                        .n_par = 2,
                                        .n_operands = MANY + 1,
                                        .operands = operands,
                                        .body = *body};
        stages[i] = (struct ptx_stage){&kernels[i], &variant, scratch, exchanged};
    }
    struct ptx_kernel out;
    assert_true(ptx_emit_rows(arena, "k0_k3_rows", 1, STAGES, stages, 0, &out, &cases->why));
    assert_true(out.indirect);
    int of[STAGES] = {0};
    for (int p = 0; p < out.n_parameters; p++) {
        const struct ptx_parameter *parameter = &out.parameters[p];
        if (parameter->kind != PTX_PARAM_DATA) continue;
        of[parameter->stage]++;
        const bool written = parameter->a == MANY;
        const char *type = written ? "float *" : "const float *__restrict__ ";
        assert_non_null(
            strstr(out.source, arena_printf(arena, "    %sconst s%d_%s%d = (%s)arguments[%d];\n", type,
                                            parameter->stage, written ? "out" : "in", parameter->a, type, p)));
    }
    for (int i = 0; i < STAGES; i++) assert_int_equal(of[i], MANY + 1);
}

/* --- shapes of launches ------------------------------------------------------------------------------------------- */

static const struct ptx_limits h100 = {.multiprocessors = 132, .threads_per_multiprocessor = 2048};

static void check_map_grid(const struct ptx_kernel *kernel, int64_t rows, int64_t columns, int64_t head) {
    int64_t extents[2] = {rows, columns};
    struct ptx_grid grid;
    ptx_shape(kernel, kernel->n_par == 2 ? extents : extents + 1, head, &h100, &grid);
    assert_int_equal(grid.block[0] * grid.block[1] * grid.block[2], kernel->threads);
    assert_in_range(grid.grid[0], 1, INT32_MAX);
    assert_in_range(grid.grid[1], 1, 65535);
    assert_int_equal(grid.grid[2], 1);
    assert_true(grid.value[0] <= columns && grid.value[0] <= head);
    assert_int_equal(grid.n_counters, 0);
    /* Never more threads than work, but for what fills up a block. */
    const int64_t across = (int64_t)grid.grid[0] * grid.block[0], down = (int64_t)grid.grid[1] * grid.block[1];
    assert_true(across - grid.block[0] < columns / kernel->vector + 1);
    assert_true(down - grid.block[1] < rows);
    /* Enough of them for the device, if there is so much work. */
    const int64_t wanted = rows * (columns / kernel->vector / kernel->unroll), threads = across * down;
    const int64_t full = (int64_t)h100.multiprocessors * h100.threads_per_multiprocessor;
    assert_true(threads >= (wanted < full ? wanted : full) / 2);
}

static void grids_fit_the_work(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 7, 31, 32, 33, 100, 255, 256, 257, 1000, 4097, 65536, 1000003, 100000000};
    static const int vectors[] = {1, 2, 4, 16};
    enum { N = sizeof sizes / sizeof *sizes };
    for (int v = 0; v < 4; v++)
        for (int loops = 0; loops < 2; loops++) {
            struct ptx_kernel kernel = {.kind = KERNEL_MAP,
                                        .n_par = 2,
                                        .vector = vectors[v],
                                        .unroll = loops ? 1 : 4,
                                        .threads = loops ? 128 : 256,
                                        .polls = loops};
            for (int r = 0; r < N; r++)
                for (int c = 0; c < N; c++) check_map_grid(&kernel, sizes[r], sizes[c], (r + c) % vectors[v]);
            kernel.n_par = 1;
            for (int c = 0; c < N; c++) check_map_grid(&kernel, 1, sizes[c], c % vectors[v]);
        }
    struct ptx_kernel scalar = {.kind = KERNEL_MAP, .vector = 1, .unroll = 1, .threads = 32};
    struct ptx_grid grid;
    ptx_shape(&scalar, NULL, 0, &h100, &grid);
    assert_int_equal(grid.grid[0] * grid.grid[1] * grid.block[0] * grid.block[1], 32);
}

static void vectors_have_sixteen_bytes(void **state) {
    struct cases *cases = *state;
    for (int i = 0; i < cases->n; i++) {
        const struct ptx_case *one = &cases->items[i];
        const struct ptx_kernel kernel = cases_emit(cases, one);
        if (kernel.kind != KERNEL_MAP || kernel.vector == 1) continue;
        assert_int_equal(kernel.vector, ptx_vector_of(one->kernel, one->variant.access));
        int widest = 0;
        for (int k = 0; k < one->kernel->n_operands; k++)
            if (one->variant.access[k] == PTX_UNIT && dtype_size(one->kernel->operands[k].type) > widest)
                widest = dtype_size(one->kernel->operands[k].type);
        assert_int_equal(kernel.vector * widest, 16);
    }
    /* A long body has fewer: so many copies of it would be of no use. */
    struct ir_kernel *light = cases_operation(&cases->arena, "k0_map", OP_add, TY_U8),
                     *heavy = cases_operation(&cases->arena, "k0_map", OP_pow, TY_U8);
    struct ir_kernel *heaviest = cases_operation(&cases->arena, "k0_map", OP_tgamma, TY_F32);
    assert_int_equal(ptx_vector_of(light, cases_unit), 16);
    assert_int_equal(ptx_vector_of(heavy, cases_unit), 16);
    assert_int_equal(ptx_vector_of(heaviest, cases_unit), 4);
    struct ir_value *value = heaviest->body.values[1];
    for (int k = 0; k < 3; k++) value = body_op(&cases->arena, &heaviest->body, OP_tgamma, TY_F32, 1, &value, nowhere);
    assert_int_equal(ptx_vector_of(heaviest, cases_unit), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_look_as_they_should),
        cmocka_unit_test(rows_look_as_they_should),
        cmocka_unit_test(barriers_are_reached_by_all),
        cmocka_unit_test(parameters_are_listed),
        cmocka_unit_test(every_operation_has_a_spelling),
        cmocka_unit_test(accuracy_is_kept_or_refused),
        cmocka_unit_test(many_parameters_go_through_memory),
        cmocka_unit_test(so_do_those_of_stages),
        cmocka_unit_test(grids_fit_the_work),
        cmocka_unit_test(vectors_have_sixteen_bytes),
    };
    return cmocka_run_group_tests(tests, cases_open, cases_close);
}
