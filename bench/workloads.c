#include "bench.h"

#define TRIAD          "param a: f64; param x: f64[n]; param b: f64; param z: f64[n]; a*x + b*z"
#define THREE(type, x) "param " x ": " type "[n]; exp(-" x "*" x ")*sin(3*" x ") + log1p(abs(" x "))"
/* The matrix of 4096 x 4096 f32, on the account of the 1,000 elements that these rows say they have. */
#define MATRIX (4.0 * 4096 * 4096 / 1000)
#define UNIT                                                                                                           \
    {                                                                                                                  \
        {-3, 3}, {0.1, 3}, {                                                                                           \
            0.5, 2                                                                                                     \
        }                                                                                                              \
    }

static const char black[] = "param x: f64[n]; param y: f64[n]; param z: f64[n]; param a: f64; param b: f64\n"
                            "fn cdf(d) = 0.5*(1 + erf(d * 0.70710678118654752))\n"
                            "root = b*sqrt(z)\n"
                            "d1 = (log(x/y) + (a + 0.5*b*b)*z)/root\n"
                            "x*cdf(d1) - y*exp(-a*z)*cdf(d1 - root)";

static const char mandelbrot[] = "param cx: f64[w]; param cy: f64[h]\n"
                                 "ufunc escape(cx: f64, cy: f64) -> i32 {\n"
                                 "    x = f64(0); y = f64(0); n = i32(0)\n"
                                 "    while n < 200 and x*x + y*y <= 4 {\n"
                                 "        x, y = x*x - y*y + cx, 2*x*y + cy\n"
                                 "        n += 1\n"
                                 "    }\n"
                                 "    return n\n"
                                 "}\n"
                                 "escape(cx[None, :], cy[:, None])";

static const char clip3[] = "param x: f64[n]\n"
                            "m, s = mean(x), std(x)\n"
                            "clean = where(abs(x - m) > 3*s, nan, x)\n"
                            "return clean, nanmean(clean)";

static const char softmax[] = "param r: f32[h, w]\n"
                              "e = exp(r - max(r, axis=1, keepdims=true))\n"
                              "e / sum(e, axis=1, keepdims=true)";

static const char log_softmax[] = "param r: f32[h, w]\n"
                                  "m = max(r, axis=1, keepdims=true)\n"
                                  "r - (m + log(sum(exp(r - m), axis=1, keepdims=true)))";

static const char layer_norm[] = "param r: f32[h, w]; param gain: f32[w]; param bias: f32[w]\n"
                                 "m = mean(r, axis=1, keepdims=true)\n"
                                 "v = var(r, axis=1, keepdims=true)\n"
                                 "(r - m) / sqrt(v + f32(1e-5)) * gain + bias";

/* Rows of 400 bytes to 4 MB: for the first, the second and the last level. */
#define ROWS(name, source, reference, n, columns)                                                                      \
    { name, source, reference, n, 8, 0, true, 1.05, UNIT, 0, 0, columns }

