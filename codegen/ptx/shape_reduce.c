/* shape_reduce.c: how many thread blocks reduce what.
 *
 * A piece of work ("item") is a segment of a row (a tile of columns): 2^span groups, a subtree of the row's tree, or
 * several whole rows. If there are rows enough to keep the device busy a row is one segment, and its result is there
 * when the thread block has passed over it. Otherwise segments leave their states in memory, and the last thread block
 * of a row to finish joins them. More items than fit on the device at once do no harm: they make up for thread blocks
 * that are slower than others. */
#include "codegen/ptx/emit_reduce.h"

#include <string.h>

enum {
    SHAPE_MOST_BLOCKS = 16, /* short rows: times what the device holds */
    SHAPE_ROUNDS = 4,       /* COLUMNS: of joining the segments' states, if that makes SHAPE_SEGMENTS */
    SHAPE_SEGMENTS = 256,
};

static int shape_log2(int64_t n) { /* the smallest k with 2^k >= n */
    int k = 0;
    while (k < 62 && (int64_t)1 << k < n) k++;
    return k;
}

static int64_t shape_block(int lanes) {
    return (int64_t)REDUCE_RUNS * REDUCE_RUN * lanes;
}

int reduce_teams(int lanes, int64_t length) {
    const int64_t block = shape_block(lanes);
    return length <= block ? 0 : length <= 2 * block ? 1 : 2;
}

static int64_t shape_resident(const struct ptx_limits *limits) {
    const int64_t each = limits->threads_per_multiprocessor / REDUCE_THREADS;
    const int64_t blocks = (each > 0 ? each : 1) * limits->multiprocessors;
    return blocks > 0 ? blocks : 1;
}

/* Rows of `groups` groups: how many of them, as a power of two, make a segment, so that there are at least `wanted`
 * items if possible, and not more than `most` segments a row. */
static int shape_span(int64_t rows, int64_t groups, int64_t wanted, int64_t most) {
    const int whole = shape_log2(groups);
    if (rows >= wanted || rows > PTX_MAX_COUNTERS || groups <= 1) return whole;
    int span = 0;
    while (span < whole && rows * cu_ceil(groups, (int64_t)1 << (span + 1)) >= wanted) span++;
    while (span < whole && cu_ceil(groups, (int64_t)1 << span) > most) span++;
    return span;
}

/* A thread block for each item; more than fit along x go along y. */
static void shape_blocks(struct ptx_grid *out, int64_t items) {
    const int64_t along_y = cu_ceil(items, INT32_MAX);
    out->grid[0] = (unsigned)cu_ceil(items, along_y);
    out->grid[1] = (unsigned)along_y;
}

static void shape_lanes(const struct ptx_kernel *kernel, const int64_t *extents, const struct ptx_limits *limits,
                        struct ptx_grid *out) {
    const int64_t rows = cu_product(extents, 0, kernel->n_par),
                  length = cu_product(extents, kernel->n_par, kernel->n_par + kernel->n_red);
    const int64_t blocks = cu_ceil(length, shape_block(kernel->lanes)), resident = shape_resident(limits);
    int teams = 0, span = 0;
    int64_t sets, segments = 1;
    if (kernel->short_rows) {
        sets = cu_ceil(rows, REDUCE_THREADS / REDUCE_RUN_THREADS);
    } else {
        teams = reduce_teams(kernel->lanes, length);
        sets = cu_ceil(rows, REDUCE_TEAMS >> teams);
        const int64_t groups = cu_ceil(blocks, (int64_t)1 << teams);
        span = shape_span(rows, groups, 2 * resident, REDUCE_THREADS * reduce_chunk(kernel->state_bytes));
        segments = groups > 1 ? cu_ceil(groups, (int64_t)1 << span) : 1;
    }
    const int64_t items = sets * segments;
    shape_blocks(out,
                 kernel->short_rows && items > resident * SHAPE_MOST_BLOCKS ? resident * SHAPE_MOST_BLOCKS : items);
    out->value[LANES_ROWS] = rows;
    out->value[LANES_LENGTH] = length;
    out->value[LANES_ITEMS] = items;
    out->value[LANES_SEGMENTS] = segments;
    out->value[LANES_TEAMS] = teams;
    out->value[LANES_SPAN] = span;
    if (segments == 1) return;
    out->partial_bytes = (size_t)items * kernel->state_bytes;
    out->n_counters = (int)rows;
}

