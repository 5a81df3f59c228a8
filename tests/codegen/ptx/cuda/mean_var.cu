/* k0_mean_var: reduction along the last dimension; n0 (reduced); vectors of 2; 16 at a time
 *
 *     in0     f64  read: by i0; unit stride
 *     out1    f64  written; unit stride
 *     out2    f64  written; unit stride
 *     reduction 0: sum, f64
 *     reduction 1: var, f64
 */
extern "C" __global__ void __launch_bounds__(256, weft_held_resident) k0_mean_var(
    const double *__restrict__ in0, double *__restrict__ out1, double *__restrict__ out2, const long long number0,
    const long long rows, const long long length, const long long items, const long long segments,
    const long long teams, const long long span, char *partials, unsigned int *counters)
{
    typedef weft_tuple<weft_fold<double, weft_by_sum>, weft_var_of<double, 0>> reductions;
    struct input {
        weft_vec<double, 2> x0;
    };
    weft_rows<32, true, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        auto body = [&](const double x0, double &r0, double &r1, bool &r2) {
            r0 = x0;
            r1 = x0;
            r2 = true;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = in0[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<2>(in0 + p);
        };
        double held1[17][2];
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            double r0;
            double r1;
            bool r2;
            body(in.x0.of[e], r0, r1, r2);
            weft_get<0>(lane).add(r0);
            held1[h][e] = r1;
        };
        auto repeat = [&](auto &lane, const auto &means, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            weft_get<1>(lane).add(weft_get<1>(means).square(held1[h][e]));
        };
        work.template reduce<16, true, true, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), repeat);
        if (work.finish()) {
            const double v2 = weft_get<0>(work.total).value(length == 0);
            const double v3 = weft_get<1>(work.total).value(length == 0);
            double y1;
            double y2;
            const double v5 = (double)number0;
            const double v6 = v2 / v5;
            const double v7 = v3 / v5;
            y1 = v6;
            y2 = v7;
            out1[work.row] = y1;
            out2[work.row] = y2;
        }
    }
}
