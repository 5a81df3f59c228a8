/* array_effects.c: print, assert, load, save: sinks of the stretch, in the order of the program. */
#include "frontend/array.h"

#include <string.h>

struct printed {
    struct array *a;
    struct value *values; /* of the items that are no texts */
    const char **texts;
    int n_items, n_values, capacity, values_capacity;
    int texts_capacity;
};

static void add_text(struct printed *p, const char *text) {
    ARENA_PUSH(p->a->arena, p->texts, p->n_items, p->texts_capacity) = text;
}

/* "(3, 4)" of a tuple of constants. */
static const char *tuple_text(struct array *a, const struct value *v) {
    struct strbuf out;
    strbuf_init(&out, a->arena);
    for (int i = 0; i < v->n_items; i++) {
        int64_t item;
        if (!array_constant_int(a, &v->items[i], &item)) return NULL;
        strbuf_printf(&out, "%s%lld", i ? ", " : "(", (long long)item);
    }
    strbuf_puts(&out, v->n_items == 0 ? "()" : v->n_items == 1 ? ",)" : ")");
    return strbuf_text(&out);
}

static bool add_item(struct printed *p, const struct value *v) {
    struct array *a = p->a;
    const char *text;
    switch (v->kind) {
    case VALUE_STRING: add_text(p, v->text); return true;
    case VALUE_DTYPE: add_text(p, dtype_name(v->type.dtype)); return true;
    case VALUE_TUPLE:
        if ((text = tuple_text(a, v))) {
            add_text(p, text);
            return true;
        }
        for (int i = 0; i < v->n_items; i++)
            if (!add_item(p, &v->items[i])) return false;
        return true;
    case VALUE_NUMBER:
        add_text(p, NULL);
        ARENA_PUSH(a->arena, p->values, p->n_values, p->values_capacity) = *v;
        return true;
    case VALUE_NONE:
        diag_add(a->diags, DIAG_TYPE, v->span, "`%s` has no value to print", array_quote(a, v->span));
        return false;
    default: return false;
    }
}

static struct value print(struct array *a, const struct array_call *call) {
    struct printed p = {.a = a};
    for (int i = 0; i < call->n; i++)
        if (!add_item(&p, &call->arguments[i])) return value_error(call->span);
    struct graph_node **nodes = ARENA_ARRAY(a->arena, struct graph_node *, p.n_values);
    for (int i = 0; i < p.n_values; i++)
        if (!(nodes[i] = array_node(a, &p.values[i]))) return value_error(call->span);
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_PRINT, call->span);
    sink->n_nodes = p.n_values;
    sink->nodes = nodes;
    sink->n_items = p.n_items;
    sink->texts = p.texts;
    return (struct value){.kind = VALUE_NONE, .span = call->span};
}

/* The literal path of load and save; NULL: reported. */
static const char *path_of(struct array *a, const struct array_call *call) {
    const struct value *path = &call->arguments[0];
    if (!a->elab->program->options->files.allowed) {
        diag_add(a->diags, DIAG_UNSUPPORTED, call->span, "`%s` is not allowed here: files were not permitted",
                 call->name);
        return NULL;
    }
    if (path->kind != VALUE_STRING) {
        diag_add(a->diags, DIAG_TYPE, path->span, "`%s` takes a literal path", call->name);
        return NULL;
    }
    size_t length = strlen(path->text);
    if (length >= 4 && memcmp(path->text + length - 4, ".npy", 4) == 0) return path->text;
    diag_add(a->diags, DIAG_UNSUPPORTED, path->span, "only files named *.npy are available in this version");
    return NULL;
}

static struct value save(struct array *a, const struct array_call *call) {
    const char *path = path_of(a, call);
    if (!path || !array_is_number(a, &call->arguments[1], "`save`")) return value_error(call->span);
    struct graph_node *node = array_node(a, &call->arguments[1]);
    if (!node) return value_error(call->span);
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_SAVE, call->span);
    sink->text = path;
    sink->n_nodes = 1;
    sink->nodes = ARENA_NEW(a->arena, struct graph_node *);
    sink->nodes[0] = node;
    return (struct value){.kind = VALUE_NONE, .span = call->span};
}

/* Element type and rank are those of the file now; sizes are read again when the program runs. Sizes that are 1 now are
 * taken for 1, others for anything else: the first is checked, the second needs no check, as a size that became 1 fails
 * to equal what it met. */
static struct value load(struct array *a, const struct array_call *call) {
    const struct frontend_files *files = &a->elab->program->options->files;
    const char *path = path_of(a, call);
    if (!path) return value_error(call->span);
    enum dtype type;
    int rank;
    int64_t sizes[TYPE_MAX_RANK];
    struct strbuf why;
    strbuf_init(&why, a->arena);
    if (!files->load_header || !files->load_header(files->host, path, &type, &rank, sizes, &why))
        return array_error(a, DIAG_FILE, call->span, "%s",
                           why.length ? strbuf_text(&why) : "files cannot be read here");
    if (rank > TYPE_MAX_RANK || type == TY_F16)
        return array_error(a, DIAG_UNSUPPORTED, call->span,
                           "\"%s\" holds %s of rank %d, which is not available in this version", path, dtype_name(type),
                           rank);
    int slot = plan_add_slot(a->plan, NULL, type, rank);
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_LOAD, call->span);
    sink->slot = slot;
    sink->text = path;
    array_end_stretch(a); /* the slot is read in the next one */
    const struct size *shape[TYPE_MAX_RANK];
    for (int d = 0; d < rank; d++) {
        bool one = sizes[d] == 1;
        shape[d] = size_dim(&a->plan->sizes, slot, d, !one);
        if (!one) continue;
        if (!array_check_text(a, CHECK_EQUAL, shape[d], array_const(a, 1), DIAG_SHAPE, call->span,
                              arena_printf(a->arena,
                                           "dimension %d of \"%s\" was 1 when the program was compiled, and now is \1",
                                           d, path)))
            return value_error(call->span);
        shape[d] = array_const(a, 1);
    }
    return array_wrap(a, graph_input(array_graph(a), slot, type, rank, shape), call->span);
}

struct value array_effect(struct array *a, enum builtin builtin, const struct array_call *call) {
    switch (builtin) {
    case BUILTIN_print: return print(a, call);
    case BUILTIN_save: return save(a, call);
    default: return load(a, call);
    }
}

void array_assert(struct array *a, const struct ast_stmt *stmt) {
    struct value v = array_condition(a, stmt->assertion.condition, "`assert`");
    struct graph_node *node = array_node(a, &v);
    if (!node) return;
    struct graph_sink *sink = graph_sink(array_graph(a), SINK_ASSERT, stmt->span);
    sink->n_nodes = 1;
    sink->nodes = ARENA_NEW(a->arena, struct graph_node *);
    sink->nodes[0] = node;
    const struct ast_expr *text = stmt->assertion.text;
    sink->text = text && text->kind == AST_STRING
                     ? text->string.text
                     : arena_printf(a->arena, "`%s` does not hold", array_quote(a, stmt->assertion.condition->span));
}
