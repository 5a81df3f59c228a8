/* type.c: element types and promotion. */
#include "ir/type.h"

#include <string.h>

static const struct {
    const char *name;
    int size;
} dtypes[TY_COUNT] = {
    [TY_NONE] = {"none", 0}, [TY_BOOL] = {"bool", 1}, [TY_I8] = {"i8", 1},   [TY_I16] = {"i16", 2},
    [TY_I32] = {"i32", 4},   [TY_I64] = {"i64", 8},   [TY_U8] = {"u8", 1},   [TY_U16] = {"u16", 2},
    [TY_U32] = {"u32", 4},   [TY_U64] = {"u64", 8},   [TY_F16] = {"f16", 2}, [TY_F32] = {"f32", 4},
    [TY_F64] = {"f64", 8},
};

int dtype_size(enum dtype t) {
    return dtypes[t].size;
}

const char *dtype_name(enum dtype t) {
    return dtypes[t].name;
}

enum dtype dtype_from_name(const char *name) {
    for (int t = TY_BOOL; t < TY_COUNT; t++)
        if (strcmp(dtypes[t].name, name) == 0) return (enum dtype)t;
    return TY_NONE;
}

/* The smallest float that holds every integer of `bytes` bytes, as NumPy sees it (it lets f64 hold 8-byte ones). */
static enum dtype float_for_int(int bytes) {
    return bytes == 1 ? TY_F16 : bytes == 2 ? TY_F32 : TY_F64;
}

static enum dtype signed_of_size(int bytes) {
    return bytes == 1 ? TY_I8 : bytes == 2 ? TY_I16 : bytes == 4 ? TY_I32 : TY_I64;
}

enum dtype dtype_promote(enum dtype a, enum dtype b) {
    if (a == b) return a;
    if (a == TY_NONE || b == TY_NONE) return TY_NONE;
    if (a == TY_BOOL) return b;
    if (b == TY_BOOL) return a;
    if (dtype_is_float(a) && dtype_is_float(b)) return dtype_size(a) > dtype_size(b) ? a : b;
    if (dtype_is_float(a) || dtype_is_float(b)) {
        enum dtype real = dtype_is_float(a) ? a : b, integer = dtype_is_float(a) ? b : a;
        enum dtype least = float_for_int(dtype_size(integer));
        return dtype_size(real) > dtype_size(least) ? real : least;
    }
    if (dtype_is_signed(a) == dtype_is_signed(b)) return dtype_size(a) > dtype_size(b) ? a : b;
    int signed_size = dtype_size(dtype_is_signed(a) ? a : b), unsigned_size = dtype_size(dtype_is_signed(a) ? b : a);
    if (signed_size > unsigned_size) return signed_of_size(signed_size);
    return unsigned_size == 8 ? TY_F64 : signed_of_size(2 * unsigned_size);
}

/* The type of a weak scalar beside a strong `other`. */
static enum dtype weak_beside(enum weakness weak, enum dtype other) {
    if (other == TY_NONE || dtype_is_float(other)) return other;
    if (weak == WEAK_FLOAT) return TY_F64;
    return other == TY_BOOL ? TY_I64 : other;
}

struct type type_promote(struct type a, struct type b) {
    struct type result = {TY_NONE, STRONG, a.rank > b.rank ? a.rank : b.rank};
    if (a.weak && b.weak) {
        result.weak = a.weak > b.weak ? a.weak : b.weak;
        result.dtype = result.weak == WEAK_FLOAT ? TY_F64 : TY_I64;
    } else if (a.weak) {
        result.dtype = weak_beside(a.weak, b.dtype);
    } else if (b.weak) {
        result.dtype = weak_beside(b.weak, a.dtype);
    } else {
        result.dtype = dtype_promote(a.dtype, b.dtype);
    }
    return result;
}

bool dtype_converts_safely(enum dtype from, enum dtype to) {
    return from != TY_NONE && to != TY_NONE && dtype_promote(from, to) == to;
}

bool dtype_holds_int(enum dtype t, bool negative, uint64_t magnitude) {
    if (magnitude == 0) negative = false;
    if (t == TY_NONE) return false;
    if (t == TY_BOOL) return !negative && magnitude <= 1;
    if (dtype_is_float(t)) {
        /* exact if the significant bits fit the significand and the value is in range */
        int digits = t == TY_F64 ? 53 : t == TY_F32 ? 24 : 11;
        if (t == TY_F16 && magnitude > 65504) return false;
        if (magnitude == 0) return true;
        int width = 64 - __builtin_clzll(magnitude) - __builtin_ctzll(magnitude);
        return width <= digits;
    }
    int bits = 8 * dtype_size(t);
    if (dtype_is_unsigned(t)) return !negative && (bits == 64 || magnitude >> bits == 0);
    uint64_t limit = (uint64_t)1 << (bits - 1);
    return negative ? magnitude <= limit : magnitude < limit;
}
