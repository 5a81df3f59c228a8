// accumulators.cuh: what a thread keeps of a reduction, for one output element:
//     add(value, place)    takes an element; `place`: its number in this accumulator's chain
//     settle(first, step)  after the chain: places become positions in the part of the tree, first + place * step
//     join(b)              what is in b comes after or beside it
//     meet(mask)           joins that of the thread whose number in the warp differs in the bits of `mask`
//     close(state, ...)    to what the tree above is made of: state.join(b), where b follows;
//                          state.meet(mask); state.value(empty)
// A cleared one is the identity: joined with it, anything stays as it is. REDUCE_VAR needs the elements a second time,
// when the part's mean is known: `mean` and `again` are for that, and nothing for others.

// piece: weft_nothing
struct weft_nothing {
    __device__ __forceinline__ void clear() {}
    __device__ __forceinline__ void join(const weft_nothing &) {}
    __device__ __forceinline__ void meet(int) {}
    __device__ __forceinline__ void settle(int, int) {}
    template <class V, class A> __device__ __forceinline__ void find(const V &, const A &, int) {}
};

// piece: weft_across
template <class T> __device__ __forceinline__ T weft_across(T x, int mask)
{
    return (T)__shfl_xor_sync(0xffffffff, x, mask);
}
__device__ __forceinline__ bool weft_across(bool x, int mask) { return __shfl_xor_sync(0xffffffff, (int)x, mask) != 0; }

// piece: weft_by_sum
struct weft_by_sum {
    template <class T> static __device__ __forceinline__ T identity() { return (T)-0.0f; }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return weft_add(a, b); }
    static __device__ __forceinline__ float of(float a, float b) { return a + b; }
    static __device__ __forceinline__ double of(double a, double b) { return a + b; }
    template <class T> static __device__ __forceinline__ T value(T x, bool empty) { return empty ? (T)0 : x; }
};

// piece: weft_by_prod
struct weft_by_prod {
    template <class T> static __device__ __forceinline__ T identity() { return (T)1; }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return weft_mul(a, b); }
    static __device__ __forceinline__ float of(float a, float b) { return a * b; }
    static __device__ __forceinline__ double of(double a, double b) { return a * b; }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_by_any
