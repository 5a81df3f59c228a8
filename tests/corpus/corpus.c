#include "corpus/corpus.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A cursor over one line, with the place for messages. */
struct cursor {
    const char *path;
    int line;
    const char *at;
};

__attribute__((noreturn, format(printf, 2, 3))) static void corpus_die(const struct cursor *c, const char *format,
                                                                       ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", c->path, c->line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *corpus_alloc(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (!p) {
        fputs("corpus: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static const struct {
    const char *name;
    DLDataType type;
} corpus_types[] = {
    {"bool", {6, 8, 1}}, {"i8", {0, 8, 1}},   {"i16", {0, 16, 1}}, {"i32", {0, 32, 1}},
    {"i64", {0, 64, 1}}, {"u8", {1, 8, 1}},   {"u16", {1, 16, 1}}, {"u32", {1, 32, 1}},
    {"u64", {1, 64, 1}}, {"f32", {2, 32, 1}}, {"f64", {2, 64, 1}},
};

DLDataType corpus_type(const char *name) {
    for (size_t i = 0; i < sizeof corpus_types / sizeof *corpus_types; i++)
        if (!strcmp(corpus_types[i].name, name)) return corpus_types[i].type;
    fprintf(stderr, "corpus: unknown type %s\n", name);
    exit(1);
}

const char *corpus_type_name(DLDataType type) {
    for (size_t i = 0; i < sizeof corpus_types / sizeof *corpus_types; i++)
        if (corpus_types[i].type.code == type.code && corpus_types[i].type.bits == type.bits)
            return corpus_types[i].name;
    return "?";
}

/* The next word, up to a blank. */
static void corpus_word(struct cursor *c, char *room, size_t size) {
    size_t n = 0;
    while (*c->at == ' ') c->at++;
    while (*c->at && *c->at != ' ') {
        if (n + 1 >= size) corpus_die(c, "word too long");
        room[n++] = *c->at++;
    }
    room[n] = 0;
    if (n == 0) corpus_die(c, "a word is missing");
}

static bool corpus_take(struct cursor *c, const char *word) {
    size_t n = strlen(word);
    while (*c->at == ' ') c->at++;
    if (strncmp(c->at, word, n)) return false;
    c->at += n;
    return true;
}

static int64_t corpus_int(struct cursor *c) {
    char *end;
    int64_t v = strtoll(c->at, &end, 10);
    if (end == c->at) corpus_die(c, "a number is missing");
    c->at = end;
    return v;
}

/* "[3,4]" into `values`; its length. */
static int corpus_list(struct cursor *c, int64_t *values) {
    int n = 0;
    if (!corpus_take(c, "[")) corpus_die(c, "a [ is missing");
    if (corpus_take(c, "]")) return 0;
    do {
        if (n == 8) corpus_die(c, "rank over 8");
        values[n++] = corpus_int(c);
    } while (corpus_take(c, ","));
    if (!corpus_take(c, "]")) corpus_die(c, "a ] is missing");
    return n;
}

/* The position in storage of logical element `flat`. */
static int64_t corpus_place(const DLTensor *t, int64_t flat) {
    int64_t place = 0, step = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        int64_t index = t->shape[d] ? flat % t->shape[d] : 0;
        flat = t->shape[d] ? flat / t->shape[d] : 0;
        place += index * (t->strides ? t->strides[d] : step);
        step *= t->shape[d];
    }
    return place;
}

static int64_t corpus_size(const DLTensor *t) {
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++) n *= t->shape[d];
    return n;
}

