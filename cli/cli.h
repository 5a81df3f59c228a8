/* cli.h: the parts of the `weft` program.
 *
 * A command is one function, cmd_*(argc, argv): argv[0] is the command's name, the result is the exit status: 0, 1 (the
 * program that was given failed; the message is on stderr) or 2 (weft was called wrongly). Data goes to stdout,
 * everything else to stderr.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <weft/tools.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int cmd_run(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_emit(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_repl(int argc, char **argv);

/* --- args.c: options ---------------------------------------------------------------------------------------------- */

struct args_option {
    int id;            /* > 0 */
    const char *name;  /* "--fp" */
    const char *value; /* what must follow, for messages: "strict|contract|fast"; NULL: nothing */
    char letter;       /* 'j' for -j; 0: none */
};

enum { ARGS_END = 0, ARGS_POSITIONAL = -1, ARGS_WRONG = -2 };

struct args {
    const char *command;               /* for messages: "run" */
    const struct args_option *options; /* ends in id 0 */
    int argc, at;
    char **argv;
    bool expressions;     /* `-x*2` is a positional argument: an option is one of `options`, or begins with `--` */
    bool only_positional; /* `--` was seen */
};

/* The next option's id with its value, ARGS_POSITIONAL with the argument, ARGS_END, or ARGS_WRONG after a message.
 * Options may stand anywhere, as `--ulp 1`, `--ulp=1`, `-j 2`, `-j2`. */
int args_next(struct args *args, const char **value);

/* Prints "weft COMMAND: …" and where to find help; returns EXIT_USAGE. */
int args_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The candidate that `word` was probably meant to be, or NULL. Candidates end in NULL. */
const char *args_suggest(const char *word, const char *const *candidates);

/* --- host.c: settings, the context and its callbacks -------------------------------------------------------------- */

/* Options that several commands have; ids below SETTING_END. */
enum setting {
    SETTING_THREADS = 1,
    SETTING_DEVICE,
    SETTING_FP,
    SETTING_ULP,
    SETTING_ISA,
    SETTING_HELP,
    SETTING_END,
};
#define SETTING_OPTIONS                                                                                                \
    {SETTING_THREADS, "--threads", "a number of threads", 'j'}, {SETTING_DEVICE, "--device", "cpu|cuda|cuda:N", 0},    \
        {SETTING_FP, "--fp", "strict|contract|fast", 0}, {SETTING_ULP, "--ulp", "1|4", 0},                             \
        {SETTING_ISA, "--isa", "avx512|avx2|sse2", 0}, {                                                               \
        SETTING_HELP, "--help", NULL, 'h'                                                                              \
    }

struct settings {
    jit_options options;
};

/* Takes over one option. False after a message that the value is wrong. */
bool settings_take(struct settings *settings, const char *command, int id, const char *value);

/* What the context's callbacks know. */
struct host {
    bool quiet;    /* print() says nothing */
    bool bar;      /* a progress bar may be drawn */
    bool bar_seen; /* one stands on the terminal's last line */
    double started, drawn;
};

/* A context that prints to stdout and draws progress; NULL after a message. `host` must outlive it. */
jit_context *host_context(struct settings *settings, struct host *host);

/* Prints an error to stderr. Returns EXIT_FAILED. */
int host_failed(const jit_error *error);
/* Prints "weft: error: …". Returns EXIT_FAILED. */
int host_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Flushes stdout: EXIT_OK, or EXIT_FAILED with a message if anything could not be written. */
int host_finish(void);

/* Seconds of a clock that only goes forward. */
double host_clock(void);
/* Allocates or ends the program. */
void *host_alloc(size_t size);
char *host_strndup(const char *text, size_t length);
/* A whole file, NUL-terminated; NULL after a message. */
char *host_read(const char *path, size_t *length);

/* --- interrupt.c: Ctrl-C ------------------------------------------------------------------------------------------ */

/* Nonzero after Ctrl-C; the cancel flag of whatever runs. */
extern volatile int interrupt_flag;
/* From now on Ctrl-C sets the flag; a second one, while the flag is still set, ends the program if `twice_ends`. */
void interrupt_catch(bool twice_ends);

/* --- progress.c --------------------------------------------------------------------------------------------------- */

/* Starts a stretch of work: a bar appears once it has taken half a second. */
void progress_begin(struct host *host);
/* The context's callback; `host` is a struct host. Never cancels. */
int progress_step(void *host, double share, const char *what);
/* Removes the bar. Called before anything else is written to the terminal, and at the end. */
void progress_clear(struct host *host);

/* --- bind.c: inputs from the command line ------------------------------------------------------------------------- */

struct binding {
    char *name;
    const char *value;       /* "3.5", "true", "x.npy" */
    DLManagedTensor *loaded; /* the file's array, or */
    void *scalar;            /* the number's tensor */
};

struct bindings {
    struct binding *items;
    int count;
};

/* Adds `name=value`. False if the text has not that form. */
bool bind_add(struct bindings *bindings, const char *text);

/* One tensor an input of `function`: NULL where a default is taken. Scalars: 3 is i64, 3.5 f64, true bool, unless the
 * program declares the input's type; anything that is no number is the name of a .npy file. NULL after a message;
 * `how` is what stands before an input's name: "--set " or "". The array is to be freed; the tensors belong to
 * `bindings`. */
const DLTensor **bind_inputs(const jit_function *function, struct bindings *bindings, const char *how);
void bind_free(struct bindings *bindings);

/* --- profile.c ---------------------------------------------------------------------------------------------------- */

/* The function's kernels, and copies to and from a GPU, a row each, to stderr. */
void profile_print(const jit_function *function);

#endif
