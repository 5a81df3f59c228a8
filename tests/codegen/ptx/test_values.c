/* Every operation on every type, bit for bit as eval_scalar has it: the generated CUDA C compiled as C++ and run by one
 * thread after the other (elementwise kernels have no barriers). Skipped where there is no g++. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "gpu/shim/abi.h"
#include "ir/eval.h"

/* tests/gpu/shim/compile.c: a shared object as bytes (malloc); NULL with what the compiler said in *log. */
void *shim_compile(const char *source, const char *name, int arch, size_t *size, char **log);

static const struct span nowhere = {0, 0};

/* --- a device with one thread ------------------------------------------------------------------------------------- */

static const char *const function_names[] = {
#define SHIM_FUNCTION(name, arity) #name,
#include "gpu/shim/functions.def"
#undef SHIM_FUNCTION
};

static double math_f64(int function, double x, double y) {
    const struct op_info *info = &op_info[op_from_ir_name(function_names[function])];
    return info->arity == 1 ? info->eval1(x) : info->eval2(x, y);
}

static float math_f32(int function, float x, float y) {
    const struct op_info *info = &op_info[op_from_ir_name(function_names[function])];
    return info->arity == 1 ? info->eval1f(x) : info->eval2f(x, y);
}

static void pause_nowhere(void) {}
static void fail_kernel(const char *what) {
    fail_msg("a kernel failed: %s", what);
}

static unsigned lane; /* of the one thread that runs */
static unsigned active_mask(void) {
    return 1u << lane;
}

static const struct shim_host host = {
    .active_mask = active_mask, .pause = pause_nowhere, .fail = fail_kernel, .f64 = math_f64, .f32 = math_f32};

static const struct shim_module *load(const char *source, void **library) {
    size_t size;
    char *log = NULL;
    void *image = shim_compile(source, "values.cu", 80, &size, &log);
    if (!image) fail_msg("%s", log);
    free(log);
    char path[] = "/tmp/weft-values-XXXXXX";
    const int file = mkstemp(path);
    assert_int_equal(write(file, image, size), size);
    close(file);
    free(image);
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path);
    if (!*library) fail_msg("%s", dlerror());
    const struct shim_module *module = dlsym(*library, "shim_module");
    assert_int_equal(module->abi, SHIM_ABI);
    *module->host = &host;
    return module;
}

