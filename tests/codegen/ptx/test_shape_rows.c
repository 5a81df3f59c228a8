/* test_shape_rows.c: launches of several kernels in one: as their text reads the numbers, every element of every stage
 * is done once, scratch arrays lie within what was asked for, and rows that are few and long are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/ptx/emit_reduce.h"

static const struct ptx_limits devices[] = {{1, 256}, {4, 1024}, {132, 2048}, {200, 1536}};
enum { DEVICES = sizeof devices / sizeof *devices, STAGES = 4, SOME_SHARED = 101376 - 9000 };

/* As softmax: max, map, sum, map; f32. */
static struct ptx_kernel stages[STAGES];
static const struct ptx_scratch scratch[] = {{.stage = 0, .size = 4}, {.stage = 1, .size = 4}, {.stage = 2, .size = 4}};

static struct ptx_kernel chain(int vector, int unroll, bool short_rows) {
    for (int i = 0; i < STAGES; i++)
        stages[i] = i % 2 ? (struct ptx_kernel){.kind = KERNEL_MAP, .n_par = 2, .vector = vector, .unroll = unroll}
                          : (struct ptx_kernel){.kind = KERNEL_LANES,
                                                .n_par = 1,
                                                .n_red = 1,
                                                .vector = vector,
                                                .lanes = 64,
                                                .short_rows = short_rows};
    return (struct ptx_kernel){.threads = 256,
                               .vector = 1,
                               .unroll = 1,
                               .n_stages = STAGES,
                               .stages = stages,
                               .outer = 1,
                               .n_scratch = 3,
                               .scratch = scratch};
}

static void assert_once(const unsigned char *seen, int64_t n) {
    int64_t once = 0;
    for (int64_t i = 0; i < n; i++) once += seen[i] == 1;
    assert_int_equal(once, n);
}

/* The elements of a line that thread `column` of `width` does. */
static void walk_line(unsigned char *seen, int64_t length, int64_t head, int64_t vector, int64_t column,
                      int64_t width) {
    const int64_t groups = (length - head) / vector;
    for (int64_t g = column; g < groups; g += width)
        for (int64_t e = 0; e < vector; e++) seen[head + g * vector + e]++;
    for (int64_t rest = column; rest < length - vector * groups; rest += width)
        seen[rest < head ? rest : rest + vector * groups]++;
}

static void check_map(const int64_t *value, int64_t first, int64_t end, int64_t length, int64_t vector,
                      unsigned char *seen) {
    const int64_t across = value[MAP_ACROSS], width = (int64_t)1 << across;
    assert_in_range(across, 0, 8);
    assert_in_range(value[MAP_HEAD], 0, length);
    for (int64_t thread = 0; thread < 256; thread++)
        for (int64_t row = first + (thread >> across); row < end; row += 256 >> across)
            walk_line(seen + row * length, length, value[MAP_HEAD], vector, thread & (width - 1), width);
}

static void check_lanes(const int64_t *value, int64_t first, int64_t end, int64_t length, bool short_rows,
                        unsigned char *seen) {
    const int64_t teams = value[LANES_TEAMS], at_once = short_rows ? 16 : 4 >> teams;
    assert_in_range(teams, 0, 2);
    assert_int_equal(value[LANES_LENGTH], length);
    if (!short_rows && length > 4096) assert_true(teams > 0);
    if (!short_rows && length > 8192) assert_int_equal(teams, 2);
    for (int64_t next = first; next < end; next += at_once)
        for (int64_t row = next; row < next + at_once && row < end; row++) seen[row]++;
}

static void check(int64_t rows, int64_t length, int vector, int64_t head, bool short_rows, int shared,
                  const struct ptx_limits *limits) {
    const struct ptx_kernel kernel = chain(vector, 2, short_rows);
    const int64_t extent[] = {rows, length}, *const extents[STAGES] = {extent, extent, extent, extent};
    const int64_t heads[STAGES] = {0, head, 0, head};
    struct ptx_grid grid;
    memset(&grid, 0xEE, sizeof grid);
    const bool done = ptx_shape_rows(&kernel, extents, heads, shared, limits, &grid);
    if (!ptx_rows_suit(rows, length, 8 + 4 * length, shared, limits)) assert_false(done);
    if (!done) return;
    const int64_t count = grid.value[ROWS_COUNT], set = grid.value[ROWS_SET], apart = grid.value[ROWS_APART];
    const int64_t bytes = 2 * ((4 * set + 31) / 32 * 32) + (4 * length * set + 31) / 32 * 32;
    assert_int_equal(count, rows);
    assert_in_range(set, 1, 4096);
    assert_int_equal(grid.block[0] * grid.block[1] * grid.block[2], 256);
    assert_in_range(grid.grid[0], 1, (rows + set - 1) / set); /* none is idle */
    assert_int_equal(grid.grid[1] * grid.grid[2], 1);
    assert_int_equal(grid.n_counters, 0);
    assert_true((grid.shared_bytes == bytes && !apart && !grid.partial_bytes) ||
                (apart == bytes && !grid.shared_bytes && grid.partial_bytes == (size_t)(grid.grid[0] * apart)));
    assert_true(grid.shared_bytes <= shared && grid.partial_bytes <= 32u << 20);
    if (apart) assert_true(bytes > shared);
    if (rows * length > 40000) return;
    unsigned char *seen = calloc((size_t)(STAGES * rows * length + 1), 1);
    for (int64_t block = 0; block < grid.grid[0]; block++)
        for (int64_t first = block * set; first < rows; first += (int64_t)grid.grid[0] * set)
            for (int i = 0; i < STAGES; i++) {
                const int64_t *value = grid.value + ROWS_STAGES + ROWS_EACH * i;
                const int64_t end = first + set < rows ? first + set : rows;
                unsigned char *own = seen + i * rows * length;
                if (i % 2)
                    check_map(value, first, end, length, vector, own);
                else
                    check_lanes(value, first, end, length, short_rows, own);
            }
    for (int i = 0; i < STAGES; i++) assert_once(seen + i * rows * length, i % 2 ? rows * length : rows);
    free(seen);
}

