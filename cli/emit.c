/* emit.c: `weft emit`, any stage of a program as text. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { OPTION_STAGE = SETTING_END, OPTION_EXPRESSION, OPTION_ARCH };

#define STAGES "ast|ir|kernels|plan|llvm|asm|cuda|ptx"

static const char emit_usage[] =
    "usage: weft emit --stage=ast|ir|kernels|plan|llvm|asm (FILE | -e 'EXPR') [x:f64[n] ...] [--fp …] [--ulp 1|4]\n"
    "       weft emit --stage=cuda|ptx [--arch=sm_90] (FILE | -e 'EXPR') [x:f64[n] ...] [--fp …] [--ulp 1|4]\n"
    "Shows a program at one stage of its compilation. Inputs whose types it does not declare are given as x:f64[n]\n"
    "(k:f64 is a scalar; [n, m] or [:, :] has two dimensions). cuda and ptx show each kernel as a GPU of the given\n"
    "architecture (sm_80) runs it on contiguous arrays; no GPU is needed, but ptx needs NVRTC, which comes with "
    "CUDA.\n";

/* Types from the command line. */
struct signatures {
    jit_signature items[256];
    char names[256][64];
    int count;
};

static bool add_signature(const char *text, struct signatures *list) {
    int most = (int)(sizeof list->items / sizeof *list->items);
    if (list->count == most) {
        args_usage("emit", "types of more than %d inputs", most);
        return false;
    }
    jit_error error = {0};
    if (jit_parse_signature(text, &list->items[list->count], list->names[list->count], &error) == JIT_OK) {
        list->count++;
        return true;
    }
    args_usage("emit", "%s", error.message);
    return false;
}

static bool known_stage(const char *stage) {
    static const char *const stages[] = {"ast", "ir", "kernels", "plan", "llvm", "asm", "cuda", "ptx", NULL};
    for (int i = 0; stages[i]; i++)
        if (!strcmp(stage, stages[i])) return true;
    const char *near = args_suggest(stage, stages);
    if (near)
        args_usage("emit", "unknown stage '%s': did you mean `%s`?", stage, near);
    else
        args_usage("emit", "--stage: expected " STAGES ", found '%s'", stage);
    return false;
}

static int emit(struct settings *settings, const char *stage, const char *arch, const char *source, size_t length,
                const char *file, const struct signatures *given) {
    struct host host = {0};
    jit_context *context = host_context(settings, &host);
    if (!context) return EXIT_FAILED;
    jit_error error = {0};
    int result = EXIT_OK;
    char *text = NULL;
    jit_function *function = jit_compile_text(context, source, length, file, &error);
    if (function) text = jit_emit_for(function, stage, arch, given->items, given->count, &error);
    if (text)
        fputs(text, stdout);
    else
        result = host_failed(&error);
    jit_text_free(text);
    jit_function_free(function);
    jit_context_free(context);
    int written = host_finish();
    return result ? result : written;
}

int cmd_emit(int argc, char **argv) {
    static const struct args_option options[] = {SETTING_OPTIONS,
                                                 {OPTION_STAGE, "--stage", STAGES, 0},
                                                 {OPTION_EXPRESSION, "--expression", "an expression", 'e'},
                                                 {OPTION_ARCH, "--arch", "sm_90", 0},
                                                 {0}};
    struct settings settings = {0};
    const char *stage = NULL, *arch = NULL, *file = NULL, *expression = NULL, *value;
    static struct signatures given; /* large for a stack */
    struct args args = {.command = "emit", .options = options, .argc = argc, .at = 1, .argv = argv};
    for (int id; (id = args_next(&args, &value)) != ARGS_END;) {
        switch (id) {
        case ARGS_WRONG: return EXIT_USAGE;
        case ARGS_POSITIONAL:
            if (strchr(value, ':')) {
                if (!add_signature(value, &given)) return EXIT_USAGE;
            } else if (file) {
                return args_usage("emit", "expected one file and types such as x:f64[n], found '%s'", value);
            } else {
                file = value;
            }
            break;
        case SETTING_HELP: fputs(emit_usage, stdout); return host_finish();
        case OPTION_STAGE: stage = value; break;
        case OPTION_EXPRESSION: expression = value; break;
        case OPTION_ARCH: arch = value; break;
        default:
            if (!settings_take(&settings, "emit", id, value)) return EXIT_USAGE;
        }
    }
    if (!stage) return args_usage("emit", "expected --stage=" STAGES);
    if (!known_stage(stage)) return EXIT_USAGE;
    if (arch && strcmp(stage, "cuda") && strcmp(stage, "ptx"))
        return args_usage("emit", "--arch goes with --stage=cuda and --stage=ptx, not with %s", stage);
    if (file && expression) return args_usage("emit", "expected a file or -e 'EXPR', found both");
    if (!file && !expression) return args_usage("emit", "expected a file or -e 'EXPR', found neither");
    size_t length = expression ? strlen(expression) : 0;
    char *source = expression ? host_strndup(expression, length) : host_read(file, &length);
    int result =
        source ? emit(&settings, stage, arch, source, length, expression ? "<expr>" : file, &given) : EXIT_FAILED;
    free(source);
    return result;
}