static void run(const struct shim_module *module, const char *name, const struct ptx_grid *grid,
                void *const *parameters) {
    for (unsigned k = 0; k < module->n_kernels; k++) {
        if (strcmp(module->kernels[k].name, name) != 0) continue;
        *module->grid = (struct shim_dim){grid->grid[0], grid->grid[1], grid->grid[2]};
        *module->block_size = (struct shim_dim){grid->block[0], grid->block[1], grid->block[2]};
        for (unsigned by = 0; by < grid->grid[1]; by++)
            for (unsigned bx = 0; bx < grid->grid[0]; bx++)
                for (unsigned ty = 0; ty < grid->block[1]; ty++)
                    for (unsigned tx = 0; tx < grid->block[0]; tx++) {
                        *module->block = (struct shim_dim){bx, by, 0};
                        *module->thread = (struct shim_dim){tx, ty, 0};
                        lane = (tx + grid->block[0] * ty) % 32;
                        module->kernels[k].call(parameters);
                    }
        return;
    }
    fail_msg("no kernel %s", name);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static void put(enum dtype type, void *array, int64_t i, union scalar value) {
    const int size = dtype_size(type);
    memcpy((char *)array + size * i, type == TY_F32 ? (void *)&value.f32 : (void *)&value.u,
           (size_t)size); /* little-endian */
}

static union scalar get(enum dtype type, const void *array, int64_t i) {
    const int size = dtype_size(type), unused = 64 - 8 * size;
    union scalar value = {0};
    memcpy(type == TY_F32 ? (void *)&value.f32 : (void *)&value.u, (const char *)array + size * i, (size_t)size);
    if (dtype_is_signed(type)) value.i = (int64_t)(value.u << unused) >> unused;
    return value;
}

static bool same(enum dtype type, union scalar a, union scalar b) {
    if (type == TY_F64) return (isnan(a.f64) && isnan(b.f64)) || a.u == b.u;
    if (type != TY_F32) return a.u == b.u;
    return (isnan(a.f32) && isnan(b.f32)) || !memcmp(&a.f32, &b.f32, 4);
}

/* Edges of the type, and what lies between. */
static int edges(enum dtype type, union scalar *out) {
    static const double reals[] = {0,
                                   1,
                                   0.5,
                                   1.5,
                                   2.5,
                                   2,
                                   3,
                                   7,
                                   0.1,
                                   1e-3,
                                   0.3333,
                                   10,
                                   100.25,
                                   88.8,
                                   710,
                                   1e5,
                                   127.5,
                                   128,
                                   255.9,
                                   256,
                                   32768,
                                   65535.5,
                                   65536,
                                   8388607.5,
                                   16777217,
                                   2147483647,
                                   2147483648,
                                   4294967295.0,
                                   4294967296.0,
                                   4503599627370495.5,
                                   9007199254740993.0,
                                   9223372036854774784.0,
                                   9223372036854775808.0,
                                   18446744073709549568.0,
                                   18446744073709551616.0,
                                   1e30,
                                   3.4028234663852886e38,
                                   1e300,
                                   1.7e308,
                                   1.1754943508222875e-38,
                                   1e-40,
                                   1.4e-45,
                                   2.2250738585072014e-308,
                                   5e-324,
                                   1e-310};
    static const int64_t whole[] = {0,
                                    1,
                                    2,
                                    3,
                                    5,
                                    7,
                                    8,
                                    13,
                                    31,
                                    32,
                                    33,
                                    63,
                                    64,
                                    65,
                                    100,
                                    127,
                                    128,
                                    255,
                                    256,
                                    32767,
                                    32768,
                                    65535,
                                    2147483647,
                                    2147483648,
                                    4294967295,
                                    0x5555555555555555,
                                    0x123456789abcdef0,
                                    INT64_MAX,
                                    INT64_MAX - 1,
                                    INT64_MAX / 3};
    int n = 0;
    if (dtype_is_float(type)) {
        const double last[] = {INFINITY, NAN};
        for (size_t i = 0; i < sizeof reals / sizeof *reals + 2; i++)
            for (int sign = 1; sign >= -1; sign -= 2) {
                const double x =
                    sign * (i < sizeof reals / sizeof *reals ? reals[i] : last[i - sizeof reals / sizeof *reals]);
                out[n++] = type == TY_F32 ? (union scalar){.f32 = (float)x} : (union scalar){.f64 = x};
            }
        return n;
    }
    if (type == TY_BOOL) {
        out[0].u = 0, out[1].u = 1;
        return 2;
    }
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        for (int form = 0; form < 3; form++) { /* x, -x, ~x: the smallest is among them */
            char room[8];
            put(type, room, 0,
                (union scalar){.u = form == 0   ? (uint64_t)whole[i]
                                    : form == 1 ? 0 - (uint64_t)whole[i]
                                                : ~(uint64_t)whole[i]});
            out[n] = get(type, room, 0);
            bool seen = false;
            for (int k = 0; k < n; k++) seen |= out[k].u == out[n].u;
            n += !seen;
        }
    return n;
}

/* --- all operations of a type in one kernel ----------------------------------------------------------------------- */

enum { MOST_EDGES = 110, MOST = MOST_EDGES * MOST_EDGES };

static char input[CASES_ARGUMENTS][8 * MOST], output[CASES_OUTPUTS][8 * MOST];

static int64_t fill_inputs(const struct cases_all *task) {
    static union scalar values[MOST_EDGES];
    const int n = edges(task->type, values);
    assert_in_range(n, 1, MOST_EDGES);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const int64_t at = (int64_t)i * n + j;
            const int64_t counts[] = {0,     1,     -1,   2,         24,        -149, -150, 1074,
                                      -1074, -1100, 2000, INT32_MAX, INT32_MIN, 127,  -126, 52};
            put(task->type, input[0], at, values[i]);
            put(task->type, input[1], at, values[j]);
            put(task->type, input[2], at, values[(i * 7 + j * 3) % n]);
            put(TY_I32, input[3], at, (union scalar){.i = counts[j % 16]});
            put(TY_BOOL, input[4], at, (union scalar){.u = (uint64_t)((i ^ j) & 1)});
        }
    return (int64_t)n * n;
}

