"""Elementwise expressions: arithmetic, integers, promotion, weak scalars, comparisons, casts, elementary functions."""
import math

import numpy as np

from caselib import Layout, auto, case, corpus_file, error, f32, f64, ints
from weftref import DTYPES, elementary, fma

NAN, INF = math.nan, math.inf
A = f64(1.5, -2.25, 0.1, 1e10, -0.0, 3.7)
B = f64(0.3, 7.0, -0.7, 1e-3, 2.0, -1.1)
C = f64(-4.0, 0.2, 0.07, -1e7, 5.5, 0.9)


def arithmetic():
    corpus_file("arithmetic", "Arithmetic, precedence and contraction: bit-exact.")
    for t, name in ((np.float64, "f64"), (np.float32, "f32")):
        a, b, c = A.astype(t), B.astype(t), C.astype(t)
        s = dict(a=a, b=b)
        for label, op in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/"), ("mod", "%"), ("floordiv", "//")):
            auto(f"{name}_{label}", f"a {op} b", **s)
        auto(f"{name}_fma_left", "a*b + c", a=a, b=b, c=c)
        auto(f"{name}_fma_right", "c + a*b", c=c, a=a, b=b)
        auto(f"{name}_fma_minus", "a*b - c", a=a, b=b, c=c)
        auto(f"{name}_fma_subtracted", "c - a*b", c=c, a=a, b=b)
        auto(f"{name}_fma_two_products", "a*b + c*a", a=a, b=b, c=c)
        auto(f"{name}_fma_two_products_minus", "a*b - c*a", a=a, b=b, c=c)
        auto(f"{name}_fma_parenthesised", "(a*b) + c", a=a, b=b, c=c)
        auto(f"{name}_fma_chain", "a*b + c + b*c", a=a, b=b, c=c)
        auto(f"{name}_horner", "((a*b + c)*b + a)*b + c", a=a, b=b, c=c)
        auto(f"{name}_triad_scalar", "s*a + 0.3*b", s=t(1.7), a=a, b=b)
        auto(f"{name}_fma_division_is_none", "a/b + c", a=a, b=b, c=c)
        auto(f"{name}_fma_of_product_of_products", "a*b*c + a", a=a, b=b, c=c)
        case(f"{name}_fma_name_is_none", "p = a*b\np + c", dict(a=a, b=b, c=c), a * b + c)
        case(f"{name}_fma_minus_is_none", "-(a*b) + c", dict(a=a, b=b, c=c), -(a * b) + c)
        case(f"{name}_fma_square_is_none", "a**2 + c", dict(a=a, c=c), a * a + c)
        case(f"{name}_fma_square_call_is_none", "square(a) + c", dict(a=a, c=c), a * a + c)
        case(f"{name}_fma_call_is_none", "fn m(x, y) = x*y\nm(a, b) + c", dict(a=a, b=b, c=c), a * b + c)
        case(f"{name}_fma_augmented", "r = c + 0.0\nr += a*b\nr", dict(c=c, a=a, b=b), fma(a, b, c + t(0)))
        case(f"{name}_fma_augmented_minus", "r = c + 0.0\nr -= a*b\nr", dict(c=c, a=a, b=b), fma(-a, b, c + t(0)))
        auto(f"{name}_fma_builtin", "fma(a, b, c)", a=a, b=b, c=c)
    auto("fma_not_the_results_type", "x*y + z", x=f32(1.1, 2.3), y=f32(0.7, 0.9), z=f64(0.1, 0.2))
    auto("fma_integer_factor", "i*x + y", i=ints("i32", 3, -7, 11), x=f64(0.1, 0.7, 0.3), y=f64(1, 2, 3))
    auto("fma_of_integers_is_none", "i*j + x", i=ints("i32", 3, 1 << 20), j=ints("i32", 7, 1 << 12), x=f64(0.5, 0.25))
    auto("fma_specials", "a*b + c", a=f64(INF, 0, NAN, -0.0, 0.0, 1e308), b=f64(0, INF, 1, 3, 3, 10),
         c=f64(1, 1, 1, -0.0, -0.0, -INF))
    auto("fma_cancels_to_plus_zero", "a*b - c", a=f64(3, -2), b=f64(4, 5), c=f64(12, -10))
    s = dict(a=A, b=B, c=C)
    for i, text in enumerate(["a - b - c", "a / b / c", "a - (b - c)", "-a**2", "(-a)**2", "a / b * c", "a // b % c",
                              "-a - -b", "+a - b", "a - b / c", "(a + b) * (a - c)", "-a * b", "a / -b",
                              "2.0 / a - 1.0", "abs(a - b) / (abs(a) + abs(b) + 1.0)", "a**2 - b**2", "1 - a/2",
                              "(a + b)/2", "a % 1.0", "sqrt(abs(a)) / b", "a*a*a/b"]):
        names = {k: v for k, v in s.items() if k in text.replace("abs", "").replace("sqrt", "")}
        auto(f"precedence_{i}", text, **names)
    x = f64(7.0, -7.0, 7.0, -7.0, 0.0, 5.5, -4.0, 4.0, 1.0)
    y = f64(3.0, 3.0, -3.0, -3.0, 3.0, -INF, 2.0, -2.0, 0.1)
    auto("float_mod_signs", "x % y", x=x, y=y)
    auto("float_floordiv_signs", "x // y", x=x[:5], y=y[:5])
    auto("float_floordiv_is_exact_quotients_floor", "x // y", x=f64(1.0, 0.3, 6.0), y=f64(0.1, 0.1, 0.6))
    auto("float_mod_zero_and_inf", "x % y", x=f64(1, -1, INF, 1, NAN), y=f64(0, INF, 2, INF, 1))
    auto("float_div_specials", "x / y", x=f64(1, -1, 0, INF, 5, -0.0), y=f64(0, 0, 0, INF, INF, 3))
    auto("float_subnormals", "x / 2 + y", x=f64(5e-324, 1e-308, 3e-308), y=f64(0, 1e-320, 0))
    auto("float_overflow", "x * y", x=f64(1e200, -1e200, 1e200), y=f64(1e200, 1e200, 1e108))
    auto("fmod_keeps_the_dividends_sign", "fmod(x, y)", x=x[:5], y=y[:5])
    auto("mod_alias", "mod(x, y)", x=x[:5], y=y[:5])
    auto("scientific_literals", "x * 1.5e-3 - 2E+2", x=f64(1, 2, 3))
    auto("underscored_literal", "x - 1_000.5", x=f64(1, 2, 3))
    case("hex_and_binary_literals", "x + 0xff - 0b101", {"x": ints("i32", 1, 2)}, ints("i32", 251, 252))
    auto("power_unary_exponent", "2.0**-1 * x", x=f64(3, 4))
    auto("power_right_associative", "x ** 2 ** 3", x=ints("i64", 2, 3, -2))
    case("statements_on_one_line", "t = a - b; u = t / 2; u - 1", dict(a=A, b=B), (A - B) / 2 - 1)
    case("lines_join_in_parentheses", "(a\n  - b   # a comment\n  - 1)", dict(a=A, b=B), A - B - 1)
    case("comment_only_lines", "# first\n\na - b  # last\n# end", dict(a=A, b=B), A - B)


