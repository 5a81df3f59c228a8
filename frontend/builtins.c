/* builtins.c: the table of builtins.def, and the names of the language for completion. */
#include <string.h>

#include "frontend/resolve.h"
#include "ir/ops.h"

const struct builtin_info builtin_info[BUILTIN_COUNT] = {
#define BUILTIN(id, ...) [BUILTIN_##id] = {.name = #id, __VA_ARGS__},
#include "frontend/builtins.def"
#undef BUILTIN
};

bool resolve_word_among(const char *words, const char *word) {
    size_t length = strlen(word);
    if (!words || length == 0 || strchr(word, ' ')) return false;
    for (const char *at = words; (at = strstr(at, word)); at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) return true;
    return false;
}

enum builtin builtin_from_name(const char *name) {
    for (int i = 0; i < BUILTIN_COUNT; i++)
        if (strcmp(builtin_info[i].name, name) == 0 || resolve_word_among(builtin_info[i].alias, name))
            return (enum builtin)i;
    return BUILTIN_COUNT;
}

/* Names that are neither functions nor operations. The first four are in the order of enum resolve_constant. */
static const struct {
    const char *name, *doc;
} builtins_words[] = {
    {"pi", "3.14159..., a weak float"},
    {"e", "2.71828..., a weak float"},
    {"nan", "not a number, a weak float"},
    {"inf", "infinity, a weak float"},
    {"true", "the bool"},
    {"false", "the bool"},
    {"and", "both; elementwise on arrays, short-circuit on scalars"},
    {"or", "either; elementwise on arrays, short-circuit on scalars"},
    {"not", "negation of bools"},
    {"None", "in a subscript: a new dimension of size 1"},
    {"param", "param x: f32[n] or param k = 3.0: an input"},
    {"fn", "fn name(a, b) = expr or { ... }: a function of whole arrays"},
    {"ufunc", "ufunc name(a, b) = expr or { ... }: a function of elements"},
    {"if", "if c { ... } elif d { ... } else { ... }, or a if c else b"},
    {"elif", "a further condition of an if"},
    {"else", "the rest of an if"},
    {"while", "while c { ... }: a loop"},
    {"for", "for i in a:b { ... } or for i in a:b:step { ... }: a loop over integers"},
    {"in", "the range of a for loop"},
    {"break", "leaves the loop"},
    {"continue", "goes on with the loop's next round"},
    {"return", "return a, b: the results of a function or of the program"},
    {"assert", "assert c, \"text\": stops the program if c is false"},
};

const char *resolve_constant_name(int index) {
    return builtins_words[index].name;
}

static const char *builtins_dtype_doc(enum dtype type) {
    static const char *const docs[TY_COUNT] = {
        [TY_BOOL] = "element type: true or false",
        [TY_I8] = "element type: integer of 8 bits; i8(x) converts",
        [TY_I16] = "element type: integer of 16 bits; i16(x) converts",
        [TY_I32] = "element type: integer of 32 bits; i32(x) converts",
        [TY_I64] = "element type: integer of 64 bits; i64(x) converts",
        [TY_U8] = "element type: unsigned integer of 8 bits; u8(x) converts",
        [TY_U16] = "element type: unsigned integer of 16 bits; u16(x) converts",
        [TY_U32] = "element type: unsigned integer of 32 bits; u32(x) converts",
        [TY_U64] = "element type: unsigned integer of 64 bits; u64(x) converts",
        [TY_F16] = "element type: float of 16 bits; not available in this version",
        [TY_F32] = "element type: float of 32 bits; f32(x) converts",
        [TY_F64] = "element type: float of 64 bits; f64(x) converts",
    };
    return docs[type];
}

/* The `index`-th of the space-separated words of `alias`, counted down; NULL once they are used up. Aliases have no
 * text of their own to point at, so completion offers functions under their first names only. */
const char *frontend_name(int index, const char **doc) {
    if (index < 0) return NULL;
    if (index < BUILTIN_COUNT) {
        *doc = builtin_info[index].doc;
        return builtin_info[index].name;
    }
    index -= BUILTIN_COUNT;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        bool hidden = info->rule == RULE_NONE || (info->flags & OPF_HIDDEN) || op == OP_min || op == OP_max;
        if (op == OP_select) hidden = false;
        if (hidden || index-- > 0) continue;
        *doc = info->doc;
        return op == OP_select ? info->alias : info->name;
    }
    for (int type = TY_BOOL; type < TY_COUNT; type++) {
        if (index-- > 0) continue;
        *doc = builtins_dtype_doc((enum dtype)type);
        return dtype_name((enum dtype)type);
    }
    if (index >= (int)(sizeof builtins_words / sizeof *builtins_words)) return NULL;
    *doc = builtins_words[index].doc;
    return builtins_words[index].name;
}
