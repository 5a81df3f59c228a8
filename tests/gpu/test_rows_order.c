/* test_rows_order.c: kernels that run row by row as one (ptx_emit_rows) on the fake device, against the same kernels
 * one after the other: every bit, at sizes where the way through them changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/ptx/rows_cases.h"
#include "gpu/kernel_device.h"

enum { ARCH = 90, GUARD = 64, LOOPS = 4, SHARED = 90000 };

/* --- arrays: [0]: of the kernels one by one; [1]: of the one kernel -------------------------------------------------
 */

struct array {
    enum dtype type;
    int64_t elements, shift; /* shift: elements from where memory is aligned */
    size_t bytes;
    CUdeviceptr device[2];
    char *host[2];
};

static void put(enum dtype type, char *at, double x) {
    switch (type) {
    case TY_F32: *(float *)at = (float)x; break;
    case TY_F64: *(double *)at = x; break;
    case TY_I32: *(int32_t *)at = (int32_t)(x * 100); break;
    case TY_I64: *(int64_t *)at = (int64_t)(x * 100); break;
    case TY_BOOL: *at = x > 0; break;
    default: fail_msg("no values of %s", dtype_name(type));
    }
}

/* All arrays that are read have the same values: what two kernels read may be one array in a program. */
static struct array *array_new(enum dtype type, int64_t elements, int64_t shift, bool read) {
    struct array *a = ARENA_NEW(&arena, struct array);
    const int size = dtype_size(type);
    *a = (struct array){.type = type, .elements = elements, .shift = shift};
    a->bytes = (size_t)(elements + shift + 2 * GUARD) * (size_t)size;
    for (int which = 0; which < 2; which++) {
        uint64_t random = 88172645463325252u;
        a->host[which] = arena_alloc(&arena, a->bytes);
        memset(a->host[which], 0xEE, a->bytes);
        for (int64_t i = 0; i < elements && read; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            put(type, a->host[which] + (GUARD + shift + i) * size, (double)(int64_t)(random >> 32) / 0x1p30 - 2);
        }
        MUST(cuMemAlloc_v2(&a->device[which], a->bytes));
        MUST(cuMemcpyHtoD_v2(a->device[which], a->host[which], a->bytes));
    }
    return a;
}

static uint64_t array_address(const struct array *a, int which) {
    return a->device[which] + (uint64_t)((GUARD + a->shift) * dtype_size(a->type));
}

/* --- how the stages of a case lie in memory
 * --------------------------------------------------------------------------- */

struct operand {
    struct array *array;
    int64_t offset, stride[LOOPS]; /* elements */
};

struct job {
    struct rows_case one;
    int64_t extents[ROWS_STAGES_MOST][LOOPS], heads[ROWS_STAGES_MOST];
    struct operand operands[ROWS_STAGES_MOST][ROWS_OPERANDS_MOST];
    struct array *linked[2][ROWS_OPERANDS_MOST]; /* scratch arrays, and those that are exchanged */
    int64_t inner[2][ROWS_OPERANDS_MOST];        /* elements of a row of them */
    struct array *all[ROWS_STAGES_MOST * ROWS_OPERANDS_MOST];
    int n_all;
};

struct layout {
    int64_t rows[2]; /* the outer dimensions */
    int64_t inner[2];
    int64_t shift, pad; /* pad: elements between the rows of what is read */
    bool aligned, short_rows;
};

static int loops_of(const struct ir_kernel *kernel) {
    return kernel->n_par + kernel->n_red;
}

static void set_extents(struct job *job, const struct layout *l, int i) {
    const struct ir_kernel *kernel = job->one.stages[i].kernel;
    const int outer = job->one.outer, loops = loops_of(kernel);
    for (int j = 0; j < loops; j++)
        job->extents[i][j] = j < outer                ? l->rows[outer == 1 ? 1 : j]
                             : job->one.one_column[i] ? 1
                                                      : l->inner[loops - outer == 1 ? 1 : j - outer];
}