def integers():
    corpus_file("integers", "Integers: wrapping, flooring, shifts, powers, exact comparisons.")
    for t in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"):
        signed = t[0] == "i"
        x = ints(t, "min", "max", 7, -7 if signed else 200, 0, 1, 100, "min", 5)
        y = ints(t, -1 if signed else 1, 2, 0, 3, -4 if signed else 4, 5, 3, 0, "max")
        for label, op in (("add", "+"), ("sub", "-"), ("mul", "*"), ("floordiv", "//"), ("mod", "%"), ("and", "&"),
                          ("or", "|"), ("xor", "^")):
            auto(f"{t}_{label}", f"x {op} y", x=x, y=y)
        width = int(t[1:])
        n = ints(t, 0, 1, width - 1, width, width + 1, 3, 2 * width + 2 if width < 64 else 2, 1, 5)
        auto(f"{t}_shl", "x << n", x=x, n=n)
        auto(f"{t}_shr", "x >> n", x=x, n=n)
        auto(f"{t}_power", "x ** p", x=x, p=ints(t, 2, 2, 3, 3, 0, 9, 7, 5, 3))
        auto(f"{t}_negate_invert", "-x ^ ~y", x=x, y=y)
        auto(f"{t}_abs_sign", "abs(x) - sign(x)", x=x)
        auto(f"{t}_divide", "x / y", x=x, y=y)
    auto("shift_negative_count", "x << n", x=ints("i32", 1, 1, 3), n=ints("i32", -1, -31, -32))
    auto("shift_weak_count_over_width", "x << 9", x=ints("u8", 1, 255, 7))
    auto("shift_mixed_widths", "x >> n", x=ints("i8", -128, 127), n=ints("i32", 3, 33))
    auto("power_negative_runtime", "x ** p", x=ints("i32", 2, 1, -1, -1, 5, 0), p=ints("i32", -1, -5, -2, -3, 0, -1))
    auto("power_weak_exponent", "x ** 3", x=ints("i16", 2, -3, 100))
    error("power_negative_constant", "x ** -1", "TYPE|VALUE", "", x=ints("i32", 2))
    big = ints("u64", "max", 1, 1 << 63, 5)
    neg = ints("i64", -1, 1, "min", "max")
    for label, op in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
        auto(f"mixed_sign_{label}", f"x {op} y", x=big, y=neg)
        auto(f"i8_u8_{label}", f"x {op} y", x=ints("i8", -1, 127, 5), y=ints("u8", 255, 127, 6))
    case("compare_constant_out_of_range", "x < 300", {"x": ints("u8", 0, 255)}, np.array([True, True]))
    case("compare_negative_constant", "x > -1", {"x": ints("u64", 0, "max")}, np.array([True, True]))
    case("compare_equal_out_of_range", "x == 1000", {"x": ints("i8", 0, 127)}, np.array([False, False]))
    auto("i64_float_compare", "x == y", x=ints("i64", (1 << 53) + 1, 3), y=f64(2.0 ** 53, 3.5))
    auto("chained_compare", "1 < x <= 3", x=ints("i32", 0, 1, 2, 3, 4))
    auto("chained_compare_arrays", "x < y < z", x=ints("i32", 1, 1, 5), y=ints("i32", 2, 0, 6), z=ints("i64", 3, 3, 6))
    auto("floor_of_integers_keeps_type", "floor(x) + ceil(x) + trunc(x)", x=ints("i16", 3, -4))
    auto("bool_and_or_xor", "(p & q) | (p ^ q)", p=np.array([True, True, False]), q=np.array([True, False, False]))
    auto("bool_invert", "~p", p=np.array([True, False]))
    auto("bool_times_bool", "p * q", p=np.array([True, True, False]), q=np.array([True, False, False]))
    auto("bool_plus_bool", "p + q", p=np.array([True, True, False]), q=np.array([True, False, False]))
    error("bool_minus_bool", "p - q", "TYPE", "", p=np.array([True]), q=np.array([True]))
    error("bool_negated", "-p", "TYPE", "", p=np.array([True]))
    auto("popcount", "popcount(x)", x=ints("u32", 0, 1, 255, "max"))
    auto("popcount_u64", "popcount(x)", x=ints("u64", 0, 1 << 63, "max"))
    for t, n in (("u8", 3), ("u32", 7), ("u64", 40)):
        w = int(t[1:])
        x = ints(t, 1, "max", 0x81, 5)
        rotated = [((int(v) << n) | (int(v) >> (w - n))) & ((1 << w) - 1) for v in x]
        case(f"rotl_{t}", f"rotl(x, {n})", {"x": x}, ints(t, *rotated))
        back = [((int(v) >> n) | (int(v) << (w - n))) & ((1 << w) - 1) for v in x]
        case(f"rotr_{t}", f"rotr(x, {n})", {"x": x}, ints(t, *back))
    auto("fmod_of_integers", "fmod(x, y)", x=ints("i32", 7, -7, 7), y=ints("i32", 3, 3, -3))
    auto("integer_min_max", "max(min(x, y), 0)", x=ints("i32", -5, 5, 9), y=ints("i32", 1, 3, "min"))


