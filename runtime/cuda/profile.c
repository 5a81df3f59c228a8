/* profile.c: device time of launches and copies, by a pair of events around each. */
#include "runtime/cuda/internal.h"

void cuda_profile(struct cuda_work *work, bool on) {
    work->profiling = on;
}

void cuda_set_tag(struct cuda_work *work, int tag) {
    work->tag = tag;
}

static bool row_events(struct cuda_work *work, struct profile_row *row) {
    const struct driver *driver = &work->device->driver;
    if (driver->cuEventCreate(&row->start, CU_EVENT_DEFAULT) != CUDA_SUCCESS) return false;
    if (driver->cuEventCreate(&row->end, CU_EVENT_DEFAULT) == CUDA_SUCCESS) return true;
    driver->cuEventDestroy(row->start);
    return false;
}

struct profile_row *profile_start(struct cuda_work *work, CUstream stream, int tag, double bytes) {
    if (!work->profiling) return NULL;
    if (work->n_rows == work->rows_capacity) {
        int capacity = work->rows_capacity ? 2 * work->rows_capacity : 64;
        struct profile_row *rows =
            mem_resize(&work->device->heap, work->rows, (size_t)work->rows_capacity * sizeof *rows,
                       (size_t)capacity * sizeof *rows);
        if (!rows) return NULL; /* a row is missing; the call goes on */
        work->rows = rows;
        work->rows_capacity = capacity;
    }
    struct profile_row *row = &work->rows[work->n_rows];
    if (work->n_rows == work->rows_made) {
        if (!row_events(work, row)) return NULL;
        work->rows_made++;
    }
    if (work->device->driver.cuEventRecord(row->start, stream) != CUDA_SUCCESS) return NULL;
    row->tag = tag;
    row->bytes = bytes;
    return row;
}

void profile_end(struct cuda_work *work, CUstream stream, struct profile_row *row) {
    if (row && work->device->driver.cuEventRecord(row->end, stream) == CUDA_SUCCESS) work->n_rows++;
}

void cuda_profile_read(struct cuda_work *work, void (*row)(void *host, int tag, double seconds, double bytes),
                       void *host) {
    struct cuda_device *device = work->device;
    int n = work->n_rows;
    work->n_rows = 0;
    if (n == 0 || !device_enter(device, NULL)) return;
    for (int i = 0; i < n; i++) {
        float milliseconds = 0;
        const struct profile_row *at = &work->rows[i];
        if (device->driver.cuEventElapsedTime(&milliseconds, at->start, at->end) == CUDA_SUCCESS)
            row(host, at->tag, milliseconds * 1e-3, at->bytes);
    }
    device_leave(device);
}

void profile_free(struct cuda_work *work) {
    for (int i = 0; i < work->rows_made; i++) {
        work->device->driver.cuEventDestroy(work->rows[i].start);
        work->device->driver.cuEventDestroy(work->rows[i].end);
    }
    work->rows_made = 0;
}
