/* ast.c: names, operators and quoted text. */
#include "frontend/ast.h"

#include <string.h>

const char *ast_op_text(enum ast_op op) {
    static const char *const texts[AST_N_OPS] = {
        [AST_OP_NONE] = "",    [AST_ADD] = "+",    [AST_SUB] = "-",    [AST_MUL] = "*",   [AST_DIV] = "/",
        [AST_FLOORDIV] = "//", [AST_MOD] = "%",    [AST_MATMUL] = "@", [AST_POW] = "**",  [AST_SHL] = "<<",
        [AST_SHR] = ">>",      [AST_BITAND] = "&", [AST_BITXOR] = "^", [AST_BITOR] = "|", [AST_INVERT] = "~",
        [AST_NOT] = "not",     [AST_EQ] = "==",    [AST_NE] = "!=",    [AST_LT] = "<",    [AST_LE] = "<=",
        [AST_GT] = ">",        [AST_GE] = ">=",    [AST_AND] = "and",  [AST_OR] = "or",
    };
    return texts[op];
}

/* Open addressing; at most half full. The length stands with the name because two names may share a beginning. */
struct ast_name_slot {
    const char *name;
    size_t length;
    uint64_t hash;
};

struct ast_names {
    struct ast_name_slot *slots;
    size_t n_slots; /* a power of two */
    size_t count;
    uint64_t seed; /* differs from program to program, so that no text can be made of colliding names */
};

static uint64_t ast_hash(uint64_t seed, const char *text, size_t length) {
    uint64_t hash = seed;
    for (size_t i = 0; i < length; i++) { /* FNV-1a, with a shift so that the seed reaches the low bits */
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return hash;
}

static struct ast_name_slot *ast_find(struct ast_names *names, uint64_t hash, const char *text, size_t length) {
    for (size_t at = hash;; at++) {
        struct ast_name_slot *slot = &names->slots[at & (names->n_slots - 1)];
        if (!slot->name) return slot;
        if (slot->hash == hash && slot->length == length && memcmp(slot->name, text, length) == 0) return slot;
    }
}

static void ast_names_grow(struct arena *arena, struct ast_names *names) {
    struct ast_name_slot *old = names->slots;
    size_t n_old = names->n_slots;
    names->n_slots = n_old ? 2 * n_old : 64;
    names->slots = arena_array(arena, names->n_slots, sizeof *names->slots);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].name) *ast_find(names, old[i].hash, old[i].name, old[i].length) = old[i];
    }
}

const char *ast_name(struct arena *arena, struct ast_program *program, const char *text, size_t length) {
    struct ast_names *names = program->names;
    if (!names) {
        names = program->names = ARENA_NEW(arena, struct ast_names);
        names->seed = 0xcbf29ce484222325u ^ ((uint64_t)(uintptr_t)names * 0x9e3779b97f4a7c15u);
    }
    if (2 * names->count >= names->n_slots) ast_names_grow(arena, names);
    uint64_t hash = ast_hash(names->seed, text, length);
    struct ast_name_slot *slot = ast_find(names, hash, text, length);
    if (!slot->name) {
        char *name = arena_strndup(arena, text, length);
        *slot = (struct ast_name_slot){name, length, hash};
        names->count++;
    }
    return slot->name;
}

enum { AST_SHOWN = 60 };

const char *ast_text(struct arena *arena, const struct ast_program *program, struct span span) {
    char *out = arena_alloc(arena, AST_SHOWN + sizeof "…");
    size_t n = 0, character = 0; /* character: where the last one began, so that none is cut in two */
    size_t at = span.offset < program->length ? span.offset : program->length;
    size_t end = at + (span.length < program->length - at ? span.length : program->length - at);
    bool in_string = false;
    for (; at < end; at++) {
        unsigned char c = (unsigned char)program->text[at];
        if (c == '"' && (at == span.offset || program->text[at - 1] != '\\')) in_string = !in_string;
        if (c == '#' && !in_string) { /* a comment inside brackets */
            while (at + 1 < end && program->text[at + 1] != '\n') at++;
            continue;
        }
        if (c <= ' ') c = ' ';
        if (c == ' ' && (n == 0 || out[n - 1] == ' ')) continue;
        if ((c & 0xc0) != 0x80) character = n;
        if (n == AST_SHOWN) {
            memcpy(out + character, "…", sizeof "…");
            return out;
        }
        out[n++] = (char)c;
    }
    if (n > 0 && out[n - 1] == ' ') n--;
    out[n] = 0;
    return out;
}
