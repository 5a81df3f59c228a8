/* k0_map: elementwise; n0 x n1
 *
 *     in0     f32  read: by i0, i1; unit stride
 *     in1     f32  read: by i0; uniform
 *     out2    i32  written: by i0, i1; unit stride
 */
extern "C" __global__ void __launch_bounds__(128, 1) k0_map(
    const float *__restrict__ in0, const float *__restrict__ in1, int *__restrict__ out2, const long long n0,
    const long long n1, const long long stride0_0, const long long stride1_0, const long long stride2_0,
    weft_watch *watch, const long long order)
{
    bool stop = weft_cancelled(watch, order, 0);
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long rows = n0;
    #pragma unroll 1
    for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows && !stop; row += (long long)gridDim.y * blockDim.y) {
        const long long i0 = row;
        const float x1 = in1[i0 * stride1_0];
        const float *const row0 = in0 + i0 * stride0_0;
        int *const row2 = out2 + i0 * stride2_0;
        auto body = [&](const long long at, const float x0, int &y2) {
            float v8_0 = 0.0f;
            float v8_1 = 0.0f;
            int v8_2 = 0;
            #pragma unroll 4
            for (unsigned turn8 = 1;; turn8++) {
                const bool v12 = v8_2 < 200;
                const float v13 = v8_1 * v8_1;
                const float v14 = fmaf(v8_0, v8_0, v13);
                const bool v15 = v14 <= 4.0f;
                const bool v16 = v12 && v15;
                if (!v16) break;
                const float v20 = v8_1 * v8_1;
                const float v21 = -v20;
                const float v22 = fmaf(v8_0, v8_0, v21);
                const float v23 = v22 + x0;
                const float v24 = 2.0f * v8_0;
                const float v25 = fmaf(v24, v8_1, x1);
                const int v26 = weft_add(v8_2, 1);
                v8_0 = v23;
                v8_1 = v25;
                v8_2 = v26;
                if (turn8 % 1024 == 0 && (stop || weft_cancelled(watch, order, at))) {
                    stop = true;
                    break;
                }
            }
            y2 = v8_2;
        };
        #pragma unroll 1
        for (long long i1 = column; i1 < n1 && !stop; i1 += width) {
            int y2;
            body(row * n1 + i1, row0[i1], y2);
            row2[i1] = y2;
        }
    }
}
