/* block.c: a launch. Blocks run one after another, threads as plain calls, one after another; a thread that has to wait
 * for others (a barrier, a shuffle) is left where it is, and the next one gets a stack of its own.
 *
 * One launch at a time in the process (stream.c sees to it), so what follows is static. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <sys/mman.h>

#include "shim.h"

#if SHIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

void shim_lock(void);
void shim_unlock(void);

/* --- fibers
 * ------------------------------------------------------------------------------------------------------------- */

enum { GUARD = SHIM_ASAN ? 0 : 64, SHIM_GUARD = 0x5A }; /* bytes on either side of dynamic shared memory */
enum { STACK_BYTES = SHIM_ASAN ? 512 * 1024 : 128 * 1024, MAX_THREADS = 1024, WARP = 32 };

struct fiber {
    char *stack; /* NULL: the thread that runs the launch */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
    void *known;      /* ThreadSanitizer's */
#if defined(__x86_64__)
    void *sp;
#else
    ucontext_t at;
#endif
};

#if defined(__x86_64__)
void shim_switch_stacks(void **save, void *load);
__asm__(".text\n"
        ".globl shim_switch_stacks\n"
        ".hidden shim_switch_stacks\n"
        ".type shim_switch_stacks, @function\n"
        "shim_switch_stacks:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size shim_switch_stacks, .-shim_switch_stacks\n");
#endif

static struct fiber home, *here, *came_from;

#if SHIM_ASAN
static const void *home_bottom; /* the stack of the thread that runs the launch, told when it is left */
#endif

/* After arriving on a stack. */
static void arrived(void) {
#if SHIM_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(here->fake_stack, &bottom, &size);
    if (came_from == &home) home_bottom = bottom, home.stack_bytes = size;
#endif
}

static void switch_to(struct fiber *to) {
    struct fiber *from = here;
#if SHIM_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack ? to->stack : home_bottom, to->stack_bytes);
#endif
    came_from = from;
    here = to;
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(to->known, 0);
#endif
#if defined(__x86_64__)
    shim_switch_stacks(&from->sp, to->sp);
#else
    swapcontext(&from->at, &to->at);
#endif
    arrived();
}

static void fiber_body(void); /* never returns */

static void fiber_entry(void) {
    arrived();
    fiber_body();
    abort();
}

/* Makes a fiber begin at fiber_entry. */
static bool prepare(struct fiber *fiber) {
    if (!fiber->stack) {
        void *stack =
            mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) return false;
        fiber->stack = stack;
        fiber->stack_bytes = STACK_BYTES;
    }
    fiber->fake_stack = NULL;
#ifdef __SANITIZE_THREAD__
    if (fiber->known) __tsan_destroy_fiber(fiber->known);
    fiber->known = __tsan_create_fiber(0);
#endif
#if SHIM_ASAN
    __asan_unpoison_memory_region(fiber->stack, fiber->stack_bytes);
#endif
#if defined(__x86_64__)
    void **top = (void **)(fiber->stack + fiber->stack_bytes);
    *--top = NULL; /* keeps the stack aligned at fiber_entry as after a call */
    *--top = (void *)fiber_entry;
    for (int i = 0; i < 6; i++) *--top = NULL;
    fiber->sp = top;
#else
    getcontext(&fiber->at);
    fiber->at.uc_stack.ss_sp = fiber->stack;
    fiber->at.uc_stack.ss_size = fiber->stack_bytes;
    fiber->at.uc_link = NULL;
    makecontext(&fiber->at, fiber_entry, 0);
#endif
    return true;
}

/* --- the threads of a block
 * ------------------------------------------------------------------------------------------------ */

enum state { UNSTARTED, READY, MEETING, DONE };

static struct thread {
    enum state state;
    struct fiber *fiber;
    int meeting, operand, width;
    unsigned mask;
    unsigned long long value, result;
} threads[MAX_THREADS];

static struct fiber pool[MAX_THREADS];
static struct fiber *idle[MAX_THREADS];
static int n_idle, n_pool;

static const struct shim_launch *launch;
static int n_threads, n_done, n_unstarted, n_ready, self;
static bool backwards, failed;
static unsigned launches;
static char failure[500];

static struct shim_dim position_of(int number, struct shim_dim size) {
    unsigned n = (unsigned)number;
    return (struct shim_dim){n % size.x, n / size.x % size.y, n / size.x / size.y};
}

static void become(int thread) {
    self = thread;
    *launch->module->thread = position_of(thread, launch->block);
}

static int nth(int i) {
    return backwards ? n_threads - 1 - i : i;
}

static void fiber_body(void) {
    struct fiber *me = here;
    for (;;) {
        while (n_unstarted) {
            int thread = nth(n_threads - n_unstarted--);
            threads[thread].fiber = me;
            threads[thread].state = READY;
            become(thread);
            launch->kernel->call(launch->parameters);
            threads[thread].state = DONE;
            n_done++;
        }
        idle[n_idle++] = me;
        switch_to(&home);
    }
}

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...) {
    if (!failed) {
        va_list list;
        va_start(list, format);
        vsnprintf(failure, sizeof failure, format, list);
        va_end(list);
    }
    failed = true;
}

