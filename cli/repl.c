/* repl.c: `weft` alone: read a statement, run it, show its value. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/repl.h"

void repl_failed(struct repl *repl, const jit_error *error) {
    repl->failed = true;
    fflush(stdout);
    /* In a function that was defined by an earlier statement there is no place to point at. */
    static const char nowhere[] = "<stdin>: error: ";
    if (!error->line && repl->line && !strncmp(error->message, nowhere, sizeof nowhere - 1))
        fprintf(stderr, "<stdin>:%d: error: %s\n", repl->line, error->message + sizeof nowhere - 1);
    else if (error->line || strstr(error->message, ": error: "))
        fprintf(stderr, "%s\n", error->message);
    else if (repl->line)
        fprintf(stderr, "<stdin>:%d: error: %s\n", repl->line, error->message);
    else
        fprintf(stderr, "error: %s\n", error->message);
    fflush(stderr);
}

/* The statement behind as many empty lines as came before it, so that errors name the right one. */
static char *at_its_line(const struct repl *repl, const char *text) {
    size_t before = repl->line > 1 ? (size_t)repl->line - 1 : 0, length = strlen(text);
    char *source = host_alloc(before + length + 1);
    memset(source, '\n', before);
    memcpy(source + before, text, length);
    return source;
}

static void show_time(const char *what, double seconds) {
    if (seconds >= 1)
        printf("%s %.3f s", what, seconds);
    else if (seconds >= 1e-3)
        printf("%s %.3f ms", what, seconds * 1e3);
    else
        printf("%s %.1f us", what, seconds * 1e6);
}

