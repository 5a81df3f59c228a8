/* k0_dot_stored: reduction along the last dimension; n0 (reduced); vectors of 4; 4 at a time
 *
 *     in0     f32  read: by i0; unit stride
 *     in1     f32  read: by i0; unit stride
 *     out2    f32  written: by i0; unit stride
 *     out3    f32  written; unit stride
 *     reduction 0: sum, f32
 */
extern "C" __global__ void __launch_bounds__(256, 3) k0_dot_stored(
    const float *__restrict__ in0, const float *__restrict__ in1, float *__restrict__ out2, float *__restrict__ out3,
    const long long rows, const long long length, const long long items, const long long segments,
    const long long teams, const long long span, char *partials, unsigned int *counters)
{
    typedef weft_tuple<weft_fold<float, weft_by_sum>> reductions;
    struct input {
        weft_vec<float, 4> x0;
        weft_vec<float, 4> x1;
        weft_vec<float, 4> y2;
    };
    weft_rows<64, true, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        auto body = [&](const float x0, const float x1, float &y2, float &r0) {
            const float v2 = x0 * x1;
            y2 = v2;
            r0 = v2;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = in0[p];
            in.x1.of[e] = in1[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<4>(in0 + p);
            in.x1 = *weft_groups<4>(in1 + p);
        };
        auto save_one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            out2[p] = in.y2.of[e];
        };
        auto save = [&](input &in, const long long p) __attribute__((always_inline)) {
            *weft_groups<4>(out2 + p) = in.y2;
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            body(in.x0.of[e], in.x1.of[e], in.y2.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<4, false, false, input>(weft_never(), read, one, visit, save, save_one, weft_skip());
        if (work.finish()) {
            const float v4 = weft_get<0>(work.total).value(length == 0);
            float y3;
            y3 = v4;
            out3[work.row] = y3;
        }
    }
}
