/* fork.c: fork() waits for compiles in other threads to end, so that no lock, of ours or inside LLVM, is left held in
 * the child by a thread that does not exist there. The handlers go with the library when it is unloaded: glibc ties
 * them to it. */
#define _GNU_SOURCE
#include "runtime/runtime.h"

/* Compiles share it, a fork has it alone, and goes before further compiles. Nothing that holds it takes it again. */
static pthread_rwlock_t compiling = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_once_t registering = PTHREAD_ONCE_INIT;
static bool registered;
static _Atomic int generation;

static void before_fork(void) {
    pthread_rwlock_wrlock(&compiling);
}
static void in_parent(void) {
    pthread_rwlock_unlock(&compiling);
}

/* The lock's owner has another id here: it is made anew. */
static void in_child(void) {
    static const pthread_rwlock_t fresh = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    compiling = fresh;
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void fork_register(void) {
    registered = pthread_atfork(before_fork, in_parent, in_child) == 0;
}

bool fork_prepare(void) {
    pthread_once(&registering, fork_register);
    return registered;
}

void fork_hold(void) {
    pthread_rwlock_rdlock(&compiling);
}
void fork_allow(void) {
    pthread_rwlock_unlock(&compiling);
}

int fork_generation(void) {
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
