/* parse.c: tokens, numbers and sizes of the text forms. */
#include "ir/parse_internal.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { PARSE_MAX_DEPTH = 200 };

/* --- tokens ------------------------------------------------------------------------------------------------------- */

/* ASCII only: <ctype.h> follows the locale. */
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

void parse_error(struct parser *parser, const char *format, ...) {
    int line, column;
    diag_position(parser->source, parser->length, (uint32_t)(parser->token.text - parser->source), &line, &column);
    strbuf_printf(parser->why, "line %d, column %d: ", line, column);
    va_list args;
    va_start(args, format);
    strbuf_vprintf(parser->why, format, args);
    va_end(args);
    longjmp(parser->out, 1);
}

static size_t scan_number(const char *text) {
    size_t n = 0;
    while (is_digit(text[n])) n++;
    if (text[n] == '.' && is_digit(text[n + 1]))
        for (n++; is_digit(text[n]); n++) {
        }
    if (text[n] == 'e') {
        size_t exponent = n + 1 + (text[n + 1] == '-' || text[n + 1] == '+');
        if (is_digit(text[exponent]))
            for (n = exponent; is_digit(text[n]); n++) {
            }
    }
    return n;
}

void parse_next(struct parser *parser) {
    const char *at = parser->at;
    for (;; at++) {
        if (*at == '#')
            while (at[1] && at[1] != '\n') at++;
        else if (*at != ' ' && *at != '\t' && *at != '\n' && *at != '\r')
            break;
    }
    struct token *token = &parser->token;
    *token = (struct token){TOKEN_SIGN, at, 1};
    if (*at == '\0') {
        *token = (struct token){TOKEN_END, at, 0};
    } else if (is_letter(*at)) {
        token->kind = TOKEN_WORD;
        while (is_letter(at[token->length]) || is_digit(at[token->length])) token->length++;
    } else if (is_digit(*at)) {
        token->kind = TOKEN_NUMBER;
        token->length = scan_number(at);
    } else if (*at == '%' && is_digit(at[1])) {
        token->kind = TOKEN_VALUE;
        while (is_digit(at[token->length])) token->length++;
    } else if (*at == '"') {
        token->kind = TOKEN_STRING;
        while (at[token->length] && at[token->length] != '"')
            token->length += 1 + (at[token->length] == '\\' && at[token->length + 1]);
        if (!at[token->length]) parse_error(parser, "the string does not end");
        token->length++;
    } else if (at[0] == '/' && at[1] == '/') {
        token->length = 2;
    } else if (!strchr("=(){}[],:;*+-.!%", *at)) {
        parse_error(parser, "unexpected character");
    }
    parser->at = at + token->length;
}

bool parse_is(const struct parser *parser, const char *text) {
    const struct token *token = &parser->token;
    return (token->kind == TOKEN_WORD || token->kind == TOKEN_SIGN) && strlen(text) == token->length &&
           memcmp(text, token->text, token->length) == 0;
}

bool parse_accept(struct parser *parser, const char *text) {
    if (!parse_is(parser, text)) return false;
    parse_next(parser);
    return true;
}

void parse_expect(struct parser *parser, const char *text) {
    if (!parse_accept(parser, text)) parse_error(parser, "expected `%s`", text);
}

void parse_end(struct parser *parser) {
    if (parser->token.kind != TOKEN_END) parse_error(parser, "expected the end of the text");
}

void parse_enter(struct parser *parser) {
    if (++parser->depth > PARSE_MAX_DEPTH) parse_error(parser, "nested too deeply");
}

void parse_leave(struct parser *parser) {
    parser->depth--;
}

bool parse_run(struct parser *parser, struct arena *arena, const char *text, struct strbuf *why,
               void (*work)(struct parser *)) {
    *parser = (struct parser){.arena = arena, .source = text, .at = text, .length = strlen(text), .why = why};
    parser->token.text = text;
    if (parser->length >= INT32_MAX) {
        strbuf_puts(why, "the text is too long");
        return false;
    }
    if (setjmp(parser->out)) return false;
    parser->names = ARENA_ARRAY(arena, struct parse_name, parser->length + 1);
    parse_new_scope(parser);
    parse_next(parser);
    work(parser);
    return true;
}