def promotion():
    corpus_file("types", "Promotion, weak scalars and conversions.")
    pairs = [("i32", "f32"), ("i64", "u64"), ("i8", "u8"), ("u32", "i32"), ("i16", "f32"), ("u8", "i16"),
             ("bool", "i8"), ("bool", "f32"), ("u64", "f32"), ("f32", "f64"), ("i8", "i64")]
    for a, b in pairs:
        x = np.array([0, 1, 1] if a == "bool" else [0.1, 3.7, -2] if a[0] == "f" else [3, 100, 5], DTYPES[a])
        y = np.array([0.3, 1.5, 2.5] if b[0] == "f" else [1, 2, 7], DTYPES[b])
        auto(f"{a}_plus_{b}", "x + y", x=x, y=y)
        auto(f"{b}_divided_by_{a}", "y / x", y=y, x=x)
    x, u = f32(1.5, -2, 0.1), ints("u8", 1, 2, 250)
    for i, (text, names) in enumerate([
            ("x * 2.5", dict(x=x)), ("x / len(x)", dict(x=x)), ("u + 1", dict(u=u)), ("u + 5", dict(u=u)),
            ("u * 1.5", dict(u=u)), ("x * pi", dict(x=x)), ("where(x > 0, nan, x)", dict(x=x)), ("1 / x", dict(x=x)),
            ("u / 2", dict(u=u)), ("x + 1", dict(x=x)), ("x * s", dict(x=x, s=np.float64(2.5))),
            ("x * s", dict(x=x, s=np.float32(2.5))), ("u + s", dict(u=u, s=np.int64(3))), ("2 * (3 + 4.5) * x", dict(x=x)),
            ("u // 2", dict(u=u)), ("u % 7", dict(u=u)), ("2 ** u", dict(u=ints("u8", 1, 7, 8))),
            ("x / 3 / 7", dict(x=x)), ("(1 / 3) * x", dict(x=x)), ("(2 + 3) // 2 * u", dict(u=u)), ("x + e", dict(x=x))]):
        auto(f"weak_{i}", text, **names)
    case("weak_size", "x * x.shape[0]", {"x": x}, x * np.float32(3))
    case("weak_through_a_name", "k = 2.5\nx * k", {"x": x}, x * np.float32(2.5))
    case("weak_through_an_argument", "fn scale(v, k) = v * k\nscale(x, 0.1)", {"x": x}, x * np.float32(0.1))
    case("weak_expression_is_f64_first", "k = 1 / 3\nx * k", {"x": x}, x * np.float32(1 / 3))
    case("weak_result_int", "1 + 2 * 3", {}, np.int64(7))
    case("weak_result_float", "1 / 4", {}, np.float64(0.25))
    case("weak_result_bool", "1 < 2", {}, np.True_)
    case("weak_param_default", "param k = 3.0\nparam x: f32[n]\nk * x", {"x": x}, np.float32(3) * x, defaults=["k"])
    case("weak_param_bound", "param k = 3.0\nparam x: f32[n]\nk * x", {"k": np.float64(0.1), "x": x}, np.float32(0.1) * x)
    case("weak_int_param_bound", "param k = 3\nparam x: u8[n]\nk + x", {"k": np.int64(7), "x": u}, u + np.uint8(7))
    case("weak_int_param_wraps", "param k = 3\nparam x: u8[n]\nk + x", {"k": np.int64(258), "x": u}, u + np.uint8(2))
    case("typed_scalar_param_is_strong", "param k: f64\nparam x: f32[n]\nk * x", {"k": np.float64(0.1), "x": x}, 0.1 * x.astype(np.float64))
    case("reduction_is_strong", "x / sum(y)", {"x": x, "y": f64(1, 2)}, x.astype(np.float64) / 3)
    case("f32_reduction_keeps_f32", "x / sum(x)", {"x": f32(1, 2, 5)}, f32(1, 2, 5) / np.float32(8))
    case("strong_literal_by_cast", "x * f64(2.5)", {"x": x}, x.astype(np.float64) * 2.5)
    error("constant_does_not_fit", "u + 300", "TYPE|VALUE", "300", u=u)
    error("negative_constant_does_not_fit", "u + -1", "TYPE|VALUE", "", u=u)
    error("constant_over_i64", "1 + 99999999999999999999", "TYPE|VALUE|SYNTAX", "")
    case("constant_fits_u64", "x + 18446744073709551615", {"x": ints("u64", 1)}, ints("u64", 0))
    special = f64(1.9, -1.9, 300, -300, 1e30, -1e30, NAN, INF, -INF, 0.5, 255.99)
    for t in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"):
        auto(f"f64_to_{t}", f"{t}(x)", x=special)
        auto(f"f32_to_{t}", f"{t}(x)", x=special.astype(np.float32))
        auto(f"i64_to_{t}", f"{t}(x)", x=ints("i64", 0, -1, 300, 70000, "min", "max", 1 << 33))
    auto("f64_to_f32", "f32(x)", x=f64(0.1, 1e39, -1e39, 1e-46, 1 + 2 ** -25, NAN, -0.0))
    auto("i64_to_f32", "f32(x)", x=ints("i64", (1 << 24) + 1, (1 << 25) + 3, "max", "min"))
    auto("u64_to_f64", "f64(x)", x=ints("u64", "max", (1 << 63) + 1025, (1 << 53) + 1))
    auto("u64_to_f32", "f32(x)", x=ints("u64", "max", (1 << 63) + 1, (1 << 24) + 1))
    auto("f64_to_bool", "bool(x)", x=f64(0, -0.0, NAN, 5e-324, 3))
    auto("i8_to_bool", "bool(x)", x=ints("i8", 0, 1, -128))
    auto("bool_to_f32", "f32(x)", x=np.array([True, False]))
    auto("cast_of_weak", "i32(2.7) + u", u=u)
    case("dtype_by_cast_chain", "f64(f32(x))", {"x": f64(0.1, 0.2)}, f64(0.1, 0.2).astype(np.float32).astype(np.float64))
    case("weak_join_in_a_loop", "s = 0.0\nfor i in 0:len(x) { s += x[i] }\ns", {"x": f32(0.1, 0.2, 0.3)},
         (np.float32(0) + np.float32(0.1)) + np.float32(0.2) + np.float32(0.3))
    case("strong_accumulator_keeps_its_type", "s = f64(0)\nfor i in 0:len(x) { s += x[i] }\ns", {"x": f32(0.1, 0.2, 0.3)},
         (np.float64(np.float32(0.1)) + np.float64(np.float32(0.2))) + np.float64(np.float32(0.3)))
    case("array_literal_is_weak", "x * [1, 2, 3]", {"x": f32(0.1, 0.2, 0.3)}, f32(0.1, 0.2, 0.3) * f32(1, 2, 3))
    case("array_literal_int", "[1, 2, 3]", {}, ints("i64", 1, 2, 3))
    case("array_literal_mixed", "[1, 2.5]", {}, f64(1, 2.5))
    case("array_literal_nested", "[[0, 1], [1, 0]] + x", {"x": f32(0.5, 0.25)}, np.array([[0.5, 1.25], [1.5, 0.25]], np.float32))
    case("array_literal_with_strong", "[x, y, 1]", {"x": np.float32(2), "y": np.float32(3)}, f32(2, 3, 1))
    error("array_literal_ragged", "[[1, 2], [3]]", "SHAPE|TYPE|SYNTAX", "")


