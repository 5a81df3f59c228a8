/* stream.c: see shim.h. Two threads work the queues off: while one runs a kernel the other does what else may be done.
 * They do what is demanded, and nothing else. */
#include <pthread.h>

#include "shim.h"

void shim_lock(void);
void shim_unlock(void);
void shim_sleep(void);

static int workers;
static bool kernel_runs;
static double kernel_began;
static CUcontext kernel_context;
static unsigned turn; /* changes who goes first */
static unsigned long long last_serial;

/* --- marks: records of events
 * ------------------------------------------------------------------------------------------ */

static void release_mark(struct shim_mark *mark) {
    if (mark && !--mark->references) free(mark);
}

static void demand(CUstream stream, unsigned long long number) {
    if (stream->demanded < number) {
        stream->demanded = number;
        shim_signal_change();
    }
}

/* --- working
 * ------------------------------------------------------------------------------------------------------------ */

static void set_memory(const struct shim_op *op) {
    char *to = op->to;
    switch (op->unit) {
    case 1: memset(to, (int)op->value, op->size); break;
    case 2:
        for (size_t i = 0; i < op->size; i++) ((unsigned short *)to)[i] = (unsigned short)op->value;
        break;
    default:
        /* A word at a time as seen by a running kernel. */
        for (size_t i = 0; i < op->size; i++) __atomic_store_n((unsigned *)to + i, op->value, __ATOMIC_RELAXED);
        break;
    }
}

/* What an operation leaves behind, done or not. */
static void finish_op(struct shim_op *op) {
    if (op->mark) {
        if (op->kind == OP_RECORD) {
            op->mark->time = shim_now();
            op->mark->done = true;
        }
        release_mark(op->mark);
    }
    if (op->kind == OP_FREE) shim_free_memory(op->memory);
    free(op->staged);
    free(op->launch);
    free(op);
}

static void perform(CUstream stream, struct shim_op *op) {
    CUcontext context = stream->object.context;
    if (!context->dead) {
        switch (op->kind) {
        case OP_COPY: memmove(op->to, op->from, op->size); break;
        case OP_SET: set_memory(op); break;
        case OP_HOST:
            shim_unlock();
            op->host(op->host_data);
            shim_lock();
            break;
        case OP_KERNEL: {
            kernel_runs = true;
            kernel_context = context;
            kernel_began = shim_now();
            double until = kernel_began + shim_settings.delay;
            while (shim_now() < until) shim_wait_change();
            shim_unlock();
            bool ok = shim_run_launch(op->launch);
            shim_lock();
            kernel_runs = false;
            if (ok && !shim_check_guards()) ok = false;
            if (!ok && !context->dead) context->dead = CUDA_ERROR_LAUNCH_FAILED;
            break;
        }
        case OP_RECORD:
        case OP_WAIT:
        case OP_FREE: break;
        }
    }
    finish_op(op);
}

/* Whether all of a stream that was put there before the operation `serial` of another is done. Demands it. */
static bool is_past(CUstream stream, unsigned long long serial) {
    unsigned long long last = 0;
    for (const struct shim_op *op = stream->head; op && op->serial < serial; op = op->next) last = op->number;
    if (last) demand(stream, last);
    return !last && !(stream->running && stream->running_serial < serial);
}

/* The default stream and the ones that are not CU_STREAM_NON_BLOCKING come after one another. */
static bool is_its_turn(CUstream stream, unsigned long long serial) {
    CUstream null_stream = stream->object.context->null_stream;
    bool turn = true;
    if (stream->flags & 1) return true;
    if (stream != null_stream) return is_past(null_stream, serial);
    for (struct shim_object *o = shim_first_object(); o; o = o->next) {
        CUstream other = (CUstream)o;
        if (o->kind != KIND_STREAM || o->context != stream->object.context) continue;
        if (other != stream && !(other->flags & 1) && !is_past(other, serial)) turn = false;
    }
    return turn;
}

