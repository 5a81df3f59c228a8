/* npy.h: NumPy's .npy files, versions 1, 2 and 3.
 *
 * Reading maps the file (read-only, private), so a large array costs nothing until it is touched. Three kinds of data
 * are copied into a buffer of our own instead: bytes in the other byte order, elements that do not start at a multiple
 * of their size, and bools that are neither 0 nor 1. Fortran order is a matter of strides, never of a copy.
 *
 * A file that another process shortens while it is mapped makes the next access to the lost part a SIGBUS, as with
 * every mapped file; one that is rewritten in place shows the new bytes. Programs that replace a file by rename, as
 * npy_write does, disturb nobody: the mapping keeps the old file alive.
 *
 * Writing goes to a temporary name in the same folder and is renamed when every byte is out: the file under the final
 * name is whole or untouched, and may be one that is mapped just now.
 *
 * Sizes and strides are int64_t; strides are in bytes and may be negative or 0. Nothing here is shared between calls,
 * so everything may be called from any thread. File names are passed to the system as they are.
 */
#ifndef RUNTIME_NPY_H
#define RUNTIME_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/mem.h"
#include "ir/type.h"

/* The longest header that is accepted, as in NumPy. Only structured types need more, and those are not supported. */
enum { NPY_MAX_HEADER = 10000 };

/* What went wrong: DIAG_FILE, DIAG_UNSUPPORTED or DIAG_MEMORY, and one line that names the file. It has no allocation
 * behind it, so it can be passed on after everything else was released. */
struct npy_error {
    enum diag_code code;
    char text[768];
};

struct npy_header {
    enum dtype dtype;
    int rank;
    int64_t shape[TYPE_MAX_RANK];
    bool fortran_order;
    bool swapped;         /* stored in the byte order that this machine does not use */
    uint64_t data_offset; /* of the first element, in bytes from the start of the file */
    uint64_t data_size;   /* bytes of all elements */
};

/* Parses the start of a file: `bytes` holds its first `size` bytes, of `file_size` in all. All of the header must be
 * inside `bytes` (10,012 bytes always are enough). False with an error if this is no .npy file, if the array is of a
 * kind that Weft has not, or if the data would reach past the file's end. `path` is for the message. */
bool npy_parse(const void *bytes, size_t size, uint64_t file_size, const char *path, struct npy_header *header,
               struct npy_error *error);

/* Reads the header alone: what a compiler wants to know about a file. */
bool npy_read_header(const char *path, struct npy_header *header, struct npy_error *error);

struct npy_array {
    struct npy_header header;
    const void *data;               /* of element [0, …, 0]; never NULL, aligned to the element, not to be written */
    int64_t strides[TYPE_MAX_RANK]; /* bytes */

    /* Private. */
    struct mem *mem;
    void *map, *owned;
    size_t map_size, owned_size;
};

/* Opens an array for reading. After false there is nothing to close. Memory that a copy needs comes from `mem`. */
bool npy_open(const char *path, struct mem *mem, struct npy_array *array, struct npy_error *error);
/* Unmaps or frees the data. An array of zero bytes may be closed too. */
void npy_close(struct npy_array *array);

/* Writes an array, in C order whatever its strides (NULL: it is in C order), with the bytes that numpy.save gives an
 * array in C order. `mem` holds a buffer for the time of the call if the array is strided. An existing file is
 * replaced; a symbolic link is followed; anything that is not a regular file is refused. New files get the
 * permissions 0666 less the umask. */
bool npy_write(const char *path, struct mem *mem, enum dtype dtype, int rank, const int64_t *shape,
               const int64_t *strides, const void *data, struct npy_error *error);

#endif
