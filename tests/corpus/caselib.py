"""Cases of the corpus and how they are written. corpus.h describes the line format."""
import numpy as np

from weftref import DTYPES, NAMES, Evaluator, strong

FILES = {}  # file name -> list of text blocks
_current = None
_seen = set()


def corpus_file(name, about):
    global _current
    _seen.clear()
    assert name not in FILES
    _current = FILES.setdefault(name, [f"# {about} Written by make_corpus.py; do not edit."])


class Layout:
    """A logical array and how it lies in memory: strides in elements, offset and size of the storage."""

    def __init__(self, values, kind):
        self.values = np.asarray(values)
        shape = self.values.shape
        c = [int(np.prod(shape[i + 1:])) for i in range(len(shape))]
        size = int(np.prod(shape))
        self.offset = 0
        if kind == "f":
            self.strides = [int(np.prod(shape[:i])) for i in range(len(shape))]
        elif kind == "reversed":
            self.strides, self.offset = [-s for s in c], size - 1
        elif kind == "step2":
            self.strides, size = [2 * s for s in c], 2 * size
        elif kind == "padded":  # rows with 3 unused elements after each, and a start that is not aligned
            pad = shape[-1] + 3
            self.strides = [int(np.prod(shape[i + 1:-1], dtype=int)) * pad for i in range(len(shape) - 1)] + [1]
            self.offset, size = 1, 1 + pad * int(np.prod(shape[:-1]))
        elif kind == "negrow":  # the first axis backwards
            self.strides, self.offset = [-c[0]] + c[1:], (shape[0] - 1) * c[0]
        elif kind == "bcast0":  # the first axis repeats: its values must not differ along it
            assert np.array_equal(self.values, np.broadcast_to(self.values[:1], shape), equal_nan=True)
            self.strides, size = [0] + c[1:], size // shape[0]
        elif kind == "bcast":
            assert (self.values == self.values.flat[0]).all()
            self.strides, size = [0] * len(shape), 1
        else:
            raise ValueError(kind)
        self.size = size


def words(a):
    a = np.ascontiguousarray(a)
    n = a.dtype.itemsize
    bits = a.view(f"u{n}").reshape(-1) if a.dtype != bool else a.astype(np.uint8).reshape(-1)
    return " ".join(f"{int(b):0{2 * n}x}" for b in bits)


def tensor(a):
    return f"{NAMES[a.dtype]} [{','.join(str(d) for d in a.shape)}]"


def hexfloat(v):
    return float(v).hex()


def start(name, source, inputs, defaults):
    assert name not in _seen, name
    _seen.add(name)
    lines = [f"case {name}"] + ["| " + l for l in source.strip("\n").split("\n")]
    for n, v in inputs.items():
        if isinstance(v, Layout):
            lines.append(f"input {n} {tensor(v.values)} strides [{','.join(map(str, v.strides))}] "
                         f"offset {v.offset} size {v.size} : {words(v.values)}")
        else:
            v = strong(v)
            lines.append(f"input {n} {tensor(v)} : {words(v)}")
    lines += [f"default {n}" for n in defaults]
    return lines


def values(inputs):
    return {n: v.values[()] if isinstance(v, Layout) else v for n, v in inputs.items()}


def case(name, source, inputs, expect, tol="exact", defaults=()):
    """`expect`: one value or a list of them (a Python list is several outputs). `tol`: exact | ulp N | abs BOUND, or
    one for each output."""
    lines = start(name, source, inputs, defaults)
    outs = expect if isinstance(expect, list) else [expect]
    tols = tol if isinstance(tol, list) else [tol] * len(outs)
    for v, t in zip(outs, tols):
        v = strong(v)
        assert v.dtype in NAMES, (name, v.dtype)
        lines.append(f"expect {tensor(v)} {t} : {words(v)}")
    _current.append("\n".join(lines))


def auto(name, source, tol="exact", **inputs):
    """A case whose source is one expression that the evaluator of weftref.py reads."""
    case(name, source, inputs, Evaluator(values(inputs))(source), tol)


def error(name, source, codes, substring="", **inputs):
    """`codes`: TYPE, or alternatives TYPE|VALUE where the language leaves the class open."""
    lines = start(name, source, inputs, ())
    lines.append(f"error {codes} {substring}".rstrip())
    _current.append("\n".join(lines))


def write_all(folder):
    total = 0
    for name, blocks in FILES.items():
        (folder / f"{name}.txt").write_text("\n\n".join(blocks) + "\n")
        total += len(blocks) - 1
    return total


def bound(sum_abs, dtype, depth=32):
    """How far a sum in any sensible order may be from the exact one: depth roundings of the sum of magnitudes."""
    return f"abs {hexfloat(max(depth * np.finfo(dtype).eps / 2 * float(sum_abs), 5e-324))}"


def f32(*v):
    return np.array(v, np.float32)


def f64(*v):
    return np.array(v, np.float64)


def ints(dtype, *v):
    info = np.iinfo(DTYPES[dtype])
    return np.array([info.min if x == "min" else info.max if x == "max" else x for x in v], DTYPES[dtype])
