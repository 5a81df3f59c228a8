/* k0_columns: reduction along outer dimensions; n0 x n1 (reduced); vectors of 4; 8 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     out1    f32  written: by i0; unit stride
 *     reduction 0: sum, f32
 */
extern "C" __global__ void __launch_bounds__(256, 3) k0_columns(
    const float *__restrict__ in0, float *__restrict__ out1, const long long n0, const long long stride0_1,
    const long long length, const long long items, const long long segments, const long long across,
    const long long runs, const long long span, const long long levels, char *partials, unsigned int *counters)
{
    typedef weft_tuple<weft_fold<float, weft_by_sum>> reductions;
    struct input {
        weft_vec<float, 4> x0;
    };
    weft_columns<4, reductions> work(1LL, n0, length, items, segments, across, runs, span, levels, partials, counters);
    if (work.next()) {
        const float *const row0 = in0 + work.column;
        auto body = [&](const float x0, float &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p * stride0_1 + e];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<4>(row0 + p * stride0_1);
        };
        auto visit = [&](auto &lane, input &in, const int s, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<8, false, input>(weft_never(), read, one, visit, weft_skip());
        if (work.finish()) {
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                if (e >= work.count) break;
                const long long i0 = work.column + e;
                const float v1 = weft_get<0>(work.total[e]).value(length == 0);
                float y1;
                y1 = v1;
                out1[i0] = y1;
            }
        }
    }
}
