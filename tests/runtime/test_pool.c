#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/pool.h"

static const size_t MiB = 1 << 20;

/* A host's allocator that counts what it holds and fails when told to. */
struct host {
    _Atomic size_t held;
    _Atomic long calls;
    long fail_at; /* the call that fails; 0: none */
};

static void *host_resize(void *state, void *p, size_t old_size, size_t new_size) {
    struct host *host = state;
    if (new_size && ++host->calls == host->fail_at) return NULL;
    if (!new_size) {
        host->held -= old_size;
        free(p);
        return NULL;
    }
    void *block = realloc(p, new_size);
    if (block) host->held += new_size - old_size;
    return block;
}

static void test_sizes(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 0, 64 * MiB);
    size_t previous = 0;
    (void)state;

    assert_non_null(pool);
    for (size_t size = 0; size <= 20 * MiB; size = size < 300 ? size + 1 : size + size / 7 + 1) {
        struct buffer *b = pool_take(pool, size);
        assert_non_null(b);
        assert_int_equal(b->size, size);
        assert_int_equal((uintptr_t)b->data % POOL_ALIGNMENT, 0);
        if (size >= POOL_LARGE) assert_int_equal((uintptr_t)b->data % POOL_HUGE_PAGE, 0);
        if (size) memset(b->data, 0xab, size); /* the sanitizer watches the ends of blocks */
        assert_true(b->capacity >= size);
        if (size > 64) assert_true(b->capacity - size <= size / 4);
        assert_true(size == 0 || b->capacity >= previous || size >= POOL_LARGE);
        previous = b->capacity;
        pool_release(b);
    }
    assert_int_equal(pool_held(pool), pool_kept(pool));
    assert_true(pool_kept(pool) <= 64 * MiB);
    pool_trim(pool);
    assert_int_equal(pool_held(pool), 0);
    assert_int_equal(pool_kept(pool), 0);
    pool_destroy(pool);
    pool_destroy(NULL);
}

static void test_boundaries_of_classes(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 0, 0);
    (void)state;
    for (size_t power = 64; power <= 8 * MiB; power *= 2) {
        for (size_t quarter = 4; quarter < 8; quarter++) {
            for (int d = -1; d <= 1; d++) {
                size_t size = power / 4 * quarter + (size_t)d;
                struct buffer *b = pool_take(pool, size);
                assert_non_null(b);
                assert_true(b->capacity >= size);
                if (d == 0 && size < POOL_LARGE) assert_int_equal(b->capacity, size); /* a class of its own */
                memset(b->data, 1, size);
                pool_release(b);
            }
        }
    }
    assert_int_equal(pool_held(pool), 0); /* nothing is kept by a pool that keeps nothing */
    pool_destroy(pool);
}

static void test_reuses(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 0, 1024 * MiB);
    (void)state;

    for (size_t size = 8; size <= 64 * MiB; size *= 8) {
        struct buffer *a = pool_take(pool, size);
        void *data = a->data;
        pool_release(a);
        struct buffer *b = pool_take(pool, size - size / 64);
        assert_ptr_equal(b->data, data);
        struct buffer *c = pool_take(pool, size);
        assert_ptr_not_equal(c->data, data);
        pool_release(b);
        pool_release(c);
    }

    /* Of the large ones that fit, the tightest; never one that is much too large. */
    pool_trim(pool);
    struct buffer *small = pool_take(pool, 20 * MiB), *middle = pool_take(pool, 22 * MiB),
                  *large = pool_take(pool, 80 * MiB);
    void *small_data = small->data, *middle_data = middle->data, *large_data = large->data;
    pool_release(small);
    pool_release(middle);
    pool_release(large);
    struct buffer *first = pool_take(pool, 20 * MiB - 100), *second = pool_take(pool, 20 * MiB - 100),
                  *third = pool_take(pool, 20 * MiB - 100), *fourth = pool_take(pool, 79 * MiB);
    assert_ptr_equal(first->data, small_data);
    assert_ptr_equal(second->data, middle_data);
    assert_ptr_not_equal(third->data, large_data);
    assert_ptr_equal(fourth->data, large_data);
    pool_release(first);
    pool_release(second);
    pool_release(third);
    pool_release(fourth);
    pool_destroy(pool);
}

