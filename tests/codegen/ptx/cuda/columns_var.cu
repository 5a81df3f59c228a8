/* k0_columns_var: reduction along outer dimensions; n0 x n1 x n2 (reduced); 8 at a time
 *
 *     in0     f64  read: by i0, i1, i2; unit stride
 *     in1     bool read: by i0, i2; strided
 *     out2    f64  written: by i0, i1; unit stride
 *     reduction 0: var, f64
 */
extern "C" __global__ void __launch_bounds__(256, 2) k0_columns_var(
    const double *__restrict__ in0, const unsigned char *__restrict__ in1, double *__restrict__ out2,
    const long long n0, const long long n1, const long long stride0_0, const long long stride0_2,
    const long long stride1_0, const long long stride1_2, const long long length, const long long items,
    const long long segments, const long long across, const long long runs, const long long span,
    const long long levels, char *partials, unsigned int *counters)
{
    typedef weft_tuple<weft_var<double, true>> reductions;
    struct input {
        weft_vec<double, 1> x0;
        weft_vec<unsigned char, 1> x1;
    };
    weft_columns<1, reductions> work(n0, n1, length, items, segments, across, runs, span, levels, partials, counters);
    if (work.next()) {
        const long long i0 = work.outer;
        const double *const row0 = in0 + i0 * stride0_0 + work.column;
        const unsigned char *const row1 = in1 + i0 * stride1_0;
        auto body = [&](const double x0, const bool x1, double &r0, bool &r1) {
            r0 = x0;
            r1 = x1;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p * stride0_2 + e];
            in.x1.of[e] = row1[p * stride1_2];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0.of[0] = row0[p * stride0_2];
            in.x1.of[0] = row1[p * stride1_2];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int e, const long long p) __attribute__((always_inline)) {
            double r0;
            bool r1;
            body(in.x0.of[e], in.x1.of[e] != 0, r0, r1);
            weft_get<0>(lane).add(r0, r1);
        };
        auto repeat = [&](auto &lane, const auto &means, input &in, const int s, const int e, const long long p) __attribute__((always_inline)) {
            double r0;
            bool r1;
            body(in.x0.of[e], in.x1.of[e] != 0, r0, r1);
            weft_get<0>(lane).add(weft_get<0>(means).square(r0), r1);
        };
        work.template reduce<8, true, input>(weft_never(), read, one, visit, repeat);
        if (work.finish()) {
            #pragma unroll
            for (int e = 0; e < 1; e++) {
                const long long i1 = work.column + e;
                const double v2 = weft_get<0>(work.total[e]).value(length == 0);
                double y2;
                y2 = v2;
                out2[work.outer * n1 + i1] = y2;
            }
        }
    }
}
