/* oracle.c: see oracle.h. */
#include "oracle/oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/eval.h"

bool oracle_open(struct oracle *oracle, int ulp) {
    static const char *const sets[ORACLE_SETS] = {"avx512", "avx2", "sse2"};
    *oracle = (struct oracle){.ulp = ulp};
    jit_error error = {0};
    for (int i = 0; i < ORACLE_SETS; i++) {
        jit_options options = {.struct_size = sizeof options, .isa = sets[i], .ulp = ulp};
        jit_context *context = jit_context_create(&options, &error);
        if (!context) continue;
        oracle->isa[oracle->n] = sets[i];
        oracle->context[oracle->n++] = context;
    }
    if (oracle->n == 0) fprintf(stderr, "%d ULP: %s\n", ulp, error.message);
    return oracle->n > 0;
}

bool oracle_open_device(struct oracle *oracle, struct device *device) {
    static const char *const names[] = {"cuda:0", "cuda:1"};
    *oracle = (struct oracle){.ulp = 4, .device = device, .n = 1, .isa = {names[device->ordinal]}};
    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options};
    oracle->host = jit_context_create(&options, &error);
    options.device = names[device->ordinal];
    if (oracle->host) oracle->context[0] = jit_context_create(&options, &error);
    if (!oracle->context[0]) fprintf(stderr, "%s: %s\n", options.device, error.message);
    return oracle->context[0] != NULL;
}

void oracle_close(struct oracle *oracle) {
    for (int i = 0; i < oracle->n; i++) jit_context_free(oracle->context[i]);
    jit_context_free(oracle->host);
}

/* --- the evaluator's side ----------------------------------------------------------------------------------------- */

/* Elementary functions as the engine computes them; notes that one was asked for. */
struct math_host {
    struct cpu_engine *engine;
    bool used;
};

static double math_f1(enum op op, double x, void *host) {
    ((struct math_host *)host)->used = true;
    return cpu_math_f64(((struct math_host *)host)->engine, op, x, 0);
}
static double math_f2(enum op op, double x, double y, void *host) {
    ((struct math_host *)host)->used = true;
    return cpu_math_f64(((struct math_host *)host)->engine, op, x, y);
}
static float math_f1f(enum op op, float x, void *host) {
    ((struct math_host *)host)->used = true;
    return cpu_math_f32(((struct math_host *)host)->engine, op, x, 0);
}
static float math_f2f(enum op op, float x, float y, void *host) {
    ((struct math_host *)host)->used = true;
    return cpu_math_f32(((struct math_host *)host)->engine, op, x, y);
}

struct reference {
    struct mem mem;
    struct arena arena;
    struct oracle *oracle;
    const char *source;
    const struct oracle_input *inputs;
    int n_inputs;
    struct cpu_engine *engine;
    bool rejected, uses_math;
    struct eval_result *result;
    int n_outputs;
    char *why;
    size_t size;
};

static const struct oracle_input *find_input(const struct oracle_input *inputs, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(inputs[i].name, name) == 0) return &inputs[i];
    return NULL;
}

static void reference_work(void *argument) {
    struct reference *r = argument;
    struct frontend_options options = {.file = "<random>", .ulp = r->oracle->ulp, .fp = FP_CONTRACT};
    struct diag_list diags;
    diag_init(&diags, &r->arena, options.file, r->source, strlen(r->source));
    struct frontend_program *program = frontend_analyse(&r->arena, r->source, strlen(r->source), &options, &diags);
    struct plan *plan = NULL;
    struct eval_array arrays[ORACLE_INPUTS] = {{0}};
    if (program && diags.count == 0) {
        struct frontend_binding bindings[ORACLE_INPUTS] = {{0}};
        for (int i = 0; i < program->n_inputs; i++) {
            const struct oracle_input *input = find_input(r->inputs, r->n_inputs, program->inputs[i].name);
            if (!input) {
                diag_add(&diags, DIAG_NAME, (struct span){0, 0}, "an input that nobody gave: %s",
                         program->inputs[i].name);
                break;
            }
            arrays[i] = (struct eval_array){.type = input->type, .rank = input->rank, .data = input->data};
            memcpy(arrays[i].shape, input->shape, sizeof input->shape);
            memcpy(arrays[i].stride, input->stride, sizeof input->stride);
            bindings[i] = (struct frontend_binding){.type = input->type, .rank = input->rank};
            for (int d = 0; d < input->rank && d < TYPE_MAX_RANK; d++)
                if (input->shape[d] == 1) bindings[i].ones |= 1u << d;
        }
        if (diags.count == 0) plan = frontend_instantiate(program, &r->arena, bindings, &diags);
    }
    if (!plan || diags.count) {
        struct strbuf text;
        strbuf_init(&text, &r->arena);
        diag_render(&diags, &text);
        snprintf(r->why, r->size, "%s", strbuf_text(&text));
        r->rejected = true;
        return;
    }
    struct math_host host = {.engine = r->engine};
    struct eval_math math = {math_f1, math_f2, math_f1f, math_f2f, &host};
    r->result = eval_plan(&r->arena, plan, arrays, &math);
    r->uses_math = host.used;
    r->n_outputs = plan->n_outputs;
}

