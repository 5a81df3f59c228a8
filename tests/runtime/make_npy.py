#!/usr/bin/env python3
"""Writes npy_goldens.h: files as numpy.save makes them, for test_npy.c. Run it again after adding a row."""
import io
import os

import numpy as np
from numpy.lib import format as npy_format


def arange(shape, dtype):
    """0, 1, 2, ... in C order; bools alternate."""
    a = np.arange(int(np.prod(shape, dtype=np.int64)))
    return (a % 2 == 1 if dtype == "?" else a).astype(dtype).reshape(shape)


TYPES = {"?": "TY_BOOL", "i1": "TY_I8", "i2": "TY_I16", "i4": "TY_I32", "i8": "TY_I64", "u1": "TY_U8",
         "u2": "TY_U16", "u4": "TY_U32", "u8": "TY_U64", "f4": "TY_F32", "f8": "TY_F64"}

# name, NumPy type, shape, order, byte order, version
rows = [(t, t, (3,), "C", "<", None) for t in TYPES]
rows += [
    ("scalar", "f8", (), "C", "<", None),
    ("matrix", "f4", (3, 4), "C", "<", None),
    ("one_by_one", "i2", (1, 1), "C", "<", None),
    ("empty", "f8", (0,), "C", "<", None),
    ("empty_rows", "f8", (3, 0, 2), "C", "<", None),
    ("long_header", "i1", (0, 10, 100, 1000, 10, 100, 1000, 100000), "C", "<", None),
    ("rank8", "u1", (1, 2, 1, 2, 1, 2, 1, 3), "C", "<", None),
    ("fortran", "f8", (3, 4), "F", "<", None),
    ("fortran3", "i4", (2, 3, 4), "F", "<", None),
    ("big_f8", "f8", (2, 3), "C", ">", None),
    ("big_f4", "f4", (5,), "C", ">", None),
    ("big_i2", "i2", (5,), "C", ">", None),
    ("big_fortran", "u4", (3, 2), "F", ">", None),
    ("version2", "f4", (2, 3), "C", "<", (2, 0)),
    ("version3", "f4", (2, 3), "C", "<", (3, 0)),
]

# name, array, a word of the error
others = [
    ("half", np.zeros(2, "f2"), "<f2"),
    ("complex", np.zeros(2, "c16"), "<c16"),
    ("complex64", np.zeros(2, "c8"), "<c8"),
    ("text", np.array(["ab", "c"]), "<U2"),
    ("bytes", np.array([b"ab", b"c"]), "|S2"),
    ("raw", np.zeros(2, "V3"), "|V3"),
    ("date", np.array(["2020-01-01"], "M8[D]"), "<M8[D]"),
    ("object", np.array([None, 1], object), "|O"),
    ("structure", np.zeros(2, [("a", "f8"), ("b", "i4")]), "structures"),
    ("long_double", np.zeros(2, "g"), "<f16"),
    ("rank9", np.zeros((1,) * 9), "more than 8 dimensions"),
]


def save(array, version):
    f = io.BytesIO()
    npy_format.write_array(f, array, version=version)
    return f.getvalue()


def literal(data):
    lines = []
    for i in range(0, len(data), 24):
        lines.append('    "' + "".join(
            chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else "\\%03o" % b for b in data[i:i + 24]) + '"')
    return "\n".join(lines)


out = ["/* Made by make_npy.py. */", "/* clang-format off */"]
out += ["static const struct {", "    const char *name;", "    enum dtype dtype;", "    int rank;",
        "    int64_t shape[8];", "    bool fortran, swapped;", "    bool saved; /* as npy_write must write it */",
        "    size_t size;", "    const char *bytes;", "} npy_goldens[] = {"]
for name, dtype, shape, order, byte_order, version in rows:
    a = arange(shape, dtype)
    a = a.astype(a.dtype.newbyteorder(byte_order)) if byte_order == ">" else a
    data = save(np.asarray(a, order=order), version)
    saved = order == "C" and byte_order == "<" and version is None
    out.append('{"%s", %s, %d, {%s}, %s, %s, %s, %d,\n%s},' % (
        name, TYPES[dtype], len(shape), ", ".join(map(str, shape)) or "0", str(order == "F").lower(),
        str(byte_order == ">").lower(), str(saved).lower(), len(data), literal(data)))
out += ["};", "static const struct {", "    const char *name, *error;", "    size_t size;", "    const char *bytes;",
        "} npy_refused[] = {"]
for name, array, error in others:
    data = save(array, None)
    out.append('{"%s", "%s", %d,\n%s},' % (name, error, len(data), literal(data)))
out += ["};", "/* clang-format on */"]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "npy_goldens.h"), "w") as f:
    f.write("\n".join(out) + "\n")
