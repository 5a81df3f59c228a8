/* reduce_tested.c: see reduce_tested.h. */
#include "gpu/reduce_tested.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/eval/eval_internal.h"
#include "ir/parse.h"

enum { ARCH = 90, GUARD = 64 };

/* --- kernels ------------------------------------------------------------------------------------------------------ */

static int n_reads(const struct tested *t) {
    return t->body == BODY_FLAGS || t->body == BODY_PRODUCT || t->body == BODY_SCALED ? 2 : 1;
}

static bool is_arg(enum reduce_op op) {
    return op >= REDUCE_ARGMIN && op <= REDUCE_NANARGMAX;
}

static enum dtype result_type(const struct tested *t, enum reduce_op op) {
    return is_arg(op) ? TY_I64 : op == REDUCE_VAR ? TY_F64 : t->type;
}

static const char *kernel_text(const struct tested *t) {
    static const char *const kinds[] = {"map", "lanes", "columns"};
    const char *type = dtype_name(t->type);
    const int loops = t->n_par + t->n_red;
    struct strbuf s;
    strbuf_init(&s, &arena);
    strbuf_printf(&s, "kernel \"k0\" %s par %d red %d sizes 0 width %d %s{\n", kinds[t->kind], t->n_par, t->n_red,
                  t->type == TY_F32 ? 64 : 32, t->body == BODY_INDEX ? "uses_index " : "");
    for (int k = 0; k < n_reads(t); k++) {
        strbuf_printf(&s, "operand %d read %s rank %d", k, k == 1 && t->body != BODY_PRODUCT ? "bool" : type, loops);
        for (int j = 0; j < loops; j++) strbuf_printf(&s, "%s%d", j ? ", " : " uses ", j);
        strbuf_puts(&s, "\n");
    }
    int k = n_reads(t);
    if (t->body == BODY_PRODUCT) strbuf_printf(&s, "operand %d write %s rank 1 uses 0\n", k++, type);
    const int first = k;
    for (int i = 0; i < t->n_ops; i++)
        strbuf_printf(&s, "operand %d write %s rank %d\n", k++, dtype_name(result_type(t, t->ops[i])), t->n_par);
    strbuf_puts(&s, "body {\n");
    int id = 2;
    if (t->body == BODY_PRODUCT) id = 5;
    if (t->body == BODY_INDEX) id = 5;
    if (t->body == BODY_SCALED) id = 2 + 2 * t->n_ops;
    switch (t->body) {
    case BODY_X: strbuf_printf(&s, "%%0 = read 0 : %s\n%%1 = const true : bool\nyield %%0, %%1\n", type); break;
    case BODY_FLAGS: strbuf_printf(&s, "%%0 = read 0 : %s\n%%1 = read 1 : bool\nyield %%0, %%1\n", type); break;
    case BODY_PRODUCT:
        strbuf_printf(&s,
                      "%%0 = read 0 : %s\n%%1 = read 1 : %s\n%%2 = mul %%0, %%1 : %s\nstore 2, %%2\n%%4 = const true : "
                      "bool\nyield %%2, %%4\n",
                      type, type, type);
        break;
    case BODY_INDEX:
        strbuf_printf(&s,
                      "%%0 = read 0 : %s\n%%1 = index %d : i64\n%%2 = convert %%1 : %s\n%%3 = add %%0, %%2 : %s\n%%4 = "
                      "const true : bool\nyield %%3, %%4\n",
                      type, loops - 1, type, type);
        break;
    case BODY_SCALED:
        strbuf_printf(&s, "%%0 = read 0 : %s\n%%1 = read 1 : bool\n", type);
        for (int i = 0; i < t->n_ops; i++)
            strbuf_printf(&s, "%%%d = const %d.0 : %s\n%%%d = mul %%0, %%%d : %s\n", 2 * i + 2, i + 1, type, 2 * i + 3,
                          2 * i + 2, type);
        strbuf_puts(&s, "yield ");
        for (int i = 0; i < t->n_ops; i++) strbuf_printf(&s, "%s%%%d, %%1", i ? ", " : "", 2 * i + 3);
        strbuf_puts(&s, "\n");
        break;
    }
    strbuf_puts(&s, "}\n");
    for (int i = 0; i < t->n_ops; i++)
        strbuf_printf(&s, "reduce %s %s of %d\n", reduce_names[t->ops[i]], dtype_name(result_type(t, t->ops[i])),
                      t->body == BODY_SCALED ? 2 * i : 0);
    strbuf_puts(&s, "epilogue(");
    for (int i = 0; i < t->n_ops; i++)
        strbuf_printf(&s, "%s%%%d: %s", i ? ", " : "", id + i, dtype_name(result_type(t, t->ops[i])));
    strbuf_puts(&s, ") {\n");
    for (int i = 0; i < t->n_ops; i++) strbuf_printf(&s, "store %d, %%%d\n", first + i, id + i);
    strbuf_puts(&s, "yield\n}\n}\n");
    return strbuf_text(&s);
}

