/* All kernels through NVIDIA's compiler and assembler: they compile without a warning, spill nothing, keep nothing on
 * the stack but what some functions of the math library do, and move vectors. Skipped where there is no nvcc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "ir/parse.h"
#include "rows_cases.h"
#include "support/file.h"

struct compiled { /* all kernels, compiled together */
    struct ptx_kernel *kernels;
    const struct ptx_case **cases; /* NULL: of one operation */
    int n, capacity;
    const char *log, *ptx;
};

/* The names in one file must differ, and so must what the preludes define. */
static void add_kernel(struct cases *cases, struct compiled *all, const struct ptx_case *one,
                       const struct ptx_kernel *kernel, struct strbuf *source) {
    int capacity = all->capacity, n = all->n;
    ARENA_PUSH(&cases->arena, all->cases, n, capacity) = one;
    ARENA_PUSH(&cases->arena, all->kernels, all->n, all->capacity) = *kernel;
    strbuf_printf(source, "namespace of_%s {\n%s}\n", kernel->name, kernel->source);
}

/* Functions of the math library, to find those that need a stack. */
static void add_functions(struct cases *cases, struct compiled *all, struct strbuf *source) {
    for (int op = 0; op < OP_COUNT; op++)
        for (enum dtype type = TY_F32; type <= TY_F64; type++) {
            if (op_info[op].lower != LOWER_CALL && op != OP_ldexp && op != OP_mod && op != OP_floordiv) continue;
            const char *name = arena_printf(&cases->arena, "ptx_%s_%s", op_info[op].name, dtype_name(type));
            struct ir_kernel *kernel = cases_operation(&cases->arena, name, (enum op)op, type);
            struct ptx_variant variant = {.access = cases_unit, .single_row = true, .ulp = 4};
            struct ptx_kernel out;
            assert_true(ptx_emit(&cases->arena, kernel, &variant, &out, &cases->why));
            add_kernel(cases, all, NULL, &out, source);
        }
}

/* Every operation on integers. */
static void add_integers(struct cases *cases, struct compiled *all, struct strbuf *source) {
    for (enum dtype type = TY_BOOL; type <= TY_U64; type++)
        add_kernel(cases, all, NULL, &cases_all_operations(cases, type)->kernel, source);
}

/* As many reductions as a kernel can have, with the largest states. */
enum { MANY = 16, KINDS = 3 };

