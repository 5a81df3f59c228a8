/* driver.c: see shim.h. */
#include <pthread.h>
#include <time.h>

#include "shim.h"

/* --- the lock, and every call's entry ----------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

bool shim_initialised;
static bool forked;

static struct counter {
    char name[64];       /* without _v2 */
    long calls, fail_at; /* fail_at: the number of the call that fails */
    int error;
} counters[160];
static int n_counters;
static struct counter all;

struct shim_gpu shim_gpu[SHIM_MAX_DEVICES];
int shim_gpus;
struct shim_settings shim_settings;
static char message[1000];

static void settings_default(void) {
    shim_settings = (struct shim_settings){.patience = 0.005, .lazy = !getenv("SHIM_EAGER"), .driver_version = 13000};
    shim_gpus = 1;
    for (int i = 0; i < SHIM_MAX_DEVICES; i++) {
        shim_gpu[i].arch = 90;
        shim_gpu[i].multiprocessors = 4;
        shim_gpu[i].memory = (size_t)1 << 32;
    }
}

/* A child of fork() has no CUDA if its parent had. */
static void in_child(void) {
    forked = shim_initialised;
}

__attribute__((constructor)) static void load(void) {
    settings_default();
    pthread_atfork(NULL, NULL, in_child);
}

double shim_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void shim_wait_change(void) {
    /* A timeout, so that what depends on time alone is seen. */
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 2000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&change, &lock, &t);
}

void shim_signal_change(void) {
    pthread_cond_broadcast(&change);
}

void shim_lock(void) {
    pthread_mutex_lock(&lock);
}
void shim_unlock(void) {
    pthread_mutex_unlock(&lock);
}
void shim_sleep(void) {
    pthread_cond_wait(&change, &lock);
}

void shim_say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    if (!shim_settings.quiet) fprintf(stderr, "fake CUDA: %s\n", message);
}

/* cuMemAlloc_v2 is cuMemAlloc. */
static size_t name_length(const char *name) {
    size_t n = strlen(name);
    return n > 3 && name[n - 3] == '_' && name[n - 2] == 'v' ? n - 3 : n;
}

static struct counter *counter_of(const char *name) {
    size_t n = name_length(name);
    for (int i = 0; i < n_counters; i++)
        if (!strncmp(counters[i].name, name, n) && !counters[i].name[n]) return &counters[i];
    if (n_counters == sizeof counters / sizeof *counters || n >= sizeof counters->name) abort();
    memcpy(counters[n_counters].name, name, n);
    return &counters[n_counters++];
}

static const char *failed_call = "";