static void reference_begin(struct reference *r) {
    arena_init(&r->arena, &r->mem);
    if (!arena_try(&r->arena, reference_work, r)) {
        fprintf(stderr, "the evaluator ran out of memory\n%s\n", r->source);
        exit(1);
    }
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

static bool same_element(enum dtype type, const char *a, const char *b) {
    if (type == TY_F32) {
        float x, y;
        memcpy(&x, a, sizeof x), memcpy(&y, b, sizeof y);
        if (isnan(x) && isnan(y)) return true;
    } else if (type == TY_F64) {
        double x, y;
        memcpy(&x, a, sizeof x), memcpy(&y, b, sizeof y);
        if (isnan(x) && isnan(y)) return true;
    }
    return memcmp(a, b, (size_t)dtype_size(type)) == 0;
}

static void element_text(enum dtype type, const char *at, char *out, size_t size) {
    unsigned long long bits = 0;
    memcpy(&bits, at, (size_t)dtype_size(type));
    double value = 0;
    float single;
    if (type == TY_F32) memcpy(&single, at, sizeof single), value = (double)single;
    if (type == TY_F64) memcpy(&value, at, sizeof value);
    if (dtype_is_float(type))
        snprintf(out, size, "%.17g (%0*llx)", value, 2 * dtype_size(type), bits);
    else
        snprintf(out, size, "0x%0*llx", 2 * dtype_size(type), bits);
}

static bool same_output(const struct eval_array *expected, const DLTensor *got, int number, char *why, size_t size) {
    if (tensor_dtype(got) != expected->type || got->ndim != expected->rank) {
        snprintf(why, size, "output %d: %s of rank %d, expected %s of rank %d", number, dtype_name(tensor_dtype(got)),
                 got->ndim, dtype_name(expected->type), expected->rank);
        return false;
    }
    int64_t count = 1;
    for (int d = 0; d < expected->rank; d++) {
        count *= expected->shape[d];
        if (got->shape[d] == expected->shape[d]) continue;
        snprintf(why, size, "output %d: size %lld of dimension %d, expected %lld", number, (long long)got->shape[d], d,
                 (long long)expected->shape[d]);
        return false;
    }
    const char *data = (const char *)got->data + got->byte_offset;
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i * dtype_size(expected->type);
        if (same_element(expected->type, expected->data + at, data + at)) continue;
        if (wrong++ == 0) first = i;
    }
    if (wrong == 0) return true;
    char a[64], b[64];
    element_text(expected->type, data + first * dtype_size(expected->type), a, sizeof a);
    element_text(expected->type, expected->data + first * dtype_size(expected->type), b, sizeof b);
    snprintf(why, size, "output %d, %s: %lld of %lld elements differ; first [%lld]: %s, expected %s", number,
             dtype_name(expected->type), (long long)wrong, (long long)count, (long long)first, a, b);
    return false;
}

/* --- the compiled side -------------------------------------------------------------------------------------------- */

