/* repl_line.c: lines from a terminal, with editing, history and completion by libedit. */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/repl.h"

enum { HISTORY_LINES = 2000 };

struct line_editor {
    EditLine *edit;
    History *history;
    char *history_file; /* NULL: nowhere to keep it */
    const char *prompt;
    struct repl *repl;
};

/* --- history ------------------------------------------------------------------------------------------------------ */

/* Makes the folders on the way to a file. */
static bool make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool ok = !mkdir(path, 0700) || errno == EEXIST;
        *slash = '/';
        if (!ok) return false;
    }
    return true;
}

static char *history_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool own = state && state[0] == '/'; /* the standard says to ignore relative ones */
    if (!own && !(home && home[0] == '/')) return NULL;
    const char *base = own ? state : home, *rest = own ? "/weft/history" : "/.local/state/weft/history";
    char *path = host_alloc(strlen(base) + strlen(rest) + 1);
    strcat(strcpy(path, base), rest);
    if (make_folders(path)) return path;
    free(path);
    return NULL;
}

static void remember(struct line_editor *editor, const char *line) {
    HistEvent event;
    if (!line[strspn(line, " \t")]) return;
    history(editor->history, &event, H_ENTER, line);
    /* Every time: a session may end in any way. */
    if (editor->history_file) history(editor->history, &event, H_SAVE, editor->history_file);
}

/* --- completion --------------------------------------------------------------------------------------------------- */

enum { MOST_MATCHES = 1024 };

struct matches {
    const char *names[MOST_MATCHES];
    int count;
    const char *word;
    size_t length, common; /* of the word; of all matches' common beginning */
};

static void offer(struct matches *m, const char *name) {
    if (strncmp(name, m->word, m->length) || m->count == MOST_MATCHES) return;
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->names[i], name)) return;
    if (!m->count) m->common = strlen(name);
    for (size_t i = m->length; m->count && i < m->common; i++)
        if (m->names[0][i] != name[i]) m->common = i;
    m->names[m->count++] = name;
}

static bool in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_matches(struct matches *m) {
    qsort(m->names, (size_t)m->count, sizeof *m->names, by_name);
    int width = 0, column = 0;
    for (int i = 0; i < m->count; i++)
        if ((int)strlen(m->names[i]) > width) width = (int)strlen(m->names[i]);
    putchar('\n');
    for (int i = 0; i < m->count; i++) {
        bool last = i == m->count - 1 || column + 2 * (width + 2) > 80;
        printf("%-*s%s", last ? 0 : width + 2, m->names[i], last ? "\n" : "");
        column = last ? 0 : column + width + 2;
    }
    fflush(stdout);
}

static unsigned char complete(EditLine *edit, int key) {
    (void)key;
    struct line_editor *editor;
    el_get(edit, EL_CLIENTDATA, &editor);
    const LineInfo *line = el_line(edit);
    const char *start = line->cursor;
    while (start > line->buffer && in_word(start[-1])) start--;
    bool command = start > line->buffer && start[-1] == ':' && start - 1 == line->buffer;
    if (command) start--;
    if (start == line->cursor) { /* nothing to complete: a tab is blanks */
        return el_insertstr(edit, "    ") ? CC_ERROR : CC_REFRESH;
    }
    char word[128];
    struct matches m = {.word = word, .length = (size_t)(line->cursor - start)};
    if (m.length >= sizeof word) return CC_ERROR;
    memcpy(word, start, m.length);
    word[m.length] = 0;
    const char *name;
    if (command) {
        for (int i = 0; (name = repl_command_name(i)); i++) offer(&m, name);
    } else {
        for (int i = 0; (name = jit_session_variable(editor->repl->session, i, NULL)); i++) offer(&m, name);
        for (int i = 0; (name = jit_name(i, NULL)); i++) offer(&m, name);
    }
    if (!m.count) return CC_ERROR;
    if (m.common > m.length) {
        char rest[128] = "";
        size_t more = m.common - m.length < sizeof rest - 1 ? m.common - m.length : sizeof rest - 1;
        memcpy(rest, m.names[0] + m.length, more);
        return el_insertstr(edit, rest) ? CC_ERROR : CC_REFRESH;
    }
    if (m.count == 1) return CC_NORM;
    list_matches(&m);
    return CC_REDISPLAY;
}

