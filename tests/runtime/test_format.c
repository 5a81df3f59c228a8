#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/decimal.h"
#include "runtime/format.h"

/* One case of format.txt; see make_format.py for its form. */
struct golden {
    enum dtype dtype;
    int rank;
    int64_t shape[TYPE_MAX_RANK], count;
    unsigned char *data; /* C order, then the same elements in reverse */
    char *expected;
};

static void put_double(enum dtype dtype, void *p, double v) {
    switch (dtype) {
    case TY_BOOL: *(uint8_t *)p = v != 0; break;
    case TY_I16: *(int16_t *)p = (int16_t)v; break;
    case TY_I32: *(int32_t *)p = (int32_t)v; break;
    case TY_I64: *(int64_t *)p = (int64_t)v; break;
    case TY_U8: *(uint8_t *)p = (uint8_t)v; break;
    case TY_F32: *(float *)p = (float)v; break;
    case TY_F64: *(double *)p = v; break;
    default: fail_msg("type %d in a formula", (int)dtype);
    }
}

static void put_bits(void *p, int size, uint64_t bits) {
    switch (size) {
    case 1: *(uint8_t *)p = (uint8_t)bits; break;
    case 2: *(uint16_t *)p = (uint16_t)bits; break;
    case 4: *(uint32_t *)p = (uint32_t)bits; break;
    default: *(uint64_t *)p = bits; break;
    }
}

static enum dtype find_dtype(const char *name) {
    for (enum dtype t = TY_BOOL; t < TY_COUNT; t++)
        if (!strcmp(dtype_name(t), name)) return t;
    fail_msg("unknown type %s", name);
    return TY_NONE;
}

/* The next case, or false at the end. */
static bool read_golden(FILE *file, struct golden *g) {
    static char line[1 << 16];
    char *at = line, name[16];
    int used = 0, lines;

    if (!fgets(line, sizeof line, file)) return false;
    assert_non_null(strchr(line, '\n'));
    assert_int_equal(sscanf(at, "case %15s %d%n", name, &g->rank, &used), 2);
    at += used;
    g->dtype = find_dtype(name);
    g->count = 1;
    for (int i = 0; i < g->rank; i++) g->count *= g->shape[i] = strtoll(at, &at, 10);

    size_t item = (size_t)dtype_size(g->dtype), size = item * (size_t)g->count;
    g->data = malloc(2 * size + 1);
    if (!strncmp(at, " bits", 5)) {
        at += 5;
        for (int64_t i = 0; i < g->count; i++) put_bits(g->data + (size_t)i * item, (int)item, strtoull(at, &at, 16));
        assert_string_equal(at, "\n");
    } else {
        long long a, m, offset;
        unsigned long long scale_bits; /* as bits: a point could be misread */
        double scale;
        assert_int_equal(sscanf(at, " mod %lld %lld %lld %llx", &a, &m, &offset, &scale_bits), 4);
        memcpy(&scale, &scale_bits, sizeof scale);
        for (int64_t i = 0; i < g->count; i++)
            put_double(g->dtype, g->data + (size_t)i * item, (double)(i * a % m - offset) * scale);
    }
    for (int64_t i = 0; i < g->count; i++)
        memcpy(g->data + size + (size_t)i * item, g->data + (size_t)(g->count - 1 - i) * item, item);

    assert_int_equal(fscanf(file, "lines %d\n", &lines), 1);
    size_t length = 0;
    g->expected = calloc(1, 1 << 16);
    for (int i = 0; i < lines; i++) {
        assert_non_null(fgets(g->expected + length, (int)((1 << 16) - length), file));
        length += strlen(g->expected + length);
    }
    assert_int_equal(g->expected[length - 1], '\n');
    g->expected[length - 1] = '\0';
    return true;
}

static void check_text(struct arena *arena, const struct golden *g, const void *data, const int64_t *strides) {
    struct strbuf out;
    strbuf_init(&out, arena);
    strbuf_puts(&out, "before ");
    assert_true(format_array(&out, g->dtype, data, g->rank, g->shape, strides));
    if (strcmp(strbuf_text(&out) + 7, g->expected))
        fail_msg("%s, rank %d:\n%s\nexpected\n%s", dtype_name(g->dtype), g->rank, strbuf_text(&out) + 7, g->expected);
}

