#include "cases.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/parse.h"
#include "ir/verify.h"
#include "support/file.h"

static const struct span nowhere = {0, 0};

static bool take_word(const char **at, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(*at, word, length) || !strchr(" ;\n", (*at)[length])) return false;
    *at += length;
    return true;
}

static void read_variant(const char *name, const char *line, const struct ir_kernel *kernel, enum ptx_access *access,
                         struct ptx_variant *variant) {
    static const char *const words[] = {
        [PTX_UNIFORM] = "uniform", [PTX_UNIT] = "unit", [PTX_STRIDED] = "strided", [PTX_BY_VALUE] = "value"};
    const char *at = line + 1;
    int n = 0;
    *variant = (struct ptx_variant){.access = access, .ulp = 4};
    for (; *at != ';'; at += *at == ' ') {
        int a = 0;
        while (*at == ' ') at++;
        while (a < 4 && !take_word(&at, words[a])) a++;
        if (a == 4 || n == kernel->n_operands) fail_msg("%s: access of operand %d", name, n);
        access[n++] = (enum ptx_access)a;
    }
    assert_int_equal(n, kernel->n_operands);
    for (at++; *at != '\n'; at++) {
        if (*at == ' ') continue;
        if (take_word(&at, "aligned"))
            variant->aligned = true;
        else if (take_word(&at, "single_row"))
            variant->single_row = true;
        else if (take_word(&at, "aliased"))
            variant->aliased = true;
        else if (take_word(&at, "short_rows"))
            variant->short_rows = true;
        else if (take_word(&at, "ulp1"))
            variant->ulp = 1;
        else
            fail_msg("%s: what is \"%s\"?", name, at);
        if (*at == '\n') break;
    }
}

static void read_case(struct cases *cases, const char *file) {
    struct ptx_case *one = &ARENA_PUSH(&cases->arena, cases->items, cases->n, cases->capacity);
    char *text = file_read(&cases->arena, arena_printf(&cases->arena, "%s/kernels/%s", WEFT_TEST_DIR, file));
    assert_true(text && text[0] == '#');
    one->name = arena_strndup(&cases->arena, file, strlen(file) - 3);
    one->kernel = parse_kernel(&cases->arena, strchr(text, '\n') + 1, &cases->why);
    if (!one->kernel || !verify_kernel(one->kernel, &cases->why)) fail_msg("%s: %s", file, strbuf_text(&cases->why));
    enum ptx_access *access = ARENA_ARRAY(&cases->arena, enum ptx_access, one->kernel->n_operands + 1);
    read_variant(one->name, text, one->kernel, access, &one->variant);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int cases_open(void **state) {
    static struct cases cases;
    static jmp_buf out_of_memory;
    arena_init(&cases.arena, &cases.mem);
    cases.arena.on_failure = &out_of_memory;
    if (setjmp(out_of_memory)) abort();
    strbuf_init(&cases.why, &cases.arena);
    char *files[200];
    int n = 0;
    DIR *folder = opendir(WEFT_TEST_DIR "/kernels");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strstr(entry->d_name, ".ir") && n < 200) files[n++] = arena_strdup(&cases.arena, entry->d_name);
    closedir(folder);
    qsort(files, (size_t)n, sizeof *files, compare_names);
    for (int i = 0; i < n; i++) read_case(&cases, files[i]);
    *state = &cases;
    return cases.n == 0;
}

int cases_close(void **state) {
    struct cases *cases = *state;
    arena_free(&cases->arena);
    return cases->mem.used != 0;
}

struct ptx_kernel cases_emit(struct cases *cases, const struct ptx_case *one) {
    struct ptx_kernel kernel;
    if (!ptx_emit(&cases->arena, one->kernel, &one->variant, &kernel, &cases->why))
        fail_msg("%s: %s", one->name, strbuf_text(&cases->why));
    return kernel;
}

const char *cases_own_text(const struct ptx_kernel *kernel) {
    static const char mark[] = "/* k";
    const char *at = strstr(kernel->source, mark);
    assert_non_null(at);
    return at;
}

bool cases_op_exists(enum op op, enum dtype type) {
    return type != TY_NONE && type != TY_F16 && op_info[op].lower != LOWER_CUSTOM &&
           op_info[op].lower != LOWER_EXPAND && operation_takes(op, type);
}

