/* k0_map: elementwise; n0; vectors of 2
 *
 *     in0     i64  read: by i0; unit stride
 *     in1     i32  read: by i0; unit stride
 *     whole2  f32  whole, rank 2, unit stride
 *     out3    f32  written: by i0; unit stride
 */
extern "C" __global__ void __launch_bounds__(256, 1) k0_map(
    const long long *__restrict__ in0, const int *__restrict__ in1, const float *__restrict__ whole2,
    float *__restrict__ out3, const long long n0, const long long stride2_0, const long long size2_0,
    const long long size2_1, const long long head, weft_watch *watch, const long long order)
{
    bool stop = false;
    auto fault = [&](const long long at, const int site, const int operand, const int dim, const long long index,
            const long long size) {
        weft_fault(watch, order, at, site, operand, dim, index, size);
        stop = true;
        return 0;
    };
    const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    auto body = [&](const long long at, const long long x0, const int x1, float &y3) {
        const long long v3 = (long long)x1;
        const float v4 = (unsigned long long)x0 >= (unsigned long long)size2_0 ? fault(at, 4, 2, 0, x0, size2_0)
                : (unsigned long long)v3 >= (unsigned long long)size2_1 ? fault(at, 4, 2, 1, v3, size2_1)
                : whole2[x0 * stride2_0 + v3];
        const float v5 = v4 * 2.0f;
        y3 = v5;
    };
    const long long groups = (n0 - head) / 2;
    const weft_vec<long long, 2> *const groups0 = weft_groups<2>(in0 + head);
    const weft_vec<int, 2> *const groups1 = weft_groups<2>(in1 + head);
    weft_vec<float, 2> *const groups3 = weft_groups<2>(out3 + head);
    long long g = column;
    #pragma unroll 1
    for (; g < groups && !stop; g += width) {
        weft_vec<float, 2> y3;
        const long long i0 = head + 2 * g;
        const weft_vec<long long, 2> x0 = groups0[g];
        const weft_vec<int, 2> x1 = groups1[g];
        #pragma unroll
        for (int e = 0; e < 2; e++) {
            body(i0 + e, x0.of[e], x1.of[e], y3.of[e]);
        }
        groups3[g] = y3;
    }
    // before the first group and after the last one
    #pragma unroll 1
    for (long long rest = column; rest < n0 - 2 * groups; rest += width) {
        const long long i0 = rest < head ? rest : rest + 2 * groups;
        float y3;
        body(i0, in0[i0], in1[i0], y3);
        out3[i0] = y3;
    }
}
