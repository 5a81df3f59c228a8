/* tools_profile.c: what launch.c counted. */
#include "runtime/runtime.h"

void jit_profile(jit_function *function, int on) {
    if (!function) return;
    if (on)
        for (struct plan_entry *e = atomic_load(&function->entries); e; e = e->next)
            for (int i = 0; i < e->plan->n_launches; i++) {
                atomic_store_explicit(&e->launches[i].launches, 0, memory_order_relaxed);
                atomic_store_explicit(&e->launches[i].nanoseconds, 0, memory_order_relaxed);
                atomic_store_explicit(&e->launches[i].bytes, 0, memory_order_relaxed);
            }
    atomic_store(&function->profiling, on != 0);
}

int jit_profile_get(const jit_function *function, int index, jit_profile_row *row) {
    if (!function || !row || index < 0) return 0;
    /* Plans are listed newest first; rows begin with the oldest. Kernels run in the order of their plan. */
    int plans = 0;
    for (const struct plan_entry *e = atomic_load((_Atomic(struct plan_entry *) *)&function->entries); e; e = e->next)
        plans++;
    for (int number = plans - 1; number >= 0; number--) {
        const struct plan_entry *e = atomic_load((_Atomic(struct plan_entry *) *)&function->entries);
        for (int i = 0; i < number; i++) e = e->next;
        for (int i = 0; i < e->plan->n_launches; i++) {
            const struct launch_state *state = &e->launches[i];
            int64_t launches = atomic_load_explicit((_Atomic int64_t *)&state->launches, memory_order_relaxed);
            if (!launches || index-- > 0) continue;
            row->kernel = e->plan->launches[i]->kernel->name;
            row->launches = launches;
            row->seconds =
                1e-9 * (double)atomic_load_explicit((_Atomic int64_t *)&state->nanoseconds, memory_order_relaxed);
            row->bytes = (double)atomic_load_explicit((_Atomic int64_t *)&state->bytes, memory_order_relaxed);
            return 1;
        }
    }
    return 0;
}