def comparisons():
    corpus_file("logic", "Comparisons, bool operators, conditional expressions, where, min, max, clip.")
    x, y = f64(1, NAN, -0.0, INF, -INF, 2), f64(1, NAN, 0.0, INF, INF, 3)
    for label, op in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
        auto(f"nan_{label}", f"x {op} y", x=x, y=y)
    p, q = np.array([True, True, False, False]), np.array([True, False, True, False])
    auto("and", "p and q", p=p, q=q)
    auto("or", "p or q", p=p, q=q)
    auto("not", "not p", p=p)
    auto("and_or_precedence", "p or q and not p", p=p, q=q)
    auto("compare_and", "x > 0 and y < 3", x=x, y=y)
    auto("not_compare", "not x < y", x=x, y=y)
    auto("chain_of_three", "0 <= x < y < 10", x=x, y=y)
    auto("conditional", "x if s > 1 else y", x=x, s=np.float64(2), y=y)
    auto("conditional_else", "x if s > 1 else y", x=x, s=np.float64(0), y=y)
    auto("conditional_nested", "1.0 if s > 5 else 2.0 if s > 1 else s", s=np.float64(0.5))
    error("conditional_needs_scalar", "x if x > 0 else y", "TYPE|SHAPE", "where", x=x, y=y)
    error("and_wants_bools", "x and y", "TYPE", "", x=x, y=y)
    error("not_wants_bool", "not i", "TYPE", "", i=ints("i32", 1))
    error("if_wants_bool", "r = 1\nif i { r = 2 }\nr", "TYPE", "", i=np.int32(1))
    auto("where_broadcast", "where(c, x, s)", c=np.array([[True], [False]]), x=f32(1, 2, 3), s=np.float32(9))
    auto("where_mixed_types", "where(c, i, x)", c=np.array([True, False]), i=ints("i32", 7, 8), x=f32(0.5, 0.25))
    auto("where_weak_int_keeps_u8", "where(c, u, 0)", c=np.array([True, False]), u=ints("u8", 7, 8))
    auto("where_nan_payload", "where(isnan(x), 0.0, x)", x=x)
    error("where_wants_bool", "where(i, x, 0.0)", "TYPE", "", i=ints("i32", 1), x=f64(1))
    for t in (np.float64, np.float32):
        n = "f64" if t == np.float64 else "f32"
        a = np.array([1, NAN, 0.0, -0.0, INF, -INF, NAN, -0.0, 0.0], t)
        b = np.array([2, 1, -0.0, 0.0, NAN, 3, NAN, -0.0, 0.0], t)
        auto(f"{n}_min", "min(a, b)", a=a, b=b)
        auto(f"{n}_max", "max(a, b)", a=a, b=b)
        keep = ~((a == 0) & (b == 0))
        auto(f"{n}_fmin", "fmin(a, b)", a=a[keep], b=b[keep])
        auto(f"{n}_fmax", "fmax(a, b)", a=a[keep], b=b[keep])
        auto(f"{n}_clip", "clip(a, -1, 1)", a=np.array([NAN, -3, 0.5, 7, -INF, INF], t))
        auto(f"{n}_clip_arrays", "clip(a, lo, hi)", a=np.array([5, 5, 5], t), lo=np.array([1, 6, 9], t), hi=np.array([4, 9, 7], t))
    auto("min_of_three", "min(a, b, 0)", a=f64(1, -1, 3), b=f64(2, 5, -4))
    auto("max_of_four", "max(a, b, 0, 2)", a=f64(1, -1, 3), b=f64(2, 5, -4))
    auto("minimum_alias", "minimum(a, b) + maximum(a, b)", a=f64(1, -1, 3), b=f64(2, 5, -4))
    auto("clip_u8", "clip(u, 10, 200)", u=ints("u8", 5, 50, 250))
    auto("clip_i32_arrays", "clip(i, lo, hi)", i=ints("i32", 5, 50, 250), lo=ints("i32", 10, 10, 10), hi=ints("i32", 20, 60, 70))
    auto("isnan_isinf_isfinite", "where(isnan(x), 1, where(isinf(x), 2, where(isfinite(x), 3, 4)))", x=x)
    auto("isnan_of_integers", "isnan(i)", i=ints("i32", 1, 2))
    auto("sign", "sign(x)", x=f64(3, -2, 0.0, INF, -INF, NAN))
    auto("relu", "relu(x)", x=f32(3, -2, 0.5, -INF, INF))
    auto("copysign", "copysign(x, y)", x=f64(1, 2, -3, INF, 0.0), y=f64(-1, -0.0, 1, -2, -1))
    auto("copysign_f32", "copysign(x, y)", x=f32(1, 2, -3), y=f32(-1, -0.0, 1))
    auto("ldexp", "ldexp(x, n)", x=f64(1.5, -0.75, 1, 3), n=ints("i32", 4, -3, -1074, 1000))
    auto("ldexp_f32", "ldexp(x, n)", x=f32(1.5, -0.75, 1), n=ints("i32", 4, -3, -149))


