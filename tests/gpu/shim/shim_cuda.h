/* shim_cuda.h: CUDA C for g++. The fake NVRTC puts it before every kernel; it is parsed thousands of times, so there is no
 * other header but abi.h. */
#ifndef SHIM_CUDA_H
#define SHIM_CUDA_H

#include "abi.h"

#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ (SHIM_ARCH * 10)
#endif

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define SHIM_INLINE static inline __attribute__((always_inline))

#pragma GCC visibility push(hidden)
const struct shim_host *shim_host;
typedef struct shim_dim dim3;
dim3 threadIdx, blockIdx, blockDim, gridDim;
extern "C" char __bss_start[], _end[];
char *shim_dynamic; // what `extern __shared__` arrays are; see compile.c
#pragma GCC visibility pop
static const int warpSize = 32;

typedef __SIZE_TYPE__ size_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINTPTR_TYPE__ uintptr_t;

#define SHIM_VECTORS(type, name, a2, a4)                                                                              \
    struct name##1 { type x; };                                                                                       \
    struct alignas(a2) name##2 { type x, y; };                                                                        \
    struct name##3 { type x, y, z; };                                                                                 \
    struct alignas(a4) name##4 { type x, y, z, w; };                                                                  \
    SHIM_INLINE name##2 make_##name##2(type x, type y) { return {x, y}; }                                             \
    SHIM_INLINE name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
SHIM_VECTORS(signed char, char, 2, 4)
SHIM_VECTORS(unsigned char, uchar, 2, 4)
SHIM_VECTORS(short, short, 4, 8)
SHIM_VECTORS(unsigned short, ushort, 4, 8)
SHIM_VECTORS(int, int, 8, 16)
SHIM_VECTORS(unsigned, uint, 8, 16)
SHIM_VECTORS(long long, longlong, 16, 16)
SHIM_VECTORS(unsigned long long, ulonglong, 16, 16)
SHIM_VECTORS(float, float, 8, 16)
SHIM_VECTORS(double, double, 16, 16)

/* --- bits --------------------------------------------------------------------------------------------------------- */

template <class To, class From> SHIM_INLINE To shim_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
SHIM_INLINE int __float_as_int(float x) { return shim_bits<int>(x); }
SHIM_INLINE unsigned __float_as_uint(float x) { return shim_bits<unsigned>(x); }
SHIM_INLINE float __int_as_float(int x) { return shim_bits<float>(x); }
SHIM_INLINE float __uint_as_float(unsigned x) { return shim_bits<float>(x); }
SHIM_INLINE long long __double_as_longlong(double x) { return shim_bits<long long>(x); }
SHIM_INLINE double __longlong_as_double(long long x) { return shim_bits<double>(x); }
SHIM_INLINE int __double2hiint(double x) { return (int)(shim_bits<long long>(x) >> 32); }
SHIM_INLINE int __double2loint(double x) { return (int)shim_bits<long long>(x); }
SHIM_INLINE double __hiloint2double(int hi, int lo) {
    return shim_bits<double>((unsigned long long)(unsigned)hi << 32 | (unsigned)lo);
}
SHIM_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
SHIM_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
SHIM_INLINE int __clz(int x) { return x ? __builtin_clz(x) : 32; }
SHIM_INLINE int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
SHIM_INLINE int __ffs(int x) { return __builtin_ffs(x); }
SHIM_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
SHIM_INLINE unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) {
    return (unsigned)(((unsigned long long)hi << 32 | lo) << (n & 31) >> 32);
}
SHIM_INLINE unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) {
    return (unsigned)(((unsigned long long)hi << 32 | lo) >> (n & 31));
}
SHIM_INLINE int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
SHIM_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
SHIM_INLINE long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
SHIM_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* The device answers a misaligned address with an error; the host would not notice. */
template <class T> SHIM_INLINE void shim_aligned(const T *p) {
    if (__builtin_expect((uintptr_t)p % alignof(T) != 0, 0)) shim_host->fail("misaligned address");
}
#define SHIM_LOAD(name)                                                                                               \
    template <class T> SHIM_INLINE T name(const T *p) {                                                               \
        shim_aligned(p);                                                                                              \
        return *p;                                                                                                    \
    }
