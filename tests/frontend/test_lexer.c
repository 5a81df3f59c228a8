/* Lexer: every token, layout, brackets, literals, and the words for tokens. */
#include "frontend/lexer.h"

#include <string.h>

#include "support/check.h"

struct fixture {
    struct mem mem;
    struct arena arena;
    struct diag_list diags;
    const char *text;
    struct token_list tokens;
};

static void fixture_init(struct fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    arena_init(&fixture->arena, &fixture->mem);
}

static void fixture_free(struct fixture *fixture) {
    arena_free(&fixture->arena);
    assert_int_equal(fixture->mem.used, 0);
}

static void fixture_lex_bytes(struct fixture *fixture, const char *text, size_t length) {
    fixture->text = text;
    diag_init(&fixture->diags, &fixture->arena, "test", text, length);
    fixture->tokens = lexer_run(&fixture->arena, text, length, 100, &fixture->diags);
    assert_true(fixture->tokens.count >= 1);
    assert_int_equal(fixture->tokens.items[fixture->tokens.count - 1].kind, TK_EOF);
}

static void fixture_lex(struct fixture *fixture, const char *text) {
    fixture_lex_bytes(fixture, text, strlen(text));
}

/* A token as one character or word: layout tests read as text. */
static const char *token_word(struct fixture *fixture, struct token token) {
    switch (token.kind) {
    case TK_EOF: return "END";
    case TK_BAD: return "BAD";
    case TK_NEWLINE: return "NL";
    default: return arena_strndup(&fixture->arena, fixture->text + token.offset, token.length);
    }
}

static const char *words(struct fixture *fixture, const char *text) {
    struct strbuf out;
    fixture_lex(fixture, text);
    strbuf_init(&out, &fixture->arena);
    for (int i = 0; i < fixture->tokens.count; i++)
        strbuf_printf(&out, i ? " %s" : "%s", token_word(fixture, fixture->tokens.items[i]));
    return strbuf_text(&out);
}

static void test_every_token(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum token_kind kind;
    } all[] = {
        {";", TK_SEMICOLON},
        {"x", TK_NAME},
        {"_0aZ", TK_NAME},
        {"1", TK_INT},
        {"1_0", TK_INT},
        {"0xF_f", TK_INT},
        {"0B01", TK_INT},
        {"1.", TK_FLOAT},
        {".5", TK_FLOAT},
        {"1.5e-3", TK_FLOAT},
        {"1e5", TK_FLOAT},
        {"1_0.0_1E+1_0", TK_FLOAT},
        {"\"\"", TK_STRING},
        {"\"a\\\"b\"", TK_STRING},
        {",", TK_COMMA},
        {":", TK_COLON},
        {".", TK_DOT},
        {"...", TK_ELLIPSIS},
        {"->", TK_ARROW},
        {"+", TK_PLUS},
        {"-", TK_MINUS},
        {"*", TK_STAR},
        {"/", TK_SLASH},
        {"//", TK_SLASHSLASH},
        {"%", TK_PERCENT},
        {"@", TK_AT},
        {"**", TK_STARSTAR},
        {"<<", TK_SHL},
        {">>", TK_SHR},
        {"&", TK_AMP},
        {"^", TK_CARET},
        {"|", TK_BAR},
        {"~", TK_TILDE},
        {"not", TK_NOT},
        {"==", TK_EQ},
        {"!=", TK_NE},
        {"<", TK_LT},
        {"<=", TK_LE},
        {">", TK_GT},
        {">=", TK_GE},
        {"and", TK_AND},
        {"or", TK_OR},
        {"=", TK_ASSIGN},
        {":=", TK_DEFINE},
        {"+=", TK_PLUS_EQ},
        {"-=", TK_MINUS_EQ},
        {"*=", TK_STAR_EQ},
        {"/=", TK_SLASH_EQ},
        {"//=", TK_FLOORDIV_EQ},
        {"%=", TK_PERCENT_EQ},
        {"**=", TK_POW_EQ},
        {"<<=", TK_SHL_EQ},
        {">>=", TK_SHR_EQ},
        {"&=", TK_AMP_EQ},
        {"^=", TK_CARET_EQ},
        {"|=", TK_BAR_EQ},
        {"true", TK_TRUE},
        {"false", TK_FALSE},
        {"None", TK_NONE},
        {"if", TK_IF},
        {"elif", TK_ELIF},
        {"else", TK_ELSE},
        {"while", TK_WHILE},
        {"for", TK_FOR},
        {"in", TK_IN},
        {"break", TK_BREAK},
        {"continue", TK_CONTINUE},
        {"return", TK_RETURN},
        {"assert", TK_ASSERT},
        {"param", TK_PARAM},
        {"fn", TK_FN},
        {"ufunc", TK_UFUNC},
    };
    struct fixture fixture;
    fixture_init(&fixture);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        fixture_lex(&fixture, arena_printf(&fixture.arena, " %s # %s", all[i].text, all[i].text));
        assert_int_equal(fixture.diags.count, 0);
        assert_int_equal(fixture.tokens.items[0].kind, all[i].kind);
        assert_int_equal(fixture.tokens.items[0].offset, 1);
        assert_int_equal(fixture.tokens.items[0].length, strlen(all[i].text));
        assert_int_equal(fixture.tokens.items[1].kind, TK_NEWLINE);
        assert_int_equal(fixture.tokens.count, 3);
    }
    assert_string_equal(words(&fixture, "a<-b"), "a < - b NL END");
    assert_string_equal(words(&fixture, "a**-b"), "a ** - b NL END");
    assert_string_equal(words(&fixture, "x[1:2]"), "x [ 1 : 2 ] NL END");
    assert_string_equal(words(&fixture, "a//=b"), "a //= b NL END");
    assert_string_equal(words(&fixture, "1.e2.T"), "BAD NL END");
    assert_string_equal(words(&fixture, "a.T.b"), "a . T . b NL END");
    fixture_free(&fixture);
}