/* "TYPE [SHAPE] …" up to the colon's values. */
static void corpus_read_tensor(struct cursor *c, struct corpus_tensor *out, bool is_expect) {
    char word[64];
    DLTensor *t = &out->tensor;
    int64_t offset = 0, size;
    corpus_word(c, word, sizeof word);
    t->dtype = corpus_type(word);
    t->device = (DLDevice){kDLCPU, 0};
    t->shape = out->shape;
    t->ndim = corpus_list(c, out->shape);
    size = corpus_size(t);
    if (is_expect) {
        corpus_word(c, word, sizeof word);
        out->tolerance = !strcmp(word, "ulp") ? CORPUS_ULP : !strcmp(word, "abs") ? CORPUS_ABS : CORPUS_EXACT;
        if (out->tolerance == CORPUS_EXACT && strcmp(word, "exact")) corpus_die(c, "unknown tolerance %s", word);
        if (out->tolerance != CORPUS_EXACT) {
            corpus_word(c, word, sizeof word);
            out->limit = strtod(word, NULL);
        }
    } else if (corpus_take(c, "strides")) {
        if (corpus_list(c, out->strides) != t->ndim) corpus_die(c, "strides of another rank");
        t->strides = out->strides;
        if (!corpus_take(c, "offset ")) corpus_die(c, "offset is missing");
        offset = corpus_int(c);
        if (!corpus_take(c, "size ")) corpus_die(c, "size is missing");
        size = corpus_int(c);
    }
    if (!corpus_take(c, ":")) corpus_die(c, "a : is missing");

    size_t width = t->dtype.bits / 8u;
    out->storage_bytes = (size_t)size * width;
    out->storage = corpus_alloc(out->storage_bytes);
    memset(out->storage, 0xA5, out->storage_bytes);
    t->data = (char *)out->storage + (size_t)offset * width;
    int64_t n = corpus_size(t);
    for (int64_t i = 0; i < n; i++) {
        char *end;
        uint64_t bits = strtoull(c->at, &end, 16);
        if (end == c->at) corpus_die(c, "%" PRId64 " values, not %" PRId64, i, n);
        c->at = end;
        int64_t place = offset + corpus_place(t, i);
        if (place < 0 || place >= size) corpus_die(c, "element outside its storage");
        memcpy((char *)out->storage + (size_t)place * width, &bits, width); /* little-endian hosts */
    }
    while (*c->at == ' ') c->at++;
    if (*c->at) corpus_die(c, "more than %" PRId64 " values", n);
}