static void check_results(const struct cases_all *task, int64_t n) {
    for (int r = 0; r < task->n_results; r++) {
        const struct cases_result *result = &task->results[r];
        for (int64_t i = 0; i < n; i++) {
            union scalar args[3] = {{0}};
            for (int a = 0; a < op_info[result->op].arity; a++)
                args[a] = get(task->operand_types[result->arguments[a]], input[result->arguments[a]], i);
            const enum dtype type = result->op == OP_convert ? result->type : task->type;
            const union scalar want = eval_scalar(result->op, type, task->type, args, NULL),
                               got = get(result->type, output[r], i);
            if (same(result->type, want, got)) continue;
            const bool f32 = task->type == TY_F32;
            fail_msg("%s of %s to %s: of %g %g (%lld %lld %lld) it is %llx, should be %llx", op_info[result->op].name,
                     dtype_name(task->type), dtype_name(result->type), f32 ? args[0].f32 : args[0].f64,
                     f32 ? args[1].f32 : args[1].f64, (long long)args[0].i, (long long)args[1].i, (long long)args[2].i,
                     (long long)got.u, (long long)want.u);
        }
    }
}

static void operations_are_the_evaluators(void **state) {
    struct cases *cases = *state;
    struct cases_all *tasks[TY_COUNT] = {0};
    struct strbuf source;
    strbuf_init(&source, &cases->arena);
    for (enum dtype type = TY_BOOL; type < TY_COUNT; type++) {
        if (type == TY_F16) continue;
        tasks[type] = cases_all_operations(cases, type);
        strbuf_printf(&source, "namespace of_%s {\n%s}\nusing namespace of_%s;\n", dtype_name(type),
                      tasks[type]->kernel.source, dtype_name(type));
    }
    void *library;
    const struct shim_module *module = load(strbuf_text(&source), &library);
    for (enum dtype type = TY_BOOL; type < TY_COUNT; type++) {
        if (!tasks[type]) continue;
        struct cases_all *task = tasks[type];
        int64_t n = fill_inputs(task);
        void *pointers[CASES_ARGUMENTS + CASES_OUTPUTS], *parameters[CASES_ARGUMENTS + CASES_OUTPUTS + 4];
        for (int p = 0; p < task->kernel.n_parameters; p++) {
            const struct ptx_parameter *parameter = &task->kernel.parameters[p];
            if (parameter->kind == PTX_PARAM_EXTENT) {
                parameters[p] = &n;
                continue;
            }
            assert_int_equal(parameter->kind, PTX_PARAM_DATA);
            const int k = parameter->a;
            pointers[k] = k < CASES_ARGUMENTS ? input[k] : output[k - CASES_ARGUMENTS];
            parameters[p] = &pointers[k];
        }
        const struct ptx_grid grid = {.grid = {1, 1, 1}, .block = {2, 1, 1}};
        run(module, task->kernel.name, &grid, parameters);
        check_results(task, n);
        print_message("%s: %d operations, %d values\n", dtype_name(type), task->n_results, (int)n);
    }
    dlclose(library);
}

/* --- groups, heads and tails -------------------------------------------------------------------------------------- */

/* out[i, j] = x[i, j] + y[i, j] with y strided, all aligned. */
static struct ptx_kernel sum_kernel(struct cases *cases, enum dtype type) {
    struct arena *arena = &cases->arena;
    struct kernel_operand *operands = ARENA_ARRAY(arena, struct kernel_operand, 3);
    struct ir_region *body = body_region(arena, 0, NULL);
    struct ir_value *args[2];
    for (int k = 0; k < 2; k++) {
        operands[k] = (struct kernel_operand){.kind = OPERAND_READ, .type = type, .uses = 3};
        args[k] = body_leaf(arena, body, OP_read, type, k);
    }
    operands[2] = (struct kernel_operand){.kind = OPERAND_WRITE, .type = type};
    struct ir_value *value = body_op(arena, body, OP_add, type, 2, args, nowhere);
    body_op(arena, body, OP_store, TY_NONE, 1, &value, nowhere)->imm.i = 2;
    struct ir_kernel kernel = {.name = arena_printf(arena, "k_sum_%s", dtype_name(type)),
                               .kind = KERNEL_MAP,
                               .n_par = 2,
                               .n_operands = 3,
                               .operands = operands,
                               .body = *body};
    static const enum ptx_access access[] = {PTX_UNIT, PTX_STRIDED, PTX_UNIT};
    struct ptx_variant variant = {.access = access, .aligned = true, .ulp = 4};
    struct ptx_kernel out;
    if (!ptx_emit(arena, &kernel, &variant, &out, &cases->why)) fail_msg("%s", strbuf_text(&cases->why));
    assert_int_equal(out.vector, 16 / dtype_size(type));
    return out;
}

