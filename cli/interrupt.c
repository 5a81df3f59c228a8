/* interrupt.c: Ctrl-C asks the running call to end. */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

volatile int interrupt_flag;
static bool second_ends;
static struct timespec first;

/* Whoever sends the signal to a process and to its group sends it twice at once: that is one Ctrl-C. */
static bool is_later(const struct timespec *now) {
    return now->tv_sec - first.tv_sec > 1 ||
           (now->tv_sec - first.tv_sec) * 1000 + (now->tv_nsec - first.tv_nsec) / 1000000 > 300;
}

static void on_interrupt(int number) {
    (void)number;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (interrupt_flag && second_ends && is_later(&now)) _exit(130);
    if (!interrupt_flag) first = now;
    interrupt_flag = 1;
}

void interrupt_catch(bool twice_ends) {
    second_ends = twice_ends;
    interrupt_flag = 0;
    /* SA_RESTART: output must not fail for it. The prompt waits in ppoll, which a signal always ends. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}
