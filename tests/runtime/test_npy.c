#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/npy.h"
#include "runtime/npy_goldens.h"

static char folder[64];
static struct mem heap;

static const char *name_file(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *put_file(const char *name, const void *bytes, size_t size) {
    const char *path = name_file(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static size_t get_file(const char *path, char *bytes, size_t room) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(bytes, 1, room, f);
    fclose(f);
    return size;
}

/* How many files lie in the test's folder. */
static int count_files(void) {
    char command[128], line[32] = "";
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    pclose(f);
    return atoi(line);
}

/* A version 1 file with this dictionary, padded as little as possible; then `data` zero bytes. */
static const char *put_header(const char *dictionary, size_t data) {
    char bytes[20000] = "\x93NUMPY\x01\x00";
    size_t length = strlen(dictionary);
    assert_true(10 + length + data <= sizeof bytes);
    bytes[8] = (char)(length & 0xff);
    bytes[9] = (char)(length >> 8);
    memcpy(bytes + 10, dictionary, length);
    return put_file("header.npy", bytes, 10 + length + data);
}

static double get_value(enum dtype dtype, const void *p) {
    switch (dtype) {
    case TY_BOOL: return *(const bool *)p;
    case TY_I8: return *(const int8_t *)p;
    case TY_I16: return *(const int16_t *)p;
    case TY_I32: return *(const int32_t *)p;
    case TY_I64: return (double)*(const int64_t *)p;
    case TY_U8: return *(const uint8_t *)p;
    case TY_U16: return *(const uint16_t *)p;
    case TY_U32: return *(const uint32_t *)p;
    case TY_U64: return (double)*(const uint64_t *)p;
    case TY_F32: return *(const float *)p;
    case TY_F64: return *(const double *)p;
    default: fail(); return 0;
    }
}

static void check_arange(const struct npy_array *a) {
    const struct npy_header *h = &a->header;
    int64_t count = 1;
    for (int i = 0; i < h->rank; i++) count *= h->shape[i];
    for (int64_t n = 0; n < count; n++) {
        const char *p = a->data;
        for (int64_t axis = h->rank - 1, rest = n; axis >= 0; rest /= h->shape[axis], axis--)
            p += rest % h->shape[axis] * a->strides[axis];
        assert_int_equal((uintptr_t)p % (unsigned)dtype_size(h->dtype), 0);
        assert_true(get_value(h->dtype, p) == (double)(h->dtype == TY_BOOL ? n % 2 : n));
    }
}

static void test_reads_numpy(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof npy_goldens / sizeof *npy_goldens; i++) {
        const char *path = put_file("in.npy", npy_goldens[i].bytes, npy_goldens[i].size);
        struct npy_error error;
        struct npy_header h;
        struct npy_array a;

        assert_true(npy_read_header(path, &h, &error));
        assert_true(npy_open(path, &heap, &a, &error));
        assert_memory_equal(&h, &a.header, sizeof h);
        assert_int_equal(h.dtype, npy_goldens[i].dtype);
        assert_int_equal(h.rank, npy_goldens[i].rank);
        for (int k = 0; k < h.rank; k++) assert_int_equal(h.shape[k], npy_goldens[i].shape[k]);
        assert_int_equal(h.swapped, npy_goldens[i].swapped);
        assert_int_equal(h.fortran_order, npy_goldens[i].fortran);
        assert_int_equal(h.data_offset + h.data_size, npy_goldens[i].size);
        check_arange(&a);
        npy_close(&a);
        npy_close(&a);
    }
    assert_int_equal(heap.used, 0);
}

static void test_writes_as_numpy(void **state) {
    char bytes[4096];
    int written = 0;
    (void)state;
    for (size_t i = 0; i < sizeof npy_goldens / sizeof *npy_goldens; i++) {
        if (!npy_goldens[i].saved) continue;
        struct npy_error error;
        struct npy_array a;
        assert_true(npy_open(put_file("in.npy", npy_goldens[i].bytes, npy_goldens[i].size), &heap, &a, &error));
        const char *path = name_file("out.npy");
        assert_true(npy_write(path, &heap, a.header.dtype, a.header.rank, a.header.shape, a.strides, a.data, &error));
        assert_int_equal(get_file(path, bytes, sizeof bytes), npy_goldens[i].size);
        assert_memory_equal(bytes, npy_goldens[i].bytes, npy_goldens[i].size);
        assert_true(npy_write(path, &heap, a.header.dtype, a.header.rank, a.header.shape, NULL, a.data, &error));
        assert_int_equal(get_file(path, bytes, sizeof bytes), npy_goldens[i].size);
        assert_memory_equal(bytes, npy_goldens[i].bytes, npy_goldens[i].size);
        npy_close(&a);
        written++;
    }
    assert_true(written > 11);
    assert_int_equal(heap.used, 0);
}

static void test_refuses_other_types(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof npy_refused / sizeof *npy_refused; i++) {
        struct npy_error error;
        struct npy_header h;
        assert_false(npy_read_header(put_file("in.npy", npy_refused[i].bytes, npy_refused[i].size), &h, &error));
        assert_int_equal(error.code, DIAG_UNSUPPORTED);
        assert_non_null(strstr(error.text, npy_refused[i].error));
        assert_non_null(strstr(error.text, "in.npy"));
    }
}

