#include "maker.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *const maker_isas[MAKER_ISAS] = {"avx512", "avx2", "sse2", "scalar"};
static const struct span nowhere = {0};

void maker_open(struct maker *maker) {
    memset(maker, 0, sizeof *maker);
    arena_init(&maker->arena, &maker->mem);
    /* Failed allocations end the test program: arenas need a handler, tests of other things do not. */
    static jmp_buf out_of_memory;
    maker->arena.on_failure = &out_of_memory;
    if (setjmp(out_of_memory)) abort();
    strbuf_init(&maker->why, &maker->arena);
    for (int i = 0; i < MAKER_ISAS; i++) {
        struct cpu_engine_options options = {.ulp = 4, .isa = maker_isas[i]};
        maker->engines[i] = cpu_engine_new(&maker->mem, &options, &maker->why);
    }
}

void maker_close(struct maker *maker) {
    for (int i = 0; i < MAKER_ISAS; i++) cpu_engine_free(maker->engines[i]);
    arena_free(&maker->arena);
    assert_int_equal(maker->mem.used, 0);
}

void making_begin(struct making *m, struct maker *maker, enum kernel_kind kind, int n_par, int n_red,
                  const int64_t *extents) {
    memset(m, 0, sizeof *m);
    m->maker = maker;
    m->kernel = (struct ir_kernel){.name = "k0_test", .kind = kind, .n_par = n_par, .n_red = n_red, .lanes = 32};
    m->kernel.operands = m->operands;
    m->kernel.reductions = m->reductions;
    memcpy(m->extents, extents, (size_t)(n_par + n_red) * sizeof *extents);
    m->body = body_region(&maker->arena, 0, NULL);
    m->single_row = n_par + n_red == 1;
    m->watch.cancel = &m->cancel;
    m->watch.error_position = INT64_MAX;
}

static int making_operand(struct making *m, enum operand_kind kind, enum dtype type, const void *data) {
    int k = m->kernel.n_operands++;
    m->operands[k] = (struct kernel_operand){.kind = kind, .type = type};
    m->arguments[k] = (struct kernel_argument){(char *)(uintptr_t)data, m->strides[k], m->whole_sizes[k]};
    m->access[k] = ACCESS_UNIT;
    return k;
}

struct ir_value *making_read(struct making *m, enum dtype type, const void *data, const int64_t *strides) {
    int k = making_operand(m, OPERAND_READ, type, data);
    int loops = m->kernel.n_par + m->kernel.n_red;
    int vector = m->kernel.kind == KERNEL_COLUMNS ? m->kernel.n_par - 1 : loops - 1;
    for (int j = 0; j < loops; j++) {
        m->strides[k][j] = strides[j];
        if (strides[j]) m->operands[k].uses |= 1u << j;
    }
    if (loops > 0)
        m->access[k] = strides[vector] == 0                  ? ACCESS_UNIFORM
                       : strides[vector] == dtype_size(type) ? ACCESS_UNIT
                                                             : ACCESS_STRIDED;
    return body_leaf(&m->maker->arena, m->body, OP_read, type, k);
}

int making_whole(struct making *m, enum dtype type, const void *data, int rank, const int64_t *sizes) {
    int k = making_operand(m, OPERAND_WHOLE, type, data);
    m->operands[k].rank = rank;
    int64_t stride = dtype_size(type);
    for (int d = rank - 1; d >= 0; d--) {
        m->whole_sizes[k][d] = sizes[d];
        m->strides[k][d] = stride;
        stride *= sizes[d];
    }
    return k;
}

struct ir_value *making_op(struct making *m, struct ir_region *at, enum op op, enum dtype type, struct ir_value *a,
                           struct ir_value *b, struct ir_value *c) {
    struct ir_value *args[] = {a, b, c};
    return body_op(&m->maker->arena, at, op, type, c ? 3 : b ? 2 : 1, args, nowhere);
}

struct ir_value *making_load(struct making *m, struct ir_region *at, int whole, struct ir_value *i,
                             struct ir_value *j) {
    struct ir_value *args[] = {i, j};
    struct ir_value *load = body_op(&m->maker->arena, at, OP_load, m->operands[whole].type, j ? 2 : 1, args, nowhere);
    load->imm.i = whole;
    return load;
}