bool repl_statement(struct repl *repl, const char *text, bool timed) {
    char *source = at_its_line(repl, text);
    jit_error error = {0};
    jit_result result = {0};
    interrupt_flag = 0;
    progress_begin(&repl->host);
    jit_status status = jit_session_run(repl->session, source, &interrupt_flag, &result, &error);
    progress_clear(&repl->host);
    free(source);
    if (status != JIT_OK) {
        repl_failed(repl, &error);
        return false;
    }
    for (int i = 0; i < result.n_values; i++) {
        char *value = jit_format(&result.value[i]->dl_tensor);
        puts(value ? value : "(out of memory)");
        jit_text_free(value);
        result.value[i]->deleter(result.value[i]);
    }
    if (timed) {
        show_time("compile", result.compile_seconds);
        show_time(", run", result.run_seconds);
        putchar('\n');
    }
    fflush(stdout);
    return true;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reader {
    struct repl *repl;
    char *ahead; /* a line read too early */
    int number;  /* lines read */
};

static char *read_line(struct reader *reader, bool more, bool *interrupted) {
    *interrupted = false;
    char *line = reader->ahead;
    reader->ahead = NULL;
    if (line) return line;
    if (reader->repl->terminal) return line_read(reader->repl->editor, more ? "  ... " : "weft> ", interrupted);
    size_t room = 0;
    ssize_t length = getline(&line, &room, stdin);
    if (length < 0) {
        free(line);
        return NULL;
    }
    reader->number++;
    for (ssize_t i = 0; i < length; i++) /* the session takes C strings: a NUL must not hide what follows it */
        if (!line[i]) line[i] = 1;
    if (length && line[length - 1] == '\n') line[--length] = 0;
    if (length && line[length - 1] == '\r') line[length - 1] = 0;
    return line;
}

static bool begins_with_else(const char *line) {
    line += strspn(line, " \t");
    size_t length = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    return length == 4 && (!strncmp(line, "else", 4) || !strncmp(line, "elif", 4));
}

static bool ends_in_brace(const char *text) {
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n", text[n - 1])) n--;
    return n && text[n - 1] == '}';
}

/* The lines of one statement so far. */
struct lines {
    char *text; /* NULL: none yet */
    size_t length, room, checked;
    long depth; /* of brackets, roughly */
};

static void append(struct lines *lines, const char *line) {
    size_t more = strlen(line);
    if (lines->length + more + 2 > lines->room) {
        lines->room = 2 * lines->room + more + 64;
        char *wider = realloc(lines->text, lines->room);
        if (!wider) host_alloc((size_t)-1); /* says so and ends */
        lines->text = wider;
    }
    if (lines->length) lines->text[lines->length++] = '\n';
    memcpy(lines->text + lines->length, line, more + 1);
    lines->length += more;
    for (bool quoted = false; *line && (quoted || *line != '#'); line++) {
        if (quoted && *line == '\\' && line[1])
            line++;
        else if (*line == '"')
            quoted = !quoted;
        else if (!quoted && strchr("([{", *line))
            lines->depth++;
        else if (!quoted && strchr(")]}", *line))
            lines->depth--;
    }
}

/* Asking the library takes time in proportion to the text: of a long one only where a bracket may have closed it, and
 * now and then, as the count of brackets may be wrong in text that is. */
static bool wants_more(struct lines *lines) {
    enum { SHORT = 16384 };
    if (lines->length > SHORT && lines->depth > 0 && lines->length < 2 * lines->checked) return true;
    lines->checked = lines->length;
    return jit_incomplete(lines->text);
}

/* A statement, or several lines of one; NULL at the end. An `else` below a closing brace belongs to it: on a terminal
 * it must stand beside the brace, or one would always have to wait for another line. */
static char *read_statement(struct reader *reader, bool *interrupted) {
    struct lines lines = {0};
    for (;;) {
        char *line = read_line(reader, lines.text != NULL, interrupted);
        if (!line) return lines.text;
        if (*interrupted) {
            free(lines.text);
            free(line);
            return NULL;
        }
        if (!lines.text) reader->repl->line = reader->repl->terminal ? 0 : reader->number;
        bool command = !lines.text && line[strspn(line, " \t")] == ':';
        append(&lines, line);
        free(line);
        if (command) return lines.text;
        if (wants_more(&lines)) continue;
        if (reader->repl->terminal || !ends_in_brace(lines.text)) return lines.text;
        reader->ahead = read_line(reader, true, interrupted);
        if (!reader->ahead || !begins_with_else(reader->ahead)) return lines.text;
    }
}

static int converse(struct repl *repl) {
    struct reader reader = {.repl = repl};
    while (!repl->quit) {
        bool interrupted;
        if (!reader.ahead) repl->line = 0;
        char *text = read_statement(&reader, &interrupted);
        if (interrupted) continue;
        if (!text) break;
        const char *start = text + strspn(text, " \t");
        if (*start == ':') {
            if (!repl_command(repl, start)) repl->failed = true;
        } else if (*start) {
            repl_statement(repl, text, false);
        }
        free(text);
        fflush(stdout);
    }
    free(reader.ahead);
    return repl->failed && !repl->terminal ? EXIT_FAILED : EXIT_OK;
}

static const char repl_usage[] =
    "usage: weft [-j N] [--device cpu|cuda|cuda:N] [--fp strict|contract|fast] [--ulp 1|4]\n"
    "A session: variables and functions stay. Statements may come from a pipe; then values go to stdout and errors to\n"
    "stderr, and the exit status is 1 if any statement failed.\n";

int cmd_repl(int argc, char **argv) {
    static const struct args_option options[] = {SETTING_OPTIONS, {0}};
    struct settings settings = {0};
    struct args args = {.options = options, .argc = argc, .at = 1, .argv = argv};
    const char *value;
    for (int id; (id = args_next(&args, &value)) != ARGS_END;) {
        if (id == ARGS_WRONG) return EXIT_USAGE;
        if (id == ARGS_POSITIONAL) return args_usage(NULL, "expected no argument, found '%s'", value);
        if (id == SETTING_HELP) {
            fputs(repl_usage, stdout);
            return host_finish();
        }
        if (!settings_take(&settings, NULL, id, value)) return EXIT_USAGE;
    }
    struct repl repl = {.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    if (!(repl.context = host_context(&settings, &repl.host))) return EXIT_FAILED;
    jit_error error = {0};
    int result;
    if (!(repl.session = jit_session_new(repl.context, &error))) {
        result = host_failed(&error);
    } else if (repl.terminal && !(repl.editor = line_open(&repl))) {
        result = host_error("cannot use the terminal");
    } else {
        if (repl.terminal) {
            interrupt_catch(false);
            printf("Weft %s: type an expression; :help explains, :quit leaves\n", jit_version());
        }
        result = converse(&repl);
        line_close(repl.editor);
    }
    jit_session_free(repl.session);
    jit_context_free(repl.context);
    int written = host_finish();
    return result ? result : written;
}
