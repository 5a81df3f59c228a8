/* k0_map: elementwise; n0
 *
 *     in0     i64  read: by i0; unit stride
 *     whole1  bool whole, rank 1, unit stride
 *     out2    i32  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(128, 1) k0_map(
    const long long *__restrict__ in0, const unsigned char *__restrict__ whole1, int *__restrict__ out2,
    const long long n0, const long long size1_0, weft_watch *watch, const long long order)
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
    auto body = [&](const long long at, const long long x0, int &y2) {
        long long v7_0 = x0;
        int v7_1 = 0;
        #pragma unroll 1
        for (unsigned turn7 = 1;; turn7++) {
            const bool v11 = v7_0 > 4LL;
            if (!v11) break;
            long long v14_0 = v7_0;
            long long v14_1 = 1LL;
            long long v14_2 = 0LL;
            #pragma unroll 1
            for (unsigned turn14 = 1;; turn14++) {
                const long long v18 = weft_mod(v14_0, 2LL);
                const bool v19 = v18 == 0LL;
                if (!v19) break;
                const long long v23 = weft_floordiv(v14_0, 2LL);
                const long long old14_2 = v14_1;
                v14_0 = v23;
                v14_1 = v14_2;
                v14_2 = old14_2;
                if (turn14 % 1024 == 0 && (stop || weft_cancelled(watch, order, at))) {
                    stop = true;
                    break;
                }
            }
            const bool v26 = (unsigned long long)v14_1 >= (unsigned long long)size1_0 ? fault(at, 26, 1, 0, v14_1, size1_0)
                    : whole1[v14_1] != 0;
            long long v27_0;
            if (v26) {
                const long long v28 = weft_fma(v14_0, 3LL, 1LL);
                v27_0 = v28;
            } else {
                v27_0 = v14_0;
            }
            const int v30 = weft_add(v7_1, 1);
            v7_0 = v27_0;
            v7_1 = v30;
            if (turn7 % 16 == 0 && (stop || weft_cancelled(watch, order, at))) {
                stop = true;
            }
            if (stop) break;
        }
        y2 = v7_1;
    };
    #pragma unroll 1
    for (long long i0 = column; i0 < n0 && !stop; i0 += width) {
        int y2;
        body(i0, in0[i0], y2);
        out2[i0] = y2;
    }
}
