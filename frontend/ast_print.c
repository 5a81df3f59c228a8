/* ast_print.c: the tree as text.
 *
 *     (= x (+ a 1))                      (call sum x axis=0)          (index x (: 1 _ 2) None ... i)
 *     (if (chain a < b)
 *       (then
 *         (+= n 1))
 *       (else))
 *     (ufunc f (params (x f64) (t [n])) (returns i32)
 *       (return x))
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "frontend/ast.h"

static void print_expr(struct strbuf *out, const struct ast_expr *expr);

/* Where the depth of ast.h is not bounded by the nesting limit: the first operand, or NULL. */
static const struct ast_expr *print_first(const struct ast_expr *expr) {
    switch (expr->kind) {
    case AST_BINARY:
    case AST_LOGICAL: return expr->binary.left;
    case AST_CHAIN: return expr->chain.operands[0];
    case AST_CALL: return expr->call.callee;
    case AST_INDEX: return expr->index.base;
    case AST_ATTRIBUTE: return expr->attribute.base;
    default: return NULL;
    }
}

/* Shortest of 15 to 17 digits that reads back, always with a point or an exponent. */
static void print_real(struct strbuf *out, double value) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    bool whole = true;
    for (char *at = text; *at; at++) {
        if (*at == ',') *at = '.'; /* the host's locale */
        if (*at == '.' || *at == 'e') whole = false;
    }
    strbuf_puts(out, text);
    if (whole) strbuf_puts(out, ".0");
}

static void print_string(struct strbuf *out, const struct ast_expr *expr) {
    strbuf_putc(out, '"');
    for (size_t i = 0; i < expr->string.length; i++) {
        unsigned char c = (unsigned char)expr->string.text[i];
        if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", c);
        else if (c == '\n')
            strbuf_puts(out, "\\n");
        else if (c == '\t')
            strbuf_puts(out, "\\t");
        else if (c < ' ' || c >= 0x7f)
            strbuf_printf(out, "\\x%02x", c);
        else
            strbuf_putc(out, (char)c);
    }
    strbuf_putc(out, '"');
}

static void print_ranges(struct strbuf *out, const struct ast_index_range *ranges, int count) {
    for (int i = 0; i < count; i++) {
        if (!ranges[i].start) {
            strbuf_printf(out, " %s", ranges[i].name);
            continue;
        }
        strbuf_printf(out, " (%s ", ranges[i].name);
        print_expr(out, ranges[i].start);
        strbuf_putc(out, ' ');
        print_expr(out, ranges[i].stop);
        strbuf_putc(out, ')');
    }
}

static void print_optional(struct strbuf *out, const struct ast_expr *expr) {
    if (expr)
        print_expr(out, expr);
    else
        strbuf_putc(out, '_');
}

static void print_subscript(struct strbuf *out, const struct ast_subscript *subscript) {
    switch (subscript->kind) {
    case AST_SUB_NONE: strbuf_puts(out, "None"); break;
    case AST_SUB_ELLIPSIS: strbuf_puts(out, "..."); break;
    case AST_SUB_EXPR: print_expr(out, subscript->expr); break;
    case AST_SUB_SLICE:
        strbuf_puts(out, "(: ");
        print_optional(out, subscript->start);
        strbuf_putc(out, ' ');
        print_optional(out, subscript->stop);
        if (subscript->step) {
            strbuf_putc(out, ' ');
            print_expr(out, subscript->step);
        }
        strbuf_putc(out, ')');
        break;
    }
}

/* What stands before the first operand. */
static void print_head(struct strbuf *out, const struct ast_expr *expr) {
    switch (expr->kind) {
    case AST_BINARY:
    case AST_LOGICAL: strbuf_printf(out, "(%s ", ast_op_text(expr->op)); break;
    case AST_CHAIN: strbuf_puts(out, "(chain "); break;
    case AST_CALL: strbuf_puts(out, expr->call.n_indices ? "(reduce " : "(call "); break;
    case AST_INDEX: strbuf_puts(out, "(index "); break;
    case AST_ATTRIBUTE: strbuf_puts(out, "(. "); break;
    default: break;
    }
}

