/* lexer.re: characters to tokens. re2c turns this file into C at build time. */
#include "frontend/lexer_scan.h"

/* At the token. */
static void lexer_error(struct lexer *lexer, const char *text) {
    struct span span = {(uint32_t)(lexer->start - lexer->text), (uint32_t)(lexer->at - lexer->start)};
    diag_add(lexer->diags, DIAG_SYNTAX, span, "%s", text);
}

/* Comments and strings may hold any UTF-8, but nothing else. */
static bool lexer_check_utf8(struct lexer *lexer, const unsigned char *from) {
    for (const unsigned char *at = from; at < lexer->at;) {
        if (*at < 0x80) {
            at++;
            continue;
        }
        int length = lexer_utf8((const char *)at, (size_t)(lexer->at - at));
        if (length == 0) {
            struct span span = {(uint32_t)(at - lexer->text), 1};
            diag_add(lexer->diags, DIAG_SYNTAX, span, "byte 0x%02x is not valid UTF-8", *at);
            return false;
        }
        at += length;
    }
    return true;
}

static bool lexer_is_letter(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/* A character beyond ASCII outside strings and comments: says what to write instead, where we know. */
static enum token_kind lexer_foreign(struct lexer *lexer) {
    static const struct {
        const char *character, *hint;
    } known[] = {
        {"×", "write `*`"},           {"·", "write `*`"},          {"÷", "write `/`"},
        {"−", "write `-`"},           {"–", "write `-`"},          {"≤", "write `<=`"},
        {"≥", "write `>=`"},          {"≠", "write `!=`"},         {"π", "write `pi`"},
        {"²", "write `**2`"},         {"³", "write `**3`"},        {"√", "write `sqrt(…)`"},
        {"∞", "write `inf`"},         {"“", "quotes are `\"`"},    {"”", "quotes are `\"`"},
        {"‘", "quotes are `\"`"},     {"’", "quotes are `\"`"},    {"…", "write `...`"},
        {"→", "write `->`"},          {"\xc2\xa0", "this is a no-break space"},
    };
    int length = lexer_utf8((const char *)lexer->start, (size_t)(lexer->limit - lexer->start));
    if (length == 0) {
        struct span span = {(uint32_t)(lexer->start - lexer->text), 1};
        diag_add(lexer->diags, DIAG_SYNTAX, span, "byte 0x%02x is not valid UTF-8", *lexer->start);
        return TK_BAD;
    }
    lexer->at = lexer->start + length;
    struct span span = {(uint32_t)(lexer->start - lexer->text), (uint32_t)length};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *a = known[i].character, *b = (const char *)lexer->start;
        int same = 0;
        while (same < length && a[same] == b[same]) same++;
        if (same == length && a[same] == 0) {
            diag_add(lexer->diags, DIAG_SYNTAX, span, "`%s` means nothing here: %s", a, known[i].hint);
            return TK_BAD;
        }
    }
    diag_add(lexer->diags, DIAG_SYNTAX, span,
             "`%.*s` means nothing here: names are made of the letters A to Z and a to z, digits and `_`", length,
             (const char *)lexer->start);
    /* The rest of the word is part of the same mistake. */
    for (;;) {
        unsigned char c = *lexer->at;
        bool ascii = lexer_is_letter(c) || (c >= '0' && c <= '9');
        int more = ascii ? 1 : c < 0x80 ? 0 : lexer_utf8((const char *)lexer->at, (size_t)(lexer->limit - lexer->at));
        if (more == 0 || lexer->at >= lexer->limit) return TK_BAD;
        lexer->at += more;
    }
}

/* What begins like a number and goes on like nothing. */
static void lexer_malformed(struct lexer *lexer) {
    enum { MOST = 40 };
    struct span span = {(uint32_t)(lexer->start - lexer->text), (uint32_t)(lexer->at - lexer->start)};
    int shown = span.length < MOST ? (int)span.length : MOST, digits = 0;
    const char *text = (const char *)lexer->start;
    while (digits < shown && ((text[digits] >= '0' && text[digits] <= '9') || text[digits] == '.')) digits++;
    /* 3x, 2.5x, 2pi; but not 0x, 0b, 1e or 1_ */
    bool product = digits > 0 && digits < shown && text[0] != '0' && lexer_is_letter((unsigned char)text[digits]) &&
                   text[digits] != '_' && !(shown == digits + 1 && (text[digits] | 0x20) == 'e');
    for (int i = digits; i < shown; i++) product = product && lexer_is_letter((unsigned char)text[i]);
    if (product) {
        diag_add(lexer->diags, DIAG_SYNTAX, span, "`%.*s` is not a number; a product is written `%.*s*%.*s`", shown,
                 text, digits, text, shown - digits, text + digits);
    } else {
        diag_add(lexer->diags, DIAG_SYNTAX, span,
                 "`%.*s` is not a number; numbers look like 42, 100_000, 0xff, 0b101, 2.5 or 1e-3", shown, text);
    }
}

/* Reported, and then taken for what it stands for elsewhere. */
static enum token_kind lexer_meant(struct lexer *lexer, enum token_kind kind, const char *text) {
    lexer_error(lexer, text);
    return kind;
}

