/* Every operation on every type, every conversion, and nested control flow on a GPU: the reference evaluator's bits
 * (and Python's, of the control flow). Elementary functions are the CPU's on the fake GPU, and left out on a real one.
 *
 *     test_language_cuda --fake [FILTER]
 *     WEFT_ALL=1 test_language_cuda …       every case of control.txt, not a few of them
 */
#include "codegen/maker.h"
#include "gpu/fake_math.h"
#include "gpu/fixture.h"
#include "oracle/oracle.h"
#include "support/operations.h"

enum { MOST = 2400 };

static const enum dtype all_types[] = {TY_BOOL, TY_I8,  TY_I16, TY_I32, TY_I64, TY_U8,
                                       TY_U16,  TY_U32, TY_U64, TY_F32, TY_F64};
enum { N_TYPES = sizeof all_types / sizeof *all_types };

static struct oracle oracle;
static union scalar grid[3][64];
static _Alignas(64) char data[3][8 * MOST];

static struct oracle_input input_of(const char *name, enum dtype type, char *values, int64_t n) {
    struct oracle_input input = {.type = type, .rank = 1, .shape = {n}, .stride = {dtype_size(type)}, .data = values};
    snprintf(input.name, sizeof input.name, "%s", name);
    return input;
}

static void check(const char *source, const struct oracle_input *inputs, int n) {
    char why[1024] = "";
    enum oracle_verdict verdict = oracle_check(&oracle, source, inputs, n, why, sizeof why);
    if (verdict != ORACLE_SAME && verdict != ORACLE_NOT_COMPARED) fail_msg("verdict %d: %s\n%s", verdict, why, source);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* x, y and z: all pairs of awkward values, and something third. */
static int64_t fill_pairs(enum dtype type) {
    int64_t total = 0;
    int n = maker_grid(type, grid[0], 48);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n && total < MOST; j++, total++) {
            maker_put(type, data[0], total, grid[0][i]);
            maker_put(type, data[1], total, grid[0][j]);
            maker_put(type, data[2], total, grid[0][(7 * i + 3 * j) % n]);
        }
    return total;
}

static void put_call(struct strbuf *text, enum op op, enum dtype type) {
    const struct op_info *info = &op_info[op];
    bool is_elementary = info->lower == LOWER_CALL && dtype_is_float(type);
    if (is_elementary && !device.is_shim && info->ulp[MATH_CUDA].f64 > 0) return;
    strbuf_puts(text, text->length ? ", " : "");
    if (op == OP_select)
        strbuf_puts(text, "where(x == y, x, z)");
    else if (op == OP_ldexp)
        strbuf_puts(text, "ldexp(x, i32(y))");
    else if (info->symbol && info->arity == 1)
        strbuf_printf(text, "%s x", info->symbol);
    else if (info->symbol)
        strbuf_printf(text, "x %s y", info->symbol);
    else
        strbuf_printf(text, info->arity == 1 ? "%s(x)" : info->arity == 2 ? "%s(x, y)" : "%s(x, y, z)", info->name);
}

/* Some operations in one program, as many as results may be compared. */
static void test_operations(void **state) {
    (void)state;
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    for (int t = 0; t < N_TYPES; t++) {
        enum dtype type = all_types[t];
        const char *name = dtype_name(type);
        int64_t n = fill_pairs(type);
        for (int op = 0; op < OP_COUNT;) {
            struct strbuf calls;
            strbuf_init(&calls, &arena);
            for (int count = 0; op < OP_COUNT && count < ORACLE_OUTPUTS; op++) {
                size_t length = calls.length;
                if (op_info[op].rule != RULE_NONE && operation_takes((enum op)op, type))
                    put_call(&calls, (enum op)op, type);
                count += calls.length > length;
            }
            if (!calls.length) continue;
            const char *source = arena_printf(&arena, "param x: %s[n]\nparam y: %s[n]\nparam z: %s[n]\nreturn %s\n",
                                              name, name, name, strbuf_text(&calls));
            const struct oracle_input inputs[] = {input_of("x", type, data[0], n), input_of("y", type, data[1], n),
                                                  input_of("z", type, data[2], n)};
            check(source, inputs, 3);
        }
    }
    arena_free(&arena);
}

