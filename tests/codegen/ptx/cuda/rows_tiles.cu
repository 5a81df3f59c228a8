/* k_tiles: a thread block takes rows, and does all of this to them: k0_map, k1_sum, k2_map */

/* k0_map: elementwise; n0 x n1 x n2; vectors of 4; 4 at a time
 *
 *     in0     f32  read: by i0, i1, i2; unit stride
 *     in1     f32  read: by i1, i2; strided
 *     at2     f32  written: scratch 0; unit stride
 */
static __device__ __forceinline__ void k0_map(
    const float *__restrict__ in0, const float *__restrict__ in1, const long long n1, const long long n2,
    const long long stride0_0, const long long stride0_1, const long long stride1_1, const long long stride1_2,
    const long long stride2_1, const long long head, const long long across, char *kept0, const long long bytes0,
    const long long first, const long long end)
{
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    const long long inner = n1, lines = (end - first) * inner;
    #pragma unroll 1
    for (long long line = threadIdx.x >> across; line < lines; line += 256 >> across) {
        const long long row = first + line / inner, within = line % inner;
        const long long i1 = within;
        const long long i0 = row;
        float *const at2 = (float *)(kept0 + (row - first) * bytes0);
        const float *const row0 = in0 + i0 * stride0_0 + i1 * stride0_1;
        const float *const row1 = in1 + i1 * stride1_1;
        float *const row2 = at2 + i1 * stride2_1;
        auto body = [&](const float x0, const float x1, float &y2) {
            const float v2 = x0 * x1;
            y2 = v2;
        };
        const long long groups = (n2 - head) / 4;
        const weft_vec<float, 4> *const groups0 = weft_groups<4>(row0 + head);
        weft_vec<float, 4> *const groups2 = weft_groups<4>(row2 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < groups; g += 4 * width) {
            weft_vec<float, 4> x0[4];
            weft_vec<float, 4> x1[4];
            weft_vec<float, 4> y2[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = head + 4 * (g + u * width);
                x0[u] = groups0[g + u * width];
                #pragma unroll
                for (int e = 0; e < 4; e++) {
                    x1[u].of[e] = row1[(i2 + e) * stride1_2];
                }
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                #pragma unroll
                for (int e = 0; e < 4; e++) {
                    body(x0[u].of[e], x1[u].of[e], y2[u].of[e]);
                }
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                groups2[g + u * width] = y2[u];
            }
        }
        #pragma unroll 1
        for (; g < groups; g += width) {
            weft_vec<float, 4> x1;
            weft_vec<float, 4> y2;
            const long long i2 = head + 4 * g;
            const weft_vec<float, 4> x0 = groups0[g];
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                x1.of[e] = row1[(i2 + e) * stride1_2];
            }
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0.of[e], x1.of[e], y2.of[e]);
            }
            groups2[g] = y2;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n2 - 4 * groups; rest += width) {
            const long long i2 = rest < head ? rest : rest + 4 * groups;
            float y2;
            body(row0[i2], row1[i2 * stride1_2], y2);
            row2[i2] = y2;
        }
    }
}

typedef weft_rows<64, false, false, weft_tuple<weft_fold<float, weft_by_sum>>> k1_sum_rows;

/* k1_sum: reduction along the last dimension; n0 x n1 (reduced) x n2 (reduced)
 *
 *     at0     f32  read: scratch 0; unit stride
 *     at1     f32  written: scratch 1; uniform
 *     reduction 0: sum, f32
 */
static __device__ __forceinline__ void k1_sum(
    const long long offset0, const long long n2, const long long stride0_1, const long long length,
    const long long teams, char *kept0, const long long bytes0, char *kept1, const long long bytes1, char *room,
    const long long first, const long long end)
{
    struct input {
        weft_vec<float, 4> x0;
    };
    k1_sum_rows work(length, teams, room);
    #pragma unroll 1
    for (long long next = first; next < end; next += work.at_once()) {
        work.take(next, end);
        const float *const at0 = (const float *)(kept0 + (work.row - first) * bytes0 + offset0);
        float *const at1 = (float *)(kept1 + (work.row - first) * bytes1);
        auto body = [&](const float x0, float &r0) {
            r0 = x0;
        };
        auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline)) {
            const long long i1 = p / n2, i2 = p - i1 * n2;
            in.x0.of[e] = at0[i1 * stride0_1 + i2];
        };
        auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, const long long p) __attribute__((always_inline)) {
            float r0;
            body(in.x0.of[e], r0);
            weft_get<0>(lane).add(r0);
        };
        work.template reduce<1, false, false, input>(weft_never(), weft_skip(), one, visit, weft_skip(), weft_skip(), weft_skip());
        if (work.has_result()) {
            const float v1 = weft_get<0>(work.total).value(length == 0);
            float y1;
            const float v3 = v1 * 0.5f;
            y1 = v3;
            at1[0] = y1;
        }
    }
}

