/* k2_map: elementwise; n0 x n1; vectors of 4; 4 at a time
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     in1     f32  read: by i0, i1; unit stride
 *     in2     f32  read: by i0; uniform
 *     out3    f32  written: by i0, i1; unit stride
 *     out4    f32  written: by i0, i1; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k2_map(
    const float *__restrict__ in0, const float *__restrict__ in1, const float *__restrict__ in2,
    float *__restrict__ out3, float *__restrict__ out4, const long long n0, const long long n1,
    const long long stride0_0, const long long stride1_0, const long long stride2_0, const long long stride3_0,
    const long long stride4_0, const long long head)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long rows = n0;
    #pragma unroll 1
    for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += (long long)gridDim.y * blockDim.y) {
        const long long i0 = row;
        const float x2 = in2[i0 * stride2_0];
        const float *const row0 = in0 + i0 * stride0_0;
        const float *const row1 = in1 + i0 * stride1_0;
        float *const row3 = out3 + i0 * stride3_0;
        float *const row4 = out4 + i0 * stride4_0;
        float v5, v3;
        sincosf(x2, &v5, &v3);
        const float v6 = -v5;
        auto body = [&](const float x0, const float x1, float &y3, float &y4) {
            const float v4 = x0 * v3;
            const float v7 = fmaf(v6, x1, v4);
            y3 = v7;
            const float v9 = x1 * v3;
            const float v10 = fmaf(x0, v5, v9);
            y4 = v10;
        };
        const long long groups = (n1 - head) / 4;
        const weft_vec<float, 4> *const groups0 = weft_groups<4>(row0 + head);
        const weft_vec<float, 4> *const groups1 = weft_groups<4>(row1 + head);
        weft_vec<float, 4> *const groups3 = weft_groups<4>(row3 + head);
        weft_vec<float, 4> *const groups4 = weft_groups<4>(row4 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < groups; g += 4 * width) {
            weft_vec<float, 4> x0[4];
            weft_vec<float, 4> x1[4];
            weft_vec<float, 4> y3[4];
            weft_vec<float, 4> y4[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                x0[u] = groups0[g + u * width];
                x1[u] = groups1[g + u * width];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                #pragma unroll
                for (int e = 0; e < 4; e++) {
                    body(x0[u].of[e], x1[u].of[e], y3[u].of[e], y4[u].of[e]);
                }
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                groups3[g + u * width] = y3[u];
                groups4[g + u * width] = y4[u];
            }
        }
        #pragma unroll 1
        for (; g < groups; g += width) {
            weft_vec<float, 4> y3;
            weft_vec<float, 4> y4;
            const weft_vec<float, 4> x0 = groups0[g];
            const weft_vec<float, 4> x1 = groups1[g];
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0.of[e], x1.of[e], y3.of[e], y4.of[e]);
            }
            groups3[g] = y3;
            groups4[g] = y4;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n1 - 4 * groups; rest += width) {
            const long long i1 = rest < head ? rest : rest + 4 * groups;
            float y3;
            float y4;
            body(row0[i1], row1[i1], y3, y4);
            row3[i1] = y3;
            row4[i1] = y4;
        }
    }
}