void tested_compile(struct tested *t) {
    struct strbuf why;
    strbuf_init(&why, &arena);
    t->kernel = parse_kernel(&arena, kernel_text(t), &why);
    if (!t->kernel) fail_msg("%s\n%s", strbuf_text(&why), kernel_text(t));
    t->variant.access = t->access;
    t->variant.ulp = 4;
    if (!ptx_emit(&arena, t->kernel, &t->variant, &t->out, &why)) fail_msg("%s", strbuf_text(&why));
    if (getenv("PRINT_KERNELS")) printf("%s\n", strstr(t->out.source, "/* ") ? t->out.source : "");
    const void *image;
    size_t size;
    if (!ptx_compile(compiler, t->out.source, "k0", ARCH, false, PTX_FORMAT_CUBIN, &arena, &image, &size, &why))
        fail_msg("%s", strbuf_text(&why));
    MUST(cuModuleLoadData(&t->module, image));
    MUST(cuModuleGetFunction(&t->function, t->module, "k0"));
}

struct tested tested_make(enum kernel_kind kind, int n_par, int n_red, enum dtype type, enum body body, enum lie lie,
                          bool short_rows, int n_ops, const enum reduce_op *ops) {
    struct tested t = {.kind = kind, .n_par = n_par, .n_red = n_red, .type = type, .body = body, .n_ops = n_ops};
    memcpy(t.ops, ops, (size_t)n_ops * sizeof *ops);
    for (int k = 0; k < MOST_OPERANDS; k++)
        t.access[k] = k < n_reads(&t) ? lie == STRIDED ? PTX_STRIDED : PTX_UNIT : PTX_UNIFORM;
    if (body == BODY_PRODUCT) t.access[2] = lie == STRIDED ? PTX_STRIDED : PTX_UNIT;
    if (kind == KERNEL_COLUMNS)
        for (int k = n_reads(&t); k < MOST_OPERANDS; k++) t.access[k] = PTX_UNIT;
    t.variant = (struct ptx_variant){.aligned = lie == ALIGNED, .short_rows = short_rows};
    t.variant.single_row = n_par + n_red == 1;
    return t;
}

void tested_free(struct tested *t) {
    MUST(cuModuleUnload(t->module));
}

/* --- arrays ------------------------------------------------------------------------------------------------------- */

struct array { /* of the fake device's memory, with its copy here */
    CUdeviceptr device;
    char *host;
    size_t bytes;
    int64_t first; /* element at position 0 ... 0 */
    int64_t stride[4];
    enum dtype type;
};

static struct array array_new(enum dtype type, int64_t elements) {
    struct array a = {.type = type, .bytes = (size_t)(elements + 2 * GUARD) * (size_t)dtype_size(type), .first = GUARD};
    a.host = arena_alloc(&arena, a.bytes);
    memset(a.host, 0xEE, a.bytes);
    MUST(cuMemAlloc_v2(&a.device, a.bytes));
    return a;
}