static void test_layout(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    assert_string_equal(words(&fixture, ""), "END");
    assert_string_equal(words(&fixture, "\n\n  \n# c\n"), "END");
    assert_string_equal(words(&fixture, "\n\na\n\n# c\n\nb"), "a NL b NL END");
    assert_string_equal(words(&fixture, "a\r\nb\r\n"), "a NL b NL END");
    assert_string_equal(words(&fixture, "\xef\xbb\xbf"
                                        "a"),
                        "a NL END");
    assert_string_equal(words(&fixture, "f(a,\n b)\nc"), "f ( a , b ) NL c NL END");
    assert_string_equal(words(&fixture, "[\n1,\n(\n2\n)\n]\n"), "[ 1 , ( 2 ) ] NL END");
    assert_string_equal(words(&fixture, "if a {\nb\nf(\n)\n}\n"), "if a { NL b NL f ( ) NL } NL END");
    assert_string_equal(words(&fixture, "if a { b }\nelse { c }"), "if a { b } else { c } NL END");
    assert_string_equal(words(&fixture, "if a { b } # x\n\n# y\nelif c { d }\n e"),
                        "if a { b } elif c { d } NL e NL END");
    assert_string_equal(words(&fixture, "a\nelse"), "a NL else NL END");
    assert_string_equal(words(&fixture, "a;\nb"), "a ; NL b NL END");
    assert_int_equal(fixture.diags.count, 0);
    fixture_lex(&fixture, "f[a, (b)](c)");
    assert_int_equal(fixture.tokens.items[1].match, 7);
    assert_int_equal(fixture.tokens.items[4].match, 6);
    assert_int_equal(fixture.tokens.items[8].match, 10);
    assert_int_equal(fixture.tokens.items[0].match, 0);
    fixture_free(&fixture);
}

