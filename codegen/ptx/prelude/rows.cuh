// rows.cuh: reductions along rows.

// piece: weft_held_resident
// Thread blocks that a multiprocessor has registers for while each thread holds 64 elements: for sm_100 and later ptxas
// wants more of them, and would spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int weft_held_resident = 1;
#else
constexpr int weft_held_resident = 2;
#endif

// piece: weft_rows
// Reduction along rows of `length` elements. A block is 4 runs of 16 vectors of L lanes; 16 threads take a run, each
// V = L / 16 of its lanes: neighbours (Packed), or every 16th. 64 threads, a team, take a block; 2^teams of the thread
// block's four teams a group of as many consecutive blocks of one row; the thread block takes one segment of the row:
// 2^span groups. (Short: a row is not longer than a run, and 16 threads take one.) A row's result is with one of its
// threads.
template <int L, bool Packed, bool Short, class A> struct weft_rows {
    static constexpr int V = L / 16, apart = Packed ? 1 : 16, run = 16 * L, block = 64 * L;
    typedef typename weft_of<A>::state state;
    typedef typename weft_of<A>::mean mean;
    typedef typename weft_of<A>::again again;

    // What threads tell each other. Stages of a kernel use the same: static shared memory of all together has its
    // limit.
    static constexpr int largest = A::largest > again::largest ? A::largest : again::largest;
    // (Aligned to 8: of what is to 16, two values would be read at once, for which there are no registers.)
    struct memory {
        // For every lane of all runs, then for every thread.
        alignas(8) char places[Short ? 8 : 256 * (V + 1) * largest];
        state parts[Short ? 1 : 4];    // of the teams' blocks
        state pending[Short ? 1 : 32]; // subtrees whose right neighbours are still to come
    };
    static __device__ __forceinline__ memory &own()
    {
        __shared__ memory all;
        return all;
    }

    memory &shared;
    const long long rows, length, items, segments;
    const int teams, span;
    char *const partials;
    unsigned *const counters;
    long long item, row, segment; // row: of this thread
    bool valid;                   // there is such a row
    state total;

    __device__ __forceinline__ weft_rows(long long rows, long long length, long long items, long long segments,
                                         long long teams, long long span, char *partials, unsigned *counters)
        : shared(own()), rows(rows), length(length), items(items), segments(segments), teams((int)teams),
          span((int)span), partials(partials), counters(counters),
          item((long long)blockIdx.y * gridDim.x + blockIdx.x - (Short ? gridDim.x : 0))
    {
    }

    // Of several stages: rows that are one segment each, which the thread block takes at_once() of.
    __device__ __forceinline__ weft_rows(long long length, long long teams, char *room)
        : shared(*reinterpret_cast<memory *>(room)), rows(0), length(length), items(0), segments(1), teams((int)teams),
          span(62), partials(nullptr), counters(nullptr), item(0), segment(0)
    {
    }
    __device__ __forceinline__ int at_once() const { return Short ? 16 : 4 >> teams; }

    // To the rows from `first` on, those of them that are below `end`; `first` is.
    __device__ __forceinline__ void take(long long first, long long end)
    {
        row = first + (Short ? threadIdx.x / 16 : threadIdx.x >> (6 + teams));
        valid = row < end;
        if (!valid) row = first;
    }

    // True for the thread that has the row's result in `total`. It sees, too, what the row's others told of failures.
    __device__ __forceinline__ bool has_result()
    {
        if (Short) __syncwarp();
        return valid && (threadIdx.x & (Short ? 15 : (64 << teams) - 1)) == 0;
    }

    // To the thread block's piece of work; Short: to the next one.
    __device__ __forceinline__ bool next()
    {
        if (Short) item += gridDim.x;
        if (item >= items) return false;
        long long set = item;
        segment = 0;
        if (!Short && segments > 1)
            set = (unsigned)item / (unsigned)segments, segment = item - set * segments; // of few items
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

    // Entry number I of the lanes, then the others: the team's runs, a lane (or two runs of it) for each thread; then
    // its lanes by halves.
    template <int I, class T> __device__ __forceinline__ void join_team(T (&lane)[V])
    {
        typedef typename weft_unref<decltype(weft_get<I>(lane[0]))>::type entry;
        if constexpr (!__is_empty(entry)) {
            entry *const all = reinterpret_cast<entry *>(shared.places), *const halves = all + 256 * V;
            const unsigned me = threadIdx.x;
#pragma unroll
            for (int k = 0; k < V; k++)
                all[me / 16 * L + me % 16 * (Packed ? V : 1) + k * apart] = weft_get<I>(lane[k]);
            __syncthreads();
            const entry *const from = all + (L == 64 ? me / 64 * 4 : me / 32 * 2) * L + me % L;
            entry joined = from[0];
            joined.join(from[L]);
            if (L == 64) {
                entry others = from[2 * L];
                others.join(from[3 * L]);
                joined.join(others);
            }
            halves[me] = joined;
            __syncthreads();
            joined.join(halves[me ^ 32]);
#pragma unroll 1
            for (int d = 16; d > 0; d /= 2) joined.meet(d);
            weft_get<I>(lane[0]) = joined;
        }
        if constexpr (I + 1 < T::count) join_team<I + 1>(lane);
    }

    // All threads of the team (Short: of the run) get the result, in lane[0].
    template <class T> __device__ __forceinline__ void join_lanes(T (&lane)[V])
    {
        if constexpr (!Short) {
            join_team<0>(lane);
        } else {
#pragma unroll 1
            for (int d = 8; Packed && d > 0; d /= 2) {
#pragma unroll
                for (int k = 0; k < V; k++) lane[k].meet(d);
            }
#pragma unroll
            for (int half = V / 2; half > 0; half /= 2) {
#pragma unroll
                for (int k = 0; k < half; k++) lane[k].join(lane[k + half]);
            }
#pragma unroll 1
            for (int d = 8; !Packed && d > 0; d /= 2) lane[0].meet(d);
        }
    }

    // Elements of the block, `left` of which exist: steps that are whole, U at a time: read, then `use` for each; then
    // what is there of the next one. `use` gets the step's number, and where what is to be kept of it goes: with U = 16
    // steps and parts of them have places of their own. U = 0: one by one, in the order of their positions, with a
    // single copy of `use`.
    template <int U, class Input, class T, class Read, class One, class Use, class Save, class SaveOne>
    __device__ __forceinline__ void pass(T (&lane)[V], long long start, int left, Read read, One one, Use use,
                                         Save save, SaveOne save_one)
    {
        const int from = place(), rest = left - from;
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
                    use(only, in, s, 0, 0, p);
                    save_one(in, 0, p);
#pragma unroll
                    for (int j = 0; j < V; j++)
                        if (j == k) lane[j] = only;
                }
            }
        } else {
            const int most = rest - (V - 1) * apart, whole = most <= 0 ? 0 : (most - 1 + L) / L,
                      steps = whole < 16 ? whole : 16;
#pragma unroll 1
            for (int s = 0; s < steps && (U < 16 || s == 0); s += U) {
                const int here = steps - s;
                const long long p = start + from + s * L;
                Input in[U];
#pragma unroll
                for (int u = 0; u < U; u++) { // where there is nothing, the first one again: no branches
                    const long long at = p + (u < here ? (long long)u * L : 0LL);
                    if (Packed) read(in[u], at);
#pragma unroll
                    for (int k = 0; k < V && !Packed; k++) one(in[u], k, at + k * apart);
                }
#pragma unroll
                for (int u = 0; u < U; u++) {
                    if (u >= here) continue;
#pragma unroll
                    for (int k = 0; k < V; k++) {
                        use(lane[k], in[u], s + u, U == 16 ? u : 0, k, p + u * L + k * apart);
                        if (!Packed) save_one(in[u], k, p + u * L + k * apart);
                    }
                    if (Packed) save(in[u], p + u * L);
                }
            }
            if (V == 1 || steps == 16) return;
#pragma unroll
            for (int k = 0; k < V - 1; k++) {
                if (steps * L + k * apart >= rest) continue;
                const long long p = start + from + steps * L + k * apart;
                Input in;
                one(in, k, p);
                use(lane[k], in, steps, U == 16 ? 16 : 0, k, p);
                save_one(in, k, p);
            }
        }
    }

    // The state of this thread's block of group g.
    template <int U, bool Twice, bool Held, class Input, class Idle, class Read, class One, class Use, class Save,
              class SaveOne, class Repeat>
    __device__ __forceinline__ state group(long long g, Idle idle, Read read, One one, Use use, Save save,
                                           SaveOne save_one, Repeat repeat)
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
        join_lanes(lane);
        const A &all = lane[0];

        mean means;
        again square[V];
        if constexpr (Twice) {
            means.find(all, all, left);
#pragma unroll
            for (int k = 0; k < V; k++) square[k].clear();
            const weft_skip skip;
            auto once_more = [&](again &to, Input &in, int s, int h, int k, long long p) {
                repeat(to, means, in, s, h, k, p);
            };
            if constexpr (Held)
                // The shuffle changes nothing, but hides that the comparisons are the same, which would be kept in
                // registers.
                pass<U, Input>(square, start, __shfl_xor_sync(0xffffffff, left, 0), skip, skip, once_more, skip, skip);
            else
                pass<U, Input>(square, start, idle() ? 0 : left, read, one, once_more, skip, skip);
            join_lanes(square);
        }
        state result;
        all.close(result, means, square[0], start);
        return result;
    }

    // The whole segment; `idle`: this thread's elements are of no interest any more.
    template <int U, bool Twice, bool Held, class Input, class Idle, class Read, class One, class Use, class Save,
              class SaveOne, class Repeat>
    __device__ __forceinline__ void reduce(Idle idle, Read read, One one, Use use, Save save, SaveOne save_one,
                                           Repeat repeat)
    {
        total.clear();
        if constexpr (Short) {
            total = group<U, Twice, Held, Input>(0, idle, read, one, use, save, save_one, repeat);
        } else {
            state *const parts = shared.parts, *const pending = shared.pending;
            const long long groups = weft_shift_up(length, (L == 64 ? 12 : 11) + teams);
            const long long first = segment << span, end = first + (1LL << span), last = end < groups ? end : groups;
            const int team = threadIdx.x / 64, members = 1 << teams, none = team * 8;
            int depth = none;
            unsigned number = 0; // of the block in the segment
#pragma unroll 1
            for (long long g = first; g < last; g++) {
                total = group<U, Twice, Held, Input>(g, idle, read, one, use, save, save_one, repeat);
                if (threadIdx.x % 64 == 0) parts[team] = total;
                __syncthreads();
                if (threadIdx.x & (64 * members - 1)) continue;
                unsigned pairs = number;
#pragma unroll 1
                for (int m = 0; m < members;) {
                    const bool done = g + 1 == last && m + 1 == members;
                    if (depth > none && ((pairs & 1) || done)) {
                        state left = pending[--depth];
                        left.join(total);
                        total = left;
                        pairs >>= 1;
                        continue;
                    }
                    pending[depth++] = total;
                    m++;
                    pairs = ++number;
                    if (m < members) total = parts[team + m];
                }
            }
        }
    }

    // True for the thread that has the row's result in `total`.
    __device__ __forceinline__ bool finish()
    {
        if (Short || segments <= 1) return has_result();
        if (threadIdx.x == 0) weft_put(partials + item * (long long)sizeof(state), total);
        if (!weft_is_last(counters + row, segments)) return false;

        __shared__ state warps[8];
        constexpr int chunk = sizeof(state) <= 8 ? 4 : 2;
        state own[1];
        weft_chunk<state, 1, chunk>::of(own, partials + (item - segment) * (long long)sizeof(state), sizeof(state),
                                        threadIdx.x * chunk, (int)segments);
        total = own[0];
#pragma unroll 1
        for (int d = 1; d < 256; d *= 2) {
            if (d == 32) {
                if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = total;
                __syncthreads();
                total = warps[threadIdx.x % 8];
            }
            total.meet(d < 32 ? d : d / 32);
        }
        return threadIdx.x == 0;
    }
};

// piece: weft_most
__device__ constexpr unsigned long long weft_most(unsigned long long a, unsigned long long b)
{
    return a > b ? a : b;
}
