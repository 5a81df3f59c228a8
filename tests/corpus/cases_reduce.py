"""Reductions: results by exact sums, and the order of additions bit for bit."""
import itertools
import math
from fractions import Fraction

import numpy as np

from caselib import Layout, auto, bound, case, corpus_file, error, f32, f64, ints
from weftref import Evaluator, maximum, minimum, round_fraction, sum_ordered

NAN, INF = math.nan, math.inf
RNG = np.random.default_rng(20)


def exact_sum(values, dtype):
    q = sum((Fraction(float(v)) for v in values), Fraction(0))
    return round_fraction(q, dtype) if q else dtype(0)


def along(f, x, axis, keepdims=False):
    """f of each 1-d run that the axes cut out."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    keep = [a for a in range(x.ndim) if a not in axes]
    moved = np.transpose(x, keep + list(axes)).reshape([x.shape[a] for a in keep] + [-1])
    flat = [f(moved[i]) for i in np.ndindex(moved.shape[:-1])]
    shape = [1 if a in axes else x.shape[a] for a in range(x.ndim)] if keepdims else [x.shape[a] for a in keep]
    return np.array(flat).reshape(shape)


def variance(v, ddof=0):
    n = len(v)
    q = [Fraction(float(e)) for e in v]
    m = sum(q) / n
    s = sum((e - m) ** 2 for e in q)
    t = np.float64 if v.dtype.kind != "f" else v.dtype.type
    return round_fraction(s / (n - ddof), t) if s else t(0)


def root(v):
    return v.dtype.type(math.sqrt(v))


def results():
    corpus_file("reductions", "Reductions: values, axes, types, empty arrays, NaN.")
    m = np.round(RNG.normal(size=(5, 7)), 3)
    t = np.round(RNG.normal(size=(3, 4, 5)), 3)
    options = {"": None, ", axis=0": 0, ", axis=1": 1, ", axis=-1": -1, ", axis=-2": -2, ", axis=(0, 1)": (0, 1)}
    for dtype in (np.float64, np.float32):
        n = "f64" if dtype == np.float64 else "f32"
        x = m.astype(dtype)
        sizes = np.abs(x).sum()
        for i, (text, axis) in enumerate(options.items()):
            case(f"{n}_sum_{i}", f"sum(x{text})", {"x": x}, along(lambda v: exact_sum(v, dtype), x, axis), bound(sizes, dtype))
            case(f"{n}_mean_{i}", f"mean(x{text})", {"x": x},
                 along(lambda v: dtype(float(exact_sum(v, np.float64)) / len(v)), x, axis), bound(sizes, dtype))
            case(f"{n}_var_{i}", f"var(x{text})", {"x": x}, along(variance, x, axis), bound(4, dtype, 64))
            case(f"{n}_std_{i}", f"std(x{text}, ddof=1)", {"x": x}, along(lambda v: root(variance(v, 1)), x, axis), bound(4, dtype, 64))
            auto_reduce(f"{n}_min_{i}", f"min(x{text})", x, np.min(x, axis))
            auto_reduce(f"{n}_max_{i}", f"max(x{text})", x, np.max(x, axis))
            if not isinstance(axis, tuple):
                auto_reduce(f"{n}_argmin_{i}", f"argmin(x{text})", x, np.argmin(x, axis))
                auto_reduce(f"{n}_argmax_{i}", f"argmax(x{text})", x, np.argmax(x, axis))
        case(f"{n}_prod", "prod(x)", {"x": dtype([1.5, -2, 0.25, 3])}, dtype(-2.25))
        case(f"{n}_norm", "norm(x)", {"x": dtype([3, 4])}, dtype(5), "ulp 2")
        case(f"{n}_norm_axis", "norm(x, axis=0)", {"x": x}, np.array([math.sqrt(sum(float(e) ** 2 for e in c)) for c in x.T], dtype), "ulp 8")
        case(f"{n}_dot", "dot(x, y)", {"x": x[0], "y": x[1]},
             exact_products(x[0], x[1], dtype), bound(np.abs(x[0] * x[1]).sum(), dtype))
        case(f"{n}_sum_of_product", "sum(x*y)", {"x": x[0], "y": x[1]}, exact_products(x[0], x[1], dtype),
             bound(np.abs(x[0] * x[1]).sum(), dtype))
        case(f"{n}_distance", "sqrt(sum((x - y)**2))", {"x": x[0], "y": x[1]},
             dtype(math.sqrt(sum(float(d) ** 2 for d in x[0] - x[1]))), "ulp 16")
        case(f"{n}_zscore", "(x - mean(x)) / std(x)", {"x": dtype([1, 2, 3, 4])},
             dtype([-1.5, -0.5, 0.5, 1.5]) / dtype(math.sqrt(1.25)), "ulp 4")
    for i, axis in enumerate([0, 1, 2, -1, (0, 1), (1, 2), (0, 2), (0, 1, 2), (-1, 0), (2, 1)]):
        case(f"rank3_sum_{i}", f"sum(t, axis={axis})", {"t": t}, along(lambda v: exact_sum(v, np.float64), t, axis), bound(np.abs(t).sum(), np.float64))
        case(f"rank3_max_keepdims_{i}", f"max(t, axis={axis}, keepdims=true)", {"t": t}, np.max(t, axis, keepdims=True))
        case(f"rank3_var_{i}", f"var(t, axis={axis}, ddof=1)", {"t": t}, along(lambda v: variance(v, 1), t, axis), bound(4, np.float64, 64))
    for kind in ("f", "reversed", "step2", "padded", "negrow"):
        for axis in (0, 1):
            case(f"layout_{kind}_min_{axis}", f"min(x, axis={axis})", {"x": Layout(m, kind)}, m.min(axis))
            case(f"layout_{kind}_argmax_{axis}", f"argmax(x, axis={axis})", {"x": Layout(m, kind)}, m.argmax(axis))
        case(f"layout_{kind}_mean", "mean(x)", {"x": Layout(m, kind)}, np.float64(math.fsum(m.flat) / m.size), bound(np.abs(m).sum(), np.float64))
    case("keepdims_all", "sum(x, keepdims=true)", {"x": ints("i32", 1, 2, 3, 4).reshape(2, 2)}, np.array([[10]]))
    case("keepdims_centres", "x - max(x, axis=1, keepdims=true)", {"x": m}, m - m.max(1, keepdims=True))
    case("axis_of_expression", "min(abs(x) - 1, axis=0)", {"x": m}, (np.abs(m) - 1).min(0))
    case("axis_of_transpose", "max(x.T, axis=0)", {"x": m}, m.max(1))
    case("axis_of_slice", "min(x[::-1, 1:5], axis=1)", {"x": m}, m[::-1, 1:5].min(1))
    case("axis_of_broadcast", "max(a + b, axis=0)", {"a": m[:, :1].copy(), "b": m[0]}, (m[:, :1] + m[0]).max(0))
    case("reduction_of_reduction", "max(min(x, axis=0))", {"x": m}, m.min(0).max())
    case("reduction_in_elementwise", "where(x > mean(x), 1, 0)", {"x": f64(1, 2, 6)}, ints("i64", 0, 0, 1))
    case("four_at_once", "return min(x), max(x), argmin(x), argmax(x)", {"x": m}, [m.min(), m.max(), m.argmin(), m.argmax()])
    for ty in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool"):
        v = np.array([True, False, True, True]) if ty == "bool" else ints(ty, "max", "max", 7, "min", 100, "max")
        acc = np.uint64 if ty[0] == "u" else np.int64
        case(f"sum_{ty}", "sum(x)", {"x": v}, v.astype(acc).sum(dtype=acc))
        case(f"prod_{ty}", "prod(x)", {"x": v[:3]}, v[:3].astype(acc).prod(dtype=acc))
        case(f"mean_{ty}", "mean(x)", {"x": v}, np.float64(math.fsum(v.astype(np.float64))) / len(v), "ulp 2")
        case(f"min_max_{ty}", "return min(x), max(x)", {"x": v}, [v.min(), v.max()])
        case(f"arg_{ty}", "return argmin(x), argmax(x)", {"x": v}, [v.argmin(), v.argmax()])
        case(f"count_any_all_{ty}", "return count(x), any(x), all(x)", {"x": v}, [np.int64(np.count_nonzero(v)), v.any(), v.all()])
    case("var_of_integers", "var(x)", {"x": ints("i32", 1, 2, 4)}, np.float64(14 / 9), "ulp 4")
    case("std_of_u8", "std(x)", {"x": ints("u8", 1, 3)}, np.float64(1))
    case("count_predicate", "count(x > 0)", {"x": m}, np.int64((m > 0).sum()))
    case("count_axis", "count(x > 0, axis=0)", {"x": m}, (m > 0).sum(0))
    case("count_nan_is_nonzero", "count(x)", {"x": f64(0, -0.0, NAN, 2)}, np.int64(2))
    case("any_all_axis", "return any(x > 1, axis=0), all(x > -2, axis=1)", {"x": m}, [(m > 1).any(0), (m > -2).all(1)])
    case("sum_of_bools_axis", "sum(x > 0, axis=1)", {"x": m}, (m > 0).sum(1))
    x = f64(3, NAN, 1, NAN, 7)
    for name in ("sum", "prod", "min", "max", "mean", "var", "std"):
        case(f"{name}_propagates_nan", f"{name}(x)", {"x": x}, np.float64(NAN))
    case("argminmax_first_nan", "return argmin(x), argmax(x)", {"x": x}, [np.int64(1), np.int64(1)])
    case("argmax_first_maximum", "argmax(x)", {"x": f64(1, 5, 5, 2)}, np.int64(1))
    case("argmin_first_minimum", "argmin(x)", {"x": ints("i32", 4, 1, 1)}, np.int64(1))
    case("nan_family", "return nansum(x), nanprod(x), nanmin(x), nanmax(x), nanargmin(x), nanargmax(x)", {"x": x},
         [np.float64(11), np.float64(21), np.float64(1), np.float64(7), np.int64(2), np.int64(4)])
    case("nan_moments", "return nanmean(x), nanvar(x), nanstd(x)", {"x": x},
         [np.nanmean(x), np.nanvar(x), np.nanstd(x)], "ulp 4")
    y = m.copy()
    y[[0, 2, 4], [1, 3, 1]] = NAN
    for axis in (0, 1):
        for name, f in (("nanmin", np.nanmin), ("nanmax", np.nanmax), ("nanargmin", np.nanargmin), ("nanargmax", np.nanargmax)):
            case(f"{name}_axis{axis}", f"{name}(x, axis={axis})", {"x": y}, f(y, axis))
        for name, f in (("nansum", np.nansum), ("nanmean", np.nanmean), ("nanvar", np.nanvar), ("nanstd", np.nanstd)):
            case(f"{name}_axis{axis}", f"{name}(x, axis={axis})", {"x": y}, f(y, axis), bound(8, np.float64, 64))
    case("nan_of_integers", "return nansum(i), nanmax(i)", {"i": ints("i32", 1, 5)}, [np.int64(6), np.int32(5)])
    case("nanvar_ddof", "nanvar(x, ddof=1)", {"x": f64(1, NAN, 2, 4)}, np.float64(7 / 3), "ulp 4")
    case("nansum_all_nan", "nansum(x)", {"x": f64(NAN, NAN)}, np.float64(0))
    case("nanmean_all_nan", "nanmean(x)", {"x": f64(NAN, NAN)}, np.float64(NAN))
    case("nan_then_clip", "m = nanmean(x)\nwhere(isnan(x), m, x)", {"x": f64(1, NAN, 3)}, f64(1, 2, 3))
    case("min_max_zero_signs", "return min(x), max(x), min(y), max(y)", {"x": f64(0.0, -0.0), "y": f64(-0.0, 0.0)},
         [np.float64(-0.0), np.float64(0.0), np.float64(-0.0), np.float64(0.0)])
    case("min_max_infinities", "return min(x), max(x)", {"x": f32(INF, INF)}, [np.float32(INF), np.float32(INF)])
    case("sum_infinities", "sum(x)", {"x": f64(INF, 1, -INF)}, np.float64(NAN))
    z = np.zeros(0)
    case("empty_sum", "sum(x)", {"x": z}, np.float64(0))
    case("empty_prod", "prod(x)", {"x": z}, np.float64(1))
    case("empty_count_any_all", "return count(x), any(x), all(x)", {"x": z}, [np.int64(0), np.False_, np.True_])
    case("empty_mean", "mean(x)", {"x": z}, np.float64(NAN))
    case("empty_var_std", "return var(x), std(x)", {"x": z}, [np.float64(NAN), np.float64(NAN)])
    case("empty_sum_axis", "sum(x, axis=0)", {"x": np.zeros((0, 3))}, np.zeros(3))
    case("empty_sum_other_axis", "sum(x, axis=1)", {"x": np.zeros((0, 3))}, np.zeros(0))
    case("empty_result_min", "min(x, axis=1)", {"x": np.zeros((0, 3))}, np.zeros(0))
    case("empty_i32_sum", "sum(x)", {"x": np.zeros(0, np.int32)}, np.int64(0))
    case("sum_of_negative_zeros", "sum(x)", {"x": f64(-0.0, -0.0)}, np.float64(-0.0))
    for name in ("min", "max", "argmin", "argmax"):
        error(f"empty_{name}", f"{name}(x)", "VALUE|SHAPE", "empty", x=z)
    error("empty_min_axis", "min(x, axis=0)", "VALUE|SHAPE", "", x=np.zeros((0, 3)))
    case("ddof_equals_count", "var(x, ddof=1)", {"x": f64(5)}, np.float64(NAN))
    case("scalar_sum", "sum(x)", {"x": np.float64(2.5)}, np.float64(2.5))
    case("scalar_mean_std", "return mean(x), std(x)", {"x": np.float32(2.5)}, [np.float32(2.5), np.float32(0)])
    case("size_one", "return sum(x), mean(x), var(x), min(x), argmax(x)", {"x": f64(4)},
         [np.float64(4), np.float64(4), np.float64(0), np.float64(4), np.int64(0)])
    error("positional_axis", "sum(x, 0)", "TYPE|NAME|VALUE|SYNTAX", "axis=0", x=m)
    error("axis_out_of_range", "sum(x, axis=2)", "SHAPE|VALUE|INDEX|TYPE", "2", x=m)
    error("axis_repeated", "sum(x, axis=(0, 0))", "SHAPE|VALUE|INDEX|TYPE", "", x=m)
    error("axis_repeated_negative", "sum(x, axis=(1, -1))", "SHAPE|VALUE|INDEX|TYPE", "", x=m)
    error("unknown_keyword", "sum(x, axes=0)", "NAME|TYPE|SYNTAX", "", x=m)
    error("dot_lengths", "dot(x, y)", "SHAPE", "", x=f64(1, 2), y=f64(1, 2, 3))
    big = (np.arange(9000) % 251 - 125).astype(np.int32)
    case("long_i32", "return sum(x), min(x), argmax(x), count(x > 0)", {"x": big},
         [big.sum(dtype=np.int64), big.min(), big.argmax(), np.int64((big > 0).sum())])
    x = np.array([1e8, 1, -1e8, 1] * 30, np.float32)
    case("f32_cancellation", "sum(x)", {"x": x}, np.float32(60), bound(np.abs(x.astype(np.float64)).sum(), np.float32, 16))


def exact_products(a, b, dtype):
    return round_fraction(sum(Fraction(float(p)) * Fraction(float(q)) for p, q in zip(a, b)), dtype)


def auto_reduce(name, source, x, expect):
    case(name, source, {"x": x}, expect)


def order():
    corpus_file("reduction_order", "The order of additions is part of the language: sums bit for bit.")
    for dtype in (np.float64, np.float32):
        n = "f64" if dtype == np.float64 else "f32"
        for size in (1, 2, 3, 31, 33, 65, 100, 257, 515):
            x = (RNG.normal(size=size) * 10.0 ** RNG.integers(-6, 6, size)).astype(dtype)
            case(f"{n}_sum_{size}", "sum(x)", {"x": x}, sum_ordered(x))
        # Made by arithmetic on short inputs, so that the long ones cost no space in this file.
        for size in (1024, 1025, 2048, 2049, 4095, 4097, 6000, 8192, 12289, 20000):
            i = np.arange(size)
            v = (((i * 7919) % 1009).astype(dtype) / dtype(7) - dtype(60)).astype(dtype)
            case(f"{n}_long_{size}", f"i = arange({size})\nsum({n}((i * 7919) % 1009) / s - 60)", {"s": dtype(7)}, sum_ordered(v))
        for shape, axis in itertools.product([(3, 5), (70, 3), (130, 9), (5, 70)], (0, 1)):
            x = (RNG.normal(size=shape) * 10.0 ** RNG.integers(-4, 4, shape)).astype(dtype)
            if x.size < 700:
                case(f"{n}_axis{axis}_{shape[0]}x{shape[1]}", f"sum(x, axis={axis})", {"x": x}, sum_ordered(x, axis))
        for rows, cols in ((64, 5), (65, 4), (200, 33), (300, 3), (1000, 2)):
            i = np.arange(rows * cols).reshape(rows, cols)
            v = (((i * 7919) % 1009).astype(dtype) / dtype(7) - dtype(60)).astype(dtype)
            for axis in (0, 1):
                case(f"{n}_made_{rows}x{cols}_axis{axis}", f"i = reshape(arange({rows * cols}), {rows}, {cols})\n"
                     f"sum({n}((i * 7919) % 1009) / s - 60, axis={axis})", {"s": dtype(7)}, sum_ordered(v, axis))
        x = (RNG.normal(size=(6, 50)) * 10.0 ** RNG.integers(-4, 4, (6, 50))).astype(dtype)
        case(f"{n}_flattened", "sum(x)", {"x": x}, sum_ordered(x))
        case(f"{n}_mean_is_sum_over_n", "mean(x)", {"x": x}, sum_ordered(x) / dtype(300))
        for kind in ("f", "reversed", "step2", "padded"):
            case(f"{n}_flattened_{kind}", "sum(x)", {"x": Layout(x, kind)}, sum_ordered(x))
            for axis in (0, 1):
                case(f"{n}_axis{axis}_{kind}", f"sum(x, axis={axis})", {"x": Layout(x, kind)}, sum_ordered(x, axis))
        case(f"{n}_transposed", "sum(x.T, axis=0)", {"x": x}, sum_ordered(np.ascontiguousarray(x.T), 0))
        case(f"{n}_sum_of_fma", "sum(x*x - y)", {"x": x[0], "y": x[1]},
             sum_ordered(Evaluator({"x": x[0], "y": x[1]})("x*x - y")))
        case(f"{n}_sum_of_products", "sum(x*y)", {"x": x[0], "y": x[1]}, sum_ordered(x[0] * x[1]))
        lo, hi = x.flat[0], x.flat[0]
        for e in x.flat:
            lo, hi = minimum(lo, e), maximum(hi, e)
        case(f"{n}_min_max", "return min(x), max(x)", {"x": x}, [lo, hi])
    i = np.arange(5000)
    v = ((i * 31) % 77).astype(np.float64)
    case("integer_mean", "mean((arange(5000) * 31) % 77)", {}, sum_ordered(v) / 5000)