static struct ir_kernel *many_reductions(struct cases *cases, int kind, const char *name, int n_par) {
    static const struct {
        const char *op, *result;
        bool counted;
    } kinds[KINDS] = {{"var", "f64", false}, {"var", "f64", true}, {"argmax", "i64", false}};
    const char *op = kinds[kind].op, *result = kinds[kind].result, *uses = n_par ? "0, 1" : "0";
    struct strbuf text;
    strbuf_init(&text, &cases->arena);
    strbuf_printf(&text, "kernel \"%s_%d\" lanes par %d red 1 sizes 0 width 32 {\n", name, kind, n_par);
    strbuf_printf(&text, "operand 0 read f64 rank 1 uses %s\noperand 1 read bool rank 1 uses %s\n", uses, uses);
    for (int i = 0; i < MANY; i++) strbuf_printf(&text, "operand %d write %s rank %d\n", 2 + i, result, n_par);
    strbuf_printf(&text, "body {\n%%0 = read 0 : f64\n%%1 = %s : bool\n",
                  kinds[kind].counted ? "read 1" : "const true");
    for (int i = 0; i < MANY; i++)
        strbuf_printf(&text, "%%%d = const %d.5 : f64\n%%%d = mul %%0, %%%d : f64\n", 2 * i + 2, i, 2 * i + 3,
                      2 * i + 2);
    strbuf_puts(&text, "yield ");
    for (int i = 0; i < MANY; i++) strbuf_printf(&text, "%s%%%d, %%1", i ? ", " : "", 2 * i + 3);
    strbuf_puts(&text, "\n}\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(&text, "reduce %s %s of %d\n", op, result, 2 * i);
    strbuf_puts(&text, "epilogue(");
    for (int i = 0; i < MANY; i++) strbuf_printf(&text, "%s%%%d: %s", i ? ", " : "", 2 * MANY + 2 + i, result);
    strbuf_puts(&text, ") {\n");
    for (int i = 0; i < MANY; i++) strbuf_printf(&text, "store %d, %%%d\n", 2 + i, 2 * MANY + 2 + i);
    strbuf_puts(&text, "yield\n}\n}\n");
    struct ir_kernel *kernel = parse_kernel(&cases->arena, strbuf_text(&text), &cases->why);
    if (!kernel) fail_msg("%s\n%s", strbuf_text(&cases->why), strbuf_text(&text));
    return kernel;
}

/* Neither alone nor together must they take more shared memory than there is. */
static void add_reductions(struct cases *cases, struct compiled *all, struct strbuf *source) {
    static const enum ptx_access access[MANY + 2] = {PTX_UNIT, PTX_UNIT};
    static const bool exchanged[MANY + 2];
    int none[MANY + 2];
    for (int k = 0; k < MANY + 2; k++) none[k] = -1;
    const struct ptx_variant alone = {.access = access, .aligned = true, .single_row = true, .ulp = 4},
                             rows = {.access = access, .aligned = true, .ulp = 4};
    struct ptx_stage stages[KINDS];
    struct ptx_kernel out;
    for (int kind = 0; kind < KINDS; kind++) {
        struct ir_kernel *kernel = many_reductions(cases, kind, "ptx_many", 0);
        assert_true(ptx_emit(&cases->arena, kernel, &alone, &out, &cases->why));
        add_kernel(cases, all, NULL, &out, source);
        stages[kind] = (struct ptx_stage){many_reductions(cases, kind, "stage", 1), &rows, none, exchanged};
    }
    assert_true(ptx_emit_rows(&cases->arena, "ptx_many_rows", 1, KINDS, stages, 0, &out, &cases->why));
    add_kernel(cases, all, NULL, &out, source);
}

/* Several kernels in one. */
static void add_rows(struct cases *cases, struct compiled *all, struct strbuf *source) {
    for (int i = 0; i < ROWS_FILES; i++) {
        static struct rows_case one;
        rows_read(&cases->arena, rows_files[i], &one);
        const struct ptx_kernel kernel = rows_emit(&cases->arena, &one);
        add_kernel(cases, all, NULL, &kernel, source);
    }
}

static void compile(struct cases *cases, struct compiled *all, const char *text) {
    char folder[] = "/tmp/weft-nvcc-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct arena *arena = &cases->arena;
    FILE *file = fopen(arena_printf(arena, "%s/all.cu", folder), "wb");
    fputs(text, file);
    fclose(file);
    const char *options = "-arch=sm_80 -std=c++17 --fmad=false -Werror all-warnings";
    const char *command = arena_printf(
        arena,
        "cd %s && %s %s -ptx -o all.ptx all.cu > log 2>&1 && %s -arch=sm_80 -cubin -Xptxas -v -o all.cubin "
        "all.ptx >> log 2>&1",
        folder, WEFT_NVCC, options, WEFT_NVCC);
    const int status = system(command);
    all->log = file_read(arena, arena_printf(arena, "%s/log", folder));
    all->ptx = file_read(arena, arena_printf(arena, "%s/all.ptx", folder));
    assert_int_equal(system(arena_printf(arena, "rm -r %s", folder)), 0);
    if (status) fail_msg("%s\nsays: %.3000s", command, all->log);
}

static struct compiled all;

static int open_and_compile(void **state) {
    if (cases_open(state)) return 1;
    struct cases *cases = *state;
    struct strbuf source;
    strbuf_init(&source, &cases->arena);
    for (int i = 0; i < cases->n; i++) {
        struct ptx_case *one = &cases->items[i];
        one->kernel->name = arena_printf(&cases->arena, "ptx_%s", one->name);
        const struct ptx_kernel kernel = cases_emit(cases, one);
        add_kernel(cases, &all, one, &kernel, &source);
    }
    add_functions(cases, &all, &source);
    add_integers(cases, &all, &source);
    add_reductions(cases, &all, &source);
    add_rows(cases, &all, &source);
    compile(cases, &all, strbuf_text(&source));
    return 0;
}

static void nothing_is_spilled(void **state) {
    struct cases *cases = *state;
    for (int i = 0; i < all.n; i++) {
        const struct ptx_kernel *kernel = &all.kernels[i];
        const char *at = strstr(all.log, arena_printf(&cases->arena, "Function properties for %s\n", kernel->name));
        int stack, stores, loads;
        if (!at || sscanf(strchr(at, '\n'), " %d bytes stack frame, %d bytes spill stores, %d bytes spill loads",
                          &stack, &stores, &loads) != 3)
            fail_msg("ptxas says nothing of %s: %s", kernel->name, all.log);
        if (stack) print_message("%s: %d bytes of stack\n", kernel->name, stack);
        if (stores || loads) fail_msg("%s spills %d and %d bytes", kernel->name, stores, loads);
        if (stack && !kernel->device_stack) fail_msg("%s has a stack frame of %d bytes", kernel->name, stack);
        if (!stack && kernel->device_stack) print_message("%s: no stack after all\n", kernel->name);
    }
}

static int count(const char *text, const char *end, const char *what) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) && at < end; at++) n++;
    return n;
}