static void test_conversions(void **state) {
    (void)state;
    for (int t = 0; t < N_TYPES; t++) {
        char source[400];
        int n = maker_grid(all_types[t], grid[0], 64), at = 0;
        for (int i = 0; i < n; i++) maker_put(all_types[t], data[0], i, grid[0][i]);
        at = snprintf(source, sizeof source, "param x: %s[n]\nreturn ", dtype_name(all_types[t]));
        for (int to = 0; to < N_TYPES; to++)
            at +=
                snprintf(source + at, sizeof source - (size_t)at, "%s%s(x)", to ? ", " : "", dtype_name(all_types[to]));
        const struct oracle_input x = input_of("x", all_types[t], data[0], n);
        check(source, &x, 1);
    }
}

/* --- control flow --------------------------------------------------------------------------------------------------
 */

/* The body of a case of control.txt as a ufunc of i, k and the whole array t. `at` is behind "case RESULT"; returns the
 * next case. */
static const char *read_case(const char *at, struct strbuf *body) {
    bool inside = false, is_function = false;
    for (; (at = strchr(at, '\n')) && strncmp(at, "\n| ", 3) == 0; at++) {
        const char *line = at + 3;
        int length = (int)strcspn(line, "\n");
        if (strncmp(line, "param ", 6) == 0) continue;
        if (strncmp(line, "fn run(", 7) == 0) {
            is_function = inside = true;
            continue;
        }
        if (is_function && line[0] == '}') inside = false;
        if (is_function && !inside) continue; /* what calls it */
        strbuf_printf(body, "    %.*s\n", length, line);
    }
    return at ? at + 1 : NULL;
}

static void test_control(void **state) {
    (void)state;
    enum { SIDE = 12, N = SIDE * SIDE };
    static int64_t i[N], k[N], t[4] = {3, -4, 7, 12};
    for (int n = 0; n < N; n++) i[n] = n % SIDE - 2, k[n] = n / SIDE - 3;
    const int at_5_2 = 5 * SIDE + 7; /* i = 5, k = 2: what Python was given */
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    FILE *file = fopen(WEFT_SOURCE_DIR "/tests/frontend/control.txt", "r");
    assert_non_null(file);
    static char text[1 << 18];
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    const char *at = text;
    int cases = 0, step = getenv("WEFT_ALL") ? 1 : SLOWNESS > 1 ? 10 : 3;
    for (; at && strncmp(at, "case ", 5) == 0; cases++) {
        struct strbuf source;
        int result = atoi(at + 5);
        strbuf_init(&source, &arena);
        strbuf_puts(&source, "param i: i64[n]\nparam k: i64[n]\nparam t: i64[4]\nufunc run(i, k, t: [m]) {\n");
        at = read_case(at, &source);
        /* The element that Python knows is looked up, so that a wrong value fails the program. */
        strbuf_printf(&source, "}\nr = run(i, k, t)\nassert r[%d] == %d, \"not Python's\"\nreturn r\n", at_5_2, result);
        if (cases % step) continue;
        struct oracle_input inputs[] = {input_of("i", TY_I64, (char *)i, N), input_of("k", TY_I64, (char *)k, N),
                                        input_of("t", TY_I64, (char *)t, 4)};
        check(strbuf_text(&source), inputs, 3);
    }
    assert_int_equal(cases, 60);
    arena_free(&arena);
}

int main(int argc, char **argv) {
    int status = fixture_open(argc, argv);
    if (status) return status;
    if (!oracle_open_device(&oracle, &device)) return 1;
    math_from_cpu(&device, oracle.host->engine);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations), cmocka_unit_test(test_conversions),
                                       cmocka_unit_test(test_control)};
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, NULL, NULL);
    math_from_cpu(&device, NULL);
    oracle_close(&oracle);
    device_close(&device);
    return status;
}