static void kernel_fails(const char *what) {
    struct shim_dim block = *launch->module->block, thread = *launch->module->thread;
    fail("block %u %u %u, thread %u %u %u: %s", block.x, block.y, block.z, thread.x, thread.y, thread.z, what);
    for (;;) switch_to(&home); /* this fiber is given up */
}

static void let_go(struct thread *t, unsigned long long result) {
    t->result = result;
    t->state = READY;
    n_ready++;
}

/* What the lanes of a warp get that have all come. */
static void answer_warp(int first, unsigned mask) {
    unsigned long long ballot = 0;
    for (int lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1 && threads[first + lane].value) ballot |= 1ull << lane;
    for (int lane = 0; lane < WARP; lane++) {
        if (!(mask >> lane & 1)) continue;
        struct thread *t = &threads[first + lane];
        int begin = lane & -t->width, end = begin + t->width, from = lane;
        unsigned long long result = 0;
        switch (t->meeting) {
        case SHIM_SHUFFLE: from = begin + (t->operand & (t->width - 1)); break;
        case SHIM_SHUFFLE_UP: from = lane - t->operand < begin ? lane : lane - t->operand; break;
        case SHIM_SHUFFLE_DOWN: from = lane + t->operand >= end ? lane : lane + t->operand; break;
        case SHIM_SHUFFLE_XOR: from = (lane ^ t->operand) >= end ? lane : lane ^ t->operand; break;
        case SHIM_BALLOT: result = ballot; break;
        case SHIM_ANY: result = ballot != 0; break;
        case SHIM_ALL: result = ballot == mask; break;
        case SHIM_MATCH:
            for (int other = 0; other < WARP; other++)
                if (mask >> other & 1 && threads[first + other].value == t->value) result |= 1ull << other;
            break;
        }
        if (t->meeting >= SHIM_SHUFFLE && t->meeting <= SHIM_SHUFFLE_XOR) {
            if (from < 0 || from >= WARP || !(mask >> from & 1)) {
                fail("thread %d shuffles from lane %d, which is not in the mask %#x", first + lane, from, mask);
                return;
            }
            result = threads[first + from].value;
        }
        let_go(t, result);
    }
}

/* Answers the warp of thread `self` if all are there. */
static void meet_warp(const struct thread *me) {
    int first = self / WARP * WARP;
    for (int lane = 0; lane < WARP; lane++) {
        if (!(me->mask >> lane & 1)) continue;
        const struct thread *t = &threads[first + lane];
        if (first + lane >= n_threads || t->state != MEETING || t->meeting != me->meeting || t->mask != me->mask ||
            t->width != me->width)
            return;
    }
    answer_warp(first, me->mask);
}

/* All threads that are not done wait at the same barrier. */
static bool meet_block(void) {
    const struct thread *some = NULL;
    unsigned long long count = 0;
    int n = 0;
    for (int i = 0; i < n_threads; i++) {
        const struct thread *t = &threads[i];
        if (t->state == DONE) continue;
        if (t->state != MEETING || t->meeting >= SHIM_WARP) return false;
        if (some && (some->meeting != t->meeting || some->operand != t->operand)) {
            fail("threads wait at different barriers, lines %d and %d",
                 some->operand < t->operand ? some->operand : t->operand,
                 some->operand < t->operand ? t->operand : some->operand);
            return true;
        }
        some = t;
        count += t->value != 0;
        n++;
    }
    if (n < n_threads) {
        fail("%d of %d threads ended, the others wait at the barrier of line %d", n_threads - n, n_threads,
             some->operand);
        return true;
    }
    unsigned long long result = some->meeting == SHIM_BARRIER_AND  ? count == (unsigned long long)n
                                : some->meeting == SHIM_BARRIER_OR ? count != 0
                                                                   : count;
    for (int i = 0; i < n_threads; i++) let_go(&threads[i], result);
    return true;
}

static unsigned long long meet(int meeting, unsigned mask, unsigned long long value, int operand, int width) {
    struct thread *me = &threads[self];
    int thread = self, lane = self % WARP;
    *me = (struct thread){
        MEETING, me->fiber, meeting, operand, meeting < SHIM_SHUFFLE || meeting > SHIM_SHUFFLE_XOR ? WARP : width,
        mask,    value,     0};
    if (meeting >= SHIM_WARP) {
        if (!(mask >> lane & 1)) kernel_fails("takes part in a warp operation whose mask does not have it");
        if (me->width <= 0 || me->width > WARP || (me->width & (me->width - 1)))
            kernel_fails("shuffle of a width that is no power of 2");
        meet_warp(me);
        if (failed) kernel_fails("");
    }
    if (me->state == READY)
        n_ready--; /* came last: goes on */
    else
        switch_to(&home);
    become(thread);
    return me->result;
}

static unsigned active_mask(void) {
    return 1u << self % WARP;
}

static void take_turns(void) {
    int thread = self;
    threads[self].state = READY;
    n_ready++;
    switch_to(&home);
    become(thread);
}

