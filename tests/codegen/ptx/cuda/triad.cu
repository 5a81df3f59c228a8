/* k0_map: elementwise; n0; vectors of 4; 4 at a time
 *
 *     in0     f32  read: by i0; unit stride
 *     x1      f32  by value
 *     in2     f32  read: by i0; unit stride
 *     out3    f32  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const float *__restrict__ in0, const float x1, const float *__restrict__ in2, float *__restrict__ out3,
    const long long n0, const long long head)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const float x0, const float x2, float &y3) {
        const float v3 = fmaf(x0, x1, x2);
        y3 = v3;
    };
    const long long groups = (n0 - head) / 4;
    const weft_vec<float, 4> *const groups0 = weft_groups<4>(in0 + head);
    const weft_vec<float, 4> *const groups2 = weft_groups<4>(in2 + head);
    weft_vec<float, 4> *const groups3 = weft_groups<4>(out3 + head);
    long long g = column;
    #pragma unroll 1
    for (; g + 3 * width < groups; g += 4 * width) {
        weft_vec<float, 4> x0[4];
        weft_vec<float, 4> x2[4];
        weft_vec<float, 4> y3[4];
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            x0[u] = groups0[g + u * width];
            x2[u] = groups2[g + u * width];
        }
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0[u].of[e], x2[u].of[e], y3[u].of[e]);
            }
        }
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            groups3[g + u * width] = y3[u];
        }
    }
    #pragma unroll 1
    for (; g < groups; g += width) {
        weft_vec<float, 4> y3;
        const weft_vec<float, 4> x0 = groups0[g];
        const weft_vec<float, 4> x2 = groups2[g];
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            body(x0.of[e], x2.of[e], y3.of[e]);
        }
        groups3[g] = y3;
    }
    // before the first group and after the last one
    #pragma unroll 1
    for (long long rest = column; rest < n0 - 4 * groups; rest += width) {
        const long long i0 = rest < head ? rest : rest + 4 * groups;
        float y3;
        body(in0[i0], in2[i0], y3);
        out3[i0] = y3;
    }
}