#define SHIM_STORE(name)                                                                                              \
    template <class T> SHIM_INLINE void name(T *p, T value) {                                                         \
        shim_aligned(p);                                                                                              \
        *p = value;                                                                                                   \
    }
SHIM_LOAD(__ldg)
SHIM_LOAD(__ldca)
SHIM_LOAD(__ldcg)
SHIM_LOAD(__ldcs)
SHIM_LOAD(__ldlu)
SHIM_LOAD(__ldcv)
SHIM_STORE(__stwb)
SHIM_STORE(__stcg)
SHIM_STORE(__stcs)
SHIM_STORE(__stwt)

SHIM_INLINE void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
SHIM_INLINE void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
SHIM_INLINE void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
SHIM_INLINE void __nanosleep(unsigned) { shim_host->pause(); }
SHIM_INLINE void __trap() { shim_host->fail("__trap()"); }

#define SHIM_ATOMICS(type)                                                                                            \
    SHIM_INLINE type atomicAdd(type *p, type v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }                \
    SHIM_INLINE type atomicSub(type *p, type v) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); }                \
    SHIM_INLINE type atomicAnd(type *p, type v) { return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); }                \
    SHIM_INLINE type atomicOr(type *p, type v) { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }                  \
    SHIM_INLINE type atomicXor(type *p, type v) { return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST); }                \
    SHIM_INLINE type atomicExch(type *p, type v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }              \
    SHIM_INLINE type atomicCAS(type *p, type expected, type v) {                                                      \
        __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                      \
        return expected;                                                                                              \
    }                                                                                                                 \
    SHIM_INLINE type atomicMin(type *p, type v) {                                                                     \
        type old = __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                              \
        while (v < old && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}     \
        return old;                                                                                                   \
    }                                                                                                                 \
    SHIM_INLINE type atomicMax(type *p, type v) {                                                                     \
        type old = __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                              \
        while (v > old && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}     \
        return old;                                                                                                   \
    }
