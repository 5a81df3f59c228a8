/* parser_stmt.c: statements, blocks, and going on after an error. */
#include <string.h>

#include "frontend/parser_state.h"

/* Drops the rest of the statement: up to the line end, or to the brace that closes the block it stands in. Blocks that
 * begin on the way are skipped whole. */
static void stmt_recover(struct parser *parser) {
    const struct token *tokens = parser->tokens.items;
    int at = parser->at, braces = 0;
    if (parser->bracket >= 0 && tokens[parser->bracket].match > (uint32_t)at) at = (int)tokens[parser->bracket].match;
    for (;; at++) {
        enum token_kind kind = tokens[at].kind;
        if (kind == TK_EOF) break;
        if (braces == 0 && (kind == TK_NEWLINE || kind == TK_SEMICOLON || kind == TK_RBRACE)) break;
        if (kind == TK_LBRACE) braces++;
        if (kind == TK_RBRACE) braces--;
    }
    if (at > 0) parser->previous = tokens[at - 1];
    parser->at = at;
    parser->token = tokens[at];
    parser->panic = false;
    parser->bracket = -1;
}

static bool stmt_name_is(const struct parser *parser, struct token token, const char *text) {
    return token.kind == TK_NAME && strlen(text) == token.length &&
           memcmp(parser->text + token.offset, text, token.length) == 0;
}

/* The statement is over, but something follows. What it means in other languages says what to suggest. */
static void stmt_expected_end(struct parser *parser, const struct ast_stmt *stmt) {
    struct token last = parser->previous;
    static const struct {
        const char *word, *hint;
    } words[] = {
        {"def", "functions are defined with `fn`: fn name(x) = …"},
        {"function", "functions are defined with `fn`: fn name(x) = …"},
        {"func", "functions are defined with `fn`: fn name(x) = …"},
        {"lambda", "a function has a name: fn name(x) = …"},
        {"let", "a name is set by `name = …` alone"},
        {"var", "a name is set by `name = …` alone"},
        {"const", "a name is set by `name = …` alone"},
        {"import", "there is nothing to import: every built-in is at hand"},
        {"from", "there is nothing to import: every built-in is at hand"},
        {"print", "a call has parentheses: print(…)"},
        {"elseif", "write `elif`"},
        {"elsif", "write `elif`"},
        {"int", "names have no declarations: name = i64(…)"},
        {"float", "names have no declarations: name = f32(…)"},
        {"double", "names have no declarations: name = f64(…)"},
    };
    const char *hint = "";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (stmt_name_is(parser, last, words[i].word)) hint = words[i].hint;
    }
    bool assigns = stmt->kind == AST_ASSIGN;
    bool bare_name = stmt->kind == AST_EXPR && stmt->expr->kind == AST_NAME;
    if (hint[0]) {
        parser_fail(parser, parser_span(last), "`%.*s` means nothing here; %s", (int)last.length,
                    parser->text + last.offset, hint);
    } else if (parser_is(parser, TK_ASSIGN) && assigns) {
        hint = "; assignments do not chain: write one a statement";
    } else if (parser_is(parser, TK_COLON) && bare_name) {
        hint = "; a type stands only after the name of a parameter";
    } else if (parser_is(parser, TK_COMMA) && stmt->kind == AST_FUNCTION) {
        hint = "; several results need a block: { return a, b }";
    } else if (parser_is(parser, TK_COMMA) && stmt->kind == AST_PARAM) {
        hint = "; each input has a `param` of its own";
    } else if (parser_is(parser, TK_FOR)) {
        hint = "; `for` after a value belongs to index notation, c[i] := … for i in a:b";
    } else if (parser_is(parser, TK_IN)) {
        hint = "; `in` stands only in `for` and in reductions";
    }
    parser_expected_hint(parser, "the end of the statement", hint);
}