static void check_sum(const struct shim_module *module, const struct ptx_kernel *kernel, enum dtype type, int64_t rows,
                      int64_t columns, int64_t head) {
    static _Alignas(64) char x[40000], y[80000], out[40000];
    const int size = dtype_size(type);
    const struct ptx_limits tiny = {.multiprocessors = 1, .threads_per_multiprocessor = 256};
    int64_t extents[2] = {rows, columns}, pitch = (columns + 2 * kernel->vector) / kernel->vector * kernel->vector;
    const int64_t strides[3][2] = {{pitch, 1}, {columns * 2, 2}, {pitch, 1}};
    assert_true(rows * pitch * size < (int64_t)sizeof x && rows * columns * 2 * size < (int64_t)sizeof y);
    for (int64_t i = 0; i < (int64_t)sizeof x / size; i++)
        put(type, x, i, type == TY_F32 ? (union scalar){.f32 = (float)i} : (union scalar){.u = (uint64_t)i * 3});
    for (int64_t i = 0; i < (int64_t)sizeof y / size; i++)
        put(type, y, i, type == TY_F32 ? (union scalar){.f32 = (float)(i % 97)} : (union scalar){.u = (uint64_t)i * 7});
    memset(out, 0x77, sizeof out);
    struct ptx_grid grid;
    ptx_shape(kernel, extents, head, &tiny, &grid);
    /* The aligned element is number `head` of each row. */
    const int64_t shift = (kernel->vector - head % kernel->vector) % kernel->vector;
    void *data[3] = {x + shift * size, y, out + shift * size}, *parameters[20];
    int64_t stride_values[20];
    for (int p = 0; p < kernel->n_parameters; p++) {
        const struct ptx_parameter *parameter = &kernel->parameters[p];
        switch (parameter->kind) {
        case PTX_PARAM_DATA: parameters[p] = &data[parameter->a]; break;
        case PTX_PARAM_EXTENT: parameters[p] = &extents[parameter->a]; break;
        case PTX_PARAM_GRID: parameters[p] = &grid.value[parameter->a]; break;
        case PTX_PARAM_STRIDE:
            stride_values[p] = strides[parameter->a][parameter->b];
            parameters[p] = &stride_values[p];
            break;
        default: fail_msg("parameter %d", p);
        }
    }
    run(module, kernel->name, &grid, parameters);
    const int64_t last = shift + rows * pitch;
    for (int64_t at = 0; at < last; at++) {
        const int64_t row = (at - shift) / pitch, column = (at - shift) % pitch;
        const bool inside = at >= shift && column < columns && row < rows;
        union scalar want = get(type, memset((char[8]){0}, 0x77, 8), 0);
        if (inside) {
            const union scalar args[] = {get(type, data[0], row * pitch + column),
                                         get(type, y, row * columns * 2 + column * 2)};
            want = eval_scalar(OP_add, type, type, args, NULL);
        }
        if (!same(type, want, get(type, out, at)))
            fail_msg("%s, %d x %d, head %d: element %d, %d", dtype_name(type), (int)rows, (int)columns, (int)head,
                     (int)row, (int)column);
    }
}

static void every_element_is_written_once(void **state) {
    struct cases *cases = *state;
    static const enum dtype types[] = {TY_U8, TY_I16, TY_F32, TY_I64};
    static const int64_t columns[] = {1, 2, 3, 5, 16, 31, 33, 64, 100, 257, 1200};
    struct ptx_kernel kernels[4];
    struct strbuf source;
    strbuf_init(&source, &cases->arena);
    for (int t = 0; t < 4; t++) {
        kernels[t] = sum_kernel(cases, types[t]);
        strbuf_printf(&source, "namespace sum_%s {\n%s}\nusing namespace sum_%s;\n", dtype_name(types[t]),
                      kernels[t].source, dtype_name(types[t]));
    }
    void *library;
    const struct shim_module *module = load(strbuf_text(&source), &library);
    for (int t = 0; t < 4; t++)
        for (int c = 0; c < 11; c++)
            for (int64_t rows = 1; rows <= 3; rows++)
                for (int64_t head = 0; head < kernels[t].vector; head += head ? 5 : 1)
                    check_sum(module, &kernels[t], types[t], rows, columns[c], head);
    dlclose(library);
}

