// arithmetic.cuh: operations whose value is not that of a C operator or of a function of CUDA's math library. The
// definition of each is ir/eval_scalar.c's. T is the type of the operands as it is in registers.

// piece: weft_inf
template <class T> __device__ __forceinline__ T weft_inf();
template <> __device__ __forceinline__ float weft_inf<float>() { return __int_as_float(0x7f800000); }
template <> __device__ __forceinline__ double weft_inf<double>() { return __longlong_as_double(0x7ff0000000000000LL); }

// piece: weft_nan
template <class T> __device__ __forceinline__ T weft_nan();
template <> __device__ __forceinline__ float weft_nan<float>() { return __int_as_float(0x7fc00000); }
template <> __device__ __forceinline__ double weft_nan<double>() { return __longlong_as_double(0x7ff8000000000000LL); }

// --- integers --------------------------------------------------------------------------------------------------------

// piece: weft_wide
// The unsigned type in which integers wrap: at least 32 bits, so that nothing is promoted to int.
template <class T> struct weft_wide { typedef unsigned int type; };
template <> struct weft_wide<long long> { typedef unsigned long long type; };
template <> struct weft_wide<unsigned long long> { typedef unsigned long long type; };

// piece: weft_bits
// The bits of an integer, those above its width 0.
template <class T> __device__ __forceinline__ typename weft_wide<T>::type weft_bits(T a)
{
    typedef typename weft_wide<T>::type wide;
    return (wide)a & ((wide)-1 >> 8 * (sizeof(wide) - sizeof(T)));
}

// piece: weft_is_negative
template <class T> __device__ __forceinline__ bool weft_is_negative(T a)
{
    if constexpr ((T)-1 < (T)1) return a < 0;
    return false;
}

// piece: weft_add
template <class T> __device__ __forceinline__ T weft_add(T a, T b)
{
    typedef typename weft_wide<T>::type wide;
    return (T)((wide)a + (wide)b);
}

// piece: weft_sub
template <class T> __device__ __forceinline__ T weft_sub(T a, T b)
{
    typedef typename weft_wide<T>::type wide;
    return (T)((wide)a - (wide)b);
}

// piece: weft_mul
template <class T> __device__ __forceinline__ T weft_mul(T a, T b)
{
    typedef typename weft_wide<T>::type wide;
    return (T)((wide)a * (wide)b);
}

// piece: weft_fma
template <class T> __device__ __forceinline__ T weft_fma(T a, T b, T c)
{
    typedef typename weft_wide<T>::type wide;
    return (T)((wide)a * (wide)b + (wide)c);
}

// piece: weft_neg
template <class T> __device__ __forceinline__ T weft_neg(T a)
{
    typedef typename weft_wide<T>::type wide;
    return (T)(0 - (wide)a);
}

// piece: weft_abs
template <class T> __device__ __forceinline__ T weft_abs(T a)
{
    return weft_is_negative(a) ? weft_neg(a) : a;
}

// piece: weft_invert
template <class T> __device__ __forceinline__ T weft_invert(T a)
{
    return (T)~a;
}
__device__ __forceinline__ bool weft_invert(bool a) { return !a; }

// piece: weft_shl
template <class T> __device__ __forceinline__ T weft_shl(T a, T count)
{
    typedef typename weft_wide<T>::type wide;
    return (T)((wide)a << ((wide)count & (8 * sizeof(T) - 1)));
}

// piece: weft_shr
template <class T> __device__ __forceinline__ T weft_shr(T a, T count)
{
    typedef typename weft_wide<T>::type wide;
    return (T)(a >> ((wide)count & (8 * sizeof(T) - 1)));
}

// piece: weft_rotl
template <class T> __device__ __forceinline__ T weft_rotl(T a, T count)
{
    typedef typename weft_wide<T>::type wide;
    const wide mask = 8 * sizeof(T) - 1, left = (wide)count & mask, right = (0 - left) & mask;
    return (T)((wide)a << left | weft_bits(a) >> right);
}

// piece: weft_rotr
template <class T> __device__ __forceinline__ T weft_rotr(T a, T count)
{
    typedef typename weft_wide<T>::type wide;
    const wide mask = 8 * sizeof(T) - 1, right = (wide)count & mask, left = (0 - right) & mask;
    return (T)(weft_bits(a) >> right | (wide)a << left);
}

// piece: weft_popcount
template <class T> __device__ __forceinline__ T weft_popcount(T a)
{
    return (T)(sizeof(T) == 8 ? __popcll(weft_bits(a)) : __popc((unsigned int)weft_bits(a)));
}

// piece: weft_pow
// Of integers: by squaring; a negative exponent gives 0, bases 1 and -1 excepted.
template <class T> __device__ __forceinline__ T weft_pow(T base, T exponent)
{
    typedef typename weft_wide<T>::type wide;
    if (weft_is_negative(exponent)) {
        if (base == (T)-1) return exponent & 1 ? base : (T)1;
        return base == 1;
    }
    wide result = 1, square = (wide)base;
    for (wide n = (wide)exponent; n != 0; n >>= 1, square *= square)
        if (n & 1) result *= square;
    return (T)result;
}

// --- integers and floats ---------------------------------------------------------------------------------------------