static char *corpus_slurp(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = corpus_alloc((size_t)size + 1);
    if (fread(text, 1, (size_t)size, f) != (size_t)size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    fclose(f);
    return text;
}

static void corpus_add_source(struct corpus_case *k, const char *line) {
    size_t old = strlen(k->source), more = strlen(line);
    char *text = corpus_alloc(old + more + 2);
    memcpy(text, k->source, old);
    if (old) text[old++] = '\n';
    memcpy(text + old, line, more + 1);
    free(k->source);
    k->source = text;
}

static void corpus_read_line(struct cursor *c, struct corpus_case *k) {
    if (*c->at == '|') {
        corpus_add_source(k, c->at[1] == ' ' ? c->at + 2 : c->at + 1);
    } else if (corpus_take(c, "input ") || corpus_take(c, "default ")) {
        bool is_default = c->at[-2] == 't' && c->at[-3] == 'l';
        if (k->n_input == CORPUS_INPUTS) corpus_die(c, "too many inputs");
        struct corpus_tensor *t = &k->input[k->n_input++];
        corpus_word(c, t->name, sizeof t->name);
        t->is_default = is_default;
        if (!is_default) corpus_read_tensor(c, t, false);
    } else if (corpus_take(c, "expect ")) {
        if (k->n_expect == CORPUS_OUTPUTS) corpus_die(c, "too many outputs");
        corpus_read_tensor(c, &k->expect[k->n_expect++], true);
    } else if (corpus_take(c, "error ")) {
        corpus_word(c, k->error, sizeof k->error);
        while (*c->at == ' ') c->at++;
        snprintf(k->error_text, sizeof k->error_text, "%s", c->at);
    } else {
        corpus_die(c, "not understood: %.40s", c->at);
    }
}

struct corpus_file *corpus_read(const char *path) {
    struct corpus_file *file = corpus_alloc(sizeof *file);
    struct cursor c = {path, 0, NULL};
    char *text = corpus_slurp(path);
    int capacity = 0;
    for (const char *p = text; (p = strstr(p, "case ")); p += 5)
        if (p == text || p[-1] == '\n') capacity++;
    file->cases = corpus_alloc((size_t)capacity * sizeof *file->cases);
    for (char *line = text, *next; *line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : line + strlen(line);
        if (end) *end = 0;
        c.line++;
        c.at = line;
        if (!*line || *line == '#') continue;
        if (corpus_take(&c, "case ")) {
            struct corpus_case *k = &file->cases[file->count++];
            corpus_word(&c, k->name, sizeof k->name);
            k->source = corpus_alloc(1);
        } else if (file->count == 0) {
            corpus_die(&c, "a line before the first case");
        } else {
            corpus_read_line(&c, &file->cases[file->count - 1]);
        }
    }
    free(text);
    for (int i = 0; i < file->count; i++)
        if ((file->cases[i].n_expect > 0) == (file->cases[i].error[0] != 0))
            corpus_die(&c, "case %s needs either expect or error", file->cases[i].name);
    return file;
}

void corpus_free(struct corpus_file *file) {
    for (int i = 0; i < file->count; i++) {
        struct corpus_case *k = &file->cases[i];
        for (int j = 0; j < k->n_input; j++) free(k->input[j].storage);
        for (int j = 0; j < k->n_expect; j++) free(k->expect[j].storage);
        free(k->source);
    }
    free(file->cases);
    free(file);
}

static uint64_t corpus_bits(const DLTensor *t, int64_t flat) {
    uint64_t bits = 0;
    size_t width = t->dtype.bits / 8u;
    memcpy(&bits, (const char *)t->data + t->byte_offset + corpus_place(t, flat) * (int64_t)width, width);
    return bits;
}

static double corpus_value(const DLTensor *t, uint64_t bits) {
    if (t->dtype.bits == 64) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    float v;
    uint32_t low = (uint32_t)bits;
    memcpy(&v, &low, sizeof v);
    return v;
}

/* One unit in the last place at v. Both are exact in f64; at the largest finite values the step below is the same. */
static double corpus_ulp(const DLTensor *t, double v) {
    if (t->dtype.bits == 64) return fabs(v) == DBL_MAX ? v - nextafter(v, 0) : nextafter(fabs(v), INFINITY) - fabs(v);
    float f = fabsf((float)v);
    return f == FLT_MAX ? f - nextafterf(f, 0) : nextafterf(f, INFINITY) - f;
}

static bool corpus_same(const struct corpus_tensor *expect, uint64_t want, uint64_t got, double slack) {
    const DLTensor *t = &expect->tensor;
    if (want == got) return true;
    if (t->dtype.code != kDLFloat) return false;
    double w = corpus_value(t, want), g = corpus_value(t, got);
    if (isnan(w) || isnan(g)) return isnan(w) && isnan(g);
    if (expect->tolerance == CORPUS_EXACT) return false;
    if (isinf(w) || isinf(g)) return w == g;
    double limit = expect->tolerance == CORPUS_ULP ? (expect->limit + slack) * corpus_ulp(t, w) : expect->limit;
    return fabs(w - g) <= limit;
}

const char *corpus_compare(const struct corpus_tensor *expect, const DLTensor *got, double slack) {
    static char text[256];
    const DLTensor *want = &expect->tensor;
    const char *names[2] = {corpus_type_name(want->dtype), corpus_type_name(got->dtype)};
    text[0] = 0;
    if (names[0] != names[1]) {
        snprintf(text, sizeof text, "type %s, expected %s", names[1], names[0]);
        return text;
    }
    bool shapes = want->ndim == got->ndim;
    for (int d = 0; shapes && d < want->ndim; d++) shapes = want->shape[d] == got->shape[d];
    if (!shapes) {
        int n = snprintf(text, sizeof text, "shape [");
        for (int d = 0; d < got->ndim && d < 8; d++)
            n += snprintf(text + n, sizeof text - (size_t)n, " %" PRId64, got->shape[d]);
        n += snprintf(text + n, sizeof text - (size_t)n, " ], expected [");
        for (int d = 0; d < want->ndim; d++)
            n += snprintf(text + n, sizeof text - (size_t)n, " %" PRId64, want->shape[d]);
        snprintf(text + n, sizeof text - (size_t)n, " ]");
        return text;
    }
    for (int64_t i = 0, n = corpus_size(want); i < n; i++) {
        uint64_t w = corpus_bits(want, i), g = corpus_bits(got, i);
        if (corpus_same(expect, w, g, slack)) continue;
        int width = want->dtype.bits / 4;
        if (want->dtype.code == kDLFloat)
            snprintf(text, sizeof text, "element %" PRId64 ": %.17g (%0*" PRIx64 "), expected %.17g (%0*" PRIx64 ")", i,
                     corpus_value(want, g), width, g, corpus_value(want, w), width, w);
        else
            snprintf(text, sizeof text, "element %" PRId64 ": %0*" PRIx64 ", expected %0*" PRIx64, i, width, g, width,
                     w);
        return text;
    }
    return text;
}

struct corpus_promotion *corpus_read_promotion(const char *path, int *count) {
    char *text = corpus_slurp(path), expression[64] = "";
    struct cursor c = {path, 0, NULL};
    struct corpus_promotion *rows;
    int lines = 1;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    rows = corpus_alloc((size_t)lines * sizeof *rows);
    *count = 0;
    for (char *line = text, *next; *line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : line + strlen(line);
        if (end) *end = 0;
        c.line++;
        c.at = line;
        if (!*line || *line == '#') continue;
        if (corpus_take(&c, "op ")) {
            snprintf(expression, sizeof expression, "%s", c.at);
            continue;
        }
        struct corpus_promotion *row = &rows[(*count)++];
        memcpy(row->expression, expression, sizeof expression);
        corpus_word(&c, row->operand[0], sizeof row->operand[0]);
        if (strstr(expression, "$y")) corpus_word(&c, row->operand[1], sizeof row->operand[1]);
        corpus_word(&c, row->result, sizeof row->result);
    }
    free(text);
    return rows;
}