struct weft_by_any {
    template <class T> static __device__ __forceinline__ T identity() { return false; }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return (T)(a | b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_by_all
struct weft_by_all {
    template <class T> static __device__ __forceinline__ T identity() { return true; }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return (T)(a & b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_limit
// The ends of a type's range; infinities.
template <class T> struct weft_limit {
    static __device__ __forceinline__ T low() { return (T)-1 < (T)0 ? (T)(1ULL << (8 * sizeof(T) - 1)) : (T)0; }
    static __device__ __forceinline__ T high() { return (T)~low(); }
};
template <> struct weft_limit<bool> {
    static __device__ __forceinline__ bool low() { return false; }
    static __device__ __forceinline__ bool high() { return true; }
};
template <> struct weft_limit<float> {
    static __device__ __forceinline__ float low() { return -weft_inf<float>(); }
    static __device__ __forceinline__ float high() { return weft_inf<float>(); }
};
template <> struct weft_limit<double> {
    static __device__ __forceinline__ double low() { return -weft_inf<double>(); }
    static __device__ __forceinline__ double high() { return weft_inf<double>(); }
};

// piece: weft_by_min
// Of floats: the machine takes -0 to be less than +0.
struct weft_by_min {
    template <class T> static __device__ __forceinline__ T identity() { return weft_limit<T>::high(); }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return b < a ? b : a; }
    static __device__ __forceinline__ float of(float a, float b)
    {
#if __CUDA_ARCH__ >= 800 && __CUDACC_VER_MAJOR__ >= 11
        float c;
        asm("min.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
        return c;
#else
        const float c = fminf(a, b); // first: no branches
        return (a != a) | (b != b) ? weft_nan<float>() : c;
#endif
    }
    static __device__ __forceinline__ double of(double a, double b)
    {
        const double c = fmin(a, b);
        return (a != a) | (b != b) ? weft_nan<double>() : c;
    }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
    // NaN: which one is the machine's.
    static __device__ __forceinline__ float value(float x, bool) { return x != x ? weft_nan<float>() : x; }
};

// piece: weft_by_max
struct weft_by_max {
    template <class T> static __device__ __forceinline__ T identity() { return weft_limit<T>::low(); }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a < b ? b : a; }
    static __device__ __forceinline__ float of(float a, float b)
    {
#if __CUDA_ARCH__ >= 800 && __CUDACC_VER_MAJOR__ >= 11
        float c;
        asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
        return c;
#else
        const float c = fmaxf(a, b); // first: no branches
        return (a != a) | (b != b) ? weft_nan<float>() : c;
#endif
    }
    static __device__ __forceinline__ double of(double a, double b)
    {
        const double c = fmax(a, b);
        return (a != a) | (b != b) ? weft_nan<double>() : c;
    }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
    // NaN: which one is the machine's.
    static __device__ __forceinline__ float value(float x, bool) { return x != x ? weft_nan<float>() : x; }
};

// piece: weft_by_fmin
// Of floats; of integers it is weft_by_min.
struct weft_by_fmin {
    template <class T> static __device__ __forceinline__ T identity() { return weft_nan<T>(); }
    static __device__ __forceinline__ float of(float a, float b) { return fminf(a, b); }
    static __device__ __forceinline__ double of(double a, double b) { return fmin(a, b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_by_fmax
struct weft_by_fmax {
    template <class T> static __device__ __forceinline__ T identity() { return weft_nan<T>(); }
    static __device__ __forceinline__ float of(float a, float b) { return fmaxf(a, b); }
    static __device__ __forceinline__ double of(double a, double b) { return fmax(a, b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_word
// A type of 4 or 8 bytes that holds the values of T; in 8 bytes: that orders them, too.
template <class T, int Bytes> struct weft_word { typedef int type; };
template <class T> struct weft_word<T, 8> { typedef long long type; };
template <> struct weft_word<unsigned int, 4> { typedef unsigned int type; };
template <> struct weft_word<unsigned long long, 8> { typedef unsigned long long type; };
template <> struct weft_word<float, 4> { typedef float type; };
template <> struct weft_word<float, 8> { typedef double type; };
template <> struct weft_word<double, 8> { typedef double type; };

// piece: weft_fold weft_folded
// One value. (States have no padding: the compiler would copy it byte by byte.)
template <class T, class By> struct weft_folded {
    typename weft_word<T, sizeof(T) == 8 ? 8 : 4>::type x;
    __device__ __forceinline__ void clear() { x = By::template identity<T>(); }
    __device__ __forceinline__ void join(const weft_folded &b) { x = By::of(x, b.x); }
    __device__ __forceinline__ void meet(int mask) { x = By::of(x, weft_across(x, mask)); }
    __device__ __forceinline__ T value(bool empty) const { return By::value((T)x, empty); }
};
template <class T, class By> struct weft_fold {
    typedef weft_folded<T, By> state;
    typedef weft_nothing mean, again;
    T x;
    __device__ __forceinline__ void clear() { x = By::template identity<T>(); }
    __device__ __forceinline__ void add(T value, int = 0) { x = By::of(x, value); }
    __device__ __forceinline__ void join(const weft_fold &b) { x = By::of(x, b.x); }
    __device__ __forceinline__ void meet(int mask) { x = By::of(x, weft_across(x, mask)); }
    __device__ __forceinline__ void settle(int, int) {}
    template <class M, class S> __device__ __forceinline__ void close(state &s, const M &, const S &, long long) const
    {
        s.x = x;
    }
};

// piece: weft_arg weft_found weft_beats weft_better
// The first largest (Max) or smallest element and where it is. NaN, the first of them, comes before all numbers, or is
// skipped (Skip).
template <class T, bool Max, bool Skip> __device__ __forceinline__ bool weft_beats(T b, T a)
{
    if (Skip) return Max ? b > a : b < a;
    return (Max ? !(b <= a) : !(b >= a)) & (a == a);
}
// Of two, the one that beats the other, or comes first; place -1: nothing yet.
template <bool Max, bool Skip, class P, class T>
__device__ __forceinline__ void weft_better(P &place, T &x, P b_place, T b_x)
{
    const bool sooner = (b_place < place) & !weft_beats<T, Max, Skip>(x, b_x);
    const bool take = (b_place >= 0) & ((place < 0) | sooner | weft_beats<T, Max, Skip>(b_x, x));
    place = take ? b_place : place;
    x = take ? b_x : x;
}
template <class T, bool Max, bool Skip> struct weft_found {
    typedef typename weft_word<T, 8>::type word;
    long long place; // -1: nothing yet
    word x;
    __device__ __forceinline__ void clear() { place = -1, x = 0; }
    __device__ __forceinline__ void join(const weft_found &b) { weft_better<Max, Skip>(place, x, b.place, b.x); }
    __device__ __forceinline__ void meet(int mask) { join({weft_across(place, mask), weft_across(x, mask)}); }
    __device__ __forceinline__ long long value(bool) const { return place; }
};
template <class T, bool Max, bool Skip> struct weft_arg {
    typedef weft_found<T, Max, Skip> state;
    typedef weft_nothing mean, again;
    T x;
    int place; // -1: nothing yet
    __device__ __forceinline__ void clear() { place = -1, x = (T)0; }
    __device__ __forceinline__ void add(T value, int at)
    {
        const bool take = ((place < 0) & (!Skip | (value == value))) | weft_beats<T, Max, Skip>(value, x);
        place = take ? at : place;
        x = take ? value : x;
    }
    __device__ __forceinline__ void settle(int first, int step) { place = place < 0 ? place : first + place * step; }
    __device__ __forceinline__ void join(const weft_arg &b) { weft_better<Max, Skip>(place, x, b.place, b.x); }
    __device__ __forceinline__ void meet(int mask) { join({weft_across(x, mask), weft_across(place, mask)}); }
    template <class M, class S>
    __device__ __forceinline__ void close(state &s, const M &, const S &, long long start) const
    {
        s.place = place < 0 ? -1 : start + place;
        s.x = x;
    }
};

// piece: weft_var weft_spread weft_squares weft_mean weft_moments weft_both
// Count, mean and sum of squared deviations (m2).
struct weft_moments {
    double n, mean, m2;
    __device__ __forceinline__ void clear() { n = mean = m2 = 0; }
    __device__ __forceinline__ void join(const weft_moments &b);
    __device__ __forceinline__ void meet(int mask)
    {
        join({weft_across(n, mask), weft_across(mean, mask), weft_across(m2, mask)});
    }
    __device__ __forceinline__ double value(bool) const { return m2; }
};
// Two divisions, once in the kernel.
__device__ __noinline__ weft_moments weft_both(weft_moments a, weft_moments b)
{
    const double total = a.n + b.n, d = b.mean - a.mean;
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    return {total, a.mean + d * (b.n / total), a.m2 + b.m2 + d * d * (a.n * b.n / total)};
}
__device__ __forceinline__ void weft_moments::join(const weft_moments &b) { *this = weft_both(*this, b); }
// A float's quotient by way of double is the same, as n is at most 4096; the division is there for weft_both anyway.
template <class T> struct weft_mean {
    T x;
    int n;
    template <class V, class A> __device__ __forceinline__ void find(const V &own, const A &all, int elements)
    {
        n = own.count(elements);
        x = (T)((double)own.sum(all) / (double)n);
    }
    __device__ __forceinline__ T square(T value) const { return (value - x) * (value - x); }
};
template <class T> struct weft_squares {
    T x;
    __device__ __forceinline__ void clear() { x = (T)-0.0f; }
    __device__ __forceinline__ void add(T square) { x = x + square; }
    __device__ __forceinline__ void add(T square, bool counts) { x = counts ? x + square : x; }
    __device__ __forceinline__ void join(const weft_squares &b) { x = x + b.x; }
    __device__ __forceinline__ void meet(int mask) { x = x + weft_across(x, mask); }
    __device__ __forceinline__ void settle(int, int) {}
};
template <class T> struct weft_spread {
    typedef weft_moments state;
    typedef weft_mean<T> mean;
    typedef weft_squares<T> again;
    __device__ __forceinline__ void settle(int, int) {}
    template <class M, class S>
    __device__ __forceinline__ void close(state &s, const M &m, const S &squares, long long) const
    {
        s.n = m.n, s.mean = m.n ? m.x : 0, s.m2 = m.n ? squares.x : 0;
    }
};
// Counted: elements have a flag that says whether they count.
template <class T, bool Counted> struct weft_var : weft_spread<T> {
    T x;
    int n;
    __device__ __forceinline__ void clear() { x = (T)-0.0f, n = 0; }
    __device__ __forceinline__ void add(T value, bool counts) { x = counts ? x + value : x, n += counts; }
    __device__ __forceinline__ void join(const weft_var &b) { x = x + b.x, n += b.n; }
    __device__ __forceinline__ void meet(int mask) { x = x + weft_across(x, mask), n += weft_across(n, mask); }
    template <class A> __device__ __forceinline__ T sum(const A &) const { return x; }
    __device__ __forceinline__ int count(int) const { return n; }
};
template <class T> struct weft_var<T, false> : weft_spread<T> {
    T x;
    __device__ __forceinline__ void clear() { x = (T)-0.0f; }
    __device__ __forceinline__ void add(T value) { x = x + value; }
    __device__ __forceinline__ void join(const weft_var &b) { x = x + b.x; }
    __device__ __forceinline__ void meet(int mask) { x = x + weft_across(x, mask); }
    template <class A> __device__ __forceinline__ T sum(const A &) const { return x; }
    __device__ __forceinline__ int count(int elements) const { return elements; }
};

// piece: weft_var_of
// A variance of elements all of which count and whose sum is accumulator number Sum.
template <class T, int Sum> struct weft_var_of : weft_spread<T> {
    __device__ __forceinline__ void clear() {}
    __device__ __forceinline__ void join(const weft_var_of &) {}
    __device__ __forceinline__ void meet(int) {}
    template <class A> __device__ __forceinline__ T sum(const A &all) const { return weft_get<Sum>(all).x; }
    __device__ __forceinline__ int count(int elements) const { return elements; }
};
