/* fuzz_npy.c: any bytes as a .npy file.
 *
 * Checks that reading never touches what is not there, and that what was read can be written and read back the same.
 * With clang, -fsanitize=fuzzer and -DWEFT_LIBFUZZER this is a libFuzzer target. Otherwise it has a main of its own: it
 * mutates files that NumPy wrote for `fuzz_npy SECONDS [SEED]` (2 seconds, seed 1), so that every compiler can run it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "runtime/npy.h"
#include "runtime/npy_goldens.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition);                                   \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void check_error(const struct npy_error *error) {
    size_t length = strnlen(error->text, sizeof error->text);
    CHECK(error->code == DIAG_FILE || error->code == DIAG_UNSUPPORTED || error->code == DIAG_MEMORY);
    CHECK(length > 0 && length < sizeof error->text);
    for (size_t i = 0; i < length; i++) CHECK(error->text[i] >= ' ' && error->text[i] <= '~');
}

/* The elements in C order, one after the other. */
static char *collect(const struct npy_array *a) {
    const struct npy_header *h = &a->header;
    size_t item = (size_t)dtype_size(h->dtype), count = (size_t)h->data_size / item;
    char *all = malloc(h->data_size ? h->data_size : 1);

    CHECK(all);
    for (size_t n = 0; n < count; n++) {
        const char *p = a->data;
        size_t rest = n;
        for (int axis = h->rank - 1; axis >= 0; axis--) {
            p += (int64_t)(rest % (size_t)h->shape[axis]) * a->strides[axis];
            rest /= (size_t)h->shape[axis];
        }
        CHECK((uintptr_t)p % item == 0);
        memcpy(all + n * item, p, item);
    }
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct mem heap = {.limit = 1 << 24};
    struct npy_error error = {0};
    struct npy_header header;
    struct npy_array a, b;
    char path[64], folder[] = "/tmp/weft-fuzz-XXXXXX", out[64];

    /* From memory that ends exactly where the input does. */
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy);
    if (size) memcpy(copy, bytes, size);
    bool parsed = npy_parse(copy, size, size, "input", &header, &error);
    free(copy);
    if (!parsed) check_error(&error);

    int fd = memfd_create("npy", MFD_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, bytes + done, size - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (npy_open(path, &heap, &a, &error)) {
        CHECK(parsed && !memcmp(&a.header, &header, sizeof header));
        CHECK(header.data_offset + header.data_size <= size);
        char *all = collect(&a);
        /* Writing needs a folder, which is slow: only now and then. */
        if (size % 8 == 0) {
            CHECK(mkdtemp(folder));
            snprintf(out, sizeof out, "%s/o.npy", folder);
            CHECK(npy_write(out, &heap, header.dtype, header.rank, header.shape, a.strides, a.data, &error));
            CHECK(npy_open(out, &heap, &b, &error));
            CHECK(b.header.dtype == header.dtype && b.header.rank == header.rank && !b.header.fortran_order);
            CHECK(!memcmp(b.header.shape, header.shape, sizeof header.shape));
            CHECK(b.header.data_size == header.data_size && !memcmp(b.data, all, header.data_size));
            npy_close(&b);
            unlink(out);
            rmdir(folder);
        }
        free(all);
        npy_close(&a);
    } else {
        check_error(&error);
        CHECK(!parsed);
    }
    CHECK(heap.used == 0);
    close(fd);
    return 0;
}

#ifndef WEFT_LIBFUZZER

static uint64_t next(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static size_t mutate(uint8_t *bytes, size_t size, size_t room, uint64_t *state) {
    static const char *const words[] = {"{",
                                        "}",
                                        "(",
                                        ")",
                                        ",",
                                        "'",
                                        "\"",
                                        ":",
                                        "-1",
                                        "0",
                                        "L",
                                        "True",
                                        "False",
                                        "descr",
                                        "shape",
                                        "fortran_order",
                                        ">",
                                        "<",
                                        "|",
                                        "f4",
                                        "?",
                                        "b1",
                                        "9223372036854775807",
                                        "4294967296",
                                        "\\",
                                        "\n",
                                        "'<f8'",
                                        "(1,)",
                                        "18446744073709551616"};
    for (uint64_t edits = 1 + next(state) % 4; edits; edits--) {
        size_t at = size ? next(state) % size : 0;
        if (next(state) % 2 && at > 80) at %= 80; /* the header is where it matters */
        switch (next(state) % 6) {
        case 0:
            if (size) bytes[at] = (uint8_t)next(state);
            break;
        case 1:
            if (size) bytes[at] ^= (uint8_t)(1u << next(state) % 8);
            break;
        case 2: size = at; break;
        case 3: { /* a word over what is there */
            const char *word = words[next(state) % (sizeof words / sizeof *words)];
            size_t length = strlen(word);
            if (at + length <= size) memcpy(bytes + at, word, length);
            break;
        }
        case 4: { /* a word between */
            const char *word = words[next(state) % (sizeof words / sizeof *words)];
            size_t length = strlen(word);
            if (size + length > room) break;
            memmove(bytes + at + length, bytes + at, size - at);
            memcpy(bytes + at, word, length);
            size += length;
            if (next(state) % 2 && size > 10) bytes[8] = (uint8_t)(bytes[8] + length);
            break;
        }
        case 5: { /* a stretch away */
            size_t length = next(state) % 8;
            if (at + length > size) break;
            memmove(bytes + at, bytes + at + length, size - at - length);
            size -= length;
            break;
        }
        }
    }
    return size;
}

int main(int argc, char **argv) {
    enum { FILES = sizeof npy_goldens / sizeof *npy_goldens, OTHERS = sizeof npy_refused / sizeof *npy_refused };
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct timespec start, now;
    uint8_t bytes[4096];
    long runs = 0;

    if (!(seconds > 0) || !state) {
        fprintf(stderr, "usage: fuzz_npy [SECONDS [SEED]], both above 0\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        size_t file = next(&state) % (FILES + OTHERS);
        size_t size = file < FILES ? npy_goldens[file].size : npy_refused[file - FILES].size;
        memcpy(bytes, file < FILES ? npy_goldens[file].bytes : npy_refused[file - FILES].bytes, size);
        size = mutate(bytes, size, sizeof bytes, &state);
        LLVMFuzzerTestOneInput(bytes, size);
        runs++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec) < seconds);
    printf("fuzz_npy: %ld files, nothing wrong\n", runs);
    return 0;
}

#endif