static void shape_columns(const struct ptx_kernel *kernel, const int64_t *extents, const struct ptx_limits *limits,
                          struct ptx_grid *out) {
    const int last = kernel->n_par - 1;
    const int64_t columns = extents[last], outers = cu_product(extents, 0, last);
    const int64_t length = cu_product(extents, kernel->n_par, kernel->n_par + kernel->n_red),
                  parts = cu_ceil(length, REDUCE_COLUMN_RUN);
    const int64_t resident = shape_resident(limits), wanted = resident > 1 ? resident / 2 : 1;
    int across = shape_log2(cu_ceil(columns, kernel->vector));
    if (across > 5) across = 5;
    int runs = shape_log2(parts);
    if (runs > 8 - across) runs = 8 - across;
    const int64_t tiles = outers * cu_ceil(columns, (int64_t)kernel->vector << across);
    const int64_t sets = cu_ceil(tiles, (int64_t)1 << (8 - across - runs)), groups = cu_ceil(parts, (int64_t)1 << runs);
    const int64_t round = (int64_t)REDUCE_CHUNK << runs;
    const int64_t most = SHAPE_ROUNDS * round > SHAPE_SEGMENTS ? SHAPE_ROUNDS * round : SHAPE_SEGMENTS;
    const int span = shape_span(sets, groups, wanted, most);
    const int64_t segments = groups > 1 ? cu_ceil(groups, (int64_t)1 << span) : 1, items = sets * segments;
    int levels = span;
    if (segments > 1 && shape_log2(cu_ceil(segments, round)) > levels) levels = shape_log2(cu_ceil(segments, round));
    shape_blocks(out, items);
    out->value[COLUMNS_LENGTH] = length;
    out->value[COLUMNS_ITEMS] = items;
    out->value[COLUMNS_SEGMENTS] = segments;
    out->value[COLUMNS_ACROSS] = across;
    out->value[COLUMNS_RUNS] = runs;
    out->value[COLUMNS_SPAN] = span;
    out->value[COLUMNS_LEVELS] = levels;
    const int stacked = reduce_stacked((size_t)kernel->vector * kernel->state_bytes);
    const int64_t states = (segments > 1 ? items : 0) + (levels > stacked ? items * (levels - stacked) : 0);
    out->partial_bytes =
        (size_t)states * (size_t)(REDUCE_THREADS >> runs) * (size_t)kernel->vector * kernel->state_bytes;
    out->n_counters = segments > 1 ? (int)sets : 0;
}

void cu_shape_reduce(const struct ptx_kernel *kernel, const int64_t *extents, const struct ptx_limits *limits,
                     struct ptx_grid *out) {
    memset(out, 0, sizeof *out);
    out->grid[0] = out->grid[1] = out->grid[2] = 1;
    out->block[0] = (unsigned)kernel->threads;
    out->block[1] = out->block[2] = 1;
    if (kernel->kind == KERNEL_LANES)
        shape_lanes(kernel, extents, limits, out);
    else
        shape_columns(kernel, extents, limits, out);
}

/* --- vectors ------------------------------------------------------------------------------------------------------ */

int cu_vector_reduce(const struct ir_kernel *kernel, const enum ptx_access *access) {
    const bool columns = kernel->kind == KERNEL_COLUMNS;
    const int loop = columns ? kernel->n_par - 1 : kernel->n_par + kernel->n_red - 1;
    int widest = 0;
    for (int k = 0; k < kernel->n_operands; k++) {
        const struct kernel_operand *operand = &kernel->operands[k];
        if (operand->kind == OPERAND_WHOLE || access[k] != PTX_UNIT || !(operand->uses >> loop & 1)) continue;
        if (dtype_size(operand->type) > widest) widest = dtype_size(operand->type);
    }
    if (!widest) return 1;
    if (!columns) return reduce_vector(kernel);
    return widest < 4 ? 4 : 16 / widest;
}
