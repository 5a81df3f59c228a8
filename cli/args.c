/* args.c: options, in any place, and what to say when they are wrong. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int args_usage(const char *command, const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "weft%s%s: ", command ? " " : "", command ? command : "");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n`weft %s%s--help` shows the usage\n", command ? command : "", command ? " " : "");
    va_end(list);
    return EXIT_USAGE;
}

/* Edits that turn a into b; rows of at most 64 letters. */
static int distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > 63 || m > 63) return 99;
    int row[3][64];
    for (size_t j = 0; j <= m; j++) row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3], *before2 = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best) best = before[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before2[j - 2] + 1 < best)
                best = before2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *args_suggest(const char *word, const char *const *candidates) {
    const char *best = NULL;
    int nearest = (int)strlen(word) / 3 + 1;
    if (strlen(word) < 2) return NULL; /* one letter is near to every name of two */
    for (; *candidates; candidates++) {
        int d = distance(word, *candidates);
        if (d <= nearest && (!best || d < nearest)) {
            best = *candidates;
            nearest = d;
        }
    }
    return best;
}

static int unknown_option(const struct args *args, const char *word, size_t length) {
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)(length < 60 ? length : 60), word);
    const char *names[64] = {0};
    int n = 0;
    for (const struct args_option *o = args->options; o->id && n < 63; o++)
        if (o->id != SETTING_ISA) names[n++] = o->name; /* for tests: never suggested */
    const char *near = args_suggest(text, names);
    if (near)
        args_usage(args->command, "unknown option '%s': did you mean `%s`?", text, near);
    else if (args->expressions)
        args_usage(args->command, "unknown option '%s' (an expression that begins with `-` goes after `--`)", text);
    else
        args_usage(args->command, "unknown option '%s'", text);
    return ARGS_WRONG;
}

static int take_value(struct args *args, const struct args_option *option, const char *inside, const char **value) {
    if (!option->value) {
        if (inside) {
            args_usage(args->command, "%s takes no value, found '%s'", option->name, inside);
            return ARGS_WRONG;
        }
        return option->id;
    }
    if (!inside) {
        if (args->at == args->argc) {
            args_usage(args->command, "%s: expected %s, found nothing", option->name, option->value);
            return ARGS_WRONG;
        }
        inside = args->argv[args->at++];
    }
    *value = inside;
    return option->id;
}

int args_next(struct args *args, const char **value) {
    *value = NULL;
    if (args->at == args->argc) return ARGS_END;
    const char *word = args->argv[args->at++];
    if (args->only_positional || word[0] != '-' || !word[1]) {
        *value = word;
        return ARGS_POSITIONAL;
    }
    if (!strcmp(word, "--")) {
        args->only_positional = true;
        return args_next(args, value);
    }
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        for (const struct args_option *o = args->options; o->id; o++)
            if (strlen(o->name) == length && !strncmp(o->name, word, length))
                return take_value(args, o, equals ? equals + 1 : NULL, value);
        return unknown_option(args, word, length);
    }
    for (const struct args_option *o = args->options; o->id; o++)
        if (o->letter && o->letter == word[1]) return take_value(args, o, word[2] ? word + 2 : NULL, value);
    if (args->expressions && (word[2] || (word[1] >= '0' && word[1] <= '9'))) {
        *value = word;
        return ARGS_POSITIONAL;
    }
    return unknown_option(args, word, strlen(word));
}
