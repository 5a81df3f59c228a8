/* The session on a terminal: prompt, completion, history, Ctrl-C, the progress of a block over lines. */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"

static int terminal = -1;
static pid_t child;
static char seen[1 << 16];
static size_t n_seen, from; /* what was read; where the next wait begins to look */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void start(void) {
    struct winsize size = {.ws_row = 50, .ws_col = 120};
    n_seen = from = 0;
    child = forkpty(&terminal, NULL, NULL, &size);
    if (child < 0) skip(); /* no pseudo-terminals here */
    if (child == 0) {
        setenv("TERM", "xterm", 1);
        execl(WEFT_PROGRAM, "weft", (char *)NULL);
        _exit(127);
    }
}

static void type_keys(const char *keys) {
    size_t length = strlen(keys);
    assert_int_equal(write(terminal, keys, length), (ssize_t)length);
}

/* Reads until `text` was written after everything that was waited for before. */
static void wait_for(const char *text) {
    double end = now() + 20;
    for (;;) {
        seen[n_seen] = 0;
        char *found = strstr(seen + from, text);
        if (found) {
            from = (size_t)(found - seen) + strlen(text);
            return;
        }
        struct pollfd ready = {.fd = terminal, .events = POLLIN};
        int got = poll(&ready, 1, 100);
        ssize_t n = got > 0 ? read(terminal, seen + n_seen, sizeof seen - n_seen - 1) : 0;
        if (n > 0) n_seen += (size_t)n;
        if (now() > end || (got > 0 && n <= 0)) {
            print_error("waited for: %s\n--- seen since\n%s\n", text, seen + from);
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
            fail();
        }
    }
}

static void finish(void) {
    double end = now() + 20;
    int status;
    while (waitpid(child, &status, WNOHANG) != child) {
        /* A terminal that nobody reads holds its program up. */
        struct pollfd ready = {.fd = terminal, .events = POLLIN};
        int got = poll(&ready, 1, 20);
        ssize_t n = got > 0 && n_seen < sizeof seen - 1 ? read(terminal, seen + n_seen, sizeof seen - n_seen - 1) : 0;
        if (n > 0) n_seen += (size_t)n;
        if (got > 0 && n <= 0) usleep(1000); /* closed: it is about to end */
        if (now() < end) continue;
        seen[n_seen] = 0;
        print_error("the program does not end\n--- seen since\n%s\n", seen + from);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        fail();
    }
    close(terminal);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_prompt(void **state) {
    (void)state;
    start();
    wait_for("weft> ");
    type_keys("6*7\n");
    wait_for("42\r\n");
    wait_for("weft> ");
    type_keys("fn twice(x) {\n");
    wait_for("  ... ");
    type_keys("return 2*x\n");
    wait_for("  ... ");
    type_keys("}\n");
    wait_for("weft> ");
    type_keys("twice(21) + 1\n");
    wait_for("43\r\n");
    /* An error keeps the session, and has its caret. */
    wait_for("weft> ");
    type_keys("1 + zzz\n");
    wait_for("error: ");
    wait_for("^~~");
    wait_for("weft> ");
    type_keys(":quit\n");
    finish();
}

static void test_completion(void **state) {
    (void)state;
    start();
    wait_for("weft> ");
    type_keys("brightness = 11\n");
    wait_for("weft> ");
    type_keys("bright\t + 1\n"); /* a variable of the session */
    wait_for("12\r\n");
    wait_for("weft> ");
    type_keys("lin\t(0, 8, 2)\n"); /* a function */
    wait_for("[0. 8.]");
    wait_for("weft> ");
    type_keys("nanm\t\t"); /* several: they are listed */
    wait_for("nanmax");
    wait_for("nanmin");
    wait_for("weft> nanm"); /* and what was typed stands below */
    type_keys("\003");
    wait_for("weft> ");
    type_keys(":ti\t 5\n");
    wait_for("compile");
    wait_for("weft> ");
    type_keys("\004");
    finish();
}

static void test_interrupt(void **state) {
    (void)state;
    start();
    wait_for("weft> ");
    type_keys("kept = 17\n");
    wait_for("weft> ");
    type_keys("ufunc spin(x) { while true {}; return x }\n");
    wait_for("weft> ");
    type_keys("spin(1.0)\n");
    wait_for("spin(1.0)\r\n");
    usleep(300000);
    double before = now();
    type_keys("\003");
    wait_for("cancelled");
    wait_for("weft> ");
    assert_true(now() - before < 5);
    type_keys("kept + 1\n"); /* the session goes on with what it had */
    wait_for("18\r\n");
    wait_for("weft> ");
    type_keys("this is never run\003"); /* at the prompt it drops the line */
    wait_for("weft> ");
    type_keys("kept + 2\n");
    wait_for("19\r\n");
    wait_for("weft> ");
    type_keys("sum([1,\n");
    wait_for("  ... ");
    type_keys("\003"); /* and a block that was begun */
    wait_for("weft> ");
    type_keys("kept + 3\n");
    wait_for("20\r\n");
    wait_for("weft> ");
    type_keys("\004");
    finish();
}

static void test_history(void **state) {
    (void)state;
    start();
    wait_for("weft> ");
    type_keys("100 + 11\n");
    wait_for("111\r\n");
    wait_for("weft> ");
    type_keys("\004");
    finish();
    assert_true(file_exists(".local/state/weft/history"));
    start();
    wait_for("weft> ");
    type_keys("\033[A\n"); /* the arrow up */
    wait_for("111\r\n");
    wait_for("weft> ");
    type_keys("\004");
    finish();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_history),
    };
    return cmocka_run_group_tests(tests, command_setup, command_teardown);
}
