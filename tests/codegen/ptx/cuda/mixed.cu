/* k3_map: elementwise; n0 x n1 x n2; vectors of 2; 4 at a time
 *
 *     in0     f64  read: by i0, i1, i2; unit stride
 *     in1     i32  read: by i0, i2; strided
 *     in2     bool read: by i1; uniform
 *     x3      bool by value
 *     x4      u8   by value
 *     out5    f64  written: by i0, i1, i2; unit stride
 *     out6    bool written: by i0, i1, i2; unit stride
 *     out7    u16  written: by i0, i1, i2; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k3_map(
    const double *__restrict__ in0, const int *__restrict__ in1, const unsigned char *__restrict__ in2,
    const unsigned char given3, const unsigned char x4, double *__restrict__ out5, unsigned char *__restrict__ out6,
    unsigned short *__restrict__ out7, const long long n0, const long long n1, const long long n2,
    const long long stride0_0, const long long stride0_1, const long long stride1_0, const long long stride1_2,
    const long long stride2_1, const long long stride5_0, const long long stride5_1, const long long stride6_0,
    const long long stride6_1, const long long stride7_0, const long long stride7_1, const long long number0,
    const long long head)
{
    const bool x3 = given3 != 0;
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long rows = n0 * n1;
    #pragma unroll 1
    for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += (long long)gridDim.y * blockDim.y) {
        const long long i0 = row / n1, i1 = row - i0 * n1;
        const bool x2 = in2[i1 * stride2_1] != 0;
        const double *const row0 = in0 + i0 * stride0_0 + i1 * stride0_1;
        const int *const row1 = in1 + i0 * stride1_0;
        double *const row5 = out5 + i0 * stride5_0 + i1 * stride5_1;
        unsigned char *const row6 = out6 + i0 * stride6_0 + i1 * stride6_1;
        unsigned short *const row7 = out7 + i0 * stride7_0 + i1 * stride7_1;
        const bool v13 = x2 && x3;
        const unsigned short v20 = (unsigned short)x4;
        const unsigned short v22 = weft_mul(v20, (unsigned short)65535);
        auto body = [&](const long long i2, const double x0, const int x1, double &y5, unsigned char &y6,
                unsigned short &y7) {
            const long long v8 = weft_mul(i2, number0);
            const long long v9 = weft_add(v8, i0);
            const double v10 = (double)v9;
            const double v11 = (double)x1;
            const double v12 = fma(v11, x0, v10);
            const double v15 = v13 ? v12 : weft_nan<double>();
            y5 = v15;
            const bool v18 = x0 < (-0x1.999999999999ap-4 /* 0.1 */);
            y6 = v18;
            const unsigned short v23 = weft_convert<unsigned short>(x0);
            const unsigned short v24 = weft_add(v22, v23);
            y7 = v24;
        };
        const long long groups = (n2 - head) / 2;
        const weft_vec<double, 2> *const groups0 = weft_groups<2>(row0 + head);
        weft_vec<double, 2> *const groups5 = weft_groups<2>(row5 + head);
        weft_vec<unsigned char, 2> *const groups6 = weft_groups<2>(row6 + head);
        weft_vec<unsigned short, 2> *const groups7 = weft_groups<2>(row7 + head);
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < groups; g += 4 * width) {
            weft_vec<double, 2> x0[4];
            weft_vec<int, 2> x1[4];
            weft_vec<double, 2> y5[4];
            weft_vec<unsigned char, 2> y6[4];
            weft_vec<unsigned short, 2> y7[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = head + 2 * (g + u * width);
                x0[u] = groups0[g + u * width];
                #pragma unroll
                for (int e = 0; e < 2; e++) {
                    x1[u].of[e] = row1[(i2 + e) * stride1_2];
                }
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = head + 2 * (g + u * width);
                #pragma unroll
                for (int e = 0; e < 2; e++) {
                    body(i2 + e, x0[u].of[e], x1[u].of[e], y5[u].of[e], y6[u].of[e], y7[u].of[e]);
                }
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                groups5[g + u * width] = y5[u];
                groups6[g + u * width] = y6[u];
                groups7[g + u * width] = y7[u];
            }
        }
        #pragma unroll 1
        for (; g < groups; g += width) {
            weft_vec<int, 2> x1;
            weft_vec<double, 2> y5;
            weft_vec<unsigned char, 2> y6;
            weft_vec<unsigned short, 2> y7;
            const long long i2 = head + 2 * g;
            const weft_vec<double, 2> x0 = groups0[g];
            #pragma unroll
            for (int e = 0; e < 2; e++) {
                x1.of[e] = row1[(i2 + e) * stride1_2];
            }
            #pragma unroll
            for (int e = 0; e < 2; e++) {
                body(i2 + e, x0.of[e], x1.of[e], y5.of[e], y6.of[e], y7.of[e]);
            }
            groups5[g] = y5;
            groups6[g] = y6;
            groups7[g] = y7;
        }
        // before the first group and after the last one
        #pragma unroll 1
        for (long long rest = column; rest < n2 - 2 * groups; rest += width) {
            const long long i2 = rest < head ? rest : rest + 2 * groups;
            double y5;
            unsigned char y6;
            unsigned short y7;
            body(i2, row0[i2], row1[i2 * stride1_2], y5, y6, y7);
            row5[i2] = y5;
            row6[i2] = y6;
            row7[i2] = y7;
        }
    }
}
