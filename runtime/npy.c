#define _GNU_SOURCE /* strerror_r */
#include "runtime/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/npy_error.h"

enum { NPY_PREFIX = NPY_MAX_HEADER + 12, NPY_ALIGNMENT = 64 };

/* Where the data of empty arrays points. */
static const _Alignas(64) char npy_nothing[64];

bool npy_fail(struct npy_error *error, enum diag_code code, const char *doing, const char *path, const char *format,
              ...) {
    int used = snprintf(error->text, sizeof error->text, "cannot %s '%.400s': ", doing, path);
    va_list args;

    va_start(args, format);
    vsnprintf(error->text + used, sizeof error->text - (size_t)used, format, args);
    va_end(args);
    error->code = code;
    return false;
}

bool npy_fail_errno(struct npy_error *error, const char *doing, const char *path, const char *step, int number) {
    char reason[128];
    /* GNU's strerror_r: it need not use the buffer. strerror is not for threads. */
    return npy_fail(error, number == ENOMEM ? DIAG_MEMORY : DIAG_FILE, doing, path, "%s%s", step,
                    strerror_r(number, reason, sizeof reason));
}

/* Opens the file and parses its header. The descriptor, or -1. */
static int npy_open_file(const char *path, struct npy_header *header, uint64_t *file_size, struct npy_error *error) {
    unsigned char prefix[NPY_PREFIX];
    size_t got = 0;
    struct stat info;

    /* O_NONBLOCK: opening a pipe that nobody writes to would wait for ever. It changes nothing for regular files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        npy_fail_errno(error, "read", path, "", errno);
        return -1;
    }
    if (fstat(fd, &info)) {
        npy_fail_errno(error, "read", path, "", errno);
        goto fail;
    }
    if (!S_ISREG(info.st_mode)) {
        npy_fail(error, DIAG_FILE, "read", path, "%s",
                 S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
        goto fail;
    }
    *file_size = (uint64_t)info.st_size;
    while (got < sizeof prefix) {
        ssize_t n = pread(fd, prefix + got, sizeof prefix - got, (off_t)got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            npy_fail_errno(error, "read", path, "", errno);
            goto fail;
        }
        if (n == 0) break;
        got += (size_t)n;
    }
    if (npy_parse(prefix, got, *file_size, path, header, error)) return fd;
fail:
    close(fd);
    return -1;
}

bool npy_read_header(const char *path, struct npy_header *header, struct npy_error *error) {
    uint64_t file_size;
    int fd = npy_open_file(path, header, &file_size, error);
    if (fd < 0) return false;
    close(fd);
    return true;
}

static void npy_set_strides(struct npy_array *array) {
    const struct npy_header *h = &array->header;
    int64_t stride = dtype_size(h->dtype);

    /* As NumPy: a size of 0 counts as 1, so that an empty array has the strides of a non-empty one. */
    for (int k = 0; k < h->rank; k++) {
        int i = h->fortran_order ? k : h->rank - 1 - k;
        array->strides[i] = stride;
        if (h->shape[i]) stride *= h->shape[i]; /* npy_parse has checked the product */
    }
}

static bool npy_has_odd_bools(const unsigned char *bytes, size_t size) {
    unsigned char any = 0;
    for (size_t i = 0; i < size; i++) any |= bytes[i];
    return any > 1;
}

/* `to` is aligned, `from` need not be. */
static void npy_convert(void *to, const void *from, size_t size, const struct npy_header *header) {
    memcpy(to, from, size);
    if (header->dtype == TY_BOOL) {
        unsigned char *p = to;
        for (size_t i = 0; i < size; i++) p[i] = p[i] != 0;
        return;
    }
    if (!header->swapped) return;
    switch (dtype_size(header->dtype)) {
    case 2:
        for (size_t i = 0; i < size / 2; i++) ((uint16_t *)to)[i] = __builtin_bswap16(((uint16_t *)to)[i]);
        break;
    case 4:
        for (size_t i = 0; i < size / 4; i++) ((uint32_t *)to)[i] = __builtin_bswap32(((uint32_t *)to)[i]);
        break;
    case 8:
        for (size_t i = 0; i < size / 8; i++) ((uint64_t *)to)[i] = __builtin_bswap64(((uint64_t *)to)[i]);
        break;
    }
}

bool npy_open(const char *path, struct mem *mem, struct npy_array *array, struct npy_error *error) {
    uint64_t file_size;

    memset(array, 0, sizeof *array);
    array->mem = mem;
    array->data = npy_nothing;
    int fd = npy_open_file(path, &array->header, &file_size, error);
    if (fd < 0) return false;

    const struct npy_header *h = &array->header;
    npy_set_strides(array);
    if (!h->data_size) {
        close(fd);
        return true;
    }
    /* data_offset + data_size is at most the file's size, but that need not fit into a 32-bit address space. */
    uint64_t end = h->data_offset + h->data_size;
    void *map = end <= SIZE_MAX ? mmap(NULL, (size_t)end, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    int number = end <= SIZE_MAX ? errno : ENOMEM;
    close(fd);
    if (map == MAP_FAILED) {
        npy_fail_errno(error, "read", path, "mapping it into memory: ", number);
        return false;
    }
    array->map = map;
    array->map_size = (size_t)end;
    const unsigned char *bytes = (const unsigned char *)map + h->data_offset;
    array->data = bytes;

    bool aligned = h->data_offset % (unsigned)dtype_size(h->dtype) == 0;
    bool odd = h->dtype == TY_BOOL && npy_has_odd_bools(bytes, (size_t)h->data_size);
    if (aligned && !h->swapped && !odd) return true;

    size_t owned_size = (size_t)h->data_size;
    if (__builtin_add_overflow(owned_size, NPY_ALIGNMENT, &owned_size) ||
        !(array->owned = mem_alloc(mem, owned_size))) {
        npy_fail(error, DIAG_MEMORY, "read", path, "no memory for a copy of its %llu bytes in %s",
                 (unsigned long long)h->data_size, h->swapped ? "this machine's byte order" : "aligned form");
        npy_close(array);
        return false;
    }
    array->owned_size = owned_size;
    void *to = (void *)(((uintptr_t)array->owned + NPY_ALIGNMENT - 1) / NPY_ALIGNMENT * NPY_ALIGNMENT);
    npy_convert(to, bytes, (size_t)h->data_size, h);
    munmap(array->map, array->map_size);
    array->map = NULL;
    array->data = to;
    return true;
}

void npy_close(struct npy_array *array) {
    if (array->map) munmap(array->map, array->map_size);
    if (array->owned) mem_free(array->mem, array->owned, array->owned_size);
    array->map = array->owned = NULL;
    array->data = npy_nothing;
}
