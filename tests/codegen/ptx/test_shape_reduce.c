/* test_shape_reduce.c: launches of reductions: every block (run) of every row (column) is reduced by exactly one thread
 * block, as the prelude's weft_rows and weft_columns read the numbers; partial results and counters stay within what
 * was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/ptx/emit_reduce.h"

static const struct ptx_limits devices[] = {{1, 256}, {4, 1024}, {132, 2048}, {200, 1536}, {5000, 2048}};
enum { DEVICES = sizeof devices / sizeof *devices };

static int64_t up(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}

static void assert_once(const unsigned char *seen, int64_t n) {
    int64_t once = 0;
    for (int64_t i = 0; i < n; i++) once += seen[i] == 1;
    assert_int_equal(once, n);
}

static void check_grid(const struct ptx_grid *grid, int64_t items) {
    assert_in_range(grid->grid[0], 1, INT32_MAX);
    assert_in_range(grid->grid[1], 1, 65535);
    assert_int_equal(grid->grid[2], 1);
    assert_int_equal(grid->block[0], 256);
    assert_true((int64_t)grid->grid[0] * grid->grid[1] >= items);
    assert_in_range(grid->n_counters, 0, PTX_MAX_COUNTERS);
}

static void check_rows(int64_t rows, int64_t length, int lanes, size_t state_bytes, const struct ptx_limits *limits) {
    struct ptx_kernel kernel = {.kind = KERNEL_LANES,
                                .n_par = 1,
                                .n_red = 1,
                                .threads = 256,
                                .lanes = lanes,
                                .vector = 1,
                                .state_bytes = state_bytes};
    const int64_t extents[] = {rows, length}, block = 64 * lanes, blocks = up(length, block);
    struct ptx_grid grid;
    ptx_shape(&kernel, extents, 0, limits, &grid);
    const int64_t *v = grid.value;
    assert_int_equal(v[LANES_ROWS], rows);
    assert_int_equal(v[LANES_LENGTH], length);
    check_grid(&grid, v[LANES_ITEMS]);
    const int64_t members = (int64_t)1 << v[LANES_TEAMS], sets = up(rows, 4 / members), groups = up(blocks, members);
    assert_in_range(v[LANES_TEAMS], 0, 2);
    assert_int_equal(v[LANES_ITEMS], sets * v[LANES_SEGMENTS]);
    if (v[LANES_SEGMENTS] > 1) {
        assert_int_equal(members, 4); /* one row a thread block */
        assert_int_equal(grid.n_counters, rows);
        assert_int_equal(grid.partial_bytes, (size_t)v[LANES_ITEMS] * state_bytes);
        assert_true(v[LANES_SEGMENTS] <= 256 * (state_bytes <= 8 ? 4 : 2));
        assert_true((v[LANES_SEGMENTS] - 1) << v[LANES_SPAN] < groups); /* none is empty */
    } else {
        assert_true(groups <= 1 || v[LANES_SPAN] >= 62 || groups <= (int64_t)1 << v[LANES_SPAN]);
        if (members < 4) assert_true(groups <= 1);
    }
    /* Segments are neighbours: what the last one ends with covers all. */
    assert_true(v[LANES_SEGMENTS] << v[LANES_SPAN] >= groups);
    if (rows * blocks > 5000) return;
    unsigned char *seen = calloc((size_t)(rows * blocks + 1), 1);
    for (int64_t item = 0; item < v[LANES_ITEMS]; item++) {
        const int64_t set = item / v[LANES_SEGMENTS], segment = item % v[LANES_SEGMENTS],
                      first = segment << v[LANES_SPAN], end = first + ((int64_t)1 << v[LANES_SPAN]);
        for (int team = 0; team < 4; team++) {
            const int64_t row = (set << (2 - v[LANES_TEAMS])) + (team >> v[LANES_TEAMS]);
            for (int64_t g = first; g < end && g < groups; g++) {
                const int64_t b = (g << v[LANES_TEAMS]) + (team & (members - 1));
                if (row < rows && b < blocks) seen[row * blocks + b]++;
            }
        }
    }
    assert_once(seen, rows * blocks);
    free(seen);
}

