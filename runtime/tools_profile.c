/* tools_profile.c: what launches counted. */
#include "runtime/runtime.h"

static void clear(struct launch_state *state) {
    atomic_store_explicit(&state->launches, 0, memory_order_relaxed);
    atomic_store_explicit(&state->nanoseconds, 0, memory_order_relaxed);
    atomic_store_explicit(&state->bytes, 0, memory_order_relaxed);
}

void jit_profile(jit_function *function, int on) {
    if (!function) return;
    for (struct plan_entry *e = on ? atomic_load(&function->entries) : NULL; e; e = e->next) {
        for (int i = 0; i < e->plan->n_launches; i++) clear(&e->launches[i]);
        for (int i = 0; i < e->plan->n_rows; i++) clear(&e->rows[i]);
        for (int i = 0; i < COPIES_KINDS; i++) clear(&e->copies[i]);
    }
    atomic_store(&function->profiling, on != 0);
}

/* False if nothing was counted. */
static bool read_row(const struct launch_state *state, const char *name, bool gpu, jit_profile_row *row) {
    row->kernel = name;
    row->launches = atomic_load_explicit((_Atomic int64_t *)&state->launches, memory_order_relaxed);
    row->seconds = 1e-9 * (double)atomic_load_explicit((_Atomic int64_t *)&state->nanoseconds, memory_order_relaxed);
    row->bytes = (double)atomic_load_explicit((_Atomic int64_t *)&state->bytes, memory_order_relaxed);
    row->gpu = gpu || atomic_load_explicit((_Atomic bool *)&state->on_device, memory_order_relaxed);
    return row->launches > 0;
}

int jit_profile_get(const jit_function *function, int index, jit_profile_row *row) {
    static const char *const copies[COPIES_KINDS] = {
        [COPIES_TO_DEVICE] = "(to the GPU)", [COPIES_TO_HOST] = "(from the GPU)", [COPIES_ON_DEVICE] = "(on the GPU)"};
    if (!function || !row || index < 0) return 0;
    /* Plans are listed newest first; rows begin with the oldest. */
    int plans = 0;
    for (const struct plan_entry *e = atomic_load((_Atomic(struct plan_entry *) *)&function->entries); e; e = e->next)
        plans++;
    for (int number = plans - 1; number >= 0; number--) {
        const struct plan_entry *e = atomic_load((_Atomic(struct plan_entry *) *)&function->entries);
        for (int i = 0; i < number; i++) e = e->next;
        for (int i = 0; i < e->plan->n_launches; i++)
            if (read_row(&e->launches[i], e->plan->launches[i]->kernel->name, false, row) && index-- == 0) return 1;
        for (int i = 0; i < e->plan->n_rows; i++)
            if (read_row(&e->rows[i], e->plan->rows[i]->name, false, row) && index-- == 0) return 1;
        for (int i = 0; i < COPIES_KINDS; i++)
            if (read_row(&e->copies[i], copies[i], true, row) && index-- == 0) return 1;
    }
    return 0;
}
