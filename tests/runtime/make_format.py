#!/usr/bin/env python3
"""Writes format.txt: arrays and how NumPy prints them, for test_format.c. Made with NumPy 2.4.

    case f64 2 3 4 bits 3ff0000000000000 ...         type, rank, sizes, the elements in C order
    case f64 1 2000 mod 7 101 50 3fd0000000000000    element i is ((i*7) % 101 - 50) * 0.25
    lines 3                                          the next 3 lines are the text
"""
import os

import numpy as np

NAMES = {"?": "bool", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "u1": "u8", "u2": "u16", "u4": "u32",
         "u8": "u64", "f4": "f32", "f8": "f64"}
out = []


def case(array, how=None):
    array = np.asarray(array)
    kind = array.dtype.str[1:].replace("b1", "?")
    if how is None:
        size = array.dtype.itemsize
        bits = array.reshape(-1).view("u%d" % size) if array.size else []
        how = " ".join(["bits"] + ["%0*x" % (2 * size, int(b)) for b in bits])
    text = str(array)
    shape = "".join(" %d" % n for n in array.shape)
    out.append("case %s %d%s %s" % (NAMES[kind], array.ndim, shape, how))
    out.append("lines %d" % (text.count("\n") + 1))
    out.append(text)


def mod(dtype, shape, a, m, offset, scale):
    count = int(np.prod(shape, dtype=np.int64))
    values = ((np.arange(count) * a) % m - offset) * scale
    case(values.astype(dtype).reshape(shape), "mod %d %d %d %016x" % (a, m, offset, int(np.float64(scale).view("u8"))))


rng = np.random.default_rng(1)
floats = ("f8", "f4")

# Scalars.
for v in [0.0, -0.0, 1.0, -1.0, 0.1, 0.3, 1 / 3, 2 / 3, 100.0, 1e15, 9999999999999998.0, 1e16, 1e17, 123456789.0,
          12345678.9, 1e-3, 1e-4, 9.9999e-5, 1e-5, 1.5e-5, 1e100, 1e-100, 1e22, 1e23, 5e-324, 1.7976931348623157e308,
          2.2250738585072014e-308, 2.225073858507201e-308, np.inf, -np.inf, np.nan, 0.5, 999999.0, 1e6, 1e7, 1e8,
          16777216.0, 3.4028235e38, 1.1754944e-38, 1e-45, 1.17549e-38]:
    for t in floats:
        with np.errstate(over="ignore", under="ignore"):
            case(np.array(v, t))
for e in range(-1074, 1024, 13):
    case(np.array(2.0**e))
for e in (-44, -24, -1022, -1021, 63, 64, 122, 301, 1023):
    case(np.array(2.0**e))
for e in range(-149, 128, 5):
    case(np.array(2.0**e, "f4"))
for e in (-126, -125, -96, 90, 87, 127):
    case(np.array(2.0**e, "f4"))
for bits in rng.integers(0, 2**63, 40, dtype=np.uint64):
    case(np.array(bits).view("f8"))
for bits in rng.integers(0, 2**31, 40, dtype=np.uint32):
    case(np.array(bits, "u4").view("f4"))
for v in rng.standard_normal(20):
    case(np.array(v)), case(np.array(v, "f4"))
case(np.array(True)), case(np.array(False)), case(np.array(-128, "i1")), case(np.array(2**64 - 1, "u8"))
case(np.array(-2**63, "i8"))

# Bools and integers.
case(np.array([True])), case(np.array([False, False])), case(np.array([[True, False], [True, True]]))
case(np.array([True] * 20))
for t in "i1 i2 i4 i8 u1 u2 u4 u8".split():
    info = np.iinfo(t)
    case(np.array([info.min, 0, info.max], t)), case(np.array([7], t)), case(np.arange(30).astype(t))
case(np.arange(-50, 50)), case(np.array([[1, -2], [300, 4]])), case(np.array([-1, -22, -333]))

# Empty ones.
for shape in [(0,), (0, 5), (2, 0, 3), (0,) * 8]:
    for t in ("f8", "i4", "?"):
        case(np.zeros(shape, t))

