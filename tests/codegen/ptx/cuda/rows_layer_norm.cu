/* k_layer_norm: a thread block takes rows, and does all of this to them: k0_sum_var, k1_map, k2_map */

typedef weft_rows<64, true, false, weft_tuple<weft_fold<float, weft_by_sum>, weft_var_of<float, 0>>> k0_sum_var_rows;

/* k0_sum_var: reduction along the last dimension; n0 x n1 (reduced); vectors of 4; 8 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     at1     f32  written: scratch 0; uniform
 *     out2    f32  written: by i0; uniform
 *     reduction 0: sum, f32
 *     reduction 1: var, f64
 */
static __device__ __forceinline__ void k0_sum_var(
    const float *__restrict__ in0, float *out2, const long long stride0_0, const long long number0,
    const long long length, const long long teams, char *kept0, const long long bytes0, char *room,
    const long long first, const long long end)
{
    struct input {
        weft_vec<float, 4> x0;
    };
    k0_sum_var_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const long long i0 = work.row;
        float *const at1 = (float *)(kept0 + (work.row - first) * bytes0);
        const float *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const float x0, float &r0, float &r1, bool &r2) {
            r0 = x0;
            r1 = x0;
            r2 = true;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            in.x0.of[e] = row0[p];
        };
        auto read = [&](input &in, const long long p) __attribute__((always_inline)) {
            in.x0 = *weft_groups<4>(row0 + p);
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            float r1;
            bool r2;
            body(in.x0.of[e], r0, r1, r2);
            weft_get<0>(lane).add(r0);
        };
        auto repeat = [&](auto &lane, const auto &means, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            float r1;
            bool r2;
            body(in.x0.of[e], r0, r1, r2);
            weft_get<1>(lane).add(weft_get<1>(means).square(r1));
        };
        work.template reduce<8, true, false, input>(weft_never(), read, one, visit, weft_skip(), weft_skip(), repeat);
        if (work.has_result()) {
            const float v2 = weft_get<0>(work.total).value(length == 0);
            const double v3 = weft_get<1>(work.total).value(length == 0);
            float y1;
            float y2;
            const float v5 = (float)number0;
            const float v6 = v2 / v5;
            y1 = v6;
            const double v8 = (double)number0;
            const double v10 = v8 - 0.0;
            const double v11 = weft_max(v10, 0.0);
            const double v12 = v3 / v11;
            const float v13 = (float)v12;
            y2 = v13;
            at1[0] = y1;
            out2[work.row] = y2;
        }
    }
}

/* k1_map: elementwise; n0 x n1; 4 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     at1     f32  written: scratch 1; unit stride
 */
static __device__ __forceinline__ void k1_map(
    const float *in0, const long long n1, const long long stride0_0, const long long across, char *kept1,
    const long long bytes1, const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row;
        float *const at1 = (float *)(kept1 + (row - first) * bytes1);
        const float *const row0 = in0 + i0 * stride0_0;
        auto body = [&](const float x0, float &y1) {
            const float v2 = x0 + 0x1.4f8b58p-17f /* 1e-05 */;
            const float v3 = sqrtf(v2);
            y1 = v3;
        };
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < n1; g += 4 * width) {
            float x0[4];
            float y1[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i1 = g + u * width;
                x0[u] = row0[i1];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                body(x0[u], y1[u]);
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i1 = g + u * width;
                at1[i1] = y1[u];
            }
        }
        #pragma unroll 1
        for (; g < n1; g += width) {
            const long long i1 = g;
            float y1;
            body(row0[i1], y1);
            at1[i1] = y1;
        }
    }
}

/* k2_map: elementwise; n0 x n1; vectors of 4; 2 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     at1     f32  read: scratch 0; uniform
 *     at2     f32  read: scratch 1; uniform
 *     in3     f32  read: by i0, i1; unit stride
 *     in4     f32  read: by i0, i1; unit stride
 *     out5    f32  written: by i0, i1; unit stride
 */
