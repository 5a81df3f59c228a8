"""Reductions of rows that the same rows then use (softmax and its like), which may go row by row: bit for bit where every
step is exact or ordered, at the sizes where a row is short, fills a block, or is longer than a cache."""
import numpy as np

from caselib import Layout, case, corpus_file, error
from weftref import sum_ordered

RNG = np.random.default_rng(23)

# Few and many rows, short and long ones.
SIZES = [(1, 4097), (1, 5000), (2, 1), (2, 1025), (2, 5000), (7, 3), (7, 17), (7, 1000), (64, 16), (64, 64), (64, 1025),
         (64, 4097), (300, 1), (300, 3), (300, 17), (300, 64), (300, 1000)]

# Dear enough to be stored, and made of operations that round once.
SPREAD = "sqrt(abs(x)) / (abs(x) + 2)"
NORMALISE = f"e = {SPREAD}\nz = e / sum(e, axis=1, keepdims=true)\n"
CENTRE = "c = x - mean(x, axis=1, keepdims=true)\nz = c / sqrt(mean(c*c, axis=1, keepdims=true) + s)\n"
SHARES = "e = ((x * 7919) % 1009) // 3 + x\nz = e * 1000 // (1 + abs(sum(e, axis=1, keepdims=true)))\n"


def spread(x):
    return np.sqrt(np.abs(x)) / (np.abs(x) + x.dtype.type(2))


def row_sums(x):
    return sum_ordered(np.ascontiguousarray(x), 1)[:, None] if x.shape[1] else np.zeros((x.shape[0], 1), x.dtype)


def normalise(x):
    e = spread(x)
    return e / row_sums(e)


def centre(x, s):
    n = x.dtype.type(x.shape[1])
    c = x - row_sums(x) / n
    return c / np.sqrt(row_sums(c * c) / n + s)


def shares(x):
    e = ((x * 7919) % 1009) // 3 + x
    return e.astype(np.int64) * 1000 // (1 + np.abs(e.sum(1, keepdims=True, dtype=np.int64)))


