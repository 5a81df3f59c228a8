/* k0_map: elementwise; n0; vectors of 16; 2 at a time
 *
 *     in0     u8   read: by i0; unit stride
 *     in1     bool read: by i0; unit stride
 *     out2    u8   written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const unsigned char *__restrict__ in0, const unsigned char *__restrict__ in1, unsigned char *__restrict__ out2,
    const long long n0, const long long head)
{
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const unsigned char x0, const bool x1, unsigned char &y2) {
        const unsigned char v2 = weft_add(x0, (unsigned char)200);
        const unsigned char v3 = weft_invert(v2);
        const unsigned char v5 = x1 ? v3 : x0;
        y2 = v5;
    };
    const long long groups = (n0 - head) / 16;
    const weft_vec<unsigned char, 16> *const groups0 = weft_groups<16>(in0 + head);
    const weft_vec<unsigned char, 16> *const groups1 = weft_groups<16>(in1 + head);
    weft_vec<unsigned char, 16> *const groups2 = weft_groups<16>(out2 + head);
    long long g = column;
    #pragma unroll 1
    for (; g + width < groups; g += 2 * width) {
        weft_vec<unsigned char, 16> x0[2];
        weft_vec<unsigned char, 16> x1[2];
        weft_vec<unsigned char, 16> y2[2];
        #pragma unroll
        for (int u = 0; u < 2; u++) {
            x0[u] = groups0[g + u * width];
            x1[u] = groups1[g + u * width];
        }
        #pragma unroll
        for (int u = 0; u < 2; u++) {
            #pragma unroll
            for (int e = 0; e < 16; e++) {
                body(x0[u].of[e], x1[u].of[e], y2[u].of[e]);
            }
        }
        #pragma unroll
        for (int u = 0; u < 2; u++) {
            groups2[g + u * width] = y2[u];
        }
    }
    #pragma unroll 1
    for (; g < groups; g += width) {
        weft_vec<unsigned char, 16> y2;
        const weft_vec<unsigned char, 16> x0 = groups0[g];
        const weft_vec<unsigned char, 16> x1 = groups1[g];
        #pragma unroll
        for (int e = 0; e < 16; e++) {
            body(x0.of[e], x1.of[e], y2.of[e]);
        }
        groups2[g] = y2;
    }
    // before the first group and after the last one
    #pragma unroll 1
    for (long long rest = column; rest < n0 - 16 * groups; rest += width) {
        const long long i0 = rest < head ? rest : rest + 16 * groups;
        unsigned char y2;
        body(in0[i0], in1[i0], y2);
        out2[i0] = y2;
    }
}