/* k2_map: elementwise; n0 x n1 x n2; 4 at a time
 *
 *     at0     f32  read: scratch 0; strided
 *     at1     f32  read: scratch 1; uniform
 *     x2      bool by value
 *     out3    f32  written: by i0, i1, i2; unit stride
 *     out4    bool written: by i0, i1, i2; unit stride
 */
static __device__ __forceinline__ void k2_map(
    const long long offset0, const long long offset1, const unsigned char given2, float *out3, unsigned char *out4,
    const long long n1, const long long n2, const long long stride0_1, const long long stride0_2,
    const long long stride3_0, const long long stride3_1, const long long stride4_0, const long long stride4_1,
    const long long across, char *kept0, const long long bytes0, char *kept1, const long long bytes1,
    const long long first, const long long end)
{
    const bool x2 = given2 != 0;
    const long long width = 1LL << across; // threads side by side in a line
    const long long column = threadIdx.x & (width - 1);
    const long long inner = n1, lines = (end - first) * inner;
    #pragma unroll 1
    for (long long line = threadIdx.x >> across; line < lines; line += 256 >> across) {
        const long long row = first + line / inner, within = line % inner;
        const long long i1 = within;
        const long long i0 = row;
        const float *const at0 = (const float *)(kept0 + (row - first) * bytes0 + offset0);
        const float *const at1 = (const float *)(kept1 + (row - first) * bytes1 + offset1);
        const float x1 = at1[0];
        const float *const row0 = at0 + i1 * stride0_1;
        float *const row3 = out3 + i0 * stride3_0 + i1 * stride3_1;
        unsigned char *const row4 = out4 + i0 * stride4_0 + i1 * stride4_1;
        auto body = [&](const float x0, float &y3, unsigned char &y4) {
            const float v3 = x2 ? x0 : x1;
            y3 = v3;
            const bool v5 = x0 < x1;
            y4 = v5;
        };
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < n2; g += 4 * width) {
            float x0[4];
            float y3[4];
            unsigned char y4[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                x0[u] = row0[i2 * stride0_2];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                body(x0[u], y3[u], y4[u]);
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                row3[i2] = y3[u];
                row4[i2] = y4[u];
            }
        }
        #pragma unroll 1
        for (; g < n2; g += width) {
            const long long i2 = g;
            float y3;
            unsigned char y4;
            body(row0[i2 * stride0_2], y3, y4);
            row3[i2] = y3;
            row4[i2] = y4;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 1) k_tiles(
    const long long rows, const long long set_rows, const long long apart, char *partials,
    const float *__restrict__ s0_in0, const float *__restrict__ s0_in1, const long long s0_n1, const long long s0_n2,
    const long long s0_stride0_0, const long long s0_stride0_1, const long long s0_stride1_1,
    const long long s0_stride1_2, const long long s0_stride2_1, const long long s0_head, const long long s0_across,
    const long long s1_offset0, const long long s1_n2, const long long s1_stride0_1, const long long s1_length,
    const long long s1_teams, const long long s2_offset0, const long long s2_offset1, const unsigned char s2_given2,
    float *s2_out3, unsigned char *s2_out4, const long long s2_n1, const long long s2_n2, const long long s2_stride0_1,
    const long long s2_stride0_2, const long long s2_stride3_0, const long long s2_stride3_1,
    const long long s2_stride4_0, const long long s2_stride4_1, const long long s2_across)
{
    alignas(8) __shared__ char room[sizeof(k1_sum_rows::memory)];
    extern __shared__ weft_vec<char, 32> k_tiles_shared[];
    const long long bytes0 = 4LL * s0_n1 * s0_n2;
    char *const kept0 = apart ? partials + blockIdx.x * apart : reinterpret_cast<char *>(k_tiles_shared);
    const long long bytes1 = 4LL;
    char *const kept1 = kept0 + (set_rows * bytes0 + 31) / 32 * 32;
    #pragma unroll 1
    for (long long first = blockIdx.x * set_rows; first < rows; first += gridDim.x * set_rows) {
        const long long end = first + set_rows < rows ? first + set_rows : rows;
        k0_map(s0_in0, s0_in1, s0_n1, s0_n2, s0_stride0_0, s0_stride0_1, s0_stride1_1, s0_stride1_2, s0_stride2_1,
                s0_head, s0_across, kept0, bytes0, first, end);
        __syncthreads();
        k1_sum(s1_offset0, s1_n2, s1_stride0_1, s1_length, s1_teams, kept0, bytes0, kept1, bytes1, room, first, end);
        __syncthreads();
        k2_map(s2_offset0, s2_offset1, s2_given2, s2_out3, s2_out4, s2_n1, s2_n2, s2_stride0_1, s2_stride0_2,
                s2_stride3_0, s2_stride3_1, s2_stride4_0, s2_stride4_1, s2_across, kept0, bytes0, kept1, bytes1, first,
                end);
        __syncthreads();
    }
}
