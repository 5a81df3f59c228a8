"""promotion.txt: the result type of every operation for every pair of operand types, by NumPy 2.

A line `op EXPR` gives the expression, with $x and $y for the operands; each line after it the operand types and the
result's, or `error`. `int` and `float` are weak operands: $x becomes a literal. Where Weft's contract departs from NumPy the rule
stands here, in `departure`; where NumPy computes in half precision the contract says f64.
"""
import numpy as np

from weftref import DTYPES, NAMES

TYPES = list(DTYPES) + ["int", "float"]
FLOATING = {"f32", "f64"}


def operand(t):
    return 2 if t == "int" else 2.5 if t == "float" else np.ones(1, DTYPES[t])


def by_numpy(f, *types):
    """The name of NumPy's result type, or "error" where it has no loop."""
    try:
        with np.errstate(all="ignore"):
            r = np.asarray(f(*[operand(t) for t in types]))
    except (TypeError, ValueError):
        return "error"
    return NAMES.get(r.dtype, "f16")


def where(a, b):
    return np.where(np.array([True]), a, b)


def compare(f):
    return lambda a, b: np.asarray(f(a, b), bool)


ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "//": np.floor_divide,
              "%": np.remainder, "**": np.power, "&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor,
              "<<": np.left_shift, ">>": np.right_shift, "<": compare(np.less), "<=": compare(np.less_equal),
              "==": compare(np.equal), "!=": compare(np.not_equal), ">": compare(np.greater)}
CALLS = {"min": np.minimum, "max": np.maximum, "fmin": np.fmin, "fmax": np.fmax, "fmod": np.fmod}
FLOAT_CALLS = {"atan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign}
UNARY_FLOAT = ["sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh",
               "tanh", "cbrt", "deg2rad", "rad2deg"]
UNARY_FLOAT_INVERSE = {"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
                       "acosh": np.arccosh, "atanh": np.arctanh}
UNARY_FLOAT_OWN = ["exp10", "sinpi", "cospi", "erf", "erfc", "lgamma", "tgamma", "sigmoid", "softplus"]  # not in NumPy


def float_call(f, *types):
    """Functions that need a float: f64 unless an operand is a strong float, which then promotes as in arithmetic."""
    strong = [t for t in types if t not in ("int", "float")]
    if not any(t in FLOATING for t in strong):
        return "f64"
    return NAMES[np.result_type(*[operand(t) for t in types])] if len(strong) == len(types) else by_numpy(f, *types)


def departure(op, a, b):
    if (a, b) == ("bool", "bool") and op == "+":
        return "i64"
    return None


def lines():
    out = ["# Result types by NumPy 2. Written by make_corpus.py; do not edit."]
    pairs = [(a, b) for a in TYPES for b in TYPES]

    def table(expression, rule, rows):
        out.append("")
        out.append(f"op {expression}")
        for types in rows:
            result = rule(*types)
            assert result != "f16", (expression, types)
            out.append(" ".join(types) + " " + result)

    for op, f in ARITHMETIC.items():
        table(f"$x {op} $y", lambda a, b: departure(op, a, b) or by_numpy(f, a, b), pairs)
    for name, f in CALLS.items():
        table(f"{name}($x, $y)", lambda a, b: by_numpy(f, a, b), pairs)
    table("pow($x, $y)", lambda a, b: by_numpy(np.power, a, b), pairs)
    table("where(true, $x, $y)", lambda a, b: by_numpy(where, a, b), pairs)
    table("clip($x, $y, $y)", lambda a, b: by_numpy(lambda x, y: np.minimum(np.maximum(x, y), y), a, b), pairs)
    for name, f in FLOAT_CALLS.items():
        table(f"{name}($x, $y)", lambda a, b: float_call(f, a, b), pairs)
    singles = [(t,) for t in TYPES]
    for name in UNARY_FLOAT:
        table(f"{name}($x)", lambda t: float_call(getattr(np, name), t), singles)
    for name, f in UNARY_FLOAT_INVERSE.items():
        table(f"{name}($x)", lambda t: float_call(f, t), singles)
    for name in UNARY_FLOAT_OWN:
        table(f"{name}($x)", lambda t: "f32" if t == "f32" else "f64", singles)
    for name in ("floor", "ceil", "trunc", "round"):
        table(f"{name}($x)", lambda t: by_numpy(getattr(np, name), t), [s for s in singles if name != "round" or s != ("bool",)])
    for name in ("isnan", "isinf", "isfinite"):
        table(f"{name}($x)", lambda t: by_numpy(getattr(np, name), t), singles)
    for expression, f in {"-$x": np.negative, "~$x": np.invert, "not $x": None, "abs($x)": np.abs, "sign($x)": np.sign,
                          "square($x)": np.square}.items():
        rule = (lambda t: "bool" if t == "bool" else "error") if f is None else lambda t: by_numpy(f, t)
        table(expression, rule, singles)
    for t in DTYPES:
        table(f"{t}($x)", lambda _: t, singles)
    strong = [(t,) for t in DTYPES]
    for name in ("sum", "prod", "min", "max", "any", "all", "argmin", "argmax", "nansum", "nanprod", "nanmin", "nanmax"):
        table(f"{name}($x)", lambda t: by_numpy(getattr(np, name), t), strong)
    for name in ("mean", "var", "std", "nanmean", "nanvar", "nanstd"):
        table(f"{name}($x)", lambda t: "f32" if t == "f32" else "f64", strong)
    table("count($x)", lambda t: "i64", strong)
    table("norm($x)", lambda t: "f32" if t == "f32" else "f64", strong)
    table("dot($x, $y)", lambda a, b: by_numpy(np.dot, a, b), [(a, b) for a in FLOATING for b in FLOATING])
    for name, rule in {"[$x, $y]": lambda a, b: by_numpy(lambda x, y: np.empty(1, np.result_type(x, y)), a, b)}.items():
        table(name.replace("$x", "$x[0]").replace("$y", "$y[0]"), rule, [(a, b) for a in DTYPES for b in DTYPES])
    return out
