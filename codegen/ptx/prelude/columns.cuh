// columns.cuh: reductions that keep the last dimension.

// piece: weft_columns
// Reduction of columns of `length` elements, V neighbouring columns a thread. A run is 64 elements of a column;
// 2^across threads lie side by side and make a tile, 2^runs of them below each other take as many consecutive runs, a
// group; what is left of the thread block takes other tiles. The thread block takes one segment of its tiles: 2^span
// groups. There are `outers` times as many tiles as lie side by side.
template <int V, class A> struct weft_columns {
    typedef typename weft_of<A>::state state;
    typedef typename weft_of<A>::mean mean;
    typedef typename weft_of<A>::again again;

    const long long outers, columns, length, items, segments;
    const int across, runs, span, levels;
    char *const partials;
    unsigned *const counters;
    // Run in the group; number among the threads that end up with results, and how many there are.
    const int y, leader, leaders;
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

    // The threads' states, those below each other by adjacent pairs, for the uppermost; entry number I, then the
    // others.
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

    // State number `number` of the segment, for the uppermost threads. Subtrees whose right neighbours are still to
    // come wait in shared memory, a place for each level, leader and column; those of the highest levels, if there are
    // so many, behind the partials.
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
        for (long long pairs = number; pairs != 0 && (last || (pairs & 1) != 0);
             pairs = last ? pairs & (pairs - 1) : pairs >> 1) {
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
                pass<U, Input>(
                    squares, start, idle() ? 0 : n, read, one,
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

            constexpr int chunk = 2;
            const long long rounds = weft_shift_up(segments, 1 + runs);
#pragma unroll 1
            for (long long round = 0; round < rounds; round++) {
                state own[V];
                weft_chunk<state, V, chunk>::of(own, mine + set * segments * size, size,
                                                (int)((round << runs) + y) * chunk, (int)segments);
                join_runs(own);
                take(own, round, round + 1 == rounds);
            }
        }
        return y == 0 && count > 0;
    }
};
