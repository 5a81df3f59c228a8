/* parser.h: text to ast_program.
 *
 * Both functions take (pointer, length): the text may hold NUL bytes and invalid UTF-8, and need not end in NUL. It is
 * copied into the arena. They report every problem to `diags` (whose `source` should be the same text, so that
 * carets are drawn) with codes DIAG_SYNTAX and DIAG_LIMIT, and always return a program; after errors it holds the
 * statements that were understood. Running out of memory leaves through the arena.
 *
 * The C stack they use is bounded by `nesting`, the time and memory by the length of the text.
 */
#ifndef FRONTEND_PARSER_H
#define FRONTEND_PARSER_H

#include "frontend/ast.h"

struct parser_limits {
    size_t source_bytes; /* longer text is not looked at. 0: 16 MiB; never more than 1 GiB */
    int nesting; /* brackets, blocks, prefix operators, right operands of `**`, conditionals. 0: 256; at most 1000 */
    int height;  /* of one expression tree, see ast.h: the length of a sum. 0: 20,000 */
};

/* limits: NULL for the defaults. */
struct ast_program *parser_parse(struct arena *arena, const char *text, size_t length,
                                 const struct parser_limits *limits, struct diag_list *diags);

/* One expression and nothing else, for formulas that users type: program->expression is set, or NULL after an error.
 * Line ends count as blanks only inside brackets, and before and after the expression. */
struct ast_program *parser_parse_expression(struct arena *arena, const char *text, size_t length,
                                            const struct parser_limits *limits, struct diag_list *diags);

/* Whether a bracket or block is still open at the end of `text`: a shell reads another line before it parses.
 * Allocates nothing. */
bool parser_wants_more(const char *text, size_t length);

#endif
