/* mutate.h: changes the text of a program at random: its tokens, so that most results still parse, its lines, its
 * bytes. For fuzz_program.c, the one file that includes it. */
#ifndef MUTATE_H
#define MUTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "corpus/corpus.h"

enum { MOST_TEXT = 6000 };

static uint64_t state = 1;

static uint64_t next(void) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

static uint64_t below(uint64_t n) {
    return n ? (next() >> 11) % n : 0;
}

#ifndef WEFT_LIBFUZZER

struct seed {
    const char *text;
    const struct corpus_case *from;
};
static struct seed *seeds;
static size_t n_seeds;

struct token {
    int kind; /* 'a' name, '0' number, '+' operator, '(' bracket, '"' text, '\n', ' ' */
    size_t at, length;
};
enum { MOST_TOKENS = 3000 };
static struct token tokens[MOST_TOKENS];
static size_t n_tokens;
static char now[MOST_TEXT + 1];
static size_t now_length;

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void tokenize(void) {
    n_tokens = 0;
    for (size_t at = 0; at < now_length && n_tokens < MOST_TOKENS;) {
        size_t end = at + 1;
        char c = now[at];
        int kind = '+';
        if (is_name(c)) {
            kind = 'a';
            while (end < now_length && (is_name(now[end]) || (now[end] >= '0' && now[end] <= '9'))) end++;
        } else if (c >= '0' && c <= '9') {
            kind = '0';
            while (end < now_length &&
                   ((now[end] >= '0' && now[end] <= '9') || now[end] == '.' || now[end] == 'e' || now[end] == '_'))
                end++;
        } else if (c == '"') {
            kind = '"';
            while (end < now_length && now[end] != '"' && now[end] != '\n') end++;
            if (end < now_length) end++;
        } else if (strchr("()[]{}", c) && c)
            kind = '(';
        else if (c == '\n' || c == ';')
            kind = '\n';
        else if (c == ' ' || c == '\t')
            kind = ' ';
        else
            while (end < now_length && strchr("*/<>=!:&|.", now[end]) && now[end] && end - at < 3) end++;
        if (kind != ' ') tokens[n_tokens++] = (struct token){kind, at, end - at};
        at = end;
    }
}

static void replace(size_t at, size_t length, const char *with, size_t with_length) {
    if (at > now_length || length > now_length - at || now_length - length + with_length > MOST_TEXT) return;
    memmove(now + at + with_length, now + at + length, now_length - at - length);
    memcpy(now + at, with, with_length);
    now_length = now_length - length + with_length;
}

#define PICK(array) ((array)[below(sizeof(array) / sizeof *(array))])

static const char *const operators[] = {"+",  "-", "*",     "/",    "//",   "%",      "**", "@",  "<<",
                                        ">>", "&", "|",     "^",    "==",   "<",      ">=", "!=", ",",
                                        ":",  "=", " and ", " or ", " if ", " else ", "+=", "*=", ":="};
static const char *const numbers[] = {"0",
                                      "1",
                                      "-1",
                                      "2",
                                      "3",
                                      "7",
                                      "0.5",
                                      "1e300",
                                      "nan",
                                      "inf",
                                      "-inf",
                                      "255",
                                      "256",
                                      "1000",
                                      "true",
                                      "false",
                                      "9223372036854775807",
                                      "(-9223372036854775807 - 1)",
                                      "4294967296",
                                      "None",
                                      "1_000_000",
                                      "1e-320",
                                      "63",
                                      "64"};
static const char *const type_names[] = {"bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"};
static const char *const calls[] = {"sum",         "prod",         "min",          "max",       "mean",
                                    "var",         "std",          "any",          "all",       "count",
                                    "argmin",      "argmax",       "norm",         "dot",       "median",
                                    "quantile",    "nansum",       "nanmin",       "nanargmax", "nanstd",
                                    "cumsum",      "cumprod",      "cummax",       "sort",      "argsort",
                                    "unique",      "searchsorted", "interp",       "histogram", "bincount",
                                    "windows",     "zeros",        "ones",         "full",      "arange",
                                    "linspace",    "eye",          "random",       "normal",    "randint",
                                    "permutation", "reshape",      "transpose",    "concat",    "stack",
                                    "flip",        "roll",         "pad",          "tile",      "repeat",
                                    "diff",        "squeeze",      "broadcast_to", "matmul",    "outer",
                                    "trace",       "where",        "clip",         "fma",       "abs",
                                    "sqrt",        "exp",          "log",          "sin",       "tan",
                                    "atan2",       "erf",          "tgamma",       "pow",       "hypot",
                                    "fmod",        "ldexp",        "floor",        "rint",      "isnan",
                                    "popcount",    "rotl",         "len",          "at",        "print",
                                    "assert",      "reduce",       "scan",         "x.shape",   "f",
                                    "sign",        "square",       "i64",          "u8",        "f32",
                                    "bool",        "i8",           "not ",         "-",         "~"};
static const char *const wholes[] = {"[::-1]",
                                     "[0]",
                                     "[-1]",
                                     "[1:]",
                                     "[:, None]",
                                     "[..., 0]",
                                     "[x > 0]",
                                     "[i]",
                                     ".T",
                                     ".shape",
                                     "[None]",
                                     "[::2]",
                                     "[5:2]",
                                     "[idx]",
                                     ", axis=0",
                                     ", axis=-1",
                                     ", axis=(0, 1)",
                                     ", keepdims=true",
                                     ", by=i, groups=3",
                                     ", dtype=f32",
                                     ", ddof=1",
                                     ", fill",
                                     "[[1, 2], [3, 4]]",
                                     "[]"};
