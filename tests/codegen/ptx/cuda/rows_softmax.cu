/* k_softmax: a thread block takes rows, and does all of this to them: k0_max, k1_map, k2_sum, k3_map */

typedef weft_rows<64, true, false, weft_tuple<weft_fold<float, weft_by_max>>> k0_max_rows;

/* k0_max: reduction along the last dimension; n0 x n1 (reduced); vectors of 4; 8 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     at1     f32  written: scratch 0; uniform
 *     reduction 0: max, f32
 */
static __device__ __forceinline__ void k0_max(
    const float *__restrict__ in0, const long long stride0_0, const long long length, const long long teams,
    char *kept0, const long long bytes0, char *room, const long long first, const long long end)
{
    struct input {
        weft_vec<float, 4> x0;
    };
    k0_max_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const long long i0 = work.row;
        float *const at1 = (float *)(kept0 + (work.row - first) * bytes0);
        const float *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const float x0, float &r0) {
            r0 = x0;
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
        work.template reduce<8, false, false, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.has_result()) {
            const float v1 = weft_get<0>(work.total).value(length == 0);
            float y1;
            y1 = v1;
            at1[0] = y1;
        }
    }
}

/* k1_map: elementwise; n0 x n1; vectors of 4; 2 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     at1     f32  read: scratch 0; uniform
 *     at2     f32  written: scratch 1; unit stride
 */
static __device__ __forceinline__ void k1_map(
    const float *__restrict__ in0, const long long offset1, const long long n1, const long long stride0_0,
    const long long head, const long long across, char *kept0, const long long bytes0, char *kept1,
    const long long bytes1, const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row;
        const float *const at1 = (const float *)(kept0 + (row - first) * bytes0 + offset1);
        float *const at2 = (float *)(kept1 + (row - first) * bytes1);
        const float x1 = at1[0];
        const float *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const float x0, float &y2) {
            const float v2 = x0 - x1;
            const float v3 = expf(v2);
            y2 = v3;
        };
        const long long groups = (n1 - head) / 4;
        const weft_vec<float, 4> *const groups0 = weft_groups<4>(row0 + head);
        weft_vec<float, 4> *const groups2 = weft_groups<4>(at2 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + width < groups; g += 2 * width) {
            weft_vec<float, 4> x0[2];
            weft_vec<float, 4> y2[2];
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                x0[u] = groups0[g + u * width];
            }
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                #pragma unroll
                for (int e = 0; e < 4; e++) {
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
            weft_vec<float, 4> y2;
            const weft_vec<float, 4> x0 = groups0[g];
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0.of[e], y2.of[e]);
            }
            groups2[g] = y2;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n1 - 4 * groups; rest += width) {
            const long long i1 = rest < head ? rest : rest + 4 * groups;
            float y2;
            body(row0[i1], y2);
            at2[i1] = y2;
        }
    }
}

typedef weft_rows<64, true, false, weft_tuple<weft_fold<float, weft_by_sum>>> k2_sum_rows;

/* k2_sum: reduction along the last dimension; n0 x n1 (reduced); vectors of 4; 8 at a time
 *
 *     at0     f32  read: scratch 1; unit stride
 *     at1     f32  written: scratch 2; uniform
 *     reduction 0: sum, f32
 */
static __device__ __forceinline__ void k2_sum(
    const long long offset0, const long long length, const long long teams, char *kept1, const long long bytes1,
    char *kept2, const long long bytes2, char *room, const long long first, const long long end)
{
    struct input {
        weft_vec<float, 4> x0;
    };
    k2_sum_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const float *const at0 = (const float *)(kept1 + (work.row - first) * bytes1 + offset0);
        float *const at1 = (float *)(kept2 + (work.row - first) * bytes2);
        auto body = [&](const float x0, float &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = at0[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<4>(at0 + p);
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<8, false, false, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.has_result()) {
            const float v1 = weft_get<0>(work.total).value(length == 0);
            float y1;
            y1 = v1;
            at1[0] = y1;
        }
    }
}

/* k3_map: elementwise; n0 x n1; vectors of 4; 4 at a time
 *
 *     at0     f32  read: scratch 1; unit stride
 *     at1     f32  read: scratch 2; uniform
 *     out2    f32  written: by i0, i1; unit stride
 */
static __device__ __forceinline__ void k3_map(
    const long long offset0, const long long offset1, float *out2, const long long n1, const long long stride2_0,
    const long long head, const long long across, char *kept1, const long long bytes1, char *kept2,
    const long long bytes2, const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row;
        const float *const at0 = (const float *)(kept1 + (row - first) * bytes1 + offset0);
        const float *const at1 = (const float *)(kept2 + (row - first) * bytes2 + offset1);
        const float x1 = at1[0];
        float *const row2 = out2 + i0 * stride2_0;
        auto body = [&](const float x0, float &y2) {
            const float v2 = x0 / x1;
            y2 = v2;
        };
        const long long groups = (n1 - head) / 4;
        const weft_vec<float, 4> *const groups0 = weft_groups<4>(at0 + head);
        weft_vec<float, 4> *const groups2 = weft_groups<4>(row2 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < groups; g += 4 * width) {
            weft_vec<float, 4> x0[4];
            weft_vec<float, 4> y2[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                x0[u] = groups0[g + u * width];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                #pragma unroll
                for (int e = 0; e < 4; e++) {
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
            weft_vec<float, 4> y2;
            const weft_vec<float, 4> x0 = groups0[g];
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0.of[e], y2.of[e]);
            }
            groups2[g] = y2;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n1 - 4 * groups; rest += width) {
            const long long i1 = rest < head ? rest : rest + 4 * groups;
            float y2;
            body(at0[i1], y2);
            row2[i1] = y2;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) k_softmax(
    const long long rows, const long long set_rows, const long long apart, char *partials,
    const float *__restrict__ s0_in0, const long long s0_stride0_0, const long long s0_length,
    const long long s0_teams, const float *__restrict__ s1_in0, const long long s1_offset1, const long long s1_n1,
    const long long s1_stride0_0, const long long s1_head, const long long s1_across, const long long s2_offset0,
    const long long s2_length, const long long s2_teams, const long long s3_offset0, const long long s3_offset1,
    float *s3_out2, const long long s3_n1, const long long s3_stride2_0, const long long s3_head,
    const long long s3_across)
{
    alignas(8) __shared__ char room[weft_most(sizeof(k0_max_rows::memory), sizeof(k2_sum_rows::memory))];
    extern __shared__ weft_vec<char, 32> k_softmax_shared[];
    const long long bytes0 = 4LL;
    char *const kept0 = apart ? partials + blockIdx.x * apart : reinterpret_cast<char *>(k_softmax_shared);
    const long long bytes1 = 4LL * s1_n1;
    char *const kept1 = kept0 + (set_rows * bytes0 + 31) / 32 * 32;
    const long long bytes2 = 4LL;
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