/* Whether the first operation of a stream can be done now. Demands what it waits for. */
static bool runnable(CUstream stream) {
    const struct shim_op *op = stream->head;
    if (stream->running || !op) return false;
    if (stream->object.context->dead) return !(op->kind == OP_FREE && kernel_runs);
    if (op->number > stream->demanded || !is_its_turn(stream, op->serial)) return false;
    if (op->kind == OP_KERNEL) return !kernel_runs;
    if (op->kind == OP_WAIT && op->mark && !op->mark->done) {
        demand(op->mark->stream, op->mark->number);
        return false;
    }
    return true;
}

static void free_stream(CUstream stream) {
    shim_remove_object(stream);
    free(stream);
}

/* One operation of some stream. False: there is none. */
static bool step(void) {
    CUstream found = NULL;
    unsigned seen = 0;
    /* A demand can make an earlier stream runnable: then something changed, and we are called again. */
    for (struct shim_object *o = shim_first_object(); o; o = o->next) {
        if (o->kind != KIND_STREAM || !runnable((CUstream)o)) continue;
        if (!found || turn++ % (++seen + 1) == 0) found = (CUstream)o;
    }
    if (!found) return false;
    struct shim_op *op = found->head;
    unsigned long long number = op->number;
    if (!(found->head = op->next)) found->tail = NULL;
    found->running = true;
    found->running_serial = op->serial;
    perform(found, op);
    found->running = false;
    found->done = number;
    if (found->doomed && !found->head) free_stream(found);
    shim_signal_change();
    return true;
}

static void demand_everything(void) {
    for (struct shim_object *o = shim_first_object(); o; o = o->next)
        if (o->kind == KIND_STREAM) demand((CUstream)o, ((CUstream)o)->queued);
}

static void *work(void *nothing) {
    (void)nothing;
    shim_lock();
    for (;;) {
        while (step()) {
        }
        /* An operation that this round demanded may stand in a stream that was looked at before. */
        if (step()) continue;
        if (kernel_runs) {
            if (shim_now() - kernel_began > shim_settings.patience) demand_everything();
            shim_wait_change();
        } else {
            shim_sleep();
        }
    }
    return NULL;
}

static bool start_workers(void) {
    for (; workers < 2; workers++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL)) return workers > 0;
        pthread_detach(thread);
    }
    return true;
}

/* --- queues
 * ---------------------------------------------------------------------------------------------------------------- */

CUresult shim_queue(CUstream stream, const struct shim_op *op) {
    struct shim_op *copy = malloc(sizeof *copy);
    if (!copy || !start_workers()) {
        free(copy);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *copy = *op;
    copy->next = NULL;
    copy->number = ++stream->queued;
    copy->serial = ++last_serial;
    if (stream->tail)
        stream->tail->next = copy;
    else
        stream->head = copy;
    stream->tail = copy;
    stream->queries = 0;
    if (!shim_settings.lazy) demand(stream, stream->queued);
    return CUDA_SUCCESS;
}

static bool is_done(CUstream stream, unsigned long long number) {
    return stream->done >= number;
}

CUresult shim_finish(CUstream stream) {
    CUcontext context = stream->object.context;
    unsigned long long number = stream->queued;
    demand(stream, number);
    shim_signal_change();
    while (shim_is_object(stream, KIND_STREAM) && !is_done(stream, number) && !(context->dead && kernel_runs))
        shim_wait_change();
    return context->dead;
}

CUresult shim_finish_context(CUcontext context) {
    for (struct shim_object *o = shim_first_object(); o; o = o->next)
        if (o->kind == KIND_STREAM && o->context == context) demand((CUstream)o, ((CUstream)o)->queued);
    shim_signal_change();
    for (;;) {
        bool busy = false;
        for (struct shim_object *o = shim_first_object(); o; o = o->next) {
            CUstream s = (CUstream)o;
            if (o->kind == KIND_STREAM && o->context == context && s->done < s->demanded) busy = true;
        }
        if (!busy || (context->dead && kernel_runs)) return context->dead;
        shim_wait_change();
    }
}

void shim_wait_idle(void) {
    while (kernel_runs) shim_wait_change();
}

CUstream shim_stream(CUstream handle) {
    CUcontext context = shim_current();
    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) return context->null_stream;
    if (!shim_is_object(handle, KIND_STREAM) || handle->doomed) {
        shim_say("no stream: %p", (void *)handle);
        return NULL;
    }
    return handle;
}

