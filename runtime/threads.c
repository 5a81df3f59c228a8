/* threads.c: OpenMP, in the one form the runtime needs it. Linked with LLVM's libomp: libgomp hangs after fork and may
 * take milliseconds to wake its threads. */
#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include "runtime/runtime.h"

int threads_available(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int count = CPU_COUNT(&set);
        if (count > 0) return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

void threads_run(int threads, int64_t count, int64_t grain, bool dynamic,
                 void (*work)(void *argument, int64_t begin, int64_t end), void *argument) {
    if (grain < 1) grain = 1;
    int64_t pieces = count / grain + (count % grain != 0);
    if (threads > pieces) threads = (int)pieces;
    if (threads <= 1) { /* never enters OpenMP: even a region of one thread costs more than a small kernel */
        if (count > 0) work(argument, 0, count);
        return;
    }
    if (!dynamic) {
#pragma omp parallel num_threads(threads)
        {
            int team = omp_get_num_threads(), me = omp_get_thread_num();
            int64_t share = pieces / team, extra = pieces % team;
            int64_t first = me * share + (me < extra ? me : extra), last = first + share + (me < extra);
            int64_t begin = first * grain, end = last * grain < count ? last * grain : count;
            if (begin < end) work(argument, begin, end);
        }
        return;
    }
    /* Some 16 turns a thread: enough to even out what diverges, few enough to cost nothing. */
    int64_t turn = pieces / ((int64_t)threads * 16);
    if (turn < 1) turn = 1;
    _Atomic int64_t next = 0;
#pragma omp parallel num_threads(threads) shared(next)
    for (;;) {
        int64_t first = atomic_fetch_add_explicit(&next, turn, memory_order_relaxed);
        if (first >= pieces) break;
        int64_t last = first + turn < pieces ? first + turn : pieces;
        int64_t end = last * grain < count ? last * grain : count;
        work(argument, first * grain, end);
    }
}
