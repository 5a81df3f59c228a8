// reduce.cuh: accumulators. One of them is what an output element needs of one reduction:
//     add(value, place)    takes an element; `place`: its number in this accumulator's chain
//     settle(first, step)  after the chain: places become positions in the part of the tree, first + place * step
//     join(b)              what is in b comes after or beside it
//     close(state, ...)    to what the tree above is made of: state.join(b), where b follows; state.value(empty)
// A cleared one is the identity: joined with it, anything stays as it is. REDUCE_VAR needs the elements a second time, when the
// part's mean is known: `mean` and `again` are for that, and nothing for others.

// piece: weft_get weft_getter
// Entry number I of a weft_tuple.
template <int I> struct weft_getter {
    template <class T> static __device__ __forceinline__ auto &of(T &tuple) { return weft_getter<I - 1>::of(tuple.rest); }
};
template <> struct weft_getter<0> {
    template <class T> static __device__ __forceinline__ auto &of(T &tuple) { return tuple.first; }
};
template <int I, class T> __device__ __forceinline__ auto &weft_get(T &tuple)
{
    return weft_getter<I>::of(tuple);
}

// piece: weft_shuffle
// What the thread has whose number in the warp differs in the bits of `mask`.
template <class T> __device__ __forceinline__ T weft_shuffle(const T &x, int mask)
{
    constexpr int n = (sizeof(T) + 3) / 4;
    union {
        unsigned words[n];
        T value;
    } of;
    if (sizeof(T) < 4) of.words[0] = 0;
    of.value = x;
#pragma unroll
    for (int i = 0; i < n; i++) of.words[i] = __shfl_xor_sync(0xffffffff, of.words[i], mask);
    return of.value;
}

// piece: weft_unref
template <class T> struct weft_unref {
    typedef T type;
};
template <class T> struct weft_unref<T &> {
    typedef T type;
};

