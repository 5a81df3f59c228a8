/* parse_internal.h: the reader of text forms: tokens, and what the parsers of each form share.
 *
 * The first error ends the parse: parse_error writes it and jumps out to parse_run. All memory is the arena's.
 */
#ifndef IR_PARSE_INTERNAL_H
#define IR_PARSE_INTERNAL_H

#include "ir/parse.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* f64, s0, true, nan */
    TOKEN_NUMBER, /* 3, 2.5, 1e+30: starts with a digit */
    TOKEN_VALUE,  /* %3 */
    TOKEN_STRING,
    TOKEN_SIGN, /* one of = ( ) { } [ ] , : ; * + - . ! % or // */
};

struct token {
    enum token_kind kind;
    const char *text; /* in the source; strings and words: see parse_string, parse_is */
    size_t length;
};

struct parser {
    struct arena *arena;
    const char *source, *at; /* `at` is behind `token` */
    size_t length;
    struct token token; /* the next one, not yet consumed */
    struct strbuf *why;
    int depth; /* of regions, blocks and size expressions */
    struct size_table *sizes;
    jmp_buf out;
    struct parse_name *names; /* by the number behind %; [length + 1] */
    int scope;                /* of the function body or graph being read: names of others are unknown */
};

/* What %3 stands for. */
struct parse_name {
    void *value;
    int scope;
};

/* Runs work(parser) on the text. False if an error was written to `why`. */
bool parse_run(struct parser *parser, struct arena *arena, const char *text, struct strbuf *why,
               void (*work)(struct parser *));
_Noreturn void parse_error(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));

void parse_next(struct parser *parser);
bool parse_is(const struct parser *parser, const char *text);
/* Consumes `text` if it is next. */
bool parse_accept(struct parser *parser, const char *text);
void parse_expect(struct parser *parser, const char *text);
void parse_end(struct parser *parser);

/* A whole number from low to high, possibly negative. */
int64_t parse_int(struct parser *parser, int64_t low, int64_t high);
/* A count or an index: 0 to `high`. */
int parse_index(struct parser *parser, int high);
char *parse_word(struct parser *parser);
char *parse_string(struct parser *parser);
enum dtype parse_type(struct parser *parser);
/* Position of the next word in a list that ends with NULL. */
int parse_choice(struct parser *parser, const char *const *words, const char *what);
/* A constant of the type as the 64 bits of `imm`. */
uint64_t parse_const(struct parser *parser, enum dtype type);
const struct size *parse_size(struct parser *parser);
/* The number behind %; parse_value also looks it up. */
int parse_value_id(struct parser *parser);
void *parse_value(struct parser *parser);
/* Makes %id known in this scope; once only. */
void parse_define(struct parser *parser, int id, void *value);
/* Forgets all names. */
void parse_new_scope(struct parser *parser);
void parse_enter(struct parser *parser);
void parse_leave(struct parser *parser);

/* A region behind its label: "(%0: f64) { ... yield }". */
void parse_region(struct parser *parser, struct ir_region *region);
struct graph *parse_graph_body(struct parser *parser);

#endif
