/* k0_loop_rows: reduction along the last dimension; n0 x n1 (reduced)
 *
 *     in0     i64  read: by i0, i1; unit stride
 *     whole1  i64  whole, rank 1, unit stride
 *     out2    i64  written: by i0; unit stride
 *     reduction 0: sum, i64
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_loop_rows(
    const long long *__restrict__ in0, const long long *__restrict__ whole1, long long *__restrict__ out2,
    const long long stride0_0, const long long size1_0, const long long rows, const long long length,
    const long long items, const long long segments, const long long teams, const long long span, char *partials,
    unsigned int *counters, weft_watch *watch, const long long order)
{
    bool stop = weft_cancelled(watch, order, 0);
    auto fault = [&](const long long at, const int site, const int operand, const int dim, const long long index,
            const long long size) {
        weft_fault(watch, order, at, site, operand, dim, index, size);
        stop = true;
        return 0;
    };
    typedef weft_tuple<weft_fold<long long, weft_by_sum>> reductions;
    struct input {
        weft_vec<long long, 2> x0;
    };
    weft_rows<32, false, false, reductions> work(rows, length, items, segments, teams, span, partials, counters);
    if (work.next()) {
        const long long i0 = work.row;
        const long long *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const long long at, const long long x0, long long &r0) {
            long long v3_0 = x0;
            long long v3_1 = 0LL;
            #pragma unroll 4
            for (unsigned turn3 = 1;; turn3++) {
                const bool v6 = v3_0 > 0LL;
                if (!v6) break;
                const long long v9 = weft_sub(v3_0, 1LL);
                const long long v10 = (unsigned long long)v9 >= (unsigned long long)size1_0 ? fault(at, 10, 1, 0, v9, size1_0)
                        : whole1[v9];
                const long long v11 = weft_add(v3_1, v10);
                v3_0 = v9;
                v3_1 = v11;
                if (turn3 % 1024 == 0 && (stop || weft_cancelled(watch, order, at))) {
                    stop = true;
                }
                if (stop) break;
            }
            r0 = v3_1;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            long long r0;
            body(work.row * length + p, in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        auto idle = [&] { return stop; };
        work.template reduce<0, false, false, input>(idle, weft_skip(), one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.finish()) {
            const long long v13 = weft_get<0>(work.total).value(length == 0);
            long long y2;
            y2 = v13;
            out2[work.row] = y2;
        }
    }
}