// piece: weft_nothing
struct weft_nothing {
    __device__ __forceinline__ void clear() {}
    __device__ __forceinline__ void join(const weft_nothing &) {}
    __device__ __forceinline__ void settle(int, int) {}
    template <class V, class A> __device__ __forceinline__ void find(const V &, const A &, int) {}
};
__device__ __forceinline__ weft_nothing weft_shuffle(const weft_nothing &x, int) { return x; }

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
struct weft_by_min {
    template <class T> static __device__ __forceinline__ T identity() { return weft_limit<T>::high(); }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return weft_min(a, b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_by_max
struct weft_by_max {
    template <class T> static __device__ __forceinline__ T identity() { return weft_limit<T>::low(); }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return weft_max(a, b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_by_fmin
// Of floats; of integers it is weft_by_min.
struct weft_by_fmin {
    template <class T> static __device__ __forceinline__ T identity() { return weft_nan<T>(); }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return weft_fmin(a, b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_by_fmax
struct weft_by_fmax {
    template <class T> static __device__ __forceinline__ T identity() { return weft_nan<T>(); }
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return weft_fmax(a, b); }
    template <class T> static __device__ __forceinline__ T value(T x, bool) { return x; }
};

// piece: weft_fold weft_folded
// One value. In the tree it takes 8 bytes.
template <class T, class By> struct alignas(8) weft_folded {
    T x;
    __device__ __forceinline__ void clear() { x = By::template identity<T>(); }
    __device__ __forceinline__ void join(const weft_folded &b) { x = By::of(x, b.x); }
    __device__ __forceinline__ T value(bool empty) const { return By::value(x, empty); }
};
template <class T, class By> struct weft_fold {
    typedef weft_folded<T, By> state;
    typedef weft_nothing mean, again;
    T x;
    __device__ __forceinline__ void clear() { x = By::template identity<T>(); }
    __device__ __forceinline__ void add(T value, int = 0) { x = By::of(x, value); }
    __device__ __forceinline__ void join(const weft_fold &b) { x = By::of(x, b.x); }
    __device__ __forceinline__ void settle(int, int) {}
    template <class M, class S> __device__ __forceinline__ void close(state &s, const M &, const S &, long long) const { s.x = x; }
};

// piece: weft_arg weft_found weft_beats
// The first largest (Max) or smallest element and where it is. NaN, the first of them, comes before all numbers, or is
// skipped (Skip).
template <class T, bool Max, bool Skip> __device__ __forceinline__ bool weft_beats(T b, T a)
{
    if (Skip) return Max ? b > a : b < a;
    return (Max ? !(b <= a) : !(b >= a)) && a == a;
}
template <class T, bool Max, bool Skip> struct weft_found {
    long long place; // -1: nothing yet
    alignas(8) T x;
    __device__ __forceinline__ void clear() { place = -1, x = (T)0; }
    __device__ __forceinline__ void join(const weft_found &b)
    {
        const bool sooner = b.place < place && !weft_beats<T, Max, Skip>(x, b.x);
        const bool take = b.place >= 0 && (place < 0 || sooner || weft_beats<T, Max, Skip>(b.x, x));
        place = take ? b.place : place;
        x = take ? b.x : x;
    }
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
        const bool take = place < 0 ? !Skip || value == value : weft_beats<T, Max, Skip>(value, x);
        place = take ? at : place;
        x = take ? value : x;
    }
    __device__ __forceinline__ void settle(int first, int step) { place = place < 0 ? place : first + place * step; }
    __device__ __forceinline__ void join(const weft_arg &b)
    {
        const bool sooner = b.place < place && !weft_beats<T, Max, Skip>(x, b.x);
        const bool take = b.place >= 0 && (place < 0 || sooner || weft_beats<T, Max, Skip>(b.x, x));
        place = take ? b.place : place;
        x = take ? b.x : x;
    }
    template <class M, class S> __device__ __forceinline__ void close(state &s, const M &, const S &, long long start) const
    {
        s.place = place < 0 ? -1 : start + place;
        s.x = x;
    }
};

// piece: weft_var weft_spread weft_squares weft_mean weft_moments
// Count, mean and sum of squared deviations (m2).
struct weft_moments {
    double n, mean, m2;
    __device__ __forceinline__ void clear() { n = mean = m2 = 0; }
    __device__ __forceinline__ void join(const weft_moments &b)
    {
        const double total = n + b.n, d = b.mean - mean;
        const double joined = mean + d * (b.n / total), both = m2 + b.m2 + d * d * (n * b.n / total);
        mean = b.n == 0 ? mean : n == 0 ? b.mean : joined;
        m2 = b.n == 0 ? m2 : n == 0 ? b.m2 : both;
        n = total;
    }
    __device__ __forceinline__ double value(bool) const { return m2; }
};
template <class T> struct weft_mean {
    T x;
    int n;
    template <class V, class A> __device__ __forceinline__ void find(const V &own, const A &all, int elements)
    {
        n = own.count(elements);
        x = own.sum(all) / (T)n;
    }
    __device__ __forceinline__ T square(T value) const { return (value - x) * (value - x); }
};
template <class T> struct weft_squares {
    T x;
    __device__ __forceinline__ void clear() { x = (T)-0.0f; }
    __device__ __forceinline__ void add(T square) { x = x + square; }
    __device__ __forceinline__ void add(T square, bool counts) { x = counts ? x + square : x; }
    __device__ __forceinline__ void join(const weft_squares &b) { x = x + b.x; }
    __device__ __forceinline__ void settle(int, int) {}
};
template <class T> struct weft_spread {
    typedef weft_moments state;
    typedef weft_mean<T> mean;
    typedef weft_squares<T> again;
    __device__ __forceinline__ void settle(int, int) {}
    template <class M, class S> __device__ __forceinline__ void close(state &s, const M &m, const S &squares, long long) const
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
    template <class A> __device__ __forceinline__ T sum(const A &) const { return x; }
    __device__ __forceinline__ int count(int) const { return n; }
};
template <class T> struct weft_var<T, false> : weft_spread<T> {
    T x;
    __device__ __forceinline__ void clear() { x = (T)-0.0f; }
    __device__ __forceinline__ void add(T value) { x = x + value; }
    __device__ __forceinline__ void join(const weft_var &b) { x = x + b.x; }
    template <class A> __device__ __forceinline__ T sum(const A &) const { return x; }
    __device__ __forceinline__ int count(int elements) const { return elements; }
};

// piece: weft_var_of
// A variance of elements all of which count and whose sum is accumulator number Sum.
template <class T, int Sum> struct weft_var_of : weft_spread<T> {
    __device__ __forceinline__ void clear() {}
    __device__ __forceinline__ void join(const weft_var_of &) {}
    template <class A> __device__ __forceinline__ T sum(const A &all) const { return weft_get<Sum>(all).x; }
    __device__ __forceinline__ int count(int elements) const { return elements; }
};
template <class T, int Sum> __device__ __forceinline__ weft_var_of<T, Sum> weft_shuffle(const weft_var_of<T, Sum> &x, int) { return x; }

// piece: weft_tuple weft_of
// The accumulators of a kernel's reductions, and what belongs to them.
template <class A, class... B> struct weft_tuple {
    static constexpr int count = 1 + sizeof...(B);
    static constexpr int largest = sizeof(A) > weft_tuple<B...>::largest ? (int)sizeof(A) : weft_tuple<B...>::largest;
    A first;
    weft_tuple<B...> rest;
    __device__ __forceinline__ void clear() { first.clear(), rest.clear(); }
    __device__ __forceinline__ void join(const weft_tuple &b) { first.join(b.first), rest.join(b.rest); }
    __device__ __forceinline__ void settle(int at, int step) { first.settle(at, step), rest.settle(at, step); }
    template <class V, class T> __device__ __forceinline__ void find(const V &own, const T &all, int elements)
    {
        first.find(own.first, all, elements), rest.find(own.rest, all, elements);
    }
    template <class S, class M, class G>
    __device__ __forceinline__ void close(S &s, const M &means, const G &squares, long long start) const
    {
        first.close(s.first, means.first, squares.first, start), rest.close(s.rest, means.rest, squares.rest, start);
    }
};
template <class A> struct weft_tuple<A> {
    static constexpr int count = 1, largest = sizeof(A);
    A first;
    __device__ __forceinline__ void clear() { first.clear(); }
    __device__ __forceinline__ void join(const weft_tuple &b) { first.join(b.first); }
    __device__ __forceinline__ void settle(int at, int step) { first.settle(at, step); }
    template <class V, class T> __device__ __forceinline__ void find(const V &own, const T &all, int elements)
    {
        first.find(own.first, all, elements);
    }
    template <class S, class M, class G>
    __device__ __forceinline__ void close(S &s, const M &means, const G &squares, long long start) const
    {
        first.close(s.first, means.first, squares.first, start);
    }
};
template <class A> struct weft_of;
template <class... A> struct weft_of<weft_tuple<A...>> {
    typedef weft_tuple<typename A::state...> state;
    typedef weft_tuple<typename A::mean...> mean;
    typedef weft_tuple<typename A::again...> again;
};
template <class... A> __device__ __forceinline__ weft_tuple<A...> weft_shuffle(const weft_tuple<A...> &x, int mask)
{
    weft_tuple<A...> r;
    r.first = weft_shuffle(x.first, mask);
    if constexpr (sizeof...(A) > 1) r.rest = weft_shuffle(x.rest, mask);
    return r;
}

// --- the tree above blocks and runs -----------------------------------------------------------------------------------------

// piece: weft_fetch weft_put
// States in device memory that other thread blocks have written, or will read: 8 bytes at a time, past the first cache.
template <class S> __device__ __forceinline__ S weft_fetch(const char *from)
{
    constexpr int n = sizeof(S) / 8;
    union {
        unsigned long long words[n];
        S state;
    } of;
#pragma unroll
    for (int i = 0; i < n; i++) of.words[i] = reinterpret_cast<const volatile unsigned long long *>(from)[i];
    return of.state;
}
template <class S> __device__ __forceinline__ void weft_put(char *to, const S &state) { *reinterpret_cast<S *>(to) = state; }

// piece: weft_chunk
// N times V states, joined by adjacent pairs: numbers first ... first + N - 1 of n, each V `step` bytes after the others.
template <class S, int V, int N> struct weft_chunk {
    static __device__ __forceinline__ void of(S (&to)[V], const char *from, long long step, long long first, long long n)
    {
        S b[V];
        weft_chunk<S, V, N / 2>::of(to, from, step, first, n);
        weft_chunk<S, V, N / 2>::of(b, from + N / 2 * step, step, first + N / 2, n);
#pragma unroll
        for (int k = 0; k < V; k++) to[k].join(b[k]);
    }
};
template <class S, int V> struct weft_chunk<S, V, 1> {
    static __device__ __forceinline__ void of(S (&to)[V], const char *from, long long, long long first, long long n)
    {
#pragma unroll
        for (int k = 0; k < V; k++) to[k].clear();
        if (first < n) {
#pragma unroll
            for (int k = 0; k < V; k++) to[k] = weft_fetch<S>(from + k * sizeof(S));
        }
    }
};

// piece: weft_chunk_of
// How many neighbouring states of so many bytes a thread takes at a time (shape_reduce.c knows it, too).
__device__ __forceinline__ constexpr int weft_chunk_of(int bytes) { return bytes <= 16 ? 8 : bytes <= 32 ? 4 : bytes <= 64 ? 2 : 1; }

// piece: weft_stacked
// Levels of pending states of so many bytes, 32 of them each, that are in shared memory (shape_reduce.c knows it, too).
__device__ __forceinline__ constexpr int weft_stacked(int bytes) { return bytes >= 256 ? 1 : 256 / bytes; }

// piece: weft_tree
// The states of n (a power of two) neighbouring threads of a warp by adjacent pairs, for the first of them.
template <class S> __device__ __forceinline__ S weft_tree(S state, int n)
{
#pragma unroll 1
    for (int d = 1; d < n; d *= 2) state.join(weft_shuffle(state, d));
    return state;
}

// piece: weft_is_last
// Says whether this thread block is the last of n to come to this point. What the others wrote before can be read then.
__device__ __forceinline__ bool weft_is_last(unsigned *counter, long long n)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = (long long)atomicAdd(counter, 1u) == n - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

// piece: weft_shift_up
// n / 2^bits, rounded up.
__device__ __forceinline__ long long weft_shift_up(long long n, int bits) { return (n >> bits) + ((n & ((1LL << bits) - 1)) != 0); }

// piece: weft_skip
struct weft_skip {
    template <class... A> __device__ __forceinline__ void operator()(A &&...) const {}
};

// piece: weft_never
struct weft_never {
    __device__ __forceinline__ bool operator()() const { return false; }
};

// --- rows ---------------------------------------------------------------------------------------------------------------------

// piece: weft_rows
// Reduction along rows of `length` elements. A block is 4 runs of 16 vectors of L lanes; 16 threads take a run, each V = L / 16 of
// its lanes: neighbours (Packed), or every 16th. 64 threads, a team, take a block; 2^teams of the thread block's four teams a group
// of as many consecutive blocks of one row; the thread block a segment of the row after the other, each of 2^span groups. (Short: a
// row is not longer than a run, and 16 threads take one.) A row's result is with one of its threads.
template <int L, bool Packed, bool Short, class A> struct weft_rows {
    static constexpr int V = L / 16, apart = Packed ? 1 : 16, run = 16 * L, block = 64 * L;
    typedef typename weft_of<A>::state state;
    typedef typename weft_of<A>::mean mean;
    typedef typename weft_of<A>::again again;

    const long long rows, length, items, segments;
    const int teams, span;
    char *const partials;
    unsigned *const counters;
    long long item, row, segment; // row: of this thread
    bool valid;                   // there is such a row
    state total;

    __device__ __forceinline__ weft_rows(long long rows, long long length, long long items, long long segments, long long teams,
                                         long long span, char *partials, unsigned *counters)
        : rows(rows), length(length), items(items), segments(segments), teams((int)teams), span((int)span), partials(partials),
          counters(counters), item((long long)blockIdx.y * gridDim.x + blockIdx.x - (Short ? gridDim.x : 0))
    {
    }

    // To the thread block's piece of work; Short: to the next one.
    __device__ __forceinline__ bool next()
    {
        if (Short) item += gridDim.x;
        if (item >= items) return false;
        long long set = item;
        segment = 0;
        if (!Short && segments > 1) set = (unsigned)item / (unsigned)segments, segment = item - set * segments; // of few items
        row = Short ? set * 16 + threadIdx.x / 16 : (set << (2 - teams)) + (threadIdx.x >> (6 + teams));
        valid = row < rows;
        if (!valid) row = 0;
        return true;
    }

    // Where this thread's part of the block begins; V elements, `apart`, at each step of L.
    __device__ __forceinline__ int place() const
    {
        const int q = threadIdx.x % 16;
        return (Short ? 0 : threadIdx.x / 16 % 4 * run) + (Packed ? q * V : q);
    }

    // The team's runs, then its lanes, by halves; all threads get the result.
    template <class T> __device__ __forceinline__ T join_lanes(T (&lane)[V])
    {
        if constexpr (!Short) {
            constexpr bool together = 128 * V * sizeof(T) <= 16384;
            __shared__ T runs[together ? V : 1][128];
            const int me = threadIdx.x / 32 * 16 + threadIdx.x % 16, other = me ^ 16;
#pragma unroll
            for (int k = 0; k < V; k++) {
                lane[k].join(weft_shuffle(lane[k], 16));
                if (together) runs[k][me] = lane[k];
            }
            if (together) __syncthreads();
#pragma unroll
            for (int k = 0; k < V; k++) {
                if (!together) {
                    __syncthreads();
                    runs[0][me] = lane[k];
                    __syncthreads();
                }
                lane[k].join(runs[together ? k : 0][other]);
            }
        }
#pragma unroll 1
        for (int d = 8; Packed && d > 0; d /= 2) {
#pragma unroll
            for (int k = 0; k < V; k++) lane[k].join(weft_shuffle(lane[k], d));
        }
#pragma unroll
        for (int half = V / 2; half > 0; half /= 2) {
#pragma unroll
            for (int k = 0; k < half; k++) lane[k].join(lane[k + half]);
        }
#pragma unroll 1
        for (int d = 8; !Packed && d > 0; d /= 2) lane[0].join(weft_shuffle(lane[0], d));
        return lane[0];
    }

    // Elements of the block, `left` of which exist, U steps at a time: read, then `use` for each. U = 0: one by one, in the order of
    // their positions, with a single copy of `use`; 16: all at once, `use` being called for missing ones, too, so that what it keeps stays in registers; -16: but not for
    // missing ones.
    template <int U, class Input, class T, class Read, class One, class Use, class Save, class SaveOne>
    __device__ __forceinline__ void pass(T (&lane)[V], long long start, int left, Read read, One one, Use use, Save save,
                                         SaveOne save_one)
    {
        const int from = place(), rest = left - from; // what is compared with constants below
        if constexpr (U == 0) {
#pragma unroll 1
            for (int s = 0; s < 16 && s * L < rest; s++) {
#pragma unroll 1
                for (int k = 0; k < V && s * L + k * apart < rest; k++) {
                    const long long p = start + from + s * L + k * apart;
                    T only = lane[0];
#pragma unroll
                    for (int j = 1; j < V; j++)
                        if (j == k) only = lane[j];
                    Input in;
                    one(in, 0, p);
                    use(only, in, s, 0, p);
                    save_one(in, 0, p);
#pragma unroll
                    for (int j = 0; j < V; j++)
                        if (j == k) lane[j] = only;
                }
            }
        } else if constexpr (U == 16 || U == -16) {
            const long long first = start + from;
            const int part = Packed && rest > 0 ? rest / L : 16, some = rest - part * L; // of the vector that is there in part
            Input in[16] = {};
#pragma unroll
            for (int s = 0; s < 16; s++) {
                if (Packed && s * L + V <= rest) read(in[s], first + s * L);
#pragma unroll
                for (int k = 0; k < V && !Packed; k++)
                    if (s * L + k * apart < rest) one(in[s], k, first + s * L + k * apart);
            }
            if (part < 16 && some > 0 && some < V) {
                Input last = {};
#pragma unroll
                for (int k = 0; k < V - 1; k++)
                    if (k < some) one(last, k, first + part * L + k);
#pragma unroll
                for (int s = 0; s < 16; s++)
                    if (s == part) in[s] = last;
            }
#pragma unroll
            for (int s = 0; s < 16; s++) {
#pragma unroll
                for (int k = 0; k < V; k++) {
                    const bool present = s * L + k * apart < rest;
                    const long long p = first + s * L + k * apart;
                    if constexpr (U > 0) {
                        const T before = lane[k];
                        use(lane[k], in[s], s, k, p);
                        if (!present) lane[k] = before;
                    } else {
                        if (present) use(lane[k], in[s], s, k, p);
                    }
                    if (present && !(Packed && s * L + V <= rest)) save_one(in[s], k, p);
                }
                if (Packed && s * L + V <= rest) save(in[s], first + s * L);
            }
        } else {
#pragma unroll 1
            for (int s = 0; s < 16 && s * L < rest; s += U) {
                const long long p = start + from + s * L;
                const int here = rest - s * L;
                Input in[U] = {}; // what no load writes must not be kept from one turn to the next
                const bool whole = Packed && (U - 1) * L + V <= here;
#pragma unroll
                for (int u = 0; u < U && whole; u++) read(in[u], p + u * L);
#pragma unroll
                for (int u = 0; u < U && !whole; u++) {
                    if (Packed && u * L + V <= here) read(in[u], p + u * L);
#pragma unroll
                    for (int k = 0; k < V && !Packed; k++)
                        if (u * L + k * apart < here) one(in[u], k, p + u * L + k * apart);
                }
#pragma unroll
                for (int u = 0; u < U; u++) {
#pragma unroll
                    for (int k = 0; k < V; k++) {
                        if (u * L + (Packed ? V - 1 : k * apart) >= here) continue;
                        use(lane[k], in[u], s + u, k, p + u * L + k * apart);
                        if (!Packed) save_one(in[u], k, p + u * L + k * apart);
                    }
                    if (Packed && u * L + V <= here) save(in[u], p + u * L);
                }
            }
            const int part = Packed && rest > 0 ? rest / L : 16, some = rest - part * L; // of the vector that is there in part
            if (part < 16 && some > 0 && some < V) {
                const long long p = start + from + part * L;
                Input in = {};
#pragma unroll
                for (int k = 0; k < V - 1; k++) {
                    if (k >= some) continue;
                    one(in, k, p + k);
                    use(lane[k], in, part, k, p + k);
                    save_one(in, k, p + k);
                }
            }
        }
    }

    // The state of group g, for the first thread of its teams.
    template <int U, bool Twice, bool Held, class Input, class Idle, class Read, class One, class Use, class Save, class SaveOne,
              class Repeat>
    __device__ __forceinline__ state group(long long g, Idle idle, Read read, One one, Use use, Save save, SaveOne save_one,
                                           Repeat repeat)
    {
        const int team = Short ? 0 : threadIdx.x / 64;
        const long long start = Short ? 0 : ((g << teams) + (team & ((1 << teams) - 1))) * block, rest = length - start;
        const int left = !valid || idle() || rest < 0 ? 0 : rest < block ? (int)rest : block;
        A lane[V];
#pragma unroll
        for (int k = 0; k < V; k++) lane[k].clear();
        pass<U, Input>(lane, start, left, read, one, use, save, save_one);
#pragma unroll
        for (int k = 0; k < V; k++) lane[k].settle(place() + k * apart, L);
        const A all = join_lanes(lane);

        mean means;
        again squares;
        if constexpr (Twice) {
            means.find(all, all, left);
            again square[V];
#pragma unroll
            for (int k = 0; k < V; k++) square[k].clear();
            const weft_skip skip;
            auto once_more = [&](again &to, Input &in, int s, int k, long long p) { repeat(to, means, in, s, k, p); };
            if constexpr (Held)
                // The shuffle changes nothing, but hides that the comparisons are the same, which would be kept in registers.
                pass<U, Input>(square, start, __shfl_xor_sync(0xffffffff, left, 0), skip, skip, once_more, skip, skip);
            else
                pass<U, Input>(square, start, idle() ? 0 : left, read, one, once_more, skip, skip);
            squares = join_lanes(square);
        }
        state result;
        all.close(result, means, squares, start);
        if (Short) return result;

        __shared__ state parts[4];
        if (threadIdx.x % 64 == 0) parts[team] = result;
        __syncthreads();
        const int members = 1 << teams, member = threadIdx.x & (64 * members - 1);
        if (members > 1 && member < 32) result = weft_tree(parts[team + (member & (members - 1))], members);
        return result;
    }

    // The whole segment; `idle`: this thread's elements are of no interest any more.
    template <int U, bool Twice, bool Held, class Input, class Idle, class Read, class One, class Use, class Save, class SaveOne,
              class Repeat>
    __device__ __forceinline__ void reduce(Idle idle, Read read, One one, Use use, Save save, SaveOne save_one, Repeat repeat)
    {
        total.clear();
        if constexpr (Short) {
            total = group<U, Twice, Held, Input>(0, idle, read, one, use, save, save_one, repeat);
        } else {
            __shared__ state pending[48]; // subtrees whose right neighbours are still to come: of the first thread alone
            const long long groups = weft_shift_up(length, (L == 64 ? 12 : 11) + teams);
            const long long first = segment << span, end = first + (1LL << span), last = end < groups ? end : groups;
            int depth = 0;
#pragma unroll 1
            for (long long g = first; g < last; g++) {
                total = group<U, Twice, Held, Input>(g, idle, read, one, use, save, save_one, repeat);
                if (last - first > 1 && threadIdx.x == 0) {
#pragma unroll 1
                    for (long long pairs = g - first; pairs & 1; pairs >>= 1) {
                        state left = pending[--depth];
                        left.join(total);
                        total = left;
                    }
                    pending[depth++] = total;
                }
            }
            if (last - first > 1 && threadIdx.x == 0) {
                total = pending[--depth];
#pragma unroll 1
                while (depth > 0) {
                    state left = pending[--depth];
                    left.join(total);
                    total = left;
                }
            }
        }
    }

    // True for the thread that has the row's result in `total`.
    __device__ __forceinline__ bool finish()
    {
        if (Short) return valid && threadIdx.x % 16 == 0;
        if (segments <= 1) return valid && (threadIdx.x & ((64 << teams) - 1)) == 0;
        if (threadIdx.x == 0) weft_put(partials + item * (long long)sizeof(state), total);
        if (!weft_is_last(counters + row, segments)) return false;

        __shared__ state warps[8];
        constexpr int chunk = weft_chunk_of(sizeof(state) / 2);
        const long long first = threadIdx.x * chunk;
        state own[1];
        weft_chunk<state, 1, chunk>::of(own, partials + (item - segment + first) * (long long)sizeof(state), sizeof(state), first,
                                        segments);
        total = weft_tree(own[0], 32);
        if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = total;
        __syncthreads();
        if (threadIdx.x < 32) total = weft_tree(warps[threadIdx.x % 8], 8);
        return threadIdx.x == 0;
    }
};

// --- columns ------------------------------------------------------------------------------------------------------------------

// piece: weft_columns
// Reduction of columns of `length` elements, V neighbouring columns a thread. A run is 64 elements of a column; 2^across threads lie
// side by side and make a tile, 2^runs of them below each other take as many consecutive runs, a group; what is left of the thread
// block takes other tiles. The thread block takes a segment of its tiles after the other, each of 2^span groups. There are `tiles`
// side by side, and `outer` times as many altogether.
template <int V, class A> struct weft_columns {
    typedef typename weft_of<A>::state state;
    typedef typename weft_of<A>::mean mean;
    typedef typename weft_of<A>::again again;

    const long long outers, columns, length, items, segments;
    const int across, runs, span, levels;
    char *const partials;
    unsigned *const counters;
    const int y, leader, leaders; // run in the group; number among the threads that end up with results, and how many there are
    long long item, set, segment, outer, column; // column: the first of this thread
    int count;                                   // of columns that exist
    state total[V];

    __device__ __forceinline__ weft_columns(long long outers, long long columns, long long length, long long items,
                                            long long segments, long long across, long long runs, long long span,
                                            long long levels, char *partials, unsigned *counters)
        : outers(outers), columns(columns), length(length), items(items), segments(segments), across((int)across),
          runs((int)runs), span((int)span), levels((int)levels), partials(partials), counters(counters),
          y(threadIdx.x >> (int)across & ((1 << (int)runs) - 1)),
          leader((threadIdx.x >> (int)(across + runs) << (int)across) + (threadIdx.x & ((1 << (int)across) - 1))),
          leaders(256 >> (int)runs), item((long long)blockIdx.y * gridDim.x + blockIdx.x)
    {
    }

    // To the thread block's piece of work.
    __device__ __forceinline__ bool next()
    {
        if (item >= items) return false;
        set = item, segment = 0;
        if (segments > 1) set = (unsigned)item / (unsigned)segments, segment = item - set * segments; // of few items
        const long long wide = (long long)V << across, tiles = weft_shift_up(columns, (V == 4 ? 2 : V / 2) + across);
        const long long tile = (set << (8 - across - runs)) + (threadIdx.x >> (across + runs));
        outer = outers == 1 ? tile >= tiles : tile / tiles;
        column = (tile - outer * tiles) * wide + (threadIdx.x & ((1 << across) - 1)) * V;
        const long long left = columns - column;
        count = outer >= outers || left < 0 ? 0 : left < V ? (int)left : V;
        if (count == 0) outer = column = 0;
        return true;
    }

    // n elements of V columns from position `start` on.
    template <int U, class Input, class T, class Read, class One, class Use>
    __device__ __forceinline__ void pass(T (&lane)[V], long long start, int n, Read read, One one, Use use)
    {
        int r = 0;
        if (count == V) {
            if constexpr (U > 1) {
#pragma unroll 1
                for (; r + U <= n; r += U) {
                    Input in[U];
#pragma unroll
                    for (int u = 0; u < U; u++) read(in[u], start + r + u);
#pragma unroll
                    for (int u = 0; u < U; u++) {
#pragma unroll
                        for (int k = 0; k < V; k++) use(lane[k], in[u], r + u, k, start + r + u);
                    }
                }
            }
#pragma unroll 1
            for (; r < n; r++) {
                Input in;
                read(in, start + r);
#pragma unroll
                for (int k = 0; k < V; k++) use(lane[k], in, r, k, start + r);
            }
        } else if constexpr (V > 1) {
#pragma unroll 1
            for (; r < n; r++) {
                Input in = {};
#pragma unroll
                for (int k = 0; k < V; k++) {
                    if (k >= count) continue;
                    one(in, k, start + r);
                    use(lane[k], in, r, k, start + r);
                }
            }
        }
    }

    // The threads' states, those below each other by adjacent pairs, for the uppermost; entry number I, then the others.
    template <int I> __device__ __forceinline__ void join_runs(state (&own)[V], char *room)
    {
        typedef typename weft_unref<decltype(weft_get<I>(own[0]))>::type entry;
        entry *const all = reinterpret_cast<entry *>(room);
        const int me = threadIdx.x;
#pragma unroll
        for (int k = 0; k < V; k++) all[k * 256 + me] = weft_get<I>(own[k]);
        __syncthreads();
#pragma unroll 1
        for (int level = 0; level < runs; level++) {
            if ((y & ((2 << level) - 1)) == 0) {
#pragma unroll
                for (int k = 0; k < V; k++) {
                    weft_get<I>(own[k]).join(all[k * 256 + me + (1 << (level + across))]);
                    all[k * 256 + me] = weft_get<I>(own[k]);
                }
            }
            __syncthreads();
        }
        if constexpr (I + 1 < state::count) join_runs<I + 1>(own, room);
    }
    __device__ __forceinline__ void join_runs(state (&own)[V])
    {
        alignas(16) __shared__ char room[256 * V * state::largest];
        if (runs > 0) join_runs<0>(own, room);
    }

    // State number `number` of the segment, for the uppermost threads. Subtrees whose right neighbours are still to come wait in shared
    // memory, a place for each level, leader and column; those of the highest levels, if there are so many, behind the partials.
    static constexpr int stacked = weft_stacked(V * sizeof(state));
    __device__ __forceinline__ state *pending(state *stack, int level) const
    {
        if (level < stacked) return stack + (level * 32 + leader) * V;
        const long long before = segments > 1 ? items : 0, high = before + item * (levels - stacked) + level - stacked;
        return reinterpret_cast<state *>(partials + (high * leaders + leader) * (long long)(V * sizeof(state)));
    }
    __device__ __forceinline__ void take(const state (&own)[V], long long number, bool last)
    {
        __shared__ state stack[stacked * 32 * V];
        if (y != 0) return;
        int level = 0;
#pragma unroll
        for (int k = 0; k < V; k++) total[k] = own[k];
#pragma unroll 1
        for (long long below = number; below != 0; below &= below - 1) level++;
#pragma unroll 1
        for (long long pairs = number; pairs != 0 && (last || (pairs & 1) != 0); pairs = last ? pairs & (pairs - 1) : pairs >> 1) {
            const state *const left = pending(stack, --level);
#pragma unroll
            for (int k = 0; k < V; k++) {
                state joined = left[k];
                joined.join(total[k]);
                total[k] = joined;
            }
        }
        if (last) return;
        state *const to = pending(stack, level);
#pragma unroll
        for (int k = 0; k < V; k++) to[k] = total[k];
    }

    template <int U, bool Twice, class Input, class Idle, class Read, class One, class Use, class Repeat>
    __device__ __forceinline__ void reduce(Idle idle, Read read, One one, Use use, Repeat repeat)
    {
        const long long groups = weft_shift_up(length, 6 + runs);
        const long long first = segment << span, end = first + (1LL << span), last = end < groups ? end : groups;
#pragma unroll
        for (int k = 0; k < V; k++) total[k].clear();
#pragma unroll 1
        for (long long g = first; g < last; g++) {
            const long long start = ((g << runs) + y) * 64, rest = length - start;
            const int n = count == 0 || idle() || rest < 0 ? 0 : rest < 64 ? (int)rest : 64;
            A lane[V];
#pragma unroll
            for (int k = 0; k < V; k++) lane[k].clear();
            pass<U, Input>(lane, start, n, read, one, use);
            mean means[V];
            again squares[V];
            if constexpr (Twice) {
#pragma unroll
                for (int k = 0; k < V; k++) means[k].find(lane[k], lane[k], n), squares[k].clear();
                pass<U, Input>(squares, start, idle() ? 0 : n, read, one,
                               [&](again &to, Input &in, int r, int k, long long p) { repeat(to, means[k], in, r, k, p); });
            }
            state own[V];
#pragma unroll
            for (int k = 0; k < V; k++) {
                lane[k].settle(0, 1);
                lane[k].close(own[k], means[k], squares[k], start);
            }
            join_runs(own);
            take(own, g - first, g + 1 == last);
        }
    }

    // True for the threads that have results: of `count` columns in `total`.
    __device__ __forceinline__ bool finish()
    {
        if (segments > 1) {
            const long long size = (long long)leaders * V * sizeof(state);
            char *const mine = partials + leader * V * (long long)sizeof(state);
#pragma unroll
            for (int k = 0; k < V; k++)
                if (y == 0) weft_put(mine + item * size + k * sizeof(state), total[k]);
            if (!weft_is_last(counters + set, segments)) return false;

            constexpr int chunk = weft_chunk_of(V * sizeof(state));
            constexpr int bits = chunk == 8 ? 3 : chunk == 4 ? 2 : chunk == 2 ? 1 : 0;
            const long long rounds = weft_shift_up(segments, bits + runs);
#pragma unroll 1
            for (long long round = 0; round < rounds; round++) {
                state own[V];
                const long long chosen = ((round << runs) + y) * chunk;
                weft_chunk<state, V, chunk>::of(own, mine + (set * segments + chosen) * size, size, chosen, segments);
                join_runs(own);
                take(own, round, round + 1 == rounds);
            }
        }
        return y == 0 && count > 0;
    }
};
