/* resolve_calls.c: what is called, and with what: counts, keywords, texts, and where it may be called at all. */
#include <string.h>

#include "frontend/resolve_state.h"

/* "name(a, b: [n])", abridged past a few parameters. */
const char *resolve_signature(struct resolver *r, const struct ast_function *function) {
    enum { SHOWN = 8 };
    struct strbuf out;
    strbuf_init(&out, r->arena);
    strbuf_printf(&out, "%s(", function->name);
    for (int i = 0; i < function->n_parameters && i < SHOWN; i++)
        strbuf_printf(&out, "%s%s", i ? ", " : "", ast_text(r->arena, r->ast, function->parameters[i].span));
    strbuf_puts(&out, function->n_parameters > SHOWN ? ", ...)" : ")");
    return strbuf_text(&out);
}

static const char *calls_plural(int n) {
    return n == 1 ? "" : "s";
}

/* The first argument that is a text; NULL if there is none from `first` on. */
static const struct ast_expr *calls_text(const struct ast_expr *call, int first) {
    for (int i = first; i < call->call.n_arguments; i++)
        if (call->call.arguments[i].value->kind == AST_STRING) return call->call.arguments[i].value;
    return NULL;
}

static void calls_no_text(struct resolver *r, const struct ast_expr *call, int first) {
    const struct ast_expr *text = calls_text(call, first);
    if (text) resolve_report(r, DIAG_TYPE, text->span, "`%s` takes no text here", call->call.callee->name);
}

static void calls_count(struct resolver *r, const struct ast_expr *call, int expected, const char *signature) {
    int found = call->call.n_positional;
    if (found == expected) return;
    resolve_report(r, DIAG_TYPE, call->span, "`%s` takes %d argument%s, found %d; it is called as `%s`",
                   call->call.callee->name, expected, calls_plural(expected), found, signature);
}

/* Arguments of what takes a fixed number of them, and neither keywords nor texts. */
static void calls_plain(struct resolver *r, const struct ast_expr *call, int expected, const char *signature) {
    calls_no_text(r, call, 0);
    if (call->call.n_positional == call->call.n_arguments) {
        calls_count(r, call, expected, signature);
        return;
    }
    const struct ast_argument *argument = &call->call.arguments[call->call.n_positional];
    resolve_report(r, DIAG_TYPE, argument->keyword_span, "`%s` has no keyword `%s`; it is called as `%s`",
                   call->call.callee->name, argument->keyword, signature);
}

/* --- functions of the program ------------------------------------------------------------------------------------- */