/* What stands behind it. */
static void print_tail(struct strbuf *out, const struct ast_expr *expr) {
    switch (expr->kind) {
    case AST_BINARY:
    case AST_LOGICAL:
        strbuf_putc(out, ' ');
        print_expr(out, expr->binary.right);
        break;
    case AST_CHAIN:
        for (int i = 1; i < expr->chain.n_operands; i++) {
            strbuf_printf(out, " %s ", ast_op_text(expr->chain.ops[i - 1]));
            print_expr(out, expr->chain.operands[i]);
        }
        break;
    case AST_CALL:
        if (expr->call.n_indices) {
            strbuf_puts(out, " (over");
            print_ranges(out, expr->call.indices, expr->call.n_indices);
            strbuf_putc(out, ')');
        }
        for (int i = 0; i < expr->call.n_arguments; i++) {
            const struct ast_argument *argument = &expr->call.arguments[i];
            strbuf_putc(out, ' ');
            if (argument->keyword) strbuf_printf(out, "%s=", argument->keyword);
            print_expr(out, argument->value);
        }
        break;
    case AST_INDEX:
        for (int i = 0; i < expr->index.n_subscripts; i++) {
            strbuf_putc(out, ' ');
            print_subscript(out, &expr->index.subscripts[i]);
        }
        break;
    case AST_ATTRIBUTE: strbuf_printf(out, " %s", expr->attribute.name); break;
    default: return;
    }
    strbuf_putc(out, ')');
}

static void print_list(struct strbuf *out, const char *head, const struct ast_expr *expr) {
    strbuf_printf(out, "(%s", head);
    for (int i = 0; i < expr->list.count; i++) {
        strbuf_putc(out, ' ');
        print_expr(out, expr->list.items[i]);
    }
    strbuf_putc(out, ')');
}

/* Expressions without a first operand to loop along. */
static void print_atom(struct strbuf *out, const struct ast_expr *expr) {
    switch (expr->kind) {
    case AST_INT: strbuf_printf(out, "%" PRIu64, expr->integer); break;
    case AST_FLOAT: print_real(out, expr->real); break;
    case AST_BOOL: strbuf_puts(out, expr->boolean ? "true" : "false"); break;
    case AST_STRING: print_string(out, expr); break;
    case AST_NAME: strbuf_puts(out, expr->name); break;
    case AST_UNARY:
        strbuf_printf(out, "(%s ", ast_op_text(expr->op));
        print_expr(out, expr->unary.operand);
        strbuf_putc(out, ')');
        break;
    case AST_CONDITIONAL:
        strbuf_puts(out, "(choose ");
        print_expr(out, expr->conditional.condition);
        strbuf_putc(out, ' ');
        print_expr(out, expr->conditional.then);
        strbuf_putc(out, ' ');
        print_expr(out, expr->conditional.otherwise);
        strbuf_putc(out, ')');
        break;
    case AST_ARRAY: print_list(out, "array", expr); break;
    case AST_TUPLE: print_list(out, "tuple", expr); break;
    default: break; /* has a first operand */
    }
}

static void print_expr(struct strbuf *out, const struct ast_expr *expr) {
    int count = 0, capacity = 0;
    const struct ast_expr **spine = NULL, *first;
    for (; (first = print_first(expr)); expr = first) {
        print_head(out, expr);
        ARENA_PUSH(out->arena, spine, count, capacity) = expr;
    }
    print_atom(out, expr);
    while (count > 0) print_tail(out, spine[--count]);
}

static void print_type(struct strbuf *out, const struct ast_type *type) {
    if (type->element) strbuf_puts(out, type->element);
    if (!type->is_array) return;
    strbuf_putc(out, '[');
    for (int i = 0; i < type->n_dims; i++) {
        const struct ast_dim *dim = &type->dims[i];
        if (i) strbuf_puts(out, ", ");
        if (dim->kind == AST_DIM_NAME)
            strbuf_puts(out, dim->name);
        else if (dim->kind == AST_DIM_INTEGER)
            strbuf_printf(out, "%" PRId64, dim->size);
        else
            strbuf_putc(out, ':');
    }
    strbuf_putc(out, ']');
}

static void print_block(struct strbuf *out, const struct ast_block *block, int indent);

static void print_line(struct strbuf *out, int indent) {
    strbuf_printf(out, "\n%*s", indent, "");
}

/* A block under a head of its own: (then …). */
static void print_part(struct strbuf *out, const char *head, const struct ast_block *block, int indent) {
    print_line(out, indent);
    strbuf_printf(out, "(%s", head);
    print_block(out, block, indent + 2);
    strbuf_putc(out, ')');
}

static void print_assign(struct strbuf *out, const struct ast_stmt *stmt) {
    strbuf_printf(out, "(%s%s ", stmt->assign.define ? ":" : ast_op_text(stmt->assign.op), "=");
    if (stmt->assign.n_targets > 1) strbuf_puts(out, "(targets ");
    for (int i = 0; i < stmt->assign.n_targets; i++) {
        if (i) strbuf_putc(out, ' ');
        print_expr(out, stmt->assign.targets[i]);
    }
    strbuf_puts(out, stmt->assign.n_targets > 1 ? ") " : " ");
    print_expr(out, stmt->assign.value);
    if (stmt->assign.n_ranges) {
        strbuf_puts(out, " (for");
        print_ranges(out, stmt->assign.ranges, stmt->assign.n_ranges);
        strbuf_putc(out, ')');
    }
    strbuf_putc(out, ')');
}