/* --- words and numbers -------------------------------------------------------------------------------------------- */

static char *copy_token(struct parser *parser) {
    return arena_strndup(parser->arena, parser->token.text, parser->token.length);
}

char *parse_word(struct parser *parser) {
    if (parser->token.kind != TOKEN_WORD) parse_error(parser, "expected a word");
    char *word = copy_token(parser);
    parse_next(parser);
    return word;
}

static int hex_digit(char c) {
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *parse_string(struct parser *parser) {
    if (parser->token.kind != TOKEN_STRING) parse_error(parser, "expected a string");
    char *text = copy_token(parser), *to = text;
    size_t end = parser->token.length - 1;
    for (size_t i = 1; i < end; i++) {
        char c = text[i];
        if (c == '\\') {
            c = text[++i];
            if (c == 'n') {
                c = '\n';
            } else if (c == 'x') {
                int high = i + 2 < end ? hex_digit(text[i + 1]) : -1, low = high >= 0 ? hex_digit(text[i + 2]) : -1;
                if (low < 0 || (high == 0 && low == 0)) parse_error(parser, "bad escape in a string");
                c = (char)(high * 16 + low);
                i += 2;
            } else if (c != '"' && c != '\\') {
                parse_error(parser, "bad escape in a string");
            }
        }
        *to++ = c;
    }
    *to = '\0';
    parse_next(parser);
    return text;
}

/* The digits of the token as a number of at most `limit`. */
static uint64_t token_number(struct parser *parser, const char *digits, size_t n, uint64_t limit) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(digits[i])) parse_error(parser, "expected a whole number");
        unsigned digit = (unsigned)(digits[i] - '0');
        if (digit > limit || value > (limit - digit) / 10) parse_error(parser, "the number is out of range");
        value = value * 10 + digit;
    }
    return value;
}

int64_t parse_int(struct parser *parser, int64_t low, int64_t high) {
    bool negative = parse_accept(parser, "-");
    if (parser->token.kind != TOKEN_NUMBER) parse_error(parser, "expected a number");
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    uint64_t magnitude = token_number(parser, parser->token.text, parser->token.length, limit);
    int64_t value = (int64_t)(negative ? 0 - magnitude : magnitude);
    if (value < low || value > high) parse_error(parser, "the number is out of range");
    parse_next(parser);
    return value;
}

int parse_index(struct parser *parser, int high) {
    return (int)parse_int(parser, 0, high);
}

enum dtype parse_type(struct parser *parser) {
    enum dtype type = TY_NONE;
    if (parser->token.kind == TOKEN_WORD) type = dtype_from_name(copy_token(parser));
    if (type == TY_NONE) parse_error(parser, "expected an element type");
    parse_next(parser);
    return type;
}

int parse_choice(struct parser *parser, const char *const *words, const char *what) {
    for (int i = 0; words[i]; i++)
        if (parse_accept(parser, words[i])) return i;
    parse_error(parser, "expected %s", what);
}

static double parse_float(struct parser *parser, enum dtype type) {
    bool negative = parse_accept(parser, "-");
    double value;
    if (parse_is(parser, "nan"))
        value = NAN;
    else if (parse_is(parser, "inf"))
        value = INFINITY;
    else if (parser->token.kind == TOKEN_NUMBER)
        value = strtod(copy_token(parser), NULL);
    else
        parse_error(parser, "expected a number");
    parse_next(parser);
    if (negative) value = -value;
    return type == TY_F32 ? (double)(float)value : value;
}

uint64_t parse_const(struct parser *parser, enum dtype type) {
    union {
        uint64_t u;
        double f;
    } imm = {0};
    if (type == TY_BOOL) {
        if (parse_accept(parser, "true")) return 1;
        parse_expect(parser, "false");
        return 0;
    }
    if (dtype_is_float(type)) {
        imm.f = parse_float(parser, type);
        return imm.u;
    }
    int bits = 8 * dtype_size(type);
    if (dtype_is_signed(type)) {
        int64_t high = (int64_t)(UINT64_MAX >> (65 - bits));
        return (uint64_t)parse_int(parser, -high - 1, high);
    }
    if (parser->token.kind != TOKEN_NUMBER) parse_error(parser, "expected a number");
    imm.u = token_number(parser, parser->token.text, parser->token.length, UINT64_MAX >> (64 - bits));
    parse_next(parser);
    return imm.u;
}

