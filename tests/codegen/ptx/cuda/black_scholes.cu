/* k0_map: elementwise; n0; vectors of 4
 *
 *     in0     f32  read: by i0; unit stride
 *     x1      f64  by value
 *     x2      f64  by value
 *     in3     f32  read: by i0; unit stride
 *     in4     f32  read: by i0; unit stride
 *     out5    f32  written: by i0; unit stride
 *     out6    f32  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const float *__restrict__ in0, const double x1, const double x2, const float *__restrict__ in3,
    const float *__restrict__ in4, float *__restrict__ out5, float *__restrict__ out6, const long long n0,
    const long long head)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const double v4 = 0.5 * x1;
    const double v6 = fma(v4, x1, x2);
    const float v7 = (float)v6;
    const float v13 = (float)x1;
    const double v22 = -x2;
    const float v23 = (float)v22;
    const float v27 = -v13;
    auto body = [&](const float x0, const float x3, const float x4, float &y5, float &y6) {
        const float v10 = x0 / x4;
        const float v11 = logf(v10);
        const float v12 = fmaf(v7, x3, v11);
        const float v14 = sqrtf(x3);
        const float v15 = v13 * v14;
        const float v16 = v12 / v15;
        const float v17 = -v16;
        const float v19 = v17 / 0x1.6a09e6p+0f /* 1.4142135 */;
        const float v20 = erfcf(v19);
        const float v21 = 0.5f * v20;
        const float v24 = v23 * x3;
        const float v25 = expf(v24);
        const float v26 = x4 * v25;
        const float v28 = fmaf(v27, v14, v16);
        const float v29 = -v28;
        const float v30 = v29 / 0x1.6a09e6p+0f /* 1.4142135 */;
        const float v31 = erfcf(v30);
        const float v32 = 0.5f * v31;
        const float v33 = v26 * v32;
        const float v34 = -v33;
        const float v35 = fmaf(x0, v21, v34);
        y5 = v35;
        const float v38 = 1.0f - v32;
        const float v39 = 1.0f - v21;
        const float v40 = x0 * v39;
        const float v41 = -v40;
        const float v42 = fmaf(v26, v38, v41);
        y6 = v42;
    };
    const long long groups = (n0 - head) / 4;
    const weft_vec<float, 4> *const groups0 = weft_groups<4>(in0 + head);
    const weft_vec<float, 4> *const groups3 = weft_groups<4>(in3 + head);
    const weft_vec<float, 4> *const groups4 = weft_groups<4>(in4 + head);
    weft_vec<float, 4> *const groups5 = weft_groups<4>(out5 + head);
    weft_vec<float, 4> *const groups6 = weft_groups<4>(out6 + head);
    long long g = column;
    #pragma unroll 1
    for (; g < groups; g += width) {
        weft_vec<float, 4> y5;
        weft_vec<float, 4> y6;
        const weft_vec<float, 4> x0 = groups0[g];
        const weft_vec<float, 4> x3 = groups3[g];
        const weft_vec<float, 4> x4 = groups4[g];
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            body(x0.of[e], x3.of[e], x4.of[e], y5.of[e], y6.of[e]);
        }
        groups5[g] = y5;
        groups6[g] = y6;
    }
    // before the first group and after the last one
    #pragma unroll 1
    for (long long rest = column; rest < n0 - 4 * groups; rest += width) {
        const long long i0 = rest < head ? rest : rest + 4 * groups;
        float y5;
        float y6;
        body(in0[i0], in3[i0], in4[i0], y5, y6);
        out5[i0] = y5;
        out6[i0] = y6;
    }
}