enum token_kind lexer_scan(struct lexer *lexer) {
    const unsigned char *marker;
again:
    lexer->start = lexer->at;
    lexer->cut = false;
    /*!re2c
    re2c:define:YYCTYPE = "unsigned char";
    re2c:define:YYCURSOR = "lexer->at";
    re2c:define:YYLIMIT = "lexer->limit";
    re2c:define:YYMARKER = "marker";
    re2c:yyfill:enable = 0;
    re2c:eof = 0;
    re2c:indent:string = "    ";

    decimal = [0-9] ("_"? [0-9])*;
    exponent = [eE] [+-]? decimal;
    in_string = [^"\\\n\x00] | "\\" [^\n\x00];

    $ { return TK_EOF; }
    [ \t\r\f\v]+ { goto again; }
    "#" [^\n]* {
        if (lexer_check_utf8(lexer, lexer->start)) goto again;
        return TK_BAD;
    }
    "\n" { return TK_NEWLINE; }
    ";" { return TK_SEMICOLON; }

    "true" { return TK_TRUE; }
    "false" { return TK_FALSE; }
    "None" { return TK_NONE; }
    "if" { return TK_IF; }
    "elif" { return TK_ELIF; }
    "else" { return TK_ELSE; }
    "while" { return TK_WHILE; }
    "for" { return TK_FOR; }
    "in" { return TK_IN; }
    "break" { return TK_BREAK; }
    "continue" { return TK_CONTINUE; }
    "return" { return TK_RETURN; }
    "assert" { return TK_ASSERT; }
    "param" { return TK_PARAM; }
    "fn" { return TK_FN; }
    "ufunc" { return TK_UFUNC; }
    "not" { return TK_NOT; }
    "and" { return TK_AND; }
    "or" { return TK_OR; }
    [A-Za-z_] [A-Za-z0-9_]* { return TK_NAME; }

    decimal | "0" [xX] [0-9a-fA-F] ("_"? [0-9a-fA-F])* | "0" [bB] [01] ("_"? [01])* { return TK_INT; }
    decimal "." decimal? exponent? | "." decimal exponent? | decimal exponent { return TK_FLOAT; }
    "."? [0-9] [0-9A-Za-z_.]* {
        lexer_malformed(lexer);
        return TK_BAD;
    }

    ["] in_string* ["] { return lexer_check_utf8(lexer, lexer->start) ? TK_STRING : TK_BAD; }
    ["] in_string* "\\"? {
        lexer->cut = true;
        lexer_error(lexer, "the string is not closed: expected `\"` before the end of the line");
        return TK_BAD;
    }
    "'" [^'\n\x00]* "'"? {
        lexer_error(lexer, "strings are written with double quotes: \"text\"");
        return TK_BAD;
    }

    "(" { return TK_LPAREN; }
    ")" { return TK_RPAREN; }
    "[" { return TK_LBRACKET; }
    "]" { return TK_RBRACKET; }
    "{" { return TK_LBRACE; }
    "}" { return TK_RBRACE; }
    "," { return TK_COMMA; }
    ":" { return TK_COLON; }
    "." { return TK_DOT; }
    "..." { return TK_ELLIPSIS; }
    "->" { return TK_ARROW; }

    "+" { return TK_PLUS; }
    "-" { return TK_MINUS; }
    "*" { return TK_STAR; }
    "/" { return TK_SLASH; }
    "//" { return TK_SLASHSLASH; }
    "%" { return TK_PERCENT; }
    "@" { return TK_AT; }
    "**" { return TK_STARSTAR; }
    "<<" { return TK_SHL; }
    ">>" { return TK_SHR; }
    "&" { return TK_AMP; }
    "^" { return TK_CARET; }
    "|" { return TK_BAR; }
    "~" { return TK_TILDE; }
    "==" { return TK_EQ; }
    "!=" { return TK_NE; }
    "<" { return TK_LT; }
    "<=" { return TK_LE; }
    ">" { return TK_GT; }
    ">=" { return TK_GE; }

    "=" { return TK_ASSIGN; }
    ":=" { return TK_DEFINE; }
    "+=" { return TK_PLUS_EQ; }
    "-=" { return TK_MINUS_EQ; }
    "*=" { return TK_STAR_EQ; }
    "/=" { return TK_SLASH_EQ; }
    "//=" { return TK_FLOORDIV_EQ; }
    "%=" { return TK_PERCENT_EQ; }
    "**=" { return TK_POW_EQ; }
    "<<=" { return TK_SHL_EQ; }
    ">>=" { return TK_SHR_EQ; }
    "&=" { return TK_AMP_EQ; }
    "^=" { return TK_CARET_EQ; }
    "|=" { return TK_BAR_EQ; }

    "&&" { return lexer_meant(lexer, TK_AND, "`&&` is written `and`"); }
    "||" { return lexer_meant(lexer, TK_OR, "`||` is written `or`"); }
    "!" { return lexer_meant(lexer, TK_NOT, "`!` is written `not`"); }
    "===" { return lexer_meant(lexer, TK_EQ, "`===` is written `==`"); }
    "<>" { return lexer_meant(lexer, TK_NE, "`<>` is written `!=`"); }
    "?" { return lexer_meant(lexer, TK_BAD, "`?` means nothing here; a choice is written `a if condition else b`"); }
    "\\" { return lexer_meant(lexer, TK_BAD, "`\\` means nothing here; a line goes on while a `(` or `[` is open"); }
    "\x00" { return lexer_meant(lexer, TK_BAD, "a NUL byte in the text"); }
    [\x80-\xff] { return lexer_foreign(lexer); }
    * {
        struct span span = {(uint32_t)(lexer->start - lexer->text), 1};
        if (*lexer->start > ' ' && *lexer->start < 0x7f) {
            diag_add(lexer->diags, DIAG_SYNTAX, span, "`%c` means nothing here", *lexer->start);
        } else {
            diag_add(lexer->diags, DIAG_SYNTAX, span, "a control byte 0x%02x in the text", *lexer->start);
        }
        return TK_BAD;
    }
    */
}
