/* bind.c: `x=3.5` and `x=FILE.npy` to the tensors a function is called with. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

bool bind_add(struct bindings *bindings, const char *text) {
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) return false;
    for (const char *c = text; c < equals; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!letter && !(c > text && *c >= '0' && *c <= '9')) return false;
    }
    struct binding *items = realloc(bindings->items, (size_t)(bindings->count + 1) * sizeof *items);
    if (!items) host_alloc((size_t)-1); /* says so and ends */
    bindings->items = items;
    items[bindings->count++] =
        (struct binding){.name = host_strndup(text, (size_t)(equals - text)), .value = equals + 1};
    return true;
}

/* A scalar as written. */
struct scalar {
    enum { SCALAR_NONE, SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT } kind;
    bool negative;
    uint64_t magnitude; /* of an integer; saturates with `huge` set */
    bool huge;
    double real; /* of any number */
};

static struct scalar parse_scalar(const char *text) {
    struct scalar s = {0};
    if (!strcmp(text, "true") || !strcmp(text, "false")) {
        s.kind = SCALAR_BOOL;
        s.magnitude = text[0] == 't';
        s.real = (double)s.magnitude;
        return s;
    }
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits && strspn(digits, "0123456789") == strlen(digits)) {
        errno = 0;
        s.kind = SCALAR_INT;
        s.negative = *text == '-';
        s.magnitude = strtoull(digits, NULL, 10);
        s.huge = errno == ERANGE;
        s.real = strtod(text, NULL);
        return s;
    }
    if (!strcmp(digits, "nan") || !strcmp(digits, "inf") ||
        (*digits && strspn(digits, "0123456789.eE+-") == strlen(digits) &&
         (*digits == '.' || (*digits >= '0' && *digits <= '9')))) {
        char *end;
        s.real = strtod(text, &end);
        if (!*end) s.kind = SCALAR_FLOAT;
    }
    return s;
}

/* An element of `type` with the scalar's value at `to`; false if the type does not hold it. */
static bool store_scalar(const struct scalar *s, jit_dtype type, void *to) {
    if (type == JIT_F64) return *(double *)to = s->real, s->kind != SCALAR_BOOL;
    if (type == JIT_F32) return *(float *)to = (float)s->real, s->kind != SCALAR_BOOL;
    if (type == JIT_BOOL) return *(uint8_t *)to = (uint8_t)s->magnitude, s->kind == SCALAR_BOOL;
    if (s->kind != SCALAR_INT || s->huge) return false;
    bool is_signed = type >= JIT_I8 && type <= JIT_I64;
    int bits = jit_dl_type(type).bits;
    uint64_t most = is_signed ? UINT64_MAX >> (65 - bits) : UINT64_MAX >> (64 - bits);
    if (s->negative && s->magnitude) {
        if (!is_signed || s->magnitude > most + 1) return false;
    } else if (s->magnitude > most) {
        return false;
    }
    uint64_t value = s->negative ? 0 - s->magnitude : s->magnitude;
    memcpy(to, &value, (size_t)bits / 8); /* little-endian, as the library's machines are */
    return true;
}

/* "f64[:, :]", "any type" */
static void describe(jit_dtype type, int rank, char *text, size_t room) {
    if (!type && rank < 0) {
        snprintf(text, room, "an array or a number");
        return;
    }
    snprintf(text, room, "%s", type ? jit_type_name(type) : "");
    for (int i = 0; i < rank; i++)
        snprintf(text + strlen(text), room - strlen(text), "%s:%s", i ? ", " : "[", i == rank - 1 ? "]" : "");
}

