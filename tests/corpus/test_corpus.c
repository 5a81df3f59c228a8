/* Runs the corpus through the public API: every case's results against NumPy's, into memory that Weft allocates and
 * into the caller's, inputs unchanged, nothing written beside an output.
 *
 * Usage: test_corpus [--isa=NAME] [--threads=N] [--device=cuda:N [--tensors=device] [--fake]] [--part=K/N]
 *                    [FILE.txt[:CASE]…]
 * Without files, all that are listed below. --device runs everything on a GPU; with --tensors=device inputs and the
 * caller's outputs are in its memory, with the same strides. Exit status 77 if there is no such GPU; --fake: the GPU
 * must be the fake one of tests/gpu/shim. --part runs every Nth case, from the Kth (0 is the first).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weft/jit.h>

#include "corpus/corpus.h"
#include "gpu/device.h"

static const char *const test_files[] = {
    "arithmetic.txt", "integers.txt", "types.txt",       "logic.txt",           "elementary.txt", "broadcasting.txt",
    "subscripts.txt", "making.txt",   "reductions.txt",  "reduction_order.txt", "functions.txt",  "loops.txt",
    "programs.txt",   "bad.txt",      "unsupported.txt", "promotion.txt",       "rows.txt",
};
static jit_options test_options = {.struct_size = sizeof(jit_options)};
static jit_context *test_context;
static struct device test_device; /* with --device */
static bool test_on_device;       /* with --tensors=device */
static int test_part, test_parts = 1;
/* A GPU's elementary functions have their own bounds (ir/ops.def), the largest of those that the corpus holds to 4
 * being 4 from the correctly rounded result. */
static double test_slack;
enum { GUARD = 64 }; /* bytes watched before and after an output */

/* Whether the error is one that the case allows. */
static bool test_expected_error(const struct corpus_case *k, const jit_error *error, char *why, size_t size) {
    char codes[64], *rest = codes, *code;
    const char *got = jit_status_name(error->code);
    memcpy(codes, k->error, sizeof codes);
    bool found = false;
    while ((code = strsep(&rest, "|"))) found |= !strcmp(got + (strncmp(got, "JIT_", 4) ? 0 : 4), code);
    if (!found) {
        snprintf(why, size, "%s, expected %s: %.200s", got, k->error, error->message);
    } else if (!error->message[0]) {
        snprintf(why, size, "no message");
    } else if (!strstr(error->message, k->error_text)) {
        snprintf(why, size, "the message lacks \"%s\": %.300s", k->error_text, error->message);
    } else {
        return true;
    }
    return false;
}

/* A case's inputs where they are given from: in host memory as they are, or copied to the device. */
struct given {
    DLTensor tensor[CORPUS_INPUTS];
    uint64_t address[CORPUS_INPUTS];
};

static void test_give(struct given *given, const struct corpus_case *k) {
    *given = (struct given){0};
    for (int i = 0; i < k->n_input; i++) {
        const struct corpus_tensor *t = &k->input[i];
        given->tensor[i] = t->tensor;
        if (test_on_device && !t->is_default)
            given->tensor[i] =
                device_tensor(&test_device, &t->tensor, t->storage, t->storage_bytes, &given->address[i]);
    }
}

static void test_take_back(struct given *given) {
    for (int i = 0; i < CORPUS_INPUTS; i++)
        if (given->address[i]) device_free(&test_device, given->address[i]);
}

/* Whether input i holds what `before` does, all of its storage. */
static bool test_unchanged(const struct given *given, const struct corpus_case *k, int i, const char *before) {
    const struct corpus_tensor *t = &k->input[i];
    if (!t->storage) return true;
    bool same = !memcmp(before, t->storage, t->storage_bytes);
    if (given->address[i]) {
        char *now = malloc(t->storage_bytes + 1);
        assert_non_null(now);
        device_download(&test_device, now, given->address[i], t->storage_bytes);
        same = same && !memcmp(before, now, t->storage_bytes);
        free(now);
    }
    return same;
}

