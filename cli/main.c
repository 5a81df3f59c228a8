/* main.c: which command it is. */
#include <string.h>

#include "cli/cli.h"

static const char usage[] =
    "usage: weft                                   a session: type expressions, see values (reads a pipe, too)\n"
    "       weft run FILE.weft [--set k=5] [--set x=FILE.npy] [-o FILE.npy] [--profile] [--quiet]\n"
    "       weft eval 'EXPR' [x=FILE.npy | x=3.5 ...] [-o FILE.npy]\n"
    "       weft emit --stage=ast|ir|kernels|plan|llvm|asm|cuda|ptx [--arch=sm_90] (FILE | -e 'EXPR') [x:f64[n] ...]\n"
    "       weft info                              versions, CPU features, vector-math library, GPUs\n"
    "       weft --help | --version                (weft COMMAND --help says more)\n"
    "\n"
    "run, eval, emit and the session take:\n"
    "  -j N, --threads N             most threads of one run (default: all cores)\n"
    "  --device cpu|cuda|cuda:N      where to run: on the processor (default), on a GPU, on GPU number N\n"
    "  --fp strict|contract|fast     fma nowhere, where the text has a*b + c (default), or free to reassociate\n"
    "  --ulp 1|4                     accuracy of elementary functions (default 4)\n"
    "\n"
    "Exit status: 0, 1 if the program failed, 2 for wrong usage.\n";

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};
static const struct command commands[] = {
    {"run", cmd_run}, {"eval", cmd_eval}, {"emit", cmd_emit}, {"info", cmd_info}, {"repl", cmd_repl},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static int unknown(const char *word) {
    size_t length = strlen(word);
    if (length > 5 && !strcmp(word + length - 5, ".weft"))
        return args_usage(NULL, "expected a command, found the file '%s': did you mean `weft run %s`?", word, word);
    const char *names[N_COMMANDS + 4] = {0};
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    names[N_COMMANDS] = "--help";
    names[N_COMMANDS + 1] = "--version";
    const char *near = args_suggest(word, names);
    const char *what = word[0] == '-' ? "option" : "command";
    if (near) return args_usage(NULL, "unknown %s '%s': did you mean `%s`?", what, word, near);
    return args_usage(NULL, "unknown %s '%s': expected run, eval, emit or info", what, word);
}

int main(int argc, char **argv) {
    if (argc < 2) return cmd_repl(argc, argv);
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        fputs(usage, stdout);
        return host_finish();
    }
    if (!strcmp(word, "--version") || !strcmp(word, "version")) {
        printf("weft %s\n", jit_version());
        return host_finish();
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(word, commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    /* `weft -j 1` is a session with options. */
    if (word[0] == '-' && (word[1] == 'j' || !strncmp(word, "--threads", 9) || !strncmp(word, "--device", 8) ||
                           !strncmp(word, "--fp", 4) || !strncmp(word, "--ulp", 5) || !strncmp(word, "--isa", 5)))
        return cmd_repl(argc, argv);
    return unknown(word);
}