def softmax(x):
    wide = x.astype(np.longdouble)
    e = np.exp(wide - wide.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def log_softmax(x):
    wide = x.astype(np.longdouble)
    y = wide - wide.max(1, keepdims=True)
    return y - np.log(np.exp(y).sum(1, keepdims=True))


def within(x, factor):
    return f"abs {float(np.finfo(x.dtype).eps * factor).hex()}"


def made():
    """Data made by arithmetic, results summed up, so that large ones cost no space in the file."""
    for (rows, cols), dtype in [(size, t) for size in SIZES for t in (np.float32, np.float64, np.int32)]:
        i = np.arange(rows * cols).reshape(rows, cols)
        n = np.dtype(dtype).name.replace("float", "f").replace("int", "i")
        name, step = f"{n}_{rows}x{cols}", max(1, rows // 8)
        ends = f"return sum(z, axis=1)[::{step}], max(z, axis=0)[::{max(1, cols // 8)}], sum(z)"
        begin = f"i = reshape(arange({rows * cols}), {rows}, {cols})\n"

        def outputs(z):
            return [np.ascontiguousarray(row_sums(z)[::step, 0] if z.dtype.kind == "f" else z.sum(1)[::step]),
                    z.max(0)[::max(1, cols // 8)], sum_ordered(z) if z.dtype.kind == "f" else z.sum()]

        if n == "i32":
            x = ((i * 7919) % 1009 - 300).astype(np.int32)
            case(f"shares_{name}", f"{begin}x = i32((i * 7919) % 1009 - 300)\n{SHARES}{ends}", {}, outputs(shares(x)))
            continue
        x = (((i * 7919) % 1009).astype(dtype) / dtype(7) - dtype(60)).astype(dtype)
        begin += f"x = {n}((i * 7919) % 1009) / s - 60\n"
        case(f"normalise_{name}", begin + NORMALISE + ends, {"s": dtype(7)}, outputs(normalise(x)))
        case(f"centre_{name}", begin + CENTRE + ends, {"s": dtype(7)}, outputs(centre(x, dtype(7))))


def given(dtype):
    n = np.dtype(dtype).name.replace("float", "f")
    x = np.round(RNG.normal(size=(7, 17)) * 3, 3).astype(dtype)
    s = dtype(0.125)
    for kind in ("f", "reversed", "step2", "padded", "negrow"):
        case(f"{n}_normalise_{kind}", NORMALISE + "return z", {"x": Layout(x, kind)}, normalise(x))
        case(f"{n}_centre_{kind}", CENTRE + "return z", {"x": Layout(x, kind), "s": s}, centre(x, s))
    same = np.broadcast_to(x[:1], x.shape)
    case(f"{n}_normalise_bcast0", NORMALISE + "return z", {"x": Layout(same, "bcast0")}, normalise(x[:1]) + np.zeros_like(x))
    for rows, cols in ((1, 1), (1, 17), (7, 1), (7, 2), (3, 65)):
        y = np.round(RNG.normal(size=(rows, cols)) * 3, 3).astype(dtype)
        soft = "e = exp(x - max(x, axis=1, keepdims=true))\nreturn e / sum(e, axis=1, keepdims=true)"
        case(f"{n}_softmax_{rows}x{cols}", soft, {"x": y}, softmax(y).astype(dtype), within(y, 8))
        case(f"{n}_log_softmax_{rows}x{cols}",
             "y = x - max(x, axis=1, keepdims=true)\ny - log(sum(exp(y), axis=1, keepdims=true))", {"x": y},
             log_softmax(y).astype(dtype), within(y, 64))
        case(f"{n}_centre_{rows}x{cols}", CENTRE + "return z", {"x": y, "s": s}, centre(y, s))
    e = spread(x)
    sums = row_sums(e)
    case(f"{n}_rows_flipped", f"e = {SPREAD}\ne[::-1] / sum(e, axis=1, keepdims=true)", {"x": x}, e[::-1] / sums)
    case(f"{n}_row_flipped", f"e = {SPREAD}\ne[:, ::-1] / sum(e, axis=1, keepdims=true)", {"x": x}, e[:, ::-1] / sums)
    case(f"{n}_next_row", f"e = {SPREAD}\ne[1:] / sum(e, axis=1, keepdims=true)[:-1]", {"x": x}, e[1:] / sums[:-1])
    case(f"{n}_columns", f"e = {SPREAD}\nreturn e / sum(e, axis=1, keepdims=true), e - max(e, axis=0)", {"x": x},
         [e / sums, e - e.max(0)])
    case(f"{n}_transposed", f"e = {SPREAD}\ne.T / sum(e.T, axis=1, keepdims=true)", {"x": x}, e.T / row_sums(e.T))
    square = x[:, :7].copy()
    case(f"{n}_square", f"e = {SPREAD}\ne.T / sum(e, axis=1)", {"x": square}, spread(square).T / row_sums(spread(square))[:, 0])
    case(f"{n}_kept", f"e = {SPREAD}\ns = sum(e, axis=1)\nreturn e / s[:, None], e, s", {"x": x}, [e / sums, e, sums[:, 0]])
    case(f"{n}_reshaped", f"e = {SPREAD}\nreturn e / sum(e, axis=1, keepdims=true), sum(reshape(e, 17, 7), axis=1)", {"x": x},
         [e / sums, row_sums(e.reshape(17, 7))[:, 0]])
    z = x
    for _ in range(3):
        z = normalise(z)
    case(f"{n}_again", f"for i in 0:3 {{\n    e = {SPREAD}\n    x = e / sum(e, axis=1, keepdims=true)\n}}\nreturn x", {"x": x}, z)
    case(f"{n}_nested", "fn f(x) {\n    e = %s\n    return e / sum(e, axis=1, keepdims=true)\n}\nf(f(f(x)))" % SPREAD, {"x": x}, z)
    w = np.round(RNG.normal(size=(7, 33)), 3).astype(dtype)
    case(f"{n}_two", "fn f(x) {\n    e = %s\n    return e / sum(e, axis=1, keepdims=true)\n}\n"
         "return f(x), f(y), f(x) + max(f(y), axis=1, keepdims=true)" % SPREAD, {"x": x, "y": w},
         [normalise(x), normalise(w), normalise(x) + normalise(w).max(1, keepdims=True)])
    case(f"{n}_asserted", f"e = {SPREAD}\ns = sum(e, axis=1, keepdims=true)\nassert all(s > 0)\ne / s", {"x": x}, e / sums)
    t = np.round(RNG.normal(size=(3, 4, 35)), 3).astype(dtype)
    one = t.reshape(12, 35)
    case(f"{n}_rank3", f"e = {SPREAD}\ne / sum(e, axis=2, keepdims=true)", {"x": t}, normalise(one).reshape(t.shape))
    case(f"{n}_rank3_two_axes", f"e = {SPREAD}\ne / sum(e, axis=(1, 2), keepdims=true)", {"x": t},
         normalise(t.reshape(3, 140)).reshape(t.shape))
    for shape in ((1, 4, 35), (4, 1, 35), (1, 1, 140), (4, 35, 1)):
        u = t.reshape(-1)[:140].reshape(shape)
        case(f"{n}_rank3_{'x'.join(map(str, shape))}", f"e = {SPREAD}\ne / sum(e, axis=2, keepdims=true)", {"x": u},
             normalise(u.reshape(-1, shape[2])).reshape(shape))
    for rows, cols in ((0, 5), (3, 0), (0, 0)):
        case(f"{n}_empty_{rows}x{cols}", NORMALISE + "return z, sum(z, axis=1)", {"x": np.zeros((rows, cols), dtype)},
             [np.zeros((rows, cols), dtype), np.zeros(rows, dtype)])
    error(f"{n}_empty_row_max", "e = exp(x - max(x, axis=1, keepdims=true))\ne / sum(e, axis=1, keepdims=true)",
          "VALUE|SHAPE", "empty", x=np.zeros((3, 0), dtype))
    error(f"{n}_subscript", "ufunc pick(v, t: [k]) = t[i64(v * 1000)]\ne = exp(abs(x))\n"
          "pick(e / sum(e, axis=1, keepdims=true), x[0])", "INDEX", "", x=x)
    nan = x.copy()
    nan[2, 5], nan[4, 0] = np.nan, np.inf
    case(f"{n}_nan", NORMALISE + "return z, max(z, axis=1)", {"x": nan}, [normalise(nan), normalise(nan).max(1)])


def rows():
    corpus_file("rows", "Rows that are reduced and then used row by row: softmax and its like.")
    made()
    for dtype in (np.float32, np.float64):
        given(dtype)
