/* k0_map: elementwise; n0; vectors of 4; 4 at a time
 *
 *     in0     i32  read: by i0; unit stride
 *     in1     i32  read: by i0; unit stride
 *     out2    i32  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const int *in0, const int *in1, int *out2, const long long n0, const long long head)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const int x0, const int x1, int &y2) {
        const int v3 = weft_shr(x1, 5);
        const int v4 = x0 ^ v3;
        y2 = v4;
    };
    const long long groups = (n0 - head) / 4;
    const weft_vec<int, 4> *const groups0 = weft_groups<4>(in0 + head);
    const weft_vec<int, 4> *const groups1 = weft_groups<4>(in1 + head);
    weft_vec<int, 4> *const groups2 = weft_groups<4>(out2 + head);
    long long g = column;
    #pragma unroll 1
    for (; g + 3 * width < groups; g += 4 * width) {
        weft_vec<int, 4> x0[4];
        weft_vec<int, 4> x1[4];
        weft_vec<int, 4> y2[4];
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            x0[u] = groups0[g + u * width];
            x1[u] = groups1[g + u * width];
        }
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            #pragma unroll
            for (int e = 0; e < 4; e++) {
                body(x0[u].of[e], x1[u].of[e], y2[u].of[e]);
            }
        }
        #pragma unroll
        for (int u = 0; u < 4; u++) {
            groups2[g + u * width] = y2[u];
        }
    }
    #pragma unroll 1
    for (; g < groups; g += width) {
        weft_vec<int, 4> y2;
        const weft_vec<int, 4> x0 = groups0[g];
        const weft_vec<int, 4> x1 = groups1[g];
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            body(x0.of[e], x1.of[e], y2.of[e]);
        }
        groups2[g] = y2;
    }
    // before the first group and after the last one
    #pragma unroll 1
    for (long long rest = column; rest < n0 - 4 * groups; rest += width) {
        const long long i0 = rest < head ? rest : rest + 4 * groups;
        int y2;
        body(in0[i0], in1[i0], y2);
        out2[i0] = y2;
    }
}