/* Spellings that Python reads as the same dictionary, or that older NumPy wrote. */
static void test_accepts_spellings(void **state) {
    static const char *const spellings[] = {
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n",
        "{'shape':(2,3),'fortran_order':False,'descr':'<f8'}",
        " {\"shape\" : ( 2 , 3 , ) ,\n\t\"fortran_order\" : False , \"descr\" : '<f8' , } \n \n",
        "{'descr': 'f8', 'fortran_order': False, 'shape': (2L, 3L), }",
        "{'descr': '=f8', 'fortran_order': False, 'shape': (2, 3)}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct npy_error error;
        struct npy_array a;
        if (!npy_open(put_header(spellings[i], 48 + 5), &heap, &a, &error)) fail_msg("%s", error.text);
        assert_int_equal(a.header.dtype, TY_F64);
        assert_int_equal(a.header.rank, 2);
        assert_int_equal(a.header.shape[0], 2);
        assert_int_equal(a.header.shape[1], 3);
        assert_int_equal((uintptr_t)a.data % 8, 0); /* copied when the header's length leaves it odd */
        assert_true(((const double *)a.data)[5] == 0);
        npy_close(&a);
    }
}

static void test_refuses_bad_headers(void **state) {
    static const struct {
        const char *dictionary, *error;
    } bad[] = {
        {"", "ends where a dictionary"},
        {"[]", "expected a dictionary ('{'), found \"[]\""},
        {"{", "ends where a key"},
        {"{}", "no key 'descr'"},
        {"{'descr': '<f8', 'fortran_order': False}", "no key 'shape'"},
        {"{'descr': '<f8', 'shape': (2, 3)}", "no key 'fortran_order'"},
        {"{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", "'descr' twice"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), 'shape': (1,)}", "'shape' twice"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", "unknown key 'x'"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)} x", "nothing after"},
        {"{'descr': '<f8' 'fortran_order': False, 'shape': (2, 3)}", "expected ',' or '}'"},
        {"{'descr': '<f8', 'fortran_order': 0, 'shape': (2, 3)}", "True or False"},
        {"{'descr': '<f8', 'fortran_order': Falsey, 'shape': (2, 3)}", "True or False"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2)}", "expected a tuple"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': 2}", "expected the shape"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': [2, 3]}", "expected the shape"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2 3)}", "expected ',' or ')'"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,, 3)}", "expected a size"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3)}", "negative"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2.0, 3)}", "expected ',' or ')'"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3", "ends where"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775808,)}", "63 bits"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,)}", "63 bits"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807,)}", "more elements than memory"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "more elements than memory"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}", "more elements than memory"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000,)}", "cut short: its shape needs 8000000 bytes"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7,)}", "needs 56 bytes of data, it has 48"},
        {"{'descr': '|f8', 'fortran_order': False, 'shape': (2, 3)}", "byte order"},
        {"{'descr': '<f88', 'fortran_order': False, 'shape': (2, 3)}", "'<f88' (float) is not supported"},
        {"{'descr': '<', 'fortran_order': False, 'shape': (2, 3)}", "'<' is not supported"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2, 3)}", "'' is not supported"},
        {"{'descr': '<f8\\x00', 'fortran_order': False, 'shape': (2, 3)}", "expected the element type"},
        {"{'descr': '<\1\2', 'fortran_order': False, 'shape': (2, 3)}", "'<?\?' is not supported"},
        {"{'descr': '<f8, 'fortran_order': False, 'shape': (2, 3)}", "not supported"},
        {"{'descr': ('<f8', (2,)), 'fortran_order': False, 'shape': (2, 3)}", "expected the element type"},
        {"{descr: '<f8', 'fortran_order': False, 'shape': (2, 3)}", "key in quotes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct npy_error error = {0};
        struct npy_array a;
        assert_false(npy_open(put_header(bad[i].dictionary, 48), &heap, &a, &error));
        if (!strstr(error.text, bad[i].error)) fail_msg("%s\n gave %s", bad[i].dictionary, error.text);
        assert_non_null(strstr(error.text, "header.npy': "));
        assert_null(strchr(error.text, '\n'));
    }
    assert_int_equal(heap.used, 0);
}

