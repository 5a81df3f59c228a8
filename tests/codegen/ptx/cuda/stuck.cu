/* k0_map: elementwise; n0
 *
 *     in0     i64  read: by i0; unit stride
 *     whole1  i64  whole, rank 1, unit stride
 *     out2    i64  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(128, 1) k0_map(
    const long long *__restrict__ in0, const long long *__restrict__ whole1, long long *__restrict__ out2,
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
    auto body = [&](const long long at, const long long x0, long long &y2) {
        const long long v1 = (unsigned long long)x0 >= (unsigned long long)size1_0 ? fault(at, 1, 1, 0, x0, size1_0)
                : whole1[x0];
        long long v3_0 = v1;
        #pragma unroll 4
        for (unsigned turn3 = 1;; turn3++) {
            const bool v5 = v3_0 == 0LL;
            if (!v5) break;
            const long long v7 = weft_mul(v3_0, v3_0);
            v3_0 = v7;
            if (turn3 % 1024 == 0 && (stop || weft_cancelled(watch, order, at))) {
                stop = true;
                break;
            }
        }
        y2 = v3_0;
    };
    #pragma unroll 1
    for (long long i0 = column; i0 < n0 && !stop; i0 += width) {
        long long y2;
        body(i0, in0[i0], y2);
        out2[i0] = y2;
    }
}
