/* k_softmax_f64: a thread block takes rows, and does all of this to them: k0_max, k1_map, k2_sum, k3_map */

typedef weft_rows<32, true, false, weft_tuple<weft_fold<double, weft_by_max>>> k0_max_rows;

/* k0_max: reduction along the last dimension; n0 x n1 (reduced); vectors of 2; 8 at a time
 *
 *     in0     f64  read: by i0, i1; unit stride
 *     at1     f64  written: scratch 0; uniform
 *     reduction 0: max, f64
 */
static __device__ __forceinline__ void k0_max(
    const double *__restrict__ in0, const long long stride0_0, const long long length, const long long teams,
    char *kept0, const long long bytes0, char *room, const long long first, const long long end)
{
    struct input {
        weft_vec<double, 2> x0;
    };
    k0_max_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const long long i0 = work.row;
        double *const at1 = (double *)(kept0 + (work.row - first) * bytes0);
        const double *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const double x0, double &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<2>(row0 + p);
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            double r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<8, false, false, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.has_result()) {
            const double v1 = weft_get<0>(work.total).value(length == 0);
            double y1;
            y1 = v1;
            at1[0] = y1;
        }
    }
}

/* k1_map: elementwise; n0 x n1; vectors of 2; 2 at a time
 *
 *     in0     f64  read: by i0, i1; unit stride
 *     at1     f64  read: scratch 0; uniform
 *     at2     f64  written: scratch 1; unit stride
 */
static __device__ __forceinline__ void k1_map(
    const double *__restrict__ in0, const long long offset1, const long long n1, const long long stride0_0,
    const long long head, const long long across, char *kept0, const long long bytes0, char *kept1,
    const long long bytes1, const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row;
        const double *const at1 = (const double *)(kept0 + (row - first) * bytes0 + offset1);
        double *const at2 = (double *)(kept1 + (row - first) * bytes1);
        const double x1 = at1[0];
        const double *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const double x0, double &y2) {
            const double v2 = x0 - x1;
            const double v3 = exp(v2);
            y2 = v3;
        };
        const long long groups = (n1 - head) / 2;
        const weft_vec<double, 2> *const groups0 = weft_groups<2>(row0 + head);
        weft_vec<double, 2> *const groups2 = weft_groups<2>(at2 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + width < groups; g += 2 * width) {
            weft_vec<double, 2> x0[2];
            weft_vec<double, 2> y2[2];
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                x0[u] = groups0[g + u * width];
            }
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                #pragma unroll
                for (int e = 0; e < 2; e++) {
                    body(x0[u].of[e], y2[u].of[e]);
                }
            }
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                groups2[g + u * width] = y2[u];
            }
        }
        #pragma unroll 1
        for (; g < groups; g += width) {
            weft_vec<double, 2> y2;
            const weft_vec<double, 2> x0 = groups0[g];
            #pragma unroll
            for (int e = 0; e < 2; e++) {
                body(x0.of[e], y2.of[e]);
            }
            groups2[g] = y2;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n1 - 2 * groups; rest += width) {
            const long long i1 = rest < head ? rest : rest + 2 * groups;
            double y2;
            body(row0[i1], y2);
            at2[i1] = y2;
        }
    }
}

typedef weft_rows<32, true, false, weft_tuple<weft_fold<double, weft_by_sum>>> k2_sum_rows;

/* k2_sum: reduction along the last dimension; n0 x n1 (reduced); vectors of 2; 8 at a time
 *
 *     at0     f64  read: scratch 1; unit stride
 *     at1     f64  written: scratch 2; uniform
 *     reduction 0: sum, f64
 */
static __device__ __forceinline__ void k2_sum(
    const long long offset0, const long long length, const long long teams, char *kept1, const long long bytes1,
    char *kept2, const long long bytes2, char *room, const long long first, const long long end)
{
    struct input {
        weft_vec<double, 2> x0;
    };
    k2_sum_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const double *const at0 = (const double *)(kept1 + (work.row - first) * bytes1 + offset0);
        double *const at1 = (double *)(kept2 + (work.row - first) * bytes2);
        auto body = [&](const double x0, double &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = at0[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<2>(at0 + p);
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            double r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<8, false, false, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.has_result()) {
            const double v1 = weft_get<0>(work.total).value(length == 0);
            double y1;
            y1 = v1;
            at1[0] = y1;
        }
    }
}

