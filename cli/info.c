/* info.c: `weft info`. */
#include "cli/cli.h"

int cmd_info(int argc, char **argv) {
    static const struct args_option options[] = {SETTING_OPTIONS, {0}};
    struct settings settings = {0};
    struct args args = {.command = "info", .options = options, .argc = argc, .at = 1, .argv = argv};
    const char *value;
    for (int id; (id = args_next(&args, &value)) != ARGS_END;) {
        if (id == ARGS_WRONG) return EXIT_USAGE;
        if (id == ARGS_POSITIONAL) return args_usage("info", "expected no argument, found '%s'", value);
        if (id == SETTING_HELP) {
            puts("usage: weft info\nVersions, CPU features, the vector-math library and the GPUs found, or what is "
                 "missing for them.");
            return host_finish();
        }
        if (!settings_take(&settings, "info", id, value)) return EXIT_USAGE;
    }
    settings.options.device = NULL; /* what is missing is told, too */
    struct host host = {0};
    jit_context *context = host_context(&settings, &host);
    if (!context) return EXIT_FAILED;
    char *text = jit_info(context);
    if (text) fputs(text, stdout);
    jit_text_free(text);
    jit_context_free(context);
    return text ? host_finish() : host_error("out of memory");
}
