#!/usr/bin/env python3
"""NumExpr's and Numba's times for the workloads of bench.c, one line each: workload|threads|engine|milliseconds.

An engine that is not installed is left out. Arguments: thread counts (default 1 2).
"""
import sys
import time

import numpy as np

THREADS = [int(a) for a in sys.argv[1:]] or [1, 2]
N = 10_000_000
rng = np.random.default_rng(1)
x, y, z = rng.uniform(-3, 3, N), rng.uniform(0.1, 3, N), rng.uniform(0.5, 2, N)
xf = x.astype(np.float32)
stock, strike, years = rng.uniform(50, 150, N), rng.uniform(60, 140, N), z
m = rng.uniform(0, 1, (4096, 4096)).astype(np.float32)
out, outf = np.empty(N), np.empty(N, np.float32)
a, b = 1.7, 0.3
POLY = "(((((((0.1*x + 0.2)*x + 0.3)*x + 0.4)*x + 0.5)*x + 0.6)*x + 0.7)*x + 0.8)*x + 0.9"


def milliseconds(f, repeat=5):
    f()
    took = []
    for _ in range(repeat):
        times, start = 0, time.perf_counter()
        while times == 0 or time.perf_counter() - start < 0.01:
            f()
            times += 1
        took.append((time.perf_counter() - start) / times * 1e3)
    return sorted(took)[repeat // 2]


def report(engine, threads, workloads):
    for name, f in workloads.items():
        print(f"{name}|{threads}|{engine}|{milliseconds(f):.6g}", flush=True)


def numexpr_workloads():
    import numexpr

    def run(text, out=None, **names):
        return lambda: numexpr.evaluate(text, names, {}, out=out)

    def triad(n):
        return run("a*x + b*z", np.empty(n), a=a, b=b, x=x[:n], z=z[:n])
    return numexpr.set_num_threads, {
        "triad 1e3": triad(1000), "triad 1e5": triad(100_000), "triad 1e7": triad(N), "poly8": run(POLY, out, x=x),
        "three f64": run("exp(-x*x)*sin(3*x) + log1p(abs(x))", out, x=x),
        "three f32": run("exp(-x*x)*sin(3*x) + log1p(abs(x))", outf, x=xf), "sum": run("sum(x)", x=x),
        "sum f32": run("sum(x)", x=xf), "dot": run("sum(x*y)", x=x, y=y), "distance": run("sum((x - y)**2)", x=x, y=y),
    }


def numba_workloads():
    import math

    import numba

    kernel = numba.njit(parallel=True, fastmath=True)
    serial = numba.njit(fastmath=True)

    def triad(a, x, b, z, out):
        for i in numba.prange(len(x)):
            out[i] = a*x[i] + b*z[i]

    @kernel
    def poly8(x, out):
        for i in numba.prange(len(x)):
            v = x[i]
            out[i] = (((((((0.1*v + 0.2)*v + 0.3)*v + 0.4)*v + 0.5)*v + 0.6)*v + 0.7)*v + 0.8)*v + 0.9

    @kernel
    def three(x, out):
        for i in numba.prange(len(x)):
            out[i] = math.exp(-x[i]*x[i])*math.sin(3*x[i]) + math.log1p(abs(x[i]))

    @kernel
    def black(s, k, t, r, v, out):
        for i in numba.prange(len(s)):
            root = v*math.sqrt(t[i])
            d1 = (math.log(s[i]/k[i]) + (r + 0.5*v*v)*t[i])/root
            n1, n2 = 0.5*(1 + math.erf(d1*0.7071067811865476)), 0.5*(1 + math.erf((d1 - root)*0.7071067811865476))
            out[i] = s[i]*n1 - k[i]*math.exp(-r*t[i])*n2

    @kernel
    def total(x):
        s = x.dtype.type(0)
        for i in numba.prange(len(x)):
            s += x[i]
        return s

    @kernel
    def dot(x, y):
        s = 0.0
        for i in numba.prange(len(x)):
            s += x[i]*y[i]
        return s

    @kernel
    def minmax(x):
        lo, hi = x[0], x[0]
        for i in numba.prange(len(x)):
            lo = min(lo, x[i])
            hi = max(hi, x[i])
        return lo, hi

    @kernel
    def moments(x):
        s = q = 0.0
        for i in numba.prange(len(x)):
            v = x[i] - x[0]
            s += v
            q += v*v
        n = len(x)
        return x[0] + s/n, (q - s*s/n)/n

    @kernel
    def distance(x, y):
        s = 0.0
        for i in numba.prange(len(x)):
            s += (x[i] - y[i])**2
        return math.sqrt(s)

    @kernel
    def scale(x, mean, factor, out):
        for i in numba.prange(len(x)):
            out[i] = (x[i] - mean)*factor

    def zscore():
        mean, var = moments(x)
        scale(x, mean, 1/math.sqrt(var), out)

    plain = numba.njit(parallel=True)  # NaN must survive

    @plain
    def clip(x, mean, limit, out):
        s, n = 0.0, 0
        for i in numba.prange(len(x)):
            keep = abs(x[i] - mean) <= limit
            out[i] = x[i] if keep else math.nan
            s += x[i] if keep else 0.0
            n += keep
        return s/n

    def clip3():
        mean, var = moments(x)
        return clip(x, mean, 3*math.sqrt(var), out)

    @kernel
    def axis1(m, out):
        for i in numba.prange(m.shape[0]):
            s = np.float32(0)
            for j in range(m.shape[1]):
                s += m[i, j]
            out[i] = s

    @kernel
    def mandelbrot(cx, cy, out):
        for i in numba.prange(len(cy)):
            for j in range(len(cx)):
                u = v = 0.0
                n = 0
                while n < 200 and u*u + v*v <= 4:
                    u, v = u*u - v*v + cx[j], 2*u*v + cy[i]
                    n += 1
                out[i, j] = n

    side = np.arange(1024) / 1024 * 2.6
    counts = np.empty((1024, 1024), np.int32)
    triad_one, triad_all = serial(triad), kernel(triad)
    row = np.empty(4096, np.float32)
    return numba.set_num_threads, {
        "triad 1e3": lambda: triad_one(a, x[:1000], b, z[:1000], out[:1000]),
        "triad 1e5": lambda: triad_all(a, x[:100_000], b, z[:100_000], out[:100_000]),
        "triad 1e7": lambda: triad_all(a, x, b, z, out), "poly8": lambda: poly8(x, out), "three f64": lambda: three(x, out),
        "three f32": lambda: three(xf, outf), "black-scholes": lambda: black(stock, strike, years, 0.03, 0.25, out),
        "sum": lambda: total(x), "sum f32": lambda: total(xf), "dot": lambda: dot(x, y), "min+max": lambda: minmax(x),
        "mean+var": lambda: moments(x), "distance": lambda: distance(x, y), "z-score": zscore, "3-sigma clip": clip3,
        "axis 1 sum": lambda: axis1(m, row), "mandelbrot": lambda: mandelbrot(side - 2, side - 1.3, counts),
    }


for engine, make in (("numexpr", numexpr_workloads), ("numba", numba_workloads)):
    try:
        set_threads, workloads = make()
    except ImportError:
        print(f"{engine} is not installed", file=sys.stderr)
        continue
    for threads in THREADS:
        try:
            set_threads(threads)
        except ValueError:
            continue
        report(engine, threads, workloads)