struct ast_block parser_block(struct parser *parser, const char *after) {
    struct ast_block block = {0};
    if (parser_is(parser, TK_COLON)) {
        parser_report(parser, parser_span(parser->token), "a block stands in `{` and `}`, without `:`");
        parser_advance(parser);
        if (!parser_is(parser, TK_LBRACE)) parser_panic_quietly(parser);
    } else if (parser_is(parser, TK_NEWLINE) && parser_peek(parser, 1) == TK_LBRACE) {
        parser_report(parser, parser_span(parser->tokens.items[parser->at + 1]),
                      "the `{` of a block stands on the line that it belongs to, after %s", after);
        parser_advance(parser);
    }
    struct span start = parser_span(parser->token);
    if (!parser_is(parser, TK_LBRACE)) {
        const char *hint = parser_is(parser, TK_ASSIGN) ? "; `=` assigns, `==` compares" : "";
        parser_expected_hint(parser, arena_printf(parser->arena, "`{` after %s", after), hint);
        return block;
    }
    if (parser_enter(parser, start)) {
        parser->blocks++;
        parser_advance(parser);
        parser_statements(parser, TK_RBRACE, &block);
        parser->blocks--;
        /* Without its brace the text was cut at a limit, and that is known. */
        if (!parser_accept(parser, TK_RBRACE)) parser_panic_quietly(parser);
    }
    parser_leave(parser);
    block.span = parser_since(parser, start);
    return block;
}

static void stmt_if(struct parser *parser, struct ast_stmt *stmt) {
    int n_bodies = 0, bodies_capacity = 0, conditions_capacity = 0;
    stmt->kind = AST_IF;
    for (;;) {
        const char *after = parser_is(parser, TK_IF) ? "the condition of `if`" : "the condition of `elif`";
        parser_advance(parser);
        struct ast_expr *condition = parser_expr(parser);
        struct ast_block body = parser_block(parser, after);
        ARENA_PUSH(parser->arena, stmt->branch.conditions, stmt->branch.n_branches, conditions_capacity) = condition;
        ARENA_PUSH(parser->arena, stmt->branch.bodies, n_bodies, bodies_capacity) = body;
        if (parser_is(parser, TK_ELIF)) continue;
        if (!parser_accept(parser, TK_ELSE)) return;
        if (!parser_is(parser, TK_IF)) break;
        struct span span = span_join(parser_span(parser->previous), parser_span(parser->token));
        parser_report(parser, span, "`else if` is written `elif`");
    }
    stmt->branch.has_else = true;
    stmt->branch.otherwise = parser_block(parser, "`else`");
}

static void stmt_while(struct parser *parser, struct ast_stmt *stmt) {
    stmt->kind = AST_WHILE;
    parser_advance(parser);
    stmt->loop.condition = parser_expr(parser);
    parser->loops++;
    stmt->loop.body = parser_block(parser, "the condition of `while`");
    parser->loops--;
}

static void stmt_for(struct parser *parser, struct ast_stmt *stmt) {
    static const char form[] = "; a loop runs over a range: for i in a:b or a:b:step";
    stmt->kind = AST_FOR;
    parser_advance(parser);
    struct token name = parser->token;
    if (parser_expect(parser, TK_NAME, "the name of a loop variable")) stmt->loop.name = parser_name(parser, name);
    stmt->loop.name_span = parser_span(name);
    if (!parser_accept(parser, TK_IN)) parser_expected_hint(parser, "`in`", form);
    if (parser_is(parser, TK_COLON)) parser_expected_hint(parser, "the start of the range", form);
    stmt->loop.start = parser_expr(parser);
    if (!parser_accept(parser, TK_COLON)) parser_expected_hint(parser, "`:` and the end of the range", form);
    if (parser_is(parser, TK_LBRACE)) parser_expected_hint(parser, "the end of the range", form);
    stmt->loop.stop = parser_expr(parser);
    if (parser_is(parser, TK_COLON) && parser_peek(parser, 1) != TK_NEWLINE && parser_peek(parser, 1) != TK_LBRACE) {
        parser_advance(parser);
        stmt->loop.step = parser_expr(parser);
    }
    parser->loops++;
    stmt->loop.body = parser_block(parser, "the range of `for`");
    parser->loops--;
}