# Floats: widths, the switch to exponents, what is not finite.
lists = [[0.0], [1.0, 2.0], [1.5, 2.25], [0.1, 0.2, 0.3], [-1.5, 2.0], [-0.0, 0.0], [1e8], [99999999.0], [99999999.5, 1e6],
         [1e-4, 1e-2], [9.999e-5], [1e-4, 0.1], [1e-4, 0.11], [1.0, 1000.0], [1.0, 1000.1], [1.0, 1001.0], [1.0, 1e3, 0],
         [0.001, 1.0], [0.001, 1.001], [np.nan], [np.inf], [-np.inf], [np.nan, 1.0], [np.inf, 1.0], [-np.inf, 1.0],
         [np.nan, 0.123456789], [np.nan, np.inf, -np.inf], [1.0, np.nan, np.inf, -np.inf, -1.5], [1e10, np.nan],
         [1e10, -np.inf, 1], [1e-10, np.inf], [1e100, 1.0], [1e100, 1e-100], [-1e100, 1e5], [1e99, 1e-99], [5e-324, 1],
         [1.7976931348623157e308, 1e-300], [0.123456785, 1], [0.001953125], [0.00048828125], [1.000000005],
         [0.999999999], [9.999999999], [99.9999999999], [99999999.99999999], [1 / 3, 2 / 3], [1e5 / 3], [1e7 / 3, 1e5],
         [np.pi * 1e8], [np.pi * 1e8, 1], [123456789.123], [1.23456789e-5, 1e-5], [1.5e-5, 2.25e-7], [16777216.0],
         [999999.0, 1e5], [1e6], [1e5, 123456.5], [1000.0 / 3, 1.0 / 3], [10.0, 100.0], [0.01, 0.1], [0.01],
         [100000.0, 1.5], [3.0, 0, np.nan, 0], [0, 0, np.inf], [1e-8, 0], [0.0625, 1e3], [12.5, -12.5], [np.nan, np.nan],
         [0.00012345678949], [0.12345678949999], [0.5, 1e-4], [2.0**-13, 2.0**-14]]
for values in lists:
    for t in floats:
        with np.errstate(over="ignore", under="ignore"):
            case(np.array(values, t))

# Line breaks: rows that just fit and just don't.
for n in range(1, 40):
    case(np.arange(n) * 1.0)
for n in (8, 9, 10, 11, 12, 13, 24, 25, 26, 27):
    case(np.arange(n) + 100), case(np.full(n, 0.123)), case(np.arange(n) % 2 == 0)
    case(np.full((2, n), 1.25)), case(np.full((1, 1, n), 12345.5)), case(np.full((2, 2, n), 7))
    case(rng.standard_normal(n)), case(rng.standard_normal(n).astype("f4"))
    case(np.full((1,) * 7 + (n,), 1e300)), case(np.array([1.0] * n + [np.nan]))

# Ranks.
for rank in range(1, 9):
    mod("f8", (2,) * rank, 5, 17, 8, 0.25)
    mod("i2", (1,) * (rank - 1) + (3,), 5, 17, 8, 1)
    mod("u1", (1,) * (rank - 1) + (1,), 5, 17, 0, 1)
mod("f4", (3, 4, 5), 7, 101, 50, 0.01)
mod("i8", (4, 3), 7, 101, 50, 1000003)

# Abridged.
for t in ("f8", "f4", "i4", "u1", "?"):
    for shape in [(1000,), (1001,), (100000,), (1001, 1), (1, 1001), (40, 40), (7, 143), (6, 167), (2, 501), (501, 2), (20, 60),
                  (3, 4, 100), (11, 11, 11), (1, 2000, 1)]:
        mod(t, shape, 7, 101, 0 if t in ("u1", "?") else 50, 1 if t not in floats else 0.25)
mod("f8", (7, 7, 7, 7), 7, 101, 50, 0.01)
mod("u1", (4, 4, 4, 4, 4), 7, 101, 0, 1)
mod("f8", (2, 2, 2, 2, 2, 2, 2, 9), 7, 101, 50, 0.01)
mod("f8", (7, 1, 7, 1, 7, 1, 7, 1), 7, 101, 50, 0.01)
mod("f8", (2000,), 1, 2000, 0, 0.001)  # small ones hidden: they have no say
mod("f8", (2000,), 1, 2000, 0, 1e6)
mod("f8", (2000,), 1, 2000, 1000, 1e-6)
mod("f8", (12, 12, 12), 13, 1009, 504, 12345.678)
mod("f8", (12, 100), 13, 1009, 504, 1e-3 / 3)
mod("i8", (30, 50), 13, 1009, 504, 10**15)

# Random ones of all sizes and magnitudes.
for i in range(240):
    rank = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(1, (40, 8, 5)[rank - 1], rank))
    values = rng.standard_normal(shape)
    kind = i % 8
    if kind == 1:
        values = np.round(values, int(rng.integers(0, 5)))
    elif kind == 2:
        values = values * 10.0**rng.integers(-12, 12)
    elif kind == 3:
        values = values * 10.0**rng.integers(-3, 4, shape)
    elif kind == 4:
        values = np.where(rng.random(shape) < 0.2, rng.choice([np.nan, np.inf, -np.inf]), values)
    elif kind == 5:
        values = np.round(values * 1000).astype(rng.choice(["i2", "i4", "i8"]))
    elif kind == 6:
        values = np.abs(values * 2.0**rng.integers(0, 20))
    elif kind == 7:
        values = rng.integers(0, 2**64, shape, dtype=np.uint64).view("f8")
    if values.dtype == np.float64 and i % 3 == 0:
        with np.errstate(over="ignore", under="ignore"):
            values = values.astype("f4")
    case(values)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "format.txt"), "w") as f:
    f.write("\n".join(out) + "\n")
print(sum(line.startswith("case ") for line in out), "cases")
