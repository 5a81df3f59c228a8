/* host.c: what every command needs of the outside world: a context, messages, files, the clock. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static bool one_of(const char *command, const char *name, const char *value, const char *const *allowed) {
    char list[128] = "";
    for (int i = 0; allowed[i]; i++) {
        if (!strcmp(value, allowed[i])) return true;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? "|" : "", allowed[i]);
    }
    args_usage(command, "%s: expected %s, found '%s'", name, list, value);
    return false;
}

/* Whether there is such a device, the library says. */
static bool is_device(const char *value) {
    if (!strcmp(value, "cpu") || !strcmp(value, "cuda")) return true;
    if (strncmp(value, "cuda:", 5)) return false;
    size_t digits = strspn(value + 5, "0123456789");
    return digits > 0 && digits <= 4 && !value[5 + digits];
}

bool settings_take(struct settings *settings, const char *command, int id, const char *value) {
    static const char *const fps[] = {"strict", "contract", "fast", NULL};
    static const char *const ulps[] = {"1", "4", NULL};
    static const char *const isas[] = {"avx512", "avx2", "sse2", "scalar", NULL};
    switch (id) {
    case SETTING_THREADS: {
        char *end;
        errno = 0;
        long n = strtol(value, &end, 10);
        if (*end || end == value || errno || n < 1 || n > 1024) {
            args_usage(command, "--threads: expected a number from 1 to 1024, found '%s'", value);
            return false;
        }
        settings->options.threads = (int)n;
        return true;
    }
    case SETTING_DEVICE:
        if (!is_device(value)) {
            args_usage(command, "--device: expected cpu|cuda|cuda:N, found '%s'", value);
            return false;
        }
        settings->options.device = value;
        return true;
    case SETTING_FP: settings->options.fp = value; return one_of(command, "--fp", value, fps);
    case SETTING_ULP: settings->options.ulp = value[0] == '1' ? 1 : 4; return one_of(command, "--ulp", value, ulps);
    case SETTING_ISA: settings->options.isa = value; return one_of(command, "--isa", value, isas);
    }
    return true;
}

static void host_print(void *argument, const char *text, size_t length) {
    struct host *host = argument;
    if (host->quiet) return;
    progress_clear(host);
    fwrite(text, 1, length, stdout);
}

jit_context *host_context(struct settings *settings, struct host *host) {
    host->bar = !host->quiet && isatty(STDERR_FILENO);
    settings->options.struct_size = sizeof settings->options;
    settings->options.allow_files = 1;
    settings->options.print = host_print;
    settings->options.progress = host->bar ? progress_step : NULL;
    settings->options.host = host;
    jit_error error = {0};
    jit_context *context = jit_context_create(&settings->options, &error);
    if (!context) host_failed(&error);
    return context;
}

int host_failed(const jit_error *error) {
    fflush(stdout); /* what was printed before the error comes before it, too */
    if (error->line || strstr(error->message, ": error: "))
        fprintf(stderr, "%s\n", error->message);
    else
        fprintf(stderr, "weft: error: %s\n", error->message);
    return EXIT_FAILED;
}

int host_error(const char *format, ...) {
    fflush(stdout);
    va_list list;
    va_start(list, format);
    fputs("weft: error: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    return EXIT_FAILED;
}

int host_finish(void) {
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) return host_error("cannot write to the standard output: %s", strerror(errno));
    return EXIT_OK;
}

double host_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void *host_alloc(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (!p) {
        fputs("weft: error: out of memory\n", stderr);
        exit(EXIT_FAILED);
    }
    return p;
}

char *host_strndup(const char *text, size_t length) {
    char *copy = host_alloc(length + 1);
    memcpy(copy, text, length);
    return copy;
}

/* What the library takes by default. */
enum { HOST_MOST_SOURCE = 16 << 20 };

char *host_read(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        host_error("cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    size_t n = 0, room = 1 << 14;
    char *text = host_alloc(room);
    for (size_t got; (got = fread(text + n, 1, room - n - 1, file)) > 0;) {
        n += got;
        if (n > HOST_MOST_SOURCE) { /* a device, or a pipe that does not end */
            host_error("cannot read '%s': it has more than %d MiB", path, HOST_MOST_SOURCE >> 20);
            free(text);
            fclose(file);
            return NULL;
        }
        if (room - n > 1) continue;
        char *wider = realloc(text, room *= 2);
        if (!wider) {
            host_error("cannot read '%s': out of memory", path);
            free(text);
            fclose(file);
            return NULL;
        }
        text = wider;
    }
    bool failed = ferror(file);
    int why = errno;
    fclose(file);
    if (failed) {
        host_error("cannot read '%s': %s", path, strerror(why));
        free(text);
        return NULL;
    }
    text[n] = 0;
    *length = n;
    return text;
}