static void link_operand(struct job *job, int i, int k, struct operand *o) {
    const struct rows_case *one = &job->one;
    const struct ir_kernel *kernel = one->stages[i].kernel;
    const struct kernel_operand *operand = &kernel->operands[k];
    const int kind = one->scratch[i][k] < 0, number = kind ? one->exchange[i][k] : one->scratch[i][k];
    const int loops = loops_of(kernel), outer = one->outer;
    int64_t rows = 1, inner = 1;
    for (int j = 0; j < outer; j++) rows *= job->extents[i][j];
    if (operand->kind == OPERAND_WRITE) {
        for (int j = outer; j < kernel->n_par; j++) inner *= job->extents[i][j];
        job->linked[kind][number] = array_new(operand->type, rows * inner, 0, false);
        job->inner[kind][number] = inner;
        if (kind) job->all[job->n_all++] = job->linked[kind][number];
    }
    o->array = job->linked[kind][number];
    inner = job->inner[kind][number];
    int64_t stride = inner;
    for (int j = outer - 1; j >= 0; j--) o->stride[j] = stride, stride *= job->extents[i][j];
    if (inner == 1 || loops == outer) return;
    stride = 1;
    for (int j = loops - 1; j >= outer; j--) o->stride[j] = stride, stride *= job->extents[i][j];
    if (one->access[i][k] != PTX_STRIDED) return;
    o->offset = job->extents[i][loops - 1] - 1; /* from the last one to the first one */
    o->stride[loops - 1] = -1;
}

static void own_operand(struct job *job, const struct layout *l, int i, int k, struct operand *o) {
    const struct ir_kernel *kernel = job->one.stages[i].kernel;
    const struct kernel_operand *operand = &kernel->operands[k];
    const bool written = operand->kind == OPERAND_WRITE;
    const int loops = written ? kernel->n_par : loops_of(kernel);
    const enum ptx_access access = job->one.access[i][k];
    int64_t size = access == PTX_STRIDED ? 2 : 1;
    for (int j = loops - 1; j >= 0; j--) {
        if (!written && !(operand->uses >> j & 1)) continue;
        if (!written && j == loops - 1 && access == PTX_UNIFORM && kernel->kind == KERNEL_MAP) continue;
        if (!written && j < job->one.outer && k == 3) continue; /* the same row for all */
        o->stride[j] = size;
        size *= job->extents[i][j];
        if (!written && j == job->one.outer) size += l->pad;
    }
    o->array = job->all[job->n_all++] = array_new(operand->type, size + 1, l->shift, !written);
}

/* Whether vectors do, and where they begin. */
static bool align(const struct job *job, int i, int64_t *head) {
    const struct ir_kernel *kernel = job->one.stages[i].kernel;
    const int vector = ptx_vector_of(kernel, job->one.access[i]), last = loops_of(kernel) - 1;
    int64_t residue = -1;
    *head = 0;
    if (vector == 1) return false;
    for (int k = 0; k < kernel->n_operands; k++) {
        const struct operand *o = &job->operands[i][k];
        if (job->one.access[i][k] != PTX_UNIT) continue;
        const int64_t from = ((job->one.scratch[i][k] >= 0 ? 0 : o->array->shift) + o->offset) % vector;
        if (residue >= 0 && from != residue) return false;
        residue = from;
        for (int j = 0; j < last; j++)
            if (o->stride[j] % vector) return false;
    }
    if (kernel->kind != KERNEL_MAP) return residue == 0;
    *head = residue > 0 ? vector - residue : 0;
    return residue >= 0;
}

static void make_job(struct job *job, const char *name, const struct layout *l) {
    memset(job, 0, sizeof *job);
    rows_read(&arena, name, &job->one);
    for (int i = 0; i < job->one.n_stages; i++) {
        const struct ir_kernel *kernel = job->one.stages[i].kernel;
        set_extents(job, l, i);
        for (int k = 0; k < kernel->n_operands; k++) {
            struct operand *o = &job->operands[i][k];
            if (job->one.scratch[i][k] >= 0 || job->one.exchange[i][k] >= 0)
                link_operand(job, i, k, o);
            else
                own_operand(job, l, i, k, o);
        }
        struct ptx_variant *variant = &job->one.variants[i];
        variant->aligned = align(job, i, &job->heads[i]) && l->aligned;
        if (!variant->aligned) job->heads[i] = 0;
        variant->short_rows = kernel->kind == KERNEL_LANES && l->short_rows;
    }
}

