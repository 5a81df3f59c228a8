/* k0_map: elementwise; n0 x n1 x n2; 4 at a time
 *
 *     in0     u32  read: by i0, i1, i2; strided
 *     out1    u32  written: by i0, i1, i2; strided
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const unsigned int *__restrict__ in0, unsigned int *__restrict__ out1, const long long n0, const long long n1,
    const long long n2, const long long stride0_0, const long long stride0_1, const long long stride0_2,
    const long long stride1_0, const long long stride1_1, const long long stride1_2)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long rows = n0 * n1;
    #pragma unroll 1
    for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += (long long)gridDim.y * blockDim.y) {
        const long long i0 = row / n1, i1 = row - i0 * n1;
        const unsigned int *const row0 = in0 + i0 * stride0_0 + i1 * stride0_1;
        unsigned int *const row1 = out1 + i0 * stride1_0 + i1 * stride1_1;
        auto body = [&](const unsigned int x0, unsigned int &y1) {
            y1 = x0;
        };
        long long g = column;
        #pragma unroll 1
        for (; g + 3 * width < n2; g += 4 * width) {
            unsigned int x0[4];
            unsigned int y1[4];
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                x0[u] = row0[i2 * stride0_2];
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                body(x0[u], y1[u]);
            }
            #pragma unroll
            for (int u = 0; u < 4; u++) {
                const long long i2 = g + u * width;
                row1[i2 * stride1_2] = y1[u];
            }
        }
        #pragma unroll 1
        for (; g < n2; g += width) {
            const long long i2 = g;
            unsigned int y1;
            body(row0[i2 * stride0_2], y1);
            row1[i2 * stride1_2] = y1;
        }
    }
}