/* The ways of calling: on a CPU with one thread and two, on a GPU from several kinds of memory. */
enum way { WAY_ONE_THREAD, WAY_TWO_THREADS, WAY_HOST_TENSORS, WAY_DEVICE_TENSORS, WAY_STREAM, WAYS };
static const char *const way_names[WAYS] = {"1 thread", "2 threads", "host tensors", "device tensors", "a stream"};

/* Inputs as they are given. */
struct given {
    int n;
    DLTensor tensors[ORACLE_INPUTS];
    int64_t strides[ORACLE_INPUTS][TYPE_MAX_RANK];
    const DLTensor *in[ORACLE_INPUTS];
    uint64_t address[ORACLE_INPUTS]; /* of the copy in device memory */
};

static void give(struct given *given, const struct reference *r, const jit_function *function, struct device *device) {
    *given = (struct given){.n = jit_input_count(function)};
    for (int i = 0; i < given->n; i++) {
        const struct oracle_input *input = find_input(r->inputs, r->n_inputs, jit_input_name(function, i));
        int64_t low = 0, high = dtype_size(input->type), count = 1;
        for (int d = 0; d < input->rank; d++) {
            int64_t span = (input->shape[d] - 1) * input->stride[d];
            given->strides[i][d] = input->stride[d] / dtype_size(input->type);
            *(span < 0 ? &low : &high) += span;
            count *= input->shape[d];
        }
        given->tensors[i] = (DLTensor){.data = input->data,
                                       .device = {kDLCPU, 0},
                                       .ndim = input->rank,
                                       .dtype = tensor_dl_type(input->type),
                                       .shape = (int64_t *)input->shape,
                                       .strides = given->strides[i]};
        if (device && count)
            given->tensors[i] =
                device_tensor(device, &given->tensors[i], input->data + low, (size_t)(high - low), &given->address[i]);
        else if (device)
            given->tensors[i] = device_tensor(device, &given->tensors[i], input->data, 0, &given->address[i]);
        given->in[i] = &given->tensors[i];
    }
}

static void take_back(struct given *given, struct device *device) {
    for (int i = 0; i < given->n; i++)
        if (given->address[i]) device_free(device, given->address[i]);
}

static jit_status call(const struct oracle *oracle, jit_function *function, const struct given *given, enum way way,
                       DLManagedTensor *out[], int n_out, jit_error *error) {
    jit_call_options options = {.struct_size = sizeof options, .threads = way == WAY_TWO_THREADS ? 2 : 1};
    if (way != WAY_STREAM) return jit_call_alloc(function, given->in, given->n, out, n_out, &options, error);
    jit_pending *pending = NULL;
    options.stream = device_stream_new(oracle->device);
    options.pending = &pending;
    jit_status status = jit_call_alloc(function, given->in, given->n, out, n_out, &options, error);
    jit_status later = jit_wait(pending, error);
    device_stream_free(oracle->device, options.stream);
    return status ? status : later;
}

static bool same_result(const struct oracle *oracle, const struct eval_array *expected, const DLTensor *got, int number,
                        char *why, size_t size) {
    DLTensor host = *got;
    void *copy = got->device.device_type == kDLCUDA ? device_fetch(oracle->device, got, &host) : NULL;
    bool same = same_output(expected, &host, number, why, size);
    free(copy);
    return same;
}

/* `message`: what the CPU says to a program that fails, "" not to look at it. */
static enum oracle_verdict check_call(const struct reference *r, jit_function *function, const struct given *given,
                                      enum way way, const char *message, char *why, size_t size) {
    DLManagedTensor *out[ORACLE_OUTPUTS] = {0};
    jit_error error = {0};
    int n_out = jit_output_count(function);
    if (n_out > ORACLE_OUTPUTS || (r->result->ok && n_out != r->n_outputs)) {
        snprintf(why, size, "%d outputs, expected %d", n_out, r->n_outputs);
        return ORACLE_DIFFERENT;
    }
    jit_status status = call(r->oracle, function, given, way, out, n_out, &error);
    bool failed = !r->result->ok, same = true;
    if (failed && (int)status != (int)r->result->code) {
        snprintf(why, size, "%s (%.300s), expected %s (%s)", jit_status_name(status), error.message,
                 jit_status_name((jit_status)r->result->code), r->result->text);
        same = false;
    } else if (failed && message[0] && strcmp(message, error.message)) {
        snprintf(why, size, "\"%.300s\", expected \"%.300s\"", error.message, message);
        same = false;
    } else if (!failed && status != JIT_OK) {
        snprintf(why, size, "%s: %.600s", jit_status_name(status), error.message);
        same = false;
    }
    for (int i = 0; i < n_out; i++) {
        if (!out[i]) continue;
        if (!failed && same) same = same_result(r->oracle, &r->result->outputs[i], &out[i]->dl_tensor, i, why, size);
        out[i]->deleter(out[i]);
    }
    return !same ? ORACLE_DIFFERENT : failed ? ORACLE_FAILED : ORACLE_SAME;
}