// piece: weft_floordiv
// Rounded down; an integer divided by 0 is 0. Floats: as Python's //, from the exact remainder, snapped to an integer.
template <class T> __device__ __forceinline__ T weft_floordiv(T a, T b)
{
    if (b == 0) return 0;
    if (weft_is_negative(b) && b == (T)-1) return weft_neg(a);
    const T quotient = (T)(a / b), rest = (T)(a % b);
    return (T)(quotient - (rest != 0 && weft_is_negative(rest) != weft_is_negative(b)));
}
__device__ __forceinline__ float weft_floordiv(float a, float b)
{
    if (b == 0) return a / b;
    const float rest = fmodf(a, b);
    float quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
    if (quotient == 0) return copysignf(0.0f, a / b);
    const float whole = floorf(quotient);
    return quotient - whole > 0.5f ? whole + 1 : whole;
}
__device__ __forceinline__ double weft_floordiv(double a, double b)
{
    if (b == 0) return a / b;
    const double rest = fmod(a, b);
    double quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
    if (quotient == 0) return copysign(0.0, a / b);
    const double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

// piece: weft_mod
// The remainder with the sign of b; an integer modulo 0 is 0.
template <class T> __device__ __forceinline__ T weft_mod(T a, T b)
{
    if (b == 0 || (weft_is_negative(b) && b == (T)-1)) return 0;
    const T rest = (T)(a % b);
    return (T)(rest != 0 && weft_is_negative(rest) != weft_is_negative(b) ? rest + b : rest);
}
__device__ __forceinline__ float weft_mod(float a, float b)
{
    const float rest = fmodf(a, b);
    if (b == 0) return rest;
    if (rest == 0) return copysignf(0.0f, b);
    return (b < 0) != (rest < 0) ? rest + b : rest;
}
__device__ __forceinline__ double weft_mod(double a, double b)
{
    const double rest = fmod(a, b);
    if (b == 0) return rest;
    if (rest == 0) return copysign(0.0, b);
    return (b < 0) != (rest < 0) ? rest + b : rest;
}

// piece: weft_sign
template <class T> __device__ __forceinline__ T weft_sign(T a)
{
    return a != a ? a : (T)((a > 0) - weft_is_negative(a));
}

// piece: weft_lesser
// The smaller number, -0 before +0, neither being NaN.
template <class T> __device__ __forceinline__ T weft_lesser(T a, T b)
{
    return b < a ? b : a;
}
__device__ __forceinline__ float weft_lesser(float a, float b)
{
    return a == b ? __int_as_float(__float_as_int(a) | __float_as_int(b)) : a < b ? a : b;
}
__device__ __forceinline__ double weft_lesser(double a, double b)
{
    return a == b ? __longlong_as_double(__double_as_longlong(a) | __double_as_longlong(b)) : a < b ? a : b;
}

// piece: weft_greater
template <class T> __device__ __forceinline__ T weft_greater(T a, T b)
{
    return a < b ? b : a;
}
__device__ __forceinline__ float weft_greater(float a, float b)
{
    return a == b ? __int_as_float(__float_as_int(a) & __float_as_int(b)) : a > b ? a : b;
}
__device__ __forceinline__ double weft_greater(double a, double b)
{
    return a == b ? __longlong_as_double(__double_as_longlong(a) & __double_as_longlong(b)) : a > b ? a : b;
}

// piece: weft_min
// NaN if either is.
template <class T> __device__ __forceinline__ T weft_min(T a, T b)
{
    return a != a ? a : b != b ? b : weft_lesser(a, b);
}

// piece: weft_max
template <class T> __device__ __forceinline__ T weft_max(T a, T b)
{
    return a != a ? a : b != b ? b : weft_greater(a, b);
}

// piece: weft_fmin
// Ignoring NaN.
template <class T> __device__ __forceinline__ T weft_fmin(T a, T b)
{
    return a != a ? b : b != b ? a : weft_lesser(a, b);
}

// piece: weft_fmax
template <class T> __device__ __forceinline__ T weft_fmax(T a, T b)
{
    return a != a ? b : b != b ? a : weft_greater(a, b);
}

// --- floats ----------------------------------------------------------------------------------------------------------

// piece: weft_isinf
__device__ __forceinline__ bool weft_isinf(float a) { return fabsf(a) == weft_inf<float>(); }
__device__ __forceinline__ bool weft_isinf(double a) { return fabs(a) == weft_inf<double>(); }

// piece: weft_isfinite
__device__ __forceinline__ bool weft_isfinite(float a) { return fabsf(a) < weft_inf<float>(); }
__device__ __forceinline__ bool weft_isfinite(double a) { return fabs(a) < weft_inf<double>(); }

// --- conversion ------------------------------------------------------------------------------------------------------

// piece: weft_convert
// A float to the integer T: saturates, NaN gives 0.
template <class T, class F> __device__ __forceinline__ T weft_convert(F x)
{
    constexpr bool is_signed = (T)-1 < (T)1;
    const F half = (F)(1ULL << (8 * sizeof(T) - 1)), above = is_signed ? half : 2 * half, least = is_signed ? -half : 0;
    const T smallest = is_signed ? (T)(1ULL << (8 * sizeof(T) - 1)) : (T)0;
    if (x != x) return 0;
    return x <= least ? smallest : x >= above ? (T)~smallest : (T)x;
}
