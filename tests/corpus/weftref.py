"""An independent evaluator of Weft expressions, over NumPy 2, mpmath and exact fractions.

Weft's expression grammar is close enough to Python's that Python's own parser reads it: the precedences are the same.
What differs from NumPy by Weft's contract (contraction, shifts, casts, integer powers, signed zeros in min and max,
the order of additions) is spelled out here. Python's int and float stand for weak scalars, NumPy's for strong ones.
"""
import ast
import math
import operator
from fractions import Fraction

import mpmath
import numpy as np

mpmath.mp.prec = 260

DTYPES = {"bool": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u8": np.uint8,
          "u16": np.uint16, "u32": np.uint32, "u64": np.uint64, "f32": np.float32, "f64": np.float64}
NAMES = {np.dtype(t): n for n, t in DTYPES.items()}


def is_weak(v):
    return type(v) in (int, float)


def is_float(v):
    return isinstance(v, float) or (not is_weak(v) and np.asarray(v).dtype.kind == "f")


def strong(v):
    """The value as it leaves a program: weak int is i64, weak float f64."""
    if isinstance(v, list):
        v = np.array(v)
    return np.asarray(v)


# --- rounding -------------------------------------------------------------------------------------------------

def round_fraction(q, dtype):
    """q rounded to nearest even in f32 or f64; q != 0."""
    p, low = (53, -1074) if dtype == np.float64 else (24, -149)
    sign, q = (-1.0, -q) if q < 0 else (1.0, q)
    e = q.numerator.bit_length() - q.denominator.bit_length()
    if q < Fraction(2) ** e:
        e -= 1
    k = max(e - p + 1, low)
    m = round(q / Fraction(2) ** k)
    if m * Fraction(2) ** k >= Fraction(2) ** (1024 if dtype == np.float64 else 128):
        return dtype(sign * math.inf)
    return dtype(sign * math.ldexp(float(m), k))


def fma1(a, b, c, dtype):
    a, b, c = float(a), float(b), float(c)
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        if math.isfinite(a) and math.isfinite(b):
            return dtype(c)
        return dtype(np.float64(a) * np.float64(b) + np.float64(c))
    product = Fraction(a) * Fraction(b)
    total = product + Fraction(c)
    if total != 0:
        return round_fraction(total, dtype)
    if product == 0 and c == 0:
        negative = math.copysign(1, a) * math.copysign(1, b) < 0
        return dtype(-0.0 if negative and math.copysign(1, c) < 0 else 0.0)
    return dtype(0.0)


def fma(a, b, c):
    dtype = np.dtype(np.result_type(a, b, c)).type
    a, b, c = np.broadcast_arrays(a, b, c)
    out = np.empty(a.shape, dtype)
    for i in np.ndindex(a.shape):
        out[i] = fma1(a[i], b[i], c[i], dtype)
    return out if out.shape else dtype(out)


def mp_round(v, dtype):
    if isinstance(v, mpmath.mpc):
        return dtype(math.nan)
    if mpmath.isnan(v) or mpmath.isinf(v) or v == 0:
        return dtype(float(v))
    sign, man, exp, bits = v._mpf_
    if exp + bits > 2000:
        return dtype(-math.inf if sign else math.inf)
    if exp + bits < -2000:
        return dtype(-0.0 if sign else 0.0)
    return round_fraction((-1 if sign else 1) * Fraction(int(man)) * Fraction(2) ** exp, dtype)


# --- elementary functions -------------------------------------------------------------------------------------

def _mp_tgamma(x):
    return mpmath.nan if x == -mpmath.inf else mpmath.gamma(x)