/* Nobody can go on: says why. */
static void deadlock(void) {
    for (int i = 0; i < n_threads; i++) {
        const struct thread *t = &threads[i];
        if (t->state != MEETING || t->meeting < SHIM_WARP) continue;
        unsigned missing = 0;
        int first = i / WARP * WARP;
        for (int lane = 0; lane < WARP; lane++) {
            const struct thread *o = &threads[first + lane];
            if (t->mask >> lane & 1 &&
                (first + lane >= n_threads || o->state != MEETING || o->meeting != t->meeting || o->mask != t->mask))
                missing |= 1u << lane;
        }
        fail("thread %d waits in a warp operation with mask %#x, lanes %#x don't come", i, t->mask, missing);
        return;
    }
    for (int i = 0; i < n_threads; i++)
        if (threads[i].state == MEETING) {
            fail("thread %d waits at the barrier of line %d, others don't come", i, threads[i].operand);
            return;
        }
}

static void run_block(void) {
    for (int i = 0; i < n_threads; i++) threads[i].state = UNSTARTED;
    n_done = 0;
    n_unstarted = n_threads;
    n_ready = 0;
    int next = 0; /* where to look for the next one that is ready */
    while (!failed && n_done < n_threads) {
        if (n_ready) {
            while (threads[nth(next)].state != READY) next = (next + 1) % n_threads;
            int thread = nth(next);
            next = (next + 1) % n_threads;
            n_ready--;
            threads[thread].state = UNSTARTED; /* running */
            switch_to(threads[thread].fiber);
        } else if (n_unstarted) {
            if (!n_idle) {
                if (!prepare(&pool[n_pool])) {
                    fail("no memory for stacks");
                    return;
                }
                idle[n_idle++] = &pool[n_pool++];
            }
            switch_to(idle[--n_idle]);
        } else if (!meet_block()) {
            deadlock();
        }
    }
}

/* Shared memory holds anything when a block begins. Word by word: memset would be the sanitizer's. */
static void poison_shared(const struct shim_module *module) {
#if !SHIM_ASAN
    for (char *p = module->shared; p < module->shared_end; p++) *(volatile char *)p = (char)0xFB;
#endif
    *module->host = &shim_host_functions;
    *module->block_size = launch->block;
    *module->grid = launch->grid;
}

/* Dynamic shared memory: the sanitizer sees what is beside it; else there are guards. It holds anything, too. */
static char *dynamic_new(void) {
    void *all;
    if (!launch->dynamic) return NULL;
    if (posix_memalign(&all, 16, launch->dynamic + 2 * GUARD)) return NULL;
    memset(all, SHIM_GUARD, launch->dynamic + 2 * GUARD);
    return (char *)all + GUARD;
}

static void dynamic_fill(char *dynamic) {
    if (dynamic) memset(dynamic, 0xFB, launch->dynamic);
    *launch->module->dynamic = dynamic;
}

static void dynamic_check(const char *dynamic) {
    for (int i = 0; dynamic && i < GUARD; i++)
        if (dynamic[-1 - i] != SHIM_GUARD || dynamic[launch->dynamic + (unsigned)i] != SHIM_GUARD) {
            fail("it wrote beside its %u bytes of dynamic shared memory", launch->dynamic);
            return;
        }
}

const char *shim_running_kernel(void) {
    return launch ? launch->kernel->name : NULL;
}

bool shim_run_launch(const struct shim_launch *what) {
    launch = what;
    here = &home;
#ifdef __SANITIZE_THREAD__
    home.known = __tsan_get_current_fiber();
#endif
    failed = false;
    backwards = launches++ & 1;
    n_threads = (int)(launch->block.x * launch->block.y * launch->block.z);
    char *dynamic = dynamic_new();
    if (launch->dynamic && !dynamic) fail("no memory for dynamic shared memory");
    unsigned long long n_blocks = (unsigned long long)launch->grid.x * launch->grid.y * launch->grid.z;
    for (unsigned long long i = 0; i < n_blocks && !failed; i++) {
        unsigned long long b = launches & 2 ? n_blocks - 1 - i : i;
        poison_shared(launch->module);
        dynamic_fill(dynamic);
        *launch->module->block =
            (struct shim_dim){(unsigned)(b % launch->grid.x), (unsigned)(b / launch->grid.x % launch->grid.y),
                              (unsigned)(b / launch->grid.x / launch->grid.y)};
        run_block();
        if (!failed) dynamic_check(dynamic);
    }
    if (dynamic) free(dynamic - GUARD);
    const char *name = launch->kernel->name;
    launch = NULL;
    if (failed) {
        shim_lock();
        shim_say("kernel %s: %s", name, failure);
        shim_unlock();
        /* Fibers that were given up begin anew. */
        n_idle = 0;
        for (int i = 0; i < n_pool; i++)
            if (prepare(&pool[i])) idle[n_idle++] = &pool[i];
    }
    return !failed;
}

/* --- what kernels may ask for ------------------------------------------------------------------------------------- */

const struct shim_host shim_host_functions = {
    .meet = meet,
    .active_mask = active_mask,
    .pause = take_turns,
    .fail = kernel_fails,
    .f64 = shim_math_f64,
    .f32 = shim_math_f32,
};