static bool stmt_ends(const struct parser *parser) {
    return parser_is(parser, TK_NEWLINE) || parser_is(parser, TK_SEMICOLON) || parser_is(parser, TK_RBRACE) ||
           parser_is(parser, TK_EOF);
}

static void stmt_jump(struct parser *parser, struct ast_stmt *stmt) {
    stmt->kind = parser_is(parser, TK_BREAK) ? AST_BREAK : AST_CONTINUE;
    if (parser->loops == 0)
        parser_report(parser, parser_span(parser->token), "%s stands outside a loop", parser_found(parser));
    parser_advance(parser);
}

static void stmt_assert(struct parser *parser, struct ast_stmt *stmt) {
    stmt->kind = AST_ASSERT;
    parser_advance(parser);
    stmt->assertion.condition = parser_expr(parser);
    if (!parser_accept(parser, TK_COMMA)) return;
    if (parser_is(parser, TK_STRING))
        stmt->assertion.text = parser_text(parser);
    else
        parser_expected(parser, "a string");
}

/* An assignment's operator, if the token is one. */
static bool stmt_assign_op(enum token_kind kind, enum ast_op *op) {
    static const unsigned char ops[] = {
        [TK_PLUS_EQ - TK_PLUS_EQ] = AST_ADD,          [TK_MINUS_EQ - TK_PLUS_EQ] = AST_SUB,
        [TK_STAR_EQ - TK_PLUS_EQ] = AST_MUL,          [TK_SLASH_EQ - TK_PLUS_EQ] = AST_DIV,
        [TK_FLOORDIV_EQ - TK_PLUS_EQ] = AST_FLOORDIV, [TK_PERCENT_EQ - TK_PLUS_EQ] = AST_MOD,
        [TK_POW_EQ - TK_PLUS_EQ] = AST_POW,           [TK_SHL_EQ - TK_PLUS_EQ] = AST_SHL,
        [TK_SHR_EQ - TK_PLUS_EQ] = AST_SHR,           [TK_AMP_EQ - TK_PLUS_EQ] = AST_BITAND,
        [TK_CARET_EQ - TK_PLUS_EQ] = AST_BITXOR,      [TK_BAR_EQ - TK_PLUS_EQ] = AST_BITOR,
    };
    *op = AST_OP_NONE;
    if (kind == TK_ASSIGN || kind == TK_DEFINE) return true;
    if (kind < TK_PLUS_EQ || kind > TK_BAR_EQ) return false;
    *op = (enum ast_op)ops[kind - TK_PLUS_EQ];
    return true;
}

static void stmt_check_target(struct parser *parser, const struct ast_expr *target, const struct ast_stmt *stmt) {
    bool subscripted = target->kind == AST_INDEX && target->index.base->kind == AST_NAME;
    if (stmt->assign.define) {
        bool plain = subscripted;
        for (int i = 0; subscripted && i < target->index.n_subscripts; i++) {
            const struct ast_subscript *subscript = &target->index.subscripts[i];
            if (subscript->kind != AST_SUB_EXPR || subscript->expr->kind != AST_NAME) plain = false;
        }
        if (!plain || stmt->assign.n_targets > 1) {
            parser_fail(
                parser, target->span,
                "`:=` defines an array by its indices: expected name[i, …] on its left, or `=` for an assignment");
        }
        return;
    }
    if (target->kind == AST_NAME || subscripted) return;
    const char *hint = "";
    if (target->kind == AST_CALL && target->call.callee->kind == AST_NAME)
        hint = "; a function is defined by fn name(x) = …";
    if (target->kind == AST_TUPLE) hint = "; several names are set without parentheses: a, b = …";
    if (target->kind == AST_CHAIN) hint = "; `=` assigns, `==` compares";
    parser_fail(parser, target->span, "cannot assign to this: expected a name or name[…]%s", hint);
}