MP = {
    "exp": mpmath.exp, "exp2": lambda x: mpmath.power(2, x), "exp10": lambda x: mpmath.power(10, x),
    "expm1": mpmath.expm1, "log": mpmath.log, "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log10": lambda x: mpmath.log(x) / mpmath.log(10), "log1p": lambda x: mpmath.log(1 + x),
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "asin": mpmath.asin, "acos": mpmath.acos,
    "atan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "asinh": mpmath.asinh,
    "acosh": mpmath.acosh, "atanh": mpmath.atanh, "sinpi": mpmath.sinpi, "cospi": mpmath.cospi, "erf": mpmath.erf,
    "erfc": mpmath.erfc, "lgamma": lambda x: mpmath.log(abs(mpmath.gamma(x))), "tgamma": _mp_tgamma,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)), "deg2rad": lambda x: x * mpmath.pi / 180,
    "rad2deg": lambda x: x * 180 / mpmath.pi, "pow": mpmath.power, "hypot": mpmath.hypot,
    "atan2": mpmath.atan2,
}
ODD = {"expm1", "log1p", "sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "sinpi", "erf", "cbrt",
       "deg2rad", "rad2deg"}
POSITIVE = {"log": 0, "log2": 0, "log10": 0, "log1p": -1, "acosh": 1}  # nan below
NAN, INF = math.nan, math.inf
LIMITS = {  # values at -inf and +inf; (-inf, inf) where absent
    "exp": (0, INF), "exp2": (0, INF), "exp10": (0, INF), "expm1": (-1, INF), "softplus": (0, INF),
    "sigmoid": (0, 1), "tanh": (-1, 1), "erf": (-1, 1), "erfc": (2, 0), "atan": (-math.pi / 2, math.pi / 2),
    "cosh": (INF, INF), "lgamma": (INF, INF), "tgamma": (NAN, INF), "asin": (NAN, NAN), "acos": (NAN, NAN),
    "atanh": (NAN, NAN), "sin": (NAN, NAN), "cos": (NAN, NAN), "tan": (NAN, NAN), "sinpi": (NAN, NAN),
    "cospi": (NAN, NAN),
}


def to_float(v):
    """Functions of integers that need a float compute in f64; weak scalars stay Python's."""
    if is_weak(v):
        return float(v)
    v = np.asarray(v)
    return v if v.dtype.kind == "f" else v.astype(np.float64)


def elementary(name, *args):
    args = [to_float(a) for a in args]
    weak = all(isinstance(a, float) for a in args)
    dtype = np.dtype(np.result_type(*args)).type
    arrays = np.broadcast_arrays(*[np.asarray(a, dtype) for a in args])
    out = np.empty(arrays[0].shape, dtype)
    for i in np.ndindex(out.shape):
        xs = [float(a[i]) for a in arrays]
        x = xs[0]
        if name in ODD and x == 0:
            out[i] = x
        elif any(math.isnan(v) for v in xs):
            out[i] = math.nan
        elif name in POSITIVE and x < POSITIVE[name]:
            out[i] = math.nan
        elif len(xs) == 1 and math.isinf(x):
            out[i] = LIMITS.get(name, (-math.inf, math.inf))[x > 0]
        elif name in ("pow", "atan2", "hypot") and (x == 0 or any(math.isinf(v) or v == 0 for v in xs)):
            ufunc = {"pow": np.power, "atan2": np.arctan2, "hypot": np.hypot}[name]
            out[i] = ufunc(dtype(xs[0]), dtype(xs[1]))
        elif name == "log1p" and x == -1 or name in ("log", "log2", "log10") and x == 0:
            out[i] = -math.inf
        elif name in ("asin", "acos", "atanh") and abs(x) > 1:
            out[i] = math.nan
        elif name == "atanh" and abs(x) == 1:
            out[i] = math.copysign(math.inf, x)
        else:
            out[i] = mp_round(MP[name](*[mpmath.mpf(v) for v in xs]), dtype)
    if weak:
        return float(out)
    return out if out.shape else dtype(out)


# --- arithmetic by the contract -------------------------------------------------------------------------------

def promoted(a, b):
    """Both operands in their common NumPy 2 type."""
    t = np.result_type(a, b)
    return np.asarray(a).astype(t), np.asarray(b).astype(t)