static const DLTensor *bind_scalar(struct binding *binding, const struct scalar *s, jit_dtype type, int rank) {
    const char *name = binding->name, *text = binding->value;
    char wanted[64];
    if (rank > 0) {
        describe(type, rank, wanted, sizeof wanted);
        host_error("input `%s`: expected a .npy file with %s, found the number %s", name, wanted, text);
        return NULL;
    }
    if (!type) type = s->kind == SCALAR_BOOL ? JIT_BOOL : s->kind == SCALAR_INT ? JIT_I64 : JIT_F64;
    /* The tensor, its value behind it. */
    struct {
        DLTensor tensor;
        uint64_t value;
    } *box = binding->scalar = host_alloc(sizeof *box);
    if (!store_scalar(s, type, &box->value)) {
        host_error("input `%s`: expected %s, found %s", name, jit_type_name(type), text);
        return NULL;
    }
    box->tensor = (DLTensor){.data = &box->value, .device = {kDLCPU, 0}, .dtype = jit_dl_type(type)};
    return &box->tensor;
}

static const DLTensor *bind_one(const jit_function *function, int input, struct binding *binding) {
    jit_dtype type;
    int rank;
    jit_input_type(function, input, &type, &rank);
    struct scalar s = parse_scalar(binding->value);
    if (s.kind) return bind_scalar(binding, &s, type, rank);
    jit_error error = {0};
    if (jit_load(binding->value, &binding->loaded, &error) == JIT_OK) return &binding->loaded->dl_tensor;
    host_error("input `%s`: %s", binding->name, error.message);
    return NULL;
}

/* Fills in what the user gave. */
static bool bind_given(const jit_function *function, struct bindings *bindings, const char **names,
                       const DLTensor **in) {
    for (int b = 0; b < bindings->count; b++) {
        const char *name = bindings->items[b].name;
        int i = jit_input_index(function, name);
        if (i < 0) {
            const char *near = args_suggest(name, names);
            if (near)
                host_error("the program has no input `%s`: did you mean `%s`?", name, near);
            else if (!names[0])
                host_error("the program has no input `%s`: it has none", name);
            else
                host_error("the program has no input `%s`: its first is `%s`", name, names[0]);
            return false;
        }
        if (in[i]) {
            host_error("input `%s` was given twice", name);
            return false;
        }
        if (!(in[i] = bind_one(function, i, &bindings->items[b]))) return false;
    }
    return true;
}

/* What has neither a value nor a default is missing. */
static bool check_missing(const jit_function *function, const DLTensor **in, const char *how) {
    for (int i = 0; i < jit_input_count(function); i++) {
        if (in[i] || jit_input_optional(function, i)) continue;
        const char *name = jit_input_name(function, i);
        jit_dtype type;
        int rank;
        char wanted[64];
        jit_input_type(function, i, &type, &rank);
        describe(type, rank, wanted, sizeof wanted);
        if (rank > 0)
            host_error("input `%s` (%s) has no value: add %s%s=FILE.npy", name, wanted, how, name);
        else if (rank == 0)
            host_error("input `%s` (%s) has no value: add %s%s=NUMBER", name, wanted, how, name);
        else
            host_error("input `%s` has no value: add %s%s=FILE.npy or %s%s=3.5", name, how, name, how, name);
        return false;
    }
    return true;
}

const DLTensor **bind_inputs(const jit_function *function, struct bindings *bindings, const char *how) {
    int n = jit_input_count(function);
    const DLTensor **in = host_alloc(((size_t)n + 1) * sizeof *in);
    const char **names = host_alloc(((size_t)n + 1) * sizeof *names);
    for (int i = 0; i < n; i++) names[i] = jit_input_name(function, i);
    bool ok = bind_given(function, bindings, names, in) && check_missing(function, in, how);
    free(names);
    if (ok) return in;
    free(in);
    return NULL;
}

void bind_free(struct bindings *bindings) {
    for (int i = 0; i < bindings->count; i++) {
        struct binding *binding = &bindings->items[i];
        if (binding->loaded) binding->loaded->deleter(binding->loaded);
        free(binding->scalar);
        free(binding->name);
    }
    free(bindings->items);
    *bindings = (struct bindings){0};
}