static void print_function(struct strbuf *out, const struct ast_function *function, int indent) {
    strbuf_printf(out, "(%s %s (params", function->is_ufunc ? "ufunc" : "fn", function->name);
    for (int i = 0; i < function->n_parameters; i++) {
        const struct ast_parameter *parameter = &function->parameters[i];
        strbuf_printf(out, parameter->type ? " (%s " : " %s", parameter->name);
        if (!parameter->type) continue;
        print_type(out, parameter->type);
        strbuf_putc(out, ')');
    }
    strbuf_putc(out, ')');
    if (function->n_results) {
        strbuf_puts(out, " (returns");
        for (int i = 0; i < function->n_results; i++) {
            strbuf_putc(out, ' ');
            print_type(out, function->results[i]);
        }
        strbuf_putc(out, ')');
    }
    if (function->value) {
        strbuf_puts(out, " = ");
        print_expr(out, function->value);
    } else {
        print_block(out, &function->body, indent + 2);
    }
    strbuf_putc(out, ')');
}

static void print_if(struct strbuf *out, const struct ast_stmt *stmt, int indent) {
    for (int i = 0; i < stmt->branch.n_branches; i++) {
        if (i) print_line(out, indent + 2);
        strbuf_puts(out, i ? "(elif " : "(if ");
        print_expr(out, stmt->branch.conditions[i]);
        if (i) {
            print_block(out, &stmt->branch.bodies[i], indent + 4);
            strbuf_putc(out, ')');
        } else {
            print_part(out, "then", &stmt->branch.bodies[i], indent + 2);
        }
    }
    if (stmt->branch.has_else) print_part(out, "else", &stmt->branch.otherwise, indent + 2);
    strbuf_putc(out, ')');
}

static void print_loop(struct strbuf *out, const struct ast_stmt *stmt, int indent) {
    if (stmt->kind == AST_WHILE) {
        strbuf_puts(out, "(while ");
        print_expr(out, stmt->loop.condition);
    } else {
        strbuf_printf(out, "(for %s ", stmt->loop.name);
        print_expr(out, stmt->loop.start);
        strbuf_putc(out, ' ');
        print_expr(out, stmt->loop.stop);
        if (stmt->loop.step) {
            strbuf_putc(out, ' ');
            print_expr(out, stmt->loop.step);
        }
    }
    print_block(out, &stmt->loop.body, indent + 2);
    strbuf_putc(out, ')');
}

static void print_stmt(struct strbuf *out, const struct ast_stmt *stmt, int indent) {
    switch (stmt->kind) {
    case AST_ASSIGN: print_assign(out, stmt); break;
    case AST_EXPR: print_expr(out, stmt->expr); break;
    case AST_IF: print_if(out, stmt, indent); break;
    case AST_WHILE:
    case AST_FOR: print_loop(out, stmt, indent); break;
    case AST_BREAK: strbuf_puts(out, "(break)"); break;
    case AST_CONTINUE: strbuf_puts(out, "(continue)"); break;
    case AST_RETURN:
        strbuf_puts(out, stmt->expr ? "(return " : "(return");
        if (stmt->expr) print_expr(out, stmt->expr);
        strbuf_putc(out, ')');
        break;
    case AST_ASSERT:
        strbuf_puts(out, "(assert ");
        print_expr(out, stmt->assertion.condition);
        if (stmt->assertion.text) {
            strbuf_putc(out, ' ');
            print_expr(out, stmt->assertion.text);
        }
        strbuf_putc(out, ')');
        break;
    case AST_PARAM:
        strbuf_printf(out, "(param %s", stmt->param.name);
        if (stmt->param.type) {
            strbuf_putc(out, ' ');
            print_type(out, stmt->param.type);
        }
        if (stmt->param.value) {
            strbuf_puts(out, " = ");
            print_expr(out, stmt->param.value);
        }
        strbuf_putc(out, ')');
        break;
    case AST_FUNCTION: print_function(out, stmt->function, indent); break;
    }
}

static void print_block(struct strbuf *out, const struct ast_block *block, int indent) {
    for (int i = 0; i < block->count; i++) {
        print_line(out, indent);
        print_stmt(out, block->items[i], indent);
    }
}

void ast_print(const struct ast_program *program, struct strbuf *out) {
    for (int i = 0; i < program->body.count; i++) {
        print_stmt(out, program->body.items[i], 0);
        strbuf_putc(out, '\n');
    }
    if (program->expression) {
        print_expr(out, program->expression);
        strbuf_putc(out, '\n');
    }
}
