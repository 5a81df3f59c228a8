/* k0_map: elementwise; n0
 *
 *     in0     i64  read: by i0; unit stride
 *     in1     i64  read: by i0; unit stride
 *     out2    i64  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(128, 1) k0_map(
    const long long *__restrict__ in0, const long long *__restrict__ in1, long long *__restrict__ out2,
    const long long n0, weft_watch *watch, const long long order)
{
    bool stop = weft_cancelled(watch, order, 0);
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const long long at, const long long x0, const long long x1, long long &y2) {
        long long v3_0 = x0;
        long long v3_1 = x1;
        #pragma unroll 1
        for (unsigned turn3 = 1;; turn3++) {
            const bool v6 = v3_1 != 0LL;
            if (!v6) break;
            const long long v9 = weft_mod(v3_0, v3_1);
            v3_0 = v3_1;
            v3_1 = v9;
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
        body(i0, in0[i0], in1[i0], y2);
        out2[i0] = y2;
    }
}
