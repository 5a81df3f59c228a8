// states.cuh: the accumulators of a kernel's reductions together, and how their states come together: those of a warp's
// threads, those of thread blocks.

// piece: weft_get weft_getter
// Entry number I of a weft_tuple.
template <int I> struct weft_getter {
    template <class T> static __device__ __forceinline__ auto &of(T &tuple)
    {
        return weft_getter<I - 1>::of(tuple.rest);
    }
};
template <> struct weft_getter<0> {
    template <class T> static __device__ __forceinline__ auto &of(T &tuple) { return tuple.first; }
};
template <int I, class T> __device__ __forceinline__ auto &weft_get(T &tuple)
{
    return weft_getter<I>::of(tuple);
}

// piece: weft_unref
template <class T> struct weft_unref {
    typedef T type;
};
template <class T> struct weft_unref<T &> {
    typedef T type;
};

// piece: weft_tuple weft_of
// The accumulators of a kernel's reductions, and what belongs to them.
template <class A, class... B> struct weft_tuple {
    static constexpr int count = 1 + sizeof...(B);
    static constexpr int largest = sizeof(A) > weft_tuple<B...>::largest ? (int)sizeof(A) : weft_tuple<B...>::largest;
    A first;
    weft_tuple<B...> rest;
    __device__ __forceinline__ void clear() { first.clear(), rest.clear(); }
    __device__ __forceinline__ void join(const weft_tuple &b) { first.join(b.first), rest.join(b.rest); }
    __device__ __forceinline__ void meet(int mask) { first.meet(mask), rest.meet(mask); }
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
    __device__ __forceinline__ void meet(int mask) { first.meet(mask); }
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

// --- the tree above blocks and runs ----------------------------------------------------------------------------------

// piece: weft_fetch weft_put
// States in device memory that other thread blocks have written, or will read: past the first cache.
template <class S> __device__ __forceinline__ S weft_fetch(const char *from)
{
    typedef typename weft_word<unsigned long long, sizeof(S) % 8 ? 4 : 8>::type word;
    constexpr int n = sizeof(S) / sizeof(word);
    union {
        word words[n];
        S state;
    } of;
#pragma unroll
    for (int i = 0; i < n; i++) of.words[i] = reinterpret_cast<const volatile word *>(from)[i];
    return of.state;
}
template <class S> __device__ __forceinline__ void weft_put(char *to, const S &state)
{
    *reinterpret_cast<S *>(to) = state;
}

// piece: weft_chunk
// N times V states, joined by adjacent pairs: numbers first ... first + N - 1 of n, each V `step` bytes after the
// others.
template <class S, int V, int N> struct weft_chunk {
    static __device__ __forceinline__ void of(S (&to)[V], const char *from, long long step, int first, int n)
    {
        S b[V];
        weft_chunk<S, V, N / 2>::of(to, from, step, first, n);
        weft_chunk<S, V, N / 2>::of(b, from, step, first + N / 2, n);
#pragma unroll
        for (int k = 0; k < V; k++) to[k].join(b[k]);
    }
};
template <class S, int V> struct weft_chunk<S, V, 1> {
    static __device__ __forceinline__ void of(S (&to)[V], const char *from, long long step, int first, int n)
    {
        const char *const at = from + (first < n ? first : n - 1) * step; // the last of them, for nothing
#pragma unroll
        for (int k = 0; k < V; k++) {
            to[k] = weft_fetch<S>(at + k * sizeof(S));
            if (first >= n) to[k].clear();
        }
    }
};

// piece: weft_stacked
// Levels of pending states of so many bytes, 32 of them each, that are in shared memory (shape_reduce.c knows it, too).
__device__ __forceinline__ constexpr int weft_stacked(int bytes) { return bytes >= 256 ? 1 : 256 / bytes; }

// piece: weft_is_last
// Says whether this thread block is the last of n to come to this point. What the others wrote before can be read then.
__device__ __forceinline__ bool weft_is_last(unsigned *counter, long long n)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(counter, 1u) == (unsigned)n - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

// piece: weft_shift_up
// n / 2^bits, rounded up.
__device__ __forceinline__ long long weft_shift_up(long long n, int bits) { return ((n - 1) >> bits) + 1; }

// piece: weft_skip
struct weft_skip {
    template <class... A> __device__ __forceinline__ void operator()(A &&...) const {}
};

// piece: weft_never
struct weft_never {
    __device__ __forceinline__ bool operator()() const { return false; }
};