GRID = {
    "exp": [-745.2, -708.5, -20.5, -1, -1e-9, 0.5, 1, 10.3, 88.5, 709.7], "exp2": [-1074, -20.5, -0.3, 0.7, 10, 127.5],
    "exp10": [-300.5, -20.5, -0.3, 0.7, 10, 37.5], "expm1": [-40, -1, -1e-5, 1e-10, 0.3, 5, 80],
    "log": [5e-324, 1e-300, 0.1, 0.999, 1, 1.0001, 2, 1e10, 1e300], "log2": [1e-300, 0.1, 0.999, 1, 3, 1024, 1e300],
    "log10": [1e-300, 0.1, 0.999, 1, 3, 1000, 1e300], "log1p": [-0.999, -0.5, -1e-9, 1e-12, 0.3, 7, 1e10],
    "sin": [-100.5, -3.2, -0.7, 1e-8, 0.5, 1.5, 3.1, 10, 1000.25], "cos": [-100.5, -3.2, -0.7, 0.5, 1.5, 3.1, 10, 1000.25],
    "tan": [-100.5, -1.2, -0.7, 1e-8, 0.5, 1.5, 3.1, 10], "asin": [-1, -0.7, -1e-5, 0.3, 0.99, 1, 1.5],
    "acos": [-1, -0.7, -1e-5, 0.3, 0.99, 1.5], "atan": [-1e10, -1, -0.3, 1e-9, 0.7, 5, 1e5],
    "sinh": [-80.5, -1, -1e-5, 0.3, 5, 60], "cosh": [-80.5, -1, -1e-5, 0.3, 5, 60],
    "tanh": [-30, -1, -1e-5, 0.3, 0.9, 5], "asinh": [-1e10, -1, -1e-5, 0.3, 5, 1e8], "acosh": [1, 1.0001, 1.5, 10, 1e10, 0.5],
    "atanh": [-0.999, -0.5, -1e-5, 0.3, 0.9, 1, 2], "sinpi": [-3.25, -0.5, 0.1, 0.75, 1.5, 100.25],
    "cospi": [-3.25, -0.3, 0.1, 0.75, 1.25, 100.25], "erf": [-4, -0.7, -1e-5, 0.3, 0.9, 2.5],
    "erfc": [-4, -0.7, -1e-5, 0.3, 0.9, 2.5, 5.5], "lgamma": [0.1, 0.5, 3.5, 10, 100.5, 1e5],
    "tgamma": [0.1, 0.5, 1, 3.5, 10, 30.5, -0.5, -2.5], "cbrt": [-27, -0.1, 1e-30, 0.3, 8, 1e20],
    "sigmoid": [-30, -1, 0.0, 0.3, 5, 40], "softplus": [-30, -1, 0.0, 0.3, 5, 40], "deg2rad": [-90, 0.0, 45, 180, 359.5],
    "rad2deg": [-1.5, 0.0, 0.7, 3.14, 6],
}
WIDER = {"lgamma": 8, "tgamma": 8, "sinpi": 8, "cospi": 8, "sigmoid": 8, "softplus": 8}