/* --- failures, loops and cancelling ------------------------------------------------------------------------------- */

struct called {
    void *data[4];
    int64_t n, head;
    int64_t sizes[2], strides[2]; /* of the one whole operand */
    struct ptx_watch watch;
    int64_t order;
};

static void call(const struct shim_module *module, const struct ptx_kernel *kernel, struct called *called) {
    const struct ptx_limits tiny = {.multiprocessors = 2, .threads_per_multiprocessor = 256};
    void *parameters[20], *watch = &called->watch;
    struct ptx_grid grid;
    ptx_shape(kernel, &called->n, called->head, &tiny, &grid);
    for (int p = 0; p < kernel->n_parameters; p++) {
        const struct ptx_parameter *parameter = &kernel->parameters[p];
        switch (parameter->kind) {
        case PTX_PARAM_DATA: parameters[p] = &called->data[parameter->a]; break;
        case PTX_PARAM_EXTENT: parameters[p] = &called->n; break;
        case PTX_PARAM_SIZE: parameters[p] = &called->sizes[parameter->b]; break;
        case PTX_PARAM_STRIDE: parameters[p] = &called->strides[parameter->b]; break;
        case PTX_PARAM_GRID: parameters[p] = &grid.value[parameter->a]; break;
        case PTX_PARAM_WATCH: parameters[p] = &watch; break;
        case PTX_PARAM_ORDER: parameters[p] = &called->order; break;
        default: fail_msg("parameter %d", p);
        }
    }
    run(module, kernel->name, &grid, parameters);
}

static const struct shim_module *load_case(struct cases *cases, const char *name, struct ptx_kernel *kernel,
                                           void **library) {
    for (int i = 0; i < cases->n; i++) {
        if (strcmp(cases->items[i].name, name) != 0) continue;
        *kernel = cases_emit(cases, &cases->items[i]);
        return load(kernel->source, library);
    }
    fail_msg("no case %s", name);
    return NULL;
}

static void the_first_failure_is_told(void **state) {
    enum { N = 3000, ROWS = 7, COLUMNS = 11 };
    static _Alignas(16) int64_t rows[N + 2];
    static _Alignas(16) int32_t columns[N + 4];
    static _Alignas(16) float whole[ROWS * COLUMNS], out[N + 4];
    struct ptx_kernel kernel;
    void *library;
    const struct shim_module *module = load_case(*state, "gather", &kernel, &library);
    assert_true(kernel.can_fail && !kernel.polls && kernel.vector == 2);
    for (int i = 0; i < ROWS * COLUMNS; i++) whole[i] = (float)i;
    static const struct {
        int at[3];     /* positions that fail */
        int64_t value; /* what stands there */
        int dim;
    } runs[] = {{{-1, -1, -1}, 0, 0},
                {{2999, 57, 2048}, 11, 1},
                {{1, 0, 2}, -1, 1},
                {{2500, 2999, 1000}, 7, 0},
                {{0, 2999, 5}, INT64_MIN, 0}};
    for (int r = 0; r < 5; r++)
        for (int head = 0; head < 2; head++) {
            struct called called = {.n = N,
                                    .head = head,
                                    .sizes = {ROWS, COLUMNS},
                                    .strides = {COLUMNS, 1},
                                    .order = 5,
                                    .watch = {.order = INT64_MAX, .position = INT64_MAX}};
            int64_t *row = rows + head;
            int32_t *column = columns + head;
            called.data[0] = row, called.data[1] = column, called.data[2] = whole, called.data[3] = out + head;
            int first = N;
            for (int i = 0; i < N; i++) row[i] = i % ROWS, column[i] = i % COLUMNS;
            for (int k = 0; k < 3; k++) {
                const int at = runs[r].at[k];
                if (at < 0) continue;
                if (runs[r].dim)
                    column[at] = (int32_t)runs[r].value;
                else
                    row[at] = runs[r].value;
                if (at < first) first = at;
            }
            call(module, &kernel, &called);
            if (first == N) {
                assert_int_equal(called.watch.order, INT64_MAX);
                for (int i = 0; i < N; i++) assert_true(out[head + i] == 2 * whole[i % ROWS * COLUMNS + i % COLUMNS]);
                continue;
            }
            assert_int_equal(called.watch.order, 5);
            assert_int_equal(called.watch.position, first);
            assert_int_equal(called.watch.index, runs[r].value);
            assert_int_equal(called.watch.size, runs[r].dim ? COLUMNS : ROWS);
            assert_int_equal(called.watch.dim, runs[r].dim);
            assert_int_equal(called.watch.operand, 2);
            assert_int_equal(called.watch.lock, 0);
            /* A later launch has nothing to say to that; an earlier one has. */
            const struct ptx_watch before = called.watch;
            called.order = 6;
            call(module, &kernel, &called);
            assert_memory_equal(&called.watch, &before, sizeof before);
            called.order = 4;
            call(module, &kernel, &called);
            assert_int_equal(called.watch.order, 4);
            assert_int_equal(called.watch.position, first);
        }
    dlclose(library);
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        const int64_t r = a % b;
        a = b, b = r;
    }
    return a;
}