static __device__ __forceinline__ void k2_map(
    const float *__restrict__ in0, const long long offset1, const long long offset2, const float *__restrict__ in3,
    const float *__restrict__ in4, float *out5, const long long n1, const long long stride0_0,
    const long long stride3_0, const long long stride4_0, const long long stride5_0, const long long head,
    const long long across, char *kept0, const long long bytes0, char *kept1, const long long bytes1,
    const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    #pragma unroll 1
    for (long long row = first + (threadIdx.x >> across); row < end; row += 256 >> across) {
        const long long i0 = row;
        const float *const at1 = (const float *)(kept0 + (row - first) * bytes0 + offset1);
        const float *const at2 = (const float *)(kept1 + (row - first) * bytes1 + offset2);
        const float x1 = at1[0];
        const float x2 = at2[0];
        const float *const row0 = in0 + i0 * stride0_0;
        const float *const row3 = in3 + i0 * stride3_0;
        const float *const row4 = in4 + i0 * stride4_0;
        float *const row5 = out5 + i0 * stride5_0;
        auto body = [&](const float x0, const float x3, const float x4, float &y5) {
            const float v2 = x0 - x1;
            const float v4 = v2 / x2;
            const float v7 = fmaf(v4, x3, x4);
            y5 = v7;
        };
        const long long groups = (n1 - head) / 4;
        const weft_vec<float, 4> *const groups0 = weft_groups<4>(row0 + head);
        const weft_vec<float, 4> *const groups3 = weft_groups<4>(row3 + head);
        const weft_vec<float, 4> *const groups4 = weft_groups<4>(row4 + head);
        weft_vec<float, 4> *const groups5 = weft_groups<4>(row5 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + width < groups; g += 2 * width) {
            weft_vec<float, 4> x0[2];
            weft_vec<float, 4> x3[2];
            weft_vec<float, 4> x4[2];
            weft_vec<float, 4> y5[2];
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                x0[u] = groups0[g + u * width];
                x3[u] = groups3[g + u * width];
                x4[u] = groups4[g + u * width];
            }
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                #pragma unroll
                for (int e = 0; e < 4; e++) {
                    body(x0[u].of[e], x3[u].of[e], x4[u].of[e], y5[u].of[e]);
                }
            }
            #pragma unroll
            for (int u = 0; u < 2; u++) {
                groups5[g + u * width] = y5[u];
            }
        }
        #pragma unroll 1
        for (; g < groups; g += width) {
            weft_vec<float, 4> y5;
            const weft_vec<float, 4> x0 = groups0[g];
            const weft_vec<float, 4> x3 = groups3[g];
            const weft_vec<float, 4> x4 = groups4[g];
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0.of[e], x3.of[e], x4.of[e], y5.of[e]);
            }
            groups5[g] = y5;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n1 - 4 * groups; rest += width) {
            const long long i1 = rest < head ? rest : rest + 4 * groups;
            float y5;
            body(row0[i1], row3[i1], row4[i1], y5);
            row5[i1] = y5;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) k_layer_norm(
    const long long rows, const long long set_rows, const long long apart, char *partials,
    const float *__restrict__ s0_in0, float *s0_out2, const long long s0_stride0_0, const long long s0_number0,
    const long long s0_length, const long long s0_teams, const float *s1_in0, const long long s1_n1,
    const long long s1_stride0_0, const long long s1_across, const float *__restrict__ s2_in0,
    const long long s2_offset1, const long long s2_offset2, const float *__restrict__ s2_in3,
    const float *__restrict__ s2_in4, float *s2_out5, const long long s2_n1, const long long s2_stride0_0,
    const long long s2_stride3_0, const long long s2_stride4_0, const long long s2_stride5_0, const long long s2_head,
    const long long s2_across)
{
    alignas(8) __shared__ char room[sizeof(k0_sum_var_rows::memory)];
    extern __shared__ weft_vec<char, 32> k_layer_norm_shared[];
    const long long bytes0 = 4LL;
    char *const kept0 = apart ? partials + blockIdx.x * apart : reinterpret_cast<char *>(k_layer_norm_shared);
    const long long bytes1 = 4LL * s1_n1;
    char *const kept1 = kept0 + (set_rows * bytes0 + 31) / 32 * 32;
    #pragma unroll 1
    for (long long first = blockIdx.x * set_rows; first < rows; first += gridDim.x * set_rows) {
        const long long end = first + set_rows < rows ? first + set_rows : rows;
        k0_sum_var(s0_in0, s0_out2, s0_stride0_0, s0_number0, s0_length, s0_teams, kept0, bytes0, room, first, end);
        __syncthreads();
        k1_map(s1_in0, s1_n1, s1_stride0_0, s1_across, kept1, bytes1, first, end);
        __syncthreads();
        k2_map(s2_in0, s2_offset1, s2_offset2, s2_in3, s2_in4, s2_out5, s2_n1, s2_stride0_0, s2_stride3_0,
                s2_stride4_0, s2_stride5_0, s2_head, s2_across, kept0, bytes0, kept1, bytes1, first, end);
        __syncthreads();
    }
}
