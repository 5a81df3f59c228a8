/* rows.cu: matrices: sums along either axis, softmax of each row. */
#include "common.cuh"
#include "kernels.h"

/* --- sums of rows: a block a row ---------------------------------------------------------------------------------- */

enum { ROW_THREADS = 256 };

static __global__ void __launch_bounds__(ROW_THREADS)
    sum_rows(const float *__restrict__ m, float *__restrict__ out, long long columns) {
    const float4 *row = (const float4 *)(m + blockIdx.x * columns);
    float sum[4] = {};
    long long i = threadIdx.x, n = columns / 4;
    for (; i + 3 * ROW_THREADS < n; i += 4 * ROW_THREADS) {
        float4 v[4];
#pragma unroll
        for (int u = 0; u < 4; u++) v[u] = row[i + u * ROW_THREADS];
#pragma unroll
        for (int u = 0; u < 4; u++) sum[u] += (v[u].x + v[u].y) + (v[u].z + v[u].w);
    }
    for (; i < n; i += ROW_THREADS) {
        float4 v = row[i];
        sum[0] += (v.x + v.y) + (v.z + v.w);
    }
    float all = block_sum<ROW_THREADS>((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if (threadIdx.x == 0) out[blockIdx.x] = all;
}

int kernel_axis1_f32(const gpu_arguments *g, void *stream) {
    if (g->columns % 4) return (int)cudaErrorInvalidValue;
    sum_rows<<<(unsigned)g->rows, ROW_THREADS, 0, (cudaStream_t)stream>>>((const float *)g->x, (float *)g->out,
                                                                          g->columns);
    return launched();
}

/* --- sums of columns: strips of 128 columns, cut into slices of rows, which a second kernel joins ----------------- */

enum { STRIP = 32, LINES = 8, SLICES = 32, MOST_COLUMNS = 1 << 16 };

__device__ float slices[SLICES][MOST_COLUMNS];

static __global__ void __launch_bounds__(STRIP *LINES)
    sum_columns(const float *__restrict__ m, long long rows, long long columns) {
    __shared__ float4 lines[LINES][STRIP];
    long long column = blockIdx.x * STRIP + threadIdx.x, wide = columns / 4;
    long long from = rows * blockIdx.y / SLICES, to = rows * (blockIdx.y + 1) / SLICES;
    const float4 *p = (const float4 *)m;
    float4 sum = make_float4(0, 0, 0, 0);
    if (column < wide) {
#pragma unroll 8
        for (long long r = from + threadIdx.y; r < to; r += LINES) {
            float4 v = p[r * wide + column];
            sum.x += v.x;
            sum.y += v.y;
            sum.z += v.z;
            sum.w += v.w;
        }
    }
    lines[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= wide) return;
    for (int l = 1; l < LINES; l++) {
        float4 v = lines[l][threadIdx.x];
        sum.x += v.x;
        sum.y += v.y;
        sum.z += v.z;
        sum.w += v.w;
    }
    ((float4 *)slices[blockIdx.y])[column] = sum;
}

static __global__ void __launch_bounds__(256) join_columns(float *__restrict__ out, long long columns) {
    long long column = blockIdx.x * 256LL + threadIdx.x;
    if (column >= columns) return;
    float sum = 0;
#pragma unroll
    for (int s = 0; s < SLICES; s++) sum += slices[s][column];
    out[column] = sum;
}

int kernel_axis0_f32(const gpu_arguments *g, void *stream) {
    if (g->columns % 4 || g->columns > MOST_COLUMNS) return (int)cudaErrorInvalidValue;
    dim3 grid((unsigned)((g->columns / 4 + STRIP - 1) / STRIP), SLICES), block(STRIP, LINES);
    sum_columns<<<grid, block, 0, (cudaStream_t)stream>>>((const float *)g->x, g->rows, g->columns);
    join_columns<<<(unsigned)((g->columns + 255) / 256), 256, 0, (cudaStream_t)stream>>>((float *)g->out, g->columns);
    return launched();
}

/* --- softmax: rows stay in registers: memory is read once and written once ----------------------- */

/* A warp a row: nobody waits for anybody. VECTORS: 16-byte vectors of a lane; a row has 128 * VECTORS columns. */
template <int VECTORS>
static __global__ void __launch_bounds__(ROW_THREADS)
    softmax_warps(const float *__restrict__ m, float *__restrict__ out, long long rows) {
    long long row = blockIdx.x * (ROW_THREADS / 32LL) + threadIdx.x / 32;
    if (row >= rows) return;
    const long long base = row * (VECTORS * 32) + threadIdx.x % 32;
    const float4 *p = (const float4 *)m + base;
    float4 v[VECTORS];
#pragma unroll
    for (int u = 0; u < VECTORS; u++) v[u] = p[u * 32];
    float top = -INFINITY, sum = 0;
#pragma unroll
    for (int u = 0; u < VECTORS; u++) top = max(top, max(max(v[u].x, v[u].y), max(v[u].z, v[u].w)));
    top = warp_max(top);
#pragma unroll
    for (int u = 0; u < VECTORS; u++) {
        v[u].x = expf(v[u].x - top);
        v[u].y = expf(v[u].y - top);
        v[u].z = expf(v[u].z - top);
        v[u].w = expf(v[u].w - top);
        sum += (v[u].x + v[u].y) + (v[u].z + v[u].w);
    }
    float scale = 1 / warp_sum_all(sum);
#pragma unroll
    for (int u = 0; u < VECTORS; u++)
        ((float4 *)out)[base + u * 32] = make_float4(v[u].x * scale, v[u].y * scale, v[u].z * scale, v[u].w * scale);
}

/* A block a row, where a warp has too few registers for it. */
template <int VECTORS>
static __global__ void __launch_bounds__(ROW_THREADS)
    softmax_rows(const float *__restrict__ m, float *__restrict__ out) {
    const long long base = (long long)blockIdx.x * VECTORS * ROW_THREADS;
    const float4 *row = (const float4 *)m + base;
    __shared__ float warps[2][ROW_THREADS / 32];
    float4 v[VECTORS];
#pragma unroll
    for (int u = 0; u < VECTORS; u++) v[u] = row[u * ROW_THREADS + threadIdx.x];
    float top = -INFINITY, sum = 0;
#pragma unroll
    for (int u = 0; u < VECTORS; u++) top = max(top, max(max(v[u].x, v[u].y), max(v[u].z, v[u].w)));
    top = warp_max(top);
    if (threadIdx.x % 32 == 0) warps[0][threadIdx.x / 32] = top;
    __syncthreads();
    for (int w = 0; w < ROW_THREADS / 32; w++) top = max(top, warps[0][w]);
#pragma unroll
    for (int u = 0; u < VECTORS; u++) {
        v[u].x = expf(v[u].x - top);
        v[u].y = expf(v[u].y - top);
        v[u].z = expf(v[u].z - top);
        v[u].w = expf(v[u].w - top);
        sum += (v[u].x + v[u].y) + (v[u].z + v[u].w);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warps[1][threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < ROW_THREADS / 32; w++) sum += warps[1][w];
    float scale = 1 / sum;
#pragma unroll
    for (int u = 0; u < VECTORS; u++)
        ((float4 *)out)[base + u * ROW_THREADS + threadIdx.x] =
            make_float4(v[u].x * scale, v[u].y * scale, v[u].z * scale, v[u].w * scale);
}

int kernel_softmax_f32(const gpu_arguments *g, void *stream) {
    const float *x = (const float *)g->x;
    float *out = (float *)g->out;
    cudaStream_t s = (cudaStream_t)stream;
    unsigned rows = (unsigned)g->rows;
    switch (g->columns) {
    case 1024:
        softmax_warps<8><<<(rows + ROW_THREADS / 32 - 1) / (ROW_THREADS / 32), ROW_THREADS, 0, s>>>(x, out, g->rows);
        break;
    case 8 * ROW_THREADS: softmax_rows<2><<<rows, ROW_THREADS, 0, s>>>(x, out); break;
    case 16 * ROW_THREADS: softmax_rows<4><<<rows, ROW_THREADS, 0, s>>>(x, out); break;
    default: return (int)cudaErrorInvalidValue;
    }
    return launched();
}
