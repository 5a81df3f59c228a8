/* emit_prelude.c: of the prelude, the pieces that a kernel needs. */
#include "codegen/ptx/emit.h"

#include <ctype.h>
#include <string.h>

extern const char cu_prelude_text[]; /* prelude/ *.cuh, embedded by the build */

static const char piece_mark[] = "// piece:";

struct cu_piece {
    const char *names, *text, *end; /* `names`: the rest of the line with the mark; `text`: the next line */
    bool wanted;
};

struct cu_pieces {
    struct cu_piece *piece;
    int n, capacity;
    struct strbuf *out;
};

static const char *line_after(const char *at) {
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at + strlen(at);
}

static bool is_mark(const char *line, const char *mark) {
    return !strncmp(line, mark, strlen(mark));
}

/* A piece ends where the next one begins, or at the comment that begins a section ("// ---") or a file ("// file.cuh:
 * ..."). */
static bool ends_piece(const char *line) {
    if (is_mark(line, piece_mark) || is_mark(line, "// ---")) return true;
    const char *name = strstr(line, ".cuh: ");
    return is_mark(line, "// ") && name && name < line_after(line);
}

static void find_pieces(struct arena *arena, struct cu_pieces *pieces) {
    for (const char *line = cu_prelude_text; *line; line = line_after(line)) {
        if (!is_mark(line, piece_mark)) continue;
        struct cu_piece piece = {.names = line + sizeof piece_mark - 1, .text = line_after(line)};
        piece.end = piece.text;
        while (*piece.end && !ends_piece(piece.end)) piece.end = line_after(piece.end);
        while (piece.end > piece.text && isspace((unsigned char)piece.end[-1])) piece.end--;
        ARENA_PUSH(arena, pieces->piece, pieces->n, pieces->capacity) = piece;
    }
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* `names` is a list of words that ends with its line. */
static bool is_among(const char *names, const char *word, size_t length) {
    for (const char *at = names; *at && *at != '\n'; at++) {
        const char *begin = at;
        while (is_word(*at)) at++;
        if ((size_t)(at - begin) == length && !memcmp(begin, word, length)) return true;
        if (!*at || *at == '\n') break;
    }
    return false;
}

static void want(struct cu_pieces *pieces, const char *text, const char *end) {
    static const char prefix[] = "weft_";
    for (const char *at = text; at < end;) {
        const char *word = at;
        while (at < end && is_word(*at)) at++;
        if (at == word) {
            at++;
            continue;
        }
        if (strncmp(word, prefix, sizeof prefix - 1)) continue;
        for (int i = 0; i < pieces->n; i++) {
            struct cu_piece *piece = &pieces->piece[i];
            if (piece->wanted || !is_among(piece->names, word, (size_t)(at - word))) continue;
            piece->wanted = true;
            want(pieces, piece->text, piece->end); /* before it stands what it needs */
            strbuf_add(pieces->out, piece->text, (size_t)(piece->end - piece->text));
            strbuf_puts(pieces->out, "\n\n");
        }
    }
}

void cu_prelude(struct arena *arena, const char *text, struct strbuf *out) {
    struct cu_pieces pieces = {.out = out};
    find_pieces(arena, &pieces);
    want(&pieces, text, text + strlen(text));
}