CUstream shim_new_stream(CUcontext context, unsigned flags, int priority) {
    CUstream stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    shim_add_object(stream, KIND_STREAM, context);
    stream->flags = flags;
    stream->priority = priority;
    return stream;
}

static void free_event(CUevent event) {
    release_mark(event->mark);
    shim_remove_object(event);
    free(event);
}

void shim_free_streams_of(CUcontext context) {
    /* All ops are done, or dropped one by one since the context is dead. */
    for (;;) {
        bool busy = false;
        for (struct shim_object *o = shim_first_object(); o; o = o->next)
            if (o->kind == KIND_STREAM && o->context == context && (((CUstream)o)->head || ((CUstream)o)->running))
                busy = true;
        if (!busy) break;
        shim_signal_change();
        shim_wait_change();
    }
    for (struct shim_object *o = shim_first_object(), *next; o; o = next) {
        next = o->next;
        if (o->context != context) continue;
        if (o->kind == KIND_STREAM)
            free_stream((CUstream)o);
        else if (o->kind == KIND_EVENT)
            free_event((CUevent)o);
    }
}

/* --- the driver's functions
 * ---------------------------------------------------------------------------------------------------- */

static CUresult create_stream(CUstream *out, unsigned flags, int priority) {
    if (!out || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    CUstream stream = shim_new_stream(shim_current(), flags, priority);
    if (!stream) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = stream;
    return CUDA_SUCCESS;
}

SHIM_API cuStreamCreate(CUstream *out, unsigned flags) {
    ENTER(NEED_CONTEXT);
    return create_stream(out, flags, 0);
}
SHIM_API cuStreamCreateWithPriority(CUstream *out, unsigned flags, int priority) {
    ENTER(NEED_CONTEXT);
    return create_stream(out, flags, priority);
}

SHIM_API cuStreamDestroy_v2(CUstream handle) {
    ENTER(NEED_CONTEXT | RELEASES);
    CUstream stream = handle ? shim_stream(handle) : NULL;
    if (!stream || stream == stream->object.context->null_stream) return CUDA_ERROR_INVALID_HANDLE;
    demand(stream, stream->queued);
    if (stream->head || stream->running)
        stream->doomed = true;
    else
        free_stream(stream);
    RELEASED(CUDA_SUCCESS);
}

SHIM_API cuStreamSynchronize(CUstream handle) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    return stream ? shim_finish(stream) : CUDA_ERROR_INVALID_HANDLE;
}

SHIM_API cuStreamQuery(CUstream handle) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (is_done(stream, stream->queued)) return CUDA_SUCCESS;
    if (++stream->queries >= 3) demand(stream, stream->queued);
    return CUDA_ERROR_NOT_READY;
}

SHIM_API cuStreamWaitEvent(CUstream handle, CUevent event, unsigned flags) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream || !shim_is_object(event, KIND_EVENT)) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    if (!event->mark) return CUDA_SUCCESS; /* never recorded: nothing to wait for */
    event->mark->references++;
    CUresult result = shim_queue(stream, &(struct shim_op){.kind = OP_WAIT, .mark = event->mark});
    if (result) release_mark(event->mark);
    return result;
}

SHIM_API cuStreamGetCtx(CUstream handle, CUcontext *context) {
    ENTER(NEED_INIT);
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
        *context = shim_current();
        return *context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    }
    if (!shim_is_object(handle, KIND_STREAM)) return CUDA_ERROR_INVALID_HANDLE;
    *context = handle->object.context;
    return CUDA_SUCCESS;
}

SHIM_API cuStreamGetDevice(CUstream handle, CUdevice *device) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = stream->object.context->device;
    return CUDA_SUCCESS;
}

SHIM_API cuStreamGetFlags(CUstream handle, unsigned *flags) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

SHIM_API cuStreamGetPriority(CUstream handle, int *priority) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!priority) return CUDA_ERROR_INVALID_VALUE;
    *priority = stream->priority;
    return CUDA_SUCCESS;
}

SHIM_API cuStreamIsCapturing(CUstream handle, int *status) {
    ENTER(NEED_CONTEXT);
    if (!shim_stream(handle)) return CUDA_ERROR_INVALID_HANDLE;
    if (!status) return CUDA_ERROR_INVALID_VALUE;
    *status = 0;
    return CUDA_SUCCESS;
}

