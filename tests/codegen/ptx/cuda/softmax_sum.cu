/* k0_softmax_sum: reduction along the last dimension; n0 x n1 (reduced); vectors of 4; 2 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     in1     f32  read: by i0; uniform
 *     out2    f32  written: by i0; unit stride
 *     reduction 0: sum, f32
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_softmax_sum(
    const float *__restrict__ in0, const float *__restrict__ in1, float *__restrict__ out2, const long long stride0_0,
    const long long stride1_0, const long long rows, const long long length, const long long items,
    const long long segments, const long long teams, const long long span, char *partials, unsigned int *counters)
{
    typedef weft_tuple<weft_fold<float, weft_by_sum>> reductions;
    struct input {
        weft_vec<float, 4> x0;
    };
    weft_rows<64, true, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        const long long i0 = work.row;
        const float x1 = in1[i0 * stride1_0];
        const float *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const float x0, float &r0) {
            const float v2 = x0 - x1;
            const float v3 = expf(v2);
            r0 = v3;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<4>(row0 + p);
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<2, false, false, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.finish()) {
            const float v4 = weft_get<0>(work.total).value(length == 0);
            float y2;
            y2 = v4;
            out2[work.row] = y2;
        }
    }
}