static void test_brackets_that_do_not_match(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    static const struct {
        const char *text, *tokens, *error;
        uint32_t offset;
    } cases[] = {
        {"a)\nb", "a BAD NL b NL END", "`)` closes nothing", 1},
        {"}\nb", "BAD NL b NL END", "`}` closes nothing", 0},
        {"(a]\nb", "( a BAD NL b NL END", "expected `)` to close the `(` at 1:1, found `]`", 2},
        {"x = [a)\nb", "x = [ a BAD NL b NL END", "expected `]` to close the `[` at 1:5, found `)`", 6},
        {"f(a\nb\n", "f ( a BAD NL b NL END", "`(` is not closed", 1},
        {"f(a", "f ( a BAD NL END", "`(` is not closed", 1},
        {"f(a, [b\nb\n", "f ( a , [ b BAD NL b NL END", "`(` is not closed", 1},
        {"if f(a {\nb }", "if f ( a BAD { NL b } NL END", "`(` is not closed before `{`", 4},
        {"{\na = (b\n}\nc", "{ NL a = ( b BAD NL } NL c NL END", "`(` is not closed before `}`", 6},
        {"{\na", "{ NL a NL  END", "`{` is not closed", 0},
        {"f(\"a)\nb", "f ( BAD NL b NL END", "the string is not closed: expected `\"` before the end of the line", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(words(&fixture, cases[i].text), cases[i].tokens);
        assert_int_equal(fixture.diags.count, 1);
        assert_string_equal(fixture.diags.items[0].text, cases[i].error);
        assert_int_equal(fixture.diags.items[0].span.offset, cases[i].offset);
    }
    fixture_free(&fixture);
}

static void test_numbers(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    static const struct {
        const char *text;
        uint64_t value;
    } ints[] = {{"0", 0},
                {"00", 0},
                {"7", 7},
                {"100_000", 100000},
                {"0xff", 255},
                {"0XFf_0", 4080},
                {"0b101", 5},
                {"18446744073709551615", UINT64_MAX},
                {"0xffffffffffffffff", UINT64_MAX},
                {"9223372036854775808", 1ull << 63}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        uint64_t value = 1;
        fixture_lex(&fixture, ints[i].text);
        assert_true(lexer_int(fixture.text, fixture.tokens.items[0], &fixture.diags, &value));
        assert_true(value == ints[i].value);
    }
    static const char *const large[] = {"18446744073709551616", "99999999999999999999999", "0x1_0000_0000_0000_0000",
                                        "01"};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        uint64_t value;
        fixture_lex(&fixture, large[i]);
        assert_false(lexer_int(fixture.text, fixture.tokens.items[0], &fixture.diags, &value));
        assert_int_equal(fixture.diags.count, 1);
    }
    static const struct {
        const char *text;
        double value;
    } reals[] = {{"2.5", 2.5},
                 {"1.", 1},
                 {".5", 0.5},
                 {"1e3", 1000},
                 {"1_0.2_5e+1_0", 10.25e10},
                 {"0.1", 0.1},
                 {"1.7976931348623157e308", 1.7976931348623157e308},
                 {"4.9e-324", 4.9e-324},
                 {"1e-400", 0}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double value = -1;
        fixture_lex(&fixture, reals[i].text);
        assert_int_equal(fixture.tokens.items[0].kind, TK_FLOAT);
        assert_true(lexer_float(&fixture.arena, fixture.text, fixture.tokens.items[0], &fixture.diags, &value));
        assert_true(value == reals[i].value);
        assert_int_equal(fixture.diags.count, 0);
    }
    double value;
    fixture_lex(&fixture, "1e309");
    assert_false(lexer_float(&fixture.arena, fixture.text, fixture.tokens.items[0], &fixture.diags, &value));
    static const char *const malformed[] = {"1__0", "1_",    "0x", "0xg",  "0b2", "1e",
                                            "1e+",  "1.2.3", "3x", "1_.5", "0b",  "1._5"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        fixture_lex(&fixture, malformed[i]);
        assert_int_equal(fixture.tokens.items[0].kind, TK_BAD);
        assert_int_equal(fixture.diags.count, 1);
        assert_non_null(strstr(fixture.diags.items[0].text, "is not a number"));
    }
    fixture_free(&fixture);
}