/* Binds by name. False with a reason if the program wants what the case has not. */
static bool test_bind(const jit_function *f, const struct corpus_case *k, const struct given *given,
                      const DLTensor **in, char *why, size_t size) {
    int n = jit_input_count(f);
    if (n > CORPUS_INPUTS) {
        snprintf(why, size, "%d inputs", n);
        return false;
    }
    for (int i = 0; i < n; i++) {
        const char *name = jit_input_name(f, i);
        int at = -1;
        for (int j = 0; j < k->n_input; j++)
            if (!strcmp(k->input[j].name, name)) at = j;
        if (at < 0) {
            snprintf(why, size, "unexpected input %s", name);
            return false;
        }
        in[i] = k->input[at].is_default ? NULL : &given->tensor[at];
    }
    return true;
}

/* Calls again into the caller's memory: the same results, nothing outside them touched. */
static void test_caller_memory(const jit_function *f, const struct corpus_case *k, const DLTensor **in, char *why,
                               size_t size) {
    struct corpus_tensor own[CORPUS_OUTPUTS];
    DLTensor given[CORPUS_OUTPUTS], *out[CORPUS_OUTPUTS];
    uint64_t address[CORPUS_OUTPUTS] = {0};
    jit_error error = {0};
    for (int i = 0; i < k->n_expect; i++) {
        own[i] = k->expect[i];
        size_t bytes = own[i].storage_bytes + 2 * GUARD;
        own[i].storage = malloc(bytes);
        assert_non_null(own[i].storage);
        memset(own[i].storage, 0x5A, bytes);
        own[i].tensor.data = (char *)own[i].storage + GUARD;
        own[i].tensor.shape = own[i].shape;
        given[i] = own[i].tensor;
        if (test_on_device) given[i] = device_tensor(&test_device, &own[i].tensor, own[i].storage, bytes, &address[i]);
        out[i] = &given[i];
    }
    if (jit_call(f, in, jit_input_count(f), out, k->n_expect, &error) != JIT_OK)
        snprintf(why, size, "into the caller's memory: %.300s", error.message);
    for (int i = 0; i < k->n_expect; i++) {
        const unsigned char *bytes = own[i].storage;
        if (address[i]) device_download(&test_device, own[i].storage, address[i], own[i].storage_bytes + 2 * GUARD);
        device_free(&test_device, address[i]);
        const char *differs = corpus_compare(&k->expect[i], &own[i].tensor, test_slack);
        if (!why[0] && differs[0]) snprintf(why, size, "output %d in the caller's memory: %s", i, differs);
        for (size_t b = 0; !why[0] && b < GUARD; b++)
            if (bytes[b] != 0x5A || bytes[GUARD + own[i].storage_bytes + b] != 0x5A)
                snprintf(why, size, "output %d: written outside", i);
        free(own[i].storage);
    }
}

/* What differs in a result of Weft's own, which may be in device memory. */
static const char *test_compare(const struct corpus_tensor *expect, const DLTensor *got) {
    DLTensor host = *got;
    void *copy = got->device.device_type == kDLCUDA ? device_fetch(&test_device, got, &host) : NULL;
    const char *differs = corpus_compare(expect, &host, test_slack);
    free(copy);
    return differs;
}