static void stmt_assign(struct parser *parser, struct ast_stmt *stmt, struct ast_expr **targets, int n_targets,
                        enum ast_op op) {
    stmt->kind = AST_ASSIGN;
    stmt->assign.targets = targets;
    stmt->assign.n_targets = n_targets;
    stmt->assign.op = op;
    stmt->assign.op_span = parser_span(parser->token);
    stmt->assign.define = parser_is(parser, TK_DEFINE);
    if (op != AST_OP_NONE && n_targets > 1)
        parser_fail(parser, span_join(targets[0]->span, targets[n_targets - 1]->span),
                    "%s sets one name: expected one on its left, found %d", parser_found(parser), n_targets);
    for (int i = 0; i < n_targets; i++) stmt_check_target(parser, targets[i], stmt);
    parser_advance(parser);
    stmt->assign.value = parser_expr_list(parser);
    if (parser_is(parser, TK_FOR) && n_targets == 1 && targets[0]->kind == AST_INDEX) {
        parser_advance(parser);
        stmt->assign.ranges = parser_ranges(parser, true, &stmt->assign.n_ranges);
    }
}

/* An expression, a list of them, or the targets of an assignment: known only behind them. */
static void stmt_simple(struct parser *parser, struct ast_stmt *stmt) {
    struct ast_expr **items = NULL;
    int count = 0, capacity = 0;
    if (parser_is(parser, TK_SLASHSLASH)) {
        parser_fail(parser, parser_span(parser->token), "expected a statement, found `//`; a comment begins with `#`");
    }
    uint32_t first = parser_next_id(parser);
    do ARENA_PUSH(parser->arena, items, count, capacity) = parser_expr(parser);
    while (parser_accept(parser, TK_COMMA));
    enum ast_op op;
    if (stmt_assign_op(parser->token.kind, &op)) {
        stmt_assign(parser, stmt, items, count, op);
        return;
    }
    stmt->kind = AST_EXPR;
    stmt->expr = items[0];
    if (count > 1)
        stmt->expr = parser_tuple(parser, items, count, span_join(items[0]->span, items[count - 1]->span), first);
}

static void stmt_top_level(struct parser *parser) {
    if (parser->blocks == 0) return;
    parser_report(parser, parser_span(parser->token), "%s stands inside a block; expected at the top level only",
                  parser_found(parser));
}

static struct ast_stmt *stmt_parse(struct parser *parser) {
    struct ast_stmt *stmt = ARENA_NEW(parser->arena, struct ast_stmt);
    struct token first = parser->token;
    switch (first.kind) {
    case TK_IF: stmt_if(parser, stmt); break;
    case TK_WHILE: stmt_while(parser, stmt); break;
    case TK_FOR: stmt_for(parser, stmt); break;
    case TK_BREAK:
    case TK_CONTINUE: stmt_jump(parser, stmt); break;
    case TK_ASSERT: stmt_assert(parser, stmt); break;
    case TK_RETURN:
        stmt->kind = AST_RETURN;
        parser_advance(parser);
        if (!stmt_ends(parser)) stmt->expr = parser_expr_list(parser);
        break;
    case TK_PARAM:
        stmt_top_level(parser);
        parser_param(parser, stmt);
        break;
    case TK_FN:
    case TK_UFUNC:
        stmt_top_level(parser);
        parser_function(parser, stmt);
        break;
    case TK_ELSE:
    case TK_ELIF: parser_fail(parser, parser_span(first), "%s follows no `if`", parser_found(parser)); break;
    case TK_LBRACE:
        parser_fail(parser, parser_span(first), "a block stands only after `if`, `while`, `for` and functions");
        break;
    default: stmt_simple(parser, stmt); break;
    }
    if (!parser->panic && !stmt_ends(parser)) stmt_expected_end(parser, stmt);
    stmt->span = parser_since(parser, parser_span(first));
    return stmt;
}

void parser_statements(struct parser *parser, enum token_kind end, struct ast_block *block) {
    int capacity = 0;
    for (;;) {
        while (parser_accept(parser, TK_NEWLINE) || parser_accept(parser, TK_SEMICOLON)) {
        }
        if (parser_is(parser, end) || parser_is(parser, TK_EOF)) return;
        struct ast_stmt *stmt = stmt_parse(parser);
        if (parser->panic)
            stmt_recover(parser);
        else
            ARENA_PUSH(parser->arena, block->items, block->count, capacity) = stmt;
    }
}