/* --- launching ------------------------------------------------------------------------------------------------------
 */

struct made {
    CUmodule module;
    CUfunction function;
};

/* What was compiled: few texts, many sizes. */
static struct made compile(const struct ptx_kernel *kernel) {
    struct made made;
    struct strbuf why;
    strbuf_init(&why, &arena);
    const void *image;
    size_t size;
    if (!ptx_compile(compiler, kernel->source, kernel->name, ARCH, false, PTX_FORMAT_CUBIN, &arena, &image, &size,
                     &why))
        fail_msg("%s", strbuf_text(&why));
    MUST(cuModuleLoadData(&made.module, image));
    MUST(cuModuleGetFunction(&made.function, made.module, kernel->name));
    return made;
}

static uint64_t value_of(const struct job *job, int i, const struct ptx_parameter *p, const struct ptx_grid *grid,
                         bool together, const CUdeviceptr *room) {
    const struct operand *o = p->kind == PTX_PARAM_GRID ? NULL : &job->operands[i][p->a];
    switch (p->kind) {
    case PTX_PARAM_DATA: {
        const uint64_t offset = (uint64_t)(o->offset * dtype_size(job->one.stages[i].kernel->operands[p->a].type));
        return offset + (together && job->one.scratch[i][p->a] >= 0 ? 0 : array_address(o->array, together));
    }
    case PTX_PARAM_VALUE: return *(uint8_t *)(o->array->host[0] + GUARD + o->array->shift);
    case PTX_PARAM_STRIDE: return (uint64_t)o->stride[p->b];
    case PTX_PARAM_EXTENT: return (uint64_t)job->extents[i][p->a];
    case PTX_PARAM_NUMBER: return (uint64_t)job->extents[i][loops_of(job->one.stages[i].kernel) - 1];
    case PTX_PARAM_GRID: return (uint64_t)grid->value[p->a];
    case PTX_PARAM_PARTIALS: return room[0] + GUARD;
    case PTX_PARAM_COUNTERS: return room[1] + GUARD;
    default: fail_msg("parameter of kind %d", (int)p->kind); return 0;
    }
}

static CUdeviceptr room_new(size_t bytes, int fill) {
    CUdeviceptr room;
    char *host = arena_alloc(&arena, bytes + 2 * GUARD);
    memset(host, 0xEE, bytes + 2 * GUARD);
    memset(host + GUARD, fill, bytes);
    MUST(cuMemAlloc_v2(&room, bytes + 2 * GUARD));
    MUST(cuMemcpyHtoD_v2(room, host, bytes + 2 * GUARD));
    return room;
}

static void check_room(CUdeviceptr room, size_t bytes) {
    char *host = arena_alloc(&arena, bytes + 2 * GUARD);
    MUST(cuMemcpyDtoH_v2(host, room, bytes + 2 * GUARD));
    for (int i = 0; i < GUARD; i++) {
        assert_int_equal((unsigned char)host[i], 0xEE);
        assert_int_equal((unsigned char)host[bytes + GUARD + (size_t)i], 0xEE);
    }
    MUST(cuMemFree_v2(room));
}

