"""Programs: functions, lifted functions, loops, parameters, outputs."""
import math

import numpy as np

from caselib import Layout, case, corpus_file, error, f32, f64, ints
from weftref import fma, fma1

NAN, INF = math.nan, math.inf


def lift(f, *args):
    """f on each element of the broadcast arguments; its results may be a tuple."""
    arrays = np.broadcast_arrays(*args)
    flat = [f(*[a[i] for a in arrays]) for i in np.ndindex(arrays[0].shape)]
    if isinstance(flat[0], tuple):
        return [np.array(c).reshape(arrays[0].shape) for c in zip(*flat)]
    return np.array(flat).reshape(arrays[0].shape)


def f(a, b, c):
    return fma1(a, b, c, np.float64)


def functions():
    corpus_file("functions", "fn and ufunc definitions.")
    x, y = f64(1.5, -2, 0.3, 7), f64(0.2, 5, -1, 2)
    case("fn_expression", "fn half(v) = v / 2\nhalf(x) - half(1)", {"x": x}, x / 2 - 0.5)
    case("fn_block", "fn g(v) {\n    w = v - 1\n    return w / 3\n}\ng(x)", {"x": x}, (x - 1) / 3)
    case("fn_two_results", "fn g(v) { return v - 1, v / 2 }\na, b = g(x)\na / b", {"x": x}, (x - 1) / (x / 2))
    case("fn_typed", "fn g(v: f64[n], k: f64) -> f64[n] { return v / k }\ng(x, 4)", {"x": x}, x / 4)
    case("fn_typed_results", "fn g(v: f64[n]) -> (f64[n], i64) { return v - 1, count(v > 0) }\nreturn g(x)", {"x": x}, [x - 1, np.int64(3)])
    case("fn_generic_twice", "fn g(v) = v + v\nreturn g(x), g(i)", {"x": f32(1.5, 2), "i": ints("u8", 100, 200)}, [f32(3, 4), ints("u8", 200, 144)])
    case("fn_calls_fn", "fn a(v) = v - 1\nfn b(v) = a(v) / a(v + 3)\nb(x)", {"x": x}, (x - 1) / (x + 3 - 1))
    case("fn_calls_a_later_fn", "fn b(v) = c(v) - 1\nfn c(v) = v / 3\nb(x)", {"x": x}, x / 3 - 1)
    case("fn_shadows_builtin", "fn exp(v) = v - 10\nexp(x)", {"x": x}, x - 10)
    case("name_shadows_builtin", "gamma = x - 1\ne = gamma / 2\ne", {"x": x}, (x - 1) / 2)
    case("fn_names_are_local", "w = x / 5\nfn g(v) {\n    w = v - 1\n    return w\n}\ng(x) / w", {"x": x}, (x - 1) / (x / 5))
    case("fn_reads_global_at_the_call", "k = 2.0\nfn g(v) = v / k\na = g(x)\nk = 4.0\nreturn a, g(x)", {"x": x}, [x / 2, x / 4])
    case("fn_reduction_inside", "fn centre(v) = v - max(v)\ncentre(x)", {"x": x}, x - x.max())
    case("fn_conditional", "fn g(v, mode) {\n    if mode > 0 { return v / 2 }\n    return v - 1\n}\nreturn g(x, 1), g(x, -1)", {"x": x}, [x / 2, x - 1])
    case("literals_take_declared_types", "fn g(v: f32[n]) = v\nufunc h(i, v: f32[n]) = v[i]\nreturn g([1, 2]), h([0, 1], [1, 2.5])", {}, [f32(1, 2), f32(1, 2.5)])
    case("narrower_into_a_variable", "s = f64(1)\ns = x\nreturn s", {"x": f32(1.5)[0]}, np.float64(1.5))
    case("fn_conditional_not_taken", "fn eleventh(v) = v[10] if len(v) > 10 else -1.0\nreturn eleventh([1.5, 2]), eleventh(zeros(11))", {}, [np.float64(-1), np.float64(0)])
    case("fn_guard_before_a_misfit", "fn g(a, b) {\n    if len(a) != len(b) { return -1.0 }\n    return sum(a - b)\n}\nreturn g([1.5, 2], [1.0, 2, 3]), g([1.5, 2], [1.0, 2])", {}, [np.float64(-1), np.float64(0.5)])
    case("fn_returns_a_shape", "fn g(v) = v.shape\nh, w = g([[1.5, 2]])\nreturn h, w, g([[1], [2]])[0]", {}, [np.int64(1), np.int64(2), np.int64(2)])
    error("fn_returns_shapes_early", "fn g(v) {\n    if sum(v) > 3 { return v.shape }\n    return v.shape\n}\nh, w = g([[1, 2]])\nw", "TYPE", "v.shape[0]".replace("v", "x"))
    case("fn_reshape_not_taken", "fn g(v) = reshape(v, 2, 2) if len(v) == 4 else reshape(v, 3, 1)\ng([1.5, 2, 3])", {}, np.array([[1.5], [2], [3]]))
    case("definitions_only", "fn first(v) = v\nfn last(v) = v / 8", {"v": x}, x / 8)
    case("definitions_only_ufunc", "ufunc tri(a, b) { return a*b - a }", {"a": x, "b": y}, fma(x, y, -x))
    case("ufunc_expression", "ufunc g(a, b) = a / b - 1\ng(x, y)", {"x": x, "y": y}, x / y - 1)
    case("ufunc_broadcasts", "ufunc g(a, b) = a - b / 2\ng(x[:, None], y)", {"x": x, "y": y}, x[:, None] - y / 2)
    case("ufunc_scalar_call", "ufunc g(a) { return a / 3 }\ng(2.5)", {}, np.float64(2.5) / 3)
    case("ufunc_safe_conversion", "ufunc g(a: f64) -> f64 { return a / 3 }\ng(x)", {"x": f32(0.1, 2)}, f32(0.1, 2).astype(np.float64) / 3)
    case("ufunc_of_integers", "ufunc g(a: i32, b: i32) -> i32 { return (a << 2) ^ b }\ng(i, j)", {"i": ints("i32", 1, -7, 9), "j": ints("i32", 3, 5, -1)}, ints("i32", 1 << 2 ^ 3, -28 ^ 5, 36 ^ -1))
    case("ufunc_several_results", "ufunc g(a) -> (f64, bool) { return a - 1, a > 1 }\nv, p = g(x)\nreturn v, p", {"x": x}, [x - 1, x > 1])
    case("ufunc_results_to_i32", "ufunc g(a: f64) -> (f64, i32) { return a / 2, i32(a) }\nreturn g(x)", {"x": x}, [x / 2, ints("i32", 1, -2, 0, 7)])
    case("ufunc_calls_ufunc", "ufunc sq(a) = a * a\nufunc g(a) { return sq(a) - sq(a - 1) }\ng(x)", {"x": x}, x * x - (x - 1) * (x - 1))
    case("ufunc_calls_fn", "fn sq(a) = a * a\nufunc g(a) { return sq(a) / 3 }\ng(x)", {"x": x}, x * x / 3)
    case("ufunc_in_expression", "ufunc g(a) = a / 3\nsum(g(x)) - sum(g(x))", {"x": x}, np.float64(0))
    case("ufunc_if_elif_else", "ufunc g(a) {\n    if a > 2 { r = a - 10 }\n    elif a > 0 { r = a / 2 }\n    else { r = -a }\n    return r\n}\ng(x)",
         {"x": x}, np.where(x > 2, x - 10, np.where(x > 0, x / 2, -x)))
    case("ufunc_else_on_next_line", "ufunc g(a) {\n    if a > 0 { r = 1.0 }\n\n    else { r = a }\n    return r\n}\ng(x)", {"x": x}, np.where(x > 0, 1.0, x))
    case("ufunc_conditional_expression", "ufunc g(a) = a / 2 if a > 0 else a - 1\ng(x)", {"x": x}, np.where(x > 0, x / 2, x - 1))
    i8 = ints("i8", 1, -2, 100)
    case("ufunc_type_of_both_branches", "ufunc g(a, m) {\n    z = 1\n    if m > 0 { z = 2.5 }\n    return a + z\n}\nreturn g(i, 0), g(i, 1), g(i, k)", {"i": i8, "k": np.int64(0)}, [i8 + 1.0, i8 + 2.5, i8 + 1.0])
    case("ufunc_type_of_both_values", "ufunc g(a, m) = a - (1 if m > 0 else 2.5)\nreturn g(i, 0), g(i, 1)", {"i": i8}, [i8 - 2.5, i8 - 1.0])
    case("ufunc_type_of_both_returns", "ufunc g(a, m) {\n    if m > 0 { return a }\n    return a / 4\n}\nreturn g(i, 0), g(i, 1)", {"i": i8}, [i8 / 4, i8 * 1.0])
    case("ufunc_constant_break", "ufunc g(a, m) {\n    for i in 0:3 {\n        if m > 0 { break }\n        a -= 1\n        if true { continue }\n        a -= 10\n    }\n    return a\n}\nreturn g(x, 0), g(x, 1)", {"x": x}, [x - 1 - 1 - 1, x])
    case("ufunc_early_return", "ufunc g(a) {\n    if a > 1 { return a - 100 }\n    if a < -1 { return a + 100 }\n    return a\n}\ng(x)",
         {"x": x}, np.where(x > 1, x - 100, np.where(x < -1, x + 100, x)))
    case("ufunc_masks_and_or", "ufunc g(a, b) = 1 if a > 0 and not b > 1 or a > 5 else 0\ng(x, y)", {"x": x, "y": y}, ((x > 0) & ~(y > 1) | (x > 5)).astype(np.int64))
    case("ufunc_masked_integer_division", "ufunc g(a, b) {\n    if b != 0 { return a // b }\n    return -1\n}\ng(i, j)", {"i": ints("i32", 7, 5, -9, 1), "j": ints("i32", 2, 0, 4, 0)}, ints("i32", 3, -1, -3, -1))
    # whole-array parameters
    t = f64(0.5, 1.5, -2, 4)
    case("whole_array_loop", "ufunc g(a, t: [n]) {\n    s = f64(0)\n    for i in 0:n { s += t[i] - a }\n    return s\n}\ng(x, t)", {"x": x, "t": t},
         lift(lambda a: (((0.0 + (t[0] - a)) + (t[1] - a)) + (t[2] - a)) + (t[3] - a), x))
    case("whole_array_fma", "ufunc g(a, t: [n]) {\n    s = f64(0)\n    for i in 0:n { s = s*a + t[i] }\n    return s\n}\ng(x, t)", {"x": x, "t": t},
         lift(lambda a: f(f(f(f(0.0, a, t[0]), a, t[1]), a, t[2]), a, t[3]), x))
    case("whole_array_computed_subscript", "ufunc g(i, t: [n]) = t[i]\ng(k, t)", {"k": ints("i64", 3, 0, 0, 2, 1), "t": t}, t[[3, 0, 0, 2, 1]])
    case("whole_array_computed_u8", "ufunc g(i, t: [n]) = t[i] / 2\ng(k, t)", {"k": ints("u8", 3, 0, 1), "t": t}, t[[3, 0, 1]] / 2)
    case("whole_array_literal_negative", "ufunc g(a, t: [n]) = a - t[-1]\ng(x, t)", {"x": x, "t": t}, x - t[-1])
    case("whole_matrix", "ufunc g(i, m: f32[r, c]) {\n    s = f32(0)\n    for j in 0:c { s += m[i, j] }\n    return s\n}\ng(arange(2), m)",
         {"m": f32(1, 2, 3, 4, 5, 6).reshape(2, 3)}, f32(6, 15))
    case("whole_matrix_shape", "ufunc g(a, m: [:, :]) {\n    h, w = m.shape\n    return a / (h * w) + len(m)\n}\ng(x, m)", {"x": x, "m": np.zeros((2, 5), np.float32)}, x / 10 + 2)
    for kind in ("reversed", "step2", "padded"):
        case(f"whole_array_layout_{kind}", "ufunc g(i, t: [n]) = t[n - 1 - i]\ng(k, t)", {"k": ints("i32", 0, 1, 2, 3), "t": Layout(t, kind)}, t[::-1].copy())
    case("whole_array_passed_on", "ufunc at2(i, t: [n]) = t[i]\nufunc g(i, t: [n]) { return at2(i, t) - at2(0, t) }\ng(k, t)", {"k": ints("i64", 1, 2), "t": t}, t[[1, 2]] - t[0])
    case("two_whole_arrays_same_size", "ufunc g(w, t: [n], y: [n]) {\n    s = f64(0)\n    for i in 0:n { if t[i] < w { s += y[i] } }\n    return s\n}\ng(x, t, y)",
         {"x": x, "t": t, "y": y}, lift(lambda w: sum([y[i] for i in range(4) if t[i] < w], np.float64(0)), x))
    error("whole_array_sizes_differ", "ufunc g(w, t: [n], y: [n]) = w + t[0] - y[0]\ng(x, t, y)", "SHAPE|TYPE", "", x=x, t=t, y=f64(1, 2))
    error("computed_subscript_outside", "ufunc g(i, t: [n]) = t[i]\ng(k, t)", "INDEX", "4", k=ints("i64", 0, 4, 9), t=t)
    error("computed_subscript_negative", "ufunc g(i, t: [n]) = t[i]\ng(k, t)", "INDEX", "-1", k=ints("i64", 0, -1), t=t)
    case("masked_lane_is_not_checked", "ufunc g(i, t: [n]) {\n    if i < n { return t[i] }\n    return -1.0\n}\ng(k, t)", {"k": ints("i64", 3, 9, 100), "t": t}, f64(4, -1, -1))
    error("array_variable_in_ufunc", "ufunc g(a, t: [n]) {\n    u = t\n    return a\n}\ng(x, t)", "TYPE|UNSUPPORTED|SHAPE", "", x=x, t=t)
    error("recursion", "fn g(v) = g(v) - 1\ng(x)", "TYPE|NAME|UNSUPPORTED|SYNTAX", "", x=x)
    error("mutual_recursion", "fn g(v) = h(v)\nfn h(v) = g(v)\ng(x)", "TYPE|NAME|UNSUPPORTED|SYNTAX", "", x=x)
    error("argument_count", "fn g(a, b) = a\ng(x)", "TYPE", "", x=x)
    error("unsafe_argument", "ufunc g(a: f32) = a\ng(x)", "TYPE", "f64", x=x)
    error("wrong_rank_argument", "fn g(a: f64[h, w]) = a\ng(x)", "TYPE|SHAPE", "", x=x)
    error("result_count", "fn g(a) { return a, a }\np, q, r = g(x)", "TYPE|SYNTAX|VALUE", "", x=x)
    error("fixed_size", "fn g(a: [3]) = a\ng(x)", "SHAPE|TYPE", "3", x=x)


