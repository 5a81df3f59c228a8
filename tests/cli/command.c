#include "cli/command.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct outcome outcome;
static char folder[] = "/tmp/weft-test-XXXXXX", logs[] = "/tmp/weft-logs-XXXXXX";

int command_setup(void **state) {
    (void)state;
    if (!mkdtemp(folder) || !mkdtemp(logs) || chdir(folder)) return -1;
    /* No history, no settings of whoever runs the tests. */
    setenv("HOME", folder, 1);
    unsetenv("XDG_STATE_HOME");
    return 0;
}

int command_teardown(void **state) {
    (void)state;
    char text[256];
    snprintf(text, sizeof text, "rm -rf '%s' '%s'", folder, logs);
    return chdir("/") || system(text) ? -1 : 0;
}

static void slurp(const char *name, char *to, size_t room) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", logs, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    to[fread(to, 1, room - 1, file)] = 0;
    fclose(file);
}

static void run(const char *input, const char *format, va_list list) {
    char text[4096], all[8192], path[256];
    vsnprintf(text, sizeof text, format, list);
    snprintf(path, sizeof path, "%s/in", logs);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (input) fputs(input, file);
    assert_int_equal(fclose(file), 0);
    snprintf(all, sizeof all, "weft() { '%s' \"$@\"; }\n{ %s\n} <'%s/in' >'%s/out' 2>'%s/err'", WEFT_PROGRAM, text,
             logs, logs, logs);
    int status = system(all);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    slurp("out", outcome.out, sizeof outcome.out);
    slurp("err", outcome.err, sizeof outcome.err);
}

void command(const char *input, const char *format, ...) {
    va_list list;
    va_start(list, format);
    run(input, format, list);
    va_end(list);
}

static void check(int status, const char *out, bool whole, const char *err, const char *format) {
    bool right = outcome.status == status && (whole ? !strcmp(outcome.out, out) : strstr(outcome.out, out) != NULL) &&
                 (err ? strstr(outcome.err, err) != NULL : !outcome.err[0]);
    if (right) return;
    print_error("command: %s\nexpected status %d, found %d\n--- expected on stdout\n%s\n--- stdout\n%s\n--- expected "
                "on stderr\n%s\n"
                "--- stderr\n%s\n",
                format, status, outcome.status, out, outcome.out, err ? err : "(nothing)", outcome.err);
    fail();
}

void expect(int status, const char *out, const char *err, const char *input, const char *format, ...) {
    va_list list;
    va_start(list, format);
    run(input, format, list);
    va_end(list);
    check(status, out, true, err, format);
}

void expect_part(int status, const char *out, const char *err, const char *input, const char *format, ...) {
    va_list list;
    va_start(list, format);
    run(input, format, list);
    va_end(list);
    check(status, out, false, err, format);
}

void file_write(const char *name, const char *text) {
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

bool file_exists(const char *name) {
    return access(name, F_OK) == 0;
}

int file_count(void) {
    DIR *dir = opendir(".");
    assert_non_null(dir);
    int n = 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2;
}