static void every_element_is_done_once(void **state) {
    (void)state;
    static const int64_t counts[] = {1, 2, 3, 15, 16, 17, 100, 1000, 4096, 100000, 10000000};
    static const int64_t lengths[] = {1, 2, 3, 16, 33, 500, 1024, 1025, 4096, 4097, 8193, 20000, 65536, 1000000};
    for (size_t r = 0; r < sizeof counts / sizeof *counts; r++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int d = 0; d < DEVICES; d++) {
                check(counts[r], lengths[l], 1, 0, false, SOME_SHARED, &devices[d]);
                check(counts[r], lengths[l], 4, (int64_t)(r + l) % 4, false, (int)(l % 3) * 40000, &devices[d]);
                if (lengths[l] <= 1024) check(counts[r], lengths[l], 4, 0, true, SOME_SHARED, &devices[d]);
            }
}

static bool done_on_h100(int64_t rows, int64_t length, int shared, struct ptx_grid *grid) {
    const struct ptx_kernel kernel = chain(4, 4, length <= 1024);
    const int64_t extent[] = {rows, length}, *const extents[STAGES] = {extent, extent, extent, extent};
    const int64_t heads[STAGES] = {0};
    return ptx_shape_rows(&kernel, extents, heads, shared, &devices[2], grid);
}

static void what_is_done_together(void **state) {
    (void)state;
    enum { SHARED = 232448 - 9000 };
    struct ptx_grid grid;
    assert_true(done_on_h100(100000, 1000, SHARED, &grid));
    assert_true(done_on_h100(8192, 4096, SHARED, &grid));
    assert_int_equal(grid.value[ROWS_SET], 4);
    assert_int_equal(grid.grid[0], 2048); /* a thread block for each set */
    assert_in_range(grid.shared_bytes, 65536, 66000);
    assert_true(done_on_h100(8192, 16384, SHARED, &grid));
    assert_int_equal(grid.value[ROWS_SET], 1);
    assert_true(done_on_h100(3, 16, SHARED, &grid)); /* it is one launch instead of four */
    /* Tiny rows: many in a set, but not so many that multiprocessors are left without. */
    assert_true(done_on_h100(1000000, 16, SHARED, &grid));
    assert_int_equal(grid.value[ROWS_SET], 256);
    assert_true(done_on_h100(2112, 16, SHARED, &grid));
    assert_int_equal(grid.value[ROWS_SET], 16);
    /* Few rows, long ones: all multiprocessors take part in a row. */
    assert_false(done_on_h100(1, 16384, SHARED, &grid));
    assert_false(done_on_h100(60, 100000, SHARED, &grid));
    /* Where shared memory is too small, device memory, but not more than stays in the cache. */
    assert_true(done_on_h100(8192, 16384, 40000, &grid));
    assert_true(grid.partial_bytes > 0 && grid.grid[0] == 264);
    assert_false(done_on_h100(8192, 100000, SHARED, &grid));
    /* Where neither has room, that can be told beforehand. */
    assert_true(ptx_rows_suit(8192, 58000, 232000, 232448, &devices[3]));
    assert_false(ptx_rows_suit(8192, 60000, 240000, 232448, &devices[3]));
    assert_true(ptx_rows_suit(8192, 60000, 240000, 232448, &devices[2])); /* in device memory */
}

/* Several lines to a row; a map of one element a row. */
static void inner_dimensions(void **state) {
    (void)state;
    struct ptx_kernel each[] = {{.kind = KERNEL_MAP, .n_par = 3, .vector = 4, .unroll = 4},
                                {.kind = KERNEL_LANES, .n_par = 1, .n_red = 2, .vector = 4, .lanes = 64},
                                {.kind = KERNEL_MAP, .n_par = 1, .vector = 1, .unroll = 1}};
    const struct ptx_scratch own[] = {{.stage = 0, .size = 8}, {.stage = 1, .size = 1}};
    const struct ptx_kernel kernel = {
        .threads = 256, .n_stages = 3, .stages = each, .outer = 1, .n_scratch = 2, .scratch = own};
    const int64_t extent[] = {1000, 40, 64}, *const extents[] = {extent, extent, extent}, heads[] = {0, 0, 0};
    struct ptx_grid grid;
    assert_true(ptx_shape_rows(&kernel, extents, heads, 200000, &devices[2], &grid));
    const int64_t *value = grid.value + ROWS_STAGES;
    assert_int_equal(grid.value[ROWS_SET], 4);
    assert_int_equal(grid.shared_bytes, 4 * 40 * 64 * 8 + 32);
    assert_int_equal(value[MAP_ACROSS], 4); /* 16 groups to a line */
    assert_int_equal(value[ROWS_EACH + LANES_LENGTH], 40 * 64);
    assert_int_equal(value[ROWS_EACH + LANES_TEAMS], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_element_is_done_once),
                                       cmocka_unit_test(what_is_done_together), cmocka_unit_test(inner_dimensions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
