/* k0_nanvar: reduction along the last dimension; n0 x n1 (reduced); 16 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     out1    f64  written: by i0; unit stride
 *     out2    i64  written: by i0; unit stride
 *     reduction 0: var, f64
 *     reduction 1: nanargmin, i64
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_nanvar(
    const float *__restrict__ in0, double *__restrict__ out1, long long *__restrict__ out2, const long long stride0_0,
    const long long rows, const long long length, const long long items, const long long segments,
    const long long teams, const long long span, char *partials, unsigned int *counters)
{
    typedef weft_tuple<weft_var<float, true>, weft_arg<float, false, true>> reductions;
    struct input {
        weft_vec<float, 4> x0;
    };
    weft_rows<64, false, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        const long long i0 = work.row;
        const float *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const float x0, float &r0, bool &r1) {
            const bool v1 = x0 != x0;
            const bool v2 = !v1;
            r0 = x0;
            r1 = v2;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p];
        };
        float held0[17][4];
        unsigned kept0[3] = {}; // a bit for each of them: it counts
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            bool r1;
            body(in.x0.of[e], r0, r1);
            weft_get<0>(lane).add(r0, r1);
            held0[h][e] = r0;
            kept0[h / 8] |= (unsigned)r1 << (h % 8 * 4 + e);
            weft_get<1>(lane).add(r0, s);
        };
        auto repeat = [&](auto &lane, const auto &means, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            weft_get<0>(lane).add(weft_get<0>(means).square(held0[h][e]), (kept0[h / 8] >> (h % 8 * 4 + e) & 1) != 0);
        };
        work.template reduce<16, true, true, input>(weft_never(), weft_skip(), one, visit, weft_skip(), weft_skip(), repeat);
        if (work.finish()) {
            const double v3 = weft_get<0>(work.total).value(length == 0);
            const long long v4 = weft_get<1>(work.total).value(length == 0);
            double y1;
            long long y2;
            y1 = v3;
            y2 = v4;
            out1[work.row] = y1;
            out2[work.row] = y2;
        }
    }
}
