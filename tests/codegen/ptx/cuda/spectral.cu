/* k0_map: elementwise; n0
 *
 *     in0     f64  read: by i0; unit stride
 *     whole1  f64  whole, rank 1, unit stride
 *     whole2  f32  whole, rank 1, unit stride
 *     out3    f64  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(128, 1) k0_map(
    const double *__restrict__ in0, const double *__restrict__ whole1, const float *__restrict__ whole2,
    double *__restrict__ out3, const long long n0, const long long size1_0, const long long size2_0, weft_watch *watch,
    const long long order)
{
    bool stop = weft_cancelled(watch, order, 0);
    auto fault = [&](const long long at, const int site, const int operand, const int dim, const long long index,
            const long long size) {
        weft_fault(watch, order, at, site, operand, dim, index, size);
        stop = true;
        return 0;
    };
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const long long at, const double x0, double &y3) {
        long long v5_0 = 0LL;
        double v5_1 = 0.0;
        double v5_2 = 0.0;
        #pragma unroll 1
        for (unsigned turn5 = 1;; turn5++) {
            const bool v9 = v5_0 < size1_0;
            if (!v9) break;
            const long long v13 = weft_add(v5_0, 1LL);
            const float v14 = (unsigned long long)v5_0 >= (unsigned long long)size2_0 ? fault(at, 14, 2, 0, v5_0, size2_0)
                    : whole2[v5_0];
            const bool v15 = v14 != v14;
            const bool v16 = !v15;
            double v17_0;
            double v17_1;
            if (v16) {
                const double v18 = (unsigned long long)v5_0 >= (unsigned long long)size1_0 ? fault(at, 18, 1, 0, v5_0, size1_0)
                        : whole1[v5_0];
                const double v19 = x0 * v18;
                double v23, v20;
                sincos(v19, &v23, &v20);
                const double v21 = (double)v14;
                const double v22 = fma(v21, v20, v5_1);
                const double v24 = fma(v21, v23, v5_2);
                v17_0 = v22;
                v17_1 = v24;
            } else {
                v17_0 = v5_1;
                v17_1 = v5_2;
            }
            v5_0 = v13;
            v5_1 = v17_0;
            v5_2 = v17_1;
            if (turn5 % 1024 == 0 && (stop || weft_cancelled(watch, order, at))) {
                stop = true;
            }
            if (stop) break;
        }
        const double v29 = v5_2 * v5_2;
        const double v30 = fma(v5_1, v5_1, v29);
        y3 = v30;
    };
    #pragma unroll 1
    for (long long i0 = column; i0 < n0 && !stop; i0 += width) {
        double y3;
        body(i0, in0[i0], y3);
        out3[i0] = y3;
    }
}