static void test_strings(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    static const struct {
        const char *text, *value;
    } good[] = {
        {"\"\"", ""},
        {"\"abc # d\"", "abc # d"},
        {"\"\\n\\t\\\\\\\"\"", "\n\t\\\""},
        {"\"\\x41\\xFf\"", "A\xff"},
        {"\"\\u{41}\\u{e9}\\u{20AC}\\u{1f600}\\u{10FFFF}\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"},
        {"\"é\"", "é"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *value;
        size_t length;
        fixture_lex(&fixture, good[i].text);
        assert_true(
            lexer_string(&fixture.arena, fixture.text, fixture.tokens.items[0], &fixture.diags, &value, &length));
        assert_int_equal(length, strlen(good[i].value));
        assert_string_equal(value, good[i].value);
    }
    static const char *const bad[] = {"\"\\q\"",
                                      "\"\\x\"",
                                      "\"\\x4\"",
                                      "\"\\x4g\"",
                                      "\"\\x00\"",
                                      "\"\\u41\"",
                                      "\"\\u{\"",
                                      "\"\\u{}\"",
                                      "\"\\u{41\"",
                                      "\"\\u{110000}\"",
                                      "\"\\u{d800}\"",
                                      "\"\\u{0}\"",
                                      "\"\\u{fffffffffffffffff}\"",
                                      "\"\\u\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *value;
        size_t length;
        fixture_lex(&fixture, bad[i]);
        assert_int_equal(fixture.diags.count, 0);
        assert_false(
            lexer_string(&fixture.arena, fixture.text, fixture.tokens.items[0], &fixture.diags, &value, &length));
        assert_true(fixture.diags.count >= 1);
    }
    fixture_free(&fixture);
}

static void test_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int length;
    } cases[] = {{"a", 1},
                 {"é", 2},
                 {"€", 3},
                 {"😀", 4},
                 {"\x80", 0},
                 {"\xc3", 0},
                 {"\xc0\x80", 0},
                 {"\xc1\xbf", 0},
                 {"\xe0\x9f\xbf", 0},
                 {"\xed\xa0\x80", 0},
                 {"\xed\x9f\xbf", 3},
                 {"\xf0\x8f\xbf\xbf", 0},
                 {"\xf4\x90\x80\x80", 0},
                 {"\xf5\x80\x80\x80", 0},
                 {"\xe2\x82", 0},
                 {"\xe2\x82z", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(lexer_utf8(cases[i].text, strlen(cases[i].text)), cases[i].length);
    assert_int_equal(lexer_utf8("", 0), 0);
}

static void test_describe(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    static const char *const expected[] = {
        "the name `x`", "`(`", "the number `1.5`",    "a string",           "the keyword `if`",
        "`**=`",        "`)`", "the end of the line", "the end of the text"};
    fixture_lex(&fixture, "x ( 1.5 \"s\" if **= )");
    assert_int_equal(fixture.tokens.count, 9);
    for (int i = 0; i < 9; i++)
        assert_string_equal(lexer_describe(&fixture.arena, fixture.text, fixture.tokens.items[i]), expected[i]);
    fixture_lex(&fixture, "a123456789a123456789a123456789a123456789a123456789");
    assert_string_equal(lexer_describe(&fixture.arena, fixture.text, fixture.tokens.items[0]),
                        "the name `a123456789a123456789a123456789a123456789…`");
    fixture_free(&fixture);
}

static void test_is_open(void **state) {
    (void)state;
    static const char *const open[] = {"(",     "f(a,",    "if a {", "{ ( }",          "[\n1,",
                                       "{ # }", "f(\")\"", "f(\")",  "{\nf(\"\\\")\")"};
    static const char *const closed[] = {"", "a", "f(a)", ")", "# (", "\"(\"", "\"(", "if a { }", "\"\\\"(\"", "}{}"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) assert_true(lexer_is_open(open[i], strlen(open[i])));
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        assert_false(lexer_is_open(closed[i], strlen(closed[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_token),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_brackets_that_do_not_match),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