static void test_call(const jit_function *f, const struct corpus_case *k, char *why, size_t size) {
    const DLTensor *in[CORPUS_INPUTS] = {0};
    DLManagedTensor *out[CORPUS_OUTPUTS] = {0};
    char *before[CORPUS_INPUTS] = {0};
    jit_error error = {0};
    struct given given;
    int n_out = jit_output_count(f);
    if (n_out > CORPUS_OUTPUTS || (k->n_expect && n_out != k->n_expect)) {
        snprintf(why, size, "%d outputs, expected %d", n_out, k->n_expect);
        return;
    }
    test_give(&given, k);
    if (!test_bind(f, k, &given, in, why, size)) {
        test_take_back(&given);
        return;
    }
    for (int i = 0; i < k->n_input; i++) {
        before[i] = malloc(k->input[i].storage_bytes + 1);
        assert_non_null(before[i]);
        if (k->input[i].storage) memcpy(before[i], k->input[i].storage, k->input[i].storage_bytes);
    }
    jit_status status = jit_call_alloc(f, in, jit_input_count(f), out, n_out, NULL, &error);
    if (k->error[0]) {
        if (status == JIT_OK)
            snprintf(why, size, "no error, expected %s", k->error);
        else
            test_expected_error(k, &error, why, size);
    } else if (status != JIT_OK) {
        snprintf(why, size, "%s: %.300s", jit_status_name(status), error.message);
    }
    for (int i = 0; i < n_out; i++) {
        if (!out[i]) continue;
        const char *differs = k->error[0] ? "" : test_compare(&k->expect[i], &out[i]->dl_tensor);
        if (!why[0] && differs[0]) snprintf(why, size, "output %d: %s", i, differs);
        out[i]->deleter(out[i]);
    }
    if (!why[0] && !k->error[0]) test_caller_memory(f, k, in, why, size);
    for (int i = 0; i < k->n_input; i++) {
        if (!why[0] && !test_unchanged(&given, k, i, before[i]))
            snprintf(why, size, "input %s was written", k->input[i].name);
        free(before[i]);
    }
    test_take_back(&given);
}

/* True if the case passes; prints why not. */
static bool test_case(const char *file, const struct corpus_case *k) {
    char why[512] = "";
    jit_error error = {0};
    jit_function *f = jit_compile(test_context, k->source, &error);
    if (f)
        test_call(f, k, why, sizeof why);
    else if (k->error[0])
        test_expected_error(k, &error, why, sizeof why);
    else
        snprintf(why, sizeof why, "%s: %.300s", jit_status_name(error.code), error.message);
    jit_function_free(f);
    if (why[0]) fprintf(stderr, "%s: %s: %s\n    %.200s\n", file, k->name, why, k->source);
    return !why[0];
}

/* The expression with each operand in its place: a name, or a literal if it is weak. */
static void test_substitute(const struct corpus_promotion *row, char *out, size_t size) {
    size_t n = 0;
    for (const char *p = row->expression; *p && n + 8 < size; p++) {
        if (p[0] == '$') {
            const char *type = row->operand[p[1] == 'y'];
            n += (size_t)snprintf(out + n, size - n, "%s",
                                  !strcmp(type, "int")     ? "2"
                                  : !strcmp(type, "float") ? "2.5"
                                  : p[1] == 'y'            ? "y"
                                                           : "x");
            p++;
        } else {
            out[n++] = *p;
        }
    }
    out[n] = 0;
}

static bool test_promotion_row(const struct corpus_promotion *row) {
    char source[160], got[64] = "error";
    uint64_t one[2] = {1, 1}; /* an element of any type; as f64 a subnormal, but the value doesn't matter */
    int64_t shape[1] = {1};
    DLTensor tensor[2] = {0};
    const DLTensor *in[2];
    jit_error error = {0};
    test_substitute(row, source, sizeof source);
    jit_function *f = jit_compile(test_context, source, &error);
    if (f) {
        int n = jit_input_count(f);
        jit_dtype type;
        for (int i = 0; i < n && i < 2; i++) {
            int operand = jit_input_name(f, i)[0] == 'y';
            tensor[i] = (DLTensor){.data = &one[i],
                                   .device = {kDLCPU, 0},
                                   .ndim = 1,
                                   .dtype = corpus_type(row->operand[operand]),
                                   .shape = shape};
            in[i] = &tensor[i];
        }
        if (jit_output_shape(f, in, n, 0, &type, NULL, NULL, &error) == JIT_OK)
            snprintf(got, sizeof got, "%s", jit_type_name(type));
    }
    jit_function_free(f);
    bool same =
        !strcmp(got, row->result) && (strcmp(got, "error") || error.code == JIT_TYPE || error.code == JIT_VALUE);
    if (!same)
        fprintf(stderr, "promotion.txt: %s with %s %s: %s, expected %s%s%.200s\n", row->expression, row->operand[0],
                row->operand[1], got, row->result, strcmp(got, "error") ? "" : ": ",
                strcmp(got, "error") ? "" : error.message);
    return same;
}