/* Elementwise kernels with vectors: one-element accesses are those of the head and the tail. */
static void vectors_are_moved_whole(void **state) {
    struct cases *cases = *state;
    int checked = 0;
    for (int i = 0; i < all.n; i++) {
        const struct ptx_kernel *kernel = &all.kernels[i];
        const struct ptx_case *one = all.cases[i];
        if (!one || kernel->kind != KERNEL_MAP || kernel->vector == 1) continue;
        const char *text = strstr(all.ptx, arena_printf(&cases->arena, ".entry %s(", kernel->name)),
                   *end = strstr(text, "\n}");
        int reads = 0, writes = 0, scattered = 0;
        for (int k = 0; k < one->kernel->n_operands; k++) {
            const struct kernel_operand *operand = &one->kernel->operands[k];
            const bool is_unit = one->variant.access[k] == PTX_UNIT;
            if (operand->kind == OPERAND_WRITE) writes++;
            if (operand->kind == OPERAND_READ && is_unit) reads++;
            scattered += !is_unit || operand->kind == OPERAND_WHOLE;
        }
        const int groups = kernel->unroll > 1 ? kernel->unroll + 1 : 1;
        const int stores = count(text, end, "st.global");
        if (stores != writes * (groups + 1))
            fail_msg("%s: %d stores for %d outputs and %d groups", kernel->name, stores, writes, groups);
        const char *load = one->variant.aliased ? "ld.global" : "ld.global.nc";
        const int loads =
            count(text, end, arena_printf(&cases->arena, "%s.v", load)); /* others may be of functions' tables */
        if (!scattered && loads < reads * groups)
            fail_msg("%s: %d vectors loaded for %d inputs and %d groups", kernel->name, loads, reads, groups);
        assert_true(loads > 0 || !reads);
        const int vectors = count(text, end, "st.global.v");
        if (vectors != writes * groups)
            fail_msg("%s: %d vectors stored for %d outputs and %d groups", kernel->name, vectors, writes, groups);
        checked++;
    }
    assert_true(checked >= 5);
}

/* What a stage reads that another one wrote must come from where that went: not through the read-only cache, into which
 * all else that is read may go. Scratch may be shared memory. */
static void exchanged_memory_is_read_as_it_is(void **state) {
    struct cases *cases = *state;
    for (int i = 0; i < ROWS_FILES; i++) {
        static struct rows_case one;
        rows_read(&cases->arena, rows_files[i], &one);
        bool exchanged = false, read = false, scratch = false;
        for (int s = 0; s < one.n_stages; s++)
            for (int k = 0; k < one.stages[s].kernel->n_operands; k++) {
                if (one.stages[s].kernel->operands[k].kind != OPERAND_READ || one.access[s][k] == PTX_BY_VALUE)
                    continue;
                exchanged |= one.exchanged[s][k];
                scratch |= one.scratch[s][k] >= 0;
                read |= one.exchange[s][k] < 0 && one.scratch[s][k] < 0;
            }
        const char *text = strstr(all.ptx, arena_printf(&cases->arena, ".entry k_%s(", one.name)),
                   *end = strstr(text, "\n}");
        const int cached = count(text, end, "ld.global.nc."), others = count(text, end, "ld.global.") - cached,
                  generic = count(text, end, "\tld.b") + count(text, end, "\tld.f") + count(text, end, "\tld.u") +
                            count(text, end, "\tld.v");
        print_message("%s: %d read-only, %d global, %d generic loads\n", one.name, cached, others, generic);
        assert_int_equal(cached > 0, read);
        assert_int_equal(others > 0, exchanged);
        assert_int_equal(generic > 0, scratch);
    }
}

int main(void) {
    if (!WEFT_NVCC[0] || !strcmp(WEFT_NVCC, "WEFT_NVCC-NOTFOUND")) {
        puts("skipped: there is no nvcc");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_spilled), cmocka_unit_test(vectors_are_moved_whole),
                                       cmocka_unit_test(exchanged_memory_is_read_as_it_is)};
    return cmocka_run_group_tests(tests, open_and_compile, cases_close);
}
