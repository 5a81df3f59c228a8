/* k0_lookup: reduction along the last dimension; n0 x n1 (reduced)
 *
 *     in0     i32  read: by i0, i1; unit stride
 *     whole1  f32  whole, rank 1, unit stride
 *     out2    f32  written: by i0; unit stride
 *     reduction 0: sum, f32
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_lookup(
    const int *__restrict__ in0, const float *__restrict__ whole1, float *__restrict__ out2, const long long stride0_0,
    const long long size1_0, const long long rows, const long long length, const long long items,
    const long long segments, const long long teams, const long long span, char *partials, unsigned int *counters,
    weft_watch *watch, const long long order)
{
    bool stop = false;
    auto fault = [&](const long long at, const int site, const int operand, const int dim, const long long index,
            const long long size) {
        weft_fault(watch, order, at, site, operand, dim, index, size);
        stop = true;
        return 0;
    };
    typedef weft_tuple<weft_fold<float, weft_by_sum>> reductions;
    struct input {
        weft_vec<int, 4> x0;
    };
    weft_rows<64, false, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        const long long i0 = work.row;
        const int *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const long long at, const int x0, float &r0) {
            const long long v1 = (long long)x0;
            const float v2 = (unsigned long long)v1 >= (unsigned long long)size1_0 ? fault(at, 2, 1, 0, v1, size1_0)
                    : whole1[v1];
            r0 = v2;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            body(work.row * length + p, in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        auto idle = [&] { return stop; };
        work.template reduce<1, false, false, input>(idle, weft_skip(), one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.finish()) {
            const long long at = work.row * length;
            const bool failed = weft_cancelled(watch, order, at + length); // the body did: nothing that follows from it is told of
            if (!failed) {
                const float v3 = weft_get<0>(work.total).value(length == 0);
                float y2;
                const long long v4 = weft_convert<long long>(v3);
                const float v5 = (unsigned long long)v4 >= (unsigned long long)size1_0 ? fault(at, 5, 1, 0, v4, size1_0)
                        : whole1[v4];
                y2 = v5;
                out2[work.row] = y2;
            }
        }
    }
}