static void test_file(void **state) {
    char path[1024], name[256], *only;
    int failed = 0, run = 0;
    snprintf(name, sizeof name, "%s", (const char *)*state);
    if ((only = strchr(name, ':'))) *only++ = 0;
    snprintf(path, sizeof path, "%s%s%s", strchr(name, '/') ? "" : WEFT_TEST_DIR, strchr(name, '/') ? "" : "/", name);
    if (!strcmp(name, "promotion.txt")) {
        int count;
        struct corpus_promotion *rows = corpus_read_promotion(path, &count);
        for (int i = 0; i < count; i++, run++)
            if (!only || strstr(rows[i].expression, only)) failed += !test_promotion_row(&rows[i]);
        free(rows);
    } else {
        struct corpus_file *file = corpus_read(path);
        for (int i = 0; i < file->count; i++) {
            if (only ? strcmp(file->cases[i].name, only) != 0 : i % test_parts != test_part) continue;
            run++;
            failed += !test_case(name, &file->cases[i]);
        }
        corpus_free(file);
    }
    if (failed) fail_msg("%s: %d of %d cases failed", name, failed, run);
    assert_true(run > 0);
}

/* Opens the GPU that the options name; otherwise says why not and gives the exit status. */
static int test_open_device(bool fake) {
    enum { SKIPPED = 77 };
    const char *colon = strchr(test_options.device, ':'), *why = device_open(&test_device, colon ? atoi(colon + 1) : 0);
    if (why) {
        fprintf(stderr, "%s: %s\n", test_options.device, why);
        return fake ? 1 : SKIPPED;
    }
    if (fake && !test_device.is_shim) {
        fprintf(stderr, "%s is not the fake device: LD_LIBRARY_PATH?\n", test_options.device);
        return 1;
    }
    test_slack = test_device.is_shim ? 0 : 1;
    return 0;
}

int main(int argc, char **argv) {
    enum { MOST = 64 };
    bool fake = false;
    struct CMUnitTest tests[MOST];
    size_t n = 0;
    jit_error error = {0};
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--isa=", 6))
            test_options.isa = argv[i] + 6;
        else if (!strncmp(argv[i], "--threads=", 10))
            test_options.threads = atoi(argv[i] + 10);
        else if (!strncmp(argv[i], "--device=", 9))
            test_options.device = argv[i] + 9;
        else if (!strcmp(argv[i], "--tensors=device"))
            test_on_device = true;
        else if (!strcmp(argv[i], "--fake"))
            fake = true;
        else if (sscanf(argv[i], "--part=%d/%d", &test_part, &test_parts) == 2)
            continue;
        else if (n < MOST)
            tests[n++] = (struct CMUnitTest){argv[i], test_file, NULL, NULL, argv[i]};
    }
    if (n == 0) /* types are the same everywhere: promotion.txt runs once */
        for (; n < sizeof test_files / sizeof *test_files - (test_options.device != NULL); n++)
            tests[n] = (struct CMUnitTest){test_files[n], test_file, NULL, NULL, (void *)test_files[n]};
    int status = test_options.device ? test_open_device(fake) : 0;
    if (status) return status;
    if (!(test_context = jit_context_create(&test_options, &error))) {
        fprintf(stderr, "no context: %s\n", error.message);
        return 1;
    }
    int failed = _cmocka_run_group_tests("corpus", tests, n, NULL, NULL);
    jit_context_free(test_context);
    device_close(&test_device);
    return failed != 0;
}