const struct bench_workload bench_workloads[] = {
    {"triad 1e3", TRIAD, "triad", 1000, 24, 0, true, 0, UNIT, 1.7, 0.3, 0},
    {"triad 1e5", TRIAD, "triad", 100000, 24, 0, true, 1.05, UNIT, 1.7, 0.3, 0},
    {"triad 1e7", TRIAD, "triad", 10000000, 24, 0, true, 0.9, UNIT, 1.7, 0.3, 0},
    {"triad 5e7", TRIAD, "triad", 50000000, 24, 0, true, 0.9, UNIT, 1.7, 0.3, 0},
    {"poly8", "param x: f64[n]; (((((((0.1*x + 0.2)*x + 0.3)*x + 0.4)*x + 0.5)*x + 0.6)*x + 0.7)*x + 0.8)*x + 0.9",
     "poly8", 10000000, 16, 16, true, 0.9, UNIT, 0, 0, 0},
    {"three f64", THREE("f64", "x"), "three", 10000000, 16, 0, true, 1.0, UNIT, 0, 0, 0},
    {"three f32", THREE("f32", "xf"), "three_f32", 10000000, 8, 0, true, 1.0, UNIT, 0, 0, 0},
    {"black-scholes", black, "black", 10000000, 32, 0, true, 1.0, {{50, 150}, {60, 140}, {0.1, 2}}, 0.03, 0.25, 0},
    {"sum", "param x: f64[n]; sum(x)", "sum", 10000000, 8, 0, false, 1.05, UNIT, 0, 0, 0},
    {"sum f32", "param xf: f32[n]; sum(xf)", "sum_f32", 10000000, 4, 0, false, 1.05, UNIT, 0, 0, 0},
    {"dot", "param x: f64[n]; param y: f64[n]; dot(x, y)", "dot", 10000000, 16, 0, false, 1.05, UNIT, 0, 0, 0},
    {"min+max", "param x: f64[n]; return min(x), max(x)", "minmax", 10000000, 8, 0, false, 1.05, UNIT, 0, 0, 0},
    {"argmax", "param x: f64[n]; argmax(x)", "argmax", 10000000, 8, 0, false, 1.05, UNIT, 0, 0, 0},
    {"mean+var", "param x: f64[n]; return mean(x), var(x)", "mean_var", 10000000, 8, 0, false, 1.05, UNIT, 0, 0, 0},
    {"distance", "param x: f64[n]; param y: f64[n]; sqrt(sum((x - y)**2))", "distance", 10000000, 16, 0, false, 1.05,
     UNIT, 0, 0, 0},
    {"axis 0 sum", "param m: f32[h, w]; sum(m, axis=0)", "axis0", 1000, MATRIX, 0, false, 1.05, UNIT, 0, 0, 0},
    {"axis 1 sum", "param m: f32[h, w]; sum(m, axis=1)", "axis1", 1000, MATRIX, 0, false, 1.05, UNIT, 0, 0, 0},
    /* Against our own sum, printed above: four statistics for little more than one. */
    {"mean std min max", "param x: f64[n]; return mean(x), std(x), min(x), max(x)", NULL, 10000000, 8, 0, false, 0,
     UNIT, 0, 0, 0},
    {"z-score", "param x: f64[n]; (x - mean(x))/std(x)", "zscore", 10000000, 24, 0, true, 1.0, UNIT, 0, 0, 0},
    {"3-sigma clip", clip3, "clip3", 10000000, 24, 0, true, 1.0, UNIT, 0, 0, 0},
    ROWS("softmax 1e5x1e2", softmax, "softmax", 10000000, 100),
    ROWS("softmax 1e4x1e3", softmax, "softmax", 10000000, 1000),
    ROWS("softmax 1e3x1e4", softmax, "softmax", 10000000, 10000),
    ROWS("softmax 1e2x1e6", softmax, "softmax", 100000000, 1000000),
    ROWS("log-softmax 1e5x1e2", log_softmax, "log_softmax", 10000000, 100),
    ROWS("log-softmax 1e4x1e3", log_softmax, "log_softmax", 10000000, 1000),
    ROWS("log-softmax 1e3x1e4", log_softmax, "log_softmax", 10000000, 10000),
    ROWS("log-softmax 1e2x1e6", log_softmax, "log_softmax", 100000000, 1000000),
    ROWS("layer norm 1e5x1e2", layer_norm, "layer_norm", 10000000, 100),
    ROWS("layer norm 1e4x1e3", layer_norm, "layer_norm", 10000000, 1000),
    ROWS("layer norm 1e3x1e4", layer_norm, "layer_norm", 10000000, 10000),
    ROWS("layer norm 1e2x1e6", layer_norm, "layer_norm", 100000000, 1000000),
    {"mandelbrot", mandelbrot, "mandelbrot", 1000, 0, 0, false, 0.125, UNIT, 0, 0, 0},
};
const int bench_workload_count = sizeof bench_workloads / sizeof *bench_workloads;