static const char *const frames[][2] = {
    {"for i in 0:3 {\n", "\n}\n"},       {"if len(x) > 1 {\n", "\n} else { x = 1 }\n"},
    {"while x < 3 {\n", "\n break }\n"}, {"fn f(x) {\n", "\n}\nf(x)\n"},
    {"ufunc g(x) {\n", "\n}\ng(x)\n"},   {"i = 0\nwhile i < 4 { i += 1\n", "\n}\n"}};

/* The brackets that token `t` opens: the token that closes them. */
static size_t closing(size_t t) {
    int depth = 0;
    for (size_t i = t; i < n_tokens; i++) {
        if (tokens[i].kind != '(') continue;
        depth += strchr("([{", now[tokens[i].at]) ? 1 : -1;
        if (depth == 0) return i;
    }
    return t;
}

/* A run of tokens that is likely an expression: a name or number with the brackets after it, or a bracketed one. */
static void expression(size_t t, size_t *at, size_t *length) {
    size_t last = t;
    if (tokens[t].kind == '(')
        last = closing(t);
    else if (t + 1 < n_tokens && tokens[t + 1].kind == '(' && strchr("([", now[tokens[t + 1].at]))
        last = closing(t + 1);
    *at = tokens[t].at;
    *length = tokens[last].at + tokens[last].length - *at;
}

static void mutate_tokens(void) {
    tokenize();
    if (!n_tokens) return;
    size_t t = below(n_tokens), u = below(n_tokens), at, length, at2, length2;
    char copy[MOST_TEXT + 64];
    const char *word;
    expression(t, &at, &length);
    expression(u, &at2, &length2);
    switch (below(9)) {
    case 0: /* another of its kind */
        word = tokens[t].kind == '+'   ? PICK(operators)
               : tokens[t].kind == '0' ? PICK(numbers)
               : below(2)              ? PICK(type_names)
                                       : PICK(calls);
        replace(tokens[t].at, tokens[t].length, word, strlen(word));
        break;
    case 1: /* the same name or expression as elsewhere */
        memcpy(copy, now + at2, length2);
        replace(at, length, copy, length2);
        break;
    case 2: /* two change places */
        if (at + length > at2) break;
        memcpy(copy, now + at2, length2);
        memcpy(copy + length2, now + at + length, at2 - at - length);
        memcpy(copy + length2 + at2 - at - length, now + at, length);
        replace(at, at2 + length2 - at, copy, at2 + length2 - at);
        break;
    case 3: { /* a call of it */
        int n = snprintf(copy, sizeof copy, "%s(%.*s%s)", PICK(calls), (int)length, now + at,
                         below(3)   ? ""
                         : below(2) ? ", 1"
                                    : PICK(wholes));
        replace(at, length, copy, (size_t)n);
        break;
    }
    case 4: /* a subscript or keyword */
        word = PICK(wholes);
        replace(at + length, 0, word, strlen(word));
        break;
    case 5: { /* an operation on it */
        int n = snprintf(copy, sizeof copy, "(%.*s %s %.*s)", (int)length, now + at, PICK(operators), (int)length2,
                         now + at2);
        replace(at, length, copy, (size_t)n);
        break;
    }
    case 6: replace(tokens[t].at, tokens[t].length, "", 0); break;
    case 7: /* a number into it */
        word = PICK(numbers);
        replace(at, length, word, strlen(word));
        break;
    case 8: { /* a type around it */
        int n = snprintf(copy, sizeof copy, "%s(%.*s)", PICK(type_names), (int)length, now + at);
        replace(at, length, copy, (size_t)n);
        break;
    }
    }
}

static void line_at(const char *in, size_t in_length, size_t place, size_t *at, size_t *length) {
    size_t begin = place, end = place;
    while (begin > 0 && in[begin - 1] != '\n') begin--;
    while (end < in_length && in[end] != '\n') end++;
    *at = begin, *length = end - begin + (end < in_length);
}

static void mutate_lines(void) {
    size_t at, length, from_at, from_length;
    char copy[MOST_TEXT + 64];
    const struct seed *other = &seeds[below(n_seeds)];
    line_at(now, now_length, below(now_length + 1), &at, &length);
    line_at(other->text, strlen(other->text), below(strlen(other->text) + 1), &from_at, &from_length);
    switch (below(5)) {
    case 0: replace(at, length, "", 0); break;
    case 1:
        memcpy(copy, now + at, length);
        replace(below(2) ? 0 : at, 0, copy, length);
        break;
    case 2: replace(at, below(2) ? length : 0, other->text + from_at, from_length); break;
    case 3: {
        size_t frame = below(sizeof frames / sizeof *frames);
        int n = snprintf(copy, sizeof copy, "%s%.*s%s", frames[frame][0], (int)length, now + at, frames[frame][1]);
        replace(at, length, copy, (size_t)n);
        break;
    }
    case 4: replace(0, 0, other->text, strlen(other->text)); break;
    }
}

static void mutate_bytes(void) {
    size_t at = below(now_length + 1), length = below(6);
    char byte = (char)next();
    switch (below(4)) {
    case 0:
        if (at < now_length) now[at] = byte;
        break;
    case 1: replace(at, 0, &byte, 1); break;
    case 2:
        if (at + length <= now_length) replace(at, length, "", 0);
        break;
    case 3:
        if (below(4) == 0) now_length = at;
        break;
    }
}

#endif
#endif