static void calls_function(struct resolve_place *place, const struct ast_expr *call, int index) {
    struct resolver *r = place->r;
    const struct ast_function *function = r->ast->functions[index];
    const char *signature = resolve_signature(r, function);
    calls_plain(r, call, function->n_parameters, signature);
    if (!place->function) return;
    struct resolve_function *caller = &r->functions[place->function->index];
    ARENA_PUSH(r->arena, place->scope->calls, place->scope->n_calls, place->scope->calls_capacity) = index;
    ARENA_PUSH(r->arena, caller->sites, caller->n_sites, caller->sites_capacity) = call->id;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static const char *calls_op_signature(struct resolver *r, const char *name, enum op op) {
    switch (op_info[op].arity) {
    case 1: return arena_printf(r->arena, "%s(x)", name);
    case 2: return arena_printf(r->arena, "%s(a, b)", name);
    default:
        return arena_printf(r->arena,
                            op == OP_select ? "%s(c, a, b)"
                            : op == OP_clip ? "%s(x, lo, hi)"
                                            : "%s(a, b, c)",
                            name);
    }
}

static void calls_op(struct resolver *r, const struct ast_expr *call, enum op op) {
    calls_plain(r, call, op_info[op].arity, calls_op_signature(r, call->call.callee->name, op));
}

/* --- built-ins ---------------------------------------------------------------------------------------------------- */

static void calls_builtin_keywords(struct resolver *r, const struct ast_expr *call, const struct builtin_info *info) {
    for (int i = call->call.n_positional; i < call->call.n_arguments; i++) {
        const struct ast_argument *argument = &call->call.arguments[i];
        const char *keyword = argument->keyword;
        if (resolve_word_among(info->keywords, keyword)) continue;
        if (info->group == BUILTIN_REDUCE && (strcmp(keyword, "by") == 0 || strcmp(keyword, "groups") == 0)) {
            resolve_report(r, DIAG_UNSUPPORTED, argument->keyword_span,
                           "grouped reductions (`by=`, `groups=`) are not available in this version");
            return;
        }
        const char *hint = resolve_hint(r, keyword, info->keywords);
        if (!*hint) hint = arena_printf(r->arena, "; it is called as `%s`", info->signature);
        resolve_report(r, DIAG_TYPE, argument->keyword_span, "`%s` has no keyword `%s`%s", call->call.callee->name,
                       keyword, hint);
    }
}

static void calls_builtin_count(struct resolver *r, const struct ast_expr *call, const struct builtin_info *info) {
    int found = call->call.n_positional;
    const char *name = call->call.callee->name;
    if (found >= info->min_args && (info->max_args < 0 || found <= info->max_args)) return;
    if (info->group == BUILTIN_REDUCE && info->max_args > 0 && found == info->max_args + 1 &&
        resolve_word_among(info->keywords, "axis")) {
        const struct ast_expr *extra = call->call.arguments[found - 1].value;
        resolve_report(r, DIAG_TYPE, extra->span, "`%s` takes %d array%s; to reduce along a dimension write `axis=%s`",
                       name, info->max_args, calls_plural(info->max_args), ast_text(r->arena, r->ast, extra->span));
        return;
    }
    const char *bound = info->min_args == info->max_args ? "" : found < info->min_args ? "at least " : "at most ";
    int expected = found < info->min_args ? info->min_args : info->max_args;
    resolve_report(r, DIAG_TYPE, call->span, "`%s` takes %s%d argument%s, found %d; it is called as `%s`", name, bound,
                   expected, calls_plural(expected), found, info->signature);
}

/* Texts are printed, and name files. */
static void calls_builtin_texts(struct resolver *r, const struct ast_expr *call, enum builtin builtin) {
    if (builtin == BUILTIN_print) return;
    bool file = builtin == BUILTIN_load || builtin == BUILTIN_save;
    calls_no_text(r, call, file ? 1 : 0);
    if (!file || call->call.n_positional == 0) return;
    const struct ast_expr *path = call->call.arguments[0].value;
    if (path->kind != AST_STRING) {
        resolve_report(r, DIAG_TYPE, path->span, "`%s` takes a literal path: `%s`", call->call.callee->name,
                       builtin_info[builtin].signature);
        return;
    }
    size_t length = path->string.length;
    if (length < 4 || memcmp(path->string.text + length - 4, ".npy", 4) != 0)
        resolve_report(r, DIAG_UNSUPPORTED, path->span, "only files named *.npy can be %s in this version",
                       builtin == BUILTIN_load ? "loaded" : "saved");
}

static void calls_effect(struct resolve_place *place, const struct ast_expr *call, enum builtin builtin) {
    struct resolver *r = place->r;
    const struct frontend_files *files = &r->program->options->files;
    struct span span = call->call.callee->span;
    const char *name = builtin_info[builtin].name;
    r->program->has_effects = true;
    if (r->program->formula) {
        resolve_report(r, DIAG_UNSUPPORTED, span,
                       "`%s` is not available in a formula: it computes one value and does nothing else", name);
    } else if (place->function && place->function->is_ufunc) {
        resolve_report(r, DIAG_TYPE, span, "`%s` inside a ufunc, which has no effects: %s where it is called", name,
                       name);
    } else if (builtin == BUILTIN_print && !files->print_allowed) {
        resolve_report(r, DIAG_UNSUPPORTED, span,
                       "`print` is not allowed here: the program that runs this source gave no print callback");
    } else if (builtin != BUILTIN_print && !files->allowed) {
        resolve_report(r, DIAG_UNSUPPORTED, span,
                       "`%s` is not allowed here: the program that runs this source has to set allow_files", name);
    }
    if (place->function && r->functions[place->function->index].effect < 0)
        r->functions[place->function->index].effect = (int)builtin;
}

/* Built-ins that work on whole arrays have no place in a ufunc, nor in a formula that is computed in tiles. */
static void calls_whole(struct resolve_place *place, const struct ast_expr *call, enum builtin builtin) {
    struct resolver *r = place->r;
    const struct ast_expr *callee = call->call.callee;
    bool measures = builtin == BUILTIN_len;
    if (r->program->formula && r->program->formula->elementwise)
        resolve_report(r, DIAG_UNSUPPORTED, callee->span,
                       "this formula is computed element by element: `%s` is not available in it", callee->name);
    if (!place->function || measures) return;
    if (r->functions[place->function->index].whole < 0) r->functions[place->function->index].whole = (int)builtin;
    if (!place->function->is_ufunc) return;
    if (builtin_info[builtin].group == BUILTIN_REDUCE)
        resolve_report(
            r, DIAG_TYPE, callee->span,
            "`%s` reduces an array, but a ufunc sees one element: call it outside and pass its result, or write a loop",
            callee->name);
    else
        resolve_report(r, DIAG_TYPE, callee->span,
                       "`%s` works on whole arrays, but every variable of a ufunc is a scalar: call it outside and "
                       "pass its result",
                       callee->name);
}

static void calls_builtin(struct resolve_place *place, const struct ast_expr *call, enum builtin builtin) {
    struct resolver *r = place->r;
    const struct builtin_info *info = &builtin_info[builtin];
    const struct ast_expr *callee = call->call.callee;
    bool several = (builtin == BUILTIN_min || builtin == BUILTIN_max) && call->call.n_positional > 1;
    switch (info->group) {
    case BUILTIN_UNAVAILABLE:
        resolve_report(r, DIAG_UNSUPPORTED, callee->span, "`%s` is not available in this version", callee->name);
        return;
    case BUILTIN_EFFECT: calls_effect(place, call, builtin); break;
    default:
        if (!several) calls_whole(place, call, builtin);
        break;
    }
    calls_builtin_keywords(r, call, info);
    calls_builtin_count(r, call, info);
    calls_builtin_texts(r, call, builtin);
    if (several && call->call.n_positional < call->call.n_arguments &&
        resolve_word_among(info->keywords, call->call.arguments[call->call.n_positional].keyword))
        resolve_report(r, DIAG_TYPE, call->call.arguments[call->call.n_positional].keyword_span,
                       "`%s` of several values goes element by element and has no `%s=`", callee->name,
                       call->call.arguments[call->call.n_positional].keyword);
}

/* --- what is no function ------------------------------------------------------------------------------------------ */

static void calls_nothing(struct resolve_place *place, const struct ast_expr *callee) {
    struct resolver *r = place->r;
    if (callee->kind != AST_ATTRIBUTE) {
        resolve_report(r, DIAG_TYPE, callee->span, "only functions can be called, by name");
        return;
    }
    const char *name = callee->attribute.name;
    const struct resolve_symbol *symbol = resolve_symbol(r, name);
    bool known = symbol->function || symbol->builtin.kind == NAME_BUILTIN || symbol->builtin.kind == NAME_OP;
    bool library = callee->attribute.base->kind == AST_NAME &&
                   resolve_word_among("np numpy math torch jnp", callee->attribute.base->name);
    if (library)
        resolve_report(r, DIAG_TYPE, callee->span, "functions stand in no module here: write `%s(...)`%s", name,
                       known ? "" : "; but there is none of this name");
    else
        resolve_report(r, DIAG_TYPE, callee->span, "arrays have no methods: write `%s(%s, ...)`",
                       known ? name : "function", ast_text(r->arena, r->ast, callee->attribute.base->span));
}

void resolve_call(struct resolve_place *place, const struct ast_expr *call) {
    struct resolver *r = place->r;
    const struct ast_expr *callee = call->call.callee;
    if (callee->kind != AST_NAME) {
        calls_nothing(place, callee);
        return;
    }
    struct resolve_name meaning = r->resolve->names[callee->id];
    switch (meaning.kind) {
    case NAME_UNKNOWN: break; /* reported */
    case NAME_INPUT:
    case NAME_VARIABLE:
    case NAME_GLOBAL:
    case NAME_SIZE:
        resolve_report(r, DIAG_TYPE, callee->span, "`%s` is a value, not a function%s", callee->name,
                       resolve_symbol(r, callee->name)->builtin.kind != NAME_UNKNOWN
                           ? "; the program uses the name of the built-in for itself"
                       : call->call.n_positional ? "; an element is written with brackets, `x[i]`"
                                                 : "");
        break;
    case NAME_CONSTANT:
        resolve_report(r, DIAG_TYPE, callee->span, "`%s` is a constant, not a function", callee->name);
        break;
    case NAME_DTYPE: calls_plain(r, call, 1, arena_printf(r->arena, "%s(x)", callee->name)); break;
    case NAME_FUNCTION: calls_function(place, call, meaning.index); break;
    case NAME_BUILTIN: calls_builtin(place, call, (enum builtin)meaning.index); break;
    case NAME_OP: calls_op(r, call, (enum op)meaning.index); break;
    }
}
