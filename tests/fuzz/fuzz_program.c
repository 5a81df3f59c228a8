/* fuzz_program.c: any text as a program, all the way: compiled under small limits and called.
 *
 * The seeds are the programs of tests/corpus with their own inputs, and those below; they are mutated as text and as
 * tokens. Checks that every failure carries a status and a message, that the memory of generated code stays inside its
 * arrays (inputs and outputs end at a page that may not be touched), that the same call gives the same bits on one
 * thread and on two and whether or not Weft allocates the result, that jit_output_shape agrees with the result, and
 * that nothing takes longer than a watchdog allows.
 *
 * With clang, -fsanitize=fuzzer and -DWEFT_LIBFUZZER this is a libFuzzer target. Otherwise it has a main of its own:
 * `fuzz_program SECONDS [SEED]` (3 seconds, seed 1). The program at fault is written to stderr.
 */
#define _GNU_SOURCE
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <weft/jit.h>

#include "corpus/corpus.h"
#include "fuzz/mutate.h"

enum { MOST_INPUTS = 12, MOST_OUTPUTS = 16, MOST_BYTES = 1 << 18, CANCEL_MS = 300, GIVE_UP_TICKS = 200 };

/* --- when something is wrong -------------------------------------------------------------------------------------- */

static char text[MOST_TEXT + 1]; /* the program being tried */
static size_t text_length;
static const char *doing = "";
static uint64_t seed_of_run;
static volatile int cancel;
static volatile int ticks;

static void write_text(void) {
    char head[128];
    int n = snprintf(head, sizeof head, "\n--- fuzz_program, seed %llu, while %s:\n", (unsigned long long)seed_of_run,
                     doing);
    if (write(2, head, (size_t)n) < 0 || write(2, text, text_length) < 0 || write(2, "\n---\n", 5) < 0) return;
}

