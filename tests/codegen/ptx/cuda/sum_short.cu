/* k0_sum_short: reduction along the last dimension; n0 x n1 x n2 (reduced); 8 at a time
 *
 *     in0     f64  read: by i0, i1, i2; strided
 *     out1    f64  written: by i0, i1; unit stride
 *     reduction 0: sum, f64
 */
extern "C" __global__ void __launch_bounds__(256, 3) k0_sum_short(
    const double *__restrict__ in0, double *__restrict__ out1, const long long n1, const long long stride0_0,
    const long long stride0_1, const long long stride0_2, const long long rows, const long long length,
    const long long items, const long long segments, const long long teams, const long long span, char *partials,
    unsigned int *counters)
{
    typedef weft_tuple<weft_fold<double, weft_by_sum>> reductions;
    struct input {
        weft_vec<double, 2> x0;
    };
    weft_rows<32, false, true, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    while (work.next()) {
        const long long i0 = work.row / n1, i1 = work.row - i0 * n1;
        const double *const row0 = in0 + i0 * stride0_0 + i1 * stride0_1;
        auto body = [&](const double x0, double &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p * stride0_2];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            double r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<8, false, false, input>(weft_never(), weft_skip(), one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.finish()) {
            const double v1 = weft_get<0>(work.total).value(length == 0);
            double y1;
            y1 = v1;
            out1[work.row] = y1;
        }
    }
}
