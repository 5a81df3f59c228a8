/* repl.h: the parts of the session at the prompt.
 *
 * On a terminal lines come from libedit, with history and completion; from a pipe they are read plainly, nothing is
 * prompted for, errors name the line, and the exit status is 1 if any statement failed.
 */
#ifndef CLI_REPL_H
#define CLI_REPL_H

#include "cli/cli.h"

struct repl {
    jit_context *context;
    jit_session *session;
    struct host host;
    bool terminal;
    bool failed, quit;
    int line; /* number of the first line of what is being run; 0 on a terminal */
    struct line_editor *editor;
};

/* --- repl.c ------------------------------------------------------------------------------------------------------- */

/* Runs statements and shows their value; with `timed`, how long they took. False after a message. */
bool repl_statement(struct repl *repl, const char *text, bool timed);
/* Prints an error with its place. */
void repl_failed(struct repl *repl, const jit_error *error);

/* --- repl_command.c ----------------------------------------------------------------------------------------------- */

/* A line that begins with `:`. False after a message. */
bool repl_command(struct repl *repl, const char *line);
/* Names of commands, for completion: ":type", by index; NULL past the last. */
const char *repl_command_name(int index);

/* --- repl_line.c: the terminal ------------------------------------------------------------------------------------ */

struct line_editor *line_open(struct repl *repl);
/* A line without its end, to be freed; NULL at the end of the input. `interrupted`: Ctrl-C was pressed instead; then
 * the result is an empty line. */
char *line_read(struct line_editor *editor, const char *prompt, bool *interrupted);
void line_close(struct line_editor *editor);

#endif