/* k3_map: elementwise; n0 x n1; vectors of 2; 4 at a time
 *
 *     at0     f64  read: scratch 1; unit stride
 *     at1     f64  read: scratch 2; uniform
 *     out2    f64  written: by i0, i1; unit stride
 */
static __device__ __forceinline__ void k3_map(
    const long long offset0, const long long offset1, double *out2, const long long n1, const long long stride2_0,
    const long long head, const long long across, char *kept1, const long long bytes1, char *kept2,
    const long long bytes2, const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row;
        const double *const at0 = (const double *)(kept1 + (row - first) * bytes1 + offset0);
        const double *const at1 = (const double *)(kept2 + (row - first) * bytes2 + offset1);
        const double x1 = at1[0];
        double *const row2 = out2 + i0 * stride2_0;
        auto body = [&](const double x0, double &y2) {
            const double v2 = x0 / x1;
            y2 = v2;
        };
        const long long groups = (n1 - head) / 2;
        const weft_vec<double, 2> *const groups0 = weft_groups<2>(at0 + head);
        weft_vec<double, 2> *const groups2 = weft_groups<2>(row2 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < groups; g += 4 * width) {
            weft_vec<double, 2> x0[4];
            weft_vec<double, 2> y2[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                x0[u] = groups0[g + u * width];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                #pragma unroll
                for (int e = 0; e < 2; e++) {
                    body(x0[u].of[e], y2[u].of[e]);
                }
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                groups2[g + u * width] = y2[u];
            }
        }
        #pragma unroll 1
        for (; g < groups; g += width) {
            weft_vec<double, 2> y2;
            const weft_vec<double, 2> x0 = groups0[g];
            #pragma unroll
            for (int e = 0; e < 2; e++) {
                body(x0.of[e], y2.of[e]);
            }
            groups2[g] = y2;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n1 - 2 * groups; rest += width) {
            const long long i1 = rest < head ? rest : rest + 2 * groups;
            double y2;
            body(at0[i1], y2);
            row2[i1] = y2;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) k_softmax_f64(
    const long long rows, const long long set_rows, const long long apart, char *partials,
    const double *__restrict__ s0_in0, const long long s0_stride0_0, const long long s0_length,
    const long long s0_teams, const double *__restrict__ s1_in0, const long long s1_offset1, const long long s1_n1,
    const long long s1_stride0_0, const long long s1_head, const long long s1_across, const long long s2_offset0,
    const long long s2_length, const long long s2_teams, const long long s3_offset0, const long long s3_offset1,
    double *s3_out2, const long long s3_n1, const long long s3_stride2_0, const long long s3_head,
    const long long s3_across)
{
    alignas(8) __shared__ char room[weft_most(sizeof(k0_max_rows::memory), sizeof(k2_sum_rows::memory))];
    extern __shared__ weft_vec<char, 32> k_softmax_f64_shared[];
    const long long bytes0 = 8LL;
    char *const kept0 = apart ? partials + blockIdx.x * apart : reinterpret_cast<char *>(k_softmax_f64_shared);
    const long long bytes1 = 8LL * s1_n1;
    char *const kept1 = kept0 + (set_rows * bytes0 + 31) / 32 * 32;
    const long long bytes2 = 8LL;
    char *const kept2 = kept1 + (set_rows * bytes1 + 31) / 32 * 32;
    #pragma unroll 1
    for (long long first = blockIdx.x * set_rows; first < rows; first += gridDim.x * set_rows) {
        const long long end = first + set_rows < rows ? first + set_rows : rows;
        k0_max(s0_in0, s0_stride0_0, s0_length, s0_teams, kept0, bytes0, room, first, end);
        __syncthreads();
        k1_map(s1_in0, s1_offset1, s1_n1, s1_stride0_0, s1_head, s1_across, kept0, bytes0, kept1, bytes1, first, end);
        __syncthreads();
        k2_sum(s2_offset0, s2_length, s2_teams, kept1, bytes1, kept2, bytes2, room, first, end);
        __syncthreads();
        k3_map(s3_offset0, s3_offset1, s3_out2, s3_n1, s3_stride2_0, s3_head, s3_across, kept1, bytes1, kept2, bytes2,
                first, end);
        __syncthreads();
    }
}
