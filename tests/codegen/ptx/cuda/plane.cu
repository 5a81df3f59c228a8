/* k0_plane: reduction along the last dimension; n0 x n1 (reduced) x n2 (reduced); 2 at a time
 *
 *     in0     i32  read: by i0, i1, i2; strided
 *     out1    i64  written: by i0; unit stride
 *     reduction 0: sum, i64
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_plane(
    const int *__restrict__ in0, long long *__restrict__ out1, const long long n2, const long long stride0_0,
    const long long stride0_1, const long long stride0_2, const long long rows, const long long length,
    const long long items, const long long segments, const long long teams, const long long span, char *partials,
    unsigned int *counters)
{
    typedef weft_tuple<weft_fold<long long, weft_by_sum>> reductions;
    struct input {
        weft_vec<int, 2> x0;
    };
    weft_rows<32, false, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        const long long i0 = work.row;
        const int *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const long long i1, const int x0, long long &r0) {
            const long long v1 = (long long)x0;
            const long long v3 = weft_mul(v1, i1);
            r0 = v3;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            const long long i1 = p / n2, i2 = p - i1 * n2;
            in.x0.of[e] = row0[i1 * stride0_1 + i2 * stride0_2];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            const long long i1 = p / n2, i2 = p - i1 * n2;
            (void)i2;
            long long r0;
            body(i1, in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<2, false, false, input>(weft_never(), weft_skip(), one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.finish()) {
            const long long v4 = weft_get<0>(work.total).value(length == 0);
            long long y1;
            y1 = v4;
            out1[work.row] = y1;
        }
    }
}