MANDEL = """ufunc mandel(cx, cy) {
    x = f64(0); y = f64(0); n = 0
    while x*x + y*y <= 4 and n < 60 {
        x, y = x*x - y*y + cx, 2*x*y + cy
        n += 1
    }
    return n
}
mandel(a[None, :], b[:, None])"""


def mandel(cx, cy):
    x = y = np.float64(0)
    n = 0
    while f(x, x, y * y) <= 4 and n < 60:
        x, y = f(x, x, -(y * y)) + cx, f(2 * x, y, cy)
        n += 1
    return n


def collatz(n):
    k = 0
    n = int(n)
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        k += 1
    return k


def loops():
    corpus_file("loops", "Loops at every level: for, while, break, continue, carried variables.")
    a, b = np.linspace(-2, 0.5, 21), np.linspace(-1.1, 1.1, 9)
    case("mandelbrot", MANDEL, {"a": a, "b": b}, lift(mandel, a[None, :], b[:, None]))
    x = f64(1.5, 2, 0.3, 7, 100)
    case("collatz", "ufunc collatz(n: i64) {\n    k = 0\n    while n != 1 {\n        n = n // 2 if n % 2 == 0 else 3*n + 1\n        k += 1\n    }\n    return k\n}\ncollatz(i)",
         {"i": np.arange(1, 40)}, lift(collatz, np.arange(1, 40)))
    case("gcd", "ufunc gcd(a, b) {\n    while b != 0 { a, b = b, a % b }\n    return a\n}\ngcd(i, j)", {"i": ints("i32", 12, 35, 17, 0, 270), "j": ints("i32", 18, 21, 5, 9, 192)}, ints("i32", 6, 7, 1, 9, 6))

    def newton(v):
        r = v
        for _ in range(30):
            q = (r + v / r) / 2
            if q == r:
                break
            r = q
        return r
    case("newton_break", "ufunc root(v) {\n    r = v\n    for i in 0:30 {\n        q = (r + v / r) / 2\n        if q == r { break }\n        r = q\n    }\n    return r\n}\nroot(x)", {"x": x}, lift(newton, x))
    case("continue_skips", "ufunc odd(n: i64) {\n    s = 0\n    for i in 0:n {\n        if i % 2 == 0 { continue }\n        s += i\n    }\n    return s\n}\nodd(k)", {"k": np.arange(12)}, lift(lambda n: sum(i for i in range(n) if i % 2), np.arange(12)))
    case("return_from_a_loop", "ufunc first(v, t: [n]) {\n    for i in 0:n { if t[i] >= v { return i } }\n    return -1\n}\nfirst(x, t)", {"x": x, "t": f64(1, 2, 4, 8)}, ints("i64", 1, 1, 0, 3, -1))
    case("return_from_nested_loops", "ufunc g(v: i64) {\n    for i in 0:10 {\n        for j in 0:i {\n            if i * j > v { return 100*i + j }\n        }\n    }\n    return -1\n}\ng(k)",
         {"k": ints("i64", 0, 5, 13, 50, 71, 72)},
         lift(lambda v: next((100 * i + j for i in range(10) for j in range(i) if i * j > v), -1), ints("i64", 0, 5, 13, 50, 71, 72)))

    def pairs(n):
        c = 0
        for i in range(n):
            for j in range(n):
                if j == 3:
                    break
                if (i + j) % 2:
                    continue
                c += i * j + 1
        return c
    case("nested_break_continue", "ufunc g(n: i64) {\n    c = 0\n    for i in 0:n {\n        for j in 0:n {\n            if j == 3 { break }\n            if (i + j) % 2 == 1 { continue }\n            c += i*j + 1\n        }\n    }\n    return c\n}\ng(k)",
         {"k": np.arange(9)}, lift(pairs, np.arange(9)))
    case("varying_bounds_and_step", "ufunc g(lo: i64, hi: i64) {\n    s = 0\n    for i in lo:hi:3 { s += i }\n    return s\n}\ng(p, q)", {"p": ints("i64", 0, 5, -7, 2), "q": ints("i64", 10, 5, 3, 1)},
         lift(lambda p, q: sum(range(p, q, 3)), ints("i64", 0, 5, -7, 2), ints("i64", 10, 5, 3, 1)))
    case("step_down", "ufunc g(n: i64) {\n    s = 0\n    for i in n:0:-2 { s = s * 10 + i }\n    return s\n}\ng(k)", {"k": ints("i64", 5, 4, 0)}, ints("i64", 531, 42, 0))
    case("while_with_flag", "ufunc g(v) {\n    going = true; n = 0\n    while going {\n        v /= 2\n        n += 1\n        if v < 1 { going = false }\n    }\n    return n\n}\ng(x)",
         {"x": x}, ints("i64", 1, 2, 1, 3, 7))
    case("while_true_break", "ufunc g(v) {\n    n = 0\n    while true {\n        if v > 50 { break }\n        v = v * v + 1\n        n += 1\n        if n == 20 { break }\n    }\n    return v\n}\ng(x)", {"x": x}, lift(lambda v: squares(v), x))
    case("u8_loop_wraps", "ufunc g(v: u8) -> u8 {\n    for i in 0:5 { v = v * 3 + 1 }\n    return v\n}\ng(x)", {"x": ints("u8", 0, 1, 100, 255)},
         lift(lambda v: wrap3(v), ints("u8", 0, 1, 100, 255)))
    case("augmented_integers", "ufunc g(v: i32) -> i32 {\n    v += 5; v -= 2; v *= 7; v //= 2; v %= 1000; v **= 2; v &= 0xffff; v |= 3; v ^= 21; v <<= 2; v >>= 1\n    return v\n}\ng(x)",
         {"x": ints("i32", 0, 9, -30, 1000)}, lift(lambda v: np.int32(((((((int(v) + 3) * 7) // 2 % 1000) ** 2) & 0xffff | 3) ^ 21) << 2 >> 1), ints("i32", 0, 9, -30, 1000)))
    case("augmented_division", "v = x + 0.0\nv /= 4\nv", {"x": x}, x / 4)
    case("augmented_power", "v = x + 0.0\nv **= 2\nv", {"x": x}, x * x)
    # top level
    case("fibonacci", "a, b = 0, 1\nfor i in 0:50 { a, b = b, a + b }\na", {}, np.int64(12586269025))
    case("top_while", "n = k\nc = 0\nwhile n > 1 {\n    n = n // 2\n    c += 1\n}\nc", {"k": np.int64(1000)}, np.int64(9))
    case("top_loop_over_array", "v = x\nfor i in 0:5 { v = v / 2 - 0.125 }\nv", {"x": x}, ((((x / 2 - .125) / 2 - .125) / 2 - .125) / 2 - .125) / 2 - .125)
    case("top_loop_break", "v = x\nfor i in 0:100 {\n    if max(v) < 1 { break }\n    v = v / 2\n}\nv", {"x": x}, x / 128)
    case("top_loop_continue", "s = 0\nfor i in 0:10 {\n    if i % 3 == 0 { continue }\n    s += i\n}\ns", {}, np.int64(27))
    case("top_if", "if s > 1 { r = x / 2 } elif s > 0 { r = x - 1 } else { r = -x }\nr", {"s": np.float64(0.5), "x": x}, x - 1)
    case("top_nested_loops", "s = 0\nfor i in 0:4 { for j in 0:i { s += i * j } }\ns", {}, np.int64(11))
    case("top_loop_indexes", "s = f64(0)\nfor i in 0:len(x) { s += x[i] / (i + 1) }\ns", {"x": x}, top_index(x))
    case("top_loop_slices", "s = x[0:2]\nfor i in 1:4 { s = s + x[i:i+2] }\ns", {"x": x}, ((x[0:2] + x[1:3]) + x[2:4]) + x[3:5])
    case("loop_index_after_loop", "r = 0\nfor i in 0:7:2 { r = i }\nr", {}, np.int64(6))
    case("loop_zero_times", "r = 5\nfor i in 3:3 { r = 1 }\nr", {}, np.int64(5))
    case("swap_at_once", "a = x; b = x / 2\na, b = b, a\nreturn a - b, b", {"x": x}, [x / 2 - x, x])
    case("values_not_references", "y = x\nx = x - 1\nreturn y, x", {"x": x}, [x, x - 1])
    case("heat_steps", "u = x\nfor i in 0:4 { u = where(u > 2, u / 2, u + 1) }\nu", {"x": x}, heat(x))
    case("strong_int_keeps_its_type", "c = i32(0)\nfor i in 0:5 { c += 1 }\nc", {}, np.int32(5))
    case("scalar_short_circuit", "n = k\nr = 1 if n != 0 and 10 // n > 2 else 0\nr", {"k": np.int64(0)}, np.int64(0))
    error("loop_changes_shape", "v = x\nfor i in 0:3 { v = v[1:] }\nv", "SHAPE|TYPE", "", x=x)
    error("loop_changes_rank", "v = x\nfor i in 0:3 { v = sum(v) }\nv", "SHAPE|TYPE", "", x=x)
    error("loop_changes_type", "v = i32(0)\nfor i in 0:3 { v += x[i] }\nv", "TYPE", "", x=x)
    case("if_true_joins_both", "if true { z = 1 } else { z = 2.5 }\nz", {}, np.float64(1))
    case("if_false_joins", "z = 1\nif false { z = 2.5 }\nz", {}, np.float64(1))
    case("if_elif_constants", "if false { z = 1 }\nelif true { z = 3 }\nelse { z = 2.5 }\nz", {}, np.float64(3))
    case("branch_not_taken_out_of_range", "v = [1.5, 2]\nc = sum(v) > 9\nif c { r = v[7] } else { r = v[1] }\nr", {}, np.float64(2))
    t = np.arange(4)
    case("and_of_a_scalar_and_an_array", "t = arange(4)\nc = sum(t) > 0\nreturn c and t > 1, c and t[::-1] > 1, not c or flip(t) > 1, t[1:] > 1 and c, c and (c and (not c or t[::-1] > 1))", {},
         [t > 1, t[::-1] > 1, t[::-1] > 1, t[1:] > 1, t[::-1] > 1])
    error("and_of_a_scalar_and_a_misfit", "t = arange(4)\nc = sum(t) > 0\nc and t[2:] + t > 1", "SHAPE", "`t[2:]` [2] and `t` [4]")
    case("and_or_not_evaluated", "v = [1.5, 2]\nc = sum(v) > 9\nreturn c and v[7] > 0, not c or v[7] > 0", {}, [np.bool_(False), np.bool_(True)])
    case("loop_not_entered_misfit", "r = 1.5\nfor i in 0:0 { r = sum([1.5, 2] + [1.0, 2, 3]) }\nr", {}, np.float64(1.5))
    case("program_returns_before_a_misfit", "v = [1.5, 2]\nif sum(v) < 9 { return v[0] }\nreturn v[7]", {}, np.float64(1.5))
    error("misfit_in_a_taken_branch", "c = sum([1]) > 0\nif c { r = [1, 2] + [1, 2, 3] }\n3", "SHAPE", "`[1, 2]` [2] and `[1, 2, 3]` [3]")
    error("misfit_in_a_loop", "for i in 0:2 { r = [1, 2][i + 1] }\n3", "INDEX", "subscript 2")
    error("maybe_unset", "if s > 0 { r = 1 }\nr", "NAME|TYPE", "r", s=np.float64(1))
    error("unset_after_loop", "for i in 0:k { r = i }\nr", "NAME|TYPE", "r", k=np.int64(2))
    error("break_outside", "break", "SYNTAX|TYPE|NAME", "")
    error("for_step_zero", "s = 0\nfor i in 0:5:0 { s += 1 }\ns", "VALUE|TYPE|INDEX|SHAPE", "")
    error("while_wants_bool", "n = 3\nwhile n { n -= 1 }\nn", "TYPE", "")


def squares(v):
    n = 0
    while v <= 50 and n < 20:
        v = f(v, v, 1)
        n += 1
    return v


def wrap3(v):
    for _ in range(5):
        v = (int(v) * 3 + 1) % 256
    return np.uint8(v)


def top_index(x):
    s = np.float64(0)
    for i, v in enumerate(x):
        s += v / (i + 1)
    return s


def heat(u):
    for _ in range(4):
        u = np.where(u > 2, u / 2, u + 1)
    return u


LIGHT = """param k = 3.0
param t: f64[n]
param flux: f32[n]
m, s  = nanmean(flux), nanstd(flux)
clean = where(abs(flux - m) > k*s, nan, flux)
z     = (clean - nanmean(clean)) / nanstd(clean)
ufunc spectral(w, t: [n], y: [n]) {
    c = f64(0); s = f64(0)
    for i in 0:n {
        if not isnan(y[i]) { c += y[i]*cos(w*t[i]); s += y[i]*sin(w*t[i]) }
    }
    return c*c + s*s
}
freq = linspace(0.1, 2, 96)
p    = spectral(2*pi*freq, t, z)
return freq[argmax(p)], count(isnan(clean)), clean"""


def programs():
    corpus_file("programs", "Whole programs: parameters, outputs, the light curve.")
    rng = np.random.default_rng(5)
    t = np.sort(rng.uniform(0, 30, 80))
    flux = (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t) + 0.01 * rng.normal(size=80)).astype(np.float32)
    flux[[7, 40]] = [9, -6]
    flux[[3, 55]] = np.nan
    keep = flux.copy()
    keep[[7, 40]] = np.nan
    freq = np.linspace(0.1, 2, 96)
    z = (keep - np.nanmean(keep)) / np.nanstd(keep)
    ok = ~np.isnan(z)
    power = np.abs(np.exp(2j * np.pi * freq[:, None] * t[ok]) @ z[ok]) ** 2
    case("light_curve", LIGHT, {"t": t, "flux": flux}, [freq[power.argmax()], np.int64(4), keep], ["ulp 1", "exact", "exact"], ["k"])
    x, y = f64(1, 2, 3), f64(0.5, 0.25, 4)
    case("free_names_in_order", "b - a", {"b": x, "a": y}, x - y)
    case("unused_param", "param a: f64[n]\nparam unused: f64\na / 2", {"a": x, "unused": np.float64(1)}, x / 2)
    case("param_rank_two", "param m: f64[h, w]\nsum(m, axis=0) / h", {"m": np.ones((4, 3))}, np.ones(3))
    case("param_any_type", "param v: [n]\nv + 1", {"v": ints("u8", 1, 255)}, ints("u8", 2, 0))
    case("params_share_a_size", "param a: f64[n]\nparam b: f64[n]\na - b", {"a": x, "b": y}, x - y)
    case("default_expression", "param k = 1 / 4\nparam a: f64[n]\na - k", {"a": x}, x - 0.25, defaults=["k"])
    case("two_defaults", "param lo = 0.5\nparam hi = 2.5\nparam a: f64[n]\nclip(a, lo, hi)", {"hi": np.float64(1.5), "a": f64(0.1, 1, 9)}, f64(0.5, 1, 1.5), defaults=["lo"])
    case("return_three", "return x - 1, sum(i), x > 1", {"x": x, "i": ints("i32", 4, 5)}, [x - 1, np.int64(9), x > 1])
    case("last_statement_value", "a = x - 1\nb = a / 2\nb", {"x": x}, (x - 1) / 2)
    case("output_is_an_input", "x", {"x": x}, x)
    case("output_is_an_input_view", "x[::-1]", {"x": x}, x[::-1])
    case("same_output_twice", "y = x / 2\nreturn y, y", {"x": x}, [x / 2, x / 2])
    case("outputs_of_many_types", "return u8(1), i16(2), f32(0.5), true, 7, 0.25", {}, [np.uint8(1), np.int16(2), np.float32(0.5), np.True_, np.int64(7), np.float64(0.25)])
    case("assert_passes", "assert len(x) > 2, \"three are needed\"\nx / 2", {"x": x}, x / 2)
    case("assert_on_all", "assert all(x > 0), \"positive\"\nx - 1", {"x": x}, x - 1)
    case("sibling_statistics", "return min(x), max(x), sum(x), (x - min(x)) / (max(x) - min(x))", {"x": x}, [np.float64(1), np.float64(3), np.float64(6), f64(0, 0.5, 1)])
    case("softmax_rows", "q = m - max(m, axis=1, keepdims=true)\nw = exp(q)\nw / sum(w, axis=1, keepdims=true)", {"m": f64(1, 2, 3, 0, 0, 10).reshape(2, 3)},
         (lambda w: w / w.sum(1, keepdims=True))(np.exp(f64(-2, -1, 0, -10, -10, 0).reshape(2, 3))), "ulp 16")
    case("clip_three_sigma", "m, s = mean(x), std(x)\nnanmean(where(abs(x - m) > 2*s, nan, x))", {"x": f64(1, 1, 1, 1, 1, 1, 1, 1, 1, 100)}, np.float64(1))
    case("black_scholes", "s = p; k = 100.0; r = 0.02; v = 0.3; t = 0.5\nd1 = (log(s/k) + (r + v*v/2)*t) / (v*sqrt(t))\nd2 = d1 - v*sqrt(t)\n"
         "fn cdf(d) = 0.5 * (1 + erf(d / sqrt(2)))\ns*cdf(d1) - k*exp(-r*t)*cdf(d2)", {"p": f64(80, 95, 100, 120)}, black(f64(80, 95, 100, 120)), "abs 0x1p-42")
    # The name of a size may be used for something else.
    q = f64(1, 5, 2, 4, 3, 9).reshape(2, 3)
    case("size_name_becomes_array", "param q: f64[n, m]\nk = q[0, m - 1]\nm = max(q, axis=1)\nreturn q - m[:, None], k * n", {"q": q},
         [q - q.max(1)[:, None], np.float64(4)])
    case("size_name_becomes_float", "param q: f64[n, m]\nm = 2.5\nsum(q) + m", {"q": q}, np.float64(26.5))
    case("size_name_in_loop", "param q: f64[n, m]\nwhile m > 1 { m = m * 0.5 }\nsum(q) * m", {"q": q}, np.float64(18))
    case("size_name_in_branch", "param q: f64[n, m]\nif n > 1 { m = 1.5 }\nsum(q) + m", {"q": q}, np.float64(25.5))
    error("assert_fails", "assert sum(x) > 100, \"too little light\"\nx", "ASSERT", "too little light", x=x)
    error("param_without_value", "param a: f64[n]\nparam b: f64[n]\na - c", "NAME", "c", a=x, b=y)
    error("params_differ_in_size", "param a: f64[n]\nparam b: f64[n]\na - b", "SHAPE", "n", a=x, b=f64(1, 2))
    error("param_wrong_type", "param a: f32[n]\na - 1", "TYPE|ARGUMENT", "f32", a=x)
    error("param_wrong_rank", "param a: f64[h, w]\na - 1", "SHAPE|TYPE|ARGUMENT", "", a=x)
    error("param_fixed_size", "param a: f64[4]\na - 1", "SHAPE", "4", a=x)


def black(s):
    k, r, v, t = 100.0, 0.02, 0.3, 0.5
    d1 = [(math.log(p / k) + (r + v * v / 2) * t) / (v * math.sqrt(t)) for p in s]
    cdf = lambda d: 0.5 * math.erfc(-d / math.sqrt(2))
    return np.array([p * cdf(d) - k * math.exp(-r * t) * cdf(d - v * math.sqrt(t)) for p, d in zip(s, d1)])