static void loops_run_and_are_cancelled(void **state) {
    enum { N = 700 };
    static int64_t x[N], y[N], out[N];
    static int32_t steps[N];
    static unsigned char table[2] = {1, 1};
    struct ptx_kernel kernel;
    void *library;
    const struct shim_module *module = load_case(*state, "gcd", &kernel, &library);
    assert_true(kernel.polls && !kernel.can_fail);
    for (int i = 0; i < N; i++) x[i] = i * 360 + 7, y[i] = 1 + i * i;
    struct called called = {.data = {x, y, out}, .n = N, .watch = {.order = INT64_MAX, .position = INT64_MAX}};
    call(module, &kernel, &called);
    for (int i = 0; i < N; i++) assert_int_equal(out[i], gcd(x[i], y[i]));
    dlclose(library);

    module = load_case(*state, "collatz", &kernel, &library);
    for (int i = 0; i < N; i++) x[i] = i + 1;
    called = (struct called){.data = {x, table, steps},
                             .n = N,
                             .sizes = {2},
                             .strides = {1},
                             .watch = {.order = INT64_MAX, .position = INT64_MAX}};
    call(module, &kernel, &called);
    assert_int_equal(called.watch.order, INT64_MAX);
    assert_int_equal(steps[0], 0);
    assert_int_equal(steps[4], 2); /* 5, 16 */
    assert_int_equal(steps[26], 42);

    /* A table of one element: subscript 1 (an even number of halvings) fails, first for 5. */
    called.sizes[0] = 1;
    call(module, &kernel, &called);
    assert_int_equal(called.watch.position, 4);
    assert_int_equal(called.watch.index, 1);

    /* Cancelled from the beginning: nothing is done. */
    for (int i = 0; i < N; i++) steps[i] = -7;
    called = (struct called){.data = {x, table, steps},
                             .n = N,
                             .sizes = {2},
                             .strides = {1},
                             .watch = {.cancel = 1, .order = INT64_MAX, .position = INT64_MAX}};
    call(module, &kernel, &called);
    for (int i = 0; i < N; i++) assert_int_equal(steps[i], -7);
    dlclose(library);

    /* What a failed load gives (0) would keep the loop going for ever. */
    module = load_case(*state, "stuck", &kernel, &library);
    for (int i = 0; i < N; i++) x[i] = i == 300 ? 2 : i % 2;
    int64_t values[2] = {5, -3};
    called = (struct called){.data = {x, values, out},
                             .n = N,
                             .sizes = {2},
                             .strides = {1},
                             .watch = {.order = INT64_MAX, .position = INT64_MAX}};
    call(module, &kernel, &called);
    assert_int_equal(called.watch.position, 300);
    for (int i = 0; i < 300; i++) assert_int_equal(out[i], values[i % 2]);

    /* A loop without end, in a launch that comes after one that failed. */
    for (int i = 0; i < N; i++) x[i] = 0;
    values[0] = 0;
    called.order = 1;
    called.watch.order = 0;
    call(module, &kernel, &called);
    dlclose(library);
}

int main(void) {
    const char *compiler = getenv("SHIM_CXX");
    char command[300];
    snprintf(command, sizeof command, "%s --version > /dev/null 2>&1", compiler && *compiler ? compiler : "g++");
    if (system(command)) {
        puts("skipped: there is no g++");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_the_evaluators), cmocka_unit_test(every_element_is_written_once),
        cmocka_unit_test(the_first_failure_is_told), cmocka_unit_test(loops_run_and_are_cancelled)};
    return cmocka_run_group_tests(tests, cases_open, cases_close);
}