enum dtype cases_op_argument(enum op op, enum dtype type, int argument) {
    if (op == OP_ldexp && argument == 1) return TY_I32;
    if (op == OP_select && argument == 0) return TY_BOOL;
    return type;
}

const enum ptx_access cases_unit[4] = {PTX_UNIT, PTX_UNIT, PTX_UNIT, PTX_UNIT};

struct ir_kernel *cases_operation(struct arena *arena, const char *name, enum op op, enum dtype type) {
    struct ir_kernel *kernel = ARENA_NEW(arena, struct ir_kernel);
    const int arity = op_info[op].arity;
    const enum dtype result = operation_gives(op, type);
    *kernel = (struct ir_kernel){.name = name, .kind = KERNEL_MAP, .n_par = 1, .n_operands = arity + 1};
    kernel->operands = ARENA_ARRAY(arena, struct kernel_operand, arity + 1);
    struct ir_region *body = body_region(arena, 0, NULL);
    struct ir_value *args[3];
    for (int a = 0; a < arity; a++) {
        kernel->operands[a] =
            (struct kernel_operand){.kind = OPERAND_READ, .type = cases_op_argument(op, type, a), .uses = 1};
        args[a] = body_leaf(arena, body, OP_read, kernel->operands[a].type, a);
    }
    kernel->operands[arity] = (struct kernel_operand){.kind = OPERAND_WRITE, .type = result};
    struct ir_value *value = body_op(arena, body, op, result, arity, args, nowhere);
    body_op(arena, body, OP_store, TY_NONE, 1, &value, nowhere)->imm.i = arity;
    kernel->body = *body;
    return kernel;
}

static void add_result(struct cases_all *task, struct arena *arena, struct ir_region *body, enum op op, enum dtype type,
                       struct ir_value **reads) {
    struct cases_result *r = &task->results[task->n_results];
    struct ir_value *args[3];
    *r = (struct cases_result){op, type, {0, 1, 2}};
    if (op == OP_ldexp) r->arguments[1] = 3;
    if (op == OP_select) r->arguments[0] = 4, r->arguments[1] = 0, r->arguments[2] = 1;
    for (int a = 0; a < op_info[op].arity; a++) args[a] = reads[r->arguments[a]];
    const int k = CASES_ARGUMENTS + task->n_results++;
    task->operands[k] = (struct kernel_operand){.kind = OPERAND_WRITE, .type = type};
    task->access[k] = PTX_UNIT;
    struct ir_value *value = body_op(arena, body, op, type, op_info[op].arity, args, nowhere);
    body_op(arena, body, OP_store, TY_NONE, 1, &value, nowhere)->imm.i = k;
}

struct cases_all *cases_all_operations(struct cases *cases, enum dtype type) {
    struct arena *arena = &cases->arena;
    struct cases_all *task = ARENA_NEW(arena, struct cases_all);
    struct ir_region *body = body_region(arena, 0, NULL);
    struct ir_value *reads[CASES_ARGUMENTS];
    task->type = type;
    for (int k = 0; k < CASES_ARGUMENTS; k++) {
        task->operand_types[k] = k < 3 ? type : k == 3 ? TY_I32 : TY_BOOL;
        task->operands[k] = (struct kernel_operand){.kind = OPERAND_READ, .type = task->operand_types[k], .uses = 1};
        task->access[k] = PTX_UNIT;
        reads[k] = body_leaf(arena, body, OP_read, task->operand_types[k], k);
    }
    for (int op = 0; op < OP_COUNT; op++)
        if (op != OP_convert && cases_op_exists((enum op)op, type))
            add_result(task, arena, body, (enum op)op, operation_gives((enum op)op, type), reads);
    for (enum dtype to = TY_BOOL; to < TY_COUNT; to++)
        if (to != TY_F16) add_result(task, arena, body, OP_convert, to, reads);
    struct ir_kernel kernel = {.name = arena_printf(arena, "k_%s", dtype_name(type)),
                               .kind = KERNEL_MAP,
                               .n_par = 1,
                               .n_operands = CASES_ARGUMENTS + task->n_results,
                               .operands = task->operands,
                               .body = *body};
    struct ptx_variant variant = {.access = task->access, .single_row = true, .ulp = 4};
    if (!ptx_emit(arena, &kernel, &variant, &task->kernel, &cases->why)) fail_msg("%s", strbuf_text(&cases->why));
    return task;
}