/* What a CPU says to the program. */
static void host_message(const struct reference *r, char *out, size_t size) {
    DLManagedTensor *results[ORACLE_OUTPUTS] = {0};
    jit_error error = {0};
    struct given given;
    jit_function *function = jit_compile(r->oracle->host, r->source, &error);
    if (function && jit_output_count(function) <= ORACLE_OUTPUTS) {
        int n = jit_output_count(function);
        give(&given, r, function, NULL);
        jit_call_alloc(function, given.in, given.n, results, n, NULL, &error);
        for (int i = 0; i < n; i++)
            if (results[i]) results[i]->deleter(results[i]);
    }
    jit_function_free(function);
    snprintf(out, size, "%s", error.message);
}

static enum oracle_verdict check_set(const struct reference *r, int set, char *why, size_t size) {
    struct oracle *oracle = r->oracle;
    jit_error error = {0};
    char detail[700] = "", message[sizeof error.message] = "";
    jit_function *function = jit_compile(oracle->context[set], r->source, &error);
    if (!function) {
        snprintf(why, size, "%s: jit_compile: %.600s", oracle->isa[set], error.message);
        return ORACLE_DIFFERENT;
    }
    if (oracle->device && !r->result->ok) host_message(r, message, sizeof message);
    enum oracle_verdict verdict = ORACLE_SAME;
    int first = oracle->device ? WAY_HOST_TENSORS : WAY_ONE_THREAD,
        last = oracle->device ? WAY_STREAM : WAY_TWO_THREADS;
    for (int way = first; way <= last && verdict != ORACLE_DIFFERENT; way++) {
        struct given given;
        struct device *device = way >= WAY_DEVICE_TENSORS ? oracle->device : NULL;
        give(&given, r, function, device);
        verdict = check_call(r, function, &given, (enum way)way, message, detail, sizeof detail);
        take_back(&given, device);
        if (verdict == ORACLE_DIFFERENT) snprintf(why, size, "%s, %s: %s", oracle->isa[set], way_names[way], detail);
    }
    jit_function_free(function);
    return verdict;
}

enum oracle_verdict oracle_check(struct oracle *oracle, const char *source, const struct oracle_input *inputs, int n,
                                 char *why, size_t size) {
    enum oracle_verdict verdict = ORACLE_SAME;
    struct reference r = {
        .oracle = oracle, .source = source, .inputs = inputs, .n_inputs = n, .why = why, .size = size};
    bool began = false;
    for (int set = 0; set < oracle->n && verdict != ORACLE_DIFFERENT; set++) {
        if (oracle->skip >> set & 1) continue;
        /* Elementary functions differ between instruction sets, nothing else does. */
        if (!began || r.uses_math) {
            if (began) arena_free(&r.arena);
            began = true;
            r.engine = oracle->device ? oracle->host->engine : oracle->context[set]->engine;
            reference_begin(&r);
        }
        if (r.rejected) {
            verdict = ORACLE_REJECTED;
            break;
        }
        if (!r.result->ok && r.result->code == DIAG_INTERNAL) {
            snprintf(why, size, "the evaluator: %s", r.result->text);
            verdict = ORACLE_DIFFERENT;
            break;
        }
        if (oracle->device && !oracle->device->is_shim && r.uses_math) {
            verdict = ORACLE_NOT_COMPARED;
            break;
        }
        verdict = check_set(&r, set, why, size);
    }
    arena_free(&r.arena);
    return verdict;
}