struct ir_value *making_result(struct making *m, struct ir_region *at, struct ir_value *of, int k, enum dtype type) {
    struct ir_value *result = body_op(&m->maker->arena, at, OP_result, type, 1, &of, nowhere);
    result->imm.i = k;
    return result;
}

void making_store(struct making *m, struct ir_value *value, void *data) {
    int k = making_operand(m, OPERAND_WRITE, value->type, data);
    struct ir_region *at = m->epilogue ? m->epilogue : m->body;
    body_op(&m->maker->arena, at, OP_store, TY_NONE, 1, &value, nowhere)->imm.i = k;
}

struct ir_value *making_reduce(struct making *m, enum reduce_op op, struct ir_value *operand, struct ir_value *count) {
    struct kernel_reduction *r = &m->reductions[m->kernel.n_reductions++];
    bool arg = op >= REDUCE_ARGMIN && op <= REDUCE_NANARGMAX;
    *r = (struct kernel_reduction){op, arg ? TY_I64 : op == REDUCE_VAR ? TY_F64 : operand->type, m->body->n_results};
    struct ir_value *results[2 * MAKER_REDUCTIONS];
    int n = m->body->n_results;
    if (n) memcpy(results, m->body->results, (size_t)n * sizeof *results);
    results[n++] = operand;
    if (count) results[n++] = count;
    body_set_results(&m->maker->arena, m->body, n, results);
    if (operand->type == TY_F32) m->kernel.lanes = 64;
    enum dtype types[MAKER_REDUCTIONS];
    for (int i = 0; i < m->kernel.n_reductions; i++) types[i] = m->reductions[i].type;
    struct ir_region *old = m->epilogue, *fresh = body_region(&m->maker->arena, m->kernel.n_reductions, types);
    if (old)
        for (int i = 0; i < old->n_params; i++) fresh->params[i] = old->params[i];
    m->epilogue = fresh;
    return fresh->params[fresh->n_params - 1];
}

void making_compile(struct making *m, struct cpu_engine *engine, struct kernel_code *code) {
    m->kernel.body = *m->body;
    int n = body_number(&m->kernel.body);
    if (m->epilogue) {
        m->kernel.epilogue = *m->epilogue;
        body_number(&m->kernel.epilogue);
    }
    (void)n;
    struct cpu_variant variant = {.access = m->access, .nontemporal = m->nontemporal, .single_row = m->single_row};
    if (!cpu_kernel_compile(engine, &m->kernel, &variant, code, &m->maker->why))
        fail_msg("%s", strbuf_text(&m->maker->why));
}

void making_call(struct making *m, const struct kernel_code *code, int pieces) {
    struct kernel_call call = {m->arguments, m->extents, m->sizes, &m->watch};
    int64_t par = 1, red = 1;
    for (int j = 0; j < m->kernel.n_par; j++) par *= m->extents[j];
    for (int j = 0; j < m->kernel.n_red; j++) red *= m->extents[m->kernel.n_par + j];
    if (m->kernel.kind != KERNEL_LANES) {
        for (int p = 0; p < pieces; p++) code->range(&call, par * p / pieces, par * (p + 1) / pieces);
        return;
    }
    int64_t blocks = (red + code->block - 1) / code->block;
    char *partials = malloc((size_t)(blocks + 1) * code->state_bytes);
    for (int64_t row = 0; row < par; row++) {
        for (int p = 0; p < pieces; p++) {
            int64_t begin = blocks * p / pieces, end = blocks * (p + 1) / pieces;
            code->blocks(&call, row, begin, end, partials + (size_t)begin * code->state_bytes);
        }
        code->finish(&call, row, blocks, partials);
    }
    free(partials);
}