/* Every prefix of a file is refused, and none reads past its end. */
static void test_refuses_every_prefix(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof npy_goldens / sizeof *npy_goldens; i++) {
        if (!strstr(npy_goldens[i].name, "version") && strcmp(npy_goldens[i].name, "matrix")) continue;
        for (size_t size = 0; size < npy_goldens[i].size; size++) {
            struct npy_error error = {0};
            struct npy_header h;
            char *copy = malloc(size ? size : 1);
            memcpy(copy, npy_goldens[i].bytes, size);
            assert_false(npy_parse(copy, size, size, "x", &h, &error));
            assert_true(error.code == DIAG_FILE);
            assert_true(strlen(error.text) > 20);
            free(copy);
        }
    }
}

static void test_refuses_lengths(void **state) {
    static char bytes[70000] = "\x93NUMPY\x02";
    struct npy_error error;
    struct npy_header h;
    (void)state;

    memcpy(bytes + 8, "\xff\xff\xff\xff", 4);
    assert_false(npy_read_header(put_file("in.npy", bytes, sizeof bytes), &h, &error));
    assert_non_null(strstr(error.text, "says it is 4294967295 bytes long, but the file ends after 70000"));
    memcpy(bytes + 8, "\x00\x00\x01\x00", 4);
    assert_false(npy_read_header(put_file("in.npy", bytes, sizeof bytes), &h, &error));
    assert_non_null(strstr(error.text, "at most 10000"));
    bytes[6] = 4;
    assert_false(npy_read_header(put_file("in.npy", bytes, sizeof bytes), &h, &error));
    assert_non_null(strstr(error.text, "version 4.0"));
    assert_false(npy_read_header(put_file("in.npy", "hello, world", 12), &h, &error));
    assert_non_null(strstr(error.text, "no .npy file"));
    assert_false(npy_read_header(put_file("in.npy", "", 0), &h, &error));
    assert_non_null(strstr(error.text, "empty"));

    /* A header of just the longest length is read. */
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, "\x93NUMPY\x01\x00\x10\x27{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", 65);
    assert_true(npy_read_header(put_file("in.npy", bytes, 10010 + 3), &h, &error));
    assert_int_equal(h.data_offset, 10010);
}

static void test_odd_files(void **state) {
    struct npy_error error;
    struct npy_header h;
    (void)state;

    assert_false(npy_read_header(name_file("missing.npy"), &h, &error));
    assert_int_equal(error.code, DIAG_FILE);
    assert_non_null(strstr(error.text, "missing.npy': No such file"));
    assert_false(npy_read_header(folder, &h, &error));
    assert_non_null(strstr(error.text, "it is a folder"));
    assert_int_equal(mkfifo(name_file("pipe"), 0600), 0);
    assert_false(npy_read_header(name_file("pipe"), &h, &error)); /* and does not hang */
    assert_non_null(strstr(error.text, "not a regular file"));
    unlink(name_file("pipe"));

    char *long_name = malloc(5001);
    memset(long_name, 'x', 5000);
    long_name[5000] = '\0';
    assert_false(npy_read_header(long_name, &h, &error));
    assert_non_null(strstr(error.text, "name too long"));
    assert_false(npy_write(long_name, &heap, TY_F64, 0, NULL, NULL, &(double){1}, &error));
    assert_non_null(strstr(error.text, "name too long"));
    free(long_name);
}