static void test_references(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 0, MiB);
    struct buffer *b = pool_take(pool, 1000);
    (void)state;
    assert_ptr_equal(pool_retain(b), b);
    pool_release(b);
    memset(b->data, 7, 1000);
    assert_int_equal(pool_kept(pool), 0);
    pool_release(b);
    assert_true(pool_kept(pool) >= 1000);
    pool_release(NULL);
    pool_destroy(pool);
}

static void test_limit(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 40 * MiB, 40 * MiB);
    (void)state;

    assert_int_equal(pool_limit(pool), 40 * MiB);
    struct buffer *a = pool_take(pool, 20 * MiB), *b = pool_take(pool, 16 * MiB);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(pool_take(pool, 8 * MiB));
    assert_null(pool_take(pool, 5 * MiB));
    struct buffer *c = pool_take(pool, 1000);
    assert_non_null(c);
    pool_release(c);
    /* Kept memory gives way to what is asked for. */
    pool_release(a);
    a = pool_take(pool, 10 * MiB);
    assert_non_null(a);
    struct buffer *d = pool_take(pool, 8 * MiB);
    assert_non_null(d);
    assert_true(pool_held(pool) <= 40 * MiB);
    pool_release(a);
    pool_release(b);
    pool_release(d);

    assert_null(pool_take(pool, SIZE_MAX));
    assert_null(pool_take(pool, SIZE_MAX / 2));
    assert_null(pool_take(pool, 41 * MiB));
    c = pool_take(pool, 40 * MiB);
    assert_non_null(c);
    pool_release(c);
    pool_destroy(pool);

    pool = pool_create(&heap, 0, 0);
    assert_null(pool_take(pool, SIZE_MAX));
    assert_null(pool_take(pool, SIZE_MAX - 4096));
    assert_null(pool_take(pool, PTRDIFF_MAX));
    assert_null(pool_take(pool, (size_t)1 << 60)); /* the system refuses this one */
    assert_int_equal(pool_held(pool), 0);
    pool_destroy(pool);
}

static void test_keeps_within_bounds(void **state) {
    struct mem heap = {0};
    size_t keep = 64 * MiB;
    struct pool *pool = pool_create(&heap, 0, keep);
    (void)state;

    enum { N = 12 };
    struct buffer *all[N];
    for (int i = 0; i < N; i++) assert_non_null(all[i] = pool_take(pool, (size_t)(8 + i) * MiB));
    void *newest = all[N - 1]->data;
    for (int i = 0; i < N; i++) {
        pool_release(all[i]);
        assert_true(pool_kept(pool) <= keep);
    }
    assert_true(pool_kept(pool) >= keep / 4);
    struct buffer *b = pool_take(pool, (8 + N - 1) * MiB);
    assert_ptr_equal(b->data, newest); /* the oldest went, not this one */
    pool_release(b);
    b = pool_take(pool, 200 * MiB); /* larger than all that may be kept, and pushes nothing out */
    size_t kept = pool_kept(pool);
    pool_release(b);
    assert_int_equal(pool_kept(pool), kept);

    static struct buffer *many[2000];
    for (size_t round = 0; round < 4; round++) {
        for (int i = 0; i < 2000; i++) assert_non_null(many[i] = pool_take(pool, 10000 + 5000 * round));
        for (int i = 0; i < 2000; i++) pool_release(many[i]);
        assert_true(pool_kept(pool) <= keep);
    }
    pool_destroy(pool);
}

static void test_buffers_outlive_the_owner(void **state) {
    struct host host = {0};
    struct mem heap = {.resize = host_resize, .host = &host};
    struct pool *pool = pool_create(&heap, 0, 100 * MiB);
    (void)state;

    memset(&heap, 0xff, sizeof heap); /* the pool must not need it any more */
    struct buffer *a = pool_take(pool, 100), *b = pool_take(pool, 6 * MiB), *c = pool_take(pool, 3000);
    pool_release(c);
    assert_int_equal((uintptr_t)b->data % POOL_ALIGNMENT, 0);
    size_t before = host.held;
    pool_destroy(pool);
    assert_true(host.held < before); /* what was kept went at once */
    memset(a->data, 1, 100);
    memset(b->data, 2, 6 * MiB);
    pool_release(b);
    assert_true(host.held < MiB);
    pool_release(pool_retain(a));
    memset(a->data, 3, 100);
    pool_release(a);
    assert_int_equal(host.held, 0);
}

