/* k0_map: elementwise; n0; vectors of 4
 *
 *     in0     f32  read: by i0; unit stride
 *     out1    f32  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const float *__restrict__ in0, float *__restrict__ out1, const long long n0, const long long head)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const float x0, float &y1) {
        const float v1 = (float)sin((double)x0);
        const float v2 = logf(v1);
        const float v3 = (float)pow((double)v2, (double)v1);
        y1 = v3;
    };
    const long long groups = (n0 - head) / 4;
    const weft_vec<float, 4> *const groups0 = weft_groups<4>(in0 + head);
    weft_vec<float, 4> *const groups1 = weft_groups<4>(out1 + head);
    long long g = column;
    #pragma unroll 1
    for (; g < groups; g += width) {
        weft_vec<float, 4> y1;
        const weft_vec<float, 4> x0 = groups0[g];
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            body(x0.of[e], y1.of[e]);
        }
        groups1[g] = y1;
    }
    // before the first group and after the last one
    #pragma unroll 1
    for (long long rest = column; rest < n0 - 4 * groups; rest += width) {
        const long long i0 = rest < head ? rest : rest + 4 * groups;
        float y1;
        body(in0[i0], y1);
        out1[i0] = y1;
    }
}
