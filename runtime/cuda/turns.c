/* turns.c: computations in pieces: the copies of two and the launch of a third at once. Three streams, ordered by two
 * events a turn: main waits for a piece's uploads, `back` for its launch, and the turn's memory is not written to
 * again, by uploads or a launch, before `back` has read what was computed. */
#include "runtime/cuda/internal.h"

static bool turns_make(struct cuda_work *work, struct cuda_failure *failure) {
    if (!copy_prepare(work, failure) || !copy_prepare_back(work, failure)) return false;
    for (int i = 0; i < 2 * CUDA_TURNS; i++) {
        CUevent *event = i % 2 ? &work->turns[i / 2].computed : &work->turns[i / 2].drained;
        if (!*event &&
            !DEVICE_CALL(work->device, "preparing copies", failure, cuEventCreate, event, CU_EVENT_DISABLE_TIMING)) {
            *event = NULL;
            return false;
        }
    }
    return true;
}

void turns_free(struct cuda_work *work) {
    for (int i = 0; i < CUDA_TURNS; i++) {
        if (work->turns[i].computed) work->device->driver.cuEventDestroy(work->turns[i].computed);
        if (work->turns[i].drained) work->device->driver.cuEventDestroy(work->turns[i].drained);
    }
}

bool cuda_turns_begin(struct cuda_work *work, struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = turns_make(work, failure) && copy_order(work, work->main, work->copy, failure);
    device_leave(work->device);
    return done;
}

static bool wait_for(struct cuda_work *work, CUstream stream, CUevent event, struct cuda_failure *failure) {
    return DEVICE_CALL(work->device, "ordering copies", failure, cuStreamWaitEvent, stream, event, 0);
}

static bool record(struct cuda_work *work, CUevent event, CUstream stream, struct cuda_failure *failure) {
    return DEVICE_CALL(work->device, "ordering copies", failure, cuEventRecord, event, stream);
}

bool cuda_turn_begin(struct cuda_work *work, int turn, bool again, struct cuda_failure *failure) {
    if (!again) return true;
    if (!device_enter(work->device, failure)) return false;
    CUevent drained = work->turns[turn].drained;
    bool done = wait_for(work, work->copy, drained, failure) && wait_for(work, work->main, drained, failure);
    device_leave(work->device);
    return done;
}

bool cuda_turn_upload(struct cuda_work *work, uint64_t to, const void *from, size_t size, bool staged,
                      struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = copy_beside(work, to, from, size, staged, failure);
    device_leave(work->device);
    return done;
}

bool cuda_turn_computed(struct cuda_work *work, int turn, struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = record(work, work->turns[turn].computed, work->main, failure);
    device_leave(work->device);
    return done;
}

bool cuda_turn_download(struct cuda_work *work, int turn, void *to, uint64_t from, size_t size,
                        struct cuda_failure *failure) {
    if (!device_enter(work->device, failure)) return false;
    bool done = wait_for(work, work->back, work->turns[turn].computed, failure) &&
                copy_back(work, to, from, size, failure) &&
                record(work, work->turns[turn].drained, work->back, failure);
    device_leave(work->device);
    return done;
}