def elementwise():
    corpus_file("elementary", "Elementary functions against 260-bit values, within the default accuracy.")
    for name, grid in GRID.items():
        tol = f"ulp {WIDER.get(name, 4)}"
        special = [0.0, NAN, INF, -INF]
        if name in ("sigmoid", "softplus", "tgamma", "lgamma"):
            special = [NAN, INF]
        for t in (np.float64, np.float32):
            x = np.array(grid + special, np.float64)
            if t == np.float32:
                x = x[~(np.abs(x) > 3e37) | np.isinf(x)].astype(t)
                x = x[(x == 0) | ~(np.abs(x) < 1.2e-38)]
                y = np.asarray(elementary(name, x))
                x = x[(y == 0) | ~(np.abs(y) < 1.2e-38)]  # f32 results in the subnormal range are tested in f64
            y = np.asarray(elementary(name, x))
            case(f"{name}_{'f64' if t == np.float64 else 'f32'}", f"{name}(x)", {"x": x}, y, tol)
        i = ints("i8", 1) if name in ("asin", "acos", "atanh", "acosh") else ints("i8", 1, 2, 3)
        if name not in ("atanh", "acosh"):
            case(f"{name}_of_integers_is_f64", f"{name}(x)", {"x": i}, np.asarray(elementary(name, i)), tol)
    for alias, name in (("arcsin", "asin"), ("arccos", "acos"), ("arctan", "atan"), ("arcsinh", "asinh"),
                        ("arccosh", "acosh"), ("arctanh", "atanh")):
        x = f64(0.1, 0.5, 0.9) if name != "acosh" else f64(1.5, 2)
        case(f"alias_{alias}", f"{alias}(x)", {"x": x}, elementary(name, x), "ulp 4")
    y = [1, -1, 0.5, -0.5, 0.0, -0.0, 1, INF, -INF, 3]
    x = [1, 1, -2, -0.25, 1, -1, 0.0, 1, -INF, INF]
    b = [2, 0.5, 10, 1.1, 0, 3, 2.5, -8, 1e-3]
    p = [0.5, -2, 3.3, 100.5, 0, 4, 0, 3, 7]
    for t in (np.float64, np.float32):
        n = "f64" if t == np.float64 else "f32"
        auto(f"atan2_{n}", "atan2(y, x)", "ulp 4", y=np.array(y, t), x=np.array(x, t))
        auto(f"pow_{n}", "b ** p", "ulp 4", b=np.array(b, t), p=np.array(p, t))
        auto(f"pow_call_{n}", "pow(b, p)", "ulp 4", b=np.array(b, t), p=np.array(p, t))
        auto(f"hypot_{n}", "hypot(y, x)", "ulp 4", y=np.array(y[:7], t), x=np.array(x[:7], t))
        v = np.array([0, 1, 2, 1e10, 0.1, INF, NAN, -1, -0.0], t)
        auto(f"sqrt_{n}", "sqrt(x)", x=v)
        v = np.array([1.5, -1.5, 2.3, -2.7, 0.2, -0.2, -0.0, INF, NAN, 1e15 + 0.25, 2.0 ** 23 + 0.5], t)
        for f in ("floor", "ceil", "trunc", "rint", "abs"):
            auto(f"{f}_{n}", f"{f}(x)", x=v)
        auto(f"round_{n}", "round(x)", x=np.array([2.3, -2.7, 0.2, -0.2, 7, INF, NAN], t))
    auto("rint_half_to_even", "rint(x)", x=f64(0.5, 1.5, 2.5, -0.5, -1.5, -2.5))
    auto("pow_cube", "x ** 3", "ulp 4", x=f64(1.1, -2.3, 0.7))
    auto("pow_half", "x ** 0.5", "ulp 4", x=f64(1.1, 2.3, 0.7))
    auto("pow_negative", "x ** -1", "ulp 4", x=f64(1.1, 2.3, 0.7))
    auto("power_alias", "power(x, 2.5)", "ulp 4", x=f32(1.1, 2.3, 0.7))
    auto("pow_square_is_exact_product", "x ** 2", x=f64(1.1, -2.3, 1e-170, NAN))
    auto("pow_square_float_exponent", "x ** 2.0", x=f32(1.1, -2.3, 1e-30))
    auto("pow_weak_base", "2.0 ** x", "ulp 4", x=f32(0.5, 3, -1.5))
    auto("arctan2_alias", "arctan2(y, x)", "ulp 4", y=f64(1, -1), x=f64(0.5, -2))
    auto("sin_huge_argument", "sin(x)", "ulp 4", x=f64(1e10, 1e16, 1e22))
    auto("sqrt_of_integers", "sqrt(x)", x=ints("i8", 0, 2, 4, 9))
    auto("absolute_alias", "absolute(x)", x=f64(-1, 2))
    x = np.linspace(-3, 3, 37)
    three = elementary("exp", -x * x) * elementary("sin", 3 * x) + elementary("log1p", np.abs(x))
    case("three_functions", "exp(-x*x)*sin(3*x) + log1p(abs(x))", {"x": x}, three, "abs 0x1p-49")
    case("three_functions_tail_and_layout", "exp(-x*x)*sin(3*x) + log1p(abs(x))", {"x": Layout(x, "step2")}, three, "abs 0x1p-49")
