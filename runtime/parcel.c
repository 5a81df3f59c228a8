/* parcel.c: how arrays in host memory travel to a GPU. */
#include <string.h>

#include "runtime/gpu.h"

enum { ALONE_BYTES = 1 << 20 }; /* up to here one thread copies */

void parcel_plan(const struct host_array *array, struct parcel *parcel) {
    int64_t steps[TYPE_MAX_RANK], counts[TYPE_MAX_RANK], elements = 1;
    int n = 0;
    *parcel = (struct parcel){0};
    for (int d = 0; d < array->rank; d++) {
        int64_t step = array->stride[d] < 0 ? -array->stride[d] : array->stride[d];
        parcel->shape[d] = step ? array->shape[d] : 1;
        parcel->stride[d] = array->stride[d];
        elements *= parcel->shape[d];
        if (array->shape[d] == 0) parcel->empty = true;
        if (!step || array->shape[d] <= 1) continue;
        if (array->stride[d] < 0) parcel->below += step * (array->shape[d] - 1);
        int at = n++;
        for (; at > 0 && steps[at - 1] > step; at--) steps[at] = steps[at - 1], counts[at] = counts[at - 1];
        steps[at] = step, counts[at] = array->shape[d];
    }
    parcel->bytes = dtype_size(array->type);
    for (int i = 0; i < n; i++) {
        if (steps[i] > parcel->bytes) parcel->is_packed = true; /* a gap */
        parcel->bytes += steps[i] * (counts[i] - 1);
    }
    parcel->from = array->data - parcel->below;
    if (!parcel->is_packed) return;
    parcel->bytes = elements * dtype_size(array->type);
    parcel->below = 0;
    run_contiguous(array->type, array->rank, parcel->shape, parcel->stride);
    for (int d = 0; d < array->rank; d++)
        if (!array->stride[d]) parcel->stride[d] = 0;
}

bool parcel_pack(struct run *run, const struct host_array *array, struct parcel *parcel, struct span span) {
    if (!parcel->is_packed) return true;
    if (!(parcel->packed = pool_take(run->context->pool, (size_t)parcel->bytes))) {
        run->status =
            error_at(run->error, run->function, JIT_MEMORY, span,
                     "out of memory: %lld bytes to pack an array that is copied to the GPU", (long long)parcel->bytes);
        return false;
    }
    parcel_copy(run->threads, array->type, array->rank, parcel->shape, parcel->packed->data, parcel->stride,
                array->data, array->stride);
    parcel->from = parcel->packed->data;
    return true;
}

/* --- copying by several threads ----------------------------------------------------------------------------------- */

struct copying {
    enum dtype type;
    int rank, split; /* the dimension that is shared out */
    const int64_t *shape, *to_stride, *from_stride;
    char *to;
    const char *from;
};

static void copy_part(void *argument, int64_t begin, int64_t end) {
    const struct copying *copying = argument;
    int64_t shape[TYPE_MAX_RANK];
    memcpy(shape, copying->shape, sizeof *shape * (size_t)copying->rank);
    shape[copying->split] = end - begin;
    run_copy(copying->type, copying->rank, shape, copying->to + begin * copying->to_stride[copying->split],
             copying->to_stride, copying->from + begin * copying->from_stride[copying->split], copying->from_stride);
}

void parcel_copy(int threads, enum dtype type, int rank, const int64_t *shape, char *to, const int64_t *to_stride,
                 const char *from, const int64_t *from_stride) {
    struct copying copying = {type, rank, 0, shape, to_stride, from_stride, to, from};
    int64_t bytes = dtype_size(type);
    for (int d = 0; d < rank; d++) {
        bytes *= shape[d];
        if (shape[d] > shape[copying.split]) copying.split = d;
    }
    if (rank == 0 || bytes <= ALONE_BYTES)
        run_copy(type, rank, shape, to, to_stride, from, from_stride);
    else
        threads_run(threads, shape[copying.split], 1, false, copy_part, &copying);
}