def back(r):
    return r if np.asarray(r).shape else np.asarray(r)[()]


def add(a, b):
    if not is_weak(a) and not is_weak(b) and np.asarray(a).dtype == bool and np.asarray(b).dtype == bool:
        return np.asarray(a).astype(np.int64) + np.asarray(b).astype(np.int64)
    return operator.add(a, b)


def divide(a, b):
    if is_weak(a) and is_weak(b):
        return float(np.float64(a) / np.float64(b))
    return np.true_divide(a, b)


def floordiv(a, b):
    if is_weak(a) and is_weak(b):
        return a // b if b else (0 if type(a) is int and type(b) is int else float(np.float64(a) // np.float64(b)))
    return np.floor_divide(a, b)


def shift(op):
    def apply(a, b):
        if is_weak(a) and is_weak(b):
            return int(op(np.int64(a), np.int64(b % 64)))
        a, b = promoted(a, b)
        return back(op(a, b & np.array(a.dtype.itemsize * 8 - 1).astype(a.dtype)))
    return apply


def power(a, b):
    if isinstance(b, int) and not isinstance(b, bool) and b == 2 and is_float(a):
        return a * a
    if isinstance(b, float) and b == 2.0 and is_float(a):
        return a * a
    if is_float(a) or is_float(b):
        return elementary("pow", a if not is_weak(a) or is_weak(b) else np.result_type(a, b).type(a),
                          b if not is_weak(b) or is_weak(a) else np.result_type(a, b).type(b))
    if is_weak(a) and is_weak(b):
        return a ** b
    x, y = promoted(a, b)
    if x.dtype == bool:
        x, y = x.astype(np.int8), y.astype(np.int8)
    x, y = np.broadcast_arrays(x, y)
    out = np.empty(x.shape, x.dtype)
    bits = 8 * x.dtype.itemsize
    for i in np.ndindex(x.shape):
        base, exponent = int(x[i]), int(y[i])
        if exponent < 0:
            v = 1 if base == 1 else (1 if exponent % 2 == 0 else -1) if base == -1 else 0
        else:
            v = pow(base, exponent, 1 << bits)
        out[i] = np.array(v % (1 << bits), np.uint64).astype(x.dtype)
    return back(out)


def minimum(a, b):
    r = np.minimum(a, b)
    if np.asarray(r).dtype.kind == "f":
        r = np.where((r == 0) & ((np.asarray(a) == 0) & np.signbit(a) | (np.asarray(b) == 0) & np.signbit(b)),
                     r.dtype.type(-0.0), r)
    return back(r)


def maximum(a, b):
    r = np.maximum(a, b)
    if np.asarray(r).dtype.kind == "f":
        r = np.where((r == 0) & ((np.asarray(a) == 0) & ~np.signbit(a) | (np.asarray(b) == 0) & ~np.signbit(b)),
                     r.dtype.type(0.0), r)
    return back(r)


def fold(f):
    def apply(*args):
        r = args[0]
        for a in args[1:]:
            r = f(r, a)
        return r
    return apply


def cast(dtype):
    def one(v):
        if is_weak(v):
            v = np.float64(v) if isinstance(v, float) else np.int64(v) if v < 2 ** 63 else np.uint64(v)
        v = np.asarray(v)
        if v.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
            info = np.iinfo(dtype)
            out = np.empty(v.shape, dtype)
            for i in np.ndindex(v.shape):
                x = float(v[i])
                out[i] = 0 if math.isnan(x) else info.max if x >= info.max else info.min if x <= info.min else int(x)
            return back(out)
        return back(v.astype(dtype))
    return one


# --- the order of additions -----------------------------------------------------------------------------------

def _pairs(parts):
    while len(parts) > 1:
        parts = [parts[i] + parts[i + 1] if i + 1 < len(parts) else parts[i] for i in range(0, len(parts), 2)]
    return parts[0]


