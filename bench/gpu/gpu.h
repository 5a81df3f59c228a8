/* gpu.h: what the parts of the GPU benchmark share.
 *
 * gpu.c measures the workloads of workloads.c, Weft and the hand-written CUDA of reference/ in turns, and prints the
 * table; latency.c measures launching and compiling. Everything is on device 0, in its primary context, on one
 * stream.
 */
#ifndef GPU_H
#define GPU_H

#include <stdbool.h>

#include <weft/jit.h>

#include "driver.h"
#include "reference/reference.h"

/* What the workloads compute with: on the host, for checks, and on the device. Elements are float or double by the
 * workload. */
struct gpu_data {
    jit_dtype type;         /* of what x, y, z hold now; 0: nothing */
    double range[3][2];     /* and in which ranges */
    int64_t n;              /* elements of x, y, z */
    int64_t side;           /* m is side x side f32 */
    int64_t rows, columns;  /* s is rows x columns f32, for softmax */
    int64_t pixels;         /* cx and cy; f32 or f64 */
    int64_t freqs, samples; /* w: f64[freqs]; t: f64[samples], q: f32[samples] */
    double a, b;            /* scalars, passed by value */
    float af, bf;
    void *host_x, *host_y, *host_z;
    float *host_m, *host_s, *host_q;
    double *host_cx, *host_cy, *host_w, *host_t;
    float *host_cxf, *host_cyf;
    uint64_t x, y, z, m, s, q, cx, cy, cxf, cyf, w, t, out, out2;
    size_t out_bytes;
};

enum gpu_floor {
    FLOOR_COPY, /* the same bytes, copied from device to device: by the driver or by a kernel, whichever is faster */
    FLOOR_READ, /* the same bytes, read by a kernel that does nothing else */
    FLOOR_NONE, /* arithmetic is the limit */
};

struct gpu_workload {
    const char *name;      /* "triad f32": in the table, for filters, and of the reference */
    const char *source;    /* Weft; inputs are bound by name */
    const char *reference; /* another one; NULL: `name` */
    jit_dtype type;        /* of x, y, z */
    double range[3][2];    /* of x, y, z */
    double a, b;
    enum gpu_floor floor;
    double target;    /* share of the floor's speed; FLOOR_NONE: Weft's time over the fastest other's, at most */
    double tolerance; /* of results against the host's, relative to `scale` plus their size */
    double scale;     /* the usual size of a result */
    double wrong;     /* share of elements that may differ (orbits on a boundary) */
    /* The exact result, or what is near enough to it: element i of output k. */
    double (*expect)(const struct gpu_data *d, int k, int64_t i);
    /* Bytes that must be read and written. */
    double (*bytes)(const struct gpu_data *d);
};

extern const struct gpu_workload gpu_workloads[];
extern const int gpu_workload_count;

/* Sizes from the environment: GPU_N, GPU_SIDE, GPU_ROWS, GPU_PIXELS, GPU_FREQS, GPU_SAMPLES. Allocates on both sides.
 */
void gpu_data_make(struct gpu_data *d);
void gpu_data_free(struct gpu_data *d);
/* Fills x, y and z for the workload if they aren't. */
void gpu_data_prepare(struct gpu_data *d, const struct gpu_workload *w);
/* The tensor of an input by its name; false if there is none of that name. `room`: 2 sizes. */
bool gpu_data_tensor(struct gpu_data *d, const char *name, DLTensor *tensor, int64_t *room);
/* Rows and columns of the matrices; n elsewhere. Fills in what the reference gets. */
void gpu_data_arguments(struct gpu_data *d, const struct gpu_workload *w, struct gpu_arguments *arguments);

double gpu_now(void);                         /* seconds, monotonic */
double gpu_median(double *values, int count); /* sorts them */

/* latency.c */
/* Adds to the counts of targets and of failures. */
void latency_run(struct gpu_data *d, int *met, int *missed, int *failed);

#endif
