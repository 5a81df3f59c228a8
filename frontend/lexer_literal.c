/* lexer_literal.c: the values of numbers and strings, and the words for tokens in messages. */
#define _GNU_SOURCE /* strtod_l */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/lexer.h"

enum { LITERAL_SHOWN = 40 }; /* bytes of a token that a message quotes */

int lexer_utf8(const char *text, size_t length) {
    const unsigned char *s = (const unsigned char *)text;
    if (length == 0) return 0;
    if (s[0] < 0x80) return 1;
    int n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || (size_t)n > length) return 0;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
    }
    /* Overlong forms, surrogates, beyond U+10FFFF. */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

static struct span literal_span(struct token token) {
    return (struct span){token.offset, token.length};
}

static int literal_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool lexer_int(const char *text, struct token token, struct diag_list *diags, uint64_t *value) {
    const char *at = text + token.offset, *end = at + token.length;
    unsigned base = 10;
    if (token.length > 1 && at[0] == '0') {
        if (at[1] == 'x' || at[1] == 'X') base = 16;
        if (at[1] == 'b' || at[1] == 'B') base = 2;
        if (base != 10) at += 2;
    }
    bool zero_first = base == 10 && *at == '0';
    uint64_t sum = 0;
    for (; at < end; at++) {
        if (*at == '_') continue;
        uint64_t digit = (uint64_t)literal_digit(*at);
        if (sum > (UINT64_MAX - digit) / base) {
            diag_add(diags, DIAG_SYNTAX, literal_span(token),
                     "the integer is too large: expected at most 18446744073709551615");
            return false;
        }
        sum = sum * base + digit;
    }
    if (zero_first && sum != 0) {
        diag_add(diags, DIAG_SYNTAX, literal_span(token), "a decimal number does not begin with 0");
        return false;
    }
    *value = sum;
    return true;
}

bool lexer_float(struct arena *arena, const char *text, struct token token, struct diag_list *diags, double *value) {
    char *digits = arena_alloc(arena, (size_t)token.length + 1);
    size_t n = 0;
    for (uint32_t i = 0; i < token.length; i++) {
        if (text[token.offset + i] != '_') digits[n++] = text[token.offset + i];
    }
    /* Not plain strtod: the host may have set a locale with a decimal comma. */
    locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (locale == (locale_t)0) arena_fail(arena);
    *value = strtod_l(digits, NULL, locale);
    freelocale(locale);
    if (*value > 1.7976931348623157e308) {
        diag_add(diags, DIAG_SYNTAX, literal_span(token),
                 "the number is too large for f64: expected at most 1.797…e308, or `inf`");
        return false;
    }
    return true;
}

/* Bytes of a code point in UTF-8. */
static size_t literal_encode(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | (code >> (6 * more)));
    for (int i = 1; i <= more; i++) out[i] = (char)(0x80 | ((code >> (6 * (more - i))) & 0x3f));
    return (size_t)more + 1;
}

/* Decodes one escape; *at is behind the backslash and moves behind the escape. NULL, or what is wrong with it. */
static const char *literal_escape(const char **at, const char *end, char *out, size_t *n) {
    static const char expected[] = "unknown escape: expected \\n, \\t, \\\\, \\\", \\xHH or \\u{…}";
    char c = *(*at)++;
    uint32_t code = 0;
    switch (c) {
    case 'n': out[(*n)++] = '\n'; return NULL;
    case 't': out[(*n)++] = '\t'; return NULL;
    case '\\':
    case '"': out[(*n)++] = c; return NULL;
    case 'x':
        for (int i = 0; i < 2; i++) {
            if (*at == end || literal_digit(**at) < 0) return "expected two hexadecimal digits after \\x";
            code = code * 16 + (uint32_t)literal_digit(*(*at)++);
        }
        if (code == 0) return "a string cannot hold a NUL byte";
        out[(*n)++] = (char)code;
        return NULL;
    case 'u': {
        if (*at == end || **at != '{') return "expected `{` and hexadecimal digits after \\u";
        const char *first = ++*at;
        while (*at < end && literal_digit(**at) >= 0 && code < 0x110000)
            code = code * 16 + (uint32_t)literal_digit(*(*at)++);
        if (*at == first || *at == end || **at != '}' || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return "expected a code point in hexadecimal and `}` after \\u{";
        ++*at;
        if (code == 0) return "a string cannot hold a NUL byte";
        *n += literal_encode(code, out + *n);
        return NULL;
    }
    default: return expected;
    }
}

bool lexer_string(struct arena *arena, const char *text, struct token token, struct diag_list *diags,
                  const char **value, size_t *length) {
    const char *at = text + token.offset + 1, *end = text + token.offset + token.length - 1;
    char *out = arena_alloc(arena, (size_t)token.length); /* no escape is shorter than what it stands for */
    size_t n = 0;
    bool good = true;
    while (at < end) {
        if (*at != '\\') {
            out[n++] = *at++;
            continue;
        }
        const char *start = at++;
        const char *wrong = literal_escape(&at, end, out, &n);
        if (wrong) {
            struct span span = {(uint32_t)(start - text), (uint32_t)(at - start)};
            diag_add(diags, DIAG_SYNTAX, span, "%s", wrong);
            good = false;
        }
    }
    *value = out;
    *length = n;
    return good;
}

const char *lexer_describe(struct arena *arena, const char *text, struct token token) {
    static const char *const kinds[TK_N_KINDS] = {
        [TK_EOF] = "the end of the text", [TK_NEWLINE] = "the end of the line", [TK_NAME] = "the name ",
        [TK_INT] = "the number ",         [TK_FLOAT] = "the number ",
    };
    const char *kind = token.kind >= TK_TRUE ? "the keyword " : kinds[token.kind];
    if (token.kind == TK_EOF || token.kind == TK_NEWLINE) return kind;
    if (token.length == 0) return "the end of the text"; /* a bracket that was closed by force */
    if (token.kind == TK_STRING) return "a string";
    if (token.length <= LITERAL_SHOWN)
        return arena_printf(arena, "%s`%.*s`", kind ? kind : "", (int)token.length, text + token.offset);
    return arena_printf(arena, "%s`%.*s…`", kind ? kind : "", LITERAL_SHOWN, text + token.offset);
}