def sum_last(x):
    """Sum of a 1-d float array in the order along the last axis: 256-byte virtual vectors, lane sums closed after
    16 vectors, four runs a block, lanes by halves, blocks by adjacent pairs."""
    lanes = 256 // x.dtype.itemsize
    if len(x) == 0:
        return x.dtype.type(0)
    blocks = []
    for b in range(0, len(x), lanes * 64):
        block = np.full(lanes * 64, -0.0, x.dtype)
        part = x[b:b + lanes * 64]
        block[:len(part)] = part
        runs = []
        for r in range(4):
            vectors = block[r * 16 * lanes:(r + 1) * 16 * lanes].reshape(16, lanes)
            acc = vectors[0].copy()
            for v in vectors[1:]:
                acc = acc + v
            runs.append(acc)
        acc = (runs[0] + runs[1]) + (runs[2] + runs[3])
        while len(acc) > 1:
            acc = acc[:len(acc) // 2] + acc[len(acc) // 2:]
        blocks.append(acc[0])
    return _pairs(blocks)


def sum_rows(x):
    """Sum over the first axis when it is not the last: sequential runs of 64 rows, then the pairwise tree."""
    runs = []
    for r in range(0, x.shape[0], 64):
        acc = x[r].copy()
        for row in x[r + 1:r + 64]:
            acc = acc + row
        runs.append(acc)
    return _pairs(runs)


def sum_ordered(x, axis=None):
    """The bit-exact float sum: axis None (row-major, flattened), the last, or another single one."""
    x = np.asarray(x)
    if axis is None:
        return sum_last(x.reshape(-1))
    axis %= x.ndim
    if axis == x.ndim - 1:
        return np.array([sum_last(np.ascontiguousarray(r)) for r in x.reshape(-1, x.shape[-1])],
                        x.dtype).reshape(x.shape[:-1])
    return sum_rows(np.moveaxis(x, axis, 0))


# --- the evaluator --------------------------------------------------------------------------------------------

def int_keep(f):
    """floor, ceil, … of integers keep their type."""
    def apply(x):
        return x if not is_float(x) else f(x)
    return apply


def weak_scalar(f):
    """Keeps a function of a weak scalar weak."""
    def apply(x):
        r = f(x)
        return float(r) if is_weak(x) else r
    return apply


def where(c, a, b):
    t = np.result_type(a, b)
    return np.where(c, np.asarray(a).astype(t), np.asarray(b).astype(t))


def axis_of(kw):
    axis = kw.get("axis")
    return {"axis": axis, "keepdims": kw.get("keepdims", False)}


FUNCS = {n: (lambda n: lambda *a: elementary(n, *a))(n) for n in MP}
for new, old in {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh",
                 "arccosh": "acosh", "arctanh": "atanh"}.items():
    FUNCS[new] = FUNCS[old]
FUNCS.update({
    "pow": power, "power": power, "sqrt": weak_scalar(lambda x: np.sqrt(to_float(x))),
    "abs": lambda x: abs(x) if is_weak(x) else np.abs(x), "sign": np.sign,
    "square": lambda x: operator.mul(x, x), "floor": int_keep(np.floor), "ceil": int_keep(np.ceil),
    "trunc": int_keep(np.trunc), "rint": lambda x: np.rint(to_float(x)), "round": int_keep(np.round),
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "min": fold(minimum), "max": fold(maximum),
    "minimum": minimum, "maximum": maximum, "fmin": np.fmin, "fmax": np.fmax, "where": where,
    "clip": lambda x, lo, hi: minimum(maximum(x, lo), hi), "fma": fma, "fmod": np.fmod, "copysign": np.copysign,
    "ldexp": np.ldexp, "mod": np.remainder, "relu": lambda x: np.maximum(x, 0),
    "reshape": lambda x, *d: np.reshape(x, d), "transpose": lambda x, *p: np.transpose(x, p or None),
    "flip": lambda x, axis=None: np.flip(x, axis), "squeeze": lambda x, axis=None: np.squeeze(x, axis),
    "broadcast_to": lambda x, *d: np.broadcast_to(x, d), "len": len,
    "zeros": lambda *d, dtype=np.float64: np.zeros(d, dtype), "ones": lambda *d, dtype=np.float64: np.ones(d, dtype),
    "eye": np.eye,
    "popcount": lambda x: np.bitwise_count(x.view(f"u{x.itemsize}")).astype(x.dtype),
})
FUNCS["absolute"] = FUNCS["abs"]
FUNCS.update({n: cast(t) for n, t in DTYPES.items()})

BINARY = {ast.Add: add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: divide, ast.FloorDiv: floordiv,
          ast.Mod: lambda a, b: np.remainder(a, b) if not (is_weak(a) and is_weak(b)) else a % b, ast.Pow: power,
          ast.LShift: shift(np.left_shift), ast.RShift: shift(np.right_shift), ast.BitAnd: operator.and_,
          ast.BitOr: operator.or_, ast.BitXor: operator.xor}
COMPARE = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
           ast.Eq: operator.eq, ast.NotEq: operator.ne}
CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan, "true": True, "false": False}


class Evaluator:
    def __init__(self, names, contract=True):
        self.names = {**CONSTANTS, **names}
        self.contract = contract

    def __call__(self, text):
        with np.errstate(all="ignore"):
            return self.visit(ast.parse(text.strip(), mode="eval").body)

    def visit(self, node):
        return getattr(self, "visit_" + type(node).__name__)(node)

    def visit_Constant(self, node):
        return node.value

    def visit_Name(self, node):
        return self.names[node.id]

    def visit_Tuple(self, node):
        return tuple(self.visit(n) for n in node.elts)

    def visit_Slice(self, node):
        return slice(*[None if n is None else self.visit(n) for n in (node.lower, node.upper, node.step)])

    def visit_Subscript(self, node):
        return back(self.visit(node.value)[self.visit(node.slice)])

    def visit_Attribute(self, node):
        return getattr(self.visit(node.value), node.attr)

    def visit_List(self, node):
        return np.array([self.visit(n) for n in node.elts])

    def visit_UnaryOp(self, node):
        v = self.visit(node.operand)
        if isinstance(node.op, ast.USub):
            return -v
        if isinstance(node.op, ast.Invert):
            return ~v
        return np.logical_not(v) if isinstance(node.op, ast.Not) else v

    def visit_BinOp(self, node):
        if self.contract and isinstance(node.op, (ast.Add, ast.Sub)):
            r = self.contracted(node)
            if r is not None:
                return r
        return BINARY[type(node.op)](self.visit(node.left), self.visit(node.right))

    def contracted(self, node):
        """The fma that a `*` operand makes with its + or -, or None. The left product wins over the right one."""
        minus = isinstance(node.op, ast.Sub)
        for product, other, on_left in ((node.left, node.right, True), (node.right, node.left, False)):
            if not (isinstance(product, ast.BinOp) and isinstance(product.op, ast.Mult)):
                continue
            a, b, c = self.visit(product.left), self.visit(product.right), self.visit(other)
            if (is_weak(a) and is_weak(b)) or not is_float(a * b):
                continue
            if np.result_type(a * b, c) != np.result_type(a * b):
                continue
            if on_left:
                return fma(a, b, -c if minus else c)
            return fma(-a if minus else a, b, c)
        return None

    def visit_Compare(self, node):
        values = [self.visit(node.left)] + [self.visit(n) for n in node.comparators]
        r = True
        for op, a, b in zip(node.ops, values, values[1:]):
            r = np.logical_and(r, COMPARE[type(op)](a, b))
        return r

    def visit_BoolOp(self, node):
        f = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return fold(f)(*[self.visit(n) for n in node.values])

    def visit_IfExp(self, node):
        return self.visit(node.body if self.visit(node.test) else node.orelse)

    def visit_Call(self, node):
        kw = {k.arg: self.visit(k.value) for k in node.keywords}
        return FUNCS[node.func.id](*[self.visit(a) for a in node.args], **kw)
