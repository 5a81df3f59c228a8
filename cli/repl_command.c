/* repl_command.c: what can be asked for beside statements. */
#include <string.h>

#include "cli/repl.h"

static bool show_type(struct repl *repl, const char *text) {
    jit_error error = {0};
    jit_result result = {0};
    interrupt_flag = 0;
    if (jit_session_run(repl->session, text, &interrupt_flag, &result, &error) != JIT_OK) {
        repl_failed(repl, &error);
        return false;
    }
    for (int i = 0; i < result.n_values; i++) {
        char *type = jit_format_type(&result.value[i]->dl_tensor);
        printf("%s%s", i ? ", " : "", type ? type : "(out of memory)");
        jit_text_free(type);
        result.value[i]->deleter(result.value[i]);
    }
    puts(result.n_values ? "" : "no value");
    return true;
}

static bool show_time(struct repl *repl, const char *text) {
    return repl_statement(repl, text, true);
}

static bool show_stage(struct repl *repl, const char *text, const char *stage) {
    jit_error error = {0};
    char *shown = jit_session_emit(repl->session, text, stage, &error);
    if (!shown) {
        repl_failed(repl, &error);
        return false;
    }
    fputs(shown, stdout);
    jit_text_free(shown);
    return true;
}
static bool show_ast(struct repl *repl, const char *text) {
    return show_stage(repl, text, "ast");
}
static bool show_ir(struct repl *repl, const char *text) {
    return show_stage(repl, text, "ir");
}
static bool show_kernels(struct repl *repl, const char *text) {
    return show_stage(repl, text, "kernels");
}
static bool show_plan(struct repl *repl, const char *text) {
    return show_stage(repl, text, "plan");
}
static bool show_llvm(struct repl *repl, const char *text) {
    return show_stage(repl, text, "llvm");
}
static bool show_asm(struct repl *repl, const char *text) {
    return show_stage(repl, text, "asm");
}

static bool show_cuda(struct repl *repl, const char *text) {
    return show_stage(repl, text, "cuda");
}
static bool show_ptx(struct repl *repl, const char *text) {
    return show_stage(repl, text, "ptx");
}

static bool show_vars(struct repl *repl, const char *text) {
    (void)text;
    const DLTensor *value;
    const char *name;
    int width = 0, count = 0;
    for (; (name = jit_session_variable(repl->session, count, &value)); count++)
        if ((int)strlen(name) > width) width = (int)strlen(name);
    for (int i = 0; i < count; i++) {
        name = jit_session_variable(repl->session, i, &value);
        char *type = jit_format_type(value);
        printf("%-*s  %s", width, name, type ? type : "(out of memory)");
        jit_text_free(type);
        char *scalar = value->ndim ? NULL : jit_format(value);
        if (scalar) printf("  %s", scalar);
        jit_text_free(scalar);
        putchar('\n');
    }
    return true;
}

static bool quit(struct repl *repl, const char *text) {
    (void)text;
    repl->quit = true;
    return true;
}

static bool help(struct repl *repl, const char *text);

struct repl_command {
    const char *name, *argument, *doc;
    bool (*run)(struct repl *repl, const char *text);
};
static const struct repl_command commands[] = {
    {":type", "EXPR", "the type and shape of a value", show_type},
    {":time", "STATEMENT", "runs it and says how long compiling and running took", show_time},
    {":ast", "STATEMENT", "how it was read", show_ast},
    {":ir", "STATEMENT", "its array graph", show_ir},
    {":kernels", "STATEMENT", "the loops it becomes", show_kernels},
    {":plan", "STATEMENT", "the steps it is run in", show_plan},
    {":llvm", "STATEMENT", "its LLVM IR", show_llvm},
    {":asm", "STATEMENT", "its machine code", show_asm},
    {":cuda", "STATEMENT", "its CUDA C, as a GPU gets it", show_cuda},
    {":ptx", "STATEMENT", "its PTX (needs NVRTC, no GPU)", show_ptx},
    {":vars", NULL, "the session's variables", show_vars},
    {":help", "[NAME]", "this, or one line about a function or keyword", help},
    {":quit", NULL, "leaves (so does Ctrl-D)", quit},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

const char *repl_command_name(int index) {
    return index < N_COMMANDS ? commands[index].name : NULL;
}

static bool help_name(const char *word) {
    const char *doc, *name;
    for (int i = 0; (name = jit_name(i, &doc)); i++)
        if (!strcmp(name, word)) {
            printf("%s: %s\n", name, doc ? doc : "");
            return true;
        }
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i].name, word) || !strcmp(commands[i].name + 1, word)) {
            printf("%s: %s\n", commands[i].name, commands[i].doc);
            return true;
        }
    return false;
}

static bool help(struct repl *repl, const char *text) {
    if (*text) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(text, " \t("), text);
        if (help_name(word)) return true;
        const char *names[1024], *name;
        int n = 0;
        for (; n < 1023 && (name = jit_name(n, NULL)); n++) names[n] = name;
        names[n] = NULL;
        const char *near = args_suggest(word, names);
        fflush(stdout);
        if (repl->line) fprintf(stderr, "<stdin>:%d: ", repl->line);
        if (near)
            fprintf(stderr, "error: nothing is known of `%s`: did you mean `%s`?\n", word, near);
        else
            fprintf(stderr, "error: nothing is known of `%s`\n", word);
        return false;
    }
    puts("Type an expression to see its value, or a statement: x = linspace(0, 1, 5). Blocks go over several lines.");
    for (int i = 0; i < N_COMMANDS; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].argument ? commands[i].argument : "");
        printf("  %-18s %s\n", left, commands[i].doc);
    }
    puts("Functions and keywords (:help NAME says what one does):");
    const char *name;
    int column = 0;
    for (int i = 0; (name = jit_name(i, NULL)); i++) {
        int length = (int)strlen(name) + 1;
        if (column + length > 100) {
            putchar('\n');
            column = 0;
        }
        printf("%s%s", column ? " " : "  ", name);
        column += length + !column;
    }
    putchar('\n');
    return true;
}

bool repl_command(struct repl *repl, const char *line) {
    size_t length = strcspn(line, " \t");
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), line);
    const char *text = line + length + strspn(line + length, " \t");
    const char *names[N_COMMANDS + 1] = {0};
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(word, commands[i].name) && !(i == N_COMMANDS - 1 && !strcmp(word, ":q"))) continue;
        if (!*text && commands[i].argument && commands[i].argument[0] != '[') {
            fflush(stdout);
            if (repl->line) fprintf(stderr, "<stdin>:%d: ", repl->line);
            fprintf(stderr, "error: %s: expected %s, found nothing\n", commands[i].name, commands[i].argument);
            return false;
        }
        return commands[i].run(repl, text);
    }
    const char *near = args_suggest(word, names);
    fflush(stdout);
    if (repl->line) fprintf(stderr, "<stdin>:%d: ", repl->line);
    if (near)
        fprintf(stderr, "error: unknown command %s: did you mean `%s`?\n", word, near);
    else
        fprintf(stderr, "error: unknown command %s; :help lists them\n", word);
    return false;
}
