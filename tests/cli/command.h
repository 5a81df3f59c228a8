/* command.h: runs shell commands for tests, in a folder that is made for the test and removed after it.
 *
 * In a command, `weft` is the program under test. What it wrote is kept until the next command.
 */
#ifndef TESTS_CLI_COMMAND_H
#define TESTS_CLI_COMMAND_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct outcome {
    int status; /* exit status; 128 + the signal that ended it */
    char out[1 << 20], err[1 << 16];
};
extern struct outcome outcome;

/* cmocka group fixtures: make and remove the folder, and stand in it. */
int command_setup(void **state);
int command_teardown(void **state);

/* Runs `sh -c` with `input` (may be NULL) on stdin. */
void command(const char *input, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs a command and checks its status, all of its stdout, and that stderr contains `err` (NULL: is empty). */
void expect(int status, const char *out, const char *err, const char *input, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for stdout that only has to contain something. */
void expect_part(int status, const char *out, const char *err, const char *input, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void file_write(const char *name, const char *text);
bool file_exists(const char *name);
/* Number of entries in the folder: temporary files would show. */
int file_count(void);

#endif