static CUresult enter(const char *function, int need) {
    struct counter *counter = counter_of(function);
    counter->calls++, all.calls++;
    if (counter->fail_at == counter->calls || all.fail_at == all.calls) {
        failed_call = function;
        return counter->fail_at == counter->calls ? counter->error : all.error;
    }
    if ((need & NEED_INIT) && !shim_initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (need != NEED_NOTHING && shim_settings.lost) return shim_settings.lost;
    if ((need & NEED_CONTEXT) == NEED_CONTEXT) {
        CUcontext context = shim_current();
        if (!context) return CUDA_ERROR_INVALID_CONTEXT;
        if (!shim_is_object(context, KIND_CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        return context->dead;
    }
    return CUDA_SUCCESS;
}

CUresult shim_enter(struct shim_entry *entry, const char *function, int need) {
    if (forked) return CUDA_ERROR_NOT_INITIALIZED;
    shim_lock();
    entry->locked = true;
    CUresult result = enter(function, need);
    if (!(need & RELEASES)) return result;
    /* Without a context there is nothing to release from. */
    if (result == CUDA_ERROR_INVALID_CONTEXT || result == CUDA_ERROR_CONTEXT_IS_DESTROYED ||
        result == CUDA_ERROR_NOT_INITIALIZED)
        return result;
    entry->answer = result;
    return CUDA_SUCCESS;
}

void shim_leave(struct shim_entry *entry) {
    if (entry->locked) shim_unlock();
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static struct shim_object *objects;

struct shim_object *shim_first_object(void) {
    return objects;
}

void shim_add_object(void *object, enum shim_kind kind, CUcontext context) {
    struct shim_object *o = object;
    *o = (struct shim_object){.kind = kind, .context = context, .next = objects};
    if (objects) objects->previous = o;
    objects = o;
}

void shim_remove_object(void *object) {
    struct shim_object *o = object;
    if (o->next) o->next->previous = o->previous;
    *(o->previous ? &o->previous->next : &objects) = o->next;
}

bool shim_is_object(const void *object, enum shim_kind kind) {
    for (struct shim_object *o = objects; o; o = o->next)
        if (o == object) return o->kind == kind;
    return false;
}

/* --- control.h ---------------------------------------------------------------------------------------------------- */

#define CONTROL EXPORT
struct shim_hold {
    char held;
};
static void let_go(struct shim_hold *hold) {
    (void)hold;
    shim_signal_change();
    shim_unlock();
}
#define HOLD                                                                                                           \
    __attribute__((cleanup(let_go), unused)) struct shim_hold hold;                                                    \
    shim_lock()

CONTROL void shim_reset(void) {
    HOLD;
    settings_default();
    memset(counters, 0, sizeof counters);
    n_counters = 0;
    all = (struct counter){0};
    message[0] = 0;
}

CONTROL void shim_set_math(const struct shim_math *math) {
    HOLD;
    shim_settings.math = math ? *math : (struct shim_math){0};
}

static const char *const function_names[] = {
#define SHIM_FUNCTION(name, arity) #name,
#include "functions.def"
#undef SHIM_FUNCTION
};
CONTROL int shim_math_count(void) {
    return SHIM_FUNCTIONS;
}
CONTROL const char *shim_math_name(int function) {
    return function >= 0 && function < SHIM_FUNCTIONS ? function_names[function] : NULL;
}

CONTROL void shim_set_devices(int count) {
    HOLD;
    shim_gpus = count < 0 ? 0 : count > SHIM_MAX_DEVICES ? SHIM_MAX_DEVICES : count;
}
CONTROL void shim_set_arch(int device, int arch) {
    HOLD;
    shim_gpu[device].arch = arch;
}
CONTROL void shim_set_memory(int device, size_t bytes) {
    HOLD;
    shim_gpu[device].memory = bytes;
}
CONTROL void shim_set_multiprocessors(int device, int count) {
    HOLD;
    shim_gpu[device].multiprocessors = count;
}
CONTROL void shim_set_driver_version(int version) {
    HOLD;
    shim_settings.driver_version = version;
}
CONTROL void shim_set_attribute(int attribute, int value) {
    HOLD;
    if (attribute <= 0 || attribute > CU_DEVICE_ATTRIBUTE_LAST) return;
    shim_settings.attribute[attribute] = value;
    shim_settings.attribute_given[attribute] = true;
}

CONTROL void shim_fail(const char *call, long nth, int error) {
    HOLD;
    struct counter *counter = call ? counter_of(call) : &all;
    counter->fail_at = nth > 0 ? counter->calls + nth : 0;
    counter->error = error;
}
CONTROL void shim_fail_at(long nth) {
    shim_fail(NULL, nth, CUDA_ERROR_UNKNOWN);
}
CONTROL const char *shim_failed(void) {
    HOLD;
    return failed_call;
}

CONTROL void shim_lose_device(int error) {
    HOLD;
    shim_settings.lost = error;
    for (struct shim_object *o = objects; o && error; o = o->next)
        if (o->kind == KIND_CONTEXT) ((CUcontext)o)->dead = error;
}

CONTROL long shim_calls(const char *call) {
    HOLD;
    return call ? counter_of(call)->calls : all.calls;
}

CONTROL void shim_get_live(struct shim_live *live) {
    HOLD;
    *live = (struct shim_live){0};
    for (struct shim_object *o = objects; o; o = o->next) {
        CUstream stream = (CUstream)o;
        switch (o->kind) {
        case KIND_CONTEXT: break;
        case KIND_STREAM: live->streams += stream != o->context->null_stream && !stream->doomed; break;
        case KIND_EVENT: live->events++; break;
        case KIND_MODULE: live->modules++; break;
        case KIND_POOL: live->pools++; break;
        }
    }
    for (int i = 0; i < SHIM_MAX_DEVICES; i++) {
        live->contexts += shim_gpu[i].primary_references;
        live->pools -= shim_gpu[i].pool != NULL; /* the device's own */
    }
    shim_count_memory(live);
}

CONTROL long shim_objects(void) {
    struct shim_live live;
    shim_get_live(&live);
    return live.allocations + live.pinned + live.streams + live.events + live.modules + live.pools + live.contexts;
}

CONTROL void shim_set_patience(double seconds) {
    HOLD;
    shim_settings.patience = seconds;
}
CONTROL void shim_set_delay(double seconds) {
    HOLD;
    shim_settings.delay = seconds;
}
CONTROL void shim_set_lazy(bool lazy) {
    HOLD;
    shim_settings.lazy = lazy;
}
CONTROL void shim_set_quiet(bool quiet) {
    HOLD;
    shim_settings.quiet = quiet;
}
CONTROL const char *shim_message(void) {
    return message;
}