static void array_put(struct array *a) {
    MUST(cuMemcpyHtoD_v2(a->device, a->host, a->bytes));
}

static void array_get(struct array *a) {
    MUST(cuMemcpyDtoH_v2(a->host, a->device, a->bytes));
}

static char *array_at(const struct array *a, int64_t element) {
    return a->host + (a->first + element) * dtype_size(a->type);
}

static uint64_t random_bits(void) {
    static uint64_t random_state = 88172645463325252u;
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static union scalar some_value(enum dtype type, int kind) {
    const uint64_t bits = random_bits();
    double x =
        (double)(int64_t)(bits >> 12) / (double)(1 << 20) * (bits & 1 ? 1 : -1) * pow(2, (double)(bits >> 1 & 31) - 36);
    if (kind == 1) x = (double)((int64_t)(bits % 19) - 9); /* many equal ones */
    if (kind == 2) x = bits % 97 == 0 ? NAN : bits % 5 == 0 ? -0.0 : bits % 7 == 0 ? 0.0 : x;
    if (kind == 3) x = 1 + (double)(bits % 1000) / 1e6;
    if (kind == 4) x = -INFINITY;
    if (type == TY_F32) return (union scalar){.f32 = (float)x};
    if (type == TY_F64) return (union scalar){.f64 = x};
    if (type == TY_BOOL) return (union scalar){.i = kind == 1 ? bits % 5000 == 0 : bits & 1};
    union scalar number = {.i = (int64_t)(kind == 1 ? bits % 11 : bits)};
    char room[8];
    eval_put(type, room, number);
    return eval_get(type, room);
}

static bool same(enum dtype type, union scalar a, union scalar b) {
    if (type == TY_F32) return (isnan(a.f32) && isnan(b.f32)) || !memcmp(&a.f32, &b.f32, sizeof a.f32);
    if (type == TY_F64) return (isnan(a.f64) && isnan(b.f64)) || a.i == b.i;
    return a.i == b.i;
}

/* --- one launch --------------------------------------------------------------------------------------------------- */

static int64_t product(const int64_t *extents, int n) {
    int64_t p = 1;
    for (int j = 0; j < n; j++) p *= extents[j];
    return p;
}

static void lay_out(const struct tested *t, const struct layout *l, struct array *a, enum dtype type) {
    const int loops = t->n_par + t->n_red, vector = t->kind == KERNEL_COLUMNS ? t->n_par - 1 : loops - 1;
    int order[4], n = 0; /* from the innermost out: in memory columns' vector dimension lies innermost */
    order[n++] = vector;
    for (int j = loops - 1; j >= 0; j--)
        if (j != vector) order[n++] = j;
    int64_t stride[4], size = l->step;
    for (int i = 0; i < n; i++) {
        stride[order[i]] = size;
        size *= l->extents[order[i]];
        if (i == 0) size += l->pad;
    }
    *a = array_new(type, size + l->step + l->shift + 1);
    a->first += l->shift;
    memcpy(a->stride, stride, sizeof stride);
}

/* The element of operand `a` at flattened parallel position `row` and reduced position p. */
static union scalar element(const struct tested *t, const struct layout *l, const struct array *a, int64_t row,
                            int64_t p, int64_t *last) {
    int64_t at = 0;
    for (int j = t->n_par + t->n_red - 1; j >= t->n_par; j--) {
        at += p % l->extents[j] * a->stride[j];
        if (j == t->n_par + t->n_red - 1) *last = p % l->extents[j];
        p /= l->extents[j];
    }
    for (int j = t->n_par - 1; j >= 0; j--) {
        at += row % l->extents[j] * a->stride[j];
        row /= l->extents[j];
    }
    return eval_get(a->type, array_at(a, at));
}

static uint64_t argument_of(const struct tested *t, const struct ptx_parameter *p, const struct layout *l,
                            const struct array *arrays, const struct ptx_grid *grid, CUdeviceptr partials,
                            CUdeviceptr counters, CUdeviceptr watch) {
    switch (p->kind) {
    case PTX_PARAM_DATA: return arrays[p->a].device + (uint64_t)(arrays[p->a].first * dtype_size(arrays[p->a].type));
    case PTX_PARAM_STRIDE: return (uint64_t)arrays[p->a].stride[p->b];
    case PTX_PARAM_EXTENT: return (uint64_t)l->extents[p->a];
    case PTX_PARAM_GRID: return (uint64_t)grid->value[p->a];
    case PTX_PARAM_PARTIALS: return partials;
    case PTX_PARAM_COUNTERS: return counters;
    case PTX_PARAM_WATCH: return watch;
    case PTX_PARAM_ORDER: return 1;
    default: fail_msg("%s: parameter of kind %d", t->kernel->name, (int)p->kind); return 0;
    }
}

static void launch(const struct tested *t, const struct layout *l, const struct array *arrays) {
    struct ptx_grid grid;
    ptx_shape(&t->out, l->extents, 0, &l->limits, &grid);
    assert_true(grid.n_counters <= PTX_MAX_COUNTERS);
    struct array partials = array_new(TY_U8, (int64_t)grid.partial_bytes),
                 counters = array_new(TY_U32, grid.n_counters);
    struct ptx_watch nothing = {.order = INT64_MAX, .position = INT64_MAX};
    struct array watch = array_new(TY_U8, sizeof nothing);
    memcpy(array_at(&watch, 0), &nothing, sizeof nothing);
    memset(array_at(&counters, 0), 0, 4 * (size_t)grid.n_counters);
    array_put(&partials);
    array_put(&counters);
    array_put(&watch);
    uint64_t *values = ARENA_ARRAY(&arena, uint64_t, t->out.n_parameters + 1);
    void **pointers = ARENA_ARRAY(&arena, void *, t->out.n_parameters + 1);
    for (int i = 0; i < t->out.n_parameters; i++) {
        values[i] = argument_of(t, &t->out.parameters[i], l, arrays, &grid, partials.device + GUARD,
                                counters.device + 4 * GUARD, watch.device + GUARD);
        pointers[i] = &values[i];
    }
    assert_false(t->out.indirect);
    MUST(cuLaunchKernel(t->function, grid.grid[0], grid.grid[1], grid.grid[2], grid.block[0], grid.block[1],
                        grid.block[2], 0, NULL, pointers, NULL));
    MUST(cuCtxSynchronize());
    array_get(&partials);
    array_get(&counters);
    for (int i = 0; i < GUARD; i++) assert_int_equal((unsigned char)partials.host[i], 0xEE);
    for (size_t i = partials.bytes - GUARD; i < partials.bytes; i++)
        assert_int_equal((unsigned char)partials.host[i], 0xEE);
    for (int i = 0; i < grid.n_counters; i++) {
        uint32_t left;
        memcpy(&left, array_at(&counters, i), sizeof left);
        assert_int_equal(left, 0);
    }
    MUST(cuMemFree_v2(partials.device));
    MUST(cuMemFree_v2(counters.device));
    MUST(cuMemFree_v2(watch.device));
}

static union scalar value_at(const struct tested *t, const struct layout *l, const struct array *arrays, int64_t row,
                             int64_t p) {
    int64_t last = 0, unused;
    union scalar x = element(t, l, &arrays[0], row, p, &last);
    if (t->body == BODY_PRODUCT) {
        union scalar args[3] = {x, element(t, l, &arrays[1], row, p, &unused)};
        return eval_scalar(OP_mul, t->type, t->type, args, NULL);
    }
    if (t->body == BODY_INDEX) {
        union scalar args[3] = {{.i = last}}, sum[3] = {x};
        sum[1] = eval_scalar(OP_convert, t->type, TY_I64, args, NULL);
        return eval_scalar(OP_add, t->type, t->type, sum, NULL);
    }
    return x;
}

static void scale(const struct tested *t, const struct array *a, const struct layout *l, int64_t row, int64_t length,
                  int by, union scalar *x) {
    int64_t unused;
    for (int64_t p = 0; p < length; p++) {
        union scalar args[3] = {element(t, l, a, row, p, &unused),
                                t->type == TY_F32 ? (union scalar){.f32 = (float)by} : (union scalar){.f64 = by}};
        x[p] = eval_scalar(OP_mul, t->type, t->type, args, NULL);
    }
}

void tested_check(const struct tested *t, const struct layout *l) {
    const int64_t rows = product(l->extents, t->n_par), length = product(l->extents + t->n_par, t->n_red);
    struct array arrays[MOST_OPERANDS];
    int n = 0;
    for (; n < n_reads(t); n++) {
        lay_out(t, l, &arrays[n], t->kernel->operands[n].type);
        struct array *a = &arrays[n];
        const int64_t elements = (int64_t)a->bytes / dtype_size(a->type) - 2 * GUARD - l->shift;
        for (int64_t i = 0; i < elements; i++) eval_put(a->type, array_at(a, i), some_value(a->type, l->values));
        array_put(a);
    }
    if (t->body == BODY_PRODUCT) {
        lay_out(t, l, &arrays[n], t->type);
        array_put(&arrays[n++]);
    }
    const int first = n;
    for (int i = 0; i < t->n_ops; i++) {
        arrays[n] = array_new(result_type(t, t->ops[i]), rows);
        array_put(&arrays[n++]);
    }
    launch(t, l, arrays);
    for (int k = 0; k < n; k++) array_get(&arrays[k]);
    union scalar *x = ARENA_ARRAY(&arena, union scalar, length + 1);
    bool *flags = ARENA_ARRAY(&arena, bool, length + 1);
    for (int64_t row = 0; row < rows; row++) {
        int64_t unused;
        for (int64_t p = 0; p < length; p++) {
            x[p] = value_at(t, l, arrays, row, p);
            flags[p] =
                (t->body != BODY_FLAGS && t->body != BODY_SCALED) || element(t, l, &arrays[1], row, p, &unused).i;
            if (t->body == BODY_PRODUCT && !same(t->type, element(t, l, &arrays[2], row, p, &unused), x[p]))
                fail_msg("row %lld: element %lld was not stored", (long long)row, (long long)p);
        }
        for (int i = 0; i < t->n_ops; i++) {
            const enum dtype type = result_type(t, t->ops[i]);
            if (t->body == BODY_SCALED) scale(t, &arrays[0], l, row, length, i + 1, x);
            union scalar want = eval_reduce(&arena, t->ops[i], t->type, length, x, flags, t->kind == KERNEL_COLUMNS);
            union scalar got = eval_get(type, array_at(&arrays[first + i], row));
            if (length == 0 && t->ops[i] == REDUCE_VAR) want.f64 = 0;
            if (same(type, want, got)) continue;
            fail_msg("%s of %s, extents %lld %lld %lld, row %lld: %llx (%g), not %llx (%g)", reduce_names[t->ops[i]],
                     dtype_name(t->type), (long long)l->extents[0], (long long)l->extents[1], (long long)l->extents[2],
                     (long long)row, (unsigned long long)got.u, type == TY_F32 ? (double)got.f32 : got.f64,
                     (unsigned long long)want.u, type == TY_F32 ? (double)want.f32 : want.f64);
        }
    }
    for (int k = 0; k < n; k++) { /* nothing was written outside */
        const struct array *a = &arrays[k];
        for (int i = 0; i < GUARD; i++) assert_int_equal((unsigned char)a->host[i], 0xEE);
        for (size_t i = a->bytes - GUARD; i < a->bytes; i++) assert_int_equal((unsigned char)a->host[i], 0xEE);
        MUST(cuMemFree_v2(a->device));
    }
}