static void check_goldens(void **state, const char *file_name, long at_least) {
    struct mem heap = {0};
    struct arena arena;
    struct golden g;
    long cases = 0;
    (void)state;

    FILE *file = fopen(file_name, "r");
    assert_non_null(file);
    for (; read_golden(file, &g); cases++) {
        size_t item = (size_t)dtype_size(g.dtype), size = item * (size_t)g.count;
        int64_t strides[TYPE_MAX_RANK], stride = (int64_t)item;
        arena_init(&arena, &heap);
        check_text(&arena, &g, g.data, NULL);
        for (int i = g.rank - 1; i >= 0; stride *= g.shape[i], i--) strides[i] = -stride;
        check_text(&arena, &g, g.count ? g.data + 2 * size - item : g.data, strides); /* backwards */
        /* Elements that are not aligned. */
        memmove(g.data + 1, g.data, size);
        check_text(&arena, &g, g.data + 1, NULL);
        arena_free(&arena);
        free(g.data);
        free(g.expected);
    }
    fclose(file);
    assert_true(cases >= at_least);
    assert_int_equal(heap.used, 0);
}

static void test_as_numpy(void **state) {
    check_goldens(state, WEFT_TEST_DIR "/format.txt", 1000);
}

/* The host's decimal point must not show, and must not confuse the search for the shortest digits. */
static void test_other_locales(void **state) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "de_DE", "fr_FR"};
    size_t i = 0;
    while (i < sizeof names / sizeof *names && !setlocale(LC_ALL, names[i])) i++;
    if (i == sizeof names / sizeof *names) skip(); /* no such locale is installed */
    char text[8];
    snprintf(text, sizeof text, "%.1f", 0.5);
    assert_string_equal(text, "0,5");
    check_goldens(state, WEFT_TEST_DIR "/format.txt", 1000);
    setlocale(LC_ALL, "C");
}

static void test_broadcast(void **state) {
    struct mem heap = {0};
    struct arena arena;
    struct strbuf out;
    double x = 1.5;
    (void)state;

    arena_init(&arena, &heap);
    strbuf_init(&out, &arena);
    assert_true(format_array(&out, TY_F64, &x, 2, (int64_t[]){2, 3}, (int64_t[]){0, 0}));
    assert_string_equal(strbuf_text(&out), "[[1.5 1.5 1.5]\n [1.5 1.5 1.5]]");

    /* More elements than memory has bytes. */
    strbuf_init(&out, &arena);
    int64_t big = (int64_t)1 << 40;
    assert_true(format_array(&out, TY_F64, &x, 3, (int64_t[]){1, big, big}, (int64_t[]){0, 0, 0}));
    assert_string_equal(strbuf_text(&out), "[[[1.5 1.5 1.5 ... 1.5 1.5 1.5]\n  [1.5 1.5 1.5 ... 1.5 1.5 1.5]\n"
                                           "  [1.5 1.5 1.5 ... 1.5 1.5 1.5]\n  ...\n  [1.5 1.5 1.5 ... 1.5 1.5 1.5]\n"
                                           "  [1.5 1.5 1.5 ... 1.5 1.5 1.5]\n  [1.5 1.5 1.5 ... 1.5 1.5 1.5]]]");

    strbuf_init(&out, &arena);
    assert_false(format_array(&out, TY_F16, &x, 1, (int64_t[]){1}, NULL));
    assert_false(format_array(&out, TY_NONE, &x, 0, NULL, NULL));
    assert_false(format_scalar(&out, TY_F16, &x));
    assert_string_equal(strbuf_text(&out), "");
    arena_free(&arena);
}

/* The digits read back, no fewer do, and they are those of the number and not of a neighbour. */
static void test_shortest_digits(void **state) {
    uint64_t bits = 88172645463325252u;
    (void)state;
    for (int n = 0; n < 30000; n++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        bool single = n % 2;
        double value;
        if (single) {
            uint32_t low = (uint32_t)(bits >> 20);
            float f;
            memcpy(&f, &low, sizeof f);
            value = f;
        } else {
            memcpy(&value, &bits, sizeof value);
        }
        if (!isfinite(value)) continue;
        struct decimal d = decimal_shortest(value, single);
        char text[64];
        assert_true(d.count >= 1 && d.count <= (single ? 9 : 17));
        assert_true(d.count == 1 || d.digits[d.count - 1] != '0');
        assert_int_equal(d.negative, !!signbit(value));
        snprintf(text, sizeof text, "%s%.*se%d", d.negative ? "-" : "", d.count, d.digits, d.exponent - d.count + 1);
        assert_true((single ? (double)strtof(text, NULL) : strtod(text, NULL)) == value);
        if (d.count > 1) {
            snprintf(text, sizeof text, "%.*e", d.count - 2, value);
            assert_false((single ? (double)strtof(text, NULL) : strtod(text, NULL)) == value);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_numpy),
        cmocka_unit_test(test_other_locales),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_shortest_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
