/* k_planes: a thread block takes rows, and does all of this to them: k0_map, k1_sum_argmax, k2_map */

/* k0_map: elementwise; n0 x n1 x n2; 4 at a time
 *
 *     in0     i32  read: by i0, i1, i2; strided
 *     in1     i32  read: by i0; uniform
 *     at2     i64  written: scratch 0; unit stride
 */
static __device__ __forceinline__ void k0_map(
    const int *__restrict__ in0, const int *__restrict__ in1, const long long n1, const long long n2,
    const long long stride0_0, const long long stride0_1, const long long stride0_2, const long long stride1_0,
    const long long across, char *kept0, const long long bytes0, const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row / n1, i1 = row - i0 * n1;
        long long *const at2 = (long long *)(kept0 + (row - first) * bytes0);
        const int x1 = in1[i0 * stride1_0];
        const int *const row0 = in0 + i0 * stride0_0 + i1 * stride0_1;
        auto body = [&](const long long i2, const int x0, long long &y2) {
            const int v2 = weft_add(x0, x1);
            const long long v5 = (long long)v2;
            const long long v6 = weft_mul(i2, v5);
            const long long v7 = weft_sub(v6, i1);
            y2 = v7;
        };
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < n2; g += 4 * width) {
            int x0[4];
            long long y2[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                x0[u] = row0[i2 * stride0_2];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                body(i2, x0[u], y2[u]);
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                at2[i2] = y2[u];
            }
        }
        #pragma unroll 1
        for (; g < n2; g += width) {
            const long long i2 = g;
            long long y2;
            body(i2, row0[i2 * stride0_2], y2);
            at2[i2] = y2;
        }
    }
}

typedef weft_rows<32, false, false, weft_tuple<weft_fold<long long, weft_by_sum>, weft_arg<long long, true, false>>> k1_sum_argmax_rows;

/* k1_sum_argmax: reduction along the last dimension; n0 x n1 x n2 (reduced); 8 at a time
 *
 *     at0     i64  read: scratch 0; strided
 *     out1    i64  written: by i0, i1; uniform
 *     out2    i64  written: by i0, i1; uniform
 *     reduction 0: sum, i64
 *     reduction 1: argmax, i64
 */
static __device__ __forceinline__ void k1_sum_argmax(
    const long long offset0, long long *out1, long long *out2, const long long stride0_2, const long long length,
    const long long teams, char *kept0, const long long bytes0, char *room, const long long first, const long long end)
{
    struct input {
        weft_vec<long long, 2> x0;
    };
    k1_sum_argmax_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const long long *const at0 = (const long long *)(kept0 + (work.row - first) * bytes0 + offset0);
        auto body = [&](const long long x0, long long &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = at0[p * stride0_2];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            long long r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
            weft_get<1>(lane).add(r0, s);
        };
        work.template reduce<8, false, false, input>(weft_never(), weft_skip(), one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.has_result()) {
            const long long v1 = weft_get<0>(work.total).value(length == 0);
            const long long v2 = weft_get<1>(work.total).value(length == 0);
            long long y1;
            long long y2;
            y1 = v1;
            y2 = v2;
            out1[work.row] = y1;
            out2[work.row] = y2;
        }
    }
}

/* k2_map: elementwise; n0 x n1
 *
 *     in0     i64  read: by i0, i1; unit stride
 *     out1    bool written: by i0, i1; unit stride
 */
static __device__ __forceinline__ void k2_map(
    const long long *in0, unsigned char *out1, const long long n1, const long long stride0_0,
    const long long stride1_0, const long long first, const long long end)
{
    #pragma unroll 1
    for (long long row = first + threadIdx.x; row < end; row += 256) {
        const long long i0 = row / n1, i1 = row - i0 * n1;
        const long long x0 = in0[i0 * stride0_0 + i1];
        const bool v2 = x0 > 3LL;
        auto body = [&](unsigned char &y1) {
            y1 = v2;
        };
        unsigned char y1;
        body(y1);
        out1[i0 * stride1_0 + i1] = y1;
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) k_planes(
    const long long rows, const long long set_rows, const long long apart, char *partials,
    const int *__restrict__ s0_in0, const int *__restrict__ s0_in1, const long long s0_n1, const long long s0_n2,
    const long long s0_stride0_0, const long long s0_stride0_1, const long long s0_stride0_2,
    const long long s0_stride1_0, const long long s0_across, const long long s1_offset0, long long *s1_out1,
    long long *s1_out2, const long long s1_stride0_2, const long long s1_length, const long long s1_teams,
    const long long *s2_in0, unsigned char *s2_out1, const long long s2_n1, const long long s2_stride0_0,
    const long long s2_stride1_0)
{
    alignas(8) __shared__ char room[sizeof(k1_sum_argmax_rows::memory)];
    extern __shared__ weft_vec<char, 32> k_planes_shared[];
    const long long bytes0 = 8LL * s0_n2;
    char *const kept0 = apart ? partials + blockIdx.x * apart : reinterpret_cast<char *>(k_planes_shared);
    #pragma unroll 1
    for (long long first = blockIdx.x * set_rows; first < rows; first += gridDim.x * set_rows) {
        const long long end = first + set_rows < rows ? first + set_rows : rows;
        k0_map(s0_in0, s0_in1, s0_n1, s0_n2, s0_stride0_0, s0_stride0_1, s0_stride0_2, s0_stride1_0, s0_across, kept0,
                bytes0, first, end);
        __syncthreads();
        k1_sum_argmax(s1_offset0, s1_out1, s1_out2, s1_stride0_2, s1_length, s1_teams, kept0, bytes0, room, first, end);
        __syncthreads();
        k2_map(s2_in0, s2_out1, s2_n1, s2_stride0_0, s2_stride1_0, first, end);
        __syncthreads();
    }
}
