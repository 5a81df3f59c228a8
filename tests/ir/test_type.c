/* Promotion: NumPy 2's table and weak scalars. */
#include "fixture.h"

/* np.promote_types, row by row in the order of enum dtype from bool on. */
static const char *const promoted[] = {
    "bool i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 f64",  "i8 i8 i16 i32 i64 i16 i32 i64 f64 f16 f32 f64",
    "i16 i16 i16 i32 i64 i16 i32 i64 f64 f32 f32 f64", "i32 i32 i32 i32 i64 i32 i32 i64 f64 f64 f64 f64",
    "i64 i64 i64 i64 i64 i64 i64 i64 f64 f64 f64 f64", "u8 i16 i16 i32 i64 u8 u16 u32 u64 f16 f32 f64",
    "u16 i32 i32 i32 i64 u16 u16 u32 u64 f32 f32 f64", "u32 i64 i64 i64 i64 u32 u32 u32 u64 f64 f64 f64",
    "u64 f64 f64 f64 f64 u64 u64 u64 u64 f64 f64 f64", "f16 f16 f32 f64 f64 f16 f32 f64 f64 f16 f32 f64",
    "f32 f32 f32 f64 f64 f32 f32 f64 f64 f32 f32 f64", "f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64"};

static void strong_types_promote_as_numpys(void **state) {
    (void)state;
    for (int a = TY_BOOL; a < TY_COUNT; a++) {
        char row[100];
        snprintf(row, sizeof row, "%s", promoted[a - TY_BOOL]);
        int b = TY_BOOL;
        for (char *name = strtok(row, " "); name; name = strtok(NULL, " "), b++)
            assert_string_equal(dtype_name(dtype_promote((enum dtype)a, (enum dtype)b)), name);
        assert_int_equal(b, TY_COUNT);
        assert_int_equal(dtype_from_name(dtype_name((enum dtype)a)), a);
        assert_int_equal(dtype_promote(TY_NONE, (enum dtype)a), TY_NONE);
    }
    assert_int_equal(dtype_from_name("none"), TY_NONE);
    assert_int_equal(dtype_from_name("i128"), TY_NONE);
}

static struct type weak_with(enum weakness weak, enum dtype other, int rank) {
    struct type scalar = {weak == WEAK_FLOAT ? TY_F64 : TY_I64, weak, 0}, strong = {other, STRONG, rank};
    struct type a = type_promote(scalar, strong), b = type_promote(strong, scalar);
    assert_memory_equal(&a, &b, sizeof a);
    return a;
}

static void weak_scalars_adapt(void **state) {
    (void)state;
    struct type weak_int = {TY_I64, WEAK_INT, 0}, weak_float = {TY_F64, WEAK_FLOAT, 0};
    assert_int_equal(weak_with(WEAK_INT, TY_U8, 1).dtype, TY_U8);
    assert_int_equal(weak_with(WEAK_INT, TY_F32, 2).dtype, TY_F32);
    assert_int_equal(weak_with(WEAK_INT, TY_F32, 2).rank, 2);
    assert_int_equal(weak_with(WEAK_INT, TY_BOOL, 1).dtype, TY_I64);
    assert_int_equal(weak_with(WEAK_FLOAT, TY_F32, 0).dtype, TY_F32);
    assert_int_equal(weak_with(WEAK_FLOAT, TY_I8, 1).dtype, TY_F64);
    assert_int_equal(weak_with(WEAK_FLOAT, TY_BOOL, 1).dtype, TY_F64);
    assert_int_equal(weak_with(WEAK_FLOAT, TY_I8, 1).weak, STRONG);
    assert_int_equal(type_promote(weak_int, weak_float).weak, WEAK_FLOAT);
    assert_int_equal(type_promote(weak_int, weak_float).dtype, TY_F64);
    assert_int_equal(type_promote(weak_int, weak_int).weak, WEAK_INT);
    assert_int_equal(weak_with(WEAK_INT, TY_NONE, 1).dtype, TY_NONE);
}

static void ranges_are_exact(void **state) {
    (void)state;
    assert_true(dtype_holds_int(TY_U8, false, 255) && !dtype_holds_int(TY_U8, false, 256) &&
                !dtype_holds_int(TY_U8, true, 1));
    assert_true(dtype_holds_int(TY_I8, true, 128) && !dtype_holds_int(TY_I8, true, 129) &&
                !dtype_holds_int(TY_I8, false, 128));
    assert_true(dtype_holds_int(TY_I64, true, UINT64_C(1) << 63) && !dtype_holds_int(TY_I64, false, UINT64_C(1) << 63));
    assert_true(dtype_holds_int(TY_U64, false, UINT64_MAX) && dtype_holds_int(TY_U64, true, 0));
    assert_true(dtype_holds_int(TY_F32, false, 1 << 24) && !dtype_holds_int(TY_F32, false, (1 << 24) + 1));
    assert_true(dtype_holds_int(TY_F64, true, UINT64_C(1) << 63) && !dtype_holds_int(TY_F64, false, UINT64_MAX));
    assert_true(dtype_holds_int(TY_F16, false, 65504) && !dtype_holds_int(TY_F16, false, 65536) &&
                dtype_holds_int(TY_BOOL, false, 1));
    assert_true(dtype_converts_safely(TY_I8, TY_I16) && !dtype_converts_safely(TY_I16, TY_I8));
    assert_true(dtype_converts_safely(TY_U32, TY_F64) && !dtype_converts_safely(TY_I32, TY_F32) &&
                dtype_converts_safely(TY_BOOL, TY_F32));
    assert_false(dtype_converts_safely(TY_I8, TY_U64));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(strong_types_promote_as_numpys),
                                       cmocka_unit_test(weak_scalars_adapt), cmocka_unit_test(ranges_are_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
