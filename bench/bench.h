/* bench.h: what the benchmark's parts share.
 *
 * bench.c runs the workloads of workloads.c, Weft and the C reference in turns in one process, and prints the table;
 * latency.c measures what is no loop over a large array: compiling, calling, allocating, waking threads, accuracy.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>

#include <weft/jit.h>

#include "reference/reference.h"

struct bench_workload {
    const char *name;      /* in the table and for filters */
    const char *source;    /* the Weft program; inputs are bound by name, see bench_bind */
    const char *reference; /* name for reference_find */
    int64_t n;
    double bytes;       /* compulsory, read and written, an element */
    double flops;       /* an element, if arithmetic can be the limit; 0 where memory is */
    bool writes;        /* which memory ceiling holds: non-temporal triad, or reading */
    double target;      /* Weft's time over the reference's: at most this; 0: none is stated */
    double range[3][2]; /* of x, y, z */
    double a, b;
    int64_t columns; /* of a matrix of n elements, which is all the workload reads; 0: it reads x, y, z, ... */
};

extern const struct bench_workload bench_workloads[];
extern const int bench_workload_count;

double bench_now(void);                         /* seconds, monotonic */
double bench_median(double *values, int count); /* sorts them */

/* 2 MiB aligned, with huge pages asked for; ends the program if there is no memory. Never freed piecewise:
 * bench_release. */
void *bench_pages(size_t bytes);
void bench_release(void *p, size_t bytes);

/* The tensors of `d` by name: x y z xf (n), m (side, side), cx cy (pixels), r (rows, columns), gain bias (columns),
 * a b (scalars). */
struct bench_tensors {
    DLTensor tensor[12];
    int64_t shape[12][2];
};
/* Fills in[] with the inputs of f; false if it wants another name. */
bool bench_bind(const jit_function *f, struct bench_data *d, struct bench_tensors *room, const DLTensor **in);

/* Makes x, y, z, xf, out for n elements in the workload's ranges, or r, gain, bias, out, keeping what is already right.
 */
void bench_prepare(struct bench_data *d, const struct bench_workload *w);

/* One row of the table. weft or reference < 0: not measured. `share` of the roofline, or < 0. */
struct bench_row {
    const char *name, *unit;
    int threads; /* 0: says nothing */
    double weft, reference, ratio, share, target;
    bool target_is_ratio; /* target bounds `ratio`, otherwise `weft` */
};
void bench_print(const struct bench_row *row);
bool bench_wanted(const char *name); /* by the filters of the command line */

/* latency.c. `weft_program`: path of the weft executable, or NULL. */
void latency_run(jit_context *context, struct bench_data *d, int threads, const char *weft_program);

#endif
