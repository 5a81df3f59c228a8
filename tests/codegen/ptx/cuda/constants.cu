/* k0_map: elementwise; n0; 4 at a time
 *
 *     in0     f64  read: by i0; unit stride
 *     out1    f64  written: by i0; unit stride
 *     out2    f32  written: by i0; unit stride
 *     out3    i64  written: by i0; unit stride
 *     out4    i32  written: by i0; unit stride
 *     out5    i8   written: by i0; unit stride
 *     out6    u64  written: by i0; unit stride
 *     out7    bool written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const double *__restrict__ in0, double *__restrict__ out1, float *__restrict__ out2, long long *__restrict__ out3,
    int *__restrict__ out4, signed char *__restrict__ out5, unsigned long long *__restrict__ out6,
    unsigned char *__restrict__ out7, const long long n0)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const float v13 = fmaf(0x1p+24f /* 16777216 */, 0x1.99999ap-4f /* 0.1 */, (-0x1p-149f /* 1e-45 */));
    const float v14 = -(-0x1p-149f /* 1e-45 */);
    const float v15 = v13 - v14;
    const long long v18 = weft_neg((-9223372036854775807LL - 1));
    const int v22 = weft_floordiv((-2147483647 - 1), (-1));
    const signed char v25 = weft_abs((signed char)-128);
    const unsigned long long v29 = weft_rotl(18446744073709551615ULL, 9ULL);
    const bool v32 = !false;
    auto body = [&](const double x0, double &y1, float &y2, long long &y3, int &y4, signed char &y5,
            unsigned long long &y6, unsigned char &y7) {
        const double v2 = weft_max(x0, (-weft_inf<double>()));
        const double v4 = v2 * 0x0.0000000000001p-1022 /* 5e-324 */;
        const double v6 = v4 + (-0x1.3333333333334p-2 /* 0.30000000000000004 */);
        const double v8 = (-0.0) - v6;
        y1 = v8;
        y2 = v15;
        y3 = v18;
        y4 = v22;
        y5 = v25;
        y6 = v29;
        y7 = v32;
    };
    long long g = column;
    #pragma unroll 1
    for (; g + 3 * width < n0; g += 4 * width) {
        double x0[4];
        double y1[4];
        float y2[4];
        long long y3[4];
        int y4[4];
        signed char y5[4];
        unsigned long long y6[4];
        unsigned char y7[4];
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            const long long i0 = g + u * width;
            x0[u] = in0[i0];
        }
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            body(x0[u], y1[u], y2[u], y3[u], y4[u], y5[u], y6[u], y7[u]);
        }
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            const long long i0 = g + u * width;
            out1[i0] = y1[u];
            out2[i0] = y2[u];
            out3[i0] = y3[u];
            out4[i0] = y4[u];
            out5[i0] = y5[u];
            out6[i0] = y6[u];
            out7[i0] = y7[u];
        }
    }
    #pragma unroll 1
    for (; g < n0; g += width) {
        const long long i0 = g;
        double y1;
        float y2;
        long long y3;
        int y4;
        signed char y5;
        unsigned long long y6;
        unsigned char y7;
        body(in0[i0], y1, y2, y3, y4, y5, y6, y7);
        out1[i0] = y1;
        out2[i0] = y2;
        out3[i0] = y3;
        out4[i0] = y4;
        out5[i0] = y5;
        out6[i0] = y6;
        out7[i0] = y7;
    }
}
