// memory.cuh: several elements at a time, and what kernels tell the host.

// piece: weft_vec
// N neighbouring elements: of 16 bytes at most in elementwise kernels, of 32 in reductions of rows.
template <class T, int N> struct alignas(N * sizeof(T)) weft_vec {
    T of[N];
};

// piece: weft_groups
// Memory as groups of N elements; it is aligned to them.
template <int N, class T> __device__ __forceinline__ const weft_vec<T, N> *weft_groups(const T *at)
{
    return reinterpret_cast<const weft_vec<T, N> *>(at);
}
template <int N, class T> __device__ __forceinline__ weft_vec<T, N> *weft_groups(T *at)
{
    return reinterpret_cast<weft_vec<T, N> *>(at);
}

// piece: weft_watch
// struct ptx_watch of the host.
struct weft_watch {
    int cancel, lock;
    long long order, position, index, size;
    int site, operand, dim, unused;
};

// piece: weft_cancelled
// The call was cancelled, or what comes before this position failed: nobody wants what is computed here.
__device__ __forceinline__ bool weft_cancelled(const volatile weft_watch *watch, long long order, long long at)
{
    const long long failed = watch->order;
    return watch->cancel != 0 || failed < order || (failed == order && watch->position < at);
}

// piece: weft_fault
// A subscript is out of range. Of all that are, that of the smallest (order, at) is kept. One thread of a warp at a
// time: the one that holds the lock need not wait for neighbours that wait for it.
__device__ __noinline__ void weft_fault(volatile weft_watch *watch, long long order, long long at, int site,
                                        int operand, int dim, long long index, long long size)
{
    const int lane = (int)((threadIdx.x + blockDim.x * threadIdx.y) % 32);
#pragma unroll 1
    for (unsigned todo = __activemask(); todo; todo &= todo - 1) {
        if (__ffs((int)todo) - 1 != lane) continue;
        for (;;) {
            // An earlier one is known already? `order` is written after `position`, and the pair only ever becomes
            // smaller: a position that belongs to an order before `known` misleads nobody.
            const long long known = watch->order;
            __threadfence();
            if (known < order || (known == order && watch->position < at)) break;
            if (atomicCAS((int *)&watch->lock, 0, 1) == 0) {
                __threadfence();
                if (order < watch->order || (order == watch->order && at < watch->position)) {
                    watch->position = at;
                    watch->index = index;
                    watch->size = size;
                    watch->site = site;
                    watch->operand = operand;
                    watch->dim = dim;
                    __threadfence();
                    watch->order = order;
                }
                __threadfence();
                atomicExch((int *)&watch->lock, 0);
                break;
            }
            __nanosleep(100);
        }
    }
}