static void test_rows(void **state) {
    (void)state;
    static const int64_t
        rows[] = {1, 2, 3, 7, 64, 1000, 2111, 2113, 16384, 16385, 100000},
        lengths[] = {0, 1, 1023, 4096, 4097, 8193, 12289, 16384, 16385, 100000, 1000000, 100000000, (int64_t)1 << 40};
    for (int d = 0; d < DEVICES; d++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
                for (int lanes = 32; lanes <= 64; lanes *= 2)
                    check_rows(rows[r], lengths[n], lanes, 8u << (r % 6), &devices[d]);
}

static void test_filled(void **state) {
    (void)state;
    /* A large sum on an H200: more thread blocks than it has registers for, as many as one of them can join. */
    struct ptx_kernel kernel = {
        .kind = KERNEL_LANES, .n_red = 1, .threads = 256, .lanes = 64, .vector = 4, .state_bytes = 8};
    const int64_t extents[] = {100000000};
    struct ptx_grid grid;
    ptx_shape(&kernel, extents, 0, &devices[2], &grid);
    assert_in_range(grid.grid[0], 512, 1024);
    /* Columns of a square matrix. */
    struct ptx_kernel columns = {
        .kind = KERNEL_COLUMNS, .n_par = 1, .n_red = 1, .threads = 256, .vector = 4, .state_bytes = 8};
    const int64_t square[] = {16384, 16384};
    ptx_shape(&columns, square, 0, &devices[2], &grid);
    assert_in_range(grid.grid[0], 528, 2112);
}

static void test_short_rows(void **state) {
    (void)state;
    struct ptx_kernel kernel = {.kind = KERNEL_LANES,
                                .n_par = 2,
                                .n_red = 1,
                                .threads = 256,
                                .lanes = 32,
                                .vector = 1,
                                .short_rows = true,
                                .state_bytes = 8};
    for (int64_t rows = 1; rows < 200000; rows = rows * 3 + 1) {
        const int64_t extents[] = {rows, 2, 100};
        struct ptx_grid grid;
        ptx_shape(&kernel, extents, 0, &devices[2], &grid);
        assert_int_equal(grid.value[LANES_ROWS], 2 * rows);
        assert_int_equal(grid.value[LANES_ITEMS], up(2 * rows, 16));
        assert_int_equal(grid.value[LANES_SEGMENTS], 1);
        assert_int_equal(grid.partial_bytes, 0);
        assert_in_range(grid.grid[0], 1, grid.value[LANES_ITEMS]); /* the rest by turns */
    }
}

static void check_columns(int64_t outer, int64_t columns, int64_t length, int vector, size_t state_bytes,
                          const struct ptx_limits *limits) {
    struct ptx_kernel kernel = {
        .kind = KERNEL_COLUMNS, .n_par = 2, .n_red = 1, .threads = 256, .vector = vector, .state_bytes = state_bytes};
    const int64_t extents[] = {outer, columns, length};
    struct ptx_grid grid;
    ptx_shape(&kernel, extents, 0, limits, &grid);
    const int64_t *v = grid.value;
    check_grid(&grid, v[COLUMNS_ITEMS]);
    const int64_t across = (int64_t)1 << v[COLUMNS_ACROSS], runs = (int64_t)1 << v[COLUMNS_RUNS],
                  wide = vector * across, tiles = up(columns, wide);
    const int64_t each = 256 / (across * runs), parts = up(length, 64), groups = up(parts, runs),
                  sets = up(outer * tiles, each);
    assert_in_range(v[COLUMNS_ACROSS], 0, 5);
    assert_in_range(v[COLUMNS_ACROSS] + v[COLUMNS_RUNS], 0, 8);
    assert_int_equal(v[COLUMNS_LENGTH], length);
    assert_int_equal(v[COLUMNS_ITEMS], sets * v[COLUMNS_SEGMENTS]);
    assert_true(v[COLUMNS_SEGMENTS] << v[COLUMNS_SPAN] >= groups);
    assert_true(v[COLUMNS_SEGMENTS] == 1 || (v[COLUMNS_SEGMENTS] - 1) << v[COLUMNS_SPAN] < groups);
    assert_true(v[COLUMNS_LEVELS] >= v[COLUMNS_SPAN]);
    const size_t bytes = (size_t)vector * state_bytes;
    const int64_t stacked = bytes >= 256 ? 1 : (int64_t)(256 / bytes), chunk = 2;
    if (groups > 1) assert_true(across * each <= 32); /* places on the stack of pending states */
    int64_t states = 0;
    if (v[COLUMNS_SEGMENTS] > 1) {
        assert_int_equal(grid.n_counters, sets);
        states = v[COLUMNS_ITEMS];
        assert_true(up(v[COLUMNS_SEGMENTS], chunk * runs) <= (int64_t)1 << v[COLUMNS_LEVELS]);
    }
    if (v[COLUMNS_LEVELS] > stacked) states += v[COLUMNS_ITEMS] * (v[COLUMNS_LEVELS] - stacked);
    assert_true(grid.partial_bytes >= (size_t)(states * across * each) * bytes);
    if (parts == 0 || outer * columns * parts > 5000) return;
    unsigned char *seen = calloc((size_t)(outer * columns * parts + 1), 1);
    for (int64_t item = 0; item < v[COLUMNS_ITEMS]; item++)
        for (int t = 0; t < 256; t++) {
            const int64_t set = item / v[COLUMNS_SEGMENTS], first = item % v[COLUMNS_SEGMENTS] << v[COLUMNS_SPAN];
            const int64_t tile = set * each + t / (across * runs), y = t / across % runs;
            const int64_t column = tile % tiles * wide + t % across * vector;
            for (int64_t g = first; g < first + ((int64_t)1 << v[COLUMNS_SPAN]) && g < groups; g++)
                for (int64_t c = column; c < column + vector; c++)
                    if (tile / tiles < outer && c < columns && g * runs + y < parts)
                        seen[(tile / tiles * columns + c) * parts + g * runs + y]++;
        }
    assert_once(seen, outer * columns * parts);
    free(seen);
}

static void test_columns(void **state) {
    (void)state;
    static const int64_t outers[] = {1, 3, 40000}, widths[] = {1, 2, 5, 31, 128, 129, 1000, 100000},
                         lengths[] = {0, 1, 64, 65, 500, 513, 4096, 10000, 1000000, (int64_t)1 << 36};
    for (int d = 0; d < DEVICES; d++)
        for (int o = 0; o < 3; o++)
            for (int w = 0; w < 8; w++)
                for (int n = 0; n < 10; n++) {
                    check_columns(outers[o], widths[w], lengths[n], 1, 8u << (w % 6), &devices[d]);
                    check_columns(outers[o], widths[w], lengths[n], 4, 24, &devices[d]);
                }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_filled),
        cmocka_unit_test(test_short_rows),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