SHIM_ATOMICS(int)
SHIM_ATOMICS(unsigned)
SHIM_ATOMICS(unsigned long long)
/* CUDA has only these of long long. */
SHIM_INLINE long long atomicMin(long long *p, long long v) {
    long long old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (v < old && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}
SHIM_INLINE long long atomicMax(long long *p, long long v) {
    long long old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (v > old && !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}

/* --- threads together --------------------------------------------------------------------------------------------- */

SHIM_INLINE void __syncthreads(int line = __builtin_LINE()) { shim_host->meet(SHIM_BARRIER, 0, 0, line, 0); }
SHIM_INLINE int __syncthreads_count(int p, int line = __builtin_LINE()) {
    return (int)shim_host->meet(SHIM_BARRIER_COUNT, 0, p != 0, line, 0);
}
SHIM_INLINE int __syncthreads_and(int p, int line = __builtin_LINE()) {
    return (int)shim_host->meet(SHIM_BARRIER_AND, 0, p != 0, line, 0);
}
SHIM_INLINE int __syncthreads_or(int p, int line = __builtin_LINE()) {
    return (int)shim_host->meet(SHIM_BARRIER_OR, 0, p != 0, line, 0);
}
SHIM_INLINE void __syncwarp(unsigned mask = 0xffffffffu) { shim_host->meet(SHIM_WARP, mask, 0, 0, 0); }
SHIM_INLINE unsigned __activemask() { return shim_host->active_mask(); }
SHIM_INLINE unsigned __ballot_sync(unsigned mask, int p) {
    return (unsigned)shim_host->meet(SHIM_BALLOT, mask, p != 0, 0, 0);
}
SHIM_INLINE int __any_sync(unsigned mask, int p) { return (int)shim_host->meet(SHIM_ANY, mask, p != 0, 0, 0); }
SHIM_INLINE int __all_sync(unsigned mask, int p) { return (int)shim_host->meet(SHIM_ALL, mask, p != 0, 0, 0); }
template <class T> SHIM_INLINE unsigned __match_any_sync(unsigned mask, T value) {
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    return (unsigned)shim_host->meet(SHIM_MATCH, mask, bits, 0, 0);
}

/* CUDA shuffles these types and no others: a bool or a struct is a mistake that NVRTC reports, too. */
#define SHIM_SHUFFLES(type)                                                                                           \
    SHIM_INLINE type shim_shuffle(int how, unsigned mask, type value, int operand, int width) {                       \
        unsigned long long bits = 0;                                                                                  \
        __builtin_memcpy(&bits, &value, sizeof value);                                                                \
        bits = shim_host->meet(how, mask, bits, operand, width);                                                      \
        __builtin_memcpy(&value, &bits, sizeof value);                                                                \
        return value;                                                                                                 \
    }                                                                                                                 \
    SHIM_INLINE type __shfl_sync(unsigned mask, type v, int lane, int width = 32) {                                   \
        return shim_shuffle(SHIM_SHUFFLE, mask, v, lane, width);                                                      \
    }                                                                                                                 \
    SHIM_INLINE type __shfl_up_sync(unsigned mask, type v, unsigned delta, int width = 32) {                          \
        return shim_shuffle(SHIM_SHUFFLE_UP, mask, v, (int)delta, width);                                             \
    }                                                                                                                 \
    SHIM_INLINE type __shfl_down_sync(unsigned mask, type v, unsigned delta, int width = 32) {                        \
        return shim_shuffle(SHIM_SHUFFLE_DOWN, mask, v, (int)delta, width);                                           \
    }                                                                                                                 \
    SHIM_INLINE type __shfl_xor_sync(unsigned mask, type v, int lanes, int width = 32) {                              \
        return shim_shuffle(SHIM_SHUFFLE_XOR, mask, v, lanes, width);                                                 \
    }
SHIM_SHUFFLES(int)
SHIM_SHUFFLES(unsigned)
SHIM_SHUFFLES(long)
SHIM_SHUFFLES(unsigned long)
SHIM_SHUFFLES(long long)
SHIM_SHUFFLES(unsigned long long)
SHIM_SHUFFLES(float)
SHIM_SHUFFLES(double)

/* --- arithmetic that has one right answer ------------------------------------------------------------------------- */

#define SHIM_EXACT1(name)                                                                                             \
    SHIM_INLINE double name(double x) { return __builtin_##name(x); }                                                 \
    SHIM_INLINE float name(float x) { return __builtin_##name##f(x); }                                                \
    SHIM_INLINE float name##f(float x) { return __builtin_##name##f(x); }
#define SHIM_EXACT2(name)                                                                                             \
    SHIM_INLINE double name(double x, double y) { return __builtin_##name(x, y); }                                    \
    SHIM_INLINE float name(float x, float y) { return __builtin_##name##f(x, y); }                                    \
    SHIM_INLINE float name##f(float x, float y) { return __builtin_##name##f(x, y); }
SHIM_EXACT1(floor)
SHIM_EXACT1(ceil)
SHIM_EXACT1(trunc)
SHIM_EXACT1(rint)
SHIM_EXACT1(nearbyint)
SHIM_EXACT1(round)
SHIM_EXACT1(fabs)
SHIM_EXACT1(sqrt)
SHIM_EXACT1(logb)
SHIM_EXACT2(copysign)
SHIM_EXACT2(fmod)
SHIM_EXACT2(remainder)
SHIM_EXACT2(nextafter)
SHIM_EXACT2(fdim)
SHIM_INLINE double ldexp(double x, int n) { return __builtin_ldexp(x, n); }
SHIM_INLINE float ldexp(float x, int n) { return __builtin_ldexpf(x, n); }
SHIM_INLINE float ldexpf(float x, int n) { return __builtin_ldexpf(x, n); }
SHIM_INLINE double scalbn(double x, int n) { return __builtin_ldexp(x, n); }
SHIM_INLINE float scalbnf(float x, int n) { return __builtin_ldexpf(x, n); }
SHIM_INLINE double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
SHIM_INLINE float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
SHIM_INLINE float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
SHIM_INLINE bool isnan(double x) { return __builtin_isnan(x); }
SHIM_INLINE bool isnan(float x) { return __builtin_isnan(x); }
SHIM_INLINE bool isinf(double x) { return __builtin_isinf(x); }
SHIM_INLINE bool isinf(float x) { return __builtin_isinf(x); }
SHIM_INLINE bool isfinite(double x) { return __builtin_isfinite(x); }
SHIM_INLINE bool isfinite(float x) { return __builtin_isfinite(x); }
SHIM_INLINE bool signbit(double x) { return __builtin_signbit(x); }
SHIM_INLINE bool signbit(float x) { return __builtin_signbit(x); }

/* IEEE's minNum and maxNum, -0 below +0, as PTX's min and max. */
template <class T> SHIM_INLINE T shim_fmin(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return __builtin_signbit(a) ? a : b;
    return a < b ? a : b;
}
template <class T> SHIM_INLINE T shim_fmax(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return __builtin_signbit(a) ? b : a;
    return a > b ? a : b;
}
SHIM_INLINE double fmin(double a, double b) { return shim_fmin(a, b); }
SHIM_INLINE float fmin(float a, float b) { return shim_fmin(a, b); }
SHIM_INLINE float fminf(float a, float b) { return shim_fmin(a, b); }
SHIM_INLINE double fmax(double a, double b) { return shim_fmax(a, b); }
SHIM_INLINE float fmax(float a, float b) { return shim_fmax(a, b); }
SHIM_INLINE float fmaxf(float a, float b) { return shim_fmax(a, b); }
#define SHIM_MIN_MAX(type)                                                                                            \
    SHIM_INLINE type min(type a, type b) { return b < a ? b : a; }                                                    \
    SHIM_INLINE type max(type a, type b) { return b > a ? b : a; }
SHIM_MIN_MAX(int)
SHIM_MIN_MAX(unsigned)
SHIM_MIN_MAX(long)
SHIM_MIN_MAX(unsigned long)
SHIM_MIN_MAX(long long)
SHIM_MIN_MAX(unsigned long long)
SHIM_INLINE float min(float a, float b) { return shim_fmin(a, b); }
SHIM_INLINE double min(double a, double b) { return shim_fmin(a, b); }
SHIM_INLINE float max(float a, float b) { return shim_fmax(a, b); }
SHIM_INLINE double max(double a, double b) { return shim_fmax(a, b); }
SHIM_INLINE int abs(int x) { return x < 0 ? -(unsigned)x : x; }
SHIM_INLINE long long llabs(long long x) { return x < 0 ? -(unsigned long long)x : x; }
SHIM_INLINE long long abs(long long x) { return llabs(x); }
SHIM_INLINE double abs(double x) { return __builtin_fabs(x); }
SHIM_INLINE float abs(float x) { return __builtin_fabsf(x); }

SHIM_INLINE float __fadd_rn(float a, float b) { return a + b; }
SHIM_INLINE float __fsub_rn(float a, float b) { return a - b; }
SHIM_INLINE float __fmul_rn(float a, float b) { return a * b; }
SHIM_INLINE float __fdiv_rn(float a, float b) { return a / b; }
SHIM_INLINE float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
SHIM_INLINE float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SHIM_INLINE double __dadd_rn(double a, double b) { return a + b; }
SHIM_INLINE double __dsub_rn(double a, double b) { return a - b; }
SHIM_INLINE double __dmul_rn(double a, double b) { return a * b; }
SHIM_INLINE double __ddiv_rn(double a, double b) { return a / b; }
SHIM_INLINE double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
SHIM_INLINE double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }

/* PTX's cvt.rzi saturates. NaN gives 0, but the topmost bit where source or destination has 64 bits. */
template <class To, class From> SHIM_INLINE To shim_convert(From x, From above, To lowest, To highest) {
    if (x != x) return sizeof(From) == 8 || sizeof(To) == 8 ? (To)((To)1 << (sizeof(To) * 8 - 1)) : 0;
    if (x >= above) return highest;
    if (x <= (From)lowest) return lowest;
    return (To)x;
}
#define SHIM_CONVERT(name, from, to, above, lowest, highest)                                                          \
    SHIM_INLINE to __##from##2##name##_rz(from x) { return shim_convert<to, from>(x, above, lowest, highest); }       \
    SHIM_INLINE to __##from##2##name##_rn(from x) { return __##from##2##name##_rz(rint(x)); }                         \
    SHIM_INLINE to __##from##2##name##_rd(from x) { return __##from##2##name##_rz(floor(x)); }                        \
    SHIM_INLINE to __##from##2##name##_ru(from x) { return __##from##2##name##_rz(ceil(x)); }
SHIM_CONVERT(int, float, int, 0x1p31f, -__INT_MAX__ - 1, __INT_MAX__)
SHIM_CONVERT(int, double, int, 0x1p31, -__INT_MAX__ - 1, __INT_MAX__)
SHIM_CONVERT(uint, float, unsigned, 0x1p32f, 0u, ~0u)
SHIM_CONVERT(uint, double, unsigned, 0x1p32, 0u, ~0u)
SHIM_CONVERT(ll, float, long long, 0x1p63f, -__LONG_LONG_MAX__ - 1, __LONG_LONG_MAX__)
SHIM_CONVERT(ll, double, long long, 0x1p63, -__LONG_LONG_MAX__ - 1, __LONG_LONG_MAX__)
SHIM_CONVERT(ull, float, unsigned long long, 0x1p64f, 0ull, ~0ull)
SHIM_CONVERT(ull, double, unsigned long long, 0x1p64, 0ull, ~0ull)
SHIM_INLINE float __int2float_rn(int x) { return (float)x; }
SHIM_INLINE float __uint2float_rn(unsigned x) { return (float)x; }
SHIM_INLINE float __ll2float_rn(long long x) { return (float)x; }
SHIM_INLINE float __ull2float_rn(unsigned long long x) { return (float)x; }
SHIM_INLINE double __ll2double_rn(long long x) { return (double)x; }
SHIM_INLINE double __ull2double_rn(unsigned long long x) { return (double)x; }
SHIM_INLINE float __double2float_rn(double x) { return (float)x; }

/* --- arithmetic whose last bits are the library's ----------------------------------------------------------------- */

#define SHIM_ARITY_1(name)                                                                                            \
    SHIM_INLINE double name(double x) { return shim_host->f64(SHIM_##name, x, 0); }                                   \
    SHIM_INLINE float name(float x) { return shim_host->f32(SHIM_##name, x, 0); }                                     \
    SHIM_INLINE float name##f(float x) { return shim_host->f32(SHIM_##name, x, 0); }
#define SHIM_ARITY_2(name)                                                                                            \
    SHIM_INLINE double name(double x, double y) { return shim_host->f64(SHIM_##name, x, y); }                         \
    SHIM_INLINE float name(float x, float y) { return shim_host->f32(SHIM_##name, x, y); }                            \
    SHIM_INLINE float name##f(float x, float y) { return shim_host->f32(SHIM_##name, x, y); }
#define SHIM_FUNCTION(name, arity) SHIM_ARITY_##arity(name)
#include "functions.def"
#undef SHIM_FUNCTION
SHIM_INLINE void sincos(double x, double *s, double *c) { *s = sin(x), *c = cos(x); }
SHIM_INLINE void sincosf(float x, float *s, float *c) { *s = sinf(x), *c = cosf(x); }

/* --- what the device is told -------------------------------------------------------------------------------------- */

template <auto F> struct shim_entry;
template <class... T, void (*F)(T...)> struct shim_entry<F> {
    static constexpr unsigned n = sizeof...(T);
    static constexpr unsigned sizes[n + 1] = {sizeof(T)..., 0};
    template <unsigned... I> struct order {};
    template <unsigned... I> static void call_in(order<I...>, void *const *p) { F(*(T *)p[I]...); }
    static void call(void *const *p) { call_in(order<__integer_pack(n)...>(), p); }
};
#define SHIM_KERNEL(name, max_threads)                                                                                \
    { #name, shim_entry<&name>::call, shim_entry<&name>::sizes, shim_entry<&name>::n, max_threads }
#define SHIM_MODULE                                                                                                   \
    extern "C" __attribute__((visibility("default"))) const struct shim_module shim_module = {                        \
        SHIM_ABI, SHIM_ARCH, sizeof shim_kernels / sizeof *shim_kernels, shim_kernels, &shim_host, &threadIdx,         \
        &blockIdx, &blockDim, &gridDim, __bss_start, _end, &shim_dynamic};

#endif