void making_run(struct making *m, struct cpu_engine *engine, int pieces) {
    struct kernel_code code;
    making_compile(m, engine, &code);
    making_call(m, &code, pieces);
    cpu_kernel_free(engine, &code);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

int maker_grid(enum dtype type, union scalar *out, int capacity) {
    static const double reals[] = {0.0,
                                   -0.0,
                                   1,
                                   -1,
                                   0.5,
                                   -0.5,
                                   1.5,
                                   -1.5,
                                   2.5,
                                   -2.5,
                                   3,
                                   -3,
                                   7.25,
                                   -7.25,
                                   100.125,
                                   -100.125,
                                   127,
                                   128,
                                   255,
                                   256,
                                   32767.5,
                                   65535.75,
                                   1e5,
                                   -1e5,
                                   2147483647,
                                   2147483648.0,
                                   -2147483649.0,
                                   4294967295.0,
                                   1e10,
                                   -1e10,
                                   9.2e18,
                                   9223372036854775808.0,
                                   1.8e19,
                                   18446744073709551616.0,
                                   1e20,
                                   -1e20,
                                   1e30,
                                   3e38,
                                   1e-3,
                                   -1e-3,
                                   1e-30,
                                   1e-45,
                                   -1e-45,
                                   1e-310,
                                   1e300,
                                   -1e300,
                                   5e-324,
                                   1.7e308,
                                   0.1,
                                   0.3333333333};
    int n = 0;
    if (dtype_is_float(type)) {
        double special[] = {INFINITY, -INFINITY, NAN, -NAN};
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < (pass ? sizeof special : sizeof reals) / sizeof(double) && n < capacity; i++) {
                double x = pass ? special[i] : reals[i];
                if (type == TY_F32)
                    out[n++] = (union scalar){.f32 = (float)x};
                else
                    out[n++] = (union scalar){.f64 = x};
            }
        return n;
    }
    if (type == TY_BOOL) {
        out[0].i = 0, out[1].i = 1;
        return 2;
    }
    int bits = 8 * dtype_size(type);
    int64_t low = dtype_is_signed(type) ? (int64_t)(UINT64_MAX << (bits - 1)) : 0;
    int64_t high = dtype_is_signed(type) ? ~low : (int64_t)(UINT64_MAX >> (64 - bits));
    int64_t values[] = {0,
                        1,
                        2,
                        3,
                        5,
                        7,
                        8,
                        13,
                        31,
                        33,
                        63,
                        65,
                        100,
                        -1,
                        -2,
                        -3,
                        -7,
                        -100,
                        low,
                        low + 1,
                        low + 2,
                        high,
                        high - 1,
                        high / 2,
                        high / 3 + 1,
                        0x5555555555555555,
                        0x123456789abcdef0};
    for (size_t i = 0; i < sizeof values / sizeof *values && n < capacity; i++) {
        char room[8];
        maker_put(type, room, 0, (union scalar){.i = values[i]});
        out[n++] = maker_get(type, room, 0);
    }
    return n;
}

void maker_put(enum dtype type, void *array, int64_t i, union scalar value) {
    int size = dtype_size(type);
    if (type == TY_F32)
        memcpy((char *)array + 4 * i, &value.f32, 4);
    else
        memcpy((char *)array + size * i, &value.u, (size_t)size); /* little-endian */
}

union scalar maker_get(enum dtype type, const void *array, int64_t i) {
    int size = dtype_size(type);
    union scalar value = {0};
    if (type == TY_F32) {
        memcpy(&value.f32, (const char *)array + 4 * i, 4);
        return value;
    }
    memcpy(&value.u, (const char *)array + size * i, (size_t)size);
    int unused = 64 - 8 * size;
    if (dtype_is_signed(type)) value.i = (int64_t)(value.u << unused) >> unused;
    return value;
}

bool maker_same(enum dtype type, union scalar a, union scalar b) {
    if (type == TY_F64) return (isnan(a.f64) && isnan(b.f64)) || a.u == b.u;
    if (type == TY_F32) {
        uint32_t x, y;
        memcpy(&x, &a.f32, 4);
        memcpy(&y, &b.f32, 4);
        return (isnan(a.f32) && isnan(b.f32)) || x == y;
    }
    return a.u == b.u;
}

static double math_f1(enum op op, double x, void *host) {
    return cpu_math_f64(host, op, x, 1);
}
static double math_f2(enum op op, double x, double y, void *host) {
    return cpu_math_f64(host, op, x, y);
}
static float math_f1f(enum op op, float x, void *host) {
    return cpu_math_f32(host, op, x, 1);
}
static float math_f2f(enum op op, float x, float y, void *host) {
    return cpu_math_f32(host, op, x, y);
}

struct eval_math maker_math(struct cpu_engine *engine) {
    return (struct eval_math){math_f1, math_f2, math_f1f, math_f2f, engine};
}