SHIM_API cuLaunchHostFunc(CUstream handle, void (*function)(void *), void *data) {
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    return shim_queue(stream, &(struct shim_op){.kind = OP_HOST, .host = function, .host_data = data});
}

SHIM_API cuStreamWriteValue32_v2(CUstream handle, CUdeviceptr address, uint32_t value, unsigned flags) {
    (void)flags;
    ENTER(NEED_CONTEXT);
    CUstream stream = shim_stream(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    void *to = (void *)(uintptr_t)address;
    if (address % 4 || !shim_find_memory(to, 4)) return CUDA_ERROR_INVALID_VALUE;
    return shim_queue(stream, &(struct shim_op){.kind = OP_SET, .to = to, .size = 1, .unit = 4, .value = value});
}

/* --- events ---------------------------------------------------------------------------------------------------- */

SHIM_API cuEventCreate(CUevent *out, unsigned flags) {
    ENTER(NEED_CONTEXT);
    if (!out || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    CUevent event = calloc(1, sizeof *event);
    if (!event) return CUDA_ERROR_OUT_OF_MEMORY;
    shim_add_object(event, KIND_EVENT, shim_current());
    event->flags = flags;
    *out = event;
    return CUDA_SUCCESS;
}

SHIM_API cuEventDestroy_v2(CUevent event) {
    ENTER(NEED_CONTEXT | RELEASES);
    if (!shim_is_object(event, KIND_EVENT)) return CUDA_ERROR_INVALID_HANDLE;
    free_event(event);
    RELEASED(CUDA_SUCCESS);
}

static CUresult record(CUevent event, CUstream handle) {
    CUstream stream = shim_stream(handle);
    if (!stream || !shim_is_object(event, KIND_EVENT)) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->object.context != event->object.context) return CUDA_ERROR_INVALID_HANDLE;
    struct shim_mark *mark = calloc(1, sizeof *mark);
    if (!mark) return CUDA_ERROR_OUT_OF_MEMORY;
    *mark = (struct shim_mark){.references = 2, .stream = stream, .number = stream->queued + 1};
    CUresult result = shim_queue(stream, &(struct shim_op){.kind = OP_RECORD, .mark = mark});
    if (result) {
        free(mark);
        return result;
    }
    release_mark(event->mark);
    event->mark = mark;
    event->queries = 0;
    return CUDA_SUCCESS;
}

SHIM_API cuEventRecord(CUevent event, CUstream stream) {
    ENTER(NEED_CONTEXT);
    return record(event, stream);
}
SHIM_API cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
    ENTER(NEED_CONTEXT);
    return flags > 1 ? CUDA_ERROR_INVALID_VALUE : record(event, stream);
}

SHIM_API cuEventQuery(CUevent event) {
    ENTER(NEED_CONTEXT);
    if (!shim_is_object(event, KIND_EVENT)) return CUDA_ERROR_INVALID_HANDLE;
    if (!event->mark || event->mark->done) return CUDA_SUCCESS;
    if (++event->queries >= 3) demand(event->mark->stream, event->mark->number);
    return CUDA_ERROR_NOT_READY;
}

SHIM_API cuEventSynchronize(CUevent event) {
    ENTER(NEED_CONTEXT);
    if (!shim_is_object(event, KIND_EVENT)) return CUDA_ERROR_INVALID_HANDLE;
    struct shim_mark *mark = event->mark;
    if (!mark || mark->done) return CUDA_SUCCESS;
    CUcontext context = event->object.context;
    mark->references++;
    demand(mark->stream, mark->number);
    while (!mark->done && !(context->dead && kernel_runs)) shim_wait_change();
    release_mark(mark);
    return context->dead;
}

SHIM_API cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
    ENTER(NEED_CONTEXT);
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    if (!shim_is_object(start, KIND_EVENT) || !shim_is_object(end, KIND_EVENT)) return CUDA_ERROR_INVALID_HANDLE;
    if (!start->mark || !end->mark || ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!start->mark->done || !end->mark->done) return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((end->mark->time - start->mark->time) * 1e3);
    return CUDA_SUCCESS;
}

SHIM_API cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}
