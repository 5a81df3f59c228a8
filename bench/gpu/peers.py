#!/usr/bin/env python3
"""Times of CuPy, Numba, JAX and PyTorch for the workloads of gpu.c, one line each: workload|engine|milliseconds.

Usage: peers.py ENGINE [FILTER...]: only the workloads whose names hold one of the FILTERs.

Sizes are those of gpu.c, from the same environment variables. Everything stays on the device; device time is taken with events
around a batch of launches (JAX has none: the batch is timed by the clock, its launches included). Each engine makes its own data and
checks a result against NumPy before it is timed. Where there are several ways to write a workload, all are timed and the fastest
counts. What fails, or is wrong, is left out with a line on stderr, and the exit status is 1; so it is where the engine is not
installed or finds no GPU.
"""
import os
import sys
import time

import numpy as np


def size(name, otherwise):
    return int(os.environ.get(name, 0)) or otherwise


N, SIDE, ROWS, COLUMNS = size("GPU_N", 100_000_000), size("GPU_SIDE", 16384), size("GPU_ROWS", 65536), 1024
PIXELS, FREQS, SAMPLES = size("GPU_PIXELS", 4096), size("GPU_FREQS", 100_000), size("GPU_SAMPLES", 3000)
ROUNDS = size("GPU_ROUNDS", 15)
TYPES = {"f32": np.float32, "f64": np.float64}
UNIT, POSITIVE, MARKET = ((-3, 3), (0.1, 3), (0.5, 2)), ((0.5, 2), (0.1, 3), (0.5, 2)), ((50, 150), (60, 140), (0.1, 2))
ROOT_HALF = 0.7071067811865476
FILTERS = sys.argv[2:]
rng = np.random.default_rng(1)


def host(ranges, dtype, n=N):
    return [rng.random(n, dtype=dtype) * dtype(hi - lo) + dtype(lo) for lo, hi in ranges]


def pixels(dtype):
    side = np.arange(PIXELS) / PIXELS * 2.6
    return (side - 2).astype(dtype), (side - 1.3).astype(dtype)


def light_curve():
    t = np.sort(rng.random(SAMPLES)) * 60
    q = (np.sin(8.6 * t) + rng.random(SAMPLES) - 0.5).astype(np.float32)
    q[5::97] = np.nan
    return 2 * np.pi * (0.1 + 9.9 * np.arange(FREQS) / FREQS), t, q


def wanted(*names):
    """Whether one of these workloads is to be measured. `names`: of workloads, without or with a type."""
    both = [n for name in names for n in ([name] if name[-3:] in TYPES else [f"{name} {suffix}" for suffix in TYPES])]
    return not FILTERS or any(f in name for f in FILTERS for name in both)


def check(got, want, tolerance, unequal):
    """Raises if more than a share `unequal` of the elements is off by more than `tolerance`, relative to each or to their mean size."""
    got, want = np.asarray(got, dtype=np.float64).ravel(), np.asarray(want, dtype=np.float64).ravel()
    same = [False]
    if got.shape == want.shape:
        same = np.isclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).mean(), equal_nan=True)
    if 1 - np.mean(same) > unequal:
        at = int(np.argmin(same))
        raise ValueError(f"{1 - np.mean(same):.2%} of the results are wrong: {got[at:at + 3]} instead of {want[at:at + 3]}")