/* Stage `stage` alone, or all of them (-1). */
static void launch(const struct job *job, const struct ptx_kernel *kernel, int stage, const struct ptx_grid *grid) {
    const struct made made = compile(kernel);
    const CUdeviceptr room[2] = {room_new(grid->partial_bytes, 0xEE), room_new(4 * (size_t)grid->n_counters, 0)};
    uint64_t *values = ARENA_ARRAY(&arena, uint64_t, kernel->n_parameters + 1);
    void **pointers = ARENA_ARRAY(&arena, void *, kernel->n_parameters + 1);
    assert_false(kernel->indirect);
    for (int p = 0; p < kernel->n_parameters; p++) {
        const struct ptx_parameter *parameter = &kernel->parameters[p];
        values[p] = value_of(job, stage < 0 ? parameter->stage : stage, parameter, grid, stage < 0, room);
        pointers[p] = &values[p];
    }
    if (grid->shared_bytes)
        MUST(cuFuncSetAttribute(made.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, grid->shared_bytes));
    MUST(cuLaunchKernel(made.function, grid->grid[0], grid->grid[1], grid->grid[2], grid->block[0], grid->block[1],
                        grid->block[2], (unsigned)grid->shared_bytes, NULL, pointers, NULL));
    MUST(cuCtxSynchronize());
    check_room(room[0], grid->partial_bytes);
    check_room(room[1], 4 * (size_t)grid->n_counters);
    MUST(cuModuleUnload(made.module));
}

static void run_stages(struct job *job, const struct ptx_limits *limits) {
    for (int i = 0; i < job->one.n_stages; i++) {
        struct ptx_kernel kernel;
        struct ptx_grid grid;
        struct strbuf why;
        strbuf_init(&why, &arena);
        if (!ptx_emit(&arena, job->one.stages[i].kernel, &job->one.variants[i], &kernel, &why))
            fail_msg("%s", strbuf_text(&why));
        ptx_shape(&kernel, job->extents[i], job->heads[i], limits, &grid);
        launch(job, &kernel, i, &grid);
    }
}

static bool run_rows(struct job *job, int shared, const struct ptx_limits *limits) {
    const struct ptx_kernel kernel = rows_emit(&arena, &job->one);
    const int64_t *extents[ROWS_STAGES_MOST];
    struct ptx_grid grid;
    for (int i = 0; i < job->one.n_stages; i++) extents[i] = job->extents[i];
    if (!ptx_shape_rows(&kernel, extents, job->heads, shared, limits, &grid)) return false;
    assert_true(grid.shared_bytes <= shared);
    assert_int_equal(grid.n_counters, 0);
    launch(job, &kernel, -1, &grid);
    return true;
}

static void compare(const struct job *job, const struct layout *l, int shared) {
    for (int n = 0; n < job->n_all; n++) {
        struct array *a = job->all[n];
        const size_t size = (size_t)dtype_size(a->type), from = (size_t)(GUARD + a->shift) * size;
        for (int which = 0; which < 2; which++) MUST(cuMemcpyDtoH_v2(a->host[which], a->device[which], a->bytes));
        for (size_t i = 0; i < from; i++) assert_int_equal((unsigned char)a->host[1][i], 0xEE);
        for (size_t i = a->bytes - GUARD * size; i < a->bytes; i++)
            assert_int_equal((unsigned char)a->host[1][i], 0xEE);
        if (!memcmp(a->host[0], a->host[1], a->bytes)) continue;
        size_t at = from;
        while (!memcmp(a->host[0] + at, a->host[1] + at, size)) at += size;
        fail_msg("%s, %lld x %lld rows of %lld x %lld, shift %lld, %d bytes: element %zu of array %d differs",
                 job->one.name, (long long)l->rows[0], (long long)l->rows[1], (long long)l->inner[0],
                 (long long)l->inner[1], (long long)l->shift, shared, (at - from) / size, n);
    }
}

static void free_arrays(const struct job *job) {
    for (int which = 0; which < 2; which++) {
        for (int n = 0; n < job->n_all; n++) MUST(cuMemFree_v2(job->all[n]->device[which]));
        for (int s = 0; s < job->one.n_scratch; s++) MUST(cuMemFree_v2(job->linked[0][s]->device[which]));
    }
}

static const struct ptx_limits devices[] = {{1, 256}, {4, 512}};

