/* run.c: `weft run`, a program from a file, and `weft eval`, one from the command line. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { OPTION_SET = SETTING_END, OPTION_OUTPUT, OPTION_PROFILE, OPTION_QUIET, OPTION_EACH };

struct job {
    struct settings settings;
    struct host host;
    struct bindings bindings;
    const char *output;
    bool profile, show; /* show: values go to stdout */
};

static const char run_usage[] =
    "usage: weft run FILE.weft [--set k=5] [--set x=FILE.npy] [-j N] [--device cpu|cuda|cuda:N]\n"
    "                [--fp strict|contract|fast] [--ulp 1|4] [--profile] [--quiet] [-o FILE.npy]\n"
    "Runs a program. It loads, prints and saves as it says; its value is not shown.\n"
    "  --set NAME=VALUE    gives a `param` its value: a number, true, false, or a .npy file\n"
    "  -o FILE.npy         saves the program's output\n"
    "  --device cuda       runs it on a GPU (cuda:1 is the second one; `weft info` lists them)\n"
    "  --profile           a row a kernel, on stderr: launches, time, bytes, GB/s, share; with a GPU its own time,\n"
    "                      and rows for the copies to it and from it\n"
    "  --quiet             print() says nothing, and there is no progress bar\n";
static const char eval_usage[] =
    "usage: weft eval 'EXPR' [x=FILE.npy | x=3.5 ...] [-o FILE.npy] [-j N] [--device cpu|cuda|cuda:N]\n"
    "                 [--fp …] [--ulp 1|4] [--profile]\n"
    "Shows the value of an expression or program; its free names are inputs.\n"
    "  NAME=VALUE          3 is i64, 3.5 is f64, true and false are bool, anything else is a .npy file\n"
    "  -o FILE.npy         saves the value instead\n";

/* Everything after the compile: calls, shows or saves. */
static int finish_call(struct job *job, jit_function *function, const DLTensor **in) {
    int n_out = jit_output_count(function);
    if (job->output && n_out != 1) return host_error("-o needs a program with one output, this one has %d", n_out);
    DLManagedTensor **out = host_alloc(((size_t)n_out + 1) * sizeof *out);
    jit_error error = {0};
    jit_call_options call = {.struct_size = sizeof call, .cancel = &interrupt_flag};
    interrupt_catch(true);
    if (job->profile) jit_profile(function, 1);
    progress_begin(&job->host);
    jit_status status = jit_call_alloc(function, in, jit_input_count(function), out, n_out, &call, &error);
    progress_clear(&job->host);
    if (job->profile) {
        fflush(stdout);
        profile_print(function);
    }
    int result = EXIT_OK;
    if (status != JIT_OK) {
        result = host_failed(&error);
    } else if (job->output) {
        if (jit_save(job->output, &out[0]->dl_tensor, &error) != JIT_OK) result = host_failed(&error);
    } else if (job->show) {
        for (int i = 0; i < n_out; i++) {
            char *text = jit_format(&out[i]->dl_tensor);
            if (!text) {
                result = host_error("out of memory");
                break;
            }
            puts(text);
            jit_text_free(text);
        }
    }
    for (int i = 0; i < n_out; i++)
        if (out[i]) out[i]->deleter(out[i]);
    free(out);
    int written = host_finish();
    return result ? result : written;
}

static int run_source(struct job *job, const char *source, size_t length, const char *file, const char *how) {
    int result = EXIT_FAILED;
    jit_function *function = NULL;
    jit_context *context = host_context(&job->settings, &job->host);
    if (!context) goto out;
    jit_error error = {0};
    function = jit_compile_text(context, source, length, file, &error);
    if (!function) {
        result = host_failed(&error);
    } else {
        const DLTensor **in = bind_inputs(function, &job->bindings, how);
        result = in ? finish_call(job, function, in) : EXIT_FAILED;
        free(in);
    }
out:
    bind_free(&job->bindings);
    jit_function_free(function);
    jit_context_free(context);
    return result;
}

/* --each runs one program over many files. */
static int no_each(void) {
    return host_error("--each is not available in this version");
}

int cmd_run(int argc, char **argv) {
    static const struct args_option options[] = {SETTING_OPTIONS,
                                                 {OPTION_SET, "--set", "NAME=VALUE", 0},
                                                 {OPTION_OUTPUT, "--output", "FILE.npy", 'o'},
                                                 {OPTION_PROFILE, "--profile", NULL, 0},
                                                 {OPTION_QUIET, "--quiet", NULL, 'q'},
                                                 {OPTION_EACH, "--each", "'NAME=FILES'", 0},
                                                 {0}};
    static struct job job; /* its bindings are still reachable where a mistake in the usage ends the program */
    const char *file = NULL, *value;
    bool each = false;
    struct args args = {.command = "run", .options = options, .argc = argc, .at = 1, .argv = argv};
    for (int id; (id = args_next(&args, &value)) != ARGS_END;) {
        switch (id) {
        case ARGS_WRONG: return EXIT_USAGE;
        case ARGS_POSITIONAL:
            if (file) return args_usage("run", "expected one file, found '%s' after '%s'", value, file);
            file = value;
            break;
        case SETTING_HELP: fputs(run_usage, stdout); return host_finish();
        case OPTION_SET:
            if (!bind_add(&job.bindings, value))
                return args_usage("run", "--set: expected NAME=VALUE, found '%s'", value);
            break;
        case OPTION_OUTPUT: job.output = value; break;
        case OPTION_PROFILE: job.profile = true; break;
        case OPTION_QUIET: job.host.quiet = true; break;
        case OPTION_EACH: each = true; break;
        default:
            if (!settings_take(&job.settings, "run", id, value)) return EXIT_USAGE;
        }
    }
    if (!file) return args_usage("run", "expected a file, found nothing");
    if (each) return no_each();
    size_t length;
    char *source = host_read(file, &length);
    if (!source) return EXIT_FAILED;
    int result = run_source(&job, source, length, file, "--set ");
    free(source);
    return result;
}

int cmd_eval(int argc, char **argv) {
    static const struct args_option options[] = {
        SETTING_OPTIONS, {OPTION_OUTPUT, "--output", "FILE.npy", 'o'}, {OPTION_PROFILE, "--profile", NULL, 0}, {0}};
    static struct job job = {.show = true};
    const char *text = NULL, *value;
    struct args args = {
        .command = "eval", .options = options, .argc = argc, .at = 1, .argv = argv, .expressions = true};
    for (int id; (id = args_next(&args, &value)) != ARGS_END;) {
        switch (id) {
        case ARGS_WRONG: return EXIT_USAGE;
        case ARGS_POSITIONAL:
            if (!text)
                text = value;
            else if (!bind_add(&job.bindings, value))
                return args_usage("eval", "expected NAME=VALUE after the expression, found '%s'", value);
            break;
        case SETTING_HELP: fputs(eval_usage, stdout); return host_finish();
        case OPTION_OUTPUT: job.output = value; break;
        case OPTION_PROFILE: job.profile = true; break;
        default:
            if (!settings_take(&job.settings, "eval", id, value)) return EXIT_USAGE;
        }
    }
    if (!text) return args_usage("eval", "expected an expression, found nothing");
    return run_source(&job, text, strlen(text), "<expr>", "");
}
