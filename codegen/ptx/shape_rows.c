/* shape_rows.c: how many rows a thread block takes at a time, and where it keeps what its stages leave for each other.
 *
 * A set has as many rows as the stage takes that takes most of them at a time, or a few times as many where rows are so
 * short that barriers would be most of the work; fewer where they leave multiprocessors idle, or their scratch too
 * large. It is in shared memory if it fits; else in a piece of device memory, for as many thread blocks only as leave
 * all pieces in the cache. */
#include "codegen/ptx/emit_reduce.h"

#include "ir/plan.h"

_Static_assert((int)ROWS_STAGES + (int)ROWS_EACH * (int)PLAN_MAX_ROWS <= (int)PTX_GRID_VALUES, "values of all stages");

enum {
    SHAPE_ROWS_WORK = 4096,      /* elements of a set that make barriers worth it */
    SHAPE_ROWS_ALONE = 8192,     /* that a thread block does as fast as several kernels would start */
    SHAPE_ROWS_CACHE = 32 << 20, /* bytes of scratch in device memory */
    SHAPE_ROWS_MOST = 16,        /* thread blocks, times what the device holds: more take several sets */
};

struct shape {
    const struct ptx_kernel *kernel;
    const int64_t *const *extents;
    int64_t rows, set, elements; /* elements: of a row, in the stage that has most */
};

/* Bytes of all scratch arrays: as define_scratch of emit_rows.c lays them out. */
static int64_t rows_scratch(const struct shape *shape, int64_t set) {
    int64_t bytes = 0;
    for (int s = 0; s < shape->kernel->n_scratch; s++) {
        const struct ptx_scratch *scratch = &shape->kernel->scratch[s];
        const int64_t row = cu_product(shape->extents[scratch->stage], shape->kernel->outer,
                                       shape->kernel->stages[scratch->stage].n_par);
        bytes += cu_ceil(set * row * scratch->size, ROWS_ALIGNMENT) * ROWS_ALIGNMENT;
    }
    return bytes;
}

static void rows_measure(struct shape *shape) {
    const int outer = shape->kernel->outer;
    shape->rows = cu_product(shape->extents[0], 0, outer);
    shape->set = 1;
    for (int i = 0; i < shape->kernel->n_stages; i++) {
        const struct ptx_kernel *stage = &shape->kernel->stages[i];
        const int64_t elements = cu_product(shape->extents[i], outer, stage->n_par + stage->n_red);
        const int at_once = stage->kind == KERNEL_MAP ? 1
                            : stage->short_rows       ? REDUCE_THREADS / REDUCE_RUN_THREADS
                                                      : REDUCE_TEAMS >> reduce_teams(stage->lanes, elements);
        if (elements > shape->elements) shape->elements = elements;
        if (at_once > shape->set) shape->set = at_once;
    }
}

/* The logarithm of the threads side by side in a line of MAP. */
static int rows_across(const struct shape *shape, int i, int64_t head) {
    const struct ptx_kernel *stage = &shape->kernel->stages[i];
    const int outer = shape->kernel->outer, last = stage->n_par - 1;
    if (last < outer) return 0;
    const int64_t lines = shape->set * cu_product(shape->extents[i], outer, last),
                  groups = (shape->extents[i][last] - head) / stage->vector;
    int across = cu_map_across(stage, groups > 0 ? groups : 1, shape->kernel->threads), log = 0;
    while (across < shape->kernel->threads && shape->kernel->threads / across > lines) across *= 2;
    while (1 << log < across) log++;
    return log;
}

static void rows_values(const struct shape *shape, const int64_t *heads, struct ptx_grid *out) {
    for (int i = 0; i < shape->kernel->n_stages; i++) {
        const struct ptx_kernel *stage = &shape->kernel->stages[i];
        int64_t *value = out->value + ROWS_STAGES + ROWS_EACH * i;
        if (stage->kind == KERNEL_MAP) {
            const int64_t columns = shape->extents[i][stage->n_par - 1];
            value[MAP_HEAD] = heads[i] < columns ? heads[i] : columns;
            value[MAP_ACROSS] = rows_across(shape, i, value[MAP_HEAD]);
        } else {
            value[LANES_LENGTH] = cu_product(shape->extents[i], stage->n_par, stage->n_par + stage->n_red);
            value[LANES_TEAMS] = reduce_teams(stage->lanes, value[LANES_LENGTH]);
        }
    }
}

static int64_t rows_multiprocessors(const struct ptx_limits *limits) {
    return limits->multiprocessors > 0 ? limits->multiprocessors : 1;
}

/* Of sets with so many elements in their longest stage, and so many bytes of scratch. */
static bool rows_suit(int64_t sets, int64_t elements, int64_t scratch, int shared, const struct ptx_limits *limits) {
    const int64_t multiprocessors = rows_multiprocessors(limits);
    if (sets < (multiprocessors + 1) / 2 && elements > SHAPE_ROWS_ALONE) return false;
    return scratch <= shared || SHAPE_ROWS_CACHE / scratch >= multiprocessors;
}

bool ptx_rows_suit(int64_t rows, int64_t elements, int64_t scratch, int shared, const struct ptx_limits *limits) {
    return rows_suit(rows, elements, scratch, shared, limits);
}

bool ptx_shape_rows(const struct ptx_kernel *kernel, const int64_t *const *extents, const int64_t *heads, int shared,
                    const struct ptx_limits *limits, struct ptx_grid *out) {
    struct shape shape = {.kernel = kernel, .extents = extents};
    *out = (struct ptx_grid){.grid = {1, 1, 1}, .block = {(unsigned)kernel->threads, 1, 1}};
    rows_measure(&shape);
    const int64_t multiprocessors = rows_multiprocessors(limits);
    int64_t each = limits->threads_per_multiprocessor / kernel->threads;
    const int64_t resident = (each > 0 ? each : 1) * multiprocessors;
    while (2 * shape.set * shape.elements <= SHAPE_ROWS_WORK && 2 * shape.set * resident <= shape.rows &&
           rows_scratch(&shape, 2 * shape.set) <= shared)
        shape.set *= 2;
    while (shape.set > 1 && (shape.rows / shape.set < multiprocessors || rows_scratch(&shape, shape.set) > shared))
        shape.set /= 2;
    const int64_t sets = cu_ceil(shape.rows, shape.set), scratch = rows_scratch(&shape, shape.set);
    if (!rows_suit(sets, shape.set * shape.elements, scratch, shared, limits)) return false;

    int64_t blocks = cu_smaller(sets, SHAPE_ROWS_MOST * resident);
    if (scratch <= shared) {
        out->shared_bytes = (int)scratch;
    } else {
        blocks = cu_smaller(cu_smaller(SHAPE_ROWS_CACHE / scratch, 2 * multiprocessors), sets);
        out->value[ROWS_APART] = scratch;
        out->partial_bytes = (size_t)(blocks * scratch);
    }
    out->grid[0] = (unsigned)blocks;
    out->value[ROWS_COUNT] = shape.rows;
    out->value[ROWS_SET] = shape.set;
    rows_values(&shape, heads, out);
    return true;
}