static void check(const char *name, const struct layout *l, int shared, int device) {
    static struct job job;
    make_job(&job, name, l);
    run_stages(&job, &devices[device]);
    /* A large device would rather have the kernels one by one. */
    if (!run_rows(&job, shared, &devices[device]) && (!device || !run_rows(&job, shared, &devices[0])))
        fail_msg("%s: %lld rows of %lld are refused", name, (long long)l->rows[1], (long long)l->inner[1]);
    compare(&job, l, shared);
    free_arrays(&job);
    kernel_device_clear(NULL);
}

/* --- sizes ----------------------------------------------------------------------------------------------------------
 */

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const int64_t lengths[] = {1, 3, 16, 1000, 1024, 1025, 4096, 4097, 9000, 20000};

/* In shared memory and in the thread block's piece of device memory, with vectors and without. */
static void over_sizes(const char *name) {
    for (int i = 0; i < COUNT(lengths); i++) {
        const int64_t most = lengths[i] <= 16 ? 40 : lengths[i] <= 1025 ? 17 : 5;
        int turn = i;
        for (int64_t rows = 1; rows <= most; rows += rows < 6 ? 1 + (lengths[i] > 16) : 11, turn++) {
            struct layout l = {.rows = {1, rows}, .inner = {1, lengths[i]}, .pad = turn % 2 ? 0 : 16 - lengths[i] % 16};
            l.aligned = turn % 3 != 2;
            l.shift = turn % 4 == 3 ? 1 : 0;
            check(name, &l, turn % 3 == 1 ? 0 : SHARED, rows > 2 && turn % 2);
        }
    }
}

static void softmax(void **state) {
    (void)state;
    over_sizes("softmax");
}

static void softmax_f64(void **state) {
    (void)state;
    over_sizes("softmax_f64");
}

static void layer_norm(void **state) {
    (void)state;
    over_sizes("layer_norm");
}

static void log_softmax(void **state) {
    (void)state;
    over_sizes("log_softmax");
}

/* 16 threads a row. */
static void short_rows(void **state) {
    (void)state;
    static const int64_t some[] = {1, 3, 15, 16, 64, 100, 1000, 1024};
    for (int i = 0; i < COUNT(some); i++)
        for (int64_t rows = 1; rows <= 40; rows += rows < 15 ? 14 : 1 + i * 3) {
            const struct layout l = {
                .rows = {1, rows}, .inner = {1, some[i]}, .aligned = i % 2, .short_rows = true, .pad = i};
            check("log_softmax", &l, SHARED, 0);
        }
}

static void two_outer_dimensions(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 16}, {5, 3, 1000}, {2, 2, 4097}, {7, 5, 3}, {2, 1, 9000}};
    for (int i = 0; i < COUNT(sizes); i++) {
        const struct layout l = {
            .rows = {sizes[i][0], sizes[i][1]}, .inner = {1, sizes[i][2]}, .pad = i, .short_rows = sizes[i][2] < 500};
        check("planes", &l, i % 2 ? 0 : SHARED, 0);
    }
}

static void two_inner_dimensions(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {5, 3, 16}, {9, 4, 12}, {3, 7, 100}, {4, 30, 64}, {2, 90, 101}};
    for (int i = 0; i < COUNT(sizes); i++)
        for (int shift = 0; shift < 2; shift++) {
            const struct layout l = {
                .rows = {1, sizes[i][0]}, .inner = {sizes[i][1], sizes[i][2]}, .shift = shift, .aligned = true};
            check("tiles", &l, i % 3 == 1 ? 0 : SHARED, i % 2 && sizes[i][0] > 3);
        }
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(softmax, kernel_device_clear),
        cmocka_unit_test_teardown(softmax_f64, kernel_device_clear),
        cmocka_unit_test_teardown(layer_norm, kernel_device_clear),
        cmocka_unit_test_teardown(log_softmax, kernel_device_clear),
        cmocka_unit_test_teardown(short_rows, kernel_device_clear),
        cmocka_unit_test_teardown(two_outer_dimensions, kernel_device_clear),
        cmocka_unit_test_teardown(two_inner_dimensions, kernel_device_clear),
    };
    return cmocka_run_group_tests(tests, kernel_device_open, kernel_device_close);
}
