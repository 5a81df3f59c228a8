#include "runtime/npy.h"

#include <string.h>

#include "runtime/npy_error.h"

/* The header is the text of a Python dictionary. This reads the dictionaries that NumPy writes and their spellings
 * with other spaces, quotes and order; it is no Python parser, and says so of the rest. */
struct text {
    const char *at, *end;
    const char *path;
    struct npy_error *error;
    int version;
};

#define npy_refuse(text, code, ...) npy_fail((text)->error, (code), "read", (text)->path, __VA_ARGS__)

/* Bytes of the file as they may be shown in a message: printable, and not many. */
static void npy_show(char *out, size_t out_size, const char *bytes, size_t length) {
    size_t n = 0;
    for (size_t i = 0; i < length && n + 4 < out_size; i++)
        out[n++] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?';
    if (n < length) {
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n] = '\0';
}

static void npy_skip_space(struct text *text) {
    while (text->at < text->end && memchr(" \t\r\n\f", *text->at, 5)) text->at++;
}

/* Takes the character `c` after spaces, if it is next. */
static bool npy_take(struct text *text, char c) {
    npy_skip_space(text);
    if (text->at == text->end || *text->at != c) return false;
    text->at++;
    return true;
}

static bool npy_fail_at(struct text *text, const char *expected) {
    char found[32];
    npy_skip_space(text);
    if (text->at == text->end) return npy_refuse(text, DIAG_FILE, "the header ends where %s should be", expected);
    npy_show(found, sizeof found, text->at, (size_t)(text->end - text->at));
    return npy_refuse(text, DIAG_FILE, "in the header, expected %s, found \"%s\"", expected, found);
}

/* A quoted string without escapes. */
static bool npy_take_string(struct text *text, const char **string, size_t *length, const char *expected) {
    npy_skip_space(text);
    if (text->at == text->end || (*text->at != '\'' && *text->at != '"')) return npy_fail_at(text, expected);
    char quote = *text->at;
    const char *start = text->at + 1, *stop = start;
    while (stop < text->end && *stop != quote && *stop != '\\' && *stop != '\n') stop++;
    if (stop == text->end || *stop != quote) return npy_fail_at(text, expected);
    *string = start;
    *length = (size_t)(stop - start);
    text->at = stop + 1;
    return true;
}

/* True if the word is next and is not the start of a longer one. */
static bool npy_take_word(struct text *text, const char *word) {
    size_t length = strlen(word);
    npy_skip_space(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length)) return false;
    const char *after = text->at + length;
    if (after < text->end &&
        (*after == '_' || (*after >= '0' && *after <= '9') || ((*after | 32) >= 'a' && (*after | 32) <= 'z')))
        return false;
    text->at = after;
    return true;
}

static enum dtype npy_dtype(char kind, int size) {
    static const struct {
        char kind;
        int size;
        enum dtype dtype;
    } known[] = {{'b', 1, TY_BOOL}, {'i', 1, TY_I8},  {'i', 2, TY_I16}, {'i', 4, TY_I32},
                 {'i', 8, TY_I64},  {'u', 1, TY_U8},  {'u', 2, TY_U16}, {'u', 4, TY_U32},
                 {'u', 8, TY_U64},  {'f', 4, TY_F32}, {'f', 8, TY_F64}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].kind == kind && known[i].size == size) return known[i].dtype;
    return TY_NONE;
}

static const char *npy_kind_name(char kind) {
    switch (kind) {
    case 'f': return " (float)";
    case 'c': return " (complex)";
    case 'O': return " (Python objects)";
    case 'S':
    case 'a': return " (byte strings)";
    case 'U': return " (strings)";
    case 'V': return " (raw bytes or a structure)";
    case 'M': return " (dates)";
    case 'm': return " (time differences)";
    default: return "";
    }
}

/* '<f8': byte order, kind, bytes. */
static bool npy_take_descr(struct text *text, struct npy_header *header) {
    const char *descr;
    size_t length;
    char shown[40];

    npy_skip_space(text);
    if (text->at < text->end && *text->at == '[')
        return npy_refuse(text, DIAG_UNSUPPORTED,
                          "its elements are structures ('descr' is a list); Weft reads arrays of one "
                          "element type: bool, i8 to i64, u8 to u64, f32 and f64");
    if (!npy_take_string(text, &descr, &length, "the element type, such as '<f8'")) return false;

    npy_show(shown, sizeof shown, descr, length);
    size_t i = 0;
    char order = i < length && memchr("<>|=", descr[i], 4) ? descr[i++] : '=';
    char kind = i < length ? descr[i++] : '\0';
    int size = i < length && length - i == 1 && descr[i] >= '1' && descr[i] <= '8' ? descr[i] - '0' : 0;
    header->dtype = npy_dtype(kind, size);
    if (header->dtype == TY_NONE)
        return npy_refuse(text, DIAG_UNSUPPORTED,
                          "element type '%s'%s is not supported; supported are bool, i8 to i64, u8 to u64, f32 and f64",
                          shown, npy_kind_name(kind));
    if (order == '|' && size > 1)
        return npy_refuse(text, DIAG_FILE, "element type '%s' does not tell its byte order ('<' or '>')", shown);
    header->swapped = size > 1 && order == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<');
    return true;
}