static void died(int number) {
    write_text();
    signal(number, SIG_DFL);
    raise(number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition);                                   \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Every CANCEL_MS while a text is tried: the first cancels its calls, the last gives up on it. */
static void tick(int number) {
    cancel = 1;
    if (++ticks >= GIVE_UP_TICKS) {
        static const char message[] = "fuzz_program: the watchdog gave up\n";
        if (write(2, message, sizeof message - 1) < 0) _exit(3);
        died(number == SIGALRM ? SIGABRT : number);
    }
}

static void watch(bool on) {
    struct itimerval timer = {{0, on ? CANCEL_MS * 1000 : 0}, {0, on ? CANCEL_MS * 1000 : 0}};
    cancel = 0, ticks = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* --- arrays that end where memory ends ---------------------------------------------------------------------------- */

enum { MOST_ARRAYS = MOST_INPUTS + MOST_OUTPUTS };
static char *rooms[MOST_ARRAYS]; /* MOST_BYTES each, a page without access on either side */

static void rooms_make(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < MOST_ARRAYS; i++) {
        char *p = mmap(NULL, MOST_BYTES + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED && mprotect(p + page, MOST_BYTES, PROT_READ | PROT_WRITE) == 0);
        rooms[i] = p + page;
    }
}

struct array {
    DLTensor tensor;
    int64_t shape[8], strides[8];
};

static int64_t item_size(DLDataType type) {
    return type.bits / 8;
}

/* Lays `a` out against the end (or the start) of room `room`. False if it does not fit. */
static bool array_place(struct array *a, int room, bool plain) {
    int64_t item = item_size(a->tensor.dtype), low = 0, high = 0, step = 1;
    int layout = plain ? 0 : (int)below(5); /* C order, gaps, reversed, broadcast, Fortran order */
    for (int k = a->tensor.ndim - 1; k >= 0; k--) {
        int d = layout == 4 ? a->tensor.ndim - 1 - k : k;
        int64_t stride = layout == 2 && below(2) ? -step : layout == 3 && below(2) ? 0 : step;
        a->strides[d] = stride;
        int64_t reach = a->shape[d] > 0 ? (a->shape[d] - 1) * stride : 0;
        if (reach < 0)
            low += reach;
        else
            high += reach;
        step *= (a->shape[d] > 0 ? a->shape[d] : 1) + (layout == 1 ? (int64_t)below(3) : 0);
        if (step > MOST_BYTES / item) return false;
    }
    int64_t span = (high - low + 1) * item;
    if (span > MOST_BYTES) return false;
    bool end = plain || below(4) > 0;
    a->tensor.data = rooms[room] + (end ? MOST_BYTES - span : 0) - low * item;
    a->tensor.shape = a->shape;
    a->tensor.strides = layout == 0 && below(2) ? NULL : a->strides;
    return true;
}

static void put_element(char *p, DLDataType type) {
    static const double floats[] = {0.0,   -0.0,    1,    -1,        0.5,        2,        3,
                                    1e300, -1e-300, 1e10, 1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0};
    uint64_t any = next();
    double f = any % 3 ? (double)((int64_t)(any >> 40) % 1000) / 8 - 60
                       : floats[(any >> 20) % (sizeof floats / sizeof *floats)];
    int64_t i = any % 4   ? (int64_t)(any >> 40) % 12 - 2
                : any % 8 ? (int64_t)(any ^ any << 7)
                          : INT64_MIN >> (any >> 30) % 64;
    float g = (float)f;
    if (type.code == JIT_DL_BOOL_CODE)
        *p = (char)(any >> 33 & 1);
    else if (type.code != 2)
        memcpy(p, &i, (size_t)item_size(type));
    else if (type.bits == 64)
        memcpy(p, &f, 8);
    else
        memcpy(p, &g, 4);
}

static void array_fill(const struct array *a) {
    int64_t item = item_size(a->tensor.dtype), index[8] = {0};
    for (int d = 0; d < a->tensor.ndim; d++)
        if (a->shape[d] == 0) return;
    for (;;) {
        char *p = a->tensor.data;
        for (int d = 0; d < a->tensor.ndim; d++) p += index[d] * a->strides[d] * item;
        put_element(p, a->tensor.dtype);
        int d = a->tensor.ndim - 1;
        for (; d >= 0 && ++index[d] == a->shape[d]; d--) index[d] = 0;
        if (d < 0) return;
    }
}

/* The same bits, any NaN for a NaN; both in C order. */
static bool same(const DLTensor *a, const DLTensor *b) {
    int64_t item = item_size(a->dtype), count = 1;
    if (a->ndim != b->ndim || memcmp(&a->dtype, &b->dtype, sizeof a->dtype)) return false;
    for (int d = 0; d < a->ndim; d++) {
        if (a->shape[d] != b->shape[d]) return false;
        count *= a->shape[d];
    }
    const char *p = a->data, *q = b->data;
    for (int64_t i = 0; i < count; i++, p += item, q += item) {
        if (!memcmp(p, q, (size_t)item)) continue;
        double x = 0, y = 0;
        float u = 0, v = 0;
        if (a->dtype.code != 2) return false;
        if (item == 8)
            memcpy(&x, p, 8), memcpy(&y, q, 8);
        else
            memcpy(&u, p, 4), memcpy(&v, q, 4), x = u, y = v;
        if (x == x || y == y) return false;
    }
    return true;
}

/* --- one program -------------------------------------------------------------------------------------------------- */

static jit_context *context;
static const struct corpus_case *hints; /* whose inputs the program had before it was changed */
static long compiled, called;

static void print_nowhere(void *host, const char *line, size_t length) {
    (void)host;
    CHECK(length == 0 || line);
}

static void make_context(void) {
    jit_options options = {.struct_size = sizeof options,
                           .threads = 2,
                           .print = print_nowhere,
                           .max_source = 1 << 16,
                           .max_memory = 64 << 20,
                           .max_loop_iterations = 500,
                           .max_graph = 5000};
    jit_error error = {0};
    context = jit_context_create(&options, &error);
    if (!context) fprintf(stderr, "%s\n", error.message);
    CHECK(context);
}

static void check_error(jit_status status, const jit_error *error) {
    CHECK(status == error->code && error->code > JIT_OK && error->code <= JIT_ARGUMENT); /* JIT_INTERNAL is a bug */
    CHECK(error->message[0] && memchr(error->message, 0, sizeof error->message));
    CHECK(error->offset <= text_length && error->offset + error->length <= text_length + 1);
}

static const jit_dtype types[] = {JIT_F64, JIT_F64, JIT_F32,  JIT_F32, JIT_I64,
                                  JIT_I32, JIT_U8,  JIT_BOOL, JIT_I8,  JIT_U64};

/* An input of the declared type and rank, or the corpus's of that name, or anything. */
static bool input_make(const jit_function *f, int number, const int64_t *sizes, struct array *a) {
    static const int64_t few[] = {0, 1, 2, 3, 5, 8, 17, 40};
    const struct corpus_tensor *hint = NULL;
    jit_dtype type;
    int rank;
    CHECK(jit_input_type(f, number, &type, &rank) == JIT_OK);
    for (int i = 0; hints && i < hints->n_input; i++)
        if (!strcmp(hints->input[i].name, jit_input_name(f, number))) hint = &hints->input[i];
    if (hint && below(8) == 0) hint = NULL;
    *a = (struct array){.tensor = {.device = {kDLCPU, 0}}};
    if (hint && (rank < 0 || rank == hint->tensor.ndim)) {
        a->tensor.ndim = hint->tensor.ndim;
        for (int d = 0; d < a->tensor.ndim; d++) a->shape[d] = hint->shape[d];
    } else {
        a->tensor.ndim = rank >= 0 ? rank : (int)below(below(3) ? 2 : 4);
        for (int d = 0; d < a->tensor.ndim; d++) a->shape[d] = below(6) ? sizes[below(4) ? 0 : d % 3] : few[below(8)];
    }
    bool any = !type && (!hint || below(10) == 0);
    a->tensor.dtype = type && below(30) ? jit_dl_type(type)
                      : any || type     ? jit_dl_type(types[below(10)])
                                        : hint->tensor.dtype;
    if (a->tensor.dtype.bits == 16 && a->tensor.dtype.code == 2) a->tensor.dtype = jit_dl_type(JIT_F32);
    if (!array_place(a, number, false)) return false;
    array_fill(a);
    return true;
}

/* Into memory of our own, on one thread; the result must be `expected`. */
static void call_again(const jit_function *f, const DLTensor *const *in, int n_in, DLManagedTensor *const *expected,
                       int n_out) {
    struct array out[MOST_OUTPUTS];
    DLTensor *tensors[MOST_OUTPUTS];
    jit_call_options options = {.struct_size = sizeof options, .cancel = &cancel, .threads = 1};
    jit_error error = {0};
    for (int i = 0; i < n_out; i++) {
        const DLTensor *t = &expected[i]->dl_tensor;
        out[i] = (struct array){.tensor = *t};
        for (int d = 0; d < t->ndim; d++) out[i].shape[d] = t->shape[d];
        out[i].tensor.byte_offset = 0;
        if (!array_place(&out[i], MOST_INPUTS + i, true)) return;
        tensors[i] = &out[i].tensor;

        jit_dtype type;
        int rank;
        int64_t shape[8];
        doing = "asking for the shape";
        if (jit_output_shape(f, in, n_in, i, &type, &rank, shape, &error) != JIT_OK) {
            check_error(error.code, &error);
            CHECK(!"a program that runs has a shape");
        }
        CHECK(rank == t->ndim && type == jit_type_of(t));
        for (int d = 0; d < rank; d++) CHECK(shape[d] == -1 || shape[d] == t->shape[d]);
    }
    doing = "calling again";
    jit_status status = jit_call_with(f, in, n_in, tensors, n_out, &options, &error);
    if (status == JIT_CANCELLED && cancel) return;
    if (status != JIT_OK) fprintf(stderr, "%s\n", error.message);
    CHECK(status == JIT_OK);
    for (int i = 0; i < n_out; i++) CHECK(same(tensors[i], &expected[i]->dl_tensor));
}

static void call_once(const jit_function *f) {
    static const int64_t few[] = {0, 1, 2, 3, 4, 7, 16, 33, 100};
    int n_in = jit_input_count(f), n_out = jit_output_count(f);
    struct array arrays[MOST_INPUTS];
    const DLTensor *in[MOST_INPUTS];
    DLManagedTensor *out[MOST_OUTPUTS];
    int64_t sizes[3] = {few[below(9)], few[below(9)], few[below(9)]};
    jit_call_options options = {.struct_size = sizeof options, .cancel = &cancel, .threads = 2};
    jit_error error = {0};
    if (n_in > MOST_INPUTS || n_out > MOST_OUTPUTS) return;
    for (int i = 0; i < n_in; i++) {
        if (!input_make(f, i, sizes, &arrays[i])) return;
        in[i] = jit_input_optional(f, i) && below(2) ? NULL : &arrays[i].tensor;
    }
    doing = "calling";
    jit_status status = jit_call_alloc(f, in, n_in, out, n_out, &options, &error);
    if (status != JIT_OK) {
        check_error(status, &error);
        CHECK(status != JIT_CANCELLED || cancel);
        for (int i = 0; i < n_out; i++) CHECK(!out[i]);
        return;
    }
    called++;
    call_again(f, in, n_in, out, n_out);
    for (int i = 0; i < n_out; i++) out[i]->deleter(out[i]);
}

/* The text as a formula over the names that the corpus uses most. */
static jit_function *formula_compile(jit_error *error) {
    static const char *const names[] = {"x", "y", "a", "b", "i"};
    enum { N = sizeof names / sizeof *names };
    jit_formula_input inputs[N];
    doing = "compiling a formula";
    for (int i = 0; i < N; i++)
        inputs[i] =
            (jit_formula_input){names[i], types[below(10)], (int)below(3), below(3) == 0, below(2) ? 2 : 0.0 / 0.0};
    jit_formula_spec spec = {.struct_size = sizeof spec,
                             .inputs = inputs,
                             .n_inputs = N,
                             .result = below(2) ? types[below(10)] : (jit_dtype)0,
                             .has_nodata = below(2) == 0,
                             .nodata = below(2) ? -1 : 0.0 / 0.0,
                             .flags = below(2) ? JIT_ELEMENTWISE : 0};
    return jit_formula(context, text, &spec, error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size > MOST_TEXT) return 0;
    if (!context) {
        rooms_make();
        make_context();
        struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
        sigaction(SIGALRM, &action, NULL);
    }
    memcpy(text, bytes, size);
    text[size] = 0;
    text_length = size;
    char *exact = malloc(size ? size : 1); /* so that a sanitizer sees a byte read too far */
    CHECK(exact);
    memcpy(exact, bytes, size);
    jit_error error = {0};
    watch(true);
    doing = "compiling";
    jit_function *f = below(6) ? jit_compile_text(context, exact, size, NULL, &error) : formula_compile(&error);
    free(exact);
    if (f) {
        compiled++;
        for (int i = 0; i < 3 && !cancel; i++) call_once(f);
    } else {
        check_error(error.code, &error);
    }
    doing = "freeing";
    jit_function_free(f);
    watch(false);
    return 0;
}

#ifndef WEFT_LIBFUZZER

/* --- seeds -------------------------------------------------------------------------------------------------------- */

static const char *const more_seeds[] = {
    "param k = 3.0\nm, s = nanmean(flux), nanstd(flux)\nclean = where(abs(flux - m) > k*s, nan, flux)\nz = (clean - "
    "nanmean(clean)) / nanstd(clean)\nufunc spectral(w, t: [n], y: [n]) {\n  c = f64(0); s = f64(0)\n  for i in 0:n "
    "{\n    "
    "if not isnan(y[i]) { c += y[i]*cos(w*t[i]); s += y[i]*sin(w*t[i]) }\n  }\n  return c*c + s*s\n}\nspectral(z, t, "
    "z)\n",
    "param x: f64[n]; param y: f64[n]; sqrt(sum((x - y)**2))",
    "C[i, j] := sum[k](A[i, k] * B[k, j])\nC",
    "conv[i, j] := sum[a, b](at(img, i+a-1, j+b-1, 0.0) * ker[a, b]) for i in 0:len(img), j in 0:3\nconv",
    "param x: f64[n]\ni = 0\nwhile i < 5 { x[i % n] += i; i += 1 }\nx[x > 0]",
    "a = x; b = a[::-1]; for i in 0:3 { a, b = b, a + 1 }\nreturn a, b, sum(a, axis=0)",
    "ufunc f(x) { while true { if x > 3 { break }; x = x*2 + 1 }\n return x }\nf(x)",
    "x[1:-1, None] * y[..., 0] + (x @ y if len(x) > 2 else 0)",
};

static struct corpus_file *files[64]; /* the seeds point into them */
static size_t n_files;

static void seeds_read(const char *pattern) {
    glob_t found;
    seeds = malloc(sizeof *seeds * (5000 + sizeof more_seeds / sizeof *more_seeds));
    CHECK(seeds);
    for (size_t i = 0; i < sizeof more_seeds / sizeof *more_seeds; i++)
        seeds[n_seeds++] = (struct seed){more_seeds[i], NULL};
    CHECK(glob(pattern, 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (strstr(found.gl_pathv[i], "promotion.txt") || strstr(found.gl_pathv[i], "CMakeLists"))
            continue; /* no cases */
        CHECK(n_files < sizeof files / sizeof *files);
        struct corpus_file *file = files[n_files++] = corpus_read(found.gl_pathv[i]);
        for (int k = 0; k < file->count && n_seeds < 5000; k++)
            if (strlen(file->cases[k].source) < MOST_TEXT / 2)
                seeds[n_seeds++] = (struct seed){file->cases[k].source, &file->cases[k]};
    }
    globfree(&found);
}

static void seeds_free(void) {
    for (size_t i = 0; i < n_files; i++) corpus_free(files[i]);
    free(seeds);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 3;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct timespec start, time;
    long runs = 0;
    if (!(seconds > 0) || !first) {
        fprintf(stderr, "usage: fuzz_program [SECONDS [SEED]], both above 0\n");
        return 2;
    }
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(write_text);
    else
        for (size_t i = 0; i < 4; i++) signal((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL}[i], died);
    signal(SIGABRT, died);
    seeds_read(WEFT_TEST_DIR "/../corpus/*.txt");
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        /* Each text has a seed of its own, so that `fuzz_program 0.001 SEED` repeats it. */
        seed_of_run = first + (uint64_t)runs;
        state = (seed_of_run + 1) * 0x9e3779b97f4a7c15u;
        for (int i = 0; i < 4; i++) next();
        const struct seed *seed = &seeds[below(n_seeds)];
        hints = seed->from;
        now_length = strlen(seed->text);
        memcpy(now, seed->text, now_length);
        for (uint64_t edits = below(8) ? 1 + below(4) : 0; edits; edits--) {
            uint64_t how = below(16);
            if (how < 11)
                mutate_tokens();
            else if (how < 15)
                mutate_lines();
            else
                mutate_bytes();
        }
        LLVMFuzzerTestOneInput((const uint8_t *)now, now_length);
        runs++;
        clock_gettime(CLOCK_MONOTONIC, &time);
    } while ((double)(time.tv_sec - start.tv_sec) + 1e-9 * (double)(time.tv_nsec - start.tv_nsec) < seconds);
    jit_context_free(context);
    seeds_free();
    printf("fuzz_program: %ld programs, %ld compiled, %ld calls gave results, nothing wrong\n", runs, compiled, called);
    return 0;
}

#endif