static void test_bools_are_0_or_1(void **state) {
    struct npy_error error;
    struct npy_array a;
    char bytes[] = "\x93NUMPY\x01\x00\x36\x00{'descr': '|b1', 'fortran_order': False, 'shape':(4,)}\x02\x00\xff\x01";
    (void)state;
    if (!npy_open(put_file("in.npy", bytes, sizeof bytes - 1), &heap, &a, &error)) fail_msg("%s", error.text);
    assert_memory_equal(a.data, "\1\0\1\1", 4);
    npy_close(&a);
    assert_int_equal(heap.used, 0);
}

static void test_copy_can_fail(void **state) {
    struct mem little = {.limit = 10};
    struct npy_error error;
    struct npy_array a;
    (void)state;
    for (size_t i = 0; i < sizeof npy_goldens / sizeof *npy_goldens; i++) {
        if (!npy_goldens[i].swapped) continue;
        assert_false(npy_open(put_file("in.npy", npy_goldens[i].bytes, npy_goldens[i].size), &little, &a, &error));
        assert_int_equal(error.code, DIAG_MEMORY);
        assert_int_equal(little.used, 0);
    }
    double x[4] = {0};
    assert_false(npy_write(name_file("never.npy"), &little, TY_F64, 1, (int64_t[]){2}, (int64_t[]){16}, x, &error));
    assert_int_equal(error.code, DIAG_MEMORY);
    assert_int_equal(access(name_file("never.npy"), F_OK), -1);
}

static void check_round_trip(int rank, const int64_t *shape, const int64_t *strides, const double *data) {
    struct npy_error error;
    struct npy_array a;
    const char *path = name_file("out.npy");
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= shape[i];
    if (!npy_write(path, &heap, TY_F64, rank, shape, strides, data, &error)) fail_msg("%s", error.text);
    if (!npy_open(path, &heap, &a, &error)) fail_msg("%s", error.text);
    assert_false(a.header.fortran_order);
    for (int64_t n = 0; n < count; n++) {
        const char *p = (const char *)data;
        for (int64_t axis = rank - 1, rest = n; axis >= 0; rest /= shape[axis], axis--)
            p += rest % shape[axis] * strides[axis];
        assert_true(((const double *)a.data)[n] == *(const double *)p);
    }
    npy_close(&a);
}

static void test_writes_strided(void **state) {
    enum { N = 200000 };
    double *x = malloc(N * sizeof *x);
    (void)state;
    for (int i = 0; i < N; i++) x[i] = i;
    check_round_trip(1, (int64_t[]){N}, (int64_t[]){-8}, x + N - 1);            /* longer than the buffer */
    check_round_trip(2, (int64_t[]){3, 50000}, (int64_t[]){8, 24}, x);          /* a transpose */
    check_round_trip(2, (int64_t[]){50000, 3}, (int64_t[]){8, 400000}, x);      /* Fortran order */
    check_round_trip(2, (int64_t[]){4, 50000}, (int64_t[]){0, 8}, x);           /* broadcast rows */
    check_round_trip(3, (int64_t[]){2, 1, 5}, (int64_t[]){800, -12345, 16}, x); /* the stride of a size 1 is free */
    check_round_trip(4, (int64_t[]){2, 3, 4, 5}, (int64_t[]){8, 80, -800, 16}, x + 5000);
    check_round_trip(2, (int64_t[]){0, 7}, (int64_t[]){-8, 3}, x);
    check_round_trip(2, (int64_t[]){1, 1}, (int64_t[]){0, 0}, x);
    free(x);
    assert_int_equal(heap.used, 0);

    int16_t s[6] = {0, 1, 2, 3, 4, 5};
    struct npy_error error;
    struct npy_array a;
    assert_true(npy_write(name_file("out.npy"), &heap, TY_I16, 1, (int64_t[]){3}, (int64_t[]){-4}, s + 5, &error));
    assert_true(npy_open(name_file("out.npy"), &heap, &a, &error));
    assert_memory_equal(a.data, ((int16_t[]){5, 3, 1}), 6);
    npy_close(&a);
}

/* A file may be overwritten by an array that is mapped from it. */
static void test_writes_over_its_source(void **state) {
    struct npy_error error;
    struct npy_array a, b;
    double x[] = {1, 2, 3, 4};
    const char *path = name_file("self.npy");
    (void)state;
    assert_true(npy_write(path, &heap, TY_F64, 1, (int64_t[]){4}, NULL, x, &error));
    assert_true(npy_open(path, &heap, &a, &error));
    assert_true(
        npy_write(path, &heap, TY_F64, 1, (int64_t[]){2}, (int64_t[]){-16}, (const double *)a.data + 3, &error));
    assert_true(((const double *)a.data)[3] == 4);
    assert_true(npy_open(path, &heap, &b, &error));
    assert_int_equal(b.header.shape[0], 2);
    assert_true(((const double *)b.data)[0] == 4 && ((const double *)b.data)[1] == 2);
    npy_close(&a);
    npy_close(&b);
    unlink(path);
}