int parse_value_id(struct parser *parser) {
    if (parser->token.kind != TOKEN_VALUE) parse_error(parser, "expected a value such as %%0");
    int id = (int)token_number(parser, parser->token.text + 1, parser->token.length - 1, parser->length);
    parse_next(parser);
    return id;
}

void *parse_value(struct parser *parser) {
    struct token token = parser->token;
    int id = parse_value_id(parser);
    if (parser->names[id].scope != parser->scope) {
        parser->token = token;
        parse_error(parser, "%%%d is not defined here", id);
    }
    return parser->names[id].value;
}

void parse_define(struct parser *parser, int id, void *value) {
    if (parser->names[id].scope == parser->scope) parse_error(parser, "%%%d is defined twice", id);
    parser->names[id] = (struct parse_name){value, parser->scope};
}

void parse_new_scope(struct parser *parser) {
    parser->scope++;
}

/* --- sizes: what size_print writes -------------------------------------------------------------------------------- */

/* A leaf: s3, s3.d0 or s3.d0!. */
static const struct size *parse_size_leaf(struct parser *parser) {
    const struct token *token = &parser->token;
    if (token->kind != TOKEN_WORD || token->text[0] != 's' || token->length < 2) parse_error(parser, "expected a size");
    int slot = (int)token_number(parser, token->text + 1, token->length - 1, INT32_MAX);
    parse_next(parser);
    if (!parse_accept(parser, ".")) return size_scalar(parser->sizes, slot);
    if (token->kind != TOKEN_WORD || token->text[0] != 'd' || token->length < 2)
        parse_error(parser, "expected a dimension");
    int dim = (int)token_number(parser, token->text + 1, token->length - 1, TYPE_MAX_RANK - 1);
    parse_next(parser);
    return size_dim(parser->sizes, slot, dim, parse_accept(parser, "!"));
}

static const struct size *parse_size_factor(struct parser *parser) {
    static const struct {
        const char *name;
        enum size_op op;
    } functions[] = {{"min", SIZE_SMALLER}, {"max", SIZE_LARGER}, {"wrap", SIZE_WRAP}, {"bcast", SIZE_BCAST}};
    if (parser->token.kind == TOKEN_NUMBER || parse_is(parser, "-"))
        return size_const(parser->sizes, parse_int(parser, INT64_MIN, INT64_MAX));
    if (parse_accept(parser, "(")) {
        const struct size *s = parse_size(parser);
        parse_expect(parser, ")");
        return s;
    }
    if (parse_accept(parser, "not1")) {
        parse_expect(parser, "(");
        const struct size *s = size_not1(parser->sizes, parse_size(parser));
        parse_expect(parser, ")");
        return s;
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!parse_accept(parser, functions[i].name)) continue;
        parse_expect(parser, "(");
        const struct size *a = parse_size(parser);
        parse_expect(parser, ",");
        const struct size *b = parse_size(parser);
        parse_expect(parser, ")");
        return size_binary(parser->sizes, functions[i].op, a, b);
    }
    return parse_size_leaf(parser);
}

static const struct size *parse_size_term(struct parser *parser) {
    const struct size *s = parse_size_factor(parser);
    for (;;) {
        enum size_op op;
        if (parse_accept(parser, "*"))
            op = SIZE_MUL;
        else if (parse_accept(parser, "//"))
            op = SIZE_DIV;
        else if (parse_accept(parser, "%"))
            op = SIZE_MOD;
        else
            return s;
        s = size_binary(parser->sizes, op, s, parse_size_factor(parser));
    }
}

const struct size *parse_size(struct parser *parser) {
    parse_enter(parser);
    const struct size *s = parse_size_term(parser);
    for (;;) {
        enum size_op op;
        if (parse_accept(parser, "+"))
            op = SIZE_ADD;
        else if (parse_accept(parser, "-"))
            op = SIZE_SUB;
        else
            break;
        s = size_binary(parser->sizes, op, s, parse_size_term(parser));
    }
    parse_leave(parser);
    return s;
}