/* libedit's own reading goes on after a signal, so that Ctrl-C would show only after the next key. 1: a character; 0:
 * the end; -1: interrupted. */
static int next_character(EditLine *edit, wchar_t *character) {
    (void)edit;
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    mbstate_t state = {0};
    for (;;) {
        /* Blocked but while waiting: the flag cannot be set between the look at it and the wait. */
        sigprocmask(SIG_BLOCK, &interrupt, &before);
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = interrupt_flag ? -1 : ppoll(&input, 1, NULL, &before);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (interrupt_flag) return -1;
        if (ready < 0) continue; /* the window was resized, or the program was stopped for a while */
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return n < 0 ? -1 : 0;
        size_t got = mbrtowc(character, &byte, 1, &state);
        if (got == (size_t)-2) continue; /* more bytes to come */
        if (got == (size_t)-1) *character = L'?';
        return 1;
    }
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static char *prompt_text(EditLine *edit) {
    struct line_editor *editor;
    el_get(edit, EL_CLIENTDATA, &editor);
    return (char *)editor->prompt;
}

struct line_editor *line_open(struct repl *repl) {
    setlocale(LC_CTYPE, ""); /* UTF-8 on the prompt; numbers keep their point */
    struct line_editor *editor = host_alloc(sizeof *editor);
    editor->repl = repl;
    editor->prompt = "";
    editor->edit = el_init("weft", stdin, stdout, stderr);
    editor->history = history_init();
    if (!editor->edit || !editor->history) {
        line_close(editor);
        return NULL;
    }
    HistEvent event;
    history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    history(editor->history, &event, H_SETUNIQUE, 1);
    editor->history_file = history_path();
    if (editor->history_file) history(editor->history, &event, H_LOAD, editor->history_file);
    el_set(editor->edit, EL_CLIENTDATA, editor);
    el_set(editor->edit, EL_PROMPT, prompt_text);
    el_set(editor->edit, EL_EDITOR, "emacs");
    el_set(editor->edit, EL_SIGNAL, 0); /* Ctrl-C is ours */
    el_set(editor->edit, EL_GETCFN, next_character);
    el_set(editor->edit, EL_HIST, history, editor->history);
    el_wset(editor->edit, EL_ADDFN, L"weft-complete", L"completes a name", complete); /* el_set would leak the names */
    el_set(editor->edit, EL_BIND, "^I", "weft-complete", NULL);
    el_set(editor->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(editor->edit, NULL); /* the user's ~/.editrc */
    return editor;
}

char *line_read(struct line_editor *editor, const char *prompt, bool *interrupted) {
    editor->prompt = prompt;
    interrupt_flag = 0;
    el_resize(editor->edit);
    /* Raw before the prompt is shown, which el_gets would do after: a Ctrl-D typed in between would be lost. */
    el_set(editor->edit, EL_PREP_TERM, 1);
    int length = 0;
    const char *line = el_gets(editor->edit, &length);
    if (interrupt_flag) { /* what was typed is dropped */
        interrupt_flag = 0;
        *interrupted = true;
        el_reset(editor->edit);
        clearerr(stdin);
        putchar('\n');
        return host_strndup("", 0);
    }
    if (!line || length <= 0) {
        putchar('\n');
        return NULL;
    }
    size_t n = (size_t)length;
    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
    char *copy = host_strndup(line, n);
    remember(editor, copy);
    return copy;
}

void line_close(struct line_editor *editor) {
    if (!editor) return;
    if (editor->history) history_end(editor->history);
    if (editor->edit) el_end(editor->edit);
    free(editor->history_file);
    free(editor);
}