static void test_permissions_and_links(void **state) {
    struct npy_error error;
    struct stat info;
    char target[256], link[256];
    double x = 1;
    (void)state;

    mode_t old = umask(027);
    assert_true(npy_write(name_file("mode.npy"), &heap, TY_F64, 0, NULL, NULL, &x, &error));
    umask(old);
    assert_int_equal(stat(name_file("mode.npy"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);

    strcpy(target, name_file("mode.npy"));
    strcpy(link, name_file("link.npy"));
    assert_int_equal(symlink("mode.npy", link), 0);
    assert_true(npy_write(link, &heap, TY_F32, 0, NULL, NULL, &(float){2}, &error));
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    struct npy_header h;
    assert_true(npy_read_header(target, &h, &error));
    assert_int_equal(h.dtype, TY_F32);
    unlink(link);
    unlink(target);
}

static void test_failed_writes_leave_nothing(void **state) {
    struct npy_error error;
    static double x[100000];
    char old[64] = "the old file", now[64] = "";
    char keep[256];
    (void)state;

    assert_false(npy_write("/nonexistent-folder/x.npy", &heap, TY_F64, 0, NULL, NULL, x, &error));
    assert_string_equal(error.text,
                        "cannot write '/nonexistent-folder/x.npy': creating a temporary file in its folder: "
                        "No such file or directory");
    assert_false(npy_write(folder, &heap, TY_F64, 0, NULL, NULL, x, &error));
    assert_non_null(strstr(error.text, "it is a folder"));
    assert_false(npy_write("/dev/null", &heap, TY_F64, 0, NULL, NULL, x, &error));
    assert_non_null(strstr(error.text, "not a regular file"));
    assert_false(npy_write("", &heap, TY_F64, 0, NULL, NULL, x, &error));
    assert_false(npy_write(name_file("h.npy"), &heap, TY_F16, 0, NULL, NULL, x, &error));
    assert_int_equal(error.code, DIAG_UNSUPPORTED);
    assert_non_null(strstr(error.text, "f16"));

    /* A full disk, played by a limit on the size of files. */
    strcpy(keep, put_file("keep.npy", old, sizeof old));
    int files = count_files();
    struct rlimit limit, small = {0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small.rlim_max = limit.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t size = 0; size <= 500000; size += 100000) {
        for (int stride = 8; stride >= -8; stride -= 16) {
            small.rlim_cur = size;
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
            bool done = npy_write(keep, &heap, TY_F64, 1, (int64_t[]){100000}, (int64_t[]){stride},
                                  stride > 0 ? x : x + 99999, &error);
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
            assert_false(done);
            assert_int_equal(error.code, DIAG_FILE);
            assert_non_null(strstr(error.text, "File too large"));
            assert_int_equal(get_file(keep, now, sizeof now), sizeof now);
            assert_memory_equal(now, old, sizeof old);
            assert_int_equal(count_files(), files);
        }
    }
    signal(SIGXFSZ, handler);
    assert_int_equal(heap.used, 0);
}

static int make_folder(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/weft-npy-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    static const char *const names[] = {"in.npy", "out.npy", "header.npy", "keep.npy"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(name_file(names[i]));
    return rmdir(folder); /* fails if a test left something else behind */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_numpy),           cmocka_unit_test(test_writes_as_numpy),
        cmocka_unit_test(test_refuses_other_types),   cmocka_unit_test(test_accepts_spellings),
        cmocka_unit_test(test_refuses_bad_headers),   cmocka_unit_test(test_refuses_every_prefix),
        cmocka_unit_test(test_refuses_lengths),       cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_bools_are_0_or_1),      cmocka_unit_test(test_copy_can_fail),
        cmocka_unit_test(test_writes_strided),        cmocka_unit_test(test_writes_over_its_source),
        cmocka_unit_test(test_permissions_and_links), cmocka_unit_test(test_failed_writes_leave_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