static void test_failed_allocations(void **state) {
    bool done = false;
    (void)state;
    for (long n = 1; !done; n++) {
        struct host host = {.fail_at = n};
        struct mem heap = {.resize = host_resize, .host = &host};
        struct pool *pool = pool_create(&heap, 0, 100 * MiB);
        if (!pool) {
            assert_int_equal(n, 1);
            assert_int_equal(host.held, 0);
            continue;
        }
        struct buffer *a = pool_take(pool, 50), *b = pool_take(pool, 5 * MiB), *c = pool_take(pool, 5000);
        done = a && b && c;
        assert_int_equal(!a + !b + !c, !done); /* one call failed, one buffer is missing */
        pool_release(a);
        pool_release(b);
        pool_release(c);
        pool_destroy(pool);
        assert_int_equal(host.held, 0);
        assert_true(n < 10);
    }

    /* With something kept, a failed allocation is tried again after letting it go. */
    struct host host = {0};
    struct mem heap = {.resize = host_resize, .host = &host};
    struct pool *pool = pool_create(&heap, 0, 100 * MiB);
    pool_release(pool_take(pool, 1000));
    host.fail_at = host.calls + 1;
    struct buffer *b = pool_take(pool, 9000);
    assert_non_null(b);
    assert_int_equal(pool_kept(pool), 0);
    pool_release(b);
    pool_destroy(pool);
    assert_int_equal(host.held, 0);
}

enum { THREADS = 4, SLOTS = 16 };

struct worker {
    struct pool *pool;
    unsigned seed;
    _Atomic long rounds;            /* churn runs until it is 0 */
    struct buffer *_Atomic *shared; /* buffers handed from thread to thread */
};

static void *work(void *argument) {
    struct worker *w = argument;
    static const size_t sizes[] = {8, 100, 100, 4096, 70000, 5 << 20};
    unsigned x = w->seed;
    for (long i = 0; i < w->rounds; i++) {
        x = x * 1664525u + 1013904223u;
        size_t size = sizes[(x >> 20) % 6];
        struct buffer *b = pool_take(w->pool, size);
        if (!b) continue; /* over the limit, which others fill */
        ((unsigned char *)b->data)[0] = ((unsigned char *)b->data)[size - 1] = (unsigned char)x;
        b = atomic_exchange(&w->shared[(x >> 10) % SLOTS], b);
        if (b && ((unsigned char *)b->data)[0] != ((unsigned char *)b->data)[b->size - 1]) return "torn";
        if (b) pool_release(pool_retain(b));
        pool_release(b);
        if ((x >> 5) % 500 == 0) pool_trim(w->pool);
    }
    return NULL;
}

static void test_threads(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 100 * MiB, 40 * MiB);
    struct buffer *_Atomic shared[SLOTS] = {NULL};
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    (void)state;

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){pool, i + 1, 10000, shared};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    /* The last buffers go while and after the owner does. */
    assert_true(pool_held(pool) <= 100 * MiB);
    pool_destroy(pool);
    for (int i = 0; i < SLOTS; i++) pool_release(shared[i]);
}

static void *churn(void *argument) {
    struct worker *w = argument;
    while (atomic_load(&w->rounds)) pool_release(pool_take(w->pool, 100));
    return NULL;
}

/* Children made while another thread is inside the pool, at times with a lock taken. */
static void test_fork(void **state) {
    struct mem heap = {0};
    struct pool *pool = pool_create(&heap, 0, 40 * MiB);
    struct worker worker = {.pool = pool, .rounds = 1};
    struct buffer *inherited = pool_take(pool, 6 * MiB);
    pthread_t thread;
    (void)state;

    memset(inherited->data, 5, 6 * MiB);
    assert_int_equal(pthread_create(&thread, NULL, churn, &worker), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            int bad = ((char *)inherited->data)[MiB] != 5;
            alarm(20);
            for (int k = 0; k < 100; k++) {
                struct buffer *b = pool_take(pool, 100), *c = pool_take(pool, 5 * MiB);
                if (!b || !c) bad = 1;
                if (b) memset(b->data, 1, 100);
                if (c) memset(c->data, 1, 100);
                pool_release(b);
                pool_release(c);
            }
            pool_release(inherited);
            pool_destroy(pool);
            _exit(bad);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    atomic_store(&worker.rounds, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pool_release(inherited);
    pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_boundaries_of_classes),
        cmocka_unit_test(test_reuses),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_keeps_within_bounds),
        cmocka_unit_test(test_buffers_outlive_the_owner),
        cmocka_unit_test(test_failed_allocations),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
