#include "runtime/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/npy_error.h"

enum {
    NPY_BUFFER = 256 * 1024,   /* bytes of the buffer that strided arrays are gathered in */
    NPY_ONE_WRITE = 1 << 30,   /* Linux writes at most 2 GiB less a page at once */
    NPY_HEADER_ALIGNMENT = 64, /* of the data, as NumPy pads it */
    NPY_GROWTH_DIGITS = 21,    /* room NumPy leaves so that the first size can grow in place */
    NPY_HEADER_ROOM = 512,     /* 10 + 60 + 8 sizes of up to 19 digits + 21 + 64 */
};

static bool npy_put(int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size) {
        ssize_t n = write(fd, at, size < NPY_ONE_WRITE ? size : NPY_ONE_WRITE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* NumPy's name of an element type, or NULL. */
static const char *npy_descr(enum dtype dtype) {
    bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    switch (dtype) {
    case TY_BOOL: return "|b1";
    case TY_I8: return "|i1";
    case TY_I16: return little ? "<i2" : ">i2";
    case TY_I32: return little ? "<i4" : ">i4";
    case TY_I64: return little ? "<i8" : ">i8";
    case TY_U8: return "|u1";
    case TY_U16: return little ? "<u2" : ">u2";
    case TY_U32: return little ? "<u4" : ">u4";
    case TY_U64: return little ? "<u8" : ">u8";
    case TY_F32: return little ? "<f4" : ">f4";
    case TY_F64: return little ? "<f8" : ">f8";
    default: return NULL;
    }
}

/* Version 1.0, byte for byte as numpy.save writes it. Returns the length. */
static size_t npy_make_header(char *out, const char *descr, int rank, const int64_t *shape) {
    int n = 10;
    n += sprintf(out + n, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < rank; i++) n += sprintf(out + n, i ? ", %lld" : "%lld", (long long)shape[i]);
    n += sprintf(out + n, "%s), }", rank == 1 ? "," : "");
    if (rank) n += sprintf(out + n, "%*s", NPY_GROWTH_DIGITS - snprintf(NULL, 0, "%lld", (long long)shape[0]), "");
    /* 1 to 64 spaces, then the end of the line. */
    int padding = NPY_HEADER_ALIGNMENT - (n + 1) % NPY_HEADER_ALIGNMENT;
    n += sprintf(out + n, "%*s\n", padding, "");
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)((n - 10) & 0xff);
    out[9] = (char)((n - 10) >> 8);
    return (size_t)n;
}

static void npy_gather(char *to, const char *from, int64_t stride, size_t count, int size) {
    switch (size) {
    case 1:
        for (size_t i = 0; i < count; i++, from += stride) to[i] = *from;
        break;
    case 2:
        for (size_t i = 0; i < count; i++, from += stride) memcpy(to + 2 * i, from, 2);
        break;
    case 4:
        for (size_t i = 0; i < count; i++, from += stride) memcpy(to + 4 * i, from, 4);
        break;
    default:
        for (size_t i = 0; i < count; i++, from += stride) memcpy(to + 8 * i, from, 8);
        break;
    }
}

/* Writes a strided array in C order: rows along the last axis are gathered into the buffer until it is full. */
static bool npy_put_strided(int fd, char *buffer, int size, int rank, const int64_t *shape, const int64_t *strides,
                            const char *data) {
    int64_t index[TYPE_MAX_RANK] = {0};
    size_t room = NPY_BUFFER / (size_t)size, used = 0;

    for (;;) {
        for (int64_t i = 0; i < shape[rank - 1];) {
            size_t count = (size_t)(shape[rank - 1] - i);
            if (count > room - used) count = room - used;
            npy_gather(buffer + used * (size_t)size, data + i * strides[rank - 1], strides[rank - 1], count, size);
            used += count;
            i += (int64_t)count;
            if (used == room) {
                if (!npy_put(fd, buffer, used * (size_t)size)) return false;
                used = 0;
            }
        }
        int axis = rank - 2;
        for (; axis >= 0; axis--) {
            data += strides[axis];
            if (++index[axis] < shape[axis]) break;
            data -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
        if (axis < 0) return npy_put(fd, buffer, used * (size_t)size);
    }
}

static bool npy_in_c_order(int size, int rank, const int64_t *shape, const int64_t *strides) {
    int64_t expected = size;
    if (!strides) return true;
    for (int i = rank - 1; i >= 0; i--) {
        if (shape[i] != 1 && strides[i] != expected) return false;
        expected *= shape[i];
    }
    return true;
}

/* Creates a file with a fresh name beside `path`. open() applies the umask, which cannot be read without changing it
 * for every thread; mkstemp would give 0600. The descriptor, or -1 with errno. */
static int npy_open_temporary(const char *path, char *name, size_t name_size) {
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;

    for (int tries = 0; tries < 100; tries++) {
        uint64_t number;
        if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) {
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            number = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)getpid() << 8 ^ (uint64_t)tries ^ (uintptr_t)name;
        }
        if ((size_t)snprintf(name, name_size, "%.*s.weft-%016llx.tmp", folder, path, (unsigned long long)number) >=
            name_size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

/* The name to replace: what a symbolic link points to, so that the link stays. False if something is there that no
 * rename may replace, such as a device. */
static bool npy_find_target(const char *path, char *target, struct npy_error *error) {
    struct stat info;

    if (strlen(path) >= PATH_MAX) return npy_fail_errno(error, "write", path, "", ENAMETOOLONG);
    if (!*path) return npy_fail_errno(error, "write", path, "", ENOENT);
    if (path[strlen(path) - 1] == '/') return npy_fail(error, DIAG_FILE, "write", path, "it names a folder");
    if (stat(path, &info)) {
        if (errno != ENOENT) return npy_fail_errno(error, "write", path, "", errno);
        if (!lstat(path, &info)) return npy_fail(error, DIAG_FILE, "write", path, "it is a symbolic link to nowhere");
        strcpy(target, path);
        return true;
    }
    if (!S_ISREG(info.st_mode))
        return npy_fail(error, DIAG_FILE, "write", path, "%s",
                        S_ISDIR(info.st_mode) ? "it is a folder" : "it is there and not a regular file");
    if (access(path, W_OK))
        return npy_fail_errno(error, "write", path, "", errno); /* rename would replace a read-only file */
    if (!realpath(path, target)) return npy_fail_errno(error, "write", path, "", errno);
    return true;
}

bool npy_write(const char *path, struct mem *mem, enum dtype dtype, int rank, const int64_t *shape,
               const int64_t *strides, const void *data, struct npy_error *error) {
    char target[PATH_MAX], temporary[PATH_MAX], header[NPY_HEADER_ROOM];
    const char *descr = npy_descr(dtype);
    char *buffer = NULL;
    const char *doing = "";
    int fd = -1;

    if (!descr)
        return npy_fail(error, DIAG_UNSUPPORTED, "write", path, ".npy files with elements of type %s are not supported",
                        dtype_name(dtype));
    if (!npy_find_target(path, target, error)) return false;

    int item = dtype_size(dtype);
    size_t size = (size_t)item;
    for (int i = 0; i < rank; i++) size *= (size_t)shape[i]; /* the array is in memory, so this cannot overflow */
    size_t header_size = npy_make_header(header, descr, rank, shape);

    bool in_order = !size || npy_in_c_order(item, rank, shape, strides);
    if (!in_order && !(buffer = mem_alloc(mem, NPY_BUFFER)))
        return npy_fail(error, DIAG_MEMORY, "write", path, "no memory for a buffer of %d bytes", NPY_BUFFER);

    temporary[0] = '\0';
    fd = npy_open_temporary(target, temporary, sizeof temporary);
    if (fd < 0) {
        doing = "creating a temporary file in its folder: ";
        goto fail;
    }
    if (!npy_put(fd, header, header_size)) goto fail_remove;
    if (in_order ? !npy_put(fd, data, size) : !npy_put_strided(fd, buffer, item, rank, shape, strides, data))
        goto fail_remove;
    int closed = close(fd); /* some file systems report a full disk only here */
    fd = -1;
    if (closed) goto fail_remove;
    if (rename(temporary, target)) {
        doing = "renaming the finished temporary file: ";
        goto fail_remove;
    }
    if (buffer) mem_free(mem, buffer, NPY_BUFFER);
    return true;

fail_remove:;
    int number = errno;
    if (fd >= 0) close(fd);
    unlink(temporary);
    errno = number;
fail:
    npy_fail_errno(error, "write", path, doing, errno);
    if (buffer) mem_free(mem, buffer, NPY_BUFFER);
    return false;
}