class Engine:
    """`timer(run, times)` gives the device seconds of a batch, `array(a)` puts a NumPy array on the device, `numpy(a)` brings it back."""

    failed = False

    def __init__(self, name, timer, array, numpy):
        self.name, self.timer, self.array, self.numpy = name, timer, array, numpy

    def measure(self, run, want, part, tolerance, unequal):
        result = run()
        result = result if isinstance(result, (tuple, list)) else (result,)
        got = np.concatenate([np.atleast_1d(self.numpy(r if part is None else r[part])).ravel() for r in result])
        check(got, want, tolerance, unequal)
        del result, got
        self.timer(run, 2)
        once = self.timer(run, 1)
        times = max(1, min(200, int(5e-3 / max(once, 1e-9)) + 1))
        took = sorted(self.timer(run, times) / times for _ in range(ROUNDS))
        return 1e3 * took[len(took) // 2]

    def report(self, workload, ways, arguments, want, part=None, tolerance=1e-3, unequal=0.0):
        """`ways`: a function of the arguments, or several that do the same. `part` of each result is compared with `want`."""
        if not wanted(workload):
            return
        times, ways = [], ways if isinstance(ways, list) else [ways]
        for k, way in enumerate(ways):
            try:
                times.append(self.measure(lambda: way(*arguments), want, part, tolerance, unequal))
            except Exception as error:  # of whatever kind: the other workloads are measured
                self.failed = True
                print(f"{workload}, way {k + 1} of {len(ways)}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                      file=sys.stderr, flush=True)
        if times:
            print(f"{workload}|{self.name}|{min(times):.6g}", flush=True)


def expected(name, x, y, z):
    """What NumPy makes of the first elements, in double precision."""
    x, y, z = (a[:100].astype(np.float64) for a in (x, y, z))
    if name == "triad":
        return 1.7 * x + 0.3 * y
    if name == "poly8":
        return np.polyval(np.arange(1, 10) / 10, x)
    if name == "three":
        return np.exp(-x * x) * np.sin(3 * x) + np.log1p(np.abs(x))
    from math import erf
    cdf = np.vectorize(lambda d: 0.5 * (1 + erf(d * ROOT_HALF)))
    root = 0.25 * np.sqrt(z)
    d1 = (np.log(x / y) + (0.03 + 0.5 * 0.25 ** 2) * z) / root
    return x * cdf(d1) - y * np.exp(-0.03 * z) * cdf(d1 - root)


def escapes(cx, cy):
    """Turns of the Mandelbrot loop, by NumPy."""
    x, y = np.zeros((2, cy.size, cx.size), cx.dtype)
    u, v, n = cx[None, :], cy[:, None], np.zeros(x.shape, np.int32)
    for _ in range(200):
        inside = x*x + y*y <= 4
        x, y = np.where(inside, x*x - y*y + u, x), np.where(inside, 2*x*y + v, y)
        n += inside
    return n


def run_all(engine, elementwise, reductions, matrix, loops):
    """elementwise(type) and reductions(type): {name: function of x, y, z, or a list of such}; matrix: of a matrix; loops: see below."""
    for suffix, dtype in TYPES.items():
        known = elementwise(suffix)
        for ranges, names in ((UNIT, ("triad", "poly8", "three")), (MARKET, ("black-scholes",))):
            functions = {name: known[name] for name in names if name in known and wanted(f"{name} {suffix}")}
            if not functions:
                continue
            x, y, z = host(ranges, dtype)
            on = [engine.array(a) for a in (x, y, z)]
            for name, f in functions.items():
                engine.report(f"{name} {suffix}", f, on, expected(name, x, y, z), slice(0, 100))
            del on
        functions = {name: f for name, f in reductions(suffix).items() if wanted(f"{name} {suffix}")}
        if functions:
            x, y, _ = host(POSITIVE, dtype)
            on = [engine.array(a) for a in (x, y)]
            want = {"sum": lambda: x.sum(dtype=np.float64), "dot": lambda: np.dot(x.astype(np.float64), y.astype(np.float64)),
                    "mean+var": lambda: [x.mean(dtype=np.float64), x.var(dtype=np.float64)]}
            for name, f in functions.items():
                engine.report(f"{name} {suffix}", f, on, want[name]())
            del on
    if "axis 0 sum" in matrix and wanted("axis 0 sum f32", "axis 1 sum f32"):
        m = rng.random((SIDE, SIDE), dtype=np.float32)
        on = engine.array(m)
        for axis in (0, 1):
            engine.report(f"axis {axis} sum f32", matrix[f"axis {axis} sum"], [on], m.sum(axis=axis, dtype=np.float64))
        del on
    if "softmax" in matrix and wanted("softmax f32"):
        s = rng.random((ROWS, COLUMNS), dtype=np.float32) * np.float32(8) - np.float32(4)
        e = np.exp(s[:2].astype(np.float64))
        on = engine.array(s)
        engine.report("softmax f32", matrix["softmax"], [on], e / e.sum(axis=1, keepdims=True), slice(0, 2), 1e-5)
        del on
    for suffix, dtype in TYPES.items():
        if "mandelbrot" in loops and wanted(f"mandelbrot {suffix}"):
            cx, cy = pixels(dtype)
            rows = slice(PIXELS // 4, PIXELS // 4 + 4)  # through the set's edge, where rounding changes some counts
            engine.report(f"mandelbrot {suffix}", loops["mandelbrot"], [engine.array(cx), engine.array(cy)], escapes(cx, cy[rows]), rows,
                          0, 0.02)
    if "spectral" in loops and wanted("spectral f64"):
        w, t, q = light_curve()
        good = ~np.isnan(q)
        phase = np.outer(w[:4], t[good])
        want = (q[good] * np.cos(phase)).sum(axis=1) ** 2 + (q[good] * np.sin(phase)).sum(axis=1) ** 2
        engine.report("spectral f64", loops["spectral"], [engine.array(a) for a in (w, t, q)], want, slice(0, 4))


# --- CuPy ------------------------------------------------------------------------------------------------------------

def cupy_engine():
    import cupy as cp

    if cp.cuda.runtime.getDeviceCount() == 0:
        raise RuntimeError("no device")

    def timer(run, times):
        start, stop = cp.cuda.Event(), cp.cuda.Event()
        start.record()
        for _ in range(times):
            run()
        stop.record()
        stop.synchronize()
        return 1e-3 * cp.cuda.get_elapsed_time(start, stop)

    engine = Engine("cupy", timer, cp.asarray, cp.asnumpy)

    def elementwise(suffix):
        dtype = TYPES[suffix]
        triad = cp.ElementwiseKernel("T a, T x, T b, T y", "T out", "out = a*x + b*y", "triad")
        poly = "x*T(0.1) + T(0.2)"
        for k in range(3, 10):
            poly = f"({poly})*x + T(0.{k})"
        poly = cp.ElementwiseKernel("T x", "T out", "out = " + poly, "poly8")
        three = cp.ElementwiseKernel("T x", "T out", "out = exp(-x*x)*sin(T(3)*x) + log1p(abs(x))", "three")
        black = cp.ElementwiseKernel("T x, T y, T z, T r, T v", "T out", f"""
            T root = v*sqrt(z);
            T d1 = (log(x/y) + (r + T(0.5)*v*v)*z)/root;
            T n1 = T(0.5)*(T(1) + erf(d1*T({ROOT_HALF}))), n2 = T(0.5)*(T(1) + erf((d1 - root)*T({ROOT_HALF})));
            out = x*n1 - y*exp(-r*z)*n2;""", "black")
        out = cp.empty(N, dtype)
        return {"triad": lambda x, y, z: triad(dtype(1.7), x, dtype(0.3), y, out), "poly8": lambda x, y, z: poly(x, out),
                "three": lambda x, y, z: three(x, out),
                "black-scholes": lambda x, y, z: black(x, y, z, dtype(0.03), dtype(0.25), out)}

    def reductions(suffix):
        total = cp.ReductionKernel("T x", "T out", "x", "a + b", "out = a", "0", "total")
        dot = cp.ReductionKernel("T x, T y", "T out", "x*y", "a + b", "out = a", "0", "dot")
        # CuPy sums one input by CUB, two by kernels of its own.
        return {"sum": [lambda x, y: total(x), lambda x, y: cp.sum(x)],
                "dot": [lambda x, y: dot(x, y), lambda x, y: cp.dot(x, y)],
                "mean+var": lambda x, y: (x.mean(), x.var())}

    @cp.fuse()
    def shifted_exp(s, top):
        return cp.exp(s - top)

    def softmax(s):
        e = shifted_exp(s, s.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    # `i` and `n` are names of CuPy's own inside a kernel.
    escape = cp.ElementwiseKernel("T cx, T cy", "int32 count", """
        T x = 0, y = 0;
        int turns = 0;
        while (turns < 200 && x*x + y*y <= T(4)) {
            T next = x*x - y*y + cx;
            y = T(2)*x*y + cy;
            x = next;
            turns++;
        }
        count = turns;""", "escape")
    spectral = cp.ElementwiseKernel("float64 w, raw float64 t, raw float32 q, int32 samples", "float64 out", """
        double c = 0, s = 0;
        for (int k = 0; k < samples; k++) {
            if (isnan(q[k])) continue;
            double sine, cosine;
            sincos(w*t[k], &sine, &cosine);
            c += (double)q[k]*cosine;
            s += (double)q[k]*sine;
        }
        out = c*c + s*s;""", "spectral")
    matrix = {"axis 0 sum": lambda m: m.sum(axis=0), "axis 1 sum": lambda m: m.sum(axis=1), "softmax": softmax}
    return (engine, elementwise, reductions, matrix,
            {"mandelbrot": lambda cx, cy: escape(cx[None, :], cy[:, None]), "spectral": lambda w, t, q: spectral(w, t, q, SAMPLES)})


# --- Numba -----------------------------------------------------------------------------------------------------------

def numba_engine():
    global cuda, math  # where Numba's simulator looks for them, too
    import math

    from numba import cuda

    if not cuda.is_available():
        raise RuntimeError("no device")

    def timer(run, times):
        start, stop = cuda.event(), cuda.event()
        start.record()
        for _ in range(times):
            run()
        stop.record()
        stop.synchronize()
        return 1e-3 * cuda.event_elapsed_time(start, stop)

    engine = Engine("numba", timer, cuda.to_device, lambda a: a.copy_to_host())

    def launch(kernel, count, *arguments, threads=256):
        kernel[(count + threads - 1) // threads, threads](*arguments)

    @cuda.jit
    def triad(a, x, b, y, out):
        i = cuda.grid(1)
        if i < out.size:
            out[i] = a*x[i] + b*y[i]

    @cuda.jit
    def three(x, three, out):
        i = cuda.grid(1)
        if i < out.size:
            v = x[i]
            out[i] = math.exp(-v*v)*math.sin(three*v) + math.log1p(abs(v))

    @cuda.jit
    def black(x, y, z, r, v, half, one, root_half, out):
        i = cuda.grid(1)
        if i < out.size:
            root = v*math.sqrt(z[i])
            d1 = (math.log(x[i]/y[i]) + (r + half*v*v)*z[i])/root
            n1, n2 = half*(one + math.erf(d1*root_half)), half*(one + math.erf((d1 - root)*root_half))
            out[i] = x[i]*n1 - y[i]*math.exp(-r*z[i])*n2

    @cuda.reduce
    def total(a, b):
        return a + b

    @cuda.jit
    def escape(cx, cy, counts):
        j, i = cuda.grid(2)
        if i < counts.shape[0] and j < counts.shape[1]:
            u = v = cx[j] - cx[j]
            n = 0
            while n < 200 and u*u + v*v <= 4:
                u, v = u*u - v*v + cx[j], (v + v)*u + cy[i]
                n += 1
            counts[i, j] = n

    @cuda.jit
    def spectrum(w, t, q, out):
        i = cuda.grid(1)
        if i < out.size:
            c = s = 0.0
            for k in range(t.size):
                if not math.isnan(q[k]):
                    c += q[k]*math.cos(w[i]*t[k])
                    s += q[k]*math.sin(w[i]*t[k])
            out[i] = c*c + s*s

    def elementwise(suffix):
        T = TYPES[suffix]
        out = cuda.device_array(N, T)

        def run(kernel, *arguments):
            launch(kernel, N, *arguments, out)
            return out
        c = tuple(T(k / 10) for k in range(1, 10))  # constants of the kernel, of its type

        @cuda.jit
        def poly8(x, out):
            i = cuda.grid(1)
            if i < out.size:
                v = x[i]
                out[i] = (((((((c[0]*v + c[1])*v + c[2])*v + c[3])*v + c[4])*v + c[5])*v + c[6])*v + c[7])*v + c[8]
        return {"triad": lambda x, y, z: run(triad, T(1.7), x, T(0.3), y), "poly8": lambda x, y, z: run(poly8, x),
                "three": lambda x, y, z: run(three, x, T(3)),
                "black-scholes": lambda x, y, z: run(black, x, y, z, T(0.03), T(0.25), T(0.5), T(1), T(ROOT_HALF))}

    def reductions(suffix):
        room = cuda.device_array(1, TYPES[suffix])

        def sum_of(x, y):
            total(x, res=room)
            return room
        return {"sum": sum_of}

    counts = cuda.device_array((PIXELS, PIXELS), np.int32)
    power = cuda.device_array(FREQS, np.float64)

    def mandelbrot(cx, cy):
        escape[((PIXELS + 7) // 8, (PIXELS + 15) // 16), (8, 16)](cx, cy, counts)
        return counts

    def spectral(w, t, q):
        launch(spectrum, FREQS, w, t, q, power, threads=128)
        return power
    return engine, elementwise, reductions, {}, {"mandelbrot": mandelbrot, "spectral": spectral}


# --- JAX -------------------------------------------------------------------------------------------------------------

def jax_engine():
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import erf

    jax.config.update("jax_enable_x64", True)
    if jax.default_backend() != "gpu":
        raise RuntimeError("no device")

    def timer(run, times):
        jax.block_until_ready(run())
        start = time.perf_counter()
        for _ in range(times):
            result = run()
        jax.block_until_ready(result)
        return time.perf_counter() - start

    engine = Engine("jax", timer, jnp.asarray, np.asarray)

    def poly(x):
        r = x.dtype.type(0.1)
        for k in range(2, 10):
            r = r*x + x.dtype.type(k / 10)
        return r

    def black(x, y, z):
        root = 0.25*jnp.sqrt(z)
        d1 = (jnp.log(x/y) + (0.03 + 0.5*0.25**2)*z)/root
        n1, n2 = 0.5*(1 + erf(d1*ROOT_HALF)), 0.5*(1 + erf((d1 - root)*ROOT_HALF))
        return x*n1 - y*jnp.exp(-0.03*z)*n2

    functions = {"triad": lambda x, y, z: 1.7*x + 0.3*y, "poly8": lambda x, y, z: poly(x),
                 "three": lambda x, y, z: jnp.exp(-x*x)*jnp.sin(3*x) + jnp.log1p(jnp.abs(x)), "black-scholes": black}
    compiled = {name: jax.jit(f) for name, f in functions.items()}
    sums = {"sum": jax.jit(lambda x, y: jnp.sum(x)), "dot": [jax.jit(lambda x, y: jnp.sum(x*y)), jax.jit(lambda x, y: jnp.dot(x, y, precision="highest"))],
            "mean+var": jax.jit(lambda x, y: (jnp.mean(x), jnp.var(x)))}
    matrix = {"axis 0 sum": jax.jit(lambda m: m.sum(axis=0)), "axis 1 sum": jax.jit(lambda m: m.sum(axis=1)),
              "softmax": jax.jit(lambda s: jax.nn.softmax(s, axis=1))}

    @jax.jit
    def mandelbrot(cx, cy):
        u = jnp.broadcast_to(cx[None, :], (PIXELS, PIXELS))
        v = jnp.broadcast_to(cy[:, None], (PIXELS, PIXELS))

        def step(_, state):
            x, y, n = state
            inside = x*x + y*y <= 4
            return jnp.where(inside, x*x - y*y + u, x), jnp.where(inside, 2*x*y + v, y), n + inside
        return jax.lax.fori_loop(0, 200, step, (jnp.zeros_like(u), jnp.zeros_like(v), jnp.zeros(u.shape, jnp.int32)))[2]

    @jax.jit
    def spectral(w, t, q):
        def step(k, state):
            c, s = state
            good, value = ~jnp.isnan(q[k]), jnp.nan_to_num(q[k]).astype(jnp.float64)
            return c + jnp.where(good, value*jnp.cos(w*t[k]), 0), s + jnp.where(good, value*jnp.sin(w*t[k]), 0)
        c, s = jax.lax.fori_loop(0, SAMPLES, step, (jnp.zeros_like(w), jnp.zeros_like(w)))
        return c*c + s*s
    return engine, lambda suffix: compiled, lambda suffix: sums, matrix, {"mandelbrot": mandelbrot, "spectral": spectral}


# --- PyTorch -----------------------------------------------------------------------------------------------------------

def torch_engine():
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("no device")

    def timer(run, times):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(times):
            run()
        stop.record()
        stop.synchronize()
        return 1e-3 * start.elapsed_time(stop)

    engine = Engine("torch", timer, lambda a: torch.from_numpy(np.ascontiguousarray(a)).cuda(), lambda a: a.cpu().numpy())

    def ways(f):
        """Compiled, and as it is: the compiler needs Triton and a C compiler, and what PyTorch has a kernel for can be faster."""
        return [torch.compile(f), f] if hasattr(torch, "compile") else [f]

    def poly(x):
        r = 0.1*x + 0.2
        for k in range(3, 10):
            r = r*x + k / 10
        return r

    def black(x, y, z):
        root = 0.25*torch.sqrt(z)
        d1 = (torch.log(x/y) + (0.03 + 0.5*0.25**2)*z)/root
        n1, n2 = 0.5*(1 + torch.erf(d1*ROOT_HALF)), 0.5*(1 + torch.erf((d1 - root)*ROOT_HALF))
        return x*n1 - y*torch.exp(-0.03*z)*n2

    functions = {"triad": ways(lambda x, y, z: 1.7*x + 0.3*y), "poly8": ways(lambda x, y, z: poly(x)),
                 "three": ways(lambda x, y, z: torch.exp(-x*x)*torch.sin(3*x) + torch.log1p(torch.abs(x))),
                 "black-scholes": ways(black)}
    sums = {"sum": ways(lambda x, y: torch.sum(x)), "dot": [torch.dot] + ways(lambda x, y: torch.sum(x*y)),
            "mean+var": ways(lambda x, y: torch.var_mean(x, correction=0)[::-1])}
    matrix = {"axis 0 sum": ways(lambda m: m.sum(dim=0)), "axis 1 sum": ways(lambda m: m.sum(dim=1)),
              "softmax": ways(lambda s: torch.softmax(s, dim=1))}
    return engine, lambda suffix: functions, lambda suffix: sums, matrix, {}


ENGINES = {"cupy": cupy_engine, "numba": numba_engine, "jax": jax_engine, "torch": torch_engine}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ENGINES:
        sys.exit("usage: peers.py " + "|".join(ENGINES) + " [FILTER...]")
    try:
        parts = ENGINES[sys.argv[1]]()
    except Exception as error:
        sys.exit(f"is left out: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    run_all(*parts)
    sys.exit(parts[0].failed)


if __name__ == "__main__":
    main()