/* (3, 4): sizes from 0 to INT64_MAX. */
static bool npy_take_shape(struct text *text, struct npy_header *header) {
    if (!npy_take(text, '(')) return npy_fail_at(text, "the shape, such as (3, 4)");
    bool comma = true;
    for (header->rank = 0; !npy_take(text, ')');) {
        if (!comma) return npy_fail_at(text, "',' or ')' in the shape");
        npy_skip_space(text);
        if (text->at == text->end || *text->at < '0' || *text->at > '9') {
            if (text->at < text->end && *text->at == '-')
                return npy_refuse(text, DIAG_FILE, "a size in the shape is negative");
            return npy_fail_at(text, "a size in the shape");
        }
        int64_t size = 0;
        for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++)
            if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, *text->at - '0', &size))
                return npy_refuse(text, DIAG_FILE, "a size in the shape does not fit into 63 bits");
        if (text->version < 3 && text->at < text->end && *text->at == 'L') text->at++; /* Python 2 wrote 3L */
        if (header->rank == TYPE_MAX_RANK)
            return npy_refuse(text, DIAG_UNSUPPORTED, "the array has more than %d dimensions", TYPE_MAX_RANK);
        header->shape[header->rank++] = size;
        comma = npy_take(text, ',');
    }
    if (header->rank == 1 && !comma)
        return npy_refuse(text, DIAG_FILE, "the shape is a number, expected a tuple such as (3,)");
    return true;
}

static bool npy_take_dictionary(struct text *text, struct npy_header *header) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    enum { DESCR, FORTRAN_ORDER, SHAPE, KEYS };
    bool seen[KEYS] = {false};
    char shown[40];

    if (!npy_take(text, '{')) return npy_fail_at(text, "a dictionary ('{')");
    bool comma = true;
    while (!npy_take(text, '}')) {
        const char *name;
        size_t length;
        int key = 0;

        if (!comma) return npy_fail_at(text, "',' or '}'");
        if (!npy_take_string(text, &name, &length, "a key in quotes")) return false;
        while (key < KEYS && (strlen(keys[key]) != length || memcmp(keys[key], name, length))) key++;
        npy_show(shown, sizeof shown, name, length);
        if (key == KEYS) return npy_refuse(text, DIAG_FILE, "the header has an unknown key '%s'", shown);
        if (seen[key]) return npy_refuse(text, DIAG_FILE, "the header has the key '%s' twice", shown);
        seen[key] = true;
        if (!npy_take(text, ':')) return npy_fail_at(text, "':' after the key");

        if (key == DESCR && !npy_take_descr(text, header)) return false;
        if (key == SHAPE && !npy_take_shape(text, header)) return false;
        if (key == FORTRAN_ORDER) {
            header->fortran_order = npy_take_word(text, "True");
            if (!header->fortran_order && !npy_take_word(text, "False"))
                return npy_fail_at(text, "True or False for 'fortran_order'");
        }
        comma = npy_take(text, ',');
    }
    for (int key = 0; key < KEYS; key++)
        if (!seen[key]) return npy_refuse(text, DIAG_FILE, "the header has no key '%s'", keys[key]);
    npy_skip_space(text);
    if (text->at < text->end) return npy_fail_at(text, "nothing after the dictionary");
    return true;
}

/* Fills data_size. An array with a zero size must still have sensible other sizes: strides are computed from them. */
static bool npy_check_size(struct text *text, struct npy_header *header, uint64_t file_size) {
    int64_t total = dtype_size(header->dtype);
    bool empty = false;

    for (int i = 0; i < header->rank; i++) {
        if (header->shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(total, header->shape[i], &total))
            return npy_refuse(text, DIAG_FILE, "the shape has more elements than memory has bytes");
    }
    header->data_size = empty ? 0 : (uint64_t)total;
    if (header->data_size > file_size - header->data_offset)
        return npy_refuse(text, DIAG_FILE, "the file is cut short: its shape needs %llu bytes of data, it has %llu",
                          (unsigned long long)header->data_size, (unsigned long long)(file_size - header->data_offset));
    return true;
}

bool npy_parse(const void *bytes, size_t size, uint64_t file_size, const char *path, struct npy_header *header,
               struct npy_error *error) {
    static const unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    const unsigned char *b = bytes;
    struct text text = {.path = path, .error = error};

    memset(header, 0, sizeof *header);
    if (size < sizeof magic || memcmp(b, magic, sizeof magic))
        return npy_refuse(&text, DIAG_FILE,
                          size ? "it is no .npy file (it does not start with \\x93NUMPY)" : "the file is empty");
    if (size < 10) return npy_refuse(&text, DIAG_FILE, "the file ends inside its header");
    text.version = b[6];
    if (text.version < 1 || text.version > 3 || b[7] != 0)
        return npy_refuse(&text, DIAG_UNSUPPORTED, "it is a .npy file of version %d.%d; supported are 1.0, 2.0 and 3.0",
                          b[6], b[7]);

    size_t start = text.version == 1 ? 10 : 12;
    if (size < start) return npy_refuse(&text, DIAG_FILE, "the file ends inside its header");
    uint32_t length = (uint32_t)b[8] | (uint32_t)b[9] << 8;
    if (text.version > 1) length |= (uint32_t)b[10] << 16 | (uint32_t)b[11] << 24;
    header->data_offset = start + (uint64_t)length;
    if (header->data_offset > file_size)
        return npy_refuse(&text, DIAG_FILE, "its header says it is %lu bytes long, but the file ends after %llu",
                          (unsigned long)length, (unsigned long long)file_size);
    if (length > NPY_MAX_HEADER)
        return npy_refuse(&text, DIAG_UNSUPPORTED, "its header is %lu bytes long; at most %d are accepted",
                          (unsigned long)length, NPY_MAX_HEADER);
    if (header->data_offset > size) return npy_refuse(&text, DIAG_FILE, "the file ends inside its header");

    text.at = (const char *)b + start;
    text.end = text.at + length;
    return npy_take_dictionary(&text, header) && npy_check_size(&text, header, file_size);
}
